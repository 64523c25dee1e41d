#include "http/curl_request.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "http/names.h"
#include "http/transport.h"

enum { BUFFER_SIZE = 16 << 10 };

/* --- its URL -------------------------------------------------------------------------- */

static const struct curl_target *find_url(const struct curl_request *request,
                                          const char *url)
{
    for (size_t i = 0; i < CURL_URLS_KEPT; i++) {
        const struct curl_target *const kept = &request->urls[i];

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

static void clear_url(struct curl_target *url)
{
    curl_url_cleanup(url->parsed);
    target_clear(&url->target);
    free(url->text);
    *url = (struct curl_target){.text = NULL};
}

/* NULL: it is none, and `ret_failure` says so. */
static const struct curl_target *parse_url(struct curl_request *request,
                                           const char *url, const char **ret_failure)
{
    struct curl_target *const place = &request->urls[request->url_next];

    if (request->url == place) { /* libcurl must not keep what is cleared */
        curl_easy_setopt(request->easy, CURLOPT_CURLU, NULL);
        request->url = NULL;
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
    request->url_next = (request->url_next + 1) % CURL_URLS_KEPT;
    return place;
}

/* A URL that is asked for again is parsed once, instead of by libcurl for each request:
 * that is a tenth of all instructions of a request. -1: it is none. */
int curl_request_set_url(struct curl_request *request, const char *text,
                         const char **ret_failure)
{
    const struct curl_target *url = find_url(request, text);

    if (url != NULL && url == request->url)
        return 0;
    if (url == NULL && (url = parse_url(request, text, ret_failure)) == NULL)
        return -1;
    request->url = url;
    curl_easy_setopt(request->easy, CURLOPT_CURLU, url->parsed);
    if (url->target.socket_path != NULL || request->with_socket)
        curl_easy_setopt(request->easy, CURLOPT_UNIX_SOCKET_PATH,
                         url->target.socket_path);
    request->with_socket = url->target.socket_path != NULL;
    return 0;
}

/* --- its headers ---------------------------------------------------------------------- */

static struct curl_slist *add_line(struct curl_slist *list, const char *line)
{
    struct curl_slist *const longer = curl_slist_append(list, line);

    if (longer == NULL)
        abort(); /* small and fixed: dies like xmalloc() */
    return longer;
}

/* The line with which libcurl is told a header: "Name;" is one without a value, while
 * "Name:" keeps libcurl from sending its own. */
static struct curl_slist *add_header(struct curl_slist *list, const char *line)
{
    const char *const colon = strchr(line, ':');
    char *empty = NULL;

    if (colon != NULL && colon[1 + strspn(colon + 1, " \t")] == '\0' &&
        !header_is_left_out(line))
        empty = xasprintf("%.*s;", (int)(colon - line), line);
    list = add_line(list, empty != NULL ? empty : line);
    free(empty);
    return list;
}

/* What exchange.h says of Accept and Accept-Encoding; the former libcurl adds by itself. */
static struct curl_slist *add_accepts(struct curl_slist *list,
                                      const struct exchange *exchange)
{
    if (!exchange->keep_body)
        return exchange_own_line(exchange, "Accept") == NULL ? add_line(list, "Accept:")
                                                             : list;
    if (exchange_own_line(exchange, "Accept-Encoding") == NULL)
        list = add_line(list, "Accept-Encoding: " DEFAULT_ACCEPT_ENCODING);
    return list;
}

/* Of a request without body: libcurl adds Host and the User-Agent by itself. */
static struct curl_slist *make_headers(const struct exchange *exchange)
{
    struct curl_slist *list = add_accepts(NULL, exchange);

    for (header_lines line = exchange->user_headers; line != NULL && *line != NULL;
         line++) {
        if (!header_is_replaced(*line, exchange->headers))
            list = add_header(list, *line);
    }
    for (header_lines line = exchange->headers; line != NULL && *line != NULL; line++)
        list = add_header(list, *line);
    return list;
}

/* The same list for each such request, so that libcurl is told once. */
static struct curl_slist *take_common_headers(struct curl_common *common,
                                              const struct exchange *exchange)
{
    struct curl_slist **const list = &common->lists[exchange->keep_body];

    if (common->user_headers != exchange->user_headers) {
        curl_common_clear(common);
        common->user_headers = exchange->user_headers;
    }
    if (*list == NULL)
        *list = make_headers(exchange);
    return *list;
}

static struct curl_slist *make_own_headers(const struct exchange *exchange)
{
    struct curl_slist *list = make_headers(exchange);

    if (exchange->body != NULL && exchange_own_line(exchange, "Content-Type") == NULL) {
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
static struct curl_slist *take_own_headers(struct curl_request *request,
                                           const struct exchange *exchange)
{
    const bool is_general = exchange->headers == NULL;

    if (is_general && request->own_is_general && request->own_headers != NULL &&
        same_text(request->own_type, exchange->content_type) &&
        request->own_user == exchange->user_headers &&
        request->own_keeps_body == exchange->keep_body)
        return request->own_headers;
    curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER, NULL);
    request->headers = NULL;
    curl_slist_free_all(request->own_headers);
    request->own_headers = make_own_headers(exchange);
    free(request->own_type);
    request->own_type =
        exchange->content_type != NULL ? xstrdup(exchange->content_type) : NULL;
    request->own_user = exchange->user_headers;
    request->own_keeps_body = exchange->keep_body;
    request->own_is_general = is_general;
    return request->own_headers;
}

static void set_headers(struct curl_request *request, const struct exchange *exchange)
{
    struct curl_slist *list;

    if (exchange->body != NULL || exchange->headers != NULL)
        list = take_own_headers(request, exchange);
    else
        list = take_common_headers(request->common, exchange);
    if (request->headers != list)
        curl_easy_setopt(request->easy, CURLOPT_HTTPHEADER, list);
    request->headers = list;
}

static void set_cookies(struct curl_request *request, const char *cookies)
{
    if (cookies != NULL || request->with_cookies)
        curl_easy_setopt(request->easy, CURLOPT_COOKIE, cookies);
    request->with_cookies = cookies != NULL;
}

/* --- the rest of it ------------------------------------------------------------------- */

static void set_method(struct curl_request *request, const struct exchange *exchange)
{
    const bool with_body = exchange->body != NULL;
    CURL *const easy = request->easy;

    if (!with_body && !request->with_body &&
        strcmp(request->method, exchange->method) == 0)
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
    request->with_body = with_body;
    strncpy(request->method, exchange->method, sizeof(request->method) - 1);
}

void curl_request_forget_body(struct curl_request *request)
{
    if (!request->with_body)
        return;
    curl_easy_setopt(request->easy, CURLOPT_POSTFIELDS, NULL);
    request->method[0] = '\0'; /* it is not set to it any more */
}

static long to_ms(uint64_t us)
{
    return (long)((us + US_PER_MS - 1) / US_PER_MS);
}

/* Of the connection's time, too: its name may have had to be waited for. */
static void set_times(struct curl_request *request, const struct exchange *exchange)
{
    const long timeout_ms = to_ms(transport_time_left_us(exchange));
    const long connect_timeout_ms = to_ms(transport_connect_time_left_us(exchange));

    if (request->timeout_ms != timeout_ms)
        curl_easy_setopt(request->easy, CURLOPT_TIMEOUT_MS, timeout_ms);
    if (request->connect_timeout_ms != connect_timeout_ms)
        curl_easy_setopt(request->easy, CURLOPT_CONNECTTIMEOUT_MS, connect_timeout_ms);
    request->timeout_ms = timeout_ms;
    request->connect_timeout_ms = connect_timeout_ms;
}

static void set_verify(struct curl_request *request, bool verify)
{
    if (request->verify == (int)verify)
        return;
    request->verify = verify;
    curl_easy_setopt(request->easy, CURLOPT_SSL_VERIFYPEER, verify ? 1L : 0L);
    curl_easy_setopt(request->easy, CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L);
}

void curl_request_set(struct curl_request *request, const struct exchange *exchange)
{
    set_method(request, exchange);
    set_headers(request, exchange);
    set_cookies(request, exchange->cookies);
    set_times(request, exchange);
    set_verify(request, exchange->verify);
}

/* --- the handle ----------------------------------------------------------------------- */

/* What is the same for all requests. */
static void set_lasting_options(CURL *easy)
{
    /* The variable by which OpenSSL is told of certificate authorities of one's own. */
    const char *const authorities = getenv("SSL_CERT_FILE");

    curl_easy_setopt(easy, CURLOPT_USERAGENT, DEFAULT_USER_AGENT);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* the load goes where the test says */
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* else parsed for each connection */
    if (authorities != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, authorities);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, -1L); /* see curl_addresses.h */
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)BUFFER_SIZE);
}

void curl_request_open(struct curl_request *request, struct curl_common *common)
{
    *request = (struct curl_request){
        .easy = curl_easy_init(),
        .common = common,
        .verify = -1,
    };
    if (request->easy == NULL)
        abort(); /* small and fixed: dies like xmalloc() */
    set_lasting_options(request->easy);
}

void curl_request_close(struct curl_request *request)
{
    curl_easy_cleanup(request->easy);
    curl_slist_free_all(request->own_headers);
    free(request->own_type);
    for (size_t i = 0; i < CURL_URLS_KEPT; i++)
        clear_url(&request->urls[i]);
}

void curl_common_clear(struct curl_common *common)
{
    curl_slist_free_all(common->lists[false]);
    curl_slist_free_all(common->lists[true]);
    *common = (struct curl_common){.lists = {NULL}};
}
