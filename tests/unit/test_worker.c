#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"
#include "scenario/host.h"

/* --- a host that does what the test says --------------------------------------------------- */

enum { LOG_SIZE = 4000, STEP_KINDS = STEP_END + 1, FAR_S = 80000 };

struct play {
    enum outcome_kind outcomes[STEP_KINDS]; /* of each step of a kind */
    const char *picks[4]; /* what the picker says, in turn; NULL: it fails */
    bool sleeps;          /* else the time of a sleep passes at once */
    bool holds;           /* a scenario goes on until it is resumed */
    long gives_way_until; /* in runs up to it, a scenario waited for something */
    long stop_in_run;     /* in which the test is stopped; 0: none */
    long fail_start;      /* the worker that cannot be started, from 1; 0: none */
    char log[LOG_SIZE];   /* the steps, as they came */
    char events[LOG_SIZE];
};

static void append(char *log, const char *text)
{
    snprintf(log + strlen(log), LOG_SIZE - strlen(log), "%s%s",
             log[0] != '\0' ? " " : "", text);
}

static void log_step(struct play *play, const struct step *step)
{
    static const char *const words[STEP_KINDS] = {
        [STEP_SETUP] = "setup",
        [STEP_SETUP_SESSION] = "setup_session",
        [STEP_TEARDOWN_SESSION] = "teardown_session",
        [STEP_TEARDOWN] = "teardown",
        [STEP_END] = "end",
    };
    char text[64];

    if (step->kind == STEP_SLEEP)
        snprintf(text, sizeof(text), "sleep:%g", step->sleep_s);
    else
        snprintf(text, sizeof(text), "%s",
                 step->kind == STEP_SCENARIO ? step->scenario->name
                                             : words[step->kind]);
    append(play->log, text);
}

static struct play *play_of(const struct worker *worker)
{
    return worker->crew->test->data;
}

static void end_step(struct worker *worker, enum outcome_kind kind)
{
    worker_leave(worker, (struct blackbox_slot){.scenario = 0});
    worker_done(worker, &(struct outcome){
                            .kind = kind,
                            .message = kind == OUTCOME_FAILED ? "it is wrong" : NULL,
                            .sample = "line 7"});
}

/* False: it goes on when the worker is resumed. */
static bool do_step(struct worker *worker, const struct step *step)
{
    const struct session_options options = worker_session_options(worker);
    struct play *const play = play_of(worker);

    assert_false(worker->cancelled); /* what follows a cancelled step is done */
    worker_enter(worker, -1);
    if (step->kind == STEP_SETUP && play->outcomes[STEP_SETUP] == OUTCOME_OK)
        assert_int_equal(worker_open_session(worker, &options, NULL), 0);
    if (step->kind == STEP_SCENARIO && worker->step <= play->gives_way_until)
        worker->waits++;
    if (step->kind == STEP_SCENARIO && play->stop_in_run == worker->step)
        crew_stop(worker->crew);
    if (step->kind == STEP_SCENARIO && play->holds) {
        worker_sleep(worker, FAR_S);
        return false;
    }
    end_step(worker, play->outcomes[step->kind]);
    return true;
}

static void follow(struct worker *worker)
{
    struct play *const play = play_of(worker);

    for (;;) {
        const struct step step = worker_next(worker);

        log_step(play, &step);
        if (step.kind == STEP_END)
            return;
        if (step.kind == STEP_SLEEP && play->sleeps) {
            worker_sleep(worker, step.sleep_s);
            return;
        }
        if (step.kind != STEP_SLEEP && !do_step(worker, &step))
            return;
    }
}

static int play_start(struct worker *worker, struct error *err)
{
    if (play_of(worker)->fail_start == worker->id + 1)
        return error_set(err, "no memory");
    follow(worker);
    return 0;
}

static void play_resume(struct worker *worker)
{
    if (worker->current.kind != STEP_SLEEP) /* within a scenario that was held */
        end_step(worker, worker->cancelled ? OUTCOME_CANCELLED
                                           : play_of(worker)->outcomes[STEP_SCENARIO]);
    follow(worker);
}

static const char *play_pick(struct worker *worker, struct error *err)
{
    const struct play *const play = play_of(worker);
    const char *const name =
        play->picks[(size_t)(worker->step - 1) % ARRAY_SIZE(play->picks)];

    if (name == NULL)
        error_set(err, "the picker is wrong");
    return name;
}

