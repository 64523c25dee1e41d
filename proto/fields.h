/* proto/fields.h - fields that several messages have: texts for people, names of runs,
 * digests, words of an enumeration, arrays. Only for proto/.
 *
 * Each field_get_*() returns 0; or -1, `err` names the key, and nothing is left behind.
 * What they check on the way in, their field_put_*() see to on the way out: what one
 * program packs, another takes. */
#ifndef PROTO_FIELDS_H
#define PROTO_FIELDS_H

#include <stddef.h>

#include "base/digest.h"
#include "base/error.h"
#include "base/wire.h"
#include "job/job.h"

#define FIELD_WHY_MAX (2 * ERROR_SIZE) /* bytes of a reason */
#define FIELD_PID_MAX ((uint64_t)INT32_MAX)
#define FIELD_TIME_MAX_S 253402300799.0 /* the last second of the year 9999 */

/* --- texts for people ----------------------------------------------------------------- */

/* `length` bytes as they may be shown, cut at `max`; the caller frees it. */
char *field_clean_copy(const char *text, size_t length, size_t max);

/* Whoever sent a text may be in the hands of the user's code: it is cleaned on reading,
 * too. A NULL is written as an empty text. The caller frees what it got. */
void field_put_text(msgpack_packer *packer, const char *key, const char *text,
                    size_t max);
int field_get_text(const msgpack_object *map, const char *key, size_t max,
                   char **ret_text, struct error *err);

/* The same, where NULL is a field that is left out: whoever begins the map does not count
 * it then. */
void field_put_optional_text(msgpack_packer *packer, const char *key, const char *text,
                             size_t max);
int field_get_optional_text(const msgpack_object *map, const char *key, size_t max,
                            char **ret_text, struct error *err);

/* --- one value ------------------------------------------------------------------------ */

/* A name that a program made (job_run_id_is_valid()): it must be exact, so it is taken as
 * it is, or refused. */
int field_get_id(const msgpack_object *map, const char *key,
                 char ret_id[JOB_RUN_ID_MAX + 1], struct error *err);

/* "run", in every message of a run. */
int field_get_run(const msgpack_object *map, char ret_run[JOB_RUN_ID_MAX + 1],
                  struct error *err);
/* The same where "" is a field that is left out. */
void field_put_optional_run(msgpack_packer *packer, const char *run);
int field_get_optional_run(const msgpack_object *map, char ret_run[JOB_RUN_ID_MAX + 1],
                           struct error *err);

int field_get_digest(const msgpack_object *map, const char *key,
                     char ret_digest[DIGEST_SIZE], struct error *err);

/* One of `count` words, as its index. */
int field_get_word(const msgpack_object *map, const char *key, const char *const *words,
                   size_t count, size_t *ret_index, struct error *err);

/* 0 to `max`. */
int field_get_seconds(const msgpack_object *map, const char *key, double max,
                      double *ret_value, struct error *err);

/* --- arrays --------------------------------------------------------------------------- */

/* What an array is made of. */
struct item_type {
    size_t size;
    void (*pack)(msgpack_packer *packer, const void *item);
    /* Into one that is all zero. At -1 clear() is still to be called. */
    int (*unpack)(const msgpack_object *value, void *item, struct error *err);
    void (*clear)(void *item); /* frees what it owns, not itself; NULL: owns nothing */
};

void field_put_items(msgpack_packer *packer, const char *key,
                     const struct item_type *type, const void *items, size_t count);

/* An array of at most `max`; NULL on failure, never NULL on success. */
void *field_get_items(const msgpack_object *map, const char *key,
                      const struct item_type *type, size_t max, size_t *ret_count,
                      struct error *err);
void field_clear_items(const struct item_type *type, void *items, size_t count);

#endif
