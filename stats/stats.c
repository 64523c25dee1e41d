#include "stats/stats.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "stats/kinds.h"
#include "stats/saturate.h"

const char *const stats_phase_names[PHASE_COUNT] = {
#define PHASE_NAME(upper, lower, help) [PHASE_##upper] = #lower,
    STATS_PHASES(PHASE_NAME)
#undef PHASE_NAME
};

const struct stats_sum stats_scalars[] = {
#define SCALAR_SUM(name) {#name, offsetof(struct stats, name)},
    STATS_SCALARS(SCALAR_SUM)
#undef SCALAR_SUM
        {.name = NULL},
};

static void add_to(uint64_t *sum, uint64_t more)
{
    *sum = saturating_add(*sum, more);
}

/* --- requests --------------------------------------------------------------------- */

static const struct stats_sum request_sums[] = {
    {"hits",       offsetof(struct request_stats, hits)},
    {"hit_errors",       offsetof(struct request_stats, hit_errors)},
    {"unsent", offsetof(struct request_stats, unsent)},
    {"bytes_in", offsetof(struct request_stats, bytes_in)},
    {"bytes_out",     offsetof(struct request_stats, bytes_out)},
    {.name = NULL    },
};

static bool request_holds_more(const void *row)
{
    const struct request_stats *const request = row;

    if (request->latency.count > 0)
        return true;
    for (size_t i = 0; i < request->status_count; i++)
        if (request->statuses[i].count > 0)
            return true;
    for (size_t i = 0; i < PHASE_COUNT; i++)
        if (request->phases[i] != NULL && request->phases[i]->count > 0)
            return true;
    return false;
}

struct histogram *stats_phase_histogram(struct request_stats *request,
                                        enum stats_phase phase)
{
    if (request->phases[phase] == NULL) {
        request->phases[phase] = xmalloc(sizeof(*request->phases[phase]));
        histogram_reset(request->phases[phase]);
    }
    return request->phases[phase];
}

static void merge_request(void *into_row, const void *from_row)
{
    struct request_stats *const into = into_row;
    const struct request_stats *const from = from_row;

    histogram_merge(&into->latency, &from->latency);
    for (size_t i = 0; i < from->status_count; i++)
        stats_add_status(into, from->statuses[i].status, from->statuses[i].count);
    for (size_t i = 0; i < PHASE_COUNT; i++)
        if (from->phases[i] != NULL && from->phases[i]->count > 0)
            histogram_merge(stats_phase_histogram(into, (enum stats_phase)i),
                            from->phases[i]);
}

static void reset_request(void *row)
{
    struct request_stats *const request = row;

    histogram_reset(&request->latency);
    for (size_t i = 0; i < request->status_count; i++)
        request->statuses[i].count = 0;
    for (size_t i = 0; i < PHASE_COUNT; i++)
        if (request->phases[i] != NULL)
            histogram_reset(request->phases[i]);
}

static void clear_request(void *row)
{
    struct request_stats *const request = row;

    free(request->statuses);
    for (size_t i = 0; i < PHASE_COUNT; i++)
        free(request->phases[i]);
}

/* --- scenarios -------------------------------------------------------------------- */

static const struct stats_sum scenario_sums[] = {
    {"ok",     offsetof(struct scenario_stats, ok)},
    {"failed",     offsetof(struct scenario_stats, failed)},
    {"cancelled", offsetof(struct scenario_stats, cancelled)},
    {.name = NULL},
};

static bool scenario_holds_more(const void *row)
{
    const struct scenario_stats *const scenario = row;

    return scenario->latency.count > 0;
}

static void merge_scenario(void *into_row, const void *from_row)
{
    struct scenario_stats *const into = into_row;
    const struct scenario_stats *const from = from_row;

    histogram_merge(&into->latency, &from->latency);
}

static void reset_scenario(void *row)
{
    struct scenario_stats *const scenario = row;

    histogram_reset(&scenario->latency);
}

/* --- errors ----------------------------------------------------------------------- */

static const struct stats_sum error_sums[] = {
    {"count", offsetof(struct error_stats, count)},
    {.name = NULL},
};

/* Keeps the earlier of its sample and this one; of two at once, the lesser, so that any
 * order of merges keeps the same one. `sample` is clean and fits. */
