/* outputs/report.h - what every output shows: the run's facts and the sums so far.
 *
 * The runner keeps one and adds each delta to it once, whether the delta came from a
 * slave here or from a broker; so outputs need no sums of their own. */
#ifndef OUTPUTS_REPORT_H
#define OUTPUTS_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/facts.h"
#include "stats/delta.h"
#include "stats/series.h"

struct report {
    struct run_facts facts;
    uint64_t started_us; /* clock_us() of the START; 0 before */
    uint64_t ended_us;   /* clock_us() of the end; 0 before */
    struct stats stats;  /* the whole run */
    struct series series;
};

void report_init(struct report *report);
void report_clear(struct report *report);
void report_add(struct report *report, const struct delta *delta);

/* What a broker tells of a run replaces what was known: the facts (copied), and how long
 * it has been going. */
void report_set_facts(struct report *report, const struct run_facts *facts,
                      uint64_t elapsed_us);
/* The same of all that was measured (`series` may be NULL: from the delta alone). */
void report_replace(struct report *report, const struct delta *whole,
                    const struct series *series);

/* Whether something of it is in the figures (of an agent that is lost or has ended). */
bool report_counts_agent(const struct fact_agent *agent);

/* Seconds since the START, until now or the end; 0 before it. */
double report_elapsed_s(const struct report *report);

#endif
