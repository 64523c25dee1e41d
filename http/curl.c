/* http/curl.c - requests of every kind, carried by libcurl.
 *
 * One multi for each process. Each user has a share of its own, with its connections, and
 * handles of its own, which keep its TLS sessions: so none of these crosses users, and
 * HTTP/2 never carries two users on one connection. A handle is used again for each
 * request, so that an option is only set when it changes.
 *
 * libcurl looks no name up: it is given addresses before it needs any, since it would ask
 * once for each request that comes before the first answer, in a thread each. It is given
 * no cookies to keep and no body to decode: that is done the same for all transports.
 *
 * libcurl's sockets and timer become watchers of the loop. What ends is collected after
 * libcurl has returned, and only then told to the session, which may start the next
 * request at once: nothing of ours is ever called from inside libcurl but the small
 * callbacks here. */
#include "http/transport.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"
#include "http/names.h"
#include "http/target.h"

#define USER_CONNECTIONS_MAX 16L

enum {
    DRIVES_A_TURN = 8, /* so that a quick server leaves the loop to other watchers */
    BUFFER_SIZE = 16 << 10,
    INLINE_BODY = 64 << 10, /* libcurl sends a smaller body along with the head */
    URLS_KEPT = 4,
    STATUS_DIGITS = 3,
    FIRST_FINAL_STATUS = 200,
};

/* A descriptor that libcurl watches, at the index of its number. */
struct socket_watch {
    ev_io io;
    int events;   /* as set in io; 0: not yet for the socket that is open now */
    bool noticed; /* we are told when it is opened and closed (not for a look-up's) */
};

struct transport {
    struct ev_loop *loop;
    CURLM *multi;
    ev_timer timer;
    ev_prepare
        prepare; /* drives what was started in this turn before the loop sleeps */
    bool due;    /* libcurl asked to be driven at once */
    struct socket_watch **sockets;
    size_t socket_count;
    struct names *names;
    struct carrier *finished; /* that their sessions have not been told of */
};

/* A URL as libcurl wants it. */
struct parsed_url {
    char *text; /* NULL: none */
    struct target target;
    bool is_named; /* its host has to be looked up */
    CURLU *parsed;
};

/* Addresses that libcurl was given. */
struct given_addresses {
    uint64_t version; /* of struct addresses, and so of one name; 0: none */
    uint16_t port;
};

/* One request under way. */
struct carrier {
    struct carrier *next; /* in transport_user.idle, or in transport.finished */
    struct transport_user *user;
    struct exchange *exchange; /* NULL: idle */
    CURL *easy;
    bool in_multi;
    struct name_wait name_wait;
    ev_timer name_timer;    /* while it waits for the addresses of its host */
    uint64_t written_us;    /* when the request was about to be; 0: not yet */
    uint64_t first_byte_us; /* when its answer began; 0: not yet */
    unsigned attempts;      /* how often libcurl was about to write the request */
    long lost_bytes;        /* of it, that went to a connection that was replaced */
    bool opened;            /* a socket */
    struct curl_slist *own_headers; /* made for the last request that needed any */
    char *own_type;                 /* the content type in it; NULL: none */
    header_lines own_user;          /* the session's, in it */
    bool own_is_general;            /* no header of the request's own is in it */
    struct curl_slist *addresses;   /* the last that libcurl was given */
    struct given_addresses given[URLS_KEPT];
    size_t given_next; /* to be replaced */
    char error[CURL_ERROR_SIZE];
    long version; /* of HTTP, of the last answer */

    /* What the handle is set to: set again only when it differs. */
    struct parsed_url urls[URLS_KEPT];
    const struct parsed_url *url; /* which of them */
    size_t url_next;              /* to be replaced */
    char method[32];
    bool with_body, with_cookies, with_socket;
    struct curl_slist *headers;
    long timeout_ms;
    int verify; /* -1: not yet set */
};

struct transport_user {
    struct transport *transport;
    CURLSH *share;
    struct carrier *idle;
    bool closed_one;           /* of its connections, since its last exchange began */
    header_lines user_headers; /* what `common` was made of */
    struct curl_slist *common; /* headers of a request without any of its own */
};

/* --- the loop ----------------------------------------------------------------------- */

static void finish_exchange(struct carrier *carrier, CURLcode code);
static void make_idle(struct carrier *carrier);

/* Takes all that has ended from libcurl, and its time, before any worker goes on: a
 * latency must not hold another worker's code. */
static void collect_finished(struct transport *transport)
{
    struct carrier **last = &transport->finished;
    const CURLMsg *message;
    int left;

    while (*last != NULL)
        last = &(*last)->next;
    while ((message = curl_multi_info_read(transport->multi, &left)) != NULL) {
        struct carrier *carrier = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&carrier);
        finish_exchange(carrier, message->data.result);
        carrier->next = NULL;
        *last = carrier;
        last = &carrier->next;
    }
}

static size_t count_finished(const struct transport *transport)
{
    size_t count = 0;

    for (const struct carrier *carrier = transport->finished; carrier != NULL;
         carrier = carrier->next)
        count++;
    return count;
}

