"""`keep_alive`: give a sign of life whenever the source has been silent for a while.

The sign is a `Data` event named KEEP_ALIVE, or what `make()` returns. It means nothing: filter it out, or turn it into
a comment on the wire. The clock restarts with every item and runs only while the consumer waits. Order is kept; one
task, one batch of read-ahead at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from millstream.events import Data
from millstream.streams._clock import ANYIO_CLOCK, Clock
from millstream.streams._pull import Puller
from millstream.streams._tasks import Tasks
from millstream.streams.operators._ahead import Ahead
from millstream.streams.operators._base import Operator, plain

__all__ = ["KEEP_ALIVE", "KeepAlive"]

KEEP_ALIVE = "millstream.keep_alive"
"""The `name` of the `Data` event that says: the stream lives, there is only nothing to tell."""


def beat() -> Data[None]:
    """Return the sign."""
    return Data(payload=None, name=KEEP_ALIVE)


class KeepAlive(Operator[Any]):
    """Fill silence of `every` seconds. Raises: ValueError: every is not positive."""

    def __init__(
        self,
        source: Puller[Any],
        every: float = 15.0,
        make: Callable[[], Any] = beat,
        *,
        clock: Clock = ANYIO_CLOCK,
    ) -> None:
        super().__init__(source)
        if not every > 0:
            raise ValueError(f"every must be positive seconds, got {every!r}")
        self.needs_tasks = "keep_alive"
        self._ahead = Ahead(source, "keep_alive")
        self._every = every
        self._make = plain("make", make)
        self._clock = clock

    async def open(self, tasks: Tasks) -> None:
        """Open the source."""
        await self._ahead.open(tasks)

    async def pull(self) -> list[Any]:
        """Return the next batch, or a sign if it takes too long."""
        self._ahead.ask()
        with self._clock.move_on_at(self._clock.now() + self._every) as scope:
            await self._ahead.wait()
        return [self._make()] if scope.cancelled_caught else self._ahead.take()

    async def aclose(self) -> None:
        """Stop the task and close the source."""
        await self._ahead.aclose()
