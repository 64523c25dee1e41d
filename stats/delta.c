/* stats/delta.c - a delta, and its form on the wire.
 *
 * A delta is one msgpack map. Integers are never negative; times and durations are in
 * microseconds, times counted from the START of the agent that measured. Every field
 * below must be there unless it says otherwise; fields with other names are ignored.
 * Text is UTF-8 without control characters. Rows of one table have different names; one
 * may be called "(other)": in it is what came after the table was full.
 *
 *     seq        integer     from 1, counted by the sender
 *     from_us    integer     the interval; from_us <= until_us <= 2^53
 *     until_us   integer
 *     scalars    map         name: integer; those that are zero are left out:
 *                            workers_started, workers_ended, setup_failed,
 *                            session_setup_failed, lines_dropped, connections,
 *                            replaced_connections, curl_requests, direct_requests
 *     requests   array       at most 1,000 and "(other)", of maps:
 *         name        text       "METHOD name", at most 200 bytes
 *         hits        integer    requests of which a byte was written
 *         hit_errors  integer    of the hits: no complete answer came
 *         unsent      integer    no hits: failed before a byte was written
 *         bytes_in    integer    heads and bodies of answers
 *         bytes_out   integer    heads and bodies of requests
 *         statuses    array      [status, count, status, count ...], integers: statuses
 *                                ascending, 0 to 999, counts from 1
 *         latency     histogram  of complete answers
 *         phases      map        name: histogram: dns, connect, tls, first_byte; what did
 *                                not happen is left out
 *     scenarios  array       at most 200 and "(other)", of maps:
 *         name        text       at most 200 bytes
 *         ok          integer    runs of it
 *         failed      integer
 *         cancelled   integer    cut by a forced end: neither ok nor failed
 *         latency     histogram  of the runs that were ok
 *     errors     array       at most 200 and "(other)", of maps:
 *         message     text       at most 200 bytes
 *         count       integer    how often, from 1
 *         sample_us   integer    when the sample happened, at most 2^53
 *         sample      text       at most 500 bytes: how or where, the first time
 *     counters   array       at most 200 and "(other)", of maps:
 *         name        text       at most 200 bytes
 *         added       integer    what a script counted up ...
 *         taken       integer    ... and down; the counter's value is the difference
 *     lines      array       at most 100, oldest first, of maps:
 *         kind        integer    1 activity, 2 failure, 3 print, 4 notice
 *         text        text       at most 500 bytes
 *
 * A histogram is a map:
 *
 *     count      integer     how many values it counts
 *     sum_us     integer     of all values
 *     min_us     integer     the smallest and the largest value; 0 when count is 0
 *     max_us     integer
 *     buckets    binary      the buckets that count something, ascending, two numbers
 *                            for each: how many empty buckets were skipped before it,
 *                            and its count, from 1
 *
 * Such a number is written in LEB128: 7 bits a byte, the lowest first, the top bit set
 * in all but the last byte, no more bytes than it needs. (As integers of msgpack, all
 * histograms of a long run of a thousand labels would be 17 million values.)
 *
 * There are 1,728 buckets. Bucket b < 128 counts the value b. Bucket b >= 128, with
 * d = (b - 128) / 64 rounded down and r = (b - 128) mod 64, counts the 2^(d+1) values
 * from (64 + r) * 2^(d+1) on; the last one also all that is larger. min_us and max_us
 * lie in the lowest and highest bucket written, the counts of all buckets add up to
 * `count`, and sum_us lies between count * min_us and count * max_us. Numbers have 64
 * bits, and sums that would need more stay at 2^64 - 1. */
#include "stats/delta.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "stats/kinds.h"
#include "stats/saturate.h"

void delta_init(struct delta *delta)
{
    delta->sequence = 0;
    delta->from_us = 0;
    delta->until_us = 0;
    delta->lines = (struct lines){.count = 0};
    stats_init(&delta->stats);
}

void delta_clear(struct delta *delta)
{
    stats_clear(&delta->stats);
    lines_clear(&delta->lines);
}

void delta_reset(struct delta *delta, uint64_t from_us)
{
    delta->from_us = from_us;
    delta->until_us = from_us;
    stats_reset(&delta->stats);
    lines_clear(&delta->lines);
}

