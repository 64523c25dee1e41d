#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "http/head.h"

#define DEFAULTS \
    "User-Agent: " DEFAULT_USER_AGENT "\r\n" \
    "Accept: */*\r\n" \
    "Accept-Encoding: " DEFAULT_ACCEPT_ENCODING "\r\n"

static struct exchange get(const char *url)
{
    return (struct exchange){.method = "GET", .url = url, .keep_body = true};
}

/* The request as the pieces say. The caller frees it. */
static char *request_text(struct heads *heads, const struct exchange *exchange)
{
    const char *failure = NULL;
    const struct head *const head = heads_find(heads, exchange, NULL, &failure);
    struct iovec pieces[2];
    struct buffer text = BUFFER_INIT;
    size_t count;

    assert_non_null(head);
    count = heads_put_together(heads, head, exchange, pieces);
    for (size_t i = 0; i < count; i++)
        buffer_add(&text, pieces[i].iov_base, pieces[i].iov_len);
    return text.data;
}

static void expect_request(struct heads *heads, const struct exchange *exchange,
                           const char *wanted)
{
    char *const text = request_text(heads, exchange);

    assert_string_equal(text, wanted);
    free(text);
}

static void test_request_lines(void **state)
{
    static const struct {
        const char *url, *line, *host;
    } cases[] = {
        {"http://127.0.0.1:8080/",       "/",          "127.0.0.1:8080"},
        {"http://example.org",           "/",          "example.org"   },
        {"http://example.org:80/a?b=c",  "/a?b=c",     "example.org"   },
        {"https://example.org:443/",     "/",          "example.org"   },
        {"https://example.org:80/",      "/",          "example.org:80"},
        {"http://example.org/a/../b",    "/b",         "example.org"   },
        {"http://example.org/a#part",    "/a",         "example.org"   },
        {"http://example.org?q",         "/?q",        "example.org"   },
        {"http://[::1]:81/x",            "/x",         "[::1]:81"      },
        {"http+unix://%2Frun%2Fs/where", "/where",     "localhost"     },
        {"http://example.org/%7Eme?a=%", "/%7Eme?a=%", "example.org"   },
    };
    struct heads heads = {.scratch = BUFFER_INIT};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct exchange exchange = get(cases[i].url);
        char *const wanted =
            xasprintf("GET %s HTTP/1.1\r\nHost: %s\r\n" DEFAULTS "\r\n", cases[i].line,
                      cases[i].host);

        expect_request(&heads, &exchange, wanted);
        free(wanted);
    }
    heads_clear(&heads);
}

static void test_headers_of_the_script(void **state)
{
    static const char *const of_session[] = {"X-User: 1", "Accept: text/plain", NULL};
    static const char *const of_request[] = {
        "x-user: 2", "Empty:", "user-agent: \t", "X-Twice: a", "X-Twice: b", NULL};
    struct heads heads = {.scratch = BUFFER_INIT};
    struct exchange exchange = get("http://u:p%40@h/");

    (void)state;
    exchange.user_headers = of_session;
    exchange.headers = of_request;
    exchange.cookies = "a=b; c=d";
    expect_request(&heads, &exchange,
                   "GET / HTTP/1.1\r\n"
                   "Host: h\r\n"
                   "Authorization: Basic dTpwQA==\r\n"
                   "Accept-Encoding: " DEFAULT_ACCEPT_ENCODING "\r\n"
                   "Accept: text/plain\r\n"
                   "x-user: 2\r\n"
                   "Empty:\r\n"
                   "X-Twice: a\r\n"
                   "X-Twice: b\r\n"
                   "Cookie: a=b; c=d\r\n"
                   "\r\n");
    heads_clear(&heads);
}

/* Nobody reads the answer's body: nothing is asked of it, unless the script does. */
static void test_dropped_body(void **state)
{
    static const char *const own[] = {"Accept-Encoding: gzip", NULL};
    struct heads heads = {.scratch = BUFFER_INIT};
    struct exchange exchange = get("http://h/");

    (void)state;
    expect_request(&heads, &exchange, "GET / HTTP/1.1\r\nHost: h\r\n" DEFAULTS "\r\n");
    exchange.keep_body = false;
    expect_request(&heads, &exchange,
                   "GET / HTTP/1.1\r\nHost: h\r\n"
                   "User-Agent: " DEFAULT_USER_AGENT "\r\n\r\n");
    exchange.headers = own;
    expect_request(&heads, &exchange,
                   "GET / HTTP/1.1\r\nHost: h\r\n"
                   "User-Agent: " DEFAULT_USER_AGENT "\r\n"
                   "Accept-Encoding: gzip\r\n\r\n");
    heads_clear(&heads);
}