/* Tells the sessions. They may start requests, and cancel those that have ended; libcurl is
 * not running. What ends meanwhile is for the next time, or nothing else had its turn. */
static void tell_finished(struct transport *transport)
{
    size_t count = count_finished(transport);

    for (; count > 0 && transport->finished != NULL; count--) {
        struct carrier *const carrier = transport->finished;
        struct exchange *const exchange = carrier->exchange;

        transport->finished = carrier->next;
        make_idle(carrier);
        exchange->on_done(exchange);
    }
}

static void drive(struct transport *transport, curl_socket_t fd, int ready)
{
    int running;

    curl_multi_socket_action(transport->multi, fd, ready, &running);
    collect_finished(transport);
    tell_finished(transport);
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
    struct transport *const transport = watcher->data;

    (void)revents;
    for (int i = 0; i < DRIVES_A_TURN && transport->due; i++) {
        transport->due = false;
        drive(transport, CURL_SOCKET_TIMEOUT, 0);
    }
    if (transport->due) {
        ev_timer_stop(loop, &transport->timer);
        ev_timer_set(&transport->timer, 0, 0);
        ev_timer_start(loop, &transport->timer);
    }
}

/* libcurl says how long it can wait: -1 for ever, 0 not at all. */
static int on_timer_change(CURLM *multi, long timeout_ms, void *data)
{
    struct transport *const transport = data;

    (void)multi;
    ev_timer_stop(transport->loop, &transport->timer);
    transport->due = timeout_ms == 0;
    if (timeout_ms > 0) {
        loop_timer_start(transport->loop, &transport->timer, (double)timeout_ms / 1e3);
    }
    return 0;
}

static struct socket_watch *watch_of_socket(struct transport *transport, int fd)
{
    const size_t index = (size_t)fd;

    if (index >= transport->socket_count) {
        const size_t count = (index + 1) * 2;

        transport->sockets =
            xrealloc_array(transport->sockets, count, sizeof(*transport->sockets));
        for (size_t i = transport->socket_count; i < count; i++)
            transport->sockets[i] = NULL;
        transport->socket_count = count;
    }
    if (transport->sockets[index] == NULL) {
        struct socket_watch *const watch = xcalloc(1, sizeof(*watch));

        ev_init(&watch->io, on_socket_ready);
        watch->io.data = transport;
        transport->sockets[index] = watch;
    }
    return transport->sockets[index];
}

/* libcurl wants to know of other events of a socket. A watcher that is stopped and
 * started for the same events within a turn costs no system call, unless ev_io_set()
 * is called on it: so that is done for a change, or a new socket, only. */
static int on_socket_change(CURL *easy, curl_socket_t fd, int what, void *data,
                            void *socket_data)
{
    struct transport *const transport = data;
    struct socket_watch *const watch = watch_of_socket(transport, fd);
    const int events =
        (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0);

    (void)easy;
    (void)socket_data;
    if (what == CURL_POLL_REMOVE) {
        ev_io_stop(transport->loop, &watch->io);
        return 0;
    }
    if (watch->events != events || !watch->noticed) {
        ev_io_stop(transport->loop, &watch->io);
        ev_io_set(&watch->io, fd, events);
        watch->events = events;
    }
    ev_io_start(transport->loop, &watch->io);
    return 0;
}

/* --- callbacks of one request: called by libcurl ------------------------------------- */

/* By the rules of transport.h: libcurl would write a request again, on another connection,
 * whenever a kept one ended before an answer. False, and `failure` says why. */
static bool may_be_written(struct carrier *carrier)
{
    struct exchange *const exchange = carrier->exchange;
    long written = 0;

    if (carrier->attempts == 0)
        return true;
    curl_easy_getinfo(carrier->easy, CURLINFO_REQUEST_SIZE, &written);
    if (carrier->attempts > 1 ||
        (written > 0 && !transport_may_repeat(exchange->method))) {
        exchange->failure = failure_kept_closed;
        return false;
    }
    carrier->lost_bytes = written;
    return true;
}

static curl_socket_t on_open_socket(void *data, curlsocktype purpose,
                                    struct curl_sockaddr *address)
{
    struct carrier *const carrier = data;
    int fd;

    (void)purpose;
    if (!may_be_written(carrier))
        return CURL_SOCKET_BAD;
    fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd == -1)
        return CURL_SOCKET_BAD;
    /* libcurl has found a kept connection dead, and makes another instead. */
    if (!carrier->opened && carrier->user->closed_one)
        carrier->exchange->replaced = true;
    carrier->opened = true;
    watch_of_socket(carrier->user->transport, fd)->noticed = true;
    return fd;
}

static int on_close_socket(void *data, curl_socket_t fd)
{
    struct transport_user *const user = data;
    struct transport *const transport = user->transport;

    user->closed_one = true;
    if ((size_t)fd < transport->socket_count && transport->sockets[fd] != NULL) {
        /* The number may come back as another socket, which epoll does not know. */
        ev_io_stop(transport->loop, &transport->sockets[fd]->io);
        transport->sockets[fd]->events = 0;
        transport->sockets[fd]->noticed = false;
    }
    return close(fd);
}

