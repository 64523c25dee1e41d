/* outputs/stdout.c - for people: what happens as it happens, and then the report.
 *
 * On a terminal one live line is drawn anew at each tick, below the lines that stay.
 * Elsewhere, and with --console, there are plain lines only.
 *
 * A reader that is slow must not hold up the run: while it goes on, only what standard
 * output takes at once is written, and the rest waits in `pending`, up to a bound beyond
 * which lines are dropped and counted. At the end, we do wait. */
#include "outputs/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/memory.h"
#include "base/text.h"
#include "outputs/recent.h"
#include "outputs/summary.h"
#include "outputs/words.h"

enum {
    WIDTH_NARROWEST = 40,
    WIDTH_STANDARD = 120, /* of what is no terminal */
    BAR_WIDTH = 20,
    FAILURES_SHOWN = 20,
    PENDING_MAX = 1 << 20,
    WRITE_SIZE = 4096, /* PIPE_BUF: a pipe that polls as writable takes it */
};

#define ERASE_LINE "\r\033[K"

struct stdout_output {
    struct output base;
    int fd;          /* -1: nothing is shown (--quiet) */
    int failure;     /* errno of the first write that failed; then nothing is written */
    bool live;       /* a live line, control codes, colours */
    bool colour;     /* and NO_COLOR does not forbid them */
    bool talkative;  /* all lines: --console or --verbose */
    bool single_run; /* the end of the run cannot be foreseen */
    bool drawn;      /* the live line is on the screen */
    struct buffer pending;
    uint64_t lines_unshown;
    struct text_list failures; /* texts shown */
    bool failures_noted;       /* that no more are */
    struct recent recent;
    double next_line_s; /* when the next plain line of progress is due */
};

/* --- writing ---------------------------------------------------------------------- */

/* Writes what is pending, as long as it is taken at once, or all of it. */
static void write_pending(struct stdout_output *output, bool wait)
{
    struct pollfd poller = {.fd = output->fd, .events = POLLOUT};
    size_t done = 0;

    while (output->failure == 0 && done < output->pending.size) {
        const size_t left = output->pending.size - done;
        ssize_t written;

        if (poll(&poller, 1, wait ? -1 : 0) == 0)
            break;
        written = write(output->fd, output->pending.data + done,
                        left < WRITE_SIZE ? left : WRITE_SIZE);
        if (written > 0)
            done += (size_t)written;
        else if (written == -1 && errno != EINTR && errno != EAGAIN)
            output->failure = errno;
    }
    buffer_drop(&output->pending, output->failure != 0 ? output->pending.size : done);
}

static void erase_live_line(struct stdout_output *output)
{
    if (output->drawn)
        buffer_add_text(&output->pending, ERASE_LINE);
    output->drawn = false;
}

static void add_line(struct stdout_output *output, const char *text)
{
    if (output->pending.size > PENDING_MAX) {
        output->lines_unshown++;
        return;
    }
    erase_live_line(output);
    buffer_add_text(&output->pending, text);
    buffer_add_text(&output->pending, "\n");
}

static size_t terminal_width(const struct stdout_output *output)
{
    struct winsize size = {.ws_col = 0};

    if (!isatty(output->fd) || ioctl(output->fd, TIOCGWINSZ, &size) == -1 ||
        size.ws_col == 0)
        return WIDTH_STANDARD;
    return size.ws_col > WIDTH_NARROWEST ? size.ws_col : WIDTH_NARROWEST;
}

/* --- lines ------------------------------------------------------------------------ */

/* A failure without "[W:3] " and the like: what makes two failures the same. */
static const char *skip_prefixes(const char *text)
{
    const char *end;

    while (text[0] == '[' && (end = strstr(text, "] ")) != NULL)
        text = end + 2;
    return text;
}

static bool is_known_failure(const struct stdout_output *output, const char *text)
{
    for (size_t i = 0; i < output->failures.count; i++)
        if (strcmp(output->failures.items[i], text) == 0)
            return true;
    return false;
}

/* Each kind of failure is shown once: a test that fails 10,000 times a second must not
 * drown what it fails of. */
