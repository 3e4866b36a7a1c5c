"""The small contract of all encoders. Synchronous, no I/O, no clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from millstream.events import Event

__all__ = ["Encoder"]


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
