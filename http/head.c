#include "http/head.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/memory.h"
#include "base/text.h"
#include "http/hash.h"

enum {
    KEPT_SIZE_MAX = 16 << 10,   /* of a head and what it is made of: see set_apart() */
    COPIED_BODY_MAX = 16 << 10, /* a larger body is written from where it lies */
};

/* --- the key: everything a head is made of -------------------------------------------- */

/* Each text with its NUL; an empty one ends a list of lines, which has none. */

static uint64_t hash_lines(uint64_t hash, header_lines lines)
{
    for (; lines != NULL && *lines != NULL; lines++)
        hash = hash_text(hash, *lines);
    return hash_word(hash, 0);
}

static uint64_t hash_exchange(const struct exchange *exchange)
{
    uint64_t hash = hash_text(exchange->keep_body, exchange->url);

    hash = hash_text(hash, exchange->method);
    hash = hash_lines(hash, exchange->user_headers);
    return hash_lines(hash, exchange->headers);
}

static void add_lines(struct buffer *key, header_lines lines)
{
    for (; lines != NULL && *lines != NULL; lines++)
        buffer_add(key, *lines, strlen(*lines) + 1);
    buffer_add(key, "", 1);
}

static void make_key(struct head *head, const struct exchange *exchange)
{
    struct buffer *const key = &head->key;

    head->keeps_body = exchange->keep_body;
    head->url_size = strlen(exchange->url) + 1;
    head->method_size = strlen(exchange->method) + 1;
    buffer_reset(key);
    buffer_add(key, exchange->url, head->url_size);
    buffer_add(key, exchange->method, head->method_size);
    add_lines(key, exchange->user_headers);
    add_lines(key, exchange->headers);
}

/* Steps over the lines where they come next. */
static bool take_lines(const char **at, header_lines lines)
{
    for (; lines != NULL && *lines != NULL; lines++) {
        if (strcmp(*at, *lines) != 0)
            return false;
        *at += strlen(*lines) + 1;
    }
    return *(*at)++ == '\0';
}

static bool is_head_of(const struct head *head, const struct exchange *exchange)
{
    const char *method, *at;

    if (head->origin == NULL || head->keeps_body != exchange->keep_body)
        return false;
    method = head->key.data + head->url_size;
    at = method + head->method_size;
    return strcmp(head->key.data, exchange->url) == 0 &&
           strcmp(method, exchange->method) == 0 &&
           take_lines(&at, exchange->user_headers) &&
           take_lines(&at, exchange->headers);
}

/* --- making one ----------------------------------------------------------------------- */

/* Whether the path stands in the URL as it goes on the wire: most do, and need no parser.
 * Dots after a slash may be "..", which is resolved. */
static bool goes_as_it_stands(const char *path)
{
    if (*path != '/')
        return false;
    for (; *path != '\0'; path++) {
        if (*path <= ' ' || *path >= 0x7f || *path == '#' ||
            (*path == '/' && (path[1] == '.' || path[1] == '%')))
            return false;
    }
    return true;
}

/* "GET /path?query HTTP/1.1". */
static int add_request_line(struct buffer *bytes, const struct exchange *exchange,
                            const struct origin *origin, const char **ret_failure)
{
    const char *const path = exchange->url + origin->length;
    struct target target;

    buffer_add_text(bytes, exchange->method);
    buffer_add(bytes, " ", 1);
    if (goes_as_it_stands(path)) {
        buffer_add_text(bytes, path);
    } else if (*path == '\0') {
        buffer_add(bytes, "/", 1);
    } else {
        if (target_parse(exchange->url, &target, ret_failure) == -1)
            return -1;
        buffer_add_text(bytes, target.path);
        target_clear(&target);
    }
    buffer_add_text(bytes, " HTTP/1.1\r\n");
    return 0;
}

/* One that is sent unless the script has its own. */
static void add_default(struct buffer *bytes, const struct exchange *exchange,
                        const char *name, const char *value)
{
    if (exchange_own_line(exchange, name) == NULL)
        buffer_printf(bytes, "%s: %s\r\n", name, value);
}

/* User and password that the URL holds (RFC 7617). */
static void add_credentials(struct buffer *bytes, const struct exchange *exchange,
                            const char *credentials)
{
    static const char scheme[] = "Basic ";
    const size_t length = strlen(credentials);
    char *const value = xmalloc(sizeof(scheme) + (length + 2) / 3 * 4);

    strcpy(value, scheme);
    EVP_EncodeBlock((unsigned char *)value + sizeof(scheme) - 1,
                    (const unsigned char *)credentials, (int)length);
    add_default(bytes, exchange, "Authorization", value);
    free(value);
}

/* A list as in "close, TE". */
static bool says_close(const char *line)
{
    static const char name[] = "Connection";
    const size_t length = strlen(line);
    const char *value, *word;
    size_t left, size;

    if (!header_is(line, length, name, sizeof(name) - 1))
        return false;
    value = header_value(line, length, sizeof(name) - 1, &left);
    while ((word = text_next_element(&value, &left, &size)) != NULL) {
        if (text_is_word(word, size, "close"))
            return true;
    }
    return false;
}

/* One of the script's. */
static void add_own(struct head *head, const char *line)
{
    if (header_is_left_out(line))
        return;
    buffer_add_text(&head->bytes, line);
    buffer_add(&head->bytes, "\r\n", 2);
    head->closes |= says_close(line);
}

