/* agent/agent.h - offers this host to a broker, until it is told to end.
 *
 * It has one run at a time, and holds its results until the broker has them; one that is
 * to leave with its broker waits only so long for that. The user's code is in the slave, a
 * process of its own: nothing of it can hold this loop. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "base/error.h"

struct agent_options {
    const char *broker; /* the endpoint of its frontend */
    const char *name;
    /* Leaves with the broker, or this long after it was last heard of, whatever runs or is
     * held here then; 0: never. */
    double leave_after_s;
};

/* 0: it was told to end, and all results are delivered; or -1: it cannot work here, the
 * broker does not take it, or results are lost. */
int agent_run(const struct agent_options *options, struct error *err);

#endif
