/* runner/local.h - a run on this machine: one slave, and the outputs fed from it. */
#ifndef RUNNER_LOCAL_H
#define RUNNER_LOCAL_H

#include "job/job.h"
#include "outputs/report.h"
#include "runner/display.h"

/* Runs the job to its end, or until signals end it, and leaves the outcome in `report`.
 * 0; or -1: it never began, and `err` says why. */
int local_run(const struct job *job, struct display *display, struct report *report,
              struct error *err);

#endif
