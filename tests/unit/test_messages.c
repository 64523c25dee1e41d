#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proto/messages.h"
#include "unit/random.h"

/* --- all of them ---------------------------------------------------------------------- */

static void pack_stop(struct buffer *buffer)
{
    message_pack_stop(buffer, true);
}

static void pack_stopping(struct buffer *buffer)
{
    message_pack_stopping(buffer, "setup failed: no server", true);
}

static void pack_refused(struct buffer *buffer)
{
    message_pack_text(buffer, MESSAGE_REFUSED, "why", "it has no scenario");
}

static void pack_lost(struct buffer *buffer)
{
    char name[] = "browse";

    message_pack_lost(
        buffer, &(struct message_lost){.index = 3, .signal = 11, .scenario = name});
}

static void pack_ready(struct buffer *buffer)
{
    message_pack_plain(buffer, MESSAGE_READY);
}

static const struct {
    enum proto_message message;
    void (*pack)(struct buffer *buffer);
} packers[] = {
    {MESSAGE_STOP,     pack_stop    },
    {MESSAGE_STOPPING, pack_stopping},
    {MESSAGE_REFUSED,  pack_refused },
    {MESSAGE_LOST,     pack_lost    },
    {MESSAGE_READY,    pack_ready   },
};

static struct wire_message decode(const struct buffer *buffer)
{
    struct wire_message message;
    struct error err;

    if (wire_decode(buffer->data, buffer->size, &message, &err) == -1)
        fail_msg("%s", err.message);
    return message;
}

static enum proto_message identify(const struct wire_message *message)
{
    enum proto_message kind = MESSAGE_COUNT;
    struct error err;

    if (message_identify(&message->root, &kind, &err) == -1)
        fail_msg("%s", err.message);
    return kind;
}

static void test_every_message_is_known(void **state)
{
    struct buffer buffer = BUFFER_INIT;

    (void)state;
    for (unsigned i = 0; i < MESSAGE_COUNT; i++) {
        struct wire_message message;

        message_pack_plain(&buffer, (enum proto_message)i);
        message = decode(&buffer);
        assert_int_equal(identify(&message), i);
        wire_clear(&message);
    }
    buffer_clear(&buffer);
}

static void test_packers(void **state)
{
    struct buffer buffer = BUFFER_INIT;

    (void)state;
    buffer_add_text(&buffer, "what was there before");
    for (size_t i = 0; i < ARRAY_SIZE(packers); i++) {
        struct wire_message message;

        packers[i].pack(&buffer);
        message = decode(&buffer);
        assert_int_equal(identify(&message), packers[i].message);
        wire_clear(&message);
    }
    buffer_clear(&buffer);
}

static void test_unknown_is_named(void **state)
{
    static const struct {
        const char *name, *claim, *quoted;
    } cases[] = {
        {"of another version", "PAUSE",   "'PAUSE'"},
        {"in another case",    "stop",    "'stop'" },
        {"a shorter one",      "STO",     "'STO'"  },
        {"a longer one",       "STOPS",   "'STOPS'"},
        {"of no name",         "",        "''"     },
        {"a format",           "%s%n",    "'%s%n'" },
        {"in colour",          "\x1B[1m", "' [1m'" },
    };
    struct buffer buffer = BUFFER_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        enum proto_message kind = MESSAGE_COUNT;
        struct wire_message message;
        msgpack_packer packer;
        struct error err;

        buffer_reset(&buffer);
        wire_packer(&packer, &buffer);
        msgpack_pack_map(&packer, 1);
        wire_put_text(&packer, "message", cases[i].claim);
        message = decode(&buffer);
        if (message_identify(&message.root, &kind, &err) == 0 ||
            strstr(err.message, cases[i].quoted) == NULL)
            fail_msg("%s: %s", cases[i].name, err.message);
        assert_int_equal(kind, MESSAGE_COUNT);
        wire_clear(&message);
    }
    buffer_clear(&buffer);
}

static void test_no_name_is_refused(void **state)
{
    struct buffer buffer = BUFFER_INIT;
    enum proto_message kind;
    struct wire_message message;
    msgpack_packer packer;
    struct error err;

    (void)state;
    wire_packer(&packer, &buffer);
    msgpack_pack_map(&packer, 1);
    wire_put_u64(&packer, "message", 1);
    message = decode(&buffer);
    assert_int_equal(message_identify(&message.root, &kind, &err), -1);
    wire_clear(&message);

    buffer_reset(&buffer);
    msgpack_pack_map(&packer, 0);
    message = decode(&buffer);
    assert_int_equal(message_identify(&message.root, &kind, &err), -1);
    assert_non_null(strstr(err.message, "message"));
    wire_clear(&message);
    buffer_clear(&buffer);
}

