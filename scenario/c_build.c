#include "scenario/c_build.h"

#define MLT_NO_STAMP
#include "include/molotov.h"

#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "base/memory.h"
#include "base/text.h"

enum {
    WORDS_MAX = 200,
    SOURCE_MAX = 16 << 20,
    PREPROCESSED_MAX = 256 << 20,
    HASH_TEXT = 41, /* 20 bytes in hexadecimal digits */
};

extern char **environ;

/* include/molotov.h, byte for byte: so the header always fits the program. */
extern const char molotov_header[];
extern const size_t molotov_header_size;

/* --- words of a command ---------------------------------------------------------------- */

struct command {
    char *words[WORDS_MAX + 1];
    size_t count;
};

static void command_add(struct command *command, const char *word)
{
    if (command->count < WORDS_MAX)
        command->words[command->count++] = xstrdup(word);
}

static void command_add_split(struct command *command, const char *text, size_t length)
{
    char *const copy = xstrndup(text, length);
    char *rest = copy, *word;

    while ((word = strsep(&rest, " \t")) != NULL) {
        if (word[0] != '\0')
            command_add(command, word);
    }
    free(copy);
}

static void command_clear(struct command *command)
{
    for (size_t i = 0; i < command->count; i++)
        free(command->words[i]);
    *command = (struct command){.count = 0};
}

/* Runs it; its stdout is appended to `out` (NULL: goes where ours goes). 0, whatever
 * its exit status in `ret_status`. */
static int command_run(const struct command *command, struct buffer *out,
                       int *ret_status, struct error *err)
{
    int pipe_fds[2] = {-1, -1};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int rc = -1, code;

    posix_spawn_file_actions_init(&actions);
    if (out != NULL && pipe2(pipe_fds, O_CLOEXEC) == -1) {
        error_errno(err, "cannot open a pipe to the compiler");
        goto done;
    }
    if (out != NULL)
        posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
    code =
        posix_spawnp(&pid, command->words[0], &actions, NULL, command->words, environ);
    if (code != 0) {
        error_set(err,
                  "cannot run the compiler '%s': %s (install gcc, set $CC, or give a "
                  "compiled .so)",
                  command->words[0], strerror(code));
        goto done;
    }
    fd_close(&pipe_fds[1]);
    while (out != NULL && out->size < PREPROCESSED_MAX) {
        char chunk[16 << 10];
        const ssize_t count = read(pipe_fds[0], chunk, sizeof(chunk));

        if (count == -1 && errno == EINTR)
            continue;
        if (count <= 0)
            break;
        buffer_add(out, chunk, (size_t)count);
    }
    fd_close(&pipe_fds[0]);
    while (waitpid(pid, ret_status, 0) == -1 && errno == EINTR) {
    }
    rc = 0;
done:
    posix_spawn_file_actions_destroy(&actions);
    fd_close(&pipe_fds[0]);
    fd_close(&pipe_fds[1]);
    return rc;
}

/* --- files ------------------------------------------------------------------------------ */

static int read_file(const char *path, size_t most, struct buffer *ret_text,
                     struct error *err)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* it may be a pipe */
    struct stat info;
    ssize_t count = 0;

    if (fd == -1)
        return error_errno(err, "cannot read '%s'", path);
    if (fstat(fd, &info) == -1 || !S_ISREG(info.st_mode)) {
        fd_close(&fd);
        return error_set(err, "'%s' is not a file", path);
    }
    while (ret_text->size <= most) {
        buffer_reserve(ret_text, 64 << 10);
        count = read(fd, ret_text->data + ret_text->size, 64 << 10);
        if (count <= 0)
            break;
        ret_text->size += (size_t)count;
        ret_text->data[ret_text->size] = '\0';
    }
    if (count == -1)
        error_errno(err, "cannot read '%s'", path);
    else if (ret_text->size > most)
        count = error_set(err, "'%s' is over %zu bytes", path, most);
    fd_close(&fd);
    return count == 0 ? 0 : -1;
}

