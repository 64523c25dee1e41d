#include "agent/remover.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/memory.h"

/* Also of folders that forbid it. */
#define SCRIPT "rm -rf -- \"$1\" || { chmod -R u+rwx -- \"$1\"; rm -rf -- \"$1\"; }"

struct removal {
    struct removal *next;
    struct remover *remover;
    struct child_watch exit;
    char *path;
};

static void forget(struct removal *removal)
{
    struct removal **at = &removal->remover->going;

    while (*at != removal)
        at = &(*at)->next;
    *at = removal->next;
    child_watch_stop(&removal->exit);
    free(removal->path);
    free(removal);
}

static void on_remover_exit(struct child_watch *watch, int status)
{
    struct removal *const removal = watch->data;
    char how[64];

    child_describe_exit(status, how, sizeof(how));
    if (status != 0)
        log_warning("directory=%s could not be removed: rm %s", removal->path, how);
    forget(removal);
}

/* --- its process ------------------------------------------------------------------------ */

/* It has nothing of ours, and no terminal reaches it. */
static int set_up_spawn(posix_spawn_file_actions_t *files,
                        posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    int code = 0;

    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && code == 0; fd++)
        code = posix_spawn_file_actions_addopen(files, fd, "/dev/null", O_RDWR, 0);
    if (code == 0)
        code = posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &all);
    posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                             POSIX_SPAWN_SETSIGDEF);
    return code;
}

static int spawn(char *path, pid_t *ret_pid, struct error *err)
{
    char *const argv[] = {(char *)"sh", (char *)"-c", (char *)SCRIPT,
                          (char *)"rm", path,         NULL};
    char *const environment[] = {(char *)"PATH=/usr/bin:/bin", NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int code;

    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    code = set_up_spawn(&files, &attributes);
    if (code == 0)
        code = posix_spawn(ret_pid, "/bin/sh", &files, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    errno = code;
    return code == 0 ? 0 : error_errno(err, "cannot start '/bin/sh'");
}

static void watch(struct remover *remover, const char *path, pid_t pid)
{
    struct removal *const removal = xcalloc(1, sizeof(*removal));
    struct error err;

    removal->remover = remover;
    removal->path = xstrdup(path);
    removal->exit.on_exit = on_remover_exit;
    removal->exit.data = removal;
    removal->next = remover->going;
    remover->going = removal;
    if (child_watch_start(&removal->exit, remover->loop, pid, &err) == -1) {
        log_warning("%s", err.message); /* it works, but we do not hear of its end */
        forget(removal);
    }
}

/* --- what is removed -------------------------------------------------------------------- */

/* In the same folder, since a test may forbid its own one to be moved to another. The
 * caller frees the new path; NULL: errno says why not. */
static char *put_aside(struct remover *remover, const char *path)
{
    const char *const slash = strrchr(path, '/');

    for (;;) {
        char *const aside =
            xasprintf("%.*s/" REMOVER_PREFIX "%ld-%lu", (int)(slash - path), path,
                      (long)getpid(), ++remover->last);

        if (rename(path, aside) == 0)
            return aside;
        free(aside);
        if (errno != EEXIST && errno != ENOTEMPTY)
            return NULL;
    }
}

void remover_remove_gone(struct remover *remover, const char *path)
{
    char *const copy = xstrdup(path);
    struct error err;
    pid_t pid = 0;

    if (spawn(copy, &pid, &err) == 0) {
        watch(remover, path, pid);
    } else {
        log_warning("%s: removing '%s' may take a while", err.message, path);
        if (folder_remove(path, &err) == -1)
            log_warning("%s", err.message);
    }
    free(copy);
}

void remover_remove(struct remover *remover, const char *path)
{
    char *const aside = put_aside(remover, path);
    struct error err;

    if (aside != NULL)
        remover_remove_gone(remover, aside);
    else if (errno != ENOENT && folder_remove(path, &err) == -1)
        log_warning("%s", err.message);
    free(aside);
}

bool remover_is_done(const struct remover *remover)
{
    return remover->going == NULL;
}

void remover_close(struct remover *remover)
{
    while (remover->going != NULL)
        forget(remover->going);
}
