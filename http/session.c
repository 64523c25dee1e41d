#include "http/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/text.h"
#include "http/cookies.h"
#include "http/header.h"
#include "http/target.h"
#include "http/url.h"

enum { LABEL_MAX = 256, METHOD_MAX = 32, FAILURE_MAX = TABLE_NAME_MAX + 1 };

struct session {
    struct session_context *context;
    void *owner;
    struct transport_user *user;
    struct arena arena;
    char *base_url;
    size_t origin_length; /* of its scheme://host:port */
    char **headers;       /* ends with NULL; NULL: none */
    double timeout_s;
    bool verify;
    struct cookies *cookies;   /* NULL: there are none */
    struct request_stats *row; /* of the last hop; NULL: there was none */

    /* the request under way */
    bool busy;
    const struct request *request;
    response_callback on_response;
    void *data;
    uint64_t started_us, deadline_us;
    struct exchange exchange;
    const char *method; /* of this hop: a redirect may change it */
    bool drop_body;     /* a redirect said so */
    bool drop_secrets;  /* a redirect left the host that was asked */
    const char *url;    /* of this hop: the request's, cached, or in the arena */
    unsigned redirects;
};

/* --- what is asked ------------------------------------------------------------------ */

static int check_headers(header_lines lines, struct error *err)
{
    for (; lines != NULL && *lines != NULL; lines++) {
        const size_t name_length = text_token_length(*lines);

        if (name_length == 0 || (*lines)[name_length] != ':' ||
            !text_is_clean_line(*lines))
            return error_set(err, "'%s' is no header: it takes 'Name: value'", *lines);
    }
    return 0;
}

/* All that are registered but a few have capital letters only. */
static bool is_method(const char *method)
{
    size_t length = 0;

    while (method[length] >= 'A' && method[length] <= 'Z')
        length++;
    if (method[length] != '\0') {
        length = strlen(method);
        if (!text_is_token(method, length))
            return false;
    }
    return length > 0 && length < METHOD_MAX;
}

static int check_request(const struct session *session, const struct request *request,
                         struct error *err)
{
    if (session->busy)
        return error_set(err, "a session sends one request at a time");
    if (request->method == NULL || !is_method(request->method))
        return error_set(err, "a request needs a method such as GET, of at most 31 "
                              "characters");
    if (request->url == NULL)
        return error_set(err, "a request needs a URL");
    if (!text_is_clean(request->url, strlen(request->url)))
        return error_set(err, "the URL has control characters, or is not UTF-8");
    if (session->base_url == NULL && !target_is_absolute(request->url))
        return error_set(err,
                         "'%s' is relative, and the session has no base URL: give "
                         "--server-url, or a base URL in the set-up",
                         request->url);
    if (!(request->timeout_s >= 0 && request->timeout_s <= REQUEST_TIMEOUT_MAX_S))
        return error_set(err, "a request's time-out is from 0 to %g seconds",
                         REQUEST_TIMEOUT_MAX_S);
    return check_headers(request->headers, err);
}

/* The part of an absolute URL that labels a request: without query, fragment and user. */
static size_t label_of_url(const char *url, char ret_short[LABEL_MAX],
                           const char **ret_label)
{
    const char *const host = strstr(url, "://") + 3;
    const char *end = host, *after_user = host;
    bool in_authority = true;

    for (; *end != '\0' && *end != '?' && *end != '#'; end++) {
        in_authority &= *end != '/';
        if (*end == '@' && in_authority)
            after_user = end + 1;
    }
    *ret_label = url;
    if (after_user == host)
        return (size_t)(end - url);
    snprintf(ret_short, LABEL_MAX, "%.*s%.*s", (int)(host - url), url,
             (int)(end - after_user), after_user);
    *ret_label = ret_short;
    return strlen(ret_short);
}

/* A row's name is "METHOD label". */
static bool is_row_of(const struct request_stats *row, const char *method,
                      const char *label, size_t length)
{
    const size_t before = strlen(method) + 1;

    return row->row.name_length == before + length &&
           memcmp(row->row.name, method, before - 1) == 0 &&
           row->row.name[before - 1] == ' ' &&
           memcmp(row->row.name + before, label, length) == 0;
}

