"""proto/README.md is enough to write an agent and a console: those of protocol.py take
part in real runs, and every number agrees. And the rules of exactly once, from outside."""

import hashlib
import os
import signal
import time
import unittest

import protocol
from cluster import ASK_BY_AGENT, NGINX_BY_AGENT, ClusterTest
from harness import wait_until
from protocol import made_up

BROWSE = """
SCENARIO(found)
{
    mlt_count("asked", 1);
    mlt_check_int(mlt_get(session, "/")->status, 200);
    mlt_get(session, "/redirect");
}
SCENARIO(missing) { mlt_check_int(mlt_get(session, "/missing?q=1")->status, 200); }
"""


def merged(parts):
    whole = protocol.Stats()
    for part in parts:
        whole.merge(part)
    return whole


class ProtocolTest(ClusterTest):
    nginx_options = {"more": NGINX_BY_AGENT}

    def agent(self, cluster, name="python"):
        agent = protocol.Agent(cluster.frontend, name)
        self.addCleanup(agent.close)
        self.assertEqual(agent.register()["message"], "REGISTERED")
        return agent

    def console(self, cluster, run, **options):
        console = protocol.Console(cluster.frontend, run, **options)
        self.addCleanup(console.close)
        return console

    def begin_url(self, cluster, agents, *args):
        """A run whose agents are all of Python: what they are to load does not matter."""
        return self.begin(cluster, "--agents", agents, "http://127.0.0.1:9/", *args)

    def assert_latency(self, shown, histogram, run):
        count = histogram.count
        self.assertEqual(shown["count"], count, run)
        if count == 0:
            return
        self.assertEqual([shown["min"], shown["max"]], histogram.extremes, run)
        self.assertAlmostEqual(shown["mean"], histogram.sum_us / count, places=3)
        for key, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
            bucket = protocol.bucket_of(shown[key])
            below = sum(n for b, n in histogram.buckets.items() if b < bucket)
            through = below + histogram.buckets[bucket]
            self.assertTrue(below <= share * count <= through, f"{key} of {shown}\n{run}")

    def assert_reported(self, run, stats):
        """The document has these rows, digit for digit (and may have others)."""
        rows = {f"{row['method']} {row['name']}": row for row in run.document["requests"]}
        for name, request in stats.tables["requests"].items():
            row = rows[name]
            for key in ("hits", "unsent", "bytes_in", "bytes_out"):
                self.assertEqual(row[key], request.sums[key], f"{name} {key}\n{run}")
            self.assertEqual(row["errors"], request.sums["hit_errors"], run)
            statuses = {str(status): count for status, count in request.statuses.items()}
            self.assertEqual(row["status"], statuses, run)
            self.assert_latency(row["latency_us"], request.latency, run)
            for phase, histogram in request.phases.items():
                self.assert_latency(row["phases_us"][phase], histogram, run)
        for name, scenario in stats.tables["scenarios"].items():
            row = run.scenario(name)
            for key in ("ok", "failed", "cancelled"):
                self.assertEqual(row[key], scenario.sums[key], f"{name} {key}\n{run}")
            self.assert_latency(row["latency_us"], scenario.latency, run)
        errors = {row["message"]: row for row in run.document["errors"]}
        for message, error in stats.tables["errors"].items():
            row = errors[message]
            self.assertEqual((row["count"], row["sample"]), (error.count, error.sample[1]), run)
        for name, counter in stats.tables["counters"].items():
            value = counter.sums["added"] - counter.sums["taken"]
            self.assertEqual(run.document["counters"][name], value, run)


class Codec(unittest.TestCase):
    """Whether protocol.py is right where no program could tell."""

    def test_buckets_are_those_of_the_comment(self):
        """In stats/delta.c: where each begins, and that they meet."""
        for bucket in range(128, protocol.BUCKETS):
            doubling, place = divmod(bucket - 128, 64)
            low = (64 + place) << (doubling + 1)
            self.assertEqual(protocol.bucket_of(low), bucket)
            self.assertEqual(protocol.bucket_of(low - 1), bucket - 1)
        self.assertEqual(protocol.bucket_of(127), 127)
        self.assertEqual(protocol.bucket_of(2**63), protocol.BUCKETS - 1)

    def test_what_is_written_is_read(self):
        stats = made_up(1)
        again = protocol.Stats.from_wire(stats.to_wire(1, 2, 3))
        self.assertEqual(again.sums(), stats.sums())
        numbers = [0, 1, 127, 128, 300, 2**64 - 1]
        written = b"".join(map(protocol.put_number, numbers))
        self.assertEqual(protocol.get_numbers(written), numbers)


