#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/memory.h"
#include "engine/limits.h"
#include "scenario/host.h"

static long max_map_count(void)
{
    FILE *const file = fopen("/proc/sys/vm/max_map_count", "re");
    long number = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &number), 1);
    fclose(file);
    return number;
}

/* Whether `workers` fit, each with so many mappings. */
static int check(long workers, unsigned mappings, struct error *err)
{
    const struct host_type host = {.name = "fake", .mappings = mappings};
    const struct test test = {.host = &host};
    struct job job;
    int rc;

    job_init(&job);
    job.workers = workers;
    rc = limits_check(&job, &test, err);
    job_clear(&job);
    return rc;
}

/* The number in the error is the one that fits. */
static void expect_room_for(long workers, unsigned mappings, const char *what)
{
    struct error err = {.message = ""};
    char number[64];

    assert_int_equal(check(workers, mappings, &err), 0);
    assert_int_equal(check(workers + 1, mappings, &err), -1);
    snprintf(number, sizeof(number), " %ld", workers);
    if (strstr(err.message, number) == NULL || strstr(err.message, what) == NULL)
        fail_msg("%ld workers: '%s'", workers, err.message);
}

static void test_a_few_fit(void **state)
{
    struct error err;

    (void)state;
    assert_int_equal(check(1, 0, &err), 0);
    assert_int_equal(check(100, 2, &err), 0);
}

/* So many for each that they end before the descriptors do. */
static void test_mappings(void **state)
{
    (void)state;
    expect_room_for((max_map_count() - 2000) / 1000, 1000, "max_map_count");
    expect_room_for((max_map_count() - 2000) / 3000, 3000, "max_map_count");
}

/* The soft limit is raised for it; the hard one decides. */
static void test_descriptors(void **state)
{
    struct rlimit limit;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 100;
    limit.rlim_max = 1000;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    expect_room_for(1000 - 64, 0, "descriptors");
    getrlimit(RLIMIT_NOFILE, &limit);
    assert_int_equal(limit.rlim_cur, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_few_fit), cmocka_unit_test(test_mappings),
        cmocka_unit_test(test_descriptors), /* the last: it lowers the hard limit */
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
