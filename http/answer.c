#include "http/answer.h"

#include <string.h>

#include "base/text.h"

enum {
    LINE_FIRST = 128,
    LINE_UNCHECKED = 1024, /* shorter than any limit */
    CHUNK_LINE_MAX = 4096, /* a chunk's size and its extensions */
    CHUNK_DIGITS_MAX = 16, /* of 64 bits */
};

static const char http_1[] = "HTTP/1.", line_end[] = "\r\n";

static const char bad_line[] = "a header line of the answer is not well-formed";
static const char bad_chunks[] = "the answer's chunked body is broken";
static const char bad_coding[] = "the answer's Transfer-Encoding is not \"chunked\"";
static const char old_coding[] = "the answer is HTTP/1.0, but has a Transfer-Encoding";
static const char two_lengths[] =
    "the answer has both a Transfer-Encoding and a Content-Length";
static const char switched[] =
    "the server changed the protocol, but nobody asked it to";

/* A whole line, without its CR LF, which is still behind it. */
struct line {
    const char *text; /* NULL: it is not whole yet */
    size_t length;
};

/* --- the end of an answer --------------------------------------------------------- */

/* The exchange says why. */
static void refuse(struct answer *answer)
{
    answer->state = ANSWER_REFUSED;
    answer->keep_alive = false;
    exchange_end_body(answer->exchange);
}

static void refuse_because(struct answer *answer, const char *failure,
                           const char *detail)
{
    answer->exchange->failure = failure;
    answer->exchange->detail = detail;
    refuse(answer);
}

/* For what is wrong in a line, or at its end. */
static void refuse_line(struct answer *answer, const char *detail)
{
    static const char *const failures[] = {
        [ANSWER_STATUS_LINE] = failure_not_http, [ANSWER_HEADER_LINE] = bad_line,
        [ANSWER_CHUNK_SIZE] = bad_chunks,        [ANSWER_CHUNK_END] = bad_chunks,
        [ANSWER_TRAILER_LINE] = bad_line,
    };

    refuse_because(answer, failures[answer->state], detail);
}

static void complete(struct answer *answer)
{
    if (exchange_end_body(answer->exchange) == -1)
        refuse(answer);
    else
        answer->state = ANSWER_COMPLETE;
}

/* --- lines ------------------------------------------------------------------------ */

static size_t lesser(uint64_t left, size_t right)
{
    return left < right ? (size_t)left : right;
}

/* Whether `data` begins as `expected` goes on after what came before: so that what can
 * never become right is refused at once, and not when a line end comes, if ever. */
static bool goes_on_as(const char *expected, size_t length, size_t before,
                       const char *data, size_t size)
{
    return before >= length ||
           memcmp(expected + before, data, lesser(length - before, size)) == 0;
}

/* For what came of a line so far. Each line is held to its limit when it is whole: only one
 * that goes on and on is looked at before. */
static bool has_room(const struct answer *answer, size_t size)
{
    if (size <= LINE_UNCHECKED)
        return true;
    switch (answer->state) {
    case ANSWER_HEADER_LINE:
    case ANSWER_TRAILER_LINE:
        return size <= exchange_head_room(answer->exchange); /* CR for LF */
    case ANSWER_CHUNK_SIZE:
        return size <= CHUNK_LINE_MAX;
    default:
        return size <= ANSWER_HEAD_MAX;
    }
}

static void refuse_long_line(struct answer *answer)
{
    if (answer->state == ANSWER_CHUNK_SIZE)
        refuse_line(answer, "the line of a chunk's size is over 4 KiB");
    else
        refuse_because(answer, failure_large_head, NULL);
}

/* The caller has seen that it is not too long. */
static void keep_piece(struct answer *answer, const char *data, size_t size)
{
    const size_t needed = answer->line_size + size;
    size_t grown = answer->line_capacity > 0 ? answer->line_capacity : LINE_FIRST;

    while (grown < needed)
        grown *= 2;
    if (grown > answer->line_capacity) {
        answer->line =
            arena_grow(answer->exchange->arena, answer->line, answer->line_size, grown);
        answer->line_capacity = grown;
    }
    memcpy(answer->line + answer->line_size, data, size);
    answer->line_size = needed;
}

/* False, and the answer is refused: there is a byte in the text that is no line's. */
static bool check_text(struct answer *answer, const char *text, size_t size)
{
    if (memchr(text, '\r', size) != NULL)
        refuse_line(answer, "a CR is in the middle of a line");
    else if (memchr(text, '\0', size) != NULL)
        refuse_line(answer, "a NUL is in a line");
    return !answer_is_over(answer);
}

