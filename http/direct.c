/* http/direct.c - HTTP/1.1 by ourselves: the fast path.
 *
 * A user has links, as a browser has: each is a connection, and the exchange that is under
 * way on it. Once a link is open a request is one write, and one read for its answer:
 *
 *     direct_start() -> write_request() ... on_readable() -> finish() -> on_done()
 *
 * and on_done() lets the worker go on, whose next request is direct_start() again. Nothing
 * else is done for a request: its head is there already (head.h), the memory that is read
 * into is the process's (connection.h), the loop's watcher stays as it is, and its
 * time-out is a timer that stays where it is, too, see set_deadline().
 *
 * A link whose connection the server closed stays with its user: the next request to the
 * same origin opens it again, which replaces the connection (transport.h has the rules). */
#include "http/transport.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"
#include "http/answer.h"
#include "http/connection.h"
#include "http/head.h"

enum {
    READS_A_TURN = 8,      /* so that a large answer leaves the loop to others */
    GULP_SIZE = 256 << 10, /* for which it is worth waking up in the midst of one */
};

/* Longer than a loop's turn: a connection that rested so long may have been closed. */
#define RESTED_US (2 * US_PER_MS)

struct transport {
    struct heads heads;
    struct network network;
};

struct transport_user {
    struct transport *transport;
    struct link *links;
    size_t link_count;
    struct head *head; /* of the last exchange; NULL: there was none */
};

/* What the kernel has not taken yet of a request. */
struct unsent {
    struct iovec pieces[2];
    size_t count;
};

struct link {
    struct connection connection;
    struct transport_user *user;
    struct link *next;         /* of the user's */
    struct exchange *exchange; /* under way; NULL: none */
    struct answer answer;
    struct unsent *unsent; /* in the exchange's arena; NULL: all of it is written */
    const char *failure;   /* found at once, told from the loop */
    ev_timer deadline;
    uint64_t deadline_us; /* when that timer fires */
    uint64_t written_us;  /* when the request was about to be */
    uint64_t rested_us;   /* since when it waits for a request */
    bool kept;            /* it has carried a whole exchange before */
    bool lost;            /* the server closed it while it was kept */
    bool answered;        /* a byte of the answer came */
    bool write_broke;     /* the rest of the request will not be written */
    bool closes;          /* the request asks the server to close it */
};

static void open_link(struct link *link, struct origin *origin);

/* --- the end of an exchange ----------------------------------------------------------- */

static void leave_connection(struct link *link)
{
    connection_close(&link->connection);
    link->kept = false;
}

/* How far a connection came that is being opened. */
static void note_times(struct exchange *exchange, const struct connection_times *times)
{
    if (times->looked_up)
        exchange_set_phase(exchange, PHASE_DNS, times->asked_us, times->known_us);
    exchange_set_phase(exchange, PHASE_CONNECT, times->known_us, times->connected_us);
    exchange_set_phase(exchange, PHASE_TLS, times->connected_us, times->secured_us);
    exchange->new_connection = times->connected_us != 0;
}

/* The exchange is the link's no more. */
static struct exchange *detach(struct link *link, uint64_t now_us)
{
    struct exchange *const exchange = link->exchange;

    link->exchange = NULL;
    link->unsent = NULL;
    exchange->replaced &= exchange->written; /* else none took its place */
    exchange->ended_us = now_us;
    return exchange;
}

/* It ends before its end. */
static struct exchange *cut(struct link *link)
{
    const struct connection_times *const times = connection_times(&link->connection);

    if (times != NULL)
        note_times(link->exchange, times);
    exchange_end_body(link->exchange);
    leave_connection(link);
    link->exchange->complete = false;
    return detach(link, clock_us());
}

/* Tells the session, which may start the next exchange at once; on this link, too. */
static void fail(struct link *link, const char *failure, const char *detail)
{
    struct exchange *exchange = link->exchange;

    exchange->failure = failure; /* first: whatever else fails now follows from it */
    exchange->detail =
        detail != NULL ? arena_strndup(exchange->arena, detail, strlen(detail)) : NULL;
    exchange = cut(link);
    exchange->on_done(exchange);
}

