/* scenario/c_json.c - reading the JSON of an answer's body (mlt_json_...).
 *
 * The parsed body lives in the session's arena, like the body: it goes with the run of the
 * scenario, and no piece of it is freed by itself. */
#include "scenario/c_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/memory.h"

/* A document may take so much memory: the body that it was made of is at most 64 MiB. */
#define DOCUMENT_SIZE_MAX ((size_t)1 << 30)

/* The parsed body of an answer. */
struct c_document {
    const json_t *root; /* NULL: it is no JSON */
    const char *why;
};

/* --- parsing ------------------------------------------------------------------------------ */

/* Where jansson's memory comes from while this thread parses. A document is only read
 * afterwards, so what is freed then is what was made in the same parsing. */
static _Thread_local struct {
    struct arena *arena; /* NULL: it does not parse */
    size_t left;
} parsing;

/* Where it comes from for everybody else: a scenario may use jansson by itself. */
static json_malloc_t outside_malloc = malloc;
static json_free_t outside_free = free;

static void *allocate(size_t size)
{
    if (parsing.arena == NULL)
        return outside_malloc(size);
    if (size > parsing.left)
        return NULL; /* jansson says that memory is out */
    parsing.left -= size;
    return arena_alloc(parsing.arena, size);
}

static void release(void *memory)
{
    if (parsing.arena == NULL)
        outside_free(memory);
}

void c_json_take_over(void)
{
    json_malloc_t current_malloc;
    json_free_t current_free;

    json_get_alloc_funcs(&current_malloc, &current_free);
    if (current_malloc == allocate)
        return;
    outside_malloc = current_malloc;
    outside_free = current_free;
    json_set_alloc_funcs(allocate, release);
}

static struct arena *arena_of(const struct c_response *response)
{
    return session_arena(response->session->worker->session);
}

static struct c_document *parse(const struct c_response *response)
{
    struct arena *const arena = arena_of(response);
    struct c_document *const document = arena_alloc(arena, sizeof(*document));
    json_error_t why;

    c_json_take_over(); /* the scenario may have set functions of its own since */
    parsing.arena = arena;
    parsing.left = DOCUMENT_SIZE_MAX;
    *document = (struct c_document){
        .root = json_loadb(response->inner->body, response->inner->body_size,
                           JSON_DECODE_ANY | JSON_ALLOW_NUL, &why)};
    parsing.arena = NULL;
    if (document->root == NULL)
        document->why = arena_strndup(arena, why.text, strlen(why.text));
    return document;
}

/* The parsed body; parsed when it is first asked for. */
static const struct c_document *document_of(const mlt_response *response)
{
    struct c_response *const own = (struct c_response *)(uintptr_t)response;

    if (own->document == NULL)
        own->document = parse(own);
    return own->document;
}

/* --- looking for a value ------------------------------------------------------------------ */

/* The value at a path like "items[0].id"; NULL: there is none. */
static const json_t *walk(const json_t *value, const char *path)
{
    while (value != NULL && *path != '\0') {
        if (*path == '[') {
            char *end;
            const unsigned long index = strtoul(path + 1, &end, 10);

            if (end == path + 1 || *end != ']')
                return NULL;
            value = json_array_get(value, index);
            path = end + 1;
        } else {
            const size_t length = strcspn(path, ".[");

            value = json_object_getn(value, path, length);
            path += length;
        }
        if (*path == '.')
            path++;
    }
    return value;
}

static const char *const type_names[] = {
    [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array",
    [JSON_STRING] = "a string",  [JSON_INTEGER] = "an integer",
    [JSON_REAL] = "a number",    [JSON_TRUE] = "true",
    [JSON_FALSE] = "false",      [JSON_NULL] = "null",
};

static _Noreturn void fail_json(const mlt_response *response, const char *problem,
                                const char *detail, const char *file, int line)
{
    const struct c_response *const own = (const struct c_response *)response;
    char text[C_TEXT_SIZE], message[C_TEXT_SIZE], sample[C_TEXT_SIZE];

    snprintf(text, sizeof(text), "%s: %s", own->inner->label, problem);
    c_locate(message, file, line, text);
    snprintf(sample, sizeof(sample), "%s, in: %.200s", detail, own->inner->body);
    c_fail(message, sample);
}

static _Noreturn void fail_path(const mlt_response *response, const char *path,
                                const json_t *value, const char *wanted,
                                const char *file, int line)
{
    char problem[C_TEXT_SIZE], detail[C_TEXT_SIZE];

    snprintf(problem, sizeof(problem), "the answer's JSON has no %s at '%.200s'",
             wanted, path);
    snprintf(detail, sizeof(detail), "there is %s",
             value != NULL ? type_names[json_typeof(value)] : "nothing");
    fail_json(response, problem, detail, file, line);
}

/* The value at the path, of a type that `is_right` accepts; else the scenario fails. */
static const json_t *find_json(const mlt_response *response, const char *path,
                               bool (*is_right)(const json_t *), const char *wanted,
                               const char *file, int line)
{
    const struct c_document *const document = document_of(response);
    const json_t *const value = walk(document->root, path);

    if (value != NULL && is_right(value))
        return value;
    if (document->root == NULL)
        fail_json(response, "the answer's body is no JSON", document->why, file, line);
    fail_path(response, path, value, wanted, file, line);
}

static bool is_string(const json_t *value)
{
    return json_is_string(value);
}

static bool is_integer(const json_t *value)
{
    return json_is_integer(value);
}

static bool is_number(const json_t *value)
{
    return json_is_number(value);
}

static bool is_boolean(const json_t *value)
{
    return json_is_boolean(value);
}

static bool is_container(const json_t *value)
{
    return json_is_array(value) || json_is_object(value);
}

const char *mlt_json_str_at(const mlt_response *response, const char *path,
                            const char *file, int line)
{
    return json_string_value(
        find_json(response, path, is_string, "string", file, line));
}

int64_t mlt_json_int_at(const mlt_response *response, const char *path,
                        const char *file, int line)
{
    return json_integer_value(
        find_json(response, path, is_integer, "integer", file, line));
}

double mlt_json_double_at(const mlt_response *response, const char *path,
                          const char *file, int line)
{
    return json_number_value(
        find_json(response, path, is_number, "number", file, line));
}

bool mlt_json_bool_at(const mlt_response *response, const char *path, const char *file,
                      int line)
{
    return json_is_true(find_json(response, path, is_boolean, "boolean", file, line));
}

size_t mlt_json_length_at(const mlt_response *response, const char *path,
                          const char *file, int line)
{
    const json_t *const value =
        find_json(response, path, is_container, "array or object", file, line);

    return json_is_array(value) ? json_array_size(value) : json_object_size(value);
}

bool mlt_json_has(const mlt_response *response, const char *path)
{
    return walk(document_of(response)->root, path) != NULL;
}
