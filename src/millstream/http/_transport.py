"""`Transport`: which connection a request gets, how it is sent, and what becomes of the connection."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import httpx2

from millstream.http import _anyio, _asyncio
from millstream.http._exchange import Exchange
from millstream.http._pool import Origin, Pool
from millstream.http._request import Head, is_replayable, write_head
from millstream.http._response import Body, Response

__all__ = ["Transport"]

PORTS = {"http": 80, "https": 443}
CONNECTION_FAILURES = (OSError, ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream)


class Transport(httpx2.AsyncBaseTransport):
    """HTTP/1.1 for `httpx2.AsyncClient(transport=...)`, on asyncio, uvloop and trio.

    A client that is given a transport does not look for proxies in the environment, whichever transport it is.

    Args:
        verify: True: the certificates of the machine, as httpx2 does; False: any; or a context.
        trust_env: whether SSL_CERT_FILE and SSL_CERT_DIR count.
        limits: of connections; those of the client do not reach a transport.
        local_address: to connect from.
        proxy, http2, uds: as for `httpx2.AsyncHTTPTransport`, which then does all the work.
    """

    def __init__(
        self,
        *,
        verify: ssl.SSLContext | bool = True,
        trust_env: bool = True,
        limits: httpx2.Limits | None = None,
        local_address: str | None = None,
        proxy: Any = None,
        http2: bool = False,
        uds: str | None = None,
    ) -> None:
        limits = limits or httpx2.Limits(max_connections=100, max_keepalive_connections=20)
        self._verify = verify
        self._trust_env = trust_env
        self._limits = limits
        self._local = local_address
        self._elsewhere: dict[str, Any] = {"proxy": proxy, "http2": http2, "uds": uds}
        self._other: httpx2.AsyncHTTPTransport | None = None
        self._context: ssl.SSLContext | None = None
        self._reading_certificates = anyio.Lock()
        self._pool = Pool(limits.max_connections, limits.max_keepalive_connections, limits.keepalive_expiry)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request, and return the response when its headers are here.

        Raises: ConnectError, ConnectTimeout, PoolTimeout, WriteError, WriteTimeout, ReadError, ReadTimeout,
            RemoteProtocolError, LocalProtocolError, UnsupportedProtocol; none of them names a header's value.
        """
        if self._is_for_other(request):
            return await self._other_transport().handle_async_request(request)
        head = write_head(request)
        url = request.url
        host = url.raw_host.decode("ascii")
        origin = (url.scheme, host, url.port or PORTS[url.scheme], request.extensions.get("sni_hostname") or host)
        timeouts = request.extensions.get("timeout", {})
        while True:
            wire = await self._pool.acquire(origin, timeouts.get("pool"))
            reused = wire is not None
            exchange = Exchange(request.method.encode())
            try:
                if wire is None:
                    wire = await self._connect(origin, timeouts.get("connect"))
                    self._pool.opened(wire)
                wire.begin(exchange)
                await _send(wire, exchange, request, head, timeouts.get("write"))
                while not exchange.is_answered and exchange.error is None:
                    await wire.wait(timeouts.get("read"))
                if not exchange.is_answered and exchange.error is not None:
                    raise exchange.error
            except (httpx2.NetworkError, httpx2.RemoteProtocolError):
                await self._pool.discard(wire)
                if not (reused and exchange.is_untouched and is_replayable(request)):
                    raise
            except BaseException:
                await self._pool.discard(wire)
                raise
            else:
                return self._response(wire, exchange, origin, timeouts.get("read"))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()
        if self._other is not None:
            await self._other.aclose()

    def _response(self, wire: Any, exchange: Exchange, origin: Origin, seconds: float | None) -> Response:
        async def release(wire: Any, exchange: Exchange) -> None:
            if exchange.is_reusable and not wire.is_stale():
                wire.end()
                await self._pool.release(wire, origin)
            else:
                await self._pool.discard(wire)

        extensions = {"http_version": exchange.http_version, "reason_phrase": exchange.reason}
        return Response(
            Body(wire, exchange, release, seconds),
            status_code=exchange.status,
            headers=exchange.headers,
            extensions=extensions,
        )

    async def _connect(self, origin: Origin, seconds: float | None) -> Any:
        scheme, host, port, server_name = origin
        context = await self._ssl_context() if scheme == "https" else None
        on_asyncio = type(anyio.CancelScope()).__module__.endswith("asyncio")
        connect: Any = _asyncio.connect if on_asyncio else _anyio.connect
        try:
            with anyio.fail_after(seconds):
                return await connect(
                    host, port, context=context, server_name=server_name if context else None, local=self._local
                )
        except TimeoutError as error:
            raise httpx2.ConnectTimeout(f"no connection to {host}:{port} in time") from error
        except CONNECTION_FAILURES as error:
            raise httpx2.ConnectError(f"no connection to {host}:{port}: {error}") from error

    async def _ssl_context(self) -> ssl.SSLContext:
        if self._context is not None:
            return self._context
        async with self._reading_certificates:
            if self._context is None:
                # In a thread: there are hundreds of certificates, which would hold the event loop up for 100 ms.
                make = partial(httpx2.create_ssl_context, verify=self._verify, trust_env=self._trust_env)
                self._context = await anyio.to_thread.run_sync(make, abandon_on_cancel=True)
            return self._context

    def _is_for_other(self, request: httpx2.Request) -> bool:
        return (
            any(self._elsewhere.values())
            or request.url.scheme not in PORTS
            or request.method == "CONNECT"
            or "upgrade" in request.headers
            or "trace" in request.extensions
        )

    def _other_transport(self) -> httpx2.AsyncHTTPTransport:
        if self._other is None:
            self._other = httpx2.AsyncHTTPTransport(
                verify=self._verify,
                trust_env=self._trust_env,
                limits=self._limits,
                local_address=self._local,
                **self._elsewhere,
            )
        return self._other