static void play_notify(struct crew *crew, const struct event *event)
{
    static const char *const words[] = {
        [EVENT_SCENARIO_START] = "start",
        [EVENT_SCENARIO_SUCCESS] = "success",
        [EVENT_SCENARIO_FAILURE] = "failure",
    };
    struct play *const play = crew->test->data;
    char text[200];

    snprintf(text, sizeof(text), "%s:%s%s%s", words[event->kind], event->scenario->name,
             event->error != NULL ? ":" : "", event->error != NULL ? event->error : "");
    append(play->events, text);
}

static const struct host_type play_host = {
    .name = "play",
    .pick = play_pick,
    .notify = play_notify,
    .start = play_start,
    .resume = play_resume,
};

/* --- a crew on it --------------------------------------------------------------------------- */

struct stage {
    struct ev_loop *loop;
    struct job job;
    struct test test;
    struct play play;
    struct delta delta;
    struct blackbox_slot slot;
    struct crew crew;
    size_t fatals, failed_setups, dones;
    char why[2000]; /* the last fatal one */
};

static void on_fatal(struct crew *crew, bool setup_failed, const char *why)
{
    struct stage *const stage = crew->engine;

    stage->fatals++;
    stage->failed_setups += setup_failed;
    snprintf(stage->why, sizeof(stage->why), "%s", why);
}

static void on_done(struct crew *crew)
{
    struct stage *const stage = crew->engine;

    stage->dones++;
    ev_break(stage->loop, EVBREAK_ALL);
}

enum {
    WITH_SETUP = 1 << FIXTURE_SETUP,
    WITH_SETUP_SESSION = 1 << FIXTURE_SETUP_SESSION,
    WITH_TEARDOWN_SESSION = 1 << FIXTURE_TEARDOWN_SESSION,
    WITH_TEARDOWN = 1 << FIXTURE_TEARDOWN,
    WITH_PICKER = 1 << FIXTURE_SCENARIO_PICKER,
    WITH_EVENTS = 1 << FIXTURE_EVENTS,
    WITH_ALL_AROUND =
        WITH_SETUP | WITH_SETUP_SESSION | WITH_TEARDOWN_SESSION | WITH_TEARDOWN,
};

/* A stage with the scenario "a", and with "b" where it is asked for. */
static void stage_init(struct stage *stage, unsigned fixtures)
{
    *stage = (struct stage){.loop = loop_new()};
    job_init(&stage->job);
    stage->job.max_runs = 1;
    stage->test.host = &play_host;
    stage->test.data = &stage->play;
    for (unsigned i = 0; i < FIXTURE_COUNT; i++)
        stage->test.has[i] = (fixtures >> i & 1) != 0;
    assert_int_equal(test_add_scenario(&stage->test, "a", 1, 0, NULL, NULL), 0);
    delta_init(&stage->delta);
}

static void add_scenario(struct stage *stage, const char *name, double delay_s)
{
    assert_int_equal(test_add_scenario(&stage->test, name, 1, delay_s, NULL, NULL), 0);
}

static void stage_open(struct stage *stage, size_t workers)
{
    struct error err;

    if (test_finish(&stage->test, &stage->job, &err) == -1)
        fail_msg("%s", err.message);
    stage->crew = (struct crew){
        .loop = stage->loop,
        .job = &stage->job,
        .test = &stage->test,
        .delta = &stage->delta,
        .started_us = clock_us(),
        .slot = &stage->slot,
        .on_fatal = on_fatal,
        .on_done = on_done,
        .engine = stage,
    };
    crew_open(&stage->crew, workers);
}

static void start_workers(struct stage *stage, size_t count)
{
    struct error err;

    for (size_t i = 0; i < count; i++) {
        if (crew_start_worker(&stage->crew, &err) == -1)
            fail_msg("%s", err.message);
    }
}

/* Opens it for one worker, that does all it can do at once. */
static void play_one(struct stage *stage)
{
    stage_open(stage, 1);
    start_workers(stage, 1);
}

static void stage_close(struct stage *stage)
{
    crew_close(&stage->crew);
    delta_clear(&stage->delta);
    test_clear(&stage->test);
    job_clear(&stage->job);
    ev_loop_destroy(stage->loop);
}

static void expect_log(const char *name, const struct stage *stage, const char *want)
{
    if (strcmp(stage->play.log, want) != 0)
        fail_msg("%s:\ngot  '%s'\nwant '%s'", name, stage->play.log, want);
}

static const struct scenario_stats *row(const struct stage *stage, const char *name)
{
    static const struct scenario_stats none;
    const struct scenario_stats *const found =
        table_find(&stage->delta.stats.scenarios, name, strlen(name));

    return found != NULL ? found : &none;
}

/* --- the order of steps ---------------------------------------------------------------------- */

