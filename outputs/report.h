/* outputs/report.h - what every output shows: the run's facts and the sums so far.
 *
 * The runner keeps one and adds each delta to it once, whether the delta came from a
 * slave here or from a broker; so outputs need no sums of their own. */
#ifndef OUTPUTS_REPORT_H
#define OUTPUTS_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stats/delta.h"
#include "stats/series.h"

enum report_state {
    REPORT_PREPARING, /* loading the test, global set-up */
    REPORT_RUNNING,
    REPORT_STOPPING, /* told to end; runs in progress finish */
    REPORT_FINISHED, /* ended by itself */
    REPORT_STOPPED,  /* ended by `interrupted_by` */
    REPORT_FAILED,   /* a set-up failed, a process or the slave died */
};

struct lost_process {
    unsigned index;
    int signal; /* 0: it exited by itself, with `status` */
    int status;
    bool stuck;     /* it did not answer for --stuck-timeout, and was killed */
    char *scenario; /* what it was running; NULL: nothing */
};

struct report {
    enum report_state state;
    char *run_id;
    char *test;
    char *interrupted_by;  /* NULL, or "SIGINT", "--exception" ... */
    char *failure;         /* NULL, or why the state is REPORT_FAILED, one line */
    double started_wall_s; /* seconds since 1970, 0 before it started */
    uint64_t started_us;   /* clock_us() of the START; 0 before */
    uint64_t ended_us;     /* clock_us() of the end; 0 before */
    unsigned agents;       /* 0: a local run */
    unsigned processes;
    unsigned long workers;  /* asked for, over all processes */
    double duration_s;      /* asked for */
    unsigned long max_runs; /* asked for, of each worker; 0: no limit */
    struct lost_process *lost;
    size_t lost_count;
    struct stats stats; /* the whole run */
    struct series series;
};

void report_init(struct report *report);
void report_clear(struct report *report);
void report_add(struct report *report, const struct delta *delta);
void report_add_lost(struct report *report,
                     const struct lost_process *lost); /* copies */

/* Seconds since the START, until now or the end; 0 before it. */
double report_elapsed_s(const struct report *report);

bool report_is_over(const struct report *report);
const char *report_state_word(enum report_state state); /* "finished" */

#endif
