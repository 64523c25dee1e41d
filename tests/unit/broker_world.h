/* tests/unit/broker_world.h - a database in a directory of its own, agents that do nothing
 * but hear, and what was said to whom as words: "a:PREPARE b:PREPARE". */
#ifndef TESTS_UNIT_BROKER_WORLD_H
#define TESTS_UNIT_BROKER_WORLD_H

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "broker/run.h"
#include "unit/random.h"

#define WORLD_RUN "20250102-030405-run"
#define WORLD_PREPARE_TICKS 3u

struct world {
    char directory[64];
    char *db;
    struct store store;
    struct roster roster;
    struct run_outside outside;
    struct run *run;      /* NULL: none, or it is over */
    struct buffer said;   /* to agents */
    struct buffer told;   /* to who watches */
    struct buffer update; /* the last one that was published */
};

static inline void expect_said(struct world *world, const char *words)
{
    assert_string_equal(buffer_text(&world->said), words);
    buffer_reset(&world->said);
}

static inline void expect_told(struct world *world, const char *words)
{
    assert_string_equal(buffer_text(&world->told), words);
    buffer_reset(&world->told);
}

static inline void add_word(struct buffer *words, const char *word)
{
    buffer_printf(words, "%s%s", words->size > 0 ? " " : "", word);
}

/* --- what a run does to the world ------------------------------------------------------ */

/* What a message is called, with the field of it that counts. */
static inline void name_message(const struct buffer *message, char ret_name[64])
{
    struct wire_message decoded;
    enum proto_message kind;
    uint64_t number = 0;
    bool force = false;

    assert_int_equal(wire_decode(message->data, message->size, &decoded, NULL), 0);
    assert_int_equal(message_identify(&decoded.root, &kind, NULL), 0);
    snprintf(ret_name, 64, "%s", proto_message_names[kind]);
    if (wire_get_u64(&decoded.root, "sequence", UINT64_MAX, &number, NULL) == 0 ||
        wire_get_u64(&decoded.root, "index", UINT64_MAX, &number, NULL) == 0 ||
        wire_get_u64(&decoded.root, "revision", UINT64_MAX, &number, NULL) == 0)
        snprintf(ret_name, 64, "%s%" PRIu64, proto_message_names[kind], number);
    if (wire_get_bool(&decoded.root, "force", &force, NULL) == 0 && force)
        snprintf(ret_name, 64, "%s!", proto_message_names[kind]);
    wire_clear(&decoded);
}

static inline void say(void *owner, const struct agent *agent, struct buffer *message)
{
    struct world *const world = owner;
    char name[64], word[160];

    name_message(message, name);
    snprintf(word, sizeof(word), "%s:%s", agent->name, name);
    if (agent->route_size > 0)
        add_word(&world->said, word);
    buffer_clear(message);
}

static inline void tell(void *owner, const char *run_id, const struct buffer *message)
{
    struct world *const world = owner;
    char name[64];

    assert_string_equal(run_id, WORLD_RUN);
    name_message(message, name);
    add_word(&world->told, name);
    buffer_reset(&world->update);
    buffer_add(&world->update, message->data, message->size);
}

static inline void give_back(void *owner, struct agent *agent)
{
    struct world *const world = owner;

    roster_release(&world->roster, agent);
}

/* --- the world -------------------------------------------------------------------------- */

static inline void world_open_store(struct world *world)
{
    struct error err = {.message = ""};

    if (store_open(&world->store, world->db, &err) == -1)
        fail_msg("%s", err.message);
    roster_init(&world->roster);
    world->outside = (struct run_outside){
        .roster = &world->roster,
        .prepare_timeout = WORLD_PREPARE_TICKS,
        .send = say,
        .publish = tell,
        .release = give_back,
        .owner = world,
    };
}

/* What the death of a broker leaves: the database. */
static inline void world_close_store(struct world *world)
{
    run_destroy(world->run);
    world->run = NULL;
    roster_clear(&world->roster);
    store_close(&world->store);
    buffer_reset(&world->said);
    buffer_reset(&world->told);
}

static inline int world_setup(void **state)
{
    struct world *const world = xcalloc(1, sizeof(*world));

    snprintf(world->directory, sizeof(world->directory), "/tmp/molotov-unit-XXXXXX");
    assert_non_null(mkdtemp(world->directory));
    world->db = xasprintf("%s/broker.db", world->directory);
    world_open_store(world);
    *state = world;
    return 0;
}

static inline int world_teardown(void **state)
{
    struct world *const world = *state;
    struct error err;

    world_close_store(world);
    assert_int_equal(folder_remove(world->directory, &err), 0);
    buffer_clear(&world->said);
    buffer_clear(&world->told);
    buffer_clear(&world->update);
    free(world->db);
    free(world);
    return 0;
}

/* "a", with the route "a". */
static inline struct agent *world_add_agent(struct world *world, const char *name)
{
    const struct zframe route = {.data = name, .size = strlen(name)};
    struct agent *agent = roster_find(&world->roster, name);

    if (agent == NULL)
        agent = roster_add(&world->roster, name, name, "host", 1);
    roster_connect(&world->roster, agent, &route);
    agent->silent = 0;
    return agent;
}

static inline struct agent *world_agent(struct world *world, const char *name)
{
    struct agent *const agent = roster_find(&world->roster, name);

    assert_non_null(agent);
    return agent;
}

/* A URL, by this many agents of two processes with 10 workers each. */
static inline struct message_run world_spec(uint64_t agents)
{
    struct message_run spec = {.agents = agents};

    job_init(&spec.job);
    free(spec.job.test);
    spec.job.test = xstrdup("http://localhost/");
    spec.job.run_id = xstrdup(WORLD_RUN);
    spec.job.processes = 2;
    spec.job.workers = 10;
    spec.bundle.directory = xstrdup("");
    return spec;
}

static inline void check(int rc, const struct error *err)
{
    if (rc == -1)
        fail_msg("%s", err->message);
}

/* What a broker does each time: stores all there is. -1 where that fails. */
static inline int world_commit(struct world *world, struct error *err)
{
    struct sql *const sql = &world->store.sql;

    if (run_has_news(world->run)) {
        check(sql_begin(sql, err), err);
        if (run_put(world->run, &world->store, err) == -1 ||
            sql_commit(sql, err) == -1) {
            sql_rollback(sql);
            return -1;
        }
        run_stored(world->run);
    }
    if (!run_is_concluded(world->run))
        return 0;
    if (run_finish(world->run, &world->store, err) == -1)
        return -1;
    run_destroy(world->run);
    world->run = NULL;
    return 0;
}

static inline void must_commit(struct world *world)
{
    struct error err;

    check(world_commit(world, &err), &err);
}

#endif
