"""Tests of driver/plot.py: what is drawn, and that it is well formed."""

import copy
import sys
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from driver.plot import LABEL, VALUE, WIDTH, page, svg  # noqa: E402

SPACE = "{http://www.w3.org/2000/svg}"
MACHINE = {
    "cpu": "CPU <1>",
    "cores": 2,
    "kernel": "Linux 6.1",
    "commit": "0123456789ab",
    "load_before": 0.1,
}


def run(system: str, rate: float) -> dict:
    result = {"rate_per_s": rate, "p50_us": 50.0, "p99_us": 60.0, "p999_us": 70.0, "errors": 0}
    return {"system": system, "setting": "tcp-512", "result": result}


RUN = {
    "begun": "2026-01-02T03:04:05Z",
    "machine": MACHINE,
    "rounds": [
        {"round": at, "runs": [run("ours", rate), run("floor", 2e6), run("nats", 5e5)]}
        for at, rate in ((1, 1.0e6), (2, 1.5e6), (3, 1.4e6))
    ],
}
CONNECTIONS = {
    "begun": "2026-01-02T03:04:05Z",
    "kind": "connections",
    "machine": MACHINE,
    "sessions": 1000,
    "transport": "tcp",
    "servers": 1,
    "establish_s": 2.0,
    "closed": 0,
    "server_user_bytes": 2_000_000,
    "kernel_bytes": 10_000_000,
}


def texts(picture: str) -> list[str]:
    return ["".join(node.itertext()) for node in xml.fromstring(picture).iter(f"{SPACE}text")]


def bars(picture: str) -> list[float]:
    nodes = xml.fromstring(picture).iter(f"{SPACE}rect")
    return [float(node.get("width")) for node in nodes if node.get("class") != "page"]


class PlotTest(unittest.TestCase):
    def test_the_longest_bar_and_its_whisker_fill_the_width_between_label_and_value(self):
        widths = bars(svg([RUN]))
        self.assertEqual(len(widths), 3)
        room = WIDTH - LABEL - VALUE
        self.assertAlmostEqual(widths[1], room, places=0)  # The floor: 2.0 M/s.
        self.assertAlmostEqual(widths[0], room * 1.4 / 2, places=0)  # The median of ours.

    def test_targets_are_judged_by_the_median_of_the_ratios(self):
        said = texts(svg([RUN]))
        self.assertTrue(any("ours 0.70x (>= 0.60x relay floor: met)" in text for text in said), said)
        self.assertTrue(any("ours 2.80x (>= 3.00x NATS: not met)" in text for text in said), said)

    def test_what_was_not_measured_is_left_out(self):
        result = copy.deepcopy(RUN)
        for entry in result["rounds"]:
            entry["runs"] = entry["runs"][:1]
        self.assertEqual(len(bars(svg([result]))), 1)

    def test_a_session_is_shown_by_what_it_costs(self):
        said = texts(svg([CONNECTIONS]))
        self.assertIn("2000 bytes", "\n".join(said))
        self.assertIn("10000 bytes", "\n".join(said))

    def test_text_of_a_result_cannot_break_the_picture(self):
        self.assertIn("CPU <1>", "\n".join(texts(svg([RUN, CONNECTIONS]))))

    def test_the_page_loads_nothing(self):
        text = page([RUN, CONNECTIONS]).replace('xmlns="http://www.w3.org/2000/svg"', "")
        for word in ("http:", "https:", "<script", "url(", "src="):
            self.assertNotIn(word, text)


if __name__ == "__main__":
    unittest.main()
