#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "stats/stats.h"
#include "unit/random.h"

static void expect_u64(const char *name, uint64_t got, uint64_t want)
{
    if (got != want)
        fail_msg("%s: got %" PRIu64 ", want %" PRIu64, name, got, want);
}

static void test_statuses(void **state)
{
    static const struct {
        unsigned status;
        uint64_t count;
    } added[] = {
        {404,  1},
        {200,  2},
        {999,  3},
        {200,  4},
        {0,    5},
        {1000, 6}, /* no status */
        {301,  0}, /* nothing */
    };
    static const struct status_count want[] = {
        {0,   11},
        {200, 6 },
        {404, 1 },
        {999, 3 },
    };
    struct stats stats;
    struct request_stats *request;

    (void)state;
    stats_init(&stats);
    request = stats_request(&stats, "GET", "/x", 2);
    for (size_t i = 0; i < ARRAY_SIZE(added); i++)
        stats_add_status(request, added[i].status, added[i].count);
    expect_u64("statuses", request->status_count, ARRAY_SIZE(want));
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        expect_u64("status", request->statuses[i].status, want[i].status);
        expect_u64("count", request->statuses[i].count, want[i].count);
    }
    stats_clear(&stats);
}

static void test_counters(void **state)
{
    static const struct {
        const char *name;
        int64_t by[3];
        int64_t want;
    } cases[] = {
        {"up",                  {1, 2, 3},            6        },
        {"down",                {1, -2, -3},          -4       },
        {"to zero",             {5, -5, 0},           0        },
        {"beyond the largest",  {INT64_MAX, 1, 1},    INT64_MAX},
        {"beyond the smallest", {INT64_MIN, -1, 0},   INT64_MIN},
        {"the smallest",        {INT64_MIN, 0, 0},    INT64_MIN},
        {"there and back",      {INT64_MAX, 10, -10}, INT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct stats stats;
        const struct counter_stats *counter;

        stats_init(&stats);
        for (size_t k = 0; k < 3; k++)
            stats_add_counter(&stats, "n", cases[i].by[k]);
        counter = table_find(&stats.counters, "n", 1);
        if (counter->value != cases[i].want)
            fail_msg("%s: got %" PRId64, cases[i].name, counter->value);
        stats_clear(&stats);
    }
}

/* The sample is the earliest; of two at once, the lesser. */
static void test_error_samples(void **state)
{
    static const struct {
        const char *name;
        struct {
            uint64_t at_us;
            const char *sample;
        } errors[3];
        uint64_t want_us;
        const char *want;
    } cases[] = {
        {"the earliest",       {{20, "b"}, {10, "c"}, {30, "a"}},  10, "c"  },
        {"the lesser at once", {{10, "b"}, {10, "a"}, {10, "c"}},  10, "a"  },
        {"at the start",       {{0, "b"}, {0, "b"}, {5, "a"}},     0,  "b"  },
        {"clean",              {{1, "a\n\x1B"}, {2, ""}, {3, ""}}, 1,  "a  "},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct stats stats;
        const struct error_stats *error;

        stats_init(&stats);
        for (size_t k = 0; k < 3; k++)
            stats_add_error(&stats, "message", cases[i].errors[k].at_us,
                            cases[i].errors[k].sample);
        error = table_find(&stats.errors, "message", 7);
        expect_u64(cases[i].name, error->count, 3);
        expect_u64(cases[i].name, error->sample_us, cases[i].want_us);
        if (strcmp(error->sample, cases[i].want) != 0)
            fail_msg("%s: got '%s'", cases[i].name, error->sample);
        stats_clear(&stats);
    }
}

static void test_split_request_name(void **state)
{
    static const struct {
        const char *method, *name, *want_method, *want_name;
    } cases[] = {
        {"GET",                                 "/x y", "GET",                             "/x y"},
        {"",                                    "/x",   "",                                "/x"  },
        {"GET",                                 "",     "GET",                             ""    },
        {"A234567890B234567890C234567890D2345", "/",    "A234567890B234567890C234567890D",
         "/"                                                                                     },
    };
    struct stats stats;
    char method[32];
    const char *name;

    (void)state;
    stats_init(&stats);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        stats_split_request_name(stats_request(&stats, cases[i].method, cases[i].name,
                                               strlen(cases[i].name)),
                                 method, &name);
        assert_string_equal(method, cases[i].want_method);
        assert_string_equal(name, cases[i].want_name);
    }
    stats_split_request_name(
        table_row(&stats.requests, TABLE_OTHER, strlen(TABLE_OTHER)), method, &name);
    assert_string_equal(method, "");
    assert_string_equal(name, TABLE_OTHER);
    stats_clear(&stats);
}

