#include "broker/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

#define APPLICATION_ID 0x4D6C7476u /* "Mltv" */

/* clang-format off */
static const char schema[] =
    "CREATE TABLE agents("
    " instance TEXT PRIMARY KEY,"
    " name TEXT NOT NULL,"
    " host TEXT NOT NULL,"
    " pid INTEGER NOT NULL,"
    " seen REAL NOT NULL"    /* registered for the last time, s since 1970 */
    ") WITHOUT ROWID;"
    "CREATE TABLE runs("
    " number INTEGER PRIMARY KEY,"
    " id TEXT NOT NULL UNIQUE,"
    " test TEXT NOT NULL,"
    " state TEXT NOT NULL,"
    " created REAL NOT NULL,"
    " started REAL,"
    " ended REAL,"           /* NULL: it goes on */
    " agents INTEGER NOT NULL,"
    " revision INTEGER NOT NULL,"
    " stop INTEGER NOT NULL," /* 0, 1: told to stop, 2: by force */
    " elapsed_us INTEGER NOT NULL,"
    " tidy INTEGER NOT NULL," /* it is over, and its intervals are merged */
    " spec BLOB NOT NULL,"   /* the RUN */
    " facts BLOB NOT NULL,"
    " final BLOB"            /* the END_OF_RUN */
    ");"
    "CREATE INDEX runs_untidy ON runs(number) WHERE tidy = 0;"
    "CREATE TABLE run_agents("
    " run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,"
    " idx INTEGER NOT NULL,"
    " instance TEXT NOT NULL REFERENCES agents,"
    " state TEXT NOT NULL,"
    " sequence INTEGER NOT NULL," /* of the last REPORT that is in the intervals */
#define COUNTED_COLUMN(name) " " #name " INTEGER NOT NULL,"
    STATS_TOTALS(COUNTED_COLUMN)
#undef COUNTED_COLUMN
    " PRIMARY KEY(run, idx)"
    ") WITHOUT ROWID;"
    "CREATE INDEX run_agents_by_instance ON run_agents(instance);"
    "CREATE TABLE intervals("
    " number INTEGER PRIMARY KEY,"
    " run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,"
    " first INTEGER NOT NULL," /* the revisions that are in it */
    " last INTEGER NOT NULL,"
    " level INTEGER NOT NULL," /* 0: of one commit, 1: a second, 2: a minute */
    " from_us INTEGER NOT NULL,"
    " until_us INTEGER NOT NULL,"
    " middle_us INTEGER AS (from_us + (until_us - from_us) / 2),"
    " delta BLOB NOT NULL"
    ");"
    "CREATE INDEX intervals_by_revision ON intervals(run, last);"
    "CREATE INDEX intervals_by_time ON intervals(run, level, middle_us);"
    "CREATE TABLE files("
    " digest TEXT PRIMARY KEY,"
    " used REAL NOT NULL,"   /* s since 1970 */
    " content BLOB NOT NULL"
    ");"
    "CREATE INDEX files_by_use ON files(used);"
    "CREATE TABLE run_files(" /* that a run needs which is not over */
    " digest TEXT NOT NULL,"
    " run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,"
    " PRIMARY KEY(digest, run)"
    ") WITHOUT ROWID;";

#define UNUSED_FILES \
    "files WHERE NOT EXISTS (SELECT 1 FROM run_files f WHERE f.digest = files.digest)"

