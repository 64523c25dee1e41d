/* tests/differential/server.h - answers requests by scripts, on the loop of the clients.
 *
 * On one loop the order of events is certain: the server sends a piece only in a turn in
 * which nobody has anything else to do, so the client has read the one before. */
#ifndef DIFFERENTIAL_SERVER_H
#define DIFFERENTIAL_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include <ev.h>

#include "differential/script.h"

struct server;

/* Listens on loopback and on a unix socket; exits where that is not possible. */
struct server *server_new(struct ev_loop *loop);
void server_destroy(struct server *server);

const char *server_url(const struct server *server, bool on_unix);

/* All requests that come from now on are answered by `script`, which is borrowed. Where
 * the connection is kept, but the client waits for more than the script has, it is closed
 * as soon as both do nothing but wait. */
void server_expect(struct server *server, const struct script *script);

/* The client waits no more: connections that are kept, are. */
void server_client_is_served(struct server *server);

/* Whole requests that came since server_expect(). */
size_t server_requests(const struct server *server);

/* Whether all of the script is sent, and what was to end has ended. */
bool server_is_quiet(const struct server *server);

#endif
