#include "proto/cluster.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proto/fields.h"

int message_check_version(const msgpack_object *map, struct error *err)
{
    uint64_t version;

    if (wire_get_u64(map, "version", UINT64_MAX, &version, err) == -1)
        return -1;
    if (version != PROTO_VERSION)
        return error_set(err,
                         "version %u of the protocol is spoken here, not version %ju: "
                         "use programs of one version",
                         PROTO_VERSION, (uintmax_t)version);
    return 0;
}

static void put_version(msgpack_packer *packer)
{
    wire_put_u64(packer, "version", PROTO_VERSION);
}

void message_pack_request(struct buffer *buffer, enum proto_message message)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, message, 1);
    put_version(&packer);
}

void message_pack_run_only(struct buffer *buffer, enum proto_message message,
                           const char *run)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, message, run != NULL);
    if (run != NULL)
        wire_put_text(&packer, "run", run);
}

int message_unpack_run_id(const msgpack_object *map, message_run_id ret_run,
                          struct error *err)
{
    return field_get_run(map, ret_run, err);
}

void message_pack_refused(struct buffer *buffer, const char *run, const char *why)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_REFUSED, 1 + (size_t)(run != NULL));
    if (run != NULL)
        wire_put_text(&packer, "run", run);
    field_put_text(&packer, "why", why, FIELD_WHY_MAX);
}

/* --- PONG ----------------------------------------------------------------------------- */

static void clear_pong_agent(void *item)
{
    const struct pong_agent *const agent = item;

    free(agent->name);
    free(agent->host);
}

static void pack_pong_agent(msgpack_packer *packer, const void *item)
{
    const struct pong_agent *const agent = item;

    msgpack_pack_map(packer,
                     3 + (size_t)(agent->run[0] != '\0') + (size_t)agent->silent);
    field_put_text(packer, "name", agent->name, FACTS_NAME_MAX);
    field_put_text(packer, "host", agent->host, FACTS_NAME_MAX);
    wire_put_u64(packer, "pid", agent->pid);
    field_put_optional_run(packer, agent->run);
    if (agent->silent)
        wire_put_bool(packer, "silent", true);
}

static int unpack_pong_agent(const msgpack_object *map, void *item, struct error *err)
{
    struct pong_agent *const agent = item;

    if (field_get_text(map, "name", FACTS_NAME_MAX, &agent->name, err) == -1 ||
        field_get_text(map, "host", FACTS_NAME_MAX, &agent->host, err) == -1 ||
        wire_get_u64(map, "pid", FIELD_PID_MAX, &agent->pid, err) == -1 ||
        field_get_optional_run(map, agent->run, err) == -1)
        return -1;
    if (wire_get(map, "silent") == NULL)
        return 0;
    return wire_get_bool(map, "silent", &agent->silent, err);
}

static const struct item_type pong_agent_type = {
    .size = sizeof(struct pong_agent),
    .pack = pack_pong_agent,
    .unpack = unpack_pong_agent,
    .clear = clear_pong_agent,
};

static void pack_pong_run(msgpack_packer *packer, const void *item)
{
    const struct pong_run *const run = item;

    msgpack_pack_map(packer, 2);
    wire_put_text(packer, "run", run->run);
    wire_put_u64(packer, "agents", run->agents);
}

static int unpack_pong_run(const msgpack_object *map, void *item, struct error *err)
{
    struct pong_run *const run = item;

    if (field_get_run(map, run->run, err) == -1 ||
        wire_get_u64(map, "agents", FACTS_AGENTS_MAX, &run->agents, err) == -1)
        return -1;
    return 0;
}

static const struct item_type pong_run_type = {
    .size = sizeof(struct pong_run),
    .pack = pack_pong_run,
    .unpack = unpack_pong_run,
};

void message_pong_clear(struct message_pong *pong)
{
    free(pong->program);
    free(pong->frontend);
    free(pong->backend);
    free(pong->publisher);
    field_clear_items(&pong_agent_type, pong->agents, pong->agent_count);
    field_clear_items(&pong_run_type, pong->runs, pong->run_count);
    *pong = (struct message_pong){.pid = 0};
}

