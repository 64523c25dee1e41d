/* scenario/c.c - tests in C: loads the compiled object, and runs each worker as a
 * coroutine that follows the worker's steps.
 *
 * The user's code is left by a jump when a check fails or the run is cancelled; whatever
 * it held belongs to its session, and is freed there. */
#include "scenario/c_host.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "scenario/c_build.h"
#include "scenario/c_stamp.h"

mlt_session *c_current;
struct c_test *c_loading;

/* --- the user's code, guarded --------------------------------------------------------- */

void c_leave(mlt_session *self, enum outcome_kind kind)
{
    _longjmp(*self->escape, kind == OUTCOME_CANCELLED ? 2 : 1);
}

/* Calls the user's code: OUTCOME_OK when it returns, else how it was left. `fixture` as
 * for worker_enter(). */
static enum outcome_kind call_guarded(mlt_session *self, int fixture,
                                      void (*call)(mlt_session *self, void *data),
                                      void *data)
{
    static const enum outcome_kind kinds[] = {OUTCOME_OK, OUTCOME_FAILED,
                                              OUTCOME_CANCELLED};
    mlt_session *const current_before = c_current;
    jmp_buf *const escape_before = self->escape;
    struct blackbox_slot noted_before;
    jmp_buf escape;
    int how;

    self->escape = &escape;
    c_current = self;
    noted_before = worker_enter(self->worker, fixture);
    how = _setjmp(escape);
    if (how == 0)
        call(self, data);
    worker_leave(self->worker, noted_before);
    self->escape = escape_before;
    c_current = current_before;
    return kinds[how];
}

void c_wait(mlt_session *self)
{
    worker_leave(self->worker, (struct blackbox_slot){.scenario = 0});
    c_current = NULL;
    self->worker->waits++;
    coroutine_yield(self->coroutine);
    c_current = self;
    worker_enter(self->worker, -1);
}

static struct outcome make_outcome(const mlt_session *self, enum outcome_kind kind)
{
    const struct c_test *const test = self->test;
    struct outcome outcome = {.kind = kind};

    if (kind != OUTCOME_FAILED)
        return outcome;
    outcome.message = test->message;
    outcome.sample = test->sample[0] != '\0' ? test->sample : NULL;
    return outcome;
}

/* --- steps ------------------------------------------------------------------------------ */

static void call_scenario(mlt_session *self, void *data)
{
    const struct scenario *const scenario = data;
    void (*function)(mlt_session *);

    memcpy(&function, &scenario->code, sizeof(function));
    function(self);
}

static void set_failure(struct c_test *test, const char *message)
{
    snprintf(test->message, sizeof(test->message), "%.*s", C_TEXT_SIZE - 1, message);
    test->sample[0] = '\0';
}

static void call_setup(mlt_session *self, void *data)
{
    self->test->setup((int)self->worker->id, &self->test->args, data);
}

static void clear_texts(struct mlt_session_texts *texts)
{
    for (size_t i = 0; i < texts->header_count; i++)
        free(texts->headers[i]);
    free(texts->headers);
    free(texts->base_url);
}

/* Calls setup, and opens the session that it asks for. */
static enum outcome_kind set_up(mlt_session *self)
{
    struct session_options options = worker_session_options(self->worker);
    struct mlt_session_texts texts = {.base_url = NULL};
    mlt_session_options wanted = {
        .timeout = options.timeout_s, .insecure = !options.verify, .texts_ = &texts};
    enum outcome_kind kind = call_guarded(self, -1, call_setup, &wanted);
    struct error err;

    if (options.base_url == NULL)
        options.base_url = texts.base_url;
    options.headers = (header_lines)(const void *)texts.headers;
    options.timeout_s = wanted.timeout;
    options.verify = !wanted.insecure;
    if (kind == OUTCOME_OK && worker_open_session(self->worker, &options, &err) == -1) {
        set_failure(self->test, err.message);
        kind = OUTCOME_FAILED;
    }
    clear_texts(&texts);
    return kind;
}

static void call_setup_session(mlt_session *self, void *data)
{
    (void)data;
    self->test->setup_session((int)self->worker->id, self);
}

static void call_teardown_session(mlt_session *self, void *data)
{
    (void)data;
    self->test->teardown_session((int)self->worker->id, self);
}

static void call_teardown(mlt_session *self, void *data)
{
    (void)data;
    self->test->teardown((int)self->worker->id);
}

