"""TLS: certificates are verified unless told otherwise; HTTP/2 where it is offered."""

import os
import re
import subprocess
import unittest

from harness import (
    TRANSPORT,
    Certificate,
    NginxTest,
    SystemTest,
    dies_with_its_parent,
    read_text,
    wait_until,
)
from hostile import Hostile

PLAIN = 'SCENARIO(s) { mlt_check(mlt_get(session, "/")->status == 200); }\n'


class Verification(NginxTest):
    nginx_options = {"tls": True}

    def load(self, *args, url=None, env=None):
        run = self.run_molotov(
            "-w", 3, "-r", 4, "--server-url", url or self.nginx.tls_url, *args,
            scenario=PLAIN, env=env,
        )  # fmt: skip
        self.assert_status(run, 0)
        return run

    def assert_refused(self, run):
        self.assertEqual(run.totals["failed"], 12, run)
        self.assertEqual(run.totals["hits"], 0, run)
        self.assertEqual(self.nginx.count(), 0, run)
        self.assertRegex(str(run.messages()), "(?i)certificate", run)

    def test_unknown_authority(self):
        self.assert_refused(self.load())

    def test_unknown_authority_for_a_url(self):
        run = self.run_molotov(self.nginx.tls_url + "/", "-r", 3, "-w", 4)
        self.assert_status(run, 0)
        self.assert_refused(run)

    def test_insecure(self):
        run = self.load("-k")
        self.assertEqual(run.totals["ok"], 12, run)
        log = self.assert_exact(run)
        self.assertEqual({line.protocol for line in log}, {"HTTP/1.1"})
        self.assertEqual(len({line.connection for line in log}), 3, "one for each worker")
        phases = run.document["requests"][0]["phases_us"]
        self.assertGreater(phases["tls"]["max"], 0, run)

    def test_insecure_by_the_session(self):
        run = self.run_molotov(
            "-r", 2, "--server-url", self.nginx.tls_url,
            scenario="SETUP() { options->insecure = true; }\n" + PLAIN,
        )  # fmt: skip
        self.assertEqual(run.totals["ok"], 2, run)

    def test_known_authority(self):
        run = self.load(env={"SSL_CERT_FILE": self.nginx.certificate.authority})
        self.assertEqual(run.totals["ok"], 12, run)

    def test_authorities_that_cannot_be_read(self):
        """The failure names their file, and nobody is asked for anything."""
        folder, empty, missing = (self.path(name) for name in ("folder", "empty", "missing"))
        os.mkdir(folder)
        self.write("empty", "no certificate\n")
        for path, why in (
            (missing, "No such file or directory"),
            (folder, "no certificate or crl found"),
            (empty, "no certificate or crl found"),
        ):
            with self.subTest(path):
                run = self.load(env={"SSL_CERT_FILE": path})
                self.assertEqual((run.totals["failed"], run.totals["unsent"]), (12, 12), run)
                self.assertEqual(self.nginx.count(), 0, run)
                (error,) = run.document["errors"]
                self.assertIn(path, error["sample"], run)
                if TRANSPORT == "direct":
                    words = f"cannot read certificate authorities in '{path}': {why}"
                    self.assertIn(words, error["sample"], run)

    def test_authorities_are_not_read_where_nobody_asks(self):
        run = self.load("-k", env={"SSL_CERT_FILE": self.path("missing")})
        self.assertEqual(run.totals["ok"], 12, run)

    def test_another_name(self):
        """The authority is known, but the certificate is for another host."""
        run = self.load(
            url=self.nginx.tls_url.replace("localhost", "127.0.0.1"),
            env={"SSL_CERT_FILE": self.nginx.certificate.authority},
        )
        self.assert_refused(run)

    def test_plain_on_a_tls_port_and_the_other_way_round(self):
        run = self.load(url=self.nginx.tls_url.replace("https:", "http:"))
        self.assertEqual(run.totals["failed"], 12, run)
        self.nginx.forget()
        run = self.load("-k", url=self.nginx.url.replace("http:", "https:"))
        self.assertEqual(run.totals["failed"], 12, run)
        self.assertEqual(run.totals["hits"], 0, run)


