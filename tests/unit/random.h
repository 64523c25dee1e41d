/* tests/unit/random.h - random numbers for property tests, and random measurements.
 *
 * Each run takes another seed and prints it; MOLOTOV_TEST_SEED=n runs with that one. */
#ifndef TESTS_UNIT_RANDOM_H
#define TESTS_UNIT_RANDOM_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "stats/delta.h"

struct random {
    uint64_t state;
};

static inline struct random random_from(uint64_t seed)
{
    return (struct random){.state = seed};
}

static inline struct random random_start(const char *test)
{
    const char *const given = getenv("MOLOTOV_TEST_SEED");
    const uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : clock_us();

    printf("%s: MOLOTOV_TEST_SEED=%" PRIu64 "\n", test, seed);
    return random_from(seed);
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static inline uint64_t random_bits(struct random *random)
{
    uint64_t bits = random->state += 0x9E3779B97F4A7C15u;

    bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9u;
    bits = (bits ^ bits >> 27) * 0x94D049BB133111EBu;
    return bits ^ bits >> 31;
}

/* 0 to `end` - 1. */
static inline uint64_t random_below(struct random *random, uint64_t end)
{
    return random_bits(random) % end;
}

static inline bool random_chance(struct random *random, unsigned percent)
{
    return random_below(random, 100) < percent;
}

/* As many bits long as another, up to `bits`: microseconds as well as hours. */
static inline uint64_t random_size(struct random *random, unsigned bits)
{
    return random_bits(random) >> (64 - 1 - random_below(random, bits));
}

/* One thing that a worker measured, still to be recorded. */
struct recording {
    unsigned kind;
    uint64_t label, size, time_us;
};

static inline struct recording random_recording(struct random *random, uint64_t labels)
{
    return (struct recording){
        .kind = (unsigned)random_below(random, 6),
        .label = random_below(random, labels),
        .size = random_bits(random),
        .time_us = random_size(random, 33),
    };
}

static inline void record_request(struct stats *stats, const struct recording *what)
{
    static const unsigned statuses[] = {200, 201, 302, 404, 500, 999, 0};
    static const char *const methods[] = {"GET", "POST", "DELETE"};
    char name[64];
    const int length =
        snprintf(name, sizeof(name), "http://host/%" PRIu64, what->label);
    struct request_stats *const request =
        stats_request(stats, methods[what->label % 3], name, (size_t)length);

    request->hits++;
    request->bytes_in += what->size % 10000;
    request->bytes_out += what->size % 1000;
    if (what->size % 10 == 0) {
        request->hit_errors++;
        return;
    }
    stats_add_status(request, statuses[what->size % ARRAY_SIZE(statuses)], 1);
    histogram_record(&request->latency, what->time_us);
    for (unsigned i = 0; i < PHASE_COUNT; i++)
        if (what->size >> i & 1)
            stats_add_phase(request, (enum stats_phase)i, what->time_us / (i + 2));
}

static inline void record_scenario(struct stats *stats, const struct recording *what)
{
    char name[64];
    struct scenario_stats *scenario;

    snprintf(name, sizeof(name), "scenario %" PRIu64, what->label);
    scenario = stats_scenario(stats, name);
    scenario->failed += what->size % 5 == 0;
    scenario->cancelled += what->size % 5 == 1;
    scenario->ok += what->size % 5 > 1;
    if (what->size % 5 > 1)
        histogram_record(&scenario->latency, what->time_us);
}

static inline void record_error(struct stats *stats, const struct recording *what)
{
    char message[64], sample[64];

    snprintf(message, sizeof(message), "no answer %" PRIu64, what->label);
    snprintf(sample, sizeof(sample), "at line %" PRIu64, what->size % 50);
    stats_add_error(stats, message, what->time_us % 100, sample);
}

static inline void record_counter(struct stats *stats, const struct recording *what)
{
    char name[64];

    snprintf(name, sizeof(name), "count %" PRIu64, what->label);
    stats_add_counter(stats, name, (int64_t)(what->size % 2001) - 1000);
}

static inline void record_scalar(struct stats *stats, const struct recording *what)
{
    uint64_t *const scalars[] = {
#define SCALAR_PLACE(name) &stats->name,
        STATS_SCALARS(SCALAR_PLACE)
#undef SCALAR_PLACE
    };

    *scalars[what->size % ARRAY_SIZE(scalars)] += what->label;
}

static inline void record(struct stats *stats, const struct recording *what)
{
    static void (*const kinds[])(struct stats * stats, const struct recording *what) = {
        record_request, record_request, record_scenario,
        record_error,   record_counter, record_scalar,
    };

    kinds[what->kind % ARRAY_SIZE(kinds)](stats, what);
}

static inline void pack_into(struct buffer *buffer, const struct delta *delta)
{
    msgpack_packer packer;

    buffer_reset(buffer);
    wire_packer(&packer, buffer);
    delta_pack(delta, &packer);
}

/* Decodes as from a stranger. 0, and the caller clears the delta; or -1. */
static inline int unpack_from(const void *data, size_t size, struct delta *ret_delta,
                              struct error *err)
{
    struct wire_message message;
    int rc;

    if (wire_decode(data, size, &message, err) == -1)
        return -1;
    rc = delta_unpack(&message.root, ret_delta, err);
    wire_clear(&message);
    return rc;
}

#endif
