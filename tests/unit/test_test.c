#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "scenario/test.h"
#include "unit/random.h"

static void add(struct test *test, const char *name, double weight, double delay_s)
{
    struct error err;

    if (test_add_scenario(test, name, weight, delay_s, test, &err) == -1)
        fail_msg("%s: %s", name, err.message);
}

static void finish(struct test *test)
{
    struct error err;
    struct job job;

    job_init(&job);
    if (test_finish(test, &job, &err) == -1)
        fail_msg("%s", err.message);
    job_clear(&job);
}

/* --- adding ------------------------------------------------------------------------------ */

static void test_refusals(void **state)
{
    static char longest[TABLE_NAME_MAX + 1], too_long[TABLE_NAME_MAX + 2];
    static const struct {
        const char *what, *name;
        double weight, delay_s;
        const char *want; /* in the error; NULL: it is taken */
    } cases[] = {
        {"plain",                 "a",        1,        0,        NULL    },
        {"a small weight",        "a",        1e-9,     0,        NULL    },
        {"the longest delay",     "a",        1,        86400,    NULL    },
        {"the longest name",      longest,    1,        0,        NULL    },
        {"another language",      "\xC3\xA9", 1,        0,        NULL    },
        {"spaces and all",        "a b's",    1,        0,        NULL    },
        {"no name",               NULL,       1,        0,        "name"  },
        {"an empty name",         "",         1,        0,        "name"  },
        {"too long a name",       too_long,   1,        0,        "name"  },
        {"a name of two lines",   "a\nb",     1,        0,        "name"  },
        {"a name of no text",     "a\xFF",    1,        0,        "name"  },
        {"a weight below 0",      "a",        -1,       0,        "weight"},
        {"a weight without end",  "a",        INFINITY, 0,        "weight"},
        {"a weight that is none", "a",        NAN,      0,        "weight"},
        {"a delay below 0",       "a",        1,        -0.1,     "delay" },
        {"too long a delay",      "a",        1,        86401,    "delay" },
        {"a delay without end",   "a",        1,        INFINITY, "delay" },
        {"a delay that is none",  "a",        1,        NAN,      "delay" },
        {"none, and left out",    "a",        0,        -1,       "delay" },
    };

    (void)state;
    memset(longest, 'n', sizeof(longest) - 1);
    memset(too_long, 'n', sizeof(too_long) - 1);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct test test = {.data = NULL};
        struct error err = {.message = ""};
        const int rc = test_add_scenario(&test, cases[i].name, cases[i].weight,
                                         cases[i].delay_s, NULL, &err);

        if ((rc == 0) != (cases[i].want == NULL) ||
            (rc == -1 && strstr(err.message, cases[i].want) == NULL))
            fail_msg("%s: %d, '%s'", cases[i].what, rc, err.message);
        assert_int_equal(test.scenario_count, rc == 0);
        test_clear(&test);
    }
}

static void test_weight_0_is_left_out(void **state)
{
    struct test test = {.data = NULL};

    (void)state;
    add(&test, "a", 1, 0);
    add(&test, "b", 0, 0);
    add(&test, "c", -0.0, 0);
    finish(&test);
    assert_int_equal(test.scenario_count, 1);
    assert_null(test_find(&test, "b"));
    assert_non_null(test_find(&test, "a"));
    test_clear(&test);
}

static void test_same_name_replaces(void **state)
{
    struct test test = {.data = NULL};
    struct error err;
    int old_code, new_code;
    const struct scenario *scenario;

    (void)state;
    assert_int_equal(test_add_scenario(&test, "a", 1, 5, &old_code, &err), 0);
    add(&test, "A", 1, 0); /* another name */
    assert_int_equal(test_add_scenario(&test, "a", 3, 0.5, &new_code, &err), 0);
    finish(&test);
    assert_int_equal(test.scenario_count, 2);
    scenario = test_find(&test, "a");
    assert_ptr_equal(scenario->code, &new_code);
    assert_true(scenario->weight == 3 && scenario->delay_s == 0.5);
    assert_true(test.weight_sum == 4);
    test_clear(&test);
}

/* The name is copied: it may be in a library that is unloaded. */
static void test_names_are_copied(void **state)
{
    struct test test = {.data = NULL};
    char name[] = "a";

    (void)state;
    add(&test, name, 1, 0);
    name[0] = 'x';
    assert_non_null(test_find(&test, "a"));
    test_clear(&test);
}

