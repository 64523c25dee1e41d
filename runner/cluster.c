#include "runner/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/endpoint.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/loop.h"
#include "base/memory.h"
#include "base/program.h"

#define LOCK_PATIENCE_S 60.0 /* another runner holds it until its agents are there */
#define START_PATIENCE_S 10.0
#define LEAVE_PATIENCE_S 5.0
#define STEP_MS 50
#define LOG_MAX (1 << 20)                  /* bytes: then it begins anew */
#define LOG_READ_MAX ((size_t)2 * LOG_MAX) /* some were added just now */
#define BROKER "broker"                    /* its log's name */

/* A program of the cluster that was started here. */
struct member {
    pid_t pid;
    char *name; /* of its log */
};

struct cluster {
    const struct frontend *frontend;
    char *directory; /* where its logs are, and where it runs */
    long leave_after;
    struct pidlock lock; /* of whoever starts something; may be not held */
    struct member *members;
    size_t member_count;
};

static char *log_of(const struct cluster *cluster, const char *name)
{
    return xasprintf("%s/%s.log", cluster->directory, name);
}

/* --- logs --------------------------------------------------------------------------- */

static int limit_log(int log)
{
    struct stat info;

    if (fstat(log, &info) == -1)
        return -1;
    return info.st_size > LOG_MAX ? ftruncate(log, 0) : 0;
}

/* A program holds the lock of its log for as long as anything of it lives: so the log
 * begins anew only where nobody writes to it. A descriptor; or -1. */
static int open_log(const struct cluster *cluster, const char *name, bool *ret_is_taken,
                    struct error *err)
{
    char *const path = log_of(cluster, name);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    *ret_is_taken = log != -1 && flock(log, LOCK_EX | LOCK_NB) == -1;
    if (log == -1 || (!*ret_is_taken && limit_log(log) == -1)) {
        error_errno(err, "cannot open the log '%s'", path);
        fd_close(&log);
    }
    free(path);
    return log;
}

/* The first log of an agent that no living one writes to. */
static int open_agent_log(const struct cluster *cluster, char **ret_name,
                          struct error *err)
{
    for (unsigned long number = 1;; number++) {
        char *const name = xasprintf("agent-%lu", number);
        bool is_taken;
        int log = open_log(cluster, name, &is_taken, err);

        if (log != -1 && !is_taken) {
            *ret_name = name;
            return log;
        }
        free(name);
        if (log == -1)
            return -1;
        fd_close(&log);
    }
}

/* --- one program -------------------------------------------------------------------- */

/* Of a child in a session of its own, with nothing of ours but the log. */
static int set_up_files(const struct cluster *cluster, int log,
                        posix_spawn_file_actions_t *files)
{
    int code =
        posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

    if (code == 0)
        code = posix_spawn_file_actions_adddup2(files, log, STDERR_FILENO);
    if (code == 0)
        code = posix_spawn_file_actions_adddup2(files, STDERR_FILENO, STDOUT_FILENO);
    if (code == 0)
        code = posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
    if (code == 0)
        code = posix_spawn_file_actions_addchdir_np(files, cluster->directory);
    return code;
}

static int set_up_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &all);
    return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID |
                                                    POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF);
}

