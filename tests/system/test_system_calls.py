"""What a request costs in system calls, once its connection is there."""

import os
import re
import shutil
import subprocess
import unittest

from harness import SANITIZED, TRANSPORT, NginxTest, read_text

STRACE = shutil.which("strace")
WAIT = "epoll_wait" if os.uname().machine == "x86_64" else "epoll_pwait"
NOISE = 30  # calls that have to do with time, such as a report each second


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
        self.assertEqual(set(grown), {"sendto", "recvfrom", WAIT}, grown)
        for count in grown.values():
            self.assertAlmostEqual(count, 1000, delta=NOISE, msg=grown)

    def test_plain(self):
        """One write, one read, and one wait between them."""
        self.check(self.nginx.url + "/")

    def test_tls(self):
        self.check(self.nginx.tls_url + "/")


if __name__ == "__main__":
    unittest.main()
