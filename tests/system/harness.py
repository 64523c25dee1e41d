"""What the system tests share: the program under test, nginx as the witness, and the
search for what was left running.

Nothing here waits for a time: it waits for a condition, and gives up at PATIENCE_S.
"""

import collections
import contextlib
import ctypes
import fcntl
import glob
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import termios
import threading
import time
import unittest
import urllib.parse
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUNNER = os.path.abspath(
    os.environ.get("MOLOTOV_RUNNER", os.path.join(ROOT, "build/ci/bin/molotov-runner"))
)
SANITIZED = bool(os.environ.get("MOLOTOV_SANITIZED"))
# Which transport carries the runs that do not say it themselves; None: the default one.
TRANSPORT = os.environ.get("MOLOTOV_TEST_TRANSPORT")
NGINX = "/usr/sbin/nginx"
MARK = "MOLOTOV_TEST_MARK"
PATIENCE_S = 60.0  # how long a test waits for what should be there soon
DEADLINE_S = 60.0  # how long one run of the program may take


def wait_until(condition, what, patience_s=PATIENCE_S):
    """The first true value of `condition`; AssertionError when there is none in time."""
    end = time.monotonic() + patience_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience_s:g} s in vain for {what}")
        time.sleep(0.01)


def dies_with_its_parent():
    """Runs in the child before exec: PR_SET_PDEATHSIG, so a killed test leaves nothing."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def read_text(path):
    """What is in a file that somebody may be writing to."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


# --- processes ------------------------------------------------------------------------


def marked_processes(mark):
    """The processes whose environment has this mark, as {pid: command line}."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if f"{MARK}={mark}".encode() not in file.read().split(b"\0"):
                    continue
            with open(f"/proc/{name}/stat", encoding="utf-8") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    continue
            with open(f"/proc/{name}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace")
            found[int(name)] = command.strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def resident_kib(pid):
    """VmRSS of a process; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            found = re.search(r"^VmRSS:\s+(\d+) kB", file.read(), re.MULTILINE)
            return int(found.group(1)) if found else 0
    except (FileNotFoundError, ProcessLookupError):
        return 0


def descriptors(pid):
    """How many descriptors a process has open; 0 when it is gone."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError):
        return 0


def wait_channel(pid):
    """The kernel's function in which the process sleeps; "0" where the system does not tell,
    "" while it does not sleep."""
    try:
        with open(f"/proc/{pid}/wchan", encoding="utf-8") as file:
            channel = file.read()
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            state = file.read().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return channel if state == "S" else ""


def waits_for_events(pid):
    return wait_channel(pid).startswith(("ep_", "do_epoll"))


def signal_is_pending(pid, number):
    """Whether a signal that was sent to the process has not been taken yet."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            masks = re.findall(r"^(?:ShdPnd|SigPnd):\s+([0-9a-f]+)", file.read(), re.MULTILINE)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return any(int(mask, 16) & (1 << (number - 1)) for mask in masks)


# --- the program under test -----------------------------------------------------------


class Run:
    """How one run ended. `status` is the exit status, negative for a signal."""

    def __init__(self, command, status, stdout, stderr, json_text):
        self.command = command
        self.status = status
        self.stdout = stdout
        self.stderr = stderr
        self.json_text = json_text

    @property
    def document(self):
        if self.json_text is None:
            raise AssertionError(f"no JSON document was written\n{self}")
        return json.loads(self.json_text)

    @property
    def totals(self):
        return self.document["totals"]

    def messages(self):
        return {error["message"]: error["count"] for error in self.document["errors"]}

    def scenario(self, name):
        for row in self.document["scenarios"]:
            if row["name"] == name:
                return row
        raise AssertionError(f"no scenario {name!r} in the document\n{self}")

    def __str__(self):
        return (
            f"$ {' '.join(self.command)}\n[status {self.status}]\n"
            f"--- stdout\n{self.stdout[-4000:]}\n--- stderr\n{self.stderr[-4000:]}\n"
            f"--- json\n{(self.json_text or '')[:3000]}"
        )


