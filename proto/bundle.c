#include "proto/bundle.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "proto/fields.h"

/* --- a file --------------------------------------------------------------------------- */

/* Whether it leads from a folder downwards, and is spelt in the one way there is: names
 * with one slash between two, none of them ".", ".." or empty. */
static bool leads_downwards(const char *path)
{
    for (const char *at = path;; at++) {
        const size_t length = strcspn(at, "/");

        if (length == 0 || (length <= 2 && strspn(at, ".") == length))
            return false;
        at += length;
        if (*at == '\0')
            return true;
    }
}

/* A path is taken as it is, or refused: cleaned it would be another. */
static int get_path(const msgpack_object *map, const char *key, char **ret_path,
                    struct error *err)
{
    char *path = NULL;
    int rc = -1;

    if (wire_copy_text(map, key, BUNDLE_PATH_MAX, &path, err) == -1)
        return -1;
    if (!text_is_clean(path, strlen(path)))
        error_set(err, "field \"%s\" is no UTF-8, or has control characters", key);
    else if (!leads_downwards(path))
        error_set(err, "field \"%s\" is '%.500s', which does not lead downwards", key,
                  path);
    else
        rc = 0;
    if (rc == 0)
        *ret_path = path;
    else
        free(path);
    return rc;
}

static void clear_file(void *item)
{
    const struct bundle_file *const file = item;

    free(file->path);
}

static void pack_file(msgpack_packer *packer, const void *item)
{
    const struct bundle_file *const file = item;

    msgpack_pack_map(packer, 3);
    wire_put_text(packer, "path", file->path);
    wire_put_text(packer, "sha256", file->digest);
    wire_put_u64(packer, "size", file->size);
}

static int unpack_file(const msgpack_object *map, void *item, struct error *err)
{
    struct bundle_file *const file = item;

    if (get_path(map, "path", &file->path, err) == -1 ||
        field_get_digest(map, "sha256", file->digest, err) == -1 ||
        wire_get_u64(map, "size", BUNDLE_FILE_MAX, &file->size, err) == -1)
        return -1;
    return 0;
}

static const struct item_type file_type = {
    .size = sizeof(struct bundle_file),
    .pack = pack_file,
    .unpack = unpack_file,
    .clear = clear_file,
};

/* --- the bundle ----------------------------------------------------------------------- */

void bundle_clear(struct bundle *bundle)
{
    field_clear_items(&file_type, bundle->files, bundle->count);
    free(bundle->directory);
    free(bundle->test);
    *bundle = (struct bundle){.files = NULL};
}

void bundle_add(struct bundle *bundle, const char *path, const char *digest,
                uint64_t size)
{
    struct bundle_file *file;

    bundle->files =
        xrealloc_array(bundle->files, bundle->count + 1, sizeof(bundle->files[0]));
    file = &bundle->files[bundle->count++];
    *file = (struct bundle_file){.path = xstrdup(path), .size = size};
    memcpy(file->digest, digest, DIGEST_SIZE);
}

void bundle_pack(const struct bundle *bundle, msgpack_packer *packer)
{
    const bool has_object = bundle->object[0] != '\0';

    msgpack_pack_map(packer, 2 + (size_t)(bundle->test != NULL) + (has_object ? 2 : 0));
    wire_put_text(packer, "directory",
                  bundle->directory != NULL ? bundle->directory : "");
    if (bundle->test != NULL)
        wire_put_text(packer, "test", bundle->test);
    if (has_object) {
        wire_put_text(packer, "object", bundle->object);
        wire_put_u64(packer, "object_size", bundle->object_size);
    }
    field_put_items(packer, "files", &file_type, bundle->files, bundle->count);
}

/* --- checks --------------------------------------------------------------------------- */

static int compare_paths(const void *left, const void *right)
{
    const struct bundle_file *const *const one = left, *const *const other = right;

    return strcmp((*one)->path, (*other)->path);
}

static int check_paths_differ(const struct bundle *bundle, struct error *err)
{
    const struct bundle_file *sorted[BUNDLE_FILES_MAX];

    for (size_t i = 0; i < bundle->count; i++)
        sorted[i] = &bundle->files[i];
    qsort(sorted, bundle->count, sizeof(sorted[0]), compare_paths);
    for (size_t i = 1; i < bundle->count; i++)
        if (compare_paths(&sorted[i - 1], &sorted[i]) == 0)
            return error_set(err, "files: '%.500s' is there twice", sorted[i]->path);
    return 0;
}

static int check_size(const struct bundle *bundle, struct error *err)
{
    uint64_t size = bundle->object_size;

    for (size_t i = 0; i < bundle->count; i++)
        size += bundle->files[i].size; /* each is small enough not to overflow */
    if (size > BUNDLE_SIZE_MAX)
        return error_set(err, "the files have %ju bytes, the most is %ju",
                         (uintmax_t)size, (uintmax_t)BUNDLE_SIZE_MAX);
    return 0;
}

static int check_test(const struct bundle *bundle, struct error *err)
{
    if (bundle->test == NULL)
        return 0;
    for (size_t i = 0; i < bundle->count; i++)
        if (strcmp(bundle->files[i].path, bundle->test) == 0)
            return 0;
    return error_set(err, "field \"test\" is '%.500s', which is none of the files",
                     bundle->test);
}

/* "" is the root. */
static int get_directory(const msgpack_object *map, char **ret_directory,
                         struct error *err)
{
    const char *text;
    size_t length;

    if (wire_get_text(map, "directory", BUNDLE_PATH_MAX, &text, &length, err) == -1)
        return -1;
    if (length > 0)
        return get_path(map, "directory", ret_directory, err);
    *ret_directory = xstrdup("");
    return 0;
}

static int unpack_into(const msgpack_object *map, struct bundle *bundle,
                       struct error *err)
{
    if (get_directory(map, &bundle->directory, err) == -1)
        return -1;
    if (wire_get(map, "test") != NULL &&
        get_path(map, "test", &bundle->test, err) == -1)
        return -1;
    if (wire_get(map, "object") != NULL &&
        (field_get_digest(map, "object", bundle->object, err) == -1 ||
         wire_get_u64(map, "object_size", BUNDLE_FILE_MAX, &bundle->object_size, err) ==
             -1))
        return -1;
    bundle->files = field_get_items(map, "files", &file_type, BUNDLE_FILES_MAX,
                                    &bundle->count, err);
    if (bundle->files == NULL || check_paths_differ(bundle, err) == -1 ||
        check_size(bundle, err) == -1)
        return -1;
    return check_test(bundle, err);
}

int bundle_unpack(const msgpack_object *map, struct bundle *ret_bundle,
                  struct error *err)
{
    struct bundle bundle = {.files = NULL};

    if (unpack_into(map, &bundle, err) == -1) {
        bundle_clear(&bundle);
        return error_prefix(err, "the bundle is refused");
    }
    *ret_bundle = bundle;
    return 0;
}
