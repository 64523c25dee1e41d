#include "outputs/summary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"
#include "base/text.h"
#include "outputs/grid.h"
#include "outputs/words.h"

enum {
    FACT_COLUMN = 13, /* where the values of facts begin */
    LOST_COLUMN = 2,  /* where a lost agent or process is told of */
    NARROWEST = 20,   /* columns that wrapped text has at least */
    ERRORS_SHOWN = 20,
    STATUSES = 1000,
};

/* All that the parts of the summary are written from. */
struct summary {
    const struct report *report;
    struct stats_totals totals;
    double elapsed_s;
    size_t width;
    bool colour;
    struct buffer *text;
};

static double rate_of(const struct summary *summary, uint64_t count)
{
    return summary->elapsed_s > 0 ? (double)count / summary->elapsed_s : 0;
}

static void write_heading(const struct summary *summary, const char *heading)
{
    buffer_printf(summary->text, summary->colour ? "\n\033[1m%s\033[0m\n" : "\n%s\n",
                  heading);
}

/* How many bytes of `words` go on a line of `room` columns: to a blank where there is
 * one. */
static size_t line_length(const char *words, size_t room)
{
    struct buffer line = BUFFER_INIT;
    const char *blank;
    size_t length;

    words_add_start(&line, words, room + 1);
    blank = strrchr(buffer_text(&line), ' ');
    length = blank != NULL ? (size_t)(blank - line.data) : 0;
    if (length == 0) {
        buffer_reset(&line);
        words_add_start(&line, words, room);
        length = line.size;
    }
    buffer_clear(&line);
    return length;
}

/* Writes text that may be anything from `column` on, where the line already is, and
 * wraps it there. */
static void write_wrapped(const struct summary *summary, const char *text,
                          size_t column)
{
    const size_t room =
        summary->width > column + NARROWEST ? summary->width - column : NARROWEST;
    const size_t capacity = strlen(text) * 3 + 1; /* a bad byte becomes U+FFFD */
    char *const clean = xmalloc(capacity);
    const char *words = clean;

    text_clean(clean, capacity, text, strlen(text));
    while (text_width(words) > room) {
        const size_t length = line_length(words, room);

        buffer_add(summary->text, words, length);
        buffer_printf(summary->text, "\n%*s", (int)column, "");
        words += length;
        words += strspn(words, " ");
    }
    buffer_printf(summary->text, "%s\n", words);
    free(clean);
}

/* --- how it ended, and the facts -------------------------------------------------- */

/* Nothing of a run that ended by itself and well. */
static void describe_ending(const struct run_facts *facts, struct buffer *ending)
{
    if (facts->state == RUN_FINISHED)
        return;
    if (!run_state_is_over(facts->state))
        buffer_printf(ending, "The run has no end: it is %s",
                      run_state_words[facts->state]);
    else if (facts->state == RUN_STOPPED)
        buffer_printf(ending, "The run was stopped by %s",
                      facts->interrupted_by != NULL ? facts->interrupted_by
                                                    : "someone");
    else
        buffer_printf(ending, "The run failed%s%s", facts->failure != NULL ? ": " : "",
                      facts->failure != NULL ? facts->failure : "");
}

static void write_ending(const struct summary *summary)
{
    struct buffer ending = BUFFER_INIT;

    describe_ending(&summary->report->facts, &ending);
    if (ending.size > 0) {
        buffer_add_text(summary->text, summary->colour ? "\033[31m" : "");
        write_wrapped(summary, buffer_text(&ending), 0);
        buffer_add_text(summary->text, summary->colour ? "\033[0m" : "");
    }
    buffer_clear(&ending);
}

static void write_fact(const struct summary *summary, const char *name, char *value)
{
    buffer_printf(summary->text, "  %-*s", FACT_COLUMN - 2, name);
    write_wrapped(summary, value, FACT_COLUMN);
    free(value);
}

