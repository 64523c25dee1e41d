#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "broker/courier.h"
#include "unit/broker_world.h"

struct post {
    struct world *world;
    struct courier courier;
    struct message_file files[3]; /* "small", "large", and one that is not stored */
};

#define LARGE (COURIER_TRANSIT_MAX / 2 + 1) /* two of them are too much */

/* Agents "a", "b", "c" have the run. */
static int setup(void **state)
{
    static const char *const contents[] = {"small", "large", "lost"};
    struct post *const post = xcalloc(1, sizeof(*post));
    struct message_run spec = world_spec(3);
    struct error err;

    world_setup((void **)&post->world);
    for (size_t i = 0; i < 3; i++) {
        struct message_file *const file = &post->files[i];

        *file =
            (struct message_file){.content = contents[i], .size = strlen(contents[i])};
        digest_of(file->content, file->size, file->digest);
        if (i < 2)
            check(store_put_file(&post->world->store, file, &err), &err);
        world_add_agent(post->world, (char[]){(char)('a' + i), '\0'});
    }
    post->world->run = run_new(&post->world->outside, &spec);
    post->courier = (struct courier){
        .store = &post->world->store, .send = say, .owner = post->world};
    courier_init(&post->courier);
    *state = post;
    return 0;
}

static int teardown(void **state)
{
    struct post *const post = *state;
    struct agent *agent;

    TAILQ_FOREACH (agent, &post->world->roster.agents, link)
        courier_forget(&post->courier, agent);
    assert_int_equal(post->courier.in_transit, 0);
    world_teardown((void **)&post->world);
    free(post);
    return 0;
}

static void ask(struct post *post, const char *name, size_t file, uint64_t size)
{
    courier_ask(&post->courier, world_agent(post->world, name),
                post->files[file].digest, size);
}

static void forget(struct post *post, const char *name)
{
    courier_forget(&post->courier, world_agent(post->world, name));
}

static void test_small_files_go_at_once(void **state)
{
    struct post *const post = *state;

    ask(post, "a", 0, 5);
    ask(post, "b", 0, 5);
    ask(post, "a", 1, 5);
    expect_said(post->world, "a:FILE b:FILE a:FILE");
}

static void test_what_is_not_there_is_refused(void **state)
{
    struct post *const post = *state;

    ask(post, "a", 2, 5);
    expect_said(post->world, "a:REFUSED");
}

/* The others wait in line until it has arrived. */
static void test_large_files_wait(void **state)
{
    struct post *const post = *state;

    ask(post, "a", 1, LARGE);
    ask(post, "b", 1, LARGE);
    ask(post, "c", 0, 5); /* not before its turn */
    expect_said(post->world, "a:FILE");
    ask(post, "a", 0, 5); /* so it has the large one */
    expect_said(post->world, "b:FILE c:FILE a:FILE");
    forget(post, "b");
    forget(post, "c");
    assert_int_equal(post->courier.in_transit, 5);
}

/* One that is larger than all that may be on its way goes alone. */
static void test_very_large_file(void **state)
{
    struct post *const post = *state;

    ask(post, "a", 1, 10 * COURIER_TRANSIT_MAX);
    ask(post, "b", 0, 5);
    expect_said(post->world, "a:FILE");
    forget(post, "a");
    expect_said(post->world, "b:FILE");
}

/* Asking again while it is on its way changes nothing; later, it may have been lost. */
static void test_again(void **state)
{
    struct post *const post = *state;

    ask(post, "a", 1, LARGE);
    ask(post, "a", 1, LARGE);
    ask(post, "b", 1, LARGE);
    ask(post, "b", 1, LARGE);
    expect_said(post->world, "a:FILE");
    for (unsigned i = 0; i < COURIER_PATIENCE; i++)
        courier_tick(&post->courier);
    expect_said(post->world, "");
    courier_tick(&post->courier);
    expect_said(post->world, "b:FILE");
    ask(post, "a", 1, LARGE);
    forget(post, "b");
    expect_said(post->world, "a:FILE");
}

#define COURIER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        COURIER_TEST(test_small_files_go_at_once),
        COURIER_TEST(test_what_is_not_there_is_refused),
        COURIER_TEST(test_large_files_wait),
        COURIER_TEST(test_very_large_file),
        COURIER_TEST(test_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
