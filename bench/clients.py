"""The load generators: how each is called, and how to read what it says."""

import json
import os
import pathlib
import re
import shutil

from processes import Client, Failure, descendants

HERE = pathlib.Path(__file__).resolve().parent
PEERS = HERE / "peers"
BARE = "curl_loop"  # libcurl and nothing above it
# URL mode is compared with wrk by the same headers: wrk has no User-Agent, and nginx spends a
# tenth more instructions of its own on a request with one. (The C scenario keeps it.)
AS_WRK_ASKS = ["-H", "User-Agent:"]


class Tool:
    """A load generator.

    `arguments(target, connections, seconds)` is its command line but the program, and
    `read(client)` makes {requests, errors, p50_us, p99_us} of what it said, the latter two
    where it says so. An interpreter's start takes long beside a few seconds, so its runs
    take `stretch` times as long as the others'; it takes no part where nobody asks for it.
    """

    def __init__(self, name, program, arguments, read, modes=("http", "tls", "h2"),
                 environment=lambda target: {}, stretch=1, statuses=(0,)):
        self.name, self.arguments, self.read = name, arguments, read
        self.program = shutil.which(str(program))
        self.modes, self.environment, self.stretch = modes, environment, stretch
        self.statuses = statuses  # with which it ends when all is well

    def start(self, target, connections, seconds, place):
        argv = [self.program, *self.arguments(target, connections, seconds)]
        return Client(argv, place.directory, place.client_cpu,
                      {**os.environ, **self.environment(target)})

    def prepare(self, target, place):
        """Before the first measured run."""


class Runner(Tool):
    """molotov-runner, on a URL or on a scenario in C."""

    def __init__(self, name, options, place, scenario=None, transport=None):
        super().__init__(name, options.build / "bin" / "molotov-runner",
                         self.runner_arguments, self.read_report)
        self.scenario = scenario
        self.transport = transport or options.transport
        self.report = place.directory / "report.json"

    def test(self, target):
        """What to run, how certificates are looked at, and by which transport."""
        test = ([self.scenario, "--server-url", target.url.rstrip("/")] if self.scenario
                else [target.url, *AS_WRK_ASKS])
        return [*test, *(["--insecure"] if target.secure else []),
                *(["--transport", self.transport] if self.transport else [])]

    def runner_arguments(self, target, workers, seconds, *more):
        return [*self.test(target), "-w", workers, "-p", 1, "-d", seconds,
                "--output", "json", "--output-json-filename", self.report, *more]

    def prepare(self, target, place):
        """Let it compile the scenario, so that a measured run finds it in its cache."""
        argv = [self.program, *self.runner_arguments(target, 1, 60, "-r", 1)]
        client = Client(argv, place.directory, place.client_cpu)
        if not client.wait(120) or client.status != 0:
            raise Failure(client.complaint())
        self.read_report(client)

    def take_report(self):
        report = json.loads(self.report.read_text())
        self.report.unlink()
        return report

    def read_report(self, _client):
        report = self.take_report()
        totals = report["totals"]
        result = {"requests": totals["hits"],
                  "errors": totals["hit_errors"] + totals["failed"]}
        busiest = max(report["requests"], key=lambda request: request["hits"], default=None)
        if busiest:
            result["p50_us"] = busiest["latency_us"]["p50"]
            result["p99_us"] = busiest["latency_us"]["p99"]
        return result


def slave_of(client):
    """The process of a runner that holds its workers, or None: the runner starts it last,
    after the compiler, if it needs one."""
    for pid in descendants(client.pid):
        try:
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # gone meanwhile
        if b"--slave" in words:
            return pid
    return None


# --- what the peers say ------------------------------------------------------------


def number_in(pattern, text):
    match = re.search(pattern, text)
    return float(match[1]) if match else None


def microseconds(text):
    match = re.fullmatch(r"([\d.]+)(us|ms|s)", text)
    return float(match[1]) * {"us": 1, "ms": 1e3, "s": 1e6}[match[2]]


def read_bare(client):
    result = json.loads(client.output().strip().splitlines()[-1])
    return {key: result[key] for key in ("requests", "errors", "p50_us", "p99_us")}


def read_wrk(client):
    text = client.output()
    percentiles = dict(re.findall(r"^\s+(\d+)%\s+(\S+)$", text, re.M))
    errors = sum(int(number) for line in re.findall(
        r"(?:Socket errors|Non-2xx or 3xx responses):(.*)", text)
        for number in re.findall(r"\d+", line))
    return {"requests": int(number_in(r"(\d+) requests in", text)), "errors": errors,
            "seconds": number_in(r"requests in ([\d.]+)s", text),
            "p50_us": microseconds(percentiles["50"]),
            "p99_us": microseconds(percentiles["99"])}


