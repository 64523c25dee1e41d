/* broker/main.c - the daemon that knows the agents and the runs. */
#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/program.h"
#include "broker/ask.h"
#include "broker/broker.h"
#include "broker/options.h"

#define CHECK_S 2.0

static int show_help(const struct option_table *table)
{
    struct buffer help = BUFFER_INIT;
    int failed;

    buffer_add_text(
        &help, "Usage: molotov-broker [OPTION...]\n"
               "\n"
               "Takes tests from runners, has agents run them, keeps the results.\n");
    options_help(table, 1, program_help_width(), &help);
    buffer_add_text(
        &help, "\n"
               "A broker that ends, or is killed, keeps its runs in the database: "
               "started again,\n"
               "it goes on with them.\n"
               "Exit status: 0; 1 where it could not start, or --check found none; "
               "2 for wrong\n"
               "usage.\n");
    failed = fputs(buffer_text(&help), stdout) == EOF || fflush(stdout) == EOF;
    buffer_clear(&help);
    return failed ? PROGRAM_FAILED : PROGRAM_OK;
}

static int check(const struct broker_options *options)
{
    struct error err;
    uint64_t pid;

    if (ask_pid(options->frontend, CHECK_S, &pid, &err) == -1) {
        puts(err.message);
        return PROGRAM_FAILED;
    }
    printf("A broker is running. PID: %" PRIu64 "\n", pid);
    return PROGRAM_OK;
}

static int serve(const struct broker_options *options, const struct text_list *given)
{
    struct broker broker;
    struct error err;
    int rc;

    if (options->logfile != NULL && program_log_to(options->logfile, &err) == -1)
        return program_complain(PROGRAM_FAILED, &err);
    log_set_level(options->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
    broker_options_warn(options, given);
    rc = broker_open(&broker, options, &err);
    if (rc == 0)
        broker_run(&broker);
    broker_close(&broker);
    return rc == 0 ? PROGRAM_OK : program_complain(PROGRAM_FAILED, &err);
}

static int run_command(struct broker_options *options, struct text_list *given,
                       int argc, char **argv)
{
    const struct option_table table = broker_options_table(options);
    struct error err;
    const int rc = options_parse(&table, 1, argc, argv, given, &err);

    if (options->help)
        return show_help(&table);
    if (rc == -1)
        return program_complain(PROGRAM_USAGE, &err);
    if (options->version) {
        puts(MOLOTOV_VERSION);
        return PROGRAM_OK;
    }
    if (broker_options_check(options, &err) == -1)
        return program_complain(PROGRAM_USAGE, &err);
    if (broker_options_complete(options, &err) == -1)
        return program_complain(PROGRAM_FAILED, &err);
    return options->check ? check(options) : serve(options, given);
}

int main(int argc, char **argv)
{
    struct broker_options options;
    struct text_list given = {.items = NULL};
    int status;

    program_open("molotov-broker");
    broker_options_init(&options);
    status = run_command(&options, &given, argc, argv);
    broker_options_clear(&options);
    text_list_clear(&given);
    return status;
}
