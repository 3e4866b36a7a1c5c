"""What all operators share: they open, close and fail as their source does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from millstream.streams._pull import Puller
from millstream.streams._tasks import Tasks

__all__ = ["Operator"]

U = TypeVar("U")


class Operator(Puller[U]):
    """An operator that owns its source. One that needs tasks sets `needs_tasks` to its name, after this `__init__`."""

    def __init__(self, source: Puller[Any]) -> None:
        self._source = source
        self.needs_tasks = source.needs_tasks
        self.losses = source.losses

    async def open(self, tasks: Tasks) -> None:
        """Open the source."""
        await self._source.open(tasks)

    async def aclose(self) -> None:
        """Close the source."""
        await self._source.aclose()

    def watch(self, watcher: Callable[[int], None]) -> None:
        """Watch the source's transport."""
        self._source.watch(watcher)
