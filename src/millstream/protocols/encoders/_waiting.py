"""Events that wait until a wire of one block at a time has room for them.

They are kept in the order in which they came, and those of a tool call can also be had by its index. Each is put in
once and taken out once, whatever the order: with thousands of calls that interleave, to look through all that wait for
each call took minutes. Cost: O(1) for each event.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from millstream.events import Event, ToolCall, ToolCallDelta

__all__ = ["Entry", "Waiting"]


@dataclass(slots=True, eq=False)
class Entry:
    """One event that waits. `of`: the index of the call that it belongs to, None for all others."""

    event: Event
    of: int | None
    taken: bool = False


class Waiting:
    """A queue that is also one queue for each call."""

    def __init__(self) -> None:
        self._all: deque[Entry] = deque()
        self._by_call: dict[int | None, deque[Entry]] = {}

    def add(self, event: Event) -> None:
        """Let an event wait."""
        entry = Entry(event, event.index if isinstance(event, ToolCall | ToolCallDelta) else None)
        self._all.append(entry)
        self._by_call.setdefault(entry.of, deque()).append(entry)

    def first(self) -> Entry | None:
        """Return the one that has waited longest."""
        while self._all and self._all[0].taken:
            self._all.popleft()
        return self._all[0] if self._all else None

    def first_of(self, call: int) -> Entry | None:
        """Return the one of this call that has waited longest."""
        mine = self._by_call.get(call)
        return mine[0] if mine else None

    def take(self, entry: Entry) -> None:
        """Take out what `first` or `first_of` has returned."""
        entry.taken = True
        mine = self._by_call[entry.of]
        mine.popleft()
        if not mine:
            del self._by_call[entry.of]
