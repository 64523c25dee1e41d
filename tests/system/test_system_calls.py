"""What a request costs in system calls, once its connection is there."""

import os
import re
import shutil
import subprocess
import unittest

from harness import SANITIZED, TRANSPORT, NginxTest, read_text, wait_until

STRACE = shutil.which("strace")
WAIT = "epoll_wait" if os.uname().machine == "x86_64" else "epoll_pwait"
NOISE = 100  # calls that have to do with time, such as a report each second


def strace_works():
    """It may be forbidden, as in many a container."""
    if STRACE is None:
        return False
    done = subprocess.run([STRACE, "-f", "true"], capture_output=True, check=False)
    return done.returncode == 0


@unittest.skipUnless(strace_works(), "there is no strace, or it may not be used here")
@unittest.skipIf(SANITIZED, "a sanitizer makes calls of its own")
@unittest.skipUnless(TRANSPORT == "direct", "this is what the direct transport promises")
class WarmRequests(NginxTest):
    nginx_options = {"tls": True}

    def count_calls(self, url, runs):
        """Of all processes of the runner, by name."""
        path = self.path(f"calls-{runs}")
        run = self.run_molotov(
            url, "-k", "-w", 1, "-r", runs, through=[STRACE, "-f", "-qq", "-c", "-o", path]
        )
        self.assert_status(run, 0)
        self.assertEqual(run.totals["ok"], runs, run)
        self.assertEqual(run.document["connections"], 1, run)
        rows = re.findall(
            r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", read_text(path), re.MULTILINE
        )
        return {name: int(count) for count, name in rows if name != "total"}

    def check(self, url):
        few, many = self.count_calls(url, 500), self.count_calls(url, 1500)
        grown = {name: count - few.get(name, 0) for name, count in many.items()}
        grown = {name: count for name, count in grown.items() if abs(count) > NOISE}
        grown.pop("getrusage", None)  # at most once in 0.1 s: engine/busy_poll.h
        grown.pop(WAIT, None)
        self.assertEqual(set(grown), {"sendto", "recvfrom"}, grown)
        for count in grown.values():
            self.assertAlmostEqual(count, 1000, delta=NOISE, msg=grown)
        # A loop may ask again before it sleeps, for a share of the time that it works.
        self.assertGreaterEqual(many[WAIT], 1500, many)
        self.assertLess(many[WAIT], 3 * 1500, many)

    def test_plain(self):
        """One write, one read, and one wait between them."""
        self.check(self.nginx.url + "/")

    def test_tls(self):
        self.check(self.nginx.tls_url + "/")

    def test_asks_before_it_sleeps(self):
        """Where answers are near, and nobody else wants the core: so it may take a while."""
        path = self.path("waits")
        wait_until(lambda: self.count_waits_without_sleep(path) > 20, "waits without sleep")

    def count_waits_without_sleep(self, path):
        trace = [STRACE, "-f", "-qq", "-e", f"trace={WAIT}", "-o", path]
        run = self.run_molotov(self.nginx.url + "/", "-w", 5, "-r", 200, through=trace)
        self.assert_status(run, 0)
        return len(re.findall(r"\bepoll_p?wait\(.*, 0(?:, NULL, 8)?\) += ", read_text(path)))


if __name__ == "__main__":
    unittest.main()
