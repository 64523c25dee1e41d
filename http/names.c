/* http/names.c - look-ups in threads.
 *
 * The loop leaves what it wants to know at a desk, and threads bring the answers back to
 * it, one after the other, until there is nothing left to do; then they end. The desk is
 * all they share. Nobody waits for a thread: one that hangs in getaddrinfo() when the
 * names are destroyed finds the desk closed, if it ever comes back, and the last one
 * clears it away; the process may end meanwhile.
 *
 * Names, addresses and those who wait are the loop's alone, and need no lock. */
#include "http/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/text.h"
#include "http/hash.h"

enum {
    BUCKETS = 256,
    STACK_SIZE = 512 << 10, /* name-service modules are strangers */
    RETRY_S = 5,            /* where an old answer could not be renewed */
};

/* A question: the loop's, then a thread's, then, with an answer, the loop's again. */
struct lookup {
    struct lookup *next;
    struct name *name; /* the loop's: no thread looks there */
    bool renews;       /* there are old addresses */
    struct addresses *addresses;
    const char *why; /* there are none */
    char host[];
};

struct queue {
    struct lookup *first, *last;
};

struct desk {
    pthread_mutex_t lock; /* for all but `loop` and `data` of the watcher */
    struct queue asked, answered;
    size_t threads;
    bool closed; /* the loop will not come any more */
    struct ev_loop *loop;
    ev_async answer_watch; /* active while there is anything under way */
};

struct name {
    struct name *next; /* in its bucket */
    struct names *names;
    struct addresses *addresses; /* NULL: not known */
    uint64_t good_until_us;
    bool kept;                       /* it is one of NAMES_MAX */
    bool asked;                      /* a look-up is under way */
    struct name_wait *first, *last;  /* for the look-up */
    struct name_wait *still_to_tell; /* of the look-up that has just ended */
    char host[];
};

struct names {
    struct desk *desk;
    struct name *buckets[BUCKETS];
    size_t kept;      /* names that are */
    size_t under_way; /* look-ups */
    uint64_t version;
};

/* --- addresses ------------------------------------------------------------------------ */

struct addresses *addresses_hold(struct addresses *addresses)
{
    addresses->holders++;
    return addresses;
}

void addresses_release(struct addresses *addresses)
{
    if (addresses != NULL && --addresses->holders == 0)
        free(addresses);
}

size_t addresses_take_turn(struct addresses *addresses)
{
    const size_t turn = addresses->first;
    size_t next = turn;

    do
        next = (next + 1) % addresses->count;
    while (addresses->items[next].any.sa_family != addresses->items[0].any.sa_family);
    addresses->first = next;
    return turn;
}

static bool is_usable(const struct addrinfo *info)
{
    return (info->ai_family == AF_INET &&
            info->ai_addrlen == sizeof(struct sockaddr_in)) ||
           (info->ai_family == AF_INET6 &&
            info->ai_addrlen == sizeof(struct sockaddr_in6));
}

/* The first so many that can be used; NULL: there is none. */
static struct addresses *collect_addresses(const struct addrinfo *info)
{
    struct addresses *const addresses =
        xcalloc(1, sizeof(*addresses) + ADDRESSES_MAX * sizeof(addresses->items[0]));

    for (; info != NULL && addresses->count < ADDRESSES_MAX; info = info->ai_next) {
        if (is_usable(info))
            memcpy(&addresses->items[addresses->count++], info->ai_addr,
                   info->ai_addrlen);
    }
    addresses->holders = 1;
    if (addresses->count > 0)
        return addresses;
    free(addresses);
    return NULL;
}

/* Called from threads, too. `host` NULL: the loopback. NULL: `ret_why` says why there are
 * none. */
