"""Peers that send anything but the protocol, on every socket of a broker while two agents
have a run there; and a broker that sends it, to agents and runners. Nobody crashes, swells
or floods a log, and the run's totals are what nginx saw.

What is sent follows from a seed, which is printed: MOLOTOV_TEST_SEED=n sends it again.
"""

import contextlib
import copy
import math
import os
import random
import re
import socket
import struct
import sys
import threading
import time
import unittest

import msgpack
import zmq

import protocol
from cluster import ASK_BY_AGENT, NGINX_BY_AGENT, ClusterTest
from harness import ROOT, SANITIZED, descriptors, resident_kib, wait_until

SEED = int(os.environ.get("MOLOTOV_TEST_SEED", 20261121))
ATTACK_S = 60 if SANITIZED else 10
SIZE_MAX = 64 << 20  # of a message
RUN = "hostile-run"


# --- right messages, to be spoilt -------------------------------------------------------


def examples(run=RUN, endpoints=None):
    """A right one of each message, by name; without its name. `endpoints`: of a PONG."""
    delta = protocol.made_up(1, 5).to_wire(1, 0, 1000000)
    claim = {"run": run, "state": "running", "stopping": False, "forced": False, "sequence": 3}
    job = {"test": "http://127.0.0.1:9/", "run-id": run, "workers": 2, "duration": 1}
    sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    files = [{"path": "own/loadtest.c", "sha256": sha256, "size": 4}]
    bundle = {"directory": "", "files": []}
    lost = {"index": 0, "signal": 11, "status": 0, "stuck": False, "scenario": "s"}
    totals = dict.fromkeys(
        ["ok", "failed", "cancelled", "hits", "hit_errors", "unsent", "bytes_in", "bytes_out"], 1
    )
    agent = {"name": "a", "host": "h", "pid": 7}
    facts = {
        "state": "running",
        "run": run,
        "test": "http://127.0.0.1:9/",
        "created_wall_s": 1.5e9,
        "started_wall_s": 1.5e9,
        "processes": 1,
        "workers": 2,
        "duration_s": 1.0,
        "max_runs": 0,
        "agents": [{**agent, "state": "running", "lost_at_us": 0, "counted": totals}],
        "lost": [{"agent": 0, **lost}],
    }
    update = {"run": run, "after": 0, "revision": 1, "elapsed_us": 10**6, "facts": facts}
    ours = {"version": protocol.VERSION}
    endpoints = endpoints or dict.fromkeys(
        ["frontend", "backend", "publisher"], "tcp://127.0.0.1:9"
    )
    return {
        "JOB": {**ours, "job": job},
        "READY": {"run": run},
        "REFUSED": {"run": run, "why": "no"},
        "START": {"run": run},
        "STOP": {**ours, "run": run, "force": False, "why": "a stranger"},
        "DELTA": {"delta": delta},
        "STOPPING": {"why": "--exception", "failed": False},
        "LOST": lost,
        "TEARDOWN": {},
        "END": {},
        "PING": ours,
        "PONG": {
            "pid": 7,
            "program": "0.1.0",
            **endpoints,
            "temporary": False,
            "agents": [{**agent, "run": run}, agent],
            "runs": [{"run": run, "agents": 1}],
        },
        "LIST": ours,
        "RUNS": {
            "runs": [
                {"run": run, "test": "x.c", "state": "running", "agents": 1,
                 "created_wall_s": 1.5e9, "elapsed_us": 5},
            ]
        },  # fmt: skip
        "RUN": {**ours, "agents": 2, "keep_cluster": False, "job": job, "bundle": bundle},
        "LACKS": {"run": run, "files": [sha256]},
        "FILE": {"sha256": sha256, "content": b"test"},
        "ACCEPTED": {"run": run, "state": "finished"},
        "SNAPSHOT": {**ours, "run": run, "after": 0},
        "UPDATE": {**update, "delta": delta},
        "END_OF_RUN": {
            **update,
            "delta": delta,
            "series": {"workers": 2, "workers_max": 2, "rows": [5, 0, 2, 100]},
        },
        "REGISTER": {
            **ours, "instance": "1-hostile", "name": "hostile", "host": "h", "pid": 7,
            "temporary": False, "claim": claim,
        },
        "REGISTERED": {"run": run, "sequence": 0},
        "UNKNOWN": {},
        "BEAT": {"claim": claim},
        "BYE": {},
        "PREPARE": {
            "index": 0, "agents": 1, "job": {**job, "test": "own/loadtest.c"},
            "bundle": {"directory": "own", "test": "own/loadtest.c", "files": files,
                       "object": sha256, "object_size": 4},
        },
        "FETCH": {"run": run, "sha256": sha256},
        "REPORT": {"run": run, "delta": delta, "lost": [lost], "ended": False},
        "ACK": {"run": run, "sequence": 1},
        "RELEASE": {"run": run},
    }  # fmt: skip