/* Most often it is that of the request before, which is a comparison instead of a hash. */
static struct request_stats *find_row(struct session *session)
{
    char text[LABEL_MAX];
    const char *label = session->request->name;
    size_t length = label != NULL ? strlen(label) : 0;

    if (label == NULL)
        length = label_of_url(session->url, text, &label);
    if (session->row == NULL ||
        !is_row_of(session->row, session->method, label, length))
        session->row =
            stats_request(session->context->stats, session->method, label, length);
    return session->row;
}

/* --- what came back ----------------------------------------------------------------- */

static void record_transport(struct stats *stats, const struct exchange *exchange)
{
    if (exchange->carried_by == CARRIED_BY_DIRECT)
        stats->direct_requests++;
    else
        stats->curl_requests++;
    stats->connections += exchange->new_connection;
    stats->replaced_connections += exchange->replaced;
}

static void record_hop(const struct session *session, struct request_stats *row)
{
    const struct exchange *const exchange = &session->exchange;

    record_transport(session->context->stats, exchange);
    row->hits += exchange->written;
    row->hit_errors += exchange->written && !exchange->complete;
    row->unsent += !exchange->written;
    row->bytes_in += exchange->bytes_in;
    row->bytes_out += exchange->bytes_out;
    for (size_t phase = 0; phase < PHASE_COUNT; phase++) {
        if (exchange->phase_happened[phase])
            stats_add_phase(row, (enum stats_phase)phase, exchange->phases_us[phase]);
    }
    if (!exchange->complete)
        return;
    histogram_record(&row->latency, exchange->ended_us - exchange->started_us);
    stats_add_status(row, (unsigned)exchange->status, 1);
}

const char *response_header(const struct response *response, const char *name,
                            size_t *ret_length)
{
    const char *line = response->head;

    if (line == NULL)
        return NULL;
    return exchange_next_header(&line, line + response->head_size, name, ret_length);
}

/* Also of an answer that is not complete: what came of its head did come. */
static void take_cookies(struct session *session)
{
    const struct exchange *const exchange = &session->exchange;
    const char *line = exchange->head, *value;
    size_t length;

    if (exchange->facts.cookies_set == 0)
        return;
    while ((value = exchange_next_header(&line, exchange->head + exchange->head_size,
                                         "Set-Cookie", &length)) != NULL)
        cookies_take(&session->cookies, session->url, value, length, time(NULL));
}

/* "GET /orders: why": the label is cut, not the reason, where both are too long for a row
 * of the stats. */
static const char *format_failure(struct session *session, const char *label,
                                  const char *why)
{
    char *const text = arena_alloc(&session->arena, FAILURE_MAX);
    const size_t room = FAILURE_MAX - sizeof(": ") - sizeof("...");
    const size_t why_length = strlen(why), label_length = strlen(label);
    const size_t left = why_length < room ? room - why_length : 0;
    const size_t shown = left < label_length ? text_cut(label, left) : label_length;

    snprintf(text, FAILURE_MAX, "%.*s%s: %s", (int)shown, label,
             shown < label_length ? "..." : "", why);
    return text;
}

/* The request is over: tells whoever asked. */
static void respond(struct session *session, const struct request_stats *row,
                    const char *failure, bool cancelled)
{
    const struct exchange *const exchange = &session->exchange;
    struct response *const response = arena_alloc(&session->arena, sizeof(*response));
    const response_callback on_response = session->on_response;

    *response = (struct response){
        .cancelled = cancelled,
        .detail = exchange->detail,
        .status = exchange->status,
        .label = row->row.name, /* as the row, it stays */
        .reason = exchange->reason != NULL ? exchange->reason : "",
        .url = session->url,
        .head = exchange->head,
        .head_size = exchange->head_size,
        .body = exchange->body_data != NULL ? exchange->body_data : "",
        .body_size = exchange->body_length,
        .elapsed_us = exchange->ended_us - session->started_us,
        .redirects = session->redirects,
    };
    if (failure != NULL)
        response->failure = format_failure(session, response->label, failure);
    session->busy = false;
    if (failure == NULL && session->context->on_answer != NULL)
        session->context->on_answer(session, exchange, response);
    on_response(session, response, session->data);
}