static void offer_sample(struct error_stats *error, uint64_t at_us, const char *sample)
{
    const bool is_better =
        error->count == 0 || at_us < error->sample_us ||
        (at_us == error->sample_us && strcmp(sample, error->sample) < 0);

    if (!is_better)
        return;
    error->sample_us = at_us;
    memcpy(error->sample, sample, strlen(sample) + 1);
}

static void merge_error(void *into_row, const void *from_row)
{
    const struct error_stats *const from = from_row;

    offer_sample(into_row, from->sample_us, from->sample);
}

static void reset_error(void *row)
{
    struct error_stats *const error = row;

    error->sample_us = 0;
    error->sample[0] = '\0';
}

/* --- counters --------------------------------------------------------------------- */

static const struct stats_sum counter_sums[] = {
    {"added", offsetof(struct counter_stats, added)},
    {"taken", offsetof(struct counter_stats, taken)},
    {.name = NULL},
};

static void update_value(void *row)
{
    struct counter_stats *const counter = row;

    if (counter->added >= counter->taken) {
        const uint64_t above = counter->added - counter->taken;

        counter->value = above < INT64_MAX ? (int64_t)above : INT64_MAX;
    } else {
        const uint64_t below = counter->taken - counter->added;

        counter->value = below <= INT64_MAX ? -(int64_t)below : INT64_MIN;
    }
}

/* --- all of them ------------------------------------------------------------------ */

_Static_assert(sizeof(struct request_stats) == offsetof(struct request_stats, latency) +
                                                   sizeof(struct histogram) &&
                   sizeof(struct scenario_stats) ==
                       offsetof(struct scenario_stats, latency) +
                           sizeof(struct histogram),
               "the buckets of a histogram are at the end of a row, and not zeroed");

/* By hand: clang-format 14 breaks tables whose rows take several lines. */
/* clang-format off */
const struct stats_kind stats_kinds[KIND_COUNT] = {
    [KIND_REQUESTS] = {
        .name = "requests",
        .name_of_row = "name",
        .table = offsetof(struct stats, requests),
        .row_size = sizeof(struct request_stats),
        .row_zeroed = offsetof(struct request_stats, latency) + HISTOGRAM_ZEROED,
        .limit = STATS_REQUESTS_MAX,
        .sums = request_sums,
        .holds_more = request_holds_more,
        .merge = merge_request,
        .reset = reset_request,
        .clear = clear_request,
    },
    [KIND_SCENARIOS] = {
        .name = "scenarios",
        .name_of_row = "name",
        .table = offsetof(struct stats, scenarios),
        .row_size = sizeof(struct scenario_stats),
        .row_zeroed = offsetof(struct scenario_stats, latency) + HISTOGRAM_ZEROED,
        .limit = STATS_SCENARIOS_MAX,
        .sums = scenario_sums,
        .holds_more = scenario_holds_more,
        .merge = merge_scenario,
        .reset = reset_scenario,
    },
    [KIND_ERRORS] = {
        .name = "errors",
        .name_of_row = "message",
        .table = offsetof(struct stats, errors),
        .row_size = sizeof(struct error_stats),
        .row_zeroed = sizeof(struct error_stats),
        .limit = STATS_ERRORS_MAX,
        .sums = error_sums,
        .merge = merge_error,
        .reset = reset_error,
    },
    [KIND_COUNTERS] = {
        .name = "counters",
        .name_of_row = "name",
        .table = offsetof(struct stats, counters),
        .row_size = sizeof(struct counter_stats),
        .row_zeroed = sizeof(struct counter_stats),
        .limit = STATS_COUNTERS_MAX,
        .sums = counter_sums,
        .sums_changed = update_value,
    },
};
/* clang-format on */

static bool sums_are_zero(const struct stats_sum *sums, const void *record)
{
    for (const struct stats_sum *sum = sums; sum->name != NULL; sum++)
        if (stats_sum_of(record, sum) != 0)
            return false;
    return true;
}

static void add_sums(const struct stats_sum *sums, void *into, const void *from)
{
    for (const struct stats_sum *sum = sums; sum->name != NULL; sum++)
        add_to(stats_sum_in(into, sum), stats_sum_of(from, sum));
}

