"""Ids that no other thing of the same answer has."""

from __future__ import annotations

__all__ = ["UnusedIds"]


class UnusedIds:
    """Gives out ids. `in` tells which are out."""

    def __init__(self) -> None:
        self._out: set[str] = set()
        self._numbers: dict[str, int] = {}

    def __contains__(self, id: str) -> bool:
        return id in self._out

    def unused(self, id: str) -> str:
        """Return this id, with a number behind it if it was given out before. Cost: O(1), however often it was."""
        n, unused = self._numbers.get(id, 1), id
        while unused in self._out:
            n += 1
            unused = f"{id}_{n}"
        self._numbers[id] = n
        self._out.add(unused)
        return unused
