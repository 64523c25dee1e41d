#include "broker/frontend.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/endpoint.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/broker.h"

#define LISTED_OVER_MAX 50u
#define EARLY_STOP_TICKS 60u

static void answer(struct broker *broker, const struct zframe *route,
                   struct buffer *message)
{
    broker_send(broker, BROKER_FRONTEND, route, message);
}

static void answer_accepted(struct broker *broker, const struct zframe *route,
                            const struct message_accepted *accepted)
{
    struct buffer message = BUFFER_INIT;

    message_pack_accepted(&message, accepted);
    answer(broker, route, &message);
}

static void accept_run(struct broker *broker, const struct zframe *route,
                       const char *id)
{
    struct message_accepted accepted = {.was_over = false};

    snprintf(accepted.run, sizeof(accepted.run), "%s", id);
    answer_accepted(broker, route, &accepted);
}

/* `id` may be NULL. */
static void refuse(struct broker *broker, const struct zframe *route, const char *id,
                   const char *why)
{
    struct buffer message = BUFFER_INIT;

    message_pack_refused(&message, id, why);
    answer(broker, route, &message);
}

/* A RUN, which an operator may want to know of, too. */
static void refuse_run(struct broker *broker, const struct zframe *route,
                       const char *id, const char *why)
{
    struct error err;

    error_set(&err, "run=%s refused: %s", id, why);
    broker_complain(broker, BROKER_FRONTEND, err.message);
    refuse(broker, route, id, why);
}

static void refuse_unknown(struct broker *broker, const struct zframe *route,
                           const char *id)
{
    struct error err;

    error_set(&err, "there is no run %s here", id);
    refuse(broker, route, id, err.message);
}

/* --- PING ------------------------------------------------------------------------------------- */

static void list_agents(const struct broker *broker, struct message_pong *pong)
{
    const struct agent *agent;

    pong->agents = xcalloc(broker->roster.present_count, sizeof(pong->agents[0]));
    TAILQ_FOREACH (agent, &broker->roster.agents, link) {
        struct pong_agent *const entry = &pong->agents[pong->agent_count];

        if (agent->route_size == 0)
            continue;
        *entry = (struct pong_agent){
            .name = agent->name,
            .host = agent->host,
            .pid = agent->pid,
            .silent = roster_is_silent(agent),
        };
        if (agent->run != NULL)
            run_copy_id(agent->run, entry->run);
        pong->agent_count++;
    }
}

static void list_active(const struct broker *broker, struct message_pong *pong)
{
    const struct run *run;

    TAILQ_FOREACH (run, &broker->runs, link)
        pong->run_count++;
    pong->runs = xcalloc(pong->run_count, sizeof(pong->runs[0]));
    pong->run_count = 0;
    TAILQ_FOREACH (run, &broker->runs, link) {
        struct pong_run *const entry = &pong->runs[pong->run_count++];

        run_copy_id(run, entry->run);
        entry->agents = run->facts.agent_count;
    }
}

/* The same one for all who ask at about the same time, as a thousand agents do that have
 * lost their broker. */
static void make_pong(struct broker *broker)
{
    /* All texts are borrowed. */
    struct message_pong pong = {
        .pid = (uint64_t)getpid(),
        .program = (char *)MOLOTOV_VERSION,
        .frontend = broker->endpoints[BROKER_FRONTEND],
        .backend = broker->endpoints[BROKER_BACKEND],
        .publisher = broker->endpoints[BROKER_PUBLISHER],
        .temporary = broker->options->leave_after > 0, /* also one that stays by now */
    };

    list_agents(broker, &pong);
    list_active(broker, &pong);
    message_pack_pong(&broker->pong, &pong);
    free(pong.agents);
    free(pong.runs);
}

static int take_ping(struct broker *broker, const struct zframe *route,
                     const msgpack_object *map, struct error *err)
{
    (void)map;
    (void)err;
    if (broker->pong.size == 0)
        make_pong(broker);
    zsocket_send(&broker->sockets[BROKER_FRONTEND], route, &broker->pong);
    return 0;
}

/* --- LIST ------------------------------------------------------------------------------------- */

static void add_active(const struct broker *broker, struct message_runs *runs)
{
    const struct run *run;

    TAILQ_FOREACH (run, &broker->runs, link) {
        struct listed_run *entry;

        runs->runs = xrealloc_array(runs->runs, runs->count + 1, sizeof(*runs->runs));
        entry = &runs->runs[runs->count++];
        *entry = (struct listed_run){
            .test = xstrdup(run->facts.test),
            .state = run->facts.state,
            .agents = run->facts.agent_count,
            .created_wall_s = run->facts.created_wall_s,
            .elapsed_us = run_elapsed_us(run),
        };
        run_copy_id(run, entry->run);
    }
}

