"""Ids of calls as a browser has them: it tells calls by nothing else, and stops at a result that it cannot place."""

from __future__ import annotations

from collections import deque

from millstream.protocols.encoders._unused import UnusedIds

__all__ = ["ShownCalls"]


class ShownCalls:
    """The calls of one message that the client was shown. Cost: O(1) for a call and its result, in any order."""

    def __init__(self) -> None:
        self._ids = UnusedIds()
        self._unanswered: set[str] = set()  # ids here
        # In the order in which they were shown, also some that have a result by now.
        self._by_id: dict[str, deque[str]] = {}
        self._by_name: dict[str, deque[str]] = {}

    def add(self, id: str, name: str) -> str:
        """Show a call; return its id here, which no other call of the message has."""
        here = self._ids.unused(id)
        self._unanswered.add(here)
        self._by_id.setdefault(id, deque()).append(here)
        self._by_name.setdefault(name, deque()).append(here)
        return here

    def answer(self, id: str, name: str) -> str | None:
        """Return the id here of the call that a result belongs to; without an id the name tells. None: not shown."""
        calls = self._by_id.get(id) if id else self._by_name.get(name)
        while calls:
            here = calls.popleft()
            if here in self._unanswered:
                self._unanswered.remove(here)
                return here
        return id if id in self._ids else None