static void test_order_with_any_fixtures(void **state)
{
    static const unsigned flags[] = {
        WITH_SETUP,    WITH_SETUP_SESSION, WITH_TEARDOWN_SESSION,
        WITH_TEARDOWN, WITH_EVENTS,        WITH_PICKER};

    (void)state;
    for (unsigned bits = 0; bits < 1u << ARRAY_SIZE(flags); bits++) {
        unsigned fixtures = 0;
        struct stage stage;
        char want[LOG_SIZE] = "";

        for (unsigned i = 0; i < ARRAY_SIZE(flags); i++)
            fixtures |= (bits >> i & 1) != 0 ? flags[i] : 0;
        stage_init(&stage, fixtures);
        stage.job.max_runs = 2;
        stage.play.picks[0] = stage.play.picks[1] = "a";
        play_one(&stage);
        if (fixtures & WITH_SETUP)
            append(want, "setup");
        if (fixtures & WITH_SETUP_SESSION)
            append(want, "setup_session");
        append(want, "a sleep:0 a sleep:0");
        if (fixtures & WITH_TEARDOWN_SESSION)
            append(want, "teardown_session");
        if (fixtures & WITH_TEARDOWN)
            append(want, "teardown");
        append(want, "end");
        expect_log("any fixtures", &stage, want);
        assert_int_equal(stage.dones, 1);
        assert_int_equal(row(&stage, "a")->ok, 2);
        assert_int_equal(stage.delta.stats.workers_started, 1);
        assert_int_equal(stage.delta.stats.workers_ended, 1);
        assert_true(crew_is_done(&stage.crew));
        assert_null(stage.crew.workers[0]->session); /* its connections are closed */
        stage_close(&stage);
    }
}

static void test_how_many_runs(void **state)
{
    static const struct {
        const char *name;
        long max_runs;
        bool single_run;
        const char *single_mode;
        const char *want;
    } cases[] = {
        {"as many as asked for",   3, false, "b",  "b sleep:0 b sleep:0 b sleep:0 end"},
        {"each one once, by name", 0, true,  NULL, "a sleep:0 b sleep:0 c sleep:0 end"},
        {"whichever ends first",   2, true,  NULL, "a sleep:0 b sleep:0 end"          },
        {"the other ends first",   9, true,  NULL, "a sleep:0 b sleep:0 c sleep:0 end"},
        {"a single one",           1, false, "c",  "c sleep:0 end"                    },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct stage stage;

        stage_init(&stage, 0);
        add_scenario(&stage, "c", 0);
        add_scenario(&stage, "b", 0);
        stage.job.max_runs = cases[i].max_runs;
        stage.job.single_run = cases[i].single_run;
        if (cases[i].single_mode != NULL)
            stage.job.single_mode = xstrdup(cases[i].single_mode);
        play_one(&stage);
        expect_log(cases[i].name, &stage, cases[i].want);
        stage_close(&stage);
    }
}

/* Each worker counts its own runs. */
static void test_runs_of_several_workers(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, 0);
    stage.job.max_runs = 4;
    stage_open(&stage, 3);
    start_workers(&stage, 3);
    assert_int_equal(row(&stage, "a")->ok, 12);
    assert_int_equal(row(&stage, "a")->latency.count, 12);
    assert_int_equal(stage.dones, 1);
    stage_close(&stage);
}

