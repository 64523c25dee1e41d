#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <ftw.h>
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MLT_NO_STAMP
#include "include/molotov.h"

#include "base/memory.h"
#include "scenario/c_build.h"
#include "scenario/c_stamp.h"
#include "unit/random.h"

#define PAGE 4096u /* a file of whole pages: who reads beyond it finds nothing mapped */

static char folder[] = "/tmp/molotov-test-stamp-XXXXXX";
static char path[100];

/* --- objects ----------------------------------------------------------------------------- */

/* The least of an ELF file that has a stamp: head, stamp, names, table of sections. */
struct object {
    Elf64_Ehdr head;
    char stamp[256];
    char names[32];
    Elf64_Shdr sections[3];
};

static struct object object_with(const char *stamp)
{
    static const char names[] = "\0.shstrtab\0molotov_abi";
    struct object object;

    memset(&object, 0, sizeof(object));
    memcpy(object.head.e_ident, ELFMAG, SELFMAG);
    object.head.e_ident[EI_CLASS] = ELFCLASS64;
    object.head.e_ident[EI_DATA] = ELFDATA2LSB;
    object.head.e_shoff = offsetof(struct object, sections);
    object.head.e_shentsize = sizeof(Elf64_Shdr);
    object.head.e_shnum = ARRAY_SIZE(object.sections);
    object.head.e_shstrndx = 1;
    memcpy(object.names, names, sizeof(names));
    object.sections[1] = (Elf64_Shdr){.sh_name = 1,
                                      .sh_type = SHT_STRTAB,
                                      .sh_offset = offsetof(struct object, names),
                                      .sh_size = sizeof(names)};
    object.sections[2] = (Elf64_Shdr){.sh_name = 11,
                                      .sh_type = SHT_PROGBITS,
                                      .sh_offset = offsetof(struct object, stamp),
                                      .sh_size = strlen(stamp) + 1};
    snprintf(object.stamp, sizeof(object.stamp), "%s", stamp);
    return object;
}

