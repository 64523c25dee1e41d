/* agent/share.c - the life of a share.
 *
 * FETCHING   -> SETTING_UP  launch(), all files are in place
 * SETTING_UP -> READY       on_ready()
 * READY      -> RUNNING     share_start()
 * RUNNING    -> ENDED       on_end()
 * any of these four -> ENDED    share_stop() before START: at once, or on_end()
 * the first three   -> REFUSED  a file, the disk, the slave, or this agent's end
 * REFUSED    -> ENDED       share_start(): the refusal came too late to be one
 * any        -> gone        share_release(), and on_end() where there is a slave */
#include "agent/share.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#define OBJECT "object.so" /* beside the tree, which is for the run alone */
#define TREE "tree"

enum { FETCH_AGAIN_TICKS = 60 }; /* a large file on a slow line takes that long */

const char *share_run(const struct share *share)
{
    return share->prepare.job.run_id;
}

/* --- what is told to the broker --------------------------------------------------------- */

/* After RELEASE there is nothing to say any more. 0; or -1: it is not sent. */
static int tell(const struct share *share, const struct buffer *message)
{
    return share->released ? -1 : share->host->send(share->host, message);
}

static void send_reports(struct share *share)
{
    const struct buffer *report;

    while ((report = outbox_next(&share->outbox, clock_us())) != NULL &&
           tell(share, report) == 0)
        outbox_mark_sent(&share->outbox, clock_us());
}

static void say_ready(struct share *share)
{
    message_pack_run_only(&share->message, MESSAGE_READY, share_run(share));
    tell(share, &share->message);
}

static void say_refused(struct share *share)
{
    message_pack_refused(&share->message, share_run(share), share->failure);
    tell(share, &share->message);
}

/* It cannot be: says so now, and with each tick until it is released. */
static void refuse(struct share *share, const char *why)
{
    if (share->step == SHARE_REFUSED)
        return;
    share->step = SHARE_REFUSED;
    share->failure = xstrdup(why);
    share->fetching = 0;
    ev_timer_stop(share->host->loop, &share->soon);
    log_warning("run=%s refused: %s", share_run(share), why);
    say_refused(share);
}

static void finish(struct share *share, const char *failure)
{
    share->step = SHARE_ENDED;
    share->fetching = 0;
    ev_timer_stop(share->host->loop, &share->soon);
    outbox_add_end(&share->outbox, failure);
    log_info("run=%s ended%s%s", share_run(share), failure != NULL ? ": " : "",
             failure != NULL ? failure : "");
    send_reports(share);
}

/* --- what the slave tells --------------------------------------------------------------- */

static void on_ready(struct supervisor *supervisor)
{
    struct share *const share = supervisor->owner;

    if (share->step != SHARE_SETTING_UP)
        return;
    share->step = SHARE_READY;
    log_info("run=%s ready", share_run(share));
    say_ready(share);
}

static void on_delta(struct supervisor *supervisor, const struct delta *delta)
{
    struct share *const share = supervisor->owner;

    outbox_add_delta(&share->outbox, delta);
    send_reports(share);
}

static void on_stopping(struct supervisor *supervisor, const char *why, bool failed)
{
    struct share *const share = supervisor->owner;

    outbox_add_stopping(&share->outbox, why, failed);
    send_reports(share);
}

static void on_lost(struct supervisor *supervisor, const struct message_lost *lost)
{
    struct share *const share = supervisor->owner;

    outbox_add_lost(&share->outbox, lost);
    send_reports(share);
}

static void on_teardown(struct supervisor *supervisor)
{
    (void)supervisor; /* the last delta says how long the run was */
}

static void destroy(struct share *share)
{
    if (share->tree.root != NULL)
        remover_remove(share->host->remover, share->tree.root);
    tree_close(&share->tree);
    log_info("run=%s released", share_run(share));
    share->host->on_gone(share->host, share);
    ev_timer_stop(share->host->loop, &share->soon);
    outbox_clear(&share->outbox);
    buffer_clear(&share->message);
    message_prepare_clear(&share->prepare);
    free(share->directory);
    free(share->failure);
    free(share);
}

/* What is told of an end that the slave says was good. */
static const char *end_of_leaving(const struct share *share)
{
    return share->leaving ? "the agent was told to end" : NULL;
}

/* The slave is gone. `failure` is as of on_end(). */
static void conclude(struct share *share, const char *failure)
{
    if (share->step == SHARE_RUNNING)
        finish(share, failure != NULL ? failure : end_of_leaving(share));
    else if (share->step < SHARE_RUNNING && share->stopping)
        finish(share, failure);
    else if (share->step < SHARE_RUNNING)
        refuse(share, failure != NULL ? failure : "the slave ended before its START");
}

