/* engine/engine.h - runs a loaded test on this host: forks the processes, merges what
 * they measure, stops them, and says which of them died.
 *
 * With one process there is no fork: the workers run in the slave itself, so that
 * global_teardown sees what listeners gathered. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ev.h>

#include "base/error.h"
#include "job/job.h"
#include "proto/messages.h"
#include "scenario/blackbox.h"
#include "scenario/test.h"
#include "stats/delta.h"

struct engine_process;

struct engine {
    struct ev_loop *loop;
    const struct job *job;
    struct test *test;
    struct blackbox *box;

    /* To its owner, from the loop. */
    bool (*may_send)(struct engine *engine); /* false: what waits is merged on */
    void (*on_delta)(struct engine *engine, const struct delta *delta);
    void (*on_stopping)(struct engine *engine, const char *why, bool failed);
    void (*on_lost)(struct engine *engine, const struct message_lost *lost);
    void (*close_inherited)(struct engine *engine); /* in a forked child */
    void *owner;

    /* What follows is the engine's own. */
    struct engine_process
        *processes;      /* job->processes of them when there are several */
    size_t left;         /* of the forked ones that have not ended */
    struct process *own; /* the only process, when there is one */
    uint64_t started_us;
    struct delta merged; /* what has not been handed on */
    ev_timer flush, watch;
    bool stopping;
};

/* Starts the run: 0, and engine_run() follows; -1: a process could not be forked, and
 * none is left. */
int engine_start(struct engine *engine, struct error *err);

/* Runs the loop until every process has ended; what was measured has been handed on. */
void engine_run(struct engine *engine);
void engine_close(struct engine *engine);

/* From the loop: all processes end, runs in progress finish; `force`: they are cut. */
void engine_stop(struct engine *engine, bool force);

/* A line of the engine's own, in the next delta. */
void engine_notice(struct engine *engine, const char *text);

#endif
