"""The small contract of all encoders. Synchronous, no I/O, no clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from millstream.events import Event, EventBase

__all__ = ["Encoder", "refuse_no_event"]


class Encoder(ABC):
    """Typed events -> bytes of one response.

    Attributes:
        media_type: the content type to send.
        headers: other response headers that the wire expects.
    """

    name: ClassVar[str]
    media_type: ClassVar[str]
    headers: ClassVar[dict[str, str]] = {}

    @abstractmethod
    def encode(self, event: Event) -> bytes:
        """Encode one event; b"" if the wire cannot express it."""

    def close(self) -> bytes:
        """Return the wire's terminator, b"" if it has none."""
        return b""


def refuse_no_event(given: Any) -> None:
    """Raise TypeError if it is no event."""
    if not isinstance(given, EventBase):
        remedy = "; text goes in a TextDelta" if isinstance(given, str) else ""
        raise TypeError(f"an encoder takes an event, not {type(given).__name__}{remedy}")
