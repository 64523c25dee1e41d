/* stats/kinds.h - the tables of a stats, alike: what merging and packing walk.
 *
 * To add a kind of row: a table in struct stats, an entry of stats_kinds[] in stats.c
 * and one of codecs[] in delta.c. To add a number to a row: a field, and an entry of the
 * kind's sums; it is then merged, packed and read as all others. Only for stats/. */
#ifndef STATS_KINDS_H
#define STATS_KINDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stats/stats.h"

enum stats_kind_index {
    KIND_REQUESTS,
    KIND_SCENARIOS,
    KIND_ERRORS,
    KIND_COUNTERS,
    KIND_COUNT
};

/* A uint64_t that adds up: a field of a row, or of struct stats. */
struct stats_sum {
    const char *name; /* NULL ends a list */
    size_t offset;
};

struct stats_kind {
    const char *name;        /* of the table, on the wire */
    const char *name_of_row; /* what a row's name is called there */
    size_t table;            /* offsetof() in struct stats */
    size_t row_size;
    size_t row_zeroed; /* of a new one: all but the buckets of a histogram at its end */
    size_t limit;
    const struct stats_sum *sums;
    /* What a row has besides its sums; NULL where it has nothing or there is nothing to
     * do. merge() is called before the sums are added. */
    bool (*holds_more)(const void *row);
    void (*merge)(void *into, const void *from);
    void (*sums_changed)(void *row);
    void (*reset)(void *row);
    void (*clear)(void *row); /* frees what hangs on the row */
};

extern const struct stats_kind stats_kinds[KIND_COUNT];
extern const struct stats_sum stats_scalars[]; /* of struct stats itself */

static inline uint64_t *stats_sum_in(void *record, const struct stats_sum *sum)
{
    return (uint64_t *)(void *)((char *)record + sum->offset);
}

static inline uint64_t stats_sum_of(const void *record, const struct stats_sum *sum)
{
    return *(const uint64_t *)(const void *)((const char *)record + sum->offset);
}

static inline struct table *stats_table_in(struct stats *stats,
                                           const struct stats_kind *kind)
{
    return (struct table *)(void *)((char *)stats + kind->table);
}

static inline const struct table *stats_table_of(const struct stats *stats,
                                                 const struct stats_kind *kind)
{
    return (const struct table *)(const void *)((const char *)stats + kind->table);
}

/* Whether the row counted nothing. */
bool stats_row_is_empty(const struct stats_kind *kind, const void *row);

/* The histogram of a phase, made when there is none. */
struct histogram *stats_phase_histogram(struct request_stats *request,
                                        enum stats_phase phase);

#endif
