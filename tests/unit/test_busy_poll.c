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
#define TURNS_MAX 100000u

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
    assert_false(turn_sleeps(world));
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

/* How often it slept at once before it polled and slept again. */
static unsigned count_rests(struct world *world)
{
    unsigned rests = 0;

    while (count_polls(world) == 0)
        rests++;
    return rests;
}

static void test_share(void **state)
{
    static const struct {
        const char *name;
        uint64_t work_us;
        uint64_t want_us;
    } cases[] = {
        {"nothing to speak of", BUSY_POLL_SHARE,                    0               },
        {"a little",            BUSY_POLL_SHARE * 10,               10              },
        {"a lot",               BUSY_POLL_SHARE * 100,              100             },
        {"as much as is saved", BUSY_POLL_SHARE * BUSY_POLL_MAX_US, BUSY_POLL_MAX_US},
        {"more than that",      US_PER_S,                           BUSY_POLL_MAX_US},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct world world;
        uint64_t polled_us;

        world_open(&world, cases[i].work_us);
        assert_true(turn_sleeps(&world));
        polled_us = count_polls(&world) * TURN_US;
        /* The first turn is not paid for, and what is too little stays. */
        if (polled_us > cases[i].want_us + TURN_US ||
            polled_us + BUSY_POLL_MIN_US < cases[i].want_us)
            fail_msg("%s: polled %" PRIu64 " us, want %" PRIu64, cases[i].name,
                     polled_us, cases[i].want_us);
        world_close(&world);
    }
}

static void test_answers_in_time(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, BUSY_POLL_SHARE * 10);
    assert_true(turn_sleeps(&world));
    for (unsigned i = 0; i < 1000; i++) {
        for (unsigned turn = 0; turn < 8; turn++)
            assert_false(turn_sleeps(&world));
        turn_with_event(&world);
    }
    world_close(&world);
}

static void test_answers_too_late(void **state)
{
    struct world world;
    uint64_t polled_us = 0, worked_us = 0;

    (void)state;
    world_open(&world, BUSY_POLL_SHARE * 10);
    for (unsigned i = 0; i < 1000; i++) {
        polled_us += count_polls(&world) * TURN_US;
        worked_us += world.work_us;
    }
    assert_in_range(polled_us, 1, worked_us / BUSY_POLL_SHARE / 50); /* it backed off */
    world_close(&world);
}

static void test_backs_off(void **state)
{
    struct world world;
    unsigned want = 1;

    (void)state;
    world_open(&world, US_PER_S);
    assert_int_equal(count_rests(&world), 1); /* the first sleep of all */
    for (unsigned round = 0; round < 14; round++) {
        assert_int_equal(count_rests(&world), want);
        want = want < BUSY_POLL_RESTS_MAX ? want * 2 : BUSY_POLL_RESTS_MAX;
    }
    turn_sleeps(&world);
    for (unsigned rest = 1; rest < BUSY_POLL_RESTS_MAX; rest++)
        assert_true(turn_sleeps(&world));
    assert_false(turn_sleeps(&world));
    turn_with_event(&world); /* that was worth it: it begins anew */
    assert_true(count_polls(&world) > 0);
    assert_int_equal(count_rests(&world), 1);
    assert_int_equal(count_rests(&world), 2);
    world_close(&world);
}

static void test_preempted(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, US_PER_S);
    machine.preemptions++;
    assert_int_equal(count_rests(&world), 1 + 1 + 1); /* seen, rested, and begun */
    machine.preemptions++; /* and is seen when it would begin again: 2 rests, then 4 */
    assert_int_equal(count_rests(&world), 2 + 4 + 1);
    world_close(&world);
}

/* In either state the loop lives as long as the other watchers. */
static void test_loop_ends(void **state)
{
    (void)state;
    for (unsigned turns = 0; turns < 2; turns++) {
        struct world world;

        world_open(&world, US_PER_S);
        for (unsigned turn = 0; turn < turns; turn++)
            turn_sleeps(&world);
        ev_io_stop(world.loop, &world.event);
        assert_false(ev_run(world.loop, 0));
        busy_poll_stop(&world.poll);
        assert_false(ev_run(world.loop, 0));

        ev_io_start(world.loop, &world.event);
        assert_true(ev_run(world.loop, EVRUN_ONCE)); /* and is not cut short */
        assert_true(turn_sleeps(&world));
        ev_io_stop(world.loop, &world.event);
        ev_loop_destroy(world.loop);
        close(machine.event_fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_answers_in_time),
        cmocka_unit_test(test_answers_too_late),
        cmocka_unit_test(test_backs_off),
        cmocka_unit_test(test_preempted),
        cmocka_unit_test(test_loop_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
