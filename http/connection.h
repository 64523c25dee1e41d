/* http/connection.h - bytes to and from one server, over tcp, TLS or a unix socket.
 *
 * CLOSED   -> OPENING  connection_open(): name, addresses in turn, TLS handshake
 * OPENING  -> OPEN     on_open()
 * OPENING  -> CLOSED   on_failed()
 * OPEN     -> CLOSED   connection_close(), by whoever has it
 *
 * It knows nothing of HTTP. While it is open the loop watches for bytes to read, and
 * nothing is changed about that for a request: that is why one costs no system call but a
 * write and a read. */
#ifndef HTTP_CONNECTION_H
#define HTTP_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <ev.h>

#include "http/names.h"
#include "http/origin.h"
#include "http/tls.h"

#define LENT_SIZE ((size_t)64 << 10)

/* What the connections of a process share. */
struct network {
    struct ev_loop *loop;
    struct names *names;
    struct tls *tls;          /* NULL: not needed yet */
    char received[LENT_SIZE]; /* lent to whoever reads now */
    /* The same, of what TLS carried: a part of a record may have come before. */
    char decrypted[LENT_SIZE + SSL3_RT_MAX_PLAIN_LENGTH];
};

struct connection;

/* How long each step of opening took: clock_us(), 0 for one that did not happen. */
struct connection_times {
    uint64_t asked_us, known_us, connected_us, secured_us;
    bool looked_up; /* the name had to be waited for */
};

struct connection_events {
    void (*on_open)(struct connection *connection,
                    const struct connection_times *times);

    /* It is closed. `failure` is in words that group, `detail` says more, or is NULL; both
     * are borrowed. `error_number` is that of the last connect(), 0 when that was not the
     * cause; `failure` is NULL then. */
    void (*on_failed)(struct connection *connection,
                      const struct connection_times *times, int error_number,
                      const char *failure, const char *detail);

    void (*on_readable)(struct connection *connection);
    void (*on_writable)(
        struct connection *connection); /* as long as it was asked for */
};

enum connection_state { CONNECTION_CLOSED, CONNECTION_OPENING, CONNECTION_OPEN };

/* Part of whatever has it. */
struct connection {
    ev_io io;
    struct network *network;
    const struct connection_events *events;
    enum connection_state state;
    bool verify, offer_http2;
    struct origin *origin;  /* held, also once it is closed; NULL: never opened */
    SSL_SESSION *resumable; /* the newest TLS session there; NULL: none */
    struct dial *dial;      /* while it is opening */
    int awaited;            /* bytes: see connection_await_bytes() */
    struct secure *secure;  /* NULL: no TLS */
};

void connection_init(struct connection *connection, struct network *network,
                     const struct connection_events *events);
void connection_clear(struct connection *connection); /* closes it, if need be */

/* Begins to open it; one of the first two events follows, never from within this call. It
 * must be closed. One that was open to the same origin resumes its TLS session. */
void connection_open(struct connection *connection, struct origin *origin, bool verify,
                     bool offer_http2);
void connection_close(
    struct connection *connection); /* no event follows; twice is fine */

/* How far it has come while it is opening; NULL at any other time. */
const struct connection_times *connection_times(const struct connection *connection);

/* Whether the server chose HTTP/2, which was offered. */
bool connection_chose_http2(const struct connection *connection);

/* Writes as much as the socket takes now: how many bytes that were, 0 when it takes none;
 * -1: the connection is broken, see connection_why_broken(). */
ssize_t connection_send(struct connection *connection, const struct iovec *pieces,
                        size_t count);

/* on_writable() comes as soon as the socket takes more bytes. */
void connection_await_writable(struct connection *connection, bool wanted);

/* on_readable() comes when so many bytes are there, at least one, or the end of them. Until
 * the next call; one that changes nothing is free. Of a socket that cannot tell (a unix
 * socket) it comes sooner. */
void connection_await_bytes(struct connection *connection, int bytes);

enum received {
    RECEIVED_BYTES,      /* there may be more */
    RECEIVED_LAST,       /* bytes, and nothing more now */
    RECEIVED_BEFORE_END, /* bytes; what follows is known already, and no event tells it */
    RECEIVED_NOTHING,    /* now */
    /* With the last three no more bytes will come. */
    RECEIVED_END, /* the server has closed its side, as it should */
    RECEIVED_CUT, /* it has without TLS's word of farewell: perhaps somebody else did */
    RECEIVED_ERROR, /* the connection is broken: connection_why_broken() */
};

/* Reads once; `ret_data` is lent until the next call on any connection. */
enum received connection_receive(struct connection *connection, const char **ret_data,
                                 size_t *ret_size);

/* In words, right after a call that says that it is. Borrowed. */
const char *connection_why_broken(const struct connection *connection);

/* Whether it is still open and silent, as far as the kernel knows. */
bool connection_is_quiet(const struct connection *connection);

#endif
