/* broker/run.c - the life of one run.
 *
 * PREPARING -> RUNNING   start_when_ready(), at the last agent that is ready; START is sent
 *                        when that is stored: a run that began is never one that may fail
 *                        to begin, whenever its broker dies
 * PREPARING -> FAILED    fail(): an agent refuses, is lost, or is not ready in time
 * PREPARING -> STOPPING  run_stop(); by force: -> STOPPED
 * RUNNING   -> STOPPING  run_stop(), or an agent says so: take_stopping()
 * RUNNING, STOPPING -> FINISHED, STOPPED, FAILED
 *                        conclude_when_done(), at the last agent that ended or is lost
 * any of the last three -> gone   run_finish(), in run_store.c
 *
 * and of one agent in it:
 *
 * PREPARING -> READY -> RUNNING   follow_claim(); start_when_ready()
 * RUNNING   -> ENDED              take_end(): all it measured is delivered
 * any       -> LOST               run_lose_agent()
 * LOST      -> as it says         follow_claim(), when it is back */
#include "broker/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "broker/orders.h"

static const char *run_id(const struct run *run)
{
    return run->facts.run_id;
}

void run_copy_id(const struct run *run, message_run_id ret_id)
{
    memcpy(ret_id, run_id(run), strlen(run_id(run)) + 1);
}

static bool has_started(const struct run *run)
{
    return run->started_us != 0;
}

uint64_t run_elapsed_us(const struct run *run)
{
    const uint64_t elapsed_us = clock_us() - run->started_us;

    if (!has_started(run))
        return 0;
    return elapsed_us < DELTA_TIME_MAX_US ? elapsed_us : DELTA_TIME_MAX_US;
}

/* --- what is to be stored ----------------------------------------------------------------- */

static void mark_unsaved(struct run *run, struct run_slot *slot)
{
    run->unsaved_slots += !slot->unsaved;
    slot->unsaved = true;
}

static void change_state(struct run *run, size_t index, enum agent_state state)
{
    run->facts.agents[index].state = state;
    run->facts_changed = true;
    mark_unsaved(run, &run->slots[index]);
}

/* --- the end ------------------------------------------------------------------------------ */

static void conclude(struct run *run)
{
    run->concluded = true;
    run->facts.state = facts_final_state(&run->facts);
    run->facts_changed = true;
}

static void conclude_when_done(struct run *run)
{
    const size_t lost = facts_count_agents(&run->facts, AGENT_LOST);

    if (run->concluded ||
        facts_count_agents(&run->facts, AGENT_ENDED) + lost < run->facts.agent_count)
        return;
    if (lost == run->facts.agent_count)
        facts_set_failure(&run->facts, "all agents were lost");
    conclude(run);
}

/* "agent NAME: why" becomes the failure of the run. */
static void blame(struct run *run, const struct agent *agent, const char *why)
{
    char *const text = xasprintf("agent %s: %s", agent->name, why);

    facts_set_failure(&run->facts, text);
    run->facts_changed = true;
    free(text);
}

/* It cannot start. */
static void fail(struct run *run, const struct agent *agent, const char *why)
{
    blame(run, agent, why);
    conclude(run);
}

/* --- START and STOP ------------------------------------------------------------------------- */

/* RUNNING: a power cut took from the store that it had begun. */
static bool all_are_ready(const struct run *run)
{
    return facts_count_agents(&run->facts, AGENT_READY) +
               facts_count_agents(&run->facts, AGENT_RUNNING) ==
           run->facts.agent_count;
}

static void start_when_ready(struct run *run)
{
    if (has_started(run) || run->stop != RUN_STOP_NOT || !all_are_ready(run))
        return;
    run->started_us = clock_us();
    run->start_due = true;
    run->facts.started_wall_s = clock_wall_s();
    run->facts.state = RUN_RUNNING;
    for (size_t i = 0; i < run->facts.agent_count; i++)
        change_state(run, i, AGENT_RUNNING);
}

