/* agent/link.c - the line to the broker.
 *
 * SEEKING     -> REGISTERING  PONG, which tells where the backend is
 * REGISTERING -> REGISTERED   REGISTERED
 * REGISTERED  -> REGISTERING  UNKNOWN: the broker is new, or lost us
 * any         -> SEEKING      three silent ticks, or BYE: new sockets, since a DEALER that
 *                             was greeted by something else never connects again */
#include "agent/link.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/endpoint.h"
#include "base/log.h"
#include "base/memory.h"

/* --- troubles: each is told once, until it is over --------------------------------------- */

#define TOLD_MAX 5u /* a second */

void link_tell(struct link *link, const char *what)
{
    if (strcmp(link->told, what) == 0 || ++link->told_count > TOLD_MAX)
        return;
    snprintf(link->told, sizeof(link->told), "%s", what);
    log_warning("broker=%s: %s", link->broker, link->told);
}

static void tell_deaf_backend(struct link *link)
{
    char *const what =
        xasprintf("it answers, but not its backend %s: see the broker's --backend",
                  link->backend_endpoint);

    link_tell(link, what);
    free(what);
}

/* What was told of before (a stranger, that there is no socket) explains it. */
static void tell_silence(struct link *link)
{
    if (link->state == LINK_REGISTERED)
        link_tell(link, "lost, nothing is heard of it");
    else if (link->state == LINK_REGISTERING && !link->explained)
        tell_deaf_backend(link);
    else if (link->frontend.reached && !link->explained)
        link_tell(link, "somebody listens there, but does not answer as a broker does");
    else if (link->told[0] == '\0')
        link_tell(link, "no broker answers there yet");
}

static void explain(struct link *link, const char *what)
{
    link->explained = true;
    link_tell(link, what);
}

/* --- what we say -------------------------------------------------------------------------- */

static void say_ping(struct link *link)
{
    message_pack_request(&link->message, MESSAGE_PING);
    zsocket_send(&link->frontend, NULL, &link->message);
}

static void say_register(struct link *link)
{
    link->set_claim(link, &link->own.claim);
    message_pack_register(&link->message, &link->own);
    zsocket_send(&link->backend, NULL, &link->message);
}

static void say_beat(struct link *link)
{
    struct agent_claim claim;

    link->set_claim(link, &claim);
    message_pack_beat(&link->message, &claim);
    zsocket_send(&link->backend, NULL, &link->message);
}

int link_send(struct link *link, const struct buffer *message)
{
    if (link->state != LINK_REGISTERED)
        return -1;
    return zsocket_send(&link->backend, NULL, message);
}

/* --- sockets ------------------------------------------------------------------------------ */

static void close_sockets(struct link *link)
{
    zsocket_close(&link->frontend, 0);
    zsocket_close(&link->backend, 0);
}

static int open_socket(struct link *link, struct zsocket *zsocket, const char *endpoint)
{
    struct error err;

    if (zsocket_open(zsocket, link->context, link->loop, ZSOCKET_DEALER, &err) == -1) {
        explain(link, err.message);
        return -1;
    }
    if (zsocket_connect(zsocket, endpoint, &err) == -1) {
        explain(link, err.message);
        zsocket_close(zsocket, 0);
        return -1;
    }
    return 0;
}

/* Where a socket cannot be made, silence leads here again. */
static void seek(struct link *link)
{
    close_sockets(link);
    link->state = LINK_SEEKING;
    link->silent = 0;
    if (open_socket(link, &link->frontend, link->broker) == 0)
        say_ping(link);
}

/* Told once of each broker, however often it must be sought. */
static void note_broker(struct link *link, const struct message_pong *pong)
{
    char *const endpoint = endpoint_as_seen(pong->backend, link->broker);
    const bool is_known = link->backend_endpoint != NULL &&
                          link->broker_pid == pong->pid &&
                          strcmp(link->backend_endpoint, endpoint) == 0;

    if (!is_known)
        log_info("broker=%s is process %" PRIu64 ", backend=%s", link->broker,
                 pong->pid, endpoint);
    link->broker_pid = pong->pid;
    free(link->backend_endpoint);
    link->backend_endpoint = endpoint;
}

/* A path means something on one host only, which the broker may not know of. */
static bool is_out_of_reach(const struct link *link)
{
    return endpoint_ipc_path(link->broker) == NULL &&
           endpoint_is_dead(link->backend_endpoint);
}

static void enter_backend(struct link *link, const struct message_pong *pong)
{
    note_broker(link, pong);
    zsocket_close(&link->frontend, 0);
    link->state = LINK_REGISTERING;
    link->explained = false; /* what was strange was the frontend */
    if (is_out_of_reach(link))
        tell_deaf_backend(link);
    if (open_socket(link, &link->backend, link->backend_endpoint) == 0)
        say_register(link);
}

/* --- what the broker says ------------------------------------------------------------------- */

