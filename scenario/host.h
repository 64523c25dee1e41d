/* scenario/host.h - what loads and calls one kind of test: C, a URL, later Python.
 *
 * A host decides nothing about a worker's life. worker.h says what comes next; the host
 * does it in its own way (a coroutine, a chain of callbacks, an asyncio task), and says
 * how it ended.
 *
 * To add one: write scenario/NAME.c and list its type in host_types[]. */
#ifndef SCENARIO_HOST_H
#define SCENARIO_HOST_H

#include <stdbool.h>

#include "base/error.h"
#include "job/job.h"
#include "scenario/crew.h"
#include "scenario/events.h"
#include "scenario/test.h"
#include "scenario/worker.h"

struct host_type {
    const char *name;
    const char *help; /* which tests it takes */

    bool (*takes)(const char *test); /* by its name alone */

    /* In the runner: checks the test without running any of it, and makes job->object
     * where it is compiled. NULL: nothing to do. What a tool (a compiler) says goes to
     * stderr as it is. */
    int (*prepare)(struct job *job, struct error *err);

    /* In the runner: adds the local files that the test consists of, the first one being
     * job->test, as they are named from the working directory: an agent gets copies. As
     * in prepare(), a tool may write to stderr. NULL: the test is no file. */
    int (*list_files)(const struct job *job, struct text_list *ret_files,
                      struct error *err);

    /* In the slave: fills in scenarios, fixtures and data; where job->object is not
     * there or does not fit this host, it is made here. On -1 nothing is left. */
    int (*load)(const struct job *job, struct test *test, struct error *err);
    void (*unload)(struct test *test); /* NULL: nothing to do */

    /* global_setup or global_teardown, if the test has it: to its end, on the loop of a
     * crew without workers. NULL: such a test has none. */
    int (*run_global)(struct test *test, struct crew *crew, enum test_fixture fixture,
                      struct error *err);

    /* Runs the loop until crew_is_done(). NULL: ev_run(). A host with a scheduler of its
     * own: its workers may be resumed before ev_run() waits (by prepare watchers, and by
     * what was fed to it), and then it must not wait. */
    void (*run)(struct crew *crew);

    /* The test's picker: a scenario's name; or NULL, `err` says why not. */
    const char *(*pick)(struct worker *worker, struct error *err);

    /* Tells the test's listeners. */
    void (*notify)(struct crew *crew, const struct event *event);

    /* Begins to follow worker_next(), until STEP_END; -1: not begun. */
    int (*start)(struct worker *worker, struct error *err);

    /* What the worker waited for in worker_sleep() is over. */
    void (*resume)(struct worker *worker);

    /* The step under way is to end as OUTCOME_CANCELLED, whatever it waits for; its
     * request, if there was one, has been cut. NULL: it waits for nothing else. */
    void (*cancel)(struct worker *worker);

    /* Frees worker->host_data, at the end of the process. NULL: nothing to do. */
    void (*destroy)(struct worker *worker);

    unsigned mappings; /* of memory, that each worker needs (max_map_count) */
};

extern const struct host_type *const host_types[]; /* ends with NULL */
extern const struct host_type host_c;
extern const struct host_type host_url;

/* The host that takes a test; NULL, and `err` says what tests there are. */
const struct host_type *host_find(const char *test, struct error *err);

#endif
