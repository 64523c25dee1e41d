#include "unit/fake_broker.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/endpoint.h"
#include "base/loop.h"
#include "runner/client.h"

#define LONG_S 1000.0 /* longer than the test may take */
#define AWAY_S 0.2    /* a part of CLIENT_RESTART_S */

/* --- a fake broker in a process of its own ------------------------------------------- */

struct child {
    pid_t pid;
    char folder[40];
    char *endpoint;
    struct frontend frontend;
};

static void set_silent(struct fake_broker *fake)
{
    fake->silent = true;
}

static void set_refusal(struct fake_broker *fake)
{
    fake->refusal = "not on a Sunday";
}

static void set_garbage(struct fake_broker *fake)
{
    fake->garbage = "\xC1";
    fake->garbage_size = 1;
}

static void set_nothing(struct fake_broker *fake)
{
    (void)fake;
}

static _Noreturn void be_broker(void (*set)(struct fake_broker *fake), int ready)
{
    struct ev_loop *const loop = loop_new();
    struct fake_broker fake;

    prctl(PR_SET_PDEATHSIG, SIGKILL); /* never longer than the test */
    fake_start(&fake, loop, zcontext_new());
    set(&fake);
    if (write(ready, fake.folder, strlen(fake.folder) + 1) < 0)
        _exit(1);
    ev_run(loop, 0);
    _exit(0);
}

static void start_child(struct child *child, void (*set)(struct fake_broker *fake))
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    child->pid = fork();
    assert_true(child->pid >= 0);
    if (child->pid == 0)
        be_broker(set, ends[1]);
    assert_true(read(ends[0], child->folder, sizeof(child->folder)) > 0);
    close(ends[0]);
    close(ends[1]);
    child->endpoint = xasprintf("ipc://%s/frontend", child->folder);
    child->frontend = (struct frontend){.endpoint = child->endpoint};
}

static void end_child(struct child *child)
{
    char *const command = xasprintf("rm -rf %s", child->folder);

    kill(child->pid, SIGKILL);
    waitpid(child->pid, NULL, 0);
    assert_int_equal(system(command), 0);
    free(command);
    free(child->endpoint);
}

/* --- at once -------------------------------------------------------------------------- */

static void test_ping(void **state)
{
    struct message_pong pong;
    struct child child;
    struct error err;

    (void)state;
    start_child(&child, set_nothing);
    if (client_ping(&child.frontend, &pong, &err) == -1)
        fail_msg("%s", err.message);
    assert_int_equal(pong.pid, 7);
    message_pong_clear(&pong);
    end_child(&child);
}

