#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/memory.h"
#include "http/curl_addresses.h"

/* --- a handle, and the addresses of a name ---------------------------------------------- */

struct world {
    struct curl_addresses of_handle;
    struct addresses *of_name;
    struct target target;
};

static union address address_of(const char *text)
{
    union address address = {.any.sa_family = AF_INET};

    if (inet_pton(AF_INET, text, &address.v4.sin_addr) == 1)
        return address;
    address.any.sa_family = AF_INET6;
    assert_int_equal(inet_pton(AF_INET6, text, &address.v6.sin6_addr), 1);
    return address;
}

static struct addresses *name_of(uint64_t version, const char *const *texts,
                                 size_t count)
{
    struct addresses *const addresses =
        xcalloc(1, sizeof(*addresses) + count * sizeof(addresses->items[0]));

    addresses->holders = 1;
    addresses->version = version;
    addresses->count = count;
    for (size_t i = 0; i < count; i++)
        addresses->items[i] = address_of(texts[i]);
    return addresses;
}

static void world_open(struct world *world, const char *const *texts, size_t count)
{
    static char host[] = "a.test";

    *world = (struct world){
        .of_handle.easy = curl_easy_init(),
        .of_name = name_of(1, texts, count),
        .target = {.host = host, .port = 81}
    };
    assert_non_null(world->of_handle.easy);
}

static void world_close(struct world *world)
{
    curl_addresses_clear(&world->of_handle);
    curl_easy_cleanup(world->of_handle.easy);
    assert_int_equal(world->of_name->holders, 1);
    addresses_release(world->of_name);
}

/* One request, and what libcurl has been told last when it begins. */
static void expect_given(struct world *world, const char *want)
{
    curl_addresses_set(&world->of_handle, world->of_name, &world->target);
    assert_string_equal(world->of_handle.list->data, want);
    assert_null(world->of_handle.list->next);
    curl_addresses_unset(&world->of_handle);
}

static void try_address(struct world *world, const char *text)
{
    const union address address = address_of(text);

    curl_addresses_note_tried(&world->of_handle, &address.any);
}

#define WORLD_OF(world, ...) \
    world_open(&(world), (const char *const[]){__VA_ARGS__}, \
               ARRAY_SIZE(((const char *const[]){__VA_ARGS__})))

/* --- what libcurl is given ---------------------------------------------------------------- */

static void test_turns(void **state)
{
    struct world world;

    (void)state;
    WORLD_OF(world, "10.0.0.1", "10.0.0.2", "::1");
    expect_given(&world, "+a.test:81:10.0.0.1,10.0.0.2,[::1]");
    expect_given(&world, "+a.test:81:10.0.0.1,10.0.0.2,[::1]"); /* it knows them */
    curl_addresses_forget_given(&world.of_handle);
    expect_given(&world, "+a.test:81:10.0.0.2,[::1],10.0.0.1");
    world.target.port = 82;
    expect_given(&world, "+a.test:82:10.0.0.1,10.0.0.2,[::1]");
    world.target.port = 81;
    expect_given(&world, "+a.test:82:10.0.0.1,10.0.0.2,[::1]");
    world.of_name->version++; /* they were looked up again */
    expect_given(&world, "+a.test:81:10.0.0.2,[::1],10.0.0.1");
    world_close(&world);
}

static void test_untried(void **state)
{
    struct world world;

    (void)state;
    WORLD_OF(world, "10.0.0.1", "::1", "::2", "10.0.0.2");
    assert_false(
        curl_addresses_has_untried(&world.of_handle)); /* nothing is under way */
    curl_addresses_set(&world.of_handle, world.of_name, &world.target);
    try_address(&world, "::1");
    try_address(&world, "10.0.0.9"); /* of another look-up */
    assert_true(curl_addresses_has_untried(&world.of_handle));
    curl_addresses_give_untried(&world.of_handle, &world.target);
    assert_string_equal(world.of_handle.list->data,
                        "+a.test:81:10.0.0.2,10.0.0.1,[::2]");
    try_address(&world, "10.0.0.1");
    try_address(&world, "::2");
    curl_addresses_give_untried(&world.of_handle, &world.target);
    assert_string_equal(world.of_handle.list->data, "+a.test:81:10.0.0.2");
    try_address(&world, "10.0.0.2");
    assert_false(curl_addresses_has_untried(&world.of_handle));
    curl_addresses_unset(&world.of_handle);
    /* The next request may try all of them, in the next turn. */
    expect_given(&world, "+a.test:81:10.0.0.2,10.0.0.1,[::1],[::2]");
    world_close(&world);
}

/* As many as there can be: none is lost for want of bits. */
static void test_most_addresses(void **state)
{
    const char *texts[ADDRESSES_MAX];
    char numbers[ADDRESSES_MAX][INET_ADDRSTRLEN];
    struct world world;

    (void)state;
    for (size_t i = 0; i < ADDRESSES_MAX; i++) {
        const struct in_addr number = {htonl(0x0A000000u + (uint32_t)i)};

        texts[i] = inet_ntop(AF_INET, &number, numbers[i], sizeof(numbers[i]));
    }
    world_open(&world, texts, ADDRESSES_MAX);
    curl_addresses_set(&world.of_handle, world.of_name, &world.target);
    for (size_t i = 0; i < ADDRESSES_MAX; i++) {
        assert_true(curl_addresses_has_untried(&world.of_handle));
        try_address(&world, texts[i]);
    }
    assert_false(curl_addresses_has_untried(&world.of_handle));
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_untried),
        cmocka_unit_test(test_most_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
