"""Wrong usage: a short error that names the cause, and nothing is run."""

import os
import unittest

from harness import PREAMBLE_LINES, SystemTest
from hostile import Hostile

FINE = "SCENARIO(fine) { mlt_print(\"ran\"); }\n"


class Usage(SystemTest):
    def refuse(self, status, words, *args, scenario=FINE, **options):
        """The run is refused with this status, and says these words in a few lines."""
        run = self.run_molotov(*args, scenario=scenario, **options)
        self.assertIn(run.status, status if isinstance(status, tuple) else (status,), run)
        self.assertNotIn("SUCCESSES", run.stdout, run)
        self.assertIsNone(run.json_text, run)
        for word in words:
            self.assertRegex(run.stderr, f"(?i){word}", run)
        if "error:" not in run.stderr:  # of the compiler
            self.assertLessEqual(run.stderr.count("\n"), 3, run)
        return run

    def test_unknown_option_names_the_nearest(self):
        self.refuse(2, ["--wrokers", "--workers"], "--wrokers", "3")
        self.refuse(2, ["--max-run-s", "--max-runs"], "--max-run-s=3")

    def test_unknown_short_option(self):
        self.refuse(2, ["-Z"], "-Z")

    def test_numbers(self):
        for args in [
            ("-w", "-1"),
            ("-w", "0x"),
            ("-w", "many"),
            ("-w", ""),
            ("-w", "1.5"),
            ("-w", "99999999999999999999"),
            ("-p", "-2"),
            ("-p", "1000000000"),
            ("-d", "-1"),
            ("-d", "nan"),
            ("-d", "inf"),
            ("-d", "1e300"),
            ("-d", "5 s"),
            ("-r", "-1"),
            ("--ramp-up", "-0.5"),
            ("--delay", "x"),
            ("--stop-timeout", "-1"),
            ("--stuck-timeout", "abc"),
            ("--fail", "x"),
        ]:
            with self.subTest(args=args):
                run = self.refuse(2, [args[0]], *args)
                if args[1]:
                    self.assertIn(args[1], run.stderr, run)

    def test_value_missing(self):
        self.refuse(2, ["--workers"], "--output", "null", "--workers")

    def test_value_of_a_flag(self):
        self.refuse(2, ["--quiet"], "--quiet=yes")

    def test_no_test_named(self):
        """Then it is loadtest.c, which is not here."""
        self.refuse((1, 2), ["loadtest.c"], scenario=None)

    def test_two_tests_named(self):
        self.refuse(2, ["other.c"], "other.c")

    def test_missing_file(self):
        self.refuse((1, 2), ["nowhere.c", "no such file"], "nowhere.c", scenario=None)

    def test_directory(self):
        self.refuse((1, 2), [], self.directory, scenario=None)

    def test_unknown_kind_of_file(self):
        path = self.write("loadtest.txt", "hello")
        self.refuse((1, 2), ["loadtest.txt"], path, scenario=None)

    def test_url_without_a_host(self):
        self.refuse((1, 2), ["http"], "http://", scenario=None)

    def test_compile_error_as_the_compiler_says_it(self):
        run = self.refuse(
            1,
            [f"loadtest.c:{PREAMBLE_LINES + 3}:", "error", "no_such_function|undeclared|expected"],
            scenario="SCENARIO(s)\n{\n    int x = ;\n}\n",
        )
        self.assertIn("int x = ;", run.stderr, run)

    def test_undefined_function(self):
        self.refuse(1, ["not_there"], scenario="void not_there(void); SCENARIO(s) {not_there();}")

    def test_no_scenarios(self):
        self.refuse(1, ["scenario"], scenario="int nothing;\n")

    def test_weights_all_zero(self):
        self.refuse(1, ["weight"], scenario="SCENARIO(a, .weight = 0) {}\n")

    def test_negative_weight(self):
        self.refuse(1, ["weight", "bad"], scenario="SCENARIO(bad, .weight = -1) {}\n" + FINE)

    def test_two_scenarios_of_one_name(self):
        """The second takes the place of the first, as in Molotov."""
        run = self.run_molotov(
            "-r", 3,
            scenario='SCENARIO(a, .name = "twice") { mlt_fail("the first"); }\n'
            'SCENARIO(b, .name = "twice") {}\n',
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.scenario("twice")["ok"], 3, run)

    def test_unknown_single_mode(self):
        self.refuse(1, ["nothere", "single-mode"], "-s", "nothere")

    def test_single_mode_with_single_run(self):
        self.refuse(2, ["single-mode", "single-run"], "-s", "fine", "--single-run")

    def test_quiet_with_verbose(self):
        self.refuse(2, ["quiet|-q", "verbose|-v"], "-q", "-v")

    def test_unknown_output(self):
        self.refuse(2, ["jsno", "json"], "--output", "jsno")

    def test_unwritable_output_file(self):
        for path in ("/nowhere/at/all.json", self.directory):
            with self.subTest(path):
                self.refuse(
                    (1, 2), [path], "--output", "json", "--output-json-filename", path
                )

    def test_option_of_an_output_that_is_not_used(self):
        self.refuse(2, ["json"], "--output", "null", "--output-json-filename", "x")

    def test_url_options_without_a_url(self):
        self.refuse(2, ["request|-X"], "-X", "POST")

    def test_bad_method_and_header(self):
        for args in [("-X", "BAD METHOD"), ("-H", "no colon"), ("-H", "A: b\r\nC: d")]:
            with self.subTest(args):
                self.refuse((1, 2), [], "http://127.0.0.1:1/", *args, scenario=None)

    def test_text_that_is_not_utf_8(self):
        """Refused at once: an earlier version span for ever."""
        odd = os.fsdecode(b"\xff\xfe")
        cut = os.fsdecode("ü".encode()[:1])
        for bad in (odd, cut, os.fsdecode(b"\xc0\xaf"), os.fsdecode(b"\xed\xa0\x80")):
            for args in [
                ("http://127.0.0.1:1/" + bad,),
                (f"http://{bad}.invalid/",),
                ("http://127.0.0.1:1/", "-H", "X-Test: " + bad),
                ("http://127.0.0.1:1/", "-H", f"X-{bad}: test"),
                ("http://127.0.0.1:1/", "-X", bad),
            ]:
                with self.subTest(args):
                    self.refuse(2, [], *args, scenario=None)

    def test_method_that_is_too_long(self):
        for length in (32, 33, 200, 5000):
            with self.subTest(length):
                self.refuse(
                    2, ["--request"], "http://127.0.0.1:1/", "-X", "M" * length, scenario=None
                )

    def test_too_many_workers_for_the_descriptors(self):
        """Said before the start, with the number that would do."""
        limit = ["/bin/sh", "-c", 'ulimit -n 256 && exec "$@"', "sh"]
        self.refuse((1, 2), ["descriptor|open files|nofile"], "-w", 1000, through=limit)

    def test_too_many_workers_for_the_stacks(self):
        self.refuse((1, 2), ["workers"], "-w", 900000)

    def test_no_compiler(self):
        self.refuse(1, ["no-such-compiler"], env={"CC": "no-such-compiler"})

    def test_global_setup_fails(self):
        run = self.run_molotov(
            scenario=FINE + 'GLOBAL_SETUP() { mlt_fail("no licence"); }\n'
        )
        self.assert_status(run, 1)
        self.assertIn("no licence", run.stdout + run.stderr, run)

    def test_what_a_failing_global_setup_printed_is_shown(self):
        for args in ((), ("-v",), ("-p", 2)):
            with self.subTest(args=args):
                run = self.run_molotov(
                    *args,
                    scenario=FINE
                    + 'GLOBAL_SETUP() { mlt_print("step %d", 1); mlt_fail("no step 2"); }\n',
                )
                self.assert_status(run, 1)
                self.assertIn("step 1", run.stderr, run)
                self.assertIn("no step 2", run.stderr, run)
                self.assertLess(run.stderr.index("step 1"), run.stderr.index("no step 2"), run)

    def test_setup_fails(self):
        for processes in (1, 2):
            for fixture in ("SETUP", "SETUP_SESSION"):
                with self.subTest(fixture, processes=processes):
                    run = self.run_molotov(
                        "-p", processes, "-w", 3, "-d", 600,
                        scenario="SCENARIO(s) { mlt_sleep(session, 0.01); }\n"
                        + fixture + '() { if (worker_id == 1) mlt_fail("no more room"); }\n',
                    )  # fmt: skip
                    self.assert_status(run, 1)
                    self.assertIn("no more room", run.stdout + run.stderr, run)
                    self.assertEqual(run.document["state"], "failed", run)
                    member = "setup_failed" if fixture == "SETUP" else "session_setup_failed"
                    self.assertGreaterEqual(run.document[member], 1, run)

    def test_picker_names_an_unknown_scenario(self):
        run = self.run_molotov(
            "-w", 2, "-r", 3,
            scenario=FINE + 'SCENARIO_PICKER() { return "unheard of"; }\n',
        )  # fmt: skip
        self.assert_status(run, 1)
        self.assertEqual(run.document["state"], "failed", run)
        self.assertIn("unheard of", run.document["failure"], run)
        self.assertIn(run.totals["failed"], (1, 2), run)  # before the test stops

    def test_picker_returns_nothing(self):
        run = self.run_molotov(
            "-w", 2, "-r", 3, scenario=FINE + "SCENARIO_PICKER() { return NULL; }\n"
        )
        self.assertEqual(run.totals["failed"], 6, run)

    def test_object_that_is_none(self):
        path = self.write("loadtest.so", "not an object")
        self.refuse(1, ["loadtest.so"], path, scenario=None)

    def test_second_global_setup(self):
        self.refuse(
            1, ["global_setup|GLOBAL_SETUP"],
            scenario=FINE + "GLOBAL_SETUP() {}\nGLOBAL_SETUP() {}\n",
        )  # fmt: skip

    def test_second_run_after_an_error_is_clean(self):
        """An error leaves nothing in the cache that a later run would take for good."""
        self.refuse(1, ["error"], scenario="SCENARIO(s) { int x = ; }\n")
        run = self.run_molotov("-r", 1, scenario=FINE)
        self.assert_status(run, 0)
        self.assertEqual(run.totals["ok"], 1, run)


