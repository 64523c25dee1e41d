/* runner/launch.h - a test from its name to the exit status: here, on a cluster, or one
 * that somebody else started. Each says on stderr what goes wrong. */
#ifndef RUNNER_LAUNCH_H
#define RUNNER_LAUNCH_H

#include "job/job.h"
#include "runner/client.h"
#include "runner/options.h"

/* What they need to know; the job gets its run_id. */
struct launch {
    struct job *job;
    const struct runner_options *options;
    const struct frontend *frontend; /* of launch_here(): NULL */
};

int launch_here(const struct launch *launch);
int launch_on_cluster(const struct launch *launch);
int launch_attached(const struct launch *launch);

#endif
