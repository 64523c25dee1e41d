#include "engine/engine.h"

#include <errno.h>
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
#include "base/loop.h"
#include "base/memory.h"
#include "engine/process.h"
#include "proto/channel.h"

#define WATCH_S 1.0      /* how often silent processes are looked for */
#define LAST_WORDS_S 30. /* for a process's last delta to be taken */

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#else
static void __lsan_do_leak_check(void)
{
}
#endif

/* One forked process, as the engine sees it. */
struct engine_process {
    struct engine *engine;
    size_t index;
    pid_t pid; /* 0: has ended */
    struct child_watch exit;
    struct channel channel;
    uint64_t heard_us; /* when it last sent anything */
    bool ended;        /* it has sent all it measured */
    bool stuck;        /* was killed for its silence */
};

static size_t engine_process_count(const struct engine *engine)
{
    return job_process_count(engine->job);
}

/* --- merging and handing on ------------------------------------------------------------- */

static void hand_on(struct engine *engine)
{
    engine->merged.sequence++;
    engine->merged.until_us = clock_us() - engine->started_us;
    engine->on_delta(engine, &engine->merged);
    delta_reset(&engine->merged, engine->merged.until_us);
}

static void on_flush_due(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct engine *const engine = timer->data;

    (void)loop;
    (void)revents;
    if (engine->may_send(engine))
        hand_on(engine);
}

void engine_notice(struct engine *engine, const char *text)
{
    char mark[JOB_MARK_SIZE];
    char *const line = xasprintf("%s%s", job_agent_mark(engine->job, mark), text);

    delta_add_line(&engine->merged, LINE_NOTICE, line);
    free(line);
}

/* The first reason to stop is the one that counts. */
static void end_early(struct engine *engine, const char *why, bool failed)
{
    if (!engine->stopping || failed)
        engine->on_stopping(engine, why, failed);
    engine_stop(engine, false);
}

/* --- forked processes: the child --------------------------------------------------------- */

struct child {
    struct process process;
    struct channel channel;
    struct buffer message;
};

static bool child_may_flush(struct process *process)
{
    const struct child *const child = process->owner;

    return channel_waiting(&child->channel) == 0;
}

static void child_send_delta(struct process *process, const struct delta *delta)
{
    struct child *const child = process->owner;
    msgpack_packer packer;

    message_begin(&child->message, &packer, MESSAGE_DELTA, 1);
    wire_put_string(&packer, "delta");
    delta_pack(delta, &packer);
    channel_send(&child->channel, &child->message);
}

static void child_send_stopping(struct process *process, const char *why, bool failed)
{
    struct child *const child = process->owner;

    message_pack_stopping(&child->message, why, failed);
    channel_send(&child->channel, &child->message);
}

static void on_child_message(struct channel *channel, enum proto_message message,
                             const msgpack_object *map)
{
    struct child *const child = channel->data;
    bool force = false;

    if (message != MESSAGE_STOP)
        return;
    wire_get_bool(map, "force", &force, NULL);
    process_stop(&child->process, force);
}

/* The engine is gone, and so is whoever would count this process's work. */
static void on_child_orphaned(struct channel *channel, const struct error *err)
{
    (void)channel;
    (void)err;
    _exit(EXIT_FAILURE);
}

static _Noreturn void run_child(const struct engine_process *self, int fd)
{
    const struct engine *const engine = self->engine;
    struct child *const child = xcalloc(1, sizeof(*child));
    struct ev_loop *const loop = loop_new();
    struct error err;

    child->channel = (struct channel){
        .on_message = on_child_message, .on_close = on_child_orphaned, .data = child};
    channel_open(&child->channel, loop, fd);
    child->process = (struct process){.may_flush = child_may_flush,
                                      .on_delta = child_send_delta,
                                      .on_stopping = child_send_stopping,
                                      .owner = child};
    process_open(&child->process, loop, engine->job, engine->test, (long)self->index,
                 blackbox_slot(engine->box, self->index), engine->started_us);
    process_run(&child->process);
    message_pack_plain(&child->message, MESSAGE_END);
    channel_send(&child->channel, &child->message);
    if (channel_flush(&child->channel, LAST_WORDS_S, &err) == -1)
        log_error("process=%zu cannot report: %s", self->index, err.message);
    process_close(&child->process);
    channel_close(&child->channel);
    buffer_clear(&child->message);
    ev_loop_destroy(loop);
    free(child);
    fflush(NULL);
    __lsan_do_leak_check(); /* _exit() leaves it out */
    _exit(EXIT_SUCCESS);
}

