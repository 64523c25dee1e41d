#include "proto/channel.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

enum {
    LENGTH_SIZE = 4,
    READ_SIZE = 64 << 10,
    READS_A_TURN = 16, /* so that one busy peer leaves the loop to others */
};

int channel_pair(int ret_fds[2], struct error *err)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret_fds) == -1)
        return error_errno(err, "cannot open a channel to a child process");
    return 0;
}

void channel_close(struct channel *channel)
{
    if (channel->fd == -1)
        return;
    ev_io_stop(channel->loop, &channel->readable);
    ev_io_stop(channel->loop, &channel->writable);
    fd_close(&channel->fd);
    buffer_clear(&channel->out);
    if (!channel->dispatching) /* else the message being handled is still in there */
        buffer_clear(&channel->in);
}

static void close_and_tell(struct channel *channel, const struct error *err)
{
    channel_close(channel);
    if (channel->on_close != NULL)
        channel->on_close(channel, err);
}

/* Handles one whole frame: 0, or -1 and `err` says why it is none. */
static int take_frame(struct channel *channel, const char *frame, size_t size,
                      struct error *err)
{
    struct wire_message message;
    enum proto_message kind;

    if (wire_decode(frame, size, &message, err) == -1)
        return -1;
    if (message_identify(&message.root, &kind, err) == -1) {
        wire_clear(&message);
        return -1;
    }
    channel->dispatching = true;
    channel->on_message(channel, kind, &message.root);
    channel->dispatching = false;
    wire_clear(&message);
    return 0;
}

static size_t read_length(const char *bytes)
{
    const unsigned char *const b = (const unsigned char *)bytes;

    return (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | (size_t)b[3];
}

/* Handles all whole frames that have come. */
static int take_frames(struct channel *channel, struct error *err)
{
    size_t at = 0;

    while (channel->fd != -1 && channel->in.size - at >= LENGTH_SIZE) {
        const size_t size = read_length(channel->in.data + at);

        if (size > WIRE_SIZE_MAX)
            return error_set(err, "a message of %zu bytes is over the limit of %zu",
                             size, WIRE_SIZE_MAX);
        if (channel->in.size - at - LENGTH_SIZE < size)
            break;
        if (take_frame(channel, channel->in.data + at + LENGTH_SIZE, size, err) == -1)
            return -1;
        at += LENGTH_SIZE + size;
    }
    if (channel->fd == -1)
        buffer_clear(&channel->in);
    else
        buffer_drop(&channel->in, at);
    return 0;
}

/* Reads once and handles what came: false when there is nothing more for now, or the
 * channel is closed. */
static bool read_some(struct channel *channel)
{
    struct error err;
    ssize_t count;

    buffer_reserve(&channel->in, READ_SIZE);
    count =
        recv(channel->fd, channel->in.data + channel->in.size, READ_SIZE, MSG_DONTWAIT);
    if (count == -1 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (count <= 0) {
        error_set(&err, "the other side closed the channel");
        close_and_tell(channel, &err);
        return false;
    }
    channel->in.size += (size_t)count;
    if (take_frames(channel, &err) == -1) {
        close_and_tell(channel, &err);
        return false;
    }
    return channel->fd != -1;
}

static void on_channel_readable(struct ev_loop *loop, ev_io *watcher, int revents)
{
    struct channel *const channel = watcher->data;

    (void)loop;
    (void)revents;
    for (int turn = 0; turn < READS_A_TURN; turn++) {
        if (!read_some(channel))
            return;
    }
}

/* The reads that take what has come, and one that takes the end of the other side. */
static size_t count_reads(const struct channel *channel)
{
    int bytes = 0;

    if (channel->fd == -1)
        return 0;
    ioctl(channel->fd, FIONREAD, &bytes);
    return (size_t)bytes / READ_SIZE + 2;
}

void channel_drain(struct channel *channel)
{
    for (size_t left = count_reads(channel); left > 0 && read_some(channel); left--) {
    }
}

/* Writes what the socket takes. A broken channel is found by the reading side. */
static void write_waiting(struct channel *channel)
{
    while (channel->out.size > 0) {
        const ssize_t count = send(channel->fd, channel->out.data, channel->out.size,
                                   MSG_DONTWAIT | MSG_NOSIGNAL);

        if (count == -1 && errno == EINTR)
            continue;
        if (count == -1 && errno == EAGAIN)
            break;
        if (count == -1) {
            buffer_reset(&channel->out);
            break;
        }
        buffer_drop(&channel->out, (size_t)count);
    }
    if (channel->out.size > 0)
        ev_io_start(channel->loop, &channel->writable);
    else
        ev_io_stop(channel->loop, &channel->writable);
}

static void on_channel_writable(struct ev_loop *loop, ev_io *watcher, int revents)
{
    (void)loop;
    (void)revents;
    write_waiting(watcher->data);
}

void channel_open(struct channel *channel, struct ev_loop *loop, int fd)
{
    channel->loop = loop;
    channel->fd = fd;
    ev_io_init(&channel->readable, on_channel_readable, fd, EV_READ);
    ev_io_init(&channel->writable, on_channel_writable, fd, EV_WRITE);
    channel->readable.data = channel;
    channel->writable.data = channel;
    ev_io_start(loop, &channel->readable);
}

void channel_send(struct channel *channel, const struct buffer *message)
{
    const uint32_t size = (uint32_t)message->size;
    const unsigned char length[LENGTH_SIZE] = {
        (unsigned char)(size >> 24), (unsigned char)(size >> 16),
        (unsigned char)(size >> 8), (unsigned char)size};

    if (channel->fd == -1)
        return;
    buffer_add(&channel->out, length, sizeof(length));
    buffer_add(&channel->out, message->data, message->size);
    write_waiting(channel);
}

size_t channel_waiting(const struct channel *channel)
{
    return channel->fd == -1 ? 0 : channel->out.size;
}

int channel_flush(struct channel *channel, double timeout_s, struct error *err)
{
    const uint64_t deadline = clock_us() + (uint64_t)(timeout_s * US_PER_S);

    while (channel_waiting(channel) > 0) {
        struct pollfd ready = {.fd = channel->fd, .events = POLLOUT};

        if (clock_us() >= deadline)
            return error_set(err, "%zu bytes could not be sent within %g s",
                             channel_waiting(channel), timeout_s);
        poll(&ready, 1, 100);
        if ((ready.revents & (POLLERR | POLLHUP)) != 0)
            return error_set(err, "the other side closed the channel");
        write_waiting(channel);
    }
    return 0;
}
