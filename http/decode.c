/* http/decode.c - compression undone by zlib, libbrotlidec and libzstd.
 *
 * A decoder undoes one coding, and hands what it makes to the decoder after it, or to
 * put(). What it makes at a time fits on the stack, so that whoever takes it decides how
 * much of a body that unpacks to gigabytes there is.
 *
 * FRESH  -> INSIDE  the first byte came: a body without any is whole as it is
 * INSIDE -> AT_END  the library says so
 * AT_END -> INSIDE  more bytes came: another member of gzip, or frame of zstd, begins;
 *                   after any other coding they break the data */
#include "http/decode.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ZLIB_CONST /* its input is not written to */
#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

#include "base/memory.h"
#include "base/text.h"

enum {
    OUT_SIZE = 8 << 10,
    GZIP = 16,            /* of zlib's window bits: expects the head of gzip */
    ZSTD_WINDOW_LOG = 23, /* 8 MiB, which is what this coding may ask for (RFC 9659) */
    ZLIB_HEAD = 2,
};

/* Between two decoders: the last one may make nothing of whatever the first unpacks, and
 * put() would never see how much that is. */
#define BETWEEN_MAX ((size_t)64 << 20)

enum decoder_state { FRESH, INSIDE, AT_END };

struct decoder {
    const struct coding *coding;
    struct decoder *next; /* takes what this one makes; NULL: put() does */
    enum decoder_state state;
    size_t handed_on; /* to the next one */
    z_stream zlib;
    unsigned char head[ZLIB_HEAD]; /* of deflate: tells whether it is zlib's */
    size_t head_size;
    BrotliDecoderState *brotli;
    ZSTD_DStream *zstd;
};

/* What is still to be decoded, and the room for what is made of it. */
struct piece {
    const unsigned char *in;
    size_t in_left;
    unsigned char *out;
    size_t out_left;
};

struct coding {
    const char *name;
    void (*begin)(struct decoder *decoder);
    /* Until there is no more input, no more room, or the end, which it notes. -1: the data
     * is broken. */
    int (*decode)(struct decoder *decoder, struct piece *piece);
    void (*restart)(struct decoder *decoder); /* NULL: nothing may follow */
    void (*end)(struct decoder *decoder);
};

/* --- gzip and deflate ----------------------------------------------------------------- */

static void begin_zlib(struct decoder *decoder, int window_bits)
{
    if (inflateInit2(&decoder->zlib, window_bits) != Z_OK)
        abort(); /* small and fixed: dies like xmalloc() */
}

static unsigned clamp(size_t size)
{
    return size < UINT_MAX ? (unsigned)size : UINT_MAX;
}

static int decode_zlib(struct decoder *decoder, struct piece *piece)
{
    z_stream *const zlib = &decoder->zlib;
    const unsigned in = clamp(piece->in_left), out = clamp(piece->out_left);
    int rc;

    zlib->next_in = piece->in;
    zlib->avail_in = in;
    zlib->next_out = piece->out;
    zlib->avail_out = out;
    rc = inflate(zlib, Z_NO_FLUSH);
    piece->in += in - zlib->avail_in;
    piece->in_left -= in - zlib->avail_in;
    piece->out += out - zlib->avail_out;
    piece->out_left -= out - zlib->avail_out;
    if (rc == Z_STREAM_END)
        decoder->state = AT_END;
    /* Z_BUF_ERROR: all had come out already. */
    return rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR ? 0 : -1;
}

static void end_zlib(struct decoder *decoder)
{
    inflateEnd(&decoder->zlib); /* refuses one that never began */
}

static void begin_gzip(struct decoder *decoder)
{
    begin_zlib(decoder, MAX_WBITS + GZIP);
}

static void restart_gzip(struct decoder *decoder)
{
    inflateReset(&decoder->zlib);
}

static void begin_deflate(struct decoder *decoder)
{
    decoder->head_size = 0;
}

/* RFC 1950, 2.2. No encoder begins a bare deflate so: it would be a block that is not
 * compressed, with a bit set that means nothing. */
static bool is_zlib_head(const unsigned char head[ZLIB_HEAD])
{
    return (head[0] & 0x0F) == Z_DEFLATED && head[0] >> 4 <= 7 &&
           (head[0] << 8 | head[1]) % 31 == 0;
}

/* Takes the bytes that tell what it is, and decodes them. */
static int decode_deflate_head(struct decoder *decoder, struct piece *piece)
{
    struct piece head = {.in = decoder->head, .in_left = ZLIB_HEAD};
    int rc;

    while (decoder->head_size < ZLIB_HEAD && piece->in_left > 0) {
        decoder->head[decoder->head_size++] = *piece->in++;
        piece->in_left--;
    }
    if (decoder->head_size < ZLIB_HEAD)
        return 0;
    begin_zlib(decoder, is_zlib_head(decoder->head) ? MAX_WBITS : -MAX_WBITS);
    head.out = piece->out;
    head.out_left = piece->out_left;
    rc = decode_zlib(decoder, &head);
    piece->out = head.out;
    piece->out_left = head.out_left;
    return rc;
}

static int decode_deflate(struct decoder *decoder, struct piece *piece)
{
    return decoder->head_size < ZLIB_HEAD ? decode_deflate_head(decoder, piece)
                                          : decode_zlib(decoder, piece);
}

/* --- br ------------------------------------------------------------------------------- */

static void begin_brotli(struct decoder *decoder)
{
    decoder->brotli = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    if (decoder->brotli == NULL)
        abort(); /* small and fixed: dies like xmalloc() */
}

