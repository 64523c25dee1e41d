#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "stats/delta.h"
#include "unit/random.h"

static void expect_u64(const char *name, uint64_t got, uint64_t want)
{
    if (got != want)
        fail_msg("%s: got %" PRIu64 ", want %" PRIu64, name, got, want);
}

/* --- lines ------------------------------------------------------------------------ */

/* Of 250 lines the last 100 stay, in order, and the others are counted. */
static void test_lines(void **state)
{
    struct delta delta;
    char text[32];

    (void)state;
    delta_init(&delta);
    for (unsigned i = 0; i < 250; i++) {
        snprintf(text, sizeof(text), "line %u", i);
        delta_add_line(&delta, LINE_PRINT, text);
    }
    expect_u64("lines", delta.lines.count, LINES_MAX);
    expect_u64("dropped", delta.stats.lines_dropped, 150);
    for (unsigned i = 0; i < LINES_MAX; i++) {
        snprintf(text, sizeof(text), "line %u", i + 150);
        assert_string_equal(lines_at(&delta.lines, i)->text, text);
    }
    delta_clear(&delta);
}

static void test_line_text(void **state)
{
    static char long_text[2 * LINE_TEXT_MAX];
    struct lines lines = {.count = 0};

    (void)state;
    memset(long_text, 'x', sizeof(long_text) - 1);
    lines_add(&lines, LINE_FAILURE, long_text);
    lines_add(&lines, LINE_NOTICE, "a\nb\xFF");
    expect_u64("cut", strlen(lines_at(&lines, 0)->text), LINE_TEXT_MAX);
    assert_string_equal(lines_at(&lines, 1)->text, "a b\xEF\xBF\xBD");
    lines_clear(&lines);
}

static void test_line_kinds(void **state)
{
    (void)state;
    assert_string_equal(line_kind_word(LINE_ACTIVITY), "activity");
    assert_string_equal(line_kind_word(LINE_NOTICE), "notice");
    assert_null(line_kind_word(0));
    assert_null(line_kind_word(5));
    assert_null(line_kind_word(UINT32_MAX));
}

/* --- merging ---------------------------------------------------------------------- */

