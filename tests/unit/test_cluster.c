#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/text.h"
#include "unit/samples.h"

/* --- fields of a message -------------------------------------------------------------- */

enum { FIELDS_MAX = 100, PATH_SIZE = 100 };

/* A field, also one of a map within the message. */
struct field {
    char path[PATH_SIZE]; /* "facts.agents.0.pid" */
    const char *key;      /* "pid": the end of the path */
    msgpack_object_kv *entry;
};

struct fields {
    struct field items[FIELDS_MAX];
    size_t count;
};

static bool is_word(const msgpack_object *object, const char *word)
{
    return object->type == MSGPACK_OBJECT_STR && object->via.str.size == strlen(word) &&
           memcmp(object->via.str.ptr, word, strlen(word)) == 0;
}

/* What has tests of its own. */
static bool is_tested_elsewhere(const char *path)
{
    return strcmp(path, "job") == 0 || strcmp(path, "delta") == 0;
}

static void add_field(struct fields *fields, const char *above,
                      msgpack_object_kv *entry)
{
    struct field *const field = &fields->items[fields->count++];

    assert_true(fields->count <= FIELDS_MAX);
    snprintf(field->path, sizeof(field->path), "%s%.*s", above,
             (int)entry->key.via.str.size, entry->key.via.str.ptr);
    field->key = field->path + strlen(above);
    field->entry = entry;
}

/* Of an array, what is in its first entry stands for all. */
static void collect_fields(struct fields *fields, const char *above,
                           const msgpack_object *map)
{
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object *const value = &map->via.map.ptr[i].val;
        char path[PATH_SIZE], below[PATH_SIZE + 3];

        if (is_word(&map->via.map.ptr[i].key, "message"))
            continue;
        add_field(fields, above, &map->via.map.ptr[i]);
        strcpy(path, fields->items[fields->count - 1].path);
        if (is_tested_elsewhere(path))
            continue;
        snprintf(below, sizeof(below), "%s.", path);
        if (value->type == MSGPACK_OBJECT_MAP) {
            collect_fields(fields, below, value);
        } else if (value->type == MSGPACK_OBJECT_ARRAY &&
                   value->via.array.ptr[0].type == MSGPACK_OBJECT_MAP) {
            snprintf(below, sizeof(below), "%s.0.", path);
            collect_fields(fields, below, &value->via.array.ptr[0]);
        }
    }
}

/* A sample as it came over the wire, and what its reader makes of it. */
struct received {
    const struct sample *sample;
    struct buffer bytes, again;
    struct wire_message message;
    struct fields fields;
    struct error err;
};

static void receive(struct received *received, const struct sample *sample)
{
    *received = (struct received){.sample = sample};
    sample->pack(&received->bytes);
    if (wire_decode(received->bytes.data, received->bytes.size, &received->message,
                    &received->err) == -1)
        fail_msg("%s: %s", proto_message_names[sample->message], received->err.message);
    collect_fields(&received->fields, "", &received->message.root);
}

static void forget(struct received *received)
{
    wire_clear(&received->message);
    buffer_clear(&received->bytes);
    buffer_clear(&received->again);
}

static int reread(struct received *received)
{
    received->err.message[0] = '\0';
    return received->sample->repack(&received->message.root, &received->again,
                                    &received->err);
}

static bool is_the_same(const struct received *received)
{
    return received->again.size == received->bytes.size &&
           memcmp(received->again.data, received->bytes.data, received->bytes.size) ==
               0;
}

static void expect_taken(struct received *received, const char *what)
{
    if (reread(received) == -1)
        fail_msg("%s %s: %s: %s", proto_message_names[received->sample->message],
                 received->sample->form, what, received->err.message);
}

/* Refused, and the error names the field. */
static void expect_refused(struct received *received, const char *what, const char *key)
{
    char quoted[PATH_SIZE + 2];

    snprintf(quoted, sizeof(quoted), "\"%s\"", key);
    if (reread(received) == 0)
        fail_msg("%s %s: %s: \"%s\" was taken",
                 proto_message_names[received->sample->message], received->sample->form,
                 what, key);
    if (strstr(received->err.message, quoted) == NULL)
        fail_msg("%s %s: %s: \"%s\" is not named: %s",
                 proto_message_names[received->sample->message], received->sample->form,
                 what, key, received->err.message);
}

static bool is_optional(const struct sample *sample, const char *path)
{
    char padded[PATH_SIZE + 2];

    snprintf(padded, sizeof(padded), " %s ", path);
    return sample->optional != NULL && strstr(sample->optional, padded) != NULL;
}

static msgpack_object *find_field(const struct received *received, const char *path)
{
    for (size_t i = 0; i < received->fields.count; i++)
        if (strcmp(received->fields.items[i].path, path) == 0)
            return &received->fields.items[i].entry->val;
    return NULL;
}

/* The first sample of a message that has the field; and that field, to be changed. */
static msgpack_object *receive_with(struct received *received,
                                    enum proto_message message, const char *path)
{
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        msgpack_object *value;

        if (samples[i].message != message)
            continue;
        receive(received, &samples[i]);
        value = find_field(received, path);
        if (value != NULL)
            return value;
        forget(received);
    }
    fail_msg("no %s has a %s", proto_message_names[message], path);
    return NULL;
}

/* Decodes what was packed and reads it: refused with these words; NULL: taken. */
static void expect_reason(struct received *received,
                          int (*repack)(const msgpack_object *map,
                                        struct buffer *buffer, struct error *err),
                          const char *why)
{
    int rc;

    assert_int_equal(wire_decode(received->bytes.data, received->bytes.size,
                                 &received->message, NULL),
                     0);
    rc = repack(&received->message.root, &received->again, &received->err);
    if (rc == 0 && why != NULL)
        fail_msg("was taken, though %s", why);
    if (rc == -1 && (why == NULL || strstr(received->err.message, why) == NULL))
        fail_msg("%s, not %s", received->err.message, why != NULL ? why : "taken");
    wire_clear(&received->message);
    buffer_clear(&received->again);
}

static const char *key_of(const char *path)
{
    const char *const dot = strrchr(path, '.');

    return dot != NULL ? dot + 1 : path;
}