/* Makes `path` with all of its parents; the last is only for this user. */
static int make_folders(const char *path, struct error *err)
{
    char *const copy = xstrdup(path);
    int rc = 0;

    for (char *slash = strchr(copy + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(copy, 0755); /* what matters is whether the last one works */
        *slash = '/';
    }
    if (mkdir(copy, 0700) == -1 && errno != EEXIST)
        rc = error_errno(err, "cannot make the folder '%s'", path);
    free(copy);
    return rc;
}

/* Code is loaded from there: it must be this user's and nobody else's to write. */
static int check_folder(const char *path, struct error *err)
{
    struct stat info;

    if (stat(path, &info) == -1)
        return error_errno(err, "cannot use the folder '%s'", path);
    if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() ||
        (info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return error_set(err,
                         "the cache '%s' must be a folder that belongs to you and that "
                         "only you can write: set $XDG_CACHE_HOME to another place",
                         path);
    return 0;
}

/* Where objects are kept: what $XDG_CACHE_HOME says; or else below the home, or, where
 * that cannot be written, in a folder of the user's own in /tmp. */
static int open_cache(char **ret_folder, struct error *err)
{
    const char *const cache = getenv("XDG_CACHE_HOME");
    const char *const home = getenv("HOME");
    char *folders[] = {
        cache != NULL && cache[0] == '/' ? xasprintf("%s/molotov", cache)
        : home != NULL && home[0] == '/' ? xasprintf("%s/.cache/molotov", home)
                                         : NULL,
        cache != NULL && cache[0] == '/'
            ? NULL
            : xasprintf("/tmp/molotov-%lu", (unsigned long)geteuid()),
    };
    int rc = -1;

    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        if (rc == -1 && folders[i] != NULL && make_folders(folders[i], err) == 0 &&
            check_folder(folders[i], err) == 0) {
            *ret_folder = folders[i];
            rc = 0;
        } else {
            free(folders[i]);
        }
    }
    return rc;
}

static void hash_add(EVP_MD_CTX *hash, const void *data, size_t size)
{
    if (EVP_DigestUpdate(hash, data, size) != 1)
        abort(); /* out of memory: dies like xmalloc() */
}

static EVP_MD_CTX *hash_new(void)
{
    EVP_MD_CTX *const hash = EVP_MD_CTX_new();

    if (hash == NULL || EVP_DigestInit_ex(hash, EVP_sha256(), NULL) != 1)
        abort(); /* out of memory: dies like xmalloc() */
    return hash;
}

static void hash_end(EVP_MD_CTX *hash, char ret_text[HASH_TEXT])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    if (EVP_DigestFinal_ex(hash, digest, &size) != 1)
        abort();
    EVP_MD_CTX_free(hash);
    for (size_t i = 0; i < (HASH_TEXT - 1) / 2; i++)
        snprintf(ret_text + 2 * i, 3, "%02x", digest[i]);
}

static bool has_content(const char *path, const char *content, size_t size)
{
    struct buffer text = BUFFER_INIT;
    const bool same = read_file(path, size, &text, NULL) == 0 && text.size == size &&
                      memcmp(text.data, content, size) == 0;

    buffer_clear(&text);
    return same;
}

/* Puts include/molotov.h into the cache; its folder is for the compiler's -I. */
static int place_header(const char *cache, char **ret_folder, struct error *err)
{
    char digest[HASH_TEXT];
    EVP_MD_CTX *const hash = hash_new();
    char *path = NULL, *draft = NULL;
    FILE *file;
    int rc = -1;

    hash_add(hash, molotov_header, molotov_header_size);
    hash_end(hash, digest);
    *ret_folder = xasprintf("%s/include-%s", cache, digest);
    path = xasprintf("%s/molotov.h", *ret_folder);
    draft = xasprintf("%s.%ld", path, (long)getpid());
    if (has_content(path, molotov_header, molotov_header_size)) {
        rc = 0;
        goto out;
    }
    if (make_folders(*ret_folder, err) == -1)
        goto out;
    file = fopen(draft, "we");
    if (file == NULL) {
        error_errno(err, "cannot write '%s'", draft);
        goto out;
    }
    fwrite(molotov_header, 1, molotov_header_size, file);
    if (fclose(file) != 0 || rename(draft, path) == -1) {
        error_errno(err, "cannot write '%s'", path);
        unlink(draft);
        goto out;
    }
    rc = 0;
out:
    free(path);
    free(draft);
    if (rc == -1) {
        free(*ret_folder);
        *ret_folder = NULL;
    }
    return rc;
}

/* --- compiling --------------------------------------------------------------------------- */

