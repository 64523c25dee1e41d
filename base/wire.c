#include "base/wire.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

/* --- checking --------------------------------------------------------------------- */

enum shape {
    SHAPE_NONE,  /* no value begins with this byte */
    SHAPE_PLAIN, /* `size` bytes follow */
    SHAPE_BYTES, /* a length of `size` bytes, then that many bytes */
    SHAPE_EXT,   /* the same with a byte for the type in between */
    SHAPE_ARRAY, /* a count of `size` bytes, then that many values */
    SHAPE_MAP,   /* a count of `size` bytes, then twice as many values */
};

/* What begins with the bytes 0xC0 to 0xDF; the others hold their length themselves. */
static const struct {
    unsigned char shape, size;
} heads[] = {
    {SHAPE_PLAIN, 0 }, /* nil */
    {SHAPE_NONE,  0 },
    {SHAPE_PLAIN, 0 }, /* false */
    {SHAPE_PLAIN, 0 }, /* true */
    {SHAPE_BYTES, 1 }, /* bin 8, 16, 32 */
    {SHAPE_BYTES, 2 },
    {SHAPE_BYTES, 4 },
    {SHAPE_EXT,   1 }, /* ext 8, 16, 32 */
    {SHAPE_EXT,   2 },
    {SHAPE_EXT,   4 },
    {SHAPE_PLAIN, 4 }, /* float 32, 64 */
    {SHAPE_PLAIN, 8 },
    {SHAPE_PLAIN, 1 }, /* uint 8, 16, 32, 64 */
    {SHAPE_PLAIN, 2 },
    {SHAPE_PLAIN, 4 },
    {SHAPE_PLAIN, 8 },
    {SHAPE_PLAIN, 1 }, /* int 8, 16, 32, 64 */
    {SHAPE_PLAIN, 2 },
    {SHAPE_PLAIN, 4 },
    {SHAPE_PLAIN, 8 },
    {SHAPE_PLAIN, 2 }, /* fixext 1, 2, 4, 8, 16: the type first */
    {SHAPE_PLAIN, 3 },
    {SHAPE_PLAIN, 5 },
    {SHAPE_PLAIN, 9 },
    {SHAPE_PLAIN, 17},
    {SHAPE_BYTES, 1 }, /* str 8, 16, 32 */
    {SHAPE_BYTES, 2 },
    {SHAPE_BYTES, 4 },
    {SHAPE_ARRAY, 2 }, /* array 16, 32 */
    {SHAPE_ARRAY, 4 },
    {SHAPE_MAP,   2 }, /* map 16, 32 */
    {SHAPE_MAP,   4 },
};

/* One value, containers without what is in them. */
struct value {
    bool is_container;
    uint64_t size;    /* bytes of it, the first included */
    uint64_t entries; /* values that follow in it */
};

struct walk {
    const unsigned char *data;
    size_t size, at;
    size_t values;                 /* seen so far */
    uint64_t owed;                 /* that must still come, over all open containers */
    uint64_t open[WIRE_DEPTH_MAX]; /* of these, how many in each open container */
    size_t depth;
};

static uint64_t big_endian(const unsigned char *bytes, size_t size)
{
    uint64_t number = 0;

    for (size_t i = 0; i < size; i++)
        number = number << 8 | bytes[i];
    return number;
}

static struct value container(uint64_t head_size, uint64_t entries)
{
    return (struct value){.is_container = true, .size = head_size, .entries = entries};
}

/* Reads the head of the value at `walk->at`, which is within the data. NULL, or what is
 * wrong with it. */
