/* scenario/worker.c - see worker.h for the steps; the states here are what comes next.
 *
 * SETUP            -> SETUP_SESSION     setup done, or none; the session is open
 * SETUP_SESSION    -> READY             done, or none
 * READY            -> RUNNING           a scenario was picked
 * RUNNING          -> PAUSE             worker_done()
 * PAUSE            -> READY             the sleep is over
 * READY            -> TEARDOWN_SESSION  the test stops, or all runs are done
 * SETUP*           -> TEARDOWN*         the set-up failed
 * TEARDOWN_SESSION -> TEARDOWN -> END */
#include "scenario/worker.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"
#include "scenario/host.h"

enum worker_state {
    STATE_SETUP,
    STATE_SETUP_SESSION,
    STATE_READY,
    STATE_RUNNING,
    STATE_PAUSE,
    STATE_TEARDOWN_SESSION,
    STATE_TEARDOWN,
    STATE_END,
    STATE_ENDED,
};

enum { RUNS_A_LINE = 10, MESSAGE_SIZE = 512, SAMPLE_SIZE = 512 };

static const char no_scenario[] = "(no scenario)"; /* a failed picker's row */

/* --- telling ------------------------------------------------------------------------ */

static void notify(struct worker *worker, enum event_kind kind, const char *error)
{
    struct test *const test = worker->crew->test;

    if (test->has[FIXTURE_EVENTS])
        test->host->notify(worker->crew,
                           &(struct event){.kind = kind,
                                           .worker = worker,
                                           .scenario = worker->current.scenario,
                                           .error = error});
}

/* Counts one failure's message, and shows it. */
static void record_failure(struct worker *worker, const char *what,
                           const struct outcome *outcome)
{
    struct crew *const crew = worker->crew;
    const char *const detail = outcome->sample != NULL ? outcome->sample : "";
    char message[MESSAGE_SIZE], sample[SAMPLE_SIZE];

    snprintf(message, sizeof(message), "%s%s%s", what, what[0] != '\0' ? ": " : "",
             outcome->message);
    snprintf(sample, sizeof(sample), "%s%sworker %ld, run %ld", detail,
             detail[0] != '\0' ? "; " : "", worker->id, worker->step);
    stats_add_error(&crew->delta->stats, message, crew_elapsed_us(crew), sample);
    crew_line(crew, LINE_FAILURE, worker->id, "Failure! %s%s%s%s", message,
              detail[0] != '\0' ? " (" : "", detail, detail[0] != '\0' ? ")" : "");
}

static void stop_test(struct worker *worker, bool setup_failed, const char *why)
{
    struct crew *const crew = worker->crew;
    const bool first = !crew->stopping;

    crew_stop(crew);
    if (crew->on_fatal != NULL && (first || setup_failed))
        crew->on_fatal(crew, setup_failed, why);
}

/* A set-up that failed: nobody begins a run any more, and the test has failed. */
static void fail_setup(struct worker *worker, const char *fixture,
                       const struct outcome *outcome, uint64_t *counter)
{
    char why[ERROR_SIZE + 64];

    ++*counter;
    worker->setup_failed = true;
    record_failure(worker, fixture, outcome);
    snprintf(why, sizeof(why), "%s failed: %s", fixture, outcome->message);
    stop_test(worker, true, why);
}

/* --- the session -------------------------------------------------------------------- */

struct session_options worker_session_options(const struct worker *worker)
{
    const struct job *const job = worker->crew->job;
    struct session_options options = SESSION_OPTIONS_INIT;

    options.base_url = job->server_url;
    options.verify = !job->insecure;
    options.headers =
        (header_lines)(const void *)job->headers.items; /* of a URL test */
    return options;
}

int worker_open_session(struct worker *worker, const struct session_options *options,
                        struct error *err)
{
    crew_line(worker->crew, LINE_ACTIVITY, worker->id,
              "Setting up session of kind http");
    return session_new(&worker->crew->http, options, worker, &worker->session, err);
}

