"""A test on a cluster counts as a local one does: what the report says is what nginx
logged, for each request and status, and each agent runs the whole job."""

import collections
import os
import unittest

from cluster import ASK_BY_AGENT, NGINX_BY_AGENT, ClusterTest
from test_counts import BROWSE_AND_BUY


class CountsTest(ClusterTest):
    nginx_options = {"more": NGINX_BY_AGENT}

    def assert_whole(self, run):
        """Every answer came, and is counted: also statuses and bytes are nginx's."""
        log = self.assert_exact(run)
        self.assert_exact_statuses(run, log)
        self.assert_exact_bytes(run, log)
        self.assertEqual(run.totals["hit_errors"], 0, run)
        self.assertEqual(run.totals["cancelled"], 0, run)
        return log


class WholeRuns(CountsTest):
    def check_agents(self, agents, processes, workers, **options):
        run = self.load(
            self.cluster(agents, **options), agents,
            "-p", processes, "-w", workers, "-d", 2, scenario=BROWSE_AND_BUY,
        )  # fmt: skip
        self.assert_ended_well(run)
        log = self.assert_whole(run)
        document = run.document
        everyone = agents * processes * workers
        self.assertGreater(len(log), everyone)
        self.assertEqual(run.totals["failed"], 0, run)
        self.assertEqual(run.totals["ok"], len(log), run)
        self.assertEqual(document["agents"], agents, run)
        self.assertEqual(document["processes"], agents * processes, run)
        self.assertEqual(document["workers"], everyone, run)
        self.assertEqual(document["workers_max"], everyone, run)
        self.assertEqual(document["connections"], everyone, run)
        self.assertEqual(len({line.connection for line in log}), everyone, run)
        self.assertIn(f"SUCCESSES: {run.totals['ok']} | FAILURES: 0", run.stdout)
        self.assertRegex(run.stdout, rf"\b{agents} agents?, ", run)

    def test_three_agents(self):
        self.check_agents(3, 1, 100)

    def test_five_agents_of_two_processes(self):
        self.check_agents(5, 2, 20)

    def test_three_agents_on_tcp(self):
        self.check_agents(3, 1, 20, tcp="127.0.0.1")

    def test_one_agent(self):
        self.check_agents(1, 1, 1)

    def test_fewer_agents_than_there_are(self):
        cluster = self.cluster(3)
        run = self.load(cluster, 2, "-w", 5, "-r", 4, scenario=ASK_BY_AGENT)
        self.assert_ended_well(run)
        self.assert_whole(run)
        self.assertEqual(run.totals["hits"], 2 * 5 * 4, run)
        self.assert_clean(cluster)

    def test_every_agent_runs_the_whole_job(self):
        """And each knows its index, from 0."""
        run = self.load(
            self.cluster(3), 3, "-p", 2, "-w", 5, "-r", 7, scenario=ASK_BY_AGENT
        )  # fmt: skip
        self.assert_ended_well(run)
        log = self.assert_whole(run)
        self.assertEqual(run.totals["ok"], 3 * 2 * 5 * 7, run)
        logged = collections.Counter(line.target for line in log)
        self.assertEqual(set(logged.values()), {2 * 5 * 7}, logged)
        indexes = {target.split("?")[0] for target in logged}
        agents = {target.split("?")[1] for target in logged}
        self.assertEqual(indexes, {"/agent/0", "/agent/1", "/agent/2"}, logged)
        self.assertEqual(len(agents), 3, logged)

    def test_failures_errors_and_counters(self):
        run = self.load(
            self.cluster(3), 3, "-w", 10, "-r", 20,
            scenario="""
            SCENARIO(missing)
            {
                mlt_count("asked", 1);
                mlt_check_int(mlt_get(session, "/missing?q=1")->status, 200);
            }
            SCENARIO(redirected)
            {
                mlt_count("asked", 1);
                mlt_check(mlt_get(session, "/redirect/2")->status == 200);
            }
            SCENARIO(own_words)
            {
                mlt_count("asked", 1);
                mlt_fail("not in the mood");
            }
            """,
        )  # fmt: skip
        self.assert_ended_well(run)
        self.assert_whole(run)
        missing, redirected, own = (
            run.scenario(name) for name in ("missing", "redirected", "own_words")
        )
        everything = 3 * 10 * 20
        self.assertEqual(missing["failed"] + redirected["ok"] + own["failed"], everything, run)
        self.assertEqual(run.document["counters"], {"asked": everything}, run)
        self.assertEqual(run.totals["hits"], missing["failed"] + 3 * redirected["ok"], run)
        counts = {
            "not in the mood" in message: count for message, count in run.messages().items()
        }
        self.assertEqual(counts, {True: own["failed"], False: missing["failed"]}, run)

    def test_many_labels_fold(self):
        """More labels than the report has rows for: totals stay exact."""
        run = self.load(
            self.cluster(3), 3, "-w", 2, "-r", 300,
            scenario="""
            SCENARIO(wide)
            {
                const long number = ((long)mlt_agent_index(session) * 2
                    + mlt_worker_id(session)) * 300 + mlt_step(session);
                mlt_get(session, mlt_format(session, "/wide/%ld", number));
            }
            """,
        )  # fmt: skip
        self.assert_ended_well(run)
        self.assert_sums(run)
        self.assertEqual(run.totals["hits"], 3 * 2 * 300, run)
        self.assertEqual(self.nginx.count(), 3 * 2 * 300, run)
        self.assertLessEqual(len(run.document["requests"]), 1001)
        self.assertIn("(other)", [row["name"] for row in run.document["requests"]])

    def test_a_url_is_a_test(self):
        run = self.load(self.cluster(2), 2, self.nginx.url + "/", "-w", 3, "-r", 5)
        self.assert_ended_well(run)
        self.assert_whole(run)
        self.assertEqual(run.totals["hits"], 2 * 3 * 5, run)

    def test_looks_like_a_local_run(self):
        """The same members in the document, the same lines in the report."""
        args = ("-w", 5, "-r", 4)
        spread = self.load(self.cluster(2), 2, *args, scenario=BROWSE_AND_BUY)
        local = self.run_molotov(
            *args, "--server-url", self.nginx.url, scenario=BROWSE_AND_BUY
        )  # fmt: skip
        self.assertEqual(list(spread.document), list(local.document), spread)
        self.assertEqual(local.document["agents"], 0, local)
        for part in ("totals", "requests", "scenarios", "intervals"):
            ours, theirs = spread.document[part], local.document[part]
            if isinstance(ours, list):
                ours, theirs = ours[0], theirs[0]
            self.assertEqual(list(ours), list(theirs), spread)
        self.assertEqual(
            [line.split(":")[0] for line in spread.stdout.splitlines() if "SUCCESSES" in line],
            [line.split(":")[0] for line in local.stdout.splitlines() if "SUCCESSES" in line],
        )

    def test_first_failure_stops_all_agents(self):
        run = self.load(
            self.cluster(3), 3, "-x", "-w", 10, "-d", 600,
            scenario="""
            SCENARIO(fails_once)
            {
                mlt_get(session, "/");
                mlt_check(!(mlt_agent_index(session) == 1 && mlt_worker_id(session) == 3
                            && mlt_step(session) == 20));
            }
            """,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.document["state"], "stopped", run)
        self.assertEqual(run.document["interrupted_by"], "--exception", run)
        self.assertEqual(run.totals["failed"], 1, run)
        self.assert_whole(run)

    def test_fail_is_the_status_of_the_whole(self):
        """--fail counts the failures of all agents."""
        scenario = 'SCENARIO(s) { mlt_fail("always"); }'
        cluster = self.cluster(3)
        for limit, status in ((9, 1), (10, 0)):
            with self.subTest(limit=limit):
                run = self.load(cluster, 3, "-r", 3, "--fail", limit, scenario=scenario)
                self.assert_status(run, status)
                self.assertEqual(run.totals["failed"], 9, run)
                cluster.wait_until_free()


