#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/outbox.h"
#include "base/memory.h"
#include "base/text.h"
#include "unit/random.h"

#define RUN "a-run"

static void expect_u64(const char *name, uint64_t got, uint64_t want)
{
    if (got != want)
        fail_msg("%s: got %" PRIu64 ", want %" PRIu64, name, got, want);
}

/* --- a delta of hits ---------------------------------------------------------------------- */

static void add_hits(struct outbox *outbox, uint64_t from_us, uint64_t until_us,
                     uint64_t hits)
{
    struct delta delta;

    delta_init(&delta);
    delta.from_us = from_us;
    delta.until_us = until_us;
    if (hits > 0)
        stats_request(&delta.stats, "GET", "/", 1)->hits = hits;
    outbox_add_delta(outbox, &delta);
    delta_clear(&delta);
}

static void read_report(const struct buffer *packed, struct message_report *ret_report)
{
    struct wire_message message;
    enum proto_message kind;
    struct error err;

    if (wire_decode(packed->data, packed->size, &message, &err) == -1 ||
        message_identify(&message.root, &kind, &err) == -1 ||
        message_unpack_report(&message.root, ret_report, &err) == -1)
        fail_msg("no REPORT: %s", err.message);
    assert_int_equal(kind, MESSAGE_REPORT);
    assert_string_equal(ret_report->run, RUN);
    wire_clear(&message);
}

/* Sends the next one, which must be there: its number, and its hits where asked for. */
static uint64_t send_next(struct outbox *outbox, uint64_t now_us, uint64_t *ret_hits)
{
    const struct buffer *const packed = outbox_next(outbox, now_us);
    struct message_report report;
    struct stats_totals totals;
    uint64_t number;

    if (packed == NULL)
        fail_msg("nothing to send");
    read_report(packed, &report);
    stats_total(&report.delta.stats, &totals);
    number = report.delta.sequence;
    if (ret_hits != NULL)
        *ret_hits = totals.hits;
    message_report_clear(&report);
    outbox_mark_sent(outbox, now_us);
    return number;
}

/* --- one rule each ------------------------------------------------------------------------ */

/* What was measured waits for the end of its half second, or, where the slave tells nothing
 * more, for 1 s; an event waits for nothing; and nothing is no news. */
static void test_pace(void **state)
{
    const uint64_t start_us = 1000000000;
    struct outbox outbox;
    uint64_t hits;

    (void)state;
    outbox_init(&outbox, RUN);
    assert_null(outbox_next(&outbox, start_us));
    add_hits(&outbox, 0, 200000, 0);
    assert_null(outbox_next(&outbox, start_us));
    add_hits(&outbox, 200000, 400000, 3);
    expect_u64("the first", send_next(&outbox, start_us, &hits), 1);
    expect_u64("its hits", hits, 3);
    add_hits(&outbox, 400000, 420000, 4);
    assert_null(outbox_next(&outbox, start_us + OUTBOX_STALL_US - 1));
    add_hits(&outbox, 420000, 440000, 5);
    expect_u64("the second", send_next(&outbox, start_us + OUTBOX_STALL_US, &hits), 2);
    expect_u64("its hits", hits, 9);
    add_hits(&outbox, 440000, 499999, 6);
    assert_null(outbox_next(&outbox, start_us + OUTBOX_STALL_US));
    add_hits(&outbox, 499999, 500000, 7);
    expect_u64("the third", send_next(&outbox, start_us + OUTBOX_STALL_US, &hits), 3);
    expect_u64("its hits", hits, 13);
    outbox_take_ack(&outbox, 3, start_us + OUTBOX_STALL_US);
    outbox_add_stopping(&outbox, "--exception", false);
    expect_u64("an event", send_next(&outbox, start_us + OUTBOX_STALL_US, &hits), 4);
    expect_u64("its hits", hits, 0);
    assert_null(outbox_next(&outbox, start_us + 100 * OUTBOX_STALL_US));
    outbox_clear(&outbox);
}

