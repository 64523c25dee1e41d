#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "stats/histogram.h"
#include "unit/random.h"

#define MINUTES_70_US (70u * 60 * US_PER_S)

static void expect_u64(const char *name, uint64_t got, uint64_t want)
{
    if (got != want)
        fail_msg("%s: got %" PRIu64 ", want %" PRIu64, name, got, want);
}

static void expect_same(const struct histogram *left, const struct histogram *right)
{
    uint64_t total = 0;

    expect_u64("count", left->count, right->count);
    expect_u64("sum", left->sum_us, right->sum_us);
    expect_u64("minimum", left->min_us, right->min_us);
    expect_u64("maximum", left->max_us, right->max_us);
    if (left->count == 0)
        return;
    expect_u64("lowest", left->lowest, right->lowest);
    expect_u64("highest", left->highest, right->highest);
    for (size_t i = left->lowest; i <= left->highest; i++) {
        expect_u64("a bucket", left->buckets[i], right->buckets[i]);
        total += left->buckets[i];
    }
    expect_u64("all buckets", total, left->count);
}

/* Empty, in memory that was something else before. */
static void reset_dirty(struct histogram *histogram)
{
    memset(histogram, 0xA5, sizeof(*histogram));
    histogram_reset(histogram);
}

static void test_bucket_of(void **state)
{
    static const struct {
        const char *name;
        uint64_t value_us;
        size_t bucket;
        uint64_t low, middle;
    } cases[] = {
        {"nothing",               0,                       0,    0,           0          },
        {"the last linear one",   127,                     127,  127,         127        },
        {"the first doubling",    128,                     128,  128,         129        },
        {"its second value",      129,                     128,  128,         129        },
        {"its second bucket",     130,                     129,  130,         131        },
        {"the end of a doubling", 255,                     191,  254,         255        },
        {"the second doubling",   256,                     192,  256,         258        },
        {"a second",              1000000,                 954,  999424,      1003520    },
        {"the last value",        ((uint64_t)1 << 32) - 1, 1727, 4261412864u, 4278190080u},
        {"beyond it",             (uint64_t)1 << 32,       1727, 4261412864u, 4278190080u},
        {"the largest there is",  UINT64_MAX,              1727, 4261412864u, 4278190080u},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        expect_u64(cases[i].name, histogram_bucket_of(cases[i].value_us),
                   cases[i].bucket);
        expect_u64(cases[i].name, histogram_bucket_low(cases[i].bucket), cases[i].low);
        expect_u64(cases[i].name, histogram_bucket_middle(cases[i].bucket),
                   cases[i].middle);
    }
}

/* Buckets touch: each begins where the one before ends. */
static void test_buckets_touch(void **state)
{
    (void)state;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        const uint64_t low = histogram_bucket_low(i);

        expect_u64("the bucket of its low", histogram_bucket_of(low), i);
        expect_u64("the bucket of its middle",
                   histogram_bucket_of(histogram_bucket_middle(i)), i);
        if (i > 0)
            expect_u64("the value below", histogram_bucket_of(low - 1), i - 1);
    }
}

static void test_empty(void **state)
{
    static struct histogram histogram, other;

    (void)state;
    expect_u64("percentile", histogram_percentile(&histogram, 0.95), 0);
    assert_true(histogram_mean(&histogram) == 0);
    histogram_merge(&histogram, &other);
    expect_u64("count", histogram.count, 0);
    histogram_record(&histogram, 5);
    histogram_record(&histogram, 70000);
    assert_true(histogram_mean(&histogram) == 35002.5);
    histogram_reset(&histogram);
    expect_same(&histogram, &other);
}

/* The rank of a percentile is exact where values are: below 128 us. */
static void test_percentile_ranks(void **state)
{
    static const struct {
        const char *name;
        uint64_t values; /* 1 us, 2 us, ... of which the percentile is taken */
        double fraction;
        uint64_t want;
    } cases[] = {
        {"the least",                       100, 0.0,      1  },
        {"the most",                        100, 1.0,      100},
        {"the median of an even number",    100, 0.5,      50 },
        {"the median of an odd number",     101, 0.5,      51 },
        {"0.07 * 100 is above 7 in binary", 100, 0.07,     7  },
        {"just above a rank is the next",   100, 0.070001, 8  },
        {"the 95th",                        100, 0.95,     95 },
        {"of one value",                    1,   0.99,     1  },
        {"a fraction below 0",              100, -3,       1  },
        {"a fraction above 1",              100, 3,        100},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct histogram histogram = {.count = 0};

        for (uint64_t value = 1; value <= cases[i].values; value++)
            histogram_record(&histogram, value);
        expect_u64(cases[i].name, histogram_percentile(&histogram, cases[i].fraction),
                   cases[i].want);
    }
}