class PythonAgent(ProtocolTest):
    def test_beside_real_ones(self):
        """It gets the test's files, starts with the others, and its numbers are in the
        report, beside what nginx saw of the real agents."""
        cluster = self.cluster(2)
        agent = self.agent(cluster)
        header = self.write("test/own.h", "#define WANTED 200\n")
        source = self.write(
            "test/loadtest.c",
            '#include <molotov.h>\n#include "own.h"\n'
            'SCENARIO(s) { mlt_check_int(mlt_get(session, "/")->status, WANTED); }\n',
        )
        running = self.begin(cluster, source, "--agents", 3, "-w", 4, "-d", 3, "-p", 2)

        prepare = agent.prepare()
        self.assertEqual(prepare["agents"], 3)
        self.assertIn(prepare["index"], range(3))
        self.assertEqual(prepare["job"]["workers"], 4)
        self.check_files(agent, prepare["bundle"], [source, header])
        agent.be_ready()
        agent.wait("START")
        agent.claim["state"] = "running"
        parts = [made_up(seed) for seed in range(6)]
        for part in parts:
            agent.wait_until_held(agent.report(part) - 1)
        agent.end()

        run = self.finish(running)
        self.assert_ended_well(run)
        whole = merged(parts)
        self.assert_reported(run, whole)
        logged = self.nginx.count()
        self.assertGreater(logged, 0)
        self.assertEqual(run.scenario("s")["ok"], logged, run)
        self.assertEqual(run.totals["hits"], logged + whole.total("requests", "hits"), run)
        self.assertEqual(run.document["agents"], 3, run)
        self.assertEqual(run.document["workers"], 3 * 2 * 4, run)

    def check_files(self, agent, bundle, paths):
        """Each file of the bundle, and the compiled test, can be fetched."""
        wanted = set()
        for path in paths:
            with open(path, "rb") as file:
                wanted.add(file.read())
        contents = {}
        for file in bundle["files"]:
            content = contents[file["path"]] = agent.fetch(file["sha256"])["content"]
            self.assertEqual(len(content), file["size"])
        self.assertEqual(set(contents.values()), wanted, bundle)
        self.assertEqual(os.path.basename(bundle["test"]), "loadtest.c")
        self.assertIn(bundle["test"], contents)
        self.assertEqual(agent.fetch(bundle["object"])["content"][:4], b"\x7fELF")
        unknown = hashlib.sha256(b"never sent").hexdigest()
        self.assertIn("why", agent.fetch(unknown))

    def test_refuses(self):
        """What it says is what the runner says, and the others are free again."""
        cluster = self.cluster(1)
        agent = self.agent(cluster)
        running = self.begin(cluster, "--agents", 2, "-r", 1, scenario=ASK_BY_AGENT)
        run_id = agent.prepare()["job"]["run-id"]
        agent.backend.send("REFUSED", run=run_id, why="there is no \x1b[31msnake\n here")
        agent.claim = {}
        run = self.finish(running)
        self.assert_status(run, 1)
        self.assertRegex(run.stderr + run.stdout, r"python: .*there is no  \[31msnake  ?here")
        self.assertNotIn("\x1b", run.stderr + run.stdout, "a terminal is a person's")
        self.assertEqual(self.nginx.count(), 0, run)
        run = self.load(cluster, 1, "-r", 1, scenario=ASK_BY_AGENT)
        self.assert_ended_well(run)

    def ask_to_stop(self, cluster, run_id):
        answer = protocol.ask_once(
            cluster.frontend, "STOP", version=1, run=run_id, force=False, why="a test"
        )
        self.assertEqual(answer.pop("message"), "ACCEPTED", answer)
        return answer

    def test_is_stopped_and_stops(self):
        """STOP comes to it whoever asks; and what stops it stops the others."""
        cluster = self.cluster(1)
        agent = self.agent(cluster)
        running = self.begin(cluster, "--agents", 2, "-d", 60, scenario=ASK_BY_AGENT)
        run_id = agent.begin()["job"]["run-id"]
        self.assertEqual(self.ask_to_stop(cluster, run_id), {"run": run_id})
        self.assertFalse(agent.wait("STOP")["force"])
        self.assertEqual(self.ask_to_stop(cluster, run_id), {"run": run_id})
        agent.claim["stopping"] = True
        agent.end()
        run = self.finish(running)
        self.assertEqual(run.document["state"], "stopped", run)
        over = {"run": run_id, "state": "stopped"}
        self.assertEqual(self.ask_to_stop(cluster, run_id), over)
        self.assertEqual(run.document["interrupted_by"], "a test", run)
        self.assertEqual(run.totals["hits"], self.nginx.count(), run)

        self.nginx.forget()
        running = self.begin(cluster, "--agents", 2, "-d", 60, scenario=ASK_BY_AGENT)
        agent.begin()
        agent.report(made_up(1), stopping={"why": "--exception", "failed": False})
        agent.end()
        run = self.finish(running)
        self.assertEqual(run.document["interrupted_by"], "--exception", run)
        self.assert_reported(run, made_up(1))

    def test_tells_of_lost_processes_and_failures(self):
        cluster = self.cluster(0)
        agent = self.agent(cluster)
        running = self.begin_url(cluster, 1)
        agent.begin()
        lost = {"index": 3, "signal": 11, "status": 0, "stuck": False, "scenario": "dreamt"}
        agent.report(made_up(1), lost=[lost])
        agent.end(failure="the dream is over")
        run = self.finish(running)
        self.assert_status(run, 1)
        self.assertEqual(run.document["state"], "failed", run)
        self.assertIn("the dream is over", run.document["failure"], run)
        (process,) = run.document["processes_lost"]
        self.assertEqual(
            (process["index"], process["signal"], process["scenario"]),
            (3, "SIGSEGV", "dreamt"),
            run,
        )
        self.assert_reported(run, made_up(1))

    def test_leaves(self):
        """BYE: the run goes on with the others, without a wait for its silence."""
        cluster = self.cluster(1)
        agent = self.agent(cluster)
        running = self.begin(cluster, "--agents", 2, "-d", 3, scenario=ASK_BY_AGENT)
        agent.begin()
        agent.wait_until_held(agent.report(made_up(1)))
        agent.backend.send("BYE")
        run = self.finish(running)
        (lost,) = run.document["agents_lost"]
        self.assertEqual((lost["name"], lost["counted"]), ("python", True), run)
        self.assert_reported(run, made_up(1))


    def test_orders_come_until_they_are_followed(self):
        """One that got lost comes again: what counts is what the agent says it has."""
        cluster = self.cluster(0)
        agent = self.agent(cluster)
        running = self.begin_url(cluster, 1)
        for _ in range(2):
            agent.wait("PREPARE")
        run_id = agent.prepare()["job"]["run-id"]
        agent.be_ready()
        for _ in range(3):
            agent.wait("START")
        agent.claim["state"] = "running"
        running.signal(signal.SIGTERM)
        for _ in range(2):
            self.assertFalse(agent.wait("STOP")["force"])
        agent.claim["stopping"] = True
        running.signal(signal.SIGTERM)
        for _ in range(2):
            self.assertTrue(agent.wait("STOP")["force"])
        agent.claim["forced"] = True
        claim = dict(agent.claim)
        agent.end()
        agent.claim = claim
        self.assertEqual(agent.wait("RELEASE")["run"], run_id)
        run = self.finish(running)
        self.assertEqual(run.document["state"], "stopped", run)

    def test_forgets_its_run(self):
        """An agent that was started anew, say: it is lost for the run, not prepared again."""
        cluster = self.cluster(1)
        agent = self.agent(cluster)
        running = self.begin(cluster, "--agents", 2, "-d", 4, scenario=ASK_BY_AGENT)
        agent.begin()
        agent.wait_until_held(agent.report(made_up(1)))
        prepared = agent.heard["PREPARE"]
        agent.claim = {}
        while running.process.poll() is None:
            agent.poll(0.1)  # it is not silent
        run = self.finish(running)
        (lost,) = run.document["agents_lost"]
        self.assertEqual(lost["name"], "python", run)
        self.assertLess(lost["when"], 4, run)
        self.assert_reported(run, made_up(1))
        for _ in range(20):
            agent.poll(0.1)
        self.assertEqual(agent.heard["PREPARE"], prepared)

    def test_takes_a_new_connection(self):
        """The newer REGISTER counts; what comes over the older connection does not."""
        cluster = self.cluster(0)
        agent = self.agent(cluster)
        running = self.begin_url(cluster, 1)
        agent.begin()
        agent.wait_until_held(agent.report(made_up(1)))
        old, agent.backend = agent.backend, None
        self.addCleanup(old.close)
        self.assertEqual(agent.register()["sequence"], 1)
        old.send("BEAT", claim=agent.claim)
        wait_until(lambda: old.receive(1)["message"] == "UNKNOWN", "the old one to be unknown")
        agent.wait_until_held(agent.report(made_up(2)))
        agent.end()
        run = self.finish(running)
        self.assert_ended_well(run)
        self.assert_reported(run, merged([made_up(1), made_up(2)]))


