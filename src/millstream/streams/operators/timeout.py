"""`timeout`: no waiting for ever. Four clocks, see `Timeouts`.

A clock that runs out cancels what the source is doing, closes it, and raises StreamTimeout. Only `total` runs while the
consumer works on an item. Bytes that make no event, such as pings, count for `first` and `idle`, not for `progress`.
Order is kept, nothing is buffered. Cost: 1 us per batch on asyncio, where one timer watches all waits of a stream; on
trio, and with another clock, one cancel scope per batch. If the loop was blocked when a clock ran out there, what has
come meanwhile is looked at first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from anyio.lowlevel import checkpoint_if_cancelled

from millstream.streams._clock import ANYIO_CLOCK, Clock, Scope
from millstream.streams._interrupt import CancelledError, Watchdog, absorb, task_finder
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
        self._now = clock.now
        self._scope: Scope | None = None
        self._watchdog: Watchdog | None = None
        self._left_at: float | None = None
        source.watch(self._alive)

    async def open(self, tasks: Tasks) -> None:
        """Start the clocks and open the source."""
        self._deadlines = Deadlines(self._timeouts, self._clock.now())
        if self._clock is ANYIO_CLOCK and task_finder() is not None:
            self._watchdog = Watchdog(self._due)
            self._now = self._watchdog.now
        await self._limited(lambda: self._source.open(tasks))

    async def pull(self) -> list[T]:
        """Return the next batch, in time."""
        deadlines = self._deadlines
        now = self._now()
        if self._left_at is not None:
            deadlines.paused(now - self._left_at)
        if self._watchdog is None:
            batch: list[T] = await self._limited(self._source.pull)
        elif now >= self._due():
            raise deadlines.error(deadlines.next()[1])
        else:
            batch = await self._watched(self._watchdog)
        self._left_at = now = self._now()
        if batch:
            deadlines.arrived(batch, now)
        return batch

    def join_texts(self) -> None:
        """As the source."""
        self._source.join_texts()

    async def aclose(self) -> None:
        """Stop the clocks and close the source."""
        if self._watchdog is not None:
            self._watchdog.stop()
        await super().aclose()

    def _due(self) -> float:
        return self._deadlines.next()[0]

    async def _watched(self, watchdog: Watchdog) -> list[T]:
        try:
            batch: list[T] = await watchdog.watch(self._source.pull())
        except BaseException as error:
            # Whoever else has asked the task to end comes first; and what the source made of it is its own business.
            if not watchdog.barked or not absorb(watchdog) or not isinstance(error, CancelledError):
                raise
            await checkpoint_if_cancelled()
        else:
            if not watchdog.barked:
                return batch
            absorb(watchdog)
        raise self._deadlines.error(self._deadlines.next()[1])

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
            self._deadlines.arrived((), self._now())
            self._scope.deadline = self._due()
        elif self._watchdog is not None:
            self._deadlines.arrived((), self._now())
