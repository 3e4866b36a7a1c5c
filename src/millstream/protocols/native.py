"""`millstream.events.v1`: our own wire, the events themselves as JSON, over SSE or NDJSON.

Encoding then decoding gives the same events; see `events/_codec.py` for the little that does not travel.
"""

from __future__ import annotations

from typing import get_args, get_origin

from msgspec.structs import replace

from millstream.core import NDJSONParser, SSEMessage, SSEParser
from millstream.errors import EncodeError, ProtocolError
from millstream.events import (
    Error,
    Event,
    Finish,
    FinishReason,
    ProviderToolResult,
    Start,
    ToolResult,
    decode_event,
    encode_event,
)
from millstream.protocols._base import Decoder
from millstream.protocols._encoder import Encoder, refuse_no_event
from millstream.protocols.encoders._faults import TOOL_FAILED, masked

__all__ = ["NativeDecoder", "NativeEncoder", "NativeLinesDecoder", "NativeLinesEncoder"]


class _Native(Decoder):
    """Events pass through as they are; only what is missing at the ends is added."""

    gives = tuple(get_origin(cls) or cls for cls in get_args(Event) if cls not in (Start, Error, Finish))

    _failed = False  # a fatal Error went through

    def _event(self, data: str | bytes) -> None:
        event = decode_event(data)
        if isinstance(event, Start):
            if self._begun:
                raise ProtocolError("a second start event", reason="event")
            self._begun = True
        self._emit(event)
        self._failed = self._failed or (isinstance(event, Error) and event.fatal)
        self.ended = isinstance(event, Finish)

    def _restart(self) -> None:
        super()._restart()
        self._failed = False

    def _end(self, *, terminated: bool = False) -> None:
        """The body has ended without a `Finish`."""
        self._last(FinishReason.ERROR if self._failed else FinishReason.INCOMPLETE)


class NativeDecoder(_Native):
    """One event per SSE message."""

    name = "millstream.events.v1"
    media_types = ("text/event-stream",)

    def _make_parser(self) -> SSEParser:
        return SSEParser(max_event_bytes=self.limits.max_event_bytes, at_eof="deliver")

    def _message(self, message: SSEMessage) -> None:
        self._event(message.data)


class NativeLinesDecoder(_Native):
    """One event per line."""

    name = "millstream.events.v1+ndjson"
    media_types = ("application/x-ndjson", "application/ndjson", "application/jsonl")

    def _make_parser(self) -> NDJSONParser:
        return NDJSONParser(decode=False, max_line_bytes=self.limits.max_line_bytes)

    def _message(self, message: bytes) -> None:
        self._event(message)


class _NativeEncoder(Encoder):
    """What both framings share.

    Args: expose_errors: send errors and the words of failed tools as they are, instead of a sentence for their kind.
    """

    headers = {"cache-control": "no-store", "x-accel-buffering": "no", "x-content-type-options": "nosniff"}

    def __init__(self, *, expose_errors: bool = True) -> None:
        self._expose = expose_errors

    def _json(self, event: Event) -> bytes:
        if not self._expose:
            event = _masked(event)
        try:
            return encode_event(event)
        except (AttributeError, TypeError, ValueError) as error:
            refuse_no_event(event)
            raise EncodeError(f"this {event.type} event cannot be sent as JSON: {error}") from error


class NativeEncoder(_NativeEncoder):
    """One SSE message per event."""

    name = "millstream.events.v1"
    media_type = "text/event-stream; charset=utf-8"

    def encode(self, event: Event) -> bytes:
        return b"data: " + self._json(event) + b"\n\n"


class NativeLinesEncoder(_NativeEncoder):
    """One line per event."""

    name = "millstream.events.v1+ndjson"
    media_type = "application/x-ndjson"

    def encode(self, event: Event) -> bytes:
        return self._json(event) + b"\n"


def _masked(event: Event) -> Event:
    if isinstance(event, Error):
        return replace(event, error=masked(event.error))
    if isinstance(event, ToolResult | ProviderToolResult) and event.error is not None:
        return replace(event, error=TOOL_FAILED)
    return event