static void test_delays(void **state)
{
    static const struct {
        const char *name;
        enum outcome_kind outcome;
        double delay_s, scenario_delay_s;
        const char *want;
    } cases[] = {
        {"none",                     OUTCOME_OK,        0,   0,   "b sleep:0 end"  },
        {"of the job",               OUTCOME_OK,        1.5, 0,   "b sleep:1.5 end"},
        {"of the scenario",          OUTCOME_OK,        0,   0.5, "b sleep:0.5 end"},
        {"both",                     OUTCOME_OK,        1.5, 0.5, "b sleep:2 end"  },
        {"the job's after failures", OUTCOME_FAILED,    1.5, 0.5, "b sleep:1.5 end"},
        {"the job's when cancelled", OUTCOME_CANCELLED, 1.5, 0.5, "b sleep:1.5 end"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct stage stage;

        stage_init(&stage, 0);
        add_scenario(&stage, "b", cases[i].scenario_delay_s);
        stage.job.single_mode = xstrdup("b");
        stage.job.delay_s = cases[i].delay_s;
        stage.play.outcomes[STEP_SCENARIO] = cases[i].outcome;
        play_one(&stage);
        expect_log(cases[i].name, &stage, cases[i].want);
        stage_close(&stage);
    }
}

/* Without a delay nobody sleeps who gave way to the others in the run. */
static void test_no_sleep_after_giving_way(void **state)
{
    static const struct {
        long gives_way_until;
        double delay_s;
        const char *want;
    } cases[] = {
        {3, 0,   "a a a end"                              },
        {2, 0,   "a a a sleep:0 end"                      },
        {1, 0,   "a a sleep:0 a sleep:0 end"              },
        {3, 0.5, "a sleep:0.5 a sleep:0.5 a sleep:0.5 end"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct stage stage;

        stage_init(&stage, 0);
        stage.job.max_runs = 3;
        stage.job.delay_s = cases[i].delay_s;
        stage.play.gives_way_until = cases[i].gives_way_until;
        play_one(&stage);
        expect_log("gives way", &stage, cases[i].want);
        stage_close(&stage);
    }
}

/* --- what goes wrong -------------------------------------------------------------------------- */

/* One step that fails, and all that comes of it. */
struct failure {
    const char *name;
    enum step_kind failing; /* STEP_SLEEP: none */
    bool exception, bad_session;
    unsigned fixtures;
    uint64_t ok, failed, setup_failed, session_setup_failed;
    size_t fatals;
    const char *error; /* the row of its message; NULL: there is none */
    const char *why;   /* told to the engine */
    const char *log;
};

/* There is one error, of this message; or (NULL) none at all. */
static void expect_error(const struct stage *stage, const char *message)
{
    const struct table *const errors = &stage->delta.stats.errors;
    const struct error_stats *error;

    assert_int_equal(errors->count, message != NULL);
    if (message == NULL)
        return;
    error = (const struct error_stats *)errors->rows[0];
    if (strstr(error->row.name, message) == NULL)
        fail_msg("got '%s', want '%s'", error->row.name, message);
    assert_non_null(strstr(error->sample, "worker 0, run "));
}

static void expect_failure(const struct failure *want)
{
    const struct stats *stats;
    struct stage stage;

    stage_init(&stage, want->fixtures);
    stage.play.outcomes[want->failing] = OUTCOME_FAILED;
    stage.job.max_runs = 2;
    stage.job.exception = want->exception;
    if (want->bad_session)
        stage.job.server_url = xstrdup("/x");
    play_one(&stage);
    stats = &stage.delta.stats;
    expect_log(want->name, &stage, want->log);
    expect_error(&stage, want->error);
    assert_int_equal(row(&stage, "a")->ok, want->ok);
    assert_int_equal(row(&stage, "a")->failed, want->failed);
    assert_int_equal(row(&stage, "a")->latency.count, want->ok);
    assert_int_equal(stats->setup_failed, want->setup_failed);
    assert_int_equal(stats->session_setup_failed, want->session_setup_failed);
    assert_int_equal(stage.fatals, want->fatals);
    assert_int_equal(stage.failed_setups,
                     want->setup_failed + want->session_setup_failed);
    assert_string_equal(stage.why, want->why != NULL ? want->why : "");
    assert_int_equal(stage.dones, 1);
    assert_int_equal(stats->workers_ended, 1);
    stage_close(&stage);
}

static void test_failures(void **state)
{
    (void)state;
    expect_failure(&(struct failure){
        .name = "nothing",
        .failing = STEP_SLEEP,
        .fixtures = WITH_ALL_AROUND,
        .ok = 2,
        .log = "setup setup_session a sleep:0 a sleep:0 teardown_session teardown end",
    });
    expect_failure(&(struct failure){
        .name = "setup",
        .failing = STEP_SETUP,
        .fixtures = WITH_ALL_AROUND,
        .setup_failed = 1,
        .fatals = 1,
        .error = "setup: it is wrong",
        .why = "setup failed: it is wrong",
        .log = "setup teardown end",
    });
    expect_failure(&(struct failure){
        .name = "the session",
        .failing = STEP_SLEEP,
        .bad_session = true,
        .fixtures = WITH_SETUP_SESSION | WITH_TEARDOWN_SESSION | WITH_TEARDOWN,
        .setup_failed = 1,
        .fatals = 1,
        .error = "session: the base URL '/x' is not absolute: it takes http://...",
        .why = "session failed: the base URL '/x' is not absolute: it takes http://...",
        .log = "teardown end",
    });
    expect_failure(&(struct failure){
        .name = "setup_session",
        .failing = STEP_SETUP_SESSION,
        .fixtures = WITH_ALL_AROUND,
        .session_setup_failed = 1,
        .fatals = 1,
        .error = "setup_session: it is wrong",
        .why = "setup_session failed: it is wrong",
        .log = "setup setup_session teardown_session teardown end",
    });
    expect_failure(&(struct failure){
        .name = "setup_session, and nothing else there",
        .failing = STEP_SETUP_SESSION,
        .fixtures = WITH_SETUP_SESSION,
        .session_setup_failed = 1,
        .fatals = 1,
        .error = "setup_session: it is wrong",
        .why = "setup_session failed: it is wrong",
        .log = "setup_session end",
    });
    expect_failure(&(struct failure){
        .name = "each run",
        .failing = STEP_SCENARIO,
        .fixtures = WITH_ALL_AROUND,
        .failed = 2,
        .error = "it is wrong",
        .log = "setup setup_session a sleep:0 a sleep:0 teardown_session teardown end",
    });
    expect_failure(&(struct failure){
        .name = "a run with --exception",
        .failing = STEP_SCENARIO,
        .exception = true,
        .fixtures = WITH_ALL_AROUND,
        .failed = 1,
        .fatals = 1,
        .error = "it is wrong",
        .why = "--exception",
        .log = "setup setup_session a teardown_session teardown end",
    });
    expect_failure(&(struct failure){
        .name = "teardown_session",
        .failing = STEP_TEARDOWN_SESSION,
        .exception = true,
        .fixtures = WITH_ALL_AROUND,
        .ok = 2,
        .error = "teardown_session: it is wrong",
        .log = "setup setup_session a sleep:0 a sleep:0 teardown_session teardown end",
    });
    expect_failure(&(struct failure){
        .name = "teardown",
        .failing = STEP_TEARDOWN,
        .fixtures = WITH_ALL_AROUND,
        .ok = 2,
        .error = "teardown: it is wrong",
        .log = "setup setup_session a sleep:0 a sleep:0 teardown_session teardown end",
    });
}

/* A set-up that fails stops those that have begun, and its words are told in full. */
static void test_failed_setup_stops_the_others(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, WITH_SETUP | WITH_TEARDOWN);
    stage.job.max_runs = 0;
    stage.job.delay_s = FAR_S;
    stage.play.sleeps = true;
    stage_open(&stage, 3);
    start_workers(&stage, 2);
    stage.play.outcomes[STEP_SETUP] = OUTCOME_FAILED;
    start_workers(&stage, 1);
    ev_run(stage.loop, 0);
    expect_log("three workers", &stage,
               "setup a sleep:80000 setup a sleep:80000 setup teardown end "
               "teardown end teardown end");
    assert_int_equal(stage.failed_setups, 1);
    assert_int_equal(stage.dones, 1);
    stage_close(&stage);
}

/* With --exception the first failure ends the test; those after it change nothing. */
static void test_exception_is_told_once(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, 0);
    stage.job.max_runs = 0;
    stage.job.exception = true;
    stage.play.holds = true;
    stage.play.outcomes[STEP_SCENARIO] = OUTCOME_FAILED;
    stage_open(&stage, 3);
    start_workers(&stage, 3);
    for (size_t i = 0; i < 3; i++)
        play_resume(stage.crew.workers[i]);
    assert_int_equal(row(&stage, "a")->failed, 3);
    assert_int_equal(stage.fatals, 1);
    assert_int_equal(stage.dones, 1);
    expect_log("three workers", &stage, "a a a end end end");
    stage_close(&stage);
}