/* --- what they carry ------------------------------------------------------------------ */

static void test_stop(void **state)
{
    struct buffer buffer = BUFFER_INIT;

    (void)state;
    for (int force = 0; force <= 1; force++) {
        struct wire_message message;
        struct error err;
        bool got = !force;

        message_pack_stop(&buffer, force);
        message = decode(&buffer);
        assert_int_equal(wire_get_bool(&message.root, "force", &got, &err), 0);
        assert_int_equal(got, force);
        wire_clear(&message);
    }
    buffer_clear(&buffer);
}

static void expect_stopping(const char *why, bool failed)
{
    struct buffer buffer = BUFFER_INIT;
    struct message_stopping got = {.why = NULL};
    struct wire_message message;
    struct error err;

    message_pack_stopping(&buffer, why, failed);
    message = decode(&buffer);
    if (message_unpack_stopping(&message.root, &got, &err) == -1)
        fail_msg("%zu bytes: %s", strlen(why), err.message);
    assert_string_equal(got.why, why);
    assert_int_equal(got.failed, failed);
    free(got.why);
    wire_clear(&message);
    buffer_clear(&buffer);
}

static void test_stopping(void **state)
{
    (void)state;
    expect_stopping("SIGINT", false);
    expect_stopping("setup failed: \xC3\xA9\xE2\x82\xAC", true);
    expect_stopping("", true);
}

/* The longest that worker.c makes: the words of an error behind those of a fixture. */
static void test_stopping_for_a_long_reason(void **state)
{
    char why[ERROR_SIZE + 64];

    (void)state;
    memset(why, 'x', sizeof(why) - 1);
    why[sizeof(why) - 1] = '\0';
    expect_stopping(why, true);
}

static void test_lost(void **state)
{
    static char name[] = "browse", longest[201];
    const struct message_lost cases[] = {
        {0,        11, 0,   false, name   },
        {7,        9,  0,   true,  NULL   },
        {UINT_MAX, 0,  255, false, NULL   },
        {1,        0,  1,   true,  longest},
    };
    struct buffer buffer = BUFFER_INIT;

    (void)state;
    memset(longest, 'n', sizeof(longest) - 1);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct wire_message message;
        struct message_lost got;
        struct error err;

        message_pack_lost(&buffer, &cases[i]);
        message = decode(&buffer);
        assert_int_equal(message_unpack_lost(&message.root, &got, &err), 0);
        assert_int_equal(got.index, cases[i].index);
        assert_int_equal(got.signal, cases[i].signal);
        assert_int_equal(got.status, cases[i].status);
        assert_int_equal(got.stuck, cases[i].stuck);
        assert_int_equal(got.scenario != NULL, cases[i].scenario != NULL);
        if (got.scenario != NULL)
            assert_string_equal(got.scenario, cases[i].scenario);
        free(got.scenario);
        wire_clear(&message);
    }
    buffer_clear(&buffer);
}

/* What a process says about itself may be anything: numbers that are none are refused. */
static void test_lost_is_checked(void **state)
{
    static const struct {
        const char *name;
        uint64_t index;
        int64_t signal, status;
        const char *field; /* that the error names */
    } cases[] = {
        {"an index beyond an int",     (uint64_t)UINT_MAX + 1, 0,         0,         "index" },
        {"the largest index",          UINT64_MAX,             0,         0,         "index" },
        {"a negative signal",          0,                      -1,        0,         "signal"},
        {"a signal beyond all",        0,                      256,       0,         "signal"},
        {"a negative status",          0,                      0,         -1,        "status"},
        {"a status beyond a process'", 0,                      0,         256,       "status"},
        {"a status beyond an int",     0,                      0,         INT64_MAX, "status"},
        {"a signal beyond an int",     0,                      INT64_MIN, 0,         "signal"},
    };
    struct buffer buffer = BUFFER_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct message_lost got = {.index = 77};
        struct wire_message message;
        msgpack_packer packer;
        struct error err;

        message_begin(&buffer, &packer, MESSAGE_LOST, 4);
        wire_put_u64(&packer, "index", cases[i].index);
        wire_put_i64(&packer, "signal", cases[i].signal);
        wire_put_i64(&packer, "status", cases[i].status);
        wire_put_bool(&packer, "stuck", false);
        message = decode(&buffer);
        if (message_unpack_lost(&message.root, &got, &err) == 0 ||
            strstr(err.message, cases[i].field) == NULL)
            fail_msg("%s: was taken", cases[i].name);
        assert_int_equal(got.index, 77); /* untouched on failure */
        wire_clear(&message);
    }
    buffer_clear(&buffer);
}

