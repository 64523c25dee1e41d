/* broker/broker.h - the daemon that takes jobs, picks agents, merges, stores and
 * publishes: its sockets, its timers, and what is shared by those who answer messages.
 *
 * Everything that changes is collected and stored in one transaction each COMMIT_S; only
 * then is it acknowledged and published. While nothing can be stored (a full disk),
 * nothing is acknowledged, so agents keep what they measure; it is tried again each
 * second. */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "base/loop.h"
#include "base/pidlock.h"
#include "base/zsocket.h"
#include "broker/courier.h"
#include "broker/options.h"
#include "broker/roster.h"
#include "broker/run.h"
#include "broker/store.h"

TAILQ_HEAD(run_list, run);

enum broker_socket {
    BROKER_FRONTEND,
    BROKER_BACKEND,
    BROKER_PUBLISHER,
    BROKER_SOCKETS
};

/* What strangers could fill the log with. */
enum broker_topic { BROKER_COMPLAINTS, BROKER_AGENTS, BROKER_TOPICS };

/* The last FILE that could not be stored; told when a RUN lacks it. */
struct file_trouble {
    char digest[DIGEST_SIZE]; /* "": none */
    struct error why;
};

/* A STOP of a run that was not known: its RUN may still be on its way. */
struct early_stop {
    message_run_id run; /* "": none */
    unsigned age;       /* the broker's, when it came */
};

#define BROKER_EARLY_STOPS 64u

struct broker {
    const struct broker_options *options; /* borrowed */
    struct ev_loop *loop;
    void *context;
    struct zsocket sockets[BROKER_SOCKETS];
    char *endpoints[BROKER_SOCKETS];          /* as others can name them */
    struct pidlock locks[BROKER_SOCKETS + 1]; /* of ipc paths, and of the database */
    struct store store;
    struct roster roster;
    struct courier courier;
    struct run_outside outside;
    struct run_list runs; /* that are not over */
    ev_timer commit, tick;
    struct signal_watch signals;

    unsigned age;             /* ticks since the start */
    unsigned idle;            /* ticks without a run and without a request */
    bool stays;               /* it does not leave, whatever its options say */
    bool has_news;            /* of agents that are to be stored */
    char trouble[ERROR_SIZE]; /* why nothing can be stored; "": it can */
    struct file_trouble file_trouble;
    bool untidy;                   /* housekeeping failed, and that was told */
    unsigned lines[BROKER_TOPICS]; /* for the log in this tick, also those held back */
    struct buffer pong;            /* the answer to PING; empty: to be made */
    struct early_stop early_stops[BROKER_EARLY_STOPS];
    size_t next_early_stop;
};

/* 0; or -1, and `err` says what is in the way: another broker, the database, ... Call
 * broker_close() in either case. */
int broker_open(struct broker *broker, const struct broker_options *options,
                struct error *err);
void broker_run(struct broker *broker); /* until it is told to end */
void broker_close(struct broker *broker);

/* --- for those who answer messages ----------------------------------------------------------- */

/* Decodes a message: 0, and the caller clears `ret_message`; -1: it is none. */
int broker_read(const struct zframe *body, struct wire_message *ret_message,
                enum proto_message *ret_kind, struct error *err);

/* Sends the message and clears it; what cannot be sent now is dropped. */
void broker_send(struct broker *broker, enum broker_socket to,
                 const struct zframe *route, struct buffer *message);

/* Log what a stranger did wrong, and that an agent came or went: some lines a second, and
 * how many more there were, since strangers may do both as often as they like. */
void broker_complain(struct broker *broker, enum broker_socket where, const char *what);
void broker_note(struct broker *broker, const struct agent *agent, const char *what);

struct run *broker_find_run(const struct broker *broker, const char *id);

/* Stores, acknowledges and publishes all there is; or there is `trouble`, and it is tried
 * again with the next tick. */
void broker_commit(struct broker *broker);

#endif
