#include "stats/series.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "stats/saturate.h"

enum { SMALLEST_CAPACITY = 64 };

void series_init(struct series *series)
{
    *series = (struct series){.rows = NULL};
}

void series_clear(struct series *series)
{
    free(series->rows);
    series_init(series);
}

/* Which row covers that second. */
static size_t row_of(uint64_t second)
{
    const uint64_t row =
        second < SERIES_FINE_S
            ? second
            : SERIES_FINE_S + (second - SERIES_FINE_S) / SERIES_COARSE_S;

    return row < SERIES_ROWS_MAX ? (size_t)row : SERIES_ROWS_MAX - 1;
}

/* Ends the open row and opens the next. */
static void open_row(struct series *series)
{
    const size_t row = series->count;
    const bool is_fine = row < SERIES_FINE_S;

    if (row == series->capacity) {
        series->capacity = row > 0 ? row * 2 : SMALLEST_CAPACITY;
        series->rows =
            xrealloc_array(series->rows, series->capacity, sizeof(series->rows[0]));
    }
    series->rows[row] = (struct series_row){
        .start_s =
            is_fine ? row : SERIES_FINE_S + (row - SERIES_FINE_S) * SERIES_COARSE_S,
        .width_s = is_fine ? 1 : SERIES_COARSE_S,
        .workers = series->workers,
    };
    series->count++;
    histogram_reset(&series->latency);
}

static void count_workers(struct series *series, uint64_t started, uint64_t ended)
{
    const uint64_t most = saturating_add(series->workers, started);

    if (most > series->workers_max)
        series->workers_max = most;
    series->workers_started = saturating_add(series->workers_started, started);
    series->workers_ended = saturating_add(series->workers_ended, ended);
    series->workers = series->workers_started > series->workers_ended
                          ? series->workers_started - series->workers_ended
                          : 0;
}

static void add_latency(struct histogram *latency, const struct table *requests)
{
    for (size_t i = 0; i < requests->count; i++) {
        const struct request_stats *const request =
            (const struct request_stats *)requests->rows[i];

        histogram_merge(latency, &request->latency);
    }
}

void series_add(struct series *series, const struct delta *delta)
{
    const uint64_t middle_us = delta->from_us + (delta->until_us - delta->from_us) / 2;
    const size_t wanted = row_of(middle_us / US_PER_S);
    struct stats_totals totals;
    struct series_row *row;

    while (series->count <= wanted)
        open_row(series);
    count_workers(series, delta->stats.workers_started, delta->stats.workers_ended);
    add_latency(&series->latency, &delta->stats.requests);
    stats_total(&delta->stats, &totals);

    row = &series->rows[series->count - 1];
    row->hits = saturating_add(row->hits, totals.hits);
    row->failed = saturating_add(row->failed, totals.failed);
    row->workers = series->workers;
    row->p95_us = histogram_percentile(&series->latency, 0.95);
}
