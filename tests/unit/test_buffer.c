#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"

/* Whatever was done, the buffer holds the bytes of `want` and a NUL behind them. */
static void expect(const char *name, const struct buffer *buffer, const char *want)
{
    if (buffer->size != strlen(want) || strcmp(buffer_text(buffer), want) != 0)
        fail_msg("%s: got %zu bytes, '%s'", name, buffer->size, buffer_text(buffer));
}

static void test_empty(void **state)
{
    struct buffer buffer = BUFFER_INIT;

    (void)state;
    expect("at first", &buffer, "");
    buffer_reset(&buffer);
    buffer_drop(&buffer, 0);
    buffer_drop(&buffer, 10);
    buffer_printf(&buffer, "%s", "");
    expect("of nothing", &buffer, "");
    buffer_add(&buffer, NULL, 0);
    expect("nothing added", &buffer, "");
    buffer_clear(&buffer);
    assert_null(buffer.data);
}

/* Whoever reserves and then has nothing to add still holds a text. */
static void test_reserved_is_a_text(void **state)
{
    struct buffer buffer = BUFFER_INIT;

    (void)state;
    buffer_reserve(&buffer, 100000);
    expect("reserved", &buffer, "");
    buffer_clear(&buffer);
}

static void test_add(void **state)
{
    struct buffer buffer = BUFFER_INIT;

    (void)state;
    buffer_add(&buffer, "abc", 3);
    buffer_add_text(&buffer, "de");
    buffer_printf(&buffer, "%s %d", "fg", 42);
    expect("three ways", &buffer, "abcdefg 42");
    buffer_add(&buffer, "\0x", 2);
    assert_int_equal(buffer.size, 12);
    assert_memory_equal(buffer.data, "abcdefg 42\0x", 13);
    buffer_clear(&buffer);
    expect("cleared", &buffer, "");
    buffer_add_text(&buffer, "again");
    expect("used again", &buffer, "again");
    buffer_clear(&buffer);
}

/* Around each size at which the memory is full, by each way to add. */
static void test_growth(void **state)
{
    char text[300];

    (void)state;
    for (size_t had = 0; had < 140; had++) {
        for (size_t more = 1; more < 140; more++) {
            struct buffer added = BUFFER_INIT, printed = BUFFER_INIT;

            memset(text, 'a', had + more);
            text[had + more] = '\0';
            buffer_add(&added, text, had);
            buffer_add(&added, text, more);
            buffer_printf(&printed, "%.*s", (int)had, text);
            buffer_printf(&printed, "%.*s", (int)more, text);
            expect("added", &added, text);
            expect("printed", &printed, text);
            buffer_clear(&added);
            buffer_clear(&printed);
        }
    }
}

static void test_reset_keeps_memory(void **state)
{
    struct buffer buffer = BUFFER_INIT;
    const char *data;

    (void)state;
    buffer_reserve(&buffer, 1000);
    data = buffer.data;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 1000; i++)
            buffer_add(&buffer, "x", 1);
        assert_ptr_equal(buffer.data, data);
        buffer_reset(&buffer);
        expect("reset", &buffer, "");
    }
    buffer_clear(&buffer);
}

static void test_drop(void **state)
{
    static const struct {
        const char *name;
        size_t size;
        const char *want;
    } cases[] = {
        {"nothing",       0,        "abcdef"},
        {"the first",     1,        "bcdef" },
        {"all but one",   5,        "f"     },
        {"all",           6,        ""      },
        {"more than all", 7,        ""      },
        {"far more",      SIZE_MAX, ""      },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buffer buffer = BUFFER_INIT;

        buffer_add_text(&buffer, "abcdef");
        buffer_drop(&buffer, cases[i].size);
        expect(cases[i].name, &buffer, cases[i].want);
        buffer_clear(&buffer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_reserved_is_a_text),
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_reset_keeps_memory),
        cmocka_unit_test(test_drop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
