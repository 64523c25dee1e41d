#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "job/job.h"

enum { ARGS_MAX = 8 };

static int read_job(struct job *job, const char *const args[ARGS_MAX],
                    struct error *err)
{
    const struct option_table table = job_options(job);
    struct text_list given = {.items = NULL};
    char *argv[ARGS_MAX + 2] = {(char *)"molotov-runner"};
    int argc = 1, rc;

    for (size_t i = 0; i < ARGS_MAX && args[i] != NULL; i++)
        argv[argc++] = (char *)args[i];
    rc = options_parse(&table, 1, argc, argv, &given, err);
    if (rc == 0)
        rc = job_check(job, &given, err);
    text_list_clear(&given);
    return rc;
}

static void test_defaults(void **state)
{
    struct job job;

    (void)state;
    job_init(&job);
    assert_string_equal(job.test, "loadtest.c");
    assert_int_equal(job.workers, 1);
    assert_int_equal(job_process_count(&job), 1);
    assert_true(job.duration_s == 86400);
    assert_int_equal(job.max_runs, 0);
    assert_int_equal(job.fail, -1);
    assert_true(job.stop_timeout_s == 30 && job.stuck_timeout_s == 30);
    assert_true(job.console_update_s == 0.2);
    assert_string_equal(job.transport, job_transports[0]);
    assert_null(job.request_method);
    assert_int_equal(job.outputs.count, 1);
    assert_string_equal(job.outputs.items[0], JOB_OUTPUT_STANDARD);
    assert_null(job.data);
    assert_null(job.run_id);
    assert_int_equal(job.agent_index, 0);
    assert_int_equal(job.agent_count, 0);
    job.processes = 0;
    assert_int_equal(job_process_count(&job), 1);
    job_clear(&job);
}

static void test_accepted(void **state)
{
    /* clang-format off */
    static const char *const cases[][ARGS_MAX] = {
        {NULL},
        {"x.c", "-w", "0", "-p", "0", "-d", "0"},
        {"-w1000000", "-p1024", "-d31536000", "--fail", "0"},
        {"-qc", "-x", "--fail=-1"},
        {"-s", "one", "-vv"},
        {"HTTP://x", "-X", "PUT", "-H", "A: b", "--data", "-d"},
        {"https://x/?a=b", "-k", "-H", "Empty:"},
        {"http://[::1]:8080", "-H", "A:\tb"},
        {"--server-url", "http://x:1"},
        {"http+unix://%2Frun%2Fapp.sock/x"},
        {"--server-url", "https+unix://%2Frun%2Fapp.sock"},
        {"--transport", "auto"},
        {"--transport", "direct"},
        {"--transport", "curl"},
        {"--run-id", "20250102-a.b_C"},
        {"--output", "json", "--output", "null"},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct job job;
        struct error err;

        job_init(&job);
        if (read_job(&job, cases[i], &err) == -1)
            fail_msg("case %zu: %s", i, err.message);
        job_clear(&job);
    }
}

static void test_refused(void **state)
{
    /* clang-format off */
    static const struct {
        const char *args[ARGS_MAX];
        const char *want;
    } cases[] = {
        {{"--wrokers", "5"}, "unknown option '--wrokers': did you mean '--workers'?"},
        {{"-w", "-5"}, "--workers takes a whole number from 0 to 1000000, not '-5'"},
        {{"-w", "1000001"},
         "--workers takes a whole number from 0 to 1000000, not '1000001'"},
        {{"-p", "1025"}, "--processes takes a whole number from 0 to 1024, not '1025'"},
        {{"-d", "abc"}, "--duration takes seconds from 0 to 31536000, not 'abc'"},
        {{"-d", "-1"}, "--duration takes seconds from 0 to 31536000, not '-1'"},
        {{"-r", "99999999999999999999"},
         "--max-runs takes a whole number from 0 to 1000000000000, not "
         "'99999999999999999999'"},
        {{"-f", "-2"},
         "--fail takes a whole number from -1 to 1000000000000, not '-2'"},
        {{"--stuck-timeout", "0"},
         "--stuck-timeout takes seconds from 1 to 31536000, not '0'"},
        {{"--agent-index", "-1"},
         "--agent-index takes a whole number from 0 to 10000, not '-1'"},
        {{"--memory-limit", "1G"},
         "--memory-limit takes a whole number of MiB from 0 to 16777216, not '1G'"},
        {{"--s", "x"},
         "option '--s' could be '--single-mode', '--single-run', '--server-url', "
         "'--stop-timeout' or '--stuck-timeout'"},
        {{"a.c", "b.c"}, "'b.c' is one argument too many: TEST is already 'a.c'"},
        {{"-qv"}, "--quiet and --verbose do not go together"},
        {{"-s", "one", "--single-run"},
         "--single-mode and --single-run do not go together"},
        {{""}, "TEST is empty: name a C file or a URL"},
        {{"-X", "PUT"}, "--request needs a URL as the test, and 'loadtest.c' is none"},
        {{"a.c", "-H", "A: b"}, "--header needs a URL as the test, and 'a.c' is none"},
        {{"a.c", "--data", "x"}, "--data needs a URL as the test, and 'a.c' is none"},
        {{"http://x", "-H", "A b"}, "--header takes 'Name: value', not 'A b'"},
        {{"http://x", "-H", ": b"}, "--header takes 'Name: value', not ': b'"},
        {{"http://x", "-H", "A b: c"}, "--header takes 'Name: value', not 'A b: c'"},
        {{"http://x", "-H", "A: b\r\nC: d"},
         "--header has a control character, or is not UTF-8, in 'A: b  C: d'"},
        {{"http://x", "-X", "GET /"},
         "--request takes a method such as GET, not 'GET /'"},
        {{"http://x", "-X", "G\nET"},
         "--request takes a method such as GET, not 'G ET'"},
        {{"http://x", "-X", ""}, "--request takes a method such as GET, not ''"},
        {{"http://"}, "TEST: the URL 'http://' names no host"},
        {{"http:///a"}, "TEST: the URL 'http:///a' names no host"},
        {{"http://x/a b"},
         "TEST: the URL 'http://x/a b' has a blank (written %20)"},
        {{"http://x/\x1B"},
         "TEST: the URL 'http://x/ ' has a control character, or is not UTF-8"},
        {{"--server-url", "localhost"},
         "--server-url takes an http:// or https:// URL, not 'localhost'"},
        {{"http+unix://"}, "TEST: the URL 'http+unix://' names no host"},
        {{"--transport", "Curl"},
         "--transport takes auto, direct or curl, not 'Curl'"},
        {{"--transport", ""}, "--transport takes auto, direct or curl, not ''"},
        {{"--transport", "a\x1B"},
         "--transport takes auto, direct or curl, not 'a '"},
        {{"--run-id", "../x"},
         "--run-id takes up to 64 letters, digits, '-', '_' and '.', not '../x'"},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct job job;
        struct error err = {.message = "nothing"};

        job_init(&job);
        assert_int_equal(read_job(&job, cases[i].args, &err), -1);
        assert_string_equal(err.message, cases[i].want);
        job_clear(&job);
    }
}

