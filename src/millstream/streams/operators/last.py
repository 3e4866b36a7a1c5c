"""`last`: the last item, in constant memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from millstream.errors import EmptyStream

if TYPE_CHECKING:
    from millstream.streams._stream import Stream

__all__ = ["last"]

T = TypeVar("T")


async def last(stream: Stream[T], *, strict: bool = False, default: T | None = None) -> T | None:
    """Consume a stream, close it, and return its last item; `default` if it has none.

    Raises: EmptyStream: it has none, and `strict` is set. Whatever the stream raises: no result then.
    """
    item = default
    found = False
    async with stream:
        async for batch in stream.batches():
            item = batch[-1]
            found = True
    if strict and not found:
        raise EmptyStream("the stream ended without an item")
    return item
