"""Functions over whole streams: `merge` joins several, `fan_out` gives one to several handlers."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Sequence
from typing import Any, TypeGuard, TypeVar, overload

from anyio import create_task_group

from millstream.events import EventType, TextDelta
from millstream.streams._handoff import Rules
from millstream.streams._stream import Stream
from millstream.streams._tasks import only
from millstream.streams._weight import MAX_BUFFER_BYTES
from millstream.streams.filters import KindFilter
from millstream.streams.operators._apply import isawaitable
from millstream.streams.operators.merge import Merge, OnInputError
from millstream.streams.overflow import Overflow

__all__ = ["fan_out", "merge"]

T = TypeVar("T")
E = TypeVar("E")
U = TypeVar("U")


def merge(
    *streams: AsyncIterable[T],
    keys: Sequence[int | str] | None = None,
    buffer: int = 50,
    on_error: OnInputError = "raise",
    overflow: Overflow = "wait",
    max_bytes: int = MAX_BUFFER_BYTES,
) -> Stream[T]:
    """Give the items of all streams as they come. Use it in `async with`: each input has a task of its own.

    Order is kept within an input. Closing the stream that is returned closes all of them.
    Cost: as `buffer`, a hand-over between tasks for each batch.

    Args:
        streams: any async iterables; they are owned and closed. Of none comes nothing.
        keys: the `stream_id` that the events of each get, all different; by default 0, 1, 2, ...
        buffer: how many items may wait for the consumer, all inputs together; at least 1.
        on_error: "raise" ends everything with the first failure; "isolate" puts an `Error` event in the place of the
            input that failed, and the others go on.
        overflow: what happens when the buffer is full, as for `Stream.buffer`; by default the inputs wait.
        max_bytes: what the items in the buffer may take.
    Raises: ValueError: keys that are not one per stream, a buffer below 1, an unknown policy. StreamBusy: one twice.
    """
    if not streams:
        rules = Rules(overflow=overflow, max_bytes=max_bytes)
        return Stream(Merge([], keys=keys, n=buffer, rules=rules, on_error=on_error))
    first = streams[0] if isinstance(streams[0], Stream) else Stream(streams[0])
    return first.merge(
        *streams[1:], keys=keys, buffer=buffer, on_error=on_error, overflow=overflow, max_bytes=max_bytes
    )


def is_text(item: Any) -> TypeGuard[TextDelta]:
    """Whether an item is text of the answer."""
    return isinstance(item, TextDelta)


@overload
async def fan_out(
    source: AsyncIterable[Any],
    *handlers: Callable[[TextDelta], Any],
    buffer: int = ...,
    overflow: Overflow = ...,
    max_bytes: int = ...,
    on_drop: Callable[[TextDelta], object] | None = ...,
) -> list[int]: ...


@overload
async def fan_out(
    source: AsyncIterable[Any],
    *handlers: Callable[[E | U], Any],
    buffer: int = ...,
    overflow: Overflow = ...,
    max_bytes: int = ...,
    select: tuple[type[E], type[U]],
    on_drop: Callable[[E | U], object] | None = ...,
) -> list[int]: ...


@overload
async def fan_out(
    source: AsyncIterable[Any],
    *handlers: Callable[[E], Any],
    buffer: int = ...,
    overflow: Overflow = ...,
    max_bytes: int = ...,
    select: type[E] | tuple[type[E], ...] | KindFilter[E] | Callable[[Any], TypeGuard[E]],
    on_drop: Callable[[E], object] | None = ...,
) -> list[int]: ...


@overload
async def fan_out(
    source: AsyncIterable[T],
    *handlers: Callable[[T], Any],
    buffer: int = ...,
    overflow: Overflow = ...,
    max_bytes: int = ...,
    select: Callable[[T], bool] | EventType | None,
    on_drop: Callable[[T], object] | None = ...,
) -> list[int]: ...


async def fan_out(
    source: AsyncIterable[Any],
    *handlers: Callable[[Any], Any],
    buffer: int = 20,
    overflow: Overflow = "drop_newest",
    max_bytes: int = MAX_BUFFER_BYTES,
    select: Any = is_text,
    on_drop: Callable[[Any], object] | None = None,
) -> list[int]:
    """Call every handler, sync or async, with every item, each in a task of its own, to the end of the source.

    A handler that does not keep up loses items and delays nobody, unless `overflow="wait"`.

    Args:
        handlers: any number; without one the source is only consumed.
        buffer: how many items may wait for each handler.
        overflow: what becomes of an item for which there is no room.
        max_bytes: what the items that wait for one handler may take.
        select: only items that it accepts are handed out, or those of a class, of one in a tuple of classes, or of an
            `EventType`; by default text deltas. None: all.
        on_drop: called with each item that a handler loses.

    Returns: how many items each handler lost.
    Raises: what the source or a handler raises, unchanged if it is one; the other handlers are cancelled.
    """
    stream = source if isinstance(source, Stream) else Stream(source)
    if not handlers:
        await stream.run(lambda item: None)
        return []
    branches = stream.broadcast(
        len(handlers), buffer=buffer, overflow=overflow, max_bytes=max_bytes, select=select, on_drop=on_drop
    )
    try:
        async with branches as streams, create_task_group() as tasks:
            for branch, handler in zip(streams, handlers, strict=True):
                tasks.start_soon(_handle, branch, handler)
        return [branch.dropped for branch in streams]
    except BaseExceptionGroup as errors:
        error = only(errors)
    raise error


async def _handle(branch: Stream[T], handler: Callable[[T], Any]) -> None:
    async for item in branch:
        result = handler(item)
        if result is not None and isawaitable(result):
            await result
