"""Shutting down with streams open: they get time to finish, then they are ended so that clients can go on elsewhere.

Servers wait for open responses before they tell the application that they stop (the lifespan's shutdown comes last), so
a stream would hold them up as long as it runs. `Drain` hears of it at the signal. Source: SSE.md section 9 (Server).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup

__all__ = ["Drain"]


class Drain:
    """Ends the responses that were given it when the server is to stop.

    Use it around the application's life, in its lifespan: `async with Drain(signals=[signal.SIGTERM]) as drain:`, and
    pass it to each response. Without signals, call `begin` yourself, from the event loop.

    Args:
        grace: seconds that streams have to finish by themselves.
        signals: the first begins the draining, a second ends it at once; each is then handed on to whoever handled it
            before, the server. Not for servers that handle signals through the event loop: hypercorn's
            `shutdown_trigger` can call `begin`, granian ends streams by itself after `workers_kill_timeout`.
    """

    def __init__(self, grace: float = 10.0, *, signals: Iterable[signal.Signals] = ()) -> None:
        self.grace = grace
        self.draining = False
        self._signals = tuple(signals)
        self._stops: set[Callable[[], None]] = set()
        self._tasks: TaskGroup | None = None
        self._over = False

    async def __aenter__(self) -> Self:
        """Listen for the signals."""
        self._tasks = await anyio.create_task_group().__aenter__()
        if self._signals:
            await self._tasks.start(self._listen)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what is still open, and listen no longer."""
        self._stop_all()
        tasks, self._tasks = self._tasks, None
        if tasks is not None:
            tasks.cancel_scope.cancel()
            await tasks.__aexit__(None, None, None)

    def begin(self) -> None:
        """End the responses after `grace` seconds; new ones then end at once. Again: nothing."""
        if not self.draining:
            self.draining = True
            if self._tasks is not None:
                self._tasks.start_soon(self._later)

    @property
    def open(self) -> int:
        """How many responses are running."""
        return len(self._stops)

    def add(self, stop: Callable[[], None]) -> None:
        """Have `stop` called when the time is over."""
        self._stops.add(stop)
        if self._over:
            stop()

    def discard(self, stop: Callable[[], None]) -> None:
        """Forget `stop` again: its response is over."""
        self._stops.discard(stop)

    async def _later(self) -> None:
        await anyio.sleep(self.grace)
        self._stop_all()

    def _stop_all(self) -> None:
        self.draining = self._over = True
        for stop in list(self._stops):
            stop()

    async def _listen(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        former = {sig: signal.getsignal(sig) for sig in self._signals}
        with anyio.open_signal_receiver(*self._signals) as received:
            task_status.started()
            async for sig in received:
                if self.draining:
                    self._stop_all()
                self.begin()
                _hand_on(sig, former[sig])


def _hand_on(sig: signal.Signals, former: Callable[[int, FrameType | None], Any] | int | None) -> None:
    if callable(former):
        former(sig, None)
    elif former == signal.SIG_DFL:
        signal.signal(sig, signal.SIG_DFL)
        os.kill(os.getpid(), sig)
