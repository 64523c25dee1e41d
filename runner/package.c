#include "runner/package.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/wire.h"
#include "outputs/words.h"
#include "scenario/host.h"

/* --- paths -------------------------------------------------------------------------- */

static void drop_last_name(struct buffer *path)
{
    while (path->size > 0 && path->data[path->size - 1] != '/')
        path->size--;
    if (path->size > 0)
        path->size--;
    path->data[path->size] = '\0';
}

/* Adds the names of `path` to an absolute one, which has no slash at its end ("" is the
 * root). By the names alone, as a copy has no links: what the test calls "../x.h" is found
 * there under that name. */
static void follow_names(struct buffer *absolute, const char *path)
{
    while (*path != '\0') {
        const size_t length = strcspn(path, "/");

        if (length == 2 && strncmp(path, "..", 2) == 0) {
            if (absolute->size > 0)
                drop_last_name(absolute);
        } else if (length > 0 && !(length == 1 && path[0] == '.')) {
            buffer_add_text(absolute, "/");
            buffer_add(absolute, path, length);
        }
        path += length;
        path += *path == '/';
    }
}

/* The caller frees it. */
static char *make_absolute(const char *directory, const char *path)
{
    struct buffer absolute = BUFFER_INIT;
    char *copy;

    if (path[0] != '/')
        follow_names(&absolute, directory);
    follow_names(&absolute, path);
    copy = xstrdup(buffer_text(&absolute));
    buffer_clear(&absolute);
    return copy;
}

/* How many bytes of `folder` name a folder that `path` is in, too. */
static size_t common_length(const char *folder, const char *path)
{
    size_t length = 0;

    for (size_t i = 0;; i++) {
        if ((folder[i] == '/' || folder[i] == '\0') && path[i] == '/')
            length = i;
        if (folder[i] == '\0' || folder[i] != path[i])
            return length;
    }
}

/* --- contents ----------------------------------------------------------------------- */

const struct buffer *package_find(const struct package *package, const char *digest)
{
    for (size_t i = 0; i < package->count; i++)
        if (strcmp(package->contents[i].digest, digest) == 0)
            return &package->contents[i].bytes;
    return NULL;
}

static int check_size(const struct package *package, uint64_t more, struct error *err)
{
    uint64_t size = more;
    char most[WORDS_SIZE];

    for (size_t i = 0; i < package->count; i++)
        size += package->contents[i].bytes.size;
    if (size > BUNDLE_SIZE_MAX)
        return error_set(err, "its files are over %s together",
                         words_bytes(BUNDLE_SIZE_MAX, most));
    return 0;
}

/* Reads a file; `ret_digest` and `ret_size` tell what is in it. */
static int add_content(struct package *package, const char *path,
                       char ret_digest[DIGEST_SIZE], uint64_t *ret_size,
                       struct error *err)
{
    struct buffer bytes = BUFFER_INIT;
    struct package_content *content;
    int rc = -1;

    if (file_read(path, BUNDLE_FILE_MAX, &bytes, err) == -1)
        goto out;
    digest_of(bytes.data, bytes.size, ret_digest);
    *ret_size = bytes.size;
    rc = 0;
    if (package_find(package, ret_digest) != NULL)
        goto out;
    rc = check_size(package, bytes.size, err);
    if (rc == -1)
        goto out;
    package->contents = xrealloc_array(package->contents, package->count + 1,
                                       sizeof(*package->contents));
    content = &package->contents[package->count++];
    memcpy(content->digest, ret_digest, DIGEST_SIZE);
    content->bytes = bytes;
    bytes = BUFFER_INIT; /* the package's now */
out:
    buffer_clear(&bytes);
    return rc;
}

static bool has_path(const struct bundle *bundle, const char *path)
{
    for (size_t i = 0; i < bundle->count; i++)
        if (strcmp(bundle->files[i].path, path) == 0)
            return true;
    return false;
}

static int add_file(struct package *package, const char *file, const char *path,
                    struct error *err)
{
    char digest[DIGEST_SIZE];
    uint64_t size;

