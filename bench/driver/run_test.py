"""Tests of bench/run as far as they need no program to measure."""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import sys
import tempfile
import unittest
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(BENCH))

from driver.settings import SETTINGS  # noqa: E402
from driver.systems import RunFailed, all_systems, figures_of  # noqa: E402

loader = importlib.machinery.SourceFileLoader("bench_run", str(BENCH / "run"))
run = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_run", loader))
loader.exec_module(run)

RESULT = {"rate_per_s": 1.0, "p50_us": 2.0, "p99_us": 3.0, "p999_us": 4.0, "errors": 0}


class RunTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_numbers_below_their_least_are_refused(self):
        for words in (["--rounds", "0"], ["--time", "0.09"], ["--warmup", "0"], ["--time", "nan"]):
            with self.assertRaises(SystemExit) as left, contextlib.redirect_stderr(io.StringIO()):
                run.parse(words)
            self.assertEqual(left.exception.code, 2, words)
        self.assertEqual(run.parse(["--rounds", "1", "--time", "0.1"]).rounds, 1)

    def test_quick_changes_only_what_was_not_asked_for(self):
        method = run.method_of(run.parse(["--quick", "--rounds", "7"]))
        self.assertEqual((method.rounds, method.warmup_s, method.time_s), (7, 0.3, 0.7))

    def test_pattern_selects_by_part_or_by_shape_and_never_what_a_system_cannot_do(self):
        systems = {system.name: system for system in all_systems(self.folder)}
        by_name = {setting.name: setting for setting in SETTINGS}

        def rows(pattern: str) -> set[str]:
            return {
                f"{system.name}/{setting.name}"
                for system in systems.values()
                for setting in by_name.values()
                if run.wanted(pattern, system, setting)
            }

        calls = {"nats/tcp-1", "nats/tcp-512", "nats/tcp-64x1"}
        published = {f"nats/tcp-pub-{count}-{size}" for count in (1, 100) for size in (64, 1024)}
        self.assertEqual(rows("nats"), calls | published)
        bulk = {"ours/unix-bulk", "floor/unix-bulk", "direct/unix-bulk"}
        self.assertEqual(rows("*/unix-bulk"), bulk)
        self.assertEqual(rows("*/unix-1"), {"ours/unix-1", "floor/unix-1", "grpc/unix-1"})
        self.assertEqual(rows("floor/tcp-512"), {"floor/tcp-512"})

    def test_what_is_not_built_is_skipped_by_name(self):
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            status = run.main(["--build", str(self.folder), "--only", "ours"])
        self.assertEqual(status, 2)
        self.assertIn("SKIPPED Valkyrie: bin/valkyrie-server is not built", errors.getvalue())

    def test_a_second_result_of_a_day_does_not_replace_the_first(self):
        result = {"begun": "2026-01-02T03:04:05Z", "machine": {"cpu": "Some CPU (R) 2", "cores": 4}}
        names = [run.store(result, self.folder).name for _ in range(2)]
        stem = "2026-01-02-some-cpu-r-2-4-cores"
        self.assertEqual(names, [f"{stem}.json", f"{stem}-2.json"])
        self.assertEqual(json.loads((self.folder / names[0]).read_text()), result)

    def test_load_result_keeps_figures_and_drops_the_histogram(self):
        output = json.dumps({**RESULT, "histogram": [[1, 2]]})
        self.assertEqual(figures_of(output, SETTINGS[0]), RESULT)

    def test_bytes_of_deliveries_follow_from_their_rate_and_size(self):
        setting = next(setting for setting in SETTINGS if setting.kind == "publish")
        figures = figures_of(json.dumps(RESULT), setting)
        self.assertEqual(figures["bytes_per_s"], RESULT["rate_per_s"] * setting.size)

    def test_a_bulk_result_needs_no_latency(self):
        setting = next(setting for setting in SETTINGS if setting.kind == "stream")
        figures = {"bytes_per_s": 1, "messages_per_s": 2, "errors": 0}
        self.assertEqual(figures_of(json.dumps(figures), setting), figures)

    def test_load_result_without_a_figure_or_that_is_no_object_fails_the_run(self):
        with self.assertRaisesRegex(RunFailed, "lacks errors, p99_us"):
            figures_of('{"rate_per_s": 1, "p50_us": 2, "p999_us": 4}', SETTINGS[0])
        for text in ("", "no", "[]", "3"):
            with self.assertRaises(RunFailed):
                figures_of(text, SETTINGS[0])


if __name__ == "__main__":
    unittest.main()
