"""bench/run table --turns N: clients that live at the same time and take turns.

A machine's speed changes within seconds, so runs that follow each other by seconds differ by
chance. Here all clients are started and held (SIGSTOP), and each in turn is let go for a
quarter of a second. Of two neighbouring turns the ratio hardly depends on the machine, and
there are hundreds of them; but starting and ending are not in the figures.
"""

import os
import signal
import time
import types

from processes import Failure, descendants, say

TURN_S = 0.25
LEAD_S = 0.03  # until what a client was held with is behind it
OPEN_S = 60  # that opening the connections may take


def signal_all(client, number):
    for pid in [client.pid, *descendants(client.pid)]:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass  # it has ended by itself


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


def take_turn(client, nginx, connections):
    """What a client did in a quarter of a second, as compare.measure() tells it."""

    def look():
        return (time.monotonic(), nginx.status()["requests"], nginx.cpu_s(),
                client.cpu_so_far_s())

    signal_all(client, signal.SIGCONT)
    time.sleep(LEAD_S)
    before = look()
    time.sleep(TURN_S)
    after = look()
    signal_all(client, signal.SIGSTOP)
    if client.poll():
        raise Failure(client.complaint())
    took_s, requests, server_s, cpu_s = (later - earlier for later, earlier in
                                         zip(after, before))
    if requests == 0:
        raise Failure(f"nginx saw no request\n{client.complaint()}")
    return {"requests": requests, "told": requests, "errors": 0, "connections": connections,
            "cpu_us": cpu_s * 1e6 / requests, "rate": requests / took_s, "p50_us": None,
            "p99_us": None, "client_busy": cpu_s / took_s, "server_busy": server_s / took_s}


def measure_turns(tools, nginx, target, options, place):
    """{name: its turns}, as many of each; every second time round in the other order."""
    most_s = options.turns * len(tools) * 2 * (TURN_S + LEAD_S) + len(tools) * OPEN_S
    runs, clients = {tool.name: [] for tool in tools}, []
    for tool in tools:
        tool.prepare(target, place)
    try:
        for tool in tools:
            start_held(tool, nginx, target, options.connections, int(most_s), place, clients)
            say(f"{tool.name} is ready")
        order = list(zip(tools, clients))
        for index in range(options.turns):
            for tool, client in order if index % 2 == 0 else reversed(order):
                runs[tool.name].append(take_turn(client, nginx, options.connections))
            if (index + 1) % 20 == 0:
                say(f"{target.mode}, {index + 1}/{options.turns} turns")
    finally:
        for client in reversed(clients):  # each reaps what was started after it
            signal_all(client, signal.SIGCONT)
            client.stop()
    return runs
