/* scenario/coroutine.h - functions that can wait without holding up their thread.
 *
 * One runs at a time; it goes on until it yields or returns. Each has a mapped stack
 * with a guard below, so that an overflow is a SIGSEGV and not a neighbour's data
 * (code with large frames needs -fstack-clash-protection for that; tests get it).
 * The switch is a few instructions (x86-64, aarch64; ucontext elsewhere). */
#ifndef SCENARIO_COROUTINE_H
#define SCENARIO_COROUTINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define COROUTINE_STACK_SIZE \
    ((size_t)256 << 10)       /* mapped; only what is used is resident */
#define COROUTINE_MAPPINGS 2u /* of the kernel's max_map_count: + guard */

struct coroutine;

/* One that will run main(data) when it is first resumed. 0, and the caller destroys it;
 * or -1: no memory to map. */
int coroutine_new(void (*main)(void *data), void *data,
                  struct coroutine **ret_coroutine, struct error *err);

/* Frees it. It may be suspended (it never goes on then), but not running. */
void coroutine_destroy(struct coroutine *coroutine);

/* Lets it run until it yields or returns. Not from inside a coroutine. */
void coroutine_resume(struct coroutine *coroutine);

/* Inside one: goes back to whoever resumed it. */
void coroutine_yield(struct coroutine *coroutine);

bool coroutine_is_done(const struct coroutine *coroutine);

#endif
