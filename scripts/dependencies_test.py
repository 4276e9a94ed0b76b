#!/usr/bin/env python3
"""Tests scripts/dependencies: what it takes for a licence, and that it sees what is missing."""

import importlib.machinery
import importlib.util
import pathlib
import tempfile
import unittest

PATH = pathlib.Path(__file__).resolve().parent / "dependencies"
_loader = importlib.machinery.SourceFileLoader("dependencies", str(PATH))
_spec = importlib.util.spec_from_loader("dependencies", _loader)
dependencies = importlib.util.module_from_spec(_spec)
_loader.exec_module(dependencies)


class LicenceTest(unittest.TestCase):
    def test_one_of_several_is_enough(self):
        for licence in ("MIT", "MIT OR GPL-3.0", "MIT/Apache-2.0", "(MIT OR Apache-2.0) AND Unicode-3.0",
                        "Apache-2.0 WITH LLVM-exception OR LGPL-2.1-or-later"):
            self.assertTrue(dependencies.permissive(licence), licence)

    def test_one_that_asks_for_more_is_refused(self):
        for licence in ("GPL-3.0", "unknown", "", "MIT AND GPL-2.0", "(MIT OR Apache-2.0) AND AGPL-3.0"):
            self.assertFalse(dependencies.permissive(licence), licence)


class ListTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.list = pathlib.Path(folder.name) / "crates.md"
        self.text = dependencies.CRATES.read_text()
        self.addCleanup(setattr, dependencies, "CRATES", dependencies.CRATES)

    def faults(self, text):
        self.list.write_text(text)
        dependencies.CRATES = self.list
        return list(dependencies.check_crates())

    def test_that_of_the_tree_is_right(self):
        self.assertEqual(self.faults(self.text), [])

    def test_missing_and_stale_crates_are_named(self):
        row = next(line for line in self.text.splitlines() if line.startswith("| boring-sys |"))
        self.assertIn("boring-sys", self.faults(self.text.replace(row + "\n", ""))[0])
        stale = self.faults(self.text.replace(row, row.replace("5.", "4.")))
        self.assertEqual(len(stale), 2)

    def test_a_licence_that_is_not_taken_is_named(self):
        row = next(line for line in self.text.splitlines() if line.startswith("| boring-sys |"))
        self.assertIn("GPL-3.0", self.faults(self.text.replace(row, row.replace("MIT", "GPL-3.0")))[0])


if __name__ == "__main__":
    unittest.main()