static void test_as_many_as_the_stats_hold(void **state)
{
    struct test test = {.data = NULL};
    struct error err;
    char name[16];

    (void)state;
    for (unsigned i = 0; i < STATS_SCENARIOS_MAX; i++) {
        snprintf(name, sizeof(name), "%u", i);
        add(&test, name, 1, 0);
    }
    assert_int_equal(test_add_scenario(&test, "more", 1, 0, NULL, &err), -1);
    assert_non_null(strstr(err.message, "200"));
    add(&test, "0", 2, 0);    /* replaces */
    add(&test, "more", 0, 0); /* is left out */
    finish(&test);
    assert_int_equal(test.scenario_count, STATS_SCENARIOS_MAX);
    for (size_t i = 1; i < test.scenario_count; i++)
        assert_true(strcmp(test.scenarios[i - 1].name, test.scenarios[i].name) < 0);
    test_clear(&test);
}

/* --- the whole --------------------------------------------------------------------------- */

static void test_no_scenario(void **state)
{
    struct test test = {.data = NULL};
    struct error err;
    struct job job;

    (void)state;
    job_init(&job);
    add(&test, "a", 0, 0);
    assert_int_equal(test_finish(&test, &job, &err), -1);
    assert_non_null(strstr(err.message, "no scenario"));
    job_clear(&job);
    test_clear(&test);
}

static void test_single_mode(void **state)
{
    static const struct {
        const char *name;
        bool want;
    } cases[] = {
        {"a", true },
        {"b", true },
        {"c", false}, /* has a weight of 0 */
        {"A", false},
        {"",  false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct test test = {.data = NULL};
        struct error err = {.message = ""};
        struct job job;

        job_init(&job);
        job.single_mode = xstrdup(cases[i].name);
        add(&test, "b", 1, 0);
        add(&test, "a", 1, 0);
        add(&test, "c", 0, 0);
        if ((test_finish(&test, &job, &err) == 0) != cases[i].want)
            fail_msg("'%s': %s", cases[i].name, err.message);
        assert_int_equal(strstr(err.message, "it has a, b") != NULL, !cases[i].want);
        job_clear(&job);
        test_clear(&test);
    }
}

/* --- picking ----------------------------------------------------------------------------- */

static void test_pick_at_the_edges(void **state)
{
    static const struct {
        double share;
        const char *want;
    } cases[] = {
        {0,                "a"},
        {0.25 - 0x1.0p-53, "a"},
        {0.25,             "b"},
        {0.5 - 0x1.0p-53,  "b"},
        {0.5,              "c"},
        {1 - 0x1.0p-53,    "c"}, /* the largest random number */
    };
    struct test test = {.data = NULL};

    (void)state;
    add(&test, "c", 2, 0);
    add(&test, "a", 1, 0);
    add(&test, "b", 1, 0);
    finish(&test);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *const got = test_pick(&test, cases[i].share)->name;

        if (strcmp(got, cases[i].want) != 0)
            fail_msg("%g: got %s", cases[i].share, got);
    }
    test_clear(&test);
}

static void test_pick_of_one(void **state)
{
    struct test test = {.data = NULL};

    (void)state;
    add(&test, "a", 1e-300, 0);
    finish(&test);
    assert_string_equal(test_pick(&test, 0)->name, "a");
    assert_string_equal(test_pick(&test, 0.999)->name, "a");
    test_clear(&test);
}

/* Shares that are evenly spread pick each scenario as often as its weight says. */
static void test_pick_by_weight(void **state)
{
    enum { SHARES = 10000 };
    struct random random = random_start("test_pick_by_weight");

    (void)state;
    for (int round = 0; round < 30; round++) {
        const size_t count = 1 + (size_t)random_below(&random, 20);
        struct test test = {.data = NULL};
        size_t picked[20] = {0};
        char name[24];

        for (size_t i = 0; i < count; i++) {
            snprintf(name, sizeof(name), "%zu", i);
            add(&test, name, 0.1 * (double)(1 + random_below(&random, 1000)), 0);
        }
        finish(&test);
        for (size_t i = 0; i < SHARES; i++)
            picked[test_pick(&test, (double)i / SHARES) - test.scenarios]++;
        for (size_t i = 0; i < count; i++) {
            const double want = SHARES * test.scenarios[i].weight / test.weight_sum;

            if (fabs((double)picked[i] - want) > 2)
                fail_msg("weight %g: picked %zu times, not %g",
                         test.scenarios[i].weight, picked[i], want);
        }
        test_clear(&test);
    }
}

static void test_nothing_added(void **state)
{
    struct test test = {.data = NULL};

    (void)state;
    assert_null(test_find(&test, "a"));
    test_clear(&test); /* of nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_weight_0_is_left_out),
        cmocka_unit_test(test_same_name_replaces),
        cmocka_unit_test(test_names_are_copied),
        cmocka_unit_test(test_as_many_as_the_stats_hold),
        cmocka_unit_test(test_no_scenario),
        cmocka_unit_test(test_single_mode),
        cmocka_unit_test(test_pick_at_the_edges),
        cmocka_unit_test(test_pick_of_one),
        cmocka_unit_test(test_pick_by_weight),
        cmocka_unit_test(test_nothing_added),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
