#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <net/if.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/memory.h"
#include "http/names.h"
#include "unit/random.h"

/* --- a name service of the test's own --------------------------------------------------- */

enum { ROWS = 8 };

/* Where no host is asked for. */
#define LOOPBACK "(loopback)"

/* What a name's look-ups end with; other names have the address 10.0.0.1. */
struct row {
    const char *host;
    const char *addresses; /* joined by "," */
    int rc, error_number;
};

/* What threads and the test both look at, under the lock. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct row rows[ROWS];
    size_t row_count;
    bool gate_closed; /* look-ups stay inside */
    size_t inside, most_inside, calls;
    int flags; /* of the last call */
    bool takes_signals;
} service = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static bool no_threads; /* none can be made */
static uint64_t time_passed_s;

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret_info);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret_info);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *data);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *data);
int __real_clock_gettime(clockid_t clock, struct timespec *ret_now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now)
{
    const int rc = __real_clock_gettime(clock, ret_now);

    ret_now->tv_sec += (time_t)time_passed_s;
    return rc;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *data)
{
    return no_threads ? EAGAIN : __real_pthread_create(thread, attributes, start, data);
}

/* "*" instead of an address is one that nobody can use. */
static struct addrinfo *make_info(const char *text)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                          .ai_flags = AI_NUMERICHOST};
    const char *const literal = strcmp(text, "*") == 0 ? "127.0.0.1" : text;
    struct addrinfo *info = NULL;

    if (__real_getaddrinfo(literal, NULL, &hints, &info) != 0)
        abort();
    if (strcmp(text, "*") == 0)
        info->ai_family = AF_UNIX;
    return info;
}

static struct addrinfo *make_list(const char *addresses)
{
    char *const copy = xstrdup(addresses);
    struct addrinfo *first = NULL, **link = &first;
    char *rest = copy, *text;

    while ((text = strsep(&rest, ",")) != NULL) {
        *link = make_info(text);
        link = &(*link)->ai_next;
    }
    free(copy);
    return first;
}

static struct row find_row(const char *host)
{
    if (host == NULL)
        host = LOOPBACK;
    for (size_t i = 0; i < service.row_count; i++) {
        if (strcmp(service.rows[i].host, host) == 0)
            return service.rows[i];
    }
    return (struct row){.host = host, .addresses = "10.0.0.1"};
}

static bool signal_comes_here(void)
{
    sigset_t mask;

    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return !sigismember(&mask, SIGINT) || !sigismember(&mask, SIGTERM);
}

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret_info)
{
    struct row row;

    if (host == NULL && port == NULL)
        return EAI_NONAME; /* as the real one */
    if (hints->ai_flags & AI_NUMERICHOST)
        return __real_getaddrinfo(host, port, hints, ret_info);
    pthread_mutex_lock(&service.lock);
    service.calls++;
    service.flags = hints->ai_flags;
    service.takes_signals |= signal_comes_here();
    service.inside++;
    if (service.inside > service.most_inside)
        service.most_inside = service.inside;
    pthread_cond_broadcast(&service.changed);
    while (service.gate_closed)
        pthread_cond_wait(&service.changed, &service.lock);
    service.inside--;
    pthread_cond_broadcast(&service.changed);
    row = find_row(host);
    pthread_mutex_unlock(&service.lock);
    if (row.rc == 0)
        *ret_info = make_list(row.addresses);
    errno = row.error_number;
    return row.rc;
}

static void set_row(const char *host, const char *addresses, int rc)
{
    size_t i = 0;

    pthread_mutex_lock(&service.lock);
    while (i < service.row_count && strcmp(service.rows[i].host, host) != 0)
        i++;
    assert_true(i < ROWS);
    service.rows[i] = (struct row){host, addresses, rc, ENFILE};
    service.row_count += i == service.row_count;
    pthread_mutex_unlock(&service.lock);
}

static void set_gate(bool closed)
{
    pthread_mutex_lock(&service.lock);
    service.gate_closed = closed;
    pthread_cond_broadcast(&service.changed);
    pthread_mutex_unlock(&service.lock);
}

