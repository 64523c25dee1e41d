/* engine/supervisor.h - the parent's side of a slave: starts it, listens to it, ends it.
 *
 * The same for a runner here and for an agent on a cluster. Nothing the slave does
 * (crash, loop, send garbage) can hurt the parent: it ends in on_end(). */
#ifndef ENGINE_SUPERVISOR_H
#define ENGINE_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include <ev.h>

#include "base/error.h"
#include "base/loop.h"
#include "job/job.h"
#include "proto/channel.h"
#include "scenario/blackbox.h"
#include "stats/delta.h"

struct supervisor {
    /* Filled in by the owner. */
    struct ev_loop *loop;
    const struct job *job;
    const char *program;   /* that becomes the slave; NULL: this one */
    const char *directory; /* where the slave runs; NULL: here */
    bool stdout_to_stderr; /* what the script prints must not mix with our results */

    /* To the owner, from the loop. */
    void (*on_ready)(struct supervisor *supervisor); /* supervisor_begin() follows */
    void (*on_delta)(struct supervisor *supervisor, const struct delta *delta);
    void (*on_stopping)(struct supervisor *supervisor, const char *why, bool failed);
    void (*on_lost)(struct supervisor *supervisor, const struct message_lost *lost);
    void (*on_teardown)(struct supervisor *supervisor);
    /* The slave has ended, and nothing of it is left. `failure`: NULL, or why what it
     * told is not all, or why the run did not start. The last call. */
    void (*on_end)(struct supervisor *supervisor, const char *failure);
    void *owner;

    /* What follows is the supervisor's own. */
    pid_t pid;
    struct child_watch exit;
    struct channel channel;
    struct blackbox *box;
    ev_timer watch;
    uint64_t heard_us;
    uint64_t kill_at_us; /* 0: not told to end by force */
    bool begun, tearing_down, ended, stuck, killed;
    const char *why_killed; /* ... or is to be: ", since ..."; NULL: it is not */
    unsigned lost;          /* processes, that the slave told of */
    char *failure; /* why it ended or must end, in words; NULL: as its exit tells */
};

/* Starts a slave and sends it the job: 0, and callbacks follow until on_end(); or -1,
 * and nothing is left behind. */
int supervisor_start(struct supervisor *supervisor, struct error *err);

/* After on_ready(): the run begins. */
void supervisor_begin(struct supervisor *supervisor);

/* The run ends; `force`: what is in progress is cut, and a slave that does not end by
 * itself soon is killed. */
void supervisor_stop(struct supervisor *supervisor, bool force);

/* Kills it with all it started, at any time from supervisor_start() on: what it had not
 * told is lost. on_end() follows, unless that was before. */
void supervisor_kill(struct supervisor *supervisor);

/* After on_end(). */
void supervisor_close(struct supervisor *supervisor);

#endif
