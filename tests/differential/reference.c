#include "differential/reference.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "http/exchange.h"

struct text {
    const char *at;
    size_t size;
};

/* What is left to read, and what the head says. */
struct reading {
    struct text rest;
    bool to_head, is_1_0, has_length, is_chunked, in_status_line;
    uint64_t length;
    size_t head_size; /* as ANSWER_HEAD_MAX counts it: each line with one for its end */
    unsigned status;
};

enum { LENGTH_DIGITS = 18, CHUNK_DIGITS = 16, CHUNK_LINE_MAX = 4096 };

static struct text skip(struct text text, size_t size)
{
    return (struct text){text.at + size, text.size - size};
}

static bool begins_with(struct text text, const char *word)
{
    return text.size >= strlen(word) && memcmp(text.at, word, strlen(word)) == 0;
}

static bool is_word(struct text text, const char *word)
{
    return text.size == strlen(word) && strncasecmp(text.at, word, text.size) == 0;
}

static struct text trim(struct text text)
{
    while (text.size > 0 && (*text.at == ' ' || *text.at == '\t'))
        text = skip(text, 1);
    while (text.size > 0 &&
           (text.at[text.size - 1] == ' ' || text.at[text.size - 1] == '\t'))
        text.size--;
    return text;
}

static bool all_of(struct text text, const char *letters)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] == '\0' || strchr(letters, text.at[i]) == NULL)
            return false;
    }
    return true;
}

/* Takes the next line, without its end. One that is longer than `max`, cut or not, has
 * the flaw `too_long`. */
static enum flaw take_line(struct reading *reading, size_t max, enum flaw too_long,
                           struct text *ret_line)
{
    const struct text rest = reading->rest;
    const char *const end = memchr(rest.at, '\n', rest.size);
    struct text line = {rest.at, end != NULL ? (size_t)(end - rest.at) : rest.size};

    if (line.size > max)
        return too_long;
    if (end == NULL)
        return FLAW_CUT;
    reading->rest = skip(rest, line.size + 1);
    if (line.size == 0 || line.at[line.size - 1] != '\r')
        return FLAW_BARE_LF;
    line.size--;
    if (memchr(line.at, '\r', line.size) != NULL)
        return FLAW_BARE_CR;
    if (memchr(line.at, '\0', line.size) != NULL)
        return FLAW_NUL;
    *ret_line = line;
    return FLAW_NONE;
}

static enum flaw take_status_line(struct reading *reading)
{
    static const char digits[] = "0123456789";
    struct text line;
    enum flaw flaw;

    if (reading->rest.size >= 7 && !begins_with(reading->rest, "HTTP/1."))
        return FLAW_STATUS_LINE;
    reading->in_status_line = reading->rest.size > 0;
    flaw = take_line(reading, ANSWER_HEAD_MAX, FLAW_OTHER, &line);
    if (flaw != FLAW_NONE)
        return flaw;
    reading->in_status_line = false;
    if (line.size < 12 || !(line.at[7] == '0' || line.at[7] == '1') ||
        line.at[8] != ' ' || !all_of((struct text){line.at + 9, 3}, digits) ||
        line.at[9] == '0' || (line.size > 12 && line.at[12] != ' '))
        return FLAW_STATUS_LINE;
    reading->is_1_0 = line.at[7] == '0';
    reading->status = (unsigned)(line.at[9] - '0') * 100 +
                      (unsigned)(line.at[10] - '0') * 10 +
                      (unsigned)(line.at[11] - '0');
    reading->has_length = reading->is_chunked = false;
    reading->head_size = 0;
    return FLAW_NONE;
}

static enum flaw note_length(struct reading *reading, struct text value)
{
    uint64_t length = 0;

    if (value.size == 0 || value.size > LENGTH_DIGITS || !all_of(value, "0123456789"))
        return FLAW_OTHER;
    for (size_t i = 0; i < value.size; i++)
        length = length * 10 + (uint64_t)(value.at[i] - '0');
    if (reading->has_length && reading->length != length)
        return FLAW_OTHER;
    reading->has_length = true;
    reading->length = length;
    return FLAW_NONE;
}

static enum flaw note_coding(struct reading *reading, struct text value)
{
    if (reading->is_chunked || !is_word(value, "chunked"))
        return FLAW_CODING;
    reading->is_chunked = true;
    return FLAW_NONE;
}

/* Also one of a trailer. */
static enum flaw take_header(struct reading *reading, struct text line, bool is_trailer)
{
    const char *const colon = memchr(line.at, ':', line.size);
    const struct text name = {line.at, colon != NULL ? (size_t)(colon - line.at) : 0};
    struct text value;

