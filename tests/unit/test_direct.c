#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"
#include "http/names.h"
#include "http/transport.h"

/* The server is played by the test itself, between two turns of the loop: so what comes
 * first and what later is the test's to say. */

/* What the transport, and nobody else here, calls: counted by the linker's wrapping. */
static struct {
    unsigned sends, receives, allocations, lines; /* of heads, one by one */
} calls;

static bool server_is_quick; /* what it has sent is there as soon as somebody reads */

#define PATIENCE_US (20ull * US_PER_S)

ssize_t __real_send(int fd, const void *data, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t size, int flags);
ssize_t __real_recv(int fd, void *data, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t size, int flags);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__real_reallocarray(void *memory, size_t count, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size);
int __real_exchange_add_line(struct exchange *exchange, const char *line,
                             size_t length);
int __wrap_exchange_add_line(struct exchange *exchange, const char *line,
                             size_t length);

ssize_t __wrap_send(int fd, const void *data, size_t size, int flags)
{
    calls.sends++;
    return __real_send(fd, data, size, flags);
}

static ssize_t receive_all(int fd, char *data, size_t size, int flags)
{
    const uint64_t began_us = clock_us();
    size_t filled = 0;
    ssize_t got;

    do {
        assert_true(clock_us() - began_us < PATIENCE_US);
        got = __real_recv(fd, data + filled, size - filled, flags);
        filled += got > 0 ? (size_t)got : 0;
    } while (filled < size && (got > 0 || (got == -1 && errno == EAGAIN)));
    return filled > 0 ? (ssize_t)filled : got;
}

ssize_t __wrap_recv(int fd, void *data, size_t size, int flags)
{
    calls.receives++;
    return server_is_quick ? receive_all(fd, data, size, flags)
                           : __real_recv(fd, data, size, flags);
}

void *__wrap_malloc(size_t size)
{
    calls.allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    calls.allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    calls.allocations++;
    return __real_realloc(memory, size);
}

void *__wrap_reallocarray(void *memory, size_t count, size_t size)
{
    calls.allocations++;
    return __real_reallocarray(memory, count, size);
}

int __wrap_exchange_add_line(struct exchange *exchange, const char *line, size_t length)
{
    calls.lines++;
    return __real_exchange_add_line(exchange, line, length);
}

#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

struct stage {
    struct ev_loop *loop;
    struct names *names;
    struct transport *transport;
    struct transport_user *user;
    struct arena_pool arenas;
    struct arena arena;
    int listener;
    char url[64];
    struct exchange exchange;
    bool done;
    bool starting; /* within start() */
};

static void on_done(struct exchange *exchange)
{
    struct stage *const stage = exchange->data;

    assert_false(stage->starting);
    assert_false(stage->done);
    stage->done = true;
}

static int open_listener(char ret_url[64])
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);

    assert_return_code(bind(fd, (struct sockaddr *)&address, length), errno);
    assert_return_code(listen(fd, 10), errno);
    assert_return_code(getsockname(fd, (struct sockaddr *)&address, &length), errno);
    snprintf(ret_url, 64, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    return fd;
}

static int set_up(void **state)
{
    struct stage *const stage = xcalloc(1, sizeof(*stage));

    stage->arena.pool = &stage->arenas;
    stage->loop = loop_new();
    stage->names = names_new(stage->loop);
    stage->transport = transport_direct.new(stage->loop, stage->names);
    stage->user = transport_direct.user_new(stage->transport);
    stage->listener = open_listener(stage->url);
    *state = stage;
    return 0;
}

static int tear_down(void **state)
{
    struct stage *const stage = *state;

    transport_direct.user_destroy(stage->user);
    transport_direct.destroy(stage->transport);
    names_destroy(stage->names);
    ev_loop_destroy(stage->loop);
    arena_clear(&stage->arena);
    arena_pool_clear(&stage->arenas);
    close(stage->listener);
    free(stage);
    return 0;
}

