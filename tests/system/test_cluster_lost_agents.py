"""An agent that dies takes what it had not delivered with it, and nothing else: the report
names it and what was counted of it, and nginx is the witness for each agent, as requests
carry its index."""

import collections
import os
import signal
import time
import unittest

from cluster import ASK_BY_AGENT
from harness import marked_processes, path_of, wait_until
from test_cluster_faults import SLOW_SETUP, FaultTest

AGENT_TIMEOUT_S = 3


class LostAgents(FaultTest):
    RUN_S = 6

    def by_agent(self, run):
        """{index: hits} as the report has it, and {index: lines} of the log."""
        reported = collections.Counter()
        for row in run.document["requests"]:
            reported[path_of(row["name"]).rpartition("/")[2]] += row["hits"]
        logged = collections.defaultdict(list)
        for line in self.nginx.log():
            logged[path_of(line.target).rpartition("/")[2]].append(line)
        return reported, logged

    def assert_witnessed(self, run, lost, when):
        """Those that live are counted to the last request; of a lost one at most what it
        did in its last 2 s is missing. `lost`: its name; `when`: its end."""
        reported, logged = self.by_agent(run)
        self.assert_sums(run)
        self.assertLessEqual(set(reported), set(logged), run)
        for index, lines in logged.items():
            names = {line.target.partition("?")[2] for line in lines}
            self.assertEqual(len(names), 1, f"agent {index} is one")
            if names != {lost}:
                self.assertEqual(reported[index], len(lines), run)
                continue
            lately = sum(line.ended_s >= when - 2 for line in lines)
            self.assertLessEqual(reported[index], len(lines), run)
            self.assertGreaterEqual(reported[index], len(lines) - lately, run)
        return reported

    def test_killed(self):
        cluster = self.cluster(3, "--agent-timeout", AGENT_TIMEOUT_S)
        victim = cluster.agents[1]
        running = self.begin_run(cluster, 3)
        self.let_it_last(self.RUN_S / 4, running)
        when = time.time()
        victim.kill()
        wait_until(lambda: not victim.slaves(), "its slave to be gone", patience_s=5)
        run = self.finish(running, self.RUN_S + 60)
        document = run.document
        self.assertEqual([lost["name"] for lost in document["agents_lost"]], [victim.name], run)
        self.assertGreaterEqual(document["duration_s"], self.RUN_S, run)
        self.assertIn(victim.name, run.stdout, run)
        reported = self.assert_witnessed(run, victim.name, when)
        self.assert_counted(run, reported)
        self.assert_serves_on(cluster, 2)

    def assert_counted(self, run, reported):
        """The report tells what of its figures are the lost agent's."""
        (lost,) = run.document["agents_lost"]
        counted = reported[str(lost["index"])]
        self.assertGreater(counted, 0, run)
        self.assertEqual((lost["hits"], lost["failed"]), (counted, 0), run)
        self.assertEqual(lost["counted"], True, run)
        self.assertGreater(lost["when"], 0, run)
        self.assertIn(f"{counted} hit", run.stdout, run)

    def assert_serves_on(self, cluster, agents):
        cluster.wait_for_agents()
        self.nginx.forget()
        run = self.load(cluster, agents, "-r", 5, scenario=ASK_BY_AGENT)
        self.assert_ended_well(run)
        self.assert_exact(run)
        self.assert_clean(cluster)

    def test_stopped_and_taken_back(self):
        """It was lost for the broker, and is back before the end: nothing is missing."""
        cluster = self.cluster(2, "--agent-timeout", AGENT_TIMEOUT_S)
        running = self.begin_run(cluster, 2)
        cluster.agents[0].pause()
        self.let_it_last(AGENT_TIMEOUT_S + 1, running)
        cluster.agents[0].resume()
        run = self.finish_all(running)
        self.assert_witnessed(run, None, 0)
        self.assert_clean(cluster)

    def test_all_killed(self):
        cluster = self.cluster(2, "--agent-timeout", AGENT_TIMEOUT_S)
        running = self.begin_run(cluster, 2)
        when = time.time()
        for agent in cluster.agents:
            agent.kill()
        run = self.finish(running)
        self.assert_status(run, 1)
        self.assertEqual(run.document["state"], "failed", run)
        self.assertIn("all agents were lost", run.document["failure"], run)
        self.assertEqual(
            sorted(lost["name"] for lost in run.document["agents_lost"]),
            sorted(agent.name for agent in cluster.agents),
            run,
        )
        self.assert_sums(run)
        log = self.nginx.log()
        lately = sum(line.ended_s >= when - 2 for line in log)
        self.assertLessEqual(run.totals["hits"], len(log), run)
        self.assertGreaterEqual(run.totals["hits"], len(log) - lately, run)
        self.assertEqual(len(self.run_directories()), 2, "what the dead had")
        cluster.add_agents(2)
        self.assertEqual(self.run_directories(), [], "which is removed by who comes next")
        self.assert_serves_on(cluster, 2)

    def test_killed_while_it_prepares(self):
        """Nothing starts, and the report says which agent it was."""
        cluster = self.cluster(2, "--agent-timeout", AGENT_TIMEOUT_S)
        running = self.begin(cluster, "--agents", 2, "-r", 10, scenario=SLOW_SETUP)
        wait_until(
            lambda: all(agent.slaves() for agent in cluster.agents), "slaves on all agents"
        )
        victim = cluster.agents[1]
        victim.kill()
        self.assert_never_began(self.finish(running), victim.name)
        self.assert_serves_on(cluster, 1)

    def test_killed_while_the_broker_is_down(self):
        cluster = self.cluster(3, "--agent-timeout", AGENT_TIMEOUT_S)
        victim = cluster.agents[2]
        running = self.begin_run(cluster, 3)
        cluster.broker.kill()
        # What it made since then nobody has: the witness counts from the broker's death.
        when = time.time()
        victim.kill()
        cluster.broker.start()
        run = self.finish(running, self.RUN_S + 60)
        self.assertEqual(
            [lost["name"] for lost in run.document["agents_lost"]], [victim.name], run
        )
        self.assert_witnessed(run, victim.name, when)

    def test_told_to_end(self):
        """SIGTERM: it stops its part, delivers it, and leaves; the others go on."""
        cluster = self.cluster(3)
        running = self.begin_run(cluster, 3, "-d", 3)
        leaver = cluster.agents[0]
        self.assertEqual(leaver.end(), 0, cluster.logs())
        self.assertEqual(marked_processes(leaver.mark), {})
        lines = self.nginx.lines()
        self.wait_for_requests(lines + 500, [running])
        run = self.finish(running, self.RUN_S + 60)
        self.assert_exact(run)
        self.assertGreaterEqual(run.document["duration_s"], 3, run)
        self.assert_serves_on(cluster, 2)

    def test_slave_killed(self):
        """The report names the process and its agent; the others go on."""
        cluster = self.cluster(2)
        running = self.begin_run(cluster, 2, "-d", 3)
        victim = cluster.agents[0]
        (slave,) = victim.slaves()
        os.kill(slave, signal.SIGKILL)
        run = self.finish(running, self.RUN_S + 60)
        self.assert_status(run, 1)
        self.assertEqual(run.document["state"], "failed", run)
        self.assertRegex(run.stdout, "SIGKILL", run)
        self.assertIn(victim.name, run.stdout, run)
        self.assertGreaterEqual(run.document["duration_s"], 3, run)
        self.assert_serves_on(cluster, 2)


if __name__ == "__main__":
    unittest.main()
