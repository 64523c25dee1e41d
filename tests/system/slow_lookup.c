/* tests/system/slow_lookup.c - a getaddrinfo() to LD_PRELOAD, in which the look-up of
 * "slow.invalid" hangs until the file $SLOW_LOOKUP_UNTIL appears, and then fails. The
 * files $SLOW_LOOKUP_BEGUN and $SLOW_LOOKUP_OVER tell when that began and was over. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { POLL_US = 10000, POLLS_MAX = 3000 }; /* at most half a minute */

typedef int lookup_function(const char *, const char *, const struct addrinfo *,
                            struct addrinfo **);

static void touch(const char *variable)
{
    const char *const path = getenv(variable);
    const int fd = path != NULL ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;

    if (fd >= 0)
        close(fd);
}

static int hang(void)
{
    const char *const until = getenv("SLOW_LOOKUP_UNTIL");

    touch("SLOW_LOOKUP_BEGUN");
    for (int i = 0; i < POLLS_MAX && until != NULL && access(until, F_OK) == -1; i++)
        usleep(POLL_US);
    touch("SLOW_LOOKUP_OVER");
    return EAI_AGAIN;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret_list)
{
    lookup_function *next;
    void *const symbol = dlsym(RTLD_NEXT, "getaddrinfo");

    if (node != NULL && strcmp(node, "slow.invalid") == 0)
        return hang();
    memcpy(&next, &symbol, sizeof(next));
    return next(node, service, hints, ret_list);
}
