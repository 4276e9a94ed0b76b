"""From the figures of every round to the cells of the table. Pure: no file, clock or process."""

from dataclasses import dataclass
from statistics import median

from driver.settings import Line, Target


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of one figure over the rounds."""

    middle: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread | None":
        """None when there are no values."""
        return cls(median(values), min(values), max(values)) if values else None


@dataclass(frozen=True)
class Comparison:
    """One target, or one other system, beside `ours`. What was not measured is None."""

    against: str  # a system, or "" for a bound on the figure itself
    other: Spread | None  # the other system's figure
    ratio: Spread | None  # ours / other, taken round by round
    target: Target | None
    met: bool | None  # None: no target, or nothing to judge by


@dataclass(frozen=True)
class Row:
    """All there is to print about one line."""

    line: Line
    ours: Spread | None
    comparisons: tuple[Comparison, ...]


def values_by_round(rounds: list[dict], system: str, setting: str, figure: str) -> dict[int, float]:
    """The figure of every round in which it was measured without an error of the run."""
    values = {}
    for entry in rounds:
        for run in entry["runs"]:
            if (run["system"], run["setting"]) == (system, setting) and "result" in run:
                values[entry["round"]] = float(run["result"][figure])
    return values


def ratios(ours: dict[int, float], other: dict[int, float]) -> list[float]:
    """ours / other for every round that has both: what slows a whole round cancels out."""
    return [ours[key] / other[key] for key in sorted(ours) if other.get(key, 0) > 0]


def is_met(target: Target, value: float) -> bool:
    if target.relation == "<=":
        return value <= target.bound
    if target.relation == "<":
        return value < target.bound
    if target.relation == ">=":
        return value >= target.bound
    raise ValueError(f"relation {target.relation}")


def row_of(line: Line, rounds: list[dict]) -> Row:
    """Judges one line. The median decides whether a target is met."""
    ours = values_by_round(rounds, "ours", line.setting, line.figure)
    targets = {target.against: target for target in line.targets}
    comparisons = []
    for system in ("floor", *line.peers):
        other = values_by_round(rounds, system, line.setting, line.figure)
        ratio = Spread.of(ratios(ours, other))
        target = targets.get(system)
        met = is_met(target, ratio.middle) if target and ratio else None
        comparisons.append(Comparison(system, Spread.of(list(other.values())), ratio, target, met))
    figure = Spread.of(list(ours.values()))
    if "" in targets:
        met = is_met(targets[""], figure.middle) if figure else None
        comparisons.append(Comparison("", None, None, targets[""], met))
    return Row(line, figure, tuple(comparisons))


def errors_by_system(rounds: list[dict]) -> dict[str, int]:
    """Calls answered by an error, per system; a row with errors is no measurement."""
    return _sum_by_system(rounds, "errors")


def missed_by_system(rounds: list[dict]) -> dict[str, int]:
    """Messages that some subscriber was not sent; the rate counts those who were."""
    return _sum_by_system(rounds, "missed")


def _sum_by_system(rounds: list[dict], name: str) -> dict[str, int]:
    sums: dict[str, int] = {}
    for entry in rounds:
        for run in entry["runs"]:
            count = int(run.get("result", {}).get(name, 0))
            if count:
                sums[run["system"]] = sums.get(run["system"], 0) + count
    return sums
