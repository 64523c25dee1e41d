/* http/lookups.h - a name is looked up once for a process, not once for a worker.
 *
 * libcurl keeps an answer for all requests of a process, but asks again for each request
 * that comes before it: 500 workers starting at once are 500 look-ups, a thread each.
 * Here the first request for a name goes ahead, and the others wait for it. Addresses
 * and "localhost" need no look-up and are never waited for. */
#ifndef HTTP_LOOKUPS_H
#define HTTP_LOOKUPS_H

#include <stdbool.h>
#include <stddef.h>

struct lookup;

/* One request's place. Part of whatever waits; all zero but for on_known and data. */
struct lookup_wait {
    /* The name is known, or (`failed`) cannot be looked up; called by lookups_run(). */
    void (*on_known)(struct lookup_wait *wait, bool failed);
    void *data;

    struct lookup *lookup; /* that it waits for, or leads; NULL: neither */
    struct lookup_wait *next;
    bool named; /* the URL has a name that had, or has, to be looked up */
    bool leads;
    bool ready, failed;
};

/* A test that makes up names is not waited for beyond so many. */
#define LOOKUPS_MAX 1000u

/* All zero is empty. */
struct lookups {
    struct lookup *first;
    size_t count;
    size_t ready; /* waits whose on_known() is due */
};

void lookups_clear(struct lookups *lookups);

/* Whether a request to this URL need not wait: its name is known, or this is the one to
 * look it up, and says how that went with one of the three functions below. Otherwise it
 * waits: on_known() will be called, unless lookup_abandon() is. */
bool lookup_is_free(struct lookups *lookups, struct lookup_wait *wait, const char *url);

/* Each does nothing for a request that does not lead. */
void lookup_succeeded(struct lookup_wait *wait);
void lookup_failed(struct lookup_wait *wait); /* so do those that waited for it */

/* It is over for another reason: if it led, the next one looks the name up; if it
 * waited, it waits no more. */
void lookup_abandon(struct lookup_wait *wait);

/* Calls on_known() of those whose wait is over. */
void lookups_run(struct lookups *lookups);

#endif
