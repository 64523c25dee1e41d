#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "stats/series.h"
#include "unit/random.h"

static void expect_u64(const char *name, uint64_t got, uint64_t want)
{
    if (got != want)
        fail_msg("%s: got %" PRIu64 ", want %" PRIu64, name, got, want);
}

/* Adds a delta of one hit that took `latency_us`. */
static void add_hit(struct series *series, uint64_t from_us, uint64_t until_us,
                    uint64_t latency_us)
{
    struct delta delta;
    struct request_stats *request;

    delta_init(&delta);
    delta.from_us = from_us;
    delta.until_us = until_us;
    request = stats_request(&delta.stats, "GET", "/", 1);
    request->hits = 1;
    histogram_record(&request->latency, latency_us);
    stats_scenario(&delta.stats, "s")->failed = 2;
    series_add(series, &delta);
    delta_clear(&delta);
}

static void add_workers(struct series *series, uint64_t second, uint64_t started,
                        uint64_t ended)
{
    struct delta delta;

    delta_init(&delta);
    delta.from_us = second * US_PER_S;
    delta.until_us = delta.from_us + US_PER_S;
    delta.stats.workers_started = started;
    delta.stats.workers_ended = ended;
    series_add(series, &delta);
    delta_clear(&delta);
}

/* One delta: how many rows there are then, and which time the last one covers. */
static void test_rows(void **state)
{
    static const struct {
        const char *name;
        uint64_t from_us, until_us, rows, start_s, width_s;
    } cases[] = {
        {"at the start",               0,              0,              1,     0,       1 },
        {"the first second",           0,              1000000,        1,     0,       1 },
        {"its timer was late",         0,              1000900,        1,     0,       1 },
        {"the second second, late",    1000900,        2001000,        2,     1,       1 },
        {"the last row of a second",   599000000,      600000000,      600,   599,     1 },
        {"the first row of a minute",  600000000,      601000000,      601,   600,     60},
        {"the end of that minute",     659000000,      660000000,      601,   600,     60},
        {"the second row of a minute", 660000000,      661000000,      602,   660,     60},
        {"a day",                      86399000000u,   86400000000u,   2030,  86340,   60},
        {"the first row too many",     2664600000000u, 2664600000002u, 45000, 2664540, 60},
        {"further than a month",       UINT64_MAX - 1, UINT64_MAX,     45000, 2664540, 60},
        {"all time there is",          0,              UINT64_MAX,     45000, 2664540, 60},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct series series;
        const struct series_row *last;
        uint64_t end_s = 0;

        series_init(&series);
        add_hit(&series, cases[i].from_us, cases[i].until_us, 5);
        last = &series.rows[series.count - 1];
        expect_u64(cases[i].name, series.count, cases[i].rows);
        expect_u64(cases[i].name, last->start_s, cases[i].start_s);
        expect_u64(cases[i].name, last->width_s, cases[i].width_s);
        expect_u64(cases[i].name, last->hits, 1);
        for (size_t k = 0; k < series.count; k++) {
            expect_u64("no gap", series.rows[k].start_s, end_s);
            end_s = series.rows[k].start_s + series.rows[k].width_s;
        }
        series_clear(&series);
    }
}

static void test_counts(void **state)
{
    struct series series;

    (void)state;
    series_init(&series);
    add_hit(&series, 0, 500000, 10);
    add_hit(&series, 500000, 1000000, 100);
    add_hit(&series, 3000000, 4000000, 50);
    add_hit(&series, 1000000, 2000000, 20); /* late: its row is over */
    expect_u64("rows", series.count, 4);
    expect_u64("hits, first row", series.rows[0].hits, 2);
    expect_u64("failed, first row", series.rows[0].failed, 4);
    expect_u64("p95, first row", series.rows[0].p95_us, 100);
    expect_u64("hits, a row without any", series.rows[1].hits, 0);
    expect_u64("p95, a row without any", series.rows[1].p95_us, 0);
    expect_u64("hits, open row", series.rows[3].hits, 2);
    expect_u64("p95, open row", series.rows[3].p95_us, 50);
    series_clear(&series);
}

static void test_workers(void **state)
{
    struct series series;

    (void)state;
    series_init(&series);
    add_workers(&series, 0, 10, 0);
    add_workers(&series, 2, 5, 3); /* 15 at one time, for all that is known */
    add_workers(&series, 3, 0, 12);
    expect_u64("first row", series.rows[0].workers, 10);
    expect_u64("a row without news", series.rows[1].workers, 10);
    expect_u64("third row", series.rows[2].workers, 12);
    expect_u64("at the end", series.workers, 0);
    expect_u64("most", series.workers_max, 15);
    series_clear(&series);
}

