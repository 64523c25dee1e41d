/* agent/tree.h - files written below one folder, and never beside it.
 *
 * Paths are relative; each folder on the way is opened by itself and never through a
 * link, so whatever a path is and whatever lies in the folder, nothing outside of it is
 * touched. Folders have mode 0700, files 0600. */
#ifndef AGENT_TREE_H
#define AGENT_TREE_H

#include <stddef.h>

#include "base/error.h"

struct tree {
    int fd; /* -1: closed */
    char *root;
};

/* Makes the folder `root`, in place of what was there. */
int tree_open(struct tree *tree, const char *root, struct error *err);
void tree_close(struct tree *tree); /* leaves the files; twice is fine */

/* Makes a folder with all above it; "" and one that is there are fine. */
int tree_add_folder(const struct tree *tree, const char *path, struct error *err);

/* Writes a new file, with the folders above it. -1 (the disk is full ...): it is not
 * there. */
int tree_add_file(const struct tree *tree, const char *path, const void *content,
                  size_t size, struct error *err);

#endif
