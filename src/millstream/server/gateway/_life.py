"""How a gateway begins and ends: its hub, and the order of things when the process is told to stop.

At the first signal `/health` says 503 and requests for answers are refused, while the server still listens: a load
balancer sees it, and clients ask elsewhere. When no stream runs any more, or `grace` is over and the rest was ended,
the server gets the signal. At a second one of the same kind it gets it at once.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any

import anyio
from anyio.abc import TaskGroup, TaskStatus

from millstream.errors import UsageError
from millstream.relay import Hub
from millstream.server._asgi import Receive, Send
from millstream.server.drain import Drain, _hand_on

__all__ = ["Life"]

POLL_SECONDS = 0.05
LAST_WORDS_SECONDS = 0.5  # between the end of the grace and the signal to the server


class Life:
    """See `Gateway` for the arguments. `running` counts the streams of this process."""

    def __init__(
        self,
        hub: Hub | None,
        running: Callable[[], int],
        *,
        grace: float,
        notice: float,
        signals: Iterable[signal.Signals],
    ) -> None:
        self.drain = Drain(grace)
        self._hub = hub
        self._running = running
        self._notice = notice
        self._signals = tuple(signals)
        self._stack: AsyncExitStack | None = None

    async def __aenter__(self) -> None:
        if self._stack is not None:
            raise UsageError("this gateway is entered already")
        async with AsyncExitStack() as stack:
            if self._hub is not None:
                await stack.enter_async_context(self._hub)
            await stack.enter_async_context(self.drain)
            if self._signals:
                tasks = await stack.enter_async_context(anyio.create_task_group())
                stack.callback(tasks.cancel_scope.cancel)
                await tasks.start(self._listen, tasks)
            self._stack = stack.pop_all()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.__aexit__(kind, error, trace)

    async def span(self, receive: Receive, send: Send) -> None:
        """Live as long as the server's lifespan, unless the application has entered the gateway itself."""
        await receive()
        ours = self._stack is None
        try:
            if ours:
                await self.__aenter__()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if ours:
            await self.__aexit__(None, None, None)
        await send({"type": "lifespan.shutdown.complete"})

    async def _listen(self, tasks: TaskGroup, *, task_status: TaskStatus[None]) -> None:
        former: dict[signal.Signals, Any] = {sig: signal.getsignal(sig) for sig in self._signals}
        with anyio.open_signal_receiver(*self._signals) as received:
            task_status.started()
            first = None
            async for sig in received:
                if first is None:
                    first = sig
                    self.drain.begin()
                    tasks.start_soon(self._wind_down, sig, former[sig])
                elif sig == first:  # Ctrl-C reaches all workers, whose supervisor then sends SIGTERM as well
                    self.drain._stop_all()
                    _hand_on(sig, former[sig])

    async def _wind_down(self, sig: signal.Signals, former: Any) -> None:
        with anyio.move_on_after(max(self._notice, self.drain.grace + LAST_WORDS_SECONDS)):
            await anyio.sleep(self._notice)
            while self._running() or self.drain.open:  # noqa: ASYNC110 - once in a life; an event would be set per stream
                await anyio.sleep(POLL_SECONDS)
        _hand_on(sig, former)
