"""Fixtures, worker by worker: their order, what they are given, and their failures."""

import collections
import os
import signal
import unittest

from harness import (
    NginxTest,
    signal_is_pending,
    wait_channel,
    wait_until,
    waits_for_events,
)

# note("..."): a line in the file that $NOTES names, whole whoever else writes.
NOTES = """
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static void note(const char *format, ...)
{
    char line[500];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    line[length++] = '\\n';
    int fd = open(getenv("NOTES"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0 || write(fd, line, (size_t)length) != length)
        abort();
    close(fd);
}
"""

ALL = (
    NOTES
    + """
GLOBAL_SETUP() { note("global_setup %ld", args->process); }
SETUP() { note("setup %d", worker_id); }
SETUP_SESSION() { note("setup_session %d", worker_id); }
SCENARIO(run) { note("run %d %ld", mlt_worker_id(session), mlt_step(session)); }
TEARDOWN_SESSION() { note("teardown_session %d", worker_id); }
TEARDOWN() { note("teardown %d", worker_id); }
GLOBAL_TEARDOWN() { note("global_teardown"); }
"""
)


class FixtureTest(NginxTest):
    def load(self, scenario, *args, env=None):
        self.notes_path = self.path(f"notes-{len(self.runs)}")
        run = self.run_molotov(
            "--server-url", self.nginx.url, *args,
            scenario=scenario, env={"NOTES": self.notes_path, **(env or {})},
        )  # fmt: skip
        return run

    def line_of(self, run, text):
        """In which line of the scenario file a text first stands."""
        with open(os.path.join(self.runs[-1].directory, "loadtest.c"), encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if text in line:
                    return number
        raise AssertionError(f"no {text} in the scenario\n{run}")

    def notes(self):
        try:
            with open(self.notes_path, encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []


class Order(FixtureTest):
    def test_one_worker(self):
        run = self.load(ALL, "-r", 2)
        self.assert_status(run, 0)
        self.assertEqual(
            self.notes(),
            [
                "global_setup -1",
                "setup 0",
                "setup_session 0",
                "run 0 1",
                "run 0 2",
                "teardown_session 0",
                "teardown 0",
                "global_teardown",
            ],
            run,
        )

    def test_many_workers(self):
        for processes in (1, 3):
            with self.subTest(processes=processes):
                run = self.load(ALL, "-r", 2, "-w", 4, "-p", processes)
                self.assert_status(run, 0)
                notes = self.notes()
                self.assertEqual(notes[0], "global_setup -1", run)
                self.assertEqual(notes[-1], "global_teardown", run)
                wanted = collections.Counter()
                for worker in range(4):
                    for what in ("setup", "setup_session", "teardown_session", "teardown"):
                        wanted[f"{what} {worker}"] = processes
                    for step in (1, 2):
                        wanted[f"run {worker} {step}"] = processes
                self.assertEqual(collections.Counter(notes[1:-1]), wanted, run)

    def test_order_is_kept_by_a_forced_end(self):
        run = self.load(
            ALL + 'SCENARIO(hangs) { note("hang"); mlt_get(session, "/slow"); }',
            "-s", "hangs", "-w", 2, "-d", 0.5, "--force-shutdown",
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.totals["cancelled"], 2, run)
        notes = collections.Counter(self.notes())
        for worker in range(2):
            self.assertEqual(notes[f"teardown_session {worker}"], 1, run)
            self.assertEqual(notes[f"teardown {worker}"], 1, run)
        self.assertEqual(self.notes()[-1], "global_teardown", run)

    def test_duration_0_ends_at_once(self):
        run = self.load(ALL, "-d", 0, "-w", 3)
        self.assert_status(run, 0)
        self.assertLessEqual(run.totals["ok"], 3, run)
        self.assertEqual(self.notes()[-1], "global_teardown", run)

    def start_global_setup(self, processes):
        """A run in its global_setup, which ends when go_on() was called: both."""
        scenario = ALL.replace(
            'GLOBAL_SETUP() { note("global_setup %ld", args->process);',
            'GLOBAL_SETUP() { note("global_setup %ld", args->process);\n'
            '    while (access(getenv("GO_ON"), F_OK)) usleep(10000);\n'
            '    note("global_setup ends");',
        )
        self.notes_path = self.path(f"notes-{len(self.runs)}")
        go_on = self.path(f"go-on-{len(self.runs)}")
        running = self.start(
            "-w", 3, "-p", processes, scenario=scenario,
            env={"NOTES": self.notes_path, "GO_ON": go_on},
        )  # fmt: skip
        wait_until(lambda: self.notes() == ["global_setup -1"], "global_setup")
        return running, lambda: os.close(os.open(go_on, os.O_CREAT, 0o600))

    def assert_nothing_run(self, run):
        """What it has set up is torn down again; nothing is run in between."""
        self.assert_status(run, 0)
        notes = self.notes()
        self.assertEqual(notes[:2], ["global_setup -1", "global_setup ends"], run)
        self.assertEqual(notes[-1], "global_teardown", run)
        self.assertEqual([note for note in notes if note.startswith("run ")], [], run)
        self.assertEqual(run.document["state"], "stopped", run)
        self.assertEqual(run.document["interrupted_by"], "SIGINT", run)
        for key in ("ok", "failed", "cancelled", "hits"):
            self.assertEqual(run.totals[key], 0, run)

    def test_signal_in_global_setup(self):
        for processes in (1, 2):
            with self.subTest(processes=processes):
                running, go_on = self.start_global_setup(processes)
                running.signal(signal.SIGINT)
                self.assertEqual(self.notes(), ["global_setup -1"])
                go_on()
                self.assert_nothing_run(self.finish(running))

    def test_signal_when_all_is_set_up(self):
        """START and STOP come to the slave together: each of the two processes is held
        until the other one has had its say."""
        for processes in (1, 2):
            with self.subTest(processes=processes):
                running, go_on = self.start_global_setup(processes)
                (slave,) = running.slaves()
                runner = running.process.pid
                if wait_until(lambda: wait_channel(slave), "it to sleep") == "0":
                    self.skipTest("the system does not tell what a process waits for")
                os.kill(runner, signal.SIGSTOP)
                go_on()
                wait_until(lambda: waits_for_events(slave), "the slave to be ready")
                os.kill(slave, signal.SIGSTOP)
                os.kill(runner, signal.SIGINT)
                os.kill(runner, signal.SIGCONT)
                wait_until(
                    lambda: not signal_is_pending(runner, signal.SIGINT)
                    and waits_for_events(runner),
                    "the runner to have sent both",
                )
                os.kill(slave, signal.SIGCONT)
                self.assert_nothing_run(self.finish(running))

    def test_no_workers(self):
        run = self.load(ALL, "-w", 0)
        self.assert_status(run, 0)
        self.assertEqual(run.totals["ok"], 0, run)


class Failures(FixtureTest):
    """What the failure of each fixture does; the specification's section 4.1."""

    def with_failing(self, fixture, condition="1"):
        macro = fixture.upper()
        before = f"\n{macro}() {{ note("
        self.assertIn(before, ALL)
        return ALL.replace(
            before, f'\n{macro}() {{ if ({condition}) mlt_fail("{fixture} broke"); note('
        )

    def assert_shown(self, run, words):
        self.assertIn(words, run.stdout + run.stderr, run)

    def test_global_setup(self):
        run = self.load(self.with_failing("global_setup"), "-w", 3)
        self.assert_status(run, 1)
        self.assert_shown(run, "global_setup broke")
        self.assertEqual(self.notes(), [], "not even global_teardown")

    def test_setup(self):
        for processes in (1, 2):
            with self.subTest(processes=processes):
                scenario = self.with_failing("setup", "worker_id == 1")
                run = self.load(scenario, "-w", 3, "-p", processes, "-d", 600, "--delay", 0.01)
                self.assert_status(run, 1)
                self.assert_shown(run, "setup broke")
                self.assertEqual(run.document["state"], "failed", run)
                notes = self.notes()
                self.assertEqual([n for n in notes if n.startswith("run 1 ")], [], run)
                self.assertNotIn("setup_session 1", notes, run)
                self.assertIn("teardown 1", notes, run)
                self.assertEqual(notes[-1], "global_teardown", run)

    def test_setup_session(self):
        """No scenario is run without its session."""
        scenario = self.with_failing("setup_session", "worker_id == 1")
        run = self.load(scenario, "-w", 3, "-d", 600, "--delay", 0.01)
        self.assert_status(run, 1)
        self.assert_shown(run, "setup_session broke")
        notes = self.notes()
        self.assertEqual([note for note in notes if note.startswith("run 1 ")], [], run)
        self.assertIn("teardown 1", notes, run)
        self.assertEqual(notes[-1], "global_teardown", run)

    def test_failed_request_of_setup_session(self):
        scenario = ALL.replace(
            'SETUP_SESSION() { note("setup_session %d", worker_id);',
            'SETUP_SESSION() { mlt_get(session, "http://127.0.0.1:1/");',
        )
        run = self.load(scenario, "-w", 2, "-d", 600)
        self.assert_status(run, 1)
        self.assertEqual(run.totals["hits"], 0, run)

    def test_teardown_session(self):
        run = self.load(self.with_failing("teardown_session"), "-w", 2, "-r", 1)
        self.assert_status(run, 0)
        self.assert_shown(run, "teardown_session broke")
        self.assertIn("teardown 0", self.notes(), run)
        self.assertIn("teardown 1", self.notes(), run)

    def test_teardown(self):
        run = self.load(self.with_failing("teardown"), "-w", 2, "-r", 1)
        self.assert_status(run, 0)
        self.assert_shown(run, "teardown broke")
        self.assertEqual(self.notes()[-1], "global_teardown", run)

    def test_global_teardown(self):
        run = self.load(self.with_failing("global_teardown"), "-w", 2, "-r", 1)
        self.assert_status(run, 0)
        self.assert_shown(run, "global_teardown broke")
        self.assertEqual(run.totals["ok"], 2, run)

    def test_wrong_session_options(self):
        for option in (
            'mlt_add_header(options, "no colon")',
            "options->timeout = -1",
        ):
            with self.subTest(option):
                run = self.load(f"SCENARIO(s) {{}} SETUP() {{ {option}; }}", "-r", 1)
                self.assert_status(run, 1)
                self.assertEqual(run.totals["ok"], 0, run)


class Given(FixtureTest):
    def test_requests_of_global_fixtures_are_not_measured(self):
        run = self.load(
            'GLOBAL_SETUP() { mlt_check(mlt_get(session, "/see?setup")->status == 200); }\n'
            'GLOBAL_TEARDOWN() { mlt_get(session, "/see?teardown"); }\n'
            'SCENARIO(s) { mlt_get(session, "/"); }\n',
            "-w", 3, "-r", 2, "-p", 2,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.totals["hits"], 12, run)
        targets = collections.Counter(line.target for line in self.nginx.log())
        self.assertEqual(targets, {"/see?setup": 1, "/": 12, "/see?teardown": 1}, run)

    def test_requests_of_setup_session_are_measured(self):
        run = self.load(
            'SETUP_SESSION() { mlt_get(session, "/see?login"); }\n'
            'TEARDOWN_SESSION() { mlt_get(session, "/see?logout"); }\n'
            'SCENARIO(s) { mlt_get(session, "/"); }\n',
            "-w", 3, "-r", 2, "-p", 2,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assert_exact(run)
        self.assertEqual(run.totals["hits"], 6 + 12 + 6, run)

    def test_session_options(self):
        run = self.load(
            NOTES
            + """
            SETUP()
            {
                mlt_add_header(options, "X-Test: %s", worker_id == 0 ? "zero" : "other");
                mlt_add_header(options, "User-Agent: tester");
                options->timeout = 5;
            }
            SCENARIO(s)
            {
                mlt_response *page = mlt_get(session, "/see");
                mlt_check_str(mlt_json_str(page, "agent"), "tester");
                mlt_check_str(mlt_json_str(page, "test"),
                              mlt_worker_id(session) == 0 ? "zero" : "other");
                page = mlt_get(session, "/see", .headers = MLT_HEADERS("X-Test: own"));
                mlt_check_str(mlt_json_str(page, "test"), "own");
                mlt_check_str(mlt_json_str(page, "agent"), "tester");
            }
            """,
            "-w", 3, "-r", 2,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.totals["failed"], 0, run)

    def test_session_timeout(self):
        run = self.load(
            "SETUP() { options->timeout = 0.3; }\n"
            'SCENARIO(s) { mlt_get(session, "/slow"); }\n',
            "-r", 2,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.totals["failed"], 2, run)
        self.assertRegex(str(run.messages()), "time-?out|timed out")

    def test_base_url(self):
        """SETUP() gives the base of relative URLs; --server-url wins over it."""
        scenario = (
            f'SETUP() {{ mlt_set_base_url(options, "{self.nginx.url}"); }}\n'
            'SCENARIO(s) { mlt_check(mlt_get(session, "/")->status == 200); }\n'
        )
        run = self.run_molotov("-r", 2, scenario=scenario)
        self.assertEqual((run.totals["ok"], run.totals["hits"]), (2, 2), run)
        run = self.run_molotov("-r", 2, "--server-url", "http://127.0.0.1:1", scenario=scenario)
        self.assertEqual((run.totals["failed"], run.totals["hits"]), (2, 0), run)

    def test_arguments(self):
        run = self.load(
            NOTES
            + """
            GLOBAL_SETUP()
            {
                note("%s %ld %ld %.2f %.2f %ld %ld", args->server_url, args->workers,
                     args->processes, args->duration, args->delay, args->max_runs,
                     args->process);
            }
            SETUP() { note("in %ld", args->process); }
            SCENARIO(s) {}
            """,
            "-w", 1, "-p", 2, "-d", 9.5, "--delay", 0.25, "-r", 1,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(
            self.notes()[:1] + sorted(self.notes()[1:]),
            [f"{self.nginx.url} 1 2 9.50 0.25 1 -1", "in 0", "in 1"],
            run,
        )

    def test_attached_and_variables(self):
        run = self.load(
            NOTES
            + """
            static int shared = 7;
            GLOBAL_SETUP() { mlt_set_var("seven", &shared); }
            SETUP_SESSION()
            {
                mlt_check(mlt_attached(session, "mine") == NULL);
                int *mine = malloc(sizeof *mine);
                *mine = worker_id;
                mlt_attach(session, "mine", mine);
            }
            SCENARIO(s)
            {
                mlt_check_int(*(int *)mlt_attached(session, "mine"), mlt_worker_id(session));
                mlt_check_int(*(int *)mlt_get_var("seven"), 7);
                mlt_check(mlt_get_var("eight") == NULL);
            }
            TEARDOWN_SESSION()
            {
                note("free %d", *(int *)mlt_attached(session, "mine"));
                free(mlt_attached(session, "mine"));
            }
            """,
            "-w", 3, "-r", 2, "-p", 2,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertEqual(run.totals["ok"], 12, run)
        self.assertEqual(sorted(self.notes()), sorted(["free 0", "free 1", "free 2"] * 2), run)

    def test_listeners(self):
        run = self.load(
            NOTES
            + """
            EVENTS(first)
            {
                static const char *const names[] = {"workers", "start", "success", "failure",
                                                    "sending", "received"};
                if (event->kind == MLT_CURRENT_WORKERS)
                    return;
                note("%s %s %s %d", names[event->kind], event->scenario,
                     event->url ? strrchr(event->url, '/') : event->error,
                     event->response ? event->response->status : 0);
            }
            EVENTS(second)
            {
                if (event->kind == MLT_RESPONSE_RECEIVED)
                    note("body %s", event->response->body);
            }
            SCENARIO(a) { mlt_get(session, "/redirect"); }
            SCENARIO(b) { mlt_fail("no"); }
            """,
            "--single-run",
        )  # fmt: skip
        self.assert_status(run, 0)
        line = self.line_of(run, "mlt_fail")
        self.assertEqual(
            self.notes(),
            [
                "start a (null) 0",
                "sending a /redirect 0",
                "sending a / 0",
                "received a / 200",
                'body {"result": "OK"}',
                "success a (null) 0",
                "start b (null) 0",
                f"failure b loadtest.c:{line}: no 0",
            ],
            run,
        )

    def test_listener_is_told_of_workers(self):
        run = self.load(
            NOTES
            + """
            EVENTS(count)
            {
                if (event->kind == MLT_CURRENT_WORKERS)
                    note("%ld", event->workers);
            }
            SCENARIO(s) { mlt_sleep(session, 0.05); }
            """,
            "-w", 3, "-d", 2.5,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertIn("3", self.notes(), run)
        self.assertLessEqual(len(self.notes()), 4, run)

    def test_answer_that_a_listener_keeps(self):
        """It, and what was parsed of it, is there as long as the run of the scenario."""
        for early in (0, 1):
            for fails in (0, 1):
                with self.subTest(parsed_early=early, scenario_fails=fails):
                    run = self.load(
                        f"enum {{ EARLY = {early}, FAILS = {fails} }};"
                        + NOTES
                        + """
                        static const mlt_response *kept[4];
                        EVENTS(keeper)
                        {
                            const mlt_response **mine = &kept[event->worker_id & 3];
                            if (event->kind == MLT_RESPONSE_RECEIVED) {
                                *mine = event->response;
                                if (EARLY && !mlt_json_has(*mine, "result"))
                                    note("not there");
                            }
                            if (event->kind == MLT_SCENARIO_SUCCESS
                                || event->kind == MLT_SCENARIO_FAILURE)
                                note("%d %d %s", mlt_json_has(*mine, "result"),
                                     mlt_json_has(*mine, "nothing"),
                                     mlt_json_str(*mine, "result"));
                        }
                        SCENARIO(s)
                        {
                            mlt_response *page = mlt_get(session, "/");
                            mlt_check_str(mlt_json_str(page, "result"), "OK");
                            mlt_check(!FAILS);
                        }
                        """,
                        "-w", 4, "-r", 5,
                    )  # fmt: skip
                    self.assert_status(run, 0)
                    self.assertEqual(run.document["processes_lost"], [], run)
                    self.assertEqual(run.totals["failed"], 20 * fails, run)
                    self.assertEqual(self.notes(), ["1 0 OK"] * 20, run)

    OWN_FAILURE = 'SCENARIO(s) { mlt_get(session, "/"); mlt_fail("its %s words", "own"); }\n'

    def assert_own_failure(self, run, count):
        """The report has the scenario's error, and no other."""
        self.assert_status(run, 0)
        self.assertEqual(run.totals["failed"], count, run)
        where = f"loadtest.c:{self.line_of(run, 'mlt_fail(')}: "
        (error,) = run.document["errors"]
        self.assertEqual(error["message"], where + "its %s words", run)
        self.assertEqual(error["count"], count, run)
        self.assertIn("its own words", error["sample"], run)
        return where

    def test_listener_that_fails_at_a_failure(self):
        run = self.load(
            self.OWN_FAILURE
            + "EVENTS(bad)\n{\n"
            "    if (event->kind == MLT_SCENARIO_FAILURE)\n"
            "        mlt_check(event->worker_id == 99);\n}\n",
            "-w", 2, "-r", 2,
        )  # fmt: skip
        self.assert_own_failure(run, 4)
        self.assertIn("event->worker_id == 99", run.stdout + run.stderr, run)

    def test_listener_after_one_that_fails(self):
        """It is told the scenario's error, not its neighbour's."""
        run = self.load(
            NOTES
            + self.OWN_FAILURE
            + """
            EVENTS(first)
            {
                if (event->kind == MLT_SCENARIO_FAILURE) {
                    note("first %s", event->error);
                    mlt_check_str(event->error, "of the first listener");
                }
            }
            EVENTS(second)
            {
                if (event->kind == MLT_SCENARIO_FAILURE)
                    note("second %s", event->error);
            }
            """,
            "-r", 2,
        )  # fmt: skip
        where = self.assert_own_failure(run, 2)
        error = where + "its %s words"
        self.assertEqual(self.notes(), [f"first {error}", f"second {error}"] * 2, run)
        self.assertIn("of the first listener", run.stdout + run.stderr, run)

    def test_listener_that_fails_when_told_of_workers(self):
        """There is no worker that it could fail."""
        for processes in (1, 2):
            with self.subTest(processes=processes):
                run = self.load(
                    """
                    EVENTS(bad)
                    {
                        if (event->kind == MLT_CURRENT_WORKERS)
                            mlt_check_int(event->workers, 99);
                    }
                    SCENARIO(s) { mlt_sleep(session, 0.05); }
                    """,
                    "-w", 3, "-d", 1.5, "-p", processes,
                )  # fmt: skip
                self.assert_status(run, 0)
                self.assertEqual(run.document["state"], "finished", run)
                self.assertEqual(run.document["processes_lost"], [], run)
                self.assertEqual(run.document["errors"], [], run)
                self.assertEqual(run.totals["failed"], 0, run)
                self.assertIn("event->workers == 99", run.stdout + run.stderr, run)

    def test_listener_that_fails(self):
        """It is shown, and what it listened to goes on."""
        run = self.load(
            'EVENTS(bad) { if (event->kind == MLT_SCENARIO_START) mlt_fail("bad ear"); }\n'
            'SCENARIO(s) { mlt_get(session, "/"); }\n',
            "-r", 2,
        )  # fmt: skip
        self.assert_status(run, 0)
        self.assertIn("bad ear", run.stdout + run.stderr, run)


if __name__ == "__main__":
    unittest.main()
