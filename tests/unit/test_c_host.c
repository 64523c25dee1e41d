#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/loop.h"
#include "base/memory.h"
#include "scenario/c_build.h"
#include "scenario/c_stamp.h"
#include "scenario/host.h"

#define SOURCE "#include <molotov.h>\nSCENARIO(a)\n{\n}\n"

static char folder[] = "/tmp/molotov-test-c-host-XXXXXX";
static int folder_fd;

static void write_file(const char *path, const char *text)
{
    struct error err;

    if (file_write(path, text, strlen(text), 0600, &err) == -1)
        fail_msg("%s", err.message);
}

/* --- which files -------------------------------------------------------------------------- */

static size_t count_of(const struct text_list *list, const char *text)
{
    size_t count = 0;

    for (size_t i = 0; i < list->count; i++)
        count += strcmp(list->items[i], text) == 0;
    return count;
}

static void expect_files(const char *test, const char *const *want, size_t count)
{
    struct text_list files = {.items = NULL};
    struct job job = {.test = (char *)test};
    struct error err;

    if (host_c.list_files(&job, &files, &err) == -1)
        fail_msg("%s", err.message);
    assert_string_equal(files.items[0], want[0]); /* the others in any order */
    for (size_t i = 0; i < count; i++) {
        if (count_of(&files, want[i]) != 1)
            fail_msg("'%s' is there %zu times", want[i], count_of(&files, want[i]));
    }
    assert_int_equal(files.count, count);
    text_list_clear(&files);
}

static void test_files_of_a_source(void **state)
{
    static const char *const want[] = {"test.c", "own.h", "sub/deep.h", "sub/deeper.h"};
    char *const absolute = xasprintf("%s/test.c", folder);
    char *const header = xasprintf("%s/own.h", folder);
    char *const deep = xasprintf("%s/sub/deep.h", folder);
    char *const deeper = xasprintf("%s/sub/deeper.h", folder);
    const char *const want_absolute[] = {absolute, header, deep, deeper};
    struct error err;

    (void)state;
    assert_int_equal(folder_make("sub", &err), 0);
    write_file("own.h", "#pragma once\n#include <stdio.h>\n#include \"sub/deep.h\"\n");
    write_file("sub/deep.h", "#include \"deeper.h\"\n");
    write_file("sub/deeper.h", "#include \"../own.h\"\n");
    write_file("test.c", SOURCE "#include \"own.h\"\n#include <openssl/evp.h>\n");
    expect_files("test.c", want, ARRAY_SIZE(want));
    expect_files(absolute, want_absolute, ARRAY_SIZE(want_absolute));
    free(absolute);
    free(header);
    free(deep);
    free(deeper);
}

/* What flags add; and what is installed stays where it is. */
static void test_files_by_flags(void **state)
{
    static const char *const want[] = {"test.c", "forced.h", "up/common.h", "more.c",
                                       "object.o"};
    static const char *const chosen[] = {"test.c",   "forced.h", "up/common.h",
                                         "chosen.h", "more.c",   "object.o"};
    struct error err;

    (void)state;
    assert_int_equal(folder_make("up", &err), 0);
    write_file("up/common.h", "");
    write_file("forced.h", "");
    write_file("chosen.h", "");
    write_file("more.c", "#include \"forced.h\"\n");
    write_file("object.o", "");
    write_file("test.c", "// molotov: -Iup -I/usr/include/openssl -include forced.h\n"
                         "// molotov: more.c object.o -lm\n" SOURCE
                         "#include <common.h>\n#include \"evp.h\"\n"
                         "#ifdef CHOSEN\n#include \"chosen.h\"\n#endif\n");
    expect_files("test.c", want, ARRAY_SIZE(want));
    setenv("CC", "cc -DCHOSEN", 1);
    expect_files("test.c", chosen, ARRAY_SIZE(chosen));
    unsetenv("CC");
}

/* As the compiler writes them for make. */
static void test_files_with_odd_names(void **state)
{
    static const char *const names[] = {
        "a b.h",    "tab\there.h",   "dollar$.h", "$$.h",          "#.h",
        "colon:.h", "back\\slash.h", "b\\ c.h",   "caf\xc3\xa9.h", "'quote'.h"};
    const char *want[1 + ARRAY_SIZE(names)] = {"odd test.c"};
    struct buffer source = BUFFER_INIT;

    (void)state;
    buffer_add_text(&source, SOURCE);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        write_file(names[i], "");
        buffer_printf(&source, "#include \"%s\"\n", names[i]);
        want[1 + i] = names[i];
    }
    write_file(want[0], buffer_text(&source));
    expect_files(want[0], want, ARRAY_SIZE(want));
    buffer_clear(&source);
}

