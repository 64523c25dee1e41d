/* engine/slave.h - `molotov-runner --slave`: the process that holds the user's code.
 *
 * It has one descriptor to its parent (a runner here, an agent on a cluster) and one of
 * the black box; it loads the test, sets it up, says READY, and runs it on START. It
 * ends when the run is over, when its parent dies, or when the channel closes, and takes
 * its process group along. */
#ifndef ENGINE_SLAVE_H
#define ENGINE_SLAVE_H

#define SLAVE_CHANNEL_FD 3
#define SLAVE_BLACKBOX_FD 4

/* Returns the exit status of the program. */
int slave_main(void);

#endif
