#include "agent/workplace.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/endpoint.h"
#include "base/log.h"
#include "base/memory.h"

#define PREFIX "agent-"

/* --- where ---------------------------------------------------------------------------- */

/* /run often is mounted so that no code can be loaded from it. */
static bool takes_code(const char *folder)
{
    struct statvfs info;

    return statvfs(folder, &info) == 0 && (info.f_flag & ST_NOEXEC) == 0;
}

static int find_parent(char **ret_parent, struct error *err)
{
    static int (*const directories[])(char **, struct error *) = {run_directory,
                                                                  state_directory};

    error_set(err, "tests cannot be loaded from the directories for them");
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
        char *parent = NULL;

        if (directories[i](&parent, err) == -1)
            return -1;
        if (takes_code(parent)) {
            *ret_parent = parent;
            return 0;
        }
        error_set(err,
                  "no code can be loaded from '%s', which is mounted 'noexec': set "
                  "$XDG_STATE_HOME to a directory where it can be",
                  parent);
        free(parent);
    }
    return -1;
}

/* --- what dead agents left -------------------------------------------------------------- */

/* The pid in the name of an agent's directory; 0: it is none. */
static pid_t read_pid(const char *name)
{
    char *end;
    long pid;

    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
        return 0;
    pid = strtol(name + strlen(PREFIX), &end, 10);
    return *end == '\0' && pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

/* It may be one that starts just now, before it has the lock; or one whose process is
 * not seen from here, which holds it. */
static void remove_if_left(struct remover *remover, const char *path, pid_t pid)
{
    struct pidlock lock;
    char *lock_path;
    pid_t holder;

    if (pid != getpid() && (kill(pid, 0) == 0 || errno != ESRCH))
        return;
    lock_path = xasprintf("%s/lock", path);
    /* Without a holder it is the disk that is full, perhaps of this. */
    if (pidlock_take(&lock, lock_path, &holder, NULL) == 0 || holder == 0) {
        log_info("directory=%s of a dead agent is removed", path);
        remover_remove(remover, path);
        pidlock_release(&lock);
    }
    free(lock_path);
}

static void consider(struct remover *remover, const char *parent, const char *name)
{
    char *const path = xasprintf("%s/%s", parent, name);
    const pid_t pid = read_pid(name);

    if (pid != 0)
        remove_if_left(remover, path, pid);
    else if (strncmp(name, REMOVER_PREFIX, strlen(REMOVER_PREFIX)) == 0)
        remover_remove_gone(remover, path); /* perhaps a second time: that is fine */
    free(path);
}

static void remove_left_ones(struct remover *remover, const char *parent)
{
    DIR *const folder = opendir(parent);
    const struct dirent *entry;

    if (folder == NULL)
        return;
    while ((entry = readdir(folder)) != NULL)
        consider(remover, parent, entry->d_name);
    closedir(folder);
}

/* --- ours ----------------------------------------------------------------------------- */

/* It is there already: its holder has our pid, as seen from where it lives. */
static int say_taken(const struct workplace *place, const char *lock_path,
                     struct error *err)
{
    struct pidlock lock;
    struct error held;

    if (pidlock_take(&lock, lock_path, NULL, &held) == 0) {
        pidlock_release(&lock);
        error_set(&held, "it cannot be removed");
    }
    return error_set(err,
                     "the folder '%s' is there already: %s; an agent in a container of "
                     "its own needs an $XDG_RUNTIME_DIR of its own",
                     place->path, held.message);
}

static int make(struct workplace *place, struct error *err)
{
    char *const lock_path = xasprintf("%s/lock", place->path);
    int rc = -1;

    if (mkdir(place->path, 0700) == 0) {
        rc = pidlock_take(&place->lock, lock_path, NULL, err);
        if (rc == -1)
            rmdir(place->path);
    } else if (errno == EEXIST) {
        say_taken(place, lock_path, err);
    } else {
        error_errno(err, "cannot make the folder '%s'", place->path);
    }
    free(lock_path);
    return rc;
}

int workplace_open(struct workplace *place, struct remover *remover, struct error *err)
{
    char *parent = NULL;
    int rc;

    place->path = NULL;
    place->lock.fd = -1;
    place->remover = remover;
    if (find_parent(&parent, err) == -1)
        return -1;
    remove_left_ones(remover, parent);
    place->path = xasprintf("%s/" PREFIX "%ld", parent, (long)getpid());
    free(parent);
    rc = make(place, err);
    if (rc == -1) {
        free(place->path);
        place->path = NULL;
    }
    return rc;
}

void workplace_close(struct workplace *place)
{
    if (place->path == NULL)
        return;
    remover_remove(place->remover, place->path);
    pidlock_release(&place->lock);
    free(place->path);
    place->path = NULL;
}