/* Setup is over, and has opened a session unless there is no setup. */
static bool ensure_session(struct worker *worker)
{
    const struct session_options options = worker_session_options(worker);
    struct error err;

    if (worker->session != NULL || worker_open_session(worker, &options, &err) == 0)
        return true;
    fail_setup(worker, "session",
               &(struct outcome){.kind = OUTCOME_FAILED, .message = err.message},
               &worker->crew->delta->stats.setup_failed);
    return false;
}

/* --- picking ------------------------------------------------------------------------ */

static bool may_run(const struct worker *worker)
{
    const struct crew *const crew = worker->crew;
    const struct job *const job = crew->job;

    if (crew->stopping)
        return false;
    if (job->max_runs > 0 && worker->step >= job->max_runs)
        return false;
    return !job->single_run || worker->single_run < crew->test->scenario_count;
}

static void count_failed_pick(struct worker *worker, const struct error *err)
{
    struct crew *const crew = worker->crew;

    stats_scenario(&crew->delta->stats, no_scenario)->failed++;
    record_failure(worker, "Could not pick a scenario",
                   &(struct outcome){.kind = OUTCOME_FAILED, .message = err->message});
    if (crew->job->exception)
        stop_test(worker, false, "--exception");
}

/* A picker that names no scenario is not a failure of the service: the test is wrong. */
static const struct scenario *find_picked(struct worker *worker, const char *name)
{
    const struct scenario *const scenario = test_find(worker->crew->test, name);
    struct error err;

    if (scenario == NULL) {
        error_set(&err, "the picker named '%s', and the test has no such scenario",
                  name);
        count_failed_pick(worker, &err);
        stop_test(worker, true, err.message);
    }
    return scenario;
}

/* NULL: the test's picker failed, which counts as a failed run. */
static const struct scenario *pick(struct worker *worker)
{
    const struct crew *const crew = worker->crew;
    const char *name;
    struct error err;

    if (crew->job->single_mode != NULL)
        return test_find(crew->test, crew->job->single_mode);
    if (crew->job->single_run)
        return &crew->test->scenarios[worker->single_run++];
    if (!crew->test->has[FIXTURE_SCENARIO_PICKER])
        return test_pick(crew->test, crew_random(worker->crew));
    name = crew->test->host->pick(worker, &err);
    if (name != NULL)
        return find_picked(worker, name);
    count_failed_pick(worker, &err);
    return NULL;
}

/* --- steps -------------------------------------------------------------------------- */

static struct step sleep_step(double seconds)
{
    return (struct step){.kind = STEP_SLEEP, .sleep_s = seconds};
}

/* A pause of 0 s gives way to the others, if nothing in the run did. */
static struct step pause_step(struct worker *worker, double seconds)
{
    worker->state = STATE_READY;
    if (worker->crew->stopping ||
        (seconds <= 0 && worker->waits != worker->waits_before))
        return worker_next(worker);
    return sleep_step(seconds);
}

static struct step begin_run(struct worker *worker)
{
    struct crew *const crew = worker->crew;
    const struct scenario *scenario;

    worker->step++;
    if (worker->step % RUNS_A_LINE == 0)
        crew_line(crew, LINE_ACTIVITY, worker->id, "Ran %ld scenarios", worker->step);
    worker->waits_before = worker->waits;
    scenario = pick(worker);
    if (scenario == NULL)
        return pause_step(worker, crew->job->delay_s);
    worker->state = STATE_RUNNING;
    worker->current = (struct step){.kind = STEP_SCENARIO, .scenario = scenario};
    notify(worker, EVENT_SCENARIO_START, NULL);
    worker->step_started_us = clock_us();
    return worker->current;
}

/* Each handles one state: true, with a step for the host in worker->current; or false,
 * the state has changed and nothing is to be done for it. */

/* The step of a fixture, where the test has it; else the state is `otherwise`. */
static bool enter_fixture(struct worker *worker, enum test_fixture fixture,
                          enum step_kind kind, enum worker_state otherwise)
{
    if (!worker->crew->test->has[fixture]) {
        worker->state = otherwise;
        return false;
    }
    worker->current = (struct step){.kind = kind};
    return true;
}

