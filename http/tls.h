/* http/tls.h - TLS for the direct transport: whom to trust, whom to resume with, and how
 * OpenSSL gets at the bytes.
 *
 * As strict as libcurl: chain and name (or address) of the certificate are verified unless
 * the exchange says otherwise; the authorities are those of $SSL_CERT_FILE, else of the
 * system. Protocol versions and ciphers are those of the system's OpenSSL settings. */
#ifndef HTTP_TLS_H
#define HTTP_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "http/target.h"

/* What the connections of a process share; authorities are read when first needed. */
struct tls;

struct tls *tls_new(void);
void tls_destroy(struct tls *tls); /* no connection left; NULL: nothing */

/* Where OpenSSL reads and writes: a socket, through memory that the connection has for as
 * long as it handles an event. Part of a connection; all zero but for fd at first. */
struct tls_stream {
    int fd;
    int error_number;   /* of the socket; 0: none */
    bool ended;         /* the socket has: no more bytes will come */
    bool refused_anew;  /* the server asked to negotiate anew, which was refused */
    bool was_read;      /* the socket, since memory was lent: that is done once */
    bool was_full;      /* the memory, after that: the socket may have more */
    char *lent;         /* NULL: none now */
    size_t lent_size;   /* of it */
    size_t from, until; /* bytes in it that OpenSSL has not taken yet */
};

/* How one connection is to be secured. */
struct tls_terms {
    const struct target *target; /* whose name is asked for and verified */
    bool verify;
    bool offer_http2;     /* by ALPN, before http/1.1 */
    SSL_SESSION *resumed; /* an earlier one to resume; NULL: none. Borrowed */
    /* A session came that can be resumed: the callee's own, to free. */
    void (*on_session)(void *data, SSL_SESSION *session);
    void *data;
};

/* A client's side over `stream`, which outlives it; freed with SSL_free(). NULL: it cannot
 * be made, and `ret_detail` (static, or the last error's words until the next call) says
 * why. `terms` is borrowed as long as it lives. */
SSL *tls_connect(struct tls *tls, struct tls_stream *stream,
                 const struct tls_terms *terms, const char **ret_detail);

/* The stream may fill this memory once from the socket. OpenSSL is to be called until it
 * asks for more, which leaves nothing in it; then the memory is taken back. */
void tls_stream_lend(struct tls_stream *stream, char *memory, size_t size);
void tls_stream_take_back(struct tls_stream *stream);

static inline bool tls_stream_has_bytes(const struct tls_stream *stream)
{
    return stream->from < stream->until;
}

/* Why the last call on `ssl` failed, in words: those of the certificate's verification,
 * or of OpenSSL. Valid until the next call of this function or the next. */
const char *tls_describe_failure(const SSL *ssl, bool *ret_is_certificate);

/* How the stream, or what OpenSSL made of it, broke; valid as long. */
const char *tls_describe_break(const struct tls_stream *stream);

#endif
