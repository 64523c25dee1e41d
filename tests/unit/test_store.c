#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "stats/series.h"
#include "unit/broker_world.h"

/* --- the database --------------------------------------------------------------------------- */

static void expect_refused(const char *path, const char *why)
{
    struct store store;
    struct error err = {.message = ""};

    assert_int_equal(store_open(&store, path, &err), -1);
    if (strstr(err.message, why) == NULL || strstr(err.message, path) == NULL)
        fail_msg("'%s' does not name '%s' and say '%s'", err.message, path, why);
}

static void change(struct world *world, const char *statement)
{
    struct error err;

    check(sql_exec(&world->store.sql, statement, &err), &err);
}

static void test_other_schema(void **state)
{
    struct world *const world = *state;

    change(world, "PRAGMA user_version = 77");
    store_close(&world->store);
    expect_refused(world->db, "schema 77");
}

static void test_other_program(void **state)
{
    struct world *const world = *state;

    change(world, "PRAGMA application_id = 77");
    store_close(&world->store);
    expect_refused(world->db, "another program");
}

static void test_no_database(void **state)
{
    struct world *const world = *state;
    char *const path = xasprintf("%s/text", world->directory);
    struct error err;
    char text[4000];

    memset(text, 'x', sizeof(text));
    check(file_write(path, text, sizeof(text), 0600, &err), &err);
    expect_refused(path, "no database");
    expect_refused(world->directory, "cannot open");
    expect_refused("/nowhere/at.db", "No such file or directory");
    free(path);
}

