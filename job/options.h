/* job/options.h - what can be set, as rows of tables: the command line, --help, errors
 * and the wire form are all read off them.
 *
 * A table describes the fields of one struct; programs parse with as many tables as they
 * have (the job's, their own, one for each output). To add an option, add a row. */
#ifndef JOB_OPTIONS_H
#define JOB_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/wire.h"

#define OPTION_TEXT_MAX ((size_t)1 << 20) /* bytes of one text on the wire */
#define OPTION_LIST_MAX 1000u             /* texts in a list */

enum option_type {
    OPTION_FLAG,    /* bool: given or not */
    OPTION_COUNT,   /* long: how often it was given (-vv) */
    OPTION_INTEGER, /* long, within [least, most] */
    OPTION_SECONDS, /* double, within [least, most], fractions allowed */
    OPTION_TEXT,    /* char *, owned by the struct; NULL where there is no default */
    OPTION_LIST,    /* struct text_list, owned by the struct: repeatable */
};

/* Texts in the order given; items[count] is NULL once anything was added. */
struct text_list {
    char **items;
    size_t count;
};

void text_list_add(struct text_list *list, const char *text); /* copies */
void text_list_clear(struct text_list *list);
bool text_list_holds(const struct text_list *list, const char *text);

struct option_row {
    const char *name; /* long form without dashes; NULL for a positional */
    char short_name;  /* '\0': none */
    enum option_type type;
    const char *metavar; /* what --help calls the value; NULL for flags and counts */
    /* The default, as on a command line; NULL: none, 0 or false. */
    const char *standard;
    double least, most;  /* of OPTION_INTEGER and OPTION_SECONDS, both included */
    const char *unit;    /* for --help: "s", "MiB"; NULL: none */
    const char *section; /* heading in --help; NULL: works, but is not shown */
    const char *help;    /* one sentence, small first letter, no full stop */
    bool local;          /* stays with the runner: not part of a job's wire form */
    /* An OPTION_TEXT's value may be left out, and is "" then: --name or --name=value. */
    bool optional;
    size_t field; /* offsetof() in the struct */
};

struct option_table {
    const struct option_row *rows;
    size_t count;
    void *values; /* the struct that the rows' fields are in */
};

/* Sets every field to its default. The struct was all zero. */
void options_set_defaults(const struct option_table *table);

/* Frees texts and lists, and makes all fields zero. */
void options_clear(const struct option_table *table);

/* Reads a command line (argv[0] is skipped) over what the fields hold: options and
 * positionals in any order, unique beginnings of long names, --name=value and --name
 * value, clustered short ones, values that begin with '-', and "--". A list's default is
 * replaced by what is given.
 * 0; or -1 and `err` names the option, what was wrong and what it takes (for an unknown
 * one, the nearest there is). `given`, unless NULL, gets the name of each option that
 * was on the command line (a positional's is its metavar in small letters). */
int options_parse(const struct option_table *tables, size_t count, int argc,
                  char *const *argv, struct text_list *given, struct error *err);

/* Sets one option from text (NULL for flags and counts), as the command line does: a
 * list gets one more. -1 as for options_parse(). */
int options_set(const struct option_table *table, const struct option_row *row,
                const char *text, struct error *err);

/* The help of all shown options: sections in order of first appearance, lines of at most
 * `width` columns, defaults and units. */
void options_help(const struct option_table *tables, size_t count, size_t width,
                  struct buffer *ret_help);

/* The nearest of `names` to a misspelt one, NULL where none is near enough to mean it. */
const char *options_nearest(const char *misspelt, const char *const *names,
                            size_t count);

/* Writes the fields whose rows are not `local` as one map of option names (positionals
 * by their metavar in small letters). */
void options_pack(const struct option_table *table, msgpack_packer *packer);

/* Reads such a map over the fields: checked like a command line; unknown names and a
 * missing field's are left alone. */
int options_unpack(const struct option_table *table, const msgpack_object *map,
                   struct error *err);

#endif
