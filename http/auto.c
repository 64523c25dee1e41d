/* http/auto.c - the direct transport where it can, else libcurl.
 *
 * A request with a Transfer-Encoding of its own is libcurl's. Plain HTTP is direct. Over TLS
 * the server may choose HTTP/2, which only libcurl speaks, and says so in the handshake: so
 * the first exchange to a host of a process leads. It goes to the direct transport, which
 * offers both, and what is chosen holds for all that follow; those that come meanwhile wait.
 * A site is a host and its port, over TLS:
 *
 * UNDECIDED -> FOR_DIRECT  see_handshake(): the leader's request was written
 * UNDECIDED -> FOR_CURL    on_leader_done(): the server chose HTTP/2
 *
 * A leader that ends before either leaves the site undecided, and all that wait lead then:
 * whatever went wrong, each will see for itself, and none waits for another's failure. */
#include "http/transport.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"
#include "http/hash.h"
#include "http/target.h"

enum {
    SITES_MAX = 1000, /* what goes to others is for libcurl, which has it all */
    BUCKETS = 256,
};

enum choice { UNDECIDED, FOR_DIRECT, FOR_CURL };

/* In the order in which they came. */
struct guests {
    struct guest *first, *last;
};

struct site {
    struct site *next_of_bucket;
    struct site *next; /* of transport.undecided, as long as ... */
    bool is_watched;
    enum choice choice;
    struct guests leading, waiting;
    bool
        is_in_the_dark; /* a leader ended without a choice: nobody is to wait for others */
    size_t name_length;
    char name[]; /* "host:port", as the URL has it */
};

/* An exchange to a site that was undecided when it was asked for, in its arena. Until it is
 * another transport's as any other is, on_done() is ours. */
struct guest {
    struct exchange *exchange;
    struct transport_user *user;
    struct site *site;
    void (*on_done)(struct exchange *exchange); /* the session's */
    void *data;
    bool leads;                    /* else it waits */
    struct guest *next, *previous; /* of those that do the same */
    ev_timer timer;                /* while it waits */
};

struct transport {
    struct ev_loop *loop;
    struct names *names;
    struct transport *direct;
    struct transport *curl; /* NULL: not needed yet */
    struct site *buckets[BUCKETS];
    size_t site_count;
    struct site *undecided; /* that have a leader, or had one just now */
    ev_prepare prepare;     /* runs as long as there are any */
};

struct transport_user {
    struct transport *transport;
    struct transport_user *direct;
    struct transport_user *curl; /* NULL: not needed yet */
};

/* --- to the other transports ----------------------------------------------------------- */

static void start_direct(struct transport_user *user, struct exchange *exchange)
{
    exchange->carried_by = CARRIED_BY_DIRECT;
    transport_direct.start(user->direct, exchange);
}

static void start_curl(struct transport_user *user, struct exchange *exchange)
{
    struct transport *const transport = user->transport;

    if (transport->curl == NULL)
        transport->curl = transport_curl.new(transport->loop, transport->names);
    if (user->curl == NULL)
        user->curl = transport_curl.user_new(transport->curl);
    exchange->carried_by = CARRIED_BY_CURL;
    transport_curl.start(user->curl, exchange);
}

static void start_chosen(struct transport_user *user, struct exchange *exchange,
                         enum choice choice)
{
    if (choice == FOR_CURL)
        start_curl(user, exchange);
    else
        start_direct(user, exchange);
}

/* What the direct transport says of an exchange that it could not begin. */
static void forget_answer(struct exchange *exchange)
{
    exchange->chose_http2 = false;
    exchange->new_connection = false;
    exchange->replaced = false;
    exchange->failure = NULL;
    exchange->detail = NULL;
    memset(exchange->phase_happened, 0, sizeof(exchange->phase_happened));
}

/* --- those that wait -------------------------------------------------------------------- */

static void on_leader_done(struct exchange *exchange);

static struct guest *guest_new(struct transport_user *user, struct exchange *exchange,
                               struct site *site)
{
    struct guest *const guest = arena_alloc(exchange->arena, sizeof(*guest));

    *guest = (struct guest){
        .exchange = exchange,
        .user = user,
        .site = site,
        .on_done = exchange->on_done,
        .data = exchange->data,
    };
    exchange->on_done = on_leader_done;
    exchange->data = guest;
    return guest;
}

/* NULL: the exchange is another transport's alone. */
static struct guest *guest_of(const struct exchange *exchange)
{
    return exchange->on_done == on_leader_done ? exchange->data : NULL;
}

/* It is an exchange as any other again. */
static void guest_leave(struct guest *guest)
{
    struct exchange *const exchange = guest->exchange;

    exchange->on_done = guest->on_done;
    exchange->data = guest->data;
    exchange->offer_http2 = false;
}

