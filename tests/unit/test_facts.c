#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "unit/samples.h"

static void pack(struct buffer *buffer, const struct run_facts *facts)
{
    msgpack_packer packer;

    buffer_reset(buffer);
    wire_packer(&packer, buffer);
    facts_pack(facts, &packer);
}

static int unpack(const struct buffer *buffer, struct run_facts *ret_facts,
                  struct error *err)
{
    struct wire_message message;
    int rc;

    if (wire_decode(buffer->data, buffer->size, &message, err) == -1)
        return -1;
    rc = facts_unpack(&message.root, ret_facts, err);
    wire_clear(&message);
    return rc;
}

/* Facts as an initialised sample; clear them. */
static struct run_facts sample_facts(void)
{
    struct run_facts facts;

    facts_init(&facts);
    fill_sample_facts(&facts);
    return facts;
}

static void expect_sample(const struct run_facts *facts)
{
    assert_int_equal(facts->state, RUN_STOPPING);
    assert_string_equal(facts->run_id, SAMPLE_RUN);
    assert_string_equal(facts->test, "loadtest.c");
    assert_string_equal(facts->interrupted_by, "SIGINT");
    assert_string_equal(facts->failure, "a process died");
    assert_true(facts->created_wall_s == 1735787045.5);
    assert_true(facts->started_wall_s == 1735787046.25);
    assert_int_equal(facts->processes, 4);
    assert_int_equal(facts->workers, 400);
    assert_true(facts->duration_s == 60);
    assert_int_equal(facts->max_runs, 1000);
    assert_int_equal(facts->agent_count, 2);
    assert_string_equal(facts->agents[0].name, "lemon");
    assert_string_equal(facts->agents[0].host, "10.0.0.7");
    assert_int_equal(facts->agents[0].pid, 4711);
    assert_int_equal(facts->agents[0].state, AGENT_LOST);
    assert_int_equal(facts->agents[0].lost_at_us, 31000000);
    assert_int_equal(facts->agents[0].counted.ok, 1);
    assert_int_equal(facts->agents[0].counted.bytes_out, 8);
    assert_int_equal(facts->agents[1].state, AGENT_RUNNING);
    assert_int_equal(facts->agents[1].counted.hits, 0);
    assert_int_equal(facts->lost_count, 1);
    assert_int_equal(facts->lost[0].agent, 1);
    assert_int_equal(facts->lost[0].index, 2);
    assert_int_equal(facts->lost[0].signal, 11);
    assert_int_equal(facts->lost[0].status, 0);
    assert_false(facts->lost[0].stuck);
    assert_string_equal(facts->lost[0].scenario, "browse");
}

static void test_round_trip(void **state)
{
    struct run_facts facts = sample_facts(), got;
    struct buffer buffer = BUFFER_INIT;
    struct error err;

    (void)state;
    pack(&buffer, &facts);
    facts_clear(&facts);
    if (unpack(&buffer, &got, &err) == -1)
        fail_msg("%s", err.message);
    expect_sample(&got);
    facts_clear(&got);
    facts_clear(&got); /* twice is fine */
    buffer_clear(&buffer);
}

/* A local run as it begins: nothing is known but what was asked for. */
static void test_few(void **state)
{
    struct buffer buffer = BUFFER_INIT;
    struct run_facts facts, got;

    (void)state;
    facts_init(&facts);
    facts.run_id = xstrdup("r");
    pack(&buffer, &facts);
    assert_int_equal(unpack(&buffer, &got, NULL), 0);
    assert_int_equal(got.state, RUN_PREPARING);
    assert_string_equal(got.test, "");
    assert_null(got.interrupted_by);
    assert_null(got.failure);
    assert_int_equal(got.agent_count, 0);
    assert_int_equal(got.lost_count, 0);
    facts_clear(&got);
    facts_clear(&facts);
    buffer_clear(&buffer);
}

/* What an agent has, all agents have. */
static void test_describe_job(void **state)
{
    struct run_facts facts;
    struct job job;

    (void)state;
    facts_init(&facts);
    job_init(&job);
    job.run_id = xstrdup("r");
    job.processes = 3;
    job.workers = 100;
    job.duration_s = 60;
    job.max_runs = 7;
    facts_describe_job(&facts, &job, 10000);
    assert_string_equal(facts.run_id, "r");
    assert_string_equal(facts.test, job.test);
    assert_int_equal(facts.processes, 30000);
    assert_int_equal(facts.workers, 3000000);
    assert_true(facts.duration_s == 60);
    assert_int_equal(facts.max_runs, 7);
    facts_clear(&facts);
    job_clear(&job);
}

