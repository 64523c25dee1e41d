#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/memory.h"
#include "proto/channel.h"
#include "unit/random.h"

enum { FAR_LARGER = 5 << 20 }; /* than the buffer of a socket */

/* One side of a channel, and what came there. */
struct side {
    struct channel channel;
    size_t messages, closes;
    size_t close_at; /* the message that closes it; 0: none does */
    bool in_order;   /* each said its number */
    size_t last_size;
    char why[ERROR_SIZE]; /* it was closed */
};

static void on_message(struct channel *channel, enum proto_message message,
                       const msgpack_object *map)
{
    struct side *const side = channel->data;
    const char *text = "";
    size_t length = 0;
    char number[32];

    side->messages++;
    if (side->messages == side->close_at)
        channel_close(channel);
    /* What was borrowed is there, also when the channel has just been closed. */
    if (message == MESSAGE_REFUSED)
        wire_get_text(map, "why", SIZE_MAX, &text, &length, NULL);
    snprintf(number, sizeof(number), "%zu ", side->messages);
    side->in_order = side->in_order && length >= strlen(number) &&
                     memcmp(text, number, strlen(number)) == 0;
    side->last_size = length;
}

static void on_close(struct channel *channel, const struct error *err)
{
    struct side *const side = channel->data;

    assert_int_equal(channel->fd, -1);
    side->closes++;
    snprintf(side->why, sizeof(side->why), "%s", err->message);
}

/* --- a channel, and a plain socket at its other end ------------------------------------- */

struct link {
    struct ev_loop *loop;
    struct side side;
    int peer;
};

static void side_open(struct side *side, struct ev_loop *loop, int fd)
{
    *side = (struct side){
        .channel = {.on_message = on_message, .on_close = on_close, .data = side},
        .in_order = true,
    };
    channel_open(&side->channel, loop, fd);
}

static void link_open(struct link *link)
{
    struct error err;
    int fds[2];

    assert_int_equal(channel_pair(fds, &err), 0);
    link->loop = loop_new();
    link->peer = fds[1];
    side_open(&link->side, link->loop, fds[0]);
}

static void link_close(struct link *link)
{
    channel_close(&link->side.channel);
    fd_close(&link->peer);
    ev_loop_destroy(link->loop);
}

/* All that can be done now without waiting. */
static void turn(struct ev_loop *loop)
{
    for (int i = 0; i < 8; i++)
        ev_run(loop, EVRUN_NOWAIT);
}

/* Message `number`, of about `size` bytes, with its length in front. */
static void add_frame(struct buffer *frames, size_t number, size_t size)
{
    struct buffer message = BUFFER_INIT;
    char *const text = xasprintf("%zu %0*d", number, (int)size, 0);
    unsigned char length[4];
    msgpack_packer packer;

    message_begin(&message, &packer, MESSAGE_REFUSED, 1);
    wire_put_text(&packer, "why", text);
    for (size_t i = 0; i < sizeof(length); i++)
        length[i] = (unsigned char)(message.size >> (24 - 8 * i));
    buffer_add(frames, length, sizeof(length));
    buffer_add(frames, message.data, message.size);
    buffer_clear(&message);
    free(text);
}

static void write_all(int fd, const void *data, size_t size)
{
    assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), (ssize_t)size);
}

static void send_numbered(struct channel *channel, size_t number, size_t size)
{
    struct buffer frame = BUFFER_INIT;
    struct buffer message;

    add_frame(&frame, number, size);
    buffer_drop(&frame, 4);
    message = frame;
    channel_send(channel, &message);
    buffer_clear(&frame);
}

/* --- delivery --------------------------------------------------------------------------- */

static void test_several_in_one_read(void **state)
{
    struct buffer frames = BUFFER_INIT;
    struct link link;

    (void)state;
    link_open(&link);
    for (size_t i = 1; i <= 50; i++)
        add_frame(&frames, i, i);
    write_all(link.peer, frames.data, frames.size);
    turn(link.loop);
    assert_int_equal(link.side.messages, 50);
    assert_true(link.side.in_order);
    assert_int_equal(link.side.closes, 0);
    buffer_clear(&frames);
    link_close(&link);
}

