#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/memory.h"
#include "http/exchange.h"

static struct arena arena;

static struct exchange new_exchange(void)
{
    return (struct exchange){.method = "GET", .keep_body = true, .arena = &arena};
}

static int clear_arena(void **state)
{
    (void)state;
    arena_clear(&arena);
    return 0;
}

static int add_line(struct exchange *exchange, const char *line)
{
    return exchange_add_line(exchange, line, strlen(line));
}

static void begin_head(struct exchange *exchange, int status)
{
    exchange_begin_head(exchange, status, "OK", 2);
}

/* An exchange whose answer has this head: lines, each ended by '\n'. */
static struct exchange with_head(const char *lines)
{
    struct exchange exchange = new_exchange();

    begin_head(&exchange, 200);
    while (*lines != '\0') {
        const size_t length = strcspn(lines, "\n");

        assert_int_equal(exchange_add_line(&exchange, lines, length), 0);
        lines += length + 1;
    }
    assert_int_equal(exchange_end_head(&exchange), 0);
    return exchange;
}

static void expect_text(const char *name, const char *got, size_t length,
                        const char *want)
{
    if (got == NULL || length != strlen(want) || memcmp(got, want, length) != 0)
        fail_msg("%s: got '%.*s', not '%s'", name, (int)length, got, want);
}

static void expect_failure(const char *name, const struct exchange *exchange,
                           const char *want)
{
    if (want == NULL
            ? exchange->failure != NULL
            : exchange->failure == NULL || strcmp(exchange->failure, want) != 0)
        fail_msg("%s: the failure is '%s', not '%s'", name, exchange->failure, want);
}

static const char large_head[] = "the answer's head is over 64 KiB";
static const char many_lines[] = "the answer's head has over 100 lines";
static const char broken_body[] = "the answer's compressed body is broken";

/* --- what the script asks for ----------------------------------------------------- */

static void test_own_lines(void **state)
{
    static const char *const of_request[] = {"x-own: 1", "Both: 1", NULL};
    static const char *const of_session[] = {"both: 2", "X-Session: 2", NULL};
    struct exchange exchange = {.headers = of_request, .user_headers = of_session};

    (void)state;
    assert_ptr_equal(exchange_own_line(&exchange, "X-Own"), of_request[0]);
    assert_ptr_equal(exchange_own_line(&exchange, "BOTH"), of_request[1]);
    assert_ptr_equal(exchange_own_line(&exchange, "x-session"), of_session[1]);
    assert_null(exchange_own_line(&exchange, "X"));
    exchange = (struct exchange){.headers = NULL};
    assert_null(exchange_own_line(&exchange, "X-Own"));
}

/* --- the head --------------------------------------------------------------------- */

static void test_a_head_is_kept_as_it_came(void **state)
{
    const char lines[] = "Content-Type: text/plain\nX-Odd:\t \x1B[31m\xFF \nX-Empty:\n";
    const struct exchange exchange = with_head(lines);

    (void)state;
    expect_text("head", exchange.head, exchange.head_size, lines);
    assert_int_equal(exchange.status, 200);
    assert_string_equal(exchange.reason, "OK");
    assert_true(exchange.head_ended);
    assert_false(exchange.facts.has_length);
    assert_null(exchange.failure);
}

static void test_a_head_without_lines(void **state)
{
    size_t length;
    struct exchange exchange = with_head("");

    (void)state;
    assert_int_equal(exchange.head_size, 0);
    assert_null(exchange_header(&exchange, "Content-Type", &length));
}

/* As they were taken one by one. */
static void test_all_lines_at_once(void **state)
{
    const char lines[] =
        "Set-Cookie: a=b\nContent-Encoding: gzip\nContent-Length: 7\nSet-Cookie: c\n";
    struct exchange one_by_one = with_head(lines), at_once = with_head("X: y\n");

    (void)state;
    exchange_begin_head(&at_once, 200, "OK", 2);
    exchange_set_lines(&at_once, one_by_one.head, &one_by_one.facts);
    assert_int_equal(exchange_end_head(&at_once), 0);
    expect_text("head", at_once.head, at_once.head_size, lines);
    assert_int_equal(at_once.facts.lines, 4);
    assert_int_equal(at_once.facts.lines_size, sizeof(lines) - 1);
    assert_int_equal(at_once.facts.cookies_set, 2);
    assert_int_equal(at_once.facts.codings, 1);
    assert_true(at_once.facts.has_length);
    assert_int_equal(at_once.facts.length, 7);
}