/* What `asked` says, and whatever else an exchange needs. */
static struct exchange *begin_as(struct stage *stage, const struct exchange *asked)
{
    struct exchange *const exchange = &stage->exchange;

    *exchange = *asked;
    exchange->url = stage->url;
    exchange->started_us = clock_us();
    if (exchange->timeout_us == 0)
        exchange->timeout_us = PATIENCE_US;
    exchange->verify = true;
    exchange->keep_body = true;
    exchange->arena = &stage->arena;
    exchange->on_done = on_done;
    exchange->data = stage;
    stage->done = false;
    stage->starting = true;
    transport_direct.start(stage->user, exchange);
    stage->starting = false;
    return exchange;
}

static struct exchange *begin_with(struct stage *stage, const char *method,
                                   const void *body, size_t body_size)
{
    return begin_as(stage, &(struct exchange){
                               .method = method, .body = body, .body_size = body_size});
}

static struct exchange *begin(struct stage *stage, const char *method)
{
    return begin_with(stage, method, NULL, 0);
}

static void turn(const struct stage *stage, uint64_t began_us)
{
    ev_run(stage->loop, EVRUN_NOWAIT);
    assert_true(clock_us() - began_us < PATIENCE_US);
}

static void wait_until_done(const struct stage *stage)
{
    const uint64_t began_us = clock_us();

    while (!stage->done)
        turn(stage, began_us);
}

