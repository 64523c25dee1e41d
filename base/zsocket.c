#include "base/zsocket.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <zmq.h>

#include "base/endpoint.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/wire.h"

enum {
    SOCKETS_MAX = 4096,
    QUEUE_MAX = 1000,          /* messages, each way, for each peer */
    PUBLISHER_QUEUE_MAX = 100, /* of what a slow console can ask for anyway */
    RECONNECT_MS = 100,
    RECONNECT_MOST_MS = 500,
    BACKLOG = 1024,       /* peers that come back all at once */
    HANDSHAKE_MS = 10000, /* then a peer that has not said what it is must go */

    /* A host that is gone without a word: told by the kernel, so that a process that is
     * only stopped keeps its connections. */
    KEEPALIVE_AFTER_S = 10,
    KEEPALIVE_EACH_S = 5,
    KEEPALIVE_TRIES = 6,
    UNACKNOWLEDGED_MS = 60000,

    FRAMES_MAX = 2,
    ENDPOINT_SIZE = 512,
};

/* --- the context --------------------------------------------------------------------- */

void *zcontext_new(void)
{
    void *const context = zmq_ctx_new();

    if (context == NULL) {
        log_error("ZeroMQ cannot start: %s", zmq_strerror(errno));
        abort();
    }
    fd_raise_limit();
    zmq_ctx_set(context, ZMQ_MAX_SOCKETS, SOCKETS_MAX);
    return context;
}

void zcontext_destroy(void *context)
{
    if (context == NULL)
        return;
    while (zmq_ctx_term(context) == -1 && errno == EINTR) {
    }
}

/* --- the monitor: what happens to connections ---------------------------------------- */

static void tell_trouble(struct zsocket *zsocket, const char *what)
{
    if (zsocket->on_trouble != NULL)
        zsocket->on_trouble(zsocket, what);
}

static void set_connected(struct zsocket *zsocket, bool connected)
{
    const bool has_changed = zsocket->connected != connected;

    zsocket->connected = connected;
    if (has_changed && zsocket->on_connection != NULL)
        zsocket->on_connection(zsocket);
}

static void take_event(struct zsocket *zsocket, uint16_t event, const char *endpoint)
{
    switch (event) {
    case ZMQ_EVENT_CONNECTED:
        zsocket->reached = true;
        break;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        set_connected(zsocket, true);
        break;
    case ZMQ_EVENT_DISCONNECTED:
        set_connected(zsocket, false);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        if (endpoint_ipc_path(endpoint) == NULL) /* there it was endpoint_is_dead() */
            tell_trouble(zsocket,
                         "a peer left, or was sent away, before it had greeted as "
                         "ZeroMQ does");
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        tell_trouble(zsocket, "a peer may not connect: its key is not known");
        break;
    default:
        tell_trouble(zsocket, "a peer does not speak ZeroMQ, or not as we do");
    }
}

/* A frame with the event (16 bits) and a value (32 bits), then one with the endpoint.
 * False: there is none. */
static bool take_monitor_message(struct zsocket *zsocket)
{
    char head[sizeof(uint16_t) + sizeof(uint32_t)], endpoint[ENDPOINT_SIZE] = "";
    uint16_t event;

    if (zmq_recv(zsocket->monitor, head, sizeof(head), ZMQ_DONTWAIT) == -1)
        return false;
    zmq_recv(zsocket->monitor, endpoint, sizeof(endpoint) - 1, ZMQ_DONTWAIT);
    memcpy(&event, head, sizeof(event));
    take_event(zsocket, event, endpoint);
    return true;
}

/* --- messages ------------------------------------------------------------------------ */

static size_t frames_of_message(const struct zsocket *zsocket)
{
    return zsocket->type == ZSOCKET_DEALER ? 1 : FRAMES_MAX;
}

static struct zframe borrow_frame(zmq_msg_t *frame)
{
    return (struct zframe){.data = zmq_msg_data(frame), .size = zmq_msg_size(frame)};
}

