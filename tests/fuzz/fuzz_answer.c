/* tests/fuzz/fuzz_answer.c - an answer from a stranger, for libFuzzer (tests/fuzz/run).
 *
 * Whatever the bytes are, an answer is complete or refused with words, it keeps its
 * limits, and it is the same however its bytes are cut, and if its head, or another, was
 * seen before. What does not hold aborts. The first bytes of an input say what was asked
 * and how it is cut, the rest is the answer.
 *
 * Parts: http/answer http/decode http/exchange http/header http/seen_head stats
 * Parts: base/arena base/buffer base/error base/memory base/text base/wire
 * Libraries: msgpack zlib libbrotlidec libzstd
 *
 * `fuzz_answer --write-corpus DIR` writes answers of all kinds to begin with and ends. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/corpus.h"
#include "tests/unit/answers.h"

enum {
    TO_HEAD = 1, /* in the first byte of an input */
    DROP_BODY = 2,
    LARGE_BODY = 1 << 20, /* that only one playing is worth */
};

struct input {
    uint8_t flags, first, then, seed;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "fuzz_answer: does not hold: %s\n", what);
    abort();
}

static void check_head(const struct exchange *exchange)
{
    const char *line = exchange->head;
    const char *const end = line + exchange->head_size;
    size_t lines = 0;

    must(exchange->head_size <= ANSWER_HEAD_MAX, "a head has a limit");
    for (; line < end; lines++) {
        const char *const stop = memchr(line, '\n', (size_t)(end - line));

        must(stop != NULL, "each line has an end");
        must(memchr(line, ':', (size_t)(stop - line)) != NULL, "each has a name");
        line = stop + 1;
    }
    must(lines <= ANSWER_LINES_MAX, "the lines have a limit");
    if (!exchange->head_ended)
        return;
    must(memchr(exchange->head, '\0', exchange->head_size) == NULL, "it has no NUL");
    must(memchr(exchange->head, '\r', exchange->head_size) == NULL, "it has no CR");
}

static void check_body(const struct outcome *outcome)
{
    const struct exchange *const exchange = &outcome->exchange;
    const bool has_none = outcome->answer.to_head || exchange->status == 204 ||
                          exchange->status == 304 || !exchange->keep_body;

    must(exchange->body_length <= ANSWER_BODY_MAX, "a body has a limit");
    must(!has_none || exchange->body_data == NULL, "what has no body has none");
    must(exchange->body_data == NULL ||
             exchange->body_data[exchange->body_length] == '\0',
         "a body ends with a NUL");
    if (exchange->facts.has_length && !has_none && exchange->facts.codings == 0 &&
        outcome->answer.state == ANSWER_COMPLETE)
        must(exchange->body_length == exchange->facts.length,
             "its length is what it said");
}

static void check_outcome(const struct outcome *outcome, size_t size)
{
    const struct exchange *const exchange = &outcome->exchange;
    const bool is_complete = outcome->answer.state == ANSWER_COMPLETE;

    must(answer_is_over(&outcome->answer), "it ends with its connection");
    must(is_complete == (exchange->failure == NULL), "a refusal has words");
    must(outcome->taken <= size, "it takes no more than there is");
    must(outcome->was_over || outcome->taken == size, "what goes on takes all");
    must(!outcome->answer.keep_alive || (is_complete && outcome->was_over),
         "what is not complete by itself is not kept");
    must(!is_complete || exchange->status >= 200, "an answer has a status");
    must(exchange->decoder == NULL, "no decoder is left");
    if (exchange->head != NULL)
        check_head(exchange);
    check_body(outcome);
}

static void play_seen(struct outcome *ret_outcome, const struct input *input,
                      const char *answer, size_t size, const struct pieces *pieces,
                      struct seen_head *seen)
{
    play_answer(ret_outcome, (input->flags & TO_HEAD) != 0 ? "HEAD" : "GET",
                (input->flags & DROP_BODY) == 0, answer, size, pieces, seen);
    check_outcome(ret_outcome, size);
}

static void play(struct outcome *ret_outcome, const struct input *input,
                 const char *answer, size_t size, const struct pieces *pieces)
{
    play_seen(ret_outcome, input, answer, size, pieces, NULL);
}

static void check_cuts(const struct outcome *whole, const struct input *input,
                       const char *answer, size_t size)
{
    struct random random = random_from(input->seed);
    const struct pieces all[] = {
        {1,                  1,           NULL   },
        {input->first,       input->then, NULL   },
        {input->first * 64u, input->then, NULL   },
        {0,                  0,           &random},
    };

    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        struct outcome cut;

        play(&cut, input, answer, size, &all[i]);
        must(compare_outcomes(whole, &cut) == NULL, compare_outcomes(whole, &cut));
        arena_clear(&cut.arena);
    }
}

/* Nor does it matter that this head was seen before, or one that is nearly the same. */
static void check_seen(const struct outcome *whole, const struct input *input,
                       const char *answer, size_t size)
{
    const struct pieces in_one = {size, 1, NULL};
    char *const other = xmalloc(size + 1);
    struct seen_head seen = {.raw_size = 0};

    memcpy(other, answer, size);
    if (size > 0)
        other[input->seed * 8u % size] ^= (char)input->then;
    for (size_t i = 0; i < 4; i++) {
        struct outcome again;

        play_seen(&again, input, other, size, &in_one, &seen);
        arena_clear(&again.arena);
        for (size_t k = 0; k < i; k++) {
            play_seen(&again, input, answer, size, &in_one, &seen);
            must(compare_outcomes(whole, &again) == NULL,
                 compare_outcomes(whole, &again));
            arena_clear(&again.arena);
        }
    }
    free(other);
    seen_head_clear(&seen);
}

/* What comes after the end of an answer has changed nothing of it. */
static void check_end(const struct outcome *whole, const struct input *input,
                      const char *answer)
{
    struct outcome alone;

    play(&alone, input, answer, whole->taken, &(struct pieces){whole->taken, 1, NULL});
    must(compare_outcomes(whole, &alone) == NULL, compare_outcomes(whole, &alone));
    arena_clear(&alone.arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input;
    struct outcome whole;
    const char *const answer = (const char *)data + sizeof(input);

    if (size < sizeof(input))
        return 0;
    memcpy(&input, data, sizeof(input));
    size -= sizeof(input);
    play(&whole, &input, answer, size, &(struct pieces){size, 1, NULL});
    if (whole.exchange.body_length <= LARGE_BODY) {
        check_cuts(&whole, &input, answer, size);
        check_seen(&whole, &input, answer, size);
        if (whole.was_over && whole.answer.state == ANSWER_COMPLETE)
            check_end(&whole, &input, answer);
    }
    arena_clear(&whole.arena);
    return 0;
}

/* --- the corpus ------------------------------------------------------------------- */

static int write_sample(const char *folder, size_t number, struct buffer *buffer)
{
    const struct sample_answer *const sample = &sample_answers[number];
    const struct input input = {.flags = sample->method != NULL ? TO_HEAD : 0,
                                .first = (uint8_t)(number + 1),
                                .then = 3,
                                .seed = (uint8_t)number};

    buffer_reset(buffer);
    buffer_add(buffer, &input, sizeof(input));
    buffer_add(buffer, sample->bytes, sample->size);
    return corpus_write(folder, "answer", number, buffer);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct buffer buffer = BUFFER_INIT;
    int rc = 0;

    if (*argc != 3 || strcmp((*argv)[1], "--write-corpus") != 0)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(sample_answers) && rc == 0; i++)
        rc = write_sample((*argv)[2], i, &buffer);
    buffer_clear(&buffer);
    exit(rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}