    if (line.at[0] == ' ' || line.at[0] == '\t')
        return FLAW_FOLDED;
    if (name.size == 0 ||
        !all_of(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
        return FLAW_NAME;
    value = trim(skip(line, name.size + 1));
    if (is_word(name, "Content-Length") && !is_trailer)
        return note_length(reading, value);
    if (is_word(name, "Transfer-Encoding") && !is_trailer)
        return note_coding(reading, value);
    return FLAW_NONE;
}

/* Header lines until an empty one, which needs no room. */
static enum flaw take_headers(struct reading *reading, bool are_trailers)
{
    struct text line;
    enum flaw flaw;

    do {
        const size_t room = ANSWER_HEAD_MAX - reading->head_size;

        flaw = take_line(reading, room > 0 ? room : 1, FLAW_OTHER, &line);
        if (flaw == FLAW_NONE && line.size > 0)
            flaw = take_header(reading, line, are_trailers);
        if (flaw != FLAW_NONE)
            return flaw;
        reading->head_size += line.size > 0 ? line.size + 1 : 0;
    } while (line.size > 0);
    return FLAW_NONE;
}

/* The last head: those of a 1xx come before it. */
static enum flaw take_head(struct reading *reading)
{
    enum flaw flaw;

    do {
        flaw = take_status_line(reading);
        if (flaw == FLAW_NONE)
            flaw = take_headers(reading, false);
        if (flaw != FLAW_NONE)
            return flaw;
        if (reading->is_chunked && reading->is_1_0)
            return FLAW_CODING_IN_1_0;
        if (reading->is_chunked && reading->has_length)
            return FLAW_CODING_AND_LENGTH;
        if (reading->status == 101)
            return FLAW_OTHER;
    } while (reading->status < 200);
    return FLAW_NONE;
}

static enum flaw take_bytes(struct reading *reading, uint64_t count)
{
    if (reading->rest.size < count)
        return FLAW_CUT;
    reading->rest = skip(reading->rest, (size_t)count);
    return FLAW_NONE;
}

static enum flaw take_chunk_size(struct reading *reading, uint64_t *ret_size)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    struct text line, extension;
    uint64_t size = 0;
    size_t count = 0;
    const enum flaw flaw =
        take_line(reading, CHUNK_LINE_MAX, FLAW_LONG_CHUNK_LINE, &line);

    if (flaw != FLAW_NONE)
        return flaw;
    for (; count < line.size && strchr(digits, line.at[count]) != NULL; count++) {
        const char letter = line.at[count];

        size = size << 4 | (uint64_t)(letter <= '9' ? letter - '0' : (letter & 7) + 9);
    }
    extension = skip(line, count);
    if (count == 0 || count > CHUNK_DIGITS ||
        (extension.size > 0 && !begins_with(trim(extension), ";")))
        return FLAW_CHUNK;
    *ret_size = size;
    return FLAW_NONE;
}

static enum flaw take_chunks(struct reading *reading)
{
    uint64_t size = 0;
    enum flaw flaw;

    while ((flaw = take_chunk_size(reading, &size)) == FLAW_NONE && size > 0) {
        flaw = take_bytes(reading, size);
        if (flaw != FLAW_NONE)
            return flaw;
        if (reading->rest.size < 2)
            return reading->rest.size == 1 && *reading->rest.at != '\r' ? FLAW_CHUNK
                                                                        : FLAW_CUT;
        if (!begins_with(reading->rest, "\r\n"))
            return FLAW_CHUNK;
        reading->rest = skip(reading->rest, 2);
    }
    return flaw != FLAW_NONE ? flaw : take_headers(reading, true);
}

static enum flaw take_body(struct reading *reading)
{
    if (reading->to_head || reading->status == 204 || reading->status == 304)
        return FLAW_NONE;
    if (reading->is_chunked)
        return take_chunks(reading);
    return take_bytes(reading,
                      reading->has_length ? reading->length : reading->rest.size);
}

enum flaw reference_flaw(const struct script *script, bool *ret_in_status_line)
{
    struct reading reading = {
        .rest = {script->bytes.data != NULL ? script->bytes.data : "",
                 script->bytes.size},
        .to_head = strcmp(script->method, "HEAD") == 0,
    };
    enum flaw flaw = take_head(&reading);

    if (flaw == FLAW_NONE)
        flaw = take_body(&reading);
    if (flaw == FLAW_NONE && reading.rest.size > 0)
        flaw = FLAW_LEFTOVERS;
    *ret_in_status_line = flaw == FLAW_CUT && reading.in_status_line;
    return flaw;
}