static void hand_over(struct zsocket *zsocket, zmq_msg_t *frames, size_t count)
{
    const size_t wanted = frames_of_message(zsocket);
    struct zframe route = {.data = NULL}, body;
    char what[100];

    if (count != wanted) {
        snprintf(what, sizeof(what), "a message of %zu frames was dropped: one has %zu",
                 count, wanted);
        tell_trouble(zsocket, what);
        return;
    }
    if (wanted == FRAMES_MAX)
        route = borrow_frame(&frames[0]);
    body = borrow_frame(&frames[wanted - 1]);
    if (zsocket->on_message != NULL)
        zsocket->on_message(zsocket, wanted == FRAMES_MAX ? &route : NULL, &body);
}

/* Takes one message off, with all of its frames. False: there is none. */
static bool take_message(struct zsocket *zsocket)
{
    zmq_msg_t frames[FRAMES_MAX + 1]; /* what is too much goes through the last one */
    size_t count = 0;
    bool more = true;

    for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
        zmq_msg_init(&frames[i]);
    while (more) {
        zmq_msg_t *const frame = &frames[count < FRAMES_MAX ? count : FRAMES_MAX];

        if (zmq_msg_recv(frame, zsocket->handle, ZMQ_DONTWAIT) == -1)
            break;
        more = zmq_msg_more(frame) != 0;
        count++;
    }
    if (count > 0)
        hand_over(zsocket, frames, count); /* may close the socket */
    for (size_t i = 0; i < ARRAY_SIZE(frames); i++)
        zmq_msg_close(&frames[i]);
    return count > 0;
}

/* --- the loop ------------------------------------------------------------------------ */

static bool has_news(void *handle)
{
    int events = 0;
    size_t size = sizeof(events);

    return zmq_getsockopt(handle, ZMQ_EVENTS, &events, &size) == 0 &&
           (events & ZMQ_POLLIN) != 0;
}

/* The loop must not wait where there is something to take: no edge will come for it. */
static void keep_awake(struct zsocket *zsocket)
{
    if (has_news(zsocket->handle) || has_news(zsocket->monitor))
        ev_idle_start(zsocket->loop, &zsocket->idle);
}

static void on_loop_prepare(struct ev_loop *loop, ev_prepare *prepare, int revents)
{
    (void)loop;
    (void)revents;
    keep_awake(prepare->data);
}

/* What woke the loop is still pending here. */
static void on_loop_check(struct ev_loop *loop, ev_check *check, int revents)
{
    struct zsocket *const zsocket = check->data;

    (void)revents;
    if (!ev_is_active(&zsocket->idle) && !ev_is_pending(&zsocket->readable) &&
        !ev_is_pending(&zsocket->monitor_readable))
        return;
    ev_idle_stop(loop, &zsocket->idle);
    for (int i = 0; i < ZSOCKET_TURN && zsocket->handle != NULL; i++)
        if (!take_monitor_message(zsocket))
            break;
    for (int i = 0; i < ZSOCKET_TURN && zsocket->handle != NULL; i++)
        if (!take_message(zsocket))
            break;
}

/* It was the check that took what there is. */
static void on_socket_readable(struct ev_loop *loop, ev_io *io, int revents)
{
    (void)loop;
    (void)io;
    (void)revents;
}

static void on_loop_idle(struct ev_loop *loop, ev_idle *idle, int revents)
{
    (void)loop;
    (void)idle;
    (void)revents;
}

static void watch(struct zsocket *zsocket)
{
    ev_io_init(&zsocket->readable, on_socket_readable, zsocket->wait_fd, EV_READ);
    ev_io_init(&zsocket->monitor_readable, on_socket_readable, zsocket->monitor_fd,
               EV_READ);
    ev_prepare_init(&zsocket->prepare, on_loop_prepare);
    ev_check_init(&zsocket->check, on_loop_check);
    ev_set_priority(&zsocket->check, EV_MAXPRI); /* before the two that are readable */
    ev_idle_init(&zsocket->idle, on_loop_idle);
    zsocket->prepare.data = zsocket->check.data = zsocket;
    ev_io_start(zsocket->loop, &zsocket->readable);
    ev_io_start(zsocket->loop, &zsocket->monitor_readable);
    ev_prepare_start(zsocket->loop, &zsocket->prepare);
    ev_check_start(zsocket->loop, &zsocket->check);
}

static void unwatch(struct zsocket *zsocket)
{
    ev_io_stop(zsocket->loop, &zsocket->readable);
    ev_io_stop(zsocket->loop, &zsocket->monitor_readable);
    ev_prepare_stop(zsocket->loop, &zsocket->prepare);
    ev_check_stop(zsocket->loop, &zsocket->check);
    ev_idle_stop(zsocket->loop, &zsocket->idle);
}

