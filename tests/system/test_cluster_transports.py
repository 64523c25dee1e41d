"""Agents carry the requests of a run by the transport that the runner names."""

import unittest

from cluster import ClusterTest, RecordedRun
from hostile import Hostile
from test_counts import BROWSE_AND_BUY

AGENTS, WORKERS, RUNS = 2, 10, 20


class Transports(ClusterTest):
    nginx_options = {"tls": True, "http2": True}

    def check(self, transport, url, carried_by):
        run = self.load(
            self.cluster(AGENTS), AGENTS, "-k", "-w", WORKERS, "-r", RUNS,
            "--transport", transport, "--server-url", url, scenario=BROWSE_AND_BUY,
        )  # fmt: skip
        self.assert_ended_well(run)
        log = self.assert_exact(run)
        self.assert_exact_statuses(run, log)
        self.assertEqual(len(log), AGENTS * WORKERS * RUNS, run)
        self.assertEqual(run.totals["ok"], len(log), run)
        carried = {"curl": 0, "direct": 0, carried_by: len(log)}
        self.assertEqual(run.document["transports"], carried, run)
        self.assertEqual(run.document["connections"], AGENTS * WORKERS, run)
        self.assertRegex(run.stdout, rf"\n  transport +{carried_by}\n", run)
        return {line.protocol for line in log}

    def test_direct(self):
        self.assertEqual(self.check("direct", self.nginx.url, "direct"), {"HTTP/1.1"})

    def test_curl(self):
        self.assertEqual(self.check("curl", self.nginx.url, "curl"), {"HTTP/1.1"})

    def test_direct_where_http2_is_spoken(self):
        self.assertEqual(self.check("direct", self.nginx.tls_url, "direct"), {"HTTP/1.1"})

    def test_auto_where_http2_is_spoken(self):
        self.assertEqual(self.check("auto", self.nginx.tls_url, "curl"), {"HTTP/2.0"})

    def test_both_in_one_run(self):
        run = self.load(
            self.cluster(AGENTS), AGENTS, "-k", "-w", WORKERS, "-r", RUNS,
            "--transport", "auto",
            scenario=f"""
            SCENARIO(s)
            {{
                mlt_get(session, "/");
                mlt_get(session, "{self.nginx.tls_url}/orders");
            }}
            """,
        )  # fmt: skip
        self.assert_ended_well(run)
        log = self.assert_exact(run)
        each = AGENTS * WORKERS * RUNS
        self.assertEqual(len(log), 2 * each, run)
        self.assertEqual(run.document["transports"], {"curl": each, "direct": each}, run)
        self.assertRegex(
            run.stdout, rf"\n  transport +direct \({each} requests\), curl \({each}\)\n", run
        )

    def test_replaced_connections(self):
        """The server closes each connection with its second request."""
        hostile = Hostile()
        self.addCleanup(hostile.close)
        run = self.load(
            self.cluster(AGENTS), AGENTS, hostile.url("/closes-every-second"),
            "-w", WORKERS, "-r", 5, "--transport", "direct",
        )  # fmt: skip
        self.assert_ended_well(run)
        self.assert_sums(run)
        hits, replaced = AGENTS * WORKERS * 5, AGENTS * WORKERS * 4
        self.assertEqual((run.totals["ok"], run.totals["hits"]), (hits, hits), run)
        self.assertEqual(run.document["replaced_connections"], replaced, run)
        self.assertEqual(hostile.count(), hits + replaced, run)
        self.assertRegex(run.stdout, rf"over {hits} connections, {replaced} replaced\n", run)

    def test_unknown_name_on_the_wire(self):
        """Whoever speaks to a broker need not be a runner that checks its options."""
        cluster = self.cluster(AGENTS)
        recorded = RecordedRun(
            self, "--agents", AGENTS, "-r", 2, "--server-url", self.nginx.url,
            "--transport", "direct", scenario=BROWSE_AND_BUY,
        )  # fmt: skip
        self.assertEqual(recorded.run["job"]["transport"], "direct")
        for name in ("warp", "", "Direct"):
            with self.subTest(name):
                recorded.run["job"]["transport"] = name
                answer = recorded.send(cluster.frontend)
                self.assertEqual(answer["message"], "REFUSED", answer)
                for word in ("auto", "direct", "curl"):
                    self.assertIn(word, answer["why"], answer)
        self.assertEqual(self.nginx.count(), 0)
        run = self.load(cluster, AGENTS, "-r", 2, scenario=BROWSE_AND_BUY)
        self.assert_ended_well(run)


if __name__ == "__main__":
    unittest.main()
