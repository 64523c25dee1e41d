/* outputs/output.h - shows or writes the results of a run.
 *
 * All calls come from the runner's loop and must not block; `report` already holds what
 * the delta brings. An output cannot tell a local run from one on a cluster.
 *
 * To add one: write outputs/NAME.c and name its type in OUTPUT_TYPES. --help, the
 * command line and test_outputs.c walk that table; nothing else changes. */
#ifndef OUTPUTS_OUTPUT_H
#define OUTPUTS_OUTPUT_H

#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "job/job.h"
#include "job/options.h"
#include "outputs/report.h"

/* One --output-NAME-OPTION. */
struct output_option {
    const char *name;     /* "filename" */
    const char *metavar;  /* "FILE" */
    const char *standard; /* the default; NULL: none */
    const char *help;
};

struct output;

struct output_type {
    const char *name; /* as in --output NAME */
    const char *help;
    const struct output_option *options; /* ends with a row without name; NULL: none */

    /* Before the run: 0 and the caller owns the output, or -1 and `err` says what to do
     * (a file that cannot be written). */
    int (*open)(const struct job *job, struct output **ret_output, struct error *err);

    /* Each may be NULL. */
    void (*start)(struct output *output, const struct report *report);
    void (*push)(struct output *output, const struct report *report,
                 const struct delta *delta);
    void (*tick)(struct output *output, const struct report *report); /* now and then */

    /* After the run: writes what is left and frees. -1: the results are not all there.
     * `report` is NULL where there was no run: frees, and leaves nothing behind. This one
     * may wait for whoever reads the results: let SIGINT through before, and ignore
     * SIGPIPE, so that a reader who left is an error and not the end of the program. */
    int (*close)(struct output *output, const struct report *report, struct error *err);
};

/* An output's own struct begins with this. */
struct output {
    const struct output_type *type;
};

#define OUTPUT_TYPES(X) \
    X(output_stdout) \
    X(output_json) \
    X(output_null)

#define OUTPUT_TYPE_DECLARED(type) extern const struct output_type type;
OUTPUT_TYPES(OUTPUT_TYPE_DECLARED)
#undef OUTPUT_TYPE_DECLARED

extern const struct output_type *const output_types[]; /* ends with NULL */

/* The type of a name; NULL, and `err` lists those there are. */
const struct output_type *output_type_find(const char *name, struct error *err);

/* What an output goes by: --output-NAME-OPTION as given, or else its default; NULL where
 * it has none. */
const char *output_setting(const struct output_type *type, const struct job *job,
                           const char *option);

/* --- the command line ------------------------------------------------------------- */

/* One --output-NAME-OPTION on the command line. */
struct output_value {
    const struct output_type *type; /* whose option it is */
    char *name;                     /* of the row, owned */
    char *text;                     /* the row's field; NULL: not given */
};

/* All of them, as one table for options_parse(). */
struct output_options {
    struct option_row *rows;
    struct output_value *values;
    size_t count;
};

void output_options_init(struct output_options *options);
void output_options_clear(struct output_options *options);

/* Set no defaults in it: a value that is there counts as given. */
struct option_table output_options_table(struct output_options *options);

/* Checks the names in job->outputs and moves what was parsed into job->output_options.
 * 0; or -1 and `err` names the unknown output, the one that was named twice, or the
 * output that an option lacks. */
int output_options_apply(const struct output_options *options, struct job *job,
                         struct error *err);

/* "Outputs:" and a line for each, for --help. */
void output_help(struct buffer *ret_help);

#endif
