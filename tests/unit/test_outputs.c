#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/text.h"
#include "outputs/output.h"
#include "outputs/summary.h"
#include "outputs/words.h"

/* --- a run with known figures ------------------------------------------------------ */

enum { PAGES = 100, REFUSED = 3, BROKEN = 2, CANCELLED = 1 };

static void record_pages(struct stats *stats)
{
    struct request_stats *const page = stats_request(stats, "GET", "http://x/page", 13);
    struct scenario_stats *const browse = stats_scenario(stats, "browse");

    for (uint64_t i = 1; i <= PAGES; i++) {
        page->hits++;
        page->bytes_in += 1000;
        page->bytes_out += 100;
        stats_add_status(page, i <= 90 ? 200 : 503, 1);
        histogram_record(&page->latency, i);
        stats_add_phase(page, PHASE_FIRST_BYTE, i / 2);
    }
    browse->ok = 90;
    browse->failed = 10;
    histogram_record(&browse->latency, 127);
    stats_add_error(stats, "status 503", 2000000, "loadtest.c:12: status 503");
}

static void record_troubles(struct stats *stats)
{
    struct request_stats *const form = stats_request(stats, "POST", "/form", 5);
    struct scenario_stats *const buy = stats_scenario(stats, "buy");

    form->hits = BROKEN;
    form->hit_errors = BROKEN;
    form->unsent = REFUSED;
    buy->failed = BROKEN + REFUSED;
    buy->cancelled = CANCELLED;
    stats_add_error(stats, "connection refused", 1500000, "connection refused");
    stats_add_counter(stats, "pets", -7);
    stats->workers_started = 4;
    stats->workers_ended = 4;
    stats->setup_failed = 1;
    stats->session_setup_failed = 2;
    stats->connections = 4;
    stats->replaced_connections = 2;
    stats->direct_requests = 105;
    stats->lines_dropped = 5;
}

static void fill_delta(struct delta *delta)
{
    delta_init(delta);
    delta->sequence = 1;
    delta->from_us = 0;
    delta->until_us = US_PER_S;
    record_pages(&delta->stats);
    record_troubles(&delta->stats);
    delta_add_line(delta, LINE_ACTIVITY, "[W:0] Running scenarios");
    delta_add_line(delta, LINE_FAILURE, "[W:0] status 503");
    delta_add_line(delta, LINE_FAILURE, "[W:1] status 503");
    delta_add_line(delta, LINE_FAILURE, "[P:2] [W:1] connection refused");
    delta_add_line(delta, LINE_PRINT, "[W:0] hello");
    delta_add_line(delta, LINE_NOTICE, "process 1 was killed by SIGSEGV");
}

static void fill_report(struct report *report, const struct delta *delta)
{
    const struct fact_process lost = {
        .index = 1, .signal = SIGSEGV, .scenario = (char *)"buy"};
    struct run_facts *const facts = &report->facts;

    report_init(report);
    facts->state = RUN_FAILED;
    facts->run_id = xstrdup("run-1");
    facts->test = xstrdup("load\xFF.c");
    facts->failure = xstrdup("process 1 was killed by SIGSEGV");
    facts->started_wall_s = 1735787045.25;
    facts->processes = 2;
    facts->workers = 4;
    facts->duration_s = 2;
    facts_add_lost(facts, &lost);
    report->started_us = clock_us() - 2 * (uint64_t)US_PER_S;
    report->ended_us = report->started_us + 2 * (uint64_t)US_PER_S;
    report_add(report, delta);
}

/* The same run on three agents, of which two were lost, and a process of the first. */
static void fill_cluster_report(struct report *report, const struct delta *delta)
{
    const struct fact_process lost = {.agent = 0, .index = 2, .status = 3};
    struct run_facts *const facts = &report->facts;

    report_init(report);
    facts->state = RUN_FAILED;
    facts->run_id = xstrdup("run-2");
    facts->test = xstrdup("loadtest.c");
    facts->processes = 6;
    facts->workers = 300;
    facts_add_agent(facts, "one", "host-a", 11);
    facts_add_agent(facts, "two", "host-b", 12);
    facts_add_agent(facts, "three", "host-c", 13);
    facts->agents[0].state = AGENT_ENDED;
    facts->agents[1].state = AGENT_LOST;
    facts->agents[1].lost_at_us = 12345678;
    facts->agents[1].counted = (struct stats_totals){.ok = 40, .failed = 2, .hits = 42};
    facts->agents[2].state = AGENT_LOST;
    facts_add_lost(facts, &lost);
    report_add(report, delta);
}

/* --- running one output into a file ------------------------------------------------ */

static char folder[] = "/tmp/test_outputs.XXXXXX";

static char *path_of(const char *name)
{
    return xasprintf("%s/%s", folder, name);
}

