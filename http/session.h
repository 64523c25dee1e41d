/* http/session.h - a virtual user's way to the service: requests, redirects, cookies,
 * answers.
 *
 * The session follows redirects itself, hop by hop, on every transport, and records each
 * hop in the stats: so a hit is defined here and nowhere else (design.md, "A hit"). It
 * keeps the cookies, too, from one request to the next. A URL may lead to a unix socket
 * (target.h); a redirect from there leads elsewhere only where it says so. */
#ifndef HTTP_SESSION_H
#define HTTP_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "http/transport.h"
#include "http/url_cache.h"
#include "stats/stats.h"

#define REDIRECTS_MAX 10u
#define REQUEST_TIMEOUT_S 300.0
#define REQUEST_TIMEOUT_MAX_S 86400.0

struct session;
struct response;

/* What the sessions of a process have in common. The caller fills in the first part, and
 * zeroes the rest; session_context_clear() frees that. */
struct session_context {
    struct transport *transport;
    const struct transport_type *transport_type;
    struct stats *stats;

    /* Told of each hop sent, and of each last answer; NULL: nobody listens. */
    void (*on_sending)(struct session *session, const struct exchange *exchange);
    void (*on_answer)(struct session *session, const struct exchange *exchange,
                      const struct response *response);

    /* What follows is session.c's. */
    struct arena_pool arenas;
    struct url_cache urls;
};

void session_context_clear(struct session_context *context); /* no session is left */

/* Copied by session_new(). */
struct session_options {
    const char *base_url; /* absolute; NULL: relative URLs are refused */
    header_lines headers; /* of every request; NULL: none */
    double timeout_s;     /* of a request without its own */
    bool verify;          /* certificates */
};

#define SESSION_OPTIONS_INIT \
    ((struct session_options){.timeout_s = REQUEST_TIMEOUT_S, .verify = true})

struct request {
    const char *method;
    const char *url;          /* absolute, or relative to the base URL */
    const char *name;         /* its label; NULL: the URL without query and user */
    header_lines headers;     /* NULL: none */
    const char *content_type; /* of the body, unless a header says so */
    const void *body;         /* NULL: none */
    size_t body_size;
    double timeout_s; /* all hops together; 0: the session's */
    bool follow;      /* redirects */
    bool keep_body;
};

/* Lives until session_release(). */
struct response {
    const char *failure; /* NULL: the answer is complete; else why it is not, in words
                            that are the same for the same cause and label */
    const char *detail;  /* more about this one failure; NULL: nothing */
    bool cancelled;      /* by session_cancel() */
    const char *label;   /* "GET /orders": of the last hop */
    int status;          /* 0: no answer */
    const char *reason;
    const char *url;  /* of the last hop */
    const char *head; /* lines "Name: value\n" */
    size_t head_size;
    const char *body; /* NUL-terminated */
    size_t body_size;
    uint64_t elapsed_us;
    unsigned redirects;
};

/* Called from the loop, never from within session_send(). */
typedef void (*response_callback)(struct session *session, struct response *response,
                                  void *data);

/* 0, and the caller destroys the session; -1: an option is not right. `context` outlives
 * it. */
int session_new(struct session_context *context, const struct session_options *options,
                void *owner, struct session **ret_session, struct error *err);
void session_destroy(struct session *session); /* cancels what is under way */
void *session_owner(const struct session *session);

/* Sends a request; `request` and what it points to are borrowed until `on_response`.
 * One at a time: until then nothing else may be sent. 0; or -1, `err` says what is wrong
 * with the request itself, and nothing was begun. */
int session_send(struct session *session, const struct request *request,
                 response_callback on_response, void *data, struct error *err);

/* Ends the request under way, if there is one, now: `on_response` is called with
 * `cancelled` before this returns. */
void session_cancel(struct session *session);

/* Frees all responses and whatever else is in the arena: the run is over. */
void session_release(struct session *session);
struct arena *session_arena(struct session *session);

/* The value of the first header of that name, in any case; NULL: none. Its length in
 * `ret_length`, since it is not NUL-terminated. */
const char *response_header(const struct response *response, const char *name,
                            size_t *ret_length);

#endif
