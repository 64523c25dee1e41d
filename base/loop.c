#include "base/loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

struct ev_loop *loop_new(void)
{
    struct ev_loop *const loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);

    if (loop == NULL) {
        log_error("no event loop can be made: %s", strerror(errno));
        abort();
    }
    return loop;
}

void loop_timer_start(struct ev_loop *loop, ev_timer *timer, double after_s)
{
    ev_timer_stop(loop, timer);
    ev_now_update(loop);
    ev_timer_set(timer, after_s, 0);
    ev_timer_start(loop, timer);
}

static void on_pidfd_ready(struct ev_loop *loop, ev_io *io, int revents)
{
    struct child_watch *const watch = io->data;
    const pid_t pid = watch->pid;
    int status = 0;

    (void)loop;
    (void)revents;
    if (waitpid(pid, &status, WNOHANG) != pid)
        return;
    child_watch_stop(watch);
    watch->on_exit(watch, status); /* may free the watch */
}

int child_watch_start(struct child_watch *watch, struct ev_loop *loop, pid_t pid,
                      struct error *err)
{
    watch->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (watch->pidfd == -1)
        return error_errno(err, "cannot watch process %ld", (long)pid);
    watch->loop = loop;
    watch->pid = pid;
    ev_io_init(&watch->io, on_pidfd_ready, watch->pidfd, EV_READ);
    watch->io.data = watch;
    ev_io_start(loop, &watch->io);
    return 0;
}

void child_watch_stop(struct child_watch *watch)
{
    if (watch->pid == 0)
        return;
    ev_io_stop(watch->loop, &watch->io);
    fd_close(&watch->pidfd);
    watch->pid = 0;
}

const char *signal_name(int number)
{
    static char text[32];
    const char *const name = sigabbrev_np(number);

    if (name != NULL)
        snprintf(text, sizeof(text), "SIG%s", name);
    else
        snprintf(text, sizeof(text), "signal %d", number);
    return text;
}

void child_describe_exit(int status, char *ret_text, size_t capacity)
{
    if (WIFSIGNALED(status))
        snprintf(ret_text, capacity, "was killed by %s", signal_name(WTERMSIG(status)));
    else
        snprintf(ret_text, capacity, "exited with status %d", WEXITSTATUS(status));
}

static void on_signalfd_ready(struct ev_loop *loop, ev_io *io, int revents)
{
    struct signal_watch *const watch = io->data;
    struct signalfd_siginfo info;

    (void)loop;
    (void)revents;
    while (watch->signalfd != -1 &&
           read(watch->signalfd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        watch->on_signal(watch, (int)info.ssi_signo);
}

int signal_watch_start(struct signal_watch *watch, struct ev_loop *loop,
                       const sigset_t *set, struct error *err)
{
    watch->signalfd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (watch->signalfd == -1)
        return error_errno(err, "cannot watch signals");
    sigprocmask(SIG_BLOCK, set, NULL);
    watch->loop = loop;
    ev_io_init(&watch->io, on_signalfd_ready, watch->signalfd, EV_READ);
    watch->io.data = watch;
    ev_io_start(loop, &watch->io);
    return 0;
}

void signal_watch_stop(struct signal_watch *watch)
{
    if (watch->signalfd == -1)
        return;
    ev_io_stop(watch->loop, &watch->io);
    fd_close(&watch->signalfd);
}

void signals_restore(void)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int number = 1; number < 32; number++)
        signal(number, SIG_DFL);
}
