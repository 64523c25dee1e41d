/* http/curl.c - requests of every kind, carried by libcurl.
 *
 * One multi for each process. Each user has a share of its own, with its connections and
 * cookies, and handles of its own, which keep its TLS sessions: so none of these crosses
 * users, and HTTP/2 never carries two users on one connection. A handle is used again
 * for each request, so that an option is only set when it changes.
 *
 * libcurl's sockets and timer become watchers of the loop. What ends is collected after
 * libcurl has returned, and only then told to the session, which may start the next
 * request at once: nothing of ours is ever called from inside libcurl but the small
 * callbacks here. */
#include "http/transport.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"
#include "http/lookups.h"

#define USER_CONNECTIONS_MAX 16L

enum {
    DRIVES_A_TURN = 8, /* so that a quick server leaves the loop to other watchers */
    BUFFER_SIZE = 16 << 10,
    INLINE_BODY = 64 << 10, /* libcurl sends a smaller body along with the head */
    BODY_FIRST = 1 << 10,
    URLS_KEPT = 4,
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
    struct lookups lookups;
    struct carrier *finished; /* that their sessions have not been told of */
};

/* A URL as libcurl wants it. */
struct parsed_url {
    char *text; /* NULL: none */
    CURLU *parsed;
};

/* One request under way. */
struct carrier {
    struct carrier *next; /* in transport_user.idle, or in transport.finished */
    struct transport_user *user;
    struct exchange *exchange; /* NULL: idle */
    CURL *easy;
    bool in_multi;
    struct lookup_wait lookup;
    ev_timer lookup_timer;  /* while it waits for another's look-up */
    uint64_t started_us;    /* when asked: before a wait for a look-up */
    uint64_t written_us;    /* when the request was about to be; 0: not yet */
    uint64_t first_byte_us; /* when its answer began; 0: not yet */
    uint64_t waited_us;     /* for another's look-up, before libcurl got it */
    unsigned attempts;      /* how often libcurl was about to write the request */
    size_t lines;           /* of the answer's head */
    bool head_ended;        /* its empty line came */
    bool has_length;        /* it has a Content-Length ... */
    uint64_t length;        /* ... which is this */
    size_t head_capacity, body_capacity;
    const char *refusal;            /* why our callback made libcurl give up */
    struct curl_slist *own_headers; /* made for the last request that needed any */
    const char *own_type;           /* the content type in it */
    header_lines own_user;          /* the session's, in it */
    bool own_is_general;            /* no header of the request's own is in it */
    char error[CURL_ERROR_SIZE];
    long version; /* of HTTP, of the last answer */

    /* What the handle is set to: set again only when it differs. */
    struct parsed_url urls[URLS_KEPT];
    const struct parsed_url *url; /* which of them; NULL: one that cannot be parsed */
    size_t url_next;              /* to be replaced */
    char method[32];
    bool with_body;
    struct curl_slist *headers;
    long timeout_ms;
    int verify; /* -1: not yet set */
};