/* `count` lines of `length` bytes, their ends counted. -1: the last one was refused, and
 * none before it. */
static int add_lines(struct exchange *exchange, size_t count, size_t length)
{
    char *const line = xmalloc(length);
    int rc = 0;

    memset(line, 'x', length);
    line[1] = ':';
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(rc, 0);
        rc = exchange_add_line(exchange, line, length - 1);
    }
    free(line);
    return rc;
}

static void test_limits_of_a_head(void **state)
{
    static const struct {
        const char *name;
        size_t count, length; /* of lines, each with its end */
        size_t last;          /* the length of one more line */
        const char *want;
    } cases[] = {
        {"lines, as many as there may be",    99,  10,   10,      NULL      },
        {"one line more",                     100, 10,   10,      many_lines},
        {"one line, as large as it may be",   0,   10,   65536,   NULL      },
        {"a byte more",                       0,   10,   65537,   large_head},
        {"much more",                         0,   10,   1 << 20, large_head},
        {"lines that are as large together",  63,  1024, 1024,    NULL      },
        {"with a byte more",                  63,  1024, 1025,    large_head},
        {"with a line of nothing more",       64,  1024, 2,       large_head},
        {"the largest in the largest number", 99,  655,  691,     NULL      },
        {"a byte more in the largest number", 99,  655,  692,     large_head},
        {"a line more than both",             100, 655,  37,      large_head},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct exchange exchange = new_exchange();
        int rc;

        begin_head(&exchange, 200);
        assert_int_equal(add_lines(&exchange, cases[i].count, cases[i].length), 0);
        rc = add_lines(&exchange, 1, cases[i].last);
        if (rc != (cases[i].want == NULL ? 0 : -1))
            fail_msg("%s: it returned %d", cases[i].name, rc);
        expect_failure(cases[i].name, &exchange, cases[i].want);
        assert_true(exchange.head_size <= ANSWER_HEAD_MAX);
    }
}

/* Each head of a 1xx has the limits of its own, and is forgotten with the next. */
static void test_heads_of_a_1xx(void **state)
{
    struct exchange exchange = new_exchange();

    (void)state;
    for (size_t i = 0; i < ANSWER_INTERIM_MAX; i++) {
        begin_head(&exchange, 103);
        assert_int_equal(add_line(&exchange, "Content-Length: 5"), 0);
        assert_int_equal(add_line(&exchange, "Content-Encoding: gzip"), 0);
        assert_int_equal(add_lines(&exchange, 90, 300), 0);
        assert_int_equal(exchange_end_head(&exchange), 0);
    }
    exchange_begin_head(&exchange, 404, "Not Found", 9);
    assert_false(exchange.head_ended);
    assert_int_equal(add_line(&exchange, "A: b"), 0);
    assert_int_equal(exchange_end_head(&exchange), 0);
    expect_text("head", exchange.head, exchange.head_size, "A: b\n");
    assert_string_equal(exchange.reason, "Not Found");
    assert_int_equal(exchange.status, 404);
    assert_false(exchange.facts.has_length);
    assert_int_equal(exchange_add_body(&exchange, "plain", 5), 0);
    assert_int_equal(exchange_end_body(&exchange), 0);
    assert_string_equal(exchange.body_data, "plain");
}

static void test_too_many_heads_of_a_1xx(void **state)
{
    struct exchange exchange = new_exchange();

    (void)state;
    for (size_t i = 0; i < ANSWER_INTERIM_MAX; i++) {
        begin_head(&exchange, i % 2 == 0 ? 100 : 199);
        assert_int_equal(exchange_end_head(&exchange), 0);
    }
    begin_head(&exchange, 100);
    assert_int_equal(exchange_end_head(&exchange), -1);
    expect_failure("1xx", &exchange,
                   "over 100 heads of a 1xx came before the answer's");
}

