/* scenario/c_build.h - makes the compiled object of a test in C, once for its content. */
#ifndef SCENARIO_C_BUILD_H
#define SCENARIO_C_BUILD_H

#include "base/error.h"

/* Compiles `source` with $CC (default: cc), unless the cache ($XDG_CACHE_HOME/molotov,
 * else ~/.cache/molotov) holds the object of the same source, includes, flags and
 * compiler command. Flags come from comments `// molotov: -lm` in the source. What the compiler
 * says goes to stderr as it is. 0, and the caller frees the object's path; or -1. */
int c_build(const char *source, char **ret_object, struct error *err);

/* Whether this program can load the object, by its ABI stamp, without running any of
 * it. -1: `err` says what differs. */
int c_check_stamp(const char *object, struct error *err);

#endif