static void wait_for_inside(size_t count)
{
    pthread_mutex_lock(&service.lock);
    while (service.inside != count)
        pthread_cond_wait(&service.changed, &service.lock);
    pthread_mutex_unlock(&service.lock);
}

static size_t count_calls(void)
{
    size_t calls;

    pthread_mutex_lock(&service.lock);
    calls = service.calls;
    pthread_mutex_unlock(&service.lock);
    return calls;
}

/* --- a world ---------------------------------------------------------------------------- */

struct world {
    struct ev_loop *loop;
    struct names *names;
    size_t threads; /* of this process without any look-up */
};

static struct world world;

static size_t count_threads(void)
{
    DIR *const tasks = opendir("/proc/self/task");
    size_t count = 0;

    assert_non_null(tasks);
    for (const struct dirent *entry; (entry = readdir(tasks)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

/* A sanitizer has a thread of its own beside ours, from the first one on. */
static void *do_nothing(void *ret_id)
{
    *(pid_t *)ret_id = gettid();
    return NULL;
}

static int count_foreign_threads(void **state)
{
    pthread_t thread;
    pid_t id;
    char path[64];

    (void)state;
    assert_int_equal(__real_pthread_create(&thread, NULL, do_nothing, &id), 0);
    pthread_join(thread, NULL);
    snprintf(path, sizeof(path), "/proc/self/task/%d", (int)id);
    while (access(path, F_OK) == 0)
        usleep(1000);
    world.threads = count_threads();
    return 0;
}

static void wait_for_threads(void)
{
    while (count_threads() > world.threads)
        usleep(1000);
}

static int set_up(void **state)
{
    (void)state;
    pthread_mutex_lock(&service.lock);
    service.row_count = 0;
    service.gate_closed = false;
    service.most_inside = 0;
    service.calls = 0;
    service.takes_signals = false;
    pthread_mutex_unlock(&service.lock);
    no_threads = false;
    world.loop = loop_new();
    world.names = names_new(world.loop);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    names_destroy(world.names);
    set_gate(false);
    wait_for_threads();
    ev_loop_destroy(world.loop);
    time_passed_s = 0;
    return 0;
}

/* One who asks for a name, and what came of it. */
struct asker {
    struct name_wait wait;
    const char *host;
    bool waits;
    size_t known, failed; /* on_known() was called so, so often */
    char addresses[1024];
    char why[128];
    uint64_t version;
    struct asker *forgets; /* when it is told */
    size_t asks_again;     /* when it is told, so often */
};

static void write_addresses(struct asker *asker, const struct addresses *addresses)
{
    char text[INET6_ADDRSTRLEN];
    size_t length = 0;

    assert_true(addresses->count >= 1 && addresses->count <= ADDRESSES_MAX);
    asker->version = addresses->version;
    for (size_t i = 0; i < addresses->count; i++) {
        const union address *const item = &addresses->items[i];
        const void *const bytes = item->any.sa_family == AF_INET
                                      ? (const void *)&item->v4.sin_addr
                                      : (const void *)&item->v6.sin6_addr;

        assert_int_equal(item->v4.sin_port, 0);
        inet_ntop(item->any.sa_family, bytes, text, sizeof(text));
        length += (size_t)snprintf(asker->addresses + length,
                                   sizeof(asker->addresses) - length, "%s%s",
                                   i > 0 ? "," : "", text);
    }
}

static void ask(struct asker *asker);

static void on_known(struct name_wait *wait, struct addresses *addresses,
                     const char *why)
{
    struct asker *const asker = wait->data;

    assert_true(asker->waits);
    asker->waits = false;
    if (addresses != NULL) {
        asker->known++;
        write_addresses(asker, addresses);
    } else {
        asker->failed++;
        snprintf(asker->why, sizeof(asker->why), "%s", why);
    }
    if (asker->forgets != NULL) {
        names_forget(&asker->forgets->wait);
        asker->forgets->waits = false;
    }
    if (asker->asks_again > 0) {
        asker->asks_again--;
        ask(asker);
    }
}

static void ask(struct asker *asker)
{
    struct addresses *addresses;

    asker->wait.on_known = on_known;
    asker->wait.data = asker;
    addresses = names_find(world.names, asker->host, &asker->wait);
    asker->waits = addresses == NULL;
    if (addresses != NULL)
        write_addresses(asker, addresses);
}

static void run_until_told(struct asker *askers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        while (askers[i].waits)
            ev_run(world.loop, EVRUN_ONCE);
    }
}

/* Until nothing is under way: the loop has nothing to wait for. */
static void run_until_quiet(void)
{
    ev_run(world.loop, 0);
}

static void expect_answer(const char *host, const char *want)
{
    struct asker asker = {.host = host};

    ask(&asker);
    run_until_told(&asker, 1);
    assert_int_equal(asker.failed, 0);
    assert_string_equal(asker.addresses, want);
}

static void expect_failure(const char *host, const char *want)
{
    struct asker asker = {.host = host};

    ask(&asker);
    run_until_told(&asker, 1);
    assert_int_equal(asker.failed, 1);
    assert_string_equal(asker.why, want);
}

/* --- addresses -------------------------------------------------------------------------- */

static void test_is_address(void **state)
{
    static const struct {
        const char *host;
        bool want;
    } cases[] = {
        {"127.0.0.1",    true },
        {"::1",          true },
        {"fe80::1%eth0", true },
        {"1.2.3.4.5",    false},
        {"1.2.3",        false},
        {"a.example",    false},
        {"localhost",    false},
        {"10.0.0.1x",    false},
        {"",             false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (names_is_address(cases[i].host) != cases[i].want)
            fail_msg("'%s'", cases[i].host);
    }
}

static void test_addresses_need_no_lookup(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "::1", "2001:db8::7",
                                        "255.255.255.255"};

    (void)state;
    no_threads = true;
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        struct asker asker = {.host = hosts[i]};

        for (int again = 0; again <= 1; again++) {
            ask(&asker);
            assert_false(asker.waits);
            assert_string_equal(asker.addresses, hosts[i]);
            assert_int_equal(asker.version, i + 1);
            time_passed_s += 10ull * NAMES_KEPT_S;
        }
    }
    assert_int_equal(count_calls(), 0);
}

static void test_zone(void **state)
{
    struct name_wait wait = {.data = NULL};
    const struct addresses *addresses;

    (void)state;
    addresses = names_find(world.names, "fe80::1%lo", &wait);
    assert_non_null(addresses);
    assert_int_equal(addresses->items[0].v6.sin6_scope_id, if_nametoindex("lo"));
}

/* It goes the long way, so that its failure comes the same way as any. */
static void test_unknown_zone(void **state)
{
    (void)state;
    set_row("fe80::1%nosuch", NULL, EAI_NONAME);
    expect_failure("fe80::1%nosuch", gai_strerror(EAI_NONAME));
}

static void test_take_turn(void **state)
{
    static const struct {
        const char *addresses, *turns;
    } cases[] = {
        {"10.0.0.1",                                          "0000000"},
        {"10.0.0.1,10.0.0.2",                                 "0101010"},
        {"10.0.0.1,10.0.0.2,10.0.0.3",                        "0120120"},
        {"::1,10.0.0.1",                                      "0000000"},
        {"10.0.0.1,::1,10.0.0.2",                             "0202020"},
        {"2001:db8::1,10.0.0.1,2001:db8::2,::3,::4,10.0.0.2", "0234023"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *const host = cases[i].addresses; /* any text will do */
        struct asker asker = {.host = host};
        struct addresses *addresses;

        set_row(host, cases[i].addresses, 0);
        ask(&asker);
        run_until_told(&asker, 1);
        addresses = names_find(world.names, host, &asker.wait);
        for (const char *turn = cases[i].turns; *turn != '\0'; turn++)
            assert_int_equal(addresses_take_turn(addresses), *turn - '0');
    }
}

static void test_which_addresses(void **state)
{
    (void)state;
    set_row("a.example", "10.0.0.1,2001:db8::1,10.0.0.2", 0);
    expect_answer("a.example", "10.0.0.1,2001:db8::1,10.0.0.2");
    set_row("mixed.example", "*,10.0.0.1,*", 0);
    expect_answer("mixed.example", "10.0.0.1");
    set_row("none.example", "*,*", 0);
    expect_failure("none.example", gai_strerror(EAI_NODATA));
    set_row("many.example",
            "10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4,10.0.0.5,10.0.0.6,"
            "10.0.0.7,10.0.0.8,10.0.0.9,10.0.0.10,10.0.0.11,10.0.0.12,"
            "10.0.0.13,10.0.0.14,10.0.0.15,10.0.0.16,10.0.0.17,::1",
            0);
    expect_answer("many.example",
                  "10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4,10.0.0.5,10.0.0.6,10.0.0.7,"
                  "10.0.0.8,10.0.0.9,10.0.0.10,10.0.0.11,10.0.0.12,10.0.0.13,10.0.0.14,"
                  "10.0.0.15,10.0.0.16");
}

/* Whoever holds them keeps them, whatever becomes of the names. */
static void test_hold(void **state)
{
    struct name_wait wait = {.data = NULL};
    struct addresses *held;

    (void)state;
    held = addresses_hold(names_find(world.names, "127.0.0.1", &wait));
    names_destroy(world.names);
    world.names = NULL;
    assert_int_equal(held->holders, 1);
    assert_int_equal(held->count, 1);
    addresses_release(held);
    addresses_release(NULL);
}

/* --- one look-up for all ---------------------------------------------------------------- */

enum { CROWD = 5 };

static void gather(struct asker crowd[CROWD], const char *host)
{
    memset(crowd, 0, CROWD * sizeof(*crowd));
    for (size_t i = 0; i < CROWD; i++) {
        crowd[i].host = host;
        ask(&crowd[i]);
        assert_true(crowd[i].waits);
    }
}

static void test_all_wait_for_one(void **state)
{
    struct asker crowd[CROWD];

    (void)state;
    gather(crowd, "a.example");
    run_until_told(crowd, CROWD);
    for (size_t i = 0; i < CROWD; i++) {
        assert_int_equal(crowd[i].known, 1);
        assert_string_equal(crowd[i].addresses, "10.0.0.1");
        assert_int_equal(crowd[i].version, 1);
    }
    expect_answer("a.example", "10.0.0.1");
    assert_int_equal(count_calls(), 1);
    assert_false(service.takes_signals);
    run_until_quiet();
}

static void test_failure_is_not_kept(void **state)
{
    struct asker crowd[CROWD];

    (void)state;
    set_row("a.example", NULL, EAI_AGAIN);
    gather(crowd, "a.example");
    run_until_told(crowd, CROWD);
    for (size_t i = 0; i < CROWD; i++) {
        assert_int_equal(crowd[i].failed, 1);
        assert_string_equal(crowd[i].why, gai_strerror(EAI_AGAIN));
    }
    expect_failure("a.example", gai_strerror(EAI_AGAIN));
    set_row("a.example", "10.0.0.9", 0);
    expect_answer("a.example", "10.0.0.9");
    assert_int_equal(count_calls(), 3);
}

static void test_words_of_the_system(void **state)
{
    (void)state;
    set_row("a.example", NULL, EAI_SYSTEM);
    expect_failure("a.example", strerror(ENFILE));
}

/* What is looked up here, and not on the wire, is not so configured. */
static void test_flags(void **state)
{
    static const struct {
        const char *host;
        int want;
    } cases[] = {
        {"a.example",     AI_ADDRCONFIG},
        {"localhosts",    AI_ADDRCONFIG},
        {"localhost",     0            },
        {"app.localhost", 0            },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        expect_answer(cases[i].host, "10.0.0.1");
        assert_int_equal(service.flags, cases[i].want);
    }
}

/* The loopback where the system knows none; where it knows one, what it says. */
static void test_localhost(void **state)
{
    static const char *const hosts[] = {"localhost", "app.localhost"};

    (void)state;
    set_row(LOOPBACK, "::1,127.0.0.1", 0);
    set_row("localhost", NULL, EAI_NONAME);
    set_row("app.localhost", NULL, EAI_AGAIN);
    set_row("localhosts", NULL, EAI_NONAME);
    set_row("a.localhost", "10.0.0.7", 0);
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        expect_answer(hosts[i], "::1,127.0.0.1");
        assert_int_equal(service.flags, 0);
    }
    expect_failure("localhosts", gai_strerror(EAI_NONAME));
    expect_answer("a.localhost", "10.0.0.7");
    set_row(LOOPBACK, NULL, EAI_FAIL);
    set_row("b.localhost", NULL, EAI_NONAME);
    expect_failure("b.localhost", gai_strerror(EAI_FAIL));
}

static void test_long_names(void **state)
{
    char *const host = xcalloc(1, 100001);

    (void)state;
    memset(host, 'a', 100000);
    expect_failure(host, gai_strerror(EAI_NONAME));
    host[NI_MAXHOST - 1] = '\0';
    expect_answer(host, "10.0.0.1");
    assert_int_equal(count_calls(), 1);
    free(host);
}

/* --- whoever waits no more -------------------------------------------------------------- */

static void test_forget_one(void **state)
{
    (void)state;
    for (size_t gone = 0; gone < CROWD; gone++) {
        struct asker crowd[CROWD];
        char host[16];

        snprintf(host, sizeof(host), "%zu.example", gone);
        gather(crowd, host);
        names_forget(&crowd[gone].wait);
        names_forget(&crowd[gone].wait);                 /* twice is fine */
        memset(&crowd[gone], 0xEE, sizeof(crowd[gone])); /* it may be freed */
        crowd[gone].waits = false;
        run_until_told(crowd, CROWD);
        for (size_t i = 0; i < CROWD; i++)
            assert_true(i == gone || crowd[i].known == 1);
    }
    assert_int_equal(count_calls(), CROWD);
}

/* Its answer is kept for whoever comes next. */
static void test_forget_all(void **state)
{
    struct asker crowd[CROWD];

    (void)state;
    gather(crowd, "a.example");
    for (size_t i = 0; i < CROWD; i++)
        names_forget(&crowd[i].wait);
    run_until_quiet();
    for (size_t i = 0; i < CROWD; i++)
        assert_int_equal(crowd[i].known + crowd[i].failed, 0);
    ask(&crowd[0]);
    assert_false(crowd[0].waits);
    assert_int_equal(count_calls(), 1);
}

static void test_forget_and_ask_again(void **state)
{
    struct asker crowd[CROWD];

    (void)state;
    gather(crowd, "a.example");
    names_forget(&crowd[0].wait);
    ask(&crowd[0]);
    assert_true(crowd[0].waits);
    run_until_told(crowd, CROWD);
    assert_int_equal(crowd[0].known, 1);
}

/* Each forgets each, while all are being told. */
static void test_forget_while_told(void **state)
{
    (void)state;
    for (size_t who = 0; who < CROWD; who++) {
        for (size_t gone = 0; gone < CROWD; gone++) {
            struct asker crowd[CROWD];

            set_row("a.example", NULL, EAI_NONAME);
            gather(crowd, "a.example");
            crowd[who].forgets = &crowd[gone];
            run_until_told(crowd, CROWD);
            for (size_t i = 0; i < CROWD; i++)
                assert_int_equal(crowd[i].failed, i != gone || gone <= who);
        }
    }
}

/* Those who ask again after a failure wait for another look-up, and all for the same. */
static void test_ask_again_while_told(void **state)
{
    struct asker crowd[CROWD];

    (void)state;
    set_row("a.example", NULL, EAI_NONAME);
    gather(crowd, "a.example");
    for (size_t i = 0; i < CROWD; i++)
        crowd[i].asks_again = 3;
    run_until_told(crowd, CROWD);
    for (size_t i = 0; i < CROWD; i++)
        assert_int_equal(crowd[i].failed, 4);
    assert_int_equal(count_calls(), 4);
    set_row("a.example", "10.0.0.1", 0);
    gather(crowd, "a.example");
    for (size_t i = 0; i < CROWD; i++)
        crowd[i].asks_again = 3;
    run_until_told(crowd, CROWD);
    for (size_t i = 0; i < CROWD; i++)
        assert_int_equal(crowd[i].known, 1); /* then it was known at once */
    assert_int_equal(count_calls(), 5);
}

/* One who asks again, is forgotten by another who is still to be told. */
static void test_forget_one_who_asked_again(void **state)
{
    struct asker crowd[CROWD];

    (void)state;
    set_row("a.example", NULL, EAI_NONAME);
    gather(crowd, "a.example");
    crowd[0].asks_again = 1;
    crowd[1].asks_again = 1;
    crowd[2].forgets = &crowd[0];
    run_until_told(crowd, CROWD);
    run_until_quiet();
    assert_int_equal(crowd[0].failed, 1);
    assert_int_equal(crowd[1].failed, 2);
    assert_int_equal(crowd[4].failed, 1);
}

/* --- how long an answer is kept --------------------------------------------------------- */

static void expect_at_once(const char *host, const char *want)
{
    struct asker asker = {.host = host};

    ask(&asker);
    assert_false(asker.waits);
    assert_string_equal(asker.addresses, want);
}

static void test_renewal(void **state)
{
    (void)state;
    expect_answer("a.example", "10.0.0.1");
    set_row("a.example", "10.0.0.2,10.0.0.3", 0);
    time_passed_s += NAMES_KEPT_S - 2;
    expect_at_once("a.example", "10.0.0.1");
    assert_int_equal(count_calls(), 1);
    time_passed_s += 3;
    set_gate(true);
    expect_at_once("a.example", "10.0.0.1"); /* the old one, while it is renewed */
    wait_for_inside(1);
    expect_at_once("a.example", "10.0.0.1");
    set_gate(false);
    run_until_quiet();
    expect_at_once("a.example", "10.0.0.2,10.0.0.3");
    assert_int_equal(count_calls(), 2);
}

static void test_renewal_that_fails(void **state)
{
    (void)state;
    expect_answer("a.example", "10.0.0.1");
    set_row("a.example", NULL, EAI_AGAIN);
    for (size_t round = 2; round < 5; round++) {
        time_passed_s += NAMES_KEPT_S + 1;
        expect_at_once("a.example", "10.0.0.1");
        run_until_quiet();
        expect_at_once("a.example", "10.0.0.1"); /* not asked for each time */
        run_until_quiet();
        assert_int_equal(count_calls(), round);
    }
    set_row("a.example", "10.0.0.7", 0);
    time_passed_s += NAMES_KEPT_S + 1;
    expect_at_once("a.example", "10.0.0.1");
    run_until_quiet();
    expect_at_once("a.example", "10.0.0.7");
}

/* What the system said before is not replaced by the loopback. */
static void test_renewal_of_a_localhost(void **state)
{
    (void)state;
    set_row(LOOPBACK, "127.0.0.1", 0);
    expect_answer("app.localhost", "10.0.0.1");
    set_row("app.localhost", NULL, EAI_AGAIN);
    time_passed_s += NAMES_KEPT_S + 1;
    expect_at_once("app.localhost", "10.0.0.1");
    run_until_quiet();
    expect_at_once("app.localhost", "10.0.0.1");
    run_until_quiet();
}

/* A new answer does not pull the old one from under whoever holds it. */
static void test_renewal_while_held(void **state)
{
    struct name_wait wait = {.data = NULL};
    struct addresses *held;

    (void)state;
    expect_answer("a.example", "10.0.0.1");
    held = addresses_hold(names_find(world.names, "a.example", &wait));
    time_passed_s += NAMES_KEPT_S + 1;
    expect_at_once("a.example", "10.0.0.1");
    run_until_quiet();
    assert_int_equal(held->holders, 1);
    assert_true(names_find(world.names, "a.example", &wait)->version > held->version);
    addresses_release(held);
}

/* Those over the limit are answered, too, but looked up each time. */
static void test_too_many_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < NAMES_MAX + 10; i++) {
        char host[32];

        snprintf(host, sizeof(host), "%zu.example", i);
        expect_answer(host, "10.0.0.1");
    }
    assert_int_equal(count_calls(), NAMES_MAX + 10);
    expect_at_once("0.example", "10.0.0.1");
    expect_at_once("999.example", "10.0.0.1");
    expect_answer("1000.example", "10.0.0.1");
    expect_answer("1000.example", "10.0.0.1");
    assert_int_equal(count_calls(), NAMES_MAX + 12);
    set_row("127.0.0.2", "127.0.0.2", 0);
    expect_answer("127.0.0.2", "127.0.0.2");
}

