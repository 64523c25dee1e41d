#include "runner/local.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"
#include "engine/supervisor.h"

#define SHORTEST_TICK_S 0.02

struct local_run {
    struct ev_loop *loop;
    struct supervisor supervisor;
    struct display *display;
    struct report *report;
    struct signal_watch signals;
    unsigned interrupts;
    ev_timer tick;
    bool begun, over;
    char *failure; /* why the slave's end was not a good one */
};

/* --- what the slave tells -------------------------------------------------------------- */

static void on_ready(struct supervisor *supervisor)
{
    struct local_run *const run = supervisor->owner;

    run->begun = true;
    run->report->started_wall_s = clock_wall_s();
    run->report->started_us = clock_us();
    if (run->report->state == REPORT_PREPARING)
        run->report->state = REPORT_RUNNING;
    display_start(run->display, run->report);
    supervisor_begin(supervisor);
}

/* What global_setup printed comes before there is a run to show. */
static void show_early_lines(const struct delta *delta)
{
    for (size_t i = 0; i < delta->lines.count; i++)
        fprintf(stderr, "%s\n", lines_at(&delta->lines, i)->text);
}

static void on_delta(struct supervisor *supervisor, const struct delta *delta)
{
    struct local_run *const run = supervisor->owner;

    if (!run->begun) {
        show_early_lines(delta);
        return;
    }
    report_add(run->report, delta);
    display_push(run->display, run->report, delta);
}

static void set_failure(struct report *report, const char *why)
{
    if (report->failure == NULL)
        report->failure = xstrdup(why);
}

static void set_interrupted_by(struct report *report, const char *why)
{
    if (report->interrupted_by == NULL)
        report->interrupted_by = xstrdup(why);
    if (report->state == REPORT_RUNNING || report->state == REPORT_PREPARING)
        report->state = REPORT_STOPPING;
}

static void on_stopping(struct supervisor *supervisor, const char *why, bool failed)
{
    struct local_run *const run = supervisor->owner;

    if (failed)
        set_failure(run->report, why);
    else
        set_interrupted_by(run->report, why);
}

static void on_lost(struct supervisor *supervisor, const struct message_lost *lost)
{
    struct local_run *const run = supervisor->owner;

    report_add_lost(run->report, &(struct lost_process){.index = lost->index,
                                                        .signal = lost->signal,
                                                        .status = lost->status,
                                                        .stuck = lost->stuck,
                                                        .scenario = lost->scenario});
}

static void on_teardown(struct supervisor *supervisor)
{
    struct local_run *const run = supervisor->owner;

    run->report->ended_us = clock_us();
}

static void on_end(struct supervisor *supervisor, const char *failure)
{
    struct local_run *const run = supervisor->owner;

    if (failure != NULL)
        run->failure = xstrdup(failure);
    run->over = true;
    ev_break(run->loop, EVBREAK_ALL);
}

/* --- what the person tells ----------------------------------------------------------------- */

/* Once: what runs may finish. Twice: it is cut. Three times: the slave is killed. */
static void on_signal(struct signal_watch *watch, int number)
{
    struct local_run *const run = watch->data;

    run->interrupts++;
    set_interrupted_by(run->report, signal_name(number));
    if (run->interrupts <= 2)
        supervisor_stop(&run->supervisor, run->interrupts == 2);
    else
        supervisor_kill(&run->supervisor);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int revents)
{
    const struct local_run *const run = timer->data;

    (void)loop;
    (void)revents;
    display_tick(run->display, run->report);
}

/* --- the run --------------------------------------------------------------------------------- */

static int watch_signals(struct local_run *run, struct error *err)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    run->signals.on_signal = on_signal;
    run->signals.data = run;
    return signal_watch_start(&run->signals, run->loop, &set, err);
}

static void on_late_signal(int number)
{
    (void)number;
}

/* The report is being written. A signal that was meant for the run does it no harm; one
 * more ends a runner whose reader does not read. */
static void let_signals_through(struct local_run *run)
{
    struct sigaction once = {.sa_handler = on_late_signal,
                             .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    sigset_t none;

    signal_watch_stop(&run->signals);
    sigaction(SIGINT, &once, NULL);
    sigaction(SIGTERM, &once, NULL);
    sigaction(SIGHUP, &once, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void describe_job(struct report *report, const struct job *job)
{
    report->run_id = xstrdup(job->run_id);
    report->test = xstrdup(job->test);
    report->processes = job_process_count(job);
    report->workers = (unsigned long)job->workers * report->processes;
    report->duration_s = job->duration_s;
    report->max_runs = (unsigned long)job->max_runs;
}

/* How it all ended, once the slave is gone. */
static void conclude(const struct local_run *run)
{
    struct report *const report = run->report;

    if (report->ended_us == 0)
        report->ended_us = clock_us();
    if (run->failure != NULL)
        set_failure(report, run->failure);
    if (report->failure != NULL || report->lost_count > 0)
        report->state = REPORT_FAILED;
    else if (report->interrupted_by != NULL)
        report->state = REPORT_STOPPED;
    else
        report->state = REPORT_FINISHED;
}

int local_run(const struct job *job, struct display *display, struct report *report,
              struct error *err)
{
    const double tick_s = job->console_update_s > SHORTEST_TICK_S
                              ? job->console_update_s
                              : SHORTEST_TICK_S;
    struct local_run run = {
        .loop = loop_new(),
        .supervisor = {.job = job,
                       .stdout_to_stderr = display_owns_stdout(job),
                       .on_ready = on_ready,
                       .on_delta = on_delta,
                       .on_stopping = on_stopping,
                       .on_lost = on_lost,
                       .on_teardown = on_teardown,
                       .on_end = on_end},
        .display = display,
        .report = report,
        .signals = {.signalfd = -1},
    };
    int rc = -1;

    run.supervisor.loop = run.loop;
    run.supervisor.owner = &run;
    describe_job(report, job);
    if (supervisor_start(&run.supervisor, err) == -1)
        goto out;
    if (watch_signals(&run, err) == -1) {
        supervisor_kill(&run.supervisor);
        set_failure(report, err->message);
    }
    ev_timer_init(&run.tick, on_tick, tick_s, tick_s);
    run.tick.data = &run;
    ev_timer_start(run.loop, &run.tick);
    while (!run.over)
        ev_run(run.loop, 0);
    ev_timer_stop(run.loop, &run.tick);
    let_signals_through(&run);
    supervisor_close(&run.supervisor);
    if (!run.begun && run.failure != NULL) {
        error_set(err, "%s", run.failure);
        goto out;
    }
    conclude(&run);
    rc = 0;
out:
    free(run.failure);
    ev_loop_destroy(run.loop);
    return rc;
}
