"""Responses of HTTP clients other than httpx2 and httpx, whose status and error body are looked at as for those.

    async with niquests.AsyncSession() as session:
        response = await session.post(url, json=body, stream=True)
        async with ms.stream(from_niquests(response), "openai-chat") as events: ...

    for event in iter_events(requests.post(url, json=body, stream=True), "openai-chat"): ...

Without that, any iterable of bytes will do: `response.content.iter_any()`, `response.iter_content(None)`.
None of these clients is imported here. Source: aiohttp 3.14, niquests 3.21, requests 2.34.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from millstream.compat._objects import iter_events as decode
from millstream.events import Event
from millstream.protocols import Decoder, decoder
from millstream.streams._pull import close_iterator
from millstream.streams.sources._aiohttp import AiohttpResponse
from millstream.streams.sources._coding import UNPACKED, codings, refuse_unreadable, unpacked
from millstream.streams.sources._transport import transport_error
from millstream.streams.sources.response import Response, accepts, refusal

__all__ = ["from_aiohttp", "from_niquests", "iter_events"]


class _Response:
    """A response with the names of httpx2."""

    def __init__(self, response: Any, status_code: int) -> None:
        self._response = response
        self.status_code = status_code

    @property
    def headers(self) -> Mapping[str, str]:
        headers: Mapping[str, str] = self._response.headers
        return headers


class _Niquests(_Response):
    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        chunks = await self._response.iter_content(-1)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            await close_iterator(chunks)

    async def aclose(self) -> None:
        await self._response.close()


def from_aiohttp(response: Any) -> Response:
    """Return an `aiohttp.ClientResponse` with the names of httpx2. `millstream.stream` takes it without this, too."""
    return AiohttpResponse(response)


def from_niquests(response: Any) -> Response:
    """Return a `niquests.AsyncResponse`, asked for with `stream=True`, as `millstream.stream` takes it.

    The stream closes it.
    """
    return _Niquests(response, response.status_code)


def iter_events(response: Any, protocol: str, **options: Any) -> Iterator[Event]:
    """Decode a response of requests or niquests, asked for with `stream=True`: `millstream.iter_events` for responses.

    Args: response: closed however this ends. protocol, options: as for `millstream.decoder`.
    Yields: events as they arrive, `Start` first.
    Raises: UnknownProtocol, at the call. At the first event: ProviderError and its kinds: status not 2xx, or an error
        body where a stream should be. UnexpectedContentType. ConnectionFailed, StreamTimeout: the body broke off.
        After a fatal `Error` event and `Finish`: the error that it carries.
    """
    return _iter_events(response, decoder(protocol, **options))


def _iter_events(response: Any, chosen: Decoder) -> Iterator[Event]:
    try:
        if not accepts(response, chosen):
            body = next(response.iter_content(chosen.limits.max_error_body_bytes), b"")
            raise refusal(response, chosen, body)
        refuse_unreadable(response, chosen.provider)
        yield from decode(_body(response, chosen), chosen)
    finally:
        response.close()


def _body(response: Any, chosen: Decoder) -> Iterator[bytes]:
    # What has arrived, not pieces of a size: an event must not wait for the next one.
    size = -1 if type(response).__module__.startswith("niquests") else None
    coded = codings(response)
    try:
        if coded and coded[0] in UNPACKED and _leaves_packed(response):
            yield from unpacked(response.iter_content(size), coded[0], chosen.limits, chosen.provider)
        else:
            yield from response.iter_content(size)
    except Exception as error:
        failure = transport_error(error, chosen.provider)
        if failure is None:
            raise
        raise failure from error


def _leaves_packed(response: Any) -> bool:
    """Keep urllib3 from undoing the coding, as it does not say of how much what it gives was made. False: it cannot be.

    It looks for a coding at the first read, so what was read from already stays with it.
    """
    raw = getattr(response, "raw", None)
    headers = getattr(raw, "headers", None)
    if headers is None or getattr(raw, "_decoder", None) is not None:
        return False
    headers.pop("content-encoding", None)
    return True
