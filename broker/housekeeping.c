#include "broker/housekeeping.h"

#include "base/clock.h"
#include "base/log.h"

#define TIDY_S 0.02 /* of each tick */

/* A step for each run: 1: there may be more to do; 0; -1. */
static int compact_runs(struct broker *broker, struct error *err)
{
    const struct run *run;
    int more = 0;

    TAILQ_FOREACH (run, &broker->runs, link) {
        const int rc = intervals_compact(&broker->store.intervals, run->number,
                                         run_elapsed_us(run), err);

        if (rc == -1)
            return -1;
        more = more || rc == 1;
    }
    return more;
}

/* The same, and a step for what is over. */
static int tidy_a_little(struct broker *broker, struct error *err)
{
    const int active = compact_runs(broker, err);
    const int over =
        active != -1 ? store_tidy(&broker->store, clock_wall_s(), err) : -1;

    return over == -1 ? -1 : active || over;
}

/* What is in the way (a row that is damaged) is told once. */
static void tidy(struct broker *broker)
{
    const uint64_t end_us = clock_us() + (uint64_t)(TIDY_S * US_PER_S);
    struct error err;
    int rc;

    do
        rc = tidy_a_little(broker, &err);
    while (rc == 1 && clock_us() < end_us);
    if (rc == -1 && !broker->untidy)
        log_warning("old results are not merged and deleted: %s", err.message);
    broker->untidy = rc == -1;
}

/* What comes last in the list is looked at last. */
static void rotate_runs(struct broker *broker)
{
    struct run *const first = TAILQ_FIRST(&broker->runs);

    if (first == NULL)
        return;
    TAILQ_REMOVE(&broker->runs, first, link);
    TAILQ_INSERT_TAIL(&broker->runs, first, link);
}

void housekeeping_tick(struct broker *broker)
{
    if (broker->trouble[0] != '\0')
        return;
    tidy(broker);
    rotate_runs(broker);
}
