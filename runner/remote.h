/* runner/remote.h - a run on a cluster, as local.h is one on this machine: starts it there
 * or finds it there, and feeds the outputs from what the broker tells. */
#ifndef RUNNER_REMOTE_H
#define RUNNER_REMOTE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/pidlock.h"
#include "job/job.h"
#include "outputs/report.h"
#include "runner/client.h"
#include "runner/display.h"
#include "runner/package.h"

struct remote_plan {
    const struct frontend *frontend;
    long cluster_leave_after; /* seconds, for cluster_revive() */
    const struct job *job;    /* its run_id names the run */

    /* To start the run; NULL: it is there, and is only looked at. */
    const struct package *package;
    unsigned long agents;
    bool keep_cluster;
    bool detach;          /* once it has started */
    struct pidlock *lock; /* released once the broker has the run; may be not held */
};

enum remote_outcome {
    REMOTE_OVER,     /* the report is whole */
    REMOTE_DETACHED, /* it goes on, as was asked for */
    REMOTE_LEFT,     /* it was told to stop, and the person did not wait for its end */
};

/* 0, and the report holds what is known of the run; or -1: it never began, or the broker
 * does not know it, and `err` says why. */
int remote_run(const struct remote_plan *plan, struct display *display,
               struct report *report, enum remote_outcome *ret_outcome,
               struct error *err);

#endif