/* An agent that has never said that it has the run, has nothing to end. */
static void stop_unclaimed(struct run *run)
{
    for (size_t i = 0; i < run->facts.agent_count; i++)
        if (!run->slots[i].claimed && run->facts.agents[i].state == AGENT_PREPARING)
            change_state(run, i, AGENT_ENDED);
}

/* Makes all agents follow. Where there was no START yet, a forced stop ends it all now. */
static void raise_stop(struct run *run, enum run_stop stop, const char *why)
{
    if (run->concluded || run->stop >= stop)
        return;
    log_info("run=%s is told to stop%s: %s", run_id(run),
             stop == RUN_STOP_FORCED ? " at once" : "", why);
    run->stop = stop;
    run->facts.state = RUN_STOPPING;
    run->facts_changed = true;
    if (!has_started(run)) {
        if (stop == RUN_STOP_FORCED) {
            conclude(run);
            return;
        }
        stop_unclaimed(run);
    }
    for (size_t i = 0; i < run->facts.agent_count; i++)
        if (run->facts.agents[i].state <= AGENT_RUNNING)
            order_stop(run, run->slots[i].agent);
    conclude_when_done(run);
}

void run_stop(struct run *run, bool force, const char *why)
{
    if (run->concluded)
        return;
    facts_set_interrupted_by(&run->facts, why);
    run->facts_changed = true;
    raise_stop(run, force ? RUN_STOP_FORCED : RUN_STOP_GENTLY, why);
}

/* --- agents that go ------------------------------------------------------------------------- */

void run_lose_agent(struct run *run, struct agent *agent, const char *why)
{
    struct fact_agent *const fact = &run->facts.agents[agent->index];

    if (run->concluded || fact->state >= AGENT_ENDED)
        return;
    log_warning("run=%s agent=%s lost: %s", run_id(run), agent->name, why);
    change_state(run, agent->index, AGENT_LOST);
    fact->lost_at_us = run_elapsed_us(run);
    if (!has_started(run) && run->stop == RUN_STOP_NOT)
        fail(run, agent, why);
    else
        conclude_when_done(run);
}

void run_take_refusal(struct run *run, struct agent *agent, const char *why)
{
    if (run->concluded || run->facts.agents[agent->index].state >= AGENT_ENDED)
        return;
    if (has_started(run)) {
        /* Too late to be a refusal: at a START it ends, and reports why. */
        if (!run->start_due)
            order_start(run, agent);
    } else if (run->stop != RUN_STOP_NOT) {
        change_state(run, agent->index, AGENT_ENDED);
        conclude_when_done(run);
    } else {
        fail(run, agent, why);
    }
}

/* --- claims ----------------------------------------------------------------------------------- */

/* It says that it has no run, or another one. */
static void take_no_claim(struct run *run, struct agent *agent)
{
    struct run_slot *const slot = &run->slots[agent->index];
    const enum agent_state state = run->facts.agents[agent->index].state;

    if (state == AGENT_ENDED)
        return; /* it is released when that is stored */
    if (state == AGENT_LOST) {
        order_let_go(run, slot); /* it came back without the run */
    } else if (state != AGENT_PREPARING || slot->claimed) {
        run_lose_agent(run, agent, "it has lost the run");
    } else if (run->stop == RUN_STOP_NOT) {
        order_prepare(run, agent);
    } else {
        change_state(run, agent->index, AGENT_ENDED);
        conclude_when_done(run);
    }
}

/* Takes a lost agent back, and never goes backwards with another. */
static void follow_claim(struct run *run, struct agent *agent, enum agent_state claimed)
{
    struct fact_agent *const fact = &run->facts.agents[agent->index];
    const enum agent_state state = claimed < AGENT_ENDED ? claimed : AGENT_RUNNING;

    if (fact->state == AGENT_ENDED || fact->state == state)
        return;
    if (fact->state == AGENT_LOST) {
        log_info("run=%s agent=%s back", run_id(run), agent->name);
        fact->lost_at_us = 0;
    } else if (fact->state > state) {
        return;
    }
    change_state(run, agent->index, state);
    start_when_ready(run);
}

static enum run_stop claimed_stop(const struct agent_claim *claim)
{
    return claim->forced     ? RUN_STOP_FORCED
           : claim->stopping ? RUN_STOP_GENTLY
                             : RUN_STOP_NOT;
}