void message_pack_pong(struct buffer *buffer, const struct message_pong *pong)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_PONG, 8);
    wire_put_u64(&packer, "pid", pong->pid);
    field_put_text(&packer, "program", pong->program, PROTO_PROGRAM_MAX);
    field_put_text(&packer, "frontend", pong->frontend, PROTO_ENDPOINT_MAX);
    field_put_text(&packer, "backend", pong->backend, PROTO_ENDPOINT_MAX);
    field_put_text(&packer, "publisher", pong->publisher, PROTO_ENDPOINT_MAX);
    wire_put_bool(&packer, "temporary", pong->temporary);
    field_put_items(&packer, "agents", &pong_agent_type, pong->agents,
                    pong->agent_count);
    field_put_items(&packer, "runs", &pong_run_type, pong->runs, pong->run_count);
}

static int unpack_pong(const msgpack_object *map, struct message_pong *pong,
                       struct error *err)
{
    if (wire_get_u64(map, "pid", FIELD_PID_MAX, &pong->pid, err) == -1 ||
        field_get_text(map, "program", PROTO_PROGRAM_MAX, &pong->program, err) == -1 ||
        field_get_text(map, "frontend", PROTO_ENDPOINT_MAX, &pong->frontend, err) ==
            -1 ||
        field_get_text(map, "backend", PROTO_ENDPOINT_MAX, &pong->backend, err) == -1 ||
        field_get_text(map, "publisher", PROTO_ENDPOINT_MAX, &pong->publisher, err) ==
            -1 ||
        wire_get_bool(map, "temporary", &pong->temporary, err) == -1)
        return -1;
    pong->agents = field_get_items(map, "agents", &pong_agent_type, FACTS_AGENTS_MAX,
                                   &pong->agent_count, err);
    if (pong->agents == NULL)
        return -1;
    pong->runs = field_get_items(map, "runs", &pong_run_type, PROTO_RUNS_MAX,
                                 &pong->run_count, err);
    return pong->runs != NULL ? 0 : -1;
}

int message_unpack_pong(const msgpack_object *map, struct message_pong *ret,
                        struct error *err)
{
    struct message_pong pong = {.pid = 0};

    if (unpack_pong(map, &pong, err) == -1) {
        message_pong_clear(&pong);
        return -1;
    }
    *ret = pong;
    return 0;
}

/* --- RUN and PREPARE ------------------------------------------------------------------ */

static void put_job(msgpack_packer *packer, const struct job *job,
                    const struct bundle *bundle)
{
    wire_put_string(packer, "job");
    job_pack(job, packer);
    wire_put_string(packer, "bundle");
    bundle_pack(bundle, packer);
}

/* Into an initialised job and an empty bundle; what they own at -1 is the caller's. */
static int get_job(const msgpack_object *map, struct job *job, struct bundle *bundle,
                   struct error *err)
{
    const msgpack_object *job_map, *bundle_map;

    if (wire_get_map(map, "job", &job_map, err) == -1 ||
        wire_get_map(map, "bundle", &bundle_map, err) == -1)
        return -1;
    if (job_unpack(job, job_map, err) == -1)
        return error_prefix(err, "the job is refused");
    if (job->run_id == NULL)
        return error_set(err, "the job is refused: field \"run-id\" is missing");
    if (bundle_unpack(bundle_map, bundle, err) == -1)
        return -1;
    if (job_test_is_url(job->test) != (bundle->test == NULL))
        return error_set(err, "the bundle is refused: %s",
                         bundle->test != NULL
                             ? "it has a \"test\", but the job's is a URL"
                             : "field \"test\" is missing");
    return 0;
}

void message_run_clear(struct message_run *run)
{
    job_clear(&run->job);
    bundle_clear(&run->bundle);
}

void message_pack_run(struct buffer *buffer, const struct message_run *run)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_RUN, 5);
    put_version(&packer);
    wire_put_u64(&packer, "agents", run->agents);
    wire_put_bool(&packer, "keep_cluster", run->keep_cluster);
    put_job(&packer, &run->job, &run->bundle);
}

/* How many agents a run is for. */
static int get_agents(const msgpack_object *map, uint64_t *ret_agents,
                      struct error *err)
{
    uint64_t agents;

