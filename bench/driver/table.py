"""A stored result as text. Pure: the same result gives the same text."""

from driver.figures import (
    Comparison,
    Row,
    Spread,
    errors_by_system,
    missed_by_system,
    row_of,
)
from driver.settings import LINES, SETTINGS, SYSTEMS, Target

HEAD = (
    "what",
    "setting",
    "ours",
    "floor",
    "peer",
    "x floor",
    "x peer",
    "spread (min-max)",
    "target",
    "met",
)
NOTHING = "-"
# Above this one-minute load at the start, something else was running.
QUIET_LOAD = 0.5


def number(value: float) -> str:
    """Three significant digits, no exponent."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def figure(value: float, name: str) -> str:
    """A figure with its unit, by the name of its field."""
    if name.endswith("_us"):
        return f"{number(value)} us"
    if name == "bytes_per_s":
        return f"{number(value * 8 / 1e9)} Gbit/s"
    if value >= 1e6:
        return f"{number(value / 1e6)} M/s"
    return f"{number(value / 1e3)} k/s" if value >= 1e3 else f"{number(value)} /s"


def times(value: float) -> str:
    return f"{value:.2f}x" if value < 100 else f"{value:.0f}x"


def spread(what: Spread | None, show) -> str:
    return f"{show(what.least)} - {show(what.greatest)}" if what else NOTHING


def target(what: Target | None, name: str) -> str:
    if what is None:
        return ""
    if what.against:
        return f"{what.relation} {times(what.bound)} {SYSTEMS[what.against].split(',')[0]}"
    return f"{what.relation} {figure(what.bound, name)}"


def met(comparison: Comparison) -> str:
    if comparison.target is None:
        return ""
    return {True: "yes", False: "NO", None: NOTHING}[comparison.met]


def cells(row: Row, comparison: Comparison, first: bool) -> tuple[str, ...]:
    name = row.line.figure
    setting = next(setting for setting in SETTINGS if setting.name == row.line.setting)
    other = figure(comparison.other.middle, name) if comparison.other else NOTHING
    ratio = times(comparison.ratio.middle) if comparison.ratio else NOTHING
    floor = comparison.against == "floor"
    peer = comparison.against not in ("", "floor")
    if comparison.ratio:
        range_text = spread(comparison.ratio, times)
    else:
        # Nothing of ours to compare: the spread of the figure that there is.
        alone = comparison.other if comparison.against else row.ours
        range_text = spread(alone, lambda value: figure(value, name))
    return (
        row.line.what if first else "",
        setting.text if first else "",
        (figure(row.ours.middle, name) if row.ours else NOTHING) if first else "",
        other if floor else "",
        f"{SYSTEMS[comparison.against]} {other}" if peer else "",
        ratio if floor else "",
        ratio if peer else "",
        range_text,
        target(comparison.target, name),
        met(comparison),
    )


def grid(lines: list[tuple[str, ...]]) -> list[str]:
    """Columns as wide as their widest cell."""
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEAD))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)) for line in lines]
    text.insert(1, "  ".join("-" * width for width in widths))
    return [line.rstrip() for line in text]


def notes(result: dict) -> list[str]:
    machine, method = result["machine"], result["method"]
    lines = [
        f"{result['begun']}  commit {machine['commit']}  {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['kernel']}, {machine['system']}, TCP {machine['tcp']}",
        f"{method['rounds']} interleaved rounds of {method['time_s']:g} s after "
        f"{method['warmup_s']:g} s of warm-up, {method['payload_bytes']} B payload; medians; ratios "
        "are taken inside each round",
        "versions: "
        + ", ".join(f"{name} {version}" for name, version in sorted(machine["versions"].items())),
    ]
    lines += [f"skipped: {SYSTEMS[skip['system']]}: {skip['why']}" for skip in result["skipped"]]
    for entry in result["rounds"]:
        for run in entry["runs"]:
            if "failure" in run:
                lines.append(
                    f"FAILED: {SYSTEMS[run['system']]}, {run['setting']}, round {entry['round']}: "
                    f"{run['failure']}"
                )
    for system, count in sorted(errors_by_system(result["rounds"]).items()):
        lines.append(f"ERRORS: {SYSTEMS[system]}: {count} calls failed; its figures mean nothing")
    for system, count in sorted(missed_by_system(result["rounds"]).items()):
        lines.append(f"MISSED: {SYSTEMS[system]}: {count} published messages did not reach everyone")
    if machine["load_before"] > QUIET_LOAD:
        lines.append(
            f"WARNING: the machine was busy before the run (load {machine['load_before']:.2f}): "
            "plausibility only"
        )
    return lines


def render(result: dict) -> str:
    """The whole report of one stored result."""
    lines = [HEAD]
    measured = {run["setting"] for entry in result["rounds"] for run in entry["runs"]}
    for line in LINES:
        if line.setting not in measured:
            continue
        row = row_of(line, result["rounds"])
        shown = [
            comparison
            for comparison in row.comparisons
            if comparison.other or comparison.target
        ]
        lines += [cells(row, comparison, at == 0) for at, comparison in enumerate(shown)]
    return "\n".join(grid(lines) + [""] + notes(result)) + "\n"
