#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "scenario/make_rule.h"

/* The names of all rules, each in brackets; '!' where a rule is over. */
static void read_rules(const char *rules, struct buffer *ret_text)
{
    struct buffer name = BUFFER_INIT;

    while (*rules != '\0') {
        while (make_rule_next(&rules, &name))
            buffer_printf(ret_text, "<%s>", name.data);
        buffer_add_text(ret_text, "!");
    }
    buffer_clear(&name);
}

static void test_rules(void **state)
{
    static const struct {
        const char *rules, *want;
    } cases[] = {
        {"",                         ""                    },
        {"x: a.c\n",                 "<x:><a.c>!"          },
        {"x: a.c",                   "<x:><a.c>!"          },
        {"x: a.c \\\n b.h\\\nc.h\n", "<x:><a.c><b.h><c.h>!"},
        {"x: a.c\ny: b.c\n",         "<x:><a.c>!<y:><b.c>!"},
        {"x: \t a.c\t \n",           "<x:><a.c>!"          },
        {"\n\nx:\n",                 "!!<x:>!"             },
        {"x: a\\ b.c c.h\n",         "<x:><a b.c><c.h>!"   },
        {"x: a\\\tb.c\n",            "<x:><a\tb.c>!"       },
        {"x: a\\ \\ b.c\n",          "<x:><a  b.c>!"       },
        {"x: \\ a.c\n",              "<x:>< a.c>!"         },
        {"x: a$$b.c $$$$ $c\n",      "<x:><a$b.c><$$><$c>!"},
        {"x: a\\#b.c #c.h\n",        "<x:><a#b.c><#c.h>!"  },
        {"x: a\\:b.c a:b.c\n",       "<x:><a:b.c><a:b.c>!" },
        {"x: a\\b.c\n",              "<x:><a\\b.c>!"       },
        {"x: a\\\\b.c\n",            "<x:><a\\\\b.c>!"     },
        {"x: a\\\\\\ b.c\n",         "<x:><a\\ b.c>!"      },
        {"x: a\\\\\\\\\\ b.c\n",     "<x:><a\\\\ b.c>!"    },
        {"x: a\\\\ b.c\n",           "<x:><a\\><b.c>!"     },
        {"x: a\\\\#b.c\n",           "<x:><a\\#b.c>!"      },
        {"x: a\\\\\nb.c\n",          "<x:><a\\><b.c>!"     },
        {"x: a\\",                   "<x:><a\\>!"          },
        {"x: a\\\n",                 "<x:><a>!"            },
        {"x: caf\xc3\xa9.c\n",       "<x:><caf\xc3\xa9.c>!"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buffer text = BUFFER_INIT;

        read_rules(cases[i].rules, &text);
        if (strcmp(buffer_text(&text), cases[i].want) != 0)
            fail_msg("'%s': got '%s', and not '%s'", cases[i].rules, buffer_text(&text),
                     cases[i].want);
        buffer_clear(&text);
    }
}

/* Whatever it is, reading it ends, and within it. */
static void test_any_text(void **state)
{
    static const char signs[] = "a \\\n$#:\t";

    (void)state;
    for (unsigned number = 0; number < 8u * 8 * 8 * 8 * 8 * 8; number++) {
        char rules[7] = "";
        const char *next = rules;
        struct buffer name = BUFFER_INIT;
        unsigned left = number, steps = 0;

        for (size_t i = 0; i < sizeof(rules) - 1; i++, left /= 8)
            rules[i] = signs[left % 8];
        while (*next != '\0' && steps++ < 20)
            make_rule_next(&next, &name);
        assert_ptr_equal(next, rules + strlen(rules));
        buffer_clear(&name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_any_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
