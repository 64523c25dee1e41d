/* http/exchange.h - one request on the wire and its answer: one hop.
 *
 * The session says what to ask, a transport carries it and hands in what comes back by the
 * functions below, and the session makes a response and a row of the stats of it. What
 * limits an answer and how its body is decoded is written here once, for every transport;
 * so are the words of the failures that several of them can meet. */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "http/header.h"
#include "stats/stats.h"

#define ANSWER_HEAD_MAX ((size_t)64 << 10) /* bytes, all lines together */
#define ANSWER_LINES_MAX 100u
#define ANSWER_INTERIM_MAX 100u /* heads of a 1xx before the answer's own */
#define ANSWER_BODY_MAX \
    ((size_t)64 << 20) /* kept bytes, decoded; discarded: no limit */
#define CONNECT_TIMEOUT_S 30

/* What each request says unless a header of its own or of its session says otherwise; one
 * whose body is dropped says only the first: nobody will read what the others ask for, and
 * each header costs the service something to take in. */
#define DEFAULT_USER_AGENT "molotov/" MOLOTOV_VERSION
#define DEFAULT_ACCEPT "*/*"
#define DEFAULT_ACCEPT_ENCODING "gzip, deflate, br, zstd" /* what decode.h decodes */

struct decoder;

/* What the lines of a head say that matters to the exchange itself. */
struct head_facts {
    unsigned lines;       /* of the head and the trailer ... */
    size_t lines_size;    /* ... and their bytes, one for each line's end */
    unsigned codings;     /* lines Content-Encoding; 0, too, if they ask for nothing */
    unsigned cookies_set; /* lines Set-Cookie */
    bool has_length;      /* it has a Content-Length ... */
    uint64_t length;      /* ... which is this */
};

/* Which transport had it: each is also a counter of the stats. */
enum carrier_kind { CARRIED_BY_CURL, CARRIED_BY_DIRECT };

struct exchange {
    /* asked: borrowed until on_done() */
    const char *method;
    const char *url;           /* absolute */
    header_lines headers;      /* the request's own, stronger than ... */
    header_lines user_headers; /* ... the session's; either may be NULL */
    const char *cookies;       /* value of the Cookie header; NULL: none is sent */
    const char *content_type;  /* of the body, unless a header says so; NULL: none */
    const void *body;          /* NULL: none */
    size_t body_size;
    uint64_t started_us; /* clock_us() when it was asked for */
    uint64_t timeout_us; /* for all of it; at least 1 ms */
    bool verify;         /* certificates */
    bool keep_body;      /* else it is counted and dropped, and not decoded */
    bool offer_http2;    /* to the direct transport: see chose_http2 */
    struct arena *arena; /* where the answer goes */

    /* Called once, from the loop, never from within transport_start(). */
    void (*on_done)(struct exchange *exchange);
    void *data;

    /* answered */
    enum carrier_kind carried_by;
    bool written;  /* a byte of the request was: a hit */
    bool complete; /* the whole answer came */
    bool new_connection;
    /* The server had closed the kept connection, and another took its place, by the rules
     * of transport.h. */
    bool replaced;
    /* The server chose HTTP/2 in the TLS handshake, since it was offered; nothing was
     * written, and another transport can have the exchange as it is. */
    bool chose_http2;
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

    /* Of the head, as its lines come. */
    bool head_ended; /* well; a line that comes now is one of the trailer */
    struct head_facts facts;

    /* What follows is exchange.c's. */
    unsigned interim;        /* heads of a 1xx */
    struct decoder *decoder; /* from the body's first byte on; NULL: none is needed */
    size_t head_capacity, body_capacity;
};

/* What the script says of a header: the request's own line or else its session's. NULL:
 * nothing. */
const char *exchange_own_line(const struct exchange *exchange, const char *name);

/* --- for transports: what comes back -------------------------------------------------- */

