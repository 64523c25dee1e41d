/* runner/show.h - a run as a person sees it: what a run here (local.c) and one on a cluster
 * (remote.c) have in common.
 *
 * One loop; the report, and the outputs that show it; the clock of the live line; the
 * person's signals. Whoever runs the test feeds it with deltas and says when it begins
 * and when it is over. */
#ifndef RUNNER_SHOW_H
#define RUNNER_SHOW_H

#include <stdbool.h>

#include <ev.h>

#include "base/error.h"
#include "base/loop.h"
#include "job/job.h"
#include "outputs/report.h"
#include "runner/display.h"
#include "stats/delta.h"

struct show {
    /* Filled in by the owner. */
    const struct job *job;
    struct display *display;
    struct report *report;
    /* SIGINT, SIGTERM or SIGHUP came while the show goes on. */
    void (*on_signal)(struct show *show, int number);
    void *owner;

    /* What follows is the show's own, for others to read. */
    struct ev_loop *loop;
    bool begun, over;
    bool held;
    struct delta waiting; /* what came while it was held */
    struct signal_watch signals;
    ev_timer tick;
};

/* 0: signals come to on_signal() once show_run() is called; or -1, and nothing is left. */
int show_open(struct show *show, struct error *err);

/* The loop, until show_end(). Then signals do no harm to the report that is written, and
 * one more of a kind ends a runner whose reader does not read. */
void show_run(struct show *show);
void show_end(struct show *show);

void show_close(struct show *show);

/* The workers were started: the outputs are told, once. */
void show_begin(struct show *show);

/* One more delta. Before show_begin() its lines go to stderr: what a global set-up
 * prints comes before there is a run to show. */
void show_push(struct show *show, const struct delta *delta);

/* Draws the live line anew, before its time. */
void show_refresh(const struct show *show);

/* A line for the person, about the run itself. */
void show_note(struct show *show, const char *text);

/* While it is held nothing is drawn (something else is on the terminal); what comes waits
 * merged, and is shown afterwards. */
void show_hold(struct show *show, bool held);

/* What the figures and the facts of a run that is over say about success, under the
 * job's --fail: an exit status. */
int show_judge(const struct job *job, const struct report *report);

#endif
