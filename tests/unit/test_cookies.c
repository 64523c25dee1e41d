#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "http/cookies.h"
#include "unit/random.h"

#define NOW ((time_t)1700000000) /* Tue, 14 Nov 2023 22:13:20 GMT */

/* How often memory was asked for, counted by the linker's wrapping. */
static unsigned allocations;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_reallocarray(void *memory, size_t count, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_reallocarray(void *memory, size_t count, size_t size)
{
    allocations++;
    return __real_reallocarray(memory, count, size);
}

/* --- a jar ------------------------------------------------------------------------------ */

/* The header without a NUL at its end, so that nothing is read beyond it. */
static void take_at(struct cookies **jar, const char *url, const char *header,
                    time_t now)
{
    const size_t length = strlen(header);
    char *const copy = xmalloc(length + 1);

    memcpy(copy, header, length);
    copy[length] = ';';
    cookies_take(jar, url, copy, length, now);
    free(copy);
}

static void take(struct cookies **jar, const char *url, const char *header)
{
    take_at(jar, url, header, NOW);
}

static void expect_at(const struct cookies *jar, const char *url, time_t now,
                      const char *what, const char *want)
{
    struct arena arena = {.chunk = NULL};
    const char *const got = cookies_for(jar, url, now, &arena);

    if (got == NULL || want == NULL ? got != want : strcmp(got, want) != 0)
        fail_msg("%s, %s: sent is '%s', not '%s'", what, url,
                 got != NULL ? got : "(none)", want != NULL ? want : "(none)");
    arena_clear(&arena);
}

static void expect(const struct cookies *jar, const char *url, const char *want)
{
    expect_at(jar, url, NOW, "", want);
}

/* One header, and what is sent then, and to where. */
struct one {
    const char *from, *header, *to, *want; /* NULL: nothing */
};

static void expect_each(const struct one *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct cookies *jar = NULL;

        take(&jar, cases[i].from, cases[i].header);
        expect_at(jar, cases[i].to, NOW, cases[i].header, cases[i].want);
        cookies_destroy(jar);
    }
}

/* --- what is well-formed ---------------------------------------------------------------- */

/* clang-format off */

