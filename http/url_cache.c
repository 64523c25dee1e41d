#include "http/url_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "http/hash.h"
#include "http/url.h"

struct cached_url {
    char *base, *reference; /* as seen from which ... */
    char *url;              /* ... it is this */
};

static bool is_for(const struct cached_url *item, const char *base,
                   const char *reference)
{
    return strcmp(item->reference, reference) == 0 && strcmp(item->base, base) == 0;
}

static struct cached_url *new_item(const char *base, const char *reference,
                                   const char *url)
{
    struct cached_url *const item = xmalloc(sizeof(*item));

    *item = (struct cached_url){
        .base = xstrdup(base), .reference = xstrdup(reference), .url = xstrdup(url)};
    return item;
}

void url_cache_clear(struct url_cache *cache)
{
    for (size_t i = 0; i < URLS_CACHED; i++) {
        struct cached_url *const item = cache->items[i];

        if (item == NULL)
            continue;
        free(item->base);
        free(item->reference);
        free(item->url);
        free(item);
        cache->items[i] = NULL;
    }
}

const char *url_cache_resolve(struct url_cache *cache, struct arena *arena,
                              const char *base, size_t origin_length,
                              const char *reference)
{
    struct cached_url **const place =
        &cache->items[hash_text(hash_text(0, base), reference) % URLS_CACHED];
    const char *url;

    if (*place != NULL && is_for(*place, base, reference))
        return (*place)->url;
    url = url_resolve(arena, base, origin_length, reference);
    if (url == NULL || *place != NULL ||
        strlen(base) + strlen(reference) + strlen(url) > URL_CACHED_SIZE_MAX)
        return url;
    *place = new_item(base, reference, url);
    return (*place)->url;
}