static void add_failure(struct stdout_output *output, const char *text)
{
    const char *const kind = skip_prefixes(text);

    if (output->talkative) {
        add_line(output, text);
    } else if (is_known_failure(output, kind)) {
        return;
    } else if (output->failures.count < FAILURES_SHOWN) {
        text_list_add(&output->failures, kind);
        add_line(output, text);
    } else if (!output->failures_noted) {
        output->failures_noted = true;
        add_line(output, "(more failures are counted in the report; -v shows all)");
    }
}

static void add_activity(struct stdout_output *output, const char *text)
{
    if (output->talkative)
        add_line(output, text);
}

static void add_delta_lines(struct stdout_output *output, const struct lines *lines)
{
    static void (*const actions[])(struct stdout_output * output, const char *text) = {
        [LINE_ACTIVITY] = add_activity,
        [LINE_FAILURE] = add_failure,
        [LINE_PRINT] = add_line,
        [LINE_NOTICE] = add_line,
    };

    for (size_t i = 0; i < lines->count; i++) {
        const struct line *const line = lines_at(lines, i);

        actions[line->kind](output, line->text);
    }
}

/* --- progress --------------------------------------------------------------------- */

/* What is done of the run, 0 to 1: by its time or by its runs, whichever is nearer. */
static double fraction_done(const struct report *report,
                            const struct stats_totals *totals)
{
    const struct run_facts *const facts = &report->facts;
    const double runs = (double)facts->max_runs * (double)facts->workers;
    const double done = (double)(totals->ok + totals->failed + totals->cancelled);
    const double by_runs = runs > 0 ? done / runs : 0;
    const double by_time =
        facts->duration_s > 0 ? report_elapsed_s(report) / facts->duration_s : 1;
    const double fraction = by_runs > by_time ? by_runs : by_time;

    return fraction < 1 ? fraction : 1;
}

static void add_bar(struct buffer *line, double fraction)
{
    static const char full[BAR_WIDTH + 1] = "####################";
    static const char empty[BAR_WIDTH + 1] = "....................";
    const int filled = (int)(fraction * BAR_WIDTH);

    buffer_printf(line, "[%.*s%.*s] %3d%%  ", filled, full, BAR_WIDTH - filled, empty,
                  (int)(fraction * 100));
}

/* "0:05  100 workers  1234.5 requests/s  0 failed  p95 12.3ms" */
static void describe_progress(const struct stdout_output *output,
                              const struct report *report,
                              const struct stats_totals *totals, struct buffer *line)
{
    const struct recent *const recent = &output->recent;
    const bool is_fresh = recent_is_fresh(recent, clock_us());
    char elapsed[WORDS_SIZE], workers[WORDS_SIZE], rate[WORDS_SIZE], p95[WORDS_SIZE];

    words_latency(recent->p95_us, p95);
    buffer_printf(line, "%s  %s  %s requests/s  %llu failed  p95 %s",
                  words_clock(report_elapsed_s(report), elapsed),
                  words_count(report->series.workers, "worker", workers),
                  words_rate(is_fresh ? recent->rate : 0, rate),
                  (unsigned long long)totals->failed,
                  is_fresh && recent->p95_us > 0 ? p95 : "-");
    if (report->facts.state == RUN_STOPPING)
        buffer_add_text(line, "  stopping");
}

/* "Preparing on 5 agents (3 are ready)" */
static void describe_preparation(const struct run_facts *facts, struct buffer *line)
{
    const size_t ready = facts_count_agents(facts, AGENT_READY);
    char agents[WORDS_SIZE];

    if (facts->agent_count == 0) {
        buffer_add_text(line, "Preparing the test");
        return;
    }
    buffer_printf(line, "Preparing on %s",
                  words_count(facts->agent_count, "agent", agents));
    if (ready > 0)
        buffer_printf(line, " (%zu %s ready)", ready, ready == 1 ? "is" : "are");
}