static struct addresses *resolve(const char *host, int flags, const char **ret_why)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    const char *const no_port = "0"; /* it takes a host, or a port, or both */
    struct addrinfo *info = NULL;
    int rc = host == NULL || strlen(host) < NI_MAXHOST
                 ? getaddrinfo(host, no_port, &hints, &info)
                 : EAI_NONAME; /* what its modules do is unknown */
    const int error_number = errno;
    struct addresses *addresses = NULL;

    if (rc == 0) {
        addresses = collect_addresses(info);
        freeaddrinfo(info);
        rc = EAI_NODATA;
    }
    if (addresses == NULL)
        *ret_why = rc == EAI_SYSTEM ? strerrordesc_np(error_number) : gai_strerror(rc);
    return addresses;
}

static bool is_localhost(const char *host)
{
    return strcmp(host, "localhost") == 0 || text_ends_with(host, ".localhost");
}

/* An address of this host counts as none to AI_ADDRCONFIG where it is that of the loopback:
 * "localhost" would lose its "::1" wherever there is no other IPv6 address. And "localhost"
 * and "*.localhost" are the loopback even if nothing in the system says so (RFC 6761, 6.3).
 * `renews`: there is an answer from before, which the loopback does not replace. */
static struct addresses *resolve_name(const char *host, bool renews,
                                      const char **ret_why)
{
    const bool is_local = is_localhost(host);
    struct addresses *const addresses =
        resolve(host, is_local ? 0 : AI_ADDRCONFIG, ret_why);

    if (addresses != NULL || !is_local || renews)
        return addresses;
    return resolve(NULL, 0, ret_why);
}

bool names_is_address(const char *host)
{
    struct in_addr v4;

    /* No name has a colon. */
    return strchr(host, ':') != NULL || inet_pton(AF_INET, host, &v4) == 1;
}

/* --- the desk, and the threads --------------------------------------------------------- */

static void queue_append(struct queue *queue, struct lookup *lookup)
{
    lookup->next = NULL;
    if (queue->last != NULL)
        queue->last->next = lookup;
    else
        queue->first = lookup;
    queue->last = lookup;
}

/* NULL: it is empty. */
static struct lookup *queue_take(struct queue *queue)
{
    struct lookup *const lookup = queue->first;

    if (lookup == NULL)
        return NULL;
    queue->first = lookup->next;
    if (queue->first == NULL)
        queue->last = NULL;
    return lookup;
}

static void lookup_destroy(struct lookup *lookup)
{
    addresses_release(lookup->addresses);
    free(lookup);
}

static void queue_clear(struct queue *queue)
{
    struct lookup *lookup;

    while ((lookup = queue_take(queue)) != NULL)
        lookup_destroy(lookup);
}

static void on_answers(struct ev_loop *loop, ev_async *watcher, int revents);

static struct desk *desk_new(struct ev_loop *loop, struct names *names)
{
    struct desk *const desk = xcalloc(1, sizeof(*desk));

    pthread_mutex_init(&desk->lock, NULL);
    desk->loop = loop;
    ev_async_init(&desk->answer_watch, on_answers);
    desk->answer_watch.data = names;
    /* The loop makes its descriptor with the first one, and dies where it cannot: by the
     * first look-up a script may have taken all there are. */
    ev_async_start(loop, &desk->answer_watch);
    ev_async_stop(loop, &desk->answer_watch);
    return desk;
}

static void desk_destroy(struct desk *desk)
{
    pthread_mutex_destroy(&desk->lock);
    free(desk);
}

/* The loop leaves: what nobody has begun with is forgotten. */
static void desk_close(struct desk *desk)
{
    bool unused;

    ev_async_stop(desk->loop, &desk->answer_watch);
    pthread_mutex_lock(&desk->lock);
    desk->closed = true;
    queue_clear(&desk->asked);
    queue_clear(&desk->answered);
    unused = desk->threads == 0;
    pthread_mutex_unlock(&desk->lock);
    if (unused)
        desk_destroy(desk);
}

/* NULL: there is nothing left to do, and the thread has left the desk. */
static struct lookup *desk_take_asked(struct desk *desk)
{
    struct lookup *lookup;
    bool unused = false;

