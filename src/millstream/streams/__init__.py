"""Async streams: sources, operators, and the `Stream` that holds a chain of them. anyio starts on this floor."""

from millstream.streams._open import stream
from millstream.streams._stream import Stream

__all__ = ["Stream", "stream"]