static void test_files_of_an_object(void **state)
{
    static const char *const want[] = {"test.so"};

    (void)state;
    expect_files("test.so", want, 1);
    assert_null(host_url.list_files);
}

/* --- loading ------------------------------------------------------------------------------ */

/* stderr, while `said` gets it. */
static int silence(int *ret_before)
{
    const int said = open("said", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    *ret_before = dup(STDERR_FILENO);
    dup2(said, STDERR_FILENO);
    return said;
}

static off_t end_silence(int said, int before)
{
    const off_t size = lseek(said, 0, SEEK_END);

    dup2(before, STDERR_FILENO);
    close(before);
    close(said);
    return size;
}

static struct test test_of_host(void)
{
    return (struct test){.host = &host_c};
}

static void expect_loaded(const struct job *job)
{
    struct test test = test_of_host();
    struct error err;

    if (host_c.load(job, &test, &err) == -1)
        fail_msg("%s", err.message);
    assert_int_equal(test.scenario_count, 1);
    assert_string_equal(test.scenarios[0].name, "a");
    host_c.unload(&test);
    test_clear(&test);
}

/* Nothing goes to stderr: the person who wants to know is not on this host. */
static void expect_not_loaded(const struct job *job, const char *const *wants)
{
    struct test test = test_of_host();
    struct error err = {.message = ""};
    int before;
    const int said = silence(&before);
    const int rc = host_c.load(job, &test, &err);

    assert_int_equal(end_silence(said, before), 0);
    assert_int_equal(rc, -1);
    assert_null(test.data);
    for (; *wants != NULL; wants++)
        if (strstr(err.message, *wants) == NULL)
            fail_msg("'%s' is not in '%s'", *wants, err.message);
    assert_null(strchr(err.message, '\n'));
    test_clear(&test);
}

static void test_compiled_where_it_is_loaded(void **state)
{
    static const char *const objects[] = {NULL, "/no/such/object.so", "junk.so"};

    (void)state;
    write_file("test.c", SOURCE);
    write_file("junk.so", "not an object");
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
        const struct job job = {.test = (char *)"test.c", .object = (char *)objects[i]};

        expect_loaded(&job);
    }
}

/* An object that fits is enough, without source and compiler. */
static void test_loaded_as_it_came(void **state)
{
    struct job job = {.test = (char *)"test.c"};
    struct error err;

    (void)state;
    write_file("test.c", SOURCE);
    assert_int_equal(host_c.prepare(&job, &err), 0);
    unlink("test.c");
    setenv("CC", "/no/such/compiler", 1);
    expect_loaded(&job);
    assert_int_equal(rename(job.object, "came.so"), 0);
    expect_loaded(&(const struct job){.test = (char *)"came.so"});
    unsetenv("CC");
    free(job.object);
}

static void test_does_not_compile_here(void **state)
{
    static const char *const wants[] = {
        "'test.c' does not compile: ", "test.c:5:", "error:", "no_such_variable", NULL};
    static const char *const with_object[] = {
        "it must be compiled here, since 'junk.so' ", "no ABI stamp",
        "'test.c' does not compile: ", "no_such_variable", NULL};
    struct job job = {.test = (char *)"test.c"};

    (void)state;
    write_file("test.c", SOURCE "int f(void) { return no_such_variable; }\n");
    write_file("junk.so", "not an object");
    expect_not_loaded(&job, wants);
    job.object = (char *)"junk.so";
    expect_not_loaded(&job, with_object);
}

/* A compiler can say a lot: its first words are what counts. */
static void test_long_complaint(void **state)
{
    static const char *const wants[] = {"does not compile", "no_such_variable_0", NULL};
    struct buffer source = BUFFER_INIT;

    (void)state;
    buffer_add_text(&source, SOURCE);
    for (int i = 0; i < 2000; i++)
        buffer_printf(&source, "int f%d(void) { return no_such_variable_%d; }\n", i, i);
    write_file("test.c", buffer_text(&source));
    expect_not_loaded(&(const struct job){.test = (char *)"test.c"}, wants);
    buffer_clear(&source);
}

/* A source whose text has no end, once its includes are in. */
static void test_endless_source(void **state)
{
    static const char *const wants[] = {"does not compile", NULL};
    struct buffer bomb = BUFFER_INIT;

    (void)state;
    for (int i = 0; i < 1000; i++)
        buffer_add_text(&bomb, "a long line of text that fills the pipe, so that it "
                               "does not take long to see that it has no end;\n");
    buffer_add_text(&bomb, "#include \"bomb.h\"\n#include \"bomb.h\"\n");
    write_file("bomb.h", buffer_text(&bomb));
    write_file("test.c", SOURCE "#include \"bomb.h\"\n");
    expect_not_loaded(&(const struct job){.test = (char *)"test.c"}, wants);
    buffer_clear(&bomb);
}

