/* tests/differential/accepted.c - the differences that are meant, each with its reason. A
 * row that matches nothing in a run fails it: the bases (bases.c) have a case for each. */
#include "differential/compare.h"

#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/text.h"

static bool is_flawed(const struct pair *pair)
{
    return pair->flaw != FLAW_NONE && pair->flaw != FLAW_CUT;
}

/* --- libcurl (left) and the direct transport (right) ------------------------------------ */

static bool is_chunked(const struct pair *pair)
{
    size_t length;

    return exchange_header(&pair->left->exchange, "Transfer-Encoding", &length) != NULL;
}

/* The direct transport fails as soon as it reads what is wrong, and says so; for libcurl
 * the answer may go on, and then be cut, or broken in another way. */
static bool direct_names_the_flaw(const struct pair *pair)
{
    const char *const words = pair->right->exchange.failure;

    return is_flawed(pair) && words != failure_no_answer && words != failure_cut_head &&
           words != failure_cut_answer && words != failure_read;
}

/* For libcurl nothing comes before a line has come whole. */
static bool is_cut_in_status_line(const struct pair *pair)
{
    const struct buffer *const bytes = &pair->script->bytes;

    return pair->is_cut_in_status_line ||
           (bytes->size > 0 && memchr(bytes->data, '\n', bytes->size) == NULL);
}

/* Only the LF of the last line is missing. */
static bool is_cut_before_last_lf(const struct pair *pair)
{
    const struct buffer *const bytes = &pair->script->bytes;

    return pair->flaw == FLAW_CUT && bytes->data[bytes->size - 1] == '\r' &&
           is_chunked(pair);
}

/* The last line is the size of a chunk, or a trailer, or has a NUL. */
static bool is_cut_in_refused_line(const struct pair *pair)
{
    const struct buffer *const bytes = &pair->script->bytes;
    const char *const words = pair->right->exchange.failure;

    return pair->flaw == FLAW_CUT &&
           (is_chunked(pair) || memchr(bytes->data, '\0', bytes->size) != NULL) &&
           (words == failure_cut_head || words == failure_cut_answer ||
            words == failure_read);
}

/* Direct looks for a CR or a NUL when the head is whole. */
static bool is_cut_after_bad_byte(const struct pair *pair)
{
    const char *const words = pair->right->exchange.failure;

    return (pair->flaw == FLAW_NUL || pair->flaw == FLAW_BARE_CR) &&
           (words == failure_cut_head || words == failure_read);
}

static bool has_part(const char *text, size_t size, const char *part)
{
    for (size_t i = 0; i + strlen(part) <= size; i++) {
        if (strncasecmp(text + i, part, strlen(part)) == 0)
            return true;
    }
    return false;
}

/* Whether a list such as "x, close" has the word. */
static bool has_word(const char *text, size_t size, const char *word)
{
    const char *const end = text + size;

    while (text < end) {
        const char *const comma = memchr(text, ',', (size_t)(end - text));
        size_t length = (size_t)((comma != NULL ? comma : end) - text);
        const char *const item = text_trim(text, &length);

        if (length == strlen(word) && strncasecmp(item, word, length) == 0)
            return true;
        text = comma != NULL ? comma + 1 : end;
    }
    return false;
}

/* Whether `has` holds for one of the Connection headers. */
static bool connection_says(const struct exchange *exchange, const char *word,
                            bool (*has)(const char *text, size_t size,
                                        const char *word))
{
    static const char name[] = "Connection:";
    const size_t skipped = sizeof(name) - 1;
    const char *line = exchange->head;
    const char *const end = line + exchange->head_size;

    while (line < end) {
        const char *const stop = memchr(line, '\n', (size_t)(end - line));
        const size_t size = (size_t)(stop - line);

        if (size >= skipped && strncasecmp(line, name, skipped) == 0 &&
            has(line + skipped, size - skipped, word))
            return true;
        line = stop + 1;
    }
    return false;
}

/* "Connection: closer", or "keep-alive!", or both "close" and "keep-alive". */
static bool says_unclearly(const struct pair *pair)
{
    const struct exchange *const exchange = &pair->left->exchange;
    const bool close = connection_says(exchange, "close", has_word);
    const bool keep = connection_says(exchange, "keep-alive", has_word);

    return (close && keep) ||
           (!close && connection_says(exchange, "close", has_part)) ||
           (!keep && connection_says(exchange, "keep-alive", has_part));
}

static bool only_1xx_says_close(const struct pair *pair)
{
    const struct buffer *const bytes = &pair->script->bytes;

    return has_part(bytes->data, bytes->size, "\nConnection:") &&
           has_part(bytes->data, bytes->size, "close") &&
           !connection_says(&pair->left->exchange, "close", has_part);
}

static bool has_1xx_of_http_1_0(const struct pair *pair)
{
    const struct buffer *const bytes = &pair->script->bytes;

    return has_part(bytes->data, bytes->size, "HTTP/1.0 1");
}

static bool lasts_until_close(const struct pair *pair)
{
    const struct exchange *const exchange = &pair->left->exchange;
    size_t length;

    return exchange_header(exchange, "Content-Length", &length) == NULL &&
           !is_chunked(pair);
}

/* --- one transport, with the answer whole (left) and cut (right) ------------------------ */

static bool has_line_with_nul_first(const struct pair *pair)
{
    const struct buffer *const bytes = &pair->script->bytes;

    return memmem(bytes->data, bytes->size, "\n\0", 2) != NULL;
}