    pthread_mutex_lock(&desk->lock);
    lookup = queue_take(&desk->asked);
    if (lookup == NULL)
        unused = --desk->threads == 0 && desk->closed;
    pthread_mutex_unlock(&desk->lock);
    if (unused)
        desk_destroy(desk);
    return lookup;
}

/* The lock is held. */
static void bring_answer(struct desk *desk, struct lookup *lookup)
{
    if (desk->closed) {
        lookup_destroy(lookup);
        return;
    }
    queue_append(&desk->answered, lookup);
    ev_async_send(desk->loop, &desk->answer_watch);
}

static void *look_up_names(void *data)
{
    struct desk *const desk = data;
    struct lookup *lookup;

    while ((lookup = desk_take_asked(desk)) != NULL) {
        lookup->addresses = resolve_name(lookup->host, lookup->renews, &lookup->why);
        pthread_mutex_lock(&desk->lock);
        bring_answer(desk, lookup);
        pthread_mutex_unlock(&desk->lock);
    }
    return NULL;
}

/* The thread takes no signals, which are for the loop, and is never joined. An errno. */
static int start_thread(struct desk *desk)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    int error_number;

    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error_number = pthread_create(&thread, &attributes, look_up_names, desk);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error_number;
}

/* The lock is held. Where no thread can be had, those that there are will do; and where
 * there are none, that is the answer. */
static void hire_thread(struct desk *desk)
{
    int error_number;

    if (desk->threads == NAMES_THREADS)
        return;
    error_number = start_thread(desk);
    if (error_number == 0)
        desk->threads++;
    else if (desk->threads == 0) {
        struct lookup *const lookup = queue_take(&desk->asked);

        lookup->why = strerrordesc_np(error_number);
        bring_answer(desk, lookup);
    }
}

static void desk_ask(struct desk *desk, struct lookup *lookup)
{
    pthread_mutex_lock(&desk->lock);
    queue_append(&desk->asked, lookup);
    hire_thread(desk);
    pthread_mutex_unlock(&desk->lock);
}

static struct queue desk_take_answers(struct desk *desk)
{
    struct queue answered;

    pthread_mutex_lock(&desk->lock);
    answered = desk->answered;
    desk->answered = (struct queue){.first = NULL};
    pthread_mutex_unlock(&desk->lock);
    return answered;
}

/* --- names ---------------------------------------------------------------------------- */

static struct name **bucket_of(struct names *names, const char *host)
{
    return &names->buckets[hash_text(0, host) % BUCKETS];
}

static struct name *find_or_add(struct names *names, const char *host)
{
    struct name **const bucket = bucket_of(names, host);
    const size_t size = strlen(host) + 1;
    struct name *name = *bucket;

    while (name != NULL && strcmp(name->host, host) != 0)
        name = name->next;
    if (name != NULL)
        return name;
    name = xcalloc(1, sizeof(*name) + size);
    memcpy(name->host, host, size);
    name->names = names;
    name->kept = names->kept < NAMES_MAX;
    names->kept += name->kept;
    name->next = *bucket;
    *bucket = name;
    return name;
}

static void name_destroy(struct name *name)
{
    addresses_release(name->addresses);
    free(name);
}

/* One that is not known, or not to be kept, and that nobody waits for, goes. */
static void forget_if_idle(struct name *name)
{
    struct name **link = bucket_of(name->names, name->host);

    if (name->asked || (name->kept && name->addresses != NULL))
        return;
    while (*link != name)
        link = &(*link)->next;
    *link = name->next;
    name->names->kept -= name->kept;
    name_destroy(name);
}

static void ask(struct name *name)
{
    struct names *const names = name->names;
    const size_t size = strlen(name->host) + 1;
    struct lookup *const lookup = xcalloc(1, sizeof(*lookup) + size);

    lookup->name = name;
    lookup->renews = name->addresses != NULL;
    memcpy(lookup->host, name->host, size);
    name->asked = true;
    if (names->under_way++ == 0)
        ev_async_start(names->desk->loop, &names->desk->answer_watch);
    desk_ask(names->desk, lookup);
}