/* "5 agents, each 1 process with 100 workers: 500 workers, at most 500 at one time" */
static char *describe_cluster(const struct report *report)
{
    const struct run_facts *const facts = &report->facts;
    const unsigned long count = facts->agent_count;
    char agents[WORDS_SIZE], processes[WORDS_SIZE], each[WORDS_SIZE], all[WORDS_SIZE];

    return xasprintf(
        "%s, %s%s with %s: %s, at most %llu at one time",
        words_count(count, "agent", agents), count > 1 ? "each " : "",
        words_count(facts->processes / count, "process", processes),
        words_count(facts->processes > 0 ? facts->workers / facts->processes : 0,
                    "worker", each),
        words_count(facts->workers, "worker", all),
        (unsigned long long)report->series.workers_max);
}

static char *describe_load(const struct report *report)
{
    char processes[WORDS_SIZE], workers[WORDS_SIZE];

    if (report->facts.agent_count > 0)
        return describe_cluster(report);
    return xasprintf("%s, at most %s at one time",
                     words_count(report->facts.processes, "process", processes),
                     words_count(report->series.workers_max, "worker", workers));
}

static char *describe_requests(const struct summary *summary)
{
    const struct stats_totals *const totals = &summary->totals;
    char rate[WORDS_SIZE];
    struct buffer text = BUFFER_INIT;
    char *copy;

    if (totals->hits == 0 && totals->unsent == 0)
        return xstrdup("none was made");
    buffer_printf(&text, "%llu, %s/s", (unsigned long long)totals->hits,
                  words_rate(rate_of(summary, totals->hits), rate));
    if (totals->hit_errors > 0)
        buffer_printf(&text, ", %llu without a complete answer",
                      (unsigned long long)totals->hit_errors);
    if (totals->unsent > 0)
        buffer_printf(&text, ", and %llu more could not be sent",
                      (unsigned long long)totals->unsent);
    copy = xstrdup(buffer_text(&text));
    buffer_clear(&text);
    return copy;
}

static char *describe_traffic(const struct summary *summary)
{
    const struct stats *const stats = &summary->report->stats;
    char in[WORDS_SIZE], out[WORDS_SIZE], connections[WORDS_SIZE];
    char replaced[WORDS_SIZE] = "";

    if (stats->replaced_connections > 0)
        snprintf(replaced, sizeof(replaced), ", %llu replaced",
                 (unsigned long long)stats->replaced_connections);
    return xasprintf(
        "%s in, %s out, over %s%s", words_bytes(summary->totals.bytes_in, in),
        words_bytes(summary->totals.bytes_out, out),
        words_count(stats->connections, "connection", connections), replaced);
}

/* "direct", or "direct (1200 requests), curl (3)" */
static char *describe_transports(const struct stats *stats)
{
    char direct[WORDS_SIZE];

    if (stats->curl_requests == 0)
        return xstrdup("direct");
    if (stats->direct_requests == 0)
        return xstrdup("curl");
    return xasprintf("direct (%s), curl (%llu)",
                     words_count(stats->direct_requests, "request", direct),
                     (unsigned long long)stats->curl_requests);
}

static void write_set_ups(const struct summary *summary)
{
    const struct stats *const stats = &summary->report->stats;
    char workers[WORDS_SIZE], sessions[WORDS_SIZE];

    if (stats->setup_failed > 0)
        write_fact(summary, "set-ups",
                   xasprintf("%s failed to set up and did not run",
                             words_count(stats->setup_failed, "worker", workers)));
    if (stats->session_setup_failed > 0)
        write_fact(
            summary, "sessions",
            xasprintf("%s failed to set up",
                      words_count(stats->session_setup_failed, "session", sessions)));
}

static void write_facts(const struct summary *summary)
{
    const struct report *const report = summary->report;
    char lines[WORDS_SIZE];

    buffer_add_text(summary->text, "\n");
    if (report->facts.test != NULL)
        write_fact(summary, "test", xstrdup(report->facts.test));
    if (report->facts.run_id != NULL)
        write_fact(summary, "run", xstrdup(report->facts.run_id));
    write_fact(summary, "duration", xasprintf("%.1f s", summary->elapsed_s));
    write_fact(summary, "load", describe_load(report));
    write_fact(summary, "requests", describe_requests(summary));
    if (summary->totals.hits > 0)
        write_fact(summary, "traffic", describe_traffic(summary));
    if (report->stats.curl_requests > 0 || report->stats.direct_requests > 0)
        write_fact(summary, "transport", describe_transports(&report->stats));
    write_set_ups(summary);
    if (report->stats.lines_dropped > 0)
        write_fact(summary, "lines",
                   xasprintf("%s came too fast to be shown (figures are complete)",
                             words_count(report->stats.lines_dropped, "line", lines)));
}

