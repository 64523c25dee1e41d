#include "http/connection.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"
#include "http/exchange.h"
#include "http/unix_queue.h"

/* What is done to open one. */
enum dial_step {
    DIAL_LOOK_UP,
    DIAL_QUEUE, /* the unix socket is asked again soon */
    DIAL_CONNECT,
    DIAL_HANDSHAKE,
    DIAL_FAILED, /* which is told from the loop */
};

/* What is needed while it is opening. */
struct dial {
    struct connection *connection;
    enum dial_step step;
    struct name_wait wait;
    struct addresses *addresses; /* held; NULL: not known yet, or a unix socket */
    size_t turn;                 /* the index of the first that was tried */
    size_t tried;                /* how many were, the one under way included */
    double pause_s;              /* see unix_queue.h */
    struct connection_times times;
    ev_timer timer;   /* of the step */
    int error_number; /* of the last connect() */
    const char *failure, *detail;
};

/* What TLS adds. */
struct secure {
    SSL *ssl;
    struct tls_stream stream;
    struct tls_terms terms;
    bool broken;      /* nothing more may be done with it */
    const char *why;  /* it is, in words */
    bool spoke_first; /* the server sent data before it was asked for any */
};

static void begin_handshake(struct connection *connection);

/* --- watching ------------------------------------------------------------------------- */

static void watch(struct connection *connection, int events)
{
    struct ev_loop *const loop = connection->network->loop;

    if (ev_is_active(&connection->io) && connection->io.events == events)
        return;
    ev_io_stop(loop, &connection->io);
    ev_io_modify(&connection->io, events);
    ev_io_start(loop, &connection->io);
}

static void watch_socket(struct connection *connection, int fd, int events)
{
    ev_io_set(&connection->io, fd, events);
    ev_io_start(connection->network->loop, &connection->io);
}

static void close_socket(struct connection *connection)
{
    ev_io_stop(connection->network->loop, &connection->io);
    if (connection->io.fd >= 0)
        close(connection->io.fd);
    connection->io.fd = -1;
}

/* --- opening: the end of it ----------------------------------------------------------- */

static void free_dial(struct connection *connection)
{
    struct dial *const dial = connection->dial;

    if (dial == NULL)
        return;
    connection->dial = NULL;
    names_forget(&dial->wait);
    addresses_release(dial->addresses);
    ev_timer_stop(connection->network->loop, &dial->timer);
    free(dial);
}

static void free_secure(struct connection *connection)
{
    struct secure *const secure = connection->secure;

    if (secure == NULL)
        return;
    connection->secure = NULL;
    SSL_free(secure->ssl);
    free(secure);
}

void connection_close(struct connection *connection)
{
    free_dial(connection);
    if (connection->secure != NULL && connection->state == CONNECTION_OPEN &&
        !connection->secure->broken)
        SSL_shutdown(
            connection->secure->ssl); /* a farewell; nobody waits for its answer */
    free_secure(connection);
    close_socket(connection);
    connection->state = CONNECTION_CLOSED;
}

/* And what could be resumed there. */
static void forget_origin(struct connection *connection)
{
    origin_release(connection->origin);
    connection->origin = NULL;
    SSL_SESSION_free(connection->resumable);
    connection->resumable = NULL;
}

static void fail(struct connection *connection, int error_number, const char *failure,
                 const char *detail)
{
    const struct connection_times times = connection->dial->times;

    connection_close(connection);
    connection->events->on_failed(connection, &times, error_number, failure, detail);
}

static void succeed(struct connection *connection)
{
    const struct connection_times times = connection->dial->times;

    free_dial(connection);
    connection->state = CONNECTION_OPEN;
    watch(connection, EV_READ);
    connection->events->on_open(connection, &times);
}

/* --- opening: time -------------------------------------------------------------------- */

/* Of the time that all steps have together. */
static double time_left_s(const struct dial *dial)
{
    const double passed_s =
        (double)(clock_us() - dial->times.asked_us) / (double)US_PER_S;

    return passed_s < CONNECT_TIMEOUT_S ? CONNECT_TIMEOUT_S - passed_s : 0;
}

