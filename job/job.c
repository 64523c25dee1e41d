#include "job/job.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/text.h"

#define METHOD_LENGTH_MAX 31 /* characters: as http/session.c takes them */

#define TRANSPORT_STANDARD "auto"
const char *const job_transports[] = {TRANSPORT_STANDARD, "direct", "curl", NULL};

#define FIELD(name) offsetof(struct job, name)

#define WHAT "What to run"
#define HOW_MUCH "How much"
#define END "When it ends"
#define URL "A URL as the test"
#define SHOWN "What is shown"

/* By hand: clang-format 14 breaks tables whose rows take several lines. */
/* clang-format off */
static const struct option_row rows[] = {
    /* what */
    {
        .metavar = "TEST",
        .type = OPTION_TEXT,
        .standard = "loadtest.c",
        .section = WHAT,
        .help = "a C file with scenarios, such a file compiled (.so), or an http:// or "
                "https:// URL; of a unix socket: http+unix://%2Frun%2Fapp.sock/path",
        .field = FIELD(test),
    },
    {
        .name = "single-mode",
        .short_name = 's',
        .type = OPTION_TEXT,
        .metavar = "NAME",
        .section = WHAT,
        .help = "run only this scenario, again and again",
        .field = FIELD(single_mode),
    },
    {
        .name = "single-run",
        .type = OPTION_FLAG,
        .section = WHAT,
        .help = "each worker runs each scenario once, in the order of their names",
        .field = FIELD(single_run),
    },
    {
        .name = "server-url",
        .type = OPTION_TEXT,
        .metavar = "URL",
        .section = WHAT,
        .help = "what scenarios put in front of URLs that begin with '/', such as "
                "http://host:8080 or http+unix://%2Frun%2Fapp.sock",
        .field = FIELD(server_url),
    },
    {
        .name = "insecure",
        .short_name = 'k',
        .type = OPTION_FLAG,
        .section = WHAT,
        .help = "accept any certificate of a server",
        .field = FIELD(insecure),
    },
    {
        .name = "transport",
        .type = OPTION_TEXT,
        .metavar = "NAME",
        .standard = TRANSPORT_STANDARD,
        .section = WHAT,
        .help = "what carries requests: direct (HTTP/1.1, the cheapest), curl (libcurl, "
                "HTTP/2 too), or auto: direct, and curl where a server chooses HTTP/2",
        .field = FIELD(transport),
    },

    /* how much */
    {
        .name = "workers",
        .short_name = 'w',
        .type = OPTION_INTEGER,
        .metavar = "N",
        .standard = "1",
        .most = JOB_WORKERS_MAX,
        .section = HOW_MUCH,
        .help = "virtual users in each process",
        .field = FIELD(workers),
    },
    {
        .name = "processes",
        .short_name = 'p',
        .type = OPTION_INTEGER,
        .metavar = "N",
        .standard = "1",
        .most = JOB_PROCESSES_MAX,
        .section = HOW_MUCH,
        .help = "processes to spread over the processors",
        .field = FIELD(processes),
    },
    {
        .name = "duration",
        .short_name = 'd',
        .type = OPTION_SECONDS,
        .metavar = "SECONDS",
        .standard = "86400",
        .most = JOB_DURATION_MAX_S,
        .unit = "s",
        .section = HOW_MUCH,
        .help = "how long the test lasts, ramp-up included; what runs then is finished",
        .field = FIELD(duration_s),
    },
    {
        .name = "max-runs",
        .short_name = 'r',
        .type = OPTION_INTEGER,
        .metavar = "N",
        .standard = "0",
        .most = JOB_RUNS_MAX,
        .section = HOW_MUCH,
        .help = "runs of scenarios by each worker; 0: no limit",
        .field = FIELD(max_runs),
    },
    {
        .name = "ramp-up",
        .type = OPTION_SECONDS,
        .metavar = "SECONDS",
        .standard = "0",
        .most = JOB_DURATION_MAX_S,
        .unit = "s",
        .section = HOW_MUCH,
        .help = "start the workers evenly over this time",
        .field = FIELD(ramp_up_s),
    },
    {
        .name = "delay",
        .type = OPTION_SECONDS,
        .metavar = "SECONDS",
        .standard = "0",
        .most = JOB_DURATION_MAX_S,
        .unit = "s",
        .section = HOW_MUCH,
        .help = "how long a worker rests after each run, besides the scenario's own "
                "delay",
        .field = FIELD(delay_s),
    },
    {
        .name = "memory-limit",
        .type = OPTION_INTEGER,
        .metavar = "MIB",
        .standard = "0",
        .most = JOB_MEMORY_MAX_MIB,
        .unit = "MiB",
        .section = HOW_MUCH,
        .help = "memory that each process may use; 0: three quarters of this "
                "machine's, "
                "shared among the processes",
        .field = FIELD(memory_limit_mib),
    },

    /* when it ends */
    {
        .name = "exception",
        .short_name = 'x',
        .type = OPTION_FLAG,
        .section = END,
        .help = "stop the whole test at the first failure",
        .field = FIELD(exception),
    },
    {
        .name = "fail",
        .short_name = 'f',
        .type = OPTION_INTEGER,
        .metavar = "N",
        .standard = "-1",
        .least = -1,
        .most = JOB_RUNS_MAX,
        .section = END,
        .help = "exit with status 1 when this many runs failed, or more; 0: always, "
                "-1: never",
        .field = FIELD(fail),
    },
    {
        .name = "force-shutdown",
        .type = OPTION_FLAG,
        .section = END,
        .help = "at the end of the duration, cancel what still runs at once",
        .field = FIELD(force_shutdown),
    },
    {
        .name = "stop-timeout",
        .type = OPTION_SECONDS,
        .metavar = "SECONDS",
        .standard = "30",
        .most = JOB_DURATION_MAX_S,
        .unit = "s",
        .section = END,
        .help = "cancel what still runs this long after the end",
        .field = FIELD(stop_timeout_s),
    },
    {
        .name = "stuck-timeout",
        .type = OPTION_SECONDS,
        .metavar = "SECONDS",
        .standard = "30",
        .least = 1,
        .most = JOB_DURATION_MAX_S,
        .unit = "s",
        .section = END,
        .help = "kill a process that has not answered for this long",
        .field = FIELD(stuck_timeout_s),
    },

    /* a URL as the test */
    {
        .name = "request",
        .short_name = 'X',
        .type = OPTION_TEXT,
        .metavar = "METHOD",
        .section = URL,
        .help = "the method of the request; without it, GET, or POST with --data",
        .field = FIELD(request_method),
    },
    {
        .name = "header",
        .short_name = 'H',
        .type = OPTION_LIST,
        .metavar = "'NAME: VALUE'",
        .section = URL,
        .help = "a header of the request; may be given again for more ('User-Agent:' alone "
                "sends none)",
        .field = FIELD(headers),
    },
    {
        .name = "data",
        .type = OPTION_TEXT,
        .metavar = "TEXT",
        .section = URL,
        .help = "the body of the request",
        .field = FIELD(data),
    },

    /* what is shown */
    {
        .name = "quiet",
        .short_name = 'q',
        .type = OPTION_FLAG,
        .section = SHOWN,
        .help = "show nothing, not even the report",
        .local = true,
        .field = FIELD(quiet),
    },
    {
        .name = "verbose",
        .short_name = 'v',
        .type = OPTION_COUNT,
        .section = SHOWN,
        .help = "show what the workers do, and each failure; -vv: requests and answers "
                "too",
        .field = FIELD(verbose),
    },
    {
        .name = "console",
        .short_name = 'c',
        .type = OPTION_FLAG,
        .section = SHOWN,
        .help = "plain lines for people and logs, with what the workers do and each "
                "failure",
        .field = FIELD(console),
    },
    {
        .name = "console-update",
        .type = OPTION_SECONDS,
        .metavar = "SECONDS",
        .standard = "0.2",
        .most = 3600,
        .unit = "s",
        .section = SHOWN,
        .help = "how often the live line is drawn",
        .local = true,
        .field = FIELD(console_update_s),
    },
    {
        .name = "output",
        .type = OPTION_LIST,
        .metavar = "NAME",
        .standard = JOB_OUTPUT_STANDARD,
        .section = SHOWN,
        .help = "where results go, see Outputs; may be given again for more",
        .local = true,
        .field = FIELD(outputs),
    },
    {
        .name = "version",
        .type = OPTION_FLAG,
        .section = SHOWN,
        .help = "show the version and end",
        .local = true,
        .field = FIELD(version),
    },
    {
        .name = "help",
        .short_name = 'h',
        .type = OPTION_FLAG,
        .section = SHOWN,
        .help = "show this and end",
        .local = true,
        .field = FIELD(help),
    },

    /* between runner, agent and slave: not shown */
    {
        .name = "run-id",
        .type = OPTION_TEXT,
        .metavar = "ID",
        .help = "the run's unique name, made by the runner",
        .field = FIELD(run_id),
    },
    {
        .name = "object",
        .type = OPTION_TEXT,
        .metavar = "FILE",
        .help = "the compiled form of the test",
        .field = FIELD(object),
    },
    {
        .name = "agent-index",
        .type = OPTION_INTEGER,
        .metavar = "N",
        .standard = "0",
        .most = JOB_AGENTS_MAX,
        .help = "which of the run's agents this is, from 0",
        .field = FIELD(agent_index),
    },
    {
        .name = "agent-count",
        .type = OPTION_INTEGER,
        .metavar = "N",
        .standard = "0",
        .most = JOB_AGENTS_MAX,
        .help = "how many agents the run has; 0: it is a local run",
        .field = FIELD(agent_count),
    },
};
/* clang-format on */

