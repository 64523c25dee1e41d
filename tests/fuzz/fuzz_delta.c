/* tests/fuzz/fuzz_delta.c - a delta from a stranger, for libFuzzer (see tests/fuzz/run).
 *
 * Whatever the bytes are, a delta is refused, or it is one like any other: it packs into
 * bytes that are taken again and give the same, it merges, and its percentiles lie within
 * its minimum and maximum. What does not hold aborts.
 *
 * Parts: stats base/buffer base/error base/memory base/text base/wire
 * Libraries: msgpack
 *
 * `fuzz_delta --write-corpus DIR` writes deltas to begin with and ends. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/corpus.h"
#include "tests/unit/random.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz_delta: does not hold: %s\n", what);
    abort();
}

static void repack(const struct buffer *packed, struct delta *ret_delta)
{
    struct buffer again = BUFFER_INIT;
    struct error err = {.message = ""};

    if (unpack_from(packed->data, packed->size, ret_delta, &err) == -1)
        must(false, err.message);
    pack_into(&again, ret_delta);
    must(again.size == packed->size &&
             memcmp(again.data, packed->data, again.size) == 0,
         "what is packed and read packs the same");
    buffer_clear(&again);
}

static void check_histogram(const struct histogram *histogram)
{
    static const double fractions[] = {0, 0.01, 0.5, 0.95, 0.999, 1};
    uint64_t before = histogram->min_us;

    for (size_t i = 0; i < ARRAY_SIZE(fractions); i++) {
        const uint64_t value = histogram_percentile(histogram, fractions[i]);

        must(value >= before, "percentiles ascend from the minimum");
        must(value <= histogram->max_us, "percentiles end at the maximum");
        before = value;
    }
    must(histogram_mean(histogram) >= 0, "a mean is not negative");
}

static void check_rows(const struct stats *stats)
{
    static struct histogram latency;
    struct stats_totals totals;

    stats_total(stats, &totals);
    histogram_reset(&latency);
    stats_add_latency(stats, &latency);
    check_histogram(&latency);
    for (size_t i = 0; i < stats->requests.count; i++) {
        const struct request_stats *const request =
            (const struct request_stats *)stats->requests.rows[i];

        must(request->hits <= totals.hits, "a total is not below a part of it");
        check_histogram(&request->latency);
        for (size_t phase = 0; phase < PHASE_COUNT; phase++)
            if (request->phases[phase] != NULL)
                check_histogram(request->phases[phase]);
    }
}

/* left + right and right + left, but for the lines, whose order is theirs. */
static void check_merges(const struct delta *left, const struct delta *right)
{
    struct buffer packed = BUFFER_INIT, mirrored = BUFFER_INIT;
    struct delta one, other, read;

    delta_init(&one);
    delta_merge(&one, left);
    delta_merge(&one, right);
    pack_into(&packed, &one);
    repack(&packed, &read);
    check_rows(&read.stats);
    delta_clear(&read);

    delta_init(&other);
    delta_merge(&other, right);
    delta_merge(&other, left);
    lines_clear(&one.lines);
    lines_clear(&other.lines);
    pack_into(&packed, &one);
    pack_into(&mirrored, &other);
    must(packed.size == mirrored.size &&
             memcmp(packed.data, mirrored.data, packed.size) == 0,
         "merging is commutative");
    delta_clear(&one);
    delta_clear(&other);
    buffer_clear(&packed);
    buffer_clear(&mirrored);
}

static void fill(struct delta *delta, uint64_t seed, size_t recordings)
{
    struct random random = random_from(seed);

    delta->sequence = seed;
    delta->from_us = seed * US_PER_S;
    delta->until_us = delta->from_us + US_PER_S;
    for (size_t i = 0; i < recordings; i++) {
        const struct recording what = random_recording(&random, 4);

        record(&delta->stats, &what);
    }
    if (recordings > 0)
        delta_add_line(delta, LINE_FAILURE, "test.c:7: status is 500");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct delta own; /* what the reader has so far */
    struct buffer packed = BUFFER_INIT;
    struct delta delta, again;

    if (own.sequence == 0) {
        delta_init(&own);
        fill(&own, 1, 30);
    }
    if (unpack_from(data, size, &delta, NULL) == -1)
        return 0;
    must(delta.from_us <= delta.until_us, "an interval does not end before it begins");
    check_rows(&delta.stats);
    pack_into(&packed, &delta);
    repack(&packed, &again);
    check_merges(&delta, &again);
    check_merges(&delta, &own);
    delta_clear(&again);
    delta_clear(&delta);
    buffer_clear(&packed);
    return 0;
}

/* --- the corpus ------------------------------------------------------------------- */

static int write_corpus(const char *folder)
{
    static const size_t recordings[] = {0, 1, 2, 3, 5, 10, 20, 50, 200};
    struct buffer packed = BUFFER_INIT;
    int rc = 0;

    for (size_t i = 0; i < ARRAY_SIZE(recordings) && rc == 0; i++) {
        struct delta delta;

        delta_init(&delta);
        fill(&delta, i + 1, recordings[i]);
        pack_into(&packed, &delta);
        rc = corpus_write(folder, "delta", i, &packed);
        delta_clear(&delta);
    }
    buffer_clear(&packed);
    return rc;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    if (*argc == 3 && strcmp((*argv)[1], "--write-corpus") == 0)
        exit(write_corpus((*argv)[2]) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    return 0;
}
