#include "http/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/memory.h"
#include "http/names.h"

struct tls {
    SSL_CTX *contexts[2]; /* that do not verify, and that do; NULL: not needed yet */
    BIO_METHOD *method;
};

/* --- the stream ----------------------------------------------------------------------- */

/* Reads what the socket has into the lent memory: as much as the kernel gives at once. */
static void read_socket(struct tls_stream *stream)
{
    ssize_t got;

    do
        got = recv(stream->fd, stream->lent, stream->lent_size, 0);
    while (got == -1 && errno == EINTR);
    stream->from = 0;
    stream->until = got > 0 ? (size_t)got : 0;
    stream->was_read = true;
    stream->was_full = got == (ssize_t)stream->lent_size;
    stream->ended |= got == 0;
    if (got == -1 && errno != EAGAIN)
        stream->error_number = errno;
}

static int on_bio_read(BIO *bio, char *data, size_t size, size_t *ret_size)
{
    struct tls_stream *const stream = BIO_get_data(bio);
    size_t taken;

    BIO_clear_retry_flags(bio);
    if (stream->lent != NULL && !stream->was_read)
        read_socket(stream);
    if (!tls_stream_has_bytes(stream)) {
        if (!stream->ended && stream->error_number == 0)
            BIO_set_retry_read(bio);
        return 0;
    }
    taken = stream->until - stream->from;
    if (taken > size)
        taken = size;
    memcpy(data, stream->lent + stream->from, taken);
    stream->from += taken;
    *ret_size = taken;
    return 1;
}

static int on_bio_write(BIO *bio, const char *data, size_t size, size_t *ret_size)
{
    struct tls_stream *const stream = BIO_get_data(bio);
    ssize_t put;

    BIO_clear_retry_flags(bio);
    do
        put = send(stream->fd, data, size, MSG_NOSIGNAL);
    while (put == -1 && errno == EINTR);
    if (put > 0) {
        *ret_size = (size_t)put;
        return 1;
    }
    if (put == -1 && errno == EAGAIN)
        BIO_set_retry_write(bio);
    else
        stream->error_number = errno;
    return 0;
}

static long on_bio_control(BIO *bio, int command, long number, void *pointer)
{
    const struct tls_stream *const stream = BIO_get_data(bio);

    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH: /* nothing is held back here */
        return 1;
    case BIO_CTRL_EOF:
        return stream->ended;
    default:
        return 0;
    }
}

void tls_stream_lend(struct tls_stream *stream, char *memory, size_t size)
{
    stream->lent = memory;
    stream->lent_size = size;
    stream->from = stream->until = 0;
    stream->was_read = stream->was_full = false;
}

void tls_stream_take_back(struct tls_stream *stream)
{
    stream->lent = NULL;
    stream->from = stream->until = 0;
}

/* --- contexts ------------------------------------------------------------------------- */

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    const struct tls_terms *const terms = SSL_get_app_data(ssl);

    terms->on_session(terms->data, session);
    return 1; /* the reference is theirs now */
}

/* Called for each step of a handshake, and for alerts; by no byte of a request. */
static void on_tls_event(const SSL *ssl, int what, int value)
{
    struct tls_stream *const stream = BIO_get_data(SSL_get_rbio(ssl));

    if (what == SSL_CB_WRITE_ALERT && (value & 0xFF) == SSL_AD_NO_RENEGOTIATION)
        stream->refused_anew = true;
}

/* And forgets it, with those that followed. */
static const char *last_error(void)
{
    static char text[256];
    const unsigned long code = ERR_peek_error();
    const char *const reason = ERR_reason_error_string(code);

    ERR_clear_error();
    if (ERR_SYSTEM_ERROR(code))
        return strerror(ERR_GET_REASON(code));
    if (reason != NULL)
        return reason;
    ERR_error_string_n(code, text, sizeof(text));
    return text;
}

/* NULL: the system has none of that kind. */
static const char *file_of_authorities(void)
{
    const char *const said = getenv(X509_get_default_cert_file_env());
    const char *const system = curl_version_info(CURLVERSION_NOW)->cainfo;

    if (said != NULL)
        return said;
    return system != NULL && access(system, F_OK) == 0 ? system : NULL;
}

/* One file with all of them, the one that libcurl reads: OpenSSL's own default would look
 * for each in a directory, too, in each handshake. */