#define STATEMENTS(X) \
    X(PUT_AGENT, "INSERT INTO agents(instance, name, host, pid, seen)" \
                 " VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT(instance) DO UPDATE SET" \
                 " name = ?2, host = ?3, pid = ?4, seen = ?5") \
    X(ADD_RUN, "INSERT INTO runs(id, test, state, created, agents, revision, stop," \
               " elapsed_us, tidy, spec, facts)" \
               " VALUES(?1, ?2, ?3, ?4, ?5, 0, 0, 0, 1, ?6, ?7)") \
    X(ADD_RUN_FILE, "INSERT OR IGNORE INTO run_files VALUES(?1, ?2)") \
    X(PUT_PROGRESS, "UPDATE runs SET revision = ?2, stop = ?3 WHERE number = ?1") \
    X(PUT_FACTS, "UPDATE runs SET state = ?2, started = ?3, facts = ?4" \
                 " WHERE number = ?1") \
    X(PUT_SLOT, "INSERT OR REPLACE INTO run_agents VALUES" \
                "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)") \
    X(FINISH_RUN, "UPDATE runs SET state = ?2, elapsed_us = ?3, ended = ?4, final = ?5," \
                  " tidy = 0 WHERE number = ?1") \
    X(FIND_RUN, "SELECT final, state FROM runs WHERE id = ?1") \
    X(LIST_OVER, "SELECT id, test, state, agents, created, elapsed_us FROM runs" \
                 " WHERE ended IS NOT NULL ORDER BY number DESC LIMIT ?1") \
    X(NEXT_ACTIVE, "SELECT number, revision, stop, id, spec, facts FROM runs" \
                   " WHERE ended IS NULL AND number > ?1 ORDER BY number LIMIT 1") \
    X(READ_SLOT, "SELECT * FROM run_agents WHERE run = ?1 AND idx = ?2") \
    X(PUT_FILE, "INSERT INTO files(digest, used, content) VALUES(?1, ?2, ?3)" \
                " ON CONFLICT(digest) DO UPDATE SET used = ?2") \
    X(TOUCH_FILE, "UPDATE files SET used = ?2 WHERE digest = ?1") \
    X(READ_FILE, "SELECT content FROM files WHERE digest = ?1") \
    X(NEXT_UNTIDY, "SELECT number FROM runs WHERE tidy = 0 LIMIT 1") \
    X(DROP_RUN_FILES, "DELETE FROM run_files WHERE run = ?1") \
    X(SET_TIDY, "UPDATE runs SET tidy = 1 WHERE number = ?1") \
    X(DELETE_RUN, "DELETE FROM runs WHERE number =" \
                  " (SELECT number FROM runs WHERE ended IS NOT NULL" \
                  " ORDER BY number DESC LIMIT 1 OFFSET ?1)") \
    X(DELETE_FILE, "DELETE FROM files WHERE digest =" \
                   " (SELECT digest FROM " UNUSED_FILES " AND used < ?1" \
                   " ORDER BY used LIMIT 1)") \
    /* The oldest, where it and all that are newer are too much. */ \
    X(TRIM_FILES, "DELETE FROM files WHERE digest =" \
                  " (SELECT digest FROM (SELECT digest, sum(length(content))" \
                  " OVER (ORDER BY used DESC, digest) AS size FROM " UNUSED_FILES ")" \
                  " WHERE size > ?1 ORDER BY size DESC LIMIT 1)") \
    X(DELETE_AGENTS, "DELETE FROM agents WHERE instance IN" \
                     " (SELECT instance FROM agents WHERE seen < ?1 AND NOT EXISTS" \
                     " (SELECT 1 FROM run_agents a WHERE a.instance = agents.instance)" \
                     " LIMIT 100)")
/* clang-format on */

enum {
#define STATEMENT_NUMBER(name, text) DO_##name,
    STATEMENTS(STATEMENT_NUMBER)
#undef STATEMENT_NUMBER
        STATEMENT_COUNT
};

_Static_assert(STATEMENT_COUNT == STORE_STATEMENTS, "one for each row of the table");

static const char *const texts[STATEMENT_COUNT] = {
#define STATEMENT_TEXT(name, text) text,
    STATEMENTS(STATEMENT_TEXT)
#undef STATEMENT_TEXT
};

/* --- opening -------------------------------------------------------------------------------- */

/* The one number that a pragma answers with. */
static int read_pragma(const struct sql *sql, const char *text, uint64_t *ret_number,
                       struct error *err)
{
    sqlite3_stmt *statement;
    int rc;

    if (sql_prepare(sql, &text, 1, &statement, err) == -1)
        return -1;
    rc = sql_next(sql, statement, err);
    if (rc == 1)
        *ret_number = sql_number(statement, 0);
    sql_finalize(&statement, 1);
    return rc == -1 ? -1 : 0;
}

