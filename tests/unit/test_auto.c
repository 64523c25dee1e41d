#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"
#include "http/transport.h"

/* --- the two transports, which do what the test says --------------------------------------- */

struct transport {
    size_t users;
};

struct transport_user {
    struct transport *transport;
};

/* Nobody looks into them here. */
#define NAMES ((struct names *)(void *)&made)

static struct {
    size_t direct, curl; /* transports that there are */
    size_t curl_users;
} made;

static struct transport_user *fake_user_new(struct transport *transport)
{
    struct transport_user *const user = xcalloc(1, sizeof(*user));

    user->transport = transport;
    transport->users++;
    return user;
}

static struct transport_user *fake_curl_user_new(struct transport *transport)
{
    made.curl_users++;
    return fake_user_new(transport);
}

static void fake_user_destroy(struct transport_user *user)
{
    user->transport->users--;
    free(user);
}

static struct transport *fake_direct_new(struct ev_loop *loop, struct names *names)
{
    assert_non_null(loop);
    assert_ptr_equal(names, NAMES);
    made.direct++;
    return xcalloc(1, sizeof(struct transport));
}

static struct transport *fake_curl_new(struct ev_loop *loop, struct names *names)
{
    assert_non_null(loop);
    assert_ptr_equal(names, NAMES);
    made.curl++;
    return xcalloc(1, sizeof(struct transport));
}

static void fake_destroy(struct transport *transport)
{
    assert_int_equal(transport->users, 0);
    free(transport);
}

/* Where an exchange is: `carrier` says so. */
static char with_direct[] = "direct", with_curl[] = "curl", cancelled_by_direct[] = "x",
            cancelled_by_curl[] = "y";

static void fake_direct_start(struct transport_user *user, struct exchange *exchange)
{
    assert_non_null(user->transport);
    exchange->carrier = with_direct;
}

static void fake_curl_start(struct transport_user *user, struct exchange *exchange)
{
    assert_non_null(user->transport);
    exchange->carrier = with_curl;
}

static void fake_direct_cancel(struct exchange *exchange)
{
    assert_ptr_equal(exchange->carrier, with_direct);
    exchange->carrier = cancelled_by_direct;
}

static void fake_curl_cancel(struct exchange *exchange)
{
    assert_ptr_equal(exchange->carrier, with_curl);
    exchange->carrier = cancelled_by_curl;
}

const struct transport_type transport_direct = {
    .name = "direct",
    .new = fake_direct_new,
    .destroy = fake_destroy,
    .user_new = fake_user_new,
    .user_destroy = fake_user_destroy,
    .start = fake_direct_start,
    .cancel = fake_direct_cancel,
};

const struct transport_type transport_curl = {
    .name = "curl",
    .new = fake_curl_new,
    .destroy = fake_destroy,
    .user_new = fake_curl_user_new,
    .user_destroy = fake_user_destroy,
    .start = fake_curl_start,
    .cancel = fake_curl_cancel,
};

/* --- users of the transport that chooses ---------------------------------------------------- */

enum { USERS = 5 };

struct world {
    struct ev_loop *loop;
    struct transport *transport;
    struct transport_user *users[USERS];
    struct arena arena;
    struct exchange exchanges[USERS]; /* one for each */
    size_t done[USERS];               /* how often it was told of */
};

static void world_open(struct world *world)
{
    *world = (struct world){.loop = loop_new()};
    memset(&made, 0, sizeof(made));
    world->transport = transport_auto.new(world->loop, NAMES);
    for (size_t i = 0; i < USERS; i++)
        world->users[i] = transport_auto.user_new(world->transport);
}

static void world_close(struct world *world)
{
    for (size_t i = 0; i < USERS; i++)
        transport_auto.user_destroy(world->users[i]);
    transport_auto.destroy(world->transport);
    ev_loop_destroy(world->loop);
    arena_clear(&world->arena);
}