/* --help names every option that it should, and only those. */
static void test_help(void **state)
{
    struct job job;
    const struct option_table table = job_options(&job);
    struct buffer help = BUFFER_INIT;

    (void)state;
    job_init(&job);
    options_help(&table, 1, 80, &help);
    for (size_t i = 0; i < table.count; i++) {
        const struct option_row *const row = &table.rows[i];
        char form[64];

        snprintf(form, sizeof(form), "%s%s", row->name != NULL ? " --" : "  ",
                 row->name != NULL ? row->name : row->metavar);
        if (row->section == NULL)
            assert_null(strstr(buffer_text(&help), form));
        else
            assert_non_null(strstr(buffer_text(&help), form));
        assert_non_null(row->help);
    }
    for (const char *line = buffer_text(&help); *line != '\0';) {
        const size_t length = strcspn(line, "\n");

        assert_true(length <= 80);
        line += length + 1;
    }
    buffer_clear(&help);
    job_clear(&job);
}

/* --- the wire ---------------------------------------------------------------------- */

static void pack(const struct job *job, struct buffer *wire)
{
    msgpack_packer packer;

    wire_packer(&packer, wire);
    job_pack(job, &packer);
}

static int unpack(struct job *job, const struct buffer *wire, struct error *err)
{
    struct wire_message message;
    int rc;

    if (wire_decode(wire->data, wire->size, &message, err) == -1)
        return -1;
    rc = job_unpack(job, &message.root, err);
    wire_clear(&message);
    return rc;
}

static void test_wire_round_trip(void **state)
{
    /* clang-format off */
    static const char *const args[][ARGS_MAX] = {
        {NULL},
        {"x.c", "-w", "7", "-p3", "-d1.5", "-r9", "-xvv"},
        {"--ramp-up=2", "--delay=.25", "-f0", "--force-shutdown", "--stop-timeout=1",
         "--stuck-timeout=2", "--memory-limit=64", "--single-run"},
        {"https://x/\xC3\xA9", "-X", "PUT", "-H", "A: b", "-H", "C: d", "--data="},
        {"-s", "one", "--server-url", "http://y", "-k", "--run-id=r1", "--object",
         "/x.so"},
        {"x.c", "--agent-index=3", "--agent-count=5", "--transport=curl"},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(args); i++) {
        struct buffer wire = BUFFER_INIT, again = BUFFER_INIT;
        struct job job, copy;
        struct error err;

        job_init(&job);
        job_init(&copy);
        assert_int_equal(read_job(&job, args[i], &err), 0);
        pack(&job, &wire);
        if (unpack(&copy, &wire, &err) == -1)
            fail_msg("case %zu: %s", i, err.message);
        pack(&copy, &again);
        assert_int_equal(wire.size, again.size);
        assert_memory_equal(wire.data, again.data, wire.size);
        job_clear(&job);
        job_clear(&copy);
        buffer_clear(&wire);
        buffer_clear(&again);
    }
}

