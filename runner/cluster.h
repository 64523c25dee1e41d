/* runner/cluster.h - the cluster of this machine, which starts by itself.
 *
 * A broker on the default endpoints, and agents; each in a session of its own, with its
 * log in the run directory. They leave when nobody has used them for a while. They are
 * children of this process for as long as it lives, but are not waited for: it gives up
 * SIGCHLD. */
#ifndef RUNNER_CLUSTER_H
#define RUNNER_CLUSTER_H

#include "base/error.h"
#include "base/pidlock.h"
#include "runner/client.h"

/* Where no broker answers at the default endpoint, starts one, and as many agents as are
 * missing until `agents` of them are free; where one answers that was started like this,
 * only the agents. A broker that somebody else started is left as it is.
 *
 * 0: `ret_lock` is held, so that nobody else counts on the same free agents, until the
 * caller releases it; or -1: `err` says what did not start, and where its log is. */
int cluster_ensure(const struct frontend *frontend, unsigned long agents,
                   long leave_after, struct pidlock *ret_lock, struct error *err);

/* Starts a broker again where the one that was started like this has died; it goes on with
 * what it finds in the store, and its agents come back to it by themselves. 1: it answers;
 * 0: there was nothing to do, or another runner does it; or -1. Waits for it some seconds
 * at most. */
int cluster_revive(const struct frontend *frontend, long leave_after,
                   struct error *err);

#endif
