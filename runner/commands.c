#include "runner/commands.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/program.h"
#include "outputs/grid.h"
#include "outputs/words.h"

enum {
    WIDTH_OF_FILES = 1000, /* columns of what is no terminal: each run on one line */
    TEST_WIDTH = 40,
};

static int finish_stdout(void)
{
    struct error err;

    if (fflush(stdout) == 0 && !ferror(stdout))
        return PROGRAM_OK;
    error_errno(&err, "cannot write to standard output");
    return program_complain(PROGRAM_FAILED, &err);
}

/* --- ping --------------------------------------------------------------------------- */

static int compare_agents(const void *left, const void *right)
{
    const struct pong_agent *const one = left, *const other = right;
    const int hosts = strcmp(one->host, other->host);

    if (hosts != 0)
        return hosts;
    return one->pid < other->pid ? -1 : one->pid > other->pid;
}

static void write_agents(struct message_pong *pong)
{
    if (pong->agent_count > 0)
        qsort(pong->agents, pong->agent_count, sizeof(*pong->agents), compare_agents);
    printf("%zu agents registered\n", pong->agent_count);
    for (size_t i = 0; i < pong->agent_count; i++)
        printf("  - %llu on %s\n", (unsigned long long)pong->agents[i].pid,
               pong->agents[i].host);
}

static void write_running(const struct message_pong *pong)
{
    if (pong->run_count == 0) {
        puts("Nothing is running right now.");
        return;
    }
    printf("We have %zu run(s) right now:\n", pong->run_count);
    for (size_t i = 0; i < pong->run_count; i++)
        printf("  - %s with %llu agent(s)\n", pong->runs[i].run,
               (unsigned long long)pong->runs[i].agents);
}

int command_ping(const struct frontend *frontend)
{
    struct message_pong pong;
    struct error err;

    if (client_ping(frontend, &pong, &err) == -1)
        return program_complain(PROGRAM_FAILED, &err);
    printf("Broker running on pid %llu\n", (unsigned long long)pong.pid);
    write_agents(&pong);
    puts("endpoints:");
    printf("  - backend: %s\n", pong.backend);
    printf("  - frontend: %s\n", pong.frontend);
    printf("  - publisher: %s\n", pong.publisher);
    write_running(&pong);
    message_pong_clear(&pong);
    return finish_stdout();
}

/* --- list --------------------------------------------------------------------------- */

/* In this host's time: "2026-11-21 04:25:19". */
static void add_moment(struct grid *grid, double wall_s)
{
    const time_t seconds = (time_t)wall_s;
    struct tm parts;
    char text[32];

    if (localtime_r(&seconds, &parts) == NULL ||
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts) == 0)
        grid_add(grid, "-");
    else
        grid_add(grid, "%s", text);
}

static void add_test(struct grid *grid, const char *test)
{
    struct buffer shown = BUFFER_INIT;

    words_add_cut(&shown, test, TEST_WIDTH);
    grid_add(grid, "%s", buffer_text(&shown));
    buffer_clear(&shown);
}

static void add_run(struct grid *grid, const struct listed_run *run)
{
    char elapsed[WORDS_SIZE];

    grid_add(grid, "%s", run->run);
    grid_add(grid, "%s", run_state_words[run->state]);
    grid_add(grid, "%llu", (unsigned long long)run->agents);
    add_moment(grid, run->created_wall_s);
    grid_add(grid, "%s", words_clock((double)run->elapsed_us / US_PER_S, elapsed));
    add_test(grid, run->test);
}

bool command_write_runs(const struct message_runs *runs, bool active, FILE *to)
{
    static const char *const headings[] = {"Runs",    "state",   "agents",
                                           "created", "elapsed", "test"};
    const size_t width = isatty(fileno(to)) ? program_help_width() : WIDTH_OF_FILES;
    struct grid grid = GRID_INIT(headings);
    struct buffer text = BUFFER_INIT;
    bool any;

    for (size_t i = 0; i < runs->count; i++)
        if (!active || !run_state_is_over(runs->runs[i].state))
            add_run(&grid, &runs->runs[i]);
    grid_write(&grid, width, false, &text);
    any = text.size > 0;
    fputs(any ? text.data + 1 : "", to); /* without the blank line in front */
    buffer_clear(&text);
    grid_clear(&grid);
    return any;
}

int command_list_runs(const struct frontend *frontend)
{
    struct message_runs runs;
    struct error err;

    if (client_list(frontend, &runs, &err) == -1)
        return program_complain(PROGRAM_FAILED, &err);
    if (!command_write_runs(&runs, false, stdout))
        puts("There are no runs.");
    message_runs_clear(&runs);
    return finish_stdout();
}

/* --- stop --------------------------------------------------------------------------- */

static int ask_to_stop(const struct frontend *frontend, const char *run,
                       struct message_accepted *ret_accepted, struct error *err)
{
    struct message_stop stop = {.why = (char *)"--stop"};
    struct buffer request = BUFFER_INIT;
    struct client_answer answer;
    int rc;

    snprintf(stop.run, sizeof(stop.run), "%s", run);
    message_pack_run_stop(&request, &stop);
    rc = client_call(frontend, &request, MESSAGE_ACCEPTED, &answer, err);
    buffer_clear(&request);
    if (rc == -1)
        return -1;
    rc = message_unpack_accepted(&answer.message.root, ret_accepted, err);
    client_answer_clear(&answer);
    return rc;
}

int command_stop(const struct frontend *frontend, const char *run)
{
    struct message_accepted accepted;
    struct error err;

    if (ask_to_stop(frontend, run, &accepted, &err) == -1)
        return program_complain(PROGRAM_FAILED, &err);
    if (accepted.was_over)
        printf("Run %s was over already (%s).\n", run, run_state_words[accepted.state]);
    else
        printf("Run %s is told to stop.\n", run);
    return finish_stdout();
}
