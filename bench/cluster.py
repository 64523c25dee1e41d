"""bench/run cluster and cluster-rate: what agents cost a broker, and what a run by two of
them gives beside one of two processes here."""

import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import threading
import time

from clients import HERE
from figures import cell, print_table, ratios, spread
from processes import TICKS, Failure, cpu_of, say, start, stat_of
from service import Nginx, free_ports


def add_options(commands, common):
    cluster = commands.add_parser("cluster", parents=[common],
                                  help="what many agents cost a broker")
    cluster.set_defaults(run=command_cluster)
    cluster.add_argument("--registering", type=int, default=2000, metavar="AGENTS")
    cluster.add_argument("--agents", type=int, default=1000, help="on a run")
    cluster.add_argument("--seconds", type=int, default=40, help="of the run")
    cluster.add_argument("--every", type=float, default=1.0,
                         help="seconds between two reports of an agent")
    cluster.add_argument("--limit-register", type=float, default=10, metavar="SECONDS")
    cluster.add_argument("--limit-cpu", type=float, default=0.25, metavar="CORES")
    cluster.add_argument("--limit-memory", type=float, default=256, metavar="MIB")

    rate = commands.add_parser("cluster-rate", parents=[common],
                               help="two agents beside two processes here")
    rate.set_defaults(run=command_cluster_rate)
    rate.add_argument("--rounds", type=int, default=9)
    rate.add_argument("--seconds", type=int, default=3, help="of each run")
    rate.add_argument("--connections", type=int, default=50)
    rate.add_argument("--limit", type=float, default=0.9, metavar="RATIO",
                      help="exit status 1 where the cluster makes less than so many times "
                           "the requests of the local run")


# --- the members -------------------------------------------------------------------


class Cluster:
    """A broker in a directory of its own, and whoever joins it; all end together."""

    def __init__(self, options, place, endpoints, cpu):
        self.programs = options.build / "bin"
        self.directory = place.directory / "cluster"
        self.endpoints = endpoints
        self.cpu = cpu
        self.members = []
        self.env = {**os.environ, "HOME": str(self.directory),
                    "XDG_STATE_HOME": str(self.directory / "state"),
                    "XDG_RUNTIME_DIR": str(self.directory)}
        for name in ("molotov-broker", "molotov-agent", "molotov-runner"):
            if not (self.programs / name).exists():
                raise Failure(f"{self.programs / name}: not found")

    def __enter__(self):
        self.directory.mkdir(mode=0o700)
        self.broker = self.join(
            self.programs / "molotov-broker", "--db", self.directory / "broker.db",
            *(f"--{name}={endpoint}" for name, endpoint in self.endpoints.items()),
            cpu=self.cpu)
        deadline = time.monotonic() + 10
        while self.call("--ping-broker")[0] != 0:
            if time.monotonic() > deadline:
                self.__exit__()
                raise Failure(f"the broker does not answer: {self.said(self.broker)}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        for process in reversed(self.members):  # the broker last
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.directory)

    def join(self, *argv, cpu):
        path = self.directory / f"{len(self.members)}.log"
        with open(path, "wb") as log:
            process = start([str(word) for word in argv], cpu, log, log, self.env)
        process.log = path
        self.members.append(process)
        return process

    def said(self, process):
        return process.log.read_text(errors="replace")[-2000:]

    def call(self, *arguments, cpu=None, timeout_s=120):
        """(status, report or None, words) of a runner that asks this broker."""
        return run_report([self.programs / "molotov-runner", "--broker",
                           self.endpoints["frontend"], *arguments],
                          self.directory, cpu, self.env, timeout_s)


def run_report(argv, directory, cpu, env=None, timeout_s=120):
    """(status, report or None, words) of a runner; `argv` names this file for its report,
    if it makes one: REPORT."""
    path = directory / "report.json"
    said = directory / "runner.out"
    with open(said, "wb") as log:
        process = start([str(path if word is REPORT else word) for word in argv], cpu, log,
                        log, env)
    try:
        status = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        status = "does not end"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    report = json.loads(path.read_text()) if path.exists() else None
    path.unlink(missing_ok=True)
    return status, report, said.read_text(errors="replace")[-2000:]


REPORT = object()
AS_REPORT = ("--output", "json", "--output-json-filename", REPORT)


def threads_cpu(pid):
    """{name of a thread: user + system seconds}, with the whole process under ""."""
    found = {"": stat_of(pid)[1]}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        seconds = (int(fields[11]) + int(fields[12])) / TICKS
        found[name] = found.get(name, 0) + seconds
    return found


def peak_mib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB", text, re.M)[1]) / 1024