static void test_names_and_values(void **state)
{
    static const struct { const char *header, *want; } cases[] = {
        {"a=b", "a=b"},
        {" a = b ", "a=b"},
        {"\ta\t=\tb\t", "a=b"},
        {"a=", "a="},
        {"a=b=c", "a=b=c"},
        {"a=\"b c\"", "a=\"b c\""},
        {"a=b c,d", "a=b c,d"},
        {"a b=c", "a b=c"},
        {"a=\xC3\xA9", "a=\xC3\xA9"},
        {"a=b;", "a=b"},
        {"a=b;;;; ;=;=x;foo;foo=bar", "a=b"},
        {"a=b; secure=no; httponly", NULL}, /* whatever it says: Secure, and http */
        {"SID=31d4d96e407aad42", "SID=31d4d96e407aad42"},
        {"lang=en-US; Path=/; Domain=example.com", "lang=en-US"},
        {"", NULL},
        {"a", NULL},
        {"=b", NULL},
        {" = b", NULL},
        {";a=b", NULL},
        {"; Path=/", NULL},
        {"a\x01=b", NULL},
        {"a=b\x1F" "c", NULL},
        {"a=b\x7F", NULL},
        {"a=b\tc", NULL},
        {"a\r\nEvil: 1=b", NULL},
        {"a=b; path=/\x01", NULL},
        {"a=b; domain=\x01", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct one one = {"http://example.com/", cases[i].header,
                                "http://example.com/", cases[i].want};

        expect_each(&one, 1);
    }
}

static void test_nuls(void **state)
{
    static const char header[] = "a=b\0c", name[] = "a\0=b", path[] = "a=b; path=/\0";
    static const char domain[] = "a=b; domain=example.com\0";
    struct cookies *jar = NULL;

    (void)state;
    cookies_take(&jar, "http://example.com/", header, sizeof(header) - 1, NOW);
    cookies_take(&jar, "http://example.com/", name, sizeof(name) - 1, NOW);
    cookies_take(&jar, "http://example.com/", path, sizeof(path) - 1, NOW);
    cookies_take(&jar, "http://example.com/", domain, sizeof(domain) - 1, NOW);
    assert_null(jar);
}

/* --- domains ---------------------------------------------------------------------------- */

static void test_domains(void **state)
{
    static const struct one cases[] = {
        /* for the host alone */
        {"http://example.com/", "a=b", "http://example.com/", "a=b"},
        {"http://example.com/", "a=b", "http://EXAMPLE.com:8080/", "a=b"},
        {"http://EXAMPLE.com/", "a=b", "http://user:word@example.com/", "a=b"},
        {"http://example.com/", "a=b", "http://www.example.com/", NULL},
        {"http://example.com/", "a=b", "http://other.com/", NULL},
        {"http://example.com/", "a=b", "http://example.co/", NULL},
        {"http://example.com/", "a=b", "http://xexample.com/", NULL},
        {"http://example.com/", "a=b; domain=", "http://example.com/", "a=b"},
        {"http://example.com/", "a=b; domain=.", "http://www.example.com/", NULL},
        {"http://example.com/", "a=b; domain", "http://www.example.com/", NULL},
        /* for a domain */
        {"http://example.com/", "a=b; domain=example.com", "http://www.example.com/", "a=b"},
        {"http://example.com/", "a=b; Domain=.Example.Com", "http://a.b.EXAMPLE.com/", "a=b"},
        {"http://www.example.com/", "a=b; domain=example.com", "http://example.com/", "a=b"},
        {"http://www.example.com/", "a=b; domain=example.com", "http://xexample.com/", NULL},
        {"http://a.example.com/", "a=b; domain=a.example.com", "http://example.com/", NULL},
        {"http://a.example.com/", "a=b; domain=x.com; domain=example.com", "http://example.com/", "a=b"},
        /* not for this host to set */
        {"http://example.com/", "a=b; domain=other.com", "http://other.com/", NULL},
        {"http://example.com/", "a=b; domain=other.com", "http://example.com/", NULL},
        {"http://example.com/", "a=b; domain=www.example.com", "http://www.example.com/", NULL},
        {"http://xexample.com/", "a=b; domain=example.com", "http://xexample.com/", NULL},
        {"http://example.com/", "a=b; domain=..example.com", "http://example.com/", NULL},
        {"http://www.example.com./", "a=b; domain=com.", "http://www.example.com./", NULL},
        {"http://www.example.com./", "a=b; domain=example.com", "http://example.com/", NULL},
        /* public suffixes */
        {"http://example.com/", "a=b; domain=com", "http://example.com/", NULL},
        {"http://example.co.uk/", "a=b; domain=co.uk", "http://example.co.uk/", NULL},
        {"http://example.co.uk/", "a=b; domain=.CO.uk", "http://other.co.uk/", NULL},
        {"http://www.example.co.uk/", "a=b; domain=example.co.uk", "http://example.co.uk/", "a=b"},
        {"http://me.github.io/", "a=b; domain=github.io", "http://you.github.io/", NULL},
        {"http://github.io/", "a=b; domain=github.io", "http://github.io/", "a=b"},
        {"http://github.io/", "a=b; domain=github.io", "http://you.github.io/", NULL},
        {"http://localhost/", "a=b; domain=localhost", "http://localhost:81/", "a=b"},
        {"http://localhost/", "a=b; domain=localhost", "http://app.localhost/", NULL},
        {"http://app.localhost/", "a=b; domain=localhost", "http://app.localhost/", NULL},
        /* addresses */
        {"http://127.0.0.1/", "a=b", "http://127.0.0.1:8080/", "a=b"},
        {"http://127.0.0.1/", "a=b; domain=127.0.0.1", "http://127.0.0.1/", "a=b"},
        {"http://127.0.0.1/", "a=b; domain=0.0.1", "http://127.0.0.1/", NULL},
        {"http://127.0.0.1/", "a=b; domain=0.0.1", "http://5.0.0.1/", NULL},
        {"http://127.0.1/", "a=b; domain=0.1", "http://127.0.1/", NULL},
        {"http://a.0x7f/", "a=b; domain=0x7f", "http://a.0x7f/", NULL},
        {"http://[::1]:80/", "a=b", "http://[::1]/", "a=b"},
        {"http://[::1]:80/", "a=b", "http://[0:0::1]/", "a=b"},
        {"http://[::1]/", "a=b; domain=1", "http://[::1]/", NULL},
        {"http://[::1]/", "a=b; domain=[::1]", "http://[::1]/", NULL},
        /* names that are not plain */
        {"http://b\xC3\xBC" "cher.example/", "a=b", "http://xn--bcher-kva.example/", "a=b"},
        {"http://ex%61mple.com/", "a=b", "http://example.com/", "a=b"},
        {"http+unix://%2Frun%2Fapp/", "a=b", "http+unix://%2Frun%2Fapp/x", "a=b"},
        {"http+unix://%2Frun%2Fapp/", "a=b", "http://example.com/", NULL},
        /* no URLs */
        {"http:///", "a=b", "http:///", NULL},
        {"example.com", "a=b", "example.com", NULL},
        {"", "a=b", "", NULL},
        {"http://example.com/", "a=b", "ftp://example.com/", NULL},
        {"http://exam ple.com/", "a=b", "http://exam ple.com/", NULL},
    };

    (void)state;
    expect_each(cases, ARRAY_SIZE(cases));
}

/* --- paths ------------------------------------------------------------------------------ */

static void test_paths(void **state)
{
    static const struct { const char *from, *header, *to; bool sent; } cases[] = {
        /* the default: that of the request, up to its last slash */
        {"", "", "", true},
        {"", "", "/x/y", true},
        {"?q=/a/b", "", "/x", true},
        {"#/a/b", "", "/x", true},
        {"/", "", "/x", true},
        {"/a", "", "/x", true},
        {"/a/", "", "/a", true},
        {"/a/", "", "/a/b", true},
        {"/a/", "", "/x", false},
        {"/a/b", "", "/a", true},
        {"/a/b", "", "/a/c", true},
        {"/a/b", "", "/ab", false},
        {"/a/b", "", "/", false},
        {"/a/b", "", "", false},
        {"/a/b/c", "", "/a/b", true},
        {"/a/b/c", "", "/a/b/", true},
        {"/a/b/c", "", "/a", false},
        {"/a/b/c?d/e", "", "/a/b", true},
        {"/a/b/c?d/e", "", "/a/b?/c", true},
        {"/a/b/c", "", "/a?b/c", false},
        {"/x/../a/b", "", "/a/c", true},
        {"/x/../a/b", "", "/x", false},
        {"/a/b", "", "/x/../a/./b", true},
        {"/a/b", "; path=", "/a", true},
        {"/a/b", "; path", "/a", true},
        {"/a/b", "; path=b", "/x", false},
        {"/a/b", "; path=b", "/a/c", true},
        /* as the header says, whatever the request was */
        {"/", "; path=/", "/x", true},
        {"/", "; path=/a", "/a", true},
        {"/", "; path=/a", "/a/", true},
        {"/", "; path=/a", "/a/b", true},
        {"/", "; path=/a", "/a?b", true},
        {"/", "; path=/a", "/ab", false},
        {"/", "; path=/a", "/A", false},
        {"/", "; path=/a", "/", false},
        {"/", "; path=/a/", "/a/", true},
        {"/", "; path=/a/", "/a/b", true},
        {"/", "; path=/a/", "/a", false},
        {"/", "; PATH = /a ", "/a", true},
        {"/x/y", "; path=/a; path=/b", "/b", true},
        {"/x/y", "; path=/a; path=/b", "/a", false},
        {"/x/y", "; path=/a; path", "/x", true},
        {"/x/y", "; path=/a; path", "/a", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char from[64], header[64], to[64];
        const struct one one = {from, header, to, cases[i].sent ? "a=b" : NULL};

        snprintf(from, sizeof(from), "http://example.com%s", cases[i].from);
        snprintf(header, sizeof(header), "a=b%s", cases[i].header);
        snprintf(to, sizeof(to), "http://example.com%s", cases[i].to);
        expect_each(&one, 1);
    }
}

/* --- secure ones ------------------------------------------------------------------------ */

static void test_secure(void **state)
{
    static const struct one cases[] = {
        {"https://example.com/", "a=b; secure", "https://example.com/", "a=b"},
        {"https://example.com/", "a=b; Secure", "http://example.com/", NULL},
        {"https://example.com/", "a=b; SECURE=0", "http://example.com/", NULL},
        {"https://example.com/", "a=b", "http://example.com/", "a=b"},
        {"http://example.com/", "a=b; secure", "https://example.com/", "a=b"},
        {"https://example.com/", "a=b; insecure", "http://example.com/", "a=b"},
        {"HTTPS://example.com/", "a=b; secure", "HTTPS://example.com/", "a=b"},
        {"https://localhost/", "a=b; secure", "http://localhost/", NULL},
        {"http+unix://%2Fx/", "a=b; secure", "http+unix://%2Fx/", NULL},
        {"https+unix://%2Fx/", "a=b; secure", "https+unix://%2Fx/", "a=b"},

        {"https://example.com/", "__Secure-a=b; secure", "https://example.com/", "__Secure-a=b"},
        {"https://example.com/", "__Secure-a=b", "https://example.com/", NULL},
        {"http://example.com/", "__Secure-a=b; secure", "https://example.com/", NULL},
        {"https://example.com/", "__secure-a=b", "https://example.com/", NULL},
        {"https://example.com/", "__Secure=b", "https://example.com/", "__Secure=b"},

        {"https://example.com/", "__Host-a=b; secure; path=/", "https://example.com/", "__Host-a=b"},
        {"https://example.com/", "__Host-a=b; path=/; secure; path=/", "https://example.com/", "__Host-a=b"},
        {"https://example.com/", "__Host-a=b; secure", "https://example.com/", NULL},
        {"https://example.com/", "__HOST-a=b; secure", "https://example.com/", NULL},
        {"https://example.com/", "__Host-a=b; secure; path", "https://example.com/", "__Host-a=b"},
        {"https://example.com/", "__Host-a=b; secure; path=/; path=/x", "https://example.com/x", NULL},
        {"https://example.com/x/y", "__Host-a=b; secure; path=/", "https://example.com/", "__Host-a=b"},
        {"https://example.com/x/y", "__Host-a=b; secure", "https://example.com/x/", NULL},
        {"https://example.com/", "__Host-a=b; secure; path=/x", "https://example.com/x", NULL},
        {"https://example.com/", "__Host-a=b; path=/", "https://example.com/", NULL},
        {"http://example.com/", "__Host-a=b; secure; path=/", "https://example.com/", NULL},
        {"https://example.com/", "__HOST-a=b; path=/", "https://example.com/", NULL},
        {"https://example.com/", "__Host-a=b; path=/; secure; domain=.example.com",
         "https://example.com/", NULL},
        {"https://example.com/", "__Host-a=b; secure; path=/; domain=example.com",
         "https://example.com/", NULL},
        {"https://example.com/", "__Host-=b; secure; path=/", "https://example.com/", "__Host-=b"},
    };

    (void)state;
    expect_each(cases, ARRAY_SIZE(cases));
}

/* --- how long --------------------------------------------------------------------------- */

static void test_ages(void **state)
{
    static const struct { const char *header; int64_t until; } cases[] = {
        /* seconds from NOW until it is gone; 0: at once; -1: it stays */
        {"", -1},
        {"; max-age=10", 10},
        {"; Max-Age = 10 ", 10},
        {"; max-age=0", 0},
        {"; max-age=-5", 0},
        {"; max-age=-0", 0},
        {"; max-age=007", 7},
        {"; max-age=99999999999999999999999999999999", -1},
        {"; max-age=-99999999999999999999999999999999", 0},
        {"; max-age=9223372036854775807", -1},
        {"; max-age=", -1},
        {"; max-age", -1},
        {"; max-age=-", -1},
        {"; max-age=+5", -1},
        {"; max-age=5s", -1},
        {"; max-age=\"5\"", -1},
        {"; max-age=5.0", -1},
        {"; expires=Tue, 14 Nov 2023 22:13:30 GMT", 10},
        {"; expires=Tue, 14-Nov-2023 22:13:30 GMT", 10},
        {"; expires=Tuesday, 14-Nov-23 22:13:30 GMT", 10},
        {"; expires=Tue Nov 14 22:13:30 2023", 10},
        {"; expires=Tue, 14 Nov 2023 22:13:20 GMT", 0},
        {"; expires=Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"; expires=Thu, 01-Jan-1970 00:00:01 GMT", 0},
        {"; expires=Fri, 31 Dec 9999 23:59:59 GMT", -1},
        {"; expires=", -1},
        {"; expires", -1},
        {"; expires=tomorrow", -1},
        {"; expires=Tue, 99 Nov 2023 99:99:99 GMT", -1},
        {"; expires=Tue, 14 Nov 2023 22:13:30 GMT                                      "
         "                                                 x", -1},
        /* the last of them */
        {"; max-age=10; max-age=20", 20},
        {"; max-age=10; max-age=x", 10},
        {"; expires=Tue, 14 Nov 2023 22:13:30 GMT; expires=Tue, 14 Nov 2023 22:13:40 GMT", 20},
        {"; expires=Tue, 14 Nov 2023 22:13:30 GMT; expires=x", 10},
        /* Max-Age more than Expires */
        {"; max-age=10; expires=Thu, 01 Jan 1970 00:00:00 GMT", 10},
        {"; expires=Thu, 01 Jan 1970 00:00:00 GMT; max-age=10", 10},
        {"; expires=Fri, 31 Dec 9999 23:59:59 GMT; max-age=0", 0},
        {"; max-age=x; expires=Tue, 14 Nov 2023 22:13:30 GMT", 10},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const int64_t until = cases[i].until;
        struct cookies *jar = NULL;
        char header[256];

        snprintf(header, sizeof(header), "a=b%s", cases[i].header);
        take(&jar, "http://example.com/", header);
        assert_int_equal(jar == NULL, until == 0);
        if (until > 0) {
            expect_at(jar, "http://example.com/", NOW + until - 1, header, "a=b");
            expect_at(jar, "http://example.com/", NOW + until, header, NULL);
        } else if (until < 0) {
            expect_at(jar, "http://example.com/", NOW + 2000000000, header, "a=b");
        }
        cookies_destroy(jar);
    }
}

/* clang-format on */

/* --- several ---------------------------------------------------------------------------- */

/* One of the same name, domain and path takes the place of the older one. */
static void test_replacement(void **state)
{
    struct cookies *jar = NULL;

    (void)state;
    take(&jar, "http://example.com/", "a=1");
    take(&jar, "http://example.com/", "b=1");
    take(&jar, "http://EXAMPLE.com/x", "a=2; path=/");
    expect(jar, "http://example.com/", "a=2; b=1"); /* where the older one stood */
    take(&jar, "http://example.com/", "A=1");
    take(&jar, "http://example.com/x/y", "a=3");
    take(&jar, "http://www.example.com/", "a=4; domain=example.com");
    expect(jar, "http://example.com/x/", "a=3; a=4; b=1; A=1");
    cookies_destroy(jar);
}

/* A service that sets the same cookie with each answer costs no memory, as long as the
 * values get no longer. */
static void test_replacement_in_place(void **state)
{
    static const struct {
        const char *header, *sent;
        bool allocates;
    } cases[] = {
        {"b=12345678; path=/x",                   "b=12345678; c=1; a=1",        false},
        {"b=87654321; domain=; path=/x",          "b=87654321; c=1; a=1",        false},
        {"b=; path=/x",                           "b=; c=1; a=1",                false},
        {"b=1234; path=/x; max-age=9; secure",    "b=1234; c=1; a=1",            false},
        {"b=12345678; path=/x",                   "b=12345678; c=1; a=1",        false},
        {"b=123456789abcdef; path=/x",            "b=123456789abcdef; c=1; a=1", true },
        {"b=fedcba987654321; path=/x; max-age=9", "b=fedcba987654321; c=1; a=1", false},
    };
    const char *const url = "https://example.com/x/";
    struct cookies *jar = NULL;

    (void)state;
    take(&jar, url, "a=1; path=/");
    take(&jar, url, "b=12345678; path=/x");
    take(&jar, url, "c=1; path=/x");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *const header = cases[i].header;
        const unsigned before = allocations;

        cookies_take(&jar, url, header, strlen(header), NOW);
        assert_int_equal(allocations > before, cases[i].allocates);
        expect(jar, url, cases[i].sent);
    }
    expect_at(jar, url, NOW + 10, "without b",
              "c=1; a=1"); /* the last max-age counts */
    cookies_destroy(jar);
}

static void test_order(void **state)
{
    struct cookies *jar = NULL;

    (void)state;
    take(&jar, "http://example.com/", "a=1; path=/");
    take(&jar, "http://example.com/", "b=1; path=/x");
    take(&jar, "http://example.com/", "c=1; path=/x/y");
    take(&jar, "http://example.com/", "d=1; path=/x");
    take(&jar, "http://example.com/", "e=1; path=/");
    take(&jar, "http://example.com/", "f=1; path=/x/y");
    take(&jar, "http://example.com/", "g=1; path=/z");
    expect(jar, "http://example.com/x/y/z", "c=1; f=1; b=1; d=1; a=1; e=1");
    expect(jar, "http://example.com/x", "b=1; d=1; a=1; e=1");
    expect(jar, "http://example.com/", "a=1; e=1");
    cookies_destroy(jar);
}

/* One that is over is removed, and an empty jar is none. */
static void test_removal(void **state)
{
    struct cookies *jar = NULL;

    (void)state;
    take(&jar, "http://example.com/", "gone=1; max-age=0");
    assert_null(jar);
    take(&jar, "http://example.com/", "a=1");
    take(&jar, "http://example.com/", "b=1");
    take(&jar, "http://example.com/", "a=; max-age=0; path=/x");
    expect(jar, "http://example.com/", "a=1; b=1");
    take(&jar, "http://example.com/", "a=; expires=Thu, 01 Jan 1970 00:00:00 GMT");
    expect(jar, "http://example.com/", "b=1");
    take(&jar, "http://example.com/", "b=; max-age=-1");
    assert_null(jar);
    expect(jar, "http://example.com/", NULL);
    cookies_destroy(jar);
}

/* RFC 6265, 3.1. */
static void test_examples_of_rfc(void **state)
{
    struct cookies *jar = NULL;

    (void)state;
    take(&jar, "https://example.com/",
         "SID=31d4d96e407aad42; Path=/; Secure; HttpOnly");
    take(&jar, "https://example.com/", "lang=en-US; Path=/; Domain=example.com");
    expect(jar, "https://example.com/", "SID=31d4d96e407aad42; lang=en-US");
    expect(jar, "http://www.example.com/", "lang=en-US");
    take(&jar, "https://example.com/", "lang=; Expires=Sun, 06 Nov 1994 08:49:37 GMT");
    expect(jar, "https://example.com/", "SID=31d4d96e407aad42");
    cookies_destroy(jar);
}

/* --- limits ----------------------------------------------------------------------------- */

static size_t count_sent(const struct cookies *jar, const char *url)
{
    struct arena arena = {.chunk = NULL};
    const char *const sent = cookies_for(jar, url, NOW, &arena);
    size_t count = 0;

    for (const char *c = sent; c != NULL; c = strchr(c, ';')) {
        count++;
        c++;
    }
    arena_clear(&arena);
    return count;
}

static void test_many_cookies(void **state)
{
    struct cookies *jar = NULL;
    char text[64];

    (void)state;
    for (int i = 0; i < 10000; i++) {
        snprintf(text, sizeof(text), "c%d=%d", i, i);
        take(&jar, "http://example.com/", text);
    }
    assert_int_equal(count_sent(jar, "http://example.com/"), COOKIES_MAX);
    for (int i = 10000 - (int)COOKIES_MAX; i < 10000; i++) {
        snprintf(text, sizeof(text), "c%d=; max-age=0", i);
        take(&jar, "http://example.com/", text);
    }
    assert_null(jar); /* the newest ones were kept */
}

/* Those that are over go first, whatever their age. */
static void test_many_with_expired_ones(void **state)
{
    struct cookies *jar = NULL;
    char text[64];

    (void)state;
    take(&jar, "http://example.com/", "oldest=1");
    for (size_t i = 1; i < COOKIES_MAX; i++) {
        snprintf(text, sizeof(text), "c%zu=1; max-age=10", i);
        take(&jar, "http://example.com/", text);
    }
    take_at(&jar, "http://example.com/", "new=1", NOW + 10);
    expect_at(jar, "http://example.com/", NOW + 10, "", "oldest=1; new=1");
    cookies_destroy(jar);
}

/* Name, value, domain and path together. */
static void test_large_cookies(void **state)
{
    const size_t rest = strlen("a") + strlen("example.com") + strlen("/");

    (void)state;
    for (size_t size = COOKIE_SIZE_MAX - rest - 1; size <= COOKIE_SIZE_MAX - rest + 1;
         size++) {
        struct cookies *jar = NULL;
        char *const header = xasprintf("a=%0*d", (int)size, 0);

        take(&jar, "http://example.com/", header);
        assert_int_equal(jar != NULL, size + rest <= COOKIE_SIZE_MAX);
        cookies_destroy(jar);
        free(header);
    }
}

static void test_huge_parts(void **state)
{
    static const char *const formats[] = {
        "%0*d=b",
        "a=%0*d",
        "a=b; %0*d",
        "a=b; path=/%0*d",
        "a=b; domain=%0*d",
        "a=b; domain=.%0*d.example.com",
        "a=b; max-age=%0*d",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        struct cookies *jar = NULL;
        struct buffer header = BUFFER_INIT, url = BUFFER_INIT;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        buffer_printf(&header, formats[i], 100000, 0);
#pragma GCC diagnostic pop
        take(&jar, "http://example.com/", header.data);
        buffer_printf(&url, "http://%0*d.example.com/%0*d", 100000, 0, 100000, 0);
        take(&jar, url.data, "c=d");
        take(&jar, url.data, "c=d; domain=example.com");
        take(&jar, url.data, "c=d; path=/");
        expect(jar, url.data, NULL);
        cookies_destroy(jar);
        buffer_clear(&header);
        buffer_clear(&url);
    }
}

/* What does not go into one header is left out, the oldest first. */
static void test_large_header(void **state)
{
    struct cookies *jar = NULL;
    struct arena arena = {.chunk = NULL};
    const char *sent;
    char *text;

    (void)state;
    for (int i = 0; i < 10; i++) {
        text = xasprintf("c%d=%01021d; path=/%.*s", i, 0, i % 3, "aaa");
        take(&jar, "http://example.com/", text);
        free(text);
    }
    /* Of 1,024 bytes each; 4 of the 10 are for this path. */
    sent = cookies_for(jar, "http://example.com/", NOW, &arena);
    assert_int_equal(strlen(sent), 4 * 1024 + 3 * 2);
    cookies_destroy(jar);
    jar = NULL;
    for (int i = 0; i < 10; i++) {
        text = xasprintf("c%d=%01021d; path=/%s", i, 0, i == 0 ? "x" : "");
        take(&jar, "http://example.com/", text);
        free(text);
    }
    sent = cookies_for(jar, "http://example.com/x", NOW, &arena);
    assert_int_equal(strlen(sent), 7 * 1024 + 6 * 2);
    assert_int_equal(strncmp(sent, "c3=", 3), 0);
    assert_non_null(strstr(sent, "c9="));
    cookies_destroy(jar);
    jar = NULL;
    /* Exactly as much as is sent, and one byte more. */
    take(&jar, "http://example.com/", "first=1");
    text = xasprintf("a=%04000d", 0);
    take(&jar, "http://example.com/", text);
    free(text);
    text = xasprintf("b=%0*d", (int)(COOKIES_SENT_MAX - 7 - 2 - 4002 - 2 - 2 - 98), 0);
    take(&jar, "http://example.com/", text);
    free(text);
    text = xasprintf("c=%094d", 0);
    take(&jar, "http://example.com/", text);
    free(text);
    sent = cookies_for(jar, "http://example.com/", NOW, &arena);
    assert_int_equal(strlen(sent), COOKIES_SENT_MAX);
    take(&jar, "http://example.com/", "first=12");
    sent = cookies_for(jar, "http://example.com/", NOW, &arena);
    assert_int_equal(strncmp(sent, "a=", 2), 0);
    cookies_destroy(jar);
    arena_clear(&arena);
}

/* --- anything --------------------------------------------------------------------------- */

static void make_header(struct random *random, char *header, size_t capacity)
{
    static const char *const parts[] = {
        "a",
        "b",
        "=",
        "; ",
        ";",
        " ",
        "domain=",
        "path=",
        "/",
        "/x",
        "secure",
        "max-age",
        "=1",
        "0",
        "expires=",
        "-",
        ".",
        "com",
        "example",
        "co.uk",
        "__Host-",
        "\t",
        "\x01",
        "\"",
        "\xC3\xA9",
        "Tue, 14 Nov 2023 22:13:30 GMT",
        "__Secure-",
        "a=b",
        "c=d; domain=example.com",
        "; path=/x/y",
    };
    size_t length = 0;

    header[0] = '\0';
    for (uint64_t left = random_below(random, 14); left > 0; left--)
        length += (size_t)snprintf(header + length, capacity - length, "%s",
                                   parts[random_below(random, ARRAY_SIZE(parts))]);
}

static void test_any_header(void **state)
{
    static const char *const urls[] = {
        "http://example.com",
        "https://example.com/x/y?z",
        "http://www.example.com/x",
        "https://a.example.co.uk/x",
        "http://127.0.0.1:8080/",
        "http://[::1]/x/../y",
        "http+unix://%2Fx/y",
        "http://localhost/",
        "no url",
    };
    struct random random = random_start("test_any_header");

    (void)state;
    for (int round = 0; round < 200; round++) {
        struct cookies *jar = NULL;
        struct arena arena = {.chunk = NULL};

        for (int turn = 0; turn < 400; turn++) {
            const time_t now = NOW + turn / 100;
            char header[512];
            const char *sent;

            make_header(&random, header, sizeof(header));
            take_at(&jar, urls[random_below(&random, ARRAY_SIZE(urls))], header, now);
            sent = cookies_for(jar, urls[random_below(&random, ARRAY_SIZE(urls))], now,
                               &arena);
            assert_true(sent == NULL || (sent[0] != '\0' && sent[0] != ';'));
            for (const char *c = sent; c != NULL && *c != '\0'; c++)
                assert_true((unsigned char)*c >= ' ' && *c != '\x7F');
            assert_true(count_sent(jar, "http://www.example.com/x") <= COOKIES_MAX);
        }
        cookies_destroy(jar);
        arena_clear(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_values),
        cmocka_unit_test(test_nuls),
        cmocka_unit_test(test_domains),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_secure),
        cmocka_unit_test(test_ages),
        cmocka_unit_test(test_replacement),
        cmocka_unit_test(test_replacement_in_place),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_removal),
        cmocka_unit_test(test_examples_of_rfc),
        cmocka_unit_test(test_many_cookies),
        cmocka_unit_test(test_many_with_expired_ones),
        cmocka_unit_test(test_large_cookies),
        cmocka_unit_test(test_huge_parts),
        cmocka_unit_test(test_large_header),
        cmocka_unit_test(test_any_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
