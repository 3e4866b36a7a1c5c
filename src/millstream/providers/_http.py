"""HTTP for all providers: one client per event loop, and one POST as a context manager.

The client is made at the first request and closed with its loop, so nobody has to. No redirects (a key would travel),
no cookies (tenants share the client), no compressed streams (a proxy would hold them back; THREATS_AND_FAULTS.md M10).
Only connecting, sending and waiting for a connection have a deadline here: reading has `Timeouts`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from types import TracebackType
from typing import Any
from urllib.request import getproxies

from anyio import CancelScope, Lock, move_on_after, to_thread
from anyio.lowlevel import RunVar

from millstream.errors import MissingExtra
from millstream.streams._pull import close_iterator

__all__ = ["Answer", "Call", "shared_client"]

CONNECT_SECONDS = 10.0
SEND_SECONDS = 60.0  # between two pieces of a request that the other side takes; images of several MiB are sent
POOL_SECONDS = 60.0  # for a free connection, when MAX_CONNECTIONS streams run

TAIL_SECONDS = 0.1  # what follows the last event comes with it, or the server keeps the body open for some other reason
TAIL_BYTES = 16 * 1024
LEAVE_BYTES = 256 * 1024  # a compressed body gives much without any read that could be cancelled

MAX_CONNECTIONS = 1000  # each stream holds one for minutes; the SDKs of OpenAI and Anthropic allow as many
MAX_IDLE = 100
IDLE_SECONDS = 30.0  # providers close theirs after 60 s and more; meeting that moment costs a request

PROXIED = {"http", "https", "all"}  # what httpx2 knows of; NO_PROXY alone takes nothing elsewhere

_shared: RunVar[tuple[Any, AsyncGenerator[None, None]] | None] = RunVar("millstream_http_client", None)
_making: RunVar[Lock | None] = RunVar("millstream_http_client_making", None)


async def shared_client() -> Any:
    """Return the client of this event loop. Raises: MissingExtra: httpx2 is not installed."""
    shared = _shared.get()
    if shared is None or shared[0].is_closed:
        lock = _making.get(None)
        if lock is None:
            lock = Lock()
            _making.set(lock)
        async with lock:
            shared = _shared.get()
            if shared is None or shared[0].is_closed:
                # The first time httpx2 is imported here, which would hold the event loop up for 50 ms and more.
                client = await to_thread.run_sync(_new_client, abandon_on_cancel=True)
                shared = client, _keep(client)
                _shared.set(shared)
                await anext(shared[1])
    return shared[0]


async def _keep(client: Any) -> AsyncGenerator[None, None]:
    """Close the client when the loop ends: asyncio and trio both finish the generators that are alive then."""
    try:
        yield
    finally:
        _shared.set(None)  # a loop that its own variables hold would never be freed
        await client.aclose()


def _new_client() -> Any:
    try:
        import httpx2
    except ImportError as error:
        raise MissingExtra("providers speak HTTP through httpx2: pip install 'millstream[http]'") from error
    limits = httpx2.Limits(
        max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_IDLE, keepalive_expiry=IDLE_SECONDS
    )
    return httpx2.AsyncClient(
        limits=limits,
        transport=_fast_transport(limits),
        headers={"user-agent": f"millstream/{version('millstream')}"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
    )


def _fast_transport(limits: Any) -> Any:
    """Return ours, or None where httpx2's own is needed: for the proxies of the environment, or without httptools."""
    if PROXIED & getproxies().keys():
        return None
    try:
        from millstream.http import Transport
    except MissingExtra:
        return None
    return Transport(limits=limits)


class Call(AbstractAsyncContextManager["Answer"]):
    """One POST: entering it sends the request and gives the response, leaving it closes the response.

    Args:
        url: where to.
        body: JSON.
        headers: those that anybody may see.
        sign: adds the others to the request; awaited once, just before it is sent.
        ended: whether all that is wanted of the body has been read.
        client: of httpx2 or httpx; None: the shared one.
    """

    def __init__(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        sign: Callable[[Any], Awaitable[None]],
        ended: Callable[[], bool],
        client: Any = None,
    ) -> None:
        self._url = url
        self._body = body
        self._headers = {"accept-encoding": "identity", **headers}
        self._sign = sign
        self._ended = ended
        self._client = client
        self._answer: Answer  # once entered

    async def __aenter__(self) -> Answer:
        """Send. Raises: what the client raises."""
        client = self._client or await shared_client()
        request = client.build_request(
            "POST",
            self._url,
            content=self._body,
            headers=self._headers,
            timeout=(CONNECT_SECONDS, None, SEND_SECONDS, POOL_SECONDS),
        )
        await self._sign(request)
        self._answer = Answer(await client.send(request, stream=True, follow_redirects=False), self._ended)
        return self._answer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._answer.aclose()


class Answer:
    """A response whose body is left properly: read to its end if that is near, else its connection is closed."""

    def __init__(self, response: Any, ended: Callable[[], bool]) -> None:
        self.status_code: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._ended = ended

    @property
    def num_bytes_downloaded(self) -> int:
        """How many bytes of the body have come, as they were sent."""
        n_bytes: int = self._response.num_bytes_downloaded
        return n_bytes

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Iterate over the body."""
        return _Chunks(self._response.aiter_bytes(), self._ended)

    async def aclose(self) -> None:
        """Release the connection: to the pool if the body was read to its end, else it is closed."""
        await self._response.aclose()


class _Chunks(AsyncIterator[bytes]):
    def __init__(self, chunks: AsyncIterator[bytes], ended: Callable[[], bool]) -> None:
        self._chunks = chunks
        self._ended = ended

    async def __anext__(self) -> bytes:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        """Leave the body.

        What follows the last event, the end of the framing as a rule, is read for a moment, so that the connection can
        be used again. Elsewhere the read that would come next is cancelled: that closes the connection, and finishes
        the generators inside the client, which does not close them itself (httpx2 2.16; trio warns of them, S3).
        """
        with suppress(Exception):
            if self._ended():
                with move_on_after(TAIL_SECONDS):
                    await self._read(TAIL_BYTES)
            with CancelScope() as scope:
                scope.cancel()
                await self._read(LEAVE_BYTES)
            await close_iterator(self._chunks)

    async def _read(self, most: int) -> None:
        n_bytes = 0
        async for chunk in self._chunks:
            n_bytes += len(chunk)
            if n_bytes > most:
                return