/* The flags of all comments `// molotov: FLAGS` that begin a line. */
static void add_source_flags(struct command *command, const char *source)
{
    static const char mark[] = "// molotov:";

    while (source != NULL) {
        if (text_starts_with(source, mark))
            command_add_split(command, source + sizeof(mark) - 1,
                              strcspn(source + sizeof(mark) - 1, "\r\n"));
        source = strchr(source, '\n');
        if (source != NULL)
            source++;
    }
}

static void add_compiler(struct command *command, const char *headers)
{
    static const char *const flags[] = {
        "-std=gnu11", "-O2",
        "-g",         "-fno-working-directory", /* same wherever run */
        "-Wall",      "-Werror=implicit-function-declaration",
        "-fPIC",      "-D_GNU_SOURCE"};
    const char *const cc = getenv("CC");

    command_add_split(command, cc != NULL && cc[0] != '\0' ? cc : "cc",
                      cc != NULL && cc[0] != '\0' ? strlen(cc) : 2);
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
        command_add(command, flags[i]);
    command_add(command, "-I");
    command_add(command, headers);
}

static int fails_to_compile(const char *source, int status, struct error *err)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return error_set(err, "'%s' does not compile: see what the compiler says above",
                     source);
}

/* The name of the object in the cache: a hash of all that goes into it, the includes
 * among it, since that is what the compiler reads. */
static int name_object(const struct command *compiler, const char *source,
                       const char *flags, char ret_name[HASH_TEXT], struct error *err)
{
    struct command command = {.count = 0};
    struct buffer text = BUFFER_INIT;
    EVP_MD_CTX *hash;
    int status, rc = -1;

    for (size_t i = 0; i < compiler->count; i++)
        command_add(&command, compiler->words[i]);
    add_source_flags(&command, flags);
    command_add(&command, "-E");
    command_add(&command, source);
    if (command_run(&command, &text, &status, err) == -1 ||
        fails_to_compile(source, status, err) == -1)
        goto out;
    hash = hash_new();
    for (size_t i = 0; i < command.count; i++)
        hash_add(hash, command.words[i], strlen(command.words[i]) + 1);
    hash_add(hash, MLT_ABI, sizeof(MLT_ABI));
    hash_add(hash, text.data, text.size);
    hash_end(hash, ret_name);
    rc = 0;
out:
    command_clear(&command);
    buffer_clear(&text);
    return rc;
}

static int compile(const struct command *compiler, const char *source,
                   const char *flags, const char *object, struct error *err)
{
    char *const draft = xasprintf("%s.%ld", object, (long)getpid());
    struct command command = {.count = 0};
    int status, rc = -1;

    for (size_t i = 0; i < compiler->count; i++)
        command_add(&command, compiler->words[i]);
    command_add(&command, "-shared");
    command_add(&command, "-o");
    command_add(&command, draft);
    command_add(&command, source);
    add_source_flags(&command, flags);
    if (command_run(&command, NULL, &status, err) == -1 ||
        fails_to_compile(source, status, err) == -1)
        goto out;
    if (rename(draft, object) == -1) {
        error_errno(err, "cannot write '%s'", object);
        goto out;
    }
    rc = 0;
out:
    unlink(draft); /* still there only where something failed */
    command_clear(&command);
    free(draft);
    return rc;
}

int c_build(const char *source, char **ret_object, struct error *err)
{
    char *cache = NULL, *headers = NULL, *object = NULL;
    struct command compiler = {.count = 0};
    struct buffer text = BUFFER_INIT;
    char name[HASH_TEXT];
    int rc = -1;

    if (read_file(source, SOURCE_MAX, &text, err) == -1 ||
        open_cache(&cache, err) == -1 || place_header(cache, &headers, err) == -1)
        goto out;
    add_compiler(&compiler, headers);
    if (name_object(&compiler, source, buffer_text(&text), name, err) == -1)
        goto out;
    object = xasprintf("%s/%s.so", cache, name);
    if (c_check_stamp(object, NULL) == -1 && /* not there, or broken */
        compile(&compiler, source, buffer_text(&text), object, err) == -1)
        goto out;
    *ret_object = object;
    object = NULL;
    rc = 0;
out:
    command_clear(&compiler);
    buffer_clear(&text);
    free(cache);
    free(headers);
    free(object);
    return rc;
}

/* --- the stamp of an object --------------------------------------------------------------- */

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
