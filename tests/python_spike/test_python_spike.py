"""Tests in Python, on the host interface that C tests have: the spike's program beside
nginx, whose access log is the witness of hits."""

import contextlib
import json
import os
import signal
import socket
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "system"))

from harness import PATIENCE_S, NginxTest, Running, listening_socket, wait_until  # noqa: E402

SPIKE = os.environ["PYTHON_SPIKE"]
WORKERS = 4

FIXTURES = """
import asyncio
import os
import molotov

@molotov.setup()
async def set_up(worker_id):
    await asyncio.sleep(0.01)
    print("setup", worker_id, flush=True)

@molotov.teardown()
async def tear_down(worker_id):
    print("teardown", worker_id, flush=True)
"""

GOOD = """
@molotov.scenario()
async def good(session):
    response = await session.get("/")
    assert response.status == 200
    assert response.text == '{"result": "OK"}', response.text
"""


class PythonTest(NginxTest):
    def start(self, script, *args):
        directory = self.path(f"run-{len(self.runs)}")
        path = self.write(f"run-{len(self.runs)}/loadtest.py", script)
        command = [SPIKE, path, "--server-url", self.nginx.url, "-w", str(WORKERS), *args]
        environment = self.environment(
            {"LSAN_OPTIONS": f"suppressions={HERE}/lsan.supp:print_suppressions=0"}
        )
        running = Running(command, directory, environment, self.mark, "")
        self.runs.append(running)
        return running

    def load(self, script, *args):
        return self.finish(self.start(script, *args))

    def totals_of(self, run, status=0):
        """The program's last line, after a check of what holds for every run."""
        self.assert_status(run, status)
        totals = json.loads(run.stdout.splitlines()[-1])
        self.assertFalse(totals["left_marked"], run)
        return totals

    def assert_counts(self, totals, **counts):
        self.assertEqual({name: totals[name] for name in counts}, counts, totals)

    def assert_fixtures(self, run):
        lines = sorted(run.stdout.splitlines()[:-1])
        expected = [f"{name} {i}" for name in ("setup", "teardown") for i in range(WORKERS)]
        self.assertEqual([line for line in lines if "etup" in line or "tear" in line],
                         expected, run)  # fmt: skip


class Counts(PythonTest):
    def test_hits_are_what_nginx_logged(self):
        run = self.load(FIXTURES + GOOD, "-r", "50")
        totals = self.totals_of(run)
        self.assert_counts(totals, ok=50 * WORKERS, failed=0, hits=self.nginx.count())
        self.assertEqual(totals["hits"], 50 * WORKERS)
        self.assert_fixtures(run)

    def test_each_kind_of_end(self):
        script = FIXTURES + GOOD + """
@molotov.scenario()
async def wrong(session):
    response = await session.get("/missing")
    assert response.status == 200

@molotov.scenario()
async def broken(session):
    await session.get("/")
    raise ValueError("as it should")

@molotov.scenario()
async def leaves(session):
    raise SystemExit(3)

@molotov.scenario()
async def waits(session):
    await asyncio.sleep(0.01)
"""
        totals = self.totals_of(self.load(script, "--single-run"))
        self.assert_counts(totals, ok=2 * WORKERS, failed=3 * WORKERS, cancelled=0)
        self.assert_counts(totals, hits=3 * WORKERS, hit_errors=0)
        self.assertEqual(self.nginx.count(), totals["hits"])
        places = {
            "AssertionError: assert response.status == 200": "assert response.status == 200\n\n",
            "ValueError: as it should": "raise ValueError",
            "SystemExit: 3": "raise SystemExit",
        }
        self.assertEqual(totals["errors"].keys(), places.keys())
        for message, text in places.items():
            line = script[: script.index(text)].count("\n") + 1
            self.assertIn(f"loadtest.py:{line};", totals["errors"][message])

    def test_the_rest_of_asyncio(self):
        """Threads wake the loop by its own pipe; sockets of the script are in libev."""
        script = FIXTURES + f"""
@molotov.scenario()
async def thread(session):
    assert await asyncio.to_thread(os.getpid) == os.getpid()

@molotov.scenario()
async def stream(session):
    reader, writer = await asyncio.open_connection("127.0.0.1", {self.nginx.ports[0]})
    writer.write(b"GET /nginx-status HTTP/1.0\\r\\n\\r\\n")
    assert b"Active connections" in await reader.read()
    writer.close()

@molotov.scenario()
async def left_behind(session):
    asyncio.create_task(asyncio.sleep(3600))
"""
        totals = self.totals_of(self.load(script, "--single-run"))
        self.assert_counts(totals, ok=3 * WORKERS, failed=0, hits=0)


