#include "job/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

enum {
    SHOWN_SIZE = 120,    /* bytes of a value quoted in an error */
    NAME_SIZE = 64,      /* bytes of an option's name */
    LONG_BASE = 256,     /* getopt's codes of long names begin above all characters */
    CODE_POSITIONAL = 1, /* getopt's code for what is no option */
    COUNT_MAX = 1000,    /* more of -v than anybody means */
    HELP_COLUMN = 32,    /* where the help of an option begins */
    HELP_NARROW = 60,    /* below this width it begins on a line of its own */
    HELP_INDENT = 8,     /* and there */
    SPELLING_MAX = 64,   /* bytes: nobody misspells a longer word */
};

/* --- lists ------------------------------------------------------------------------ */

void text_list_add(struct text_list *list, const char *text)
{
    list->items = xrealloc_array(list->items, list->count + 2, sizeof(*list->items));
    list->items[list->count++] = xstrdup(text);
    list->items[list->count] = NULL;
}

void text_list_clear(struct text_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct text_list){.items = NULL};
}

bool text_list_holds(const struct text_list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], text) == 0)
            return true;
    return false;
}

/* --- rows and their fields -------------------------------------------------------- */

static void *field_of(const struct option_table *table, const struct option_row *row)
{
    return (char *)table->values + row->field;
}

/* As getopt_long() says it: how a value may or must follow. */
static int value_of(const struct option_row *row)
{
    if (row->type == OPTION_FLAG || row->type == OPTION_COUNT)
        return no_argument;
    return row->optional ? optional_argument : required_argument;
}

/* What a row is called in `given` and on the wire. */
static const char *key_of(const struct option_row *row, char ret_key[NAME_SIZE])
{
    size_t length = 0;

    if (row->name != NULL)
        return row->name;
    for (; row->metavar[length] != '\0' && length + 1 < NAME_SIZE; length++)
        ret_key[length] = (char)tolower((unsigned char)row->metavar[length]);
    ret_key[length] = '\0';
    return ret_key;
}

/* What a row is called in an error: "--workers", "TEST". */
static const char *title_of(const struct option_row *row, char ret_title[NAME_SIZE])
{
    if (row->name == NULL)
        return row->metavar;
    snprintf(ret_title, NAME_SIZE, "--%s", row->name);
    return ret_title;
}

static const char *shown(const char *text, char ret_shown[SHOWN_SIZE])
{
    text_clean(ret_shown, SHOWN_SIZE, text, strlen(text));
    return ret_shown;
}

static bool is_within(const struct option_row *row, double value)
{
    return value >= row->least && value <= row->most; /* false for a NaN */
}

/* Only digits with a sign before them: no blanks, no hexadecimal, nothing behind. */
static bool parse_integer(const char *text, long *ret_value)
{
    char *end = NULL;
    long value;

    if (!isdigit((unsigned char)text[text[0] == '-' ? 1 : 0]))
        return false;
    errno = 0;
    value = strtol(text, &end, 10);
    if (errno != 0 || *end != '\0')
        return false;
    *ret_value = value;
    return true;
}

/* Only digits, a sign and a point: strtod() would take "nan", "inf" and "0x1p3" too. */
static bool parse_seconds(const char *text, double *ret_value)
{
    char *end = NULL;
    double value;

    if (text[0] == '\0' || text[strspn(text, "-.0123456789")] != '\0')
        return false;
    value = strtod(text, &end);
    if (end == text || *end != '\0')
        return false;
    *ret_value = value;
    return true;
}

static int refuse_number(const struct option_row *row, const char *text,
                         struct error *err)
{
    char title[NAME_SIZE], value[SHOWN_SIZE];

    if (row->type == OPTION_SECONDS)
        return error_set(err, "%s takes seconds from %.10g to %.10g, not '%s'",
                         title_of(row, title), row->least, row->most,
                         shown(text, value));
    return error_set(err, "%s takes a whole number%s%s from %.0f to %.0f, not '%s'",
                     title_of(row, title), row->unit != NULL ? " of " : "",
                     row->unit != NULL ? row->unit : "", row->least, row->most,
                     shown(text, value));
}

/* --- what each type does ---------------------------------------------------------- */

