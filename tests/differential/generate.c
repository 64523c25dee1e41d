#include "differential/generate.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "differential/bases.h"
#include "unit/random.h"

enum {
    SHORT_BASE = 320,     /* every byte of it is a place to cut */
    PLACES_OF_LONG = 48,  /* of a longer one: so many places */
    EACH_BYTE_MAX = 3000, /* a longer one is not sent byte by byte */
    MUTATIONS_MAX = 4,
    UNIX_PERCENT = 80,
};

/* --- bases ---------------------------------------------------------------------------- */

/* The i-th place to cut a base at, from 1; as many as place_count() says. */
static size_t place_count(const struct buffer *bytes)
{
    if (bytes->size <= SHORT_BASE)
        return bytes->size > 0 ? bytes->size - 1 : 0;
    return PLACES_OF_LONG;
}

static size_t place(const struct buffer *bytes, size_t i)
{
    struct random random = random_from(bytes->size + i);

    if (bytes->size <= SHORT_BASE)
        return i + 1;
    return 1 + random_below(&random, bytes->size - 1);
}

static void visit_endings(struct script *script, script_visitor visit, void *data)
{
    for (int ending = 0; ending < ENDING_COUNT; ending++) {
        script->ending = (enum ending)ending;
        for (int way = 0; way < 4; way++) {
            script->on_unix = way & 1;
            script->ends_at_once = (way & 2) && ending == ENDING_CLOSED;
            if ((way & 1 && ending == ENDING_RESET) ||
                (way & 2 && ending != ENDING_CLOSED))
                continue;
            visit(script, data);
        }
    }
    script->ending = ENDING_KEPT;
    script->ends_at_once = false;
}

static void visit_cuts(struct script *script, script_visitor visit, void *data)
{
    const size_t count = place_count(&script->bytes);

    script->on_unix = true;
    for (size_t i = 0; i < count; i++) {
        script->cut_count = 1;
        script->cuts[0] = place(&script->bytes, i);
        visit(script, data);
    }
    script->cut_count = 0;
    script->cut_everywhere = true;
    if (script->bytes.size <= EACH_BYTE_MAX)
        visit(script, data);
    script->cut_everywhere = false;
}

static void visit_truncated(struct script *script, script_visitor visit, void *data)
{
    const size_t whole = script->bytes.size;
    const size_t count = place_count(&script->bytes);

    for (size_t i = 0; i < count; i++) {
        script->bytes.size = place(&script->bytes, i);
        script->on_unix = true;
        script->ending = ENDING_CLOSED;
        visit(script, data);
        script->on_unix = false;
        script->ending = ENDING_RESET;
        visit(script, data);
        script->bytes.size = whole;
    }
    script->ending = ENDING_KEPT;
}

static void visit_base(const struct base *base, script_visitor visit, void *data)
{
    struct script script = {.name = base->name, .method = base->method};

    buffer_add(&script.bytes, base->bytes, base->size);
    for (int kept = 0; kept < 2; kept++) {
        script.on_kept = kept == 1;
        visit_endings(&script, visit, data);
    }
    script.on_kept = false;
    visit_cuts(&script, visit, data);
    visit_truncated(&script, visit, data);
    buffer_clear(&script.bytes);
}

void generate_bases(script_visitor visit, void *data)
{
    struct bases *const bases = bases_new();

    for (size_t i = 0; i < bases_count(bases); i++) {
        const struct base base = bases_get(bases, i);

        visit_base(&base, visit, data);
    }
    bases_destroy(bases);
}

/* --- mutations ------------------------------------------------------------------------ */

/* Puts `size` bytes in the place of `removed` ones. */
static void splice(struct buffer *bytes, size_t at, size_t removed, const void *data,
                   size_t size)
{
    struct buffer result = BUFFER_INIT;

    buffer_add(&result, bytes->data, at);
    buffer_add(&result, data, size);
    buffer_add(&result, bytes->data + at + removed, bytes->size - at - removed);
    buffer_clear(bytes);
    *bytes = result;
}

static size_t any_place(const struct buffer *bytes, struct random *random)
{
    return random_below(random, bytes->size + 1);
}

static void flip_bit(struct buffer *bytes, struct random *random)
{
    if (bytes->size > 0)
        bytes->data[random_below(random, bytes->size)] ^=
            (char)(1 << random_below(random, 8));
}

static void delete_some(struct buffer *bytes, struct random *random)
{
    const size_t at = any_place(bytes, random);
    const size_t most = bytes->size - at;
    const size_t size = random_chance(random, 60) ? 1 : random_below(random, 12);

    splice(bytes, at, size < most ? size : most, "", 0);
}

static void insert_some(struct buffer *bytes, struct random *random)
{
    static const struct {
        const char *bytes;
        size_t size;
    } pieces[] = {
#define PIECE(text) {text, sizeof(text) - 1}
        PIECE("\r"),
        PIECE("\n"),
        PIECE("\r\n"),
        PIECE("\r\n\r\n"),
        PIECE("\0"),
        PIECE("\x7f"),
        PIECE("\x01"),
        PIECE("\xff"),
        PIECE("\t"),
        PIECE(" "),
        PIECE(":"),
        PIECE(","),
        PIECE(";"),
        PIECE("0"),
        PIECE("-"),
        PIECE("+"),
        PIECE("9"),
        PIECE("HTTP/1.1 200 OK\r\n"),
        PIECE("Content-Length: 3\r\n"),
        PIECE("Transfer-Encoding: chunked\r\n"),
        PIECE("Connection: close\r\n"),
        PIECE("Connection: keep-alive\r\n"),
        PIECE("Content-Encoding: gzip\r\n"),
        PIECE("0\r\n\r\n"),
#undef PIECE
    };
    const size_t which = random_below(random, ARRAY_SIZE(pieces));

    splice(bytes, any_place(bytes, random), 0, pieces[which].bytes, pieces[which].size);
}