/* libcurl is connected and about to write the request. */
static int on_about_to_write(void *data, char *remote_ip, char *local_ip,
                             int remote_port, int local_port)
{
    struct carrier *const carrier = data;

    (void)remote_ip;
    (void)local_ip;
    (void)remote_port;
    (void)local_port;
    if (!may_be_written(carrier))
        return CURL_PREREQFUNC_ABORT;
    carrier->attempts++;
    carrier->written_us = clock_us();
    carrier->exchange->replaced |= carrier->attempts > 1;
    return CURL_PREREQFUNC_OK;
}

static const char *after_blank(const char *text, const char *end)
{
    const char *const blank = memchr(text, ' ', (size_t)(end - text));

    return blank != NULL ? blank + 1 : end;
}

/* "HTTP/1.1 200 OK": libcurl has seen to it that there is a number. */
static void begin_head(struct carrier *carrier, const char *line, size_t size)
{
    const char *const end = line + size;
    const char *const number = after_blank(line, end);
    const char *const reason = after_blank(number, end);
    int status = 0;

    for (size_t i = 0; number + i < end && i < STATUS_DIGITS; i++) {
        if (number[i] >= '0' && number[i] <= '9')
            status = status * 10 + (number[i] - '0');
    }
    exchange_begin_head(carrier->exchange, status, reason, (size_t)(end - reason));
    if (carrier->first_byte_us == 0)
        carrier->first_byte_us = clock_us();
}

/* Whether the answer's own head has come, not only one of a 1xx before it. */
static bool has_head(const struct exchange *exchange)
{
    return exchange->head_ended && exchange->status >= FIRST_FINAL_STATUS;
}

static size_t trim_line(const char *line, size_t size)
{
    while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r'))
        size--;
    return size;
}

/* A line of a head, or of the trailer, where an empty one ends nothing any more. */
static int take_line(struct carrier *carrier, const char *line, size_t length)
{
    struct exchange *const exchange = carrier->exchange;
    const bool is_first =
        exchange->status == 0 || (exchange->head_ended && !has_head(exchange));

    if (is_first)
        begin_head(carrier, line, length);
    else if (length > 0)
        return exchange_add_line(exchange, line, length);
    else if (!exchange->head_ended)
        return exchange_end_head(exchange);
    return 0;
}

static size_t on_header(char *data, size_t one, size_t size, void *user)
{
    (void)one;
    return take_line(user, data, trim_line(data, size)) == 0 ? size : 0;
}

static size_t on_body(char *data, size_t one, size_t size, void *user)
{
    struct carrier *const carrier = user;

    (void)one;
    return exchange_add_body(carrier->exchange, data, size) == 0 ? size : 0;
}

/* --- the words of a failure --------------------------------------------------------- */

static const struct {
    CURLcode code;
    const char *words;
} failure_words[] = {
    {CURLE_COULDNT_RESOLVE_HOST,     failure_lookup                },
    {CURLE_COULDNT_CONNECT,          "cannot connect"              },
    {CURLE_URL_MALFORMAT,            failure_bad_url               },
    {CURLE_UNSUPPORTED_PROTOCOL,     failure_scheme                },
    {CURLE_WEIRD_SERVER_REPLY,       failure_not_http              },
    {CURLE_GOT_NOTHING,              failure_no_answer             },
    {CURLE_PARTIAL_FILE,             failure_cut_answer            },
    {CURLE_RECV_ERROR,               failure_read                  },
    {CURLE_SEND_ERROR,               failure_write                 },
    {CURLE_SSL_CONNECT_ERROR,        failure_tls                   },
    {CURLE_PEER_FAILED_VERIFICATION, failure_certificate           },
    {CURLE_HTTP2,                    "the HTTP/2 connection failed"},
    {CURLE_HTTP2_STREAM,             "the HTTP/2 stream failed"    },
    {CURLE_OUT_OF_MEMORY,            "there is no memory left"     },
};

static const char *words_of(CURLcode code)
{
    for (size_t i = 0; i < ARRAY_SIZE(failure_words); i++) {
        if (failure_words[i].code == code)
            return failure_words[i].words;
    }
    return curl_easy_strerror(code);
}

