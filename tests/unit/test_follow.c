#include "unit/fake_broker.h"

#include "base/clock.h"
#include "base/loop.h"
#include "runner/follow.h"

enum { PATIENCE_S = 20 };

/* A console: what it was told, and what it holds. */
struct console {
    struct ev_loop *loop;
    void *context;
    struct fake_broker fake;
    struct follow follow;
    int64_t sum;
    unsigned news, replaced, ends, refusals, lost, back;
    char why[200], trouble[200];
};

static int64_t sum_of(const struct delta *delta)
{
    const struct table *const table = &delta->stats.counters;

    return table->count > 0 ? ((const struct counter_stats *)table->rows[0])->value : 0;
}

static void on_news(struct follow *follow, const struct message_update *update,
                    bool replaces)
{
    struct console *const console = follow->owner;

    console->news++;
    console->replaced += replaces;
    console->sum = (replaces ? 0 : console->sum) + sum_of(&update->delta);
    snprintf(console->trouble, sizeof(console->trouble), "%s",
             update->trouble != NULL ? update->trouble : "");
}

static void on_end(struct follow *follow, const struct message_update *end)
{
    struct console *const console = follow->owner;

    console->ends++;
    console->sum = sum_of(&end->delta);
    assert_true(end->has_facts);
}

static void on_refused(struct follow *follow, const char *why)
{
    struct console *const console = follow->owner;

    console->refusals++;
    snprintf(console->why, sizeof(console->why), "%s", why);
}

static void on_contact(struct follow *follow, bool there)
{
    struct console *const console = follow->owner;

    console->lost += !there;
    console->back += there;
}

/* Runs the loop until the condition holds. */
#define AWAIT(console, condition) \
    do { \
        const uint64_t end_us = clock_us() + PATIENCE_S * US_PER_S; \
        while (!(condition)) { \
            if (clock_us() > end_us) \
                fail_msg("%s:%d: in vain: %s", __FILE__, __LINE__, #condition); \
            run_briefly((console)->loop); \
        } \
    } while (0)

static void on_brief_end(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)timer;
    (void)revents;
    ev_break(loop, EVBREAK_ONE);
}

static void run_briefly(struct ev_loop *loop)
{
    ev_timer timer;

    ev_timer_init(&timer, on_brief_end, 0, 0);
    loop_timer_start(loop, &timer, 0.01);
    ev_run(loop, 0);
    ev_timer_stop(loop, &timer);
}

static int64_t sum_up_to(uint64_t revision)
{
    return (int64_t)(revision * (revision + 1) / 2);
}

static bool holds_all(const struct console *console)
{
    return console->follow.revision == console->fake.revision &&
           console->sum == sum_up_to(console->fake.revision);
}

static struct console *start_console(uint64_t revision)
{
    struct console *const console = xcalloc(1, sizeof(*console));
    struct error err;

    console->loop = loop_new();
    console->context = zcontext_new();
    fake_start(&console->fake, console->loop, console->context);
    console->fake.revision = revision;
    console->follow = (struct follow){
        .loop = console->loop,
        .context = console->context,
        .endpoint = console->fake.frontend_endpoint,
        .run = "run-1",
        .quiet_s = 0.3,
        .on_news = on_news,
        .on_end = on_end,
        .on_refused = on_refused,
        .on_contact = on_contact,
        .owner = console,
    };
    assert_int_equal(follow_start(&console->follow, &err), 0);
    return console;
}

static void end_console(struct console *console)
{
    follow_stop(&console->follow);
    fake_end(&console->fake);
    zcontext_destroy(console->context);
    ev_loop_destroy(console->loop);
    free(console);
}

/* Waits until what is published arrives: subscribing takes a moment. */
static void await_subscription(struct console *console)
{
    const unsigned before = console->news;

    while (console->news == before) {
        fake_go_on(&console->fake);
        run_briefly(console->loop);
    }
    AWAIT(console, holds_all(console));
}

/* --- the rules ---------------------------------------------------------------------- */

static void test_in_order(void **state)
{
    struct console *const console = start_console(3);

    (void)state;
    AWAIT(console, console->news > 0);
    assert_int_equal(console->sum, sum_up_to(3));
    await_subscription(console);
    for (int i = 0; i < 50; i++)
        fake_go_on(&console->fake);
    AWAIT(console, holds_all(console));
    assert_int_equal(console->replaced, 0);
    end_console(console);
}

