"""`millstream bench`: what the core costs on this machine, beside what else is installed. Every answer is checked."""

from __future__ import annotations

import json
import os
import platform
import sys
from argparse import Namespace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

import millstream as ms
from millstream.cli._failure import CommandError
from millstream.cli.bench import _decode, _json, _streams
from millstream.cli.bench._measure import Group, Outcome, Row, measure

__all__ = ["as_dict", "environment", "groups", "run"]


def run(args: Namespace) -> int:
    """Measure, and show a table for each group and the ratios at the end; with `args.json` one JSON object instead.

    Returns: 0; 1 if an answer of ours was wrong. Raises: CommandError: there is no group of a name.
    """
    chosen = _choose(args.group)
    outcomes = _measure_all(chosen, args.seconds / len(chosen))
    if args.json:
        print(json.dumps({**environment(), "groups": [as_dict(one) for one in outcomes]}))
    else:
        console = Console()
        console.print(_said(environment()), highlight=False)
        for one in outcomes:
            console.print(_table(one))
            for name, needs in one.missing.items():
                console.print(f"  without {name}: not installed: {needs}", style="dim", highlight=False)
        console.print(_summary(outcomes))
    wrong = [f"{one.group.name} ({row.name})" for one in outcomes for row in one.rows if not row.correct]
    for text in wrong:
        print(f"millstream bench: wrong answer: {text}", file=sys.stderr)
    return 1 if any("(millstream" in text for text in wrong) else 0


def groups() -> list[Group]:
    """Return all groups, in the order in which they are shown."""
    return [*_decode.groups(), *_json.groups(), *_streams.groups()]


def environment() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "millstream": ms.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """Return what was measured of a group, for JSON."""
    group = outcome.group
    return {
        "name": group.name,
        "title": group.title,
        "unit": group.unit,
        "rounds": outcome.rounds,
        "rows": [
            {
                "name": row.name,
                "version": _version(row.package),
                "correct": row.correct,
                "ns": row.ns,
                "times": row.ratio,
                "spread": row.spread(),
            }
            for row in outcome.rows
        ],
        "missing": outcome.missing,
    }


def _choose(names: list[str]) -> list[Group]:
    found = {group.name: group for group in groups()}
    unknown = [name for name in names if name not in found]
    if unknown:
        raise CommandError(f"no group is called {unknown[0]!r}; there are {', '.join(found)}", 2)
    return [found[name] for name in dict.fromkeys(names)] or list(found.values())


def _measure_all(chosen: list[Group], seconds: float) -> list[Outcome]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(chosen))
        outcomes = []
        for n, group in enumerate(chosen):
            progress.update(task, description=f"{group.name:10}")

            def on_step(part: float, n: int = n) -> None:
                progress.update(task, completed=n + part)

            outcomes.append(measure(group, seconds, on_step))
    return outcomes


def _version(package: str) -> str | None:
    """Return the version of another's package; None for our own rows, and for what Python does not know of."""
    try:
        return version(package) if package else None
    except PackageNotFoundError:
        return None


def _said(environment: dict[str, Any]) -> str:
    load = "" if environment["load"] is None else f", load {environment['load']}"
    return f"millstream {environment['millstream']}, {environment['python']}, {environment['machine']}{load}"


def _label(row: Row) -> str:
    return " ".join(filter(None, [row.name, _version(row.package)]))


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} x" if ratio >= 100 else f"{ratio:.1f} x" if ratio >= 10 else f"{ratio:.2f} x"


def _figure(ns: float) -> str:
    return f"{ns:,.0f} ns" if ns < 10_000 else f"{ns / 1000:,.1f} us"


def _table(outcome: Outcome) -> Table:
    table = Table(title=outcome.group.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", min_width=34)
    table.add_column(f"per {outcome.group.unit}", justify="right")
    table.add_column("times ours", justify="right")
    table.add_column("middle half", justify="right")
    for row in outcome.rows:
        own = row is outcome.rows[0]
        low, high = row.spread()
        table.add_row(
            _label(row) + ("" if row.correct else "  WRONG ANSWER"),
            _figure(row.ns),
            "" if own else _times(row.ratio),
            "" if own else f"{_times(low).removesuffix(' x')} to {_times(high)}",
            style="bold" if own else None,
        )
    return table


def _summary(outcomes: list[Outcome]) -> Table:
    table = Table(title="Times as long as millstream", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("work", "beside", "ratio"):
        table.add_column(name, justify="right" if name == "ratio" else "left")
    for one in outcomes:
        for row in one.rows[1:]:
            if row.package:
                table.add_row(one.group.name, _label(row), _times(row.ratio))
    return table