/* What a picker says in turn, in four runs, and what comes of it. */
struct picks {
    const char *name, *picks[4];
    bool exception;
    double delay_s;
    uint64_t a, b, failed;
    size_t fatals, failed_setups;
    const char *error, *log;
};

static void expect_picks(const struct picks *want)
{
    struct stage stage;

    stage_init(&stage, WITH_PICKER);
    add_scenario(&stage, "b", 0);
    memcpy(stage.play.picks, want->picks, sizeof(want->picks));
    stage.job.max_runs = 4;
    stage.job.delay_s = want->delay_s;
    stage.job.exception = want->exception;
    play_one(&stage);
    expect_error(&stage, want->error);
    assert_int_equal(row(&stage, "a")->ok, want->a);
    assert_int_equal(row(&stage, "b")->ok, want->b);
    assert_int_equal(row(&stage, "(no scenario)")->failed, want->failed);
    assert_int_equal(stage.fatals, want->fatals);
    assert_int_equal(stage.failed_setups, want->failed_setups);
    expect_log(want->name, &stage, want->log);
    stage_close(&stage);
}

static void test_picker(void **state)
{
    (void)state;
    expect_picks(&(struct picks){
        .name = "picks in turn",
        .picks = {"b", "a", "b", "b"},
        .a = 1,
        .b = 3,
        .log = "b sleep:0 a sleep:0 b sleep:0 b sleep:0 end",
    });
    expect_picks(&(struct picks){
        .name = "fails now and then",
        .picks = {"a", NULL, "a", NULL},
        .delay_s = 1,
        .a = 2,
        .failed = 2,
        .error = "Could not pick a scenario: the picker is wrong",
        .log = "a sleep:1 sleep:1 a sleep:1 sleep:1 end",
    });
    expect_picks(&(struct picks){
        .name = "picks what is not there: the test is wrong",
        .picks = {"a", "x", "a", "a"},
        .delay_s = 5,
        .a = 1,
        .failed = 1,
        .fatals = 1,
        .failed_setups = 1,
        .error = "'x'",
        .log = "a sleep:5 end",
    });
    expect_picks(&(struct picks){
        .name = "fails with --exception",
        .picks = {"a", NULL, "a", "a"},
        .exception = true,
        .delay_s = 5,
        .a = 1,
        .failed = 1,
        .fatals = 1,
        .error = "Could not pick a scenario: the picker is wrong",
        .log = "a sleep:5 end", /* no sleep after it: the test is over */
    });
}

