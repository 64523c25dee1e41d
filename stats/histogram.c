#include "stats/histogram.h"

#include <string.h>

#include "stats/saturate.h"

/* The last of the linear buckets and the first doubling meet: 2^LINEAR_BITS. */
#define LINEAR_BITS 7u
#define LAST_BUCKET (HISTOGRAM_BUCKETS - 1)
#define OPEN_FROM_US ((uint64_t)1 << (LINEAR_BITS + HISTOGRAM_DOUBLINGS))

_Static_assert(HISTOGRAM_LINEAR == 1u << LINEAR_BITS, "the doublings begin at 2^7");
_Static_assert(HISTOGRAM_PER_DOUBLING * 2 == HISTOGRAM_LINEAR,
               "a doubling is half as fine");

size_t histogram_bucket_of(uint64_t value_us)
{
    unsigned doubling;

    if (value_us < HISTOGRAM_LINEAR)
        return (size_t)value_us;
    if (value_us >= OPEN_FROM_US)
        return LAST_BUCKET;
    doubling = 63u - (unsigned)__builtin_clzll(value_us) - LINEAR_BITS;
    return HISTOGRAM_LINEAR + (size_t)doubling * HISTOGRAM_PER_DOUBLING +
           (size_t)(value_us >> (doubling + 1)) - HISTOGRAM_PER_DOUBLING;
}

/* Of a bucket above the linear ones: as a power of 2, how many values it counts. */
static unsigned width_bits(size_t bucket)
{
    return (unsigned)((bucket - HISTOGRAM_LINEAR) / HISTOGRAM_PER_DOUBLING) + 1;
}

uint64_t histogram_bucket_low(size_t bucket)
{
    if (bucket < HISTOGRAM_LINEAR)
        return bucket;
    return (HISTOGRAM_PER_DOUBLING + (uint64_t)bucket % HISTOGRAM_PER_DOUBLING)
           << width_bits(bucket);
}

uint64_t histogram_bucket_middle(size_t bucket)
{
    if (bucket < HISTOGRAM_LINEAR)
        return bucket;
    return histogram_bucket_low(bucket) + ((uint64_t)1 << (width_bits(bucket) - 1));
}

void histogram_reset(struct histogram *histogram)
{
    memset(histogram, 0, HISTOGRAM_ZEROED);
}

/* From the bucket `first` to the one before `end`. */
static void empty_buckets(struct histogram *histogram, size_t first, size_t end)
{
    memset(&histogram->buckets[first], 0, (end - first) * sizeof(uint64_t));
}

/* Makes the range one for values from `min_us` in bucket `lowest` to `max_us` in bucket
 * `highest`, too. */
static void widen(struct histogram *histogram, uint64_t min_us, size_t lowest,
                  uint64_t max_us, size_t highest)
{
    if (histogram->count == 0) {
        empty_buckets(histogram, lowest, highest + 1);
        histogram->min_us = min_us;
        histogram->max_us = max_us;
        histogram->lowest = lowest;
        histogram->highest = highest;
    }
    if (min_us < histogram->min_us) {
        empty_buckets(histogram, lowest, histogram->lowest);
        histogram->min_us = min_us;
        histogram->lowest = lowest;
    }
    if (max_us > histogram->max_us) {
        empty_buckets(histogram, histogram->highest + 1, highest + 1);
        histogram->max_us = max_us;
        histogram->highest = highest;
    }
}

void histogram_record(struct histogram *histogram, uint64_t value_us)
{
    const size_t bucket = histogram_bucket_of(value_us);
    uint64_t *const count = &histogram->buckets[bucket];

    widen(histogram, value_us, bucket, value_us, bucket);
    *count = saturating_add(*count, 1);
    histogram->count = saturating_add(histogram->count, 1);
    histogram->sum_us = saturating_add(histogram->sum_us, value_us);
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (from->count == 0)
        return;
    widen(into, from->min_us, from->lowest, from->max_us, from->highest);
    for (size_t i = from->lowest; i <= from->highest; i++)
        into->buckets[i] = saturating_add(into->buckets[i], from->buckets[i]);
    into->count = saturating_add(into->count, from->count);
    into->sum_us = saturating_add(into->sum_us, from->sum_us);
}

/* The rank, from 1, of the value that `fraction` of `count` values do not exceed. */
static uint64_t nearest_rank(double fraction, uint64_t count)
{
    /* 0.07 of 100 is 7.000000000000001 in binary, and means the 7th. */
    const double exact = fraction * (double)count * (1 - 1e-15);
    uint64_t rank;

    if (!(exact > 1))
        return 1;
    if (fraction >= 1 || exact >= (double)count)
        return count;
    rank = (uint64_t)exact;
    return (double)rank < exact ? rank + 1 : rank;
}

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
    if (value < least)
        return least;
    return value > most ? most : value;
}

uint64_t histogram_percentile(const struct histogram *histogram, double fraction)
{
    const uint64_t rank = nearest_rank(fraction, histogram->count);
    uint64_t seen = 0;

    if (histogram->count == 0)
        return 0;
    if (rank == 1)
        return histogram->min_us;
    if (rank >= histogram->count)
        return histogram->max_us;
    for (size_t i = histogram->lowest; i <= histogram->highest; i++) {
        seen = saturating_add(seen, histogram->buckets[i]);
        if (seen >= rank)
            return clamp(histogram_bucket_middle(i), histogram->min_us,
                         histogram->max_us);
    }
    return histogram->max_us;
}

double histogram_mean(const struct histogram *histogram)
{
    if (histogram->count == 0)
        return 0;
    return (double)histogram->sum_us / (double)histogram->count;
}
