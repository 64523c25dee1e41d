"""A run is left alone and looked at again, from anywhere, and all who look see the same."""

import os
import re
import signal
import socket
import sqlite3
import threading
import unittest

import protocol
from cluster import ASK_BY_AGENT, NGINX_BY_AGENT, ClusterTest, RecordedRun
from harness import marked_processes, read_text, wait_until

RUN_S = 3

# One quick answer, and then one that does not come in the life of a test.
THEN_SLOW = """
SCENARIO(wait)
{
    mlt_get(session, "/agent/0");
    mlt_get(session, "/slow");
}
"""


class ConsoleTest(ClusterTest):
    nginx_options = {"more": NGINX_BY_AGENT}

    def begin_run(self, cluster, agents, *args, scenario=ASK_BY_AGENT, lines=100, **options):
        """A run, once nginx has logged some of it."""
        running = self.begin(
            cluster, "--agents", agents, "-w", 10, "--delay", 0.01, "-d", RUN_S, *args,
            scenario=scenario, **options,
        )  # fmt: skip
        self.wait_for_requests(lines, [running])
        return running

    def ask_runner(self, cluster, *args):
        """A call of the runner that answers at once."""
        return self.finish(
            self.start("--broker", cluster.frontend, *args, outputs=False), 30
        )

    def wait_for_shown(self, running, pattern):
        """Until the program showed this, on either stream."""
        return wait_until(
            lambda: re.search(pattern, running.stdout_so_far() + running.stderr_so_far()),
            f"{pattern!r} to be shown, not: {running.result(None)}",
        )

    def stop(self, *running):
        """Ends runs that were begun here, whose figures do not matter."""
        for each in running:
            each.signal(signal.SIGINT)
        for each in running:
            self.assert_ended_well(each.wait(), "stopped")

    def assert_goes_on(self, cluster):
        """A run goes on without the console that left it; the id of the run."""
        lines = self.nginx.lines()
        self.wait_for_requests(lines + 100)
        return cluster.active_run()

    def assert_all_stopped(self, runs, by):
        for run in runs:
            self.assert_ended_well(run, "stopped")
            self.assertEqual(run.document["interrupted_by"], by, run)
            self.assertEqual(run.totals["cancelled"], 0, run)
        self.assert_same_documents(runs)
        self.assert_exact(runs[0])


