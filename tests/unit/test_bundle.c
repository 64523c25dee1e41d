#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proto/bundle.h"

static const char digest[] =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* Packs it as it is, and reads that as from a stranger. */
static int travel(const struct bundle *bundle, struct bundle *ret_bundle,
                  struct error *err)
{
    struct buffer buffer = BUFFER_INIT;
    struct wire_message message;
    msgpack_packer packer;
    int rc;

    wire_packer(&packer, &buffer);
    bundle_pack(bundle, &packer);
    if (wire_decode(buffer.data, buffer.size, &message, err) == -1)
        fail_msg("%s", err->message);
    rc = bundle_unpack(&message.root, ret_bundle, err);
    wire_clear(&message);
    buffer_clear(&buffer);
    return rc;
}

static void expect_refused(const char *name, const struct bundle *bundle,
                           const char *why)
{
    struct bundle got = {.count = 77};
    struct error err;

    if (travel(bundle, &got, &err) == 0)
        fail_msg("%s: was taken", name);
    if (strstr(err.message, why) == NULL)
        fail_msg("%s: %s", name, err.message);
    assert_int_equal(got.count, 77); /* untouched */
}

static void test_round_trip(void **state)
{
    struct bundle bundle = {.directory = xstrdup("a/b"), .test = xstrdup("a/b/t.c")};
    struct bundle got;
    struct error err;

    (void)state;
    bundle_add(&bundle, "a/b/t.c", digest, 12);
    bundle_add(&bundle, "a/h.h", digest, 0);
    memcpy(bundle.object, digest, sizeof(digest));
    bundle.object_size = 34;
    if (travel(&bundle, &got, &err) == -1)
        fail_msg("%s", err.message);
    assert_string_equal(got.directory, "a/b");
    assert_string_equal(got.test, "a/b/t.c");
    assert_string_equal(got.object, digest);
    assert_int_equal(got.object_size, 34);
    assert_int_equal(got.count, 2);
    assert_string_equal(got.files[0].path, "a/b/t.c");
    assert_string_equal(got.files[0].digest, digest);
    assert_int_equal(got.files[0].size, 12);
    assert_string_equal(got.files[1].path, "a/h.h");
    bundle_clear(&got);
    assert_null(got.files);
    bundle_clear(&got); /* twice is fine */
    bundle_clear(&bundle);
}

static void test_empty(void **state)
{
    struct bundle bundle = {.files = NULL}, got;

    (void)state;
    assert_int_equal(travel(&bundle, &got, NULL), 0);
    assert_int_equal(got.count, 0);
    assert_string_equal(got.directory, "");
    assert_string_equal(got.object, "");
    assert_null(got.test);
    bundle_clear(&got);
}