static int compare_created(const void *left_item, const void *right_item)
{
    const struct listed_run *const left = left_item, *const right = right_item;

    return (left->created_wall_s < right->created_wall_s) -
           (left->created_wall_s > right->created_wall_s);
}

static int take_list(struct broker *broker, const struct zframe *route,
                     const msgpack_object *map, struct error *err)
{
    struct message_runs runs = {.count = 0};
    struct buffer message = BUFFER_INIT;
    int rc;

    (void)map;
    add_active(broker, &runs);
    rc = store_list_over(&broker->store, LISTED_OVER_MAX, &runs, err);
    if (rc == 0) {
        if (runs.count > 0)
            qsort(runs.runs, runs.count, sizeof(runs.runs[0]), compare_created);
        message_pack_runs(&message, &runs);
        answer(broker, route, &message);
    }
    message_runs_clear(&runs);
    return rc;
}

/* --- RUN -------------------------------------------------------------------------------------- */

/* 1, 0 or -1. */
static int knows_run(struct broker *broker, const char *id, struct error *err)
{
    if (broker_find_run(broker, id) != NULL)
        return 1;
    return store_find_run(&broker->store, id, NULL, err);
}

static void add_lacking(struct message_lacks *lacks, const char *digest)
{
    for (size_t i = 0; i < lacks->count; i++)
        if (strcmp(lacks->digests[i], digest) == 0)
            return;
    lacks->digests =
        xrealloc_array(lacks->digests, lacks->count + 1, sizeof(lacks->digests[0]));
    memcpy(lacks->digests[lacks->count++], digest, DIGEST_SIZE);
}

/* Which files are not here; the others are kept for a while from now on. */
static int find_lacking(struct broker *broker, const struct bundle *bundle,
                        struct message_lacks *lacks, struct error *err)
{
    struct store *const store = &broker->store;

    if (sql_begin(&store->sql, err) == -1)
        return -1;
    for (size_t i = 0; i <= bundle->count; i++) {
        const char *const digest =
            i < bundle->count ? bundle->files[i].digest : bundle->object;
        const int rc = digest[0] == '\0' ? 1 : store_touch_file(store, digest, err);

        if (rc == -1) {
            sql_rollback(&store->sql);
            return -1;
        }
        if (rc == 0)
            add_lacking(lacks, digest);
    }
    if (sql_commit(&store->sql, err) == -1) {
        sql_rollback(&store->sql);
        return -1;
    }
    return 0;
}

static int put_new_run(struct broker *broker, struct run *run, struct error *err)
{
    struct sql *const sql = &broker->store.sql;

    if (sql_begin(sql, err) == -1)
        return -1;
    if (run_put_new(run, &broker->store, err) == -1 || sql_commit(sql, err) == -1) {
        sql_rollback(sql);
        return -1;
    }
    return 0;
}

/* It exists when it is stored, and only then is anybody told. */
static int create_run(struct broker *broker, const struct zframe *route,
                      struct message_run *spec, struct error *err)
{
    const bool keep_cluster = spec->keep_cluster;
    struct run *const run = run_new(&broker->outside, spec);

    if (put_new_run(broker, run, err) == -1) {
        run_destroy(run);
        return -1;
    }
    TAILQ_INSERT_HEAD(&broker->runs, run, link);
    broker->stays = broker->stays || keep_cluster;
    buffer_reset(&broker->pong); /* its agents are not free any more */
    accept_run(broker, route, run->facts.run_id);
    run_prepare(run);
    return 0;
}

/* What there is of agents, and what to do about it; the caller frees it. */
static char *describe_agents(const struct broker *broker, size_t idle)
{
    const size_t present = broker->roster.present_count;
    const char *const endpoint = broker->endpoints[BROKER_FRONTEND];
    const bool is_of_use = !endpoint_is_any_host(endpoint);
    const size_t silent = roster_count_silent(&broker->roster);
    char some[40] = "none", more[60] = "";

    if (idle > 0)
        snprintf(some, sizeof(some), "only %zu", idle);
    if (silent > 0)
        snprintf(more, sizeof(more), " (%zu more %s silent)", silent,
                 silent == 1 ? "is" : "are");
    if (present == 0)
        return xasprintf("none is registered: start some with molotov-agent%s%s",
                         is_of_use ? " --broker " : "", is_of_use ? endpoint : "");
    return xasprintf(
        "%s of the %zu registered %s free%s: ask for fewer, wait, or start "
        "more of them",
        some, present, idle <= 1 ? "is" : "are", more);
}

