/* engine/busy_poll.h - a loop that asks again for a moment before it sleeps.
 *
 * A client that is faster than the service runs out of answers every few requests. Each time
 * it sleeps then, the service pays for waking it (an interrupt to another core, on a virtual
 * machine by way of its host), and so answers fewer requests: the faster the client, the more
 * often. Most of these answers are only microseconds away. So a loop that finds nothing may
 * ask again, without waiting, for a share of the time that it has worked. That is its credit:
 *
 *     saving    it works and sleeps, and earns, until its credit is full;
 *     spending  it does not sleep: each silence (turns without an event, one after the other)
 *               is paid for, but for its first turn, in which any loop would ask; until no
 *               credit is left, or one lasted too long.
 *
 * After one that lasted too long it does not spend for one turn, then for 2, 4 ... until an
 * event (a timer's, too) ends a silence in time; and it does not while others want the core.
 * So a loop that has little to do, whose answers take long, or whose core is not its own,
 * polls next to nothing, and no loop longer than its share. All work must come from events of
 * the loop: other work that is done in a turn is taken for silence.
 *
 * Kernels do the same for sockets (SO_BUSY_POLL) and before a virtual core halts (haltpoll),
 * whose limits that grow and shrink gave the idea; what it gains is in bench/README.md. */
#ifndef ENGINE_BUSY_POLL_H
#define ENGINE_BUSY_POLL_H

#include <stdbool.h>
#include <stdint.h>

#include <ev.h>

/* Of the time worked, one part in so many may be polled. */
#define BUSY_POLL_SHARE 3u
/* The most that may be polled at one time, without earning more meanwhile. */
#define BUSY_POLL_CREDIT_US 200u
#define BUSY_POLL_SILENCE_MAX_US 50u
#define BUSY_POLL_REST_TURNS_MAX 1024u
/* Who loses the core once in so long, or more often, shares it: a scheduler's slices are a few
 * milliseconds, while threads of the kernel take it for a moment about 50 times a second. */
#define BUSY_POLL_SLICE_US 10000u
#define BUSY_POLL_LOOK_US 100000u /* how often that is looked at */

/* Its fields are busy_poll.c's own. */
struct busy_poll {
    struct ev_loop *loop;

    /* Active while it saves ... */
    ev_check after_wait;
    ev_prepare before_wait;
    /* ... and while it spends: libev calls it in a turn that found no event. */
    ev_idle nothing_came;

    uint64_t credit_us; /* worked, and not yet paid with */
    uint64_t since_us;  /* until when all is earned or paid */

    bool was_silent;          /* spending: there was a silence */
    unsigned silent_turn;     /* the last turn of the loop that was */
    uint64_t silent_since_us; /* when that silence began */

    unsigned rest_turns;      /* to go without spending */
    unsigned next_rest_turns; /* after the next that is too long */

    bool shared;        /* the core, when that was last looked at, */
    uint64_t looked_us; /* which was then ... */
    long preemptions;   /* ... and so often it had been taken from this thread */
};

/* Saves from now on. As long as it is started, its watchers keep the loop running. */
void busy_poll_start(struct busy_poll *poll, struct ev_loop *loop);
void busy_poll_stop(struct busy_poll *poll);

#endif
