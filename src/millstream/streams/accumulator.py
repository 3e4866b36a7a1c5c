"""`TextAccumulator`: text collected as UTF-8 in one buffer, allocated before it is needed and used again.

For who works on pieces of a long text, or keeps many texts at once: memory is that of the bytes, where a list of pieces
holds an object for each. Who only wants the whole text takes `Stream.text()`, which is faster. Cost: 0.5 us a piece,
amortised O(1) beyond the capacity. Source: REQUIREMENTS.md rows 69, 70 and 153.
"""

from __future__ import annotations

from typing import Any

from millstream.errors import LimitExceeded
from millstream.events import TextDelta

__all__ = ["TextAccumulator"]

MiB = 1024 * 1024


class TextAccumulator:
    """Collects text: `stream.on_event(ms.TextDelta, accumulator.add)`, or call `append` with strings.

    Args:
        capacity: bytes that fit without an allocation.
        max_bytes: how far it may grow.

    Attributes:
        n_bytes: UTF-8 bytes collected. `len(accumulator)` is code points.
        growths: how often it had to grow.

    Raises: ValueError: capacity below 1, or above max_bytes.
    """

    __slots__ = ("_buffer", "_n_chars", "growths", "max_bytes", "n_bytes")

    def __init__(self, capacity: int = 10_000, *, max_bytes: int = 64 * MiB) -> None:
        if not 1 <= capacity <= max_bytes:
            raise ValueError(f"need 1 <= capacity <= max_bytes, not {capacity} and {max_bytes}")
        self.max_bytes = max_bytes
        self.growths = 0
        self.n_bytes = 0
        self._n_chars = 0
        self._buffer = bytearray(capacity)

    @property
    def capacity(self) -> int:
        """Bytes that fit without a new allocation."""
        return len(self._buffer)

    def __len__(self) -> int:
        return self._n_chars

    def add(self, event: Any) -> None:
        """Append the text of an event, if it is a `TextDelta`; others are passed over. Raises: as `append`."""
        if isinstance(event, TextDelta):
            self.append(event.text)

    def append(self, text: str) -> None:
        """Append text. Raises: LimitExceeded: it would be more than `max_bytes`; nothing is appended then."""
        data = text.encode("utf-8", "surrogatepass")  # half a pair may come from a provider, and must come out again
        end = self.n_bytes + len(data)
        if end > len(self._buffer):
            self._grow(end)
        self._buffer[self.n_bytes : end] = data
        self.n_bytes = end
        self._n_chars += len(text)

    @property
    def text(self) -> str:
        """What was collected."""
        return str(memoryview(self._buffer)[: self.n_bytes], "utf-8", "surrogatepass")

    def take(self) -> str:
        """Return what was collected, and begin anew in the same buffer: for pieces of, say, more than 1024 bytes."""
        text = self.text
        self.clear()
        return text

    def clear(self) -> None:
        """Forget what was collected; the capacity stays."""
        self.n_bytes = self._n_chars = 0

    def _grow(self, needed: int) -> None:
        if needed > self.max_bytes:
            raise LimitExceeded(
                f"a text of {needed} bytes is more than the accumulator allows",
                option="max_bytes",
                limit=self.max_bytes,
            )
        self._buffer.extend(bytes(min(self.max_bytes, max(needed, 2 * len(self._buffer))) - len(self._buffer)))
        self.growths += 1