static void test_sorted_rows(void **state)
{
    static const char *const names[] = {"b", TABLE_OTHER, "~", "a", "\xC3\xA9"};
    static const char *const want[] = {"a", "b", "~", "\xC3\xA9", TABLE_OTHER};
    struct stats stats;
    struct table_row **rows;

    (void)state;
    stats_init(&stats);
    assert_null(stats_sorted_rows(&stats.scenarios));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        stats_scenario(&stats, names[i]);
    rows = stats_sorted_rows(&stats.scenarios);
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        assert_string_equal(rows[i]->name, want[i]);
    free(rows);
    stats_clear(&stats);
}

/* Each thing alone makes it not empty, and a reset empty again, with rows in place. */
static void test_empty_and_reset(void **state)
{
    enum { NUMBERS = 17, THINGS = NUMBERS + 6 };

    (void)state;
    for (unsigned thing = 0; thing < THINGS; thing++) {
        struct stats stats;
        struct request_stats *request;
        struct scenario_stats *scenario;

        stats_init(&stats);
        request = stats_request(&stats, "GET", "/", 1);
        scenario = stats_scenario(&stats, "s");
        assert_true(stats_is_empty(&stats));
        {
            uint64_t *const numbers[] = {&request->hits,
                                         &request->hit_errors,
                                         &request->unsent,
                                         &request->bytes_in,
                                         &request->bytes_out,
                                         &scenario->ok,
                                         &scenario->failed,
                                         &scenario->cancelled,
#define SCALAR_PLACE(name) &stats.name,
                                         STATS_SCALARS(SCALAR_PLACE)
#undef SCALAR_PLACE
            };

            assert_int_equal(ARRAY_SIZE(numbers), NUMBERS);
            if (thing < NUMBERS)
                *numbers[thing] = 1;
        }
        if (thing == NUMBERS)
            stats_add_status(request, 200, 1);
        if (thing == NUMBERS + 1)
            stats_add_phase(request, PHASE_TLS, 0);
        if (thing == NUMBERS + 2)
            histogram_record(&request->latency, 0);
        if (thing == NUMBERS + 3)
            histogram_record(&scenario->latency, 0);
        if (thing == NUMBERS + 4)
            stats_add_error(&stats, "", 0, "");
        if (thing == NUMBERS + 5)
            stats_add_counter(&stats, "", -1);
        if (stats_is_empty(&stats))
            fail_msg("thing %u does not count", thing);
        stats_reset(&stats);
        assert_true(stats_is_empty(&stats));
        assert_ptr_equal(stats_request(&stats, "GET", "/", 1), request);
        stats_clear(&stats);
    }
}

/* After a reset the next interval begins anew, also in what is kept as earliest. */
static void test_recording_after_reset(void **state)
{
    struct stats stats;
    const struct error_stats *error;

    (void)state;
    stats_init(&stats);
    stats_add_error(&stats, "e", 10, "old");
    stats_add_counter(&stats, "c", 7);
    stats_reset(&stats);
    stats_add_error(&stats, "e", 20, "new");
    stats_add_counter(&stats, "c", 1);
    error = table_find(&stats.errors, "e", 1);
    assert_string_equal(error->sample, "new");
    expect_u64("sample_us", error->sample_us, 20);
    assert_true(((struct counter_stats *)stats.counters.rows[0])->value == 1);
    stats_clear(&stats);
}

