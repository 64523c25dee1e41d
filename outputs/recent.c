#include "outputs/recent.h"

#include "base/clock.h"

#define STEPS_OF_SECOND 4u
#define STEP_US (US_PER_S / STEPS_OF_SECOND)
#define STALE_US (3 * (uint64_t)US_PER_S)
#define KEPT_US (3 * (uint64_t)US_PER_S) /* a delta so long waited for a connection */

static uint64_t step_of(const struct delta *delta)
{
    return (delta->from_us + (delta->until_us - delta->from_us) / 2) / STEP_US;
}

static bool covers_nothing(const struct recent *recent)
{
    return recent->until_us == recent->from_us;
}

static void show(struct recent *recent)
{
    const uint64_t span_us = recent->until_us - recent->from_us;

    recent->rate = (double)recent->hits * US_PER_S / (double)span_us;
    recent->p95_us = histogram_percentile(&recent->latency, 0.95);
}

static void begin_second(struct recent *recent)
{
    if (!covers_nothing(recent))
        recent->shown_us = recent->until_us;
    recent->from_us = recent->until_us = 0;
    recent->hits = 0;
    histogram_reset(&recent->latency);
}

/* What was counted is all there is before the step that begins. */
static void end_step(struct recent *recent, uint64_t next)
{
    const bool ends_second = next / STEPS_OF_SECOND > recent->step / STEPS_OF_SECOND;

    recent->step = next;
    /* Where all of it was late, what is shown stays: hits in no time are no rate. */
    if (!covers_nothing(recent) && (ends_second || recent->shown_us == 0))
        show(recent);
    if (ends_second)
        begin_second(recent);
}

/* Where the time begins that the delta tells of and that was not shown yet; its end, where
 * there is none. */
static uint64_t unshown_from(const struct recent *recent, const struct delta *delta)
{
    if (delta->from_us >= recent->shown_us)
        return delta->from_us;
    return delta->until_us < recent->shown_us ? delta->until_us : recent->shown_us;
}

static void cover(struct recent *recent, const struct delta *delta)
{
    const uint64_t from_us = unshown_from(recent, delta);

    if (from_us == delta->until_us)
        return;
    if (covers_nothing(recent) || from_us < recent->from_us)
        recent->from_us = from_us;
    if (delta->until_us > recent->until_us)
        recent->until_us = delta->until_us;
}

static uint64_t hits_of_now(const struct recent *recent, const struct delta *delta,
                            uint64_t hits)
{
    const uint64_t length_us = delta->until_us - delta->from_us;
    const uint64_t unshown_us = delta->until_us - unshown_from(recent, delta);

    if (length_us < KEPT_US || unshown_us == length_us)
        return hits;
    return (uint64_t)((double)hits * (double)unshown_us / (double)length_us);
}

static void count(struct recent *recent, const struct delta *delta)
{
    struct stats_totals totals;

    stats_total(&delta->stats, &totals);
    stats_add_latency(&delta->stats, &recent->latency);
    recent->hits += hits_of_now(recent, delta, totals.hits);
}

void recent_add(struct recent *recent, const struct delta *delta, uint64_t now_us)
{
    const uint64_t step = step_of(delta);

    if (delta->from_us == delta->until_us)
        return; /* it holds lines, and measured nothing */
    if (step > recent->step)
        end_step(recent, step);
    cover(recent, delta);
    count(recent, delta);
    recent->came_us = now_us;
}

bool recent_is_fresh(const struct recent *recent, uint64_t now_us)
{
    return now_us - recent->came_us < STALE_US;
}
