"""bench/run selftest: is the CPU of a tree of processes counted whole?"""

import sys
import time

from processes import Client


def add_options(commands, common):
    selftest = commands.add_parser("selftest", parents=[common],
                                   help="is CPU counted whole?")
    selftest.set_defaults(run=command_selftest)


BURN = """
import os, sys, time
def burn(seconds):
    while time.process_time() < seconds: pass
depth = int(sys.argv[1])
if depth:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.execv(sys.executable, [sys.executable, "-c", sys.argv[2], str(depth - 1), sys.argv[2]])
    if depth != 2:
        os.waitpid(pid, 0)   # else its parent leaves first: an orphan
burn(0.5)
"""


BURN_IN_THREAD = """
import threading, time
def burn():
    while time.thread_time() < 0.5: pass
thread = threading.Thread(target=burn)
thread.start()
thread.join()
print("ended", flush=True)
time.sleep(60)
"""


def count_living(place):
    """What is said of a process that lives, half a second of whose CPU a thread took that
    has ended."""
    client = Client([sys.executable, "-c", BURN_IN_THREAD], place.directory, place.client_cpu)
    deadline = time.monotonic() + 60
    while "ended" not in client.output() and time.monotonic() < deadline:
        time.sleep(0.01)
    cpu_s = client.cpu_so_far_s()
    client.stop()
    return cpu_s


def command_selftest(_options, place):
    """Four processes of half a second, in their own sessions, one of them an orphan; and
    one that lives."""
    client = Client([sys.executable, "-c", BURN, 3, BURN], place.directory,
                    place.client_cpu)
    client.wait(60)
    ok = client.status == 0 and 2.0 <= client.cpu_s < 2.2
    print(f"a tree of 4 processes that used 2.0 s: {client.cpu_s:.3f} s counted")
    living_s = count_living(place)
    ok = ok and 0.5 <= living_s < 0.6
    print(f"a process that lives and used 0.5 s: {living_s:.3f} s counted")
    return {"cpu_s": client.cpu_s, "living_s": living_s, "ok": ok}
