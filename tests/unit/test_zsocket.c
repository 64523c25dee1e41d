#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <zmq.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/loop.h"
#include "base/memory.h"
#include "base/wire.h"
#include "base/zsocket.h"

#define PATIENCE_S 20.0
#define QUEUED 1000 /* messages, as in zsocket.c */

static char folder[] = "/tmp/molotov-test-zsocket-XXXXXX";

/* --- sockets that note what comes ------------------------------------------------------ */

struct party {
    struct zsocket socket;
    bool echoes; /* sends each message back */
    bool closes; /* at the first one */
    size_t messages, troubles;
    size_t in_turn, most_in_turn; /* messages handled in one turn of the loop */
    struct buffer body;           /* the last message's */
    char route[ZSOCKET_ROUTE_MAX];
    size_t route_size;
    char trouble[200];
    char *bound; /* where */
    ev_prepare turn;
};

static struct ev_loop *loop;
static void *context;
static bool expired;
static int open_parties;

static void on_expired(struct ev_loop *its_loop, ev_timer *timer, int revents)
{
    (void)its_loop;
    (void)timer;
    (void)revents;
    expired = true;
}

/* Runs the loop until it is so, and fails where that takes too long. */
#define run_until(condition) \
    do { \
        ev_timer patience_; \
        expired = false; \
        ev_timer_init(&patience_, on_expired, PATIENCE_S, 0); \
        ev_now_update(loop); \
        ev_timer_start(loop, &patience_); \
        while (!(condition) && !expired) \
            ev_run(loop, EVRUN_ONCE); \
        ev_timer_stop(loop, &patience_); \
        if (!(condition)) \
            fail_msg("line %d: it never came to be: %s", __LINE__, #condition); \
    } while (0)

/* Runs the loop for a while in which nothing should happen. */
static void run_for(double seconds)
{
    ev_timer timer;

    expired = false;
    ev_timer_init(&timer, on_expired, seconds, 0);
    ev_now_update(loop);
    ev_timer_start(loop, &timer);
    while (!expired)
        ev_run(loop, EVRUN_ONCE);
}

/* The same of a condition that must be tried again and again, since nothing tells of it. */
#define try_until(condition) \
    do { \
        int left_ = 1000; \
        while (!(condition) && left_-- > 0) \
            run_for(0.01); \
        if (left_ <= 0) \
            fail_msg("line %d: it never came to be: %s", __LINE__, #condition); \
    } while (0)

static void on_party_message(struct zsocket *zsocket, const struct zframe *route,
                             const struct zframe *body)
{
    struct party *const party = zsocket->data;

    party->messages++;
    if (++party->in_turn > party->most_in_turn)
        party->most_in_turn = party->in_turn;
    assert_true((route == NULL) == (zsocket->type == ZSOCKET_DEALER));
    party->route_size = route != NULL ? route->size : 0;
    if (route != NULL)
        memcpy(party->route, route->data, route->size);
    buffer_reset(&party->body);
    buffer_add(&party->body, body->data, body->size);
    if (party->echoes)
        assert_int_equal(zsocket_send(zsocket, route, &party->body), 0);
    if (party->closes)
        zsocket_close(zsocket, 0);
}

static void on_party_trouble(struct zsocket *zsocket, const char *what)
{
    struct party *const party = zsocket->data;

    party->troubles++;
    snprintf(party->trouble, sizeof(party->trouble), "%s", what);
}

static void on_turn(struct ev_loop *its_loop, ev_prepare *prepare, int revents)
{
    struct party *const party = prepare->data;

    (void)its_loop;
    (void)revents;
    party->in_turn = 0;
}

static void party_open(struct party *party, enum zsocket_type type)
{
    struct error err;

    *party = (struct party){
        .socket = {.on_message = on_party_message,
                   .on_trouble = on_party_trouble,
                   .data = party}
    };
    if (zsocket_open(&party->socket, context, loop, type, &err) == -1)
        fail_msg("%s", err.message);
    open_parties++;
    ev_prepare_init(&party->turn, on_turn);
    party->turn.data = party;
    ev_prepare_start(loop, &party->turn);
}

static void party_close(struct party *party)
{
    open_parties -= ev_is_active(&party->turn) ? 1 : 0;
    ev_prepare_stop(loop, &party->turn);
    zsocket_close(&party->socket, 0);
    zsocket_close(&party->socket, 0);
    assert_null(party->socket.handle);
    assert_false(party->socket.connected);
    buffer_clear(&party->body);
    free(party->bound);
    party->bound = NULL;
}

static const char *party_bind(struct party *party, const char *endpoint)
{
    struct error err;

    if (zsocket_bind(&party->socket, endpoint, &party->bound, &err) == -1)
        fail_msg("%s", err.message);
    return party->bound;
}

static void party_connect(struct party *party, const char *endpoint)
{
    struct error err;

    if (zsocket_connect(&party->socket, endpoint, &err) == -1)
        fail_msg("%s", err.message);
}

static int party_send(struct party *party, const struct zframe *route, const char *text)
{
    struct buffer body = BUFFER_INIT;
    int rc;

    buffer_add_text(&body, text);
    rc = zsocket_send(&party->socket, route, &body);
    buffer_clear(&body);
    return rc;
}

static struct zframe route_of(const struct party *party)
{
    return (struct zframe){.data = party->route, .size = party->route_size};
}

static char *ipc_endpoint(const char *name)
{
    return xasprintf("ipc://%s/%s", folder, name);
}

/* Two that are connected. */
struct pair {
    struct party server, client;
    char *endpoint;
};

static void pair_open(struct pair *pair, enum zsocket_type server,
                      enum zsocket_type client)
{
    pair->endpoint = ipc_endpoint("pair");
    party_open(&pair->server, server);
    party_open(&pair->client, client);
    assert_string_equal(party_bind(&pair->server, pair->endpoint), pair->endpoint);
    party_connect(&pair->client, pair->endpoint);
}

static void pair_close(struct pair *pair)
{
    party_close(&pair->server);
    party_close(&pair->client);
    free(pair->endpoint);
}

/* --- messages ------------------------------------------------------------------------- */

static void test_there_and_back(void **state)
{
    char *const ipc = ipc_endpoint("there");
    const char *const endpoints[] = {"tcp://127.0.0.1:*", "tcp://lo:0", ipc};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(endpoints); i++) {
        struct party server, client;

        party_open(&server, ZSOCKET_ROUTER);
        party_open(&client, ZSOCKET_DEALER);
        server.echoes = true;
        assert_false(client.socket.connected);
        party_connect(&client, party_bind(&server, endpoints[i]));
        assert_int_equal(party_send(&client, NULL, "hello"),
                         0); /* waits for the peer */
        run_until(client.messages == 1);
        assert_string_equal(buffer_text(&client.body), "hello");
        assert_int_equal(client.body.size, 5);
        assert_true(server.route_size > 0);
        run_until(client.socket.connected);
        assert_int_equal(party_send(&client, NULL, ""), 0);
        run_until(client.messages == 2);
        assert_int_equal(client.body.size, 0);
        party_close(&client);
        party_close(&server);
    }
    free(ipc);
}

/* All of them, in their order, and never too many in one turn of the loop. */
static void test_many(void **state)
{
    struct pair pair;
    char text[32];

    (void)state;
    pair_open(&pair, ZSOCKET_ROUTER, ZSOCKET_DEALER);
    pair.server.echoes = true;
    for (size_t round = 0; round < 20; round++) {
        for (int i = 0; i < QUEUED / 2; i++) {
            snprintf(text, sizeof(text), "%zu %d", round, i);
            assert_int_equal(party_send(&pair.client, NULL, text), 0);
        }
        usleep(20000); /* so that there is more than one turn takes */
        run_until(pair.client.messages == (round + 1) * (QUEUED / 2));
        assert_string_equal(buffer_text(&pair.client.body), text);
    }
    assert_int_equal(pair.server.messages, 20 * (QUEUED / 2));
    assert_int_equal(pair.server.most_in_turn, ZSOCKET_TURN);
    assert_true(pair.client.most_in_turn <= ZSOCKET_TURN);
    pair_close(&pair);
}

/* Sending takes the socket's news, and with it the edge that would wake the loop. */
static void test_news_taken_by_sending(void **state)
{
    const struct zframe nobody = {.data = "nobody", .size = 6};
    struct pair pair;

    (void)state;
    pair_open(&pair, ZSOCKET_ROUTER, ZSOCKET_DEALER);
    run_until(pair.client.socket.connected);
    for (size_t i = 1; i <= 50; i++) {
        assert_int_equal(party_send(&pair.client, NULL, "news"), 0);
        usleep(2000);
        assert_int_equal(party_send(&pair.server, &nobody, "x"), -1);
        run_until(pair.server.messages == i);
    }
    pair_close(&pair);
}

struct sender {
    struct party *party;
    ev_prepare prepare;
    size_t left;
};

static void on_send_turn(struct ev_loop *its_loop, ev_prepare *prepare, int revents)
{
    static const struct zframe nobody = {.data = "nobody", .size = 6};
    struct sender *const sender = prepare->data;

    (void)its_loop;
    (void)revents;
    usleep(2000); /* what was sent to it arrives just now */
    party_send(sender->party, &nobody, "x");
}

/* The same, from a watcher that comes between the socket's own and the wait. */
static void test_news_taken_before_the_wait(void **state)
{
    struct sender sender;
    struct pair pair;

    (void)state;
    pair_open(&pair, ZSOCKET_ROUTER, ZSOCKET_DEALER);
    run_until(pair.client.socket.connected);
    sender.party = &pair.server;
    ev_prepare_init(&sender.prepare, on_send_turn);
    ev_set_priority(&sender.prepare, EV_MINPRI); /* runs after the socket's */
    sender.prepare.data = &sender;
    ev_prepare_start(loop, &sender.prepare);
    for (size_t i = 1; i <= 50; i++) {
        assert_int_equal(party_send(&pair.client, NULL, "news"), 0);
        run_until(pair.server.messages == i);
    }
    ev_prepare_stop(loop, &sender.prepare);
    pair_close(&pair);
}

static void test_no_such_peer(void **state)
{
    const struct zframe nobody = {.data = "nobody", .size = 6};
    const struct zframe nothing = {.data = "", .size = 0};
    struct pair pair;
    struct zframe route;

    (void)state;
    pair_open(&pair, ZSOCKET_ROUTER, ZSOCKET_DEALER);
    assert_int_equal(party_send(&pair.server, &nobody, "x"), -1);
    assert_int_equal(party_send(&pair.server, &nothing, "x"), -1);
    party_send(&pair.client, NULL, "I am");
    run_until(pair.server.messages == 1);
    route = route_of(&pair.server);
    assert_int_equal(party_send(&pair.server, &route, "you are"), 0);
    run_until(pair.client.messages == 1);
    zsocket_close(&pair.client.socket, 0);
    try_until(party_send(&pair.server, &route, "are you?") == -1);
    assert_int_equal(party_send(&pair.client, NULL, "x"), -1); /* it is closed */
    pair_close(&pair);
}

/* What nobody takes is refused in the end, at a bound. */
static void test_queue_is_bounded(void **state)
{
    struct party client;
    size_t taken = 0;

    (void)state;
    party_open(&client, ZSOCKET_DEALER);
    party_connect(&client, "tcp://127.0.0.1:1");
    while (taken <= 2 * QUEUED && party_send(&client, NULL, "x") == 0)
        taken++;
    assert_int_equal(taken, QUEUED);
    party_close(&client);
}

static void test_topics(void **state)
{
    const struct zframe wanted = {.data = "run-1", .size = 5};
    const struct zframe other = {.data = "run-2", .size = 5};
    struct pair pair;

    (void)state;
    pair_open(&pair, ZSOCKET_PUB, ZSOCKET_SUB);
    zsocket_subscribe(&pair.client.socket, "run-1");
    /* Until the subscription is there, what is published is for nobody. */
    try_until(party_send(&pair.server, &wanted, "first") == 0 &&
              pair.client.messages > 0);
    assert_true(pair.client.socket.connected);
    run_for(0.1);
    pair.client.messages = 0;
    assert_int_equal(party_send(&pair.server, &other, "not for it"), 0);
    assert_int_equal(party_send(&pair.server, &wanted, "for it"), 0);
    run_until(pair.client.messages == 1);
    assert_string_equal(buffer_text(&pair.client.body), "for it");
    assert_int_equal(pair.client.route_size, wanted.size);
    assert_memory_equal(pair.client.route, wanted.data, wanted.size);
    pair_close(&pair);
}

/* One that does not read holds up nobody; what it gets then are whole messages. */
static void test_slow_subscriber(void **state)
{
    const struct zframe topic = {.data = "run-1", .size = 5};
    struct buffer body = BUFFER_INIT;
    struct pair pair;
    size_t rounds = 0;

    (void)state;
    pair_open(&pair, ZSOCKET_PUB, ZSOCKET_SUB);
    zsocket_subscribe(&pair.client.socket, "");
    try_until(party_send(&pair.server, &topic, "first") == 0 &&
              pair.client.messages > 0);
    run_for(0.1);
    pair.client.messages = 0;
    buffer_reserve(&body, 100000);
    memset(body.data, 'x', 100000);
    body.size = 100000;
    for (; rounds < 5000; rounds++) /* half a GB, if somebody kept it */
        assert_int_equal(zsocket_send(&pair.server.socket, &topic, &body), 0);
    run_for(0.5);
    assert_in_range(pair.client.messages, 1, rounds - 1);
    assert_int_equal(pair.client.troubles, 0);
    assert_int_equal(pair.client.body.size, body.size);
    buffer_clear(&body);
    pair_close(&pair);
}

/* --- strangers ------------------------------------------------------------------------ */

/* A socket of ZeroMQ that is not ours, and blocks. */
static void *open_stranger(const char *endpoint)
{
    void *const stranger = zmq_socket(context, ZMQ_DEALER);
    const int linger = 0;

    assert_non_null(stranger);
    zmq_setsockopt(stranger, ZMQ_LINGER, &linger, sizeof(linger));
    assert_int_equal(zmq_connect(stranger, endpoint), 0);
    return stranger;
}

static void test_frames(void **state)
{
    struct pair pair;
    void *stranger;

    (void)state;
    pair_open(&pair, ZSOCKET_ROUTER, ZSOCKET_DEALER);
    stranger = open_stranger(pair.endpoint);
    for (int frames = 2; frames < 20; frames++) {
        for (int i = 1; i < frames; i++)
            zmq_send(stranger, "frame", 5, ZMQ_SNDMORE);
        zmq_send(stranger, "last", 4, 0);
    }
    zmq_send(stranger, "right", 5, 0);
    run_until(pair.server.messages == 1);
    assert_string_equal(buffer_text(&pair.server.body), "right");
    assert_int_equal(pair.server.troubles, 18);
    assert_non_null(strstr(pair.server.trouble, "20 frames"));
    zmq_close(stranger);
    pair_close(&pair);
}

/* A server can send too many, too; and a publisher too few. */
static void test_frames_to_clients(void **state)
{
    struct party dealer, subscriber;
    char *const router_at = ipc_endpoint("router"), *const pub_at = ipc_endpoint("pub");
    void *const router = zmq_socket(context, ZMQ_DEALER);
    void *const pub = zmq_socket(context, ZMQ_PUB);
    const int linger = 0;

    (void)state;
    zmq_setsockopt(router, ZMQ_LINGER, &linger, sizeof(linger));
    zmq_setsockopt(pub, ZMQ_LINGER, &linger, sizeof(linger));
    assert_int_equal(zmq_bind(router, router_at), 0);
    assert_int_equal(zmq_bind(pub, pub_at), 0);
    party_open(&dealer, ZSOCKET_DEALER);
    party_open(&subscriber, ZSOCKET_SUB);
    zsocket_subscribe(&subscriber.socket, "");
    party_connect(&dealer, router_at);
    party_connect(&subscriber, pub_at);
    zmq_send(router, "too", 3, ZMQ_SNDMORE);
    zmq_send(router, "many", 4, 0);
    run_until(dealer.troubles == 1);
    try_until(zmq_send(pub, "no body", 7, ZMQ_DONTWAIT) > 0 && subscriber.troubles > 0);
    assert_non_null(strstr(subscriber.trouble, "1 frame"));
    assert_int_equal(dealer.messages + subscriber.messages, 0);
    party_close(&dealer);
    party_close(&subscriber);
    zmq_close(router);
    zmq_close(pub);
    free(router_at);
    free(pub_at);
}

static void test_too_large(void **state)
{
    struct pair pair;
    struct buffer body = BUFFER_INIT;
    char *const large = calloc(1, WIRE_SIZE_MAX + 1);
    void *stranger;

    (void)state;
    assert_non_null(large);
    body.data = large;
    pair_open(&pair, ZSOCKET_ROUTER, ZSOCKET_DEALER);
    body.size = WIRE_SIZE_MAX + 1;
    assert_int_equal(zsocket_send(&pair.client.socket, NULL, &body), -1);
    stranger = open_stranger(pair.endpoint);
    zmq_send(stranger, large, WIRE_SIZE_MAX + 1, 0);
    party_send(&pair.client, NULL, "fits");
    run_until(pair.server.messages == 1);
    run_for(0.3);
    assert_int_equal(pair.server.messages, 1);
    body.size = WIRE_SIZE_MAX;
    assert_int_equal(zsocket_send(&pair.client.socket, NULL, &body), 0);
    run_until(pair.server.messages == 2);
    assert_int_equal(pair.server.body.size, WIRE_SIZE_MAX);
    free(large);
    zmq_close(stranger);
    pair_close(&pair);
}

static struct sockaddr_in address_of(const char *endpoint)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)strtoul(strrchr(endpoint, ':') + 1, NULL, 10)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static int connect_plainly(const char *endpoint)
{
    const struct sockaddr_in address = address_of(endpoint);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_not_equal(fd, -1);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)),
                     0);
    return fd;
}

