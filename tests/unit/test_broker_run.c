#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "unit/broker_world.h"

/* --- what agents say --------------------------------------------------------------------------- */

static struct agent_claim claim_of(enum agent_state state)
{
    return (struct agent_claim){.run = WORLD_RUN, .state = state};
}

static void claim(struct world *world, const char *name, enum agent_state state)
{
    const struct agent_claim claim = claim_of(state);

    run_take_claim(world->run, world_agent(world, name), &claim);
}

static void claim_nothing(struct world *world, const char *name)
{
    const struct agent_claim none = {.run = ""};

    run_take_claim(world->run, world_agent(world, name), &none);
}

/* A second that begins at `sequence - 1`, with so many hits. */
static struct message_report report_of(uint64_t sequence, uint64_t hits)
{
    struct message_report report;

    message_report_init(&report);
    memcpy(report.run, WORLD_RUN, sizeof(WORLD_RUN));
    report.delta.sequence = sequence;
    report.delta.from_us = (sequence - 1) * US_PER_S;
    report.delta.until_us = sequence * US_PER_S;
    if (hits > 0)
        stats_request(&report.delta.stats, "GET", "/", 1)->hits = hits;
    return report;
}

static void hand_in(struct world *world, const char *name,
                    struct message_report *report)
{
    run_take_report(world->run, world_agent(world, name), report);
    message_report_clear(report);
}

static void report(struct world *world, const char *name, uint64_t sequence,
                   uint64_t hits)
{
    struct message_report report = report_of(sequence, hits);

    hand_in(world, name, &report);
}

static void end(struct world *world, const char *name, uint64_t sequence,
                const char *failure)
{
    struct message_report report = report_of(sequence, 0);

    report.ended = true;
    report.failure = failure != NULL ? xstrdup(failure) : NULL;
    hand_in(world, name, &report);
}

static void lose(struct world *world, const char *name)
{
    struct agent *const agent = world_agent(world, name);

    run_lose_agent(agent->run, agent, "it was silent");
    roster_disconnect(&world->roster, agent);
}

static void come_back(struct world *world, const char *name)
{
    world_add_agent(world, name);
}

/* --- to where tests begin ----------------------------------------------------------------------- */

/* Agents "a", "b" ... are preparing. */
static void prepare(struct world *world, size_t agents)
{
    struct message_run spec = world_spec(agents);
    struct error err;

    for (size_t i = 0; i < agents; i++)
        world_add_agent(world, (char[]){(char)('a' + i), '\0'});
    world->run = run_new(&world->outside, &spec);
    check(sql_begin(&world->store.sql, &err), &err);
    check(run_put_new(world->run, &world->store, &err), &err);
    check(sql_commit(&world->store.sql, &err), &err);
    run_prepare(world->run);
}

/* They are running, and all that is stored. */
static void start(struct world *world, size_t agents)
{
    prepare(world, agents);
    for (size_t i = 0; i < agents; i++)
        claim(world, (char[]){(char)('a' + i), '\0'}, AGENT_READY);
    must_commit(world);
    buffer_reset(&world->said);
    buffer_reset(&world->told);
}

/* --- how it ended ----------------------------------------------------------------------------------- */

/* The END_OF_RUN that the store holds. */
static void read_end(struct world *world, struct message_update *ret_update)
{
    struct buffer final = BUFFER_INIT;
    struct wire_message message;
    struct error err;

    assert_null(world->run);
    assert_int_equal(store_find_run(&world->store, WORLD_RUN, &final, &err), 1);
    check(wire_decode(final.data, final.size, &message, &err), &err);
    check(message_unpack_update(&message.root, MESSAGE_END_OF_RUN, ret_update, &err),
          &err);
    wire_clear(&message);
    buffer_clear(&final);
}

static void expect_text(const char *got, const char *want)
{
    if ((got == NULL) != (want == NULL) || (want != NULL && strcmp(got, want) != 0))
        fail_msg("got '%s', want '%s'", got != NULL ? got : "(none)",
                 want != NULL ? want : "(none)");
}

