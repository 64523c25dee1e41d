#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/arena.h"
#include "base/memory.h"
#include "unit/random.h"

enum { PIECES = 300 };

static bool is_filled(const unsigned char *bytes, size_t size, unsigned char with)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != with)
            return false;
    }
    return true;
}

static bool is_aligned(const void *memory)
{
    return (uintptr_t)memory % _Alignof(max_align_t) == 0;
}

/* Pieces of any size are apart from each other, whatever chunks they came from. */
static void test_pieces_are_apart(void **state)
{
    struct random random = random_start("test_pieces_are_apart");
    struct arena arena = {.chunk = NULL};
    struct {
        unsigned char *memory;
        size_t size;
    } pieces[PIECES];

    (void)state;
    for (size_t i = 0; i < PIECES; i++) {
        pieces[i].size = random_size(&random, 16);
        pieces[i].memory = arena_alloc(&arena, pieces[i].size);
        assert_true(is_aligned(pieces[i].memory));
        memset(pieces[i].memory, (int)i, pieces[i].size);
    }
    for (size_t i = 0; i < PIECES; i++)
        assert_true(is_filled(pieces[i].memory, pieces[i].size, (unsigned char)i));
    arena_clear(&arena);
}

static void test_nothing_is_a_piece_too(void **state)
{
    struct arena arena = {.chunk = NULL};
    const void *const first = arena_alloc(&arena, 0);

    (void)state;
    assert_non_null(first);
    assert_ptr_not_equal(first, arena_alloc(&arena, 0));
    arena_clear(&arena);
}

/* The last piece grows where it is, if there is room; all others move. */
static void test_grow(void **state)
{
    static const struct {
        const char *name;
        size_t size, new_size;
        bool is_last, want_in_place;
    } cases[] = {
        {"the last one",            10,  20,     true,  true },
        {"within its own rounding", 10,  11,     true,  true },
        {"from nothing at all",     0,   30,     true,  true },
        {"not the last one",        10,  20,     false, false},
        {"beyond the chunk",        10,  100000, true,  false},
        {"not last and beyond",     500, 100000, false, false},
        {"to the size that it has", 16,  16,     true,  true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct arena arena = {.chunk = NULL};
        unsigned char *const memory = arena_alloc(&arena, cases[i].size);
        unsigned char *larger, *next;

        memset(memory, 0xA5, cases[i].size);
        if (!cases[i].is_last)
            memset(arena_alloc(&arena, 40), 0x11, 40);
        larger = arena_grow(&arena, memory, cases[i].size, cases[i].new_size);
        if ((larger == memory) != cases[i].want_in_place)
            fail_msg("%s: in place is %d", cases[i].name, larger == memory);
        memset(larger + cases[i].size, 0xA5, cases[i].new_size - cases[i].size);
        next = arena_alloc(&arena, 40);
        memset(next, 0x22, 40);
        if (!is_filled(larger, cases[i].new_size, 0xA5) || !is_filled(next, 40, 0x22))
            fail_msg("%s: it is not what was put there", cases[i].name);
        arena_clear(&arena);
    }
}

static void test_grow_of_null_allocates(void **state)
{
    struct arena arena = {.chunk = NULL};

    (void)state;
    memset(arena_grow(&arena, NULL, 0, 100), 1, 100);
    arena_clear(&arena);
}

/* The body of an answer comes piece by piece, of no known size. */
static void test_grow_step_by_step(void **state)
{
    struct arena arena = {.chunk = NULL};
    unsigned char *bytes = NULL;

    (void)state;
    for (size_t size = 0; size < 5000; size++) {
        bytes = arena_grow(&arena, bytes, size, size + 1);
        bytes[size] = (unsigned char)size;
    }
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(bytes[i], (unsigned char)i);
    arena_clear(&arena);
}

static void use(struct arena *arena, size_t pieces, size_t size)
{
    for (size_t i = 0; i < pieces; i++)
        memset(arena_alloc(arena, size), 7, size);
}

/* A warm arena allocates nothing: what a run asked for comes from where it came from. */
static void test_a_warm_arena_fills_one_chunk(void **state)
{
    struct arena_pool pool = {.spare = {NULL}};
    struct arena arena = {.pool = &pool};
    const struct arena_chunk *chunk = NULL;

    (void)state;
    use(&arena, 10, 1000);
    arena_clear(&arena);
    for (size_t round = 0; round < 100; round++) {
        use(&arena, 1, 1000);
        if (chunk == NULL)
            chunk = arena.chunk;
        use(&arena, 9, 1000);
        assert_ptr_equal(arena.chunk, chunk);
        arena_clear(&arena);
        assert_null(arena.chunk);
    }
    arena_pool_clear(&pool);
}

/* Whoever comes next gets what was given back last; there are as many as were in use at
 * one time. */
static void test_chunks_go_from_one_arena_to_the_next(void **state)
{
    struct arena_pool pool = {.spare = {NULL}};
    struct arena first = {.pool = &pool}, second = {.pool = &pool};
    const struct arena_chunk *of_first, *of_second;

    (void)state;
    use(&first, 1, 100);
    use(&second, 1, 100);
    of_first = first.chunk;
    of_second = second.chunk;
    assert_ptr_not_equal(of_first, of_second);
    arena_clear(&first);
    arena_clear(&second);
    for (size_t round = 0; round < 10; round++) {
        use(&first, 1, 100);
        assert_ptr_equal(first.chunk, of_second);
        use(&second, 1, 100);
        assert_ptr_equal(second.chunk, of_first);
        arena_clear(&second);
        arena_clear(&first);
    }
    arena_pool_clear(&pool);
}

/* The chunk that comes first has room for what was used last, not for the most ever. */
static void test_the_first_chunk_fits(void **state)
{
    static const struct {
        const char *name;
        size_t pieces;
        int from; /* which of the pool's lists the first chunk comes from; -1: none */
    } rounds[] = {
        {"little, at first",     1,  -1},
        {"much, after little",   40, 0 },
        {"much, after much",     40, -1},
        {"little, after much",   1,  6 },
        {"little, after little", 1,  0 },
        {"the same, once more",  1,  0 },
    };
    struct arena_pool pool = {.spare = {NULL}};
    struct arena arena = {.pool = &pool};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rounds); i++) {
        const struct arena_chunk *const waiting =
            rounds[i].from >= 0 ? pool.spare[rounds[i].from] : NULL;

        use(&arena, 1, 1000);
        if (rounds[i].from >= 0 && (waiting == NULL || arena.chunk != waiting))
            fail_msg("%s: it comes from elsewhere", rounds[i].name);
        use(&arena, rounds[i].pieces - 1, 1000);
        arena_clear(&arena);
    }
    arena_pool_clear(&pool);
}

