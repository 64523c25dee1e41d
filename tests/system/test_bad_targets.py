"""Targets that misbehave: each failure is counted, named, and ended by its time-out."""

import os
import shutil
import tempfile
import unittest

from harness import SystemTest
from hostile import Hostile

TIME_OUT = r"time-?out|timed out"
CUT = r"clos|ended|cut|reset|broke|incomplete|partial"
NO_HTTP = r"HTTP"

# path, what the error must say (a regular expression), hits of each run.
BAD = [
    ("/silent", TIME_OUT, 1),
    ("/reset", CUT, 1),
    ("/close", CUT, 1),
    ("/reset-in-body", CUT, 1),
    ("/garbage", NO_HTTP, 1),
    ("/half-head", CUT, 1),
    ("/half-head-silent", TIME_OUT, 1),
    ("/half-body", CUT, 1),
    ("/half-body-silent", TIME_OUT, 1),
    ("/cut-chunks", CUT, 1),
    ("/bad-chunks", r"chunk|broke|HTTP|length", 1),
    ("/endless-line", r"large|long|head", 1),
    ("/endless-head", r"large|long|head|lines", 1),
    ("/endless-1xx", r"large|long|head|lines", 1),
    ("/endless-body", r"64 MiB|" + TIME_OUT, 1),  # whichever is met first
    ("/many-lines", r"lines|head", 1),
    ("/large-head", r"large|head", 1),
    ("/redirect-loop", r"redirect", 11),
    ("/redirect-bad", r"redirect|HTTP|scheme|protocol|gopher", 1),
    ("/broken-gzip", r"compress|encod", 1),
    ("/bad-length", r"length|HTTP", 1),
    ("/huge-length", r"length|HTTP|large|time", 1),
    ("/head-with-status-99", r"HTTP|status", 1),
]

# path, what the scenario checks of the answer.
ODD_BUT_FINE = [
    ("/", "page->status == 200"),
    ("/redirect-nowhere", "page->status == 302"),
    ("/byte-by-byte", "!strcmp(mlt_json_str(page, \"result\"), \"OK\")"),
    ("/gzip", "!strcmp(mlt_json_str(page, \"result\"), \"OK\")"),
    ("/no-content", "page->status == 204 && page->body_length == 0"),
    ("/until-close", "!strcmp(mlt_json_str(page, \"result\"), \"OK\")"),
    ("/odd-text", "page->body_length == 11 && page->body[4] == 'r'"),
    ("/bytes?3000000", "page->body_length == 3000000"),
    ("/missing", "page->status == 404"),
    ("/no-reason", '!strcmp(page->body, "ok") && page->status == 200 && !*page->reason'),
]


def name_of(path):
    return "s_" + "".join(c if c.isalnum() else "_" for c in path)