static char *read_text(const char *path)
{
    FILE *const file = fopen(path, "r");
    struct buffer text = BUFFER_INIT;
    char block[4096];
    size_t size;
    char *copy;

    assert_non_null(file);
    while ((size = fread(block, 1, sizeof(block), file)) > 0)
        buffer_add(&text, block, size);
    fclose(file);
    copy = xstrdup(buffer_text(&text));
    buffer_clear(&text);
    return copy;
}

/* Standard output is `fd` for `output` between the two. */
static int swap_stdout(int fd)
{
    const int saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);

    fflush(stdout);
    if (fd == -1)
        close(STDOUT_FILENO);
    else
        dup2(fd, STDOUT_FILENO);
    return saved;
}

static void restore_stdout(int saved)
{
    dup2(saved, STDOUT_FILENO);
    close(saved);
}

/* The whole life of an output; `fd` (-1: none) is its standard output. Returns what
 * open() or close() returned. */
static int run_output(const struct output_type *type, const struct job *job, int fd,
                      struct report *report, const struct delta *delta,
                      struct error *err)
{
    const int saved = swap_stdout(fd);
    const enum run_state state = report->facts.state;
    struct output *output = NULL;
    int rc = type->open(job, &output, err);

    restore_stdout(saved);
    if (rc == -1)
        return -1;
    report->facts.state = RUN_RUNNING;
    if (type->start != NULL)
        type->start(output, report);
    if (type->push != NULL)
        type->push(output, report, delta);
    if (type->tick != NULL)
        type->tick(output, report);
    report->facts.state = state;
    return type->close(output, report, err);
}