static void set_addresses(struct name *name, struct addresses *addresses,
                          uint64_t good_until_us)
{
    addresses_release(name->addresses);
    addresses->version = ++name->names->version;
    name->addresses = addresses;
    name->good_until_us = good_until_us;
}

static void wait_for(struct name *name, struct name_wait *wait)
{
    wait->name = name;
    wait->next = NULL;
    wait->previous = name->last;
    if (name->last != NULL)
        name->last->next = wait;
    else
        name->first = wait;
    name->last = wait;
}

void names_forget(struct name_wait *wait)
{
    struct name *const name = wait->name;

    if (name == NULL)
        return;
    if (wait->previous != NULL)
        wait->previous->next = wait->next;
    else if (name->first == wait)
        name->first = wait->next;
    else
        name->still_to_tell = wait->next;
    if (wait->next != NULL)
        wait->next->previous = wait->previous;
    else if (name->last == wait)
        name->last = wait->previous;
    wait->name = NULL;
}

/* Tells those who waited until now. They may forget each other, and ask again: whoever
 * does that after a failure waits for another look-up. */
static void tell_all(struct name *name, struct addresses *addresses, const char *why)
{
    name->still_to_tell = name->first;
    name->first = NULL;
    name->last = NULL;
    while (name->still_to_tell != NULL) {
        struct name_wait *const wait = name->still_to_tell;

        names_forget(wait);
        wait->on_known(wait, addresses, why);
    }
}

/* A look-up has ended. */
static void settle(struct name *name, struct addresses *addresses, const char *why)
{
    name->asked = false;
    if (addresses != NULL)
        set_addresses(name, addresses, clock_us() + NAMES_KEPT_S * (uint64_t)US_PER_S);
    else if (name->addresses != NULL)
        name->good_until_us = clock_us() + RETRY_S * (uint64_t)US_PER_S;
    tell_all(name, name->addresses, why);
    forget_if_idle(name);
}

static void on_answers(struct ev_loop *loop, ev_async *watcher, int revents)
{
    struct names *const names = watcher->data;
    struct queue answered = desk_take_answers(names->desk);
    struct lookup *lookup;

    (void)revents;
    while ((lookup = queue_take(&answered)) != NULL) {
        names->under_way--;
        settle(lookup->name, lookup->addresses, lookup->why);
        free(lookup); /* its addresses are the name's */
    }
    if (names->under_way == 0)
        ev_async_stop(loop, watcher);
}

/* --- the whole ------------------------------------------------------------------------ */

/* An address as it stands needs nobody; where too many names are kept, or its zone is none
 * of this host, it is looked up like any other. */
static void take_as_address(struct name *name)
{
    struct addresses *addresses;
    const char *why;

    if (!name->kept || !names_is_address(name->host))
        return;
    addresses = resolve(name->host, AI_NUMERICHOST, &why);
    if (addresses != NULL)
        set_addresses(name, addresses, UINT64_MAX);
}

struct addresses *names_find(struct names *names, const char *host,
                             struct name_wait *wait)
{
    struct name *const name = find_or_add(names, host);

    if (name->addresses == NULL && !name->asked)
        take_as_address(name);
    if (!name->asked && (name->addresses == NULL || clock_us() >= name->good_until_us))
        ask(name);
    if (name->addresses == NULL)
        wait_for(name, wait);
    return name->addresses;
}

struct names *names_new(struct ev_loop *loop)
{
    struct names *const names = xcalloc(1, sizeof(*names));

    names->desk = desk_new(loop, names);
    return names;
}

void names_destroy(struct names *names)
{
    if (names == NULL)
        return;
    desk_close(names->desk);
    for (size_t i = 0; i < BUCKETS; i++) {
        while (names->buckets[i] != NULL) {
            struct name *const name = names->buckets[i];

            names->buckets[i] = name->next;
            name_destroy(name);
        }
    }
    free(names);
}