static int set_flag(void *field, const struct option_row *row, const char *text,
                    struct error *err)
{
    (void)row;
    (void)text;
    (void)err;
    *(bool *)field = true;
    return 0;
}

static int set_count(void *field, const struct option_row *row, const char *text,
                     struct error *err)
{
    long *const count = field;

    (void)row;
    (void)text;
    (void)err;
    if (*count < COUNT_MAX)
        ++*count;
    return 0;
}

static int set_integer(void *field, const struct option_row *row, const char *text,
                       struct error *err)
{
    long value = 0;

    if (!parse_integer(text, &value) || !is_within(row, (double)value))
        return refuse_number(row, text, err);
    *(long *)field = value;
    return 0;
}

static int set_seconds(void *field, const struct option_row *row, const char *text,
                       struct error *err)
{
    double value = 0;

    if (!parse_seconds(text, &value) || !is_within(row, value))
        return refuse_number(row, text, err);
    *(double *)field = value;
    return 0;
}

static int set_text(void *field, const struct option_row *row, const char *text,
                    struct error *err)
{
    char **const owned = field;
    char title[NAME_SIZE];

    if (strlen(text) > OPTION_TEXT_MAX)
        return error_set(err, "%s takes at most %zu bytes", title_of(row, title),
                         OPTION_TEXT_MAX);
    free(*owned);
    *owned = xstrdup(text);
    return 0;
}

static int set_list(void *field, const struct option_row *row, const char *text,
                    struct error *err)
{
    struct text_list *const list = field;
    char title[NAME_SIZE];

    if (list->count >= OPTION_LIST_MAX || strlen(text) > OPTION_TEXT_MAX)
        return error_set(err, "%s can be given %u times, with at most %zu bytes each",
                         title_of(row, title), OPTION_LIST_MAX, OPTION_TEXT_MAX);
    text_list_add(list, text);
    return 0;
}

static void clear_flag(void *field)
{
    *(bool *)field = false;
}

static void clear_long(void *field)
{
    *(long *)field = 0;
}

static void clear_seconds(void *field)
{
    *(double *)field = 0;
}

static void clear_text(void *field)
{
    char **const owned = field;

    free(*owned);
    *owned = NULL;
}

static void clear_list(void *field)
{
    text_list_clear(field);
}

static bool always_there(const void *field)
{
    (void)field;
    return true;
}

static bool is_text_there(const void *field)
{
    return *(char *const *)field != NULL;
}

static void pack_flag(msgpack_packer *packer, const char *key, const void *field)
{
    wire_put_bool(packer, key, *(const bool *)field);
}

static void pack_long(msgpack_packer *packer, const char *key, const void *field)
{
    wire_put_i64(packer, key, *(const long *)field);
}

static void pack_seconds(msgpack_packer *packer, const char *key, const void *field)
{
    wire_put_double(packer, key, *(const double *)field);
}

static void pack_text(msgpack_packer *packer, const char *key, const void *field)
{
    wire_put_text(packer, key, *(char *const *)field);
}

static void pack_list(msgpack_packer *packer, const char *key, const void *field)
{
    const struct text_list *const list = field;

    wire_put_array(packer, key, list->count);
    for (size_t i = 0; i < list->count; i++)
        wire_put_string(packer, list->items[i]);
}

static int unpack_flag(void *field, const struct option_row *row, const char *key,
                       const msgpack_object *map, struct error *err)
{
    (void)row;
    return wire_get_bool(map, key, field, err);
}

static int unpack_count(void *field, const struct option_row *row, const char *key,
                        const msgpack_object *map, struct error *err)
{
    uint64_t value = 0;

    (void)row;
    if (wire_get_u64(map, key, COUNT_MAX, &value, err) == -1)
        return -1;
    *(long *)field = (long)value;
    return 0;
}

static int unpack_integer(void *field, const struct option_row *row, const char *key,
                          const msgpack_object *map, struct error *err)
{
    int64_t value = 0;

    if (wire_get_i64(map, key, &value, err) == -1)
        return -1;
    if (!is_within(row, (double)value))
        return error_set(err, "'%s' is %lld, not within %.0f and %.0f", key,
                         (long long)value, row->least, row->most);
    *(long *)field = (long)value;
    return 0;
}

