#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/loop.h"
#include "base/memory.h"

/* A child that only ends as told: with an exit status, or by a signal. */
static pid_t fork_child(int status, int number)
{
    const pid_t pid = fork();

    assert_int_not_equal(pid, -1);
    if (pid != 0)
        return pid;
    signal(number > 0 ? number : SIGUSR1, SIG_DFL); /* a sanitizer may handle it */
    if (number > 0)
        raise(number);
    _exit(status);
}

/* --- children ------------------------------------------------------------------------- */

struct exits {
    size_t count;
    int status;
    bool over; /* the watch was, when it was reported */
};

static void on_exit_seen(struct child_watch *watch, int status)
{
    struct exits *const exits = watch->data;

    exits->count++;
    exits->status = status;
    exits->over = watch->pid == 0;
}

static void test_child_watch(void **state)
{
    static const struct {
        const char *name;
        int status, number;
        const char *want;
    } cases[] = {
        {"all went well",      0,   0,       "exited with status 0"  },
        {"it failed",          3,   0,       "exited with status 3"  },
        {"the largest status", 255, 0,       "exited with status 255"},
        {"killed",             0,   SIGKILL, "was killed by SIGKILL" },
        {"crashed",            0,   SIGSEGV, "was killed by SIGSEGV" },
        {"ended by an abort",  0,   SIGABRT, "was killed by SIGABRT" },
        {"asked to end",       0,   SIGTERM, "was killed by SIGTERM" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct ev_loop *const loop = loop_new();
        struct exits exits = {.count = 0};
        struct child_watch watch = {.on_exit = on_exit_seen, .data = &exits};
        const pid_t pid = fork_child(cases[i].status, cases[i].number);
        struct error err;
        char text[64];

        assert_int_equal(child_watch_start(&watch, loop, pid, &err), 0);
        ev_run(loop, 0); /* returns: the watch is over, and nothing else is there */
        child_describe_exit(exits.status, text, sizeof(text));
        if (strcmp(text, cases[i].want) != 0)
            fail_msg("%s: got '%s'", cases[i].name, text);
        assert_int_equal(exits.count, 1);
        assert_true(exits.over);
        assert_int_equal(waitpid(pid, NULL, 0), -1); /* it was reaped */
        ev_loop_destroy(loop);
    }
}

static void start_watching_another(struct child_watch *watch, int status)
{
    struct exits *const exits = watch->data;
    struct error err;

    on_exit_seen(watch, status);
    if (exits->count < 3)
        assert_int_equal(child_watch_start(watch, watch->loop,
                                           fork_child((int)exits->count, 0), &err),
                         0);
}

/* on_exit() may use the watch for the next child. */
static void test_child_watch_again(void **state)
{
    struct ev_loop *const loop = loop_new();
    struct exits exits = {.count = 0};
    struct child_watch watch = {.on_exit = start_watching_another, .data = &exits};
    struct error err;

    (void)state;
    assert_int_equal(child_watch_start(&watch, loop, fork_child(0, 0), &err), 0);
    ev_run(loop, 0);
    assert_int_equal(exits.count, 3);
    assert_int_equal(WEXITSTATUS(exits.status), 2);
    ev_loop_destroy(loop);
}

static void free_watch(struct child_watch *watch, int status)
{
    on_exit_seen(watch, status);
    free(watch);
}

static void test_child_watch_freed_in_callback(void **state)
{
    struct ev_loop *const loop = loop_new();
    struct exits exits = {.count = 0};
    struct child_watch *const watch = xcalloc(1, sizeof(*watch));
    struct error err;

    (void)state;
    watch->on_exit = free_watch;
    watch->data = &exits;
    assert_int_equal(child_watch_start(watch, loop, fork_child(0, 0), &err), 0);
    ev_run(loop, 0);
    assert_int_equal(exits.count, 1);
    ev_loop_destroy(loop);
}

/* Nothing is reported and nothing reaped; stopping twice, or what never began, is fine. */
static void test_child_watch_stop(void **state)
{
    struct ev_loop *const loop = loop_new();
    struct exits exits = {.count = 0};
    struct child_watch watch = {.on_exit = on_exit_seen, .data = &exits};
    const size_t descriptors = fd_count_open();
    const pid_t pid = fork_child(7, 0);
    struct error err;
    int status = 0;

    (void)state;
    child_watch_stop(&watch);
    assert_int_equal(child_watch_start(&watch, loop, pid, &err), 0);
    child_watch_stop(&watch);
    child_watch_stop(&watch);
    ev_run(loop, 0);
    assert_int_equal(exits.count, 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 7);
    assert_int_equal(fd_count_open(), descriptors);
    ev_loop_destroy(loop);
}

static void test_child_watch_of_nobody(void **state)
{
    struct ev_loop *const loop = loop_new();
    struct child_watch watch = {.pid = 0};
    const pid_t pid = fork_child(0, 0);
    struct error err;
    char number[16];

    (void)state;
    waitpid(pid, NULL, 0);
    snprintf(number, sizeof(number), "%ld", (long)pid);
    assert_int_equal(child_watch_start(&watch, loop, pid, &err), -1);
    assert_non_null(strstr(err.message, number));
    child_watch_stop(&watch); /* never began */
    ev_loop_destroy(loop);
}

static void test_signal_name(void **state)
{
    static const struct {
        int number;
        const char *want;
    } cases[] = {
        {SIGSEGV, "SIGSEGV"  },
        {SIGKILL, "SIGKILL"  },
        {SIGXCPU, "SIGXCPU"  },
        {77,      "signal 77"},
        {0,       "signal 0" },
        {-1,      "signal -1"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(signal_name(cases[i].number), cases[i].want);
}

/* --- signals -------------------------------------------------------------------------- */

enum { SEEN_MAX = 8 };

struct signals {
    int seen[SEEN_MAX];
    size_t count, stop_at;
};

static void on_signal_seen(struct signal_watch *watch, int number)
{
    struct signals *const signals = watch->data;

    assert_true(signals->count < SEEN_MAX);
    signals->seen[signals->count++] = number;
    if (signals->count == signals->stop_at)
        signal_watch_stop(watch);
}

static struct signal_watch watch_user_signals(struct ev_loop *loop,
                                              struct signals *signals)
{
    return (struct signal_watch){
        .loop = loop, .signalfd = -1, .on_signal = on_signal_seen, .data = signals};
}

static sigset_t user_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    return set;
}

static void test_signal_watch(void **state)
{
    struct ev_loop *const loop = loop_new();
    struct signals signals = {.stop_at = 2};
    struct signal_watch watch = watch_user_signals(loop, &signals);
    const size_t descriptors = fd_count_open();
    const sigset_t set = user_signals();
    struct error err;

    (void)state;
    signal_watch_stop(&watch); /* watches nothing yet */
    assert_int_equal(signal_watch_start(&watch, loop, &set, &err), 0);
    ev_run(loop, EVRUN_NOWAIT);
    assert_int_equal(signals.count, 0);
    raise(SIGUSR2);
    ev_run(loop, EVRUN_ONCE);
    raise(SIGUSR1);
    ev_run(loop, 0); /* returns: on_signal_seen() ends the watch */
    assert_int_equal(signals.count, 2);
    assert_int_equal(signals.seen[0], SIGUSR2);
    assert_int_equal(signals.seen[1], SIGUSR1);
    assert_int_equal(fd_count_open(), descriptors);
    ev_loop_destroy(loop);
}

/* Two at once, and the first one ends the watch: the second is not for it any more. */
static void test_signal_watch_stopped_in_callback(void **state)
{
    struct ev_loop *const loop = loop_new();
    struct signals signals = {.stop_at = 1};
    struct signal_watch watch = watch_user_signals(loop, &signals);
    const sigset_t set = user_signals();
    struct error err;

    (void)state;
    assert_int_equal(signal_watch_start(&watch, loop, &set, &err), 0);
    raise(SIGUSR1);
    raise(SIGUSR2);
    ev_run(loop, 0);
    assert_int_equal(signals.count, 1);
    assert_int_equal(sigwaitinfo(&set, NULL), SIGUSR2); /* still blocked, and there */
    ev_loop_destroy(loop);
}

/* exec keeps masks and what is ignored: a child starts with neither. */
static void test_signals_restore(void **state)
{
    pid_t pid;
    int status = 0;

    (void)state;
    pid = fork();
    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        sigset_t all, now;
        bool clean;

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        signal(SIGINT, SIG_IGN);
        signal(SIGPIPE, SIG_IGN);
        signals_restore();
        sigprocmask(SIG_SETMASK, NULL, &now);
        clean = sigisemptyset(&now) && signal(SIGINT, SIG_DFL) == SIG_DFL &&
                signal(SIGPIPE, SIG_DFL) == SIG_DFL;
        _exit(clean ? 42 : 1);
    }
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_watch),
        cmocka_unit_test(test_child_watch_again),
        cmocka_unit_test(test_child_watch_freed_in_callback),
        cmocka_unit_test(test_child_watch_stop),
        cmocka_unit_test(test_child_watch_of_nobody),
        cmocka_unit_test(test_signal_name),
        cmocka_unit_test(test_signal_watch),
        cmocka_unit_test(test_signal_watch_stopped_in_callback),
        cmocka_unit_test(test_signals_restore),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
