/* http/origin.h - whom the direct transport connects to: one entry for each
 * scheme://host:port of a process, so that a URL is taken apart once. */
#ifndef HTTP_ORIGIN_H
#define HTTP_ORIGIN_H

#include <stddef.h>

#include "http/target.h"

#define ORIGINS_KEPT_MAX 1000u /* beyond, those that nobody holds are forgotten */

struct origin {
    struct origin *next;
    size_t holders;
    char *text; /* as URLs begin: "https://user@host:8080" */
    size_t length;
    uint64_t hash;
    struct target target; /* its path is not of interest */
};

enum { ORIGIN_BUCKETS = 256 };

/* All zero is empty. */
struct origins {
    struct origin *buckets[ORIGIN_BUCKETS];
    size_t count;
};

void origins_clear(struct origins *origins); /* nobody holds any */

/* The origin of an absolute URL, held for the caller. NULL: it is no URL of ours, and
 * `ret_failure` says why. */
struct origin *origins_find(struct origins *origins, const char *url,
                            const char **ret_failure);

struct origin *origin_hold(struct origin *origin); /* the same */
void origin_release(struct origin *origin);        /* NULL: nothing */

#endif