static int unpack_seconds(void *field, const struct option_row *row, const char *key,
                          const msgpack_object *map, struct error *err)
{
    double value = 0;

    if (wire_get_double(map, key, &value, err) == -1)
        return -1;
    if (!is_within(row, value))
        return error_set(err, "'%s' is %g, not within %.10g and %.10g", key, value,
                         row->least, row->most);
    *(double *)field = value;
    return 0;
}

static int unpack_text(void *field, const struct option_row *row, const char *key,
                       const msgpack_object *map, struct error *err)
{
    char **const owned = field;
    char *text = NULL;

    (void)row;
    if (wire_copy_text(map, key, OPTION_TEXT_MAX, &text, err) == -1)
        return -1;
    free(*owned);
    *owned = text;
    return 0;
}

static bool is_plain_text(const msgpack_object *object)
{
    return object->type == MSGPACK_OBJECT_STR &&
           object->via.str.size <= OPTION_TEXT_MAX &&
           memchr(object->via.str.ptr, '\0', object->via.str.size) == NULL;
}

static int unpack_list(void *field, const struct option_row *row, const char *key,
                       const msgpack_object *map, struct error *err)
{
    struct text_list *const list = field;
    const msgpack_object_array *array = NULL;

    (void)row;
    if (wire_get_array(map, key, OPTION_LIST_MAX, &array, err) == -1)
        return -1;
    for (uint32_t i = 0; i < array->size; i++)
        if (!is_plain_text(&array->ptr[i]))
            return error_set(err, "'%s' holds what is no text at %u", key, i);
    text_list_clear(list);
    for (uint32_t i = 0; i < array->size; i++) {
        char *const text =
            xstrndup(array->ptr[i].via.str.ptr, array->ptr[i].via.str.size);

        text_list_add(list, text);
        free(text);
    }
    return 0;
}

/* By hand: clang-format 14 breaks tables whose rows take several lines. */
/* clang-format off */
static const struct type_actions {
    int (*set)(void *field, const struct option_row *row, const char *text,
               struct error *err);
    void (*clear)(void *field);
    bool (*is_there)(const void *field); /* to be packed */
    void (*pack)(msgpack_packer *packer, const char *key, const void *field);
    int (*unpack)(void *field, const struct option_row *row, const char *key,
                  const msgpack_object *map, struct error *err);
} type_actions[] = {
    [OPTION_FLAG] = {set_flag, clear_flag, always_there, pack_flag, unpack_flag},
    [OPTION_COUNT] = {set_count, clear_long, always_there, pack_long, unpack_count},
    [OPTION_INTEGER] = {set_integer, clear_long, always_there, pack_long,
                        unpack_integer},
    [OPTION_SECONDS] = {set_seconds, clear_seconds, always_there, pack_seconds,
                        unpack_seconds},
    [OPTION_TEXT] = {set_text, clear_text, is_text_there, pack_text, unpack_text},
    [OPTION_LIST] = {set_list, clear_list, always_there, pack_list, unpack_list},
};
/* clang-format on */

int options_set(const struct option_table *table, const struct option_row *row,
                const char *text, struct error *err)
{
    return type_actions[row->type].set(field_of(table, row), row, text, err);
}

void options_set_defaults(const struct option_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *const row = &table->rows[i];

        if (row->standard != NULL && options_set(table, row, row->standard, NULL) == -1)
            abort(); /* the table contradicts itself */
    }
}

void options_clear(const struct option_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        type_actions[table->rows[i].type].clear(field_of(table, &table->rows[i]));
}

/* --- the wire --------------------------------------------------------------------- */

static bool is_packed(const struct option_table *table, const struct option_row *row)
{
    return !row->local && type_actions[row->type].is_there(field_of(table, row));
}

void options_pack(const struct option_table *table, msgpack_packer *packer)
{
    char key[NAME_SIZE];
    size_t entries = 0;

    for (size_t i = 0; i < table->count; i++)
        entries += is_packed(table, &table->rows[i]);
    msgpack_pack_map(packer, entries);
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *const row = &table->rows[i];

        if (is_packed(table, row))
            type_actions[row->type].pack(packer, key_of(row, key),
                                         field_of(table, row));
    }
}

