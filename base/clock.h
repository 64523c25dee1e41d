/* base/clock.h - the one clock of every measurement.
 *
 * CLOCK_MONOTONIC, read there and then (never a loop's cached time); the kernel answers
 * it from the vDSO, without a system call. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define US_PER_S 1000000u
#define US_PER_MS 1000u

/* Microseconds since an arbitrary moment of this host: only differences mean anything,
 * and only on this host. */
static inline uint64_t clock_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * US_PER_S + (uint64_t)now.tv_nsec / 1000u;
}

/* The wall clock, in seconds since 1970: for showing dates, never for measuring. */
static inline double clock_wall_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

#endif
