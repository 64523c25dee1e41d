"""Scenarios that crash, loop or eat the machine: they end only their own process.

With two processes the second one misbehaves; the first one's numbers stay whole, with
nginx as the witness: each request says in a header which process it came from."""

import os
import shutil
import signal
import tempfile
import unittest

from harness import SANITIZED, NginxTest, wait_until

WORKERS = 5
RUNS = 20

# Every worker makes RUNS requests; the first worker of the last process, at its fifth
# run, does what -s names after its request.
SCENARIOS = """
#include <fcntl.h>
#include <unistd.h>

static void ask(mlt_session *session)
{
    const long index = mlt_process_index(session);
    mlt_response *page = mlt_get(session, "/",
        .name = mlt_format(session, "process %ld", index),
        .headers = MLT_HEADERS(mlt_format(session, "X-Test: %ld", index)));
    mlt_check(page->status == 200);
}

static bool guilty(mlt_session *session)
{
    return mlt_process_index(session) == LAST && mlt_worker_id(session) == 0
           && mlt_step(session) == 5;
}

static long overflow(volatile char *above)
{
    volatile char frame[4096];
    frame[0] = above[0];
    return overflow(frame) + frame[0];
}

#define BAD(name, action) \\
    SCENARIO(name) \\
    { \\
        ask(session); \\
        if (guilty(session)) { \\
            action; \\
        } \\
    }

static volatile int zero;
static volatile long sum;

BAD(aborts, abort())
BAD(crashes, *(volatile int *)16 = 1)
BAD(overflows, { char first[1] = {0}; sum = overflow(first); })
BAD(divides, sum = 7 / zero)
BAD(exits, exit(3))
BAD(exits_at_once, _exit(0))
BAD(loops, for (;;) sum++)
BAD(sleeps, for (;;) pause())
BAD(blocks, sleep(3600))
BAD(eats_memory, for (;;) { char *more = malloc(1 << 20); memset(more, 1, 1 << 20); })
BAD(eats_descriptors, while (open("/dev/null", O_RDONLY) >= 0) ; mlt_get(session, EXTERN))
BAD(kills_itself, kill(getpid(), SIGKILL))
BAD(fails, mlt_fail("of its own will"))
"""