class Terminal:
    """A terminal with a program on it: what that writes goes to a file, and a person's
    fingers are type()."""

    def __init__(self, output_path):
        self.main, self.program_side = pty.openpty()
        self.output = open(output_path, "wb", buffering=0)
        self.leaving = threading.Event()
        self.reader = threading.Thread(target=self.copy, daemon=True)

    def take_controlling(self):
        """Runs in the child before exec, as the leader of a session of its own."""
        fcntl.ioctl(self.program_side, termios.TIOCSCTTY, 0)

    def begin(self):
        """Once the program has its side: from now on the file grows."""
        os.close(self.program_side)
        self.reader.start()

    def copy(self):
        with contextlib.suppress(OSError):  # the last writer is gone
            while not self.leaving.is_set():
                if select.select([self.main], [], [], 0.05)[0]:
                    self.output.write(os.read(self.main, 65536))
        os.close(self.main)
        self.output.close()

    def type(self, text):
        os.write(self.main, text.encode())

    def hang_up(self):
        """Closes the window: the kernel sends SIGHUP to the program."""
        self.leaving.set()
        self.reader.join()


class Running:
    """The program while it runs; wait() gives the Run."""

    def __init__(self, command, directory, env, mark, json_path, terminal=False):
        self.command = command
        self.directory = directory
        self.mark = mark
        self.json_path = json_path
        self.outputs = [
            open(os.path.join(directory, name), "w+", encoding="utf-8", errors="replace")
            for name in ("stdout", "stderr")
        ]
        self.terminal = Terminal(self.outputs[0].name) if terminal else None
        side = self.terminal.program_side if terminal else None
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env=env,
            stdin=side if terminal else subprocess.DEVNULL,
            stdout=side if terminal else self.outputs[0],
            stderr=side if terminal else self.outputs[1],
            start_new_session=True,
            preexec_fn=self.before_exec,
        )
        if terminal:
            self.terminal.begin()

    def before_exec(self):
        dies_with_its_parent()
        if self.terminal is not None:
            self.terminal.take_controlling()

    def stdout_so_far(self):
        return read_text(self.outputs[0].name)

    def stderr_so_far(self):
        return read_text(self.outputs[1].name)

    def signal(self, number):
        """Sends a signal to the runner and waits until it was taken."""
        self.process.send_signal(number)
        wait_until(
            lambda: not signal_is_pending(self.process.pid, number),
            f"the runner to take signal {number}",
        )

    def slaves(self):
        """Pids of the slave and the processes it forked."""
        return [
            pid for pid, line in marked_processes(self.mark).items() if " --slave" in line
        ]

    def wait(self, timeout_s=DEADLINE_S):
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            left = marked_processes(self.mark)
            self.kill()
            raise AssertionError(
                f"did not end within {timeout_s:g} s; ran: {left}\n{self.result(None)}"
            ) from None
        if self.terminal is not None:
            self.terminal.reader.join(PATIENCE_S)  # until all is in the file
        return self.result(status)

    def result(self, status):
        texts = []
        for file in self.outputs:
            file.seek(0)
            texts.append(file.read())
        json_text = None
        if os.path.exists(self.json_path):
            with open(self.json_path, encoding="utf-8") as file:
                json_text = file.read()
        return Run(self.command, status, texts[0], texts[1], json_text)

    def kill(self):
        """Ends what is still there of this run, and of nothing else."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in marked_processes(self.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self):
        self.kill()
        if self.terminal is not None:
            self.terminal.hang_up()
        for file in self.outputs:
            file.close()


def transport_options(args):
    """In front of a run's arguments: one that is only watched has its transport already."""
    if TRANSPORT is None or {"--transport", "--attach"} & set(args):
        return []
    return ["--transport", TRANSPORT]


