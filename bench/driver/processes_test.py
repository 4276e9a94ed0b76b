"""Tests of driver/processes.py: whatever happens to the driver, no child stays behind."""

import os
import select
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(BENCH))

from driver.processes import Children, RunFailed  # noqa: E402

FOREVER = ["sleep", "3600"]
# Starts a child, says its pid, and waits.
DRIVER = """
import sys, tempfile
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from driver.processes import Children, exit_on_signals
exit_on_signals()
with tempfile.TemporaryDirectory() as folder, Children(Path(folder)) as children:
    child = children.start(["sleep", "3600"])
    print(child.pid, flush=True)
    child.wait()
"""


class ChildrenTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.scratch = Path(folder.name)

    def test_leaving_the_block_stops_every_child(self):
        with Children(self.scratch) as children:
            started = [children.start(FOREVER) for _ in range(3)]
        self.assertEqual([child.returncode for child in started], [-signal.SIGTERM] * 3)

    def test_an_error_in_the_block_stops_every_child(self):
        with self.assertRaises(KeyError), Children(self.scratch) as children:
            child = children.start(FOREVER)
            raise KeyError
        self.assertEqual(child.returncode, -signal.SIGTERM)

    def test_the_whole_group_of_a_child_is_stopped(self):
        with Children(self.scratch) as children:
            script = "sleep 3600 & printf 'ready\\n%s\\n' $!; wait"
            child = children.start_until_line(["sh", "-c", script])
            grandchild = os.pidfd_open(int(child.log.read_text().split()[1]))
        self.addCleanup(os.close, grandchild)
        self.assertTrue(select.select([grandchild], [], [], 60)[0], "the grandchild lives on")

    def test_a_driver_that_is_terminated_or_killed_takes_its_children_along(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            with subprocess.Popen(
                [sys.executable, "-B", "-c", DRIVER, str(BENCH)], stdout=subprocess.PIPE, text=True
            ) as driver:
                child = os.pidfd_open(int(driver.stdout.readline()))
                driver.send_signal(number)
                ended, _, _ = select.select([child], [], [], 60)
                os.close(child)
            self.assertTrue(ended, f"the child outlived {number!r}")

    def test_a_child_that_ends_before_it_is_ready_is_named_with_its_last_line(self):
        with Children(self.scratch) as children:
            with self.assertRaisesRegex(RunFailed, "^sh ended: port in use$"):
                children.start_until_line(["sh", "-c", "echo no; echo port in use >&2"])

    def test_output_is_the_standard_output_alone(self):
        with Children(self.scratch) as children:
            self.assertEqual(children.output(["sh", "-c", "echo a; echo b >&2"], 60), "a\n")

    def test_a_program_that_fails_is_named_with_status_and_last_line(self):
        with Children(self.scratch) as children:
            with self.assertRaisesRegex(RunFailed, "^sh ended with 3: why$"):
                children.output(["sh", "-c", "echo first; echo why >&2; exit 3"], 60)

    def test_a_program_that_does_not_end_is_stopped(self):
        with Children(self.scratch) as children:
            with self.assertRaisesRegex(RunFailed, "^sleep did not end within 0.01 s$"):
                children.output(FOREVER, 0.01)


if __name__ == "__main__":
    unittest.main()