class BadCode(NginxTest):
    sanitizer_options = "handle_segv=0:handle_sigfpe=0:handle_abort=0:detect_leaks=0"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cache = tempfile.mkdtemp(prefix="molotov-cache-")
        cls.addClassCleanup(shutil.rmtree, cls.cache, ignore_errors=True)

    def environment(self, extra=None):
        # UBSan would end a division by zero before the signal.
        return super().environment({"XDG_CACHE_HOME": self.cache, **(extra or {})})

    def load(self, name, processes, *args):
        # Another host than the server URL's, so another connection; and an address, since a
        # look-up gives other workers the time to end, and to let go of a descriptor.
        head = (
            f"#include <signal.h>\n#define LAST {processes - 1}\n"
            f'#define EXTERN "http://[::ffff:127.0.0.1]:{self.nginx.ports[0]}/"\n'
        )
        return self.run_molotov(
            "-s", name, "-p", processes, "-w", WORKERS, "-r", RUNS,
            "--server-url", self.nginx.url, *args,
            scenario=head + SCENARIOS,
        )  # fmt: skip

    def request_row(self, run, index):
        for row in run.document["requests"]:
            if row["name"] == f"process {index}":
                return row
        return {"hits": 0, "errors": 0, "status": {}}

    def assert_first_is_whole(self, run):
        row = self.request_row(run, 0)
        logged = sum(1 for line in self.nginx.log() if line.test == "0")
        self.assertEqual(logged, WORKERS * RUNS, run)
        self.assertEqual(row["hits"], WORKERS * RUNS, run)
        self.assertEqual(row["status"], {"200": WORKERS * RUNS}, run)

    def assert_lost(self, run, index, number, scenario):
        """The report names the process, its signal and its scenario."""
        document = run.document
        self.assert_status(run, 1)
        self.assertEqual(document["state"], "failed", run)
        self.assertEqual(len(document["processes_lost"]), 1, run)
        lost = document["processes_lost"][0]
        self.assertEqual(lost["index"], index, run)
        self.assertEqual(lost["scenario"], scenario, run)
        if number is not None:
            self.assertEqual(lost["signal"], signal.Signals(number).name, run)
        shown = run.stdout + run.stderr
        self.assertIn(scenario, shown, run)
        if number is not None:
            self.assertIn(signal.Signals(number).name, shown, run)
        # What it delivered before is kept, and no more than it did is counted.
        made = sum(1 for line in self.nginx.log() if line.test == str(index))
        self.assertLessEqual(self.request_row(run, index)["hits"], made, run)
        self.assert_sums(run)

    def check_loss(self, name, number, *args, status=None):
        for processes in (2, 1):
            with self.subTest(processes=processes):
                self.nginx.forget()
                run = self.load(name, processes, *args)
                self.assert_lost(run, processes - 1, number, name)
                (lost,) = run.document["processes_lost"]
                self.assertEqual(lost["stuck"], "--stuck-timeout" in args, run)
                if status is not None:
                    self.assertEqual((lost["signal"], lost["status"]), (None, status), run)
                if processes == 2:
                    self.assert_first_is_whole(run)

    def test_abort(self):
        self.check_loss("aborts", signal.SIGABRT)

    def test_crash(self):
        self.check_loss("crashes", signal.SIGSEGV)

    def test_stack_overflow(self):
        self.check_loss("overflows", signal.SIGSEGV)

    @unittest.skipIf(SANITIZED, "the sanitizer catches it first")
    def test_division_by_zero(self):
        self.check_loss("divides", signal.SIGFPE)

    def test_killed(self):
        self.check_loss("kills_itself", signal.SIGKILL)

    def test_exit(self):
        """A process that ends by itself is lost, too, whatever its status."""
        self.check_loss("exits", None, status=3)

    def test_exit_with_status_0(self):
        self.check_loss("exits_at_once", None, status=0)

    def test_endless_loop(self):
        self.check_loss("loops", signal.SIGKILL, "--stuck-timeout", 1)

    def test_blocking_call(self):
        self.check_loss("blocks", signal.SIGKILL, "--stuck-timeout", 1)

    def test_endless_pause(self):
        self.check_loss("sleeps", signal.SIGKILL, "--stuck-timeout", 1)

    @unittest.skipIf(SANITIZED, "the sanitizer's own memory has no such limit")
    def test_eats_memory(self):
        self.check_loss("eats_memory", None, "--memory-limit", 200)

    def test_eats_descriptors(self):
        """No crash: what needs a descriptor fails, the rest goes on."""
        for processes in (2, 1):
            with self.subTest(processes=processes):
                self.nginx.forget()
                run = self.load("eats_descriptors", processes)
                self.assert_status(run, 0)
                self.assertEqual(run.document["state"], "finished", run)
                self.assertEqual(run.document["processes_lost"], [], run)
                self.assertEqual(run.totals["hits"], self.nginx.count(), run)
                self.assert_sums(run)
                self.assertGreaterEqual(run.totals["failed"], 1, run)
                if processes == 2:
                    self.assert_first_is_whole(run)

    def test_failure_is_no_loss(self):
        run = self.load("fails", 2)
        self.assert_status(run, 0)
        self.assertEqual(run.document["processes_lost"], [], run)
        self.assertEqual(run.totals["failed"], 1, run)
        self.assertEqual(run.totals["ok"], 2 * WORKERS * RUNS - 1, run)
        ((message, count),) = run.messages().items()
        self.assertEqual(count, 1, run)
        self.assertIn("of its own will", message, run)


