"""Events as JSON: the native wire form `millstream.events.v1`.

One JSON object per event, tagged by `type`, defaults left out, bytes in base64. What only this process can hold does
not travel: `ObjectDelta.object`, and of an exception its cause, its `partial` and its `body`.
Cost: one msgspec pass each way.
"""

from __future__ import annotations

import base64
from typing import Any, Union

import msgspec
from msgspec.structs import replace

from millstream.errors import LimitExceeded, ProtocolError, StreamError
from millstream.events.app import Data, File, Raw
from millstream.events.error import Error
from millstream.events.lifecycle import Finish, Handoff, Start, StepFinish, StepStart
from millstream.events.objects import ObjectDelta
from millstream.events.safety import Safety
from millstream.events.sources import Citations
from millstream.events.text import ReasoningDelta, TextDelta
from millstream.events.tools import ProviderToolCall, ProviderToolResult, ToolCall, ToolCallDelta, ToolResult
from millstream.events.usage import Usage

__all__ = ["Event", "decode_event", "encode_event"]

Event = Union[  # noqa: UP007  (X | Y would evaluate Data[Any] | ... each time a checker resolves it)
    Start,
    TextDelta,
    ReasoningDelta,
    ObjectDelta,
    ToolCallDelta,
    ToolCall,
    ToolResult,
    Citations,
    Safety,
    Usage,
    Error,
    Finish,
    Handoff,
    Data[Any],
    StepStart,
    StepFinish,
    File,
    Raw,
    ProviderToolCall,
    ProviderToolResult,
]
"""Any event. What decoders give and encoders take."""

# The facts of an exception that travel, besides its kind and message. What comes as another type is passed over: code
# that acts on them, such as a retry that waits, must not fail at what somebody has sent.
ERROR_FACTS: dict[str, type | tuple[type, ...]] = {
    "retryable": bool,
    "retry_after": (int, float),
    "provider": str,
    "offset": int,
    "reason": str,
    "snippet": str,
    "line": int,
    "option": str,
    "limit": int,
    "of_all": bool,
    "content_type": str,
    "status": int,
    "code": str,
    "request_id": str,
    "attempts": int,
    "dropped": int,
    "tool": str,
    "first_available": (int, str),
}
MAX_NUMBER = 1 << 53  # of a fact


def encode_event(event: Event) -> bytes:
    """Encode one event as a JSON object on one line, without a line end.

    What cannot travel stays: `ObjectDelta.object`, and of an exception all but its kind, text and facts.

    Raises: TypeError: a payload of the application is not encodable as JSON. ValueError: a lone surrogate in a text.
    """
    if type(event) is ObjectDelta and event.object is not None:
        event = replace(event, object=None)
    if event._meta is not None and not event._meta:
        event = replace(event, _meta=None)
    return _encoder.encode(event)


def decode_event(data: bytes | str) -> Event:
    """Decode what `encode_event` made.

    Args: data: one JSON object, bytes or str. Names that it does not know are passed over.
    Raises: ProtocolError: not JSON, or not an event.
    """
    try:
        event: Event = _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ProtocolError(f"not a millstream.events.v1 event: {error}", reason="event") from None
    return event


def _subclasses(cls: type[StreamError]) -> dict[str, type[StreamError]]:
    table = {cls.kind: cls}
    for sub in cls.__subclasses__():
        table |= _subclasses(sub)
    return table


def _encode_error(value: Any) -> dict[str, Any]:
    if not isinstance(value, StreamError):
        raise TypeError(f"{type(value).__name__} is not JSON")
    kind = type(value).kind
    # Only a StreamTimeout tells more than its class: "timeout.idle".
    facts = {"kind": kind if value.kind == kind else f"{kind}.{value.kind}", "message": value.message}
    for name in ERROR_FACTS:
        fact = getattr(value, name, None)
        if fact not in (None, "", b""):
            facts[name] = base64.b64encode(fact).decode() if isinstance(fact, bytes) else fact
    return facts


def _is_fact(value: Any, type_: type | tuple[type, ...]) -> bool:
    if isinstance(value, (int, float)) and not 0 <= value <= MAX_NUMBER:
        return False
    return isinstance(value, type_) and isinstance(value, bool) == (type_ is bool)


def _decode_error(kind: type, facts: Any) -> StreamError:
    """Rebuild the exception. A kind of a later version becomes a plain StreamError and keeps its message."""
    if kind is not StreamError or not isinstance(facts, dict):
        raise TypeError(f"no {kind.__name__} can be made of this")
    name, _, detail = str(facts.get("kind")).partition(".")
    cls = _subclasses(StreamError).get(name, StreamError)
    known: dict[str, Any] = {k: facts[k] for k, type_ in ERROR_FACTS.items() if _is_fact(facts.get(k), type_)}
    if detail:
        known["kind"] = detail
    if "snippet" in known:
        known["snippet"] = base64.b64decode(str(known["snippet"]), validate=True)
    if cls is LimitExceeded:
        known = {"option": "", "limit": 0} | known
    try:
        return cls(str(facts.get("message", "")), **known)
    except TypeError:
        common = {name: known[name] for name in ("retryable", "retry_after", "provider") if name in known}
        return StreamError(str(facts.get("message", "")), **common)


_encoder = msgspec.json.Encoder(enc_hook=_encode_error)
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Event, dec_hook=_decode_error)
