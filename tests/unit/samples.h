/* tests/unit/samples.h - one of each message, and how it is read: for tests of all.
 *
 * A message that has two forms has two rows. To add a message: a row in samples[];
 * test_cluster.c fails until it is there. */
#ifndef TESTS_UNIT_SAMPLES_H
#define TESTS_UNIT_SAMPLES_H

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "proto/cluster.h"

#define SAMPLE_RUN "20250102-030405-a.b_C"

struct sample {
    enum proto_message message;
    const char *form; /* where there are several */
    /* Writes one with all of its fields. */
    void (*pack)(struct buffer *buffer);
    /* Reads such a message as its reader does, and writes what it read. */
    int (*repack)(const msgpack_object *map, struct buffer *buffer, struct error *err);
    /* The fields that may be missing, each between blanks; NULL: none. */
    const char *optional;
};

static inline void sample_digest(char ret_digest[DIGEST_SIZE], const char *content)
{
    digest_of(content, strlen(content), ret_digest);
}

/* --- what several carry --------------------------------------------------------------- */

static inline void fill_sample_delta(struct delta *delta)
{
    struct request_stats *request;

    delta->sequence = 7;
    delta->from_us = 100;
    delta->until_us = 200100;
    delta->stats.workers_started = 3;
    request = stats_request(&delta->stats, "GET", "/", 1);
    request->hits = 2;
    stats_add_status(request, 200, 2);
    histogram_record(&request->latency, 150);
    histogram_record(&request->latency, 70000);
    stats_scenario(&delta->stats, "browse")->failed = 1;
    stats_add_error(&delta->stats, "status is 500", 1500, "test.c:7");
    delta_add_line(delta, LINE_FAILURE, "test.c:7: status is 500");
}

static inline void fill_sample_facts(struct run_facts *facts)
{
    static char scenario[] = "browse";
    const struct fact_process lost = {
        .agent = 1, .index = 2, .signal = 11, .scenario = scenario};

    facts->run_id = xstrdup(SAMPLE_RUN);
    facts->test = xstrdup("loadtest.c");
    facts_set_interrupted_by(facts, "SIGINT");
    facts_set_failure(facts, "a process died");
    facts->created_wall_s = 1735787045.5;
    facts->started_wall_s = 1735787046.25;
    facts->processes = 4;
    facts->workers = 400;
    facts->duration_s = 60;
    facts->max_runs = 1000;
    facts_add_agent(facts, "lemon", "10.0.0.7", 4711);
    facts_add_agent(facts, "lime", "10.0.0.8", 4712);
    facts->agents[0].state = AGENT_LOST;
    facts->agents[0].lost_at_us = 31000000;
    facts->agents[0].counted = (struct stats_totals){.ok = 1,
                                                     .failed = 2,
                                                     .cancelled = 3,
                                                     .hits = 4,
                                                     .hit_errors = 5,
                                                     .unsent = 6,
                                                     .bytes_in = 7,
                                                     .bytes_out = 8};
    facts->agents[1].state = AGENT_RUNNING;
    facts_add_lost(facts, &lost);
}

static inline void fill_sample_series(struct series *series)
{
    struct delta delta;

    delta_init(&delta);
    fill_sample_delta(&delta);
    series_add(series, &delta);
    delta.from_us += 2 * US_PER_S;
    delta.until_us += 2 * US_PER_S;
    series_add(series, &delta);
    delta_clear(&delta);
}

static inline void fill_sample_job(struct job *job)
{
    free(job->test);
    job->test = xstrdup("tests/load.c");
    job->run_id = xstrdup(SAMPLE_RUN);
    job->workers = 100;
    text_list_add(&job->headers, "Accept: */*");
}

static inline void fill_sample_bundle(struct bundle *bundle)
{
    char digest[DIGEST_SIZE];

    bundle->directory = xstrdup("project");
    bundle->test = xstrdup("project/tests/load.c");
    sample_digest(digest, "int x;");
    bundle_add(bundle, "project/tests/load.c", digest, 6);
    sample_digest(digest, "");
    bundle_add(bundle, "project/tests/caf\xC3\xA9..h", digest, 0);
    sample_digest(bundle->object, "object");
    bundle->object_size = 60000;
}

/* --- a slave and its parent ----------------------------------------------------------- */

static inline void pack_job_message(struct buffer *buffer, const struct job *job)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_JOB, 2);
    wire_put_u64(&packer, "version", PROTO_VERSION);
    wire_put_string(&packer, "job");
    job_pack(job, &packer);
}