TO_BROKER = {
    "frontend": ["PING", "LIST", "RUN", "FILE", "SNAPSHOT", "STOP"],
    "backend": ["REGISTER", "BEAT", "BYE", "READY", "REFUSED", "FETCH", "REPORT"],
}


# --- what is wrong with them ------------------------------------------------------------


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


# Not only wrong types: numbers at every edge, texts for terminals and shells, paths.
WRONG_VALUES = [
    None, True, False, 0, -1, -(2**63), 2**31, 2**32 - 1, 2**53, 2**63, 2**64 - 1,
    1.5, -1e308, math.nan, math.inf, "", "x", "/", "../../etc/passwd", "a\0b",
    "\x1b[2J\x07", "\u202e\uffff", "%s%n%s%n", "'; DROP TABLE runs; --", "x" * 70000,
    b"", b"\xff\xfe", b"\0" * 70000, [], [[]], {}, {"": ""}, {1: 2}, nested(11),
    nested(13), nested(200), list(range(3000)), {f"k{i}": i for i in range(3000)},
    msgpack.ExtType(5, b"x" * 16), ["running"] * 50, "lost", "no such word",
]  # fmt: skip

# Heads of values that claim more than there is (str, bin, array, map, ext, each the
# largest), and arrays in arrays, deeper than any stack.
CLAIMS = [bytes([head]) + b"\xff" * 4 for head in (0xDB, 0xC6, 0xDD, 0xDF, 0xC9)]
CLAIMS.append(b"\x91" * 100000)


def places(value, path=()):
    """The paths to all values within a value."""
    children = []
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    found = [path] if path else []
    for key, child in children:
        found += places(child, (*path, key))
    return found


def spoil_value(numbers, message):
    """One value within it is another, is missing, or has a neighbour."""
    spoilt = copy.deepcopy(message)
    path = numbers.choice(places(spoilt))
    parent = spoilt
    for key in path[:-1]:
        parent = parent[key]
    action = numbers.randrange(10)
    if action == 0:
        del parent[path[-1]]
    elif action == 1 and isinstance(parent, list):
        parent[:] = parent * numbers.choice([2, 1001])
    elif action == 2 and isinstance(parent, dict):
        parent[numbers.choice(["", "new", "x" * 1000])] = numbers.choice(WRONG_VALUES)
    else:
        parent[path[-1]] = numbers.choice(WRONG_VALUES)
    return spoilt


def spoil_bytes(numbers, data):
    """Bits flipped, cut, with a piece of itself, or with a head that claims too much."""
    data = bytearray(data)
    at = numbers.randrange(len(data))
    action = numbers.randrange(6)
    if action == 0:
        del data[at:]
    elif action == 1:
        data[at : at + 5] = numbers.choice(CLAIMS)
    elif action == 2:
        data[at:at] = data[numbers.randrange(len(data)) :]
    elif action == 3:
        del data[at : at + numbers.randrange(1, 9)]
    else:
        for _ in range(numbers.choice([1, 1, 1, 3, 20])):
            data[numbers.randrange(len(data))] ^= 1 << numbers.randrange(8)
    return bytes(data)


def spoil(numbers, name, fields):
    """The bytes of a message that is probably none."""
    message = {"message": name, **fields}
    for _ in range(numbers.randrange(3)):
        if places(message):
            message = spoil_value(numbers, message)
    data = msgpack.packb(message)
    for _ in range(numbers.randrange(3)):
        data = spoil_bytes(numbers, data) or b"\0"
    return data


def noise(numbers):
    return numbers.randbytes(numbers.choice([0, 1, 2, 9, 100, 1000, 100000]))


# --- ZMTP by hand -----------------------------------------------------------------------

GREETING = b"\xff" + b"\0" * 8 + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" * 32


def command(name, body):
    return bytes([4, 1 + len(name) + len(body), len(name)]) + name + body


