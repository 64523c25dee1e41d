/* tests/differential/main.c - sends the same answers to two transports, and compares what
 * they make of them.
 *
 *     differential curl direct    each answer to both; accepted.c says what may differ
 *     differential curl           to one: once cut as generated, and once whole; direct
 *                                 then knows its head from the time before (seen_head.h)
 *
 * MOLOTOV_TEST_SEED is the seed of the mutations, DIFFERENTIAL_MUTATIONS their count,
 * DIFFERENTIAL_ONLY the number of one script that is played alone, and DIFFERENTIAL_SHOWN
 * how many of those that differ are shown. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"
#include "differential/compare.h"
#include "differential/generate.h"
#include "differential/play.h"
#include "http/names.h"

enum { MUTATIONS = 5000, SHOWN = 20, ROWS_MAX = 100 };

struct actor {
    const struct transport_type *type;
    struct transport *transport;
};

struct run {
    struct stage stage;
    struct names *names;
    struct actor left, right;
    bool has_curl;
    bool is_split; /* both are the same: left gets the answers whole */
    uint64_t only; /* UINT64_MAX: all */
    uint64_t shown_max;
    uint64_t number, played, differences;
    uint64_t matches[ROWS_MAX]; /* of the accepted rows */
};

/* --- one script ----------------------------------------------------------------------- */

static void show(const struct run *run, const struct pair *pair)
{
    printf("script %" PRIu64 ":\n", run->number);
    script_print(pair->script);
    outcome_print(pair->left);
    outcome_print(pair->right);
}

static void compare(struct run *run, const struct pair *pair)
{
    uint64_t unaccepted = 0;

    for (int aspect = 0; aspect < ASPECT_COUNT; aspect++) {
        const struct accepted *row;

        if (!pair_differs(pair, (enum aspect)aspect))
            continue;
        row = accepted_find(pair, (enum aspect)aspect);
        if (row != NULL) {
            run->matches[row - accepted_rows]++;
            continue;
        }
        if (run->differences < run->shown_max)
            printf("DIFFERENT: %s\n", aspect_words((enum aspect)aspect));
        unaccepted++;
    }
    if (unaccepted > 0 && run->differences++ < run->shown_max)
        show(run, pair);
}

/* What must hold whatever the answer was: it ends, with words, and harms no other. What
 * libcurl takes for the end of a flawed answer may not be: it reads the rest of it, where
 * that comes later, as the next answer. */
static bool is_sane(const struct outcome *outcome, enum flaw flaw)
{
    const struct exchange *const exchange = &outcome->exchange;
    const bool may_harm = flaw != FLAW_NONE && strcmp(outcome->transport, "curl") == 0;

    return exchange->failure != failure_timeout &&
           exchange->complete == (exchange->failure == NULL) &&
           (outcome_next_is_fine(outcome) || may_harm);
}

static void check(struct run *run, const struct pair *pair)
{
    const struct outcome *const outcomes[] = {pair->left, pair->right};

    for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++) {
        if (is_sane(outcomes[i], pair->flaw))
            continue;
        printf("WRONG in %s: no end in time, no words, or harm to the next request\n",
               outcomes[i]->transport);
        run->differences++;
        show(run, pair);
    }
}

/* The same without a cut. */
static struct script whole_of(const struct script *script)
{
    struct script whole = *script;

    whole.cut_everywhere = false;
    whole.cut_count = 0;
    return whole;
}

/* libcurl 7.88 may die of a head in which a line begins with a blank, or with NUL and a
 * blank somewhere, where its handle was used before: it adds the line to the last header of
 * the answer before, which it has freed. What is left over of an answer, it may take for
 * such a head. */
static bool kills_libcurl(const struct script *script)
{
    const char *const bytes = script->bytes.data;
    bool follows_answer = script->on_kept;

    for (size_t i = 1; i < script->bytes.size; i++) {
        if (bytes[i - 1] != '\n')
            continue;
        if (follows_answer && memchr(" \t", bytes[i], sizeof(" \t")) != NULL)
            return true;
        follows_answer |= bytes[i] == '\r' || bytes[i] == '\n';
    }
    return false;
}

/* A new transport knows the head of the time before alone. */
static void play_again(struct run *run, const struct script *script,
                       struct outcome *ret_outcome)
{
    const struct transport_type *const type = run->left.type;
    struct transport *const transport = type->new (run->stage.loop, run->names);

