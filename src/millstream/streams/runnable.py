"""What applications program against: the shape of a stream, and of what makes streams."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar, runtime_checkable

from millstream.streams._stream import Stream

__all__ = ["Runnable", "TextStream"]

In = TypeVar("In", contravariant=True)
Out = TypeVar("Out")
Item = TypeVar("Item", covariant=True)


@runtime_checkable
class TextStream(Protocol[Item]):
    """The two duties of every stream: give items, and close. Nothing can be sent into it."""

    def __aiter__(self) -> Self:
        """Return itself: it is used once."""
        ...

    async def __anext__(self) -> Item:
        """Return the next item."""
        ...

    async def aclose(self) -> None:
        """Release everything."""

    async def __aenter__(self) -> Self:
        """Open it."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None:
        """Close it."""


class Runnable(ABC, Generic[In, Out]):
    """Something that answers with a stream: write `stream`, and `invoke` is there."""

    @abstractmethod
    def stream(self, input: In, /, **options: Any) -> AsyncIterable[Out]:
        """Make the stream of the answer to `input`, with whatever options it takes. It starts when it is iterated."""

    async def invoke(self, input: In, /, **options: Any) -> Out | None:
        """Run the stream of `input` to its end and return its last item, None if there was none.

        Args: input, options: as for `stream`.

        Raises: whatever the stream raises.
        """
        made = self.stream(input, **options)
        return await (made if isinstance(made, Stream) else Stream(made)).last()
