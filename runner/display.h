/* runner/display.h - all outputs of a run, as one. */
#ifndef RUNNER_DISPLAY_H
#define RUNNER_DISPLAY_H

#include <stdbool.h>
#include <stddef.h>

#include "outputs/output.h"

struct display {
    struct output **outputs;
    size_t count;
};

/* Opens the outputs that the job names: 0; or -1, and none is open. */
int display_open(struct display *display, const struct job *job, struct error *err);

void display_start(const struct display *display, const struct report *report);
void display_push(const struct display *display, const struct report *report,
                  const struct delta *delta);
void display_tick(const struct display *display, const struct report *report);

/* Ends them all; `report` NULL: there was no run. -1: at least one could not write all,
 * and each has said so on stderr. */
int display_close(struct display *display, const struct report *report);

/* Whether results go to standard output as a document, which a script's prints would
 * break. */
bool display_owns_stdout(const struct job *job);

#endif
