"""Names: how often they are looked up, what becomes of their addresses, and look-ups that
fail or hang. A preloaded getaddrinfo() (slow_lookup.c) answers, and counts."""

import collections
import contextlib
import os
import signal
import unittest

from harness import (
    SANITIZED,
    TRANSPORT,
    NginxTest,
    listening_socket,
    preloaded,
    read_text,
    wait_until,
)

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
LOOKUP = "the host's name cannot be looked up"
NO_CONNECTION = "no connection within the time-out"
# Counts the addresses of the server that had a request.
WHICH = """
SCENARIO(s)
{
    mlt_response *page = mlt_get(session, "/which");
    mlt_check_int(page->status, 200);
    mlt_count(page->body, 1);
}
"""


def sockets_of_one_port():
    """Listening on the same port of each host."""
    while True:
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(listening_socket(HOSTS[0]))]
            port = sockets[0].getsockname()[1]
            try:
                for host in HOSTS[1:]:
                    sockets.append(stack.enter_context(listening_socket(host, port)))
            except OSError:  # somebody has that port there
                continue
            stack.pop_all()
            return sockets


@unittest.skipIf(SANITIZED, "a sanitizer has to be the first of the preloaded objects")
class NamesTest(NginxTest):
    @classmethod
    def setUpClass(cls):
        sockets = sockets_of_one_port()
        cls.port = sockets[0].getsockname()[1]
        cls.nginx_options = {
            "sockets": sockets,
            "more": "location = /which { return 200 '$server_addr'; }",
        }
        super().setUpClass()
        cls.preload = preloaded(cls.nginx_directory, "slow_lookup")

    def lookups(self):
        """How often each name was looked up."""
        path = self.path("lookups")
        return collections.Counter(read_text(path).split() if os.path.exists(path) else [])

    def environment(self, extra=None):
        """With the names of this test; nobody listens at ::1, nor at 127.0.0.4 and 5."""
        answers = {
            "one.invalid": HOSTS[:1],
            "three.invalid": HOSTS,
            "half.invalid": ("127.0.0.4", HOSTS[1]),
            "closed.invalid": ("127.0.0.4", "127.0.0.5"),
            "both.invalid": ("::1", HOSTS[0]),
            "unknown.invalid": (),
            "app.localhost": (),
        }
        lines = [f"{name}={','.join(addresses)}" for name, addresses in answers.items()]
        return super().environment({
            "LD_PRELOAD": self.preload,
            "LOOKUP_ANSWERS": ";".join(lines),
            "LOOKUP_LOG": self.path("lookups"),
            "SLOW_LOOKUP_BEGUN": self.path("begun"),
            "SLOW_LOOKUP_UNTIL": self.path("until"),
            "SLOW_LOOKUP_OVER": self.path("over"),
            **(extra or {}),
        })  # fmt: skip

    def load(self, name, *args, scenario=WHICH):
        run = self.run_molotov(
            "--server-url", f"http://{name}:{self.port}", *args, scenario=scenario
        )
        self.assert_status(run, 0)
        self.assert_sums(run)
        return run

    def assert_all_fine(self, run, hits, connections):
        self.assertEqual(run.totals["failed"] + run.totals["unsent"], 0, run)
        log = self.assert_exact(run)
        self.assertEqual(len(log), hits, run)
        self.assertEqual(len({line.connection for line in log}), connections, run)
        self.assertEqual(run.document["connections"], connections, run)


class LookUps(NamesTest):
    def test_once_for_all_workers(self):
        run = self.load("one.invalid", "-w", 200, "-r", 3)
        self.assert_all_fine(run, hits=600, connections=200)
        self.assertEqual(self.lookups(), {"one.invalid": 1}, run)

    def test_once_for_each_process(self):
        run = self.load("one.invalid", "-w", 50, "-p", 3, "-r", 3)
        self.assert_all_fine(run, hits=450, connections=150)
        self.assertEqual(self.lookups(), {"one.invalid": 3}, run)

    def test_once_for_all_connections(self):
        """Which the server closes after each answer."""
        self.load(
            "one.invalid", "-w", 5, "-r", 10,
            scenario='SCENARIO(s) { mlt_get(session, "/", .headers = '
            'MLT_HEADERS("Connection: close")); }',
        )  # fmt: skip
        self.assertEqual(self.lookups(), {"one.invalid": 1})
        self.assertEqual(len({line.connection for line in self.nginx.log()}), 50)

    def test_phase(self):
        """Only who had to wait for it has had a look-up."""
        run = self.load("one.invalid", "-r", 5)
        phases = run.document["requests"][0]["phases_us"]
        self.assertEqual((phases["dns"]["count"], phases["connect"]["count"]), (1, 1), run)
        run = self.load("127.0.0.1", "-r", 5)
        phases = run.document["requests"][0]["phases_us"]
        self.assertEqual((phases["dns"]["count"], phases["connect"]["count"]), (0, 1), run)

    def test_localhost_that_the_system_does_not_know(self):
        run = self.load("app.localhost", "-w", 3, "-r", 4)
        self.assert_all_fine(run, hits=12, connections=3)
        self.assertEqual(self.lookups(), {"app.localhost": 1}, run)

    def test_unknown(self):
        run = self.load("unknown.invalid", "-w", 3, "-r", 4)
        self.assertEqual((run.totals["ok"], run.totals["failed"]), (0, 12), run)
        self.assertEqual((run.totals["hits"], run.totals["unsent"]), (0, 12), run)
        ((message, count),) = run.messages().items()
        self.assertEqual(message, f"GET http://unknown.invalid:{self.port}/which: {LOOKUP}", run)
        self.assertEqual(count, 12, run)
        self.assertEqual(self.nginx.count(), 0, run)
        # A failure is not kept, and whoever asks meanwhile waits for the same one.
        self.assertTrue(4 <= self.lookups()["unknown.invalid"] <= 12, run)

    def test_unknown_of_a_url(self):
        run = self.run_molotov("http://unknown.invalid/", "-w", 2, "-r", 2)
        self.assert_status(run, 0)
        self.assertEqual((run.totals["failed"], run.totals["hits"]), (4, 0), run)
        self.assertIn(LOOKUP, str(run.messages()), run)