static int create(const char *path)
{
    return open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

/* What the stdout output writes of the known run under `job`. */
static char *capture_stdout(const struct job *job)
{
    char *const path = path_of("captured");
    const int fd = create(path);
    struct report report;
    struct delta delta;
    struct error err;
    char *text;

    fill_delta(&delta);
    fill_report(&report, &delta);
    if (run_output(&output_stdout, job, fd, &report, &delta, &err) == -1)
        fail_msg("%s", err.message);
    text = read_text(path);
    close(fd);
    report_clear(&report);
    delta_clear(&delta);
    free(path);
    return text;
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;

    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        count++;
    return count;
}

/* --- the stdout output ------------------------------------------------------------- */

static void test_stdout_report(void **state)
{
    static const char *const parts[] = {
        "**** Molotov v" MOLOTOV_VERSION ". Happy breaking! ****\n"
        "SUCCESSES: 90 | FAILURES: 15 | CANCELLED: 1\n"
        "The run failed: process 1 was killed by SIGSEGV\n",
        "  test       load\xEF\xBF\xBD.c\n",
        "  run        run-1\n",
        "  duration   2.0 s\n",
        "  load       2 processes, at most 4 workers at one time\n",
        "  requests   102, 51.0/s, 2 without a complete answer, and 3 more could not "
        "be "
        "sent\n",
        "  traffic    97.7 KiB in, 9.77 KiB out, over 4 connections, 2 replaced\n"
        "  transport  direct\n",
        "  set-ups    1 worker failed to set up and did not run\n",
        "  sessions   2 sessions failed to set up\n",
        "  process 1 was killed by SIGSEGV, in scenario buy\n",
        "Requests             count  errors  rate/s  min  mean   p50   p90   p95   p99 "
        "   "
        "max\n"
        "  GET http://x/page    100       0    50.0  1\xC2\xB5s  51\xC2\xB5s  "
        "50\xC2\xB5s  "
        "90\xC2\xB5s  95\xC2\xB5s  99\xC2\xB5s  100\xC2\xB5s\n",
        "  POST /form             2       5     1.0",
        "  buy       0       5          1",
        "  200                    90  85.7%\n",
        "  503                    10   9.5%\n",
        "  no complete answer      2   1.9%\n",
        "  could not be sent       3   2.9%\n",
        "  pets       -7\n",
        "  1x  status 503\n      loadtest.c:12: status 503\n",
        "\n*** Bye ***\n",
    };
    struct job job;
    char *text;

    (void)state;
    job_init(&job);
    text = capture_stdout(&job);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        if (strstr(text, parts[i]) == NULL)
            fail_msg("'%s' is not in:\n%s", parts[i], text);
    assert_true(text_ends_with(text, "\n*** Bye ***\n"));
    assert_null(strchr(text, '\033'));
    assert_null(strchr(text, '\r'));
    free(text);
    job_clear(&job);
}

/* Which lines of a delta are shown under which options. */
static void test_stdout_lines(void **state)
{
    static const struct {
        const char *name;
        bool console;
        long verbose;
        size_t activities, failures;
    } cases[] = {
        {"as a rule", false, 0, 0, 1},
        {"with -c",   true,  0, 1, 2},
        {"with -v",   false, 1, 1, 2},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct job job;
        char *text;

        job_init(&job);
        job.console = cases[i].console;
        job.verbose = cases[i].verbose;
        text = capture_stdout(&job);
        assert_int_equal(count_of(text, "Running scenarios"), cases[i].activities);
        assert_int_equal(count_of(text, "] status 503\n"), cases[i].failures);
        assert_int_equal(count_of(text, "] connection refused\n"), 1);
        assert_int_equal(count_of(text, "[W:0] hello\n"), 1);
        assert_int_equal(count_of(text, "\nprocess 1 was killed by SIGSEGV\n"), 1);
        free(text);
        job_clear(&job);
    }
}

static void test_stdout_quiet(void **state)
{
    struct job job;
    char *text;

    (void)state;
    job_init(&job);
    job.quiet = true;
    text = capture_stdout(&job);
    assert_string_equal(text, "");
    free(text);
    job_clear(&job);
}

/* A failure of each kind is shown once, and not more than 20 kinds. */
static void test_stdout_many_failures(void **state)
{
    char *const path = path_of("many");
    const int fd = create(path);
    struct report report;
    struct delta delta;
    struct job job;
    struct error err;
    char *text;

    (void)state;
    job_init(&job);
    delta_init(&delta);
    for (unsigned i = 0; i < 60; i++) {
        char line[64];

        snprintf(line, sizeof(line), "[W:%u] failure %u", i, i % 30);
        delta_add_line(&delta, LINE_FAILURE, line);
    }
    report_init(&report);
    report.facts.state = RUN_FINISHED;
    assert_int_equal(run_output(&output_stdout, &job, fd, &report, &delta, &err), 0);
    text = read_text(path);
    assert_int_equal(count_of(text, "] failure "), 20);
    assert_int_equal(count_of(text, "(more failures are counted"), 1);
    free(text);
    close(fd);
    report_clear(&report);
    delta_clear(&delta);
    job_clear(&job);
    free(path);
}

static void test_stdout_nothing_happened(void **state)
{
    static const char want[] =
        "**** Molotov v" MOLOTOV_VERSION ". Happy breaking! ****\n"
        "SUCCESSES: 0 | FAILURES: 0\n"
        "\n"
        "  duration   0.0 s\n"
        "  load       1 process, at most 0 workers at one time\n"
        "  requests   none was made\n"
        "\n"
        "*** Bye ***\n";
    struct buffer text = BUFFER_INIT;
    struct report report;

    (void)state;
    report_init(&report);
    report.facts.state = RUN_FINISHED;
    report.facts.processes = 1;
    summary_write(&report, 80, false, &text);
    assert_string_equal(buffer_text(&text), want);
    buffer_clear(&text);
    report_clear(&report);
}

static void test_summary_of_transports(void **state)
{
    static const struct {
        uint64_t direct, curl;
        const char *want;
    } cases[] = {
        {3,    0, "\n  transport  direct\n"                          },
        {0,    3, "\n  transport  curl\n"                            },
        {1,    1, "\n  transport  direct (1 request), curl (1)\n"    },
        {1200, 3, "\n  transport  direct (1200 requests), curl (3)\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buffer text = BUFFER_INIT;
        struct report report;

        report_init(&report);
        report.facts.state = RUN_FINISHED;
        report.stats.direct_requests = cases[i].direct;
        report.stats.curl_requests = cases[i].curl;
        summary_write(&report, 80, false, &text);
        if (strstr(buffer_text(&text), cases[i].want) == NULL)
            fail_msg("'%s' is not in:\n%s", cases[i].want, buffer_text(&text));
        buffer_clear(&text);
        report_clear(&report);
    }
}

static void test_summary_of_cluster(void **state)
{
    static const char *const parts[] = {
        "  load       3 agents, each 2 processes with 50 workers: 300 workers, at most "
        "4 "
        "at one time\n",
        "\nLost agents\n"
        "  two on host-b, after 12.3 s: of it, 42 hits, 40 ok and 2 failed are "
        "counted\n"
        "  three on host-c, after 0.0 s: nothing of it is counted\n"
        "\nLost processes\n"
        "  process 2 of one exited with status 3\n",
    };
    struct buffer text = BUFFER_INIT;
    struct report report;
    struct delta delta;

    (void)state;
    fill_delta(&delta);
    fill_cluster_report(&report, &delta);
    summary_write(&report, 120, false, &text);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        if (strstr(buffer_text(&text), parts[i]) == NULL)
            fail_msg("'%s' is not in:\n%s", parts[i], buffer_text(&text));
    buffer_clear(&text);
    report_clear(&report);
    delta_clear(&delta);
}

/* However narrow, no text is wider than asked for; names of any length stay readable. */
static void test_summary_width(void **state)
{
    struct buffer text = BUFFER_INIT;
    struct report report;
    struct delta delta;
    char name[151];

    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    fill_delta(&delta);
    stats_request(&delta.stats, "GET", name, strlen(name))->hits = 1;
    stats_add_error(&delta.stats, name, 1, name);
    stats_add_error(&delta.stats,
                    "many words that have to be wrapped at some blank or so", 1, "");
    fill_report(&report, &delta);
    for (size_t width = 70; width <= 200; width += 10) {
        buffer_reset(&text);
        summary_write(&report, width, false, &text);
        for (char *line = strtok(text.data, "\n"); line != NULL;
             line = strtok(NULL, "\n"))
            if (text_width(line) > width)
                fail_msg("%zu columns: '%s'", width, line);
    }
    buffer_clear(&text);
    report_clear(&report);
    delta_clear(&delta);
}

/* What standard output does not take is an error, at the end or before the start. */
static void test_stdout_unwritable(void **state)
{
    static const struct {
        const char *name, *want;
    } cases[] = {
        {"full",   "cannot write the report to standard output: No space left on device"},
        {"left",   "cannot write the report to standard output: Broken pipe"            },
        {"closed",
         "cannot write to standard output (-q: show nothing): Bad file descriptor"      },
    };

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int fds[3] = {open("/dev/full", O_WRONLY), -1, -1}, pipe_ends[2];
        struct error err = {.message = ""};
        struct report report;
        struct delta delta;
        struct job job;

        assert_int_equal(pipe(pipe_ends), 0);
        close(pipe_ends[0]);
        fds[1] = pipe_ends[1];
        job_init(&job);
        fill_delta(&delta);
        fill_report(&report, &delta);
        assert_int_equal(
            run_output(&output_stdout, &job, fds[i], &report, &delta, &err), -1);
        assert_string_equal(err.message, cases[i].want);
        close(fds[0]);
        close(fds[1]);
        report_clear(&report);
        delta_clear(&delta);
        job_clear(&job);
    }
}

/* A terminal hands on what was written in pieces: reads until `size` bytes that end in
 * `ending` have come (the test's time-out is the bound). */
static void read_until(int fd, size_t size, const char *ending, char *ret_text,
                       size_t capacity)
{
    size_t had = 0;

    ret_text[0] = '\0';
    while (had < size || !text_ends_with(ret_text, ending)) {
        const ssize_t count = read(fd, ret_text + had, capacity - 1 - had);

        assert_true(count > 0);
        had += (size_t)count;
        ret_text[had] = '\0';
    }
}

/* On a terminal: one line, within its width, that gives way to lines that stay. */
static void test_stdout_live(void **state)
{
    struct winsize size = {.ws_row = 24, .ws_col = 60};
    int master = -1, terminal = -1, saved;
    struct output *output = NULL;
    struct report report;
    struct delta delta;
    struct job job;
    struct error err;
    char text[8192];

    (void)state;
    setenv("TERM", "xterm", 1);
    setenv("NO_COLOR", "1", 1);
    assert_int_equal(openpty(&master, &terminal, NULL, NULL, &size), 0);
    job_init(&job);
    fill_delta(&delta);
    fill_report(&report, &delta);
    report.facts.state = RUN_RUNNING;
    saved = swap_stdout(terminal);
    assert_int_equal(output_stdout.open(&job, &output, &err), 0);
    restore_stdout(saved);

    output_stdout.tick(output, &report);
    read_until(master, strlen("\r\033[K") + 59, "", text, sizeof(text));
    assert_true(text_starts_with(text, "\r\033[K[####################] 100%  0:02  "));
    assert_int_equal(text_width(text), strlen("\r\033[K") + 59);
    output_stdout.push(output, &report, &delta);
    read_until(master, 1, "\n", text, sizeof(text));
    assert_true(text_starts_with(text, "\r\033[K[W:0] status 503\r\n"));
    report.facts.state = RUN_FINISHED;
    assert_int_equal(output_stdout.close(output, &report, &err), 0);
    read_until(master, 1, "*** Bye ***\r\n", text, sizeof(text));
    assert_true(text_starts_with(text, "**** Molotov v"));
    assert_null(strchr(text, '\033'));
    close(master);
    close(terminal);
    report_clear(&report);
    delta_clear(&delta);
    job_clear(&job);
}

/* A reader that takes nothing holds up nothing, until the end. */
static void test_stdout_slow_reader(void **state)
{
    struct report report;
    struct delta delta;
    struct job job;
    struct output *output = NULL;
    struct error err;
    int ends[2], saved;

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(ends), 0);
    job_init(&job);
    job.console = true;
    fill_delta(&delta);
    fill_report(&report, &delta);
    saved = swap_stdout(ends[1]);
    assert_int_equal(output_stdout.open(&job, &output, &err), 0);
    restore_stdout(saved);
    for (size_t i = 0; i < 20000; i++) /* far more than the pipe and the queue hold */
        output_stdout.push(output, &report, &delta);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(output_stdout.close(output, &report, &err), -1);
    report_clear(&report);
    delta_clear(&delta);
    job_clear(&job);
}

