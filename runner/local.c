#include "runner/local.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"
#include "engine/supervisor.h"
#include "runner/show.h"

struct local_run {
    struct show show;
    struct supervisor supervisor;
    unsigned interrupts;
    char *failure; /* why the slave's end was not a good one */
};

/* --- what the slave tells ----------------------------------------------------------- */

static struct run_facts *facts_of(const struct local_run *run)
{
    return &run->show.report->facts;
}

static void on_ready(struct supervisor *supervisor)
{
    struct local_run *const run = supervisor->owner;
    struct run_facts *const facts = facts_of(run);

    facts->started_wall_s = clock_wall_s();
    run->show.report->started_us = clock_us();
    if (facts->state == RUN_PREPARING)
        facts->state = RUN_RUNNING;
    show_begin(&run->show);
    supervisor_begin(supervisor);
}

static void on_delta(struct supervisor *supervisor, const struct delta *delta)
{
    struct local_run *const run = supervisor->owner;

    show_push(&run->show, delta);
}

static void on_stopping(struct supervisor *supervisor, const char *why, bool failed)
{
    const struct local_run *const run = supervisor->owner;

    if (failed)
        facts_set_failure(facts_of(run), why);
    else
        facts_set_interrupted_by(facts_of(run), why);
}

static void on_lost(struct supervisor *supervisor, const struct message_lost *lost)
{
    const struct local_run *const run = supervisor->owner;

    facts_add_lost(facts_of(run), &(struct fact_process){.index = lost->index,
                                                         .signal = lost->signal,
                                                         .status = lost->status,
                                                         .stuck = lost->stuck,
                                                         .scenario = lost->scenario});
}

static void on_teardown(struct supervisor *supervisor)
{
    const struct local_run *const run = supervisor->owner;

    run->show.report->ended_us = clock_us();
}

static void on_end(struct supervisor *supervisor, const char *failure)
{
    struct local_run *const run = supervisor->owner;

    if (failure != NULL)
        run->failure = xstrdup(failure);
    show_end(&run->show);
}

/* --- what the person tells ---------------------------------------------------------- */

/* Once: what runs may finish. Twice: it is cut. Three times: the slave is killed. */
static void on_signal(struct show *show, int number)
{
    struct local_run *const run = show->owner;

    run->interrupts++;
    facts_set_interrupted_by(facts_of(run), signal_name(number));
    if (run->interrupts <= 2)
        supervisor_stop(&run->supervisor, run->interrupts == 2);
    else
        supervisor_kill(&run->supervisor);
}

/* --- the run ------------------------------------------------------------------------ */

/* How it all ended, once the slave is gone. */
static void conclude(const struct local_run *run)
{
    struct report *const report = run->show.report;

    if (report->ended_us == 0)
        report->ended_us = clock_us();
    if (run->failure != NULL)
        facts_set_failure(&report->facts, run->failure);
    report->facts.state = facts_final_state(&report->facts);
}

int local_run(const struct job *job, struct display *display, struct report *report,
              struct error *err)
{
    struct local_run run = {
        .show = {.job = job,
                 .display = display,
                 .report = report,
                 .on_signal = on_signal,
                 .owner = &run},
        .supervisor = { .job = job,
                 .stdout_to_stderr = display_owns_stdout(job),
                 .on_ready = on_ready,
                 .on_delta = on_delta,
                 .on_stopping = on_stopping,
                 .on_lost = on_lost,
                 .on_teardown = on_teardown,
                 .on_end = on_end,
                 .owner = &run},
    };
    int rc = -1;

    facts_describe_job(&report->facts, job, 1);
    if (show_open(&run.show, err) == -1)
        return -1;
    run.supervisor.loop = run.show.loop;
    if (supervisor_start(&run.supervisor, err) == -1)
        goto out;
    show_run(&run.show);
    supervisor_close(&run.supervisor);
    if (!run.show.begun && run.failure != NULL) {
        error_set(err, "%s", run.failure);
        goto out;
    }
    conclude(&run);
    rc = 0;
out:
    free(run.failure);
    show_close(&run.show);
    return rc;
}
