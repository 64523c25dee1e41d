#include "runner/options.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/endpoint.h"
#include "base/memory.h"
#include "base/text.h"
#include "proto/facts.h"

#define FIELD(name) offsetof(struct runner_options, name)
#define CLUSTER "A cluster"
#define BROKER_VARIABLE "MOLOTOV_BROKER"

enum { SHOWN_SIZE = 100, LEAVE_AFTER_MOST_S = 31536000 };

/* By hand: clang-format 14 breaks tables whose rows take several lines. */
/* clang-format off */
static const struct option_row rows[] = {
    {
        .name = "agents",
        .short_name = 'a',
        .type = OPTION_INTEGER,
        .metavar = "N",
        .standard = "0",
        .most = FACTS_AGENTS_MAX,
        .section = CLUSTER,
        .help = "run the test on so many agents of a broker, each with all workers and "
                "processes; 0: here",
        .field = FIELD(agents),
    },
    {
        .name = "broker",
        .short_name = 'b',
        .type = OPTION_TEXT,
        .metavar = "ENDPOINT",
        .section = CLUSTER,
        .help = "the broker, as tcp://HOST:PORT or ipc:///PATH; without it (and "
                "MOLOTOV_BROKER in the environment) the one of this machine, which is "
                "started with its agents where there is none",
        .field = FIELD(broker),
    },
    {
        .name = "detach",
        .type = OPTION_FLAG,
        .section = CLUSTER,
        .help = "end as soon as the run has started, and leave it alone",
        .field = FIELD(detach),
    },
    {
        .name = "attach",
        .type = OPTION_TEXT,
        .metavar = "RUN",
        .optional = true,
        .section = CLUSTER,
        .help = "show a run that goes on, or is over; without its name, the one that "
                "goes on",
        .field = FIELD(attach),
    },
    {
        .name = "list-runs",
        .type = OPTION_FLAG,
        .section = CLUSTER,
        .help = "show which runs go on, and the latest that are over",
        .field = FIELD(list_runs),
    },
    {
        .name = "stop",
        .type = OPTION_TEXT,
        .metavar = "RUN",
        .section = CLUSTER,
        .help = "stop a run, for all who look at it; of one that is over already, say so: "
                "exit status 0, too",
        .field = FIELD(stop),
    },
    {
        .name = "ping-broker",
        .type = OPTION_FLAG,
        .section = CLUSTER,
        .help = "show the broker, its agents and what they run; exit status 1 where "
                "there is none",
        .field = FIELD(ping_broker),
    },
    {
        .name = "keep-cluster",
        .type = OPTION_FLAG,
        .section = CLUSTER,
        .help = "a cluster that was started by itself stays; else it ends when nobody "
                "has used it for a minute",
        .field = FIELD(keep_cluster),
    },

    /* for tests: not shown */
    {
        .name = "cluster-leave-after",
        .type = OPTION_INTEGER,
        .metavar = "SECONDS",
        .standard = "60",
        .least = 1,
        .most = LEAVE_AFTER_MOST_S,
        .unit = "s",
        .help = "how long a cluster that was started by itself waits for use",
        .field = FIELD(cluster_leave_after),
    },
};
/* clang-format on */

struct option_table runner_options_table(struct runner_options *options)
{
    return (struct option_table){rows, ARRAY_SIZE(rows), options};
}

void runner_options_init(struct runner_options *options)
{
    const struct option_table table = runner_options_table(options);

    *options = (struct runner_options){.agents = 0};
    options_set_defaults(&table);
}

void runner_options_clear(struct runner_options *options)
{
    const struct option_table table = runner_options_table(options);

    options_clear(&table);
}

bool runner_options_name_broker(const struct runner_options *options)
{
    const char *const named = getenv(BROKER_VARIABLE);

    return options->broker != NULL || (named != NULL && named[0] != '\0');
}

/* --- what goes together ------------------------------------------------------------- */

/* Lists of options end with NULL; a name that ends with '-' stands for all that begin
 * like it. */
