#include "agent/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/memory.h"

enum { FOLDER_MODE = 0700, FILE_MODE = 0600 };

int tree_open(struct tree *tree, const char *root, struct error *err)
{
    tree->fd = -1;
    if (folder_remove(root, err) == -1)
        return -1;
    if (mkdir(root, FOLDER_MODE) == -1)
        return error_errno(err, "cannot make the folder '%s'", root);
    tree->fd = open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (tree->fd == -1) {
        error_errno(err, "cannot open the folder '%s'", root);
        rmdir(root);
        return -1;
    }
    tree->root = xstrdup(root);
    return 0;
}

void tree_close(struct tree *tree)
{
    fd_close(&tree->fd);
    free(tree->root);
    tree->root = NULL;
}

/* Copies the first component of *path, and moves *path behind it: 0; or -1 with errno:
 * there is none that stays within its folder. */
static int take_component(const char **path, char ret_name[NAME_MAX + 1])
{
    const size_t length = strcspn(*path, "/");

    errno = EINVAL;
    if (length == 0 || length > NAME_MAX)
        return -1;
    memcpy(ret_name, *path, length);
    ret_name[length] = '\0';
    *path += length;
    if (**path == '/' && *++*path == '\0')
        return -1;
    return strcmp(ret_name, ".") == 0 || strcmp(ret_name, "..") == 0 ? -1 : 0;
}

/* Moves *folder into the folder `name` of it, which is made where it is not there. */
static int enter(int *folder, const char *name)
{
    int next;

    if (mkdirat(*folder, name, FOLDER_MODE) == -1 && errno != EEXIST)
        return -1;
    next = openat(*folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next == -1)
        return -1;
    fd_close(folder);
    *folder = next;
    return 0;
}

/* Opens the folder that the last component of `path` is in, and copies that one: a
 * descriptor; or -1, errno says why. */
static int open_parent(const struct tree *tree, const char *path,
                       char ret_name[NAME_MAX + 1])
{
    int folder = fcntl(tree->fd, F_DUPFD_CLOEXEC, 0);
    int why;

    while (folder != -1 && take_component(&path, ret_name) == 0) {
        if (*path == '\0')
            return folder;
        if (enter(&folder, ret_name) == -1)
            break;
    }
    why = errno;
    fd_close(&folder);
    errno = why;
    return -1;
}

int tree_add_folder(const struct tree *tree, const char *path, struct error *err)
{
    char name[NAME_MAX + 1];
    int folder;
    int rc = -1;

    if (*path == '\0')
        return 0;
    folder = open_parent(tree, path, name);
    if (folder != -1)
        rc = enter(&folder, name);
    if (rc == -1)
        error_errno(err, "cannot make the folder '%s/%s'", tree->root, path);
    fd_close(&folder);
    return rc;
}

int tree_add_file(const struct tree *tree, const char *path, const void *content,
                  size_t size, struct error *err)
{
    char name[NAME_MAX + 1];
    const int folder = open_parent(tree, path, name);
    int fd = -1, parent = folder;
    int rc = -1;

    if (folder != -1)
        fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    FILE_MODE);
    if (fd != -1)
        rc = fd_write_all(fd, content, size);
    if (rc == -1) {
        error_errno(err, "cannot write '%s/%s'", tree->root, path);
        if (fd != -1)
            unlinkat(folder, name, 0);
    }
    fd_close(&fd);
    fd_close(&parent);
    return rc;
}
