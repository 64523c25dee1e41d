#include "engine/busy_poll.h"

#include <sys/resource.h>

#include "base/clock.h"

static uint64_t smaller(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

/* How often another thread took the core from this one. */
static long count_preemptions(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nivcsw : 0;
}

static void back_off(struct busy_poll *poll)
{
    poll->rests = poll->next_rests;
    if (poll->next_rests < BUSY_POLL_RESTS_MAX)
        poll->next_rests *= 2;
}

/* Neither changes how many watchers keep the loop running: one stops, one starts. */
static void let_it_sleep(struct busy_poll *poll)
{
    ev_idle_stop(poll->loop, &poll->silence);
    ev_check_start(poll->loop, &poll->turn);
}

static void keep_it_awake(struct busy_poll *poll)
{
    ev_check_stop(poll->loop, &poll->turn);
    ev_idle_start(poll->loop, &poll->silence);
}

/* libev calls an idle watcher only in a turn that found no event. */
static void on_silence(struct ev_loop *loop, ev_idle *silence, int revents)
{
    struct busy_poll *const poll = silence->data;
    const uint64_t now_us = clock_us(), passed_us = now_us - poll->last_us;
    const unsigned turn = ev_iteration(loop);
    const bool goes_on = poll->polled && turn == poll->last_turn + 1;

    (void)revents;
    poll->last_us = now_us;
    poll->last_turn = turn;
    if (goes_on) {
        poll->credit_us -= smaller(poll->credit_us, passed_us);
    } else {
        if (poll->polled) /* and an event ended that silence: it was worth it */
            poll->next_rests = 1;
        poll->credit_us =
            smaller(poll->credit_us + passed_us / BUSY_POLL_SHARE, BUSY_POLL_MAX_US);
    }
    if (poll->credit_us >= BUSY_POLL_MIN_US) {
        poll->polled = true;
        return;
    }
    back_off(poll);
    let_it_sleep(poll);
}

static void on_turn(struct ev_loop *loop, ev_check *turn, int revents)
{
    struct busy_poll *const poll = turn->data;
    long preemptions;

    (void)loop;
    (void)revents;
    if (poll->rests > 0) {
        poll->rests--;
        return;
    }
    preemptions = count_preemptions();
    if (preemptions > poll->preemptions) { /* the core is not ours alone */
        poll->preemptions = preemptions;
        back_off(poll);
        return;
    }
    poll->polled = false;
    poll->credit_us = 0;
    poll->last_us = clock_us();
    keep_it_awake(poll);
}

void busy_poll_start(struct busy_poll *poll, struct ev_loop *loop)
{
    *poll = (struct busy_poll){
        .loop = loop,
        .next_rests = 1,
        .preemptions = count_preemptions(),
    };
    ev_idle_init(&poll->silence, on_silence);
    ev_set_priority(&poll->silence, EV_MINPRI);
    poll->silence.data = poll;
    ev_check_init(&poll->turn, on_turn);
    poll->turn.data = poll;
    ev_check_start(loop, &poll->turn);
    ev_unref(loop);
}

void busy_poll_stop(struct busy_poll *poll)
{
    ev_ref(poll->loop);
    ev_idle_stop(poll->loop, &poll->silence);
    ev_check_stop(poll->loop, &poll->turn);
}
