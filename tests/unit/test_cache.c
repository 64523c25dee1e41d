#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "agent/cache.h"
#include "unit/folder.h"

static struct cache *open_cache(char **ret_folder)
{
    struct cache *const cache = xcalloc(1, sizeof(*cache));
    struct error err;

    *ret_folder = folder_for_test();
    if (cache_open(cache, *ret_folder, &err) == -1)
        fail_msg("%s", err.message);
    return cache;
}

static void close_cache(struct cache *cache, char *folder)
{
    cache_close(cache);
    cache_close(cache);
    free(cache);
    remove_test_folder(folder);
}

static void keep(struct cache *cache, const char *content, char ret_digest[DIGEST_SIZE])
{
    digest_of(content, strlen(content), ret_digest);
    cache_keep(cache, ret_digest, content, strlen(content));
}

static bool has(struct cache *cache, const char *digest, const char *content)
{
    struct buffer found = BUFFER_INIT;
    const bool is_there = cache_find(cache, digest, &found);

    if (is_there)
        assert_string_equal(buffer_text(&found), content);
    buffer_clear(&found);
    return is_there;
}

static void test_keeping(void **state)
{
    char one[DIGEST_SIZE], two[DIGEST_SIZE], none[DIGEST_SIZE], *folder;
    struct cache *const cache = open_cache(&folder);

    (void)state;
    keep(cache, "one", one);
    keep(cache, "two", two);
    keep(cache, "one", one);
    digest_of("", 0, none);
    assert_true(has(cache, one, "one"));
    assert_true(has(cache, two, "two"));
    assert_false(has(cache, none, ""));
    keep(cache, "", none);
    assert_true(has(cache, none, ""));
    assert_int_equal(cache->count, 3);
    assert_int_equal(cache->size, 6);
    assert_int_equal(mode_of(folder, one), 0600);
    close_cache(cache, folder);
}

/* The least recently used goes. */
static void test_bound(void **state)
{
    char first[DIGEST_SIZE], second[DIGEST_SIZE], digest[DIGEST_SIZE], text[32];
    char *folder;
    struct cache *const cache = open_cache(&folder);

    (void)state;
    keep(cache, "first", first);
    keep(cache, "second", second);
    for (unsigned i = 0; i < CACHE_FILES_MAX - 2; i++) {
        snprintf(text, sizeof(text), "%u", i);
        keep(cache, text, digest);
    }
    assert_true(has(cache, first, "first"));
    keep(cache, "one more", digest);
    assert_int_equal(cache->count, CACHE_FILES_MAX);
    assert_true(has(cache, first, "first"));
    assert_true(has(cache, digest, "one more"));
    assert_false(has(cache, second, "second"));
    assert_int_equal(mode_of(folder, second), 0);
    close_cache(cache, folder);
}

static void test_bound_of_size(void **state)
{
    char digest[DIGEST_SIZE], *folder;
    struct cache *const cache = open_cache(&folder);
    const size_t size = 1000;
    char *const content = xcalloc(1, size);

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        content[0] = (char)i;
        digest_of(content, size, digest);
        cache_keep(cache, digest, content, size);
        cache->files[i].size += CACHE_SIZE_MAX / 3; /* as if they were that large */
        cache->size += CACHE_SIZE_MAX / 3;
    }
    content[0] = 9;
    digest_of(content, size, digest);
    cache_keep(cache, digest, content, size);
    assert_int_equal(cache->count, 3);
    assert_true(cache->size <= CACHE_SIZE_MAX);
    cache_keep(cache, digest, content, (size_t)CACHE_SIZE_MAX + 1);
    assert_int_equal(cache->count, 3);
    free(content);
    close_cache(cache, folder);
}

/* A test that was run here wrote into it, or removed it. */
static void test_spoilt(void **state)
{
    static const char *const spoils[] = {"two", "onf", "", NULL};
    char one[DIGEST_SIZE], *folder, *path;
    struct cache *const cache = open_cache(&folder);
    struct error err;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(spoils); i++) {
        keep(cache, "one", one);
        path = xasprintf("%s/%s", folder, one);
        if (spoils[i] != NULL)
            assert_int_equal(file_write(path, spoils[i], strlen(spoils[i]), 0600, &err),
                             0);
        else
            assert_int_equal(folder_remove(path, &err), 0);
        assert_false(has(cache, one, "one"));
        assert_int_equal(cache->count, 0);
        assert_int_equal(cache->size, 0);
        assert_int_equal(mode_of(folder, one), 0);
        free(path);
    }
    keep(cache, "one", one);
    assert_true(has(cache, one, "one"));
    close_cache(cache, folder);
}

/* The disk does not take it: then it is fetched each time. */
static void test_no_place(void **state)
{
    char one[DIGEST_SIZE], *folder;
    struct cache *const cache = open_cache(&folder);
    struct error err;

    (void)state;
    assert_int_equal(folder_remove(folder, &err), 0);
    keep(cache, "one", one);
    assert_int_equal(cache->count, 0);
    assert_false(has(cache, one, "one"));
    close_cache(cache, folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeping),       cmocka_unit_test(test_bound),
        cmocka_unit_test(test_bound_of_size), cmocka_unit_test(test_spoilt),
        cmocka_unit_test(test_no_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
