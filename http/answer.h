/* http/answer.h - the answers of an HTTP/1.1 connection, read strictly, as they come in.
 *
 * The parser is fed with whatever the network brings, in pieces of any size, and gives the
 * same result however the bytes are cut. It keeps no bytes of its own but a line that is
 * cut in the middle, which it keeps in the exchange's arena, and a head in a seen_head; lines
 * and body go to the exchange (exchange_begin_head() and so on).
 *
 * Strict (RFC 9112): each line ends with CR LF; a bare CR, a bare LF or a NUL in a line, a
 * name that is no token, a blank before a colon or at the start of a line, a Transfer-
 * Encoding that is not exactly "chunked", or is in HTTP/1.0, or together with a Content-
 * Length, Content-Lengths that differ or are no number, and a 101, for which nobody asked,
 * are refused. What an answer holds that is read two ways is not known, and a load test
 * must say so. Other control codes in a value are kept as they are (RFC 9110, 5.5). A CR or
 * NUL in a header line is found when its head is whole, in one look over all of it: those
 * of a head that is cut, or refused, may have one. The trailer of a chunked body is read as
 * strictly, and dropped.
 *
 * A head that comes in one piece, in the very bytes of one that was accepted before, is not
 * read again: see seen_head.h. */
#ifndef HTTP_ANSWER_H
#define HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/exchange.h"
#include "http/seen_head.h"

enum answer_state { /* what is expected next */
                    ANSWER_STATUS_LINE,
                    ANSWER_HEADER_LINE,
                    ANSWER_BODY_OF_LENGTH, /* `left` bytes more */
                    ANSWER_BODY_UNTIL_CLOSE,
                    ANSWER_CHUNK_SIZE,
                    ANSWER_CHUNK, /* `left` bytes more */
                    ANSWER_CHUNK_END,
                    ANSWER_TRAILER_LINE,
                    ANSWER_COMPLETE,
                    ANSWER_REFUSED, /* exchange->failure says why */
};

struct answer {
    struct exchange *exchange; /* where it goes */
    struct seen_head *seen;    /* looked up, and renewed; NULL: each head is read */
    enum answer_state state;
    bool to_head;    /* of a HEAD: no body, whatever its head says */
    bool keep_alive; /* once complete: another request may follow */

    /* What follows is answer.c's. */
    bool is_http_1_0, is_chunked, says_close;
    /* Where the head began in the bytes that are fed now; NULL: in those before. */
    const char *head_data;
    uint64_t left;
    char *line; /* what has come of a line that is cut, in the arena */
    size_t line_size, line_capacity;
};

/* Before the first byte of the answer to `exchange`. `seen` is borrowed, or NULL. */
void answer_begin(struct answer *answer, struct exchange *exchange,
                  struct seen_head *seen);

/* Takes bytes, at least one; returns how many of them belong to this answer: less than
 * `size` only when the state is then ANSWER_COMPLETE. Ends the exchange's body when the
 * answer is over, whichever way. */
size_t answer_feed(struct answer *answer, const char *data, size_t size);

/* The connection has ended: completes an answer that lasts until then, and refuses any
 * other; one that is over stays as it is. */
void answer_end_of_input(struct answer *answer);

/* How many bytes are still to come, as far as that is known: of the body, or of a chunk. */
static inline uint64_t answer_bytes_left(const struct answer *answer)
{
    return answer->state == ANSWER_BODY_OF_LENGTH || answer->state == ANSWER_CHUNK
               ? answer->left
               : 0;
}

static inline bool answer_is_over(const struct answer *answer)
{
    return answer->state >= ANSWER_COMPLETE;
}

#endif
