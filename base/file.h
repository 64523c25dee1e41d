/* base/file.h - whole files, and folders. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"

#define FOLDER_DEPTH_MAX \
    1000u /* folders within folders that folder_remove() goes down */

/* Appends the content of a regular file of at most `most` bytes. */
int file_read(const char *path, size_t most, struct buffer *ret_content,
              struct error *err);

/* Writes `path` so that it appears whole or not at all; what was there is replaced. The
 * umask applies to `mode`, as ever. */
int file_write(const char *path, const void *content, size_t size, mode_t mode,
               struct error *err);

/* Makes `path` with all of its parents; those that are new have mode 0755, `path` itself
 * 0700. One that is there is fine. */
int folder_make(const char *path, struct error *err);

/* Whether `path` is a folder of this user that nobody else can write: code is loaded from
 * it, or sockets are in it. A link to one must be this user's, too. */
int folder_check_private(const char *path, struct error *err);

/* The first of `count` folders (a NULL is passed over) that is there or can be made, and
 * is private; the caller frees it. -1: `err` tells of the last. */
int folder_choose(const char *const *paths, size_t count, char **ret_path,
                  struct error *err);

/* Removes a file, or a folder with all that is in it; what is not there is fine. Links
 * are removed, never followed; folders that forbid it are made to allow it. -1: something
 * is left. */
int folder_remove(const char *path, struct error *err);

#endif
