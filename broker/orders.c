#include "broker/orders.h"

#include <string.h>

static void send_to(const struct run *run, const struct agent *agent,
                    struct buffer *message)
{
    run->outside->send(run->outside->owner, agent, message);
}

static void send_run_only(const struct run *run, const struct agent *agent,
                          enum proto_message kind, const char *id)
{
    struct buffer message = BUFFER_INIT;

    message_pack_run_only(&message, kind, id);
    send_to(run, agent, &message);
}

void order_prepare(const struct run *run, const struct agent *agent)
{
    struct buffer message = BUFFER_INIT;

    message_pack_prepare(&message, agent->index, run->spec.agents, &run->spec.job,
                         &run->spec.bundle);
    send_to(run, agent, &message);
}

void order_start(const struct run *run, const struct agent *agent)
{
    send_run_only(run, agent, MESSAGE_START, run->facts.run_id);
}

void order_stop(const struct run *run, const struct agent *agent)
{
    struct message_stop stop = {.force = run->stop == RUN_STOP_FORCED};
    struct buffer message = BUFFER_INIT;

    run_copy_id(run, stop.run);
    message_pack_run_stop(&message, &stop);
    send_to(run, agent, &message);
}

void order_ack(const struct run *run, const struct agent *agent, uint64_t held)
{
    struct message_ack ack = {.sequence = held};
    struct buffer message = BUFFER_INIT;

    run_copy_id(run, ack.run);
    message_pack_ack(&message, MESSAGE_ACK, &ack);
    send_to(run, agent, &message);
}

void order_refuse(const struct run *run, const struct agent *agent, const char *why)
{
    struct buffer message = BUFFER_INIT;

    message_pack_refused(&message, run->facts.run_id, why);
    send_to(run, agent, &message);
}

void order_release(const struct run *run, const struct agent *agent, const char *id)
{
    send_run_only(run, agent, MESSAGE_RELEASE, id);
}

void order_let_go(const struct run *run, struct run_slot *slot)
{
    struct agent *const agent = slot->agent;

    slot->agent = NULL;
    run->outside->release(run->outside->owner, agent);
}