/* A name that failed does not take the place of one that can be kept. */
static void test_failed_names_take_no_room(void **state)
{
    (void)state;
    for (size_t i = 0; i < NAMES_MAX + 10; i++) {
        set_row("bad.example", NULL, EAI_NONAME);
        expect_failure("bad.example", gai_strerror(EAI_NONAME));
    }
    expect_answer("good.example", "10.0.0.1");
    expect_at_once("good.example", "10.0.0.1");
}

/* --- threads ---------------------------------------------------------------------------- */

enum { NAMES = 50 };

static void ask_many(struct asker many[NAMES], char hosts[NAMES][32])
{
    memset(many, 0, NAMES * sizeof(*many));
    for (size_t i = 0; i < NAMES; i++) {
        snprintf(hosts[i], sizeof(hosts[i]), "%zu.example", i);
        many[i].host = hosts[i];
        ask(&many[i]);
    }
}

static void test_threads_are_few(void **state)
{
    struct asker many[NAMES];
    char hosts[NAMES][32];

    (void)state;
    set_gate(true);
    ask_many(many, hosts);
    wait_for_inside(NAMES_THREADS);
    assert_int_equal(count_threads(), world.threads + NAMES_THREADS);
    set_gate(false);
    run_until_told(many, NAMES);
    assert_int_equal(service.most_inside, NAMES_THREADS);
    assert_int_equal(count_calls(), NAMES);
    run_until_quiet();
    wait_for_threads(); /* they end when there is nothing to do */
    expect_answer("again.example", "10.0.0.1");
}

