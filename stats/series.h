/* stats/series.h - a run over time: a row a second for ten minutes, then one a minute.
 *
 * So a day's run is 600 + 1,430 rows. Deltas may come late: one whose row is over counts
 * in the row that is open. After about a month the last row stays open: no delta,
 * however far in the future it claims to be, makes the series larger. */
#ifndef STATS_SERIES_H
#define STATS_SERIES_H

#include <stddef.h>
#include <stdint.h>

#include "stats/delta.h"

#define SERIES_FINE_S 600u  /* seconds with a row each */
#define SERIES_COARSE_S 60u /* then this long a row */
#define SERIES_ROWS_MAX 45000u

struct series_row {
    uint64_t start_s, width_s; /* since START */
    uint64_t hits;
    uint64_t failed;  /* failed runs of scenarios */
    uint64_t workers; /* running at its end, as far as is known */
    uint64_t p95_us;  /* of the requests that ended in it; 0 without any */
};

struct series {
    struct series_row *rows; /* ascending, without gaps; the last one is open */
    size_t count, capacity;
    uint64_t workers_started, workers_ended; /* so far */
    uint64_t workers;                        /* the difference */
    uint64_t workers_max; /* at one time: those at a delta's start and its new ones */
    struct histogram latency; /* of the open row */
};

void series_init(struct series *series);
void series_clear(struct series *series);

/* Counts a delta in the row of the middle of its interval: intervals end a little after
 * the second that they are meant to cover, since timers are late. */
void series_add(struct series *series, const struct delta *delta);

/* The wire form of what is shown of a series: one map {workers, workers_max, rows}, where
 * rows is an array of integers, [hits, failed, workers, p95_us, hits ...], four for each
 * row from the first second on. A series that was read takes no more deltas. */
void series_pack(const struct series *series, msgpack_packer *packer);

/* Checked; -1: nothing is left behind. */
int series_unpack(const msgpack_object *map, struct series *ret_series,
                  struct error *err);

#endif