/* Sends what may go now, which is held at once. Whether there was something. */
static bool send_and_hold(struct outbox *outbox, uint64_t now_us, uint64_t *ret_hits)
{
    if (outbox_next(outbox, now_us) == NULL)
        return false;
    send_next(outbox, now_us, ret_hits);
    outbox_take_ack(outbox, outbox->made, now_us);
    return true;
}

/* A slave tells five times a second, a little late. However late its first word is, and
 * whenever the agent asks in between (it ticks, an ACK comes), each second of the run has
 * two REPORTs, made with a word, and they have what was measured in it. */
static void test_half_seconds(void **state)
{
    (void)state;
    for (uint64_t late_us = 300; late_us < 200000; late_us += 10000) {
        struct outbox outbox;
        uint64_t in_second = 0, reports = 0, hits, from_us = 0;

        outbox_init(&outbox, RUN);
        for (unsigned word = 1; word <= 50; word++) {
            const uint64_t until_us = word * 200000 + late_us;

            for (uint64_t now_us = from_us; now_us < until_us; now_us += 50000)
                if (send_and_hold(&outbox, now_us, &hits))
                    fail_msg("%u: a REPORT between two words", word);
            add_hits(&outbox, from_us, until_us, 1);
            from_us = until_us;
            if (send_and_hold(&outbox, until_us, &hits)) {
                in_second += hits;
                reports++;
            }
            if (word > 5 && word % 5 == 0) {
                expect_u64("REPORTs of a second", reports, 2);
                expect_u64("their hits", in_second, 5);
            }
            if (word % 5 == 0)
                in_second = reports = 0;
        }
        outbox_clear(&outbox);
    }
}

/* The broker is away: four are made, and all that comes then is merged into the fifth. */
static void test_window(void **state)
{
    struct outbox outbox;
    struct outbox_sums lost;
    uint64_t now_us = 0, hits;

    (void)state;
    outbox_init(&outbox, RUN);
    for (unsigned i = 0; i < 100; i++) {
        now_us += OUTBOX_PAUSE_US;
        add_hits(&outbox, now_us - OUTBOX_PAUSE_US, now_us, 1);
        if (i < PROTO_UNACKED_MAX)
            expect_u64("number", send_next(&outbox, now_us, &hits), i + 1);
        else
            assert_null(outbox_next(&outbox, now_us));
    }
    assert_true(outbox_undelivered(&outbox, &lost));
    expect_u64("hits undelivered", lost.hits, 100);
    outbox_take_ack(&outbox, 1, now_us);
    expect_u64("the fifth", send_next(&outbox, now_us, &hits), 5);
    expect_u64("its hits", hits, 100 - PROTO_UNACKED_MAX);
    assert_true(outbox_undelivered(&outbox, &lost));
    expect_u64("hits undelivered", lost.hits, 99);
    outbox_take_ack(&outbox, 5, now_us);
    assert_false(outbox_undelivered(&outbox, &lost));
    outbox_clear(&outbox);
}

/* When what was sent is sent again. */
static void test_resending(void **state)
{
    struct outbox outbox;
    uint64_t now_us = 0;

    (void)state;
    outbox_init(&outbox, RUN);
    for (unsigned i = 1; i <= 3; i++) {
        now_us += OUTBOX_PAUSE_US;
        add_hits(&outbox, now_us - OUTBOX_PAUSE_US, now_us, i);
        expect_u64("number", send_next(&outbox, now_us, NULL), i);
    }
    outbox_take_ack(&outbox, 1, now_us);
    outbox_take_ack(&outbox, 1,
                    now_us); /* a REPORT was out of turn; it may have come */
    assert_null(outbox_next(&outbox, now_us));
    outbox_take_ack(&outbox, 1, now_us + OUTBOX_REPEAT_US);
    expect_u64("an ACK again", send_next(&outbox, now_us + OUTBOX_REPEAT_US, NULL), 2);
    outbox_take_ack(&outbox, 1, now_us + OUTBOX_REPEAT_US + 1);
    now_us += OUTBOX_REPEAT_US;
    expect_u64("an ACK once more", send_next(&outbox, now_us, NULL), 3);
    outbox_tick(&outbox, now_us + OUTBOX_RESEND_US - 1);
    assert_null(outbox_next(&outbox, now_us));
    now_us += OUTBOX_RESEND_US;
    outbox_tick(&outbox, now_us);
    expect_u64("silence", send_next(&outbox, now_us, NULL), 2);
    outbox_reconnect(&outbox, 1, now_us);
    expect_u64("a new connection", send_next(&outbox, now_us, NULL), 2);
    outbox_take_ack(&outbox, 3, now_us); /* of an earlier one */
    assert_null(outbox_next(&outbox, now_us));
    outbox_take_ack(&outbox, 2, now_us); /* too late */
    outbox_take_ack(&outbox, 99, now_us);
    outbox_reconnect(&outbox, 99, now_us);
    outbox_tick(&outbox, now_us + 10 * OUTBOX_RESEND_US);
    assert_null(outbox_next(&outbox, now_us));
    outbox_clear(&outbox);
}

