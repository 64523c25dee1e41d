#include "http/exchange.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "http/decode.h"

enum {
    HEAD_FIRST = 512, /* most heads fit */
    BODY_FIRST = 1 << 10,
    BODY_RESERVED_MAX = 1 << 20, /* at once, on the word of a Content-Length */
    LENGTH_DIGITS_MAX = 18,      /* so that any sum with it fits */
    DETAIL_MAX = 200,
};

/* --- the words of a failure ------------------------------------------------------- */

const char failure_lookup[] = "the host's name cannot be looked up";
const char failure_no_connection[] = "no connection within the time-out";
const char failure_timeout[] = "no complete answer within the time-out";
const char failure_no_answer[] = "the server closed the connection without an answer";
const char failure_kept_closed[] =
    "the server closed the kept connection without an answer";
const char failure_cut_answer[] = "the answer ended before its end";
const char failure_cut_head[] = "the answer ended within its head";
const char failure_read[] = "the connection broke while the answer was read";
const char failure_write[] = "the connection broke while the request was written";
const char failure_tls[] = "the TLS handshake failed";
const char failure_certificate[] =
    "the server's certificate is not trusted (-k: do not verify)";
const char failure_not_http[] = "the answer is not HTTP";
const char failure_large_head[] = "the answer's head is over 64 KiB";
const char failure_length[] = "the answer's Content-Length is not one number";
const char failure_bad_url[] = "the URL is not valid";
const char failure_scheme[] = "the answer, or the URL, is not HTTP";

static const char many_lines[] = "the answer's head has over 100 lines";
static const char many_heads[] = "over 100 heads of a 1xx came before the answer's";
static const char large_body[] =
    "the answer's body is over 64 MiB: .discard_body = true "
    "counts it without keeping it";
static const char broken_body[] = "the answer's compressed body is broken";

static int fail(struct exchange *exchange, const char *failure, const char *detail)
{
    if (exchange->failure == NULL) {
        exchange->failure = failure;
        exchange->detail = detail;
    }
    return -1;
}

const char *exchange_connect_failure(struct exchange *exchange, int error_number)
{
    char text[DETAIL_MAX];
    const int length =
        snprintf(text, sizeof(text), "cannot connect: %s", strerror(error_number));

    return arena_strndup(exchange->arena, text, (size_t)length);
}

/* --- what the script asks for ----------------------------------------------------- */

const char *exchange_own_line(const struct exchange *exchange, const char *name)
{
    const char *const line = header_find(exchange->headers, name);

    return line != NULL ? line : header_find(exchange->user_headers, name);
}

/* --- bytes that grow in the arena ------------------------------------------------- */

/* Room for `more` bytes at the end of `*data`, which is moved where it has none. */
static char *make_room(struct arena *arena, char **data, size_t size, size_t *capacity,
                       size_t more, size_t first)
{
    if (size + more > *capacity) {
        size_t grown = *capacity > 0 ? *capacity : first;

        while (grown < size + more)
            grown *= 2;
        *data = arena_grow(arena, *data, size, grown);
        *capacity = grown;
    }
    return *data + size;
}

/* --- the head --------------------------------------------------------------------- */

void exchange_begin_head(struct exchange *exchange, int status, const char *reason,
                         size_t reason_length)
{
    exchange->status = status;
    exchange->reason = arena_strndup(exchange->arena, reason, reason_length);
    exchange->head_size = 0;
    exchange->head_ended = false;
    exchange->facts = (struct head_facts){.lines = 0};
}

static bool read_number(const char *digits, size_t count, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (count == 0 || count > LENGTH_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!text_is_digit(digits[i]))
            return false;
        number = number * 10 + (uint64_t)(digits[i] - '0');
    }
    *ret_number = number;
    return true;
}

/* What an answer holds whose length is no number, or two, is not known: it is none. */
static int take_length(struct exchange *exchange, const char *value, size_t size)
{
    uint64_t length;

    if (!read_number(value, size, &length) ||
        (exchange->facts.has_length && exchange->facts.length != length))
        return fail(exchange, failure_length, NULL);
    exchange->facts.has_length = true;
    exchange->facts.length = length;
    return 0;
}

/* What of a header matters to the exchange itself. */
static int note_line(struct exchange *exchange, const char *line, size_t length)
{
    static const char of_length[] = "Content-Length", of_coding[] = "Content-Encoding",
                      of_cookie[] = "Set-Cookie";

    if (header_is(line, length, of_length, sizeof(of_length) - 1)) {
        size_t size;
        const char *const value =
            header_value(line, length, sizeof(of_length) - 1, &size);

        return take_length(exchange, value, size);
    }
    if (header_is(line, length, of_coding, sizeof(of_coding) - 1))
        exchange->facts.codings++;
    if (header_is(line, length, of_cookie, sizeof(of_cookie) - 1))
        exchange->facts.cookies_set++;
    return 0;
}

int exchange_add_line(struct exchange *exchange, const char *line, size_t length)
{
    char *end;

    if (length >= exchange_head_room(exchange))
        return fail(exchange, failure_large_head, NULL);
    if (exchange->facts.lines == ANSWER_LINES_MAX)
        return fail(exchange, many_lines, NULL);
    exchange->facts.lines++;
    exchange->facts.lines_size += length + 1;
    if (exchange->head_ended)
        return 0;
    end = make_room(exchange->arena, &exchange->head, exchange->head_size,
                    &exchange->head_capacity, length + 1, HEAD_FIRST);
    memcpy(end, line, length);
    end[length] = '\n';
    exchange->head_size += length + 1;
    return note_line(exchange, line, length);
}

