#include "stats/table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

enum { SMALLEST_SLOT_COUNT = 16 };

/* Two bytes of a control character become one space: this many bytes of a name decide
 * what is left of it when it is clean and cut. */
enum { NAME_BYTES_THAT_COUNT = 2 * TABLE_NAME_MAX + 8 };

/* A name, perhaps still in two parts: `first`, a space, `second`. */
struct name {
    const char *first, *second;
    size_t first_length, second_length; /* `first` is NULL where there is one part */
    uint64_t hash;                      /* of the name in one piece */
};

static struct name whole_name(const char *name, size_t length)
{
    return (struct name){.second = name,
                         .second_length = length,
                         .hash = text_hash(TEXT_HASH_START, name, length)};
}

static struct name joined_name(const char *first, size_t first_length,
                               const char *second, size_t second_length)
{
    uint64_t hash = text_hash(TEXT_HASH_START, first, first_length);

    hash = text_hash(hash, " ", 1);
    return (struct name){.first = first,
                         .first_length = first_length,
                         .second = second,
                         .second_length = second_length,
                         .hash = text_hash(hash, second, second_length)};
}

void table_init(struct table *table, size_t row_size, size_t row_zeroed, size_t limit)
{
    *table =
        (struct table){.row_size = row_size, .row_zeroed = row_zeroed, .limit = limit};
}

void table_clear(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->rows[i]);
    free(table->rows);
    free(table->slots);
    table_init(table, table->row_size, table->row_zeroed, table->limit);
}

static bool row_has_name(const struct table_row *row, const struct name *name)
{
    const char *rest = row->name;
    size_t length = name->second_length;

    if (row->hash != name->hash)
        return false;
    if (name->first != NULL) {
        if (row->name_length != name->first_length + 1 + name->second_length ||
            memcmp(rest, name->first, name->first_length) != 0 ||
            rest[name->first_length] != ' ')
            return false;
        rest += name->first_length + 1;
        length = row->name_length - name->first_length - 1;
    } else if (row->name_length != name->second_length) {
        return false;
    }
    return memcmp(rest, name->second, length) == 0;
}

/* The slot of that name, or the free one where it belongs. There are slots. */
static size_t *find_slot(const struct table *table, const struct name *name)
{
    const size_t mask = table->slot_count - 1;
    size_t slot = (size_t)(name->hash ^ name->hash >> 32) & mask;

    while (table->slots[slot] != 0 &&
           !row_has_name(table->rows[table->slots[slot] - 1], name))
        slot = (slot + 1) & mask;
    return &table->slots[slot];
}

static struct table_row *find_row(const struct table *table, const struct name *name)
{
    const size_t number = table->slot_count > 0 ? *find_slot(table, name) : 0;

    return number > 0 ? table->rows[number - 1] : NULL;
}

/* Doubles the slots, and the room for rows to half as many, which always leaves slots
 * free to end a search. */
static void grow(struct table *table)
{
    table->slot_count =
        table->slot_count > 0 ? table->slot_count * 2 : SMALLEST_SLOT_COUNT;
    table->rows =
        xrealloc_array(table->rows, table->slot_count / 2, sizeof(struct table_row *));
    free(table->slots);
    table->slots = xcalloc(table->slot_count, sizeof(table->slots[0]));
    for (size_t i = 0; i < table->count; i++) {
        const struct table_row *const row = table->rows[i];
        const struct name name = {
            .second = row->name, .second_length = row->name_length, .hash = row->hash};

        *find_slot(table, &name) = i + 1;
    }
}

/* Adds a row for a clean name of at most TABLE_NAME_MAX bytes that has none. */
static struct table_row *add_row(struct table *table, const struct name *name)
{
    struct table_row *const row = xmalloc(table->row_size);

    memset(row, 0, table->row_zeroed);
    if (table->count == table->slot_count / 2)
        grow(table);
    row->hash = name->hash;
    row->name_length = name->second_length;
    memcpy(row->name, name->second, name->second_length);
    *find_slot(table, name) = table->count + 1;
    table->rows[table->count++] = row;
    return row;
}

static struct table_row *other_row(struct table *table)
{
    if (table->other == NULL) {
        const struct name name = whole_name(TABLE_OTHER, strlen(TABLE_OTHER));

        table->other = add_row(table, &name);
    }
    return table->other;
}

static bool is_other(const struct name *name)
{
    return name->second_length == strlen(TABLE_OTHER) &&
           memcmp(name->second, TABLE_OTHER, strlen(TABLE_OTHER)) == 0;
}

static size_t smaller(size_t left, size_t right)
{
    return left < right ? left : right;
}

/* Makes one piece of a name, as a row has it; `ret_text` has room for TABLE_NAME_MAX
 * bytes and the NUL. */
static struct name clean_name(const struct name *name, char *ret_text)
{
    char joined[NAME_BYTES_THAT_COUNT + 1];
    size_t length = 0, more;

    if (name->first != NULL) {
        length = smaller(name->first_length, NAME_BYTES_THAT_COUNT);
        memcpy(joined, name->first, length);
        joined[length++] = ' ';
    }
    more = smaller(name->second_length, sizeof(joined) - length);
    memcpy(joined + length, name->second, more);
    return whole_name(ret_text,
                      text_clean(ret_text, TABLE_NAME_MAX + 1, joined, length + more));
}

/* Names of rows are clean, so a name that equals one needs no cleaning: only what is
 * not found at first is cleaned and looked for again. */
static struct table_row *find_or_add(struct table *table, const struct name *name)
{
    char text[TABLE_NAME_MAX + 1];
    struct table_row *row = find_row(table, name);
    struct name clean;

    if (row != NULL)
        return row;
    clean = clean_name(name, text);
    row = find_row(table, &clean);
    if (row != NULL)
        return row;
    if (is_other(&clean) || table->count - (table->other != NULL) >= table->limit)
        return other_row(table);
    return add_row(table, &clean);
}

void *table_row(struct table *table, const char *name, size_t length)
{
    const struct name whole = whole_name(name, length);

    return find_or_add(table, &whole);
}

void *table_row_joined(struct table *table, const char *first, size_t first_length,
                       const char *second, size_t second_length)
{
    const struct name joined = joined_name(first, first_length, second, second_length);

    return find_or_add(table, &joined);
}

void *table_find(const struct table *table, const char *name, size_t length)
{
    char text[TABLE_NAME_MAX + 1];
    const struct name whole = whole_name(name, length);
    const struct name clean = clean_name(&whole, text);

    return find_row(table, &clean);
}