static void test_merge_intervals(void **state)
{
    static const struct {
        const char *name;
        uint64_t into[2], from[2], want[2];
    } cases[] = {
        {"one after the other", {1, 5}, {5, 9}, {1, 9}},
        {"the other way round", {5, 9}, {1, 5}, {1, 9}},
        {"one in the other",    {1, 9}, {2, 3}, {1, 9}},
        {"into a new one",      {0, 0}, {5, 9}, {5, 9}},
        {"into a reset one",    {4, 4}, {5, 9}, {5, 9}},
        {"a new one",           {5, 9}, {0, 0}, {5, 9}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct delta into, from;

        delta_init(&into);
        delta_init(&from);
        into.sequence = 7;
        into.from_us = cases[i].into[0];
        into.until_us = cases[i].into[1];
        from.sequence = 9;
        from.from_us = cases[i].from[0];
        from.until_us = cases[i].from[1];
        delta_merge(&into, &from);
        expect_u64(cases[i].name, into.from_us, cases[i].want[0]);
        expect_u64(cases[i].name, into.until_us, cases[i].want[1]);
        expect_u64(cases[i].name, into.sequence, 7);
        delta_clear(&into);
        delta_clear(&from);
    }
}

/* What is dropped and what is there are together all that was added. */
static void test_merge_lines(void **state)
{
    struct delta into, from;

    (void)state;
    delta_init(&into);
    delta_init(&from);
    for (int i = 0; i < 70; i++)
        delta_add_line(&into, LINE_PRINT, "old");
    for (int i = 0; i < 130; i++)
        delta_add_line(&from, LINE_PRINT, "new");
    for (int i = 0; i < 2; i++)
        delta_merge(&into, &from);
    expect_u64("lines", into.lines.count, LINES_MAX);
    expect_u64("dropped", into.stats.lines_dropped, 70 + 2 * 130 - LINES_MAX);
    assert_string_equal(lines_at(&into.lines, 0)->text, "new");
    delta_clear(&into);
    delta_clear(&from);
}

/* --- round trips ------------------------------------------------------------------ */

static void expect_round_trip(const struct delta *delta)
{
    struct buffer first = BUFFER_INIT, second = BUFFER_INIT;
    struct delta arrived;
    struct error err;

    pack_into(&first, delta);
    if (unpack_from(first.data, first.size, &arrived, &err) == -1)
        fail_msg("%s", err.message);
    pack_into(&second, &arrived);
    expect_u64("bytes", second.size, first.size);
    assert_memory_equal(second.data, first.data, first.size);
    assert_int_equal(stats_is_empty(&arrived.stats), stats_is_empty(&delta->stats));
    delta_clear(&arrived);
    buffer_clear(&first);
    buffer_clear(&second);
}

static void fill_at_random(struct random *random, struct delta *delta)
{
    const size_t recordings = (size_t)random_size(random, 10);
    const uint64_t labels = 1 + random_size(random, 6);
    const size_t lines = (size_t)random_below(random, 5);

    delta->sequence = random_size(random, 64);
    delta->from_us = random_size(random, 40);
    delta->until_us = delta->from_us + random_size(random, 30);
    for (size_t i = 0; i < recordings; i++) {
        const struct recording what = random_recording(random, labels);

        record(&delta->stats, &what);
    }
    for (size_t i = 0; i < lines; i++)
        delta_add_line(delta, LINE_ACTIVITY, i % 2 == 0 ? "" : "caf\xC3\xA9");
}

static void test_round_trips(void **state)
{
    struct random random = random_start("round trips");
    struct delta delta;

    (void)state;
    delta_init(&delta);
    expect_round_trip(&delta);
    for (int round = 0; round < 100; round++) {
        fill_at_random(&random, &delta);
        expect_round_trip(&delta);
        delta_reset(&delta, 5);
        expect_round_trip(&delta);
    }
    delta_clear(&delta);
}

/* Names and texts that are empty, strange, or as long as they may be. */
static void test_names_round_trip(void **state)
{
    static char long_name[2 * TABLE_NAME_MAX];
    static const char *const names[] = {"", TABLE_OTHER, "\xE2\x82\xAC", "\x1B\xFF",
                                        long_name};
    struct delta delta;

    (void)state;
    memset(long_name, 'x', sizeof(long_name) - 1);
    delta_init(&delta);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        stats_request(&delta.stats, names[i], names[i], strlen(names[i]))->hits = 1;
        stats_scenario(&delta.stats, names[i])->ok = 1;
        stats_add_error(&delta.stats, names[i], 1, names[i]);
        stats_add_counter(&delta.stats, names[i], -1);
        delta_add_line(&delta, LINE_NOTICE, names[i]);
    }
    expect_round_trip(&delta);
    delta_clear(&delta);
}

/* Sums at their limit are still a delta that others take. */
static void test_saturated_round_trip(void **state)
{
    struct delta delta, copy;
    struct request_stats *request;

    (void)state;
    delta_init(&delta);
    delta_init(&copy);
    request = stats_request(&delta.stats, "GET", "/", 1);
    for (uint64_t value = 1; value < (uint64_t)1 << 40; value *= 3) {
        histogram_record(&request->latency, value);
        stats_add_status(request, (unsigned)(value % 1000), 1);
        stats_add_error(&delta.stats, "e", value, "s");
    }
    for (int i = 0; i < 70; i++) {
        delta_merge(&copy, &delta);
        delta_merge(&delta, &copy);
    }
    expect_u64("count", request->latency.count, UINT64_MAX);
    expect_round_trip(&delta);
    delta_clear(&delta);
    delta_clear(&copy);
}

/* The most there can be (each label, each bucket, each phase, a million of each) is not
 * beyond the limits of a message. */
