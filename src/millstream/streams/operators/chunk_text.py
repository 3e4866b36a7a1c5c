"""`chunk_text`: fewer, larger pieces of text.

Consecutive `TextDelta` of one block and one choice are joined until they have more than `min_bytes` UTF-8 bytes. What
is joined goes out before any other event, before an error and at the end, so order is kept, nothing is lost. At most
`min_bytes` and one delta are held.
"""

from __future__ import annotations

from typing import Any

from millstream.events import TextDelta
from millstream.streams._pull import Puller, breathe
from millstream.streams.operators._base import Operator

__all__ = ["ChunkText"]


class ChunkText(Operator[Any]):
    """Join text deltas up to a size. Raises: ValueError: min_bytes below 0."""

    def __init__(self, source: Puller[Any], min_bytes: int = 1024) -> None:
        super().__init__(source)
        if min_bytes < 0:
            raise ValueError(f"min_bytes cannot be negative, got {min_bytes}")
        self._min_bytes = min_bytes
        self._held: list[TextDelta] = []
        self._size = 0
        self._error: Exception | None = None
        self._ended = False

    async def pull(self) -> list[Any]:
        """Return the next events that are complete."""
        fruitless = 0
        while not self._ended:
            out: list[Any] = []
            try:
                batch = await self._source.pull()
            except Exception as error:
                self._error, batch = error, []
            self._ended = not batch
            for event in batch:
                self._add(event, out)
            if self._ended:
                self._flush(out)
            if out:
                return out
            fruitless = await breathe(fruitless)
        if self._error is not None:
            raise self._error
        return []

    def _add(self, event: Any, out: list[Any]) -> None:
        if type(event) is not TextDelta:
            self._flush(out)
            out.append(event)
            return
        if self._held and not _same_text(self._held[0], event):
            self._flush(out)
        self._held.append(event)
        self._size += len(event.text.encode())
        if self._size > self._min_bytes:
            self._flush(out)

    def _flush(self, out: list[Any]) -> None:
        held, self._held, self._size = self._held, [], 0
        if len(held) == 1:
            out += held
        elif held:
            text = "".join(event.text for event in held)
            first = held[0]
            out.append(TextDelta(text, index=first.index, choice=first.choice, stream_id=first.stream_id))


def _same_text(one: TextDelta, other: TextDelta) -> bool:
    """Whether two deltas continue each other; one that carries something of its own in `meta` stays alone."""
    same = (one.index, one.choice, one.stream_id) == (other.index, other.choice, other.stream_id)
    return same and not one._meta and not other._meta
