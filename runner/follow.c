#include "runner/follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endpoint.h"
#include "base/log.h"
#include "base/loop.h"

/* --- asking ------------------------------------------------------------------------- */

static void ask_where(struct follow *follow)
{
    struct buffer request = BUFFER_INIT;

    zsocket_close(&follow->publisher, 0);
    message_pack_request(&request, MESSAGE_PING);
    client_ask(&follow->client, &request, follow->quiet_s / 2);
    buffer_clear(&request);
}

static void ask_missing(struct follow *follow)
{
    struct message_snapshot ask = {.after = follow->revision};
    struct buffer request = BUFFER_INIT;

    snprintf(ask.run, sizeof(ask.run), "%s", follow->run);
    follow->asked_after = follow->revision;
    message_pack_snapshot(&request, &ask);
    client_ask(&follow->client, &request, follow->quiet_s);
    buffer_clear(&request);
}

static bool is_asking(const struct follow *follow)
{
    return follow->client.sent > 0;
}

static void expect_news(struct follow *follow)
{
    loop_timer_start(follow->loop, &follow->quiet, follow->quiet_s);
}

static void on_quiet(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct follow *const follow = timer->data;

    (void)loop;
    (void)revents;
    if (is_asking(follow))
        return;
    if (follow->publisher.handle == NULL)
        ask_where(follow);
    else
        ask_missing(follow);
}

/* --- news --------------------------------------------------------------------------- */

static void tell_news(struct follow *follow, const struct message_update *update,
                      bool replaces)
{
    follow->revision = update->revision;
    expect_news(follow);
    follow->on_news(follow, update, replaces);
}

static void take_published(struct follow *follow, const struct message_update *update)
{
    if (!follow->begun) /* the first SNAPSHOT has the facts, which this may lack */
        return;
    if (update->after == follow->revision && update->revision > update->after)
        tell_news(follow, update, false);
    else if (update->revision > follow->revision && !is_asking(follow))
        ask_missing(follow);
}

/* The broker answers with what came after the revision that it was asked for; or, where it
 * cannot tell that apart any more, with everything. What was published meanwhile may have
 * made the answer old. */
static void take_snapshot(struct follow *follow, const struct message_update *update)
{
    const bool replaces = update->after == 0 && follow->asked_after > 0;

    follow->begun = true;
    if (replaces || update->after == follow->revision)
        tell_news(follow, update, replaces);
    else if (update->revision > follow->revision)
        ask_missing(follow);
}

static void take_end(struct follow *follow, const struct message_update *end)
{
    follow_stop(follow);
    follow->on_end(follow, end);
}

/* An UPDATE or END_OF_RUN, from the publisher or as an answer. */
static void take_update(struct follow *follow, enum proto_message message,
                        const msgpack_object *map,
                        void (*take)(struct follow *follow,
                                     const struct message_update *update))
{
    struct message_update update;
    struct error err;

    if (message_unpack_update(map, message, &update, &err) == -1) {
        log_warning("news of the run that cannot be read: %s", err.message);
        return;
    }
    if (strcmp(update.run, follow->run) != 0)
        log_warning("news of run %s, where %s is followed", update.run, follow->run);
    else if (message == MESSAGE_END_OF_RUN)
        take_end(follow, &update);
    else
        take(follow, &update);
    message_update_clear(&update);
}

/* --- the publisher ------------------------------------------------------------------ */

static void on_published(struct zsocket *publisher, const struct zframe *topic,
                         const struct zframe *body)
{
    struct follow *const follow = publisher->data;
    enum proto_message kind;
    struct wire_message message;
    struct error err;

    if (topic->size != strlen(follow->run)) /* a run whose name only begins like that */
        return;
    if (wire_decode(body->data, body->size, &message, &err) == -1)
        return;
    if (message_identify(&message.root, &kind, &err) == 0 &&
        (kind == MESSAGE_UPDATE || kind == MESSAGE_END_OF_RUN))
        take_update(follow, kind, &message.root, take_published);
    wire_clear(&message);
}

static int subscribe(struct follow *follow, const char *endpoint, struct error *err)
{
    zsocket_close(&follow->publisher, 0);
    follow->publisher.on_message = on_published;
    follow->publisher.data = follow;
    if (zsocket_open(&follow->publisher, follow->context, follow->loop, ZSOCKET_SUB,
                     err) == -1)
        return -1;
    zsocket_subscribe(&follow->publisher, follow->run);
    if (zsocket_connect(&follow->publisher, endpoint, err) == -1) {
        zsocket_close(&follow->publisher, 0);
        return -1;
    }
    return 0;
}

/* --- answers ------------------------------------------------------------------------ */

static void take_pong(struct follow *follow, const msgpack_object *map)
{
    char *publisher = NULL;
    struct message_pong pong;
    struct error err;

    if (message_unpack_pong(map, &pong, &err) == -1) {
        log_warning("an answer of the broker cannot be read: %s", err.message);
        return;
    }
    follow->is_temporary = pong.temporary;
    publisher = endpoint_as_seen(pong.publisher, follow->endpoint);
    if (subscribe(follow, publisher, &err) == 0)
        ask_missing(follow);
    else
        log_warning("cannot follow the run: %s", err.message);
    free(publisher);
    message_pong_clear(&pong);
}

static void take_refusal(struct follow *follow, const msgpack_object *map)
{
    char *why = NULL;

    follow_stop(follow);
    if (message_unpack_why(map, &why, NULL) == -1)
        follow->on_refused(follow, "the broker refuses, and does not say why");
    else
        follow->on_refused(follow, why);
    free(why);
}

static void on_answer(struct client *client, enum proto_message message,
                      const msgpack_object *map)
{
    struct follow *const follow = client->owner;

    expect_news(follow);
    if (follow->lost) {
        follow->lost = false;
        follow->on_contact(follow, true);
    }
    if (message == MESSAGE_PONG)
        take_pong(follow, map);
    else if (message == MESSAGE_UPDATE || message == MESSAGE_END_OF_RUN)
        take_update(follow, message, map, take_snapshot);
    else if (message == MESSAGE_REFUSED)
        take_refusal(follow, map);
}

static void on_silence(struct client *client)
{
    struct follow *const follow = client->owner;

    if (!follow->lost) {
        follow->lost = true;
        follow->on_contact(follow, false);
    }
    if (follow->publisher.handle != NULL)
        ask_where(follow);
}

/* --- its life ----------------------------------------------------------------------- */

int follow_start(struct follow *follow, struct error *err)
{
    follow->client = (struct client){
        .loop = follow->loop,
        .context = follow->context,
        .endpoint = follow->endpoint,
        .on_answer = on_answer,
        .on_silence = on_silence,
        .owner = follow,
    };
    ev_timer_init(&follow->quiet, on_quiet, 0, 0);
    follow->quiet.data = follow;
    if (client_open(&follow->client, err) == -1)
        return -1;
    ask_where(follow);
    return 0;
}

void follow_stop(struct follow *follow)
{
    if (follow->client.loop == NULL)
        return;
    ev_timer_stop(follow->loop, &follow->quiet);
    client_close(&follow->client);
    zsocket_close(&follow->publisher, 0);
}