static void on_end(struct supervisor *supervisor, const char *failure)
{
    struct share *const share = supervisor->owner;

    share->has_slave = false;
    if (!share->released)
        conclude(share, failure);
    supervisor_close(supervisor);
    if (share->released)
        destroy(share);
}

/* --- the files -------------------------------------------------------------------------- */

/* The digest of the file to be placed next; NULL: all are in place. */
static const char *next_digest(const struct share *share)
{
    const struct bundle *const bundle = &share->prepare.bundle;

    if (share->placed < bundle->count)
        return bundle->files[share->placed].digest;
    return share->placed == bundle->count && bundle->object[0] != '\0' ? bundle->object
                                                                       : NULL;
}

/* Its place in the run's directory; the caller frees it. */
static char *next_path(const struct share *share)
{
    const struct bundle *const bundle = &share->prepare.bundle;

    return share->placed < bundle->count
               ? xasprintf(TREE "/%s", bundle->files[share->placed].path)
               : xstrdup(OBJECT);
}

/* In the next turn of the loop: beats come first. */
static void go_on(struct share *share)
{
    loop_timer_start(share->host->loop, &share->soon, 0);
}

static void place(struct share *share, const void *content, size_t size)
{
    char *const path = next_path(share);
    struct error err;

    if (tree_add_file(&share->tree, path, content, size, &err) == -1) {
        refuse(share, err.message);
    } else {
        share->placed++;
        go_on(share);
    }
    free(path);
}

static void fetch(struct share *share)
{
    share->fetching = FETCH_AGAIN_TICKS;
    message_pack_fetch(&share->message, share_run(share), next_digest(share));
    tell(share, &share->message);
}

void share_take_file(struct share *share, const struct message_file *file)
{
    if (share->fetching == 0 || strcmp(file->digest, next_digest(share)) != 0)
        return;
    share->fetching = 0;
    cache_keep(share->host->cache, file->digest, file->content, file->size);
    place(share, file->content, file->size);
}

void share_take_refusal(struct share *share, const char *why)
{
    if (share->step == SHARE_FETCHING)
        refuse(share, why);
}

/* --- the slave -------------------------------------------------------------------------- */

/* The test as the slave finds it in its directory: as the runner was told, or, where that
 * was an absolute path, as short as it can be. The caller frees it. */
static char *find_test(const struct share *share)
{
    const struct bundle *const bundle = &share->prepare.bundle;
    const char *const directory = bundle->directory;
    const size_t length = strlen(directory);

    if (bundle->test == NULL || share->prepare.job.test[0] != '/')
        return xstrdup(share->prepare.job.test);
    if (length == 0)
        return xstrdup(bundle->test);
    if (strncmp(bundle->test, directory, length) == 0 && bundle->test[length] == '/')
        return xstrdup(bundle->test + length + 1);
    return xasprintf("%s/" TREE "/%s", share->tree.root, bundle->test);
}

static void replace(char **text, char *by)
{
    free(*text);
    *text = by;
}

/* What the job of the slave has besides the runner's. */
static void complete_job(struct share *share)
{
    struct job *const job = &share->prepare.job;

    job->agent_index = (long)share->prepare.index;
    job->agent_count = (long)share->prepare.agents;
    replace(&job->test, find_test(share));
    replace(&job->object, share->prepare.bundle.object[0] != '\0'
                              ? xasprintf("%s/" OBJECT, share->tree.root)
                              : NULL);
}

static int make_directory(struct share *share, struct error *err)
{
    const char *const below = share->prepare.bundle.directory;
    char *const path = xasprintf(TREE "%s%s", *below != '\0' ? "/" : "", below);
    const int rc = tree_add_folder(&share->tree, path, err);

    share->directory = xasprintf("%s/%s", share->tree.root, path);
    free(path);
    return rc;
}

static void launch(struct share *share)
{
    struct error err;

    complete_job(share);
    if (make_directory(share, &err) == -1) {
        refuse(share, err.message);
        return;
    }
    share->supervisor = (struct supervisor){
        .loop = share->host->loop,
        .job = &share->prepare.job,
        .program = share->host->program,
        .directory = share->directory,
        .stdout_to_stderr = true,
        .on_ready = on_ready,
        .on_delta = on_delta,
        .on_stopping = on_stopping,
        .on_lost = on_lost,
        .on_teardown = on_teardown,
        .on_end = on_end,
        .owner = share,
    };
    if (supervisor_start(&share->supervisor, &err) == -1) {
        refuse(share, err.message);
        return;
    }
    share->has_slave = true;
    share->step = SHARE_SETTING_UP;
    log_info("run=%s prepared, slave=%ld", share_run(share),
             (long)share->supervisor.pid);
}