static inline void pack_sample_job(struct buffer *buffer)
{
    struct job job;

    job_init(&job);
    fill_sample_job(&job);
    pack_job_message(buffer, &job);
    job_clear(&job);
}

static inline int repack_job(const msgpack_object *map, struct buffer *buffer,
                             struct error *err)
{
    const msgpack_object *body;
    struct job job;
    int rc = -1;

    job_init(&job);
    if (message_check_version(map, err) == -1 ||
        wire_get_map(map, "job", &body, err) == -1 || job_unpack(&job, body, err) == -1)
        goto out;
    pack_job_message(buffer, &job);
    rc = 0;
out:
    job_clear(&job);
    return rc;
}

static inline void pack_delta_message(struct buffer *buffer, const struct delta *delta)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_DELTA, 1);
    wire_put_string(&packer, "delta");
    delta_pack(delta, &packer);
}

static inline void pack_sample_delta(struct buffer *buffer)
{
    struct delta delta;

    delta_init(&delta);
    fill_sample_delta(&delta);
    pack_delta_message(buffer, &delta);
    delta_clear(&delta);
}

static inline int repack_delta(const msgpack_object *map, struct buffer *buffer,
                               struct error *err)
{
    const msgpack_object *body;
    struct delta delta;

    if (wire_get_map(map, "delta", &body, err) == -1 ||
        delta_unpack(body, &delta, err) == -1)
        return -1;
    pack_delta_message(buffer, &delta);
    delta_clear(&delta);
    return 0;
}

static inline void pack_sample_why(struct buffer *buffer)
{
    message_pack_text(buffer, MESSAGE_REFUSED, "why", "it has no scenario");
}

static inline int repack_why(const msgpack_object *map, struct buffer *buffer,
                             struct error *err)
{
    char *why;

    if (message_unpack_why(map, &why, err) == -1)
        return -1;
    message_pack_text(buffer, MESSAGE_REFUSED, "why", why);
    free(why);
    return 0;
}

static inline void pack_sample_stop(struct buffer *buffer)
{
    message_pack_stop(buffer, true);
}

static inline int repack_stop(const msgpack_object *map, struct buffer *buffer,
                              struct error *err)
{
    bool force;

    if (wire_get_bool(map, "force", &force, err) == -1)
        return -1;
    message_pack_stop(buffer, force);
    return 0;
}

static inline void pack_sample_stopping(struct buffer *buffer)
{
    message_pack_stopping(buffer, "setup failed: no server", true);
}

static inline int repack_stopping(const msgpack_object *map, struct buffer *buffer,
                                  struct error *err)
{
    struct message_stopping stopping;

    if (message_unpack_stopping(map, &stopping, err) == -1)
        return -1;
    message_pack_stopping(buffer, stopping.why, stopping.failed);
    free(stopping.why);
    return 0;
}

static inline void pack_sample_lost(struct buffer *buffer)
{
    static char scenario[] = "browse";

    message_pack_lost(buffer, &(struct message_lost){.index = 3,
                                                     .signal = 11,
                                                     .status = 2,
                                                     .stuck = true,
                                                     .scenario = scenario});
}

static inline int repack_lost(const msgpack_object *map, struct buffer *buffer,
                              struct error *err)
{
    struct message_lost lost;

    if (message_unpack_lost(map, &lost, err) == -1)
        return -1;
    message_pack_lost(buffer, &lost);
    free(lost.scenario);
    return 0;
}

