/* bench/agents.c - many agents in one process, for bench/run cluster.
 *
 * They speak the protocol (proto/README.md) to a real broker as a real agent does: ask it
 * for its backend, register, beat each second, take a PREPARE, say READY, after START
 * send a REPORT each second, and end on STOP or when the job's duration is over. Only
 * what they report is made up: five labels with log-normal latencies. What an agent
 * measured in an interval follows from its index and the interval's number, so nothing
 * has to be kept to be sent again.
 *
 *     agents BROKER COUNT [SECONDS BETWEEN REPORTS]
 *
 * Each fact is a line of JSON on stdout: how long it took until all were registered, and,
 * as soon as every one of them is released again, what the broker acknowledged. SIGTERM
 * and SIGINT end it. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zmq.h>

#include "base/clock.h"
#include "base/endpoint.h"
#include "base/loop.h"
#include "base/memory.h"
#include "base/zsocket.h"
#include "proto/cluster.h"

enum {
    AGENTS_MAX = 5000,
    SOCKETS_EACH = 6, /* frontend and backend, each with its monitor's two ends */
    TEMPLATES = 32,   /* different intervals that were ever measured */
};

/* The loop wakes at most so often, since each wake asks every socket for news. */
#define WAKE_S 0.005

struct agent {
    struct fleet *fleet;
    size_t index;
    struct zsocket frontend, backend; /* the one is closed when the other is open */
    bool registered;
    struct agent_claim claim; /* its sequence: of the last REPORT sent */
    uint64_t last;            /* the REPORT that is to say `ended` */
    uint64_t held;            /* acknowledged */
    uint64_t sent_us[PROTO_UNACKED_MAX];
    ev_timer beat, report;
};

struct fleet {
    struct ev_loop *loop;
    void *context;
    const char *broker;
    double report_s;
    struct agent *agents;
    size_t count;
    uint64_t began_us;
    size_t registered, on_run;
    struct delta measured[TEMPLATES];
    uint64_t hits_of[TEMPLATES];
    struct buffer message;

    /* Of what was acknowledged. */
    uint64_t reports, hits, ack_us, ack_us_max;
    uint64_t sent; /* REPORTs, repeated ones too */
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "agents: %s: %s\n", what, why);
    exit(1);
}

/* --- what they measure ------------------------------------------------------------ */

static double uniform(void)
{
    return drand48(); /* always the same numbers: nobody seeds it */
}

/* By Box and Muller. */
static double normal(void)
{
    return sqrt(-2 * log(1 - uniform())) * cos(2 * M_PI * uniform());
}

static uint64_t log_normal(double median, double sigma)
{
    return (uint64_t)(median * exp(sigma * normal()));
}

static void measure_label(struct stats *stats, const char *name, double median_us,
                          size_t hits)
{
    struct request_stats *const request =
        stats_request(stats, "GET", name, strlen(name));

    for (size_t i = 0; i < hits; i++) {
        const uint64_t latency_us = log_normal(median_us, 0.6);

        request->hits++;
        request->bytes_in += 200 + latency_us % 2000;
        request->bytes_out += 120;
        stats_add_status(request, i % 50 == 49 ? 404 : 200, 1);
        histogram_record(&request->latency, latency_us);
        stats_add_phase(request, PHASE_FIRST_BYTE, latency_us * 9 / 10);
    }
}

static void measure_scenario(struct stats *stats, const char *name, double median_us,
                             size_t runs)
{
    struct scenario_stats *const scenario = stats_scenario(stats, name);

    for (size_t i = 0; i < runs; i++) {
        scenario->ok++;
        histogram_record(&scenario->latency, log_normal(median_us, 0.6));
    }
}

static void measure(struct delta *delta)
{
    static const struct {
        const char *name;
        double median_us;
        size_t hits;
    } labels[] = {
        {"/",         2000,  300},
        {"/search",   30000, 150},
        {"/product",  8000,  150},
        {"/orders",   60000, 50 },
        {"/checkout", 90000, 20 },
    };

    delta_init(delta);
    for (size_t i = 0; i < ARRAY_SIZE(labels); i++)
        measure_label(&delta->stats, labels[i].name, labels[i].median_us,
                      labels[i].hits);
    measure_scenario(&delta->stats, "browse", 50000, 150);
    measure_scenario(&delta->stats, "buy", 180000, 20);
}

static void measure_all(struct fleet *fleet)
{
    for (size_t i = 0; i < TEMPLATES; i++) {
        struct stats_totals totals;

        measure(&fleet->measured[i]);
        stats_total(&fleet->measured[i].stats, &totals);
        fleet->hits_of[i] = totals.hits;
    }
}

