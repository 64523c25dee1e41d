/* base/fd.h - descriptors. */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stddef.h>

/* Closes *fd unless it is -1, and makes it -1. */
void fd_close(int *fd);

/* Writes all of it, and waits for whoever reads slowly. -1: errno says why not. */
int fd_write_all(int fd, const void *data, size_t size);

/* Raises the soft limit of open descriptors to the hard one. Returns that limit. */
size_t fd_raise_limit(void);

/* How many descriptors this process has open. */
size_t fd_count_open(void);

#endif