static void test_bodies(void **state)
{
    static const char *const own[] = {"content-type: text/x", "CONTENT-LENGTH: 2",
                                      NULL};
    char large[20000];
    struct heads heads = {.scratch = BUFFER_INIT};
    struct exchange exchange = get("http://h/");
    struct iovec pieces[2];
    const char *failure = NULL;

    (void)state;
    exchange.method = "POST";
    exchange.body = "{}";
    exchange.body_size = 2;
    exchange.content_type = "application/json";
    expect_request(&heads, &exchange,
                   "POST / HTTP/1.1\r\nHost: h\r\n" DEFAULTS
                   "Content-Length: 2\r\nContent-Type: application/json\r\n\r\n{}");
    exchange.headers = own;
    expect_request(&heads, &exchange,
                   "POST / HTTP/1.1\r\nHost: h\r\n" DEFAULTS
                   "content-type: text/x\r\nCONTENT-LENGTH: 2\r\n\r\n{}");
    exchange.headers = NULL;
    exchange.content_type = NULL;
    exchange.body = "";
    exchange.body_size = 0;
    expect_request(&heads, &exchange,
                   "POST / HTTP/1.1\r\nHost: h\r\n" DEFAULTS
                   "Content-Length: 0\r\n\r\n");
    exchange.body = memset(large, 'x', sizeof(large));
    exchange.body_size = sizeof(large);
    assert_int_equal(heads_put_together(&heads,
                                        heads_find(&heads, &exchange, NULL, &failure),
                                        &exchange, pieces),
                     2);
    assert_ptr_equal(pieces[1].iov_base, large); /* not copied */
    assert_int_equal(pieces[1].iov_len, sizeof(large));
    heads_clear(&heads);
}

/* What is kept is what would be made: whatever part of the exchange changes. */
static void test_kept(void **state)
{
    char url[] = "http://h/1";
    char line[] = "X-User: 1";
    const char *const lines[] = {line, NULL};
    struct heads heads = {.scratch = BUFFER_INIT};
    struct exchange exchange = get(url);
    const char *failure = NULL;
    struct head *head;

    (void)state;
    exchange.user_headers = lines;
    head = heads_find(&heads, &exchange, NULL, &failure);
    assert_ptr_equal(heads_find(&heads, &exchange, NULL, &failure), head);
    assert_ptr_equal(heads_find(&heads, &exchange, head, &failure), head);
    assert_non_null(strstr(head->bytes.data, "GET /1 "));
    url[9] = '2'; /* the same memory, with another text */
    head = heads_find(&heads, &exchange, head, &failure);
    assert_non_null(strstr(head->bytes.data, "GET /2 "));
    line[8] = '3';
    head = heads_find(&heads, &exchange, head, &failure);
    assert_non_null(strstr(head->bytes.data, "X-User: 3\r\n"));
    exchange.headers = lines; /* as a header of the request's own: another list */
    exchange.user_headers = NULL;
    head = heads_find(&heads, &exchange, head, &failure);
    assert_non_null(strstr(head->bytes.data, "X-User: 3\r\n"));
    exchange.method = "HEAD";
    head = heads_find(&heads, &exchange, head, &failure);
    assert_non_null(strstr(head->bytes.data, "HEAD /2 "));
    heads_clear(&heads);
}

/* More than are kept, all of them right; origins that nobody needs do not pile up. */
static void test_many(void **state)
{
    struct heads heads = {.scratch = BUFFER_INIT};
    char url[64], wanted[64];

    (void)state;
    for (int i = 0; i < 3 * HEADS_KEPT; i++) {
        struct exchange exchange;
        char *text;

        snprintf(url, sizeof(url), "http://host%d.test/%d", i, i);
        snprintf(wanted, sizeof(wanted), "GET /%d HTTP/1.1\r\nHost: host%d.test\r\n", i,
                 i);
        exchange = get(url);
        text = request_text(&heads, &exchange);
        assert_memory_equal(text, wanted, strlen(wanted));
        free(text);
    }
    assert_in_range(heads.origins.count, 1, ORIGINS_KEPT_MAX + HEADS_KEPT);
    heads_clear(&heads);
    assert_int_equal(heads.origins.count, 0);
}

