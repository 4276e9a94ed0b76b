"""Tests of driver/table.py: a stored result gives the same text for ever."""

import copy
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from driver.table import figure, grid, number, render, times  # noqa: E402


def run(system: str, rate: float, p50: float, p99: float, errors: int = 0) -> dict:
    result = {"rate_per_s": rate, "p50_us": p50, "p99_us": p99, "p999_us": p99, "errors": errors}
    return {"system": system, "setting": "unix-1", "result": result}


RESULT = {
    "begun": "2026-01-02T03:04:05Z",
    "machine": {
        "cpu": "Test CPU",
        "cores": 2,
        "kernel": "Linux 6.1",
        "system": "Debian 12",
        "tcp": "cubic",
        "commit": "0123456789ab",
        "load_before": 0.1,
        "versions": {"nats": "2.9.10", "build": "Release"},
    },
    "method": {"rounds": 2, "warmup_s": 1.0, "time_s": 3.0, "payload_bytes": 64},
    "skipped": [{"system": "grpc", "why": "not built"}],
    "rounds": [
        {"round": 1, "runs": [run("ours", 1e4, 54.0, 128.0), run("floor", 2e4, 50.0, 100.0)]},
        {"round": 2, "runs": [run("ours", 1e4, 53.0, 108.0), run("floor", 2e4, 50.0, 100.0)]},
    ],
}

# What RESULT renders to.
TEXT = (Path(__file__).parent / "table_test.txt").read_text()


class TableTest(unittest.TestCase):
    maxDiff = None

    def test_result_renders_to_the_same_text(self):
        self.assertEqual(render(RESULT), TEXT)

    def test_missed_target_says_no(self):
        result = copy.deepcopy(RESULT)
        for entry in result["rounds"]:
            entry["runs"][0]["result"]["p50_us"] = 101.0
        lines = render(result).splitlines()
        self.assertTrue(lines[2].endswith("NO"))
        self.assertTrue(lines[3].endswith("NO"))

    def test_failures_errors_and_a_busy_machine_are_said_below_the_table(self):
        result = copy.deepcopy(RESULT)
        result["rounds"][0]["runs"][0] = {
            "system": "ours",
            "setting": "unix-1",
            "failure": "valkyrie ended with 3",
        }
        result["rounds"][1]["runs"][0]["result"]["errors"] = 7
        result["machine"]["load_before"] = 1.5
        text = render(result)
        self.assertIn("FAILED: Valkyrie, unix-1, round 1: valkyrie ended with 3\n", text)
        self.assertIn("ERRORS: Valkyrie: 7 calls failed", text)
        self.assertIn("WARNING: the machine was busy before the run (load 1.50)", text)

    def test_nothing_of_ours_leaves_dashes_and_the_spread_of_the_floor(self):
        result = copy.deepcopy(RESULT)
        for entry in result["rounds"]:
            del entry["runs"][0]
        line = render(result).splitlines()[2]
        self.assertRegex(line, r"in flight  -\s+50\.0 us\s+-\s+50\.0 us - 50\.0 us .*  -$")

    def test_three_digits_and_a_unit_by_the_field(self):
        self.assertEqual([number(value) for value in (1234.5, 99.95, 9.994)], ["1234", "100.0", "9.99"])
        self.assertEqual(figure(67.04, "p50_us"), "67.0 us")
        self.assertEqual(figure(4_910_000.0, "rate_per_s"), "4.91 M/s")
        self.assertEqual(figure(14_200.0, "rate_per_s"), "14.2 k/s")
        self.assertEqual(figure(900.0, "rate_per_s"), "900 /s")
        self.assertEqual([times(value) for value in (0.65, 123.4)], ["0.65x", "123x"])

    def test_columns_are_as_wide_as_their_widest_cell(self):
        empty = ("",) * 8
        self.assertEqual(
            grid([("a", "bbb", *empty), ("cc", "d", *empty)])[::2], ["a   bbb", "cc  d"]
        )


if __name__ == "__main__":
    unittest.main()
