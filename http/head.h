/* http/head.h - the heads of requests, as bytes, prepared once where they do not change.
 *
 * A process keeps the last HEADS_KEPT different ones: a call site that asks for the same
 * URL with the same headers again costs a look into a table. What changes with each
 * request (cookies, the length of a body) is written behind it. With each there is the head
 * of an answer to it, up to 4 KiB (seen_head.h). */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buffer.h"
#include "http/exchange.h"
#include "http/origin.h"
#include "http/seen_head.h"

enum { HEADS_KEPT = 1024 };

struct head {
    struct buffer key;            /* what it was made of: see head.c */
    size_t url_size, method_size; /* of the first two texts in it, with their NUL */
    bool keeps_body;              /* the exchange does */
    struct buffer bytes;          /* with its empty line */
    struct origin *origin;        /* where it is to be sent; held; NULL: not in use */
    bool has_length, has_type;    /* the script's own headers say so */
    bool closes;                  /* they ask the server to close the connection */
    struct seen_head last_answer; /* for answer.c, which looks it up and renews it */
};

/* All zero is empty. */
struct heads {
    struct head *kept[HEADS_KEPT];
    struct head large; /* the last one that is too large to be kept with the others */
    struct origins origins;
    struct buffer scratch; /* a request that is put together from parts */
};

void heads_clear(struct heads *heads); /* also the origins: nobody holds any */

/* The head of a request to exchange->url; what it says is borrowed until the next call, its
 * address stays. NULL: it cannot be sent, and `ret_failure` says why. `guess`: what was
 * found before, which may be right again; NULL: nothing. */
struct head *heads_find(struct heads *heads, const struct exchange *exchange,
                        struct head *guess, const char **ret_failure);

/* The whole request as at most two pieces of memory, borrowed until the next call.
 * Returns their number. */
size_t heads_put_together(struct heads *heads, const struct head *head,
                          const struct exchange *exchange, struct iovec ret_pieces[2]);

#endif
