"""The totals are exact whatever happens to the broker or to the network: what nginx logged
is what the report says, and all who look see it.

RUN_S and AWAY_S are short here; tests/soak runs the same for longer."""

import collections
import os
import signal
import time
import unittest

from cluster import ASK_BY_AGENT, NGINX_BY_AGENT, ClusterTest, Network
from harness import marked_processes, path_of, wait_until

# What a test does at global_setup, which takes a while.
SLOW_SETUP = """
#include <unistd.h>
GLOBAL_SETUP() { usleep(2500000); }
SCENARIO(s) { mlt_get(session, "/agent/0"); }
"""


class FaultTest(ClusterTest):
    nginx_options = {"more": NGINX_BY_AGENT}
    RUN_S = 7  # a run; what happens to it comes in its first half
    AWAY_S = 5  # how long something does not answer: more than three beats

    def begin_run(self, cluster, agents, *args, scenario=ASK_BY_AGENT):
        """A run of RUN_S, once nginx has logged some of it."""
        running = self.begin(
            cluster, "--agents", agents, "-w", 10, "--delay", 0.01, "-d", self.RUN_S, *args,
            scenario=scenario,
        )  # fmt: skip
        self.wait_for_requests(agents * 50, [running])
        return running

    def begin_to_watch(self, cluster, **options):
        """A console that is attached to the run: it shows something."""
        console = self.attach(cluster, cluster.active_run(), **options)
        wait_until(console.stdout_so_far, "the console to show something")
        return console

    def let_it_last(self, seconds, running):
        """Lets a fault last: this is no wait for anything. The load goes on meanwhile."""
        lines = self.nginx.lines()
        time.sleep(seconds)
        self.assertGreater(self.nginx.lines(), lines, "the load goes on")
        self.assertIsNone(running.process.poll(), "the runner waits")

    def finish_all(self, *running):
        """All consoles of one run end by themselves, and show what nginx logged."""
        runs = [each.wait(self.RUN_S + 60) for each in running]
        for run in runs:
            self.assert_ended_well(run)
        self.assert_exact(runs[0])
        self.assert_same_documents(runs)
        self.assertGreaterEqual(runs[0].document["duration_s"], self.RUN_S, runs[0])
        return runs[0]