static const char *read_value(const struct walk *walk, struct value *ret_value)
{
    const unsigned char *const bytes = walk->data + walk->at;
    const unsigned char first = bytes[0];
    unsigned char shape, size;
    uint64_t number;

    *ret_value = (struct value){.size = 1};
    if (first < 0x80 || first >= 0xE0) /* a small number */
        return NULL;
    if (first < 0x90)
        *ret_value = container(1, 2 * (uint64_t)(first & 0x0F));
    else if (first < 0xA0)
        *ret_value = container(1, first & 0x0F);
    else if (first < 0xC0)
        ret_value->size = 1 + (uint64_t)(first & 0x1F);
    if (first < 0xC0)
        return NULL;

    shape = heads[first - 0xC0].shape;
    size = heads[first - 0xC0].size;
    if (shape == SHAPE_NONE)
        return "no value begins so";
    if (shape == SHAPE_PLAIN) {
        ret_value->size = 1 + (uint64_t)size;
        return NULL;
    }
    if (walk->size - walk->at <= size)
        return "it ends within a length";
    number = big_endian(bytes + 1, size);
    if (shape == SHAPE_ARRAY)
        *ret_value = container(1 + (uint64_t)size, number);
    else if (shape == SHAPE_MAP)
        *ret_value = container(1 + (uint64_t)size, 2 * number);
    else
        ret_value->size = 1 + (uint64_t)size + (shape == SHAPE_EXT) + number;
    return NULL;
}

/* A value is complete: so may be the container it was in, and the one around that. */
static void close_containers(struct walk *walk)
{
    while (walk->depth > 0 && --walk->open[walk->depth - 1] == 0)
        walk->depth--;
}

/* Walks over one value. NULL, or what is wrong with it. */
static const char *step(struct walk *walk)
{
    struct value value;
    const char *wrong;

    if (walk->at == walk->size)
        return "it ends before all values came";
    wrong = read_value(walk, &value);
    if (wrong != NULL)
        return wrong;
    if (value.size > walk->size - walk->at)
        return "it ends within a value";
    if (value.is_container && walk->depth == WIRE_DEPTH_MAX)
        return "containers are nested too deeply";
    /* Each value takes a byte: a count above the bytes left is a lie. */
    if (walk->owed - 1 + value.entries > walk->size - walk->at - value.size)
        return "more values are announced than can follow";

    walk->values++;
    walk->at += (size_t)value.size;
    walk->owed += value.entries - 1;
    if (walk->values + walk->owed > WIRE_VALUES_MAX)
        return "it has too many values";
    if (value.entries > 0)
        walk->open[walk->depth++] = value.entries;
    else
        close_containers(walk);
    return NULL;
}

int wire_check(const void *data, size_t size, struct error *err)
{
    struct walk walk = {.data = data, .size = size, .owed = 1};

    if (size > WIRE_SIZE_MAX)
        return error_set(err, "the message has %zu bytes, the most is %zu", size,
                         WIRE_SIZE_MAX);
    while (walk.owed > 0) {
        const char *const wrong = step(&walk);

        if (wrong != NULL)
            return error_set(err, "the message is no valid msgpack: %s (at byte %zu)",
                             wrong, walk.at);
    }
    if (walk.at != size)
        return error_set(err, "the message goes on after its end (at byte %zu)",
                         walk.at);
    return 0;
}

/* --- reading ---------------------------------------------------------------------- */

int wire_decode(const void *data, size_t size, struct wire_message *ret_message,
                struct error *err)
{
    msgpack_unpacked unpacked;
    size_t offset = 0;

    if (wire_check(data, size, err) == -1)
        return -1;
    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, data, size, &offset) != MSGPACK_UNPACK_SUCCESS) {
        msgpack_unpacked_destroy(&unpacked);
        return error_set(err, "the message cannot be decoded (%zu bytes)", size);
    }
    if (unpacked.data.type != MSGPACK_OBJECT_MAP) {
        msgpack_unpacked_destroy(&unpacked);
        return error_set(err, "the message is no map");
    }
    *ret_message = (struct wire_message){.unpacked = unpacked, .root = unpacked.data};
    return 0;
}

void wire_clear(struct wire_message *message)
{
    msgpack_unpacked_destroy(&message->unpacked);
    *message = (struct wire_message){.root = {.type = MSGPACK_OBJECT_NIL}};
}

