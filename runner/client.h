/* runner/client.h - asks a broker at its frontend, and asks again until it answers.
 *
 * All requests are stateless and may be repeated (proto/README.md). One is under way at a
 * time. Where it had to be repeated, its answer is the last thing that is taken from its
 * socket, so that a second answer is never taken for one to the next request. */
#ifndef RUNNER_CLIENT_H
#define RUNNER_CLIENT_H

#include <stdbool.h>

#include <ev.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/wire.h"
#include "base/zsocket.h"
#include "proto/cluster.h"

/* A request that was sent so often in vain is a silence; its socket is replaced, since
 * one that a stranger answered never connects again. */
#define CLIENT_TRIES 3u

#define CLIENT_AGAIN_S 1.0 /* between two of them, where nothing takes longer */

/* Whom to ask, and how the person came to it. */
struct frontend {
    char *endpoint; /* owned */
    bool is_given;  /* by --broker or $MOLOTOV_BROKER, not the default */
};

struct client {
    /* Filled in by the owner. */
    struct ev_loop *loop;
    void *context;
    const char *endpoint;
    /* The answer to what was asked last; `map` is gone afterwards. May ask again. */
    void (*on_answer)(struct client *client, enum proto_message message,
                      const msgpack_object *map);
    /* CLIENT_TRIES more were in vain. NULL: not of interest. May close the client. */
    void (*on_silence)(struct client *client);
    /* What came is no answer, and `what` says why. NULL: not of interest. */
    void (*on_trouble)(struct client *client, const char *what);
    void *owner;

    /* What follows is the client's own. */
    struct zsocket socket;
    struct buffer request;
    unsigned sent; /* how often the request was; 0: none is under way */
    bool was_cut;  /* the socket had a connection, and lost it */
    bool greeted;  /* one of its sockets had one: there is, or was, a broker */
    ev_timer again;
};

/* 0; or -1, and nothing is left behind. */
int client_open(struct client *client, struct error *err);
void client_close(struct client *client); /* not open is fine */

/* Sends the request, and again each `again_s` until there is an answer; sooner where the
 * connection breaks, and at once when it is there again: what was on its way is lost. One
 * that was under way is forgotten. */
void client_ask(struct client *client, const struct buffer *request, double again_s);

/* Sends what has no answer. It may be lost. */
void client_tell(struct client *client, const struct buffer *message);

/* --- at once: on a loop of its own ----------------------------------------------------- */

#define CLIENT_PATIENCE_S 5.0 /* for a broker that does not answer */
#define CLIENT_RESTART_S 1.0  /* for one of which it is certain that it is not there */

struct client_answer {
    struct buffer bytes; /* what `message` borrows from */
    struct wire_message message;
};

/* Asks once, and waits for the one answer that is `wanted`, CLIENT_PATIENCE_S at most; and
 * before that CLIENT_RESTART_S for a broker that may be starting again. 0; or -1, and `err`
 * says that there is no broker and what to do about it, that it does not answer, or why it
 * refused. */
int client_call(const struct frontend *frontend, const struct buffer *request,
                enum proto_message wanted, struct client_answer *ret_answer,
                struct error *err);
void client_answer_clear(struct client_answer *answer);

/* Two that are often asked. The caller clears what they return. */
int client_ping(const struct frontend *frontend, struct message_pong *ret_pong,
                struct error *err);
int client_list(const struct frontend *frontend, struct message_runs *ret_runs,
                struct error *err);

#endif
