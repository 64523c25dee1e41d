"""Connections that are kept from one request to the next, and servers that close them: what
takes their place, what is written again, and what fails (http/transport.h has the rules)."""

import os
import unittest

from harness import TRANSPORT, NginxTest, SystemTest, wait_until
from hostile import Hostile

KEPT_CLOSED = "the server closed the kept connection without an answer"

# A request that has to come after the server has closed is gated: the scenario waits for a
# file, which the test makes when nginx says that no connection is left. Each run that is
# over adds a byte to another file.
GATES = """
#include <fcntl.h>
#include <unistd.h>
static void pass_gate(mlt_session *session, long number)
{
    const char *const gate = mlt_format(session, "%s-%ld", getenv("TEST_GATE"), number);
    while (access(gate, F_OK) != 0)
        mlt_sleep(session, 0.01);
}
EVENTS(ear)
{
    if (event->kind == MLT_SCENARIO_SUCCESS || event->kind == MLT_SCENARIO_FAILURE) {
        const int fd = open(getenv("TEST_OVER"), O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (write(fd, "x", 1) == 1)
            close(fd);
    }
}
"""


class NginxClosesRested(NginxTest):
    """nginx closes what rests for too long, and says so to nobody."""

    ROUNDS = 4
    nginx_options = {
        "tls": True,
        "more": "location = /rest { keepalive_timeout 100ms; return 200 '{\"result\": \"OK\"}'; }",
    }

    def load_through_gates(self, request, url, workers, processes):
        """Each run of the scenario comes when nginx has closed all connections."""
        over = self.write("over", "")
        running = self.start(
            "-k", "-w", workers, "-p", processes, "-r", self.ROUNDS, "--server-url", url,
            env={"TEST_GATE": self.path("gate"), "TEST_OVER": over},
            scenario=GATES + f"""
            SCENARIO(s)
            {{
                pass_gate(session, mlt_step(session));
                mlt_check_int({request}->status, 200);
            }}
            """,
        )  # fmt: skip
        for number in range(1, self.ROUNDS + 1):
            self.write(f"gate-{number}", "")
            wait_until(
                lambda number=number: os.path.getsize(over) >= workers * processes * number
                or running.process.poll() is not None,
                f"round {number}",
            )
            self.nginx.settle()
        run = self.finish(running)
        self.assert_status(run, 0)
        self.assert_sums(run)
        return run

    def check(self, request, url, workers=5, processes=2):
        run = self.load_through_gates(request, url, workers, processes)
        log = self.assert_exact(run)
        everyone = workers * processes
        replaced = everyone * (self.ROUNDS - 1)
        self.assertEqual(run.totals["failed"], 0, run)
        self.assertEqual(run.totals["hit_errors"] + run.totals["unsent"], 0, run)
        self.assertEqual(len(log), everyone * self.ROUNDS, run)
        self.assertEqual(len({line.connection for line in log}), len(log), run)
        self.assertEqual(run.document["connections"], len(log), run)
        self.assertEqual(run.document["replaced_connections"], replaced, run)
        self.assertRegex(run.stdout, rf"over {len(log)} connections, {replaced} replaced\n", run)

    def test_get(self):
        self.check('mlt_get(session, "/rest")', self.nginx.url)

    def test_post(self):
        """Nothing of it was written yet: so it may go to another connection, too."""
        self.check('mlt_post(session, "/rest", .body = "x=1")', self.nginx.url)

    def test_get_over_tls(self):
        self.check('mlt_get(session, "/rest")', self.nginx.tls_url)

    @unittest.skipIf(TRANSPORT == "curl", "see the next one")
    def test_post_over_tls(self):
        self.check('mlt_post(session, "/rest", .body = "x=1")', self.nginx.tls_url)

    @unittest.skipUnless(TRANSPORT == "curl", "see the one before")
    def test_post_over_tls_by_curl(self):
        """libcurl takes TLS's farewell, which waits to be read, for a sign of life: so it
        writes the request, and then nobody knows what became of it. It is not repeated."""
        run = self.load_through_gates(
            'mlt_post(session, "/rest", .body = "x=1")', self.nginx.tls_url, 5, 2
        )
        self.assertEqual((run.totals["ok"], run.totals["failed"]), (20, 20), run)
        ((message, count),) = run.messages().items()
        self.assertEqual(count, 20, run)
        self.assertIn(KEPT_CLOSED, message, run)
        self.assertEqual(self.nginx.count(), 20, run)