static void succeed(struct link *link, uint64_t now_us)
{
    struct exchange *exchange;

    if (link->answer.keep_alive && link->unsent == NULL && !link->write_broke &&
        !link->closes) {
        link->kept = true;
        link->rested_us = now_us;
    } else {
        leave_connection(link);
    }
    exchange = detach(link, now_us);
    exchange->complete = true;
    exchange->on_done(exchange);
}

/* The answer is over, one way or the other; `left_over`: bytes came behind it. */
static void finish_answer(struct link *link, bool left_over, uint64_t now_us)
{
    const struct exchange *const exchange = link->exchange;

    if (link->answer.state == ANSWER_REFUSED)
        fail(link, exchange->failure, exchange->detail);
    else if (left_over)
        fail(link, "the server sent more than its answer", NULL);
    else
        succeed(link, now_us);
}

/* --- the time-out --------------------------------------------------------------------- */

static uint64_t due_us(const struct exchange *exchange)
{
    return exchange->started_us + exchange->timeout_us;
}

/* The timer of a link is not moved for each exchange: it may fire before one is due, and
 * is set again then (libev's manual calls that the most efficient way). So a time-out costs
 * a request one comparison. The loop's heap is touched by a link once in the time of a
 * time-out, and when a shorter time-out follows a longer one. */
static void set_deadline(struct link *link)
{
    const uint64_t due = due_us(link->exchange);
    const uint64_t now_us = clock_us();

    link->deadline_us = due;
    loop_timer_start(link->user->transport->network.loop, &link->deadline,
                     due > now_us ? (double)(due - now_us) / (double)US_PER_S : 0);
}

static void ensure_deadline(struct link *link)
{
    if (!ev_is_active(&link->deadline) || link->deadline_us > due_us(link->exchange))
        set_deadline(link);
}

static void on_deadline(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct link *const link = timer->data;
    struct exchange *const exchange = link->exchange;

    (void)loop;
    (void)revents;
    if (exchange == NULL)
        return;
    if (link->failure != NULL)
        fail(link, link->failure, NULL);
    else if (clock_us() < due_us(exchange))
        set_deadline(link);
    else
        fail(link, exchange->written ? failure_timeout : failure_no_connection, NULL);
}

/* What fails within direct_start() is told in the loop's next turn: not sooner, since the
 * worker may ask for the same at once, again and again. */
static void fail_soon(struct link *link, const char *failure)
{
    link->failure = failure;
    loop_timer_start(link->user->transport->network.loop, &link->deadline, 0);
}

/* --- the request ---------------------------------------------------------------------- */

/* Most often it is that of the user's last request. */
static struct head *find_head(struct transport_user *user,
                              const struct exchange *exchange, const char **ret_failure)
{
    struct head *const head =
        heads_find(&user->transport->heads, exchange, user->head, ret_failure);

    if (head != NULL)
        user->head = head;
    return head;
}

/* The exchange has another try on a new connection: see transport.h. */
static void replace(struct link *link)
{
    struct exchange *const exchange = link->exchange;

    leave_connection(link);
    link->unsent = NULL;
    exchange->replaced = true;
    exchange->written = false;
    exchange->bytes_out = 0;
    open_link(link, link->connection.origin);
}

/* The socket takes no more of the request. What the server said before it closed its side
 * can still be read. */
static void on_write_broken(struct link *link)
{
    if (!link->exchange->written && link->kept) {
        replace(link);
        return;
    }
    if (!link->exchange->written) {
        fail(link, failure_write, connection_why_broken(&link->connection));
        return;
    }
    link->unsent = NULL;
    link->write_broke = true;
    connection_await_writable(&link->connection, false);
}

static void count_sent(struct exchange *exchange, size_t sent)
{
    exchange->written |= sent > 0;
    exchange->bytes_out += sent;
}