static msgpack_object text_object(const char *text)
{
    return (msgpack_object){
        .type = MSGPACK_OBJECT_STR,
        .via.str = {.ptr = text, .size = (uint32_t)strlen(text)},
    };
}

static msgpack_object number_object(uint64_t number)
{
    return (msgpack_object){.type = MSGPACK_OBJECT_POSITIVE_INTEGER, .via.u64 = number};
}

static msgpack_object double_object(double number)
{
    return (msgpack_object){.type = MSGPACK_OBJECT_FLOAT64, .via.f64 = number};
}

/* --- all messages --------------------------------------------------------------------- */

static void test_every_message_has_a_sample(void **state)
{
    bool has_sample[MESSAGE_COUNT] = {false};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
        has_sample[samples[i].message] = true;
    for (size_t i = 0; i < MESSAGE_COUNT; i++)
        if (!has_sample[i])
            fail_msg("%s has no row in samples.h", proto_message_names[i]);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        enum proto_message message = MESSAGE_COUNT;
        struct received received;

        receive(&received, &samples[i]);
        assert_int_equal(message_identify(&received.message.root, &message, NULL), 0);
        assert_int_equal(message, samples[i].message);
        expect_taken(&received, "as it is");
        if (!is_the_same(&received))
            fail_msg("%s %s: what was read is not what was written",
                     proto_message_names[message], samples[i].form);
        forget(&received);
    }
}

static void test_each_field_missing(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        struct received received;

        receive(&received, &samples[i]);
        for (size_t k = 0; k < received.fields.count; k++) {
            const struct field *const field = &received.fields.items[k];
            const msgpack_object key = field->entry->key;

            field->entry->key.type = MSGPACK_OBJECT_NIL;
            if (is_optional(&samples[i], field->path))
                expect_taken(&received, "without a field that is optional");
            else
                expect_refused(&received, "without it", field->key);
            field->entry->key = key;
        }
        expect_taken(&received, "as it was");
        forget(&received);
    }
}

static void test_each_field_of_another_type(void **state)
{
    static const msgpack_object others[] = {
        {.type = MSGPACK_OBJECT_NIL          },
        { .type = MSGPACK_OBJECT_NEGATIVE_INTEGER,                       .via.i64 = -1},
        { .type = MSGPACK_OBJECT_BOOLEAN,                 .via.boolean = true},
        { .type = MSGPACK_OBJECT_FLOAT64,                      .via.f64 = 1.5},
        { .type = MSGPACK_OBJECT_BIN,  .via.bin = {.ptr = "x", .size = 1}},
        { .type = MSGPACK_OBJECT_EXT,  .via.ext = {.ptr = "x", .size = 1}},
        { .type = MSGPACK_OBJECT_STR, .via.str = {.ptr = "\0", .size = 1}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        struct received received;

        receive(&received, &samples[i]);
        for (size_t k = 0; k < received.fields.count; k++) {
            const struct field *const field = &received.fields.items[k];
            const msgpack_object value = field->entry->val;

            for (size_t other = 0; other < ARRAY_SIZE(others); other++) {
                if (others[other].type == value.type &&
                    value.type != MSGPACK_OBJECT_STR)
                    continue;
                field->entry->val = others[other];
                expect_refused(&received, "of another type", field->key);
            }
            field->entry->val = value;
        }
        forget(&received);
    }
}

/* What a reader does not know, it ignores: a later version may say more. */
static void test_unknown_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        msgpack_object_kv entries[FIELDS_MAX];
        struct received received;
        msgpack_object_map *map;

        receive(&received, &samples[i]);
        map = &received.message.root.via.map;
        memcpy(entries, map->ptr, map->size * sizeof(entries[0]));
        entries[map->size] = (msgpack_object_kv){
            .key = {.type = MSGPACK_OBJECT_STR, .via.str = {.ptr = "new", .size = 3}},
            .val = {.type = MSGPACK_OBJECT_EXT, .via.ext = {.ptr = "x", .size = 1}  },
        };
        map->ptr = entries;
        map->size++;
        expect_taken(&received, "with a field that is not known");
        assert_true(is_the_same(&received));
        forget(&received);
    }
}

static const char dirty[] = "a\x1B[2J\n\xFF\xC2\x9Bz";
static const char clean[] = "a [2J \xEF\xBF\xBD z";

/* Whatever is sent on, and whatever is said of it, could be shown on a terminal. */
static void test_each_text_is_clean(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        struct received received;

        receive(&received, &samples[i]);
        for (size_t k = 0; k < received.fields.count; k++) {
            const struct field *const field = &received.fields.items[k];
            const msgpack_object value = field->entry->val;

            if (value.type != MSGPACK_OBJECT_STR)
                continue;
            field->entry->val.via.str.ptr = dirty;
            field->entry->val.via.str.size = (uint32_t)strlen(dirty);
            if (reread(&received) == 0)
                assert_null(
                    memmem(received.again.data, received.again.size, "\x1B", 1));
            assert_true(
                text_is_clean(received.err.message, strlen(received.err.message)));
            field->entry->val = value;
        }
        forget(&received);
    }
}

/* The reader itself cleans: it is what shows or stores them. */
static void test_texts_are_cleaned_on_reading(void **state)
{
    struct received received;
    struct message_update update;
    struct message_pong pong;
    char *why;

    (void)state;
    *receive_with(&received, MESSAGE_REFUSED, "why") = text_object(dirty);
    assert_int_equal(message_unpack_why(&received.message.root, &why, NULL), 0);
    assert_string_equal(why, clean);
    free(why);
    forget(&received);

    *receive_with(&received, MESSAGE_PONG, "program") = text_object(dirty);
    *find_field(&received, "agents.0.name") = text_object(dirty);
    assert_int_equal(message_unpack_pong(&received.message.root, &pong, NULL), 0);
    assert_string_equal(pong.program, clean);
    assert_string_equal(pong.agents[0].name, clean);
    message_pong_clear(&pong);
    forget(&received);

    *receive_with(&received, MESSAGE_UPDATE, "trouble") = text_object(dirty);
    *find_field(&received, "facts.test") = text_object(dirty);
    *find_field(&received, "facts.lost.0.scenario") = text_object(dirty);
    assert_int_equal(
        message_unpack_update(&received.message.root, MESSAGE_UPDATE, &update, NULL),
        0);
    assert_string_equal(update.trouble, clean);
    assert_string_equal(update.facts.test, clean);
    assert_string_equal(update.facts.lost[0].scenario, clean);
    message_update_clear(&update);
    forget(&received);
}

