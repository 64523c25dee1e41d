/* base/arena.h - memory for one run of a scenario, all given back at once.
 *
 * Arenas take their memory in chunks from a pool that they share, and give them back to it:
 * so a warm arena allocates nothing, a user who rests between two runs holds nothing, and
 * the chunk that one gets is the one that was in use last, which the processor's cache still
 * has. With thousands of users that is what most of their memory costs. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena_chunk;

#define ARENA_KEPT_MAX ((size_t)64 << 10) /* a larger chunk is freed, not given back */

enum { ARENA_SIZES = 7 }; /* of chunks in a pool: 1 KiB, 2 KiB ... 64 KiB */

/* The chunks that no arena uses now, as many as were ever in use at one time. All zero is
 * empty. For one thread. */
struct arena_pool {
    struct arena_chunk *spare[ARENA_SIZES];
};

void arena_pool_clear(struct arena_pool *pool); /* no arena of it is in use any more */

/* All zero but the pool is empty. */
struct arena {
    struct arena_pool *pool;   /* outlives it; NULL: chunks are allocated and freed */
    struct arena_chunk *chunk; /* the one being filled; older ones hang on it */
    size_t used;               /* of it */
    size_t first; /* of the next first chunk: room for what was used last */
};

void arena_clear(struct arena *arena); /* all it gave is gone; usable again */

/* Aligned for any type, not zeroed. Out of memory aborts: sizes that a stranger chose
 * are capped by the caller. */
void *arena_alloc(struct arena *arena, size_t size);

/* Makes what arena_alloc() gave larger, in place where it was the last. */
void *arena_grow(struct arena *arena, void *memory, size_t size, size_t new_size);

char *arena_strndup(struct arena *arena, const char *text, size_t length);

#endif
