"""Counts are exact: what the report says is what nginx logged, however a run ends."""

import os
import signal
import unittest

from harness import NginxTest, wait_until
from hostile import Hostile

BROWSE_AND_BUY = """
SCENARIO(browse, .weight = 70)
{
    mlt_response *page = mlt_get(session, "/");
    mlt_check_int(page->status, 200);
    mlt_check_str(mlt_json_str(page, "result"), "OK");
}

SCENARIO(buy, .weight = 30)
{
    mlt_response *answer = mlt_post(session, "/orders", .json = "{\\"item\\": 1}");
    mlt_check_int(answer->status, 201);
}
"""

# One quick answer, and then one that does not come in the life of a test.
THEN_SLOW = """
SCENARIO(wait)
{
    mlt_get(session, "/");
    mlt_get(session, "/slow");
}
"""


class WholeRuns(NginxTest):
    """Runs in which every answer came: also statuses and bytes are nginx's."""

    def assert_whole(self, run):
        log = self.assert_exact(run)
        self.assert_exact_statuses(run, log)
        self.assert_exact_bytes(run, log)
        self.assertEqual(run.totals["hit_errors"], 0, run)
        self.assertEqual(run.totals["cancelled"], 0, run)
        return log

    def load(self, *args, scenario=BROWSE_AND_BUY):
        return self.run_molotov(*args, "--server-url", self.nginx.url, scenario=scenario)

    def test_two_processes_of_a_hundred_workers(self):
        run = self.load("-p", 2, "-w", 100, "-d", 2)
        self.assert_status(run, 0)
        log = self.assert_whole(run)
        document = run.document
        self.assertGreater(run.totals["hits"], 200)
        self.assertEqual(run.totals["failed"], 0, run)
        self.assertEqual(run.totals["ok"], run.totals["hits"], run)
        self.assertEqual(document["state"], "finished", run)
        self.assertIsNone(document["interrupted_by"], run)
        self.assertEqual(document["processes"], 2, run)
        self.assertEqual(document["workers_max"], 200, run)
        self.assertEqual(document["processes_lost"], [], run)
        self.assertEqual(len({line.connection for line in log}), 200, "one connection each")
        self.assertIn(f"SUCCESSES: {run.totals['ok']} | FAILURES: 0", run.stdout)

    def test_max_runs(self):
        run = self.load("-p", 2, "-w", 20, "--max-runs", 7)
        self.assert_status(run, 0)
        self.assert_whole(run)
        self.assertEqual(run.totals["ok"], 2 * 20 * 7, run)

    def test_redirects_are_hits_of_their_own(self):
        run = self.load(
            "-p", 2, "-w", 20, "-r", 10,
            scenario="""
            SCENARIO(follow)
            {
                mlt_response *page = mlt_get(session, "/redirect/2?and=more");
                mlt_check_int(page->status, 200);
                mlt_check_int(page->redirects, 2);
                mlt_check_str(mlt_json_str(page, "result"), "OK");
            }
            SCENARIO(stay)
            {
                mlt_response *page = mlt_get(session, "/redirect", .no_redirects = true);
                mlt_check_int(page->status, 302);
                mlt_check_int(page->redirects, 0);
            }
            SCENARIO(see_other)
            {
                mlt_response *page = mlt_post(session, "/post-redirect", .body = "x");
                mlt_check_int(page->status, 200);
            }
            """,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.totals["failed"], 0, run)
        self.assert_whole(run)
        follow, stay = run.scenario("follow")["ok"], run.scenario("stay")["ok"]
        other = run.scenario("see_other")["ok"]
        self.assertEqual(follow + stay + other, 2 * 20 * 10, run)
        self.assertEqual(run.totals["hits"], 3 * follow + stay + 2 * other, run)

    def test_redirect_loop(self):
        run = self.load("-w", 2, "-r", 3, scenario='SCENARIO(s) { mlt_get(session, "/loop"); }')
        self.assert_status(run, 0)
        self.assertEqual(run.totals["failed"], 6, run)
        self.assertEqual(run.totals["hits"], 6 * 11, run)
        self.assert_whole(run)

    def test_failures(self):
        run = self.load(
            "-p", 2, "-w", 20, "-r", 20,
            scenario="""
            SCENARIO(missing)
            {
                mlt_check_int(mlt_get(session, "/missing?q=1")->status, 200);
            }
            SCENARIO(broken)
            {
                mlt_check(mlt_get(session, "/broken")->status < 500);
            }
            SCENARIO(fine)
            {
                mlt_check(mlt_get(session, "/")->status == 200);
            }
            """,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assert_whole(run)
        bad = run.scenario("missing")["failed"] + run.scenario("broken")["failed"]
        self.assertEqual(run.totals["failed"], bad, run)
        self.assertEqual(run.totals["ok"] + bad, 2 * 20 * 20, run)
        self.assertEqual(sum(run.messages().values()), bad, run)
        samples = " ".join(error["sample"] for error in run.document["errors"])
        self.assertIn("404", samples, run)
        self.assertIn("loadtest.c:", samples + " ".join(run.messages()), run)

    def test_ramp_up_and_delay(self):
        run = self.load("-p", 2, "-w", 20, "-d", 2, "--ramp-up", 1, "--delay", 0.05)
        self.assert_status(run, 0)
        self.assert_whole(run)

    def test_many_labels_fold(self):
        """More labels than the report has rows for: totals stay exact."""
        run = self.load(
            "-p", 2, "-w", 2, "-r", 600,
            scenario="""
            SCENARIO(wide)
            {
                const long number = (mlt_process_index(session) * 2
                    + mlt_worker_id(session)) * 600 + mlt_step(session);
                mlt_get(session, mlt_format(session, "/wide/%ld", number));
            }
            """,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assert_sums(run)
        self.assertEqual(run.totals["hits"], 2 * 2 * 600, run)
        self.assertEqual(self.nginx.count(), 2 * 2 * 600, run)
        self.assertLessEqual(len(run.document["requests"]), 1001)
        self.assertIn("(other)", [row["name"] for row in run.document["requests"]])


class CutRuns(NginxTest):
    """Runs that end in the middle."""

    def begin(self, *args, scenario=BROWSE_AND_BUY, lines=500):
        """A run that would last long, once nginx has logged some of it."""
        running = self.start(*args, "-d", 600, "--server-url", self.nginx.url, scenario=scenario)
        wait_until(
            lambda: self.nginx.lines() >= lines or running.process.poll() is not None,
            f"{lines} requests",
        )
        return running

    def begin_slow(self, *args):
        """Two processes of 20 workers, when all of them wait for an answer."""
        running = self.begin("-p", 2, "-w", 20, *args, scenario=THEN_SLOW, lines=40)
        wait_until(
            lambda: "Writing: 41 " in self.nginx.get("/nginx-status"), "40 slow requests"
        )
        return running

    def assert_slow_were_cut(self, run):
        self.assert_exact(run)
        self.assertEqual(run.totals["hits"], 80, run)
        self.assertEqual(run.totals["hit_errors"], 40, run)
        self.assertEqual(run.totals["cancelled"], 40, run)
        self.assertEqual((run.totals["ok"], run.totals["failed"]), (0, 0), run)

    def assert_stopped(self, run, by):
        self.assert_status(run, 0)
        self.assertEqual(run.document["state"], "stopped", run)
        self.assertEqual(run.document["interrupted_by"], by, run)

    def test_sigint_lets_runs_finish(self):
        running = self.begin("-p", 2, "-w", 100)
        running.signal(signal.SIGINT)
        run = self.finish(running)
        self.assert_stopped(run, "SIGINT")
        log = self.assert_exact(run)
        self.assert_exact_statuses(run, log)
        self.assertEqual(run.totals["cancelled"], 0, run)
        self.assertEqual(run.totals["ok"], len(log), run)

    def test_sigterm_lets_runs_finish(self):
        running = self.begin("-p", 2, "-w", 20)
        running.signal(signal.SIGTERM)
        run = self.finish(running)
        self.assert_stopped(run, "SIGTERM")
        self.assert_exact(run)
        self.assertEqual(run.totals["cancelled"], 0, run)

    def test_sigint_with_one_process(self):
        running = self.begin("-w", 50)
        running.signal(signal.SIGINT)
        run = self.finish(running)
        self.assert_stopped(run, "SIGINT")
        self.assert_exact(run)

    def test_sigint_of_the_terminal_goes_to_all(self):
        """A terminal sends Ctrl-C to every process of the runner's group."""
        running = self.begin("-p", 2, "-w", 20)
        os.killpg(running.process.pid, signal.SIGINT)
        run = self.finish(running)
        self.assert_stopped(run, "SIGINT")
        self.assert_exact(run)
        self.assertEqual(run.totals["cancelled"], 0, run)

    def test_second_sigint_cuts_runs(self):
        running = self.begin_slow()
        running.signal(signal.SIGINT)
        running.signal(signal.SIGINT)
        run = self.finish(running)
        self.assert_stopped(run, "SIGINT")
        self.assert_slow_were_cut(run)

    def test_second_sigint_in_full_flow(self):
        running = self.begin("-p", 2, "-w", 100)
        running.signal(signal.SIGINT)
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGINT)
        run = self.finish(running)
        self.assert_stopped(run, "SIGINT")
        self.assert_exact(run)

    def test_stop_timeout_cuts_runs(self):
        running = self.begin_slow("--stop-timeout", 0.5)
        running.signal(signal.SIGINT)
        run = self.finish(running)
        self.assert_stopped(run, "SIGINT")
        self.assert_slow_were_cut(run)

    def test_force_shutdown_cuts_runs_at_the_end(self):
        run = self.run_molotov(
            "-p", 2, "-w", 20, "-d", 3, "--force-shutdown",
            "--server-url", self.nginx.url, scenario=THEN_SLOW,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.document["state"], "finished", run)
        self.assert_slow_were_cut(run)

    def test_first_failure_stops_all(self):
        run = self.run_molotov(
            "-x", "-p", 2, "-w", 20, "-d", 600, "--server-url", self.nginx.url,
            scenario="""
            SCENARIO(fails_once)
            {
                mlt_get(session, "/");
                mlt_check(!(mlt_process_index(session) == 1 && mlt_worker_id(session) == 3
                            && mlt_step(session) == 20));
            }
            """,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.document["state"], "stopped", run)
        self.assertEqual(run.totals["failed"], 1, run)
        self.assertEqual(run.totals["cancelled"], 0, run)
        log = self.assert_exact(run)
        self.assert_exact_statuses(run, log)


class Refused(NginxTest):
    """Where a target takes no requests, or drops them, hits are still its requests."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hostile = Hostile()
        cls.addClassCleanup(cls.hostile.close)

    def setUp(self):
        super().setUp()
        self.hostile.requests.clear()

    def test_refused_beside_fine(self):
        run = self.run_molotov(
            "-p", 2, "-w", 20, "-r", 20, "--server-url", self.nginx.url,
            scenario=f"""
            SCENARIO(fine) {{ mlt_get(session, "/"); }}
            SCENARIO(refused) {{ mlt_get(session, "{self.hostile.refused_url}"); }}
            """,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assert_sums(run)
        self.assertEqual(run.totals["hits"], self.nginx.count(), run)
        self.assertEqual(run.totals["hits"], run.scenario("fine")["ok"], run)
        self.assertEqual(run.totals["hit_errors"], 0, run)
        refused = run.scenario("refused")["failed"]
        self.assertGreater(refused, 0)
        self.assertEqual(run.totals["ok"] + refused, 2 * 20 * 20, run)
        self.assertEqual(sum(run.messages().values()), refused, run)

    def test_reset_after_the_request(self):
        run = self.run_molotov(
            "-p", 2, "-w", 20, "-r", 20, "--server-url", self.hostile.url("/"),
            scenario='SCENARIO(reset) { mlt_get(session, "/reset"); }',
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assert_sums(run)
        self.assertEqual(run.totals["failed"], 2 * 20 * 20, run)
        self.assertEqual(run.totals["hits"], self.hostile.count("/reset"), run)
        self.assertEqual(run.totals["hit_errors"], 2 * 20 * 20, run)

    def test_reset_before_the_request(self):
        """Whether a byte was written is a race here; nothing is counted twice."""
        run = self.run_molotov(
            "-p", 2, "-w", 10, "-r", 10,
            scenario=f'SCENARIO(reset) {{ mlt_get(session, "{self.hostile.reset_url}"); }}',
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assert_sums(run)
        self.assertEqual(run.totals["failed"], 200, run)
        self.assertLessEqual(run.totals["hits"], 200, run)
        self.assertEqual(run.totals["hit_errors"], run.totals["hits"], run)

    def test_kept_connections_that_end_unsaid(self):
        """The server ends a kept connection without a word: what was answered is what
        arrived whole, and nothing is sent again in silence."""
        run = self.run_molotov(
            "-p", 2, "-w", 10, "-r", 40, "--server-url", self.hostile.url("/"),
            scenario='SCENARIO(s) { mlt_get(session, "/says-nothing-closes"); }',
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assert_sums(run)
        totals = run.totals
        self.assertEqual(totals["ok"] + totals["failed"], 800, run)
        self.assertEqual(totals["hits"] - totals["hit_errors"], self.hostile.count(), run)
        self.assertEqual(totals["failed"] >= totals["hit_errors"], True, run)


if __name__ == "__main__":
    unittest.main()
