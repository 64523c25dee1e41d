#include "proto/messages.h"

#include <limits.h>
#include <string.h>

#include "base/text.h"
#include "proto/fields.h"

enum { NAME_SIZE = 64, SCENARIO_MAX = 256 };

const char *const proto_message_names[MESSAGE_COUNT] = {
#define MESSAGE_NAME(name, help) #name,
    PROTO_MESSAGES(MESSAGE_NAME)
#undef MESSAGE_NAME
};

int message_identify(const msgpack_object *map, enum proto_message *ret_message,
                     struct error *err)
{
    char shown[NAME_SIZE];
    const char *name;
    size_t length;

    if (wire_get_text(map, "message", NAME_SIZE - 1, &name, &length, err) == -1)
        return -1;
    for (size_t i = 0; i < MESSAGE_COUNT; i++) {
        if (strlen(proto_message_names[i]) == length &&
            memcmp(proto_message_names[i], name, length) == 0) {
            *ret_message = (enum proto_message)i;
            return 0;
        }
    }
    text_clean(shown, sizeof(shown), name, length);
    return error_set(err, "there is no message '%s'", shown);
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

    message_begin(buffer, &packer, message, 1);
    field_put_text(&packer, field, text, FIELD_WHY_MAX);
}

void message_pack_stop(struct buffer *buffer, bool force)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_STOP, 1);
    wire_put_bool(&packer, "force", force);
}

void message_put_stopping_fields(msgpack_packer *packer, const char *why, bool failed)
{
    field_put_text(packer, "why", why, FIELD_WHY_MAX);
    wire_put_bool(packer, "failed", failed);
}

void message_pack_stopping(struct buffer *buffer, const char *why, bool failed)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_STOPPING, 2);
    message_put_stopping_fields(&packer, why, failed);
}

int message_unpack_why(const msgpack_object *map, char **ret_why, struct error *err)
{
    return field_get_text(map, "why", FIELD_WHY_MAX, ret_why, err);
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

size_t message_count_lost_fields(const struct message_lost *lost)
{
    return 4 + (size_t)(lost->scenario != NULL);
}

void message_put_lost_fields(msgpack_packer *packer, const struct message_lost *lost)
{
    wire_put_u64(packer, "index", lost->index);
    wire_put_i64(packer, "signal", lost->signal);
    wire_put_i64(packer, "status", lost->status);
    wire_put_bool(packer, "stuck", lost->stuck);
    field_put_optional_text(packer, "scenario", lost->scenario, SCENARIO_MAX);
}

void message_pack_lost(struct buffer *buffer, const struct message_lost *lost)
{
    msgpack_packer packer;

    message_begin(buffer, &packer, MESSAGE_LOST, message_count_lost_fields(lost));
    message_put_lost_fields(&packer, lost);
}

int message_unpack_lost(const msgpack_object *map, struct message_lost *ret,
                        struct error *err)
{
    uint64_t index, signal, status;
    bool stuck;
    char *scenario;

    if (wire_get_u64(map, "index", UINT_MAX, &index, err) == -1 ||
        wire_get_u64(map, "signal", 255, &signal, err) == -1 ||
        wire_get_u64(map, "status", 255, &status, err) == -1 ||
        wire_get_bool(map, "stuck", &stuck, err) == -1 ||
        field_get_optional_text(map, "scenario", SCENARIO_MAX, &scenario, err) == -1)
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
