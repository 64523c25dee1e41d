#include "broker/options.h"

#include <stdlib.h>
#include <string.h>

#include "base/endpoint.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"

#define FIELD(name) offsetof(struct broker_options, name)

#define PLACES "Where it is"
#define TIMES "How long it waits"
#define OTHER "Other"

#define DAY_S 86400

/* Options of loads-broker that have no meaning here. */
#define LOADS_OPTIONS(X) \
    X("register") \
    X("receiver") \
    X("heartbeat") \
    X("io-threads") \
    X("web-root") \
    X("db-python-directory") \
    X("db-python-sync-delay") \
    X("db-python-max-size") \
    X("db-redis-host") \
    X("db-redis-port")

/* By hand: clang-format 14 breaks tables whose rows take several lines. */
/* clang-format off */
static const struct option_row rows[] = {
    {
        .name = "frontend",
        .type = OPTION_TEXT,
        .metavar = "ENDPOINT",
        .section = PLACES,
        .help = "for runners, and for agents to find the broker: tcp://HOST:PORT or "
                "ipc:///PATH; without it $MOLOTOV_BROKER, else a socket in the run "
                "directory",
        .field = FIELD(frontend),
    },
    {
        .name = "backend",
        .type = OPTION_TEXT,
        .metavar = "ENDPOINT",
        .section = PLACES,
        .help = "for the agents; without it a socket in the run directory",
        .field = FIELD(backend),
    },
    {
        .name = "publisher",
        .type = OPTION_TEXT,
        .metavar = "ENDPOINT",
        .section = PLACES,
        .help = "where runners watch runs; without it a socket in the run directory",
        .field = FIELD(publisher),
    },
    {
        .name = "db",
        .type = OPTION_TEXT,
        .metavar = "FILE",
        .section = PLACES,
        .help = "the database of runs and results; without it broker.db in "
                "$XDG_STATE_HOME/molotov or ~/.local/state/molotov",
        .field = FIELD(db),
    },
    {
        .name = "agent-timeout",
        .type = OPTION_INTEGER,
        .metavar = "SECONDS",
        .standard = "30",
        .least = 1,
        .most = DAY_S,
        .unit = "s",
        .section = TIMES,
        .help = "an agent that is silent for so long is lost",
        .field = FIELD(agent_timeout),
    },
    {
        .name = "prepare-timeout",
        .type = OPTION_INTEGER,
        .metavar = "SECONDS",
        .standard = "120",
        .least = 1,
        .most = DAY_S,
        .unit = "s",
        .section = TIMES,
        .help = "a run whose agents are not all ready after so long has failed",
        .field = FIELD(prepare_timeout),
    },
    {
        .name = "leave-after",
        .type = OPTION_INTEGER,
        .metavar = "SECONDS",
        .standard = "0",
        .most = 365.0 * DAY_S,
        .unit = "s",
        .section = TIMES,
        .help = "end after so long without a run and without a request; 0: never",
        .field = FIELD(leave_after),
    },
    {
        .name = "logfile",
        .type = OPTION_TEXT,
        .metavar = "FILE",
        .section = OTHER,
        .help = "append the log to this file; without it, stderr",
        .field = FIELD(logfile),
    },
    {
        .name = "debug",
        .type = OPTION_FLAG,
        .section = OTHER,
        .help = "log more",
        .field = FIELD(debug),
    },
    {
        .name = "check",
        .type = OPTION_FLAG,
        .section = OTHER,
        .help = "say whether a broker runs at the frontend, and end: status 0, or 1 where "
                "there is none",
        .field = FIELD(check),
    },
    {
        .name = "version",
        .type = OPTION_FLAG,
        .section = OTHER,
        .help = "show the version and end",
        .field = FIELD(version),
    },
    {
        .name = "help",
        .short_name = 'h',
        .type = OPTION_FLAG,
        .section = OTHER,
        .help = "show this and end",
        .field = FIELD(help),
    },

    /* of loads-broker: not shown */
#define LOADS_ROW(option) \
    { \
        .name = option, \
        .type = OPTION_TEXT, \
        .metavar = "VALUE", \
        .help = "has no meaning here", \
        .field = FIELD(unused), \
    },
    LOADS_OPTIONS(LOADS_ROW)
#undef LOADS_ROW
};
/* clang-format on */