/* What the runner shows is its own affair: a job must not carry it. */
static void test_wire_keeps_local(void **state)
{
    static const char *const args[ARGS_MAX] = {"-qc", "--output", "null", "--version",
                                               "--help"};
    struct buffer wire = BUFFER_INIT;
    struct job job, copy;
    struct error err;

    (void)state;
    job_init(&job);
    job_init(&copy);
    assert_int_equal(read_job(&job, args, &err), 0);
    pack(&job, &wire);
    assert_int_equal(unpack(&copy, &wire, &err), 0);
    assert_false(copy.quiet || copy.version || copy.help);
    assert_string_equal(copy.outputs.items[0], JOB_OUTPUT_STANDARD);
    job_clear(&job);
    job_clear(&copy);
    buffer_clear(&wire);
}

static void put_workers(msgpack_packer *packer)
{
    wire_put_i64(packer, "workers", -1);
}

static void put_workers_text(msgpack_packer *packer)
{
    wire_put_text(packer, "workers", "5");
}

static void put_flag_number(msgpack_packer *packer)
{
    wire_put_u64(packer, "exception", 1);
}

static void put_verbose(msgpack_packer *packer)
{
    wire_put_u64(packer, "verbose", UINT64_MAX);
}

static void put_duration(msgpack_packer *packer)
{
    wire_put_double(packer, "duration", -1e300);
}

static void put_test_number(msgpack_packer *packer)
{
    wire_put_u64(packer, "test", 5);
}

static void put_test_empty(msgpack_packer *packer)
{
    wire_put_text(packer, "test", "");
}

static void put_headers_text(msgpack_packer *packer)
{
    wire_put_text(packer, "header", "A: b");
}

static void put_headers_numbers(msgpack_packer *packer)
{
    wire_put_array(packer, "header", 2);
    wire_put_string(packer, "A: b");
    msgpack_pack_int(packer, 5);
}

static void put_headers_split(msgpack_packer *packer)
{
    wire_put_array(packer, "header", 1);
    wire_put_string(packer, "A: b\r\nEvil: c");
}

static void put_headers_many(msgpack_packer *packer)
{
    wire_put_array(packer, "header", OPTION_LIST_MAX + 1);
    for (size_t i = 0; i < OPTION_LIST_MAX + 1; i++)
        wire_put_string(packer, "A: b");
}

static void put_header_nul(msgpack_packer *packer)
{
    wire_put_array(packer, "header", 1);
    msgpack_pack_str(packer, 4);
    msgpack_pack_str_body(packer, "A:\0b", 4);
}

static void put_run_id(msgpack_packer *packer)
{
    wire_put_text(packer, "run-id", "../../etc");
}

static void put_transport(msgpack_packer *packer)
{
    wire_put_text(packer, "transport", "quic");
}

static void put_unknown(msgpack_packer *packer)
{
    wire_put_text(packer, "shoe-size", "44");
}

static void test_wire_hostile(void **state)
{
    static const struct {
        const char *name;
        void (*put)(msgpack_packer *packer);
        bool accepted;
    } cases[] = {
        {"workers below 0",      put_workers,         false},
        {"workers as text",      put_workers_text,    false},
        {"a number for a flag",  put_flag_number,     false},
        {"a count without end",  put_verbose,         false},
        {"a duration below 0",   put_duration,        false},
        {"a number for a text",  put_test_number,     false},
        {"an empty test",        put_test_empty,      false},
        {"a text for a list",    put_headers_text,    false},
        {"a number in a list",   put_headers_numbers, false},
        {"a header that splits", put_headers_split,   false},
        {"too many headers",     put_headers_many,    false},
        {"a NUL in a header",    put_header_nul,      false},
        {"a path as run-id",     put_run_id,          false},
        {"no transport of ours", put_transport,       false},
        {"an unknown name",      put_unknown,         true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buffer wire = BUFFER_INIT;
        msgpack_packer packer;
        struct job job;
        struct error err = {.message = ""};
        int rc;

        job_init(&job);
        wire_packer(&packer, &wire);
        msgpack_pack_map(&packer, 1);
        cases[i].put(&packer);
        rc = unpack(&job, &wire, &err);
        if (rc != (cases[i].accepted ? 0 : -1) || (rc == -1 && err.message[0] == '\0'))
            fail_msg("%s: %d '%s'", cases[i].name, rc, err.message);
        job_clear(&job);
        buffer_clear(&wire);
    }
}

static void test_output_option(void **state)
{
    struct job job;

    (void)state;
    job_init(&job);
    text_list_add(&job.output_options, "output-json-filename=a=b");
    text_list_add(&job.output_options, "output-json-file=c");
    assert_string_equal(job_output_option(&job, "json", "filename"), "a=b");
    assert_string_equal(job_output_option(&job, "json", "file"), "c");
    assert_null(job_output_option(&job, "json", "fil"));
    assert_null(job_output_option(&job, "stdout", "filename"));
    job_clear(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_help),
        cmocka_unit_test(test_wire_round_trip), cmocka_unit_test(test_wire_keeps_local),
        cmocka_unit_test(test_wire_hostile),    cmocka_unit_test(test_output_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