/* Messages that are only a name, only a name and a run, or only a version. */
#define PLAIN_SAMPLE(NAME) \
    static inline void pack_plain_##NAME(struct buffer *buffer) \
    { \
        message_pack_run_only(buffer, MESSAGE_##NAME, NULL); \
    } \
    static inline int repack_plain_##NAME(const msgpack_object *map, \
                                          struct buffer *buffer, struct error *err) \
    { \
        (void)map, (void)err; \
        message_pack_plain(buffer, MESSAGE_##NAME); \
        return 0; \
    }
#define RUN_SAMPLE(NAME) \
    static inline void pack_run_##NAME(struct buffer *buffer) \
    { \
        message_pack_run_only(buffer, MESSAGE_##NAME, SAMPLE_RUN); \
    } \
    static inline int repack_run_##NAME(const msgpack_object *map, \
                                        struct buffer *buffer, struct error *err) \
    { \
        message_run_id run; \
\
        if (message_unpack_run_id(map, run, err) == -1) \
            return -1; \
        message_pack_run_only(buffer, MESSAGE_##NAME, run); \
        return 0; \
    }
#define REQUEST_SAMPLE(NAME) \
    static inline void pack_request_##NAME(struct buffer *buffer) \
    { \
        message_pack_request(buffer, MESSAGE_##NAME); \
    } \
    static inline int repack_request_##NAME(const msgpack_object *map, \
                                            struct buffer *buffer, struct error *err) \
    { \
        if (message_check_version(map, err) == -1) \
            return -1; \
        message_pack_request(buffer, MESSAGE_##NAME); \
        return 0; \
    }

PLAIN_SAMPLE(READY)
PLAIN_SAMPLE(START)
PLAIN_SAMPLE(TEARDOWN)
PLAIN_SAMPLE(END)
PLAIN_SAMPLE(UNKNOWN)
PLAIN_SAMPLE(BYE)
RUN_SAMPLE(READY)
RUN_SAMPLE(START)
RUN_SAMPLE(RELEASE)
REQUEST_SAMPLE(PING)
REQUEST_SAMPLE(LIST)

/* --- runner and broker ---------------------------------------------------------------- */

static inline void pack_sample_refused(struct buffer *buffer)
{
    message_pack_refused(buffer, SAMPLE_RUN, "5 agents were asked for, 3 are free");
}

static inline int repack_refused(const msgpack_object *map, struct buffer *buffer,
                                 struct error *err)
{
    message_run_id run;
    char *why;

    if (message_unpack_run_id(map, run, err) == -1 ||
        message_unpack_why(map, &why, err) == -1)
        return -1;
    message_pack_refused(buffer, run, why);
    free(why);
    return 0;
}

static inline void pack_sample_pong(struct buffer *buffer)
{
    static char program[] = "0.1.0", frontend[] = "tcp://10.0.0.1:7780",
                backend[] = "tcp://0.0.0.0:7781", publisher[] = "ipc:///run/p",
                name[] = "lemon", host[] = "10.0.0.7";
    struct pong_agent agents[] = {
        {.name = name, .host = host, .pid = 4711, .run = SAMPLE_RUN},
        {.name = host, .host = name, .pid = 1,    .silent = true   },
    };
    struct pong_run runs[] = {
        {.run = SAMPLE_RUN, .agents = 1}
    };

    message_pack_pong(buffer, &(struct message_pong){.pid = 99,
                                                     .program = program,
                                                     .frontend = frontend,
                                                     .backend = backend,
                                                     .publisher = publisher,
                                                     .temporary = true,
                                                     .agents = agents,
                                                     .agent_count = ARRAY_SIZE(agents),
                                                     .runs = runs,
                                                     .run_count = ARRAY_SIZE(runs)});
}

static inline int repack_pong(const msgpack_object *map, struct buffer *buffer,
                              struct error *err)
{
    struct message_pong pong;

    if (message_unpack_pong(map, &pong, err) == -1)
        return -1;
    message_pack_pong(buffer, &pong);
    message_pong_clear(&pong);
    return 0;
}

static inline void pack_sample_run(struct buffer *buffer)
{
    struct message_run run = {.agents = 5, .keep_cluster = true};

    job_init(&run.job);
    fill_sample_job(&run.job);
    fill_sample_bundle(&run.bundle);
    message_pack_run(buffer, &run);
    message_run_clear(&run);
}

static inline int repack_run(const msgpack_object *map, struct buffer *buffer,
                             struct error *err)
{
    struct message_run run;

    if (message_check_version(map, err) == -1 ||
        message_unpack_run(map, &run, err) == -1)
        return -1;
    message_pack_run(buffer, &run);
    message_run_clear(&run);
    return 0;
}

static inline void pack_sample_lacks(struct buffer *buffer)
{
    char digests[2][DIGEST_SIZE];

    sample_digest(digests[0], "one");
    sample_digest(digests[1], "other");
    message_pack_lacks(buffer, &(struct message_lacks){
                                   .run = SAMPLE_RUN, .digests = digests, .count = 2});
}

static inline int repack_lacks(const msgpack_object *map, struct buffer *buffer,
                               struct error *err)
{
    struct message_lacks lacks;

    if (message_unpack_lacks(map, &lacks, err) == -1)
        return -1;
    message_pack_lacks(buffer, &lacks);
    message_lacks_clear(&lacks);
    return 0;
}

static inline void pack_sample_accepted(struct buffer *buffer)
{
    message_pack_accepted(buffer, &(struct message_accepted){.run = SAMPLE_RUN,
                                                             .was_over = true,
                                                             .state = RUN_STOPPED});
}

static inline int repack_accepted(const msgpack_object *map, struct buffer *buffer,
                                  struct error *err)
{
    struct message_accepted accepted;

    if (message_unpack_accepted(map, &accepted, err) == -1)
        return -1;
    message_pack_accepted(buffer, &accepted);
    return 0;
}

static inline void pack_sample_file(struct buffer *buffer)
{
    struct message_file file = {.content = "one\0\xFF", .size = 5};

    digest_of(file.content, file.size, file.digest);
    message_pack_file(buffer, &file);
}

static inline int repack_file(const msgpack_object *map, struct buffer *buffer,
                              struct error *err)
{
    struct message_file file;

    if (message_unpack_file(map, &file, err) == -1)
        return -1;
    message_pack_file(buffer, &file);
    return 0;
}

static inline void pack_sample_run_stop(struct buffer *buffer)
{
    static char why[] = "SIGINT";

    message_pack_run_stop(
        buffer, &(struct message_stop){.run = SAMPLE_RUN, .force = true, .why = why});
}

static inline int repack_run_stop(const msgpack_object *map, struct buffer *buffer,
                                  struct error *err)
{
    struct message_stop stop;

    if (message_check_version(map, err) == -1 ||
        message_unpack_run_stop(map, &stop, err) == -1)
        return -1;
    message_pack_run_stop(buffer, &stop);
    message_stop_clear(&stop);
    return 0;
}

static inline void pack_sample_snapshot(struct buffer *buffer)
{
    message_pack_snapshot(
        buffer, &(struct message_snapshot){.run = SAMPLE_RUN, .after = UINT64_MAX});
}

static inline int repack_snapshot(const msgpack_object *map, struct buffer *buffer,
                                  struct error *err)
{
    struct message_snapshot ask;

    if (message_check_version(map, err) == -1 ||
        message_unpack_snapshot(map, &ask, err) == -1)
        return -1;
    message_pack_snapshot(buffer, &ask);
    return 0;
}

static inline void fill_sample_update(struct message_update *update, bool is_end)
{
    strcpy(update->run, SAMPLE_RUN);
    update->revision = 12;
    update->after = is_end ? 0 : 11;
    update->elapsed_us = 60000000;
    update->has_facts = true;
    update->trouble = xstrdup("the disk is full");
    fill_sample_facts(&update->facts);
    fill_sample_delta(&update->delta);
    if (is_end)
        fill_sample_series(&update->series);
}

static inline void pack_sample_update_of(struct buffer *buffer,
                                         enum proto_message message)
{
    struct message_update update;

    message_update_init(&update);
    fill_sample_update(&update, message == MESSAGE_END_OF_RUN);
    message_pack_update(buffer, message, &update);
    message_update_clear(&update);
}

static inline void pack_sample_update(struct buffer *buffer)
{
    pack_sample_update_of(buffer, MESSAGE_UPDATE);
}

static inline void pack_sample_end_of_run(struct buffer *buffer)
{
    pack_sample_update_of(buffer, MESSAGE_END_OF_RUN);
}

static inline int repack_update_of(const msgpack_object *map, struct buffer *buffer,
                                   enum proto_message message, struct error *err)
{
    struct message_update update;

    if (message_unpack_update(map, message, &update, err) == -1)
        return -1;
    message_pack_update(buffer, message, &update);
    message_update_clear(&update);
    return 0;
}

static inline int repack_update(const msgpack_object *map, struct buffer *buffer,
                                struct error *err)
{
    return repack_update_of(map, buffer, MESSAGE_UPDATE, err);
}

static inline int repack_end_of_run(const msgpack_object *map, struct buffer *buffer,
                                    struct error *err)
{
    return repack_update_of(map, buffer, MESSAGE_END_OF_RUN, err);
}

static inline void pack_sample_runs(struct buffer *buffer)
{
    static char test[] = "loadtest.c";
    struct listed_run runs[] = {
        {SAMPLE_RUN,   test, RUN_RUNNING, 5, 1735787045.5, 60000000},
        {"an-old-one", test, RUN_STOPPED, 1, 1735780000,   0       },
    };

    message_pack_runs(buffer,
                      &(struct message_runs){.runs = runs, .count = ARRAY_SIZE(runs)});
}

static inline int repack_runs(const msgpack_object *map, struct buffer *buffer,
                              struct error *err)
{
    struct message_runs runs;

    if (message_unpack_runs(map, &runs, err) == -1)
        return -1;
    message_pack_runs(buffer, &runs);
    message_runs_clear(&runs);
    return 0;
}

/* --- agent and broker ----------------------------------------------------------------- */

static const struct agent_claim sample_claim = {.run = SAMPLE_RUN,
                                                .state = AGENT_RUNNING,
                                                .stopping = true,
                                                .forced = false,
                                                .sequence = 41};

static inline void pack_sample_register(struct buffer *buffer)
{
    static char name[] = "lemon", host[] = "10.0.0.7";

    message_pack_register(buffer, &(struct message_register){.instance = "lemon.4711-9",
                                                             .name = name,
                                                             .host = host,
                                                             .pid = 4711,
                                                             .temporary = true,
                                                             .claim = sample_claim});
}

static inline int repack_register(const msgpack_object *map, struct buffer *buffer,
                                  struct error *err)
{
    struct message_register reg;

    if (message_check_version(map, err) == -1 ||
        message_unpack_register(map, &reg, err) == -1)
        return -1;
    message_pack_register(buffer, &reg);
    message_register_clear(&reg);
    return 0;
}

#define ACK_SAMPLE(NAME) \
    static inline void pack_ack_##NAME(struct buffer *buffer) \
    { \
        message_pack_ack(buffer, MESSAGE_##NAME, \
                         &(struct message_ack){.run = SAMPLE_RUN, .sequence = 41}); \
    } \
    static inline int repack_ack_##NAME(const msgpack_object *map, \
                                        struct buffer *buffer, struct error *err) \
    { \
        struct message_ack ack; \
\
        if (message_unpack_ack(map, &ack, err) == -1) \
            return -1; \
        message_pack_ack(buffer, MESSAGE_##NAME, &ack); \
        return 0; \
    }

ACK_SAMPLE(REGISTERED)
ACK_SAMPLE(ACK)

static inline void pack_sample_beat(struct buffer *buffer)
{
    message_pack_beat(buffer, &sample_claim);
}

static inline int repack_beat(const msgpack_object *map, struct buffer *buffer,
                              struct error *err)
{
    struct agent_claim claim;

    if (message_unpack_beat(map, &claim, err) == -1)
        return -1;
    message_pack_beat(buffer, &claim);
    return 0;
}

static inline void pack_sample_prepare(struct buffer *buffer)
{
    struct bundle bundle = {.files = NULL};
    struct job job;

    job_init(&job);
    fill_sample_job(&job);
    fill_sample_bundle(&bundle);
    message_pack_prepare(buffer, 4, 5, &job, &bundle);
    job_clear(&job);
    bundle_clear(&bundle);
}

static inline int repack_prepare(const msgpack_object *map, struct buffer *buffer,
                                 struct error *err)
{
    struct message_prepare prepare;

    if (message_unpack_prepare(map, &prepare, err) == -1)
        return -1;
    message_pack_prepare(buffer, prepare.index, prepare.agents, &prepare.job,
                         &prepare.bundle);
    message_prepare_clear(&prepare);
    return 0;
}

static inline void pack_sample_fetch(struct buffer *buffer)
{
    char digest[DIGEST_SIZE];

    sample_digest(digest, "one");
    message_pack_fetch(buffer, SAMPLE_RUN, digest);
}

static inline int repack_fetch(const msgpack_object *map, struct buffer *buffer,
                               struct error *err)
{
    message_run_id run;
    char digest[DIGEST_SIZE];

    if (message_unpack_fetch(map, run, digest, err) == -1)
        return -1;
    message_pack_fetch(buffer, run, digest);
    return 0;
}

static inline void pack_sample_report(struct buffer *buffer)
{
    static char scenario[] = "browse", why[] = "--exception", failure[] = "it died";
    struct message_lost lost[] = {
        {.index = 1,            .signal = 9, .stuck = true, .scenario = scenario},
        {.index = 2, .status = 137           },
    };
    struct message_report report;

    message_report_init(&report);
    strcpy(report.run, SAMPLE_RUN);
    fill_sample_delta(&report.delta);
    report.has_stopping = true;
    report.stopping = (struct message_stopping){.why = why, .failed = true};
    report.lost = lost;
    report.lost_count = ARRAY_SIZE(lost);
    report.ended = true;
    report.failure = failure;
    message_pack_report(buffer, &report);
    delta_clear(&report.delta);
}

static inline int repack_report(const msgpack_object *map, struct buffer *buffer,
                                struct error *err)
{
    struct message_report report;

    if (message_unpack_report(map, &report, err) == -1)
        return -1;
    message_pack_report(buffer, &report);
    message_report_clear(&report);
    return 0;
}

/* --- all of them ---------------------------------------------------------------------- */

#define SAMPLE_OPTIONAL_FACTS \
    " facts.interrupted_by facts.failure facts.lost.0.scenario trouble "

/* clang-format off */
static const struct sample samples[] = {
    {MESSAGE_JOB, "", pack_sample_job, repack_job, NULL},
    {MESSAGE_READY, "of a slave", pack_plain_READY, repack_plain_READY, NULL},
    {MESSAGE_READY, "of an agent", pack_run_READY, repack_run_READY, NULL},
    {MESSAGE_REFUSED, "of a slave", pack_sample_why, repack_why, NULL},
    {MESSAGE_REFUSED, "of a run", pack_sample_refused, repack_refused, NULL},
    {MESSAGE_START, "to a slave", pack_plain_START, repack_plain_START, NULL},
    {MESSAGE_START, "to an agent", pack_run_START, repack_run_START, NULL},
    {MESSAGE_STOP, "to a slave", pack_sample_stop, repack_stop, NULL},
    {MESSAGE_STOP, "of a run", pack_sample_run_stop, repack_run_stop, " why "},
    {MESSAGE_DELTA, "", pack_sample_delta, repack_delta, NULL},
    {MESSAGE_STOPPING, "", pack_sample_stopping, repack_stopping, NULL},
    {MESSAGE_LOST, "", pack_sample_lost, repack_lost, " scenario "},
    {MESSAGE_TEARDOWN, "", pack_plain_TEARDOWN, repack_plain_TEARDOWN, NULL},
    {MESSAGE_END, "", pack_plain_END, repack_plain_END, NULL},
    {MESSAGE_PING, "", pack_request_PING, repack_request_PING, NULL},
    {MESSAGE_PONG, "", pack_sample_pong, repack_pong,
     " agents.0.run agents.1.silent "},
    {MESSAGE_LIST, "", pack_request_LIST, repack_request_LIST, NULL},
    {MESSAGE_RUNS, "", pack_sample_runs, repack_runs, NULL},
    {MESSAGE_RUN, "", pack_sample_run, repack_run, " bundle.object "},
    {MESSAGE_LACKS, "", pack_sample_lacks, repack_lacks, NULL},
    {MESSAGE_FILE, "", pack_sample_file, repack_file, NULL},
    {MESSAGE_ACCEPTED, "", pack_sample_accepted, repack_accepted, " state "},
    {MESSAGE_SNAPSHOT, "", pack_sample_snapshot, repack_snapshot, NULL},
    {MESSAGE_UPDATE, "", pack_sample_update, repack_update,
     SAMPLE_OPTIONAL_FACTS " facts "},
    {MESSAGE_END_OF_RUN, "", pack_sample_end_of_run, repack_end_of_run,
     SAMPLE_OPTIONAL_FACTS},
    {MESSAGE_REGISTER, "", pack_sample_register, repack_register, " claim "},
    {MESSAGE_REGISTERED, "", pack_ack_REGISTERED, repack_ack_REGISTERED, " run "},
    {MESSAGE_UNKNOWN, "", pack_plain_UNKNOWN, repack_plain_UNKNOWN, NULL},
    {MESSAGE_BEAT, "", pack_sample_beat, repack_beat, " claim "},
    {MESSAGE_BYE, "", pack_plain_BYE, repack_plain_BYE, NULL},
    {MESSAGE_PREPARE, "", pack_sample_prepare, repack_prepare, " bundle.object "},
    {MESSAGE_FETCH, "", pack_sample_fetch, repack_fetch, NULL},
    {MESSAGE_REPORT, "", pack_sample_report, repack_report,
     " stopping lost.0.scenario failure "},
    {MESSAGE_ACK, "", pack_ack_ACK, repack_ack_ACK, " run "},
    {MESSAGE_RELEASE, "", pack_run_RELEASE, repack_run_RELEASE, NULL},
};
/* clang-format on */

#endif
