/* http/names.h - the addresses of names, looked up once for a process, off the loop.
 *
 * A look-up is a getaddrinfo() in a thread (so it sees what the system sees: hosts file,
 * DNS, name-service modules), at most NAMES_THREADS at a time; whoever asks for the same
 * name meanwhile waits for the same one. An answer is kept for NAMES_KEPT_S, since
 * getaddrinfo() does not tell a TTL; a failure is not kept. An answer that has become old
 * is still given, once more, while a new one is being looked up, and stays where that
 * fails: a load does not stop with the name server. Addresses ("127.0.0.1", "::1") need no
 * thread. "localhost" and what ends with ".localhost" are the loopback where the system does
 * not know them. */
#ifndef HTTP_NAMES_H
#define HTTP_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ev.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define NAMES_KEPT_S 60
#define NAMES_THREADS 8u
#define NAMES_MAX 1000u   /* kept; more are looked up each time */
#define ADDRESSES_MAX 16u /* of one name; what is over is not used */

/* One that does not answer for so long is left for the next one, if there is one. */
#define ADDRESS_PATIENCE_S 2.0

struct names; /* one for each process */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6; /* the port is not set: the caller's */
};

/* Counted references: the loop's thread only. */
struct addresses {
    size_t holders;
    uint64_t version; /* differs for each look-up */
    size_t first;     /* the next connection begins here: see addresses_take_turn() */
    size_t count;     /* at least 1; in the order of getaddrinfo() (RFC 6724) */
    union address items[];
};

struct addresses *addresses_hold(struct addresses *addresses); /* the same */
void addresses_release(struct addresses *addresses);           /* NULL: nothing */

/* The index with which a new connection begins. Each takes the next one of those that have
 * the family of the best, so that all of a service's addresses are used. */
size_t addresses_take_turn(struct addresses *addresses);

struct names *names_new(struct ev_loop *loop);
void names_destroy(struct names *names); /* nobody waits */

/* One who waits. All zero but for on_known and data. */
struct name_wait {
    /* Called from the loop; `addresses` is borrowed, NULL: the name cannot be looked up,
     * and `why` says more (borrowed). */
    void (*on_known)(struct name_wait *wait, struct addresses *addresses,
                     const char *why);
    void *data;

    /* What follows is names.c's. */
    struct name *name; /* NULL: waits for nothing */
    struct name_wait *next, *previous;
};

/* The addresses of `host` (without brackets), borrowed until the loop goes on; or NULL, and
 * on_known() follows unless names_forget() is called. */
struct addresses *names_find(struct names *names, const char *host,
                             struct name_wait *wait);
void names_forget(struct name_wait *wait); /* waits no more; twice is fine */

/* Whether it is an address as it stands, which no look-up is needed for. */
bool names_is_address(const char *host);

#endif
