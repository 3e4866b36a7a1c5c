"""`Timeouts`: four clocks over one stream, as one value, and the arithmetic that says which runs out next.

Why four: a stream may hang without closing, and pings keep an idle clock alive while no content comes. No I/O and no
timer here: `Deadlines` is told the time and what arrived. Source: THREATS_AND_FAULTS.md M4 and section 4, item 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal

from millstream.errors import StreamTimeout
from millstream.events import Raw, Start

__all__ = ["DEFAULT_TIMEOUTS", "Deadlines", "TimeoutKind", "Timeouts", "is_content"]

TimeoutKind = Literal["first", "idle", "progress", "total"]

SAID = {
    "first": "nothing came within {:g} s of opening the stream",
    "idle": "nothing came for {:g} s",
    "progress": "only pings came for {:g} s",
    "total": "the stream took longer than {:g} s in all",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long a stream may take, in seconds. None switches a clock off.

    Raises: ValueError: a value that is not a positive, finite number. TypeError: not a number.
    """

    first: float | None = None
    """From opening to the first item of any kind."""

    idle: float | None = None
    """Between two items of any kind, so pings count: is the other side alive? Runs after the first item."""

    progress: float | None = None
    """Between two items of content, or from opening to the first: pings do not count. Is it getting anywhere?"""

    total: float | None = None
    """From opening to the end."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"Timeouts.{field.name} must be seconds or None, got {value!r}")
            if not 0 < value < math.inf:
                raise ValueError(f"Timeouts.{field.name} must be positive and finite (None: off), got {value!r}")

    def __bool__(self) -> bool:
        """Whether any clock runs."""
        return any(getattr(self, field.name) is not None for field in fields(self))


DEFAULT_TIMEOUTS = Timeouts(first=300.0, idle=120.0, progress=300.0, total=3600.0)
"""For streams of providers. Reasoning models are silent for minutes before the first token, and a fixed 60 s killed
healthy ones (clawcodex#734, flocks#94); LangChain's idle default is 120 s (langchain#36949)."""


class Deadlines:
    """The clocks of one running stream. Numbers in, numbers out.

    Use: `when, kind = deadlines.next()` before waiting for a batch, `deadlines.arrived(batch, now)` after it, and
    `deadlines.error(kind)` if `when` passed first. Cost: two comparisons per batch, plus a look at each of its items
    until one is content, if `progress` is set.

    Args: timeouts: how long. now: the time at which the stream is opened.
    """

    def __init__(self, timeouts: Timeouts, now: float) -> None:
        self._timeouts = timeouts
        self._total = now + (timeouts.total or math.inf)
        self._silence = now + (timeouts.first or math.inf)
        self._silence_kind: TimeoutKind = "first"
        self._progress = now + (timeouts.progress or math.inf)

    def arrived(self, items: Iterable[Any], now: float) -> None:
        """Note a batch, possibly without any item: bytes came, but no event (a ping, half an event)."""
        self._silence = now + (self._timeouts.idle or math.inf)
        self._silence_kind = "idle"
        if self._timeouts.progress is not None and any(map(is_content, items)):
            self._progress = now + self._timeouts.progress

    def paused(self, seconds: float) -> None:
        """Note that nobody asked for an item for so long: only the total clock runs while the consumer works."""
        self._silence += seconds
        self._progress += seconds

    def next(self) -> tuple[float, TimeoutKind]:
        """Return when the next clock runs out (`inf`: never) and which it is. Of equals the widest: total first."""
        when, kind = self._total, "total"
        if self._progress < when:
            when, kind = self._progress, "progress"
        if self._silence < when:
            when, kind = self._silence, self._silence_kind
        return when, kind  # type: ignore[return-value]

    def error(self, kind: TimeoutKind) -> StreamTimeout:
        """Make the exception for that clock."""
        seconds = getattr(self._timeouts, kind)
        return StreamTimeout(f"{SAID[kind].format(seconds)} (timeout {kind!r})", kind=kind)


def is_content(item: Any) -> bool:
    """Whether an item says that the answer is getting on.

    `Start` and `Raw` (pings and everything else that no decoder knows) do not; every other item does.
    """
    return not isinstance(item, (Raw, Start))