/* Drops what was sent from the front of the pieces. */
static void drop_sent(struct unsent *unsent, size_t sent)
{
    while (unsent->count > 0 && sent >= unsent->pieces[0].iov_len) {
        sent -= unsent->pieces[0].iov_len;
        unsent->pieces[0] = unsent->pieces[1];
        unsent->count--;
    }
    if (unsent->count > 0) {
        unsent->pieces[0].iov_base = (char *)unsent->pieces[0].iov_base + sent;
        unsent->pieces[0].iov_len -= sent;
    }
}

/* What is left of the request goes where it stays: the pieces are lent. */
static void keep_unsent(struct link *link, const struct iovec *pieces, size_t count,
                        size_t sent)
{
    struct exchange *const exchange = link->exchange;
    struct unsent *const unsent = arena_alloc(exchange->arena, sizeof(*unsent));

    *unsent = (struct unsent){.count = count};
    memcpy(unsent->pieces, pieces, count * sizeof(*pieces));
    drop_sent(unsent, sent);
    for (size_t i = 0; i < unsent->count; i++) {
        struct iovec *const piece = &unsent->pieces[i];

        if (count == 1 ||
            i + 1 < unsent->count) /* else it is the body, where it lies */
            piece->iov_base = memcpy(arena_alloc(exchange->arena, piece->iov_len),
                                     piece->iov_base, piece->iov_len);
    }
    link->unsent = unsent;
    connection_await_writable(&link->connection, true);
}

static void write_request(struct link *link, struct head *head)
{
    struct exchange *const exchange = link->exchange;
    struct iovec pieces[2];
    const size_t count =
        heads_put_together(&link->user->transport->heads, head, exchange, pieces);
    const size_t size = pieces[0].iov_len + (count > 1 ? pieces[1].iov_len : 0);
    ssize_t sent;

    link->answered = false;
    link->write_broke = false;
    link->closes = head->closes;
    link->written_us = link->kept ? exchange->started_us : clock_us();
    answer_begin(&link->answer, exchange, &head->last_answer);
    sent = connection_send(&link->connection, pieces, count);
    if (sent == -1) {
        on_write_broken(link);
        return;
    }
    count_sent(exchange, (size_t)sent);
    if ((size_t)sent < size)
        keep_unsent(link, pieces, count, (size_t)sent);
}

static void on_writable(struct connection *connection)
{
    struct link *const link = (struct link *)connection;
    struct unsent *const unsent = link->unsent;
    ssize_t sent;

    if (unsent == NULL) { /* the answer came first, or the write broke */
        connection_await_writable(connection, false);
        return;
    }
    sent = connection_send(connection, unsent->pieces, unsent->count);
    if (sent == -1) {
        on_write_broken(link);
        return;
    }
    count_sent(link->exchange, (size_t)sent);
    drop_sent(unsent, (size_t)sent);
    if (unsent->count > 0)
        return;
    link->unsent = NULL;
    connection_await_writable(connection, false);
}

/* --- the answer ----------------------------------------------------------------------- */

static void note_first_byte(struct link *link, uint64_t now_us)
{
    if (link->answered)
        return;
    link->answered = true;
    exchange_set_phase(link->exchange, PHASE_FIRST_BYTE, link->written_us, now_us);
}

/* The connection ended before the first byte of an answer. */
static void on_no_answer(struct link *link, enum received how)
{
    const struct exchange *const exchange = link->exchange;

    if (link->kept && (!exchange->written || transport_may_repeat(exchange->method)))
        replace(link);
    else if (link->kept)
        fail(link, failure_kept_closed, NULL);
    else if (link->write_broke)
        fail(link, failure_write, NULL);
    else
        fail(link, how == RECEIVED_ERROR ? failure_read : failure_no_answer,
             how == RECEIVED_ERROR ? connection_why_broken(&link->connection) : NULL);
}

static void on_end(struct link *link, enum received how)
{
    if (!link->answered) {
        on_no_answer(link, how);
    } else if (how == RECEIVED_END) {
        answer_end_of_input(&link->answer);
        finish_answer(link, false, clock_us());
    } else if (how == RECEIVED_CUT) {
        fail(link,
             link->answer.state == ANSWER_BODY_UNTIL_CLOSE ? failure_read
                                                           : failure_cut_answer,
             "the TLS connection was not closed as it should be");
    } else {
        fail(link, failure_read, connection_why_broken(&link->connection));
    }
}