/* The agent has the run, but perhaps missed what was sent to it before. */
static void repeat_what_it_missed(const struct run *run, const struct agent *agent,
                                  const struct agent_claim *claim)
{
    if (claim->state == AGENT_ENDED)
        return;
    if (run->stop > claimed_stop(claim))
        order_stop(run, agent);
    else if (claim->state == AGENT_READY && has_started(run) && !run->start_due)
        order_start(run, agent);
}

void run_take_claim(struct run *run, struct agent *agent,
                    const struct agent_claim *claim)
{
    const bool has_run = strcmp(claim->run, run_id(run)) == 0;

    if (!has_run && claim->run[0] != '\0')
        order_release(run, agent, claim->run);
    if (run->concluded)
        return; /* it is released when that is stored */
    if (!has_run) {
        take_no_claim(run, agent);
        return;
    }
    run->slots[agent->index].claimed = true;
    follow_claim(run, agent, claim->state);
    repeat_what_it_missed(run, agent, claim);
}

/* --- reports ----------------------------------------------------------------------------------- */

static void take_stopping(struct run *run, const struct agent *agent,
                          const struct message_stopping *stopping)
{
    char *const who = xasprintf("agent=%s %s", agent->name, stopping->why);

    if (stopping->failed)
        blame(run, agent, stopping->why);
    else
        facts_set_interrupted_by(&run->facts, stopping->why);
    run->facts_changed = true;
    raise_stop(run, RUN_STOP_GENTLY, who);
    free(who);
}

/* An agent's tests can reach what it sends: no more processes can have died than it had. */
static void take_lost(struct run *run, const struct agent *agent,
                      const struct message_lost *lost)
{
    const struct fact_process process = {
        .agent = (unsigned)agent->index,
        .index = lost->index,
        .signal = lost->signal,
        .status = lost->status,
        .stuck = lost->stuck,
        .scenario = lost->scenario,
    };

    if (run->slots[agent->index].lost_processes >= job_process_count(&run->spec.job))
        return;
    run->slots[agent->index].lost_processes++;
    facts_add_lost(&run->facts, &process);
    run->facts_changed = true;
    log_warning("run=%s agent=%s lost process=%u signal=%d status=%d", run_id(run),
                agent->name, lost->index, lost->signal, lost->status);
}

static void take_end(struct run *run, struct agent *agent, const char *failure)
{
    log_info("run=%s agent=%s ended%s%s", run_id(run), agent->name,
             failure != NULL ? ": " : "", failure != NULL ? failure : "");
    change_state(run, agent->index, AGENT_ENDED);
    if (failure != NULL)
        blame(run, agent, failure);
    if (!has_started(run) && run->stop == RUN_STOP_NOT)
        fail(run, agent, "it ended before the run had started");
    else
        conclude_when_done(run);
}

static void merge_report(struct run *run, struct agent *agent,
                         const struct message_report *report)
{
    struct stats_totals totals;

    delta_merge(&run->pending, &report->delta);
    stats_total(&report->delta.stats, &totals);
    stats_totals_add(&run->facts.agents[agent->index].counted, &totals);
    for (size_t i = 0; i < report->lost_count; i++)
        take_lost(run, agent, &report->lost[i]);
    if (report->has_stopping)
        take_stopping(run, agent, &report->stopping);
    if (report->ended)
        take_end(run, agent, report->failure);
}

void run_take_report(struct run *run, struct agent *agent,
                     const struct message_report *report)
{
    struct run_slot *const slot = &run->slots[agent->index];
    const uint64_t sequence = report->delta.sequence;

    if (run->concluded || run->facts.agents[agent->index].state >= AGENT_ENDED)
        return;
    slot->claimed = true;
    if (sequence == slot->taken + 1) {
        slot->taken = sequence;
        mark_unsaved(run, slot);
        merge_report(run, agent, report);
    } else if (sequence <= slot->held || sequence > slot->taken) {
        order_ack(run, agent, slot->held); /* else its ACK comes when it is stored */
    }
}

