#include "scenario/c_build.h"

#define MLT_NO_STAMP
#include "include/molotov.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "scenario/c_stamp.h"
#include "scenario/make_rule.h"

enum {
    SOURCE_MAX = 16 << 20,
    LINKED_MAX = 256 << 20, /* bytes of an object or library that the flags name */
    PREPROCESSED_MAX = 64 << 20,
    SAID_MAX = 8 << 10,   /* bytes of what the compiler says that are read */
    SAID_SHOWN_MAX = 700, /* and of these, for the error */
};

extern char **environ;

/* include/molotov.h, byte for byte: so the header always fits the program. */
extern const char molotov_header[];
extern const size_t molotov_header_size;

/* What it takes to compile one source. */
struct build {
    const char *source;
    enum c_said said;
    struct buffer text;         /* of the source */
    char *cache;                /* folder of objects */
    char *headers;              /* folder of molotov.h */
    struct text_list compiler;  /* the command, up to what is the source's own */
    struct text_list own_flags; /* those of the source's comments */
};

/* --- running the compiler -------------------------------------------------------------- */

static void add_words(struct text_list *words, const char *text, size_t length)
{
    char *const copy = xstrndup(text, length);
    char *rest = copy, *word;

    while ((word = strsep(&rest, " \t")) != NULL) {
        if (word[0] != '\0')
            text_list_add(words, word);
    }
    free(copy);
}

static void add_list(struct text_list *words, const struct text_list *more)
{
    for (size_t i = 0; i < more->count; i++)
        text_list_add(words, more->items[i]);
}

/* Takes what a program writes to a descriptor of its own. */
struct catcher {
    int read_fd, write_fd; /* -1: nothing is caught */
    struct buffer *into;
    size_t most; /* bytes that are kept */
};

static int catcher_open(struct catcher *catcher, struct buffer *into, size_t most)
{
    int fds[2] = {-1, -1};

    if (into != NULL && pipe2(fds, O_CLOEXEC) == -1)
        return -1;
    *catcher = (struct catcher){
        .read_fd = fds[0], .write_fd = fds[1], .into = into, .most = most};
    return 0;
}

static void catcher_close(struct catcher *catcher)
{
    fd_close(&catcher->read_fd);
    fd_close(&catcher->write_fd);
}

static void catch_some(struct catcher *catcher)
{
    char chunk[16 << 10];
    const ssize_t count = read(catcher->read_fd, chunk, sizeof(chunk));
    const size_t room = catcher->most - catcher->into->size;

    if (count > 0)
        buffer_add(catcher->into, chunk, (size_t)count < room ? (size_t)count : room);
    else if (count == 0 || errno != EINTR)
        fd_close(&catcher->read_fd);
}

/* Until both are at their end, or the output has no end. */
static void catch_all(struct catcher *out, struct catcher *said)
{
    while (out->read_fd != -1 || said->read_fd != -1) {
        struct pollfd polled[] = {
            {.fd = out->read_fd,  .events = POLLIN},
            {.fd = said->read_fd, .events = POLLIN}
        };

        if (poll(polled, ARRAY_SIZE(polled), -1) == -1)
            continue; /* interrupted */
        if (polled[0].revents != 0) {
            catch_some(out);
            if (out->into->size == out->most)
                fd_close(&out->read_fd); /* which ends the program */
        }
        if (polled[1].revents != 0)
            catch_some(said);
    }
}

/* Starts the command; what is not caught goes where ours goes. */
static int start_command(const struct text_list *command, const struct catcher *out,
                         const struct catcher *said, pid_t *ret_pid, struct error *err)
{
    posix_spawn_file_actions_t actions;
    int code;

    posix_spawn_file_actions_init(&actions);
    if (out->write_fd != -1)
        posix_spawn_file_actions_adddup2(&actions, out->write_fd, STDOUT_FILENO);
    if (said->write_fd != -1)
        posix_spawn_file_actions_adddup2(&actions, said->write_fd, STDERR_FILENO);
    code = posix_spawnp(ret_pid, command->items[0], &actions, NULL, command->items,
                        environ);
    posix_spawn_file_actions_destroy(&actions);
    if (code == ENOENT)
        return error_set(
            err,
            "this host has no compiler '%s': install gcc, set $CC, or give "
            "a compiled .so",
            command->items[0]);
    if (code != 0)
        return error_set(err,
                         "cannot run the compiler '%s': %s (install gcc, set $CC, or "
                         "give a compiled .so)",
                         command->items[0], strerror(code));
    return 0;
}