static void merge_interval(struct delta *into, const struct delta *from)
{
    const bool is_new = into->from_us == into->until_us;

    if (from->from_us == from->until_us)
        return;
    if (is_new || from->from_us < into->from_us)
        into->from_us = from->from_us;
    if (is_new || from->until_us > into->until_us)
        into->until_us = from->until_us;
}

static void count_dropped_lines(struct delta *delta, uint64_t dropped)
{
    delta->stats.lines_dropped = saturating_add(delta->stats.lines_dropped, dropped);
}

void delta_merge(struct delta *into, const struct delta *from)
{
    merge_interval(into, from);
    stats_merge(&into->stats, &from->stats);
    count_dropped_lines(into, lines_merge(&into->lines, &from->lines));
}

void delta_add_line(struct delta *delta, enum line_kind kind, const char *text)
{
    count_dropped_lines(delta, lines_add(&delta->lines, kind, text));
}

/* --- numbers in LEB128 ------------------------------------------------------------ */

enum { NUMBER_BYTES_MAX = 10 };

/* Returns how many bytes it took. */
static size_t write_number(unsigned char *ret_bytes, uint64_t number)
{
    size_t size = 0;

    for (; number >= 0x80; number >>= 7)
        ret_bytes[size++] = (unsigned char)(number | 0x80);
    ret_bytes[size++] = (unsigned char)number;
    return size;
}

/* Reads one number and moves *at behind it. 0; or -1 when there is none of 64 bits, or
 * it takes more bytes than it needs. */
static int read_number(const unsigned char **at, const unsigned char *end,
                       uint64_t *ret_number)
{
    uint64_t number = 0;

    for (unsigned i = 0; i < NUMBER_BYTES_MAX && *at + i < end; i++) {
        const unsigned char byte = (*at)[i];

        if (i == NUMBER_BYTES_MAX - 1 && byte > 1) /* beyond bit 63 */
            return -1;
        number |= (uint64_t)(byte & 0x7F) << (7 * i);
        if (byte >= 0x80)
            continue;
        if (byte == 0 && i > 0)
            return -1;
        *at += i + 1;
        *ret_number = number;
        return 0;
    }
    return -1;
}

/* --- histograms ------------------------------------------------------------------- */

/* A number of skipped buckets takes at most two bytes. */
#define BUCKETS_SIZE_MAX ((size_t)HISTOGRAM_BUCKETS * (2 + NUMBER_BYTES_MAX))

/* Returns how many bytes were written. */
static size_t write_buckets(const struct histogram *histogram, unsigned char *ret_bytes)
{
    size_t size = 0, next = 0;

    if (histogram->count == 0)
        return 0;
    for (size_t i = histogram->lowest; i <= histogram->highest; i++) {
        if (histogram->buckets[i] == 0)
            continue;
        size += write_number(ret_bytes + size, i - next);
        size += write_number(ret_bytes + size, histogram->buckets[i]);
        next = i + 1;
    }
    return size;
}

static void pack_histogram(msgpack_packer *packer, const char *key,
                           const struct histogram *histogram)
{
    unsigned char bytes[BUCKETS_SIZE_MAX];
    const size_t size = write_buckets(histogram, bytes);

    wire_put_map(packer, key, 5);
    wire_put_u64(packer, "count", histogram->count);
    wire_put_u64(packer, "sum_us", histogram->sum_us);
    wire_put_u64(packer, "min_us", histogram->min_us);
    wire_put_u64(packer, "max_us", histogram->max_us);
    wire_put_bytes(packer, "buckets", bytes, size);
}

/* Fills the buckets of a histogram in use, and from them its `lowest`, `highest` and, in
 * `ret_count`, what they add up to. */
static int read_buckets(const unsigned char *at, const unsigned char *end,
                        struct histogram *histogram, uint64_t *ret_count,
                        struct error *err)
{
    uint64_t next = 0, total = 0;

