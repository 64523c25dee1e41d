/* tests/unit/folder.h - a folder of its own for a test, and what is in files. */
#ifndef TESTS_UNIT_FOLDER_H
#define TESTS_UNIT_FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"

/* "/tmp/molotov-test-XXXXXX"; the caller removes it (folder_remove) and frees the text. */
static inline char *folder_for_test(void)
{
    char *const path = xstrdup("/tmp/molotov-test-XXXXXX");

    if (mkdtemp(path) == NULL) {
        perror("mkdtemp");
        abort();
    }
    return path;
}

static inline void remove_test_folder(char *path)
{
    folder_remove(path, NULL);
    free(path);
}

/* The permissions of FOLDER/NAME, as in 0600; 0 where there is nothing. */
static inline unsigned mode_of(const char *folder, const char *name)
{
    char *const path = xasprintf("%s/%s", folder, name);
    struct stat info = {.st_mode = 0};

    if (lstat(path, &info) == -1)
        info.st_mode = 0;
    free(path);
    return info.st_mode & 0777u;
}

#endif
