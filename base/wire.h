/* base/wire.h - msgpack maps with named fields, written and read with care.
 *
 * All that goes between processes and hosts is one msgpack map whose keys are words, so
 * that a reader in another language needs no table of positions, and an unknown field
 * can be ignored. What comes in is checked by wire_check() before msgpack-c sees it:
 * msgpack-c itself would reserve 15 GB for a frame of 150 bytes that claims so. */
#ifndef BASE_WIRE_H
#define BASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <msgpack.h>

#include "base/buffer.h"
#include "base/error.h"

#define WIRE_DEPTH_MAX 12u                /* containers within containers */
#define WIRE_SIZE_MAX ((size_t)64 << 20)  /* bytes of one message */
#define WIRE_VALUES_MAX ((size_t)4 << 20) /* values in one message, keys included */

/* Whether `data` is exactly one well-formed msgpack value within the limits above, with
 * no count or length beyond the bytes that are there. Allocates nothing. 0, or -1 and
 * `err` says what is wrong and at which byte. */
int wire_check(const void *data, size_t size, struct error *err);

/* --- reading ---------------------------------------------------------------------- */

struct wire_message {
    msgpack_unpacked unpacked; /* owns what `root` points to, but for the bytes */
    msgpack_object root;       /* a map */
};

/* Checks and decodes `data`, which must outlive the message, as one map. 0, and the
 * caller clears `ret_message`; or -1, and nothing is left behind. */
int wire_decode(const void *data, size_t size, struct wire_message *ret_message,
                struct error *err);
void wire_clear(struct wire_message *message);

/* The value of a key, NULL where `map` is no map or lacks it; the first of two. */
const msgpack_object *wire_get(const msgpack_object *map, const char *key);

/* Each reads one field: 0, or -1 with `err` naming the key when it is missing, of
 * another type, or beyond `max`; `ret_*` is then untouched. Texts are NUL-free bytes in
 * the message (not NUL-terminated), of at most `max` bytes. */
int wire_get_u64(const msgpack_object *map, const char *key, uint64_t max,
                 uint64_t *ret_value, struct error *err);
int wire_get_i64(const msgpack_object *map, const char *key, int64_t *ret_value,
                 struct error *err);
int wire_get_double(const msgpack_object *map, const char *key, double *ret_value,
                    struct error *err); /* also takes integers; finite only */
int wire_get_bool(const msgpack_object *map, const char *key, bool *ret_value,
                  struct error *err);
int wire_get_text(const msgpack_object *map, const char *key, size_t max,
                  const char **ret_text, size_t *ret_length, struct error *err);
int wire_get_bytes(const msgpack_object *map, const char *key, size_t max,
                   const void **ret_bytes, size_t *ret_size, struct error *err);
int wire_get_array(const msgpack_object *map, const char *key, uint32_t max,
                   const msgpack_object_array **ret_array, struct error *err);
int wire_get_map(const msgpack_object *map, const char *key,
                 const msgpack_object **ret_map, struct error *err);

/* The same as wire_get_text(), copied and NUL-terminated; the caller frees it. */
int wire_copy_text(const msgpack_object *map, const char *key, size_t max,
                   char **ret_text, struct error *err);

/* --- writing ---------------------------------------------------------------------- */

/* A packer that appends to `buffer`; nothing to clean up afterwards. */
void wire_packer(msgpack_packer *packer, struct buffer *buffer);

/* wire_put_map() and wire_put_array() say how many entries the caller writes next. */
void wire_put_text(msgpack_packer *packer, const char *key, const char *text);
void wire_put_bytes(msgpack_packer *packer, const char *key, const void *bytes,
                    size_t size);
void wire_put_u64(msgpack_packer *packer, const char *key, uint64_t value);
void wire_put_i64(msgpack_packer *packer, const char *key, int64_t value);
void wire_put_double(msgpack_packer *packer, const char *key, double value);
void wire_put_bool(msgpack_packer *packer, const char *key, bool value);
void wire_put_map(msgpack_packer *packer, const char *key, size_t entries);
void wire_put_array(msgpack_packer *packer, const char *key, size_t entries);
void wire_put_string(msgpack_packer *packer, const char *text); /* a value or a key */

#endif