    while (at < end) {
        uint64_t skipped, count;

        if (read_number(&at, end, &skipped) == -1 ||
            read_number(&at, end, &count) == -1)
            return error_set(err,
                             "the buckets end within a number, or one is malformed");
        if (skipped >= HISTOGRAM_BUCKETS - next)
            return error_set(err, "there is no bucket %ju",
                             (uintmax_t)saturating_add(next, skipped));
        if (count == 0)
            return error_set(err, "an empty bucket is listed");
        if (total == 0)
            histogram->lowest = (size_t)skipped;
        else
            memset(&histogram->buckets[next], 0, skipped * sizeof(uint64_t));
        next += skipped;
        histogram->highest = (size_t)next;
        histogram->buckets[next++] = count;
        total = saturating_add(total, count);
    }
    *ret_count = total;
    return 0;
}

/* NULL, or in what the numbers of the histogram contradict each other. */
static const char *find_contradiction(const struct histogram *histogram, uint64_t total)
{
    const uint64_t count = histogram->count, sum_us = histogram->sum_us;
    const uint64_t min_us = histogram->min_us, max_us = histogram->max_us;

    if (total != count)
        return "the buckets do not add up to the count";
    if (count == 0)
        return sum_us != 0 || min_us != 0 || max_us != 0 ? "it counts nothing, but sums"
                                                         : NULL;
    if (min_us > max_us)
        return "the minimum is above the maximum";
    if (histogram_bucket_of(min_us) != histogram->lowest ||
        histogram_bucket_of(max_us) != histogram->highest)
        return "the minimum or maximum is in another bucket";
    if (sum_us < saturating_multiply(count, min_us) ||
        sum_us > saturating_multiply(count, max_us))
        return "the mean is not between minimum and maximum";
    return NULL;
}

/* Reads a histogram into one that is empty. */
static int read_histogram(const msgpack_object *map, struct histogram *histogram,
                          struct error *err)
{
    const void *bytes = NULL;
    const char *wrong;
    uint64_t total = 0;
    size_t size = 0;

    if (wire_get_u64(map, "count", UINT64_MAX, &histogram->count, err) == -1 ||
        wire_get_u64(map, "sum_us", UINT64_MAX, &histogram->sum_us, err) == -1 ||
        wire_get_u64(map, "min_us", UINT64_MAX, &histogram->min_us, err) == -1 ||
        wire_get_u64(map, "max_us", UINT64_MAX, &histogram->max_us, err) == -1 ||
        wire_get_bytes(map, "buckets", BUCKETS_SIZE_MAX, &bytes, &size, err) == -1)
        return -1;
    if (read_buckets(bytes, (const unsigned char *)bytes + size, histogram, &total,
                     err) == -1)
        return -1;
    wrong = find_contradiction(histogram, total);
    return wrong == NULL ? 0 : error_set(err, "%s", wrong);
}

static int unpack_histogram(const msgpack_object *map, const char *key,
                            struct histogram *histogram, struct error *err)
{
    const msgpack_object *value;

    if (wire_get_map(map, key, &value, err) == -1)
        return -1;
    if (read_histogram(value, histogram, err) == -1)
        return error_prefix(err, "%s", key);
    return 0;
}

/* --- text ------------------------------------------------------------------------- */

/* As wire_get_text(), and clean: what goes to terminals must not have been cleaned only
 * by an honest sender. */
static int get_clean_text(const msgpack_object *map, const char *key, size_t max,
                          const char **ret_text, size_t *ret_length, struct error *err)
{
    const char *text = "";
    size_t length = 0;

    if (wire_get_text(map, key, max, &text, &length, err) == -1)
        return -1;
    if (!text_is_clean(text, length))
        return error_set(err, "field \"%s\" is no UTF-8 or has control characters",
                         key);
    *ret_text = text;
    *ret_length = length;
    return 0;
}

/* --- requests --------------------------------------------------------------------- */

static void pack_statuses(msgpack_packer *packer, const struct request_stats *request)
{
    size_t used = 0;

    for (size_t i = 0; i < request->status_count; i++)
        used += request->statuses[i].count > 0;
    wire_put_array(packer, "statuses", 2 * used);
    for (size_t i = 0; i < request->status_count; i++) {
        if (request->statuses[i].count == 0)
            continue;
        msgpack_pack_unsigned_int(packer, request->statuses[i].status);
        msgpack_pack_uint64(packer, request->statuses[i].count);
    }
}

static bool phase_happened(const struct request_stats *request, size_t phase)
{
    return request->phases[phase] != NULL && request->phases[phase]->count > 0;
}