static void say_too_few(struct broker *broker, const struct zframe *route,
                        const struct message_run *spec, size_t idle)
{
    struct error err;
    char *there;

    if (broker->age < FRONTEND_GRACE) {
        log_debug("run=%s waits for agents: idle=%zu", spec->job.run_id, idle);
        return;
    }
    there = describe_agents(broker, idle);
    error_set(&err, "%" PRIu64 " %s asked for, and %s", spec->agents,
              spec->agents == 1 ? "agent was" : "agents were", there);
    refuse_run(broker, route, spec->job.run_id, err.message);
    free(there);
}

static bool has_file_trouble(const struct broker *broker,
                             const struct message_lacks *lacks)
{
    for (size_t i = 0; i < lacks->count; i++)
        if (strcmp(lacks->digests[i], broker->file_trouble.digest) == 0)
            return true;
    return false;
}

/* Asks for the files that are not here; when all are, the run begins. -1: something cannot
 * be stored. Small things perhaps can: it is no trouble of the broker's, only of this run. */
static int create_or_ask(struct broker *broker, const struct zframe *route,
                         struct message_run *spec, struct error *err)
{
    struct message_lacks lacks = {.count = 0};
    struct buffer message = BUFFER_INIT;
    int rc = find_lacking(broker, &spec->bundle, &lacks, err);

    if (rc == 0 && lacks.count == 0) {
        rc = create_run(broker, route, spec, err);
    } else if (rc == 0 && has_file_trouble(broker, &lacks)) {
        *err = broker->file_trouble.why;
        broker->file_trouble.digest[0] = '\0'; /* who asks again may try again */
        rc = -1;
    } else if (rc == 0) {
        memcpy(lacks.run, spec->job.run_id, strlen(spec->job.run_id) + 1);
        message_pack_lacks(&message, &lacks);
        answer(broker, route, &message);
    }
    message_lacks_clear(&lacks);
    return rc;
}

/* A STOP came on another connection, and before its RUN. */
static void remember_stop(struct broker *broker, const char *id)
{
    struct early_stop *const stop =
        &broker->early_stops[broker->next_early_stop++ % BROKER_EARLY_STOPS];

    stop->age = broker->age;
    memcpy(stop->run, id, strlen(id) + 1);
}

static bool was_stopped(const struct broker *broker, const char *id)
{
    for (size_t i = 0; i < BROKER_EARLY_STOPS; i++) {
        const struct early_stop *const stop = &broker->early_stops[i];

        if (strcmp(stop->run, id) == 0 && broker->age - stop->age < EARLY_STOP_TICKS)
            return true;
    }
    return false;
}

static void start_run(struct broker *broker, const struct zframe *route,
                      struct message_run *spec)
{
    const size_t idle = roster_count_idle(&broker->roster);
    message_run_id id;
    struct error err;

    memcpy(id, spec->job.run_id, strlen(spec->job.run_id) + 1);
    if (was_stopped(broker, id))
        refuse_run(broker, route, id, "it was stopped before it began");
    else if (broker->trouble[0] != '\0')
        refuse_run(broker, route, id, broker->trouble);
    else if (idle < spec->agents)
        say_too_few(broker, route, spec, idle);
    else if (create_or_ask(broker, route, spec, &err) == -1)
        refuse_run(broker, route, id, err.message);
}

static int take_run(struct broker *broker, const struct zframe *route,
                    const msgpack_object *map, struct error *err)
{
    struct message_run spec;
    int rc;

    if (message_unpack_run(map, &spec, err) == -1)
        return -1;
    rc = knows_run(broker, spec.job.run_id, err);
    if (rc == 1)
        accept_run(broker, route, spec.job.run_id);
    else if (rc == 0)
        start_run(broker, route, &spec);
    message_run_clear(&spec);
    return rc == -1 ? -1 : 0;
}

/* That it cannot be stored is told when its RUN comes again. */
static int take_file(struct broker *broker, const struct zframe *route,
                     const msgpack_object *map, struct error *err)
{
    struct file_trouble *const trouble = &broker->file_trouble;
    struct message_file file;

    (void)route;
    if (message_unpack_file(map, &file, err) == -1)
        return -1;
    if (store_put_file(&broker->store, &file, &trouble->why) == -1)
        memcpy(trouble->digest, file.digest, sizeof(trouble->digest));
    return 0;
}

/* --- SNAPSHOT --------------------------------------------------------------------------------- */