/* The end of workers may be known before their start, from another process. */
static void test_workers_out_of_order(void **state)
{
    struct series series;

    (void)state;
    series_init(&series);
    add_workers(&series, 0, 0, 4);
    expect_u64("ended before they started", series.workers, 0);
    add_workers(&series, 1, 6, 0);
    expect_u64("then", series.workers, 2);
    series_clear(&series);
}

/* --- the wire ----------------------------------------------------------------------- */

static int travel(const struct series *series, struct series *ret_series)
{
    struct buffer buffer = BUFFER_INIT;
    struct wire_message message;
    msgpack_packer packer;
    struct error err;
    int rc;

    wire_packer(&packer, &buffer);
    series_pack(series, &packer);
    if (wire_decode(buffer.data, buffer.size, &message, &err) == -1)
        fail_msg("%s", err.message);
    rc = series_unpack(&message.root, ret_series, &err);
    if (rc == -1)
        printf("%s\n", err.message);
    wire_clear(&message);
    buffer_clear(&buffer);
    return rc;
}

static void expect_same(const struct series *got, const struct series *want)
{
    expect_u64("workers", got->workers, want->workers);
    expect_u64("most workers", got->workers_max, want->workers_max);
    expect_u64("rows", got->count, want->count);
    for (size_t i = 0; i < want->count; i++) {
        expect_u64("start", got->rows[i].start_s, want->rows[i].start_s);
        expect_u64("width", got->rows[i].width_s, want->rows[i].width_s);
        expect_u64("hits", got->rows[i].hits, want->rows[i].hits);
        expect_u64("failed", got->rows[i].failed, want->rows[i].failed);
        expect_u64("workers of the row", got->rows[i].workers, want->rows[i].workers);
        expect_u64("p95", got->rows[i].p95_us, want->rows[i].p95_us);
    }
}

/* Runs of no second, of one, over the change from seconds to minutes, and of a month. */
static void test_round_trip(void **state)
{
    static const uint64_t ends_s[] = {0, 1, 7, 599, 600, 601, 660, 5000, 40 * 86400};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ends_s); i++) {
        struct series series, got;

        series_init(&series);
        if (ends_s[i] > 0) {
            add_workers(&series, 0, 10, 0);
            add_hit(&series, 0, US_PER_S, 10 + i);
            add_hit(&series, (ends_s[i] - 1) * US_PER_S, ends_s[i] * US_PER_S, 4000);
            add_workers(&series, ends_s[i] - 1, 1, 4);
        }
        assert_int_equal(travel(&series, &got), 0);
        expect_same(&got, &series);
        series_clear(&got);
        series_clear(&series);
    }
}

static void test_largest_numbers(void **state)
{
    struct series_row row = {0, 1, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    struct series series, got;

    (void)state;
    series_init(&series);
    series.rows = &row;
    series.count = 1;
    series.workers = series.workers_max = UINT64_MAX;
    assert_int_equal(travel(&series, &got), 0);
    expect_same(&got, &series);
    series_clear(&got);
}

/* Rows as a stranger writes them. */
static void test_refused(void **state)
{
    static const struct {
        const char *name;
        uint64_t workers, workers_max;
        size_t numbers;
        int64_t row[5];
        const char *why;
    } cases[] = {
        {"too many at the end",  6, 5, 4, {0, 0, 0, 0},    "\"workers\""              },
        {"too many in a row",    5, 5, 4, {0, 0, 6, 0},    "row 1 has more workers"   },
        {"half a row",           5, 5, 2, {0, 0},          "the last one is not compl"},
        {"a row and a bit",      5, 5, 5, {0, 0, 0, 0, 0}, "the last one is not compl"},
        {"hits below zero",      5, 5, 4, {-1, 0, 0, 0},   "row 1 has what is no whol"},
        {"a latency below zero", 5, 5, 4, {0, 0, 0, -1},   "row 1 has what is no whol"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buffer buffer = BUFFER_INIT;
        struct series got = {.count = 77};
        struct wire_message message;
        msgpack_packer packer;
        struct error err;

        wire_packer(&packer, &buffer);
        msgpack_pack_map(&packer, 3);
        wire_put_u64(&packer, "workers", cases[i].workers);
        wire_put_u64(&packer, "workers_max", cases[i].workers_max);
        wire_put_array(&packer, "rows", cases[i].numbers);
        for (size_t k = 0; k < cases[i].numbers; k++)
            msgpack_pack_int64(&packer, cases[i].row[k]);
        assert_int_equal(wire_decode(buffer.data, buffer.size, &message, &err), 0);
        if (series_unpack(&message.root, &got, &err) == 0 ||
            strstr(err.message, cases[i].why) == NULL)
            fail_msg("%s: %s", cases[i].name, err.message);
        assert_int_equal(got.count, 77); /* untouched */
        wire_clear(&message);
        buffer_clear(&buffer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),       cmocka_unit_test(test_counts),
        cmocka_unit_test(test_workers),    cmocka_unit_test(test_workers_out_of_order),
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_largest_numbers),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