class BadTargets(SystemTest):
    """One file with one scenario for each target, compiled once."""

    @classmethod
    def setUpClass(cls):
        cls.hostile = Hostile()
        cls.addClassCleanup(cls.hostile.close)
        cls.cache = tempfile.mkdtemp(prefix="molotov-cache-")
        cls.addClassCleanup(shutil.rmtree, cls.cache, ignore_errors=True)
        targets = [(path, "page->status > 0") for path, _, _ in BAD] + ODD_BUT_FINE
        targets += [("/post-303", "!strncmp(page->body, \"GET /echo\", 9)")]
        targets += [("/post-307", "!strncmp(page->body, \"POST /echo\\nx=1\", 14)")]
        cls.scenarios = "".join(
            f"""
            SCENARIO({name_of(path)})
            {{
                mlt_response *page = {"mlt_post" if "post" in path else "mlt_get"}(session,
                    "{cls.hostile.url(path)}", .timeout = 1.0
                    {', .body = "x=1"' if "post" in path else ""});
                mlt_check({check});
            }}
            """
            for path, check in targets
        )
        for name in ("silent", "reset", "refused"):
            cls.scenarios += f"""
            SCENARIO({name})
            {{
                mlt_get(session, "{getattr(cls.hostile, name + '_url')}", .timeout = 1.0);
            }}
            SCENARIO(to_{name})
            {{
                mlt_get(session, "{cls.hostile.url('/redirect-elsewhere')}?"
                        "{getattr(cls.hostile, name + '_url')}", .timeout = 1.0);
            }}
            """
        cls.scenarios += """
            SCENARIO(unknown_host) { mlt_get(session, "http://host.invalid/"); }
            SCENARIO(bad_url) { mlt_get(session, "http://[nonsense/"); }
            SCENARIO(no_scheme) { mlt_get(session, "/relative"); }
            SCENARIO(other_scheme) { mlt_get(session, "ftp://127.0.0.1/"); }
        """

    def environment(self, extra=None):
        return super().environment({"XDG_CACHE_HOME": self.cache, **(extra or {})})

    def setUp(self):
        super().setUp()
        self.hostile.requests.clear()

    def load(self, name, *args):
        run = self.run_molotov("-s", name, "-w", 2, "-r", 2, *args, scenario=self.scenarios)
        self.assert_status(run, 0)
        self.assert_sums(run)
        return run

    def assert_all_failed(self, run, words, runs=4):
        self.assertEqual(run.totals["failed"], runs, run)
        self.assertEqual(run.totals["ok"] + run.totals["cancelled"], 0, run)
        self.assertEqual(sum(run.messages().values()), runs, run)
        said = "\n".join(
            f"{error['message']} {error['sample']}" for error in run.document["errors"]
        )
        self.assertRegex(said, f"(?i){words}", run)

    def test_refused(self):
        run = self.load("refused")
        self.assert_all_failed(run, "connect|refused")
        self.assertEqual(run.totals["hits"], 0, run)

    def test_connection_without_an_answer(self):
        run = self.load("silent")
        self.assert_all_failed(run, TIME_OUT)
        self.assertEqual(run.totals["hits"], 4, run)

    def test_reset_before_the_request(self):
        run = self.load("reset")
        self.assert_all_failed(run, CUT + "|connect")
        self.assertLessEqual(run.totals["hits"], 4, run)

    def test_redirect_to_a_bad_target(self):
        for name, words, hits in [("silent", TIME_OUT, 8), ("refused", "connect|refused", 4)]:
            with self.subTest(name):
                run = self.load("to_" + name)
                self.assert_all_failed(run, words)
                self.assertEqual(run.totals["hits"], hits, run)

    def test_urls_that_lead_nowhere(self):
        for name, words in [
            ("unknown_host", "host|name|resolve|look"),
            ("bad_url", "url"),
            ("no_scheme", "relative|url"),
            ("other_scheme", "http|scheme|protocol"),
        ]:
            with self.subTest(name):
                run = self.load(name)
                self.assert_all_failed(run, words)
                self.assertEqual(run.totals["hits"], 0, run)

    def test_post_redirects(self):
        """303 asks for the next page by GET; 307 sends the same again."""
        for path in ("/post-303", "/post-307"):
            with self.subTest(path):
                self.hostile.requests.clear()
                run = self.load(name_of(path))
                self.assertEqual(run.totals["ok"], 4, run)
                self.assertEqual(run.totals["hits"], 8, run)
                self.assertEqual(self.hostile.count(), 8, run)

    def test_report_shows_no_control_codes(self):
        """What a target sends does not reach the terminal as it is."""
        run = self.load(name_of("/garbage"), "-v")
        for text in (run.stdout, run.stderr):
            self.assertNotRegex(text, r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def add_bad(path, words, hits):
    def test(self):
        run = self.load(name_of(path))
        self.assert_all_failed(run, words)
        self.assertEqual(run.totals["hits"], 4 * hits, run)
        self.assertEqual(self.hostile.count(path), 4 * hits, run)

    setattr(BadTargets, "test_bad_" + name_of(path)[3:], test)


def add_odd(path):
    def test(self):
        run = self.load(name_of(path))
        self.assertEqual(run.totals["ok"], 4, run)
        self.assertEqual(run.totals["hits"], 4, run)
        self.assertEqual(self.hostile.count(), 4, run)

    setattr(BadTargets, "test_odd_" + (name_of(path)[3:] or "good"), test)


for bad in BAD:
    add_bad(*bad)
for odd, _ in ODD_BUT_FINE:
    add_odd(odd)


class EscapeSequences(SystemTest):
    """What a target sends reaches no terminal as a command, whoever shows it."""

    @classmethod
    def setUpClass(cls):
        cls.hostile = Hostile()
        cls.addClassCleanup(cls.hostile.close)

    def load(self, status, code, *args):
        get = f'mlt_get(session, "{self.hostile.url("/escape")}")'
        run = self.run_molotov(*args, scenario=code.replace("GET", get))
        self.assert_status(run, status)
        for text in (run.stdout, run.stderr):
            self.assertNotRegex(text, r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
        if "-q" not in args:
            self.assertIn("pwned", run.stdout + run.stderr, run)
        return run

    def test_global_setup(self):
        for code in (
            'mlt_check_str(GET->body, "fine");',
            'mlt_fail("%s", GET->body);',
            'mlt_print("%s", GET->body); mlt_fail("no more");',
        ):
            for args in ((), ("-q",), ("-v",)):
                with self.subTest(code, args=args):
                    self.load(1, "GLOBAL_SETUP() {" + code + "} SCENARIO(s) {}", *args)

    def test_global_teardown(self):
        code = 'mlt_check_str(GET->body, "fine");'
        self.load(0, "GLOBAL_TEARDOWN() {" + code + "} SCENARIO(s) {}", "-r", 1)

    def test_setup_session(self):
        code = 'mlt_check_str(GET->body, "fine");'
        for args in ((), ("-q",)):
            with self.subTest(args=args):
                self.load(1, "SETUP_SESSION() {" + code + "} SCENARIO(s) {}", "-r", 1, *args)

    def test_scenario(self):
        for code in (
            'mlt_check_str(GET->body, "fine");',
            'mlt_fail("%s", GET->body);',
            'mlt_print("%s", GET->body); mlt_fail("no more");',
            'mlt_json_str(GET, "fine");',
        ):
            for args in ((), ("-v",), ("-vv",)):
                with self.subTest(code, args=args):
                    run = self.load(0, "SCENARIO(s) {" + code + "}", "-r", 2, *args)
                    self.assertEqual(run.totals["failed"], 2, run)


class LongUrls(SystemTest):
    def test_the_error_still_says_why(self):
        """The label is cut, not the reason."""
        hostile = Hostile()
        self.addCleanup(hostile.close)
        lengths = (150, 190, 200, 210, 220, 230, 240, 255, 256, 257, 300, 2000)
        scenario = ""
        for length in lengths:
            url = hostile.refused_url.ljust(length, "x")
            scenario += f'SCENARIO(s{length}) {{ mlt_get(session, "{url}"); }}\n'
        run = self.run_molotov("--single-run", scenario=scenario)
        self.assert_status(run, 0)
        self.assertEqual(run.totals["failed"], len(lengths), run)
        self.assertEqual(sum(run.messages().values()), len(lengths), run)
        for message in run.messages():
            self.assertTrue(message.startswith("GET " + hostile.refused_url), message)
            self.assertTrue(message.endswith("cannot connect: Connection refused"), message)


class UrlAsTheTest(SystemTest):
    """The same without a script: a plain URL."""

    @classmethod
    def setUpClass(cls):
        cls.hostile = Hostile()
        cls.addClassCleanup(cls.hostile.close)

    def load(self, url, *args):
        run = self.run_molotov(url, "-w", 2, "-r", 3, *args)
        self.assert_status(run, 0)
        self.assert_sums(run)
        return run

    def test_bad(self):
        for path in ("/reset", "/garbage", "/half-body", "/redirect-loop"):
            with self.subTest(path):
                run = self.load(self.hostile.url(path))
                self.assertEqual(run.totals["failed"], 6, run)
                self.assertEqual(run.totals["hits"], self.hostile.count(path), run)

    def test_refused(self):
        run = self.load(self.hostile.refused_url)
        self.assertEqual(run.totals["failed"], 6, run)
        self.assertEqual(run.totals["hits"], 0, run)

    def test_silent_is_cut_at_the_stop(self):
        run = self.run_molotov(
            self.hostile.silent_url, "-w", 3, "-d", 0.5, "--stop-timeout", 0.5
        )
        self.assert_status(run, 0)
        self.assert_sums(run)
        self.assertEqual(run.totals["cancelled"], 3, run)
        self.assertEqual(run.totals["hits"], 3, run)


if __name__ == "__main__":
    unittest.main()