/* `text` came before a line feed. The text of a header line is checked with its whole
 * head: see end_head(). */
static struct line end_line(struct answer *answer, const char *text, size_t size)
{
    const struct line line = {text, size - 1};

    if (size == 0 || text[size - 1] != '\r') {
        refuse_line(answer, "a line ends without CR");
        return (struct line){.text = NULL};
    }
    if (answer->state != ANSWER_HEADER_LINE && !check_text(answer, text, line.length))
        return (struct line){.text = NULL};
    return line;
}

/* Takes what `data` has of a line. Where it has all of it nothing is copied. */
static size_t take_line(struct answer *answer, const char *data, size_t size,
                        struct line *ret_line)
{
    const char *const end = memchr(data, '\n', size);
    const size_t piece = end != NULL ? (size_t)(end - data) : size;

    *ret_line = (struct line){.text = NULL};
    if (!has_room(answer, answer->line_size + piece)) {
        refuse_long_line(answer);
        return size;
    }
    if (end != NULL && answer->line_size == 0) {
        *ret_line = end_line(answer, data, piece);
        return piece + 1;
    }
    keep_piece(answer, data, piece);
    if (end == NULL)
        return size;
    *ret_line = end_line(answer, answer->line, answer->line_size);
    answer->line_size = 0; /* its bytes stay until the next piece of a line */
    return piece + 1;
}

/* --- the head --------------------------------------------------------------------- */

/* "0 200 OK" or "1 200", after "HTTP/1.": any status of three digits from 100 on. */
static bool is_status(const char *text, size_t length)
{
    return length >= 5 && (text[0] == '0' || text[0] == '1') && text[1] == ' ' &&
           text_is_digit(text[2]) && text[2] != '0' && text_is_digit(text[3]) &&
           text_is_digit(text[4]) && (length == 5 || text[5] == ' ');
}

static void begin_head(struct answer *answer, const struct line *line)
{
    const char *const text = line->text + sizeof(http_1) - 1;
    const size_t length = line->length - (sizeof(http_1) - 1);
    const size_t reason = length > 6 ? 6 : length;

    if (!is_status(text, length)) {
        refuse_line(answer, "its status line is not well-formed");
        return;
    }
    answer->is_http_1_0 = text[0] == '0';
    answer->keep_alive = text[0] == '1';
    answer->is_chunked = false;
    answer->says_close = false;
    answer->state = ANSWER_HEADER_LINE;
    exchange_begin_head(answer->exchange,
                        (text[2] - '0') * 100 + (text[3] - '0') * 10 + text[4] - '0',
                        text + reason, length - reason);
}

/* A list as in "keep-alive, Upgrade". */
static void note_connection(struct answer *answer, const char *value, size_t length)
{
    const char *word;
    size_t size;

    while ((word = text_next_element(&value, &length, &size)) != NULL) {
        answer->says_close |= text_is_word(word, size, "close");
        answer->keep_alive |= text_is_word(word, size, "keep-alive");
    }
}

static void note_transfer_coding(struct answer *answer, const char *value,
                                 size_t length)
{
    value = text_trim(value, &length);
    if (answer->is_chunked || !text_is_word(value, length, "chunked"))
        refuse_because(answer, bad_coding, NULL);
    answer->is_chunked = true;
}

/* What of a header matters to the connection; its length is the exchange's to note. */
static void note_header(struct answer *answer, const struct line *line,
                        size_t name_length)
{
    const char *const value =
        line->text + name_length + 1; /* blanks may be around it */
    const size_t length = line->length - name_length - 1;

    if (text_is_word(line->text, name_length, "Connection"))
        note_connection(answer, value, length);
    else if (text_is_word(line->text, name_length, "Transfer-Encoding"))
        note_transfer_coding(answer, value, length);
}

/* Also a line of the trailer. */
static void add_line(struct answer *answer, const struct line *line)
{
    const size_t name_length = text_token_length(line->text); /* its CR is none */

    if (name_length == 0 || line->text[name_length] != ':')
        refuse_line(answer, "it does not begin with a name and a colon");
    else if (exchange_add_line(answer->exchange, line->text, line->length) == -1)
        refuse(answer);
    else if (answer->state == ANSWER_HEADER_LINE)
        note_header(answer, line, name_length);
}

