#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/memory.h"

static char folder[] = "/tmp/molotov-test-file-XXXXXX";

/* FOLDER/name; the caller frees it. */
static char *at(const char *name)
{
    return xasprintf("%s/%s", folder, name);
}

static bool is_there(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0;
}

static mode_t mode_of(const char *path)
{
    struct stat info;

    assert_int_equal(lstat(path, &info), 0);
    return info.st_mode;
}

/* --- files ------------------------------------------------------------------------------ */

static void test_written_and_read(void **state)
{
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 1000000};
    char *const path = at("content");
    char *const content = calloc(1, 1000000);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct buffer text = BUFFER_INIT;
        struct error err;

        memset(content, 'a' + (int)i, sizes[i]);
        assert_int_equal(file_write(path, content, sizes[i], 0640, &err), 0);
        buffer_add_text(&text, "before");
        assert_int_equal(file_read(path, sizes[i], &text, &err), 0);
        assert_int_equal(text.size, 6 + sizes[i]);
        assert_memory_equal(text.data, "before", 6);
        assert_memory_equal(text.data + 6, content, sizes[i]);
        assert_int_equal(text.data[text.size], 0);
        assert_int_equal(mode_of(path), S_IFREG | 0640);
        buffer_clear(&text);
    }
    free(content);
    free(path);
}

/* A failure leaves what was in the buffer, and nothing else. */
static void test_not_read(void **state)
{
    char *const large = at("large"), *const pipe_path = at("pipe");
    char *const nothing = at("no-such-file");
    const struct {
        const char *path, *want;
    } cases[] = {
        {nothing,     "No such file"   },
        {folder,      "is not a file"  },
        {pipe_path,   "is not a file"  },
        {"/dev/zero", "is not a file"  },
        {large,       "is over 9 bytes"},
    };
    struct error err;

    (void)state;
    assert_int_equal(mkfifo(pipe_path, 0600), 0); /* nobody writes to it */
    assert_int_equal(file_write(large, "0123456789", 10, 0600, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buffer text = BUFFER_INIT;

        buffer_add_text(&text, "before");
        assert_int_equal(file_read(cases[i].path, 9, &text, &err), -1);
        assert_non_null(strstr(err.message, cases[i].want));
        assert_non_null(strstr(err.message, cases[i].path));
        assert_string_equal(buffer_text(&text), "before");
        buffer_clear(&text);
    }
    free(large);
    free(pipe_path);
    free(nothing);
}

static void test_not_written(void **state)
{
    char *const in_nothing = at("no/such/folder");
    char *const is_folder = at("a-folder");
    struct error err;

    (void)state;
    assert_int_equal(file_write(in_nothing, "x", 1, 0600, &err), -1);
    assert_non_null(strstr(err.message, in_nothing));
    assert_int_equal(mkdir(is_folder, 0700), 0);
    assert_int_equal(file_write(is_folder, "x", 1, 0600, &err), -1);
    assert_non_null(strstr(err.message, is_folder));
    assert_int_equal(rmdir(is_folder), 0); /* nothing was left in it, nor beside */
    free(is_folder);
    free(in_nothing);
}

static void expect_content(const char *path, const char *want)
{
    struct buffer text = BUFFER_INIT;
    struct error err;

    assert_int_equal(file_read(path, 100, &text, &err), 0);
    assert_string_equal(buffer_text(&text), want);
    buffer_clear(&text);
}

/* Who cannot write all of it leaves what was there, and nothing beside it. */
static void test_written_whole_or_not(void **state)
{
    char *const path = at("kept"), *const other = at("other");
    char *const draft = xasprintf("%s.%ld", path, (long)getpid());
    struct rlimit limit, small;
    struct error err = {.message = ""};

    (void)state;
    assert_int_equal(file_write(path, "old", 3, 0600, &err), 0);
    getrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_IGN);
    small = limit;
    small.rlim_cur = 5; /* of ten bytes, the first five are written */
    setrlimit(RLIMIT_FSIZE, &small);
    assert_int_equal(file_write(path, "0123456789", 10, 0600, &err), -1);
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_DFL);
    assert_false(is_there(draft));
    expect_content(path, "old");

    assert_int_equal(file_write(other, "other", 5, 0600, &err), 0);
    assert_int_equal(symlink(other, draft), 0); /* is not followed */
    assert_int_equal(file_write(path, "new", 3, 0600, &err), -1);
    assert_false(is_there(draft));
    expect_content(path, "old");
    expect_content(other, "other");
    free(path);
    free(other);
    free(draft);
}

