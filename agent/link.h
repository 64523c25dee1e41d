/* agent/link.h - an agent's line to its broker: finds it, registers, beats, and notices
 * when it is silent; then begins anew, for ever.
 *
 * Silence is counted in our own ticks, so an agent that was stopped for a while does not
 * take its broker for dead. It knows nothing of runs. */
#ifndef AGENT_LINK_H
#define AGENT_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include <ev.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/zsocket.h"
#include "proto/cluster.h"

#define LINK_PATIENCE \
    60u /* ticks of silence in which a large message may be on its way */

enum link_state {
    LINK_SEEKING,     /* asks PING on the frontend */
    LINK_REGISTERING, /* has said REGISTER on the backend */
    LINK_REGISTERED,
};

struct link {
    /* Filled in by the owner. */
    struct ev_loop *loop;
    void *context;
    const char *broker;          /* the endpoint of its frontend */
    struct message_register own; /* who we are; its claim is filled in by set_claim() */

    void (*set_claim)(struct link *link, struct agent_claim *ret_claim);
    void (*on_registered)(struct link *link, const struct message_ack *ack);
    /* Any other message of the broker's; `map` is borrowed. */
    void (*on_message)(struct link *link, enum proto_message message,
                       const msgpack_object *map);
    /* The broker does not want us, and has never taken us: it is of another version. Later
     * refusals are logged, and asked again. */
    void (*on_refused)(struct link *link, const char *why);
    void *owner;

    /* What follows is the link's own. */
    enum link_state state;
    struct zsocket frontend, backend;
    char
        *backend_endpoint; /* where the last broker that answered says that it is ... */
    uint64_t broker_pid;   /* ... and what process it is; NULL, 0: none has yet */
    unsigned silent;       /* ticks without anything from the broker */
    bool was_registered;
    char told[ERROR_SIZE]; /* the last trouble; "": none since it registered us */
    unsigned told_count;   /* in this tick: who sends rubbish can send any amount */
    bool explained;        /* it is known why the broker is silent */
    struct buffer message;
};

void link_open(struct link *link);

/* Each second (PROTO_BEAT_S). `patient`: a large message may be on its way to us. */
void link_tick(struct link *link, bool patient);

/* 0; or -1: not registered now, or the queue is full. */
int link_send(struct link *link, const struct buffer *message);

/* Logs what is wrong with the broker: not twice the same, and not much a second. */
void link_tell(struct link *link, const char *what);

/* The broker has said BYE: looks for the next. */
void link_restart(struct link *link);

/* Says BYE, where there is a broker, which gets up to `linger_ms` to take all that was
 * sent. */
void link_close(struct link *link, int linger_ms);

#endif