static void write_file(const void *data, size_t size)
{
    FILE *const file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static int check(const void *data, size_t size, struct error *err)
{
    write_file(data, size);
    return c_check_stamp(path, err);
}

static void refuse(const char *name, const void *data, size_t size)
{
    struct error err = {.message = ""};

    if (check(data, size, &err) == 0 || strstr(err.message, path) == NULL)
        fail_msg("%s: '%s'", name, err.message);
}

/* --- what a stamp says ------------------------------------------------------------------- */

static const char *libc_of(int more)
{
    static char text[32];
    int major = 0, minor = 0;

    sscanf(gnu_get_libc_version(), "%d.%d", &major, &minor);
    snprintf(text, sizeof(text), "glibc-%d.%d", major, minor + more);
    return text;
}

static const char *stamp_of(int api, const char *machine, const char *libc,
                            const char *sanitizer)
{
    static char text[256];

    snprintf(text, sizeof(text), "molotov-abi api=%d machine=%s libc=%s sanitizer=%s",
             api, machine, libc, sanitizer);
    return text;
}

static void test_stamps(void **state)
{
    static const struct {
        const char *name;
        int api;
        const char *machine, *libc, *sanitizer;
        const char *want; /* in the error; NULL: it is taken */
    } cases[] = {
        {"this very one",        MLT_API_VERSION,     MLT_MACHINE_, MLT_LIBC_,     MLT_SANITIZER_,
         NULL                                                                                                    },
        {"no sanitizer",         MLT_API_VERSION,     MLT_MACHINE_, MLT_LIBC_,     "none",         NULL          },
        {"an older libc",        MLT_API_VERSION,     MLT_MACHINE_, "glibc-2.17",  "none",         NULL          },
        {"an older major libc",  MLT_API_VERSION,     MLT_MACHINE_, "glibc-1.99",  "none",
         NULL                                                                                                    },
        {"a newer libc",         MLT_API_VERSION,     MLT_MACHINE_, "glibc-2.999", "none",
         "glibc-2.999"                                                                                           },
        {"a newer major libc",   MLT_API_VERSION,     MLT_MACHINE_, "glibc-3.0",   "none",
         "glibc-3.0"                                                                                             },
        {"another libc",         MLT_API_VERSION,     MLT_MACHINE_, "libc",        "none",         "libc"        },
        {"a newer header",       MLT_API_VERSION + 1, MLT_MACHINE_, MLT_LIBC_,     "none",
         "version"                                                                                               },
        {"an older header",      MLT_API_VERSION - 1, MLT_MACHINE_, MLT_LIBC_,     "none",
         "version"                                                                                               },
        {"another machine",      MLT_API_VERSION,     "riscv64",    MLT_LIBC_,     "none",         "riscv64"     },
        {"the start of ours",    MLT_API_VERSION,     "x86",        MLT_LIBC_,     "none",         "x86"         },
        {"another sanitizer",    MLT_API_VERSION,     MLT_MACHINE_, MLT_LIBC_,     "thread",
         "thread"                                                                                                },
        {"an unknown sanitizer", MLT_API_VERSION,     MLT_MACHINE_, MLT_LIBC_,     "x",
         "x sanitizer"                                                                                           },
        {"no machine",           MLT_API_VERSION,     "",           MLT_LIBC_,     "none",         "no ABI stamp"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct object object = object_with(stamp_of(
            cases[i].api, cases[i].machine, cases[i].libc, cases[i].sanitizer));
        struct error err = {.message = ""};
        const int rc = check(&object, sizeof(object), &err);

        if ((rc == 0) != (cases[i].want == NULL) ||
            (rc == -1 && strstr(err.message, cases[i].want) == NULL))
            fail_msg("%s: %d, '%s'", cases[i].name, rc, err.message);
    }
}

/* The version of this host's libc decides, not that of the host it was built on. */
static void test_libc_of_this_host(void **state)
{
    struct object object =
        object_with(stamp_of(MLT_API_VERSION, MLT_MACHINE_, libc_of(0), "none"));
    struct error err;

    (void)state;
    assert_int_equal(check(&object, sizeof(object), &err), 0);
    object = object_with(stamp_of(MLT_API_VERSION, MLT_MACHINE_, libc_of(1), "none"));
    assert_int_equal(check(&object, sizeof(object), &err), -1);
}

static void test_texts_that_are_no_stamp(void **state)
{
    static const char *const texts[] = {
        "",
        "molotov-abi",
        "molotov-abi api=",
        "molotov-abi api=x machine=y",
        "another-abi api=1 machine=x86_64 libc=glibc-2.36 sanitizer=none",
        "molotov-abi api=1 machine=x86_64 libc=glibc-2.36",
        "molotov-abi api=99999999999999999999 machine=x86_64 libc=a sanitizer=b",
        "molotov-abi api=1 machine=0123456789012345678901234567890123456789 libc=a "
        "sanitizer=none",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        const struct object object = object_with(texts[i]);

        refuse(texts[i], &object, sizeof(object));
    }
}

/* The stamp is the section's bytes, whatever follows them. */
static void test_stamp_without_an_end(void **state)
{
    struct object object = object_with(MLT_ABI);
    struct error err;

    (void)state;
    object.sections[2].sh_size = strlen(MLT_ABI);
    memset(object.stamp + strlen(MLT_ABI), 'x', sizeof(object.stamp) - strlen(MLT_ABI));
    assert_int_equal(check(&object, sizeof(object), &err), 0);
    object.sections[2].sh_size = sizeof(object) - object.sections[2].sh_offset;
    refuse("a section up to the end of the file", &object, sizeof(object));
}

/* --- files that are none --------------------------------------------------------------------- */

static void test_no_file(void **state)
{
    struct error err;

    (void)state;
    unlink(path);
    assert_int_equal(c_check_stamp(path, &err), -1);
    assert_non_null(strstr(err.message, "No such file"));
    assert_int_equal(c_check_stamp(folder, &err), -1);
    assert_int_equal(c_check_stamp("/dev/null", &err), -1);
    assert_int_equal(c_check_stamp(path, NULL), -1); /* nobody asks why */
    refuse("an empty one", "", 0);
    refuse("a text", "int x;\n", 7);
}

#define FIELD(member) \
    { \
        offsetof(struct object, member), sizeof(((struct object *)NULL)->member) \
    }

static void test_numbers_that_lie(void **state)
{
    static const struct {
        size_t offset, size;
    } fields[] = {
        FIELD(head.e_shoff),          FIELD(head.e_shnum),
        FIELD(head.e_shstrndx),       FIELD(head.e_shentsize),
        FIELD(sections[1].sh_offset), FIELD(sections[1].sh_size),
        FIELD(sections[2].sh_name),   FIELD(sections[2].sh_offset),
        FIELD(sections[2].sh_size),
    };
    static const uint64_t numbers[] = {
        3,
        4,
        64,
        PAGE - 64,
        PAGE - 8,
        PAGE,
        PAGE + 8,
        UINT16_MAX,
        INT32_MAX,
        UINT32_MAX,
        INT64_MAX,
        (uint64_t)INT64_MIN,
        0,
        UINT64_MAX,
        UINT64_MAX - 7,
        UINT64_MAX - PAGE,
    };
    unsigned char file[PAGE];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(fields) * ARRAY_SIZE(numbers); i++) {
        const struct object object = object_with(MLT_ABI);
        const uint64_t number = numbers[i / ARRAY_SIZE(fields)];

        memset(file, 'x', sizeof(file));
        memcpy(file, &object, sizeof(object));
        memcpy(file + fields[i % ARRAY_SIZE(fields)].offset, &number,
               fields[i % ARRAY_SIZE(fields)].size);
        check(file, sizeof(file), NULL); /* or it reads beyond what is mapped */
    }
}

static void test_truncated(void **state)
{
    const struct object object = object_with(MLT_ABI);

    (void)state;
    for (size_t size = 0; size < sizeof(object); size++)
        refuse("truncated", &object, size);
    assert_int_equal(check(&object, sizeof(object), NULL), 0);
}

/* At the end of the last page, where nothing is mapped behind it. */
static void test_mutated(void **state)
{
    struct random random = random_start("test_mutated");
    const struct object object = object_with(MLT_ABI);
    unsigned char file[PAGE];

    (void)state;
    for (int round = 0; round < 5000; round++) {
        memset(file, 0xFF, sizeof(file));
        memcpy(file, &object, sizeof(object));
        for (uint64_t left = 1 + random_below(&random, 3); left > 0; left--) {
            const size_t at = random_chance(&random, 50)
                                  ? random_below(&random, sizeof(object.head))
                                  : random_below(&random, sizeof(object));

            file[at] = (unsigned char)random_bits(&random);
        }
        check(file, sizeof(file), NULL);
    }
}

static void test_no_section(void **state)
{
    struct object object = object_with(MLT_ABI);

    (void)state;
    object.names[11] = 'M';
    refuse("of another name", &object, sizeof(object));
    object = object_with(MLT_ABI);
    object.sections[1].sh_size = 11 + strlen("molot");
    refuse("of a name that goes on behind the names", &object, sizeof(object));
    object = object_with(MLT_ABI);
    object.head.e_shnum = 2;
    refuse("behind the last", &object, sizeof(object));
    object.head.e_shnum = 0;
    refuse("of none", &object, sizeof(object));
    object = object_with(MLT_ABI);
    object.head.e_ident[EI_CLASS] = ELFCLASS32;
    refuse("of 32 bits", &object, sizeof(object));
    object = object_with(MLT_ABI);
    object.head.e_ident[0] = 0;
    refuse("of no ELF", &object, sizeof(object));
}

/* --- building ---------------------------------------------------------------------------- */

#define SOURCE "#include <molotov.h>\nSCENARIO(a)\n{\n}\n"

static char *source_path(const char *name)
{
    return xasprintf("%s/%s", folder, name);
}

static void write_source(const char *name, const char *text)
{
    char *const source = source_path(name);
    FILE *const file = fopen(source, "we");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    free(source);
}

/* The object of test.c, which the caller frees; or NULL. */
static char *build(struct error *err)
{
    char *const source = source_path("test.c");
    char *object = NULL;

    if (c_build(source, C_SAID_SHOWN, &object, err) == -1)
        assert_null(object);
    free(source);
    return object;
}

static char *build_text(const char *text)
{
    struct error err;
    char *object;

    write_source("test.c", text);
    object = build(&err);
    if (object == NULL)
        fail_msg("%s", err.message);
    return object;
}

static ino_t inode_of(const char *file)
{
    struct stat info;

    assert_int_equal(stat(file, &info), 0);
    return info.st_ino;
}

static void test_built_once(void **state)
{
    struct error err;
    char *const first = build_text(SOURCE);
    const ino_t inode = inode_of(first);
    char *const second = build_text(SOURCE);

    (void)state;
    assert_int_equal(c_check_stamp(first, &err), 0);
    assert_string_equal(first, second);
    assert_int_equal(inode_of(second), inode);
    free(first);
    free(second);
}

/* Whatever the compiler reads or is told makes another object. */
static void test_built_anew(void **state)
{
    static const struct {
        const char *name, *source, *header, *cc;
    } cases[] = {
        {"as at first",          SOURCE "#include \"own.h\"\n",                     "int x;", "cc"    },
        {"other code",           SOURCE "#include \"own.h\"\nint y;\n",             "int x;", "cc"    },
        {"another include",      SOURCE "#include \"own.h\"\n",                     "int z;", "cc"    },
        {"a flag",               "// molotov: -DX\n" SOURCE "#include \"own.h\"\n", "int x;", "cc"    },
        {"another flag",         "// molotov: -DY\n" SOURCE "#include \"own.h\"\n", "int x;",
         "cc"                                                                                         },
        {"a flag of the user's", SOURCE "#include \"own.h\"\n",                     "int x;", "cc -DX"},
    };
    char *objects[ARRAY_SIZE(cases)];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        write_source("own.h", cases[i].header);
        setenv("CC", cases[i].cc, 1);
        objects[i] = build_text(cases[i].source);
        for (size_t k = 0; k < i; k++) {
            if (strcmp(objects[i], objects[k]) == 0)
                fail_msg("%s: is what was '%s'", cases[i].name, cases[k].name);
        }
    }
    unsetenv("CC");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        free(objects[i]);
}

