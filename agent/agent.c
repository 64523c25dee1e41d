/* agent/agent.c - an agent: its line to the broker, and the run it is on.
 *
 * The broker says what it wants, and says it again until the claim in our BEATs shows it:
 * so whatever comes twice, too late, or for another run, changes nothing. */
#include "agent/agent.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent/cache.h"
#include "agent/link.h"
#include "agent/remover.h"
#include "agent/share.h"
#include "agent/workplace.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/memory.h"
#include "base/program.h"

enum {
    /* Of an agent that is told to end: ticks until what runs is cut, and until it ends
     * whatever is left. */
    LEAVE_FORCE_TICKS = 3,
    LEAVE_TICKS = 5,
    GOODBYE_MS = 1000, /* for the last messages to be taken */
};

#define REAP_S 2.0   /* for killed slaves to be gone */
#define REMOVE_S 3.0 /* for directories, which go later where that is not enough */

struct agent {
    const struct agent_options *options;
    struct ev_loop *loop;
    char *program;
    struct remover remover;
    struct workplace place;
    struct cache cache;
    struct link link;
    struct share_host host;
    struct share *share; /* NULL: free */
    struct share *going; /* those that are released, until their slaves are dead */
    struct signal_watch signals;
    ev_timer tick;
    unsigned lonely;  /* ticks without a broker */
    bool leaving;     /* told to end */
    unsigned waited;  /* ticks since then */
    bool over;        /* the loop ends ... */
    struct error why; /* ... for this reason; "": a good one */
    struct buffer message;
};

/* --- its end ------------------------------------------------------------------------------ */

/* The first reason counts. NULL: a good end. */
static void end(struct agent *agent, const char *why)
{
    if (!agent->over && why != NULL)
        error_set(&agent->why, "%s", why);
    agent->over = true;
    ev_break(agent->loop, EVBREAK_ALL);
}

static void end_if_delivered(struct agent *agent)
{
    if (agent->leaving && (agent->share == NULL || share_is_delivered(agent->share)))
        end(agent, NULL);
}

static void leave(struct agent *agent)
{
    agent->leaving = true;
    if (agent->share != NULL)
        share_leave(agent->share, false);
    end_if_delivered(agent);
}

static void leave_tick(struct agent *agent)
{
    if (!agent->leaving)
        return;
    end_if_delivered(agent);
    agent->waited++;
    if (agent->waited == LEAVE_FORCE_TICKS && agent->share != NULL)
        share_leave(agent->share, true);
    if (agent->waited >= LEAVE_TICKS)
        end(agent, "results could not be delivered, and are lost");
}

/* Twice: at once. */
static void on_signal(struct signal_watch *watch, int number)
{
    struct agent *const agent = watch->data;

    log_info("%s: %s", signal_name(number),
             agent->leaving ? "ending at once" : "ending");
    if (agent->leaving)
        end(agent, "it was told to end at once");
    else
        leave(agent);
}

/* --- the run ------------------------------------------------------------------------------ */

static int send_for_share(const struct share_host *host, const struct buffer *message)
{
    struct agent *const agent = host->owner;

    return link_send(&agent->link, message);
}

static void on_share_gone(const struct share_host *host, struct share *share)
{
    struct agent *const agent = host->owner;
    struct share **at = &agent->going;

    while (*at != share)
        at = &(*at)->next;
    *at = share->next;
}

/* This agent is free at once: what is left of the share goes by itself. */
static void release(struct agent *agent)
{
    struct share *const share = agent->share;

    agent->share = NULL;
    share->next = agent->going;
    agent->going = share;
    share_release(share);
}

static bool is_going(const struct agent *agent, const char *run)
{
    for (const struct share *share = agent->going; share != NULL; share = share->next)
        if (strcmp(share_run(share), run) == 0)
            return true;
    return false;
}

static void refuse(struct agent *agent, const char *run, const char *why)
{
    log_warning("run=%s refused: %s", run, why);
    message_pack_refused(&agent->message, run, why);
    link_send(&agent->link, &agent->message);
}

/* The run that a PREPARE is about, where nothing else of it can be read. */
static bool read_run_id(const msgpack_object *map, message_run_id ret_run)
{
    const msgpack_object *job;
    const char *id;
    size_t length;

    if (wire_get_map(map, "job", &job, NULL) == -1 ||
        wire_get_text(job, "run-id", JOB_RUN_ID_MAX, &id, &length, NULL) == -1 ||
        !job_run_id_is_valid(id, length))
        return false;
    memcpy(ret_run, id, length);
    ret_run[length] = '\0';
    return true;
}

static void refuse_unreadable(struct agent *agent, const msgpack_object *map,
                              const char *why)
{
    message_run_id run;

    if (!read_run_id(map, run))
        link_tell(&agent->link, why);
    else if (agent->share == NULL || strcmp(share_run(agent->share), run) != 0)
        refuse(agent, run, why);
}

