#include "engine/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/memory.h"
#include "engine/slave.h"

#define WATCH_S 1.0
#define FORCED_END_S \
    10.0 /* for a slave to end after a forced stop, before it is killed */

/* --- what the slave says --------------------------------------------------------------------- */

static void set_failure(struct supervisor *supervisor, char *failure)
{
    free(supervisor->failure);
    supervisor->failure = failure;
}

/* What it measured cannot be read: whatever it may still say is not believed. */
static void give_up(struct supervisor *supervisor, const char *why)
{
    log_error("run=%s: the slave is broken: %s", supervisor->job->run_id, why);
    set_failure(supervisor, xasprintf("the slave is broken: %s", why));
    channel_close(&supervisor->channel);
    supervisor_kill(supervisor);
}

static void take_delta(struct supervisor *supervisor, const msgpack_object *map)
{
    const msgpack_object *body;
    struct delta delta;
    struct error err;

    if (wire_get_map(map, "delta", &body, &err) == -1 ||
        delta_unpack(body, &delta, &err) == -1) {
        give_up(supervisor, err.message);
        return;
    }
    supervisor->on_delta(supervisor, &delta);
    delta_clear(&delta);
}

static void take_stopping(struct supervisor *supervisor, const msgpack_object *map)
{
    struct message_stopping stopping;

    if (message_unpack_stopping(map, &stopping, NULL) == -1)
        return;
    supervisor->on_stopping(supervisor, stopping.why, stopping.failed);
    free(stopping.why);
}

static void take_lost(struct supervisor *supervisor, const msgpack_object *map)
{
    struct message_lost lost;

    if (message_unpack_lost(map, &lost, NULL) == -1)
        return;
    /* The user's code can reach the channel: what cannot be true is not believed. */
    if (supervisor->lost++ < job_process_count(supervisor->job))
        supervisor->on_lost(supervisor, &lost);
    free(lost.scenario);
}

static void take_refused(struct supervisor *supervisor, const msgpack_object *map)
{
    char *why;

    if (message_unpack_why(map, &why, NULL) == -1)
        why = xstrdup("the slave refused the job");
    set_failure(supervisor, why);
}

/* It has so long to end by itself. The first reason counts. */
static void kill_soon(struct supervisor *supervisor, const char *why)
{
    if (supervisor->kill_at_us != 0)
        return;
    supervisor->kill_at_us = clock_us() + (uint64_t)(FORCED_END_S * US_PER_S);
    supervisor->why_killed = why;
}

static void on_slave_message(struct channel *channel, enum proto_message message,
                             const msgpack_object *map)
{
    struct supervisor *const supervisor = channel->data;

    supervisor->heard_us = clock_us();
    switch (message) {
    case MESSAGE_READY:
        if (!supervisor->begun)
            supervisor->on_ready(supervisor);
        break;
    case MESSAGE_REFUSED:
        take_refused(supervisor, map);
        break;
    case MESSAGE_DELTA:
        take_delta(supervisor, map);
        break;
    case MESSAGE_STOPPING:
        take_stopping(supervisor, map);
        break;
    case MESSAGE_LOST:
        take_lost(supervisor, map);
        break;
    case MESSAGE_TEARDOWN:
        supervisor->tearing_down = true;
        supervisor->on_teardown(supervisor);
        break;
    case MESSAGE_END:
        supervisor->ended = true;
        kill_soon(supervisor, ""); /* whatever it still does is not the run's */
        break;
    default:
        log_error("the slave sent %s", proto_message_names[message]);
    }
}

/* It closed the channel, or sent what is no message: its end is waited for, not long. */
static void on_slave_closed(struct channel *channel, const struct error *err)
{
    struct supervisor *const supervisor = channel->data;

    if (!supervisor->ended)
        log_info("run=%s: of the slave: %s", supervisor->job->run_id, err->message);
    kill_soon(supervisor, ", since it had closed its channel");
}

/* --- its end ----------------------------------------------------------------------------------- */

/* The only process of a run is the slave itself. */
static void report_own_loss(struct supervisor *supervisor, int status)
{
    struct message_lost lost = {
        .index = 0,
        .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
        .status = WIFEXITED(status) ? WEXITSTATUS(status) : 0,
        .stuck = supervisor->stuck,
        .scenario = blackbox_running(supervisor->box, 0),
    };

    supervisor->on_lost(supervisor, &lost);
    free(lost.scenario);
}