class SeveralRuns(CountsTest):
    def of_path(self, name):
        return f'SCENARIO(s) {{ mlt_check(mlt_get(session, "{name}")->status == 200); }}'

    def test_two_at_once_never_mix(self):
        cluster = self.cluster(5)
        places = {"/agent/left": 2, "/agent/right": 3}
        started = [
            self.begin(
                cluster, "--agents", agents, "-w", 20, "-d", 3, scenario=self.of_path(place)
            )
            for place, agents in places.items()
        ]
        runs = [running.wait() for running in started]
        logged = collections.Counter(line.target for line in self.nginx.log())
        self.assertEqual(set(logged), set(places))
        for run, (place, agents) in zip(runs, places.items()):
            self.assert_ended_well(run)
            self.assert_sums(run)
            self.assertEqual(run.document["agents"], agents, run)
            self.assertEqual(run.document["workers_max"], agents * 20, run)
            self.assertEqual([row["name"] for row in run.document["requests"]],
                             [self.nginx.url + place], run)  # fmt: skip
            self.assertEqual(run.totals["hits"], logged[place], run)
        self.assertNotEqual(runs[0].document["run_id"], runs[1].document["run_id"])

    def test_one_after_the_other(self):
        """Agents serve one run after the other, and the runs have nothing in common."""
        cluster = self.cluster(2)
        for turn in range(4):
            with self.subTest(turn=turn):
                self.nginx.forget()
                run = self.load(
                    cluster, 2, "-w", 5, "-r", 4, scenario=self.of_path(f"/agent/{turn}")
                )
                self.assert_ended_well(run)
                self.assert_whole(run)
                self.assertEqual(run.totals["hits"], 2 * 5 * 4, run)
                cluster.wait_until_free()
        self.assert_clean(cluster)
        self.assertEqual([run["state"] for run in cluster.runs()], ["finished"] * 4)

    def test_an_agent_is_free_again_when_its_runner_says_so(self):
        """No run is refused because of one that the report says is over."""
        cluster = self.cluster(2)
        for turn in range(5):
            with self.subTest(turn=turn):
                run = self.load(cluster, 2, "-r", 1, scenario=self.of_path("/agent/x"))
                self.assert_ended_well(run)