static void duplicate_some(struct buffer *bytes, struct random *random)
{
    const size_t at = any_place(bytes, random);
    const size_t most = bytes->size - at;
    size_t size = random_below(random, 40);
    char copy[40];

    size = size < most ? size : most;
    memcpy(copy, bytes->data + at, size);
    splice(bytes, at, 0, copy, size);
}

/* The line that begins at or after `at`; its length with its end. 0: there is none. */
static size_t find_line(const struct buffer *bytes, size_t at, size_t *ret_begin)
{
    const char *const before = memchr(bytes->data + at, '\n', bytes->size - at);
    const char *end;

    if (before == NULL)
        return 0;
    *ret_begin = (size_t)(before + 1 - bytes->data);
    end = memchr(before + 1, '\n', bytes->size - *ret_begin);
    return end != NULL ? (size_t)(end - before) : 0;
}

/* A line and the one that follows it. */
static void swap_lines(struct buffer *bytes, struct random *random)
{
    size_t first, second;
    size_t first_size, second_size;
    char *copy;

    if (bytes->size == 0)
        return;
    first_size = find_line(bytes, random_below(random, bytes->size), &first);
    second_size = first_size > 0 ? find_line(bytes, first, &second) : 0;
    if (second_size == 0)
        return;
    copy = xstrndup(bytes->data + first, first_size);
    memmove(bytes->data + first, bytes->data + second, second_size);
    memcpy(bytes->data + first + second_size, copy, first_size);
    free(copy);
}

static void change_digit(struct buffer *bytes, struct random *random)
{
    const size_t from = any_place(bytes, random);

    for (size_t i = 0; i < bytes->size; i++) {
        char *const byte = &bytes->data[(from + i) % bytes->size];

        if (*byte >= '0' && *byte <= '9') {
            *byte = (char)('0' + random_below(random, 10));
            return;
        }
    }
}

/* CR LF becomes LF, or CR. */
static void spoil_line_end(struct buffer *bytes, struct random *random)
{
    const size_t from = any_place(bytes, random);
    const char *const end =
        memmem(bytes->data + from, bytes->size - from, "\r\n", strlen("\r\n"));

    if (end != NULL)
        splice(bytes, (size_t)(end - bytes->data) + random_below(random, 2), 1, "", 0);
}

static void mutate(struct buffer *bytes, struct random *random)
{
    static void (*const ways[])(struct buffer * bytes, struct random * random) = {
        flip_bit,       delete_some, insert_some,  insert_some,
        duplicate_some, swap_lines,  change_digit, spoil_line_end,
    };
    const size_t count = 1 + random_below(random, MUTATIONS_MAX);

    for (size_t i = 0; i < count; i++)
        ways[random_below(random, ARRAY_SIZE(ways))](bytes, random);
}

static int compare_sizes(const void *left, const void *right)
{
    const size_t a = *(const size_t *)left, b = *(const size_t *)right;

    return (a > b) - (a < b);
}

static void choose_cuts(struct script *script, struct random *random)
{
    script->cut_everywhere =
        script->bytes.size <= EACH_BYTE_MAX && random_chance(random, 10);
    if (script->bytes.size == 0 || script->cut_everywhere)
        return;
    script->cut_count = random_below(random, CUTS_MAX);
    for (size_t i = 0; i < script->cut_count; i++)
        script->cuts[i] = random_below(random, script->bytes.size);
    qsort(script->cuts, script->cut_count, sizeof(script->cuts[0]), compare_sizes);
}

static void make_mutation(const struct bases *bases, struct random *random,
                          struct script *ret_script)
{
    const struct base base = bases_get(bases, random_below(random, bases_count(bases)));

    *ret_script = (struct script){
        .name = base.name,
        .method = base.method,
        .on_kept = random_chance(random, 30),
        .on_unix = random_chance(random, UNIX_PERCENT),
        .ends_at_once = random_chance(random, 30),
    };
    if (!ret_script->on_unix)
        ret_script->ending = (enum ending)random_below(random, ENDING_COUNT);
    else if (random_chance(random, 40))
        ret_script->ending = ENDING_CLOSED;
    /* What has not been read is lost in a reset, or is not: not at once. */
    if (ret_script->ending != ENDING_CLOSED)
        ret_script->ends_at_once = false;
    buffer_add(&ret_script->bytes, base.bytes, base.size);
    mutate(&ret_script->bytes, random);
    choose_cuts(ret_script, random);
}

void generate_mutations(uint64_t seed, uint64_t count, script_visitor visit, void *data)
{
    struct bases *const bases = bases_new();

    for (uint64_t i = 0; i < count; i++) {
        struct random random = random_from(seed + i);
        struct script script;

        make_mutation(bases, &random, &script);
        visit(&script, data);
        buffer_clear(&script.bytes);
    }
    bases_destroy(bases);
}
