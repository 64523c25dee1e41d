/* tests/differential/script.h - what the scripted server answers one request with: which
 * bytes, cut where, and what becomes of the connection. */
#ifndef DIFFERENTIAL_SCRIPT_H
#define DIFFERENTIAL_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

#define CUTS_MAX 8u

enum ending { /* of the connection, after the last byte */
              ENDING_KEPT,
              ENDING_CLOSED,
              ENDING_RESET, /* on tcp: a unix socket knows no such end */
              ENDING_COUNT,
};

struct script {
    const char *name; /* what it was made of */
    const char *method;
    struct buffer bytes;
    bool on_kept; /* the connection has carried a request before */
    bool on_unix; /* else on tcp */
    /* The pieces in which it is sent: each is read by the client before the next comes. */
    bool cut_everywhere;
    size_t cuts[CUTS_MAX], cut_count; /* ascending */
    enum ending ending;
    bool ends_at_once; /* together with the last piece */
};

/* Where the piece that begins at `from` ends. */
size_t script_piece_end(const struct script *script, size_t from);

/* All that tells it from others, on several lines; what is not printable is escaped. */
void script_print(const struct script *script);

#endif