static void pack_phases(msgpack_packer *packer, const struct request_stats *request)
{
    size_t used = 0;

    for (size_t i = 0; i < PHASE_COUNT; i++)
        used += phase_happened(request, i);
    wire_put_map(packer, "phases", used);
    for (size_t i = 0; i < PHASE_COUNT; i++)
        if (phase_happened(request, i))
            pack_histogram(packer, stats_phase_names[i], request->phases[i]);
}

static void pack_request(msgpack_packer *packer, const void *row)
{
    const struct request_stats *const request = row;

    pack_statuses(packer, request);
    pack_histogram(packer, "latency", &request->latency);
    pack_phases(packer, request);
}

static bool is_number_within(const msgpack_object *object, uint64_t least,
                             uint64_t most)
{
    return object->type == MSGPACK_OBJECT_POSITIVE_INTEGER &&
           object->via.u64 >= least && object->via.u64 <= most;
}

static int unpack_statuses(const msgpack_object *map, struct request_stats *request,
                           struct error *err)
{
    const msgpack_object_array *array;
    uint64_t least = 0;

    if (wire_get_array(map, "statuses", 2 * (STATS_STATUS_MAX + 1), &array, err) == -1)
        return -1;
    if (array->size % 2 != 0)
        return error_set(err, "a status has no count");
    for (uint32_t i = 0; i < array->size; i += 2) {
        const msgpack_object *const status = &array->ptr[i];
        const msgpack_object *const count = &array->ptr[i + 1];

        if (!is_number_within(status, least, STATS_STATUS_MAX))
            return error_set(err, "the statuses are not ascending from 0 to %u",
                             STATS_STATUS_MAX);
        if (!is_number_within(count, 1, UINT64_MAX))
            return error_set(err, "the count of a status is no number from 1");
        stats_add_status(request, (unsigned)status->via.u64, count->via.u64);
        least = status->via.u64 + 1;
    }
    return 0;
}

static int unpack_phases(const msgpack_object *map, struct request_stats *request,
                         struct error *err)
{
    const msgpack_object *phases;

    if (wire_get_map(map, "phases", &phases, err) == -1)
        return -1;
    for (size_t i = 0; i < PHASE_COUNT; i++)
        if (wire_get(phases, stats_phase_names[i]) != NULL &&
            unpack_histogram(phases, stats_phase_names[i],
                             stats_phase_histogram(request, (enum stats_phase)i),
                             err) == -1)
            return -1;
    return 0;
}

static int unpack_request(const msgpack_object *map, void *row, struct error *err)
{
    struct request_stats *const request = row;

    if (unpack_statuses(map, request, err) == -1 ||
        unpack_histogram(map, "latency", &request->latency, err) == -1 ||
        unpack_phases(map, request, err) == -1)
        return -1;
    return 0;
}

/* --- scenarios -------------------------------------------------------------------- */

static void pack_scenario(msgpack_packer *packer, const void *row)
{
    const struct scenario_stats *const scenario = row;

    pack_histogram(packer, "latency", &scenario->latency);
}

static int unpack_scenario(const msgpack_object *map, void *row, struct error *err)
{
    struct scenario_stats *const scenario = row;

    return unpack_histogram(map, "latency", &scenario->latency, err);
}

/* --- errors ----------------------------------------------------------------------- */

static void pack_error(msgpack_packer *packer, const void *row)
{
    const struct error_stats *const error = row;

    wire_put_u64(packer, "sample_us", error->sample_us);
    wire_put_text(packer, "sample", error->sample);
}

static int unpack_error(const msgpack_object *map, void *row, struct error *err)
{
    struct error_stats *const error = row;
    const char *text = "";
    size_t length = 0;

    if (wire_get_u64(map, "sample_us", DELTA_TIME_MAX_US, &error->sample_us, err) ==
            -1 ||
        get_clean_text(map, "sample", STATS_SAMPLE_MAX, &text, &length, err) == -1)
        return -1;
    if (error->count == 0)
        return error_set(err, "an error that never happened is listed");
    memcpy(error->sample, text, length);
    error->sample[length] = '\0';
    return 0;
}

/* --- rows ------------------------------------------------------------------------- */

