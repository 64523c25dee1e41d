/* scenario/blackbox.h - what each process was doing, for when it cannot tell any more.
 *
 * A shared mapping that the slave's parent makes: a process notes which scenario's code
 * it is about to run, and whoever finds it dead reads that. It holds numbers, not
 * pointers; a reader checks them, since user code may have written over them. */
#ifndef SCENARIO_BLACKBOX_H
#define SCENARIO_BLACKBOX_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "scenario/test.h"

struct blackbox;

/* What runs, of one process. Zero: none of the user's code. */
struct blackbox_slot {
    uint32_t scenario; /* its number + 1 */
    uint32_t fixture;  /* its number + 1 */
};

/* A descriptor of a new box for so many processes; the caller closes it. */
int blackbox_create(size_t processes, int *ret_fd, struct error *err);

/* Maps the box of a descriptor, which stays the caller's. */
int blackbox_map(int fd, size_t processes, struct blackbox **ret_box,
                 struct error *err);
void blackbox_unmap(struct blackbox *box);

/* Notes the names, so that a reader needs no test. */
void blackbox_set_names(struct blackbox *box, const struct test *test);

/* Each write of a process is seen by the readers: the mapping is shared. */
struct blackbox_slot *blackbox_slot(struct blackbox *box, size_t process);

/* The name of what the process was running, as a copy that the caller frees; NULL:
 * nothing of the user's. */
char *blackbox_running(const struct blackbox *box, size_t process);

#endif
