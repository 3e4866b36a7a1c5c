"""`concat`: one stream after the other.

Each source is opened when the one before has ended and is closed; of those that follow nothing is pulled early. An
error ends the whole stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from millstream.streams._pull import Puller, release
from millstream.streams._tasks import Tasks
from millstream.streams.operators._group import aclose_all

__all__ = ["Concat"]

T = TypeVar("T")


class Concat(Puller[T]):
    """The items of all sources, in order."""

    def __init__(self, sources: Sequence[Puller[T]]) -> None:
        self._sources = list(sources)
        self.needs_tasks = next((source.needs_tasks for source in sources if source.needs_tasks), "")
        self.may_need_tasks = next((source.may_need_tasks for source in sources if source.may_need_tasks), "")
        self.losses = tuple(loss for source in sources for loss in source.losses)

    async def open(self, tasks: Tasks) -> None:
        """Open the first source."""
        self._tasks = tasks
        await self._sources[0].open(tasks)

    async def pull(self) -> list[T]:
        """Return the next batch of the first source that has one."""
        while self._sources:
            if batch := await self._sources[0].pull():
                return batch
            await release(self._sources.pop(0))
            if self._sources:
                await self._sources[0].open(self._tasks)
        return []

    async def aclose(self) -> None:
        """Close all sources, also those never opened; the first error is raised when all are closed."""
        await aclose_all(self._sources)

    def watch(self, watcher: Callable[[int], None]) -> None:
        """Watch the transports of all sources."""
        for source in self._sources:
            source.watch(watcher)