class PythonConsole(ProtocolTest):
    def follow_a_run(self, duration_s, drops):
        """A real run by two real agents, and a console on it."""
        cluster = self.cluster(2)
        running = self.begin(cluster, "--agents", 2, "-w", 3, "-d", duration_s, scenario=BROWSE)
        console = self.console(cluster, cluster.active_run(), drops=drops)
        end = console.follow()
        run = self.finish(running)
        self.assert_ended_well(run)
        self.assert_exact(run)
        return cluster, console, end, run

    def check(self, console, end, run):
        """The sum of all that was published is the final report, and that is what the
        runner shows."""
        final = protocol.Stats.from_wire(end["delta"])
        self.assertEqual(end["after"], 0)
        self.assertEqual(console.revision, end["revision"], console.counts)
        self.assertEqual(console.stats.sums(), final.sums(), console.counts)
        self.assertEqual(final.total("requests", "hits"), run.totals["hits"], run)
        self.assertEqual(final.total("scenarios", "failed"), run.totals["failed"], run)
        self.assert_reported(run, final)
        self.assertEqual(end["facts"]["state"], "finished")
        self.assertEqual(end["elapsed_us"], end["delta"]["until_us"])
        hits = sum(end["series"]["rows"][::4])
        self.assertEqual(hits, run.totals["hits"], end["series"])

    def test_follows(self):
        cluster, console, end, run = self.follow_a_run(4, lambda update: False)
        self.check(console, end, run)
        self.assertGreater(console.counts["taken"], 4, console.counts)
        self.assertGreater(console.counts["taken"], console.counts["answers"])
        self.assertEqual(console.counts["gaps"], 0, console.counts)
        self.check_late(cluster, end)

    def check_late(self, cluster, end):
        """Who comes when all is over is told the same."""
        late = self.console(cluster, end["run"])
        self.assertEqual(late.follow(), end)
        listed = {run["run"]: run for run in cluster.runs()}
        self.assertEqual(listed[end["run"]]["state"], "finished")

    def test_closes_gaps(self):
        """Every third update is lost: it asks, and misses nothing."""
        _, console, end, run = self.follow_a_run(
            6, lambda update: update["revision"] % 3 == 0 and update["elapsed_us"] < 5000000
        )
        self.assertGreater(console.counts["dropped"], 2, console.counts)
        self.assertGreater(console.counts["gaps"], 2, console.counts)
        self.check(console, end, run)

    def test_asks_for_any_part(self):
        """SNAPSHOT{after}: whatever was seen before, the rest makes it whole."""
        cluster = self.cluster(0)
        agent = self.agent(cluster)
        running = self.begin_url(cluster, 1)
        run_id = agent.begin()["job"]["run-id"]
        parts, revisions = [], [0]
        for seed in range(5):
            parts.append(made_up(seed))
            agent.wait_until_held(agent.report(parts[-1]))
            revisions.append(self.snapshot(cluster, run_id, 0)["revision"])
        self.assertEqual(revisions, sorted(set(revisions)))
        for known, after in enumerate(revisions):
            answer = self.snapshot(cluster, run_id, after)
            self.assertEqual((answer["after"], answer["revision"]), (after, revisions[-1]))
            got = protocol.Stats.from_wire(answer["delta"])
            self.assertEqual(got.sums(), merged(parts[known:]).sums())
        # Who claims to know more than there is begins again.
        answer = self.snapshot(cluster, run_id, 10**6)
        self.assertEqual((answer["after"], answer["revision"]), (0, revisions[-1]))
        self.assertEqual(
            protocol.Stats.from_wire(answer["delta"]).sums(), merged(parts).sums()
        )
        agent.end()
        run = self.finish(running)
        self.assert_reported(run, merged(parts))

    def snapshot(self, cluster, run_id, after):
        answer = protocol.ask_once(
            cluster.frontend, "SNAPSHOT", version=1, run=run_id, after=after
        )
        self.assertEqual((answer["message"], answer["run"]), ("UPDATE", run_id), answer)
        self.assertIn("facts", answer)
        return answer