/* A quiet time is in no REPORT of what came after it, but at the end it is. */
static void test_quiet(void **state)
{
    struct outbox outbox;
    struct message_report report;

    (void)state;
    outbox_init(&outbox, RUN);
    add_hits(&outbox, 0, 9000, 0);
    add_hits(&outbox, 9000, 9200, 1);
    read_report(outbox_next(&outbox, 0), &report);
    expect_u64("from", report.delta.from_us, 9000);
    expect_u64("until", report.delta.until_us, 9200);
    message_report_clear(&report);
    outbox_mark_sent(&outbox, 0);
    add_hits(&outbox, 9200, 9400, 0);
    add_hits(&outbox, 9400, 9600, 0);
    add_hits(&outbox, 9700, 9700, 0); /* what a global fixture printed */
    outbox_add_end(&outbox, NULL);
    read_report(outbox_next(&outbox, 0), &report);
    assert_true(report.ended);
    assert_null(report.failure);
    expect_u64("from", report.delta.from_us, 9400);
    expect_u64("until", report.delta.until_us, 9600);
    message_report_clear(&report);
    assert_false(outbox_is_delivered(&outbox));
    outbox_mark_sent(&outbox, 0);
    outbox_take_ack(&outbox, 2, 0);
    assert_true(outbox_is_delivered(&outbox));
    outbox_clear(&outbox);
}

/* All that happened before the next REPORT is in it. */
static void test_events(void **state)
{
    char scenario[] = "buy";
    struct outbox outbox;
    struct message_report report;

    (void)state;
    outbox_init(&outbox, RUN);
    outbox_add_stopping(&outbox, "--exception", false);
    outbox_add_stopping(&outbox, "another", false);
    outbox_add_stopping(&outbox, "set-up failed", true);
    outbox_add_stopping(&outbox, "--exception", false);
    outbox_add_lost(&outbox, &(struct message_lost){.index = 3, .signal = 11});
    outbox_add_lost(&outbox, &(struct message_lost){.index = 4, .scenario = scenario});
    memset(scenario, 'x', 3); /* it was copied */
    outbox_add_end(&outbox, "the slave was killed");
    read_report(outbox_next(&outbox, 0), &report);
    assert_true(report.has_stopping);
    assert_true(report.stopping.failed);
    assert_string_equal(report.stopping.why, "set-up failed");
    expect_u64("processes lost", report.lost_count, 2);
    expect_u64("signal", (uint64_t)report.lost[0].signal, 11);
    assert_string_equal(report.lost[1].scenario, "buy");
    assert_string_equal(report.failure, "the slave was killed");
    assert_true(report.ended);
    message_report_clear(&report);
    outbox_mark_sent(&outbox, 0);
    add_hits(&outbox, 0, 1000, 1); /* a slave that outlives its run */
    assert_null(outbox_next(&outbox, OUTBOX_PAUSE_US));
    outbox_take_ack(&outbox, 1, 0);
    assert_true(outbox_is_delivered(&outbox));
    outbox_clear(&outbox);
}

