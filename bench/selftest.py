"""bench/run selftest: is the CPU of a tree of processes counted whole?"""

import sys

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


def command_selftest(_options, place):
    """Four processes of half a second, in their own sessions, one of them an orphan."""
    client = Client([sys.executable, "-c", BURN, 3, BURN], place.directory,
                    place.client_cpu)
    client.wait(60)
    ok = client.status == 0 and 2.0 <= client.cpu_s < 2.2
    print(f"a tree of 4 processes that used 2.0 s: {client.cpu_s:.3f} s counted")
    return {"cpu_s": client.cpu_s, "ok": ok}
