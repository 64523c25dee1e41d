#include "base/pidlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/memory.h"

#define WAIT_STEP_MS 50

/* The pid that is written in the file; 0: none. */
static pid_t read_holder(int fd)
{
    char text[32] = "";
    long pid;

    if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
        return 0;
    pid = strtol(text, NULL, 10);
    return pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

static int write_holder(int fd)
{
    char text[32];
    const int length = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

    if (ftruncate(fd, 0) == -1 || pwrite(fd, text, (size_t)length, 0) != length)
        return -1;
    return 0;
}

/* Whether the file is (still) the one at the path: a holder that goes removes it, perhaps
 * after we opened it. */
static bool is_at_path(int fd, const char *path)
{
    struct stat open_file, there;

    return fstat(fd, &open_file) == 0 && stat(path, &there) == 0 &&
           open_file.st_dev == there.st_dev && open_file.st_ino == there.st_ino;
}

static int say_held(const char *path, pid_t holder, struct error *err)
{
    if (holder > 0)
        return error_set(err, "process %ld holds the lock '%s'", (long)holder, path);
    return error_set(err, "another process holds the lock '%s'", path);
}

/* A descriptor of the file, which is locked and at its path; or -1, with `*ret_holder`
 * and `err`. */
static int open_locked(const char *path, pid_t *ret_holder, struct error *err)
{
    for (;;) {
        int fd =
            open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);

        if (fd == -1)
            return error_errno(err, "cannot open the lock '%s'", path);
        if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
            if (errno == EWOULDBLOCK) {
                *ret_holder = read_holder(fd);
                say_held(path, *ret_holder, err);
            } else {
                error_errno(err, "cannot lock '%s'", path);
            }
            fd_close(&fd);
            return -1;
        }
        if (is_at_path(fd, path))
            return fd;
        fd_close(&fd); /* its holder has just removed it: there is another, or none */
    }
}

int pidlock_take(struct pidlock *lock, const char *path, pid_t *ret_holder,
                 struct error *err)
{
    pid_t holder = 0;
    int fd = open_locked(path, &holder, err);

    *lock = (struct pidlock){.fd = -1};
    if (ret_holder != NULL)
        *ret_holder = holder;
    if (fd == -1)
        return -1;
    if (write_holder(fd) == -1) {
        error_errno(err, "cannot write the lock '%s'", path);
        unlink(path);
        fd_close(&fd);
        return -1;
    }
    lock->fd = fd;
    lock->path = xstrdup(path);
    return 0;
}

int pidlock_wait(struct pidlock *lock, const char *path, double timeout_s,
                 struct error *err)
{
    static const struct timespec step = {.tv_nsec = WAIT_STEP_MS * 1000000L};
    const uint64_t end_us = clock_us() + (uint64_t)(timeout_s * US_PER_S);

    while (pidlock_take(lock, path, NULL, err) == -1) {
        if (clock_us() >= end_us)
            return -1;
        nanosleep(&step, NULL);
    }
    return 0;
}

void pidlock_release(struct pidlock *lock)
{
    if (lock->fd == -1)
        return;
    if (is_at_path(lock->fd, lock->path)) /* else somebody removed ours */
        unlink(lock->path);               /* while it is locked: it is nobody else's */
    fd_close(&lock->fd);
    free(lock->path);
    lock->path = NULL;
}
