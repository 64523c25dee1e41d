/* outputs/grid.h - rows of figures in aligned columns.
 *
 * The first column holds labels and is aligned left; the others hold figures and are
 * aligned right. Where a label leaves no room for its figures, each label gets a line
 * of its own, above its figures: figures are never cut. */
#ifndef OUTPUTS_GRID_H
#define OUTPUTS_GRID_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "job/options.h"

struct grid {
    const char *const *headings; /* the first one is the title of the grid */
    size_t columns;
    struct text_list cells; /* row by row */
};

#define GRID_INIT(headings_of_columns) \
    ((struct grid){ \
        .headings = (headings_of_columns), \
        .columns = ARRAY_SIZE(headings_of_columns), \
    })

void grid_clear(struct grid *grid);

/* Adds one cell, of clean text. */
void grid_add(struct grid *grid, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes headings and rows within `width` columns; nothing where there is no row. */
void grid_write(const struct grid *grid, size_t width, bool colour,
                struct buffer *text);

#endif
