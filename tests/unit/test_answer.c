#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "http/answer.h"
#include "unit/answers.h"

static const char large_head[] = "the answer's head is over 64 KiB";
static const char many_lines[] = "the answer's head has over 100 lines";
static const char many_heads[] = "over 100 heads of a 1xx came before the answer's";

/* --- every answer, cut at every byte ---------------------------------------------- */

static void expect(bool holds, const struct sample_answer *sample, const char *how,
                   const struct outcome *outcome, const char *what)
{
    const struct exchange *const exchange = &outcome->exchange;

    if (!holds)
        fail_msg("%s, %s: %s: failure '%s' (%s), status %d '%s', head '%.*s', body "
                 "'%.*s', taken %zu of %zu",
                 sample->name, how, what, exchange->failure, exchange->detail,
                 exchange->status, exchange->reason, (int)exchange->head_size,
                 exchange->head, (int)exchange->body_length, exchange->body_data,
                 outcome->taken, sample->size);
}

static void expect_sample(const struct sample_answer *sample, const char *how,
                          const struct outcome *outcome)
{
    const struct exchange *const exchange = &outcome->exchange;
    const char *const reason = sample->reason != NULL ? sample->reason : "";
    const char *const head = sample->head != NULL ? sample->head : "";
    const char *const body = sample->body != NULL ? sample->body : "";
    const bool is_complete = outcome->answer.state == ANSWER_COMPLETE;

    expect(answer_is_over(&outcome->answer), sample, how, outcome, "it is not over");
    expect(is_complete == (sample->failure == NULL), sample, how, outcome, "state");
    expect(same_text(exchange->failure, sample->failure), sample, how, outcome,
           "failure");
    expect(exchange->status == sample->status, sample, how, outcome, "status");
    expect(outcome->answer.keep_alive == sample->keep_alive, sample, how, outcome,
           "whether it is kept");
    expect(exchange->decoder == NULL, sample, how, outcome, "a decoder is left");
    if (!is_complete)
        return;
    expect(outcome->taken == sample->size - sample->left, sample, how, outcome, "size");
    expect(same_text(exchange->reason, reason), sample, how, outcome, "reason");
    expect(same_bytes(exchange->head, exchange->head_size, head, strlen(head)), sample,
           how, outcome, "head");
    expect(same_bytes(exchange->body_data, exchange->body_length, body, strlen(body)),
           sample, how, outcome, "body");
}

/* All in one piece. */
static void play_whole(struct outcome *ret_outcome, const char *bytes, size_t size)
{
    play_answer(ret_outcome, "GET", true, bytes, size, &(struct pieces){size, 1, NULL},
                NULL);
}

static void play_seen(const struct sample_answer *sample, bool keep_body,
                      struct pieces pieces, struct outcome *ret_outcome,
                      struct seen_head *seen)
{
    play_answer(ret_outcome, sample->method != NULL ? sample->method : "GET", keep_body,
                sample->bytes, sample->size, &pieces, seen);
}

static void play_sample(const struct sample_answer *sample, bool keep_body,
                        struct pieces pieces, struct outcome *ret_outcome)
{
    play_seen(sample, keep_body, pieces, ret_outcome, NULL);
}

/* However it is cut: the same, as it should be. */
static void check_cuts(const struct sample_answer *sample)
{
    struct outcome whole;

    play_sample(sample, true, (struct pieces){sample->size, 1, NULL}, &whole);
    expect_sample(sample, "whole", &whole);
    for (size_t first = 1; first < sample->size; first++) {
        const struct pieces all[] = {
            {first, sample->size, NULL},
            {first, 1,            NULL},
            {first, first,        NULL}
        };

        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
            struct outcome cut;
            const char *difference;
            char how[64];

            snprintf(how, sizeof(how), "in pieces of %zu and %zu", all[i].first,
                     all[i].then);
            play_sample(sample, true, all[i], &cut);
            expect_sample(sample, how, &cut);
            difference = compare_outcomes(&whole, &cut);
            expect(difference == NULL, sample, how, &cut, difference);
            arena_clear(&cut.arena);
        }
    }
    arena_clear(&whole.arena);
}

static void test_answers_of_all_kinds(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sample_answers); i++)
        check_cuts(&sample_answers[i]);
}

