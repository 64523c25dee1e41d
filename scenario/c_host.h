/* scenario/c_host.h - shared by the two halves of the C host: c.c, which loads a test
 * and runs its workers, and c_api.c, the mlt_ functions that a test calls. */
#ifndef SCENARIO_C_HOST_H
#define SCENARIO_C_HOST_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>

#define MLT_NO_STAMP
#include "include/molotov.h"

#include "scenario/coroutine.h"
#include "scenario/host.h"

enum { C_TEXT_SIZE = 512 };

/* A named pointer of the user's: in a session, or in a process. */
struct c_variable {
    struct c_variable *next;
    char *name;
    void *value;
};

/* What SETUP() says in words; owned. */
struct mlt_session_texts {
    char *base_url; /* NULL: not said */
    char **headers; /* ends with NULL; NULL: none */
    size_t header_count;
};

/* What a test registered when it was loaded: test->data. */
struct c_test {
    void *library; /* of dlopen() */
    struct test *test;
    bool failed; /* a registration was wrong; `error` says which */
    struct error error;

    void (*global_setup)(const mlt_args *, mlt_session *);
    void (*setup)(int, const mlt_args *, mlt_session_options *);
    void (*setup_session)(int, mlt_session *);
    void (*teardown_session)(int, mlt_session *);
    void (*teardown)(int);
    void (*global_teardown)(mlt_session *);
    const char *(*scenario_picker)(int, long);
    void (**listeners)(const mlt_event *);
    size_t listener_count;

    mlt_args args;
    struct c_variable *variables;

    /* The words of the failure that is just being reported. */
    char message[C_TEXT_SIZE];
    char sample[C_TEXT_SIZE];
};

/* One worker of a C test: what a test knows as its session. */
struct mlt_session {
    struct worker *worker;
    struct c_test *test;
    struct coroutine *coroutine;
    jmp_buf *escape;                        /* where a failed check goes */
    bool listening;                         /* inside a listener, which cannot wait */
    void (*global_call)(mlt_session *self); /* of a global fixture's; else NULL */
    struct response *answer;                /* to the request just waited for */
    const struct response *last; /* answer in this run, for a failure's words */
    struct c_variable *attached;
};

/* What mlt_get() returns points into one. */
struct c_response {
    mlt_response public;
    const struct response *inner;
    struct c_document *document; /* NULL: not parsed yet */
    mlt_session *session;
};

/* The worker whose code runs now; NULL: none. A test's checks name no session, so this
 * is the one thing in the C host that is not passed along. */
extern mlt_session *c_current;

/* Where registrations go while a test is being loaded; NULL else. */
extern struct c_test *c_loading;

/* Gives way until the worker is resumed. */
void c_wait(mlt_session *self);

/* Leaves the step of the current worker, by a jump. For a failure the words are in
 * test->message and test->sample. */
_Noreturn void c_leave(mlt_session *self, enum outcome_kind kind);

/* The current worker's step fails with these words; the sample may be "". */
_Noreturn void c_fail(const char *message, const char *sample);

/* "loadtest.c:12: the text"; without a line, "mlt_sleep(): the text". */
void c_locate(char ret_message[C_TEXT_SIZE], const char *file, int line,
              const char *text);

/* Makes jansson use the session's memory while an answer is parsed. */
void c_json_take_over(void);

struct c_response *c_response_new(mlt_session *self, const struct response *inner);

void c_set_variable(struct c_variable **list, const char *name, void *value);
void c_clear_variables(struct c_variable **list);

#endif