static void expect_end(struct world *world, enum run_state state, const char *failure,
                       uint64_t hits)
{
    struct message_update update;
    struct stats_totals totals;

    read_end(world, &update);
    assert_string_equal(run_state_words[update.facts.state], run_state_words[state]);
    expect_text(update.facts.failure, failure);
    stats_total(&update.delta.stats, &totals);
    assert_int_equal(totals.hits, hits);
    message_update_clear(&update);
}

/* --- a good life ---------------------------------------------------------------------------------- */

static void test_life(void **state)
{
    struct world *const world = *state;
    struct message_update update;

    prepare(world, 2);
    expect_said(world, "a:PREPARE0 b:PREPARE1");
    assert_int_equal(world->run->facts.processes, 4);
    assert_int_equal(world->run->facts.workers, 40);
    must_commit(world);
    expect_told(world, ""); /* nothing has happened yet */
    claim(world, "a", AGENT_PREPARING);
    claim(world, "b", AGENT_READY);
    expect_said(world, "");
    claim(world, "a", AGENT_READY);
    claim(world, "a", AGENT_READY); /* a BEAT */
    expect_said(world, "");         /* not before that is stored */
    must_commit(world);
    expect_said(world, "a:START b:START");
    expect_told(world, "UPDATE1");

    report(world, "a", 1, 10);
    report(world, "b", 1, 5);
    report(world, "a", 2, 3);
    expect_said(world, "");
    must_commit(world);
    expect_said(world, "a:ACK2 b:ACK1");
    expect_told(world, "UPDATE2");
    must_commit(world);
    expect_told(world, "");

    end(world, "b", 2, NULL);
    must_commit(world);
    expect_said(world, "b:ACK2 b:RELEASE");
    assert_int_equal(roster_count_idle(&world->roster), 1);
    end(world, "a", 3, NULL);
    must_commit(world);
    expect_said(world, "a:ACK3 a:RELEASE");
    expect_told(world, "UPDATE3 UPDATE4 END_OF_RUN4");
    expect_end(world, RUN_FINISHED, NULL, 18);
    assert_int_equal(roster_count_idle(&world->roster), 2);

    read_end(world, &update);
    assert_int_equal(update.elapsed_us, 3 * US_PER_S);
    assert_int_equal(update.series.count, 3);
    assert_int_equal(update.series.rows[1].hits,
                     18); /* the middle of what was merged */
    assert_int_equal(update.facts.agents[0].counted.hits, 13);
    assert_int_equal(update.facts.agents[1].state, AGENT_ENDED);
    message_update_clear(&update);
}

/* --- exactly once ------------------------------------------------------------------------------------ */

static void test_exactly_once(void **state)
{
    struct world *const world = *state;

    start(world, 1);
    report(world, "a", 2, 1000); /* one is missing */
    expect_said(world, "a:ACK0");
    report(world, "a", 1, 1);
    report(world, "a", 1, 1000); /* its ACK is still to come */
    expect_said(world, "");
    report(world, "a", 2, 2);
    must_commit(world);
    expect_said(world, "a:ACK2");
    report(world, "a", 1, 1000);
    report(world, "a", 2, 1000);
    report(world, "a", 4, 1000);
    expect_said(world, "a:ACK2 a:ACK2 a:ACK2");
    end(world, "a", 3, NULL);
    report(world, "a", 4, 1000); /* it has ended */
    must_commit(world);
    expect_said(world, "a:ACK3 a:RELEASE");
    expect_end(world, RUN_FINISHED, NULL, 3);
}

static void set_pages(struct world *world, const char *statement)
{
    struct error err;

    check(sql_exec(&world->store.sql, statement, &err), &err);
}