static void reset_sums(const struct stats_sum *sums, void *record)
{
    for (const struct stats_sum *sum = sums; sum->name != NULL; sum++)
        *stats_sum_in(record, sum) = 0;
}

bool stats_row_is_empty(const struct stats_kind *kind, const void *row)
{
    return sums_are_zero(kind->sums, row) &&
           (kind->holds_more == NULL || !kind->holds_more(row));
}

static void merge_row(const struct stats_kind *kind, void *into, const void *from)
{
    if (kind->merge != NULL)
        kind->merge(into, from);
    add_sums(kind->sums, into, from);
    if (kind->sums_changed != NULL)
        kind->sums_changed(into);
}

static void reset_row(const struct stats_kind *kind, void *row)
{
    reset_sums(kind->sums, row);
    if (kind->sums_changed != NULL)
        kind->sums_changed(row);
    if (kind->reset != NULL)
        kind->reset(row);
}

void stats_init(struct stats *stats)
{
    reset_sums(stats_scalars, stats);
    for (size_t k = 0; k < KIND_COUNT; k++) {
        const struct stats_kind *const kind = &stats_kinds[k];

        table_init(stats_table_in(stats, kind), kind->row_size, kind->row_zeroed,
                   kind->limit);
    }
}

void stats_clear(struct stats *stats)
{
    for (size_t k = 0; k < KIND_COUNT; k++) {
        struct table *const table = stats_table_in(stats, &stats_kinds[k]);

        if (stats_kinds[k].clear != NULL)
            for (size_t i = 0; i < table->count; i++)
                stats_kinds[k].clear(table->rows[i]);
        table_clear(table);
    }
}

void stats_reset(struct stats *stats)
{
    reset_sums(stats_scalars, stats);
    for (size_t k = 0; k < KIND_COUNT; k++) {
        struct table *const table = stats_table_in(stats, &stats_kinds[k]);

        for (size_t i = 0; i < table->count; i++)
            reset_row(&stats_kinds[k], table->rows[i]);
    }
}

bool stats_is_empty(const struct stats *stats)
{
    if (!sums_are_zero(stats_scalars, stats))
        return false;
    for (size_t k = 0; k < KIND_COUNT; k++) {
        const struct table *const table = stats_table_of(stats, &stats_kinds[k]);

        for (size_t i = 0; i < table->count; i++)
            if (!stats_row_is_empty(&stats_kinds[k], table->rows[i]))
                return false;
    }
    return true;
}

/* Rows that counted nothing make no rows: what was merged does not depend on whether it
 * travelled in between. */
static void merge_table(const struct stats_kind *kind, struct table *into,
                        const struct table *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct table_row *const row = from->rows[i];

        if (!stats_row_is_empty(kind, row))
            merge_row(kind, table_row(into, row->name, row->name_length), row);
    }
}

void stats_merge(struct stats *into, const struct stats *from)
{
    add_sums(stats_scalars, into, from);
    for (size_t k = 0; k < KIND_COUNT; k++) {
        const struct stats_kind *const kind = &stats_kinds[k];

        merge_table(kind, stats_table_in(into, kind), stats_table_of(from, kind));
    }
}

/* --- recording -------------------------------------------------------------------- */

struct request_stats *stats_request(struct stats *stats, const char *method,
                                    const char *name, size_t name_length)
{
    return table_row_joined(&stats->requests, method, strlen(method), name,
                            name_length);
}

struct scenario_stats *stats_scenario(struct stats *stats, const char *name)
{
    return table_row(&stats->scenarios, name, strlen(name));
}

/* Makes room for a status that belongs at `index`. Kept over stats_reset(), so this
 * ends when a service has shown all its statuses. */
static void insert_status(struct request_stats *request, size_t index, unsigned status)
{
    request->statuses = xrealloc_array(request->statuses, request->status_count + 1,
                                       sizeof(request->statuses[0]));
    memmove(&request->statuses[index + 1], &request->statuses[index],
            (request->status_count - index) * sizeof(request->statuses[0]));
    request->statuses[index] = (struct status_count){.status = status};
    request->status_count++;
}

