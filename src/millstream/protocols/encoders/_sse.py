"""What all SSE encoders share: framing that no value can break out of, and the life of an encoder.

CR, LF and NUL in an id or event name are refused, never stripped: a stripped id is another id, and a client that gets
a NUL ignores the id, so that its resume point is lost. Source: WHATWG HTML 9.2.5, SSE.md section 6.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from msgspec import to_builtins
from orjson import JSONEncodeError, dumps

from millstream.errors import EncodeError, StreamError, UsageError
from millstream.events import Event, Start
from millstream.protocols._encoder import Encoder, refuse_no_event
from millstream.protocols.encoders._faults import error_text

__all__ = ["SSEEncoder", "json_data", "json_text", "sse_comment", "sse_message"]

RETRY_MAX = 2**31 - 1  # what SSEParser reads; also the longest timer of a browser

_line_ends = re.compile(r"\r\n|\r|\n")
_forbidden = re.compile(r"[\r\n\0]")


def sse_message(data: str | None, event: str | None = None, id: str | None = None, retry: int | None = None) -> bytes:
    r"""Frame one message.

    Args:
        data: any text; it arrives with its line ends as LF. None: no data field, so that a client sees no event.
        event: the name of the event; None: no field, which clients read as "message".
        id: what a client that reconnects sends as Last-Event-ID; "" makes it forget the last one.
        retry: milliseconds to wait before a reconnection, 0 to 2^31-1.
    Raises: EncodeError: CR, LF or NUL in `event` or `id`, a lone surrogate, `retry` out of range. Nothing was written.
    Cost: O(len(data)).
    """
    lines = []
    if event is not None:
        lines.append("event: " + _field("event", event))
    if id is not None:
        lines.append("id: " + _field("id", id))
    if retry is not None:
        if type(retry) is not int or not 0 <= retry <= RETRY_MAX:
            raise EncodeError(f"retry must be whole milliseconds from 0 to {RETRY_MAX}")
        lines.append(f"retry: {retry}")
    if data is not None:
        lines += ["data: " + line for line in _line_ends.split(data)]
    return _utf8("\n".join([*lines, "", ""]))


def sse_comment(text: str = "") -> bytes:
    """Frame a comment, which clients skip: a sign of life. Raises EncodeError on a lone surrogate."""
    return _utf8("".join(f": {line}\n" for line in _line_ends.split(text)) + "\n")


def json_data(value: Any, event: str | None = None) -> bytes:
    """Frame one message whose data is JSON, on one line: JSON text as written by orjson holds no CR and no LF.

    Args: value: anything that `json_text` takes. event: as for `sse_message`.
    Raises: EncodeError, as `json_text` and `sse_message`.
    """
    head = b"data: " if event is None else _utf8(f"event: {_field('event', event)}\ndata: ")
    return head + json_text(value) + b"\n\n"


def json_text(value: Any) -> bytes:
    """Return a value as compact JSON.

    Args: value: what orjson takes, and what msgspec takes (structs, sets, bytes as base64).
    Raises: EncodeError: a lone surrogate, an integer of more than 64 bits, a key that is no string, another type.
    """
    try:
        return dumps(value, default=to_builtins)
    except JSONEncodeError as error:
        raise EncodeError(f"this value cannot be sent as JSON: {error}") from error


def _field(name: str, value: str) -> str:
    bad = _forbidden.search(value)
    if bad:
        raise EncodeError(f"an SSE {name} must not hold {bad[0]!r} (character {bad.start()}); encode it before")
    return value


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise EncodeError(f"character {error.start} is a lone surrogate, which UTF-8 cannot carry") from error


class SSEEncoder(Encoder):
    """The life of an encoder: `_begin` once, then a writer per event, until `_live` is set to False.

    Tolerant of order, because a stream may be joined late and a server may add an error at any time: an event before
    `Start` begins with an empty one, a second `Start` and whatever comes after the end of the wire give b"".

    A wire is `_begin`, the table `_writers`, and `_end` if it has a terminator. Kinds of event that are not in the
    table give b"". A writer turns values into JSON before it changes the encoder, as that may raise.

    Args: expose_errors: whether `_words` tells the message of an error, or a sentence for its kind.
    """

    media_type: ClassVar[str] = "text/event-stream; charset=utf-8"
    headers: ClassVar[dict[str, str]] = {
        "cache-control": "no-store",
        "x-accel-buffering": "no",
        "x-content-type-options": "nosniff",
    }
    _writers: ClassVar[dict[type, Callable[[Any, Any], bytes]]]
    """Kind of event -> function of the encoder and the event."""

    def __init__(self, *, expose_errors: bool = True) -> None:
        self._expose = expose_errors
        self._begun = False
        self._unsent: bytes | None = None
        """What stands before everything else, if the event that it was made for could not be written."""
        self._live = False
        """Begun and not ended. A writer sets it to False when it has written the wire's own end, or an error."""
        self._closed = False

    def encode(self, event: Event) -> bytes:
        """Encode one event; b"" if the wire cannot express it, or has ended.

        Raises: UsageError: used after `close`. EncodeError: a value that JSON cannot carry; nothing of the event was
            written. TypeError: it is no event.
        Cost: O(len(event)).
        """
        if not self._live:
            return self._first_or_late(event)
        write = self._writers.get(type(event))
        if write is None:
            refuse_no_event(event)
            return b""
        return write(self, event)

    def _first_or_late(self, event: Event) -> bytes:
        if self._closed:
            raise UsageError("this encoder is closed; make a new one for each response")
        refuse_no_event(event)
        if not self._begun:
            self._unsent = self._begin(event if isinstance(event, Start) else Start())
            self._begun = True
        elif self._unsent is None:
            return b""
        self._live = True
        try:
            out = b"" if isinstance(event, Start) else SSEEncoder.encode(self, event)
        except EncodeError:
            self._live = False
            raise
        head, self._unsent = self._unsent, None
        return head + out

    def close(self) -> bytes:
        """Return the wire's terminator; b"" if it has none, or if the answer did not end well. Again: b""."""
        if self._closed:
            return b""
        head, self._unsent = self._unsent, None
        self._live = self._live or head is not None
        tail = self._end()
        self._closed, self._live = True, False
        return (head or b"") + tail

    @abstractmethod
    def _begin(self, start: Start) -> bytes:
        """Write what stands before everything else."""

    def _end(self) -> bytes:
        return b""

    def _words(self, error: StreamError) -> str:
        """What the client is told of an error."""
        return error.message if self._expose else error_text(type(error).kind)
