#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "job/options.h"

struct settings {
    char *file, *second;
    bool quiet, eager;
    long level, count;
    double wait_s;
    char *name;
    struct text_list headers;
    char *secret;
    char *mark;
};

/* By hand: clang-format 14 breaks tables whose rows take several lines. */
/* clang-format off */
static const struct option_row rows[] = {
    {
        .metavar = "FILE",
        .type = OPTION_TEXT,
        .standard = "a.c",
        .section = "What",
        .help = "the file",
        .field = offsetof(struct settings, file),
    },
    {
        .metavar = "SECOND",
        .type = OPTION_TEXT,
        .section = "What",
        .help = "another file",
        .field = offsetof(struct settings, second),
    },
    {
        .name = "quiet",
        .short_name = 'q',
        .type = OPTION_FLAG,
        .section = "Looks",
        .help = "say nothing",
        .local = true,
        .field = offsetof(struct settings, quiet),
    },
    {
        .name = "eager",
        .short_name = 'e',
        .type = OPTION_FLAG,
        .section = "What",
        .help = "at once",
        .field = offsetof(struct settings, eager),
    },
    {
        .name = "verbose",
        .short_name = 'v',
        .type = OPTION_COUNT,
        .section = "Looks",
        .help = "say more",
        .field = offsetof(struct settings, level),
    },
    {
        .name = "count",
        .short_name = 'n',
        .type = OPTION_INTEGER,
        .metavar = "N",
        .standard = "3",
        .least = -1,
        .most = 100,
        .unit = "MiB",
        .section = "What",
        .help = "how many",
        .field = offsetof(struct settings, count),
    },
    {
        .name = "wait",
        .type = OPTION_SECONDS,
        .metavar = "SECONDS",
        .standard = "0.5",
        .most = 31536000,
        .unit = "s",
        .section = "What",
        .help = "how long, in a help text that is itself long enough to need a second "
                "line",
        .field = offsetof(struct settings, wait_s),
    },
    {
        .name = "name",
        .short_name = 's',
        .type = OPTION_TEXT,
        .metavar = "NAME",
        .section = "Looks",
        .help = "what it is called",
        .field = offsetof(struct settings, name),
    },
    {
        .name = "header",
        .short_name = 'H',
        .type = OPTION_LIST,
        .metavar = "TEXT",
        .standard = "x: y",
        .section = "What",
        .help = "one more",
        .field = offsetof(struct settings, headers),
    },
    {
        .name = "secret",
        .type = OPTION_TEXT,
        .metavar = "TEXT",
        .help = "not shown",
        .field = offsetof(struct settings, secret),
    },
    {
        .name = "mark",
        .short_name = 'm',
        .type = OPTION_TEXT,
        .metavar = "MARK",
        .optional = true,
        .section = "Looks",
        .help = "which one",
        .field = offsetof(struct settings, mark),
    },
};
/* clang-format on */

enum { ARGS_MAX = 12 };

static struct option_table table_of(struct settings *settings)
{
    return (struct option_table){rows, ARRAY_SIZE(rows), settings};
}

static struct option_table set_up(struct settings *settings)
{
    const struct option_table table = table_of(settings);

    *settings = (struct settings){.file = NULL};
    options_set_defaults(&table);
    return table;
}

static int parse(struct settings *settings, const char *const args[ARGS_MAX],
                 struct text_list *given, struct error *err)
{
    const struct option_table table = table_of(settings);
    char *argv[ARGS_MAX + 2] = {(char *)"program"};
    int argc = 1;

    for (size_t i = 0; i < ARGS_MAX && args[i] != NULL; i++)
        argv[argc++] = (char *)args[i];
    return options_parse(&table, 1, argc, argv, given, err);
}