/* Another request in the same place has had no answer yet. */
static void test_last_answer_goes_with_its_head(void **state)
{
    struct heads heads = {.scratch = BUFFER_INIT};
    const char *failure = NULL;
    struct exchange exchange = get("http://h/");
    struct head *const head = heads_find(&heads, &exchange, NULL, &failure);
    struct head *other = NULL;

    (void)state;
    head->last_answer.misses = 7;
    assert_ptr_equal(heads_find(&heads, &exchange, NULL, &failure), head);
    assert_int_equal(head->last_answer.misses, 7);
    for (unsigned i = 0; other != head; i++) {
        char url[40];

        snprintf(url, sizeof(url), "http://h/%u", i);
        exchange = get(url);
        other = heads_find(&heads, &exchange, NULL, &failure);
    }
    assert_int_equal(head->last_answer.misses, 0);
    heads_clear(&heads);
}

/* Of those that are large only one is kept, and each is right. */
static void test_large(void **state)
{
    enum { SIZE = 40000, COUNT = 20 };
    char *const url = xcalloc(1, SIZE + 1);
    struct heads heads = {.scratch = BUFFER_INIT};
    struct head *guess = NULL;
    const char *failure = NULL;
    size_t kept = 0;

    (void)state;
    for (int i = 0; i < COUNT; i++) {
        struct exchange exchange;

        memset(url, 'a' + i, SIZE);
        memcpy(url, "http://h/", 9);
        exchange = get(url);
        guess = heads_find(&heads, &exchange, guess, &failure);
        assert_non_null(guess);
        assert_memory_equal(guess->bytes.data + 4, url + 8, SIZE - 8);
        assert_int_equal(guess->last_answer.misses, 0);
        guess->last_answer.misses = 1;
        assert_ptr_equal(heads_find(&heads, &exchange, guess, &failure), guess);
    }
    for (size_t i = 0; i < HEADS_KEPT; i++)
        kept += heads.kept[i] != NULL ? heads.kept[i]->bytes.capacity : 0;
    assert_int_equal(kept, 0);
    heads_clear(&heads);
    free(url);
}

static void test_refused(void **state)
{
    static const char *const chunked[] = {"Transfer-Encoding: chunked", NULL};
    static const struct {
        const char *url;
        const char *failure;
    } cases[] = {
        {"http://[nonsense/", failure_bad_url},
        {"http:///path",      failure_bad_url},
        {"ftp://h/",          failure_scheme },
        {"http://h/a b",      failure_bad_url},
    };
    struct heads heads = {.scratch = BUFFER_INIT};
    struct exchange exchange = get("http://h/");
    const char *failure;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct exchange bad = get(cases[i].url);

        for (int again = 0; again < 2; again++) { /* and it is not kept */
            failure = NULL;
            assert_null(heads_find(&heads, &bad, NULL, &failure));
            assert_string_equal(failure, cases[i].failure);
        }
    }
    exchange.headers = chunked;
    assert_null(heads_find(&heads, &exchange, NULL, &failure));
    assert_non_null(strstr(failure, "--transport curl"));
    heads_clear(&heads);
}

static void test_closes(void **state)
{
    static const struct {
        const char *own[3], *of_session[2];
        bool want;
    } cases[] = {
        {{NULL},                                  {NULL},                 false},
        {{"connection: Close"},                   {NULL},                 true },
        {{NULL},                                  {"Connection:close"},   true },
        {{"Connection: TE , close"},              {NULL},                 true },
        {{"Connection: TE", "Connection: close"}, {NULL},                 true },
        {{"Connection: keep-alive"},              {"Connection: close"},  false},
        {{"Connection: closer"},                  {NULL},                 false},
        {{"Connection: not close"},               {NULL},                 false},
        {{"Connection:"},                         {NULL},                 false},
        {{"X-Connection: close"},                 {"Connections: close"}, false},
    };
    struct heads heads = {.scratch = BUFFER_INIT};
    struct exchange exchange = get("http://h/");
    const char *failure = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        exchange.headers = cases[i].own;
        exchange.user_headers = cases[i].of_session;
        if (heads_find(&heads, &exchange, NULL, &failure)->closes != cases[i].want)
            fail_msg("case %zu", i);
    }
    heads_clear(&heads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_lines),
        cmocka_unit_test(test_headers_of_the_script),
        cmocka_unit_test(test_dropped_body),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_last_answer_goes_with_its_head),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_closes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