/* --single-mode and --single-run leave the picker out. */
static void test_single_ones_need_no_picker(void **state)
{
    (void)state;
    for (int mode = 0; mode <= 1; mode++) {
        struct stage stage;

        stage_init(&stage, WITH_PICKER);
        stage.job.max_runs = 1;
        stage.job.single_run = mode == 0;
        if (mode == 1)
            stage.job.single_mode = xstrdup("a");
        play_one(&stage);
        expect_log("no picker", &stage, "a sleep:0 end");
        stage_close(&stage);
    }
}

/* --- stopping and cancelling ------------------------------------------------------------------ */

static void test_stop_cuts_a_sleep_between_runs(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, WITH_ALL_AROUND);
    stage.job.max_runs = 0;
    stage.job.delay_s = FAR_S;
    stage.play.sleeps = true;
    play_one(&stage);
    expect_log("before", &stage, "setup setup_session a sleep:80000");
    crew_stop(&stage.crew);
    crew_stop(&stage.crew);           /* twice is once */
    assert_int_equal(stage.dones, 0); /* from the loop, not at once */
    ev_run(stage.loop, 0);
    expect_log("after", &stage,
               "setup setup_session a sleep:80000 teardown_session teardown end");
    assert_int_equal(stage.dones, 1);
    assert_int_equal(row(&stage, "a")->ok, 1);
    stage_close(&stage);
}

static void test_stop_lets_a_run_finish(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, WITH_TEARDOWN);
    stage.job.max_runs = 0;
    stage.job.delay_s = FAR_S;
    stage.play.holds = true;
    play_one(&stage);
    crew_stop(&stage.crew);
    for (int i = 0; i < 5; i++)
        ev_run(stage.loop, EVRUN_NOWAIT);
    expect_log("before its end", &stage, "a");
    assert_int_equal(crew_running(&stage.crew), 1);
    assert_false(crew_is_done(&stage.crew));
    play_resume(stage.crew.workers[0]);
    expect_log("after its end", &stage, "a teardown end"); /* and no sleep */
    assert_int_equal(row(&stage, "a")->ok, 1);
    assert_int_equal(row(&stage, "a")->cancelled, 0);
    stage_close(&stage);
}

static void test_stop_within_a_run(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, WITH_ALL_AROUND);
    stage.job.max_runs = 0;
    stage.play.stop_in_run = 3;
    play_one(&stage);
    expect_log(
        "stopped", &stage,
        "setup setup_session a sleep:0 a sleep:0 a teardown_session teardown end");
    assert_int_equal(row(&stage, "a")->ok, 3);
    stage_close(&stage);
}

/* Who starts when the test has been stopped runs nothing, but is torn down. */
static void test_stop_before_the_start(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, WITH_TEARDOWN);
    stage_open(&stage, 1);
    crew_stop(&stage.crew);
    assert_int_equal(stage.dones, 1);
    assert_true(crew_is_done(&stage.crew));
    start_workers(&stage, 1);
    expect_log("stopped before", &stage, "teardown end");
    stage_close(&stage);
}