/* Whose database it is: 1: ours; 0: it is new and empty; -1: another's. */
static int identify(const struct sql *sql, struct error *err)
{
    uint64_t application = 0, version = 0, objects = 0;

    if (read_pragma(sql, "SELECT count(*) FROM sqlite_schema", &objects, err) == -1 ||
        read_pragma(sql, "PRAGMA application_id", &application, err) == -1 ||
        read_pragma(sql, "PRAGMA user_version", &version, err) == -1)
        return -1;
    if (objects == 0 && application == 0 && version == 0)
        return 0;
    if (application != APPLICATION_ID)
        return error_set(err, "'%s' is the database of another program", sql->path);
    if (version != STORE_SCHEMA)
        return error_set(err,
                         "the database '%s' has schema %ju, and this broker uses %u: "
                         "name another file with --db",
                         sql->path, (uintmax_t)version, STORE_SCHEMA);
    return 1;
}

/* What identify() looks for. */
static int mark(const struct sql *sql, struct error *err)
{
    char *const marks =
        xasprintf("PRAGMA application_id = %u; PRAGMA user_version = %u",
                  APPLICATION_ID, STORE_SCHEMA);
    const int rc = sql_exec(sql, marks, err);

    free(marks);
    return rc;
}

int store_probe(struct store *store, struct error *err)
{
    return mark(&store->sql, err);
}

/* Writes something in any case: that the disk is full is to be known now. */
static int prepare_database(const struct sql *sql, struct error *err)
{
    const int known = identify(sql, err);

    if (known == -1 ||
        sql_exec(sql,
                 "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                 "PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 67108864",
                 err) == -1 ||
        sql_begin(sql, err) == -1)
        return -1;
    if ((known == 0 && sql_exec(sql, schema, err) == -1) || mark(sql, err) == -1 ||
        sql_commit(sql, err) == -1) {
        sql_rollback(sql);
        return -1;
    }
    return 0;
}

int store_open(struct store *store, const char *path, struct error *err)
{
    *store =
        (struct store){.files_size_max = STORE_FILES_SIZE_MAX, .has_new_files = true};
    if (sql_open(&store->sql, path, err) == -1)
        return -1;
    if (prepare_database(&store->sql, err) == -1 ||
        sql_prepare(&store->sql, texts, STATEMENT_COUNT, store->statements, err) ==
            -1 ||
        intervals_open(&store->intervals, &store->sql, err) == -1) {
        store_close(store);
        return -1;
    }
    return 0;
}

void store_close(struct store *store)
{
    intervals_close(&store->intervals);
    sql_finalize(store->statements, STATEMENT_COUNT);
    sql_close(&store->sql);
}

/* --- agents --------------------------------------------------------------------------------- */

int store_put_agent(struct store *store, const char *instance, const char *name,
                    const char *host, uint64_t pid, struct error *err)
{
    sqlite3_stmt *const statement = store->statements[DO_PUT_AGENT];

    sql_bind_text(statement, 1, instance);
    sql_bind_text(statement, 2, name);
    sql_bind_text(statement, 3, host);
    sql_bind_number(statement, 4, pid);
    sql_bind_double(statement, 5, clock_wall_s());
    return sql_run(&store->sql, statement, err);
}

/* --- runs ----------------------------------------------------------------------------------- */

static void pack_facts(const struct run_facts *facts, struct buffer *buffer)
{
    msgpack_packer packer;

    wire_packer(&packer, buffer);
    facts_pack(facts, &packer);
}

static int add_run_file(struct store *store, const char *digest, uint64_t run,
                        struct error *err)
{
    sqlite3_stmt *const statement = store->statements[DO_ADD_RUN_FILE];

    sql_bind_text(statement, 1, digest);
    sql_bind_number(statement, 2, run);
    return sql_run(&store->sql, statement, err);
}

static int add_run_files(struct store *store, const struct bundle *bundle, uint64_t run,
                         struct error *err)
{
    for (size_t i = 0; i < bundle->count; i++)
        if (add_run_file(store, bundle->files[i].digest, run, err) == -1)
            return -1;
    return add_run_file(store, bundle->object, run, err); /* "", where there is none */
}