static void start_hop(struct session *session, uint64_t now_us);

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 ||
           status == 308;
}

/* RFC 9110, 15.4: 303 asks with GET, and so, by long habit, do 301 and 302 after a POST;
 * 307 and 308 repeat the request as it was. */
static void change_method(struct session *session, int status)
{
    const bool becomes_get =
        (status == 303 && strcmp(session->method, "HEAD") != 0) ||
        ((status == 301 || status == 302) && strcmp(session->method, "POST") == 0);

    if (!becomes_get)
        return;
    session->method = "GET";
    session->drop_body = true;
}

/* Goes where the answer points. False: it points nowhere, and is the answer itself. */
static bool follow_redirect(struct session *session, const struct request_stats *row)
{
    const struct exchange *const exchange = &session->exchange;
    size_t length;
    const char *location, *target;

    if (!session->request->follow || !is_redirect(exchange->status))
        return false;
    location = exchange_header(exchange, "Location", &length);
    if (location == NULL)
        return false;
    if (session->redirects == REDIRECTS_MAX) {
        respond(session, row, "over 10 redirects", false);
        return true;
    }
    target =
        url_resolve(&session->arena, session->url, target_origin_length(session->url),
                    arena_strndup(&session->arena, location, length));
    if (target == NULL || target_scheme(target) == NULL) {
        respond(session, row, "the redirect's Location is no HTTP URL", false);
        return true;
    }
    session->redirects++;
    session->drop_secrets |= !url_same_origin(session->url, target);
    change_method(session, exchange->status);
    session->url = target;
    start_hop(session, clock_us());
    return true;
}

static void on_hop_done(struct exchange *exchange)
{
    struct session *const session = exchange->data;
    struct request_stats *const row = find_row(session);

    record_hop(session, row);
    take_cookies(session);
    if (exchange->complete && follow_redirect(session, row))
        return;
    respond(session, row, exchange->complete ? NULL : exchange->failure, false);
}

/* --- sending ------------------------------------------------------------------------ */

static bool is_secret(const char *line)
{
    return header_is_named(line, "Authorization") || header_is_named(line, "Cookie");
}

/* The headers without those that are only for the host that was asked first. */
static header_lines without_secrets(struct session *session, header_lines lines)
{
    size_t count = 0, kept = 0;
    const char **copy;

    if (lines == NULL || !session->drop_secrets)
        return lines;
    while (lines[count] != NULL)
        count++;
    copy = arena_alloc(&session->arena, (count + 1) * sizeof(*copy));
    for (size_t i = 0; i < count; i++) {
        if (!is_secret(lines[i]))
            copy[kept++] = lines[i];
    }
    copy[kept] = NULL;
    return copy;
}

static uint64_t time_left_us(const struct session *session, uint64_t now_us)
{
    return now_us + US_PER_MS < session->deadline_us ? session->deadline_us - now_us
                                                     : US_PER_MS;
}

/* Of which a server expects to hear that they have no body: Content-Length: 0. */
static bool says_empty_body(const char *method)
{
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
           strcmp(method, "PATCH") == 0;
}

/* A Cookie header of the session or the request is all there is. */
static const char *cookies_of_hop(struct session *session)
{
    const struct exchange *const exchange = &session->exchange;

    if (session->cookies == NULL || exchange_own_line(exchange, "Cookie") != NULL)
        return NULL;
    return cookies_for(session->cookies, session->url, time(NULL), &session->arena);
}

static void start_hop(struct session *session, uint64_t now_us)
{
    const struct request *const request = session->request;
    const bool with_body = request->body != NULL && !session->drop_body;
    const char *const no_body = says_empty_body(session->method) ? "" : NULL;

    session->exchange = (struct exchange){
        .method = session->method,
        .url = session->url,
        .headers = without_secrets(session, request->headers),
        .user_headers =
            without_secrets(session, (header_lines)(const void *)session->headers),
        .content_type = with_body ? request->content_type : NULL,
        .body = with_body ? request->body : no_body,
        .body_size = with_body ? request->body_size : 0,
        .started_us = now_us,
        .timeout_us = time_left_us(session, now_us),
        .verify = session->verify,
        .keep_body = request->keep_body,
        .arena = &session->arena,
        .on_done = on_hop_done,
        .data = session,
    };
    session->exchange.cookies = cookies_of_hop(session);
    if (session->context->on_sending != NULL)
        session->context->on_sending(session, &session->exchange);
    session->context->transport_type->start(session->user, &session->exchange);
}