def read_h2load(client):
    text = client.output()
    return {"requests": int(number_in(r"(\d+) succeeded", text)),
            "errors": int(number_in(r"(\d+) failed", text))}


def read_hey(client):
    text = client.output()
    answers = re.findall(r"\[(\d+)\]\s+(\d+) responses", text)
    seconds = {share: float(value) for share, value in
               re.findall(r"(50|99)% in ([\d.]+) secs", text)}
    return {"requests": sum(int(count) for _, count in answers),
            "errors": sum(int(count) for status, count in answers if status != "200") +
            sum(int(count) for count in re.findall(r"^\s+\[(\d+)\]\s+\D", text, re.M)),
            "p50_us": seconds.get("50", 0) * 1e6, "p99_us": seconds.get("99", 0) * 1e6}


def read_locust(client):
    """Its two tables, on stderr, end with a line for all requests; whole milliseconds."""
    lines = re.findall(r"^\s+Aggregated\s+(.*)$", client.words(), re.M)
    counts, percentiles = lines[-2].split(), lines[-1].split()
    return {"requests": int(counts[0]), "errors": int(counts[1].partition("(")[0]),
            "p50_us": int(percentiles[0]) * 1e3, "p99_us": int(percentiles[7]) * 1e3}


def read_molotov(client):
    """The sums, which it hands to sys.exit(): so they are on stderr, and its status is 1."""
    ok, failed = (int(number_in(rf"'{key}': (\d+)", client.words()))
                  for key in ("OK", "FAILED"))
    return {"requests": ok + failed, "errors": failed}


# --- how they are called -----------------------------------------------------------


def bare_arguments(target, connections, seconds):
    return [target.url, "-w", connections, "-d", seconds, *(["-k"] if target.secure else [])]


def wrk_arguments(target, connections, seconds):
    return ["-t1", "-c", connections, "-d", f"{seconds}s", "--latency", target.url]


def h2load_arguments(target, connections, seconds):
    return [*([] if target.mode == "h2" else ["--h1"]), "-t1", "-c", connections, "-D",
            seconds, target.url]


def hey_arguments(target, connections, seconds):
    return [*(["-h2"] if target.mode == "h2" else []), "-z", f"{seconds}s", "-c",
            connections, target.url]


def locust_arguments(target, users, seconds):
    return ["-f", PEERS / "locust_scenario.py", "--headless", "--only-summary", "-u", users,
            "-r", users, "-t", f"{seconds}s", "-H", target.url.rstrip("/")]


def molotov_arguments(_target, workers, seconds):
    return [PEERS / "molotov_scenario.py", "-w", workers, "-p", 1, "-d", seconds]


def make_tools(options, place):
    """All of them, in the order of the tables."""
    h1 = ("http", "tls")
    return [
        Runner("molotov url", options, place),
        Runner("molotov c", options, place, HERE / "scenario.c"),
        Tool(BARE, options.build / "bench" / "curl_loop", bare_arguments, read_bare),
        Tool("wrk", "wrk", wrk_arguments, read_wrk, h1),
        Tool("h2load", "h2load", h2load_arguments, read_h2load),
        Tool("hey", "hey", hey_arguments, read_hey,
             environment=lambda _: {"GOMAXPROCS": "1"}),
        Tool("locust", "locust", locust_arguments, read_locust, h1, stretch=3),
        Tool("molotov 2", "molotov", molotov_arguments, read_molotov, h1,
             environment=lambda target: {"BENCH_URL": target.url}, stretch=3,
             statuses=(0, 1)),
    ]


def choose_tools(tools, names, mode):
    """(those of `names` that can be run, {name of another: why not})"""
    unknown = set(names) - {tool.name for tool in tools}
    if unknown:
        raise Failure(f"no such client: {', '.join(sorted(unknown))}; there are: "
                      f"{', '.join(tool.name for tool in tools)}")
    chosen, skipped = [], {}
    for tool in tools:
        if tool.name not in names:
            continue
        if mode not in tool.modes:
            skipped[tool.name] = f"cannot do {mode}"
        elif tool.program is None:
            skipped[tool.name] = "not found"
        else:
            chosen.append(tool)
    if not chosen:
        raise Failure("no client to run")
    return chosen, skipped