class ExactlyOnce(ProtocolTest):
    def begin_alone(self, **options):
        """A run with a Python agent alone."""
        cluster = self.cluster(0, **options)
        agent = self.agent(cluster)
        running = self.begin_url(cluster, 1)
        agent.begin()
        return cluster, agent, running

    def check(self, agent, running, parts):
        agent.end()
        run = self.finish(running)
        self.assert_ended_well(run)
        whole = merged(parts)
        self.assert_reported(run, whole)
        self.assertEqual(run.totals["hits"], whole.total("requests", "hits"), run)
        return run

    def send(self, agent, sequence, part, times=1):
        """One REPORT, whatever number it has."""
        for _ in range(times):
            agent.backend.send(
                "REPORT",
                run=agent.claim["run"],
                delta=part.to_wire(sequence, 0, 1000),
                lost=[],
                ended=False,
            )

    def test_each_number_counts_once(self):
        """Twice, with a gap, an older one, other content under an old number: only the
        next number counts, and each answer tells what is held."""
        _, agent, running = self.begin_alone()
        parts = {number: made_up(number) for number in range(1, 10)}
        self.send(agent, 1, parts[1], times=2)
        agent.wait_until_held(1)
        self.send(agent, 3, parts[3])  # 2 is missing
        self.assertEqual(agent.wait("ACK")["sequence"], 1)
        self.send(agent, 1, made_up(77))
        self.assertEqual(agent.wait("ACK")["sequence"], 1)
        for number in (2, 3, 2, 3, 2):
            self.send(agent, number, parts[number])
        agent.wait_until_held(3)
        for number in range(4, 10):  # more than an agent may have unacknowledged
            self.send(agent, number, parts[number])
        agent.wait_until_held(9)
        self.send(agent, 2**63, made_up(78))
        self.send(agent, 9, parts[9])
        # One of them may have been on its way when 9 was held: the last counts.
        wait_until(lambda: agent.wait("ACK")["sequence"] == 9, "the answer to an old one")
        agent.claim["sequence"] = 9
        self.check(agent, running, parts.values())

    def test_acknowledges_what_is_stored(self):
        """No ACK comes before its commit: kill -9 after it, and it counts."""
        cluster, agent, running = self.begin_alone()
        parts = []
        for seed in range(3):
            parts.append(made_up(seed))
            agent.wait_until_held(agent.report(parts[-1]))
            cluster.broker.kill()
            cluster.broker.start()
            registered = agent.register()
            self.assertEqual(registered["sequence"], len(parts), registered)
        self.check(agent, running, parts)

    def test_broker_dies_between_report_and_ack(self):
        """At any moment: before the commit, in it, before the ACK is read."""
        cluster, agent, running = self.begin_alone()
        parts, resent = [], 0
        for round_number, delay_s in enumerate((0, 0.02, 0.05, 0.08, 0.1, 0.11, 0.15)):
            for each in range(protocol.UNACKED_MAX):
                parts.append(made_up(10 * round_number + each))
                agent.report(parts[-1])
            time.sleep(delay_s)
            cluster.broker.kill()
            cluster.broker.start()
            registered = agent.register()  # and what is not held, is sent again
            resent += len(parts) - registered["sequence"]
            agent.wait_until_held(len(parts))
        self.assertGreater(resent, 0, "no REPORT was lost with a broker")
        self.check(agent, running, parts)

    def test_stranger_reports(self):
        """Whoever is not an agent of the run adds nothing to it."""
        cluster, agent, running = self.begin_alone()
        other = self.agent(cluster, "other")
        other.claim = {**agent.claim, "sequence": 1}
        self.send(other, 1, made_up(66))
        other.wait("RELEASE")
        stranger = protocol.Peer(agent.context, agent.find_backend())
        self.addCleanup(stranger.close)
        stranger.send(
            "REPORT",
            run=agent.claim["run"],
            delta=made_up(67).to_wire(1, 0, 1000),
            lost=[],
            ended=True,
        )
        self.assertEqual(stranger.receive(10)["message"], "UNKNOWN")
        agent.wait_until_held(agent.report(made_up(1)))
        self.check(agent, running, [made_up(1)])

    def test_same_run_twice(self):
        """A RUN that is sent again is the same run: it is ACCEPTED, and starts once."""
        cluster = self.cluster(0)
        agent, other = self.agent(cluster), self.agent(cluster, "other")
        frontend = protocol.Peer(agent.context, cluster.frontend)
        self.addCleanup(frontend.close)
        run = {
            "version": protocol.VERSION,
            "agents": 1,
            "keep_cluster": False,
            "job": {"test": "http://127.0.0.1:9/", "run-id": "twice-1"},
            "bundle": {"directory": "", "files": []},
        }
        for _ in range(3):
            frontend.send("RUN", **run)
            answer = frontend.receive(10)
            self.assertEqual((answer["message"], answer["run"]), ("ACCEPTED", "twice-1"))
        for each in (agent, other):
            for _ in range(10):
                each.poll(0.1)
        self.assertEqual(
            sorted([agent.heard["PREPARE"] > 0, other.heard["PREPARE"] > 0]), [False, True]
        )
        chosen = agent if agent.heard["PREPARE"] else other
        chosen.begin()
        chosen.report(made_up(1))
        chosen.end()
        answer = protocol.ask_once(cluster.frontend, "RUN", **run)
        self.assertEqual((answer["message"], answer["run"]), ("ACCEPTED", "twice-1"))
        self.assertEqual([run["run"] for run in cluster.runs()], ["twice-1"])


