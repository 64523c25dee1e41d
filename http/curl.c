/* http/curl.c - requests of every kind, carried by libcurl.
 *
 * One multi for each process. Each user has a share of its own, with its connections and
 * TLS sessions, and handles of its own: so none of these crosses users, and HTTP/2 never
 * carries two users on one connection.
 *
 * libcurl looks no name up: it is given addresses before it needs any, since it would ask
 * once for each request that comes before the first answer, in a thread each. It is given
 * no cookies to keep and no body to decode: that is done the same for all transports.
 *
 * What ends is collected after libcurl has returned, and only then told to the session,
 * which may start the next request at once: nothing of ours is ever called from inside
 * libcurl but the small callbacks here. */
#include "http/transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"
#include "http/curl_addresses.h"
#include "http/curl_loop.h"
#include "http/curl_request.h"
#include "http/names.h"
#include "http/unix_queue.h"

enum {
    INLINE_BODY = 64 << 10, /* libcurl sends a smaller body along with the head */
    STATUS_DIGITS = 3,
    FIRST_FINAL_STATUS = 200,
};

struct transport {
    struct curl_loop curl_loop;
    struct names *names;
    struct carrier *finished; /* that their sessions have not been told of */
    struct carrier **finished_end;
};

/* One request under way. */
struct carrier {
    struct carrier *next; /* in transport_user.idle, or in transport.finished */
    struct transport_user *user;
    struct exchange *exchange; /* NULL: idle */
    struct curl_request request;
    struct curl_addresses addresses;
    bool in_multi;
    struct name_wait name_wait;
    ev_timer name_timer; /* while it waits for the addresses of its host */
    ev_timer patience;   /* with one of them, if there are others; or with a queue */
    uint64_t begun_us;   /* when libcurl began, with the addresses it has now */
    uint64_t lost_us;    /* before that, with those that did not answer, or a queue */
    uint64_t written_us; /* when the request was about to be; 0: not yet */
    uint64_t first_byte_us; /* when its answer began; 0: not yet */
    unsigned attempts;      /* how often libcurl was about to write the request */
    long lost_bytes;        /* of it, that went to a connection that was replaced */
    bool opened;            /* a socket */
    bool is_queued;         /* for a unix socket, which is asked again: unix_queue.h */
    bool is_worn;           /* libcurl has repeated a request: see make_idle() */
    double pause_s;         /* in that queue, the last one; 0: there was none */
    char error[CURL_ERROR_SIZE];
    long version; /* of HTTP, of the last answer */
};

struct transport_user {
    struct transport *transport;
    CURLSH *share;
    struct carrier *idle;
    bool closed_one; /* of its connections, since its last exchange began */
    struct curl_common common;
};

static struct ev_loop *loop_of(const struct carrier *carrier)
{
    return carrier->user->transport->curl_loop.loop;
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
    carrier->is_worn = true;
    curl_easy_getinfo(carrier->request.easy, CURLINFO_REQUEST_SIZE, &written);
    if (carrier->attempts > 1 ||
        (written > 0 && !transport_may_repeat(exchange->method))) {
        exchange->failure = failure_kept_closed;
        return false;
    }
    carrier->lost_bytes = written;
    return true;
}

/* With an address that libcurl begins to connect to: it has all the time only if there is
 * no other. */
static void have_patience(struct carrier *carrier, const struct sockaddr *address)
{
    curl_addresses_note_tried(&carrier->addresses, address);
    if (curl_addresses_has_untried(&carrier->addresses))
        loop_timer_start(loop_of(carrier), &carrier->patience, ADDRESS_PATIENCE_S);
    else
        ev_timer_stop(loop_of(carrier), &carrier->patience);
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
    have_patience(carrier, &address->addr);
    return fd;
}

static int on_close_socket(void *data, curl_socket_t fd)
{
    struct transport_user *const user = data;

    user->closed_one = true;
    curl_loop_forget_socket(&user->transport->curl_loop, fd);
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

    curl_easy_getinfo(carrier->request.easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
    return connected == 0 ? failure_no_connection : failure_timeout;
}

static void describe_failure(struct carrier *carrier, CURLcode code)
{
    struct exchange *const exchange = carrier->exchange;
    long os_errno = 0;

    curl_easy_getinfo(carrier->request.easy, CURLINFO_OS_ERRNO, &os_errno);
    if (code == CURLE_OK || (code == CURLE_PARTIAL_FILE && !exchange->head_ended))
        exchange->failure = failure_cut_head;
    else if (code == CURLE_UNSUPPORTED_PROTOCOL && exchange->written)
        exchange->failure = failure_not_http; /* the answer is not, then */
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
        const uint64_t known =
            info_us(carrier->request.easy, CURLINFO_NAMELOOKUP_TIME_T);
        const uint64_t connected =
            info_us(carrier->request.easy, CURLINFO_CONNECT_TIME_T);

        exchange_set_phase(exchange, PHASE_CONNECT, known,
                           connected > 0 ? connected + carrier->lost_us : 0);
        exchange_set_phase(exchange, PHASE_TLS, connected,
                           info_us(carrier->request.easy, CURLINFO_APPCONNECT_TIME_T));
    }
    exchange_set_phase(exchange, PHASE_FIRST_BYTE, carrier->written_us,
                       carrier->first_byte_us);
}

