/* job/job.h - everything that says what to run.
 *
 * Filled from a command line by the runner, from the wire by a slave; the rows that
 * describe the fields are in job.c and nowhere else. */
#ifndef JOB_JOB_H
#define JOB_JOB_H

#include <stdbool.h>
#include <stddef.h>

#include "job/options.h"

#define JOB_WORKERS_MAX 1000000
#define JOB_PROCESSES_MAX 1024
#define JOB_DURATION_MAX_S 31536000.0 /* a year */
#define JOB_RUNS_MAX 1e12
#define JOB_MEMORY_MAX_MIB 16777216 /* 16 TiB */
#define JOB_RUN_ID_MAX 64u          /* letters, digits, '-', '_', '.' */
#define JOB_AGENTS_MAX 10000
#define JOB_OUTPUT_STANDARD "stdout"

struct job {
    /* what */
    char *test;        /* as the user named it: FILE.c, FILE.so or a URL */
    char *single_mode; /* NULL, or the only scenario to run */
    bool single_run;   /* each worker runs each scenario once, by name */
    char *server_url;  /* NULL, or the base of relative URLs */
    bool insecure;     /* certificates are not verified */
    char *transport;   /* one of job_transports[] */

    /* how much */
    long workers;      /* in each process */
    long processes;    /* as asked for; what is meant: job_process_count() */
    double duration_s; /* from the start of the run, ramp-up included */
    long max_runs;     /* of each worker; 0: no limit */
    double ramp_up_s;
    double delay_s; /* after every run */

    /* when it ends */
    bool exception; /* the first failure stops the whole test */
    long fail;      /* exit status 1 from this many failures on; -1: never */
    bool force_shutdown;
    double stop_timeout_s;
    double stuck_timeout_s;
    /* Of each process; 0: three quarters of the machine's, shared among them. */
    long memory_limit_mib;

    /* a URL as the test */
    char *request_method; /* NULL: GET, or POST where there is data */
    struct text_list headers;
    char *data; /* NULL: no body */

    /* what is shown */
    bool quiet;
    long verbose;
    bool console;
    double console_update_s;
    struct text_list outputs;
    /* "output-json-filename=x" of each --output-NAME-OPTION given; not a row. */
    struct text_list output_options;
    bool version, help;

    /* between runner, agent and slave */
    char *run_id;     /* made by the runner */
    char *object;     /* the compiled test, where the host made one; or NULL */
    long agent_index; /* which of the run's agents this is, from 0 */
    long agent_count; /* how many the run has; 0: a local run */
};

/* The names of http/transport.h's transport_types[], the default first; ends with NULL.
 * It is the second list of them, since that table is on a floor above. */
extern const char *const job_transports[];

/* All fields at their defaults; job_clear() frees what they own. */
void job_init(struct job *job);
void job_clear(struct job *job);

/* The table of the job's options, over this job. */
struct option_table job_options(struct job *job);

/* What the options say together, where each alone is right: 0, or -1 and `err` names
 * the two that do not go together, or what is missing. `given` is from options_parse(),
 * or NULL. */
int job_check(const struct job *job, const struct text_list *given, struct error *err);

/* The value of --output-NAME-OPTION, NULL where it was not given (its default is known
 * to its output alone: output_setting()). */
const char *job_output_option(const struct job *job, const char *output,
                              const char *option);

/* The wire form: one map. job_unpack() takes an initialised job and checks all that
 * job_check() does; -1 leaves it so that job_clear() is right. */
void job_pack(const struct job *job, msgpack_packer *packer);
int job_unpack(struct job *job, const msgpack_object *map, struct error *err);

#define JOB_MARK_SIZE 16u

/* What begins each line of the run that people see: "[A:3] " on the agent with index 3 of
 * a cluster, "" in a local run. Returns `ret_mark`. */
const char *job_agent_mark(const struct job *job, char ret_mark[JOB_MARK_SIZE]);

/* How many processes to fork: --processes 0 means one, as in Molotov. */
static inline unsigned job_process_count(const struct job *job)
{
    return job->processes > 0 ? (unsigned)job->processes : 1;
}

/* Whether these bytes can be the name of a run: letters, digits and "-_.", JOB_RUN_ID_MAX
 * at most. */
bool job_run_id_is_valid(const char *run_id, size_t length);

/* Whether `test` is a URL (http:// or https://, or http+unix:// or https+unix:// with the
 * path of a socket for a host; in any case). */
bool job_test_is_url(const char *test);

#endif