static int answer_with_final(struct broker *broker, const struct zframe *route,
                             const char *id, struct error *err)
{
    struct buffer final = BUFFER_INIT;
    const int rc = store_find_run(&broker->store, id, &final, err);

    if (rc == 1 && final.size > 0)
        answer(broker, route, &final);
    else if (rc == 1)
        refuse(broker, route, id, "what was stored of this run is damaged");
    else if (rc == 0)
        refuse_unknown(broker, route, id);
    buffer_clear(&final);
    return rc == -1 ? -1 : 0;
}

static int take_snapshot(struct broker *broker, const struct zframe *route,
                         const msgpack_object *map, struct error *err)
{
    const char *const trouble = broker->trouble[0] != '\0' ? broker->trouble : NULL;
    struct buffer message = BUFFER_INIT;
    struct message_snapshot ask;
    const struct run *run;

    if (message_unpack_snapshot(map, &ask, err) == -1)
        return -1;
    run = broker_find_run(broker, ask.run);
    if (run == NULL)
        return answer_with_final(broker, route, ask.run, err);
    if (run_pack_snapshot(run, &broker->store, ask.after, trouble, &message, err) == -1)
        return -1;
    answer(broker, route, &message);
    return 0;
}

/* --- STOP ------------------------------------------------------------------------------------- */

/* As it is before the STOP: 1; 0: there is no such run; -1. */
static int find_state(struct broker *broker, const char *id, enum run_state *ret_state,
                      struct error *err)
{
    const struct run *const run = broker_find_run(broker, id);

    if (run == NULL)
        return store_find_state(&broker->store, id, ret_state, err);
    *ret_state = run->facts.state;
    return 1;
}

static void accept_stop(struct broker *broker, const struct zframe *route,
                        const char *id, enum run_state before)
{
    struct message_accepted accepted = {.was_over = run_state_is_over(before),
                                        .state = before};

    snprintf(accepted.run, sizeof(accepted.run), "%s", id);
    answer_accepted(broker, route, &accepted);
}

/* One that is over does what was asked of it. A stop that is not stored may be forgotten:
 * it is not answered, so that it comes again. */
static int take_stop(struct broker *broker, const struct zframe *route,
                     const msgpack_object *map, struct error *err)
{
    enum run_state before = RUN_PREPARING;
    struct message_stop stop;
    struct run *run;
    int rc;

    if (message_unpack_run_stop(map, &stop, err) == -1)
        return -1;
    run = broker_find_run(broker, stop.run);
    rc = find_state(broker, stop.run, &before, err);
    if (run != NULL) {
        run_stop(run, stop.force, stop.why != NULL ? stop.why : "STOP");
        broker_commit(broker); /* `run` may be gone */
    }
    if (rc == 0) {
        remember_stop(broker, stop.run);
        refuse_unknown(broker, route, stop.run);
    } else if (rc == 1 && (run == NULL || broker->trouble[0] == '\0')) {
        accept_stop(broker, route, stop.run, before);
    }
    message_stop_clear(&stop);
    return rc == -1 ? -1 : 0;
}

/* --- all -------------------------------------------------------------------------------------- */

/* Each answers by itself; or returns -1, and `err` says what is wrong. */
static const struct {
    bool has_version;
    int (*take)(struct broker *broker, const struct zframe *route,
                const msgpack_object *map, struct error *err);
} handlers[MESSAGE_COUNT] = {
    [MESSAGE_PING] = {true,  take_ping    },
      [MESSAGE_LIST] = {true,  take_list    },
    [MESSAGE_RUN] = {true,  take_run     },
      [MESSAGE_FILE] = {false, take_file    },
    [MESSAGE_SNAPSHOT] = {true,  take_snapshot},
      [MESSAGE_STOP] = {true,  take_stop    },
};

static int take(struct broker *broker, const struct zframe *route,
                enum proto_message kind, const msgpack_object *map, struct error *err)
{
    if (handlers[kind].take == NULL)
        return error_set(err, "%s is no question for the frontend",
                         proto_message_names[kind]);
    if (handlers[kind].has_version && message_check_version(map, err) == -1)
        return -1;
    broker->idle = 0;
    if (handlers[kind].take(broker, route, map, err) == -1)
        return error_prefix(err, "%s", proto_message_names[kind]);
    return 0;
}

void on_frontend_message(struct zsocket *zsocket, const struct zframe *route,
                         const struct zframe *body)
{
    struct broker *const broker = zsocket->data;
    struct wire_message message;
    enum proto_message kind;
    struct error err;
    int rc = broker_read(body, &message, &kind, &err);

    if (rc == 0) {
        rc = take(broker, route, kind, &message.root, &err);
        wire_clear(&message);
    }
    if (rc == -1) {
        broker_complain(broker, BROKER_FRONTEND, err.message);
        refuse(broker, route, NULL, err.message);
    }
}
