#include "proto/fields.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

/* --- texts for people ----------------------------------------------------------------- */

char *field_clean_copy(const char *text, size_t length, size_t max)
{
    char *const clean = xmalloc(max + 1);
    const size_t clean_length = text_clean(clean, max + 1, text, length);

    return xrealloc_array(clean, clean_length + 1, 1);
}

void field_put_text(msgpack_packer *packer, const char *key, const char *text,
                    size_t max)
{
    char *const clean = field_clean_copy(text, text != NULL ? strlen(text) : 0, max);

    wire_put_text(packer, key, clean);
    free(clean);
}

int field_get_text(const msgpack_object *map, const char *key, size_t max,
                   char **ret_text, struct error *err)
{
    const char *text;
    size_t length;

    if (wire_get_text(map, key, max, &text, &length, err) == -1)
        return -1;
    *ret_text = field_clean_copy(text, length, max);
    return 0;
}

void field_put_optional_text(msgpack_packer *packer, const char *key, const char *text,
                             size_t max)
{
    if (text != NULL)
        field_put_text(packer, key, text, max);
}

int field_get_optional_text(const msgpack_object *map, const char *key, size_t max,
                            char **ret_text, struct error *err)
{
    if (wire_get(map, key) != NULL)
        return field_get_text(map, key, max, ret_text, err);
    *ret_text = NULL;
    return 0;
}

/* --- one value ------------------------------------------------------------------------ */

int field_get_id(const msgpack_object *map, const char *key,
                 char ret_id[JOB_RUN_ID_MAX + 1], struct error *err)
{
    const char *id;
    size_t length;

    if (wire_get_text(map, key, JOB_RUN_ID_MAX, &id, &length, err) == -1)
        return -1;
    if (!job_run_id_is_valid(id, length))
        return error_set(
            err,
            "field \"%s\" is not made of 1 to %u letters, digits, '-', '_' "
            "and '.'",
            key, JOB_RUN_ID_MAX);
    memcpy(ret_id, id, length);
    ret_id[length] = '\0';
    return 0;
}

int field_get_run(const msgpack_object *map, char ret_run[JOB_RUN_ID_MAX + 1],
                  struct error *err)
{
    return field_get_id(map, "run", ret_run, err);
}

void field_put_optional_run(msgpack_packer *packer, const char *run)
{
    if (run[0] != '\0')
        wire_put_text(packer, "run", run);
}

int field_get_optional_run(const msgpack_object *map, char ret_run[JOB_RUN_ID_MAX + 1],
                           struct error *err)
{
    if (wire_get(map, "run") != NULL)
        return field_get_run(map, ret_run, err);
    ret_run[0] = '\0';
    return 0;
}

int field_get_digest(const msgpack_object *map, const char *key,
                     char ret_digest[DIGEST_SIZE], struct error *err)
{
    const char *digest;
    size_t length;

    if (wire_get_text(map, key, DIGEST_SIZE - 1, &digest, &length, err) == -1)
        return -1;
    if (!digest_is_one(digest, length))
        return error_set(
            err, "field \"%s\" is no SHA-256 in 64 digits and small letters", key);
    memcpy(ret_digest, digest, length);
    ret_digest[length] = '\0';
    return 0;
}

int field_get_word(const msgpack_object *map, const char *key, const char *const *words,
                   size_t count, size_t *ret_index, struct error *err)
{
    char shown[32];
    const char *word;
    size_t length;

    if (wire_get_text(map, key, sizeof(shown) - 1, &word, &length, err) == -1)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (strlen(words[i]) == length && memcmp(words[i], word, length) == 0) {
            *ret_index = i;
            return 0;
        }
    }
    text_clean(shown, sizeof(shown), word, length);
    return error_set(err, "field \"%s\" cannot be '%s'", key, shown);
}

int field_get_seconds(const msgpack_object *map, const char *key, double max,
                      double *ret_value, struct error *err)
{
    double value;

    if (wire_get_double(map, key, &value, err) == -1)
        return -1;
    if (!(value >= 0 && value <= max))
        return error_set(err, "field \"%s\" is %g, not within 0 and %.15g", key, value,
                         max);
    *ret_value = value;
    return 0;
}

/* --- arrays --------------------------------------------------------------------------- */

void field_put_items(msgpack_packer *packer, const char *key,
                     const struct item_type *type, const void *items, size_t count)
{
    const char *const bytes = items;

    wire_put_array(packer, key, count);
    for (size_t i = 0; i < count; i++)
        type->pack(packer, bytes + i * type->size);
}

void field_clear_items(const struct item_type *type, void *items, size_t count)
{
    char *const bytes = items;

    for (size_t i = 0; type->clear != NULL && i < count; i++)
        type->clear(bytes + i * type->size);
    free(items);
}

void *field_get_items(const msgpack_object *map, const char *key,
                      const struct item_type *type, size_t max, size_t *ret_count,
                      struct error *err)
{
    const msgpack_object_array *array;
    char *items;

    if (wire_get_array(map, key, (uint32_t)max, &array, err) == -1)
        return NULL;
    items = xcalloc(array->size > 0 ? array->size : 1, type->size);
    for (uint32_t i = 0; i < array->size; i++) {
        if (type->unpack(&array->ptr[i], items + i * type->size, err) == -1) {
            error_prefix(err, "%s: number %u", key, i + 1);
            field_clear_items(type, items, array->size);
            return NULL;
        }
    }
    *ret_count = array->size;
    return items;
}