/* A body that is not kept is read as strictly, but not decoded. */
static void test_a_body_may_be_dropped(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sample_answers); i++) {
        const struct sample_answer *const sample = &sample_answers[i];
        const bool is_broken = same_text(sample->failure, BAD_BODY);
        struct outcome outcome;

        play_sample(sample, false, (struct pieces){7, 7, NULL}, &outcome);
        expect(outcome.exchange.body_data == NULL, sample, "dropped", &outcome, "kept");
        if (is_broken)
            expect(outcome.answer.state == ANSWER_COMPLETE, sample, "dropped", &outcome,
                   "it was decoded");
        else
            expect(same_text(outcome.exchange.failure, sample->failure), sample,
                   "dropped", &outcome, "failure");
        arena_clear(&outcome.arena);
    }
}

/* Lines that are whole in a piece are read where they are. */
static void test_whole_lines_are_not_copied(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sample_answers); i++) {
        const struct sample_answer *const sample = &sample_answers[i];
        struct outcome outcome;

        play_sample(sample, true, (struct pieces){sample->size, 1, NULL}, &outcome);
        if (outcome.answer.state == ANSWER_COMPLETE)
            expect(outcome.answer.line == NULL, sample, "whole", &outcome, "copied");
        arena_clear(&outcome.arena);
    }
}

/* --- heads that came before ------------------------------------------------------- */

static void expect_seen(const struct sample_answer *sample, const char *how,
                        struct pieces pieces, struct seen_head *seen)
{
    struct outcome outcome, fresh;
    const char *difference;

    seen->misses = 0; /* each is kept */
    play_seen(sample, true, pieces, &outcome, seen);
    play_sample(sample, true, pieces, &fresh);
    difference = compare_outcomes(&fresh, &outcome);
    expect(difference == NULL, sample, how, &outcome, difference);
    expect_sample(sample, how, &outcome);
    arena_clear(&outcome.arena);
    arena_clear(&fresh.arena);
}

/* Whatever came before, an answer is the same, in one piece or in two. */
static void test_what_came_before_changes_nothing(void **state)
{
    struct seen_head seen = {.raw_size = 0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sample_answers); i++) {
        const struct sample_answer *const sample = &sample_answers[i];
        const struct pieces whole = {sample->size, 1, NULL};

        for (size_t k = 0; k < ARRAY_SIZE(sample_answers); k++) {
            const struct sample_answer *const before = &sample_answers[k];

            expect_seen(before, "before", (struct pieces){before->size, 1, NULL},
                        &seen);
            expect_seen(sample, before->name, whole, &seen);
        }
        for (size_t first = 1; first < sample->size; first++) {
            expect_seen(sample, "again", whole, &seen);
            expect_seen(sample, "cut", (struct pieces){first, sample->size, NULL},
                        &seen);
        }
    }
    seen_head_clear(&seen);
}

static int status_of_bytes(const char *bytes, size_t size, struct seen_head *seen)
{
    struct outcome outcome;
    int status;

    play_answer(&outcome, "GET", true, bytes, size, &(struct pieces){size, 1, NULL},
                seen);
    status = outcome.exchange.status;
    arena_clear(&outcome.arena);
    return status;
}

static int status_of(const char *bytes, struct seen_head *seen)
{
    return status_of_bytes(bytes, strlen(bytes), seen);
}

static void test_a_head_that_came_before_is_not_read(void **state)
{
    struct seen_head seen = {.raw_size = 0};

    (void)state;
    assert_int_equal(status_of(OK_1 "Content-Length: 1\r\n\r\na", &seen), 200);
    seen.status = 299; /* shows who is asked */
    assert_int_equal(status_of(OK_1 "Content-Length: 1\r\n\r\nb", &seen), 299);
    assert_int_equal(status_of(OK_1 "Content-Length: 1\r\n\r\n", &seen), 299);
    assert_int_equal(
        status_of("HTTP/1.1 103\r\n\r\n" OK_1 "Content-Length: 1\r\n\r\na", &seen),
        299);
    assert_int_equal(status_of(OK_1 "Content-Length: 1\r\n\r", &seen), 200);
    assert_int_equal(status_of(OK_1 "Content-Length: 2\r\n\r\nab", &seen), 200);
    assert_int_equal(seen.status, 200);
    seen_head_clear(&seen);
}

