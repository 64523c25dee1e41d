"""bench/run readme: the table of the README, all of it in one call."""

import datetime
import os
import pathlib
import platform
import re
import subprocess

from clients import choose_tools, make_tools
from compare import REFERENCE, measure_rounds, miscounts, summarise
from figures import cell, median_cell, print_markdown
from memory import loaded_memory
from processes import say
from service import Nginx

MODES = {"http": "plain", "tls": "TLS"}
PACKAGES = {  # whose versions are told: {name: its Debian package}
    "nginx": "nginx", "wrk": "wrk", "h2load": "nghttp2-client", "hey": "hey",
    "locust": "python3-locust", "molotov 2": "python3-molotov",
}
NAMES = {  # as the table has them
    "molotov url": "**Molotov, URL**", "molotov c": "**Molotov, C scenario**",
    "locust": "locust (FastHttpUser)", "molotov 2": "Molotov 2 (Python)",
}


def add_options(commands, common):
    readme = commands.add_parser("readme", parents=[common],
                                 help="the README's table, in markdown; about 20 minutes")
    readme.set_defaults(run=command_readme)
    readme.add_argument("--rounds", type=int, default=9)
    readme.add_argument("--seconds", type=int, default=3,
                        help="of each run; interpreters get three times as long")
    readme.add_argument("--connections", type=int, default=50)
    readme.add_argument("--memory", default="50,1000,10000", metavar="CONNECTIONS",
                        help="at which resident memory is measured")
    readme.add_argument("--modes", default="http,tls", help="of http, tls")
    readme.add_argument("--only", metavar="NAMES",
                        default="molotov url,molotov c,wrk,h2load,hey,locust,molotov 2")


def package_version(package):
    """As upstream calls it; "?" where there is no dpkg, or no such package."""
    try:
        said = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30,
                              check=False)
    except OSError:
        return "?"
    return re.sub(r"^\d+:|[-+].*$", "", said.stdout) or "?"


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def describe_machine():
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    kernel = ".".join(platform.release().split(".")[:2])
    versions = ", ".join(f"{name} {package_version(package)}"
                         for name, package in PACKAGES.items())
    return (f"{datetime.date.today():%-d %B %Y}; {processor()}, "
            f"{len(os.sched_getaffinity(0))} cores; {system}, Linux {kernel}; {versions}")


def measure_memory(tools, nginx, target, levels, place):
    """{name: {connections: KiB or None}}, and a line for each None."""
    found, notes = {tool.name: {} for tool in tools}, []
    for connections in levels:
        for tool in tools:
            kib, why = loaded_memory(tool, nginx, target, connections, place)
            found[tool.name][connections] = kib
            shown = why if kib is None else f"{kib / 1024:.1f} MiB"
            say(f"{target.mode}, {connections} connections  {tool.name:12s} {shown}")
            if kib is None:
                notes.append(f"{NAMES.get(tool.name, tool.name)}, "
                             f"{MODES[target.mode]}: {why.splitlines()[0]}")
    return found, notes


def table_row(name, mode, entry, memory, levels):
    def mib(kib):
        return "-" if kib is None else f"{kib / 1024:,.1f}"

    ratio = entry["ratios"][REFERENCE]
    return [NAMES.get(name, name), MODES[mode], cell(entry["rate"], 0),
            median_cell(ratio["rate"], 2), cell(entry["cpu_us"]),
            cell(ratio["cpu_us"], 2), median_cell(entry["p50_us"]),
            median_cell(entry["p99_us"]), *(mib(memory[level]) for level in levels)]


def measure_all(tools, nginx, target, options, place):
    """As measure_rounds(), but interpreters in rounds of their own: these take so long that
    the others' runs of one round, which are compared, would be far from each other."""
    runs = {}
    for stretch in sorted({tool.stretch for tool in tools}):
        together = [tool for tool in tools if tool.stretch == stretch]
        runs |= measure_rounds(together, nginx, target, options, place)
    return runs


def command_readme(options, place):
    levels = [int(level) for level in options.memory.split(",") if level]
    modes = options.modes.split(",")
    tools, skipped = choose_tools(make_tools(options, place), options.only.split(","),
                                  modes[0])
    result = {"machine": describe_machine(), "skipped": skipped, "ok": True}
    rows = [["client", "", "requests/s", f"× {REFERENCE}", "CPU µs/request",
             f"× {REFERENCE}", "p50 µs", "p99 µs",
             *(f"MiB at {level:,}" for level in levels)]]
    notes = [f"{name}: {why}" for name, why in skipped.items()]
    with Nginx(place.directory, place.server_cpu) as nginx:
        for mode in modes:
            target = nginx.target(mode)
            runs = measure_all(tools, nginx, target, options, place)
            summary = summarise(runs)
            memory, missing = measure_memory(tools, nginx, target, levels, place)
            result[mode] = {"runs": runs, "summary": summary, "memory_kib": memory}
            notes += missing + miscounts(summary)
            rows += [table_row(tool.name, mode, summary[tool.name], memory[tool.name], levels)
                     for tool in tools]
    print_markdown(rows, left=2)
    print(f"\n{options.connections} connections, one core for the client and one for nginx, "
          f"{options.rounds} rounds of {options.seconds} s: median (min..max). "
          f"{result['machine']}.")
    for note in notes:
        print(f"- {note}")
    return result
