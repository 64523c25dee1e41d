/* scenario/make_rule.c - the syntax of make, as compilers write it.
 *
 * Names are separated by blanks, and a line goes on behind a backslash at its end. "$$" is
 * a dollar; a backslash stands in front of a blank, '#' and ':' that belong to a name.
 * Other backslashes stand for themselves, but for those in front of an escaped blank,
 * which are doubled. */
#include "scenario/make_rule.h"

#include <stddef.h>
#include <string.h>

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static bool is_continuation(const char *at)
{
    return at[0] == '\\' && at[1] == '\n';
}

static const char *skip_space(const char *at)
{
    while (is_blank(*at) || is_continuation(at))
        at += is_blank(*at) ? 1 : 2;
    return at;
}

static void add_backslashes(struct buffer *name, size_t count)
{
    while (count-- > 0)
        buffer_add(name, "\\", 1);
}

/* Adds what a run of backslashes at `at` stands for, with the byte that it escapes.
 * Returns where the name goes on, which is a blank or a line's end where it is over. */
static const char *read_backslashes(const char *at, struct buffer *name)
{
    const size_t count = strspn(at, "\\");
    const char *const next = at + count;

    if (is_blank(*next)) {
        add_backslashes(name, count / 2);
        if (count % 2 == 0)
            return next;
    } else if (*next == '#' || *next == ':') {
        add_backslashes(name, count - 1);
    } else if (*next == '\n') { /* the last one is the continuation's */
        add_backslashes(name, count - 1);
        return next - 1;
    } else {
        add_backslashes(name, count);
        return next;
    }
    buffer_add(name, next, 1);
    return next + 1;
}

static bool ends_name(const char *at)
{
    return *at == '\0' || *at == '\n' || is_blank(*at) || is_continuation(at);
}

bool make_rule_next(const char **at, struct buffer *name)
{
    const char *next = skip_space(*at);

    buffer_reset(name);
    while (!ends_name(next)) {
        if (*next == '\\') {
            next = read_backslashes(next, name);
            continue;
        }
        buffer_add(name, next, 1);
        next += next[0] == '$' && next[1] == '$' ? 2 : 1;
    }
    *at = name->size == 0 && *next == '\n' ? next + 1 : next;
    return name->size > 0;
}