class Fail(SystemTest):
    """--fail: from so many failures on, status 1; else failures are a result like any."""

    def test_fail(self):
        bad = 'SCENARIO(bad) { mlt_fail("bad"); }\n'
        for args, status in [
            ((), 0),
            (("--fail", 10), 1),
            (("--fail", 11), 0),
            (("-f", 1), 1),
            (("-q", "--fail", 1), 1),
        ]:
            with self.subTest(args=args):
                run = self.run_molotov("-w", 2, "-r", 5, *args, scenario=bad)
                self.assert_status(run, status)
                self.assertEqual(run.totals["failed"], 10, run)

    def test_url(self):
        hostile = Hostile()
        self.addCleanup(hostile.close)
        run = self.run_molotov(hostile.url("/missing"), "-r", 3, "--fail", 3)
        self.assert_status(run, 1)
        self.assertEqual(run.totals["failed"], 3, run)


class InformationOptions(SystemTest):
    def test_version(self):
        run = self.run_molotov("--version")
        self.assert_status(run, 0)
        self.assertRegex(run.stdout, r"\A[^\n]*\d+\.\d+[^\n]*\n\Z")

    def test_help(self):
        for option in ("--help", "-h"):
            run = self.run_molotov(option)
            self.assert_status(run, 0)
            for word in ("--workers", "--duration", "--output", "json", "86400"):
                self.assertIn(word, run.stdout, run)
            self.assertEqual(run.stderr, "", run)
            self.assertLessEqual(max(map(len, run.stdout.splitlines())), 100)


if __name__ == "__main__":
    unittest.main()