/* Jobs hold what their users keep secret. */
static void test_private(void **state)
{
    const struct world *const world = *state;
    struct stat info;

    assert_int_equal(stat(world->db, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

/* --- runs ------------------------------------------------------------------------------------ */

/* One that has a file of this digest; NULL: none. */
static uint64_t add_run_with(struct world *world, const char *id, const char *digest)
{
    struct message_run spec = world_spec(1);
    struct run_facts facts;
    uint64_t number;
    struct error err;

    free(spec.job.run_id);
    spec.job.run_id = xstrdup(id);
    if (digest != NULL)
        bundle_add(&spec.bundle, "file", digest, 1);
    facts_init(&facts);
    facts.run_id = xstrdup(id);
    facts.test = xstrdup(spec.job.test);
    check(store_add_run(&world->store, &spec, &facts, &number, &err), &err);
    facts_clear(&facts);
    message_run_clear(&spec);
    return number;
}

static uint64_t add_run(struct world *world, const char *id)
{
    return add_run_with(world, id, NULL);
}

static void finish_run(struct world *world, uint64_t number, const char *final)
{
    struct buffer content = BUFFER_INIT;
    struct error err;

    buffer_add_text(&content, final);
    check(store_finish_run(&world->store, number, RUN_STOPPED, 1234, &content, &err),
          &err);
    buffer_clear(&content);
}

static void test_runs(void **state)
{
    struct world *const world = *state;
    const uint64_t first = add_run(world, "first"), second = add_run(world, "second");
    struct buffer final = BUFFER_INIT;
    struct stored_run stored;
    struct message_runs runs = {.count = 0};
    enum run_state found = RUN_STATE_COUNT;
    struct error err;

    assert_int_equal(store_find_run(&world->store, "third", NULL, &err), 0);
    assert_int_equal(store_find_state(&world->store, "third", &found, &err), 0);
    assert_int_equal(found, RUN_STATE_COUNT);
    assert_int_equal(store_find_state(&world->store, "first", &found, &err), 1);
    assert_false(run_state_is_over(found));
    assert_int_equal(store_find_run(&world->store, "first", &final, &err), 1);
    assert_int_equal(final.size, 0);
    assert_int_equal(store_next_active(&world->store, 0, &stored, &err), 1);
    assert_int_equal(stored.number, first);
    assert_string_equal(stored.id, "first");
    stored_run_clear(&stored);

    finish_run(world, first, "the end");
    assert_int_equal(store_find_run(&world->store, "first", &final, &err), 1);
    assert_string_equal(buffer_text(&final), "the end");
    assert_int_equal(store_find_state(&world->store, "first", &found, &err), 1);
    assert_int_equal(found, RUN_STOPPED);
    assert_int_equal(store_next_active(&world->store, 0, &stored, &err), 1);
    assert_int_equal(stored.number, second);
    stored_run_clear(&stored);
    assert_int_equal(store_next_active(&world->store, second, &stored, &err), 0);

    assert_int_equal(store_list_over(&world->store, 10, &runs, &err), 0);
    assert_int_equal(runs.count, 1);
    assert_string_equal(runs.runs[0].run, "first");
    assert_int_equal(runs.runs[0].state, RUN_STOPPED);
    assert_int_equal(runs.runs[0].elapsed_us, 1234);
    message_runs_clear(&runs);
    buffer_clear(&final);
}

static uint64_t count(struct world *world, const char *what)
{
    char *const text = xasprintf("SELECT count(*) FROM %s", what);
    const char *const texts[] = {text};
    sqlite3_stmt *statement;
    uint64_t number;
    struct error err;

    check(sql_prepare(&world->store.sql, texts, 1, &statement, &err), &err);
    assert_int_equal(sql_next(&world->store.sql, statement, &err), 1);
    number = sql_number(statement, 0);
    sql_finalize(&statement, 1);
    free(text);
    return number;
}

static void tidy_all(struct world *world, double now_wall_s)
{
    struct error err;
    int rc;

    while ((rc = store_tidy(&world->store, now_wall_s, &err)) == 1) {
    }
    check(rc, &err);
}

/* The oldest runs go with all of theirs, and never one that is not over. */
static void test_old_runs_go(void **state)
{
    struct world *const world = *state;
    struct stats_totals counted = {.ok = 1};
    struct error err;
    char id[32];

    add_run(world, "goes-on");
    check(store_put_agent(&world->store, "a", "a", "host", 1, &err), &err);
    for (unsigned i = 0; i < STORE_RUNS_MAX + 20; i++) {
        uint64_t number;

        snprintf(id, sizeof(id), "run-%u", i);
        number = add_run(world, id);
        check(store_put_slot(&world->store, number, 0, "a", AGENT_ENDED, 3, &counted,
                             &err),
              &err);
        finish_run(world, number, "the end");
    }
    tidy_all(world, clock_wall_s());
    assert_int_equal(count(world, "runs"), STORE_RUNS_MAX + 1);
    assert_int_equal(count(world, "run_agents"), STORE_RUNS_MAX);
    assert_int_equal(store_find_run(&world->store, "goes-on", NULL, &err), 1);
    assert_int_equal(store_find_run(&world->store, "run-19", NULL, &err), 0);
    assert_int_equal(store_find_run(&world->store, "run-20", NULL, &err), 1);
    /* An agent of a run is kept, however long ago it was there. */
    tidy_all(world, clock_wall_s() + 2 * STORE_AGENT_AGE_S);
    assert_int_equal(count(world, "agents"), 1);
    change(world, "DELETE FROM runs");
    tidy_all(world, clock_wall_s());
    assert_int_equal(count(world, "agents"), 1);
    tidy_all(world, clock_wall_s() + 2 * STORE_AGENT_AGE_S);
    assert_int_equal(count(world, "agents"), 0);
}

/* --- files ----------------------------------------------------------------------------------- */

static struct message_file file_of(const char *content)
{
    struct message_file file = {.content = content, .size = strlen(content)};

    digest_of(file.content, file.size, file.digest);
    return file;
}

static void test_files(void **state)
{
    struct world *const world = *state;
    const struct message_file full = file_of("int x;"), empty = file_of("");
    struct sql_bytes content;
    struct error err;

    assert_int_equal(store_touch_file(&world->store, full.digest, &err), 0);
    assert_int_equal(store_read_file(&world->store, full.digest, &content, &err), 0);
    check(store_put_file(&world->store, &full, &err), &err);
    check(store_put_file(&world->store, &full, &err), &err);
    check(store_put_file(&world->store, &empty, &err), &err);
    assert_int_equal(store_touch_file(&world->store, full.digest, &err), 1);
    assert_int_equal(store_read_file(&world->store, full.digest, &content, &err), 1);
    assert_int_equal(content.size, full.size);
    assert_memory_equal(content.data, full.content, full.size);
    store_file_done(&world->store);
    assert_int_equal(store_read_file(&world->store, empty.digest, &content, &err), 1);
    assert_int_equal(content.size, 0);
    store_file_done(&world->store);

    tidy_all(world, clock_wall_s() + STORE_FILE_AGE_S - 60);
    assert_int_equal(count(world, "files"), 2);
    tidy_all(world, clock_wall_s() + STORE_FILE_AGE_S + 60);
    assert_int_equal(count(world, "files"), 0);
}

static void put_file(struct world *world, const char *content)
{
    const struct message_file file = file_of(content);
    struct error err;

    check(store_put_file(&world->store, &file, &err), &err);
}

static bool has_file(struct world *world, const char *content)
{
    const struct message_file file = file_of(content);
    struct sql_bytes bytes;
    struct error err;
    const int rc = store_read_file(&world->store, file.digest, &bytes, &err);

    check(rc, &err);
    store_file_done(&world->store);
    return rc == 1;
}

/* What a run needs stays until it is over, however old it is. */
static void test_files_of_runs(void **state)
{
    struct world *const world = *state;
    const double late_wall_s = clock_wall_s() + 2 * STORE_FILE_AGE_S;
    uint64_t first, second;

    put_file(world, "needed");
    put_file(world, "not needed");
    first = add_run_with(world, "first", file_of("needed").digest);
    second = add_run_with(world, "second", file_of("needed").digest);
    tidy_all(world, late_wall_s);
    assert_true(has_file(world, "needed"));
    assert_false(has_file(world, "not needed"));
    finish_run(world, first, "the end");
    tidy_all(world, late_wall_s);
    assert_true(has_file(world, "needed"));
    finish_run(world, second, "the end");
    tidy_all(world, late_wall_s);
    assert_false(has_file(world, "needed"));
}

/* Where there are too many, those go that were not used for longest; but none that a run
 * needs, and those do not count. */
static void test_too_many_files(void **state)
{
    struct world *const world = *state;

    world->store.files_size_max = 10;
    put_file(world, "needed by a run");
    put_file(world, "old");
    put_file(world, "used");
    put_file(world, "new");
    change(world,
           "UPDATE files SET used = rowid"); /* in the order in which they came */
    add_run_with(world, "run", file_of("needed by a run").digest);
    tidy_all(world, 0);
    assert_int_equal(count(world, "files"), 4); /* 10 bytes, and what is needed */
    put_file(world, "newest");
    tidy_all(world, 0);
    assert_int_equal(count(world, "files"), 3);
    assert_true(has_file(world, "needed by a run"));
    assert_true(has_file(world, "new"));
    assert_true(has_file(world, "newest"));
}

/* --- intervals ------------------------------------------------------------------------------- */

/* Random measurements of an interval. */
static void measure(struct random *random, struct delta *delta, uint64_t from_us,
                    uint64_t until_us)
{
    delta_init(delta);
    delta->from_us = from_us;
    delta->until_us = until_us;
    for (int i = 0; i < 3; i++) {
        const struct recording what = random_recording(random, 3);

        record(&delta->stats, &what);
    }
    delta_add_line(delta, LINE_ACTIVITY, "it goes on");
}

struct history {
    struct delta total;
    struct series series;
    uint64_t revision, end_us;
};

/* Commits of so many seconds, of which some come late. */
static void make_history(struct world *world, uint64_t run, unsigned seconds,
                         struct random *random, struct history *ret_history)
{
    struct history history = {.revision = 0};
    struct error err;

    delta_init(&history.total);
    series_init(&history.series);
    check(sql_begin(&world->store.sql, &err), &err);
    for (uint64_t at_us = 500000; at_us <= seconds * (uint64_t)US_PER_S;
         at_us += 500000) {
        const uint64_t late_us =
            random_chance(random, 10) ? random_below(random, 5000000) : 0;
        const uint64_t until_us = at_us > late_us + 400000 ? at_us - late_us : at_us;
        struct delta delta;

        measure(random, &delta, until_us - 400000, until_us);
        check(intervals_append(&world->store.intervals, run, ++history.revision, &delta,
                               &err),
              &err);
        intervals_add(&history.total, &delta);
        series_add(&history.series, &delta);
        delta_clear(&delta);
        history.end_us = at_us;
    }
    check(sql_commit(&world->store.sql, &err), &err);
    *ret_history = history;
}

static void history_clear(struct history *history)
{
    delta_clear(&history->total);
    series_clear(&history->series);
}

static void expect_same_delta(const struct delta *got, const struct delta *want)
{
    struct buffer left = BUFFER_INIT, right = BUFFER_INIT;

    pack_into(&left, got);
    pack_into(&right, want);
    assert_int_equal(left.size, right.size);
    assert_memory_equal(left.data, right.data, left.size);
    buffer_clear(&left);
    buffer_clear(&right);
}

/* Rows of the series hold the same, but for those that come late: what is merged is sorted
 * into its own second. */
static void expect_same_ends(const struct series *got, const struct series *want)
{
    uint64_t hits = 0, wanted_hits = 0, failed = 0, wanted_failed = 0;

    assert_int_equal(got->count, want->count);
    assert_int_equal(got->workers_started, want->workers_started);
    assert_int_equal(got->workers, want->workers);
    for (size_t i = 0; i < want->count; i++) {
        assert_int_equal(got->rows[i].start_s, want->rows[i].start_s);
        hits += got->rows[i].hits;
        wanted_hits += want->rows[i].hits;
        failed += got->rows[i].failed;
        wanted_failed += want->rows[i].failed;
    }
    assert_int_equal(hits, wanted_hits);
    assert_int_equal(failed, wanted_failed);
}

static void take_interval(void *owner, const struct interval *interval)
{
    struct history *const history = owner;

    intervals_add(&history->total, &interval->delta);
    series_add(&history->series, &interval->delta);
    if (interval->last > history->revision)
        history->revision = interval->last;
}

/* All rows, as a broker reads them that comes after the death of another. */
static struct history read_history(struct world *world, uint64_t run)
{
    struct history history = {.revision = 0};
    struct error err;

    delta_init(&history.total);
    series_init(&history.series);
    check(intervals_read(&world->store.intervals, run, take_interval, &history, &err),
          &err);
    return history;
}

/* Reads all rows back, and compares. */
static void expect_history(struct world *world, uint64_t run,
                           const struct history *history)
{
    struct history got = read_history(world, run);

    assert_int_equal(got.revision, history->revision);
    lines_clear(&got.total.lines); /* the ones that are kept are not the same */
    got.total.lines = (struct lines){.count = 0};
    expect_same_delta(&got.total, &history->total);
    expect_same_ends(&got.series, &history->series);
    history_clear(&got);
}

static void compact_all(struct world *world, uint64_t run, uint64_t now_us)
{
    struct error err;
    int rc;

    while ((rc = intervals_compact(&world->store.intervals, run, now_us, &err)) == 1) {
    }
    check(rc, &err);
}

/* A run of an hour becomes rows of seconds and of minutes, and its sums stay what they
 * were, at every step. */
static void test_compaction(void **state)
{
    struct world *const world = *state;
    struct random random = random_start("compaction");
    const uint64_t run = add_run(world, "long");
    struct history history;

    make_history(world, run, 3600, &random, &history);
    lines_clear(&history.total.lines);
    history.total.lines = (struct lines){.count = 0};
    assert_int_equal(count(world, "intervals"), 7200);
    for (uint64_t now_us = 0; now_us <= history.end_us; now_us += 600 * US_PER_S) {
        compact_all(world, run, now_us);
        expect_history(world, run, &history);
    }
    /* The first ten minutes by the second, then up to 3000 s by the minute, the next 540 s
     * by the second, and the last minute as it came; what was late is missing at the end
     * of each. */
    assert_in_range(count(world, "intervals WHERE level = 0"), 90, 125);
    assert_in_range(count(world, "intervals WHERE level = 1"), 600 + 500, 600 + 540);
    assert_in_range(count(world, "intervals WHERE level = 2"), 40, 41);

    finish_run(world, run, "the end");
    tidy_all(world, clock_wall_s());
    expect_history(world, run, &history);
    assert_int_equal(count(world, "intervals WHERE level = 0"), 0);
    assert_in_range(count(world, "intervals WHERE level = 1"), 560, 600);
    assert_in_range(count(world, "intervals WHERE level = 2"), 50, 51);
    history_clear(&history);
}

/* What is measured in this second: so many hits. */
static void append_second(struct world *world, uint64_t run, uint64_t revision,
                          uint64_t second, uint64_t hits)
{
    struct delta delta;
    struct error err;

    delta_init(&delta);
    delta.from_us = second * US_PER_S;
    delta.until_us = (second + 1) * US_PER_S;
    stats_request(&delta.stats, "GET", "/", 1)->hits = hits;
    check(intervals_append(&world->store.intervals, run, revision, &delta, &err), &err);
    delta_clear(&delta);
}

/* One that came late is merged into its own second, and moves nothing else: after a restart
 * the series has every second as it was. */
static void test_late(void **state)
{
    enum { SECONDS = 100, LATE = 5 };
    struct world *const world = *state;
    const uint64_t run = add_run(world, "late");
    struct history history;

    for (uint64_t i = 0; i < SECONDS; i++)
        append_second(world, run, i + 1, i, i + 1);
    append_second(world, run, SECONDS + 1, LATE, 1000);
    compact_all(world, run, SECONDS * US_PER_S);
    assert_int_equal(count(world, "intervals"), SECONDS);
    history = read_history(world, run);
    assert_int_equal(history.revision, SECONDS + 1);
    assert_int_equal(history.series.count, SECONDS);
    for (uint64_t i = 0; i < SECONDS; i++)
        assert_int_equal(history.series.rows[i].hits, i + 1 + (i == LATE ? 1000 : 0));
    history_clear(&history);
}

/* Rows that are many bytes are not added up for an answer: they are not even looked at. */
static void test_too_large_sum(void **state)
{
    struct world *const world = *state;
    const uint64_t run = add_run(world, "large");
    struct delta sum;
    struct error err;

    append_second(world, run, 1, 0, 1);
    append_second(world, run, 2, 1, 1);
    delta_init(&sum);
    assert_int_equal(intervals_sum(&world->store.intervals, run, 0, &sum, &err), 1);
    change(world, "UPDATE intervals SET delta = zeroblob(8388609) WHERE last = 2");
    assert_int_equal(intervals_sum(&world->store.intervals, run, 0, &sum, &err), 0);
    delta_clear(&sum);
}

/* What came up to a revision. */
struct former {
    uint64_t until;
    struct delta sum;
};

static void take_former(void *owner, const struct interval *interval)
{
    struct former *const former = owner;

    if (interval->last <= former->until)
        intervals_add(&former->sum, &interval->delta);
}

/* The sum of all that came after a revision; where that was merged with what came before
 * it, nothing is claimed. */
static void test_sums(void **state)
{
    struct world *const world = *state;
    struct random random = random_start("sums");
    const uint64_t run = add_run(world, "short");
    struct history history;
    unsigned exact = 0, unknown = 0;
    struct error err;

    make_history(world, run, 150, &random, &history);
    compact_all(world, run, history.end_us);
    for (uint64_t after = 0; after <= history.revision; after++) {
        struct former former = {.until = after};
        struct delta *const before = &former.sum;
        struct delta since;
        int rc;

        delta_init(before);
        delta_init(&since);
        rc = intervals_sum(&world->store.intervals, run, after, &since, &err);
        check(rc, &err);
        exact += rc == 1;
        unknown += rc == 0;
        if (rc == 1) {
            check(intervals_read(&world->store.intervals, run, take_former, &former,
                                 &err),
                  &err);
            stats_merge(&before->stats, &since.stats);
            before->from_us = history.total.from_us;
            before->until_us = history.total.until_us;
            lines_clear(&before->lines);
            lines_merge(&before->lines, &history.total.lines);
            expect_same_delta(before, &history.total);
        }
        delta_clear(before);
        delta_clear(&since);
    }
    /* The last minute is as it came; of what is older, some revisions lie within a row. */
    assert_int_equal(exact + unknown, history.revision + 1);
    assert_in_range(exact, 120, history.revision - 20);
    history_clear(&history);
}

/* --- a full disk ----------------------------------------------------------------------------- */

static int append_one(struct world *world, uint64_t run, uint64_t revision,
                      const struct delta *delta, struct error *err)
{
    struct sql *const sql = &world->store.sql;

    if (sql_begin(sql, err) == -1)
        return -1;
    if (intervals_append(&world->store.intervals, run, revision, delta, err) == 0 &&
        sql_commit(sql, err) == 0)
        return 0;
    sql_rollback(sql);
    return -1;
}

/* It is said, nothing is half there, and when there is room it goes on. */
static void test_full(void **state)
{
    struct world *const world = *state;
    struct random random = random_start("full");
    const uint64_t run = add_run(world, "full");
    uint64_t revision = 0;
    struct delta delta;
    struct error err = {.message = ""};

    measure(&random, &delta, 0, 100);
    change(world, "PRAGMA max_page_count = 40");
    while (append_one(world, run, revision + 1, &delta, &err) == 0)
        revision++;
    assert_non_null(strstr(err.message, "full"));
    assert_non_null(strstr(err.message, world->db));
    assert_in_range(revision, 1, 1000);
    assert_int_equal(count(world, "intervals"), revision);
    change(world, "PRAGMA max_page_count = 1000000");
    assert_int_equal(append_one(world, run, revision + 1, &delta, &err), 0);
    assert_int_equal(count(world, "intervals"), revision + 1);
    delta_clear(&delta);
}

/* A row that is no delta any more is an error, not a crash. */
static void test_damaged(void **state)
{
    struct world *const world = *state;
    struct random random = random_start("damaged");
    const uint64_t run = add_run(world, "damaged");
    struct history history = {.revision = 0};
    struct delta delta;
    struct error err;

    measure(&random, &delta, 0, 100);
    assert_int_equal(append_one(world, run, 1, &delta, &err), 0);
    delta_clear(&delta);
    change(world, "UPDATE intervals SET delta = x'81a3'");
    assert_int_equal(
        intervals_read(&world->store.intervals, run, take_interval, &history, &err),
        -1);
    assert_non_null(strstr(err.message, "damaged"));
    assert_int_equal(intervals_compact(&world->store.intervals, run, UINT64_MAX, &err),
                     -1);
    assert_int_equal(count(world, "intervals"), 1);
}

#define STORE_TEST(name) \
    cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_other_schema),   STORE_TEST(test_other_program),
        STORE_TEST(test_no_database),    STORE_TEST(test_private),
        STORE_TEST(test_runs),           STORE_TEST(test_old_runs_go),
        STORE_TEST(test_files),          STORE_TEST(test_compaction),
        STORE_TEST(test_sums),           STORE_TEST(test_full),
        STORE_TEST(test_damaged),        STORE_TEST(test_late),
        STORE_TEST(test_too_large_sum),  STORE_TEST(test_files_of_runs),
        STORE_TEST(test_too_many_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
