/* runner/follow.h - what a broker tells of one run, in order and without gaps, for ever.
 *
 * FINDING    asks PING until a PONG tells where to subscribe
 *   -> FOLLOWING  on PONG: subscribes, and asks SNAPSHOT for all that came before
 * FOLLOWING  takes each UPDATE that is the next one; on a gap, and where there was no
 *            news for a while, asks SNAPSHOT for what is missing
 *   -> FINDING    CLIENT_TRIES SNAPSHOTs were in vain: the broker is gone, and may come
 *                 back with another publisher
 *   -> over       on END_OF_RUN, which has all figures, or REFUSED
 *
 * Nothing else ends it: a broker may be away as long as it likes. */
#ifndef RUNNER_FOLLOW_H
#define RUNNER_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#include <ev.h>

#include "proto/cluster.h"
#include "runner/client.h"

/* A run that goes on has news twice a second. */
#define FOLLOW_QUIET_S 2.0

struct follow {
    /* Filled in by the owner. */
    struct ev_loop *loop;
    void *context;
    const char *endpoint; /* of the broker's frontend */
    const char *run;
    double
        quiet_s; /* how long it goes without news: FOLLOW_QUIET_S, or less in a test */

    /* All that is new since the last call; or, where `replaces`, all that there is. The
     * update is borrowed. */
    void (*on_news)(struct follow *follow, const struct message_update *update,
                    bool replaces);
    /* The run is over, and this is all of it. The last call. */
    void (*on_end)(struct follow *follow, const struct message_update *end);
    /* The broker does not know the run, or our version. The last call. */
    void (*on_refused)(struct follow *follow, const char *why);
    /* The broker does not answer any more, or does again. */
    void (*on_contact)(struct follow *follow, bool there);
    void *owner;

    /* What follows is its own. */
    struct client client;
    struct zsocket publisher; /* closed: FINDING */
    ev_timer quiet;           /* no news for too long */
    uint64_t revision;        /* up to which all was told */
    uint64_t asked_after;     /* of the SNAPSHOT under way */
    bool begun;               /* the first SNAPSHOT was answered */
    bool is_temporary; /* the broker, as its PONG said: a runner has started it */
    bool lost;         /* on_contact(false) was called last */
};

/* 0; or -1, and nothing is left behind. */
int follow_start(struct follow *follow, struct error *err);
void follow_stop(struct follow *follow); /* not started, and twice, is fine */

#endif