/* What a row has besides its name and its sums, for each of stats_kinds[]. */
static const struct codec {
    size_t fields; /* that pack() writes */
    void (*pack)(msgpack_packer *packer, const void *row);
    /* Fills a row that is all zero but for its name and sums. */
    int (*unpack)(const msgpack_object *map, void *row, struct error *err);
} codecs[KIND_COUNT] = {
    {3, pack_request,  unpack_request },
    {1, pack_scenario, unpack_scenario},
    {2, pack_error,    unpack_error   },
    {0, NULL,          NULL           }, /* counters */
};

static size_t count_sums(const struct stats_sum *sums)
{
    size_t count = 0;

    while (sums[count].name != NULL)
        count++;
    return count;
}

static void pack_row(msgpack_packer *packer, size_t k, const struct table_row *row)
{
    const struct stats_kind *const kind = &stats_kinds[k];

    msgpack_pack_map(packer, 1 + count_sums(kind->sums) + codecs[k].fields);
    wire_put_text(packer, kind->name_of_row, row->name);
    for (const struct stats_sum *sum = kind->sums; sum->name != NULL; sum++)
        wire_put_u64(packer, sum->name, stats_sum_of(row, sum));
    if (codecs[k].pack != NULL)
        codecs[k].pack(packer, row);
}

static void pack_table(msgpack_packer *packer, size_t k, const struct table *table)
{
    const struct stats_kind *const kind = &stats_kinds[k];
    struct table_row **const rows = stats_sorted_rows(table);
    size_t used = 0;

    for (size_t i = 0; i < table->count; i++)
        if (!stats_row_is_empty(kind, rows[i]))
            rows[used++] = rows[i];
    wire_put_array(packer, kind->name, used);
    for (size_t i = 0; i < used; i++)
        pack_row(packer, k, rows[i]);
    free(rows);
}

/* Finds the row for a name from the wire: one that is new, and did not have to fold
 * into "(other)". */
static struct table_row *claim_row(struct table *table, const char *name, size_t length,
                                   struct error *err)
{
    struct table_row *row;

    if (table_find(table, name, length) != NULL) {
        error_set(err, "\"%.*s\" is listed twice", (int)length, name);
        return NULL;
    }
    row = table_row(table, name, length);
    if (row->name_length == length && memcmp(row->name, name, length) == 0)
        return row;
    error_set(err, "there are more than %zu rows", table->limit);
    return NULL;
}

static int unpack_row(const msgpack_object *map, size_t k, struct table *table,
                      struct error *err)
{
    const struct stats_kind *const kind = &stats_kinds[k];
    struct table_row *row;
    const char *name = "";
    size_t length = 0;

    if (get_clean_text(map, kind->name_of_row, TABLE_NAME_MAX, &name, &length, err) ==
        -1)
        return -1;
    row = claim_row(table, name, length, err);
    if (row == NULL)
        return -1;
    for (const struct stats_sum *sum = kind->sums; sum->name != NULL; sum++)
        if (wire_get_u64(map, sum->name, UINT64_MAX, stats_sum_in(row, sum), err) == -1)
            return -1;
    if (kind->sums_changed != NULL)
        kind->sums_changed(row);
    return codecs[k].unpack != NULL ? codecs[k].unpack(map, row, err) : 0;
}

static int unpack_table(const msgpack_object *map, size_t k, struct table *table,
                        struct error *err)
{
    const struct stats_kind *const kind = &stats_kinds[k];
    const msgpack_object_array *array;

    if (wire_get_array(map, kind->name, (uint32_t)kind->limit + 1, &array, err) == -1)
        return -1;
    for (uint32_t i = 0; i < array->size; i++)
        if (unpack_row(&array->ptr[i], k, table, err) == -1)
            return error_prefix(err, "%s: row %u", kind->name, i + 1);
    return 0;
}

/* --- scalars and lines ------------------------------------------------------------ */

static void pack_scalars(msgpack_packer *packer, const struct stats *stats)
{
    size_t used = 0;

    for (const struct stats_sum *sum = stats_scalars; sum->name != NULL; sum++)
        used += stats_sum_of(stats, sum) > 0;
    wire_put_map(packer, "scalars", used);
    for (const struct stats_sum *sum = stats_scalars; sum->name != NULL; sum++)
        if (stats_sum_of(stats, sum) > 0)
            wire_put_u64(packer, sum->name, stats_sum_of(stats, sum));
}