/* --- what was lost ---------------------------------------------------------------- */

/* "agent-3 on host7, after 12.3 s: 120 hits, 118 ok, 2 failed are counted" */
static void describe_lost_agent(const struct fact_agent *agent, struct buffer *text)
{
    const struct stats_totals *const counted = &agent->counted;
    char hits[WORDS_SIZE];

    buffer_printf(text, "%s on %s, after %.1f s: ", agent->name, agent->host,
                  (double)agent->lost_at_us / US_PER_S);
    if (!report_counts_agent(agent)) {
        buffer_add_text(text, "nothing of it is counted");
        return;
    }
    buffer_printf(text, "of it, %s, %llu ok and %llu failed",
                  words_count(counted->hits, "hit", hits),
                  (unsigned long long)counted->ok, (unsigned long long)counted->failed);
    if (counted->cancelled > 0)
        buffer_printf(text, ", %llu cancelled", (unsigned long long)counted->cancelled);
    buffer_add_text(text, " are counted");
}

static void write_lost_agents(const struct summary *summary)
{
    const struct run_facts *const facts = &summary->report->facts;
    struct buffer text = BUFFER_INIT;

    if (facts_count_agents(facts, AGENT_LOST) > 0)
        write_heading(summary, "Lost agents");
    for (size_t i = 0; i < facts->agent_count; i++) {
        if (facts->agents[i].state != AGENT_LOST)
            continue;
        buffer_reset(&text);
        describe_lost_agent(&facts->agents[i], &text);
        buffer_add_text(summary->text, "  ");
        write_wrapped(summary, buffer_text(&text), LOST_COLUMN);
    }
    buffer_clear(&text);
}

static void describe_lost_process(const struct run_facts *facts,
                                  const struct fact_process *lost, struct buffer *text)
{
    buffer_printf(text, "process %u ", lost->index);
    if (lost->agent < facts->agent_count)
        buffer_printf(text, "of %s ", facts->agents[lost->agent].name);
    if (lost->stuck)
        buffer_add_text(text, "did not answer any more and was killed");
    else if (lost->signal != 0)
        buffer_printf(text, "was killed by %s", signal_name(lost->signal));
    else
        buffer_printf(text, "exited with status %d", lost->status);
    if (lost->scenario != NULL)
        buffer_printf(text, ", in scenario %s", lost->scenario);
}

static void write_lost_processes(const struct summary *summary)
{
    const struct run_facts *const facts = &summary->report->facts;
    struct buffer text = BUFFER_INIT;

    if (facts->lost_count > 0)
        write_heading(summary, "Lost processes");
    for (size_t i = 0; i < facts->lost_count; i++) {
        buffer_reset(&text);
        describe_lost_process(facts, &facts->lost[i], &text);
        buffer_add_text(summary->text, "  ");
        write_wrapped(summary, buffer_text(&text), LOST_COLUMN);
    }
    buffer_clear(&text);
}

/* --- tables ----------------------------------------------------------------------- */

static void add_latencies(struct grid *grid, const struct histogram *latency)
{
    static const double fractions[] = {0.5, 0.9, 0.95, 0.99};
    char words[WORDS_SIZE];

    if (latency->count == 0) {
        for (size_t i = 0; i < ARRAY_SIZE(fractions) + 3; i++)
            grid_add(grid, "-");
        return;
    }
    grid_add(grid, "%s", words_latency(latency->min_us, words));
    grid_add(grid, "%s",
             words_latency((uint64_t)(histogram_mean(latency) + 0.5), words));
    for (size_t i = 0; i < ARRAY_SIZE(fractions); i++)
        grid_add(grid, "%s",
                 words_latency(histogram_percentile(latency, fractions[i]), words));
    grid_add(grid, "%s", words_latency(latency->max_us, words));
}

