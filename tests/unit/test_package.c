#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "runner/package.h"

/* A tree with a test in a folder of its own. */
static char root[] = "/tmp/test_package.XXXXXX";

static char *path_of(const char *name)
{
    return xasprintf("%s/%s", root, name);
}

static void write_file(const char *name, const char *content)
{
    char *const path = path_of(name);
    struct error err;

    if (file_write(path, content, strlen(content), 0644, &err) == -1)
        fail_msg("%s", err.message);
    free(path);
}

static void make_folder(const char *name)
{
    char *const path = path_of(name);
    struct error err;

    if (folder_make(path, &err) == -1)
        fail_msg("%s", err.message);
    free(path);
}

static int make_tree(void **state)
{
    (void)state;
    if (mkdtemp(root) == NULL)
        return -1;
    make_folder("shop/tests/parts");
    make_folder("shop/common");
    make_folder("elsewhere");
    write_file("shop/tests/load.c", "#include <molotov.h>\n"
                                    "#include \"parts/a.h\"\n"
                                    "#include \"../common/b.h\"\n"
                                    "SCENARIO(one, .weight = A + B)\n{\n}\n");
    write_file("shop/tests/parts/a.h", "#define A 1\n");
    write_file("shop/common/b.h", "#define B 2\n");
    write_file("shop/common/same.h", "#define B 2\n");
    return 0;
}

static int remove_tree(void **state)
{
    (void)state;
    return chdir("/") == 0 ? folder_remove(root, NULL) : -1;
}

static int pack(const char *directory, const char *test, const char *object,
                struct package *ret_package, struct error *err)
{
    char *const path = path_of(directory);
    struct job job;
    int rc;

    assert_int_equal(chdir(path), 0);
    job_init(&job);
    free(job.test);
    job.test = xstrdup(test);
    job.object = object != NULL ? xstrdup(object) : NULL;
    rc = package_make(&job, ret_package, err);
    job_clear(&job);
    free(path);
    return rc;
}

static const struct bundle_file *find(const struct package *package, const char *path)
{
    for (size_t i = 0; i < package->bundle.count; i++)
        if (strcmp(package->bundle.files[i].path, path) == 0)
            return &package->bundle.files[i];
    fail_msg("there is no %s", path);
    return NULL;
}

/* The root is the nearest folder that holds the working directory and all files. */
static void test_paths(void **state)
{
    /* clang-format off */
    static const struct {
        const char *directory, *test;
        const char *want_directory, *want_test, *want_a, *want_b;
    } cases[] = {
        {"shop/tests", "load.c", "tests", "tests/load.c", "tests/parts/a.h",
         "common/b.h"},
        {"shop/tests", ".././tests//load.c", "tests", "tests/load.c", "tests/parts/a.h",
         "common/b.h"},
        {"shop", "tests/load.c", "", "tests/load.c", "tests/parts/a.h", "common/b.h"},
        {"elsewhere", "../shop/tests/load.c", "elsewhere", "shop/tests/load.c",
         "shop/tests/parts/a.h", "shop/common/b.h"},
        {"", "shop/tests/load.c", "", "shop/tests/load.c", "shop/tests/parts/a.h",
         "shop/common/b.h"},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct package package;
        struct error err;

        if (pack(cases[i].directory, cases[i].test, NULL, &package, &err) == -1)
            fail_msg("%s", err.message);
        assert_string_equal(package.bundle.directory, cases[i].want_directory);
        assert_string_equal(package.bundle.test, cases[i].want_test);
        assert_int_equal(package.bundle.count, 3);
        find(&package, cases[i].want_test);
        find(&package, cases[i].want_a);
        find(&package, cases[i].want_b);
        package_clear(&package);
    }
}

/* Every digest that the bundle names finds its content; the same content is there once. */
static void test_contents(void **state)
{
    char *const object = path_of("shop/common/same.h");
    const struct bundle_file *file;
    const struct buffer *content;
    struct package package;
    struct error err;

    (void)state;
    if (pack("shop/tests", "load.c", object, &package, &err) == -1)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < package.bundle.count; i++) {
        content = package_find(&package, package.bundle.files[i].digest);
        assert_non_null(content);
        assert_int_equal(content->size, package.bundle.files[i].size);
    }
    file = find(&package, "common/b.h");
    content = package_find(&package, file->digest);
    assert_string_equal(buffer_text(content), "#define B 2\n");
    assert_string_equal(package.bundle.object, file->digest);
    assert_int_equal(package.bundle.object_size, strlen("#define B 2\n"));
    assert_int_equal(package.count, 3);
    assert_null(package_find(&package, "x"));
    package_clear(&package);
    free(object);
}

static void test_url(void **state)
{
    struct package package;
    struct error err;

    (void)state;
    if (pack("shop", "http://localhost/", NULL, &package, &err) == -1)
        fail_msg("%s", err.message);
    assert_int_equal(package.bundle.count, 0);
    assert_int_equal(package.count, 0);
    assert_null(package.bundle.test);
    assert_string_equal(package.bundle.directory, "");
    package_clear(&package);
}

/* A file with `size` bytes, which takes no room. */
static void make_large(const char *name, off_t size)
{
    char *const path = path_of(name);

    write_file(name, "");
    assert_int_equal(truncate(path, size), 0);
    free(path);
}

static void test_refused(void **state)
{
    static const struct {
        const char *test, *object, *want;
    } cases[] = {
        {"none.so",       NULL,          "cannot read 'none.so'"       },
        {"load.c",        "none.so",     "cannot read 'none.so'"       },
        {"large.so",      NULL,          "'large.so' is over 50331648 "},
        {"b\xFF"
         "d.so", NULL,          "no UTF-8"                    },
        {"six/../six.so", "largest/.so", "cannot read 'six/../six.so'" },
    };

    (void)state;
    make_large("shop/tests/large.so", (off_t)BUNDLE_FILE_MAX + 1);
    write_file("shop/tests/b\xFF"
               "d.so",
               "");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct package package;
        struct error err = {.message = ""};

        assert_int_equal(
            pack("shop/tests", cases[i].test, cases[i].object, &package, &err), -1);
        if (strstr(err.message, "the test cannot be sent: ") != err.message ||
            strstr(err.message, cases[i].want) == NULL)
            fail_msg("%s", err.message);
    }
}

/* Together they are too much, each alone is not. */
static void test_too_much(void **state)
{
    const unsigned count = BUNDLE_SIZE_MAX / BUNDLE_FILE_MAX + 1;
    struct buffer source = BUFFER_INIT;
    struct package package;
    struct error err;

    (void)state;
    buffer_add_text(&source, "// molotov:");
    for (unsigned i = 0; i < count; i++) {
        char *const name = xasprintf("shop/tests/part-%u.o", i), *path = path_of(name);

        write_file(name, name); /* all differ */
        assert_int_equal(truncate(path, (off_t)BUNDLE_FILE_MAX), 0);
        buffer_printf(&source, " part-%u.o", i);
        free(path);
        free(name);
    }
    buffer_add_text(&source, "\nint x;\n");
    write_file("shop/tests/large.c", buffer_text(&source));
    assert_int_equal(pack("shop/tests", "large.c", NULL, &package, &err), -1);
    assert_string_equal(err.message,
                        "the test cannot be sent: its files are over 256 MiB "
                        "together");
    buffer_clear(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),    cmocka_unit_test(test_contents),
        cmocka_unit_test(test_url),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_too_much),
    };

    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
