/* scenario/test.h - what a test is: its scenarios and fixtures, whatever it is written in.
 *
 * A host (host.h) fills it in when it loads a test; a loaded test does not change. */
#ifndef SCENARIO_TEST_H
#define SCENARIO_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "job/job.h"

/* The functions around the scenarios, in the order of a run's life. */
#define TEST_FIXTURES(X) \
    X(GLOBAL_SETUP, "global_setup") \
    X(SETUP, "setup") \
    X(SETUP_SESSION, "setup_session") \
    X(SCENARIO_PICKER, "scenario_picker") \
    X(EVENTS, "events") \
    X(TEARDOWN_SESSION, "teardown_session") \
    X(TEARDOWN, "teardown") \
    X(GLOBAL_TEARDOWN, "global_teardown")

enum test_fixture {
#define FIXTURE_NUMBER(upper, lower) FIXTURE_##upper,
    TEST_FIXTURES(FIXTURE_NUMBER)
#undef FIXTURE_NUMBER
        FIXTURE_COUNT
};

extern const char *const test_fixture_names[FIXTURE_COUNT];

struct scenario {
    char *name;
    double weight;  /* over 0 */
    double delay_s; /* after a run that succeeded */
    void *code;     /* the host's */
};

struct host_type;

struct test {
    const struct host_type *host;
    struct scenario *scenarios; /* by name, once test_finish() was called */
    size_t scenario_count;
    double weight_sum;
    bool has[FIXTURE_COUNT];
    void *data; /* the host's */
};

/* Adds one; a weight of 0 leaves it out, and one of the same name is replaced. 0; or -1
 * for a name, weight or delay that is none. */
int test_add_scenario(struct test *test, const char *name, double weight,
                      double delay_s, void *code, struct error *err);

/* After the last one: sorts, and checks that the job can be run: that there is a
 * scenario, and that --single-mode names one. */
int test_finish(struct test *test, const struct job *job, struct error *err);

/* NULL: there is none of that name. */
const struct scenario *test_find(const struct test *test, const char *name);

/* Picks by weight: `share` is a random number from 0 up to but not including 1. */
const struct scenario *test_pick(const struct test *test, double share);

/* Frees the scenarios; the host has freed `data`. */
void test_clear(struct test *test);

#endif
