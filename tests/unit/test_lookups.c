#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/memory.h"
#include "http/lookups.h"
#include "unit/random.h"

/* --- which names are looked up ---------------------------------------------------------- */

static bool is_free(struct lookups *lookups, struct lookup_wait *wait, const char *url)
{
    *wait = (struct lookup_wait){.data = NULL};
    return lookup_is_free(lookups, wait, url);
}

static void test_what_needs_a_lookup(void **state)
{
    static const struct {
        const char *url;
        bool want;
    } cases[] = {
        {"http://example.org/",                 true },
        {"https://example.org:8443/a?b#c",      true },
        {"http://user:word@example.org",        true },
        {"http://user:a%40b@c@example.org/",    true },
        {"http://1.2.3.4.example.org/",         true },
        {"http://localhost.example.org/",       true },
        {"http://example/@127.0.0.1",           true },
        {"http://example?@127.0.0.1",           true },
        {"http://x",                            true },
        {"http://127.0.0.1/",                   false},
        {"http://127.0.0.1:8080/x@example.org", false},
        {"http://u:p@127.0.0.1:80",             false},
        {"http://[::1]/",                       false},
        {"http://[::1]:8080/",                  false},
        {"http://u@[2001:db8::1]:80/x",         false},
        {"http://localhost",                    false},
        {"http://LocalHost:8080/",              false},
        {"http://u:p@localhost/?q",             false},
        {"http://localhost?q",                  false},
        {"http://",                             false},
        {"http:///path",                        false},
        {"no url",                              false},
        {"",                                    false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct lookups lookups = {.first = NULL};
        struct lookup_wait first, second;

        if (!is_free(&lookups, &first, cases[i].url))
            fail_msg("%s: the first one waits", cases[i].url);
        if (first.leads != cases[i].want)
            fail_msg("%s: leads is %d", cases[i].url, first.leads);
        if (is_free(&lookups, &second, cases[i].url) == cases[i].want)
            fail_msg("%s: the second one is free: %d", cases[i].url, !cases[i].want);
        lookups_clear(&lookups);
    }
}

/* Names of 255 bytes are looked up once; longer ones are for somebody else to refuse. */
static void test_long_names(void **state)
{
    static const struct {
        size_t length;
        bool want;
    } cases[] = {
        {255,   true },
        {256,   false},
        {10000, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct lookups lookups = {.first = NULL};
        struct lookup_wait wait;
        char *const url = xasprintf("http://%0*d/", (int)cases[i].length, 0);

        memset(url + 7, 'a', cases[i].length);
        assert_true(is_free(&lookups, &wait, url));
        assert_int_equal(wait.leads, cases[i].want);
        free(url);
        lookups_clear(&lookups);
    }
}

static void test_which_names_are_the_same(void **state)
{
    static const struct {
        const char *left, *right;
        bool want;
    } cases[] = {
        {"http://a.example/",     "http://a.example/x?y",       true },
        {"http://a.example/",     "https://a.example/",         true },
        {"http://a.example:80/",  "http://a.example:8080/",     true },
        {"http://a.example/",     "http://A.Example/",          true },
        {"http://me@a.example/",  "http://you:x@a.example:1/",  true },
        {"http://u@x@a.example/", "http://a.example/",          true },
        {"http://a.example?x",    "http://a.example#x",         true },
        {"http://a.example/",     "http://b.example/",          false},
        {"http://a.example/",     "http://a.example.org/",      false},
        {"http://a.example.org/", "http://a.example/",          false},
        {"http://a.example/",     "http://a.example@b.example", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct lookups lookups = {.first = NULL};
        struct lookup_wait left, right;

        assert_true(is_free(&lookups, &left, cases[i].left));
        if (is_free(&lookups, &right, cases[i].right) == cases[i].want)
            fail_msg("%s and %s", cases[i].left, cases[i].right);
        lookups_clear(&lookups);
    }
}

/* --- who waits, and for how long --------------------------------------------------------- */

enum { CROWD = 5 };

/* Requests for one name, and how it went for each. */
struct asker {
    struct lookup_wait wait;
    struct lookups *lookups;
    const char *url;
    size_t known, failed; /* on_known() was called so, so often */
    bool asks_again;      /* when it failed, at once */
    bool waits;
};

static void ask(struct asker *asker)
{
    asker->waits = !lookup_is_free(asker->lookups, &asker->wait, asker->url);
}

static void on_known(struct lookup_wait *wait, bool failed)
{
    struct asker *const asker = wait->data;

    assert_true(asker->waits);
    asker->waits = false;
    asker->failed += failed;
    asker->known += !failed;
    if (failed && asker->asks_again)
        ask(asker);
}

/* The first of them leads, the others wait. */
static void gather(struct lookups *lookups, struct asker crowd[CROWD])
{
    *lookups = (struct lookups){.first = NULL};
    for (size_t i = 0; i < CROWD; i++) {
        crowd[i] = (struct asker){.lookups = lookups, .url = "http://a.example/"};
        crowd[i].wait.on_known = on_known;
        crowd[i].wait.data = &crowd[i];
        ask(&crowd[i]);
        assert_int_equal(crowd[i].waits, i > 0);
        assert_int_equal(crowd[i].wait.leads, i == 0);
    }
}

static size_t count_leaders(const struct asker crowd[CROWD])
{
    size_t count = 0;

    for (size_t i = 0; i < CROWD; i++)
        count += crowd[i].wait.leads;
    return count;
}

static void test_nobody_is_told_too_early(void **state)
{
    struct lookups lookups;
    struct asker crowd[CROWD];

    (void)state;
    gather(&lookups, crowd);
    lookups_run(&lookups);
    lookup_succeeded(&crowd[0].wait);
    for (size_t i = 0; i < CROWD; i++)
        assert_int_equal(crowd[i].known + crowd[i].failed, 0);
    lookups_clear(&lookups);
}

static void test_success_wakes_all(void **state)
{
    struct lookups lookups;
    struct asker crowd[CROWD];
    struct lookup_wait late;

    (void)state;
    gather(&lookups, crowd);
    lookup_succeeded(&crowd[0].wait);
    lookups_run(&lookups);
    lookups_run(&lookups);
    for (size_t i = 1; i < CROWD; i++) {
        assert_int_equal(crowd[i].known, 1);
        assert_int_equal(crowd[i].failed, 0);
        assert_false(crowd[i].wait.leads); /* nobody has to look it up again */
    }
    assert_true(is_free(&lookups, &late, "http://a.example/"));
    assert_false(late.leads);
    lookups_clear(&lookups);
}

static void test_failure_fails_all(void **state)
{
    struct lookups lookups;
    struct asker crowd[CROWD];
    struct lookup_wait late;

    (void)state;
    gather(&lookups, crowd);
    lookup_failed(&crowd[0].wait);
    lookups_run(&lookups);
    lookups_run(&lookups);
    for (size_t i = 1; i < CROWD; i++) {
        assert_int_equal(crowd[i].known, 0);
        assert_int_equal(crowd[i].failed, 1);
    }
    assert_true(is_free(&lookups, &late, "http://a.example/"));
    assert_true(late.leads); /* it may be there by now */
    lookups_clear(&lookups);
}

/* Those who come after the failure do not fail with the others: one of them leads. */
static void test_failure_is_of_those_that_waited(void **state)
{
    struct lookups lookups;
    struct asker crowd[CROWD];
    struct asker late = {.lookups = &lookups, .url = "http://a.example/"};

    (void)state;
    late.wait.on_known = on_known;
    late.wait.data = &late;
    gather(&lookups, crowd);
    lookup_failed(&crowd[0].wait);
    ask(&late);
    assert_true(late.waits);
    lookups_run(&lookups);
    assert_int_equal(late.failed, 0);
    assert_int_equal(late.known, 1);
    assert_true(late.wait.leads);
    lookups_clear(&lookups);
}

/* Each asks again while others are still to be told of the failure: once all stood in
 * the queue then, and nobody looked the name up. */
static void test_asking_again_after_a_failure(void **state)
{
    struct lookups lookups;
    struct asker crowd[CROWD];

    (void)state;
    gather(&lookups, crowd);
    for (size_t i = 0; i < CROWD; i++)
        crowd[i].asks_again = true;
    for (size_t round = 1; round <= 3; round++) {
        struct asker *leader = NULL;

        for (size_t i = 0; i < CROWD; i++) {
            if (crowd[i].wait.leads)
                leader = &crowd[i];
        }
        assert_non_null(leader);
        lookup_failed(&leader->wait);
        ask(leader);
        lookups_run(&lookups);
        assert_int_equal(count_leaders(crowd), 1);
    }
    lookups_clear(&lookups);
}

/* A leader that ends for another reason hands the lead on, to one after the other. */
static void test_abandon_passes_the_lead(void **state)
{
    struct lookups lookups;
    struct asker crowd[CROWD];

    (void)state;
    gather(&lookups, crowd);
    for (size_t i = 0; i + 1 < CROWD; i++) {
        assert_true(crowd[i].wait.leads);
        lookup_abandon(&crowd[i].wait);
        lookups_run(&lookups);
        assert_int_equal(crowd[i + 1].known, 1);
        assert_int_equal(count_leaders(crowd), 1);
    }
    lookup_abandon(&crowd[CROWD - 1].wait); /* there is nobody left */
    lookups_run(&lookups);
    ask(&crowd[0]);
    assert_true(crowd[0].wait.leads);
    lookups_clear(&lookups);
}

/* Whoever is cancelled while it waits, wherever it stands, is not told; the others are. */
static void test_cancel_while_waiting(void **state)
{
    (void)state;
    for (size_t gone = 1; gone < CROWD; gone++) {
        for (int when_ready = 0; when_ready <= 1; when_ready++) {
            struct lookups lookups;
            struct asker crowd[CROWD];

            gather(&lookups, crowd);
            if (when_ready)
                lookup_succeeded(&crowd[0].wait);
            lookup_abandon(&crowd[gone].wait);
            lookup_abandon(&crowd[gone].wait);               /* twice is fine */
            memset(&crowd[gone], 0xEE, sizeof(crowd[gone])); /* it may be freed */
            if (!when_ready)
                lookup_succeeded(&crowd[0].wait);
            lookups_run(&lookups);
            for (size_t i = 1; i < CROWD; i++)
                assert_true(i == gone || crowd[i].known == 1);
            assert_int_equal(lookups.ready, 0);
            lookups_clear(&lookups);
        }
    }
}

/* The one that was to lead next is cancelled before it could. */
static void test_cancel_of_the_next_leader(void **state)
{
    struct lookups lookups;
    struct asker crowd[CROWD];

    (void)state;
    gather(&lookups, crowd);
    lookup_abandon(&crowd[0].wait);
    lookup_abandon(&crowd[1].wait);
    lookups_run(&lookups);
    assert_int_equal(crowd[1].known, 0);
    assert_true(crowd[2].wait.leads);
    lookups_clear(&lookups);
}

/* One who only waits, or neither, says nothing about the name. */
static void test_only_the_leader_decides(void **state)
{
    struct lookups lookups;
    struct asker crowd[CROWD];
    struct lookup_wait other = {.data = NULL};

    (void)state;
    gather(&lookups, crowd);
    lookup_succeeded(&crowd[1].wait);
    lookup_failed(&crowd[2].wait);
    lookup_succeeded(&other);
    lookup_failed(&other);
    lookup_abandon(&other);
    lookups_run(&lookups);
    for (size_t i = 0; i < CROWD; i++)
        assert_int_equal(crowd[i].known + crowd[i].failed, 0);
    assert_true(crowd[0].wait.leads);
    lookups_clear(&lookups);
}

/* --- anything, in any order ------------------------------------------------------------- */

enum { MANY = 12, NAMES = 3 };

/* Who waits, waits for somebody: each name has at most one leader, and one if anybody
 * waits for it. */
static void check_nobody_hangs(const struct asker many[MANY])
{
    for (size_t name = 0; name < NAMES; name++) {
        size_t leaders = 0, waiting = 0;

        for (size_t i = name; i < MANY; i += NAMES) {
            leaders += many[i].wait.leads;
            waiting += many[i].waits;
        }
        assert_true(leaders <= 1);
        assert_true(waiting == 0 || leaders == 1);
    }
}

static void do_something(struct random *random, struct asker *asker)
{
    const bool idle = !asker->waits && !asker->wait.leads;

    asker->asks_again = random_chance(random, 50);
    switch (random_below(random, 8)) {
    case 0:
        lookup_abandon(&asker->wait);
        asker->waits = false;
        break;
    case 1:
    case 2:
        lookup_failed(&asker->wait);
        break;
    case 3:
        if (random_chance(random, 10))
            lookup_succeeded(&asker->wait);
        break;
    default:
        if (idle)
            ask(asker);
    }
}

static void test_nobody_hangs(void **state)
{
    static const char *const urls[NAMES] = {"http://a.example", "http://b.example",
                                            "http://c.example"};
    struct random random = random_start("test_nobody_hangs");

    (void)state;
    for (int round = 0; round < 500; round++) {
        struct lookups lookups = {.first = NULL};
        struct asker many[MANY];

        for (size_t i = 0; i < MANY; i++) {
            many[i] = (struct asker){.lookups = &lookups, .url = urls[i % NAMES]};
            many[i].wait.on_known = on_known;
            many[i].wait.data = &many[i];
        }
        for (int turn = 0; turn < 100; turn++) {
            for (uint64_t left = random_below(&random, 4); left > 0; left--)
                do_something(&random, &many[random_below(&random, MANY)]);
            lookups_run(&lookups);
            check_nobody_hangs(many);
            assert_int_equal(lookups.ready, 0);
        }
        lookups_clear(&lookups);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_needs_a_lookup),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_which_names_are_the_same),
        cmocka_unit_test(test_nobody_is_told_too_early),
        cmocka_unit_test(test_success_wakes_all),
        cmocka_unit_test(test_failure_fails_all),
        cmocka_unit_test(test_failure_is_of_those_that_waited),
        cmocka_unit_test(test_asking_again_after_a_failure),
        cmocka_unit_test(test_abandon_passes_the_lead),
        cmocka_unit_test(test_cancel_while_waiting),
        cmocka_unit_test(test_cancel_of_the_next_leader),
        cmocka_unit_test(test_only_the_leader_decides),
        cmocka_unit_test(test_nobody_hangs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