/* The server's end of a connection that the transport opens now. */
static int accept_one(const struct stage *stage)
{
    const uint64_t began_us = clock_us();
    int fd;

    while ((fd = accept4(stage->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) ==
           -1)
        turn(stage, began_us);
    return fd;
}

static void run_turns(const struct stage *stage)
{
    for (int i = 0; i < 10; i++)
        ev_run(stage->loop, EVRUN_NOWAIT);
}

static void assert_nobody_connects(const struct stage *stage)
{
    run_turns(stage);
    assert_int_equal(accept4(stage->listener, NULL, NULL, SOCK_CLOEXEC), -1);
}

/* Reads a request up to the end of its head. */
static void read_request(const struct stage *stage, int fd)
{
    const uint64_t began_us = clock_us();
    char text[2048];
    size_t size = 0;

    do {
        const ssize_t got = read(fd, text + size, sizeof(text) - 1 - size);

        assert_int_not_equal(got, 0);
        size += got > 0 ? (size_t)got : 0;
        text[size] = '\0';
        turn(stage, began_us);
    } while (strstr(text, "\r\n\r\n") == NULL);
}

static void say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* Waits until the transport has closed its end. */
static void assert_closed(const struct stage *stage, int fd)
{
    const uint64_t began_us = clock_us();
    char byte;

    while (read(fd, &byte, 1) == -1 && errno == EAGAIN)
        turn(stage, began_us);
    close(fd);
}

/* Begins on a connection that is new, up to where the server has read the request: returns
 * the server's end. */
static int begin_anew(struct stage *stage, const char *method)
{
    int fd;

    begin(stage, method);
    fd = accept_one(stage);
    read_request(stage, fd);
    return fd;
}

static void answer_and_wait(const struct stage *stage, int fd, const char *text)
{
    say(fd, text);
    wait_until_done(stage);
}

static void close_and_wait(const struct stage *stage, int fd)
{
    close(fd);
    wait_until_done(stage);
}

/* One whole exchange on a connection that is new: returns the server's end. */
static int first_exchange(struct stage *stage)
{
    const struct exchange *const exchange = &stage->exchange;
    const int fd = begin_anew(stage, "GET");

    answer_and_wait(stage, fd, ANSWER);
    assert_true(exchange->complete);
    assert_true(exchange->new_connection);
    assert_false(exchange->replaced);
    return fd;
}

/* The request was written, and nothing else was done for it. */
static void assert_lost(const struct stage *stage, const char *failure)
{
    assert_false(stage->exchange.complete);
    assert_true(stage->exchange.written);
    assert_ptr_equal(stage->exchange.failure, failure);
    assert_nobody_connects(stage);
}

/* --- what goes well ----------------------------------------------------------------- */

static void test_exchange(void **state)
{
    struct stage *const stage = *state;
    const int fd = first_exchange(stage);
    const struct exchange *const exchange = &stage->exchange;

    assert_int_equal(exchange->carried_by, CARRIED_BY_DIRECT);
    assert_int_equal(exchange->status, 200);
    assert_string_equal(exchange->reason, "OK");
    assert_string_equal(exchange->body_data, "ok");
    assert_int_equal(exchange->bytes_in, strlen(ANSWER));
    assert_true(exchange->bytes_out > strlen("GET / HTTP/1.1\r\n\r\n"));
    assert_true(exchange->phase_happened[PHASE_CONNECT]);
    assert_true(exchange->phase_happened[PHASE_FIRST_BYTE]);
    assert_false(exchange->phase_happened[PHASE_DNS]);
    assert_false(exchange->phase_happened[PHASE_TLS]);
    close(fd);
}

static void test_kept_connection(void **state)
{
    struct stage *const stage = *state;
    const int fd = first_exchange(stage);

    for (int i = 0; i < 3; i++) {
        const struct exchange *const exchange = begin(stage, "POST");

        read_request(stage, fd);
        answer_and_wait(stage, fd, ANSWER);
        assert_true(exchange->complete);
        assert_false(exchange->new_connection);
        assert_false(exchange->replaced);
        assert_false(exchange->phase_happened[PHASE_CONNECT]);
    }
    close(fd);
}

/* The promise of the transport: once warm, one write and one read, and no allocation. The
 * arena is the session's, which gives all of it back after each run. */
static void expect_warm_requests(struct stage *stage, bool heads_differ)
{
    enum { WARM_UP = 3, COUNTED = 100 };
    static const char *const headers[] = {"X-User: 1", NULL};
    const int fd = first_exchange(stage);
    char answer[100] = ANSWER;

    for (int i = 0; i < WARM_UP + COUNTED; i++) {
        if (i == WARM_UP)
            memset(&calls, 0, sizeof(calls));
        arena_clear(&stage->arena);
        begin_as(stage, &(struct exchange){.method = i % 2 == 0 ? "GET" : "POST",
                                           .user_headers = headers,
                                           .cookies = "a=b",
                                           .body = i % 2 == 0 ? NULL : "{}",
                                           .body_size = i % 2 == 0 ? 0 : 2});
        read_request(stage, fd);
        if (heads_differ)
            snprintf(answer, sizeof(answer),
                     "HTTP/1.1 200 OK\r\nX-Id: %d\r\nContent-Length: 0\r\n\r\n",
                     100 + i);
        answer_and_wait(stage, fd, answer);
        assert_true(stage->exchange.complete);
    }
    assert_int_equal(calls.sends, COUNTED);
    assert_int_equal(calls.receives, COUNTED);
    assert_int_equal(calls.allocations, 0);
    assert_int_equal(calls.lines, heads_differ ? 2 * COUNTED : 0);
    close(fd);
}

static void test_warm_requests(void **state)
{
    expect_warm_requests(*state, false);
}

static void test_warm_requests_with_new_heads(void **state)
{
    expect_warm_requests(*state, true);
}

/* A server that says so closes, and nobody calls that a replacement. */
static void test_connection_close(void **state)
{
    struct stage *const stage = *state;
    const struct exchange *const exchange = &stage->exchange;
    const int fd = begin_anew(stage, "GET");

    answer_and_wait(
        stage, fd,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    assert_true(exchange->complete);
    assert_closed(stage, fd);
    close(first_exchange(stage)); /* says that it is not `replaced` */
}

static void test_until_close(void **state)
{
    struct stage *const stage = *state;
    const struct exchange *const exchange = &stage->exchange;
    const int fd = begin_anew(stage, "GET");

    say(fd, "HTTP/1.1 200 OK\r\n\r\nall of it");
    run_turns(stage);
    assert_false(stage->done);
    close_and_wait(stage, fd);
    assert_true(exchange->complete);
    assert_string_equal(exchange->body_data, "all of it");
}

/* The server has said all, and closed its side, before the transport reads, which takes it
 * more than a turn of the loop. */
static void expect_large_answer(struct stage *stage, const char *head)
{
    enum { SIZE = 700000, READS_A_TURN = 8 };
    const struct exchange *const exchange = &stage->exchange;
    const int fd = begin_anew(stage, "GET");
    char *const body = xmalloc(SIZE);
    const uint64_t began_us = clock_us();
    unsigned most_reads = 0;

    for (size_t i = 0; i < SIZE; i++)
        body[i] = (char)('a' + i % 23);
    say(fd, head);
    assert_int_equal(write(fd, body, SIZE), SIZE);
    close(fd);
    server_is_quick = true;
    while (!stage->done) {
        calls.receives = 0;
        turn(stage, began_us);
        if (calls.receives > most_reads)
            most_reads = calls.receives;
    }
    server_is_quick = false;
    assert_int_equal(most_reads, READS_A_TURN);
    assert_true(exchange->complete);
    assert_null(exchange->failure);
    assert_int_equal(exchange->bytes_in, strlen(head) + SIZE);
    assert_int_equal(exchange->body_length, SIZE);
    assert_memory_equal(exchange->body_data, body, SIZE);
    free(body);
}

static void test_large_answer_then_close(void **state)
{
    expect_large_answer(*state, "HTTP/1.1 200 OK\r\nContent-Length: 700000\r\n\r\n");
    expect_large_answer(*state, "HTTP/1.1 200 OK\r\nConnection: close\r\n"
                                "Content-Length: 700000\r\n\r\n");
    expect_large_answer(*state, "HTTP/1.1 200 OK\r\n\r\n");
}

/* Writes all of it, as the transport reads. */
static void say_much(const struct stage *stage, int fd, size_t size)
{
    static const char bytes[10000];
    const uint64_t began_us = clock_us();

    while (size > 0) {
        const ssize_t written =
            write(fd, bytes, size < sizeof(bytes) ? size : sizeof(bytes));

        if (written > 0)
            size -= (size_t)written;
        else
            turn(stage, began_us);
    }
}

/* In the midst of a large answer nobody is woken for little; its end, and what comes on the
 * same connection then, is not waited for. */
static void expect_gulps(struct stage *stage, const char *head, const char *tail)
{
    const int fd = begin_anew(stage, "GET");

    say(fd, head);
    say_much(stage, fd, 100000);
    run_turns(stage);
    calls.receives = 0;
    say_much(stage, fd, 100000);
    run_turns(stage);
    assert_int_equal(calls.receives, 0);
    say_much(stage, fd, 800000 - 1);
    run_turns(stage);
    assert_in_range(calls.receives, 1, 1000);
    assert_false(stage->done);
    say_much(stage, fd, 1);
    answer_and_wait(stage, fd, tail);
    assert_int_equal(stage->exchange.body_length, 1000000);
    begin(stage, "GET");
    read_request(stage, fd);
    say(fd, ANSWER);
    wait_until_done(stage);
    assert_true(stage->exchange.complete);
    close(fd);
}

static void test_large_answers_in_gulps(void **state)
{
    expect_gulps(*state, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", "");
    expect_gulps(*state,
                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf4240\r\n",
                 "\r\n0\r\n\r\n");
}

/* A large answer that is cut is seen to be at once. */
static void test_cut_within_a_gulp(void **state)
{
    struct stage *const stage = *state;
    const int fd = begin_anew(stage, "GET");

    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    say_much(stage, fd, 100000);
    run_turns(stage);
    say_much(stage, fd, 1000);
    close_and_wait(stage, fd);
    assert_string_equal(stage->exchange.failure, failure_cut_answer);
    assert_int_equal(stage->exchange.body_length, 101000);
}

/* --- replacement (transport.h) ------------------------------------------------------ */

static void expect_replaced(struct stage *stage, const char *method)
{
    const struct exchange *const exchange = &stage->exchange;
    const int fd = begin_anew(stage, method);
    const uint64_t once = exchange->bytes_out;

    answer_and_wait(stage, fd, ANSWER);
    assert_true(exchange->complete);
    assert_true(exchange->written);
    assert_true(exchange->replaced);
    assert_true(exchange->new_connection);
    assert_int_equal(exchange->bytes_out, once);
    close(fd);
}

static void test_closed_while_idle(void **state)
{
    static const char *const methods[] = {"GET", "POST", "PATCH"};
    struct stage *const stage = *state;

    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        close(first_exchange(stage));
        run_turns(stage);
        expect_replaced(stage, methods[i]);
        run_turns(stage);
        /* That one was closed, too: so what comes next replaces it again. */
        expect_replaced(stage, methods[i]);
        transport_direct.user_destroy(stage->user);
        stage->user = transport_direct.user_new(stage->transport);
    }
}

static void test_bytes_nobody_asked_for(void **state)
{
    struct stage *const stage = *state;
    const int fd = first_exchange(stage);

    say(fd, ANSWER);
    assert_closed(stage, fd);
    expect_replaced(stage, "POST");
}

/* The loop has not heard of it yet when the request is written. */
static void test_closed_unnoticed(void **state)
{
    struct stage *const stage = *state;

    close(first_exchange(stage));
    expect_replaced(stage, "GET");
}

/* A request that must not be written twice looks first. */
static void test_closed_unnoticed_before_a_post(void **state)
{
    struct stage *const stage = *state;
    const uint64_t rested_us = clock_us();

    close(first_exchange(stage));
    while (clock_us() < rested_us + 20 * US_PER_MS) {
    }
    expect_replaced(stage, "POST");
}

static void test_closed_after_the_request(void **state)
{
    struct stage *const stage = *state;
    const struct exchange *const exchange = &stage->exchange;
    const int fd = first_exchange(stage);
    int second;

    begin(stage, "GET");
    read_request(stage, fd);
    close(fd);
    second = accept_one(stage);
    read_request(stage, second);
    answer_and_wait(stage, second, ANSWER);
    assert_true(exchange->complete);
    assert_true(exchange->replaced);

    begin(stage, "POST");
    read_request(stage, second);
    close_and_wait(stage, second);
    assert_lost(stage, failure_kept_closed);
}

/* Only once: the second connection is no kept one. */
static void test_closed_twice(void **state)
{
    struct stage *const stage = *state;
    int fd = first_exchange(stage);

    begin(stage, "GET");
    read_request(stage, fd);
    close(fd);
    fd = accept_one(stage);
    read_request(stage, fd);
    close_and_wait(stage, fd);
    assert_lost(stage, failure_no_answer);
}

/* A byte of an answer has come: the server did something. */
static void test_closed_within_the_answer(void **state)
{
    struct stage *const stage = *state;
    const int fd = first_exchange(stage);
    const struct exchange *const exchange = begin(stage, "GET");

    read_request(stage, fd);
    say(fd, "H");
    run_turns(stage);
    close_and_wait(stage, fd);
    assert_false(exchange->complete);
    assert_false(exchange->replaced);
    assert_ptr_equal(exchange->failure, failure_cut_head);
    assert_nobody_connects(stage);
}

/* Nothing took its place: it was a connection that was closed, and that is all. */
static void test_replacement_that_fails(void **state)
{
    struct stage *const stage = *state;

    close(first_exchange(stage));
    run_turns(stage);
    close(stage->listener);
    begin(stage, "GET");
    wait_until_done(stage);
    assert_false(stage->exchange.complete);
    assert_false(stage->exchange.written);
    assert_false(stage->exchange.replaced);
    stage->listener = open_listener(stage->url);
}

/* --- what goes wrong ---------------------------------------------------------------- */

static void test_no_answer(void **state)
{
    struct stage *const stage = *state;

    close_and_wait(stage, begin_anew(stage, "GET"));
    assert_lost(stage, failure_no_answer);
}

static void test_leftovers(void **state)
{
    struct stage *const stage = *state;
    const struct exchange *const exchange = &stage->exchange;
    const int fd = begin_anew(stage, "GET");

    answer_and_wait(stage, fd, ANSWER "!");
    assert_false(exchange->complete);
    assert_non_null(strstr(exchange->failure, "more than its answer"));
    assert_closed(stage, fd);
}

static void test_refused(void **state)
{
    struct stage *const stage = *state;
    const struct exchange *exchange;

    close(stage->listener);
    exchange = begin(stage, "GET");
    wait_until_done(stage);
    assert_false(exchange->complete);
    assert_false(exchange->written);
    assert_string_equal(exchange->failure, "cannot connect: Connection refused");
    stage->listener = open_listener(stage->url);
}

/* Whatever is wrong at once is told from the loop. */
static void test_bad_urls(void **state)
{
    struct stage *const stage = *state;
    const struct exchange *exchange;

    for (int i = 0; i < 40; i++) {
        strcpy(stage->url, "http://[nonsense/");
        exchange = begin(stage, "GET");
        wait_until_done(stage);
        assert_false(exchange->written);
        assert_ptr_equal(exchange->failure, failure_bad_url);
    }
    strcpy(stage->url, "http+unix://%2Fno%2Fsuch%2Fsocket/");
    exchange = begin(stage, "GET");
    wait_until_done(stage);
    assert_string_equal(exchange->failure, "cannot connect: No such file or directory");
}

static void ask_again(struct exchange *exchange)
{
    struct stage *const stage = exchange->data;

    exchange->failure = NULL;
    transport_direct.start(stage->user, exchange);
}

static void on_stop(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)timer;
    (void)revents;
    ev_break(loop, EVBREAK_ALL);
}

/* A worker that asks for what cannot be asked for, and nothing else, lets others live. */
static void test_bad_url_for_ever(void **state)
{
    struct stage *const stage = *state;
    ev_timer stop;

    strcpy(stage->url, "http://[nonsense/");
    begin_as(stage, &(struct exchange){.method = "GET"});
    stage->exchange.on_done = ask_again;
    ev_timer_init(&stop, on_stop, 0.01, 0);
    ev_timer_start(stage->loop, &stop);
    ev_run(stage->loop, 0);
    transport_direct.cancel(&stage->exchange);
}

/* What is wrong is the time-out, not that the compressed body has no end yet. */
static void test_timeout_in_a_compressed_body(void **state)
{
    struct stage *const stage = *state;
    struct exchange *const exchange = begin_as(
        stage, &(struct exchange){.method = "GET", .timeout_us = 300 * US_PER_MS});
    const int fd = accept_one(stage);

    read_request(stage, fd);
    answer_and_wait(
        stage, fd,
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 99\r\n\r\n"
        "\x1f\x8b\x08");
    assert_ptr_equal(exchange->failure, failure_timeout);
    assert_null(exchange->detail);
    close(fd);
}

static void test_timeout(void **state)
{
    struct stage *const stage = *state;
    const int fd = first_exchange(stage); /* its timer is set far ahead */
    struct exchange *const exchange = begin(stage, "GET");

    read_request(stage, fd);
    transport_direct.cancel(exchange);
    assert_false(exchange->complete);
    assert_true(exchange->written);
    assert_closed(stage, fd);

    stage->exchange.timeout_us = 30 * US_PER_MS;
    stage->exchange.started_us = clock_us();
    stage->exchange.written = false;
    transport_direct.start(stage->user, &stage->exchange);
    wait_until_done(stage); /* nobody accepts, but the kernel does */
    assert_false(exchange->complete);
    assert_ptr_equal(exchange->failure,
                     exchange->written ? failure_timeout : failure_no_connection);
    assert_true(exchange->ended_us >= exchange->started_us + exchange->timeout_us);
}

/* The server answers before it has read a large body, and closes: that is its answer. */
static void test_early_answer(void **state)
{
    struct stage *const stage = *state;
    const size_t size = (size_t)32 << 20;
    char *const body = xcalloc(1, size);
    const struct exchange *const exchange = begin_with(stage, "PUT", body, size);
    const int fd = accept_one(stage);

    read_request(stage, fd);
    answer_and_wait(stage, fd, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    assert_true(exchange->complete);
    assert_int_equal(exchange->status, 413);
    assert_true(exchange->bytes_out < size);
    close(fd);
    free(body);
    close(first_exchange(stage)); /* on another connection */
}

static void test_large_body(void **state)
{
    struct stage *const stage = *state;
    const size_t size = (size_t)8 << 20;
    char *const body = xcalloc(1, size);
    const struct exchange *const exchange = begin_with(stage, "PUT", body, size);
    const int fd = accept_one(stage);
    const uint64_t began_us = clock_us();
    char buffer[65536];
    size_t got = 0;

    while (got < size) {
        const ssize_t more = read(fd, buffer, sizeof(buffer));

        got += more > 0 ? (size_t)more : 0;
        turn(stage, began_us);
    }
    answer_and_wait(stage, fd, ANSWER);
    assert_true(exchange->complete);
    assert_true(exchange->bytes_out > size);
    close(fd);
    free(body);
}

/* A user keeps so many connections, and opens others in their place. */
static void test_many_origins(void **state)
{
    struct stage *const stage = *state;
    int listeners[24], served[24];
    char urls[24][64];

    for (size_t i = 0; i < ARRAY_SIZE(listeners); i++)
        listeners[i] = open_listener(urls[i]);
    for (size_t i = 0; i < ARRAY_SIZE(listeners); i++) {
        const int own = stage->listener;

        strcpy(stage->url, urls[i]);
        stage->listener = listeners[i];
        served[i] = first_exchange(stage);
        stage->listener = own;
    }
    assert_closed(stage, served[0]); /* the one that rested longest */
    for (size_t i = 0; i < ARRAY_SIZE(listeners); i++)
        close(listeners[i]);
    for (size_t i = 1; i < ARRAY_SIZE(served); i++)
        close(served[i]);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(test_exchange),
        STAGED(test_kept_connection),
        STAGED(test_warm_requests),
        STAGED(test_warm_requests_with_new_heads),
        STAGED(test_connection_close),
        STAGED(test_until_close),
        STAGED(test_large_answer_then_close),
        STAGED(test_large_answers_in_gulps),
        STAGED(test_cut_within_a_gulp),
        STAGED(test_closed_while_idle),
        STAGED(test_bytes_nobody_asked_for),
        STAGED(test_closed_unnoticed),
        STAGED(test_closed_unnoticed_before_a_post),
        STAGED(test_closed_after_the_request),
        STAGED(test_closed_twice),
        STAGED(test_closed_within_the_answer),
        STAGED(test_no_answer),
        STAGED(test_leftovers),
        STAGED(test_refused),
        STAGED(test_bad_urls),
        STAGED(test_replacement_that_fails),
        STAGED(test_bad_url_for_ever),
        STAGED(test_timeout_in_a_compressed_body),
        STAGED(test_timeout),
        STAGED(test_early_answer),
        STAGED(test_large_body),
        STAGED(test_many_origins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
