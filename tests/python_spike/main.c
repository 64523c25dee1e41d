/* tests/python_spike/main.c - runs a test in Python in one process, and prints what it
 * counted: python_spike SCRIPT.py --server-url URL -w WORKERS -r RUNS
 *
 * SIGINT stops it; a second one cuts what still runs. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/process.h"
#include "tests/python_spike/python_host.h"

struct spike {
    struct job job;
    struct test test;
    struct process process;
    struct blackbox_slot slot;
    struct signal_watch signals;
    struct delta total;
    bool failed;
};

static void on_delta(struct process *process, const struct delta *delta)
{
    struct spike *const spike = process->owner;

    delta_merge(&spike->total, delta);
}

static void on_stopping(struct process *process, const char *why, bool failed)
{
    struct spike *const spike = process->owner;

    log_error("stopping: %s", why);
    spike->failed |= failed;
}

static void on_signal(struct signal_watch *watch, int number)
{
    struct process *const process = watch->data;

    (void)number;
    process_stop(process, process->crew.stopping);
}

/* {message: sample} */
static json_t *list_errors(const struct stats *stats)
{
    struct table_row **const rows = stats_sorted_rows(&stats->errors);
    json_t *const list = json_object();

    for (size_t i = 0; i < stats->errors.count; i++)
        json_object_set_new(
            list, rows[i]->name,
            json_string(((const struct error_stats *)(void *)rows[i])->sample));
    free(rows);
    return list;
}

static void print_totals(const struct spike *spike)
{
    struct stats_totals totals;
    json_t *line;

    stats_total(&spike->total.stats, &totals);
    line = json_pack("{s:I, s:I, s:I, s:I, s:I, s:b, s:o}", "ok", (json_int_t)totals.ok,
                     "failed", (json_int_t)totals.failed, "cancelled",
                     (json_int_t)totals.cancelled, "hits", (json_int_t)totals.hits,
                     "hit_errors", (json_int_t)totals.hit_errors, "left_marked",
                     spike->slot.scenario != 0 || spike->slot.fixture != 0, "errors",
                     list_errors(&spike->total.stats));
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(line);
}

static int load(struct spike *spike, int argc, char **argv, struct error *err)
{
    struct option_table table;

    job_init(&spike->job);
    table = job_options(&spike->job);
    if (options_parse(&table, 1, argc, argv, NULL, err) == -1 ||
        job_check(&spike->job, NULL, err) == -1)
        return -1;
    spike->test.host = &host_python;
    if (!host_python.takes(spike->job.test))
        return error_set(err, "it takes %s", host_python.help);
    if (host_python.load(&spike->job, &spike->test, err) == -1)
        return -1;
    return test_finish(&spike->test, &spike->job, err);
}

static int run(struct spike *spike, struct error *err)
{
    struct ev_loop *const loop = loop_new();
    sigset_t set;
    int rc = -1;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    spike->signals.on_signal = on_signal;
    spike->signals.data = &spike->process;
    spike->process.on_delta = on_delta;
    spike->process.on_stopping = on_stopping;
    spike->process.owner = spike;
    delta_init(&spike->total);
    process_open(&spike->process, loop, &spike->job, &spike->test, 0, &spike->slot,
                 clock_us());
    if (signal_watch_start(&spike->signals, loop, &set, err) == 0) {
        process_run(&spike->process);
        signal_watch_stop(&spike->signals);
        rc = 0;
    }
    process_close(&spike->process);
    host_python.unload(&spike->test); /* shows what the script has printed */
    if (rc == 0)
        print_totals(spike);
    delta_clear(&spike->total);
    ev_loop_destroy(loop);
    return rc;
}

int main(int argc, char **argv)
{
    static struct spike spike;
    struct error err;
    int status = EXIT_FAILURE;

    signal(SIGPIPE, SIG_IGN);
    if (load(&spike, argc, argv, &err) == -1 || run(&spike, &err) == -1)
        log_error("%s", err.message);
    else
        status = spike.failed ? EXIT_FAILURE : EXIT_SUCCESS;
    test_clear(&spike.test);
    job_clear(&spike.job);
    return status;
}