static void test_cancel(void **state)
{
    static const struct {
        const char *name;
        bool holds;
        uint64_t ok, cancelled;
        const char *want;
    } cases[] = {
        {"within a run", true,  0, 1, "setup a teardown_session end"            },
        {"between runs", false, 1, 0, "setup a sleep:80000 teardown_session end"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct stage stage;

        stage_init(&stage, WITH_SETUP | WITH_TEARDOWN_SESSION);
        stage.job.max_runs = 0;
        stage.job.delay_s = FAR_S;
        stage.play.sleeps = true;
        stage.play.holds = cases[i].holds;
        play_one(&stage);
        crew_cancel(&stage.crew);
        crew_cancel(&stage.crew);
        ev_run(stage.loop, 0);
        expect_log(cases[i].name, &stage, cases[i].want);
        assert_int_equal(row(&stage, "a")->ok, cases[i].ok);
        assert_int_equal(row(&stage, "a")->failed, 0);
        assert_int_equal(row(&stage, "a")->cancelled, cases[i].cancelled);
        assert_int_equal(row(&stage, "a")->latency.count, cases[i].ok);
        assert_int_equal(stage.delta.stats.errors.count, 0);
        assert_int_equal(stage.dones, 1);
        crew_cancel(&stage.crew); /* of those that have ended */
        assert_false(stage.crew.workers[0]->cancelled);
        stage_close(&stage);
    }
}

static void test_cancel_of_many(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, WITH_ALL_AROUND);
    stage.job.max_runs = 0;
    stage.play.holds = true;
    stage_open(&stage, 100);
    start_workers(&stage, 60); /* the others never start */
    crew_cancel(&stage.crew);
    ev_run(stage.loop, 0);
    assert_int_equal(row(&stage, "a")->cancelled, 60);
    assert_int_equal(stage.delta.stats.workers_started, 60);
    assert_int_equal(stage.delta.stats.workers_ended, 60);
    assert_int_equal(stage.dones, 1);
    stage_close(&stage);
}

/* The process ends with workers under way: all they hold is freed. */
static void test_close_in_the_middle(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, WITH_ALL_AROUND);
    stage.play.holds = true;
    stage_open(&stage, 5);
    start_workers(&stage, 3);
    crew_cancel(&stage.crew); /* their wake-up is under way */
    stage_close(&stage);
}

/* --- the crew ---------------------------------------------------------------------------------- */

static void test_worker_that_cannot_start(void **state)
{
    struct stage stage;
    struct error err;

    (void)state;
    stage_init(&stage, 0);
    stage.job.max_runs = 0;
    stage.job.delay_s = FAR_S;
    stage.play.sleeps = true;
    stage.play.fail_start = 3;
    stage_open(&stage, 5);
    start_workers(&stage, 2);
    assert_int_equal(crew_start_worker(&stage.crew, &err), -1);
    assert_string_equal(err.message, "no memory");
    ev_run(stage.loop, 0);
    assert_int_equal(stage.delta.stats.workers_started, 2);
    assert_int_equal(stage.delta.stats.workers_ended, 2);
    assert_int_equal(stage.dones, 1);
    stage_close(&stage);
}

static void test_crew_of_nobody(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, 0);
    stage_open(&stage, 0);
    assert_true(crew_is_done(&stage.crew));
    assert_int_equal(crew_running(&stage.crew), 0);
    stage_close(&stage);
}

static void test_done_only_when_all_are(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, 0);
    stage_open(&stage, 2);
    start_workers(&stage, 1);
    assert_int_equal(crew_running(&stage.crew), 0);
    assert_int_equal(stage.dones, 0); /* another one is to start */
    assert_false(crew_is_done(&stage.crew));
    start_workers(&stage, 1);
    assert_int_equal(stage.dones, 1);
    stage_close(&stage);
}

static void test_random(void **state)
{
    struct stage stage;
    size_t tenths[10] = {0};

    (void)state;
    stage_init(&stage, 0);
    stage_open(&stage, 0);
    for (int i = 0; i < 100000; i++) {
        const double number = crew_random(&stage.crew);

        assert_true(number >= 0 && number < 1);
        tenths[(size_t)(number * 10)]++;
    }
    for (size_t i = 0; i < 10; i++)
        assert_in_range(tenths[i], 9000, 11000); /* 10 standard deviations */
    stage_close(&stage);
}

static void test_lines(void **state)
{
    static const struct {
        long agent, agents, process, processes, worker;
        const char *want;
    } cases[] = {
        {0, 0, 0,  1, 3,  "[W:3] text"            },
        {0, 0, 1,  2, 3,  "[P:1] [W:3] text"      },
        {0, 0, 1,  2, -1, "[P:1] text"            },
        {0, 0, -1, 2, -1, "text"                  },
        {0, 0, 0,  1, -1, "text"                  },
        {4, 5, 1,  2, 3,  "[A:4] [P:1] [W:3] text"},
        {0, 1, 0,  1, 3,  "[A:0] [W:3] text"      },
        {4, 5, -1, 2, -1, "[A:4] text"            },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct stage stage;

        stage_init(&stage, 0);
        stage_open(&stage, 0);
        stage.job.agent_index = cases[i].agent;
        stage.job.agent_count = cases[i].agents;
        stage.job.processes = cases[i].processes;
        stage.crew.process = cases[i].process;
        crew_line(&stage.crew, LINE_PRINT, cases[i].worker, "te%s", "xt");
        assert_string_equal(lines_at(&stage.delta.lines, 0)->text, cases[i].want);
        stage_close(&stage);
    }
}