class Recorder:
    """A broker with one agent and one run, which keeps every REPORT that comes, and
    acknowledges only while it is told to."""

    def __init__(self, job):
        self.job = job
        self.acknowledges = False
        self.held = 0
        self.reports = {}
        self.came = []  # numbers, in their order
        self.claims = []
        self.changed = []  # numbers that came again with something else
        self.is_released = False
        self.broker = protocol.FakeBroker(self.answer)

    def answer(self, broker, place, route, message):
        name = message["message"]
        self.route = route
        if name == "PING":
            broker.pong(route)
        elif name == "REGISTER":
            self.welcome(message)
        elif name == "READY":
            self.say("START", run=self.job["run-id"])
        elif name == "BEAT":
            self.claims.append(message.get("claim"))
            self.say("BEAT")
        elif name == "REPORT":
            self.take_report(message)

    def say(self, message, **fields):
        self.broker.send("backend", self.route, message, **fields)

    def welcome(self, message):
        if "claim" in message:
            self.say("REGISTERED", run=self.job["run-id"], sequence=self.held)
        else:
            self.say("REGISTERED", sequence=0)
            bundle = {"directory": "", "files": []}
            self.say("PREPARE", index=0, agents=1, job=self.job, bundle=bundle)

    def take_report(self, message):
        sequence = message["delta"]["seq"]
        self.came.append(sequence)
        if self.reports.setdefault(sequence, message) != message:
            self.changed.append(sequence)
        if not self.acknowledges:
            return
        if sequence == self.held + 1:
            self.held = sequence
        self.say("ACK", run=self.job["run-id"], sequence=self.held)
        if self.reports[self.held]["ended"]:
            self.say("RELEASE", run=self.job["run-id"])
            self.is_released = True