static void test_no_thread(void **state)
{
    (void)state;
    no_threads = true;
    expect_failure("a.example", strerror(EAGAIN));
    expect_failure("b.example", strerror(EAGAIN));
    assert_int_equal(count_calls(), 0);
    no_threads = false;
    expect_answer("a.example", "10.0.0.1");
}

/* Where there is one, it does the work of all. */
static void test_no_more_threads(void **state)
{
    struct asker first = {.host = "first.example"}, many[NAMES];
    char hosts[NAMES][32];

    (void)state;
    set_gate(true);
    ask(&first);
    wait_for_inside(1);
    no_threads = true;
    ask_many(many, hosts);
    set_gate(false);
    run_until_told(&first, 1);
    run_until_told(many, NAMES);
    for (size_t i = 0; i < NAMES; i++)
        assert_int_equal(many[i].known, 1);
    assert_int_equal(service.most_inside, 1);
}

/* Some are in a thread, some wait for one, some are answered, but nobody was told. */
static void test_destroy_under_way(void **state)
{
    (void)state;
    for (int answered = 0; answered <= 1; answered++) {
        struct asker many[NAMES];
        char hosts[NAMES][32];

        set_gate(true);
        ask_many(many, hosts);
        wait_for_inside(NAMES_THREADS);
        for (size_t i = 0; i < NAMES; i++)
            names_forget(&many[i].wait);
        if (answered) {
            set_gate(false);
            wait_for_threads();
        }
        names_destroy(world.names);
        ev_loop_destroy(world.loop);
        memset(many, 0xEE, sizeof(many));
        set_gate(false);
        wait_for_threads();
        world.loop = loop_new();
        world.names = names_new(world.loop);
    }
    assert_true(count_calls() >= NAMES + NAMES_THREADS);
}

