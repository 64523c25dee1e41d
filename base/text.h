/* base/text.h - small helpers for text that people or strangers wrote. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Copies `length` bytes of `text` into `ret_clean` as valid UTF-8 without control
 * characters, at most `capacity - 1` bytes cut between characters, and NUL-terminated:
 * what is not UTF-8 becomes U+FFFD, a control character (also DEL and U+0080-9F) becomes
 * a space. So the result can be shown on a terminal and written as JSON. Returns its
 * length. `capacity` is at least 1. */
size_t text_clean(char *ret_clean, size_t capacity, const char *text, size_t length);

/* The most bytes of `text`, up to `most`, that end between two characters. */
size_t text_cut(const char *text, size_t most);

/* Whether text_clean() would copy all of it unchanged. */
bool text_is_clean(const char *text, size_t length);

/* The same of a whole text, in which a tab is right, too: as in a header. */
bool text_is_clean_line(const char *text);

/* How many bytes `text` begins with that may be in what HTTP calls a token, as methods and
 * names of headers are (RFC 9110, 5.6.2): letters, digits and !#$%&'*+-.^_`|~ - any other
 * byte ends it, a NUL, too. */
size_t text_token_length(const char *text);

/* Whether the first `length` bytes, at least one, are a token. */
bool text_is_token(const char *text, size_t length);

/* Whether `length` bytes of both are the same but for the case of ASCII's letters: what
 * strncasecmp() says depends on the locale, which may be a Python test's. */
bool text_is_same_word(const char *left, const char *right, size_t length);

/* Whether a text of `length` bytes is all of the word, in any case. */
static inline bool text_is_word(const char *text, size_t length, const char *word)
{
    return length == strlen(word) && text_is_same_word(text, word, length);
}

/* Of ASCII, whatever the locale. */
static inline bool text_is_digit(char letter)
{
    return letter >= '0' && letter <= '9';
}

static inline char text_lower_case(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? (char)(letter - 'A' + 'a') : letter;
}

/* The text without the blanks (spaces, tabs) around it, `*length` bytes of it. */
const char *text_trim(const char *text, size_t *length);

/* The next element, trimmed, of a list with commas as in "gzip, br", of which `*left`
 * bytes from `*text` on are left; it may be empty. NULL: there is none. */
const char *text_next_element(const char **text, size_t *left, size_t *ret_length);

/* How many columns of a terminal the (clean) text takes, one for each character. */
size_t text_width(const char *text);

/* Insertions, deletions, replacements and swaps that make `left` into `right`. */
size_t text_distance(const char *left, const char *right);

/* A 64-bit hash (FNV-1a) of `length` bytes; what comes first starts from
 * TEXT_HASH_START, and what follows it goes on from the hash so far. */
#define TEXT_HASH_START 0xCBF29CE484222325u
uint64_t text_hash(uint64_t hash, const char *text, size_t length);

bool text_starts_with(const char *text, const char *prefix);
bool text_ends_with(const char *text, const char *suffix);

#endif