class Broker(FaultTest):
    def test_killed_and_started_again_twice(self):
        cluster = self.cluster(3)
        running = self.begin_run(cluster, 3)
        console = self.begin_to_watch(cluster)
        for _ in range(2):
            self.let_it_last(self.RUN_S / 8, running)
            cluster.broker.kill()
            self.let_it_last(self.RUN_S / 8, running)
            cluster.broker.start()
            cluster.wait_for_agents()
        run = self.finish_all(running, console)
        self.assertEqual(run.totals["failed"], 0, run)
        late = self.finish(self.attach(cluster, run.document["run_id"]))
        self.assert_same_documents([run, late])
        self.assert_clean(cluster)

    def test_killed_again_and_again(self):
        """At ever other moments between two reports of the agents."""
        cluster = self.cluster(3)
        running = self.begin_run(cluster, 3)
        kills = 0
        while cluster.ping()["runs"]:
            cluster.wait_for_agents()
            time.sleep(kills * 0.07 % 0.5)  # the fault's moment
            cluster.broker.kill()
            cluster.broker.start()
            kills += 1
        self.assertGreater(kills, 3)
        self.finish_all(running)
        self.assert_clean(cluster)

    def test_stopped_for_a_while(self):
        cluster = self.cluster(3)
        running = self.begin_run(cluster, 3)
        console = self.begin_to_watch(cluster)
        cluster.broker.pause()
        self.let_it_last(self.AWAY_S, running)
        cluster.broker.resume()
        self.finish_all(running, console)
        self.assert_clean(cluster)

    def test_killed_while_agents_prepare(self):
        cluster = self.cluster(2)
        running = self.begin(cluster, "--agents", 2, "-r", 10, scenario=SLOW_SETUP)
        wait_until(
            lambda: all(agent.slaves() for agent in cluster.agents), "slaves on all agents"
        )
        cluster.broker.kill()
        cluster.broker.start()
        run = self.finish(running)
        self.assert_ended_well(run)
        self.assert_exact(run)
        self.assertEqual(run.totals["hits"], 2 * 10, run)

    def wait_for_word(self, daemon, word, before):
        """Until its log has it once more."""
        wait_until(
            lambda: daemon.log().count(word) > before, f"{word!r} in the log of {daemon.name}"
        )

    def test_killed_around_the_start(self):
        """Wherever that is between RUN and START, the run starts once."""
        cluster = self.cluster(2)
        broker, agent = cluster.broker, cluster.agents[0]
        for who, word in (
            (broker, "accepted"),
            (agent, "preparing"),
            (agent, "prepared"),
            (agent, "ready"),
            (broker, "started agents"),
            (agent, "started\n"),
        ):
            with self.subTest(word):
                self.nginx.forget()
                before = who.log().count(word)
                running = self.begin(
                    cluster, "--agents", 2, "-w", 5, "-r", 10, "--delay", 0.02,
                    scenario=ASK_BY_AGENT,
                )  # fmt: skip
                self.wait_for_word(who, word, before)
                broker.kill()
                broker.start()
                run = self.finish(running)
                self.assert_ended_well(run)
                self.assert_exact(run)
                self.assertEqual(run.totals["hits"], 2 * 5 * 10, run)
                cluster.wait_until_free()
        self.assert_clean(cluster)

    def test_not_there_when_the_run_is_stopped(self):
        """A STOP is repeated until somebody hears it."""
        cluster = self.cluster(2)
        running = self.begin_run(cluster, 2, "-d", 600)
        cluster.broker.kill()
        running.signal(signal.SIGINT)
        cluster.broker.start()
        run = self.finish(running)
        self.assert_ended_well(run, "stopped")
        self.assertEqual(run.document["interrupted_by"], "SIGINT", run)
        self.assert_exact(run)

    def test_not_there_at_the_first_failure(self):
        """--exception on one agent stops the others when the broker is back."""
        cluster = self.cluster(2, env={"TEST_FAIL": self.path("fail")})
        running = self.begin_run(
            cluster, 2, "-d", 600, "-x",
            scenario=ASK_BY_AGENT
            + """
            #include <unistd.h>
            SCENARIO(fails_when_told)
            {
                ask(session);
                mlt_check(access(getenv("TEST_FAIL"), F_OK) != 0
                          || mlt_agent_index(session) != 1);
            }
            """,
        )  # fmt: skip
        cluster.broker.kill()
        self.write("fail", "")
        wait_until(
            lambda: sum(bool(agent.slaves()) for agent in cluster.agents) == 1,
            "one agent to stop",
        )
        cluster.broker.start()
        run = self.finish(running)
        self.assert_ended_well(run, "stopped")
        self.assertEqual(run.document["interrupted_by"], "--exception", run)
        self.assertGreater(run.totals["failed"], 0, run)
        self.assert_exact(run)

    def test_not_there_when_the_agents_end(self):
        """They keep what they have until it is back."""
        cluster = self.cluster(2)
        running = self.begin(
            cluster, "--agents", 2, "-w", 5, "-d", 2, "--delay", 0.01, scenario=ASK_BY_AGENT
        )
        self.wait_for_requests(100, [running])
        cluster.broker.kill()
        wait_until(
            lambda: not any(agent.slaves() for agent in cluster.agents), "the slaves to end"
        )
        self.assertIsNone(running.process.poll(), "the runner waits")
        cluster.broker.start()
        run = self.finish(running)
        self.assert_ended_well(run)
        self.assert_exact(run)

    def test_killed_when_it_has_nothing_to_do(self):
        """Agents come back by themselves, and what is over stays in the store."""
        cluster = self.cluster(2)
        first = self.load(cluster, 2, "-r", 5, scenario=ASK_BY_AGENT)
        cluster.broker.kill()
        cluster.broker.start()
        cluster.wait_for_agents()
        again = self.finish(self.attach(cluster, first.document["run_id"]))
        self.assert_same_documents([first, again])
        self.nginx.forget()
        run = self.load(cluster, 2, "-r", 5, scenario=ASK_BY_AGENT)
        self.assert_ended_well(run)
        self.assert_exact(run)


