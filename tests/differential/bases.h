/* tests/differential/bases.h - the answers that all others are made of. */
#ifndef DIFFERENTIAL_BASES_H
#define DIFFERENTIAL_BASES_H

#include <stddef.h>

struct base {
    const char *name;
    const char *method; /* of the request that it answers */
    const char *bytes;
    size_t size;
};

/* Those written down, and those made: of many lines, of large bodies. */
struct bases;

struct bases *bases_new(void);
void bases_destroy(struct bases *bases);
size_t bases_count(const struct bases *bases);
struct base bases_get(const struct bases *bases,
                      size_t index); /* its bytes: borrowed */

#endif
