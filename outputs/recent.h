/* outputs/recent.h - what goes on now: the rate and the latency of the last second.
 *
 * Agents tell of the same second one after the other. So a second is shown when it is
 * over: when a delta comes that is of a later one. The first second is shown as it grows,
 * in the same way, by the steps of it that are over. As in stats/series.h, a delta is of
 * the second of its middle; but here seconds stay seconds, however long the run is.
 *
 * An agent may tell late, of time that was shown without it. That counts in the second
 * that is not over, and each second begins where what was shown ends: so the rate is that
 * of all, however late one of them steadily is. But what an agent kept while its line was
 * cut, 3 s and more in one delta, would look like a burst that never was: of its hits only
 * a part counts, as large as the part of its time that was not shown yet. (The four
 * REPORTs it may have made before, 2 s, count whole; and those of others that the broker
 * merged with what was kept are cut with it, for that second.)
 *
 * No clock: `now_us` is the caller's. */
#ifndef OUTPUTS_RECENT_H
#define OUTPUTS_RECENT_H

#include <stdbool.h>
#include <stdint.h>

#include "stats/delta.h"

struct recent {
    /* To be shown. */
    double rate;     /* requests a second */
    uint64_t p95_us; /* 0: there was none */

    /* What follows is its own. */
    struct histogram latency; /* of the deltas of the second that is not over */
    uint64_t hits;
    uint64_t from_us, until_us; /* what they cover that was not shown; may be empty */
    uint64_t shown_us;          /* up to there seconds are over; 0: none is */
    uint64_t step;              /* of the last delta */
    uint64_t came_us;           /* when that came */
};

/* One filled with zeros is empty. */
void recent_add(struct recent *recent, const struct delta *delta, uint64_t now_us);

/* Whether something was measured lately: else nothing goes on now. */
bool recent_is_fresh(const struct recent *recent, uint64_t now_us);

#endif