class SystemTest(unittest.TestCase):
    """Runs the program in a directory of its own; at the end of a test nothing may be
    left running, and no sanitizer may have complained."""

    maxDiff = None
    sanitizer_options = ""  # more of ASAN_OPTIONS

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="molotov-test-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.mark = uuid.uuid4().hex
        self.runs = []
        self.addCleanup(self.close_runs)

    def close_runs(self):
        """Cleanups run after a failed test, too: no test hands its processes on."""
        for run in self.runs:
            run.close()

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def write(self, name, text):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def environment(self, extra=None):
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MOLOTOV_", "XDG_", "MAKE", "MFLAGS"))
            and not name.lower().endswith("_proxy")
        }
        env[MARK] = self.mark
        env["HOME"] = self.directory
        env["XDG_CACHE_HOME"] = self.path("cache")
        sanitizer_log = self.path("sanitizer")
        env["ASAN_OPTIONS"] = (
            f"log_path={sanitizer_log}:detect_leaks=1:halt_on_error=1:"
            f"{self.sanitizer_options}"
        )
        env["UBSAN_OPTIONS"] = f"log_path={sanitizer_log}:halt_on_error=1:print_stacktrace=1"
        env.update(extra or {})
        return env

    def start(
        self, *args, scenario=None, env=None, through=(), terminal=False, outputs=True
    ):
        """Starts the program. `scenario`: the text of a C file to run, which gets
        PREAMBLE in front. Results go to stdout and to a JSON document, unless `args`
        names outputs itself, or `outputs` is False. `through`: a command in front of it.
        `terminal`: it has one, and all that it writes is in its stdout."""
        args = [*transport_options(args), *(str(arg) for arg in args)]
        directory = self.path(f"run-{len(self.runs)}")
        os.mkdir(directory)
        if scenario is not None:
            name = os.path.join(directory, "loadtest.c")
            with open(name, "w", encoding="utf-8") as file:
                file.write(PREAMBLE + scenario)
            args.insert(0, "loadtest.c")
        json_path = os.path.join(directory, "result.json")
        if outputs and not any(arg.startswith("--output") for arg in args):
            args += ["--output", "stdout", "--output", "json"]
            args += ["--output-json-filename", json_path]
        running = Running(
            [*through, RUNNER, *args],
            directory,
            self.environment(env),
            self.mark,
            json_path,
            terminal,
        )
        self.runs.append(running)
        return running

    def run_molotov(self, *args, timeout_s=DEADLINE_S, **options):
        """Runs the program to its end, and asserts that it left nothing behind."""
        return self.finish(self.start(*args, **options), timeout_s)

    def finish(self, running, timeout_s=DEADLINE_S):
        result = running.wait(timeout_s)
        self.assert_nothing_left(result)
        self.assert_no_sanitizer_report(result)
        return result

    def may_run(self):
        """Processes of this test that need not be gone when a runner has ended."""
        return set()

    def processes_left(self):
        may_run = self.may_run()
        left = marked_processes(self.mark)
        return {pid: line for pid, line in left.items() if pid not in may_run}

    def assert_nothing_left(self, result):
        """What was killed last may take a moment to be gone, as may what a sanitizer starts at
        the end of a process to look for leaks."""
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not self.processes_left(), "its processes", 5)
        self.assertEqual(self.processes_left(), {}, f"left running after its end\n{result}")

    def assert_no_sanitizer_report(self, result):
        for path in glob.glob(self.path("sanitizer*")):
            with open(path, encoding="utf-8", errors="replace") as file:
                self.fail(f"a sanitizer complained:\n{file.read()[:8000]}\n{result}")

    def assert_status(self, run, status):
        self.assertEqual(run.status, status, run)

    def assert_sums(self, run):
        """What the document says in several places, it says alike."""
        document = run.document
        totals = document["totals"]
        for key in ("ok", "failed", "cancelled"):
            self.assertEqual(
                totals[key], sum(row[key] for row in document["scenarios"]), f"{key}\n{run}"
            )
        requests = document["requests"]
        for key in ("hits", "unsent", "bytes_in", "bytes_out"):
            self.assertEqual(totals[key], sum(row[key] for row in requests), f"{key}\n{run}")
        self.assertEqual(totals["hit_errors"], sum(row["errors"] for row in requests), run)
        for row in requests:
            answered = sum(row["status"].values())
            self.assertEqual(row["hits"], answered + row["errors"], f"{row}\n{run}")
        self.assertEqual(
            totals["hits"], sum(interval["hits"] for interval in document["intervals"]), run
        )
        self.assertEqual(
            totals["failed"],
            sum(interval["failed"] for interval in document["intervals"]),
            run,
        )