/* It is counted with the head, and changes nothing of it. */
static void test_a_trailer_is_dropped(void **state)
{
    struct exchange exchange = with_head("A: b\n");

    (void)state;
    assert_int_equal(add_line(&exchange, "Content-Length: 7"), 0);
    assert_int_equal(add_line(&exchange, "Content-Encoding: gzip"), 0);
    assert_int_equal(add_line(&exchange, "Set-Cookie: a=b"), 0);
    expect_text("head", exchange.head, exchange.head_size, "A: b\n");
    assert_false(exchange.facts.has_length);
    assert_int_equal(add_lines(&exchange, 96, 100), 0);
    assert_int_equal(add_lines(&exchange, 1, 100), -1);
    expect_failure("lines", &exchange, many_lines);

    exchange = with_head("A: b\n");
    assert_int_equal(add_lines(&exchange, 1, ANSWER_HEAD_MAX - 5), 0);
    assert_int_equal(add_lines(&exchange, 1, 3), -1);
    expect_failure("bytes", &exchange, large_head);
    expect_text("head", exchange.head, exchange.head_size, "A: b\n");
}

static void test_content_length(void **state)
{
    /* clang-format off */
    static const struct {
        const char *first, *second; /* lines; NULL: none */
        uint64_t want;
        bool is_refused;
    } cases[] = {
        {"Content-Length: 0", NULL, 0, false},
        {"Content-Length: 5", NULL, 5, false},
        {"content-LENGTH:5", NULL, 5, false},
        {"Content-Length: \t 00012 \t", NULL, 12, false},
        {"Content-Length: 999999999999999999", NULL, 999999999999999999u, false},
        {"Content-Length: 12", "Content-Length: 12", 12, false},
        {"Content-Length: 12", "CONTENT-LENGTH:012", 12, false},
        {"Content-Length: 12", "Content-Lengthy: 13", 12, false},
        {"Content-Length: 12", "Content-Lengt: x", 12, false},
        {"Content-Length: 12", "Content_Length: x", 12, false},
        {"Content-Length: 12", "X: Content-Length: x", 12, false},
        {"Content-Length: 12", "Content-Length: 13", 0, true},
        {"Content-Length: 0", "Content-Length: 13", 0, true},
        {"Content-Length: 12", "Content-Length:", 0, true},
        {"Content-Length: 1000000000000000000", NULL, 0, true},
        {"Content-Length: 0000000000000000005", NULL, 0, true},
        {"Content-Length:", NULL, 0, true},
        {"Content-Length:  ", NULL, 0, true},
        {"Content-Length: -5", NULL, 0, true},
        {"Content-Length: +5", NULL, 0, true},
        {"Content-Length: 5.0", NULL, 0, true},
        {"Content-Length: 0x5", NULL, 0, true},
        {"Content-Length: 5a", NULL, 0, true},
        {"Content-Length: 1 2", NULL, 0, true},
        {"Content-Length: 5, 5", NULL, 0, true},
        {"Content-Length: 5\v", NULL, 0, true},
        {"Content-Length: \xB2", NULL, 0, true},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct exchange exchange = new_exchange();
        int rc;

        begin_head(&exchange, 200);
        rc = add_line(&exchange, cases[i].first);
        if (cases[i].second != NULL) {
            assert_int_equal(rc, 0);
            rc = add_line(&exchange, cases[i].second);
        }
        if ((rc == -1) != cases[i].is_refused)
            fail_msg("%s, %s: %d", cases[i].first, cases[i].second, rc);
        expect_failure(cases[i].first, &exchange,
                       cases[i].is_refused
                           ? "the answer's Content-Length is not one number"
                           : NULL);
        if (rc == 0 &&
            (!exchange.facts.has_length || exchange.facts.length != cases[i].want))
            fail_msg("%s: got %ju", cases[i].first, (uintmax_t)exchange.facts.length);
    }
}