static void test_byte_by_byte(void **state)
{
    struct buffer frames = BUFFER_INIT;
    struct link link;

    (void)state;
    link_open(&link);
    for (size_t i = 1; i <= 3; i++)
        add_frame(&frames, i, 10);
    for (size_t i = 0; i < frames.size; i++) {
        assert_int_equal(link.side.messages, i / (frames.size / 3));
        write_all(link.peer, frames.data + i, 1);
        turn(link.loop);
    }
    assert_int_equal(link.side.messages, 3);
    assert_true(link.side.in_order);
    buffer_clear(&frames);
    link_close(&link);
}

/* Cut anywhere, in any number of pieces. */
static void test_any_pieces(void **state)
{
    struct random random = random_start("test_any_pieces");
    struct buffer frames = BUFFER_INIT;
    struct link link;

    (void)state;
    link_open(&link);
    for (size_t i = 1; i <= 300; i++)
        add_frame(&frames, i, random_size(&random, 12));
    for (size_t at = 0; at < frames.size;) {
        const size_t left = frames.size - at;
        const size_t piece = 1 + random_size(&random, 13);

        write_all(link.peer, frames.data + at, piece < left ? piece : left);
        at += piece < left ? piece : left;
        turn(link.loop);
    }
    assert_int_equal(link.side.messages, 300);
    assert_true(link.side.in_order);
    buffer_clear(&frames);
    link_close(&link);
}

/* Two channels on one loop: all that one sends comes to the other, in order. */
static void run_both(size_t count, size_t size)
{
    struct ev_loop *const loop = loop_new();
    struct side from, to;
    struct error err;
    int fds[2];

    assert_int_equal(channel_pair(fds, &err), 0);
    side_open(&from, loop, fds[0]);
    side_open(&to, loop, fds[1]);
    for (size_t i = 1; i <= count; i++)
        send_numbered(&from.channel, i, size);
    while (to.messages < count && to.closes == 0)
        ev_run(loop, EVRUN_ONCE);
    assert_int_equal(to.closes, 0);
    assert_true(to.in_order);
    assert_true(to.last_size >= size);
    assert_int_equal(channel_waiting(&from.channel), 0);
    assert_false(ev_is_active(&from.channel.writable)); /* or the loop would spin */
    channel_close(&from.channel);
    channel_close(&to.channel);
    ev_loop_destroy(loop);
}

static void test_many_messages(void **state)
{
    (void)state;
    run_both(5000, 1000);
}

static void test_larger_than_the_socket(void **state)
{
    (void)state;
    run_both(1, FAR_LARGER);
    run_both(3, FAR_LARGER);
}

static void test_both_ways(void **state)
{
    struct ev_loop *const loop = loop_new();
    struct side sides[2];
    struct error err;
    int fds[2];

    (void)state;
    assert_int_equal(channel_pair(fds, &err), 0);
    for (size_t i = 0; i < 2; i++)
        side_open(&sides[i], loop, fds[i]);
    for (size_t i = 1; i <= 200; i++) {
        send_numbered(&sides[0].channel, i, 10000);
        send_numbered(&sides[1].channel, i, 10000);
    }
    while (sides[0].messages < 200 || sides[1].messages < 200)
        ev_run(loop, EVRUN_ONCE);
    for (size_t i = 0; i < 2; i++) {
        assert_true(sides[i].in_order);
        channel_close(&sides[i].channel);
    }
    ev_loop_destroy(loop);
}

static void test_waiting(void **state)
{
    struct link link;

    (void)state;
    link_open(&link);
    assert_int_equal(channel_waiting(&link.side.channel), 0);
    send_numbered(&link.side.channel, 1, 10); /* the socket takes it */
    assert_int_equal(channel_waiting(&link.side.channel), 0);
    send_numbered(&link.side.channel, 2, FAR_LARGER); /* not all of it */
    assert_true(channel_waiting(&link.side.channel) > 0);
    channel_close(&link.side.channel);
    assert_int_equal(channel_waiting(&link.side.channel), 0);
    send_numbered(&link.side.channel, 3, 10); /* nobody gets it, and nothing happens */
    assert_int_equal(channel_waiting(&link.side.channel), 0);
    link_close(&link);
}

