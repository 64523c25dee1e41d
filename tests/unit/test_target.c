#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "http/exchange.h"
#include "http/target.h"
#include "unit/random.h"

/* --- what a URL says ------------------------------------------------------------------ */

struct url_case {
    const char *url;
    bool tls;
    uint16_t port;
    const char *host, *authority, *path;
    const char *credentials, *socket_path;
};

static void expect_text(const char *url, const char *what, const char *got,
                        const char *want)
{
    if (got == NULL || want == NULL ? got != want : strcmp(got, want) != 0)
        fail_msg("%s: the %s is '%s', not '%s'", url, what,
                 got != NULL ? got : "(none)", want != NULL ? want : "(none)");
}

static void expect_target(const struct url_case *want)
{
    struct target target;
    const char *failure = NULL;

    if (target_parse(want->url, &target, &failure) == -1)
        fail_msg("%s: refused: %s", want->url, failure);
    assert_null(failure);
    if (target.tls != want->tls || target.port != want->port)
        fail_msg("%s: tls %d, port %u", want->url, target.tls, target.port);
    expect_text(want->url, "host", target.host, want->host);
    expect_text(want->url, "authority", target.authority, want->authority);
    expect_text(want->url, "path", target.path, want->path);
    expect_text(want->url, "user", target.credentials, want->credentials);
    expect_text(want->url, "socket", target.socket_path, want->socket_path);
    target_clear(&target);
    assert_null(target.host);
}

static void expect_targets(const struct url_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_target(&cases[i]);
}

/* clang-format off */

static void test_hosts(void **state)
{
    static const struct url_case cases[] = {
        {"http://a.example", false, 80, "a.example", "a.example", "/", NULL, NULL},
        {"https://a.example", true, 443, "a.example", "a.example", "/", NULL, NULL},
        {"HTTPS://a.example/", true, 443, "a.example", "a.example", "/", NULL, NULL},
        {"http://A.Example/P", false, 80, "a.example", "A.Example", "/P", NULL, NULL},
        {"http://a:8080/", false, 8080, "a", "a:8080", "/", NULL, NULL},
        {"http://a:80/", false, 80, "a", "a", "/", NULL, NULL},
        {"http://a:443/", false, 443, "a", "a:443", "/", NULL, NULL},
        {"https://a:443/", true, 443, "a", "a", "/", NULL, NULL},
        {"https://a:80/", true, 80, "a", "a:80", "/", NULL, NULL},
        {"http://a:/", false, 80, "a", "a", "/", NULL, NULL},
        {"http://a:00080/", false, 80, "a", "a", "/", NULL, NULL},
        {"http://a:65535/", false, 65535, "a", "a:65535", "/", NULL, NULL},
        {"http://a:1?x", false, 1, "a", "a:1", "/?x", NULL, NULL},
        {"http://a.example./", false, 80, "a.example.", "a.example.", "/", NULL, NULL},
        {"http://local%68ost/", false, 80, "localhost", "localhost", "/", NULL, NULL},
        {"http://a_b-c~d/", false, 80, "a_b-c~d", "a_b-c~d", "/", NULL, NULL},
        {"http://127.0.0.1:8080/", false, 8080, "127.0.0.1", "127.0.0.1:8080", "/", NULL, NULL},
        {"http://127.1/", false, 80, "127.0.0.1", "127.0.0.1", "/", NULL, NULL},
        {"http://0x7f000001/", false, 80, "127.0.0.1", "127.0.0.1", "/", NULL, NULL},
        {"http://[::1]/", false, 80, "::1", "[::1]", "/", NULL, NULL},
        {"http://[::1]:8080/x", false, 8080, "::1", "[::1]:8080", "/x", NULL, NULL},
        {"https://[2001:DB8:0::1]", true, 443, "2001:db8::1", "[2001:db8::1]", "/", NULL, NULL},
        {"http://[fe80::1%25eth0]:81/", false, 81, "fe80::1%eth0", "[fe80::1]:81", "/", NULL, NULL},
        {"http://[fe80::1%Eth0]/", false, 80, "fe80::1%Eth0", "[fe80::1]", "/", NULL, NULL},
    };

    (void)state;
    expect_targets(cases, ARRAY_SIZE(cases));
}