class CrashElsewhere(NginxTest):
    """The report names what of the user's code was running, not only scenarios."""

    sanitizer_options = BadCode.sanitizer_options

    def check_crash(self, name, code):
        for processes in (1, 2):
            with self.subTest(name, processes=processes):
                run = self.run_molotov(
                    "-w", 2, "-r", 3, "-p", processes, "--server-url", self.nginx.url,
                    scenario=code,
                )  # fmt: skip
                self.assert_status(run, 1)
                document = run.document
                self.assertEqual(document["state"], "failed", run)
                lost = document["processes_lost"]
                self.assertEqual({process["scenario"] for process in lost}, {name}, run)
                self.assertEqual({process["signal"] for process in lost}, {"SIGABRT"}, run)
                self.assertEqual(
                    sorted(process["index"] for process in lost), list(range(processes)), run
                )
                self.assertIn(name, run.stdout + run.stderr, run)
                self.assert_sums(run)

    def test_picker(self):
        for when in ("step_id == 1", "step_id == 2"):
            self.check_crash(
                "scenario_picker",
                'SCENARIO(s) { mlt_get(session, "/"); }\n'
                "SCENARIO_PICKER() { if (" + when + ') abort(); return "s"; }\n',
            )

    def test_listener(self):
        for kind in (
            "MLT_SCENARIO_START",
            "MLT_SENDING_REQUEST",
            "MLT_RESPONSE_RECEIVED",
            "MLT_SCENARIO_SUCCESS",
        ):
            with self.subTest(kind):
                self.check_crash(
                    "events",
                    'SCENARIO(s) { mlt_get(session, "/"); }\n'
                    "EVENTS(ear) { if (event->kind == " + kind + ") abort(); }\n",
                )

    def test_listener_of_the_process(self):
        self.check_crash(
            "events",
            "SCENARIO(s) { mlt_sleep(session, 0.5); }\n"
            "EVENTS(ear) { if (event->kind == MLT_CURRENT_WORKERS) abort(); }\n",
        )

    def test_scenario_after_its_listeners(self):
        """Whichever was told last, and whether it failed or not."""
        for code in (
            "abort();",
            'mlt_get(session, "/"); abort();',
            'mlt_sleep(session, 0.01); abort();',
        ):
            for ear in ("", 'mlt_fail("bad ear");'):
                with self.subTest(code, ear=ear):
                    self.check_crash(
                        "guilty",
                        "static volatile int told;\n"
                        "SCENARIO(guilty) { " + code + " }\n"
                        "EVENTS(ear) { told++; " + ear + " }\n"
                        'SCENARIO_PICKER() { return "guilty"; }\n',
                    )


class KilledFromOutside(NginxTest):
    """What dies of the program itself takes nothing else with it, and leaves nothing."""

    SCENARIO = 'SCENARIO(s) { mlt_get(session, "/"); }'

    def begin(self, *args):
        running = self.start(
            "-w", 5, "-d", 600, "--server-url", self.nginx.url, *args, scenario=self.SCENARIO
        )
        wait_until(
            lambda: self.nginx.lines() > 100 or running.process.poll() is not None, "requests"
        )
        return running

    def test_runner_killed(self):
        """Slave and processes end when their runner is gone."""
        from harness import marked_processes

        running = self.begin("-p", 2)
        running.process.kill()
        running.process.wait()
        wait_until(lambda: not marked_processes(self.mark), "the slave to end")

    def test_slave_killed(self):
        """The runner reports what it had, and says what happened."""
        for processes in (1, 2):
            with self.subTest(processes=processes):
                self.nginx.forget()
                running = self.begin("-p", processes)
                slaves = running.slaves()
                parents = {pid: parent_of(pid) for pid in slaves}
                first = [pid for pid in slaves if parents[pid] == running.process.pid]
                self.assertEqual(len(first), 1, (slaves, parents))
                os.kill(first[0], signal.SIGKILL)
                run = self.finish(running)
                self.assert_status(run, 1)
                self.assertEqual(run.document["state"], "failed", run)
                self.assertRegex(run.stdout + run.stderr, "(?i)SIGKILL|signal 9", run)

    def test_one_process_killed(self):
        running = self.begin("-p", 3)
        slaves = running.slaves()
        children = [pid for pid in slaves if parent_of(pid) in slaves]
        self.assertEqual(len(children), 3, slaves)
        os.kill(children[1], signal.SIGKILL)
        lines = self.nginx.lines()
        wait_until(lambda: self.nginx.lines() > lines + 500, "the others to go on")
        running.signal(signal.SIGINT)
        run = self.finish(running)
        self.assert_status(run, 1)
        self.assertEqual(run.document["state"], "failed", run)
        self.assertEqual(len(run.document["processes_lost"]), 1, run)
        self.assert_sums(run)
        self.assertLessEqual(run.totals["hits"], self.nginx.count(), run)


def parent_of(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return int(file.read().rpartition(")")[2].split()[1])


if __name__ == "__main__":
    unittest.main()
