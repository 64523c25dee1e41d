/* runner/options.h - the runner's own options: which cluster, and what to do there. All
 * else that can be set is the job's (job/job.h) or an output's. */
#ifndef RUNNER_OPTIONS_H
#define RUNNER_OPTIONS_H

#include <stdbool.h>

#include "base/error.h"
#include "job/job.h"
#include "job/options.h"

enum runner_command {
    RUN_HERE,
    RUN_ON_CLUSTER, /* --agents */
    ATTACH,
    LIST_RUNS,
    STOP_RUN,
    PING_BROKER,
};

struct runner_options {
    long agents;  /* 0: this machine, without a cluster */
    char *broker; /* NULL: the default endpoint */
    bool detach;
    char *attach; /* NULL: no; "": the one that goes on */
    bool list_runs;
    char *stop;
    bool ping_broker;
    bool keep_cluster;
    long cluster_leave_after; /* seconds */
};

void runner_options_init(struct runner_options *options);
void runner_options_clear(struct runner_options *options);
struct option_table runner_options_table(struct runner_options *options);

/* Whether the person named a broker, by --broker or $MOLOTOV_BROKER: else it is the one of
 * this machine. */
bool runner_options_name_broker(const struct runner_options *options);

/* What is asked for, by `given` (from options_parse()). A TEST beside --attach is the
 * run's name, and is copied there. 0; or -1, and `err` names what does not go together or
 * is wrong in itself. */
int runner_options_settle(struct runner_options *options, const struct job *job,
                          const struct text_list *given,
                          enum runner_command *ret_command, struct error *err);

#endif
