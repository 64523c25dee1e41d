#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/remover.h"
#include "base/fd.h"
#include "base/loop.h"
#include "unit/folder.h"

struct place {
    char *folder, *path;
    struct remover remover;
    size_t descriptors;
};

static void open_place(struct place *place)
{
    place->folder = folder_for_test();
    place->path = xasprintf("%s/run-x", place->folder);
    place->remover = (struct remover){.loop = loop_new()};
    place->descriptors = fd_count_open();
}

static void close_place(struct place *place)
{
    remover_close(&place->remover);
    assert_int_equal(fd_count_open(), place->descriptors);
    ev_loop_destroy(place->remover.loop);
    free(place->path);
    remove_test_folder(place->folder);
}

/* Makes FOLDER/run-x/a/b, with files in it. */
static void fill(const struct place *place)
{
    char *const below = xasprintf("%s/a/b", place->path);
    struct error err;

    assert_int_equal(folder_make(below, &err), 0);
    for (unsigned i = 0; i < 100; i++) {
        char *const file = xasprintf("%s/%u", below, i);

        assert_int_equal(file_write(file, "x", 1, 0600, &err), 0);
        free(file);
    }
    free(below);
}

/* How much is in the folder; `ret_name` gets one of the names. */
static size_t count_entries(const struct place *place, char ret_name[256])
{
    DIR *const folder = opendir(place->folder);
    const struct dirent *entry;
    size_t count = 0;

    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(ret_name, 256, "%s", entry->d_name);
        count++;
    }
    closedir(folder);
    return count;
}

static void wait_until_done(struct place *place)
{
    while (!remover_is_done(&place->remover))
        ev_run(place->remover.loop, EVRUN_ONCE);
}

/* Its path is free at once; what was there is somebody else's work. */
static void test_folder(void **state)
{
    struct place place;
    char name[256] = "";

    (void)state;
    open_place(&place);
    fill(&place);
    remover_remove(&place.remover, place.path);
    assert_int_equal(mode_of(place.path, ""), 0);
    assert_false(remover_is_done(&place.remover));
    wait_until_done(&place);
    assert_int_equal(count_entries(&place, name), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* it has been reaped */
    close_place(&place);
}

/* Of one path again and again, beside what an earlier process could not finish. */
static void test_names(void **state)
{
    struct place place;
    char *left_path, name[256] = "";
    struct error err;

    (void)state;
    open_place(&place);
    left_path = xasprintf("%s/" REMOVER_PREFIX "%ld-1/x", place.folder, (long)getpid());
    assert_int_equal(folder_make(left_path, &err), 0);
    for (unsigned i = 0; i < 3; i++) {
        fill(&place);
        remover_remove(&place.remover, place.path);
        assert_int_equal(mode_of(place.path, ""), 0);
    }
    wait_until_done(&place);
    assert_int_equal(count_entries(&place, name), 1);
    *strrchr(left_path, '/') = '\0';
    assert_string_equal(name, strrchr(left_path, '/') + 1);
    remover_remove_gone(&place.remover, left_path);
    wait_until_done(&place);
    assert_int_equal(count_entries(&place, name), 0);
    free(left_path);
    close_place(&place);
}

/* What forbids to be emptied, or to be moved elsewhere. */
static void test_forbidding(void **state)
{
    struct place place;
    char name[256] = "", *below;

    (void)state;
    open_place(&place);
    fill(&place);
    below = xasprintf("%s/a/b", place.path);
    assert_int_equal(chmod(below, 0), 0);
    assert_int_equal(chmod(place.path, 0500), 0);
    remover_remove(&place.remover, place.path);
    wait_until_done(&place);
    assert_int_equal(count_entries(&place, name), 0);
    free(below);
    close_place(&place);
}

static void test_nothing(void **state)
{
    struct place place;
    char *elsewhere;

    (void)state;
    open_place(&place);
    remover_remove(&place.remover, place.path);
    assert_true(remover_is_done(&place.remover));
    elsewhere = xasprintf("%s/no/such/folder", place.folder);
    remover_remove(&place.remover, elsewhere);
    assert_true(remover_is_done(&place.remover));
    free(elsewhere);
    close_place(&place);
}

/* It ends before its process does, which finishes alone. */
static void test_close(void **state)
{
    struct place place;
    char name[256] = "";

    (void)state;
    open_place(&place);
    fill(&place);
    remover_remove(&place.remover, place.path);
    remover_close(&place.remover);
    assert_true(remover_is_done(&place.remover));
    assert_true(waitpid(-1, NULL, 0) > 0);
    assert_int_equal(count_entries(&place, name), 0);
    close_place(&place);
}

/* Where there is no descriptor to watch with, it is removed all the same. */
static void test_unwatched(void **state)
{
    struct rlimit before, none;
    struct place place;

    (void)state;
    open_place(&place);
    fill(&place);
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){.rlim_cur = STDERR_FILENO + 1, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    remover_remove(&place.remover, place.path);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_true(remover_is_done(&place.remover));
    assert_int_equal(mode_of(place.path, ""), 0);
    while (waitpid(-1, NULL, 0) > 0) {
    }
    remover_remove_gone(&place.remover, place.folder); /* it may have had none, too */
    wait_until_done(&place);
    close_place(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder),     cmocka_unit_test(test_names),
        cmocka_unit_test(test_forbidding), cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_close),      cmocka_unit_test(test_unwatched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
