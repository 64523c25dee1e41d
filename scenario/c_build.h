/* scenario/c_build.h - makes the compiled object of a test in C, once for its content. */
#ifndef SCENARIO_C_BUILD_H
#define SCENARIO_C_BUILD_H

#include "base/error.h"
#include "job/options.h"

/* Where what the compiler says goes. */
enum c_said {
    C_SAID_SHOWN,    /* to stderr, as it is */
    C_SAID_IN_ERROR, /* its first lines into the error: the person is far away */
};

/* Compiles `source` with $CC (default: cc), unless the cache ($XDG_CACHE_HOME/molotov,
 * else ~/.cache/molotov) holds the object of the same source, includes, flags and
 * compiler command. Flags come from comments `// molotov: -lm` in the source. 0, and the
 * caller frees the object's path; or -1. */
int c_build(const char *source, enum c_said said, char **ret_object, struct error *err);

/* Adds the files that `source` is compiled from, as the compiler names them: itself, its
 * local includes, and files that its flags name; not what is installed (below /usr/), and
 * not molotov.h. -1: it does not compile, which the compiler says on stderr. */
int c_build_files(const char *source, struct text_list *ret_files, struct error *err);

#endif
