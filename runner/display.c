#include "runner/display.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static int open_one(struct display *display, const struct job *job, const char *name,
                    struct error *err)
{
    const struct output_type *const type = output_type_find(name, err);
    struct output *output;

    if (type == NULL)
        return -1;
    if (type->open(job, &output, err) == -1)
        return error_prefix(err, "--output %s", name);
    display->outputs[display->count++] = output;
    return 0;
}

int display_open(struct display *display, const struct job *job, struct error *err)
{
    display->count = 0;
    display->outputs = xcalloc(job->outputs.count, sizeof(*display->outputs));
    for (size_t i = 0; i < job->outputs.count; i++) {
        if (open_one(display, job, job->outputs.items[i], err) == -1) {
            display_close(display, NULL);
            return -1;
        }
    }
    return 0;
}

void display_start(const struct display *display, const struct report *report)
{
    for (size_t i = 0; i < display->count; i++) {
        struct output *const output = display->outputs[i];

        if (output->type->start != NULL)
            output->type->start(output, report);
    }
}

void display_push(const struct display *display, const struct report *report,
                  const struct delta *delta)
{
    for (size_t i = 0; i < display->count; i++) {
        struct output *const output = display->outputs[i];

        if (output->type->push != NULL)
            output->type->push(output, report, delta);
    }
}

void display_tick(const struct display *display, const struct report *report)
{
    for (size_t i = 0; i < display->count; i++) {
        struct output *const output = display->outputs[i];

        if (output->type->tick != NULL)
            output->type->tick(output, report);
    }
}

int display_close(struct display *display, const struct report *report)
{
    int rc = 0;

    for (size_t i = 0; i < display->count; i++) {
        struct output *const output = display->outputs[i];
        const char *const name = output->type->name;
        struct error err;

        if (output->type->close(output, report, &err) == -1) {
            fprintf(stderr, "molotov-runner: --output %s: %s\n", name, err.message);
            rc = -1;
        }
    }
    free(display->outputs);
    *display = (struct display){.outputs = NULL};
    return rc;
}

bool display_owns_stdout(const struct job *job)
{
    for (size_t i = 0; i < job->outputs.count; i++) {
        const struct output_type *const type =
            output_type_find(job->outputs.items[i], NULL);
        const char *const file =
            type != NULL ? output_setting(type, job, "filename") : NULL;

        if (file != NULL && strcmp(file, "-") == 0)
            return true;
    }
    return false;
}
