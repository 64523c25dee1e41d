/* runner/main.c - the command a person types. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "engine/slave.h"
#include "job/job.h"
#include "outputs/output.h"
#include "runner/display.h"
#include "runner/local.h"
#include "scenario/host.h"

enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2, WIDEST_HELP = 100 };

static int complain(int status, const struct error *err)
{
    char clean[ERROR_SIZE]; /* it may quote what a stranger wrote */

    text_clean(clean, sizeof(clean), err->message, strlen(err->message));
    fprintf(stderr, "molotov-runner: %s\n", clean);
    return status;
}

/* --- help --------------------------------------------------------------------------------- */

static size_t help_width(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == -1 || size.ws_col < 40)
        return 80;
    return size.ws_col < WIDEST_HELP ? size.ws_col : WIDEST_HELP;
}

static int show_help(const struct option_table *tables, size_t count)
{
    struct buffer help = BUFFER_INIT;
    int rc;

    buffer_add_text(&help,
                    "Usage: molotov-runner [OPTION...] [TEST]\n"
                    "\n"
                    "Runs a load test: many virtual users at once, each running the "
                    "test's scenarios.\n");
    options_help(tables, count, help_width(), &help);
    buffer_add_text(&help, "\n");
    output_help(&help);
    buffer_add_text(&help,
                    "\n"
                    "Ctrl-C ends a test: what runs is finished; a second one cuts "
                    "it.\n"
                    "Exit status: 0; 1 where the test could not run or broke, or "
                    "reached --fail; 2 for\n"
                    "wrong usage.\n");
    rc = fputs(buffer_text(&help), stdout) == EOF || fflush(stdout) == EOF;
    buffer_clear(&help);
    return rc ? STATUS_FAILED : STATUS_OK;
}

/* --- the job ------------------------------------------------------------------------------- */

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

static int check_test(const struct job *job, struct error *err)
{
    if (host_find(job->test, err) == NULL)
        return -1;
    if (!job_test_is_url(job->test) && access(job->test, R_OK) == -1)
        return error_errno(err, "cannot read the test '%s'", job->test);
    return 0;
}

/* What the figures say about success: see "exit status" in the design. */
static int judge(const struct job *job, const struct report *report)
{
    struct stats_totals totals;

    stats_total(&report->stats, &totals);
    if (report->state == REPORT_FAILED)
        return STATUS_FAILED;
    if (job->fail >= 0 && totals.failed >= (uint64_t)job->fail)
        return STATUS_FAILED;
    return STATUS_OK;
}

static int run_test(struct job *job)
{
    const struct host_type *host;
    struct display display = {.outputs = NULL};
    struct report report;
    struct error err;
    int status, rc;

    if (check_test(job, &err) == -1)
        return complain(STATUS_FAILED, &err);
    host = host_find(job->test, &err);
    if (host->prepare != NULL && host->prepare(job, &err) == -1)
        return complain(STATUS_FAILED, &err);
    if (display_open(&display, job, &err) == -1)
        return complain(STATUS_FAILED, &err);
    free(job->run_id);
    job->run_id = make_run_id();
    report_init(&report);
    rc = local_run(job, &display, &report, &err);
    status = rc == 0 ? judge(job, &report) : STATUS_FAILED;
    if (display_close(&display, rc == 0 ? &report : NULL) == -1)
        status = STATUS_FAILED;
    if (rc == -1)
        complain(status, &err);
    else if (job->quiet && report.failure != NULL)
        fprintf(stderr, "molotov-runner: the run failed: %s\n", report.failure);
    report_clear(&report);
    return status;
}

static int run_command(struct job *job, struct output_options *output_options, int argc,
                       char **argv)
{
    const struct option_table tables[] = {job_options(job),
                                          output_options_table(output_options)};
    struct text_list given = {.items = NULL};
    struct error err;
    int rc = options_parse(tables, ARRAY_SIZE(tables), argc, argv, &given, &err);

    if (rc == 0 && !job->help && !job->version &&
        (job_check(job, &given, &err) == -1 ||
         output_options_apply(output_options, job, &err) == -1))
        rc = -1;
    text_list_clear(&given);
    if (job->help)
        return show_help(tables, ARRAY_SIZE(tables));
    if (rc == -1) {
        complain(STATUS_USAGE, &err);
        fputs("Try 'molotov-runner --help'.\n", stderr);
        return STATUS_USAGE;
    }
    if (job->version) {
        puts(MOLOTOV_VERSION);
        return STATUS_OK;
    }
    return run_test(job);
}

/* A descriptor we open must never take the number of one that is expected to be there. */
static void ensure_standard_descriptors(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

int main(int argc, char **argv)
{
    struct job job;
    struct output_options output_options;
    int status;

    if (argc == 2 && strcmp(argv[1], "--slave") == 0)
        return slave_main();
    ensure_standard_descriptors();
    signal(SIGPIPE, SIG_IGN);
    job_init(&job);
    output_options_init(&output_options);
    status = run_command(&job, &output_options, argc, argv);
    output_options_clear(&output_options);
    job_clear(&job);
    return status;
}
