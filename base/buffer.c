#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { SMALLEST = 64 };

void buffer_clear(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = BUFFER_INIT;
}

void buffer_reset(struct buffer *buffer)
{
    buffer->size = 0;
    if (buffer->data != NULL)
        buffer->data[0] = '\0';
}

const char *buffer_text(const struct buffer *buffer)
{
    return buffer->data != NULL ? buffer->data : "";
}

void buffer_reserve(struct buffer *buffer, size_t more)
{
    size_t capacity = buffer->capacity > 0 ? buffer->capacity : SMALLEST;

    if (buffer->size + more + 1 <= buffer->capacity)
        return;
    while (capacity < buffer->size + more + 1)
        capacity *= 2;
    buffer->data = xrealloc_array(buffer->data, capacity, 1);
    buffer->capacity = capacity;
    buffer->data[buffer->size] = '\0';
}

void buffer_add(struct buffer *buffer, const void *data, size_t size)
{
    buffer_reserve(buffer, size);
    if (size > 0)
        memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
}

void buffer_add_text(struct buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text));
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list args, again;
    int length;

    va_start(args, format);
    va_copy(again, args);
    length = vsnprintf(NULL, 0, format, args);
    if (length > 0) {
        buffer_reserve(buffer, (size_t)length);
        vsnprintf(buffer->data + buffer->size, (size_t)length + 1, format, again);
        buffer->size += (size_t)length;
    }
    va_end(again);
    va_end(args);
}

void buffer_drop(struct buffer *buffer, size_t size)
{
    if (size >= buffer->size) {
        buffer_reset(buffer);
        return;
    }
    memmove(buffer->data, buffer->data + size, buffer->size - size + 1);
    buffer->size -= size;
}