/* --- opening ------------------------------------------------------------------------- */

static void set_option(void *handle, int option, int value)
{
    zmq_setsockopt(handle, option, &value, sizeof(value));
}

static void set_options(const struct zsocket *zsocket)
{
    void *const handle = zsocket->handle;
    const int64_t size_max = (int64_t)WIRE_SIZE_MAX;

    zmq_setsockopt(handle, ZMQ_MAXMSGSIZE, &size_max, sizeof(size_max));
    set_option(handle, ZMQ_LINGER, 0);
    set_option(handle, ZMQ_RCVHWM, QUEUE_MAX);
    set_option(handle, ZMQ_SNDHWM,
               zsocket->type == ZSOCKET_PUB ? PUBLISHER_QUEUE_MAX : QUEUE_MAX);
    set_option(handle, ZMQ_BACKLOG, BACKLOG);
    set_option(handle, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    set_option(handle, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    set_option(handle, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MOST_MS);
    set_option(handle, ZMQ_TCP_KEEPALIVE, 1);
    set_option(handle, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_AFTER_S);
    set_option(handle, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_EACH_S);
    set_option(handle, ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_TRIES);
    set_option(handle, ZMQ_TCP_MAXRT, UNACKNOWLEDGED_MS);
    if (zsocket->type == ZSOCKET_ROUTER)
        set_option(handle, ZMQ_ROUTER_MANDATORY, 1);
}

static int descriptor_of(void *handle)
{
    int fd = -1;
    size_t size = sizeof(fd);

    zmq_getsockopt(handle, ZMQ_FD, &fd, &size);
    return fd;
}

/* What is worth to be told of. A client whose peer leaves too early connects again by
 * itself. */
static int events_of(enum zsocket_type type)
{
    const int strangers =
        ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;

    if (type == ZSOCKET_DEALER || type == ZSOCKET_SUB)
        return strangers | ZMQ_EVENT_CONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
               ZMQ_EVENT_DISCONNECTED;
    return strangers | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
}

/* The monitor's queue has no bound: an I/O thread that waits for room in it would hold
 * up all sockets. It grows by some hundred bytes with each stranger that comes while the
 * loop is held up. */
static int open_monitor(struct zsocket *zsocket, void *context)
{
    static unsigned long number;
    char endpoint[64];

    snprintf(endpoint, sizeof(endpoint), "inproc://monitor-%lu", number++);
    zsocket->monitor = zmq_socket(context, ZMQ_PAIR);
    if (zsocket->monitor == NULL)
        return -1;
    set_option(zsocket->monitor, ZMQ_RCVHWM, 0);
    set_option(zsocket->monitor, ZMQ_LINGER, 0);
    if (zmq_socket_monitor(zsocket->handle, endpoint, events_of(zsocket->type)) == -1)
        return -1;
    return zmq_connect(zsocket->monitor, endpoint);
}

/* Closing the monitor comes last: who sends to it when it is gone, waits for ever. */
static void close_handles(struct zsocket *zsocket, int linger_ms)
{
    if (zsocket->handle != NULL) {
        zmq_socket_monitor(zsocket->handle, NULL, 0);
        set_option(zsocket->handle, ZMQ_LINGER, linger_ms);
        zmq_close(zsocket->handle);
    }
    if (zsocket->monitor != NULL)
        zmq_close(zsocket->monitor);
    zsocket->handle = zsocket->monitor = NULL;
    zsocket->connected = false;
}

int zsocket_open(struct zsocket *zsocket, void *context, struct ev_loop *loop,
                 enum zsocket_type type, struct error *err)
{
    static const int types[] = {[ZSOCKET_ROUTER] = ZMQ_ROUTER,
                                [ZSOCKET_DEALER] = ZMQ_DEALER,
                                [ZSOCKET_PUB] = ZMQ_PUB,
                                [ZSOCKET_SUB] = ZMQ_SUB};

    zsocket->type = type;
    zsocket->loop = loop;
    zsocket->monitor = NULL;
    zsocket->connected = zsocket->reached = false;
    zsocket->handle = zmq_socket(context, types[type]);
    if (zsocket->handle == NULL || open_monitor(zsocket, context) == -1) {
        error_set(err, "cannot make a ZeroMQ socket: %s", zmq_strerror(errno));
        close_handles(zsocket, 0);
        return -1;
    }
    set_options(zsocket);
    zsocket->wait_fd = descriptor_of(zsocket->handle);
    zsocket->monitor_fd = descriptor_of(zsocket->monitor);
    watch(zsocket);
    return 0;
}

void zsocket_close(struct zsocket *zsocket, int linger_ms)
{
    if (zsocket->handle == NULL)
        return;
    unwatch(zsocket);
    close_handles(zsocket, linger_ms);
}

/* --- endpoints ----------------------------------------------------------------------- */

/* libzmq removes whatever is at an ipc path, and takes it over from who listens there. */
static int check_ipc_path(const char *endpoint, struct error *err)
{
    const char *const path = endpoint_ipc_path(endpoint);
    struct stat info;

    if (path == NULL || lstat(path, &info) == -1)
        return 0;
    if (!S_ISSOCK(info.st_mode)) {
        error_set(err, "cannot listen at '%s': there is a file that is no socket",
                  endpoint);
        errno = EEXIST;
        return -1;
    }
    if (endpoint_is_dead(endpoint))
        return 0;
    error_set(err, "cannot listen at '%s': somebody else does", endpoint);
    errno = EADDRINUSE;
    return -1;
}

static int bind_privately(void *handle, const char *endpoint)
{
    const mode_t before = umask(077);
    const int rc = zmq_bind(handle, endpoint);

    umask(before);
    return rc;
}

static char *bound_endpoint(void *handle)
{
    char text[ENDPOINT_SIZE] = "";
    size_t size = sizeof(text);

    zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, text, &size);
    return xstrdup(text);
}

static void say_why_not_bound(const char *endpoint, int code, struct error *err)
{
    if (code == EADDRINUSE)
        error_set(err, "cannot listen at '%s': somebody else does", endpoint);
    else if (code == ENODEV)
        error_set(err,
                  "cannot listen at '%s': the host must be an address, an interface or "
                  "'*', and no name that is looked up",
                  endpoint);
    else
        error_set(err, "cannot listen at '%s': %s", endpoint, zmq_strerror(code));
}

int zsocket_bind(struct zsocket *zsocket, const char *endpoint, char **ret_endpoint,
                 struct error *err)
{
    int code;

    if (endpoint_check("a socket", endpoint, err) == -1) {
        errno = EINVAL;
        return -1;
    }
    if (check_ipc_path(endpoint, err) == -1)
        return -1;
    set_option(zsocket->handle, ZMQ_IPV6, endpoint_is_ipv6(endpoint));
    if (bind_privately(zsocket->handle, endpoint) == -1) {
        code = errno;
        say_why_not_bound(endpoint, code, err);
        errno = code;
        return -1;
    }
    *ret_endpoint = bound_endpoint(zsocket->handle);
    return 0;
}

int zsocket_connect(struct zsocket *zsocket, const char *endpoint, struct error *err)
{
    if (endpoint_check("a socket", endpoint, err) == -1)
        return -1;
    set_option(zsocket->handle, ZMQ_IPV6, endpoint_is_ipv6(endpoint));
    if (zmq_connect(zsocket->handle, endpoint) == -1)
        return error_set(err, "cannot connect to '%s': %s", endpoint,
                         zmq_strerror(errno));
    return 0;
}

void zsocket_subscribe(struct zsocket *zsocket, const char *topic)
{
    zmq_setsockopt(zsocket->handle, ZMQ_SUBSCRIBE, topic, strlen(topic));
}

/* --- sending ------------------------------------------------------------------------- */

int zsocket_send(struct zsocket *zsocket, const struct zframe *route,
                 const struct buffer *body)
{
    int rc = 0;

    if (zsocket->handle == NULL || body->size > WIRE_SIZE_MAX)
        return -1;
    if (route != NULL)
        rc = zmq_send(zsocket->handle, route->data, route->size,
                      ZMQ_DONTWAIT | ZMQ_SNDMORE);
    if (rc != -1)
        rc = zmq_send(zsocket->handle, body->data, body->size, ZMQ_DONTWAIT);
    keep_awake(zsocket); /* sending may have used up the edge of what has come */
    return rc == -1 ? -1 : 0;
}
