#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <inttypes.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "engine/busy_poll.h"

/* The clock, the scheduler and the kernel's epoll are the test's: a turn of the loop takes
 * TURN_US and what its event has to do; an event ends each sleep at once. */

#define TURN_US 1u
#define TURNS_MAX 10000000u

static struct {
    uint64_t now_us;
    long preemptions;
    unsigned turns, sleeps;
    int event_fd;
} machine;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now)
{
    (void)clock;
    ret_now->tv_sec = (time_t)(machine.now_us / US_PER_S);
    ret_now->tv_nsec = (long)(machine.now_us % US_PER_S * 1000u);
    return 0;
}

int __wrap_getrusage(int who, struct rusage *ret_usage);
int __wrap_getrusage(int who, struct rusage *ret_usage)
{
    assert_int_equal(who, RUSAGE_THREAD);
    *ret_usage = (struct rusage){.ru_nivcsw = machine.preemptions};
    return 0;
}

/* libev's, too: a program's own function comes before a library's. */
int epoll_wait(int epoll_fd, struct epoll_event *events, int events_max, int timeout_ms)
{
    if (machine.turns++ > TURNS_MAX)
        fail_msg("the loop does not end");
    machine.now_us += TURN_US;
    if (timeout_ms != 0) {
        machine.sleeps++;
        assert_int_equal(eventfd_write(machine.event_fd, 1), 0);
    }
    return (int)syscall(SYS_epoll_pwait, epoll_fd, events, events_max, 0, NULL, 0);
}

struct world {
    struct ev_loop *loop;
    struct busy_poll poll;
    ev_io event;
    uint64_t work_us; /* that an event takes */
    unsigned events;
};

static void on_event(struct ev_loop *loop, ev_io *event, int revents)
{
    struct world *const world = event->data;
    eventfd_t value;

    (void)loop;
    (void)revents;
    assert_int_equal(eventfd_read(machine.event_fd, &value), 0);
    machine.now_us += world->work_us;
    world->events++;
}

static void world_open(struct world *world, uint64_t work_us)
{
    machine.preemptions = 0;
    machine.turns = 0;
    machine.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(machine.event_fd >= 0);
    *world = (struct world){
        .loop = ev_loop_new(EVBACKEND_EPOLL),
        .work_us = work_us,
    };
    assert_non_null(world->loop);
    ev_io_init(&world->event, on_event, machine.event_fd, EV_READ);
    world->event.data = world;
    ev_io_start(world->loop, &world->event);
    busy_poll_start(&world->poll, world->loop);
}

static void world_close(struct world *world)
{
    ev_io_stop(world->loop, &world->event);
    busy_poll_stop(&world->poll);
    ev_loop_destroy(world->loop);
    close(machine.event_fd);
}

/* One turn; did it sleep? */
static bool turn_sleeps(struct world *world)
{
    machine.sleeps = 0;
    ev_run(world->loop, EVRUN_ONCE);
    return machine.sleeps > 0;
}

/* One turn, for which there is an event already. */
static void turn_with_event(struct world *world)
{
    const unsigned before = world->events;

    assert_int_equal(eventfd_write(machine.event_fd, 1), 0);
    turn_sleeps(world);
    assert_int_equal(world->events, before + 1);
}

/* Turns that found nothing before the one that slept. */
static unsigned count_polls(struct world *world)
{
    unsigned polls = 0;

    while (!turn_sleeps(world))
        polls++;
    return polls;
}

/* It has just slept: how often it sleeps in all before it polls and sleeps again. */
static unsigned count_rests(struct world *world)
{
    unsigned rests = 1;

    while (count_polls(world) == 0)
        rests++;
    return rests;
}

/* So many turns without an event, then one with: or a sleep before, that the event ends.
 * Returns how many of these turns there were. */
static unsigned wait_for_event(struct world *world, unsigned turns)
{
    for (unsigned polls = 0; polls < turns; polls++)
        if (turn_sleeps(world))
            return polls;
    turn_with_event(world);
    return turns;
}