/* The form on the wire, as README.md has it: a change here is a change of the protocol. */
static void test_as_documented(void **state)
{
    /* clang-format off */
    static const struct {
        enum proto_message message;
        const char *path; /* the part that is compared; "": the whole, which then has
                           * neither a job nor a delta */
        const char *text;
    } cases[] = {
        {MESSAGE_TEARDOWN, "", "{\"message\"=>\"TEARDOWN\"}"},
        {MESSAGE_STOPPING, "",
         "{\"message\"=>\"STOPPING\", \"why\"=>\"setup failed: no server\", "
         "\"failed\"=>true}"},
        {MESSAGE_LOST, "",
         "{\"message\"=>\"LOST\", \"index\"=>3, \"signal\"=>11, \"status\"=>2, "
         "\"stuck\"=>true, \"scenario\"=>\"browse\"}"},
        {MESSAGE_PING, "", "{\"message\"=>\"PING\", \"version\"=>1}"},
        {MESSAGE_PONG, "",
         "{\"message\"=>\"PONG\", \"pid\"=>99, \"program\"=>\"0.1.0\", "
         "\"frontend\"=>\"tcp://10.0.0.1:7780\", \"backend\"=>\"tcp://0.0.0.0:7781\", "
         "\"publisher\"=>\"ipc:///run/p\", \"temporary\"=>true, "
         "\"agents\"=>[{\"name\"=>\"lemon\", \"host\"=>\"10.0.0.7\", \"pid\"=>4711, "
         "\"run\"=>\"" SAMPLE_RUN "\"}, "
         "{\"name\"=>\"10.0.0.7\", \"host\"=>\"lemon\", \"pid\"=>1, "
         "\"silent\"=>true}], "
         "\"runs\"=>[{\"run\"=>\"" SAMPLE_RUN "\", \"agents\"=>1}]}"},
        {MESSAGE_RUNS, "",
         "{\"message\"=>\"RUNS\", \"runs\"=>[{\"run\"=>\"" SAMPLE_RUN "\", "
         "\"test\"=>\"loadtest.c\", \"state\"=>\"running\", \"agents\"=>5, "
         "\"created_wall_s\"=>1735787045.500000, \"elapsed_us\"=>60000000}, "
         "{\"run\"=>\"an-old-one\", \"test\"=>\"loadtest.c\", \"state\"=>\"stopped\", "
         "\"agents\"=>1, \"created_wall_s\"=>1735780000.000000, \"elapsed_us\"=>0}]}"},
        {MESSAGE_RUN, "agents", "5"},
        {MESSAGE_RUN, "keep_cluster", "true"},
        {MESSAGE_RUN, "bundle.directory", "\"project\""},
        {MESSAGE_RUN, "bundle.test", "\"project/tests/load.c\""},
        {MESSAGE_RUN, "bundle.object_size", "60000"},
        {MESSAGE_RUN, "bundle.files.0.path", "\"project/tests/load.c\""},
        {MESSAGE_RUN, "bundle.files.0.size", "6"},
        {MESSAGE_ACCEPTED, "",
         "{\"message\"=>\"ACCEPTED\", \"run\"=>\"" SAMPLE_RUN "\", "
         "\"state\"=>\"stopped\"}"},
        {MESSAGE_SNAPSHOT, "",
         "{\"message\"=>\"SNAPSHOT\", \"version\"=>1, \"run\"=>\"" SAMPLE_RUN "\", "
         "\"after\"=>18446744073709551615}"},
        {MESSAGE_STOP, "why", "\"SIGINT\""},
        {MESSAGE_UPDATE, "after", "11"},
        {MESSAGE_UPDATE, "revision", "12"},
        {MESSAGE_UPDATE, "elapsed_us", "60000000"},
        {MESSAGE_UPDATE, "trouble", "\"the disk is full\""},
        {MESSAGE_UPDATE, "facts",
         "{\"state\"=>\"stopping\", \"run\"=>\"" SAMPLE_RUN "\", \"test\"=>\"loadtest.c\", "
         "\"interrupted_by\"=>\"SIGINT\", \"failure\"=>\"a process died\", "
         "\"created_wall_s\"=>1735787045.500000, \"started_wall_s\"=>1735787046.250000, "
         "\"processes\"=>4, \"workers\"=>400, \"duration_s\"=>60.000000, "
         "\"max_runs\"=>1000, "
         "\"agents\"=>[{\"name\"=>\"lemon\", \"host\"=>\"10.0.0.7\", \"pid\"=>4711, "
         "\"state\"=>\"lost\", \"lost_at_us\"=>31000000, \"counted\"=>{\"ok\"=>1, "
         "\"failed\"=>2, \"cancelled\"=>3, \"hits\"=>4, \"hit_errors\"=>5, "
         "\"unsent\"=>6, \"bytes_in\"=>7, \"bytes_out\"=>8}}, "
         "{\"name\"=>\"lime\", \"host\"=>\"10.0.0.8\", \"pid\"=>4712, "
         "\"state\"=>\"running\", \"lost_at_us\"=>0, \"counted\"=>{\"ok\"=>0, "
         "\"failed\"=>0, \"cancelled\"=>0, \"hits\"=>0, \"hit_errors\"=>0, "
         "\"unsent\"=>0, \"bytes_in\"=>0, \"bytes_out\"=>0}}], "
         "\"lost\"=>[{\"agent\"=>1, \"index\"=>2, \"signal\"=>11, \"status\"=>0, "
         "\"stuck\"=>false, \"scenario\"=>\"browse\"}]}"},
        {MESSAGE_END_OF_RUN, "series",
         "{\"workers\"=>6, \"workers_max\"=>6, "
         "\"rows\"=>[2, 1, 3, 70000, 0, 0, 3, 0, 2, 1, 6, 70000]}"},
        {MESSAGE_REGISTER, "",
         "{\"message\"=>\"REGISTER\", \"version\"=>1, \"instance\"=>\"lemon.4711-9\", "
         "\"name\"=>\"lemon\", \"host\"=>\"10.0.0.7\", \"pid\"=>4711, "
         "\"temporary\"=>true, \"claim\"=>{\"run\"=>\"" SAMPLE_RUN "\", "
         "\"state\"=>\"running\", \"stopping\"=>true, \"forced\"=>false, "
         "\"sequence\"=>41}}"},
        {MESSAGE_REGISTERED, "",
         "{\"message\"=>\"REGISTERED\", \"run\"=>\"" SAMPLE_RUN "\", \"sequence\"=>41}"},
        {MESSAGE_BEAT, "",
         "{\"message\"=>\"BEAT\", \"claim\"=>{\"run\"=>\"" SAMPLE_RUN "\", "
         "\"state\"=>\"running\", \"stopping\"=>true, \"forced\"=>false, "
         "\"sequence\"=>41}}"},
        {MESSAGE_PREPARE, "index", "4"},
        {MESSAGE_PREPARE, "agents", "5"},
        {MESSAGE_REPORT, "stopping", "{\"why\"=>\"--exception\", \"failed\"=>true}"},
        {MESSAGE_REPORT, "lost",
         "[{\"index\"=>1, \"signal\"=>9, \"status\"=>0, \"stuck\"=>true, "
         "\"scenario\"=>\"browse\"}, "
         "{\"index\"=>2, \"signal\"=>0, \"status\"=>137, \"stuck\"=>false}]"},
        {MESSAGE_REPORT, "ended", "true"},
        {MESSAGE_REPORT, "failure", "\"it died\""},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[2000];
        struct received received;

        if (cases[i].path[0] != '\0') {
            const msgpack_object *const part =
                receive_with(&received, cases[i].message, cases[i].path);

            msgpack_object_print_buffer(text, sizeof(text), *part);
        } else {
            for (size_t k = 0; k < ARRAY_SIZE(samples); k++) {
                if (samples[k].message != cases[i].message)
                    continue;
                receive(&received, &samples[k]);
                break;
            }
            msgpack_object_print_buffer(text, sizeof(text), received.message.root);
        }
        assert_string_equal(text, cases[i].text);
        forget(&received);
    }
}

