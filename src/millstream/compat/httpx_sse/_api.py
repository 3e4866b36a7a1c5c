"""`EventSource` and the two functions that open one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from copy import copy
from typing import Any

from millstream.compat._decoding import make_parser
from millstream.compat.httpx_sse._decoders import SSELineDecoder
from millstream.compat.httpx_sse._models import ServerSentEvent

__all__ = ["EventSource", "aconnect_sse", "connect_sse"]


class EventSource:
    """The events of a response.

    Args: response: of httpx or httpx2, or anything with `headers` and `iter_bytes()` or `aiter_bytes()`.
    """

    def __init__(self, response: Any) -> None:
        self._response = response

    @property
    def response(self) -> Any:
        """The response, as it was given."""
        return self._response

    def iter_sse(self) -> Iterator[ServerSentEvent]:
        """Iterate over the events. Raises: SSEError: another content type."""
        self._check_content_type()
        feed = make_parser().feed
        for chunk in self._response.iter_bytes():
            for m in feed(chunk):
                yield ServerSentEvent(m.event, m.data, m.id, m.retry)

    async def aiter_sse(self) -> AsyncGenerator[ServerSentEvent, None]:
        """Iterate over the events; closing this closes the body's iterator. Raises: SSEError: another content type."""
        self._check_content_type()
        feed = make_parser().feed
        chunks = aiter(self._response.aiter_bytes())
        try:
            async for chunk in chunks:
                for m in feed(chunk):
                    yield ServerSentEvent(m.event, m.data, m.id, m.retry)
        finally:
            if hasattr(chunks, "aclose"):
                await chunks.aclose()

    def _check_content_type(self) -> None:
        content_type = self._response.headers.get("content-type", "").partition(";")[0]
        if "text/event-stream" not in content_type.lower():
            from millstream.compat.httpx_sse import SSEError

            raise SSEError(
                f"Expected response header Content-Type to contain 'text/event-stream', got {content_type!r}"
            )


@contextmanager
def connect_sse(client: Any, method: str, url: str, **kwargs: Any) -> Iterator[EventSource]:
    """Open an event source.

    Args: client: an `httpx.Client` or `httpx2.Client`. kwargs: those of `client.stream`.
    Raises: what the client raises; not for a status.
    """
    with client.stream(method, url, headers=_headers(kwargs), **kwargs) as response:
        yield EventSource(response)


@asynccontextmanager
async def aconnect_sse(client: Any, method: str, url: str, **kwargs: Any) -> AsyncIterator[EventSource]:
    """Open an event source with an `AsyncClient`; else as `connect_sse`."""
    async with client.stream(method, url, headers=_headers(kwargs), **kwargs) as response:
        yield EventSource(response)


def _headers(kwargs: dict[str, Any]) -> Any:
    # A copy: httpx-sse writes into what the caller passed.
    headers = copy(kwargs.pop("headers", None) or {})
    headers["Accept"] = "text/event-stream"
    headers["Cache-Control"] = "no-store"
    return headers


def _iter_sse_lines(response: Any) -> Iterator[str]:
    decoder = SSELineDecoder()
    for text in response.iter_text():
        yield from decoder.decode(text)
    yield from decoder.flush()


async def _aiter_sse_lines(response: Any) -> AsyncIterator[str]:
    decoder = SSELineDecoder()
    async for text in response.aiter_text():
        for line in decoder.decode(text):
            yield line
    for line in decoder.flush():
        yield line
