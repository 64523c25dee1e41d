"""bench/run stream: large answers, over the transport of choice and over libcurl."""

import subprocess
import time

from clients import Runner, slave_of
from figures import Verdict, cell, print_table, ratios, spread
from memory import resident_kib
from processes import Failure, say
from service import LARGE, Nginx

CURL = "over curl"


def add_options(commands, common):
    stream = commands.add_parser("stream", parents=[common],
                                 help="answers of 10 MB: rate and memory")
    stream.set_defaults(run=command_stream)
    stream.add_argument("--rounds", type=int, default=9)
    stream.add_argument("--seconds", type=int, default=3, help="of each run")
    stream.add_argument("--workers", type=int, default=50)
    stream.add_argument("--tls", action="store_true")
    stream.add_argument("--limit", type=float, default=1.0, metavar="RATIO",
                        help="exit status 1 where the rate is below so many times the "
                             "rate over libcurl")
    stream.add_argument("--limit-growth", type=float, default=1.0, metavar="MIB",
                        help="exit status 1 where the process of the workers grows by "
                             "more after its first second, in any run")


def knows_transport(runner):
    said = subprocess.run([runner.program, "--help"], stdout=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL, timeout=30, check=True)
    return "--transport" in said.stdout


def watch_memory(client, timeout_s):
    """[(seconds since the start, RSS in KiB)] of the process that holds the workers."""
    samples, slave = [], None
    while not client.poll():
        elapsed = time.monotonic() - client.began
        if elapsed > timeout_s:
            raise Failure("does not end: " + client.complaint())
        slave = slave or slave_of(client)
        kib = resident_kib(slave) if slave else 0
        if kib:
            samples.append((elapsed, kib))
        time.sleep(0.02)
    return samples


def growth_kib(samples):
    """From the largest figure of the first second to the largest of the rest."""
    began = samples[0][0]
    first = max(kib for at, kib in samples if at < began + 1)
    rest = [kib for at, kib in samples if at >= began + 1]
    if not rest:
        raise Failure("the run is too short to tell whether memory grows")
    return max(0, max(rest) - first)


def measure_stream(runner, nginx, target, options, place):
    nginx.settle()
    before = nginx.status()
    client = runner.start(target, options.workers, options.seconds, place)
    try:
        samples = watch_memory(client, options.seconds + 60)
    finally:
        client.stop()
    if client.status != 0:
        raise Failure(client.complaint())
    report = runner.take_report()
    totals = report["totals"]
    requests = nginx.status()["requests"] - before["requests"]
    if totals["hits"] != requests or totals["hit_errors"] + totals["failed"] > 0:
        raise Failure(f"{runner.name}: nginx saw {requests} requests, the report is {totals}")
    megabytes = requests * LARGE / 1e6
    return {"rate": megabytes / report["duration_s"], "answers": requests,
            "cpu_us": client.cpu_s * 1e6 / megabytes, "growth_kib": growth_kib(samples),
            "most_mib": max(kib for _, kib in samples) / 1024}


def make_sides(options, place):
    """[(name, runner)]: that of choice, and over curl, where the runner can choose."""
    own = Runner("molotov url", options, place)
    if own.program is None:
        raise Failure("molotov-runner: not found")
    if not knows_transport(own):
        say("this molotov-runner has no --transport: nothing to compare with")
        return [own]
    return [own, Runner(CURL, options, place, transport="curl")]


def command_stream(options, place):
    sides = make_sides(options, place)
    runs = {runner.name: [] for runner in sides}
    with Nginx(place.directory, place.server_cpu) as nginx:
        target = nginx.target("tls" if options.tls else "http", "/large.bin")
        for index in range(options.rounds):
            for runner in sides if index % 2 == 0 else reversed(sides):
                run = measure_stream(runner, nginx, target, options, place)
                runs[runner.name].append(run)
                say(f"round {index + 1}/{options.rounds}  {runner.name:12s} "
                    f"{run['rate']:7.0f} MB/s  {run['cpu_us']:5.0f} us/MB  "
                    f"{run['most_mib']:6.1f} MiB, grows by {run['growth_kib']} KiB")
    print(f"\n{target.mode}, answers of {LARGE // 10 ** 6} MB, {options.workers} workers, "
          f"{options.rounds} rounds of {options.seconds} s; median (min..max)\n")
    return {"runs": runs, "ok": judge(runs, options)}


def judge(runs, options):
    own, curl = next(iter(runs.values())), runs.get(CURL)
    rows = [["", "MB/s", "CPU us/MB", "RSS of the workers, MiB", "growth, KiB"]]
    for name, side in runs.items():
        rows.append([name] + [cell(spread([run[key] for run in side]), digits)
                              for key, digits in (("rate", 0), ("cpu_us", 0),
                                                  ("most_mib", 1), ("growth_kib", 0))])
    print_table(rows)
    print()
    verdict = Verdict()
    ratio = (ratios([run["rate"] for run in own], [run["rate"] for run in curl])["median"]
             if curl else None)
    verdict.judge("bytes a second", ratio, "{:.3f} of curl's", at_least=options.limit)
    verdict.judge("growth after the first second, the largest",
                  max(run["growth_kib"] for run in own) / 1024, "{:.2f} MiB",
                  at_most=options.limit_growth)
    return verdict.ok
