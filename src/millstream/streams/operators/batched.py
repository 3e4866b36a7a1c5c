"""`batched`: items in lists of `n`.

A list goes out when it is full, at once with an item that `flush_on` accepts, when its first item has waited `max_wait`
seconds, and at the end; before an error too, so nothing is lost. Lists are new ones and never changed later. Order is
kept; at most `n` items are held. Without `max_wait` there is no task and no clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from millstream.events import Finish
from millstream.streams._clock import ANYIO_CLOCK, Clock
from millstream.streams._pull import Puller, breathe
from millstream.streams._tasks import Tasks
from millstream.streams.operators._ahead import Ahead
from millstream.streams.operators._base import Operator, plain

__all__ = ["Batched", "TimedBatched", "is_terminal"]

T = TypeVar("T")


def is_terminal(item: Any) -> bool:
    """Whether an item is the last event of a stream: `Finish`."""
    return isinstance(item, Finish)


class Batched(Operator[list[T]]):
    """Lists of `n` items; fewer where one is flushed. Raises: ValueError: n below 1."""

    def __init__(self, source: Puller[T], n: int, *, flush_on: Callable[[T], bool] | None = is_terminal) -> None:
        super().__init__(source)
        if n < 1:
            raise ValueError(f"a batch has at least 1 item, got {n}")
        self._n = n
        self._flush_on = plain("flush_on", flush_on)
        self._held: list[T] = []
        self._error: Exception | None = None
        self._ended = False

    async def pull(self) -> list[list[T]]:
        """Return the lists that the next batches of the source fill."""
        fruitless = 0
        while not self._ended:
            out: list[list[T]] = []
            try:
                batch = await self._next()
            except Exception as error:
                self._error, batch = error, []
            if batch is None:  # time is up
                return [self._flush()]
            self._ended = not batch
            self._add(batch, out)
            if self._ended and self._held:
                out.append(self._flush())
            if out:
                return out
            fruitless = await breathe(fruitless)
        if self._error is not None:
            raise self._error
        return []

    async def _next(self) -> list[T] | None:
        return await self._source.pull()

    def _add(self, batch: list[T], out: list[list[T]]) -> None:
        for item in batch:
            self._held.append(item)
            if len(self._held) == self._n or (self._flush_on is not None and self._flush_on(item)):
                out.append(self._flush())

    def _flush(self) -> list[T]:
        held, self._held = self._held, []
        return held


class TimedBatched(Batched[T]):
    """As `Batched`, and no item waits longer than `max_wait` seconds. Raises: ValueError: max_wait not positive."""

    def __init__(
        self,
        source: Puller[T],
        n: int,
        max_wait: float,
        *,
        flush_on: Callable[[T], bool] | None = is_terminal,
        clock: Clock = ANYIO_CLOCK,
    ) -> None:
        super().__init__(source, n, flush_on=flush_on)
        if not max_wait > 0:
            raise ValueError(f"max_wait must be positive seconds, got {max_wait!r}")
        self.needs_tasks = "batched(max_wait=...)"
        self._ahead = Ahead(source, "batched")
        self._max_wait = max_wait
        self._clock = clock
        self._due = 0.0

    async def open(self, tasks: Tasks) -> None:
        """Open the source."""
        await self._ahead.open(tasks)

    async def aclose(self) -> None:
        """Stop the task and close the source."""
        await self._ahead.aclose()

    async def _next(self) -> list[T] | None:
        self._ahead.ask()
        if self._held:
            with self._clock.move_on_at(self._due) as scope:
                await self._ahead.wait()
            if scope.cancelled_caught:
                return None
        else:
            await self._ahead.wait()
        return self._ahead.take()

    def _add(self, batch: list[T], out: list[list[T]]) -> None:
        waited = bool(self._held)
        super()._add(batch, out)
        if self._held and (out or not waited):
            self._due = self._clock.now() + self._max_wait