class Travels(CountsTest):
    """The test goes to the agents with what it is made of."""

    def test_local_includes(self):
        """Also those beside and above the test's folder; the agents compile nothing here,
        but the files are there, where the test's folder is."""
        self.write(
            "lib/paths.h", '#define PLACE "/agent/of-a-header"\n#include "more/deep.h"\n'
        )
        self.write("lib/more/deep.h", "#define STATUS 200\n")
        test = self.write(
            "tests/here/loadtest.c",
            '#include <molotov.h>\n#include "../../lib/paths.h"\n'
            "SCENARIO(s) { mlt_check_int(mlt_get(session, PLACE)->status, STATUS); }\n",
        )
        run = self.load(self.cluster(2), 2, test, "-r", 3)
        self.assert_ended_well(run)
        self.assert_whole(run)
        self.assertEqual(run.totals["hits"], 2 * 3, run)

    def test_names_that_make_would_trip_over(self):
        place = "a place/of $x & \u00fc"
        self.write(f"{place}/my header.h", '#define PLACE "/agent/strange"\n')
        test = self.write(
            f"{place}/load test.c",
            '#include <molotov.h>\n#include "my header.h"\n'
            "SCENARIO(s) { mlt_get(session, PLACE); }\n",
        )
        run = self.load(self.cluster(2), 2, test, "-r", 3)
        self.assert_ended_well(run)
        self.assert_whole(run)
        self.assertEqual(run.totals["hits"], 2 * 3, run)

    def test_large_files(self):
        """Megabytes go to the agents; and once, however often the test is run."""
        header = self.write("test/large.h", "// as large as it gets\n" * (1 << 20))
        test = self.write(
            "test/loadtest.c",
            '#include <molotov.h>\n#include "large.h"\n'
            'SCENARIO(s) { mlt_get(session, "/agent/x"); }\n',
        )
        cluster = self.cluster(2)
        for _ in range(2):
            self.nginx.forget()
            run = self.load(cluster, 2, test, "-r", 3)
            self.assert_ended_well(run)
            self.assert_whole(run)
            cluster.wait_until_free()
        self.assertGreater(os.path.getsize(header), 20 << 20)
        self.assertLess(os.path.getsize(cluster.db), 30 << 20, "kept once")

    def test_a_compiled_test(self):
        """An object without its source runs where its stamp fits."""
        first = self.run_molotov(
            "-r", 1, "--server-url", self.nginx.url, scenario=ASK_BY_AGENT
        )  # fmt: skip
        self.assert_status(first, 0)
        self.nginx.forget()
        objects = [
            os.path.join(place, name)
            for place, _, names in os.walk(self.path("cache"))
            for name in names
            if name.endswith(".so")
        ]
        self.assertEqual(len(objects), 1)
        run = self.load(self.cluster(2), 2, objects[0], "-r", 3)
        self.assert_ended_well(run)
        self.assert_whole(run)
        self.assertEqual(run.totals["hits"], 2 * 3, run)

    def test_runs_in_its_own_directory(self):
        """A test finds itself in a directory of the run, which goes with it."""
        cluster = self.cluster(2)
        run = self.load(
            cluster, 2, "-r", 1,
            scenario="""
            #include <stdio.h>
            #include <unistd.h>
            SCENARIO(s)
            {
                char here[1000];
                mlt_check(getcwd(here, sizeof(here)) != NULL);
                mlt_print("here: %s", here);
                mlt_check(fopen("left-behind", "w") != NULL);
            }
            """,
        )  # fmt: skip
        self.assert_ended_well(run)
        self.assertEqual(run.totals["ok"], 2, run)
        self.assert_clean(cluster)
        for place, _, names in os.walk(self.directory):
            self.assertNotIn("left-behind", names, place)


if __name__ == "__main__":
    unittest.main()
