#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/memory.h"
#include "broker/roster.h"

static struct zframe route_of(const char *text)
{
    return (struct zframe){.data = text, .size = strlen(text)};
}

static struct agent *add(struct roster *roster, const char *instance, const char *route)
{
    struct agent *const agent = roster_add(roster, instance, instance, "host", 1);
    const struct zframe frame = route_of(route);

    roster_connect(roster, agent, &frame);
    return agent;
}

static struct agent *by_route(const struct roster *roster, const char *text)
{
    const struct zframe route = route_of(text);

    return roster_find_route(roster, &route);
}

/* More than there are buckets: all are found by both names, until they go. */
static void test_many(void **state)
{
    enum { COUNT = 9000 };
    struct roster roster;
    char name[32], route[32];

    (void)state;
    roster_init(&roster);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "agent-%d", i);
        snprintf(route, sizeof(route), "route-%d", i);
        add(&roster, name, route);
    }
    assert_int_equal(roster.present_count, COUNT);
    assert_int_equal(roster_count_idle(&roster), COUNT);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "agent-%d", i);
        snprintf(route, sizeof(route), "route-%d", i);
        assert_non_null(by_route(&roster, route));
        assert_ptr_equal(by_route(&roster, route), roster_find(&roster, name));
        assert_string_equal(roster_find(&roster, name)->instance, name);
        if (i % 2 == 0)
            roster_disconnect(&roster, roster_find(&roster, name));
    }
    assert_int_equal(roster.count, COUNT / 2);
    assert_null(roster_find(&roster, "agent-0"));
    assert_null(by_route(&roster, "route-0"));
    assert_non_null(by_route(&roster, "route-1"));
    roster_clear(&roster);
}

/* Who has been idle for longest is next; who was not heard of lately is passed over. */
static void test_order(void **state)
{
    struct roster roster;
    struct agent *a, *b, *c;
    struct run *const run = (struct run *)&roster; /* not looked at */

    (void)state;
    roster_init(&roster);
    a = add(&roster, "a", "1");
    b = add(&roster, "b", "2");
    c = add(&roster, "c", "3");
    assert_ptr_equal(roster_take(&roster, run, 0), a);
    assert_ptr_equal(a->run, run);
    roster_release(&roster, a);
    assert_ptr_equal(roster_take(&roster, run, 0), b);
    c->silent = PROTO_BEATS_MISSED_MAX + 1;
    assert_int_equal(roster_count_idle(&roster), 1);
    assert_int_equal(roster_count_silent(&roster), 1);
    assert_ptr_equal(roster_take(&roster, run, 1), a);
    assert_int_equal(a->index, 1);
    assert_int_equal(roster_count_idle(&roster), 0);
    roster_clear(&roster);
}

/* An agent that a run counts on stays, with its run, until that lets it go. */
static void test_absent(void **state)
{
    struct roster roster;
    struct agent *agent;
    const struct zframe again = route_of("2");

    (void)state;
    roster_init(&roster);
    agent = add(&roster, "a", "1");
    roster_take(&roster, (struct run *)&roster, 0);
    roster_disconnect(&roster, agent);
    assert_int_equal(roster.present_count, 0);
    assert_ptr_equal(roster_find(&roster, "a"), agent);
    assert_null(by_route(&roster, "1"));
    roster_connect(&roster, agent, &again);
    assert_ptr_equal(by_route(&roster, "2"), agent);
    assert_int_equal(roster_count_idle(&roster), 0); /* it has its run still */
    roster_disconnect(&roster, agent);
    roster_release(&roster, agent);
    assert_null(roster_find(&roster, "a"));
    assert_int_equal(roster.count, 0);
    roster_clear(&roster);
}

/* A new connection of an agent replaces the old one; a connection that says it is another
 * agent is that one from now on. */
static void test_routes(void **state)
{
    struct roster roster;
    struct agent *a, *b;
    const struct zframe second = route_of("2"), third = route_of("3");

    (void)state;
    roster_init(&roster);
    a = add(&roster, "a", "1");
    b = add(&roster, "b", "2");
    roster_connect(&roster, b, &third);
    assert_null(by_route(&roster, "2"));
    roster_connect(&roster, b, &third);
    assert_ptr_equal(by_route(&roster, "3"), b);
    assert_int_equal(roster_count_idle(&roster), 2);
    roster_connect(&roster, a, &third);
    assert_ptr_equal(by_route(&roster, "3"), a);
    assert_null(roster_find(&roster, "b"));
    assert_int_equal(roster.present_count, 1);
    roster_connect(&roster, a, &second);
    assert_int_equal(roster_count_idle(&roster), 1);
    roster_clear(&roster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_routes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
