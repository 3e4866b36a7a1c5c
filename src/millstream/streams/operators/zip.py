"""`zip`: the first items of all streams together, then the second ones, ...

Order is kept. The streams are asked one after another, each only when an item of it is missing, so nothing is pulled
early. It ends with the shortest stream, before those that stand behind it are asked; what the others had given beyond
that is not given on. With `strict`, a stream that ends before another is an error. An error of any stream ends all of
it, and all are closed together. No task: a slow stream delays the others, as it must.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from millstream.errors import StreamError
from millstream.streams._pull import Puller
from millstream.streams._tasks import Tasks
from millstream.streams.operators._group import aclose_all

__all__ = ["Zip"]


class Zip(Puller[tuple[Any, ...]]):
    """Tuples with an item of each source. `strict`: the sources must be of one length, else StreamError."""

    def __init__(self, sources: Sequence[Puller[Any]], *, strict: bool = False) -> None:
        self._sources = list(sources)
        self._strict = strict
        self._held: list[deque[Any]] = [deque() for _ in sources]
        self.needs_tasks = next((source.needs_tasks for source in sources if source.needs_tasks), "")
        self.may_need_tasks = next((source.may_need_tasks for source in sources if source.may_need_tasks), "")
        self.losses = tuple(loss for source in sources for loss in source.losses)

    async def open(self, tasks: Tasks) -> None:
        """Open all sources."""
        for source in self._sources:
            await source.open(tasks)

    async def pull(self) -> list[tuple[Any, ...]]:
        """Return the tuples that are complete."""
        for i, (source, held) in enumerate(zip(self._sources, self._held, strict=True)):
            if not held:
                batch = await source.pull()
                if not batch:
                    await self._check_lengths(i)
                    return []
                held.extend(batch)
        n = min(map(len, self._held))
        return [tuple(held.popleft() for held in self._held) for _ in range(n)]

    async def _check_lengths(self, ended: int) -> None:
        """Under `strict`, stream number `ended` has ended: the others must have, too."""
        if not self._strict:
            return
        for i, (source, held) in enumerate(zip(self._sources, self._held, strict=True)):
            if i != ended and (held or (i > ended and await source.pull())):
                raise StreamError(f"zip: stream {ended} ended before stream {i}")

    async def aclose(self) -> None:
        """Close all sources."""
        await aclose_all(self._sources)

    def watch(self, watcher: Callable[[int], None]) -> None:
        """Watch the transports of all sources."""
        for source in self._sources:
            source.watch(watcher)
