/* http/decode.h - undoes the compression of a body, piece by piece.
 *
 * gzip and deflate (zlib; deflate with its zlib header or, as some servers send it,
 * without), br (brotli), zstd; several one after another are undone in their order, at most
 * DECODERS_MAX. A decoder lives as long as one answer. */
#ifndef HTTP_DECODE_H
#define HTTP_DECODE_H

#include <stdbool.h>
#include <stddef.h>

#define DECODERS_MAX 5u

struct decoder;

enum decoder_choice {
    DECODER_NONE,    /* the coding is "identity": nothing to undo */
    DECODER_MADE,    /* the caller destroys it */
    DECODER_REFUSED, /* a coding that nobody here knows, or more than DECODERS_MAX */
};

/* By the value of a Content-Encoding header (several headers are joined by ","). */
enum decoder_choice decoder_new(const char *coding, size_t length,
                                struct decoder **ret_decoder);
void decoder_destroy(struct decoder *decoder); /* NULL: nothing */

/* Hands decoded bytes to put(), which returns -1 to stop. 0; -1: put() stopped it; -2: the
 * data is broken. */
int decoder_feed(struct decoder *decoder, const void *data, size_t size,
                 int (*put)(void *user, const char *data, size_t size), void *user);

/* Whether the data has come to its end, as it must have when the body has. */
bool decoder_is_at_end(const struct decoder *decoder);

#endif
