"""What a request asks for in its headers: one of several wires, and a place to resume from.

Pure. Source: RFC 9110 section 12.5.1 for `Accept`; WHATWG HTML 9.2.4 for `Last-Event-ID`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from millstream.errors import InvalidEventId

__all__ = ["MAX_EVENT_ID", "choose", "header", "last_event_id"]

MAX_EVENT_ID = 1024  # characters; ours have at most 66


def choose(accept: str, offered: Sequence[str]) -> int:
    """Return which of the offered media types the client likes best; of equals, the first.

    A client that accepts none of them gets the first all the same, as RFC 9110 allows: SDKs ask for `application/json`
    when they want a stream.

    Args: accept: the header's value, "" if there is none. offered: with or without parameters.
    """
    ranges = [_range(text) for text in accept.split(",") if text.strip()]
    if not ranges:
        return 0
    qualities = [_quality(media_type.partition(";")[0].strip().lower(), ranges) for media_type in offered]
    return qualities.index(max(qualities))


def _range(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return name, 0.0
            return name, quality if 0.0 <= quality <= 1.0 else 0.0
    return name, 1.0


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    found = dict(reversed(ranges))
    for name in (media_type, media_type.partition("/")[0] + "/*", "*/*"):  # the most specific one decides
        if name in found:
            return found[name]
    return 0.0


def header(scope: Mapping[str, Any], name: bytes) -> str:
    """Return a header of an ASGI request, several joined by commas; "" if there is none."""
    return ", ".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)


def last_event_id(scope: Mapping[str, Any]) -> str | None:
    """Return where the client wants to resume: the header `Last-Event-ID`, else `last_event_id` of the query string.

    A page that was loaded anew cannot set headers of an `EventSource`, so it uses the query.

    Args: scope: of an ASGI request.
    Raises: InvalidEventId: longer than MAX_EVENT_ID characters, or not UTF-8.
    """
    given = [value for key, value in scope["headers"] if key == b"last-event-id"]
    if not given:
        given = parse_qs(scope.get("query_string", b"")).get(b"last_event_id", [])
    if not given or not given[0]:
        return None
    try:
        text: str = given[0].decode()
    except UnicodeDecodeError:
        raise InvalidEventId("the Last-Event-ID is not UTF-8") from None
    if len(text) > MAX_EVENT_ID:
        raise InvalidEventId(f"the Last-Event-ID is longer than {MAX_EVENT_ID} characters")
    return text
