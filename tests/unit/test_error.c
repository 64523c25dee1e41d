#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

static void test_set(void **state)
{
    struct error err;

    (void)state;
    assert_int_equal(error_set(&err, "option '%s' takes %d", "-w", 3), -1);
    assert_string_equal(err.message, "option '-w' takes 3");
}

/* The words are those of errno as it was when the thing failed. */
static void test_errno(void **state)
{
    struct error err;

    (void)state;
    errno = ENOENT;
    assert_int_equal(error_errno(&err, "cannot read '%s'", "x.c"), -1);
    assert_string_equal(err.message, "cannot read 'x.c': No such file or directory");
}

static void test_prefix(void **state)
{
    struct error err;

    (void)state;
    error_set(&err, "it is empty");
    assert_int_equal(error_prefix(&err, "file '%s'", "a"), -1);
    assert_int_equal(error_prefix(&err, "test"), -1);
    assert_string_equal(err.message, "test: file 'a': it is empty");
}

/* Who does not ask why is told nothing, and that it failed. */
static void test_nobody_asks(void **state)
{
    (void)state;
    errno = ENOENT;
    assert_int_equal(error_set(NULL, "x %d", 1), -1);
    assert_int_equal(error_errno(NULL, "x %d", 1), -1);
    assert_int_equal(error_prefix(NULL, "x %d", 1), -1);
}

/* Too long a message is cut at its end, however it became too long. */
static void test_cut(void **state)
{
    char text[2 * ERROR_SIZE];
    struct error err;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';

    error_set(&err, "%s", text);
    assert_int_equal(strlen(err.message), ERROR_SIZE - 1);

    assert_int_equal(error_prefix(&err, "here"), -1);
    assert_int_equal(strlen(err.message), ERROR_SIZE - 1);
    assert_memory_equal(err.message, "here: xxx", 9);

    error_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.message), ERROR_SIZE - 1);

    errno = EPERM;
    error_errno(&err, "%s", text);
    assert_int_equal(strlen(err.message), ERROR_SIZE - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),    cmocka_unit_test(test_errno),
        cmocka_unit_test(test_prefix), cmocka_unit_test(test_nobody_asks),
        cmocka_unit_test(test_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
