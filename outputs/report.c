#include "outputs/report.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"

void report_init(struct report *report)
{
    *report = (struct report){.state = REPORT_PREPARING};
    stats_init(&report->stats);
    series_init(&report->series);
}

void report_clear(struct report *report)
{
    free(report->run_id);
    free(report->test);
    free(report->interrupted_by);
    free(report->failure);
    for (size_t i = 0; i < report->lost_count; i++)
        free(report->lost[i].scenario);
    free(report->lost);
    stats_clear(&report->stats);
    series_clear(&report->series);
    *report = (struct report){.state = REPORT_PREPARING};
}

void report_add(struct report *report, const struct delta *delta)
{
    stats_merge(&report->stats, &delta->stats);
    series_add(&report->series, delta);
}

void report_add_lost(struct report *report, const struct lost_process *lost)
{
    struct lost_process *copy;

    report->lost =
        xrealloc_array(report->lost, report->lost_count + 1, sizeof(*report->lost));
    copy = &report->lost[report->lost_count++];
    *copy = *lost;
    copy->scenario = lost->scenario != NULL ? xstrdup(lost->scenario) : NULL;
}

double report_elapsed_s(const struct report *report)
{
    const uint64_t until_us = report->ended_us != 0 ? report->ended_us : clock_us();

    if (report->started_us == 0 || until_us < report->started_us)
        return 0;
    return (double)(until_us - report->started_us) / US_PER_S;
}

bool report_is_over(const struct report *report)
{
    return report->state >= REPORT_FINISHED;
}

const char *report_state_word(enum report_state state)
{
    static const char *const words[] = {
        [REPORT_PREPARING] = "preparing", [REPORT_RUNNING] = "running",
        [REPORT_STOPPING] = "stopping",   [REPORT_FINISHED] = "finished",
        [REPORT_STOPPED] = "stopped",     [REPORT_FAILED] = "failed",
    };

    return words[state];
}
