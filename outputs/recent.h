/* outputs/recent.h - what goes on now: the rate and the latency of the last second.
 *
 * Agents tell of the same second one after the other. So a second is shown when it is
 * over: when a delta comes that is of a later one. The first second is shown as it grows,
 * in the same way, by the steps of it that are over. As in stats/series.h, a delta is of
 * the second of its middle; but here seconds stay seconds, however long the run is.
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
    uint64_t from_us,
        until_us;     /* which span those deltas cover; empty: there is none */
    uint64_t step;    /* of the last delta */
    uint64_t came_us; /* when that came */
    bool is_whole;    /* a second is over */
};

/* One filled with zeros is empty. */
void recent_add(struct recent *recent, const struct delta *delta, uint64_t now_us);

/* Whether something was measured lately: else nothing goes on now. */
bool recent_is_fresh(const struct recent *recent, uint64_t now_us);

#endif
