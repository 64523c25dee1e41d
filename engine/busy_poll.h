/* engine/busy_poll.h - a loop that asks again for a moment before it sleeps.
 *
 * A client that is faster than the service runs out of answers every few requests. Each time
 * it sleeps then, the service pays for waking it (an interrupt to another core, on a virtual
 * machine by way of its host), and so answers fewer requests: the faster the client, the more
 * often. Most of these answers are only microseconds away. So the loop asks for events
 * without waiting, for a share of the time that it has worked; where nothing came within
 * that, it may sleep, and does not ask again so for one turn more, then for 2, 4 ... A loop
 * that has little to do, or whose core others want, thus polls for next to nothing.
 *
 * Kernels do the same for sockets (SO_BUSY_POLL) and before a virtual core halts (haltpoll),
 * whose limits that grow and shrink gave the idea; the figures are in bench/README.md. */
#ifndef ENGINE_BUSY_POLL_H
#define ENGINE_BUSY_POLL_H

#include <stdbool.h>
#include <stdint.h>

#include <ev.h>

#define BUSY_POLL_SHARE 5u /* of the time worked, one part in so many may be polled */
#define BUSY_POLL_MAX_US 200u /* that are saved up */
#define BUSY_POLL_MIN_US 2u   /* less is not worth a system call */
#define BUSY_POLL_RESTS_MAX 1024u

/* Its fields are busy_poll.c's own. */
struct busy_poll {
    struct ev_loop *loop;
    ev_idle
        silence; /* active: the loop does not sleep; called where a turn found nothing */
    ev_check turn; /* active: it may; called in each turn. One of the two is, always */
    uint64_t last_us;    /* when polling began, or `silence` was called last, */
    unsigned last_turn;  /* and in which turn of the loop */
    uint64_t credit_us;  /* that may still be polled */
    bool polled;         /* since it could sleep last */
    unsigned rests;      /* turns in which it may sleep, before it polls again, */
    unsigned next_rests; /* and after the next time that nothing came */
    long preemptions;    /* of this thread, as last seen */
};

/* Begins with the loop's next turn. The watchers do not keep the loop running. */
void busy_poll_start(struct busy_poll *poll, struct ev_loop *loop);
void busy_poll_stop(struct busy_poll *poll);

#endif
