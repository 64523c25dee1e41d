#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/workplace.h"
#include "base/fd.h"
#include "base/loop.h"
#include "unit/folder.h"

static char *folder; /* $XDG_RUNTIME_DIR */
static struct remover remover;

static int set_up(void **state)
{
    (void)state;
    folder = folder_for_test();
    setenv("XDG_RUNTIME_DIR", folder, 1);
    setenv("HOME", folder, 1);
    remover.loop = loop_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remover_close(&remover);
    ev_loop_destroy(remover.loop);
    remove_test_folder(folder);
    return 0;
}

/* Where the system has a directory for all, that one is used, not ours. */
static void skip_where_there_is_another(void)
{
    if (access("/run/molotov", W_OK | X_OK) == 0)
        skip();
}

/* A pid that no process has: of a child that is gone. */
static pid_t dead_pid(void)
{
    const pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return pid;
}

static char *make_place_of(pid_t pid)
{
    char *const path = xasprintf("%s/molotov/agent-%ld", folder, (long)pid);
    char *const below = xasprintf("%s/run-x/tree", path);
    struct error err;

    if (folder_make(below, &err) == -1)
        fail_msg("%s", err.message);
    free(below);
    return path;
}

/* How much is in $XDG_RUNTIME_DIR/molotov, once what is being removed is gone. */
static size_t count_left(void)
{
    char *const path = xasprintf("%s/molotov", folder);
    DIR *const here = opendir(path);
    const struct dirent *entry;
    size_t count = 0;

    while (!remover_is_done(&remover))
        ev_run(remover.loop, EVRUN_ONCE);
    assert_non_null(here);
    while ((entry = readdir(here)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(here);
    free(path);
    return count;
}

static void test_its_life(void **state)
{
    struct workplace place;
    struct error err;
    char *path;

    (void)state;
    skip_where_there_is_another();
    assert_int_equal(workplace_open(&place, &remover, &err), 0);
    path = xasprintf("%s/molotov/agent-%ld", folder, (long)getpid());
    assert_string_equal(place.path, path);
    assert_int_equal(mode_of(path, ""), 0700);
    assert_int_not_equal(mode_of(path, "lock"), 0);
    workplace_close(&place);
    workplace_close(&place);
    assert_int_equal(mode_of(path, ""), 0);
    assert_int_equal(count_left(), 0);
    free(path);
}

/* What dead agents left is removed; what may be somebody's is not. */
static void test_left_ones(void **state)
{
    const pid_t dead = dead_pid();
    char *const of_dead = make_place_of(dead);
    char *const of_living = make_place_of(getppid());
    char *const of_nobody = xasprintf("%s/molotov/agent-x1", folder);
    struct workplace place;
    struct error err;

    (void)state;
    skip_where_there_is_another();
    assert_int_equal(folder_make(of_nobody, &err), 0);
    free(make_place_of(getpid())); /* of one that had our pid */
    assert_int_equal(workplace_open(&place, &remover, &err), 0);
    assert_int_equal(mode_of(of_dead, ""), 0);
    assert_int_equal(mode_of(place.path, "run-x"), 0);
    assert_int_not_equal(mode_of(of_living, ""), 0);
    assert_int_not_equal(mode_of(of_nobody, ""), 0);
    workplace_close(&place);
    assert_int_equal(count_left(), 2);
    free(of_dead);
    free(of_living);
    free(of_nobody);
}

/* An agent whose pid means nothing here (it lives in a container) holds its lock. */
static void test_left_by_a_stranger(void **state)
{
    const pid_t dead = dead_pid();
    char *const path = make_place_of(dead);
    char *const lock_path = xasprintf("%s/lock", path);
    struct pidlock lock;
    struct workplace place;
    struct error err;

    (void)state;
    skip_where_there_is_another();
    assert_int_equal(pidlock_take(&lock, lock_path, NULL, &err), 0);
    assert_int_equal(workplace_open(&place, &remover, &err), 0);
    assert_int_not_equal(mode_of(path, ""), 0);
    workplace_close(&place);
    pidlock_release(&lock);
    assert_int_equal(workplace_open(&place, &remover, &err), 0);
    assert_int_equal(mode_of(path, ""), 0);
    workplace_close(&place);
    free(lock_path);
    free(path);
}

/* What a remover did not finish, since it was killed. */
static void test_left_by_a_remover(void **state)
{
    char *const left = xasprintf("%s/molotov/" REMOVER_PREFIX "77-1/run-x", folder);
    struct workplace place;
    struct error err;
    size_t before;

    (void)state;
    skip_where_there_is_another();
    before = count_left();
    assert_int_equal(folder_make(left, &err), 0);
    assert_int_equal(workplace_open(&place, &remover, &err), 0);
    workplace_close(&place);
    assert_int_equal(count_left(), before);
    free(left);
}

/* Somebody else has our pid: it lives in a container. */
static void test_taken(void **state)
{
    char *const path = make_place_of(getpid());
    char *const lock_path = xasprintf("%s/lock", path);
    struct pidlock lock;
    struct workplace place;
    struct error err;

    (void)state;
    skip_where_there_is_another();
    assert_int_equal(pidlock_take(&lock, lock_path, NULL, &err), 0);
    assert_int_equal(workplace_open(&place, &remover, &err), -1);
    assert_non_null(strstr(err.message, path));
    assert_non_null(strstr(err.message, "holds the lock"));
    assert_non_null(strstr(err.message, "$XDG_RUNTIME_DIR"));
    assert_int_not_equal(mode_of(path, "run-x"), 0);
    workplace_close(&place);
    pidlock_release(&lock);
    folder_remove(path, NULL);
    free(lock_path);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_its_life),
        cmocka_unit_test(test_left_ones),
        cmocka_unit_test(test_left_by_a_stranger),
        cmocka_unit_test(test_left_by_a_remover),
        cmocka_unit_test(test_taken),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
