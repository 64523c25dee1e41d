#include "runner/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/endpoint.h"
#include "base/loop.h"
#include "base/memory.h"

/* --- the socket --------------------------------------------------------------------- */

static void tell_trouble(struct client *client, const char *what)
{
    if (client->on_trouble != NULL)
        client->on_trouble(client, what);
}

static int open_socket(struct client *client, struct error *err)
{
    client->was_cut = false;
    if (zsocket_open(&client->socket, client->context, client->loop, ZSOCKET_DEALER,
                     err) == -1)
        return -1;
    if (zsocket_connect(&client->socket, client->endpoint, err) == -1) {
        zsocket_close(&client->socket, 0);
        return -1;
    }
    return 0;
}

/* Where there is no descriptor for a new one, the next try is the next chance. */
static void renew_socket(struct client *client)
{
    zsocket_close(&client->socket, 0);
    open_socket(client, NULL);
}

/* --- answers ------------------------------------------------------------------------ */

/* What comes behind it, or late, answers nothing: where the request was repeated, there may
 * be more answers on their way. */
static void take_answer(struct client *client, const msgpack_object *map)
{
    enum proto_message message;
    struct error err;

    if (message_identify(map, &message, &err) == -1) {
        tell_trouble(client, err.message);
        return;
    }
    ev_timer_stop(client->loop, &client->again);
    if (client->sent > 1)
        renew_socket(client);
    client->sent = 0;
    client->on_answer(client, message, map);
}

static void on_socket_trouble(struct zsocket *socket, const char *what)
{
    tell_trouble(socket->data, what);
}

static void on_message(struct zsocket *socket, const struct zframe *route,
                       const struct zframe *body)
{
    struct client *const client = socket->data;
    struct wire_message message;
    struct error err;

    (void)route;
    if (client->sent == 0)
        return;
    if (wire_decode(body->data, body->size, &message, &err) == -1) {
        tell_trouble(client, err.message);
        return;
    }
    take_answer(client, &message.root);
    wire_clear(&message);
}

/* --- asking ------------------------------------------------------------------------- */

static void send_request(struct client *client)
{
    zsocket_send(&client->socket, NULL, &client->request);
    client->sent++;
}

static void restart_timer(struct client *client, double again_s)
{
    ev_now_update(client->loop);
    client->again.repeat = again_s;
    ev_timer_again(client->loop, &client->again);
}

static void on_connection(struct zsocket *socket)
{
    struct client *const client = socket->data;
    const bool is_back = socket->connected && client->was_cut;

    client->was_cut = client->was_cut || !socket->connected;
    client->greeted = client->greeted || socket->connected;
    if (client->sent == 0)
        return;
    if (is_back)
        send_request(client);
    if (client->was_cut && client->again.repeat > CLIENT_AGAIN_S)
        restart_timer(client, CLIENT_AGAIN_S);
}

static void on_again(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct client *const client = timer->data;
    const bool is_silence = client->sent % CLIENT_TRIES == 0;

    (void)loop;
    (void)revents;
    if (is_silence)
        renew_socket(client);
    send_request(client);
    if (is_silence && client->on_silence != NULL)
        client->on_silence(client);
}

int client_open(struct client *client, struct error *err)
{
    client->request = BUFFER_INIT;
    client->sent = 0;
    client->greeted = false;
    client->socket.on_message = on_message;
    client->socket.on_trouble = on_socket_trouble;
    client->socket.on_connection = on_connection;
    client->socket.data = client;
    ev_timer_init(&client->again, on_again, 0, 0);
    client->again.data = client;
    return open_socket(client, err);
}

void client_close(struct client *client)
{
    if (client->loop != NULL)
        ev_timer_stop(client->loop, &client->again);
    zsocket_close(&client->socket, 0);
    buffer_clear(&client->request);
}

void client_ask(struct client *client, const struct buffer *request, double again_s)
{
    if (client->sent > 0)
        renew_socket(client);
    client->sent = 0;
    buffer_reset(&client->request);
    buffer_add(&client->request, request->data, request->size);
    send_request(client);
    restart_timer(client, again_s);
}

void client_tell(struct client *client, const struct buffer *message)
{
    zsocket_send(&client->socket, NULL, message);
}

/* --- at once ------------------------------------------------------------------------ */

struct call {
    struct client client;
    ev_timer deadline;
    enum proto_message wanted;
    struct client_answer *answer;
    char *failure; /* why there will be none */
    bool done;
};

static void end_call(struct call *call, char *failure)
{
    free(call->failure);
    call->failure = failure;
    call->done = true;
    ev_break(call->client.loop, EVBREAK_ALL);
}

/* The map's bytes belong to a frame that is about to go: the answer is packed anew. */
static void keep_answer(struct client_answer *answer, const msgpack_object *map)
{
    msgpack_packer packer;

    answer->bytes = BUFFER_INIT;
    wire_packer(&packer, &answer->bytes);
    msgpack_pack_object(&packer, *map);
}

