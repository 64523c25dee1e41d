#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

/* The length of the well-formed UTF-8 character at `text`, its code point in `ret_code`;
 * 0 where there is none (Unicode 15, table 3-7). */
static size_t decode_character(const unsigned char *text, size_t length,
                               uint32_t *ret_code)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t smallest;
    } forms[] = {
        {0x80, 0x00, 0x0    },
        {0xE0, 0xC0, 0x80   },
        {0xF0, 0xE0, 0x800  },
        {0xF8, 0xF0, 0x10000},
    };

    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        uint32_t code = text[0] & (unsigned char)~forms[i].mask;

        if ((text[0] & forms[i].mask) != forms[i].lead)
            continue;
        if (length < i + 1)
            return 0;
        for (size_t k = 1; k <= i; k++) {
            if ((text[k] & 0xC0) != 0x80)
                return 0;
            code = (code << 6) | (text[k] & 0x3F);
        }
        if (code < forms[i].smallest || code > 0x10FFFF ||
            (code >= 0xD800 && code <= 0xDFFF))
            return 0;
        *ret_code = code;
        return i + 1;
    }
    return 0;
}

static bool is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0);
}

size_t text_clean(char *ret_clean, size_t capacity, const char *text, size_t length)
{
    size_t used = 0;

    for (size_t at = 0; at < length;) {
        uint32_t code = 0;
        const char *from = text + at;
        size_t size =
            decode_character((const unsigned char *)text + at, length - at, &code);

        at += size > 0 ? size : 1;
        if (size == 0) {
            from = replacement;
            size = sizeof(replacement) - 1;
        } else if (is_control(code)) {
            from = " ";
            size = 1;
        }
        if (used + size >= capacity)
            break;
        memcpy(ret_clean + used, from, size);
        used += size;
    }
    ret_clean[used] = '\0';
    return used;
}

bool text_is_clean(const char *text, size_t length)
{
    const unsigned char *const bytes = (const unsigned char *)text;

    for (size_t at = 0; at < length;) {
        uint32_t code = 0;
        size_t size;

        if (bytes[at] >= ' ' && bytes[at] < 0x7F) { /* nearly all are */
            at++;
            continue;
        }
        size = decode_character(bytes + at, length - at, &code);
        if (size == 0 || is_control(code))
            return false;
        at += size;
    }
    return true;
}

bool text_is_clean_line(const char *text)
{
    for (;;) {
        const size_t length = strcspn(text, "\t");

        if (!text_is_clean(text, length))
            return false;
        if (text[length] == '\0')
            return true;
        text += length + 1;
    }
}

size_t text_cut(const char *text, size_t most)
{
    size_t length = strnlen(text, most + 1);

    if (length <= most)
        return length;
    for (length = most; length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80;)
        length--;
    return length;
}

size_t text_token_length(const char *text)
{
    /* clang-format off */
    static const bool in_token[256] = {
        ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1,
        ['+'] = 1, ['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1,
        ['~'] = 1,
        ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1,
        ['7'] = 1, ['8'] = 1, ['9'] = 1,
        ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1, ['F'] = 1, ['G'] = 1,
        ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1, ['N'] = 1,
        ['O'] = 1, ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1,
        ['V'] = 1, ['W'] = 1, ['X'] = 1, ['Y'] = 1, ['Z'] = 1,
        ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1, ['g'] = 1,
        ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1,
        ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1, ['u'] = 1,
        ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
    };
    /* clang-format on */
    const unsigned char *letter = (const unsigned char *)text;

    while (in_token[*letter])
        letter++;
    return (size_t)(letter - (const unsigned char *)text);
}

bool text_is_token(const char *text, size_t length)
{
    return length > 0 && text_token_length(text) >= length;
}

bool text_is_same_word(const char *left, const char *right, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (left[i] != right[i] &&
            text_lower_case(left[i]) != text_lower_case(right[i]))
            return false;
    }
    return true;
}

static bool is_blank(char letter)
{
    return letter == ' ' || letter == '\t';
}

const char *text_trim(const char *text, size_t *length)
{
    const char *end = text + *length;

    while (text < end && is_blank(*text))
        text++;
    while (end > text && is_blank(end[-1]))
        end--;
    *length = (size_t)(end - text);
    return text;
}

const char *text_next_element(const char **text, size_t *left, size_t *ret_length)
{
    const char *const start = *text, *comma;

    if (*left == 0)
        return NULL;
    comma = memchr(start, ',', *left);
    *ret_length = comma != NULL ? (size_t)(comma - start) : *left;
    *left -= *ret_length + (comma != NULL);
    *text = start + *ret_length + (comma != NULL);
    return text_trim(start, ret_length);
}

size_t text_width(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static size_t smaller(size_t left, size_t right)
{
    return left < right ? left : right;
}

/* Damerau-Levenshtein (optimal string alignment), three rows of the table at a time. */
size_t text_distance(const char *left, const char *right)
{
    const size_t rows = strlen(left), columns = strlen(right);
    size_t *before = xcalloc(columns + 1, sizeof(*before));
    size_t *above = xcalloc(columns + 1, sizeof(*above));
    size_t *row = xcalloc(columns + 1, sizeof(*row));
    size_t distance;

    for (size_t j = 0; j <= columns; j++)
        row[j] = j;
    for (size_t i = 1; i <= rows; i++) {
        size_t *const spare = before;

        before = above;
        above = row;
        row = spare;
        row[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            const size_t cost = left[i - 1] == right[j - 1] ? 0 : 1;

            row[j] = smaller(smaller(above[j], row[j - 1]) + 1, above[j - 1] + cost);
            if (i > 1 && j > 1 && left[i - 1] == right[j - 2] &&
                left[i - 2] == right[j - 1])
                row[j] = smaller(row[j], before[j - 2] + 1);
        }
    }
    distance = row[columns];
    free(before);
    free(above);
    free(row);
    return distance;
}

uint64_t text_hash(uint64_t hash, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001B3u;
    return hash;
}

bool text_starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool text_ends_with(const char *text, const char *suffix)
{
    const size_t length = strlen(text), ending = strlen(suffix);

    return length >= ending && strcmp(text + length - ending, suffix) == 0;
}
