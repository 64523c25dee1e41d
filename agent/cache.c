#include "agent/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

int cache_open(struct cache *cache, const char *folder, struct error *err)
{
    cache->count = 0;
    cache->size = 0;
    cache->folder = xstrdup(folder);
    return folder_make(folder, err);
}

void cache_close(struct cache *cache)
{
    free(cache->folder);
    cache->folder = NULL;
}

static char *path_of(const struct cache *cache, const char *digest)
{
    return xasprintf("%s/%s", cache->folder, digest);
}

static void drop(struct cache *cache, size_t index)
{
    char *const path = path_of(cache, cache->files[index].digest);

    folder_remove(path, NULL);
    free(path);
    cache->size -= cache->files[index].size;
    cache->count--;
    memmove(&cache->files[index], &cache->files[index + 1],
            (cache->count - index) * sizeof(*cache->files));
}

/* Its place, or `count`. */
static size_t look_up(const struct cache *cache, const char *digest)
{
    for (size_t i = 0; i < cache->count; i++)
        if (strcmp(cache->files[i].digest, digest) == 0)
            return i;
    return cache->count;
}

static void add(struct cache *cache, const struct cached_file *file)
{
    cache->files[cache->count++] = *file;
    cache->size += file->size;
}

static bool read_checked(const struct cache *cache, const struct cached_file *file,
                         struct buffer *ret_content)
{
    char *const path = path_of(cache, file->digest);
    char digest[DIGEST_SIZE] = "";

    buffer_reset(ret_content);
    if (file_read(path, file->size, ret_content, NULL) == 0)
        digest_of(ret_content->data, ret_content->size, digest);
    free(path);
    return strcmp(digest, file->digest) == 0;
}

bool cache_find(struct cache *cache, const char *digest, struct buffer *ret_content)
{
    const size_t index = look_up(cache, digest);
    struct cached_file file;

    if (index == cache->count)
        return false;
    file = cache->files[index];
    if (!read_checked(cache, &file, ret_content)) {
        log_warning("file=%s is not what it was: it is fetched again", file.digest);
        drop(cache, index);
        return false;
    }
    memmove(&cache->files[index], &cache->files[index + 1],
            (cache->count - 1 - index) * sizeof(*cache->files));
    cache->files[cache->count - 1] = file; /* the most recently used */
    return true;
}

static void make_room(struct cache *cache, uint64_t size)
{
    while (cache->count > 0 &&
           (cache->count == CACHE_FILES_MAX || cache->size + size > CACHE_SIZE_MAX))
        drop(cache, 0);
}

void cache_keep(struct cache *cache, const char *digest, const void *content,
                size_t size)
{
    struct cached_file file = {.size = size};
    char *path;
    struct error err;

    if (look_up(cache, digest) < cache->count || size > CACHE_SIZE_MAX)
        return;
    make_room(cache, size);
    memcpy(file.digest, digest, DIGEST_SIZE);
    path = path_of(cache, digest);
    if (file_write(path, content, size, 0600, &err) == 0)
        add(cache, &file);
    else
        log_warning("file=%s is not kept: %s", digest, err.message);
    free(path);
}