uint64_t run_held(const struct run *run, const struct agent *agent)
{
    return run->slots[agent->index].held;
}

/* --- the rest of what is heard ------------------------------------------------------------------ */

int run_take_fetch(struct run *run, struct agent *agent, const char *digest,
                   uint64_t *ret_size, struct error *err)
{
    const struct bundle *const bundle = &run->spec.bundle;

    run->slots[agent->index].claimed = true;
    for (size_t i = 0; i < bundle->count; i++) {
        if (strcmp(bundle->files[i].digest, digest) == 0) {
            *ret_size = bundle->files[i].size;
            return 0;
        }
    }
    if (strcmp(bundle->object, digest) != 0) {
        error_set(err, "no file of this run has the digest %s", digest);
        order_refuse(run, agent, err->message);
        return -1;
    }
    *ret_size = bundle->object_size;
    return 0;
}

/* The first agent that is not ready yet. */
static const struct agent *find_unready(const struct run *run)
{
    size_t i = 0;

    while (i + 1 < run->facts.agent_count &&
           run->facts.agents[i].state != AGENT_PREPARING)
        i++;
    return run->slots[i].agent;
}

void run_tick(struct run *run)
{
    char why[100];

    if (run->concluded || has_started(run) ||
        ++run->ticks < run->outside->prepare_timeout)
        return;
    if (run->stop != RUN_STOP_NOT) {
        raise_stop(run, RUN_STOP_FORCED, "its agents do not (--prepare-timeout)");
        return;
    }
    snprintf(why, sizeof(why), "it was not ready within %u s (--prepare-timeout)",
             run->outside->prepare_timeout);
    fail(run, find_unready(run), why);
}

/* --- birth ---------------------------------------------------------------------------------------- */

/* Takes `spec` over. The facts are still empty. */
static struct run *make_run(const struct run_outside *outside, struct message_run *spec)
{
    struct run *const run = xcalloc(1, sizeof(*run));

    run->outside = outside;
    run->spec = *spec;
    *spec = (struct message_run){.agents = 0};
    run->slots = xcalloc(run->spec.agents, sizeof(run->slots[0]));
    facts_init(&run->facts);
    delta_init(&run->pending);
    delta_init(&run->total);
    series_init(&run->series);
    return run;
}

static void put_in_slot(struct run *run, size_t index, struct agent *agent)
{
    struct run_slot *const slot = &run->slots[index];

    slot->agent = agent;
    memcpy(slot->instance, agent->instance, sizeof(slot->instance));
}

struct run *run_new(const struct run_outside *outside, struct message_run *spec)
{
    struct run *const run = make_run(outside, spec);

    facts_describe_job(&run->facts, &run->spec.job, run->spec.agents);
    run->facts.created_wall_s = clock_wall_s();
    for (size_t i = 0; i < run->spec.agents; i++) {
        struct agent *const agent = roster_take(outside->roster, run, i);

        put_in_slot(run, i, agent);
        facts_add_agent(&run->facts, agent->name, agent->host, agent->pid);
    }
    return run;
}

void run_prepare(struct run *run)
{
    for (size_t i = 0; i < run->facts.agent_count; i++)
        order_prepare(run, run->slots[i].agent);
    log_info("run=%s accepted test=%s agents=%zu processes=%u workers=%lu", run_id(run),
             run->facts.test, run->facts.agent_count, run->facts.processes,
             run->facts.workers);
}

void run_destroy(struct run *run)
{
    if (run == NULL)
        return;
    for (size_t i = 0; i < run->spec.agents; i++)
        if (run->slots[i].agent != NULL)
            order_let_go(run, &run->slots[i]);
    free(run->slots);
    message_run_clear(&run->spec);
    facts_clear(&run->facts);
    delta_clear(&run->pending);
    delta_clear(&run->total);
    series_clear(&run->series);
    free(run);
}

/* --- after the death of a broker -------------------------------------------------------------------- */

static int read_spec(const struct stored_run *stored, struct message_run *ret_spec,
                     struct error *err)
{
    struct wire_message message;
    int rc;