static void expect_in_readme(const struct buffer *readme, const char *word)
{
    char quoted[PATH_SIZE + 2];

    snprintf(quoted, sizeof(quoted), "`%s`", word);
    if (strstr(buffer_text(readme), quoted) == NULL)
        fail_msg("proto/README.md does not tell of %s", quoted);
}

/* Who has nothing but README.md finds every message, every field, and every word in it. */
static void test_all_is_documented(void **state)
{
    struct buffer readme = BUFFER_INIT;
    struct job job;
    struct option_table options;
    struct error err;

    (void)state;
    if (file_read(PROTO_README, 1 << 20, &readme, &err) == -1)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < MESSAGE_COUNT; i++)
        if (strstr(buffer_text(&readme), proto_message_names[i]) == NULL)
            fail_msg("proto/README.md does not tell of %s", proto_message_names[i]);
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        struct received received;

        receive(&received, &samples[i]);
        for (size_t k = 0; k < received.fields.count; k++)
            expect_in_readme(&readme, received.fields.items[k].key);
        forget(&received);
    }
    for (size_t i = 0; i < RUN_STATE_COUNT; i++)
        expect_in_readme(&readme, run_state_words[i]);
    for (size_t i = 0; i < AGENT_STATE_COUNT; i++)
        expect_in_readme(&readme, agent_state_words[i]);
    options = job_options(&job);
    for (size_t i = 0; i < options.count; i++)
        if (!options.rows[i].local && options.rows[i].name != NULL)
            expect_in_readme(&readme, options.rows[i].name);
    buffer_clear(&readme);
}

/* --- values within bounds ------------------------------------------------------------- */

/* The longest text that is taken is taken whole, and one byte more is refused. */
static void test_longest_texts(void **state)
{
    static const struct {
        enum proto_message message;
        const char *path;
        uint32_t most;
    } cases[] = {
        {MESSAGE_REFUSED,  "why",                   2048},
        {MESSAGE_STOPPING, "why",                   2048},
        {MESSAGE_STOP,     "why",                   2048},
        {MESSAGE_LOST,     "scenario",              256 },
        {MESSAGE_PONG,     "program",               100 },
        {MESSAGE_PONG,     "frontend",              300 },
        {MESSAGE_PONG,     "backend",               300 },
        {MESSAGE_PONG,     "publisher",             300 },
        {MESSAGE_PONG,     "agents.0.name",         200 },
        {MESSAGE_PONG,     "agents.0.host",         200 },
        {MESSAGE_PONG,     "agents.0.run",          64  },
        {MESSAGE_PONG,     "runs.0.run",            64  },
        {MESSAGE_RUNS,     "runs.0.run",            64  },
        {MESSAGE_RUNS,     "runs.0.test",           4096},
        {MESSAGE_RUN,      "bundle.directory",      1000},
        {MESSAGE_ACCEPTED, "run",                   64  },
        {MESSAGE_SNAPSHOT, "run",                   64  },
        {MESSAGE_UPDATE,   "trouble",               2048},
        {MESSAGE_UPDATE,   "facts.run",             64  },
        {MESSAGE_UPDATE,   "facts.test",            4096},
        {MESSAGE_UPDATE,   "facts.interrupted_by",  2048},
        {MESSAGE_UPDATE,   "facts.failure",         2048},
        {MESSAGE_UPDATE,   "facts.agents.0.name",   200 },
        {MESSAGE_UPDATE,   "facts.agents.0.host",   200 },
        {MESSAGE_UPDATE,   "facts.lost.0.scenario", 256 },
        {MESSAGE_REGISTER, "instance",              64  },
        {MESSAGE_REGISTER, "name",                  200 },
        {MESSAGE_REGISTER, "host",                  200 },
        {MESSAGE_REGISTER, "claim.run",             64  },
        {MESSAGE_REPORT,   "failure",               2048},
        {MESSAGE_REPORT,   "stopping.why",          2048},
    };
    static char text[5000];

    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct received received;
        msgpack_object *const value =
            receive_with(&received, cases[i].message, cases[i].path);

        value->via.str.ptr = text;
        value->via.str.size = cases[i].most;
        expect_taken(&received, cases[i].path);
        assert_non_null(
            memmem(received.again.data, received.again.size, text, cases[i].most));
        value->via.str.size++;
        expect_refused(&received, "with one byte too many", key_of(cases[i].path));
        forget(&received);
    }
}

