"""What bench/security says of its figures."""

import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from driver.security import CHANNELS, SUITES, report  # noqa: E402


def figures(slower: float) -> dict:
    """A round in which what is ours costs `slower` as much as what it is compared to."""
    handshake = {
        "ours": {"p50_us": 100.0 * slower, "p99_us": 1000.0 * slower},
        "library": {"p50_us": 100.0, "p99_us": 1000.0},
    }
    bulk = {
        "ours": {"seal_gbit_per_s": 10 / slower, "open_gbit_per_s": 10 / slower},
        "library": {"seal_gbit_per_s": 10.0, "open_gbit_per_s": 10.0},
    }
    calls = {name: {"p50_us": 50.0 * slower, "rate_per_s": 2e6 / slower} for name in CHANNELS}
    plain = {"p50_us": 50.0, "rate_per_s": 2e6}
    beside = {"alone_p99_us": 100.0, "beside_p99_us": 100.0 * slower, "handshakes_per_s": 1000.0}
    return {
        "handshake": dict.fromkeys(SUITES, handshake),
        "bulk": dict.fromkeys(SUITES, bulk),
        "calls": dict.fromkeys(("1", "512"), {"floor": plain, "plain": plain, **calls}),
        "idle_bytes": {"noise": 4000.0 * slower, "tls": 20000.0 * slower},
        "beside_handshakes": dict.fromkeys(CHANNELS, beside),
    }


class SecurityTest(unittest.TestCase):
    def test_says_of_each_target_whether_it_is_met(self):
        good = report({"rounds": [figures(1.0)]})
        self.assertEqual(good.count(" met"), 2 * 3 + 2 * 6 + 2 + 1 + 2 + 2)
        self.assertNotIn("NOT", good)
        bad = report({"rounds": [figures(2.5)]})
        self.assertEqual(bad.count("NOT met"), bad.count(" met"))

    def test_takes_the_median_of_the_rounds_ratios(self):
        text = report({"rounds": [figures(9.0), figures(1.2), figures(1.0)]})
        self.assertIn("1.20x the library", text)

    def test_fewer_handshakes_than_were_asked_for_prove_nothing(self):
        one = figures(1.0)
        for each in one["beside_handshakes"].values():
            each["handshakes_per_s"] = 900.0
        self.assertEqual(report({"rounds": [one]}).count("NOT met"), len(CHANNELS))


if __name__ == "__main__":
    unittest.main()