static void test_largest(void **state)
{
    static struct histogram full, copy;
    struct delta delta;
    char name[TABLE_NAME_MAX];

    (void)state;
    memset(name, 'n', sizeof(name));
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        histogram_record(&full, histogram_bucket_low(i));
    for (int i = 0; i < 20; i++) {
        copy = full;
        histogram_merge(&full, &copy);
    }
    delta_init(&delta);
    for (int i = 0; i < (int)STATS_REQUESTS_MAX; i++) {
        struct request_stats *request;

        name[snprintf(name, 20, "%d", i)] = 'n';
        request = stats_request(&delta.stats, "GET", name, sizeof(name));
        request->latency = full;
        for (size_t phase = 0; phase < PHASE_COUNT; phase++) {
            stats_add_phase(request, (enum stats_phase)phase, 1);
            *request->phases[phase] = full;
        }
    }
    expect_round_trip(&delta);
    delta_clear(&delta);
}

/* --- hostile input ---------------------------------------------------------------- */

/* A small delta with a bit of everything. */
static void pack_sample(struct buffer *buffer)
{
    struct delta delta;
    struct request_stats *request;
    struct scenario_stats *scenario;

    delta_init(&delta);
    delta.sequence = 3;
    delta.from_us = 1000000;
    delta.until_us = 2000000;
    delta.stats.workers_started = 5;
    delta.stats.connections = 300;
    request = stats_request(&delta.stats, "GET", "/a", 2);
    request->hits = 3;
    stats_add_status(request, 200, 2);
    stats_add_status(request, 404, 1);
    histogram_record(&request->latency, 3);
    histogram_record(&request->latency, 150);
    histogram_record(&request->latency, 1000000);
    stats_add_phase(request, PHASE_TLS, 20);
    scenario = stats_scenario(&delta.stats, "s");
    scenario->ok = 1;
    histogram_record(&scenario->latency, 5);
    scenario = stats_scenario(&delta.stats, "t");
    scenario->failed = 1;
    stats_add_error(&delta.stats, "e", 1500000, "x");
    stats_add_counter(&delta.stats, "c", -2);
    delta_add_line(&delta, LINE_FAILURE, "l");
    pack_into(buffer, &delta);
    delta_clear(&delta);
}

/* Either refused with a reason; or taken, and then it is a delta like any other. */
static bool is_taken(const char *what, const void *data, size_t size)
{
    struct error err = {.message = ""};
    struct delta delta, twice;

    if (unpack_from(data, size, &delta, &err) == -1) {
        if (err.message[0] == '\0')
            fail_msg("%s: no reason", what);
        return false;
    }
    assert_true(delta.from_us <= delta.until_us);
    expect_round_trip(&delta);
    delta_init(&twice);
    delta_merge(&twice, &delta);
    delta_merge(&twice, &delta);
    expect_round_trip(&twice);
    delta_clear(&twice);
    delta_clear(&delta);
    return true;
}

static void test_truncations(void **state)
{
    struct buffer buffer = BUFFER_INIT;

    (void)state;
    pack_sample(&buffer);
    assert_true(is_taken("the whole", buffer.data, buffer.size));
    for (size_t size = 0; size < buffer.size; size++) {
        char *const part =
            xmalloc(size > 0 ? size : 1); /* its end is watched by ASan */

        memcpy(part, buffer.data, size);
        if (is_taken("a truncation", part, size))
            fail_msg("the first %zu bytes are taken", size);
        free(part);
    }
    buffer_clear(&buffer);
}

static void test_mutations(void **state)
{
    struct buffer buffer = BUFFER_INIT;
    size_t taken = 0;

    (void)state;
    pack_sample(&buffer);
    for (size_t i = 0; i < buffer.size; i++) {
        const char was = buffer.data[i];

        for (unsigned byte = 0; byte < 256; byte++) {
            buffer.data[i] = (char)byte;
            taken += is_taken("a mutation", buffer.data, buffer.size);
        }
        buffer.data[i] = was;
    }
    assert_true(taken > buffer.size && taken < buffer.size * 128);
    buffer_clear(&buffer);
}

/* --- hostile values: a good message with one value replaced ----------------------- */

#define NUMBER(number) \
    { \
        .type = MSGPACK_OBJECT_POSITIVE_INTEGER, .via.u64 = (number) \
    }
