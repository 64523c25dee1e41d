#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "http/target.h"
#include "http/url_cache.h"

static const char *resolve(struct url_cache *cache, struct arena *arena,
                           const char *base, const char *reference)
{
    return url_cache_resolve(cache, arena, base, target_origin_length(base), reference);
}

/* What is kept is what would be made, and it needs no memory of whoever asks. */
static void test_kept(void **state)
{
    static const struct {
        const char *base, *reference, *want;
    } cases[] = {
        {"http://a/",     "/",             "http://a/"     },
        {"http://a/b/c",  "/",             "http://a/"     },
        {"http://b/",     "/",             "http://b/"     },
        {"http://b/",     "/x?y",          "http://b/x?y"  },
        {"http://b/c/d",  "e",             "http://b/c/e"  },
        {"http://b/c/d/", "e",             "http://b/c/d/e"},
        {"http://b/",     "http://c/../d", "http://c/d"    },
    };
    struct url_cache cache = {.items = {NULL}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct arena arena = {.chunk = NULL};
        const char *const url =
            resolve(&cache, &arena, cases[i].base, cases[i].reference);

        assert_string_equal(url, cases[i].want);
        arena_clear(&arena);
        assert_ptr_equal(resolve(&cache, &arena, cases[i].base, cases[i].reference),
                         url);
        assert_null(arena.chunk);
        assert_string_equal(url, cases[i].want);
    }
    url_cache_clear(&cache);
}

/* More than can be kept: all of them are right, and those that came first stay. */
static void test_many(void **state)
{
    struct url_cache cache = {.items = {NULL}};
    struct arena arena = {.chunk = NULL};
    const char *const first = resolve(&cache, &arena, "http://h/", "/first");

    (void)state;
    for (int i = 0; i < 4 * URLS_CACHED; i++) {
        char reference[32], want[64];

        snprintf(reference, sizeof(reference), "/%d", i);
        snprintf(want, sizeof(want), "http://h/%d", i);
        assert_string_equal(resolve(&cache, &arena, "http://h/", reference), want);
        arena_clear(&arena);
    }
    assert_ptr_equal(resolve(&cache, &arena, "http://h/", "/first"), first);
    assert_string_equal(first, "http://h/first");
    url_cache_clear(&cache);
}

static void test_what_is_not_kept(void **state)
{
    char large[URL_CACHED_SIZE_MAX + 1] = "/";
    struct url_cache cache = {.items = {NULL}};
    struct arena arena = {.chunk = NULL};

    (void)state;
    memset(large + 1, 'x', sizeof(large) - 2);
    for (int again = 0; again < 2; again++) {
        assert_null(resolve(&cache, &arena, "http://h/", "http://[nonsense/"));
        assert_non_null(resolve(&cache, &arena, "http://h/", large));
        assert_non_null(arena.chunk);
        arena_clear(&arena);
    }
    for (size_t i = 0; i < URLS_CACHED; i++)
        assert_null(cache.items[i]);
    url_cache_clear(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_what_is_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