/* A refused message leaves nothing behind, and what it would have filled untouched. */
static void test_stopping_is_checked(void **state)
{
    struct buffer buffer = BUFFER_INIT;
    struct message_stopping got = {.failed = false};
    struct wire_message message;
    msgpack_packer packer;
    struct error err;

    (void)state;
    message_begin(&buffer, &packer, MESSAGE_STOPPING, 2);
    wire_put_u64(&packer, "why", 5);
    wire_put_bool(&packer, "failed", true);
    message = decode(&buffer);
    assert_int_equal(message_unpack_stopping(&message.root, &got, &err), -1);
    assert_non_null(strstr(err.message, "why"));
    assert_null(got.why);
    assert_false(got.failed);
    wire_clear(&message);
    buffer_clear(&buffer);
}

/* --- from a stranger ------------------------------------------------------------------ */

/* Reads all that a message may be taken for; what is taken is within its bounds. */
static void take_from_stranger(const void *data, size_t size)
{
    struct message_stopping stopping;
    struct message_lost lost;
    struct wire_message message;
    enum proto_message kind = MESSAGE_COUNT;
    struct error err;

    if (wire_decode(data, size, &message, &err) == -1)
        return;
    if (message_identify(&message.root, &kind, &err) == 0)
        assert_true(kind < MESSAGE_COUNT);
    if (message_unpack_stopping(&message.root, &stopping, &err) == 0) {
        assert_true(strlen(stopping.why) <= size);
        free(stopping.why);
    }
    if (message_unpack_lost(&message.root, &lost, &err) == 0) {
        assert_in_range(lost.signal, 0, 255);
        assert_in_range(lost.status, 0, 255);
        assert_true(lost.scenario == NULL || strlen(lost.scenario) <= size);
        free(lost.scenario);
    }
    wire_clear(&message);
}

/* A copy of exactly so many bytes, so that the sanitizer sees who reads beyond. */
static void take_copy(const char *data, size_t size)
{
    char *const copy = xmalloc(size > 0 ? size : 1);

    memcpy(copy, data, size);
    take_from_stranger(copy, size);
    free(copy);
}

static void test_truncated(void **state)
{
    struct buffer buffer = BUFFER_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(packers); i++) {
        packers[i].pack(&buffer);
        for (size_t size = 0; size < buffer.size; size++) {
            struct wire_message message;

            take_copy(buffer.data, size);
            assert_int_equal(wire_decode(buffer.data, size, &message, NULL), -1);
        }
    }
    buffer_clear(&buffer);
}

static void test_each_byte_mutated(void **state)
{
    struct buffer buffer = BUFFER_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(packers); i++) {
        packers[i].pack(&buffer);
        for (size_t at = 0; at < buffer.size; at++) {
            const char before = buffer.data[at];

            for (int byte = 0; byte < 256; byte++) {
                buffer.data[at] = (char)byte;
                take_copy(buffer.data, buffer.size);
            }
            buffer.data[at] = before;
        }
    }
    buffer_clear(&buffer);
}

static void test_some_bytes_mutated(void **state)
{
    struct random random = random_start("test_some_bytes_mutated");
    struct buffer buffer = BUFFER_INIT;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        packers[random_below(&random, ARRAY_SIZE(packers))].pack(&buffer);
        for (uint64_t left = random_below(&random, 5); left > 0; left--)
            buffer.data[random_below(&random, buffer.size)] =
                (char)random_bits(&random);
        take_copy(buffer.data, buffer.size);
    }
    buffer_clear(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_is_known),
        cmocka_unit_test(test_packers),
        cmocka_unit_test(test_unknown_is_named),
        cmocka_unit_test(test_no_name_is_refused),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_stopping),
        cmocka_unit_test(test_stopping_for_a_long_reason),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_lost_is_checked),
        cmocka_unit_test(test_stopping_is_checked),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_each_byte_mutated),
        cmocka_unit_test(test_some_bytes_mutated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
