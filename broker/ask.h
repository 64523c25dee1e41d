/* broker/ask.h - is there a broker? */
#ifndef BROKER_ASK_H
#define BROKER_ASK_H

#include <stdint.h>

#include "base/error.h"

/* Asks a broker's frontend (as the broker was told it: tcp://0.0.0.0:PORT is this host's)
 * for its pid and waits up to `timeout_s` for the answer. 0; or -1, and `err` says that
 * there seems to be none, or what it answered instead. */
int ask_pid(const char *endpoint, double timeout_s, uint64_t *ret_pid,
            struct error *err);

#endif