struct transport_user {
    struct transport *transport;
    CURLSH *share;
    struct carrier *idle;
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

/* Tells the sessions. They may start requests; libcurl is not running. */
static void tell_finished(struct transport *transport)
{
    while (transport->finished != NULL) {
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
    lookups_run(&transport->lookups);
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
    lookups_run(&transport->lookups); /* a wait may have been over without libcurl */
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

static curl_socket_t on_open_socket(void *data, curlsocktype purpose,
                                    struct curl_sockaddr *address)
{
    struct carrier *const carrier = data;
    const int fd =
        socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

    (void)purpose;
    /* The name is known by now: whoever waits for it can go on. */
    lookup_succeeded(&carrier->lookup);
    if (fd == -1)
        return CURL_SOCKET_BAD;
    watch_of_socket(carrier->user->transport, fd)->noticed = true;
    return fd;
}

static int on_close_socket(void *data, curl_socket_t fd)
{
    struct transport *const transport = data;

    if ((size_t)fd < transport->socket_count && transport->sockets[fd] != NULL) {
        /* The number may come back as another socket, which epoll does not know. */
        ev_io_stop(transport->loop, &transport->sockets[fd]->io);
        transport->sockets[fd]->events = 0;
        transport->sockets[fd]->noticed = false;
    }
    return close(fd);
}

/* libcurl is connected and about to write the request. When a kept connection turns out
 * dead it would write it again on a new one: that would be a request nobody counted. */
static int on_about_to_write(void *data, char *remote_ip, char *local_ip,
                             int remote_port, int local_port)
{
    struct carrier *const carrier = data;

    (void)remote_ip;
    (void)local_ip;
    (void)remote_port;
    (void)local_port;
    carrier->written_us = clock_us();
    if (carrier->attempts++ == 0)
        return CURL_PREREQFUNC_OK;
    carrier->refusal = "the server closed the kept connection without an answer";
    return CURL_PREREQFUNC_ABORT;
}

static size_t refuse_answer(struct carrier *carrier, const char *why)
{
    carrier->refusal = why;
    return 0;
}

/* "HTTP/1.1 200 OK" begins the head of an answer; one of a 1xx came before. */
static void begin_head(struct carrier *carrier, const char *line, size_t size)
{
    struct exchange *const exchange = carrier->exchange;
    const char *reason = memchr(line, ' ', size);
    size_t length = 0;

    if (reason != NULL)
        reason = memchr(reason + 1, ' ', size - (size_t)(reason + 1 - line));
    if (reason != NULL) {
        reason++;
        length = size - (size_t)(reason - line);
    }
    exchange->reason =
        arena_strndup(exchange->arena, reason != NULL ? reason : "", length);
    if (carrier->first_byte_us == 0)
        carrier->first_byte_us = clock_us();
    exchange->head_size = 0;
    carrier->lines = 0;
    carrier->head_ended = false;
    carrier->has_length = false;
}

/* libcurl takes a length that is no number, or a second one, as it likes: what such an
 * answer holds is not known, so it is none. False: the line says so. */
static bool check_length(struct carrier *carrier, const char *line, size_t size)
{
    static const char name[] = "content-length:";
    const size_t name_size = sizeof(name) - 1;
    uint64_t length = 0;

    if (size < name_size || strncasecmp(line, name, name_size) != 0)
        return true;
    line += name_size;
    size -= name_size;
    while (size > 0 && (*line == ' ' || *line == '\t'))
        line++, size--;
    while (size > 0 && (line[size - 1] == ' ' || line[size - 1] == '\t'))
        size--;
    if (size == 0 || size > 18)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (line[i] < '0' || line[i] > '9')
            return false;
        length = length * 10 + (uint64_t)(line[i] - '0');
    }
    if (carrier->has_length && carrier->length != length)
        return false;
    carrier->has_length = true;
    carrier->length = length;
    return true;
}

static size_t trim_line(const char *line, size_t size)
{
    while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r'))
        size--;
    return size;
}

static void append(struct arena *arena, char **data, size_t *size, size_t *capacity,
                   const char *more, size_t more_size, size_t first)
{
    if (*size + more_size + 1 > *capacity) {
        size_t grown = *capacity > 0 ? *capacity : first;

        while (grown < *size + more_size + 1)
            grown *= 2;
        *data = arena_grow(arena, *data, *size, grown);
        *capacity = grown;
    }
    memcpy(*data + *size, more, more_size);
    *size += more_size;
    (*data)[*size] = '\0';
}

static size_t on_header(char *data, size_t one, size_t size, void *user)
{
    struct carrier *const carrier = user;
    struct exchange *const exchange = carrier->exchange;
    const size_t length = trim_line(data, size);

    (void)one;
    if (size >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        begin_head(carrier, data, length);
        return size;
    }
    if (length == 0) {
        carrier->head_ended = true;
        return size;
    }
    if (!check_length(carrier, data, length))
        return refuse_answer(carrier, "the answer's Content-Length is not one number");
    if (exchange->head_size + length + 1 > ANSWER_HEAD_MAX)
        return refuse_answer(carrier, "the answer's head is over 64 KiB");
    if (++carrier->lines > ANSWER_LINES_MAX)
        return refuse_answer(carrier, "the answer's head has over 100 lines");
    append(exchange->arena, &exchange->head, &exchange->head_size,
           &carrier->head_capacity, data, length, 256);
    append(exchange->arena, &exchange->head, &exchange->head_size,
           &carrier->head_capacity, "\n", 1, 256);
    return size;
}

static size_t on_body(char *data, size_t one, size_t size, void *user)
{
    struct carrier *const carrier = user;
    struct exchange *const exchange = carrier->exchange;

    (void)one;
    if (!exchange->keep_body)
        return size;
    if (exchange->body_length + size > ANSWER_BODY_MAX)
        return refuse_answer(
            carrier, "the answer's body is over 64 MiB: .discard_body = true counts it "
                     "without keeping it");
    append(exchange->arena, &exchange->body_data, &exchange->body_length,
           &carrier->body_capacity, data, size, BODY_FIRST);
    return size;
}

/* --- the words of a failure --------------------------------------------------------- */

static const char no_connection[] = "no connection within the time-out";

static const struct {
    CURLcode code;
    const char *words;
} failure_words[] = {
    {CURLE_COULDNT_RESOLVE_HOST,     "the host's name cannot be looked up"               },
    {CURLE_COULDNT_CONNECT,          "cannot connect"                                    },
    {CURLE_URL_MALFORMAT,            "the URL is not valid"                              },
    {CURLE_UNSUPPORTED_PROTOCOL,     "the answer, or the URL, is not HTTP"               },
    {CURLE_WEIRD_SERVER_REPLY,       "the answer is not HTTP"                            },
    {CURLE_GOT_NOTHING,              "the server closed the connection without an answer"},
    {CURLE_PARTIAL_FILE,             "the answer ended before its end"                   },
    {CURLE_RECV_ERROR,               "the connection broke while the answer was read"    },
    {CURLE_SEND_ERROR,               "the connection broke while the request was written"},
    {CURLE_SSL_CONNECT_ERROR,        "the TLS handshake failed"                          },
    {CURLE_PEER_FAILED_VERIFICATION,
     "the server's certificate is not trusted (-k: do not "
     "verify)"                                                                           },
    {CURLE_BAD_CONTENT_ENCODING,     "the answer's compressed body is broken"            },
    {CURLE_HTTP2,                    "the HTTP/2 connection failed"                      },
    {CURLE_HTTP2_STREAM,             "the HTTP/2 stream failed"                          },
    {CURLE_OUT_OF_MEMORY,            "there is no memory left"                           },
};

static const char *words_of(CURLcode code)
{
    for (size_t i = 0; i < ARRAY_SIZE(failure_words); i++) {
        if (failure_words[i].code == code)
            return failure_words[i].words;
    }
    return curl_easy_strerror(code);
}

static char *arena_join(struct arena *arena, const char *left, const char *right)
{
    const size_t length = strlen(left);
    char *const text = arena_alloc(arena, length + strlen(right) + 1);

    memcpy(text, left, length);
    strcpy(text + length, right);
    return text;
}

static const char *timeout_words(const struct carrier *carrier)
{
    curl_off_t connected = 0;

    curl_easy_getinfo(carrier->easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
    return connected == 0 ? no_connection : "no complete answer within the time-out";
}

static void describe_failure(struct carrier *carrier, CURLcode code)
{
    struct exchange *const exchange = carrier->exchange;
    long os_errno = 0;

    curl_easy_getinfo(carrier->easy, CURLINFO_OS_ERRNO, &os_errno);
    if (carrier->refusal != NULL)
        exchange->failure = carrier->refusal;
    else if (code == CURLE_OK)
        exchange->failure = "the answer ended within its head";
    else if (code == CURLE_OUT_OF_MEMORY && !carrier->head_ended && exchange->written)
        exchange->failure =
            "a header line of the answer is too long"; /* says libcurl so */
    else if (code == CURLE_OPERATION_TIMEDOUT)
        exchange->failure = timeout_words(carrier);
    else if (code == CURLE_COULDNT_CONNECT && os_errno != 0)
        exchange->failure =
            arena_join(exchange->arena, "cannot connect: ", strerror((int)os_errno));
    else
        exchange->failure = words_of(code);
    if (carrier->error[0] != '\0' && carrier->refusal == NULL)
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

static void set_phase(struct exchange *exchange, enum stats_phase phase, uint64_t from,
                      uint64_t until)
{
    if (until == 0 || until < from)
        return;
    exchange->phases_us[phase] = until - from;
    exchange->phase_happened[phase] = true;
}

/* libcurl's times are each since the start of the transfer; 0 is what did not happen.
 * A kept connection has no look-up, connect or handshake of its own. */
static void measure_phases(const struct carrier *carrier)
{
    struct exchange *const exchange = carrier->exchange;

    if (exchange->new_connection) {
        const uint64_t known = info_us(carrier->easy, CURLINFO_NAMELOOKUP_TIME_T);
        const uint64_t connected = info_us(carrier->easy, CURLINFO_CONNECT_TIME_T);

        if (carrier->lookup.named)
            set_phase(exchange, PHASE_DNS, 0,
                      known > 0 ? known + carrier->waited_us : 0);
        set_phase(exchange, PHASE_CONNECT, known, connected);
        set_phase(exchange, PHASE_TLS, connected,
                  info_us(carrier->easy, CURLINFO_APPCONNECT_TIME_T));
    }
    set_phase(exchange, PHASE_FIRST_BYTE, carrier->written_us, carrier->first_byte_us);
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
    long connects = 0, status = 0;

    curl_easy_getinfo(carrier->easy, CURLINFO_NUM_CONNECTS, &connects);
    curl_easy_getinfo(carrier->easy, CURLINFO_RESPONSE_CODE, &status);
    carrier->exchange->new_connection = connects > 0;
    carrier->exchange->status = (int)status;
    measure_bytes(carrier);
    measure_phases(carrier);
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
    /* libcurl is content with an answer that ends within its head. */
    exchange->complete = code == CURLE_OK && carrier->head_ended;
    measure(carrier);
    if (!exchange->complete)
        describe_failure(carrier, code);
    leave_multi(carrier);
    if (code == CURLE_OK)
        lookup_succeeded(&carrier->lookup);
    else if (code == CURLE_COULDNT_RESOLVE_HOST)
        lookup_failed(&carrier->lookup);
    else
        lookup_abandon(&carrier->lookup);
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

/* The headers of a request without body and headers of its own: the same list for each,
 * so that libcurl is told once. */
static struct curl_slist *common_headers(struct transport_user *user,
                                         header_lines lines)
{
    if (lines == NULL || lines[0] == NULL)
        return NULL;
    if (user->user_headers != lines) {
        curl_slist_free_all(user->common);
        user->common = NULL;
        for (size_t i = 0; lines[i] != NULL; i++)
            user->common = add_header(user->common, lines[i]);
        user->user_headers = lines;
    }
    return user->common;
}

static struct curl_slist *own_headers(const struct exchange *exchange)
{
    struct curl_slist *list = NULL;

    for (header_lines line = exchange->headers; line != NULL && *line != NULL; line++)
        list = add_header(list, *line);
    for (header_lines line = exchange->user_headers; line != NULL && *line != NULL;
         line++) {
        if (!has_header(exchange->headers, *line))
            list = add_header(list, *line);
    }
    if (exchange->body != NULL && !has_header(exchange->headers, "Content-Type:") &&
        !has_header(exchange->user_headers, "Content-Type:")) {
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

/* The list of a request with a body or headers of its own: made anew, unless the last
 * one was for a body of the same type, and nothing else. */
static struct curl_slist *take_own_headers(struct carrier *carrier)
{
    const struct exchange *const exchange = carrier->exchange;
    const bool is_general = exchange->headers == NULL;

    if (is_general && carrier->own_is_general && carrier->own_headers != NULL &&
        carrier->own_type == exchange->content_type &&
        carrier->own_user == exchange->user_headers)
        return carrier->own_headers;
    curl_easy_setopt(carrier->easy, CURLOPT_HTTPHEADER, NULL);
    carrier->headers = NULL;
    curl_slist_free_all(carrier->own_headers);
    carrier->own_headers = own_headers(exchange);
    carrier->own_type = exchange->content_type;
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
        list = common_headers(carrier->user, exchange->user_headers);
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

static const struct parsed_url *find_url(const struct carrier *carrier, const char *url)
{
    for (size_t i = 0; i < URLS_KEPT; i++) {
        const struct parsed_url *const kept = &carrier->urls[i];

        if (kept->text != NULL && strcmp(kept->text, url) == 0)
            return kept;
    }
    return NULL;
}

/* NULL: libcurl will say why it is none. */
static const struct parsed_url *parse_url(struct carrier *carrier, const char *url)
{
    struct parsed_url *const place = &carrier->urls[carrier->url_next];

    carrier->url_next = (carrier->url_next + 1) % URLS_KEPT;
    if (place->parsed == NULL && (place->parsed = curl_url()) == NULL)
        abort(); /* small and fixed: dies like xmalloc() */
    free(place->text);
    place->text = NULL;
    if (curl_url_set(place->parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) !=
        CURLUE_OK)
        return NULL;
    place->text = xstrdup(url);
    return place;
}

/* A URL that is asked for again is parsed once, instead of by libcurl for each request:
 * that is a tenth of all instructions of a request. */
static void set_url(struct carrier *carrier)
{
    const char *const url = carrier->exchange->url;
    const struct parsed_url *found = find_url(carrier, url);

    if (found != NULL && found == carrier->url)
        return;
    if (found == NULL)
        found = parse_url(carrier, url);
    curl_easy_setopt(carrier->easy, CURLOPT_CURLU,
                     found != NULL ? found->parsed : NULL);
    curl_easy_setopt(carrier->easy, CURLOPT_URL, found != NULL ? NULL : url);
    carrier->url = found;
}

static void set_options(struct carrier *carrier)
{
    const struct exchange *const exchange = carrier->exchange;
    const uint64_t left_us = exchange->timeout_us > carrier->waited_us
                                 ? exchange->timeout_us - carrier->waited_us
                                 : 1;
    const uint64_t timeout_ms = (left_us + US_PER_MS - 1) / US_PER_MS;
    CURL *const easy = carrier->easy;

    set_url(carrier);
    set_method(carrier);
    set_headers(carrier);
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
    const struct transport_user *const user = carrier->user;
    /* The variable by which OpenSSL is told of certificate authorities of one's own. */
    const char *const authorities = getenv("SSL_CERT_FILE");

    curl_easy_setopt(easy, CURLOPT_PRIVATE, carrier);
    curl_easy_setopt(easy, CURLOPT_SHARE, user->share);
    curl_easy_setopt(easy, CURLOPT_COOKIEFILE, "");
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "molotov/" MOLOTOV_VERSION);
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
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, user->transport);
}

static void on_lookup_over(struct lookup_wait *wait, bool failed);
static void on_lookup_timeout(struct ev_loop *loop, ev_timer *timer, int revents);

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
    ev_init(&carrier->lookup_timer, on_lookup_timeout);
    carrier->lookup_timer.data = carrier;
    carrier->lookup.on_known = on_lookup_over;
    carrier->lookup.data = carrier;
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

static void on_lookup_timeout(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct carrier *const carrier = timer->data;

    (void)loop;
    (void)revents;
    lookup_abandon(&carrier->lookup);
    fail_undriven(carrier, no_connection);
}

/* Gives the request to libcurl: its host's name is known, or this one looks it up. */
static void drive_carrier(struct carrier *carrier)
{
    set_options(carrier);
    if (curl_multi_add_handle(carrier->user->transport->multi, carrier->easy) !=
        CURLM_OK)
        abort(); /* out of memory, or a handle that is added twice */
    carrier->in_multi = true;
}

static void wait_for_lookup(struct carrier *carrier)
{
    loop_timer_start(carrier->user->transport->loop, &carrier->lookup_timer,
                     (double)carrier->exchange->timeout_us / US_PER_S);
}

static void on_lookup_over(struct lookup_wait *wait, bool failed)
{
    struct carrier *const carrier = wait->data;

    ev_timer_stop(carrier->user->transport->loop, &carrier->lookup_timer);
    carrier->waited_us = clock_us() - carrier->started_us;
    if (failed)
        fail_undriven(carrier, words_of(CURLE_COULDNT_RESOLVE_HOST));
    else
        drive_carrier(carrier);
}

static void curl_start(struct transport_user *user, struct exchange *exchange)
{
    struct carrier *const carrier = take_carrier(user);

    exchange->carrier = carrier;
    carrier->exchange = exchange;
    carrier->attempts = 0;
    carrier->written_us = 0;
    carrier->first_byte_us = 0;
    carrier->lines = 0;
    carrier->head_ended = false;
    carrier->head_capacity = 0;
    carrier->body_capacity = 0;
    carrier->refusal = NULL;
    carrier->error[0] = '\0';
    carrier->started_us = clock_us();
    carrier->waited_us = 0;
    if (lookup_is_free(&user->transport->lookups, &carrier->lookup, exchange->url))
        drive_carrier(carrier);
    else
        wait_for_lookup(carrier);
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
    ev_timer_stop(carrier->user->transport->loop, &carrier->lookup_timer);
    lookup_abandon(&carrier->lookup);
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
    curl_share_setopt(user->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_COOKIE);
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
        for (size_t i = 0; i < URLS_KEPT; i++) {
            curl_url_cleanup(carrier->urls[i].parsed);
            free(carrier->urls[i].text);
        }
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
    transport->multi = curl_multi_init();
    if (transport->multi == NULL)
        abort(); /* small and fixed: dies like xmalloc() */
    ev_init(&transport->timer, on_timer);
    transport->timer.data = transport;
    ev_prepare_init(&transport->prepare, on_prepare);
    transport->prepare.data = transport;
    ev_prepare_start(loop, &transport->prepare);
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
    lookups_clear(&transport->lookups);
    free(transport);
}

const struct transport_type transport_curl = {
    .name = "curl",
    .new = curl_new,
    .destroy = curl_destroy,
    .user_new = curl_user_new,
    .user_destroy = curl_user_destroy,
    .start = curl_start,
    .cancel = curl_cancel,
};
