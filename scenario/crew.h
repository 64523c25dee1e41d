/* scenario/crew.h - the workers of one process, and what they share.
 *
 * The engine makes one for each process, starts its workers as the schedule says, and
 * tells it to stop; the workers record into its delta. */
#ifndef SCENARIO_CREW_H
#define SCENARIO_CREW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ev.h>

#include "base/error.h"
#include "http/session.h"
#include "job/job.h"
#include "scenario/blackbox.h"
#include "scenario/test.h"
#include "stats/delta.h"

struct worker;

struct crew {
    struct ev_loop *loop;
    const struct job *job;
    struct test *test;
    struct delta *delta; /* what is recorded; its owner empties it now and then */
    uint64_t started_us; /* clock_us() of the run's START */
    long process;        /* its index; -1: the crew of the global fixtures */
    struct blackbox_slot *slot; /* NULL: nothing is noted */
    struct names *names;        /* for all of its requests */
    struct session_context http;

    /* To the engine; may be NULL. A failure that ends the test: the first one of any
     * run with --exception, or one of a set-up (`setup_failed`). */
    void (*on_fatal)(struct crew *crew, bool setup_failed, const char *why);
    void (*on_done)(
        struct crew *crew); /* the last worker has ended, and none will start */
    void *engine;

    /* What follows is the crew's own. */
    struct worker **workers;
    size_t worker_count;          /* planned */
    struct scenario_stats **rows; /* of the scenarios, as they were looked up */
    size_t started, ended;
    bool stopping; /* no run begins any more */
    uint64_t random;
};

/* Makes names and transport; the crew is otherwise filled in by the caller (all of the
 * first part, but these). `workers` says how many there will be. */
void crew_open(struct crew *crew, size_t workers);

/* Frees workers, transport and names. All workers have ended, or the process ends anyway. */
void crew_close(struct crew *crew);

/* Starts the next worker: 0; or -1, it could not be (no memory), and the crew stops. */
int crew_start_worker(struct crew *crew, struct error *err);

/* No run begins any more, and waits between runs are cut; what runs, finishes. */
void crew_stop(struct crew *crew);

/* Cuts all that is under way: runs count as cancelled, tear-downs still follow. */
void crew_cancel(struct crew *crew);

bool crew_is_done(
    const struct crew *crew); /* stopping, or all started; and all ended */
size_t crew_running(const struct crew *crew);

/* A line for the person who watches: "[A:0] [P:1] [W:3] text" for worker 3 of process 1
 * on agent 0 of a run that has agents; a negative worker is none. */
void crew_line(struct crew *crew, enum line_kind kind, long worker, const char *format,
               ...) __attribute__((format(printf, 4, 5)));

/* Where the runs of a scenario are counted: looked up once for a process. */
struct scenario_stats *crew_scenario_row(struct crew *crew,
                                         const struct scenario *scenario);

uint64_t crew_elapsed_us(const struct crew *crew); /* since START */

/* A number from 0 up to but not including 1. */
double crew_random(struct crew *crew);

/* Called by a worker that ends; see worker.c. */
void crew_worker_ended(struct crew *crew);

#endif
