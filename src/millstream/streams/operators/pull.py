"""`pull`: a stream asked for single items by hand, with a look ahead. `async for` is the way for everything else."""

from __future__ import annotations

from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Final, Generic, Literal, Self, TypeVar

from millstream.errors import StreamClosed

if TYPE_CHECKING:
    from millstream.streams._stream import Stream

__all__ = ["END", "End", "Pull"]

T = TypeVar("T")


class End(Enum):
    """The type of `END`, so that type checkers can tell it from an item."""

    END = "END"

    def __repr__(self) -> str:
        return "END"


END: Final = End.END
"""What `next` and `peek` return instead of an item when there is none any more."""


class Pull(Generic[T]):
    """`next`, `peek`, `push_back` and `stop` over a stream, which it owns. Use it in `async with`.

    Any object can be an item, None too: the end is `END`.
    """

    def __init__(self, stream: Stream[T]) -> None:
        self._stream = stream
        self._ahead: list[T] = []
        self._stopped = False

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        self._ahead.clear()
        await self._stream.__aexit__(kind, error, trace)

    async def next(self) -> T | Literal[End.END]:
        """Return the next item; `END` after the last one, and after `stop`. Raises what the stream raises."""
        if self._ahead:
            return self._ahead.pop()
        if self._stopped:
            return END
        try:
            return await self._stream.__anext__()
        except StopAsyncIteration:
            return END
        except StreamClosed:
            if self._stopped:
                return END
            raise

    async def peek(self) -> T | Literal[End.END]:
        """Return what `next` will return, and leave it there."""
        item = await self.next()
        if item is not END:
            self._ahead.append(item)
        return item

    def push_back(self, item: T) -> None:
        """Make `next` return `item` first. Several come back in reverse order."""
        if not self._stopped:
            self._ahead.append(item)

    async def stop(self) -> None:
        """Close the stream, from any task, as often as you like."""
        self._stopped = True
        self._ahead.clear()
        await self._stream.aclose()
