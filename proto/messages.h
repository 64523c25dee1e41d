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

/* The number in the first message of every conversation: another is refused in words. */
#define PROTO_VERSION 1u

/* clang-format off */
#define PROTO_MESSAGES(X) \
    /* a slave and its parent, an engine and its processes */ \
    X(JOB, "parent to slave: what to run") \
    X(READY, "slave to parent, agent to broker: the test is loaded and globally set up") \
    X(REFUSED, "to whoever asked: it cannot be, and why") \
    X(START, "parent to slave, broker to agent: begin") \
    X(STOP, "parent to slave, engine to process, runner to broker, broker to agent: end it") \
    X(DELTA, "process to engine, slave to parent: stats of one interval") \
    X(STOPPING, "process to engine, slave to parent: the run ends before its time") \
    X(LOST, "slave to parent: a process died") \
    X(TEARDOWN, "slave to parent: all processes have ended, global tear-down follows") \
    X(END, "process to engine, slave to parent: all that was measured has been sent") \
    /* a runner (or whoever asks) and the broker, on the frontend */ \
    X(PING, "to the broker: who is there?") \
    X(PONG, "from the broker: its pid, endpoints, agents and runs") \
    X(LIST, "to the broker: which runs are and were there?") \
    X(RUNS, "from the broker: the runs") \
    X(RUN, "runner to broker: start this run, unless it is there") \
    X(LACKS, "broker to runner: files of the run that it has not got") \
    X(FILE, "runner to broker, broker to agent: the content of a file") \
    X(ACCEPTED, "broker to runner: the run is there; or it is told to stop") \
    X(SNAPSHOT, "console to broker: what came after this revision?") \
    X(UPDATE, "broker to consoles: what came, up to this revision") \
    X(END_OF_RUN, "broker to consoles: the run is over, and all its figures") \
    /* an agent and the broker, on the backend */ \
    X(REGISTER, "agent to broker: here I am") \
    X(REGISTERED, "broker to agent: welcome, and what is held of your run") \
    X(UNKNOWN, "broker to agent: register first") \
    X(BEAT, "both ways, each second: still there") \
    X(BYE, "both ways: leaving for good") \
    X(PREPARE, "broker to agent: load this job") \
    X(FETCH, "agent to broker: send this file of the run") \
    X(REPORT, "agent to broker: what was measured, and what happened") \
    X(ACK, "broker to agent: your reports up to this one are held for good") \
    X(RELEASE, "broker to agent: the run is over, forget it")
/* clang-format on */

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
/* The two fields within another map. */
void message_put_stopping_fields(msgpack_packer *packer, const char *why, bool failed);
/* Reads the fields from any map that has them. */
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
/* Reads the fields from any map that has them. */
int message_unpack_lost(const msgpack_object *map, struct message_lost *ret,
                        struct error *err);

/* The same fields within another map: how many there are, and they. */
size_t message_count_lost_fields(const struct message_lost *lost);
void message_put_lost_fields(msgpack_packer *packer, const struct message_lost *lost);

#endif