/* Nothing is acknowledged or shown that could not be stored; later, all of it is. */
static void test_full_disk(void **state)
{
    struct world *const world = *state;
    struct error err;
    uint64_t sequence = 0;

    start(world, 1);
    set_pages(world, "PRAGMA max_page_count = 1");
    while (world_commit(world, &err) == 0) {
        buffer_reset(&world->said);
        buffer_reset(&world->told);
        report(world, "a", ++sequence, 1);
    }
    assert_non_null(strstr(err.message, "full"));
    expect_said(world, "");
    expect_told(world, "");
    end(world, "a", ++sequence, NULL);
    assert_int_equal(world_commit(world, &err), -1);
    expect_said(world, "");
    set_pages(world, "PRAGMA max_page_count = 1000000");
    must_commit(world);
    expect_end(world, RUN_FINISHED, NULL, sequence - 1);
}

/* All is stored but the end, which is tried again. */
static void test_full_disk_at_the_end(void **state)
{
    struct world *const world = *state;
    struct error err;

    start(world, 1);
    end(world, "a", 1, NULL);
    check(sql_begin(&world->store.sql, &err), &err);
    check(run_put(world->run, &world->store, &err), &err);
    check(sql_commit(&world->store.sql, &err), &err);
    run_stored(world->run);
    assert_true(run_is_concluded(world->run));
    set_pages(world, "PRAGMA query_only = 1");
    assert_int_equal(world_commit(world, &err), -1);
    assert_int_equal(store_find_run(&world->store, WORLD_RUN, NULL, &err), 1);
    set_pages(world, "PRAGMA query_only = 0");
    must_commit(world);
    expect_end(world, RUN_FINISHED, NULL, 0);
}

/* --- it does not start ------------------------------------------------------------------------------- */

static void test_refused(void **state)
{
    struct world *const world = *state;

    prepare(world, 3);
    claim(world, "a", AGENT_READY);
    run_take_refusal(world->run, world_agent(world, "b"), "no compiler");
    run_take_refusal(world->run, world_agent(world, "c"), "neither");
    buffer_reset(&world->said);
    must_commit(world);
    expect_said(world, "a:RELEASE b:RELEASE c:RELEASE");
    expect_told(world, "UPDATE1 END_OF_RUN1");
    expect_end(world, RUN_FAILED, "agent b: no compiler", 0);
    assert_int_equal(roster_count_idle(&world->roster), 3);
}

/* It crossed the START: the agent ends, and reports why. */
static void test_refused_after_the_start(void **state)
{
    struct world *const world = *state;

    prepare(world, 1);
    claim(world, "a", AGENT_READY);
    buffer_reset(&world->said);
    run_take_refusal(world->run, world_agent(world, "a"), "the slave died");
    expect_said(world, ""); /* START is to come */
    must_commit(world);
    run_take_refusal(world->run, world_agent(world, "a"), "the slave died");
    expect_said(world, "a:START a:START");
    end(world, "a", 1, "the slave died");
    must_commit(world);
    expect_end(world, RUN_FAILED, "agent a: the slave died", 0);
}

static void test_lost_before_the_start(void **state)
{
    struct world *const world = *state;

    prepare(world, 2);
    claim(world, "a", AGENT_READY);
    lose(world, "b");
    must_commit(world);
    expect_end(world, RUN_FAILED, "agent b: it was silent", 0);
    assert_null(roster_find(&world->roster, "b"));
}

static void test_ended_before_the_start(void **state)
{
    struct world *const world = *state;

    prepare(world, 2);
    claim(world, "a", AGENT_READY);
    end(world, "a", 1, "the slave was killed by SIGSEGV");
    must_commit(world);
    expect_end(world, RUN_FAILED, "agent a: the slave was killed by SIGSEGV", 0);
}

static void test_not_ready_in_time(void **state)
{
    struct world *const world = *state;

    prepare(world, 2);
    claim(world, "a", AGENT_READY);
    for (unsigned i = 0; i + 1 < WORLD_PREPARE_TICKS; i++)
        run_tick(world->run);
    assert_false(world->run->concluded);
    run_tick(world->run);
    must_commit(world);
    expect_end(world, RUN_FAILED,
               "agent b: it was not ready within 3 s (--prepare-timeout)", 0);
}

