#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "http/target.h"
#include "http/transport.h"
#include "http/unix_queue.h"
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
    }
    assert_null(job_transports[i]);
    assert_null(transport_find("quic"));
    assert_null(transport_find(""));
    assert_null(transport_find("Curl"));
}

/* The job, a floor below, has a list of its own of what is a URL. */
static void test_schemes(void **state)
{
    static const char *const foreign[] = {
        "ftp://a/", "httpx://a/", "http:/a", "httpunix://a", "http+tcp://a", "a", ""};
    char url[64];

    (void)state;
    for (size_t i = 0; target_schemes[i].prefix != NULL; i++) {
        snprintf(url, sizeof(url), "%sa/", target_schemes[i].prefix);
        assert_true(job_test_is_url(url));
        url[0] = 'H';
        assert_true(job_test_is_url(url));
    }
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
        assert_null(target_scheme(foreign[i]));
        assert_false(job_test_is_url(foreign[i]));
    }
}

/* What --help and an error say of --transport names each of them. */
static void test_words(void **state)
{
    struct job job;
    struct error err = {.message = ""};
    struct option_table table;
    const struct option_row *row;

    (void)state;
    job_init(&job);
    table = job_options(&job);
    row = table.rows;
    while (row->name == NULL || strcmp(row->name, "transport") != 0)
        row++;
    assert_int_equal(options_set(&table, row, "quic", &err), 0);
    assert_int_equal(job_check(&job, NULL, &err), -1);
    for (size_t i = 0; transport_types[i] != NULL; i++) {
        assert_non_null(strstr(err.message, transport_types[i]->name));
        assert_non_null(strstr(row->help, transport_types[i]->name));
    }
    assert_string_equal(row->standard, transport_types[0]->name);
    job_clear(&job);
}

/* Both times count from when the exchange was asked for. */
static void test_time_left(void **state)
{
    const uint64_t hour_us = 3600 * (uint64_t)US_PER_S;
    const uint64_t connect_us = CONNECT_TIMEOUT_S * (uint64_t)US_PER_S;
    const uint64_t now_us = clock_us();
    const struct exchange fresh = {.started_us = now_us, .timeout_us = hour_us};
    const struct exchange older = {.started_us = now_us - connect_us / 2,
                                   .timeout_us = hour_us};
    const struct exchange brief = {.started_us = now_us, .timeout_us = US_PER_MS};
    const struct exchange late = {.started_us = now_us - hour_us,
                                  .timeout_us = US_PER_MS};

    (void)state;
    assert_in_range(transport_time_left_us(&fresh), connect_us + 1, hour_us);
    assert_in_range(transport_connect_time_left_us(&fresh), 1, connect_us);
    assert_in_range(transport_connect_time_left_us(&older), 1, connect_us / 2);
    assert_in_range(transport_time_left_us(&brief), 1, US_PER_MS);
    assert_in_range(transport_connect_time_left_us(&brief), 1, US_PER_MS);
    assert_int_equal(transport_time_left_us(&late), 1);
    assert_int_equal(transport_connect_time_left_us(&late), 1);
}

/* They grow up to a limit: those who wait longest ask least. */
static void test_pauses_of_a_queue(void **state)
{
    static const double want_s[] = {0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.2, 0.2};
    double pause_s = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(want_s); i++) {
        pause_s = unix_queue_pause_s(pause_s);
        assert_true(pause_s == want_s[i]); /* doubling is exact */
    }
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
        cmocka_unit_test(test_names),     cmocka_unit_test(test_schemes),
        cmocka_unit_test(test_words),     cmocka_unit_test(test_may_repeat),
        cmocka_unit_test(test_time_left), cmocka_unit_test(test_pauses_of_a_queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
