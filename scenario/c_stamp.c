#include "scenario/c_stamp.h"

#define MLT_NO_STAMP
#include "include/molotov.h"

#include <elf.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/fd.h"

/* The bytes of a section of an ELF file, checked against the file's size; NULL: none. */
static const char *find_section(const unsigned char *file, size_t size,
                                const char *name, size_t *ret_size)
{
    const Elf64_Ehdr *const head = (const Elf64_Ehdr *)(const void *)file;
    const Elf64_Shdr *sections, *names;

    if (size < sizeof(*head) || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
        head->e_ident[EI_CLASS] != ELFCLASS64 ||
        head->e_shentsize != sizeof(Elf64_Shdr) || head->e_shoff % 8 != 0 ||
        head->e_shoff > size ||
        (size - head->e_shoff) / sizeof(Elf64_Shdr) < head->e_shnum ||
        head->e_shstrndx >= head->e_shnum)
        return NULL;
    sections = (const Elf64_Shdr *)(const void *)(file + head->e_shoff);
    names = &sections[head->e_shstrndx];
    if (names->sh_offset > size || names->sh_size > size - names->sh_offset)
        return NULL;
    for (size_t i = 0; i < head->e_shnum; i++) {
        const Elf64_Shdr *const section = &sections[i];
        const size_t length = strlen(name) + 1;

        if (section->sh_name > names->sh_size ||
            names->sh_size - section->sh_name < length ||
            memcmp(file + names->sh_offset + section->sh_name, name, length) != 0)
            continue;
        if (section->sh_offset > size || section->sh_size > size - section->sh_offset)
            return NULL;
        *ret_size = section->sh_size;
        return (const char *)file + section->sh_offset;
    }
    return NULL;
}

struct stamp {
    int api;
    char machine[32], libc[32], sanitizer[32];
};

static bool read_stamp(const char *text, struct stamp *ret_stamp)
{
    return sscanf(text, "molotov-abi api=%d machine=%31s libc=%31s sanitizer=%31s",
                  &ret_stamp->api, ret_stamp->machine, ret_stamp->libc,
                  ret_stamp->sanitizer) == 4;
}

static int compare_stamps(const char *object, const struct stamp *theirs,
                          struct error *err)
{
    struct stamp ours;
    int major = 0, minor = 0, our_major = 0, our_minor = 0;

    if (!read_stamp(MLT_ABI, &ours))
        return error_set(err, "this program's own ABI stamp cannot be read");
    if (theirs->api != ours.api)
        return error_set(err,
                         "'%s' was compiled for version %d of molotov.h, and this is "
                         "version %d: compile it again",
                         object, theirs->api, ours.api);
    if (strcmp(theirs->machine, ours.machine) != 0)
        return error_set(err, "'%s' was compiled for %s, and this is %s", object,
                         theirs->machine, ours.machine);
    if (sscanf(theirs->libc, "glibc-%d.%d", &major, &minor) != 2)
        return error_set(err, "'%s' was compiled with another C library (%s)", object,
                         theirs->libc);
    sscanf(gnu_get_libc_version(), "%d.%d", &our_major, &our_minor);
    if (major > our_major || (major == our_major && minor > our_minor))
        return error_set(err,
                         "'%s' was compiled with %s, and this host has glibc-%d.%d: "
                         "compile it here",
                         object, theirs->libc, our_major, our_minor);
    if (strcmp(theirs->sanitizer, "none") != 0 &&
        strcmp(theirs->sanitizer, ours.sanitizer) != 0)
        return error_set(err,
                         "'%s' was compiled with the %s sanitizer, and this program "
                         "was not",
                         object, theirs->sanitizer);
    return 0;
}

static int check_mapped_stamp(const char *object, const unsigned char *file,
                              size_t size, struct error *err)
{
    size_t length;
    const char *const section = find_section(file, size, "molotov_abi", &length);
    char text[256] = "";
    struct stamp stamp;

    if (section != NULL)
        memcpy(text, section, length < sizeof(text) ? length : sizeof(text) - 1);
    if (section == NULL || !read_stamp(text, &stamp))
        return error_set(err,
                         "'%s' is no compiled test: it has no ABI stamp (a test "
                         "includes <molotov.h> and is linked with -shared)",
                         object);
    return compare_stamps(object, &stamp, err);
}

int c_check_stamp(const char *object, struct error *err)
{
    int fd = open(object, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    void *file = MAP_FAILED;
    struct stat info;
    int rc = -1;

    if (fd == -1)
        return error_errno(err, "cannot read '%s'", object);
    if (fstat(fd, &info) == -1 || !S_ISREG(info.st_mode) || info.st_size == 0) {
        error_set(err, "'%s' is not a file, or is empty", object);
        goto out;
    }
    file = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (file == MAP_FAILED) {
        error_errno(err, "cannot read '%s'", object);
        goto out;
    }
    rc = check_mapped_stamp(object, file, (size_t)info.st_size, err);
out:
    if (file != MAP_FAILED)
        munmap(file, (size_t)info.st_size);
    fd_close(&fd);
    return rc;
}
