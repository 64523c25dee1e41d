"""bench/run profile: where a request's time goes, stage by stage.

Instructions are counted by callgrind in two runs, one with twice the requests of the other:
their difference has no start and no end in it. Microseconds are sampled by perf, as shares
of the CPU that the process took in the seconds before, when nothing looked.
"""

import os
import shutil
import time

import callgrind
import sampling
import stages
from clients import Runner, make_tools, slave_of
from figures import print_markdown, print_table
from processes import Client, Failure, say, stat_of
from service import Nginx

REFERENCE = "wrk"


def add_options(commands, common):
    profile = commands.add_parser("profile", parents=[common],
                                  help="where a request's time goes")
    profile.set_defaults(run=command_profile)
    profile.add_argument("--client", default="molotov url",
                         choices=["molotov url", "molotov c", REFERENCE])
    profile.add_argument("--tls", action="store_true", help="HTTP/1.1 over TLS")
    profile.add_argument("--connections", type=int, default=50)
    profile.add_argument("--runs", type=int, default=100, metavar="N",
                         help="requests of each worker in the smaller of callgrind's runs")
    profile.add_argument("--seconds", type=int, default=5, help="of measuring times, twice")
    profile.add_argument("--no-times", action="store_true",
                         help="instructions only: they do not depend on what else runs")
    profile.add_argument("--functions", type=int, default=0, metavar="N",
                         help="list the N functions with the most instructions, too")


# --- instructions ------------------------------------------------------------------


def counted_command(tool, options, target, place, amount, output):
    """(argv, environment) of a run under callgrind: of so many requests by each worker, or,
    where a client knows no such number, of as many tenths of a second."""
    valgrind = f"valgrind -q --tool=callgrind --callgrind-out-file={output}"
    if tool.name == REFERENCE:
        argv = [*valgrind.split(), tool.program,
                *tool.arguments(target, options.connections, max(1, amount // 25))]
        return argv, None
    wrapper = options.build / "bench" / "libwrap_slave.so"
    if not wrapper.exists():
        raise Failure(f"{wrapper}: not found")
    argv = [tool.program, *tool.runner_arguments(target, options.connections, 3600, "-r",
                                                 amount)]
    return argv, {**os.environ, "LD_PRELOAD": str(wrapper), "WRAP_SLAVE": valgrind}


def count_run(tool, options, nginx, target, place, amount):
    """(profile, requests) of one run under callgrind."""
    output = place.directory / "callgrind.out"
    argv, env = counted_command(tool, options, target, place, amount, output)
    nginx.settle()
    before = nginx.status()["requests"]
    client = Client(argv, place.directory, None, env)
    if not client.wait(1800) or client.status != 0 or not output.exists():
        raise Failure(client.complaint())
    requests = nginx.status()["requests"] - before
    profile = callgrind.read(output)
    output.unlink()
    say(f"{tool.name}: {profile.total():,} instructions for {requests:,} requests")
    return profile, requests


def count_instructions(tool, options, nginx, target, place):
    """The profile of one request."""
    few, few_requests = count_run(tool, options, nginx, target, place, options.runs)
    many, many_requests = count_run(tool, options, nginx, target, place, 2 * options.runs)
    if many_requests <= few_requests:
        raise Failure("the longer run made no more requests")
    return many.less(few, many_requests - few_requests)


# --- microseconds ------------------------------------------------------------------


def process_of_requests(tool, client, timeout_s=30):
    """That which makes the requests: the slave of a runner, or the client itself."""
    deadline = time.monotonic() + timeout_s
    while isinstance(tool, Runner):
        slave = slave_of(client)
        if slave:
            return slave
        if client.poll() or time.monotonic() > deadline:
            raise Failure(client.complaint())
        time.sleep(0.01)
    return client.pid


def sample(tool, options, nginx, target, place):
    """(CPU us of each request, samples)"""

    def look():
        return nginx.status()["requests"], stat_of(pid)[1]

    nginx.settle()
    client = tool.start(target, options.connections, 3 * options.seconds + 60, place)
    try:
        pid = process_of_requests(tool, client)
        why = nginx.wait_open(client, options.connections, 30)
        if why:
            raise Failure(f"{tool.name}: {why}")
        before, cpu_before = look()
        time.sleep(options.seconds)
        after, cpu_after = look()
        samples = sampling.record(pid, options.seconds, place.directory)
    finally:
        client.stop()
    return (cpu_after - cpu_before) * 1e6 / max(1, after - before), samples


def share_helpers(user, attribution):
    """Samples in helpers go to the stages, in the shares of their instructions."""
    helpers = user.pop(sampling.HELPER, 0)
    whole = sum(attribution.helpers.values()) or 1
    for stage, cost in attribution.helpers.items():
        user[stage] += helpers * cost / whole
    return user


def measure_times(tool, options, nginx, target, place, attribution):
    """({stage: us in user code}, {stage: us in the kernel}) of one request."""
    cpu_us, samples = sample(tool, options, nginx, target, place)
    if not samples:
        raise Failure("perf took no samples")
    user, kernel = sampling.by_stage(samples, tool.program)
    user = share_helpers(user, attribution)
    say(f"{tool.name}: {cpu_us:.2f} us/request, {len(samples)} samples")
    return tuple({stage: count * cpu_us / len(samples) for stage, count in side.items()}
                 for side in (user, kernel))


# --- the table ---------------------------------------------------------------------


def figure(value, digits):
    return f"{round(value, digits) + 0.0:,.{digits}f}"  # + 0.0: no "-0"


def print_stages(attribution, times):
    head = ["stage", "instructions", "of these by helpers"]
    rows = [head + ["user µs", "kernel µs"] if times else head]

    def row(name, pick):
        sides = [attribution.by_stage, attribution.helpers]
        values = [figure(pick(side), 0) for side in sides]
        values += [figure(pick(side), 2) for side in times or ()]
        if any(value.strip("0.") for value in values):
            rows.append([name, *values])

    for stage in stages.NAMES:
        row(stage, lambda side, stage=stage: side.get(stage, 0))
    row("**all**", lambda side: sum(side.values()))
    print_markdown(rows)


def print_functions(attribution, count):
    rows = [["function", "stage", "instructions", "source"]]
    for (function, stage), cost in attribution.by_function.most_common(count):
        source = "/".join(function.source.split("/")[-2:])
        rows.append([function.name, stage, f"{cost:,.1f}",
                     source if source != "???" else os.path.basename(function.path)])
    print_table(rows)


def command_profile(options, place):
    if shutil.which("valgrind") is None:
        raise Failure("valgrind is not installed")
    tool = next(tool for tool in make_tools(options, place) if tool.name == options.client)
    if tool.program is None:
        raise Failure(f"{tool.name}: not found")
    times = None
    with Nginx(place.directory, place.server_cpu) as nginx:
        target = nginx.target("tls" if options.tls else "http")
        tool.prepare(target, place)
        attribution = callgrind.Attribution(
            count_instructions(tool, options, nginx, target, place))
        if not options.no_times:
            times = measure_times(tool, options, nginx, target, place, attribution)
    print(f"{options.client}, {target.mode}, {options.connections} connections, of one "
          f"request\n")
    print_stages(attribution, times)
    if options.functions:
        print()
        print_functions(attribution, options.functions)
    return {"instructions": attribution.by_stage, "helpers": attribution.helpers,
            "times": times, "ok": True}