static void test_words(void **state)
{
    static const struct {
        uint64_t value_us;
        const char *want;
    } latencies[] = {
        {0,          "0\xC2\xB5s"  },
        {999,        "999\xC2\xB5s"},
        {1000,       "1.00ms"      },
        {9994,       "9.99ms"      },
        {9996,       "10.0ms"      },
        {123456,     "123ms"       },
        {999499,     "999ms"       },
        {999500,     "1.00s"       },
        {12345678,   "12.3s"       },
        {4294967296, "4295s"       },
    };
    static const struct {
        const char *text;
        size_t width;
        const char *want;
    } cuts[] = {
        {"abcdefgh",                  8, "abcdefgh"             },
        {"abcdefgh",                  7,
         "abc\xE2\x80\xA6"
         "fgh"                                                  },
        {"abcdefgh",                  3, "a\xE2\x80\xA6h"       },
        {"abcdefgh",                  2, "ab"                   },
        {"\xC3\xA9\xC3\xA9\xC3\xA9x", 3, "\xC3\xA9\xE2\x80\xA6x"},
    };
    char words[WORDS_SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(latencies); i++)
        assert_string_equal(words_latency(latencies[i].value_us, words),
                            latencies[i].want);
    for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
        struct buffer text = BUFFER_INIT;

        words_add_cut(&text, cuts[i].text, cuts[i].width);
        assert_string_equal(buffer_text(&text), cuts[i].want);
        buffer_clear(&text);
    }
    assert_string_equal(words_bytes(1023, words), "1023 B");
    assert_string_equal(words_bytes(1536, words), "1.50 KiB");
    assert_string_equal(words_bytes(UINT64_MAX, words), "16.0 EiB");
    assert_string_equal(words_clock(59.9, words), "0:59");
    assert_string_equal(words_clock(3723, words), "1:02:03");
    assert_string_equal(words_count(1, "process", words), "1 process");
    assert_string_equal(words_count(2, "process", words), "2 processes");
}

