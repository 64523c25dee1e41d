/* stats/lines.h - recent lines for people: what a worker does, a failure, a print.
 *
 * The one thing in a delta that may be dropped: at most LINES_MAX wait, the oldest goes
 * first, and how many went is counted (stats.lines_dropped). */
#ifndef STATS_LINES_H
#define STATS_LINES_H

#include <stddef.h>
#include <stdint.h>

#define LINES_MAX 100u
#define LINE_TEXT_MAX 500u /* bytes */

#define LINE_KINDS(X)          /* numbers are on the wire and never reused */ \
    X(ACTIVITY, 1, "activity") /* what a worker does */ \
    X(FAILURE, 2, "failure")   /* why a run of a scenario, or a fixture, failed */ \
    X(PRINT, 3, "print")       /* a script's mlt_print() */ \
    X(NOTICE, 4, "notice")     /* news of the run itself: a process died */

enum line_kind {
#define LINE_NUMBER(name, number, word) LINE_##name = number,
    LINE_KINDS(LINE_NUMBER)
#undef LINE_NUMBER
};

struct line {
    enum line_kind kind;
    char *text; /* clean (text_clean) */
};

/* A ring: the oldest is at `first`. All zero is empty. */
struct lines {
    struct line items[LINES_MAX];
    size_t first, count;
};

/* Returns how many older lines had to go (0 or 1). */
uint64_t lines_add(struct lines *lines, enum line_kind kind, const char *text);
uint64_t lines_merge(struct lines *into, const struct lines *from);   /* dropped */
const struct line *lines_at(const struct lines *lines, size_t index); /* 0: oldest */
void lines_clear(struct lines *lines);

/* "failure" of LINE_FAILURE; NULL for a number that is no kind. */
const char *line_kind_word(unsigned kind);

#endif
