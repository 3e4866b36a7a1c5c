"""What operators without tasks share: they open, close and fail as their source does."""

from __future__ import annotations

from typing import Any, TypeVar

from millstream.streams._pull import Puller

__all__ = ["Operator"]

U = TypeVar("U")


class Operator(Puller[U]):
    """An operator that owns its source."""

    def __init__(self, source: Puller[Any]) -> None:
        self._source = source

    async def open(self) -> None:
        """Open the source."""
        await self._source.open()

    async def aclose(self) -> None:
        """Close the source."""
        await self._source.aclose()