static bool enter_setup(struct worker *worker)
{
    return enter_fixture(worker, FIXTURE_SETUP, STEP_SETUP, STATE_SETUP_SESSION);
}

static bool enter_setup_session(struct worker *worker)
{
    if (worker->setup_failed || !ensure_session(worker)) {
        worker->state = STATE_TEARDOWN_SESSION;
        return false;
    }
    crew_line(worker->crew, LINE_ACTIVITY, worker->id, "Running scenarios");
    return enter_fixture(worker, FIXTURE_SETUP_SESSION, STEP_SETUP_SESSION,
                         STATE_READY);
}

static bool enter_ready(struct worker *worker)
{
    if (worker->setup_failed || !may_run(worker)) {
        if (!worker->setup_failed)
            crew_line(worker->crew, LINE_ACTIVITY, worker->id, "Done!");
        worker->state = STATE_TEARDOWN_SESSION;
        return false;
    }
    worker->current = begin_run(worker);
    return true;
}

static bool enter_teardown_session(struct worker *worker)
{
    if (worker->session == NULL) {
        worker->state = STATE_TEARDOWN;
        return false;
    }
    return enter_fixture(worker, FIXTURE_TEARDOWN_SESSION, STEP_TEARDOWN_SESSION,
                         STATE_TEARDOWN);
}

static bool enter_teardown(struct worker *worker)
{
    return enter_fixture(worker, FIXTURE_TEARDOWN, STEP_TEARDOWN, STATE_END);
}

static bool enter_end(struct worker *worker)
{
    worker->state = STATE_ENDED;
    worker->current = (struct step){.kind = STEP_END};
    session_destroy(worker->session);
    worker->session = NULL;
    crew_worker_ended(worker->crew);
    return true;
}

struct step worker_next(struct worker *worker)
{
    static bool (*const enter[])(struct worker *) = {
        [STATE_SETUP] = enter_setup,
        [STATE_SETUP_SESSION] = enter_setup_session,
        [STATE_READY] = enter_ready,
        [STATE_TEARDOWN_SESSION] = enter_teardown_session,
        [STATE_TEARDOWN] = enter_teardown,
        [STATE_END] = enter_end,
    };

    if (worker->state == STATE_PAUSE)
        return pause_step(worker, worker->current.sleep_s);
    while (!enter[worker->state](worker)) {
    }
    return worker->current;
}

static void finish_run(struct worker *worker, const struct outcome *outcome)
{
    struct crew *const crew = worker->crew;
    const struct scenario *const scenario = worker->current.scenario;
    struct scenario_stats *const row = crew_scenario_row(crew, scenario);
    double pause_s = crew->job->delay_s;

    switch (outcome->kind) {
    case OUTCOME_OK:
        row->ok++;
        histogram_record(&row->latency, clock_us() - worker->step_started_us);
        notify(worker, EVENT_SCENARIO_SUCCESS, NULL);
        pause_s += scenario->delay_s;
        break;
    case OUTCOME_FAILED:
        row->failed++;
        record_failure(worker, "", outcome);
        notify(worker, EVENT_SCENARIO_FAILURE, outcome->message);
        if (crew->job->exception)
            stop_test(worker, false, "--exception");
        break;
    case OUTCOME_CANCELLED:
        row->cancelled++;
        break;
    }
    worker->state = STATE_PAUSE;
    worker->current = sleep_step(pause_s);
}

static void finish_setup(struct worker *worker, const struct outcome *outcome)
{
    struct stats *const stats = &worker->crew->delta->stats;
    const bool is_setup = worker->current.kind == STEP_SETUP;

    if (outcome->kind == OUTCOME_FAILED)
        fail_setup(worker, is_setup ? "setup" : "setup_session", outcome,
                   is_setup ? &stats->setup_failed : &stats->session_setup_failed);
    worker->state = is_setup ? STATE_SETUP_SESSION : STATE_READY;
}