/* What was missed is asked for, once; what is old is ignored. */
static void test_gap(void **state)
{
    struct console *const console = start_console(1);
    struct fake_broker *const fake = &console->fake;
    unsigned asked;
    uint64_t held;

    (void)state;
    AWAIT(console, console->news > 0);
    await_subscription(console);
    asked = fake->counts[MESSAGE_SNAPSHOT];
    held = fake->revision;
    fake->revision += 2;
    fake_go_on(fake);
    AWAIT(console, holds_all(console));
    assert_int_equal(fake->counts[MESSAGE_SNAPSHOT], asked + 1);
    assert_int_equal(fake->asked_after, held);
    fake_publish(fake, NULL, held - 1, held);
    fake_publish(fake, "run-12", fake->revision, fake->revision + 1);
    fake_go_on(fake);
    AWAIT(console, holds_all(console));
    end_console(console);
}

/* What was published and did not arrive is asked for after a while. */
static void test_silence(void **state)
{
    struct console *const console = start_console(1);

    (void)state;
    AWAIT(console, console->news > 0);
    console->fake.revision = 9;
    console->fake.trouble = "no space";
    AWAIT(console, holds_all(console));
    assert_string_equal(console->trouble, "no space");
    end_console(console);
}

/* A broker that lost the end of what it had stored, or has merged it. */
static void test_replaced(void **state)
{
    struct console *const console = start_console(9);

    (void)state;
    AWAIT(console, console->news > 0);
    console->fake.revision = 4;
    AWAIT(console, console->replaced == 1);
    assert_true(holds_all(console));
    console->fake.revision = 6;
    console->fake.whole = true;
    AWAIT(console, console->replaced == 2);
    assert_true(holds_all(console));
    end_console(console);
}

/* It is told once, and again when it is back: with another publisher. */
static void test_broker_away(void **state)
{
    struct console *const console = start_console(1);

    (void)state;
    AWAIT(console, console->news > 0);
    fake_close(&console->fake);
    AWAIT(console, console->lost > 0);
    console->fake.revision = 5;
    fake_open(&console->fake);
    AWAIT(console, console->back > 0 && holds_all(console));
    await_subscription(console);
    assert_int_equal(console->lost, 1);
    assert_int_equal(console->back, 1);
    end_console(console);
}

static void test_no_broker_yet(void **state)
{
    struct console *const console = start_console(1);

    (void)state;
    console->fake.silent = true;
    AWAIT(console, console->fake.counts[MESSAGE_PING] > 2 && console->lost == 1);
    console->fake.silent = false;
    AWAIT(console, console->back == 1 && console->news > 0);
    end_console(console);
}

/* END_OF_RUN comes from the publisher, or as an answer. */
static void test_end(void **state)
{
    static const struct {
        const char *name;
        bool is_published;
        uint64_t more;
    } cases[] = {
        {"published",           true,  0},
        {"published, with new", true,  3},
        {"answered",            false, 0},
        {"answered, with new",  false, 3},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct console *const console = start_console(2);
        struct fake_broker *const fake = &console->fake;

        AWAIT(console, console->news > 0);
        if (cases[i].is_published)
            await_subscription(console);
        fake->over = true;
        fake->revision += cases[i].more;
        if (cases[i].is_published)
            fake_publish(fake, NULL, 0, fake->revision);
        AWAIT(console, console->ends == 1);
        assert_int_equal(console->sum, sum_up_to(fake->revision));
        end_console(console);
    }
}

static void test_refused(void **state)
{
    struct console *const console = start_console(2);

    (void)state;
    AWAIT(console, console->news > 0);
    console->fake.refusal = "no such run";
    AWAIT(console, console->refusals == 1);
    assert_string_equal(console->why, "no such run");
    end_console(console);
}

/* Answers that are none change nothing, and it is asked again. */
static void test_garbage(void **state)
{
    static const char *const cases[] = {
        "",
        "\x80",
        "\xC1\xC1",
        "\x81\xA7message\xA6UPDATE", /* without its fields */
        "\x81\xA7message\xA4PONG",   /* which was not asked for */
        "\x81\xA7message\xA5PANIC",
    };
    struct console *const console = start_console(2);

    (void)state;
    AWAIT(console, console->news > 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const unsigned asked = console->fake.counts[MESSAGE_SNAPSHOT];

        console->fake.garbage = cases[i];
        console->fake.garbage_size = strlen(cases[i]);
        AWAIT(console, console->fake.counts[MESSAGE_SNAPSHOT] > asked);
        console->fake.garbage = NULL;
        console->fake.revision++;
        AWAIT(console, holds_all(console));
    }
    assert_int_equal(console->replaced, 0);
    end_console(console);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order),      cmocka_unit_test(test_gap),
        cmocka_unit_test(test_silence),       cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_broker_away),   cmocka_unit_test(test_end),
        cmocka_unit_test(test_no_broker_yet), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_garbage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
