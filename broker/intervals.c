#include "broker/intervals.h"

#include <stdbool.h>

#include "base/clock.h"
#include "base/memory.h"
#include "stats/saturate.h"
#include "stats/series.h"

enum { LEVEL_COMMIT, LEVEL_SECOND, LEVEL_MINUTE };

#define SECOND_US ((uint64_t)US_PER_S)
#define MINUTE_US ((uint64_t)SERIES_COARSE_S * US_PER_S)
#define ROWS_MERGED_MAX 100u /* in one step: all of a minute, mostly */

/* clang-format off */
#define STATEMENTS(X) \
    X(APPEND, "INSERT INTO intervals(run, first, last, level, from_us, until_us, delta)" \
              " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)") \
    X(SINCE, "SELECT first, last, delta FROM intervals WHERE run = ?1 AND last > ?2" \
             " ORDER BY last LIMIT ?3") \
    /* What is sorted are the numbers alone: the rows of a large run may not fit anywhere. */ \
    X(IN_TIME, "SELECT number FROM intervals WHERE run = ?1 ORDER BY middle_us, number") \
    X(READ, "SELECT first, last, delta FROM intervals WHERE number = ?1") \
    X(OLDEST, "SELECT middle_us FROM intervals" \
              " WHERE run = ?1 AND level = ?2 AND middle_us >= ?3 AND middle_us < ?4" \
              " ORDER BY middle_us LIMIT 1") \
    /* what was merged before comes first: it stays one row */ \
    X(GROUP, "SELECT first, last, delta, number FROM intervals" \
             " WHERE run = ?1 AND level <= ?2 AND middle_us >= ?3 AND middle_us < ?4" \
             " ORDER BY level DESC, last LIMIT ?5") \
    X(DELETE, "DELETE FROM intervals WHERE number = ?1")
/* clang-format on */

enum {
#define STATEMENT_NUMBER(name, text) DO_##name,
    STATEMENTS(STATEMENT_NUMBER)
#undef STATEMENT_NUMBER
};

static const char *const texts[INTERVALS_STATEMENTS] = {
#define STATEMENT_TEXT(name, text) text,
    STATEMENTS(STATEMENT_TEXT)
#undef STATEMENT_TEXT
};

int intervals_open(struct intervals *intervals, const struct sql *sql,
                   struct error *err)
{
    intervals->sql = sql;
    return sql_prepare(sql, texts, INTERVALS_STATEMENTS, intervals->statements, err);
}

void intervals_close(struct intervals *intervals)
{
    sql_finalize(intervals->statements, INTERVALS_STATEMENTS);
}

void intervals_add(struct delta *into, const struct delta *from)
{
    const uint64_t dropped =
        saturating_add(into->stats.lines_dropped, from->stats.lines_dropped);

    delta_merge(into, from);
    into->stats.lines_dropped = dropped;
}

/* --- rows ------------------------------------------------------------------------------- */

static int append_row(struct intervals *intervals, uint64_t run, int level,
                      const struct interval *interval, struct error *err)
{
    sqlite3_stmt *const statement = intervals->statements[DO_APPEND];
    struct buffer packed = BUFFER_INIT;
    msgpack_packer packer;
    int rc;

    wire_packer(&packer, &packed);
    delta_pack(&interval->delta, &packer);
    sql_bind_number(statement, 1, run);
    sql_bind_number(statement, 2, interval->first);
    sql_bind_number(statement, 3, interval->last);
    sql_bind_number(statement, 4, (uint64_t)level);
    sql_bind_number(statement, 5, interval->delta.from_us);
    sql_bind_number(statement, 6, interval->delta.until_us);
    sql_bind_bytes(statement, 7, packed.data, packed.size);
    rc = sql_run(intervals->sql, statement, err);
    buffer_clear(&packed);
    return rc;
}