/* --- folders ---------------------------------------------------------------------------- */

static void test_make(void **state)
{
    char *const deep = at("one/two/three");
    char *const parent = at("one/two");
    char *const file = at("one/file"), *const below_file = at("one/file/four");
    const mode_t before = umask(0);
    struct error err;

    (void)state;
    assert_int_equal(folder_make(deep, &err), 0);
    assert_int_equal(mode_of(deep), S_IFDIR | 0700);
    assert_int_equal(mode_of(parent), S_IFDIR | 0755);
    assert_int_equal(folder_make(deep, &err), 0);
    assert_int_equal(folder_make("/", &err), 0);
    assert_int_equal(file_write(file, "x", 1, 0600, &err), 0);
    assert_int_equal(folder_make(below_file, &err), -1);
    assert_non_null(strstr(err.message, below_file));
    assert_int_equal(folder_make(file, &err), -1);
    umask(before);
    free(deep);
    free(parent);
    free(file);
    free(below_file);
}

static void test_private(void **state)
{
    char *const path = at("private"), *const link = at("link"), *const file = at("f");
    static const struct {
        mode_t mode;
        int want;
    } cases[] = {
        {0700,  0 },
        {0755,  0 },
        {0770,  -1},
        {0707,  -1},
        {01777, -1},
    };
    struct error err;

    (void)state;
    assert_int_equal(folder_check_private(path, &err), -1); /* not there */
    assert_int_equal(mkdir(path, 0700), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(chmod(path, cases[i].mode), 0);
        assert_int_equal(folder_check_private(path, &err), cases[i].want);
    }
    assert_non_null(strstr(err.message, path));
    assert_int_equal(chmod(path, 0700), 0);
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(folder_check_private(link, &err), 0);
    if (geteuid() == 0) { /* another user's link, and another user's folder */
        assert_int_equal(lchown(link, 12345, 12345), 0);
        assert_int_equal(folder_check_private(link, &err), -1);
        assert_int_equal(chown(path, 12345, 12345), 0);
        assert_int_equal(folder_check_private(path, &err), -1);
    }
    assert_int_equal(file_write(file, "x", 1, 0600, &err), 0);
    assert_int_equal(folder_check_private(file, &err), -1);
    free(path);
    free(link);
    free(file);
}

static void test_choose(void **state)
{
    char *const open_folder = at("open"), *const good = at("good/one");
    char *const better = at("better");
    const char *const paths[] = {NULL, "/dev/null/x", open_folder, good, better};
    const char *const none[] = {NULL, "/dev/null/x", NULL};
    char *got = NULL;
    struct error err;

    (void)state;
    assert_int_equal(mkdir(open_folder, 0700), 0);
    assert_int_equal(chmod(open_folder, 0777), 0);
    assert_int_equal(folder_choose(paths, ARRAY_SIZE(paths), &got, &err), 0);
    assert_string_equal(got, good);
    assert_false(is_there(better));
    free(got);
    got = NULL;
    assert_int_equal(folder_choose(none, ARRAY_SIZE(none), &got, &err), -1);
    assert_non_null(strstr(err.message, "/dev/null/x"));
    assert_int_equal(folder_choose(NULL, 0, &got, &err), -1);
    assert_null(got);
    free(open_folder);
    free(good);
    free(better);
}

static void make_file(const char *name)
{
    char *const path = at(name);
    struct error err;

    assert_int_equal(file_write(path, "x", 1, 0600, &err), 0);
    free(path);
}

