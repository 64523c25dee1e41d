#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/text.h"
#include "stats/table.h"
#include "unit/random.h"

struct row {
    struct table_row row;
    unsigned count;
};

static struct row *row_of(struct table *table, const char *name)
{
    return table_row(table, name, strlen(name));
}

static void test_rows(void **state)
{
    struct table table;
    struct row *first;

    (void)state;
    table_init(&table, sizeof(struct row), sizeof(struct row), 3);
    assert_null(table_find(&table, "a", 1));
    first = row_of(&table, "a");
    assert_int_equal(first->count, 0);
    assert_string_equal(first->row.name, "a");
    assert_null(table_find(&table, "b", 1));
    assert_int_equal(table.count, 1);
    assert_ptr_not_equal(row_of(&table, "b"), first);
    assert_ptr_equal(row_of(&table, "a"), first);
    assert_ptr_equal(table_find(&table, "a", 1), first);
    assert_ptr_not_equal(row_of(&table, ""), first);
    assert_int_equal(table.count, 3);
    table_clear(&table);
    assert_int_equal(table.count, 0);
    assert_null(table_find(&table, "a", 1));
}

/* What a name becomes; each is also found under what it was. */
static void test_names(void **state)
{
    static char long_name[3 * TABLE_NAME_MAX], long_text[TABLE_NAME_MAX + 1];
    static char wide_name[TABLE_NAME_MAX + 2], wide_text[TABLE_NAME_MAX];
    static char shrinks[2 * (TABLE_NAME_MAX + 5) + 1], spaces[TABLE_NAME_MAX + 1];
    static const struct {
        const char *name, *given, *want;
    } cases[] = {
        {"plain",                     "GET /x",     "GET /x"       },
        {"empty",                     "",           ""             },
        {"control characters",        "a\x1B[1m\n", "a [1m "       },
        {"not UTF-8",                 "a\xFF",      "a\xEF\xBF\xBD"},
        {"too long",                  long_name,    long_text      },
        {"cut between characters",    wide_name,    wide_text      },
        {"two bytes become one",      shrinks,      spaces         },
        {"what others are folded to", TABLE_OTHER,  TABLE_OTHER    },
    };

    (void)state;
    memset(long_name, 'x', sizeof(long_name) - 1);
    memset(long_text, 'x', sizeof(long_text) - 1);
    memset(wide_name, 'y', sizeof(wide_name) - 1);
    memcpy(wide_name + TABLE_NAME_MAX - 1, "\xC3\xA9", 2);
    memset(wide_text, 'y', sizeof(wide_text) - 1);
    for (size_t i = 0; i + 1 < sizeof(shrinks); i += 2)
        memcpy(shrinks + i, "\xC2\x80", 2);
    memset(spaces, ' ', sizeof(spaces) - 1);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const size_t length = strlen(cases[i].given);
        struct table table;
        const struct row *row;

        table_init(&table, sizeof(struct row), sizeof(struct row), 3);
        row = row_of(&table, cases[i].given);
        if (strcmp(row->row.name, cases[i].want) != 0)
            fail_msg("%s: got '%s'", cases[i].name, row->row.name);
        assert_int_equal(row->row.name_length, strlen(cases[i].want));
        assert_ptr_equal(row_of(&table, cases[i].given), row);
        assert_ptr_equal(row_of(&table, cases[i].want), row);
        assert_ptr_equal(table_find(&table, cases[i].given, length), row);
        assert_int_equal(table.count, 1);
        table_clear(&table);
    }
}

/* At the limit new names fold; known ones keep their rows, and rows their addresses. */
static void test_limit(void **state)
{
    enum { LIMIT = 1000, NAMES = 1500 };
    struct table table;
    struct row *rows[LIMIT];
    char name[32];

    (void)state;
    table_init(&table, sizeof(struct row), sizeof(struct row), LIMIT);
    for (unsigned i = 0; i < NAMES; i++) {
        struct row *row;

        snprintf(name, sizeof(name), "name %u", i);
        row = row_of(&table, name);
        row->count++;
        if (i < LIMIT) {
            rows[i] = row;
            assert_string_equal(row->row.name, name);
        } else {
            assert_ptr_equal(row, table.other);
        }
    }
    assert_int_equal(table.count, LIMIT + 1);
    assert_int_equal(((struct row *)table.other)->count, NAMES - LIMIT);
    assert_ptr_equal(row_of(&table, TABLE_OTHER), table.other);
    for (unsigned i = 0; i < LIMIT; i++) {
        snprintf(name, sizeof(name), "name %u", i);
        assert_ptr_equal(row_of(&table, name), rows[i]);
        assert_int_equal(rows[i]->count, 1);
    }
    assert_null(table_find(&table, "name 1200", 9));
    table_clear(&table);
}

/* "(other)" takes no row from those that have a name of their own. */
static void test_other_is_extra(void **state)
{
    struct table table;

    (void)state;
    table_init(&table, sizeof(struct row), sizeof(struct row), 2);
    row_of(&table, TABLE_OTHER);
    assert_string_equal(row_of(&table, "a")->row.name, "a");
    assert_string_equal(row_of(&table, "b")->row.name, "b");
    assert_string_equal(row_of(&table, "c")->row.name, TABLE_OTHER);
    assert_int_equal(table.count, 3);
    table_clear(&table);
}

/* Two parts find the row of the name that they make, whatever is in them. */
static void test_joined(void **state)
{
    static const char alphabet[] = "ab \n\xC3\xA9\xFF";
    struct random random = random_start("joined names");

    (void)state;
    for (int round = 0; round < 3000; round++) {
        char joined[600];
        const size_t first = (size_t)random_size(&random, 9) % 290;
        const size_t second = (size_t)random_size(&random, 9) % 290;
        const size_t length = first + 1 + second;
        struct table table;
        const void *row;

        for (size_t i = 0; i < length; i++)
            joined[i] = alphabet[random_below(&random, sizeof(alphabet) - 1)];
        joined[first] = ' ';
        table_init(&table, sizeof(struct row), sizeof(struct row), 1);
        row = table_row_joined(&table, joined, first, joined + first + 1, second);
        assert_ptr_equal(table_row(&table, joined, length), row);
        assert_ptr_equal(
            table_row_joined(&table, joined, first, joined + first + 1, second), row);
        assert_int_equal(table.count, 1);
        assert_true(text_is_clean(table.rows[0]->name, table.rows[0]->name_length));
        table_clear(&table);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),   cmocka_unit_test(test_names),
        cmocka_unit_test(test_limit),  cmocka_unit_test(test_other_is_extra),
        cmocka_unit_test(test_joined),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
