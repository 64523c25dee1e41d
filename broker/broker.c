#include "broker/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/endpoint.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/ask.h"
#include "broker/backend.h"
#include "broker/frontend.h"
#include "broker/housekeeping.h"

#define COMMIT_S 0.1
#define TICK_S 1.0
#define ASK_S 1.0     /* for a broker that is in the way to say who it is */
#define LINGER_MS 300 /* at the end, for what was sent to be on its way */

static const struct {
    const char *name;
    enum zsocket_type type;
    void (*on_message)(struct zsocket *zsocket, const struct zframe *route,
                       const struct zframe *body);
} socket_types[BROKER_SOCKETS] = {
    [BROKER_FRONTEND] = {"frontend",  ZSOCKET_ROUTER, on_frontend_message},
    [BROKER_BACKEND] = {"backend",   ZSOCKET_ROUTER, on_backend_message },
    [BROKER_PUBLISHER] = {"publisher", ZSOCKET_PUB,    NULL               },
};

static const struct {
    unsigned lines_max; /* each second */
    enum log_level level;
    const char *what;
} topics[BROKER_TOPICS] = {
    [BROKER_COMPLAINTS] = {5,  LOG_LEVEL_WARNING, "messages or connections like these"},
    [BROKER_AGENTS] = {20, LOG_LEVEL_INFO,    "agents came or went"               },
};

/* --- messages ----------------------------------------------------------------------------------- */

int broker_read(const struct zframe *body, struct wire_message *ret_message,
                enum proto_message *ret_kind, struct error *err)
{
    if (wire_decode(body->data, body->size, ret_message, err) == -1)
        return -1;
    if (message_identify(&ret_message->root, ret_kind, err) == 0)
        return 0;
    wire_clear(ret_message);
    return -1;
}

void broker_send(struct broker *broker, enum broker_socket to,
                 const struct zframe *route, struct buffer *message)
{
    if (zsocket_send(&broker->sockets[to], route, message) == -1)
        log_debug("%s: a message was dropped: its peer is gone, or reads nothing",
                  socket_types[to].name);
    buffer_clear(message);
}

static bool may_log(struct broker *broker, enum broker_topic topic)
{
    return ++broker->lines[topic] <= topics[topic].lines_max;
}

void broker_complain(struct broker *broker, enum broker_socket where, const char *what)
{
    if (may_log(broker, BROKER_COMPLAINTS))
        log_warning("%s: %s", socket_types[where].name, what);
}

void broker_note(struct broker *broker, const struct agent *agent, const char *what)
{
    if (may_log(broker, BROKER_AGENTS))
        log_info("agent=%s instance=%s host=%s pid=%" PRIu64 " %s", agent->name,
                 agent->instance, agent->host, agent->pid, what);
}

static void log_held_back(struct broker *broker)
{
    for (size_t i = 0; i < BROKER_TOPICS; i++) {
        if (broker->lines[i] > topics[i].lines_max)
            log_write(topics[i].level, "%u more %s",
                      broker->lines[i] - topics[i].lines_max, topics[i].what);
        broker->lines[i] = 0;
    }
}

static void on_socket_trouble(struct zsocket *zsocket, const char *what)
{
    struct broker *const broker = zsocket->data;

    broker_complain(broker, (enum broker_socket)(zsocket - broker->sockets), what);
}

/* --- what runs do to the world ------------------------------------------------------------------ */

static void send_to_agent(void *owner, const struct agent *agent,
                          struct buffer *message)
{
    backend_send(owner, agent, message);
}

static void publish(void *owner, const char *run_id, const struct buffer *message)
{
    struct broker *const broker = owner;
    const struct zframe topic = {.data = run_id, .size = strlen(run_id)};

    zsocket_send(&broker->sockets[BROKER_PUBLISHER], &topic, message);
}

static void release_agent(void *owner, struct agent *agent)
{
    struct broker *const broker = owner;

    courier_forget(&broker->courier, agent);
    roster_release(&broker->roster, agent);
}

/* --- runs --------------------------------------------------------------------------------------- */

struct run *broker_find_run(const struct broker *broker, const char *id)
{
    struct run *run;

    TAILQ_FOREACH (run, &broker->runs, link)
        if (strcmp(run->facts.run_id, id) == 0)
            return run;
    return NULL;
}