struct option_table job_options(struct job *job)
{
    return (struct option_table){
        .rows = rows,
        .count = ARRAY_SIZE(rows),
        .values = job,
    };
}

void job_init(struct job *job)
{
    const struct option_table table = job_options(job);

    *job = (struct job){.test = NULL};
    options_set_defaults(&table);
}

void job_clear(struct job *job)
{
    const struct option_table table = job_options(job);

    options_clear(&table);
    text_list_clear(&job->output_options);
}

/* --- checks ----------------------------------------------------------------------- */

enum { SHOWN_SIZE = 200 };

static const char *shown(const char *text, char ret_shown[SHOWN_SIZE])
{
    text_clean(ret_shown, SHOWN_SIZE, text, strlen(text));
    return ret_shown;
}

/* Where the host of a URL begins; NULL where `text` is none of these. */
static const char *host_of(const char *text)
{
    static const char *const schemes[] = {"http://", "https://", "http+unix://",
                                          "https+unix://"};

    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
        if (strncasecmp(text, schemes[i], strlen(schemes[i])) == 0)
            return text + strlen(schemes[i]);
    return NULL;
}

bool job_test_is_url(const char *test)
{
    return host_of(test) != NULL;
}

static int check_url(const char *title, const char *url, struct error *err)
{
    const char *const host = host_of(url);
    char value[SHOWN_SIZE];

    if (host == NULL)
        return error_set(err, "%s takes an http:// or https:// URL, not '%s'", title,
                         shown(url, value));
    if (strcspn(host, "/?#") == 0)
        return error_set(err, "%s: the URL '%s' names no host", title,
                         shown(url, value));
    if (!text_is_clean(url, strlen(url)))
        return error_set(err,
                         "%s: the URL '%s' has a control character, or is not UTF-8",
                         title, shown(url, value));
    for (const char *at = url; *at != '\0'; at++)
        if (*at == ' ')
            return error_set(err, "%s: the URL '%s' has a blank (written %%20)", title,
                             shown(url, value));
    return 0;
}

