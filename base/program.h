/* base/program.h - what the main() of every program begins and ends with. */
#ifndef BASE_PROGRAM_H
#define BASE_PROGRAM_H

#include <stddef.h>

#include "base/error.h"

enum program_status {
    PROGRAM_OK = 0,
    PROGRAM_FAILED = 1, /* could not do it, or what was tested failed */
    PROGRAM_USAGE = 2,  /* wrong options */
};

/* Descriptors 0 to 2 are open, SIGPIPE is ignored. `name` is for program_complain(). */
void program_open(const char *name);

/* "NAME: message" on stderr, clean; for PROGRAM_USAGE followed by a hint at --help. Also on
 * what stderr was before program_log_to(): whoever started it may look there only. Returns
 * `status`. */
int program_complain(enum program_status status, const struct error *err);

/* Columns for --help: the terminal's, within reason; 80 where there is none. */
size_t program_help_width(void);

/* stderr goes to the end of a file from now on; "-" and "stdout" (Loads' name for
 * stderr) leave it. */
int program_log_to(const char *path, struct error *err);

/* The path of the program `name` that was built or installed beside this one; the caller
 * frees it. */
char *program_beside(const char *name);

/* This host's name, "localhost" where it has none; valid until the next call. */
const char *program_host(void);

#endif
