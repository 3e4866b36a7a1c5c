"""A connection on asyncio or uvloop: the event loop hands what arrives to the parser, with no task in between.

All connections of a loop share one buffer to read into: the loop fills it and says so before it does anything else, and
the parser copies what it keeps. Reading goes on between requests, so that a connection that the server has closed is
known before it is used again. What nobody has consumed yet is bounded for each connection and, as far as one read of
each allows, for all together. Cost: 64 KiB per loop. Source: asyncio, "Streaming Protocols".
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import httpx2

from millstream.http._dial import dial
from millstream.http._exchange import Exchange
from millstream.http._limits import HIGH_WATER_BYTES, LOOP_HIGH_WATER_BYTES, READ_BYTES, SMALL_READ_BYTES
from millstream.http._readable import is_readable

__all__ = ["AsyncioWire", "connect"]


class _Shared:
    """What the connections of a loop share."""

    __slots__ = ("n_unread", "small", "view")

    def __init__(self) -> None:
        self.view = memoryview(bytearray(READ_BYTES))
        self.small = self.view[:SMALL_READ_BYTES]
        self.n_unread = 0


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared] = WeakKeyDictionary()


class AsyncioWire(asyncio.BufferedProtocol):
    """A connection; of one task at a time."""

    __slots__ = (
        "_deadline",
        "_exchange",
        "_has_expired",
        "_is_lost",
        "_is_paused",
        "_is_writing_paused",
        "_loop",
        "_n_unread",
        "_shared",
        "_timer",
        "_transport",
        "_waiter",
        "expires_at",
        "socket",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self.socket = sock
        self.expires_at = 0.0
        self._loop = loop
        shared = _of_loop.get(loop)
        if shared is None:
            shared = _of_loop[loop] = _Shared()
        self._shared = shared
        self._transport: Any = None
        self._exchange: Exchange | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._n_unread = 0
        self._is_lost = self._is_paused = self._is_writing_paused = self._has_expired = False

    # --- for the transport ---------------------------------------------------------------------------------------

    def begin(self, exchange: Exchange) -> None:
        """Let what arrives belong to this exchange."""
        self._exchange = exchange
        if self._is_lost:
            exchange.feed_eof()

    def end(self) -> None:
        """Stop that: the connection is idle."""
        self._exchange = None
        self._stop_timer()
        self.consumed()

    async def send(self, data: bytes, seconds: float | None) -> None:
        """Send, and wait while the other side takes nothing. Raises: WriteError, WriteTimeout."""
        was_lost = self._is_lost or self._transport.is_closing()  # the loop says the former a turn after the latter
        if not was_lost:
            self._transport.write(data)
        del data  # keys are in it, and frames in tracebacks
        if was_lost:
            raise httpx2.WriteError("the connection was lost while the request was sent")
        while self._is_writing_paused and self._may_send():
            try:
                await self.wait(seconds)
            except httpx2.ReadTimeout:
                raise httpx2.WriteTimeout("the server took nothing of the request for too long") from None

    async def wait(self, seconds: float | None) -> None:
        """Wait until something has arrived for the exchange. Raises: ReadTimeout."""
        if self._is_paused and self._exchange is not None and not self._exchange.parts:
            self.consumed()  # what came was no body: nobody will take it
        waiter = self._waiter = self._loop.create_future()
        if seconds is not None:
            self._deadline = self._loop.time() + seconds
            if self._timer is None or self._timer.when() > self._deadline:
                self._stop_timer()
                self._timer = self._loop.call_at(self._deadline, self._tick)
        try:
            await waiter
        finally:
            self._waiter = None
            self._deadline = 0.0
        if self._has_expired:
            self._has_expired = False
            raise httpx2.ReadTimeout("nothing came from the server for too long")

    def consumed(self) -> None:
        """Note that the consumer has taken all there was."""
        self._shared.n_unread -= self._n_unread
        self._n_unread = 0
        if self._is_paused:
            self._is_paused = False
            if not self._is_lost:
                self._transport.resume_reading()

    def is_stale(self) -> bool:
        """Whether the connection was lost, or belongs to a loop that has ended."""
        if self._is_lost or self._transport.is_closing() or self._loop.is_closed():
            return True
        return is_readable(self.socket)  # what the loop has not seen yet

    async def aclose(self) -> None:
        """Close at once; what was not sent yet is dropped."""
        self._stop_timer()
        if self._exchange is not None:
            self._exchange.fail(httpx2.ReadError("the connection was closed here"))
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # now: `abort` leaves it to the next turn of the loop
        if not self._loop.is_closed():
            self._transport.abort()
        self._wake()

    def _may_send(self) -> bool:
        exchange = self._exchange
        return not self._is_lost and exchange is not None and not exchange.is_complete and exchange.error is None

    def _tick(self) -> None:
        # One timer serves many waits: setting and cancelling one for each would cost more than the wait itself.
        self._timer = None
        if not self._deadline:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._tick)
        elif self._waiter is not None and not self._waiter.done():
            self._has_expired = True
            self._wake()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # --- for the event loop --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        shared = self._shared
        return shared.view if shared.n_unread <= LOOP_HIGH_WATER_BYTES else shared.small

    def buffer_updated(self, nbytes: int) -> None:
        exchange = self._exchange
        if exchange is None:  # nobody asked for it: whose answer would it become?
            self._transport.abort()
            return
        shared = self._shared
        exchange.feed(shared.view[:nbytes])
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        self._n_unread += nbytes
        shared.n_unread += nbytes
        if (self._n_unread > HIGH_WATER_BYTES or shared.n_unread > LOOP_HIGH_WATER_BYTES) and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        if self._exchange is not None:
            self._exchange.feed_eof()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._shared.n_unread -= self._n_unread
        self._n_unread = 0
        if self._exchange is not None:
            if exc is None:
                self._exchange.feed_eof()
            else:
                self._read_the_rest(self._exchange)
                self._exchange.fail(httpx2.ReadError(f"the connection was lost ({type(exc).__name__})"))
        self._wake()

    def _read_the_rest(self, exchange: Exchange) -> None:
        # The loop gives up reading where sending fails, but what the server has said before it closed is still there.
        if self._transport.get_extra_info("sslcontext") is not None:
            return
        n_bytes = 0
        with suppress(OSError):
            while n_bytes <= HIGH_WATER_BYTES and (n := self.socket.recv_into(self._shared.view)):
                exchange.feed(self._shared.view[:n])
                n_bytes += n

    def pause_writing(self) -> None:
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        self._is_writing_paused = False
        self._wake()


async def connect(
    host: str, port: int, *, context: ssl.SSLContext | None, server_name: str | None, local: str | None
) -> AsyncioWire:
    """Connect, with TLS if there is a context. Raises: OSError, ssl.SSLError."""
    loop = asyncio.get_running_loop()
    sock = await dial(loop, host, port, local)
    if context is not None:
        context.set_alpn_protocols(["http/1.1"])  # each time, as httpx2 does: others may use the context for HTTP/2
    try:
        _, wire = await loop.create_connection(
            lambda: AsyncioWire(loop, sock), sock=sock, ssl=context, server_hostname=server_name
        )
    except BaseException:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
        raise
    return wire
