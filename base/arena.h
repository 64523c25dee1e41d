/* base/arena.h - memory for one run of a scenario, all given back at once.
 *
 * A worker keeps the arena, so a warm one allocates nothing. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *chunk; /* the one being filled; older ones hang on it */
    size_t used;               /* of it */
};

#define ARENA_KEPT_MAX ((size_t)64 << 10) /* a larger chunk is not kept by a reset */

void arena_clear(struct arena *arena); /* frees all; usable again */
void arena_reset(struct arena *arena); /* all it gave is gone; keeps one chunk */

/* Aligned for any type, not zeroed. Out of memory aborts: sizes that a stranger chose
 * are capped by the caller. */
void *arena_alloc(struct arena *arena, size_t size);

/* Makes what arena_alloc() gave larger, in place where it was the last. */
void *arena_grow(struct arena *arena, void *memory, size_t size, size_t new_size);

char *arena_strndup(struct arena *arena, const char *text, size_t length);

#endif