/* --- the json output --------------------------------------------------------------- */

static void set_filename(struct job *job, const char *path)
{
    char *const setting = xasprintf("output-json-filename=%s", path);

    text_list_add(&job->output_options, setting);
    free(setting);
}

/* Writes a known run as JSON to `path` ("-": `fd`). */
static int write_json_of(void (*fill)(struct report *report, const struct delta *delta),
                         const char *path, int fd, struct error *err)
{
    struct report report;
    struct delta delta;
    struct job job;
    int rc;

    job_init(&job);
    text_list_clear(&job.outputs);
    text_list_add(&job.outputs, "json");
    set_filename(&job, path);
    fill_delta(&delta);
    fill(&report, &delta);
    rc = run_output(&output_json, &job, fd, &report, &delta, err);
    report_clear(&report);
    delta_clear(&delta);
    job_clear(&job);
    return rc;
}

static int write_json(const char *path, int fd, struct error *err)
{
    return write_json_of(fill_report, path, fd, err);
}

static json_t *load_json(const char *path)
{
    json_error_t error;
    json_t *const document = json_load_file(path, JSON_REJECT_DUPLICATES, &error);

    if (document == NULL)
        fail_msg("%s: line %d: %s", path, error.line, error.text);
    return document;
}

/* The value at a path such as "requests/0/status/200". */
static json_t *find(json_t *value, const char *path)
{
    char *const copy = xstrdup(path);

    for (char *part = strtok(copy, "/"); part != NULL; part = strtok(NULL, "/")) {
        value = json_is_array(value) ? json_array_get(value, (size_t)atoi(part))
                                     : json_object_get(value, part);
        if (value == NULL)
            fail_msg("%s: there is no %s", path, part);
    }
    free(copy);
    return value;
}

struct number_case {
    const char *path;
    json_int_t want;
};

struct text_case {
    const char *path, *want; /* NULL: null */
};

static void expect_numbers(json_t *document, const struct number_case *cases,
                           size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_t *const value = find(document, cases[i].path);

        if (!json_is_integer(value) || json_integer_value(value) != cases[i].want)
            fail_msg("%s is %lld", cases[i].path, (long long)json_integer_value(value));
    }
}

static void expect_texts(json_t *document, const struct text_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_t *const value = find(document, cases[i].path);

        if (cases[i].want == NULL)
            assert_true(json_is_null(value));
        else
            assert_string_equal(json_string_value(value), cases[i].want);
    }
}