static double lesser(double left, double right)
{
    return left < right ? left : right;
}

static void begin_step(struct dial *dial, enum dial_step step, double at_most_s)
{
    dial->step = step;
    loop_timer_start(dial->connection->network->loop, &dial->timer,
                     lesser(time_left_s(dial), at_most_s));
}

/* What fails within a call is told from the loop. */
static void fail_soon(struct dial *dial, int error_number, const char *failure,
                      const char *detail)
{
    dial->error_number = error_number;
    dial->failure = failure;
    dial->detail = detail;
    begin_step(dial, DIAL_FAILED, 0);
}

/* --- opening: the socket -------------------------------------------------------------- */

static const struct target *target_of(const struct connection *connection)
{
    return &connection->origin->target;
}

static bool has_more_addresses(const struct dial *dial)
{
    return dial->addresses != NULL && dial->tried < dial->addresses->count;
}

static socklen_t put_unix_address(const char *path, struct sockaddr_un *ret_address)
{
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    strncpy(ret_address->sun_path, path, sizeof(ret_address->sun_path) - 1);
    return sizeof(*ret_address);
}

static socklen_t put_tcp_address(const struct dial *dial, union address *ret_address)
{
    const struct addresses *const addresses = dial->addresses;
    const in_port_t port = htons(target_of(dial->connection)->port);

    *ret_address = addresses->items[(dial->turn + dial->tried) % addresses->count];
    if (ret_address->any.sa_family == AF_INET6) {
        ret_address->v6.sin6_port = port;
        return sizeof(ret_address->v6);
    }
    ret_address->v4.sin_port = port;
    return sizeof(ret_address->v4);
}

/* Begins to connect to the next address: 0; or -1, errno says why not. */
static int start_connecting(const struct dial *dial)
{
    const char *const path = target_of(dial->connection)->socket_path;
    const int on = 1;
    struct sockaddr_un local;
    union address tcp;
    const struct sockaddr *const address =
        path != NULL ? (const struct sockaddr *)&local : &tcp.any;
    const socklen_t length =
        path != NULL ? put_unix_address(path, &local) : put_tcp_address(dial, &tcp);
    const int fd =
        socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd == -1)
        return -1;
    if (path == NULL)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, address, length) == -1 && errno != EINPROGRESS) {
        const int why = errno;

        close(fd);
        errno = why;
        return -1;
    }
    watch_socket(dial->connection, fd, EV_WRITE);
    return 0;
}

/* Goes on with the addresses until one is being connected to. */
static void try_next_address(struct dial *dial)
{
    do {
        const int started = start_connecting(dial);

        if (started == -1 && errno == EAGAIN && dial->addresses == NULL) {
            dial->pause_s = unix_queue_pause_s(dial->pause_s);
            begin_step(dial, DIAL_QUEUE, dial->pause_s);
            return;
        }
        dial->tried++;
        if (started == 0) {
            begin_step(dial, DIAL_CONNECT,
                       has_more_addresses(dial) ? ADDRESS_PATIENCE_S
                                                : CONNECT_TIMEOUT_S);
            return;
        }
        dial->error_number = errno;
    } while (has_more_addresses(dial));
    fail_soon(dial, dial->error_number, NULL, NULL);
}

static void leave_address(struct dial *dial, int error_number)
{
    struct connection *const connection = dial->connection;

    close_socket(connection);
    dial->error_number = error_number;
    if (has_more_addresses(dial))
        try_next_address(dial);
    else
        fail(connection, error_number, NULL, NULL);
}

static void on_connect_ready(struct connection *connection)
{
    struct dial *const dial = connection->dial;
    int error_number = 0;
    socklen_t length = sizeof(error_number);

    if (getsockopt(connection->io.fd, SOL_SOCKET, SO_ERROR, &error_number, &length) ==
        -1)
        error_number = errno;
    if (error_number != 0) {
        leave_address(dial, error_number);
        return;
    }
    dial->times.connected_us = clock_us();
    if (target_of(connection)->tls)
        begin_handshake(connection);
    else
        succeed(connection);
}

