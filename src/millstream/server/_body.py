"""The body of one answer: events, or items of a relayed stream, to bytes. Synchronous; knows no server.

Theory: an id stands on the last message that an event makes, so a client that is cut off between two messages of one
event gets that event again and loses nothing. Comments and `retry:` are lines without a blank line of their own where
a block without data would harm: the SDK of OpenAI takes such a block for an event once an id has been seen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from millstream.errors import ProcessingError, StreamError
from millstream.events import Error, Event, Finish, FinishReason, Start
from millstream.protocols import Encoder, encoder
from millstream.protocols.encoders._sse import sse_comment, sse_message
from millstream.relay import Item

__all__ = ["Body", "Ids", "RelayBody", "is_sse"]

Ids = Callable[[Event], str | None]

log = logging.getLogger("millstream")


def is_sse(media_type: str) -> bool:
    """Whether this is the media type of server-sent events."""
    return media_type.partition(";")[0].strip().lower() == "text/event-stream"


class Body:
    """Events to bytes.

    Args:
        wire: an encoder that nobody else uses.
        ids: gives the id of an event, None for none.
        retry: milliseconds that a client waits before it reconnects.
    Attributes:
        heartbeat: what to send in silence, b"" if the wire has nothing that means nothing, or not at this place.
        resumable: whether a client can go on where it was cut off.
    Raises: EncodeError: `retry` is out of range.
    """

    def __init__(self, wire: Encoder, ids: Ids | None = None, retry: int | None = None) -> None:
        framed = is_sse(wire.media_type)
        self._wire = wire
        self._ids = ids if framed else None
        self._head = sse_message(None, retry=retry)[:-1] if framed and retry is not None else b""
        self._told = False  # a fatal Error has been encoded
        self.resumable = self._ids is not None
        self.heartbeat = (b":\n" if self.resumable else sse_comment()) if framed else b""

    def encode(self, batch: Iterable[Event], out: list[bytes]) -> None:
        """Encode events that are ready together.

        Args: out: gets what they make; when an event cannot be encoded, what was made of those before it.
        Raises: EncodeError: a value that the wire cannot carry. What `ids` raises.
        """
        write, ids = self._wire.encode, self._ids
        if self._head:
            out.append(self._head)
            self._head = b""
        for event in batch:
            if type(event) is Error and event.fatal:
                self._told = True
            data = write(event)
            out.append(data if ids is None else _with_id(data, ids(event)))

    def finish(self) -> bytes:
        """Return what ends a whole answer."""
        return self._wire.close()

    def fail(self, error: Exception) -> bytes:
        """Return what tells the client that the answer broke off, and ends it. The client sees no foreign text."""
        if self._told:
            return self._wire.close()
        self._told = True
        return self._wire.encode(Error(shown(error))) + self._wire.encode(Finish(FinishReason.ERROR)) + self.finish()


class RelayBody:
    """Items of a `Subscription`, which are encoded already, each with its event id. Same methods as `Body`."""

    def __init__(self, subscription: Any, expose: bool | None, retry: int | None = None) -> None:
        self._subscription = subscription
        self._expose = expose
        self._framed = is_sse(subscription.media_type)
        self._head = sse_message(None, retry=retry)[:-1] if self._framed and retry is not None else b""
        self._whole = True  # what was written ends with a blank line
        self.resumable = True
        self.heartbeat = b":\n" if self._framed else b""

    def encode(self, batch: Iterable[Item], out: list[bytes]) -> None:
        """Write items with their ids."""
        if self._head:
            out.append(self._head)
            self._head = b""
        if not self._framed:
            out += [data for _, data in batch]
            return
        for id, data in batch:
            if self._whole and 0 < data.find(b"\n\n") == len(data) - 2:  # one message: what relays are full of
                out.append(b"id: %b\n%b" % (id.encode(), data))
                continue
            # Of items that the application published as bytes, only whole messages can get an id.
            out.append(_with_id(data, id) if self._whole else data)
            self._whole = data.endswith(b"\n\n")
        self.heartbeat = b":\n" if self._whole else b""

    def finish(self) -> bytes:
        """Return b"": the end of the wire stands in the data."""
        return b""

    def fail(self, error: Exception) -> bytes:
        """Tell the error on the stream's own wire, unless the producer has told it."""
        end, name = self._subscription.end, self._subscription.protocol
        if (end is not None and end.told) or not name or not self._whole:
            return b""
        wire = encoder(name) if self._expose is None else encoder(name, expose_errors=self._expose)
        wire.encode(Start())  # what stands before everything else was written by the producer
        return wire.encode(Error(shown(error))) + wire.encode(Finish(FinishReason.ERROR)) + wire.close()


def shown(error: Exception) -> StreamError:
    """Return what may be told of an error; of one in the application's own code only that there was one."""
    return error if isinstance(error, StreamError) else ProcessingError("the server failed while it made this answer")


def _with_id(data: bytes, id: str | None) -> bytes:
    if id is None or not data.endswith(b"\n\n"):
        return data
    last = data.rfind(b"\n\n", 0, -2) + 2 if data.count(b"\n\n") > 1 else 0
    return data[:last] + sse_message(None, id=id)[:-1] + data[last:]
