"""The protocol of a cluster, once more: an agent that makes its measurements up, a console
that follows a run, and a broker that says whatever a test wants.

Written from proto/README.md and the comment in stats/delta.c alone, on pyzmq and msgpack:
what works here, a program in another language can do. Nothing is shared with the programs
under test, so both must be right for a test to pass.
"""

import collections
import hashlib
import os
import random
import threading
import time

import msgpack
import zmq

from harness import PATIENCE_S

VERSION = 1
BEAT_S = 1.0
UNACKED_MAX = 4
BUCKETS = 1728


def pack(message, **fields):
    return msgpack.packb({"message": message, **fields})


def unpack(frame):
    """A message as a dict. Keys and values are whatever the sender put there."""
    return msgpack.unpackb(frame, strict_map_key=False)


def place_of(endpoint, reached):
    """An endpoint that a broker tells of, for one who reached the broker at `reached`."""
    for anywhere in ("tcp://0.0.0.0:", "tcp://[::]:", "tcp://*:"):
        if endpoint.startswith(anywhere):
            return reached.rpartition(":")[0] + ":" + endpoint[len(anywhere) :]
    return endpoint


# --- a histogram ------------------------------------------------------------------------


def bucket_of(value_us):
    if value_us < 128:
        return value_us
    doubling = value_us.bit_length() - 8
    return min(BUCKETS - 1, 128 + 64 * doubling + (value_us >> (doubling + 1)) - 64)


def put_number(number):
    """LEB128."""
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def get_numbers(data):
    numbers, number, shift = [], 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number, shift = 0, 0
    if shift:
        raise ValueError("a number is cut")
    return numbers


class Histogram:
    def __init__(self, values=()):
        self.sum_us = 0
        self.extremes = []  # the smallest and the largest, once there is a value
        self.buckets = collections.Counter()
        for value in values:
            self.record(value)

    @property
    def count(self):
        return self.buckets.total()

    def record(self, value_us):
        self.sum_us += value_us
        self.buckets[bucket_of(value_us)] += 1
        self.stretch([value_us])

    def stretch(self, values):
        if values := [*self.extremes, *values]:
            self.extremes = [min(values), max(values)]

    def merge(self, other):
        self.sum_us += other.sum_us
        self.buckets.update(other.buckets)
        self.stretch(other.extremes)

    def to_wire(self):
        written, after = b"", 0
        for bucket, count in sorted(self.buckets.items()):
            written += put_number(bucket - after) + put_number(count)
            after = bucket + 1
        low, high = self.extremes or (0, 0)
        return {"count": self.count, "sum_us": self.sum_us, "min_us": low, "max_us": high,
                "buckets": written}  # fmt: skip

    @classmethod
    def from_wire(cls, wire):
        histogram = cls()
        histogram.sum_us = wire["sum_us"]
        histogram.extremes = [wire["min_us"], wire["max_us"]] if wire["count"] else []
        numbers, bucket = get_numbers(wire["buckets"]), -1
        for skipped, count in zip(numbers[::2], numbers[1::2], strict=True):
            bucket += skipped + 1
            histogram.buckets[bucket] = count
        if histogram.count != wire["count"]:
            raise ValueError(f"the buckets count {histogram.count}, not {wire['count']}")
        return histogram


# --- what a delta measured --------------------------------------------------------------


class Request:
    SUMS = ("hits", "hit_errors", "unsent", "bytes_in", "bytes_out")

    def __init__(self):
        self.sums = collections.Counter()
        self.statuses = collections.Counter()
        self.latency = Histogram()
        self.phases = collections.defaultdict(Histogram)

    def record(self, latency_us, status=200, bytes_in=0, bytes_out=0):
        self.sums.update(hits=1, bytes_in=bytes_in, bytes_out=bytes_out)
        self.statuses[status] += 1
        self.latency.record(latency_us)

    def merge(self, other):
        self.sums.update(other.sums)
        self.statuses.update(other.statuses)
        self.latency.merge(other.latency)
        for name, phase in other.phases.items():
            self.phases[name].merge(phase)

    def to_wire(self):
        return {
            **{key: self.sums[key] for key in self.SUMS},
            "statuses": [n for pair in sorted(self.statuses.items()) for n in pair],
            "latency": self.latency.to_wire(),
            "phases": {name: phase.to_wire() for name, phase in sorted(self.phases.items())},
        }

    @classmethod
    def from_wire(cls, wire):
        request = cls()
        request.sums.update({key: wire[key] for key in cls.SUMS})
        request.statuses.update(dict(zip(wire["statuses"][::2], wire["statuses"][1::2])))
        request.latency = Histogram.from_wire(wire["latency"])
        for name, phase in wire["phases"].items():
            request.phases[name] = Histogram.from_wire(phase)
        return request


