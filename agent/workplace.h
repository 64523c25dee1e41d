/* agent/workplace.h - the directory of one agent, and of nobody else: WORK, named after
 * its process.
 *
 * The kernel frees the lock in it when the agent dies, however that happens; the next
 * agent that starts removes what it left. */
#ifndef AGENT_WORKPLACE_H
#define AGENT_WORKPLACE_H

#include "agent/remover.h"
#include "base/error.h"
#include "base/pidlock.h"

struct workplace {
    char *path;
    struct pidlock lock;
    struct remover *remover;
};

/* Makes it, in the first of this user's directories from which code may be loaded, and
 * lets `remover`, which is borrowed, remove those of agents that are dead. -1: nothing is
 * left behind. */
int workplace_open(struct workplace *place, struct remover *remover, struct error *err);

/* Lets the remover remove it with all that is in it; twice is fine. */
void workplace_close(struct workplace *place);

#endif
