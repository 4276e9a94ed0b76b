"""Tests of driver/figures.py."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from driver.figures import (  # noqa: E402
    Spread,
    errors_by_system,
    is_met,
    ratios,
    row_of,
    values_by_round,
)
from driver.settings import LINES, SETTINGS, SYSTEMS, Line, Target  # noqa: E402

LATENCY = Line(
    "p50", "tcp-1", "p50_us", ("nats",), (Target("floor", "<=", 1.1), Target("", "<", 100.0))
)


def run(system: str, p50_us: float, errors: int = 0) -> dict:
    return {
        "system": system,
        "setting": "tcp-1",
        "result": {"p50_us": p50_us, "errors": errors},
    }


def rounds(*runs_of_each_round: list[dict]) -> list[dict]:
    return [{"round": at + 1, "runs": runs} for at, runs in enumerate(runs_of_each_round)]


class FiguresTest(unittest.TestCase):
    def test_spread_is_median_least_and_greatest(self):
        self.assertEqual(Spread.of([3.0, 1.0, 2.0]), Spread(2.0, 1.0, 3.0))
        self.assertEqual(Spread.of([4.0, 1.0, 2.0, 3.0]), Spread(2.5, 1.0, 4.0))
        self.assertIsNone(Spread.of([]))

    def test_ratio_pairs_figures_of_the_same_round_so_that_a_slow_round_cancels(self):
        measured = rounds(
            [run("ours", 60.0), run("floor", 50.0)],
            [run("ours", 600.0), run("floor", 500.0)],
        )
        row = row_of(LATENCY, measured)
        self.assertEqual(row.comparisons[0].ratio, Spread(1.2, 1.2, 1.2))

    def test_ratio_leaves_out_rounds_that_lack_one_side_or_divide_by_zero(self):
        self.assertEqual(ratios({1: 2.0, 2: 3.0, 3: 4.0}, {1: 1.0, 3: 0.0}), [2.0])

    def test_failed_run_gives_no_figure(self):
        measured = rounds([{"system": "ours", "setting": "tcp-1", "failure": "gone"}])
        self.assertEqual(values_by_round(measured, "ours", "tcp-1", "p50_us"), {})

    def test_median_ratio_decides_and_the_bound_itself_meets_or_not_by_relation(self):
        self.assertTrue(is_met(Target("floor", "<=", 1.1), 1.1))
        self.assertFalse(is_met(Target("floor", "<=", 1.1), 1.1001))
        self.assertFalse(is_met(Target("", "<", 100.0), 100.0))
        self.assertTrue(is_met(Target("", "<", 100.0), 99.9))
        self.assertTrue(is_met(Target("nats", ">=", 3.0), 3.0))
        self.assertFalse(is_met(Target("nats", ">=", 3.0), 2.99))
        with self.assertRaises(ValueError):
            is_met(Target("", "==", 1.0), 1.0)

    def test_one_outlier_does_not_change_the_verdict(self):
        measured = rounds(
            [run("ours", 52.0), run("floor", 50.0)],
            [run("ours", 53.0), run("floor", 50.0)],
            [run("ours", 500.0), run("floor", 50.0)],
        )
        floor = row_of(LATENCY, measured).comparisons[0]
        self.assertTrue(floor.met)
        self.assertEqual(floor.ratio.greatest, 10.0)

    def test_without_ours_nothing_is_judged_and_the_others_stay(self):
        row = row_of(LATENCY, rounds([run("floor", 50.0), run("nats", 100.0)]))
        self.assertIsNone(row.ours)
        self.assertEqual([item.against for item in row.comparisons], ["floor", "nats", ""])
        self.assertEqual([item.met for item in row.comparisons], [None, None, None])
        self.assertEqual(row.comparisons[1].other, Spread(100.0, 100.0, 100.0))

    def test_errors_are_summed_over_the_rounds(self):
        measured = rounds([run("ours", 1.0, errors=2)], [run("ours", 1.0, errors=3)])
        self.assertEqual(errors_by_system(measured), {"ours": 5})

    def test_every_line_names_a_setting_and_targets_what_it_shows(self):
        names = {setting.name for setting in SETTINGS}
        for line in LINES:
            self.assertIn(line.setting, names)
            for system in (target.against for target in line.targets):
                self.assertIn(system, ("", "floor", *line.peers))
            self.assertLessEqual(set(line.peers), SYSTEMS.keys())


if __name__ == "__main__":
    unittest.main()
