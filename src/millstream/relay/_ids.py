"""Stream ids, keys and event ids: what comes from clients is checked here, before any command.

An event id is `<epoch>.<seq>.<mac>`. The mac is a keyed BLAKE2b of 96 bits, under a random secret of the stream that
the log keeps beside its data: every replica can check it, nothing has to be configured, and an id of one stream is
worth nothing at another. Cost: 0.5 us an id (HMAC-SHA256: 2 us). Source: THREATS_AND_FAULTS.md S3, S4; RFC 7693 2.9.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable
from hashlib import blake2b, sha256

from millstream.errors import InvalidEventId, UsageError

__all__ = [
    "NO_KEY",
    "check_event_id",
    "encoded",
    "event_id",
    "event_ids",
    "new_stream_id",
    "parse_event_id",
    "stream_key",
]

MAC_BYTES = 12
NO_KEY = "/"  # no stream has it: for looking up what cannot be there

_stream_id = re.compile(r"[A-Za-z0-9._:@~-]{1,128}", re.ASCII)
_event_id = re.compile(r"([0-9]{1,20})\.([0-9]{1,20})\.([0-9a-f]{24})", re.ASCII)


def new_stream_id() -> str:
    """Return a random id of 128 bits: who does not know it cannot guess it."""
    return secrets.token_urlsafe(16)


def stream_key(stream_id: str, owner: str) -> str | None:
    """Return the name under which a log keeps the stream, None for what cannot be a stream id.

    Streams of different owners never share a name, whatever their ids: the owner's hash comes before a slash, which no
    id may hold. Nothing that ends a Redis hash tag gets through either.

    Raises: UsageError: the owner is no text, or none that can be encoded.
    """
    name = encoded("owner", owner)
    if not isinstance(stream_id, str) or _stream_id.fullmatch(stream_id) is None:
        return None
    return f"{sha256(name).hexdigest()[:16]}/{stream_id}" if owner else stream_id


def encoded(name: str, text: str) -> bytes:
    """Return a text of the application in UTF-8. Raises: UsageError: it is none, or none that can be encoded."""
    try:
        return text.encode()
    except (AttributeError, UnicodeEncodeError):
        raise UsageError(f"{name} must be a string without lone surrogates, not {text!r:.60}") from None


def event_id(secret: bytes, epoch: int, seq: int) -> str:
    """Return the id of an entry, for `id:` fields and `Last-Event-ID`."""
    return event_ids(secret, epoch)(seq)


def event_ids(secret: bytes, epoch: int) -> Callable[[int], str]:
    """Return what makes the ids of one life of a stream of their numbers."""
    # All ids begin in the same way, so the mac of that is made once.
    begun = _mac(secret, f"{epoch}.")

    def make(seq: int) -> str:
        mac = begun.copy()
        mac.update(b"%d" % seq)
        return f"{epoch}.{seq}.{mac.hexdigest()}"

    return make


def parse_event_id(text: str) -> tuple[int, int, str]:
    """Return (epoch, seq, mac) of what a client sent; `check_event_id` says whether it is true.

    Raises: InvalidEventId: not of this form.
    """
    match = _event_id.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InvalidEventId("not an event id of a relayed stream: send what came in the last `id:` field, unchanged")
    return int(match[1]), int(match[2]), match[3]


def check_event_id(secret: bytes, text: str, mac: str) -> None:
    """Raise InvalidEventId unless the id was given for the stream that has this secret. Constant time."""
    if not hmac.compare_digest(_mac(secret, text.rpartition(".")[0]).hexdigest(), mac):
        raise InvalidEventId("this event id was not given for this stream")


def _mac(secret: bytes, place: str) -> blake2b:
    return blake2b(place.encode(), key=secret, digest_size=MAC_BYTES)
