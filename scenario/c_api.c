/* scenario/c_api.c - the functions of include/molotov.h. */
#include "scenario/c_host.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define SLEEP_MAX_S 86400.0

/* --- failing ------------------------------------------------------------------------------ */

/* Where a failure cannot be told of any worker: in a thread of the user's, or while the
 * object is being loaded. */
static _Noreturn void die(const char *message, const char *sample)
{
    fprintf(stderr, "molotov: %s %s\n", message, sample);
    abort();
}

_Noreturn void c_fail(const char *message, const char *sample)
{
    struct c_test *test;

    if (c_current == NULL || c_current->escape == NULL)
        die(message, sample);
    test = c_current->test;
    snprintf(test->message, sizeof(test->message), "%s", message);
    snprintf(test->sample, sizeof(test->sample), "%s", sample);
    c_leave(c_current, OUTCOME_FAILED);
}

static const char *file_name(const char *path)
{
    const char *const slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

void c_locate(char ret_message[C_TEXT_SIZE], const char *file, int line,
              const char *text)
{
    if (line > 0)
        snprintf(ret_message, C_TEXT_SIZE, "%s:%d: %s", file_name(file), line, text);
    else
        snprintf(ret_message, C_TEXT_SIZE, "%s(): %s", file, text);
}

/* What the last request of the run brought, for the failures that came after it. */
static void describe_last_answer(char ret_text[C_TEXT_SIZE])
{
    const struct response *const last = c_current != NULL ? c_current->last : NULL;

    ret_text[0] = '\0';
    if (last != NULL)
        snprintf(ret_text, C_TEXT_SIZE, "the last answer: %s: %d %s", last->label,
                 last->status, last->reason);
}

void mlt_check_failed(const char *expression, const char *file, int line)
{
    char message[C_TEXT_SIZE], sample[C_TEXT_SIZE];

    c_locate(message, file, line, expression);
    describe_last_answer(sample);
    c_fail(message, sample);
}

void mlt_check_int_at(int64_t actual, int64_t expected, const char *actual_text,
                      const char *expected_text, const char *file, int line)
{
    char comparison[C_TEXT_SIZE], message[C_TEXT_SIZE], sample[C_TEXT_SIZE],
        last[C_TEXT_SIZE];

    if (actual == expected)
        return;
    snprintf(comparison, sizeof(comparison), "%s == %s", actual_text, expected_text);
    c_locate(message, file, line, comparison);
    describe_last_answer(last);
    snprintf(sample, sizeof(sample), "it is %lld, expected %lld%s%.400s",
             (long long)actual, (long long)expected, last[0] != '\0' ? "; " : "", last);
    c_fail(message, sample);
}

void mlt_check_str_at(const char *actual, const char *expected, const char *actual_text,
                      const char *expected_text, const char *file, int line)
{
    char comparison[C_TEXT_SIZE], message[C_TEXT_SIZE], sample[C_TEXT_SIZE];

    if (actual == expected ||
        (actual != NULL && expected != NULL && strcmp(actual, expected) == 0))
        return;
    snprintf(comparison, sizeof(comparison), "%s == %s", actual_text, expected_text);
    c_locate(message, file, line, comparison);
    snprintf(sample, sizeof(sample), "it is \"%.200s\", expected \"%.200s\"",
             actual != NULL ? actual : "(null)",
             expected != NULL ? expected : "(null)");
    c_fail(message, sample);
}

void mlt_fail_at(const char *file, int line, const char *format, ...)
{
    char message[C_TEXT_SIZE], sample[C_TEXT_SIZE];
    va_list args;

    c_locate(message, file, line, format);
    va_start(args, format);
    vsnprintf(sample, sizeof(sample), format, args);
    va_end(args);
    c_fail(message, strcmp(sample, format) == 0 ? "" : sample);
}

/* --- requests ------------------------------------------------------------------------------ */

static _Noreturn void fail_call(const char *file, int line, const char *what)
{
    char message[C_TEXT_SIZE];

    c_locate(message, file, line, what);
    c_fail(message, "");
}

/* The session is the one whose code runs, and may wait. */
static void check_use(const mlt_session *session, const char *file, int line)
{
    if (session == NULL || session != c_current)
        fail_call(file, line, "a session is used outside of its own worker");
    if (session->listening)
        fail_call(file, line, "an event listener cannot wait: no request, no sleep");
    if (session->worker->session == NULL)
        fail_call(file, line, "there is no session here");
}

static void on_response(struct session *session, struct response *response, void *data)
{
    mlt_session *const self = data;

    (void)session;
    self->answer = response;
    self->worker->crew->test->host->resume(self->worker);
}

static struct request make_request(const mlt_request_options *options)
{
    const char *const body = options->json != NULL ? options->json : options->body;
    size_t size = options->json != NULL ? 0 : options->body_length;

    if (body != NULL && size == 0)
        size = strlen(body);
    return (struct request){
        .method = options->method != NULL ? options->method : "GET",
        .url = options->url,
        .name = options->name,
        .headers = options->headers,
        .content_type =
            options->json != NULL ? "application/json" : "application/octet-stream",
        .body = body,
        .body_size = size,
        .timeout_s = options->timeout,
        .follow = !options->no_redirects,
        .keep_body = !options->discard_body,
    };
}

struct c_response *c_response_new(mlt_session *self, const struct response *inner)
{
    struct c_response *const response =
        arena_alloc(session_arena(self->worker->session), sizeof(*response));

    *response = (struct c_response){
        .public =
            {
                     .status = inner->status,
                     .reason = inner->reason,
                     .url = inner->url,
                     .body = inner->body,
                     .body_length = inner->body_size,
                     .elapsed = (double)inner->elapsed_us / 1e6,
                     .redirects = (int)inner->redirects,
                     },
        .inner = inner,
        .session = self,
    };
    return response;
}

mlt_response *mlt_call(mlt_session *session, const mlt_request_options *options,
                       const char *file, int line)
{
    const struct request request = make_request(options);
    struct error err;

    check_use(session, file, line);
    if (session->worker->cancelled)
        c_leave(session, OUTCOME_CANCELLED);
    if (session_send(session->worker->session, &request, on_response, session, &err) ==
        -1)
        fail_call(file, line, err.message);
    c_wait(session);
    if (session->answer->cancelled)
        c_leave(session, OUTCOME_CANCELLED);
    if (session->answer->failure != NULL)
        c_fail(session->answer->failure,
               session->answer->detail != NULL ? session->answer->detail : "");
    session->last = session->answer;
    return &c_response_new(session, session->answer)->public;
}

const char *mlt_header(const mlt_response *response, const char *name)
{
    const struct c_response *const own = (const struct c_response *)response;
    size_t length;
    const char *const value = response_header(own->inner, name, &length);

    if (value == NULL)
        return NULL;
    return arena_strndup(session_arena(own->session->worker->session), value, length);
}

/* --- helpers -------------------------------------------------------------------------------- */

void mlt_print(const char *format, ...)
{
    char text[LINE_TEXT_MAX + 1];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (c_current == NULL)
        printf("%s\n", text);
    else
        crew_line(c_current->worker->crew, LINE_PRINT, -1, "%s", text);
}

void mlt_sleep(mlt_session *session, double seconds)
{
    check_use(session, "mlt_sleep", 0);
    if (!(seconds >= 0 && seconds <= SLEEP_MAX_S))
        fail_call("mlt_sleep", 0, "a sleep takes 0 to 86400 seconds");
    if (session->worker->cancelled)
        c_leave(session, OUTCOME_CANCELLED);
    worker_sleep(session->worker, seconds);
    c_wait(session);
    if (session->worker->cancelled)
        c_leave(session, OUTCOME_CANCELLED);
}

void mlt_count(const char *name, int64_t by)
{
    if (c_current != NULL)
        stats_add_counter(&c_current->worker->crew->delta->stats, name, by);
}

/* Less than check_use() asks for: a listener may do it, too. */
static void check_session(const mlt_session *session, const char *function)
{
    if (session == NULL || session->worker->session == NULL)
        fail_call(function, 0, "there is no session here");
}

void *mlt_alloc(mlt_session *session, size_t size)
{
    void *memory;

    check_session(session, "mlt_alloc");
    memory = arena_alloc(session_arena(session->worker->session), size);
    memset(memory, 0, size);
    return memory;
}

char *mlt_format(mlt_session *session, const char *format, ...)
{
    va_list args, again;
    int length;
    char *text;

    check_session(session, "mlt_format");
    va_start(args, format);
    va_copy(again, args);
    length = vsnprintf(NULL, 0, format, args);
    text = mlt_alloc(session, length > 0 ? (size_t)length + 1 : 1);
    if (length > 0)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

int mlt_worker_id(const mlt_session *session)
{
    check_session(session, "mlt_worker_id");
    return (int)session->worker->id;
}

long mlt_step(const mlt_session *session)
{
    check_session(session, "mlt_step");
    return session->worker->step;
}

long mlt_process_index(const mlt_session *session)
{
    check_session(session, "mlt_process_index");
    return session->worker->crew->process;
}

long mlt_agent_index(const mlt_session *session)
{
    check_session(session, "mlt_agent_index");
    return session->worker->crew->job->agent_index;
}

/* --- in SETUP() ------------------------------------------------------------------------------ */

static char *format_text(const char *format, va_list args)
{
    char *text = NULL;

    if (vasprintf(&text, format, args) < 0)
        abort(); /* out of memory: dies like xmalloc() */
    return text;
}

void mlt_set_base_url(mlt_session_options *options, const char *format, ...)
{
    va_list args;

    free(options->texts_->base_url);
    va_start(args, format);
    options->texts_->base_url = format_text(format, args);
    va_end(args);
}

void mlt_add_header(mlt_session_options *options, const char *format, ...)
{
    struct mlt_session_texts *const texts = options->texts_;
    va_list args;

    texts->headers = xrealloc_array(texts->headers, texts->header_count + 2,
                                    sizeof(*texts->headers));
    va_start(args, format);
    texts->headers[texts->header_count++] = format_text(format, args);
    va_end(args);
    texts->headers[texts->header_count] = NULL;
}

/* --- variables ------------------------------------------------------------------------------ */

static struct c_variable *find_variable(struct c_variable *list, const char *name)
{
    while (list != NULL && strcmp(list->name, name) != 0)
        list = list->next;
    return list;
}

void c_set_variable(struct c_variable **list, const char *name, void *value)
{
    struct c_variable *variable = find_variable(*list, name);

    if (variable == NULL) {
        variable = xcalloc(1, sizeof(*variable));
        variable->name = xstrdup(name);
        variable->next = *list;
        *list = variable;
    }
    variable->value = value;
}

void c_clear_variables(struct c_variable **list)
{
    while (*list != NULL) {
        struct c_variable *const variable = *list;

        *list = variable->next;
        free(variable->name);
        free(variable);
    }
}

void mlt_attach(mlt_session *session, const char *name, void *object)
{
    check_session(session, "mlt_attach");
    c_set_variable(&session->attached, name, object);
}

void *mlt_attached(const mlt_session *session, const char *name)
{
    const struct c_variable *found;

    check_session(session, "mlt_attached");
    found = find_variable(session->attached, name);
    return found != NULL ? found->value : NULL;
}

static struct c_test *test_here(void)
{
    if (c_current != NULL)
        return c_current->test;
    if (c_loading == NULL)
        die("mlt_set_var() and mlt_get_var() work only in scenarios and fixtures", "");
    return c_loading;
}

void mlt_set_var(const char *name, void *value)
{
    c_set_variable(&test_here()->variables, name, value);
}

void *mlt_get_var(const char *name)
{
    const struct c_variable *const found = find_variable(test_here()->variables, name);

    return found != NULL ? found->value : NULL;
}

/* --- registering: called by the object's constructors, while it is loaded --------------------- */

static struct c_test *loading(void)
{
    if (c_loading == NULL)
        die("a test is loaded by molotov-runner, and by nothing else", "");
    return c_loading;
}

void mlt_register_scenario(void (*function)(mlt_session *),
                           mlt_scenario_options options)
{
    struct c_test *const test = loading();
    struct error err;
    void *code;

    memcpy(&code, &function,
           sizeof(code)); /* POSIX lets a function be a void pointer */
    if (test_add_scenario(test->test, options.name, options.weight, options.delay, code,
                          &err) == -1 &&
        !test->failed) {
        test->failed = true;
        test->error = err;
    }
}

/* Each fixture may be there once. */
static bool is_first(bool taken, const char *name, const char *file, int line)
{
    struct c_test *const test = loading();

    if (taken && !test->failed) {
        test->failed = true;
        error_set(&test->error, "%s:%d: this is the second %s(), and a test has one",
                  file, line, name);
    }
    return !taken;
}

#define REGISTER(fixture, name, parameters) \
    void mlt_register_##fixture parameters \
    { \
        if (is_first(loading()->fixture != NULL, name, file, line)) \
            loading()->fixture = function; \
    }

REGISTER(global_setup, "GLOBAL_SETUP",
         (void (*function)(const mlt_args *, mlt_session *), const char *file,
          int line))
REGISTER(setup, "SETUP",
         (void (*function)(int, const mlt_args *, mlt_session_options *),
          const char *file, int line))
REGISTER(setup_session, "SETUP_SESSION",
         (void (*function)(int, mlt_session *), const char *file, int line))
REGISTER(teardown_session, "TEARDOWN_SESSION",
         (void (*function)(int, mlt_session *), const char *file, int line))
REGISTER(teardown, "TEARDOWN", (void (*function)(int), const char *file, int line))
REGISTER(global_teardown, "GLOBAL_TEARDOWN",
         (void (*function)(mlt_session *), const char *file, int line))
REGISTER(scenario_picker, "SCENARIO_PICKER",
         (const char *(*function)(int, long), const char *file, int line))

void mlt_register_listener(void (*function)(const mlt_event *))
{
    struct c_test *const test = loading();

    test->listeners = xrealloc_array(test->listeners, test->listener_count + 1,
                                     sizeof(*test->listeners));
    test->listeners[test->listener_count++] = function;
}
