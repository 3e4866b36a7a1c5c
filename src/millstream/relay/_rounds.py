"""Calls whoever has waited for a while: one task and one timer for all readers of a hub, and one for all its producers.

All wait equally long, so who began first is due first, and the timer stands at the first one. It is set anew only when
it has gone off: what begins or ends meanwhile does not touch it. Cost: 0.3 us a wait, and no object of the event loop.
"""

from __future__ import annotations

from typing import Protocol

from anyio import CancelScope, create_task_group

from millstream.errors import UsageError
from millstream.streams._clock import Clock
from millstream.streams._handoff import Signal
from millstream.streams._interrupt import clock_reader

__all__ = ["Rounds", "Timekeeper", "Waits"]


class Waits(Protocol):
    """Somebody who waits."""

    def overdue(self) -> None:
        """It took too long. Called in the event loop; must not raise."""


class Rounds:
    """Made inside of the event loop.

    Args: seconds: after which those who wait are called.
    """

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._now = clock_reader(clock)
        self._due: dict[Waits, float] = {}  # in the order of the times
        self._somebody = Signal()
        self._closed = False

    def begin(self, who: Waits) -> None:
        """Call `who.overdue()` once, after so many seconds from now on.

        Raises: UsageError: it is over; nobody would call.
        """
        if self._closed:
            raise UsageError("the hub was left: what waits for news would wait for ever")
        self._due.pop(who, None)
        self._due[who] = self._now() + self._seconds
        self._somebody.set()

    def end(self, who: Waits) -> None:
        """Do not call, if that was still to come."""
        self._due.pop(who, None)

    async def work(self) -> None:
        """Make the rounds until cancelled."""
        while True:
            while not self._due:
                await self._somebody.wait()
            who, due = next(iter(self._due.items()))
            if due > self._now():
                await self._clock.sleep_until(due)
            else:
                del self._due[who]
                who.overdue()

    def close(self) -> None:
        """Call all at once. From now on nobody can begin to wait."""
        self._closed = True
        waiting, self._due = self._due, {}
        for who in waiting:
            who.overdue()


class Timekeeper:
    """The rounds of a hub: a producer renews its lease three times while it lasts, a reader looks four times."""

    def __init__(self, lease: float, clock: Clock) -> None:
        self.renewals = Rounds(lease / 3, clock)
        self.looks = Rounds(lease / 4, clock)
        self._scope = CancelScope()

    async def work(self) -> None:
        """Make them until stopped."""
        with self._scope:
            async with create_task_group() as tasks:
                tasks.start_soon(self.renewals.work)
                tasks.start_soon(self.looks.work)

    def stop(self) -> None:
        """End the work."""
        self._scope.cancel()
