/* http/exchange.h - one request on the wire and its answer: one hop.
 *
 * The session says what to ask, a transport carries it and fills in the answer and what
 * was measured, and the session makes a response and a row of the stats of it. */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "stats/stats.h"

#define ANSWER_HEAD_MAX ((size_t)64 << 10) /* bytes, all lines together */
#define ANSWER_LINES_MAX 100u
#define ANSWER_BODY_MAX \
    ((size_t)64 << 20) /* kept bytes, decoded; discarded: no limit */
#define CONNECT_TIMEOUT_S 30

/* Headers as lines "Name: value", ended by NULL. */
typedef const char *const *header_lines;

struct exchange {
    /* asked: borrowed until on_done() */
    const char *method;
    const char *url;           /* absolute */
    header_lines headers;      /* the request's own, stronger than ... */
    header_lines user_headers; /* ... the session's; either may be NULL */
    const char *content_type;  /* of the body, unless a header says so; NULL: none */
    const void *body;          /* NULL: none */
    size_t body_size;
    uint64_t timeout_us; /* for all of it; at least 1 ms */
    bool verify;         /* certificates */
    bool keep_body;      /* else it is counted and dropped */
    struct arena *arena; /* where the answer goes */

    /* Called once, from the loop, never from within transport_start(). */
    void (*on_done)(struct exchange *exchange);
    void *data;

    /* answered */
    bool written;  /* a byte of the request was: a hit */
    bool complete; /* the whole answer came */
    bool new_connection;
    int status; /* of the answer, 0 as long as there is none */
    char *head; /* its header lines "Name: value", each ended by '\n', in arena */
    size_t head_size;
    char *reason;    /* in arena */
    char *body_data; /* in arena, NUL-terminated; NULL: none */
    size_t body_length;
    const char *failure; /* why it is not complete: the same words for the same cause,
                            so that failures can be grouped; in arena */
    const char *detail;  /* more about this one; NULL: nothing; in arena */

    /* measured */
    uint64_t phases_us[PHASE_COUNT];
    bool phase_happened[PHASE_COUNT];
    uint64_t bytes_in, bytes_out;
    uint64_t ended_us; /* clock_us() of the last byte, or of the failure */

    void *carrier; /* the transport's own */
};

#endif