/* What is only linked is not in what the compiler reads, but makes another object, too. */
static void test_built_anew_with_linked_file(void **state)
{
    static const char *const scripts[] = {"/* as at first */", "/* another */"};
    char *const linked = source_path("linked.ld");
    char *const text = xasprintf("// molotov: %s\n" SOURCE, linked);
    char *objects[ARRAY_SIZE(scripts)], *again;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
        write_source("linked.ld", scripts[i]);
        objects[i] = build_text(text);
    }
    again = build_text(text);
    assert_string_not_equal(objects[0], objects[1]);
    assert_string_equal(objects[1], again);
    free(objects[0]);
    free(objects[1]);
    free(again);
    free(linked);
    free(text);
}

/* Flags are those of comments that begin a line, each word one. */
static void test_flags(void **state)
{
    char *const object = build_text(
        "// molotov: -DONE=1 \t -DTWO=2 -std=gnu99\r\n" SOURCE " // molotov: -DNO\n"
        "#if ONE + TWO + THREE != 6 || defined(NO)\n#error\n#endif\n"
        "// molotov: -DTHREE=3");

    (void)state;
    free(object);
}

static void test_broken_object_is_replaced(void **state)
{
    struct error err;
    char *const first = build_text(SOURCE);
    char *second;

    (void)state;
    assert_int_equal(truncate(first, 1000), 0);
    assert_int_equal(c_check_stamp(first, &err), -1);
    second = build_text(SOURCE);
    assert_string_equal(first, second);
    assert_int_equal(c_check_stamp(second, &err), 0);
    free(first);
    free(second);
}

