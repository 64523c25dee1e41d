"""TLS: certificates are verified unless told otherwise; HTTP/2 where it is offered."""

import os
import unittest

from harness import TRANSPORT, Certificate, NginxTest
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