int options_unpack(const struct option_table *table, const msgpack_object *map,
                   struct error *err)
{
    char space[NAME_SIZE];

    if (map->type != MSGPACK_OBJECT_MAP)
        return error_set(err, "the options are no map");
    for (size_t i = 0; i < table->count; i++) {
        const struct option_row *const row = &table->rows[i];
        const char *const key = key_of(row, space);

        if (row->local || wire_get(map, key) == NULL)
            continue;
        if (type_actions[row->type].unpack(field_of(table, row), row, key, map, err) ==
            -1)
            return -1;
    }
    return 0;
}

/* --- spelling --------------------------------------------------------------------- */

/* A third of the letters may be wrong: more, and the guess would only puzzle. */
const char *options_nearest(const char *misspelt, const char *const *names,
                            size_t count)
{
    const size_t length = strlen(misspelt);
    size_t best = length / 3 + 1;
    const char *nearest = NULL;

    if (length < 2 || length > SPELLING_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        const size_t distance = text_distance(misspelt, names[i]);

        if (distance < best) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest;
}

/* --- the command line ------------------------------------------------------------- */

struct choice {
    const struct option_table *table;
    const struct option_row *row;
};

struct parser {
    struct choice *choices; /* all rows of all tables */
    size_t choice_count;
    struct option *longs; /* for getopt_long(), ends with a row of zeros */
    size_t long_count;
    struct buffer shorts; /* the same */
    struct text_list given;
};

static void add_choice(struct parser *parser, const struct option_table *table,
                       const struct option_row *row)
{
    static const char *const marks[] = {
        [no_argument] = "", [required_argument] = ":", [optional_argument] = "::"};
    const int value = value_of(row);

    parser->choices[parser->choice_count] = (struct choice){table, row};
    if (row->name != NULL)
        parser->longs[parser->long_count++] = (struct option){
            .name = row->name,
            .has_arg = value,
            .val = LONG_BASE + (int)parser->choice_count,
        };
    if (row->short_name != '\0')
        buffer_printf(&parser->shorts, "%c%s", row->short_name, marks[value]);
    parser->choice_count++;
}

static void parser_init(struct parser *parser, const struct option_table *tables,
                        size_t count)
{
    size_t rows = 0;

    for (size_t i = 0; i < count; i++)
        rows += tables[i].count;
    *parser = (struct parser){
        .choices = xcalloc(rows + 1, sizeof(*parser->choices)),
        .longs = xcalloc(rows + 1, sizeof(*parser->longs)),
    };
    /* '-': positionals come in their place; ':': tell a missing value from others. */
    buffer_add_text(&parser->shorts, "-:");
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < tables[i].count; k++)
            add_choice(parser, &tables[i], &tables[i].rows[k]);
}

static void parser_clear(struct parser *parser)
{
    free(parser->choices);
    free(parser->longs);
    buffer_clear(&parser->shorts);
    text_list_clear(&parser->given);
}

/* The choice that getopt_long() means by `code`; NULL where there is none. */
static const struct choice *choice_of(const struct parser *parser, int code)
{
    if (code >= LONG_BASE)
        return &parser->choices[code - LONG_BASE];
    for (size_t i = 0; i < parser->choice_count; i++)
        if (code != 0 && parser->choices[i].row->short_name == code)
            return &parser->choices[i];
    return NULL;
}

static int take_option(struct parser *parser, const struct choice *choice,
                       const char *text, struct error *err)
{
    char space[NAME_SIZE];
    const char *const key = key_of(choice->row, space);

    if (!text_list_holds(&parser->given, key)) {
        text_list_add(&parser->given, key);
        if (choice->row->type == OPTION_LIST)
            clear_list(field_of(choice->table, choice->row)); /* the default */
    }
    return options_set(choice->table, choice->row, text, err);
}

