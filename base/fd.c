#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

void fd_close(int *fd)
{
    if (*fd != -1)
        close(*fd);
    *fd = -1;
}

int fd_write_all(int fd, const void *data, size_t size)
{
    const char *left = data;

    while (size > 0) {
        const ssize_t written = write(fd, left, size);

        if (written > 0) {
            left += written;
            size -= (size_t)written;
        } else if (written == -1 && errno == EAGAIN) {
            struct pollfd poller = {.fd = fd, .events = POLLOUT};

            poll(&poller, 1, -1);
        } else if (written == -1 && errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

size_t fd_raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
        return 0;
    if (limit.rlim_cur < limit.rlim_max) {
        const rlim_t before = limit.rlim_cur;

        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
            limit.rlim_cur = before;
    }
    return (size_t)limit.rlim_cur;
}

size_t fd_count_open(void)
{
    DIR *const folder = opendir("/proc/self/fd");
    size_t count = 0;

    if (folder == NULL)
        return 0;
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count > 3 ? count - 3 : 0; /* ".", ".." and the folder's own */
}