/* The lines that say something, on one line; not those that show the source. */
static void join_lines(const char *said, struct buffer *ret_line)
{
    while (*said != '\0') {
        const size_t length = strcspn(said, "\n");

        if (length > 0 && said[0] != ' ')
            buffer_printf(ret_line, "%s%.*s", ret_line->size > 0 ? " | " : "",
                          (int)length, said);
        said += length + (said[length] == '\n');
    }
}

static int say_it_fails(const struct build *build, const struct buffer *said,
                        struct error *err)
{
    struct buffer line = BUFFER_INIT;
    char clean[SAID_SHOWN_MAX];

    if (build->said == C_SAID_SHOWN)
        return error_set(err, "'%s' does not compile: see what the compiler says above",
                         build->source);
    join_lines(buffer_text(said), &line);
    text_clean(clean, sizeof(clean), buffer_text(&line), line.size);
    buffer_clear(&line);
    return error_set(err, "'%s' does not compile: %s", build->source, clean);
}

/* Runs a command of the compiler; its stdout is appended to `out` (NULL: goes where ours
 * goes). 0, when it succeeded. */
static int run_compiler(const struct build *build, const struct text_list *command,
                        struct buffer *ret_out, struct error *err)
{
    struct catcher out = {.read_fd = -1, .write_fd = -1}, said = out;
    struct buffer words = BUFFER_INIT;
    pid_t pid;
    int status, rc = -1;

    if (catcher_open(&out, ret_out, PREPROCESSED_MAX) == -1 ||
        catcher_open(&said, build->said == C_SAID_SHOWN ? NULL : &words, SAID_MAX) ==
            -1) {
        error_errno(err, "cannot open a pipe to the compiler");
        goto out;
    }
    if (start_command(command, &out, &said, &pid, err) == -1)
        goto out;
    fd_close(&out.write_fd);
    fd_close(&said.write_fd);
    catch_all(&out, &said);
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR) {
    }
    rc = WIFEXITED(status) && WEXITSTATUS(status) == 0
             ? 0
             : say_it_fails(build, &words, err);
out:
    catcher_close(&out);
    catcher_close(&said);
    buffer_clear(&words);
    return rc;
}

/* --- the cache ------------------------------------------------------------------------- */

/* Where objects are kept: what $XDG_CACHE_HOME says; or else below the home, or, where
 * that cannot be written, in a folder of the user's own in /tmp. */
static int choose_cache(char **ret_folder, struct error *err)
{
    const char *const cache = getenv("XDG_CACHE_HOME");
    const char *const home = getenv("HOME");
    const bool is_said = cache != NULL && cache[0] == '/';
    char *const said = is_said ? xasprintf("%s/molotov", cache) : NULL;
    char *const usual =
        home != NULL && home[0] == '/' ? xasprintf("%s/.cache/molotov", home) : NULL;
    char *const temporary = xasprintf("/tmp/molotov-%lu", (unsigned long)geteuid());
    const char *const chosen[] = {said};
    const char *const others[] = {usual, temporary};
    const int rc = is_said ? folder_choose(chosen, ARRAY_SIZE(chosen), ret_folder, err)
                           : folder_choose(others, ARRAY_SIZE(others), ret_folder, err);

    free(said);
    free(usual);
    free(temporary);
    if (rc == -1)
        return error_prefix(err, "no place for compiled tests (see $XDG_CACHE_HOME)");
    return 0;
}

static bool has_content(const char *path, const char *content, size_t size)
{
    struct buffer text = BUFFER_INIT;
    const bool same = file_read(path, size, &text, NULL) == 0 && text.size == size &&
                      memcmp(text.data, content, size) == 0;

    buffer_clear(&text);
    return same;
}