static void test_largest_numbers(void **state)
{
    const uint64_t pid = INT32_MAX, time_us = (uint64_t)1 << 53, file = 48 << 20;
    const struct {
        enum proto_message message;
        const char *path;
        uint64_t most;
    } cases[] = {
        {MESSAGE_LOST,       "index",                       UINT32_MAX    },
        {MESSAGE_LOST,       "signal",                      255           },
        {MESSAGE_LOST,       "status",                      255           },
        {MESSAGE_PONG,       "pid",                         pid           },
        {MESSAGE_PONG,       "agents.0.pid",                pid           },
        {MESSAGE_PONG,       "runs.0.agents",               10000         },
        {MESSAGE_RUNS,       "runs.0.agents",               10000         },
        {MESSAGE_RUNS,       "runs.0.elapsed_us",           time_us       },
        {MESSAGE_RUN,        "agents",                      10000         },
        {MESSAGE_RUN,        "bundle.object_size",          file          },
        {MESSAGE_RUN,        "bundle.files.0.size",         file          },
        {MESSAGE_PREPARE,    "index",                       4             },
        {MESSAGE_PREPARE,    "agents",                      10000         },
        {MESSAGE_SNAPSHOT,   "after",                       UINT64_MAX    },
        {MESSAGE_UPDATE,     "after",                       12            },
        {MESSAGE_UPDATE,     "revision",                    UINT64_MAX    },
        {MESSAGE_UPDATE,     "elapsed_us",                  time_us       },
        {MESSAGE_UPDATE,     "facts.processes",             10240000      },
        {MESSAGE_UPDATE,     "facts.workers",               10240000000000},
        {MESSAGE_UPDATE,     "facts.max_runs",              1000000000000 },
        {MESSAGE_UPDATE,     "facts.agents.0.pid",          pid           },
        {MESSAGE_UPDATE,     "facts.agents.0.lost_at_us",   time_us       },
        {MESSAGE_UPDATE,     "facts.agents.0.counted.hits", UINT64_MAX    },
        {MESSAGE_UPDATE,     "facts.lost.0.agent",          1             },
        {MESSAGE_END_OF_RUN, "after",                       0             },
        {MESSAGE_END_OF_RUN, "series.workers",              6             },
        {MESSAGE_REGISTER,   "pid",                         pid           },
        {MESSAGE_REGISTER,   "claim.sequence",              UINT64_MAX    },
        {MESSAGE_ACK,        "sequence",                    UINT64_MAX    },
        {MESSAGE_REGISTERED, "sequence",                    UINT64_MAX    },
        {MESSAGE_REPORT,     "lost.0.status",               255           },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct received received;
        msgpack_object *const value =
            receive_with(&received, cases[i].message, cases[i].path);

        *value = number_object(cases[i].most);
        expect_taken(&received, cases[i].path);
        if (cases[i].most < UINT64_MAX) {
            *value = number_object(cases[i].most + 1);
            expect_refused(&received, "one too many", key_of(cases[i].path));
            *value = number_object(UINT64_MAX);
            expect_refused(&received, "the largest number", key_of(cases[i].path));
        }
        forget(&received);
    }
}