static int check_together(const struct job *job, struct error *err)
{
    if (job->quiet && job->verbose > 0)
        return error_set(err, "--quiet and --verbose do not go together");
    if (job->single_mode != NULL && job->single_run)
        return error_set(err, "--single-mode and --single-run do not go together");
    return 0;
}

static int check_test(const struct job *job, const struct text_list *given,
                      struct error *err)
{
    static const char *const url_only[] = {"request", "header", "data"};
    char value[SHOWN_SIZE];

    if (job->test == NULL || job->test[0] == '\0')
        return error_set(err, "TEST is empty: name a C file or a URL");
    if (job_test_is_url(job->test))
        return check_url("TEST", job->test, err);
    for (size_t i = 0; i < ARRAY_SIZE(url_only); i++)
        if (given != NULL && text_list_holds(given, url_only[i]))
            return error_set(err, "--%s needs a URL as the test, and '%s' is none",
                             url_only[i], shown(job->test, value));
    return 0;
}

static int check_header(const char *header, struct error *err)
{
    const size_t name_length = strcspn(header, ":");
    char value[SHOWN_SIZE];

    if (!text_is_clean_line(header))
        return error_set(err,
                         "--header has a control character, or is not UTF-8, in '%s'",
                         shown(header, value));
    if (header[name_length] != ':' || !text_is_token(header, name_length))
        return error_set(err, "--header takes 'Name: value', not '%s'",
                         shown(header, value));
    return 0;
}

