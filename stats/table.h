/* stats/table.h - rows found by name, with a bound on their number.
 *
 * What keeps a run's memory bounded by its labels: at `limit` rows a new name gets the
 * row "(other)" instead. Rows keep their address as long as the table lives, and the
 * order in which they came. */
#ifndef STATS_TABLE_H
#define STATS_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define TABLE_NAME_MAX 200u /* bytes; a longer name is cut between characters */
#define TABLE_OTHER "(other)"

/* Every row type begins with one. */
struct table_row {
    uint64_t hash;
    size_t name_length;
    char name[TABLE_NAME_MAX + 1]; /* clean text (text_clean) */
};

struct table {
    size_t row_size;   /* of the row type, table_row included */
    size_t row_zeroed; /* so many bytes of a new row are zero, the others anything */
    size_t limit;      /* rows, "(other)" not counted */
    struct table_row **rows;
    size_t count;  /* rows in use, "(other)" included when it is there */
    size_t *slots; /* open addressing: index into rows + 1, 0 is free */
    size_t slot_count;
    struct table_row *other; /* NULL until it is needed; also in rows */
};

void table_init(struct table *table, size_t row_size, size_t row_zeroed, size_t limit);

/* Frees the rows; what hangs on them is freed by the caller before. */
void table_clear(struct table *table);

/* The row of `name` (made, zero but for its name, when it is new), or "(other)" when the
 * table is full. Never NULL; valid until table_clear(). Allocates only for a new name.
 * The name is cleaned and cut, so two names may share a row. */
void *table_row(struct table *table, const char *name, size_t length);

/* The same for the name "FIRST SECOND", without joining it where its row is there. */
void *table_row_joined(struct table *table, const char *first, size_t first_length,
                       const char *second, size_t second_length);

/* The same as table_row() without making one: NULL where there is none. */
void *table_find(const struct table *table, const char *name, size_t length);

#endif