static void take_pong(struct link *link, const msgpack_object *map)
{
    struct message_pong pong;
    struct error err;

    if (message_unpack_pong(map, &pong, &err) == -1) {
        explain(link, err.message);
        return;
    }
    enter_backend(link, &pong);
    message_pong_clear(&pong);
}

static void take_registered(struct link *link, const msgpack_object *map)
{
    struct message_ack ack;
    struct error err;

    if (link->state != LINK_REGISTERING)
        return; /* REGISTER was said twice, since the first answer was late */
    if (message_unpack_ack(map, &ack, &err) == -1) {
        explain(link, err.message);
        return;
    }
    log_info("broker=%s registered this agent, '%s'", link->broker, link->own.name);
    link->state = LINK_REGISTERED;
    link->was_registered = true;
    link->told[0] = '\0';
    link->explained = false;
    link->on_registered(link, &ack);
}

static void take_refusal(struct link *link, const msgpack_object *map)
{
    char *why;

    if (message_unpack_why(map, &why, NULL) == -1)
        return;
    if (link->was_registered)
        explain(link, why);
    else
        link->on_refused(link, why);
    free(why);
}

static void take_unknown(struct link *link)
{
    if (link->state != LINK_REGISTERED)
        return; /* it is the answer to what we said before REGISTER */
    log_info("broker=%s does not know this agent: registering again", link->broker);
    link->state = LINK_REGISTERING;
    say_register(link);
}

static void take_frontend(struct link *link, enum proto_message message,
                          const msgpack_object *map)
{
    if (message == MESSAGE_PONG)
        take_pong(link, map);
    else if (message == MESSAGE_REFUSED)
        take_refusal(link, map);
}

static void take_backend(struct link *link, enum proto_message message,
                         const msgpack_object *map)
{
    if (message == MESSAGE_UNKNOWN)
        take_unknown(link);
    else if (message == MESSAGE_REGISTERED)
        take_registered(link, map);
    else if (message == MESSAGE_REFUSED && wire_get(map, "run") == NULL)
        take_refusal(link, map);
    else if (message != MESSAGE_BEAT && link->state == LINK_REGISTERED)
        link->on_message(link, message, map);
}

static void take_message(struct link *link, const struct zframe *body,
                         void (*take)(struct link *link, enum proto_message message,
                                      const msgpack_object *map))
{
    struct wire_message message;
    enum proto_message kind;
    struct error err;

    if (wire_decode(body->data, body->size, &message, &err) == -1) {
        explain(link, err.message);
        return;
    }
    if (message_identify(&message.root, &kind, &err) == -1) {
        explain(link, err.message);
    } else {
        link->silent = 0;
        log_debug("broker=%s says %s", link->broker, proto_message_names[kind]);
        take(link, kind, &message.root);
    }
    wire_clear(&message);
}

static void on_frontend_message(struct zsocket *zsocket, const struct zframe *route,
                                const struct zframe *body)
{
    (void)route;
    take_message(zsocket->data, body, take_frontend);
}

static void on_backend_message(struct zsocket *zsocket, const struct zframe *route,
                               const struct zframe *body)
{
    (void)route;
    take_message(zsocket->data, body, take_backend);
}

static void on_trouble(struct zsocket *zsocket, const char *what)
{
    explain(zsocket->data, what);
}

/* --- its life ------------------------------------------------------------------------------- */

void link_open(struct link *link)
{
    link->frontend = (struct zsocket){
        .on_message = on_frontend_message, .on_trouble = on_trouble, .data = link};
    link->backend = (struct zsocket){
        .on_message = on_backend_message, .on_trouble = on_trouble, .data = link};
    link->backend_endpoint = NULL;
    link->broker_pid = 0;
    link->was_registered = link->explained = false;
    link->told[0] = '\0';
    if (endpoint_is_dead(link->broker))
        tell_silence(link);
    seek(link);
}

void link_tick(struct link *link, bool patient)
{
    const unsigned most =
        patient && link->backend.connected ? LINK_PATIENCE : PROTO_BEATS_MISSED_MAX;

    link->told_count = 0;
    if (++link->silent > most) {
        tell_silence(link);
        seek(link);
    } else if (link->state == LINK_SEEKING) {
        say_ping(link);
    } else if (link->state == LINK_REGISTERING) {
        say_register(link);
    } else {
        say_beat(link);
    }
}

void link_restart(struct link *link)
{
    log_info("broker=%s has left", link->broker);
    seek(link);
}

void link_close(struct link *link, int linger_ms)
{
    if (link->state == LINK_REGISTERED) {
        message_pack_run_only(&link->message, MESSAGE_BYE, NULL);
        zsocket_send(&link->backend, NULL, &link->message);
    }
    zsocket_close(&link->frontend, 0);
    zsocket_close(&link->backend, linger_ms);
    free(link->backend_endpoint);
    link->backend_endpoint = NULL;
    buffer_clear(&link->message);
}