static void measure_bytes(struct carrier *carrier)
{
    struct exchange *const exchange = carrier->exchange;
    curl_off_t body_in = 0, body_out = 0;
    long head_in = 0, out = 0, version = 0;

    curl_easy_getinfo(carrier->request.easy, CURLINFO_HEADER_SIZE, &head_in);
    curl_easy_getinfo(carrier->request.easy, CURLINFO_SIZE_DOWNLOAD_T, &body_in);
    curl_easy_getinfo(carrier->request.easy, CURLINFO_REQUEST_SIZE, &out);
    exchange->bytes_in = (uint64_t)head_in + (uint64_t)body_in;
    out -= carrier->lost_bytes;
    exchange->bytes_out = (uint64_t)out;
    curl_easy_getinfo(carrier->request.easy, CURLINFO_HTTP_VERSION, &version);
    if (version != 0) /* else no answer came: the same as the last one, most likely */
        carrier->version = version;
    /* What HTTP/1 sent along with the head is counted there already. */
    if (exchange->body_size >= INLINE_BODY ||
        carrier->version >= CURL_HTTP_VERSION_2_0) {
        curl_easy_getinfo(carrier->request.easy, CURLINFO_SIZE_UPLOAD_T, &body_out);
        exchange->bytes_out += (uint64_t)body_out;
    }
    exchange->written = out > 0;
}

/* Its TLS handshake may be still to come. The times would tell later. */
static bool has_connected(const struct carrier *carrier)
{
    long connects = 0;

    curl_easy_getinfo(carrier->request.easy, CURLINFO_NUM_CONNECTS, &connects);
    return connects > 0;
}

static void measure(struct carrier *carrier)
{
    carrier->exchange->new_connection = has_connected(carrier);
    measure_bytes(carrier);
    measure_phases(carrier);
    carrier->exchange->replaced &=
        carrier->exchange->written; /* else none took its place */
}

/* --- the end of an exchange ----------------------------------------------------------- */

static void carrier_destroy(struct carrier *carrier)
{
    ev_timer_stop(loop_of(carrier), &carrier->patience);
    curl_request_close(&carrier->request);
    curl_addresses_clear(&carrier->addresses);
    free(carrier);
}

/* One with which libcurl has repeated a request is not used again: it repeats five times
 * in the life of a handle, and then says that the connection died. (libcurl 7.88 forgets to
 * begin anew.) */
static void make_idle(struct carrier *carrier)
{
    if (carrier->is_worn) {
        carrier_destroy(carrier);
        return;
    }
    /* The body is the session's, and may be gone by the next request. */
    curl_request_forget_body(&carrier->request);
    curl_addresses_unset(&carrier->addresses);
    carrier->exchange = NULL;
    carrier->next = carrier->user->idle;
    carrier->user->idle = carrier;
}