static void make_folder_at(const char *name, mode_t mode)
{
    char *const path = at(name);
    struct error err;

    assert_int_equal(folder_make(path, &err), 0);
    assert_int_equal(chmod(path, mode), 0);
    free(path);
}

static void test_remove(void **state)
{
    char *const tree = at("tree"), *const outside = at("outside");
    char *const kept = at("outside/kept"), *const link = at("tree/a/link");
    char *const file_link = at("tree/file-link"), *const dangling = at("tree/dangling");
    struct error err;

    (void)state;
    make_folder_at("outside", 0700);
    make_file("outside/kept");
    make_folder_at("tree/a/b/c", 0700);
    make_folder_at("tree/.hidden", 0700);
    for (int i = 0; i < 300; i++) {
        char name[40];

        snprintf(name, sizeof(name), "tree/a/b/file %d", i);
        make_file(name);
    }
    assert_int_equal(symlink(outside, link), 0);
    assert_int_equal(symlink(kept, file_link), 0);
    assert_int_equal(symlink("nowhere", dangling), 0);
    assert_int_equal(folder_remove(tree, &err), 0);
    assert_false(is_there(tree));
    assert_true(is_there(kept));
    assert_int_equal(folder_remove(tree, &err), 0);
    assert_int_equal(symlink(outside, tree), 0); /* a link itself */
    assert_int_equal(folder_remove(tree, &err), 0);
    assert_false(is_there(tree));
    assert_int_equal(folder_remove(kept, &err), 0);
    assert_false(is_there(kept));
    free(tree);
    free(outside);
    free(kept);
    free(link);
    free(file_link);
    free(dangling);
}

/* What a test has locked away from its user; the whole as somebody who is not root. */
static void test_remove_locked(void **state)
{
    char *const tree = at("locked");
    int status = 0;
    pid_t pid;

    (void)state;
    make_folder_at("locked/full", 0700);
    make_file("locked/full/file");
    make_folder_at("locked/full", 0000);
    make_folder_at("locked/read-only", 0700);
    make_file("locked/read-only/file");
    make_folder_at("locked/read-only", 0500);
    pid = fork();
    if (pid == 0) {
        char *const full = at("locked/full"), *const read_only = at("locked/read-only");
        int rc;

        if (geteuid() == 0 &&
            (chown(folder, 12345, 12345) == -1 || chown(tree, 12345, 12345) == -1 ||
             chown(full, 12345, 12345) == -1 || chown(read_only, 12345, 12345) == -1 ||
             setuid(12345) == -1))
            _exit(2);
        rc = folder_remove(tree, NULL);
        free(full);
        free(read_only);
        _exit(rc == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_false(is_there(tree));
    free(tree);
}

static void go_down(unsigned levels, bool make)
{
    for (; levels > 0; levels--) {
        if (make)
            assert_int_equal(mkdir("d", 0700), 0);
        assert_int_equal(chdir("d"), 0);
    }
}

/* A tree made to exhaust who removes it is left, and said so. */
static void test_remove_abyss(void **state)
{
    char *const tree = at("abyss");
    const int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct error err = {.message = ""};

    (void)state;
    assert_int_equal(mkdir(tree, 0700), 0);
    assert_int_equal(chdir(tree), 0);
    go_down(FOLDER_DEPTH_MAX, true);
    assert_int_equal(fchdir(here), 0);
    assert_int_equal(folder_remove(tree, &err), -1);
    assert_non_null(strstr(err.message, tree));
    assert_int_equal(chdir(tree), 0);
    go_down(1, false);
    assert_int_equal(folder_remove("d", &err), 0); /* one less is not too many */
    assert_int_equal(fchdir(here), 0);
    close(here);
    assert_int_equal(folder_remove(tree, &err), 0);
    free(tree);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return folder_remove(folder, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_and_read),
        cmocka_unit_test(test_not_read),
        cmocka_unit_test(test_not_written),
        cmocka_unit_test(test_written_whole_or_not),
        cmocka_unit_test(test_make),
        cmocka_unit_test(test_private),
        cmocka_unit_test(test_choose),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_remove_locked),
        cmocka_unit_test(test_remove_abyss),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
