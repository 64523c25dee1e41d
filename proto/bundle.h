/* proto/bundle.h - the files that a test is made of, as they travel: names, sizes and
 * digests. The content travels apart (FILE), and only to who lacks it. */
#ifndef PROTO_BUNDLE_H
#define PROTO_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/error.h"
#include "base/wire.h"

#define BUNDLE_FILES_MAX 1000u
#define BUNDLE_PATH_MAX 1000u                 /* bytes */
#define BUNDLE_FILE_MAX ((uint64_t)48 << 20)  /* bytes of one: below WIRE_SIZE_MAX */
#define BUNDLE_SIZE_MAX ((uint64_t)256 << 20) /* bytes of all */

struct bundle_file {
    char *path; /* relative to the bundle's root, never upwards; owned */
    char digest[DIGEST_SIZE];
    uint64_t size;
};

/* A copy of the part of the runner's file tree that holds the test. */
struct bundle {
    struct bundle_file *files;
    size_t count;
    char *directory; /* where the test runs, from the root; "" is the root. Owned */
    char *test;      /* the path of the test's file; NULL: the test is a URL. Owned */
    /* The compiled test, not part of the tree; digest "" where there is none. */
    char object[DIGEST_SIZE];
    uint64_t object_size;
};

void bundle_clear(struct bundle *bundle); /* a zeroed one is empty */

/* Copies the path. */
void bundle_add(struct bundle *bundle, const char *path, const char *digest,
                uint64_t size);

/* One map: {directory, test, object, object_size, files: [{path, sha256, size}]}. */
void bundle_pack(const struct bundle *bundle, msgpack_packer *packer);

/* Checks all: no path that is absolute, empty, leaves the root (".."), or is there twice;
 * digests; the limits above; that `test` is one of the files. -1: nothing is left
 * behind. */
int bundle_unpack(const msgpack_object *map, struct bundle *ret_bundle,
                  struct error *err);

#endif
