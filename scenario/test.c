#include "scenario/test.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "base/text.h"
#include "stats/stats.h"

#define DELAY_MAX_S 86400.0
#define WEIGHT_MAX 1e9

const char *const test_fixture_names[FIXTURE_COUNT] = {
#define FIXTURE_NAME(upper, lower) lower,
    TEST_FIXTURES(FIXTURE_NAME)
#undef FIXTURE_NAME
};

static int by_name(const void *left, const void *right)
{
    return strcmp(((const struct scenario *)left)->name,
                  ((const struct scenario *)right)->name);
}

static struct scenario *find_unsorted(const struct test *test, const char *name)
{
    for (size_t i = 0; i < test->scenario_count; i++) {
        if (strcmp(test->scenarios[i].name, name) == 0)
            return &test->scenarios[i];
    }
    return NULL;
}

static int check_scenario(const char *name, double weight, double delay_s,
                          struct error *err)
{
    const size_t length = name != NULL ? strlen(name) : 0;

    if (length == 0 || length > TABLE_NAME_MAX || !text_is_clean(name, length))
        return error_set(err, "a scenario's name is 1 to %u bytes of printable text",
                         TABLE_NAME_MAX);
    if (!(weight >= 0 && weight <= WEIGHT_MAX))
        return error_set(err, "scenario '%s': its weight is %g, and takes 0 to %g",
                         name, weight, WEIGHT_MAX);
    if (!(delay_s >= 0 && delay_s <= DELAY_MAX_S))
        return error_set(err,
                         "scenario '%s': its delay is %g, and takes 0 to %g seconds",
                         name, delay_s, DELAY_MAX_S);
    return 0;
}

int test_add_scenario(struct test *test, const char *name, double weight,
                      double delay_s, void *code, struct error *err)
{
    struct scenario *scenario;

    if (check_scenario(name, weight, delay_s, err) == -1)
        return -1;
    if (weight == 0)
        return 0;
    scenario = find_unsorted(test, name);
    if (scenario == NULL && test->scenario_count == STATS_SCENARIOS_MAX)
        return error_set(err, "a test has at most %u scenarios", STATS_SCENARIOS_MAX);
    if (scenario == NULL) {
        test->scenarios = xrealloc_array(test->scenarios, test->scenario_count + 1,
                                         sizeof(*test->scenarios));
        scenario = &test->scenarios[test->scenario_count++];
        scenario->name = xstrdup(name);
    }
    scenario->weight = weight;
    scenario->delay_s = delay_s;
    scenario->code = code;
    return 0;
}

/* Names those that there are, as far as they fit. */
static int refuse_single_mode(const struct test *test, const char *name,
                              struct error *err)
{
    struct buffer names = BUFFER_INIT;

    for (size_t i = 0; i < test->scenario_count; i++)
        buffer_printf(&names, "%s%s", i > 0 ? ", " : "", test->scenarios[i].name);
    error_set(err, "it has no scenario '%s' for --single-mode; it has %s", name,
              buffer_text(&names));
    buffer_clear(&names);
    return -1;
}

int test_finish(struct test *test, const struct job *job, struct error *err)
{
    if (test->scenario_count == 0)
        return error_set(err,
                         "it has no scenario (one with a weight of 0 is left out): "
                         "write at least one, SCENARIO(name) { ... }");
    qsort(test->scenarios, test->scenario_count, sizeof(*test->scenarios), by_name);
    test->weight_sum = 0;
    for (size_t i = 0; i < test->scenario_count; i++)
        test->weight_sum += test->scenarios[i].weight;
    if (job->single_mode != NULL && test_find(test, job->single_mode) == NULL)
        return refuse_single_mode(test, job->single_mode, err);
    return 0;
}

const struct scenario *test_find(const struct test *test, const char *name)
{
    return find_unsorted(test, name);
}

const struct scenario *test_pick(const struct test *test, double share)
{
    double left = share * test->weight_sum;

    for (size_t i = 0; i + 1 < test->scenario_count; i++) {
        if (left < test->scenarios[i].weight)
            return &test->scenarios[i];
        left -= test->scenarios[i].weight;
    }
    return &test->scenarios[test->scenario_count - 1];
}

void test_clear(struct test *test)
{
    for (size_t i = 0; i < test->scenario_count; i++)
        free(test->scenarios[i].name);
    free(test->scenarios);
    test->scenarios = NULL;
    test->scenario_count = 0;
}