static int load_authorities(SSL_CTX *context, const char **ret_detail)
{
    static char detail[512];
    const char *const file = file_of_authorities();

    /* An authority in the middle of a chain will do, as for libcurl. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context),
                                X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
    if (file == NULL)
        return SSL_CTX_set_default_verify_paths(context) == 1 ? 0 : -1;
    if (SSL_CTX_load_verify_file(context, file) == 1)
        return 0;
    snprintf(detail, sizeof(detail),
             "cannot read certificate authorities in '%.200s': %.200s", file,
             last_error());
    *ret_detail = detail;
    return -1;
}

static SSL_CTX *make_context(bool verify, const char **ret_detail)
{
    SSL_CTX *const context = SSL_CTX_new(TLS_client_method());

    if (context == NULL) {
        *ret_detail = last_error();
        return NULL;
    }
    /* An idle connection holds no record buffers, which are 34 KiB: that costs nothing that
     * could be measured, since malloc() gives the same memory to the next one. */
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* Nobody here has a certificate to show, which is what it is done for; and it would
     * need reading in the middle of writing. */
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_info_callback(context, on_tls_event);
    SSL_CTX_set_session_cache_mode(context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_new_session);
    SSL_CTX_set_verify(context, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    if (verify && load_authorities(context, ret_detail) == -1) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

/* One that could not be made is tried again for the next connection. */
static SSL_CTX *find_context(struct tls *tls, bool verify, const char **ret_detail)
{
    if (tls->contexts[verify] == NULL)
        tls->contexts[verify] = make_context(verify, ret_detail);
    return tls->contexts[verify];
}

struct tls *tls_new(void)
{
    struct tls *const tls = xcalloc(1, sizeof(*tls));

    tls->method =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "lent memory");
    if (tls->method == NULL)
        abort(); /* small and fixed: dies like xmalloc() */
    BIO_meth_set_read_ex(tls->method, on_bio_read);
    BIO_meth_set_write_ex(tls->method, on_bio_write);
    BIO_meth_set_ctrl(tls->method, on_bio_control);
    return tls;
}

void tls_destroy(struct tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->contexts[0]);
    SSL_CTX_free(tls->contexts[1]);
    BIO_meth_free(tls->method);
    free(tls);
}

/* --- one connection ------------------------------------------------------------------- */

/* The name that is told to the server and looked for in its certificate: without the dot at
 * its end, or the zone of an address. */
static char *name_of_host(const char *host)
{
    size_t length = strcspn(host, "%");

    if (length > 1 && host[length - 1] == '.')
        length--;
    return xstrndup(host, length);
}

static bool set_name(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *const rules = SSL_get0_param(ssl);

    X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(rules, name, 0) == 1 &&
           SSL_set_tlsext_host_name(ssl, name) == 1;
}

/* A name is told to the server (SNI), an address is not (RFC 6066, 3). */
static bool set_host(SSL *ssl, const char *host)
{
    char *const name = name_of_host(host);
    const bool is_set =
        names_is_address(name)
            ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1
            : set_name(ssl, name);

    free(name);
    return is_set;
}

static bool set_protocols(SSL *ssl, bool offer_http2)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1";
    const unsigned char *const offered = offer_http2 ? both : both + 3;

    return SSL_set_alpn_protos(ssl, offered,
                               (unsigned)(both + sizeof(both) - 1 - offered)) == 0;
}

static bool set_stream(SSL *ssl, const struct tls *tls, struct tls_stream *stream)
{
    BIO *const bio = BIO_new(tls->method);

    if (bio == NULL)
        return false;
    BIO_set_data(bio, stream);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    return true;
}

SSL *tls_connect(struct tls *tls, struct tls_stream *stream,
                 const struct tls_terms *terms, const char **ret_detail)
{
    SSL_CTX *const context = find_context(tls, terms->verify, ret_detail);
    SSL *ssl;

    if (context == NULL)
        return NULL;
    ssl = SSL_new(context);
    if (ssl == NULL || !set_host(ssl, terms->target->host) ||
        !set_protocols(ssl, terms->offer_http2) || !set_stream(ssl, tls, stream)) {
        *ret_detail = last_error();
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_app_data(ssl, (void *)(uintptr_t)(const void *)terms);
    if (terms->resumed != NULL)
        SSL_set_session(ssl, terms->resumed);
    SSL_set_connect_state(ssl);
    return ssl;
}

const char *tls_describe_failure(const SSL *ssl, bool *ret_is_certificate)
{
    const long verified = SSL_get_verify_result(ssl);
    const char *why;

    *ret_is_certificate =
        verified != X509_V_OK && SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE;
    why = last_error();
    return *ret_is_certificate ? X509_verify_cert_error_string(verified) : why;
}

/* A server that is refused is free to go on, or to end the connection as it likes. */
const char *tls_describe_break(const struct tls_stream *stream)
{
    const char *const why = ERR_peek_error() != 0 ? last_error() : strerror(EPROTO);

    if (stream->refused_anew)
        return "the server asked to negotiate TLS anew, which is refused";
    return stream->error_number != 0 ? strerror(stream->error_number) : why;
}
