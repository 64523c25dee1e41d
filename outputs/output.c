#include "outputs/output.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

enum { NAME_SHOWN = 100 };

const struct output_type *const output_types[] = {
#define OUTPUT_TYPE_LISTED(type) &type,
    OUTPUT_TYPES(OUTPUT_TYPE_LISTED)
#undef OUTPUT_TYPE_LISTED
        NULL,
};

static int refuse_name(const char *name, struct error *err)
{
    const char *names[ARRAY_SIZE(output_types)];
    struct buffer list = BUFFER_INIT;
    char shown[NAME_SHOWN];
    const char *nearest;
    size_t count = 0;

    text_clean(shown, sizeof(shown), name, strlen(name));
    for (; output_types[count] != NULL; count++) {
        names[count] = output_types[count]->name;
        buffer_printf(&list, "%s%s", count > 0 ? ", " : "", names[count]);
    }
    nearest = options_nearest(name, names, count);
    if (nearest != NULL)
        error_set(err, "unknown output '%s': did you mean '%s'? (there are: %s)", shown,
                  nearest, buffer_text(&list));
    else
        error_set(err, "unknown output '%s' (there are: %s)", shown,
                  buffer_text(&list));
    buffer_clear(&list);
    return -1;
}

const struct output_type *output_type_find(const char *name, struct error *err)
{
    for (size_t i = 0; output_types[i] != NULL; i++)
        if (strcmp(output_types[i]->name, name) == 0)
            return output_types[i];
    refuse_name(name, err);
    return NULL;
}

const char *output_setting(const struct output_type *type, const struct job *job,
                           const char *option)
{
    const char *const given = job_output_option(job, type->name, option);

    if (given != NULL || type->options == NULL)
        return given;
    for (const struct output_option *at = type->options; at->name != NULL; at++)
        if (strcmp(at->name, option) == 0)
            return at->standard;
    return NULL;
}

/* --- the command line ------------------------------------------------------------- */

static size_t count_options(void)
{
    size_t count = 0;

    for (size_t i = 0; output_types[i] != NULL; i++)
        for (const struct output_option *option = output_types[i]->options;
             option != NULL && option->name != NULL; option++)
            count++;
    return count;
}

static void add_row(struct output_options *options, const struct output_type *type,
                    const struct output_option *option)
{
    const size_t index = options->count++;

    struct output_value *const value = &options->values[index];

    value->type = type;
    value->name = xasprintf("output-%s-%s", type->name, option->name);
    options->rows[index] = (struct option_row){
        .name = value->name,
        .type = OPTION_TEXT,
        .metavar = option->metavar,
        .standard = option->standard,
        .section = "What is shown",
        .help = option->help,
        .local = true,
        .field = index * sizeof(*value) + offsetof(struct output_value, text),
    };
}

void output_options_init(struct output_options *options)
{
    const size_t count = count_options();

    *options = (struct output_options){
        .rows = xcalloc(count + 1, sizeof(*options->rows)),
        .values = xcalloc(count + 1, sizeof(*options->values)),
    };
    for (size_t i = 0; output_types[i] != NULL; i++)
        for (const struct output_option *option = output_types[i]->options;
             option != NULL && option->name != NULL; option++)
            add_row(options, output_types[i], option);
}

void output_options_clear(struct output_options *options)
{
    for (size_t i = 0; i < options->count; i++) {
        free(options->values[i].name);
        free(options->values[i].text);
    }
    free(options->rows);
    free(options->values);
    *options = (struct output_options){.rows = NULL};
}

struct option_table output_options_table(struct output_options *options)
{
    return (struct option_table){
        .rows = options->rows,
        .count = options->count,
        .values = options->values,
    };
}

static bool is_asked_for(const struct job *job, const char *name, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(job->outputs.items[i], name) == 0)
            return true;
    return false;
}

static int check_names(const struct job *job, struct error *err)
{
    for (size_t i = 0; i < job->outputs.count; i++) {
        const char *const name = job->outputs.items[i];

        if (output_type_find(name, err) == NULL)
            return -1;
        if (is_asked_for(job, name, i))
            return error_set(err, "--output %s is given twice", name);
    }
    return 0;
}

int output_options_apply(const struct output_options *options, struct job *job,
                         struct error *err)
{
    if (check_names(job, err) == -1)
        return -1;
    for (size_t i = 0; i < options->count; i++) {
        const struct output_value *const value = &options->values[i];
        char *setting;

        if (value->text == NULL)
            continue;
        if (!is_asked_for(job, value->type->name, job->outputs.count))
            return error_set(err, "--%s needs --output %s too", value->name,
                             value->type->name);
        setting = xasprintf("%s=%s", value->name, value->text);
        text_list_add(&job->output_options, setting);
        free(setting);
    }
    return 0;
}

void output_help(struct buffer *ret_help)
{
    buffer_add_text(ret_help, "Outputs:\n");
    for (size_t i = 0; output_types[i] != NULL; i++)
        buffer_printf(ret_help, "  %-28s  %s\n", output_types[i]->name,
                      output_types[i]->help);
}