def next_fact(cluster, simulated, known, timeout_s):
    """The next line of JSON that the simulated agents print, after `known` lines."""
    deadline = time.monotonic() + timeout_s
    while True:
        lines = simulated.log.read_text().splitlines(keepends=True)
        if len(lines) > known and lines[known].startswith("{") and lines[known][-1] == "\n":
            return json.loads(lines[known])
        if simulated.poll() is not None or time.monotonic() > deadline:
            raise Failure(f"the simulated agents are stuck: {cluster.said(simulated)}\n"
                          f"the broker: {cluster.said(cluster.broker)}")
        time.sleep(0.05)


def simulate(cluster, options, count, place):
    """Starts so many agents; (their process, seconds until all had registered)."""
    program = options.build / "bench" / "agents"
    if not program.exists():
        raise Failure(f"{program}: not found")
    simulated = cluster.join(program, cluster.endpoints["frontend"], count, options.every,
                             cpu=place.client_cpu)
    return simulated, next_fact(cluster, simulated, 0, 120)["seconds"]


def local_endpoints():
    names = ("frontend", "backend", "publisher")
    return {name: f"tcp://127.0.0.1:{port}" for name, port in zip(names, free_ports(3))}


def measure_registration(options, place):
    with Cluster(options, place, local_endpoints(), place.server_cpu) as cluster:
        _, seconds = simulate(cluster, options, options.registering, place)
        return {"register_s": seconds, "register_cpu_s": stat_of(cluster.broker.pid)[1],
                "register_peak_mib": peak_mib(cluster.broker.pid)}


def measure_broker(options, place):
    """One run by all agents, watched by a real runner; CPU is of its middle half."""
    with Cluster(options, place, local_endpoints(), place.server_cpu) as cluster:
        simulated, _ = simulate(cluster, options, options.agents, place)
        pid = cluster.broker.pid
        samples = []

        def sample(after_s):
            time.sleep(after_s)
            samples.append((time.monotonic(), threads_cpu(pid)))

        watcher = threading.Thread(
            target=lambda: (sample(options.seconds / 4), sample(options.seconds / 2)))
        watcher.start()
        status, report, words = cluster.call(
            "--agents", options.agents, "-d", options.seconds, "http://127.0.0.1:9/",
            *AS_REPORT, cpu=place.client_cpu, timeout_s=options.seconds + 60)
        watcher.join()
        if status != 0 or report is None:
            raise Failure(f"the runner ended with {status}: {words}\n"
                          f"the broker: {cluster.said(cluster.broker)}")
        told = next_fact(cluster, simulated, 1, 30)
        (began, before), (ended, after) = samples
        busy = {name: (after[name] - before.get(name, 0)) / (ended - began)
                for name in after}
        database = (cluster.directory / "broker.db").stat().st_size
        return {"cpu": busy.pop(""), "threads": busy, "peak_mib": peak_mib(pid),
                "database_mib": database / (1 << 20), "acknowledged": told,
                "hits": report["totals"]["hits"], "agents": report["agents"]}


def command_cluster(options, place):
    result = measure_registration(options, place)
    say(f"{options.registering} agents registered in {result['register_s']:.2f} s")
    result |= measure_broker(options, place)
    told = result["acknowledged"]
    rows = [["", "", "limit", ""]]
    result["ok"] = True

    def row(what, value, form, limit=None):
        over = limit is not None and value > limit
        rows.append([what, form.format(value), "" if limit is None else form.format(limit),
                     "OVER" if over else ""])
        result["ok"] = result["ok"] and not over

    row(f"until {options.registering} agents have registered, s", result["register_s"],
        "{:.2f}", options.limit_register)
    row("  CPU of the broker for that, s", result["register_cpu_s"], "{:.2f}")
    row("  its peak RSS, MiB", result["register_peak_mib"], "{:.1f}")
    row(f"broker with {options.agents} agents on a run, of a core", result["cpu"], "{:.3f}",
        options.limit_cpu)
    for name, busy in sorted(result["threads"].items()):
        row(f"  of that: thread {name}", busy, "{:.3f}")
    row("  its peak RSS, MiB", result["peak_mib"], "{:.1f}", options.limit_memory)
    row("  its database, MiB", result["database_mib"], "{:.1f}")
    row("REPORTs acknowledged", told["reports"], "{}")
    row("  sent more than once", told["sent"] - told["reports"], "{}")
    row("  from sent to acknowledged, ms", told["ack_ms"], "{:.1f}")
    row("  the longest, ms", told["ack_ms_max"], "{:.1f}")
    print(f"\na report each {options.every:g} s from each agent, {options.seconds} s\n")
    print_table(rows)
    if result["hits"] != told["hits"]:
        print(f"WRONG: the runner reports {result['hits']} hits, the agents made up "
              f"{told['hits']}")
        result["ok"] = False
    return result


