"""Stored results as a static page of SVG bars. Pure: the same results give the same text."""

from dataclasses import dataclass
from html import escape

from driver.figures import Spread, is_met, ratios, values_by_round
from driver.settings import LINES, SETTINGS, SYSTEMS
from driver.table import figure, target, times

WIDTH = 960
LABEL = 150  # Left of the bars.
VALUE = 350  # Right of them.
BAR = 16
STEP = 22
HEAD = 30
GAP = 18
COLOURS = {
    "ours": "#2f6fde",
    "floor": "#7a7a7a",
    "nats": "#27a36a",
    "redis": "#c8452f",
    "grpc": "#8a5cc9",
    "direct": "#b0b0b0",
}
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.title{font-weight:600;font-size:13px}"
    ".note{fill:#666}.no{fill:#b3261e}.yes{fill:#1b7f4b}.page{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.note{fill:#999}.page{fill:#161616}"
    ".no{fill:#ff8a80}.yes{fill:#7ddba9}}"
)


@dataclass(frozen=True)
class Bar:
    """One system's figure: how long, from where to where the rounds went, and what to write."""

    name: str
    colour: str
    spread: Spread
    text: str
    note: str = ""
    note_class: str = "note"


def bar_svg(bar: Bar, y: int, greatest: float) -> str:
    scale = (WIDTH - LABEL - VALUE) / greatest if greatest > 0 else 0
    length = max(1.0, bar.spread.middle * scale)
    low, high = (LABEL + edge * scale for edge in (bar.spread.least, bar.spread.greatest))
    middle = y + BAR / 2
    return (
        f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end">{escape(bar.name)}</text>'
        f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" fill="{bar.colour}"/>'
        f'<path d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 4}v8M{high:.1f} {middle - 4}v8" '
        'stroke="#000" stroke-opacity=".55" fill="none"/>'
        f'<text x="{max(LABEL + length, high) + 8:.1f}" y="{y + 12}">{escape(bar.text)}'
        f'<tspan class="{bar.note_class}" dx="8">{escape(bar.note)}</tspan></text>'
    )


def group_svg(title: str, note: str, bars: list[Bar], top: int) -> tuple[str, int]:
    """A titled group of bars that share a scale, and where the next group begins."""
    greatest = max(bar.spread.greatest for bar in bars)
    parts = [
        f'<text class="title" x="0" y="{top + 14}">{escape(title)}'
        f'<tspan class="note" font-weight="400" dx="10">{escape(note)}</tspan></text>'
    ]
    for at, bar in enumerate(bars):
        parts.append(bar_svg(bar, top + HEAD - 8 + at * STEP, greatest))
    return "\n".join(parts), top + HEAD + len(bars) * STEP + GAP


def line_bars(line, rounds: list[dict]) -> list[Bar]:
    """Ours first, then the floor and the peers, with ours as a multiple of them."""
    ours = values_by_round(rounds, "ours", line.setting, line.figure)
    targets = {goal.against: goal for goal in line.targets}
    bars = []
    for system in ("ours", "floor", *line.peers):
        values = values_by_round(rounds, system, line.setting, line.figure)
        spread = Spread.of(list(values.values()))
        if spread is None:
            continue
        note, note_class = "", "note"
        goal = targets.get("" if system == "ours" else system)
        ratio = Spread.of(ratios(ours, values)) if system != "ours" else None
        judged = ratio.middle if ratio else (spread.middle if system == "ours" else None)
        if ratio:
            note = f"ours {times(ratio.middle)}"
        if goal and judged is not None:
            met = is_met(goal, judged)
            words = target(goal, line.figure)
            note = f"{note} ({words}: {'met' if met else 'not met'})".strip()
            note_class = "yes" if met else "no"
        name = SYSTEMS[system].split(",")[0]
        bars.append(
            Bar(name, COLOURS[system], spread, figure(spread.middle, line.figure), note, note_class)
        )
    return bars


def run_groups(result: dict) -> list[tuple[str, str, list[Bar]]]:
    """The lines of a run of bench/run that were measured."""
    groups = []
    for line in LINES:
        bars = line_bars(line, result["rounds"])
        if bars:
            setting = next(item for item in SETTINGS if item.name == line.setting)
            better = "less is better" if line.figure.endswith("_us") else "more is better"
            groups.append((f"{line.what}: {setting.text}", better, bars))
    return groups


def connection_groups(result: dict) -> list[tuple[str, str, list[Bar]]]:
    """What a session costs, of a run of bench/connections."""
    count = result["sessions"]
    costs = (
        ("server, user", COLOURS["ours"], result["server_user_bytes"] / count),
        ("kernel, both ends", COLOURS["floor"], result["kernel_bytes"] / count),
    )
    bars = [
        Bar(name, colour, Spread(value, value, value), f"{value:.0f} bytes")
        for name, colour, value in costs
    ]
    note = (
        f"{result['servers']} server processes, established in {result['establish_s']:.0f} s, "
        f"{result['closed']} lost"
    )
    title = f"Memory of an idle session: {count} sessions over {result['transport']}"
    return [(title, note, bars)]


def caption(result: dict) -> str:
    machine = result["machine"]
    busy = f", busy before the run (load {machine['load_before']:.1f})"
    return (
        f"{result['begun'][:10]}, commit {machine['commit']}, {machine['cpu']}, "
        f"{machine['cores']} cores, {machine['kernel']}{busy if machine['load_before'] > 0.5 else ''}"
    )


def svg(results: list[dict]) -> str:
    """One SVG of all results, one below the other. Bars are medians, whiskers least and greatest."""
    parts, top = [], 8
    for result in results:
        parts.append(f'<text class="note" x="0" y="{top + 12}">{escape(caption(result))}</text>')
        top += HEAD
        groups = connection_groups if result.get("kind") == "connections" else run_groups
        for title, note, bars in groups(result):
            text, top = group_svg(title, note, bars, top)
            parts.append(text)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 0 {WIDTH + 24} {top}" '
        f'width="{WIDTH + 24}" height="{top}" role="img">\n<style>{STYLE}</style>\n'
        f'<rect class="page" x="-12" y="0" width="{WIDTH + 24}" height="{top}"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def page(results: list[dict]) -> str:
    """An HTML page around it."""
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Valkyrie benchmarks</title>\n'
        "<style>body{font:14px system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;"
        "color-scheme:light dark}svg{max-width:100%;height:auto}</style>\n"
        "<h1>Valkyrie benchmarks</h1>\n"
        "<p>Bars are medians over interleaved rounds, whiskers the least and the greatest; multiples are "
        "taken inside each round. Compare bars of a group, never groups of different runs.</p>\n"
        + svg(results)
        + "</html>\n"
    )