    if (wire_decode(stored->spec.data, stored->spec.size, &message, err) == -1)
        return -1;
    rc = message_unpack_run(&message.root, ret_spec, err);
    wire_clear(&message);
    return rc;
}

static int read_facts(struct run *run, const struct stored_run *stored,
                      struct error *err)
{
    struct wire_message message;
    int rc;

    if (wire_decode(stored->facts.data, stored->facts.size, &message, err) == -1)
        return -1;
    rc = facts_unpack(&message.root, &run->facts, err);
    wire_clear(&message);
    if (rc == -1)
        return -1;
    if (run->facts.agent_count != run->spec.agents)
        return error_set(err, "it has %zu agents, but asked for %" PRIu64,
                         run->facts.agent_count, run->spec.agents);
    for (size_t i = 0; i < run->facts.lost_count; i++)
        run->slots[run->facts.lost[i].agent].lost_processes++;
    return 0;
}

/* The agent that the slot belonged to; it is expected back. */
static int restore_slot(struct run *run, struct store *store, size_t index,
                        struct error *err)
{
    struct fact_agent *const fact = &run->facts.agents[index];
    struct roster *const roster = run->outside->roster;
    struct stored_slot stored;
    struct agent *agent;

    if (store_read_slot(store, run->number, index, &stored, err) != 1)
        return error_set(err, "nothing is stored of its agent %zu", index);
    fact->counted = stored.counted;
    run->slots[index].taken = run->slots[index].held = stored.sequence;
    run->slots[index].claimed =
        fact->state == AGENT_READY || fact->state == AGENT_RUNNING;
    memcpy(run->slots[index].instance, stored.instance, sizeof(stored.instance));
    if (fact->state == AGENT_ENDED)
        return 0;
    if (roster_find(roster, stored.instance) != NULL)
        return error_set(err, "its agent %zu is in another run, too", index);
    agent = roster_add(roster, stored.instance, fact->name, fact->host, fact->pid);
    roster_assign(agent, run, index);
    put_in_slot(run, index, agent);
    return 0;
}

static void restore_interval(void *owner, const struct interval *interval)
{
    struct run *const run = owner;

    intervals_add(&run->total, &interval->delta);
    series_add(&run->series, &interval->delta);
}

/* How long it has been going is only known from the wall clock. That may be longer than
 * this machine has: the difference wraps, and is right all the same. */
static void restore_clock(struct run *run)
{
    const double elapsed_us = (clock_wall_s() - run->facts.started_wall_s) * US_PER_S;

    if (run->facts.started_wall_s <= 0)
        return;
    run->started_us = clock_us();
    if (elapsed_us > 0 && elapsed_us < (double)DELTA_TIME_MAX_US)
        run->started_us -= (uint64_t)elapsed_us;
}

static int restore_all(struct run *run, struct store *store,
                       const struct stored_run *stored, struct error *err)
{
    run->number = stored->number;
    run->revision = stored->revision;
    run->stop =
        stored->stop <= RUN_STOP_FORCED ? (enum run_stop)stored->stop : RUN_STOP_FORCED;
    if (read_facts(run, stored, err) == -1)
        return -1;
    for (size_t i = 0; i < run->facts.agent_count; i++)
        if (restore_slot(run, store, i, err) == -1)
            return -1;
    if (intervals_read(&store->intervals, run->number, restore_interval, run, err) ==
        -1)
        return -1;
    restore_clock(run);
    run->concluded = run_state_is_over(run->facts.state);
    conclude_when_done(run);
    return 0;
}

struct run *run_restore(const struct run_outside *outside, struct store *store,
                        const struct stored_run *stored, struct error *err)
{
    struct message_run spec;
    struct run *run;

    if (read_spec(stored, &spec, err) == -1)
        return NULL;
    run = make_run(outside, &spec);
    if (restore_all(run, store, stored, err) == -1) {
        run_destroy(run);
        return NULL;
    }
    log_info("run=%s restored agents=%zu state=%s revision=%" PRIu64, run_id(run),
             run->facts.agent_count, run_state_words[run->facts.state], run->revision);
    return run;
}
