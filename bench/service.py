"""The service that all clients load: one nginx for a call of bench/run."""

import http.client
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time
import typing

from processes import Failure, descendants, run_time_s, start

ANSWER = b'{"result":"OK"}'
LARGE = 10_000_000  # bytes of /large.bin


class Target(typing.NamedTuple):
    """What a client is to load: a URL, and whether by "http", "tls" or "h2"."""

    mode: str
    url: str

    @property
    def secure(self):
        return self.mode != "http"



def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid {prefix}/nginx.pid;
error_log {prefix}/error.log warn;
events {{ worker_connections {connections}; multi_accept on; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    keepalive_timeout 1d;
    client_header_timeout 1d;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    ssl_certificate {prefix}/certificate.pem;
    ssl_certificate_key {prefix}/key.pem;
    open_file_cache max=10;
    root {prefix}/root;
    index index.json;
    server {{
        listen 127.0.0.1:{http} backlog=65535;
        listen 127.0.0.1:{tls} ssl backlog=65535;
        listen 127.0.0.1:{h2} ssl http2 backlog=65535;
        location = /large.bin {{ sendfile on; }}
    }}
    server {{
        listen 127.0.0.1:{status};
        location / {{ stub_status; }}
    }}
}}
"""


class Nginx:
    """One nginx with one worker process, on one core, in a directory of its own."""

    def __init__(self, directory, cpu):
        self.program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if self.program is None:
            raise Failure("nginx is not installed")
        self.prefix = directory / "nginx"
        self.cpu = cpu
        self.process = None
        self.connection = None
        self.asked = 0  # requests of ours that nginx counted, too

    def __enter__(self):
        (self.prefix / "root").mkdir(parents=True)
        (self.prefix / "root" / "index.json").write_bytes(ANSWER)
        (self.prefix / "root" / "large.bin").write_bytes(bytes(LARGE))
        self.make_certificate()
        for attempt in (1, 2, 3):  # another program may take a port meanwhile
            try:
                self.launch()
                return self
            except Failure:
                self.__exit__()
                if attempt == 3:
                    raise

    def __exit__(self, *_):
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def make_certificate(self):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj",
             "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
             "-keyout", self.prefix / "key.pem", "-out", self.prefix / "certificate.pem"],
            check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, timeout=60)

    def launch(self):
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        self.ports = dict(zip(("http", "tls", "h2", "status"), free_ports(4)))
        self.files = files if files != resource.RLIM_INFINITY else 1 << 20
        path = self.prefix / "nginx.conf"
        path.write_text(CONFIGURATION.format(
            user="user root root;" if os.geteuid() == 0 else "", prefix=self.prefix,
            files=self.files, connections=min(self.files - 64, 60000), **self.ports))
        log = open(self.prefix / "said", "wb")
        self.process = start([self.program, "-p", self.prefix, "-c", path, "-e",
                              self.prefix / "error.log"], self.cpu, log, log,
                             death_signal=signal.SIGTERM)  # it then ends its worker
        log.close()
        deadline = time.monotonic() + 10
        while True:
            try:
                self.status()
                break
            except OSError:
                self.connection = None
                if self.process.poll() is not None or time.monotonic() > deadline:
                    said = (self.prefix / "said").read_text()
                    raise Failure(f"nginx does not start: {said}") from None
                time.sleep(0.02)
        self.worker = [pid for pid in descendants(self.process.pid)][0]

    def target(self, mode, path="/"):
        scheme = "http" if mode == "http" else "https"
        return Target(mode, f"{scheme}://127.0.0.1:{self.ports[mode]}{path}")

    def status(self):
        """{requests, accepts, active, waiting}, without what this question adds. An nginx
        that is short of connections closes the ones that rest: then it is asked on another,
        and the one before counts as a client's."""
        try:
            return self.ask_status()
        except (http.client.HTTPException, ConnectionError):
            self.connection = None
            return self.ask_status()

    def ask_status(self):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.ports["status"],
                                                         timeout=30)
            self.connection.connect()
            self.asked = 0
        self.connection.request("GET", "/")
        self.asked += 1
        text = self.connection.getresponse().read().decode()
        numbers = [int(number) for number in re.findall(r"\d+", text)]
        active, accepts, _, requests, _, _, waiting = numbers
        return {"requests": requests - self.asked, "accepts": accepts - 1,
                "active": active - 1, "waiting": waiting}

    def cpu_s(self):
        taken_s = run_time_s(self.worker)
        if taken_s == 0:
            raise Failure("nginx has lost its worker process")
        return taken_s

    def settle(self, timeout_s=30):
        """Wait until it has seen the end of the connections of the run before."""
        deadline = time.monotonic() + timeout_s
        while self.status()["active"] > 0 and time.monotonic() < deadline:
            time.sleep(0.02)

    def wait_open(self, client, connections, timeout_s):
        """Until so many are open and, since this call, as many requests were made, so that
        handshakes are behind them; or until the client has ended. None, or why not."""
        before = self.status()["requests"]
        deadline = time.monotonic() + timeout_s
        while True:
            now = self.status()
            if now["active"] >= connections and now["requests"] - before >= connections:
                return None
            if client.poll():
                return f"it ended: {client.complaint()}"
            if time.monotonic() > deadline:
                return (f"{now['active']:,} of {connections:,} connections open after "
                        f"{timeout_s} s")
            time.sleep(0.05)