/* --- claims -------------------------------------------------------------------------------------------- */

/* What an agent of a run hears after it has said what it has. */
static void test_what_is_missing(void **state)
{
    static const struct {
        const char *name;
        bool started;
        enum run_stop stop;
        struct agent_claim claim;
        const char *want;
    } cases[] = {
        {"nothing yet",                     false, RUN_STOP_NOT,    {.run = ""},                                "a:PREPARE0"          },
        {"another run",                     false, RUN_STOP_NOT,    {.run = "other"},                           "a:RELEASE a:PREPARE0"},
        {"it prepares",
         false,                                    RUN_STOP_NOT,
         {.run = WORLD_RUN, .state = AGENT_PREPARING},
         ""                                                                                                                           },
        {"it missed START",
         true,                                     RUN_STOP_NOT,
         {.run = WORLD_RUN, .state = AGENT_READY},
         "a:START"                                                                                                                    },
        {"it runs",                         true,  RUN_STOP_NOT,    {.run = WORLD_RUN, .state = AGENT_RUNNING}, ""                    },
        {"it missed STOP",
         true,                                     RUN_STOP_GENTLY,
         {.run = WORLD_RUN, .state = AGENT_RUNNING},
         "a:STOP"                                                                                                                     },
        {"it missed START and STOP",
         true,                                     RUN_STOP_GENTLY,
         {.run = WORLD_RUN, .state = AGENT_READY},
         "a:STOP"                                                                                                                     },
        {"it stops",
         true,                                     RUN_STOP_GENTLY,
         {.run = WORLD_RUN, .state = AGENT_RUNNING, .stopping = true},
         ""                                                                                                                           },
        {"it stops, but gently",
         true,                                     RUN_STOP_FORCED,
         {.run = WORLD_RUN, .state = AGENT_RUNNING, .stopping = true},
         "a:STOP!"                                                                                                                    },
        {"it stops as it should",
         true,                                     RUN_STOP_FORCED,
         {.run = WORLD_RUN, .state = AGENT_RUNNING, .stopping = true, .forced = true},
         ""                                                                                                                           },
        {"it has ended, and is to deliver",
         true,                                     RUN_STOP_FORCED,
         {.run = WORLD_RUN, .state = AGENT_ENDED},
         ""                                                                                                                           },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        void *own = NULL;
        struct world *world;

        print_message("%s\n", cases[i].name);
        world_setup(&own);
        world = own;
        prepare(world, 2);
        if (cases[i].started) {
            claim(world, "a", AGENT_READY);
            claim(world, "b", AGENT_READY);
            must_commit(world);
        }
        if (cases[i].stop != RUN_STOP_NOT)
            run_stop(world->run, cases[i].stop == RUN_STOP_FORCED, "SIGINT");
        buffer_reset(&world->said);
        run_take_claim(world->run, world_agent(world, "a"), &cases[i].claim);
        expect_said(world, cases[i].want);
        world_teardown(&own);
    }
}

/* Who had the run and has it no more, has lost it. */
static void test_claim_is_gone(void **state)
{
    struct world *const world = *state;

    start(world, 2);
    report(world, "a", 1, 7);
    claim_nothing(world, "a");
    must_commit(world);
    assert_int_equal(world->run->facts.agents[0].state, AGENT_LOST);
    claim_nothing(world, "a"); /* with the next beat: it is free */
    assert_null(world_agent(world, "a")->run);
    end(world, "b", 1, NULL);
    must_commit(world);
    expect_end(world, RUN_FINISHED, NULL, 7);
}

/* --- agents that are lost ------------------------------------------------------------------------------ */

