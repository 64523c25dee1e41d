/* scenario/worker.h - the life of a virtual user, as steps that never block.
 *
 *     setup -> session -> setup_session -> { scenario -> sleep } ...
 *           -> teardown_session -> teardown -> end
 *
 * A host asks worker_next() for the next step, does it, and reports with worker_done()
 * how it went: so the order, the counting and the rules for failures are written here
 * once, for every host. */
#ifndef SCENARIO_WORKER_H
#define SCENARIO_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ev.h>

#include "scenario/crew.h"

enum step_kind {
    STEP_SETUP,         /* call setup, then worker_open_session() with what it says */
    STEP_SETUP_SESSION, /* call setup_session */
    STEP_SCENARIO,      /* run step.scenario */
    STEP_SLEEP,         /* worker_sleep(step.sleep_s); worker_done() is not called */
    STEP_TEARDOWN_SESSION, /* call teardown_session */
    STEP_TEARDOWN,         /* call teardown */
    STEP_END,              /* nothing more, ever */
};

struct step {
    enum step_kind kind;
    const struct scenario *scenario;
    double sleep_s;
};

enum outcome_kind { OUTCOME_OK, OUTCOME_FAILED, OUTCOME_CANCELLED };

/* How a step ended. Failures with one message are counted together. */
struct outcome {
    enum outcome_kind kind;
    const char *message; /* of a failure: the same for the same cause */
    const char *sample;  /* more about this one; NULL: nothing */
};

struct worker {
    struct crew *crew;
    long id;   /* from 0, in its process */
    long step; /* number of the run: 1 is the first */
    struct session *session;
    /* The step under way is to end as OUTCOME_CANCELLED, at once. Set at any time, also
     * before the host has asked for the first step. */
    bool cancelled;
    uint64_t waits; /* the host counts here how often the worker gave way to others */
    void *host_data;

    /* What follows is the worker's own. */
    unsigned state;
    struct step current;
    uint64_t step_started_us;
    uint64_t waits_before; /* at the start of the run */
    size_t single_run;     /* next scenario of --single-run */
    bool setup_failed;
    bool sleeping;
    ev_timer timer;
};

void worker_init(struct worker *worker, struct crew *crew, long id);
void worker_clear(struct worker *worker); /* frees the session */

struct step worker_next(struct worker *worker);
void worker_done(struct worker *worker, const struct outcome *outcome);

/* host->resume(worker) follows, after so long, or when the sleep is cut. */
void worker_sleep(struct worker *worker, double seconds);

/* Opens the session: in STEP_SETUP, with what setup asks for. */
int worker_open_session(struct worker *worker, const struct session_options *options,
                        struct error *err);

/* The options a session has unless setup says otherwise: from the job. */
struct session_options worker_session_options(const struct worker *worker);

/* Around all code of the user's: notes in the black box what runs, and puts back what was
 * noted before. `fixture`: which one; -1: what the step says. */
struct blackbox_slot worker_enter(struct worker *worker, int fixture);
void worker_leave(struct worker *worker, struct blackbox_slot before);

/* Cuts a sleep between runs, if that is what it does. */
void worker_wake(struct worker *worker);

/* Cuts whatever it does. */
void worker_cancel(struct worker *worker);

#endif
