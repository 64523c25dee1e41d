"""Requests and answers on their way: large ones, slow ones, odd ones; and what becomes of
them where time runs out, or the test is forced to end, in each phase of a request."""

import signal
import socket
import unittest

from harness import SANITIZED, TRANSPORT, SystemTest, resident_kib, wait_until
from hostile import Hostile

NO_CONNECTION = "no connection within the time-out"
NO_ANSWER = "no complete answer within the time-out"


class TransferTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.hostile = Hostile()
        self.addCleanup(self.hostile.close)

    def load(self, *args, **options):
        run = self.run_molotov(*args, "--server-url", self.hostile.url("/"), **options)
        self.assert_status(run, 0)
        self.assert_sums(run)
        return run

    def all_fine(self, *args, **options):
        run = self.load(*args, **options)
        self.assertEqual((run.totals["failed"], run.totals["hit_errors"]), (0, 0), run)
        self.assertEqual(run.totals["hits"], self.hostile.count(), run)
        return run


class LargeAnswers(TransferTest):
    """Of 10 MB."""

    SIZE = 10_000_000

    def most_memory(self, running):
        """What the slave had at most, in KiB, sampled until it ends."""
        most = 0

        def sample():
            nonlocal most
            most = max([most, *(resident_kib(pid) for pid in running.slaves())])
            return running.process.poll() is not None

        wait_until(sample, "the end of the run")
        return most

    def check(self, *args, workers, most_mib, **options):
        running = self.start(*args, "-w", workers, "-r", 10, **options)
        most_kib = self.most_memory(running)
        run = self.finish(running)
        self.assert_status(run, 0)
        self.assert_sums(run)
        self.assertEqual((run.totals["ok"], run.totals["failed"]), (workers * 10, 0), run)
        self.assertEqual(run.totals["hits"], self.hostile.count(), run)
        self.assertEqual(run.document["connections"], workers, run)
        self.assertGreaterEqual(run.totals["bytes_in"], workers * 10 * self.SIZE, run)
        self.assertLess(run.totals["bytes_in"], workers * 10 * (self.SIZE + 1000), run)
        if not SANITIZED:
            self.assertLess(most_kib, most_mib * 1024, run)

    def test_discarded(self):
        """In less memory than a few of them would take."""
        url = self.hostile.url(f"/bytes?{self.SIZE}")
        self.check(url, workers=6, most_mib=32)

    def test_kept(self):
        """In no more memory than each worker's one takes, while it grows."""
        self.check(
            "--server-url", self.hostile.url("/"), workers=3, most_mib=3 * 4 * 10 + 32,
            scenario=f"""
            SCENARIO(s)
            {{
                mlt_response *page = mlt_get(session, "/bytes?{self.SIZE}");
                mlt_check_int(page->body_length, {self.SIZE});
                mlt_check_int(strspn(page->body, "x"), {self.SIZE});
            }}
            """,
        )  # fmt: skip


class LargeRequests(TransferTest):
    """Larger than what the kernel takes at once, to servers that are in no hurry."""

    def test_slow_reader(self):
        run = self.all_fine(
            "-w", 2, "-r", 2,
            scenario="""
            static char body[10000000];
            SCENARIO(s)
            {
                memset(body, 'x', sizeof body);
                mlt_response *page = mlt_post(session, "/slow-read", .body = body,
                                              .body_length = sizeof body);
                mlt_check_str(page->body, "10000000");
            }
            """,
        )  # fmt: skip
        self.assertEqual(run.totals["hits"], 4, run)
        self.assertEqual(run.document["connections"], 2, run)
        self.assertEqual(run.totals["bytes_out"], self.hostile.bytes_in, run)

    def test_answer_before_the_body_is_read(self):
        """It is whole, whatever becomes of the body; and the connection is of no use more."""
        run = self.all_fine(
            "-w", 2, "-r", 3,
            scenario="""
            static char body[20000000];
            SCENARIO(s)
            {
                mlt_response *page = mlt_post(session, "/too-large", .body = body,
                                              .body_length = sizeof body);
                mlt_check_int(page->status, 413);
            }
            """,
        )  # fmt: skip
        self.assertEqual(run.totals["hits"], 6, run)
        self.assertEqual(run.document["connections"], 6, run)
        self.assertEqual(run.document["replaced_connections"], 0, run)
        self.assertLess(run.totals["bytes_out"], 6 * 20_000_000, run)


