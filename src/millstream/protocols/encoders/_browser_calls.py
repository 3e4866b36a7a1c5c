"""Ids of calls as a browser has them: it tells calls by nothing else, and stops at a result that it cannot place."""

from __future__ import annotations

__all__ = ["ShownCalls"]


class ShownCalls:
    """The calls of one message that the client was shown."""

    def __init__(self) -> None:
        self._unanswered: list[tuple[str, str, str]] = []  # id, name, id here
        self._shown: set[str] = set()  # all ids here

    def add(self, id: str, name: str) -> str:
        """Show a call; return its id here, which no other call of the message has."""
        here, n = id, 1
        while here in self._shown:
            n += 1
            here = f"{id}_{n}"
        self._shown.add(here)
        self._unanswered.append((id, name, here))
        return here

    def answer(self, id: str, name: str) -> str | None:
        """Return the id here of the call that a result belongs to; without an id the name tells. None: not shown."""
        asked = (entry for entry in self._unanswered if id == entry[0] or (not id and name == entry[1]))
        entry = next(asked, None)
        if entry is not None:
            self._unanswered.remove(entry)
            return entry[2]
        return id if id in self._shown else None
