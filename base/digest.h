/* base/digest.h - SHA-256: what content is called. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#define DIGEST_SIZE 65 /* 64 hexadecimal digits in small letters, and a NUL */

/* A digest in the making; out of memory aborts. */
struct digest {
    void *state;
};

void digest_init(struct digest *digest);
void digest_add(struct digest *digest, const void *data, size_t size);
void digest_finish(struct digest *digest,
                   char ret_text[DIGEST_SIZE]); /* clears it, too */

/* All in one. */
void digest_of(const void *data, size_t size, char ret_text[DIGEST_SIZE]);

/* Whether it is written as digest_finish() writes it. */
bool digest_is_one(const char *text, size_t length);

#endif