static void test_share(void **state)
{
    enum { NO_SLEEP, ITS_SHARE, HARDLY };
    static const struct {
        const char *name;
        unsigned work_us, silence_us; /* one after the other, again and again */
        int want;
    } cases[] = {
        {"answers are much sooner", 30 * BUSY_POLL_SHARE, 5,                            NO_SLEEP },
        {"answers are sooner",      30 * BUSY_POLL_SHARE, 25,                           NO_SLEEP },
        {"answers are later",       20 * BUSY_POLL_SHARE, 30,                           ITS_SHARE},
        {"answers are much later",  5 * BUSY_POLL_SHARE,  BUSY_POLL_SILENCE_MAX_US - 5,
         ITS_SHARE                                                                               },
        {"there is little work",    10,                   20,                           ITS_SHARE},
        {"answers are too late",    20 * BUSY_POLL_SHARE, BUSY_POLL_SILENCE_MAX_US * 2,
         HARDLY                                                                                  },
    };
    enum { EVENTS = 10000 };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct world world;
        uint64_t polled_us = 0, free_us = 0, share_us;
        unsigned sleeps = 0;

        world_open(&world, cases[i].work_us);
        for (unsigned event = 0; event < EVENTS; event++) {
            const unsigned turns =
                wait_for_event(&world, cases[i].silence_us / TURN_US);

            polled_us += turns * TURN_US;
            free_us += turns > 0 ? TURN_US : 0; /* the first turn of a silence, */
            sleeps += turns * TURN_US < cases[i].silence_us;
        }
        /* which counts as work, as does a turn with an event. */
        share_us = ((uint64_t)EVENTS * (cases[i].work_us + TURN_US) + free_us) /
                   BUSY_POLL_SHARE;
        if (polled_us > share_us + free_us)
            fail_msg("%s: polled %" PRIu64 " us, at most %" PRIu64, cases[i].name,
                     polled_us, share_us + free_us);
        if (cases[i].want == NO_SLEEP && sleeps > 10) /* but to save */
            fail_msg("%s: slept %u times", cases[i].name, sleeps);
        if (cases[i].want == ITS_SHARE && polled_us < share_us * 9 / 10)
            fail_msg("%s: polled %" PRIu64 " us of %" PRIu64, cases[i].name, polled_us,
                     share_us);
        if (cases[i].want == HARDLY && polled_us > share_us / 50)
            fail_msg("%s: polled %" PRIu64 " us", cases[i].name, polled_us);
        world_close(&world);
    }
}

static void test_backs_off(void **state)
{
    struct world world;
    unsigned want = 1;

    (void)state;
    world_open(&world, US_PER_S);
    assert_true(turn_sleeps(&world));
    assert_in_range(count_polls(&world) * TURN_US, BUSY_POLL_SILENCE_MAX_US,
                    BUSY_POLL_SILENCE_MAX_US + TURN_US);
    for (unsigned round = 0; round < 14; round++) {
        assert_int_equal(count_rests(&world), want);
        want = want < BUSY_POLL_REST_TURNS_MAX ? want * 2 : BUSY_POLL_REST_TURNS_MAX;
    }
    for (unsigned rest = 1; rest < BUSY_POLL_REST_TURNS_MAX; rest++)
        assert_true(turn_sleeps(&world));
    assert_false(turn_sleeps(&world));
    turn_with_event(&world); /* that was worth it: it begins anew */
    assert_true(count_polls(&world) > 0);
    assert_int_equal(count_rests(&world), 1);
    assert_int_equal(count_rests(&world), 2);
    world_close(&world);
}

#define ENOUGH_US (BUSY_POLL_CREDIT_US * BUSY_POLL_SHARE) /* of work, for full credit */

enum { LOST = BUSY_POLL_LOOK_US / BUSY_POLL_SLICE_US }; /* so often: it is shared */

static void test_shared_core(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, ENOUGH_US);
    assert_true(turn_sleeps(&world));
    machine.now_us += BUSY_POLL_LOOK_US;
    machine.preemptions +=
        LOST; /* it is not let spend until that was looked at again */
    assert_in_range(count_rests(&world), BUSY_POLL_LOOK_US / ENOUGH_US,
                    BUSY_POLL_LOOK_US / ENOUGH_US + 2);
    world_close(&world);
}

static void test_core_taken_seldom(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, ENOUGH_US);
    assert_true(turn_sleeps(&world));
    machine.now_us += BUSY_POLL_LOOK_US;
    machine.preemptions += LOST - 1;
    assert_int_equal(count_rests(&world), 1);
    machine.now_us += 10 * BUSY_POLL_LOOK_US;
    machine.preemptions += 10 * LOST - 1;
    assert_int_equal(count_rests(&world), 1);
    world_close(&world);
}

static void test_core_taken_while_it_spends(void **state)
{
    struct world world;
    uint64_t began_us;

    (void)state;
    world_open(&world, ENOUGH_US);
    assert_true(turn_sleeps(&world));
    for (unsigned event = 0; event < 1000; event++)
        assert_int_equal(wait_for_event(&world, 2), 2);
    began_us = machine.now_us;
    while (wait_for_event(&world, 2) == 2) {
        machine.preemptions++;
        assert_in_range(machine.now_us - began_us, 0, 2 * BUSY_POLL_LOOK_US);
    }
    assert_in_range(count_rests(&world), BUSY_POLL_LOOK_US / ENOUGH_US,
                    BUSY_POLL_LOOK_US / ENOUGH_US + 2);
    world_close(&world);
}

/* In either state nothing of it is left. */
static void test_stops(void **state)
{
    (void)state;
    for (unsigned turns = 0; turns < 3; turns++) {
        struct world world;

        world_open(&world, US_PER_S);
        for (unsigned turn = 0; turn < turns; turn++)
            assert_int_equal(turn_sleeps(&world), turn == 0);
        busy_poll_stop(&world.poll);
        assert_true(turn_sleeps(&world));
        ev_io_stop(world.loop, &world.event);
        assert_false(ev_run(world.loop, 0));
        ev_loop_destroy(world.loop);
        close(machine.event_fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_backs_off),
        cmocka_unit_test(test_shared_core),
        cmocka_unit_test(test_core_taken_seldom),
        cmocka_unit_test(test_core_taken_while_it_spends),
        cmocka_unit_test(test_stops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