static void test_no_compiler_here(void **state)
{
    static const char *const wants[] = {"this host has no compiler '/no/such/compiler'",
                                        NULL};

    (void)state;
    write_file("test.c", SOURCE);
    setenv("CC", "/no/such/compiler", 1);
    expect_not_loaded(&(const struct job){.test = (char *)"test.c"}, wants);
    unsetenv("CC");
}

static void test_object_that_does_not_fit(void **state)
{
    static const char *const no_stamp[] = {"junk.so", "no ABI stamp", NULL};
    static const char *const not_there[] = {"/no/such/test.so", NULL};

    (void)state;
    write_file("junk.so", "not an object");
    expect_not_loaded(&(const struct job){.test = (char *)"junk.so"}, no_stamp);
    expect_not_loaded(
        &(const struct job){.test = (char *)"test.so", .object = (char *)"junk.so"},
        no_stamp);
    expect_not_loaded(&(const struct job){.test = (char *)"/no/such/test.so"},
                      not_there);
}

/* --- which agent -------------------------------------------------------------------------- */

/* What a global fixture prints. */
static void run_fixture(const struct job *job, enum test_fixture fixture,
                        struct delta *delta)
{
    struct test test = test_of_host();
    struct error err;
    struct crew crew = {
        .loop = loop_new(),
        .job = job,
        .test = &test,
        .delta = delta,
        .started_us = clock_us(),
        .process = -1,
    };

    if (host_c.load(job, &test, &err) == -1)
        fail_msg("%s", err.message);
    assert_true(test.has[fixture]);
    crew_open(&crew, 0);
    if (host_c.run_global(&test, &crew, fixture, &err) == -1)
        fail_msg("%s", err.message);
    crew_close(&crew);
    ev_loop_destroy(crew.loop);
    host_c.unload(&test);
    test_clear(&test);
}

static void test_agent(void **state)
{
    static const struct {
        long index, count;
        const char *setup, *teardown;
    } cases[] = {
        {0, 0, "agent 0 0 of 0",       "agent 0"      },
        {0, 1, "[A:0] agent 0 0 of 1", "[A:0] agent 0"},
        {2, 5, "[A:2] agent 2 2 of 5", "[A:2] agent 2"},
    };

    (void)state;
    write_file("test.c", SOURCE
               "GLOBAL_SETUP()\n{\n"
               "    mlt_print(\"agent %ld %ld of %ld\", mlt_agent_index(session),\n"
               "              args->agent, args->agents);\n}\n"
               "GLOBAL_TEARDOWN()\n{\n"
               "    mlt_print(\"agent %ld\", mlt_agent_index(session));\n}\n");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct job job;
        struct delta delta;

        job_init(&job);
        free(job.test);
        job.test = xstrdup("test.c");
        job.agent_index = cases[i].index;
        job.agent_count = cases[i].count;
        delta_init(&delta);
        run_fixture(&job, FIXTURE_GLOBAL_SETUP, &delta);
        run_fixture(&job, FIXTURE_GLOBAL_TEARDOWN, &delta);
        assert_int_equal(delta.lines.count, 2);
        assert_string_equal(lines_at(&delta.lines, 0)->text, cases[i].setup);
        assert_string_equal(lines_at(&delta.lines, 1)->text, cases[i].teardown);
        delta_clear(&delta);
        job_clear(&job);
    }
}

/* --- the folder of all this --------------------------------------------------------------- */

static int make_folder(void **state)
{
    char *cache;

    (void)state;
    folder_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (mkdtemp(folder) == NULL || chdir(folder) == -1)
        return -1;
    cache = xasprintf("%s/cache", folder);
    setenv("XDG_CACHE_HOME", cache, 1);
    unsetenv("CC");
    free(cache);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return fchdir(folder_fd) == -1 ? -1 : folder_remove(folder, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_of_a_source),
        cmocka_unit_test(test_files_by_flags),
        cmocka_unit_test(test_files_with_odd_names),
        cmocka_unit_test(test_files_of_an_object),
        cmocka_unit_test(test_compiled_where_it_is_loaded),
        cmocka_unit_test(test_loaded_as_it_came),
        cmocka_unit_test(test_does_not_compile_here),
        cmocka_unit_test(test_long_complaint),
        cmocka_unit_test(test_endless_source),
        cmocka_unit_test(test_no_compiler_here),
        cmocka_unit_test(test_object_that_does_not_fit),
        cmocka_unit_test(test_agent),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
