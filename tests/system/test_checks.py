"""The checks of the house find what they are there to find."""

import os
import subprocess
import tempfile
import unittest

from harness import ROOT


class CheckTest(unittest.TestCase):
    def setUp(self):
        self.root = self.enterContext(tempfile.TemporaryDirectory(prefix="molotov-house-"))
        self.write("low/CMakeLists.txt", "house_library(low FLOOR 0\n  SOURCES low.c)\n")
        self.write("left/CMakeLists.txt", "house_library(left FLOOR 1 SOURCES left.c)\n")
        self.write("right/CMakeLists.txt", "house_library(right FLOOR 1 SOURCES right.c)\n")
        self.write("low/low.h", "int low;\n")
        self.write("left/left.h", '#include "low/low.h"\n#include <stdio.h>\n')
        self.write("left/left.c", '#include "left/left.h"\n#include "left.h"\n')
        self.write("right/right.h", "int right;\n")
        self.write("include/molotov.h", "int molotov;\n")
        self.write("scenario/c.c", "#include <molotov.h>\n")
        self.write("tests/test.c", '#include "right/right.h"\n#include "left/left.h"\n')

    def write(self, name, text):
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def check(self, name):
        return subprocess.run(
            [os.path.join(ROOT, "tests", name), self.root],
            capture_output=True,
            text=True,
            check=False,
        )


class Floors(CheckTest):
    def assert_breach(self, place):
        result = self.check("check_floors")
        self.assertEqual(result.returncode, 1, result)
        self.assertEqual(result.stdout.count("\n"), 1, result)
        self.assertTrue(result.stdout.startswith(place + ":"), result)

    def test_a_house_in_order(self):
        result = self.check("check_floors")
        self.assertEqual((result.returncode, result.stderr), (0, ""), result)

    def test_up(self):
        self.write("low/low.c", '\n#include "low/low.h"\n#include "left/left.h"\n')
        self.assert_breach("low/low.c:3")

    def test_across(self):
        self.write("left/left.c", '#  include "right/right.h"\n')
        self.assert_breach("left/left.c:1")

    def test_by_a_relative_path(self):
        self.write("left/left.c", '#include "../right/right.h"\n')
        self.assert_breach("left/left.c:1")

    def test_in_angles(self):
        self.write("left/left.c", "#include <right/right.h>\n")
        self.assert_breach("left/left.c:1")

    def test_a_folder_of_a_folder(self):
        self.write("low/deep/deep.c", '#include "left/left.h"\n')
        self.assert_breach("low/deep/deep.c:1")

    def test_a_floor_that_is_not_built_yet(self):
        self.write("left/left.c", '#include "broker/broker.h"\n')
        self.assert_breach("left/left.c:1")

    def test_the_header_of_scenario_authors(self):
        self.write("left/left.c", "#include <molotov.h>\n")
        self.assert_breach("left/left.c:1")

    def test_a_scenario_sees_nothing_of_the_house(self):
        self.write("examples/loadtest.c", '#include "low/low.h"\n')
        self.assert_breach("examples/loadtest.c:1")

    def test_no_house(self):
        self.root = os.path.join(self.root, "left")
        self.assertEqual(self.check("check_floors").returncode, 1)


class Format(CheckTest):
    def test_as_it_should_be(self):
        self.write(".clang-format", "BasedOnStyle: LLVM\nSortIncludes: Never\n")
        self.assertEqual(self.check("check_format").returncode, 0)

    def test_not_as_it_should_be(self):
        self.write(".clang-format", "BasedOnStyle: LLVM\nSortIncludes: Never\n")
        self.write("left/left.c", "int  left ;\n")
        result = self.check("check_format")
        self.assertEqual(result.returncode, 1, result)
        self.assertIn("left/left.c:1:", result.stderr)


class ThreadSanitizer(CheckTest):
    """tests/run_tsan: status 77 is that of a test that was skipped."""

    def run_test(self, script):
        return subprocess.run(
            [os.path.join(ROOT, "tests/run_tsan"), "sh", "-c", script],
            capture_output=True,
            text=True,
            check=False,
        )

    def test_status_of_the_test(self):
        for status in (0, 1, 66):
            self.assertEqual(self.run_test(f"exit {status}").returncode, status)

    def test_where_it_cannot_run(self):
        words = "FATAL: ThreadSanitizer: unexpected memory mapping 0x5555-0x5556"
        result = self.run_test(f"echo '{words}' >&2; exit 66")
        self.assertEqual(result.returncode, 77, result)
        self.assertIn("\nskipped: ", result.stdout)


if __name__ == "__main__":
    unittest.main()
