/* agent/cache.h - the content of files by its digest, so that what was fetched once is
 * there for the next run.
 *
 * Bounded: the least recently used goes first. Whoever reads gets what has the digest,
 * whatever has happened to the file in between. */
#ifndef AGENT_CACHE_H
#define AGENT_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "base/error.h"
#include "proto/bundle.h"

/* A bundle of any size fits, whatever was there before. */
#define CACHE_FILES_MAX BUNDLE_FILES_MAX
#define CACHE_SIZE_MAX (2 * BUNDLE_SIZE_MAX)

struct cached_file {
    char digest[DIGEST_SIZE];
    uint64_t size;
};

struct cache {
    char *folder;
    struct cached_file files[CACHE_FILES_MAX]; /* least recently used first */
    size_t count;
    uint64_t size; /* of all */
};

/* Makes the folder. */
int cache_open(struct cache *cache, const char *folder, struct error *err);
void cache_close(struct cache *cache); /* leaves the files */

/* Whether it is there; then `ret_content` holds it, in place of what it held. */
bool cache_find(struct cache *cache, const char *digest, struct buffer *ret_content);

/* Keeps content that has this digest. Where it cannot be written it is not kept. */
void cache_keep(struct cache *cache, const char *digest, const void *content,
                size_t size);

#endif