static void test_copy(void **state)
{
    struct run_facts facts = sample_facts(), copy = sample_facts();

    (void)state;
    facts_set_failure(&copy, "another");
    facts_add_agent(&copy, "one more", "", 1);
    facts_copy(&copy, &facts);
    facts_clear(&facts); /* nothing is shared */
    expect_sample(&copy);
    facts_copy(&copy, &facts); /* of nothing */
    assert_null(copy.run_id);
    assert_int_equal(copy.agent_count, 0);
    facts_clear(&copy);
}

/* The first reason is the one that is told. */
static void test_reasons(void **state)
{
    static const struct {
        enum run_state before, then;
    } cases[] = {
        {RUN_PREPARING, RUN_STOPPING},
        {RUN_RUNNING,   RUN_STOPPING},
        {RUN_STOPPING,  RUN_STOPPING},
        {RUN_FINISHED,  RUN_FINISHED},
        {RUN_FAILED,    RUN_FAILED  },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct run_facts facts;

        facts_init(&facts);
        facts.state = cases[i].before;
        facts_set_failure(&facts, "first");
        facts_set_failure(&facts, "second");
        assert_string_equal(facts.failure, "first");
        assert_int_equal(facts.state, cases[i].before);
        facts_set_interrupted_by(&facts, "--exception");
        facts_set_interrupted_by(&facts, "SIGINT");
        assert_string_equal(facts.interrupted_by, "--exception");
        assert_int_equal(facts.state, cases[i].then);
        facts_clear(&facts);
    }
}

static void test_final_state(void **state)
{
    static const struct {
        const char *name, *failure, *interrupted_by;
        size_t processes_lost, agents, agents_lost;
        enum run_state want;
    } cases[] = {
        {"a local run",            NULL,  NULL,  0, 0, 0, RUN_FINISHED},
        {"all agents ended",       NULL,  NULL,  0, 2, 0, RUN_FINISHED},
        {"an agent was lost",      NULL,  NULL,  0, 2, 1, RUN_FINISHED},
        {"all agents were lost",   NULL,  NULL,  0, 2, 2, RUN_FAILED  },
        {"a process was lost",     NULL,  NULL,  1, 0, 0, RUN_FAILED  },
        {"a set-up failed",        "why", NULL,  0, 2, 0, RUN_FAILED  },
        {"Ctrl-C",                 NULL,  "who", 0, 2, 0, RUN_STOPPED },
        {"Ctrl-C, a lost agent",   NULL,  "who", 0, 2, 1, RUN_STOPPED },
        {"Ctrl-C, and a failure",  "why", "who", 0, 2, 0, RUN_FAILED  },
        {"Ctrl-C, a dead process", NULL,  "who", 1, 0, 0, RUN_FAILED  },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct run_facts facts;
        enum run_state got;

        facts_init(&facts);
        if (cases[i].failure != NULL)
            facts_set_failure(&facts, cases[i].failure);
        if (cases[i].interrupted_by != NULL)
            facts_set_interrupted_by(&facts, cases[i].interrupted_by);
        for (size_t k = 0; k < cases[i].processes_lost; k++)
            facts_add_lost(&facts, &(struct fact_process){.signal = 9});
        for (size_t k = 0; k < cases[i].agents; k++) {
            facts_add_agent(&facts, "a", "h", 1);
            facts.agents[k].state = k < cases[i].agents_lost ? AGENT_LOST : AGENT_ENDED;
        }
        assert_int_equal(facts_count_agents(&facts, AGENT_LOST), cases[i].agents_lost);
        got = facts_final_state(&facts);
        if (got != cases[i].want)
            fail_msg("%s: %s", cases[i].name, run_state_words[got]);
        facts_clear(&facts);
    }
}

