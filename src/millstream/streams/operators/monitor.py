"""`monitor`: let a `StreamMonitor` see what passes.

Items are unchanged, in order, and nothing is buffered. Without `every` no task is needed. With it, a background task
reports the health also when nothing comes; if `on_health` raises, that ends the stream. Monitoring ends with the
stream, however that ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from anyio import CancelScope

from millstream.streams._clock import ANYIO_CLOCK, Clock
from millstream.streams._pull import Puller
from millstream.streams._tasks import Job, Tasks
from millstream.streams.monitor import StreamHealth, StreamMonitor
from millstream.streams.operators._base import Operator

__all__ = ["Monitor"]

T = TypeVar("T")


class Monitor(Operator[T]):
    """Observe each batch.

    Args:
        monitor: sees the items.
        every: seconds between two health reports, None for none.
        on_health: as for `StreamMonitor.watch`.

    Raises: ValueError: every is not positive.
    """

    def __init__(
        self,
        source: Puller[T],
        monitor: StreamMonitor,
        *,
        every: float | None = None,
        on_health: Callable[[StreamHealth], Any] | None = None,
        clock: Clock = ANYIO_CLOCK,
    ) -> None:
        super().__init__(source)
        if every is not None and not every > 0:
            raise ValueError(f"every must be positive, not {every!r}")
        if every is not None:
            self.needs_tasks = "monitor(every=...)"
        self._monitor = monitor
        self._every = every
        self._on_health = on_health
        self._clock = clock
        self._job: Job | None = None
        self._error: Exception | None = None
        self._scope: CancelScope | None = None
        source.watch(monitor.heard)

    async def open(self, tasks: Tasks) -> None:
        """Start the clock and the reports, and open the source."""
        self._monitor.start()
        if self._every is not None:
            self._job = tasks.start("monitor", self._report, self._failed)
        await self._source.open(tasks)

    async def pull(self) -> list[T]:
        """Return the source's batch."""
        batch = await (self._source.pull() if self._job is None else self._interruptible())
        if batch:
            self._monitor.observe(batch)
        else:
            self._monitor.finish()
        return batch

    async def aclose(self) -> None:
        """End the reports and close the source."""
        self._monitor.finish()
        try:
            if self._job is not None:
                await self._job.stop()
        finally:
            await self._source.aclose()

    async def _report(self) -> None:
        await self._monitor.watch(self._every or 5.0, self._on_health, clock=self._clock)

    def _failed(self, error: Exception) -> None:
        self._error = error
        if self._scope is not None:
            self._scope.cancel()  # the stream ends here, so that a pull is lost does not matter (S4)

    async def _interruptible(self) -> list[T]:
        batch: list[T] = []
        if self._error is None:
            with CancelScope() as self._scope:
                batch = await self._source.pull()
            self._scope = None
        if self._error is not None:
            raise self._error
        return batch