class Addresses(NamesTest):
    def test_connections_take_them_in_turn(self):
        run = self.load("three.invalid", "-w", 30, "-r", 4)
        self.assert_all_fine(run, hits=120, connections=30)
        self.assertEqual(set(run.document["counters"]), set(HOSTS), run)
        if TRANSPORT == "curl":
            # Handles take over what they are given when they connect, and may meet the
            # addresses of the next one there.
            self.assertGreaterEqual(min(run.document["counters"].values()), 4 * 3, run)
            return
        self.assertEqual(run.document["counters"], {host: 40 for host in HOSTS}, run)

    def test_next_one_where_one_refuses(self):
        run = self.load("half.invalid", "-w", 20, "-r", 3)
        self.assert_all_fine(run, hits=60, connections=20)
        self.assertEqual(run.document["counters"], {HOSTS[1]: 60}, run)

    def test_other_family_where_one_refuses(self):
        run = self.load("both.invalid", "-w", 20, "-r", 3)
        self.assert_all_fine(run, hits=60, connections=20)
        self.assertEqual(run.document["counters"], {HOSTS[0]: 60}, run)

    def test_all_refuse(self):
        run = self.load("closed.invalid", "-w", 5, "-r", 3)
        self.assertEqual((run.totals["failed"], run.totals["unsent"]), (15, 15), run)
        self.assertEqual(run.totals["hits"], 0, run)
        ((message, count),) = run.messages().items()
        self.assertEqual(count, 15, run)
        self.assertTrue(message.endswith("cannot connect: Connection refused"), run)


class Hanging(NamesTest):
    """A look-up that hangs holds up who asked for it, and nobody else."""

    SCENARIO = """
        SCENARIO_PICKER() { return worker_id < 3 ? "slow" : "fast"; }
        SCENARIO(slow) { mlt_get(session, "http://slow.invalid/", .timeout = TIMEOUT); }
        SCENARIO(fast) { mlt_check(mlt_get(session, "/")->status == 200); }
    """

    def begin(self, timeout, *args):
        return self.start(
            "-w", 6, "-d", 600, "--server-url", f"http://one.invalid:{self.port}", *args,
            scenario=self.SCENARIO.replace("TIMEOUT", timeout),
        )  # fmt: skip

    def finish_at_once(self, running):
        """It does not wait for the look-up, which is told to go on by nobody."""
        run = self.finish(running)
        self.assert_status(run, 0)
        self.assert_sums(run)
        self.assertFalse(os.path.exists(self.path("over")), run)
        self.assertEqual(self.lookups()["one.invalid"], 1, run)
        self.assertEqual(run.scenario("fast")["failed"], 0, run)
        self.assertEqual(self.nginx.count(), run.totals["hits"], run)
        return run

    def test_time_out(self):
        """Others go on meanwhile, a first look-up of another name included."""
        running = self.begin("0.3")
        wait_until(lambda: "Failure!" in running.stdout_so_far(), "a time-out")
        lines = self.nginx.lines()
        wait_until(lambda: self.nginx.lines() > lines + 100, "the others to go on")
        running.signal(signal.SIGINT)
        run = self.finish_at_once(running)
        slow = run.scenario("slow")
        self.assertEqual((slow["ok"], slow["cancelled"]), (0, 0), run)
        self.assertGreaterEqual(slow["failed"], 1, run)
        self.assertEqual(
            run.messages(), {f"GET http://slow.invalid/: {NO_CONNECTION}": slow["failed"]}, run
        )
        self.assertEqual(run.totals["unsent"], slow["failed"], run)

    def test_forced_end(self):
        running = self.begin("300")
        wait_until(lambda: os.path.exists(self.path("begun")), "the look-up")
        lines = self.nginx.lines()
        wait_until(lambda: self.nginx.lines() > lines + 100, "the others to go on")
        running.signal(signal.SIGINT)
        running.signal(signal.SIGINT)
        run = self.finish_at_once(running)
        self.assertEqual(run.scenario("slow")["cancelled"], 3, run)
        self.assertEqual(run.totals["failed"], 0, run)


if __name__ == "__main__":
    unittest.main()