#define TEXT(text) \
    { \
        .type = MSGPACK_OBJECT_STR, .via.str = { \
            .size = sizeof(text) - 1, \
            .ptr = (text) \
        } \
    }
#define BINARY(bytes) \
    { \
        .type = MSGPACK_OBJECT_BIN, .via.bin = { \
            .size = sizeof(bytes) - 1, \
            .ptr = (bytes) \
        } \
    }

static msgpack_object_kv *find_key(const msgpack_object *map, const char *key,
                                   size_t length)
{
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        msgpack_object_kv *const pair = &map->via.map.ptr[i];

        if (pair->key.via.str.size == length &&
            memcmp(pair->key.via.str.ptr, key, length) == 0)
            return pair;
    }
    fail_msg("the sample has no '%s'", key);
    return NULL;
}

/* The value at a path like "requests/0/hits". */
static msgpack_object *find_value(msgpack_object *root, const char *path)
{
    msgpack_object *value = root;

    while (*path != '\0') {
        const size_t length = strcspn(path, "/");

        if (value->type == MSGPACK_OBJECT_ARRAY)
            value = &value->via.array.ptr[strtoul(path, NULL, 10)];
        else
            value = &find_key(value, path, length)->val;
        path += length + (path[length] == '/');
    }
    return value;
}

static void pack_object(struct buffer *buffer, const msgpack_object *object)
{
    msgpack_packer packer;

    buffer_reset(buffer);
    wire_packer(&packer, buffer);
    msgpack_pack_object(&packer, *object);
}

