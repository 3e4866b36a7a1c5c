"""What no provider sends: the application's own payloads. And what no decoder knows: raw wire events."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

from msgspec import json

from millstream.events._base import EventBase, EventType

__all__ = ["Data", "File", "Raw"]

T = TypeVar("T")


class Data(EventBase, Generic[T], frozen=True, gc=True, tag="data"):
    """A payload of the application, travelling with the stream.

    Attributes:
        payload: any value; it must be encodable as JSON to go over the wire.
        name: what kind of payload, "" if there is only one.
    """

    type: ClassVar[EventType] = EventType.DATA

    payload: T
    name: str = ""


class File(EventBase, frozen=True, gc=False, tag="file"):
    """An image, a piece of audio or another file inside the answer.

    Attributes:
        media_type: such as "image/png".
        data: the bytes; b"" if there is only an address.
        url: its address, else "".
        index: the content block, from 0.
    """

    type: ClassVar[EventType] = EventType.FILE

    media_type: str
    data: bytes = b""
    url: str = ""
    index: int = 0


class Raw(EventBase, frozen=True, gc=False, tag="raw"):
    """A wire event that the decoder does not know, or not all of it. Kept as it came, never an error.

    Attributes:
        data: the text of the message.
        event: its SSE event name, "" where the wire has none.
    """

    type: ClassVar[EventType] = EventType.RAW

    data: str
    event: str = ""

    def json(self) -> Any:
        """Return the data decoded as JSON. Raises msgspec.DecodeError if it is not JSON."""
        return json.decode(self.data)
