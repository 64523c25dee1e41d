#include "engine/busy_poll.h"

#include <sys/resource.h>

#include "base/clock.h"

/* Credit is counted as time worked: no part of it is lost to rounding. */
#define CREDIT_FULL_US (BUSY_POLL_CREDIT_US * BUSY_POLL_SHARE)

static uint64_t smaller(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

/* --- credit --------------------------------------------------------------------------- */

static void earn_until(struct busy_poll *poll, uint64_t now_us)
{
    poll->credit_us =
        smaller(poll->credit_us + now_us - poll->since_us, CREDIT_FULL_US);
    poll->since_us = now_us;
}

static void pay_until(struct busy_poll *poll, uint64_t now_us)
{
    poll->credit_us -=
        smaller(poll->credit_us, (now_us - poll->since_us) * BUSY_POLL_SHARE);
    poll->since_us = now_us;
}

static void back_off(struct busy_poll *poll)
{
    poll->rest_turns = poll->next_rest_turns;
    if (poll->next_rest_turns < BUSY_POLL_REST_TURNS_MAX)
        poll->next_rest_turns *= 2;
}

/* How often others took the core from this thread. */
static long count_preemptions(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nivcsw : 0;
}

static bool core_is_shared(struct busy_poll *poll, uint64_t now_us)
{
    const uint64_t passed_us = now_us - poll->looked_us;
    const long before = poll->preemptions;

    if (passed_us < BUSY_POLL_LOOK_US)
        return poll->shared;
    poll->preemptions = count_preemptions();
    poll->looked_us = now_us;
    poll->shared =
        (uint64_t)(poll->preemptions - before) >= passed_us / BUSY_POLL_SLICE_US;
    return poll->shared;
}

/* --- saving and spending -------------------------------------------------------------- */

static void start_saving(struct busy_poll *poll)
{
    ev_check_start(poll->loop, &poll->after_wait);
    ev_prepare_start(poll->loop, &poll->before_wait);
}

static void stop_saving(struct busy_poll *poll)
{
    ev_check_stop(poll->loop, &poll->after_wait);
    ev_prepare_stop(poll->loop, &poll->before_wait);
}

static void start_spending(struct busy_poll *poll)
{
    poll->was_silent = false;
    ev_idle_start(poll->loop, &poll->nothing_came);
}

static void stop_spending(struct busy_poll *poll)
{
    ev_idle_stop(poll->loop, &poll->nothing_came);
}

static void on_after_wait(struct ev_loop *loop, ev_check *after_wait, int revents)
{
    struct busy_poll *const poll = after_wait->data;

    (void)loop;
    (void)revents;
    poll->since_us = clock_us();
}

static void on_before_wait(struct ev_loop *loop, ev_prepare *before_wait, int revents)
{
    struct busy_poll *const poll = before_wait->data;
    const uint64_t now_us = clock_us();

    (void)loop;
    (void)revents;
    earn_until(poll, now_us);
    if (poll->rest_turns > 0) {
        poll->rest_turns--;
    } else if (poll->credit_us == CREDIT_FULL_US && !core_is_shared(poll, now_us)) {
        stop_saving(poll);
        start_spending(poll);
    }
}

static void on_nothing_came(struct ev_loop *loop, ev_idle *nothing_came, int revents)
{
    struct busy_poll *const poll = nothing_came->data;
    const uint64_t now_us = clock_us();
    const unsigned turn = ev_iteration(loop);
    bool too_long = false;

    (void)revents;
    if (poll->was_silent && turn == poll->silent_turn + 1) {
        pay_until(poll, now_us);
        too_long = now_us - poll->silent_since_us >= BUSY_POLL_SILENCE_MAX_US;
    } else {
        if (poll->was_silent) /* and an event ended that silence: it was worth it */
            poll->next_rest_turns = 1;
        earn_until(poll, now_us);
        poll->silent_since_us = now_us;
    }
    poll->was_silent = true;
    poll->silent_turn = turn;
    if (too_long)
        back_off(poll);
    if (too_long || poll->credit_us == 0 || core_is_shared(poll, now_us)) {
        stop_spending(poll);
        start_saving(poll);
    }
}

/* --- its life ------------------------------------------------------------------------- */

void busy_poll_start(struct busy_poll *poll, struct ev_loop *loop)
{
    const uint64_t now_us = clock_us();

    *poll = (struct busy_poll){
        .loop = loop,
        .since_us = now_us,
        .next_rest_turns = 1,
        .looked_us = now_us,
        .preemptions = count_preemptions(),
    };
    ev_check_init(&poll->after_wait, on_after_wait);
    ev_prepare_init(&poll->before_wait, on_before_wait);
    ev_idle_init(&poll->nothing_came, on_nothing_came);
    ev_set_priority(&poll->after_wait, EV_MAXPRI);  /* before all work */
    ev_set_priority(&poll->before_wait, EV_MINPRI); /* after all of it */
    ev_set_priority(&poll->nothing_came, EV_MINPRI);
    poll->after_wait.data = poll->before_wait.data = poll->nothing_came.data = poll;
    start_saving(poll);
}

void busy_poll_stop(struct busy_poll *poll)
{
    stop_saving(poll);
    stop_spending(poll);
}