/* The step has taken its time. */
static void on_dial_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct dial *const dial = timer->data;
    struct connection *const connection = dial->connection;

    (void)loop;
    (void)revents;
    if (dial->step == DIAL_FAILED)
        fail(connection, dial->error_number, dial->failure, dial->detail);
    else if (time_left_s(dial) <= 0)
        fail(connection, 0, failure_no_connection, NULL);
    else if (dial->step == DIAL_QUEUE)
        try_next_address(dial);
    else if (dial->step == DIAL_CONNECT && has_more_addresses(dial))
        leave_address(dial, ETIMEDOUT);
    else
        begin_step(dial, dial->step, CONNECT_TIMEOUT_S); /* it came a little early */
}

/* --- opening: the name ---------------------------------------------------------------- */

static void use_addresses(struct dial *dial, struct addresses *addresses)
{
    dial->times.known_us = clock_us();
    dial->addresses = addresses_hold(addresses);
    dial->turn = addresses_take_turn(addresses);
    try_next_address(dial);
}

static void on_name_known(struct name_wait *wait, struct addresses *addresses,
                          const char *why)
{
    struct dial *const dial = wait->data;

    if (addresses != NULL)
        use_addresses(dial, addresses);
    else
        fail(dial->connection, 0, failure_lookup, why);
}

static void look_up(struct dial *dial)
{
    struct connection *const connection = dial->connection;
    struct addresses *addresses;

    dial->wait = (struct name_wait){.on_known = on_name_known, .data = dial};
    addresses = names_find(connection->network->names, target_of(connection)->host,
                           &dial->wait);
    if (addresses != NULL) {
        use_addresses(dial, addresses);
        return;
    }
    dial->times.looked_up = true;
    begin_step(dial, DIAL_LOOK_UP, CONNECT_TIMEOUT_S);
}

void connection_open(struct connection *connection, struct origin *origin, bool verify,
                     bool offer_http2)
{
    struct dial *const dial = xcalloc(1, sizeof(*dial));

    if (connection->origin != origin || connection->verify != verify) {
        forget_origin(connection);
        connection->origin = origin_hold(origin);
        connection->verify = verify;
    }
    connection->state = CONNECTION_OPENING;
    connection->awaited = 1;
    connection->offer_http2 = offer_http2;
    connection->dial = dial;
    dial->connection = connection;
    dial->times.asked_us = clock_us();
    ev_init(&dial->timer, on_dial_timer);
    dial->timer.data = dial;
    if (origin->target.socket_path == NULL) {
        look_up(dial);
        return;
    }
    dial->times.known_us = dial->times.asked_us;
    try_next_address(dial);
}

/* --- opening: TLS --------------------------------------------------------------------- */

/* OpenSSL leaves errors in a queue of the thread, libcurl's included; one that is left
 * there would be taken for the next call's. */
static void forget_old_errors(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

static void lend_memory(struct connection *connection)
{
    struct network *const network = connection->network;

    tls_stream_lend(&connection->secure->stream, network->received,
                    sizeof(network->received));
}

static void on_session(void *data, SSL_SESSION *session)
{
    struct connection *const connection = data;

    SSL_SESSION_free(connection->resumable);
    connection->resumable = session;
}

static void fail_handshake(struct connection *connection)
{
    const struct secure *const secure = connection->secure;
    bool is_certificate;
    const char *why = tls_describe_failure(secure->ssl, &is_certificate);

    if (!is_certificate && secure->stream.error_number != 0)
        why = strerror(secure->stream.error_number);
    else if (!is_certificate && secure->stream.ended)
        why = "the server closed the connection";
    fail(connection, 0, is_certificate ? failure_certificate : failure_tls, why);
}

const struct connection_times *connection_times(const struct connection *connection)
{
    return connection->dial != NULL ? &connection->dial->times : NULL;
}

bool connection_chose_http2(const struct connection *connection)
{
    const unsigned char *chosen = NULL;
    unsigned length = 0;

    if (connection->secure != NULL)
        SSL_get0_alpn_selected(connection->secure->ssl, &chosen, &length);
    return length == 2 && memcmp(chosen, "h2", 2) == 0;
}

/* A server may send tickets right behind its half of the handshake: they are taken in,
 * since nothing may be left in the lent memory. */
static void take_in_tickets(struct connection *connection)
{
    struct network *const network = connection->network;
    struct secure *const secure = connection->secure;
    size_t got;

    while (tls_stream_has_bytes(&secure->stream) &&
           SSL_read_ex(secure->ssl, network->decrypted, sizeof(network->decrypted),
                       &got) == 1)
        secure->spoke_first = true;
    forget_old_errors();
}

static void on_handshake_ready(struct connection *connection)
{
    struct secure *const secure = connection->secure;
    int rc, why;

    forget_old_errors();
    lend_memory(connection);
    rc = SSL_do_handshake(secure->ssl);
    why = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(secure->ssl, rc);
    if (rc == 1)
        take_in_tickets(connection);
    tls_stream_take_back(&secure->stream);
    if (rc == 1 && secure->spoke_first && !connection_chose_http2(connection)) {
        fail(connection, 0, failure_tls, "the server spoke before it was asked");
    } else if (rc == 1) {
        connection->dial->times.secured_us = clock_us();
        succeed(connection);
    } else if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        watch(connection, why == SSL_ERROR_WANT_READ ? EV_READ : EV_WRITE);
    } else {
        fail_handshake(connection);
    }
}