static size_t template_of(const struct agent *agent, uint64_t sequence)
{
    return (agent->index + (size_t)sequence) % TEMPLATES;
}

/* --- what they say ---------------------------------------------------------------- */

static void send_message(struct agent *agent)
{
    struct zsocket *const socket =
        agent->backend.handle != NULL ? &agent->backend : &agent->frontend;

    zsocket_send(socket, NULL, &agent->fleet->message);
}

static void ask_for_backend(struct agent *agent)
{
    message_pack_request(&agent->fleet->message, MESSAGE_PING);
    send_message(agent);
}

static void say_register(struct agent *agent)
{
    char name[32];
    struct message_register reg = {.name = name, .host = name, .claim = agent->claim};

    snprintf(name, sizeof(name), "simulated-%zu", agent->index);
    snprintf(reg.instance, sizeof(reg.instance), "%d-%zu", (int)getpid(), agent->index);
    reg.pid = (uint64_t)getpid();
    message_pack_register(&agent->fleet->message, &reg);
    send_message(agent);
}

static void on_beat_due(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct agent *const agent = timer->data;

    (void)loop;
    (void)revents;
    if (agent->backend.handle == NULL) {
        ask_for_backend(agent);
    } else if (!agent->registered) {
        say_register(agent);
    } else {
        message_pack_beat(&agent->fleet->message, &agent->claim);
        send_message(agent);
    }
}

/* The one that ends the run has no measurements. */
static void send_report(struct agent *agent, uint64_t sequence)
{
    struct fleet *const fleet = agent->fleet;
    const uint64_t interval_us = (uint64_t)(fleet->report_s * US_PER_S);
    struct message_report report;

    message_report_init(&report);
    memcpy(report.run, agent->claim.run, sizeof(report.run));
    report.ended = sequence == agent->last;
    if (!report.ended)
        report.delta = fleet->measured[template_of(agent, sequence)]; /* lent */
    report.delta.sequence = sequence;
    report.delta.from_us = (sequence - 1) * interval_us;
    report.delta.until_us = report.delta.from_us + (report.ended ? 0 : interval_us);
    message_pack_report(&fleet->message, &report);
    send_message(agent);
    agent->sent_us[sequence % PROTO_UNACKED_MAX] = clock_us();
    fleet->sent++;
}

/* Each interval is reported once it is over, so late ones follow each other at once. */
static void on_report_due(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct agent *const agent = timer->data;
    struct agent_claim *const claim = &agent->claim;

    (void)loop;
    (void)revents;
    if (claim->state == AGENT_ENDED ||
        claim->sequence - agent->held >= PROTO_UNACKED_MAX)
        return;
    claim->sequence++;
    if (claim->stopping)
        agent->last = claim->sequence;
    if (claim->sequence == agent->last)
        claim->state = AGENT_ENDED;
    send_report(agent, claim->sequence);
}

/* --- what they hear --------------------------------------------------------------- */

static void connect_to(struct agent *agent, struct zsocket *socket,
                       const char *endpoint);

static void hear_pong(struct agent *agent, const msgpack_object *map, struct error *err)
{
    struct message_pong pong;
    char *endpoint;

    if (agent->backend.handle != NULL || message_unpack_pong(map, &pong, err) == -1)
        return;
    endpoint = endpoint_as_seen(pong.backend, agent->fleet->broker);
    connect_to(agent, &agent->backend, endpoint);
    zsocket_close(&agent->frontend, 0);
    say_register(agent);
    free(endpoint);
    message_pong_clear(&pong);
}

static void tell_registered(const struct fleet *fleet)
{
    printf("{\"registered\": %zu, \"seconds\": %.3f}\n", fleet->registered,
           (double)(clock_us() - fleet->began_us) / US_PER_S);
}

static void hear_registered(struct agent *agent, const msgpack_object *map,
                            struct error *err)
{
    struct message_ack ack;
    struct agent_claim *const claim = &agent->claim;

    if (message_unpack_ack(map, &ack, err) == -1)
        return;
    if (!agent->registered) {
        agent->registered = true;
        if (++agent->fleet->registered == agent->fleet->count)
            tell_registered(agent->fleet);
    }
    if (claim->run[0] == '\0' || strcmp(ack.run, claim->run) != 0)
        return;
    for (uint64_t n = ack.sequence + 1; n <= claim->sequence; n++)
        send_report(agent, n); /* the broker of before had not stored them */
}

static void hear_prepare(struct agent *agent, const msgpack_object *map,
                         struct error *err)
{
    struct fleet *const fleet = agent->fleet;
    struct message_prepare prepare;