static void describe_end(const struct supervisor *supervisor, int status,
                         char ret_text[ERROR_SIZE])
{
    char how[64];
    char *const running = blackbox_running(supervisor->box, 0);
    const bool one = job_process_count(supervisor->job) == 1 || !supervisor->begun ||
                     supervisor->tearing_down;

    child_describe_exit(status, how, sizeof(how));
    snprintf(ret_text, ERROR_SIZE, "the slave %s%s%s%s%s", how,
             supervisor->killed ? supervisor->why_killed : "",
             one && running != NULL ? ", while it ran '" : "",
             one && running != NULL ? running : "", one && running != NULL ? "'" : "");
    free(running);
}

static void on_slave_exit(struct child_watch *watch, int status)
{
    struct supervisor *const supervisor = watch->data;
    char text[ERROR_SIZE];

    /* First whatever the user's code has started, which may hold the channel, too. */
    kill(-supervisor->pid, SIGKILL);
    supervisor->pid = 0;
    channel_drain(&supervisor->channel);
    channel_close(&supervisor->channel);
    ev_timer_stop(supervisor->loop, &supervisor->watch);
    if (supervisor->failure != NULL) {
        supervisor->on_end(supervisor, supervisor->failure);
        return;
    }
    if (supervisor->ended) {
        supervisor->on_end(supervisor, NULL);
        return;
    }
    if (supervisor->begun && !supervisor->tearing_down &&
        (supervisor->stuck || !supervisor->killed) &&
        job_process_count(supervisor->job) == 1)
        report_own_loss(supervisor, status);
    describe_end(supervisor, status, text);
    supervisor->on_end(supervisor, text);
}

static void kill_for(struct supervisor *supervisor, const char *why)
{
    if (supervisor->pid == 0)
        return;
    supervisor->killed = true;
    supervisor->why_killed = why;
    kill(-supervisor->pid, SIGKILL);
    kill(supervisor->pid, SIGKILL); /* where it is not yet in its own group */
}

void supervisor_kill(struct supervisor *supervisor)
{
    kill_for(supervisor, ", as it was told to end at once");
}

static bool is_silent(const struct supervisor *supervisor, uint64_t now_us)
{
    /* Before the START and in global_teardown it may be busy as long as it likes. */
    return supervisor->begun && !supervisor->tearing_down &&
           now_us - supervisor->heard_us >
               (uint64_t)(supervisor->job->stuck_timeout_s * US_PER_S);
}

static void on_watch_due(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct supervisor *const supervisor = timer->data;

    (void)loop;
    (void)revents;
    if (is_silent(supervisor, clock_us())) {
        channel_drain(&supervisor->channel); /* it may be we who were held up */
        supervisor->stuck = is_silent(supervisor, clock_us());
    }
    if (supervisor->stuck)
        kill_for(supervisor, ", since it did not answer for --stuck-timeout");
    else if (supervisor->kill_at_us != 0 && clock_us() > supervisor->kill_at_us)
        kill_for(supervisor, supervisor->why_killed);
}

/* --- its start --------------------------------------------------------------------------------- */

/* In the forked child: becomes the slave. Only async-signal-safe calls. */
static _Noreturn void exec_slave(const struct supervisor *supervisor, int channel,
                                 int blackbox, pid_t parent)
{
    char *const argv[] = {"molotov-runner", "--slave", NULL};
    const int nothing = open("/dev/null", O_RDONLY);
    int high[2];

    signals_restore();
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_FAILURE); /* it died before the line above */
    /* Out of the way of the numbers that they are to get. */
    high[0] = fcntl(channel, F_DUPFD, 10);
    high[1] = fcntl(blackbox, F_DUPFD, 10);
    dup2(high[0], SLAVE_CHANNEL_FD);
    dup2(high[1], SLAVE_BLACKBOX_FD);
    dup2(nothing, STDIN_FILENO);
    if (supervisor->stdout_to_stderr)
        dup2(STDERR_FILENO, STDOUT_FILENO);
    close_range(SLAVE_BLACKBOX_FD + 1, ~0u, 0);
    if (supervisor->directory == NULL || chdir(supervisor->directory) == 0)
        execv(supervisor->program != NULL ? supervisor->program : "/proc/self/exe",
              argv);
    _exit(127);
}