    if (wire_get_u64(map, "agents", FACTS_AGENTS_MAX, &agents, err) == -1)
        return -1;
    if (agents == 0)
        return error_set(err, "field \"agents\" is 0, the least is 1");
    *ret_agents = agents;
    return 0;
}

int message_unpack_run(const msgpack_object *map, struct message_run *ret,
                       struct error *err)
{
    struct message_run run = {.agents = 0};

    job_init(&run.job);
    if (get_agents(map, &run.agents, err) == -1 ||
        wire_get_bool(map, "keep_cluster", &run.keep_cluster, err) == -1 ||
        get_job(map, &run.job, &run.bundle, err) == -1) {
        message_run_clear(&run);
        return -1;
    }
    *ret = run;
    return 0;
}

void message_prepare_clear(struct message_prepare *prepare)
{
    job_clear(&prepare->job);
    bundle_clear(&prepare->bundle);
}

void message_pack_prepare(struct buffer *buffer, uint64_t index, uint64_t agents,
                          const struct job *job, const struct bundle *bundle)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_PREPARE, 4);
    wire_put_u64(&packer, "index", index);
    wire_put_u64(&packer, "agents", agents);
    put_job(&packer, job, bundle);
}

int message_unpack_prepare(const msgpack_object *map, struct message_prepare *ret,
                           struct error *err)
{
    struct message_prepare prepare = {.index = 0};

    job_init(&prepare.job);
    if (get_agents(map, &prepare.agents, err) == -1 ||
        wire_get_u64(map, "index", prepare.agents - 1, &prepare.index, err) == -1 ||
        get_job(map, &prepare.job, &prepare.bundle, err) == -1) {
        message_prepare_clear(&prepare);
        return -1;
    }
    *ret = prepare;
    return 0;
}

/* --- LACKS, FETCH and FILE ------------------------------------------------------------ */

static void pack_digest(msgpack_packer *packer, const void *item)
{
    wire_put_string(packer, item);
}

static int unpack_digest(const msgpack_object *value, void *item, struct error *err)
{
    if (value->type != MSGPACK_OBJECT_STR ||
        !digest_is_one(value->via.str.ptr, value->via.str.size))
        return error_set(err, "it is no SHA-256 in 64 digits and small letters");
    memcpy(item, value->via.str.ptr, value->via.str.size); /* the NUL is there */
    return 0;
}

static const struct item_type digest_type = {
    .size = DIGEST_SIZE,
    .pack = pack_digest,
    .unpack = unpack_digest,
};

void message_lacks_clear(struct message_lacks *lacks)
{
    free(lacks->digests);
    *lacks = (struct message_lacks){.count = 0};
}

void message_pack_lacks(struct buffer *buffer, const struct message_lacks *lacks)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_LACKS, 2);
    wire_put_text(&packer, "run", lacks->run);
    field_put_items(&packer, "files", &digest_type, lacks->digests, lacks->count);
}

int message_unpack_lacks(const msgpack_object *map, struct message_lacks *ret,
                         struct error *err)
{
    struct message_lacks lacks = {.count = 0};

    if (field_get_run(map, lacks.run, err) == -1)
        return -1;
    lacks.digests = field_get_items(map, "files", &digest_type, BUNDLE_FILES_MAX + 1,
                                    &lacks.count, err);
    if (lacks.digests == NULL)
        return -1;
    *ret = lacks;
    return 0;
}

void message_pack_fetch(struct buffer *buffer, const char *run, const char *digest)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_FETCH, 2);
    wire_put_text(&packer, "run", run);
    wire_put_text(&packer, "sha256", digest);
}

int message_unpack_fetch(const msgpack_object *map, message_run_id ret_run,
                         char ret_digest[DIGEST_SIZE], struct error *err)
{
    message_run_id run;

    if (field_get_run(map, run, err) == -1 ||
        field_get_digest(map, "sha256", ret_digest, err) == -1)
        return -1;
    memcpy(ret_run, run, sizeof(run));
    return 0;
}

void message_pack_file(struct buffer *buffer, const struct message_file *file)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_FILE, 2);
    wire_put_text(&packer, "sha256", file->digest);
    wire_put_bytes(&packer, "content", file->content, file->size);
}

int message_unpack_file(const msgpack_object *map, struct message_file *ret,
                        struct error *err)
{
    struct message_file file;
    char digest[DIGEST_SIZE];

