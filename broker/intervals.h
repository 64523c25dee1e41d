/* broker/intervals.h - what was measured in each interval of each run, in the store.
 *
 * Each commit appends one row for a run, with the revisions of the run that it holds. So
 * that a day's run does not become a million rows, those that are FINE_AFTER_S old are
 * merged by the second, and those that are COARSE_AFTER_S old by the minute; but the first
 * SERIES_FINE_S seconds of a run stay seconds, as in stats/series.h.
 *
 * A row belongs to the second (the minute) of its middle. If the middles of some intervals
 * lie in one second, so does the middle of the interval that spans them: so merging moves
 * nothing to another second. What came late is merged into the second that it is of, and
 * the merged row has a late revision then; so rows make the series again only in the order
 * of their time. There each counts in its own second, also one that came late, which the
 * series of the broker before had counted in the second that was open when it came. */
#ifndef BROKER_INTERVALS_H
#define BROKER_INTERVALS_H

#include <stdint.h>

#include "broker/sql.h"
#include "stats/delta.h"

#define INTERVALS_FINE_AFTER_S 60u
#define INTERVALS_COARSE_AFTER_S 600u

/* Of one answer: what a minute of commits makes, if that is not too much. */
#define INTERVALS_MERGED_MAX 600u
#define INTERVALS_BYTES_MAX ((size_t)8 << 20)

#define INTERVALS_STATEMENTS 7

/* A row: the revisions that are in it, and what was measured. */
struct interval {
    uint64_t first, last;
    struct delta delta;
};

struct intervals {
    const struct sql *sql;
    sqlite3_stmt *statements[INTERVALS_STATEMENTS];
};

/* `sql` has the table (see store.c), and is borrowed. */
int intervals_open(struct intervals *intervals, const struct sql *sql,
                   struct error *err);
void intervals_close(struct intervals *intervals);

/* The row of one commit, within the caller's transaction. `run` is the run's number. */
int intervals_append(struct intervals *intervals, uint64_t run, uint64_t revision,
                     const struct delta *delta, struct error *err);

/* Hands over all rows of a run, in the order of their time. */
int intervals_read(struct intervals *intervals, uint64_t run,
                   void (*take)(void *owner, const struct interval *interval),
                   void *owner, struct error *err);

/* Adds all that came after revision `after` to `into`. 1; 0 where that cannot be told
 * (it lies within a merged row) or is too much, and `into` holds something of it; -1. */
int intervals_sum(struct intervals *intervals, uint64_t run, uint64_t after,
                  struct delta *into, struct error *err);

/* Merges the rows of one second or minute, in a transaction of its own; `now_us` is the
 * age of the run. 1: there may be more to do; 0: there is nothing to do now; -1. */
int intervals_compact(struct intervals *intervals, uint64_t run, uint64_t now_us,
                      struct error *err);

/* delta_merge() into sums of which every part was shown before: lines that have no room
 * in them any more were not dropped. */
void intervals_add(struct delta *into, const struct delta *from);

#endif