    if (agent->claim.run[0] != '\0' || message_unpack_prepare(map, &prepare, err) == -1)
        return;
    agent->claim = (struct agent_claim){.state = AGENT_READY};
    snprintf(agent->claim.run, sizeof(agent->claim.run), "%s", prepare.job.run_id);
    agent->last = (uint64_t)(prepare.job.duration_s / fleet->report_s) + 1;
    agent->held = 0;
    fleet->on_run++;
    message_prepare_clear(&prepare);
    message_pack_run_only(&fleet->message, MESSAGE_READY, agent->claim.run);
    send_message(agent);
}

/* Intervals end at different times on different hosts. */
static void hear_start(struct agent *agent, const msgpack_object *map,
                       struct error *err)
{
    struct fleet *const fleet = agent->fleet;

    (void)map;
    (void)err;
    if (agent->claim.state != AGENT_READY)
        return;
    agent->claim.state = AGENT_RUNNING;
    ev_timer_set(&agent->report, fleet->report_s * (1 + uniform()), fleet->report_s);
    ev_timer_start(fleet->loop, &agent->report);
}

static void hear_stop(struct agent *agent, const msgpack_object *map, struct error *err)
{
    struct message_stop stop;

    if (message_unpack_run_stop(map, &stop, err) == -1)
        return;
    agent->claim.stopping = true;
    agent->claim.forced = agent->claim.forced || stop.force;
    message_stop_clear(&stop);
}

static void count_held(struct agent *agent, uint64_t sequence)
{
    struct fleet *const fleet = agent->fleet;
    const uint64_t took_us = clock_us() - agent->sent_us[sequence % PROTO_UNACKED_MAX];

    fleet->reports++;
    fleet->ack_us += took_us;
    if (took_us > fleet->ack_us_max)
        fleet->ack_us_max = took_us;
    if (sequence != agent->last)
        fleet->hits += fleet->hits_of[template_of(agent, sequence)];
}

static void hear_ack(struct agent *agent, const msgpack_object *map, struct error *err)
{
    struct message_ack ack;

    if (message_unpack_ack(map, &ack, err) == -1 ||
        strcmp(ack.run, agent->claim.run) != 0)
        return;
    if (ack.sequence > agent->claim.sequence) {
        error_set(err, "%" PRIu64 " is acknowledged, %" PRIu64 " was the last",
                  ack.sequence, agent->claim.sequence);
        return;
    }
    while (agent->held < ack.sequence)
        count_held(agent, ++agent->held);
}

static void tell_totals(struct fleet *fleet)
{
    printf("{\"reports\": %" PRIu64 ", \"sent\": %" PRIu64 ", \"hits\": %" PRIu64
           ", \"ack_ms\": %.1f, \"ack_ms_max\": %.1f}\n",
           fleet->reports, fleet->sent, fleet->hits,
           fleet->reports > 0 ? (double)fleet->ack_us / 1e3 / (double)fleet->reports
                              : 0,
           (double)fleet->ack_us_max / 1e3);
}

static void hear_release(struct agent *agent, const msgpack_object *map,
                         struct error *err)
{
    struct fleet *const fleet = agent->fleet;

    (void)map;
    (void)err;
    if (agent->claim.run[0] == '\0')
        return;
    agent->claim = (struct agent_claim){.run = ""};
    ev_timer_stop(fleet->loop, &agent->report);
    if (--fleet->on_run == 0)
        tell_totals(fleet);
}

static void hear_unknown(struct agent *agent, const msgpack_object *map,
                         struct error *err)
{
    (void)map;
    (void)err;
    say_register(agent);
}

static void hear_refused(struct agent *agent, const msgpack_object *map,
                         struct error *err)
{
    char *why;

    (void)agent;
    if (message_unpack_why(map, &why, err) == -1)
        return;
    error_set(err, "refused: %s", why);
    free(why);
}

static void (*const hear[MESSAGE_COUNT])(struct agent *agent, const msgpack_object *map,
                                         struct error *err) = {
    [MESSAGE_PONG] = hear_pong,       [MESSAGE_REGISTERED] = hear_registered,
    [MESSAGE_PREPARE] = hear_prepare, [MESSAGE_START] = hear_start,
    [MESSAGE_STOP] = hear_stop,       [MESSAGE_ACK] = hear_ack,
    [MESSAGE_RELEASE] = hear_release, [MESSAGE_UNKNOWN] = hear_unknown,
    [MESSAGE_REFUSED] = hear_refused,
};

