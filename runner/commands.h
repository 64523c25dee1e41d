/* runner/commands.h - what the runner tells of a broker at once: short commands that run
 * no test. Each writes to standard output and returns an exit status. */
#ifndef RUNNER_COMMANDS_H
#define RUNNER_COMMANDS_H

#include <stdio.h>

#include "runner/client.h"

/* In the words and the layout of Loads. */
int command_ping(const struct frontend *frontend);

int command_list_runs(const struct frontend *frontend);

int command_stop(const struct frontend *frontend, const char *run);

/* A table of runs, to a file or stream; only those that are not over, where `active`.
 * False: there was none. */
bool command_write_runs(const struct message_runs *runs, bool active, FILE *to);

#endif
