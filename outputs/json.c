/* outputs/json.c - one JSON document at the end, for programs (docs/json.md).
 *
 * A file is written beside its name and renamed at the end, so whoever finds the name
 * finds a whole document. What cannot be replaced (a device, a pipe, a file in a folder
 * that is not ours to write) is opened and written directly; there, a document that was
 * cut has no closing brace. */
#include "outputs/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/memory.h"
#include "base/text.h"

enum {
    SCHEMA = 1, /* of the document: docs/json.md says what changes it */
    FILE_MODE = 0666,
    DIGITS = 15, /* of a real: 12.3 stays 12.3 */
};

struct json_output {
    struct output base;
    int fd;
    char *name; /* as asked for; for errors */
    char *path; /* what the temporary file becomes; NULL: `fd` is the file itself */
    char *temporary; /* NULL with `path` */
};

/* --- values ----------------------------------------------------------------------- */

/* jansson's integers are signed. */
static json_t *integer(uint64_t value)
{
    return json_integer(value < INT64_MAX ? (json_int_t)value : INT64_MAX);
}

/* jansson refuses what is not UTF-8, and a path may be anything. */
static json_t *text(const char *value)
{
    json_t *result;
    char *clean;
    size_t capacity;

    if (value == NULL)
        return json_null();
    capacity = strlen(value) * 3 + 1; /* a bad byte becomes U+FFFD */
    clean = xmalloc(capacity);
    text_clean(clean, capacity, value, strlen(value));
    result = json_string(clean);
    free(clean);
    return result;
}

static json_t *moment(double wall_s)
{
    const time_t seconds = (time_t)wall_s;
    const unsigned ms = (unsigned)((wall_s - (double)seconds) * 1000);
    struct tm parts;
    char date[32], whole[48];

    if (wall_s <= 0 || gmtime_r(&seconds, &parts) == NULL)
        return json_null();
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(whole, sizeof(whole), "%s.%03uZ", date, ms < 1000 ? ms : 999);
    return json_string(whole);
}

/* --- parts of the document -------------------------------------------------------- */

static json_t *describe_histogram(const struct histogram *histogram)
{
    static const struct {
        const char *name;
        double fraction;
    } percentiles[] = {
        {"p50",  0.5  },
        {"p90",  0.9  },
        {"p95",  0.95 },
        {"p99",  0.99 },
        {"p999", 0.999},
    };
    json_t *const object = json_object();

    json_object_set_new(object, "count", integer(histogram->count));
    json_object_set_new(object, "min", integer(histogram->min_us));
    json_object_set_new(object, "mean", json_real(histogram_mean(histogram)));
    for (size_t i = 0; i < ARRAY_SIZE(percentiles); i++)
        json_object_set_new(
            object, percentiles[i].name,
            integer(histogram_percentile(histogram, percentiles[i].fraction)));
    json_object_set_new(object, "max", integer(histogram->max_us));
    return object;
}

