/* tests/differential/compare.h - in what two outcomes of one script differ, and whether
 * that is accepted. */
#ifndef DIFFERENTIAL_COMPARE_H
#define DIFFERENTIAL_COMPARE_H

#include <stdbool.h>
#include <stddef.h>

#include "differential/play.h"
#include "differential/reference.h"
#include "differential/script.h"

#define DIFFERENTIAL_ASPECTS(X) \
    X(OUTCOME, "complete or not") \
    X(WORDS, "words of the failure") \
    X(WRITTEN, "written or not") \
    X(REQUESTS, "requests that the server got") \
    X(STATUS, "status") \
    X(REASON, "reason") \
    X(HEAD, "header lines") \
    X(BODY, "body") \
    X(BYTES_IN, "bytes that came in") \
    X(REPLACED, "replaced connection") \
    X(NEXT, "outcome of the next request") \
    X(NEXT_CONNECTION, "connection of the next request") \
    X(NEXT_REPLACED, "replaced connection of the next request")

#define X(name, words) ASPECT_##name,
enum aspect { DIFFERENTIAL_ASPECTS(X) ASPECT_COUNT };
#undef X

/* One script and what two transports made of it; or one of them, which then got it whole
 * on the left. */
struct pair {
    const struct script *script;
    enum flaw flaw;             /* of the script */
    bool is_cut_in_status_line; /* of which some bytes came */
    const struct outcome *left, *right;
};

const char *aspect_words(enum aspect aspect);
bool pair_differs(const struct pair *pair, enum aspect aspect);

/* An accepted difference between these transports. */
struct accepted {
    const char *left, *right;
    enum aspect aspect;
    enum flaw flaw;                           /* of the script, unless ... */
    bool (*applies)(const struct pair *pair); /* ... this says otherwise; NULL: no */
    const char *name, *reason;
};

extern const struct accepted accepted_rows[];
extern const size_t accepted_count;

/* Whether a row is about these two. */
bool accepted_is_of(const struct accepted *row, const char *left, const char *right);

/* The row that accepts it; NULL: none. */
const struct accepted *accepted_find(const struct pair *pair, enum aspect aspect);

#endif
