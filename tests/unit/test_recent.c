#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/clock.h"
#include "outputs/recent.h"

#define MS 1000u /* in us */

enum { LATE_US = 300 }; /* as timers are */

/* A delta of hits at `rate` a second, each of `latency_us`. */
static void add_span(struct recent *recent, uint64_t from_us, uint64_t until_us,
                     uint64_t rate, uint64_t latency_us)
{
    struct delta delta;
    struct request_stats *request;

    delta_init(&delta);
    delta.from_us = from_us;
    delta.until_us = until_us;
    request = stats_request(&delta.stats, "GET", "/", 1);
    request->hits = rate * (until_us - from_us) / US_PER_S;
    histogram_record(&request->latency, latency_us);
    recent_add(recent, &delta, until_us);
    delta_clear(&delta);
}

static void expect_rate(const char *name, const struct recent *recent, double want)
{
    if (recent->rate < want * 0.99 || recent->rate > want * 1.01)
        fail_msg("%s: %.1f/s, not %.1f/s", name, recent->rate, want);
}

/* Here, a delta comes five times a second. */
static void test_local_run(void **state)
{
    struct recent recent = {.rate = 0};
    uint64_t from_us = 0;

    (void)state;
    for (unsigned word = 1; word <= 20; word++) {
        const uint64_t until_us = word * 200 * MS + LATE_US;

        add_span(&recent, from_us, until_us, word <= 10 ? 1000 : 3000, 5);
        from_us = until_us;
        if (word >= 2) /* 0.4 s are something to show */
            expect_rate("from the first second on", &recent, word <= 15 ? 1000 : 3000);
    }
}

/* Agents tell of each half second one after the other, and the broker merges those that
 * come in the same tenth. What is shown is always the rate of all. */
static void test_agents(void **state)
{
    static const unsigned ends_ms[] = {200, 600, 1000, 1600, 2000, 2600, 3000, 3600};
    enum { AGENTS = 5, EACH = 1000 };
    struct recent recent = {.rate = 0};
    unsigned from_ms = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(ends_ms) / sizeof(ends_ms[0]); i++) {
        for (unsigned agent = 0; agent < AGENTS; agent++) {
            const uint64_t skew_us = LATE_US + agent * 20 * MS;

            add_span(&recent, from_ms > 0 ? from_ms * MS + skew_us : 0,
                     ends_ms[i] * MS + skew_us, EACH, 5);
            if (i > 0 && (recent.rate < 0.85 * AGENTS * EACH ||
                          recent.rate > 1.1 * AGENTS * EACH))
                fail_msg("%u ms, agent %u: %.1f/s", ends_ms[i], agent, recent.rate);
        }
        from_ms = ends_ms[i];
    }
}

/* Who looks later is told of all that was before in one delta. */
static void test_attached(void **state)
{
    struct recent recent = {.rate = 0};

    (void)state;
    add_span(&recent, 0, 61300 * MS, 100, 5);
    add_span(&recent, 61300 * MS, 61600 * MS, 900, 7);
    expect_rate("the mean of before", &recent, 100);
    add_span(&recent, 61600 * MS, 62000 * MS, 900, 7);
    add_span(&recent, 62000 * MS, 62600 * MS, 700, 7);
    expect_rate("what was seen of a second", &recent, 900);
    assert_int_equal(recent.p95_us, 7);
}

/* The broker was away for ten seconds, and nothing was measured for ten more. */
static void test_gaps(void **state)
{
    struct recent recent = {.rate = 0};

    (void)state;
    add_span(&recent, 0, 1000 * MS, 100, 5);
    add_span(&recent, 1000 * MS, 11000 * MS, 200, 5);
    expect_rate("before", &recent, 100);
    assert_true(recent_is_fresh(&recent, 13000 * MS));
    assert_false(recent_is_fresh(&recent, 14000 * MS));
    add_span(&recent, 21000 * MS, 21600 * MS, 300, 5);
    expect_rate("what was kept", &recent, 200);
    assert_true(recent_is_fresh(&recent, 22000 * MS));
    add_span(&recent, 22000 * MS, 22600 * MS, 300, 5);
    expect_rate("the quiet time is no part of what follows", &recent, 300);
}

static void test_lines_only(void **state)
{
    struct recent recent = {.rate = 0};
    struct delta lines;

    (void)state;
    delta_init(&lines);
    delta_add_line(&lines, LINE_NOTICE, "the broker answers again");
    recent_add(&recent, &lines, 5);
    assert_int_equal(recent.came_us, 0);
    delta_clear(&lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_local_run),  cmocka_unit_test(test_agents),
        cmocka_unit_test(test_attached),   cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_lines_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