void stats_add_status(struct request_stats *request, unsigned status, uint64_t count)
{
    const unsigned known = status <= STATS_STATUS_MAX ? status : 0;
    size_t i = 0;

    if (count == 0)
        return;
    while (i < request->status_count && request->statuses[i].status < known)
        i++;
    if (i == request->status_count || request->statuses[i].status != known)
        insert_status(request, i, known);
    add_to(&request->statuses[i].count, count);
}

void stats_add_phase(struct request_stats *request, enum stats_phase phase,
                     uint64_t duration_us)
{
    histogram_record(stats_phase_histogram(request, phase), duration_us);
}

void stats_add_error(struct stats *stats, const char *message, uint64_t at_us,
                     const char *sample)
{
    struct error_stats *const error =
        table_row(&stats->errors, message, strlen(message));
    char clean[STATS_SAMPLE_MAX + 1];

    if (error->count == 0 || at_us <= error->sample_us) {
        text_clean(clean, sizeof(clean), sample, strlen(sample));
        offer_sample(error, at_us, clean);
    }
    add_to(&error->count, 1);
}

void stats_add_counter(struct stats *stats, const char *name, int64_t by)
{
    struct counter_stats *const counter =
        table_row(&stats->counters, name, strlen(name));

    if (by >= 0)
        add_to(&counter->added, (uint64_t)by);
    else
        add_to(&counter->taken, -(uint64_t)by); /* also right for INT64_MIN */
    update_value(counter);
}

/* --- reading ---------------------------------------------------------------------- */

void stats_total(const struct stats *stats, struct stats_totals *ret_totals)
{
    struct stats_totals totals = {.ok = 0};

    for (size_t i = 0; i < stats->scenarios.count; i++) {
        const struct scenario_stats *const scenario =
            (const struct scenario_stats *)stats->scenarios.rows[i];

        add_to(&totals.ok, scenario->ok);
        add_to(&totals.failed, scenario->failed);
        add_to(&totals.cancelled, scenario->cancelled);
    }
    for (size_t i = 0; i < stats->requests.count; i++) {
        const struct request_stats *const request =
            (const struct request_stats *)stats->requests.rows[i];

        add_to(&totals.hits, request->hits);
        add_to(&totals.hit_errors, request->hit_errors);
        add_to(&totals.unsent, request->unsent);
        add_to(&totals.bytes_in, request->bytes_in);
        add_to(&totals.bytes_out, request->bytes_out);
    }
    *ret_totals = totals;
}

void stats_totals_add(struct stats_totals *into, const struct stats_totals *from)
{
#define ADD_TOTAL(name) add_to(&into->name, from->name);
    STATS_TOTALS(ADD_TOTAL)
#undef ADD_TOTAL
}

void stats_add_latency(const struct stats *stats, struct histogram *latency)
{
    for (size_t i = 0; i < stats->requests.count; i++) {
        const struct request_stats *const request =
            (const struct request_stats *)stats->requests.rows[i];

        histogram_merge(latency, &request->latency);
    }
}

static int compare_rows(const void *left_item, const void *right_item)
{
    const struct table_row *const left = *(struct table_row *const *)left_item;
    const struct table_row *const right = *(struct table_row *const *)right_item;
    const bool left_is_other = strcmp(left->name, TABLE_OTHER) == 0;
    const bool right_is_other = strcmp(right->name, TABLE_OTHER) == 0;

    if (left_is_other != right_is_other)
        return left_is_other ? 1 : -1;
    return strcmp(left->name, right->name);
}

struct table_row **stats_sorted_rows(const struct table *table)
{
    struct table_row **rows;

    if (table->count == 0)
        return NULL;
    rows = xrealloc_array(NULL, table->count, sizeof(struct table_row *));
    memcpy(rows, table->rows, table->count * sizeof(struct table_row *));
    qsort(rows, table->count, sizeof(struct table_row *), compare_rows);
    return rows;
}

void stats_split_request_name(const struct request_stats *request, char ret_method[32],
                              const char **ret_name)
{
    const char *const name = request->row.name;
    const char *const space = strchr(name, ' ');
    const size_t length = space != NULL ? (size_t)(space - name) : 0;
    const size_t kept = length < 32 ? length : 31;

    memcpy(ret_method, name, kept);
    ret_method[kept] = '\0';
    *ret_name = space != NULL ? space + 1 : name;
}
