"""Contenders of equal work, timed by turns. No I/O; knows no parser.

In a round each contender runs once, in an order that rotates, so that what slows the machine slows all; the ratio is
taken within a round. Times are CPU times of the process, and the garbage collector runs, as it does for users. What a
contender did is checked before it is timed.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from time import monotonic, process_time
from typing import Any

__all__ = ["Contender", "Group", "Outcome", "Row", "Work", "measure"]

MIN_ROUNDS, MAX_ROUNDS = 5, 25
LEAST_SECONDS = 0.004  # what takes less is done several times, and the time divided


@dataclass(frozen=True)
class Work:
    """What one contender does.

    Args:
        run: does it once; may return the seconds that it took, if it must measure itself.
        answer: does it once, and returns all that came out, in the form of `Group.answer`.
        close: ends what belongs to it.
    """

    run: Callable[[], float | None]
    answer: Callable[[], Any]
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Contender:
    """One way to do the work of a group.

    Args:
        name: as shown. make: prepares the work; what it does is not timed.
        needs: modules without which it cannot run. package: whose version is shown, if it is another's work.
    """

    name: str
    make: Callable[[], Work]
    needs: tuple[str, ...] = ()
    package: str = ""

    def missing(self) -> list[str]:
        """Return the modules that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]


@dataclass(frozen=True)
class Group:
    """Contenders that do the same work, of which the first is ours.

    Args:
        name: for the command line. title: for people. n: units of the work. unit: what is counted.
        answer: what each has to find out.
    """

    name: str
    title: str
    n: int
    unit: str
    answer: Callable[[], Any]
    contenders: list[Contender]


@dataclass
class Row:
    """What was measured of a contender; all times in ns per unit."""

    name: str
    package: str
    correct: bool
    times: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    """How many times as long as ours it took, round by round."""

    @property
    def ns(self) -> float:
        """The median."""
        return statistics.median(self.times)

    @property
    def ratio(self) -> float:
        """The median."""
        return statistics.median(self.ratios)

    def spread(self) -> tuple[float, float]:
        """Return the quartiles of the ratios."""
        low, _, high = statistics.quantiles(self.ratios, n=4)
        return low, high


@dataclass
class Outcome:
    """What was measured of a group. missing: contenders that could not run, with what they need."""

    group: Group
    rows: list[Row]
    missing: dict[str, str]
    rounds: int

    def row(self, name: str) -> Row:
        """Return the row of this contender. Raises: KeyError."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)


def measure(group: Group, seconds: float, on_step: Callable[[float], object] = lambda done: None) -> Outcome:
    """Run the contenders of a group that can be run, by turns, for about so many seconds.

    Args: on_step: is told from time to time which part of the whole is done, 0 to 1.
    Raises: what a contender raises.
    """
    missing = {one.name: ", ".join(one.missing()) for one in group.contenders if one.missing()}
    entered = [(one, one.make()) for one in group.contenders if one.name not in missing]
    try:
        expected = group.answer()
        rows = [Row(one.name, one.package, work.answer() == expected) for one, work in entered]
        gc.collect()
        gc.freeze()  # what is not measured is out of the collector's sight
        repeats = [_repeats(work) for _, work in entered]
        began, rounds = monotonic(), 0
        while rounds < MIN_ROUNDS or (rounds < MAX_ROUNDS and monotonic() - began < seconds):
            for k in range(len(entered)):
                at = (k + rounds) % len(entered)
                rows[at].times.append(_timed(entered[at][1], repeats[at]) / group.n * 1e9)
            rounds += 1
            on_step(min(1.0, max((monotonic() - began) / seconds, rounds / MAX_ROUNDS)))
    finally:
        gc.unfreeze()
        for _, work in entered:
            work.close()
    for row in rows:
        row.ratios = [other / own for other, own in zip(row.times, rows[0].times, strict=True)]
    return Outcome(group, rows, missing, rounds)


def _repeats(work: Work) -> int:
    once = max(_timed(work, 1), 1e-6)
    return max(1, int(LEAST_SECONDS / once))


def _timed(work: Work, repeats: int) -> float:
    gc.collect()
    run = work.run
    if repeats > 1:
        run()  # the collector has emptied the caches
    told = 0.0
    began = process_time()
    for _ in range(repeats):
        told += run() or 0.0
    spent = told or process_time() - began
    if spent <= 0:
        raise ValueError("a time of 0: the clock is too coarse for this work")
    return spent / repeats