static bool is_empty(const struct arena_pool *pool)
{
    for (size_t i = 0; i < ARENA_SIZES; i++) {
        if (pool->spare[i] != NULL)
            return false;
    }
    return true;
}

static void test_what_is_large_is_freed(void **state)
{
    static const struct {
        const char *name;
        size_t size;
        bool want_kept;
    } cases[] = {
        {"the smallest",     1,                  true },
        {"the largest kept", ARENA_KEPT_MAX,     true },
        {"one byte more",    ARENA_KEPT_MAX + 1, false},
        {"a body",           (size_t)8 << 20,    false},
    };
    struct arena_pool pool = {.spare = {NULL}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct arena arena = {.pool = &pool};

        use(&arena, 1, cases[i].size);
        arena_clear(&arena);
        if (is_empty(&pool) == cases[i].want_kept)
            fail_msg("%s: kept is %d", cases[i].name, !is_empty(&pool));
        use(&arena, 1, 10);
        arena_clear(&arena);
        arena_pool_clear(&pool);
        assert_true(is_empty(&pool));
    }
}

static void test_strndup(void **state)
{
    struct arena arena = {.chunk = NULL};

    (void)state;
    assert_string_equal(arena_strndup(&arena, "hello, world", 5), "hello");
    assert_string_equal(arena_strndup(&arena, "", 0), "");
    arena_clear(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_are_apart),
        cmocka_unit_test(test_nothing_is_a_piece_too),
        cmocka_unit_test(test_grow),
        cmocka_unit_test(test_grow_of_null_allocates),
        cmocka_unit_test(test_grow_step_by_step),
        cmocka_unit_test(test_a_warm_arena_fills_one_chunk),
        cmocka_unit_test(test_chunks_go_from_one_arena_to_the_next),
        cmocka_unit_test(test_the_first_chunk_fits),
        cmocka_unit_test(test_what_is_large_is_freed),
        cmocka_unit_test(test_strndup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