int session_send(struct session *session, const struct request *request,
                 response_callback on_response, void *data, struct error *err)
{
    const double timeout_s =
        request->timeout_s > 0 ? request->timeout_s : session->timeout_s;

    if (check_request(session, request, err) == -1)
        return -1;
    session->url = request->url;
    if (!target_is_absolute(request->url))
        session->url =
            url_cache_resolve(&session->context->urls, &session->arena,
                              session->base_url, session->origin_length, request->url);
    if (session->url == NULL)
        return error_set(err, "'%s' is no URL", request->url);
    session->busy = true;
    session->request = request;
    session->on_response = on_response;
    session->data = data;
    session->method = request->method;
    session->drop_body = false;
    session->drop_secrets = false;
    session->redirects = 0;
    session->started_us = clock_us();
    session->deadline_us = session->started_us + (uint64_t)(timeout_s * US_PER_S);
    start_hop(session, session->started_us);
    return 0;
}

void session_cancel(struct session *session)
{
    struct request_stats *row;

    if (!session->busy)
        return;
    session->context->transport_type->cancel(&session->exchange);
    row = find_row(session);
    record_hop(session, row);
    respond(session, row, "cut by the forced end of the test", true);
}

/* --- the session -------------------------------------------------------------------- */

static int check_options(const struct session_options *options, struct error *err)
{
    if (check_headers(options->headers, err) == -1)
        return -1;
    if (options->base_url != NULL && !target_is_absolute(options->base_url))
        return error_set(err, "the base URL '%s' is not absolute: it takes http://...",
                         options->base_url);
    if (!(options->timeout_s > 0 && options->timeout_s <= REQUEST_TIMEOUT_MAX_S))
        return error_set(err, "a session's time-out is over 0 and up to %g seconds",
                         REQUEST_TIMEOUT_MAX_S);
    return 0;
}

static char **copy_lines(header_lines lines)
{
    size_t count = 0;
    char **copy;

    if (lines == NULL || lines[0] == NULL)
        return NULL;
    while (lines[count] != NULL)
        count++;
    copy = xcalloc(count + 1, sizeof(*copy));
    for (size_t i = 0; i < count; i++)
        copy[i] = xstrdup(lines[i]);
    return copy;
}

void session_context_clear(struct session_context *context)
{
    arena_pool_clear(&context->arenas);
    url_cache_clear(&context->urls);
}

int session_new(struct session_context *context, const struct session_options *options,
                void *owner, struct session **ret_session, struct error *err)
{
    struct session *session;

    if (check_options(options, err) == -1)
        return -1;
    session = xcalloc(1, sizeof(*session));
    session->context = context;
    session->arena.pool = &context->arenas;
    session->owner = owner;
    session->user = context->transport_type->user_new(context->transport);
    session->base_url = options->base_url != NULL ? xstrdup(options->base_url) : NULL;
    session->origin_length =
        options->base_url != NULL ? target_origin_length(options->base_url) : 0;
    session->headers = copy_lines(options->headers);
    session->timeout_s = options->timeout_s;
    session->verify = options->verify;
    *ret_session = session;
    return 0;
}

void session_destroy(struct session *session)
{
    if (session == NULL)
        return;
    session_cancel(session);
    session->context->transport_type->user_destroy(session->user);
    for (char **line = session->headers; line != NULL && *line != NULL; line++)
        free(*line);
    free(session->headers);
    free(session->base_url);
    cookies_destroy(session->cookies);
    arena_clear(&session->arena);
    free(session);
}

void *session_owner(const struct session *session)
{
    return session->owner;
}

void session_release(struct session *session)
{
    arena_clear(&session->arena);
}

struct arena *session_arena(struct session *session)
{
    return &session->arena;
}
