#!/usr/bin/env python3
"""Tests scripts/demo: it shows what it promises, and leaves no process behind."""

import os
import pathlib
import re
import select
import signal
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ["VALKYRIE_SOURCE_DIR"])
BUILD = os.environ["VALKYRIE_BUILD_DIR"]


def processes_of(folder):
    """Live processes that name the folder: in their environment, arguments or as their own."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            named = folder.encode() in text or os.readlink(process / "cwd").startswith(folder)
        except OSError:  # It has ended, or is another user's.
            continue
        if named and int(process.name) != os.getpid():
            found.append(process.name)
    return found


class DemoTest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="demo.")
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name
        # The folder's name is in TMPDIR, so whatever the demo starts can be found by it.
        self.environment = {**os.environ, "BUILD": BUILD, "BENCH_TIME": "300ms",
                            "TMPDIR": self.folder, "KEEP": ""}

    def demo(self, **environment):
        return subprocess.Popen(
            [SOURCE / "scripts/demo"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**self.environment, **environment})

    def test_shows_every_step_and_leaves_nothing(self):
        demo = self.demo()
        output, _ = demo.communicate(timeout=300)
        self.assertEqual(demo.returncode, 0, output)
        promises = [
            r"node .* ready",
            r"serving test\.Echo/Run",
            r"serving text\.Upper/Run",
            r"runner demo ready",
            r"SERVICE .*INSTANCE",
            r"HELLO, VALKYRIE",
            r"5 bytes in [0-9.]+[mu]s",
            r"runner has it .* after submit",
            r"100% tests passed",
            r"succeeded.* exit 0.* took",
            r"failed \(exit\), exit 3",
            r"p50 .* p99 .* p99\.9 ",
            r"#+ +[0-9.]+%",
            r"no process is left",
            r"valkyrie security init-ca pki",
        ]
        at = 0
        for promise in promises:
            found = re.search(promise, output[at:])
            self.assertIsNotNone(found, f"{promise} is missing, or too early, in\n{output}")
            at += found.start()
        self.assertNotIn("\x1b", output, "no colour without a terminal")
        self.assertNotIn("No such file", output)
        self.assertEqual(processes_of(self.folder), [])
        self.assertEqual(os.listdir(self.folder), [], "its state is removed")

    def test_interrupted_in_the_middle_of_a_job_it_leaves_nothing(self):
        demo = self.demo()
        with demo.stdout:
            for line in demo.stdout:
                if "runner has it" in line:
                    os.killpg(demo.pid, signal.SIGINT)
                    break
            rest = demo.stdout.read()
        self.assertEqual(demo.wait(60), 130, rest)
        self.assertIn("no process is left", rest)
        self.assertEqual(processes_of(self.folder), [])

    def test_kept_it_stays_up_and_says_how_to_stop_it(self):
        demo = self.demo(KEEP="1")
        output, _ = demo.communicate(timeout=300)
        self.assertEqual(demo.returncode, 0, output)
        node = re.search(r"VALKYRIE_NODE=(\S+)", output.split("The node stays up")[1]).group(1)
        call = subprocess.run(
            [f"{BUILD}/bin/valkyrie", "--node", node, "call", "text.Upper/Run", "still here"],
            capture_output=True, text=True, check=False)
        stop = re.search(r"^ *(kill [0-9 ]+) && sleep 1 && (rm -r \S+)$", output, re.M)
        kept = [int(process) for process in stop.group(1).split()[1:]]
        pidfds = [os.pidfd_open(process) for process in kept]
        subprocess.run(stop.group(1), shell=True, check=True)
        for pidfd in pidfds:
            self.assertTrue(ends_in_time(pidfd), "a kept process does not end on TERM")
        self.assertEqual(call.stdout, "STILL HERE\n", call.stderr)
        self.assertEqual(processes_of(self.folder), [])
        subprocess.run(stop.group(2), shell=True, check=True)

    def test_says_what_to_do_when_nothing_is_built(self):
        demo = self.demo(BUILD=self.folder)
        output, _ = demo.communicate(timeout=60)
        self.assertEqual(demo.returncode, 2)
        self.assertIn("make build", output)


def ends_in_time(pidfd, seconds=30):
    """Whether the process of a pidfd ends in time."""
    with os.fdopen(pidfd) as file:
        return bool(select.select([file], [], [], seconds)[0])


if __name__ == "__main__":
    unittest.main()