/* Every state has its word, and comes back as itself. */
static void test_states(void **state)
{
    struct buffer buffer = BUFFER_INIT;

    (void)state;
    for (unsigned run = 0; run < RUN_STATE_COUNT; run++) {
        for (unsigned agent = 0; agent < AGENT_STATE_COUNT; agent++) {
            struct run_facts facts = sample_facts(), got;

            facts.state = (enum run_state)run;
            facts.agents[0].state = (enum agent_state)agent;
            pack(&buffer, &facts);
            assert_int_equal(unpack(&buffer, &got, NULL), 0);
            assert_int_equal(got.state, run);
            assert_int_equal(got.agents[0].state, agent);
            assert_int_equal(run_state_is_over((enum run_state)run),
                             run == RUN_FINISHED || run == RUN_STOPPED ||
                                 run == RUN_FAILED);
            facts_clear(&got);
            facts_clear(&facts);
        }
    }
    buffer_clear(&buffer);
}

/* A run that loses processes all day: the list ends, and still travels. */
static void test_lost_without_end(void **state)
{
    const struct fact_process lost = {.signal = 9};
    struct buffer buffer = BUFFER_INIT;
    struct run_facts facts = sample_facts(), got;

    (void)state;
    for (unsigned i = 0; i < FACTS_LOST_MAX + 10; i++)
        facts_add_lost(&facts, &lost);
    assert_int_equal(facts.lost_count, FACTS_LOST_MAX);
    pack(&buffer, &facts);
    assert_int_equal(unpack(&buffer, &got, NULL), 0);
    assert_int_equal(got.lost_count, FACTS_LOST_MAX);
    facts_clear(&got);
    facts_clear(&facts);
    buffer_clear(&buffer);
}

/* What is packed is taken: texts from elsewhere are cleaned and cut, as they come in and
 * as they go out. */
static void test_texts_are_clean(void **state)
{
    static char wild[10000];
    struct buffer buffer = BUFFER_INIT;
    struct run_facts facts, got;
    struct error err;

    (void)state;
    for (size_t i = 0; i < sizeof(wild) - 1; i++)
        wild[i] = (char)(i % 255 + 1);
    facts_init(&facts);
    facts.run_id = xstrdup("r");
    facts.test = xstrdup(wild);
    facts_set_failure(&facts, wild);
    facts_set_interrupted_by(&facts, wild);
    facts_add_agent(&facts, wild, wild, 1);
    facts_add_lost(&facts, &(struct fact_process){.scenario = wild});
    assert_true(text_is_clean(facts.failure, strlen(facts.failure)));
    assert_true(text_is_clean(facts.agents[0].name, strlen(facts.agents[0].name)));
    assert_in_range(strlen(facts.agents[0].name), FACTS_NAME_MAX - 3, FACTS_NAME_MAX);
    pack(&buffer, &facts);
    if (unpack(&buffer, &got, &err) == -1)
        fail_msg("%s", err.message);
    assert_true(text_is_clean(got.test, strlen(got.test)));
    assert_in_range(strlen(got.test), FACTS_TEST_MAX - 3, FACTS_TEST_MAX);
    assert_string_equal(got.failure, facts.failure);
    assert_string_equal(got.agents[0].host, facts.agents[0].host);
    facts_clear(&got);
    facts_clear(&facts);
    buffer_clear(&buffer);
}

/* Whoever looks an agent up by a lost process' index finds one; in a local run there are
 * none, and the index is 0. */
static void test_agent_of_a_lost_process(void **state)
{
    static const struct {
        size_t agents;
        unsigned agent;
        bool taken;
    } cases[] = {
        {0, 0,    true },
        {0, 1,    false},
        {2, 1,    true },
        {2, 2,    false},
        {2, 9999, false},
    };
    struct buffer buffer = BUFFER_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct run_facts facts, got;

        facts_init(&facts);
        facts.run_id = xstrdup("r");
        for (size_t k = 0; k < cases[i].agents; k++)
            facts_add_agent(&facts, "a", "h", 1);
        facts_add_lost(&facts, &(struct fact_process){.agent = cases[i].agent});
        pack(&buffer, &facts);
        assert_int_equal(unpack(&buffer, &got, NULL), cases[i].taken ? 0 : -1);
        if (cases[i].taken)
            facts_clear(&got);
        facts_clear(&facts);
    }
    buffer_clear(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_few),
        cmocka_unit_test(test_describe_job),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_final_state),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_lost_without_end),
        cmocka_unit_test(test_texts_are_clean),
        cmocka_unit_test(test_agent_of_a_lost_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
