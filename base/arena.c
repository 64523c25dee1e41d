#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

#define FIRST_CHUNK ((size_t)1 << 10)

_Static_assert(FIRST_CHUNK << (ARENA_SIZES - 1) == ARENA_KEPT_MAX,
               "a pool has a list for each size that is kept");

struct arena_chunk {
    struct arena_chunk *older;
    size_t capacity;
    alignas(max_align_t) char data[];
};

static size_t round_up(size_t size)
{
    const size_t step = alignof(max_align_t);

    if (size > SIZE_MAX / 2)
        abort();
    return (size + step - 1) / step * step;
}

/* --- the pool ------------------------------------------------------------------------- */

/* Of a size that is kept: a power of 2. */
static struct arena_chunk **spare_of_size(struct arena_pool *pool, size_t capacity)
{
    return &pool->spare[__builtin_ctzll(capacity / FIRST_CHUNK)];
}

static struct arena_chunk *new_chunk(size_t capacity)
{
    struct arena_chunk *const chunk = xmalloc(sizeof(*chunk) + capacity);

    chunk->capacity = capacity;
    return chunk;
}

static struct arena_chunk *take_chunk(struct arena_pool *pool, size_t capacity)
{
    struct arena_chunk **spare, *chunk;

    if (pool == NULL || capacity > ARENA_KEPT_MAX)
        return new_chunk(capacity);
    spare = spare_of_size(pool, capacity);
    chunk = *spare;
    if (chunk == NULL)
        return new_chunk(capacity);
    *spare = chunk->older;
    ASAN_UNPOISON_MEMORY_REGION(chunk->data, capacity);
    return chunk;
}

static void give_back(struct arena_pool *pool, struct arena_chunk *chunk)
{
    struct arena_chunk **spare;

    if (pool == NULL || chunk->capacity > ARENA_KEPT_MAX) {
        free(chunk);
        return;
    }
    ASAN_POISON_MEMORY_REGION(chunk->data, chunk->capacity);
    spare = spare_of_size(pool, chunk->capacity);
    chunk->older = *spare;
    *spare = chunk;
}

void arena_pool_clear(struct arena_pool *pool)
{
    for (size_t i = 0; i < ARENA_SIZES; i++) {
        struct arena_chunk *chunk;

        while ((chunk = pool->spare[i]) != NULL) {
            pool->spare[i] = chunk->older;
            free(chunk);
        }
    }
}

/* --- the arena ------------------------------------------------------------------------ */

/* The smallest that is kept with room for so much, or the largest of all. */
static size_t kept_capacity(size_t size)
{
    size_t capacity = FIRST_CHUNK;

    while (capacity < size && capacity < ARENA_KEPT_MAX)
        capacity *= 2;
    return capacity;
}

static size_t next_capacity(const struct arena *arena, size_t least)
{
    const size_t wanted =
        arena->chunk != NULL ? arena->chunk->capacity * 2 : arena->first;

    return least > ARENA_KEPT_MAX ? least
                                  : kept_capacity(wanted > least ? wanted : least);
}

static void add_chunk(struct arena *arena, size_t least)
{
    struct arena_chunk *const chunk =
        take_chunk(arena->pool, next_capacity(arena, least));

    chunk->older = arena->chunk;
    arena->chunk = chunk;
    arena->used = 0;
}

void arena_clear(struct arena *arena)
{
    size_t used = arena->used;

    if (arena->chunk == NULL)
        return;
    while (arena->chunk != NULL) {
        struct arena_chunk *const chunk = arena->chunk;

        arena->chunk = chunk->older;
        used += chunk->older != NULL ? chunk->older->capacity : 0;
        give_back(arena->pool, chunk);
    }
    arena->first = used;
    arena->used = 0;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    void *memory;

    size = round_up(size > 0 ? size : 1);
    if (arena->chunk == NULL || arena->chunk->capacity - arena->used < size)
        add_chunk(arena, size);
    memory = arena->chunk->data + arena->used;
    arena->used += size;
    return memory;
}

void *arena_grow(struct arena *arena, void *memory, size_t size, size_t new_size)
{
    const size_t had = round_up(size > 0 ? size : 1);
    void *larger;

    if (memory == NULL)
        return arena_alloc(arena, new_size);
    if (arena->chunk != NULL && arena->used >= had &&
        (char *)memory == arena->chunk->data + arena->used - had &&
        arena->chunk->capacity - (arena->used - had) >= round_up(new_size)) {
        arena->used += round_up(new_size) - had;
        return memory;
    }
    larger = arena_alloc(arena, new_size);
    memcpy(larger, memory, size);
    return larger;
}

char *arena_strndup(struct arena *arena, const char *text, size_t length)
{
    char *const copy = arena_alloc(arena, length + 1);

    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}