PREAMBLE = """\
#include <molotov.h>
#include <stdlib.h>
#include <string.h>
"""
PREAMBLE_LINES = PREAMBLE.count("\n")


def preloaded(directory, name):
    """The path of tests/system/NAME.c, compiled to be preloaded (LD_PRELOAD)."""
    path = os.path.join(directory, f"{name}.so")
    source = os.path.join(ROOT, "tests/system", f"{name}.c")
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", path, source, "-ldl"], check=True
    )
    return path


# --- nginx, the witness ---------------------------------------------------------------

NGINX_CONF = """\
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile 16384;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 12000; }}
http {{
    log_format witness '$request_method $request_uri $status $connection '
                       '$bytes_sent $request_length.$content_length '
                       '$server_protocol $msec "$http_x_test"';
    access_log {directory}/access.log witness;
    client_body_temp_path {directory}/tmp;
    proxy_temp_path {directory}/tmp;
    fastcgi_temp_path {directory}/tmp;
    uwsgi_temp_path {directory}/tmp;
    scgi_temp_path {directory}/tmp;
    default_type application/json;
    keepalive_requests 100000000;
    keepalive_timeout 3600s;
    lingering_close off;
    server {{
{listen}
        location = / {{ return 200 '{{"result": "OK"}}'; }}
        location = /orders {{ return 201 '{{"order": 1}}'; }}
        location = /redirect {{ return 302 /; }}
        location = /redirect/2 {{ return 301 /redirect; }}
        location = /loop {{ return 302 /loop; }}
        location = /post-redirect {{ return 303 /; }}
        location = /missing {{ return 404 '{{"result": "missing"}}'; }}
        location = /broken {{ return 500 '{{"result": "broken"}}'; }}
        location = /slow {{ limit_rate 1; return 200 'never complete in the life of a test'; }}
        location = /cookie {{
            add_header Set-Cookie "user=$connection; Path=/";
            return 200 '{{"cookie": "$cookie_user"}}';
        }}
        location = /see {{
            add_header X-Accepted "$http_accept $http_accept_encoding";
            return 200 '{see}';
        }}
        location = /gzip {{
            gzip on;
            gzip_types application/json;
            gzip_min_length 1;
            gzip_http_version 1.0;
            alias {directory}/large.json;
        }}
        location = /large {{ alias {directory}/large.json; }}
        location = /nginx-status {{ access_log off; stub_status; }}
{more}
    }}
}}
"""

# What /see answers: what nginx saw.
SEEN = {
    "method": "$request_method",
    "cookie": "$cookie_user",
    "connection": "$connection",
    "agent": "$http_user_agent",
    "test": "$http_x_test",
    "type": "$content_type",
    "length": "$content_length",
    "query": "$args",
    "protocol": "$server_protocol",
}
LARGE_JSON = '{"result": "OK", "fill": "' + "molotov " * 8000 + '"}'

Logged = collections.namedtuple(
    "Logged", "method target status connection bytes_out bytes_in protocol ended_s test"
)


