"""bench/run growth: does a run of ten minutes grow?"""

import statistics
import time

from clients import BARE, choose_tools, make_tools
from figures import print_table
from memory import memory_of
from processes import Failure, descendants, say
from service import Nginx


def add_options(commands, common):
    growth = commands.add_parser("growth", parents=[common], help="whether a long run grows")
    growth.set_defaults(run=command_growth)
    growth.add_argument("--minutes", type=float, default=10)
    growth.add_argument("--connections", type=int, default=50)
    growth.add_argument("--client", default="molotov c",
                        choices=["molotov url", "molotov c", BARE])
    growth.add_argument("--mode", default="http", choices=["http", "tls", "h2"])
    growth.add_argument("--every", type=float, default=5, help="seconds between looks")


def slope(points):
    """KiB a minute, by least squares over (seconds, KiB)."""
    middle_x = statistics.fmean(x for x, _ in points)
    middle_y = statistics.fmean(y for _, y in points)
    across = sum((x - middle_x) ** 2 for x, _ in points)
    return 60 * sum((x - middle_x) * (y - middle_y) for x, y in points) / across


def watch(client, total_s, every_s):
    """{process: [(seconds, RSS in KiB)]} until the client ends."""
    samples, next_words = {}, 0.0
    while not client.poll():
        elapsed = time.monotonic() - client.began
        if elapsed > total_s + 60:
            raise Failure("does not end: " + client.complaint())
        # Close to its end processes go, which is no shrinking.
        pids = [client.pid] + descendants(client.pid) if elapsed < total_s - 1 else []
        for place_in_tree, pid in enumerate(pids):
            memory = memory_of(pid)
            if memory:
                name = "runner" if place_in_tree == 0 else f"process {pid}"
                samples.setdefault(name, []).append((elapsed, memory["rss_kib"]))
        if elapsed >= next_words:
            next_words += 30
            shown = ", ".join(f"{name} {own[-1][1]} KiB" for name, own in samples.items())
            say(f"{elapsed:5.0f} s  {shown}")
        time.sleep(every_s)
    return samples


def measure_growth(options, place):
    """(samples of watch(), requests) of one long run."""
    total_s = options.minutes * 60
    with Nginx(place.directory, place.server_cpu) as nginx:
        (tool,), _ = choose_tools(make_tools(options, place), [options.client], options.mode)
        target = nginx.target(options.mode)
        tool.prepare(target, place)
        before = nginx.status()
        client = tool.start(target, options.connections, int(total_s), place)
        try:
            samples = watch(client, total_s, options.every)
        finally:
            client.stop()
        requests = nginx.status()["requests"] - before["requests"]
    if client.status != 0:
        raise Failure(client.complaint())
    return samples, requests


def growth_of(warm):
    """Of one process, from its samples but the first ones."""
    result = {"first_kib": warm[0][1], "last_kib": warm[-1][1],
              "most_kib": max(kib for _, kib in warm),
              "slope_kib_per_minute": slope(warm)}
    result["growth_kib"] = result["last_kib"] - result["first_kib"]
    # Either a page or two that came late, or a leak that a load test would show.
    result["grows"] = result["growth_kib"] > max(512, result["first_kib"] // 50)
    return result


def command_growth(options, place):
    warm_s = min(60.0, options.minutes * 15)
    samples, requests = measure_growth(options, place)
    rows = [["process", f"after {warm_s:.0f} s, KiB", "last, KiB", "most, KiB",
             "growth, KiB", "KiB/minute"]]
    results = {}
    for name, own in samples.items():
        warm = [point for point in own if point[0] >= warm_s]
        if len(warm) < 3:
            continue
        results[name] = result = growth_of(warm) | {"samples": own}
        rows.append([name, str(result["first_kib"]), str(result["last_kib"]),
                     str(result["most_kib"]),
                     f"{result['growth_kib']:+d}{' GROWS' if result['grows'] else ''}",
                     f"{result['slope_kib_per_minute']:+.1f}"])
    print(f"\n{options.client}, {options.minutes:g} minutes, {options.connections} workers, "
          f"{requests} requests\n")
    print_table(rows)
    return {"client": options.client, "requests": requests, "processes": results,
            "ok": bool(results) and not any(each["grows"] for each in results.values())}
