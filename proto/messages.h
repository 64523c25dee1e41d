/* proto/messages.h - the one table of messages, and what each carries.
 *
 * A message is a msgpack map {"message": NAME, ...fields}. README.md beside this file
 * tells who sends what, when, and what silence means. */
#ifndef PROTO_MESSAGES_H
#define PROTO_MESSAGES_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/wire.h"

#define PROTO_VERSION 1u /* the number in JOB: a slave refuses another */

#define PROTO_MESSAGES(X) \
    X(JOB, "parent to slave: what to run") \
    X(READY, "slave to parent: the test is loaded and globally set up") \
    X(REFUSED, "slave to parent: the run cannot start, and why") \
    X(START, "parent to slave: begin") \
    X(STOP, "parent to slave, engine to process: end the run") \
    X(DELTA, "process to engine, slave to parent: stats of one interval") \
    X(STOPPING, "process to engine, slave to parent: the run ends before its time") \
    X(LOST, "slave to parent: a process died") \
    X(TEARDOWN, "slave to parent: all processes have ended, global tear-down follows") \
    X(END, "process to engine, slave to parent: all that was measured has been sent")

enum proto_message {
#define MESSAGE_NUMBER(name, help) MESSAGE_##name,
    PROTO_MESSAGES(MESSAGE_NUMBER)
#undef MESSAGE_NUMBER
        MESSAGE_COUNT
};

extern const char *const proto_message_names[MESSAGE_COUNT];

/* Which message a map is: 0; or -1, `err` names what it claims to be. */
int message_identify(const msgpack_object *map, enum proto_message *ret_message,
                     struct error *err);

/* Begins a message in `buffer` (emptied first): the caller then writes `fields` entries
 * of the map with wire_put_*(). */
void message_begin(struct buffer *buffer, msgpack_packer *packer,
                   enum proto_message message, size_t fields);

/* --- what several of them carry ----------------------------------------------------- */

/* Why a run ends before its time, or failed: one line each, owned by the struct. */
struct message_stopping {
    char *why;   /* "--exception", "SIGINT": what interrupted it */
    bool failed; /* it counts as a failure of the run, not as an interruption */
};

void message_pack_stopping(struct buffer *buffer, const char *why, bool failed);
int message_unpack_stopping(const msgpack_object *map, struct message_stopping *ret,
                            struct error *err);

void message_pack_stop(struct buffer *buffer, bool force);

/* One text field: REFUSED {"why"}. */
void message_pack_text(struct buffer *buffer, enum proto_message message,
                       const char *field, const char *text);

/* The `why` of REFUSED or STOPPING, cleaned for a terminal; the caller frees it. */
int message_unpack_why(const msgpack_object *map, char **ret_why, struct error *err);

/* A message without fields: READY, START, END. */
void message_pack_plain(struct buffer *buffer, enum proto_message message);

/* A process that ended before its END. */
struct message_lost {
    unsigned index;
    int signal; /* 0: it exited by itself, with `status` */
    int status;
    bool stuck;     /* killed for its silence */
    char *scenario; /* what it ran; NULL: nothing. Owned by the struct */
};

void message_pack_lost(struct buffer *buffer, const struct message_lost *lost);
int message_unpack_lost(const msgpack_object *map, struct message_lost *ret,
                        struct error *err);

#endif
