"""`collect`: all items in one list."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from millstream.streams._stream import Stream

__all__ = ["collect"]

T = TypeVar("T")


async def collect(stream: Stream[T]) -> list[T]:
    """Consume a stream, close it, and return its items.

    Raises: whatever the stream raises, with the items that came before it in the exception's `partial`.
    """
    items: list[T] = []
    try:
        async with stream:
            async for batch in stream.batches():
                items += batch
    except Exception as error:
        with suppress(AttributeError):  # an exception of somebody else may refuse attributes
            error.partial = items  # type: ignore[attr-defined]
        raise
    return items