int intervals_append(struct intervals *intervals, uint64_t run, uint64_t revision,
                     const struct delta *delta, struct error *err)
{
    /* A copy of the struct only: what it holds is borrowed. */
    const struct interval interval = {
        .first = revision, .last = revision, .delta = *delta};

    return append_row(intervals, run, LEVEL_COMMIT, &interval, err);
}

/* What the first three columns of a statement's row hold. */
static int read_row(const struct intervals *intervals, sqlite3_stmt *statement,
                    struct interval *ret_interval, struct error *err)
{
    const struct sql_bytes bytes = sql_bytes(statement, 2);
    struct wire_message message;
    int rc;

    if (wire_decode(bytes.data, bytes.size, &message, err) == -1)
        return error_prefix(err, "the database '%s' is damaged", intervals->sql->path);
    rc = delta_unpack(&message.root, &ret_interval->delta, err);
    wire_clear(&message);
    if (rc == -1)
        return error_prefix(err, "the database '%s' is damaged", intervals->sql->path);
    ret_interval->first = sql_number(statement, 0);
    ret_interval->last = sql_number(statement, 1);
    return 0;
}

/* The row of this number, which is there. */
static int read_numbered(const struct intervals *intervals, uint64_t number,
                         struct interval *ret_interval, struct error *err)
{
    sqlite3_stmt *const statement = intervals->statements[DO_READ];
    int rc;

    sql_bind_number(statement, 1, number);
    rc = sql_next(intervals->sql, statement, err);
    if (rc == 1)
        rc = read_row(intervals, statement, ret_interval, err);
    sql_reset(statement);
    return rc;
}

int intervals_read(struct intervals *intervals, uint64_t run,
                   void (*take)(void *owner, const struct interval *interval),
                   void *owner, struct error *err)
{
    sqlite3_stmt *const statement = intervals->statements[DO_IN_TIME];
    struct interval interval;
    int rc;

    sql_bind_number(statement, 1, run);
    while ((rc = sql_next(intervals->sql, statement, err)) == 1) {
        if (read_numbered(intervals, sql_number(statement, 0), &interval, err) == -1) {
            sql_reset(statement);
            return -1;
        }
        take(owner, &interval);
        delta_clear(&interval.delta);
    }
    return rc;
}

int intervals_sum(struct intervals *intervals, uint64_t run, uint64_t after,
                  struct delta *into, struct error *err)
{
    sqlite3_stmt *const statement = intervals->statements[DO_SINCE];
    size_t count = 0, size = 0;
    int rc;

    sql_bind_number(statement, 1, run);
    sql_bind_number(statement, 2, after);
    sql_bind_number(statement, 3, INTERVALS_MERGED_MAX + 1);
    while ((rc = sql_next(intervals->sql, statement, err)) == 1) {
        struct interval interval;

        size += sql_bytes(statement, 2).size;
        if (++count > INTERVALS_MERGED_MAX || size > INTERVALS_BYTES_MAX ||
            sql_number(statement, 0) <= after) {
            sql_reset(statement);
            return 0;
        }
        if (read_row(intervals, statement, &interval, err) == -1) {
            sql_reset(statement);
            return -1;
        }
        intervals_add(into, &interval.delta);
        delta_clear(&interval.delta);
    }
    return rc == 0 ? 1 : -1;
}

/* --- compaction --------------------------------------------------------------------------- */

/* One way to merge: rows of the level below it, by their middle. */
struct compaction {
    int level;         /* of what comes out */
    uint64_t width_us; /* of what becomes one row */
    uint64_t from_us;  /* the span that it applies to */
    uint64_t until_us;
};

static void bind_span(sqlite3_stmt *statement, uint64_t run, int level,
                      uint64_t from_us, uint64_t until_us)
{
    sql_bind_number(statement, 1, run);
    sql_bind_number(statement, 2, (uint64_t)level);
    sql_bind_number(statement, 3, from_us);
    sql_bind_number(statement, 4, until_us);
}