static void append(struct guests *guests, struct guest *guest)
{
    guest->next = NULL;
    guest->previous = guests->last;
    if (guests->last != NULL)
        guests->last->next = guest;
    else
        guests->first = guest;
    guests->last = guest;
}

static void drop(struct guests *guests, struct guest *guest)
{
    if (guest->previous != NULL)
        guest->previous->next = guest->next;
    else
        guests->first = guest->next;
    if (guest->next != NULL)
        guest->next->previous = guest->previous;
    else
        guests->last = guest->previous;
}

static void stop_waiting(struct guest *guest)
{
    ev_timer_stop(guest->user->transport->loop, &guest->timer);
    drop(&guest->site->waiting, guest);
}

static void on_wait_timeout(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct guest *const guest = timer->data;
    struct exchange *const exchange = guest->exchange;

    (void)loop;
    (void)revents;
    stop_waiting(guest);
    guest_leave(guest);
    exchange->ended_us = clock_us();
    exchange->failure = failure_no_connection;
    exchange->on_done(exchange);
}

static void start_waiting(struct guest *guest)
{
    guest->exchange->carried_by = CARRIED_BY_DIRECT; /* if nobody has it in the end */
    append(&guest->site->waiting, guest);
    ev_init(&guest->timer, on_wait_timeout);
    guest->timer.data = guest;
    /* As long as for a connection: it waits for one. */
    loop_timer_start(guest->user->transport->loop, &guest->timer,
                     (double)transport_connect_time_left_us(guest->exchange) /
                         US_PER_S);
}

/* --- those that lead -------------------------------------------------------------------- */

static void lead(struct guest *guest)
{
    guest->leads = true;
    append(&guest->site->leading, guest);
    guest->exchange->offer_http2 = true;
    start_direct(guest->user, guest->exchange);
}

/* It leads no more, and the exchange is the session's again. */
static void stop_leading(struct guest *guest)
{
    struct site *const site = guest->site;
    const struct exchange *const exchange = guest->exchange;

    drop(&site->leading, guest);
    if (site->choice == UNDECIDED && exchange->chose_http2)
        site->choice = FOR_CURL;
    else if (site->choice == UNDECIDED && exchange->written)
        site->choice = FOR_DIRECT;
    site->is_in_the_dark = site->choice == UNDECIDED;
    guest_leave(guest);
}

static void on_leader_done(struct exchange *exchange)
{
    struct guest *const guest = exchange->data;

    stop_leading(guest);
    if (!exchange->chose_http2) {
        exchange->on_done(exchange);
        return;
    }
    forget_answer(exchange);
    start_curl(guest->user, exchange);
}

/* The answer may take its time: what is written was written as HTTP/1.1. */
static void see_handshakes(struct site *site)
{
    struct guest *next;

    for (struct guest *guest = site->leading.first; guest != NULL; guest = next) {
        next = guest->next;
        if (guest->exchange->written)
            stop_leading(guest);
    }
}

static void release_first(struct site *site)
{
    struct guest *const guest = site->waiting.first;

    stop_waiting(guest);
    if (site->choice == UNDECIDED) {
        lead(guest);
        return;
    }
    guest_leave(guest);
    start_chosen(guest->user, guest->exchange, site->choice);
}

/* True as long as somebody leads. */
static bool go_on(struct site *site)
{
    see_handshakes(site);
    while (site->waiting.first != NULL &&
           (site->choice != UNDECIDED || site->is_in_the_dark))
        release_first(site);
    site->is_in_the_dark = false;
    return site->leading.first != NULL;
}

/* Before the loop sleeps: not from within on_done() or a cancel, where all of a crew may be
 * about to end. */
static void on_prepare(struct ev_loop *loop, ev_prepare *watcher, int revents)
{
    struct transport *const transport = watcher->data;
    struct site **link = &transport->undecided;

    (void)revents;
    while (*link != NULL) {
        struct site *const site = *link;

        site->is_watched = go_on(site);
        if (site->is_watched)
            link = &site->next;
        else
            *link = site->next;
    }
    if (transport->undecided == NULL)
        ev_prepare_stop(loop, watcher);
}

/* --- sites ------------------------------------------------------------------------------ */

static const char *name_of_url(const char *url, size_t *ret_length)
{
    const size_t length = target_origin_length(url);
    const char *const at = memrchr(url, '@', length);
    const char *const name = at != NULL ? at + 1 : strstr(url, "://") + 3;

    *ret_length = (size_t)(url + length - name);
    return name;
}

