/* http/url.h - a URL as seen from another one: where a relative one, or a redirect, leads.
 *
 * What begins with the same origin_length (target.h) bytes is sent to the same place: so a
 * reference to a path, as nearly all are, is put behind them as it stands. */
#ifndef HTTP_URL_H
#define HTTP_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

/* `reference` as seen from the absolute URL `base`, whose origin has that length; in the
 * arena. NULL: it is no URL.
 *
 * A service on a unix socket believes to be "localhost", and says so where it tells the
 * whole URL of something of its own: that is the socket's, then. No other reference leads
 * to a socket. */
const char *url_resolve(struct arena *arena, const char *base, size_t origin_length,
                        const char *reference);

/* Whether both are of the same scheme, host and port. */
bool url_same_origin(const char *left, const char *right);

#endif