static void add_count(struct grid *grid, uint64_t count)
{
    grid_add(grid, "%llu", (unsigned long long)count);
}

static void finish_grid(const struct summary *summary, struct grid *grid)
{
    grid_write(grid, summary->width, summary->colour, summary->text);
    grid_clear(grid);
}

#define LATENCIES "min", "mean", "p50", "p90", "p95", "p99", "max"

static void add_request_figures(const struct summary *summary, struct grid *grid,
                                const struct request_stats *request)
{
    char rate[WORDS_SIZE];

    add_count(grid, request->hits);
    add_count(grid, request->hit_errors + request->unsent);
    grid_add(grid, "%s", words_rate(rate_of(summary, request->hits), rate));
    add_latencies(grid, &request->latency);
}

static void write_requests(const struct summary *summary)
{
    static const char *const headings[] = {"Requests", "count", "errors", "rate/s",
                                           LATENCIES};
    const struct table *const table = &summary->report->stats.requests;
    struct table_row **const rows = stats_sorted_rows(table);
    struct grid grid = GRID_INIT(headings);

    for (size_t i = 0; i < table->count; i++) {
        const struct request_stats *const request =
            (const struct request_stats *)rows[i];

        if (request->hits == 0 && request->unsent == 0)
            continue;
        grid_add(&grid, "%s", request->row.name);
        add_request_figures(summary, &grid, request);
    }
    free(rows);
    finish_grid(summary, &grid);
}

static void write_scenarios(const struct summary *summary)
{
    static const char *const headings[] = {"Scenarios", "ok", "failed", "cancelled",
                                           LATENCIES};
    const struct table *const table = &summary->report->stats.scenarios;
    struct table_row **const rows = stats_sorted_rows(table);
    struct grid grid = GRID_INIT(headings);

    for (size_t i = 0; i < table->count; i++) {
        const struct scenario_stats *const scenario =
            (const struct scenario_stats *)rows[i];

        grid_add(&grid, "%s", scenario->row.name);
        add_count(&grid, scenario->ok);
        add_count(&grid, scenario->failed);
        add_count(&grid, scenario->cancelled);
        add_latencies(&grid, &scenario->latency);
    }
    free(rows);
    finish_grid(summary, &grid);
}

static void add_status(const struct summary *summary, struct grid *grid,
                       const char *label, uint64_t count)
{
    const uint64_t all = summary->totals.hits + summary->totals.unsent;

    if (count == 0)
        return;
    grid_add(grid, "%s", label);
    add_count(grid, count);
    grid_add(grid, "%.1f%%", 100.0 * (double)count / (double)(all > 0 ? all : 1));
}

static void write_statuses(const struct summary *summary)
{
    static const char *const headings[] = {"Statuses", "count", "share"};
    const struct table *const table = &summary->report->stats.requests;
    uint64_t counts[STATUSES] = {0};
    struct grid grid = GRID_INIT(headings);

    for (size_t i = 0; i < table->count; i++) {
        const struct request_stats *const request =
            (const struct request_stats *)table->rows[i];

        for (size_t k = 0; k < request->status_count; k++)
            counts[request->statuses[k].status % STATUSES] +=
                request->statuses[k].count;
    }
    for (unsigned status = 0; status < STATUSES; status++) {
        char label[WORDS_SIZE];

        snprintf(label, sizeof(label), "%u", status);
        add_status(summary, &grid, label, counts[status]);
    }
    add_status(summary, &grid, "no complete answer", summary->totals.hit_errors);
    add_status(summary, &grid, "could not be sent", summary->totals.unsent);
    finish_grid(summary, &grid);
}

static void add_phase(struct grid *grid, const char *label,
                      const struct histogram *durations)
{
    if (durations->count == 0)
        return;
    grid_add(grid, "%s", label);
    add_count(grid, durations->count);
    add_latencies(grid, durations);
}