static void leave_multi(struct carrier *carrier)
{
    ev_timer_stop(loop_of(carrier), &carrier->patience);
    curl_multi_remove_handle(carrier->user->transport->curl_loop.multi,
                             carrier->request.easy);
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

/* Its session is to be told: before the loop sleeps. */
static void append_finished(struct carrier *carrier)
{
    struct transport *const transport = carrier->user->transport;

    carrier->next = NULL;
    *transport->finished_end = carrier;
    transport->finished_end = &carrier->next;
}

/* If it is one. */
static void forget_finished(struct carrier *carrier)
{
    struct transport *const transport = carrier->user->transport;
    struct carrier **link = &transport->finished;

    while (*link != NULL && *link != carrier)
        link = &(*link)->next;
    if (*link == NULL)
        return;
    *link = carrier->next;
    if (carrier->next == NULL)
        transport->finished_end = link;
}

/* --- its start ------------------------------------------------------------------------ */

/* Gives the request to libcurl, which knows the addresses of its host. */
static void drive(struct carrier *carrier)
{
    curl_request_set(&carrier->request, carrier->exchange);
    if (curl_multi_add_handle(carrier->user->transport->curl_loop.multi,
                              carrier->request.easy) != CURLM_OK)
        abort(); /* out of memory, or a handle that is added twice */
    carrier->in_multi = true;
    carrier->begun_us = clock_us();
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
    carrier->exchange->ended_us = clock_us();
    carrier->exchange->failure = failure;
    append_finished(carrier);
    curl_loop_drive_soon(&carrier->user->transport->curl_loop);
}

static void on_name_timeout(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct carrier *const carrier = timer->data;

    (void)loop;
    (void)revents;
    names_forget(&carrier->name_wait);
    fail_undriven(carrier, failure_no_connection);
}

static void set_addresses(struct carrier *carrier, struct addresses *addresses)
{
    curl_addresses_set(&carrier->addresses, addresses, &carrier->request.url->target);
}

static void on_name_known(struct name_wait *wait, struct addresses *addresses,
                          const char *why)
{
    struct carrier *const carrier = wait->data;
    struct exchange *const exchange = carrier->exchange;

    ev_timer_stop(loop_of(carrier), &carrier->name_timer);
    if (addresses == NULL) {
        exchange->detail = arena_strndup(exchange->arena, why, strlen(why));
        fail_undriven(carrier, failure_lookup);
        return;
    }
    exchange_set_phase(exchange, PHASE_DNS, exchange->started_us, clock_us());
    set_addresses(carrier, addresses);
    drive(carrier);
}

/* False: they are not known yet, and it waits for them, as long as for a connection. */
static bool find_addresses(struct carrier *carrier)
{
    struct addresses *const addresses =
        names_find(carrier->user->transport->names, carrier->request.url->target.host,
                   &carrier->name_wait);

    if (addresses != NULL)
        set_addresses(carrier, addresses);
    else
        loop_timer_start(loop_of(carrier), &carrier->name_timer,
                         (double)transport_connect_time_left_us(carrier->exchange) /
                             US_PER_S);
    return addresses != NULL;
}

static void begin(struct carrier *carrier, struct exchange *exchange)
{
    exchange->carrier = carrier;
    exchange->carried_by = CARRIED_BY_CURL;
    carrier->exchange = exchange;
    carrier->lost_us = 0;
    carrier->pause_s = 0;
    carrier->written_us = 0;
    carrier->first_byte_us = 0;
    carrier->attempts = 0;
    carrier->lost_bytes = 0;
    carrier->opened = false;
    carrier->error[0] = '\0';
    if (carrier->user->closed_one) /* it will need another, most likely */
        curl_addresses_forget_given(&carrier->addresses);
    carrier->user->closed_one = false;
}

static struct carrier *take_carrier(struct transport_user *user);

static void curl_start(struct transport_user *user, struct exchange *exchange)
{
    struct carrier *const carrier = take_carrier(user);
    const char *failure = NULL;

    begin(carrier, exchange);
    if (curl_request_set_url(&carrier->request, exchange->url, &failure) == -1)
        refuse(carrier, failure);
    else if (!carrier->request.url->is_named || find_addresses(carrier))
        drive(carrier);
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
    ev_timer_stop(loop_of(carrier), &carrier->name_timer);
    ev_timer_stop(loop_of(carrier), &carrier->patience);
    carrier->is_queued = false;
    names_forget(&carrier->name_wait);
    (void)exchange_end_body(exchange);
    exchange->ended_us = clock_us();
    exchange->complete = false;
    make_idle(carrier);
}

/* --- addresses that do not answer ----------------------------------------------------- */

/* Nothing was written: libcurl begins again, with the other addresses. */
static void try_others(struct carrier *carrier)
{
    leave_multi(carrier);
    carrier->lost_us += clock_us() - carrier->begun_us;
    carrier->opened = false;
    carrier->user->closed_one = false; /* that was not a kept one */
    curl_addresses_give_untried(&carrier->addresses, &carrier->request.url->target);
    drive(carrier);
}

/* A unix socket is asked again, unless time is up. */
static void ask_again(struct carrier *carrier)
{
    carrier->is_queued = false;
    carrier->lost_us += clock_us() - carrier->begun_us;
    if (transport_connect_time_left_us(carrier->exchange) > 1)
        drive(carrier);
    else
        fail_undriven(carrier, failure_no_connection);
}

static void on_patience_end(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct carrier *const carrier = timer->data;

    (void)loop;
    (void)revents;
    if (carrier->is_queued)
        ask_again(carrier);
    else if (carrier->attempts == 0 && !has_connected(carrier))
        try_others(carrier);
}

/* EAGAIN is what libcurl takes for a connection under way, and then has no error number to
 * tell. */
static bool is_queue_full(struct carrier *carrier)
{
    long os_errno = 0;

    curl_easy_getinfo(carrier->request.easy, CURLINFO_OS_ERRNO, &os_errno);
    return carrier->request.url->target.socket_path != NULL &&
           (os_errno == 0 || os_errno == EAGAIN);
}

/* For a pause, or as long as there is time. */
static void wait_in_queue(struct carrier *carrier)
{
    const double left_s =
        (double)transport_connect_time_left_us(carrier->exchange) / US_PER_S;

    leave_multi(carrier);
    carrier->opened = false;
    carrier->is_queued = true;
    carrier->pause_s = unix_queue_pause_s(carrier->pause_s);
    loop_timer_start(loop_of(carrier), &carrier->patience,
                     carrier->pause_s < left_s ? carrier->pause_s : left_s);
}

/* Whether it is not over yet, though libcurl had no other address: it may have been given
 * few of them, for another request. */
static bool goes_on(struct carrier *carrier, CURLcode code)
{
    if (code != CURLE_COULDNT_CONNECT || carrier->attempts > 0 || !carrier->opened)
        return false;
    if (curl_addresses_has_untried(&carrier->addresses))
        try_others(carrier);
    else if (is_queue_full(carrier))
        wait_in_queue(carrier);
    else
        return false;
    return true;
}

/* --- what libcurl has ended with -------------------------------------------------------- */

/* Takes all that has ended from libcurl, and its time, before any worker goes on: a
 * latency must not hold another worker's code. */
static void collect_finished(struct transport *transport)
{
    const CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(transport->curl_loop.multi, &left)) !=
           NULL) {
        const CURLcode code = message->data.result;
        struct carrier *carrier = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&carrier);
        if (goes_on(carrier, code))
            continue;
        finish_exchange(carrier, code);
        append_finished(carrier);
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

        forget_finished(carrier);
        make_idle(carrier);
        exchange->on_done(exchange);
    }
}

