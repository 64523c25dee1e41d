/* base/buffer.h - a growing run of bytes, always followed by a NUL that does not count. */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stddef.h>

struct buffer {
    char *data; /* NULL as long as nothing was added */
    size_t size;
    size_t capacity;
};

#define BUFFER_INIT ((struct buffer){.data = NULL})

void buffer_clear(struct buffer *buffer);             /* frees; usable again as empty */
void buffer_reset(struct buffer *buffer);             /* empty, keeps its memory */
const char *buffer_text(const struct buffer *buffer); /* "" when empty */

/* Out of memory aborts: a caller that adds what a stranger sent caps it first. */
void buffer_reserve(struct buffer *buffer, size_t more);
void buffer_add(struct buffer *buffer, const void *data, size_t size);
void buffer_add_text(struct buffer *buffer, const char *text);
void buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Drops the first `size` bytes (at most all). */
void buffer_drop(struct buffer *buffer, size_t size);

#endif