/* Whether the next one has lines, which the next call of outbox_next() tells again. */
static size_t count_lines(struct outbox *outbox, uint64_t now_us)
{
    struct message_report report;
    size_t count;

    read_report(outbox_next(outbox, now_us), &report);
    count = report.delta.lines.count;
    message_report_clear(&report);
    return count;
}

/* A broker that has lost what it held (a power cut) gets what is still there, and some
 * that only tell of the loss in place of the others: nothing that comes later is held up. */
static void test_broker_lost_some(void **state)
{
    static const uint64_t want[] = {0, 0, 0, 0, 0, 5, 6, 7, 8};
    struct outbox outbox;
    uint64_t now_us = 0, hits;

    (void)state;
    outbox_init(&outbox, RUN);
    for (unsigned i = 1; i <= 8; i++) {
        now_us += OUTBOX_PAUSE_US;
        add_hits(&outbox, now_us - OUTBOX_PAUSE_US, now_us, i);
        send_next(&outbox, now_us, NULL);
        outbox_take_ack(&outbox, i, now_us);
    }
    outbox_reconnect(&outbox, 2, now_us);
    outbox_add_end(&outbox, NULL);
    for (uint64_t i = 3; i <= 8; i++) {
        expect_u64("lines", count_lines(&outbox, now_us), want[i] == 0);
        expect_u64("number", send_next(&outbox, now_us, &hits), i);
        expect_u64("hits", hits, want[i]);
        if (i == 2 + PROTO_UNACKED_MAX) {
            assert_null(outbox_next(&outbox, now_us));
            outbox_take_ack(&outbox, i, now_us);
        }
    }
    outbox_take_ack(&outbox, 8, now_us);
    expect_u64("the end", send_next(&outbox, now_us, &hits), 9);
    outbox_reconnect(&outbox, 8, now_us);
    expect_u64("the end, again", send_next(&outbox, now_us, &hits), 9);
    outbox_take_ack(&outbox, 9, now_us);
    assert_true(outbox_is_delivered(&outbox));
    outbox_clear(&outbox);
}

/* --- any schedule of loss ----------------------------------------------------------------- */

enum { QUEUE_MAX = 64, NUMBERS_MAX = 4000, STEPS = 3000, LABELS = 12 };

/* What a broker knows of the run. */
struct knowledge {
    struct delta delta;
    uint64_t number, lost, stoppings, failures, ends;
};

/* What is under way; the oldest first. */
struct queue {
    struct buffer messages[QUEUE_MAX];
    uint64_t acks[QUEUE_MAX];
    size_t count;
};

/* An agent, a broker that takes only the number after the last one, and two lines that
 * may be cut. */
struct world {
    struct random random;
    struct outbox outbox;
    struct delta truth;
    uint64_t lost, stoppings, failures, at_us, now_us;
    struct knowledge taken;       /* and not yet stored ... */
    struct knowledge held;        /* ... which would be gone with the broker */
    struct queue up, down;        /* REPORTs; ACKs */
    uint64_t hashes[NUMBERS_MAX]; /* of the bytes under each number; 0: not sent */
};

static void knowledge_reset(struct knowledge *knowledge)
{
    delta_clear(&knowledge->delta);
    *knowledge = (struct knowledge){.number = 0};
    delta_init(&knowledge->delta);
}

static void knowledge_add(struct knowledge *into, const struct knowledge *from)
{
    delta_merge(&into->delta, &from->delta);
    into->lost += from->lost;
    into->stoppings += from->stoppings;
    into->failures += from->failures;
    into->ends += from->ends;
}

static void drop_all(struct queue *queue)
{
    for (size_t i = 0; i < queue->count; i++)
        buffer_clear(&queue->messages[i]);
    queue->count = 0;
}

/* Takes the oldest one off; the caller clears the buffer, unless it is NULL. */
static uint64_t take_off(struct queue *queue, struct buffer *ret_message)
{
    const uint64_t ack = queue->acks[0];

    if (ret_message != NULL)
        *ret_message = queue->messages[0];
    queue->count--;
    memmove(queue->messages, queue->messages + 1,
            queue->count * sizeof(queue->messages[0]));
    memmove(queue->acks, queue->acks + 1, queue->count * sizeof(queue->acks[0]));
    return ack;
}