/* Positionals fill the rows without a name in their order. */
static int take_positional(struct parser *parser, const char *text, struct error *err)
{
    const struct choice *last = NULL;
    char space[NAME_SIZE], value[SHOWN_SIZE], before[SHOWN_SIZE];

    for (size_t i = 0; i < parser->choice_count; i++) {
        const struct choice *const choice = &parser->choices[i];

        if (choice->row->name != NULL)
            continue;
        if (!text_list_holds(&parser->given, key_of(choice->row, space)))
            return take_option(parser, choice, text, err);
        last = choice;
    }
    if (last == NULL)
        return error_set(err, "'%s' is one argument too many", shown(text, value));
    return error_set(err, "'%s' is one argument too many: %s is already '%s'",
                     shown(text, value), last->row->metavar,
                     shown(*(char **)field_of(last->table, last->row), before));
}

/* Says which shown options the beginning `name` could mean; false if there are none. */
static bool refuse_ambiguous(const struct parser *parser, const char *name,
                             struct error *err)
{
    struct buffer list = BUFFER_INIT;
    size_t left = 0;

    for (size_t i = 0; i < parser->choice_count; i++) {
        const struct option_row *const row = parser->choices[i].row;

        left += row->section != NULL && row->name != NULL &&
                text_starts_with(row->name, name);
    }
    if (left < 2)
        return false;
    for (size_t i = 0; left > 0; i++) {
        const struct option_row *const row = parser->choices[i].row;

        if (row->section == NULL || row->name == NULL ||
            !text_starts_with(row->name, name))
            continue;
        left--;
        buffer_printf(&list, "'--%s'%s", row->name,
                      left > 1 ? ", " : (left == 1 ? " or " : ""));
    }
    error_set(err, "option '--%s' could be %s", name, buffer_text(&list));
    buffer_clear(&list);
    return true;
}

static int refuse_long(const struct parser *parser, const char *item, struct error *err)
{
    const char **const names = xcalloc(parser->choice_count + 1, sizeof(*names));
    char name[SHOWN_SIZE];
    const char *nearest;
    size_t count = 0;

    text_clean(name, sizeof(name), item + 2, strcspn(item + 2, "="));
    for (size_t i = 0; i < parser->choice_count; i++)
        if (parser->choices[i].row->section != NULL &&
            parser->choices[i].row->name != NULL)
            names[count++] = parser->choices[i].row->name;
    nearest = options_nearest(name, names, count);
    free(names);
    if (refuse_ambiguous(parser, name, err))
        return -1;
    if (nearest != NULL)
        return error_set(err, "unknown option '--%s': did you mean '--%s'?", name,
                         nearest);
    return error_set(err, "unknown option '--%s' (see --help)", name);
}

/* What getopt_long() refused: `refused` is its optopt, `item` the argument it was in. */
static int refuse_item(const struct parser *parser, int refused, const char *item,
                       struct error *err)
{
    char value[SHOWN_SIZE];

    if (refused == 0)
        return refuse_long(parser, item, err);
    if (refused >= LONG_BASE)
        return error_set(err, "--%s takes no value",
                         choice_of(parser, refused)->row->name);
    if (refused > '-' && refused < 0x7F)
        return error_set(err, "unknown option '-%c' (see --help)", refused);
    return error_set(err, "unknown option '%s' (see --help)", shown(item, value));
}

static int take_item(struct parser *parser, int code, const char *item,
                     struct error *err)
{
    const struct choice *choice;
    char title[NAME_SIZE];

    if (code == CODE_POSITIONAL)
        return take_positional(parser, optarg, err);
    if (code == '?')
        return refuse_item(parser, optopt, item, err);
    choice = choice_of(parser, code == ':' ? optopt : code);
    if (code == ':')
        return error_set(err, "%s needs a value: %s %s", title_of(choice->row, title),
                         title, choice->row->metavar);
    if (optarg == NULL && value_of(choice->row) == optional_argument)
        return take_option(parser, choice, "", err);
    return take_option(parser, choice, optarg, err);
}

static int parse_items(struct parser *parser, int argc, char *const *argv,
                       struct error *err)
{
    opterr = 0;
    optind = 0; /* glibc's way to begin anew, even if it stopped within "-qv" */
    for (;;) {
        const int at = optind > 0 ? optind : 1;
        const int code =
            getopt_long(argc, argv, buffer_text(&parser->shorts), parser->longs, NULL);

        if (code == -1)
            break;
        if (take_item(parser, code, argv[at], err) == -1)
            return -1;
    }
    for (; optind < argc; optind++) /* what came behind "--" */
        if (take_positional(parser, argv[optind], err) == -1)
            return -1;
    return 0;
}