class TemporaryAgents(FaultTest):
    LEAVE_S = 2

    def test_broker_that_does_not_return(self):
        """They do not wait for ever with what they have: they say what is lost."""
        cluster = self.cluster(1, options=("--leave-after", self.LEAVE_S))
        (agent,) = cluster.agents
        place = self.path("runtime", "molotov")
        running = self.begin_run(cluster, 1, "-d", 600)
        cluster.broker.kill()
        self.assertEqual(agent.process.wait(self.LEAVE_S + 30), 1, agent.log())
        running.kill()
        self.assertIn("results could not be delivered, and are lost", agent.log())
        self.assertRegex(agent.log(), "not delivered: [1-9][0-9]* hits")
        self.assertEqual(agent.slaves(), [])
        self.assertEqual([name for name in os.listdir(place) if "-" in name], [])


class BrokenSlaves(FaultTest):
    """The user's code can reach the channel to the agent: descriptor 3."""

    SCENARIO = """
    #include <signal.h>
    #include <unistd.h>

    static void say(const char *message, size_t size)
    {
        const char length[4] = {0, 0, 0, (char)size};
        if (write(3, length, 4) != 4 || write(3, message, size) != (ssize_t)size)
            _exit(0);
    }
    #define SAY(message) say(message, sizeof(message) - 1)

    SCENARIO(malformed) { SAY("\\x82\\xa7message\\xa5" "DELTA\\xa5" "delta\\x80"); pause(); }
    SCENARIO(endless)
    {
        if (fork() == 0) {
            setsid();
            alarm(20);
            for (;;)
                SAY("\\x81\\xa7message\\xa5READY");
        }
        usleep(200000);
        abort();
    }
    """

    def fail(self, cluster, name):
        run = self.load(cluster, 1, "-s", name, "-r", 1, scenario=self.SCENARIO)
        self.assert_status(run, 1)
        self.assertEqual(run.document["state"], "failed", run)
        return run

    def test_delta_that_is_none(self):
        cluster = self.cluster(1)
        run = self.fail(cluster, "malformed")
        self.assertIn("the slave is broken", run.document["failure"], run)
        self.assert_clean(cluster)

    def test_channel_that_somebody_holds(self):
        """What the slave has left behind writes without end, in a session of its own."""
        cluster = self.cluster(1)
        run = self.fail(cluster, "endless")
        self.assertEqual(run.document["processes_lost"][0]["signal"], "SIGABRT", run)
        cluster.wait_until_free()
        left = marked_processes(cluster.agents[0].mark)
        for pid in set(left) - {cluster.agents[0].pid}:
            os.kill(pid, signal.SIGKILL)


class CutNetwork(FaultTest):
    """One agent is in a network of its own; its nginx is on its own loopback, so it goes
    on making load while it cannot reach the broker."""

    SCENARIO = """
    SCENARIO(s)
    {
        mlt_get(session, mlt_format(session, "%s/agent/%ld", getenv("TEST_TARGET"),
                                    (long)mlt_agent_index(session)));
    }
    """

    @classmethod
    def setUpClass(cls):
        try:
            cls.network = Network()
        except OSError as error:
            raise unittest.SkipTest(f"no network namespace can be made here: {error}")
        cls.addClassCleanup(cls.network.close)
        inside = cls.network.listening_socket()
        cls.inside_url = "http://{}:{}".format(*inside.getsockname())
        cls.nginx_options = {**FaultTest.nginx_options, "sockets": [inside]}
        super().setUpClass()

    def cut_cluster(self):
        cluster = self.cluster(2, tcp=self.network.host, env={"TEST_TARGET": self.nginx.url})
        cluster.add_agents(
            1, through=self.network.through(), env={"TEST_TARGET": self.inside_url}
        )
        return cluster

    def test_one_agent_is_cut_off(self):
        cluster = self.cut_cluster()
        running = self.begin_run(cluster, 3, scenario=self.SCENARIO)
        inside = self.begin_to_watch(cluster, through=self.network.through())
        self.network.cut()
        try:
            self.let_it_last(self.AWAY_S, running)
        finally:
            self.network.mend()
        run = self.finish_all(running, inside)
        logged = collections.Counter(path_of(line.target) for line in self.nginx.log())
        self.assertEqual(set(logged), {f"/agent/{index}" for index in range(3)}, run)
        self.assert_clean(cluster)


if __name__ == "__main__":
    unittest.main()