static void on_call_answer(struct client *client, enum proto_message message,
                           const msgpack_object *map)
{
    struct call *const call = client->owner;
    char *why = NULL;

    if (message == call->wanted) {
        keep_answer(call->answer, map);
        end_call(call, NULL);
    } else if (message == MESSAGE_REFUSED && message_unpack_why(map, &why, NULL) == 0) {
        end_call(call, xasprintf("the broker refuses: %s", why));
    } else {
        end_call(call, xasprintf("the broker answers with %s, which is not understood",
                                 proto_message_names[message]));
    }
    free(why);
}

static void on_call_trouble(struct client *client, const char *what)
{
    end_call(client->owner,
             xasprintf("what listens at %s is no broker: %s", client->endpoint, what));
}

/* How far it came tells what is there; NULL: nobody. */
static char *describe_silence(const struct client *client)
{
    if (client->greeted)
        return xasprintf("the broker at %s does not answer (waited %.0f s)",
                         client->endpoint, CLIENT_PATIENCE_S);
    if (client->socket.reached)
        return xasprintf("what listens at %s accepted a connection, but no broker "
                         "greeted within %.0f s: it is stopped or busy, or does not "
                         "speak ZeroMQ",
                         client->endpoint, CLIENT_PATIENCE_S);
    return NULL;
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct call *const call = timer->data;

    (void)loop;
    (void)revents;
    end_call(call, describe_silence(&call->client));
}

static int say_no_broker(const struct frontend *frontend, struct error *err)
{
    if (frontend->is_given)
        return error_set(
            err,
            "no broker at %s: start one with molotov-broker, or leave "
            "--broker (and MOLOTOV_BROKER) out for the one of this machine",
            frontend->endpoint);
    return error_set(err,
                     "no broker at %s: start one with molotov-broker, or name another "
                     "with --broker",
                     frontend->endpoint);
}

/* 0, and the answer's bytes are there; or -1. */
static int run_call(struct call *call, const struct buffer *request,
                    const struct frontend *frontend, struct error *err)
{
    if (client_open(&call->client, err) == -1)
        return -1;
    ev_timer_init(&call->deadline, on_deadline, CLIENT_PATIENCE_S, 0);
    call->deadline.data = call;
    ev_timer_start(call->client.loop, &call->deadline);
    client_ask(&call->client, request, 1);
    while (!call->done)
        ev_run(call->client.loop, 0);
    client_close(&call->client);
    if (call->answer->bytes.size > 0)
        return 0;
    if (call->failure != NULL)
        return error_set(err, "%s", call->failure);
    return say_no_broker(frontend, err);
}

/* A broker that is started again is away for a moment. False: nobody came. */
static bool await_listener(const char *endpoint)
{
    static const struct timespec step = {.tv_nsec = 20000000};
    const uint64_t end_us = clock_us() + (uint64_t)(CLIENT_RESTART_S * US_PER_S);

    while (endpoint_is_dead(endpoint)) {
        if (clock_us() >= end_us)
            return false;
        nanosleep(&step, NULL);
    }
    return true;
}

int client_call(const struct frontend *frontend, const struct buffer *request,
                enum proto_message wanted, struct client_answer *ret_answer,
                struct error *err)
{
    struct client_answer answer = {.bytes = BUFFER_INIT};
    struct call call = {
        .client = {.endpoint = frontend->endpoint,
                   .on_answer = on_call_answer,
                   .on_trouble = on_call_trouble,
                   .owner = &call},
        .wanted = wanted,
        .answer = &answer,
    };
    int rc;

    if (!await_listener(frontend->endpoint))
        return say_no_broker(frontend, err);
    call.client.loop = loop_new();
    call.client.context = zcontext_new();
    rc = run_call(&call, request, frontend, err);
    zcontext_destroy(call.client.context);
    ev_loop_destroy(call.client.loop);
    free(call.failure);
    if (rc == 0)
        rc = wire_decode(answer.bytes.data, answer.bytes.size, &answer.message, err);
    if (rc == -1)
        buffer_clear(&answer.bytes);
    else
        *ret_answer = answer;
    return rc;
}

void client_answer_clear(struct client_answer *answer)
{
    wire_clear(&answer->message);
    buffer_clear(&answer->bytes);
}

/* Asks for `wanted` with a request that has no fields. */
static int call_plainly(const struct frontend *frontend, enum proto_message request,
                        enum proto_message wanted, struct client_answer *ret_answer,
                        struct error *err)
{
    struct buffer buffer = BUFFER_INIT;
    int rc;

    message_pack_request(&buffer, request);
    rc = client_call(frontend, &buffer, wanted, ret_answer, err);
    buffer_clear(&buffer);
    return rc;
}

int client_ping(const struct frontend *frontend, struct message_pong *ret_pong,
                struct error *err)
{
    struct client_answer answer;
    int rc;

    if (call_plainly(frontend, MESSAGE_PING, MESSAGE_PONG, &answer, err) == -1)
        return -1;
    rc = message_unpack_pong(&answer.message.root, ret_pong, err);
    client_answer_clear(&answer);
    return rc;
}

int client_list(const struct frontend *frontend, struct message_runs *ret_runs,
                struct error *err)
{
    struct client_answer answer;
    int rc;

    if (call_plainly(frontend, MESSAGE_LIST, MESSAGE_RUNS, &answer, err) == -1)
        return -1;
    rc = message_unpack_runs(&answer.message.root, ret_runs, err);
    client_answer_clear(&answer);
    return rc;
}
