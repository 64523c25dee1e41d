"""A cluster for each test: a broker and agents in the test's own directory, ended with it.

Each program has a mark of its own in its environment, which its children inherit: so a
test finds the slaves of one agent, and what somebody left behind."""

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import time
import uuid

import zmq

import protocol
from harness import (
    MARK,
    PATIENCE_S,
    RUNNER,
    NginxTest,
    listening_socket,
    marked_processes,
    read_text,
    wait_until,
)

BROKER = os.path.join(os.path.dirname(RUNNER), "molotov-broker")
AGENT = os.path.join(os.path.dirname(RUNNER), "molotov-agent")
CLONE_NEWNET = 0x40000000


def dies_at_once_with_its_parent():
    """Runs in the child before exec. SIGKILL: one that is stopped takes no other."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


# --- what a runner says -----------------------------------------------------------------


class RecordedRun:
    """What a runner sends to start a run: its RUN and the files, taken down by a broker
    that is none. The run can then be sent by others, also changed."""

    def __init__(self, test, *args, scenario):
        self.run, self.files = None, {}
        self.is_whole = threading.Event()
        broker = protocol.FakeBroker(self.answer)
        try:
            runner = test.start("--broker", broker.frontend, *args, scenario=scenario)
            test.assertTrue(self.is_whole.wait(PATIENCE_S), runner.result(None))
            runner.kill()
        finally:
            broker.close()

    @property
    def run_id(self):
        return self.run["job"]["run-id"]

    def answer(self, broker, _, route, message):
        """Lacks all files the first time; then it has heard all."""
        if message["message"] == "PING":
            broker.pong(route)
        elif message["message"] == "FILE":
            self.files[message["sha256"]] = message["content"]
        elif self.run is None:
            self.run = message
            broker.send("frontend", route, "LACKS", run=self.run_id, files=self.digests())
        elif set(self.digests()) <= set(self.files):
            self.is_whole.set()

    def digests(self):
        bundle = self.run["bundle"]
        files = {file["sha256"] for file in bundle["files"]}
        return sorted(files | ({bundle["object"]} if "object" in bundle else set()))

    def send(self, endpoint):
        """Sends it as a runner would; the last answer of the broker."""
        with zmq.Context() as context:
            peer = protocol.Peer(context, endpoint)
            try:
                while (answer := peer.ask(**self.run))["message"] == "LACKS":
                    for digest in answer["files"]:
                        peer.send("FILE", sha256=digest, content=self.files[digest])
                return answer
            finally:
                peer.close()


# --- daemons ----------------------------------------------------------------------------


class Daemon:
    """A broker or an agent: to start, kill, stop for a while, and start again."""

    def __init__(self, test, name, command, through=(), env=None):
        self.test = test
        self.name = name
        self.command = [*through, *(str(word) for word in command)]
        self.env = env or {}
        self.log_path = test.path(f"{name}.log")
        self.mark = uuid.uuid4().hex
        self.process = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.test.directory,
                env=self.test.environment({**self.env, MARK: self.mark}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=dies_at_once_with_its_parent,
            )
        return self

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process.poll() is None

    def log(self):
        return read_text(self.log_path) if os.path.exists(self.log_path) else ""

    def slaves(self):
        """Pids of the slaves of this agent, and of the processes that they forked."""
        return [
            pid for pid, line in marked_processes(self.mark).items() if " --slave" in line
        ]

    def kill(self):
        """kill -9, and what was its children is left to its own devices."""
        self.process.kill()
        self.process.wait()

    def pause(self):
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(lambda: self.state() == "T", f"{self.name} to stop")

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)

    def state(self):
        with open(f"/proc/{self.pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0]

    def end(self):
        """SIGTERM; its exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def clear(self):
        """Leaves nothing of it, whatever happened."""
        if self.process is not None and self.is_running():
            self.kill()
        for pid in marked_processes(self.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Cluster:
    """A broker and its agents; on ipc in the test's directory, or on tcp."""

    def __init__(self, test, name="cluster", tcp=None, broker_options=(), db=None):
        """`tcp`: the host whose ports are used."""
        self.test = test
        self.name = name
        os.makedirs(test.path(name), mode=0o700)
        self.db = db or test.path(name, "broker.db")
        self.frontend, self.backend, self.publisher = (
            self.endpoint(socket_name, tcp) for socket_name in ("front", "back", "publish")
        )
        self.broker = self.new_broker(broker_options)
        self.agents = []

    def endpoint(self, name, tcp):
        if tcp is None:
            return f"ipc://{self.test.path(self.name, name)}"
        with listening_socket(tcp) as sock:
            return f"tcp://{tcp}:{sock.getsockname()[1]}"

    def new_broker(self, options=(), through=(), **places):
        """A broker on these endpoints and this database, not started."""
        places = {
            "frontend": self.frontend,
            "backend": self.backend,
            "publisher": self.publisher,
            "db": self.db,
            **places,
        }
        words = [word for name, value in places.items() for word in (f"--{name}", value)]
        return Daemon(
            self.test, f"{self.name}-broker", [BROKER, *words, *options], through=through
        )

    def start(self, agents=0, **options):
        self.broker.start()
        self.add_agents(agents, **options)
        return self

    def add_agents(self, count, **options):
        """Starts more agents, and waits until the broker knows all."""
        for _ in range(count):
            self.add_agent(**options)
        self.wait_for_agents()

    def add_agent(self, options=(), through=(), env=None):
        name = f"{self.name}-agent-{len(self.agents)}"
        command = [AGENT, "--broker", self.frontend, "--name", name, *options]
        agent = Daemon(
            self.test, name, command, through=through, env={"TEST_AGENT": name, **(env or {})}
        )
        self.agents.append(agent.start())
        return agent

    def daemons(self):
        return [self.broker, *self.agents]

    def agent_of(self, name):
        (agent,) = (agent for agent in self.agents if agent.name == name)
        return agent

    # --- what the broker says

    def ask(self, message, patience_s=PATIENCE_S):
        """The answer of the broker; it may be stopped or late, but not gone."""
        end = time.monotonic() + patience_s
        while True:
            with contextlib.suppress(AssertionError):
                return protocol.ask_once(self.frontend, message, 2, version=protocol.VERSION)
            if not self.broker.is_running() or time.monotonic() > end:
                raise AssertionError(f"no answer to {message}\n{self.logs()}")

    def ping(self):
        return self.ask("PING")

    def wait_for_agents(self):
        """Until the broker knows the agents that are running, and no others."""
        pids = sorted(agent.pid for agent in self.agents if agent.is_running())
        wait_until(
            lambda: sorted(agent["pid"] for agent in self.ping()["agents"]) == pids,
            f"the broker to know {len(pids)} agents",
        )

    def wait_until_free(self):
        """Until no agent has a run."""
        wait_until(
            lambda: not any("run" in agent for agent in self.ping()["agents"]),
            "all agents to be free",
        )

    def runs(self):
        """All runs, the newest first."""
        return self.ask("LIST")["runs"]

    def active_run(self):
        """The id of the one run that is going on, once there is one."""
        running = wait_until(
            lambda: [run["run"] for run in self.runs() if run["state"] == "running"],
            "a run to be running",
        )
        return running[0]

    # --- the end

    def end(self):
        """Ends the agents and then the broker, as an operator does, and asserts that
        nothing is left of them."""
        test = self.test
        for daemon in [*self.agents, self.broker]:
            if daemon.process is not None and daemon.is_running():
                test.assertEqual(daemon.end(), 0, f"end of {daemon.name}\n{self.logs()}")
        for daemon in self.daemons():
            test.assertEqual(marked_processes(daemon.mark), {}, f"left by {daemon.name}")
        test.assert_no_sanitizer_report(self.logs())

    def clear(self):
        for daemon in self.daemons():
            daemon.clear()

    def logs(self):
        return "\n".join(
            f"--- {daemon.name}\n{daemon.log()[-6000:]}" for daemon in self.daemons()
        )


# --- a network of its own ---------------------------------------------------------------


class Network:
    """A network namespace, joined to this one by two virtual interfaces. It lives as long
    as its holder, a process that dies with the test: so nothing is ever left of it."""

    def __init__(self):
        number = os.getpid() % 16384
        self.link = f"mlt{number}"
        subnet = f"10.{213 + number // 8192}.{number // 32 % 256}"
        self.host = f"{subnet}.{number % 32 * 8 + 1}"
        self.guest = f"{subnet}.{number % 32 * 8 + 2}"
        self.holder = subprocess.Popen(
            ["unshare", "--net", "sleep", "infinity"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=dies_at_once_with_its_parent,
        )
        try:
            self.join()
        except BaseException:
            self.close()
            raise

    def join(self):
        wait_until(
            lambda: self.holder.poll() is not None
            or os.stat(f"/proc/{self.holder.pid}/ns/net").st_ino
            != os.stat("/proc/self/ns/net").st_ino,
            "the namespace",
        )
        if self.holder.poll() is not None:
            raise OSError(self.holder.stderr.read().decode().strip())
        peer = f"{self.link}p"
        ip("link", "add", self.link, "type", "veth", "peer", peer, "netns", self.holder.pid)
        ip("addr", "add", f"{self.host}/29", "dev", self.link)
        ip("link", "set", self.link, "up")
        ip("addr", "add", f"{self.guest}/29", "dev", peer, through=self.through())
        ip("link", "set", peer, "up", through=self.through())
        ip("link", "set", "lo", "up", through=self.through())

    def through(self):
        """In front of a command: it runs in this network, with the pid it has."""
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]

    def listening_socket(self):
        """A socket on the loopback of this network, to be used from anywhere."""
        libc = ctypes.CDLL(None, use_errno=True)
        with (
            open("/proc/self/ns/net", "rb") as here,
            open(f"/proc/{self.holder.pid}/ns/net", "rb") as there,
        ):
            if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            try:
                return listening_socket("127.0.0.2")
            finally:
                if libc.setns(here.fileno(), CLONE_NEWNET) != 0:
                    os._exit(70)  # in the wrong network, nothing could be trusted

    def cut(self):
        ip("link", "set", self.link, "down")

    def mend(self):
        ip("link", "set", self.link, "up")

    def close(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stderr.close()


def ip(*words, through=()):
    done = subprocess.run(
        [*through, "ip", *(str(word) for word in words)], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(map(str, words))}: {done.stderr.strip()}")


# --- tests ------------------------------------------------------------------------------


class ClusterTest(NginxTest):
    """Tests with a cluster, whose programs' logs are shown where a test fails."""

    def setUp(self):
        super().setUp()
        self.clusters = []
        os.mkdir(self.path("runtime"), mode=0o700)

    def run(self, result=None):
        self.result = result
        self.troubles_before = self.troubles()
        return super().run(result)

    def troubles(self):
        return len(self.result.failures) + len(self.result.errors) if self.result else 0

    def environment(self, extra=None):
        return super().environment({"XDG_RUNTIME_DIR": self.path("runtime"), **(extra or {})})

    def new_cluster(self, **options):
        """A cluster that is not started; it ends with the test."""
        cluster = Cluster(self, f"cluster{len(self.clusters) or ''}", **options)
        self.clusters.append(cluster)
        self.addCleanup(self.end_cluster, cluster)
        return cluster

    def cluster(self, agents, *broker_options, tcp=None, **agent_options):
        """A cluster that is ready."""
        cluster = self.new_cluster(tcp=tcp, broker_options=broker_options)
        return cluster.start(agents, **agent_options)

    def end_cluster(self, cluster):
        """Where all went well the programs must end well, too."""
        try:
            if self.troubles() == self.troubles_before:
                cluster.end()
            else:
                print(f"\n{cluster.logs()}", flush=True)
        finally:
            cluster.clear()

    # --- the runner

    def begin(self, cluster, *args, **options):
        """Starts the runner with this cluster's broker, and the nginx as its target."""
        return self.start(
            "--broker", cluster.frontend, "--server-url", self.nginx.url, *args, **options
        )  # fmt: skip

    def load(self, cluster, agents, *args, timeout_s=PATIENCE_S, **options):
        """A whole run on so many agents."""
        running = self.begin(cluster, "--agents", agents, *args, **options)
        return self.finish(running, timeout_s)

    def attach(self, cluster, *run_id, **options):
        return self.start("--broker", cluster.frontend, "--attach", *run_id, **options)

    def wait_for_requests(self, count, running=()):
        """Until nginx logged so many; or one of these programs ended (the test then says
        what it thinks of that)."""
        wait_until(
            lambda: self.nginx.lines() >= count
            or any(each.process.poll() is not None for each in running),
            f"{count} requests",
        )

    # --- what is to hold

    def assert_ended_well(self, run, state="finished"):
        self.assert_status(run, 0)
        self.assertEqual(run.document["state"], state, run)
        self.assertEqual(run.document["agents_lost"], [], run)
        self.assertEqual(run.document["processes_lost"], [], run)

    def assert_same_documents(self, runs):
        """All show the same, digit for digit."""
        for run in runs:
            self.assertIsNotNone(run.json_text, run)
        first = runs[0]
        for other in runs[1:]:
            self.assertEqual(first.json_text, other.json_text, f"{first}\n{other}")

    def assert_never_began(self, run, *words):
        """The runner says why, with these words, and has nothing to report."""
        self.assert_status(run, 1)
        for word in words:
            self.assertRegex(run.stderr, word, run)
        self.assertIsNone(run.json_text, run)
        self.assertNotIn("SUCCESSES", run.stdout, run)
        self.assertEqual(self.nginx.count(), 0, run)

    def may_run(self):
        """Other runners may go on."""
        return {run.process.pid for run in self.runs if run.process.poll() is None}

    def assert_clean(self, cluster):
        """Nothing is left of any run on these agents: no process, no directory."""
        for agent in cluster.agents:
            wait_until(lambda agent=agent: not agent.slaves(), f"{agent.name} to be clean")
            if agent.is_running():
                wait_until(
                    lambda agent=agent: not self.run_directories(f"agent-{agent.pid}"),
                    f"the directories of {agent.name} to go",
                )

    def run_directories(self, agent=""):
        """The directories of runs that agents of this test have."""
        return [
            os.path.join(place, name)
            for place, names, _ in os.walk(self.path("runtime", "molotov", agent))
            for name in names
            if name.startswith("run-")
        ]


# Requests that say which agent they come from: its index in the path, which is the label
# in the report, and its name in the query, which only nginx sees.
ASK_BY_AGENT = """
static void ask(mlt_session *session)
{
    mlt_response *page = mlt_get(session, mlt_format(session, "/agent/%ld?%s",
        (long)mlt_agent_index(session), getenv("TEST_AGENT")));
    mlt_check_int(page->status, 200);
}
SCENARIO(by_agent) { ask(session); }
"""
NGINX_BY_AGENT = "location /agent/ { return 200 '{\"result\": \"OK\"}'; }"
