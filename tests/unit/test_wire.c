#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/wire.h"
#include "unit/random.h"

#define BYTES(text) (text), sizeof(text) - 1

static void test_check(void **state)
{
    static const struct {
        const char *name, *data;
        size_t size;
        const char *want; /* part of the error; NULL: none */
    } cases[] = {
        {"nothing",                 BYTES(""),                             "ends before"    },
        {"nil",                     BYTES("\xC0"),                         NULL             },
        {"small numbers",           BYTES("\x92\x7F\xE0"),                 NULL             },
        {"the unused byte",         BYTES("\xC1"),                         "begins so"      },
        {"two values",              BYTES("\x01\x02"),                     "goes on"        },
        {"fixed text",
         BYTES("\xA3"
               "abc"),
         NULL                                                                               },
        {"fixed text cut",
         BYTES("\xA3"
               "ab"),
         "within a value"                                                                   },
        {"text 8",
         BYTES("\xD9\x02"
               "ab"),
         NULL                                                                               },
        {"text 16",
         BYTES("\xDA\x00\x02"
               "ab"),
         NULL                                                                               },
        {"text 32",
         BYTES("\xDB\x00\x00\x00\x02"
               "ab"),
         NULL                                                                               },
        {"text 32 of 4 GiB",
         BYTES("\xDB\xFF\xFF\xFF\xFF"
               "ab"),
         "within a value"                                                                   },
        {"a length cut",            BYTES("\xDB\x00\x00\x00"),             "within a length"},
        {"binary 8",
         BYTES("\xC4\x02"
               "ab"),
         NULL                                                                               },
        {"binary 16 cut",
         BYTES("\xC5\x00\x03"
               "ab"),
         "within a value"                                                                   },
        {"binary 32 of 4 GiB",      BYTES("\xC6\xFF\xFF\xFF\xFF"),         "within a value" },
        {"ext 8",
         BYTES("\xC7\x02\x05"
               "ab"),
         NULL                                                                               },
        {"ext 8 without its type",  BYTES("\xC7\x00"),                     "within a value" },
        {"ext 32 of 4 GiB",         BYTES("\xC9\xFF\xFF\xFF\xFF\x01"),     "within a value" },
        {"fixed ext 1",
         BYTES("\xD4\x01"
               "a"),
         NULL                                                                               },
        {"fixed ext 16 cut",
         BYTES("\xD8\x01"
               "0123456789abcde"),
         "within a value"                                                                   },
        {"a double",
         BYTES("\xCB"
               "\0\0\0\0\0\0\0\0"),
         NULL                                                                               },
        {"a double cut",
         BYTES("\xCB"
               "\0\0\0\0\0\0\0"),
         "within a value"                                                                   },
        {"an integer of 16 bits",   BYTES("\xCD\x01\x00"),                 NULL             },
        {"an integer cut",          BYTES("\xCD\x01"),                     "within a value" },
        {"empty containers",        BYTES("\x92\x90\x80"),                 NULL             },
        {"a map",
         BYTES("\x81\xA1"
               "a"
               "\x01"),
         NULL                                                                               },
        {"a map without a value",
         BYTES("\x81\xA1"
               "a"),
         "announced"                                                                        },
        {"array 16",                BYTES("\xDC\x00\x02\x01\x02"),         NULL             },
        {"array 32 of 4G values",   BYTES("\xDD\xFF\xFF\xFF\xFF\x01"),     "announced"      },
        {"map 32 of 4G values",     BYTES("\xDF\xFF\xFF\xFF\xFF\x01\x01"), "announced"      },
        {"map 16 one short",        BYTES("\xDE\x00\x02\x01\x01\x01"),     "announced"      },
        {"each count alone fits",   BYTES("\x92\x92\x01\x02"),             "announced"      },
        {"more after an inner end", BYTES("\x92\x91\x01\x02\x03"),         "goes on"        },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {.message = ""};
        const int rc = wire_check(cases[i].data, cases[i].size, &err);

        if (rc != (cases[i].want == NULL ? 0 : -1))
            fail_msg("%s: returned %d, '%s'", cases[i].name, rc, err.message);
        if (rc == -1 && strstr(err.message, cases[i].want) == NULL)
            fail_msg("%s: '%s'", cases[i].name, err.message);
    }
}

