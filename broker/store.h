/* broker/store.h - what a broker keeps over its own death: runs, their agents and what
 * was measured, agents that ever registered, files of tests. One SQLite database.
 *
 * It is written in WAL mode with synchronous NORMAL: what is committed survives the death
 * of the broker, not always a power cut. What is said to be within a transaction is only
 * right between sql_begin() and sql_commit() on `sql`. */
#ifndef BROKER_STORE_H
#define BROKER_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "broker/intervals.h"
#include "broker/sql.h"
#include "proto/cluster.h"

#define STORE_SCHEMA 1u      /* user_version of the database */
#define STORE_RUNS_MAX 1000u /* that are over; older ones are deleted */
#define STORE_FILE_AGE_S 86400.0
#define STORE_FILES_SIZE_MAX ((uint64_t)1 << 30) /* bytes that no run needs */
#define STORE_AGENT_AGE_S (30 * 86400.0)

#define STORE_STATEMENTS 21

struct store {
    struct sql sql;
    sqlite3_stmt *statements[STORE_STATEMENTS];
    struct intervals intervals;
    uint64_t files_size_max; /* STORE_FILES_SIZE_MAX, or what a test makes of it */
    bool has_new_files;      /* there may be too many of them now */
};

/* Makes the database where there is none, and writes to it once: -1 and `err` where it is
 * of another program or schema, or cannot be written. */
int store_open(struct store *store, const char *path, struct error *err);
void store_close(struct store *store); /* zeroed is fine */

/* Writes something, within a transaction: to see whether that can be done. */
int store_probe(struct store *store, struct error *err);

/* --- agents: within a transaction ------------------------------------------------------- */

int store_put_agent(struct store *store, const char *instance, const char *name,
                    const char *host, uint64_t pid, struct error *err);

/* --- runs --------------------------------------------------------------------------------- */

/* A new run, without its agents: within a transaction. The files of its bundle are kept
 * until it is over. */
int store_add_run(struct store *store, const struct message_run *spec,
                  const struct run_facts *facts, uint64_t *ret_number,
                  struct error *err);

/* What has come to be of it: within a transaction. `stop` is how firmly it was told to
 * end; `facts` may be NULL where they are as before. */
int store_put_progress(struct store *store, uint64_t number, uint64_t revision,
                       unsigned stop, const struct run_facts *facts, struct error *err);

/* The agent at `index` of a run: within a transaction. `instance` was put before. */
int store_put_slot(struct store *store, uint64_t number, size_t index,
                   const char *instance, enum agent_state state, uint64_t sequence,
                   const struct stats_totals *counted, struct error *err);

/* It is over, and `final` is the message that says so; NULL: nobody can say how it was. */
int store_finish_run(struct store *store, uint64_t number, enum run_state state,
                     uint64_t elapsed_us, const struct buffer *final,
                     struct error *err);

/* The run of this id: 1, and `ret_final` gets the message of its end, or nothing where it
 * goes on, or where that is lost; 0: there is none; -1. `ret_final` may be NULL. */
int store_find_run(struct store *store, const char *id, struct buffer *ret_final,
                   struct error *err);

/* The state that it was last stored with: 1; 0: there is no such run; -1. */
int store_find_state(struct store *store, const char *id, enum run_state *ret_state,
                     struct error *err);

/* Appends the `most` latest runs that are over, newest first. */
int store_list_over(struct store *store, size_t most, struct message_runs *runs,
                    struct error *err);

/* A run that was not over when it was last stored. */
struct stored_run {
    uint64_t number, revision;
    unsigned stop;
    message_run_id id;
    /* As message_pack_run() and facts_pack() made them; owned. */
    struct buffer spec, facts;
};

/* The next of these after the run `after` (0: the first): 1, and the caller clears it; 0:
 * there is none; -1. */
int store_next_active(struct store *store, uint64_t after, struct stored_run *ret_run,
                      struct error *err);
void stored_run_clear(struct stored_run *run);

/* An agent of a stored run. */
struct stored_slot {
    char instance[PROTO_INSTANCE_MAX + 1];
    uint64_t sequence;
    struct stats_totals counted;
};

/* 1; 0: there is none at this index; -1. */
int store_read_slot(struct store *store, uint64_t number, size_t index,
                    struct stored_slot *ret_slot, struct error *err);

/* --- files ---------------------------------------------------------------------------------- */

/* It is kept while a run needs it; else for STORE_FILE_AGE_S, and no longer than the files
 * that came or were touched after it have STORE_FILES_SIZE_MAX. */
int store_put_file(struct store *store, const struct message_file *file,
                   struct error *err);

/* 1: it is there, and is one of those that go last; 0; -1. */
int store_touch_file(struct store *store, const char *digest, struct error *err);

/* 1, and `ret_content` is there until store_file_done(); 0: there is none; -1. */
int store_read_file(struct store *store, const char *digest,
                    struct sql_bytes *ret_content, struct error *err);
void store_file_done(struct store *store);

/* --- housekeeping ------------------------------------------------------------------------- */

/* One small step of what is always to be done: rows of runs that are over are merged; the
 * oldest runs, files and agents are deleted, and of files also what is too much. 1: there may be more; 0: all is tidy; -1. */
int store_tidy(struct store *store, double now_wall_s, struct error *err);

#endif