static json_t *describe_agents(const struct run_facts *facts)
{
    json_t *const array = json_array();

    for (size_t i = 0; i < facts->agent_count; i++) {
        const struct fact_agent *const agent = &facts->agents[i];
        json_t *const object = json_object();

        json_object_set_new(object, "index", integer(i));
        json_object_set_new(object, "name", text(agent->name));
        json_object_set_new(object, "host", text(agent->host));
        json_object_set_new(object, "state", text(agent_state_words[agent->state]));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *describe_lost_agent(const struct fact_agent *agent, size_t index)
{
    json_t *const object = json_object();

    json_object_set_new(object, "index", integer(index));
    json_object_set_new(object, "name", text(agent->name));
    json_object_set_new(object, "host", text(agent->host));
    json_object_set_new(object, "when",
                        json_real((double)agent->lost_at_us / US_PER_S));
    json_object_set_new(object, "counted", json_boolean(report_counts_agent(agent)));
    json_object_set_new(object, "hits", integer(agent->counted.hits));
    json_object_set_new(object, "ok", integer(agent->counted.ok));
    json_object_set_new(object, "failed", integer(agent->counted.failed));
    json_object_set_new(object, "cancelled", integer(agent->counted.cancelled));
    return object;
}

static json_t *describe_lost_agents(const struct run_facts *facts)
{
    json_t *const array = json_array();

    for (size_t i = 0; i < facts->agent_count; i++)
        if (facts->agents[i].state == AGENT_LOST)
            json_array_append_new(array, describe_lost_agent(&facts->agents[i], i));
    return array;
}

static json_t *describe_lost_processes(const struct run_facts *facts)
{
    json_t *const array = json_array();

    for (size_t i = 0; i < facts->lost_count; i++) {
        const struct fact_process *const lost = &facts->lost[i];
        const bool has_agent = lost->agent < facts->agent_count;
        json_t *const object = json_object();

        json_object_set_new(object, "agent",
                            text(has_agent ? facts->agents[lost->agent].name : NULL));
        json_object_set_new(object, "index", integer(lost->index));
        json_object_set_new(object, "signal",
                            text(lost->signal != 0 ? signal_name(lost->signal) : NULL));
        json_object_set_new(object, "status",
                            lost->signal != 0 ? json_null()
                                              : json_integer(lost->status));
        json_object_set_new(object, "stuck", json_boolean(lost->stuck));
        json_object_set_new(object, "scenario", text(lost->scenario));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *describe_totals(const struct stats *stats)
{
    json_t *const object = json_object();
    struct stats_totals totals;

    stats_total(stats, &totals);
    json_object_set_new(object, "ok", integer(totals.ok));
    json_object_set_new(object, "failed", integer(totals.failed));
    json_object_set_new(object, "cancelled", integer(totals.cancelled));
    json_object_set_new(object, "hits", integer(totals.hits));
    json_object_set_new(object, "hit_errors", integer(totals.hit_errors));
    json_object_set_new(object, "unsent", integer(totals.unsent));
    json_object_set_new(object, "bytes_in", integer(totals.bytes_in));
    json_object_set_new(object, "bytes_out", integer(totals.bytes_out));
    return object;
}

static json_t *describe_transports(const struct stats *stats)
{
    json_t *const object = json_object();

    json_object_set_new(object, "curl", integer(stats->curl_requests));
    json_object_set_new(object, "direct", integer(stats->direct_requests));
    return object;
}

static json_t *describe_scenario(const struct table_row *row)
{
    const struct scenario_stats *const scenario = (const struct scenario_stats *)row;
    json_t *const object = json_object();

    json_object_set_new(object, "name", text(row->name));
    json_object_set_new(object, "ok", integer(scenario->ok));
    json_object_set_new(object, "failed", integer(scenario->failed));
    json_object_set_new(object, "cancelled", integer(scenario->cancelled));
    json_object_set_new(object, "latency_us", describe_histogram(&scenario->latency));
    return object;
}

static json_t *describe_statuses(const struct request_stats *request)
{
    json_t *const object = json_object();

    for (size_t i = 0; i < request->status_count; i++) {
        char status[16];

        snprintf(status, sizeof(status), "%u", request->statuses[i].status);
        json_object_set_new(object, status, integer(request->statuses[i].count));
    }
    return object;
}

static json_t *describe_phases(const struct request_stats *request)
{
    static const struct histogram none;
    json_t *const object = json_object();

    for (size_t i = 0; i < PHASE_COUNT; i++)
        json_object_set_new(object, stats_phase_names[i],
                            describe_histogram(request->phases[i] != NULL
                                                   ? request->phases[i]
                                                   : &none));
    json_object_set_new(object, "total", describe_histogram(&request->latency));
    return object;
}

static json_t *describe_request(const struct table_row *row)
{
    const struct request_stats *const request = (const struct request_stats *)row;
    json_t *const object = json_object();
    const char *name = NULL;
    char method[32];

    stats_split_request_name(request, method, &name);
    json_object_set_new(object, "method", text(method));
    json_object_set_new(object, "name", text(name));
    json_object_set_new(object, "hits", integer(request->hits));
    json_object_set_new(object, "errors", integer(request->hit_errors));
    json_object_set_new(object, "unsent", integer(request->unsent));
    json_object_set_new(object, "bytes_in", integer(request->bytes_in));
    json_object_set_new(object, "bytes_out", integer(request->bytes_out));
    json_object_set_new(object, "status", describe_statuses(request));
    json_object_set_new(object, "latency_us", describe_histogram(&request->latency));
    json_object_set_new(object, "phases_us", describe_phases(request));
    return object;
}

static json_t *describe_error(const struct table_row *row)
{
    const struct error_stats *const error = (const struct error_stats *)row;
    json_t *const object = json_object();

    json_object_set_new(object, "message", text(row->name));
    json_object_set_new(object, "count", integer(error->count));
    json_object_set_new(object, "sample", text(error->sample));
    json_object_set_new(object, "sample_s", json_real((double)error->sample_us / 1e6));
    return object;
}

static json_t *describe_rows(const struct table *table,
                             json_t *(*describe)(const struct table_row *row))
{
    struct table_row **const rows = stats_sorted_rows(table);
    json_t *const array = json_array();

    for (size_t i = 0; i < table->count; i++)
        json_array_append_new(array, describe(rows[i]));
    free(rows);
    return array;
}

static json_t *describe_counters(const struct stats *stats)
{
    json_t *const object = json_object();

    for (size_t i = 0; i < stats->counters.count; i++) {
        const struct counter_stats *const counter =
            (const struct counter_stats *)stats->counters.rows[i];

        json_object_set_new(object, counter->row.name, json_integer(counter->value));
    }
    return object;
}

static json_t *describe_intervals(const struct series *series)
{
    json_t *const array = json_array();

    for (size_t i = 0; i < series->count; i++) {
        const struct series_row *const row = &series->rows[i];
        json_t *const object = json_object();

        json_object_set_new(object, "t_s", integer(row->start_s));
        json_object_set_new(object, "width_s", integer(row->width_s));
        json_object_set_new(object, "hits", integer(row->hits));
        json_object_set_new(object, "failed", integer(row->failed));
        json_object_set_new(object, "workers", integer(row->workers));
        json_object_set_new(object, "p95_us", integer(row->p95_us));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *describe_scenarios(const struct stats *stats)
{
    return describe_rows(&stats->scenarios, describe_scenario);
}

static json_t *describe_requests(const struct stats *stats)
{
    return describe_rows(&stats->requests, describe_request);
}

static json_t *describe_errors(const struct stats *stats)
{
    return describe_rows(&stats->errors, describe_error);
}

/* In this order the document is read from top to bottom. */
static json_t *describe_report(const struct report *report)
{
    const struct run_facts *const facts = &report->facts;
    const struct stats *const stats = &report->stats;
    const struct {
        const char *name;
        json_t *value;
    } members[] = {
        {"schema",               json_integer(SCHEMA)                },
        {"version",              json_string(MOLOTOV_VERSION)        },
        {"run_id",               text(facts->run_id)                 },
        {"test",                 text(facts->test)                   },
        {"state",                text(run_state_words[facts->state]) },
        {"interrupted_by",       text(facts->interrupted_by)         },
        {"failure",              text(facts->failure)                },
        {"started",              moment(facts->started_wall_s)       },
        {"duration_s",           json_real(report_elapsed_s(report)) },
        {"agents",               integer(facts->agent_count)         },
        {"agent_list",           describe_agents(facts)              },
        {"agents_lost",          describe_lost_agents(facts)         },
        {"processes",            integer(facts->processes)           },
        {"processes_lost",       describe_lost_processes(facts)      },
        {"workers",              integer(facts->workers)             },
        {"workers_max",          integer(report->series.workers_max) },
        {"setup_failed",         integer(stats->setup_failed)        },
        {"session_setup_failed", integer(stats->session_setup_failed)},
        {"connections",          integer(stats->connections)         },
        {"replaced_connections", integer(stats->replaced_connections)},
        {"transports",           describe_transports(stats)          },
        {"lines_dropped",        integer(stats->lines_dropped)       },
        {"totals",               describe_totals(stats)              },
        {"scenarios",            describe_scenarios(stats)           },
        {"requests",             describe_requests(stats)            },
        {"errors",               describe_errors(stats)              },
        {"counters",             describe_counters(stats)            },
        {"intervals",            describe_intervals(&report->series) },
    };
    json_t *const object = json_object();

    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        json_object_set_new(object, members[i].name, members[i].value);
    return object;
}

/* --- the file --------------------------------------------------------------------- */

static mode_t current_umask(void)
{
    const mode_t mask = umask(0);

    umask(mask);
    return mask;
}

/* Makes the file that rename() will put in place of `path`. */
static int open_beside(struct json_output *output, const char *path, struct error *err)
{
    char *const temporary = xasprintf("%s.XXXXXX", path);
    const int fd = mkostemp(temporary, O_CLOEXEC);

    if (fd == -1) {
        error_errno(err, "cannot write '%s'", path);
        free(temporary);
        return -1;
    }
    if (fchmod(fd, FILE_MODE & ~current_umask()) == -1) {
        /* Its owner alone can read it then: no reason to give the run up. */
    }
    output->fd = fd;
    output->temporary = temporary;
    output->path = xstrdup(path);
    return 0;
}

/* O_NONBLOCK: a named pipe without a reader is an error now, not a wait for ever. */
static int open_directly(struct json_output *output, const char *path,
                         struct error *err)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd == -1)
        return error_errno(err, "cannot write '%s'", path);
    output->fd = fd;
    return 0;
}

/* What exists must be writable itself, as it would have to be for any other program. */
static int open_existing(struct json_output *output, const char *path, mode_t mode,
                         struct error *err)
{
    char *real;
    int rc;

    if (open_directly(output, path, err) == -1)
        return -1;
    real = S_ISREG(mode) ? realpath(path, NULL) : NULL; /* a link stays a link */
    if (real == NULL)
        return 0;
    fd_close(&output->fd);
    rc = open_beside(output, real, NULL);
    if (rc == -1)
        rc = open_directly(output, path, err);
    free(real);
    return rc;
}

static int open_standard(struct json_output *output, const struct job *job,
                         struct error *err)
{
    for (size_t i = 0; i < job->outputs.count; i++)
        if (!job->quiet && strcmp(job->outputs.items[i], output_stdout.name) == 0)
            return error_set(err, "two outputs would write to standard output: give "
                                  "--output-json-filename FILE");
    output->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (output->fd == -1)
        return error_errno(err, "cannot write to standard output");
    return 0;
}

static int open_target(struct json_output *output, const struct job *job,
                       struct error *err)
{
    struct stat status;

    if (strcmp(output->name, "-") == 0)
        return open_standard(output, job, err);
    if (stat(output->name, &status) == 0)
        return open_existing(output, output->name, status.st_mode, err);
    return open_beside(output, output->name, err);
}

static void destroy_json(struct json_output *output)
{
    fd_close(&output->fd);
    if (output->temporary != NULL)
        unlink(output->temporary); /* unless it was renamed, it is nobody's */
    free(output->temporary);
    free(output->path);
    free(output->name);
    free(output);
}

static int open_json(const struct job *job, struct output **ret_output,
                     struct error *err)
{
    struct json_output *const output = xcalloc(1, sizeof(*output));

    output->base.type = &output_json;
    output->fd = -1;
    output->name = xstrdup(output_setting(&output_json, job, "filename"));
    if (open_target(output, job, err) == -1) {
        destroy_json(output);
        return -1;
    }
    *ret_output = &output->base;
    return 0;
}

/* Some file systems say only at fsync() or close() that there was no room. */
static int finish_file(struct json_output *output)
{
    const int fd = output->fd;

    if (output->temporary != NULL && fsync(fd) == -1)
        return -1;
    output->fd = -1;
    if (close(fd) == -1)
        return -1;
    if (output->temporary == NULL)
        return 0;
    if (rename(output->temporary, output->path) == -1)
        return -1;
    free(output->temporary);
    output->temporary = NULL;
    return 0;
}

static int write_document(struct json_output *output, const char *document)
{
    struct stat status;

    if (output->temporary == NULL && fstat(output->fd, &status) == 0 &&
        S_ISREG(status.st_mode) && strcmp(output->name, "-") != 0 &&
        ftruncate(output->fd, 0) == -1)
        return -1;
    if (fd_write_all(output->fd, document, strlen(document)) == -1 ||
        fd_write_all(output->fd, "\n", 1) == -1)
        return -1;
    return finish_file(output);
}

static int close_json(struct output *base, const struct report *report,
                      struct error *err)
{
    struct json_output *const output = (struct json_output *)base;
    json_t *object = NULL;
    char *document = NULL;
    int rc = -1;

    if (report == NULL) {
        rc = 0;
        goto out;
    }
    object = describe_report(report);
    document = json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(DIGITS));
    if (document == NULL) {
        error_set(err, "there is no memory for the JSON document");
        goto out;
    }
    if (write_document(output, document) == -1) {
        error_errno(err, "cannot write the results to %s",
                    strcmp(output->name, "-") == 0 ? "standard output" : output->name);
        goto out;
    }
    rc = 0;
out:
    free(document);
    json_decref(object);
    destroy_json(output);
    return rc;
}

static const struct output_option options[] = {
    {
     .name = "filename",
     .metavar = "FILE",
     .standard = "-",
     .help = "where the JSON document goes; -: to standard output",
     },
    {.name = NULL   },
};

const struct output_type output_json = {
    .name = "json",
    .help = "for programs: one JSON document at the end",
    .options = options,
    .open = open_json,
    .close = close_json,
};
