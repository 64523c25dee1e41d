/* agent/outbox.h - what an agent has to tell of its run, until the broker holds it.
 *
 * All that is told is merged into one REPORT. When that may go, it gets the next number
 * and is packed: at most PROTO_UNACKED_MAX numbers are made that the broker does not hold,
 * one for each half second of the run, unless something happened. Under one number the
 * same bytes go out always, so a broker that takes each number once, in order, has all of
 * it once, whatever is sent twice, lost, or cut.
 *
 * A REPORT is made as soon as a half second of the run is over. Counted from the one
 * before, a second would have one or two, since the slave tells five times a second: and
 * the rows of the run's series, a second each, would go up and down with a steady load.
 * What waits while the slave tells nothing more (it stalls), or nothing of the run yet (a
 * set-up that prints), may go OUTBOX_STALL_US after the REPORT before.
 *
 * No loop, no socket, no clock: `now_us` is the caller's. */
#ifndef AGENT_OUTBOX_H
#define AGENT_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "proto/cluster.h"

#define OUTBOX_PAUSE_US 500000u   /* of the run: a REPORT each, without events */
#define OUTBOX_STALL_US 1000000u  /* of our clock, where the run's stands still */
#define OUTBOX_REPEAT_US 1000000u /* between two answers to one and the same ACK */
#define OUTBOX_RESEND_US 3000000u /* without any ACK, before all is sent again */

/* How much of something there is. */
struct outbox_sums {
    uint64_t hits, runs;
};

struct outbox {
    message_run_id run;
    struct message_report waiting; /* has no number yet */
    bool urgent;                   /* something happened that is in it */
    uint64_t from_us, until_us;    /* of the last interval, also of an empty one */

    uint64_t made;              /* the last number; claimed by BEATs */
    uint64_t sent;              /* the last one sent on this connection */
    uint64_t held;              /* the last one that the broker holds for good */
    bool ended;                 /* `made` is the last REPORT of the run */
    uint64_t made_us, moved_us; /* when one was made; when `sent` or `held` changed */
    uint64_t made_until_us;     /* `until_us` then */

    /* The last ones made, number n at [n % PROTO_UNACKED_MAX]. They stay when they are
     * held: a broker may have lost what it held (a power cut). */
    struct buffer packed[PROTO_UNACKED_MAX];
    struct outbox_sums sums[PROTO_UNACKED_MAX]; /* what is in them */
    struct buffer filler; /* stands for one that is not kept any more */
    uint64_t given_up;    /* the last one that was told of as lost so */
};

void outbox_init(struct outbox *outbox, const char *run);
void outbox_clear(struct outbox *outbox);

/* --- what is told: all of it is copied ------------------------------------------------ */

void outbox_add_delta(struct outbox *outbox, const struct delta *delta);
/* Of several before the next REPORT the first one counts, but a failure counts more. */
void outbox_add_stopping(struct outbox *outbox, const char *why, bool failed);
void outbox_add_lost(struct outbox *outbox, const struct message_lost *lost);
/* Nothing comes after it. `failure`: NULL, or why that was no good end. */
void outbox_add_end(struct outbox *outbox, const char *failure);

/* --- what is sent ----------------------------------------------------------------------- */

/* The message to send next, borrowed until the outbox is called again; NULL: none may go
 * now. The same one comes again until outbox_mark_sent(). */
const struct buffer *outbox_next(struct outbox *outbox, uint64_t now_us);
void outbox_mark_sent(struct outbox *outbox, uint64_t now_us);

/* ACK: the broker holds all up to `held`. One that says nothing new is the answer to a
 * REPORT out of turn: all that is not held is sent again, but not for each of them. */
void outbox_take_ack(struct outbox *outbox, uint64_t held, uint64_t now_us);

/* A new connection: the broker holds all up to `held`, also where that is less than it
 * held before; what follows is sent again. */
void outbox_reconnect(struct outbox *outbox, uint64_t held, uint64_t now_us);

/* To be called now and then: whatever was lost on the way is sent again. */
void outbox_tick(struct outbox *outbox, uint64_t now_us);

/* The end of the run, and all before it, is held. */
bool outbox_is_delivered(const struct outbox *outbox);

/* What the broker does not hold, as far as it is known: what is lost when the agent ends
 * now. False: nothing. */
bool outbox_undelivered(const struct outbox *outbox, struct outbox_sums *ret_sums);

#endif