class RealAgent(ProtocolTest):
    """Keeps to the rules of the page, as seen by a broker in Python."""

    def test_keeps_what_is_not_acknowledged(self):
        """Four REPORTs and no more; the same again, when they were lost; and with all that
        was merged meanwhile they are what nginx saw."""
        job = {"test": self.nginx.url, "run-id": "recorded", "workers": 2, "duration": 8,
               "delay": 0.01}  # fmt: skip
        recorder = Recorder(job)
        self.addCleanup(recorder.broker.close)
        cluster = self.new_cluster()
        cluster.frontend = recorder.broker.frontend
        agent = cluster.add_agent()
        wait_until(lambda: len(recorder.reports) == 4, "four REPORTs")
        served = self.nginx.lines()
        self.wait_for_requests(served + 100)
        wait_until(lambda: recorder.came.count(1) > 1, "them to come again by themselves")
        self.assertEqual(sorted(recorder.reports), [1, 2, 3, 4])

        recorder.held, recorder.came = 2, []
        recorder.say("UNKNOWN")
        wait_until(lambda: len(recorder.came) >= 2, "3 and 4 to come again")
        self.assertEqual(recorder.came[:2], [3, 4])
        recorder.acknowledges = True
        wait_until(lambda: recorder.is_released, "the end of the run")
        wait_until(lambda: not agent.slaves(), "the slave to be gone")

        self.assertEqual(recorder.changed, [])
        self.assertEqual(sorted(recorder.reports), list(range(1, recorder.held + 1)))
        whole = merged(
            protocol.Stats.from_wire(report["delta"]) for report in recorder.reports.values()
        )
        self.assertEqual(whole.total("requests", "hits"), self.nginx.count())
        self.assertEqual(whole.scalars["workers_started"], 2)
        states = [claim["state"] for claim in recorder.claims if claim]
        self.assertIn("running", states)
        wait_until(lambda: recorder.claims[-1] is None, "the agent to be free")