/* Destroyed at any moment while threads bring their answers. */
static void test_destroy_at_any_moment(void **state)
{
    struct random random = random_start("test_destroy_at_any_moment");

    (void)state;
    for (int round = 0; round < 200; round++) {
        struct asker many[NAMES];
        char hosts[NAMES][32];

        ask_many(many, hosts);
        for (uint64_t turns = random_below(&random, 4); turns > 0; turns--)
            ev_run(world.loop, EVRUN_NOWAIT);
        for (size_t i = 0; i < NAMES; i++)
            names_forget(&many[i].wait);
        names_destroy(world.names);
        ev_loop_destroy(world.loop);
        world.loop = loop_new();
        world.names = names_new(world.loop);
    }
}

/* A thread that never comes back does not keep the process. */
static void test_exit_under_way(void **state)
{
    pid_t pid;
    int status;

    (void)state;
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        struct asker asker = {.host = "a.example"};

        set_gate(true);
        ask(&asker);
        wait_for_inside(1);
        names_forget(&asker.wait);
        names_destroy(world.names);
        ev_loop_destroy(world.loop);
        exit(7);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

/* --- anything, in any order ------------------------------------------------------------- */

enum { MANY = 24 };

static void do_something(struct random *random, struct asker *asker,
                         struct asker *other)
{
    if (!asker->waits) {
        asker->asks_again = random_below(random, 3);
        asker->forgets = random_chance(random, 20) ? other : NULL;
        ask(asker);
    } else if (random_chance(random, 30)) {
        names_forget(&asker->wait);
        asker->waits = false;
    }
    if (random_chance(random, 10))
        time_passed_s += NAMES_KEPT_S + 1;
}

static void test_any_order(void **state)
{
    static const char *const hosts[] = {"good.example", "bad.example", "sick.example",
                                        "10.1.2.3"};
    struct random random = random_start("test_any_order");
    struct asker many[MANY];

    (void)state;
    set_row("bad.example", NULL, EAI_NONAME);
    memset(many, 0, sizeof(many));
    for (size_t i = 0; i < MANY; i++)
        many[i].host = hosts[i % ARRAY_SIZE(hosts)];
    for (int turn = 0; turn < 3000; turn++) {
        set_row("sick.example", "10.9.9.9", random_chance(&random, 50) ? EAI_AGAIN : 0);
        for (uint64_t left = random_below(&random, 6); left > 0; left--)
            do_something(&random, &many[random_below(&random, MANY)],
                         &many[random_below(&random, MANY)]);
        ev_run(world.loop, EVRUN_NOWAIT);
    }
    for (size_t i = 0; i < MANY; i++)
        many[i].asks_again = 0;
    run_until_told(many, MANY); /* else it hangs */
    run_until_quiet();
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_world(test_exit_under_way),
        in_world(test_is_address),
        in_world(test_addresses_need_no_lookup),
        in_world(test_zone),
        in_world(test_unknown_zone),
        in_world(test_take_turn),
        in_world(test_which_addresses),
        in_world(test_hold),
        in_world(test_all_wait_for_one),
        in_world(test_failure_is_not_kept),
        in_world(test_words_of_the_system),
        in_world(test_flags),
        in_world(test_localhost),
        in_world(test_long_names),
        in_world(test_forget_one),
        in_world(test_forget_all),
        in_world(test_forget_and_ask_again),
        in_world(test_forget_while_told),
        in_world(test_ask_again_while_told),
        in_world(test_forget_one_who_asked_again),
        in_world(test_renewal),
        in_world(test_renewal_that_fails),
        in_world(test_renewal_of_a_localhost),
        in_world(test_renewal_while_held),
        in_world(test_too_many_names),
        in_world(test_failed_names_take_no_room),
        in_world(test_threads_are_few),
        in_world(test_no_thread),
        in_world(test_no_more_threads),
        in_world(test_destroy_under_way),
        in_world(test_destroy_at_any_moment),
        in_world(test_any_order),
    };

    return cmocka_run_group_tests(tests, count_foreign_threads, NULL);
}