static const char *timeout_words(const struct carrier *carrier)
{
    curl_off_t connected = 0;

    curl_easy_getinfo(carrier->easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
    return connected == 0 ? failure_no_connection : failure_timeout;
}

static void describe_failure(struct carrier *carrier, CURLcode code)
{
    struct exchange *const exchange = carrier->exchange;
    long os_errno = 0;

    curl_easy_getinfo(carrier->easy, CURLINFO_OS_ERRNO, &os_errno);
    if (code == CURLE_OK)
        exchange->failure = failure_cut_head;
    else if (code == CURLE_OUT_OF_MEMORY && exchange->written && !has_head(exchange))
        exchange->failure = failure_large_head; /* says libcurl so, of one line */
    else if (code == CURLE_OPERATION_TIMEDOUT)
        exchange->failure = timeout_words(carrier);
    else if (code == CURLE_COULDNT_CONNECT && os_errno != 0)
        exchange->failure = exchange_connect_failure(exchange, (int)os_errno);
    else
        exchange->failure = words_of(code);
    if (carrier->error[0] != '\0')
        exchange->detail =
            arena_strndup(exchange->arena, carrier->error, strlen(carrier->error));
}

/* --- measuring ---------------------------------------------------------------------- */

static uint64_t info_us(CURL *easy, CURLINFO info)
{
    curl_off_t value = 0;

    curl_easy_getinfo(easy, info, &value);
    return value > 0 ? (uint64_t)value : 0;
}

/* libcurl's times are each since the start of the transfer; 0 is what did not happen.
 * A kept connection has no connect or handshake of its own. */
static void measure_phases(const struct carrier *carrier)
{
    struct exchange *const exchange = carrier->exchange;

    if (exchange->new_connection) {
        const uint64_t known = info_us(carrier->easy, CURLINFO_NAMELOOKUP_TIME_T);
        const uint64_t connected = info_us(carrier->easy, CURLINFO_CONNECT_TIME_T);

        exchange_set_phase(exchange, PHASE_CONNECT, known, connected);
        exchange_set_phase(exchange, PHASE_TLS, connected,
                           info_us(carrier->easy, CURLINFO_APPCONNECT_TIME_T));
    }
    exchange_set_phase(exchange, PHASE_FIRST_BYTE, carrier->written_us,
                       carrier->first_byte_us);
}

static void measure_bytes(struct carrier *carrier)
{
    struct exchange *const exchange = carrier->exchange;
    curl_off_t body_in = 0, body_out = 0;
    long head_in = 0, out = 0, version = 0;

    curl_easy_getinfo(carrier->easy, CURLINFO_HEADER_SIZE, &head_in);
    curl_easy_getinfo(carrier->easy, CURLINFO_SIZE_DOWNLOAD_T, &body_in);
    curl_easy_getinfo(carrier->easy, CURLINFO_REQUEST_SIZE, &out);
    exchange->bytes_in = (uint64_t)head_in + (uint64_t)body_in;
    out -= carrier->lost_bytes;
    exchange->bytes_out = (uint64_t)out;
    curl_easy_getinfo(carrier->easy, CURLINFO_HTTP_VERSION, &version);
    if (version != 0) /* else no answer came: the same as the last one, most likely */
        carrier->version = version;
    /* What HTTP/1 sent along with the head is counted there already. */
    if (exchange->body_size >= INLINE_BODY ||
        carrier->version >= CURL_HTTP_VERSION_2_0) {
        curl_easy_getinfo(carrier->easy, CURLINFO_SIZE_UPLOAD_T, &body_out);
        exchange->bytes_out += (uint64_t)body_out;
    }
    exchange->written = out > 0;
}

static void measure(struct carrier *carrier)
{
    long connects = 0;

    curl_easy_getinfo(carrier->easy, CURLINFO_NUM_CONNECTS, &connects);
    carrier->exchange->new_connection = connects > 0;
    measure_bytes(carrier);
    measure_phases(carrier);
    carrier->exchange->replaced &=
        carrier->exchange->written; /* else none took its place */
}

/* --- one exchange ------------------------------------------------------------------- */

static void make_idle(struct carrier *carrier)
{
    if (carrier->with_body) {
        /* The body is the session's, and may be gone by the next request. */
        curl_easy_setopt(carrier->easy, CURLOPT_POSTFIELDS, NULL);
        carrier->method[0] = '\0';
    }
    carrier->exchange = NULL;
    carrier->next = carrier->user->idle;
    carrier->user->idle = carrier;
}

static void leave_multi(struct carrier *carrier)
{
    curl_multi_remove_handle(carrier->user->transport->multi, carrier->easy);
    carrier->in_multi = false;
}

static void finish_exchange(struct carrier *carrier, CURLcode code)
{
    struct exchange *const exchange = carrier->exchange;

    exchange->ended_us = clock_us();
    measure(carrier);
    /* libcurl is content with an answer that ends within its head. */
    exchange->complete = code == CURLE_OK && has_head(exchange);
    if (!exchange->complete && exchange->failure == NULL) /* else libcurl was made to */
        describe_failure(carrier, code);
    if (exchange_end_body(exchange) == -1)
        exchange->complete = false;
    leave_multi(carrier);
}

static struct curl_slist *add_line(struct curl_slist *list, const char *line)
{
    struct curl_slist *const longer = curl_slist_append(list, line);

    if (longer == NULL)
        abort(); /* small and fixed: dies like xmalloc() */
    return longer;
}

/* The line with which libcurl is told a header: "Name;" is one without a value, while
 * "Name:" would keep libcurl from sending its own. */
static struct curl_slist *add_header(struct curl_slist *list, const char *line)
{
    const char *const colon = strchr(line, ':');
    char *empty = NULL;

    if (colon != NULL && colon[1 + strspn(colon + 1, " \t")] == '\0')
        empty = xasprintf("%.*s;", (int)(colon - line), line);
    list = add_line(list, empty != NULL ? empty : line);
    free(empty);
    return list;
}

static bool same_name(const char *left, const char *right)
{
    const size_t length = strcspn(left, ":");

    return strncasecmp(left, right, length) == 0 && right[length] == ':';
}

static bool has_header(header_lines lines, const char *name)
{
    for (; lines != NULL && *lines != NULL; lines++) {
        if (same_name(*lines, name))
            return true;
    }
    return false;
}

static bool asks_for(const struct exchange *exchange, const char *name)
{
    return has_header(exchange->headers, name) ||
           has_header(exchange->user_headers, name);
}

/* Of a request without body: libcurl adds the other headers of exchange.h by itself. */
static struct curl_slist *make_headers(const struct exchange *exchange)
{
    struct curl_slist *list = NULL;

    if (!asks_for(exchange, "Accept-Encoding:"))
        list = add_line(list, "Accept-Encoding: " DEFAULT_ACCEPT_ENCODING);
    for (header_lines line = exchange->user_headers; line != NULL && *line != NULL;
         line++) {
        if (!has_header(exchange->headers, *line))
            list = add_header(list, *line);
    }
    for (header_lines line = exchange->headers; line != NULL && *line != NULL; line++)
        list = add_header(list, *line);
    return list;
}

/* The headers of a request without body and headers of its own: the same list for each,
 * so that libcurl is told once. */
static struct curl_slist *common_headers(struct transport_user *user,
                                         const struct exchange *exchange)
{
    if (user->common == NULL || user->user_headers != exchange->user_headers) {
        curl_slist_free_all(user->common);
        user->common = make_headers(exchange);
        user->user_headers = exchange->user_headers;
    }
    return user->common;
}

static struct curl_slist *own_headers(const struct exchange *exchange)
{
    struct curl_slist *list = make_headers(exchange);

    if (exchange->body != NULL && !asks_for(exchange, "Content-Type:")) {
        char *const line =
            xasprintf("Content-Type: %s",
                      exchange->content_type != NULL ? exchange->content_type : "");

        list = add_line(list, line); /* without a type: none, not libcurl's */
        free(line);
    }
    if (exchange->body != NULL) /* no wait for "100 Continue" before the body */
        list = add_line(list, "Expect:");
    return list;
}

static bool same_text(const char *left, const char *right)
{
    return left == right || (left != NULL && right != NULL && strcmp(left, right) == 0);
}

/* The list of a request with a body or headers of its own: made anew, unless the last
 * one was for a body of the same type, and nothing else. */
static struct curl_slist *take_own_headers(struct carrier *carrier)
{
    const struct exchange *const exchange = carrier->exchange;
    const bool is_general = exchange->headers == NULL;

    if (is_general && carrier->own_is_general && carrier->own_headers != NULL &&
        same_text(carrier->own_type, exchange->content_type) &&
        carrier->own_user == exchange->user_headers)
        return carrier->own_headers;
    curl_easy_setopt(carrier->easy, CURLOPT_HTTPHEADER, NULL);
    carrier->headers = NULL;
    curl_slist_free_all(carrier->own_headers);
    carrier->own_headers = own_headers(exchange);
    free(carrier->own_type);
    carrier->own_type =
        exchange->content_type != NULL ? xstrdup(exchange->content_type) : NULL;
    carrier->own_user = exchange->user_headers;
    carrier->own_is_general = is_general;
    return carrier->own_headers;
}

static void set_headers(struct carrier *carrier)
{
    const struct exchange *const exchange = carrier->exchange;
    struct curl_slist *list;

    if (exchange->body != NULL || exchange->headers != NULL)
        list = take_own_headers(carrier);
    else
        list = common_headers(carrier->user, exchange);
    if (carrier->headers != list)
        curl_easy_setopt(carrier->easy, CURLOPT_HTTPHEADER, list);
    carrier->headers = list;
}

static void set_method(struct carrier *carrier)
{
    const struct exchange *const exchange = carrier->exchange;
    const bool with_body = exchange->body != NULL;
    CURL *const easy = carrier->easy;

    if (!with_body && !carrier->with_body &&
        strcmp(carrier->method, exchange->method) == 0)
        return;
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L); /* also forgets a HEAD, or a body */
    if (with_body) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)exchange->body_size);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, exchange->body);
    }
    if (strcmp(exchange->method, "HEAD") == 0)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else if (strcmp(exchange->method, with_body ? "POST" : "GET") != 0)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, exchange->method);
    carrier->with_body = with_body;
    strncpy(carrier->method, exchange->method, sizeof(carrier->method) - 1);
}