/* --- what is no message ----------------------------------------------------------------- */

#define FRAME(length, bytes) "\0\0\0" length bytes, 4 + sizeof(bytes) - 1

static void test_garbage(void **state)
{
    static const struct {
        const char *name, *bytes;
        size_t size;
        const char *want; /* in the words of on_close() */
    } cases[] = {
        {"a length over the limit",    "\x04\0\0\x01",           4,                        "over the limit"},
        {"the largest length",         "\xFF\xFF\xFF\xFF",       4,                        "over the limit"},
        {"another protocol",           "GET / HTTP/1.1\r\n\r\n", 18,                       "over the limit"},
        {"nothing in it",              FRAME("\0",               ""),                      "msgpack"       },
        {"no msgpack",                 FRAME("\1",               "\xC1"),                  "msgpack"       },
        {"a count without its values", FRAME("\5",               "\xDF\xFF\xFF\xFF\xFF"),  "msgpack"       },
        {"a number",                   FRAME("\1",               "\x01"),                  "map"           },
        {"no name",                    FRAME("\1",               "\x80"),                  "\"message\""   },
        {"an unknown name",            FRAME("\x0C",             "\x81\xA7message\xA2no"), "'no'"          },
        {"bytes behind the map",       FRAME("\2",               "\x80\x80"),              "after its end" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buffer bytes = BUFFER_INIT;
        struct link link;

        link_open(&link);
        add_frame(&bytes, 1, 5);
        buffer_add(&bytes, cases[i].bytes, cases[i].size);
        add_frame(&bytes, 2, 5); /* which is not read any more */
        write_all(link.peer, bytes.data, bytes.size);
        turn(link.loop);
        if (link.side.closes != 1 || strstr(link.side.why, cases[i].want) == NULL)
            fail_msg("%s: closed %zu times, '%s'", cases[i].name, link.side.closes,
                     link.side.why);
        assert_int_equal(link.side.messages, 1);
        buffer_clear(&bytes);
        link_close(&link);
    }
}

static void test_random_bytes(void **state)
{
    struct random random = random_start("test_random_bytes");

    (void)state;
    for (int round = 0; round < 300; round++) {
        struct buffer frames = BUFFER_INIT;
        struct link link;

        link_open(&link);
        for (size_t i = 1; i <= 5; i++)
            add_frame(&frames, i, random_below(&random, 30));
        frames.data[random_below(&random, frames.size)] = (char)random_bits(&random);
        write_all(link.peer, frames.data, frames.size);
        fd_close(&link.peer);
        turn(link.loop);
        assert_int_equal(link.side.closes, 1); /* for one reason or the other */
        assert_true(link.side.messages <= 5);
        buffer_clear(&frames);
        link_close(&link);
    }
}

/* --- the end ---------------------------------------------------------------------------- */

static void test_peer_closes(void **state)
{
    struct buffer frames = BUFFER_INIT;
    struct link link;

    (void)state;
    link_open(&link);
    add_frame(&frames, 1, 100);
    add_frame(&frames, 2, 100);
    write_all(link.peer, frames.data, frames.size - 1); /* the second is cut */
    fd_close(&link.peer);
    turn(link.loop);
    assert_int_equal(link.side.messages, 1);
    assert_int_equal(link.side.closes, 1);
    buffer_clear(&frames);
    link_close(&link);
}

/* What is sent then is lost, without a signal; the reading side says why. */
static void test_send_to_a_peer_that_is_gone(void **state)
{
    struct link link;

    (void)state;
    signal(SIGPIPE, SIG_DFL);
    link_open(&link);
    fd_close(&link.peer);
    send_numbered(&link.side.channel, 1, 10);
    send_numbered(&link.side.channel, 2, FAR_LARGER);
    assert_int_equal(channel_waiting(&link.side.channel), 0);
    assert_int_equal(link.side.closes, 0);
    turn(link.loop);
    assert_int_equal(link.side.closes, 1);
    link_close(&link);
}

static void test_close_is_not_told(void **state)
{
    struct link link;

    (void)state;
    link_open(&link);
    channel_close(&link.side.channel);
    channel_close(&link.side.channel); /* twice is fine */
    channel_drain(&link.side.channel);
    fd_close(&link.peer);
    turn(link.loop);
    assert_int_equal(link.side.closes, 0);
    link_close(&link);
}

/* Those behind the message that closed are not handled. */
static void test_close_in_on_message(void **state)
{
    static const struct {
        const char *name;
        size_t close_at, count;
        bool drain;
    } cases[] = {
        {"the first of many",   1, 10, false},
        {"in the middle",       5, 10, false},
        {"the last",            3, 3,  false},
        {"the only one",        1, 1,  false},
        {"while it is drained", 2, 10, true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buffer frames = BUFFER_INIT;
        struct link link;

        link_open(&link);
        link.side.close_at = cases[i].close_at;
        for (size_t k = 1; k <= cases[i].count; k++)
            add_frame(&frames, k, 50);
        write_all(link.peer, frames.data, frames.size);
        if (cases[i].drain)
            channel_drain(&link.side.channel);
        else
            turn(link.loop);
        if (link.side.messages != cases[i].close_at)
            fail_msg("%s: %zu messages", cases[i].name, link.side.messages);
        assert_true(link.side.in_order);
        assert_int_equal(link.side.closes, 0);
        buffer_clear(&frames);
        link_close(&link);
    }
}

static void free_channel(struct channel *channel, const struct error *err)
{
    size_t *const closes = channel->data;

    (void)err;
    ++*closes;
    free(channel);
}

/* Whoever is told that it closed may free it there. */
static void test_freed_in_on_close(void **state)
{
    static const struct {
        const char *name, *bytes;
        size_t size;
        bool drain;
    } cases[] = {
        {"at its end",              "",                 0, false},
        {"after garbage",           "\xFF\xFF\xFF\xFF", 4, false},
        {"drained to its end",      "",                 0, true },
        {"drained down to garbage", "\xFF\xFF\xFF\xFF", 4, true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct ev_loop *const loop = loop_new();
        struct channel *const channel = xcalloc(1, sizeof(*channel));
        size_t closes = 0;
        struct error err;
        int fds[2];

        assert_int_equal(channel_pair(fds, &err), 0);
        channel->on_message = on_message;
        channel->on_close = free_channel;
        channel->data = &closes;
        channel_open(channel, loop, fds[0]);
        write_all(fds[1], cases[i].bytes, cases[i].size);
        fd_close(&fds[1]);
        if (cases[i].drain)
            channel_drain(channel);
        else
            turn(loop);
        if (closes != 1)
            fail_msg("%s: closed %zu times", cases[i].name, closes);
        ev_loop_destroy(loop);
    }
}

/* For each message that is handled another comes. */
static void send_another(struct channel *channel, enum proto_message message,
                         const msgpack_object *map)
{
    struct link *const link = channel->data;
    struct buffer frame = BUFFER_INIT;

    (void)message;
    (void)map;
    add_frame(&frame, ++link->side.messages, 40);
    write_all(link->peer, frame.data, frame.size);
    buffer_clear(&frame);
}

/* Whoever writes without end, and has the end of a child that died, holds nobody. */
static void test_drain_ends(void **state)
{
    struct buffer frames = BUFFER_INIT;
    struct link link;

    (void)state;
    link_open(&link);
    link.side.channel.on_message = send_another;
    link.side.channel.data = &link;
    for (size_t k = 1; k <= 100; k++)
        add_frame(&frames, k, 40);
    write_all(link.peer, frames.data, frames.size);
    channel_drain(&link.side.channel);
    assert_true(link.side.messages >=
                100); /* all that had come, and few of the others */
    assert_true(link.side.messages <= 100 * 3);
    buffer_clear(&frames);
    link_close(&link);
}

/* A child that died had sent its last figures; it never read what we sent. */
static void test_drain_after_the_peer_died(void **state)
{
    static const size_t unread[] = {0, 10, FAR_LARGER};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(unread); i++) {
        struct buffer frames = BUFFER_INIT;
        struct link link;

        link_open(&link);
        if (unread[i] > 0)
            send_numbered(&link.side.channel, 1, unread[i]);
        for (size_t k = 1; k <= 500; k++)
            add_frame(&frames, k, 200);
        write_all(link.peer, frames.data, frames.size);
        fd_close(&link.peer);
        channel_drain(&link.side.channel);
        assert_int_equal(link.side.messages, 500);
        assert_true(link.side.in_order);
        assert_int_equal(link.side.closes, 1);
        turn(link.loop);
        assert_int_equal(link.side.closes, 1);
        buffer_clear(&frames);
        link_close(&link);
    }
}

/* Of one that lives, all that has come is handled, and nothing waited for. */
static void test_drain_does_not_wait(void **state)
{
    struct buffer frames = BUFFER_INIT;
    struct link link;

    (void)state;
    link_open(&link);
    add_frame(&frames, 1, 10);
    write_all(link.peer, frames.data, frames.size);
    channel_drain(&link.side.channel);
    channel_drain(&link.side.channel);
    assert_int_equal(link.side.messages, 1);
    assert_int_equal(link.side.closes, 0);
    buffer_clear(&frames);
    link_close(&link);
}

/* --- flush ------------------------------------------------------------------------------ */

static void test_flush_of_nothing(void **state)
{
    struct link link;
    struct error err;

    (void)state;
    link_open(&link);
    assert_int_equal(channel_flush(&link.side.channel, 0, &err), 0);
    channel_close(&link.side.channel);
    assert_int_equal(channel_flush(&link.side.channel, 0, &err), 0);
    link_close(&link);
}

static void test_flush_gives_up(void **state)
{
    static const double timeouts[] = {0, 0.01};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(timeouts); i++) {
        struct link link;
        struct error err;

        link_open(&link);
        send_numbered(&link.side.channel, 1, FAR_LARGER);
        assert_int_equal(channel_flush(&link.side.channel, timeouts[i], &err), -1);
        assert_non_null(strstr(err.message, "could not be sent"));
        assert_true(channel_waiting(&link.side.channel) > 0);
        link_close(&link);
    }
}

static void test_flush_to_a_peer_that_is_gone(void **state)
{
    struct link link;
    struct error err;

    (void)state;
    link_open(&link);
    send_numbered(&link.side.channel, 1, FAR_LARGER);
    fd_close(&link.peer);
    assert_int_equal(channel_flush(&link.side.channel, 3600, &err), -1);
    assert_non_null(strstr(err.message, "closed"));
    link_close(&link);
}

/* Reads to the end: how many bytes came. */
static size_t read_to_end(int fd)
{
    char bytes[4096];
    size_t size = 0;
    ssize_t count;

    while ((count = read(fd, bytes, sizeof(bytes))) > 0)
        size += (size_t)count;
    return size;
}

static void test_flush_waits_for_a_slow_peer(void **state)
{
    struct link link;
    struct error err;
    int status = 0;
    pid_t pid;

    (void)state;
    link_open(&link);
    pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        close(link.side.channel.fd); /* else the end never comes */
        _exit(read_to_end(link.peer) > FAR_LARGER ? 42 : 1);
    }
    send_numbered(&link.side.channel, 1, FAR_LARGER);
    assert_int_equal(channel_flush(&link.side.channel, 3600, &err), 0);
    assert_int_equal(channel_waiting(&link.side.channel), 0);
    channel_close(&link.side.channel);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 42);
    link_close(&link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_several_in_one_read),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_any_pieces),
        cmocka_unit_test(test_many_messages),
        cmocka_unit_test(test_larger_than_the_socket),
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_peer_closes),
        cmocka_unit_test(test_send_to_a_peer_that_is_gone),
        cmocka_unit_test(test_close_is_not_told),
        cmocka_unit_test(test_close_in_on_message),
        cmocka_unit_test(test_freed_in_on_close),
        cmocka_unit_test(test_drain_ends),
        cmocka_unit_test(test_drain_after_the_peer_died),
        cmocka_unit_test(test_drain_does_not_wait),
        cmocka_unit_test(test_flush_of_nothing),
        cmocka_unit_test(test_flush_gives_up),
        cmocka_unit_test(test_flush_to_a_peer_that_is_gone),
        cmocka_unit_test(test_flush_waits_for_a_slow_peer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
