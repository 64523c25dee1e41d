/* base/pidlock.h - one process at a time: a locked file that names its holder.
 *
 * A second bind on an ipc path succeeds and takes the path over, so a lock must be held
 * for each. The kernel releases it when the holder dies, however that happens; a forked
 * child holds it, too, until it executes a program or closes `fd`. */
#ifndef BASE_PIDLOCK_H
#define BASE_PIDLOCK_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct pidlock {
    int fd; /* -1: not held */
    char *path;
};

/* Locks the file `path` (made, if it is not there) and writes this process's pid in it.
 * 0; or -1: `*ret_holder` is the pid of who has it, or 0 where it is not known or where
 * the file itself is the trouble, and `err` says so in words. `ret_holder` may be NULL. */
int pidlock_take(struct pidlock *lock, const char *path, pid_t *ret_holder,
                 struct error *err);

/* The same, and waits for it as long as `timeout_s`. */
int pidlock_wait(struct pidlock *lock, const char *path, double timeout_s,
                 struct error *err);

void pidlock_release(struct pidlock *lock); /* removes the file; not held is fine */

#endif
