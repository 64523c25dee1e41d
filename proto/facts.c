#include "proto/facts.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proto/fields.h"
#include "proto/messages.h"
#include "stats/delta.h"

#define PROCESSES_MAX ((uint64_t)FACTS_AGENTS_MAX * JOB_PROCESSES_MAX)
#define WORKERS_MAX (PROCESSES_MAX * JOB_WORKERS_MAX)

const char *const run_state_words[RUN_STATE_COUNT] = {
#define RUN_STATE_WORD(name, word) [RUN_##name] = word,
    RUN_STATES(RUN_STATE_WORD)
#undef RUN_STATE_WORD
};

const char *const agent_state_words[AGENT_STATE_COUNT] = {
#define AGENT_STATE_WORD(name, word) [AGENT_##name] = word,
    AGENT_STATES(AGENT_STATE_WORD)
#undef AGENT_STATE_WORD
};

/* --- an agent ------------------------------------------------------------------------- */

static void clear_agent(void *item)
{
    const struct fact_agent *const agent = item;

    free(agent->name);
    free(agent->host);
}

static void pack_totals(msgpack_packer *packer, const struct stats_totals *totals)
{
#define COUNT_TOTAL(name) +1
    msgpack_pack_map(packer, STATS_TOTALS(COUNT_TOTAL));
#undef COUNT_TOTAL
#define PUT_TOTAL(name) wire_put_u64(packer, #name, totals->name);
    STATS_TOTALS(PUT_TOTAL)
#undef PUT_TOTAL
}

