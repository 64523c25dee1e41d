#include "broker/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

void backend_send(struct broker *broker, const struct agent *agent,
                  struct buffer *message)
{
    const struct zframe route = {.data = agent->route, .size = agent->route_size};

    if (agent->route_size > 0)
        broker_send(broker, BROKER_BACKEND, &route, message);
    buffer_clear(message);
}

static void send_run_only(struct broker *broker, const struct agent *agent,
                          enum proto_message kind, const char *id)
{
    struct buffer message = BUFFER_INIT;

    message_pack_run_only(&message, kind, id);
    backend_send(broker, agent, &message);
}

/* --- agents that go --------------------------------------------------------------------------- */

/* `agent` may be gone after this. */
static void lose(struct broker *broker, struct agent *agent, const char *why)
{
    if (agent->run != NULL) {
        courier_forget(&broker->courier, agent);
        run_lose_agent(agent->run, agent, why);
    }
    roster_disconnect(&broker->roster, agent);
}

void backend_tick(struct broker *broker)
{
    const unsigned most = (unsigned)broker->options->agent_timeout;
    struct agent *agent = TAILQ_FIRST(&broker->roster.agents), *next;
    char why[60], what[80];

    snprintf(why, sizeof(why), "it was silent for %u s", most);
    snprintf(what, sizeof(what), "is lost: %s", why);
    for (; agent != NULL; agent = next) {
        next = TAILQ_NEXT(agent, link);
        if (++agent->silent != most)
            continue;
        if (agent->route_size > 0) /* else it was told when it left */
            broker_note(broker, agent, what);
        lose(broker, agent, why);
    }
}

static int take_bye(struct broker *broker, struct agent *agent,
                    const msgpack_object *map, struct error *err)
{
    (void)map;
    (void)err; /* it cannot fail, and `agent` is gone then */
    broker_note(broker, agent, "left");
    lose(broker, agent, "it left");
    return 0;
}

/* --- REGISTER --------------------------------------------------------------------------------- */

static void take_claim(struct broker *broker, struct agent *agent,
                       const struct agent_claim *claim)
{
    if (agent->run != NULL)
        run_take_claim(agent->run, agent, claim);
    else if (claim->run[0] != '\0')
        send_run_only(broker, agent, MESSAGE_RELEASE, claim->run);
}

static void welcome(struct broker *broker, const struct agent *agent,
                    const struct agent_claim *claim)
{
    struct message_ack ack = {.sequence = 0};
    struct buffer message = BUFFER_INIT;

    if (agent->run != NULL && strcmp(agent->run->facts.run_id, claim->run) == 0) {
        memcpy(ack.run, claim->run, sizeof(ack.run));
        ack.sequence = run_held(agent->run, agent);
    }
    message_pack_ack(&message, MESSAGE_REGISTERED, &ack);
    backend_send(broker, agent, &message);
}

static struct agent *find_or_add(struct broker *broker,
                                 const struct message_register *reg)
{
    struct agent *agent = roster_find(&broker->roster, reg->instance);

    if (agent == NULL && broker->roster.count < ROSTER_AGENTS_MAX)
        agent =
            roster_add(&broker->roster, reg->instance, reg->name, reg->host, reg->pid);
    return agent;
}

static void enter(struct broker *broker, const struct zframe *route,
                  struct agent *agent, const struct message_register *reg)
{
    const bool was_known = agent->run != NULL || agent->route_size > 0;

    roster_connect(&broker->roster, agent, route);
    agent->silent = 0;
    agent->temporary = reg->temporary;
    agent->unsaved = broker->has_news = true;
    broker_note(broker, agent, was_known ? "is back" : "registered");
    if (agent->run != NULL)
        courier_forget(&broker->courier, agent); /* it asks again */
    welcome(broker, agent, &reg->claim);
    take_claim(broker, agent, &reg->claim);
}

/* For whom there is no agent. */
static void refuse(struct broker *broker, const struct zframe *route, const char *why)
{
    struct buffer message = BUFFER_INIT;

    message_pack_refused(&message, NULL, why);
    broker_send(broker, BROKER_BACKEND, route, &message);
}

static int take_register(struct broker *broker, const struct zframe *route,
                         const msgpack_object *map, struct error *err)
{
    struct message_register reg;
    struct agent *agent;

    if (message_check_version(map, err) == -1 ||
        message_unpack_register(map, &reg, err) == -1) {
        refuse(broker, route, err->message);
        return -1;
    }
    agent = find_or_add(broker, &reg);
    if (agent != NULL) {
        enter(broker, route, agent, &reg);
    } else {
        error_set(err, "there are %u agents here, and no more are taken",
                  ROSTER_AGENTS_MAX);
        refuse(broker, route, err->message);
    }
    message_register_clear(&reg);
    return agent != NULL ? 0 : -1;
}

