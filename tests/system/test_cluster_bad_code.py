"""Tests that crash, loop or eat the machine on one agent: the run says so, and the agent
serves the next one.

Requests say which agent they come from; the others' numbers stay whole."""

import collections
import os
import signal
import unittest

import test_bad_code
from cluster import NGINX_BY_AGENT, ClusterTest
from harness import SANITIZED, descriptors, marked_processes, path_of, wait_until

WORKERS = 5
RUNS = 20
GUILTY = 1  # the index of the agent on which the first worker misbehaves at its fifth run

SCENARIOS = """
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static bool ask_and_tell(mlt_session *session)
{
    const long index = (long)mlt_agent_index(session);
    mlt_check_int(mlt_get(session, mlt_format(session, "/agent/%ld", index))->status, 200);
    return index == GUILTY && mlt_worker_id(session) == 0 && mlt_step(session) == 5;
}

static volatile long sum;

#define BAD(name, action) \\
    SCENARIO(name) \\
    { \\
        if (ask_and_tell(session)) { \\
            action; \\
        } \\
    }

BAD(aborts, abort())
BAD(crashes, *(volatile int *)16 = 1)
BAD(exits, exit(3))
BAD(loops, for (;;) sum++)
BAD(sleeps, for (;;) pause())
BAD(eats_memory, for (;;) { char *more = malloc(1 << 20); memset(more, 1, 1 << 20); })
BAD(forks, if (fork() == 0) for (;;) pause(); else abort())
BAD(closes_all, for (int fd = 0; fd < 4096; fd++) close(fd))
BAD(kills_its_group, kill(0, SIGKILL))
BAD(stops_itself, raise(SIGSTOP))
"""

# Each with more options, and what the report says of the lost process: its signal.
BAD = {
    "aborts": ((), "SIGABRT"),
    "crashes": ((), "SIGSEGV"),
    "exits": ((), None),
    "loops": (("--stuck-timeout", 1), "SIGKILL"),
    "sleeps": (("--stuck-timeout", 1), "SIGKILL"),
    "forks": ((), "SIGABRT"),
    "stops_itself": (("--stuck-timeout", 1), "SIGKILL"),
}
if not SANITIZED:  # whose own memory has no such limit
    BAD["eats_memory"] = (("--memory-limit", 200), None)