/* --- forked processes: the parent --------------------------------------------------------- */

static void on_process_message(struct channel *channel, enum proto_message message,
                               const msgpack_object *map)
{
    struct engine_process *const process = channel->data;
    struct engine *const engine = process->engine;
    struct message_stopping stopping = {.why = NULL};
    const msgpack_object *body;
    struct delta delta;
    struct error err;

    process->heard_us = clock_us();
    switch (message) {
    case MESSAGE_DELTA:
        if (wire_get_map(map, "delta", &body, &err) == -1 ||
            delta_unpack(body, &delta, &err) == -1) {
            log_error("process=%zu sent no delta: %s", process->index, err.message);
            return;
        }
        delta_merge(&engine->merged, &delta);
        delta_clear(&delta);
        break;
    case MESSAGE_STOPPING:
        if (message_unpack_stopping(map, &stopping, &err) == 0)
            end_early(engine, stopping.why, stopping.failed);
        free(stopping.why);
        break;
    case MESSAGE_END:
        process->ended = true;
        break;
    default:
        log_error("process=%zu sent %s", process->index, proto_message_names[message]);
    }
}

static void describe_loss(const struct message_lost *lost, const char *how,
                          char ret_text[LINE_TEXT_MAX])
{
    snprintf(ret_text, LINE_TEXT_MAX, "process %u %s%s%s%s%s", lost->index, how,
             lost->stuck ? ", since it did not answer for --stuck-timeout" : "",
             lost->scenario != NULL ? ", while it ran '" : "",
             lost->scenario != NULL ? lost->scenario : "",
             lost->scenario != NULL ? "'" : "");
}

static void report_loss(struct engine_process *process, int status)
{
    struct engine *const engine = process->engine;
    struct message_lost lost = {
        .index = (unsigned)process->index,
        .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
        .status = WIFEXITED(status) ? WEXITSTATUS(status) : 0,
        .stuck = process->stuck,
        .scenario = blackbox_running(engine->box, process->index),
    };
    char how[64], text[LINE_TEXT_MAX];

    child_describe_exit(status, how, sizeof(how));
    describe_loss(&lost, how, text);
    engine_notice(engine, text);
    engine->on_lost(engine, &lost);
    free(lost.scenario);
}

static void on_process_exit(struct child_watch *watch, int status)
{
    struct engine_process *const process = watch->data;
    struct engine *const engine = process->engine;

    channel_drain(&process->channel);
    channel_close(&process->channel);
    process->pid = 0;
    if (!process->ended)
        report_loss(process, status);
    if (--engine->left == 0)
        ev_break(engine->loop, EVBREAK_ALL);
}

/* A process that has said nothing for --stuck-timeout is in code that never returns. */
static void on_watch_due(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct engine *const engine = timer->data;
    const uint64_t patience_us = (uint64_t)(engine->job->stuck_timeout_s * US_PER_S);

    (void)loop;
    (void)revents;
    for (size_t i = 0; i < engine_process_count(engine); i++) {
        struct engine_process *const process = &engine->processes[i];

        if (process->pid == 0 || clock_us() - process->heard_us < patience_us)
            continue;
        channel_drain(&process->channel); /* it may be we who were held up */
        if (clock_us() - process->heard_us < patience_us)
            continue;
        process->stuck = true;
        kill(process->pid, SIGKILL);
    }
}

/* In a forked child: nothing of the engine's stays open, since a sibling's channel held
 * here would hide the engine's death from that sibling. */
static void leave_engine(struct engine *engine, pid_t engine_pid)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != engine_pid)
        _exit(EXIT_FAILURE); /* it died before the line above */
    for (size_t i = 0; i < engine_process_count(engine); i++) {
        child_watch_stop(&engine->processes[i].exit);
        channel_close(&engine->processes[i].channel);
    }
    engine->close_inherited(engine);
    ev_loop_destroy(engine->loop);
}

