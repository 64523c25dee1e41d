#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/memory.h"
#include "base/text.h"
#include "scenario/blackbox.h"
#include "stats/stats.h"
#include "unit/random.h"

enum { PROCESSES = 3 };

static struct blackbox *map(int fd)
{
    struct blackbox *box = NULL;
    struct error err;

    if (blackbox_map(fd, PROCESSES, &box, &err) == -1)
        fail_msg("%s", err.message);
    return box;
}

static int create(void)
{
    struct error err;
    int fd = -1;

    if (blackbox_create(PROCESSES, &fd, &err) == -1)
        fail_msg("%s", err.message);
    return fd;
}

static void set_names(struct blackbox *box)
{
    struct test test = {.data = NULL};
    struct error err;

    assert_int_equal(test_add_scenario(&test, "browse", 1, 0, NULL, &err), 0);
    assert_int_equal(test_add_scenario(&test, "buy", 1, 0, NULL, &err), 0);
    blackbox_set_names(box, &test);
    test_clear(&test);
}

static void expect(const struct blackbox *box, size_t process, const char *want)
{
    char *const got = blackbox_running(box, process);

    if ((got == NULL) != (want == NULL) || (got != NULL && strcmp(got, want) != 0))
        fail_msg("process %zu: got '%s', want '%s'", process,
                 got != NULL ? got : "NULL", want != NULL ? want : "NULL");
    free(got);
}

static void test_what_runs(void **state)
{
    static const struct {
        const char *name;
        uint32_t scenario, fixture;
        const char *want;
    } cases[] = {
        {"nothing",               0,                       0,                           NULL             },
        {"the first scenario",    1,                       0,                           "browse"         },
        {"the second scenario",   2,                       0,                           "buy"            },
        {"the first fixture",     0,                       FIXTURE_GLOBAL_SETUP + 1,    "global_setup"   },
        {"a fixture",             0,                       FIXTURE_SETUP_SESSION + 1,   "setup_session"  },
        {"the last fixture",      0,                       FIXTURE_GLOBAL_TEARDOWN + 1, "global_teardown"},
        {"a listener within one", 1,                       FIXTURE_EVENTS + 1,          "events"         },
        {"no fixture",            0,                       FIXTURE_COUNT + 1,           NULL             },
        {"no scenario",           STATS_SCENARIOS_MAX + 1, 0,                           NULL             },
        {"numbers written over",  UINT32_MAX,              UINT32_MAX,                  NULL             },
        {"one of them",           2,                       UINT32_MAX,                  "buy"            },
    };
    int fd = create();
    struct blackbox *const box = map(fd);

    (void)state;
    set_names(box);
    for (size_t process = 0; process < PROCESSES; process++)
        expect(box, process, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        blackbox_slot(box, 1)->scenario = cases[i].scenario;
        blackbox_slot(box, 1)->fixture = cases[i].fixture;
        expect(box, 1, cases[i].want);
        expect(box, 0, NULL);
        expect(box, 2, NULL);
    }
    blackbox_unmap(box);
    fd_close(&fd);
}

/* What a process noted is there for its parent after it was killed. */
static void test_survives_its_writer(void **state)
{
    int fd = create();
    struct blackbox *box = map(fd);
    pid_t pid;

    (void)state;
    set_names(box);
    blackbox_unmap(box);
    pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        blackbox_slot(map(fd), 2)->scenario = 2;
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    box = map(fd);
    expect(box, 2, "buy");
    expect(box, 1, NULL);
    blackbox_unmap(box);
    blackbox_unmap(NULL);
    fd_close(&fd);
}

/* User code wrote over all of it: a reader finds some clean name, or none. */
static void test_overwritten(void **state)
{
    struct random random = random_start("test_overwritten");
    const size_t size = STATS_SCENARIOS_MAX * (TABLE_NAME_MAX + 1) +
                        PROCESSES * sizeof(struct blackbox_slot);
    unsigned char *const bytes = xmalloc(size);
    int fd = create();
    struct blackbox *const box = map(fd);

    (void)state;
    assert_int_equal(lseek(fd, 0, SEEK_END), size);
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < size; i++)
            bytes[i] = (unsigned char)(random_bits(&random) | 1);
        assert_int_equal(pwrite(fd, bytes, size, 0), size);
        for (size_t process = 0; process < PROCESSES; process++) {
            struct blackbox_slot *const slot = blackbox_slot(box, process);
            char *name;

            slot->fixture = (uint32_t)random_below(&random, 2 * FIXTURE_COUNT);
            slot->scenario = (uint32_t)random_below(&random, 2 * STATS_SCENARIOS_MAX);
            name = blackbox_running(box, process);
            if (name != NULL)
                assert_true(text_is_clean(name, strlen(name)) &&
                            strlen(name) <= TABLE_NAME_MAX);
            free(name);
        }
    }
    blackbox_unmap(box);
    fd_close(&fd);
    free(bytes);
}

static void test_longest_names(void **state)
{
    struct test test = {.data = NULL};
    int fd = create();
    struct blackbox *const box = map(fd);
    char name[TABLE_NAME_MAX + 1];
    struct error err;

    (void)state;
    for (unsigned i = 0; i < STATS_SCENARIOS_MAX; i++) {
        snprintf(name, sizeof(name), "%0*u", (int)TABLE_NAME_MAX, i);
        assert_int_equal(test_add_scenario(&test, name, 1, 0, NULL, &err), 0);
    }
    blackbox_set_names(box, &test);
    for (unsigned i = 0; i < STATS_SCENARIOS_MAX; i++) {
        blackbox_slot(box, 0)->scenario = i + 1;
        expect(box, 0, test.scenarios[i].name);
    }
    test_clear(&test);
    blackbox_unmap(box);
    fd_close(&fd);
}

static void test_no_descriptor(void **state)
{
    struct blackbox *box = NULL;
    struct error err;

    (void)state;
    assert_int_equal(blackbox_map(-1, PROCESSES, &box, &err), -1);
    assert_null(box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_runs),
        cmocka_unit_test(test_survives_its_writer),
        cmocka_unit_test(test_overwritten),
        cmocka_unit_test(test_longest_names),
        cmocka_unit_test(test_no_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