/* Puts include/molotov.h into the cache; its folder is for the compiler's -I. */
static int place_header(const char *cache, char **ret_folder, struct error *err)
{
    char digest[DIGEST_SIZE];
    char *folder, *path;
    int rc = 0;

    digest_of(molotov_header, molotov_header_size, digest);
    folder = xasprintf("%s/include-%s", cache, digest);
    path = xasprintf("%s/molotov.h", folder);
    if (!has_content(path, molotov_header, molotov_header_size) &&
        (folder_make(folder, err) == -1 ||
         file_write(path, molotov_header, molotov_header_size, 0644, err) == -1))
        rc = -1;
    free(path);
    if (rc == 0)
        *ret_folder = folder;
    else
        free(folder);
    return rc;
}

/* --- compiling --------------------------------------------------------------------------- */

/* The flags of all comments `// molotov: FLAGS` that begin a line. */
static void add_own_flags(struct text_list *flags, const char *source)
{
    static const char mark[] = "// molotov:";

    while (source != NULL) {
        if (text_starts_with(source, mark))
            add_words(flags, source + sizeof(mark) - 1,
                      strcspn(source + sizeof(mark) - 1, "\r\n"));
        source = strchr(source, '\n');
        if (source != NULL)
            source++;
    }
}

static void add_compiler(struct text_list *words, const char *headers)
{
    static const char *const flags[] = {
        "-std=gnu11", "-O2",
        "-g",         "-fno-working-directory", /* same wherever run */
        "-Wall",      "-Werror=implicit-function-declaration",
        "-fPIC",      "-D_GNU_SOURCE"};
    const char *const cc = getenv("CC");

    add_words(words, cc != NULL ? cc : "", cc != NULL ? strlen(cc) : 0);
    if (words->count == 0)
        text_list_add(words, "cc");
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
        text_list_add(words, flags[i]);
    text_list_add(words, "-I");
    text_list_add(words, headers);
}

static void build_close(struct build *build)
{
    text_list_clear(&build->compiler);
    text_list_clear(&build->own_flags);
    buffer_clear(&build->text);
    free(build->cache);
    free(build->headers);
}

/* The caller closes it, also where this fails. */
static int build_open(struct build *build, const char *source, enum c_said said,
                      struct error *err)
{
    *build = (struct build){.source = source, .said = said};
    if (file_read(source, SOURCE_MAX, &build->text, err) == -1 ||
        choose_cache(&build->cache, err) == -1 ||
        place_header(build->cache, &build->headers, err) == -1)
        return -1;
    add_compiler(&build->compiler, build->headers);
    add_own_flags(&build->own_flags, buffer_text(&build->text));
    return 0;
}

/* Whether a word of the flags names a file: another source, an object, a library. */
static bool is_file(const char *word)
{
    struct stat info;

    return word[0] != '-' && stat(word, &info) == 0 && S_ISREG(info.st_mode);
}

static int digest_files_of_flags(const struct build *build, struct digest *digest,
                                 struct error *err)
{
    struct buffer content = BUFFER_INIT;
    int rc = 0;

    for (size_t i = 0; i < build->own_flags.count && rc == 0; i++) {
        if (!is_file(build->own_flags.items[i]))
            continue;
        buffer_reset(&content);
        rc = file_read(build->own_flags.items[i], LINKED_MAX, &content, err);
        digest_add(digest, buffer_text(&content), content.size);
    }
    buffer_clear(&content);
    return rc;
}

/* The name of the object in the cache: a digest of all that goes into it, the includes
 * among it, since that is what the compiler reads. */
static int name_object(const struct build *build, char ret_name[DIGEST_SIZE],
                       struct error *err)
{
    struct text_list command = {.items = NULL};
    struct buffer text = BUFFER_INIT;
    struct digest digest;
    int rc;

    add_list(&command, &build->compiler);
    add_list(&command, &build->own_flags);
    text_list_add(&command, "-E");
    text_list_add(&command, build->source);
    digest_init(&digest);
    for (size_t i = 0; i < command.count; i++)
        digest_add(&digest, command.items[i], strlen(command.items[i]) + 1);
    digest_add(&digest, MLT_ABI, sizeof(MLT_ABI));
    rc = run_compiler(build, &command, &text, err);
    if (rc == 0)
        rc = digest_files_of_flags(build, &digest, err);
    digest_add(&digest, buffer_text(&text), text.size);
    digest_finish(&digest, ret_name);
    text_list_clear(&command);
    buffer_clear(&text);
    return rc;
}

