#include "engine/process.h"

#include "base/clock.h"
#include "base/loop.h"
#include "engine/schedule.h"
#include "scenario/host.h"

enum { STARTS_A_TURN = 100 }; /* so that the loop serves the workers it has, too */

#define CUT_AGAIN_S \
    2.0 /* a tear-down that hangs after a forced end is cut like a run */

static uint64_t to_us(double seconds)
{
    return (uint64_t)(seconds * US_PER_S);
}

/* Seconds from now until a moment since the START, at least 0. */
static double until(const struct process *process, uint64_t moment_us)
{
    const uint64_t elapsed_us = crew_elapsed_us(&process->crew);

    return moment_us > elapsed_us ? (double)(moment_us - elapsed_us) / US_PER_S : 0;
}

static void set_timer(struct process *process, ev_timer *timer, double after_s)
{
    loop_timer_start(process->crew.loop, timer, after_s);
}

/* --- handing on ------------------------------------------------------------------------ */

static void hand_on(struct process *process)
{
    process->delta.until_us = crew_elapsed_us(&process->crew);
    process->on_delta(process, &process->delta);
    delta_reset(&process->delta, process->delta.until_us);
}

static void on_flush_due(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct process *const process = timer->data;

    (void)loop;
    (void)revents;
    if (process->may_flush == NULL || process->may_flush(process))
        hand_on(process);
}

/* --- starting and stopping ------------------------------------------------------------- */

/* What is under way may take so long; then it is cut, and cut again. */
static void wait_patiently(struct process *process, double seconds)
{
    if (!process->done)
        set_timer(process, &process->patience, seconds);
}

static void on_start_due(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct process *const process = timer->data;
    struct crew *const crew = &process->crew;
    const uint64_t ramp_up_us = to_us(crew->job->ramp_up_s);
    const size_t due =
        schedule_due(crew->worker_count, ramp_up_us, crew_elapsed_us(crew));
    struct error err;

    (void)loop;
    (void)revents;
    for (int i = 0; i < STARTS_A_TURN && crew->started < due && !crew->stopping; i++) {
        if (crew_start_worker(crew, &err) == -1) {
            crew_line(crew, LINE_NOTICE, -1, "a worker cannot start: %s", err.message);
            wait_patiently(process, crew->job->stop_timeout_s);
            process->on_stopping(process, err.message, true);
            return;
        }
    }
    if (crew->started < crew->worker_count && !crew->stopping)
        set_timer(process, &process->start,
                  until(process, schedule_next_us(crew->worker_count, ramp_up_us,
                                                  crew->started)));
}

static void on_duration_over(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct process *const process = timer->data;

    (void)loop;
    (void)revents;
    process_stop(process, process->crew.job->force_shutdown);
}

static void on_patience_over(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    process_stop(timer->data, true);
}

void process_stop(struct process *process, bool force)
{
    const bool before = process->crew.stopping;

    if (force) {
        crew_cancel(&process->crew);
        wait_patiently(process, CUT_AGAIN_S);
    } else if (!before) {
        crew_stop(&process->crew);
        wait_patiently(process, process->crew.job->stop_timeout_s);
    }
}

static void on_crew_fatal(struct crew *crew, bool setup_failed, const char *why)
{
    struct process *const process = crew->engine;

    wait_patiently(process, crew->job->stop_timeout_s);
    process->on_stopping(process, why, setup_failed);
}

static void on_crew_done(struct crew *crew)
{
    struct process *const process = crew->engine;

    process->done = true;
    ev_break(crew->loop, EVBREAK_ALL);
}

/* --- events of the whole process -------------------------------------------------------- */

static void on_second(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct process *const process = timer->data;
    struct test *const test = process->crew.test;

    (void)loop;
    (void)revents;
    test->host->notify(&process->crew,
                       &(struct event){.kind = EVENT_CURRENT_WORKERS,
                                       .workers = crew_running(&process->crew)});
}

/* --- the process ------------------------------------------------------------------------ */

static void init_timer(struct process *process, ev_timer *timer,
                       void (*callback)(struct ev_loop *, ev_timer *, int),
                       double after, double repeat)
{
    ev_timer_init(timer, callback, after, repeat);
    timer->data = process;
    if (after > 0)
        ev_timer_start(process->crew.loop, timer);
}

void process_open(struct process *process, struct ev_loop *loop, const struct job *job,
                  struct test *test, long index, struct blackbox_slot *slot,
                  uint64_t started_us)
{
    delta_init(&process->delta);
    process->done = false;
    process->crew = (struct crew){
        .loop = loop,
        .job = job,
        .test = test,
        .delta = &process->delta,
        .started_us = started_us,
        .process = index,
        .slot = slot,
        .on_fatal = on_crew_fatal,
        .on_done = on_crew_done,
        .engine = process,
    };
    crew_open(&process->crew, (size_t)job->workers);
    busy_poll_start(&process->busy_poll, loop);
    ev_now_update(loop);
    init_timer(process, &process->flush, on_flush_due, PROCESS_FLUSH_S,
               PROCESS_FLUSH_S);
    init_timer(process, &process->patience, on_patience_over, 0, 0);
    init_timer(process, &process->start, on_start_due, 0, 0);
    init_timer(process, &process->duration, on_duration_over, 0, 0);
    init_timer(process, &process->second, on_second,
               test->has[FIXTURE_EVENTS] ? 1.0 : 0, 1.0);
    if (job->duration_s <= 0) {
        crew_stop(&process->crew);
        return;
    }
    set_timer(process, &process->duration, until(process, to_us(job->duration_s)));
    set_timer(process, &process->start, 0);
}

void process_run(struct process *process)
{
    struct crew *const crew = &process->crew;

    if (crew_is_done(crew))
        process->done = true; /* no workers at all */
    else if (crew->test->host->run != NULL)
        crew->test->host->run(crew);
    while (!process->done)
        ev_run(crew->loop, 0);
    hand_on(process);
}

void process_close(struct process *process)
{
    struct ev_loop *const loop = process->crew.loop;

    ev_timer_stop(loop, &process->flush);
    ev_timer_stop(loop, &process->start);
    ev_timer_stop(loop, &process->duration);
    ev_timer_stop(loop, &process->patience);
    ev_timer_stop(loop, &process->second);
    busy_poll_stop(&process->busy_poll);
    crew_close(&process->crew);
    delta_clear(&process->delta);
}
