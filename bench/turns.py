"""bench/run table --turns N: clients that live at the same time and take turns.

A machine's speed changes within seconds, so runs that follow each other by seconds differ by
chance. Here all clients are started and held (SIGSTOP), and one after the other is let go
for a quarter of a second, again and again. What happens within one time round hardly differs
by the machine, and there are hundreds of them; but starting and ending are not in the figures.
"""

import os
import signal
import time
import types

from processes import Failure, descendants, say
from window import measure_window

TURN_S = 0.25
LEAD_S = 0.03  # after SIGCONT, not measured: the answers and timers of the time before
OPEN_S = 10  # that opening its connections may take a client, while those before are held
CONNECTIONS_MAX = 1000  # of a client: what it left unanswered is behind it within LEAD_S


def signal_all(client, number):
    if client.status is not None:
        return  # its process id may be another's now
    for pid in [client.pid, *descendants(client.pid)]:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass  # it has just ended


def start_held(tool, nginx, target, connections, seconds, place, held):
    """A client whose connections are open, and that is held; `held` are those before."""
    directory = place.directory / f"turns-{len(held)}"
    directory.mkdir()
    client = tool.start(target, connections, seconds, types.SimpleNamespace(
        directory=directory, client_cpu=place.client_cpu))
    held.append(client)
    why = nginx.wait_open(client, len(held) * connections, OPEN_S)
    if why:
        raise Failure(f"{tool.name}: {why}")
    signal_all(client, signal.SIGSTOP)
    say(f"{tool.name} is ready")


def take_turn(tool, client, nginx, connections):
    signal_all(client, signal.SIGCONT)
    time.sleep(LEAD_S)
    turn = measure_window(tool, client, nginx, TURN_S, connections)
    signal_all(client, signal.SIGSTOP)
    return turn


def measure_turns(tools, nginx, target, options, place):
    """{name: its turns}, as many of each; every second time round in the other order."""
    if options.connections > CONNECTIONS_MAX:
        raise Failure(f"--turns takes at most {CONNECTIONS_MAX:,} connections: of more nginx has "
                      f"too much left to answer when a turn is over")
    most_s = options.turns * len(tools) * 2 * (TURN_S + LEAD_S) + len(tools) * OPEN_S
    runs, clients = {tool.name: [] for tool in tools}, []
    for tool in tools:
        tool.prepare(target, place)
    nginx.settle()
    try:
        for tool in tools:
            start_held(tool, nginx, target, options.connections, int(most_s), place, clients)
        order = list(zip(tools, clients))
        for index in range(options.turns):
            for tool, client in order if index % 2 == 0 else reversed(order):
                runs[tool.name].append(take_turn(tool, client, nginx, options.connections))
            if (index + 1) % 20 == 0:
                say(f"{target.mode}, {index + 1}/{options.turns} turns")
    finally:
        for client in clients:
            signal_all(client, signal.SIGCONT)
        # Each takes what was started after it for its orphans: so the last one first.
        for client in reversed(clients):
            client.stop()
    return runs