/* Nobody asked for anything: the server closes it, or it is of no use any more. */
static void on_idle_readable(struct link *link)
{
    const char *data;
    size_t size;

    if (connection_receive(&link->connection, &data, &size) == RECEIVED_NOTHING)
        return;
    leave_connection(link);
    link->lost = true;
}

/* A server that is not faster than we are would have to wake us up for every piece that it
 * writes of a large answer, which costs both. Less than that is never waited for at its end:
 * what TLS holds back of a record is far less than a gulp. */
static void await_more(struct link *link)
{
    connection_await_bytes(&link->connection,
                           answer_bytes_left(&link->answer) >= 2 * GULP_SIZE ? GULP_SIZE
                                                                             : 1);
}

/* True: the answer is over, and so is the exchange. */
static bool take_bytes(struct link *link, const char *data, size_t size)
{
    const uint64_t now_us = clock_us();
    size_t taken;

    note_first_byte(link, now_us);
    taken = answer_feed(&link->answer, data, size);
    link->exchange->bytes_in += taken;
    if (!answer_is_over(&link->answer)) {
        await_more(link);
        return false;
    }
    finish_answer(link, taken < size, now_us);
    return true;
}

static void on_readable(struct connection *connection)
{
    struct link *const link = (struct link *)connection;
    enum received how;
    int reads = 0;

    if (link->exchange == NULL) {
        on_idle_readable(link);
        return;
    }
    do {
        const char *data;
        size_t size;

        how = connection_receive(connection, &data, &size);
        if (how == RECEIVED_NOTHING)
            return;
        if (how >= RECEIVED_END) {
            on_end(link, how);
            return;
        }
        if (take_bytes(link, data, size))
            return;
        reads++;
    } while (how == RECEIVED_BEFORE_END ||
             (how == RECEIVED_BYTES && reads < READS_A_TURN));
}

/* --- opening a link ------------------------------------------------------------------- */

static void on_open(struct connection *connection, const struct connection_times *times)
{
    struct link *const link = (struct link *)connection;
    struct exchange *const exchange = link->exchange;
    const char *failure = NULL;
    struct head *head;

    if (connection_chose_http2(connection)) {
        exchange->chose_http2 = true;
        fail(link, "the server chose HTTP/2", NULL);
        return;
    }
    note_times(exchange, times);
    head = find_head(link->user, exchange, &failure);
    if (head != NULL)
        write_request(link, head);
    else
        fail(link, failure, NULL);
}

static void on_failed(struct connection *connection,
                      const struct connection_times *times, int error_number,
                      const char *failure, const char *detail)
{
    struct link *const link = (struct link *)connection;

    note_times(link->exchange, times);
    if (failure == NULL)
        failure = exchange_connect_failure(link->exchange, error_number);
    fail(link, failure, detail);
}

static const struct connection_events link_events = {
    .on_open = on_open,
    .on_failed = on_failed,
    .on_readable = on_readable,
    .on_writable = on_writable,
};

static void open_link(struct link *link, struct origin *origin)
{
    const struct exchange *const exchange = link->exchange;

    link->lost = false;
    connection_open(&link->connection, origin, exchange->verify, exchange->offer_http2);
}

/* --- the links of a user -------------------------------------------------------------- */

static struct link *add_link(struct transport_user *user)
{
    struct link *const link = xcalloc(1, sizeof(*link));

    link->user = user;
    connection_init(&link->connection, &user->transport->network, &link_events);
    ev_init(&link->deadline, on_deadline);
    link->deadline.data = link;
    link->next = user->links;
    user->links = link;
    user->link_count++;
    return link;
}

static bool leads_to(const struct link *link, const struct origin *origin, bool verify)
{
    return link->connection.origin == origin && link->connection.verify == verify;
}

static bool is_open(const struct link *link)
{
    return link->connection.state == CONNECTION_OPEN;
}

/* One that is free: best is one that is open to the origin, then one that was; then, where
 * there are enough, one that is closed, and at last the one that has rested longest. For
 * an exchange that leads nowhere (`origin` is NULL) a closed one will do. */
