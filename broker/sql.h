/* broker/sql.h - SQLite with our errors: what was wrong, with which file, in words.
 *
 * A statement is prepared once; sql_run() and sql_next() leave it ready for the next use
 * whenever they fail or come to the end. Numbers beyond what SQLite holds (63 bits) are
 * stored as the largest. */
#ifndef BROKER_SQL_H
#define BROKER_SQL_H

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

#include "base/buffer.h"
#include "base/error.h"

struct sql {
    sqlite3 *handle;
    char *path;
};

/* Borrowed from a statement's row until its next step. */
struct sql_bytes {
    const void *data; /* NULL: none */
    size_t size;
};

int sql_open(struct sql *sql, const char *path, struct error *err);
void sql_close(struct sql *sql); /* its statements were finalized; twice is fine */

/* Fills `err` with the last failure: "PATH: cannot WHAT: why". Returns -1. */
int sql_fail(const struct sql *sql, const char *what, struct error *err);

/* Statements without results, separated by ';'. */
int sql_exec(const struct sql *sql, const char *text, struct error *err);

/* Prepares `count` texts; -1: none is left. A statement is NULL or finalized by
 * sql_finalize(). */
int sql_prepare(const struct sql *sql, const char *const *texts, size_t count,
                sqlite3_stmt **ret_statements, struct error *err);
void sql_finalize(sqlite3_stmt **statements, size_t count);

/* Runs a statement without results, parameters bound before. */
int sql_run(const struct sql *sql, sqlite3_stmt *statement, struct error *err);

/* Steps to the next row: 1; 0 at the end; -1. */
int sql_next(const struct sql *sql, sqlite3_stmt *statement, struct error *err);
void sql_reset(sqlite3_stmt *statement); /* where not all rows are wanted */

/* All or nothing. A begin that failed needs no rollback, all else does. */
int sql_begin(const struct sql *sql, struct error *err);
int sql_commit(const struct sql *sql, struct error *err);
void sql_rollback(const struct sql *sql);

/* Parameters are numbered from 1; texts and bytes must live until the statement ran. */
void sql_bind_number(sqlite3_stmt *statement, int index, uint64_t value);
void sql_bind_double(sqlite3_stmt *statement, int index, double value);
void sql_bind_text(sqlite3_stmt *statement, int index, const char *text); /* or NULL */
void sql_bind_bytes(sqlite3_stmt *statement, int index, const void *data, size_t size);

/* Columns are numbered from 0. A negative number is read as 0. */
uint64_t sql_number(sqlite3_stmt *statement, int column);
const char *sql_text(sqlite3_stmt *statement, int column); /* "" for NULL */
struct sql_bytes sql_bytes(sqlite3_stmt *statement, int column);

#endif