static void test_header(void **state)
{
    const struct exchange exchange =
        with_head("Content-Type:  text/plain; a=b \t\nContent: all\nEmpty:\nA:1\nA: 2\n"
                  "X-Colon: a:b\nLast:x\n");
    static const struct {
        const char *name, *want;
    } cases[] = {
        {"Content-Type",  "text/plain; a=b"},
        {"content-type",  "text/plain; a=b"},
        {"CONTENT",       "all"            },
        {"Empty",         ""               },
        {"A",             "1"              },
        {"X-Colon",       "a:b"            },
        {"Last",          "x"              },
        {"Conten",        NULL             },
        {"Content-Types", NULL             },
        {"a:b",           NULL             },
        {"text/plain",    NULL             },
        {"",              NULL             },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        size_t length = 0;
        const char *const value = exchange_header(&exchange, cases[i].name, &length);

        if (cases[i].want == NULL)
            assert_null(value);
        else
            expect_text(cases[i].name, value, length, cases[i].want);
    }
}

static void test_header_before_any_head(void **state)
{
    const struct exchange exchange = new_exchange();
    size_t length;

    (void)state;
    assert_null(exchange_header(&exchange, "A", &length));
}

/* --- the body --------------------------------------------------------------------- */

static void test_a_body_is_kept(void **state)
{
    struct exchange exchange = with_head("");

    (void)state;
    assert_null(exchange.body_data);
    assert_int_equal(exchange_add_body(&exchange, "", 0), 0);
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(exchange_add_body(&exchange, "ab\0d", 4), 0);
    assert_int_equal(exchange_end_body(&exchange), 0);
    assert_int_equal(exchange.body_length, 20000);
    for (size_t i = 0; i < 20000; i += 4)
        assert_memory_equal(exchange.body_data + i, "ab\0d", 4);
    assert_int_equal(exchange.body_data[20000], '\0');
}

static void test_a_body_may_be_dropped(void **state)
{
    struct exchange exchange =
        with_head("Content-Length: 1000000\nContent-Encoding: never-heard-of\n");

    (void)state;
    exchange.keep_body = false;
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(exchange_add_body(&exchange, "no gzip", 7), 0);
    assert_int_equal(exchange_end_body(&exchange), 0);
    assert_null(exchange.body_data);
    assert_int_equal(exchange.body_length, 0);
    assert_null(exchange.failure);
}

/* A body whose length is known is never moved, whatever else goes into the arena; but a
 * length that nobody believes reserves little. */
