"""A source pulled by a task, one batch ahead, so that waiting for it can be given up without harm to it (S4)."""

from __future__ import annotations

from functools import partial
from typing import Generic, TypeVar

from anyio import Event

from millstream.streams._pull import Puller, release
from millstream.streams._tasks import Job, Tasks

__all__ = ["Ahead"]

T = TypeVar("T")


class Ahead(Generic[T]):
    """Use: `ask()`, then `await wait()` as often as it takes, then `take()`. Nothing is pulled that was not asked for.

    Args: source: it is opened and closed here. name: of the operator, for debuggers.
    """

    def __init__(self, source: Puller[T], name: str) -> None:
        self._source = source
        self._name = name
        self._job: Job | None = None
        self._asked = Event()
        self._ready = Event()
        self._pending = False
        self._batch: list[T] = []
        self._error: Exception | None = None

    async def open(self, tasks: Tasks) -> None:
        """Open the source; the task starts at the first `ask`."""
        self._tasks = tasks
        await self._source.open(tasks)

    def ask(self) -> None:
        """Have the next batch pulled; without effect while one is on its way."""
        if self._pending:
            return
        self._pending = True
        self._ready = Event()
        self._asked.set()
        if self._job is None:
            self._job = self._tasks.start(self._name, self._pump, self._failed, partial(release, self._source))

    async def wait(self) -> None:
        """Wait until the batch, the end or an error is there. May be cancelled and repeated."""
        await self._ready.wait()

    def take(self) -> list[T]:
        """Return the batch; [] is the end. Raises what the source raised."""
        self._pending = False
        if self._error is not None:
            raise self._error
        return self._batch

    async def aclose(self) -> None:
        """Stop the task, then close the source."""
        if self._job is not None:
            await self._job.stop()
        else:
            await self._source.aclose()

    async def _pump(self) -> None:
        while True:
            await self._asked.wait()
            self._asked = Event()
            self._batch = await self._source.pull()
            self._ready.set()
            if not self._batch:
                return

    def _failed(self, error: Exception) -> None:
        self._error = error
        self._ready.set()
