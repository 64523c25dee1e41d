#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "broker/options.h"

enum { WORDS_MAX = 8 };

/* Parses and checks a command line; the caller clears. */
static int parse(char *const *words, struct broker_options *options,
                 struct text_list *given, struct error *err)
{
    char *argv[WORDS_MAX + 2] = {"molotov-broker"};
    struct option_table table;
    int argc = 1;

    for (; words[argc - 1] != NULL; argc++)
        argv[argc] = words[argc - 1];
    broker_options_init(options);
    table = broker_options_table(options);
    if (options_parse(&table, 1, argc, argv, given, err) == -1)
        return -1;
    return broker_options_check(options, err);
}

static void test_wrong(void **state)
{
    static const struct {
        char *words[WORDS_MAX];
        const char *want;
    } cases[] = {
        {{"--db", "python"},                                    "SQLite"           },
        {{"--db", "redis"},                                     "--db ./redis"     },
        {{"--db", ""},                                          "takes a file"     },
        {{"--frontend", "tcp://"},                              "--frontend"       },
        {{"--backend", "/tmp/x"},                               "--backend"        },
        {{"--publisher", "inproc://x"},                         "--publisher"      },
        {{"--backend", "ipc:///a", "--publisher", "ipc:///a"},  "are the same"     },
        {{"--frontend", "tcp://*:7", "--backend", "tcp://*:7"}, "are the same"     },
        {{"--agent-timeout", "0"},                              "--agent-timeout"  },
        {{"--prepare-timeout", "x"},                            "--prepare-timeout"},
        {{"--leave-after", "-1"},                               "--leave-after"    },
        {{"--nonsense"},                                        "--nonsense"       },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct broker_options options;
        struct text_list given = {.items = NULL};
        struct error err = {.message = ""};

        assert_int_equal(parse(cases[i].words, &options, &given, &err), -1);
        if (strstr(err.message, cases[i].want) == NULL)
            fail_msg("'%s' lacks '%s'", err.message, cases[i].want);
        text_list_clear(&given);
        broker_options_clear(&options);
    }
}

static void test_right(void **state)
{
    static char *const words[] = {"--frontend",  "tcp://*:*", "--backend", "tcp://*:*",
                                  "--heartbeat", "ipc:///x",  "--debug",   NULL};
    struct broker_options options;
    struct text_list given = {.items = NULL};
    struct error err;

    (void)state;
    if (parse(words, &options, &given, &err) == -1)
        fail_msg("%s", err.message);
    assert_int_equal(options.agent_timeout, 30);
    assert_int_equal(options.prepare_timeout, 120);
    assert_int_equal(options.leave_after, 0);
    assert_true(options.debug);
    assert_int_equal(given.count, 4);
    text_list_clear(&given);
    broker_options_clear(&options);
}

/* What was not given lies in this user's directories; SQLite reads no meaning into what
 * was. */
static void test_complete(void **state)
{
    char runtime[] = "/tmp/molotov-unit-XXXXXX";
    struct broker_options options;
    struct error err;
    char *want;

    (void)state;
    assert_non_null(mkdtemp(runtime));
    setenv("XDG_RUNTIME_DIR", runtime, 1);
    setenv("XDG_STATE_HOME", runtime, 1);
    unsetenv("MOLOTOV_BROKER");
    broker_options_init(&options);
    options.frontend = xstrdup("tcp://127.0.0.1:7780");
    if (broker_options_complete(&options, &err) == -1)
        fail_msg("%s", err.message);
    assert_string_equal(options.frontend, "tcp://127.0.0.1:7780");
    assert_non_null(strstr(options.backend, "/backend"));
    assert_non_null(strstr(options.publisher, "/publisher"));
    want = xasprintf("%s/molotov/broker.db", runtime);
    assert_string_equal(options.db, want);
    free(want);

    free(options.db);
    options.db = xstrdup(":memory:");
    assert_int_equal(broker_options_complete(&options, &err), 0);
    assert_string_equal(options.db, "./:memory:");
    broker_options_clear(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_right),
        cmocka_unit_test(test_complete),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
