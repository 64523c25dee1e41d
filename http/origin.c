#include "http/origin.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "http/hash.h"

static void free_origin(struct origin *origin)
{
    target_clear(&origin->target);
    free(origin->text);
    free(origin);
}

/* Forgets those of a bucket that nobody holds; all of them where `even_held`. */
static void sweep_bucket(struct origins *origins, size_t index, bool even_held)
{
    struct origin **link = &origins->buckets[index];

    while (*link != NULL) {
        struct origin *const origin = *link;

        if (origin->holders > 0 && !even_held) {
            link = &origin->next;
            continue;
        }
        *link = origin->next;
        origins->count--;
        free_origin(origin);
    }
}

static void sweep(struct origins *origins, bool even_held)
{
    for (size_t i = 0; i < ORIGIN_BUCKETS; i++)
        sweep_bucket(origins, i, even_held);
}

void origins_clear(struct origins *origins)
{
    sweep(origins, true);
}

static struct origin *add_origin(struct origins *origins, const char *url,
                                 size_t length, uint64_t hash, const char **ret_failure)
{
    struct origin **const bucket = &origins->buckets[hash % ORIGIN_BUCKETS];
    struct origin *origin;
    struct target target;
    char *const text = xstrndup(url, length);

    if (target_parse(text, &target, ret_failure) == -1) {
        free(text);
        return NULL;
    }
    if (origins->count >= ORIGINS_KEPT_MAX)
        sweep(origins, false);
    origin = xcalloc(1, sizeof(*origin));
    *origin = (struct origin){
        .text = text,
        .length = length,
        .hash = hash,
        .target = target,
        .next = *bucket,
    };
    *bucket = origin;
    origins->count++;
    return origin_hold(origin);
}

struct origin *origins_find(struct origins *origins, const char *url,
                            const char **ret_failure)
{
    const size_t length = target_origin_length(url);
    const uint64_t hash = hash_bytes(0, url, length);

    for (struct origin *origin = origins->buckets[hash % ORIGIN_BUCKETS];
         origin != NULL; origin = origin->next) {
        if (origin->hash == hash && origin->length == length &&
            memcmp(origin->text, url, length) == 0)
            return origin_hold(origin);
    }
    return add_origin(origins, url, length, hash, ret_failure);
}

struct origin *origin_hold(struct origin *origin)
{
    origin->holders++;
    return origin;
}

void origin_release(struct origin *origin)
{
    if (origin != NULL)
        origin->holders--;
}
