#include "engine/slave.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/memory.h"
#include "engine/engine.h"
#include "engine/limits.h"
#include "proto/channel.h"
#include "scenario/host.h"

#define LAST_WORDS_S 30.0 /* for the parent to take what was measured */

struct slave {
    struct ev_loop *loop;
    struct channel channel;
    struct buffer message;
    struct job job;
    bool has_job, may_start, stopped;
    struct test test;
    bool loaded;
    struct blackbox *box;
    struct engine engine;
    bool running;
};

/* --- the channel to the parent ------------------------------------------------------------ */

static void send_message(struct slave *slave)
{
    channel_send(&slave->channel, &slave->message);
}

/* The run cannot start. */
static void refuse(struct slave *slave, const struct error *err)
{
    message_pack_text(&slave->message, MESSAGE_REFUSED, "why", err->message);
    send_message(slave);
    slave->stopped = true;
}

static int read_job(struct slave *slave, const msgpack_object *map, struct error *err)
{
    const msgpack_object *body;
    uint64_t version;

    if (wire_get_u64(map, "version", UINT32_MAX, &version, err) == -1)
        return -1;
    if (version != PROTO_VERSION)
        return error_set(err, "this slave speaks version %u, and was sent version %u",
                         PROTO_VERSION, (unsigned)version);
    if (wire_get_map(map, "job", &body, err) == -1)
        return -1;
    return job_unpack(&slave->job, body, err);
}

static void take_job(struct slave *slave, const msgpack_object *map)
{
    struct error err;

    if (read_job(slave, map, &err) == -1)
        refuse(slave, &err);
    else
        slave->has_job = true;
}

static void take_stop(struct slave *slave, const msgpack_object *map)
{
    bool force = false;

    wire_get_bool(map, "force", &force, NULL);
    slave->stopped = true;
    if (slave->running)
        engine_stop(&slave->engine, force);
}

static void on_parent_message(struct channel *channel, enum proto_message message,
                              const msgpack_object *map)
{
    struct slave *const slave = channel->data;

    switch (message) {
    case MESSAGE_JOB:
        take_job(slave, map);
        break;
    case MESSAGE_START:
        slave->may_start = true;
        break;
    case MESSAGE_STOP:
        take_stop(slave, map);
        break;
    default:
        log_error("the parent sent %s", proto_message_names[message]);
    }
}

/* Nobody is left to report to: ends, with all that this run has started. */
static void on_parent_gone(struct channel *channel, const struct error *err)
{
    (void)channel;
    (void)err;
    if (getpgrp() == getpid())
        kill(0, SIGKILL);
    _exit(EXIT_FAILURE);
}

static bool may_send(struct engine *engine)
{
    const struct slave *const slave = engine->owner;

    return channel_waiting(&slave->channel) == 0;
}

static void send_delta(struct slave *slave, const struct delta *delta)
{
    msgpack_packer packer;

    message_begin(&slave->message, &packer, MESSAGE_DELTA, 1);
    wire_put_string(&packer, "delta");
    delta_pack(delta, &packer);
    send_message(slave);
}

static void on_engine_delta(struct engine *engine, const struct delta *delta)
{
    send_delta(engine->owner, delta);
}

static void on_engine_stopping(struct engine *engine, const char *why, bool failed)
{
    struct slave *const slave = engine->owner;

    message_pack_stopping(&slave->message, why, failed);
    send_message(slave);
}

static void on_engine_lost(struct engine *engine, const struct message_lost *lost)
{
    struct slave *const slave = engine->owner;

    message_pack_lost(&slave->message, lost);
    send_message(slave);
}

static void close_inherited(struct engine *engine)
{
    struct slave *const slave = engine->owner;

    channel_close(&slave->channel);
}

/* --- the run -------------------------------------------------------------------------------- */

/* A global fixture runs on a loop of its own, so that no watcher of it is inherited by a
 * process; what it measured is dropped, what it printed is kept in `lines`. */
static int run_global(struct slave *slave, enum test_fixture fixture,
                      struct lines *lines, struct error *err)
{
    struct delta delta;
    struct crew crew = {
        .loop = loop_new(),
        .job = &slave->job,
        .test = &slave->test,
        .delta = &delta,
        .started_us = clock_us(),
        .process = -1,
    };
    int rc;

    if (!slave->test.has[fixture]) {
        ev_loop_destroy(crew.loop);
        return 0;
    }
    delta_init(&delta);
    blackbox_slot(slave->box, 0)->fixture = (uint32_t)fixture + 1;
    crew_open(&crew, 0);
    rc = slave->test.host->run_global(&slave->test, &crew, fixture, err);
    crew_close(&crew);
    blackbox_slot(slave->box, 0)->fixture = 0;
    lines_merge(lines, &delta.lines);
    delta_clear(&delta);
    ev_loop_destroy(crew.loop);
    return rc;
}

static int load(struct slave *slave, struct error *err)
{
    const struct host_type *const host = host_find(slave->job.test, err);

    if (host == NULL)
        return -1;
    slave->test.host = host;
    if (host->load(&slave->job, &slave->test, err) == -1)
        return error_prefix(err, "%s", slave->job.test);
    slave->loaded = true;
    if (test_finish(&slave->test, &slave->job, err) == -1)
        return error_prefix(err, "%s", slave->job.test);
    return limits_check(&slave->job, &slave->test, err);
}

