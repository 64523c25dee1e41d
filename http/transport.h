/* http/transport.h - what carries HTTP requests.
 *
 * To add one: write http/NAME.c with a transport_type, list it in transport_types[], and its
 * name in job_transports[] (job/job.c), which is what --transport takes: the job, on a floor
 * below, cannot see the table here. test_transport.c compares the two.
 *
 * A transport never follows a redirect and keeps no cookies, which is the session's, and
 * decodes nothing, which is exchange.c's. One exchange is one request on the wire, with one
 * exception, the same on every transport, and counted (exchange.replaced). A connection that
 * was kept from an earlier request may have been closed by the server meanwhile; it is
 * replaced by another one
 *
 *   - whatever the method, when not a byte of the request was written: the connection was
 *     found closed before the write (or, by direct, with bytes on it that nobody asked
 *     for), or the write took none of it;
 *   - once, when the request was written, and the connection ended, closed or reset, before
 *     the first byte of an answer, and its method is idempotent (RFC 9110, 9.2.2: GET, HEAD,
 *     OPTIONS, TRACE, PUT, DELETE). The server has closed an idle connection while the
 *     request was on its way (RFC 9112, 9.3.1 and 9.5); browsers and libcurl do the same.
 *
 * So the first of the two writings is no hit: the answer's is. Any other request (a POST
 * that was written) fails with failure_kept_closed: the server may have done what it asked.
 * On a connection that is new nothing is ever written twice. */
#ifndef HTTP_TRANSPORT_H
#define HTTP_TRANSPORT_H

#include <ev.h>

#include "http/exchange.h"

#define USER_CONNECTIONS_MAX 16 /* that a user keeps while they rest */

struct names;
struct transport;      /* one for each process */
struct transport_user; /* one virtual user's connections */

struct transport_type {
    const char *name;

    /* `names` is borrowed, and outlives it: the process looks each name up once, whatever
     * transports it has. */
    struct transport *(*new)(struct ev_loop *loop, struct names *names);
    void (*destroy)(struct transport *transport); /* no user left */

    struct transport_user *(*user_new)(struct transport *transport);
    void (*user_destroy)(struct transport_user *user); /* no exchange under way */

    /* Begins; ends in exchange->on_done(). */
    void (*start)(struct transport_user *user, struct exchange *exchange);

    /* Ends it now, as not complete, without calling on_done(). What was measured until
     * then is filled in. */
    void (*cancel)(struct exchange *exchange);
};

extern const struct transport_type transport_curl;   /* everything, by libcurl */
extern const struct transport_type transport_direct; /* HTTP/1.1, by ourselves */
extern const struct transport_type transport_auto; /* direct where it can, else curl */

/* Ends with NULL; the first is the default. */
extern const struct transport_type *const transport_types[];

const struct transport_type *transport_find(const char *name); /* NULL: none */

/* Of which the second rule above speaks. */
bool transport_may_repeat(const char *method);

/* What is left of the exchange's time, at least 1 us; and what of that a connection may take
 * that is not made yet (look-up and handshakes included). Both begin when it was asked for. */
uint64_t transport_time_left_us(const struct exchange *exchange);
uint64_t transport_connect_time_left_us(const struct exchange *exchange);

#endif
