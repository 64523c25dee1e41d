/* runner/package.h - a test as it travels to a broker: the part of the file tree that it
 * is made of, and its compiled form.
 *
 * The root of that part is the nearest folder that holds both the working directory and
 * all files of the test; so a test that is run in a copy of it finds its files by the
 * same names. */
#ifndef RUNNER_PACKAGE_H
#define RUNNER_PACKAGE_H

#include <stddef.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "base/error.h"
#include "job/job.h"
#include "proto/bundle.h"

struct package_content {
    char digest[DIGEST_SIZE];
    struct buffer bytes;
};

struct package {
    struct bundle bundle;
    /* What the bundle names, as it was when the package was made. */
    struct package_content *contents;
    size_t count;
};

/* Reads all files of the job's test, which its host has prepared. 0; or -1: `err` says
 * what cannot be read or is too much, and nothing is left. */
int package_make(const struct job *job, struct package *ret_package, struct error *err);
void package_clear(struct package *package); /* a zeroed one is empty */

/* NULL: none of its contents has this digest. */
const struct buffer *package_find(const struct package *package, const char *digest);

#endif