#define ZEROS_16 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
/* Of 64 bytes: signature, version 3.0, a mechanism of 4 letters, and nothing more. */
#define GREETING(mechanism) \
    "\xff\0\0\0\0\0\0\0\x01\x7f\x03\0" mechanism ZEROS_16 ZEROS_16 ZEROS_16

/* Whatever is sent to a server, it goes on for the others. */
static void test_foreign_clients(void **state)
{
    static const struct {
        const char *name, *bytes;
        size_t size;
        bool is_trouble;
    } cases[] = {
        {"a mechanism we have not", GREETING("XXXX"),                64, true },
        {"leaves at once",          "",                              0,  true },
        {"half a greeting",         GREETING("NULL"),                5,  true },
        {"a greeting and junk",     GREETING("NULL") "\x04\xff\xff", 67, true },
        {"HTTP",                    "GET / HTTP/1.1\r\n\r\n",        18, false},
        {"SSH",                     "SSH-2.0-OpenSSH_9.2p1\r\n",     23, false},
    };
    struct party server, client;
    const char *endpoint;

    (void)state;
    party_open(&server, ZSOCKET_ROUTER);
    party_open(&client, ZSOCKET_DEALER);
    endpoint = party_bind(&server, "tcp://127.0.0.1:*");
    party_connect(&client, endpoint);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int fd = connect_plainly(endpoint);

        server.troubles = 0;
        assert_int_equal(send(fd, cases[i].bytes, cases[i].size, MSG_NOSIGNAL),
                         cases[i].size);
        run_for(0.05);
        fd_close(&fd);
        if (cases[i].is_trouble)
            run_until(server.troubles == 1);
        party_send(&client, NULL, cases[i].name);
        run_until(server.messages == i + 1);
        assert_string_equal(buffer_text(&server.body), cases[i].name);
    }
    party_close(&client);
    party_close(&server);
}