class Attach(ConsoleTest):
    def test_all_see_the_same(self):
        """From the start, half-way, in the last second, and when it is over."""
        cluster = self.cluster(3)
        consoles = [self.begin_run(cluster, 3)]
        run_id = cluster.active_run()
        for moment_s in (RUN_S / 2, RUN_S - 1):
            wait_until(
                lambda moment_s=moment_s: cluster.runs()[0]["elapsed_us"] >= moment_s * 1e6,
                f"{moment_s} s of the run",
            )
            consoles.append(self.attach(cluster, run_id))
        runs = [console.wait() for console in consoles]
        runs.append(self.finish(self.attach(cluster, run_id)))
        for run in runs:
            self.assert_ended_well(run)
        self.assert_same_documents(runs)
        self.assert_exact(runs[0])
        self.assertEqual(runs[0].totals["failed"], 0, runs[0])
        # As documents are the same, so are reports.
        self.assertEqual(self.report_of(runs[3]), self.report_of(runs[1]))
        self.assertEqual(self.report_of(runs[3]), self.report_of(runs[2]))

    def report_of(self, run):
        """What comes after the lines of the time before."""
        self.assertIn("SUCCESSES", run.stdout, run)
        return run.stdout[run.stdout.index("SUCCESSES") :]

    def test_a_console_that_does_not_read_for_a_while(self):
        """A slow subscriber loses updates, and gets their sum."""
        cluster = self.cluster(2)
        running = self.begin_run(cluster, 2)
        slow = self.attach(cluster, cluster.active_run())
        self.wait_for_shown(slow, r"\S")
        slow.process.send_signal(signal.SIGSTOP)
        run = self.finish_but(running)
        slow.process.send_signal(signal.SIGCONT)
        self.assert_same_documents([run, self.finish(slow)])
        self.assert_exact(run)

    def finish_but(self, running):
        """The end of one of several consoles."""
        run = running.wait()
        self.assert_ended_well(run)
        return run

    def test_the_one_run_needs_no_name(self):
        cluster = self.cluster(1)
        running = self.begin_run(cluster, 1)
        console = self.attach(cluster)
        self.assert_same_documents([running.wait(), self.finish(console)])

    def test_several_runs_must_be_named(self):
        cluster = self.cluster(2)
        running = [self.begin_run(cluster, 1, "-d", 600, lines=1) for _ in range(2)]
        wait_until(
            lambda: [run["state"] for run in cluster.runs()] == ["running"] * 2, "two runs"
        )
        names = [run["run"] for run in cluster.runs()]
        refused = self.ask_runner(cluster, "--attach")
        self.assertIn(refused.status, (1, 2), refused)
        for name in names:
            self.assertIn(name, refused.stderr, refused)
        self.stop(*running)

    def test_nothing_to_attach_to(self):
        cluster = self.cluster(1)
        refused = self.ask_runner(cluster, "--attach")
        self.assert_status(refused, 1)
        self.assertRegex(refused.stderr, "(?i)nothing|no run", refused)

    def test_unknown_run(self):
        cluster = self.cluster(1)
        for option in ("--attach", "--stop"):
            with self.subTest(option):
                refused = self.ask_runner(cluster, option, "20200101-000000-00000000")
                self.assert_status(refused, 1)
                self.assertIn("20200101-000000-00000000", refused.stderr, refused)

    def test_name_of_a_run_that_cannot_be(self):
        cluster = self.cluster(1)
        for name in ("a b", "x" * 500, "../../etc", "\x1b[31m"):
            with self.subTest(name=name):
                refused = self.ask_runner(cluster, "--attach", name)
                self.assertIn(refused.status, (1, 2), refused)
                self.assertNotIn("\x1b", refused.stderr)
                self.assertLess(len(refused.stderr), 1000, refused)


