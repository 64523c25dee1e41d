/* engine/limits.h - what this host allows a run, and what a run allows itself. */
#ifndef ENGINE_LIMITS_H
#define ENGINE_LIMITS_H

#include "base/error.h"
#include "job/job.h"
#include "scenario/test.h"

/* Raises the limit of descriptors, and checks that the job's workers fit into it and
 * into the number of memory mappings that their stacks need. -1: `err` says how many
 * would fit, and what to do. */
int limits_check(const struct job *job, const struct test *test, struct error *err);

/* In the slave, before it runs any of the user's code: bounds the memory of this process
 * and, since they inherit it, of each one it forks (--memory-limit), so that what leaks
 * takes only itself down. */
void limits_apply(const struct job *job, const struct test *test);

/* In the slave: the kernel, out of memory, ends it before others. */
void limits_offer_to_oom_killer(void);

#endif
