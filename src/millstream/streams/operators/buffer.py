"""`buffer`: let the source run ahead of the consumer, by at most `n` items.

A background task pulls from the moment when the stream is opened: at most `n` items beyond what the consumer has had,
and one batch in hand. Order is kept. Items that were buffered come before an error. With `overflow="wait"` the task
waits when the buffer is full; for the other policies see `streams/overflow.py`. Leaving the stream cancels the task and
closes the source. Cost: well below 1 us an item; under a policy that loses 3 to 5 us, since items then go one by one.
"""

from __future__ import annotations

from functools import partial
from typing import TypeVar

from millstream.streams._handoff import Handoff, Rules, forward
from millstream.streams._pull import Puller, release
from millstream.streams._tasks import Job, Tasks
from millstream.streams.operators._base import Operator

__all__ = ["Buffer"]

T = TypeVar("T")


class Buffer(Operator[T]):
    """Pull ahead in a task. Raises: ValueError: n below 1, or an unknown policy."""

    def __init__(self, source: Puller[T], n: int, rules: Rules) -> None:
        super().__init__(source)
        self.needs_tasks = "buffer"
        self.handoff: Handoff[T] = Handoff(n, rules, "buffer")
        self.losses = (*source.losses, self.handoff.losses)
        self._job: Job | None = None

    async def open(self, tasks: Tasks) -> None:
        """Open the source and start to pull from it."""
        await self._source.open(tasks)
        work = partial(forward, self._source, self.handoff)
        self._job = tasks.start("buffer", work, self.handoff.end, partial(release, self._source))

    async def pull(self) -> list[T]:
        """Return what is there, or wait for it."""
        return await self.handoff.take()

    async def aclose(self) -> None:
        """Stop the task, which closes the source."""
        self.handoff.close()
        await (self._job.stop() if self._job is not None else self._source.aclose())
