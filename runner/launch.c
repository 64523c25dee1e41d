#include "runner/launch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/program.h"
#include "runner/cluster.h"
#include "runner/commands.h"
#include "runner/display.h"
#include "runner/local.h"
#include "runner/package.h"
#include "runner/remote.h"
#include "runner/show.h"
#include "scenario/host.h"

static int complain(const struct error *err)
{
    return program_complain(PROGRAM_FAILED, err);
}

/* --- a test ------------------------------------------------------------------------- */

/* "20261121-042519-7f3a9c01": when, and something that no other run of then has. */
static char *make_run_id(void)
{
    const time_t now = time(NULL);
    struct tm parts;
    char when[32];
    unsigned chance = (unsigned)getpid();

    if (getrandom(&chance, sizeof(chance), 0) == -1)
        chance = (unsigned)getpid();
    gmtime_r(&now, &parts);
    strftime(when, sizeof(when), "%Y%m%d-%H%M%S", &parts);
    return xasprintf("%s-%08x", when, chance);
}

/* Checks and compiles the test, and gives its run a name. */
static int prepare_test(struct job *job, struct error *err)
{
    const struct host_type *const host = host_find(job->test, err);

    if (host == NULL)
        return -1;
    if (!job_test_is_url(job->test) && access(job->test, R_OK) == -1)
        return error_errno(err, "cannot read the test '%s'", job->test);
    if (host->prepare != NULL && host->prepare(job, err) == -1)
        return -1;
    free(job->run_id);
    job->run_id = make_run_id();
    return 0;
}

/* Ends the outputs of a run that is over, and says how it ended. */
static int finish_run(const struct job *job, struct display *display,
                      const struct report *report)
{
    int status = show_judge(job, report);

    if (display_close(display, report) == -1)
        status = PROGRAM_FAILED;
    if (job->quiet && report->facts.failure != NULL)
        fprintf(stderr, "molotov-runner: the run failed: %s\n", report->facts.failure);
    return status;
}

int launch_here(const struct launch *launch)
{
    struct job *const job = launch->job;
    struct display display;
    struct report report;
    struct error err;
    int status;

    if (prepare_test(job, &err) == -1 || display_open(&display, job, &err) == -1)
        return complain(&err);
    report_init(&report);
    if (local_run(job, &display, &report, &err) == 0) {
        status = finish_run(job, &display, &report);
    } else {
        display_close(&display, NULL);
        status = complain(&err);
    }
    report_clear(&report);
    return status;
}

/* --- a run on a cluster ------------------------------------------------------------- */

/* Where there is a document on stdout, or will be, it is no place for other words. */
static void say_how_to_come_back(const struct launch *launch, const char *how,
                                 bool is_over)
{
    FILE *const to = display_owns_stdout(launch->job) ? stderr : stdout;
    const char *const run = launch->job->run_id;
    const char *const broker = launch->options->broker;
    char *const command = broker != NULL
                              ? xasprintf("molotov-runner --broker %s", broker)
                              : xstrdup("molotov-runner");

    if (launch->job->quiet)
        fprintf(to, "%s\n", run);
    else if (is_over)
        fprintf(to,
                "Run %s %s.\n"
                "  to see it: %s --attach %s\n",
                run, how, command, run);
    else
        fprintf(to,
                "Run %s %s.\n"
                "  to come back: %s --attach %s\n"
                "  to stop it:   %s --stop %s\n",
                run, how, command, run, command, run);
    fflush(to);
    free(command);
}

/* How the runner ended, and what is to be said about the run. */
static int finish_remote(const struct launch *launch, enum remote_outcome outcome,
                         struct display *display, const struct report *report)
{
    if (outcome == REMOTE_OVER)
        return finish_run(launch->job, display, report);
    display_close(display, NULL);
    if (outcome == REMOTE_DETACHED) {
        const bool is_over = run_state_is_over(report->facts.state);

        say_how_to_come_back(launch, is_over ? "is over" : "goes on", is_over);
        return PROGRAM_OK;
    }
    say_how_to_come_back(launch, "was told to stop, and has not told its end", false);
    return PROGRAM_FAILED;
}