static const char *const taken_by_all[] = {"broker", NULL};
static const char *const taken_to_look[] = {
    "broker",  "test",           "fail",   "quiet",   "verbose",
    "console", "console-update", "output", "output-", NULL};
static const char *const of_clusters[] = {"broker", "detach", "keep-cluster", NULL};
static const char *const of_who_looks[] = {"output",  "output-", "fail",
                                           "console", "verbose", NULL};

static const struct {
    enum runner_command command;
    const char *option;
    const char *const *taken; /* what may be given besides */
} commands[] = {
    {ATTACH,      "attach",      taken_to_look},
    {LIST_RUNS,   "list-runs",   taken_by_all },
    {STOP_RUN,    "stop",        taken_by_all },
    {PING_BROKER, "ping-broker", taken_by_all },
};

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(name, *names) == 0 ||
            (text_ends_with(*names, "-") && text_starts_with(name, *names)))
            return true;
    return false;
}

/* Only the command's own option, and those that it takes. */
static int check_besides(const struct text_list *given, const char *option,
                         const char *const *taken, struct error *err)
{
    for (size_t i = 0; i < given->count; i++) {
        const char *const other = given->items[i];

        if (strcmp(other, option) == 0 || is_one_of(other, taken))
            continue;
        if (strcmp(other, "test") == 0)
            return error_set(err, "--%s runs no test: leave TEST out", option);
        return error_set(err, "--%s and --%s do not go together", option, other);
    }
    return 0;
}

static int check_run_name(const char *title, const char *name, struct error *err)
{
    char shown[SHOWN_SIZE];

    if (job_run_id_is_valid(name, strlen(name)))
        return 0;
    text_clean(shown, sizeof(shown), name, strlen(name));
    return error_set(err, "%s takes a run as --list-runs names it, not '%s'", title,
                     shown);
}

/* "--attach RUN" reads as an option without a value, and a TEST. */
static int settle_attach(struct runner_options *options, const struct job *job,
                         const struct text_list *given, struct error *err)
{
    if (text_list_holds(given, "test")) {
        if (options->attach[0] != '\0')
            return error_set(err, "--attach takes one run, and '%s' is named already",
                             options->attach);
        free(options->attach);
        options->attach = xstrdup(job->test);
    } else if (options->attach[0] == '\0') {
        return 0;
    }
    return check_run_name("--attach", options->attach, err);
}

static int check_run(const struct runner_options *options,
                     const struct text_list *given, struct error *err)
{
    for (size_t i = 0; i < given->count; i++) {
        const char *const name = given->items[i];

        if (options->agents == 0 && is_one_of(name, of_clusters))
            return error_set(err, "--%s needs --agents N", name);
        if (options->detach && is_one_of(name, of_who_looks))
            return error_set(
                err, "--detach and --%s do not go together: give it to --attach", name);
    }
    if (options->keep_cluster && runner_options_name_broker(options))
        return error_set(err, "--keep-cluster and %s do not go together",
                         options->broker != NULL ? "--broker" : BROKER_VARIABLE);
    return 0;
}

static int settle_command(struct runner_options *options, const struct job *job,
                          const struct text_list *given, enum runner_command command,
                          struct error *err)
{
    if (command == ATTACH)
        return settle_attach(options, job, given, err);
    return command == STOP_RUN ? check_run_name("--stop", options->stop, err) : 0;
}

int runner_options_settle(struct runner_options *options, const struct job *job,
                          const struct text_list *given,
                          enum runner_command *ret_command, struct error *err)
{
    if (options->broker != NULL &&
        endpoint_check_target("--broker", options->broker, err) == -1)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (!text_list_holds(given, commands[i].option))
            continue;
        *ret_command = commands[i].command;
        if (check_besides(given, commands[i].option, commands[i].taken, err) == -1)
            return -1;
        return settle_command(options, job, given, commands[i].command, err);
    }
    *ret_command = options->agents > 0 ? RUN_ON_CLUSTER : RUN_HERE;
    return check_run(options, given, err);
}