static int check_request(const struct job *job, struct error *err)
{
    const char *const method =
        job->request_method != NULL ? job->request_method : "GET";
    char value[SHOWN_SIZE];

    if (!text_is_token(method, strlen(method)) || strlen(method) > METHOD_LENGTH_MAX)
        return error_set(err, "--request takes a method such as GET, not '%s'",
                         shown(method, value));
    for (size_t i = 0; i < job->headers.count; i++)
        if (check_header(job->headers.items[i], err) == -1)
            return -1;
    return 0;
}

/* "auto, direct or curl" */
static void list_transports(struct buffer *list)
{
    for (size_t i = 0; job_transports[i] != NULL; i++) {
        if (i > 0)
            buffer_add_text(list, job_transports[i + 1] != NULL ? ", " : " or ");
        buffer_add_text(list, job_transports[i]);
    }
}

static int check_transport(const char *transport, struct error *err)
{
    struct buffer list = BUFFER_INIT;
    char value[SHOWN_SIZE];

    for (size_t i = 0; job_transports[i] != NULL; i++)
        if (strcmp(transport, job_transports[i]) == 0)
            return 0;
    list_transports(&list);
    error_set(err, "--transport takes %s, not '%s'", buffer_text(&list),
              shown(transport, value));
    buffer_clear(&list);
    return -1;
}

bool job_run_id_is_valid(const char *run_id, size_t length)
{
    static const char signs[] = "-_.0123456789"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    if (length == 0 || length > JOB_RUN_ID_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        if (memchr(signs, run_id[i], strlen(signs)) == NULL)
            return false;
    return true;
}

static int check_run_id(const char *run_id, struct error *err)
{
    char value[SHOWN_SIZE];

    if (!job_run_id_is_valid(run_id, strlen(run_id)))
        return error_set(err,
                         "--run-id takes up to %u letters, digits, '-', '_' and '.', "
                         "not '%s'",
                         JOB_RUN_ID_MAX, shown(run_id, value));
    return 0;
}

int job_check(const struct job *job, const struct text_list *given, struct error *err)
{
    if (check_together(job, err) == -1 || check_test(job, given, err) == -1 ||
        check_request(job, err) == -1 || check_transport(job->transport, err) == -1)
        return -1;
    if (job->server_url != NULL &&
        check_url("--server-url", job->server_url, err) == -1)
        return -1;
    return job->run_id != NULL ? check_run_id(job->run_id, err) : 0;
}

/* --- the rest --------------------------------------------------------------------- */

const char *job_output_option(const struct job *job, const char *output,
                              const char *option)
{
    char *const start = xasprintf("output-%s-%s=", output, option);
    const char *value = NULL;

    for (size_t i = 0; i < job->output_options.count; i++)
        if (text_starts_with(job->output_options.items[i], start))
            value = job->output_options.items[i] + strlen(start);
    free(start);
    return value;
}

const char *job_agent_mark(const struct job *job, char ret_mark[JOB_MARK_SIZE])
{
    ret_mark[0] = '\0';
    if (job->agent_count > 0)
        snprintf(ret_mark, JOB_MARK_SIZE, "[A:%ld] ", job->agent_index);
    return ret_mark;
}

void job_pack(const struct job *job, msgpack_packer *packer)
{
    const struct option_table table = job_options((struct job *)job); /* only read */

    options_pack(&table, packer);
}

int job_unpack(struct job *job, const msgpack_object *map, struct error *err)
{
    const struct option_table table = job_options(job);

    if (options_unpack(&table, map, err) == -1)
        return -1;
    return job_check(job, NULL, err);
}
