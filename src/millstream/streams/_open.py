"""`stream`: from whatever gives bytes to a `Stream` of events."""

from __future__ import annotations

from collections.abc import AsyncIterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from millstream.events import Event
from millstream.limits import DEFAULT_LIMITS, Limits
from millstream.protocols import Bytes, Decoder, decoder
from millstream.streams._stream import Stream
from millstream.streams.sources.body import BodySource
from millstream.streams.sources.response import Response, ResponseSource

__all__ = ["stream"]


def stream(
    source: AsyncIterable[Bytes] | Response | AbstractAsyncContextManager[Any],
    protocol: str | Decoder,
    *,
    provider: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    require_finish: bool = False,
) -> Stream[Event]:
    """Decode a streaming response into typed events.

    Args:
        source: any async iterable of bytes (`response.aiter_bytes()`, a file, a queue); or a response of httpx2,
            httpx or aiohttp; or what `client.stream("POST", url, ...)` or aiohttp's `session.post(url, ...)` returns.
            The last two are checked for status and content type when the stream is opened.
        protocol: a name of `millstream.protocols.decoder_names()`, an alias such as "openai", or a fresh decoder.
        provider: the name to put into errors; by default that of the protocol.
        limits: the caps to keep.
        require_finish: end with IncompleteStream if the body stops before the wire's own end. By default such a stream
            ends with Finish(reason="incomplete").

    Returns: a Stream that has opened nothing yet. Its first event is `Start`, its last `Finish`. After a fatal `Error`
        event and the `Finish` that follows, it raises the error that the event carries.
    Raises: UnknownProtocol: lists the known names. TypeError: the source is none of the above.
    """
    chosen = protocol if isinstance(protocol, Decoder) else decoder(protocol, provider=provider, limits=limits)
    if isinstance(source, Response):
        return Stream(ResponseSource(source, chosen, require_finish=require_finish))
    if isinstance(source, AsyncIterable):
        return Stream(BodySource(source, chosen, require_finish=require_finish))
    if isinstance(source, AbstractAsyncContextManager):
        return Stream(ResponseSource(source, chosen, require_finish=require_finish))
    remedy = ""
    if isinstance(source, str):
        remedy = '; of an address give the response: client.stream("POST", url, ...)'
    elif isinstance(source, Bytes):
        remedy = "; for a whole body use millstream.iter_events([data], protocol)"
    elif hasattr(source, "__iter__"):
        remedy = "; for a synchronous one use millstream.iter_events"
    elif callable(source):
        remedy = "; call it"
    raise TypeError(f"a source must be an async iterable of bytes, not {type(source).__name__}{remedy}")