/* Says all fields in one line, so that a case is one line too. */
static const char *describe(const struct settings *settings)
{
    static char text[500];
    int length =
        snprintf(text, sizeof(text), "%s %s q%d e%d v%ld n%ld w%g %s", settings->file,
                 settings->second != NULL ? settings->second : "-", settings->quiet,
                 settings->eager, settings->level, settings->count, settings->wait_s,
                 settings->name != NULL ? settings->name : "-");

    for (size_t i = 0; i < settings->headers.count; i++)
        length += snprintf(text + length, sizeof(text) - (size_t)length, " [%s]",
                           settings->headers.items[i]);
    if (settings->mark != NULL)
        snprintf(text + length, sizeof(text) - (size_t)length, " <%s>", settings->mark);
    return text;
}

static void test_accepted(void **state)
{
    /* clang-format off */
    static const struct {
        const char *args[ARGS_MAX];
        const char *want;
    } cases[] = {
        {{NULL}, "a.c - q0 e0 v0 n3 w0.5 - [x: y]"},
        {{"b.c", "-q"}, "b.c - q1 e0 v0 n3 w0.5 - [x: y]"},
        {{"-q", "b.c", "-e", "c.c"}, "b.c c.c q1 e1 v0 n3 w0.5 - [x: y]"},
        {{"--count=7", "--wait", "1.25"}, "a.c - q0 e0 v0 n7 w1.25 - [x: y]"},
        {{"--cou", "7", "--wa=2", "--qui"}, "a.c - q1 e0 v0 n7 w2 - [x: y]"},
        {{"-qvv", "-ves", "NAME"}, "a.c - q1 e1 v3 n3 w0.5 NAME [x: y]"},
        {{"-n7"}, "a.c - q0 e0 v0 n7 w0.5 - [x: y]"},
        {{"-en", "8"}, "a.c - q0 e1 v0 n8 w0.5 - [x: y]"},
        {{"-n", "-1"}, "a.c - q0 e0 v0 n-1 w0.5 - [x: y]"},
        {{"--name", "--quiet"}, "a.c - q0 e0 v0 n3 w0.5 --quiet [x: y]"},
        {{"--name="}, "a.c - q0 e0 v0 n3 w0.5  [x: y]"},
        {{"--", "-q", "--count"}, "-q --count q0 e0 v0 n3 w0.5 - [x: y]"},
        {{"-e", "--", "b.c"}, "b.c - q0 e1 v0 n3 w0.5 - [x: y]"},
        {{"-"}, "- - q0 e0 v0 n3 w0.5 - [x: y]"},
        {{"-H", "a: b", "--header=c: d"}, "a.c - q0 e0 v0 n3 w0.5 - [a: b] [c: d]"},
        {{"-n", "1", "-n", "2"}, "a.c - q0 e0 v0 n2 w0.5 - [x: y]"},
        {{"--wait", "0"}, "a.c - q0 e0 v0 n3 w0 - [x: y]"},
        {{"--wait", ".5"}, "a.c - q0 e0 v0 n3 w0.5 - [x: y]"},
        {{"-n", "007"}, "a.c - q0 e0 v0 n7 w0.5 - [x: y]"},
        {{"-s", "h\xC3\xA9", "--wait", "31536000"},
         "a.c - q0 e0 v0 n3 w3.1536e+07 h\xC3\xA9 [x: y]"},
        {{"--mark"}, "a.c - q0 e0 v0 n3 w0.5 - [x: y] <>"},
        {{"--mark", "b.c", "-q"}, "b.c - q1 e0 v0 n3 w0.5 - [x: y] <>"},
        {{"--mark=7", "b.c"}, "b.c - q0 e0 v0 n3 w0.5 - [x: y] <7>"},
        {{"--ma="}, "a.c - q0 e0 v0 n3 w0.5 - [x: y] <>"},
        {{"-m", "-q"}, "a.c - q1 e0 v0 n3 w0.5 - [x: y] <>"},
        {{"-qm7"}, "a.c - q1 e0 v0 n3 w0.5 - [x: y] <7>"},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct settings settings;
        const struct option_table table = set_up(&settings);
        struct error err;

        if (parse(&settings, cases[i].args, NULL, &err) == -1)
            fail_msg("case %zu: %s", i, err.message);
        assert_string_equal(describe(&settings), cases[i].want);
        options_clear(&table);
    }
}

