"""A response of httpx2 whose body is read without the generators of httpx2 in between.

Those cost more than all the rest: three for each chunk. `aiter_bytes` and `aiter_raw` return a plain iterator where the
body has no content coding and no chunk size was asked for; else httpx2's own work, on the same body.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from types import TracebackType
from typing import Any

import httpx2

from millstream.http._exchange import Exchange

__all__ = ["Body", "Response"]


class Body(httpx2.AsyncByteStream):
    """The body, as it arrives. Read to its end, its connection may be used again; else it is closed.

    Attributes:
        n_bytes: that were read.
        response: to close when nothing more comes, if it is read through one that is open.
        is_over: it was read to its end, or to an error.
    """

    def __init__(self, wire: Any, exchange: Exchange, release: Any, seconds: float | None) -> None:
        self.exchange = exchange
        self.n_bytes = 0
        self.response: Response | None = None
        self.is_over = False
        self._wire = wire
        self._release = release
        self._is_cut = False
        self._seconds = seconds

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return what has arrived. Raises: ReadError, ReadTimeout, RemoteProtocolError."""
        exchange = self.exchange
        try:
            if self._is_cut:
                raise httpx2.StreamClosed
            while not exchange.parts:
                if exchange.is_complete:
                    raise StopAsyncIteration
                if exchange.error is not None:
                    raise exchange.error
                await self._wire.wait(self._seconds)
        except BaseException as error:
            await self._close_after(error)
            raise
        self._wire.consumed()
        data = exchange.take()
        self.n_bytes += len(data)
        return data

    async def _close_after(self, error: BaseException) -> None:
        self.is_over = True
        response = self.response
        try:
            await self.aclose()
        finally:
            if response is not None:
                if isinstance(error, httpx2.RequestError) and response._request is not None:
                    error.request = response._request
                await response.aclose()

    async def aclose(self) -> None:
        """Give the connection back if all of the body is here, else close it."""
        self.response = None
        release, self._release = self._release, None
        if release is not None:
            self._is_cut = bool(self.exchange.parts)
            await release(self._wire, self.exchange)


class Response(httpx2.Response):
    """See the module."""

    def __init__(self, body: Body, **options: Any) -> None:
        super().__init__(stream=body, **options)
        self._body = body

    @property
    def num_bytes_downloaded(self) -> int:
        return self._body.n_bytes

    def aiter_raw(self, chunk_size: int | None = None) -> AsyncGenerator[bytes, None]:
        """Iterate over the body as it came."""
        # Whoever wraps `stream` wants to see what passes: only the client's own wrapper is left out.
        if chunk_size is None and getattr(self.stream, "_stream", self.stream) is self._body:
            return _Chunks(self, self._body)
        return super().aiter_raw(chunk_size)

    def aiter_bytes(self, chunk_size: int | None = None) -> AsyncGenerator[bytes, None]:
        """Iterate over the body, content codings undone."""
        if hasattr(self, "_content") or self.headers.get("content-encoding", "identity") != "identity":
            return super().aiter_bytes(chunk_size)
        return self.aiter_raw(chunk_size)


class _Chunks(AsyncGenerator[bytes, None]):
    """What `aiter_raw` of httpx2 is, as an object: begins at the first `anext`, and closes the response at the end."""

    def __init__(self, response: Response, body: Body) -> None:
        self._response: Response | None = response
        self._body = body
        self._is_new = True

    def __anext__(self) -> Coroutine[Any, Any, bytes]:
        # The body's own coroutine, not one around it: it is made for each chunk.
        if self._is_new and self._response is not None:
            self._begin(self._response)
        return _over() if self._response is None or self._body.is_over else self._body.__anext__()

    async def asend(self, value: None) -> bytes:
        return await self.__anext__()

    async def athrow(self, kind: Any, error: Any = None, trace: TracebackType | None = None) -> bytes:
        await self.aclose()
        raise error or kind

    async def aclose(self) -> None:
        response, self._response = self._response, None
        if response is not None and not self._is_new:
            await response.aclose()

    def _begin(self, response: Response) -> None:
        self._is_new = False
        if response.is_stream_consumed:
            raise httpx2.StreamConsumed
        if response.is_closed:
            raise httpx2.StreamClosed
        response.is_stream_consumed = True
        self._body.response = response


async def _over() -> bytes:
    raise StopAsyncIteration