static void test_values(void **state)
{
    static const char name_200[] = "12345678901234567890123456789012345678901234567890"
                                   "12345678901234567890123456789012345678901234567890"
                                   "12345678901234567890123456789012345678901234567890"
                                   "12345678901234567890123456789012345678901234567890";
    static const char name_201[] =
        "12345678901234567890123456789012345678901234567890"
        "12345678901234567890123456789012345678901234567890"
        "12345678901234567890123456789012345678901234567890"
        "12345678901234567890123456789012345678901234567890x";
    static const struct {
        const char *path;
        msgpack_object value;
        const char *want; /* part of the error; NULL: it is taken */
    } cases[] = {
        {"seq",                         NUMBER(UINT64_MAX),             NULL                   },
        {"from_us",                     NUMBER(2000000),                NULL                   },
        {"from_us",                     NUMBER(2000001),                "ends before it begins"},
        {"until_us",                    NUMBER(DELTA_TIME_MAX_US),      NULL                   },
        {"until_us",                    NUMBER(DELTA_TIME_MAX_US + 1),  "until_us"             },
        {"from_us",                     NUMBER(DELTA_TIME_MAX_US + 1),  "from_us"              },
        {"scalars/connections",         NUMBER(0),                      NULL                   },
        {"requests/0/name",             TEXT(""),                       NULL                   },
        {"requests/0/name",             TEXT("no method"),              NULL                   },
        {"requests/0/name",             TEXT("(other)"),                NULL                   },
        {"requests/0/name",             TEXT(name_200),                 NULL                   },
        {"requests/0/name",             TEXT(name_201),                 "200"                  },
        {"requests/0/name",             TEXT("a\x1B"),                  "control"              },
        {"requests/0/name",             TEXT("a\xFF"),                  "UTF-8"                },
        {"requests/0/name",             TEXT("a\0b"),                   "zero"                 },
        {"requests/0/hits",             NUMBER(UINT64_MAX),             NULL                   },
        {"requests/0/statuses/0",       NUMBER(0),                      NULL                   },
        {"requests/0/statuses/2",       NUMBER(200),                    "ascending"            },
        {"requests/0/statuses/2",       NUMBER(199),                    "ascending"            },
        {"requests/0/statuses/2",       NUMBER(999),                    NULL                   },
        {"requests/0/statuses/2",       NUMBER(1000),                   "ascending"            },
        {"requests/0/statuses/1",       NUMBER(0),                      "status"               },
        {"requests/0/latency/count",    NUMBER(2),                      "add up"               },
        {"requests/0/latency/count",    NUMBER(4),                      "add up"               },
        {"requests/0/latency/count",    NUMBER(0),                      "add up"               },
        {"requests/0/latency/min_us",   NUMBER(2),                      "another bucket"       },
        {"requests/0/latency/min_us",   NUMBER(2000000),                "above the maximum"    },
        {"requests/0/latency/max_us",   NUMBER(999424),                 NULL                   },
        {"requests/0/latency/max_us",   NUMBER(999423),                 "another bucket"       },
        {"requests/0/latency/max_us",   NUMBER(UINT64_MAX),             "another bucket"       },
        {"requests/0/latency/sum_us",   NUMBER(9),                      NULL                   },
        {"requests/0/latency/sum_us",   NUMBER(8),                      "mean"                 },
        {"requests/0/latency/sum_us",   NUMBER(3000000),                NULL                   },
        {"requests/0/latency/sum_us",   NUMBER(3000001),                "mean"                 },
        {"requests/0/latency/buckets",  BINARY(""),                     "add up"               },
        {"requests/0/latency/buckets",  BINARY("\3\3"),                 "another bucket"       },
        {"requests/0/latency/buckets",  BINARY("\3\1\x87\1\1\xAE\6\1"), NULL                   },
        {"requests/0/latency/buckets",  BINARY("\3\1\x87\1\1\xAE\6\2"), "add up"               },
        {"requests/0/latency/buckets",  BINARY("\3\1\x87\1\1\xAE\6"),   "number"               },
        {"requests/0/latency/buckets",  BINARY("\3\1\x87\1\1\xAE"),     "number"               },
        {"requests/0/latency/buckets",  BINARY("\3\x81\0"),             "number"               },
        {"requests/0/latency/buckets",  BINARY("\3\0"),                 "empty bucket"         },
        {"requests/0/latency/buckets",  BINARY("\xC0\xD\1"),            "no bucket 1728"       },
        {"requests/0/latency/buckets",  BINARY("\xBF\xD\1\0\1"),        "no bucket 1728"       },
        {"requests/0/latency/buckets",
         BINARY("\3\1\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\1\1"),        "no bucket"            },
        {"requests/0/latency/buckets",
         BINARY("\3\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\2"),            "number"               },
        {"requests/0/latency/buckets",
         BINARY("\3\1\x87\1\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\1"),    "add up"               },
        {"requests/0/phases/tls/count", NUMBER(2),                      "tls: "                },
        {"scenarios/1/latency/sum_us",  NUMBER(1),                      "counts nothing"       },
        {"scenarios/1/name",            TEXT("s"),                      "listed twice"         },
        {"scenarios/0/latency/min_us",  NUMBER(4),                      "another bucket"       },
        {"errors/0/count",              NUMBER(0),                      "never happened"       },
        {"errors/0/sample",             TEXT("a\n"),                    "control"              },
        {"errors/0/sample_us",          NUMBER(DELTA_TIME_MAX_US),      NULL                   },
        {"errors/0/sample_us",          NUMBER(DELTA_TIME_MAX_US + 1),  "sample_us"            },
        {"counters/0/taken",            NUMBER(UINT64_MAX),             NULL                   },
        {"lines/0/kind",                NUMBER(0),                      "no kind"              },
        {"lines/0/kind",                NUMBER(5),                      "no kind"              },
        {"lines/0/kind",                NUMBER(1),                      NULL                   },
        {"lines/0/text",                TEXT("a\tb"),                   "control"              },
    };
    struct buffer sample = BUFFER_INIT, changed = BUFFER_INIT;

    (void)state;
    pack_sample(&sample);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {.message = ""};
        struct wire_message message;
        struct delta delta;
        int rc;

        assert_int_equal(wire_decode(sample.data, sample.size, &message, &err), 0);
        *find_value(&message.root, cases[i].path) = cases[i].value;
        rc = delta_unpack(&message.root, &delta, &err);
        if (rc != (cases[i].want == NULL ? 0 : -1))
            fail_msg("case %zu, %s: returned %d, '%s'", i, cases[i].path, rc,
                     err.message);
        if (rc == -1 && strstr(err.message, cases[i].want) == NULL)
            fail_msg("case %zu, %s: '%s'", i, cases[i].path, err.message);
        if (rc == 0) {
            pack_object(&changed, &message.root);
            assert_true(is_taken(cases[i].path, changed.data, changed.size));
            delta_clear(&delta);
        }
        wire_clear(&message);
    }
    buffer_clear(&sample);
    buffer_clear(&changed);
}