class Leave(ConsoleTest):
    def leave_and_attach(self, leave, *begin_args, **begin_options):
        """`leave` ends the runner; the run goes on, and the rest of it is seen."""
        cluster = self.cluster(2)
        running = self.begin_run(cluster, 2, *begin_args, **begin_options)
        left = leave(running)
        run_id = self.assert_goes_on(cluster)
        run = self.finish(self.attach(cluster))
        self.assert_ended_well(run)
        self.assert_exact(run)
        self.assertEqual(run.document["run_id"], run_id, run)
        self.assert_clean(cluster)
        return left, run

    def test_killed_runner(self):
        def kill(running):
            running.process.kill()
            running.process.wait()

        self.leave_and_attach(kill)

    def test_hang_up(self):
        def hang_up(running):
            running.signal(signal.SIGHUP)
            return running.wait()

        left, run = self.leave_and_attach(hang_up)
        self.assert_detached(left, run)

    def assert_detached(self, left, run):
        """It said how to come back, and showed no report."""
        self.assert_status(left, 0)
        shown = left.stdout + left.stderr
        self.assertIn("--attach", shown, left)
        self.assertIn(run.document["run_id"], shown, left)
        self.assertNotIn("SUCCESSES", shown, left)

    def test_detach(self):
        left, run = self.leave_and_attach(
            lambda running: running.wait(), "--detach", outputs=False
        )
        self.assert_detached(left, run)

    def test_answer_d_to_ctrl_c(self):
        def answer(running):
            running.terminal.type("\x03")
            self.wait_for_shown(running, r"\(s\)top.*\(d\)etach")
            running.terminal.type("d\n")
            return running.wait()

        left, run = self.leave_and_attach(answer, terminal=True)
        self.assert_detached(left, run)

    def test_terminal_is_closed(self):
        def close(running):
            running.terminal.hang_up()
            running.process.wait(30)

        self.leave_and_attach(close, terminal=True)

    def test_detach_prints_the_id_for_programs(self):
        """What --detach prints is enough to come back."""
        cluster = self.cluster(1)
        left = self.load(cluster, 1, "-r", 5, "--detach", scenario=ASK_BY_AGENT, outputs=False)
        self.assert_status(left, 0)
        (run_id,) = (run["run"] for run in cluster.runs())
        self.assertIn(run_id, left.stdout, left)
        run = self.finish(self.attach(cluster, run_id))
        self.assert_ended_well(run)
        self.assert_exact(run)


    def test_detach_from_a_run_that_is_over(self):
        """It was quick: there is nothing to stop any more."""
        cluster = self.cluster(1)
        over = self.load(cluster, 1, "-r", 1, scenario=ASK_BY_AGENT).document["run_id"]
        end = protocol.ask_once(
            cluster.frontend, "SNAPSHOT", version=protocol.VERSION, run=over, after=0
        )
        self.assertEqual(end.pop("message"), "END_OF_RUN")

        def answer(broker, _, route, message):
            if message["message"] == "PING":
                broker.pong(route)
            elif message["message"] == "RUN":
                end["run"] = end["facts"]["run"] = message["job"]["run-id"]
                broker.send("frontend", route, "ACCEPTED", run=end["run"])
            elif message["message"] == "SNAPSHOT":
                broker.send("frontend", route, "END_OF_RUN", **end)

        broker = protocol.FakeBroker(answer)
        self.addCleanup(broker.close)
        left = self.start(
            "--broker", broker.frontend, "--agents", 1, "--detach",
            scenario=ASK_BY_AGENT, outputs=False,
        ).wait()  # fmt: skip
        self.assert_status(left, 0)
        self.assertIn(f"Run {end['run']} is over.", left.stdout, left)
        self.assertIn(f"--attach {end['run']}", left.stdout, left)
        self.assertNotIn("--stop", left.stdout, left)


