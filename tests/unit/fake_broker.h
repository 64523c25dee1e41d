/* tests/unit/fake_broker.h - a broker on the loop of a test, which answers as it is told.
 *
 * Its run is called "run-1", and its revision i counts i on the counter "n"; so a console
 * that holds all up to revision r has the sum 1 + ... + r. */
#ifndef TESTS_FAKE_BROKER_H
#define TESTS_FAKE_BROKER_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ev.h>

#include "base/memory.h"
#include "base/zsocket.h"
#include "proto/cluster.h"

struct fake_broker {
    struct ev_loop *loop;
    void *context;
    char *folder;
    char *frontend_endpoint, *publisher_endpoint;
    struct zsocket frontend, publisher;
    unsigned opened; /* times: each has a publisher of its own */

    /* How it answers. */
    bool silent;
    uint64_t revision;
    bool whole; /* SNAPSHOT is answered with everything, as from a merged store */
    bool over;  /* with END_OF_RUN */
    const char *refusal; /* everything is answered with REFUSED */
    const char *trouble;
    const void *garbage; /* everything is answered with these bytes */
    size_t garbage_size;

    /* What came. */
    unsigned counts[MESSAGE_COUNT];
    uint64_t asked_after;
};

/* All of (after, revision]. */
static inline void fake_fill(const struct fake_broker *fake, uint64_t after,
                             uint64_t revision, struct message_update *update)
{
    message_update_init(update);
    strcpy(update->run, "run-1");
    update->after = after;
    update->revision = revision;
    update->elapsed_us = 1000000;
    update->trouble = fake->trouble != NULL ? xstrdup(fake->trouble) : NULL;
    update->has_facts = true;
    update->facts.run_id = xstrdup("run-1");
    update->facts.state = fake->over ? RUN_FINISHED : RUN_RUNNING;
    update->facts.started_wall_s = 1;
    for (uint64_t i = after + 1; i <= revision; i++)
        stats_add_counter(&update->delta.stats, "n", (int64_t)i);
    update->delta.until_us = revision * 100000;
    series_add(&update->series, &update->delta);
}

static inline void fake_answer_snapshot(struct fake_broker *fake,
                                        const struct zframe *route)
{
    const bool everything =
        fake->over || fake->whole || fake->asked_after > fake->revision;
    struct message_update update;
    struct buffer message = BUFFER_INIT;

    fake_fill(fake, everything ? 0 : fake->asked_after, fake->revision, &update);
    message_pack_update(&message, fake->over ? MESSAGE_END_OF_RUN : MESSAGE_UPDATE,
                        &update);
    zsocket_send(&fake->frontend, route, &message);
    message_update_clear(&update);
    buffer_clear(&message);
}

/* `topic` NULL: the run's. */
static inline void fake_publish(struct fake_broker *fake, const char *topic,
                                uint64_t after, uint64_t revision)
{
    const char *const name = topic != NULL ? topic : "run-1";
    const struct zframe route = {.data = name, .size = strlen(name)};
    struct message_update update;
    struct buffer message = BUFFER_INIT;

    fake_fill(fake, after, revision, &update);
    if (topic != NULL)
        strcpy(update.run, topic);
    message_pack_update(&message, fake->over ? MESSAGE_END_OF_RUN : MESSAGE_UPDATE,
                        &update);
    zsocket_send(&fake->publisher, &route, &message);
    message_update_clear(&update);
    buffer_clear(&message);
}

/* The next revision, published to all. */
static inline void fake_go_on(struct fake_broker *fake)
{
    fake->revision++;
    fake_publish(fake, NULL, fake->revision - 1, fake->revision);
}

static inline void fake_answer_ping(struct fake_broker *fake,
                                    const struct zframe *route)
{
    const struct message_pong pong = {
        .pid = 7,
        .program = (char *)"0",
        .frontend = fake->frontend_endpoint,
        .backend = fake->frontend_endpoint,
        .publisher = fake->publisher_endpoint,
    };
    struct buffer message = BUFFER_INIT;

    message_pack_pong(&message, &pong);
    zsocket_send(&fake->frontend, route, &message);
    buffer_clear(&message);
}

static inline void fake_answer(struct fake_broker *fake, const struct zframe *route,
                               enum proto_message kind)
{
    struct buffer message = BUFFER_INIT;

    if (fake->garbage != NULL) {
        buffer_add(&message, fake->garbage, fake->garbage_size);
        zsocket_send(&fake->frontend, route, &message);
    } else if (fake->refusal != NULL) {
        message_pack_refused(&message, NULL, fake->refusal);
        zsocket_send(&fake->frontend, route, &message);
    } else if (kind == MESSAGE_PING) {
        fake_answer_ping(fake, route);
    } else if (kind == MESSAGE_SNAPSHOT) {
        fake_answer_snapshot(fake, route);
    }
    buffer_clear(&message);
}

static inline void on_fake_request(struct zsocket *socket, const struct zframe *route,
                                   const struct zframe *body)
{
    struct fake_broker *const fake = socket->data;
    struct message_snapshot ask;
    enum proto_message kind;
    struct wire_message message;
    struct error err;

    assert_int_equal(wire_decode(body->data, body->size, &message, &err), 0);
    assert_int_equal(message_identify(&message.root, &kind, &err), 0);
    assert_int_equal(message_check_version(&message.root, &err), 0);
    fake->counts[kind]++;
    if (kind == MESSAGE_SNAPSHOT) {
        assert_int_equal(message_unpack_snapshot(&message.root, &ask, &err), 0);
        assert_string_equal(ask.run, "run-1");
        fake->asked_after = ask.after;
    }
    if (!fake->silent)
        fake_answer(fake, route, kind);
    wire_clear(&message);
}

static inline void fake_bind(struct fake_broker *fake, struct zsocket *socket,
                             enum zsocket_type type, char **endpoint)
{
    struct error err;
    char *bound = NULL;

    socket->data = fake;
    if (zsocket_open(socket, fake->context, fake->loop, type, &err) == -1 ||
        zsocket_bind(socket, *endpoint, &bound, &err) == -1)
        fail_msg("%s", err.message);
    free(bound);
}

static inline void fake_open(struct fake_broker *fake)
{
    free(fake->publisher_endpoint);
    fake->publisher_endpoint =
        xasprintf("ipc://%s/publisher-%u", fake->folder, fake->opened++);
    fake->frontend.on_message = on_fake_request;
    fake_bind(fake, &fake->frontend, ZSOCKET_ROUTER, &fake->frontend_endpoint);
    fake_bind(fake, &fake->publisher, ZSOCKET_PUB, &fake->publisher_endpoint);
}

static inline void fake_close(struct fake_broker *fake)
{
    zsocket_close(&fake->frontend, 0);
    zsocket_close(&fake->publisher, 0);
}

static inline void fake_start(struct fake_broker *fake, struct ev_loop *loop,
                              void *context)
{
    char folder[] = "/tmp/test_runner.XXXXXX";

    *fake = (struct fake_broker){.loop = loop, .context = context};
    assert_non_null(mkdtemp(folder));
    fake->folder = xstrdup(folder);
    fake->frontend_endpoint = xasprintf("ipc://%s/frontend", folder);
    fake_open(fake);
}

static inline void fake_end(struct fake_broker *fake)
{
    char *const command = xasprintf("rm -rf %s", fake->folder);

    fake_close(fake);
    assert_int_equal(system(command), 0);
    free(command);
    free(fake->folder);
    free(fake->frontend_endpoint);
    free(fake->publisher_endpoint);
}

#endif
