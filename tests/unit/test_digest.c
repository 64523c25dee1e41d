#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/digest.h"
#include "base/memory.h"

#define OF_NOTHING "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define OF_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

/* The examples of FIPS 180-2. */
static void test_known(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"",                                                         OF_NOTHING},
        {"abc",                                                      OF_ABC    },
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"    },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[DIGEST_SIZE];

        digest_of(cases[i].text, strlen(cases[i].text), text);
        assert_string_equal(text, cases[i].want);
    }
}

static void test_in_parts(void **state)
{
    struct digest digest;
    char text[DIGEST_SIZE];

    (void)state;
    digest_init(&digest);
    digest_add(&digest, "a", 1);
    digest_add(&digest, NULL, 0);
    digest_add(&digest, "bc", 2);
    digest_finish(&digest, text);
    assert_string_equal(text, OF_ABC);
    assert_null(digest.state);
}

static void test_is_one(void **state)
{
    static const struct {
        const char *text;
        size_t length;
        bool want;
    } cases[] = {
        {OF_ABC,                                                              64, true },
        {OF_ABC "00",                                                         64, true }, /* only so much of it */
        {OF_ABC,                                                              63, false},
        {OF_ABC "0",                                                          65, false},
        {"",                                                                  0,  false},
        {"BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",  64, false},
        {"ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",  64, false},
        {"../816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",  64, false},
        {"ba7816bf8f01cfea414140de5dae222\0b00361a396177a9cb410ff61f20015ad", 64,
         false                                                                         },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (digest_is_one(cases[i].text, cases[i].length) != cases[i].want)
            fail_msg("case %zu", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_in_parts),
        cmocka_unit_test(test_is_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
