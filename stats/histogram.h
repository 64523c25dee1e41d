/* stats/histogram.h - how long things took, in fixed memory, mergeable.
 *
 * Log-linear buckets, as in HdrHistogram: below 128 us one bucket for each microsecond,
 * above it 64 buckets for each doubling. A bucket is at most 1/64 of its lower bound
 * wide and is read as its middle, so a percentile is off by at most 0.79 %; minimum,
 * maximum, mean and count are exact. */
#ifndef STATS_HISTOGRAM_H
#define STATS_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_LINEAR 128u /* buckets of 1 us: values 0 to 127 */
#define HISTOGRAM_PER_DOUBLING 64u
#define HISTOGRAM_DOUBLINGS 25u /* from 2^7 up to 2^32 us, which is 71 minutes */
#define HISTOGRAM_BUCKETS \
    (HISTOGRAM_LINEAR + HISTOGRAM_PER_DOUBLING * HISTOGRAM_DOUBLINGS)

struct histogram {
    uint64_t count;
    uint64_t sum_us;
    uint64_t min_us; /* of all recorded values; 0 while count is 0 */
    uint64_t max_us;
    size_t lowest, highest; /* the buckets in use lie within; meaningless at count 0 */
    /* Only those from lowest to highest have a meaning (or were ever written to): most
     * histograms use few of them, and 14 KB of zeroes are dear. */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* As many zero bytes at the start are an empty histogram, whatever follows. */
#define HISTOGRAM_ZEROED offsetof(struct histogram, buckets)

/* Empty, whatever it was before, memory that was never written to included. */
void histogram_reset(struct histogram *histogram);

/* Values from 2^32 us on are counted in the last bucket (max_us stays exact). */
void histogram_record(struct histogram *histogram, uint64_t value_us);

/* Any order and grouping of merges gives the same histogram. */
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The nearest-rank percentile: the value that a share of `fraction` (0 to 1) of all
 * values does not exceed. 0 when empty; never outside [min_us, max_us]. */
uint64_t histogram_percentile(const struct histogram *histogram, double fraction);

double histogram_mean(const struct histogram *histogram); /* 0 when empty */

size_t histogram_bucket_of(uint64_t value_us);
uint64_t histogram_bucket_low(size_t bucket);    /* the smallest value it counts */
uint64_t histogram_bucket_middle(size_t bucket); /* what it is read as */

#endif