/* One step of the preparation: a file, or at last the slave. */
static void on_soon(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct share *const share = timer->data;
    const char *const digest = next_digest(share);
    struct buffer content = BUFFER_INIT;

    (void)loop;
    (void)revents;
    if (digest == NULL)
        launch(share);
    else if (cache_find(share->host->cache, digest, &content))
        place(share, content.data, content.size);
    else
        fetch(share);
    buffer_clear(&content);
}

struct share *share_new(const struct share_host *host, struct message_prepare *prepare)
{
    struct share *const share = xcalloc(1, sizeof(*share));
    char *root;
    struct error err;

    share->host = host;
    share->prepare = *prepare;
    *prepare = (struct message_prepare){.index = 0};
    outbox_init(&share->outbox, share_run(share));
    ev_timer_init(&share->soon, on_soon, 0, 0);
    share->soon.data = share;
    log_info("run=%s preparing, agent %" PRIu64 " of %" PRIu64, share_run(share),
             share->prepare.index + 1, share->prepare.agents);
    root = xasprintf("%s/run-%s", host->folder, share_run(share));
    if (tree_open(&share->tree, root, &err) == 0)
        go_on(share);
    else
        refuse(share, err.message);
    free(root);
    return share;
}

/* --- what it is told ---------------------------------------------------------------------- */

void share_claim(const struct share *share, struct agent_claim *ret_claim)
{
    static const enum agent_state states[] = {
        [SHARE_FETCHING] = AGENT_PREPARING,   [SHARE_READY] = AGENT_READY,
        [SHARE_SETTING_UP] = AGENT_PREPARING, [SHARE_RUNNING] = AGENT_RUNNING,
        [SHARE_REFUSED] = AGENT_PREPARING,    [SHARE_ENDED] = AGENT_ENDED,
    };

    *ret_claim = (struct agent_claim){.state = states[share->step],
                                      .stopping = share->stopping,
                                      .forced = share->forced,
                                      .sequence = share->outbox.made};
    memcpy(ret_claim->run, share->outbox.run, sizeof(ret_claim->run));
}

void share_start(struct share *share)
{
    if (share->step == SHARE_REFUSED)
        finish(share, share->failure);
    if (share->step != SHARE_READY || share->stopping)
        return;
    share->step = SHARE_RUNNING;
    log_info("run=%s started", share_run(share));
    supervisor_begin(&share->supervisor);
}

void share_stop(struct share *share, bool force)
{
    const bool is_new = !share->stopping || (force && !share->forced);

    share->stopping = true;
    share->forced = share->forced || force;
    if (!is_new || share->step >= SHARE_REFUSED)
        return;
    log_info("run=%s is told to stop%s", share_run(share), force ? " at once" : "");
    if (share->has_slave)
        supervisor_stop(&share->supervisor, force);
    else
        finish(share, NULL);
}

void share_take_ack(struct share *share, uint64_t held)
{
    outbox_take_ack(&share->outbox, held, clock_us());
    send_reports(share);
}

static void log_loss(const struct share *share)
{
    struct outbox_sums lost;

    if (outbox_undelivered(&share->outbox, &lost) && lost.hits + lost.runs > 0)
        log_warning("run=%s: not delivered: %" PRIu64 " hits and %" PRIu64
                    " runs of scenarios, at least",
                    share_run(share), lost.hits, lost.runs);
}

void share_release(struct share *share)
{
    log_loss(share);
    share->released = true;
    ev_timer_stop(share->host->loop, &share->soon);
    if (share->has_slave)
        supervisor_kill(&share->supervisor); /* on_end() follows */
    else
        destroy(share);
}

void share_reconnect(struct share *share, uint64_t held)
{
    outbox_reconnect(&share->outbox, held, clock_us());
    if (share->fetching > 0)
        fetch(share);
    if (share->step == SHARE_READY)
        say_ready(share);
    if (share->step == SHARE_REFUSED)
        say_refused(share);
    send_reports(share);
}

void share_tick(struct share *share)
{
    if (share->fetching > 0 && --share->fetching == 0)
        fetch(share);
    if (share->step == SHARE_REFUSED)
        say_refused(share);
    outbox_tick(&share->outbox, clock_us());
    send_reports(share);
}

void share_leave(struct share *share, bool force)
{
    share->leaving = true;
    if (share->step == SHARE_RUNNING)
        share_stop(share, force);
    else if (share->step < SHARE_RUNNING)
        refuse(share, "the agent was told to end");
}

bool share_is_delivered(const struct share *share)
{
    return share->step == SHARE_REFUSED || outbox_is_delivered(&share->outbox);
}
