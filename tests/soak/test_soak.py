"""What takes long: exactness ten times in a row, and a run that does not grow.

SOAK_SECONDS bounds it: that long is the run without growth, and a tenth of it, but at
most 10 s, is each of the ten runs."""

import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
from harness import NginxTest, descriptors, resident_kib, wait_until  # noqa: E402

SECONDS = float(os.environ.get("SOAK_SECONDS") or 10)

SCENARIO = """
SCENARIO(browse, .weight = 60)
{
    mlt_response *page = mlt_get(session, "/?query=1");
    mlt_check_int(page->status, 200);
    mlt_check_str(mlt_json_str(page, "result"), "OK");
}
SCENARIO(buy, .weight = 20) { mlt_post(session, "/orders", .json = "{\\"item\\": 1}"); }
SCENARIO(follow, .weight = 10) { mlt_get(session, "/redirect/2"); }
SCENARIO(fail, .weight = 10) { mlt_check(mlt_get(session, "/missing")->status == 200); }
"""


class Exactness(NginxTest):
    def test_ten_times_in_a_row(self):
        for turn in range(10):
            with self.subTest(turn):
                self.nginx.forget()
                run = self.run_molotov(
                    "-p", 2, "-w", 100, "-d", min(10, SECONDS / 10),
                    "--server-url", self.nginx.url, scenario=SCENARIO,
                )  # fmt: skip
                self.assert_status(run, 0)
                log = self.assert_exact(run)
                self.assert_exact_statuses(run, log)
                self.assert_exact_bytes(run, log)
                print(f"turn {turn + 1}: {len(log)} requests logged, all counted", flush=True)


class GrowthTest:
    """After a fifth of a run, neither memory nor descriptors grow: the highest of the
    last fifth is at most 5 % and 2 MiB above the highest of the second."""

    def watch(self, running, pids):
        """What these processes have, until the runner ends."""
        samples = []
        while running.process.poll() is None:
            samples.append([(resident_kib(pid), descriptors(pid)) for pid in pids])
            time.sleep(SECONDS / 100)  # the distance of the samples: nothing waits for it
        return [sample for sample in samples if all(memory for memory, _ in sample)]

    def assert_no_growth(self, names, samples):
        fifth = len(samples) // 5
        self.assertGreater(fifth, 4, "enough samples")
        early, late = samples[fifth : 2 * fifth], samples[-fifth:]
        for index, name in enumerate(names):
            memory = [max(sample[index][0] for sample in part) for part in (early, late)]
            files = [max(sample[index][1] for sample in part) for part in (early, late)]
            print(f"{name}: {memory[0]} KiB, later {memory[1]} KiB", flush=True)
            self.assertLessEqual(memory[1], memory[0] * 1.05 + 2048, f"memory of {name}")
            self.assertLessEqual(files[1], files[0], f"descriptors of {name}")


class Growth(NginxTest, GrowthTest):
    def test_no_growth(self):
        running = self.start(
            "-p", 2, "-w", 100, "-d", SECONDS, "--server-url", self.nginx.url, scenario=SCENARIO
        )
        wait_until(lambda: self.nginx.lines() > 1000 or running.process.poll(), "requests")
        pids = [running.process.pid, *running.slaves()]
        self.assertEqual(len(pids), 4, "runner, slave and two processes")
        samples = self.watch(running, pids)
        run = self.finish(running)
        self.assert_status(run, 0)
        self.assertEqual(run.totals["hits"], self.nginx.count(), run)
        self.assert_no_growth([f"process {pid}" for pid in pids], samples)


if __name__ == "__main__":
    unittest.main()
