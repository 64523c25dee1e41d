"""What auto's first request to a host costs, and what it decides."""

import re
import unittest

from harness import NginxTest

PLAIN = 'SCENARIO(s) { mlt_check(mlt_get(session, "/")->status == 200); }\n'


class AutoTest(NginxTest):
    WORKERS, PROCESSES, RUNS = 20, 2, 5

    def accepted(self):
        """How many connections nginx has taken so far, the one that asks included."""
        status = self.nginx.get("/nginx-status")
        return int(re.search(r"^ (\d+) \d+ \d+ $", status, re.MULTILINE).group(1))

    def load(self, scenario=PLAIN):
        """The run, and how many connections it made."""
        before = self.accepted()
        run = self.run_molotov(
            "-k", "-w", self.WORKERS, "-p", self.PROCESSES, "-r", self.RUNS,
            "--transport", "auto", "--server-url", self.nginx.tls_url, scenario=scenario,
        )  # fmt: skip
        made = self.accepted() - before - 1
        self.assert_status(run, 0)
        self.assertEqual(run.totals["failed"], 0, run)
        self.assertEqual(run.document["replaced_connections"], 0, run)
        return run, made


class Http2(AutoTest):
    nginx_options = {"tls": True, "http2": True}

    def test_one_connection_more_for_each_process(self):
        """It carries no request: of what comes with the workers, nothing is HTTP/1.1."""
        run, made = self.load()
        everyone = self.WORKERS * self.PROCESSES
        log = self.assert_exact(run)
        self.assertEqual(len(log), everyone * self.RUNS, run)
        self.assertEqual({line.protocol for line in log}, {"HTTP/2.0"}, run)
        self.assertEqual(len({line.connection for line in log}), everyone, run)
        self.assertEqual(made, everyone + self.PROCESSES, run)
        self.assertEqual(run.document["connections"], everyone, run)
        self.assertEqual(run.document["transports"], {"curl": len(log), "direct": 0}, run)

    def test_post_is_made_once(self):
        """Also where it comes first, and is handed over."""
        run, _ = self.load(
            'SCENARIO(s) { mlt_check(mlt_post(session, "/orders", .body = "x")->status == 201); }'
        )
        log = self.assert_exact(run)
        self.assertEqual({line.method for line in log}, {"POST"})
        self.assertEqual(len(log), self.WORKERS * self.PROCESSES * self.RUNS, run)


class Http1(AutoTest):
    nginx_options = {"tls": True}

    def test_no_connection_more(self):
        run, made = self.load()
        everyone = self.WORKERS * self.PROCESSES
        log = self.assert_exact(run)
        self.assertEqual({line.protocol for line in log}, {"HTTP/1.1"}, run)
        self.assertEqual(made, everyone, run)
        self.assertEqual(run.document["connections"], everyone, run)
        self.assertEqual(run.document["transports"], {"curl": 0, "direct": len(log)}, run)


if __name__ == "__main__":
    unittest.main()
