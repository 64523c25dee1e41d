/* base/loop.h - the event loop, and the kernel's news as watchers of it.
 *
 * Every process makes one loop for itself after its fork: never libev's default loop
 * (which reaps every child), never a watcher inherited over a fork. Children are watched
 * by pidfd and signals by signalfd, so both are plain readable descriptors to libev. */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include <ev.h>

#include "base/error.h"

/* A new loop, owned by the caller (ev_loop_destroy); aborts when the kernel has none. */
struct ev_loop *loop_new(void);

/* (Re)starts a timer that is to fire once, so long from now: the loop's cached time, by
 * which libev counts, may be old by now. 0: in the next turn. */
void loop_timer_start(struct ev_loop *loop, ev_timer *timer, double after_s);

/* Watches the end of one child of this process. */
struct child_watch {
    ev_io io;
    struct ev_loop *loop;
    pid_t pid; /* 0: watches nothing */
    int pidfd;
    /* The child has been reaped; `status` as of waitpid(). The watch is over. */
    void (*on_exit)(struct child_watch *watch, int status);
    void *data;
};

/* Starts to watch `pid`, which stays the caller's to kill. */
int child_watch_start(struct child_watch *watch, struct ev_loop *loop, pid_t pid,
                      struct error *err);
void child_watch_stop(struct child_watch *watch); /* does not reap; twice is fine */

/* "exited with status 3", "was killed by SIGSEGV": of a waitpid() status. */
void child_describe_exit(int status, char *ret_text, size_t capacity);

/* "SIGSEGV" for 11; "signal 77" where there is no name. Valid until the next call. */
const char *signal_name(int number);

/* Takes signals of this process from the loop. */
struct signal_watch {
    ev_io io;
    struct ev_loop *loop;
    int signalfd; /* -1: watches nothing */
    void (*on_signal)(struct signal_watch *watch, int number);
    void *data;
};

/* Blocks the signals of `set` and reports them to on_signal(). A child must call
 * signals_restore() before it executes anything, since exec keeps the mask. */
int signal_watch_start(struct signal_watch *watch, struct ev_loop *loop,
                       const sigset_t *set, struct error *err);
void signal_watch_stop(struct signal_watch *watch);

/* In a forked child: no signal blocked, and those a parent ignored are at default. */
void signals_restore(void);

#endif