    if (field_get_digest(map, "sha256", file.digest, err) == -1 ||
        wire_get_bytes(map, "content", BUNDLE_FILE_MAX, &file.content, &file.size,
                       err) == -1)
        return -1;
    digest_of(file.content, file.size, digest);
    if (strcmp(digest, file.digest) != 0)
        return error_set(err, "field \"content\" is not what \"sha256\" says");
    *ret = file;
    return 0;
}

/* --- ACCEPTED ------------------------------------------------------------------------- */

void message_pack_accepted(struct buffer *buffer,
                           const struct message_accepted *accepted)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_ACCEPTED, 1 + (size_t)accepted->was_over);
    wire_put_text(&packer, "run", accepted->run);
    if (accepted->was_over)
        wire_put_text(&packer, "state", run_state_words[accepted->state]);
}

int message_unpack_accepted(const msgpack_object *map, struct message_accepted *ret,
                            struct error *err)
{
    struct message_accepted accepted = {.was_over = wire_get(map, "state") != NULL};
    size_t state = 0; /* from the first that is over */

    if (field_get_run(map, accepted.run, err) == -1 ||
        (accepted.was_over &&
         field_get_word(map, "state", run_state_words + RUN_FINISHED,
                        RUN_STATE_COUNT - RUN_FINISHED, &state, err) == -1))
        return -1;
    accepted.state = (enum run_state)(RUN_FINISHED + state);
    *ret = accepted;
    return 0;
}

/* --- STOP and SNAPSHOT ---------------------------------------------------------------- */

void message_stop_clear(struct message_stop *stop)
{
    free(stop->why);
    stop->why = NULL;
}

void message_pack_run_stop(struct buffer *buffer, const struct message_stop *stop)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_STOP, 3 + (size_t)(stop->why != NULL));
    put_version(&packer);
    wire_put_text(&packer, "run", stop->run);
    wire_put_bool(&packer, "force", stop->force);
    field_put_optional_text(&packer, "why", stop->why, FIELD_WHY_MAX);
}

int message_unpack_run_stop(const msgpack_object *map, struct message_stop *ret,
                            struct error *err)
{
    struct message_stop stop;

    if (field_get_run(map, stop.run, err) == -1 ||
        wire_get_bool(map, "force", &stop.force, err) == -1 ||
        field_get_optional_text(map, "why", FIELD_WHY_MAX, &stop.why, err) == -1)
        return -1;
    *ret = stop;
    return 0;
}

void message_pack_snapshot(struct buffer *buffer, const struct message_snapshot *ask)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_SNAPSHOT, 3);
    put_version(&packer);
    wire_put_text(&packer, "run", ask->run);
    wire_put_u64(&packer, "after", ask->after);
}

int message_unpack_snapshot(const msgpack_object *map, struct message_snapshot *ret,
                            struct error *err)
{
    struct message_snapshot ask;

    if (field_get_run(map, ask.run, err) == -1 ||
        wire_get_u64(map, "after", UINT64_MAX, &ask.after, err) == -1)
        return -1;
    *ret = ask;
    return 0;
}

/* --- UPDATE and END_OF_RUN ------------------------------------------------------------ */

void message_update_init(struct message_update *update)
{
    *update = (struct message_update){.after = 0};
    facts_init(&update->facts);
    delta_init(&update->delta);
    series_init(&update->series);
}

void message_update_clear(struct message_update *update)
{
    free(update->trouble);
    update->trouble = NULL;
    facts_clear(&update->facts);
    delta_clear(&update->delta);
    series_clear(&update->series);
}

void message_pack_update(struct buffer *buffer, enum proto_message message,
                         const struct message_update *update)
{
    const bool is_end = message == MESSAGE_END_OF_RUN;
    const bool has_facts = update->has_facts || is_end;
    msgpack_packer packer;

    message_begin(buffer, &packer, message,
                  5 + (size_t)(update->trouble != NULL) + (size_t)has_facts +
                      (size_t)is_end);
    wire_put_text(&packer, "run", update->run);
    wire_put_u64(&packer, "after", update->after);
    wire_put_u64(&packer, "revision", update->revision);
    wire_put_u64(&packer, "elapsed_us", update->elapsed_us);
    field_put_optional_text(&packer, "trouble", update->trouble, FIELD_WHY_MAX);
    if (has_facts) {
        wire_put_string(&packer, "facts");
        facts_pack(&update->facts, &packer);
    }
    wire_put_string(&packer, "delta");
    delta_pack(&update->delta, &packer);
    if (is_end) {
        wire_put_string(&packer, "series");
        series_pack(&update->series, &packer);
    }
}