class NginxSaysClose(NginxTest):
    """What the server announces is no surprise: nothing is replaced."""

    nginx_options = {
        "tls": True,
        "more": "location = /ten { keepalive_requests 10; return 200 '{\"result\": \"OK\"}'; }",
    }

    def check(self, url, request):
        run = self.run_molotov(
            "-k", "-w", 6, "-p", 2, "-r", 45, "--server-url", url,
            scenario=f"SCENARIO(s) {{ mlt_check_int({request}->status, 200); }}",
        )  # fmt: skip
        self.assert_status(run, 0)
        log = self.assert_exact(run)
        self.assertEqual(len(log), 2 * 6 * 45, run)
        self.assertEqual(run.totals["failed"] + run.totals["hit_errors"], 0, run)
        self.assertEqual(len({line.connection for line in log}), 2 * 6 * 5, run)
        self.assertEqual(run.document["connections"], 2 * 6 * 5, run)
        self.assertEqual(run.document["replaced_connections"], 0, run)
        self.assertNotIn("replaced", run.stdout, run)

    def test_get(self):
        self.check(self.nginx.url, 'mlt_get(session, "/ten")')

    def test_post(self):
        self.check(self.nginx.url, 'mlt_post(session, "/ten", .body = "x=1")')

    def test_over_tls(self):
        self.check(self.nginx.tls_url, 'mlt_get(session, "/ten")')


class ScriptedServer(SystemTest):
    def setUp(self):
        super().setUp()
        self.hostile = Hostile()
        self.addCleanup(self.hostile.close)

    def load(self, *args, scenario):
        run = self.run_molotov(
            *args, "--server-url", self.hostile.url("/"), scenario=scenario
        )
        self.assert_status(run, 0)
        self.assert_sums(run)
        return run

    def assert_counts(self, run, ok, failed, replaced, read):
        """`read`: requests that the server has read whole."""
        self.assertEqual((run.totals["ok"], run.totals["failed"]), (ok, failed), run)
        self.assertEqual(run.totals["hits"], ok + failed, run)
        self.assertEqual(run.totals["hit_errors"], failed, run)
        self.assertEqual(run.document["replaced_connections"], replaced, run)
        self.assertEqual(self.hostile.count(), read, run)


class ClosesWithoutAWord(ScriptedServer):
    """The server closes right after each answer, which promised to go on."""

    def test_get(self):
        run = self.load(
            "-w", 5, "-p", 2, "-r", 20,
            scenario='SCENARIO(s) { mlt_get(session, "/says-nothing-closes"); }',
        )  # fmt: skip
        self.assert_counts(run, ok=200, failed=0, replaced=190, read=200)
        self.assertEqual(self.hostile.connections, 200, run)

    def test_get_of_a_url(self):
        run = self.run_molotov(self.hostile.url("/says-nothing-closes"), "-w", 5, "-r", 20)
        self.assert_status(run, 0)
        self.assert_counts(run, ok=100, failed=0, replaced=95, read=100)

    def test_redirect(self):
        """A hop is a request as any other."""
        run = self.load(
            "-w", 5, "-r", 10,
            scenario="""
            SCENARIO(s)
            {
                mlt_get(session, "/says-nothing-closes");
                mlt_response *page =
                    mlt_get(session, "/redirect-elsewhere?/says-nothing-closes");
                mlt_check_int(page->redirects, 1);
            }
            """,
        )  # fmt: skip
        self.assertEqual(run.totals["ok"], 50, run)
        self.assertEqual(run.totals["hits"], 150, run)
        self.assertEqual(self.hostile.count(), 150, run)
        self.assertEqual(run.document["replaced_connections"], 5 * (2 * 10 - 1), run)