static void test_lost_and_back(void **state)
{
    struct world *const world = *state;
    struct message_update update;

    start(world, 2);
    report(world, "a", 1, 7);
    lose(world, "a");
    must_commit(world);
    assert_int_equal(world->run->facts.agents[0].state, AGENT_LOST);
    assert_int_equal(world->run->facts.agents[0].counted.hits, 7);
    come_back(world, "a");
    claim(world, "a", AGENT_RUNNING);
    end(world, "b", 1, NULL);
    assert_int_equal(world->run->facts.agents[0].state, AGENT_RUNNING);
    assert_int_equal(run_held(world->run, world_agent(world, "a")), 1);
    report(world, "a", 2, 1);
    end(world, "a", 3, NULL);
    must_commit(world);
    expect_end(world, RUN_FINISHED, NULL, 8);
    read_end(world, &update);
    assert_int_equal(update.facts.agents[0].lost_at_us, 0);
    message_update_clear(&update);
}

static void test_lost_for_good(void **state)
{
    struct world *const world = *state;
    struct message_update update;

    start(world, 2);
    report(world, "a", 1, 7);
    end(world, "b", 1, NULL);
    lose(world, "a");
    must_commit(world);
    expect_end(world, RUN_FINISHED, NULL, 7);
    read_end(world, &update);
    assert_int_equal(update.facts.agents[0].state, AGENT_LOST);
    assert_int_equal(update.facts.agents[0].counted.hits, 7);
    message_update_clear(&update);
    assert_null(roster_find(&world->roster, "a"));
}

static void test_all_lost(void **state)
{
    struct world *const world = *state;

    start(world, 2);
    report(world, "a", 1, 7);
    lose(world, "a");
    lose(world, "b");
    must_commit(world);
    expect_end(world, RUN_FAILED, "all agents were lost", 7);
}

/* The last REPORT came, but could not be stored before its agent went. */
static void test_ended_and_gone(void **state)
{
    struct world *const world = *state;

    start(world, 1);
    report(world, "a", 1, 7);
    end(world, "a", 2, NULL);
    lose(world, "a");
    must_commit(world);
    expect_end(world, RUN_FINISHED, NULL, 7);
}

/* --- stopping ------------------------------------------------------------------------------------------ */

static void test_stop(void **state)
{
    struct world *const world = *state;
    struct message_update update;

    start(world, 2);
    run_stop(world->run, false, "SIGINT");
    expect_said(world, "a:STOP b:STOP");
    run_stop(world->run, false, "SIGTERM");
    expect_said(world, "");
    run_stop(world->run, true, "SIGTERM");
    expect_said(world, "a:STOP! b:STOP!");
    run_stop(world->run, false, "SIGTERM");
    expect_said(world, "");
    end(world, "a", 1, NULL);
    end(world, "b", 1, NULL);
    must_commit(world);
    expect_end(world, RUN_STOPPED, NULL, 0);
    read_end(world, &update);
    assert_string_equal(update.facts.interrupted_by, "SIGINT");
    message_update_clear(&update);
}

/* Who prepares, cleans up; who has never heard of the run, has nothing to clean up. */
static void test_stop_before_the_start(void **state)
{
    struct world *const world = *state;

    prepare(world, 3);
    claim(world, "a", AGENT_PREPARING);
    claim(world, "b", AGENT_READY);
    buffer_reset(&world->said);
    run_stop(world->run, false, "SIGINT");
    expect_said(world, "a:STOP b:STOP");
    must_commit(world);
    expect_said(world, "c:RELEASE");
    claim(world, "a", AGENT_READY);
    buffer_reset(&world->said);
    run_take_refusal(world->run, world_agent(world, "a"), "it was stopped");
    end(world, "b", 1, NULL);
    must_commit(world);
    expect_end(world, RUN_STOPPED, NULL, 0);
}

static void test_forced_stop_before_the_start(void **state)
{
    struct world *const world = *state;

    prepare(world, 2);
    claim(world, "a", AGENT_READY);
    buffer_reset(&world->said);
    run_stop(world->run, true, "SIGINT");
    must_commit(world);
    expect_said(world, "a:RELEASE b:RELEASE");
    expect_end(world, RUN_STOPPED, NULL, 0);
}

