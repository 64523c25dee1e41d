#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/tree.h"
#include "base/fd.h"
#include "unit/folder.h"

struct place {
    char *folder, *root;
    struct tree tree;
    size_t descriptors;
};

static void open_place(struct place *place)
{
    struct error err;

    place->descriptors = fd_count_open();
    place->folder = folder_for_test();
    place->root = xasprintf("%s/root", place->folder);
    if (tree_open(&place->tree, place->root, &err) == -1)
        fail_msg("%s", err.message);
}

static void close_place(struct place *place)
{
    tree_close(&place->tree);
    tree_close(&place->tree);
    free(place->root);
    remove_test_folder(place->folder);
    assert_int_equal(fd_count_open(), place->descriptors);
}

static void expect_content(const struct place *place, const char *path,
                           const char *want)
{
    char *const full = xasprintf("%s/%s", place->root, path);
    struct buffer content = BUFFER_INIT;
    struct error err;

    if (file_read(full, 1000, &content, &err) == -1)
        fail_msg("%s", err.message);
    assert_string_equal(buffer_text(&content), want);
    buffer_clear(&content);
    free(full);
}

static void test_files(void **state)
{
    struct place place;
    struct error err;

    (void)state;
    open_place(&place);
    assert_int_equal(tree_add_file(&place.tree, "a", "one", 3, &err), 0);
    assert_int_equal(tree_add_file(&place.tree, "b/c/d", "two", 3, &err), 0);
    assert_int_equal(tree_add_file(&place.tree, "b/c/empty", NULL, 0, &err), 0);
    assert_int_equal(tree_add_folder(&place.tree, "", &err), 0);
    assert_int_equal(tree_add_folder(&place.tree, "b/c", &err), 0);
    assert_int_equal(tree_add_folder(&place.tree, "e/f", &err), 0);
    expect_content(&place, "a", "one");
    expect_content(&place, "b/c/d", "two");
    expect_content(&place, "b/c/empty", "");
    assert_int_equal(mode_of(place.root, ""), 0700);
    assert_int_equal(mode_of(place.root, "a"), 0600);
    assert_int_equal(mode_of(place.root, "b"), 0700);
    assert_int_equal(mode_of(place.root, "b/c/d"), 0600);
    assert_int_equal(mode_of(place.root, "e/f"), 0700);
    close_place(&place);
}

/* What was at its place before is gone. */
static void test_opening_again(void **state)
{
    struct place place;
    struct error err;

    (void)state;
    open_place(&place);
    assert_int_equal(tree_add_file(&place.tree, "a/b", "one", 3, &err), 0);
    tree_close(&place.tree);
    assert_int_equal(tree_open(&place.tree, place.root, &err), 0);
    assert_int_equal(mode_of(place.root, "a"), 0);
    tree_close(&place.tree);
    assert_int_equal(tree_open(&place.tree, "/proc/nowhere", &err), -1);
    close_place(&place);
}

/* Paths that lead elsewhere, or are spelt so that they might. */
static void test_bad_paths(void **state)
{
    static const char *const paths[] = {
        "..",  "../a", "/a",  "a/../../b", "a//b", "a/",
        "./a", ".",    "a/.", "/",         "a/..", "a/b/../c",
    };
    struct place place;
    struct error err;

    (void)state;
    open_place(&place);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        if (tree_add_file(&place.tree, paths[i], "x", 1, &err) == 0)
            fail_msg("a file '%s' was written", paths[i]);
        assert_non_null(strstr(err.message, "cannot write '"));
        if (tree_add_folder(&place.tree, paths[i], &err) == 0)
            fail_msg("a folder '%s' was made", paths[i]);
    }
    assert_int_equal(tree_add_file(&place.tree, "", "x", 1, &err), -1);
    assert_int_equal(mode_of(place.folder, "a"), 0);
    assert_int_equal(mode_of(place.folder, "b"), 0);
    close_place(&place);
}

/* Whoever put links into the tree, nothing is written through them. */
static void test_links(void **state)
{
    struct place place;
    struct error err;
    char *outside, *folder_link, *file_link;

    (void)state;
    open_place(&place);
    outside = xasprintf("%s/outside", place.folder);
    folder_link = xasprintf("%s/folder", place.root);
    file_link = xasprintf("%s/file", place.root);
    assert_int_equal(mkdir(outside, 0700), 0);
    assert_int_equal(symlink(outside, folder_link), 0);
    assert_int_equal(symlink("../outside/new", file_link), 0);
    assert_int_equal(tree_add_file(&place.tree, "folder/a", "x", 1, &err), -1);
    assert_int_equal(tree_add_file(&place.tree, "file", "x", 1, &err), -1);
    assert_int_equal(tree_add_folder(&place.tree, "folder/a", &err), -1);
    assert_int_equal(tree_add_folder(&place.tree, "folder", &err), -1);
    assert_int_equal(mode_of(outside, "a"), 0);
    assert_int_equal(mode_of(outside, "new"), 0);
    assert_int_equal(mode_of(place.root, "file") != 0, 1); /* nor taken away */
    free(outside);
    free(folder_link);
    free(file_link);
    close_place(&place);
}

static void test_in_the_way(void **state)
{
    struct place place;
    struct error err;

    (void)state;
    open_place(&place);
    assert_int_equal(tree_add_file(&place.tree, "a", "one", 3, &err), 0);
    assert_int_equal(tree_add_file(&place.tree, "a", "two", 3, &err), -1);
    assert_int_equal(tree_add_file(&place.tree, "a/b", "two", 3, &err), -1);
    assert_int_equal(tree_add_folder(&place.tree, "a", &err), -1);
    expect_content(&place, "a", "one");
    close_place(&place);
}

/* A file that cannot be written whole is not there. */
static void test_full(void **state)
{
    struct rlimit before, small;
    struct place place;
    struct error err;
    int rc;

    (void)state;
    open_place(&place);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    small = (struct rlimit){.rlim_cur = 5, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    rc = tree_add_file(&place.tree, "a/b", "0123456789", 10, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(rc, -1);
    assert_non_null(strstr(err.message, "File too large"));
    assert_int_equal(mode_of(place.root, "a"), 0700);
    assert_int_equal(mode_of(place.root, "a/b"), 0);
    close_place(&place);
}

/* A folder that cannot be opened does not stay behind. */
static void test_no_descriptors(void **state)
{
    struct rlimit before, none;
    struct place place;
    struct tree tree;
    struct error err;
    char *root;
    int rc;

    (void)state;
    open_place(&place);
    root = xasprintf("%s/other", place.folder);
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    rc = tree_open(&tree, root, &err);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(rc, -1);
    assert_non_null(strstr(err.message, "Too many open files"));
    assert_int_equal(mode_of(root, ""), 0);
    free(root);
    close_place(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),          cmocka_unit_test(test_opening_again),
        cmocka_unit_test(test_bad_paths),      cmocka_unit_test(test_links),
        cmocka_unit_test(test_in_the_way),     cmocka_unit_test(test_full),
        cmocka_unit_test(test_no_descriptors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
