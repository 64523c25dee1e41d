/* tests/fuzz/corpus.h - the inputs that a fuzz target begins with. */
#ifndef TESTS_FUZZ_CORPUS_H
#define TESTS_FUZZ_CORPUS_H

#include <stddef.h>
#include <stdio.h>

#include "base/buffer.h"

/* Writes FOLDER/NAME-NUMBER; -1: stderr says why not. */
static inline int corpus_write(const char *folder, const char *name, size_t number,
                               const struct buffer *content)
{
    char path[4096];
    FILE *file;
    int rc;

    snprintf(path, sizeof(path), "%s/%s-%zu", folder, name, number);
    file = fopen(path, "wb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    rc = fwrite(content->data, 1, content->size, file) == content->size ? 0 : -1;
    if (fclose(file) != 0)
        rc = -1;
    return rc;
}

#endif