static struct link *choose_link(struct transport_user *user,
                                const struct origin *origin, bool verify)
{
    struct link *was_open = NULL, *closed = NULL, *oldest = NULL;

    for (struct link *link = user->links; link != NULL; link = link->next) {
        if (link->exchange != NULL)
            continue;
        if (leads_to(link, origin, verify)) {
            if (is_open(link))
                return link;
            was_open = link;
        }
        if (!is_open(link))
            closed = link;
        else if (oldest == NULL || link->rested_us < oldest->rested_us)
            oldest = link;
    }
    if (was_open != NULL)
        return was_open;
    if (closed != NULL && (origin == NULL || user->link_count >= USER_CONNECTIONS_MAX))
        return closed;
    if (oldest != NULL && user->link_count >= USER_CONNECTIONS_MAX)
        return oldest;
    return add_link(user);
}

/* --- the transport -------------------------------------------------------------------- */

/* The loop may know already that something came while the link rested, and tell it after
 * what runs now: a close, mostly. */
static void hear_news(struct link *link)
{
    if (ev_is_pending(&link->connection.io))
        on_idle_readable(link);
}

/* A request that must not be written twice is not written to a connection that has rested
 * without looking whether it was closed just now. For all others the loop's news, and the
 * answer that does not come, are enough. */
static bool is_closed_unheard(const struct link *link)
{
    return link->exchange->started_us > link->rested_us + RESTED_US &&
           !transport_may_repeat(link->exchange->method) &&
           !connection_is_quiet(&link->connection);
}

static void begin(struct link *link, struct head *head)
{
    struct exchange *const exchange = link->exchange;
    const bool fits = leads_to(link, head->origin, exchange->verify);

    if (fits && is_open(link))
        hear_news(link);
    if (!fits || !is_open(link)) {
        exchange->replaced = fits && link->lost;
        leave_connection(link);
        open_link(link, head->origin);
    } else if (is_closed_unheard(link)) {
        replace(link);
    } else {
        write_request(link, head);
    }
}

static void direct_start(struct transport_user *user, struct exchange *exchange)
{
    const char *failure = NULL;
    struct head *const head = find_head(user, exchange, &failure);
    struct link *const link =
        choose_link(user, head != NULL ? head->origin : NULL, exchange->verify);

    exchange->carried_by = CARRIED_BY_DIRECT;
    exchange->carrier = link;
    link->exchange = exchange;
    link->failure = NULL;
    if (head == NULL) {
        fail_soon(link, failure);
        return;
    }
    ensure_deadline(link);
    begin(link, head);
}

static void direct_cancel(struct exchange *exchange)
{
    struct link *const link = exchange->carrier;

    cut(link);
    exchange->failure = exchange->detail = NULL; /* that a body was cut is no failure */
    ev_timer_stop(link->user->transport->network.loop, &link->deadline);
}

static struct transport_user *direct_user_new(struct transport *transport)
{
    struct transport_user *const user = xcalloc(1, sizeof(*user));

    user->transport = transport;
    return user;
}

static void direct_user_destroy(struct transport_user *user)
{
    if (user == NULL)
        return;
    while (user->links != NULL) {
        struct link *const link = user->links;

        user->links = link->next;
        connection_clear(&link->connection);
        ev_timer_stop(user->transport->network.loop, &link->deadline);
        free(link);
    }
    free(user);
}

static struct transport *direct_new(struct ev_loop *loop, struct names *names)
{
    struct transport *const transport = xcalloc(1, sizeof(*transport));

    transport->network.loop = loop;
    transport->network.names = names;
    return transport;
}

static void direct_destroy(struct transport *transport)
{
    if (transport == NULL)
        return;
    heads_clear(&transport->heads);
    tls_destroy(transport->network.tls);
    free(transport);
}

const struct transport_type transport_direct = {
    .name = "direct",
    .new = direct_new,
    .destroy = direct_destroy,
    .user_new = direct_user_new,
    .user_destroy = direct_user_destroy,
    .start = direct_start,
    .cancel = direct_cancel,
};