/* An agent that prepares and does not care is not waited for without end. */
static void test_stop_that_nobody_follows(void **state)
{
    struct world *const world = *state;

    prepare(world, 1);
    claim(world, "a", AGENT_PREPARING);
    run_stop(world->run, false, "SIGINT");
    for (unsigned i = 0; i < WORLD_PREPARE_TICKS; i++)
        run_tick(world->run);
    must_commit(world);
    expect_end(world, RUN_STOPPED, NULL, 0);
}

static void stop_from(struct world *world, const char *name, const char *why,
                      bool failed)
{
    struct message_report report = report_of(1, 2);

    report.has_stopping = true;
    report.stopping = (struct message_stopping){.why = xstrdup(why), .failed = failed};
    hand_in(world, name, &report);
}

static void test_agent_stops_all(void **state)
{
    struct world *const world = *state;
    struct message_update update;

    start(world, 2);
    stop_from(world, "b", "--exception", false);
    expect_said(world, "a:STOP b:STOP");
    end(world, "a", 1, NULL);
    end(world, "b", 2, NULL);
    must_commit(world);
    expect_end(world, RUN_STOPPED, NULL, 2);
    read_end(world, &update);
    assert_string_equal(update.facts.interrupted_by, "--exception");
    message_update_clear(&update);
}

static void test_agent_fails_all(void **state)
{
    struct world *const world = *state;

    start(world, 2);
    stop_from(world, "b", "the set-up failed", true);
    expect_said(world, "a:STOP b:STOP");
    assert_int_equal(world->run->facts.state, RUN_STOPPING);
    end(world, "a", 1, "the slave died, too");
    end(world, "b", 2, NULL);
    must_commit(world);
    expect_end(world, RUN_FAILED, "agent b: the set-up failed", 2);
}

/* --- processes that die -------------------------------------------------------------------------------- */

/* No more than there are. */
static void test_lost_processes(void **state)
{
    struct world *const world = *state;
    struct message_report report = report_of(1, 1);
    struct message_update update;

    start(world, 2);
    report.lost = xcalloc(5, sizeof(report.lost[0]));
    report.lost_count = 5;
    for (unsigned i = 0; i < 5; i++)
        report.lost[i] = (struct message_lost){.index = i, .signal = 11};
    hand_in(world, "b", &report);
    end(world, "a", 1, NULL);
    end(world, "b", 2, NULL);
    must_commit(world);
    expect_end(world, RUN_FAILED, NULL, 1);
    read_end(world, &update);
    assert_int_equal(update.facts.lost_count, 2);
    assert_int_equal(update.facts.lost[0].agent, 1);
    assert_int_equal(update.facts.lost[1].index, 1);
    message_update_clear(&update);
}

/* --- the broker dies ----------------------------------------------------------------------------------- */

/* kill -9, and a new one on the same database. */
static void restart(struct world *world)
{
    struct stored_run stored;
    struct error err;

    world_close_store(world);
    world_open_store(world);
    assert_int_equal(store_next_active(&world->store, 0, &stored, &err), 1);
    world->run = run_restore(&world->outside, &world->store, &stored, &err);
    stored_run_clear(&stored);
    if (world->run == NULL)
        fail_msg("%s", err.message);
}

static void test_restart(void **state)
{
    struct world *const world = *state;
    struct message_update update;

    start(world, 2);
    report(world, "a", 1, 7);
    report(world, "b", 1, 5);
    must_commit(world);
    report(world, "a", 2, 1000); /* is not stored */
    restart(world);
    assert_int_equal(world->run->revision, 2);
    assert_int_equal(world->run->total.until_us, US_PER_S);

    come_back(world, "a");
    assert_int_equal(run_held(world->run, world_agent(world, "a")), 1);
    claim(world, "a", AGENT_RUNNING);
    expect_said(world, "");
    report(world, "a", 2, 20);
    end(world, "a", 3, NULL);
    must_commit(world);
    expect_said(world, "a:ACK3 a:RELEASE");
    lose(world, "b");
    must_commit(world);
    expect_end(world, RUN_FINISHED, NULL, 32);
    read_end(world, &update);
    assert_int_equal(update.facts.agents[0].counted.hits, 27);
    assert_int_equal(update.facts.agents[1].counted.hits, 5);
    assert_int_equal(update.facts.agents[1].state, AGENT_LOST);
    assert_int_equal(update.series.count, 3);
    assert_int_equal(update.series.rows[0].hits, 12);
    message_update_clear(&update);
}