class Stop(ConsoleTest):
    def begin_two(self, **options):
        cluster = self.cluster(2)
        running = self.begin_run(cluster, 2, "-d", 600, **options)
        return cluster, running, self.attach(cluster, cluster.active_run())

    def test_from_elsewhere(self):
        cluster, running, console = self.begin_two()
        run_id = cluster.active_run()
        stopped = self.ask_runner(cluster, "--stop", run_id)
        self.assert_status(stopped, 0)
        self.assertEqual(stopped.stdout, f"Run {run_id} is told to stop.\n")
        runs = [running.wait(), console.wait()]
        self.assertIsNotNone(runs[0].document["interrupted_by"])
        self.assert_all_stopped(runs, runs[0].document["interrupted_by"])
        self.assert_clean(cluster)

    def test_sigterm(self):
        _, running, console = self.begin_two()
        running.signal(signal.SIGTERM)
        self.assert_all_stopped([running.wait(), console.wait()], "SIGTERM")

    def test_sigint_of_an_attached_console(self):
        _, running, console = self.begin_two()
        self.wait_for_shown(console, r"\S")
        console.signal(signal.SIGINT)
        self.assert_all_stopped([running.wait(), console.wait()], "SIGINT")

    def test_answer_s_to_ctrl_c(self):
        _, running, console = self.begin_two(terminal=True)
        running.terminal.type("\x03")
        self.wait_for_shown(running, r"\(s\)top.*\(d\)etach")
        self.assert_answer_is_asked_for_again(running)
        running.terminal.type("s\n")
        self.assert_all_stopped([running.wait(), console.wait()], "SIGINT")

    def assert_answer_is_asked_for_again(self, running):
        """What is neither does nothing."""
        asked = running.stdout_so_far().count("(s)top")
        running.terminal.type("what?\n")
        wait_until(
            lambda: running.stdout_so_far().count("(s)top") > asked, "the question again"
        )

    def test_second_ctrl_c(self):
        _, running, console = self.begin_two(terminal=True)
        running.terminal.type("\x03")
        self.wait_for_shown(running, r"\(s\)top.*\(d\)etach")
        running.terminal.type("\x03")
        self.assert_all_stopped([running.wait(), console.wait()], "SIGINT")

    def test_when_nobody_takes_the_run(self):
        """The broker was there, and is not any more: nobody knows whether it has the run."""
        asked = threading.Event()

        def answer(broker, _, route, message):
            if message["message"] == "PING":
                broker.pong(route)
            elif message["message"] == "RUN":
                asked.set()

        broker = protocol.FakeBroker(answer)
        self.addCleanup(broker.close)
        running = self.start(
            "--broker", broker.frontend, "--agents", 1, scenario=ASK_BY_AGENT
        )
        self.assertTrue(asked.wait(30), running.result(None))
        running.signal(signal.SIGTERM)
        self.assert_never_began(
            running.wait(30), "told to stop", broker.frontend, r"molotov-runner --stop \d+-"
        )

    def test_when_nobody_hears_it(self):
        """The runner says so, and one more signal leaves it, whatever came before."""
        for before in ([], [signal.SIGINT]):
            with self.subTest(before=before):
                cluster = self.cluster(1)
                running = self.begin_run(cluster, 1, "-d", 600)
                run_id = cluster.active_run()
                cluster.broker.kill()
                for number in [*before, signal.SIGTERM]:
                    running.signal(number)
                self.wait_for_shown(running, "does not answer; one more signal leaves")
                running.signal(signal.SIGTERM)
                left = running.wait(30)
                self.assert_status(left, 1)
                for option in ("--attach", "--stop"):
                    self.assertIn(f"{option} {run_id}", left.stdout + left.stderr, left)
                cluster.broker.start()
                cluster.wait_for_agents()
                self.ask_runner(cluster, "--stop", run_id)
                self.assert_ended_well(self.finish(self.attach(cluster, run_id)), "stopped")

    def wait_for_slow_requests(self):
        """Until all ten workers wait for an answer."""
        wait_until(
            lambda: "Writing: 11 " in self.nginx.get("/nginx-status"), "10 slow requests"
        )

    def test_second_sigint_cuts_what_runs(self):
        cluster = self.cluster(2)
        running = self.begin(
            cluster, "--agents", 2, "-w", 5, "-d", 600, scenario=THEN_SLOW
        )  # fmt: skip
        self.wait_for_slow_requests()
        running.signal(signal.SIGINT)
        wait_until(lambda: cluster.runs()[0]["state"] == "stopping", "the run to stop")
        running.signal(signal.SIGINT)
        run = self.finish(running)
        self.assert_ended_well(run, "stopped")
        self.assertEqual(run.totals["cancelled"], 10, run)
        self.assertEqual(run.totals["hits"], 20, run)
        self.assert_exact(run)

    def test_stop_timeout(self):
        cluster = self.cluster(2)
        running = self.begin(
            cluster, "--agents", 2, "-w", 5, "-d", 600, "--stop-timeout", 0.5,
            scenario=THEN_SLOW,
        )  # fmt: skip
        self.wait_for_slow_requests()
        self.assert_status(self.ask_runner(cluster, "--stop", cluster.active_run()), 0)
        run = self.finish(running)
        self.assertEqual(run.document["state"], "stopped", run)
        self.assertEqual(run.totals["cancelled"], 10, run)
        self.assert_exact(run)

    def begin_to_prepare(self, setup):
        """A run whose agents are in their global set-up."""
        cluster = self.cluster(2)
        running = self.begin(
            cluster, "--agents", 2, "-d", 600,
            scenario=f"""
            #include <unistd.h>
            GLOBAL_SETUP() {{ mlt_print("setting up"); {setup} }}
            SCENARIO(s) {{ mlt_get(session, "/"); }}
            """,
        )  # fmt: skip
        wait_until(lambda: all(agent.slaves() for agent in cluster.agents), "slaves")
        wait_until(lambda: cluster.runs()[0]["state"] == "preparing", "the run")
        return cluster, running

    def test_of_a_run_that_prepares(self):
        """It ends when the set-up does, and does nothing."""
        cluster, running = self.begin_to_prepare("sleep(2);")
        stopped = self.ask_runner(cluster, "--stop", cluster.runs()[0]["run"])
        self.assert_status(stopped, 0)
        run = self.finish(running)
        self.assert_ended_well(run, "stopped")
        self.assertEqual(self.nginx.count(), 0)
        self.assert_clean(cluster)

    def test_of_a_set_up_that_never_ends(self):
        """The second time, it is cut."""
        cluster, running = self.begin_to_prepare("for (;;) pause();")
        running.signal(signal.SIGINT)
        wait_until(lambda: cluster.runs()[0]["state"] == "stopping", "the run to stop")
        running.signal(signal.SIGINT)
        run = self.finish(running)
        self.assert_status(run, 0)
        self.assertEqual(run.document["state"], "stopped", run)
        self.assertEqual(self.nginx.count(), 0)
        self.assert_clean(cluster)

    def test_of_a_run_that_is_over(self):
        """It stays what it was."""
        cluster = self.cluster(1)
        run = self.load(cluster, 1, "-r", 1, scenario=ASK_BY_AGENT)
        run_id = run.document["run_id"]
        told = self.ask_runner(cluster, "--stop", run_id)
        self.assert_status(told, 0)
        self.assertEqual(told.stdout, f"Run {run_id} was over already (finished).\n")
        self.assert_same_documents([run, self.finish(self.attach(cluster, run_id))])

    def test_asks_nothing_else(self):
        """A broker that cannot read its store stops a run all the same."""

        def answer(broker, _, route, message):
            if message["message"] == "STOP":
                broker.send("frontend", route, "ACCEPTED", run=message["run"])

        broker = protocol.FakeBroker(answer)
        self.addCleanup(broker.close)
        told = self.start("--broker", broker.frontend, "--stop", "run-1", outputs=False).wait()
        self.assert_status(told, 0)
        self.assertEqual(told.stdout, "Run run-1 is told to stop.\n")
        self.assertEqual(set(broker.heard), {"STOP"})


