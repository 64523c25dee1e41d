/* base/endpoint.h - where the programs of a cluster meet: ipc://PATH or tcp://HOST:PORT,
 * and this user's directories for sockets, logs and state. */
#ifndef BASE_ENDPOINT_H
#define BASE_ENDPOINT_H

#include <stdbool.h>

#include "base/error.h"

#define ENDPOINT_IPC_MAX 107u /* bytes of an ipc path, as the kernel takes them */

/* Whether a person's endpoint can be one: 0; or -1, and `err` says what is wrong with it
 * (`title` is how it is called there: "--broker"). An ipc path begins with '/'. The host
 * is an IPv4 address, a name (which is looked up as IPv4), either of the two for IPv6 in
 * brackets, or, for binding, "*"; the port may be "*" for binding: any that is free. */
int endpoint_check(const char *title, const char *endpoint, struct error *err);

/* The same of one to connect to, which names one host and one port: no "*", no port 0. */
int endpoint_check_target(const char *title, const char *endpoint, struct error *err);

/* The path of an ipc endpoint; NULL of others. */
const char *endpoint_ipc_path(const char *endpoint);

/* Whether it says IPv6: a tcp endpoint whose host is in brackets, or "*" (both kinds). */
bool endpoint_is_ipv6(const char *endpoint);

/* Whether it is a tcp endpoint whose host means all of this host's (0.0.0.0, [::], *):
 * nobody else can use it. */
bool endpoint_is_any_host(const char *endpoint);

/* An endpoint that a broker tells of, as seen by whoever reached the broker at `reached`:
 * a tcp host that means all of this host's (0.0.0.0, [::], *) becomes the host of
 * `reached`, and of an ipc one 127.0.0.1. The caller frees it. */
char *endpoint_as_seen(const char *advertised, const char *reached);

/* Whether it is certain without a wait that nobody listens there: an ipc path that does
 * not exist or refuses. A tcp endpoint is never certain. */
bool endpoint_is_dead(const char *endpoint);

/* The directory of this user's sockets and logs: /run/molotov where it belongs to this
 * user, else $XDG_RUNTIME_DIR/molotov, else /tmp/molotov-UID; made with mode 0700, and
 * its owner checked. The caller frees it. */
int run_directory(char **ret_path, struct error *err);

/* Where things are kept over a restart: $XDG_STATE_HOME/molotov, else
 * ~/.local/state/molotov, else the run directory. Made; the caller frees it. */
int state_directory(char **ret_path, struct error *err);

/* The default endpoints: of the frontend $MOLOTOV_BROKER, where that is set and not
 * empty; else ipc://RUN_DIRECTORY/NAME, with the names "frontend", "backend" and
 * "publisher". Checked; the caller frees it. */
int endpoint_default(const char *name, char **ret_endpoint, struct error *err);

#endif