/* Calls `visit` for each value in `object`, with the key it is under ("" in an array). */
static void walk(msgpack_object *object, const char *parent,
                 void (*visit)(msgpack_object_kv *pair, const char *parent, void *data),
                 void *data)
{
    if (object->type == MSGPACK_OBJECT_ARRAY)
        for (uint32_t i = 0; i < object->via.array.size; i++)
            walk(&object->via.array.ptr[i], "", visit, data);
    if (object->type != MSGPACK_OBJECT_MAP)
        return;
    for (uint32_t i = 0; i < object->via.map.size; i++) {
        msgpack_object_kv *const pair = &object->via.map.ptr[i];
        char key[32];

        snprintf(key, sizeof(key), "%.*s", (int)pair->key.via.str.size,
                 pair->key.via.str.ptr);
        visit(pair, parent, data);
        walk(&pair->val, key, visit, data);
    }
}

static bool is_refused(const msgpack_object *root)
{
    struct delta delta;

    if (delta_unpack(root, &delta, NULL) == -1)
        return true;
    delta_clear(&delta);
    return false;
}

static bool is_optional(const char *parent)
{
    return strcmp(parent, "scalars") == 0 || strcmp(parent, "phases") == 0;
}

struct visits {
    const msgpack_object *root;
    size_t count;
};

static void without_field(msgpack_object_kv *pair, const char *parent, void *data)
{
    static const msgpack_object unknown = TEXT("unknown");
    struct visits *const visits = data;
    const msgpack_object key = pair->key;

    pair->key = unknown;
    if (is_refused(visits->root) == is_optional(parent))
        fail_msg("a delta without '%.*s' of '%s'", (int)key.via.str.size,
                 key.via.str.ptr, parent);
    pair->key = key;
    visits->count++;
}

static void with_wrong_types(msgpack_object_kv *pair, const char *parent, void *data)
{
    static const msgpack_object wrongs[] = {
        {.type = MSGPACK_OBJECT_NIL                    },
        { .type = MSGPACK_OBJECT_BOOLEAN,                           .via.boolean = true},
        { .type = MSGPACK_OBJECT_NEGATIVE_INTEGER,                                 .via.i64 = -1},
        { .type = MSGPACK_OBJECT_FLOAT64,                                  .via.f64 = 1},
        { .type = MSGPACK_OBJECT_EXT, .via.ext = {.type = 1, .size = 1, .ptr = "x"}},
        NUMBER(1),
        TEXT("word"),
        BINARY("\1\1"),
        { .type = MSGPACK_OBJECT_ARRAY,                      .via.array = {.size = 0}},
        { .type = MSGPACK_OBJECT_MAP,                        .via.map = {.size = 0}},
    };
    struct visits *const visits = data;
    const msgpack_object value = pair->val;

    for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++) {
        pair->val = wrongs[i];
        if (wrongs[i].type != value.type && !is_refused(visits->root))
            fail_msg("'%.*s' of '%s' is taken with type %d",
                     (int)pair->key.via.str.size, pair->key.via.str.ptr, parent,
                     (int)wrongs[i].type);
    }
    pair->val = value;
    visits->count++;
}

/* Each field is needed, in the type that it has. */
static void test_fields(void **state)
{
    struct buffer sample = BUFFER_INIT;
    struct wire_message message;
    struct visits visits = {.root = &message.root};
    struct error err;

    (void)state;
    pack_sample(&sample);
    assert_int_equal(wire_decode(sample.data, sample.size, &message, &err), 0);
    walk(&message.root, "", without_field, &visits);
    walk(&message.root, "", with_wrong_types, &visits);
    assert_true(visits.count > 100);
    wire_clear(&message);
    buffer_clear(&sample);
}