/* Whether an answer's head, which differs from all others, is kept. */
static bool is_kept(unsigned number, struct seen_head *seen)
{
    char bytes[100];

    snprintf(bytes, sizeof(bytes), OK_1 "X: %u\r\nContent-Length: 0\r\n\r\n", number);
    assert_int_equal(status_of(bytes, seen), 200);
    return seen_head_is_at(seen, bytes, strlen(bytes));
}

/* Where they all differ, few are kept; once one comes again, the next ones are. */
static void test_heads_that_all_differ(void **state)
{
    const unsigned last = 3 * SEEN_HEAD_RETRY;
    struct seen_head seen = {.raw_size = 0};

    (void)state;
    for (unsigned number = 1; number <= last; number++) {
        const bool want = number <= SEEN_HEAD_TRIES || number % SEEN_HEAD_RETRY == 0;

        if (is_kept(number, &seen) != want)
            fail_msg("number %u", number);
    }
    assert_true(is_kept(last, &seen));
    assert_true(is_kept(last + 1, &seen));
    seen_head_clear(&seen);
}

/* A head is kept that is final, whole in one piece, accepted, and not too large. */
static void test_which_heads_are_kept(void **state)
{
    static const struct {
        const char *name, *bytes;
        size_t first; /* piece; 0: all */
        size_t want;  /* bytes that are kept */
    } cases[] = {
        {"whole",            OK_1 "A: b\r\n\r\nbody",                     0,  25},
        {"without lines",    OK_1 "\r\n",                                 0,  19},
        {"without a body",   "HTTP/1.1 204 \r\n\r\n",                     0,  17},
        {"its body is cut",  OK_1 "Content-Length: 9\r\n\r\n",            0,  38},
        {"after a 1xx",      "HTTP/1.1 100 \r\n\r\n" OK_1 "A: b\r\n\r\n", 0,  25},
        {"a piece for each", "HTTP/1.1 100 \r\n\r\n" OK_1 "A: b\r\n\r\n", 17, 25},
        {"of a 1xx",         "HTTP/1.1 100 \r\n\r\n",                     0,  0 },
        {"cut",              OK_1 "A: b\r\n\r\nbody",                     7,  0 },
        {"cut at a line",    OK_1 "A: b\r\n\r\nbody",                     17, 0 },
        {"cut at its end",   OK_1 "A: b\r\n\r\nbody",                     24, 0 },
        {"not whole",        OK_1 "A: b\r\n",                             0,  0 },
        {"refused",          OK_1 "A b\r\n\r\n",                          0,  0 },
        {"refused at last",  OK_1 "A: \r\r\n\r\n",                        0,  0 },
        {"not to be known",  OK_0 "Transfer-Encoding: chunked\r\n\r\n",   0,  0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const size_t size = strlen(cases[i].bytes);
        const size_t first = cases[i].first > 0 ? cases[i].first : size;
        struct seen_head seen = {.raw_size = 0};
        struct outcome outcome;

        play_answer(&outcome, "GET", true, cases[i].bytes, size,
                    &(struct pieces){first, size, NULL}, &seen);
        if (seen.raw_size != cases[i].want)
            fail_msg("%s: %zu bytes are kept", cases[i].name, seen.raw_size);
        arena_clear(&outcome.arena);
        seen_head_clear(&seen);
    }
}

/* --- limits ----------------------------------------------------------------------- */

/* A text that is put together of repeated parts. */
struct text {
    char *data;
    size_t size, capacity;
};

static void add(struct text *text, const char *part, size_t times)
{
    const size_t length = strlen(part);

    if (text->size + length * times >= text->capacity) {
        text->capacity = 2 * (text->size + length * times) + 1;
        text->data = xrealloc_array(text->data, text->capacity, 1);
    }
    for (; times > 0; times--) {
        memcpy(text->data + text->size, part, length);
        text->size += length;
    }
}

static struct text put_together(const char *before, const char *part, size_t times,
                                const char *after)
{
    struct text text = {.data = NULL};

    add(&text, before, 1);
    add(&text, part, times);
    add(&text, after, 1);
    return text;
}

/* The same however it is cut; of long texts, at some places. */
static void expect_of_text(const char *name, const struct text *text, const char *want)
{
    struct random random = random_from(text->size);
    struct seen_head seen = {.raw_size = 0};
    struct outcome whole;

    play_whole(&whole, text->data, text->size);
    if (!same_text(whole.exchange.failure, want))
        fail_msg("%s: the failure is '%s' (%s)", name, whole.exchange.failure,
                 whole.exchange.detail);
    for (size_t i = 0; i < 40; i++) {
        const struct pieces all[] = {
            {1,                   1,          NULL   },
            {text->size - i,      1,          NULL   },
            {i * text->size / 40, text->size, NULL   },
            {0,                   0,          &random}
        };
        struct outcome cut;
        const char *difference;

        play_answer(&cut, "GET", true, text->data, text->size,
                    &all[i == 0 ? 0 : 1 + i % 3], &seen);
        difference = compare_outcomes(&whole, &cut);
        if (difference != NULL)
            fail_msg("%s: cut the %zuth way: %s ('%s')", name, i, difference,
                     cut.exchange.failure);
        arena_clear(&cut.arena);
    }
    arena_clear(&whole.arena);
    seen_head_clear(&seen);
}

static void test_limits_of_a_line(void **state)
{
    static const struct {
        const char *name, *before, *after;
        size_t length; /* of the line, without its end */
        const char *want;
    } cases[] = {
        {"a header line",           OK_1 "A: ",         "\r\n", 65535,   CUT_HEAD  },
        {"a longer header line",    OK_1 "A: ",         "\r\n", 65536,   large_head},
        {"a line without an end",   OK_1 "A: ",         "",     65536,   CUT_HEAD  },
        {"one that is longer",      OK_1 "A: ",         "",     65537,   large_head},
        {"a line after another",    OK_1 "B: c\r\nA: ", "\r\n", 65530,   CUT_HEAD  },
        {"a longer one",            OK_1 "B: c\r\nA: ", "\r\n", 65531,   large_head},
        {"an endless line",         OK_1 "A: ",         "",     1 << 20, large_head},
        {"a long line of no name",  OK_1,               "\r\n", 65536,   large_head},
        {"a line with a bare LF",   OK_1 "A: ",         "\n",   65536,   BAD_LINE  },
        {"a trailer",               CHUNKED "0\r\nA: ", "\r\n", 65508,   CUT_ANSWER},
        {"a longer trailer",        CHUNKED "0\r\nA: ", "\r\n", 65509,   large_head},
        {"the line of a chunk",     CHUNKED "2;",       "\r\n", 4095,    CUT_ANSWER},
        {"a longer line",           CHUNKED "2;",       "\r\n", 4096,    BAD_CHUNKS},
        {"an endless chunk's line", CHUNKED "2;",       "",     1 << 20, BAD_CHUNKS},
        {"endless zeros",           CHUNKED "0",        "",     1 << 20, BAD_CHUNKS},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *const line = strrchr(cases[i].before, '\n') + 1;
        const struct text text =
            put_together(cases[i].before, *line == '0' ? "0" : "x",
                         cases[i].length - strlen(line), cases[i].after);

        expect_of_text(cases[i].name, &text, cases[i].want);
        free(text.data);
    }
}

static void test_limits_of_a_status_line(void **state)
{
    (void)state;
    for (size_t more = 0; more < 2; more++) {
        struct text text = put_together("HTTP/1.1 200 ", "x", 65535 - 13 + more,
                                        "\r\nContent-Length: 0\r\n\r\n");

        expect_of_text("status line", &text, more == 0 ? NULL : large_head);
        text.size = 65536 + more; /* without an end */
        expect_of_text("an endless one", &text, more == 0 ? CUT_HEAD : large_head);
        free(text.data);
    }
}

static void test_limits_of_lines(void **state)
{
    static const struct {
        const char *name, *before, *line;
        size_t times;
        const char *after, *want;
    } cases[] = {
        {"lines, as many as there may be", OK_1,            "A: b\r\n",                               100,  "\r\n", NULL      },
        {"one more",                       OK_1,            "A: b\r\n",                               101,  "\r\n", many_lines},
        {"an endless head",                OK_1,            "A: b\r\n",                               1000, "",     many_lines},
        {"a trailer",                      CHUNKED "0\r\n", "A: b\r\n",                               99,   "\r\n", NULL      },
        {"a longer trailer",               CHUNKED "0\r\n", "A: b\r\n",                               100,  "\r\n", many_lines},
        {"heads of a 1xx",                 "",              "HTTP/1.1 103 x\r\nA: b\r\nC: d\r\n\r\n", 100,
         OK_1 "Content-Length: 0\r\n\r\n",                                                                          NULL      },
        {"one head more",                  "",              "HTTP/1.1 103 x\r\nA: b\r\nC: d\r\n\r\n", 101,
         OK_1 "Content-Length: 0\r\n\r\n",                                                                          many_heads},
        {"endless heads",                  "",              "HTTP/1.1 100\r\n\r\n",                   1000, "",     many_heads},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct text text = put_together(cases[i].before, cases[i].line,
                                              cases[i].times, cases[i].after);

        expect_of_text(cases[i].name, &text, cases[i].want);
        free(text.data);
    }
}

/* The one before stays what it was. */
static void test_limit_of_a_head_that_is_kept(void **state)
{
    struct seen_head seen = {.raw_size = 0};

    (void)state;
    for (size_t more = 0; more < 2; more++) {
        const size_t rest = sizeof(OK_1 "A: \r\nConnection: close\r\n\r\n") - 1;
        const struct text text =
            put_together(OK_1 "A: ", "x", SEEN_HEAD_MAX - rest + more,
                         "\r\nConnection: close\r\n\r\n");

        assert_int_equal(status_of(OK_1 "Content-Length: 0\r\n\r\n", &seen), 200);
        assert_int_equal(status_of_bytes(text.data, text.size, &seen), 200);
        assert_int_equal(seen.raw_size, more == 0 ? SEEN_HEAD_MAX : 38);
        assert_int_equal(seen.keep_alive, more == 1);
        free(text.data);
    }
    seen_head_clear(&seen);
}

static void test_many_chunks(void **state)
{
    const struct text text =
        put_together(CHUNKED, "3;and=so on\r\nabc\r\n", 2000, "0\r\n\r\n");

    (void)state;
    expect_of_text("chunks", &text, NULL);
    free(text.data);
}

/* --- bodies ----------------------------------------------------------------------- */

/* Only one that is kept has a limit. */
static void test_limit_of_a_body(void **state)
{
    static const struct {
        const char *name, *head;
        bool keep_body;
        const char *want;
    } cases[] = {
        {"kept",                  OK_1 "\r\n",                             true,
         "the answer's body is over 64 MiB: .discard_body = true counts it without "
         "keeping it"                                                                       },
        {"dropped",               OK_1 "\r\n",                             false, NULL      },
        {"dropped, of a length",  OK_1 "Content-Length: 80000000\r\n\r\n", false,
         CUT_ANSWER                                                                         },
        {"dropped, in one chunk", CHUNKED "ffffffffff\r\n",                false, CUT_ANSWER},
    };
    static char piece[1 << 16];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct arena arena = {.chunk = NULL};
        struct exchange exchange = {
            .method = "GET", .keep_body = cases[i].keep_body, .arena = &arena};
        struct answer answer;
        size_t fed = 0;

        answer_begin(&answer, &exchange, NULL);
        answer_feed(&answer, cases[i].head, strlen(cases[i].head));
        while (fed < ANSWER_BODY_MAX + sizeof(piece) && !answer_is_over(&answer))
            fed += answer_feed(&answer, piece, sizeof(piece));
        answer_end_of_input(&answer);
        if (!same_text(exchange.failure, cases[i].want))
            fail_msg("%s: '%s'", cases[i].name, exchange.failure);
        assert_int_equal(fed, ANSWER_BODY_MAX + sizeof(piece));
        arena_clear(&arena);
    }
}