/* What counted nothing since a reset neither makes rows nor has an earlier sample. */
static void test_merge_after_reset(void **state)
{
    struct stats into, from;

    (void)state;
    stats_init(&into);
    stats_init(&from);
    stats_request(&from, "GET", "/", 1)->hits = 1;
    stats_add_error(&from, "e", 10, "old");
    stats_reset(&from);
    stats_add_error(&into, "e", 20, "new");
    stats_merge(&into, &from);
    expect_u64("requests", into.requests.count, 0);
    assert_string_equal(((struct error_stats *)into.errors.rows[0])->sample, "new");
    stats_clear(&into);
    stats_clear(&from);
}

static void test_merge_saturates(void **state)
{
    struct stats into, from;
    struct stats_totals totals;

    (void)state;
    stats_init(&into);
    stats_init(&from);
    stats_request(&into, "GET", "/", 1)->hits = UINT64_MAX - 1;
    stats_request(&from, "GET", "/", 1)->hits = 2;
    stats_request(&from, "GET", "/other", 6)->hits = 2;
    into.connections = UINT64_MAX;
    from.connections = 1;
    stats_merge(&into, &from);
    stats_total(&into, &totals);
    expect_u64("hits of the row", stats_request(&into, "GET", "/", 1)->hits,
               UINT64_MAX);
    expect_u64("hits", totals.hits, UINT64_MAX);
    stats_totals_add(&totals, &totals);
    expect_u64("hits of both", totals.hits, UINT64_MAX);
    expect_u64("connections", into.connections, UINT64_MAX);
    expect_u64("what was merged", stats_request(&from, "GET", "/", 1)->hits, 2);
    stats_clear(&into);
    stats_clear(&from);
}

/* All rows, on top of what is there. */
static void test_latency_of_all(void **state)
{
    struct histogram *const latency = xcalloc(1, sizeof(*latency));
    struct stats stats;

    (void)state;
    stats_init(&stats);
    histogram_record(latency, 1);
    histogram_record(&stats_request(&stats, "GET", "/", 1)->latency, 2);
    histogram_record(&stats_request(&stats, "POST", "/", 1)->latency, 300);
    stats_add_latency(&stats, latency);
    expect_u64("of all and before", latency->count, 3);
    expect_u64("the least", latency->min_us, 1);
    expect_u64("the most", latency->max_us, 300);
    free(latency);
    stats_clear(&stats);
}

/* --- properties ------------------------------------------------------------------- */

enum { PARTS_MAX = 12 };

/* Sends a delta over the wire: what comes out takes its place. */
static void travel(struct delta *delta)
{
    struct buffer buffer = BUFFER_INIT;
    struct delta arrived;
    struct error err;

    pack_into(&buffer, delta);
    if (unpack_from(buffer.data, buffer.size, &arrived, &err) == -1)
        fail_msg("%s", err.message);
    delta_clear(delta);
    *delta = arrived;
    buffer_clear(&buffer);
}

/* Merges all parts into one, in random order and grouping; some travel in between, some
 * have rows of an interval before. */
static void merge_parts(struct random *random, struct delta *parts, size_t count,
                        struct delta *ret_merged)
{
    while (count > 1) {
        const size_t into = (size_t)random_below(random, count);
        const size_t from =
            (into + 1 + (size_t)random_below(random, count - 1)) % count;

        if (random_chance(random, 30))
            travel(&parts[from]);
        if (random_chance(random, 30))
            travel(&parts[into]);
        delta_merge(&parts[into], &parts[from]);
        delta_clear(&parts[from]);
        parts[from] = parts[--count];
    }
    *ret_merged = parts[0];
}

static void record_in_parts(struct random *random, uint64_t labels, size_t recordings,
                            struct delta *whole, struct delta *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        delta_init(&parts[i]);
        if (random_chance(random, 30)) {
            const struct recording before = random_recording(random, labels);

            record(&parts[i].stats, &before);
            delta_reset(&parts[i], 0);
        }
    }
    for (size_t i = 0; i < recordings; i++) {
        const struct recording what = random_recording(random, labels);

        record(&whole->stats, &what);
        record(&parts[random_below(random, count)].stats, &what);
    }
}