/* --- its URL, and the addresses of its host ------------------------------------------- */

static const struct parsed_url *find_url(const struct carrier *carrier, const char *url)
{
    for (size_t i = 0; i < URLS_KEPT; i++) {
        const struct parsed_url *const kept = &carrier->urls[i];

        if (kept->text != NULL && strcmp(kept->text, url) == 0)
            return kept;
    }
    return NULL;
}

static bool set_part(CURLU *parsed, CURLUPart part, const char *text)
{
    return curl_url_set(parsed, part, text, CURLU_URLENCODE) == CURLUE_OK;
}

static bool set_credentials(CURLU *parsed, const char *credentials)
{
    const size_t length = strcspn(credentials, ":");
    char *const user = xstrndup(credentials, length);
    const bool is_set = set_part(parsed, CURLUPART_USER, user) &&
                        set_part(parsed, CURLUPART_PASSWORD, credentials + length + 1);

    free(user);
    return is_set;
}

/* For libcurl: a unix socket's is that of "localhost". */
static bool set_target(CURLU *parsed, const struct target *target)
{
    const char *const zone = strchr(target->host, '%');
    char *const text = xasprintf("%s://%s%s", target->tls ? "https" : "http",
                                 target->authority, target->path);
    const bool is_set =
        curl_url_set(parsed, CURLUPART_URL, text, 0) == CURLUE_OK &&
        (zone == NULL || set_part(parsed, CURLUPART_ZONEID, zone + 1)) &&
        (target->credentials == NULL || set_credentials(parsed, target->credentials));

    free(text);
    return is_set;
}

