"""A connection on any event loop of anyio, here trio: it is read when somebody waits."""

from __future__ import annotations

import ssl
from typing import Any

import anyio
import anyio.streams.tls
import httpx2
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, aclose_forcefully
from anyio.abc import ByteStream, SocketAttribute

from millstream.http._exchange import Exchange
from millstream.http._limits import READ_BYTES
from millstream.http._readable import is_readable

__all__ = ["AnyioWire", "connect"]

BROKEN = (BrokenResourceError, ClosedResourceError, ssl.SSLError, OSError)


class AnyioWire:
    """A connection; of one task at a time. See `AsyncioWire`, whose methods these are."""

    def __init__(self, stream: ByteStream) -> None:
        self.expires_at = 0.0
        self._stream = stream
        self._exchange: Exchange | None = None
        self._is_closed = False

    def begin(self, exchange: Exchange) -> None:
        """Let what arrives belong to this exchange."""
        self._exchange = exchange

    def end(self) -> None:
        """Stop that: the connection is idle."""
        self._exchange = None

    async def send(self, data: bytes, seconds: float | None) -> None:
        """Send. Raises: WriteError, WriteTimeout."""
        try:
            with anyio.fail_after(seconds):
                await self._stream.send(data)
        except TimeoutError:
            del data  # keys are in it, and frames in tracebacks
            raise httpx2.WriteTimeout("the server took nothing of the request for too long") from None
        except BROKEN:
            del data
            raise httpx2.WriteError("the connection was lost while the request was sent") from None

    async def wait(self, seconds: float | None) -> None:
        """Wait until something has arrived for the exchange. Raises: ReadTimeout."""
        exchange: Any = self._exchange  # there is one from `begin` to `end`
        try:
            with anyio.fail_after(seconds):
                data = await self._stream.receive(READ_BYTES)
        except TimeoutError:
            raise httpx2.ReadTimeout("nothing came from the server for too long") from None
        except EndOfStream:
            exchange.feed_eof()
        except BROKEN as error:
            exchange.fail(httpx2.ReadError(f"the connection was lost ({type(error).__name__})"))
        else:
            exchange.feed(data)

    def consumed(self) -> None:
        """Nothing to do: nothing is read ahead."""

    def is_stale(self) -> bool:
        """Whether there is anything to read: the end, or what nobody asked for."""
        return self._is_closed or is_readable(self._stream.extra(SocketAttribute.raw_socket))  # noqa: S610

    async def aclose(self) -> None:
        """Close at once."""
        self._is_closed = True
        if self._exchange is not None:
            self._exchange.fail(httpx2.ReadError("the connection was closed here"))
        with anyio.CancelScope(shield=True):
            await aclose_forcefully(self._stream)


async def connect(
    host: str, port: int, *, context: ssl.SSLContext | None, server_name: str | None, local: str | None
) -> AnyioWire:
    """Connect, with TLS if there is a context. Raises: OSError, ssl.SSLError, BrokenResourceError."""
    stream: ByteStream = await anyio.connect_tcp(host, port, local_host=local)
    if context is not None:
        context.set_alpn_protocols(["http/1.1"])
        try:
            stream = await anyio.streams.tls.TLSStream.wrap(
                stream, ssl_context=context, hostname=server_name, standard_compatible=False, server_side=False
            )
        except BaseException:
            with anyio.CancelScope(shield=True):
                await aclose_forcefully(stream)
            raise
    return AnyioWire(stream)
