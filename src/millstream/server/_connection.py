"""One ASGI response on its way: the client's leaving, signs of life in silence, a limit on each `send`.

Theory: the task of the response sends, one more task watches. The watcher waits in `receive`, which tells of a client
that has gone on servers of every ASGI version, also while nothing is sent (STREAMS.md S16); a `send` that raises
OSError, as servers do from ASGI 2.4 on, says the same. Its wait has a deadline: then it looks whether a sign of life is
due, or a `send` takes too long. So a message costs neither a task nor a scope nor a timer, and an idle answer one
wake-up per heartbeat. The two tasks never send at once.

What else must change with this: `_asgi.while_connected`, the same without clocks, for the replay server.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from anyio import CancelScope, Event

from millstream.server._asgi import Message, Receive, Send
from millstream.streams._beside import Beside
from millstream.streams._clock import ANYIO_CLOCK, Clock
from millstream.streams._interrupt import CancelledError, Watchdog, absorb, clock_reader, task_finder

__all__ = ["ClientGone", "Connection"]

log = logging.getLogger("millstream")

Headers = list[tuple[bytes, bytes]]


class ClientGone(Exception):  # never leaves the block of a `Connection`
    """The server says that nobody reads any more."""


class Connection:
    """What the response uses of `receive` and `send`. Use it in `async with`, around all that sends.

    The block is cancelled when the client has gone or does not read, and is then left without an exception.

    Args:
        idle: seconds of silence before a heartbeat; inf for none.
        send_timeout: seconds that one `send` may take; inf for no limit.
        begin_within: seconds before `early` is sent, so that the client sees the answer begin; inf for never.
    Raises: what the server's `receive` raises, at the end of the block.
    Attributes:
        started: status and headers are sent.
        sending: the server has a message that it has not taken yet.
        heartbeat: what is sent in silence; b"": nothing.
        early: status and headers to begin with if nobody has by then; None while they are not known.
        abandon: closes the stream when its client does not read, from the watcher's task.
    """

    def __init__(
        self, receive: Receive, send: Send, *, idle: float, send_timeout: float, begin_within: float, clock: Clock
    ) -> None:
        self._receive = receive
        self._send = send
        self._idle = idle
        self._send_timeout = send_timeout
        self._clock = clock
        self._now = clock_reader(clock)
        self._since = self._now()  # when the last send began
        self._begin_at = self._since + begin_within
        self.sending = False
        self._watcher_sends: Event | None = None
        self._scope = CancelScope()
        self._watching = Beside(self._watch)
        self._failure: Exception | None = None
        self.started = False
        self.heartbeat = b""
        self.early: tuple[int, Headers] | None = None
        self.abandon: Callable[[], Awaitable[None]] | None = None

    async def __aenter__(self) -> Self:
        """Watch."""
        self._scope.__enter__()
        await self._watching.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Watch no longer."""
        cancelled: BaseException | None = None
        try:
            await self._watching.leave()
        except BaseException as again:  # on trio, by a scope that is ours or further out: ours has to see it
            cancelled = again
            kind, error, trace = type(again), again, again.__traceback__
        left = self._scope.__exit__(kind, error, trace)
        if cancelled is not None and not left:
            raise cancelled
        if self._failure is not None and (error is None or left):
            raise self._failure
        return bool(left) or isinstance(error, ClientGone)

    # --- sending -------------------------------------------------------------------------------------------------

    async def start(self, status: int, headers: Headers) -> None:
        """Send status and headers, unless the watcher did, or does: then `write` waits for it."""
        if not self.started:
            self.started = True
            self.early = None
            await self._put({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """Send a piece of the body; the client has it, or it is on its way, when this returns."""
        while self._watcher_sends is not None:
            await self._watcher_sends.wait()
        # As `_put`, which would be one more coroutine for each event.
        self._since = self._now()
        self.sending = True
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
        except OSError as error:
            raise ClientGone from error
        finally:
            self.sending = False

    async def _put(self, message: dict[str, Any]) -> None:
        self._since = self._now()
        self.sending = True
        try:
            await self._send(message)
        except OSError as error:
            raise ClientGone from error
        finally:
            self.sending = False

    # --- watching ------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        try:
            while await self._still_there():
                pass
        except Exception as error:
            self._failure = error
        self._scope.cancel()

    async def _still_there(self) -> bool:
        """Wait for a message, or until something is due, and do it. False: the client has gone, or is given up."""
        message: Message | None = None
        if self._clock is ANYIO_CLOCK and task_finder() is not None:
            message = await self._in_time()
        else:
            with self._clock.move_on_at(self._wake_at()):
                message = await self._receive()
        if message is None:
            return await self._look()
        # Of the request's body nobody wants anything.
        return bool(message["type"] != "http.disconnect")

    async def _in_time(self) -> Message | None:
        """Return the next message, None at the time. As a scope with a deadline, which takes 1.1 KiB."""
        message: Message | None = None
        watchdog = Watchdog(self._wake_at)
        try:
            message = await watchdog.watch(self._receive())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        except CancelledError:
            if not watchdog.barked or not absorb(watchdog):
                raise
        else:
            if watchdog.barked:
                absorb(watchdog)
        finally:
            watchdog.stop()
        return message

    def _wake_at(self) -> float:
        # Whatever begins while the watcher waits cannot become due before one of these times has passed.
        due = self._now() + min(self._idle, self._send_timeout)
        if self.sending:
            return min(due, self._since + self._send_timeout)
        if not self.started:
            return min(due, self._begin_at) if self.early is not None else due
        return min(due, self._since + self._idle) if self.heartbeat else due

    async def _look(self) -> bool:
        """Do what has become due. False: give up."""
        now = self._now()
        if self.sending:
            if now < self._since + self._send_timeout:
                return True
            return await self._leave()
        if not self.started:
            return self.early is None or now < self._begin_at or await self._begin(*self.early)
        return not self.heartbeat or now < self._since + self._idle or await self._alone(self.heartbeat)

    async def _begin(self, status: int, headers: Headers) -> bool:
        self.started = True
        begun = await self._alone(None, {"type": "http.response.start", "status": status, "headers": headers})
        # Some servers hold the headers back until there is a body.
        return begun and await self._alone(self.heartbeat)

    async def _alone(self, data: bytes | None, message: dict[str, Any] | None = None) -> bool:
        """Send while the other task does not. False if the client has gone or does not read."""
        done = self._watcher_sends = Event()
        limit = self._now() + self._send_timeout if math.isfinite(self._send_timeout) else math.inf
        try:
            with self._clock.move_on_at(limit) as scope:
                await self._put(message or {"type": "http.response.body", "body": data, "more_body": True})
        except ClientGone:
            return False
        finally:
            self._watcher_sends = None
            done.set()
        return not scope.cancelled_caught or await self._leave()

    async def _leave(self) -> bool:
        log.warning("a client has read nothing for %g s; its stream is closed", self._send_timeout)
        if self.abandon is not None:  # hypercorn on trio shields its `send`, so cancelling would not reach the stream
            await self.abandon()
        return False