static void check_numbers(json_t *document)
{
    static const struct number_case cases[] = {
        {"schema",                                1     },
        {"agents",                                0     },
        {"processes",                             2     },
        {"processes_lost/0/index",                1     },
        {"workers",                               4     },
        {"workers_max",                           4     },
        {"setup_failed",                          1     },
        {"session_setup_failed",                  2     },
        {"connections",                           4     },
        {"replaced_connections",                  2     },
        {"transports/direct",                     105   },
        {"transports/curl",                       0     },
        {"lines_dropped",                         5     },
        {"totals/ok",                             90    },
        {"totals/failed",                         15    },
        {"totals/cancelled",                      1     },
        {"totals/hits",                           102   },
        {"totals/hit_errors",                     2     },
        {"totals/unsent",                         3     },
        {"totals/bytes_in",                       100000},
        {"totals/bytes_out",                      10000 },
        {"scenarios/0/ok",                        90    },
        {"scenarios/0/failed",                    10    },
        {"scenarios/0/latency_us/p999",           127   },
        {"scenarios/1/cancelled",                 1     },
        {"scenarios/1/latency_us/count",          0     },
        {"scenarios/1/latency_us/max",            0     },
        {"requests/0/hits",                       100   },
        {"requests/0/errors",                     0     },
        {"requests/0/status/200",                 90    },
        {"requests/0/status/503",                 10    },
        {"requests/0/latency_us/count",           100   },
        {"requests/0/latency_us/min",             1     },
        {"requests/0/latency_us/p50",             50    },
        {"requests/0/latency_us/p90",             90    },
        {"requests/0/latency_us/p95",             95    },
        {"requests/0/latency_us/p99",             99    },
        {"requests/0/latency_us/p999",            100   },
        {"requests/0/latency_us/max",             100   },
        {"requests/0/phases_us/first_byte/max",   50    },
        {"requests/0/phases_us/first_byte/count", 100   },
        {"requests/0/phases_us/dns/count",        0     },
        {"requests/0/phases_us/total/count",      100   },
        {"requests/1/errors",                     2     },
        {"requests/1/unsent",                     3     },
        {"errors/0/count",                        1     },
        {"counters/pets",                         -7    },
        {"intervals/0/hits",                      102   },
        {"intervals/0/failed",                    15    },
    };

    expect_numbers(document, cases, ARRAY_SIZE(cases));
}

static void check_texts(json_t *document)
{
    static const struct text_case cases[] = {
        {"version",                   MOLOTOV_VERSION                  },
        {"run_id",                    "run-1"                          },
        {"test",                      "load\xEF\xBF\xBD.c"             },
        {"state",                     "failed"                         },
        {"interrupted_by",            NULL                             },
        {"failure",                   "process 1 was killed by SIGSEGV"},
        {"started",                   "2025-01-02T03:04:05.250Z"       },
        {"processes_lost/0/agent",    NULL                             },
        {"processes_lost/0/signal",   "SIGSEGV"                        },
        {"processes_lost/0/status",   NULL                             },
        {"processes_lost/0/scenario", "buy"                            },
        {"scenarios/0/name",          "browse"                         },
        {"requests/0/method",         "GET"                            },
        {"requests/0/name",           "http://x/page"                  },
        {"errors/0/message",          "connection refused"             },
        {"errors/1/sample",           "loadtest.c:12: status 503"      },
    };

    expect_texts(document, cases, ARRAY_SIZE(cases));
}

static void test_json_document(void **state)
{
    char *const path = path_of("report.json");
    struct stat status;
    struct error err;
    json_t *document;

    (void)state;
    if (write_json(path, STDOUT_FILENO, &err) == -1)
        fail_msg("%s", err.message);
    document = load_json(path);
    check_numbers(document);
    check_texts(document);
    assert_true(json_real_value(find(document, "duration_s")) == 2.0);
    assert_true(json_real_value(find(document, "requests/0/latency_us/mean")) == 50.5);
    assert_true(json_real_value(find(document, "errors/0/sample_s")) == 1.5);
    assert_int_equal(json_array_size(find(document, "agents_lost")), 0);
    assert_int_equal(json_array_size(find(document, "agent_list")), 0);
    assert_int_equal(json_array_size(find(document, "requests")), 2);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0600, 0600);
    json_decref(document);
    unlink(path);
    free(path);
}

static void test_json_of_cluster(void **state)
{
    static const struct number_case numbers[] = {
        {"agents",                  3  },
        {"agent_list/1/index",      1  },
        {"agents_lost/0/index",     1  },
        {"agents_lost/0/hits",      42 },
        {"agents_lost/0/ok",        40 },
        {"agents_lost/0/failed",    2  },
        {"agents_lost/0/cancelled", 0  },
        {"agents_lost/1/index",     2  },
        {"processes",               6  },
        {"processes_lost/0/status", 3  },
        {"workers",                 300},
    };
    static const struct text_case texts[] = {
        {"agent_list/0/name",      "one"   },
        {"agent_list/0/host",      "host-a"},
        {"agent_list/0/state",     "ended" },
        {"agent_list/1/state",     "lost"  },
        {"agents_lost/0/name",     "two"   },
        {"agents_lost/0/host",     "host-b"},
        {"processes_lost/0/agent", "one"   },
        {"started",                NULL    },
    };
    char *const path = path_of("cluster.json");
    struct error err;
    json_t *document;

    (void)state;
    if (write_json_of(fill_cluster_report, path, STDOUT_FILENO, &err) == -1)
        fail_msg("%s", err.message);
    document = load_json(path);
    expect_numbers(document, numbers, ARRAY_SIZE(numbers));
    expect_texts(document, texts, ARRAY_SIZE(texts));
    assert_int_equal(json_array_size(find(document, "agents_lost")), 2);
    assert_true(json_real_value(find(document, "agents_lost/0/when")) == 12.345678);
    assert_true(json_is_true(find(document, "agents_lost/0/counted")));
    assert_true(json_is_false(find(document, "agents_lost/1/counted")));
    json_decref(document);
    unlink(path);
    free(path);
}