/* --- of a run --------------------------------------------------------------------------------- */

static int take_beat(struct broker *broker, struct agent *agent,
                     const msgpack_object *map, struct error *err)
{
    struct agent_claim claim;

    if (message_unpack_beat(map, &claim, err) == -1)
        return -1;
    send_run_only(broker, agent, MESSAGE_BEAT, NULL);
    take_claim(broker, agent, &claim);
    return 0;
}

static int take_ready(struct broker *broker, struct agent *agent,
                      const msgpack_object *map, struct error *err)
{
    struct agent_claim claim = {.state = AGENT_READY};

    (void)map;
    (void)err;
    courier_forget(&broker->courier, agent);
    run_copy_id(agent->run, claim.run);
    run_take_claim(agent->run, agent, &claim);
    return 0;
}

static int take_refused(struct broker *broker, struct agent *agent,
                        const msgpack_object *map, struct error *err)
{
    char *why;

    if (message_unpack_why(map, &why, err) == -1)
        return -1;
    courier_forget(&broker->courier, agent);
    run_take_refusal(agent->run, agent, why);
    free(why);
    return 0;
}

static int take_fetch(struct broker *broker, struct agent *agent,
                      const msgpack_object *map, struct error *err)
{
    char digest[DIGEST_SIZE];
    message_run_id id;
    uint64_t size;

    if (message_unpack_fetch(map, id, digest, err) == -1 ||
        run_take_fetch(agent->run, agent, digest, &size, err) == -1)
        return -1;
    courier_ask(&broker->courier, agent, digest, size);
    return 0;
}

static int take_report(struct broker *broker, struct agent *agent,
                       const msgpack_object *map, struct error *err)
{
    struct message_report report;

    (void)broker;
    if (message_unpack_report(map, &report, err) == -1)
        return -1;
    run_take_report(agent->run, agent, &report);
    message_report_clear(&report);
    return 0;
}

/* --- all -------------------------------------------------------------------------------------- */

/* From a registered agent. What is `of_run` comes to take() only from an agent that has
 * this run. */
static const struct {
    bool of_run;
    int (*take)(struct broker *broker, struct agent *agent, const msgpack_object *map,
                struct error *err);
} handlers[MESSAGE_COUNT] = {
    [MESSAGE_BEAT] = {false, take_beat   },
      [MESSAGE_BYE] = {false, take_bye    },
    [MESSAGE_READY] = {true,  take_ready  },
      [MESSAGE_REFUSED] = {true,  take_refused},
    [MESSAGE_FETCH] = {true,  take_fetch  },
      [MESSAGE_REPORT] = {true,  take_report },
};

/* 1: the message is of the run that the agent has; 0: of another, which it is to forget. */
static int is_of_its_run(struct broker *broker, struct agent *agent,
                         const msgpack_object *map, struct error *err)
{
    message_run_id id;

    if (message_unpack_run_id(map, id, err) == -1)
        return -1;
    if (agent->run != NULL && strcmp(agent->run->facts.run_id, id) == 0)
        return 1;
    send_run_only(broker, agent, MESSAGE_RELEASE, id);
    return 0;
}

static int take_known(struct broker *broker, struct agent *agent,
                      enum proto_message kind, const msgpack_object *map,
                      struct error *err)
{
    int rc = 1;

    agent->silent = 0;
    if (handlers[kind].take == NULL)
        rc = error_set(err, "it is nothing that an agent says");
    else if (handlers[kind].of_run)
        rc = is_of_its_run(broker, agent, map, err);
    if (rc == 1)
        rc = handlers[kind].take(broker, agent, map, err);
    return rc == -1 ? error_prefix(err, "agent %s", agent->name) : 0;
}

static int take(struct broker *broker, const struct zframe *route,
                enum proto_message kind, const msgpack_object *map, struct error *err)
{
    struct agent *agent;
    struct buffer message = BUFFER_INIT;

    if (kind == MESSAGE_REGISTER)
        return take_register(broker, route, map, err);
    agent = roster_find_route(&broker->roster, route);
    if (agent != NULL)
        return take_known(broker, agent, kind, map, err);
    message_pack_plain(&message, MESSAGE_UNKNOWN);
    broker_send(broker, BROKER_BACKEND, route, &message);
    return 0;
}

void on_backend_message(struct zsocket *zsocket, const struct zframe *route,
                        const struct zframe *body)
{
    struct broker *const broker = zsocket->data;
    struct wire_message message;
    enum proto_message kind;
    struct error err;
    int rc = broker_read(body, &message, &kind, &err);

    if (rc == 0) {
        rc = take(broker, route, kind, &message.root, &err);
        if (rc == -1)
            error_prefix(&err, "%s", proto_message_names[kind]);
        wire_clear(&message);
    }
    if (rc == -1)
        broker_complain(broker, BROKER_BACKEND, err.message);
}
