/* tests/system/slow_lookup.c - a getaddrinfo() to LD_PRELOAD, whose answers a test chooses.
 *
 * $LOOKUP_ANSWERS has the names that are not the system's, each with its addresses:
 *
 *     one.invalid=127.0.0.1;two.invalid=127.0.0.1,127.0.0.2;unknown.invalid=
 *
 * The look-up of "slow.invalid" hangs until the file $SLOW_LOOKUP_UNTIL appears, and then
 * fails. The files $SLOW_LOOKUP_BEGUN and $SLOW_LOOKUP_OVER tell when that began and was
 * over. Each look-up of these names adds a line to the file $LOOKUP_LOG. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { POLL_US = 10000, POLLS_MAX = 3000 }; /* at most half a minute */

typedef int lookup_function(const char *, const char *, const struct addrinfo *,
                            struct addrinfo **);

static int open_file(const char *variable)
{
    const char *const path = getenv(variable);

    return path != NULL ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)
                        : -1;
}

static void touch(const char *variable)
{
    const int fd = open_file(variable);

    if (fd >= 0)
        close(fd);
}

static void write_log(const char *name)
{
    const int fd = open_file("LOOKUP_LOG");

    if (fd < 0)
        return;
    dprintf(fd, "%s\n", name);
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

/* What is behind "name=" in $LOOKUP_ANSWERS; NULL: it is not there. */
static const char *find_answer(const char *name)
{
    const size_t length = strlen(name);
    const char *at = getenv("LOOKUP_ANSWERS");

    while (at != NULL && (strncmp(at, name, length) != 0 || at[length] != '=')) {
        at = strchr(at, ';');
        at += at != NULL;
    }
    return at != NULL ? at + length + 1 : NULL;
}

/* Puts the addresses, each looked up as it stands, into one list. */
static int give_answer(lookup_function *next, const char *answer, const char *service,
                       struct addrinfo **ret_list)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST};
    struct addrinfo **last = ret_list;
    char addresses[1024], *rest = addresses;
    const char *address;

    *ret_list = NULL;
    snprintf(addresses, sizeof(addresses), "%.*s", (int)strcspn(answer, ";"), answer);
    while ((address = strsep(&rest, ",")) != NULL) {
        if (address[0] != '\0' && next(address, service, &hints, last) == 0)
            last = &(*last)->ai_next;
    }
    return *ret_list != NULL ? 0 : EAI_NONAME;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret_list)
{
    lookup_function *next;
    void *const symbol = dlsym(RTLD_NEXT, "getaddrinfo");
    const bool is_slow = node != NULL && strcmp(node, "slow.invalid") == 0;
    const char *const answer = node != NULL ? find_answer(node) : NULL;

    memcpy(&next, &symbol, sizeof(next));
    if (is_slow || answer != NULL)
        write_log(node);
    if (is_slow)
        return hang();
    if (answer != NULL)
        return give_answer(next, answer, service, ret_list);
    return next(node, service, hints, ret_list);
}