static int compile(const struct build *build, const char *object, struct error *err)
{
    char *const draft = xasprintf("%s.%ld", object, (long)getpid());
    struct text_list command = {.items = NULL};
    int rc;

    add_list(&command, &build->compiler);
    text_list_add(&command, "-shared");
    text_list_add(&command, "-o");
    text_list_add(&command, draft);
    text_list_add(&command, build->source);
    add_list(&command, &build->own_flags);
    rc = run_compiler(build, &command, NULL, err);
    if (rc == 0 && rename(draft, object) == -1)
        rc = error_errno(err, "cannot write '%s'", object);
    unlink(draft); /* still there only where something failed */
    text_list_clear(&command);
    free(draft);
    return rc;
}

int c_build(const char *source, enum c_said said, char **ret_object, struct error *err)
{
    struct build build;
    char name[DIGEST_SIZE];
    char *object = NULL;
    int rc = -1;

    if (build_open(&build, source, said, err) == -1 ||
        name_object(&build, name, err) == -1)
        goto out;
    object = xasprintf("%s/%s.so", build.cache, name);
    if (c_check_stamp(object, NULL) == -1 && /* not there, or broken */
        compile(&build, object, err) == -1)
        goto out;
    *ret_object = object;
    object = NULL;
    rc = 0;
out:
    build_close(&build);
    free(object);
    return rc;
}

/* --- what it is compiled from ------------------------------------------------------------ */

/* Whether the file came with the system or with us, so that every host has its own. What
 * is beside the source is the user's, wherever that is. */
static bool is_installed(const struct build *build, const char *file)
{
    const char *const slash = strrchr(build->source, '/');
    const size_t beside = slash != NULL ? (size_t)(slash + 1 - build->source) : 0;

    if (text_starts_with(file, build->headers))
        return true;
    return text_starts_with(file, "/usr/") &&
           (beside == 0 || strncmp(file, build->source, beside) != 0);
}

static void add_file(const struct build *build, const char *file,
                     struct text_list *files)
{
    if (!is_installed(build, file) && !text_list_holds(files, file))
        text_list_add(files, file);
}

/* All names of all rules, whose targets are "x". */
static void add_files_of_rules(const struct build *build, const char *rules,
                               struct text_list *files)
{
    struct buffer name = BUFFER_INIT;

    while (*rules != '\0') {
        while (make_rule_next(&rules, &name)) {
            if (strcmp(name.data, "x:") != 0)
                add_file(build, name.data, files);
        }
    }
    buffer_clear(&name);
}

static void add_files_of_flags(const struct build *build, struct text_list *files)
{
    for (size_t i = 0; i < build->own_flags.count; i++)
        if (is_file(build->own_flags.items[i]))
            add_file(build, build->own_flags.items[i], files);
}

static int ask_for_rules(const struct build *build, struct buffer *ret_rules,
                         struct error *err)
{
    struct text_list command = {.items = NULL};
    int rc;

    add_list(&command, &build->compiler);
    add_list(&command, &build->own_flags);
    text_list_add(&command, "-MM");
    text_list_add(&command, "-MT");
    text_list_add(&command, "x");
    text_list_add(&command, build->source);
    rc = run_compiler(build, &command, ret_rules, err);
    text_list_clear(&command);
    return rc;
}

int c_build_files(const char *source, struct text_list *ret_files, struct error *err)
{
    struct buffer rules = BUFFER_INIT;
    struct build build;
    int rc = -1;

    if (build_open(&build, source, C_SAID_SHOWN, err) == 0 &&
        ask_for_rules(&build, &rules, err) == 0) {
        add_file(&build, source, ret_files);
        add_files_of_rules(&build, buffer_text(&rules), ret_files);
        add_files_of_flags(&build, ret_files);
        rc = 0;
    }
    buffer_clear(&rules);
    build_close(&build);
    return rc;
}