/* Warm, an answer asks for no memory beyond what the arena holds. */
static void test_a_warm_answer_allocates_nothing(void **state)
{
    const struct sample_answer *const sample = &sample_answers[0];
    struct arena_pool pool = {.spare = {NULL}};
    struct arena arena = {.pool = &pool};
    const struct arena_chunk *kept = NULL;

    (void)state;
    for (size_t i = 0; i < 100; i++) {
        struct exchange exchange = {
            .method = "GET", .keep_body = true, .arena = &arena};
        struct answer answer;

        answer_begin(&answer, &exchange, NULL);
        assert_int_equal(answer_feed(&answer, sample->bytes, sample->size),
                         sample->size);
        assert_int_equal(answer.state, ANSWER_COMPLETE);
        if (i > 0)
            assert_ptr_equal(arena.chunk, kept);
        kept = arena.chunk;
        arena_clear(&arena);
    }
    arena_pool_clear(&pool);
}

/* Of a piece in which an answer is refused nothing belongs to whatever may follow. */
static void test_a_refused_answer_takes_all(void **state)
{
    static const char *const answers[] = {
        "what is this?\r\nand more",
        OK_1 "no colon\r\nand more",
        OK_1 "Content-Length: x\r\n\r\nand more",
        CHUNKED "what?\r\nand more",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        const size_t size = strlen(answers[i]);
        struct outcome outcome;

        play_whole(&outcome, answers[i], size);
        assert_true(outcome.was_over);
        assert_int_equal(outcome.answer.state, ANSWER_REFUSED);
        assert_int_equal(outcome.taken, size);
        arena_clear(&outcome.arena);
    }
}

