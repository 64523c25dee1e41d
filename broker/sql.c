#include "broker/sql.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"

/* Somebody may look at the database with a tool of theirs; nobody may hold us up. */
enum { BUSY_TIMEOUT_MS = 200 };

int sql_fail(const struct sql *sql, const char *what, struct error *err)
{
    const int code = sqlite3_errcode(sql->handle);
    const int cause = sqlite3_system_errno(sql->handle);

    if (code == SQLITE_NOTADB)
        return error_set(err, "'%s' is no database", sql->path);
    /* Of a full disk SQLite knows all there is to say. */
    if (cause != 0 && code != SQLITE_FULL &&
        (code == SQLITE_CANTOPEN || code == SQLITE_IOERR))
        return error_set(err, "cannot %s the database '%s': %s: %s", what, sql->path,
                         sqlite3_errmsg(sql->handle), strerror(cause));
    return error_set(err, "cannot %s the database '%s': %s", what, sql->path,
                     sqlite3_errmsg(sql->handle));
}

int sql_open(struct sql *sql, const char *path, struct error *err)
{
    const mode_t before = umask(077); /* jobs hold what their users keep secret */
    int code;

    *sql = (struct sql){.path = xstrdup(path)};
    code = sqlite3_open_v2(path, &sql->handle,
                           SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    umask(before);
    if (code != SQLITE_OK) {
        sql_fail(sql, "open", err);
        sql_close(sql);
        return -1;
    }
    sqlite3_busy_timeout(sql->handle, BUSY_TIMEOUT_MS);
    return 0;
}

void sql_close(struct sql *sql)
{
    sqlite3_close(sql->handle);
    free(sql->path);
    *sql = (struct sql){.path = NULL};
}

int sql_exec(const struct sql *sql, const char *text, struct error *err)
{
    if (sqlite3_exec(sql->handle, text, NULL, NULL, NULL) != SQLITE_OK)
        return sql_fail(sql, "use", err);
    return 0;
}

int sql_prepare(const struct sql *sql, const char *const *texts, size_t count,
                sqlite3_stmt **ret_statements, struct error *err)
{
    for (size_t i = 0; i < count; i++)
        ret_statements[i] = NULL;
    for (size_t i = 0; i < count; i++) {
        if (sqlite3_prepare_v3(sql->handle, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &ret_statements[i], NULL) == SQLITE_OK)
            continue;
        sql_fail(sql, "use", err);
        sql_finalize(ret_statements, count);
        return -1;
    }
    return 0;
}

void sql_finalize(sqlite3_stmt **statements, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sqlite3_finalize(statements[i]);
        statements[i] = NULL;
    }
}

void sql_reset(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement); /* what was bound may soon be gone */
}

int sql_next(const struct sql *sql, sqlite3_stmt *statement, struct error *err)
{
    const int code = sqlite3_step(statement);

    if (code == SQLITE_ROW)
        return 1;
    if (code != SQLITE_DONE)
        sql_fail(sql, sqlite3_stmt_readonly(statement) ? "read" : "write", err);
    sql_reset(statement);
    return code == SQLITE_DONE ? 0 : -1;
}

int sql_run(const struct sql *sql, sqlite3_stmt *statement, struct error *err)
{
    const int rc = sql_next(sql, statement, err);

    if (rc == 1) /* it is no statement for this: its rows are not wanted */
        sql_reset(statement);
    return rc == -1 ? -1 : 0;
}

int sql_begin(const struct sql *sql, struct error *err)
{
    return sql_exec(sql, "BEGIN IMMEDIATE", err);
}

int sql_commit(const struct sql *sql, struct error *err)
{
    return sql_exec(sql, "COMMIT", err);
}

void sql_rollback(const struct sql *sql)
{
    if (!sqlite3_get_autocommit(sql->handle)) /* a full disk may have done it already */
        sqlite3_exec(sql->handle, "ROLLBACK", NULL, NULL, NULL);
}

void sql_bind_number(sqlite3_stmt *statement, int index, uint64_t value)
{
    sqlite3_bind_int64(statement, index,
                       value < INT64_MAX ? (int64_t)value : INT64_MAX);
}

void sql_bind_double(sqlite3_stmt *statement, int index, double value)
{
    sqlite3_bind_double(statement, index, value);
}

void sql_bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

void sql_bind_bytes(sqlite3_stmt *statement, int index, const void *data, size_t size)
{
    sqlite3_bind_blob64(statement, index, size > 0 ? data : "", size, SQLITE_STATIC);
}

uint64_t sql_number(sqlite3_stmt *statement, int column)
{
    const int64_t value = sqlite3_column_int64(statement, column);

    return value > 0 ? (uint64_t)value : 0;
}

const char *sql_text(sqlite3_stmt *statement, int column)
{
    const unsigned char *const text = sqlite3_column_text(statement, column);

    return text != NULL ? (const char *)text : "";
}

struct sql_bytes sql_bytes(sqlite3_stmt *statement, int column)
{
    const void *const data = sqlite3_column_blob(statement, column);
    const int size = sqlite3_column_bytes(statement, column);

    return (struct sql_bytes){.data = data, .size = size > 0 ? (size_t)size : 0};
}