static int decode_brotli(struct decoder *decoder, struct piece *piece)
{
    const BrotliDecoderResult result =
        BrotliDecoderDecompressStream(decoder->brotli, &piece->in_left, &piece->in,
                                      &piece->out_left, &piece->out, NULL);

    if (result == BROTLI_DECODER_RESULT_SUCCESS)
        decoder->state = AT_END;
    return result != BROTLI_DECODER_RESULT_ERROR ? 0 : -1;
}

static void end_brotli(struct decoder *decoder)
{
    BrotliDecoderDestroyInstance(decoder->brotli);
}

/* --- zstd ----------------------------------------------------------------------------- */

static void begin_zstd(struct decoder *decoder)
{
    decoder->zstd = ZSTD_createDStream();
    if (decoder->zstd == NULL)
        abort(); /* small and fixed: dies like xmalloc() */
    ZSTD_DCtx_setParameter(decoder->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
}

static int decode_zstd(struct decoder *decoder, struct piece *piece)
{
    ZSTD_inBuffer in = {.src = piece->in, .size = piece->in_left};
    ZSTD_outBuffer out = {.dst = piece->out, .size = piece->out_left};
    const size_t rc = ZSTD_decompressStream(decoder->zstd, &out, &in);

    if (ZSTD_isError(rc))
        return -1;
    piece->in += in.pos;
    piece->in_left -= in.pos;
    piece->out += out.pos;
    piece->out_left -= out.pos;
    if (rc == 0)
        decoder->state = AT_END;
    return 0;
}

static void restart_zstd(struct decoder *decoder)
{
    (void)decoder; /* takes one frame after the other by itself */
}

static void end_zstd(struct decoder *decoder)
{
    ZSTD_freeDStream(decoder->zstd);
}

/* --- the codings ---------------------------------------------------------------------- */

static const struct coding codings[] = {
    {"gzip",    begin_gzip,    decode_zlib,    restart_gzip, end_zlib  },
    {"x-gzip",  begin_gzip,    decode_zlib,    restart_gzip, end_zlib  },
    {"deflate", begin_deflate, decode_deflate, NULL,         end_zlib  },
    {"br",      begin_brotli,  decode_brotli,  NULL,         end_brotli},
    {"zstd",    begin_zstd,    decode_zstd,    restart_zstd, end_zstd  },
};

static const struct coding *find_coding(const char *text, size_t length)
{
    for (size_t i = 0; i < ARRAY_SIZE(codings); i++) {
        if (text_is_word(text, length, codings[i].name))
            return &codings[i];
    }
    return NULL;
}

/* What was applied last is undone first. */
static struct decoder *put_in_front(const struct coding *coding, struct decoder *next)
{
    struct decoder *const decoder = xcalloc(1, sizeof(*decoder));

    decoder->coding = coding;
    decoder->next = next;
    coding->begin(decoder);
    return decoder;
}

enum decoder_choice decoder_new(const char *coding, size_t length,
                                struct decoder **ret_decoder)
{
    struct decoder *decoder = NULL;
    const char *element;
    size_t element_length;
    unsigned count = 0;

    while ((element = text_next_element(&coding, &length, &element_length)) != NULL) {
        const struct coding *const found = find_coding(element, element_length);

        if (element_length == 0 || text_is_word(element, element_length, "identity"))
            continue;
        if (found == NULL || count++ == DECODERS_MAX) {
            decoder_destroy(decoder);
            return DECODER_REFUSED;
        }
        decoder = put_in_front(found, decoder);
    }
    if (decoder == NULL)
        return DECODER_NONE;
    *ret_decoder = decoder;
    return DECODER_MADE;
}

void decoder_destroy(struct decoder *decoder)
{
    while (decoder != NULL) {
        struct decoder *const next = decoder->next;

        decoder->coding->end(decoder);
        free(decoder);
        decoder = next;
    }
}

/* --- decoding ------------------------------------------------------------------------- */

/* -1: nothing may follow. */
static int go_inside(struct decoder *decoder)
{
    if (decoder->state == AT_END) {
        if (decoder->coding->restart == NULL)
            return -1;
        decoder->coding->restart(decoder);
    }
    decoder->state = INSIDE;
    return 0;
}

static int hand_on(struct decoder *decoder, const void *data, size_t size,
                   int (*put)(void *user, const char *data, size_t size), void *user)
{
    decoder->handed_on += size;
    return decoder->handed_on <= BETWEEN_MAX
               ? decoder_feed(decoder->next, data, size, put, user)
               : -2;
}

int decoder_feed(struct decoder *decoder, const void *data, size_t size,
                 int (*put)(void *user, const char *data, size_t size), void *user)
{
    unsigned char out[OUT_SIZE];
    struct piece piece = {.in = data, .in_left = size, .out_left = OUT_SIZE};

    /* Where it has filled the room, there may be more. */
    while (piece.in_left > 0 || (piece.out_left == 0 && decoder->state == INSIDE)) {
        size_t made;
        int rc = 0;

        piece.out = out;
        piece.out_left = OUT_SIZE;
        if (go_inside(decoder) == -1 || decoder->coding->decode(decoder, &piece) == -1)
            return -2;
        made = OUT_SIZE - piece.out_left;
        if (made > 0)
            rc = decoder->next != NULL ? hand_on(decoder, out, made, put, user)
                                       : put(user, (const char *)out, made);
        if (rc != 0)
            return rc;
    }
    return 0;
}

bool decoder_is_at_end(const struct decoder *decoder)
{
    for (; decoder != NULL; decoder = decoder->next) {
        if (decoder->state == INSIDE)
            return false;
    }
    return true;
}