class Once(ConsoleTest):
    def test_a_run_sent_twice_starts_once(self):
        cluster = self.cluster(2)
        recorded = RecordedRun(
            self, "--agents", 2, "-w", 5, "-r", 10, "--server-url", self.nginx.url,
            scenario=ASK_BY_AGENT,
        )  # fmt: skip
        run_id = recorded.run_id
        for _ in range(3):
            answer = recorded.send(cluster.frontend)
            self.assertEqual((answer["message"], answer.get("run")), ("ACCEPTED", run_id))
        run = self.finish(self.attach(cluster, run_id))
        self.assert_ended_well(run)
        self.assert_exact(run)
        self.assertEqual(run.totals["hits"], 2 * 5 * 10, run)
        # Also when it is over, and after a restart of the broker.
        self.assertEqual(recorded.send(cluster.frontend)["message"], "ACCEPTED")
        cluster.broker.kill()
        cluster.broker.start()
        self.assertEqual(recorded.send(cluster.frontend)["message"], "ACCEPTED")
        self.assertEqual(len(cluster.runs()), 1)
        cluster.wait_until_free()
        self.assertEqual(self.nginx.count(), 2 * 5 * 10)


class Listing(ConsoleTest):
    def ping_lines(self, cluster, agents, runs):
        host = socket.gethostname()
        lines = [f"Broker running on pid {cluster.broker.pid}", f"{agents} agents registered"]
        pids = sorted(agent.pid for agent in cluster.agents)
        lines += [f"  - {pid} on {host}" for pid in pids]
        lines += ["endpoints:"]
        lines += [
            f"  - {name}: {endpoint}"
            for name, endpoint in (
                ("backend", cluster.backend),
                ("frontend", cluster.frontend),
                ("publisher", cluster.publisher),
            )
        ]
        if not runs:
            return [*lines, "Nothing is running right now."]
        lines += [f"We have {len(runs)} run(s) right now:"]
        return lines + [f"  - {run_id} with {count} agent(s)" for run_id, count in runs]

    def test_ping(self):
        """The format of Loads."""
        for tcp in (None, "127.0.0.1"):
            with self.subTest(tcp=tcp):
                cluster = self.new_cluster(tcp=tcp)
                cluster.start(2)
                ping = self.ask_runner(cluster, "--ping-broker")
                self.assert_status(ping, 0)
                self.assertEqual(
                    ping.stdout.splitlines(), self.ping_lines(cluster, 2, []), ping
                )
                self.nginx.forget()
                running = self.begin_run(cluster, 2, "-d", 600)
                runs = [(cluster.active_run(), 2)]
                ping = self.ask_runner(cluster, "--ping-broker")
                self.assertEqual(
                    ping.stdout.splitlines(), self.ping_lines(cluster, 2, runs), ping
                )
                self.stop(running)

    def test_ping_of_nobody(self):
        cluster = self.new_cluster()
        ping = self.ask_runner(cluster, "--ping-broker")
        self.assert_status(ping, 1)
        self.assertIn(cluster.frontend, ping.stderr, ping)
        self.assertEqual(ping.stdout, "", ping)

    def test_list_runs(self):
        cluster = self.cluster(2)
        nothing = self.ask_runner(cluster, "--list-runs")
        self.assert_status(nothing, 0)
        over = self.load(cluster, 1, "-r", 1, scenario=ASK_BY_AGENT)
        running = self.begin_run(cluster, 2, "-d", 600)
        listed = self.ask_runner(cluster, "--list-runs")
        self.assert_status(listed, 0)
        lines = listed.stdout.splitlines()
        for run_id, state, agents in (
            (over.document["run_id"], "finished", 1),
            (cluster.active_run(), "running", 2),
        ):
            (line,) = (line for line in lines if run_id in line)
            self.assertIn(state, line, listed)
            self.assertIn(str(agents), line.replace(run_id, ""), listed)
            self.assertIn("loadtest.c", line, listed)
        self.stop(running)


