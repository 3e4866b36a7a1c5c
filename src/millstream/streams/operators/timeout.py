"""`timeout`: no waiting for ever. Four clocks, see `Timeouts`.

A clock that runs out cancels what the source is doing, closes it, and raises StreamTimeout. Only `total` runs while the
consumer works on an item. Bytes that make no event, such as pings, count for `first` and `idle`, not for `progress`.
Order is kept, nothing is buffered. Cost: one cancel scope per batch.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from millstream.streams._clock import ANYIO_CLOCK, Clock, Scope
from millstream.streams._pull import Puller
from millstream.streams._tasks import Tasks
from millstream.streams.operators._base import Operator
from millstream.streams.timeouts import Deadlines, Timeouts

__all__ = ["Timeout"]

T = TypeVar("T")
R = TypeVar("R")


class Timeout(Operator[T]):
    """Raise StreamTimeout with the clock's name in `kind` when one of `timeouts` runs out."""

    def __init__(self, source: Puller[T], timeouts: Timeouts, *, clock: Clock = ANYIO_CLOCK) -> None:
        super().__init__(source)
        self._timeouts = timeouts
        self._clock = clock
        self._scope: Scope | None = None
        self._left_at: float | None = None
        source.watch(self._alive)

    async def open(self, tasks: Tasks) -> None:
        """Start the clocks and open the source."""
        self._deadlines = Deadlines(self._timeouts, self._clock.now())
        await self._limited(lambda: self._source.open(tasks))

    async def pull(self) -> list[T]:
        """Return the next batch, in time."""
        if self._left_at is not None:
            self._deadlines.paused(self._clock.now() - self._left_at)
        batch: list[T] = await self._limited(self._source.pull)
        self._left_at = self._clock.now()
        if batch:
            self._deadlines.arrived(batch, self._left_at)
        return batch

    async def _limited(self, work: Callable[[], Awaitable[R]]) -> R:
        when, kind = self._deadlines.next()
        if when <= self._clock.now():  # a source that never waits would not notice its scope
            raise self._deadlines.error(kind)
        # Cancelling the source in the middle is right here: the stream ends with it (S4).
        with self._clock.move_on_at(when) as self._scope:
            result = await work()
        caught, self._scope = self._scope.cancelled_caught, None
        if caught:
            raise self._deadlines.error(self._deadlines.next()[1])
        return result

    def _alive(self, n_bytes: int) -> None:
        if self._scope is not None:
            self._deadlines.arrived((), self._clock.now())
            self._scope.deadline = self._deadlines.next()[0]