static void on_done(struct exchange *exchange)
{
    size_t *const done = exchange->data;

    assert_false(exchange->offer_http2);
    assert_false(exchange->chose_http2);
    ++*done;
}

#define PATIENCE_US (100 * (uint64_t)US_PER_S)

static struct exchange *prepare(struct world *world, size_t user, const char *url)
{
    struct exchange *const exchange = &world->exchanges[user];

    *exchange = (struct exchange){
        .method = "GET",
        .url = url,
        .started_us = clock_us(),
        .timeout_us = PATIENCE_US,
        .arena = &world->arena,
        .on_done = on_done,
        .data = &world->done[user],
    };
    return exchange;
}

static struct exchange *start_for(struct world *world, size_t user, const char *url,
                                  uint64_t timeout_us)
{
    struct exchange *const exchange = prepare(world, user, url);

    exchange->timeout_us = timeout_us;
    transport_auto.start(world->users[user], exchange);
    return exchange;
}

static struct exchange *start(struct world *world, size_t user, const char *url)
{
    return start_for(world, user, url, PATIENCE_US);
}

/* All users ask for the same: the first one leads. */
static void start_all(struct world *world, const char *url)
{
    for (size_t i = 0; i < USERS; i++)
        start(world, i, url);
}

/* A turn of the loop that waits for nothing. */
static void turn(struct world *world)
{
    ev_run(world->loop, EVRUN_NOWAIT);
}

static void finish(struct exchange *exchange)
{
    exchange->complete = exchange->written && exchange->failure == NULL;
    exchange->ended_us = clock_us();
    exchange->on_done(exchange);
}

/* Whether `users` (as bits) are just those whose exchange is there now. */
static void expect_with(const struct world *world, const char *transport,
                        unsigned users)
{
    for (size_t i = 0; i < USERS; i++) {
        if ((world->exchanges[i].carrier == transport) != (users >> i & 1))
            fail_msg("user %zu: '%s'", i,
                     world->exchanges[i].carrier != NULL
                         ? (const char *)world->exchanges[i].carrier
                         : "nowhere");
    }
}

#define ALL ((1u << USERS) - 1)

static void expect_settled(const struct exchange *exchange, enum carrier_kind kind)
{
    assert_ptr_equal(exchange->on_done, on_done);
    assert_false(exchange->offer_http2);
    assert_int_equal(exchange->carried_by, kind);
}

/* --- who gets what ---------------------------------------------------------------------------- */

static void test_plain_http_is_direct(void **state)
{
    static const char *const urls[] = {"http://a/",          "HTTP://a:443/",
                                       "http+unix://%2Fs/x", "http://https/",
                                       "ftp://a/",           "x://"};
    struct world world;

    (void)state;
    world_open(&world);
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        struct exchange *const exchange = start(&world, 0, urls[i]);

        expect_with(&world, with_direct, 1);
        expect_settled(exchange, CARRIED_BY_DIRECT);
        finish(exchange);
    }
    assert_int_equal(world.done[0], ARRAY_SIZE(urls));
    assert_int_equal(made.curl, 0);
    world_close(&world);
}

/* Only libcurl codes a body as the request itself says. */
static void test_own_transfer_encoding(void **state)
{
    static const char *const coded[] = {"X: 1", "transfer-encoding: chunked", NULL};
    static const char *const plain[] = {"Transfer: 1", "Transfer-Encodings: x", NULL};
    static const struct {
        const char *url;
        header_lines headers, user_headers;
        enum carrier_kind want;
    } cases[] = {
        {"http://a/",          coded, NULL,  CARRIED_BY_CURL  },
        {"http://a/",          NULL,  coded, CARRIED_BY_CURL  },
        {"http://a/",          plain, plain, CARRIED_BY_DIRECT},
        {"http+unix://%2Fs/x", coded, plain, CARRIED_BY_CURL  },
        {"https://a/",         plain, coded, CARRIED_BY_CURL  }, /* and does not lead */
        {"https://a/",         plain, NULL,  CARRIED_BY_DIRECT},
    };
    struct world world;

    (void)state;
    world_open(&world);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct exchange *const exchange = prepare(&world, 0, cases[i].url);

        exchange->headers = cases[i].headers;
        exchange->user_headers = cases[i].user_headers;
        transport_auto.start(world.users[0], exchange);
        assert_int_equal(exchange->carried_by, cases[i].want);
        exchange->written = true;
        finish(exchange);
        assert_int_equal(world.done[0], i + 1);
    }
    world_close(&world);
}