static void call_global(mlt_session *self, void *data)
{
    (void)data;
    self->global_call(self);
}

/* What runs on a worker's stack. */
static void live(void *data)
{
    static void (*const calls[])(mlt_session *, void *) = {
        [STEP_SETUP_SESSION] = call_setup_session,
        [STEP_SCENARIO] = call_scenario,
        [STEP_TEARDOWN_SESSION] = call_teardown_session,
        [STEP_TEARDOWN] = call_teardown,
    };
    mlt_session *const self = data;

    for (;;) {
        const struct step step = worker_next(self->worker);
        struct outcome outcome;

        if (step.kind == STEP_END)
            return;
        if (step.kind == STEP_SLEEP) {
            worker_sleep(self->worker, step.sleep_s);
            coroutine_yield(self->coroutine);
            continue;
        }
        outcome = make_outcome(
            self, step.kind == STEP_SETUP
                      ? set_up(self)
                      : call_guarded(self, -1, calls[step.kind],
                                     (void *)(uintptr_t)(const void *)step.scenario));
        worker_done(self->worker,
                    &outcome); /* its listeners may still read the answers */
        self->last = NULL;
    }
}

static void free_stack(mlt_session *self)
{
    coroutine_destroy(self->coroutine);
    self->coroutine = NULL;
}

static void resume(mlt_session *self)
{
    coroutine_resume(self->coroutine);
    if (coroutine_is_done(self->coroutine))
        free_stack(self);
}

static void c_resume(struct worker *worker)
{
    resume(worker->host_data);
}

static mlt_session *session_of_worker(struct worker *worker)
{
    mlt_session *const self = xcalloc(1, sizeof(*self));

    self->worker = worker;
    self->test = worker->crew->test->data;
    worker->host_data = self;
    return self;
}

static void c_destroy(struct worker *worker)
{
    mlt_session *const self = worker->host_data;

    if (self == NULL)
        return;
    c_clear_variables(&self->attached);
    free_stack(self);
    free(self);
    worker->host_data = NULL;
}

static int c_start(struct worker *worker, struct error *err)
{
    mlt_session *const self = session_of_worker(worker);

    self->test->args.process = worker->crew->process;
    if (coroutine_new(live, self, &self->coroutine, err) == -1) {
        c_destroy(worker);
        return -1;
    }
    resume(self);
    return 0;
}

/* --- global fixtures -------------------------------------------------------------------- */

static void call_global_setup(mlt_session *self)
{
    self->test->global_setup(&self->test->args, self);
}

static void call_global_teardown(mlt_session *self)
{
    self->test->global_teardown(self);
}

struct global_run {
    mlt_session *self;
    int fixture;
    struct outcome outcome;
};

static void live_global(void *data)
{
    struct global_run *const run = data;

    run->outcome = make_outcome(
        run->self, call_guarded(run->self, run->fixture, call_global, NULL));
}

/* The fixture is a worker's code, too, so that it can make requests; of a worker that
 * has no steps, and whose stats are the caller's to drop. */
static int c_run_global(struct test *test, struct crew *crew, enum test_fixture fixture,
                        struct error *err)
{
    struct worker worker;
    struct global_run run = {.fixture = (int)fixture, .outcome = {.kind = OUTCOME_OK}};
    struct session_options options;
    int rc = -1;

    (void)test;
    worker_init(&worker, crew, -1);
    run.self = session_of_worker(&worker);
    run.self->test->args.process = -1;
    run.self->global_call =
        fixture == FIXTURE_GLOBAL_SETUP ? call_global_setup : call_global_teardown;
    options = worker_session_options(&worker);
    if (worker_open_session(&worker, &options, err) == -1 ||
        coroutine_new(live_global, &run, &run.self->coroutine, err) == -1)
        goto out;
    resume(run.self);
    while (run.self->coroutine != NULL)
        ev_run(crew->loop, EVRUN_ONCE);
    rc = run.outcome.kind == OUTCOME_OK ? 0 : -1;
    if (rc == -1)
        error_set(err, "%s failed: %s%s%s%s", test_fixture_names[fixture],
                  run.outcome.message, run.outcome.sample != NULL ? " (" : "",
                  run.outcome.sample != NULL ? run.outcome.sample : "",
                  run.outcome.sample != NULL ? ")" : "");
out:
    c_destroy(&worker);
    worker_clear(&worker);
    return rc;
}

