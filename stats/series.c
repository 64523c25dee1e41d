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

/* Adds the row that follows, with nothing counted in it. */
static struct series_row *add_row(struct series *series)
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
    };
    series->count++;
    return &series->rows[row];
}

/* Ends the open row and opens the next. */
static void open_row(struct series *series)
{
    add_row(series)->workers = series->workers;
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

void series_add(struct series *series, const struct delta *delta)
{
    const uint64_t middle_us = delta->from_us + (delta->until_us - delta->from_us) / 2;
    const size_t wanted = row_of(middle_us / US_PER_S);
    struct stats_totals totals;
    struct series_row *row;

    while (series->count <= wanted)
        open_row(series);
    count_workers(series, delta->stats.workers_started, delta->stats.workers_ended);
    stats_add_latency(&delta->stats, &series->latency);
    stats_total(&delta->stats, &totals);

    row = &series->rows[series->count - 1];
    row->hits = saturating_add(row->hits, totals.hits);
    row->failed = saturating_add(row->failed, totals.failed);
    row->workers = series->workers;
    row->p95_us = histogram_percentile(&series->latency, 0.95);
}

/* --- the wire --------------------------------------------------------------------- */

enum { NUMBERS_OF_ROW = 4 };

void series_pack(const struct series *series, msgpack_packer *packer)
{
    msgpack_pack_map(packer, 3);
    wire_put_u64(packer, "workers", series->workers);
    wire_put_u64(packer, "workers_max", series->workers_max);
    wire_put_array(packer, "rows", NUMBERS_OF_ROW * series->count);
    for (size_t i = 0; i < series->count; i++) {
        const struct series_row *const row = &series->rows[i];

        msgpack_pack_uint64(packer, row->hits);
        msgpack_pack_uint64(packer, row->failed);
        msgpack_pack_uint64(packer, row->workers);
        msgpack_pack_uint64(packer, row->p95_us);
    }
}

static int unpack_row(const msgpack_object *numbers, struct series *series,
                      struct error *err)
{
    struct series_row *const row = add_row(series);

    for (size_t i = 0; i < NUMBERS_OF_ROW; i++)
        if (numbers[i].type != MSGPACK_OBJECT_POSITIVE_INTEGER)
            return error_set(err, "rows: row %zu has what is no whole number from 0",
                             series->count);
    row->hits = numbers[0].via.u64;
    row->failed = numbers[1].via.u64;
    row->workers = numbers[2].via.u64;
    row->p95_us = numbers[3].via.u64;
    if (row->workers > series->workers_max)
        return error_set(err, "rows: row %zu has more workers than there ever were",
                         series->count);
    return 0;
}

static int unpack_rows(const msgpack_object *map, struct series *series,
                       struct error *err)
{
    const msgpack_object_array *array;

    if (wire_get_array(map, "rows", NUMBERS_OF_ROW * SERIES_ROWS_MAX, &array, err) ==
        -1)
        return -1;
    if (array->size % NUMBERS_OF_ROW != 0)
        return error_set(err, "rows: the last one is not complete");
    for (uint32_t i = 0; i < array->size; i += NUMBERS_OF_ROW)
        if (unpack_row(&array->ptr[i], series, err) == -1)
            return -1;
    return 0;
}

int series_unpack(const msgpack_object *map, struct series *ret_series,
                  struct error *err)
{
    struct series series;

    series_init(&series);
    if (wire_get_u64(map, "workers_max", UINT64_MAX, &series.workers_max, err) == -1 ||
        wire_get_u64(map, "workers", series.workers_max, &series.workers, err) == -1 ||
        unpack_rows(map, &series, err) == -1) {
        series_clear(&series);
        return error_prefix(err, "the series is refused");
    }
    *ret_series = series;
    return 0;
}