static int fork_process(struct engine *engine, size_t index, struct error *err)
{
    struct engine_process *const process = &engine->processes[index];
    const pid_t engine_pid = getpid();
    int fds[2] = {-1, -1};
    pid_t pid;

    if (channel_pair(fds, err) == -1)
        return -1;
    fflush(NULL);
    pid = fork();
    if (pid == -1) {
        error_errno(err, "cannot fork process %zu", index);
        fd_close(&fds[0]);
        fd_close(&fds[1]);
        return -1;
    }
    if (pid == 0) {
        leave_engine(engine, engine_pid);
        fd_close(&fds[0]);
        run_child(process, fds[1]);
    }
    fd_close(&fds[1]);
    process->pid = pid;
    process->heard_us = clock_us();
    process->channel.data = process;
    process->channel.on_message = on_process_message;
    channel_open(&process->channel, engine->loop, fds[0]);
    process->exit.data = process;
    process->exit.on_exit = on_process_exit;
    engine->left++;
    return child_watch_start(&process->exit, engine->loop, pid, err);
}

static void kill_processes(struct engine *engine)
{
    for (size_t i = 0; i < engine_process_count(engine); i++) {
        struct engine_process *const process = &engine->processes[i];

        if (process->pid == 0)
            continue;
        kill(process->pid, SIGKILL);
        while (waitpid(process->pid, NULL, 0) == -1 && errno == EINTR) {
        }
        process->pid = 0;
    }
}

static int fork_processes(struct engine *engine, struct error *err)
{
    const size_t count = engine_process_count(engine);

    engine->processes = xcalloc(count, sizeof(*engine->processes));
    for (size_t i = 0; i < count; i++) {
        engine->processes[i].engine = engine;
        engine->processes[i].index = i;
        engine->processes[i].channel.fd = -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (fork_process(engine, i, err) == -1) {
            kill_processes(engine);
            return -1;
        }
    }
    ev_timer_init(&engine->watch, on_watch_due, WATCH_S, WATCH_S);
    engine->watch.data = engine;
    ev_timer_start(engine->loop, &engine->watch);
    return 0;
}

/* --- the only process, in this one --------------------------------------------------------- */

static void on_own_delta(struct process *process, const struct delta *delta)
{
    struct engine *const engine = process->owner;

    delta_merge(&engine->merged, delta);
}

static void on_own_stopping(struct process *process, const char *why, bool failed)
{
    end_early(process->owner, why, failed);
}

static void open_own_process(struct engine *engine)
{
    engine->own = xcalloc(1, sizeof(*engine->own));
    *engine->own = (struct process){
        .on_delta = on_own_delta, .on_stopping = on_own_stopping, .owner = engine};
    process_open(engine->own, engine->loop, engine->job, engine->test, 0,
                 blackbox_slot(engine->box, 0), engine->started_us);
}

/* --- the engine ------------------------------------------------------------------------------ */

int engine_start(struct engine *engine, struct error *err)
{
    engine->started_us = clock_us();
    delta_init(&engine->merged);
    if (engine_process_count(engine) > 1) {
        if (fork_processes(engine, err) == -1)
            return -1;
    } else {
        open_own_process(engine);
    }
    ev_timer_init(&engine->flush, on_flush_due, PROCESS_FLUSH_S, PROCESS_FLUSH_S);
    engine->flush.data = engine;
    ev_timer_start(engine->loop, &engine->flush);
    return 0;
}

void engine_run(struct engine *engine)
{
    if (engine->own != NULL)
        process_run(engine->own);
    while (engine->left > 0)
        ev_run(engine->loop, 0);
    hand_on(engine);
}

void engine_stop(struct engine *engine, bool force)
{
    struct buffer message = BUFFER_INIT;

    engine->stopping = true;
    if (engine->own != NULL)
        process_stop(engine->own, force);
    message_pack_stop(&message, force);
    for (size_t i = 0; engine->processes != NULL && i < engine_process_count(engine);
         i++)
        channel_send(&engine->processes[i].channel, &message);
    buffer_clear(&message);
}

void engine_close(struct engine *engine)
{
    ev_timer_stop(engine->loop, &engine->flush);
    ev_timer_stop(engine->loop, &engine->watch);
    if (engine->own != NULL) {
        process_close(engine->own);
        free(engine->own);
        engine->own = NULL;
    }
    free(engine->processes);
    engine->processes = NULL;
    delta_clear(&engine->merged);
}