static void finish_teardown(struct worker *worker, const struct outcome *outcome)
{
    const bool of_session = worker->current.kind == STEP_TEARDOWN_SESSION;

    if (outcome->kind == OUTCOME_FAILED)
        record_failure(worker, of_session ? "teardown_session" : "teardown", outcome);
    worker->state = of_session ? STATE_TEARDOWN : STATE_END;
}

void worker_done(struct worker *worker, const struct outcome *outcome)
{
    worker->cancelled = false;
    switch (worker->current.kind) {
    case STEP_SCENARIO:
        finish_run(worker, outcome);
        break;
    case STEP_SETUP:
    case STEP_SETUP_SESSION:
        finish_setup(worker, outcome);
        break;
    case STEP_TEARDOWN_SESSION:
    case STEP_TEARDOWN:
        finish_teardown(worker, outcome);
        break;
    case STEP_SLEEP:
    case STEP_END:
        break;
    }
    if (worker->session != NULL) {
        session_cancel(worker->session); /* a request that nobody waited for */
        session_release(worker->session);
    }
}

/* --- waiting ------------------------------------------------------------------------ */

static void on_sleep_over(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct worker *const worker = timer->data;

    (void)loop;
    (void)revents;
    worker->sleeping = false;
    worker->crew->test->host->resume(worker);
}

/* From the loop, since whoever wakes it may be another worker in the middle of a step. */
static void wake(struct worker *worker)
{
    ev_timer_stop(worker->crew->loop, &worker->timer);
    ev_feed_event(worker->crew->loop, &worker->timer, EV_TIMER);
}

void worker_sleep(struct worker *worker, double seconds)
{
    worker->sleeping = true;
    loop_timer_start(worker->crew->loop, &worker->timer, seconds);
}

void worker_wake(struct worker *worker)
{
    if (worker->sleeping && worker->state == STATE_READY)
        wake(worker);
}

void worker_cancel(struct worker *worker)
{
    if (worker->state == STATE_ENDED)
        return;
    worker->cancelled = worker->current.kind != STEP_SLEEP;
    if (worker->sleeping)
        wake(worker);
    else if (worker->session != NULL)
        session_cancel(worker->session);
    if (worker->cancelled && worker->crew->test->host->cancel != NULL)
        worker->crew->test->host->cancel(worker);
}

struct blackbox_slot worker_enter(struct worker *worker, int fixture)
{
    static const int fixtures[] = {
        [STEP_SETUP] = FIXTURE_SETUP,
        [STEP_SETUP_SESSION] = FIXTURE_SETUP_SESSION,
        [STEP_SCENARIO] = -1,
        [STEP_SLEEP] = -1,
        [STEP_TEARDOWN_SESSION] = FIXTURE_TEARDOWN_SESSION,
        [STEP_TEARDOWN] = FIXTURE_TEARDOWN,
        [STEP_END] = -1,
    };
    const struct step *const step = &worker->current;
    struct blackbox_slot *const slot = worker->crew->slot;
    struct blackbox_slot before = {.scenario = 0};

    if (slot == NULL)
        return before;
    before = *slot;
    slot->fixture = (uint32_t)((fixture >= 0 ? fixture : fixtures[step->kind]) + 1);
    slot->scenario =
        step->scenario != NULL
            ? (uint32_t)(step->scenario - worker->crew->test->scenarios) + 1
            : 0;
    return before;
}

void worker_leave(struct worker *worker, struct blackbox_slot before)
{
    if (worker->crew->slot != NULL)
        *worker->crew->slot = before;
}

/* --- the worker --------------------------------------------------------------------- */

void worker_init(struct worker *worker, struct crew *crew, long id)
{
    *worker = (struct worker){
        .crew = crew, .id = id, .state = STATE_SETUP, .current = {.kind = STEP_END}};
    ev_init(&worker->timer, on_sleep_over);
    worker->timer.data = worker;
}

void worker_clear(struct worker *worker)
{
    ev_timer_stop(worker->crew->loop, &worker->timer);
    session_destroy(worker->session);
    worker->session = NULL;
}