class Requests(PythonTest):
    def test_a_refused_connection(self):
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
            script = FIXTURES + f"""
@molotov.scenario()
async def refused(session):
    await session.get("{url}")
"""
            totals = self.totals_of(self.load(script, "-r", "1"))
        self.assert_counts(totals, ok=0, failed=WORKERS, hits=0)
        [message] = totals["errors"]
        self.assertTrue(message.startswith(f"RequestError: GET {url}: "), message)

    def test_given_up_and_never_awaited(self):
        with listening_socket() as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
            script = FIXTURES + f"""
@molotov.scenario()
async def given_up(session):
    try:
        await asyncio.wait_for(session.get("{url}"), 0.2)
    except TimeoutError:
        pass
    assert (await session.get("/")).status == 200

@molotov.scenario()
async def never_awaited(session):
    session.get("{url}")

@molotov.scenario()
async def two_at_once(session):
    first = session.get("/")
    try:
        session.get("/")
    except RuntimeError:
        await first
"""
            totals = self.totals_of(self.load(script, "--single-run"))
        self.assert_counts(totals, ok=3 * WORKERS, failed=0, cancelled=0)
        self.assertEqual(self.nginx.count(), 2 * WORKERS)
        self.assertGreaterEqual(totals["hits"], 3 * WORKERS)


class Ends(PythonTest):
    def test_a_stop_in_the_middle(self):
        running = self.start(FIXTURES + GOOD)
        wait_until(lambda: self.nginx.lines() > 100, "a hundred requests")
        running.signal(signal.SIGINT)
        run = self.finish(running)
        totals = self.totals_of(run)
        self.assert_counts(totals, failed=0, cancelled=0, hits=self.nginx.count())
        self.assertEqual(totals["ok"], totals["hits"])
        self.assert_fixtures(run)

    def force(self, running):
        running.signal(signal.SIGINT)
        running.signal(signal.SIGINT)
        return self.finish(running)

    def test_a_forced_stop_of_requests(self):
        with listening_socket() as silent, contextlib.ExitStack() as stack:
            silent.settimeout(PATIENCE_S)
            running = self.start(FIXTURES + f"""
@molotov.scenario()
async def silent(session):
    await session.get("http://127.0.0.1:{silent.getsockname()[1]}/")
""")  # fmt: skip
            for _ in range(WORKERS):
                connection = stack.enter_context(silent.accept()[0])
                self.assertIn(b"GET /", connection.recv(65536))
            run = self.force(running)
        totals = self.totals_of(run)
        self.assert_counts(totals, ok=0, failed=0, cancelled=WORKERS)
        self.assert_counts(totals, hits=WORKERS, hit_errors=WORKERS)
        self.assert_fixtures(run)

    def test_a_forced_stop_of_what_is_no_request(self):
        running = self.start(FIXTURES + """
@molotov.scenario()
async def sleeps(session):
    print("asleep", flush=True)
    try:
        await asyncio.sleep(3600)
    finally:
        print("unwound", flush=True)
""")  # fmt: skip
        wait_until(lambda: running.stdout_so_far().count("asleep") == WORKERS, "sleepers")
        run = self.force(running)
        self.assert_counts(self.totals_of(run), ok=0, failed=0, cancelled=WORKERS, hits=0)
        self.assertEqual(run.stdout.count("unwound"), WORKERS)
        self.assert_fixtures(run)

    def test_a_setup_that_fails(self):
        run = self.load("""
import molotov

@molotov.setup()
async def set_up(worker_id):
    raise OSError("no data for the test")
""" + GOOD)  # fmt: skip
        totals = self.totals_of(run, status=1)
        self.assert_counts(totals, ok=0, failed=0, hits=0)
        self.assertIn("setup: OSError: no data for the test", totals["errors"])

    def test_a_script_that_cannot_be_loaded(self):
        for script in ("import nothing_of_that_name", "def broken(:", "x = 1"):
            with self.subTest(script):
                run = self.load(script)
                self.assert_status(run, 1)
                self.assertEqual((run.stdout, run.stderr.count("\n")), ("", 1), run)


if __name__ == "__main__":
    unittest.main()