static void test_others_wait_for_the_handshake(void **state)
{
    struct world world;

    (void)state;
    world_open(&world);
    start_all(&world, "https://a/");
    expect_with(&world, with_direct, 1);
    assert_true(world.exchanges[0].offer_http2);
    turn(&world); /* nothing is known yet */
    expect_with(&world, with_direct, 1);
    world.exchanges[0].written = true; /* as HTTP/1.1; its answer may take long */
    turn(&world);
    expect_with(&world, with_direct, ALL);
    for (size_t i = 0; i < USERS; i++) {
        expect_settled(&world.exchanges[i], CARRIED_BY_DIRECT);
        finish(&world.exchanges[i]);
        assert_int_equal(world.done[i], 1);
    }
    expect_settled(start(&world, 0, "https://a/other"), CARRIED_BY_DIRECT);
    expect_with(&world, with_direct, ALL);
    assert_int_equal(made.curl, 0);
    world_close(&world);
}

/* The same where the answer came before the loop turned. */
static void test_answer_of_the_leader(void **state)
{
    struct world world;

    (void)state;
    world_open(&world);
    start_all(&world, "https://a/");
    world.exchanges[0].written = true;
    finish(&world.exchanges[0]);
    assert_int_equal(world.done[0], 1);
    start(&world, 0, "https://a/"); /* it is known already */
    assert_false(world.exchanges[0].offer_http2);
    turn(&world);
    expect_with(&world, with_direct, ALL);
    world_close(&world);
}

static void test_http2_is_for_curl(void **state)
{
    struct world world;
    struct exchange *leader;

    (void)state;
    world_open(&world);
    start_all(&world, "https://a/");
    leader = &world.exchanges[0];
    leader->chose_http2 = true;
    leader->new_connection = true;
    leader->failure = "nothing was written";
    leader->detail = "more of it";
    leader->phase_happened[PHASE_TLS] = true;
    finish(leader);
    assert_int_equal(world.done[0], 0); /* it goes on */
    expect_with(&world, with_curl, 1);
    expect_settled(leader, CARRIED_BY_CURL);
    assert_false(leader->chose_http2 || leader->new_connection ||
                 leader->phase_happened[PHASE_TLS]);
    assert_null(leader->failure);
    assert_null(leader->detail);
    turn(&world);
    expect_with(&world, with_curl, ALL);
    for (size_t i = 0; i < USERS; i++) {
        finish(&world.exchanges[i]);
        assert_int_equal(world.done[i], 1);
        start(&world, i, "https://a/");
        expect_settled(&world.exchanges[i], CARRIED_BY_CURL);
    }
    assert_int_equal(made.curl, 1);
    assert_int_equal(made.curl_users, USERS);
    start(&world, 1, "http://a/"); /* which is another thing */
    expect_with(&world, with_direct, 2);
    world_close(&world);
}

/* One that fails before the handshake told leaves the others nothing to wait for: all of
 * them lead, and see for themselves what is wrong. */