static void on_driven(struct curl_loop *curl_loop)
{
    struct transport *const transport = curl_loop->data;

    collect_finished(transport);
    tell_finished(transport);
}

/* --- users and the process ----------------------------------------------------------- */

static void set_callbacks(struct carrier *carrier)
{
    CURL *const easy = carrier->request.easy;

    curl_easy_setopt(easy, CURLOPT_PRIVATE, carrier);
    curl_easy_setopt(easy, CURLOPT_SHARE, carrier->user->share);
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
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, carrier->user);
}

static struct carrier *carrier_new(struct transport_user *user)
{
    struct carrier *const carrier = xcalloc(1, sizeof(*carrier));

    carrier->user = user;
    curl_request_open(&carrier->request, &user->common);
    carrier->addresses.easy = carrier->request.easy;
    carrier->name_wait.on_known = on_name_known;
    carrier->name_wait.data = carrier;
    ev_init(&carrier->name_timer, on_name_timeout);
    carrier->name_timer.data = carrier;
    ev_init(&carrier->patience, on_patience_end);
    carrier->patience.data = carrier;
    set_callbacks(carrier);
    return carrier;
}

static struct carrier *take_carrier(struct transport_user *user)
{
    struct carrier *const carrier = user->idle;

    if (carrier == NULL)
        return carrier_new(user);
    user->idle = carrier->next;
    return carrier;
}

static struct transport_user *curl_user_new(struct transport *transport)
{
    struct transport_user *const user = xcalloc(1, sizeof(*user));

    user->transport = transport;
    user->share = curl_share_init();
    if (user->share == NULL)
        abort(); /* small and fixed: dies like xmalloc() */
    curl_share_setopt(user->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT);
    curl_share_setopt(user->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    return user;
}

static void curl_user_destroy(struct transport_user *user)
{
    if (user == NULL)
        return;
    while (user->idle != NULL) {
        struct carrier *const carrier = user->idle;

        user->idle = carrier->next;
        carrier_destroy(carrier);
    }
    curl_common_clear(&user->common);
    curl_share_cleanup(user->share);
    free(user);
}

static struct transport *curl_new(struct ev_loop *loop, struct names *names)
{
    struct transport *const transport = xcalloc(1, sizeof(*transport));

    curl_global_init(CURL_GLOBAL_DEFAULT);
    transport->names = names;
    transport->finished_end = &transport->finished;
    curl_loop_open(&transport->curl_loop, loop, on_driven, transport);
    /* Of each share: a user keeps as many idle connections. */
    curl_multi_setopt(transport->curl_loop.multi, CURLMOPT_MAXCONNECTS,
                      (long)USER_CONNECTIONS_MAX);
    return transport;
}

static void curl_destroy(struct transport *transport)
{
    if (transport == NULL)
        return;
    curl_loop_close(&transport->curl_loop);
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