/* ZeroMQ does not connect again to what answered in a foreign tongue: so it is told of. */
static void test_foreign_server(void **state)
{
    struct sockaddr_in address = address_of(":0");
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
    struct party client;
    char endpoint[64];

    (void)state;
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 5), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    snprintf(endpoint, sizeof(endpoint), "tcp://127.0.0.1:%u", ntohs(address.sin_port));
    party_open(&client, ZSOCKET_DEALER);
    party_connect(&client, endpoint);
    fd = accept(listener, NULL, NULL);
    assert_int_equal(send(fd, GREETING("XXXX"), 64, MSG_NOSIGNAL), 64);
    run_until(client.troubles == 1);
    assert_false(client.socket.connected);
    fd_close(&fd);
    fd_close(&listener);
    party_close(&client);
}

/* --- places --------------------------------------------------------------------------- */

static void test_connected_again(void **state)
{
    struct pair pair;

    (void)state;
    pair_open(&pair, ZSOCKET_ROUTER, ZSOCKET_DEALER);
    run_until(pair.client.socket.connected);
    party_close(&pair.server);
    run_until(!pair.client.socket.connected);
    party_open(&pair.server, ZSOCKET_ROUTER);
    /* ZeroMQ closes in the background: that must not take the file from under us. */
    run_for(0.1);
    party_bind(&pair.server, pair.endpoint);
    run_until(pair.client.socket.connected);
    party_send(&pair.client, NULL, "again");
    run_until(pair.server.messages == 1);
    pair_close(&pair);
}