/* --- the picker and the listeners --------------------------------------------------------- */

struct pick_call {
    const char *name;
};

static void call_picker(mlt_session *self, void *data)
{
    struct pick_call *const pick = data;

    pick->name = self->test->scenario_picker((int)self->worker->id, self->worker->step);
    if (pick->name == NULL) {
        set_failure(self->test, "the picker returned NULL");
        c_leave(self, OUTCOME_FAILED);
    }
}

static const char *c_pick(struct worker *worker, struct error *err)
{
    mlt_session *const self = worker->host_data;
    struct pick_call pick = {.name = NULL};

    if (call_guarded(self, FIXTURE_SCENARIO_PICKER, call_picker, &pick) == OUTCOME_OK)
        return pick.name;
    error_set(err, "%s", self->test->message);
    return NULL;
}

struct listener_call {
    void (*listener)(const mlt_event *);
    const mlt_event *event;
};

static void call_listener(mlt_session *self, void *data)
{
    const struct listener_call *const call = data;

    (void)self;
    call->listener(call->event);
}

static mlt_event make_event(mlt_session *self, const struct event *event)
{
    static const mlt_event_kind kinds[] = {
        [EVENT_CURRENT_WORKERS] = MLT_CURRENT_WORKERS,
        [EVENT_SCENARIO_START] = MLT_SCENARIO_START,
        [EVENT_SCENARIO_SUCCESS] = MLT_SCENARIO_SUCCESS,
        [EVENT_SCENARIO_FAILURE] = MLT_SCENARIO_FAILURE,
        [EVENT_SENDING_REQUEST] = MLT_SENDING_REQUEST,
        [EVENT_RESPONSE_RECEIVED] = MLT_RESPONSE_RECEIVED,
    };

    return (mlt_event){
        .kind = kinds[event->kind],
        .worker_id = event->worker != NULL ? (int)event->worker->id : -1,
        .workers = (long)event->workers,
        .scenario = event->scenario != NULL ? event->scenario->name : NULL,
        .error = event->error,
        .session = event->worker != NULL ? self : NULL,
        .method = event->method,
        .url = event->url,
        .response = event->response != NULL
                        ? &c_response_new(self, event->response)->public
                        : NULL,
    };
}

/* A listener that fails is shown, and changes nothing else. */
static void call_guarded_listener(mlt_session *self, struct listener_call *call)
{
    struct c_test *const test = self->test;
    char message[C_TEXT_SIZE], sample[C_TEXT_SIZE];

    memcpy(message, test->message, sizeof(message)); /* it may be about a failure */
    memcpy(sample, test->sample, sizeof(sample));
    self->listening = true;
    if (call_guarded(self, FIXTURE_EVENTS, call_listener, call) == OUTCOME_FAILED)
        crew_line(self->worker->crew, LINE_FAILURE, self->worker->id,
                  "An event listener failed: %s", test->message);
    self->listening = false;
    memcpy(test->message, message, sizeof(message));
    memcpy(test->sample, sample, sizeof(sample));
}

static void notify_session(mlt_session *self, const struct event *event)
{
    const struct c_test *const test = self->test;
    const mlt_event told = make_event(self, event);

    for (size_t i = 0; i < test->listener_count; i++) {
        struct listener_call call = {.listener = test->listeners[i], .event = &told};

        call_guarded_listener(self, &call);
    }
}

static void c_notify(struct crew *crew, const struct event *event)
{
    struct worker nobody;
    mlt_session *self;

    if (event->worker != NULL) {
        notify_session(event->worker->host_data, event);
        return;
    }
    /* News of the whole process: told in the name of no worker. */
    worker_init(&nobody, crew, -1);
    self = session_of_worker(&nobody);
    notify_session(self, event);
    c_destroy(&nobody);
}

/* --- loading ------------------------------------------------------------------------------ */

static bool is_source(const char *test)
{
    return text_ends_with(test, ".c");
}

static bool c_takes(const char *test)
{
    return is_source(test) || text_ends_with(test, ".so");
}

static int c_prepare(struct job *job, struct error *err)
{
    char *object = NULL;

    if (is_source(job->test)) {
        if (c_build(job->test, C_SAID_SHOWN, &object, err) == -1)
            return -1;
    } else {
        object = realpath(job->test, NULL);
        if (object == NULL)
            return error_errno(err, "cannot read '%s'", job->test);
    }
    free(job->object);
    job->object = object;
    return c_check_stamp(object, err);
}

