/* proto/channel.h - messages over a stream socket between a parent and its child.
 *
 * A frame is its length (4 bytes, most significant first) and a message. A stream, since
 * a SOCK_SEQPACKET refuses large messages. */
#ifndef PROTO_CHANNEL_H
#define PROTO_CHANNEL_H

#include <stdbool.h>

#include <ev.h>

#include "base/buffer.h"
#include "base/error.h"
#include "proto/messages.h"

struct channel {
    struct ev_loop *loop;
    int fd; /* -1: closed */
    ev_io readable, writable;
    struct buffer in, out;
    bool dispatching; /* on_message() is being called */

    /* A message came; `map` is borrowed. May close the channel, not free it. */
    void (*on_message)(struct channel *channel, enum proto_message message,
                       const msgpack_object *map);
    /* The other side closed, or sent what is no message (`err` says so); the channel is
     * already closed. Not called after channel_close(). */
    void (*on_close)(struct channel *channel, const struct error *err);
    void *data;
};

/* Two connected descriptors for a channel, both closed on exec. */
int channel_pair(int ret_fds[2], struct error *err);

/* Starts to read from `fd`, which is the channel's now. */
void channel_open(struct channel *channel, struct ev_loop *loop, int fd);
void channel_close(struct channel *channel); /* what waits unsent is gone */

/* Queues one message (without its length) and writes what the socket takes. */
void channel_send(struct channel *channel, const struct buffer *message);

/* Handles the messages that have come, without waiting: for a child that has died. What is
 * sent meanwhile (somebody may have its end) cannot hold us. */
void channel_drain(struct channel *channel);

/* Bytes that wait to be written: while there are any, whoever sends often merges. */
size_t channel_waiting(const struct channel *channel);

/* Writes what waits, for at most `timeout_s`: for a process that is about to end. */
int channel_flush(struct channel *channel, double timeout_s, struct error *err);

#endif