static size_t count_entries(const char *of)
{
    DIR *const open_folder = opendir(of);
    size_t count = 0;

    assert_non_null(open_folder);
    while (readdir(open_folder) != NULL)
        count++;
    closedir(open_folder);
    return count;
}

/* The error says where to look; what the compiler says is on stderr, as it is; and
 * nothing is left behind. */
static void test_does_not_compile(void **state)
{
    static const char *const sources[] = {
        SOURCE "int f(void) { return no_such_variable; }\n", /* found by the compiler */
        SOURCE "#error no_such_variable\n",                  /* by the preprocessor */
        SOURCE "void f(void) { no_such_variable(); }\n",     /* a warning elsewhere */
    };
    char *const cache = source_path("cache/molotov");
    char *const said = source_path("stderr");
    const int before = dup(STDERR_FILENO);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
        const int file = open(said, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        char text[4096] = "";
        struct error err = {.message = ""};
        const size_t entries = count_entries(cache);

        write_source("test.c", sources[i]);
        dup2(file, STDERR_FILENO);
        assert_null(build(&err));
        dup2(before, STDERR_FILENO);
        assert_non_null(strstr(err.message, "does not compile"));
        assert_true(pread(file, text, sizeof(text) - 1, 0) > 0);
        assert_non_null(strstr(text, "no_such_variable"));
        assert_int_equal(count_entries(cache), entries);
        close(file);
    }
    close(before);
    free(said);
    free(cache);
}