/* --- the store ---------------------------------------------------------------------------------- */

static void set_trouble(struct broker *broker, const struct error *err)
{
    if (broker->trouble[0] == '\0')
        log_error("nothing can be stored: %s", err->message);
    memcpy(broker->trouble, err->message, sizeof(broker->trouble));
}

static void end_trouble(struct broker *broker)
{
    if (broker->trouble[0] != '\0')
        log_info("results can be stored again");
    broker->trouble[0] = '\0';
}

static bool has_news(const struct broker *broker)
{
    const struct run *run;

    if (broker->has_news || broker->trouble[0] != '\0')
        return true;
    TAILQ_FOREACH (run, &broker->runs, link)
        if (run_has_news(run))
            return true;
    return false;
}

static int put_agents(struct broker *broker, struct error *err)
{
    const struct agent *agent;

    if (!broker->has_news)
        return 0;
    TAILQ_FOREACH (agent, &broker->roster.agents, link)
        if (agent->unsaved &&
            store_put_agent(&broker->store, agent->instance, agent->name, agent->host,
                            agent->pid, err) == -1)
            return -1;
    return 0;
}

static int put_runs(struct broker *broker, struct error *err)
{
    struct run *run;

    TAILQ_FOREACH (run, &broker->runs, link)
        if (run_has_news(run) && run_put(run, &broker->store, err) == -1)
            return -1;
    return 0;
}

/* All of it or nothing. */
static int put_all(struct broker *broker, struct error *err)
{
    struct sql *const sql = &broker->store.sql;

    if (sql_begin(sql, err) == -1)
        return -1;
    /* After a failure something is written in any case: to know whether it can be. */
    if ((broker->trouble[0] != '\0' && store_probe(&broker->store, err) == -1) ||
        put_agents(broker, err) == -1 || put_runs(broker, err) == -1 ||
        sql_commit(sql, err) == -1) {
        sql_rollback(sql);
        return -1;
    }
    return 0;
}

static void all_stored(struct broker *broker)
{
    struct agent *agent;
    struct run *run;

    if (broker->has_news)
        TAILQ_FOREACH (agent, &broker->roster.agents, link)
            agent->unsaved = false;
    broker->has_news = false;
    TAILQ_FOREACH (run, &broker->runs, link)
        run_stored(run);
}

/* Runs of which everything is stored but their end. */
static int finish_runs(struct broker *broker, struct error *err)
{
    struct run *run = TAILQ_FIRST(&broker->runs), *next;

    for (; run != NULL; run = next) {
        next = TAILQ_NEXT(run, link);
        if (!run_is_concluded(run))
            continue;
        if (run_finish(run, &broker->store, err) == -1)
            return -1;
        TAILQ_REMOVE(&broker->runs, run, link);
        run_destroy(run);
    }
    return 0;
}

void broker_commit(struct broker *broker)
{
    const bool has_any = has_news(broker);
    struct error err;
    int rc = has_any ? put_all(broker, &err) : 0;

    if (rc == 0 && has_any)
        all_stored(broker);
    if (rc == 0)
        rc = finish_runs(broker, &err);
    if (rc == -1)
        set_trouble(broker, &err);
    else
        end_trouble(broker);
}

static void on_commit_due(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct broker *const broker = timer->data;

    (void)loop;
    (void)revents;
    buffer_reset(&broker->pong);    /* may have changed */
    if (broker->trouble[0] == '\0') /* else on_tick_due() tries */
        broker_commit(broker);
}

/* --- its end ------------------------------------------------------------------------------------ */

/* The agents that were started for this broker end with it. */
static void say_good_bye(struct broker *broker)
{
    struct agent *agent;

    TAILQ_FOREACH (agent, &broker->roster.agents, link) {
        struct buffer message = BUFFER_INIT;

        if (!agent->temporary)
            continue;
        message_pack_plain(&message, MESSAGE_BYE);
        backend_send(broker, agent, &message);
    }
}

static void leave_when_idle(struct broker *broker)
{
    if (broker->options->leave_after == 0 || broker->stays ||
        !TAILQ_EMPTY(&broker->runs)) {
        broker->idle = 0;
        return;
    }
    if (++broker->idle >= (unsigned long)broker->options->leave_after) {
        log_info("leaving: no run and no request for %ld s",
                 broker->options->leave_after);
        say_good_bye(broker);
        ev_break(broker->loop, EVBREAK_ALL);
    }
}