/* What comes after the end changes nothing. */
static void test_an_answer_that_is_over(void **state)
{
    static const struct {
        const char *bytes;
        enum answer_state want;
    } cases[] = {
        {OK_1 "Content-Length: 0\r\n\r\n", ANSWER_COMPLETE},
        {"what?\r\n",                      ANSWER_REFUSED },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct arena arena = {.chunk = NULL};
        struct exchange exchange = {.method = "GET", .arena = &arena};
        struct answer answer;
        const char *failure;

        answer_begin(&answer, &exchange, NULL);
        answer_feed(&answer, cases[i].bytes, strlen(cases[i].bytes));
        assert_int_equal(answer.state, cases[i].want);
        failure = exchange.failure;
        if (cases[i].want == ANSWER_COMPLETE)
            assert_int_equal(answer_feed(&answer, OK_1, sizeof(OK_1) - 1), 0);
        answer_end_of_input(&answer);
        assert_int_equal(answer.state, cases[i].want);
        assert_ptr_equal(exchange.failure, failure);
        arena_clear(&arena);
    }
}

/* Who tests a service is told what was wrong with the line. */
static void test_details(void **state)
{
    /* clang-format off */
    static const struct {
        const char *bytes, *want;
        size_t size;
    } cases[] = {
        {"SMTP", "it does not begin with HTTP/1.", 4},
        {"HTTP/1.1 20\r\n", "its status line is not well-formed", 13},
        {"HTTP/1.1 200 OK\n", "a line ends without CR", 16},
        {OK_1 "A: b\n", "a line ends without CR", 22},
        {OK_1 "A: \r\r\n\r\n", "a CR is in the middle of a line", 25},
        {OK_1 "A: \0\r\n\r\n", "a NUL is in a line", 25},
        {OK_1 " A: b\r\n", "it does not begin with a name and a colon", 24},
        {CHUNKED "x\r\n", "a chunk's size is not a hexadecimal number", 50},
        {CHUNKED "1\r\nx!", "a chunk is not followed by CR LF", 52},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct outcome outcome;

        play_whole(&outcome, cases[i].bytes, cases[i].size);
        assert_true(outcome.was_over);
        assert_non_null(outcome.exchange.detail);
        assert_string_equal(outcome.exchange.detail, cases[i].want);
        arena_clear(&outcome.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_of_all_kinds),
        cmocka_unit_test(test_a_body_may_be_dropped),
        cmocka_unit_test(test_whole_lines_are_not_copied),
        cmocka_unit_test(test_what_came_before_changes_nothing),
        cmocka_unit_test(test_a_head_that_came_before_is_not_read),
        cmocka_unit_test(test_heads_that_all_differ),
        cmocka_unit_test(test_which_heads_are_kept),
        cmocka_unit_test(test_limit_of_a_head_that_is_kept),
        cmocka_unit_test(test_limits_of_a_line),
        cmocka_unit_test(test_limits_of_a_status_line),
        cmocka_unit_test(test_limits_of_lines),
        cmocka_unit_test(test_many_chunks),
        cmocka_unit_test(test_limit_of_a_body),
        cmocka_unit_test(test_a_warm_answer_allocates_nothing),
        cmocka_unit_test(test_a_refused_answer_takes_all),
        cmocka_unit_test(test_an_answer_that_is_over),
        cmocka_unit_test(test_details),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