class BadCodeOnOneAgent(ClusterTest):
    nginx_options = {"more": NGINX_BY_AGENT}
    sanitizer_options = test_bad_code.BadCode.sanitizer_options

    def bad_run(self, cluster, name, *args):
        return self.load(
            cluster, len(cluster.agents), "-s", name, "-w", WORKERS, "-r", RUNS, *args,
            scenario=f"#define GUILTY {GUILTY}\n{SCENARIOS}",
        )  # fmt: skip

    def assert_others_are_whole(self, cluster, run):
        """Every agent but the guilty one did all of its runs; of that one no more is
        counted than it did."""
        self.assert_sums(run)
        logged = collections.Counter(path_of(line.target) for line in self.nginx.log())
        reported = collections.Counter()
        for row in run.document["requests"]:
            reported[path_of(row["name"])] += row["hits"]
        for index in range(len(cluster.agents)):
            place = f"/agent/{index}"
            if index == GUILTY:
                self.assertLessEqual(reported[place], logged[place], run)
            else:
                self.assertEqual(reported[place], WORKERS * RUNS, run)
                self.assertEqual(logged[place], WORKERS * RUNS, run)

    def assert_lost(self, cluster, run, name, number):
        self.assert_status(run, 1)
        self.assertEqual(run.document["state"], "failed", run)
        self.assertEqual(run.document["agents_lost"], [], run)
        (lost,) = run.document["processes_lost"]
        agent = run.document["agent_list"][GUILTY]["name"]
        self.assertEqual((lost["agent"], lost["scenario"]), (agent, name), run)
        if number is not None:
            self.assertEqual(lost["signal"], number, run)
        self.assertIn(agent, run.stdout, run)
        self.assert_others_are_whole(cluster, run)

    def check(self, cluster, name):
        """One bad run; the agents are free again, and nothing of it is left."""
        args, number = BAD[name]
        self.nginx.forget()
        self.assert_lost(cluster, self.bad_run(cluster, name, *args), name, number)
        self.assert_clean(cluster)
        cluster.wait_until_free()

    def test_one_after_the_other(self):
        cluster = self.cluster(2)
        before = self.open_descriptors(cluster)
        for name in BAD:
            with self.subTest(name):
                self.check(cluster, name)
        self.nginx.forget()
        run = self.bad_run(cluster, "aborts", "-r", 4)  # too few runs to misbehave
        self.assert_ended_well(run)
        self.assert_exact(run)
        self.assert_nothing_grew(cluster, before)

    def open_descriptors(self, cluster):
        return {daemon.name: descriptors(daemon.pid) for daemon in cluster.daemons()}

    def assert_nothing_grew(self, cluster, before):
        """Nothing is left in the process table, in directories, or of descriptors."""
        cluster.wait_until_free()
        self.assert_clean(cluster)
        for daemon in cluster.daemons():
            self.assertEqual(list(marked_processes(daemon.mark)), [daemon.pid], daemon.name)
            self.assertEqual(self.zombies_of(daemon.pid), [], daemon.name)
        for name, count in self.open_descriptors(cluster).items():
            # The connections of who asked may be open still.
            self.assertLessEqual(count, before[name] + 3, name)

    def zombies_of(self, pid):
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8") as file:
                    state, parent = file.read().rpartition(")")[2].split()[:2]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if (state, int(parent)) == ("Z", pid):
                found.append(int(name))
        return found

    def test_slave_that_stops_the_whole_of_it(self):
        """What kills its process group, or closes every descriptor, ends its own part."""
        cluster = self.cluster(2)
        for name in ("kills_its_group", "closes_all"):
            with self.subTest(name):
                self.nginx.forget()
                run = self.bad_run(cluster, name)
                self.assert_status(run, 1)
                self.assertEqual(run.document["state"], "failed", run)
                self.assert_others_are_whole(cluster, run)
                self.assert_clean(cluster)
                cluster.wait_until_free()

    def test_loop_that_nobody_ends(self):
        """A run is stopped by force although one slave does not listen."""
        cluster = self.cluster(2)
        running = self.begin(
            cluster, "--agents", 2, "-s", "loops", "-w", WORKERS, "-d", 600,
            "--stuck-timeout", 2, scenario=f"#define GUILTY {GUILTY}\n{SCENARIOS}",
        )  # fmt: skip
        self.wait_for_requests(200, [running])
        running.signal(signal.SIGINT)
        wait_until(lambda: cluster.runs()[0]["state"] != "running", "the run to stop")
        if running.process.poll() is None:
            running.signal(signal.SIGINT)
        run = self.finish(running)
        self.assert_status(run, 1)
        self.assert_sums(run)
        self.assert_clean(cluster)


class BadFixtures(ClusterTest):
    sanitizer_options = test_bad_code.BadCode.sanitizer_options

    def failed_run(self, cluster, fixture):
        run = self.load(
            cluster, 2, "-r", 5,
            scenario=f'{fixture}\nSCENARIO(s) {{ mlt_get(session, "/"); }}',
        )  # fmt: skip
        self.assert_status(run, 1)
        self.assert_clean(cluster)
        return run

    def test_global_setup(self):
        """Nothing starts, and the reason names an agent."""
        cluster = self.cluster(2)
        for code, words in (
            ("abort();", "SIGABRT"),
            ("exit(7);", "7"),
            ('mlt_fail("no key for it");', "no key for it"),
            ("mlt_check(1 == 2);", "1 == 2"),
        ):
            with self.subTest(code):
                run = self.failed_run(cluster, f"GLOBAL_SETUP() {{ {code} }}")
                self.assert_never_began(run, words, "cluster-agent-[01]")
                cluster.wait_until_free()

    def test_setup_of_workers(self):
        cluster = self.cluster(2)
        run = self.failed_run(cluster, 'SETUP() { mlt_fail("no bed for user %d", worker_id); }')
        self.assertEqual(run.document["state"], "failed", run)
        self.assertIn("no bed", run.stdout + run.stderr, run)
        self.assertEqual(self.nginx.count(), 0, run)

    def test_global_teardown(self):
        """It comes after the load, whose figures stay."""
        cluster = self.cluster(2)
        run = self.failed_run(cluster, "GLOBAL_TEARDOWN() { abort(); }")
        self.assertEqual(run.document["state"], "failed", run)
        self.assertEqual(run.totals["hits"], 2 * 5, run)
        self.assert_exact(run)

    def test_loading(self):
        """A test that cannot be loaded on an agent."""
        run = self.failed_run(
            self.cluster(2),
            "__attribute__((constructor)) static void crash(void)\n"
            '{ if (getenv("TEST_AGENT") != NULL) abort(); }\n',
        )
        self.assert_never_began(run, "cluster-agent-[01]", "SIGABRT")


if __name__ == "__main__":
    unittest.main()
