/* base/memory.h - allocation of small, fixed sizes, which dies instead of failing.
 *
 * A size that comes from the wire, a file or an option is not for these: it is capped
 * and checked first, and its failure is an error (see design.md, "Memory by origin"). */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* All return memory that the caller frees with free(); out of memory, they say so on
 * stderr and abort. xcalloc and xrealloc_array abort on overflow too. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc_array(void *memory, size_t count, size_t size);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t length);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