static int unpack_scalars(const msgpack_object *map, struct stats *stats,
                          struct error *err)
{
    const msgpack_object *scalars;

    if (wire_get_map(map, "scalars", &scalars, err) == -1)
        return -1;
    for (const struct stats_sum *sum = stats_scalars; sum->name != NULL; sum++)
        if (wire_get(scalars, sum->name) != NULL &&
            wire_get_u64(scalars, sum->name, UINT64_MAX, stats_sum_in(stats, sum),
                         err) == -1)
            return error_prefix(err, "scalars");
    return 0;
}

static void pack_lines(msgpack_packer *packer, const struct lines *lines)
{
    wire_put_array(packer, "lines", lines->count);
    for (size_t i = 0; i < lines->count; i++) {
        const struct line *const line = lines_at(lines, i);

        msgpack_pack_map(packer, 2);
        wire_put_u64(packer, "kind", (uint64_t)line->kind);
        wire_put_text(packer, "text", line->text);
    }
}

static int unpack_line(const msgpack_object *map, struct lines *lines,
                       struct error *err)
{
    char text[LINE_TEXT_MAX + 1];
    const char *from = "";
    uint64_t kind = 0;
    size_t length = 0;

    if (wire_get_u64(map, "kind", UINT32_MAX, &kind, err) == -1 ||
        get_clean_text(map, "text", LINE_TEXT_MAX, &from, &length, err) == -1)
        return -1;
    if (line_kind_word((unsigned)kind) == NULL)
        return error_set(err, "there is no kind %u", (unsigned)kind);
    memcpy(text, from, length);
    text[length] = '\0';
    lines_add(lines, (enum line_kind)kind, text);
    return 0;
}

static int unpack_lines(const msgpack_object *map, struct lines *lines,
                        struct error *err)
{
    const msgpack_object_array *array;

    if (wire_get_array(map, "lines", LINES_MAX, &array, err) == -1)
        return -1;
    for (uint32_t i = 0; i < array->size; i++)
        if (unpack_line(&array->ptr[i], lines, err) == -1)
            return error_prefix(err, "lines: row %u", i + 1);
    return 0;
}

/* --- the whole -------------------------------------------------------------------- */

void delta_pack(const struct delta *delta, msgpack_packer *packer)
{
    msgpack_pack_map(packer, 4 + KIND_COUNT + 1);
    wire_put_u64(packer, "seq", delta->sequence);
    wire_put_u64(packer, "from_us", delta->from_us);
    wire_put_u64(packer, "until_us", delta->until_us);
    pack_scalars(packer, &delta->stats);
    for (size_t k = 0; k < KIND_COUNT; k++)
        pack_table(packer, k, stats_table_of(&delta->stats, &stats_kinds[k]));
    pack_lines(packer, &delta->lines);
}

/* Fills an empty delta, or a part of it. */
static int unpack_into(const msgpack_object *map, struct delta *delta,
                       struct error *err)
{
    if (wire_get_u64(map, "seq", UINT64_MAX, &delta->sequence, err) == -1 ||
        wire_get_u64(map, "from_us", DELTA_TIME_MAX_US, &delta->from_us, err) == -1 ||
        wire_get_u64(map, "until_us", DELTA_TIME_MAX_US, &delta->until_us, err) == -1)
        return -1;
    if (delta->from_us > delta->until_us)
        return error_set(err, "the interval ends before it begins");
    if (unpack_scalars(map, &delta->stats, err) == -1)
        return -1;
    for (size_t k = 0; k < KIND_COUNT; k++)
        if (unpack_table(map, k, stats_table_in(&delta->stats, &stats_kinds[k]), err) ==
            -1)
            return -1;
    return unpack_lines(map, &delta->lines, err);
}

int delta_unpack(const msgpack_object *map, struct delta *ret_delta, struct error *err)
{
    struct delta delta;

    delta_init(&delta);
    if (unpack_into(map, &delta, err) == -1) {
        delta_clear(&delta);
        return error_prefix(err, "the delta is refused");
    }
    *ret_delta = delta;
    return 0;
}