static void on_signal(struct signal_watch *watch, int number)
{
    struct broker *const broker = watch->data;

    log_info("ending: %s", signal_name(number));
    broker_commit(broker);
    /* Where runs go on, agents wait for the next broker. */
    if (broker->options->leave_after > 0 && TAILQ_EMPTY(&broker->runs))
        say_good_bye(broker);
    ev_break(broker->loop, EVBREAK_ALL);
}

/* --- time --------------------------------------------------------------------------------------- */

static void on_tick_due(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct broker *const broker = timer->data;
    struct run *run;

    (void)loop;
    (void)revents;
    broker->age++;
    log_held_back(broker);
    backend_tick(broker);
    TAILQ_FOREACH (run, &broker->runs, link)
        run_tick(run);
    courier_tick(&broker->courier);
    broker_commit(broker);
    housekeeping_tick(broker);
    leave_when_idle(broker);
}

static void start_timers(struct broker *broker)
{
    ev_timer_init(&broker->commit, on_commit_due, COMMIT_S, COMMIT_S);
    ev_timer_init(&broker->tick, on_tick_due, TICK_S, TICK_S);
    broker->commit.data = broker->tick.data = broker;
    ev_timer_start(broker->loop, &broker->commit);
    ev_timer_start(broker->loop, &broker->tick);
}

static int watch_signals(struct broker *broker, struct error *err)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    broker->signals.on_signal = on_signal;
    broker->signals.data = broker;
    return signal_watch_start(&broker->signals, broker->loop, &set, err);
}

/* --- its start: no other broker may be there ------------------------------------------------------ */

static int take_lock(struct pidlock *lock, const char *file, const char *what,
                     struct error *err)
{
    char *const path = xasprintf("%s.lock", file);
    pid_t holder;
    const int rc = pidlock_take(lock, path, &holder, err);

    free(path);
    if (rc == 0)
        return 0;
    if (holder > 0)
        return error_set(err, "a broker with pid %ld is already on %s", (long)holder,
                         what);
    return error_prefix(err, "%s", what);
}

/* By the path that it really has: behind a link there is the same database. It is made, so
 * that it has one. */
static int lock_database(struct broker *broker, struct error *err)
{
    const char *const name = broker->options->db;
    const int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char *path;
    int rc;

    if (fd == -1)
        return error_errno(err, "cannot open the database '%s'", name);
    close(fd);
    path = realpath(name, NULL);
    if (path == NULL)
        return error_errno(err, "cannot find the database '%s'", name);
    rc = take_lock(&broker->locks[BROKER_SOCKETS], path, name, err);
    free(path);
    return rc;
}

static int take_locks(struct broker *broker, const char *const *endpoints,
                      struct error *err)
{
    for (size_t i = 0; i < BROKER_SOCKETS; i++) {
        const char *const path = endpoint_ipc_path(endpoints[i]);

        if (path != NULL && take_lock(&broker->locks[i], path, endpoints[i], err) == -1)
            return -1;
    }
    return lock_database(broker, err);
}

/* Who else is bound there: a tcp port has no lock. */
static int name_other(const char *endpoint, struct error *err)
{
    uint64_t pid;

    if (ask_pid(endpoint, ASK_S, &pid, err) == 0)
        return error_set(err, "a broker with pid %" PRIu64 " is already on %s", pid,
                         endpoint);
    return error_set(err, "another program is already bound to %s", endpoint);
}

static int open_socket(struct broker *broker, size_t index, const char *endpoint,
                       struct error *err)
{
    struct zsocket *const zsocket = &broker->sockets[index];

    zsocket->on_message = socket_types[index].on_message;
    zsocket->on_trouble = on_socket_trouble;
    zsocket->data = broker;
    if (zsocket_open(zsocket, broker->context, broker->loop, socket_types[index].type,
                     err) == -1)
        return -1;
    if (zsocket_bind(zsocket, endpoint, &broker->endpoints[index], err) == 0)
        return 0;
    return errno == EADDRINUSE ? name_other(endpoint, err)
                               : error_prefix(err, "--%s", socket_types[index].name);
}

/* --- its start: what a broker before it left ------------------------------------------------------- */