/* Sums stay at the largest number, and percentiles of such a histogram still end. */
static void test_saturates(void **state)
{
    static struct histogram histogram, copy;

    (void)state;
    histogram_record(&histogram, 10);
    histogram_record(&histogram, UINT64_MAX);
    for (int i = 0; i < 70; i++) {
        copy = histogram;
        histogram_merge(&histogram, &copy);
    }
    histogram_record(&histogram, 10);
    expect_u64("count", histogram.count, UINT64_MAX);
    expect_u64("sum", histogram.sum_us, UINT64_MAX);
    expect_u64("a bucket", histogram.buckets[10], UINT64_MAX);
    expect_u64("least", histogram_percentile(&histogram, 0), 10);
    expect_u64("median", histogram_percentile(&histogram, 0.5), 10);
    expect_u64("most", histogram_percentile(&histogram, 1), UINT64_MAX);
}

/* --- properties ------------------------------------------------------------------- */

static uint64_t uniform(struct random *random)
{
    return 1 + random_below(random, MINUTES_70_US);
}

static uint64_t each_size_alike(struct random *random)
{
    return 1 + random_size(random, 32) % MINUTES_70_US;
}

static uint64_t constant(struct random *random)
{
    (void)random;
    return 777777;
}

static uint64_t fast_with_outliers(struct random *random)
{
    if (random_chance(random, 3))
        return 30 * US_PER_S + random_below(random, US_PER_S);
    return 150 + random_below(random, 40) + random_below(random, 40);
}

static uint64_t hyperbolic(struct random *random)
{
    return 200 + 100000000 / (1 + random_below(random, 1000000));
}

static uint64_t microseconds(struct random *random)
{
    return 1 + random_below(random, 300);
}

static int compare_u64(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

static void expect_close(const char *name, uint32_t fraction, uint64_t got,
                         uint64_t want)
{
    const uint64_t off = got > want ? got - want : want - got;

    if (off * 100 >= want)
        fail_msg("%s, %u of 100000: got %" PRIu64 ", want %" PRIu64, name, fraction,
                 got, want);
}

/* Every percentile is less than 1 % off the one of the sorted values. */
static void test_percentiles_are_close(void **state)
{
    static const struct {
        const char *name;
        uint64_t (*value)(struct random *random);
    } distributions[] = {
        {"uniform",            uniform           },
        {"each size alike",    each_size_alike   },
        {"constant",           constant          },
        {"fast with outliers", fast_with_outliers},
        {"hyperbolic",         hyperbolic        },
        {"microseconds",       microseconds      },
    };
    static const uint32_t fractions[] = {0,     10,    1000,  5000,  25000,
                                         33333, 50000, 75000, 90000, 95000,
                                         99000, 99900, 99990, 100000};
    static const size_t sizes[] = {1, 2, 3, 10, 1000, 20000};
    struct random random = random_start("percentiles");
    uint64_t *const values = xcalloc(20000, sizeof(values[0]));

    (void)state;
    for (size_t d = 0; d < ARRAY_SIZE(distributions); d++) {
        for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
            struct histogram histogram = {.count = 0};

            for (size_t i = 0; i < sizes[s]; i++) {
                values[i] = distributions[d].value(&random);
                histogram_record(&histogram, values[i]);
            }
            qsort(values, sizes[s], sizeof(values[0]), compare_u64);
            for (size_t f = 0; f < ARRAY_SIZE(fractions); f++) {
                const size_t rank = (fractions[f] * sizes[s] + 99999) / 100000;

                expect_close(distributions[d].name, fractions[f],
                             histogram_percentile(&histogram, fractions[f] / 100000.0),
                             values[rank > 0 ? rank - 1 : 0]);
            }
        }
    }
    free(values);
}

/* However recordings are split and merged, the histogram is the same. */
static void test_merge_order(void **state)
{
    struct random random = random_start("histogram merges");
    static struct histogram whole, parts[8], merged;

    (void)state;
    for (int round = 0; round < 50; round++) {
        const size_t count = (size_t)random_below(&random, 300);
        size_t first;

        reset_dirty(&whole);
        reset_dirty(&merged);
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
            reset_dirty(&parts[i]);
        for (size_t i = 0; i < count; i++) {
            const uint64_t value = random_size(&random, 64);

            histogram_record(&whole, value);
            histogram_record(&parts[random_below(&random, ARRAY_SIZE(parts))], value);
        }
        first = (size_t)random_below(&random, ARRAY_SIZE(parts));
        for (size_t i = 0; i < ARRAY_SIZE(parts); i += 2)
            histogram_merge(&parts[i], &parts[i + 1]);
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
            if ((first + i) % 2 == 0)
                histogram_merge(&merged, &parts[(first + i) % ARRAY_SIZE(parts)]);
        expect_same(&merged, &whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bucket_of),
        cmocka_unit_test(test_buckets_touch),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_percentile_ranks),
        cmocka_unit_test(test_saturates),
        cmocka_unit_test(test_percentiles_are_close),
        cmocka_unit_test(test_merge_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
