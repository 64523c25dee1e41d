/* stats/delta.h - the stats of one interval, with who measured it: what travels.
 *
 * From a process to its engine, from the slave to the runner or agent, and from there
 * to the broker and the outputs, measurements are deltas and nothing else. */
#ifndef STATS_DELTA_H
#define STATS_DELTA_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/wire.h"
#include "stats/lines.h"
#include "stats/stats.h"

/* Times go so far: 285 years, exact as a double, too. */
#define DELTA_TIME_MAX_US ((uint64_t)1 << 53)

struct delta {
    uint64_t sequence; /* from 1, counted by who sends it */
    uint64_t from_us;  /* the interval, since the START of the agent that measured it */
    uint64_t until_us;
    struct stats stats;
    struct lines lines;
};

void delta_init(struct delta *delta);
void delta_clear(struct delta *delta);

/* Empty for the next interval, which begins (and as yet ends) at `from_us`; rows,
 * memory and the sequence stay. */
void delta_reset(struct delta *delta, uint64_t from_us);

/* Adds `from` to `into`: the interval becomes the one that spans both (one of no
 * length, as after delta_init(), adds nothing to it), the sequence stays, lines beyond
 * LINES_MAX are dropped and counted. */
void delta_merge(struct delta *into, const struct delta *from);

/* Puts one line in; what had to go for it is counted in stats.lines_dropped. */
void delta_add_line(struct delta *delta, enum line_kind kind, const char *text);

/* Writes the delta as one msgpack map (docs in delta.c), rows in the order of their
 * names; rows that counted nothing are left out. The same values give the same bytes. */
void delta_pack(const struct delta *delta, msgpack_packer *packer);

/* Reads such a map, checked in every count: no bucket, status, name or number that
 * delta_pack() could not have written. 0, and the caller clears `ret_delta`; or -1, and
 * nothing is left behind. */
int delta_unpack(const msgpack_object *map, struct delta *ret_delta, struct error *err);

#endif
