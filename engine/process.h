/* engine/process.h - one process's share of a run: its crew, on a loop, in time.
 *
 * It starts the workers as the schedule says, stops them when the duration is over, and
 * hands on what they measured every PROCESS_FLUSH_S, also when that is nothing: so
 * whoever waits for it knows that it is alive. The same code runs in a forked process
 * and, where there is only one, in the slave itself. */
#ifndef ENGINE_PROCESS_H
#define ENGINE_PROCESS_H

#include <stdbool.h>

#include <ev.h>

#include "base/error.h"
#include "engine/busy_poll.h"
#include "scenario/crew.h"

#define PROCESS_FLUSH_S 0.2

struct process {
    struct crew crew;
    struct delta delta;
    bool done;

    /* To its owner. */
    bool (*may_flush)(struct process *process); /* false: what waits is merged on */
    void (*on_delta)(struct process *process, const struct delta *delta); /* borrows */
    void (*on_stopping)(struct process *process, const char *why, bool failed);
    void *owner;

    /* What follows is the process's own. */
    ev_timer flush, start, duration, patience, second;
    struct busy_poll busy_poll;
};

/* Fills in the owner's part before: callbacks and `owner`. `started_us` is clock_us() of
 * the run's START. */
void process_open(struct process *process, struct ev_loop *loop, const struct job *job,
                  struct test *test, long index, struct blackbox_slot *slot,
                  uint64_t started_us);

/* Runs the loop until the last worker has ended, then hands on the last delta. */
void process_run(struct process *process);

void process_close(struct process *process);

/* From the loop: runs in progress finish, for at most --stop-timeout; `force`: they are
 * cut. */
void process_stop(struct process *process, bool force);

#endif
