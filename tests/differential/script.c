#include "differential/script.h"

#include <ctype.h>
#include <stdio.h>

enum { PRINTED_MAX = 3000 };

static const char *const ending_names[ENDING_COUNT] = {
    [ENDING_KEPT] = "kept",
    [ENDING_CLOSED] = "closed",
    [ENDING_RESET] = "reset",
};

size_t script_piece_end(const struct script *script, size_t from)
{
    if (script->cut_everywhere && from < script->bytes.size)
        return from + 1;
    for (size_t i = 0; i < script->cut_count; i++) {
        if (script->cuts[i] > from && script->cuts[i] < script->bytes.size)
            return script->cuts[i];
    }
    return script->bytes.size;
}

static void print_byte(unsigned char byte)
{
    if (byte == '\r')
        fputs("\\r", stdout);
    else if (byte == '\n')
        fputs("\\n\n    ", stdout);
    else if (byte == '\\')
        fputs("\\\\", stdout);
    else if (isprint(byte))
        putchar(byte);
    else
        printf("\\x%02x", byte);
}

static void print_cuts(const struct script *script)
{
    if (script->cut_everywhere)
        fputs(" everywhere", stdout);
    for (size_t i = 0; i < script->cut_count; i++)
        printf(" %zu", script->cuts[i]);
    if (!script->cut_everywhere && script->cut_count == 0)
        fputs(" nowhere", stdout);
}

void script_print(const struct script *script)
{
    printf("  %s, answer to a %s on a %s %s connection, which is then %s%s; cut",
           script->name, script->method, script->on_kept ? "kept" : "new",
           script->on_unix ? "unix" : "tcp", ending_names[script->ending],
           script->ends_at_once ? " at once" : "");
    print_cuts(script);
    printf("; %zu bytes:\n    ", script->bytes.size);
    for (size_t i = 0; i < script->bytes.size && i < PRINTED_MAX; i++)
        print_byte((unsigned char)script->bytes.data[i]);
    puts(script->bytes.size > PRINTED_MAX ? "..." : "");
}
