/* broker/run.h - the life of one run: its agents, what they deliver, and its end.
 *
 * A run knows nothing of sockets, timers and transactions: its broker hands it what
 * agents say and calls run_tick() each second, and what it has to tell goes through
 * struct run_outside. What agents deliver is merged at once, but counts only when it is
 * stored: the broker calls run_put() for all runs within one transaction, and run_stored()
 * when that has been committed; only then is anything acknowledged or published. If it
 * fails, nothing has happened, and the next run_put() puts all that is still to be
 * stored. */
#ifndef BROKER_RUN_H
#define BROKER_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "broker/roster.h"
#include "broker/store.h"
#include "proto/cluster.h"

/* What a run does to the world. */
struct run_outside {
    struct roster *roster;    /* where its agents come from */
    unsigned prepare_timeout; /* ticks until all agents must be ready */
    /* To an agent; not where it is absent. Clears the message. */
    void (*send)(void *owner, const struct agent *agent, struct buffer *message);
    void (*publish)(void *owner, const char *run_id, const struct buffer *message);
    /* The run is done with this agent; gives it back to the roster. */
    void (*release)(void *owner, struct agent *agent);
    void *owner;
};

enum run_stop {
    RUN_STOP_NOT,
    RUN_STOP_GENTLY, /* what runs is finished */
    RUN_STOP_FORCED, /* what runs is cut */
};

/* What the broker keeps of an agent of the run besides its facts. */
struct run_slot {
    struct agent *agent; /* NULL: it is done with this run, or lost for good */
    char instance[PROTO_INSTANCE_MAX + 1];
    uint64_t taken; /* the last REPORT that was merged */
    uint64_t held;  /* the last one that is stored */
    bool claimed;   /* it has said that it has this run */
    bool unsaved;   /* the store does not know all of the above */
    size_t lost_processes;
};

struct run {
    TAILQ_ENTRY(run) link; /* the broker's */
    const struct run_outside *outside;
    struct message_run spec;
    uint64_t number;        /* in the store */
    uint64_t revision;      /* the last one that is stored */
    struct run_facts facts; /* its agents have the same indexes as the slots */
    struct run_slot *slots;
    struct delta pending; /* merged, but not stored */
    struct delta total;   /* all that is stored */
    struct series series;
    uint64_t started_us; /* clock_us() of the START; 0 before */
    bool start_due;      /* to be sent when it is stored that it is */
    enum run_stop stop;
    unsigned ticks; /* that it has been preparing */
    size_t unsaved_slots;
    bool facts_changed; /* since they were stored */
    bool concluded;     /* nothing more comes: it is over when its end is stored */
};

/* --- birth ------------------------------------------------------------------------------ */

/* A run on as many agents as it asks for, which are idle; takes `spec` over (it is empty
 * then). Nobody knows of it before run_prepare(). */
struct run *run_new(const struct run_outside *outside, struct message_run *spec);

/* Stores the new run with its agents, within a transaction. */
int run_put_new(struct run *run, struct store *store, struct error *err);

/* It is stored: tells its agents to prepare. */
void run_prepare(struct run *run);

/* A run of a broker that died: with the agents that it had, all absent. NULL, and `err`
 * says what is wrong with what was stored. */
struct run *run_restore(const struct run_outside *outside, struct store *store,
                        const struct stored_run *stored, struct error *err);

/* Gives its agents back. NULL is fine. */
void run_destroy(struct run *run);

/* --- what is heard of its agents: `agent->run` is this run -------------------------------- */

/* What it says it has: sends what is missing for it to have what it should. */
void run_take_claim(struct run *run, struct agent *agent,
                    const struct agent_claim *claim);
void run_take_refusal(struct run *run, struct agent *agent, const char *why);
void run_take_report(struct run *run, struct agent *agent,
                     const struct message_report *report);
/* It asks for a file: 0, and `ret_size`; -1: it is none of this run, and is refused. */
int run_take_fetch(struct run *run, struct agent *agent, const char *digest,
                   uint64_t *ret_size, struct error *err);
/* It is silent for too long, or said good-bye; `why` says which. */
void run_lose_agent(struct run *run, struct agent *agent, const char *why);

/* The last REPORT of this agent that is stored. */
uint64_t run_held(const struct run *run, const struct agent *agent);

void run_copy_id(const struct run *run, message_run_id ret_id);

/* --- what else happens --------------------------------------------------------------------- */

/* Somebody wants it to end; less than before changes nothing. */
void run_stop(struct run *run, bool force, const char *why);

void run_tick(struct run *run); /* each second */

/* --- the store, and who watches -------------------------------------------------------------- */

bool run_has_news(const struct run *run); /* that is not stored */

/* Stores the news, within a transaction. */
int run_put(struct run *run, struct store *store, struct error *err);

/* That was committed: acknowledges and publishes it, and starts what is to be started. */
void run_stored(struct run *run);

/* Nothing more comes, and all of it is stored: stores the end (a transaction of its own),
 * tells everybody and gives the agents back. Then the run is to be destroyed. */
bool run_is_concluded(const struct run *run);
int run_finish(struct run *run, struct store *store, struct error *err);

/* The answer to SNAPSHOT: UPDATE. */
int run_pack_snapshot(const struct run *run, struct store *store, uint64_t after,
                      const char *trouble, struct buffer *message, struct error *err);

uint64_t run_elapsed_us(const struct run *run); /* since the START; 0 before */

#endif