# --- a cluster beside a local run --------------------------------------------------


def cpu_with_children(pid):
    """User + system seconds of a process and of those children that it waited for."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS


def measure_side(name, call, members, nginx):
    """{rate, cpu_us} of one run: hits a second by its own report, of which nginx is the
    witness; and the CPU for each hit of the runner and all below it, and of `members`."""

    def cpu_s():
        return (cpu_of(resource.getrusage(resource.RUSAGE_CHILDREN)) +
                sum(cpu_with_children(member.pid) for member in members))

    nginx.settle()
    before, cpu_before = nginx.status(), cpu_s()
    status, report, words = call()
    cpu = cpu_s() - cpu_before
    if status != 0 or report is None:
        raise Failure(f"{name}: the runner ended with {status}: {words}")
    nginx.settle()
    totals = report["totals"]
    requests = nginx.status()["requests"] - before["requests"]
    if totals["hits"] != requests or totals["hit_errors"] + totals["failed"] > 0:
        raise Failure(f"{name}: nginx saw {requests} requests, the report is {totals}")
    return {"rate": totals["hits"] / report["duration_s"],
            "cpu_us": cpu * 1e6 / totals["hits"]}


def wait_for_agents(cluster, count, url):
    deadline = time.monotonic() + 30
    while True:
        status, _, words = cluster.call("--agents", count, "-r", 1, url, *AS_REPORT)
        if status == 0:
            return
        if time.monotonic() > deadline:
            raise Failure(f"the agents do not come: {words}")
        time.sleep(0.1)


def command_cluster_rate(options, place):
    workers = max(1, options.connections // 2)
    runner = options.build / "bin" / "molotov-runner"
    endpoints = {name: f"ipc://{place.directory}/cluster/{name}"
                 for name in ("frontend", "backend", "publisher")}
    runs, cpu = {}, place.client_cpu
    with Nginx(place.directory, place.server_cpu) as nginx, \
            Cluster(options, place, endpoints, cpu) as cluster:
        url = nginx.target("http").url
        transport = ["--transport", options.transport] if options.transport else []
        tests = {"url": [url, *transport],
                 "c": [HERE / "scenario.c", "--server-url", url.rstrip("/"), *transport]}
        for _ in range(2):
            cluster.join(cluster.programs / "molotov-agent", "--broker",
                         endpoints["frontend"], cpu=cpu)
        wait_for_agents(cluster, 2, url)

        def here(*arguments):
            return run_report([runner, "-p", 2, *arguments], place.directory, cpu,
                              cluster.env)

        def there(*arguments):
            return cluster.call("--agents", 2, "-p", 1, *arguments, cpu=cpu)

        for test, arguments in tests.items():  # compiled, and known to the agents
            there(*arguments, "-w", 1, "-r", 1, *AS_REPORT)
            here(*arguments, "-w", 1, "-r", 1, *AS_REPORT)
        for index in range(options.rounds):
            for test, arguments in tests.items():
                sides = [("local", here, []), ("cluster", there, cluster.members)]
                for side, call, members in sides if index % 2 == 0 else reversed(sides):
                    run = measure_side(
                        f"{side} {test}",
                        lambda call=call, arguments=arguments: call(
                            *arguments, "-w", workers, "-d", options.seconds, *AS_REPORT),
                        members, nginx)
                    runs.setdefault((test, side), []).append(run)
                    say(f"round {index + 1}/{options.rounds}  {test:4s} {side:8s} "
                        f"{run['rate']:9.0f}/s  {run['cpu_us']:7.2f} us/request")
    print(f"\n2 agents with -p 1 beside a local run with -p 2, {workers} workers in each "
          f"process,\n{options.rounds} rounds of {options.seconds} s; median (min..max); "
          f"limit {options.limit:g}\n")
    return compare_sides(runs, tests, options.limit)


def compare_sides(runs, tests, limit):
    """Prints the table; ratios are taken within a round."""
    rows = [["test", "", "local", "cluster", "ratio", ""]]
    found, ok = {}, True
    for test in tests:
        for key, title, digits in (("rate", "requests/s", 0), ("cpu_us", "CPU us/request", 1)):
            local, far = ([run[key] for run in runs[test, side]]
                          for side in ("local", "cluster"))
            ratio = ratios(far, local)
            slow = key == "rate" and ratio["median"] < limit
            ok = ok and not slow
            found[f"{test} {key}"] = ratio
            rows.append([f"molotov {test}", title, cell(spread(local), digits),
                         cell(spread(far), digits), cell(ratio, 2),
                         "BELOW THE LIMIT" if slow else ""])
    print_table(rows)
    return {"runs": {" ".join(key): value for key, value in runs.items()},
            "ratios": found, "ok": ok}