static void test_restart_while_preparing(void **state)
{
    struct world *const world = *state;

    prepare(world, 2);
    claim(world, "a", AGENT_READY);
    must_commit(world);
    restart(world);
    come_back(world, "a");
    come_back(world, "b");
    claim_nothing(world, "b");
    expect_said(world, "b:PREPARE1");
    claim(world, "a", AGENT_READY);
    claim(world, "b", AGENT_READY);
    must_commit(world);
    expect_said(world, "a:START b:START");
}

/* Some have got their START, others not, and one does not come back at all. */
static void test_restart_in_the_start(void **state)
{
    struct world *const world = *state;

    start(world, 3);
    restart(world);
    come_back(world, "a");
    come_back(world, "b");
    claim(world, "a", AGENT_RUNNING);
    expect_said(world, "");
    claim(world, "b", AGENT_READY);
    expect_said(world, "b:START");
    lose(world, "c");
    end(world, "a", 1, NULL);
    end(world, "b", 1, NULL);
    must_commit(world);
    expect_end(world, RUN_FINISHED, NULL, 0);
}

/* The stop is kept. */
static void test_restart_while_stopping(void **state)
{
    struct world *const world = *state;

    start(world, 1);
    run_stop(world->run, true, "SIGINT");
    must_commit(world);
    restart(world);
    come_back(world, "a");
    claim(world, "a", AGENT_RUNNING);
    expect_said(world, "a:STOP!");
    end(world, "a", 1, NULL);
    must_commit(world);
    expect_end(world, RUN_STOPPED, NULL, 0);
}

/* All was stored but the end. */
static void test_restart_before_the_end(void **state)
{
    struct world *const world = *state;
    struct error err;

    start(world, 1);
    end(world, "a", 1, NULL);
    check(sql_begin(&world->store.sql, &err), &err);
    check(run_put(world->run, &world->store, &err), &err);
    check(sql_commit(&world->store.sql, &err), &err);
    restart(world);
    assert_true(run_is_concluded(world->run));
    must_commit(world);
    expect_end(world, RUN_FINISHED, NULL, 0);
}

/* What cannot be read is an error, and nothing is left of it. */
static void test_damaged(void **state)
{
    static const char *const damages[] = {
        "UPDATE runs SET spec = x'80'",
        "UPDATE runs SET facts = x'c1'",
        "UPDATE runs SET facts = substr(facts, 1, 60)",
        "DELETE FROM run_agents",
        "UPDATE intervals SET delta = x''",
    };
    struct world *const world = *state;

    start(world, 2);
    report(world, "a", 1, 7);
    must_commit(world);
    for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
        struct stored_run stored;
        struct error err;

        world_close_store(world);
        world_open_store(world);
        check(sql_begin(&world->store.sql, &err), &err);
        set_pages(world, damages[i]);
        assert_int_equal(store_next_active(&world->store, 0, &stored, &err), 1);
        err.message[0] = '\0';
        assert_null(run_restore(&world->outside, &world->store, &stored, &err));
        assert_true(strlen(err.message) > 0);
        assert_int_equal(world->roster.count, 0);
        stored_run_clear(&stored);
        sql_rollback(&world->store.sql);
    }
}

/* --- who watches ----------------------------------------------------------------------------------------- */

static void take_snapshot(struct world *world, uint64_t after,
                          struct message_update *ret_update)
{
    struct buffer message = BUFFER_INIT;
    struct wire_message decoded;
    struct error err;