int store_add_run(struct store *store, const struct message_run *spec,
                  const struct run_facts *facts, uint64_t *ret_number,
                  struct error *err)
{
    sqlite3_stmt *const statement = store->statements[DO_ADD_RUN];
    struct buffer packed_spec = BUFFER_INIT, packed_facts = BUFFER_INIT;
    int rc;

    message_pack_run(&packed_spec, spec);
    pack_facts(facts, &packed_facts);
    sql_bind_text(statement, 1, facts->run_id);
    sql_bind_text(statement, 2, facts->test);
    sql_bind_text(statement, 3, run_state_words[facts->state]);
    sql_bind_double(statement, 4, facts->created_wall_s);
    sql_bind_number(statement, 5, facts->agent_count);
    sql_bind_bytes(statement, 6, packed_spec.data, packed_spec.size);
    sql_bind_bytes(statement, 7, packed_facts.data, packed_facts.size);
    rc = sql_run(&store->sql, statement, err);
    buffer_clear(&packed_spec);
    buffer_clear(&packed_facts);
    if (rc == -1)
        return -1;
    *ret_number = (uint64_t)sqlite3_last_insert_rowid(store->sql.handle);
    return add_run_files(store, &spec->bundle, *ret_number, err);
}

static int put_facts(struct store *store, uint64_t number,
                     const struct run_facts *facts, struct error *err)
{
    sqlite3_stmt *const statement = store->statements[DO_PUT_FACTS];
    struct buffer packed = BUFFER_INIT;
    int rc;

    pack_facts(facts, &packed);
    sql_bind_number(statement, 1, number);
    sql_bind_text(statement, 2, run_state_words[facts->state]);
    if (facts->started_wall_s > 0)
        sql_bind_double(statement, 3, facts->started_wall_s);
    sql_bind_bytes(statement, 4, packed.data, packed.size);
    rc = sql_run(&store->sql, statement, err);
    buffer_clear(&packed);
    return rc;
}

int store_put_progress(struct store *store, uint64_t number, uint64_t revision,
                       unsigned stop, const struct run_facts *facts, struct error *err)
{
    sqlite3_stmt *const statement = store->statements[DO_PUT_PROGRESS];

    sql_bind_number(statement, 1, number);
    sql_bind_number(statement, 2, revision);
    sql_bind_number(statement, 3, stop);
    if (sql_run(&store->sql, statement, err) == -1)
        return -1;
    return facts != NULL ? put_facts(store, number, facts, err) : 0;
}

int store_put_slot(struct store *store, uint64_t number, size_t index,
                   const char *instance, enum agent_state state, uint64_t sequence,
                   const struct stats_totals *counted, struct error *err)
{
    sqlite3_stmt *const statement = store->statements[DO_PUT_SLOT];
    int column = 0;

    sql_bind_number(statement, ++column, number);
    sql_bind_number(statement, ++column, index);
    sql_bind_text(statement, ++column, instance);
    sql_bind_text(statement, ++column, agent_state_words[state]);
    sql_bind_number(statement, ++column, sequence);
#define BIND_COUNTED(name) sql_bind_number(statement, ++column, counted->name);
    STATS_TOTALS(BIND_COUNTED)
#undef BIND_COUNTED
    return sql_run(&store->sql, statement, err);
}

int store_finish_run(struct store *store, uint64_t number, enum run_state state,
                     uint64_t elapsed_us, const struct buffer *final, struct error *err)
{
    sqlite3_stmt *const statement = store->statements[DO_FINISH_RUN];

    sql_bind_number(statement, 1, number);
    sql_bind_text(statement, 2, run_state_words[state]);
    sql_bind_number(statement, 3, elapsed_us);
    sql_bind_double(statement, 4, clock_wall_s());
    if (final != NULL)
        sql_bind_bytes(statement, 5, final->data, final->size);
    return sql_run(&store->sql, statement, err);
}

static void copy_bytes(sqlite3_stmt *statement, int column, struct buffer *ret_copy)
{
    const struct sql_bytes bytes = sql_bytes(statement, column);

    *ret_copy = BUFFER_INIT;
    if (bytes.size > 0)
        buffer_add(ret_copy, bytes.data, bytes.size);
}

