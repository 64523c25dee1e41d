/* engine/schedule.h - when workers start. */
#ifndef ENGINE_SCHEDULE_H
#define ENGINE_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

/* How many of `workers` have to be started `elapsed_us` after the START: worker i starts
 * at i x ramp_up / workers, so the first one at once and the last a step before the end
 * of the ramp. */
size_t schedule_due(size_t workers, uint64_t ramp_up_us, uint64_t elapsed_us);

/* When the next worker after `started` ones is to start, since the START. */
uint64_t schedule_next_us(size_t workers, uint64_t ramp_up_us, size_t started);

#endif
