#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/clock.h"
#include "outputs/recent.h"

#define MS 1000u /* in us */

enum { LATE_US = 300 }; /* as timers are */
enum { EACH = 1000 };   /* an agent's rate */

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
    enum { AGENTS = 5 };
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

/* --- an agent that tells late ------------------------------------------------------------ */

/* Tick n of an agent: half seconds end with the first word after them. */
static uint64_t tick_us(unsigned n)
{
    return n == 0 ? 0 : (n / 2 * 1000 + n % 2 * 600) * MS + LATE_US;
}

enum order { LATE_FIRST, LATE_LAST, MERGED };

static void add_tick(struct recent *recent, unsigned n)
{
    add_span(recent, tick_us(n), tick_us(n + 1), EACH, 5);
}

/* Tick `n` of one agent and tick `late_n` of another come at the same time. */
static void add_ticks(struct recent *recent, unsigned n, unsigned late_n,
                      enum order order)
{
    if (order == MERGED) { /* in the broker: 2 agents, one interval that spans both */
        const uint64_t from_us = tick_us(late_n), until_us = tick_us(n + 1);
        const uint64_t sum_us =
            until_us - tick_us(n) + tick_us(late_n + 1) - tick_us(late_n);

        add_span(recent, from_us, until_us, EACH * sum_us / (until_us - from_us), 5);
        return;
    }
    if (order == LATE_FIRST)
        add_tick(recent, late_n);
    add_tick(recent, n);
    if (order == LATE_LAST)
        add_tick(recent, late_n);
}

/* However late an agent steadily is, all its hits are in the rate. */
static void test_late_agent(void **state)
{
    (void)state;
    for (enum order order = LATE_FIRST; order <= MERGED; order++) {
        for (unsigned late = 0; late <= 3; late++) { /* in half seconds */
            struct recent recent = {.rate = 0};
            char name[64];

            for (unsigned n = 0; n < late; n++)
                add_tick(&recent, n);
            for (unsigned n = late; n < 40; n++) {
                add_ticks(&recent, n, n - late, order);
                snprintf(name, sizeof(name), "order %u, %u late, tick %u", order, late,
                         n);
                if (n > late + 5)
                    expect_rate(name, &recent, 2 * EACH);
            }
        }
    }
}

/* What an agent kept while its line was cut is no burst of hits. */
static void test_cut_agent(void **state)
{
    (void)state;
    for (unsigned back = 10; back < 14; back++) { /* the tick in which it is back */
        struct recent recent = {.rate = 0};

        for (unsigned n = 0; n < 40; n++) {
            add_tick(&recent, n);
            if (n == back)
                add_span(&recent, tick_us(2), tick_us(n + 1), EACH, 5);
            else if (n < 2 || n > back)
                add_tick(&recent, n);
            if (n > 0 && recent.rate > 2.01 * EACH)
                fail_msg("back %u, tick %u: %.1f/s", back, n, recent.rate);
            if (n > back + 3)
                expect_rate("it is back", &recent, 2 * EACH);
        }
    }
}

/* A long delta has the time of its middle, and covers more: what then comes of that time
 * alone changes nothing. */
static void test_all_shown(void **state)
{
    struct recent recent = {.rate = 0};

    (void)state;
    add_span(&recent, 0, 1000 * MS, 100, 5);
    add_span(&recent, 1000 * MS, 11000 * MS, 100, 5);
    for (unsigned s = 7; s < 11; s++) {
        add_span(&recent, s * 1000 * MS, (s + 1) * 1000 * MS, 300, 5);
        expect_rate("of the long one", &recent, 100);
    }
    for (unsigned s = 11; s < 15; s++) {
        add_span(&recent, s * 1000 * MS, (s + 1) * 1000 * MS, 100, 5);
        expect_rate("no burst", &recent, 100);
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
        cmocka_unit_test(test_late_agent), cmocka_unit_test(test_cut_agent),
        cmocka_unit_test(test_all_shown),  cmocka_unit_test(test_attached),
        cmocka_unit_test(test_gaps),       cmocka_unit_test(test_lines_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