class OddAnswers(TransferTest):
    """All whole, on one connection each, also where the next request shows whether the last
    answer's end was seen."""

    def check(self, request, check, *, after="GET /"):
        method, path = after.split()
        run = self.all_fine(
            "-w", 3, "-r", 4,
            scenario=f"""
            SCENARIO(s)
            {{
                mlt_response *page = {request};
                mlt_check({check});
                page = mlt_request(session, .method = "{method}", .url = "{path}");
                mlt_check_str(mlt_json_str(page, "result"), "OK");
            }}
            """,
        )  # fmt: skip
        self.assertEqual(run.totals["hits"], 3 * 4 * 2, run)
        self.assertEqual(run.document["connections"], 3, run)
        self.assertEqual(run.document["replaced_connections"], 0, run)

    def test_head(self):
        """The length is that of a body which does not come."""
        self.check(
            'mlt_head(session, "/head")',
            'page->status == 200 && page->body_length == 0 && '
            '!strcmp(mlt_header(page, "Content-Length"), "1000")',
        )  # fmt: skip

    def test_not_modified(self):
        self.check(
            'mlt_get(session, "/not-modified")',
            "page->status == 304 && page->body_length == 0",
        )

    def test_no_content(self):
        self.check(
            'mlt_get(session, "/no-content")', "page->status == 204 && page->body_length == 0"
        )

    def test_interim_answers(self):
        """Those are no answers, and what they say is not the answer's."""
        self.check(
            'mlt_get(session, "/hints")',
            'page->status == 200 && mlt_header(page, "X-Hint") == NULL && '
            '!strcmp(mlt_json_str(page, "result"), "OK")',
        )

    def test_trailers(self):
        """A trailer changes no header."""
        self.check(
            'mlt_get(session, "/trailers")',
            'page->body_length == 16 && !strcmp(mlt_json_str(page, "result"), "OK") && '
            'mlt_header(page, "X-Sum") == NULL',
        )

    def test_byte_by_byte(self):
        self.check(
            'mlt_get(session, "/chunks-byte-by-byte")',
            'page->body_length == 16 && !strcmp(mlt_json_str(page, "result"), "OK")',
            after="GET /byte-by-byte",
        )


# --- where it ends in the middle --------------------------------------------------------