class Expired(NginxTest):
    @classmethod
    def setUpClass(cls):
        directory = os.path.join(cls.enterTemporary(), "authority")
        os.mkdir(directory)
        cls.certificate = Certificate(directory, days=-1)
        cls.nginx_options = {"tls": True, "certificate": cls.certificate}
        super().setUpClass()

    @classmethod
    def enterTemporary(cls):
        import tempfile

        return cls.enterClassContext(tempfile.TemporaryDirectory(prefix="molotov-tls-"))

    def test_expired(self):
        run = self.run_molotov(
            "-r", 3, "--server-url", self.nginx.tls_url, scenario=PLAIN,
            env={"SSL_CERT_FILE": self.certificate.authority},
        )  # fmt: skip
        self.assertEqual(run.totals["failed"], 3, run)
        self.assertEqual(run.totals["hits"], 0, run)
        self.assertRegex(str(run.messages()), "(?i)certificate", run)


class NoHandshake(NginxTest):
    def test_nothing_comes(self):
        """Connections are made, and then nothing is said: nothing is a hit."""
        hostile = Hostile()
        self.addCleanup(hostile.close)
        url = hostile.silent_url.replace("http:", "https:")
        run = self.run_molotov(
            "-k", "-w", 3, "-r", 2,
            scenario=f'SCENARIO(s) {{ mlt_get(session, "{url}", .timeout = 0.3); }}',
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.totals["failed"], 6, run)
        self.assertEqual((run.totals["hits"], run.totals["unsent"]), (0, 6), run)
        self.assertIn("no connection within the time-out", str(run.messages()), run)

    def test_forced_end(self):
        hostile = Hostile()
        self.addCleanup(hostile.close)
        url = hostile.silent_url.replace("http:", "https:")
        run = self.run_molotov(url, "-k", "-w", 3, "-d", 0.3, "--stop-timeout", 0.2)
        self.assert_status(run, 0)
        self.assertEqual((run.totals["cancelled"], run.totals["hits"]), (3, 0), run)


