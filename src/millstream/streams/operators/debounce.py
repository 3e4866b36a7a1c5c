"""`debounce`: hold an item until nothing has followed it for a while; of a quick succession only the last comes out.

The held item and the next one are merged by `merge(older, newer)`. By default text deltas are joined and other events
are never merged, so of typed events nothing is lost; any other item is replaced by the newer one and counted in
`dropped`. What cannot be merged goes out at once, in order, and so does what is held at the end or before an error.
With `max_wait`, nothing is held longer than that, however fast items follow. One task; one batch of read-ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from millstream.events._base import EventBase
from millstream.streams._clock import ANYIO_CLOCK, Clock
from millstream.streams._pull import Puller, breathe
from millstream.streams._tasks import Tasks
from millstream.streams.operators._ahead import Ahead
from millstream.streams.operators._base import Operator, plain
from millstream.streams.overflow import Losses, join_text

__all__ = ["Debounce", "latest"]

T = TypeVar("T")

NOTHING: Any = object()


def latest(older: Any, newer: Any) -> Any | None:
    """Return what stands for both: joined text, None for other events, else the newer one."""
    if isinstance(older, EventBase) or isinstance(newer, EventBase):
        return join_text(older, newer)
    return newer


class Debounce(Operator[T]):
    """Hold an item for `seconds`. Raises: ValueError: times that are not positive, max_wait below seconds."""

    def __init__(
        self,
        source: Puller[T],
        seconds: float,
        *,
        max_wait: float | None = None,
        merge: Callable[[T, T], T | None] = latest,
        on_drop: Callable[[T], object] | None = None,
        clock: Clock = ANYIO_CLOCK,
    ) -> None:
        super().__init__(source)
        if not seconds > 0:
            raise ValueError(f"debounce needs positive seconds, got {seconds!r}")
        if max_wait is not None and not max_wait >= seconds:
            raise ValueError(f"max_wait must be at least the {seconds!r} seconds of silence, got {max_wait!r}")
        self.needs_tasks = "debounce"
        own = Losses("debounce", plain("on_drop", on_drop))
        self.losses = (*source.losses, own)
        self._own = own
        self._ahead = Ahead(source, "debounce")
        self._seconds = seconds
        self._max_wait = float("inf") if max_wait is None else max_wait
        self._merge = plain("merge", merge)
        self._clock = clock
        self._held: T = NOTHING
        self._due = self._latest = 0.0
        self._ended = False
        self._error: Exception | None = None

    async def open(self, tasks: Tasks) -> None:
        """Open the source."""
        await self._ahead.open(tasks)

    async def aclose(self) -> None:
        """Stop the task and close the source."""
        await self._ahead.aclose()

    async def pull(self) -> list[T]:
        """Return what has been quiet for long enough, or had to give way."""
        fruitless = 0
        while not self._ended:
            out: list[T] = []
            if await self._is_quiet():
                self._flush(out)
                return out
            try:
                batch = self._ahead.take()
            except Exception as error:
                self._error, batch = error, []
            self._ended = not batch
            for item in batch:
                self._add(item, out)
            if self._ended:
                self._flush(out)
            if out:
                return out
            fruitless = await breathe(fruitless)
        if self._error is not None:
            raise self._error
        return []

    async def _is_quiet(self) -> bool:
        """Wait for the next batch. Returns True if the time of the held item came before."""
        self._ahead.ask()
        if self._held is NOTHING:
            await self._ahead.wait()
            return False
        if self._clock.now() >= self._due:  # items follow so fast that no scope would notice
            return True
        with self._clock.move_on_at(self._due) as scope:
            await self._ahead.wait()
        return scope.cancelled_caught

    def _add(self, item: T, out: list[T]) -> None:
        now = self._clock.now()
        both = None if self._held is NOTHING else self._merge(self._held, item)
        if both is None:
            self._flush(out)
            self._held, self._latest = item, now + self._max_wait
        else:
            if both is item:
                self._own.count(self._held)
            self._held = both
        self._due = min(now + self._seconds, self._latest)

    def _flush(self, out: list[T]) -> None:
        if self._held is not NOTHING:
            out.append(self._held)
            self._held = NOTHING
