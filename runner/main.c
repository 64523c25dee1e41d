/* runner/main.c - the command a person types. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/endpoint.h"
#include "base/memory.h"
#include "base/program.h"
#include "engine/slave.h"
#include "job/job.h"
#include "outputs/output.h"
#include "runner/client.h"
#include "runner/commands.h"
#include "runner/launch.h"
#include "runner/options.h"

/* All that the command line says. */
struct command_line {
    struct job job;
    struct runner_options options;
    struct output_options outputs;
    enum runner_command command;
};

/* --- help --------------------------------------------------------------------------- */

static int show_help(const struct option_table *tables, size_t count)
{
    struct buffer help = BUFFER_INIT;
    int rc;

    buffer_add_text(&help,
                    "Usage: molotov-runner [OPTION...] [TEST]\n"
                    "       molotov-runner --agents N [OPTION...] [TEST]\n"
                    "       molotov-runner --attach [RUN] | --stop RUN | --list-runs | "
                    "--ping-broker\n"
                    "\n"
                    "Runs a load test: many virtual users at once, each running the "
                    "test's scenarios.\n"
                    "Here, or on agents, each of which runs all of it.\n");
    options_help(tables, count, program_help_width(), &help);
    buffer_add_text(&help, "\n");
    output_help(&help);
    buffer_add_text(
        &help, "\n"
               "Ctrl-C ends a test: what runs is finished; a second one cuts it. Of "
               "a test on\n"
               "agents, it asks whether to stop it or to leave it alone.\n"
               "Exit status: 0; 1 where the test could not run or broke, or "
               "reached --fail; 2 for\n"
               "wrong usage.\n");
    rc = fputs(buffer_text(&help), stdout) == EOF || fflush(stdout) == EOF;
    buffer_clear(&help);
    return rc ? PROGRAM_FAILED : PROGRAM_OK;
}

/* --- what is asked for -------------------------------------------------------------- */

/* Where the broker is, for all commands but RUN_HERE. */
static int find_frontend(const struct runner_options *options,
                         struct frontend *ret_frontend, struct error *err)
{
    ret_frontend->is_given = runner_options_name_broker(options);
    if (options->broker == NULL)
        return endpoint_default("frontend", &ret_frontend->endpoint, err);
    ret_frontend->endpoint = xstrdup(options->broker);
    return 0;
}

static int ask_broker(struct command_line *line, const struct frontend *frontend)
{
    const struct launch launch = {
        .job = &line->job, .options = &line->options, .frontend = frontend};

    switch (line->command) {
    case ATTACH:
        return launch_attached(&launch);
    case LIST_RUNS:
        return command_list_runs(frontend);
    case STOP_RUN:
        return command_stop(frontend, line->options.stop);
    case PING_BROKER:
        return command_ping(frontend);
    default:
        return launch_on_cluster(&launch);
    }
}

static int run_command(struct command_line *line)
{
    struct frontend frontend = {.endpoint = NULL};
    struct error err;
    int status;

    if (line->command == RUN_HERE)
        return launch_here(&(struct launch){.job = &line->job});
    if (find_frontend(&line->options, &frontend, &err) == -1)
        return program_complain(PROGRAM_FAILED, &err);
    status = ask_broker(line, &frontend);
    free(frontend.endpoint);
    return status;
}

/* Checks what was parsed: 0; or -1. */
static int settle(struct command_line *line, const struct text_list *given,
                  struct error *err)
{
    if (runner_options_settle(&line->options, &line->job, given, &line->command, err) ==
            -1 ||
        job_check(&line->job, given, err) == -1)
        return -1;
    return output_options_apply(&line->outputs, &line->job, err);
}

static int read_command(struct command_line *line, int argc, char **argv)
{
    struct job *const job = &line->job;
    const struct option_table tables[] = {job_options(job),
                                          runner_options_table(&line->options),
                                          output_options_table(&line->outputs)};
    struct text_list given = {.items = NULL};
    struct error err;
    int rc = options_parse(tables, ARRAY_SIZE(tables), argc, argv, &given, &err);

    if (rc == 0 && !job->help && !job->version)
        rc = settle(line, &given, &err);
    text_list_clear(&given);
    if (job->help)
        return show_help(tables, ARRAY_SIZE(tables));
    if (rc == -1)
        return program_complain(PROGRAM_USAGE, &err);
    if (job->version) {
        puts(MOLOTOV_VERSION);
        return PROGRAM_OK;
    }
    return run_command(line);
}

int main(int argc, char **argv)
{
    struct command_line line = {.command = RUN_HERE};
    int status;

    if (argc == 2 && strcmp(argv[1], "--slave") == 0)
        return slave_main();
    program_open("molotov-runner");
    job_init(&line.job);
    runner_options_init(&line.options);
    output_options_init(&line.outputs);
    status = read_command(&line, argc, argv);
    output_options_clear(&line.outputs);
    runner_options_clear(&line.options);
    job_clear(&line.job);
    return status;
}
