"""`pipeline`: linked stages, each in a task of its own, with a buffer before each.

    from millstream.streams import pipeline, sink, stage

    await pipeline(stream, stage(clean, buffer=50), stage(analyse, buffer=20), sink(show, buffer=10))

A stage maps items and may change their type; the sink takes what the last stage gives. When a buffer is full, the stage
before it waits, and so on down to the source: nothing is lost and memory is bounded. The end of the source ends the
stages one after another; `pipeline` returns when the sink has had the last item. An exception of any stage, of the sink
or of the source stops all of them, closes the source and comes out unchanged; so does cancellation.

This is `source.buffer(50).map(clean).buffer(20).map(analyse).buffer(10).run(show)` with names: the task of each buffer
does the work of the stage before it.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from millstream.streams._stream import Stream

__all__ = ["Sink", "Stage", "pipeline", "sink", "stage"]

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

STAGE_ITEMS = 16


@dataclass(frozen=True, slots=True)
class Stage(Generic[A, B]):
    """A function from one kind of item to another, and how many items may wait for it."""

    fn: Callable[[A], Any]
    buffer: int


@dataclass(frozen=True, slots=True)
class Sink(Generic[A]):
    """Where a pipeline ends: a function, and how many items may wait for it."""

    fn: Callable[[A], Any]
    buffer: int


@overload
def stage(fn: Callable[[A], Awaitable[B]], *, buffer: int = ...) -> Stage[A, B]: ...


@overload
def stage(fn: Callable[[A], B], *, buffer: int = ...) -> Stage[A, B]: ...


def stage(fn: Callable[[Any], Any], *, buffer: int = STAGE_ITEMS) -> Stage[Any, Any]:
    """Make a stage of a function `fn`, sync or async; at most `buffer` items wait for it."""
    return Stage(fn, buffer)


def sink(fn: Callable[[A], Any], *, buffer: int = STAGE_ITEMS) -> Sink[A]:
    """Make the end of a pipeline of a function `fn`, sync or async; at most `buffer` items wait for it."""
    return Sink(fn, buffer)


@overload
async def pipeline(source: AsyncIterable[A], end: Sink[A], /) -> None: ...


@overload
async def pipeline(source: AsyncIterable[A], one: Stage[A, B], end: Sink[B], /) -> None: ...


@overload
async def pipeline(source: AsyncIterable[A], one: Stage[A, B], two: Stage[B, C], end: Sink[C], /) -> None: ...


@overload
async def pipeline(
    source: AsyncIterable[A], one: Stage[A, B], two: Stage[B, C], three: Stage[C, D], end: Sink[D], /
) -> None: ...


@overload
async def pipeline(source: AsyncIterable[Any], /, *stages: Stage[Any, Any] | Sink[Any]) -> None: ...


async def pipeline(source: AsyncIterable[Any], /, *stages: Stage[Any, Any] | Sink[Any]) -> None:
    """Send the items of `source` through the stages into the sink; returns when all is done.

    Raises: TypeError: the last argument is no sink, or another one is. ValueError: a buffer below 1. Whatever the
        source, a stage or the sink raises.
    """
    middle: list[Any] = list(stages)
    end = middle.pop() if middle else None
    if not isinstance(end, Sink) or not all(isinstance(step, Stage) for step in middle):
        raise TypeError("a pipeline is stages (`stage(fn)`) and a sink (`sink(fn)`) at its end")
    stream: Stream[Any] = source if isinstance(source, Stream) else Stream(source)
    for step in middle:
        stream = stream.buffer(step.buffer).map(step.fn)
    await stream.buffer(end.buffer).run(end.fn)
