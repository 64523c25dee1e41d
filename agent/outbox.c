#include "agent/outbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"

static void init_report(const struct outbox *outbox, struct message_report *report)
{
    message_report_init(report);
    memcpy(report->run, outbox->run, sizeof(report->run));
}

void outbox_init(struct outbox *outbox, const char *run)
{
    *outbox = (struct outbox){.made = 0};
    snprintf(outbox->run, sizeof(outbox->run), "%s", run);
    init_report(outbox, &outbox->waiting);
}

void outbox_clear(struct outbox *outbox)
{
    message_report_clear(&outbox->waiting);
    for (size_t i = 0; i < PROTO_UNACKED_MAX; i++)
        buffer_clear(&outbox->packed[i]);
    buffer_clear(&outbox->filler);
}

/* --- what is told --------------------------------------------------------------------- */

static bool delta_is_empty(const struct delta *delta)
{
    return stats_is_empty(&delta->stats) && delta->lines.count == 0;
}

void outbox_add_delta(struct outbox *outbox, const struct delta *delta)
{
    if (delta->until_us > delta->from_us) {
        outbox->from_us = delta->from_us;
        outbox->until_us = delta->until_us;
    }
    /* A quiet time before something is measured is not the interval of that. */
    if (!delta_is_empty(delta))
        delta_merge(&outbox->waiting.delta, delta);
}

void outbox_add_stopping(struct outbox *outbox, const char *why, bool failed)
{
    struct message_report *const waiting = &outbox->waiting;

    outbox->urgent = true;
    if (waiting->has_stopping && (waiting->stopping.failed || !failed))
        return;
    free(waiting->stopping.why);
    waiting->has_stopping = true;
    waiting->stopping =
        (struct message_stopping){.why = xstrdup(why), .failed = failed};
}

void outbox_add_lost(struct outbox *outbox, const struct message_lost *lost)
{
    struct message_report *const waiting = &outbox->waiting;
    struct message_lost copy = *lost;

    outbox->urgent = true;
    if (lost->scenario != NULL)
        copy.scenario = xstrdup(lost->scenario);
    waiting->lost =
        xrealloc_array(waiting->lost, waiting->lost_count + 1, sizeof(*waiting->lost));
    waiting->lost[waiting->lost_count++] = copy;
}

/* A quiet end is time of the run, too. */
static void cover_all(struct outbox *outbox)
{
    struct delta quiet;

    delta_init(&quiet);
    quiet.from_us = outbox->from_us;
    quiet.until_us = outbox->until_us;
    delta_merge(&outbox->waiting.delta, &quiet);
    delta_clear(&quiet);
}

void outbox_add_end(struct outbox *outbox, const char *failure)
{
    struct message_report *const waiting = &outbox->waiting;

    cover_all(outbox);
    outbox->urgent = true;
    waiting->ended = true;
    free(waiting->failure);
    waiting->failure = failure != NULL ? xstrdup(failure) : NULL;
}

/* --- what is sent --------------------------------------------------------------------- */

static bool has_news(const struct outbox *outbox)
{
    return outbox->urgent || !delta_is_empty(&outbox->waiting.delta);
}

/* By the times of the slave's deltas; by our clock only where those stand still, or a REPORT
 * would go in the middle of a half second, and one more at its end. */
static bool half_second_is_over(const struct outbox *outbox, uint64_t now_us)
{
    return outbox->until_us / OUTBOX_PAUSE_US >
               outbox->made_until_us / OUTBOX_PAUSE_US ||
           now_us - outbox->made_us >= OUTBOX_STALL_US;
}

static bool may_make(const struct outbox *outbox, uint64_t now_us)
{
    if (outbox->ended || !has_news(outbox) ||
        outbox->made - outbox->held >= PROTO_UNACKED_MAX)
        return false;
    return outbox->urgent || outbox->made == 0 || half_second_is_over(outbox, now_us);
}

static struct outbox_sums sum_up(const struct stats *stats)
{
    struct stats_totals totals;

    stats_total(stats, &totals);
    return (struct outbox_sums){.hits = totals.hits,
                                .runs = totals.ok + totals.failed + totals.cancelled};
}