/* The same paths are right or wrong wherever one is named. */
static void test_paths(void **state)
{
    static const struct {
        const char *path;
        bool taken;
    } cases[] = {
        {"a",             true },
        {"a/b.c",         true },
        {"a b/(c)",       true },
        {"..a/b..",       true },
        {".a/...",        true },
        {"caf\xC3\xA9/x", true },
        {"-rf",           true },
        {"/a",            false},
        {"/",             false},
        {"..",            false},
        {".",             false},
        {"../a",          false},
        {"a/..",          false},
        {"a/../b",        false},
        {"a/./b",         false},
        {"./a",           false},
        {"a//b",          false},
        {"a/",            false},
        {"a\nb",          false},
        {"a\x1B[2J",      false},
        {"caf\xE9",       false},
        {"a/\xC2\x9B/b",  false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct bundle file = {.files = NULL}, got;
        struct bundle directory = {.directory = xstrdup(cases[i].path)};
        struct bundle test = {.test = xstrdup(cases[i].path)};

        bundle_add(&file, cases[i].path, digest, 1);
        bundle_add(&test, cases[i].path, digest, 1);
        if (cases[i].taken) {
            assert_int_equal(travel(&file, &got, NULL), 0);
            bundle_clear(&got);
            assert_int_equal(travel(&directory, &got, NULL), 0);
            bundle_clear(&got);
            assert_int_equal(travel(&test, &got, NULL), 0);
            bundle_clear(&got);
        } else {
            expect_refused(cases[i].path, &file, "files: number 1: field \"path\"");
            expect_refused(cases[i].path, &directory, "\"directory\"");
            expect_refused(cases[i].path, &test, "\"test\"");
        }
        bundle_clear(&file);
        bundle_clear(&directory);
        bundle_clear(&test);
    }
}

static void test_empty_path(void **state)
{
    struct bundle file = {.files = NULL}, test = {.test = xstrdup("")};

    (void)state;
    bundle_add(&file, "", digest, 1);
    expect_refused("file", &file, "files: number 1: field \"path\"");
    expect_refused("test", &test, "\"test\"");
    bundle_clear(&file);
    bundle_clear(&test);
}

static void test_longest_path(void **state)
{
    char path[BUNDLE_PATH_MAX + 2];
    struct bundle bundle = {.files = NULL}, got;

    (void)state;
    memset(path, 'x', sizeof(path));
    path[BUNDLE_PATH_MAX] = '\0';
    bundle_add(&bundle, path, digest, 1);
    assert_int_equal(travel(&bundle, &got, NULL), 0);
    bundle_clear(&got);
    path[BUNDLE_PATH_MAX] = 'x';
    path[BUNDLE_PATH_MAX + 1] = '\0';
    bundle_add(&bundle, path, digest, 1);
    expect_refused("one byte too many", &bundle, "files: number 2: field \"path\"");
    bundle_clear(&bundle);
}

static void test_twice(void **state)
{
    struct bundle bundle = {.files = NULL};

    (void)state;
    bundle_add(&bundle, "b", digest, 1);
    bundle_add(&bundle, "a", digest, 1);
    bundle_add(&bundle, "c", digest, 1);
    bundle_add(&bundle, "a", digest, 1);
    expect_refused("twice", &bundle, "'a' is there twice");
    bundle_clear(&bundle);
}

static void test_test_is_a_file_of_it(void **state)
{
    struct bundle bundle = {.test = xstrdup("t.c")};

    (void)state;
    bundle_add(&bundle, "t.h", digest, 1);
    expect_refused("another", &bundle, "'t.c', which is none of the files");
    bundle_clear(&bundle);
}

/* As many files as there may be, and one more. */
static void test_file_count(void **state)
{
    struct bundle bundle = {.files = NULL}, got;

    (void)state;
    for (unsigned i = 0; i < BUNDLE_FILES_MAX; i++) {
        char path[20];

        snprintf(path, sizeof(path), "%u", i * 7919 % BUNDLE_FILES_MAX);
        bundle_add(&bundle, path, digest, 1);
    }
    assert_int_equal(travel(&bundle, &got, NULL), 0);
    assert_int_equal(got.count, BUNDLE_FILES_MAX);
    bundle_clear(&got);
    bundle_add(&bundle, "more", digest, 1);
    expect_refused("one too many", &bundle, "\"files\"");
    bundle_clear(&bundle);
}

static void test_sizes(void **state)
{
    static const struct {
        const char *name;
        uint64_t file, files, object;
        const char *why; /* NULL: taken */
    } cases[] = {
        {"nothing",            0,                   1, 0,                   NULL           },
        {"the largest file",   BUNDLE_FILE_MAX,     1, 0,                   NULL           },
        {"a larger one",       BUNDLE_FILE_MAX + 1, 1, 0,                   "\"size\""     },
        {"the largest number", UINT64_MAX,          1, 0,                   "\"size\""     },
        {"the largest object", 0,                   1, BUNDLE_FILE_MAX,     NULL           },
        {"a larger object",    0,                   1, BUNDLE_FILE_MAX + 1, "object_size"  },
        {"as much as may be",  BUNDLE_SIZE_MAX / 8, 8, 0,                   NULL           },
        {"one byte more",      BUNDLE_SIZE_MAX / 8, 8, 1,                   "268435457 byt"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct bundle bundle = {.files = NULL}, got;

        for (uint64_t k = 0; k < cases[i].files; k++) {
            const char path[] = {(char)('a' + k), '\0'};

            bundle_add(&bundle, path, digest, cases[i].file);
        }
        memcpy(bundle.object, digest, sizeof(digest));
        bundle.object_size = cases[i].object;
        if (cases[i].why != NULL) {
            expect_refused(cases[i].name, &bundle, cases[i].why);
        } else {
            assert_int_equal(travel(&bundle, &got, NULL), 0);
            bundle_clear(&got);
        }
        bundle_clear(&bundle);
    }
}

/* The size of an object that is not there says nothing. */
static void test_object_size_without_object(void **state)
{
    struct bundle bundle = {.object_size = 5}, got;

    (void)state;
    assert_int_equal(travel(&bundle, &got, NULL), 0);
    assert_int_equal(got.object_size, 0);
    bundle_clear(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_empty_path),
        cmocka_unit_test(test_longest_path),
        cmocka_unit_test(test_twice),
        cmocka_unit_test(test_test_is_a_file_of_it),
        cmocka_unit_test(test_file_count),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_object_size_without_object),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
