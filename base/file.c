#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/memory.h"

enum { CHUNK = 64 << 10 };

/* --- files --------------------------------------------------------------------------- */

static ssize_t read_some(int fd, void *data, size_t size)
{
    ssize_t count;

    do {
        count = read(fd, data, size);
    } while (count == -1 && errno == EINTR);
    return count;
}

/* Appends what is left to read, up to one byte more than `most` in all. */
static int read_all(int fd, size_t most, struct buffer *content)
{
    ssize_t count;

    do {
        buffer_reserve(content, CHUNK);
        count = read_some(fd, content->data + content->size, CHUNK);
        if (count > 0)
            content->size += (size_t)count;
        content->data[content->size] = '\0';
    } while (count > 0 && content->size <= most);
    return count == -1 ? -1 : 0;
}

int file_read(const char *path, size_t most, struct buffer *ret_content,
              struct error *err)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* it may be a pipe */
    struct buffer content = BUFFER_INIT;
    struct stat info;
    int rc = -1;

    if (fd != -1 && (fstat(fd, &info) == -1 || !S_ISREG(info.st_mode))) {
        error_set(err, "'%s' is not a file", path);
    } else if (fd == -1 || read_all(fd, most, &content) == -1) {
        error_errno(err, "cannot read '%s'", path);
    } else if (content.size > most) {
        error_set(err, "'%s' is over %zu bytes", path, most);
    } else {
        buffer_add(ret_content, content.data, content.size);
        rc = 0;
    }
    buffer_clear(&content);
    fd_close(&fd);
    return rc;
}

static int write_draft(const char *draft, const void *content, size_t size, mode_t mode)
{
    const int fd =
        open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
    int rc;

    if (fd == -1)
        return -1;
    rc = fd_write_all(fd, content, size);
    return close(fd) == -1 ? -1 : rc; /* some file systems tell only now */
}

int file_write(const char *path, const void *content, size_t size, mode_t mode,
               struct error *err)
{
    char *const draft = xasprintf("%s.%ld", path, (long)getpid());
    int rc = 0;

    if (write_draft(draft, content, size, mode) == -1 || rename(draft, path) == -1) {
        rc = error_errno(err, "cannot write '%s'", path);
        unlink(draft);
    }
    free(draft);
    return rc;
}

/* --- folders ------------------------------------------------------------------------- */

static bool is_folder(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

int folder_make(const char *path, struct error *err)
{
    char *const copy = xstrdup(path);
    int rc = 0;

    for (char *slash = copy; (slash = strchr(slash + 1, '/')) != NULL;) {
        *slash = '\0';
        mkdir(copy, 0755); /* what matters is whether the last one works */
        *slash = '/';
    }
    if (mkdir(copy, 0700) == -1 && (errno != EEXIST || !is_folder(copy)))
        rc = error_errno(err, "cannot make the folder '%s'", path);
    free(copy);
    return rc;
}

int folder_check_private(const char *path, struct error *err)
{
    struct stat link, folder;

    if (lstat(path, &link) == -1 || stat(path, &folder) == -1)
        return error_errno(err, "cannot use the folder '%s'", path);
    if (!S_ISDIR(folder.st_mode))
        return error_set(err, "'%s' is not a folder", path);
    if (link.st_uid != geteuid() || folder.st_uid != geteuid() ||
        (folder.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return error_set(err,
                         "the folder '%s' must belong to you, and nobody else may be "
                         "able to write to it",
                         path);
    return 0;
}

int folder_choose(const char *const *paths, size_t count, char **ret_path,
                  struct error *err)
{
    error_set(err, "there is no folder to choose");
    for (size_t i = 0; i < count; i++) {
        if (paths[i] != NULL && folder_make(paths[i], err) == 0 &&
            folder_check_private(paths[i], err) == 0) {
            *ret_path = xstrdup(paths[i]);
            return 0;
        }
    }
    return -1;
}

static int remove_at(int parent, const char *name, unsigned depth);

/* A DIR of a folder that we may list and empty; NULL with errno. */
static DIR *open_folder_at(int parent, const char *name)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(parent, name, flags);
    DIR *folder = NULL;

    if (fd == -1 && errno == EACCES && fchmodat(parent, name, 0700, 0) == 0)
        fd = openat(parent, name, flags);
    if (fd == -1)
        return NULL;
    fchmod(fd, 0700); /* where that is not allowed, removing tells */
    folder = fdopendir(fd);
    if (folder == NULL)
        fd_close(&fd);
    return folder;
}

static int empty_folder(DIR *folder, unsigned depth)
{
    const struct dirent *entry;
    int rc = 0;

    while ((entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            remove_at(dirfd(folder), entry->d_name, depth + 1) == -1)
            rc = -1;
    }
    return rc;
}

static int remove_at(int parent, const char *name, unsigned depth)
{
    DIR *folder;

    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT || errno == ENOTDIR)
        return 0;
    if (errno != EISDIR)
        return -1;
    if (depth == FOLDER_DEPTH_MAX) { /* our stack, and descriptors, are finite */
        errno = ELOOP;
        return -1;
    }
    folder = open_folder_at(parent, name);
    if (folder == NULL)
        return -1;
    empty_folder(folder, depth); /* the folder itself tells whether all of it is gone */
    closedir(folder);
    return unlinkat(parent, name, AT_REMOVEDIR);
}

int folder_remove(const char *path, struct error *err)
{
    if (remove_at(AT_FDCWD, path, 0) == -1)
        return error_errno(err, "cannot remove '%s'", path);
    return 0;
}