/* The status line of an answer, also of a 1xx, whose head the next call forgets.
 *
 * In all of these the first failure stays: what fails later changes nothing of it. */
void exchange_begin_head(struct exchange *exchange, int status, const char *reason,
                         size_t reason_length);

/* One header line, without its line end, which is known to begin with a name and a colon.
 * After the end of the head it is one of the trailer, which is counted like the head and
 * then dropped: a trailer changes no header (RFC 9110, 6.5.1). -1: `failure` is set: the
 * head has grown too large, or its Content-Length is not one number. */
int exchange_add_line(struct exchange *exchange, const char *line, size_t length);

/* After exchange_begin_head(), in place of exchange_add_line() for each: all lines of a head,
 * each ended by '\n', facts->lines_size bytes, and what they say, as another exchange has
 * accepted them before. They are copied. */
void exchange_set_lines(struct exchange *exchange, const char *lines,
                        const struct head_facts *facts);

/* Bytes of a line, and one for its end, that exchange_add_line() still takes. */
static inline size_t exchange_head_room(const struct exchange *exchange)
{
    return ANSWER_HEAD_MAX - exchange->facts.lines_size;
}

/* The empty line came. -1: `failure` is set: it was one head of a 1xx too many. */
int exchange_end_head(struct exchange *exchange);

/* A piece of the body, its transfer coding undone; with the first one it turns out whether
 * it can be decoded. -1: `failure` is set: it is too large, or "the answer's compressed body
 * is broken", which is also said where nobody here undoes its Content-Encoding: `detail`
 * then names it. */
int exchange_add_body(struct exchange *exchange, const char *data, size_t size);

/* The body has ended: so must its compression. -1: `failure` is set. To be called, too,
 * (and ignored) when the exchange ends before its end: it frees the decoder. */
int exchange_end_body(struct exchange *exchange);

/* The value of the first header `name`, in any case, of the head so far; NULL: none. Not
 * NUL-terminated: its length in `ret_length`. */
const char *exchange_header(const struct exchange *exchange, const char *name,
                            size_t *ret_length);

/* The same from `*line` on, which becomes the line after it; `head_end` ends the lines. */
const char *exchange_next_header(const char **line, const char *head_end,
                                 const char *name, size_t *ret_length);

/* A phase that took from `from_us` until `until_us`; nothing where `until_us` is 0. */
void exchange_set_phase(struct exchange *exchange, enum stats_phase phase,
                        uint64_t from_us, uint64_t until_us);

/* --- for transports: words of failures that several of them can meet ---------------------- */

/* clang-format off */
extern const char failure_lookup[];        /* "the host's name cannot be looked up" */
extern const char failure_no_connection[]; /* "no connection within the time-out" */
extern const char failure_timeout[];       /* "no complete answer within the time-out" */
extern const char failure_no_answer[];     /* "the server closed the connection without ..." */
extern const char failure_kept_closed[];   /* "the server closed the kept connection ..." */
extern const char failure_cut_answer[];    /* "the answer ended before its end" */
extern const char failure_cut_head[];      /* "the answer ended within its head" */
extern const char failure_read[];          /* "the connection broke while the answer was read" */
extern const char failure_write[];         /* "... while the request was written" */
extern const char failure_tls[];           /* "the TLS handshake failed" */
extern const char failure_certificate[];   /* "... is not trusted (-k: do not verify)" */
extern const char failure_not_http[];      /* "the answer is not HTTP" */
extern const char failure_large_head[];    /* "the answer's head is over 64 KiB" */
extern const char failure_length[];        /* "the answer's Content-Length is not one number" */
extern const char failure_bad_url[];       /* "the URL is not valid" */
extern const char failure_scheme[];        /* "the answer, or the URL, is not HTTP" */
/* clang-format on */

/* "cannot connect: Connection refused", in the arena. */
const char *exchange_connect_failure(struct exchange *exchange, int error_number);

#endif