static void draw_live_line(struct stdout_output *output, const struct report *report)
{
    struct buffer line = BUFFER_INIT;
    struct stats_totals totals;

    if (output->pending.size > 0)
        return; /* the terminal is behind: it gets a newer one later */
    stats_total(&report->stats, &totals);
    if (report->facts.state == RUN_PREPARING) {
        describe_preparation(&report->facts, &line);
    } else {
        if (!output->single_run)
            add_bar(&line, fraction_done(report, &totals));
        describe_progress(output, report, &totals, &line);
    }
    buffer_add_text(&output->pending, ERASE_LINE);
    if (output->colour && totals.failed > 0)
        buffer_add_text(&output->pending, "\033[31m");
    words_add_start(&output->pending, buffer_text(&line), terminal_width(output) - 1);
    if (output->colour && totals.failed > 0)
        buffer_add_text(&output->pending, "\033[0m");
    output->drawn = true;
    buffer_clear(&line);
}

/* Each second at first, then each ten: a log of a day has 8,640 of them. */
static void add_plain_line(struct stdout_output *output, const struct report *report)
{
    const double elapsed_s = report_elapsed_s(report);
    struct buffer line = BUFFER_INIT;
    struct stats_totals totals;

    if (report->started_us == 0 || elapsed_s < output->next_line_s)
        return;
    output->next_line_s = elapsed_s < 9.5 ? (double)(long)elapsed_s + 1
                                          : ((double)(long)(elapsed_s / 10) + 1) * 10;
    stats_total(&report->stats, &totals);
    describe_progress(output, report, &totals, &line);
    add_line(output, buffer_text(&line));
    buffer_clear(&line);
}

/* --- the output ------------------------------------------------------------------- */

static bool is_live(int fd, const struct job *job)
{
    const char *const terminal = getenv("TERM");

    return !job->console && isatty(fd) && terminal != NULL &&
           strcmp(terminal, "dumb") != 0;
}

static int open_stdout(const struct job *job, struct output **ret_output,
                       struct error *err)
{
    const char *const no_colour = getenv("NO_COLOR");
    struct stdout_output *output;
    int fd = -1;

    /* Our own descriptor: number 1 may become another's where it was closed. */
    if (!job->quiet) {
        fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        if (fd == -1)
            return error_errno(err,
                               "cannot write to standard output (-q: show nothing)");
    }
    output = xcalloc(1, sizeof(*output));
    *output = (struct stdout_output){
        .base.type = &output_stdout,
        .fd = fd,
        .live = fd != -1 && is_live(fd, job),
        .talkative = job->console || job->verbose > 0,
        .single_run = job->single_run,
        .next_line_s = 1,
    };
    output->colour = output->live && (no_colour == NULL || no_colour[0] == '\0');
    *ret_output = &output->base;
    return 0;
}

static void push_stdout(struct output *base, const struct report *report,
                        const struct delta *delta)
{
    struct stdout_output *const output = (struct stdout_output *)base;

    (void)report;
    if (output->fd == -1)
        return;
    recent_add(&output->recent, delta, clock_us());
    add_delta_lines(output, &delta->lines);
    write_pending(output, false);
}

static void tick_stdout(struct output *base, const struct report *report)
{
    struct stdout_output *const output = (struct stdout_output *)base;

    if (output->fd == -1 || run_state_is_over(report->facts.state))
        return;
    if (output->live)
        draw_live_line(output, report);
    else
        add_plain_line(output, report);
    write_pending(output, false);
}

static void write_summary(struct stdout_output *output, const struct report *report)
{
    char lines[WORDS_SIZE];

    erase_live_line(output);
    if (output->lines_unshown > 0)
        buffer_printf(&output->pending,
                      "(%s not shown: standard output was too slow)\n",
                      words_count(output->lines_unshown, "line", lines));
    summary_write(report, terminal_width(output), output->colour, &output->pending);
}

static int close_stdout(struct output *base, const struct report *report,
                        struct error *err)
{
    struct stdout_output *const output = (struct stdout_output *)base;
    int rc = 0;

    if (output->fd != -1) {
        if (report != NULL)
            write_summary(output, report);
        else
            erase_live_line(output);
        write_pending(output, true);
    }
    if (output->failure != 0) {
        errno = output->failure;
        rc = error_errno(err, "cannot write the report to standard output");
    }
    fd_close(&output->fd);
    buffer_clear(&output->pending);
    text_list_clear(&output->failures);
    free(output);
    return rc;
}

const struct output_type output_stdout = {
    .name = "stdout",
    .help = "for people: progress while it runs, then the report",
    .open = open_stdout,
    .push = push_stdout,
    .tick = tick_stdout,
    .close = close_stdout,
};