static void test_refused(void **state)
{
    static const char number[] = "--count takes a whole number of MiB from -1 to 100, ";
    static const char seconds[] = "--wait takes seconds from 0 to 31536000, ";
    /* clang-format off */
    static const struct {
        const char *args[ARGS_MAX];
        const char *start, *want;
    } cases[] = {
        {{"--qiuet"}, "", "unknown option '--qiuet': did you mean '--quiet'?"},
        {{"--cuont=5"}, "", "unknown option '--cuont': did you mean '--count'?"},
        {{"--zebra"}, "", "unknown option '--zebra' (see --help)"},
        {{"--secert", "x"}, "", "unknown option '--secert' (see --help)"},
        {{"--a\x1B[31m\n"}, "", "unknown option '--a [31m ' (see --help)"},
        {{"-Z"}, "", "unknown option '-Z' (see --help)"},
        {{"-qZ", "-e"}, "", "unknown option '-Z' (see --help)"},
        {{"-e-"}, "", "unknown option '-e-' (see --help)"},
        {{"-\xC3\xA9"}, "", "unknown option '-\xC3\xA9' (see --help)"},
        {{"--quiet=1"}, "", "--quiet takes no value"},
        {{"-n"}, "", "--count needs a value: --count N"},
        {{"b.c", "--count"}, "", "--count needs a value: --count N"},
        {{"a", "b", "c"}, "", "'c' is one argument too many: SECOND is already 'b'"},
        {{"--", "a", "b", "-c"}, "",
         "'-c' is one argument too many: SECOND is already 'b'"},
        {{"-n", "5x"}, number, "not '5x'"},
        {{"-n", ""}, number, "not ''"},
        {{"-n", " 5"}, number, "not ' 5'"},
        {{"-n", "+5"}, number, "not '+5'"},
        {{"-n", "0x5"}, number, "not '0x5'"},
        {{"-n", "5.0"}, number, "not '5.0'"},
        {{"-n", "-2"}, number, "not '-2'"},
        {{"-n", "101"}, number, "not '101'"},
        {{"-n", "-"}, number, "not '-'"},
        {{"-n", "99999999999999999999"}, number, "not '99999999999999999999'"},
        {{"-n", "5\n"}, number, "not '5 '"},
        {{"--wait", "abc"}, seconds, "not 'abc'"},
        {{"--wait", ""}, seconds, "not ''"},
        {{"--wait", "nan"}, seconds, "not 'nan'"},
        {{"--wait", "inf"}, seconds, "not 'inf'"},
        {{"--wait", "0x1p3"}, seconds, "not '0x1p3'"},
        {{"--wait", "1e3"}, seconds, "not '1e3'"},
        {{"--wait", "1.2.3"}, seconds, "not '1.2.3'"},
        {{"--wait", "."}, seconds, "not '.'"},
        {{"--wait", "-0.1"}, seconds, "not '-0.1'"},
        {{"--wait", "31536001"}, seconds, "not '31536001'"},
        {{"--wait", "5s"}, seconds, "not '5s'"},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct settings settings;
        const struct option_table table = set_up(&settings);
        char want[300];
        struct error err;

        snprintf(want, sizeof(want), "%s%s", cases[i].start, cases[i].want);
        assert_int_equal(parse(&settings, cases[i].args, NULL, &err), -1);
        assert_string_equal(err.message, want);
        options_clear(&table);
    }
}