/* 1, and the caller resets the statement; 0: there is no such run; -1. */
static int find_run(struct store *store, const char *id, struct error *err)
{
    sql_bind_text(store->statements[DO_FIND_RUN], 1, id);
    return sql_next(&store->sql, store->statements[DO_FIND_RUN], err);
}

int store_find_run(struct store *store, const char *id, struct buffer *ret_final,
                   struct error *err)
{
    sqlite3_stmt *const statement = store->statements[DO_FIND_RUN];
    const int rc = find_run(store, id, err);

    if (rc != 1)
        return rc;
    if (ret_final != NULL)
        copy_bytes(statement, 0, ret_final);
    sql_reset(statement);
    return 1;
}

static enum run_state state_of_word(const char *word)
{
    for (size_t i = 0; i < RUN_STATE_COUNT; i++)
        if (strcmp(run_state_words[i], word) == 0)
            return (enum run_state)i;
    return RUN_FAILED;
}

int store_find_state(struct store *store, const char *id, enum run_state *ret_state,
                     struct error *err)
{
    sqlite3_stmt *const statement = store->statements[DO_FIND_RUN];
    const int rc = find_run(store, id, err);

    if (rc != 1)
        return rc;
    *ret_state = state_of_word(sql_text(statement, 1));
    sql_reset(statement);
    return 1;
}

static void copy_text(sqlite3_stmt *statement, int column, char *ret_text,
                      size_t capacity)
{
    snprintf(ret_text, capacity, "%s", sql_text(statement, column));
}

static void list_run(sqlite3_stmt *statement, struct message_runs *runs)
{
    struct listed_run *run;

    runs->runs = xrealloc_array(runs->runs, runs->count + 1, sizeof(*runs->runs));
    run = &runs->runs[runs->count++];
    *run = (struct listed_run){
        .test = xstrdup(sql_text(statement, 1)),
        .state = state_of_word(sql_text(statement, 2)),
        .agents = sql_number(statement, 3),
        .created_wall_s = sqlite3_column_double(statement, 4),
        .elapsed_us = sql_number(statement, 5),
    };
    copy_text(statement, 0, run->run, sizeof(run->run));
}

int store_list_over(struct store *store, size_t most, struct message_runs *runs,
                    struct error *err)
{
    sqlite3_stmt *const statement = store->statements[DO_LIST_OVER];
    int rc;

    sql_bind_number(statement, 1, most);
    while ((rc = sql_next(&store->sql, statement, err)) == 1)
        list_run(statement, runs);
    return rc;
}

int store_next_active(struct store *store, uint64_t after, struct stored_run *ret_run,
                      struct error *err)
{
    sqlite3_stmt *const statement = store->statements[DO_NEXT_ACTIVE];
    int rc;

    sql_bind_number(statement, 1, after);
    rc = sql_next(&store->sql, statement, err);
    if (rc != 1)
        return rc;
    *ret_run = (struct stored_run){
        .number = sql_number(statement, 0),
        .revision = sql_number(statement, 1),
        .stop = (unsigned)sqlite3_column_int(statement, 2),
    };
    copy_text(statement, 3, ret_run->id, sizeof(ret_run->id));
    copy_bytes(statement, 4, &ret_run->spec);
    copy_bytes(statement, 5, &ret_run->facts);
    sql_reset(statement);
    return 1;
}

void stored_run_clear(struct stored_run *run)
{
    buffer_clear(&run->spec);
    buffer_clear(&run->facts);
}

int store_read_slot(struct store *store, uint64_t number, size_t index,
                    struct stored_slot *ret_slot, struct error *err)
{
    sqlite3_stmt *const statement = store->statements[DO_READ_SLOT];
    int column = 5, rc;

    sql_bind_number(statement, 1, number);
    sql_bind_number(statement, 2, index);
    rc = sql_next(&store->sql, statement, err);
    if (rc != 1)
        return rc;
    copy_text(statement, 2, ret_slot->instance, sizeof(ret_slot->instance));
    ret_slot->sequence = sql_number(statement, 4);
#define READ_COUNTED(name) ret_slot->counted.name = sql_number(statement, column++);
    STATS_TOTALS(READ_COUNTED)
#undef READ_COUNTED
    sql_reset(statement);
    return 1;
}

