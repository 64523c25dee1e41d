#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/memory.h"
#include "engine/schedule.h"
#include "job/job.h"
#include "unit/random.h"

#define YEAR_US ((uint64_t)JOB_DURATION_MAX_S * US_PER_S)

static void expect_u64(const char *name, uint64_t got, uint64_t want)
{
    if (got != want)
        fail_msg("%s: got %" PRIu64 ", want %" PRIu64, name, got, want);
}

static void test_due(void **state)
{
    static const struct {
        const char *name;
        size_t workers;
        uint64_t ramp_up_us, elapsed_us;
        size_t want;
    } cases[] = {
        {"all at once without a ramp",     500,      0,          0,              500     },
        {"the first one at once",          10,       1000000,    0,              1       },
        {"just before the second",         10,       1000000,    99999,          1       },
        {"the second one",                 10,       1000000,    100000,         2       },
        {"the last a step before the end", 10,       1000000,    900000,         10      },
        {"just before the last",           10,       1000000,    899999,         9       },
        {"at the end of the ramp",         10,       1000000,    1000000,        10      },
        {"long after it",                  10,       1000000,    UINT64_MAX,     10      },
        {"a single one",                   1,        1000000,    0,              1       },
        {"nobody",                         0,        1000000,    500000,         0       },
        {"nobody, and no ramp",            0,        0,          0,              0       },
        {"more workers than microseconds", 1000,     10,         0,              100     },
        {"the same, a microsecond later",  1000,     10,         1,              200     },
        {"a year for the most workers",    1000000,  YEAR_US,    YEAR_US / 2,    500001  },
        {"the largest numbers",            SIZE_MAX, UINT64_MAX, UINT64_MAX - 1, SIZE_MAX},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        expect_u64(
            cases[i].name,
            schedule_due(cases[i].workers, cases[i].ramp_up_us, cases[i].elapsed_us),
            cases[i].want);
}

static void test_next(void **state)
{
    static const struct {
        const char *name;
        size_t workers;
        uint64_t ramp_up_us;
        size_t started;
        uint64_t want;
    } cases[] = {
        {"the first one",       10,       1000000,    0,            0                         },
        {"the second one",      10,       1000000,    1,            100000                    },
        {"the last one",        10,       1000000,    9,            900000                    },
        {"a third, round down", 3,        1000000,    2,            666666                    },
        {"without a ramp",      10,       0,          5,            0                         },
        {"of nobody",           0,        1000000,    0,            0                         },
        {"a year",              1000000,  YEAR_US,    999999,       YEAR_US / 1000000 * 999999},
        {"the largest numbers", SIZE_MAX, UINT64_MAX, SIZE_MAX - 1, UINT64_MAX - 1            },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        expect_u64(
            cases[i].name,
            schedule_next_us(cases[i].workers, cases[i].ramp_up_us, cases[i].started),
            cases[i].want);
}

/* When the timer for worker i fires, worker i is due; just before it is not. Else the
 * loop would spin, or start it too early. */
static void check_agree(size_t workers, uint64_t ramp_up_us, size_t started)
{
    const uint64_t at_us = schedule_next_us(workers, ramp_up_us, started);
    const size_t due = schedule_due(workers, ramp_up_us, at_us);

    if (due < started + 1)
        fail_msg("%zu workers over %" PRIu64 " us: %zu due at %" PRIu64
                 ", where worker %zu starts",
                 workers, ramp_up_us, due, at_us, started);
    if (at_us > 0 && schedule_due(workers, ramp_up_us, at_us - 1) > started)
        fail_msg("%zu workers over %" PRIu64 " us: worker %zu is due before %" PRIu64,
                 workers, ramp_up_us, started, at_us);
}

static void test_both_agree_on_small_numbers(void **state)
{
    (void)state;
    for (size_t workers = 1; workers <= 40; workers++) {
        for (uint64_t ramp_up_us = 0; ramp_up_us <= 100; ramp_up_us++) {
            for (size_t started = 0; started < workers; started++)
                check_agree(workers, ramp_up_us, started);
        }
    }
}

static void test_both_agree_on_any_numbers(void **state)
{
    struct random random = random_start("test_both_agree_on_any_numbers");

    (void)state;
    for (int round = 0; round < 100000; round++) {
        const size_t workers = 1 + (size_t)random_size(&random, 63);
        const uint64_t ramp_up_us = random_size(&random, 64);

        check_agree(workers, ramp_up_us, (size_t)random_below(&random, workers));
        check_agree(workers, ramp_up_us, workers - 1);
    }
}

/* Microsecond by microsecond nobody is taken back, and all are there at the end. */
static void test_due_only_grows(void **state)
{
    (void)state;
    for (size_t workers = 1; workers <= 30; workers++) {
        for (uint64_t ramp_up_us = 1; ramp_up_us <= 60; ramp_up_us++) {
            size_t before = 1;

            for (uint64_t at_us = 0; at_us <= ramp_up_us; at_us++) {
                const size_t due = schedule_due(workers, ramp_up_us, at_us);

                assert_true(due >= before);
                before = due;
            }
            assert_int_equal(before, workers);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_due),
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_both_agree_on_small_numbers),
        cmocka_unit_test(test_both_agree_on_any_numbers),
        cmocka_unit_test(test_due_only_grows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