static void answer(struct world *world)
{
    if (world->down.count == QUEUE_MAX)
        return;
    world->down.messages[world->down.count] = BUFFER_INIT;
    world->down.acks[world->down.count++] = world->held.number;
}

static void measure(struct world *world)
{
    struct delta delta;

    delta_init(&delta);
    delta.from_us = world->at_us;
    delta.until_us = world->at_us += 200000;
    for (uint64_t n = random_below(&world->random, 4); n > 0; n--) {
        const struct recording what = random_recording(&world->random, LABELS);

        record(&delta.stats, &what);
    }
    if (random_chance(&world->random, 20))
        delta_add_line(&delta, LINE_PRINT, "a line");
    delta_merge(&world->truth, &delta);
    outbox_add_delta(&world->outbox, &delta);
    delta_clear(&delta);
}

static void happen(struct world *world)
{
    if (random_chance(&world->random, 50)) {
        world->lost++;
        outbox_add_lost(&world->outbox, &(struct message_lost){.signal = 9});
    } else {
        const bool failed = random_chance(&world->random, 50);

        world->stoppings++;
        world->failures += failed;
        outbox_add_stopping(&world->outbox, "why", failed);
    }
}

/* Whatever goes out under a number is the same bytes each time. */
static void check_bytes(struct world *world, const struct buffer *message)
{
    const uint64_t hash = text_hash(TEXT_HASH_START, message->data, message->size);
    struct message_report report;
    uint64_t number;

    read_report(message, &report);
    number = report.delta.sequence;
    message_report_clear(&report);
    if (number >= NUMBERS_MAX)
        fail_msg("too many REPORTs");
    if (world->hashes[number] != 0)
        expect_u64("the bytes of a number", hash, world->hashes[number]);
    world->hashes[number] = hash;
}

static void send_some(struct world *world)
{
    const struct buffer *message;

    while (world->up.count < QUEUE_MAX &&
           (message = outbox_next(&world->outbox, world->now_us)) != NULL) {
        if (random_chance(&world->random, 5))
            return; /* the socket does not take it now */
        check_bytes(world, message);
        world->up.messages[world->up.count] = BUFFER_INIT;
        buffer_add(&world->up.messages[world->up.count++], message->data,
                   message->size);
        outbox_mark_sent(&world->outbox, world->now_us);
    }
    if (world->outbox.made - world->held.number > PROTO_UNACKED_MAX)
        fail_msg("more made than may be");
}

static void take_report(struct world *world, const struct message_report *report)
{
    const struct knowledge news = {
        .delta = report->delta,
        .lost = report->lost_count,
        .stoppings = report->has_stopping,
        .failures = report->has_stopping && report->stopping.failed,
        .ends = report->ended,
    };

    if (report->delta.sequence == world->taken.number + 1) {
        knowledge_add(&world->taken, &news);
        world->taken.number++;
    } else {
        answer(world);
    }
}

static void arrive(struct world *world)
{
    struct message_report report;
    struct buffer message;
    bool twice;

    if (world->up.count == 0)
        return;
    take_off(&world->up, &message);
    twice = random_chance(&world->random, 5);
    read_report(&message, &report);
    take_report(world, &report);
    if (twice)
        take_report(world, &report);
    message_report_clear(&report);
    buffer_clear(&message);
}

static void commit(struct world *world)
{
    if (world->taken.number == world->held.number)
        return;
    knowledge_add(&world->held, &world->taken);
    world->held.number = world->taken.number;
    knowledge_reset(&world->taken);
    world->taken.number = world->held.number;
    answer(world);
}

static void take_ack(struct world *world)
{
    if (world->down.count > 0)
        outbox_take_ack(&world->outbox, take_off(&world->down, NULL), world->now_us);
}

/* The line is cut; perhaps the broker has died. */
static void reconnect(struct world *world, bool died)
{
    drop_all(&world->up);
    drop_all(&world->down);
    if (died) {
        knowledge_reset(&world->taken);
        world->taken.number = world->held.number;
    }
    outbox_reconnect(&world->outbox, world->held.number, world->now_us);
}