static void clear_url(struct parsed_url *url)
{
    curl_url_cleanup(url->parsed);
    target_clear(&url->target);
    free(url->text);
    *url = (struct parsed_url){.text = NULL};
}

/* NULL: it is none, and `ret_failure` says so. */
static const struct parsed_url *parse_url(struct carrier *carrier, const char *url,
                                          const char **ret_failure)
{
    struct parsed_url *const place = &carrier->urls[carrier->url_next];

    if (carrier->url == place) { /* libcurl must not keep what is cleared */
        curl_easy_setopt(carrier->easy, CURLOPT_CURLU, NULL);
        carrier->url = NULL;
    }
    clear_url(place);
    if (target_parse(url, &place->target, ret_failure) == -1)
        return NULL;
    place->parsed = curl_url();
    if (place->parsed == NULL)
        abort(); /* small and fixed: dies like xmalloc() */
    if (!set_target(place->parsed, &place->target)) {
        *ret_failure = failure_bad_url;
        clear_url(place);
        return NULL;
    }
    place->text = xstrdup(url);
    place->is_named =
        place->target.socket_path == NULL && !names_is_address(place->target.host);
    carrier->url_next = (carrier->url_next + 1) % URLS_KEPT;
    return place;
}

/* A URL that is asked for again is parsed once, instead of by libcurl for each request:
 * that is a tenth of all instructions of a request. -1: it is none. */
static int set_url(struct carrier *carrier, const char *text, const char **ret_failure)
{
    const struct parsed_url *url = find_url(carrier, text);

    if (url != NULL && url == carrier->url)
        return 0;
    if (url == NULL && (url = parse_url(carrier, text, ret_failure)) == NULL)
        return -1;
    carrier->url = url;
    curl_easy_setopt(carrier->easy, CURLOPT_CURLU, url->parsed);
    if (url->target.socket_path != NULL || carrier->with_socket)
        curl_easy_setopt(carrier->easy, CURLOPT_UNIX_SOCKET_PATH,
                         url->target.socket_path);
    carrier->with_socket = url->target.socket_path != NULL;
    return 0;
}

/* Whether libcurl was given them; it is taken that it will be. */
static bool note_given(struct carrier *carrier, uint64_t version, uint16_t port)
{
    for (size_t i = 0; i < ARRAY_SIZE(carrier->given); i++) {
        if (carrier->given[i].version == version && carrier->given[i].port == port)
            return true;
    }
    carrier->given[carrier->given_next] =
        (struct given_addresses){.version = version, .port = port};
    carrier->given_next = (carrier->given_next + 1) % ARRAY_SIZE(carrier->given);
    return false;
}

static void add_address(struct buffer *text, const union address *address)
{
    char digits[INET6_ADDRSTRLEN] = "";

    if (address->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->v6.sin6_addr, digits, sizeof(digits));
        buffer_printf(text, "[%s]", digits);
    } else {
        inet_ntop(AF_INET, &address->v4.sin_addr, digits, sizeof(digits));
        buffer_add_text(text, digits);
    }
}

/* Tells libcurl the addresses of the host, in the order in which it is to try them. All
 * handles of the multi know them from then on, but each begins with another one: it takes
 * them over when it is about to connect. */
static void give_addresses(struct carrier *carrier, struct addresses *addresses)
{
    const struct target *const target = &carrier->url->target;
    struct buffer text = BUFFER_INIT;
    size_t first;

    if (note_given(carrier, addresses->version, target->port))
        return;
    first = addresses_take_turn(addresses);
    buffer_printf(&text, "+%s:%u:", target->host, target->port);
    for (size_t i = 0; i < addresses->count; i++) {
        if (i > 0)
            buffer_add_text(&text, ",");
        add_address(&text, &addresses->items[(first + i) % addresses->count]);
    }
    curl_easy_setopt(carrier->easy, CURLOPT_RESOLVE, NULL);
    curl_slist_free_all(carrier->addresses);
    carrier->addresses = add_line(NULL, buffer_text(&text));
    curl_easy_setopt(carrier->easy, CURLOPT_RESOLVE, carrier->addresses);
    buffer_clear(&text);
}

/* --- its start ------------------------------------------------------------------------ */

static void set_cookies(struct carrier *carrier)
{
    const char *const cookies = carrier->exchange->cookies;

    if (cookies != NULL || carrier->with_cookies)
        curl_easy_setopt(carrier->easy, CURLOPT_COOKIE, cookies);
    carrier->with_cookies = cookies != NULL;
}

