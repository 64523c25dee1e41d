"""How a connection is made: to unix sockets that are busy or none, over IPv6, by TLS."""

import contextlib
import os
import shutil
import signal
import socket
import tempfile
import time
import unittest
import urllib.parse

from harness import TRANSPORT, NginxTest, listening_socket, wait_until

REFUSED = "cannot connect: Connection refused"


def unix_url(path):
    return f"http+unix://{urllib.parse.quote(path, safe='')}"


class FullUnixSocket:
    """One that listens, and takes nobody."""

    def __init__(self, path):
        self.sockets = [socket.socket(socket.AF_UNIX)]
        self.sockets[0].bind(path)
        self.sockets[0].listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.sockets.append(socket.socket(socket.AF_UNIX))
                self.sockets[-1].setblocking(False)
                self.sockets[-1].connect(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in self.sockets:
            sock.close()


class UnixSockets(NginxTest):
    @classmethod
    def setUpClass(cls):
        cls.sockets = tempfile.mkdtemp(prefix="molotov-unix-")
        cls.addClassCleanup(shutil.rmtree, cls.sockets, ignore_errors=True)
        cls.busy = os.path.join(cls.sockets, "busy sock%et")
        cls.nginx_options = {"more": f'listen "unix:{cls.busy}" backlog=2;'}
        super().setUpClass()

    def queued(self):
        """Connections that nginx has not taken yet."""
        with open("/proc/net/unix", encoding="utf-8") as file:
            return sum(line.rstrip("\n").endswith(self.busy) for line in file) - 1

    def pause_nginx(self):
        """All of it: the worker, too, which is a child."""
        (worker,) = self.nginx_workers()
        os.kill(worker, signal.SIGSTOP)
        self.addCleanup(os.kill, worker, signal.SIGCONT)
        return worker

    def nginx_workers(self):
        pid = self.nginx.process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
            return [int(child) for child in file.read().split()]

    def test_many_at_once(self):
        """The kernel refuses to queue more than the few that the server allows, and says
        so at once, where it would let a client of tcp wait: nobody fails for that."""
        worker = self.pause_nginx()
        running = self.start(unix_url(self.busy) + "/", "-w", 300, "-r", 5)
        wait_until(lambda: self.queued() >= 2, "a full queue")
        time.sleep(0.3)  # which those who wait have to show, below
        os.kill(worker, signal.SIGCONT)
        run = self.finish(running)
        self.assert_status(run, 0)
        self.assertEqual(run.messages(), {}, run)
        self.assertEqual(run.totals["ok"], 300 * 5, run)
        log = self.assert_exact(run)
        self.assertEqual(len({line.connection for line in log}), 300, run)
        (row,) = run.document["requests"]
        self.assertGreater(row["phases_us"]["connect"]["max"], 200_000, run)

    def test_no_place_in_time(self):
        """In the words of a connection by tcp that did not come in time, and then."""
        path = os.path.join(self.sockets, "full")
        with FullUnixSocket(path):
            run = self.run_molotov(
                "-w", 5, "-r", 2,
                scenario=f"""
                SCENARIO(s) {{ mlt_get(session, "{unix_url(path)}/", .timeout = 0.5); }}
                """,
            )  # fmt: skip
        self.assert_status(run, 0)
        self.assert_sums(run)
        self.assertEqual((run.totals["failed"], run.totals["unsent"]), (10, 10), run)
        self.assertEqual(run.totals["hits"], 0, run)
        ((message, count),) = run.messages().items()
        self.assertTrue(message.endswith(": no connection within the time-out"), run)
        self.assertEqual(count, 10, run)
        self.assertGreater(run.document["errors"][0]["sample_s"], 0.49, run)

    def test_no_socket_there(self):
        a_file, a_folder, nobody = (os.path.join(self.sockets, name) for name in "abc")
        with open(a_file, "w", encoding="utf-8"):
            os.mkdir(a_folder)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(nobody)
        for path, words in (
            (a_file, REFUSED),
            (a_folder, REFUSED),
            (nobody, REFUSED),
            (a_file + "/below", "cannot connect: Not a directory"),
            (nobody + "x", "cannot connect: No such file or directory"),
        ):
            with self.subTest(path):
                run = self.run_molotov(unix_url(path) + "/", "-w", 2, "-r", 3)
                self.assert_status(run, 0)
                self.assertEqual((run.totals["failed"], run.totals["unsent"]), (6, 6), run)
                self.assertEqual(run.totals["hits"], 0, run)
                self.assertEqual(run.messages(), {f"GET {unix_url(path)}/: {words}": 6}, run)

    def test_from_tcp_and_back(self):
        """One worker asks both: these are two services, with cookies of their own."""
        run = self.run_molotov(
            "-w", 3, "-r", 4,
            scenario=f"""
            #define TCP "{self.nginx.url}"
            #define UNIX "{unix_url(self.busy)}"
            SCENARIO(s)
            {{
                mlt_get(session, TCP "/cookie");
                mlt_get(session, UNIX "/cookie");
                const char *const both[] = {{TCP "/see", UNIX "/see"}};
                for (int i = 0; i < 2; i++) {{
                    mlt_response *page = mlt_get(session, both[i]);
                    mlt_check_str(mlt_json_str(page, "cookie"),
                                  mlt_json_str(page, "connection"));
                }}
                mlt_check_str(mlt_get(session, UNIX "/redirect/2")->url, UNIX "/");
            }}
            """,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.totals["failed"], 0, run)
        self.assertEqual(run.totals["hits"], 3 * 4 * 7, run)
        self.assertEqual(self.nginx.count(), 3 * 4 * 7, run)
        self.assertEqual(run.document["connections"], 6, run)


def has_ipv6():
    try:
        listening_socket("::1").close()
    except OSError:
        return False
    return True


@unittest.skipUnless(has_ipv6(), "this machine has no IPv6")
class IPv6(NginxTest):
    @classmethod
    def setUpClass(cls):
        sock = listening_socket("::1")
        cls.authority = f"[::1]:{sock.getsockname()[1]}"
        cls.nginx_options = {
            "sockets": [sock],
            "more": f"""
            location = /who {{ return 200 '{{"host": "$http_host", "server": "$server_addr"}}'; }}
            location = /to-ipv6 {{ return 302 http://{cls.authority}/who; }}
            """,
        }
        super().setUpClass()

    def test_scenario(self):
        """What the host header says; relative URLs; a redirect from one family to the other."""
        run = self.run_molotov(
            "-w", 3, "-r", 4, "--server-url", f"http://{self.authority}",
            scenario=f"""
            static void check(mlt_response *page)
            {{
                mlt_check_str(mlt_json_str(page, "host"), "{self.authority}");
                mlt_check_str(mlt_json_str(page, "server"), "::1");
            }}
            SCENARIO(s)
            {{
                check(mlt_get(session, "/who"));
                check(mlt_get(session, "{self.nginx.url}/to-ipv6"));
            }}
            """,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.totals["failed"], 0, run)
        self.assertEqual(run.totals["hits"], 3 * 4 * 3, run)
        self.assertEqual(self.nginx.count(), 3 * 4 * 3, run)

    def test_url(self):
        run = self.run_molotov(f"http://{self.authority}/who", "-w", 2, "-r", 3)
        self.assert_status(run, 0)
        self.assertEqual(run.totals["ok"], 6, run)
        self.assert_exact(run)

    def test_refused(self):
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
            url = f"http://[::1]:{sock.getsockname()[1]}/"
            run = self.run_molotov(url, "-w", 2, "-r", 3)
        self.assert_status(run, 0)
        self.assertEqual((run.totals["hits"], run.totals["unsent"]), (0, 6), run)
        self.assertEqual(run.messages(), {f"GET {url}: {REFUSED}": 6}, run)


# What nginx knows of the handshake. It ends each connection after one answer.
TLS = """
location = /tls {
    keepalive_requests 1;
    return 200 '{"reused": "$ssl_session_reused", "name": "$ssl_server_name",
                 "chosen": "$ssl_alpn_protocol", "version": "$ssl_protocol"}';
}
"""


CLOSING_SIZE = 5_000_000


class TlsTests:
    """Of one version of TLS."""

    VERSION = None

    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="molotov-closing-")
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        path = os.path.join(folder, "closing")
        with open(path, "w", encoding="utf-8") as file:
            file.write("x" * CLOSING_SIZE)
        cls.nginx_options = {
            "tls": True,
            "more": TLS
            + f"location = /closing {{ keepalive_requests 1; alias {path}; }}\n"
            + f"ssl_protocols {cls.VERSION};",
        }
        super().setUpClass()

    def load(self, *args, scenario, url=None):
        run = self.run_molotov(
            "-k", "--server-url", url or self.nginx.tls_url, *args, scenario=scenario
        )
        self.assert_status(run, 0)
        self.assertEqual(run.totals["failed"], 0, run)
        self.assertEqual(run.document["session_setup_failed"], 0, run)
        return run

    def test_resumption(self):
        """A worker resumes what it has, and no worker what another has."""
        if TRANSPORT == "curl" and self.VERSION == "TLSv1.2":
            self.skipTest("libcurl 7.88 resumes no session of TLS 1.2; nor does curl")
        run = self.load(
            "-w", 8, "-p", 2, "-r", 5,
            scenario=f"""
            static void check(mlt_session *session, const char *reused)
            {{
                mlt_response *page = mlt_get(session, "/tls");
                mlt_check_str(mlt_json_str(page, "reused"), reused);
                mlt_check_str(mlt_json_str(page, "version"), "{self.VERSION}");
            }}
            SETUP_SESSION() {{ check(session, "."); }}
            SCENARIO(s) {{ check(session, "r"); }}
            """,
        )  # fmt: skip
        log = self.assert_exact(run)
        self.assertEqual(len({line.connection for line in log}), 2 * 8 * 6, run)
        self.assertEqual(run.document["replaced_connections"], 0, run)

    def test_name_that_is_asked_for(self):
        """An address is no name."""
        port = urllib.parse.urlsplit(self.nginx.tls_url).port
        for host, name in (("localhost", "localhost"), ("127.0.0.1", "")):
            self.load(
                "-w", 2, "-r", 3, url=f"https://{host}:{port}",
                scenario=f"""
                SCENARIO(s)
                {{
                    mlt_check_str(mlt_json_str(mlt_get(session, "/tls"), "name"), "{name}");
                }}
                """,
            )  # fmt: skip

    def test_protocol_that_is_chosen(self):
        run = self.load(
            "-w", 4, "-r", 3,
            scenario="""
            SCENARIO(s)
            {
                mlt_check_str(mlt_json_str(mlt_get(session, "/tls"), "chosen"), "http/1.1");
            }
            """,
        )  # fmt: skip
        self.assertEqual({line.protocol for line in self.assert_exact(run)}, {"HTTP/1.1"})

    def test_large_answer_then_close(self):
        """However many records the kernel has when the server closes."""
        run = self.load(
            "-w", 3, "-r", 4,
            scenario=f"""
            SCENARIO(s)
            {{
                mlt_response *page = mlt_get(session, "/closing");
                mlt_check_int(page->body_length, {CLOSING_SIZE});
                mlt_check_int(strspn(page->body, "x"), {CLOSING_SIZE});
            }}
            """,
        )  # fmt: skip
        log = self.assert_exact(run)
        self.assert_exact_bytes(run, log)
        self.assertEqual(len({line.connection for line in log}), 12, run)
        self.assertEqual(run.document["replaced_connections"], 0, run)

    def test_large_bodies(self):
        """Many records, both ways."""
        run = self.load(
            "-w", 3, "-r", 4,
            scenario="""
            SCENARIO(s)
            {
                static char body[900000];
                memset(body, 'x', sizeof body);
                mlt_response *page = mlt_post(session, "/see", .body = body,
                                              .body_length = sizeof body);
                mlt_check_str(mlt_json_str(page, "length"), "900000");
                mlt_check_str(mlt_json_str(mlt_get(session, "/large"), "result"), "OK");
            }
            """,
        )  # fmt: skip
        self.assert_exact_bytes(run, self.assert_exact(run))


class Tls12(TlsTests, NginxTest):
    VERSION = "TLSv1.2"


class Tls13(TlsTests, NginxTest):
    VERSION = "TLSv1.3"


class Http2IsOffered(NginxTest):
    nginx_options = {"tls": True, "http2": True, "more": TLS}

    def test_who_speaks_it(self):
        chosen = "http/1.1" if TRANSPORT == "direct" else "h2"
        run = self.run_molotov(
            "-k", "-w", 4, "-r", 3, "--server-url", self.nginx.tls_url,
            scenario=f"""
            SCENARIO(s)
            {{
                mlt_check_str(mlt_json_str(mlt_get(session, "/tls"), "chosen"), "{chosen}");
            }}
            """,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.totals["failed"], 0, run)
        self.assertEqual(len(self.assert_exact(run)), 12, run)


if __name__ == "__main__":
    unittest.main()
