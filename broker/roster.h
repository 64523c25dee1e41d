/* broker/roster.h - the agents that a broker knows: by instance and by route.
 *
 * An agent is present while messages can be sent to it. One that is absent stays as long
 * as a run counts on it, since it may come back. Those that are present and have no run
 * are idle; the one that has been idle for longest is the next to get one. */
#ifndef BROKER_ROSTER_H
#define BROKER_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/zsocket.h"
#include "proto/cluster.h"

#define ROSTER_BUCKETS 4096u
#define ROSTER_AGENTS_MAX FACTS_AGENTS_MAX

struct run;
struct agent;

/* One agent in one of the two indexes. */
struct roster_link {
    struct agent *agent;
    const void *key;
    size_t size;
    struct roster_link *next;
};

/* A FILE for an agent that has a run: the courier's own (broker/courier.h). */
struct errand {
    TAILQ_ENTRY(agent) link;
    char digest[DIGEST_SIZE]; /* "": none */
    uint64_t size;
    bool is_sent;
    unsigned age; /* ticks since then */
};

struct agent {
    char instance[PROTO_INSTANCE_MAX + 1];
    char *name, *host;
    uint64_t pid;
    bool temporary;
    unsigned char route[ZSOCKET_ROUTE_MAX];
    size_t route_size; /* 0: absent */
    unsigned silent;   /* ticks since it was heard of */
    bool unsaved;      /* the store does not know of it */
    struct run *run;   /* NULL: none */
    size_t index;      /* its place there */
    struct errand errand;

    /* What follows is the roster's own. */
    TAILQ_ENTRY(agent) link, idle_link;
    struct roster_link by_instance, by_route;
};

TAILQ_HEAD(agent_list, agent);

struct roster {
    struct agent_list agents; /* in the order in which they came */
    struct agent_list idle;   /* the one that is idle for longest comes first */
    size_t count, present_count;
    struct roster_link *by_instance[ROSTER_BUCKETS];
    struct roster_link *by_route[ROSTER_BUCKETS];
};

void roster_init(struct roster *roster);
void roster_clear(struct roster *roster); /* frees all agents, whatever they do */

struct agent *roster_find(const struct roster *roster, const char *instance);
struct agent *roster_find_route(const struct roster *roster,
                                const struct zframe *route);

/* A new one, absent and without a run. Copies the texts. */
struct agent *roster_add(struct roster *roster, const char *instance, const char *name,
                         const char *host, uint64_t pid);

/* Makes it present, on this route from now on (of at most ZSOCKET_ROUTE_MAX bytes). */
void roster_connect(struct roster *roster, struct agent *agent,
                    const struct zframe *route);

/* Makes it absent; one without a run is freed. */
void roster_disconnect(struct roster *roster, struct agent *agent);

/* It was not heard of lately: it would hold up a run. */
bool roster_is_silent(const struct agent *agent);

/* Idle agents that are not silent, and those that are. */
size_t roster_count_idle(const struct roster *roster);
size_t roster_count_silent(const struct roster *roster);

/* The next one that is not silent, which has this run from now on; there is one. */
struct agent *roster_take(struct roster *roster, struct run *run, size_t index);

/* A run counts on this agent, which is absent. */
void roster_assign(struct agent *agent, struct run *run, size_t index);

/* Its run is done with it: it becomes idle; one that is absent is freed. */
void roster_release(struct roster *roster, struct agent *agent);

#endif