static void write_phases(const struct summary *summary)
{
    static const char *const headings[] = {"Phases", "count", LATENCIES};
    const struct stats *const stats = &summary->report->stats;
    struct histogram *const sum = xcalloc(1, sizeof(*sum));
    struct grid grid = GRID_INIT(headings);

    for (size_t phase = 0; phase < PHASE_COUNT; phase++) {
        histogram_reset(sum);
        for (size_t i = 0; i < stats->requests.count; i++) {
            const struct request_stats *const request =
                (const struct request_stats *)stats->requests.rows[i];

            if (request->phases[phase] != NULL)
                histogram_merge(sum, request->phases[phase]);
        }
        add_phase(&grid, stats_phase_names[phase], sum);
    }
    histogram_reset(sum); /* it holds a phase */
    stats_add_latency(stats, sum);
    add_phase(&grid, "total", sum);
    free(sum);
    finish_grid(summary, &grid);
}

static void write_counters(const struct summary *summary)
{
    static const char *const headings[] = {"Counters", "value"};
    const struct table *const table = &summary->report->stats.counters;
    struct table_row **const rows = stats_sorted_rows(table);
    struct grid grid = GRID_INIT(headings);

    for (size_t i = 0; i < table->count; i++) {
        grid_add(&grid, "%s", rows[i]->name);
        grid_add(&grid, "%lld",
                 (long long)((const struct counter_stats *)rows[i])->value);
    }
    free(rows);
    finish_grid(summary, &grid);
}

/* --- errors ----------------------------------------------------------------------- */

/* The most frequent first, then by name. */
static int compare_errors(const void *left, const void *right)
{
    const struct error_stats *const a = *(const struct error_stats *const *)left;
    const struct error_stats *const b = *(const struct error_stats *const *)right;

    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return strcmp(a->row.name, b->row.name);
}

static void write_error(const struct summary *summary, const struct error_stats *error)
{
    const size_t before = summary->text->size;
    size_t column;

    buffer_printf(summary->text, "  %llux  ", (unsigned long long)error->count);
    column = summary->text->size - before;
    write_wrapped(summary, error->row.name, column);
    if (error->sample[0] == '\0' || strcmp(error->sample, error->row.name) == 0)
        return;
    buffer_printf(summary->text, "%*s", (int)column, "");
    write_wrapped(summary, error->sample, column);
}

static void write_errors(const struct summary *summary)
{
    const struct table *const table = &summary->report->stats.errors;
    struct table_row **const rows = stats_sorted_rows(table);
    char more[WORDS_SIZE];

    if (table->count > 0) {
        qsort(rows, table->count, sizeof(struct table_row *), compare_errors);
        write_heading(summary, "Errors");
    }
    for (size_t i = 0; i < table->count && i < ERRORS_SHOWN; i++)
        write_error(summary, (const struct error_stats *)rows[i]);
    if (table->count > ERRORS_SHOWN)
        buffer_printf(summary->text, "  and %s of other kinds (see --output json)\n",
                      words_count(table->count - ERRORS_SHOWN, "error", more));
    free(rows);
}

/* --- all of it -------------------------------------------------------------------- */

/* Molotov's own lines: what reads them is older than this program. */
static void write_verdict(const struct summary *summary)
{
    const struct stats_totals *const totals = &summary->totals;

    buffer_printf(summary->text, "**** Molotov v%s. Happy breaking! ****\n",
                  MOLOTOV_VERSION);
    buffer_printf(summary->text, "SUCCESSES: %llu | FAILURES: %llu",
                  (unsigned long long)totals->ok, (unsigned long long)totals->failed);
    if (totals->cancelled > 0)
        buffer_printf(summary->text, " | CANCELLED: %llu",
                      (unsigned long long)totals->cancelled);
    buffer_add_text(summary->text, "\n");
}

void summary_write(const struct report *report, size_t width, bool colour,
                   struct buffer *text)
{
    static void (*const parts[])(const struct summary *summary) = {
        write_verdict,        write_ending,   write_facts,     write_lost_agents,
        write_lost_processes, write_requests, write_scenarios, write_statuses,
        write_phases,         write_counters, write_errors,
    };
    struct summary summary = {
        .report = report,
        .elapsed_s = report_elapsed_s(report),
        .width = width,
        .colour = colour,
        .text = text,
    };

    stats_total(&report->stats, &summary.totals);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        parts[i](&summary);
    buffer_add_text(text, "\n*** Bye ***\n");
}