/* Where the oldest second or minute with something to merge begins: 1, 0: none, -1. */
static int find_oldest(struct intervals *intervals, uint64_t run,
                       const struct compaction *how, uint64_t *ret_from_us,
                       struct error *err)
{
    sqlite3_stmt *const statement = intervals->statements[DO_OLDEST];
    int rc;

    bind_span(statement, run, how->level - 1, how->from_us, how->until_us);
    rc = sql_next(intervals->sql, statement, err);
    if (rc == 1) {
        *ret_from_us = sql_number(statement, 0) / how->width_us * how->width_us;
        sql_reset(statement);
    }
    return rc;
}

static int delete_row(struct intervals *intervals, uint64_t number, struct error *err)
{
    sqlite3_stmt *const statement = intervals->statements[DO_DELETE];

    sql_bind_number(statement, 1, number);
    return sql_run(intervals->sql, statement, err);
}

/* Adds the row that the statement stands at to `merged`, and deletes it. */
static int take_row(struct intervals *intervals, sqlite3_stmt *statement,
                    struct interval *merged, struct error *err)
{
    struct interval row;

    if (read_row(intervals, statement, &row, err) == -1)
        return -1;
    intervals_add(&merged->delta, &row.delta);
    delta_clear(&row.delta);
    if (merged->first == 0 || row.first < merged->first)
        merged->first = row.first;
    if (row.last > merged->last)
        merged->last = row.last;
    return delete_row(intervals, sql_number(statement, 3), err);
}

/* Takes the rows of a span (of very many, some) out of the table. */
static int take_group(struct intervals *intervals, uint64_t run,
                      const struct compaction *how, uint64_t from_us,
                      struct interval *merged, struct error *err)
{
    sqlite3_stmt *const statement = intervals->statements[DO_GROUP];
    int rc;

    bind_span(statement, run, how->level, from_us, from_us + how->width_us);
    sql_bind_number(statement, 5, ROWS_MERGED_MAX);
    while ((rc = sql_next(intervals->sql, statement, err)) == 1) {
        if (take_row(intervals, statement, merged, err) == -1) {
            sql_reset(statement);
            return -1;
        }
    }
    return rc;
}

/* Replaces the rows of a span by one. */
static int merge_group(struct intervals *intervals, uint64_t run,
                       const struct compaction *how, uint64_t from_us,
                       struct error *err)
{
    struct interval merged = {.first = 0};
    int rc = -1;

    delta_init(&merged.delta);
    if (sql_begin(intervals->sql, err) == -1)
        goto out;
    if (take_group(intervals, run, how, from_us, &merged, err) == -1 ||
        append_row(intervals, run, how->level, &merged, err) == -1 ||
        sql_commit(intervals->sql, err) == -1)
        goto out;
    rc = 0;
out:
    if (rc == -1)
        sql_rollback(intervals->sql);
    delta_clear(&merged.delta);
    return rc;
}

/* The last whole second or minute that is so long ago; what is open is not merged yet. */
static uint64_t end_of_span(uint64_t now_us, uint64_t age_s, uint64_t width_us)
{
    const uint64_t age_us = age_s * US_PER_S;

    return now_us > age_us ? (now_us - age_us) / width_us * width_us : 0;
}

int intervals_compact(struct intervals *intervals, uint64_t run, uint64_t now_us,
                      struct error *err)
{
    const struct compaction ways[] = {
        {LEVEL_SECOND, SECOND_US, 0,
         end_of_span(now_us, INTERVALS_FINE_AFTER_S,   SECOND_US)},
        {LEVEL_MINUTE, MINUTE_US, SERIES_FINE_S * SECOND_US,
         end_of_span(now_us, INTERVALS_COARSE_AFTER_S, MINUTE_US)},
    };

    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        uint64_t from_us;
        const int rc = find_oldest(intervals, run, &ways[i], &from_us, err);

        if (rc == 1 && merge_group(intervals, run, &ways[i], from_us, err) == 0)
            return 1;
        if (rc != 0)
            return -1;
    }
    return 0;
}