static uint64_t time_left_us(const struct exchange *exchange)
{
    const uint64_t spent_us = clock_us() - exchange->started_us;

    return exchange->timeout_us > spent_us ? exchange->timeout_us - spent_us : 1;
}

static void set_options(struct carrier *carrier)
{
    const struct exchange *const exchange = carrier->exchange;
    const uint64_t timeout_ms = (time_left_us(exchange) + US_PER_MS - 1) / US_PER_MS;
    CURL *const easy = carrier->easy;

    set_method(carrier);
    set_headers(carrier);
    set_cookies(carrier);
    if (carrier->timeout_ms != (long)timeout_ms) {
        carrier->timeout_ms = (long)timeout_ms;
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, carrier->timeout_ms);
    }
    if (carrier->verify != (int)exchange->verify) {
        carrier->verify = exchange->verify;
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, exchange->verify ? 1L : 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, exchange->verify ? 2L : 0L);
    }
}

static void set_lasting_options(struct carrier *carrier)
{
    CURL *const easy = carrier->easy;
    struct transport_user *const user = carrier->user;
    /* The variable by which OpenSSL is told of certificate authorities of one's own. */
    const char *const authorities = getenv("SSL_CERT_FILE");

    curl_easy_setopt(easy, CURLOPT_PRIVATE, carrier);
    curl_easy_setopt(easy, CURLOPT_SHARE, user->share);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, DEFAULT_USER_AGENT);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* the load goes where the test says */
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* else parsed for each connection */
    if (authorities != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, authorities);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* Else a time-out waits, and the whole process with it, for the look-up's thread. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, -1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)BUFFER_SIZE);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, carrier->error);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, carrier);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, carrier);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_about_to_write);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, carrier);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, carrier);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, user);
}

static void on_name_known(struct name_wait *wait, struct addresses *addresses,
                          const char *why);
static void on_name_timeout(struct ev_loop *loop, ev_timer *timer, int revents);

static struct carrier *take_carrier(struct transport_user *user)
{
    struct carrier *carrier = user->idle;

    if (carrier != NULL) {
        user->idle = carrier->next;
        return carrier;
    }
    carrier = xcalloc(1, sizeof(*carrier));
    carrier->user = user;
    carrier->verify = -1;
    carrier->easy = curl_easy_init();
    ev_init(&carrier->name_timer, on_name_timeout);
    carrier->name_timer.data = carrier;
    carrier->name_wait.on_known = on_name_known;
    carrier->name_wait.data = carrier;
    if (carrier->easy == NULL)
        abort(); /* small and fixed: dies like xmalloc() */
    set_lasting_options(carrier);
    return carrier;
}

/* It ends without having been libcurl's. */
static void fail_undriven(struct carrier *carrier, const char *failure)
{
    struct exchange *const exchange = carrier->exchange;

    exchange->ended_us = clock_us();
    exchange->failure = failure;
    make_idle(carrier);
    exchange->on_done(exchange);
}

/* The same from within curl_start(): it is told of before the loop sleeps. */
static void refuse(struct carrier *carrier, const char *failure)
{
    struct transport *const transport = carrier->user->transport;
    struct carrier **last = &transport->finished;

    while (*last != NULL)
        last = &(*last)->next;
    carrier->next = NULL;
    *last = carrier;
    transport->due = true;
    carrier->exchange->ended_us = clock_us();
    carrier->exchange->failure = failure;
}

/* Gives the request to libcurl, which knows the addresses of its host. */
static void drive_carrier(struct carrier *carrier)
{
    set_options(carrier);
    if (curl_multi_add_handle(carrier->user->transport->multi, carrier->easy) !=
        CURLM_OK)
        abort(); /* out of memory, or a handle that is added twice */
    carrier->in_multi = true;
}

static void on_name_timeout(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct carrier *const carrier = timer->data;

    (void)loop;
    (void)revents;
    names_forget(&carrier->name_wait);
    fail_undriven(carrier, failure_no_connection);
}

static void on_name_known(struct name_wait *wait, struct addresses *addresses,
                          const char *why)
{
    struct carrier *const carrier = wait->data;
    struct exchange *const exchange = carrier->exchange;

    ev_timer_stop(carrier->user->transport->loop, &carrier->name_timer);
    if (addresses == NULL) {
        exchange->detail = arena_strndup(exchange->arena, why, strlen(why));
        fail_undriven(carrier, failure_lookup);
        return;
    }
    exchange_set_phase(exchange, PHASE_DNS, exchange->started_us, clock_us());
    give_addresses(carrier, addresses);
    drive_carrier(carrier);
}

/* False: they are not known yet, and it waits for them. */
static bool find_addresses(struct carrier *carrier)
{
    struct transport *const transport = carrier->user->transport;
    struct addresses *const addresses =
        names_find(transport->names, carrier->url->target.host, &carrier->name_wait);

    if (addresses != NULL)
        give_addresses(carrier, addresses);
    else
        loop_timer_start(transport->loop, &carrier->name_timer,
                         (double)time_left_us(carrier->exchange) / US_PER_S);
    return addresses != NULL;
}