static void test_leader_that_fails(void **state)
{
    struct world world;

    (void)state;
    world_open(&world);
    start_all(&world, "https://a/");
    expect_with(&world, with_direct, 1);
    world.exchanges[0].failure = "refused";
    finish(&world.exchanges[0]);
    assert_int_equal(world.done[0], 1);
    turn(&world);
    expect_with(&world, with_direct, ALL);
    for (size_t i = 1; i < USERS; i++) {
        assert_true(world.exchanges[i].offer_http2);
        world.exchanges[i].failure = "refused";
        finish(&world.exchanges[i]);
        assert_int_equal(world.done[i], 1);
        turn(&world);
    }
    start(&world, 2, "https://a/"); /* as if nobody had asked */
    assert_true(world.exchanges[2].offer_http2);
    assert_int_equal(made.curl, 0);
    world_close(&world);
}

/* Of several leaders the first one that knows decides for all that follow. */
static void test_several_leaders(void **state)
{
    struct world world;

    (void)state;
    world_open(&world);
    start(&world, 0, "https://a/");
    start(&world, 1, "https://a/");
    start(&world, 2, "https://a/");
    world.exchanges[0].failure = "refused";
    finish(&world.exchanges[0]);
    turn(&world);
    start(&world, 3, "https://a/"); /* waits for 1 and 2 */
    world.exchanges[2].chose_http2 = true;
    finish(&world.exchanges[2]);
    expect_settled(&world.exchanges[2], CARRIED_BY_CURL);
    turn(&world);
    expect_settled(&world.exchanges[3], CARRIED_BY_CURL);
    world.exchanges[1].written = true; /* another of its servers chose otherwise */
    turn(&world);
    expect_settled(&world.exchanges[1], CARRIED_BY_DIRECT);
    start(&world, 0, "https://a/");
    expect_settled(&world.exchanges[0], CARRIED_BY_CURL);
    world_close(&world);
}

static void test_sites_are_apart(void **state)
{
    static const char *const urls[] = {"https://b/", "https://a:444/",
                                       "https+unix://%2Fa/", "https://a.b/"};
    struct world world;

    (void)state;
    world_open(&world);
    start(&world, 0, "https://a/");
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        start(&world, i + 1, urls[i]);
        assert_true(world.exchanges[i + 1].offer_http2);
    }
    expect_with(&world, with_direct, ALL);
    world.exchanges[1].chose_http2 = true;
    finish(&world.exchanges[1]);
    world.exchanges[0].written = true;
    turn(&world);
    expect_with(&world, with_direct, ALL & ~2u);
    start(&world, 0, "https://me:word@a?x"); /* whoever asks there, and for what */
    expect_settled(&world.exchanges[0], CARRIED_BY_DIRECT);
    start(&world, 0, "HTTPS://me@b/x@y");
    expect_settled(&world.exchanges[0], CARRIED_BY_CURL);
    for (size_t i = 2; i < USERS; i++)
        assert_true(world.exchanges[i].offer_http2);
    world_close(&world);
}

/* --- the end of a wait -------------------------------------------------------------------------- */

static void test_timeout_of_a_wait(void **state)
{
    struct world world;

    (void)state;
    for (size_t late = 1; late < USERS; late++) { /* first, last, and between */
        world_open(&world);
        for (size_t i = 0; i < USERS; i++)
            start_for(&world, i, "https://a/",
                      (i == late ? 1 : 100000) * (uint64_t)US_PER_MS);
        while (world.done[late] == 0)
            ev_run(world.loop, EVRUN_ONCE);
        expect_settled(&world.exchanges[late], CARRIED_BY_DIRECT);
        assert_ptr_equal(world.exchanges[late].failure, failure_no_connection);
        assert_false(world.exchanges[late].complete || world.exchanges[late].written);
        assert_true(world.exchanges[late].ended_us >=
                    world.exchanges[late].started_us + US_PER_MS);
        expect_with(&world, with_direct, 1);
        world.exchanges[0].written = true;
        turn(&world);
        expect_with(&world, with_direct, ALL & ~(1u << late));
        world_close(&world);
    }
}

