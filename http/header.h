/* http/header.h - header lines "Name: value": those that a script gives, which are texts,
 * and those of an answer, which have a length. A name is the same in any case.
 *
 * A line is known to have a name and a colon: session.c and answer.c see to it. */
#ifndef HTTP_HEADER_H
#define HTTP_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/text.h"

/* A script's lines, ended by NULL; or NULL: there are none. */
typedef const char *const *header_lines;

/* Whether the line is of this header. The place of the colon alone rules nearly all out. */
static inline bool header_is(const char *line, size_t length, const char *name,
                             size_t name_length)
{
    return length > name_length && line[name_length] == ':' &&
           text_is_same_word(line, name, name_length);
}

/* The same of texts. */
static inline bool header_is_named(const char *line, const char *name)
{
    return header_is(line, strlen(line), name, strlen(name));
}

/* The value, trimmed, in a line whose name has `name_length` bytes. */
static inline const char *header_value(const char *line, size_t length,
                                       size_t name_length, size_t *ret_length)
{
    *ret_length = length - name_length - 1;
    return text_trim(line + name_length + 1, ret_length);
}

/* The first line of this header; NULL: there is none. */
const char *header_find(header_lines lines, const char *name);

/* Whether a session's line is not sent, since the request has its own of that header. */
bool header_is_replaced(const char *line, header_lines own);

/* Whether a line only keeps the default from being sent: "User-Agent:" with no value, which
 * would have to name a product (RFC 9110, 10.1.5). Another
 * one is sent, empty as it is. */
bool header_is_left_out(const char *line);

#endif