static void refuse_to_bind(const char *endpoint, int code, const char *want)
{
    struct party party;
    struct error err = {.message = ""};
    char *bound = NULL;

    party_open(&party, ZSOCKET_ROUTER);
    errno = 0;
    assert_int_equal(zsocket_bind(&party.socket, endpoint, &bound, &err), -1);
    if (errno != code || strstr(err.message, want) == NULL)
        fail_msg("%s: errno %d, '%s'", endpoint, errno, err.message);
    assert_null(bound);
    party_close(&party);
}

/* Nobody's place is taken over, and no file removed that is no socket. */
static void test_taken_places(void **state)
{
    char *const at_file = ipc_endpoint("file");
    char *const at_nothing = ipc_endpoint("no/such/folder");
    struct party tcp;
    struct pair pair;
    struct error err;

    (void)state;
    pair_open(&pair, ZSOCKET_ROUTER, ZSOCKET_DEALER);
    refuse_to_bind(pair.endpoint, EADDRINUSE, "somebody else");
    party_send(&pair.client, NULL, "still here");
    run_until(pair.server.messages == 1);
    assert_int_equal(pair.server.troubles, 0);
    pair_close(&pair);

    party_open(&tcp, ZSOCKET_ROUTER);
    refuse_to_bind(party_bind(&tcp, "tcp://127.0.0.1:*"), EADDRINUSE, "somebody else");
    party_close(&tcp);

    assert_int_equal(file_write(at_file + strlen("ipc://"), "x", 1, 0600, &err), 0);
    refuse_to_bind(at_file, EEXIST, "no socket");
    assert_int_equal(access(at_file + strlen("ipc://"), F_OK), 0);
    refuse_to_bind(at_nothing, ENOENT, "No such file");
    refuse_to_bind("tcp://192.0.2.1:7777", EADDRNOTAVAIL, "tcp://192.0.2.1:7777");
    refuse_to_bind("tcp://localhost:7777", ENODEV, "no name that is looked up");
    refuse_to_bind("nonsense", EINVAL, "nonsense");
    free(at_file);
    free(at_nothing);
}

