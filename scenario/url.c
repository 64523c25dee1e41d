/* scenario/url.c - a plain URL as the test: each run is one request.
 *
 * A worker needs no stack of its own: it goes from step to step, and from the end of a
 * request to the next, by callbacks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "scenario/host.h"

#define FIRST_BAD_STATUS 400

static bool url_takes(const char *test)
{
    return job_test_is_url(test);
}

static int url_load(const struct job *job, struct test *test, struct error *err)
{
    struct request *request;

    if (test_add_scenario(test, "url", 1, 0, NULL, err) == -1)
        return -1;
    request = xcalloc(1, sizeof(*request));
    *request = (struct request){
        .method = job->request_method != NULL ? job->request_method
                  : job->data != NULL         ? "POST"
                                              : "GET",
        .url = job->test,
        .content_type = "application/x-www-form-urlencoded",
        .body = job->data,
        .body_size = job->data != NULL ? strlen(job->data) : 0,
        .follow = true,
    };
    test->data = request;
    return 0;
}

static void url_unload(struct test *test)
{
    free(test->data);
}

static void follow_steps(struct worker *worker);

static void on_response(struct session *session, struct response *response, void *data)
{
    struct worker *const worker = data;
    struct outcome outcome = {.kind = OUTCOME_OK};
    char message[512];

    (void)session;
    if (response->cancelled) {
        outcome.kind = OUTCOME_CANCELLED;
    } else if (response->failure != NULL) {
        outcome = (struct outcome){OUTCOME_FAILED, response->failure, response->detail};
    } else if (response->status >= FIRST_BAD_STATUS) {
        snprintf(message, sizeof(message), "%s: the answer is %d %s", response->label,
                 response->status, response->reason);
        outcome = (struct outcome){OUTCOME_FAILED, message, NULL};
    }
    worker_done(worker, &outcome);
    follow_steps(worker);
}

/* True when the request is under way. */
static bool send_request(struct worker *worker)
{
    const struct request *const request = worker->crew->test->data;
    struct error err;

    if (session_send(worker->session, request, on_response, worker, &err) == 0)
        return true;
    worker_done(worker,
                &(struct outcome){.kind = OUTCOME_FAILED, .message = err.message});
    return false;
}

static void follow_steps(struct worker *worker)
{
    for (;;) {
        const struct step step = worker_next(worker);

        if (step.kind == STEP_END)
            return;
        if (step.kind == STEP_SLEEP) {
            worker_sleep(worker, step.sleep_s);
            return;
        }
        if (send_request(worker)) {
            worker->waits++; /* it gives way to the others */
            return;
        }
    }
}

static int url_start(struct worker *worker, struct error *err)
{
    (void)err;
    follow_steps(worker);
    return 0;
}

const struct host_type host_url = {
    .name = "url",
    .help = "a URL (http://... or https://...)",
    .takes = url_takes,
    .load = url_load,
    .unload = url_unload,
    .start = url_start,
    .resume = follow_steps,
};