static int get_facts(const msgpack_object *map, struct run_facts *facts,
                     struct error *err)
{
    const msgpack_object *value;

    if (wire_get_map(map, "facts", &value, err) == -1)
        return -1;
    if (facts_unpack(value, facts, err) == -1)
        return error_prefix(err, "the facts are refused");
    return 0;
}

/* Into an empty one, which owns nothing yet. */
static int get_delta(const msgpack_object *map, struct delta *delta, struct error *err)
{
    const msgpack_object *value;

    if (wire_get_map(map, "delta", &value, err) == -1)
        return -1;
    return delta_unpack(value, delta, err);
}

static int get_series(const msgpack_object *map, struct series *series,
                      struct error *err)
{
    const msgpack_object *value;

    if (wire_get_map(map, "series", &value, err) == -1)
        return -1;
    return series_unpack(value, series, err);
}

static int unpack_update(const msgpack_object *map, bool is_end,
                         struct message_update *update, struct error *err)
{
    if (field_get_run(map, update->run, err) == -1 ||
        wire_get_u64(map, "revision", UINT64_MAX, &update->revision, err) == -1 ||
        wire_get_u64(map, "after", is_end ? 0 : update->revision, &update->after,
                     err) == -1 ||
        wire_get_u64(map, "elapsed_us", DELTA_TIME_MAX_US, &update->elapsed_us, err) ==
            -1 ||
        field_get_optional_text(map, "trouble", FIELD_WHY_MAX, &update->trouble, err) ==
            -1)
        return -1;
    update->has_facts = is_end || wire_get(map, "facts") != NULL;
    if (update->has_facts && get_facts(map, &update->facts, err) == -1)
        return -1;
    if (get_delta(map, &update->delta, err) == -1)
        return -1;
    return is_end ? get_series(map, &update->series, err) : 0;
}

int message_unpack_update(const msgpack_object *map, enum proto_message message,
                          struct message_update *ret, struct error *err)
{
    struct message_update update;

    message_update_init(&update);
    if (unpack_update(map, message == MESSAGE_END_OF_RUN, &update, err) == -1) {
        message_update_clear(&update);
        return -1;
    }
    *ret = update;
    return 0;
}

/* --- RUNS ----------------------------------------------------------------------------- */

static void clear_listed_run(void *item)
{
    const struct listed_run *const run = item;

    free(run->test);
}

static void pack_listed_run(msgpack_packer *packer, const void *item)
{
    const struct listed_run *const run = item;

    msgpack_pack_map(packer, 6);
    wire_put_text(packer, "run", run->run);
    field_put_text(packer, "test", run->test, FACTS_TEST_MAX);
    wire_put_text(packer, "state", run_state_words[run->state]);
    wire_put_u64(packer, "agents", run->agents);
    wire_put_double(packer, "created_wall_s", run->created_wall_s);
    wire_put_u64(packer, "elapsed_us", run->elapsed_us);
}

static int unpack_listed_run(const msgpack_object *map, void *item, struct error *err)
{
    struct listed_run *const run = item;
    size_t state;

    if (field_get_run(map, run->run, err) == -1 ||
        field_get_text(map, "test", FACTS_TEST_MAX, &run->test, err) == -1 ||
        field_get_word(map, "state", run_state_words, RUN_STATE_COUNT, &state, err) ==
            -1 ||
        wire_get_u64(map, "agents", FACTS_AGENTS_MAX, &run->agents, err) == -1 ||
        field_get_seconds(map, "created_wall_s", FIELD_TIME_MAX_S, &run->created_wall_s,
                          err) == -1 ||
        wire_get_u64(map, "elapsed_us", DELTA_TIME_MAX_US, &run->elapsed_us, err) == -1)
        return -1;
    run->state = (enum run_state)state;
    return 0;
}