/* RFC 9112, 6.3. */
static void begin_body(struct answer *answer)
{
    const struct exchange *const exchange = answer->exchange;

    if (answer->to_head || exchange->status == 204 || exchange->status == 304 ||
        (exchange->facts.has_length && exchange->facts.length == 0)) {
        complete(answer);
    } else if (answer->is_chunked) {
        answer->state = ANSWER_CHUNK_SIZE;
    } else if (exchange->facts.has_length) {
        answer->state = ANSWER_BODY_OF_LENGTH;
        answer->left = exchange->facts.length;
    } else {
        answer->state = ANSWER_BODY_UNTIL_CLOSE;
        answer->keep_alive = false;
    }
}

/* `head_end` is the byte after its empty line. */
static void keep_as_seen(const struct answer *answer, const char *head_end)
{
    struct seen_head *const seen = answer->seen;
    const char *const start = answer->head_data;

    if (seen == NULL || start == NULL ||
        !seen_head_keep(seen, start, (size_t)(head_end - start), answer->exchange))
        return;
    seen->is_chunked = answer->is_chunked;
    seen->keep_alive = answer->keep_alive;
}

static void accept_head(struct answer *answer, const char *head_end)
{
    keep_as_seen(answer, head_end);
    begin_body(answer);
}

/* It was accepted before. */
static size_t take_seen_head(struct answer *answer)
{
    struct seen_head *const seen = answer->seen;

    seen_head_replay(seen, answer->exchange);
    answer->is_chunked = seen->is_chunked;
    answer->keep_alive = seen->keep_alive;
    exchange_end_head(answer->exchange);
    begin_body(answer);
    return seen->raw_size;
}

static void end_head(struct answer *answer, const char *head_end)
{
    const struct exchange *const exchange = answer->exchange;

    answer->keep_alive = answer->keep_alive && !answer->says_close;
    if (exchange->head_size > 0 &&
        !check_text(answer, exchange->head, exchange->head_size))
        return;
    if (exchange_end_head(answer->exchange) == -1)
        refuse(answer);
    else if (answer->is_chunked && answer->is_http_1_0)
        refuse_because(answer, old_coding, NULL);
    else if (answer->is_chunked && exchange->facts.has_length)
        refuse_because(answer, two_lengths, NULL);
    else if (exchange->status == 101)
        refuse_because(answer, switched, NULL);
    else if (exchange->status < 200)
        answer->state = ANSWER_STATUS_LINE;
    else
        accept_head(answer, head_end);
}

static size_t take_status_line(struct answer *answer, const char *data, size_t size)
{
    struct line line;
    size_t taken;

    if (answer->line_size == 0) {
        if (answer->seen != NULL && seen_head_is_at(answer->seen, data, size))
            return take_seen_head(answer);
        answer->head_data = data;
    }
    if (!goes_on_as(http_1, sizeof(http_1) - 1, answer->line_size, data, size)) {
        refuse_line(answer, "it does not begin with HTTP/1.");
        return size;
    }
    taken = take_line(answer, data, size, &line);
    if (line.text != NULL)
        begin_head(answer, &line);
    return taken;
}

static size_t take_header_line(struct answer *answer, const char *data, size_t size)
{
    struct line line;
    const size_t taken = take_line(answer, data, size, &line);

    if (line.text == NULL)
        return taken;
    if (line.length == 0)
        end_head(answer, data + taken);
    else
        add_line(answer, &line);
    return taken;
}

/* --- the body --------------------------------------------------------------------- */

/* Of what has a length: the body, or a chunk. */
static size_t take_part(struct answer *answer, const char *data, size_t size)
{
    const size_t taken = lesser(answer->left, size);

    answer->left -= taken;
    if (exchange_add_body(answer->exchange, data, taken) == -1)
        refuse(answer);
    return taken;
}

static size_t take_body_of_length(struct answer *answer, const char *data, size_t size)
{
    const size_t taken = take_part(answer, data, size);

    if (answer->left == 0 && !answer_is_over(answer))
        complete(answer);
    return taken;
}

static size_t take_body_until_close(struct answer *answer, const char *data,
                                    size_t size)
{
    if (exchange_add_body(answer->exchange, data, size) == -1)
        refuse(answer);
    return size;
}

/* The value of a hexadecimal digit, or -1. */
static int digit_value(char letter)
{
    if (text_is_digit(letter))
        return letter - '0';
    if (letter >= 'a' && letter <= 'f')
        return letter - 'a' + 10;
    if (letter >= 'A' && letter <= 'F')
        return letter - 'A' + 10;
    return -1;
}