/* Nobody can say any more how it was; it does not hold up the others. */
static int give_up_run(struct broker *broker, const struct stored_run *stored,
                       const struct error *why, struct error *err)
{
    log_error("run=%s cannot be restored and has failed: %s", stored->id, why->message);
    return store_finish_run(&broker->store, stored->number, RUN_FAILED, 0, NULL, err);
}

static int restore_runs(struct broker *broker, struct error *err)
{
    struct stored_run stored;
    uint64_t last = 0;
    int rc;

    while ((rc = store_next_active(&broker->store, last, &stored, err)) == 1) {
        struct error why;
        struct run *const run =
            run_restore(&broker->outside, &broker->store, &stored, &why);

        last = stored.number;
        if (run != NULL)
            TAILQ_INSERT_HEAD(&broker->runs, run, link);
        else
            rc = give_up_run(broker, &stored, &why, err);
        stored_run_clear(&stored);
        if (rc == -1)
            return -1;
    }
    return rc;
}

static void make_empty(struct broker *broker, const struct broker_options *options)
{
    *broker = (struct broker){.options = options, .signals = {.signalfd = -1}};
    for (size_t i = 0; i < ARRAY_SIZE(broker->locks); i++)
        broker->locks[i].fd = -1;
    broker->loop = loop_new();
    broker->context = zcontext_new();
    TAILQ_INIT(&broker->runs);
    roster_init(&broker->roster);
    broker->courier = (struct courier){
        .store = &broker->store, .send = send_to_agent, .owner = broker};
    courier_init(&broker->courier);
    broker->outside = (struct run_outside){
        .roster = &broker->roster,
        .prepare_timeout = (unsigned)options->prepare_timeout,
        .send = send_to_agent,
        .publish = publish,
        .release = release_agent,
        .owner = broker,
    };
}

int broker_open(struct broker *broker, const struct broker_options *options,
                struct error *err)
{
    const char *const endpoints[BROKER_SOCKETS] = {
        [BROKER_FRONTEND] = options->frontend,
        [BROKER_BACKEND] = options->backend,
        [BROKER_PUBLISHER] = options->publisher,
    };

    make_empty(broker, options);
    if (take_locks(broker, endpoints, err) == -1 ||
        store_open(&broker->store, options->db, err) == -1)
        return -1;
    for (size_t i = 0; i < BROKER_SOCKETS; i++)
        if (open_socket(broker, i, endpoints[i], err) == -1)
            return -1;
    if (restore_runs(broker, err) == -1 || watch_signals(broker, err) == -1)
        return -1;
    start_timers(broker);
    log_info("started version=%s frontend=%s backend=%s publisher=%s db=%s",
             MOLOTOV_VERSION, broker->endpoints[BROKER_FRONTEND],
             broker->endpoints[BROKER_BACKEND], broker->endpoints[BROKER_PUBLISHER],
             options->db);
    return 0;
}

void broker_run(struct broker *broker)
{
    ev_run(broker->loop, 0);
}

/* libzmq leaves the files; nobody else binds there while the locks are held. */
static void remove_sockets(struct broker *broker)
{
    for (size_t i = 0; i < BROKER_SOCKETS; i++) {
        const char *const endpoint = broker->endpoints[i];

        if (endpoint != NULL && endpoint_ipc_path(endpoint) != NULL)
            unlink(endpoint_ipc_path(endpoint));
        free(broker->endpoints[i]);
    }
}

/* A runner that finds no broker starts one, which the locks refuse: so they are not held
 * for longer than the last messages take. */
void broker_close(struct broker *broker)
{
    struct run *run;

    signal_watch_stop(&broker->signals);
    for (size_t i = 0; i < BROKER_SOCKETS; i++)
        zsocket_close(&broker->sockets[i], LINGER_MS);
    while ((run = TAILQ_FIRST(&broker->runs)) != NULL) {
        TAILQ_REMOVE(&broker->runs, run, link);
        run_destroy(run);
    }
    roster_clear(&broker->roster);
    buffer_clear(&broker->pong);
    store_close(&broker->store);
    zcontext_destroy(broker->context);
    remove_sockets(broker);
    for (size_t i = 0; i < ARRAY_SIZE(broker->locks); i++)
        pidlock_release(&broker->locks[i]);
    ev_loop_destroy(broker->loop);
}
