#include "outputs/output.h"

#include <stdlib.h>

#include "base/memory.h"

static int open_null(const struct job *job, struct output **ret_output,
                     struct error *err)
{
    struct output *const output = xcalloc(1, sizeof(*output));

    (void)job;
    (void)err;
    output->type = &output_null;
    *ret_output = output;
    return 0;
}

static int close_null(struct output *output, const struct report *report,
                      struct error *err)
{
    (void)report;
    (void)err;
    free(output);
    return 0;
}

const struct output_type output_null = {
    .name = "null",
    .help = "nowhere: nothing is shown or written",
    .open = open_null,
    .close = close_null,
};