void exchange_set_lines(struct exchange *exchange, const char *lines,
                        const struct head_facts *facts)
{
    const size_t size = facts->lines_size;

    exchange->facts = *facts;
    if (size == 0)
        return;
    memcpy(make_room(exchange->arena, &exchange->head, exchange->head_size,
                     &exchange->head_capacity, size, HEAD_FIRST),
           lines, size);
    exchange->head_size += size;
}

int exchange_end_head(struct exchange *exchange)
{
    exchange->head_ended = true;
    if (exchange->status < 200 && ++exchange->interim > ANSWER_INTERIM_MAX)
        return fail(exchange, many_heads, NULL);
    return 0;
}

const char *exchange_next_header(const char **line, const char *head_end,
                                 const char *name, size_t *ret_length)
{
    const size_t name_length = strlen(name);

    while (*line < head_end) {
        const char *const start = *line;
        const char *const stop = memchr(start, '\n', (size_t)(head_end - start));
        const char *const end = stop != NULL ? stop : head_end;

        *line = end + (stop != NULL);
        if (header_is(start, (size_t)(end - start), name, name_length))
            return header_value(start, (size_t)(end - start), name_length, ret_length);
    }
    return NULL;
}

const char *exchange_header(const struct exchange *exchange, const char *name,
                            size_t *ret_length)
{
    const char *line = exchange->head;

    if (line == NULL)
        return NULL;
    return exchange_next_header(&line, line + exchange->head_size, name, ret_length);
}

/* --- the body --------------------------------------------------------------------- */

static size_t body_first(const struct exchange *exchange)
{
    if (!exchange->facts.has_length || exchange->decoder != NULL)
        return BODY_FIRST;
    return 1 + (exchange->facts.length < BODY_RESERVED_MAX
                    ? (size_t)exchange->facts.length
                    : BODY_RESERVED_MAX);
}

static int keep(struct exchange *exchange, const char *data, size_t size)
{
    char *end;

    if (size > ANSWER_BODY_MAX - exchange->body_length)
        return fail(exchange, large_body, NULL);
    end = make_room(exchange->arena, &exchange->body_data, exchange->body_length,
                    &exchange->body_capacity, size + 1, body_first(exchange));
    memcpy(end, data, size);
    end[size] = '\0';
    exchange->body_length += size;
    return 0;
}

static int keep_decoded(void *user, const char *data, size_t size)
{
    return keep(user, data, size);
}

/* All values of Content-Encoding, as if they were one. */
static const char *join_codings(struct exchange *exchange, size_t *ret_length)
{
    const char *line = exchange->head, *value;
    const char *const head_end = line + exchange->head_size;
    char *joined = NULL;
    size_t size = 0, capacity = 0, length;

    while ((value = exchange_next_header(&line, head_end, "Content-Encoding",
                                         &length)) != NULL) {
        char *const end =
            make_room(exchange->arena, &joined, size, &capacity, length + 1, 16);

        memcpy(end, value, length);
        end[length] = ',';
        size += length + 1;
    }
    *ret_length = size - 1;
    return joined;
}

static int refuse_coding(struct exchange *exchange, const char *coding, size_t length)
{
    char text[DETAIL_MAX];

    snprintf(text, sizeof(text), "no way to decode '%.*s'", (int)length, coding);
    return fail(exchange, broken_body,
                arena_strndup(exchange->arena, text, strlen(text)));
}

/* Not before a body comes: an answer without one may say what it likes. */
static int open_decoder(struct exchange *exchange)
{
    size_t length;
    const char *const coding = join_codings(exchange, &length);

    switch (decoder_new(coding, length, &exchange->decoder)) {
    case DECODER_NONE:
        exchange->facts.codings = 0;
        return 0;
    case DECODER_MADE:
        return 0;
    case DECODER_REFUSED:
    default:
        return refuse_coding(exchange, coding, length);
    }
}

static int decode(struct exchange *exchange, const char *data, size_t size)
{
    switch (decoder_feed(exchange->decoder, data, size, keep_decoded, exchange)) {
    case 0:
        return 0;
    case -1:
        return -1;
    default:
        return fail(exchange, broken_body, NULL);
    }
}

int exchange_add_body(struct exchange *exchange, const char *data, size_t size)
{
    if (!exchange->keep_body || size == 0)
        return 0;
    if (exchange->facts.codings > 0 && exchange->decoder == NULL &&
        open_decoder(exchange) == -1)
        return -1;
    return exchange->decoder != NULL ? decode(exchange, data, size)
                                     : keep(exchange, data, size);
}

int exchange_end_body(struct exchange *exchange)
{
    bool is_whole;

    if (exchange->decoder == NULL)
        return 0;
    is_whole = decoder_is_at_end(exchange->decoder);
    decoder_destroy(exchange->decoder);
    exchange->decoder = NULL;
    return is_whole ? 0 : fail(exchange, broken_body, "it ends too early");
}

/* --- the time --------------------------------------------------------------------- */

void exchange_set_phase(struct exchange *exchange, enum stats_phase phase,
                        uint64_t from_us, uint64_t until_us)
{
    if (until_us == 0 || until_us < from_us)
        return;
    exchange->phases_us[phase] = until_us - from_us;
    exchange->phase_happened[phase] = true;
}
