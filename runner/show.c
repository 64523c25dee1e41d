#include "runner/show.h"

#include <signal.h>
#include <stdio.h>

#include "base/memory.h"
#include "base/program.h"

#define SHORTEST_TICK_S 0.02

/* --- what is shown ------------------------------------------------------------------ */

static void show_early_lines(const struct delta *delta)
{
    for (size_t i = 0; i < delta->lines.count; i++)
        fprintf(stderr, "%s\n", lines_at(&delta->lines, i)->text);
}

static void hand_on(const struct show *show, const struct delta *delta)
{
    if (show->begun)
        display_push(show->display, show->report, delta);
    else
        show_early_lines(delta);
}

/* Shows it now, or when the show is no longer held. */
static void show_delta(struct show *show, const struct delta *delta)
{
    if (show->held)
        delta_merge(&show->waiting, delta);
    else
        hand_on(show, delta);
}

void show_begin(struct show *show)
{
    if (show->begun)
        return;
    show->begun = true;
    display_start(show->display, show->report);
}

void show_push(struct show *show, const struct delta *delta)
{
    if (show->begun)
        report_add(show->report, delta);
    show_delta(show, delta);
}

void show_note(struct show *show, const char *text)
{
    struct delta note;

    delta_init(&note);
    delta_add_line(&note, LINE_NOTICE, text);
    show_delta(show, &note);
    delta_clear(&note);
}

void show_hold(struct show *show, bool held)
{
    if (show->held && !held) {
        hand_on(show, &show->waiting);
        delta_clear(&show->waiting);
        delta_init(&show->waiting);
    }
    show->held = held;
}

void show_refresh(const struct show *show)
{
    if (!show->held)
        display_tick(show->display, show->report);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    show_refresh(timer->data);
}

/* --- signals ------------------------------------------------------------------------ */

static const int watched_signals[] = {SIGINT, SIGTERM, SIGHUP};

static void on_signal(struct signal_watch *watch, int number)
{
    struct show *const show = watch->data;

    show->on_signal(show, number);
}

static int watch_signals(struct show *show, struct error *err)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(watched_signals); i++)
        sigaddset(&set, watched_signals[i]);
    show->signals = (struct signal_watch){
        .signalfd = -1,
        .on_signal = on_signal,
        .data = show,
    };
    return signal_watch_start(&show->signals, show->loop, &set, err);
}

static void on_late_signal(int number)
{
    (void)number;
}

static void let_signals_through(struct show *show)
{
    const struct sigaction once = {.sa_handler = on_late_signal,
                                   .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    sigset_t none;

    signal_watch_stop(&show->signals);
    for (size_t i = 0; i < ARRAY_SIZE(watched_signals); i++)
        sigaction(watched_signals[i], &once, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* --- its life ----------------------------------------------------------------------- */

int show_open(struct show *show, struct error *err)
{
    const double asked_s = show->job->console_update_s;
    const double tick_s = asked_s > SHORTEST_TICK_S ? asked_s : SHORTEST_TICK_S;

    show->loop = loop_new();
    if (watch_signals(show, err) == -1) {
        ev_loop_destroy(show->loop);
        return -1;
    }
    delta_init(&show->waiting);
    ev_timer_init(&show->tick, on_tick, 0, tick_s);
    show->tick.data = show;
    return 0;
}

void show_run(struct show *show)
{
    ev_timer_start(show->loop, &show->tick);
    while (!show->over)
        ev_run(show->loop, 0);
    ev_timer_stop(show->loop, &show->tick);
    show_hold(show, false);
    let_signals_through(show);
}

void show_end(struct show *show)
{
    show->over = true;
    ev_break(show->loop, EVBREAK_ALL);
}

void show_close(struct show *show)
{
    if (!show->over)
        let_signals_through(show);
    delta_clear(&show->waiting);
    ev_loop_destroy(show->loop);
}

int show_judge(const struct job *job, const struct report *report)
{
    struct stats_totals totals;

    stats_total(&report->stats, &totals);
    if (report->facts.state == RUN_FAILED)
        return PROGRAM_FAILED;
    if (job->fail >= 0 && totals.failed >= (uint64_t)job->fail)
        return PROGRAM_FAILED;
    return PROGRAM_OK;
}
