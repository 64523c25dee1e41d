#include "broker/courier.h"

#include <string.h>

#include "base/log.h"
#include "broker/run.h"

void courier_init(struct courier *courier)
{
    courier->in_transit = 0;
    TAILQ_INIT(&courier->waiting);
    TAILQ_INIT(&courier->sent);
}

/* FILE; or REFUSED, where the store has it no more, or cannot read it. */
static void pack_answer(struct courier *courier, const struct agent *agent,
                        struct buffer *message)
{
    struct message_file file;
    struct sql_bytes content;
    struct error err;
    const int rc =
        store_read_file(courier->store, agent->errand.digest, &content, &err);

    if (rc != 1) {
        if (rc == 0)
            error_set(&err, "the broker does not have the file %s of the test any more",
                      agent->errand.digest);
        log_error("run=%s agent=%s: %s", agent->run->facts.run_id, agent->name,
                  err.message);
        message_pack_refused(message, agent->run->facts.run_id, err.message);
        return;
    }
    file = (struct message_file){.content = content.data, .size = content.size};
    memcpy(file.digest, agent->errand.digest, sizeof(file.digest));
    message_pack_file(message, &file);
    store_file_done(courier->store);
}

static void send_first(struct courier *courier)
{
    struct agent *const agent = TAILQ_FIRST(&courier->waiting);
    struct buffer message = BUFFER_INIT;

    TAILQ_REMOVE(&courier->waiting, agent, errand.link);
    TAILQ_INSERT_TAIL(&courier->sent, agent, errand.link);
    agent->errand.is_sent = true;
    agent->errand.age = 0;
    courier->in_transit += agent->errand.size;
    pack_answer(courier, agent, &message);
    courier->send(courier->owner, agent, &message);
}

static void send_what_may_go(struct courier *courier)
{
    const struct agent *agent;

    while ((agent = TAILQ_FIRST(&courier->waiting)) != NULL &&
           (courier->in_transit == 0 ||
            courier->in_transit + agent->errand.size <= COURIER_TRANSIT_MAX))
        send_first(courier);
}

static void drop_errand(struct courier *courier, struct agent *agent)
{
    if (agent->errand.digest[0] == '\0')
        return;
    if (agent->errand.is_sent) {
        TAILQ_REMOVE(&courier->sent, agent, errand.link);
        courier->in_transit -= agent->errand.size;
    } else {
        TAILQ_REMOVE(&courier->waiting, agent, errand.link);
    }
    agent->errand = (struct errand){.digest = ""};
}

void courier_ask(struct courier *courier, struct agent *agent, const char *digest,
                 uint64_t size)
{
    if (strcmp(agent->errand.digest, digest) == 0)
        return;
    drop_errand(courier, agent);
    memcpy(agent->errand.digest, digest, sizeof(agent->errand.digest));
    agent->errand.size = size;
    TAILQ_INSERT_TAIL(&courier->waiting, agent, errand.link);
    send_what_may_go(courier);
}

void courier_forget(struct courier *courier, struct agent *agent)
{
    drop_errand(courier, agent);
    send_what_may_go(courier);
}

void courier_tick(struct courier *courier)
{
    struct agent *agent = TAILQ_FIRST(&courier->sent), *next;

    for (; agent != NULL; agent = next) {
        next = TAILQ_NEXT(agent, errand.link);
        if (++agent->errand.age > COURIER_PATIENCE)
            drop_errand(courier, agent);
    }
    send_what_may_go(courier);
}