def listening_socket(host="127.0.0.1", port=0):
    """A socket that already listens on loopback, to be inherited. `port`: 0 is a free one."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(4096)
    sock.set_inheritable(True)
    return sock


def authority_of(sock):
    """Its address as a URL has it: "127.0.0.1:80", or "[::1]:80"."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Nginx:
    """An nginx of its own on loopback, whose access log is the witness of counts.

    The test makes the listening sockets and nginx inherits them (as it does when one
    nginx replaces another), so no port is ever taken by somebody else in between."""

    def __init__(
        self, directory, tls=False, http2=False, more="", certificate=None, sockets=()
    ):
        """`sockets`: more of them to listen on, such as those of another network
        namespace; they are closed here."""
        self.directory = directory
        os.makedirs(os.path.join(directory, "tmp"))
        more_sockets = sockets
        sockets = [listening_socket() for _ in range(2 if tls else 1)]
        self.ports = [sock.getsockname()[1] for sock in sockets]
        listen = [f"listen 127.0.0.1:{self.ports[0]};"]
        if tls:
            certificate = certificate or Certificate(directory)
            listen += [
                f"listen 127.0.0.1:{self.ports[1]} ssl{' http2' if http2 else ''};",
                f"ssl_certificate {certificate.certificate};",
                f"ssl_certificate_key {certificate.key};",
            ]
        for sock in more_sockets:
            listen.append(f"listen {authority_of(sock)};")
            sockets.append(sock)
        self.certificate = certificate
        self.url = f"http://127.0.0.1:{self.ports[0]}"
        self.tls_url = f"https://localhost:{self.ports[1]}" if tls else None
        with open(os.path.join(directory, "large.json"), "w", encoding="utf-8") as file:
            file.write(LARGE_JSON)
        with open(os.path.join(directory, "nginx.conf"), "w", encoding="utf-8") as file:
            file.write(
                NGINX_CONF.format(
                    directory=directory,
                    user="user root;" if os.geteuid() == 0 else "",
                    listen="\n".join("        " + line for line in listen),
                    see=json.dumps(SEEN),
                    more=more,
                )
            )
        with open(os.path.join(directory, "nginx.output"), "wb") as output:
            self.process = subprocess.Popen(
                [NGINX, "-p", directory, "-c", os.path.join(directory, "nginx.conf")]
                + ["-e", os.path.join(directory, "error.log")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[sock.fileno() for sock in sockets],
                env={"NGINX": "".join(f"{sock.fileno()};" for sock in sockets)},
                preexec_fn=dies_with_its_parent,
                start_new_session=True,
            )
        for sock in sockets:
            sock.close()  # only nginx still has them: when it fails, nobody listens
        try:
            self.get("/nginx-status")
        except OSError as error:
            self.close()
            raise AssertionError(f"nginx did not start: {error}\n{self.errors()}") from error

    def errors(self):
        text = ""
        for name in ("nginx.output", "error.log"):
            with contextlib.suppress(FileNotFoundError):
                with open(os.path.join(self.directory, name), encoding="utf-8") as file:
                    text += file.read()
        return text

    def get(self, path, tls=False):
        """The body of one plain request, on a connection of its own."""
        url = urllib.parse.urlsplit(self.tls_url if tls else self.url)
        with socket.create_connection(("127.0.0.1", url.port), PATIENCE_S) as sock:
            if tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                sock = context.wrap_socket(sock)
            sock.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = b""
            while chunk := sock.recv(65536):
                answer += chunk
        return answer.decode()

    def settle(self):
        """Waits until nginx has taken and finished all that its clients sent before.

        A new connection is accepted after all older ones, so when it is the only one
        left, the others were accepted, read to their end, logged and closed."""
        for tls in [False, True] if self.tls_url else [False]:
            wait_until(
                lambda: "Active connections: 1 \n" in self.get("/nginx-status", tls),
                "nginx to finish its connections",
            )

    def lines(self):
        """How many requests were logged so far."""
        with open(os.path.join(self.directory, "access.log"), "rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))

    def log(self):
        """All requests of clients that are gone, in the order of their ends."""
        self.settle()
        with open(os.path.join(self.directory, "access.log"), encoding="utf-8") as file:
            return [parse_log_line(line) for line in file]

    def count(self):
        self.settle()
        return self.lines()

    def forget(self):
        """Begins a new log."""
        self.settle()
        os.truncate(os.path.join(self.directory, "access.log"), 0)

    def close(self):
        """Ends nginx (its workers with it) and waits for that."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def parse_log_line(line):
    head, test, _ = line.rsplit('"', 2)
    method, target, status, connection, bytes_out, lengths, protocol, ended_s = head.split()
    # Our answers need no body, so nginx drops it, and does not count what it drops.
    bytes_in = sum(int(length) for length in lengths.split(".") if length not in ("", "-"))
    return Logged(
        method,
        target,
        int(status),
        int(connection),
        int(bytes_out),
        bytes_in,
        protocol,
        float(ended_s),
        test,
    )


class Certificate:
    """A certificate for localhost, signed by a certificate authority of its own."""

    def __init__(self, directory, host="localhost", days=2):
        def path(name):
            return os.path.join(directory, name)

        self.authority = path("ca.pem")
        self.certificate = path("server.pem")
        self.key = path("server.key")
        with open(path("extensions"), "w", encoding="utf-8") as file:
            file.write(f"subjectAltName=DNS:{host}\nbasicConstraints=CA:FALSE\n")
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        openssl(
            ["req", "-x509", *key, "-keyout", path("ca.key"), "-out", self.authority]
            + ["-subj", "/CN=Molotov test authority", "-days", "3"]
        )
        openssl(
            ["req", "-new", *key, "-keyout", self.key, "-out", path("server.csr")]
            + ["-subj", f"/CN={host}"]
        )
        openssl(
            ["x509", "-req", "-in", path("server.csr"), "-CA", self.authority]
            + ["-CAkey", path("ca.key"), "-CAcreateserial", "-out", self.certificate]
            + ["-days", str(days), "-extfile", path("extensions")]
        )


def openssl(arguments):
    subprocess.run(
        ["/usr/bin/openssl", *arguments],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


class NginxTest(SystemTest):
    """Tests against one nginx, started for the class and with a new log for each test."""

    nginx_options = {}

    @classmethod
    def setUpClass(cls):
        cls.nginx_directory = tempfile.mkdtemp(prefix="molotov-nginx-")
        cls.addClassCleanup(shutil.rmtree, cls.nginx_directory, ignore_errors=True)
        cls.nginx = Nginx(os.path.join(cls.nginx_directory, "nginx"), **cls.nginx_options)
        cls.addClassCleanup(cls.nginx.close)

    def setUp(self):
        super().setUp()
        self.nginx.forget()

    def assert_exact(self, run):
        """What the document says is what nginx logged: in all, and for each request and
        status. All was carried by the transport that the tests are run on."""
        self.assert_sums(run)
        carried = run.document["transports"]
        self.assertEqual(
            carried[TRANSPORT] if TRANSPORT else sum(carried.values()),
            run.totals["hits"] + run.totals["unsent"],
            run,
        )
        log = self.nginx.log()
        self.assertEqual(run.totals["hits"], len(log), run)
        logged = collections.Counter((line.method, path_of(line.target)) for line in log)
        reported = collections.Counter()
        for row in run.document["requests"]:
            reported[row["method"], path_of(row["name"])] += row["hits"]
        self.assertEqual(+reported, logged, run)
        return log

    def assert_exact_statuses(self, run, log):
        """For runs without answers that were cut."""
        logged = collections.Counter(
            (line.method, path_of(line.target), str(line.status)) for line in log
        )
        reported = collections.Counter()
        for row in run.document["requests"]:
            for status, count in row["status"].items():
                reported[row["method"], path_of(row["name"]), status] += count
        self.assertEqual(reported, logged, run)

    def assert_exact_bytes(self, run, log):
        """For plain HTTP/1.1 without answers that were cut or came in chunks (whose
        frames are no part of the body)."""
        self.assertEqual(run.totals["bytes_in"], sum(line.bytes_out for line in log), run)
        self.assertEqual(run.totals["bytes_out"], sum(line.bytes_in for line in log), run)


def path_of(url):
    """The path of a request's name or target, without its query."""
    return urllib.parse.urlsplit(url).path or "/"