class OtherVersions(ProtocolTest):
    WORDS = r"version 1\b.*version 2\b|version 2\b.*version 1\b"

    def test_runner_of_another_version(self):
        cluster = self.cluster(0)
        for message, fields in {
            "PING": {},
            "LIST": {},
            "RUN": {},
            "SNAPSHOT": {"run": "x", "after": 0},
            "STOP": {"run": "x", "force": False, "why": "x"},
        }.items():
            with self.subTest(message):
                answer = protocol.ask_once(cluster.frontend, message, version=2, **fields)
                self.assertEqual(answer["message"], "REFUSED")
                self.assertRegex(answer["why"], self.WORDS)
        self.assertEqual(cluster.runs(), [])

    def test_agent_of_another_version(self):
        cluster = self.cluster(0)
        agent = protocol.Agent(cluster.frontend, "from the future")
        agent.version = 2
        self.addCleanup(agent.close)
        answer = agent.register()
        self.assertEqual(answer["message"], "REFUSED")
        self.assertRegex(answer["why"], self.WORDS)
        self.assertEqual(cluster.ping()["agents"], [])

    def refuse(self, broker, place, route, _message):
        broker.send(place, route, "REFUSED", why="version 2 is spoken here, not version 1")

    def test_broker_of_another_version(self):
        """Both programs say so and end, with status 1."""
        broker = protocol.FakeBroker(self.refuse)
        self.addCleanup(broker.close)
        run = self.run_molotov("--broker", broker.frontend, "--agents", 1, "http://127.0.0.1:9/")
        self.assert_status(run, 1)
        self.assertIn("version 2 is spoken here, not version 1", run.stderr, run)
        cluster = self.new_cluster()
        cluster.frontend = broker.frontend
        agent = cluster.add_agent()
        self.assertEqual(agent.process.wait(30), 1, agent.log())
        self.assertIn("version 2 is spoken here, not version 1", agent.log())

    def test_backend_of_another_version(self):
        """The REGISTER is refused: the agent ends, too."""

        def answer(broker, place, route, message):
            if message["message"] == "PING":
                broker.pong(route)
            else:
                self.refuse(broker, place, route, message)

        broker = protocol.FakeBroker(answer)
        self.addCleanup(broker.close)
        cluster = self.new_cluster()
        cluster.frontend = broker.frontend
        agent = cluster.add_agent()
        self.assertEqual(agent.process.wait(30), 1, agent.log())
        self.assertIn("version 2 is spoken here, not version 1", agent.log())


if __name__ == "__main__":
    unittest.main()
