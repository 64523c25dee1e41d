#include "stats/lines.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

static struct line *line_at(struct lines *lines, size_t index)
{
    return &lines->items[(lines->first + index) % LINES_MAX];
}

uint64_t lines_add(struct lines *lines, enum line_kind kind, const char *text)
{
    char clean[LINE_TEXT_MAX + 1];
    const size_t length = text_clean(clean, sizeof(clean), text, strlen(text));
    const bool is_full = lines->count == LINES_MAX;

    if (is_full) {
        free(lines->items[lines->first].text);
        lines->first = (lines->first + 1) % LINES_MAX;
        lines->count--;
    }
    *line_at(lines, lines->count) =
        (struct line){.kind = kind, .text = xstrndup(clean, length)};
    lines->count++;
    return is_full ? 1 : 0;
}

uint64_t lines_merge(struct lines *into, const struct lines *from)
{
    uint64_t dropped = 0;

    for (size_t i = 0; i < from->count; i++) {
        const struct line *const line = lines_at(from, i);

        dropped += lines_add(into, line->kind, line->text);
    }
    return dropped;
}

const struct line *lines_at(const struct lines *lines, size_t index)
{
    return &lines->items[(lines->first + index) % LINES_MAX];
}

void lines_clear(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        free(line_at(lines, i)->text);
    *lines = (struct lines){.count = 0};
}

const char *line_kind_word(unsigned kind)
{
    static const char *const words[] = {
#define LINE_WORD(name, number, word) [number] = word,
        LINE_KINDS(LINE_WORD)
#undef LINE_WORD
    };

    return kind < ARRAY_SIZE(words) ? words[kind] : NULL;
}
