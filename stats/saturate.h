/* stats/saturate.h - sums that stay at the largest number instead of overflowing.
 *
 * min(sum, largest) is the same in any order and grouping, so saturated counts merge
 * like all others. */
#ifndef STATS_SATURATE_H
#define STATS_SATURATE_H

#include <stdint.h>

static inline uint64_t saturating_add(uint64_t left, uint64_t right)
{
    uint64_t sum;

    return __builtin_add_overflow(left, right, &sum) ? UINT64_MAX : sum;
}

static inline uint64_t saturating_multiply(uint64_t left, uint64_t right)
{
    uint64_t product;

    return __builtin_mul_overflow(left, right, &product) ? UINT64_MAX : product;
}

#endif
