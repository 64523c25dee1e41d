#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "outputs/output.h"
#include "runner/options.h"

enum { ARGS_MAX = 8 };

struct command_line {
    struct job job;
    struct runner_options options;
    struct output_options outputs;
    enum runner_command command;
};

static void line_init(struct command_line *line)
{
    job_init(&line->job);
    runner_options_init(&line->options);
    output_options_init(&line->outputs);
    line->command = RUN_HERE;
}

static void line_clear(struct command_line *line)
{
    job_clear(&line->job);
    runner_options_clear(&line->options);
    output_options_clear(&line->outputs);
}

static int parse(struct command_line *line, const char *const args[ARGS_MAX],
                 struct error *err)
{
    const struct option_table tables[] = {job_options(&line->job),
                                          runner_options_table(&line->options),
                                          output_options_table(&line->outputs)};
    char *argv[ARGS_MAX + 2] = {(char *)"molotov-runner"};
    struct text_list given = {.items = NULL};
    int argc = 1, rc;

    for (size_t i = 0; i < ARGS_MAX && args[i] != NULL; i++)
        argv[argc++] = (char *)args[i];
    rc = options_parse(tables, ARRAY_SIZE(tables), argc, argv, &given, err);
    if (rc == 0)
        rc = runner_options_settle(&line->options, &line->job, &given, &line->command,
                                   err);
    text_list_clear(&given);
    return rc;
}

static void test_commands(void **state)
{
    /* clang-format off */
    static const struct {
        const char *args[ARGS_MAX];
        enum runner_command command;
        const char *run;
    } cases[] = {
        {{NULL}, RUN_HERE, NULL},
        {{"x.c", "-w", "5"}, RUN_HERE, NULL},
        {{"-a", "0", "x.c"}, RUN_HERE, NULL},
        {{"-a", "5", "x.c"}, RUN_ON_CLUSTER, NULL},
        {{"--agents=5", "-b", "tcp://host:1", "x.c"}, RUN_ON_CLUSTER, NULL},
        {{"-a1", "--detach", "-q"}, RUN_ON_CLUSTER, NULL},
        {{"-a1", "--keep-cluster", "--output", "json"}, RUN_ON_CLUSTER, NULL},
        {{"--attach"}, ATTACH, ""},
        {{"--attach", "run-1"}, ATTACH, "run-1"},
        {{"run-1", "--attach"}, ATTACH, "run-1"},
        {{"--attach=run-1", "--fail", "1", "-q"}, ATTACH, "run-1"},
        {{"--attach", "--output", "json", "--output-json-filename", "x"}, ATTACH, ""},
        {{"--list-runs", "--broker", "ipc:///x"}, LIST_RUNS, NULL},
        {{"--stop", "run-1"}, STOP_RUN, "run-1"},
        {{"--ping-broker"}, PING_BROKER, NULL},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct command_line line;
        struct error err;

        line_init(&line);
        if (parse(&line, cases[i].args, &err) == -1)
            fail_msg("case %zu: %s", i, err.message);
        assert_int_equal(line.command, cases[i].command);
        if (cases[i].command == ATTACH)
            assert_string_equal(line.options.attach, cases[i].run);
        if (cases[i].command == STOP_RUN)
            assert_string_equal(line.options.stop, cases[i].run);
        line_clear(&line);
    }
}

static void test_refused(void **state)
{
    /* clang-format off */
    static const struct {
        const char *args[ARGS_MAX];
        const char *want;
    } cases[] = {
        {{"-b", "tcp://host:1", "x.c"}, "--broker needs --agents N"},
        {{"--detach", "x.c"}, "--detach needs --agents N"},
        {{"--keep-cluster", "x.c"}, "--keep-cluster needs --agents N"},
        {{"-a", "0", "--detach"}, "--detach needs --agents N"},
        {{"-a", "-1"}, "--agents takes a whole number from 0 to 10000, not '-1'"},
        {{"-a2", "--keep-cluster", "-b", "ipc:///x"},
         "--keep-cluster and --broker do not go together"},
        {{"-a2", "--cluster-leave-after", "1.5"},
         "--cluster-leave-after takes a whole number of s from 1 to 31536000, not '1.5'"},
        {{"-a2", "--detach", "--output", "json"},
         "--detach and --output do not go together: give it to --attach"},
        {{"-a2", "--detach", "--fail", "1"},
         "--detach and --fail do not go together: give it to --attach"},
        {{"-a2", "-b", "host:1"},
         "--broker takes tcp://HOST:PORT or ipc:///PATH, not 'host:1'"},
        {{"--attach", "--agents", "2"}, "--attach and --agents do not go together"},
        {{"--attach", "-w", "2"}, "--attach and --workers do not go together"},
        {{"--attach", "--detach"}, "--attach and --detach do not go together"},
        {{"--attach", "--stop", "x"}, "--attach and --stop do not go together"},
        {{"--attach=a", "b"}, "--attach takes one run, and 'a' is named already"},
        {{"--attach", "a/b"},
         "--attach takes a run as --list-runs names it, not 'a/b'"},
        {{"--stop", ""}, "--stop takes a run as --list-runs names it, not ''"},
        {{"--stop", "a", "x.c"}, "--stop runs no test: leave TEST out"},
        {{"--list-runs", "x.c"}, "--list-runs runs no test: leave TEST out"},
        {{"--list-runs", "-q"}, "--list-runs and --quiet do not go together"},
        {{"--ping-broker", "--list-runs"},
         "--list-runs and --ping-broker do not go together"},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {.message = ""};
        struct command_line line;

        line_init(&line);
        assert_int_equal(parse(&line, cases[i].args, &err), -1);
        assert_string_equal(err.message, cases[i].want);
        line_clear(&line);
    }
}

/* The environment names a broker as --broker does, unless it is empty. */
static void test_keep_cluster(void **state)
{
    static const char *const args[ARGS_MAX] = {"-a2", "--keep-cluster"};
    struct command_line line;
    struct error err;

    (void)state;
    line_init(&line);
    setenv("MOLOTOV_BROKER", "ipc:///x", 1);
    assert_int_equal(parse(&line, args, &err), -1);
    assert_string_equal(err.message,
                        "--keep-cluster and MOLOTOV_BROKER do not go together");
    setenv("MOLOTOV_BROKER", "", 1);
    assert_int_equal(parse(&line, args, &err), 0);
    unsetenv("MOLOTOV_BROKER");
    line_clear(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_keep_cluster),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