static void test_no_source(void **state)
{
    struct error err;
    char *object = NULL;

    (void)state;
    assert_int_equal(c_build("/no/such/file.c", C_SAID_SHOWN, &object, &err), -1);
    assert_non_null(strstr(err.message, "/no/such/file.c"));
    assert_int_equal(c_build(folder, C_SAID_SHOWN, &object, &err), -1);
    assert_null(object);
}

/* It compiles, and is no test. */
static void test_empty_source(void **state)
{
    struct error err;
    char *const object = build_text("");

    (void)state;
    assert_int_equal(c_check_stamp(object, &err), -1);
    free(object);
}

static void test_no_compiler(void **state)
{
    struct error err;

    (void)state;
    write_source("test.c", SOURCE);
    setenv("CC", "/no/such/compiler", 1);
    assert_null(build(&err));
    unsetenv("CC");
    assert_non_null(strstr(err.message, "/no/such/compiler"));
    assert_non_null(strstr(err.message, "$CC"));
}

/* Code is loaded from there: nobody else may be able to write it. */
static void test_cache_of_others(void **state)
{
    static const mode_t modes[] = {0770, 0707, 0777, 01777};
    char *const cache = source_path("cache/molotov");

    (void)state;
    write_source("test.c", SOURCE);
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        struct error err = {.message = ""};

        assert_int_equal(chmod(cache, modes[i]), 0);
        assert_null(build(&err));
        assert_non_null(strstr(err.message, cache));
    }
    assert_int_equal(chmod(cache, 0700), 0);
    free(build_text(SOURCE));
    free(cache);
}

static void test_cache_that_cannot_be(void **state)
{
    char *const cache = source_path("test.c"); /* a file */
    struct error err;

    (void)state;
    write_source("test.c", SOURCE);
    setenv("XDG_CACHE_HOME", cache, 1);
    assert_null(build(&err));
    assert_non_null(strstr(err.message, cache));
    free(cache);
}

/* --- the folder of all this -------------------------------------------------------------- */

static int use_own_cache(void **state)
{
    char *const cache = source_path("cache");

    (void)state;
    setenv("XDG_CACHE_HOME", cache, 1);
    unsetenv("CC");
    free(cache);
    return 0;
}

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/object.so", folder);
    return 0;
}

static int remove_one(const char *name, const struct stat *info, int kind,
                      struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(name);
}

static int remove_folder(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define building_test(name) cmocka_unit_test_setup(name, use_own_cache)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stamps),
        cmocka_unit_test(test_libc_of_this_host),
        cmocka_unit_test(test_texts_that_are_no_stamp),
        cmocka_unit_test(test_stamp_without_an_end),
        cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_numbers_that_lie),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_mutated),
        cmocka_unit_test(test_no_section),
        building_test(test_built_once),
        building_test(test_built_anew),
        building_test(test_built_anew_with_linked_file),
        building_test(test_flags),
        building_test(test_broken_object_is_replaced),
        building_test(test_does_not_compile),
        building_test(test_no_source),
        building_test(test_empty_source),
        building_test(test_no_compiler),
        building_test(test_cache_of_others),
        building_test(test_cache_that_cannot_be),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