static int unpack_totals(const msgpack_object *map, struct stats_totals *totals,
                         struct error *err)
{
#define GET_TOTAL(name) \
    if (wire_get_u64(map, #name, UINT64_MAX, &totals->name, err) == -1) \
        return error_prefix(err, "counted");
    STATS_TOTALS(GET_TOTAL)
#undef GET_TOTAL
    return 0;
}

static void pack_agent(msgpack_packer *packer, const void *item)
{
    const struct fact_agent *const agent = item;

    msgpack_pack_map(packer, 6);
    field_put_text(packer, "name", agent->name, FACTS_NAME_MAX);
    field_put_text(packer, "host", agent->host, FACTS_NAME_MAX);
    wire_put_u64(packer, "pid", agent->pid);
    wire_put_text(packer, "state", agent_state_words[agent->state]);
    wire_put_u64(packer, "lost_at_us", agent->lost_at_us);
    wire_put_string(packer, "counted");
    pack_totals(packer, &agent->counted);
}

static int unpack_agent(const msgpack_object *map, void *item, struct error *err)
{
    struct fact_agent *const agent = item;
    const msgpack_object *counted;
    size_t state;

    if (field_get_text(map, "name", FACTS_NAME_MAX, &agent->name, err) == -1 ||
        field_get_text(map, "host", FACTS_NAME_MAX, &agent->host, err) == -1 ||
        wire_get_u64(map, "pid", FIELD_PID_MAX, &agent->pid, err) == -1 ||
        field_get_word(map, "state", agent_state_words, AGENT_STATE_COUNT, &state,
                       err) == -1 ||
        wire_get_u64(map, "lost_at_us", DELTA_TIME_MAX_US, &agent->lost_at_us, err) ==
            -1 ||
        wire_get_map(map, "counted", &counted, err) == -1 ||
        unpack_totals(counted, &agent->counted, err) == -1)
        return -1;
    agent->state = (enum agent_state)state;
    return 0;
}

static const struct item_type agent_type = {
    .size = sizeof(struct fact_agent),
    .pack = pack_agent,
    .unpack = unpack_agent,
    .clear = clear_agent,
};

/* --- a lost process ------------------------------------------------------------------- */

static void clear_process(void *item)
{
    const struct fact_process *const process = item;

    free(process->scenario);
}

static void pack_process(msgpack_packer *packer, const void *item)
{
    const struct fact_process *const process = item;
    const struct message_lost lost = {
        .index = process->index,
        .signal = process->signal,
        .status = process->status,
        .stuck = process->stuck,
        .scenario = process->scenario,
    };

    msgpack_pack_map(packer, 1 + message_count_lost_fields(&lost));
    wire_put_u64(packer, "agent", process->agent);
    message_put_lost_fields(packer, &lost);
}

static int unpack_process(const msgpack_object *map, void *item, struct error *err)
{
    struct fact_process *const process = item;
    struct message_lost lost;
    uint64_t agent;

    if (wire_get_u64(map, "agent", FACTS_AGENTS_MAX - 1, &agent, err) == -1 ||
        message_unpack_lost(map, &lost, err) == -1)
        return -1;
    *process = (struct fact_process){
        .agent = (unsigned)agent,
        .index = lost.index,
        .signal = lost.signal,
        .status = lost.status,
        .stuck = lost.stuck,
        .scenario = lost.scenario,
    };
    return 0;
}

static const struct item_type process_type = {
    .size = sizeof(struct fact_process),
    .pack = pack_process,
    .unpack = unpack_process,
    .clear = clear_process,
};

/* --- all of them ---------------------------------------------------------------------- */

void facts_init(struct run_facts *facts)
{
    *facts = (struct run_facts){.state = RUN_PREPARING};
}

void facts_clear(struct run_facts *facts)
{
    free(facts->run_id);
    free(facts->test);
    free(facts->interrupted_by);
    free(facts->failure);
    field_clear_items(&agent_type, facts->agents, facts->agent_count);
    field_clear_items(&process_type, facts->lost, facts->lost_count);
    facts_init(facts);
}

static char *copy_text(const char *text)
{
    return text != NULL ? xstrdup(text) : NULL;
}

void facts_copy(struct run_facts *into, const struct run_facts *from)
{
    facts_clear(into);
    *into = *from;
    into->run_id = copy_text(from->run_id);
    into->test = copy_text(from->test);
    into->interrupted_by = copy_text(from->interrupted_by);
    into->failure = copy_text(from->failure);
    into->agents = NULL;
    into->agent_count = 0;
    into->lost = NULL;
    into->lost_count = 0;
    for (size_t i = 0; i < from->agent_count; i++) {
        const struct fact_agent *const agent = &from->agents[i];

        facts_add_agent(into, agent->name, agent->host, agent->pid);
        into->agents[i].state = agent->state;
        into->agents[i].lost_at_us = agent->lost_at_us;
        into->agents[i].counted = agent->counted;
    }
    for (size_t i = 0; i < from->lost_count; i++)
        facts_add_lost(into, &from->lost[i]);
}

void facts_describe_job(struct run_facts *facts, const struct job *job, uint64_t agents)
{
    facts->run_id = xstrdup(job->run_id);
    facts->test = xstrdup(job->test);
    facts->processes = (unsigned)agents * job_process_count(job);
    facts->workers = (unsigned long)job->workers * facts->processes;
    facts->duration_s = job->duration_s;
    facts->max_runs = (unsigned long)job->max_runs;
}

static void set_once(char **text, const char *why)
{
    if (*text == NULL)
        *text = field_clean_copy(why, strlen(why), FIELD_WHY_MAX);
}

void facts_set_failure(struct run_facts *facts, const char *why)
{
    set_once(&facts->failure, why);
}

void facts_set_interrupted_by(struct run_facts *facts, const char *why)
{
    set_once(&facts->interrupted_by, why);
    if (facts->state < RUN_STOPPING)
        facts->state = RUN_STOPPING;
}

void facts_add_agent(struct run_facts *facts, const char *name, const char *host,
                     uint64_t pid)
{
    facts->agents =
        xrealloc_array(facts->agents, facts->agent_count + 1, sizeof(facts->agents[0]));
    facts->agents[facts->agent_count++] = (struct fact_agent){
        .name = field_clean_copy(name, strlen(name), FACTS_NAME_MAX),
        .host = field_clean_copy(host, strlen(host), FACTS_NAME_MAX),
        .pid = pid,
    };
}

void facts_add_lost(struct run_facts *facts, const struct fact_process *lost)
{
    struct fact_process *copy;

    if (facts->lost_count == FACTS_LOST_MAX)
        return;
    facts->lost =
        xrealloc_array(facts->lost, facts->lost_count + 1, sizeof(facts->lost[0]));
    copy = &facts->lost[facts->lost_count++];
    *copy = *lost;
    copy->scenario = copy_text(lost->scenario);
}

size_t facts_count_agents(const struct run_facts *facts, enum agent_state state)
{
    size_t count = 0;

    for (size_t i = 0; i < facts->agent_count; i++)
        count += facts->agents[i].state == state;
    return count;
}

enum run_state facts_final_state(const struct run_facts *facts)
{
    const bool all_lost = facts->agent_count > 0 &&
                          facts_count_agents(facts, AGENT_LOST) == facts->agent_count;

    if (facts->failure != NULL || facts->lost_count > 0 || all_lost)
        return RUN_FAILED;
    return facts->interrupted_by != NULL ? RUN_STOPPED : RUN_FINISHED;
}

/* --- the wire ------------------------------------------------------------------------- */

void facts_pack(const struct run_facts *facts, msgpack_packer *packer)
{
    const size_t optional =
        (size_t)(facts->interrupted_by != NULL) + (size_t)(facts->failure != NULL);

    msgpack_pack_map(packer, 11 + optional);
    wire_put_text(packer, "state", run_state_words[facts->state]);
    field_put_text(packer, "run", facts->run_id, JOB_RUN_ID_MAX);
    field_put_text(packer, "test", facts->test, FACTS_TEST_MAX);
    field_put_optional_text(packer, "interrupted_by", facts->interrupted_by,
                            FIELD_WHY_MAX);
    field_put_optional_text(packer, "failure", facts->failure, FIELD_WHY_MAX);
    wire_put_double(packer, "created_wall_s", facts->created_wall_s);
    wire_put_double(packer, "started_wall_s", facts->started_wall_s);
    wire_put_u64(packer, "processes", facts->processes);
    wire_put_u64(packer, "workers", facts->workers);
    wire_put_double(packer, "duration_s", facts->duration_s);
    wire_put_u64(packer, "max_runs", facts->max_runs);
    field_put_items(packer, "agents", &agent_type, facts->agents, facts->agent_count);
    field_put_items(packer, "lost", &process_type, facts->lost, facts->lost_count);
}

static int unpack_run(const msgpack_object *map, struct run_facts *facts,
                      struct error *err)
{
    char run[JOB_RUN_ID_MAX + 1];
    size_t state;

    if (field_get_run(map, run, err) == -1 ||
        field_get_word(map, "state", run_state_words, RUN_STATE_COUNT, &state, err) ==
            -1 ||
        field_get_text(map, "test", FACTS_TEST_MAX, &facts->test, err) == -1 ||
        field_get_optional_text(map, "interrupted_by", FIELD_WHY_MAX,
                                &facts->interrupted_by, err) == -1 ||
        field_get_optional_text(map, "failure", FIELD_WHY_MAX, &facts->failure, err) ==
            -1 ||
        field_get_seconds(map, "created_wall_s", FIELD_TIME_MAX_S,
                          &facts->created_wall_s, err) == -1 ||
        field_get_seconds(map, "started_wall_s", FIELD_TIME_MAX_S,
                          &facts->started_wall_s, err) == -1)
        return -1;
    facts->run_id = xstrdup(run);
    facts->state = (enum run_state)state;
    return 0;
}

static int unpack_sizes(const msgpack_object *map, struct run_facts *facts,
                        struct error *err)
{
    uint64_t processes, workers, max_runs;

    if (wire_get_u64(map, "processes", PROCESSES_MAX, &processes, err) == -1 ||
        wire_get_u64(map, "workers", WORKERS_MAX, &workers, err) == -1 ||
        wire_get_u64(map, "max_runs", (uint64_t)JOB_RUNS_MAX, &max_runs, err) == -1 ||
        field_get_seconds(map, "duration_s", JOB_DURATION_MAX_S, &facts->duration_s,
                          err) == -1)
        return -1;
    facts->processes = (unsigned)processes;
    facts->workers = (unsigned long)workers;
    facts->max_runs = (unsigned long)max_runs;
    return 0;
}

/* In a local run there are no agents, and the index is 0. */
static int check_lost_agents(const struct run_facts *facts, struct error *err)
{
    for (size_t i = 0; i < facts->lost_count; i++) {
        const unsigned agent = facts->lost[i].agent;

        if (agent > 0 && agent >= facts->agent_count)
            return error_set(err,
                             "lost: number %zu: field \"agent\" is %u, of %zu agents",
                             i + 1, agent, facts->agent_count);
    }
    return 0;
}

static int unpack_parts(const msgpack_object *map, struct run_facts *facts,
                        struct error *err)
{
    facts->agents = field_get_items(map, "agents", &agent_type, FACTS_AGENTS_MAX,
                                    &facts->agent_count, err);
    if (facts->agents == NULL)
        return -1;
    facts->lost = field_get_items(map, "lost", &process_type, FACTS_LOST_MAX,
                                  &facts->lost_count, err);
    return facts->lost != NULL ? check_lost_agents(facts, err) : -1;
}

int facts_unpack(const msgpack_object *map, struct run_facts *ret_facts,
                 struct error *err)
{
    struct run_facts facts;

    facts_init(&facts);
    if (unpack_run(map, &facts, err) == -1 || unpack_sizes(map, &facts, err) == -1 ||
        unpack_parts(map, &facts, err) == -1) {
        facts_clear(&facts);
        return -1;
    }
    *ret_facts = facts;
    return 0;
}
