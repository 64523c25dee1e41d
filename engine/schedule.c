#include "engine/schedule.h"

/* 128 bits: a year of ramp-up in microseconds times a million workers. */
__extension__ typedef unsigned __int128 wide;

uint64_t schedule_next_us(size_t workers, uint64_t ramp_up_us, size_t started)
{
    if (workers == 0)
        return 0;
    return (uint64_t)((wide)started * ramp_up_us / workers);
}

size_t schedule_due(size_t workers, uint64_t ramp_up_us, uint64_t elapsed_us)
{
    size_t due;

    if (ramp_up_us == 0 || elapsed_us >= ramp_up_us)
        return workers;
    /* The largest i + 1 with next_us(i) <= elapsed_us, next_us() rounding down. */
    due = (size_t)((((wide)elapsed_us + 1) * workers - 1) / ramp_up_us) + 1;
    return due < workers ? due : workers;
}
