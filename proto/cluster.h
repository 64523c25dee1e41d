/* proto/cluster.h - what the messages between runners, the broker and agents carry.
 *
 * README.md tells who sends what, when, and what silence means. For each message there
 * are a struct, message_pack_NAME() (replaces what the buffer holds) and
 * message_unpack_NAME() (checks everything; -1 leaves nothing behind). What an unpacked
 * struct owns is freed by its _clear(); msgpack objects in it are borrowed from the
 * message. Every text is clean once unpacked. */
#ifndef PROTO_CLUSTER_H
#define PROTO_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "job/job.h"
#include "proto/bundle.h"
#include "proto/facts.h"
#include "proto/messages.h"
#include "stats/delta.h"
#include "stats/series.h"

#define PROTO_UNACKED_MAX 4u /* REPORTs that an agent may have sent unacknowledged */
#define PROTO_BEAT_S 1.0     /* between two BEATs */
#define PROTO_BEATS_MISSED_MAX 3u /* then the other side's socket is taken for dead */
#define PROTO_INSTANCE_MAX JOB_RUN_ID_MAX /* bytes of an agent's instance */
#define PROTO_ENDPOINT_MAX 300u           /* bytes */
#define PROTO_PROGRAM_MAX 100u            /* bytes of a program's version */
/* Runs in PONG and RUNS: each that goes on has an agent of its own at least, and some are
 * over. */
#define PROTO_RUNS_MAX (FACTS_AGENTS_MAX + 100u)

/* A run's name where it must be one; NUL-terminated. */
typedef char message_run_id[JOB_RUN_ID_MAX + 1];

/* PING, LIST, RUN, SNAPSHOT, STOP and REGISTER carry "version", which is checked before
 * all else, since the rest may have changed: 0 where it is ours; or -1, and `err` names
 * both versions (what answers REFUSED). */
int message_check_version(const msgpack_object *map, struct error *err);

/* Messages of a run with nothing else in them: READY, START, RELEASE; and with
 * nothing at all, where `run` is NULL: UNKNOWN, BYE, the broker's BEAT. */
void message_pack_run_only(struct buffer *buffer, enum proto_message message,
                           const char *run);
/* The field "run" of any message. */
int message_unpack_run_id(const msgpack_object *map, message_run_id ret_run,
                          struct error *err);

/* PING, LIST: only the version. */
void message_pack_request(struct buffer *buffer, enum proto_message message);

/* REFUSED: `run` may be NULL. Read with message_unpack_why(). */
void message_pack_refused(struct buffer *buffer, const char *run, const char *why);

/* --- runner and broker ---------------------------------------------------------------- */

struct pong_agent {
    char *name, *host;
    uint64_t pid;
    message_run_id run; /* "" : free, if it is not silent */
    bool silent;        /* for some seconds: RUN passes it over */
};

struct pong_run {
    message_run_id run;
    uint64_t agents; /* on it */
};

struct message_pong {
    uint64_t pid;
    char *program; /* version of the program: "0.1.0" */
    char *frontend, *backend, *publisher;
    bool temporary; /* started by a runner, which may add agents to it */
    struct pong_agent *agents;
    size_t agent_count;
    struct pong_run *runs; /* that are not over */
    size_t run_count;
};

void message_pack_pong(struct buffer *buffer, const struct message_pong *pong);
int message_unpack_pong(const msgpack_object *map, struct message_pong *ret,
                        struct error *err);
void message_pong_clear(struct message_pong *pong);

/* RUN: start this, unless it is there already. */
struct message_run {
    uint64_t agents;
    bool keep_cluster; /* a temporary broker is to stay from now on */
    struct job job;    /* with its run_id */
    struct bundle bundle;
};

void message_pack_run(struct buffer *buffer, const struct message_run *run);
int message_unpack_run(const msgpack_object *map, struct message_run *ret,
                       struct error *err);
void message_run_clear(struct message_run *run);

/* ACCEPTED: it is there, or is told to stop. */
struct message_accepted {
    message_run_id run;
    bool was_over; /* before the STOP that this answers; never in answer to RUN */
    enum run_state state; /* with `was_over`: one that run_state_is_over() */
};

void message_pack_accepted(struct buffer *buffer,
                           const struct message_accepted *accepted);
int message_unpack_accepted(const msgpack_object *map, struct message_accepted *ret,
                            struct error *err);

/* LACKS: the files of a RUN that the broker has not got. */
struct message_lacks {
    message_run_id run;
    char (*digests)[DIGEST_SIZE];
    size_t count;
};

void message_pack_lacks(struct buffer *buffer, const struct message_lacks *lacks);
int message_unpack_lacks(const msgpack_object *map, struct message_lacks *ret,
                         struct error *err);
void message_lacks_clear(struct message_lacks *lacks);

/* FILE, to the broker and to agents: content that has this digest (checked). */
struct message_file {
    char digest[DIGEST_SIZE];
    const void *content; /* borrowed */
    size_t size;
};

void message_pack_file(struct buffer *buffer, const struct message_file *file);
int message_unpack_file(const msgpack_object *map, struct message_file *ret,
                        struct error *err);

/* STOP to the broker and to agents. To a slave it is message_pack_stop(). */
struct message_stop {
    message_run_id run;
    bool force;
    char *why; /* "SIGINT": who asked; NULL to agents. Owned */
};