/* A later version may say more. */
static void test_unknown_fields(void **state)
{
    struct buffer buffer = BUFFER_INIT;

    (void)state;
    pack_sample(&buffer);
    assert_int_equal((unsigned char)buffer.data[0], 0x89);
    buffer.data[0] = '\x8A';
    buffer_add(&buffer, "\xA5later\x92\x01\xC0", 9);
    assert_true(is_taken("a later version", buffer.data, buffer.size));
    buffer_clear(&buffer);
}

/* More rows than a table may have, and as many. */
static void test_row_counts(void **state)
{
    static const struct {
        const char *name;
        uint32_t rows;
        bool has_other, want;
    } cases[] = {
        {"at the limit",               200, false, true },
        {"at the limit and the other", 201, true,  true },
        {"one more instead",           201, false, false},
        {"one more",                   202, true,  false},
    };
    struct buffer sample = BUFFER_INIT;

    (void)state;
    pack_sample(&sample);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct wire_message message;
        msgpack_object rows[202];
        msgpack_object_kv fields[202][3];
        char names[202][16];
        msgpack_object *counters;
        struct error err;

        assert_int_equal(wire_decode(sample.data, sample.size, &message, &err), 0);
        counters = find_value(&message.root, "counters");
        for (uint32_t k = 0; k < cases[i].rows; k++) {
            const bool is_other = k == 0 && cases[i].has_other;
            const int length = snprintf(names[k], sizeof(names[k]),
                                        is_other ? TABLE_OTHER : "name %u", k);

            rows[k] = counters->via.array.ptr[0];
            memcpy(fields[k], rows[k].via.map.ptr, sizeof(fields[k]));
            rows[k].via.map.ptr = fields[k];
            fields[k][0].val.via.str.ptr = names[k];
            fields[k][0].val.via.str.size = (uint32_t)length;
        }
        counters->via.array.ptr = rows;
        counters->via.array.size = cases[i].rows;
        if (is_refused(&message.root) == cases[i].want)
            fail_msg("%s", cases[i].name);
        wire_clear(&message);
    }
    buffer_clear(&sample);
}

/* Counts that lie never reach msgpack-c, wherever they are. */
static void test_lying_counts(void **state)
{
    static const char *const heads[] = {"\xDD\xFF\xFF\xFF\xFF", "\xDF\xFF\xFF\xFF\xFF",
                                        "\xDB\xFF\xFF\xFF\xFF", "\xC6\xFF\xFF\xFF\xFF",
                                        "\xC9\xFF\xFF\xFF\xFF"};
    struct buffer sample = BUFFER_INIT, changed = BUFFER_INIT;

    (void)state;
    pack_sample(&sample);
    for (size_t i = 0; i < sample.size; i++) {
        for (size_t h = 0; h < ARRAY_SIZE(heads); h++) {
            buffer_reset(&changed);
            buffer_add(&changed, sample.data, i);
            buffer_add(&changed, heads[h], 5);
            buffer_add(&changed, sample.data + i, sample.size - i);
            is_taken("a lying count", changed.data, changed.size);
        }
    }
    buffer_clear(&sample);
    buffer_clear(&changed);
}

/* A map is not a delta because it is a map. */
static void test_other_messages(void **state)
{
    static const char *const messages[] = {"\x80", "\x81\xA3seq\x01", "\x90", "\xC0"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
        assert_false(is_taken("another message", messages[i], strlen(messages[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_line_text),
        cmocka_unit_test(test_line_kinds),
        cmocka_unit_test(test_merge_intervals),
        cmocka_unit_test(test_merge_lines),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_names_round_trip),
        cmocka_unit_test(test_saturated_round_trip),
        cmocka_unit_test(test_largest),
        cmocka_unit_test(test_truncations),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_unknown_fields),
        cmocka_unit_test(test_row_counts),
        cmocka_unit_test(test_lying_counts),
        cmocka_unit_test(test_other_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
