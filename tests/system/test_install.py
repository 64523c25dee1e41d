"""`make install` with DESTDIR: what is installed, and that it works from there."""

import os
import subprocess
import unittest

from harness import ROOT, NginxTest

BUILD = os.environ.get("MOLOTOV_BUILD", os.path.join(ROOT, "build/ci"))


class Install(NginxTest):
    def test_destdir(self):
        destination = self.path("staged")
        subprocess.run(
            ["cmake", "--install", BUILD, "--prefix", "/usr/local"],
            check=True,
            env={**os.environ, "DESTDIR": destination},
            stdout=subprocess.DEVNULL,
        )
        installed = os.path.join(destination, "usr/local")
        for path in ("bin/molotov-runner", "bin/molotov", "include/molotov.h"):
            self.assertTrue(os.path.exists(os.path.join(installed, path)), path)
        self.assertEqual(os.listdir(destination), ["usr"], "nothing outside of the prefix")
        for name in ("molotov-runner", "molotov"):
            program = os.path.join(installed, "bin", name)
            version = subprocess.run(
                [program, "--version"], check=True, capture_output=True, text=True
            )
            self.assertIn("0.", version.stdout)
            # The staged header is found beside the staged program.
            loadtest = self.write(
                "loadtest.c",
                '#include <molotov.h>\nSCENARIO(s) { mlt_get(session, "/"); }\n',
            )
            self.nginx.forget()
            ran = subprocess.run(
                [program, loadtest, "-r", "3", "-w", "2", "--server-url", self.nginx.url],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            self.assertEqual(ran.returncode, 0, ran)
            self.assertIn("SUCCESSES: 6 | FAILURES: 0", ran.stdout, ran)
            self.assertEqual(self.nginx.count(), 6)

    def test_only_the_scenario_interface_is_exported(self):
        """Programs export exactly the mlt_* names."""
        symbols = subprocess.run(
            ["nm", "-D", "--defined-only", os.path.join(BUILD, "bin/molotov-runner")],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split("\n")
        names = {line.split()[-1].split("@")[0] for line in symbols if line}
        data = {"_IO_stdin_used", "__data_start", "data_start", "_edata", "_end"}
        data |= {"__bss_start", "_start", "main", "_init", "_fini", "stdin", "stdout", "stderr"}
        self.assertEqual({name for name in names - data if not name.startswith("mlt_")}, set())
        self.assertIn("mlt_call", names)


if __name__ == "__main__":
    unittest.main()