static void begin(struct carrier *carrier, struct exchange *exchange)
{
    exchange->carrier = carrier;
    exchange->carried_by = CARRIED_BY_CURL;
    carrier->exchange = exchange;
    carrier->attempts = 0;
    carrier->lost_bytes = 0;
    carrier->written_us = 0;
    carrier->first_byte_us = 0;
    carrier->opened = false;
    carrier->error[0] = '\0';
    carrier->user->closed_one = false;
}

static void curl_start(struct transport_user *user, struct exchange *exchange)
{
    struct carrier *const carrier = take_carrier(user);
    const char *failure = NULL;

    begin(carrier, exchange);
    if (set_url(carrier, exchange->url, &failure) == -1)
        refuse(carrier, failure);
    else if (!carrier->url->is_named || find_addresses(carrier))
        drive_carrier(carrier);
}

static void forget_finished(struct carrier *carrier)
{
    struct carrier **link = &carrier->user->transport->finished;

    while (*link != NULL && *link != carrier)
        link = &(*link)->next;
    if (*link != NULL)
        *link = carrier->next;
}

static void curl_cancel(struct exchange *exchange)
{
    struct carrier *const carrier = exchange->carrier;

    if (carrier->in_multi) {
        /* Before libcurl has begun with this one, it tells of the one before. */
        if (carrier->attempts > 0)
            measure(carrier);
        leave_multi(carrier);
    } else {
        forget_finished(carrier);
    }
    ev_timer_stop(carrier->user->transport->loop, &carrier->name_timer);
    names_forget(&carrier->name_wait);
    (void)exchange_end_body(exchange);
    exchange->ended_us = clock_us();
    exchange->complete = false;
    make_idle(carrier);
}

/* --- users and the process ----------------------------------------------------------- */

static struct transport_user *curl_user_new(struct transport *transport)
{
    struct transport_user *const user = xcalloc(1, sizeof(*user));

    user->transport = transport;
    user->share = curl_share_init();
    if (user->share == NULL)
        abort(); /* small and fixed: dies like xmalloc() */
    curl_share_setopt(user->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT);
    return user;
}

static void curl_user_destroy(struct transport_user *user)
{
    if (user == NULL)
        return;
    while (user->idle != NULL) {
        struct carrier *const carrier = user->idle;

        user->idle = carrier->next;
        curl_easy_cleanup(carrier->easy);
        curl_slist_free_all(carrier->own_headers);
        curl_slist_free_all(carrier->addresses);
        free(carrier->own_type);
        for (size_t i = 0; i < URLS_KEPT; i++)
            clear_url(&carrier->urls[i]);
        free(carrier);
    }
    curl_slist_free_all(user->common);
    curl_share_cleanup(user->share);
    free(user);
}

static struct transport *curl_new(struct ev_loop *loop)
{
    struct transport *const transport = xcalloc(1, sizeof(*transport));

    curl_global_init(CURL_GLOBAL_DEFAULT);
    transport->loop = loop;
    transport->names = names_new(loop);
    transport->multi = curl_multi_init();
    if (transport->multi == NULL)
        abort(); /* small and fixed: dies like xmalloc() */
    ev_init(&transport->timer, on_timer);
    transport->timer.data = transport;
    ev_prepare_init(&transport->prepare, on_prepare);
    transport->prepare.data = transport;
    ev_prepare_start(loop, &transport->prepare);
    /* Made from within a turn's last watchers, it would have its first turn too late. */
    loop_timer_start(loop, &transport->timer, 0);
    /* Of each share: a user keeps as many idle connections. */
    curl_multi_setopt(transport->multi, CURLMOPT_MAXCONNECTS, USER_CONNECTIONS_MAX);
    curl_multi_setopt(transport->multi, CURLMOPT_SOCKETFUNCTION, on_socket_change);
    curl_multi_setopt(transport->multi, CURLMOPT_SOCKETDATA, transport);
    curl_multi_setopt(transport->multi, CURLMOPT_TIMERFUNCTION, on_timer_change);
    curl_multi_setopt(transport->multi, CURLMOPT_TIMERDATA, transport);
    return transport;
}

static void curl_destroy(struct transport *transport)
{
    if (transport == NULL)
        return;
    curl_multi_cleanup(transport->multi);
    ev_timer_stop(transport->loop, &transport->timer);
    ev_prepare_stop(transport->loop, &transport->prepare);
    for (size_t i = 0; i < transport->socket_count; i++) {
        if (transport->sockets[i] != NULL)
            ev_io_stop(transport->loop, &transport->sockets[i]->io);
        free(transport->sockets[i]);
    }
    free(transport->sockets);
    names_destroy(transport->names);
    free(transport);
}

const struct transport_type transport_curl = {
    .name = "curl",
    .help = "HTTP/1.1 and HTTP/2, by libcurl",
    .new = curl_new,
    .destroy = curl_destroy,
    .user_new = curl_user_new,
    .user_destroy = curl_user_destroy,
    .start = curl_start,
    .cancel = curl_cancel,
};
