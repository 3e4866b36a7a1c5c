"""`retry`: try again when a stream fails before it has given anything.

Once an item was delivered there is no retry, because it would repeat what the consumer has seen (S14), unless the
stream can resume, or says that it starts over. `Start` alone proves nothing: it is held back until the next item, so
that a provider that accepts the request and then fails is tried again; if the error is final, it comes in its place
with its events. The failed attempt is closed before the wait. Order is kept, nothing else is buffered.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar

from millstream.events import Data, Error, Start
from millstream.streams._clock import ANYIO_CLOCK, Clock
from millstream.streams._pull import Puller, release
from millstream.streams._tasks import Tasks
from millstream.streams.operators._base import Operator
from millstream.streams.retry import RetryPolicy

__all__ = ["RESTART", "Opener", "Replay", "Retry"]

T = TypeVar("T")

Replay = Literal["never", "restart"]
Opener = Callable[[Any], Awaitable[Puller[Any]]]

RESTART = "millstream.restart"
"""The `name` of the `Data` event that says: forget all events before this one, the answer starts over."""

log = logging.getLogger("millstream.retry")


class Retry(Operator[Any]):
    """Follow `source`, and after a failure what `again` opens.

    Args:
        again: makes the next attempt; its argument is ignored here.
        policy: how often and how long between.
        replay: "restart": retry also after items were delivered; a `Data` event named RESTART goes before.
        resume: makes an attempt that goes on after the last delivered item, which it is given. Its `Start` is left out.
        clock: what the waits go by.
        tasks: whether a later attempt may need background tasks.
    """

    def __init__(
        self,
        source: Puller[Any],
        again: Opener,
        *,
        policy: RetryPolicy | None = None,
        replay: Replay = "never",
        resume: Opener | None = None,
        clock: Clock = ANYIO_CLOCK,
        tasks: bool = True,
    ) -> None:
        super().__init__(source)
        if tasks:
            self.may_need_tasks = "retry"
        if replay not in ("never", "restart"):
            raise ValueError(f'replay must be "never" or "restart", got {replay!r}')
        if replay == "restart" and resume is not None:
            raise ValueError("a stream that resumes does not restart: give either resume or replay")
        self._again = again
        self._resume = resume
        self._policy = policy or RetryPolicy()
        self._retries = self._policy.start()
        self._replay = replay
        self._clock = clock
        self._opened = False
        self._held: list[Any] = []
        self._delivered = self._started = self._proved = self._ended = False
        self._last: Any = None
        self._final: Exception | None = None
        self._watchers: list[Callable[[int], None]] = []
        self._joins = False

    def watch(self, watcher: Callable[[int], None]) -> None:
        """Watch the transports of all attempts."""
        self._watchers.append(watcher)
        super().watch(watcher)

    def join_texts(self) -> None:
        """As the source, and so in later attempts; not if `resume` is to see the last item."""
        self._joins = self._resume is None
        if self._joins:
            self._source.join_texts()

    async def open(self, tasks: Tasks) -> None:
        """Open the source, after as many attempts as it takes."""
        self._tasks = tasks
        while not self._opened:
            try:
                await self._open()
            except Exception as error:
                await self._next_attempt(error)

    async def pull(self) -> list[Any]:
        """Return the next batch, of whichever attempt."""
        while self._final is None and not self._ended:
            try:
                if not self._opened:
                    await self._open()
                batch = await self._source.pull()
            except Exception as error:
                if self._delivered and self._replay == "never" and self._resume is None:
                    raise
                if out := await self._after(error):
                    return out
                continue
            self._ended = not batch
            self._held += batch
            if (self._proved or self._ended or _proves(self._held)) and (out := self._deliver()):
                return out
        if self._final is not None:
            raise self._final
        return []

    async def _after(self, error: Exception) -> list[Any]:
        """Prepare the next attempt, or the end; return what goes out before it."""
        restarts = self._delivered and self._replay == "restart"
        try:
            await self._next_attempt(error)
        except Exception as final:
            self._final = final
            return self._deliver()
        self._held = []
        if not restarts:
            return []
        self._delivered = self._started = False
        return [Data(payload={"attempt": self._retries.attempt}, name=RESTART)]

    def _deliver(self) -> list[Any]:
        items, self._held = self._held, []
        if self._resume is not None and self._started:
            items = [item for item in items if not isinstance(item, Start)]
        if not items:
            return []
        self._started = self._started or isinstance(items[0], Start)
        self._delivered, self._last = True, items[-1]
        if not self._proved and self._final is None:
            self._proved = True
            self._retries.succeeded()
            if self._resume is not None:  # it got on: the attempts count from here
                self._retries = self._policy.start()
        return items

    async def _open(self) -> None:
        await self._source.open(self._tasks)
        if self._joins:
            self._source.join_texts()
        self._opened = True

    async def _next_attempt(self, error: Exception) -> None:
        """Close the attempt that failed, wait, and make the next one; making it may fail and be tried again, too."""
        delay = self._retries.failed(error)
        self._opened = self._proved = False
        try:
            await release(self._source)
        except Exception as closing:
            log.warning("closing a failed attempt failed too", exc_info=closing)
        make = self._resume if self._delivered and self._resume is not None else self._again
        while True:
            await self._clock.sleep(delay)
            try:
                self._source = await make(self._last)
                break
            except Exception as again:
                delay = self._retries.failed(again)
        for watcher in self._watchers:
            self._source.watch(watcher)


def _proves(batch: list[Any]) -> bool:
    """Whether a first batch shows more than that the request was accepted, or failed."""
    for item in batch:
        if isinstance(item, Error) and item.fatal:
            return False
        if not isinstance(item, Start):
            return True
    return False
