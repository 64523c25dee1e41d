"""bench/run table: CPU for each request and rate, beside other load generators."""

import itertools

from clients import BARE, choose_tools, make_tools
from figures import Verdict, cell, median_cell, print_table, ratios, spread
from processes import Failure, say
from service import Nginx
from turns import TURN_S, measure_turns
from window import measure_window

REFERENCE = "wrk"
MANY = 5000  # connections, from which on the limits are those of many
OPEN_S = 60  # that opening so many may take

# What our runner may take: medians of the rounds' ratios to wrk.
LIMITS = {
    # (mode, many connections): (client, figure, bound, its value)
    ("http", False): [("molotov url", "cpu_us", "at_most", 1.0),
                      ("molotov url", "rate", "at_least", 0.97),
                      ("molotov c", "cpu_us", "at_most", 1.15)],
    ("tls", False): [("molotov url", "cpu_us", "at_most", 1.0)],
    ("http", True): [("molotov url", "cpu_us", "at_most", 1.1)],
}
FIGURES = {"cpu_us": "CPU for each request", "rate": "requests a second"}


def positive(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def add_options(commands, common):
    table = commands.add_parser("table", parents=[common], help="the default")
    table.set_defaults(run=command_table)
    table.add_argument("--rounds", type=positive, default=9)
    table.add_argument("--seconds", type=positive, default=3, help="of each run")
    table.add_argument("--turns", type=positive, metavar="N", help="instead of rounds, N turns of "
                       "a quarter of a second of clients that live at the same time: the most "
                       "exact ratios, without what starting and ending costs")
    table.add_argument("--connections", type=positive, default=50)
    table.add_argument("--only", metavar="NAMES", help="as in 'molotov url,wrk'; without "
                       "it all but the interpreters")
    kind = table.add_mutually_exclusive_group()
    kind.add_argument("--tls", action="store_true", help="HTTP/1.1 over TLS")
    kind.add_argument("--h2", action="store_true", help="HTTP/2 over TLS")


def read_words(tool, client):
    try:
        return tool.read(client)
    except (LookupError, TypeError, ValueError, OSError) as error:
        raise Failure(f"{tool.name}: cannot read what it says: {error!r}\n"
                      f"{client.complaint()}") from None


def measure(tool, nginx, target, connections, seconds, place):
    """One run of one client, from its exec to its end; its figures, or a Failure."""
    seconds *= tool.stretch
    nginx.settle()
    before, server_before = nginx.status(), nginx.cpu_s()
    client = tool.start(target, connections, seconds, place)
    in_time = client.wait(seconds + 60)
    server_after, after = nginx.cpu_s(), nginx.status()
    if not in_time or client.status not in tool.statuses:
        raise Failure(client.complaint())
    told = read_words(tool, client)
    requests = after["requests"] - before["requests"]
    if requests == 0:
        raise Failure(f"{tool.name}: nginx saw no request\n{client.complaint()}")
    return {"requests": requests, "told": told["requests"], "errors": told["errors"],
            "connections": after["accepts"] - before["accepts"],
            "cpu_us": client.cpu_s * 1e6 / requests, "rate": requests / told.get("seconds", seconds),
            "p50_us": told.get("p50_us"), "p99_us": told.get("p99_us"),
            "client_busy": client.cpu_s / client.wall_s,
            "server_busy": (server_after - server_before) / client.wall_s}


def measure_many(tool, nginx, target, connections, seconds, place):
    """The same while so many connections are open: opening them takes longer than a run,
    and is another figure. The client is then interrupted."""
    nginx.settle(60)
    client = tool.start(target, connections, OPEN_S + seconds + 60, place)
    try:
        why = nginx.wait_open(client, connections, OPEN_S)
        if why:
            raise Failure(f"{tool.name}: {why}")
        return measure_window(tool, client, nginx, seconds, connections)
    finally:
        client.stop()


def orders(count):
    """Orders of so many clients, one for each round, again and again: a Williams design. After
    `count` rounds (twice as many where it is odd: every second order is one backwards) each
    was at each place, and within a round after each other one, equally often."""
    zigzag = [(place + 1) // 2 if place % 2 else -(place // 2) for place in range(count)]
    for turn in itertools.count():
        order = [(index + turn // (1 + count % 2)) % count for index in zigzag]
        yield order[::-1] if count % 2 and turn % 2 else order


def measure_rounds(tools, nginx, target, options, place):
    """{name: its runs}. The orders of the rounds differ, so that what a client leaves behind,
    as a service that is warm or a machine that slows down, is not always the same one's."""
    how = measure_many if options.connections >= MANY else measure
    for tool in tools:
        tool.prepare(target, place)
    runs = {tool.name: [] for tool in tools}
    for index, order in zip(range(options.rounds), orders(len(tools))):
        for tool in (tools[client] for client in order):
            run = how(tool, nginx, target, options.connections, options.seconds, place)
            runs[tool.name].append(run)
            say(f"{target.mode}, round {index + 1}/{options.rounds}  {tool.name:12s} "
                f"{run['cpu_us']:7.2f} us/request  {run['rate']:9.0f}/s  "
                f"client {run['client_busy']:4.0%}  nginx {run['server_busy']:4.0%}")
    return runs


def summarise(runs):
    """Medians and spread of each client, and its ratios, paired by round."""

    def ratio(name, key, base):
        if base not in runs:
            return None
        return ratios(*([run[key] for run in runs[side]] for side in (name, base)))

    summary = {}
    for name, own in runs.items():
        entry = {key: spread([run[key] for run in own]) for key in (
            "cpu_us", "rate", "client_busy", "server_busy", "connections")}
        for key in ("p50_us", "p99_us"):
            known = [run[key] for run in own if run[key] is not None]
            entry[key] = spread(known) if known else None
        for key in ("errors", "requests", "told"):
            entry[key] = None if own[0][key] is None else sum(run[key] for run in own)
        entry["ratios"] = {base: {key: ratio(name, key, base) for key in FIGURES}
                           for base in (BARE, REFERENCE)}
        summary[name] = entry
    return summary


def print_summary(summary):
    rows = [["client", "CPU us/request", f"x {BARE}", f"x {REFERENCE}", "requests/s",
             f"x {REFERENCE}", "p50 us", "p99 us", "client %", "nginx %", "conns",
             "errors"]]
    for name, entry in summary.items():
        bare, reference = entry["ratios"][BARE], entry["ratios"][REFERENCE]
        rows.append([
            name, cell(entry["cpu_us"], 2), cell(bare["cpu_us"], 2),
            cell(reference["cpu_us"], 2), cell(entry["rate"], 0),
            cell(reference["rate"], 2), median_cell(entry["p50_us"]),
            median_cell(entry["p99_us"]), median_cell(entry["client_busy"], scale=100),
            median_cell(entry["server_busy"], scale=100),
            median_cell(entry["connections"]), "-" if entry["errors"] is None else str(entry["errors"])])
    print_table(rows)
    for line in miscounts(summary):
        print(line)


def miscounts(summary):
    """A line for each runner of ours that did not report what nginx counted."""
    return [f"NOTE: {name} reports {entry['told']} hits, nginx saw {entry['requests']} "
            f"requests" for name, entry in summary.items()
            if name in ("molotov url", "molotov c") and entry["told"] != entry["requests"]]


def within_limits(summary, mode, connections):
    """Whether our runner, as far as it was measured, keeps its limits."""
    verdict = Verdict()
    if REFERENCE not in summary:
        print(f"without {REFERENCE} no limit is judged")
    for name, key, bound, value in LIMITS.get((mode, connections >= MANY), []):
        if name in summary and REFERENCE in summary:
            ratio = summary[name]["ratios"][REFERENCE][key]["median"]
            verdict.judge(f"{name}, {FIGURES[key]}", ratio, "{:.3f} of " + REFERENCE + "'s",
                          **{bound: value})
    return verdict.ok


def command_table(options, place):
    mode = "h2" if options.h2 else "tls" if options.tls else "http"
    tools = make_tools(options, place)
    names = (options.only.split(",") if options.only else
             [tool.name for tool in tools if tool.stretch == 1])
    tools, skipped = choose_tools(tools, names, mode)
    with Nginx(place.directory, place.server_cpu) as nginx:
        how = measure_turns if options.turns else measure_rounds
        runs = how(tools, nginx, nginx.target(mode), options, place)
    summary = summarise(runs)
    amount = (f"{options.turns} turns of {TURN_S} s" if options.turns else
              f"{options.rounds} rounds of {options.seconds} s")
    print(f"\n{mode}, {options.connections} connections, {amount}; median (min..max)\n")
    print_summary(summary)
    for name, why in skipped.items():
        print(f"{name}: skipped, {why}")
    print()
    return {"mode": mode, "summary": summary, "runs": runs, "skipped": skipped,
            "ok": within_limits(summary, mode, options.connections)}