/* What a global fixture printed, as a delta that measures nothing. */
static void send_lines(struct slave *slave, struct lines *lines)
{
    const uint64_t started_us = slave->engine.started_us;
    struct delta delta;

    delta_init(&delta);
    delta.sequence = slave->engine.merged.sequence + 1;
    delta.from_us = delta.until_us = started_us > 0 ? clock_us() - started_us : 0;
    delta.stats.lines_dropped = lines_merge(&delta.lines, lines);
    if (delta.lines.count > 0)
        send_delta(slave, &delta);
    delta_clear(&delta);
    lines_clear(lines);
}

/* Up to READY: 0; or -1, the parent has been told why not. */
static int prepare(struct slave *slave)
{
    struct lines lines = {.count = 0};
    struct error err;
    int rc = -1;

    if (load(slave, &err) == 0 &&
        blackbox_map(SLAVE_BLACKBOX_FD, job_process_count(&slave->job), &slave->box,
                     &err) == 0) {
        close(SLAVE_BLACKBOX_FD); /* no program that the user's code starts gets it */
        blackbox_set_names(slave->box, &slave->test);
        limits_apply(&slave->job, &slave->test);
        rc = run_global(slave, FIXTURE_GLOBAL_SETUP, &lines, &err);
        send_lines(slave, &lines);
    }
    if (rc == -1) {
        refuse(slave, &err);
        return -1;
    }
    message_pack_plain(&slave->message, MESSAGE_READY);
    send_message(slave);
    return 0;
}

/* Among what workers say: see crew_line(). */
static void add_failure(struct lines *lines, const struct job *job,
                        const struct error *err)
{
    char mark[JOB_MARK_SIZE];
    char *const text = xasprintf("%s%s", job_agent_mark(job, mark), err->message);

    lines_add(lines, LINE_FAILURE, text);
    free(text);
}

static void tear_down(struct slave *slave)
{
    struct lines lines = {.count = 0};
    struct error err;

    message_pack_plain(&slave->message, MESSAGE_TEARDOWN);
    send_message(slave);
    if (run_global(slave, FIXTURE_GLOBAL_TEARDOWN, &lines, &err) == -1)
        add_failure(&lines, &slave->job, &err);
    send_lines(slave, &lines);
}

static int run(struct slave *slave)
{
    struct error err;

    slave->engine = (struct engine){
        .loop = slave->loop,
        .job = &slave->job,
        .test = &slave->test,
        .box = slave->box,
        .may_send = may_send,
        .on_delta = on_engine_delta,
        .on_stopping = on_engine_stopping,
        .on_lost = on_engine_lost,
        .close_inherited = close_inherited,
        .owner = slave,
    };
    if (engine_start(&slave->engine, &err) == -1) {
        message_pack_stopping(&slave->message, err.message, true);
        send_message(slave);
        tear_down(slave);
        engine_close(&slave->engine);
        return -1;
    }
    slave->running = true;
    if (slave->stopped)
        engine_stop(&slave->engine, false);
    engine_run(&slave->engine);
    slave->running = false;
    tear_down(slave);
    engine_close(&slave->engine);
    return 0;
}

static void wait_for(struct slave *slave, const bool *flag)
{
    while (!*flag && !slave->stopped)
        ev_run(slave->loop, EVRUN_ONCE);
}

static void say_end(struct slave *slave)
{
    struct error err;

    message_pack_plain(&slave->message, MESSAGE_END);
    send_message(slave);
    if (channel_flush(&slave->channel, LAST_WORDS_S, &err) == -1)
        log_error("the slave cannot report: %s", err.message);
}

static void slave_open(struct slave *slave)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fcntl(SLAVE_CHANNEL_FD, F_SETFD, FD_CLOEXEC);
    fcntl(SLAVE_BLACKBOX_FD, F_SETFD, FD_CLOEXEC);
    signal(SIGINT, SIG_IGN); /* the terminal's: the runner decides what it means */
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0); /* a script's prints come when they are printed */
    limits_offer_to_oom_killer();
    job_init(&slave->job);
    slave->loop = loop_new();
    slave->channel = (struct channel){
        .on_message = on_parent_message, .on_close = on_parent_gone, .data = slave};
    channel_open(&slave->channel, slave->loop, SLAVE_CHANNEL_FD);
}

static void slave_close(struct slave *slave)
{
    if (slave->loaded && slave->test.host->unload != NULL)
        slave->test.host->unload(&slave->test);
    test_clear(&slave->test);
    blackbox_unmap(slave->box);
    channel_close(&slave->channel);
    buffer_clear(&slave->message);
    job_clear(&slave->job);
    ev_loop_destroy(slave->loop);
}

int slave_main(void)
{
    struct slave slave = {.channel = {.fd = -1}};
    int status = EXIT_FAILURE;

    slave_open(&slave);
    wait_for(&slave, &slave.has_job);
    if (slave.has_job && prepare(&slave) == 0) {
        wait_for(&slave, &slave.may_start);
        if (slave.stopped) /* before it began, be it by a message right after START */
            tear_down(&slave);
        else if (run(&slave) == 0)
            status = EXIT_SUCCESS;
    }
    say_end(&slave);
    slave_close(&slave);
    return status;
}