/* An exit status; or -1. */
static int show_remote(const struct launch *launch, const struct remote_plan *plan,
                       struct error *err)
{
    enum remote_outcome outcome = REMOTE_OVER;
    struct display display;
    struct report report;
    int status = -1;

    if (display_open(&display, launch->job, err) == -1)
        return -1;
    report_init(&report);
    if (remote_run(plan, &display, &report, &outcome, err) == 0)
        status = finish_remote(launch, outcome, &display, &report);
    else
        display_close(&display, NULL);
    report_clear(&report);
    return status;
}

/* A broker that was named must be there; the one of this machine is started. */
static int find_cluster(const struct launch *launch, struct pidlock *ret_lock,
                        struct error *err)
{
    struct message_pong pong;

    if (!launch->frontend->is_given)
        return cluster_ensure(launch->frontend, (unsigned long)launch->options->agents,
                              launch->options->cluster_leave_after, ret_lock, err);
    if (client_ping(launch->frontend, &pong, err) == -1)
        return -1;
    message_pong_clear(&pong);
    return 0;
}

int launch_on_cluster(const struct launch *launch)
{
    struct package package = {.contents = NULL};
    struct pidlock lock = {.fd = -1};
    struct remote_plan plan = {
        .frontend = launch->frontend,
        .cluster_leave_after = launch->options->cluster_leave_after,
        .job = launch->job,
        .package = &package,
        .agents = (unsigned long)launch->options->agents,
        .keep_cluster = launch->options->keep_cluster,
        .detach = launch->options->detach,
        .lock = &lock,
    };
    struct error err;
    int status = -1;

    if (prepare_test(launch->job, &err) == 0 &&
        package_make(launch->job, &package, &err) == 0 &&
        find_cluster(launch, &lock, &err) == 0)
        status = show_remote(launch, &plan, &err);
    pidlock_release(&lock);
    package_clear(&package);
    return status != -1 ? status : complain(&err);
}

/* The name of the run to look at; NULL: none, and it has been said why. */
static const char *choose_run(const struct launch *launch,
                              const struct message_runs *runs)
{
    const char *found = NULL;

    if (launch->options->attach[0] != '\0')
        return launch->options->attach;
    for (size_t i = 0; i < runs->count; i++) {
        if (run_state_is_over(runs->runs[i].state))
            continue;
        if (found != NULL) {
            fputs("Several runs go on: name one of them, as in --attach RUN.\n",
                  stderr);
            command_write_runs(runs, true, stderr);
            return NULL;
        }
        found = runs->runs[i].run;
    }
    if (found == NULL)
        fputs("Nothing seems to be running on that broker.\n", stderr);
    return found;
}

static bool is_listed(const struct message_runs *runs, const char *run)
{
    for (size_t i = 0; i < runs->count; i++)
        if (strcmp(runs->runs[i].run, run) == 0)
            return true;
    return false;
}

static int attach_to(const struct launch *launch, const struct message_runs *runs)
{
    const char *const run = choose_run(launch, runs);
    const struct remote_plan plan = {
        .frontend = launch->frontend,
        .cluster_leave_after = launch->options->cluster_leave_after,
        .job = launch->job,
    };
    struct error err;
    int status;

    if (run == NULL)
        return PROGRAM_FAILED;
    free(launch->job->run_id);
    launch->job->run_id = xstrdup(run);
    status = show_remote(launch, &plan, &err);
    if (status != -1)
        return status;
    complain(&err);
    if (!is_listed(runs, run))
        command_write_runs(runs, false, stderr);
    return PROGRAM_FAILED;
}

int launch_attached(const struct launch *launch)
{
    struct message_runs runs;
    struct error err;
    int status;

    if (client_list(launch->frontend, &runs, &err) == -1)
        return complain(&err);
    status = attach_to(launch, &runs);
    message_runs_clear(&runs);
    return status;
}
