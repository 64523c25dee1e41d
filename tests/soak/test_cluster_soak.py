"""What takes long on a cluster: exactness ten times in a row, runs without growth, faults
that last, faults at random, and fifty runs of bad code.

SOAK_SECONDS bounds it. From a minute on, the faults of system.cluster_faults are repeated
at the length that a person would ask for: runs of 20 s, and 10 s without an answer."""

import os
import random
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
import test_cluster_bad_code  # noqa: E402
import test_cluster_faults  # noqa: E402
import test_cluster_lost_agents  # noqa: E402
from cluster import NGINX_BY_AGENT, ClusterTest  # noqa: E402
from harness import resident_kib  # noqa: E402
from test_soak import SCENARIO, SECONDS, GrowthTest  # noqa: E402

LONG = SECONDS >= 60
BAD_RUNS = 50


class Exactness(ClusterTest):
    nginx_options = {"more": NGINX_BY_AGENT}

    def ten_times(self, agents):
        cluster = self.cluster(agents)
        for turn in range(10):
            with self.subTest(turn):
                self.nginx.forget()
                run = self.load(
                    cluster, agents, "-w", 100, "-d", min(10, SECONDS / 20), scenario=SCENARIO
                )
                self.assert_ended_well(run)
                log = self.assert_exact(run)
                self.assert_exact_statuses(run, log)
                self.assert_exact_bytes(run, log)
                print(f"turn {turn + 1}: {len(log)} requests logged, all counted", flush=True)

    def test_three_agents_ten_times_in_a_row(self):
        self.ten_times(3)

    def test_five_agents_ten_times_in_a_row(self):
        self.ten_times(5)


class Growth(ClusterTest, GrowthTest):
    def test_no_growth(self):
        """Of runner, broker, agents and slaves."""
        cluster = self.cluster(2)
        running = self.begin(
            cluster, "--agents", 2, "-w", 100, "-d", SECONDS, scenario=SCENARIO
        )  # fmt: skip
        self.wait_for_requests(1000, [running])
        pids = {daemon.name: daemon.pid for daemon in cluster.daemons()}
        pids["runner"] = running.process.pid
        for agent in cluster.agents:
            (pids[f"slave of {agent.name}"],) = agent.slaves()
        samples = self.watch(running, list(pids.values()))
        run = self.finish(running)
        self.assert_ended_well(run)
        self.assertEqual(run.totals["hits"], self.nginx.count(), run)
        self.assert_no_growth(list(pids), samples)


@unittest.skipUnless(LONG, "system.cluster_faults does it, for shorter")
class Broker(test_cluster_faults.Broker):
    RUN_S = 20
    AWAY_S = 10


@unittest.skipUnless(LONG, "system.cluster_faults does it, for shorter")
class CutNetwork(test_cluster_faults.CutNetwork):
    RUN_S = 20
    AWAY_S = 10


@unittest.skipUnless(LONG, "system.cluster_lost_agents does it, for shorter")
class LostAgents(test_cluster_lost_agents.LostAgents):
    RUN_S = 20
    AWAY_S = 10


class Anything(test_cluster_faults.FaultTest):
    """Faults at random, of everything but what an agent must not lose: its life."""

    RUN_S = min(60, SECONDS)

    def test_goes_wrong(self):
        seed = int(os.environ.get("SOAK_SEED") or random.randrange(1 << 32))
        print(f"SOAK_SEED={seed}", flush=True)
        chance = random.Random(seed)
        cluster = self.cluster(3)
        consoles = [self.begin_run(cluster, 3)]
        run_id = cluster.active_run()
        end = time.monotonic() + 0.8 * self.RUN_S
        while time.monotonic() < end:
            self.do_harm(chance, cluster, consoles)
            time.sleep(chance.random())
        consoles.append(self.attach(cluster, run_id))
        self.finish_all(*consoles)
        self.assert_clean(cluster)

    def do_harm(self, chance, cluster, consoles):
        broker = cluster.broker
        what = chance.choice(["kill", "kill late", "pause", "agents", "attach", "leave"])
        print(what, end=" ", flush=True)
        if what.startswith("kill"):
            broker.kill()
            time.sleep(chance.random() * 3 if what == "kill late" else 0)
            broker.start()
        elif what == "pause":
            self.pause([broker], chance.random() * 6)
        elif what == "agents":
            self.pause(chance.sample(cluster.agents, 2), chance.random() * 6)
        elif what == "attach":
            consoles.append(self.begin_to_watch(cluster))
        elif len(consoles) > 1:
            left = consoles.pop(chance.randrange(len(consoles)))
            left.process.kill()
            left.process.wait()

    def pause(self, daemons, seconds):
        for daemon in daemons:
            daemon.pause()
        time.sleep(seconds)
        for daemon in daemons:
            daemon.resume()


@unittest.skipUnless(LONG, "system.cluster_bad_code does it, but less often")
class BadCode(test_cluster_bad_code.BadCodeOnOneAgent):
    def test_fifty_runs(self):
        cluster = self.cluster(2)
        names = list(test_cluster_bad_code.BAD)
        before = self.open_descriptors(cluster)
        for turn in range(BAD_RUNS):
            with self.subTest(turn):
                self.check(cluster, names[turn % len(names)])
            if turn == BAD_RUNS // 5:
                memory = self.memory(cluster)
        self.assert_nothing_grew(cluster, before)
        for name, kib in self.memory(cluster).items():
            print(f"{name}: {memory[name]} KiB, later {kib} KiB", flush=True)
            self.assertLessEqual(kib, memory[name] * 1.05 + 2048, name)

    def memory(self, cluster):
        return {daemon.name: resident_kib(daemon.pid) for daemon in cluster.daemons()}


if __name__ == "__main__":
    unittest.main()
