"""What becomes of an item for which a bounded buffer has no room: the policies, and the count of what is lost.

Lossless are "wait" (the default) and "conflate"; the others lose items, and count each one. Whatever the policy,
`ToolCall`, `Error` and `Finish` are never lost: others go in their place, or they wait. What "full" is: `_bounded.py`.
Source: STREAMS.md section 5 and S22.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from millstream.events import EventType, TextDelta

__all__ = ["CallerRuns", "Conflate", "DropAfter", "Losses", "Overflow", "Protect", "join_text"]

MAX_JOINED_CHARS = 64 * 1024  # S13: a consumer that never reads must not make one delta grow without end

log = logging.getLogger("millstream")


def join_text(older: Any, newer: Any) -> Any | None:
    """Join two text deltas, `older` and then `newer`; None if they are not of one block, choice and stream.

    Nor is more than 64 Ki characters made: a consumer that never reads must not make one delta grow without end.
    """
    if type(older) is not TextDelta or type(newer) is not TextDelta or older._meta or newer._meta:
        return None
    if (older.index, older.choice, older.stream_id) != (newer.index, newer.choice, newer.stream_id):
        return None
    if len(older.text) + len(newer.text) > MAX_JOINED_CHARS:
        return None
    return TextDelta(older.text + newer.text, index=older.index, choice=older.choice, stream_id=older.stream_id)


@dataclass(frozen=True, slots=True)
class DropAfter:
    """Wait for room so many seconds, then drop the item. "drop_after" means 5 seconds. Raises: ValueError."""

    seconds: float = 5.0

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise ValueError(f"DropAfter needs positive seconds, got {self.seconds!r}")


@dataclass(frozen=True, slots=True)
class Conflate:
    """Merge neighbours while they wait. "conflate" means `Conflate(join_text)`: text is joined, nothing is lost.

    Args: merge: `merge(older, newer)` gives one item for both, or None if they cannot be merged; those wait for room.
    """

    merge: Callable[[Any, Any], Any | None] = join_text


@dataclass(frozen=True, slots=True)
class CallerRuns:
    """Call `fn(item)`, sync or async, at once, in the place where the item came from; it does not enter the buffer."""

    fn: Callable[[Any], Any]


Overflow = (
    Literal["wait", "drop_oldest", "drop_newest", "drop_all", "error", "conflate", "drop_after"]
    | DropAfter
    | Conflate
    | CallerRuns
)


Protect = Callable[[Any], bool] | type | tuple[type, ...] | EventType
"""What is never to be dropped: a function of the item, or a kind, as for `filter`."""


class Losses:
    """How many items were dropped at one place, in all and by `stream_id`, and who wants to know at once.

    Args: where: for the log. on_drop: called with each item that is dropped.
    """

    def __init__(self, where: str, on_drop: Callable[[Any], object] | None = None) -> None:
        self.total = 0
        self.by_stream: Counter[int | str | None] = Counter()
        self._where = where
        self._on_drop = on_drop

    def count(self, item: Any) -> None:
        """Count one dropped item."""
        self.total += 1
        self.by_stream[getattr(item, "stream_id", None)] += 1
        log.debug("%s dropped a %s, its number %d", self._where, type(item).__name__, self.total)
        if self._on_drop is not None:
            self._on_drop(item)
