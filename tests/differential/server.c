#include "differential/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "base/memory.h"

enum { REQUEST_MAX = 16 << 10, BACKLOG = 64 };

/* One connection. */
struct peer {
    struct peer *next, **link;
    struct server *server;
    int fd;
    ev_io io;
    char request[REQUEST_MAX];
    size_t request_size;
    const struct script *script; /* being sent; NULL: none, a request is awaited */
    size_t sent;
    unsigned idle_turns; /* since then */
    bool on_unix;
};

struct listener {
    int fd;
    ev_io io;
    char *url;
};

struct server {
    struct ev_loop *loop;
    ev_idle idle;
    struct listener tcp, local;
    char *socket_path;
    struct peer *peers;
    const struct script *script; /* of the requests to come */
    size_t requests;
    bool client_waits;
};

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

/* --- connections ---------------------------------------------------------------------- */

static void close_peer(struct peer *peer)
{
    ev_io_stop(peer->server->loop, &peer->io);
    close(peer->fd);
    *peer->link = peer->next;
    if (peer->next != NULL)
        peer->next->link = peer->link;
    free(peer);
}

static void reset_peer(struct peer *peer)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close_peer(peer);
}

/* Whether the request in hand has come to its end. Its body is "x=1", or none. */
static bool request_is_whole(const struct peer *peer)
{
    const char *const end =
        memmem(peer->request, peer->request_size, "\r\n\r\n", strlen("\r\n\r\n"));
    const size_t head = end != NULL ? (size_t)(end - peer->request) + 4 : 0;
    const size_t body =
        end != NULL && memmem(peer->request, head, "Content-Length: 3", 17) != NULL ? 3
                                                                                    : 0;

    return end != NULL && peer->request_size >= head + body;
}

static void on_peer_readable(struct ev_loop *loop, ev_io *watcher, int revents)
{
    struct peer *const peer = watcher->data;
    const ssize_t size = recv(peer->fd, peer->request + peer->request_size,
                              sizeof(peer->request) - peer->request_size, MSG_DONTWAIT);

    (void)loop;
    (void)revents;
    if (size <= 0) {
        if (size == 0 || (errno != EAGAIN && errno != EINTR))
            close_peer(peer);
        return;
    }
    peer->request_size += (size_t)size;
    if (peer->script == NULL && request_is_whole(peer)) {
        peer->request_size = 0;
        peer->script = peer->server->script;
        peer->sent = 0;
        peer->idle_turns = 0;
        peer->server->requests++;
    }
}