static bool is_word(const msgpack_object *object, const char *word, size_t length)
{
    return object->type == MSGPACK_OBJECT_STR && object->via.str.size == length &&
           memcmp(object->via.str.ptr, word, length) == 0;
}

const msgpack_object *wire_get(const msgpack_object *map, const char *key)
{
    const size_t length = strlen(key);

    if (map->type != MSGPACK_OBJECT_MAP)
        return NULL;
    for (uint32_t i = 0; i < map->via.map.size; i++)
        if (is_word(&map->via.map.ptr[i].key, key, length))
            return &map->via.map.ptr[i].val;
    return NULL;
}

static const msgpack_object *need(const msgpack_object *map, const char *key,
                                  struct error *err)
{
    const msgpack_object *const value = wire_get(map, key);

    if (value == NULL)
        error_set(err, "field \"%s\" is missing", key);
    return value;
}

static const msgpack_object *need_type(const msgpack_object *map, const char *key,
                                       msgpack_object_type type, const char *type_name,
                                       struct error *err)
{
    const msgpack_object *const value = need(map, key, err);

    if (value == NULL || value->type == type)
        return value;
    error_set(err, "field \"%s\" is no %s", key, type_name);
    return NULL;
}

int wire_get_u64(const msgpack_object *map, const char *key, uint64_t max,
                 uint64_t *ret_value, struct error *err)
{
    const msgpack_object *const value = need_type(
        map, key, MSGPACK_OBJECT_POSITIVE_INTEGER, "whole number from 0", err);

    if (value == NULL)
        return -1;
    if (value->via.u64 > max)
        return error_set(err, "field \"%s\" is %ju, the most is %ju", key,
                         (uintmax_t)value->via.u64, (uintmax_t)max);
    *ret_value = value->via.u64;
    return 0;
}

int wire_get_i64(const msgpack_object *map, const char *key, int64_t *ret_value,
                 struct error *err)
{
    const msgpack_object *const value = need(map, key, err);

    if (value == NULL)
        return -1;
    if (value->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        *ret_value = value->via.i64;
    else if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER &&
             value->via.u64 <= INT64_MAX)
        *ret_value = (int64_t)value->via.u64;
    else
        return error_set(err, "field \"%s\" is no whole number of 64 bits", key);
    return 0;
}

int wire_get_double(const msgpack_object *map, const char *key, double *ret_value,
                    struct error *err)
{
    const msgpack_object *const value = need(map, key, err);
    double number = NAN;

    if (value == NULL)
        return -1;
    if (value->type == MSGPACK_OBJECT_FLOAT64 || value->type == MSGPACK_OBJECT_FLOAT32)
        number = value->via.f64;
    else if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
        number = (double)value->via.u64;
    else if (value->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        number = (double)value->via.i64;
    if (!isfinite(number))
        return error_set(err, "field \"%s\" is no number", key);
    *ret_value = number;
    return 0;
}

int wire_get_bool(const msgpack_object *map, const char *key, bool *ret_value,
                  struct error *err)
{
    const msgpack_object *const value =
        need_type(map, key, MSGPACK_OBJECT_BOOLEAN, "true or false", err);