static void test_room_for_a_body(void **state)
{
    static const struct {
        const char *head;
        size_t size, want_capacity;
        bool moves;
    } cases[] = {
        {"Content-Length: 100000\n",             100000,  100001,  false},
        {"Content-Length: 1048576\n",            1048576, 1048577, false},
        {"Content-Length: 1048577\n",            1048577, 2097154, true },
        {"Content-Length: 999999999999999999\n", 10,      1048577, false},
        {"",                                     10000,   16384,   true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct exchange exchange = with_head(cases[i].head);
        const char *first;

        assert_int_equal(exchange_add_body(&exchange, "x", 1), 0);
        first = exchange.body_data;
        for (size_t size = 1; size < cases[i].size; size++) {
            if (size % 999 == 0)
                arena_alloc(&arena, 1);
            assert_int_equal(exchange_add_body(&exchange, "x", 1), 0);
        }
        if ((exchange.body_data != first) != cases[i].moves)
            fail_msg("%s: it was %smoved", cases[i].head, cases[i].moves ? "not " : "");
        assert_int_equal(exchange.body_capacity, cases[i].want_capacity);
        assert_int_equal(exchange.body_length, cases[i].size);
        arena_clear(&arena);
    }
}

static void test_limit_of_a_body(void **state)
{
    const size_t piece = (size_t)4 << 20;
    char *const bytes = xcalloc(1, piece);

    (void)state;
    for (size_t more = 0; more < 2; more++) {
        struct exchange exchange = with_head("");

        for (size_t size = 0; size < ANSWER_BODY_MAX; size += piece)
            assert_int_equal(exchange_add_body(&exchange, bytes, piece), 0);
        assert_int_equal(exchange_add_body(&exchange, bytes, more), more == 0 ? 0 : -1);
        assert_int_equal(exchange.body_length, ANSWER_BODY_MAX);
        expect_failure("body", &exchange,
                       more == 0 ? NULL
                                 : "the answer's body is over 64 MiB: .discard_body = "
                                   "true counts it without keeping it");
        arena_clear(&arena);
    }
    free(bytes);
}

/* --- compressed bodies ------------------------------------------------------------ */

enum { GZIP = 16 + MAX_WBITS, DEFLATE = MAX_WBITS };

static size_t compress_as(int format, const void *plain, size_t plain_size, void *ret,
                          size_t capacity)
{
    z_stream stream = {.zalloc = NULL};

    assert_int_equal(
        deflateInit2(&stream, 9, Z_DEFLATED, format, 9, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (Bytef *)(uintptr_t)plain;
    stream.avail_in = (uInt)plain_size;
    stream.next_out = ret;
    stream.avail_out = (uInt)capacity;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return stream.total_out;
}

static const char plain[] = "molotov molotov molotov: {\"result\": \"OK\"}";

/* gzip of deflate of `plain`. */
static size_t compress_twice(char *ret, size_t capacity)
{
    char once[200];
    const size_t size = compress_as(DEFLATE, plain, strlen(plain), once, sizeof(once));

    return compress_as(GZIP, once, size, ret, capacity);
}

static void test_a_body_is_decoded(void **state)
{
    char gzip[200], twice[200];
    const size_t gzip_size =
        compress_as(GZIP, plain, strlen(plain), gzip, sizeof(gzip));
    const size_t twice_size = compress_twice(twice, sizeof(twice));
    const struct {
        const char *head, *data;
        size_t size;
    } cases[] = {
        {"Content-Encoding: gzip\n",                                   gzip,  gzip_size    },
        {"CONTENT-ENCODING:GZIP \n",                                   gzip,  gzip_size    },
        {"A: b\ncontent-encoding: x-gzip\nC: d\nContent-Length: 10\n", gzip,  gzip_size    },
        {"Content-Encoding: identity\nContent-Encoding: gzip\n",       gzip,  gzip_size    },
        {"Content-Encoding: deflate, gzip\n",                          twice, twice_size   },
        {"Content-Encoding: deflate\nA: b\nContent-Encoding: gzip\n",  twice,
         twice_size                                                                        },
        {"Content-Encoding: identity\n",                               plain, strlen(plain)},
        {"Content-Encoding:\n",                                        plain, strlen(plain)},
        {"X-Content-Encoding: gzip\n",                                 plain, strlen(plain)},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (size_t piece = 1; piece <= cases[i].size; piece++) {
            struct exchange exchange = with_head(cases[i].head);

            for (size_t at = 0; at < cases[i].size; at += piece) {
                const size_t left = cases[i].size - at;

                if (exchange_add_body(&exchange, cases[i].data + at,
                                      left < piece ? left : piece) == -1)
                    fail_msg("%s: %s", cases[i].head, exchange.failure);
            }
            if (exchange_end_body(&exchange) == -1)
                fail_msg("%s: %s", cases[i].head, exchange.failure);
            expect_text(cases[i].head, exchange.body_data, exchange.body_length, plain);
            assert_int_equal(exchange.body_data[exchange.body_length], '\0');
        }
        arena_clear(&arena);
    }
}

/* Its Content-Length says nothing of what is kept. */
static void test_room_for_a_compressed_body(void **state)
{
    char data[200];
    const size_t size = compress_as(GZIP, plain, strlen(plain), data, sizeof(data));
    struct exchange exchange =
        with_head("Content-Encoding: gzip\nContent-Length: 1000000\n");

    (void)state;
    assert_int_equal(exchange_add_body(&exchange, data, size), 0);
    assert_int_equal(exchange.body_length, strlen(plain));
    assert_int_equal(exchange.body_capacity, 1024);
    assert_int_equal(exchange_end_body(&exchange), 0);
}

/* What asks for nothing is found out once. */
static void test_identity_needs_no_decoder(void **state)
{
    struct exchange exchange = with_head("Content-Encoding: identity\n");

    (void)state;
    assert_int_equal(exchange.facts.codings, 1);
    assert_int_equal(exchange_add_body(&exchange, "x", 1), 0);
    assert_int_equal(exchange.facts.codings, 0);
    assert_null(exchange.decoder);
}

/* However it is cut short, it is noticed, and nothing leaks. */
static void test_a_body_that_is_cut_short(void **state)
{
    char data[200];
    const size_t size = compress_as(GZIP, plain, strlen(plain), data, sizeof(data));

    (void)state;
    for (size_t cut = 1; cut < size; cut++) {
        struct exchange exchange = with_head("Content-Encoding: gzip\n");

        assert_int_equal(exchange_add_body(&exchange, data, cut), 0);
        assert_int_equal(exchange_end_body(&exchange), -1);
        expect_failure("cut short", &exchange, broken_body);
        assert_string_equal(exchange.detail, "it ends too early");
        assert_int_equal(exchange_end_body(&exchange), 0); /* there is none any more */
    }
}

/* A redirect, or the answer to a HEAD, may well name a coding and have no body. */
static void test_no_body_needs_no_decoder(void **state)
{
    static const char *const heads[] = {
        "Content-Encoding: gzip\n",
        "Content-Encoding: gzip\nContent-Length: 0\n",
        "Content-Encoding: aws-chunked\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
        struct exchange exchange = with_head(heads[i]);

        assert_int_equal(exchange_add_body(&exchange, "", 0), 0);
        assert_int_equal(exchange_end_body(&exchange), 0);
        assert_null(exchange.failure);
        assert_null(exchange.body_data);
    }
}

static void test_a_body_that_cannot_be_decoded(void **state)
{
    static const struct {
        const char *head, *data, *want_detail;
    } cases[] = {
        {"Content-Encoding: gzip\n",                               "this is no gzip at all", NULL                            },
        {"Content-Encoding: gzip\n",                               "\x1F\x8B\x07 and more",  NULL                            },
        {"Content-Encoding: aws-chunked\n",                        "x",                      "no way to decode 'aws-chunked'"},
        {"Content-Encoding: gzip\nContent-Encoding: rot13\n",      "x",
         "no way to decode 'gzip,rot13'"                                                                                     },
        {"Content-Encoding: gzip, gzip, gzip, gzip, gzip, gzip\n", "x",
         "no way to decode 'gzip, gzip, gzip, gzip, gzip, gzip'"                                                             },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct exchange exchange = with_head(cases[i].head);

        assert_int_equal(
            exchange_add_body(&exchange, cases[i].data, strlen(cases[i].data)), -1);
        expect_failure(cases[i].head, &exchange, broken_body);
        if (cases[i].want_detail != NULL)
            assert_string_equal(exchange.detail, cases[i].want_detail);
        exchange_end_body(&exchange);
        expect_failure(cases[i].head, &exchange, broken_body);
    }
}

/* A coding as long as a head can be is shown cut. */
static void test_a_long_unknown_coding(void **state)
{
    struct exchange exchange = new_exchange();
    char line[5000];

    (void)state;
    memset(line, 'z', sizeof(line));
    memcpy(line, "Content-Encoding:", strlen("Content-Encoding:"));
    begin_head(&exchange, 200);
    assert_int_equal(exchange_add_line(&exchange, line, sizeof(line)), 0);
    assert_int_equal(exchange_end_head(&exchange), 0);
    assert_int_equal(exchange_add_body(&exchange, "x", 1), -1);
    expect_failure("long", &exchange, broken_body);
    assert_true(strlen(exchange.detail) < 300);
}

/* 64 KiB on the wire that would be over 64 MiB. */
static void test_a_body_that_explodes(void **state)
{
    const size_t size = ANSWER_BODY_MAX + 1;
    char *const zeros = xcalloc(1, size), *const small = xmalloc((size_t)1 << 20);
    const size_t small_size = compress_as(GZIP, zeros, size, small, (size_t)1 << 20);
    struct exchange exchange = with_head("Content-Encoding: gzip\n");

    (void)state;
    assert_int_equal(exchange_add_body(&exchange, small, small_size), -1);
    assert_true(exchange.body_length <= ANSWER_BODY_MAX);
    expect_failure("bomb", &exchange,
                   "the answer's body is over 64 MiB: .discard_body = true counts it "
                   "without keeping it");
    exchange_end_body(&exchange);
    free(small);
    free(zeros);
}

/* --- failures and times ----------------------------------------------------------- */

static void test_the_first_failure_stays(void **state)
{
    struct exchange exchange = with_head("Content-Encoding: gzip\n");

    (void)state;
    assert_int_equal(exchange_add_body(&exchange, "\x1F\x8B", 2), 0);
    exchange.failure = failure_timeout;
    assert_int_equal(exchange_end_body(&exchange), -1);
    assert_ptr_equal(exchange.failure, failure_timeout);
    assert_null(exchange.detail);
}

/* Reports of earlier versions, and scripts that read them, know these words. */
static void test_words_of_failures(void **state)
{
    /* clang-format off */
    static const struct {
        const char *got, *want;
    } cases[] = {
        {failure_lookup, "the host's name cannot be looked up"},
        {failure_no_connection, "no connection within the time-out"},
        {failure_timeout, "no complete answer within the time-out"},
        {failure_no_answer, "the server closed the connection without an answer"},
        {failure_kept_closed, "the server closed the kept connection without an answer"},
        {failure_cut_answer, "the answer ended before its end"},
        {failure_cut_head, "the answer ended within its head"},
        {failure_read, "the connection broke while the answer was read"},
        {failure_write, "the connection broke while the request was written"},
        {failure_tls, "the TLS handshake failed"},
        {failure_certificate,
         "the server's certificate is not trusted (-k: do not verify)"},
        {failure_not_http, "the answer is not HTTP"},
        {failure_large_head, large_head},
        {failure_length, "the answer's Content-Length is not one number"},
        {failure_bad_url, "the URL is not valid"},
        {failure_scheme, "the answer, or the URL, is not HTTP"},
    };
    /* clang-format on */
    struct exchange exchange = new_exchange();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(cases[i].got, cases[i].want);
    assert_string_equal(exchange_connect_failure(&exchange, ECONNREFUSED),
                        "cannot connect: Connection refused");
}

static void test_phases(void **state)
{
    struct exchange exchange = new_exchange();

    (void)state;
    exchange_set_phase(&exchange, PHASE_DNS, 0, 0);        /* it never was */
    exchange_set_phase(&exchange, PHASE_CONNECT, 100, 99); /* nor did this */
    exchange_set_phase(&exchange, PHASE_TLS, 100, 100);
    exchange_set_phase(&exchange, PHASE_FIRST_BYTE, 100, 350);
    assert_false(exchange.phase_happened[PHASE_DNS]);
    assert_false(exchange.phase_happened[PHASE_CONNECT]);
    assert_true(exchange.phase_happened[PHASE_TLS]);
    assert_int_equal(exchange.phases_us[PHASE_TLS], 0);
    assert_true(exchange.phase_happened[PHASE_FIRST_BYTE]);
    assert_int_equal(exchange.phases_us[PHASE_FIRST_BYTE], 250);
}

#define TEST(function) cmocka_unit_test_teardown(function, clear_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_lines),
        TEST(test_a_head_is_kept_as_it_came),
        TEST(test_a_head_without_lines),
        TEST(test_all_lines_at_once),
        TEST(test_limits_of_a_head),
        TEST(test_heads_of_a_1xx),
        TEST(test_too_many_heads_of_a_1xx),
        TEST(test_a_trailer_is_dropped),
        TEST(test_content_length),
        TEST(test_header),
        TEST(test_header_before_any_head),
        TEST(test_a_body_is_kept),
        TEST(test_a_body_may_be_dropped),
        TEST(test_room_for_a_body),
        TEST(test_limit_of_a_body),
        TEST(test_a_body_is_decoded),
        TEST(test_room_for_a_compressed_body),
        TEST(test_identity_needs_no_decoder),
        TEST(test_a_body_that_is_cut_short),
        TEST(test_no_body_needs_no_decoder),
        TEST(test_a_body_that_cannot_be_decoded),
        TEST(test_a_long_unknown_coding),
        TEST(test_a_body_that_explodes),
        TEST(test_the_first_failure_stays),
        TEST(test_words_of_failures),
        TEST(test_phases),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