static void add_headers(struct head *head, const struct exchange *exchange)
{
    const struct target *const target = &head->origin->target;
    struct buffer *const bytes = &head->bytes;

    add_default(bytes, exchange, "Host", target->authority);
    if (target->credentials != NULL)
        add_credentials(bytes, exchange, target->credentials);
    add_default(bytes, exchange, "User-Agent", DEFAULT_USER_AGENT);
    if (exchange->keep_body) {
        add_default(bytes, exchange, "Accept", DEFAULT_ACCEPT);
        add_default(bytes, exchange, "Accept-Encoding", DEFAULT_ACCEPT_ENCODING);
    }
    for (header_lines line = exchange->user_headers; line != NULL && *line != NULL;
         line++) {
        if (!header_is_replaced(*line, exchange->headers))
            add_own(head, *line);
    }
    for (header_lines line = exchange->headers; line != NULL && *line != NULL; line++)
        add_own(head, *line);
}

static int make_bytes(struct head *head, const struct exchange *exchange,
                      const char **ret_failure)
{
    if (exchange_own_line(exchange, "Transfer-Encoding") != NULL) {
        *ret_failure =
            "a Transfer-Encoding of the request's own takes --transport curl";
        return -1;
    }
    buffer_reset(&head->bytes);
    if (add_request_line(&head->bytes, exchange, head->origin, ret_failure) == -1)
        return -1;
    head->closes = false;
    add_headers(head, exchange);
    buffer_add(&head->bytes, "\r\n", 2);
    head->has_length = exchange_own_line(exchange, "Content-Length") != NULL;
    head->has_type = exchange_own_line(exchange, "Content-Type") != NULL;
    return 0;
}

/* --- the table ------------------------------------------------------------------------ */

static void forget_head(struct head *head)
{
    origin_release(head->origin);
    head->origin = NULL;
}

static void clear_head(struct head *head)
{
    forget_head(head);
    buffer_clear(&head->key);
    buffer_clear(&head->bytes);
    seen_head_clear(&head->last_answer);
}

static int make_head(struct heads *heads, struct head *head,
                     const struct exchange *exchange, const char **ret_failure)
{
    forget_head(head);
    seen_head_clear(&head->last_answer);
    head->origin = origins_find(&heads->origins, exchange->url, ret_failure);
    if (head->origin == NULL)
        return -1;
    if (make_bytes(head, exchange, ret_failure) == -1) {
        forget_head(head);
        return -1;
    }
    make_key(head, exchange);
    return 0;
}

static struct head *find_kept(struct heads *heads, const struct exchange *exchange)
{
    const uint64_t hash = hash_exchange(exchange);
    struct head **const place = &heads->kept[hash % HEADS_KEPT];

    if (*place == NULL)
        *place = xcalloc(1, sizeof(**place));
    return *place;
}

/* A large one goes where the next large one takes its place: so what is kept has a bound,
 * whatever a script asks for. */
static struct head *set_apart(struct heads *heads, struct head *head)
{
    if (head->key.size + head->bytes.size <= KEPT_SIZE_MAX)
        return head;
    clear_head(&heads->large);
    heads->large = *head;
    *head = (struct head){.origin = NULL};
    return &heads->large;
}

struct head *heads_find(struct heads *heads, const struct exchange *exchange,
                        struct head *guess, const char **ret_failure)
{
    struct head *head;

    if (guess != NULL && is_head_of(guess, exchange))
        return guess;
    head = find_kept(heads, exchange);
    if (is_head_of(head, exchange))
        return head;
    return make_head(heads, head, exchange, ret_failure) == 0 ? set_apart(heads, head)
                                                              : NULL;
}

void heads_clear(struct heads *heads)
{
    for (size_t i = 0; i < HEADS_KEPT; i++) {
        struct head *const head = heads->kept[i];

        if (head == NULL)
            continue;
        clear_head(head);
        free(head);
        heads->kept[i] = NULL;
    }
    clear_head(&heads->large);
    buffer_clear(&heads->scratch);
    origins_clear(&heads->origins);
}

/* --- a whole request ------------------------------------------------------------------ */

/* Cookies, and what tells of the body, behind a head without its empty line. */
static void add_rest(struct buffer *bytes, const struct head *head,
                     const struct exchange *exchange)
{
    if (exchange->cookies != NULL)
        buffer_printf(bytes, "Cookie: %s\r\n", exchange->cookies);
    if (exchange->body != NULL && !head->has_length)
        buffer_printf(bytes, "Content-Length: %zu\r\n", exchange->body_size);
    if (exchange->body != NULL && !head->has_type && exchange->content_type != NULL)
        buffer_printf(bytes, "Content-Type: %s\r\n", exchange->content_type);
    buffer_add(bytes, "\r\n", 2);
}

static struct iovec piece_of(const void *data, size_t size)
{
    return (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = size};
}

size_t heads_put_together(struct heads *heads, const struct head *head,
                          const struct exchange *exchange, struct iovec ret_pieces[2])
{
    struct buffer *const scratch = &heads->scratch;

    if (exchange->cookies == NULL && exchange->body == NULL) {
        ret_pieces[0] = piece_of(head->bytes.data, head->bytes.size);
        return 1;
    }
    buffer_reset(scratch);
    buffer_add(scratch, head->bytes.data, head->bytes.size - 2);
    add_rest(scratch, head, exchange);
    if (exchange->body_size > COPIED_BODY_MAX) {
        ret_pieces[0] = piece_of(scratch->data, scratch->size);
        ret_pieces[1] = piece_of(exchange->body, exchange->body_size);
        return 2;
    }
    if (exchange->body_size > 0)
        buffer_add(scratch, exchange->body, exchange->body_size);
    ret_pieces[0] = piece_of(scratch->data, scratch->size);
    return 1;
}