static int spawn(const struct cluster *cluster, char *const *argv, int log,
                 pid_t *ret_pid, struct error *err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int code;

    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    code = set_up_files(cluster, log, &files);
    if (code == 0)
        code = set_up_attributes(&attributes);
    if (code == 0)
        code = posix_spawn(ret_pid, argv[0], &files, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    errno = code;
    return code == 0 ? 0 : error_errno(err, "cannot start '%s'", argv[0]);
}

/* `option` and its value may be NULL. */
static int start_program(struct cluster *cluster, const char *program, const char *name,
                         int log, const char *option, const char *value,
                         struct error *err)
{
    char *const path = program_beside(program);
    char *const leave_after = xasprintf("%ld", cluster->leave_after);
    char *const argv[] = {path,           (char *)"--leave-after", leave_after,
                          (char *)option, (char *)value,           NULL};
    pid_t pid = 0;
    const int rc = spawn(cluster, argv, log, &pid, err);

    if (rc == 0) {
        cluster->members = xrealloc_array(cluster->members, cluster->member_count + 1,
                                          sizeof(*cluster->members));
        cluster->members[cluster->member_count++] =
            (struct member){.pid = pid, .name = xstrdup(name)};
    }
    free(leave_after);
    free(path);
    return rc;
}

/* One before it may not have let go of the log yet: this one's lines come behind. */
static int start_broker(struct cluster *cluster, struct error *err)
{
    bool is_taken;
    int log = open_log(cluster, BROKER, &is_taken, err), rc;

    if (log == -1)
        return -1;
    rc = start_program(cluster, "molotov-broker", BROKER, log, NULL, NULL, err);
    fd_close(&log);
    return rc;
}

static int start_agent(struct cluster *cluster, struct error *err)
{
    char *name = NULL;
    int log = open_agent_log(cluster, &name, err), rc;

    if (log == -1)
        return -1;
    rc = start_program(cluster, "molotov-agent", name, log, "--broker",
                       cluster->frontend->endpoint, err);
    fd_close(&log);
    free(name);
    return rc;
}

/* --- waiting ------------------------------------------------------------------------ */

/* Until no broker is at the endpoint: 0; or -1, there is one for so long. One that is
 * leaving takes no requests any more, and has its lock (broker.c) for another moment. */
static int await_vacancy(const struct cluster *cluster, double timeout_s)
{
    char *const path =
        xasprintf("%s.lock", endpoint_ipc_path(cluster->frontend->endpoint));
    struct pidlock lock;
    const int rc = pidlock_wait(&lock, path, timeout_s, NULL);

    pidlock_release(&lock);
    free(path);
    return rc;
}

/* A broker that ended since somebody else's was quicker is not missed. */
static bool is_missed(const struct cluster *cluster, const struct member *member)
{
    return strcmp(member->name, BROKER) != 0 || await_vacancy(cluster, 0) == 0;
}

/* One of those that were started, and has ended already; NULL: none. */
static const struct member *find_ended(const struct cluster *cluster)
{
    for (size_t i = 0; i < cluster->member_count; i++)
        if (waitpid(cluster->members[i].pid, NULL, WNOHANG) != 0 &&
            is_missed(cluster, &cluster->members[i]))
            return &cluster->members[i];
    return NULL;
}

/* The last line of its log says it best. */
static int say_ended(const struct cluster *cluster, const struct member *member,
                     struct error *err)
{
    char *const log = log_of(cluster, member->name);
    struct buffer text = BUFFER_INIT;
    const char *line = "it says nothing";
    char *end;

    if (file_read(log, LOG_READ_MAX, &text, NULL) == 0 && text.size > 0) {
        if (text.data[text.size - 1] == '\n')
            text.data[text.size - 1] = '\0';
        end = strrchr(text.data, '\n');
        line = end != NULL ? end + 1 : text.data;
    }
    error_set(err, "%s of this machine's cluster did not start: %s (its log is %s)",
              member->name, line, log);
    buffer_clear(&text);
    free(log);
    return -1;
}

static size_t count_free(const struct message_pong *pong)
{
    size_t count = 0;

    for (size_t i = 0; i < pong->agent_count; i++)
        count += pong->agents[i].run[0] == '\0' && !pong->agents[i].silent;
    return count;
}

static int say_late(const struct cluster *cluster, size_t agents, struct error *err)
{
    return error_set(err,
                     "this machine's cluster has not %zu free agents after %.0f s; its "
                     "logs are in %s",
                     agents, START_PATIENCE_S, cluster->directory);
}

/* Until a broker answers that has so many free agents; `ret_pong` is its answer. */
static int wait_for(const struct cluster *cluster, size_t agents,
                    struct message_pong *ret_pong, struct error *err)
{
    static const struct timespec step = {.tv_nsec = STEP_MS * 1000000L};
    const uint64_t end_us = clock_us() + (uint64_t)(START_PATIENCE_S * US_PER_S);
    const struct member *ended;

    while (clock_us() < end_us) {
        if (!endpoint_is_dead(cluster->frontend->endpoint)) {
            if (client_ping(cluster->frontend, ret_pong, err) == -1)
                return -1;
            if (count_free(ret_pong) >= agents)
                return 0;
            message_pong_clear(ret_pong);
        }
        ended = find_ended(cluster);
        if (ended != NULL)
            return say_ended(cluster, ended, err);
        nanosleep(&step, NULL);
    }
    return say_late(cluster, agents, err);
}

/* --- the cluster -------------------------------------------------------------------- */

static int find_broker(struct cluster *cluster, struct message_pong *ret_pong,
                       struct error *err)
{
    const bool is_there = !endpoint_is_dead(cluster->frontend->endpoint);

    if (is_there && client_ping(cluster->frontend, ret_pong, err) == 0)
        return 0;
    if (await_vacancy(cluster, LEAVE_PATIENCE_S) == -1)
        return is_there ? -1 : client_ping(cluster->frontend, ret_pong, err);
    if (start_broker(cluster, err) == -1)
        return -1;
    return wait_for(cluster, 0, ret_pong, err);
}

static int add_agents(struct cluster *cluster, struct message_pong *pong, size_t wanted,
                      struct error *err)
{
    for (size_t there = count_free(pong); there < wanted; there++)
        if (start_agent(cluster, err) == -1)
            return -1;
    message_pong_clear(pong);
    return wait_for(cluster, wanted, pong, err);
}

static int ensure(struct cluster *cluster, size_t agents, struct error *err)
{
    struct message_pong pong = {.pid = 0};
    int rc = find_broker(cluster, &pong, err);

    if (rc == 0 && pong.temporary && count_free(&pong) < agents)
        rc = add_agents(cluster, &pong, agents, err);
    message_pong_clear(&pong);
    return rc;
}

/* 0, and the lock is held; or -1. */
static int open_cluster(struct cluster *cluster, double patience_s, struct error *err)
{
    char *path;
    int rc;

    if (run_directory(&cluster->directory, err) == -1)
        return -1;
    path = xasprintf("%s/cluster.lock", cluster->directory);
    rc = pidlock_wait(&cluster->lock, path, patience_s, err);
    if (rc == -1)
        error_prefix(err, "the cluster of this machine is being started by another");
    free(path);
    return rc;
}

/* From now on nobody waits for the members: the kernel does. */
static void close_cluster(struct cluster *cluster)
{
    pidlock_release(&cluster->lock);
    signal(SIGCHLD, SIG_IGN);
    for (size_t i = 0; i < cluster->member_count; i++) {
        waitpid(cluster->members[i].pid, NULL, WNOHANG);
        free(cluster->members[i].name);
    }
    free(cluster->members);
    free(cluster->directory);
}

int cluster_ensure(const struct frontend *frontend, unsigned long agents,
                   long leave_after, struct pidlock *ret_lock, struct error *err)
{
    struct cluster cluster = {
        .frontend = frontend, .leave_after = leave_after, .lock = {.fd = -1}};
    int rc = -1;

    if (open_cluster(&cluster, LOCK_PATIENCE_S, err) == 0 &&
        ensure(&cluster, agents, err) == 0) {
        *ret_lock = cluster.lock;
        cluster.lock.fd = -1;
        rc = 0;
    }
    close_cluster(&cluster);
    return rc;
}

int cluster_revive(const struct frontend *frontend, long leave_after, struct error *err)
{
    struct cluster cluster = {
        .frontend = frontend, .leave_after = leave_after, .lock = {.fd = -1}};
    struct message_pong pong = {.pid = 0};
    int rc = 0;

    if (open_cluster(&cluster, 0, NULL) == 0 && endpoint_is_dead(frontend->endpoint)) {
        rc = find_broker(&cluster, &pong, err);
        message_pong_clear(&pong);
    }
    if (rc == 0 && cluster.member_count > 0)
        rc = 1;
    close_cluster(&cluster);
    return rc;
}
