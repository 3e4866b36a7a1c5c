"""Plots as SVG, light and dark by what the reader prefers: dots and lines on logarithmic scales. Depends on nothing.

Logarithmic, because figures here are up to a million apart. Dots rather than bars: a bar has no length where there is
no zero. Each plot has a background of its own, so that it can be read wherever it stands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH = 800
LABELS = 250  # width of the names
RIGHT = 110  # for the figures
ROW = 26
TOP, BOTTOM = 66, 44

STYLE = """
svg { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif }
.ground { fill: #ffffff; stroke: #d8dee4 } .grid { stroke: #e4e8ec } .stem { stroke: #afb8c1; stroke-width: 2 }
text { fill: #1f2328 } .title { font-size: 16px } .title, .strong { font-weight: 600 } .faint { fill: #59636e }
circle, text.series { fill: currentColor } polyline { fill: none; stroke: currentColor; stroke-width: 2 }
.own { color: #0a7d74 } .peer { color: #8b6f1f } .floor { color: #6e7781 }
.other { color: #9a4fb0 } .fourth { color: #b0452c } .fifth { color: #2c69b0 }
@media (prefers-color-scheme: dark) {
.ground { fill: #0d1117; stroke: #3d444d } .grid { stroke: #262c36 } .stem { stroke: #57606a }
text { fill: #f0f6fc } .faint { fill: #9198a1 }
.own { color: #39c5b8 } .peer { color: #d8b24a } .floor { color: #9198a1 }
.other { color: #d29be3 } .fourth { color: #f08a6e } .fifth { color: #79b0f5 } }
"""


class Dot(NamedTuple):
    """One row: what it is called, how much, the same for people, and its class in STYLE (own, peer, floor)."""

    name: str
    value: float
    shown: str
    kind: str = "peer"


class Line(NamedTuple):
    """One line: its points as (x, y), and its class in STYLE."""

    name: str
    points: Sequence[tuple[float, float]]
    kind: str


def dots(title: str, note: str, rows: Sequence[Dot], unit: str) -> str:
    """Rows in the order given, on one logarithmic axis.

    Args: note: a sentence below the title. unit: what the axis is of.
    Raises: ValueError: no rows, or a value that is not above 0.
    """
    low, high = _decades([row.value for row in rows])
    height = TOP + ROW * len(rows) + BOTTOM
    bottom = height - BOTTOM

    def x(value: float) -> float:
        return LABELS + (WIDTH - LABELS - RIGHT) * (math.log10(value) - low) / (high - low)

    parts = []
    for decade in range(low, high + 1):
        at = x(10.0**decade)
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{TOP - 6}" x2="{at:.1f}" y2="{bottom}"/>')
        parts.append(_text(at, bottom + 18, _power(decade), "faint", "middle"))
    parts.append(_text(WIDTH - RIGHT, bottom + 36, unit, "faint", "end"))
    for n, row in enumerate(rows):
        y = TOP + ROW * n + ROW / 2
        at = x(row.value)
        strong = " strong" if row.kind == "own" else ""
        parts.append(_text(LABELS - 14, y + 4, row.name, f"name{strong}", "end"))
        parts.append(f'<line class="stem" x1="{LABELS}" y1="{y}" x2="{at:.1f}" y2="{y}"/>')
        parts.append(f'<circle class="{row.kind}" cx="{at:.1f}" cy="{y}" r="6"/>')
        parts.append(_text(at + 14, y + 4, row.shown, f"figure{strong}", "start"))
    return _svg(title, note, height, parts)


def lines(title: str, note: str, series: Sequence[Line], x_unit: str, y_unit: str) -> str:
    """Lines on two logarithmic axes, each named at its end. Raises: as `dots`."""
    height, left, right, top = 460, 84, 210, TOP + 24
    x_low, x_high = _decades([x for one in series for x, _ in one.points], whole=False)
    y_low, y_high = _decades([y for one in series for _, y in one.points])
    bottom = height - BOTTOM

    def x(value: float) -> float:
        return left + (WIDTH - left - right) * (math.log10(value) - x_low) / (x_high - x_low)

    def y(value: float) -> float:
        return bottom - (bottom - top) * (math.log10(value) - y_low) / (y_high - y_low)

    parts = []
    for decade in range(math.ceil(y_low), math.floor(y_high) + 1):
        at = y(10.0**decade)
        parts.append(f'<line class="grid" x1="{left}" y1="{at:.1f}" x2="{WIDTH - right}" y2="{at:.1f}"/>')
        parts.append(_text(left - 8, at + 4, _power(decade), "faint", "end"))
    for value in sorted({value for one in series for value, _ in one.points}):
        parts.append(_text(x(value), bottom + 18, _short(value), "faint", "middle"))
    parts.append(_text(WIDTH - right, bottom + 36, x_unit, "faint", "end"))
    parts.append(_text(16, top - 16, y_unit, "faint", "start"))
    taken: list[float] = []
    for one in sorted(series, key=lambda one: -one.points[-1][1]):
        points = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in one.points)
        parts.append(f'<polyline class="{one.kind}" points="{points}"/>')
        parts += [f'<circle class="{one.kind}" cx="{x(a):.1f}" cy="{y(b):.1f}" r="4"/>' for a, b in one.points]
        at = y(one.points[-1][1]) + 4
        at = max([at, *(other + 16 for other in taken)])  # names stand below each other
        taken.append(at)
        strong = " strong" if one.kind == "own" else ""
        parts.append(_text(WIDTH - right + 12, at, one.name, f"series {one.kind}{strong}", "start"))
    return _svg(title, note, height, parts)


def _decades(values: Sequence[float], *, whole: bool = True) -> tuple[int, int]:
    """The exponents that enclose all values."""
    if not values or min(values) <= 0:
        raise ValueError("a logarithmic plot needs values above 0")
    low, high = math.log10(min(values)), math.log10(max(values))
    if not whole:
        return low, high  # type: ignore[return-value]
    return math.floor(low), max(math.ceil(high), math.floor(low) + 1)


def _power(decade: int) -> str:
    return f"{10**decade:,}" if 0 <= decade <= 6 else f"1e{decade}" if decade > 6 else f"{10.0**decade:g}"


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size * 0.95:
            return f"{value / size:.0f} {letter}"
    return f"{value:g}"


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, note: str, height: float, parts: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}" '
        f'role="img" aria-label="{escape(title)}">'
    )
    ground = f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:g}" rx="6"/>'
    said = [_text(16, 28, title, "title", "start"), _text(16, 48, note, "faint", "start")]
    return "\n".join([head, f"<style>{STYLE}</style>", ground, *said, *parts, "</svg>"]) + "\n"