static void test_cancel_of_a_wait(void **state)
{
    struct world world;

    (void)state;
    for (size_t cut = 1; cut < USERS; cut++) {
        world_open(&world);
        start_all(&world, "https://a/");
        transport_auto.cancel(&world.exchanges[cut]);
        expect_settled(&world.exchanges[cut], CARRIED_BY_DIRECT);
        assert_true(world.exchanges[cut].ended_us > 0);
        expect_with(&world, with_direct, 1);
        start(&world, cut, "https://a/"); /* at the end of the queue now */
        world.exchanges[0].chose_http2 = true;
        finish(&world.exchanges[0]);
        turn(&world);
        expect_with(&world, with_curl, ALL);
        assert_int_equal(world.done[cut], 0);
        world_close(&world);
    }
}

static void test_cancel_of_the_leader(void **state)
{
    struct world world;

    (void)state;
    for (int is_written = 0; is_written <= 1; is_written++) {
        world_open(&world);
        start_all(&world, "https://a/");
        world.exchanges[0].written = is_written;
        transport_auto.cancel(&world.exchanges[0]);
        expect_with(&world, cancelled_by_direct, 1);
        expect_settled(&world.exchanges[0], CARRIED_BY_DIRECT);
        turn(&world);
        expect_with(&world, with_direct, ALL & ~1u);
        assert_int_equal(world.exchanges[1].offer_http2, !is_written);
        world_close(&world);
    }
}

/* The forced end of a test: none of those that wait begins to lead. */
static void test_cancel_of_all(void **state)
{
    struct world world;

    (void)state;
    world_open(&world);
    start_all(&world, "https://a/");
    for (size_t i = 0; i < USERS; i++)
        transport_auto.cancel(&world.exchanges[i]);
    turn(&world);
    expect_with(&world, cancelled_by_direct, 1);
    expect_with(&world, with_direct, 0);
    world_close(&world);
}

static void test_cancel_of_what_is_settled(void **state)
{
    struct world world;

    (void)state;
    world_open(&world);
    transport_auto.cancel(start(&world, 0, "http://a/"));
    expect_with(&world, cancelled_by_direct, 1);
    start(&world, 0, "https://a/")->chose_http2 = true;
    finish(&world.exchanges[0]);
    transport_auto.cancel(&world.exchanges[0]);
    expect_with(&world, cancelled_by_curl, 1);
    world_close(&world);
}

/* --- bounds --------------------------------------------------------------------------------------- */

static void test_too_many_sites(void **state)
{
    enum { MOST = 1000 };
    struct world world;
    char url[64];

    (void)state;
    world_open(&world);
    for (unsigned i = 0; i < MOST; i++) {
        snprintf(url, sizeof(url), "https://host-%u/", i);
        assert_true(start(&world, 0, url)->offer_http2);
        world.exchanges[0].written = true;
        finish(&world.exchanges[0]);
    }
    turn(&world);
    expect_settled(start(&world, 0, "https://one-more/"), CARRIED_BY_CURL);
    expect_settled(start(&world, 1, "https://one-more/"), CARRIED_BY_CURL);
    for (unsigned i = 0; i < MOST; i++) { /* these are known all the same */
        snprintf(url, sizeof(url), "https://host-%u/x", i);
        expect_settled(start(&world, 0, url), CARRIED_BY_DIRECT);
    }
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_http_is_direct),
        cmocka_unit_test(test_own_transfer_encoding),
        cmocka_unit_test(test_others_wait_for_the_handshake),
        cmocka_unit_test(test_answer_of_the_leader),
        cmocka_unit_test(test_http2_is_for_curl),
        cmocka_unit_test(test_leader_that_fails),
        cmocka_unit_test(test_several_leaders),
        cmocka_unit_test(test_sites_are_apart),
        cmocka_unit_test(test_timeout_of_a_wait),
        cmocka_unit_test(test_cancel_of_a_wait),
        cmocka_unit_test(test_cancel_of_the_leader),
        cmocka_unit_test(test_cancel_of_all),
        cmocka_unit_test(test_cancel_of_what_is_settled),
        cmocka_unit_test(test_too_many_sites),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