/* The file of a broker that was killed is in nobody's way, and only we can connect. */
static void test_socket_file(void **state)
{
    char *const endpoint = ipc_endpoint("left");
    const char *const path = endpoint + strlen("ipc://");
    struct party party;
    struct stat info;
    int status = 0;
    const pid_t pid = fork();
    mode_t mask;

    (void)state;
    if (pid == 0) {
        struct zsocket own = {.handle = NULL};
        void *const its_context = zcontext_new();
        char *bound;

        if (zsocket_open(&own, its_context, loop_new(), ZSOCKET_ROUTER, NULL) == 0)
            zsocket_bind(&own, endpoint, &bound, NULL);
        _exit(0); /* without a word to libzmq, as if killed */
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(stat(path, &info), 0);
    mask = umask(022);
    party_open(&party, ZSOCKET_ROUTER);
    party_bind(&party, endpoint);
    assert_int_equal(stat(path, &info), 0);
    assert_true(S_ISSOCK(info.st_mode));
    assert_int_equal(info.st_mode & 077, 0);
    assert_int_equal(umask(mask), 022);
    party_close(&party);
    free(endpoint);
}

/* Where it does not, ZeroMQ cannot connect to it by that name. */
static bool system_knows_localhost(void)
{
    struct addrinfo *info;

    if (getaddrinfo("localhost", NULL, NULL, &info) != 0)
        return false;
    freeaddrinfo(info);
    return true;
}

static void test_tcp_places(void **state)
{
    static const struct {
        const char *bind, *connect; /* a port follows the latter */
        const char *want;           /* the beginning of what is told */
    } cases[] = {
        {"tcp://127.0.0.1:*", "tcp://127.0.0.1", "tcp://127.0.0.1:"},
        {"tcp://0.0.0.0:0",   "tcp://127.0.0.1", "tcp://0.0.0.0:"  },
        {"tcp://[::1]:*",     "tcp://[::1]",     "tcp://[::1]:"    },
        {"tcp://*:*",         "tcp://[::1]",     "tcp://[::]:"     },
        {"tcp://*:*",         "tcp://127.0.0.1", "tcp://[::]:"     },
        {"tcp://*:*",         "tcp://localhost", "tcp://[::]:"     },
    };
    const int ipv6 = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct party server, client;
        const char *bound;
        char *endpoint;

        if (ipv6 == -1 && strchr(cases[i].want, '[') != NULL)
            continue;
        if (strstr(cases[i].connect, "localhost") != NULL &&
            !system_knows_localhost()) {
            print_message("%s: skipped, the system does not know it\n",
                          cases[i].connect);
            continue;
        }
        party_open(&server, ZSOCKET_ROUTER);
        party_open(&client, ZSOCKET_DEALER);
        bound = party_bind(&server, cases[i].bind);
        if (strncmp(bound, cases[i].want, strlen(cases[i].want)) != 0)
            fail_msg("%s: %s", cases[i].bind, bound);
        assert_true(strtoul(strrchr(bound, ':') + 1, NULL, 10) > 0);
        endpoint = xasprintf("%s%s", cases[i].connect, strrchr(bound, ':'));
        party_connect(&client, endpoint);
        party_send(&client, NULL, endpoint);
        run_until(server.messages == 1);
        party_close(&client);
        party_close(&server);
        free(endpoint);
    }
    if (ipv6 != -1)
        close(ipv6);
}