/* What nobody sees is not even written; a failure always is. */
static void test_lines_that_nobody_sees(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, 0);
    stage.job.console = false;
    stage.job.verbose = 0;
    stage.play.outcomes[STEP_SCENARIO] = OUTCOME_FAILED;
    play_one(&stage);
    assert_int_equal(stage.delta.lines.count, 1);
    assert_string_equal(lines_at(&stage.delta.lines, 0)->text,
                        "[W:0] Failure! it is wrong (line 7)");
    stage_close(&stage);
}

/* --- what others are told ---------------------------------------------------------------------- */

static void test_events(void **state)
{
    static const struct {
        enum outcome_kind outcome;
        const char *want;
    } cases[] = {
        {OUTCOME_OK,        "start:a success:a"            },
        {OUTCOME_FAILED,    "start:a failure:a:it is wrong"},
        {OUTCOME_CANCELLED, "start:a"                      },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct stage stage;

        stage_init(&stage, WITH_EVENTS | WITH_ALL_AROUND);
        stage.play.outcomes[STEP_SCENARIO] = cases[i].outcome;
        play_one(&stage);
        assert_string_equal(stage.play.events, cases[i].want);
        stage_close(&stage);
    }
}

static void test_black_box(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, 0);
    add_scenario(&stage, "b", 0);
    stage.job.single_mode = xstrdup("b");
    stage.play.holds = true;
    play_one(&stage);
    assert_int_equal(stage.slot.scenario, 2);
    assert_int_equal(stage.slot.fixture, 0);
    play_resume(stage.crew.workers[0]);
    assert_int_equal(stage.slot.scenario, 0); /* nothing of the user's runs */
    stage_close(&stage);
}

static void test_black_box_of_fixtures(void **state)
{
    static const struct {
        enum step_kind step;
        uint32_t want;
    } cases[] = {
        {STEP_SETUP,            FIXTURE_SETUP + 1           },
        {STEP_SETUP_SESSION,    FIXTURE_SETUP_SESSION + 1   },
        {STEP_SCENARIO,         0                           },
        {STEP_SLEEP,            0                           },
        {STEP_TEARDOWN_SESSION, FIXTURE_TEARDOWN_SESSION + 1},
        {STEP_TEARDOWN,         FIXTURE_TEARDOWN + 1        },
        {STEP_END,              0                           },
    };
    struct stage stage;
    struct worker worker;

    (void)state;
    stage_init(&stage, 0);
    stage_open(&stage, 0);
    worker_init(&worker, &stage.crew, 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        worker.current = (struct step){.kind = cases[i].step};
        worker_enter(&worker, -1);
        assert_int_equal(stage.slot.fixture, cases[i].want);
        assert_int_equal(stage.slot.scenario, 0);
        worker_leave(&worker, (struct blackbox_slot){.scenario = 0});
        assert_int_equal(stage.slot.fixture, 0);
    }
    stage.crew.slot = NULL; /* the global fixtures' crew has none */
    worker_enter(&worker, -1);
    worker_leave(&worker, (struct blackbox_slot){.scenario = 0});
    worker_clear(&worker);
    stage_close(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_with_any_fixtures),
        cmocka_unit_test(test_how_many_runs),
        cmocka_unit_test(test_runs_of_several_workers),
        cmocka_unit_test(test_delays),
        cmocka_unit_test(test_no_sleep_after_giving_way),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_failed_setup_stops_the_others),
        cmocka_unit_test(test_exception_is_told_once),
        cmocka_unit_test(test_picker),
        cmocka_unit_test(test_single_ones_need_no_picker),
        cmocka_unit_test(test_stop_cuts_a_sleep_between_runs),
        cmocka_unit_test(test_stop_lets_a_run_finish),
        cmocka_unit_test(test_stop_within_a_run),
        cmocka_unit_test(test_stop_before_the_start),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_of_many),
        cmocka_unit_test(test_close_in_the_middle),
        cmocka_unit_test(test_worker_that_cannot_start),
        cmocka_unit_test(test_crew_of_nobody),
        cmocka_unit_test(test_done_only_when_all_are),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_lines_that_nobody_sees),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_black_box),
        cmocka_unit_test(test_black_box_of_fixtures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
