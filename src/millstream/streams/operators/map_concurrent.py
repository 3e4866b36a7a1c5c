"""`map_ordered` and `map_unordered`: an async function on up to `n` items at a time.

Results come in the order of the items, or as soon as each is there. At most `n` items are being worked on or wait as
results; then the source is not asked for more. An error of the function comes in the place of its result, after what
stands before it; an error of the source after all results. Then all work is cancelled and the source is closed. One
task pulls, and up to `n` work. Cost: some 10 us an item for the hand-over, so worth it only for functions that wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from millstream.streams._handoff import Signal
from millstream.streams._pull import Puller, release
from millstream.streams._tasks import Job, Tasks
from millstream.streams.operators._apply import isawaitable
from millstream.streams.operators._base import Operator
from millstream.streams.operators._group import stop_all

__all__ = ["MapConcurrent"]

T = TypeVar("T")
U = TypeVar("U")


class Slot:
    """An item, and later its result."""

    __slots__ = ("done", "error", "item")

    def __init__(self, item: Any) -> None:
        self.item: Any = item
        self.error: Exception | None = None
        self.done = False


class MapConcurrent(Operator[U]):
    """Apply `fn` to `n` items at a time. Raises: ValueError: n below 1."""

    def __init__(
        self, source: Puller[T], fn: Callable[[T], U] | Callable[[T], Awaitable[U]], n: int, *, ordered: bool
    ) -> None:
        super().__init__(source)
        if n < 1:
            raise ValueError(f"at least 1 item must be worked on at a time, got {n}")
        self.needs_tasks = "map_ordered" if ordered else "map_unordered"
        self._fn: Callable[[Any], Any] = fn
        self._n = n
        self._ordered = ordered
        self._begun: deque[Slot] = deque()  # in the order of the items
        self._todo: deque[Slot] = deque()
        self._results: deque[Slot] = deque()  # as they were done; only if not ordered
        self._n_inside = 0
        self._n_idle = 0
        self._workers: list[Job] = []
        self._job: Job | None = None
        self._ended = False
        self._error: Exception | None = None
        self._has_room, self._has_work, self._has_result = Signal(), Signal(), Signal()

    async def open(self, tasks: Tasks) -> None:
        """Open the source and start to pull from it."""
        await self._source.open(tasks)
        self._tasks = tasks
        self._job = tasks.start(self.needs_tasks, self._feed, self._failed, partial(release, self._source))

    async def pull(self) -> list[U]:
        """Return the next result: one at a time, so that the source is asked for no more than was promised."""
        slots = self._begun if self._ordered else self._results
        while True:
            if slots and slots[0].done:
                slot = slots.popleft()
                if slot.error is not None:
                    raise slot.error
                self._n_inside -= 1
                self._has_room.set()
                return [slot.item]
            if self._ended and not self._n_inside:
                if self._error is not None:
                    raise self._error
                return []
            await self._has_result.wait()

    async def aclose(self) -> None:
        """Cancel all work, and close the source."""
        if self._job is None:
            await self._source.aclose()
        else:
            await stop_all([self._job, *self._workers])

    async def _feed(self) -> None:
        while batch := await self._source.pull():
            for item in batch:
                while self._n_inside >= self._n:
                    await self._has_room.wait()
                self._begin(Slot(item))
        self._failed(None)

    def _begin(self, slot: Slot) -> None:
        self._n_inside += 1
        self._todo.append(slot)
        if self._ordered:
            self._begun.append(slot)
        if self._n_idle < len(self._todo) and len(self._workers) < self._n:
            self._workers.append(self._tasks.start(self.needs_tasks, self._work, self._failed))
        self._has_work.set()

    async def _work(self) -> None:
        while True:
            while not self._todo:
                self._n_idle += 1
                try:
                    await self._has_work.wait()
                finally:
                    self._n_idle -= 1
            slot = self._todo.popleft()
            try:
                result = self._fn(slot.item)
                slot.item = await result if isawaitable(result) else result
            except Exception as error:
                slot.error = error
            slot.done = True
            if not self._ordered:
                self._results.append(slot)
            self._has_result.set()

    def _failed(self, error: Exception | None) -> None:
        self._ended = True
        self._error = error
        self._has_result.set()