    check(
        run_pack_snapshot(world->run, &world->store, after, "no room", &message, &err),
        &err);
    check(wire_decode(message.data, message.size, &decoded, &err), &err);
    check(message_unpack_update(&decoded.root, MESSAGE_UPDATE, ret_update, &err), &err);
    wire_clear(&decoded);
    buffer_clear(&message);
}

static void expect_snapshot(struct world *world, uint64_t after, uint64_t want_after,
                            uint64_t want_hits)
{
    struct message_update update;
    struct stats_totals totals;

    take_snapshot(world, after, &update);
    stats_total(&update.delta.stats, &totals);
    assert_int_equal(update.after, want_after);
    assert_int_equal(update.revision, world->run->revision);
    assert_int_equal(totals.hits, want_hits);
    assert_string_equal(update.trouble, "no room");
    assert_int_equal(update.facts.agent_count, 1);
    message_update_clear(&update);
}

static void test_snapshots(void **state)
{
    struct world *const world = *state;
    struct error err;

    start(world, 1); /* revision 1 */
    for (uint64_t i = 1; i <= 4; i++) {
        report(world, "a", i, i);
        must_commit(world);
    }
    report(world, "a", 5, 1000); /* is not stored, so it is not shown */
    expect_snapshot(world, 0, 0, 10);
    expect_snapshot(world, 1, 1, 10);
    expect_snapshot(world, 3, 3, 7);
    expect_snapshot(world, 5, 5, 0);
    expect_snapshot(world, 6, 0, 10);
    expect_snapshot(world, UINT64_MAX, 0, 10);
    /* All of a second becomes one row. */
    set_pages(world, "UPDATE intervals SET from_us = 0, until_us = 1");
    assert_int_equal(intervals_compact(&world->store.intervals, world->run->number,
                                       3600 * (uint64_t)US_PER_S, &err),
                     1);
    expect_snapshot(world, 3, 0, 10);
    expect_snapshot(world, 1, 1, 10);
}

/* Lines are shown once; that they make room for others later does not lose them. */
static void test_lines(void **state)
{
    struct world *const world = *state;
    struct message_update update;

    start(world, 1);
    for (uint64_t i = 1; i <= 3; i++) {
        struct message_report report = report_of(i, 0);

        for (int line = 0; line < 60; line++)
            delta_add_line(&report.delta, LINE_PRINT, "x");
        hand_in(world, "a", &report);
        must_commit(world);
    }
    end(world, "a", 4, NULL);
    must_commit(world);
    read_end(world, &update);
    assert_int_equal(update.delta.stats.lines_dropped, 0);
    assert_int_equal(update.delta.lines.count, 0);
    message_update_clear(&update);
}

#define RUN_TEST(name) \
    cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN_TEST(test_life),
        RUN_TEST(test_exactly_once),
        RUN_TEST(test_full_disk),
        RUN_TEST(test_full_disk_at_the_end),
        RUN_TEST(test_refused),
        RUN_TEST(test_refused_after_the_start),
        RUN_TEST(test_lost_before_the_start),
        RUN_TEST(test_ended_before_the_start),
        RUN_TEST(test_not_ready_in_time),
        cmocka_unit_test(test_what_is_missing),
        RUN_TEST(test_claim_is_gone),
        RUN_TEST(test_lost_and_back),
        RUN_TEST(test_lost_for_good),
        RUN_TEST(test_all_lost),
        RUN_TEST(test_ended_and_gone),
        RUN_TEST(test_stop),
        RUN_TEST(test_stop_before_the_start),
        RUN_TEST(test_forced_stop_before_the_start),
        RUN_TEST(test_stop_that_nobody_follows),
        RUN_TEST(test_agent_stops_all),
        RUN_TEST(test_agent_fails_all),
        RUN_TEST(test_lost_processes),
        RUN_TEST(test_restart),
        RUN_TEST(test_restart_while_preparing),
        RUN_TEST(test_restart_in_the_start),
        RUN_TEST(test_restart_while_stopping),
        RUN_TEST(test_restart_before_the_end),
        RUN_TEST(test_damaged),
        RUN_TEST(test_snapshots),
        RUN_TEST(test_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
