"""One ASGI response on its way: the client's leaving, signs of life in silence, a limit on each `send`.

Theory: the task of the response sends, one more task watches. The watcher waits in `receive`, which tells of a client
that has gone on servers of every ASGI version, also while nothing is sent (STREAMS.md S16); a `send` that raises
OSError, as servers do from ASGI 2.4 on, says the same. Its wait has a deadline: then it looks whether a sign of life is
due, or a `send` takes too long. So a message costs neither a task nor a scope, and an idle answer one wake-up per
heartbeat. The two tasks never send at once.

What else must change with this: `_asgi.while_connected`, the same without clocks, for the replay server.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

from anyio import CancelScope, Event, create_task_group

from millstream.server._asgi import Receive, Send
from millstream.streams._clock import Clock
from millstream.streams._interrupt import clock_reader

__all__ = ["Connection"]

log = logging.getLogger("millstream")

Headers = list[tuple[bytes, bytes]]


class ClientGone(Exception):  # never leaves `Connection.run`
    """The server says that nobody reads any more."""


class Connection:
    """What the response uses of `receive` and `send`.

    Args:
        idle: seconds of silence before a heartbeat; inf for none.
        send_timeout: seconds that one `send` may take; inf for no limit.
        begin_within: seconds before `early` is sent, so that the client sees the answer begin; inf for never.
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
        self._scope: CancelScope | None = None
        self._failure: Exception | None = None
        self.started = False
        self.heartbeat = b""
        self.early: tuple[int, Headers] | None = None
        self.abandon: Callable[[], Awaitable[None]] | None = None

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work`, which sends, and cancel it when the client has gone or does not read.

        Raises: what `work` or the server's `receive` raises, not wrapped in an ExceptionGroup.
        """
        async with create_task_group() as tasks:
            self._scope = tasks.cancel_scope
            tasks.start_soon(self._watch)
            try:
                await work()
            except ClientGone:
                pass
            except Exception as error:  # re-raised below, outside of the group that would wrap it
                self._failure = error
            tasks.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    # --- sending -------------------------------------------------------------------------------------------------

    async def start(self, status: int, headers: Headers) -> None:
        """Send status and headers, unless the watcher did."""
        while self._watcher_sends is not None:
            await self._watcher_sends.wait()
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
            while True:
                with self._clock.move_on_at(self._wake_at()):
                    if (await self._receive())["type"] == "http.disconnect":
                        break
                    continue  # of the request's body nobody wants anything
                if not await self._look():
                    break
        except Exception as error:
            self._failure = error
        if self._scope is not None:
            self._scope.cancel()

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
