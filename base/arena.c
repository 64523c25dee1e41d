#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { FIRST_CHUNK = 1024 };

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

static void add_chunk(struct arena *arena, size_t least)
{
    size_t capacity = arena->chunk != NULL ? arena->chunk->capacity * 2 : FIRST_CHUNK;
    struct arena_chunk *chunk;

    if (capacity > ARENA_KEPT_MAX)
        capacity = ARENA_KEPT_MAX;
    if (capacity < least)
        capacity = least;
    chunk = xmalloc(sizeof(*chunk) + capacity);
    chunk->older = arena->chunk;
    chunk->capacity = capacity;
    arena->chunk = chunk;
    arena->used = 0;
}

static void free_chunks(struct arena_chunk *chunk)
{
    while (chunk != NULL) {
        struct arena_chunk *const older = chunk->older;

        free(chunk);
        chunk = older;
    }
}

void arena_clear(struct arena *arena)
{
    free_chunks(arena->chunk);
    *arena = (struct arena){.chunk = NULL};
}

void arena_reset(struct arena *arena)
{
    if (arena->chunk == NULL)
        return;
    if (arena->chunk->capacity > ARENA_KEPT_MAX) {
        arena_clear(arena);
        return;
    }
    free_chunks(arena->chunk->older);
    arena->chunk->older = NULL;
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