static void test_smallest_numbers(void **state)
{
    static const struct {
        enum proto_message message;
        const char *path;
    } cases[] = {
        {MESSAGE_RUN,     "agents"},
        {MESSAGE_PREPARE, "agents"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct received received;

        *receive_with(&received, cases[i].message, cases[i].path) = number_object(0);
        expect_refused(&received, "zero", cases[i].path);
        forget(&received);
    }
}

static void test_seconds(void **state)
{
    static const struct {
        enum proto_message message;
        const char *path;
        double most;
    } cases[] = {
        {MESSAGE_RUNS,   "runs.0.created_wall_s", 253402300799},
        {MESSAGE_UPDATE, "facts.created_wall_s",  253402300799},
        {MESSAGE_UPDATE, "facts.started_wall_s",  253402300799},
        {MESSAGE_UPDATE, "facts.duration_s",      31536000    },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const double wrong[] = {
            -0.001, cases[i].most * 1.001, 1e300, HUGE_VAL, -HUGE_VAL, NAN};
        struct received received;
        msgpack_object *const value =
            receive_with(&received, cases[i].message, cases[i].path);

        *value = double_object(0);
        expect_taken(&received, "zero");
        *value = double_object(cases[i].most);
        expect_taken(&received, "the most");
        *value = number_object(7);
        expect_taken(&received, "a whole number");
        for (size_t k = 0; k < ARRAY_SIZE(wrong); k++) {
            *value = double_object(wrong[k]);
            expect_refused(&received, "no such time", key_of(cases[i].path));
        }
        forget(&received);
    }
}

/* As many entries as there may be, and one more. */
static void test_counts(void **state)
{
    static const struct {
        enum proto_message message;
        const char *path;
        uint32_t most;
    } cases[] = {
        {MESSAGE_PONG,       "agents",       10000 },
        {MESSAGE_PONG,       "runs",         10100 },
        {MESSAGE_RUNS,       "runs",         10100 },
        {MESSAGE_LACKS,      "files",        1001  },
        {MESSAGE_UPDATE,     "facts.agents", 10000 },
        {MESSAGE_UPDATE,     "facts.lost",   10000 },
        {MESSAGE_END_OF_RUN, "series.rows",  180000},
        {MESSAGE_REPORT,     "lost",         1024  },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct received received;
        msgpack_object *const value =
            receive_with(&received, cases[i].message, cases[i].path);
        const msgpack_object item = value->via.array.ptr[0];
        msgpack_object *const items = xcalloc(cases[i].most + 1, sizeof(*items));

        for (uint32_t k = 0; k <= cases[i].most; k++)
            items[k] = item;
        if (strcmp(cases[i].path, "facts.agents") != 0)
            value->via.array.size = 0;
        expect_taken(&received, "none");
        value->via.array.ptr = items;
        value->via.array.size = cases[i].most;
        expect_taken(&received, "as many as there may be");
        value->via.array.size++;
        expect_refused(&received, "one too many", key_of(cases[i].path));
        value->via.array.size = UINT32_MAX; /* is not looked at, let alone allocated */
        expect_refused(&received, "four billion", key_of(cases[i].path));
        free(items);
        forget(&received);
    }
}

/* One that is not right among many, which must all be freed again. */
static void test_one_item_is_wrong(void **state)
{
    static const struct {
        enum proto_message message;
        const char *path, *named;
    } cases[] = {
        {MESSAGE_PONG,       "agents",       "agents: number 4"},
        {MESSAGE_PONG,       "runs",         "runs: number 4"  },
        {MESSAGE_RUNS,       "runs",         "runs: number 4"  },
        {MESSAGE_RUN,        "bundle.files", "files: number 4" },
        {MESSAGE_LACKS,      "files",        "files: number 4" },
        {MESSAGE_UPDATE,     "facts.agents", "agents: number 4"},
        {MESSAGE_UPDATE,     "facts.lost",   "lost: number 4"  },
        {MESSAGE_END_OF_RUN, "series.rows",  "rows: row 1"     },
        {MESSAGE_REPORT,     "lost",         "lost: number 4"  },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct received received;
        msgpack_object *const value =
            receive_with(&received, cases[i].message, cases[i].path);
        msgpack_object items[4];

        for (size_t k = 0; k < 3; k++)
            items[k] = value->via.array.ptr[0];
        items[3] = (msgpack_object){.type = MSGPACK_OBJECT_NIL};
        value->via.array.ptr = items;
        value->via.array.size = 4;
        if (reread(&received) == 0 ||
            strstr(received.err.message, cases[i].named) == NULL)
            fail_msg("%s: %s", cases[i].path, received.err.message);
        forget(&received);
    }
}

static void test_words(void **state)
{
    static const struct {
        enum proto_message message;
        const char *path, *word;
        bool taken;
    } cases[] = {
        {MESSAGE_UPDATE,   "facts.state",          "preparing", true },
        {MESSAGE_UPDATE,   "facts.state",          "failed",    true },
        {MESSAGE_UPDATE,   "facts.state",          "FAILED",    false},
        {MESSAGE_UPDATE,   "facts.state",          "fail",      false},
        {MESSAGE_UPDATE,   "facts.state",          "failed2",   false},
        {MESSAGE_UPDATE,   "facts.state",          "ready",     false},
        {MESSAGE_UPDATE,   "facts.state",          "",          false},
        {MESSAGE_UPDATE,   "facts.agents.0.state", "ready",     true },
        {MESSAGE_UPDATE,   "facts.agents.0.state", "lost",      true },
        {MESSAGE_UPDATE,   "facts.agents.0.state", "stopped",   false},
        {MESSAGE_RUNS,     "runs.0.state",         "finished",  true },
        {MESSAGE_RUNS,     "runs.0.state",         "lost",      false},
        {MESSAGE_ACCEPTED, "state",                "finished",  true },
        {MESSAGE_ACCEPTED, "state",                "failed",    true },
        {MESSAGE_ACCEPTED, "state",                "stopping",  false},
        {MESSAGE_ACCEPTED, "state",                "",          false},
        {MESSAGE_REGISTER, "claim.state",          "ended",     true },
        {MESSAGE_REGISTER, "claim.state",          "lost",      false},
        {MESSAGE_BEAT,     "claim.state",          "preparing", true },
        {MESSAGE_BEAT,     "claim.state",          "lost",      false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct received received;

        *receive_with(&received, cases[i].message, cases[i].path) =
            text_object(cases[i].word);
        if (cases[i].taken)
            expect_taken(&received, cases[i].word);
        else
            expect_refused(&received, cases[i].word, key_of(cases[i].path));
        forget(&received);
    }
}

/* Names that programs make are taken as they are, or not at all. */
static void test_ids(void **state)
{
    static const struct {
        enum proto_message message;
        const char *path;
    } places[] = {
        {MESSAGE_ACCEPTED, "run"         },
        {MESSAGE_REFUSED,  "run"         },
        {MESSAGE_LACKS,    "run"         },
        {MESSAGE_STOP,     "run"         },
        {MESSAGE_SNAPSHOT, "run"         },
        {MESSAGE_UPDATE,   "run"         },
        {MESSAGE_UPDATE,   "facts.run"   },
        {MESSAGE_PONG,     "agents.0.run"},
        {MESSAGE_PONG,     "runs.0.run"  },
        {MESSAGE_RUNS,     "runs.0.run"  },
        {MESSAGE_REGISTER, "instance"    },
        {MESSAGE_REGISTER, "claim.run"   },
        {MESSAGE_ACK,      "run"         },
        {MESSAGE_FETCH,    "run"         },
        {MESSAGE_REPORT,   "run"         },
    };
    static const char *const wrong[] = {"",     " ",    "a b",         "a/b", "../a",
                                        "a\nb", "\xE9", "caf\xC3\xA9", "%s"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        struct received received;
        msgpack_object *const value =
            receive_with(&received, places[i].message, places[i].path);

        for (size_t k = 0; k < ARRAY_SIZE(wrong); k++) {
            *value = text_object(wrong[k]);
            expect_refused(&received, wrong[k], key_of(places[i].path));
        }
        forget(&received);
    }
}

static void test_digests(void **state)
{
    static const struct {
        enum proto_message message;
        const char *path;
    } places[] = {
        {MESSAGE_RUN,     "bundle.object"        },
        {MESSAGE_RUN,     "bundle.files.0.sha256"},
        {MESSAGE_PREPARE, "bundle.object"        },
        {MESSAGE_FILE,    "sha256"               },
        {MESSAGE_FETCH,   "sha256"               },
    };
    char right[DIGEST_SIZE], upper[DIGEST_SIZE], letter[DIGEST_SIZE], longer[70];
    const char *const wrong[] = {"", "abc", upper, letter, longer};

    (void)state;
    sample_digest(right, "x");
    for (size_t i = 0; i < sizeof(right); i++)
        upper[i] = (char)toupper((unsigned char)right[i]);
    memcpy(letter, right, sizeof(letter));
    letter[63] = 'g';
    snprintf(longer, sizeof(longer), "%s0", right);
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        struct received received;
        msgpack_object *const value =
            receive_with(&received, places[i].message, places[i].path);

        for (size_t k = 0; k < ARRAY_SIZE(wrong); k++) {
            *value = text_object(wrong[k]);
            expect_refused(&received, wrong[k], key_of(places[i].path));
        }
        forget(&received);
    }
}

/* --- what fields say together --------------------------------------------------------- */

/* Whoever begins a conversation says its version; another is refused, and both named. */
static void test_version(void **state)
{
    static const bool begins[MESSAGE_COUNT] = {
        [MESSAGE_JOB] = true,  [MESSAGE_PING] = true,     [MESSAGE_LIST] = true,
        [MESSAGE_RUN] = true,  [MESSAGE_SNAPSHOT] = true, [MESSAGE_REGISTER] = true,
        [MESSAGE_STOP] = true,
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        const bool is_to_slave = samples[i].repack == repack_stop;
        struct received received;
        msgpack_object *version;

        receive(&received, &samples[i]);
        version = find_field(&received, "version");
        assert_int_equal(version != NULL, begins[samples[i].message] && !is_to_slave);
        if (version != NULL) {
            *version = number_object(77);
            assert_int_equal(reread(&received), -1);
            assert_non_null(strstr(received.err.message, "version 1 "));
            assert_non_null(strstr(received.err.message, "version 77"));
            *version = number_object(0);
            assert_int_equal(reread(&received), -1);
        }
        forget(&received);
    }
}

static void test_file_is_what_it_is_called(void **state)
{
    struct received received;
    msgpack_object *value;

    (void)state;
    value = receive_with(&received, MESSAGE_FILE, "content");
    value->via.bin.size--;
    expect_refused(&received, "another content", "content");
    forget(&received);
}

static void take_run_id(struct message_run *run)
{
    free(run->job.run_id);
    run->job.run_id = NULL;
}

static void spoil_run_id(struct message_run *run)
{
    run->job.run_id[0] = '/';
}

static void ask_for_a_million_and_one(struct message_run *run)
{
    run->job.workers = 1000001;
}

static void contradict(struct message_run *run)
{
    run->job.single_run = true;
    run->job.single_mode = xstrdup("one");
}

static void test_a_url(struct message_run *run)
{
    free(run->job.test);
    run->job.test = xstrdup("http://localhost/");
}

static void take_test(struct message_run *run)
{
    free(run->bundle.test);
    run->bundle.test = NULL;
}

static void go_upwards(struct message_run *run)
{
    free(run->bundle.directory);
    run->bundle.directory = xstrdup("..");
}

/* A job is checked as on a command line, and against its bundle. */
static void test_job_is_checked(void **state)
{
    static const struct {
        void (*spoil)(struct message_run *run);
        const char *why;
    } cases[] = {
        {take_run_id,               "the job is refused: field \"run-id\""},
        {spoil_run_id,              "the job is refused: --run-id"        },
        {ask_for_a_million_and_one, "the job is refused: 'workers'"       },
        {contradict,                "--single-mode and --single-run"      },
        {test_a_url,                "it has a \"test\", but"              },
        {take_test,                 "field \"test\" is missing"           },
        {go_upwards,                "the bundle is refused: field \"direc"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct message_run run = {.agents = 1};
        struct received received = {.fields = {.count = 0}};

        job_init(&run.job);
        fill_sample_job(&run.job);
        fill_sample_bundle(&run.bundle);
        cases[i].spoil(&run);
        message_pack_run(&received.bytes, &run);
        expect_reason(&received, repack_run, cases[i].why);
        message_pack_prepare(&received.bytes, 0, 1, &run.job, &run.bundle);
        expect_reason(&received, repack_prepare, cases[i].why);
        message_run_clear(&run);
        buffer_clear(&received.bytes);
    }
}

static void test_a_url_needs_no_files(void **state)
{
    struct message_run run = {.agents = 1}, got;
    struct buffer buffer = BUFFER_INIT;
    struct wire_message message;
    struct error err;

    (void)state;
    job_init(&run.job);
    run.job.run_id = xstrdup("r");
    test_a_url(&run);
    message_pack_run(&buffer, &run);
    message_run_clear(&run);
    assert_int_equal(wire_decode(buffer.data, buffer.size, &message, &err), 0);
    if (message_unpack_run(&message.root, &got, &err) == -1)
        fail_msg("%s", err.message);
    assert_null(got.bundle.test);
    assert_int_equal(got.bundle.count, 0);
    assert_string_equal(got.bundle.directory, "");
    message_run_clear(&got);
    wire_clear(&message);
    buffer_clear(&buffer);
}

static void test_reports_count_from_one(void **state)
{
    struct received received;
    msgpack_object *delta;

    (void)state;
    delta = receive_with(&received, MESSAGE_REPORT, "delta");
    assert_int_equal(delta->via.map.ptr[0].val.via.u64, 7);
    delta->via.map.ptr[0].val.via.u64 = 0;
    expect_refused(&received, "no number", "seq");
    forget(&received);
}

static void test_updates_without_facts(void **state)
{
    struct message_update update, got;
    struct buffer buffer = BUFFER_INIT;
    struct wire_message message;

    (void)state;
    message_update_init(&update);
    strcpy(update.run, SAMPLE_RUN);
    message_pack_update(&buffer, MESSAGE_UPDATE, &update);
    assert_int_equal(wire_decode(buffer.data, buffer.size, &message, NULL), 0);
    assert_int_equal(message_unpack_update(&message.root, MESSAGE_UPDATE, &got, NULL),
                     0);
    assert_false(got.has_facts);
    assert_null(got.trouble);
    assert_int_equal(got.revision, 0);
    message_update_clear(&got);
    /* The end always has them: an update that says it is the end is none. */
    assert_int_equal(
        message_unpack_update(&message.root, MESSAGE_END_OF_RUN, &got, NULL), -1);
    wire_clear(&message);
    message_update_clear(&update);
    buffer_clear(&buffer);
}

/* An agent without a run claims none, and gets a REGISTERED of none. */
static void test_no_run(void **state)
{
    const struct agent_claim none = {.run = ""};
    struct agent_claim claim = {.run = "x", .sequence = 9};
    struct message_ack ack = {.run = "x"};
    struct buffer buffer = BUFFER_INIT;
    struct wire_message message;

    (void)state;
    message_pack_beat(&buffer, &none);
    assert_int_equal(wire_decode(buffer.data, buffer.size, &message, NULL), 0);
    assert_int_equal(message.root.via.map.size, 1);
    assert_int_equal(message_unpack_beat(&message.root, &claim, NULL), 0);
    assert_string_equal(claim.run, "");
    assert_int_equal(claim.sequence, 0);
    wire_clear(&message);

    message_pack_ack(&buffer, MESSAGE_REGISTERED, &(struct message_ack){.run = ""});
    assert_int_equal(wire_decode(buffer.data, buffer.size, &message, NULL), 0);
    assert_int_equal(message_unpack_ack(&message.root, &ack, NULL), 0);
    assert_string_equal(ack.run, "");
    wire_clear(&message);
    buffer_clear(&buffer);
}

/* What one program packs, another takes: whatever texts it got from elsewhere. */
static void test_any_text_can_be_packed(void **state)
{
    static char wild[10000];
    const struct message_stop stop = {.run = SAMPLE_RUN, .why = wild};
    struct received received = {.fields = {.count = 0}};
    struct message_pong pong = {.program = wild, .frontend = wild, .backend = NULL};

    (void)state;
    for (size_t i = 0; i < sizeof(wild) - 1; i++)
        wild[i] = (char)(i % 255 + 1);
    message_pack_run_stop(&received.bytes, &stop);
    expect_reason(&received, repack_run_stop, NULL);
    message_pack_pong(&received.bytes, &pong);
    expect_reason(&received, repack_pong, NULL);
    message_pack_refused(&received.bytes, SAMPLE_RUN, wild);
    expect_reason(&received, repack_refused, NULL);
    buffer_clear(&received.bytes);
}

/* --- from a stranger ------------------------------------------------------------------ */

/* A copy of exactly so many bytes, so that the sanitizer sees who reads beyond. What is
 * taken gives what is taken again, unchanged. */
static void take_copy(const struct sample *sample, const char *data, size_t size)
{
    struct buffer again = BUFFER_INIT, third = BUFFER_INIT;
    char *const copy = xmalloc(size > 0 ? size : 1);
    struct wire_message message;

    memcpy(copy, data, size);
    if (wire_decode(copy, size, &message, NULL) == 0) {
        if (sample->repack(&message.root, &again, NULL) == 0) {
            struct wire_message repacked;

            assert_int_equal(wire_decode(again.data, again.size, &repacked, NULL), 0);
            assert_int_equal(sample->repack(&repacked.root, &third, NULL), 0);
            assert_int_equal(again.size, third.size);
            assert_memory_equal(again.data, third.data, third.size);
            wire_clear(&repacked);
        }
        wire_clear(&message);
    }
    buffer_clear(&again);
    buffer_clear(&third);
    free(copy);
}

static void test_truncated(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        struct buffer buffer = BUFFER_INIT;

        samples[i].pack(&buffer);
        for (size_t size = 0; size < buffer.size; size++) {
            struct wire_message message;

            assert_int_equal(wire_decode(buffer.data, size, &message, NULL), -1);
            take_copy(&samples[i], buffer.data, size);
        }
        buffer_clear(&buffer);
    }
}

/* Each byte as each kind of value begins, and with each bit turned. */
static void test_each_byte_mutated(void **state)
{
    static const unsigned char firsts[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0,
                                           0xBF, 0xC0, 0xC1, 0xC3, 0xC4, 0xC6, 0xCB,
                                           0xCF, 0xD3, 0xD9, 0xDB, 0xDD, 0xDF, 0xFF};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        struct buffer buffer = BUFFER_INIT;

        samples[i].pack(&buffer);
        for (size_t at = 0; at < buffer.size; at++) {
            const char before = buffer.data[at];

            for (size_t k = 0; k < ARRAY_SIZE(firsts); k++) {
                buffer.data[at] = (char)firsts[k];
                take_copy(&samples[i], buffer.data, buffer.size);
            }
            for (int bit = 0; bit < 8; bit++) {
                buffer.data[at] = (char)(before ^ 1 << bit);
                take_copy(&samples[i], buffer.data, buffer.size);
            }
            buffer.data[at] = before;
        }
        buffer_clear(&buffer);
    }
}