static void lose_one(struct world *world)
{
    struct buffer message = BUFFER_INIT;

    if (world->up.count > 0 && random_chance(&world->random, 50))
        take_off(&world->up, &message);
    else if (world->down.count > 0)
        take_off(&world->down, NULL);
    buffer_clear(&message);
}

static void step(struct world *world)
{
    const uint64_t chance = random_below(&world->random, 1000);

    world->now_us += random_below(&world->random, 200000);
    if (chance < 250)
        measure(world);
    else if (chance < 450)
        send_some(world);
    else if (chance < 650)
        arrive(world);
    else if (chance < 750)
        commit(world);
    else if (chance < 900)
        take_ack(world);
    else if (chance < 930)
        outbox_tick(&world->outbox, world->now_us);
    else if (chance < 960)
        lose_one(world);
    else if (chance < 980)
        reconnect(world, random_chance(&world->random, 50));
    else if (chance < 990)
        happen(world);
    else
        world->now_us += 5000000; /* the agent was stopped */
}

/* All comes through as soon as the line holds. */
static void deliver_all(struct world *world)
{
    for (unsigned i = 0; !outbox_is_delivered(&world->outbox); i++) {
        if (i > 1000)
            fail_msg("the end is not delivered");
        world->now_us += 300000;
        outbox_tick(&world->outbox, world->now_us);
        send_some(world);
        arrive(world);
        commit(world);
        take_ack(world);
    }
}

static void expect_same_stats(const struct delta *got, const struct delta *want)
{
    struct buffer bytes_got = BUFFER_INIT, bytes_want = BUFFER_INIT;

    pack_into(&bytes_got, got);
    pack_into(&bytes_want, want);
    expect_u64("bytes of the sums", bytes_got.size, bytes_want.size);
    if (bytes_want.size > 0)
        assert_memory_equal(bytes_got.data, bytes_want.data, bytes_want.size);
    buffer_clear(&bytes_got);
    buffer_clear(&bytes_want);
}

/* Lines may have gone at another place, but each was shown or counted. */
static void compare_lines(struct delta *got, struct delta *want)
{
    expect_u64("lines", got->lines.count + got->stats.lines_dropped,
               want->lines.count + want->stats.lines_dropped);
    lines_clear(&got->lines);
    lines_clear(&want->lines);
    got->stats.lines_dropped = want->stats.lines_dropped = 0;
}

static void run_world(uint64_t seed)
{
    struct world *const world = xcalloc(1, sizeof(*world));

    world->random = random_from(seed);
    outbox_init(&world->outbox, RUN);
    delta_init(&world->truth);
    knowledge_reset(&world->taken);
    knowledge_reset(&world->held);
    for (unsigned i = 0; i < STEPS; i++)
        step(world);
    outbox_add_end(&world->outbox, NULL);
    deliver_all(world);
    expect_u64("lost", world->held.lost, world->lost);
    expect_u64("ends", world->held.ends, 1);
    assert_true((world->held.stoppings > 0) == (world->stoppings > 0));
    assert_true((world->held.failures > 0) == (world->failures > 0));
    expect_u64("until", world->held.delta.until_us, world->at_us);
    world->truth.from_us = world->held.delta.from_us; /* it may have begun quietly */
    compare_lines(&world->held.delta, &world->truth);
    expect_same_stats(&world->held.delta, &world->truth);
    drop_all(&world->up);
    drop_all(&world->down);
    knowledge_reset(&world->taken);
    knowledge_reset(&world->held);
    delta_clear(&world->taken.delta);
    delta_clear(&world->held.delta);
    delta_clear(&world->truth);
    outbox_clear(&world->outbox);
    free(world);
}

static void test_any_schedule(void **state)
{
    struct random random = random_start("any schedule");

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        run_world(random_bits(&random));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pace),
        cmocka_unit_test(test_half_seconds),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_resending),
        cmocka_unit_test(test_quiet),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_broker_lost_some),
        cmocka_unit_test(test_any_schedule),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
