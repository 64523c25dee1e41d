#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

/* Whatever comes in, what comes out can be shown on a terminal and written as JSON. */
static void test_text_clean(void **state)
{
    static const struct {
        const char *name, *text, *want;
        size_t capacity;
    } cases[] = {
        {"plain text stays",           "GET /x",                               "GET /x",                               50},
        {"characters of 2 to 4 bytes", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\xA5\x9B",
         "\xC3\xA9\xE2\x82\xAC\xF0\x9F\xA5\x9B",                                                                       50},
        {"escape sequences",           "a\x1B[31mb\n\x7F",                     "a [31mb  ",                            50},
        {"C1 control characters",
         "a\xC2\x9B"
         "b",                                                                  "a b",                                  50},
        {"a lone continuation byte",   "a\x80",                                "a\xEF\xBF\xBD",                        50},
        {"an overlong slash",          "\xC0\xAF",                             "\xEF\xBF\xBD\xEF\xBF\xBD",             50},
        {"a surrogate",                "\xED\xA0\x80",                         "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD", 50},
        {"a character cut at the end", "a\xE2\x82",                            "a\xEF\xBF\xBD\xEF\xBF\xBD",            50},
        {"cut between characters",     "ab\xE2\x82\xAC",                       "ab",                                   5 },
        {"room for nothing",           "ab",                                   "",                                     1 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char clean[64];
        const size_t length =
            text_clean(clean, cases[i].capacity, cases[i].text, strlen(cases[i].text));

        if (strcmp(clean, cases[i].want) != 0)
            fail_msg("%s: got '%s'", cases[i].name, clean);
        assert_int_equal(length, strlen(cases[i].want));
        assert_true(text_is_clean(clean, length));
    }
}

static void test_text_distance(void **state)
{
    (void)state;
    assert_int_equal(text_distance("", ""), 0);
    assert_int_equal(text_distance("workers", "workers"), 0);
    assert_int_equal(text_distance("wokrers", "workers"), 1); /* a swap */
    assert_int_equal(text_distance("worker", "workers"), 1);
    assert_int_equal(text_distance("", "abc"), 3);
    assert_int_equal(text_distance("kitten", "sitting"), 3);
}

static void test_text_is_same_word(void **state)
{
    static const struct {
        const char *left, *right;
        size_t length;
        bool want;
    } cases[] = {
        {"Content-Length", "CONTENT-length", 14, true },
        {"chunked",        "chunkedly",      7,  true },
        {"chunked",        "chunkes",        7,  false},
        {"",               "x",              0,  true },
        {"[@`{",           "[@`{",           4,  true },
        {"@",              "`",              1,  false},
        {"[",              "{",              1,  false},
        {"\r",             "-",              1,  false},
        {"\xC4",           "\xE4",           1,  false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (text_is_same_word(cases[i].left, cases[i].right, cases[i].length) !=
            cases[i].want)
            fail_msg("'%s' and '%s'", cases[i].left, cases[i].right);
    }
}

static void test_text_is_word(void **state)
{
    (void)state;
    assert_true(text_is_word("Close, or not", 5, "close"));
    assert_false(text_is_word("close", 4, "close"));
    assert_false(text_is_word("closer", 6, "close"));
    assert_true(text_is_word("", 0, ""));
}

static void test_text_next_element(void **state)
{
    static const struct {
        const char *list, *want; /* each followed by '|' */
    } cases[] = {
        {"",                  ""             },
        {"gzip",              "gzip|"        },
        {" \tgzip\t ",        "gzip|"        },
        {"gzip, br\t,\tzstd", "gzip|br|zstd|"},
        {"a b ,c",            "a b|c|"       },
        {" ",                 "|"            },
        {",",                 "|"            },
        {"a,",                "a|"           },
        {", ,a",              "||a|"         },
        {"\ra\n",             "\ra\n|"       },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        size_t left = strlen(cases[i].list), length;
        char *const copy = xstrndup(cases[i].list, left), got[64] = "";
        const char *text = copy, *element;

        copy[left] = ','; /* is not looked at */
        while ((element = text_next_element(&text, &left, &length)) != NULL) {
            strncat(got, element, length);
            strcat(got, "|");
        }
        assert_string_equal(got, cases[i].want);
        free(copy);
    }
}

static void test_letters(void **state)
{
    (void)state;
    assert_int_equal(text_lower_case('A'), 'a');
    assert_int_equal(text_lower_case('Z'), 'z');
    assert_int_equal(text_lower_case('@'), '@');
    assert_int_equal(text_lower_case('['), '[');
    assert_int_equal(text_lower_case((char)0xC4), (char)0xC4);
    assert_true(text_is_digit('0') && text_is_digit('9'));
    assert_false(text_is_digit('/') || text_is_digit(':') || text_is_digit((char)0xB2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_clean),        cmocka_unit_test(test_text_distance),
        cmocka_unit_test(test_text_is_same_word), cmocka_unit_test(test_text_is_word),
        cmocka_unit_test(test_text_next_element), cmocka_unit_test(test_letters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