/* A message is read as what it says it is; whoever reads it as another gets an error. */
static void test_each_read_as_each_other(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        struct buffer buffer = BUFFER_INIT;

        samples[i].pack(&buffer);
        for (size_t k = 0; k < ARRAY_SIZE(samples); k++)
            take_copy(&samples[k], buffer.data, buffer.size);
        buffer_clear(&buffer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_has_a_sample),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_as_documented),
        cmocka_unit_test(test_all_is_documented),
        cmocka_unit_test(test_each_field_missing),
        cmocka_unit_test(test_each_field_of_another_type),
        cmocka_unit_test(test_unknown_fields),
        cmocka_unit_test(test_each_text_is_clean),
        cmocka_unit_test(test_texts_are_cleaned_on_reading),
        cmocka_unit_test(test_longest_texts),
        cmocka_unit_test(test_largest_numbers),
        cmocka_unit_test(test_smallest_numbers),
        cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_one_item_is_wrong),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_file_is_what_it_is_called),
        cmocka_unit_test(test_job_is_checked),
        cmocka_unit_test(test_a_url_needs_no_files),
        cmocka_unit_test(test_reports_count_from_one),
        cmocka_unit_test(test_updates_without_facts),
        cmocka_unit_test(test_no_run),
        cmocka_unit_test(test_any_text_can_be_packed),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_each_byte_mutated),
        cmocka_unit_test(test_each_read_as_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