/* In the "C" locale, which is the one of these programs. */
static void test_international_hosts(void **state)
{
    static const struct url_case cases[] = {
        {"http://\xC3\xA9t\xC3\xA9.example:81/", false, 81,
         "xn--t-9fab.example", "xn--t-9fab.example:81", "/", NULL, NULL},
        {"http://B\xC3\x9C" "CHER.example/", false, 80,
         "xn--bcher-kva.example", "xn--bcher-kva.example", "/", NULL, NULL},
        {"http://b%C3%BCcher.example/", false, 80,
         "xn--bcher-kva.example", "xn--bcher-kva.example", "/", NULL, NULL},
        {"http://xn--bcher-kva.example/", false, 80,
         "xn--bcher-kva.example", "xn--bcher-kva.example", "/", NULL, NULL},
        {"http://\xE3\x82\xB5\xE3\x82\xA4\xE3\x83\x88/", false, 80,
         "xn--eck7a6c", "xn--eck7a6c", "/", NULL, NULL},
    };

    (void)state;
    expect_targets(cases, ARRAY_SIZE(cases));
}

static void test_paths(void **state)
{
    static const struct { const char *url, *path; } cases[] = {
        {"http://a", "/"},
        {"http://a?q", "/?q"},
        {"http://a#f", "/"},
        {"http://a/?", "/?"},
        {"http://a/#?x", "/"},
        {"http://a/x?y#z", "/x?y"},
        {"http://a/x?y?z/../#z#", "/x?y?z/../"},
        {"http://a/b/../c/./d?x/../y", "/c/d?x/../y"},
        {"http://a/..", "/"},
        {"http://a/../../x", "/x"},
        {"http://a/x/.", "/x/"},
        {"http://a/x/..", "/"},
        {"http://a//x//y", "//x//y"},
        {"http://a/%2e%2E/x", "/%2e%2E/x"},
        {"http://a/%zz%", "/%zz%"},
        {"http://a/\"<>|\\^`{};,=", "/\"<>|\\^`{};,="},
        {"http://a/\xC3\xA9\xFF", "/%c3%a9%ff"},
        {"http://a/x?\xC3\xA9\xFF", "/x?\xC3\xA9\xFF"},
        {"http://a/x@b:c", "/x@b:c"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct url_case want = {
            .url = cases[i].url, .port = 80, .host = "a", .authority = "a",
            .path = cases[i].path,
        };

        expect_target(&want);
    }
}

static void test_credentials(void **state)
{
    static const struct { const char *url, *credentials; } cases[] = {
        {"http://user:word@a/", "user:word"},
        {"http://user@a/", "user:"},
        {"http://user:@a/", "user:"},
        {"http://:word@a/", ":word"},
        {"http://@a/", ":"},
        {"http://:@a/", ":"},
        {"http://a:b:c@a/", "a:b:c"},
        {"http://us%20er:%3a%2F%40@a/", "us er::/@"},
        {"http://u%0Av:w@a/", "u\nv:w"}, /* they go through base64 */
        {"http://u%:%4@a/", "u%:%4"},
        {"http://\xC3\xA9:%c3%a9@a/", "\xC3\xA9:\xC3\xA9"},
        {"http://u;x=y:z@a/", "u;x=y:z"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct url_case want = {
            .url = cases[i].url, .port = 80, .host = "a", .authority = "a", .path = "/",
            .credentials = cases[i].credentials,
        };

        expect_target(&want);
    }
}

static void test_unix_sockets(void **state)
{
    static const struct url_case cases[] = {
        {"http+unix://%2Frun%2Fapp.sock", false, 80,
         "localhost", "localhost", "/", NULL, "/run/app.sock"},
        {"http+unix://%2Frun%2Fapp.sock/a/../b?c#d", false, 80,
         "localhost", "localhost", "/b?c", NULL, "/run/app.sock"},
        {"HTTP+UNIX://%2frun?q", false, 80, "localhost", "localhost", "/?q", NULL, "/run"},
        {"https+unix://%2Fx/y", true, 443, "localhost", "localhost", "/y", NULL, "/x"},
        {"http+unix://u:p%20w@%2Fx/y", false, 80, "localhost", "localhost", "/y", "u:p w", "/x"},
        {"http+unix://%2Fa%20b%3F%40:c\xC3\xA9/", false, 80,
         "localhost", "localhost", "/", NULL, "/a b?@:c\xC3\xA9"},
        {"http+unix://%2Fx/\xC3\xA9", false, 80, "localhost", "localhost", "/%c3%a9", NULL, "/x"},
    };

    (void)state;
    expect_targets(cases, ARRAY_SIZE(cases));
}

/* clang-format on */

/* --- what is none --------------------------------------------------------------------- */

static void expect_refused(const char *url, const char *want)
{
    struct target target = {.host = NULL};
    const char *failure = NULL;

    if (target_parse(url, &target, &failure) == 0)
        fail_msg("%s: taken, host %s", url, target.host);
    if (failure != want)
        fail_msg("%s: refused as: %s", url, failure);
    assert_null(target.host);
}

static void test_bad_urls(void **state)
{
    static const char *const urls[] = {
        "",
        "http",
        "http:",
        "http://",
        "http:///",
        "http:///host/",
        "http:/host/",
        "http://?q",
        "http://#f",
        "http://:80/",
        "http://user@/",
        "http://user:word@:80/",
        "://host/",
        "//host/",
        "/path",
        "localhost:8080/",
        " http://a/",
        "http ://a/",
        "http://a:0/",
        "http://a:65536/",
        "http://a:99999999999999999999/",
        "http://a:-1/",
        "http://a:+80/",
        "http://a:8o/",
        "http://a: 80/",
        "http://a:80:80/",
        "http://a/b c",
        "http://a/b?c d",
        "http://a/b\tc",
        "http://a/\r\nEvil: 1",
        "http://a/\x7F",
        "http://a/?\x01",
        "http://a/ ",
        "http://a b/",
        "http://a\r\nEvil: 1/",
        "http://a%0d%0aEvil/",
        "http://a%00b/",
        "http://a%20b/",
        "http://a%2Fb/",
        "http://a%3A80/",
        "http://a%40b/",
        "http://a@b@c/",
        "http://a\\b/",
        "http://u%00v@a/",
        "http://u:%00@a/",
        "http://u v@a/",
        "http://a!b/",
        "http://[::1",
        "http://[::1/",
        "http://[]/",
        "http://[::g]/",
        "http://[::1]x/",
        "http://[::1]:x/",
        "http://[127.0.0.1]/",
        "http://[v1.a]/",
        "http://::1/",
        "http://\xFF.example/",     /* no UTF-8 */
        "http://\xC3.example/",     /* cut */
        "http://%FF.example/",      /* the same, encoded */
        "http://\xE2\x84\x80.com/", /* would become "a/c.com" */
        "http://\xEF\xBC\x8F/",     /* a wide slash */
        "http+unix://",
        "http+unix:///run/app.sock",
        "http+unix://u@/x",
        "http+unix://run/x",
        "http+unix://run%2Fapp.sock/x",
        "http+unix://%2Fa%00b/x",
        "http+unix://%2Fa b/x",
        "http+unix://%2Fa\nb/x",
        "http+unix://%2Fa/b c",
        "https+unix://a%zz/",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++)
        expect_refused(urls[i], failure_bad_url);
}

static void test_foreign_schemes(void **state)
{
    static const char *const urls[] = {
        "ftp://a/",   "ws://a/",   "file:///etc/passwd",    "unix://%2Frun/x",
        "httpx://a/", "shttp://a", "http+unixx://%2Frun/x",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++)
        expect_refused(urls[i], failure_scheme);
}

/* The path of a socket is at most 107 bytes, decoded. */
static void test_socket_path_lengths(void **state)
{
    char url[1024];
    struct target target;
    const char *failure;

    (void)state;
    for (int length = 100; length <= 115; length++) {
        snprintf(url, sizeof(url), "http+unix://%%2F%%61%0*d/x", length - 2, 0);
        if (length > 107) {
            expect_refused(url, failure_bad_url);
            continue;
        }
        assert_int_equal(target_parse(url, &target, &failure), 0);
        assert_int_equal(strlen(target.socket_path), length);
        target_clear(&target);
    }
}

static void test_huge_urls(void **state)
{
    static const struct {
        const char *start;
        size_t length;
        bool taken;
    } cases[] = {
        {"http://a/",           (size_t)1 << 20, true },
        {"http://a/?",          (size_t)1 << 20, true },
        {"http://a/",           (size_t)9 << 20, false},
        {"http://a:",           (size_t)1 << 20, false},
        {"http+unix://%2F",     (size_t)9 << 20, false},
        {"http+unix://%2Fx/",   (size_t)9 << 20, false},
        {"http://\xC3\xA9",     (size_t)1 << 16, false},
        {"http+unix://%2Fx/?x", (size_t)1 << 20, true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const size_t start = strlen(cases[i].start);
        char *const url = xmalloc(start + cases[i].length + 1);
        struct target target;
        const char *failure;

        memcpy(url, cases[i].start, start);
        memset(url + start, 'x', cases[i].length);
        url[start + cases[i].length] = '\0';
        if ((target_parse(url, &target, &failure) == 0) != cases[i].taken)
            fail_msg("%s of %zu", cases[i].start, cases[i].length);
        if (cases[i].taken)
            target_clear(&target);
        free(url);
    }
}

/* --- the scheme ----------------------------------------------------------------------- */

static void test_schemes(void **state)
{
    static const struct {
        const char *url, *prefix; /* NULL: none of ours */
        bool tls, is_socket, is_absolute;
    } cases[] = {
        {"http://a/",         "http://",       false, false, true },
        {"HTTP://a/",         "http://",       false, false, true },
        {"https://a/",        "https://",      true,  false, true },
        {"http+unix://%2Fs/", "http+unix://",  false, true,  true },
        {"HttpS+Unix://%2Fs", "https+unix://", true,  true,  true },
        {"http://",           "http://",       false, false, true },
        {"httpfoo://a/",      NULL,            false, false, true },
        {"ftp://a/",          NULL,            false, false, true },
        {"x://",              NULL,            false, false, true },
        {"http:/a",           NULL,            false, false, false},
        {"http:a",            NULL,            false, false, false},
        {"http",              NULL,            false, false, false},
        {"://a",              NULL,            false, false, false},
        {" http://a/",        NULL,            false, false, false},
        {"/http://a/",        NULL,            false, false, false},
        {"",                  NULL,            false, false, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct target_scheme *const got = target_scheme(cases[i].url);

        if (target_is_absolute(cases[i].url) != cases[i].is_absolute ||
            (got == NULL) != (cases[i].prefix == NULL))
            fail_msg("%s", cases[i].url);
        if (got == NULL)
            continue;
        expect_text(cases[i].url, "scheme", got->prefix, cases[i].prefix);
        assert_int_equal(got->prefix_length, strlen(cases[i].prefix));
        assert_int_equal(got->tls, cases[i].tls);
        assert_int_equal(got->over_tcp != NULL, cases[i].is_socket);
    }
}

/* --- the origin ----------------------------------------------------------------------- */

static void test_origin_length(void **state)
{
    static const struct {
        const char *url, *origin;
    } cases[] = {
        {"http://a",                   "http://a"              },
        {"http://a/",                  "http://a"              },
        {"https://u:p@a:81/x?y#z",     "https://u:p@a:81"      },
        {"http://[::1]:80?x",          "http://[::1]:80"       },
        {"http://a#://b/",             "http://a"              },
        {"http://a?://b/",             "http://a"              },
        {"http+unix://%2Frun%2Fx/y/z", "http+unix://%2Frun%2Fx"},
        {"http://u@a/x@b://c",         "http://u@a"            },
        {"http:a/",                    ""                      },
        {"/x",                         ""                      },
        {"a:/b://c/",                  ""                      },
        {"",                           ""                      },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const size_t length = target_origin_length(cases[i].url);

        if (length != strlen(cases[i].origin) ||
            strncmp(cases[i].url, cases[i].origin, length) != 0)
            fail_msg("%s: the origin is of %zu bytes", cases[i].url, length);
    }
}

/* --- anything ------------------------------------------------------------------------- */

/* A URL of parts that mean something, some of its bytes then changed. */
static void make_url(struct random *random, char *url, size_t capacity)
{
    static const char *const parts[] = {
        "http",      "https",       "+unix",
        "://",       ":",           "/",
        "//",        "?",           "#",
        "@",         "user",        "a.b",
        "[",         "]",           "::1",
        "%25",       "%2F",         "%00",
        "%0d",       "%zz",         "..",
        ".",         "8080",        "0",
        "\xC3",      "\xA9",        "\xFF",
        "http:",     "x=y&z",       " ",
        "\n",        "127.",        "0.1",
        "%",         "http://",     "http+unix://%2Fx",
        "http://a/", "http://a:1/", "http://u:p@a/",
    };
    size_t length = 0;

    for (uint64_t left = random_below(random, 10); left > 0; left--)
        length += (size_t)snprintf(url + length, capacity - length, "%s",
                                   parts[random_below(random, ARRAY_SIZE(parts))]);
    url[length] = '\0';
    while (length > 0 && random_chance(random, 20))
        url[random_below(random, length)] = (char)(1 + random_below(random, 255));
}

static void check_printed(const char *url, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7F)
            fail_msg("%s: '%s' holds what would end a line", url, text);
    }
}

/* Nothing of a URL can end a line of the request, and its origin is told by its text. */
static void test_any_url(void **state)
{
    struct random random = random_start("test_any_url");
    size_t taken = 0;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        char url[512], origin[512];
        struct target target, same;
        const char *failure = NULL;
        size_t length;

        make_url(&random, url, sizeof(url));
        length = target_origin_length(url);
        assert_true(length <= strlen(url));
        if (target_parse(url, &target, &failure) == -1) {
            assert_true(failure == failure_bad_url || failure == failure_scheme);
            continue;
        }
        taken++;
        check_printed(url, target.authority);
        check_printed(url, target.path);
        check_printed(url, target.host);
        assert_int_equal(target.path[0], '/');
        assert_int_not_equal(target.host[0], '\0');
        assert_int_not_equal(target.port, 0);

        memcpy(origin, url, length);
        origin[length] = '\0';
        assert_int_equal(target_parse(origin, &same, &failure), 0);
        expect_text(url, "host", same.host, target.host);
        expect_text(url, "authority", same.authority, target.authority);
        expect_text(url, "user", same.credentials, target.credentials);
        expect_text(url, "socket", same.socket_path, target.socket_path);
        assert_int_equal(same.port, target.port);
        target_clear(&same);
        target_clear(&target);
    }
    assert_true(taken > 1000); /* else nothing was tested */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_international_hosts),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_unix_sockets),
        cmocka_unit_test(test_bad_urls),
        cmocka_unit_test(test_foreign_schemes),
        cmocka_unit_test(test_socket_path_lengths),
        cmocka_unit_test(test_huge_urls),
        cmocka_unit_test(test_schemes),
        cmocka_unit_test(test_origin_length),
        cmocka_unit_test(test_any_url),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
