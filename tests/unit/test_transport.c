#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/memory.h"
#include "http/transport.h"
#include "job/job.h"

/* --transport takes the names of the table, the same first. */
static void test_names(void **state)
{
    size_t i = 0;

    (void)state;
    for (; transport_types[i] != NULL; i++) {
        assert_non_null(job_transports[i]);
        assert_string_equal(transport_types[i]->name, job_transports[i]);
        assert_ptr_equal(transport_find(job_transports[i]), transport_types[i]);
        assert_non_null(transport_types[i]->help);
    }
    assert_null(job_transports[i]);
    assert_null(transport_find("quic"));
    assert_null(transport_find(""));
    assert_null(transport_find("Curl"));
}

/* RFC 9110, 9.2.2. Methods are case-sensitive, and those nobody knows may do anything. */
static void test_may_repeat(void **state)
{
    static const struct {
        const char *method;
        bool want;
    } cases[] = {
        {"GET",     true },
        {"HEAD",    true },
        {"OPTIONS", true },
        {"TRACE",   true },
        {"PUT",     true },
        {"DELETE",  true },
        {"POST",    false},
        {"PATCH",   false},
        {"get",     false},
        {"GETX",    false},
        {"PURGE",   false},
        {"CONNECT", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (transport_may_repeat(cases[i].method) != cases[i].want)
            fail_msg("%s", cases[i].method);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_may_repeat),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
