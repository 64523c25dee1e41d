/* base/zsocket.h - ZeroMQ sockets on a libev loop.
 *
 * A socket's descriptor tells of news by edges, and sending uses an edge up; so its state
 * is asked for before each wait of the loop, and at most ZSOCKET_TURN messages are handled
 * a turn. A message is one frame (besides the one that says to or from whom); what has
 * more or fewer is dropped and told of by on_trouble(). No call waits. */
#ifndef BASE_ZSOCKET_H
#define BASE_ZSOCKET_H

#include <stdbool.h>
#include <stddef.h>

#include <ev.h>

#include "base/buffer.h"
#include "base/error.h"

#define ZSOCKET_TURN 100
#define ZSOCKET_ROUTE_MAX 255u /* bytes of a peer's address */

enum zsocket_type {
    ZSOCKET_ROUTER, /* many peers; messages have a route */
    ZSOCKET_DEALER, /* one peer; no route */
    ZSOCKET_PUB,    /* the route is the topic */
    ZSOCKET_SUB,    /* the route is the topic */
};

/* Borrowed bytes. */
struct zframe {
    const void *data;
    size_t size;
};

struct zsocket {
    enum zsocket_type type;
    void *handle; /* NULL: closed */
    /* A client's: whether a peer that speaks ZeroMQ is connected now. */
    bool connected;
    bool reached; /* a client's: somebody listened there once, whatever he speaks */

    /* A message came; `route` is NULL for a DEALER. May close the socket and open it again,
     * not free it. NULL: messages are dropped. */
    void (*on_message)(struct zsocket *zsocket, const struct zframe *route,
                       const struct zframe *body);
    /* A stranger: a handshake failed, or a message had the wrong shape; `what` says so in
     * words. A client whose handshake failed stays without a connection: make a new socket
     * after a while. NULL: not of interest. May close the socket, and open it again. */
    void (*on_trouble)(struct zsocket *zsocket, const char *what);
    /* A client's: `connected` has changed. NULL: not of interest. */
    void (*on_connection)(struct zsocket *zsocket);
    void *data;

    /* What follows is the socket's own. */
    struct ev_loop *loop;
    void *monitor;
    int wait_fd, monitor_fd;
    ev_io readable, monitor_readable;
    ev_prepare prepare;
    ev_check check;
    ev_idle idle;
};

/* The context that all sockets of a process share; one I/O thread. Never inherited over a
 * fork. It raises the limit of descriptors. zcontext_destroy() (NULL is fine) comes after
 * all sockets are closed, and waits only for those that still linger. */
void *zcontext_new(void);
void zcontext_destroy(void *context);

/* Makes a socket that is neither bound nor connected. 0; or -1 (no descriptors left ...)
 * and it is closed. The callbacks and data were filled in before. Messages over
 * WIRE_SIZE_MAX are refused by it (the peer is disconnected). */
int zsocket_open(struct zsocket *zsocket, void *context, struct ev_loop *loop,
                 enum zsocket_type type, struct error *err);

/* Binds; a socket file of an ipc endpoint is for this user only, and takes the place of
 * one where nobody listens any more. `ret_endpoint` gets the endpoint with a port for "*"
 * (its host may still be "0.0.0.0" or "[::]": see endpoint_as_seen()), which the caller
 * frees. -1: `err` says what is in the way; errno is then EADDRINUSE where someone else is
 * bound there. */
int zsocket_bind(struct zsocket *zsocket, const char *endpoint, char **ret_endpoint,
                 struct error *err);

/* Connects, now or whenever a peer appears, and again when it was gone. -1: the endpoint
 * is none that one can connect to. */
int zsocket_connect(struct zsocket *zsocket, const char *endpoint, struct error *err);

/* A SUB: all topics that begin with `topic`. */
void zsocket_subscribe(struct zsocket *zsocket, const char *topic);

/* Sends one message; `route` is NULL for a DEALER, whose messages wait for the peer if it
 * is not there yet. 0; or -1: it was dropped, since the peer is gone, or takes nothing now
 * and too many wait, or since it is over WIRE_SIZE_MAX. What a PUB's subscriber is too slow
 * for is dropped in silence. */
int zsocket_send(struct zsocket *zsocket, const struct zframe *route,
                 const struct buffer *body);

/* What was sent is still delivered for up to `linger_ms`, in the background. Twice is
 * fine. */
void zsocket_close(struct zsocket *zsocket, int linger_ms);

#endif
