#include "outputs/grid.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/text.h"
#include "outputs/words.h"

enum { INDENT = 2, GAP = 2, COLUMNS_MAX = 16 };

/* How a grid is laid out in the width there is. */
struct layout {
    size_t widths[COLUMNS_MAX];
    size_t gap;
    size_t width;
    bool stacked; /* labels on lines of their own */
};

void grid_clear(struct grid *grid)
{
    text_list_clear(&grid->cells);
}

void grid_add(struct grid *grid, const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    text_list_add(&grid->cells, text);
    free(text);
}

static size_t larger(size_t left, size_t right)
{
    return left > right ? left : right;
}

static size_t figures_width(const struct grid *grid, const struct layout *layout)
{
    size_t width = 0;

    for (size_t i = 1; i < grid->columns; i++)
        width += layout->gap + layout->widths[i];
    return width;
}

static void measure(const struct grid *grid, struct layout *layout)
{
    for (size_t i = 0; i < grid->columns; i++)
        layout->widths[i] = text_width(grid->headings[i]);
    for (size_t i = 0, column = 0; i < grid->cells.count; i++) {
        const size_t indent = column == 0 ? INDENT : 0;

        layout->widths[column] =
            larger(layout->widths[column], indent + text_width(grid->cells.items[i]));
        column = column + 1 < grid->columns ? column + 1 : 0;
    }
}

/* Labels beside their figures where both fit, else above them; closer if need be. */
static struct layout arrange(const struct grid *grid, size_t width)
{
    struct layout layout = {.width = width};

    measure(grid, &layout);
    for (int attempt = 0; attempt < 4; attempt++) {
        layout.stacked = attempt >= 2;
        layout.gap = attempt % 2 == 0 ? GAP : 1;
        if (layout.stacked)
            layout.widths[0] = INDENT;
        if (layout.widths[0] + figures_width(grid, &layout) <= width)
            break;
    }
    return layout;
}

static void add_figures(const struct grid *grid, const struct layout *layout,
                        const char *const *cells, struct buffer *text)
{
    for (size_t i = 1; i < grid->columns; i++)
        buffer_printf(text, "%*s%s",
                      (int)(layout->gap + layout->widths[i] - text_width(cells[i])), "",
                      cells[i]);
    buffer_add_text(text, "\n");
}

static void add_label(const struct layout *layout, size_t indent, const char *label,
                      struct buffer *text)
{
    const size_t room = (layout->stacked ? layout->width : layout->widths[0]) - indent;
    const size_t shown = text_width(label) < room ? text_width(label) : room;

    buffer_printf(text, "%*s", (int)indent, "");
    words_add_cut(text, label, room);
    if (layout->stacked)
        buffer_printf(text, "\n%*s", (int)layout->widths[0], "");
    else
        buffer_printf(text, "%*s", (int)(room - shown), "");
}

void grid_write(const struct grid *grid, size_t width, bool colour, struct buffer *text)
{
    const struct layout layout = arrange(grid, width);

    if (grid->cells.count == 0)
        return;
    buffer_add_text(text, colour ? "\n\033[1m" : "\n");
    add_label(&layout, 0, grid->headings[0], text);
    add_figures(grid, &layout, grid->headings, text);
    if (colour) {
        text->size--; /* the reset goes before the end of the line */
        buffer_add_text(text, "\033[0m\n");
    }
    for (size_t i = 0; i + grid->columns <= grid->cells.count; i += grid->columns) {
        const char *const *const cells = (const char *const *)grid->cells.items + i;

        add_label(&layout, INDENT, cells[0], text);
        add_figures(grid, &layout, cells, text);
    }
}