static void on_connection(struct ev_loop *loop, ev_io *watcher, int revents)
{
    struct server *const server = watcher->data;
    const int fd = accept4(watcher->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    const int on = 1;
    struct peer *peer;

    (void)revents;
    if (fd == -1)
        return; /* it has gone again */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    peer = xcalloc(1, sizeof(*peer));
    peer->server = server;
    peer->fd = fd;
    peer->on_unix = watcher == &server->local.io;
    peer->next = server->peers;
    peer->link = &server->peers;
    if (peer->next != NULL)
        peer->next->link = &peer->next;
    server->peers = peer;
    ev_io_init(&peer->io, on_peer_readable, fd, EV_READ);
    peer->io.data = peer;
    ev_io_start(loop, &peer->io);
}

/* --- what is sent --------------------------------------------------------------------- */

/* Of a connection that has sent its script. */
static void end_script(struct peer *peer)
{
    const enum ending ending = peer->script->ending;

    if (ending == ENDING_RESET)
        reset_peer(peer);
    else if (ending == ENDING_CLOSED || peer->server->client_waits)
        close_peer(peer);
    else
        peer->script = NULL;
}

static void send_piece(struct peer *peer)
{
    const struct script *const script = peer->script;
    const size_t end = script_piece_end(script, peer->sent);
    const ssize_t size = send(peer->fd, script->bytes.data + peer->sent,
                              end - peer->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (size == -1 && (errno != EAGAIN || !peer->server->client_waits)) {
        close_peer(peer); /* the client has closed it, or will not read on */
        return;
    }
    peer->sent += size > 0 ? (size_t)size : 0;
    peer->idle_turns = 0;
    if (peer->sent == script->bytes.size && script->ends_at_once)
        end_script(peer);
}

/* Whether the client, as long as it waits, has read what was sent. A unix socket knows.
 * Of tcp it is known that it left (an acknowledgement may take 40 ms): over loopback it
 * has then arrived, and the client reads it before the second idle turn from then. */
static bool client_has_read(struct peer *peer)
{
    const unsigned long question = peer->on_unix ? SIOCOUTQ : SIOCOUTQNSD;
    int unsent = 0;

    if (ioctl(peer->fd, question, &unsent) == -1 ||
        (unsent > 0 && peer->server->client_waits))
        return false;
    return ++peer->idle_turns >= 2;
}

/* Nobody else has anything to do. */
static void on_idle(struct ev_loop *loop, ev_idle *watcher, int revents)
{
    struct server *const server = watcher->data;

    (void)loop;
    (void)revents;
    for (struct peer *peer = server->peers, *next; peer != NULL; peer = next) {
        next = peer->next;
        if (peer->script == NULL || !client_has_read(peer))
            continue;
        if (peer->sent < peer->script->bytes.size)
            send_piece(peer);
        else
            end_script(peer);
    }
}

/* --- the server ----------------------------------------------------------------------- */

static void listener_open(struct server *server, struct listener *listener,
                          const struct sockaddr *address, socklen_t size)
{
    listener->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener->fd == -1 || bind(listener->fd, address, size) == -1 ||
        listen(listener->fd, BACKLOG) == -1)
        die("cannot listen");
    ev_io_init(&listener->io, on_connection, listener->fd, EV_READ);
    listener->io.data = server;
    ev_io_start(server->loop, &listener->io);
}

static void listen_on_tcp(struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener_open(server, &server->tcp, (struct sockaddr *)&address, size);
    getsockname(server->tcp.fd, (struct sockaddr *)&address, &size);
    server->tcp.url = xasprintf("http://127.0.0.1:%u/", ntohs(address.sin_port));
}

static void listen_on_unix(struct server *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct buffer url = BUFFER_INIT;

    server->socket_path = xasprintf("/tmp/molotov-differential-%d.sock", (int)getpid());
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", server->socket_path);
    unlink(server->socket_path);
    listener_open(server, &server->local, (struct sockaddr *)&address, sizeof(address));
    buffer_add_text(&url, "http+unix://");
    for (const char *at = server->socket_path; *at != '\0'; at++)
        buffer_printf(&url, *at == '/' ? "%%2F" : "%c", *at);
    buffer_add_text(&url, "/");
    server->local.url = url.data;
}

struct server *server_new(struct ev_loop *loop)
{
    struct server *const server = xcalloc(1, sizeof(*server));

    server->loop = loop;
    listen_on_tcp(server);
    listen_on_unix(server);
    ev_idle_init(&server->idle, on_idle);
    server->idle.data = server;
    ev_idle_start(loop, &server->idle);
    return server;
}

static void listener_close(struct server *server, struct listener *listener)
{
    ev_io_stop(server->loop, &listener->io);
    close(listener->fd);
    free(listener->url);
}

void server_destroy(struct server *server)
{
    while (server->peers != NULL)
        close_peer(server->peers);
    ev_idle_stop(server->loop, &server->idle);
    listener_close(server, &server->tcp);
    listener_close(server, &server->local);
    unlink(server->socket_path);
    free(server->socket_path);
    free(server);
}

const char *server_url(const struct server *server, bool on_unix)
{
    return on_unix ? server->local.url : server->tcp.url;
}

void server_expect(struct server *server, const struct script *script)
{
    server->script = script;
    server->requests = 0;
    server->client_waits = true;
}

void server_client_is_served(struct server *server)
{
    server->client_waits = false;
}

size_t server_requests(const struct server *server)
{
    return server->requests;
}

bool server_is_quiet(const struct server *server)
{
    for (const struct peer *peer = server->peers; peer != NULL; peer = peer->next) {
        if (peer->script != NULL)
            return false;
    }
    return true;
}