static const char *const loads_options[] = {
#define LOADS_NAME(option) option,
    LOADS_OPTIONS(LOADS_NAME)
#undef LOADS_NAME
};

struct option_table broker_options_table(struct broker_options *options)
{
    return (struct option_table){
        .rows = rows,
        .count = ARRAY_SIZE(rows),
        .values = options,
    };
}

void broker_options_init(struct broker_options *options)
{
    const struct option_table table = broker_options_table(options);

    *options = (struct broker_options){.db = NULL};
    options_set_defaults(&table);
}

void broker_options_clear(struct broker_options *options)
{
    const struct option_table table = broker_options_table(options);

    options_clear(&table);
}

/* --- checks --------------------------------------------------------------------------------- */

static int check_db(const char *db, struct error *err)
{
    static const char *const former[] = {"python", "redis"};

    if (db == NULL)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(former); i++)
        if (strcmp(db, former[i]) == 0)
            return error_set(err,
                             "--db %s: results are kept in one SQLite file: leave --db "
                             "out, or name a file (--db ./%s for one of that name)",
                             db, db);
    if (db[0] == '\0')
        return error_set(err, "--db takes a file");
    return 0;
}

int broker_options_check(const struct broker_options *options, struct error *err)
{
    const struct {
        const char *title, *endpoint;
    } sockets[] = {
        {"--frontend",  options->frontend },
        {"--backend",   options->backend  },
        {"--publisher", options->publisher},
    };

    for (size_t i = 0; i < ARRAY_SIZE(sockets); i++) {
        const char *const endpoint = sockets[i].endpoint;

        if (endpoint == NULL)
            continue;
        if (endpoint_check(sockets[i].title, endpoint, err) == -1)
            return -1;
        for (size_t j = 0; j < i; j++)
            if (sockets[j].endpoint != NULL &&
                strcmp(sockets[j].endpoint, endpoint) == 0 &&
                !text_ends_with(endpoint, ":*") && !text_ends_with(endpoint, ":0"))
                return error_set(err, "%s and %s are the same", sockets[j].title,
                                 sockets[i].title);
    }
    return check_db(options->db, err);
}

/* --- defaults --------------------------------------------------------------------------------- */

static int complete_endpoint(const char *name, char **endpoint, struct error *err)
{
    return *endpoint != NULL ? 0 : endpoint_default(name, endpoint, err);
}

/* SQLite takes some names for something else, but no path. */
static void make_path(char **file)
{
    char *const path = xasprintf("./%s", *file);

    free(*file);
    *file = path;
}

static int complete_db(struct broker_options *options, struct error *err)
{
    char *directory;

    if (options->db != NULL) {
        if (strchr(options->db, '/') == NULL)
            make_path(&options->db);
        return 0;
    }
    if (state_directory(&directory, err) == -1)
        return -1;
    options->db = xasprintf("%s/broker.db", directory);
    free(directory);
    return 0;
}

int broker_options_complete(struct broker_options *options, struct error *err)
{
    if (complete_endpoint("frontend", &options->frontend, err) == -1 ||
        complete_endpoint("backend", &options->backend, err) == -1 ||
        complete_endpoint("publisher", &options->publisher, err) == -1)
        return -1;
    return complete_db(options, err);
}

/* --- warnings --------------------------------------------------------------------------------- */

static bool is_tcp(const char *endpoint)
{
    return endpoint_ipc_path(endpoint) == NULL;
}

void broker_options_warn(const struct broker_options *options,
                         const struct text_list *given)
{
    for (size_t i = 0; i < ARRAY_SIZE(loads_options); i++)
        if (text_list_holds(given, loads_options[i]))
            log_warning("--%s has no meaning here and does nothing", loads_options[i]);
    if (is_tcp(options->frontend) &&
        (!is_tcp(options->backend) || !is_tcp(options->publisher)))
        log_warning("the frontend can be reached from other machines, but not "
                    "backend=%s and publisher=%s: see --backend and --publisher",
                    options->backend, options->publisher);
    if (is_tcp(options->frontend) || is_tcp(options->backend))
        log_warning("whoever can reach %s can run code on the agents: nothing protects "
                    "tcp endpoints but the network they are in",
                    is_tcp(options->frontend) ? options->frontend : options->backend);
}
