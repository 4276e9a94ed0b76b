"""Tests of driver/connections.py: spreading, refusing, adding up."""

import sys
import unittest
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(BENCH))

from driver import connections  # noqa: E402
from driver.connections import FILES_BESIDE, RESERVE_BYTES, plan, refusal  # noqa: E402


class PlanTest(unittest.TestCase):
    def test_sessions_are_spread_evenly_over_as_few_pairs_as_files_allow(self):
        limit = 1000 + FILES_BESIDE
        self.assertEqual(plan("tcp", 1000, limit).counts, (1000,))
        self.assertEqual(plan("tcp", 1001, limit).counts, (501, 500))
        million = plan("tcp", 1_000_000, 20_000)
        self.assertEqual(million.total, 1_000_000)
        self.assertEqual(len(million.counts), 51)
        self.assertLessEqual(max(million.counts), 20_000 - FILES_BESIDE)

    def test_too_few_files_are_an_error(self):
        with self.assertRaises(ValueError):
            plan("tcp", 1, FILES_BESIDE)


class RefusalTest(unittest.TestCase):
    def test_memory_on_both_sides_of_the_need(self):
        what = plan("tcp", 100_000, 20_000)
        enough = what.need_bytes + RESERVE_BYTES
        self.assertEqual(refusal(what, enough, 1_000_000), "")
        self.assertIn("are free", refusal(what, enough - 1, 1_000_000))

    def test_a_machine_without_any_room_is_told_so(self):
        self.assertIn("0 MiB are free", refusal(plan("unix", 1, 20_000), 0, 100))

    def test_files_of_the_system(self):
        what = plan("unix", 10, 20_000)
        self.assertEqual(refusal(what, 1 << 40, 20), "")
        self.assertIn("20 open files", refusal(what, 1 << 40, 19))


class NumbersTest(unittest.TestCase):
    def test_every_pair_has_a_source_address_of_its_own(self):
        addresses = [connections.source_address(index) for index in range(70_000)]
        self.assertEqual(len(set(addresses)), len(addresses))
        for address in addresses:
            self.assertTrue(all(0 <= int(part) <= 255 for part in address.split(".")), address)
        self.assertEqual(addresses[0], "127.1.1.1")

    def test_fields_add_up_kilobytes_and_skip_what_is_missing(self):
        text = "Slab:   12 kB\nRss: 3 kB\nnothing\nPrivate_Dirty:\t 4 kB\n"
        self.assertEqual(connections.fields(text, ("Slab", "Private_Dirty", "Absent")), 16 * 1024)

    def test_sizes_are_shown_in_the_unit_that_fits(self):
        self.assertEqual(connections.human(5 << 20), "5 MiB")
        self.assertEqual(connections.human(3 << 29), "1.5 GiB")


if __name__ == "__main__":
    unittest.main()