async def _send(wire: Any, exchange: Exchange, request: httpx2.Request, head: Head, seconds: float | None) -> None:
    """Send all, or as much as the server takes before it answers and closes.

    Raises: WriteTimeout. LocalProtocolError: the body is not as long as its header says.
    """
    body = request.stream
    try:
        if isinstance(body, httpx2.ByteStream):
            await wire.send(_whole(head, b"".join(body)), seconds)
        elif isinstance(body, AsyncIterable):
            await wire.send(head.data, seconds)
            await _send_pieces(wire, exchange, aiter(body), head.length, seconds)
        else:
            raise RuntimeError("an async client needs a body that is iterated asynchronously")
    except httpx2.WriteError:
        exchange.fail_to_send()  # a server may refuse early, answer and close: what it said is worth more than this


async def _send_pieces(
    wire: Any, exchange: Exchange, pieces: AsyncIterator[bytes], length: int | None, seconds: float | None
) -> None:
    n_bytes = 0
    try:
        async for piece in pieces:
            if exchange.is_complete or exchange.error is not None:
                exchange.fail_to_send()
                return
            n_bytes += len(piece)
            _check_length(n_bytes, length, at_end=False)
            if piece:
                await wire.send(piece if length is not None else _chunk(piece), seconds)
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()
    _check_length(n_bytes, length, at_end=True)
    if length is None:
        await wire.send(b"0\r\n\r\n", seconds)


def _whole(head: Head, body: bytes) -> bytes:
    _check_length(len(body), head.length, at_end=True)
    return head.data + (body if head.length is not None else _chunk(body) + b"0\r\n\r\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def _check_length(n_bytes: int, length: int | None, *, at_end: bool) -> None:
    if length is not None and (n_bytes > length or (at_end and n_bytes < length)):
        raise httpx2.LocalProtocolError(f"the body has {n_bytes} bytes so far, its header says {length}")