    if (value == NULL)
        return -1;
    *ret_value = value->via.boolean;
    return 0;
}

int wire_get_text(const msgpack_object *map, const char *key, size_t max,
                  const char **ret_text, size_t *ret_length, struct error *err)
{
    const msgpack_object *const value =
        need_type(map, key, MSGPACK_OBJECT_STR, "text", err);

    if (value == NULL)
        return -1;
    if (value->via.str.size > max)
        return error_set(err, "field \"%s\" has %u bytes, the most is %zu", key,
                         value->via.str.size, max);
    if (memchr(value->via.str.ptr, '\0', value->via.str.size) != NULL)
        return error_set(err, "field \"%s\" has a zero byte in it", key);
    *ret_text = value->via.str.ptr;
    *ret_length = value->via.str.size;
    return 0;
}

int wire_get_bytes(const msgpack_object *map, const char *key, size_t max,
                   const void **ret_bytes, size_t *ret_size, struct error *err)
{
    const msgpack_object *const value =
        need_type(map, key, MSGPACK_OBJECT_BIN, "run of bytes", err);

    if (value == NULL)
        return -1;
    if (value->via.bin.size > max)
        return error_set(err, "field \"%s\" has %u bytes, the most is %zu", key,
                         value->via.bin.size, max);
    *ret_bytes = value->via.bin.ptr;
    *ret_size = value->via.bin.size;
    return 0;
}

int wire_get_array(const msgpack_object *map, const char *key, uint32_t max,
                   const msgpack_object_array **ret_array, struct error *err)
{
    const msgpack_object *const value =
        need_type(map, key, MSGPACK_OBJECT_ARRAY, "array", err);

    if (value == NULL)
        return -1;
    if (value->via.array.size > max)
        return error_set(err, "field \"%s\" has %u entries, the most is %u", key,
                         value->via.array.size, max);
    *ret_array = &value->via.array;
    return 0;
}

int wire_get_map(const msgpack_object *map, const char *key,
                 const msgpack_object **ret_map, struct error *err)
{
    const msgpack_object *const value =
        need_type(map, key, MSGPACK_OBJECT_MAP, "map", err);

    if (value == NULL)
        return -1;
    *ret_map = value;
    return 0;
}

int wire_copy_text(const msgpack_object *map, const char *key, size_t max,
                   char **ret_text, struct error *err)
{
    const char *text = NULL;
    size_t length = 0;

    if (wire_get_text(map, key, max, &text, &length, err) == -1)
        return -1;
    *ret_text = xstrndup(text, length);
    return 0;
}

/* --- writing ---------------------------------------------------------------------- */

static int add_to_buffer(void *data, const char *bytes, size_t size)
{
    buffer_add(data, bytes, size);
    return 0;
}

void wire_packer(msgpack_packer *packer, struct buffer *buffer)
{
    msgpack_packer_init(packer, buffer, add_to_buffer);
}

void wire_put_string(msgpack_packer *packer, const char *text)
{
    const size_t length = strlen(text);

    msgpack_pack_str(packer, length);
    msgpack_pack_str_body(packer, text, length);
}

void wire_put_text(msgpack_packer *packer, const char *key, const char *text)
{
    wire_put_string(packer, key);
    wire_put_string(packer, text);
}

void wire_put_bytes(msgpack_packer *packer, const char *key, const void *bytes,
                    size_t size)
{
    wire_put_string(packer, key);
    msgpack_pack_bin(packer, size);
    msgpack_pack_bin_body(packer, bytes, size);
}

void wire_put_u64(msgpack_packer *packer, const char *key, uint64_t value)
{
    wire_put_string(packer, key);
    msgpack_pack_uint64(packer, value);
}

void wire_put_i64(msgpack_packer *packer, const char *key, int64_t value)
{
    wire_put_string(packer, key);
    msgpack_pack_int64(packer, value);
}

void wire_put_double(msgpack_packer *packer, const char *key, double value)
{
    wire_put_string(packer, key);
    msgpack_pack_double(packer, value);
}

void wire_put_bool(msgpack_packer *packer, const char *key, bool value)
{
    wire_put_string(packer, key);
    if (value)
        msgpack_pack_true(packer);
    else
        msgpack_pack_false(packer);
}

void wire_put_map(msgpack_packer *packer, const char *key, size_t entries)
{
    wire_put_string(packer, key);
    msgpack_pack_map(packer, entries);
}

void wire_put_array(msgpack_packer *packer, const char *key, size_t entries)
{
    wire_put_string(packer, key);
    msgpack_pack_array(packer, entries);
}