static const struct item_type listed_run_type = {
    .size = sizeof(struct listed_run),
    .pack = pack_listed_run,
    .unpack = unpack_listed_run,
    .clear = clear_listed_run,
};

void message_runs_clear(struct message_runs *runs)
{
    field_clear_items(&listed_run_type, runs->runs, runs->count);
    *runs = (struct message_runs){.count = 0};
}

void message_pack_runs(struct buffer *buffer, const struct message_runs *runs)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_RUNS, 1);
    field_put_items(&packer, "runs", &listed_run_type, runs->runs, runs->count);
}

int message_unpack_runs(const msgpack_object *map, struct message_runs *ret,
                        struct error *err)
{
    struct message_runs runs = {.count = 0};

    runs.runs = field_get_items(map, "runs", &listed_run_type, PROTO_RUNS_MAX,
                                &runs.count, err);
    if (runs.runs == NULL)
        return -1;
    *ret = runs;
    return 0;
}

/* --- REGISTER and BEAT ---------------------------------------------------------------- */

/* An agent without a run has no claim: the field is left out, and not counted. */
static size_t count_claim(const struct agent_claim *claim)
{
    return claim->run[0] != '\0';
}

static void put_claim(msgpack_packer *packer, const struct agent_claim *claim)
{
    if (claim->run[0] == '\0')
        return;
    wire_put_map(packer, "claim", 5);
    wire_put_text(packer, "run", claim->run);
    wire_put_text(packer, "state", agent_state_words[claim->state]);
    wire_put_bool(packer, "stopping", claim->stopping);
    wire_put_bool(packer, "forced", claim->forced);
    wire_put_u64(packer, "sequence", claim->sequence);
}

static int unpack_claim(const msgpack_object *map, struct agent_claim *claim,
                        struct error *err)
{
    size_t state;

    if (field_get_run(map, claim->run, err) == -1 ||
        field_get_word(map, "state", agent_state_words, AGENT_LOST, &state, err) ==
            -1 || /* all words before that: no agent says it is lost */
        wire_get_bool(map, "stopping", &claim->stopping, err) == -1 ||
        wire_get_bool(map, "forced", &claim->forced, err) == -1 ||
        wire_get_u64(map, "sequence", UINT64_MAX, &claim->sequence, err) == -1)
        return error_prefix(err, "claim");
    claim->state = (enum agent_state)state;
    return 0;
}

static int get_claim(const msgpack_object *map, struct agent_claim *ret_claim,
                     struct error *err)
{
    struct agent_claim claim = {.run = ""};
    const msgpack_object *value;

    if (wire_get(map, "claim") != NULL &&
        (wire_get_map(map, "claim", &value, err) == -1 ||
         unpack_claim(value, &claim, err) == -1))
        return -1;
    *ret_claim = claim;
    return 0;
}

void message_register_clear(struct message_register *reg)
{
    free(reg->name);
    free(reg->host);
    *reg = (struct message_register){.pid = 0};
}

void message_pack_register(struct buffer *buffer, const struct message_register *reg)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_REGISTER, 6 + count_claim(&reg->claim));
    put_version(&packer);
    wire_put_text(&packer, "instance", reg->instance);
    field_put_text(&packer, "name", reg->name, FACTS_NAME_MAX);
    field_put_text(&packer, "host", reg->host, FACTS_NAME_MAX);
    wire_put_u64(&packer, "pid", reg->pid);
    wire_put_bool(&packer, "temporary", reg->temporary);
    put_claim(&packer, &reg->claim);
}

int message_unpack_register(const msgpack_object *map, struct message_register *ret,
                            struct error *err)
{
    struct message_register reg = {.pid = 0};

    if (field_get_id(map, "instance", reg.instance, err) == -1 ||
        field_get_text(map, "name", FACTS_NAME_MAX, &reg.name, err) == -1 ||
        field_get_text(map, "host", FACTS_NAME_MAX, &reg.host, err) == -1 ||
        wire_get_u64(map, "pid", FIELD_PID_MAX, &reg.pid, err) == -1 ||
        wire_get_bool(map, "temporary", &reg.temporary, err) == -1 ||
        get_claim(map, &reg.claim, err) == -1) {
        message_register_clear(&reg);
        return -1;
    }
    *ret = reg;
    return 0;
}