static void test_bad_brokers(void **state)
{
    static const struct {
        void (*set)(struct fake_broker *fake);
        const char *want; /* with the endpoint */
    } cases[] = {
        {set_silent,  "the broker at %s does not answer"                   },
        {set_refusal, "the broker refuses: not on a Sunday"                },
        {set_garbage,
         "what listens at %s is no broker: the message is no valid msgpack"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct message_pong pong;
        struct child child;
        struct error err;
        char *want;

        start_child(&child, cases[i].set);
        want = xasprintf(cases[i].want, child.endpoint);
        assert_int_equal(client_ping(&child.frontend, &pong, &err), -1);
        if (strncmp(err.message, want, strlen(want)) != 0)
            fail_msg("%s", err.message);
        free(want);
        end_child(&child);
    }
}

/* Until it does nothing any more: the signal alone would let it answer for a while. */
static void stop_child(const struct child *child)
{
    int status;

    assert_int_equal(kill(child->pid, SIGSTOP), 0);
    assert_int_equal(waitpid(child->pid, &status, WUNTRACED), child->pid);
    assert_true(WIFSTOPPED(status));
}

static void expect_silence(const struct child *child, const char *format)
{
    char *const want = xasprintf(format, child->endpoint);
    struct message_pong pong;
    struct error err;

    assert_int_equal(client_ping(&child->frontend, &pong, &err), -1);
    assert_string_equal(err.message, want);
    free(want);
}

/* The kernel takes connections for a broker that does not run. */
static void test_stopped_broker(void **state)
{
    struct child child;

    (void)state;
    start_child(&child, set_nothing);
    stop_child(&child);
    expect_silence(&child, "what listens at %s accepted a connection, but no broker "
                           "greeted within 5 s: it is stopped or busy, or does not "
                           "speak ZeroMQ");
    end_child(&child);
}

/* The last socket had no greeting, but the first one: there is a broker. */
static void test_broker_stopped_meanwhile(void **state)
{
    struct child child;
    pid_t stopper;

    (void)state;
    start_child(&child, set_silent);
    stopper = fork();
    if (stopper == 0) {
        usleep(1000000);
        kill(child.pid, SIGSTOP);
        _exit(0);
    }
    expect_silence(&child, "the broker at %s does not answer (waited 5 s)");
    waitpid(stopper, NULL, 0);
    end_child(&child);
}

/* Said soon where it is certain, but not before a broker could have started again. */
static void test_no_broker(void **state)
{
    static const struct {
        bool is_given;
        const char *want;
    } cases[] = {
        {true,
         "no broker at ipc:///tmp/no/broker: start one with molotov-broker, or leave "
         "--broker (and MOLOTOV_BROKER) out for the one of this machine"},
        {false,
         "no broker at ipc:///tmp/no/broker: start one with molotov-broker, or name "
         "another with --broker"                                        },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct frontend frontend = {.endpoint = (char *)"ipc:///tmp/no/broker",
                                          .is_given = cases[i].is_given};
        const uint64_t start_us = clock_us();
        uint64_t waited_us;
        struct message_pong pong;
        struct error err;

        assert_int_equal(client_ping(&frontend, &pong, &err), -1);
        assert_string_equal(err.message, cases[i].want);
        waited_us = clock_us() - start_us;
        assert_true(waited_us >= (uint64_t)(CLIENT_RESTART_S * US_PER_S));
        assert_true(waited_us < (uint64_t)(CLIENT_PATIENCE_S * US_PER_S));
    }
}

/* When the child's broker came back, told by the child in memory that both have. */
struct return_time {
    volatile uint64_t not_before_us, not_after_us; /* 0: it is away */
};

static struct return_time *return_time;

static void on_return(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    return_time->not_before_us = clock_us();
    fake_open(timer->data);
    return_time->not_after_us = clock_us();
}

static void set_away(struct fake_broker *fake)
{
    static ev_timer timer;

    fake_close(fake);
    while (!endpoint_is_dead(fake->frontend_endpoint))
        usleep(1000); /* closed in the background */
    ev_timer_init(&timer, on_return, AWAY_S, 0);
    timer.data = fake;
    ev_now_update(fake->loop);
    ev_timer_start(fake->loop, &timer);
}

/* False: the machine was so slow that this was no broker away for a moment. */
static bool ping_one_that_returns(void)
{
    struct message_pong pong;
    struct child child;
    struct error err;
    uint64_t start_us;
    bool was_away;
    int rc;

    *return_time = (struct return_time){0};
    start_child(&child, set_away);
    start_us = clock_us();
    rc = client_ping(&child.frontend, &pong, &err);
    if (rc == 0)
        message_pong_clear(&pong);
    while (return_time->not_after_us == 0)
        usleep(1000);
    end_child(&child);
    was_away =
        return_time->not_before_us > start_us &&
        return_time->not_after_us < start_us + (uint64_t)(CLIENT_RESTART_S * US_PER_S);
    if (was_away && rc == -1)
        fail_msg("%s", err.message);
    return was_away;
}

/* A moment without a broker is no time without one. */
static void test_broker_that_returns(void **state)
{
    (void)state;
    return_time = mmap(NULL, sizeof(*return_time), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(return_time != MAP_FAILED);
    while (!ping_one_that_returns())
        continue;
    munmap(return_time, sizeof(*return_time));
}

/* A web server where a broker is looked for. */
static _Noreturn void be_web_server(int listener)
{
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\n"
                                 "Content-Length: 0\r\nConnection: close\r\n\r\n";

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        const int fd = accept(listener, NULL, NULL);
        char request[1000];

        if (read(fd, request, sizeof(request)) < 0 ||
            write(fd, answer, sizeof(answer) - 1) < 0)
            _exit(1);
        close(fd);
    }
}

static void test_foreign_listener(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t size = sizeof(address);
    struct frontend frontend = {.is_given = true};
    struct message_pong pong;
    struct error err;
    pid_t pid;

    (void)state;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 10), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    pid = fork();
    if (pid == 0)
        be_web_server(listener);
    frontend.endpoint = xasprintf("tcp://127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(client_ping(&frontend, &pong, &err), -1);
    if (strstr(err.message, "does not speak ZeroMQ") == NULL)
        fail_msg("%s", err.message);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(listener);
    free(frontend.endpoint);
}

/* --- repeated --------------------------------------------------------------------------- */

struct asker {
    struct client client;
    unsigned answers, silences;
    enum proto_message last;
};

static void on_silence(struct client *client)
{
    struct asker *const asker = client->owner;

    asker->silences++;
}

static void ask(struct asker *asker, enum proto_message message)
{
    struct buffer request = BUFFER_INIT;

    if (message == MESSAGE_SNAPSHOT)
        message_pack_snapshot(&request, &(struct message_snapshot){.run = "run-1"});
    else
        message_pack_request(&request, message);
    client_ask(&asker->client, &request, 0.1);
    buffer_clear(&request);
}

/* The answer to the first request makes the second one. */
static void on_answer(struct client *client, enum proto_message message,
                      const msgpack_object *map)
{
    struct asker *const asker = client->owner;

    (void)map;
    asker->last = message;
    if (++asker->answers == 1)
        ask(asker, MESSAGE_SNAPSHOT);
}

/* A broker that was stopped answers all requests at once: each answer but the first is
 * late, and must not be taken for that of the next request. */
static void test_late_answers(void **state)
{
    struct asker asker = {
        .client = {
                   .loop = loop_new(), .on_answer = on_answer, .on_silence = on_silence}
    };
    struct child child;
    struct error err;

    (void)state;
    start_child(&child, set_nothing);
    asker.client.context = zcontext_new();
    asker.client.endpoint = child.endpoint;
    asker.client.owner = &asker;
    assert_int_equal(client_open(&asker.client, &err), 0);
    for (unsigned round = 0; round < 5; round++) {
        stop_child(&child);
        asker.answers = asker.silences = 0;
        ask(&asker, MESSAGE_PING);
        while (asker.client.sent < CLIENT_TRIES + 2) /* two by the socket it has then */
            ev_run(asker.client.loop, EVRUN_ONCE);
        assert_int_equal(asker.silences, 1);
        assert_int_equal(kill(child.pid, SIGCONT), 0);
        while (asker.answers < 2)
            ev_run(asker.client.loop, EVRUN_ONCE);
        assert_int_equal(asker.last, MESSAGE_UPDATE);
    }
    client_close(&asker.client);
    client_close(&asker.client);
    zcontext_destroy(asker.client.context);
    ev_loop_destroy(asker.client.loop);
    end_child(&child);
}

/* What was on its way to a broker that died is lost: it is asked again as soon as there is
 * one, however much time the answer had. */
static void test_lost_request(void **state)
{
    struct asker asker = {
        .client = {.loop = loop_new(),
                   .on_answer = on_answer,
                   .on_silence = on_silence},
        .answers = 1,
    };
    struct buffer request = BUFFER_INIT;
    struct fake_broker fake;
    struct error err;

    (void)state;
    asker.client.context = zcontext_new();
    fake_start(&fake, asker.client.loop, asker.client.context);
    asker.client.endpoint = fake.frontend_endpoint;
    asker.client.owner = &asker;
    assert_int_equal(client_open(&asker.client, &err), 0);
    fake.silent = true;
    message_pack_request(&request, MESSAGE_PING);
    client_ask(&asker.client, &request, LONG_S);
    while (fake.counts[MESSAGE_PING] == 0 || !asker.client.socket.connected)
        ev_run(asker.client.loop, EVRUN_ONCE);
    fake_close(&fake);
    while (!endpoint_is_dead(fake.frontend_endpoint))
        usleep(1000); /* closed in the background */
    fake.silent = false;
    fake_open(&fake);
    while (asker.answers < 2)
        ev_run(asker.client.loop, EVRUN_ONCE);
    assert_int_equal(asker.last, MESSAGE_PONG);
    buffer_clear(&request);
    client_close(&asker.client);
    fake_end(&fake);
    zcontext_destroy(asker.client.context);
    ev_loop_destroy(asker.client.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ping),
        cmocka_unit_test(test_bad_brokers),
        cmocka_unit_test(test_stopped_broker),
        cmocka_unit_test(test_broker_stopped_meanwhile),
        cmocka_unit_test(test_no_broker),
        cmocka_unit_test(test_broker_that_returns),
        cmocka_unit_test(test_foreign_listener),
        cmocka_unit_test(test_late_answers),
        cmocka_unit_test(test_lost_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