/* What waits gets a number: from here on it does not change. */
static void make_report(struct outbox *outbox, uint64_t now_us)
{
    struct message_report *const waiting = &outbox->waiting;
    const size_t slot = ++outbox->made % PROTO_UNACKED_MAX;

    waiting->delta.sequence = outbox->made;
    message_pack_report(&outbox->packed[slot], waiting);
    outbox->sums[slot] = sum_up(&waiting->delta.stats);
    outbox->ended = waiting->ended;
    outbox->urgent = false;
    outbox->made_us = now_us;
    outbox->made_until_us = outbox->until_us;
    message_report_clear(waiting);
    init_report(outbox, waiting);
}

static bool is_kept(const struct outbox *outbox, uint64_t number)
{
    return outbox->made - number < PROTO_UNACKED_MAX;
}

static void log_given_up(struct outbox *outbox, uint64_t number)
{
    if (number <= outbox->given_up)
        return;
    outbox->given_up = number;
    log_warning("run=%s: the broker has lost REPORT %" PRIu64
                ", which it held: what was measured in it is lost",
                outbox->run, number);
}

/* The broker held this number once, and has lost it: what was in it is lost, and one that
 * says so takes its place, or nothing after it could ever be told. */
static const struct buffer *fill_in(struct outbox *outbox, uint64_t number)
{
    struct message_report report;

    log_given_up(outbox, number);
    init_report(outbox, &report);
    report.delta.sequence = number;
    delta_add_line(&report.delta, LINE_NOTICE,
                   "the broker has lost a report of this agent: the totals lack it");
    message_pack_report(&outbox->filler, &report);
    message_report_clear(&report);
    return &outbox->filler;
}

const struct buffer *outbox_next(struct outbox *outbox, uint64_t now_us)
{
    const uint64_t number = outbox->sent + 1;

    if (outbox->sent == outbox->made && may_make(outbox, now_us))
        make_report(outbox, now_us);
    if (number > outbox->made || number - outbox->held > PROTO_UNACKED_MAX)
        return NULL;
    return is_kept(outbox, number) ? &outbox->packed[number % PROTO_UNACKED_MAX]
                                   : fill_in(outbox, number);
}

void outbox_mark_sent(struct outbox *outbox, uint64_t now_us)
{
    outbox->sent++;
    outbox->moved_us = now_us;
}

static void go_back(struct outbox *outbox, uint64_t now_us)
{
    outbox->sent = outbox->held;
    outbox->moved_us = now_us;
}

void outbox_take_ack(struct outbox *outbox, uint64_t held, uint64_t now_us)
{
    if (held > outbox->made) /* no broker of ours */
        return;
    if (held > outbox->held) {
        outbox->held = held;
        outbox->moved_us = now_us;
        if (outbox->sent < held) /* from an earlier connection */
            outbox->sent = held;
    } else if (held == outbox->held && outbox->sent > held &&
               now_us - outbox->moved_us >= OUTBOX_REPEAT_US) {
        go_back(outbox, now_us);
    }
}

void outbox_reconnect(struct outbox *outbox, uint64_t held, uint64_t now_us)
{
    if (held <= outbox->made)
        outbox->held = held;
    go_back(outbox, now_us);
}

void outbox_tick(struct outbox *outbox, uint64_t now_us)
{
    if (outbox->sent > outbox->held && now_us - outbox->moved_us >= OUTBOX_RESEND_US)
        go_back(outbox, now_us);
}

bool outbox_is_delivered(const struct outbox *outbox)
{
    return outbox->ended && outbox->held == outbox->made;
}

bool outbox_undelivered(const struct outbox *outbox, struct outbox_sums *ret_sums)
{
    *ret_sums = sum_up(&outbox->waiting.delta.stats);
    for (uint64_t n = outbox->held + 1; n <= outbox->made; n++) {
        if (is_kept(outbox, n)) {
            ret_sums->hits += outbox->sums[n % PROTO_UNACKED_MAX].hits;
            ret_sums->runs += outbox->sums[n % PROTO_UNACKED_MAX].runs;
        }
    }
    return outbox->held < outbox->made || has_news(outbox);
}