    play(&run->stage, type, transport, script, ret_outcome);
    outcome_clear(ret_outcome);
    play(&run->stage, type, transport, script, ret_outcome);
    type->destroy(transport);
}

static void play_left(struct run *run, const struct script *script,
                      struct outcome *ret_left)
{
    if (run->is_split && !run->has_curl)
        play_again(run, script, ret_left);
    else
        play(&run->stage, run->left.type, run->left.transport, script, ret_left);
}

static void visit(const struct script *script, void *data)
{
    struct run *const run = data;
    const bool is_asked_for = run->only == UINT64_MAX || run->number == run->only;
    const struct script whole = whole_of(script);
    struct outcome left, right;
    struct pair pair = {.script = script, .left = &left, .right = &right};

    if (is_asked_for && !(run->has_curl && kills_libcurl(script))) {
        pair.flaw = reference_flaw(script, &pair.is_cut_in_status_line);
        play_left(run, run->is_split ? &whole : script, &left);
        play(&run->stage, run->right.type, run->right.transport, script, &right);
        run->played++;
        compare(run, &pair);
        check(run, &pair);
        if (run->only != UINT64_MAX)
            show(run, &pair);
        outcome_clear(&left);
        outcome_clear(&right);
    }
    run->number++;
}

/* --- all of them ---------------------------------------------------------------------- */

/* Excuses that nothing needs are no excuses. */
static bool all_rows_matched(const struct run *run)
{
    bool all = true;

    for (size_t i = 0; i < accepted_count; i++) {
        const struct accepted *const row = &accepted_rows[i];

        if (!accepted_is_of(row, run->left.type->name, run->right.type->name))
            continue;
        printf("%8" PRIu64 " times accepted: %s: %s (%s)\n", run->matches[i],
               aspect_words(row->aspect), row->name, row->reason);
        all = all && run->matches[i] > 0;
    }
    if (!all)
        puts("STALE: a row of accepted.c that nothing matched");
    return all;
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *const text = getenv(variable);

    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static struct actor actor_named(const char *name, struct ev_loop *loop,
                                struct names *names)
{
    const struct transport_type *const type = transport_find(name);

    if (type == NULL) {
        fprintf(stderr, "there is no transport '%s'\n", name);
        exit(EXIT_FAILURE);
    }
    return (struct actor){.type = type, .transport = type->new (loop, names)};
}

int main(int argc, char **argv)
{
    struct ev_loop *const loop = loop_new();
    struct names *const names = names_new(loop);
    const uint64_t seed = number_from("MOLOTOV_TEST_SEED", clock_us());
    const uint64_t started_us = clock_us();
    struct run run = {
        .only = number_from("DIFFERENTIAL_ONLY", UINT64_MAX),
        .shown_max = number_from("DIFFERENTIAL_SHOWN", SHOWN),
    };
    bool fine;

    if (argc < 2) {
        fprintf(stderr, "Usage: %s TRANSPORT [OTHER_TRANSPORT]\n", argv[0]);
        return EXIT_FAILURE;
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* all of it, if a transport crashes */
    printf("MOLOTOV_TEST_SEED=%" PRIu64 "\n", seed);
    run.is_split = argc == 2;
    run.stage = (struct stage){.loop = loop, .server = server_new(loop)};
    run.names = names;
    run.left = actor_named(argv[1], loop, names);
    run.right = actor_named(argv[argc - 1], loop, names);
    run.has_curl =
        run.left.type == &transport_curl || run.right.type == &transport_curl;
    generate_bases(visit, &run);
    generate_mutations(seed, number_from("DIFFERENTIAL_MUTATIONS", MUTATIONS), visit,
                       &run);
    fine = run.differences == 0 && run.played > 0;
    if (run.only == UINT64_MAX)
        fine = all_rows_matched(&run) && fine;
    printf("%" PRIu64 " of %" PRIu64 " scripts in %.1f s, %" PRIu64 " differ\n",
           run.played, run.number, (double)(clock_us() - started_us) / US_PER_S,
           run.differences);
    run.left.type->destroy(run.left.transport);
    run.right.type->destroy(run.right.transport);
    names_destroy(names);
    server_destroy(run.stage.server);
    ev_loop_destroy(loop);
    return fine ? EXIT_SUCCESS : EXIT_FAILURE;
}
