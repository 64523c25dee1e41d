#include "proto/messages.h"

#include <limits.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

enum { WHY_MAX = 2 * ERROR_SIZE, NAME_MAX_BYTES = 256 };

const char *const proto_message_names[MESSAGE_COUNT] = {
#define MESSAGE_NAME(name, help) #name,
    PROTO_MESSAGES(MESSAGE_NAME)
#undef MESSAGE_NAME
};

int message_identify(const msgpack_object *map, enum proto_message *ret_message,
                     struct error *err)
{
    const char *name;
    size_t length;

    if (wire_get_text(map, "message", 64, &name, &length, err) == -1)
        return -1;
    for (size_t i = 0; i < MESSAGE_COUNT; i++) {
        if (strlen(proto_message_names[i]) == length &&
            memcmp(proto_message_names[i], name, length) == 0) {
            *ret_message = (enum proto_message)i;
            return 0;
        }
    }
    return error_set(err, "there is no message '%.*s'", (int)length, name);
}

void message_begin(struct buffer *buffer, msgpack_packer *packer,
                   enum proto_message message, size_t fields)
{
    buffer_reset(buffer);
    wire_packer(packer, buffer);
    msgpack_pack_map(packer, fields + 1);
    wire_put_text(packer, "message", proto_message_names[message]);
}

void message_pack_plain(struct buffer *buffer, enum proto_message message)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, message, 0);
}

void message_pack_text(struct buffer *buffer, enum proto_message message,
                       const char *field, const char *text)
{
    msgpack_packer packer;
    char clean[WHY_MAX];

    text_clean(clean, sizeof(clean), text, strlen(text));
    message_begin(buffer, &packer, message, 1);
    wire_put_text(&packer, field, clean);
}

void message_pack_stop(struct buffer *buffer, bool force)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_STOP, 1);
    wire_put_bool(&packer, "force", force);
}

void message_pack_stopping(struct buffer *buffer, const char *why, bool failed)
{
    msgpack_packer packer;
    char text[WHY_MAX];

    text_clean(text, sizeof(text), why, strlen(why)); /* cut to what a reader takes */
    message_begin(buffer, &packer, MESSAGE_STOPPING, 2);
    wire_put_text(&packer, "why", text);
    wire_put_bool(&packer, "failed", failed);
}

/* A text for a person: whoever sent it may be in the hands of the user's code, so it is
 * cleaned here, whatever the sender did. */
static int copy_clean_text(const msgpack_object *map, const char *key, size_t max,
                           char **ret_text, struct error *err)
{
    const char *text;
    size_t length;
    char *clean;

    if (wire_get_text(map, key, max, &text, &length, err) == -1)
        return -1;
    clean = xmalloc(max + 1);
    text_clean(clean, max + 1, text, length);
    *ret_text = clean;
    return 0;
}

int message_unpack_why(const msgpack_object *map, char **ret_why, struct error *err)
{
    return copy_clean_text(map, "why", WHY_MAX, ret_why, err);
}

int message_unpack_stopping(const msgpack_object *map, struct message_stopping *ret,
                            struct error *err)
{
    bool failed;
    char *why;

    if (wire_get_bool(map, "failed", &failed, err) == -1 ||
        message_unpack_why(map, &why, err) == -1)
        return -1;
    *ret = (struct message_stopping){.why = why, .failed = failed};
    return 0;
}

void message_pack_lost(struct buffer *buffer, const struct message_lost *lost)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_LOST, lost->scenario != NULL ? 5 : 4);
    wire_put_u64(&packer, "index", lost->index);
    wire_put_i64(&packer, "signal", lost->signal);
    wire_put_i64(&packer, "status", lost->status);
    wire_put_bool(&packer, "stuck", lost->stuck);
    if (lost->scenario != NULL)
        wire_put_text(&packer, "scenario", lost->scenario);
}

int message_unpack_lost(const msgpack_object *map, struct message_lost *ret,
                        struct error *err)
{
    uint64_t index, signal, status;
    bool stuck;
    char *scenario = NULL;

    if (wire_get_u64(map, "index", UINT_MAX, &index, err) == -1 ||
        wire_get_u64(map, "signal", 255, &signal, err) == -1 ||
        wire_get_u64(map, "status", 255, &status, err) == -1 ||
        wire_get_bool(map, "stuck", &stuck, err) == -1)
        return -1;
    if (wire_get(map, "scenario") != NULL &&
        copy_clean_text(map, "scenario", NAME_MAX_BYTES, &scenario, err) == -1)
        return -1;
    *ret = (struct message_lost){
        .index = (unsigned)index,
        .signal = (int)signal,
        .status = (int)status,
        .stuck = stuck,
        .scenario = scenario,
    };
    return 0;
}