int options_parse(const struct option_table *tables, size_t count, int argc,
                  char *const *argv, struct text_list *given, struct error *err)
{
    struct parser parser;
    int rc;

    parser_init(&parser, tables, count);
    rc = parse_items(&parser, argc, argv, err);
    for (size_t i = 0; given != NULL && i < parser.given.count; i++)
        text_list_add(given, parser.given.items[i]);
    parser_clear(&parser);
    return rc;
}

/* --- help ------------------------------------------------------------------------- */

static void write_blanks(struct buffer *help, size_t count)
{
    buffer_printf(help, "%*s", (int)count, "");
}

/* Writes the words of `text` from `column` on, at the same column in further lines. */
static void write_wrapped(struct buffer *help, const char *text, size_t column,
                          size_t width)
{
    size_t at = column;

    for (const char *word = text; *word != '\0';) {
        const size_t length = strcspn(word, " ");

        if (at > column && at + 1 + length > width) {
            buffer_add_text(help, "\n");
            write_blanks(help, column);
            at = column;
        } else if (at > column) {
            buffer_add_text(help, " ");
            at++;
        }
        buffer_add(help, word, length);
        at += length;
        word += length;
        word += strspn(word, " ");
    }
    buffer_add_text(help, "\n");
}

/* "  -w, --workers N", "      --attach [RUN]" */
static void describe_form(const struct option_row *row, struct buffer *form)
{
    if (row->name == NULL) {
        buffer_printf(form, "  %s", row->metavar);
        return;
    }
    if (row->short_name != '\0')
        buffer_printf(form, "  -%c, --%s", row->short_name, row->name);
    else
        buffer_printf(form, "      --%s", row->name);
    if (value_of(row) != no_argument)
        buffer_printf(form, row->optional ? " [%s]" : " %s", row->metavar);
}

static void describe_meaning(const struct option_row *row, struct buffer *meaning)
{
    const bool bare =
        row->unit == NULL || (row->standard != NULL && strcmp(row->standard, "0") == 0);
    const char *const unit = bare ? "" : row->unit;

    buffer_add_text(meaning, row->help);
    if (row->standard != NULL)
        buffer_printf(meaning, " (default: %s%s%s)", row->standard,
                      unit[0] != '\0' ? " " : "", unit);
    else if (row->unit != NULL)
        buffer_printf(meaning, " (in %s)", unit);
}

static void write_row(const struct option_row *row, size_t width, struct buffer *help)
{
    const size_t column = width < HELP_NARROW ? HELP_INDENT : HELP_COLUMN;
    struct buffer form = BUFFER_INIT, meaning = BUFFER_INIT;

    describe_form(row, &form);
    describe_meaning(row, &meaning);
    buffer_add_text(help, buffer_text(&form));
    if (form.size + 2 > column) {
        buffer_add_text(help, "\n");
        write_blanks(help, column);
    } else {
        write_blanks(help, column - form.size);
    }
    write_wrapped(help, buffer_text(&meaning), column, width);
    buffer_clear(&form);
    buffer_clear(&meaning);
}

static void write_section(const struct option_table *tables, size_t count,
                          const char *section, size_t width, struct buffer *help)
{
    buffer_printf(help, "%s%s:\n", help->size > 0 ? "\n" : "", section);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < tables[i].count; k++) {
            const struct option_row *const row = &tables[i].rows[k];

            if (row->section != NULL && strcmp(row->section, section) == 0)
                write_row(row, width, help);
        }
}

void options_help(const struct option_table *tables, size_t count, size_t width,
                  struct buffer *ret_help)
{
    struct text_list done = {.items = NULL};

    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < tables[i].count; k++) {
            const char *const section = tables[i].rows[k].section;

            if (section == NULL || text_list_holds(&done, section))
                continue;
            text_list_add(&done, section);
            write_section(tables, count, section, width, ret_help);
        }
    text_list_clear(&done);
}
