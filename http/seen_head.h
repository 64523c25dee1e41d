/* http/seen_head.h - the head of an answer that came before, and what it was read as.
 *
 * A service answers a request with the same head again and again, but for the Date, which
 * changes once a second. What a head says depends on nothing but its bytes: so an answer that
 * begins with the very bytes of one that was accepted before need not be read line by line.
 * Each prepared request (head.h) keeps one of the heads that it was answered with: the last
 * one, of those that seen_head_keep() takes. */
#ifndef HTTP_SEEN_HEAD_H
#define HTTP_SEEN_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "http/exchange.h"

#define SEEN_HEAD_MAX 2048 /* bytes as they came; a larger one is read each time */

/* Heads that all differ, as by the id of a request, are not worth a copy each: the first so
 * many are kept, and then, until one comes again, each 16th. */
#define SEEN_HEAD_TRIES 4u
#define SEEN_HEAD_RETRY 16u

/* All zero is none. */
struct seen_head {
    struct buffer
        text;        /* as it came, with its empty line; its lines as in exchange->head,
                           facts.lines_size bytes; and its reason */
    size_t raw_size; /* of the first of these; 0: there is none */
    int status;
    struct head_facts facts;
    unsigned misses; /* heads that came since it was replayed, or since the first */

    /* answer.c's: what it says of the body and of the connection. */
    bool is_chunked, keep_alive;
};

void seen_head_clear(struct seen_head *seen);

/* Whether the bytes begin with all of this head. */
bool seen_head_is_at(const struct seen_head *seen, const char *data, size_t size);

/* Keeps a head in place of the one before: its bytes as they came, which the exchange has
 * just accepted, and of whose body it has nothing yet. The caller then sets what is
 * answer.c's. False, and nothing is kept: it is too large, or not worth it. */
bool seen_head_keep(struct seen_head *seen, const char *data, size_t size,
                    const struct exchange *exchange);

/* The exchange gets it as if each of its lines had come. */
void seen_head_replay(struct seen_head *seen, struct exchange *exchange);

#endif