class Scenario:
    SUMS = ("ok", "failed", "cancelled")

    def __init__(self):
        self.sums = collections.Counter()
        self.latency = Histogram()

    def record(self, latency_us):
        self.sums["ok"] += 1
        self.latency.record(latency_us)

    def merge(self, other):
        self.sums.update(other.sums)
        self.latency.merge(other.latency)

    def to_wire(self):
        return {**{key: self.sums[key] for key in self.SUMS}, "latency": self.latency.to_wire()}

    @classmethod
    def from_wire(cls, wire):
        scenario = cls()
        scenario.sums.update({key: wire[key] for key in cls.SUMS})
        scenario.latency = Histogram.from_wire(wire["latency"])
        return scenario


class Error:
    def __init__(self):
        self.count = 0
        self.sample = None  # (when, what): the earliest, and of two at once the lesser

    def merge(self, other):
        self.count += other.count
        samples = [sample for sample in (self.sample, other.sample) if sample]
        self.sample = min(samples, default=None)

    def to_wire(self):
        return {"count": self.count, "sample_us": self.sample[0], "sample": self.sample[1]}

    @classmethod
    def from_wire(cls, wire):
        error = cls()
        error.count = wire["count"]
        error.sample = (wire["sample_us"], wire["sample"])
        return error


class Counter:
    def __init__(self):
        self.sums = collections.Counter()

    def merge(self, other):
        self.sums.update(other.sums)

    def to_wire(self):
        return {key: self.sums[key] for key in ("added", "taken")}

    @classmethod
    def from_wire(cls, wire):
        counter = cls()
        counter.sums.update({key: wire[key] for key in ("added", "taken")})
        return counter


class Stats:
    """What was measured, in one delta or in many."""

    TABLES = {
        "requests": ("name", Request),
        "scenarios": ("name", Scenario),
        "errors": ("message", Error),
        "counters": ("name", Counter),
    }

    def __init__(self):
        self.scalars = collections.Counter()
        self.tables = {
            name: collections.defaultdict(kind) for name, (_, kind) in self.TABLES.items()
        }
        self.lines = []

    def request(self, name):
        return self.tables["requests"][name]

    def scenario(self, name):
        return self.tables["scenarios"][name]

    def error(self, message, at_us, sample):
        """Counts one."""
        one = Error()
        one.count, one.sample = 1, (at_us, sample)
        self.tables["errors"][message].merge(one)

    def counter(self, name):
        return self.tables["counters"][name]

    def merge(self, other):
        self.scalars.update(other.scalars)
        for name, table in other.tables.items():
            for key, row in table.items():
                self.tables[name][key].merge(row)

    def to_wire(self, sequence, from_us, until_us):
        """A delta."""
        return {
            "seq": sequence,
            "from_us": from_us,
            "until_us": until_us,
            "scalars": {name: value for name, value in self.scalars.items() if value},
            **{
                name: [{key_name: key, **row.to_wire()} for key, row in sorted(table.items())]
                for (name, (key_name, _)), table in zip(
                    self.TABLES.items(), self.tables.values(), strict=True
                )
            },
            "lines": [{"kind": kind, "text": text} for kind, text in self.lines],
        }

    @classmethod
    def from_wire(cls, delta):
        stats = cls()
        stats.scalars.update(delta["scalars"])
        for name, (key_name, kind) in cls.TABLES.items():
            for row in delta[name]:
                stats.tables[name][row[key_name]] = kind.from_wire(row)
        stats.lines = [(line["kind"], line["text"]) for line in delta["lines"]]
        return stats

    def sums(self):
        """All that must agree, to be compared: lines are the one thing that may go."""
        whole = self.to_wire(0, 0, 0)
        for name in ("seq", "from_us", "until_us", "lines"):
            del whole[name]
        whole["scalars"].pop("lines_dropped", None)
        return whole

    def total(self, table, name):
        return sum(row.sums[name] for row in self.tables[table].values())


