#!/usr/bin/env python3
"""Tests of generate_protocol.py: it must notice what is stale and refuse a table that collides."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent


class GenerateProtocol(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        (self.root / "protocol").mkdir()
        shutil.copytree(ROOT / "docs/spec", self.root / "docs/spec")
        for header in ("constants.h", "limit_constants.h", "properties.h"):
            shutil.copy(ROOT / "protocol" / header, self.root / "protocol")

    def run_generator(self, *arguments):
        return subprocess.run(
            [sys.executable, ROOT / "scripts/generate_protocol.py", "--root", self.root, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )

    def change(self, name, old, new):
        path = self.root / name
        text = path.read_text()
        self.assertIn(old, text)
        path.write_text(text.replace(old, new, 1))

    def test_fresh_files_pass(self):
        self.assertEqual(self.run_generator("--check").returncode, 0)

    def test_a_changed_number_makes_header_and_documents_stale(self):
        self.change("docs/spec/protocol.toml", "fixed = 2048", "fixed = 2000")
        result = self.run_generator("--check")
        self.assertEqual(result.returncode, 1)
        self.assertIn("stale: protocol/limit_constants.h", result.stderr)
        self.assertIn("stale: docs/spec/session.md", result.stderr)
        self.assertNotIn("streams.md", result.stderr)

    def test_writing_makes_fresh_again(self):
        self.change("docs/spec/protocol.toml", "fixed = 2048", "fixed = 2000")
        self.assertEqual(self.run_generator().returncode, 0)
        header = self.root / "protocol/limit_constants.h"
        self.assertIn("kHopMetadataBytes = 2000;", header.read_text())
        self.assertEqual(self.run_generator("--check").returncode, 0)

    def test_a_table_edited_by_hand_is_stale(self):
        self.change("docs/spec/errors.md", "| 17 | `bad_frame`", "| 18 | `bad_frame`")
        result = self.run_generator("--check")
        self.assertEqual(result.returncode, 1)
        self.assertIn("stale: docs/spec/errors.md", result.stderr)

    def test_a_missing_header_is_stale(self):
        (self.root / "protocol/constants.h").unlink()
        self.assertEqual(self.run_generator("--check").returncode, 1)

    def test_colliding_numbers_are_refused(self):
        self.change("docs/spec/protocol.toml", 'name = "pong"\nvalue = 0x04',
                    'name = "pong"\nvalue = 0x03')
        result = self.run_generator()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("share a name or a number", result.stderr)

    def test_a_key_in_a_frame_without_metadata_is_refused(self):
        self.change("docs/spec/protocol.toml", 'frames = ["stream_open", "request"]',
                    'frames = ["ping"]')
        self.assertIn("names a frame without metadata", self.run_generator().stderr)


if __name__ == "__main__":
    unittest.main()
