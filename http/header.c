#include "http/header.h"

#include <string.h>

/* `name` may be the start of a whole line. */
static const char *find_line(header_lines lines, const char *name, size_t name_length)
{
    for (; lines != NULL && *lines != NULL; lines++) {
        if (header_is(*lines, strlen(*lines), name, name_length))
            return *lines;
    }
    return NULL;
}

const char *header_find(header_lines lines, const char *name)
{
    return find_line(lines, name, strlen(name));
}

bool header_is_replaced(const char *line, header_lines own)
{
    return find_line(own, line, strcspn(line, ":")) != NULL;
}

bool header_is_left_out(const char *line)
{
    static const char name[] = "User-Agent";
    size_t length = strlen(line);

    if (!header_is(line, length, name, sizeof(name) - 1))
        return false;
    (void)header_value(line, length, sizeof(name) - 1, &length);
    return length == 0;
}
