"""What a part of the results is made of. report.py runs each in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Section:
    """One part of bench/RESULTS.md.

    Attributes:
        targets: what, what is wanted, what was measured, whether that is met.
        text: lines of Markdown. wrong: rows of ours whose answer was not right.
        data: figures for the plots.
    """

    text: list[str]
    targets: list[tuple[str, str, str, bool]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    def at_most(self, what: str, limit: float, got: float, *, unit: str = " x", aim: float | None = None) -> None:
        self._target(what, "<=", limit, got, unit, aim, met=got <= limit)

    def at_least(self, what: str, limit: float, got: float, *, unit: str = " x", aim: float | None = None) -> None:
        self._target(what, ">=", limit, got, unit, aim, met=got >= limit)

    def _target(
        self, what: str, sign: str, limit: float, got: float, unit: str, aim: float | None, *, met: bool
    ) -> None:
        wanted = f"{sign} {limit:,g}{unit}" + ("" if aim is None else f", aim {aim:,g}")
        self.targets.append((what, wanted, figure(got) + unit, met))


def figure(x: float) -> str:
    """With about three digits."""
    if x >= 100:
        return f"{x:,.0f}"
    return f"{x:.1f}" if x >= 10 else f"{x:.2f}" if x >= 1 else f"{x:.3f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], align: str = "") -> list[str]:
    """A Markdown table; `align` has a letter for each column, r for right."""
    rule = ["---:" if align[i : i + 1] == "r" else "---" for i in range(len(head))]
    return ["| " + " | ".join(row) + " |" for row in (head, rule, *rows)]