/* A benchmark of a broker that says something wrong is none. */
static void on_broker_message(struct zsocket *zsocket, const struct zframe *route,
                              const struct zframe *body)
{
    struct agent *const agent = zsocket->data;
    struct error err = {.message = ""};
    struct wire_message message;
    enum proto_message name;

    (void)route;
    if (wire_decode(body->data, body->size, &message, &err) == -1)
        die("a message of the broker", err.message);
    if (message_identify(&message.root, &name, &err) == 0 && hear[name] != NULL)
        hear[name](agent, &message.root, &err);
    if (err.message[0] != '\0')
        die("a message of the broker", err.message);
    wire_clear(&message);
}

/* --- the fleet -------------------------------------------------------------------- */

static void connect_to(struct agent *agent, struct zsocket *socket,
                       const char *endpoint)
{
    struct fleet *const fleet = agent->fleet;
    struct error err;

    socket->on_message = on_broker_message;
    socket->data = agent;
    if (zsocket_open(socket, fleet->context, fleet->loop, ZSOCKET_DEALER, &err) == -1 ||
        zsocket_connect(socket, endpoint, &err) == -1)
        die(endpoint, err.message);
}

static void launch_agent(struct fleet *fleet, size_t index)
{
    struct agent *const agent = &fleet->agents[index];

    *agent = (struct agent){.fleet = fleet, .index = index};
    ev_timer_init(&agent->beat, on_beat_due, PROTO_BEAT_S * (1 + uniform()),
                  PROTO_BEAT_S);
    ev_timer_init(&agent->report, on_report_due, 0, 0);
    agent->beat.data = agent->report.data = agent;
    ev_timer_start(fleet->loop, &agent->beat);
    connect_to(agent, &agent->frontend, fleet->broker);
    ask_for_backend(agent);
}

static void land_agent(struct agent *agent)
{
    zsocket_close(&agent->frontend, 0);
    zsocket_close(&agent->backend, 0);
    ev_timer_stop(agent->fleet->loop, &agent->beat);
    ev_timer_stop(agent->fleet->loop, &agent->report);
}

/* A context allows for what a program of ours needs, not for a thousand of them. */
static void allow_sockets(const struct fleet *fleet)
{
    if (zmq_ctx_set(fleet->context, ZMQ_MAX_SOCKETS,
                    (int)fleet->count * SOCKETS_EACH) == -1)
        die("sockets", zmq_strerror(errno));
}

static void on_end_asked(struct signal_watch *watch, int number)
{
    (void)number;
    ev_break(watch->loop, EVBREAK_ALL);
}

static void fly(struct fleet *fleet)
{
    struct signal_watch signals = {.on_signal = on_end_asked};
    struct error err;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (signal_watch_start(&signals, fleet->loop, &set, &err) == -1)
        die("signals", err.message);
    ev_set_io_collect_interval(fleet->loop, WAKE_S);
    ev_set_timeout_collect_interval(fleet->loop, WAKE_S);
    fleet->began_us = clock_us();
    for (size_t i = 0; i < fleet->count; i++)
        launch_agent(fleet, i);
    ev_run(fleet->loop, 0);
    for (size_t i = 0; i < fleet->count; i++)
        land_agent(&fleet->agents[i]);
    signal_watch_stop(&signals);
}

static void read_arguments(int argc, char **argv, struct fleet *fleet)
{
    if (argc != 3 && argc != 4)
        die("usage", "agents BROKER COUNT [SECONDS BETWEEN REPORTS]");
    fleet->broker = argv[1];
    fleet->count = (size_t)strtoul(argv[2], NULL, 10);
    fleet->report_s = argc == 4 ? strtod(argv[3], NULL) : 1.0;
    if (fleet->count == 0 || fleet->count > AGENTS_MAX)
        die("COUNT", "not from 1 to 5000");
    if (!(fleet->report_s >= 0.1 && fleet->report_s <= 60))
        die("SECONDS BETWEEN REPORTS", "not from 0.1 to 60");
}

int main(int argc, char **argv)
{
    static struct fleet fleet;

    read_arguments(argc, argv, &fleet);
    setvbuf(stdout, NULL, _IOLBF, 0);
    fleet.loop = loop_new();
    fleet.context = zcontext_new();
    fleet.agents = xcalloc(fleet.count, sizeof(*fleet.agents));
    allow_sockets(&fleet);
    measure_all(&fleet);
    fly(&fleet);
    for (size_t i = 0; i < TEMPLATES; i++)
        delta_clear(&fleet.measured[i]);
    buffer_clear(&fleet.message);
    free(fleet.agents);
    zcontext_destroy(fleet.context);
    ev_loop_destroy(fleet.loop);
    return 0;
}