/* --- files ---------------------------------------------------------------------------------- */

int store_put_file(struct store *store, const struct message_file *file,
                   struct error *err)
{
    sqlite3_stmt *const statement = store->statements[DO_PUT_FILE];

    sql_bind_text(statement, 1, file->digest);
    sql_bind_double(statement, 2, clock_wall_s());
    sql_bind_bytes(statement, 3, file->content, file->size);
    store->has_new_files = true;
    return sql_run(&store->sql, statement, err);
}

int store_touch_file(struct store *store, const char *digest, struct error *err)
{
    sqlite3_stmt *const statement = store->statements[DO_TOUCH_FILE];

    sql_bind_text(statement, 1, digest);
    sql_bind_double(statement, 2, clock_wall_s());
    if (sql_run(&store->sql, statement, err) == -1)
        return -1;
    return sqlite3_changes(store->sql.handle) > 0;
}

int store_read_file(struct store *store, const char *digest,
                    struct sql_bytes *ret_content, struct error *err)
{
    sqlite3_stmt *const statement = store->statements[DO_READ_FILE];
    int rc;

    sql_bind_text(statement, 1, digest);
    rc = sql_next(&store->sql, statement, err);
    if (rc == 1)
        *ret_content = sql_bytes(statement, 0);
    return rc;
}

void store_file_done(struct store *store)
{
    sql_reset(store->statements[DO_READ_FILE]);
}

/* --- housekeeping --------------------------------------------------------------------------- */

/* A run that is over needs no files, and as few rows as can be. */
static int tidy_run(struct store *store, struct error *err)
{
    sqlite3_stmt *const statement = store->statements[DO_NEXT_UNTIDY];
    sqlite3_stmt *const drop = store->statements[DO_DROP_RUN_FILES];
    sqlite3_stmt *const done = store->statements[DO_SET_TIDY];
    uint64_t number;
    int rc = sql_next(&store->sql, statement, err);

    if (rc != 1)
        return rc;
    number = sql_number(statement, 0);
    sql_reset(statement);
    rc = intervals_compact(&store->intervals, number, UINT64_MAX, err);
    if (rc != 0)
        return rc;
    sql_bind_number(drop, 1, number);
    if (sql_run(&store->sql, drop, err) == -1)
        return -1;
    sql_bind_number(done, 1, number);
    return sql_run(&store->sql, done, err) == -1 ? -1 : 1;
}

/* Deletes what a statement finds: 1: something, 0: nothing, -1. */
static int delete_some(struct store *store, sqlite3_stmt *statement, struct error *err)
{
    if (sql_run(&store->sql, statement, err) == -1)
        return -1;
    return sqlite3_changes(store->sql.handle) > 0;
}

/* All are looked at only where some came: what a run needed till now takes no more room
 * than it did. */
static int trim_files(struct store *store, struct error *err)
{
    sqlite3_stmt *const statement = store->statements[DO_TRIM_FILES];
    int rc;

    if (!store->has_new_files)
        return 0;
    sql_bind_number(statement, 1, store->files_size_max);
    rc = delete_some(store, statement, err);
    store->has_new_files = rc != 0;
    return rc;
}

int store_tidy(struct store *store, double now_wall_s, struct error *err)
{
    sqlite3_stmt *const runs = store->statements[DO_DELETE_RUN];
    sqlite3_stmt *const files = store->statements[DO_DELETE_FILE];
    sqlite3_stmt *const agents = store->statements[DO_DELETE_AGENTS];
    int rc = tidy_run(store, err);

    if (rc != 0)
        return rc;
    sql_bind_number(runs, 1, STORE_RUNS_MAX);
    rc = delete_some(store, runs, err);
    if (rc != 0)
        return rc;
    sql_bind_double(files, 1, now_wall_s - STORE_FILE_AGE_S);
    rc = delete_some(store, files, err);
    if (rc != 0)
        return rc;
    rc = trim_files(store, err);
    if (rc != 0)
        return rc;
    sql_bind_double(agents, 1, now_wall_s - STORE_AGENT_AGE_S);
    return delete_some(store, agents, err);
}
