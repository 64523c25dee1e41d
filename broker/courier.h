/* broker/courier.h - hands out the files of tests to the agents that lack them.
 *
 * What was sent stays in memory until the network has taken it. A thousand agents that
 * fetch a large file would be more than there is, so only COURIER_TRANSIT_MAX bytes are
 * on their way at a time, and the other agents wait in line. That a file arrived is seen
 * from what its agent does next; of one that stays silent it is assumed after
 * COURIER_PATIENCE ticks. */
#ifndef BROKER_COURIER_H
#define BROKER_COURIER_H

#include "broker/roster.h"
#include "broker/store.h"

#define COURIER_TRANSIT_MAX ((uint64_t)64 << 20)
#define COURIER_PATIENCE 10u

struct courier {
    struct store *store; /* borrowed */
    void (*send)(void *owner, const struct agent *agent, struct buffer *message);
    void *owner;

    /* What follows is the courier's own. */
    uint64_t in_transit; /* bytes; one file may be larger than what is left */
    struct agent_list waiting, sent;
};

void courier_init(struct courier *courier);

/* The agent, which has a run, wants this file: FILE or REFUSED is sent to it, sooner or
 * later. What is on its way already is not sent again. */
void courier_ask(struct courier *courier, struct agent *agent, const char *digest,
                 uint64_t size);

/* The agent has got all it wanted, or wants nothing any more. To be called before its
 * run ends. */
void courier_forget(struct courier *courier, struct agent *agent);

void courier_tick(struct courier *courier); /* each second */

#endif
