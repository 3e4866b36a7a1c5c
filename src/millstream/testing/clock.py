"""A clock that a test moves: it has what `millstream.streams` asks of a `Clock`.

No timer of the event loop is involved, so what wakes whom, and in which order, does not depend on the machine. Cost: a
move settles all tasks at each timer on its way, some 0.2 ms.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Self

import anyio
from anyio import CancelScope, Event
from anyio.lowlevel import checkpoint

__all__ = ["FakeClock"]

SETTLE_CHECKPOINTS = 32  # rounds of the event loop in which tasks may wake each other, before they are looked at


class FakeClock:
    """A `Clock` that stands still until it is moved. Sleepers wake in the order of their times.

    Pass it as `clock=` to whatever waits, and `clock.now` as `now=` to whatever only reads the time. It belongs to one
    event loop. Work in worker threads and real sockets is not waited for.

    Args: start: the time to begin with, in seconds.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._timers: list[_Timer] = []
        self._order = count()
        self._added = Event()

    def now(self) -> float:
        """Return the time."""
        return self._now

    @property
    def sleepers(self) -> int:
        """How many timers run: sleeps and deadlines. 0 in an idle program that keeps to its rules."""
        return sum(timer.wake is not None for timer in self._timers)

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved so far."""
        await self.sleep_until(self._now + seconds)

    async def sleep_until(self, when: float) -> None:
        """Wait until the clock has been moved to `when`, a time as `now` gives it; not at all if it is there."""
        if when <= self._now:
            await checkpoint()
            return
        awake = Event()
        timer = self._at(when, awake.set)
        try:
            await awake.wait()
        finally:
            timer.wake = None

    def move_on_at(self, when: float) -> _Scope:
        """Return a scope that is cancelled when the clock gets there."""
        return _Scope(self, when)

    async def advance(self, seconds: float) -> None:
        """Move the clock, stopping at each timer on the way, and let all tasks run until they wait again.

        Raises: ValueError: a negative number; time does not go back.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds!r}")
        target = self._now + seconds
        await self.settle()
        while self._fire(target):
            await self.settle()
        self._now = target

    async def settle(self) -> None:
        """Let all other tasks run until each of them waits for something."""
        for _ in range(SETTLE_CHECKPOINTS):
            await checkpoint()
        # On asyncio this sleeps 0.1 s of real time if a task is not waiting yet; after the rounds above, hardly ever.
        await anyio.wait_all_tasks_blocked()

    @asynccontextmanager
    async def autojump(self) -> AsyncIterator[Self]:
        """Inside this block, whenever all tasks wait, the clock jumps to the next timer by itself."""
        failure: BaseException | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._jump, name="FakeClock.autojump")
            try:
                yield self
            except BaseException as error:
                failure = error  # raised below: here the group would wrap it
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _jump(self) -> None:
        while True:
            await self.settle()
            if not self._fire(math.inf):
                self._added = Event()
                await self._added.wait()

    def _at(self, when: float, wake: Callable[[], object]) -> _Timer:
        timer = _Timer(when, next(self._order), wake)
        heapq.heappush(self._timers, timer)
        self._added.set()
        return timer

    def _fire(self, until: float) -> bool:
        """Go to the next timer, if there is one until then, and wake who waits for it."""
        while self._timers:
            timer = self._timers[0]
            if timer.wake is not None and (timer.when > until or timer.when == math.inf):
                return False
            heapq.heappop(self._timers)
            if timer.wake is not None:
                self._now = max(self._now, timer.when)
                wake, timer.wake = timer.wake, None
                wake()
                return True
        return False


@dataclass(slots=True, order=True)
class _Timer:
    when: float
    order: int
    wake: Callable[[], object] | None  # None: no longer wanted


class _Scope:
    """A `CancelScope` whose deadline is in fake time."""

    def __init__(self, clock: FakeClock, when: float) -> None:
        self._clock = clock
        self._deadline = when
        self._scope = CancelScope()
        self._timer: _Timer | None = None
        self._entered = False

    @property
    def deadline(self) -> float:
        return self._deadline

    @deadline.setter
    def deadline(self, value: float) -> None:
        self._deadline = value
        if self._entered:
            self._arm()

    @property
    def cancelled_caught(self) -> bool:
        return self._scope.cancelled_caught

    @property
    def cancel_called(self) -> bool:
        return self._scope.cancel_called

    def cancel(self) -> None:
        self._scope.cancel()

    def __enter__(self) -> Self:
        self._scope.__enter__()
        self._entered = True
        self._arm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None:
        self._entered = False
        self._disarm()
        return self._scope.__exit__(kind, error, trace)

    def _arm(self) -> None:
        self._disarm()
        if self._deadline <= self._clock.now():
            self._scope.cancel()
        elif self._deadline != math.inf:
            self._timer = self._clock._at(self._deadline, self._scope.cancel)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.wake = None
            self._timer = None
