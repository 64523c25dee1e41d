#include "http/curl_loop.h"

#include <stdlib.h>

#include "base/loop.h"
#include "base/memory.h"

enum {
    DRIVES_A_TURN = 8
}; /* so that a quick server leaves the loop to other watchers */

struct socket_watch {
    ev_io io;
    int events; /* as set in io; 0: not yet for the socket that is open now */
};

/* --- driving it ----------------------------------------------------------------------- */

static void drive(struct curl_loop *curl_loop, curl_socket_t fd, int ready)
{
    int running;

    curl_multi_socket_action(curl_loop->multi, fd, ready, &running);
    curl_loop->on_driven(curl_loop);
}

static void on_socket_ready(struct ev_loop *loop, ev_io *watcher, int revents)
{
    const int ready = (revents & EV_READ ? CURL_CSELECT_IN : 0) |
                      (revents & EV_WRITE ? CURL_CSELECT_OUT : 0) |
                      (revents & EV_ERROR ? CURL_CSELECT_ERR : 0);

    (void)loop;
    drive(watcher->data, watcher->fd, ready);
}

static void on_timer(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    (void)loop;
    (void)revents;
    drive(watcher->data, CURL_SOCKET_TIMEOUT, 0);
}

/* A request that a worker has just started is written now instead of after a turn of
 * the loop: that saves a poll, and the epoll_ctl calls of a watcher that libcurl drops
 * at the end of an answer and wants again for the next request. */
static void on_prepare(struct ev_loop *loop, ev_prepare *watcher, int revents)
{
    struct curl_loop *const curl_loop = watcher->data;

    (void)revents;
    for (int i = 0; i < DRIVES_A_TURN && curl_loop->due; i++) {
        curl_loop->due = false;
        drive(curl_loop, CURL_SOCKET_TIMEOUT, 0);
    }
    if (curl_loop->due) {
        ev_timer_stop(loop, &curl_loop->timer);
        ev_timer_set(&curl_loop->timer, 0, 0);
        ev_timer_start(loop, &curl_loop->timer);
    }
}

void curl_loop_drive_soon(struct curl_loop *curl_loop)
{
    curl_loop->due = true;
}

/* --- what libcurl waits for: called by it ----------------------------------------------- */

/* libcurl says how long it can wait: -1 for ever, 0 not at all. */
static int on_timer_change(CURLM *multi, long timeout_ms, void *data)
{
    struct curl_loop *const curl_loop = data;

    (void)multi;
    ev_timer_stop(curl_loop->loop, &curl_loop->timer);
    curl_loop->due = timeout_ms == 0;
    if (timeout_ms > 0)
        loop_timer_start(curl_loop->loop, &curl_loop->timer, (double)timeout_ms / 1e3);
    return 0;
}

static struct socket_watch *watch_of_socket(struct curl_loop *curl_loop, int fd)
{
    const size_t index = (size_t)fd;

    if (index >= curl_loop->socket_count) {
        const size_t count = (index + 1) * 2;

        curl_loop->sockets =
            xrealloc_array(curl_loop->sockets, count, sizeof(*curl_loop->sockets));
        for (size_t i = curl_loop->socket_count; i < count; i++)
            curl_loop->sockets[i] = NULL;
        curl_loop->socket_count = count;
    }
    if (curl_loop->sockets[index] == NULL) {
        struct socket_watch *const watch = xcalloc(1, sizeof(*watch));

        ev_init(&watch->io, on_socket_ready);
        watch->io.data = curl_loop;
        curl_loop->sockets[index] = watch;
    }
    return curl_loop->sockets[index];
}

/* libcurl wants to know of other events of a socket. A watcher that is stopped and
 * started for the same events within a turn costs no system call, unless ev_io_set()
 * is called on it: so that is done for a change, or a new socket, only. */
static int on_socket_change(CURL *easy, curl_socket_t fd, int what, void *data,
                            void *socket_data)
{
    struct curl_loop *const curl_loop = data;
    struct socket_watch *const watch = watch_of_socket(curl_loop, fd);
    const int events =
        (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0);

    (void)easy;
    (void)socket_data;
    if (what == CURL_POLL_REMOVE) {
        ev_io_stop(curl_loop->loop, &watch->io);
        return 0;
    }
    if (watch->events != events) {
        ev_io_stop(curl_loop->loop, &watch->io);
        ev_io_set(&watch->io, fd, events);
        watch->events = events;
    }
    ev_io_start(curl_loop->loop, &watch->io);
    return 0;
}

void curl_loop_forget_socket(struct curl_loop *curl_loop, int fd)
{
    struct socket_watch *const watch =
        (size_t)fd < curl_loop->socket_count ? curl_loop->sockets[fd] : NULL;

    if (watch == NULL)
        return;
    ev_io_stop(curl_loop->loop, &watch->io);
    watch->events = 0;
}

/* --- the whole ------------------------------------------------------------------------ */

void curl_loop_open(struct curl_loop *curl_loop, struct ev_loop *loop,
                    void (*on_driven)(struct curl_loop *curl_loop), void *data)
{
    *curl_loop = (struct curl_loop){
        .multi = curl_multi_init(),
        .loop = loop,
        .on_driven = on_driven,
        .data = data,
    };
    if (curl_loop->multi == NULL)
        abort(); /* small and fixed: dies like xmalloc() */
    ev_init(&curl_loop->timer, on_timer);
    curl_loop->timer.data = curl_loop;
    ev_prepare_init(&curl_loop->prepare, on_prepare);
    curl_loop->prepare.data = curl_loop;
    ev_prepare_start(loop, &curl_loop->prepare);
    /* Made from within a turn's last watchers, it would have its first turn too late. */
    loop_timer_start(loop, &curl_loop->timer, 0);
    curl_multi_setopt(curl_loop->multi, CURLMOPT_SOCKETFUNCTION, on_socket_change);
    curl_multi_setopt(curl_loop->multi, CURLMOPT_SOCKETDATA, curl_loop);
    curl_multi_setopt(curl_loop->multi, CURLMOPT_TIMERFUNCTION, on_timer_change);
    curl_multi_setopt(curl_loop->multi, CURLMOPT_TIMERDATA, curl_loop);
}

void curl_loop_close(struct curl_loop *curl_loop)
{
    curl_multi_cleanup(curl_loop->multi);
    ev_timer_stop(curl_loop->loop, &curl_loop->timer);
    ev_prepare_stop(curl_loop->loop, &curl_loop->prepare);
    for (size_t i = 0; i < curl_loop->socket_count; i++) {
        if (curl_loop->sockets[i] != NULL)
            ev_io_stop(curl_loop->loop, &curl_loop->sockets[i]->io);
        free(curl_loop->sockets[i]);
    }
    free(curl_loop->sockets);
}
