#include "http/lookups.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"

enum { HOST_MAX = 256 };

struct lookup {
    struct lookup *next;
    struct lookups *all;
    char host[HOST_MAX];
    bool known;
    bool led; /* a request is looking it up */
    struct lookup_wait *first, *last;
};

/* The URL's host as it stands there: 0 where it is too long, or not to be found, which
 * whoever carries the request will say in better words. */
static size_t host_of_url(const char *url, const char **ret_host)
{
    const char *host = strstr(url, "://");
    const char *at;
    size_t length;

    if (host == NULL)
        return 0;
    host += 3;
    length = strcspn(host, "/?#");
    at = memrchr(host, '@', length);
    if (at != NULL) {
        length -= (size_t)(at + 1 - host);
        host = at + 1;
    }
    if (host[0] != '[') { /* else an IPv6 address, with colons of its own */
        const char *const colon = memchr(host, ':', length);

        if (colon != NULL)
            length = (size_t)(colon - host);
    }
    *ret_host = host;
    return length < HOST_MAX ? length : 0;
}

static bool needs_lookup(const char *host, size_t length)
{
    char text[HOST_MAX];
    struct in_addr address;

    if (length == 0 || host[0] == '[')
        return false;
    memcpy(text, host, length);
    text[length] = '\0';
    return inet_pton(AF_INET, text, &address) != 1 &&
           strcasecmp(text, "localhost") != 0;
}

/* NULL: there are too many. */
static struct lookup *find_or_add(struct lookups *lookups, const char *host,
                                  size_t length)
{
    struct lookup *lookup;

    for (lookup = lookups->first; lookup != NULL; lookup = lookup->next) {
        if (strncasecmp(lookup->host, host, length) == 0 &&
            lookup->host[length] == '\0')
            return lookup;
    }
    if (lookups->count == LOOKUPS_MAX)
        return NULL;
    lookups->count++;
    lookup = xcalloc(1, sizeof(*lookup));
    memcpy(lookup->host, host, length);
    lookup->all = lookups;
    lookup->next = lookups->first;
    lookups->first = lookup;
    return lookup;
}

static void lead(struct lookup_wait *wait, struct lookup *lookup)
{
    lookup->led = true;
    wait->lookup = lookup;
    wait->leads = true;
}

static void enqueue(struct lookup_wait *wait, struct lookup *lookup)
{
    wait->lookup = lookup;
    wait->next = NULL;
    wait->ready = false;
    if (lookup->last != NULL)
        lookup->last->next = wait;
    else
        lookup->first = wait;
    lookup->last = wait;
}

bool lookup_is_free(struct lookups *lookups, struct lookup_wait *wait, const char *url)
{
    const char *host = NULL;
    const size_t length = host_of_url(url, &host);
    struct lookup *lookup;

    wait->lookup = NULL;
    wait->leads = false;
    wait->named = needs_lookup(host, length);
    if (!wait->named)
        return true;
    lookup = find_or_add(lookups, host, length);
    if (lookup == NULL || lookup->known)
        return true;
    if (!lookup->led && lookup->first == NULL) {
        lead(wait, lookup);
        return true;
    }
    enqueue(wait, lookup);
    return false;
}

static void make_ready(struct lookup_wait *wait, bool failed)
{
    if (wait->ready)
        return;
    wait->ready = true;
    wait->failed = failed;
    wait->lookup->all->ready++;
}

static struct lookup *stop_leading(struct lookup_wait *wait)
{
    struct lookup *const lookup = wait->lookup;

    wait->lookup = NULL;
    wait->leads = false;
    lookup->led = false;
    return lookup;
}

static void end_wait_of_all(struct lookup *lookup, bool failed)
{
    for (struct lookup_wait *wait = lookup->first; wait != NULL; wait = wait->next)
        make_ready(wait, failed);
}

void lookup_succeeded(struct lookup_wait *wait)
{
    if (wait->lookup == NULL || !wait->leads)
        return;
    wait->lookup->known = true;
    end_wait_of_all(stop_leading(wait), false);
}

void lookup_failed(struct lookup_wait *wait)
{
    if (wait->lookup == NULL || !wait->leads)
        return;
    end_wait_of_all(stop_leading(wait), true);
}

static void dequeue(struct lookup_wait *wait)
{
    struct lookup *const lookup = wait->lookup;
    struct lookup_wait **link = &lookup->first, *before = NULL;

    while (*link != wait) {
        before = *link;
        link = &(*link)->next;
    }
    *link = wait->next;
    if (lookup->last == wait)
        lookup->last = before;
    if (wait->ready)
        lookup->all->ready--;
    wait->ready = false;
    wait->lookup = NULL;
}

/* Somebody has to look the name up, if anybody still waits for it. */
static void let_next_lead(struct lookup *lookup)
{
    if (!lookup->led && !lookup->known && lookup->first != NULL)
        make_ready(lookup->first, false); /* it leads when it is run */
}

void lookup_abandon(struct lookup_wait *wait)
{
    struct lookup *lookup = wait->lookup;

    if (lookup == NULL)
        return;
    if (wait->leads)
        stop_leading(wait);
    else
        dequeue(wait);
    let_next_lead(lookup);
}

/* Runs the first wait of `lookup` if that is due. */
static bool run_first(struct lookup *lookup)
{
    struct lookup_wait *const wait = lookup->first;

    if (wait == NULL || !wait->ready)
        return false;
    dequeue(wait);
    if (!wait->failed && !lookup->known)
        lead(wait, lookup);
    wait->on_known(wait, wait->failed);
    return true;
}

void lookups_run(struct lookups *lookups)
{
    if (lookups->ready == 0)
        return;
    for (struct lookup *lookup = lookups->first; lookup != NULL;
         lookup = lookup->next) {
        /* Who failed may ask again at once, and stands at the end of the queue then. */
        while (run_first(lookup))
            let_next_lead(lookup);
    }
}

void lookups_clear(struct lookups *lookups)
{
    while (lookups->first != NULL) {
        struct lookup *const lookup = lookups->first;

        lookups->first = lookup->next;
        free(lookup);
    }
    lookups->count = 0;
    lookups->ready = 0;
}