static void take_prepare(struct agent *agent, const msgpack_object *map)
{
    struct message_prepare prepare;
    const char *run;
    struct error err;

    if (message_unpack_prepare(map, &prepare, &err) == -1) {
        error_prefix(&err, "PREPARE");
        refuse_unreadable(agent, map, err.message);
        return;
    }
    run = prepare.job.run_id;
    if (agent->leaving) {
        refuse(agent, run, "the agent was told to end");
    } else if (agent->share == NULL) {
        /* Its directory may still be there: the broker will ask again. */
        if (!is_going(agent, run))
            agent->share = share_new(&agent->host, &prepare);
    } else if (strcmp(share_run(agent->share), run) != 0) {
        error_set(&err, "the agent has run %s", share_run(agent->share));
        refuse(agent, run, err.message);
    }
    message_prepare_clear(&prepare);
}

static void take_file(struct agent *agent, const msgpack_object *map)
{
    struct message_file file;
    struct error err;

    if (message_unpack_file(map, &file, &err) == -1)
        share_take_refusal(agent->share, err.message);
    else
        share_take_file(agent->share, &file);
}

static void take_refused(struct agent *agent, const msgpack_object *map)
{
    char *why;

    if (message_unpack_why(map, &why, NULL) == -1)
        return;
    share_take_refusal(agent->share, why);
    free(why);
}

static void take_stop(struct agent *agent, const msgpack_object *map)
{
    struct message_stop stop;

    if (message_unpack_run_stop(map, &stop, NULL) == -1)
        return;
    share_stop(agent->share, stop.force);
    message_stop_clear(&stop);
}

static void take_ack(struct agent *agent, const msgpack_object *map)
{
    struct message_ack ack;

    if (message_unpack_ack(map, &ack, NULL) == 0)
        share_take_ack(agent->share, ack.sequence);
}

/* Whether a message is about the run that is here. FILE names none, only its digest. */
static bool is_for_share(const struct agent *agent, enum proto_message message,
                         const msgpack_object *map)
{
    message_run_id run;

    if (agent->share == NULL)
        return false;
    return message == MESSAGE_FILE || (message_unpack_run_id(map, run, NULL) == 0 &&
                                       strcmp(run, share_run(agent->share)) == 0);
}

static void take_for_share(struct agent *agent, enum proto_message message,
                           const msgpack_object *map)
{
    struct error err;

    switch (message) {
    case MESSAGE_FILE:
        take_file(agent, map);
        break;
    case MESSAGE_REFUSED:
        take_refused(agent, map);
        break;
    case MESSAGE_START:
        share_start(agent->share);
        break;
    case MESSAGE_STOP:
        take_stop(agent, map);
        break;
    case MESSAGE_ACK:
        take_ack(agent, map);
        break;
    case MESSAGE_RELEASE:
        release(agent);
        break;
    default:
        error_set(&err, "%s is nothing that a broker says",
                  proto_message_names[message]);
        link_tell(&agent->link, err.message);
    }
}

/* --- the broker --------------------------------------------------------------------------- */

static void set_claim(struct link *link, struct agent_claim *ret_claim)
{
    const struct agent *const agent = link->owner;

    *ret_claim = (struct agent_claim){.run = ""};
    if (agent->share != NULL)
        share_claim(agent->share, ret_claim);
}

static void on_registered(struct link *link, const struct message_ack *ack)
{
    const struct agent *const agent = link->owner;

    if (agent->share != NULL && strcmp(ack->run, share_run(agent->share)) == 0)
        share_reconnect(agent->share, ack->sequence);
}

static void on_refused(struct link *link, const char *why)
{
    struct agent *const agent = link->owner;
    struct error err;

    error_set(&err, "the broker at %s refuses this agent: %s", link->broker, why);
    end(agent, err.message);
}

static void on_message(struct link *link, enum proto_message message,
                       const msgpack_object *map)
{
    struct agent *const agent = link->owner;

    if (message == MESSAGE_PREPARE)
        take_prepare(agent, map);
    else if (message == MESSAGE_BYE && agent->options->leave_after_s > 0)
        leave(agent);
    else if (message == MESSAGE_BYE)
        link_restart(link);
    else if (is_for_share(agent, message, map))
        take_for_share(agent, message, map);
    end_if_delivered(agent);
}

/* --- each second -------------------------------------------------------------------------- */

/* An agent that is to leave with its broker takes this for the broker's end: whatever runs
 * or is held here ends, too. */
static void count_loneliness(struct agent *agent)
{
    const double most_s = agent->options->leave_after_s;

    agent->lonely = agent->link.state != LINK_REGISTERED ? agent->lonely + 1 : 0;
    if (most_s > 0 && agent->lonely * PROTO_BEAT_S > most_s && !agent->leaving) {
        log_info("no broker for %g s: ending", most_s);
        leave(agent);
    }
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct agent *const agent = timer->data;

    (void)loop;
    (void)revents;
    link_tick(&agent->link, agent->share != NULL && agent->share->fetching > 0);
    if (agent->share != NULL)
        share_tick(agent->share);
    count_loneliness(agent);
    leave_tick(agent);
}