def made_up(seed, hits=50):
    """What an agent may have measured in an interval."""
    numbers = random.Random(seed)
    stats = Stats()
    for name in ("GET made-up", "POST made-up"):
        for _ in range(hits):
            latency_us = int(numbers.lognormvariate(9, 2))
            request = stats.request(name)
            request.record(latency_us, numbers.choice([200, 200, 404]), 100, 10)
            request.phases["first_byte"].record(latency_us * 9 // 10)
    stats.request("GET made-up").sums.update(hits=2, hit_errors=2, unsent=3)
    stats.scenario("dreamt").record(numbers.randrange(10**6))
    stats.scenario("dreamt").sums.update(failed=2, cancelled=1)
    stats.error("it was a dream", numbers.randrange(10**6), f"line {seed}")
    stats.counter("sheep").sums.update(added=seed + 5, taken=2)
    return stats


# --- sockets ----------------------------------------------------------------------------


class Peer:
    """A DEALER that talks to one ROUTER."""

    def __init__(self, context, endpoint):
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(endpoint)

    def send(self, message, **fields):
        self.socket.send(pack(message, **fields))

    def receive(self, timeout_s):
        """The next message; None where there is none in time."""
        if not self.socket.poll(max(0, 1000 * timeout_s)):
            return None
        return unpack(self.socket.recv())

    def ask(self, message, timeout_s=PATIENCE_S, **fields):
        """The answer to a request, which is repeated each second."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            self.send(message, **fields)
            answer = self.receive(1.0)
            if answer is not None:
                return answer
        raise AssertionError(f"no answer to {message} within {timeout_s} s")

    def close(self):
        self.socket.close()


def ask_once(endpoint, message, timeout_s=PATIENCE_S, **fields):
    with zmq.Context() as context:
        peer = Peer(context, endpoint)
        try:
            return peer.ask(message, timeout_s, **fields)
        finally:
            peer.close()


# --- an agent ---------------------------------------------------------------------------


class Agent:
    """An agent that measures nothing: a test says what it reports.

    It beats whenever it waits for something, so a test that waits is enough to keep it
    alive. All that came is in `heard`, by name of message."""

    def __init__(self, broker, name, version=VERSION):
        self.broker = broker
        self.name = name
        self.version = version
        self.instance = f"{os.getpid()}-{name}-{time.monotonic_ns()}"
        self.context = zmq.Context()
        self.backend = None
        self.claim = {}
        self.sent = {}  # sequence: the REPORT, until it is acknowledged
        self.held = 0
        self.beat_at = 0.0
        self.inbox = collections.deque()
        self.heard = collections.Counter()

    def __enter__(self):
        self.register()
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.backend is not None:
            self.backend.close()
        self.context.term()

    def find_backend(self):
        frontend = Peer(self.context, self.broker)
        pong = frontend.ask("PING", version=VERSION)
        frontend.close()
        return place_of(pong["backend"], self.broker)

    def register(self):
        """REGISTERs, on a new connection where there is none; the answer."""
        if self.backend is None:
            self.backend = Peer(self.context, self.find_backend())
        self.say_register()
        return self.wait("REGISTERED", "REFUSED")

    def say_register(self):
        self.backend.send(
            "REGISTER",
            version=self.version,
            instance=self.instance,
            name=self.name,
            host="python",
            pid=os.getpid(),
            temporary=False,
            **({"claim": self.claim} if self.claim else {}),
        )

    def beat(self):
        if self.heard["REGISTERED"] and time.monotonic() >= self.beat_at:
            self.backend.send("BEAT", **({"claim": self.claim} if self.claim else {}))
            self.beat_at = time.monotonic() + BEAT_S

    def hear(self, message):
        name = message["message"]
        self.heard[name] += 1
        if name == "UNKNOWN":
            self.say_register()
        elif name == "REGISTERED" and message.get("run") == self.claim.get("run"):
            self.take_held(message.get("sequence", 0))
            for sequence in sorted(self.sent):
                self.send_report(sequence)
        elif name == "ACK" and message["run"] == self.claim.get("run"):
            self.take_held(message["sequence"])
        elif name == "RELEASE":
            self.claim = {}
            self.sent.clear()

    def take_held(self, sequence):
        self.held = max(self.held, sequence)
        for old in [number for number in self.sent if number <= sequence]:
            del self.sent[old]

    def poll(self, timeout_s):
        """Beats, and takes what comes within this time."""
        self.beat()
        message = self.backend.receive(timeout_s)
        if message is not None:
            self.hear(message)
            self.inbox.append(message)

    def wait(self, *names, timeout_s=PATIENCE_S):
        """The next message of these names; what else comes before it is only heard."""
        end = time.monotonic() + timeout_s
        while True:
            while self.inbox:
                message = self.inbox.popleft()
                if message["message"] in names:
                    return message
            if time.monotonic() > end:
                raise AssertionError(f"{self.name} waited {timeout_s} s in vain for {names}; "
                                     f"it heard {dict(self.heard)}")  # fmt: skip
            self.poll(0.05)

    def wait_until_held(self, sequence, timeout_s=PATIENCE_S):
        end = time.monotonic() + timeout_s
        while self.held < sequence:
            if time.monotonic() > end:
                raise AssertionError(f"{sequence} is not acknowledged, {self.held} is")
            self.poll(0.05)

    # --- a run

    def prepare(self):
        """Waits for a PREPARE, and takes it."""
        prepare = self.wait("PREPARE")
        self.claim = {
            "run": prepare["job"]["run-id"],
            "state": "preparing",
            "stopping": False,
            "forced": False,
            "sequence": 0,
        }
        self.held = 0
        return prepare

    def fetch(self, sha256):
        """The content of a file of the run."""
        self.backend.send("FETCH", run=self.claim["run"], sha256=sha256)
        answer = self.wait("FILE", "REFUSED")
        if answer["message"] == "FILE" and (
            answer["sha256"] != sha256
            or hashlib.sha256(answer["content"]).hexdigest() != sha256
        ):
            raise AssertionError("another file came than was asked for")
        return answer

    def be_ready(self):
        self.claim["state"] = "ready"
        self.backend.send("READY", run=self.claim["run"])

    def begin(self):
        """From PREPARE to START."""
        prepare = self.prepare()
        self.be_ready()
        self.wait("START")
        self.claim["state"] = "running"
        return prepare

    def report(self, stats, **fields):
        """Sends the next REPORT; its number."""
        sequence = self.claim["sequence"] = self.claim["sequence"] + 1
        self.sent[sequence] = {
            "run": self.claim["run"],
            "delta": stats.to_wire(sequence, 1000000 * (sequence - 1), 1000000 * sequence),
            "lost": [],
            "ended": False,
            **fields,
        }
        self.send_report(sequence)
        return sequence

    def send_report(self, sequence):
        self.backend.send("REPORT", **self.sent[sequence])

    def end(self, **fields):
        """The last REPORT; returns when the broker has released the agent."""
        self.claim["state"] = "ended"
        self.report(Stats(), ended=True, **fields)
        self.wait("RELEASE")


# --- a console --------------------------------------------------------------------------


class Console:
    """Follows a run: what the broker publishes, and SNAPSHOTs where that has gaps."""

    SILENCE_S = 2.0

    def __init__(self, broker, run, drops=lambda update: False):
        """`drops`: which published updates are to be lost."""
        self.run = run
        self.drops = drops
        self.context = zmq.Context()
        self.frontend = Peer(self.context, broker)
        pong = self.frontend.ask("PING", version=VERSION)
        self.publisher = self.context.socket(zmq.SUB)
        self.publisher.linger = 0
        self.publisher.connect(place_of(pong["publisher"], broker))
        self.publisher.subscribe(run.encode())
        self.revision = 0
        self.stats = Stats()
        self.facts = None
        self.end = None
        self.asked_at = None  # a SNAPSHOT is under way
        self.news_at = time.monotonic()
        self.in_step = False  # the update published last was the next one
        self.counts = collections.Counter()

    def close(self):
        self.frontend.close()
        self.publisher.close()
        self.context.term()

    def ask(self):
        self.frontend.send("SNAPSHOT", version=VERSION, run=self.run, after=self.revision)
        self.asked_at = time.monotonic()
        self.counts["asked"] += 1

    def take_end(self, message):
        self.end = message
        self.facts = message["facts"]

    def take_update(self, update):
        """One that begins where we are; or a whole, instead of all we have."""
        if update["after"] not in (0, self.revision):
            return
        if update["after"] == 0:
            self.stats = Stats()
        self.stats.merge(Stats.from_wire(update["delta"]))
        self.revision = update["revision"]
        self.facts = update.get("facts", self.facts)
        self.counts["taken"] += 1

    def on_published(self, topic, message):
        if topic.decode() != self.run:
            return  # a run whose name begins like ours
        self.news_at = time.monotonic()
        if message["message"] == "END_OF_RUN":
            self.take_end(message)
        elif self.drops(message):
            self.counts["dropped"] += 1
        elif message["after"] == self.revision:
            self.take_update(message)
            self.in_step = True
        elif message["after"] > self.revision:
            # Nothing was lost of what came before the subscription was there, or while a
            # SNAPSHOT was under way: then this is no gap.
            if self.asked_at is None:
                self.counts["gaps" if self.in_step else "catches_up"] += 1
                self.ask()
            self.in_step = False

    def on_answer(self, message):
        self.asked_at = None
        self.news_at = time.monotonic()
        if message["message"] == "END_OF_RUN":
            self.take_end(message)
        elif message["message"] == "UPDATE":
            self.counts["answers"] += 1
            self.take_update(message)
        else:
            raise AssertionError(f"the broker answers {message}")

    def poll(self, timeout_s):
        now = time.monotonic()
        if self.facts is None and self.asked_at is None or (
            now - max(self.asked_at or 0, self.news_at) > self.SILENCE_S
        ):
            self.ask()
        poller = zmq.Poller()
        poller.register(self.publisher, zmq.POLLIN)
        poller.register(self.frontend.socket, zmq.POLLIN)
        ready = dict(poller.poll(1000 * timeout_s))
        if self.publisher in ready:
            topic, body = self.publisher.recv_multipart()
            self.on_published(topic, unpack(body))
        if self.frontend.socket in ready and (message := self.frontend.receive(0)):
            self.on_answer(message)

    def follow(self, timeout_s=PATIENCE_S):
        """Until the run is over; its END_OF_RUN."""
        end = time.monotonic() + timeout_s
        while self.end is None:
            if time.monotonic() > end:
                raise AssertionError(f"the run {self.run} does not end: {dict(self.counts)}")
            self.poll(0.1)
        return self.end


# --- a broker ---------------------------------------------------------------------------


class FakeBroker:
    """The sockets of a broker on loopback, and a thread that answers as a test wants.

    `answer(broker, place, route, message)` is called for each message that comes to the
    place "frontend" or "backend"; it answers with send() or send_frames()."""

    def __init__(self, answer, host="127.0.0.1"):
        self.answer = answer
        self.context = zmq.Context()
        self.sockets, self.endpoints = {}, {}
        for place, kind in (("frontend", zmq.ROUTER), ("backend", zmq.ROUTER),
                            ("publisher", zmq.PUB)):  # fmt: skip
            socket = self.sockets[place] = self.context.socket(kind)
            socket.linger = 0
            port = socket.bind_to_random_port(f"tcp://{host}")
            self.endpoints[place] = f"tcp://{host}:{port}"
        self.frontend = self.endpoints["frontend"]
        self.lock = threading.RLock()
        self.heard = collections.Counter()
        self.trouble = None
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        poller = zmq.Poller()
        for place in ("frontend", "backend"):
            poller.register(self.sockets[place], zmq.POLLIN)
        try:
            while not self.is_over.is_set():
                with self.lock:
                    ready = self.take_messages(poller)
                if not ready:
                    self.is_over.wait(0.002)
        except Exception as error:  # pylint: disable=broad-except
            self.trouble = error  # for close(): a thread cannot fail a test

    def send(self, place, route, message, **fields):
        self.send_frames(place, route, pack(message, **fields))

    def take_messages(self, poller):
        ready = dict(poller.poll(0))
        for place in ("frontend", "backend"):
            if self.sockets[place] in ready:
                route, body = self.sockets[place].recv_multipart()
                message = unpack(body)
                self.heard[message["message"]] += 1
                self.answer(self, place, route, message)
        return ready

    def send_frames(self, place, route, *frames):
        with self.lock:  # the test's thread sends, too, and a socket is for one at a time
            self.sockets[place].send_multipart([route, *frames])

    def pong(self, route, **fields):
        """A whole PONG, as of a broker without agents."""
        self.send("frontend", route, "PONG", **{
            "pid": os.getpid(), "program": "0.1.0", **self.endpoints, "temporary": False,
            "agents": [], "runs": [], **fields,
        })  # fmt: skip

    def close(self):
        self.is_over.set()
        self.thread.join()
        for socket in self.sockets.values():
            socket.close()
        self.context.term()
        if self.trouble is not None:
            raise self.trouble
