"""Programs under measurement, and what the kernel says of them."""

import ctypes
import os
import pathlib
import select
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
TICKS = os.sysconf("SC_CLK_TCK")
LIBC = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """What a person should read, and nothing more."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def become_subreaper():
    """What a client leaves behind becomes our child: to be counted, and ended."""
    if LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def start(argv, cpu, stdout, stderr, env=None, death_signal=signal.SIGKILL):
    """Start a program on one core; it gets `death_signal` when we die, however we do."""

    def prepare():
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        LIBC.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)

    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
                            env=env, start_new_session=True, preexec_fn=prepare)


def stat_of(pid):
    """(parent, user + system seconds) of a process; None when it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS


def run_time_s(pid):
    """User and system time of a process until now, threads that have ended included; 0: it is
    gone. The clock is the one that clock_getcpuclockid(3) gives."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def descendants(pid):
    children = {}
    for entry in os.listdir("/proc"):
        stat = stat_of(entry) if entry.isdigit() else None
        if stat is not None:
            children.setdefault(stat[0], []).append(int(entry))
    found, queue = [], [pid]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def cpu_of(usage):
    return usage.ru_utime + usage.ru_stime


class Client:
    """A load generator under measurement, with all processes it starts.

    wait4() of the program tells its own CPU and that of every descendant that was waited
    for by its parent, all the way down. What nobody waited for becomes our child (see
    become_subreaper) and is added by reap_orphans(). `bench/run selftest` proves it.
    """

    def __init__(self, argv, directory, cpu, env=None):
        self.argv = [str(argument) for argument in argv]
        self.paths = [directory / "client.out", directory / "client.err"]
        with open(self.paths[0], "wb") as out, open(self.paths[1], "wb") as err:
            self.others = set(descendants(os.getpid()))
            self.began = time.monotonic()
            self.process = start(self.argv, cpu, out, err, env)
        self.pid = self.process.pid
        self.cpu_s = 0.0
        self.wall_s = None
        self.status = None

    def cpu_so_far_s(self):
        """Of its processes that live."""
        return sum(map(run_time_s, [self.pid, *descendants(self.pid)]))

    def poll(self):
        """True once the program has ended."""
        if self.status is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid != 0:
                self.ended(status, usage)
        return self.status is not None

    def ended(self, status, usage):
        self.wall_s = time.monotonic() - self.began
        self.cpu_s += cpu_of(usage)
        self.status = os.waitstatus_to_exitcode(status)
        self.process.returncode = self.status  # or Popen would wait for it again

    def wait(self, timeout_s):
        """Wait for its end, or stop it; True when it ended by itself."""
        descriptor = os.pidfd_open(self.pid)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            return bool(poll.poll(timeout_s * 1000))
        finally:
            os.close(descriptor)
            self.stop()

    def stop(self, grace_s=10):
        """End what still runs of it: asked first, then killed; then reap."""
        for number in (signal.SIGINT, signal.SIGKILL):
            if self.poll():
                break
            os.kill(self.pid, number)
            deadline = time.monotonic() + grace_s
            while not self.poll() and time.monotonic() < deadline:
                time.sleep(0.01)
        self.reap_orphans()

    def reap_orphans(self, grace_s=5):
        deadline = time.monotonic() + grace_s
        while True:
            orphans = [pid for pid in descendants(os.getpid()) if pid not in self.others]
            if not orphans:
                return
            for pid in orphans:
                try:
                    if time.monotonic() > deadline:
                        os.kill(pid, signal.SIGKILL)
                    reaped, _, usage = os.wait4(pid, os.WNOHANG)
                    self.cpu_s += cpu_of(usage) if reaped else 0
                except (ChildProcessError, ProcessLookupError):
                    pass  # a child of an orphan, or gone meanwhile
            time.sleep(0.01)

    def output(self):
        return self.paths[0].read_text(errors="replace")

    def words(self):
        """What it said on stderr."""
        return self.paths[1].read_text(errors="replace")

    def complaint(self):
        """What went wrong, in its own words."""
        said = f"{self.output()}\n{self.words()}".strip()
        return f"{' '.join(self.argv)}\n(status {self.status}) {said[-2000:]}"