class EndsUnanswered(ScriptedServer):
    """The server reads the second request of each connection, and ends it. What is
    idempotent is written once more, on a new connection, and is one hit; what is not was
    perhaps done, and fails."""

    def check_idempotent(self, method, path):
        run = self.load(
            "-w", 3, "-r", 10,
            scenario=f"""
            SCENARIO(s)
            {{
                mlt_response *page = mlt_request(session, .method = "{method}", .url = "{path}");
                mlt_check_int(page->status, 200);
            }}
            """,
        )  # fmt: skip
        self.assert_counts(run, ok=30, failed=0, replaced=27, read=57)
        self.assertEqual(self.hostile.connections, 30, run)

    def test_get_that_is_closed(self):
        self.check_idempotent("GET", "/closes-every-second")

    def test_get_that_is_reset(self):
        self.check_idempotent("GET", "/resets-every-second")

    def test_delete(self):
        self.check_idempotent("DELETE", "/closes-every-second")

    def test_put_with_a_body(self):
        """The body goes again, too."""
        run = self.load(
            "-w", 2, "-r", 5,
            scenario="""
            SCENARIO(s)
            {
                char *body = mlt_alloc(session, 300001);
                memset(body, 'x', 300000);
                mlt_put(session, "/closes-every-second", .body = body);
            }
            """,
        )  # fmt: skip
        self.assert_counts(run, ok=10, failed=0, replaced=8, read=18)
        self.assertEqual({len(request.body) for request in self.hostile.seen}, {300000})

    def check_not_idempotent(self, method, path):
        run = self.load(
            "-w", 3, "-r", 10,
            scenario=f"""
            SCENARIO(s)
            {{
                mlt_response *page = mlt_request(session, .method = "{method}",
                                                 .url = "{path}", .body = "x=1");
                mlt_check_int(page->status, 200);
            }}
            """,
        )  # fmt: skip
        self.assert_counts(run, ok=15, failed=15, replaced=0, read=30)
        label = f"{method} {self.hostile.url(path)}"
        self.assertEqual(run.messages(), {f"{label}: {KEPT_CLOSED}": 15}, run)
        self.assertEqual(self.hostile.connections, 15, run)

    def test_post_that_is_closed(self):
        self.check_not_idempotent("POST", "/closes-every-second")

    def test_post_that_is_reset(self):
        self.check_not_idempotent("POST", "/resets-every-second")

    def test_patch(self):
        self.check_not_idempotent("PATCH", "/closes-every-second")

    def test_method_that_nobody_knows(self):
        self.check_not_idempotent("BREW", "/closes-every-second")

    def test_new_connection_is_never_replaced(self):
        for path in ("/close", "/reset"):
            with self.subTest(path):
                self.hostile.requests.clear()
                run = self.load(
                    "-w", 3, "-r", 5, scenario=f'SCENARIO(s) {{ mlt_get(session, "{path}"); }}'
                )
                self.assert_counts(run, ok=0, failed=15, replaced=0, read=15)
                self.assertNotIn("kept", str(run.messages()), run)

    def test_second_end_is_a_failure(self):
        """What is written again goes to a new connection, where nothing is repeated."""
        run = self.load(
            "-r", 5,
            scenario="""
            SCENARIO(s)
            {
                mlt_get(session, "/");
                mlt_get(session, "/close");
            }
            """,
        )  # fmt: skip
        self.assertEqual(run.totals["failed"], 5, run)
        self.assertEqual((run.totals["hits"], run.totals["hit_errors"]), (10, 5), run)
        self.assertEqual(self.hostile.count("/"), 5, run)
        self.assertEqual(self.hostile.count("/close"), 10, run)
        self.assertEqual(run.document["replaced_connections"], 5, run)


@unittest.skipIf(
    os.environ.get("MOLOTOV_TEST_TRANSPORT") == "curl",
    "libcurl 7.88 does not look for bytes on a connection that rests",
)
class SpeaksUnasked(ScriptedServer):
    """What comes on a connection that rests is the answer to nothing."""

    def check(self, request):
        """The address and the name of this host are two origins: what is asked of one rests
        while the other is asked to speak. Between two sleeps the loop has a look."""
        elsewhere = self.hostile.url("/let-it-speak").replace("127.0.0.1", "localhost")
        run = self.load(
            "-r", 6,
            scenario=f"""
            SCENARIO(s)
            {{
                mlt_check_int({request}->status, 200);
                mlt_get(session, "{elsewhere}");
                mlt_sleep(session, 0.01);
                mlt_sleep(session, 0.01);
            }}
            """,
        )  # fmt: skip
        self.assertEqual(run.totals["failed"], 0, run)
        self.assertEqual(run.totals["hits"], 12, run)
        self.assertEqual(self.hostile.count(), 12, run)
        self.assertEqual(run.document["replaced_connections"], 5, run)

    def test_get(self):
        self.check('mlt_get(session, "/speaks-unasked")')

    def test_post(self):
        self.check('mlt_post(session, "/speaks-unasked", .body = "x=1")')


if __name__ == "__main__":
    unittest.main()
