/* agent/share.h - this agent's share of one run: its files, its slave, its results.
 *
 * Everything here can be told twice or too late: whoever tells compares what it wants
 * with what the share claims. */
#ifndef AGENT_SHARE_H
#define AGENT_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include <ev.h>

#include "agent/cache.h"
#include "agent/outbox.h"
#include "agent/remover.h"
#include "agent/tree.h"
#include "engine/supervisor.h"
#include "proto/cluster.h"

struct share;

/* What all shares of an agent have in common. */
struct share_host {
    struct ev_loop *loop;
    const char *program; /* that becomes the slave */
    const char *folder;  /* where runs have their directories */
    struct cache *cache;
    struct remover *remover;
    /* To the broker: 0; or -1: it cannot be sent now. */
    int (*send)(const struct share_host *host, const struct buffer *message);
    /* After share_release(): nothing of it is left, and it is freed on return. */
    void (*on_gone)(const struct share_host *host, struct share *share);
    void *owner;
};

enum share_step {
    SHARE_FETCHING,   /* puts the files in place, one a turn of the loop */
    SHARE_SETTING_UP, /* the slave loads the test; its global set-up */
    SHARE_READY,
    SHARE_RUNNING,
    SHARE_REFUSED, /* it cannot be, and says why until it is released */
    SHARE_ENDED,   /* there is nothing left to measure; perhaps to deliver */
};

struct share {
    const struct share_host *host;
    struct share *next; /* the owner's */
    struct message_prepare prepare;
    enum share_step step;
    bool stopping, forced; /* as it was told */
    bool leaving;          /* told by this agent's own end */
    bool released;
    char *failure; /* SHARE_REFUSED: why */

    struct tree tree;
    char *directory;   /* where the slave runs */
    size_t placed;     /* of the files */
    unsigned fetching; /* ticks until FETCH is sent again; 0: waits for none */
    ev_timer soon;

    struct supervisor supervisor;
    bool has_slave;
    struct outbox outbox;
    struct buffer message;
};

/* Begins to prepare what `prepare` says, and takes it over. */
struct share *share_new(const struct share_host *host, struct message_prepare *prepare);

/* The run that it is a share of. */
const char *share_run(const struct share *share);
void share_claim(const struct share *share, struct agent_claim *ret_claim);

/* --- what the broker tells ------------------------------------------------------------ */

void share_take_file(struct share *share, const struct message_file *file);
/* There is no such file, or the like. */
void share_take_refusal(struct share *share, const char *why);
void share_start(struct share *share);
void share_stop(struct share *share, bool force);
void share_take_ack(struct share *share, uint64_t held);
/* Ends at once whatever is left of it, and frees it, now or after the slave's death. */
void share_release(struct share *share);

/* --- what the agent tells ------------------------------------------------------------- */

/* There is a new connection to the broker, which holds all REPORTs up to `held`. */
void share_reconnect(struct share *share, uint64_t held);
void share_tick(struct share *share); /* each second */

/* The agent is about to end: so is the share. What is not started is refused. */
void share_leave(struct share *share, bool force);
/* Nothing is left to be told. */
bool share_is_delivered(const struct share *share);

#endif