/* Nothing, or "; name=value", with blanks in front (RFC 9112, 7.1.1). */
static bool is_extension(const char *text, size_t length)
{
    size_t trimmed = length;
    const char *const extension = text_trim(text, &trimmed);

    return length == 0 || (trimmed > 0 && *extension == ';');
}

/* "1a2b", or "1a2b; and an extension", which nobody needs. */
static bool read_chunk_size(const struct line *line, uint64_t *ret_size)
{
    uint64_t size = 0;
    size_t digits = 0;
    int value;

    while (digits < line->length && (value = digit_value(line->text[digits])) != -1) {
        if (digits++ == CHUNK_DIGITS_MAX)
            return false;
        size = size << 4 | (uint64_t)value;
    }
    *ret_size = size;
    return digits > 0 && is_extension(line->text + digits, line->length - digits);
}

static size_t take_chunk_size(struct answer *answer, const char *data, size_t size)
{
    struct line line;
    const size_t taken = take_line(answer, data, size, &line);

    if (line.text == NULL)
        return taken;
    if (!read_chunk_size(&line, &answer->left))
        refuse_line(answer, "a chunk's size is not a hexadecimal number");
    else
        answer->state = answer->left > 0 ? ANSWER_CHUNK : ANSWER_TRAILER_LINE;
    return taken;
}

static size_t take_chunk(struct answer *answer, const char *data, size_t size)
{
    const size_t taken = take_part(answer, data, size);

    if (answer->left == 0 && !answer_is_over(answer))
        answer->state = ANSWER_CHUNK_END;
    return taken;
}

/* CR LF, of which answer->line_size have come before. */
static size_t take_chunk_end(struct answer *answer, const char *data, size_t size)
{
    const size_t length = sizeof(line_end) - 1;
    const size_t taken = lesser(length - answer->line_size, size);

    if (!goes_on_as(line_end, length, answer->line_size, data, size)) {
        refuse_line(answer, "a chunk is not followed by CR LF");
        return size;
    }
    answer->line_size += taken;
    if (answer->line_size == length) {
        answer->line_size = 0;
        answer->state = ANSWER_CHUNK_SIZE;
    }
    return taken;
}

static size_t take_trailer_line(struct answer *answer, const char *data, size_t size)
{
    struct line line;
    const size_t taken = take_line(answer, data, size, &line);

    if (line.text == NULL)
        return taken;
    if (line.length == 0)
        complete(answer);
    else
        add_line(answer, &line);
    return taken;
}

/* --- all of it -------------------------------------------------------------------- */

void answer_begin(struct answer *answer, struct exchange *exchange,
                  struct seen_head *seen)
{
    *answer = (struct answer){
        .exchange = exchange,
        .seen = seen,
        .state = ANSWER_STATUS_LINE,
        .to_head = strcmp(exchange->method, "HEAD") == 0,
    };
}

size_t answer_feed(struct answer *answer, const char *data, size_t size)
{
    static size_t (*const take[])(struct answer * answer, const char *data,
                                  size_t size) = {
        [ANSWER_STATUS_LINE] = take_status_line,
        [ANSWER_HEADER_LINE] = take_header_line,
        [ANSWER_BODY_OF_LENGTH] = take_body_of_length,
        [ANSWER_BODY_UNTIL_CLOSE] = take_body_until_close,
        [ANSWER_CHUNK_SIZE] = take_chunk_size,
        [ANSWER_CHUNK] = take_chunk,
        [ANSWER_CHUNK_END] = take_chunk_end,
        [ANSWER_TRAILER_LINE] = take_trailer_line,
    };
    size_t taken = 0;

    answer->head_data = NULL;
    while (taken < size && !answer_is_over(answer))
        taken += take[answer->state](answer, data + taken, size - taken);
    return answer->state == ANSWER_REFUSED ? size : taken;
}

/* Why an answer that ends in this state has no end; NULL: it has. */
static const char *cut_failure(const struct answer *answer)
{
    switch (answer->state) {
    case ANSWER_STATUS_LINE:
        return answer->line_size == 0 ? failure_no_answer : failure_cut_head;
    case ANSWER_HEADER_LINE:
        return failure_cut_head;
    case ANSWER_BODY_UNTIL_CLOSE:
        return NULL;
    default:
        return failure_cut_answer;
    }
}

void answer_end_of_input(struct answer *answer)
{
    const char *failure;

    if (answer_is_over(answer))
        return;
    failure = cut_failure(answer);
    if (failure == NULL)
        complete(answer);
    else
        refuse_because(answer, failure, NULL);
}