@unittest.skipIf(os.path.isdir("/run/molotov"), "there is a /run/molotov, which is not ours")
class LocalCluster(ConsoleTest):
    """Where no broker answers on the default endpoint, the runner starts a cluster. What
    it starts has the mark of this test, as its children have."""

    def environment(self, extra=None):
        return super().environment({"XDG_STATE_HOME": self.path("state"), **(extra or {})})

    def load_here(self, agents, *args, **options):
        running = self.start(
            "--agents", agents, "-w", 5, "-r", 10, "--server-url", self.nginx.url, *args,
            scenario=ASK_BY_AGENT, **options,
        )  # fmt: skip
        return running.wait()

    @property
    def frontend(self):
        return f"ipc://{self.path('runtime', 'molotov', 'frontend')}"

    def ping(self):
        return protocol.ask_once(self.frontend, "PING", version=protocol.VERSION)

    def assert_leaves(self):
        wait_until(lambda: not marked_processes(self.mark), "the cluster to leave")
        self.assertEqual(self.run_directories(), [])
        left = [
            name
            for name in os.listdir(self.path("runtime", "molotov"))
            if not name.endswith((".log", ".lock"))
        ]
        self.assertEqual(left, [])
        self.assert_no_sanitizer_report("the local cluster")

    def end_it(self):
        """SIGTERM to the broker takes its agents with it."""
        os.kill(self.ping()["pid"], signal.SIGTERM)
        self.assert_leaves()

    def test_starts_serves_and_leaves(self):
        run = self.load_here(3, "--cluster-leave-after", 1)
        self.assert_ended_well(run)
        self.assert_exact(run)
        self.assertEqual(run.totals["hits"], 3 * 5 * 10, run)
        self.assert_leaves()
        with sqlite3.connect(self.path("state", "molotov", "broker.db")) as db:
            ((count,),) = db.execute("SELECT count(*) FROM runs").fetchall()
        db.close()
        self.assertEqual(count, 1)

    def test_serves_again_with_more_agents(self):
        for agents in (1, 3, 2):
            with self.subTest(agents=agents):
                self.nginx.forget()
                run = self.load_here(agents, "--cluster-leave-after", 60)
                self.assert_ended_well(run)
                self.assert_exact(run)
                self.assertEqual(run.totals["hits"], agents * 5 * 10, run)
        self.assertEqual(len(self.ping()["agents"]), 3)
        self.end_it()

    def test_two_at_once(self):
        """Both need a cluster, and one is started."""
        started = [
            self.start(
                "--agents", 2, "-w", 5, "-r", 10, "--server-url", self.nginx.url,
                scenario=ASK_BY_AGENT,
            )
            for _ in range(2)
        ]  # fmt: skip
        runs = [running.wait() for running in started]
        for run in runs:
            self.assert_ended_well(run)
            self.assert_sums(run)
        self.assertEqual(sum(run.totals["hits"] for run in runs), self.nginx.count())
        brokers = [
            line for line in marked_processes(self.mark).values() if "molotov-broker" in line
        ]
        self.assertEqual(len(brokers), 1, brokers)
        self.end_it()

    def test_is_kept(self):
        run = self.load_here(1, "--cluster-leave-after", 1, "--keep-cluster")
        self.assert_ended_well(run)
        with self.assertRaises(AssertionError):
            wait_until(lambda: len(marked_processes(self.mark)) < 2, "none of it", patience_s=3)
        self.assertEqual(len(self.ping()["agents"]), 1)
        self.end_it()

    def test_killed_broker_is_started_again(self):
        """By the runner that looks on; nothing of it stays, and nothing is lost."""
        running = self.start(
            "--agents", 2, "-w", 5, "-d", 15, "--delay", 0.01, "--server-url",
            self.nginx.url, scenario=ASK_BY_AGENT,
        )  # fmt: skip
        self.wait_for_requests(100, [running])
        killed = self.ping()["pid"]
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(f"/proc/{killed}"), "its parent to let it go")
        run = running.wait()
        self.assert_ended_well(run)
        self.assert_exact(run)
        self.assertIn("is started again", run.stdout + run.stderr, run)
        self.end_it()

    def test_starts_while_one_leaves(self):
        for _ in range(3):
            self.nginx.forget()
            run = self.load_here(2)
            self.assert_ended_well(run)
            self.assert_exact(run)
            os.kill(self.ping()["pid"], signal.SIGTERM)
        self.assert_leaves()

    def test_logs(self):
        """Each living agent has its own, and none is lost."""

        def registrations():
            return [
                read_text(self.path("runtime", "molotov", f"agent-{number}.log")).count(
                    "registered this agent"
                )
                for number in (1, 2)
            ]

        self.assert_ended_well(self.load_here(2))
        self.assertEqual(registrations(), [1, 1])
        log = self.path("runtime", "molotov", "agent-1.log")
        (pid,) = (
            agent["pid"]
            for agent in self.ping()["agents"]
            if os.path.samefile(f"/proc/{agent['pid']}/fd/2", log)
        )
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: len(self.ping()["agents"]) == 1, "the agent to leave")
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the agent to end")
        self.assert_ended_well(self.load_here(2))
        self.assertEqual(registrations(), [2, 1])
        self.end_it()

    def test_killed_runner_leaves_the_run_to_it(self):
        running = self.start(
            "--agents", 2, "-w", 5, "-d", RUN_S, "--server-url", self.nginx.url,
            "--cluster-leave-after", 1, scenario=ASK_BY_AGENT,
        )  # fmt: skip
        self.wait_for_requests(100, [running])
        running.process.kill()
        running.process.wait()
        run = self.start("--attach").wait()
        self.assert_ended_well(run)
        self.assert_exact(run)
        self.assert_leaves()


if __name__ == "__main__":
    unittest.main()