static void begin_handshake(struct connection *connection)
{
    struct network *const network = connection->network;
    struct secure *const secure = xcalloc(1, sizeof(*secure));
    const char *detail = NULL;

    connection->secure = secure;
    secure->stream.fd = connection->io.fd;
    secure->terms = (struct tls_terms){
        .target = target_of(connection),
        .verify = connection->verify,
        .offer_http2 = connection->offer_http2,
        .resumed = connection->resumable,
        .on_session = on_session,
        .data = connection,
    };
    if (network->tls == NULL)
        network->tls = tls_new();
    secure->ssl = tls_connect(network->tls, &secure->stream, &secure->terms, &detail);
    if (secure->ssl == NULL) {
        fail(connection, 0, failure_tls, detail);
        return;
    }
    begin_step(connection->dial, DIAL_HANDSHAKE, CONNECT_TIMEOUT_S);
    on_handshake_ready(connection);
}

/* --- writing -------------------------------------------------------------------------- */

static ssize_t send_pieces(int fd, const struct iovec *pieces, size_t count)
{
    const struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces,
                                   .msg_iovlen = count};

    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static ssize_t send_plain(int fd, const struct iovec *pieces, size_t count)
{
    ssize_t sent;

    do
        sent = count == 1
                   ? send(fd, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL)
                   : send_pieces(fd, pieces, count);
    while (sent == -1 && errno == EINTR);
    return sent == -1 && errno == EAGAIN ? 0 : sent;
}

static void give_up_tls(struct secure *secure)
{
    secure->broken = true;
    secure->why = tls_describe_break(&secure->stream);
}

static ssize_t send_secured(struct secure *secure, const struct iovec *pieces,
                            size_t count)
{
    ssize_t sent = 0;

    forget_old_errors();
    for (size_t i = 0; i < count; i++) {
        size_t taken = 0;
        const int rc =
            SSL_write_ex(secure->ssl, pieces[i].iov_base, pieces[i].iov_len, &taken);
        const int why = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(secure->ssl, rc);

        sent += (ssize_t)taken;
        if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
            return sent;
        if (rc != 1) {
            give_up_tls(secure);
            return sent > 0 ? sent : -1;
        }
        if (taken < pieces[i].iov_len)
            return sent;
    }
    return sent;
}

ssize_t connection_send(struct connection *connection, const struct iovec *pieces,
                        size_t count)
{
    if (connection->secure != NULL)
        return send_secured(connection->secure, pieces, count);
    return send_plain(connection->io.fd, pieces, count);
}

void connection_await_writable(struct connection *connection, bool wanted)
{
    watch(connection, wanted ? EV_READ | EV_WRITE : EV_READ);
}

/* --- reading -------------------------------------------------------------------------- */

