/* agent/main.c - reads the options of an agent, and runs it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/endpoint.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/program.h"
#include "base/text.h"
#include "job/options.h"
#include "proto/facts.h"

#define LEAVE_AFTER_MOST_S 31536000.0 /* a year */

struct options {
    char *broker, *name, *logfile;
    bool debug;
    double leave_after_s;
    bool version, help;
    char *params, *timeout, *max_age, *max_age_delta; /* Loads' */
};

#define FIELD(name) offsetof(struct options, name)

#define AGENT "The agent"
#define LOG "What it tells"

/* clang-format off */
static const struct option_row rows[] = {
    {
        .name = "broker",
        .type = OPTION_TEXT,
        .metavar = "ENDPOINT",
        .section = AGENT,
        .help = "the broker's frontend, tcp://HOST:PORT or ipc:///PATH; without it "
                "$MOLOTOV_BROKER, else this user's own broker",
        .field = FIELD(broker),
    },
    {
        .name = "name",
        .type = OPTION_TEXT,
        .metavar = "NAME",
        .section = AGENT,
        .help = "what it is called in reports; without it HOST-PID",
        .field = FIELD(name),
    },
    {
        .name = "leave-after",
        .type = OPTION_SECONDS,
        .metavar = "SECONDS",
        .standard = "0",
        .most = LEAVE_AFTER_MOST_S,
        .unit = "s",
        .section = AGENT,
        .help = "end when the broker does, or has not been heard of for so long, also "
                "with a run, whose results are lost then; 0: never",
        .field = FIELD(leave_after_s),
    },
    {
        .name = "logfile",
        .type = OPTION_TEXT,
        .metavar = "FILE",
        .standard = "-",
        .section = LOG,
        .help = "append the log to a file; '-' is stderr",
        .field = FIELD(logfile),
    },
    {
        .name = "debug",
        .type = OPTION_FLAG,
        .section = LOG,
        .help = "log each message, too",
        .field = FIELD(debug),
    },
    {
        .name = "version",
        .type = OPTION_FLAG,
        .section = LOG,
        .help = "show the version",
        .field = FIELD(version),
    },
    {
        .name = "help",
        .short_name = 'h',
        .type = OPTION_FLAG,
        .section = LOG,
        .help = "show this help",
        .field = FIELD(help),
    },
    {.name = "params", .type = OPTION_TEXT, .metavar = "X", .field = FIELD(params)},
    {.name = "timeout", .type = OPTION_TEXT, .metavar = "X", .field = FIELD(timeout)},
    {.name = "max-age", .type = OPTION_TEXT, .metavar = "X", .field = FIELD(max_age)},
    {.name = "max-age-delta", .type = OPTION_TEXT, .metavar = "X",
     .field = FIELD(max_age_delta)},
};
/* clang-format on */

static int show_help(const struct option_table *table)
{
    struct buffer help = BUFFER_INIT;
    bool failed;

    buffer_add_text(&help, "Usage: molotov-agent [OPTION...]\n"
                           "\n"
                           "Offers this host to a broker, which runs load tests on it: "
                           "one at a time.\n");
    options_help(table, 1, program_help_width(), &help);
    buffer_add_text(
        &help, "\n"
               "SIGTERM and Ctrl-C end it: what runs is finished for some seconds, "
               "and its results\n"
               "are delivered; a second one ends it at once.\n"
               "Exit status: 0; 1 where it could not work, or results were lost; 2 "
               "for wrong usage.\n");
    failed = fputs(buffer_text(&help), stdout) == EOF || fflush(stdout) == EOF;
    buffer_clear(&help);
    return failed ? PROGRAM_FAILED : PROGRAM_OK;
}

/* Loads' options that mean nothing here, and what does the same. */
static void warn_of_old(const struct text_list *given)
{
    static const struct {
        const char *name, *instead;
    } old[] = {
        {"params",        "nothing used it"                                            },
        {"timeout",       "an agent that is told to end delivers its results, and ends"},
        {"max-age",       "let what starts the agent end it, by SIGTERM"               },
        {"max-age-delta", "let what starts the agent end it, by SIGTERM"               },
    };

    for (size_t i = 0; i < given->count; i++)
        for (size_t j = 0; j < ARRAY_SIZE(old); j++)
            if (strcmp(given->items[i], old[j].name) == 0)
                log_warning("--%s of loads-agent has no meaning here: %s", old[j].name,
                            old[j].instead);
}

static int check_name(const char *name, struct error *err)
{
    if (*name == '\0' || strlen(name) > FACTS_NAME_MAX ||
        !text_is_clean(name, strlen(name)))
        return error_set(err, "--name takes 1 to %u bytes of text", FACTS_NAME_MAX);
    return 0;
}

/* What was not given. */
static int complete(struct options *options, struct error *err)
{
    if (options->name == NULL)
        options->name = xasprintf("%s-%ld", program_host(), (long)getpid());
    if (check_name(options->name, err) == -1)
        return -1;
    if (options->broker == NULL)
        return endpoint_default("frontend", &options->broker, err);
    return endpoint_check_target("--broker", options->broker, err);
}

static int run(const struct options *options)
{
    const struct agent_options agent = {.broker = options->broker,
                                        .name = options->name,
                                        .leave_after_s = options->leave_after_s};
    struct error err;

    log_set_level(options->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
    if (program_log_to(options->logfile, &err) == -1 || agent_run(&agent, &err) == -1)
        return program_complain(PROGRAM_FAILED, &err);
    return PROGRAM_OK;
}

static int run_command(struct options *options, const struct option_table *table,
                       int argc, char **argv)
{
    struct text_list given = {.items = NULL};
    struct error err;
    int rc = options_parse(table, 1, argc, argv, &given, &err);

    if (options->help) {
        text_list_clear(&given);
        return show_help(table);
    }
    if (rc == 0 && !options->version)
        rc = complete(options, &err);
    if (rc == 0)
        warn_of_old(&given);
    text_list_clear(&given);
    if (rc == -1)
        return program_complain(PROGRAM_USAGE, &err);
    if (options->version) {
        puts(MOLOTOV_VERSION);
        return PROGRAM_OK;
    }
    return run(options);
}

int main(int argc, char **argv)
{
    struct options options = {.broker = NULL};
    const struct option_table table = {
        .rows = rows, .count = ARRAY_SIZE(rows), .values = &options};
    int status;

    program_open("molotov-agent");
    options_set_defaults(&table);
    status = run_command(&options, &table, argc, argv);
    options_clear(&table);
    return status;
}