/* --- opening and closing ------------------------------------------------------------------ */

static int watch_signals(struct agent *agent, struct error *err)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    agent->signals.on_signal = on_signal;
    agent->signals.data = agent;
    return signal_watch_start(&agent->signals, agent->loop, &set, err);
}

/* No other start of any agent has it. */
static int make_instance(char ret_instance[PROTO_INSTANCE_MAX + 1], struct error *err)
{
    unsigned char bytes[16];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return error_errno(err, "there is no randomness");
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(ret_instance + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

static int open_link(struct agent *agent, struct error *err)
{
    struct link *const link = &agent->link;

    *link = (struct link){
        .loop = agent->loop,
        .broker = agent->options->broker,
        .own = {.pid = (uint64_t)getpid(),
                .temporary = agent->options->leave_after_s > 0},
        .set_claim = set_claim,
        .on_registered = on_registered,
        .on_message = on_message,
        .on_refused = on_refused,
        .owner = agent,
    };
    if (make_instance(link->own.instance, err) == -1)
        return -1;
    link->own.name = xstrdup(agent->options->name);
    link->own.host = xstrdup(program_host());
    link->context = zcontext_new();
    link_open(link);
    return 0;
}

static int open_places(struct agent *agent, struct error *err)
{
    char *folder;
    int rc;

    agent->program = program_beside("molotov-runner");
    if (access(agent->program, X_OK) == -1)
        return error_errno(err, "cannot run '%s', which runs the tests",
                           agent->program);
    if (workplace_open(&agent->place, &agent->remover, err) == -1)
        return -1;
    folder = xasprintf("%s/files", agent->place.path);
    rc = cache_open(&agent->cache, folder, err);
    free(folder);
    agent->host = (struct share_host){
        .loop = agent->loop,
        .program = agent->program,
        .folder = agent->place.path,
        .cache = &agent->cache,
        .remover = &agent->remover,
        .send = send_for_share,
        .on_gone = on_share_gone,
        .owner = agent,
    };
    return rc;
}

/* What stands between a test and this host is the account alone. */
static void say_start(const struct agent *agent)
{
    log_info("agent=%s started version=" MOLOTOV_VERSION
             " broker=%s directory=%s: tests run with all rights of user %lu",
             agent->options->name, agent->options->broker, agent->place.path,
             (unsigned long)geteuid());
}

static int agent_open(struct agent *agent, struct error *err)
{
    if (watch_signals(agent, err) == -1 || open_places(agent, err) == -1)
        return -1;
    say_start(agent);
    if (open_link(agent, err) == -1)
        return -1;
    ev_timer_init(&agent->tick, on_tick, PROTO_BEAT_S, PROTO_BEAT_S);
    agent->tick.data = agent;
    ev_timer_start(agent->loop, &agent->tick);
    return 0;
}

static void on_patience_over(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)timer;
    (void)revents;
    ev_break(loop, EVBREAK_ALL);
}

/* Lets the loop go on until that is so, but not longer than `patience_s`. */
static void wait_until(struct agent *agent, bool (*is_so)(const struct agent *agent),
                       double patience_s)
{
    ev_timer patience;

    ev_timer_init(&patience, on_patience_over, 0, 0);
    loop_timer_start(agent->loop, &patience, patience_s);
    while (!is_so(agent) && ev_is_active(&patience))
        ev_run(agent->loop, EVRUN_ONCE);
    ev_timer_stop(agent->loop, &patience);
}

static bool is_reaped(const struct agent *agent)
{
    return agent->going == NULL;
}

static bool is_removed(const struct agent *agent)
{
    return remover_is_done(&agent->remover);
}

/* Nothing of a run is left behind. */
static void end_shares(struct agent *agent)
{
    if (agent->share != NULL)
        release(agent);
    wait_until(agent, is_reaped, REAP_S);
}

static void leave_place(struct agent *agent)
{
    cache_close(&agent->cache);
    workplace_close(&agent->place);
    wait_until(agent, is_removed, REMOVE_S);
    remover_close(&agent->remover);
}

static void agent_close(struct agent *agent)
{
    ev_timer_stop(agent->loop, &agent->tick);
    link_close(&agent->link, GOODBYE_MS);
    end_shares(agent);
    zcontext_destroy(agent->link.context);
    message_register_clear(&agent->link.own);
    leave_place(agent);
    signal_watch_stop(&agent->signals);
    buffer_clear(&agent->message);
    free(agent->program);
    ev_loop_destroy(agent->loop);
}

int agent_run(const struct agent_options *options, struct error *err)
{
    struct agent agent = {
        .options = options,
        .loop = loop_new(),
        .place = {.lock = {.fd = -1}},
        .signals = {.signalfd = -1},
    };
    int rc;

    agent.remover.loop = agent.loop;
    rc = agent_open(&agent, err);
    if (rc == 0) {
        while (!agent.over)
            ev_run(agent.loop, 0);
        if (agent.why.message[0] != '\0')
            rc = error_set(err, "%s", agent.why.message);
    }
    agent_close(&agent);
    return rc;
}