static struct site *add_site(struct transport *transport, struct site **bucket,
                             const char *name, size_t length)
{
    struct site *const site = xcalloc(1, sizeof(*site) + length + 1);

    memcpy(site->name, name, length);
    site->name_length = length;
    site->next_of_bucket = *bucket;
    *bucket = site;
    transport->site_count++;
    return site;
}

/* NULL: there are too many. */
static struct site *find_site(struct transport *transport, const char *url)
{
    size_t length;
    const char *const name = name_of_url(url, &length);
    struct site **const bucket =
        &transport->buckets[hash_bytes(0, name, length) % BUCKETS];

    for (struct site *site = *bucket; site != NULL; site = site->next_of_bucket) {
        if (site->name_length == length && memcmp(site->name, name, length) == 0)
            return site;
    }
    if (transport->site_count == SITES_MAX)
        return NULL;
    return add_site(transport, bucket, name, length);
}

/* Nothing is known of it: somebody has to ask, and the others wait for that. */
static void ask(struct transport_user *user, struct exchange *exchange,
                struct site *site)
{
    struct transport *const transport = user->transport;
    struct guest *const guest = guest_new(user, exchange, site);

    if (site->leading.first == NULL)
        lead(guest);
    else
        start_waiting(guest);
    if (site->is_watched)
        return;
    site->is_watched = true;
    site->next = transport->undecided;
    transport->undecided = site;
    ev_prepare_start(transport->loop, &transport->prepare);
}

/* --- the transport ---------------------------------------------------------------------- */

/* A request that says itself how its body is coded for its way. */
static bool is_for_curl(const struct exchange *exchange)
{
    return exchange_own_line(exchange, "Transfer-Encoding") != NULL;
}

static bool is_tls(const char *url)
{
    const struct target_scheme *const scheme = target_scheme(url);

    return scheme != NULL && scheme->tls;
}

static void auto_start(struct transport_user *user, struct exchange *exchange)
{
    struct site *site;

    if (is_for_curl(exchange)) {
        start_curl(user, exchange);
        return;
    }
    if (!is_tls(exchange->url)) {
        start_direct(user, exchange);
        return;
    }
    site = find_site(user->transport, exchange->url);
    if (site == NULL)
        start_curl(user, exchange);
    else if (site->choice == UNDECIDED)
        ask(user, exchange, site);
    else
        start_chosen(user, exchange, site->choice);
}

static void cancel_guest(struct guest *guest)
{
    struct exchange *const exchange = guest->exchange;

    if (guest->leads) {
        transport_direct.cancel(exchange);
        stop_leading(guest);
        return;
    }
    stop_waiting(guest);
    guest_leave(guest);
    exchange->ended_us = clock_us();
    exchange->complete = false;
}

static void auto_cancel(struct exchange *exchange)
{
    struct guest *const guest = guest_of(exchange);

    if (guest != NULL)
        cancel_guest(guest);
    else if (exchange->carried_by == CARRIED_BY_CURL)
        transport_curl.cancel(exchange);
    else
        transport_direct.cancel(exchange);
}

static struct transport_user *auto_user_new(struct transport *transport)
{
    struct transport_user *const user = xcalloc(1, sizeof(*user));

    user->transport = transport;
    user->direct = transport_direct.user_new(transport->direct);
    return user;
}

static void auto_user_destroy(struct transport_user *user)
{
    if (user == NULL)
        return;
    transport_direct.user_destroy(user->direct);
    if (user->curl != NULL)
        transport_curl.user_destroy(user->curl);
    free(user);
}

static struct transport *auto_new(struct ev_loop *loop, struct names *names)
{
    struct transport *const transport = xcalloc(1, sizeof(*transport));

    transport->loop = loop;
    transport->names = names;
    transport->direct = transport_direct.new(loop, names);
    ev_prepare_init(&transport->prepare, on_prepare);
    ev_set_priority(&transport->prepare, EV_MAXPRI); /* before those of the others */
    transport->prepare.data = transport;
    return transport;
}

static void destroy_sites(struct site *site)
{
    while (site != NULL) {
        struct site *const next = site->next_of_bucket;

        free(site);
        site = next;
    }
}

static void auto_destroy(struct transport *transport)
{
    if (transport == NULL)
        return;
    ev_prepare_stop(transport->loop, &transport->prepare);
    transport_direct.destroy(transport->direct);
    if (transport->curl != NULL)
        transport_curl.destroy(transport->curl);
    for (size_t i = 0; i < BUCKETS; i++)
        destroy_sites(transport->buckets[i]);
    free(transport);
}

const struct transport_type transport_auto = {
    .name = "auto",
    .new = auto_new,
    .destroy = auto_destroy,
    .user_new = auto_user_new,
    .user_destroy = auto_user_destroy,
    .start = auto_start,
    .cancel = auto_cancel,
};