/* Hidden options count for an exact name only, never as a guess. */
static void test_ambiguous(void **state)
{
    static const struct option_row similar[] = {
        {.name = "stop",      .type = OPTION_FLAG, .section = "A", .field = 0},
        {.name = "stop-time", .type = OPTION_FLAG, .section = "A", .field = 1},
        {.name = "stuck",     .type = OPTION_FLAG, .section = "A", .field = 2},
    };
    static const struct {
        const char *item, *want;
    } cases[] = {
        {"--stop",  NULL                                                         },
        {"--stop-", NULL                                                         },
        {"--st",    "option '--st' could be '--stop', '--stop-time' or '--stuck'"},
        {"--sto",   "option '--sto' could be '--stop' or '--stop-time'"          },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        bool values[3] = {false};
        const struct option_table table = {similar, ARRAY_SIZE(similar), values};
        char *const argv[] = {(char *)"program", (char *)cases[i].item, NULL};
        struct error err = {.message = ""};
        const int rc = options_parse(&table, 1, 2, argv, NULL, &err);

        assert_int_equal(rc, cases[i].want != NULL ? -1 : 0);
        if (cases[i].want != NULL)
            assert_string_equal(err.message, cases[i].want);
    }
}

static void test_given(void **state)
{
    static const char *const args[ARGS_MAX] = {"b.c", "-qq",  "--cou", "4",
                                               "-H",  "a: b", "-H",    "c: d"};
    static const char *const want[] = {"file", "quiet", "count", "header"};
    struct settings settings;
    const struct option_table table = set_up(&settings);
    struct text_list given = {.items = NULL};
    struct error err;

    (void)state;
    assert_int_equal(parse(&settings, args, &given, &err), 0);
    assert_int_equal(given.count, ARRAY_SIZE(want));
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        assert_string_equal(given.items[i], want[i]);
    text_list_clear(&given);
    options_clear(&table);
}

/* getopt keeps its place in globals: a refusal within "-qZe" must not spoil the next. */
static void test_parsing_again(void **state)
{
    static const char *const bad[ARGS_MAX] = {"-qZe", "x"}, *const good[ARGS_MAX] = {
                                                                "-e"};
    struct settings settings;
    const struct option_table table = set_up(&settings);
    struct error err;

    (void)state;
    assert_int_equal(parse(&settings, bad, NULL, &err), -1);
    assert_int_equal(parse(&settings, good, NULL, &err), 0);
    assert_true(settings.eager);
    options_clear(&table);
}

static void test_nearest(void **state)
{
    static const char *const names[] = {"workers", "processes", "x"};

    (void)state;
    assert_string_equal(options_nearest("wrokers", names, 3), "workers");
    assert_string_equal(options_nearest("proceses", names, 3), "processes");
    assert_null(options_nearest("duration", names, 3));
    assert_null(options_nearest("y", names, 3));
    assert_null(options_nearest("", names, 3));
    assert_null(options_nearest("workers", names, 0));
}

static size_t longest_line(const char *text)
{
    size_t longest = 0;

    while (*text != '\0') {
        const size_t length = strcspn(text, "\n");

        if (length > longest)
            longest = length;
        text += length + (text[length] == '\n');
    }
    return longest;
}

static void test_help(void **state)
{
    static const char want[] =
        "What:\n"
        "  FILE                          the file (default: a.c)\n"
        "  SECOND                        another file\n"
        "  -e, --eager                   at once\n"
        "  -n, --count N                 how many (default: 3 MiB)\n"
        "      --wait SECONDS            how long, in a help text that is itself long\n"
        "                                enough to need a second line (default: 0.5 "
        "s)\n"
        "  -H, --header TEXT             one more (default: x: y)\n"
        "\n"
        "Looks:\n"
        "  -q, --quiet                   say nothing\n"
        "  -v, --verbose                 say more\n"
        "  -s, --name NAME               what it is called\n"
        "  -m, --mark [MARK]             which one\n";
    struct settings settings;
    const struct option_table table = set_up(&settings);
    struct buffer help = BUFFER_INIT;

    (void)state;
    options_help(&table, 1, 80, &help);
    assert_string_equal(buffer_text(&help), want);
    for (size_t width = 40; width < 160; width++) {
        buffer_reset(&help);
        options_help(&table, 1, width, &help);
        assert_true(longest_line(buffer_text(&help)) <= width);
    }
    buffer_clear(&help);
    options_clear(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_ambiguous),     cmocka_unit_test(test_given),
        cmocka_unit_test(test_parsing_again), cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_help),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