static int c_list_files(const struct job *job, struct text_list *ret_files,
                        struct error *err)
{
    if (is_source(job->test))
        return c_build_files(job->test, ret_files, err);
    text_list_add(ret_files, job->test);
    return 0;
}

/* Compiles the test on this host, since the object that came along is none, or does not
 * fit because of `misfit`. */
static int build_here(const struct job *job, const struct error *misfit,
                      char **ret_object, struct error *err)
{
    if (c_build(job->test, C_SAID_IN_ERROR, ret_object, err) == 0)
        return c_check_stamp(*ret_object, err);
    if (job->object != NULL)
        error_prefix(err, "it must be compiled here, since %s", misfit->message);
    return -1;
}

/* The object to load: the job's, or the test itself where it is one; else it is made. The
 * caller frees it, also where this fails. */
static int find_object(const struct job *job, char **ret_object, struct error *err)
{
    const bool source = is_source(job->test);
    const char *const given = job->object != NULL || source ? job->object : job->test;
    struct error misfit = {.message = ""};

    if (given == NULL || c_check_stamp(given, &misfit) == -1)
        return source ? build_here(job, &misfit, ret_object, err)
                      : error_set(err, "%s", misfit.message);
    *ret_object =
        realpath(given, NULL); /* a name alone would be looked for elsewhere */
    if (*ret_object == NULL)
        return error_errno(err, "cannot read '%s'", given);
    return 0;
}

static void find_fixtures(const struct c_test *c_test, struct test *test)
{
    test->has[FIXTURE_GLOBAL_SETUP] = c_test->global_setup != NULL;
    test->has[FIXTURE_SETUP] = c_test->setup != NULL;
    test->has[FIXTURE_SETUP_SESSION] = c_test->setup_session != NULL;
    test->has[FIXTURE_SCENARIO_PICKER] = c_test->scenario_picker != NULL;
    test->has[FIXTURE_EVENTS] = c_test->listener_count > 0;
    test->has[FIXTURE_TEARDOWN_SESSION] = c_test->teardown_session != NULL;
    test->has[FIXTURE_TEARDOWN] = c_test->teardown != NULL;
    test->has[FIXTURE_GLOBAL_TEARDOWN] = c_test->global_teardown != NULL;
}

static void set_args(struct c_test *c_test, const struct job *job)
{
    c_test->args = (mlt_args){
        .test = job->test,
        .server_url = job->server_url,
        .workers = job->workers,
        .processes = job->processes,
        .duration = job->duration_s,
        .delay = job->delay_s,
        .max_runs = job->max_runs,
        .verbose = job->verbose,
        .process = -1,
        .agent = job->agent_index,
        .agents = job->agent_count,
    };
}

static void c_unload(struct test *test)
{
    struct c_test *const c_test = test->data;

    c_clear_variables(&c_test->variables);
    if (c_test->library != NULL)
        dlclose(c_test->library);
    free(c_test->listeners);
    free(c_test);
    test->data = NULL;
}

static int c_load(const struct job *job, struct test *test, struct error *err)
{
    struct c_test *const c_test = xcalloc(1, sizeof(*c_test));
    char *object = NULL;

    test->data = c_test;
    c_test->test = test;
    set_args(c_test, job);
    c_json_take_over();
    if (find_object(job, &object, err) == -1)
        goto fail;
    c_loading = c_test;
    c_test->library = dlopen(object, RTLD_NOW | RTLD_LOCAL);
    c_loading = NULL;
    if (c_test->library == NULL) {
        error_set(err, "cannot load it: %s", dlerror());
        goto fail;
    }
    if (c_test->failed) {
        error_set(err, "%s", c_test->error.message);
        goto fail;
    }
    find_fixtures(c_test, test);
    free(object);
    return 0;
fail:
    free(object);
    c_unload(test);
    return -1;
}

const struct host_type host_c = {
    .name = "c",
    .help = "a C file (FILE.c) or a compiled one (FILE.so)",
    .takes = c_takes,
    .prepare = c_prepare,
    .list_files = c_list_files,
    .load = c_load,
    .unload = c_unload,
    .run_global = c_run_global,
    .pick = c_pick,
    .notify = c_notify,
    .start = c_start,
    .resume = c_resume,
    .destroy = c_destroy,
    .mappings = COROUTINE_MAPPINGS,
};