class PlayedServer:
    """`openssl s_server` of TLS 1.2, whose answers a test types. What it sees it writes to a
    file."""

    ANSWER = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    ASK_ANEW = "R\n"  # for a handshake with a certificate of the client

    def __init__(self, directory):
        certificate = Certificate(directory)
        self.log = os.path.join(directory, "s_server.log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["/usr/bin/openssl", "s_server", "-tls1_2", "-accept", "127.0.0.1:0"]
                + ["-cert", certificate.certificate, "-key", certificate.key],
                stdin=subprocess.PIPE, stdout=log, stderr=log,
                preexec_fn=dies_with_its_parent,
            )  # fmt: skip
        port = wait_until(
            lambda: re.search(r"^ACCEPT \S+:(\d+)$", read_text(self.log), re.MULTILINE),
            "the server's port",
        )
        self.url = f"https://127.0.0.1:{port.group(1)}/"

    def requests(self):
        return read_text(self.log).count("GET / HTTP/1.1")

    def reply(self, number, text):
        """Once the request of this number has come."""
        wait_until(lambda: self.requests() >= number, f"request {number}")
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def close(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()


@unittest.skipIf(TRANSPORT == "curl", "libcurl agrees to it")
class Renegotiation(SystemTest):
    def test_refused(self):
        """The server insists; the worker goes on with a new connection, and keeps it."""
        server = PlayedServer(self.directory)
        self.addCleanup(server.close)
        running = self.start(server.url, "-k", "-r", 3)
        server.reply(1, server.ASK_ANEW)
        server.reply(2, server.ANSWER)
        server.reply(3, server.ANSWER)
        run = self.finish(running)
        self.assert_status(run, 0)
        self.assert_sums(run)
        self.assertEqual((run.totals["ok"], run.totals["failed"]), (2, 1), run)
        self.assertEqual((run.totals["hits"], run.totals["hit_errors"]), (3, 1), run)
        self.assertEqual(server.requests(), 3, run)
        self.assertEqual(run.document["connections"], 2, run)
        self.assertEqual(run.document["replaced_connections"], 0, run)
        (error,) = run.document["errors"]
        self.assertTrue(
            error["message"].endswith(": the connection broke while the answer was read"), run
        )
        self.assertIn("the server asked to negotiate TLS anew", error["sample"], run)


@unittest.skipIf(TRANSPORT == "direct", "it offers HTTP/1.1 alone: test_transports.py")
class Http2(NginxTest):
    nginx_options = {"tls": True, "http2": True}

    def test_http2_where_it_is_offered(self):
        """Each worker has a connection of its own, as with HTTP/1.1."""
        run = self.run_molotov(
            "-k", "-w", 10, "-p", 2, "-r", 10, "--server-url", self.nginx.tls_url, scenario=PLAIN
        )
        self.assert_status(run, 0)
        self.assertEqual(run.totals["ok"], 200, run)
        log = self.assert_exact(run)
        self.assertEqual({line.protocol for line in log}, {"HTTP/2.0"})
        self.assertEqual(len({line.connection for line in log}), 20)

    def test_redirects_and_failures(self):
        run = self.run_molotov(
            "-k", "-w", 5, "-r", 5, "--server-url", self.nginx.tls_url,
            scenario="""
            SCENARIO(a) { mlt_check_int(mlt_get(session, "/redirect/2")->status, 200); }
            SCENARIO(b) { mlt_check_int(mlt_get(session, "/missing")->status, 404); }
            SCENARIO(c)
            {
                mlt_response *page = mlt_post(session, "/see", .body = "abc");
                mlt_check_str(mlt_json_str(page, "length"), "3");
                mlt_check_str(mlt_json_str(page, "protocol"), "HTTP/2.0");
            }
            """,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.totals["failed"], 0, run)
        self.assert_exact(run)

    def test_bytes_of_bodies_are_counted(self):
        """However large, each once. (This nginx does not read more than 65536 bytes of a
        body that it needs not, and libcurl 7.88 then waits.)"""
        for size in (5000, 60_000, 65_536):
            with self.subTest(size):
                self.nginx.forget()
                run = self.run_molotov(
                    "-k", "-w", 2, "-r", 5, "--server-url", self.nginx.tls_url,
                    scenario=f"""
                    SCENARIO(s)
                    {{
                        static char body[{size}];
                        memset(body, 'x', sizeof body);
                        mlt_response *page = mlt_post(session, "/see", .body = body,
                                                      .body_length = sizeof body);
                        mlt_check_str(mlt_json_str(page, "length"), "{size}");
                        mlt_check_str(mlt_json_str(page, "protocol"), "HTTP/2.0");
                    }}
                    """,
                )  # fmt: skip
                self.assert_status(run, 0)
                self.assertEqual(run.totals["ok"], 10, run)
                self.assert_exact(run)
                self.assertGreaterEqual(run.totals["bytes_out"], 10 * size, run)
                self.assertLess(run.totals["bytes_out"], 10 * (size + 2000), run)

    def test_bytes_of_a_get_after_a_body(self):
        """What a handle has sent before is not counted again."""
        run = self.run_molotov(
            "-k", "-r", 5, "--server-url", self.nginx.tls_url,
            scenario="""
            SCENARIO(s)
            {
                static char body[5000];
                memset(body, 'x', sizeof body);
                mlt_post(session, "/see", .body = body, .body_length = sizeof body);
                mlt_get(session, "/");
            }
            """,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assert_exact(run)
        (row,) = [row for row in run.document["requests"] if row["method"] == "GET"]
        self.assertLess(row["bytes_out"], 5 * 2000, run)

    def test_time_out(self):
        run = self.run_molotov(
            "-k", "-w", 3, "-r", 2, "--server-url", self.nginx.tls_url,
            scenario='SCENARIO(a) { mlt_get(session, "/slow", .timeout = 0.3); }',
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.totals["failed"], 6, run)
        self.assertEqual(run.totals["hit_errors"], 6, run)
        self.assert_exact(run)


if __name__ == "__main__":
    unittest.main()
