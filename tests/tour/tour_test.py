#!/usr/bin/env python3
"""Tests of tour.py itself: it has to fail when a document is wrong."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

TOUR = pathlib.Path(__file__).resolve().with_name("tour.py")


def tour(document):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "document.md"
        path.write_text(document)
        return subprocess.run(
            [sys.executable, "-B", TOUR, "--source", folder, "--build", folder, path],
            capture_output=True, text=True, check=False)


class TourTest(unittest.TestCase):
    def passes(self, document):
        result = tour(document)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def fails(self, document, why):
        result = tour(document)
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertIn(why, result.stderr)

    def test_output_as_the_document_says_passes(self):
        self.passes("```sh tour\necho one; echo two >&2\n```\n```text tour\none\ntwo\n```\n")

    def test_other_output_fails_and_names_the_line(self):
        self.fails("x\n```sh tour\necho one\n```\n```text tour\ntwo\n```\n", "line 2: another output")

    def test_more_output_than_the_document_says_fails(self):
        self.fails("```sh tour\nseq 2\n```\n```text tour\n1\n```\n", "another output")

    def test_an_ellipsis_is_any_text_inside_a_line_and_alone_any_lines(self):
        self.passes("```sh tour\nseq 5; echo took 7s\n```\n```text tour\n1\n…\n5\ntook …s\n```\n")
        self.fails("```sh tour\nprintf 'a\\nb\\n'\n```\n```text tour\na…b\n```\n", "another output")

    def test_another_exit_code_fails(self):
        self.passes("```sh tour exit=3\n(exit 3)\n```\n")
        self.fails("```sh tour\n(exit 3)\n```\n", "exit code 3, not 0")

    def test_variables_and_the_folder_live_on_and_reach_terminals(self):
        self.passes("```sh tour\nexport A=1; mkdir d; cd d\n```\n"
                    "```sh tour terminal\nsh -c 'trap \"exit 0\" INT; echo $A $(basename $PWD);"
                    " while :; do sleep 0.1; done'\n```\n```text tour\n1 d\n```\n")

    def test_a_terminal_that_ends_before_it_is_ready_fails(self):
        self.fails("```sh tour terminal\necho no\n```\n```text tour\nready\n```\n", "another output")

    def test_a_terminal_that_ends_badly_fails(self):
        self.fails("```sh tour terminal\nsleep 100\n```\n", "ended with -2")

    def test_blocks_without_the_marker_are_not_run(self):
        self.passes("```sh\nexit 1\n```\n```sh tour\ntrue\n```\n")

    def test_a_hidden_step_is_run(self):
        self.fails("<!-- a remark -->\n<!-- sh tour\nexit_with() { return $1; }; exit_with 5\n-->\n",
                   "line 2: exit code 5")

    def test_a_document_without_steps_fails(self):
        self.fails("text\n", "no step")

    def test_an_unknown_marker_fails(self):
        self.fails("```sh tour exti=1\ntrue\n```\n", "unknown marker exti=1")


if __name__ == "__main__":
    unittest.main()