static bool next_meets_the_rest(const struct pair *pair)
{
    return pair->flaw != FLAW_NONE &&
           !(outcome_next_is_fine(pair->left) && outcome_next_is_fine(pair->right));
}

#define CURL_DIRECT "curl", "direct"

const struct accepted accepted_rows[] = {
  /* clang-format off */
#define X(name, words, reason) \
    {CURL_DIRECT, ASPECT_OUTCOME, FLAW_##name, NULL, words, reason},
    REFERENCE_FLAWS(X)
#undef X
    {CURL_DIRECT, ASPECT_OUTCOME, FLAW_NONE, is_cut_before_last_lf,
     "the last LF of a chunked answer is missing", "libcurl does not wait for it"},
    {CURL_DIRECT, ASPECT_WORDS, FLAW_NONE, is_cut_in_status_line,
     "an answer is cut in its status line", "libcurl says that nothing came"},
    {CURL_DIRECT, ASPECT_WORDS, FLAW_NONE, direct_names_the_flaw,
     "an answer is flawed", "direct says so as soon as it is; libcurl goes on"},
    {CURL_DIRECT, ASPECT_WORDS, FLAW_NONE, is_cut_after_bad_byte,
     "an answer is cut in a head with a CR or a NUL",
     "direct looks for them when the head is whole"},
    {CURL_DIRECT, ASPECT_WORDS, FLAW_NONE, is_cut_in_refused_line,
     "an answer is cut in the line of a chunk's size, in a trailer, or after a NUL",
     "libcurl has refused that line before its end came"},
    {CURL_DIRECT, ASPECT_REQUESTS, FLAW_NONE, is_cut_in_status_line,
     "on a kept connection an answer is cut in its status line",
     "libcurl takes that for nothing, and sends the request once more"},
    {CURL_DIRECT, ASPECT_REPLACED, FLAW_NONE, is_cut_in_status_line,
     "on a kept connection an answer is cut in its status line",
     "libcurl takes that for nothing, and sends the request once more"},
    {CURL_DIRECT, ASPECT_BYTES_IN, FLAW_NONE, is_chunked,
     "an answer comes in chunks", "libcurl does not tell the bytes of their frames"},
    {CURL_DIRECT, ASPECT_NEXT, FLAW_NONE, next_meets_the_rest,
     "the rest of a flawed answer comes later",
     "libcurl does not look for bytes on a kept connection before it writes a request"},
    {CURL_DIRECT, ASPECT_NEXT_CONNECTION, FLAW_NONE, says_unclearly,
     "Connection: closer, or close and keep-alive",
     "libcurl looks for 'close' in any word, and in HTTP/1.0 first for 'keep-alive'"},
    {CURL_DIRECT, ASPECT_NEXT_REPLACED, FLAW_NONE, says_unclearly,
     "Connection: closer, or close and keep-alive",
     "one has closed what the other finds closed"},
    {CURL_DIRECT, ASPECT_NEXT_CONNECTION, FLAW_NONE, only_1xx_says_close,
     "Connection: close in a 1xx", "libcurl heeds it; the answer itself says nothing"},
    {CURL_DIRECT, ASPECT_NEXT_REPLACED, FLAW_NONE, only_1xx_says_close,
     "Connection: close in a 1xx", "libcurl has closed what direct finds closed"},
    {CURL_DIRECT, ASPECT_NEXT_CONNECTION, FLAW_NONE, has_1xx_of_http_1_0,
     "a 1xx in HTTP/1.0",
     "libcurl closes the connection for it; what follows is in HTTP/1.1, and keeps it"},
    {CURL_DIRECT, ASPECT_NEXT_REPLACED, FLAW_NONE, has_1xx_of_http_1_0,
     "a 1xx in HTTP/1.0", "libcurl has closed what direct finds closed"},
    {CURL_DIRECT, ASPECT_NEXT_REPLACED, FLAW_NONE, lasts_until_close,
     "keep-alive, but the answer lasts until the connection ends",
     "libcurl keeps the connection, and then finds it closed"},
    {"direct", "direct", ASPECT_OUTCOME, FLAW_LEFTOVERS, NULL,
     "bytes after the end of the answer",
     "seen with its end they are a failure; later it is complete, and nobody waits"},
    {"curl", "curl", ASPECT_OUTCOME, FLAW_NONE, has_line_with_nul_first,
     "a line begins with NUL", "libcurl stops there, if it has come that far"},
    {"curl", "curl", ASPECT_WORDS, FLAW_NONE, has_line_with_nul_first,
     "a line begins with NUL", "libcurl stops there, if it has come that far"},
    {"curl", "curl", ASPECT_NEXT, FLAW_NONE, next_meets_the_rest,
     "the rest of a flawed answer comes later",
     "libcurl does not look for bytes on a kept connection before it writes a request"},
    {"curl", "curl", ASPECT_NEXT_CONNECTION, FLAW_NONE, is_flawed,
     "bytes after what libcurl takes for the end of the answer",
     "those that it does not read are too many for the server, which closes"},
    {"curl", "curl", ASPECT_NEXT_REPLACED, FLAW_NONE, is_flawed,
     "bytes after what libcurl takes for the end of the answer",
     "seen with its end libcurl closes the connection; later it finds it closed"},
  /* clang-format on */
};
const size_t accepted_count = ARRAY_SIZE(accepted_rows);
