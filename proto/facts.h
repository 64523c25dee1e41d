/* proto/facts.h - what is known of a run besides its measurements: what was asked for, how
 * far it is, who runs it, who was lost.
 *
 * A broker keeps them for each run and tells consoles when they change; a local run fills
 * them in by itself. So an output cannot tell the two apart. */
#ifndef PROTO_FACTS_H
#define PROTO_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/wire.h"
#include "job/job.h"
#include "stats/stats.h"

#define FACTS_AGENTS_MAX 10000u
#define FACTS_LOST_MAX 10000u
#define FACTS_NAME_MAX 200u  /* bytes of an agent's name or host */
#define FACTS_TEST_MAX 4096u /* bytes of the test's name */

/* The state of a run: a row is its name in C, its word on the wire and in documents. */
#define RUN_STATES(X) \
    X(PREPARING, "preparing") /* agents load the test; global set-up */ \
    X(RUNNING, "running") \
    X(STOPPING, "stopping") /* told to end; what runs finishes */ \
    X(FINISHED, "finished") /* ended by itself */ \
    X(STOPPED, "stopped")   /* ended by `interrupted_by` */ \
    X(FAILED, "failed")     /* a set-up failed, a process or all agents were lost */

enum run_state {
#define RUN_STATE_NUMBER(name, word) RUN_##name,
    RUN_STATES(RUN_STATE_NUMBER)
#undef RUN_STATE_NUMBER
        RUN_STATE_COUNT
};

/* The state of one agent within a run. */
#define AGENT_STATES(X) \
    X(PREPARING, "preparing") \
    X(READY, "ready") \
    X(RUNNING, "running") \
    X(ENDED, "ended") /* all it measured is delivered */ \
    X(LOST, "lost")   /* silent for too long, or gone */

enum agent_state {
#define AGENT_STATE_NUMBER(name, word) AGENT_##name,
    AGENT_STATES(AGENT_STATE_NUMBER)
#undef AGENT_STATE_NUMBER
        AGENT_STATE_COUNT
};

extern const char *const run_state_words[RUN_STATE_COUNT];
extern const char *const agent_state_words[AGENT_STATE_COUNT];

static inline bool run_state_is_over(enum run_state state)
{
    return state >= RUN_FINISHED;
}

/* An agent of the run; its index is its place in the array. */
struct fact_agent {
    char *name; /* owned, clean */
    char *host; /* owned, clean */
    uint64_t pid;
    enum agent_state state;
    uint64_t lost_at_us; /* AGENT_LOST: since the run's START, by the broker's clock */
    /* What the run's sums hold of it. Up to date only for an agent that is lost or has
     * ended. */
    struct stats_totals counted;
};

/* A process that ended before its time. */
struct fact_process {
    unsigned agent; /* index; 0 in a local run */
    unsigned index; /* within its agent */
    int signal;     /* 0: it exited by itself, with `status` */
    int status;
    bool stuck;     /* it did not answer for --stuck-timeout, and was killed */
    char *scenario; /* what it was running; NULL: nothing. Owned */
};

struct run_facts {
    enum run_state state;
    char *run_id;
    char *test;
    char *interrupted_by;   /* NULL, or "SIGINT", "--exception" ... */
    char *failure;          /* NULL, or why the state is RUN_FAILED, one line */
    double created_wall_s;  /* seconds since 1970; 0 in a local run */
    double started_wall_s;  /* of the START; 0: not yet */
    unsigned processes;     /* over all agents */
    unsigned long workers;  /* asked for, over all processes */
    double duration_s;      /* asked for */
    unsigned long max_runs; /* asked for, of each worker; 0: no limit */
    struct fact_agent *agents;
    size_t agent_count; /* 0: a local run */
    struct fact_process *lost;
    size_t lost_count; /* processes */
};

void facts_init(struct run_facts *facts);
void facts_clear(struct run_facts *facts);
void facts_copy(struct run_facts *into, const struct run_facts *from); /* replaces */

/* What is asked for: this job by so many agents, each of which has all its processes (1: a
 * local run). To be called once, on facts that are empty. */
void facts_describe_job(struct run_facts *facts, const struct job *job,
                        uint64_t agents);

/* Sets a text once: the first reason is the one that is told. */
void facts_set_failure(struct run_facts *facts, const char *why);
/* The same, and the state becomes RUN_STOPPING, where it was before that. */
void facts_set_interrupted_by(struct run_facts *facts, const char *why);

/* At most FACTS_AGENTS_MAX, which the caller sees to. */
void facts_add_agent(struct run_facts *facts, const char *name, const char *host,
                     uint64_t pid);
/* Copies; those beyond FACTS_LOST_MAX are not kept. */
void facts_add_lost(struct run_facts *facts, const struct fact_process *lost);

/* How many agents are in this state. */
size_t facts_count_agents(const struct run_facts *facts, enum agent_state state);

/* The state of a run that is over, from what is known of it. */
enum run_state facts_final_state(const struct run_facts *facts);

/* One map; proto/README.md names its fields. Texts are clean after both. */
void facts_pack(const struct run_facts *facts, msgpack_packer *packer);
int facts_unpack(const msgpack_object *map, struct run_facts *ret_facts,
                 struct error *err);

#endif
