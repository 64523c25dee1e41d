/* broker/run_store.c - a run on its way to the store, and from there to who watches. */
#include "broker/run.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/orders.h"

/* --- a new one ------------------------------------------------------------------------------ */

static int put_slot(struct run *run, size_t index, struct store *store,
                    struct error *err)
{
    const struct run_slot *const slot = &run->slots[index];
    const struct fact_agent *const fact = &run->facts.agents[index];

    return store_put_slot(store, run->number, index, slot->instance, fact->state,
                          slot->taken, &fact->counted, err);
}

int run_put_new(struct run *run, struct store *store, struct error *err)
{
    if (store_add_run(store, &run->spec, &run->facts, &run->number, err) == -1)
        return -1;
    for (size_t i = 0; i < run->facts.agent_count; i++) {
        const struct agent *const agent = run->slots[i].agent;

        if (store_put_agent(store, agent->instance, agent->name, agent->host,
                            agent->pid, err) == -1 ||
            put_slot(run, i, store, err) == -1)
            return -1;
    }
    return 0;
}

/* --- what has come since ---------------------------------------------------------------------- */

static bool has_measurements(const struct run *run)
{
    const struct delta *const pending = &run->pending;

    return pending->until_us > pending->from_us || pending->lines.count > 0 ||
           !stats_is_empty(&pending->stats);
}

/* Something that who watches the run has to know; it gets the next revision. */
static bool has_revision(const struct run *run)
{
    return run->facts_changed || has_measurements(run);
}

bool run_has_news(const struct run *run)
{
    return run->unsaved_slots > 0 || has_revision(run);
}

int run_put(struct run *run, struct store *store, struct error *err)
{
    const uint64_t revision = run->revision + has_revision(run);

    if (store_put_progress(store, run->number, revision, run->stop,
                           run->facts_changed ? &run->facts : NULL, err) == -1)
        return -1;
    if (has_measurements(run) && intervals_append(&store->intervals, run->number,
                                                  revision, &run->pending, err) == -1)
        return -1;
    for (size_t i = 0; run->unsaved_slots > 0 && i < run->facts.agent_count; i++)
        if (run->slots[i].unsaved && put_slot(run, i, store, err) == -1)
            return -1;
    return 0;
}

/* --- messages to who watches ------------------------------------------------------------------- */

/* All that an update says of a run; what it holds is borrowed from the run. */
static struct message_update describe(const struct run *run)
{
    struct message_update update = {
        .revision = run->revision,
        .elapsed_us = run_elapsed_us(run),
        .has_facts = true,
        .facts = run->facts,
    };

    run_copy_id(run, update.run);
    return update;
}

/* The last revision, in which `pending` came. */
static void publish_update(const struct run *run)
{
    struct message_update update = describe(run);
    struct buffer message = BUFFER_INIT;

    update.after = run->revision - 1;
    update.has_facts = run->facts_changed;
    update.delta = run->pending;
    message_pack_update(&message, MESSAGE_UPDATE, &update);
    run->outside->publish(run->outside->owner, run->facts.run_id, &message);
    buffer_clear(&message);
}

/* Measured by the agents, not by the broker's clock: it may have been dead meanwhile. */
static uint64_t measured_us(const struct run *run)
{
    return run->total.until_us;
}

/* Without lines: who watched has seen them. */
static void pack_final(const struct run *run, struct buffer *message)
{
    struct message_update update = describe(run);

    update.elapsed_us = measured_us(run);
    update.delta = run->total;
    update.delta.lines = (struct lines){.count = 0};
    update.series = run->series;
    message_pack_update(message, MESSAGE_END_OF_RUN, &update);
}

int run_pack_snapshot(const struct run *run, struct store *store, uint64_t after,
                      const char *trouble, struct buffer *message, struct error *err)
{
    struct message_update update = describe(run);
    struct delta since;
    int rc = 0;

    delta_init(&since);
    update.trouble = (char *)trouble; /* only read */
    update.after = after;
    if (after > 0 && after <= run->revision)
        rc = intervals_sum(&store->intervals, run->number, after, &since, err);
    if (rc != 1)
        update.after = 0;
    update.delta = rc == 1 ? since : run->total;
    if (rc != -1)
        message_pack_update(message, MESSAGE_UPDATE, &update);
    delta_clear(&since);
    return rc == -1 ? -1 : 0;
}

/* --- it is stored ---------------------------------------------------------------------------------- */

static void acknowledge(const struct run *run, struct run_slot *slot)
{
    slot->held = slot->taken;
    if (slot->agent != NULL)
        order_ack(run, slot->agent, slot->held);
}

static void release(const struct run *run, struct run_slot *slot)
{
    order_release(run, slot->agent, run->facts.run_id);
    order_let_go(run, slot);
}

static void slot_stored(struct run *run, size_t index)
{
    struct run_slot *const slot = &run->slots[index];

    slot->unsaved = false;
    if (slot->held < slot->taken)
        acknowledge(run, slot);
    if (slot->agent != NULL && run->facts.agents[index].state == AGENT_ENDED)
        release(run, slot);
}

static void revision_stored(struct run *run)
{
    run->revision++;
    intervals_add(&run->total, &run->pending);
    if (has_measurements(run))
        series_add(&run->series, &run->pending);
    publish_update(run);
    run->facts_changed = false;
    delta_reset(&run->pending, 0);
}

/* Times of the run count from here. Where it was told to stop meanwhile, its agents were. */
static void begin(struct run *run)
{
    run->start_due = false;
    run->started_us = clock_us();
    if (run->stop != RUN_STOP_NOT)
        return;
    for (size_t i = 0; i < run->facts.agent_count; i++)
        if (run->facts.agents[i].state == AGENT_RUNNING)
            order_start(run, run->slots[i].agent);
    log_info("run=%s started agents=%zu", run->facts.run_id, run->facts.agent_count);
}

void run_stored(struct run *run)
{
    for (size_t i = 0; run->unsaved_slots > 0 && i < run->facts.agent_count; i++)
        if (run->slots[i].unsaved)
            slot_stored(run, i);
    run->unsaved_slots = 0;
    if (has_revision(run))
        revision_stored(run);
    if (run->start_due && !run->concluded)
        begin(run);
}

/* --- it is over --------------------------------------------------------------------------------------- */

bool run_is_concluded(const struct run *run)
{
    return run->concluded && !run_has_news(run);
}

static void log_end(const struct run *run)
{
    struct stats_totals totals;

    stats_total(&run->total.stats, &totals);
    log_info("run=%s over state=%s ok=%" PRIu64 " failed=%" PRIu64 " hits=%" PRIu64
             " elapsed_s=%.3f%s%s",
             run->facts.run_id, run_state_words[run->facts.state], totals.ok,
             totals.failed, totals.hits, (double)measured_us(run) / 1e6,
             run->facts.failure != NULL ? " failure: " : "",
             run->facts.failure != NULL ? run->facts.failure : "");
}

int run_finish(struct run *run, struct store *store, struct error *err)
{
    struct buffer final = BUFFER_INIT;
    int rc;

    pack_final(run, &final);
    rc = store_finish_run(store, run->number, run->facts.state, measured_us(run),
                          &final, err);
    if (rc == 0) {
        log_end(run);
        run->outside->publish(run->outside->owner, run->facts.run_id, &final);
        for (size_t i = 0; i < run->facts.agent_count; i++)
            if (run->slots[i].agent != NULL)
                release(run, &run->slots[i]);
    }
    buffer_clear(&final);
    return rc;
}