void message_pack_run_stop(struct buffer *buffer, const struct message_stop *stop);
int message_unpack_run_stop(const msgpack_object *map, struct message_stop *ret,
                            struct error *err);
void message_stop_clear(struct message_stop *stop);

/* SNAPSHOT: what came after this revision? */
struct message_snapshot {
    message_run_id run;
    uint64_t after;
};

void message_pack_snapshot(struct buffer *buffer, const struct message_snapshot *ask);
int message_unpack_snapshot(const msgpack_object *map, struct message_snapshot *ret,
                            struct error *err);

/* UPDATE, published or as the answer to SNAPSHOT: all of (after, revision].
 * END_OF_RUN: the same of the whole run, when it is over (`after` is 0), with its series. */
struct message_update {
    message_run_id run;
    uint64_t after, revision;
    uint64_t elapsed_us; /* since the run's START, by the broker's clock; 0 before */
    /* What the broker cannot do at the moment, such as store; NULL: nothing. Owned. */
    char *trouble;
    bool
        has_facts; /* always in answers and in END_OF_RUN; in UPDATE where they changed */
    struct run_facts facts;
    struct delta delta;
    struct series series; /* END_OF_RUN only */
};

void message_update_init(struct message_update *update);
void message_update_clear(struct message_update *update);
/* `message` is MESSAGE_UPDATE or MESSAGE_END_OF_RUN. */
void message_pack_update(struct buffer *buffer, enum proto_message message,
                         const struct message_update *update);
int message_unpack_update(const msgpack_object *map, enum proto_message message,
                          struct message_update *ret, struct error *err);

/* RUNS, the answer to LIST: those that go on, and the latest that are over. */
struct listed_run {
    message_run_id run;
    char *test;
    enum run_state state;
    uint64_t agents;
    double created_wall_s;
    uint64_t elapsed_us;
};

struct message_runs {
    struct listed_run *runs; /* newest first */
    size_t count;
};

void message_pack_runs(struct buffer *buffer, const struct message_runs *runs);
int message_unpack_runs(const msgpack_object *map, struct message_runs *ret,
                        struct error *err);
void message_runs_clear(struct message_runs *runs);

/* --- agent and broker ----------------------------------------------------------------- */

/* What an agent says of the run it has, in REGISTER and each BEAT; the broker compares it
 * with what it wants, and sends what is missing. */
struct agent_claim {
    message_run_id run; /* "": none */
    /* AGENT_PREPARING, _READY, _RUNNING, or _ENDED: has nothing left to measure, but may
     * have to deliver. */
    enum agent_state state;
    bool stopping, forced; /* it was told to */
    uint64_t sequence;     /* of the last REPORT it made */
};

struct message_register {
    char instance[PROTO_INSTANCE_MAX + 1]; /* unique to this start of the agent;
                                             * made as the name of a run is */
    char *name, *host;
    uint64_t pid;
    bool temporary; /* leaves with the broker */
    struct agent_claim claim;
};

void message_pack_register(struct buffer *buffer, const struct message_register *reg);
int message_unpack_register(const msgpack_object *map, struct message_register *ret,
                            struct error *err);
void message_register_clear(struct message_register *reg);

/* REGISTERED and ACK: the last REPORT of the run that the broker holds for good. */
struct message_ack {
    message_run_id run; /* "": REGISTERED to an agent that claims none */
    uint64_t sequence;
};

void message_pack_ack(struct buffer *buffer, enum proto_message message,
                      const struct message_ack *ack);
int message_unpack_ack(const msgpack_object *map, struct message_ack *ret,
                       struct error *err);

/* BEAT of an agent; the broker's is message_pack_run_only(.., MESSAGE_BEAT, NULL). */
void message_pack_beat(struct buffer *buffer, const struct agent_claim *claim);
int message_unpack_beat(const msgpack_object *map, struct agent_claim *ret,
                        struct error *err);

/* PREPARE: load this, as number `index` of `agents`. */
struct message_prepare {
    uint64_t index, agents;
    struct job job; /* with its run_id */
    struct bundle bundle;
};

void message_pack_prepare(struct buffer *buffer, uint64_t index, uint64_t agents,
                          const struct job *job, const struct bundle *bundle);
int message_unpack_prepare(const msgpack_object *map, struct message_prepare *ret,
                           struct error *err);
void message_prepare_clear(struct message_prepare *prepare);

/* FETCH: send me this FILE of the run. */
void message_pack_fetch(struct buffer *buffer, const char *run, const char *digest);
int message_unpack_fetch(const msgpack_object *map, message_run_id ret_run,
                         char ret_digest[DIGEST_SIZE], struct error *err);

/* REPORT: one step of what an agent tells of its run, numbered without gaps by
 * delta.sequence: what it measured since the last, and what happened. */
struct message_report {
    message_run_id run;
    struct delta delta;
    bool has_stopping;
    struct message_stopping stopping; /* the run is to end: --exception, a set-up */
    struct message_lost *lost;        /* processes that died since the last */
    size_t lost_count;
    bool ended;    /* the slave is gone; the last REPORT */
    char *failure; /* with `ended`: NULL, or why that was no good end. Owned */
};

void message_report_init(struct message_report *report);
void message_report_clear(struct message_report *report);
void message_pack_report(struct buffer *buffer, const struct message_report *report);
int message_unpack_report(const msgpack_object *map, struct message_report *ret,
                          struct error *err);

#endif
