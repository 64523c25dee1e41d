/* http/transport.h - what carries HTTP requests.
 *
 * To add one: write http/NAME.c with a transport_type; crew_open() chooses. A transport never follows a redirect and never repeats
 * a request by itself: one exchange is at most one request on the wire. */
#ifndef HTTP_TRANSPORT_H
#define HTTP_TRANSPORT_H

#include <ev.h>

#include "http/exchange.h"

struct transport;      /* one for each process */
struct transport_user; /* one virtual user's connections and cookies */

struct transport_type {
    const char *name;

    struct transport *(*new)(struct ev_loop *loop);
    void (*destroy)(struct transport *transport); /* no user left */

    struct transport_user *(*user_new)(struct transport *transport);
    void (*user_destroy)(struct transport_user *user); /* no exchange under way */

    /* Begins; ends in exchange->on_done(). */
    void (*start)(struct transport_user *user, struct exchange *exchange);

    /* Ends it now, as not complete, without calling on_done(). What was measured until
     * then is filled in. */
    void (*cancel)(struct exchange *exchange);
};

extern const struct transport_type transport_curl;

#endif