def ready(kind):
    return command(b"READY", b"\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind)


TLS_HELLO = bytes.fromhex("160301006f0100006b0303") + bytes(range(32)) + bytes(73)
HTTP_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"


class Attacker:
    """All that a stranger can do to the three sockets of a broker on tcp."""

    OPEN_MAX = 60  # connections that stay open and say nothing

    def __init__(self, cluster, numbers):
        self.numbers = numbers
        self.endpoints = {
            "frontend": cluster.frontend,
            "backend": cluster.backend,
            "publisher": cluster.publisher,
        }
        self.context = zmq.Context()
        self.peers = {place: self.connect(place) for place in TO_BROKER}
        self.silent = []
        self.sent = dict.fromkeys(examples(), 0)
        self.attacks = 0
        self.victim = RUN

    def close(self):
        for sock in [*self.peers.values(), *self.silent]:
            sock.close()
        self.context.term()

    # --- by ZeroMQ

    def connect(self, place, kind=zmq.DEALER):
        peer = self.context.socket(kind)
        peer.linger = 0
        peer.sndtimeo = peer.rcvtimeo = 2000
        peer.connect(self.endpoints[place])
        return peer

    def send(self, place, *frames):
        """To a broker that may have closed the connection, or read nothing for a while."""
        with contextlib.suppress(zmq.Again):
            self.peers[place].send_multipart(frames)
        while self.peers[place].poll(0):
            self.peers[place].recv_multipart()

    def choose_example(self):
        run = self.numbers.choice([RUN, self.victim])
        place = self.numbers.choice(list(TO_BROKER))
        names = TO_BROKER[place]
        name = self.numbers.choice([*names, *names, *names, *self.sent])
        if name in ("STOP", "RUN"):
            run = RUN  # whoever is let in may stop any run: that is no attack
        self.sent[name] += 1
        return place, name, examples(run)[name]

    def send_spoilt(self):
        for _ in range(20):
            place, name, fields = self.choose_example()
            self.send(place, spoil(self.numbers, name, fields))

    def send_cut(self):
        """Every length of one message."""
        place, name, fields = self.choose_example()
        data = protocol.pack(name, **fields)
        for size in range(0, len(data), self.numbers.randrange(1, 40)):
            self.send(place, data[:size])

    def send_noise(self):
        for place in TO_BROKER:
            self.send(place, noise(self.numbers))

    def send_frames(self):
        """More frames than one, empty ones, none of which is the message."""
        for place in TO_BROKER:
            frames = [noise(self.numbers) for _ in range(self.numbers.randrange(2, 40))]
            self.send(place, *frames)
            self.send(place, b"", protocol.pack("PING", version=1), b"")

    def register_and_report(self):
        """As agents, which are let in, and then report for a run that is not theirs."""
        for _ in range(20):
            instance = f"hostile-{self.numbers.randrange(10**6)}"
            agent = {**examples()["REGISTER"], "instance": instance}
            self.send("backend", protocol.pack("REGISTER", **agent))
        for name in ("READY", "REPORT", "BEAT", "FETCH", "REFUSED"):
            self.send("backend", protocol.pack(name, **examples(self.victim)[name]))
        ended = {**examples(self.victim)["REPORT"], "ended": True}
        self.send("backend", protocol.pack("REPORT", **ended))
        self.send("backend", protocol.pack("BYE"))

    def reconnect(self):
        place = self.numbers.choice(list(TO_BROKER))
        self.peers[place].close()
        self.peers[place] = self.connect(place)

    def send_oversize(self):
        place = self.numbers.choice(list(TO_BROKER))
        self.send(place, bytes(SIZE_MAX + 1))
        self.reconnect()

    def read_nothing(self):
        """Many requests with large answers that nobody takes."""
        peer = self.connect("frontend")
        for _ in range(500):
            with contextlib.suppress(zmq.Again):
                peer.send(
                    protocol.pack("SNAPSHOT", version=1, run=self.victim, after=0), zmq.NOBLOCK
                )
        peer.close()

    def subscribe_to_noise(self):
        peer = self.connect("publisher", zmq.SUB)
        for _ in range(20):
            peer.subscribe(noise(self.numbers)[:2000])
        peer.close()

    # --- by bytes

    def open(self):
        """A connection to any of the sockets, and a short wait for its greeting."""
        _, host, port = self.endpoints[self.numbers.choice(list(self.endpoints))].split(":")
        sock = socket.create_connection((host.strip("/"), int(port)), 10)
        sock.settimeout(0.02)
        return sock

    def say(self, *parts):
        """Sends them one after the other; the connection may end at any time."""
        with self.open() as sock, contextlib.suppress(OSError):
            for part in parts:
                sock.sendall(part)
                with contextlib.suppress(TimeoutError):
                    sock.recv(65536)

    def speak_http(self):
        self.say(HTTP_REQUEST)

    def speak_tls(self):
        self.say(TLS_HELLO)

    def speak_noise(self):
        self.say(noise(self.numbers))

    def greet_by_half(self):
        self.say(GREETING[: self.numbers.randrange(len(GREETING))])

    def greet_wrongly(self):
        self.say(spoil_bytes(self.numbers, GREETING), ready(b"DEALER"))

    def be_of_a_wrong_type(self):
        self.say(GREETING, ready(self.numbers.choice([b"PUB", b"REQ", b"PAIR", b"", b"x" * 200])))

    def spoil_the_handshake(self):
        self.say(GREETING, spoil_bytes(self.numbers, ready(b"DEALER")))

    def spoil_the_frames(self):
        frame = self.numbers.choice([
            b"\x02" + struct.pack(">Q", 1 << 40),  # a frame of a terabyte
            b"\x02" + struct.pack(">Q", 2**64 - 1),
            b"\xff" + noise(self.numbers),
            command(b"SUBSCRIBE", noise(self.numbers)[:200]),
            command(b"PING", b"\xff\xff"),
            command(b"\xff" * 50, b""),
            b"\x01\x00" * 1000,  # empty frames without an end
            b"\x00\x05\x01hello\x00\x05\x00hello",
        ])  # fmt: skip
        kind = self.numbers.choice([b"DEALER", b"SUB"])
        self.say(GREETING, ready(kind), frame, spoil_bytes(self.numbers, frame))

    def say_nothing(self):
        """Connections that open, greet by half or whole, and stay."""
        if len(self.silent) >= self.OPEN_MAX:
            self.silent.pop(self.numbers.randrange(len(self.silent))).close()
        sock = self.open()
        self.silent.append(sock)
        with contextlib.suppress(OSError):
            sock.sendall(self.numbers.choice([b"", GREETING[:11], GREETING]))

    RARE = (send_oversize, read_nothing)
    COMMON = (
        send_spoilt, send_cut, send_noise, send_frames, register_and_report, reconnect,
        subscribe_to_noise, speak_http, speak_tls, speak_noise, greet_by_half,
        greet_wrongly, be_of_a_wrong_type, spoil_the_handshake, spoil_the_frames,
        say_nothing,
    )  # fmt: skip

    def attack(self):
        rare = self.attacks % 50 == 0
        self.numbers.choice(self.RARE if rare else self.COMMON)(self)
        self.attacks += 1


# --- tests ------------------------------------------------------------------------------


class HostileTest(ClusterTest):
    nginx_options = {"more": NGINX_BY_AGENT}
    # What was freed is kept for a while, to catch who still uses it: not for too long,
    # since memory is measured.
    sanitizer_options = "quarantine_size_mb=8"

    GROWTH_MAX_KIB = 65536 if SANITIZED else 24576
    LOG_LINES_MAX = 300 + 30 * ATTACK_S

    def setUp(self):
        super().setUp()
        print(f"MOLOTOV_TEST_SEED={SEED} ", end="", file=sys.stderr, flush=True)
        self.numbers = random.Random(SEED)

    def assert_small_log(self, daemon):
        log = daemon.log()
        self.assertLess(log.count("\n"), self.LOG_LINES_MAX, log[-4000:])
        self.assertLess(max(map(len, log.splitlines()), default=0), 3000)
        self.assertIsNone(re.search(r"[\x00-\x09\x0b-\x1f\x7f]", log), "control characters")

    def assert_flat(self, daemon, samples):
        """The memory of the last third is about that of the first one."""
        third = len(samples) // 3
        first, last = max(samples[:third]), max(samples[-third:])
        self.assertLess(last - first, self.GROWTH_MAX_KIB, f"{daemon.name}: {samples} KiB")


class Examples(unittest.TestCase):
    def test_are_all_there_are(self):
        with open(os.path.join(ROOT, "proto/messages.h"), encoding="utf-8") as file:
            table = re.findall(r"^    X\((\w+), \"", file.read(), re.MULTILINE)
        self.assertEqual(list(examples()), table)


class HostilePeers(HostileTest):
    def test_no_harm_to_a_run(self):
        cluster = self.cluster(2, "--agent-timeout", 5, tcp="127.0.0.1")
        running = self.begin(
            cluster, "--agents", 2, "-w", 3, "-d", ATTACK_S, "--delay", 0.01,
            scenario=ASK_BY_AGENT,
        )  # fmt: skip
        attacker = Attacker(cluster, self.numbers)
        self.addCleanup(attacker.close)
        attacker.victim = cluster.active_run()
        samples = self.attack(cluster, attacker)
        self.assertGreater(min(attacker.sent.values()), 0, attacker.sent)
        self.assertGreater(attacker.attacks, 100)

        run = self.finish(running, ATTACK_S + 60)
        self.assert_ended_well(run)
        self.assert_exact(run)
        self.assert_flat(cluster.broker, samples)
        for daemon in cluster.daemons():
            self.assert_small_log(daemon)
        self.check_that_all_is_well(cluster, attacker)

    def attack(self, cluster, attacker):
        """For ATTACK_S; the broker's memory in KiB, each second. It answers honest peers
        in between."""
        end = time.monotonic() + ATTACK_S
        samples = []
        while time.monotonic() < end:
            second = time.monotonic() + 1
            while time.monotonic() < second:
                attacker.attack()
            self.assertTrue(cluster.broker.is_running(), cluster.logs())
            answer = protocol.ask_once(cluster.frontend, "PING", 10, version=1)
            self.assertEqual(answer["message"], "PONG")
            samples.append(resident_kib(cluster.broker.pid))
        return samples

    def check_that_all_is_well(self, cluster, attacker):
        """Once the strangers are gone, nothing is left of them, and the next run works."""
        attacker.close()
        pid = cluster.broker.pid
        wait_until(lambda: descriptors(pid) < 60, "the broker to forget the strangers")
        cluster.wait_for_agents()  # and no others
        self.nginx.forget()
        run = self.load(cluster, 2, "-r", 5, scenario=ASK_BY_AGENT)
        self.assert_ended_well(run)
        self.assert_exact(run)

    def test_foreign_protocols_are_named(self):
        """An HTTP client and a TLS one are sent away, and the log says what they are not."""
        cluster = self.cluster(0, tcp="127.0.0.1")
        places = ("frontend", "backend", "publisher")
        with contextlib.ExitStack() as strangers:
            opened = []
            for place in places:
                for hello in (HTTP_REQUEST, TLS_HELLO):
                    port = int(getattr(cluster, place).rpartition(":")[2])
                    sock = socket.create_connection(("127.0.0.1", port), 30)
                    opened.append(strangers.enter_context(sock))
                    sock.sendall(hello)
            for sock in opened:
                with contextlib.suppress(ConnectionResetError):
                    while sock.recv(65536):  # until the broker closes it
                        pass
        for place in places:
            wait_until(
                lambda place=place: re.search(rf"{place}: .*ZeroMQ", cluster.broker.log()),
                f"a word about strangers on the {place}\n{cluster.broker.log()}",
            )
        self.assertEqual(cluster.ping()["message"], "PONG")


class HostileBroker(HostileTest):
    """A broker that says anything: to agents, which wait for a better one, and runners."""

    def spoilt(self, broker, *names):
        run = self.numbers.choice([RUN, "another"])
        name = self.numbers.choice(names)
        return spoil(self.numbers, name, examples(run, broker.endpoints)[name])

    # --- agents

    # No REFUSED as the answer to a PING or REGISTER: an agent ends at that.
    TO_AGENT = ["REGISTERED", "UNKNOWN", "BEAT", "PREPARE", "FILE", "START", "STOP", "ACK",
                "RELEASE"]  # fmt: skip

    def answer_agent(self, broker, place, route, message):
        if place == "frontend":
            broker.send_frames(place, route, self.spoilt(broker, *self.TO_AGENT, "PONG"))
            if self.numbers.randrange(2):
                broker.pong(route)
            return
        if message["message"] == "REGISTER" and self.numbers.randrange(2):
            broker.send(place, route, "REGISTERED", sequence=0)
        for _ in range(20):
            broker.send_frames(place, route, self.spoilt(broker, *self.TO_AGENT))
            broker.send_frames(place, route, noise(self.numbers))
        broker.send_frames(place, route, b"", b"more", b"frames")
        if self.numbers.randrange(4) == 0:
            right = self.numbers.choice(["PREPARE", "START", "RELEASE"])
            broker.send(place, route, right, **examples()[right])

    def test_agents_survive_it(self):
        broker = protocol.FakeBroker(self.answer_agent)
        self.addCleanup(broker.close)
        cluster = self.new_cluster(tcp="127.0.0.1")
        for place, endpoint in broker.endpoints.items():
            setattr(cluster, place, endpoint)
        agents = [cluster.add_agent() for _ in range(2)]
        samples = {agent: [] for agent in agents}
        for _ in range(max(10, ATTACK_S // 2)):
            time.sleep(1)
            for agent in agents:
                self.assertTrue(agent.is_running(), agent.log())
                samples[agent].append(resident_kib(agent.pid))
        self.assertGreater(broker.heard["REGISTER"], 1, broker.heard)
        self.assertGreater(broker.heard["BEAT"], 1, broker.heard)
        broker.close()
        for agent in agents:
            self.assert_flat(agent, samples[agent])
            self.assert_small_log(agent)
        self.check_with_a_real_broker(cluster)

    def check_with_a_real_broker(self, cluster):
        """On the same endpoints: the agents find it, and serve a run."""
        cluster.broker = cluster.new_broker().start()
        cluster.wait_for_agents()
        run = self.load(cluster, 2, "-r", 5, scenario=ASK_BY_AGENT)
        self.assert_ended_well(run)
        self.assert_exact(run)

    # --- runners

    COMMANDS = [
        ["--ping-broker"],
        ["--list-runs"],
        ["--stop", RUN],
        ["--attach", RUN],
        ["http://127.0.0.1:9/", "--agents", "1"],
    ]

    TO_RUNNER = ["PONG", "RUNS", "LACKS", "UPDATE", "ACCEPTED", "END_OF_RUN"]

    def answer_runner(self, broker, place, route, message):
        asked = message["message"]
        self.answered += 1
        if asked == "PING" and self.numbers.randrange(2):
            broker.pong(route)
        elif self.is_over.is_set():
            broker.send(place, route, "REFUSED", why="that was all")
        else:
            for _ in range(3):
                broker.send_frames(place, route, self.spoilt(broker, *self.TO_RUNNER))
            broker.send_frames(place, route, noise(self.numbers))
            for run in (RUN, message.get("job", {}).get("run-id", "")):
                broker.send_frames("publisher", run.encode(), self.spoilt(broker, "UPDATE"))
                broker.send_frames("publisher", run.encode(), noise(self.numbers), b"")

    def test_runners_survive_it(self):
        """Each command ends by itself or when it is told to, and shows no rubbish."""
        self.answered = 0
        self.is_over = threading.Event()
        broker = protocol.FakeBroker(self.answer_runner)
        self.addCleanup(broker.close)
        end = time.monotonic() + ATTACK_S / 2
        rounds = 0
        while rounds == 0 or time.monotonic() < end:
            self.run_all_commands(broker)
            rounds += 1
        self.assertGreater(self.answered, rounds)

    def run_all_commands(self, broker):
        self.is_over.clear()
        running = [
            self.start("--broker", broker.frontend, *command, outputs=len(command) > 2)
            for command in self.COMMANDS
        ]
        time.sleep(3)
        self.is_over.set()
        for each in running:
            run = each.wait(40)
            self.assertIn(run.status, (0, 1), run)
            self.assertIsNone(re.search(r"[\x00-\x08\x0e-\x1f]", run.stdout + run.stderr), run)
            self.assertLess(len(run.stderr), 100000)
            self.assert_no_sanitizer_report(run)

    # --- no broker at all

    NO_BROKER = "(does not speak ZeroMQ|does not answer as a broker does)"

    def serve_http(self, sock):
        """Answers whatever comes as a web server does."""
        while True:
            try:
                connection, _ = sock.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    def test_a_web_server_is_no_broker(self):
        """Its endpoint is named, and that somebody is there."""
        sock = socket.create_server(("127.0.0.1", 0))
        server = threading.Thread(target=self.serve_http, args=[sock])
        server.start()
        self.addCleanup(sock.close)
        self.addCleanup(server.join)
        self.addCleanup(sock.shutdown, socket.SHUT_RDWR)
        endpoint = f"tcp://127.0.0.1:{sock.getsockname()[1]}"
        run = self.run_molotov("--broker", endpoint, "--agents", 1, "http://127.0.0.1:9/")
        self.assert_status(run, 1)
        self.assertRegex(run.stderr, rf"{endpoint}.*{self.NO_BROKER}")
        cluster = self.new_cluster()
        cluster.frontend = endpoint
        agent = cluster.add_agent()
        wait_until(
            lambda: re.search(rf"{endpoint}.*{self.NO_BROKER}", agent.log()),
            f"the agent to say that there is no broker\n{agent.log()}",
        )
        self.assertTrue(agent.is_running(), agent.log())
        self.assert_small_log(agent)


if __name__ == "__main__":
    unittest.main()
