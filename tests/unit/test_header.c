#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/memory.h"
#include "http/header.h"

static void test_names(void **state)
{
    static const struct {
        const char *line, *name;
        bool want;
    } cases[] = {
        {"Cookie: a=b", "Cookie", true },
        {"COOKIE:",     "cookie", true },
        {"Cookies: a",  "Cookie", false},
        {"Cookie2: a",  "Cookie", false},
        {"Cooki: e:",   "Cookie", false},
        {"Cookie : a",  "Cookie", false},
        {"Cookie",      "Cookie", false},
        {"",            "Cookie", false},
        {"X: Cookie:",  "Cookie", false},
        {"X-\xC4: a",   "x-\xE4", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (header_is_named(cases[i].line, cases[i].name) != cases[i].want)
            fail_msg("'%s' and '%s'", cases[i].line, cases[i].name);
    }
}

/* What follows a line of an answer is not its own. */
static void test_length(void **state)
{
    (void)state;
    assert_true(header_is("Host: a", 5, "host", 4));
    assert_false(header_is("Host: a", 4, "host", 4));
}

static void test_values(void **state)
{
    static const struct {
        const char *line, *want;
    } cases[] = {
        {"Host: a",          "a"   },
        {"Host:a",           "a"   },
        {"Host:\t a: b \t ", "a: b"},
        {"Host:",            ""    },
        {"Host: ",           ""    },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *const line = cases[i].line;
        size_t length;
        const char *const value =
            header_value(line, strlen(line), strlen("Host"), &length);

        assert_int_equal(length, strlen(cases[i].want));
        assert_memory_equal(value, cases[i].want, length);
    }
}

/* No other header is left out where it is empty. */
static void test_left_out(void **state)
{
    (void)state;
    assert_true(header_is_left_out("User-Agent:"));
    assert_true(header_is_left_out("user-agent: \t"));
    assert_false(header_is_left_out("User-Agent: a"));
    assert_false(header_is_left_out("User-Agents:"));
    assert_false(header_is_left_out("Accept:"));
}

static void test_lists(void **state)
{
    static const char *const lines[] = {"Cookies: a", "cookie: b", "Cookie: c", NULL};
    static const char *const none[] = {NULL};

    (void)state;
    assert_ptr_equal(header_find(lines, "Cookie"), lines[1]);
    assert_null(header_find(lines, "Host"));
    assert_null(header_find(lines, "cookie: b"));
    assert_null(header_find(none, "Cookie"));
    assert_null(header_find(NULL, "Cookie"));

    assert_true(header_is_replaced("COOKIE: of the session", lines));
    assert_false(header_is_replaced("Cook: of the session", lines));
    assert_false(header_is_replaced("Cookies2: of the session", lines));
    assert_false(header_is_replaced("Cookie: of the session", none));
    assert_false(header_is_replaced("Cookie: of the session", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),  cmocka_unit_test(test_length),
        cmocka_unit_test(test_values), cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