static size_t count_files(void)
{
    char *const command = xasprintf("ls -A %s | wc -l", folder);
    FILE *const pipe_of = popen(command, "r");
    size_t count = 0;

    assert_non_null(pipe_of);
    assert_int_equal(fscanf(pipe_of, "%zu", &count), 1);
    pclose(pipe_of);
    free(command);
    return count;
}

/* Through links, over older documents, to standard output and to pipes. */
static void test_json_targets(void **state)
{
    char *const path = path_of("target.json"), *const link = path_of("link.json");
    const int fd = create(path);
    size_t files;
    struct stat status;
    struct error err;

    (void)state;
    assert_int_equal(symlink(path, link), 0);
    files = count_files();
    assert_int_equal(write(fd, "old", 3), 3);
    assert_int_equal(write_json(link, STDOUT_FILENO, &err), 0);
    json_decref(load_json(path));
    assert_int_equal(lstat(link, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    assert_int_equal(count_files(), files);
    assert_int_equal(write_json("/dev/null", STDOUT_FILENO, &err), 0);
    close(fd);
    unlink(link);
    unlink(path);
    free(link);
    free(path);
}

static void test_json_on_stdout(void **state)
{
    char *const path = path_of("stdout.json");
    const int fd = create(path);
    struct error err;

    (void)state;
    assert_int_equal(write_json("-", fd, &err), 0);
    json_decref(load_json(path));
    close(fd);
    unlink(path);
    free(path);
}

static void test_json_unwritable(void **state)
{
    char *const missing = path_of("no-such-folder/x.json");
    char *const pipe_path = path_of("pipe");
    const struct {
        const char *path, *want;
    } cases[] = {
        {missing,     "No such file or directory"                                     },
        {folder,      "Is a directory"                                                },
        {pipe_path,   "No such device or address"                                     },
        {"",          "No such file or directory"                                     },
        {"/dev/full", "cannot write the results to /dev/full: No space left on device"},
    };
    const size_t files = count_files();

    (void)state;
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {.message = ""};

        assert_int_equal(write_json(cases[i].path, STDOUT_FILENO, &err), -1);
        if (strstr(err.message, cases[i].want) == NULL)
            fail_msg("%s: %s", cases[i].path, err.message);
    }
    unlink(pipe_path);
    assert_int_equal(count_files(), files);
    free(missing);
    free(pipe_path);
}

/* Two documents on one standard output would be none. */
static void test_json_beside_stdout(void **state)
{
    struct output *output = NULL;
    struct error err;
    struct job job;

    (void)state;
    job_init(&job);
    text_list_add(&job.outputs, "json");
    assert_int_equal(output_json.open(&job, &output, &err), -1);
    assert_string_equal(err.message, "two outputs would write to standard output: give "
                                     "--output-json-filename FILE");
    job_clear(&job);
}

/* --- the report -------------------------------------------------------------------- */

/* What a broker tells replaces what was known; the time is that of the agents. */
static void test_report_of_broker(void **state)
{
    struct run_facts facts;
    struct report report;

    (void)state;
    facts_init(&facts);
    facts.state = RUN_RUNNING;
    facts.test = xstrdup("a.c");
    report_init(&report);
    report_set_facts(&report, &facts, 0);
    assert_true(report_elapsed_s(&report) == 0); /* it has not started */
    facts.started_wall_s = 1;
    report_set_facts(&report, &facts, 5 * (uint64_t)US_PER_S);
    assert_string_equal(report.facts.test, "a.c");
    assert_true(report_elapsed_s(&report) >= 5 && report_elapsed_s(&report) < 6);
    /* It may be older than this host is up. */
    facts.state = RUN_FINISHED;
    report_set_facts(&report, &facts, UINT64_C(1) << 60);
    assert_true(report_elapsed_s(&report) ==
                (double)(UINT64_C(1) << 60) / (double)US_PER_S);
    facts_clear(&facts);
    report_clear(&report);
}

static void test_report_replaced(void **state)
{
    struct stats_totals totals;
    struct series series;
    struct report report;
    struct delta delta;

    (void)state;
    fill_delta(&delta);
    series_init(&series);
    series_add(&series, &delta);
    series.workers_max = 77;
    report_init(&report);
    report_add(&report, &delta);
    report_add(&report, &delta);
    report_replace(&report, &delta, &series);
    stats_total(&report.stats, &totals);
    assert_int_equal(totals.hits, PAGES + BROKEN);
    assert_int_equal(report.series.workers_max, 77);
    assert_int_equal(report.series.count, series.count);
    assert_int_equal(report.series.rows[0].hits, PAGES + BROKEN);
    series_clear(&series); /* the report has a copy */
    report_replace(&report, &delta, NULL);
    assert_int_equal(report.series.workers_max, 4);
    assert_int_equal(report.series.rows[0].hits, PAGES + BROKEN);
    report_clear(&report);
    delta_clear(&delta);
}

/* --- all outputs ------------------------------------------------------------------- */

/* A run that did not begin leaves nothing behind. */
static void test_each_output_without_run(void **state)
{
    char *const path = path_of("never");
    const size_t files = count_files();

    (void)state;
    for (size_t i = 0; output_types[i] != NULL; i++) {
        struct output *output = NULL;
        struct error err;
        struct job job;

        job_init(&job);
        set_filename(&job, path);
        assert_int_equal(output_types[i]->open(&job, &output, &err), 0);
        assert_ptr_equal(output->type, output_types[i]);
        assert_int_equal(output_types[i]->close(output, NULL, &err), 0);
        assert_int_equal(count_files(), files);
        job_clear(&job);
    }
    free(path);
}

static void test_each_output_is_described(void **state)
{
    struct output_options options;
    struct option_table table;
    struct buffer help = BUFFER_INIT;

    (void)state;
    output_options_init(&options);
    table = output_options_table(&options);
    output_help(&help);
    options_help(&table, 1, 80, &help);
    for (size_t i = 0; output_types[i] != NULL; i++) {
        assert_ptr_equal(output_type_find(output_types[i]->name, NULL),
                         output_types[i]);
        assert_non_null(strstr(buffer_text(&help), output_types[i]->name));
        assert_non_null(strstr(buffer_text(&help), output_types[i]->help));
    }
    assert_non_null(strstr(buffer_text(&help), "--output-json-filename FILE"));
    buffer_clear(&help);
    output_options_clear(&options);
}

static int read_options(char *const *argv, int argc, struct job *job, struct error *err)
{
    struct output_options options;
    struct option_table tables[2];
    int rc;

    output_options_init(&options);
    tables[0] = job_options(job);
    tables[1] = output_options_table(&options);
    rc = options_parse(tables, 2, argc, argv, NULL, err);
    if (rc == 0)
        rc = output_options_apply(&options, job, err);
    output_options_clear(&options);
    return rc;
}

static void test_output_options(void **state)
{
    /* clang-format off */
    static const struct {
        const char *args[5];
        const char *want; /* the file, or the error */
        int rc;
    } cases[] = {
        {{"program"}, "-", 0},
        {{"program", "--output", "json", "--output-json-filename", "a=b"}, "a=b", 0},
        {{"program", "--output-j=x", "--output=json"}, "x", 0},
        {{"program", "--output-json-filename", "x"},
         "--output-json-filename needs --output json too", -1},
        {{"program", "--output", "jsn"},
         "unknown output 'jsn': did you mean 'json'? (there are: stdout, json, null)",
         -1},
        {{"program", "--output", "csv"},
         "unknown output 'csv' (there are: stdout, json, null)", -1},
        {{"program", "--output=null", "--output=null"}, "--output null is given twice",
         -1},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {.message = ""};
        struct job job;
        int argc = 0, rc;

        while (argc < 5 && cases[i].args[argc] != NULL)
            argc++;
        job_init(&job);
        rc = read_options((char *const *)cases[i].args, argc, &job, &err);
        assert_int_equal(rc, cases[i].rc);
        assert_string_equal(rc == 0 ? output_setting(&output_json, &job, "filename")
                                    : err.message,
                            cases[i].want);
        job_clear(&job);
    }
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    char *const command = xasprintf("rm -rf %s", folder);
    const int rc = system(command);

    (void)state;
    free(command);
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stdout_report),
        cmocka_unit_test(test_stdout_lines),
        cmocka_unit_test(test_stdout_quiet),
        cmocka_unit_test(test_stdout_many_failures),
        cmocka_unit_test(test_stdout_nothing_happened),
        cmocka_unit_test(test_summary_of_transports),
        cmocka_unit_test(test_summary_of_cluster),
        cmocka_unit_test(test_summary_width),
        cmocka_unit_test(test_stdout_unwritable),
        cmocka_unit_test(test_stdout_live),
        cmocka_unit_test(test_stdout_slow_reader),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_json_document),
        cmocka_unit_test(test_json_of_cluster),
        cmocka_unit_test(test_json_targets),
        cmocka_unit_test(test_json_on_stdout),
        cmocka_unit_test(test_json_unwritable),
        cmocka_unit_test(test_json_beside_stdout),
        cmocka_unit_test(test_report_of_broker),
        cmocka_unit_test(test_report_replaced),
        cmocka_unit_test(test_each_output_without_run),
        cmocka_unit_test(test_each_output_is_described),
        cmocka_unit_test(test_output_options),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
