#include "scenario/crew.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/memory.h"
#include "http/names.h"
#include "scenario/host.h"
#include "scenario/trace.h"

static void on_sending(struct session *session, const struct exchange *exchange)
{
    struct worker *const worker = session_owner(session);
    struct test *const test = worker->crew->test;

    if (trace_is_wanted(worker->crew))
        trace_request(worker, exchange);
    if (test->has[FIXTURE_EVENTS])
        test->host->notify(worker->crew,
                           &(struct event){.kind = EVENT_SENDING_REQUEST,
                                           .worker = worker,
                                           .scenario = worker->current.scenario,
                                           .method = exchange->method,
                                           .url = exchange->url});
}

static void on_answer(struct session *session, const struct exchange *exchange,
                      const struct response *response)
{
    struct worker *const worker = session_owner(session);
    struct test *const test = worker->crew->test;

    if (trace_is_wanted(worker->crew))
        trace_response(worker, response);
    if (test->has[FIXTURE_EVENTS])
        test->host->notify(worker->crew,
                           &(struct event){.kind = EVENT_RESPONSE_RECEIVED,
                                           .worker = worker,
                                           .scenario = worker->current.scenario,
                                           .method = exchange->method,
                                           .url = exchange->url,
                                           .response = response});
}

void crew_open(struct crew *crew, size_t workers)
{
    const struct transport_type *const type = transport_find(crew->job->transport);
    const bool listened = crew->test->has[FIXTURE_EVENTS] || trace_is_wanted(crew);

    crew->worker_count = workers;
    crew->workers = xcalloc(workers, sizeof(*crew->workers));
    crew->rows = xcalloc(crew->test->scenario_count, sizeof(struct scenario_stats *));
    if (getrandom(&crew->random, sizeof(crew->random), 0) != sizeof(crew->random))
        crew->random = clock_us();
    crew->names = names_new(crew->loop);
    crew->http = (struct session_context){
        .transport_type = type,
        .transport = (type->new)(crew->loop, crew->names),
        .stats = &crew->delta->stats,
        .on_sending = listened ? on_sending : NULL,
        .on_answer = listened ? on_answer : NULL,
    };
}

void crew_close(struct crew *crew)
{
    const struct host_type *const host = crew->test->host;

    for (size_t i = 0; i < crew->started; i++) {
        if (host->destroy != NULL)
            host->destroy(crew->workers[i]);
        worker_clear(crew->workers[i]);
        free(crew->workers[i]);
    }
    free(crew->workers);
    free(crew->rows);
    crew->workers = NULL;
    crew->http.transport_type->destroy(crew->http.transport);
    session_context_clear(&crew->http);
    names_destroy(crew->names);
}

int crew_start_worker(struct crew *crew, struct error *err)
{
    struct worker *const worker = xcalloc(1, sizeof(*worker));

    worker_init(worker, crew, (long)crew->started);
    crew->workers[crew->started++] = worker;
    crew->delta->stats.workers_started++;
    crew_line(crew, LINE_ACTIVITY, worker->id, "Starting");
    if (crew->test->host->start(worker, err) == 0)
        return 0;
    crew->started--;
    crew->delta->stats.workers_started--;
    worker_clear(worker);
    free(worker);
    crew_stop(crew);
    return -1;
}

void crew_stop(struct crew *crew)
{
    const bool before = crew->stopping;

    crew->stopping = true;
    for (size_t i = 0; !before && i < crew->started; i++)
        worker_wake(crew->workers[i]);
    if (!before && crew->ended == crew->started && crew->on_done != NULL)
        crew->on_done(crew);
}

void crew_cancel(struct crew *crew)
{
    crew_stop(crew);
    for (size_t i = 0; i < crew->started; i++)
        worker_cancel(crew->workers[i]);
}

bool crew_is_done(const struct crew *crew)
{
    return (crew->stopping || crew->started == crew->worker_count) &&
           crew->ended == crew->started;
}

size_t crew_running(const struct crew *crew)
{
    return crew->started - crew->ended;
}

void crew_worker_ended(struct crew *crew)
{
    crew->ended++;
    crew->delta->stats.workers_ended++;
    if (crew_is_done(crew) && crew->on_done != NULL)
        crew->on_done(crew);
}

void crew_line(struct crew *crew, enum line_kind kind, long worker, const char *format,
               ...)
{
    char text[LINE_TEXT_MAX * 2];
    char mark[JOB_MARK_SIZE];
    int length = 0;
    va_list args;

    if (kind == LINE_ACTIVITY && !crew->job->console && crew->job->verbose == 0)
        return; /* nobody watches: not even formatted */
    length += snprintf(text, sizeof(text), "%s", job_agent_mark(crew->job, mark));
    if (crew->process >= 0 && job_process_count(crew->job) > 1)
        length += snprintf(text + length, sizeof(text) - (size_t)length, "[P:%ld] ",
                           crew->process);
    if (worker >= 0)
        length +=
            snprintf(text + length, sizeof(text) - (size_t)length, "[W:%ld] ", worker);
    va_start(args, format);
    vsnprintf(text + length, sizeof(text) - (size_t)length, format, args);
    va_end(args);
    delta_add_line(crew->delta, kind, text);
}

struct scenario_stats *crew_scenario_row(struct crew *crew,
                                         const struct scenario *scenario)
{
    struct scenario_stats **const row = &crew->rows[scenario - crew->test->scenarios];

    if (*row == NULL)
        *row = stats_scenario(&crew->delta->stats, scenario->name);
    return *row;
}

uint64_t crew_elapsed_us(const struct crew *crew)
{
    return clock_us() - crew->started_us;
}

/* SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators). */
double crew_random(struct crew *crew)
{
    uint64_t z = crew->random += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (double)(z >> 11) / 9007199254740992.0; /* 2^53 */
}
