/* agent/remover.h - removes folders of which nobody knows what is in them: a test can leave
 * millions of files, and a loop that unlinked those would miss its beats.
 *
 * A folder is renamed, which is done at once, to a name of this kind beside it; then a
 * process of its own removes it, which lives on when this one ends. */
#ifndef AGENT_REMOVER_H
#define AGENT_REMOVER_H

#include <stdbool.h>

#include <ev.h>

#define REMOVER_PREFIX "gone-"

struct remover {
    struct ev_loop *loop; /* filled in by the owner */

    /* What follows is the remover's own. */
    unsigned long last;    /* number of a name */
    struct removal *going; /* those whose process goes on */
};

/* On return nothing is at `path`, an absolute one. What is not there is fine; what cannot
 * be removed is logged, now or later. */
void remover_remove(struct remover *remover, const char *path);

/* The same of what was renamed by a remover before, and is still there. */
void remover_remove_gone(struct remover *remover, const char *path);

/* Whether all that it was told to remove is gone. */
bool remover_is_done(const struct remover *remover);

void remover_close(struct remover *remover); /* what goes on goes on by itself */

#endif
