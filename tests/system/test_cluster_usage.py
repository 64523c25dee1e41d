"""Wrong use of a cluster, and places where it cannot work: a clear error where the cause
is, and no harm to anything else."""

import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import unittest

from cluster import (
    AGENT,
    ASK_BY_AGENT,
    BROKER,
    NGINX_BY_AGENT,
    ClusterTest,
    Daemon,
    RecordedRun,
    dies_at_once_with_its_parent,
)
from harness import wait_until
from protocol import FakeBroker

SETUP_THAT_NEVER_ENDS = """
#include <unistd.h>
GLOBAL_SETUP() { for (;;) pause(); }
SCENARIO(s) { mlt_get(session, "/"); }
"""


class UsageTest(ClusterTest):
    nginx_options = {"more": NGINX_BY_AGENT}

    def call(self, program, *args, timeout_s=30):
        """A call of a broker or an agent that is to end by itself."""
        return subprocess.run(
            [program, *map(str, args)],
            env=self.environment(),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def assert_refused(self, done, status, *words):
        """This exit status, and an error in few lines with these words."""
        self.assertIn(done.returncode, status if isinstance(status, tuple) else (status,), done)
        for word in words:
            self.assertIn(str(word), done.stderr, done)
        self.assertLess(len(done.stderr), 1500, done)
        self.assert_no_sanitizer_report(done)

    def refuse_run(self, cluster, agents, *words, args=(), scenario=ASK_BY_AGENT):
        run = self.load(cluster, agents, "-r", 1, *args, scenario=scenario)
        self.assert_never_began(run, *map(str, words))

    def assert_works(self, cluster, agents):
        self.nginx.forget()
        run = self.load(cluster, agents, "-r", 5, scenario=ASK_BY_AGENT)
        self.assert_ended_well(run)
        self.assert_exact(run)


class Agents(UsageTest):
    def test_more_than_there_are(self):
        cluster = self.cluster(2)
        # A broker that was just started waits for agents to come back.
        self.refuse_run(cluster, 5, "5 agents", "2")
        self.assert_works(cluster, 2)

    def test_more_than_are_free(self):
        cluster = self.cluster(3)
        running = self.begin(
            cluster, "--agents", 2, "-w", 2, "-d", 600, "--delay", 0.1, scenario=ASK_BY_AGENT
        )
        self.wait_for_requests(10, [running])
        busy = self.load(cluster, 2, "-r", 1, scenario=ASK_BY_AGENT)
        self.assert_status(busy, 1)
        self.assertRegex(busy.stderr, "2 agents.*only 1 of the 3", busy)
        running.signal(signal.SIGINT)
        run = running.wait()
        self.assert_ended_well(run, "stopped")
        self.assert_exact(run)

    def test_none_at_all(self):
        self.refuse_run(self.cluster(0), 1, "1 agent")

    def test_numbers(self):
        cluster = self.cluster(1)
        for value in ("-1", "many", "", "1.5", "99999999999"):
            with self.subTest(value=value):
                run = self.finish(
                    self.begin(cluster, f"--agents={value}", scenario=ASK_BY_AGENT)
                )
                self.assert_status(run, 2)
                self.assertIn("--agents", run.stderr, run)

    def test_one_that_never_answers_prepare(self):
        """Nothing starts; the others and the next run are not held up."""
        cluster = self.cluster(3, "--prepare-timeout", 2)
        hung = self.begin(cluster, "--agents", 2, scenario=SETUP_THAT_NEVER_ENDS)
        wait_until(lambda: sum(bool(a.slaves()) for a in cluster.agents) == 2, "slaves")
        meanwhile = self.load(cluster, 1, "-r", 5, scenario=ASK_BY_AGENT)
        self.assert_ended_well(meanwhile)
        self.nginx.forget()
        self.assert_never_began(self.finish(hung), "cluster-agent-[012].*2 s")
        self.assert_clean(cluster)
        for agent in cluster.agents:
            self.assertNotIn("refused", agent.log(), "it was released")
        cluster.wait_until_free()
        self.assert_works(cluster, 3)


class NoBroker(UsageTest):
    def test_runner_names_endpoint_and_remedy(self):
        socket = f"ipc://{self.path('nobody')}"
        port = self.new_cluster(tcp="127.0.0.1").frontend
        for endpoint, args in (
            (socket, ("--agents", 1)),
            (socket, ("--attach",)),
            (socket, ("--list-runs",)),
            (socket, ("--stop", "x")),
            (port, ("--agents", 1)),
            (port, ("--attach",)),
        ):
            with self.subTest(endpoint=endpoint, args=args):
                scenario = ASK_BY_AGENT if "--agents" in args else None
                running = self.start(
                    "--broker", endpoint, *args, scenario=scenario, outputs=False
                )
                run = self.finish(running, 25)
                self.assert_status(run, 1)
                self.assertIn(endpoint, run.stderr, run)
                self.assertIn("molotov-broker", run.stderr, run)

    def test_agent_waits_for_one(self):
        """An agent may be there first."""
        cluster = self.new_cluster()
        agent = cluster.add_agent()
        wait_until(lambda: cluster.frontend in agent.log(), "the agent to say what it misses")
        cluster.broker.start()
        cluster.wait_for_agents()
        self.assert_works(cluster, 1)

    def test_broker_of_the_environment(self):
        """MOLOTOV_BROKER stands for --broker; and where nobody is there, no other cluster
        is started for it."""
        cluster = self.cluster(2)
        run = self.run_molotov(
            "--agents", 2, "-r", 5, "--server-url", self.nginx.url,
            env={"MOLOTOV_BROKER": cluster.frontend}, scenario=ASK_BY_AGENT,
        )  # fmt: skip
        self.assert_ended_well(run)
        self.assert_exact(run)
        self.nginx.forget()
        nobody = f"ipc://{self.path('nobody')}"
        run = self.run_molotov(
            "--agents", 2, env={"MOLOTOV_BROKER": nobody}, scenario=ASK_BY_AGENT
        )
        self.assert_never_began(run, nobody)

    def test_check(self):
        cluster = self.cluster(0)
        there = self.call(BROKER, "--check", "--frontend", cluster.frontend)
        self.assertEqual(there.returncode, 0, there)
        self.assertIn(str(cluster.broker.pid), there.stdout + there.stderr, there)
        nobody = self.call(BROKER, "--check", "--frontend", f"ipc://{self.path('nobody')}")
        self.assertNotIn("running. PID", nobody.stdout + nobody.stderr, nobody)


class Endpoints(UsageTest):
    LONG = "x" * 120

    def ping(self, endpoint):
        return self.finish(self.start("--broker", endpoint, "--ping-broker", outputs=False))

    def test_ipc_path_that_is_too_long(self):
        endpoint = f"ipc://{self.path(self.LONG)}"
        for program, args in (
            (BROKER, ("--frontend", endpoint, "--db", self.path("db"))),
            (BROKER, ("--backend", endpoint, "--db", self.path("db"))),
            (AGENT, ("--broker", endpoint)),
        ):
            with self.subTest(program=program, args=args):
                self.assert_refused(self.call(program, *args), (1, 2), "107", self.LONG)
        run = self.ping(endpoint)
        self.assertIn(run.status, (1, 2), run)
        self.assertIn("107", run.stderr, run)

    def test_what_is_no_endpoint(self):
        for endpoint in ("", "nonsense", "tcp://", "tcp://host", "ipc://", "udp://a:1",
                         "tcp://127.0.0.1:99999", "tcp://127.0.0.1:x"):  # fmt: skip
            with self.subTest(endpoint=endpoint):
                self.assert_refused(self.call(AGENT, "--broker", endpoint), 2, "--broker")
                self.assert_refused(
                    self.call(BROKER, "--publisher", endpoint, "--db", self.path("db")),
                    2,
                    "--publisher",
                )
                run = self.ping(endpoint)
                self.assert_status(run, 2)
                self.assertIn("--broker", run.stderr, run)

    def test_directory_that_is_not_there(self):
        done = self.call(
            BROKER, "--frontend", f"ipc://{self.path('no', 'where', 'front')}",
            "--backend", f"ipc://{self.path('back')}",
            "--publisher", f"ipc://{self.path('publish')}", "--db", self.path("db"),
        )  # fmt: skip
        self.assert_refused(done, 1, "no/where")

    def test_port_that_is_taken(self):
        other = self.cluster(0, tcp="127.0.0.1")
        done = self.call(
            BROKER, "--frontend", other.frontend, "--backend", f"ipc://{self.path('back')}",
            "--publisher", f"ipc://{self.path('publish')}", "--db", self.path("db"),
        )  # fmt: skip
        self.assert_refused(done, 1, other.frontend)
        self.assertEqual(other.ping()["pid"], other.broker.pid)


class SecondBroker(UsageTest):
    def test_is_refused_with_the_pid_of_the_first(self):
        cluster = self.cluster(2)
        running = self.begin(
            cluster, "--agents", 2, "-w", 5, "-d", 3, "--delay", 0.01, scenario=ASK_BY_AGENT
        )
        self.wait_for_requests(50, [running])
        places = {
            "frontend": f"ipc://{self.path('front2')}",
            "backend": f"ipc://{self.path('back2')}",
            "publisher": f"ipc://{self.path('publish2')}",
            "db": self.path("db2"),
        }
        shared = {
            "frontend": cluster.frontend,
            "backend": cluster.backend,
            "publisher": cluster.publisher,
            "db": cluster.db,
        }
        for name, value in shared.items():
            with self.subTest(name):
                second = cluster.new_broker(**{**places, name: value})
                done = self.call(*second.command)
                self.assert_refused(done, 1, cluster.broker.pid)
        run = self.finish(running)  # the first one's sockets are still its own
        self.assert_ended_well(run)
        self.assert_exact(run)

    def test_after_a_killed_one_there_may_be_another(self):
        cluster = self.cluster(0)
        cluster.broker.kill()
        cluster.broker.start()
        self.assertEqual(cluster.ping()["pid"], cluster.broker.pid)


class Database(UsageTest):
    def refuse_database(self, *words):
        cluster = self.clusters[0]
        done = self.call(*cluster.new_broker().command)
        self.assert_refused(done, 1, cluster.db, *words)

    def used_cluster(self):
        """One whose broker has written its database and is gone."""
        cluster = self.new_cluster()
        cluster.broker.start()
        cluster.ping()
        self.assertEqual(cluster.broker.end(), 0, cluster.logs())
        return cluster

    def alter(self, *statements):
        db = sqlite3.connect(self.clusters[0].db)
        for statement in statements:
            db.execute(statement)
        db.commit()
        db.close()

    def digest(self):
        with open(self.clusters[0].db, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    def test_of_another_schema(self):
        self.used_cluster()
        self.alter("PRAGMA user_version = 999")
        before = self.digest()
        self.refuse_database("999")
        self.assertEqual(self.digest(), before, "it was not touched")

    def test_of_another_program(self):
        self.new_cluster()
        self.alter("PRAGMA application_id = 1234", "CREATE TABLE friends (name)")
        before = self.digest()
        self.refuse_database()
        self.assertEqual(self.digest(), before, "it was not touched")

    def test_file_that_is_no_database(self):
        cluster = self.new_cluster()
        with open(cluster.db, "w", encoding="utf-8") as file:
            file.write("Dear diary, today I was taken for a database.\n" * 100)
        before = self.digest()
        self.refuse_database()
        self.assertEqual(self.digest(), before, "it was not touched")

    def test_directory(self):
        cluster = self.new_cluster()
        os.mkdir(cluster.db)
        self.refuse_database()

    def test_place_that_is_not_there(self):
        cluster = self.new_cluster(db=self.path("no", "where", "broker.db"))
        self.assert_refused(self.call(*cluster.new_broker().command), 1, cluster.db)

    def test_that_was_cut(self):
        """Its head is whole, and the rest is gone."""
        cluster = self.used_cluster()
        os.truncate(cluster.db, 4096)
        self.refuse_database()


class FullDisk(UsageTest):
    """The database is on a small file system of its own, in a mount namespace that lives
    as long as its holder; so nothing is ever left mounted."""

    SIZE_KIB = 4096

    def setUp(self):
        super().setUp()
        self.disk = self.path("disk")
        os.mkdir(self.disk)
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c",
             f"mount -t tmpfs -o size={self.SIZE_KIB}k tmpfs {self.disk} && echo ready"
             " && exec sleep infinity"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, preexec_fn=dies_at_once_with_its_parent,
        )  # fmt: skip
        self.addCleanup(self.end_holder)
        if self.holder.stdout.readline().strip() != "ready":
            self.skipTest(f"no file system can be mounted here: {self.holder.stderr.read()}")
        self.ballast = f"/proc/{self.holder.pid}/root{self.disk}/ballast"

    def end_holder(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()
        self.holder.stderr.close()

    def fill(self):
        with open(self.ballast, "wb", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue

    def through(self):
        """In front of a command: it sees the disk."""
        return ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", f"--wd={self.directory}"]

    def on_the_disk(self, agents):
        cluster = self.new_cluster(db=os.path.join(self.disk, "broker.db"))
        cluster.broker.command[:0] = self.through()
        return cluster.start(agents)

    def test_results_are_held_until_there_is_room(self):
        cluster = self.on_the_disk(3)
        running = self.begin(
            cluster, "--agents", 2, "-w", 10, "-d", 8, "--delay", 0.01, scenario=ASK_BY_AGENT
        )
        self.wait_for_requests(200, [running])
        self.fill()
        wait_until(lambda: "full" in cluster.broker.log(), "the broker to say so")
        wait_until(
            lambda: "full" in running.stdout_so_far() + running.stderr_so_far(),
            f"the console to say so, not: {running.result(None)}",
        )
        self.refuse_run_without_room(cluster)
        self.assertIsNone(running.process.poll())
        # The run may end meanwhile: that is held, too.
        wait_until(
            lambda: not any(agent.slaves() for agent in cluster.agents), "the slaves' end"
        )
        self.assertIsNone(running.process.poll())
        errors = cluster.broker.log().count("full")
        self.assertLess(errors, 10, "it is said once, not each time")
        os.unlink(self.ballast)
        run = self.finish(running)
        self.assert_ended_well(run)
        self.assert_exact(run)
        self.assert_works(cluster, 3)

    def refuse_run_without_room(self, cluster):
        run = self.load(cluster, 1, "-r", 1, scenario=ASK_BY_AGENT)
        self.assert_status(run, 1)
        self.assertIn("full", run.stderr, run)

    def test_broker_that_dies_then_loses_nothing(self):
        """Nothing was acknowledged, so the agents have it still."""
        cluster = self.on_the_disk(2)
        running = self.begin(
            cluster, "--agents", 2, "-w", 10, "-d", 4, "--delay", 0.01, scenario=ASK_BY_AGENT
        )
        self.wait_for_requests(200, [running])
        self.fill()
        wait_until(lambda: "full" in cluster.broker.log(), "the broker to say so")
        cluster.broker.kill()
        os.unlink(self.ballast)
        cluster.broker.start()
        run = self.finish(running)
        self.assert_ended_well(run)
        self.assert_exact(run)


    def test_agent_without_room(self):
        """It says so, and can do the next run when there is room."""
        cluster = self.cluster(1)
        cluster.add_agents(1, through=self.through(), env={"XDG_RUNTIME_DIR": self.disk})
        self.fill()
        run = self.load(cluster, 2, "-r", 5, scenario=ASK_BY_AGENT)
        self.assert_never_began(run, "cluster-agent-1.*(?i:no space)")
        os.unlink(self.ballast)
        cluster.wait_until_free()
        self.assert_works(cluster, 2)


class OtherMachines(UsageTest):
    """What an agent is sent need not fit its machine: a compiled test without the right
    stamp is compiled there."""

    def recorded(self, *args, scenario=ASK_BY_AGENT):
        return RecordedRun(
            self, *args, "--agents", 2, "-w", 2, "-r", 5, "--server-url", self.nginx.url,
            scenario=scenario,
        )  # fmt: skip

    def replace_object(self, recorded, content):
        digest = hashlib.sha256(content).hexdigest()
        recorded.files[digest] = content
        recorded.run["bundle"].update(object=digest, object_size=len(content))

    def check_run(self, cluster, recorded):
        answer = recorded.send(cluster.frontend)
        self.assertEqual(answer["message"], "ACCEPTED", answer)
        run = self.finish(self.attach(cluster, recorded.run_id))
        self.assert_ended_well(run)
        self.assert_exact(run)
        self.assertEqual(run.totals["hits"], 2 * 2 * 5, run)

    def test_stamp_that_does_not_fit(self):
        cluster = self.cluster(2)
        recorded = self.recorded()
        mine = recorded.files[recorded.run["bundle"]["object"]]
        machine = os.uname().machine.encode()
        self.assertIn(machine, mine)
        self.replace_object(recorded, mine.replace(machine, b"?" * len(machine)))
        self.check_run(cluster, recorded)

    def test_object_of_another_kind(self):
        cluster = self.cluster(2)
        recorded = self.recorded()
        self.replace_object(recorded, b"no object of this world\n" * 10)
        self.check_run(cluster, recorded)

    def leave_out_the_object(self, recorded):
        del recorded.run["bundle"]["object"], recorded.run["bundle"]["object_size"]

    def test_no_object(self):
        cluster = self.cluster(2)
        recorded = self.recorded()
        self.leave_out_the_object(recorded)
        self.check_run(cluster, recorded)

    def test_local_includes_are_found_there(self):
        """The tree is as it was: also what is above the test's folder."""
        self.write("project/lib/place.h", '#include "more/deep.h"\n')
        self.write("project/lib/more/deep.h", '#define PLACE "/agent/deep"\n')
        test = self.write(
            "project/tests/here/loadtest.c",
            "// molotov: -DWANTED=200\n"
            '#include <molotov.h>\n#include "../../lib/place.h"\n'
            "SCENARIO(s) { mlt_check_int(mlt_get(session, PLACE)->status, WANTED); }\n",
        )
        cluster = self.cluster(2)
        recorded = self.recorded(test, scenario=None)
        self.leave_out_the_object(recorded)
        shutil.rmtree(self.path("project"))
        self.check_run(cluster, recorded)

    def test_source_that_does_not_compile_there(self):
        cluster = self.cluster(2)
        recorded = self.recorded()
        bundle = recorded.run["bundle"]
        self.leave_out_the_object(recorded)
        (source,) = (file for file in bundle["files"] if file["path"] == bundle["test"])
        content = b'#include "only-on-my-machine.h"\n'
        source["sha256"], source["size"] = hashlib.sha256(content).hexdigest(), len(content)
        recorded.files[source["sha256"]] = content
        recorded.send(cluster.frontend)
        run = self.finish(self.attach(cluster, recorded.run_id))
        self.assert_status(run, 1)
        self.assertEqual(run.document["state"], "failed", run)
        self.assertRegex(run.document["failure"], "cluster-agent-[01]", run)
        self.assertIn("only-on-my-machine.h", run.stdout + run.stderr, run)
        self.assert_clean(cluster)


class LoadsOptions(UsageTest):
    """What users of Loads have in their scripts."""

    def test_broker(self):
        cluster = self.new_cluster(
            broker_options=(
                "--register", "ipc:///tmp/r", "--receiver", "ipc:///tmp/x", "--heartbeat",
                "ipc:///tmp/h", "--io-threads", "2", "--web-root", "http://localhost/",
                "--db-python-directory", "/tmp/loads", "--db-redis-port", "6379",
            )
        )  # fmt: skip
        cluster.start(1)
        for option in ("--register", "--receiver", "--heartbeat", "--web-root", "--io-threads",
                       "--db-python-directory", "--db-redis-port"):  # fmt: skip
            self.assertIn(option, cluster.broker.log())
        self.assert_works(cluster, 1)

    def test_databases(self):
        for name in ("python", "redis"):
            with self.subTest(name):
                done = self.call(BROKER, "--db", name)
                self.assert_refused(done, 2, "--db", "SQLite")

    def test_agent(self):
        cluster = self.cluster(
            1, options=("--params", "a:b|c:d", "--timeout", "20", "--max-age", "30",
                        "--max-age-delta", "5"),
        )  # fmt: skip
        for option in ("--params", "--timeout", "--max-age", "--max-age-delta"):
            self.assertIn(option, cluster.agents[0].log())
        self.assert_works(cluster, 1)

    def test_help_and_version(self):
        for program in (BROKER, AGENT):
            for option, word in (("--help", "Usage: "), ("--version", ".")):
                with self.subTest(program=program, option=option):
                    done = self.call(program, option)
                    self.assertEqual(done.returncode, 0, done)
                    self.assertIn(word, done.stdout, done)
                    self.assertEqual(done.stderr, "", done)

    def test_unknown_options(self):
        for program in (BROKER, AGENT):
            with self.subTest(program):
                self.assert_refused(self.call(program, "--lgofile", "x"), 2, "--logfile")

    def test_logfile(self):
        cluster = self.new_cluster()
        log = self.path("of-the-broker")
        cluster.broker = Daemon(
            self, "logs", [*cluster.new_broker().command, "--logfile", log, "--debug"]
        )
        cluster.start(1)
        cluster.broker.end()
        self.assertEqual(cluster.broker.log(), "")
        with open(log, encoding="utf-8") as file:
            text = file.read()
        self.assertIn(cluster.frontend, text)
        self.assertIn("cluster-agent-0", text)


class WhatAgentsSay(UsageTest):
    def test_backend_that_is_out_of_reach(self):
        """A broker on tcp whose backend is a path, as it is of another host."""
        cluster = self.new_cluster(tcp="127.0.0.1")
        backend = self.path("elsewhere")
        cluster.broker = cluster.new_broker(backend=f"ipc://{backend}")
        cluster.start(0)
        cluster.ping()
        os.unlink(backend)
        agent = cluster.add_agent()
        words = f"{cluster.frontend}: it answers, but not its backend ipc://{backend}"
        wait_until(lambda: words in agent.log(), "the agent to say what it misses")
        self.assertIn("--backend", agent.log())
        self.assertNotIn("no broker answers", agent.log())

    def test_backend_where_nobody_is(self):
        nobody = self.new_cluster(tcp="127.0.0.1").backend
        broker = FakeBroker(
            lambda broker, _place, route, _: broker.pong(route, backend=nobody)
        )
        self.addCleanup(broker.close)
        cluster = self.new_cluster()
        cluster.frontend = broker.frontend
        agent = cluster.add_agent()
        words = f"{cluster.frontend}: it answers, but not its backend {nobody}"
        wait_until(lambda: words in agent.log(), "the agent to say what it misses")
        asked = broker.heard["PING"]
        wait_until(lambda: broker.heard["PING"] > asked + 1, "the agent to ask again")
        self.assertEqual(agent.log().count("is process"), 1, agent.log())
        self.assertEqual(agent.log().count(words), 1, agent.log())

    def test_order_that_cannot_be_read(self):
        """The person is to hear of it, not of a time-out."""
        refusals = []

        def answer(broker, place, route, message):
            if message["message"] == "PING":
                broker.pong(route)
            elif message["message"] == "REGISTER":
                broker.send(place, route, "REGISTERED", sequence=0)
                for run_id in ("no such id!", "unreadable"):
                    broker.send(place, route, "PREPARE", index=0, agents=1, bundle={},
                                job={"run-id": run_id, "workers": "many"})  # fmt: skip
            elif message["message"] == "REFUSED":
                refusals.append(message)

        broker = FakeBroker(answer)
        self.addCleanup(broker.close)
        cluster = self.new_cluster()
        cluster.frontend = broker.frontend
        agent = cluster.add_agent()
        wait_until(lambda: refusals, "the agent to refuse it")
        wait_until(lambda: broker.heard["BEAT"] > 1, "the agent to go on")
        self.assertEqual([each["run"] for each in refusals], ["unreadable"])
        self.assertIn("workers", refusals[0]["why"])
        self.assertTrue(agent.is_running())

    def test_why_it_ends_beside_the_log(self):
        """Whoever started it looks at its stderr."""
        broker = FakeBroker(
            lambda broker, place, route, _: broker.send(
                place, route, "REFUSED", why="no guests"
            )
        )
        self.addCleanup(broker.close)
        log = self.path("of-the-agent")
        done = self.call(AGENT, "--broker", broker.frontend, "--logfile", log)
        self.assert_refused(done, 1, "no guests")
        with open(log, encoding="utf-8") as file:
            self.assertIn("no guests", file.read())


class Contradictions(UsageTest):
    def test_of_the_runner(self):
        cluster = self.cluster(1)
        for args in (
            ("--attach", "--detach"),
            ("--attach", "--stop", "x"),
            ("--list-runs", "--ping-broker"),
            ("--agents", "1", "--attach"),
            ("--keep-cluster", "--agents", "1"),
            ("--stop", "x", "--agents", "1"),
        ):
            with self.subTest(args=args):
                run = self.finish(
                    self.start("--broker", cluster.frontend, *args, outputs=False)
                )
                self.assert_status(run, 2)
                self.assertIn(args[0], run.stderr, run)


if __name__ == "__main__":
    unittest.main()