void connection_await_bytes(struct connection *connection, int bytes)
{
    if (connection->awaited == bytes)
        return;
    connection->awaited = bytes;
    setsockopt(connection->io.fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

static enum received receive_plain(struct connection *connection, const char **ret_data,
                                   size_t *ret_size)
{
    struct network *const network = connection->network;
    ssize_t got;

    do
        got = recv(connection->io.fd, network->received, sizeof(network->received), 0);
    while (got == -1 && errno == EINTR);
    if (got == -1)
        return errno == EAGAIN ? RECEIVED_NOTHING : RECEIVED_ERROR;
    if (got == 0)
        return RECEIVED_END;
    *ret_data = network->received;
    *ret_size = (size_t)got;
    return (size_t)got < sizeof(network->received) ? RECEIVED_LAST : RECEIVED_BYTES;
}

/* What the socket's silence means to a TLS stream that has given all its bytes. */
static enum received judge_silence(struct secure *secure, int why)
{
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        return RECEIVED_NOTHING;
    if (why == SSL_ERROR_ZERO_RETURN)
        return RECEIVED_END;
    if (secure->stream.ended && secure->stream.error_number == 0) {
        secure->broken = true;
        ERR_clear_error();
        return RECEIVED_CUT;
    }
    give_up_tls(secure);
    return RECEIVED_ERROR;
}

/* Decrypts all that one read of the socket brings: nothing may be left in the lent
 * memory, and OpenSSL leaves nothing there when it asks for more. */
static enum received receive_secured(struct connection *connection,
                                     const char **ret_data, size_t *ret_size)
{
    struct network *const network = connection->network;
    struct secure *const secure = connection->secure;
    const bool was_refused = secure->stream.refused_anew;
    size_t filled = 0, got = 0;
    int why = SSL_ERROR_NONE;

    forget_old_errors();
    lend_memory(connection);
    do {
        const int rc = SSL_read_ex(secure->ssl, network->decrypted + filled,
                                   sizeof(network->decrypted) - filled, &got);

        if (rc == 1)
            filled += got;
        else
            why = SSL_get_error(secure->ssl, rc);
    } while (why == SSL_ERROR_NONE &&
             (tls_stream_has_bytes(&secure->stream) || SSL_has_pending(secure->ssl)));
    tls_stream_take_back(&secure->stream);
    if (filled == 0)
        return judge_silence(secure, why);
    if (was_refused) /* and goes on: it is not what may break the connection later */
        secure->stream.refused_anew = false;
    *ret_data = network->decrypted;
    *ret_size = filled;
    if (why != SSL_ERROR_NONE && why != SSL_ERROR_WANT_READ)
        return RECEIVED_BEFORE_END;
    return secure->stream.was_full ? RECEIVED_BYTES : RECEIVED_LAST;
}

enum received connection_receive(struct connection *connection, const char **ret_data,
                                 size_t *ret_size)
{
    if (connection->secure != NULL)
        return receive_secured(connection, ret_data, ret_size);
    return receive_plain(connection, ret_data, ret_size);
}

const char *connection_why_broken(const struct connection *connection)
{
    return connection->secure != NULL ? connection->secure->why : strerror(errno);
}

bool connection_is_quiet(const struct connection *connection)
{
    char byte;

    return recv(connection->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == -1 &&
           errno == EAGAIN;
}

/* --- the connection ------------------------------------------------------------------- */

static void on_io(struct ev_loop *loop, ev_io *io, int revents)
{
    struct connection *const connection = io->data;

    (void)loop;
    if (connection->dial != NULL && connection->dial->step == DIAL_CONNECT)
        on_connect_ready(connection);
    else if (connection->dial != NULL)
        on_handshake_ready(connection);
    else if (revents & EV_WRITE) /* which may end it; what can be read will be again */
        connection->events->on_writable(connection);
    else
        connection->events->on_readable(connection);
}

void connection_init(struct connection *connection, struct network *network,
                     const struct connection_events *events)
{
    *connection = (struct connection){.network = network, .events = events};
    ev_io_init(&connection->io, on_io, -1, 0);
    connection->io.data = connection;
}

void connection_clear(struct connection *connection)
{
    connection_close(connection);
    forget_origin(connection);
}