void message_pack_beat(struct buffer *buffer, const struct agent_claim *claim)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_BEAT, count_claim(claim));
    put_claim(&packer, claim);
}

int message_unpack_beat(const msgpack_object *map, struct agent_claim *ret,
                        struct error *err)
{
    return get_claim(map, ret, err);
}

/* --- REPORT and ACK ------------------------------------------------------------------- */

void message_pack_ack(struct buffer *buffer, enum proto_message message,
                      const struct message_ack *ack)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, message, 1 + (size_t)(ack->run[0] != '\0'));
    field_put_optional_run(&packer, ack->run);
    wire_put_u64(&packer, "sequence", ack->sequence);
}

int message_unpack_ack(const msgpack_object *map, struct message_ack *ret,
                       struct error *err)
{
    struct message_ack ack;

    if (field_get_optional_run(map, ack.run, err) == -1 ||
        wire_get_u64(map, "sequence", UINT64_MAX, &ack.sequence, err) == -1)
        return -1;
    *ret = ack;
    return 0;
}

static void clear_lost(void *item)
{
    const struct message_lost *const lost = item;

    free(lost->scenario);
}

static void pack_lost(msgpack_packer *packer, const void *item)
{
    msgpack_pack_map(packer, message_count_lost_fields(item));
    message_put_lost_fields(packer, item);
}

static int unpack_lost(const msgpack_object *map, void *item, struct error *err)
{
    return message_unpack_lost(map, item, err);
}

static const struct item_type lost_type = {
    .size = sizeof(struct message_lost),
    .pack = pack_lost,
    .unpack = unpack_lost,
    .clear = clear_lost,
};

void message_report_init(struct message_report *report)
{
    *report = (struct message_report){.ended = false};
    delta_init(&report->delta);
}

void message_report_clear(struct message_report *report)
{
    delta_clear(&report->delta);
    free(report->stopping.why);
    field_clear_items(&lost_type, report->lost, report->lost_count);
    free(report->failure);
    message_report_init(report);
}

void message_pack_report(struct buffer *buffer, const struct message_report *report)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_REPORT,
                  4 + (size_t)report->has_stopping + (size_t)(report->failure != NULL));
    wire_put_text(&packer, "run", report->run);
    wire_put_string(&packer, "delta");
    delta_pack(&report->delta, &packer);
    if (report->has_stopping) {
        wire_put_map(&packer, "stopping", 2);
        message_put_stopping_fields(&packer, report->stopping.why,
                                    report->stopping.failed);
    }
    field_put_items(&packer, "lost", &lost_type, report->lost, report->lost_count);
    wire_put_bool(&packer, "ended", report->ended);
    field_put_optional_text(&packer, "failure", report->failure, FIELD_WHY_MAX);
}

static int get_stopping(const msgpack_object *map, struct message_report *report,
                        struct error *err)
{
    const msgpack_object *value;

    report->has_stopping = wire_get(map, "stopping") != NULL;
    if (!report->has_stopping)
        return 0;
    if (wire_get_map(map, "stopping", &value, err) == -1)
        return -1;
    if (message_unpack_stopping(value, &report->stopping, err) == -1)
        return error_prefix(err, "stopping");
    return 0;
}

static int unpack_report(const msgpack_object *map, struct message_report *report,
                         struct error *err)
{
    if (field_get_run(map, report->run, err) == -1 ||
        get_delta(map, &report->delta, err) == -1 ||
        get_stopping(map, report, err) == -1 ||
        wire_get_bool(map, "ended", &report->ended, err) == -1 ||
        field_get_optional_text(map, "failure", FIELD_WHY_MAX, &report->failure, err) ==
            -1)
        return -1;
    if (report->delta.sequence == 0)
        return error_set(err, "field \"seq\" of the delta is 0, the least is 1");
    report->lost = field_get_items(map, "lost", &lost_type, JOB_PROCESSES_MAX,
                                   &report->lost_count, err);
    return report->lost != NULL ? 0 : -1;
}

int message_unpack_report(const msgpack_object *map, struct message_report *ret,
                          struct error *err)
{
    struct message_report report;

    message_report_init(&report);
    if (unpack_report(map, &report, err) == -1) {
        message_report_clear(&report);
        return -1;
    }
    *ret = report;
    return 0;
}