/* Containers in containers: as deep as is allowed, one more, and a bomb. */
static void test_depth(void **state)
{
    static const struct {
        size_t depth;
        const char *inside;
        int want;
    } cases[] = {
        {WIRE_DEPTH_MAX,     "\x01", 0 },
        {WIRE_DEPTH_MAX - 1, "\x90", 0 },
        {WIRE_DEPTH_MAX,     "\x90", -1},
        {WIRE_DEPTH_MAX,     "\x80", -1},
        {WIRE_DEPTH_MAX + 1, "\x01", -1},
        {1000000,            "\x01", -1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *const data = xmalloc(cases[i].depth + 1);
        struct error err;

        memset(data, '\x91', cases[i].depth);
        data[cases[i].depth] = cases[i].inside[0];
        assert_int_equal(wire_check(data, cases[i].depth + 1, &err), cases[i].want);
        free(data);
    }
}

/* Depth counts what is open, not what was: many containers beside each other are fine. */
static void test_many_beside_each_other(void **state)
{
    char data[3 + 2 * 1000];
    struct error err;

    (void)state;
    memcpy(data, "\xDC\x03\xE8", 3);
    for (size_t i = 0; i < 1000; i++)
        memcpy(data + 3 + 2 * i, i % 2 == 0 ? "\x91\x90" : "\x91\x05", 2);
    assert_int_equal(wire_check(data, sizeof(data), &err), 0);
}

/* A message that announces `count` values or bytes, its head at `data`. */
static void put_head(char *data, char first, size_t count)
{
    data[0] = first;
    for (size_t i = 0; i < 4; i++)
        data[4 - i] = (char)(count >> (8 * i));
}

static void test_size_limits(void **state)
{
    enum { HEAD_SIZE = 5 };
    const size_t most = WIRE_VALUES_MAX - 1; /* and the array itself */
    char *const data = xcalloc(WIRE_SIZE_MAX + 1, 1);
    struct error err;

    (void)state;
    put_head(data, '\xDD', most);
    assert_int_equal(wire_check(data, HEAD_SIZE + most, &err), 0);
    put_head(data, '\xDD', most + 1);
    assert_int_equal(wire_check(data, HEAD_SIZE + most + 1, &err), -1);
    assert_non_null(strstr(err.message, "too many values"));

    put_head(data, '\xC6', WIRE_SIZE_MAX - HEAD_SIZE);
    assert_int_equal(wire_check(data, WIRE_SIZE_MAX, &err), 0);
    put_head(data, '\xC6', WIRE_SIZE_MAX - HEAD_SIZE + 1);
    assert_int_equal(wire_check(data, WIRE_SIZE_MAX + 1, &err), -1);
    free(data);
}

/* What is put is got. */
static void test_round_trip(void **state)
{
    struct buffer buffer = BUFFER_INIT;
    struct wire_message message;
    msgpack_packer packer;
    const msgpack_object *map;
    const msgpack_object_array *array;
    const char *text;
    const void *bytes;
    char *copy;
    size_t length, size;
    uint64_t u64;
    int64_t i64;
    double real;
    bool truth;
    struct error err;

    (void)state;
    wire_packer(&packer, &buffer);
    msgpack_pack_map(&packer, 9);
    wire_put_text(&packer, "text", "caf\xC3\xA9");
    wire_put_bytes(&packer, "bytes", "\0\1", 2);
    wire_put_u64(&packer, "u64", UINT64_MAX);
    wire_put_i64(&packer, "i64", INT64_MIN);
    wire_put_double(&packer, "real", -0.125);
    wire_put_bool(&packer, "truth", true);
    wire_put_map(&packer, "map", 1);
    wire_put_bool(&packer, "inner", false);
    wire_put_array(&packer, "array", 2);
    wire_put_string(&packer, "one");
    wire_put_string(&packer, "");
    wire_put_u64(&packer, "small", 7);

    assert_int_equal(wire_decode(buffer.data, buffer.size, &message, &err), 0);
    assert_int_equal(wire_get_text(&message.root, "text", 5, &text, &length, &err), 0);
    assert_int_equal(length, 5);
    assert_memory_equal(text, "caf\xC3\xA9", 5);
    assert_int_equal(wire_copy_text(&message.root, "text", 5, &copy, &err), 0);
    assert_string_equal(copy, "caf\xC3\xA9");
    free(copy);
    assert_int_equal(wire_get_bytes(&message.root, "bytes", 2, &bytes, &size, &err), 0);
    assert_int_equal(size, 2);
    assert_memory_equal(bytes, "\0\1", 2);
    assert_int_equal(wire_get_u64(&message.root, "u64", UINT64_MAX, &u64, &err), 0);
    assert_true(u64 == UINT64_MAX);
    assert_int_equal(wire_get_i64(&message.root, "i64", &i64, &err), 0);
    assert_true(i64 == INT64_MIN);
    assert_int_equal(wire_get_i64(&message.root, "small", &i64, &err), 0);
    assert_true(i64 == 7);
    assert_int_equal(wire_get_double(&message.root, "real", &real, &err), 0);
    assert_true(real == -0.125);
    assert_int_equal(wire_get_double(&message.root, "small", &real, &err), 0);
    assert_true(real == 7);
    assert_int_equal(wire_get_bool(&message.root, "truth", &truth, &err), 0);
    assert_true(truth);
    assert_int_equal(wire_get_map(&message.root, "map", &map, &err), 0);
    assert_int_equal(wire_get_bool(map, "inner", &truth, &err), 0);
    assert_false(truth);
    assert_int_equal(wire_get_array(&message.root, "array", 2, &array, &err), 0);
    assert_int_equal(array->size, 2);
    wire_clear(&message);
    wire_clear(&message); /* twice is fine */
    buffer_clear(&buffer);
}

/* Each getter refuses with the key and a reason, and leaves the result alone. */
static void test_refusals(void **state)
{
    struct buffer buffer = BUFFER_INIT;
    struct wire_message message;
    msgpack_packer packer;
    const msgpack_object *map = NULL;
    const msgpack_object_array *array = NULL;
    const char *text = NULL;
    const void *bytes = NULL;
    char *copy = NULL;
    size_t length = 99;
    uint64_t u64 = 99;
    int64_t i64 = 99;
    double real = 99;
    bool truth = true;
    struct error err;

    (void)state;
    wire_packer(&packer, &buffer);
    msgpack_pack_map(&packer, 9);
    wire_put_text(&packer, "text", "word");
    wire_put_string(&packer, "zero");
    msgpack_pack_str(&packer, 3);
    msgpack_pack_str_body(&packer, "a\0b", 3);
    wire_put_u64(&packer, "large", UINT64_MAX);
    wire_put_i64(&packer, "negative", -1);
    wire_put_double(&packer, "endless", INFINITY);
    wire_put_double(&packer, "real", 1.5);
    wire_put_array(&packer, "array", 2);
    msgpack_pack_nil(&packer);
    msgpack_pack_nil(&packer);
    wire_put_bytes(&packer, "bytes", "abc", 3);
    msgpack_pack_int(&packer, 3); /* a key that is no text */
    wire_put_string(&packer, "a value");

    assert_int_equal(wire_decode(buffer.data, buffer.size, &message, &err), 0);
#define REFUSES(call, key, reason) \
    do { \
        assert_int_equal((call), -1); \
        if (strstr(err.message, "\"" key "\"") == NULL || \
            strstr(err.message, reason) == NULL) \
            fail_msg("%s: '%s'", #call, err.message); \
    } while (0)
    REFUSES(wire_get_u64(&message.root, "none", 9, &u64, &err), "none", "missing");
    REFUSES(wire_get_u64(&message.root, "text", 9, &u64, &err), "text", "number");
    REFUSES(wire_get_u64(&message.root, "negative", 9, &u64, &err), "negative",
            "number");
    REFUSES(wire_get_u64(&message.root, "real", 9, &u64, &err), "real", "number");
    REFUSES(wire_get_u64(&message.root, "large", 9, &u64, &err), "large", "most is 9");
    REFUSES(wire_get_i64(&message.root, "none", &i64, &err), "none", "missing");
    REFUSES(wire_get_i64(&message.root, "large", &i64, &err), "large", "64 bits");
    REFUSES(wire_get_i64(&message.root, "real", &i64, &err), "real", "64 bits");
    REFUSES(wire_get_double(&message.root, "none", &real, &err), "none", "missing");
    REFUSES(wire_get_double(&message.root, "endless", &real, &err), "endless",
            "number");
    REFUSES(wire_get_double(&message.root, "text", &real, &err), "text", "number");
    REFUSES(wire_get_bool(&message.root, "text", &truth, &err), "text", "true");
    REFUSES(wire_get_text(&message.root, "text", 3, &text, &length, &err), "text",
            "most");
    REFUSES(wire_get_text(&message.root, "zero", 9, &text, &length, &err), "zero",
            "zero");
    REFUSES(wire_get_text(&message.root, "bytes", 9, &text, &length, &err), "bytes",
            "no");
    REFUSES(wire_get_bytes(&message.root, "text", 9, &bytes, &length, &err), "text",
            "no");
    REFUSES(wire_get_bytes(&message.root, "bytes", 2, &bytes, &length, &err), "bytes",
            "most is 2");
    REFUSES(wire_copy_text(&message.root, "none", 9, &copy, &err), "none", "missing");
    REFUSES(wire_get_array(&message.root, "array", 1, &array, &err), "array",
            "most is 1");
    REFUSES(wire_get_array(&message.root, "text", 9, &array, &err), "text", "array");
    REFUSES(wire_get_map(&message.root, "array", &map, &err), "array", "no map");
#undef REFUSES
    assert_null(wire_get(wire_get(&message.root, "array"), "key"));
    assert_null(map);
    assert_null(array);
    assert_null(text);
    assert_null(bytes);
    assert_null(copy);
    assert_true(length == 99 && u64 == 99 && i64 == 99 && real == 99 && truth);
    wire_clear(&message);
    buffer_clear(&buffer);
}

static void test_decode_refuses(void **state)
{
    struct wire_message message;
    struct error err;

    (void)state;
    assert_int_equal(wire_decode("\x91\x01", 2, &message, &err), -1);
    assert_string_equal(err.message, "the message is no map");
    assert_int_equal(wire_decode("\x81\x01", 2, &message, &err), -1);
    assert_int_equal(wire_decode("\xC0", 1, &message, NULL), -1);
}

/* --- properties ------------------------------------------------------------------- */

/* Writes any value, with what is in it. */
static void pack_anything(struct random *random, msgpack_packer *packer, unsigned depth)
{
    const uint64_t entries = random_below(random, 5);
    static const char bytes[600];
    const size_t size = (size_t)random_size(random, 9);

    switch (random_below(random, depth > 0 ? 10 : 8)) {
    case 0:
        msgpack_pack_nil(packer);
        break;
    case 1:
        msgpack_pack_true(packer);
        break;
    case 2:
        msgpack_pack_uint64(packer, random_size(random, 64));
        break;
    case 3:
        msgpack_pack_int64(packer, (int64_t)random_bits(random));
        break;
    case 4:
        msgpack_pack_double(packer, (double)random_bits(random));
        break;
    case 5:
        msgpack_pack_str(packer, size);
        msgpack_pack_str_body(packer, bytes, size);
        break;
    case 6:
        msgpack_pack_bin(packer, size);
        msgpack_pack_bin_body(packer, bytes, size);
        break;
    case 7:
        msgpack_pack_ext(packer, size, 5);
        msgpack_pack_ext_body(packer, bytes, size);
        break;
    case 8:
        msgpack_pack_array(packer, (size_t)entries);
        for (uint64_t i = 0; i < entries; i++)
            pack_anything(random, packer, depth - 1);
        break;
    default:
        msgpack_pack_map(packer, (size_t)entries);
        for (uint64_t i = 0; i < 2 * entries; i++)
            pack_anything(random, packer, depth - 1);
    }
}

static msgpack_unpack_return decode_unchecked(const void *data, size_t size,
                                              size_t *ret_used)
{
    msgpack_unpacked unpacked;
    msgpack_unpack_return rc;

    msgpack_unpacked_init(&unpacked);
    *ret_used = 0;
    rc = msgpack_unpack_next(&unpacked, data, size, ret_used);
    msgpack_unpacked_destroy(&unpacked);
    return rc;
}

/* All that msgpack-c writes is accepted; and of that cut or changed anywhere, all that is
 * accepted is decoded, to the last byte. */
static void test_check_agrees_with_msgpack(void **state)
{
    struct random random = random_start("wire_check");
    struct buffer buffer = BUFFER_INIT;
    size_t accepted = 0, refused = 0;

    (void)state;
    for (int round = 0; round < 3000; round++) {
        msgpack_packer packer;
        struct error err;

        buffer_reset(&buffer);
        wire_packer(&packer, &buffer);
        msgpack_pack_array(&packer, 6);
        for (int i = 0; i < 6; i++)
            pack_anything(&random, &packer, WIRE_DEPTH_MAX - 1);
        if (wire_check(buffer.data, buffer.size, &err) == -1)
            fail_msg("refused what was packed: %s", err.message);
        for (int change = 0; change < 20; change++) {
            const size_t size = 1 + (size_t)random_below(&random, buffer.size);
            size_t used;

            buffer.data[random_below(&random, buffer.size)] =
                (char)random_bits(&random);
            if (wire_check(buffer.data, size, &err) == -1) {
                refused++;
                continue;
            }
            accepted++;
            assert_int_equal(decode_unchecked(buffer.data, size, &used),
                             MSGPACK_UNPACK_SUCCESS);
            assert_int_equal(used, size);
        }
    }
    assert_true(accepted > 100 && refused > 100);
    buffer_clear(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_many_beside_each_other),
        cmocka_unit_test(test_size_limits),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_decode_refuses),
        cmocka_unit_test(test_check_agrees_with_msgpack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
