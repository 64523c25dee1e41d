#include "broker/roster.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

/* --- an index ------------------------------------------------------------------------- */

static struct roster_link **bucket_of(struct roster_link *const *buckets,
                                      const void *key, size_t size)
{
    const uint64_t hash = text_hash(TEXT_HASH_START, key, size);

    return (struct roster_link **)&buckets[(hash ^ hash >> 32) % ROSTER_BUCKETS];
}

static struct agent *find_agent(struct roster_link *const *buckets, const void *key,
                                size_t size)
{
    for (struct roster_link *link = *bucket_of(buckets, key, size); link != NULL;
         link = link->next)
        if (link->size == size && memcmp(link->key, key, size) == 0)
            return link->agent;
    return NULL;
}

static void add_link(struct roster_link **buckets, struct roster_link *link)
{
    struct roster_link **const bucket = bucket_of(buckets, link->key, link->size);

    link->next = *bucket;
    *bucket = link;
}

static void remove_link(struct roster_link **buckets, const struct roster_link *link)
{
    struct roster_link **at = bucket_of(buckets, link->key, link->size);

    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
}

/* --- the roster ------------------------------------------------------------------------- */

void roster_init(struct roster *roster)
{
    *roster = (struct roster){.count = 0};
    TAILQ_INIT(&roster->agents);
    TAILQ_INIT(&roster->idle);
}

static void free_agent(struct agent *agent)
{
    free(agent->name);
    free(agent->host);
    free(agent);
}

void roster_clear(struct roster *roster)
{
    struct agent *agent;

    while ((agent = TAILQ_FIRST(&roster->agents)) != NULL) {
        TAILQ_REMOVE(&roster->agents, agent, link);
        free_agent(agent);
    }
    roster_init(roster);
}

struct agent *roster_find(const struct roster *roster, const char *instance)
{
    return find_agent(roster->by_instance, instance, strlen(instance));
}

struct agent *roster_find_route(const struct roster *roster, const struct zframe *route)
{
    return find_agent(roster->by_route, route->data, route->size);
}

struct agent *roster_add(struct roster *roster, const char *instance, const char *name,
                         const char *host, uint64_t pid)
{
    struct agent *const agent = xcalloc(1, sizeof(*agent));

    *agent = (struct agent){
        .name = xstrdup(name),
        .host = xstrdup(host),
        .pid = pid,
        .by_instance = {.agent = agent,
                        .key = agent->instance,
                        .size = strlen(instance)},
        .by_route = {.agent = agent,              .key = agent->route      },
    };
    memcpy(agent->instance, instance, strlen(instance) + 1);
    add_link(roster->by_instance, &agent->by_instance);
    TAILQ_INSERT_TAIL(&roster->agents, agent, link);
    roster->count++;
    return agent;
}

/* Of an agent that is absent and has no run. */
static void remove_agent(struct roster *roster, struct agent *agent)
{
    remove_link(roster->by_instance, &agent->by_instance);
    TAILQ_REMOVE(&roster->agents, agent, link);
    roster->count--;
    free_agent(agent);
}

static void forget_route(struct roster *roster, struct agent *agent)
{
    if (agent->route_size == 0)
        return;
    remove_link(roster->by_route, &agent->by_route);
    agent->route_size = 0;
    roster->present_count--;
}

void roster_connect(struct roster *roster, struct agent *agent,
                    const struct zframe *route)
{
    struct agent *const former = roster_find_route(roster, route);
    const bool was_absent = agent->route_size == 0;

    if (former == agent)
        return;
    if (former != NULL) /* the same connection registers as somebody else */
        roster_disconnect(roster, former);
    forget_route(roster, agent);
    memcpy(agent->route, route->data, route->size);
    agent->route_size = agent->by_route.size = route->size;
    add_link(roster->by_route, &agent->by_route);
    roster->present_count++;
    if (was_absent && agent->run == NULL)
        TAILQ_INSERT_TAIL(&roster->idle, agent, idle_link);
}

void roster_disconnect(struct roster *roster, struct agent *agent)
{
    const bool was_idle = agent->route_size > 0 && agent->run == NULL;

    forget_route(roster, agent);
    if (was_idle)
        TAILQ_REMOVE(&roster->idle, agent, idle_link);
    if (agent->run == NULL)
        remove_agent(roster, agent);
}

/* --- who is free ------------------------------------------------------------------------ */

bool roster_is_silent(const struct agent *agent)
{
    return agent->silent > PROTO_BEATS_MISSED_MAX;
}

size_t roster_count_idle(const struct roster *roster)
{
    const struct agent *agent;
    size_t count = 0;

    TAILQ_FOREACH (agent, &roster->idle, idle_link)
        count += !roster_is_silent(agent);
    return count;
}

size_t roster_count_silent(const struct roster *roster)
{
    const struct agent *agent;
    size_t count = 0;

    TAILQ_FOREACH (agent, &roster->idle, idle_link)
        count += roster_is_silent(agent);
    return count;
}

void roster_assign(struct agent *agent, struct run *run, size_t index)
{
    agent->run = run;
    agent->index = index;
}

struct agent *roster_take(struct roster *roster, struct run *run, size_t index)
{
    struct agent *agent = TAILQ_FIRST(&roster->idle);

    while (roster_is_silent(agent))
        agent = TAILQ_NEXT(agent, idle_link);
    TAILQ_REMOVE(&roster->idle, agent, idle_link);
    roster_assign(agent, run, index);
    return agent;
}

void roster_release(struct roster *roster, struct agent *agent)
{
    agent->run = NULL;
    if (agent->route_size > 0)
        TAILQ_INSERT_TAIL(&roster->idle, agent, idle_link);
    else
        remove_agent(roster, agent);
}
