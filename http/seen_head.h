/* http/seen_head.h - the head of an answer that came before, and what it was read as.
 *
 * A service answers a request with the same head again and again, but for the Date, once a
 * second. What a head says depends on nothing but its bytes: so an answer that begins with
 * the very bytes of one that was accepted before need not be read line by line. Each
 * prepared request (head.h) has the head that it was answered with last. */
#ifndef HTTP_SEEN_HEAD_H
#define HTTP_SEEN_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "http/exchange.h"

#define SEEN_HEAD_MAX 2048 /* bytes as they came; a larger one is read each time */

/* Heads that all differ, as by the id of a request, are not worth a copy each. */
#define SEEN_HEAD_TRIES 4u
#define SEEN_HEAD_RETRY 16u

/* All zero is none. */
struct seen_head {
    struct buffer text; /* as it came, from the status line to the empty line ... */
    size_t size;
    size_t lines_size; /* ... then its lines, as in exchange->head; then the reason */
    int status;
    struct head_facts facts;
    unsigned misses; /* since it was given */

    /* answer.c's: what it says of the body and of the connection. */
    bool is_chunked, keep_alive;
};

void seen_head_clear(struct seen_head *seen);

/* Whether the bytes, which begin with a status line, begin with all of this head. */
bool seen_head_is_at(const struct seen_head *seen, const char *data, size_t size);

/* Takes a head in place of the one before: its bytes as they came, which the exchange has
 * just accepted; the caller then sets what is answer.c's. False, and nothing is taken: it is
 * too large, or SEEN_HEAD_TRIES heads were taken and did not come again; then one in
 * SEEN_HEAD_RETRY is. */
bool seen_head_take(struct seen_head *seen, const char *data, size_t size,
                    const struct exchange *exchange);

/* Gives it to an exchange, as if each of its lines had come. */
void seen_head_give(struct seen_head *seen, struct exchange *exchange);

#endif