static void send_job(struct supervisor *supervisor)
{
    struct buffer message = BUFFER_INIT;
    msgpack_packer packer;

    message_begin(&message, &packer, MESSAGE_JOB, 2);
    wire_put_u64(&packer, "version", PROTO_VERSION);
    wire_put_string(&packer, "job");
    job_pack(supervisor->job, &packer);
    channel_send(&supervisor->channel, &message);
    buffer_clear(&message);
}

static void adopt_slave(struct supervisor *supervisor, pid_t pid, int channel)
{
    setpgid(pid, pid); /* whoever of the two comes first */
    supervisor->pid = pid;
    supervisor->heard_us = clock_us();
    supervisor->channel = (struct channel){.on_message = on_slave_message,
                                           .on_close = on_slave_closed,
                                           .data = supervisor};
    channel_open(&supervisor->channel, supervisor->loop, channel);
    ev_timer_init(&supervisor->watch, on_watch_due, WATCH_S, WATCH_S);
    supervisor->watch.data = supervisor;
    ev_timer_start(supervisor->loop, &supervisor->watch);
    supervisor->exit.data = supervisor;
    supervisor->exit.on_exit = on_slave_exit;
}

/* What a forked child could not tell in words. */
static int check_places(const struct supervisor *supervisor, struct error *err)
{
    if (supervisor->program != NULL && access(supervisor->program, X_OK) == -1)
        return error_errno(err, "cannot run '%s'", supervisor->program);
    if (supervisor->directory != NULL && access(supervisor->directory, X_OK) == -1)
        return error_errno(err, "cannot run in '%s'", supervisor->directory);
    return 0;
}

int supervisor_start(struct supervisor *supervisor, struct error *err)
{
    const size_t processes = job_process_count(supervisor->job);
    const pid_t own = getpid();
    int fds[2] = {-1, -1}, box = -1;
    pid_t pid;
    int rc = -1;

    supervisor->channel.fd = -1;
    if (check_places(supervisor, err) == -1 || channel_pair(fds, err) == -1 ||
        blackbox_create(processes, &box, err) == -1 ||
        blackbox_map(box, processes, &supervisor->box, err) == -1)
        goto out;
    fflush(NULL);
    pid = fork();
    if (pid == -1) {
        error_errno(err, "cannot fork");
        goto out;
    }
    if (pid == 0)
        exec_slave(supervisor, fds[1], box, own);
    adopt_slave(supervisor, pid, fds[0]);
    fds[0] = -1; /* the channel's now */
    if (child_watch_start(&supervisor->exit, supervisor->loop, pid, err) == -1) {
        supervisor_kill(supervisor);
        waitpid(pid, NULL, 0);
        supervisor->pid = 0;
        goto out;
    }
    send_job(supervisor);
    rc = 0;
out:
    fd_close(&fds[0]);
    fd_close(&fds[1]);
    fd_close(&box);
    if (rc == -1)
        supervisor_close(supervisor);
    return rc;
}

void supervisor_begin(struct supervisor *supervisor)
{
    struct buffer message = BUFFER_INIT;

    message_pack_plain(&message, MESSAGE_START);
    channel_send(&supervisor->channel, &message);
    buffer_clear(&message);
    supervisor->begun = true;
    supervisor->heard_us = clock_us();
}

void supervisor_stop(struct supervisor *supervisor, bool force)
{
    struct buffer message = BUFFER_INIT;

    message_pack_stop(&message, force);
    channel_send(&supervisor->channel, &message);
    buffer_clear(&message);
    if (force)
        kill_soon(supervisor, ", as it was told to end at once");
}

void supervisor_close(struct supervisor *supervisor)
{
    ev_timer_stop(supervisor->loop, &supervisor->watch);
    child_watch_stop(&supervisor->exit);
    channel_close(&supervisor->channel);
    blackbox_unmap(supervisor->box);
    supervisor->box = NULL;
    set_failure(supervisor, NULL);
}