/* Under the caps: the same rows with the same values, so the same bytes. */
static void test_merge_under_caps(void **state)
{
    struct random random = random_start("merges under the caps");

    (void)state;
    for (int round = 0; round < 60; round++) {
        const size_t count = 1 + (size_t)random_below(&random, PARTS_MAX);
        const uint64_t labels = 1 + random_size(&random, 7);
        struct delta parts[PARTS_MAX], whole, merged;
        struct buffer want = BUFFER_INIT, got = BUFFER_INIT;

        delta_init(&whole);
        record_in_parts(&random, labels, (size_t)random_size(&random, 10), &whole,
                        parts, count);
        merge_parts(&random, parts, count, &merged);
        pack_into(&want, &whole);
        pack_into(&got, &merged);
        expect_u64("bytes", got.size, want.size);
        assert_memory_equal(got.data, want.data, want.size);
        delta_clear(&whole);
        delta_clear(&merged);
        buffer_clear(&want);
        buffer_clear(&got);
    }
}

/* What does not depend on which rows folded. */
struct sums {
    struct stats_totals totals;
    struct histogram latency, runs, phases[PHASE_COUNT];
    uint64_t statuses[STATS_STATUS_MAX + 1];
    uint64_t errors, added, taken;
#define SCALAR_SUM(name) uint64_t name;
    STATS_SCALARS(SCALAR_SUM)
#undef SCALAR_SUM
};

static void add_request_sums(struct sums *sums, const struct request_stats *request)
{
    for (size_t i = 0; i < request->status_count; i++)
        sums->statuses[request->statuses[i].status] += request->statuses[i].count;
    for (size_t i = 0; i < PHASE_COUNT; i++)
        if (request->phases[i] != NULL)
            histogram_merge(&sums->phases[i], request->phases[i]);
}

static struct sums *sum_up(const struct stats *stats)
{
    struct sums *const sums = xcalloc(1, sizeof(*sums));

#define SCALAR_SUM(name) sums->name = stats->name;
    STATS_SCALARS(SCALAR_SUM)
#undef SCALAR_SUM
    stats_total(stats, &sums->totals);
    stats_add_latency(stats, &sums->latency);
    for (size_t i = 0; i < stats->requests.count; i++)
        add_request_sums(sums, (const struct request_stats *)stats->requests.rows[i]);
    for (size_t i = 0; i < stats->scenarios.count; i++)
        histogram_merge(&sums->runs,
                        &((struct scenario_stats *)stats->scenarios.rows[i])->latency);
    for (size_t i = 0; i < stats->errors.count; i++)
        sums->errors += ((struct error_stats *)stats->errors.rows[i])->count;
    for (size_t i = 0; i < stats->counters.count; i++) {
        sums->added += ((struct counter_stats *)stats->counters.rows[i])->added;
        sums->taken += ((struct counter_stats *)stats->counters.rows[i])->taken;
    }
    return sums;
}

/* Over the caps: rows differ, totals never do. */
static void test_merge_over_caps(void **state)
{
    struct random random = random_start("merges over the caps");

    (void)state;
    for (int round = 0; round < 3; round++) {
        const size_t count = 2 + (size_t)random_below(&random, 4);
        struct delta parts[PARTS_MAX], whole, merged;
        struct sums *want, *got;

        delta_init(&whole);
        record_in_parts(&random, 3000, 8000, &whole, parts, count);
        merge_parts(&random, parts, count, &merged);
        assert_true(merged.stats.requests.count == STATS_REQUESTS_MAX + 1);
        assert_true(merged.stats.errors.count == STATS_ERRORS_MAX + 1);
        want = sum_up(&whole.stats);
        got = sum_up(&merged.stats);
        expect_u64("hits", got->totals.hits, want->totals.hits);
        assert_memory_equal(got, want, sizeof(*want));
        free(want);
        free(got);
        delta_clear(&whole);
        delta_clear(&merged);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_counters),
        cmocka_unit_test(test_error_samples),
        cmocka_unit_test(test_split_request_name),
        cmocka_unit_test(test_sorted_rows),
        cmocka_unit_test(test_empty_and_reset),
        cmocka_unit_test(test_recording_after_reset),
        cmocka_unit_test(test_merge_after_reset),
        cmocka_unit_test(test_merge_saturates),
        cmocka_unit_test(test_latency_of_all),
        cmocka_unit_test(test_merge_under_caps),
        cmocka_unit_test(test_merge_over_caps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
