"""Resident memory: bench/run memory, of an idle worker; and of any client under load."""

import os
import pathlib
import re
import time

from clients import BARE, HERE, Runner
from figures import Verdict, print_table
from processes import Client, Failure, descendants, say
from service import Nginx

PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024
LONG_S = 3600


def add_options(commands, common):
    memory = commands.add_parser("memory", parents=[common],
                                 help="of an idle worker with its connection")
    memory.set_defaults(run=command_memory)
    memory.add_argument("--workers", type=int, default=10000)
    memory.add_argument("--modes", default="http,tls", help="of http, tls, h2")
    memory.add_argument("--ramp-up", type=float, default=5.0, help="seconds")
    memory.add_argument("--limit", type=float, default=16, metavar="KIB",
                        help="exit status 1 where a worker of 'molotov c' takes more of "
                             "resident memory, over http")


# --- what the kernel says ----------------------------------------------------------


def resident_kib(pid):
    """0 when the process is gone. Cheap: it walks no pages."""
    try:
        return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_KIB
    except OSError:
        return 0


def memory_of(pid):
    """{rss_kib, pss_kib, private_kib}; None when the process is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    fields = {key: int(value) for key, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}
    return {"rss_kib": fields["Rss"], "pss_kib": fields["Pss"],
            "private_kib": fields["Private_Clean"] + fields["Private_Dirty"]}


def memory_below(client, with_root):
    """Summed over the processes of a client, without or with its first."""
    pids = ([client.pid] if with_root else []) + descendants(client.pid)
    known = [memory for memory in map(memory_of, pids) if memory is not None]
    return {key: sum(memory[key] for memory in known)
            for key in ("rss_kib", "pss_kib", "private_kib")} | {"processes": len(known)}


def settled_memory(client, with_root, timeout_s=30):
    """When two looks half a second apart agree within a tenth of a percent."""
    deadline = time.monotonic() + timeout_s
    last = memory_below(client, with_root)
    while True:
        time.sleep(0.5)
        now = memory_below(client, with_root)
        still = abs(now["rss_kib"] - last["rss_kib"]) * 1000 <= last["rss_kib"]
        if still or time.monotonic() > deadline:
            return now
        last = now


# --- an idle worker ----------------------------------------------------------------


def wait_idle(client, nginx, before, workers, timeout_s):
    """Until each worker has its answer and nginx waits on each connection."""
    deadline = time.monotonic() + timeout_s
    while True:
        now = nginx.status()
        requests = now["requests"] - before["requests"]
        # HTTP/1.1 connections at rest are "waiting"; those of HTTP/2 are, too.
        if requests == workers and now["waiting"] == workers:
            return now
        if client.poll():
            raise Failure(f"ended before it was measured: {client.complaint()}")
        if time.monotonic() > deadline:
            raise Failure(f"{requests} requests and {now['waiting']} idle connections of "
                          f"{workers} after {timeout_s} s: {client.complaint()}")
        time.sleep(0.1)


def measure_idle(argv, with_root, nginx, workers, place):
    nginx.settle(60)
    before = nginx.status()
    client = Client(argv, place.directory, place.client_cpu)
    try:
        idle = wait_idle(client, nginx, before, workers, 180)
        memory = settled_memory(client, with_root)
        after = nginx.status()
    finally:
        client.stop()
    if after["requests"] != idle["requests"]:
        raise Failure("a worker was not idle: " + client.complaint())
    return {**memory, "workers": workers, "wall_s": client.wall_s, "cpu_s": client.cpu_s,
            "connections": after["accepts"] - before["accepts"]}


def idle_commands(options, place, target, workers):
    """{name: (argv, whether its first process holds workers)}"""
    ramp = ["--ramp-up", options.ramp_up] if workers > 1 else []
    idle_url = Runner("molotov url", options, place)
    idle_c = Runner("molotov c", options, place, HERE / "idle.c")
    bare = options.build / "bench" / "curl_loop"
    commands = {}
    if idle_url.program:
        for runner, more in ((idle_url, ["--delay", LONG_S]), (idle_c, [])):
            commands[runner.name] = ([runner.program, *runner.runner_arguments(
                target, workers, LONG_S, "--stop-timeout", 1, *ramp, *more)], False)
    else:
        say("molotov-runner: skipped, not found")
    if bare.exists():
        commands[BARE] = ([bare, target.url, "-w", workers, "-d", LONG_S, "-r", 1,
                           *(["-k"] if target.secure else [])], True)
    else:
        say(f"{BARE}: skipped, not found")
    if not commands:
        raise Failure("no client to run")
    return commands


def measure_workers(options, place, nginx, mode):
    """What one worker takes more in each client: the difference of many and one."""
    target, results = nginx.target(mode), []
    one = idle_commands(options, place, target, 1)
    many = idle_commands(options, place, target, options.workers)
    for name, (argv, with_root) in many.items():
        few = measure_idle(one[name][0], with_root, nginx, 1, place)
        lot = measure_idle(argv, with_root, nginx, options.workers, place)
        result = {"mode": mode, "client": name, "one": few, "many": lot}
        for key in ("rss_kib", "pss_kib", "private_kib"):
            result[key + "_per_worker"] = (lot[key] - few[key]) / (options.workers - 1)
        results.append(result)
        say(f"{mode} {name}: {result['rss_kib_per_worker']:.1f} KiB a worker, "
            f"{lot['connections']} connections")
    return results


def command_memory(options, place):
    with Nginx(place.directory, place.server_cpu) as nginx:
        if options.workers > nginx.files - 128:
            raise Failure(f"{options.workers} workers need more descriptors than the "
                          f"hard limit, {nginx.files}")
        results = [result for mode in options.modes.split(",")
                   for result in measure_workers(options, place, nginx, mode)]
    rows = [["client", "", "RSS KiB/worker", "PSS KiB/worker", "RSS of 1, MiB",
             f"RSS of {options.workers}, MiB", "connections", "processes"]]
    for result in results:
        rows.append([
            result["client"], result["mode"], f"{result['rss_kib_per_worker']:.1f}",
            f"{result['pss_kib_per_worker']:.1f}", f"{result['one']['rss_kib'] / 1024:.1f}",
            f"{result['many']['rss_kib'] / 1024:.1f}",
            f"{result['many']['connections']} = workers"
            if result["many"]["connections"] == options.workers
            else f"{result['many']['connections']} NOT workers",
            str(result["many"]["processes"])])
    print(f"\n{options.workers} idle workers, each with one connection, after one request\n")
    print_table(rows)
    print()
    verdict = Verdict()
    for result in results:
        if result["client"] == "molotov c" and result["mode"] == "http":
            verdict.judge("an idle worker of a C scenario", result["rss_kib_per_worker"],
                          "{:.1f} KiB", at_most=options.limit)
    return {"results": results, "ok": verdict.ok and all(
        result["many"]["connections"] == options.workers for result in results)}


# --- under load --------------------------------------------------------------------


def loaded_memory(tool, nginx, target, connections, place, timeout_s=60):
    """RSS in KiB of all processes of a client, while it loads nginx over so many
    connections and all are open; or (None, why)."""
    nginx.settle(60)
    client = tool.start(target, connections, timeout_s * 2, place)
    try:
        why = nginx.wait_open(client, connections, timeout_s)
        time.sleep(0 if why else 1)  # of load
        if why is None and client.poll():
            why = f"it ended: {client.complaint()}"
        return (None, why) if why else (memory_below(client, True)["rss_kib"], None)
    finally:
        client.stop()
