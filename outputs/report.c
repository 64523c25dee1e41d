#include "outputs/report.h"

#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

void report_init(struct report *report)
{
    *report = (struct report){.started_us = 0};
    facts_init(&report->facts);
    stats_init(&report->stats);
    series_init(&report->series);
}

void report_clear(struct report *report)
{
    facts_clear(&report->facts);
    stats_clear(&report->stats);
    series_clear(&report->series);
    report_init(report);
}

void report_add(struct report *report, const struct delta *delta)
{
    stats_merge(&report->stats, &delta->stats);
    series_add(&report->series, delta);
}

void report_set_facts(struct report *report, const struct run_facts *facts,
                      uint64_t elapsed_us)
{
    facts_copy(&report->facts, facts);
    if (facts->started_wall_s <= 0)
        return;
    /* May wrap around: a run may be older than this host is up. */
    report->started_us = clock_us() - elapsed_us;
    report->ended_us =
        run_state_is_over(facts->state) ? report->started_us + elapsed_us : 0;
}

static void copy_series(struct series *into, const struct series *from)
{
    *into = *from;
    into->capacity = from->count;
    into->rows = xcalloc(from->count, sizeof(*into->rows));
    if (from->count > 0)
        memcpy(into->rows, from->rows, from->count * sizeof(*into->rows));
}

void report_replace(struct report *report, const struct delta *whole,
                    const struct series *series)
{
    stats_clear(&report->stats);
    stats_init(&report->stats);
    series_clear(&report->series);
    if (series == NULL) {
        report_add(report, whole);
        return;
    }
    stats_merge(&report->stats, &whole->stats);
    copy_series(&report->series, series);
}

bool report_counts_agent(const struct fact_agent *agent)
{
    const struct stats_totals *const counted = &agent->counted;

    return counted->ok > 0 || counted->failed > 0 || counted->cancelled > 0 ||
           counted->hits > 0 || counted->unsent > 0;
}

double report_elapsed_s(const struct report *report)
{
    const uint64_t until_us = report->ended_us != 0 ? report->ended_us : clock_us();

    return report->started_us != 0 ? (double)(until_us - report->started_us) / US_PER_S
                                   : 0;
}
