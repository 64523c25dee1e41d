/* http/url_cache.h - what relative URLs lead to, as some user of this process found out.
 *
 * Nearly all users ask for the same few again and again. What is found here is in memory
 * that all of them share, and that stays: so a request that waits for its answer needs none
 * of its user's arena. A test that asks for another URL each time fills the cache with those
 * it began with; the others are resolved anew, which is as right and a little dearer. */
#ifndef HTTP_URL_CACHE_H
#define HTTP_URL_CACHE_H

#include <stddef.h>

#include "base/arena.h"

enum { URLS_CACHED = 1024, URL_CACHED_SIZE_MAX = 1024 };

struct cached_url;

/* All zero is empty. What came first stays, whatever else is asked for. */
struct url_cache {
    struct cached_url *items[URLS_CACHED];
};

void url_cache_clear(struct url_cache *cache); /* no URL of it is in use any more */

/* As url_resolve(), but the URL is in the cache, where it stays, or in the arena. */
const char *url_cache_resolve(struct url_cache *cache, struct arena *arena,
                              const char *base, size_t origin_length,
                              const char *reference);

#endif
