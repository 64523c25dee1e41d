"""Which transport carries what, how that is said, and where each can go."""

import os
import shutil
import socket
import tempfile
import unittest
import urllib.parse

from harness import NginxTest
from hostile import Hostile

PLAIN = 'SCENARIO(s) { mlt_check(mlt_get(session, "/")->status == 200); }\n'
AHEAD = PLAIN.replace('"/"', '"/nothing-ahead"')
EACH = ("curl", "direct", "auto")


class TransportTest(NginxTest):
    def load(self, transport, url, *args, scenario=PLAIN, env=None):
        if transport is not None:
            args += ("--transport", transport)
        run = self.run_molotov(
            "-w", 3, "-r", 4, "--server-url", url, *args, scenario=scenario, env=env
        )
        self.assert_status(run, 0)
        return run

    def assert_carried(self, run, **requests):
        """By the transports, so many requests each; all are hits."""
        requests = {"curl": 0, "direct": 0, **requests}
        self.assertEqual(run.document["transports"], requests, run)
        self.assertEqual(sum(requests.values()), run.totals["hits"], run)

    def assert_protocols(self, log, *protocols):
        self.assertEqual({line.protocol for line in log}, set(protocols), log)


class Plain(TransportTest):
    def test_the_one_that_is_named(self):
        for transport in ("curl", "direct"):
            with self.subTest(transport):
                self.nginx.forget()
                run = self.load(transport, self.nginx.url)
                self.assert_exact(run)
                self.assert_carried(run, **{transport: 12})
                self.assertRegex(run.stdout, rf"\n  transport +{transport}\n", run)

    def test_auto_is_direct(self):
        for transport in (None, "auto"):
            with self.subTest(transport):
                self.nginx.forget()
                run = self.load(transport, self.nginx.url)
                self.assert_exact(run)
                self.assert_carried(run, direct=12)
                self.assertRegex(run.stdout, r"\n  transport +direct\n", run)

    def test_requests_that_are_not_sent_count_too(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
            for transport in ("curl", "direct"):
                run = self.load(transport, url)
                self.assertEqual(run.totals["unsent"], 12, run)
                self.assertEqual(run.document["transports"][transport], 12, run)

    def test_an_unknown_one(self):
        for transport in ("", "Curl", "http2", "auto,curl"):
            with self.subTest(transport):
                run = self.run_molotov(self.nginx.url + "/", "--transport", transport)
                self.assert_status(run, 2)
                for word in ("auto", "curl", "direct"):
                    self.assertIn(word, run.stderr, run)
                self.assertIsNone(run.json_text, run)
        self.assertEqual(self.nginx.count(), 0)

    def test_nothing_is_sent_ahead(self):
        """No request before the answer to the one before it."""
        hostile = Hostile()
        self.addCleanup(hostile.close)
        for transport in EACH:
            with self.subTest(transport):
                run = self.load(transport, hostile.url(), scenario=AHEAD)
                self.assertEqual(run.totals["ok"], 12, run)
                self.assertEqual(run.document["connections"], 3, run)
                self.assertEqual(hostile.sent_ahead, 0, run)


class Http1OverTls(TransportTest):
    nginx_options = {"tls": True}

    def test_auto_is_direct(self):
        run = self.load("auto", self.nginx.tls_url, "-k")
        self.assert_protocols(self.assert_exact(run), "HTTP/1.1")
        self.assert_carried(run, direct=12)
        self.assertEqual(run.document["connections"], 3, run)


class Http2(TransportTest):
    nginx_options = {"tls": True, "http2": True}

    def test_auto_is_curl(self):
        """The service chooses HTTP/2 in the first handshake, and all of its requests go
        where that is spoken."""
        run = self.load("auto", self.nginx.tls_url, "-k", "-p", 2)
        self.assertEqual(run.totals["ok"], 24, run)
        self.assert_protocols(self.assert_exact(run), "HTTP/2.0")
        self.assert_carried(run, curl=24)
        self.assertRegex(run.stdout, r"\n  transport +curl\n", run)

    def test_direct_speaks_http1(self):
        run = self.load("direct", self.nginx.tls_url, "-k")
        self.assert_protocols(self.assert_exact(run), "HTTP/1.1")
        self.assert_carried(run, direct=12)

    def test_auto_chooses_for_each_service(self):
        """Plain and TLS of one nginx are two."""
        scenario = f"""
        SCENARIO(s)
        {{
            mlt_check(mlt_get(session, "/")->status == 200);
            mlt_check(mlt_get(session, "{self.nginx.url}/orders")->status == 201);
        }}
        """
        run = self.load("auto", self.nginx.tls_url, "-k", scenario=scenario)
        log = self.assert_exact(run)
        self.assert_protocols([line for line in log if line.target == "/"], "HTTP/2.0")
        self.assert_protocols([line for line in log if line.target == "/orders"], "HTTP/1.1")
        self.assert_carried(run, curl=12, direct=12)
        self.assertRegex(run.stdout, r"\n  transport +direct \(12 requests\), curl \(12\)\n", run)

    def test_a_handshake_that_fails_tells_nothing(self):
        """The certificate is not trusted: each worker hears of that, and nothing is sent."""
        run = self.load("auto", self.nginx.tls_url)
        self.assertEqual(run.totals["failed"], 12, run)
        self.assertEqual((run.totals["hits"], run.totals["unsent"]), (0, 12), run)
        self.assertRegex(str(run.messages()), "(?i)certificate", run)
        self.assertEqual(self.nginx.count(), 0, run)


def unix_url(path, scheme="http+unix"):
    """The socket's path, percent-encoded, stands where the host would."""
    return f"{scheme}://{urllib.parse.quote(path, safe='')}"


class UnixSockets(TransportTest):
    """What test_connecting.py has not: TLS over them, and paths that are none."""

    @classmethod
    def setUpClass(cls):
        cls.sockets = tempfile.mkdtemp(prefix="molotov-unix-")
        cls.addClassCleanup(shutil.rmtree, cls.sockets, ignore_errors=True)
        cls.tls = os.path.join(cls.sockets, "tls")
        cls.nginx_options = {"tls": True, "more": f"listen unix:{cls.tls} ssl;"}
        super().setUpClass()

    def test_tls(self):
        """As one of "localhost", whose certificate is verified."""
        url = unix_url(self.tls, "https+unix")
        known = {"SSL_CERT_FILE": self.nginx.certificate.authority}
        for transport in EACH:
            with self.subTest(transport):
                self.nginx.forget()
                run = self.load(transport, url)
                self.assertEqual(run.totals["failed"], 12, run)
                self.assertEqual(self.nginx.count(), 0, run)
                for args, env in ((("-k",), None), ((), known)):
                    run = self.load(transport, url, *args, env=env)
                    self.assertEqual(run.totals["ok"], 12, run)
                    self.assert_exact(run)
                    self.nginx.forget()

    def test_no_path_of_a_socket(self):
        """One too long for a socket's address, an empty one, and one with a NUL."""
        for url in (unix_url("/tmp/" + "x" * 200), "http+unix:///", "http+unix://%2Ftmp%00x/"):
            for transport in EACH:
                with self.subTest(url, transport=transport):
                    run = self.run_molotov(url, "-r", 2, "--transport", transport)
                    self.assertRegex(run.stderr + run.stdout, "(?i)URL|socket|name too long", run)
                    if run.status == 0:
                        self.assertEqual((run.totals["unsent"], run.totals["failed"]), (2, 2), run)
                        self.assertEqual(run.totals["hits"], 0, run)
                    else:
                        self.assert_status(run, 2)


if __name__ == "__main__":
    unittest.main()