class FullQueue:
    """A socket of tcp that listens, and whose queue is full: who connects hears nothing."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port = self.server.getsockname()[1]
        self.clients = []

    def fill(self):
        """False: this kernel takes whoever comes."""
        for _ in range(8):
            client = socket.socket()
            self.clients.append(client)
            client.settimeout(0.2)
            try:
                client.connect(("127.0.0.1", self.port))
            except TimeoutError:
                return True
        return False

    def close(self):
        for sock in [self.server, *self.clients]:
            sock.close()


SYN_SENT, ESTABLISHED = "02", "01"


def sockets_to(port, state):
    """How many sockets of this host are in that state on their way to a port."""
    with open("/proc/net/tcp", encoding="utf-8") as file:
        rows = [line.split() for line in list(file)[1:]]
    return sum(int(row[2].split(":")[1], 16) == port and row[3] == state for row in rows)


class Phase:
    """A request that stays in one phase for ever."""

    def __init__(self, request, is_there, failure, path=None):
        self.request = request
        self.is_there = is_there  # whether so many workers have come to it
        self.failure = failure
        self.path = path  # where the server counts it; None: nothing is written


class Phases(TransferTest):
    """Three workers, each with one request, which never gets on."""

    WORKERS = 3

    def scenario(self, phase):
        return f"""
        static char body[20000000] __attribute__((unused));
        SCENARIO(s)
        {{
            {phase.request};
        }}
        """

    def check_time_out(self, phase):
        """Each fails, in the words of the phase, and the worker goes on."""
        phase.request = phase.request.replace("TIMEOUT", "0.3")
        run = self.run_molotov(
            "-w", self.WORKERS, "-r", 2, scenario=self.scenario(phase)
        )
        self.assert_status(run, 0)
        self.assert_sums(run)
        requests = self.WORKERS * 2
        hits = requests if phase.path else 0
        self.assertEqual((run.totals["ok"], run.totals["failed"]), (0, requests), run)
        self.assertEqual((run.totals["hits"], run.totals["hit_errors"]), (hits, hits), run)
        self.assertEqual(run.totals["unsent"], requests - hits, run)
        ((message, count),) = run.messages().items()
        self.assertTrue(message.endswith(": " + phase.failure), run)
        self.assertEqual(count, requests, run)
        self.assert_server_saw(phase, hits, run)

    def check_forced_end(self, phase):
        phase.request = phase.request.replace("TIMEOUT", "300")
        running = self.start(
            "-w", self.WORKERS, "-d", 600, scenario=self.scenario(phase)
        )
        wait_until(
            lambda: phase.is_there(self.WORKERS) or running.process.poll() is not None,
            "all workers to be there",
        )
        running.signal(signal.SIGINT)
        running.signal(signal.SIGINT)
        run = self.finish(running)
        self.assert_cut(phase, run, "stopped")

    def check_force_shutdown(self, phase):
        """The same by an option, when the time is over."""
        phase.request = phase.request.replace("TIMEOUT", "300")
        run = self.run_molotov(
            "-w", self.WORKERS, "-d", 0.5, "--force-shutdown",
            scenario=self.scenario(phase),
        )  # fmt: skip
        self.assert_cut(phase, run, "finished")

    def assert_cut(self, phase, run, state):
        self.assert_status(run, 0)
        self.assert_sums(run)
        hits = self.WORKERS if phase.path else 0
        self.assertEqual(run.document["state"], state, run)
        self.assertEqual((run.totals["ok"], run.totals["failed"]), (0, 0), run)
        self.assertEqual(run.totals["cancelled"], self.WORKERS, run)
        self.assertEqual((run.totals["hits"], run.totals["hit_errors"]), (hits, hits), run)
        transports = run.document["transports"]
        self.assertEqual(
            sum(transports.values()), run.totals["hits"] + run.totals["unsent"], run
        )
        self.assert_server_saw(phase, hits, run)

    def assert_server_saw(self, phase, hits, run):
        """What was cut may not have been read yet."""
        wait_until(lambda: self.hostile.count() >= hits, f"{hits} requests to be read")
        self.assertEqual(self.hostile.count(), hits, run)
        if phase.path is not None:
            self.assertEqual(self.hostile.count(phase.path), hits, run)

    # --- the phases

    def connecting(self):
        queue = FullQueue()
        self.addCleanup(queue.close)
        if not queue.fill():
            self.skipTest("this kernel lets any number of clients wait in a queue of one")
        before = sockets_to(queue.port, SYN_SENT)
        return Phase(
            f'mlt_get(session, "http://127.0.0.1:{queue.port}/", .timeout = TIMEOUT)',
            lambda count: sockets_to(queue.port, SYN_SENT) >= before + count,
            NO_CONNECTION,
        )

    def handshaking(self):
        """The server says nothing to the client's greeting."""
        url = self.hostile.silent_url.replace("http:", "https:")
        port = self.hostile.quiet.getsockname()[1]
        return Phase(
            f'mlt_get(session, "{url}", .timeout = TIMEOUT)',
            lambda count: sockets_to(port, ESTABLISHED) >= (1 if self.leads() else count),
            NO_CONNECTION,
        )

    def leads(self):
        """With auto one makes a connection, and the others wait for what it hears."""
        return TRANSPORT in (None, "auto")

    def asked(self, path, request, failure=NO_ANSWER):
        return Phase(
            request.replace("URL", self.hostile.url(path)),
            lambda count: self.hostile.count(path) >= count,
            failure,
            path,
        )

    def writing(self):
        return self.asked(
            "/never-reads",
            'mlt_post(session, "URL", .body = body, .body_length = sizeof body,'
            " .timeout = TIMEOUT)",
        )

    def waiting(self):
        return self.asked("/silent", 'mlt_get(session, "URL", .timeout = TIMEOUT)')

    def reading_the_head(self):
        return self.asked("/half-head-silent", 'mlt_get(session, "URL", .timeout = TIMEOUT)')

    def reading_the_body(self):
        return self.asked("/half-body-silent", 'mlt_get(session, "URL", .timeout = TIMEOUT)')

    def reading_without_end(self):
        """More comes all the time."""
        return self.asked(
            "/endless-body",
            'mlt_get(session, "URL", .timeout = TIMEOUT, .discard_body = true)',
        )


PHASES = (
    "connecting",
    "handshaking",
    "writing",
    "waiting",
    "reading_the_head",
    "reading_the_body",
    "reading_without_end",
)


def add_phase(name):
    for check in ("time_out", "forced_end", "force_shutdown"):

        def test(self, check=check):
            getattr(self, f"check_{check}")(getattr(self, name)())

        setattr(Phases, f"test_{check}_while_{name}", test)


for phase_name in PHASES:
    add_phase(phase_name)


if __name__ == "__main__":
    unittest.main()