static void test_no_place_to_connect_to(void **state)
{
    static const char *const cases[] = {"tcp://*:7777", "ipc://relative", "udp://x:1",
                                        "tcp://127.0.0.1", "tcp://127.0.0.1:*"};
    struct party party;

    (void)state;
    party_open(&party, ZSOCKET_DEALER);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {.message = ""};

        assert_int_equal(zsocket_connect(&party.socket, cases[i], &err), -1);
        assert_non_null(strstr(err.message, cases[i]));
    }
    party_close(&party);
}

/* --- opening and closing -------------------------------------------------------------- */

static void test_closed_by_its_own_message(void **state)
{
    struct pair pair;

    (void)state;
    pair_open(&pair, ZSOCKET_ROUTER, ZSOCKET_DEALER);
    pair.server.closes = true;
    for (int i = 0; i < 10; i++)
        party_send(&pair.client, NULL, "close");
    usleep(20000);
    run_until(pair.server.socket.handle == NULL);
    run_for(0.05);
    assert_int_equal(pair.server.messages, 1);
    pair_close(&pair);
}

static void test_lingers(void **state)
{
    static const struct {
        int linger_ms;
        size_t want;
    } cases[] = {
        {2000, 1},
        {0,    0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct pair pair;

        pair_open(&pair, ZSOCKET_ROUTER, ZSOCKET_DEALER);
        party_close(&pair.server);
        run_for(0.1);
        party_send(&pair.client, NULL, "last words");
        zsocket_close(&pair.client.socket, cases[i].linger_ms);
        party_open(&pair.server, ZSOCKET_ROUTER);
        party_bind(&pair.server, pair.endpoint);
        if (cases[i].want > 0)
            run_until(pair.server.messages == cases[i].want);
        else
            run_for(0.8);
        assert_int_equal(pair.server.messages, cases[i].want);
        pair_close(&pair);
        run_for(0.1); /* it is closed in the background */
    }
}

/* An agent makes its sockets anew again and again. */
static void test_nothing_is_left_behind(void **state)
{
    struct party server;
    const char *endpoint;
    size_t before;

    (void)state;
    party_open(&server, ZSOCKET_ROUTER);
    endpoint = party_bind(&server, "tcp://127.0.0.1:*");
    before = fd_count_open();
    for (size_t i = 1; i <= 100; i++) {
        struct party client;

        party_open(&client, ZSOCKET_DEALER);
        party_connect(&client, endpoint);
        party_send(&client, NULL, "hello");
        run_until(server.messages == i);
        party_close(&client);
    }
    try_until(fd_count_open() <= before + 2); /* they are closed in the background */
    party_close(&server);
}

/* Opens sockets until that is refused, and closes them; 0, where all went well. */
static int run_out_of_descriptors(void)
{
    struct rlimit limit;
    struct zsocket sockets[100] = {{.handle = NULL}};
    void *const its_context = zcontext_new();
    struct ev_loop *const its_loop = loop_new();
    struct error err = {.message = ""};
    size_t count = 0;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = fd_count_open() + 40;
    setrlimit(RLIMIT_NOFILE, &limit);
    while (count < ARRAY_SIZE(sockets) &&
           zsocket_open(&sockets[count], its_context, its_loop, ZSOCKET_DEALER, &err) ==
               0)
        count++;
    if (count == 0 || count == ARRAY_SIZE(sockets) || sockets[count].handle != NULL ||
        strstr(err.message, "Too many open files") == NULL)
        return 1;
    while (count > 0)
        zsocket_close(&sockets[--count], 0);
    for (int left = 500; left > 0; left--) { /* they are closed in the background */
        if (zsocket_open(&sockets[0], its_context, its_loop, ZSOCKET_DEALER, &err) == 0)
            return 0;
        usleep(10000);
    }
    return 2;
}

static void test_no_descriptors(void **state)
{
    int status = 0;
    const pid_t pid = fork();

    (void)state;
    if (pid == 0)
        _exit(run_out_of_descriptors());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void test_descriptor_limit_is_raised(void **state)
{
    struct rlimit limit;
    void *its_context;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 256;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    its_context = zcontext_new();
    getrlimit(RLIMIT_NOFILE, &limit);
    assert_int_equal(limit.rlim_cur, limit.rlim_max);
    zcontext_destroy(its_context);
    zcontext_destroy(NULL);
}

/* --- all of this ---------------------------------------------------------------------- */

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return folder_remove(folder, NULL);
}

static int make_world(void **state)
{
    (void)state;
    loop = loop_new();
    context = zcontext_new();
    return 0;
}

static int destroy_world(void **state)
{
    (void)state;
    if (open_parties ==
        0) { /* else the test has failed, and this would wait for ever */
        zcontext_destroy(context);
        ev_loop_destroy(loop);
    }
    open_parties = 0;
    return 0;
}

#define zsocket_test(name) \
    cmocka_unit_test_setup_teardown(name, make_world, destroy_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        zsocket_test(test_there_and_back),
        zsocket_test(test_many),
        zsocket_test(test_news_taken_by_sending),
        zsocket_test(test_news_taken_before_the_wait),
        zsocket_test(test_no_such_peer),
        zsocket_test(test_queue_is_bounded),
        zsocket_test(test_topics),
        zsocket_test(test_slow_subscriber),
        zsocket_test(test_frames),
        zsocket_test(test_frames_to_clients),
        zsocket_test(test_too_large),
        zsocket_test(test_foreign_clients),
        zsocket_test(test_foreign_server),
        zsocket_test(test_connected_again),
        zsocket_test(test_taken_places),
        zsocket_test(test_socket_file),
        zsocket_test(test_tcp_places),
        zsocket_test(test_no_place_to_connect_to),
        zsocket_test(test_closed_by_its_own_message),
        zsocket_test(test_lingers),
        zsocket_test(test_nothing_is_left_behind),
        cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_descriptor_limit_is_raised),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