    if (has_path(&package->bundle, path)) /* under another name, such as ./x.h */
        return 0;
    if (package->bundle.count == BUNDLE_FILES_MAX)
        return error_set(err, "it is made of more than %u files", BUNDLE_FILES_MAX);
    if (add_content(package, file, digest, &size, err) == -1)
        return -1;
    bundle_add(&package->bundle, path, digest, size);
    return 0;
}

/* --- the bundle --------------------------------------------------------------------- */

/* `root` is what the bundle's paths are below; the first file is the test. */
static int add_files(struct package *package, const struct text_list *files,
                     const char *directory, size_t root, struct error *err)
{
    for (size_t i = 0; i < files->count; i++) {
        char *const path = make_absolute(directory, files->items[i]);
        const int rc = add_file(package, files->items[i], path + root + 1, err);

        if (i == 0)
            package->bundle.test = xstrdup(path + root + 1);
        free(path);
        if (rc == -1)
            return -1;
    }
    return 0;
}

/* How much of `directory` is the root. */
static size_t find_root(const struct text_list *files, const char *directory)
{
    size_t root = strlen(directory);

    for (size_t i = 0; i < files->count; i++) {
        char *const path = make_absolute(directory, files->items[i]);
        const size_t common = common_length(directory, path);

        root = common < root ? common : root;
        free(path);
    }
    return root;
}

static int add_object(struct package *package, const char *object, struct error *err)
{
    struct bundle *const bundle = &package->bundle;

    return add_content(package, object, bundle->object, &bundle->object_size, err);
}

/* What the broker would refuse is told here: a name that is not UTF-8, or too long. */
static int check_bundle(const struct bundle *bundle, struct error *err)
{
    struct buffer packed = BUFFER_INIT;
    struct wire_message message;
    struct bundle copy;
    msgpack_packer packer;
    int rc;

    wire_packer(&packer, &packed);
    bundle_pack(bundle, &packer);
    rc = wire_decode(packed.data, packed.size, &message, err);
    if (rc == 0) {
        rc = bundle_unpack(&message.root, &copy, err);
        if (rc == 0)
            bundle_clear(&copy);
        wire_clear(&message);
    }
    buffer_clear(&packed);
    return rc;
}

/* Into an empty package; what it owns at -1 is the caller's. */
static int fill_package(struct package *package, const struct job *job,
                        const struct text_list *files, const char *directory,
                        struct error *err)
{
    const size_t root = find_root(files, directory);

    package->bundle.directory =
        xstrdup(directory[root] == '/' ? directory + root + 1 : directory + root);
    if (add_files(package, files, directory, root, err) == -1)
        return -1;
    if (job->object != NULL && add_object(package, job->object, err) == -1)
        return -1;
    return check_bundle(&package->bundle, err);
}

static int list_files(const struct job *job, struct text_list *ret_files,
                      struct error *err)
{
    const struct host_type *const host = host_find(job->test, err);

    if (host == NULL)
        return -1;
    return host->list_files != NULL ? host->list_files(job, ret_files, err) : 0;
}

int package_make(const struct job *job, struct package *ret_package, struct error *err)
{
    struct package package = {.contents = NULL};
    struct text_list files = {.items = NULL};
    char *const here = getcwd(NULL, 0);
    char *directory = NULL;
    int rc = -1;

    if (here == NULL) {
        error_errno(err, "cannot tell the working directory");
        goto out;
    }
    directory = make_absolute("", here); /* "" is the root */
    if (list_files(job, &files, err) == -1 ||
        fill_package(&package, job, &files, directory, err) == -1)
        goto out;
    *ret_package = package;
    rc = 0;
out:
    if (rc == -1) {
        package_clear(&package);
        error_prefix(err, "the test cannot be sent");
    }
    text_list_clear(&files);
    free(directory);
    free(here);
    return rc;
}

void package_clear(struct package *package)
{
    bundle_clear(&package->bundle);
    for (size_t i = 0; i < package->count; i++)
        buffer_clear(&package->contents[i].bytes);
    free(package->contents);
    *package = (struct package){.contents = NULL};
}
