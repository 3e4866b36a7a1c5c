"""The methods of `Stream` for the operators without tasks: on items, parts, batches, joins. A part of `Stream`."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar, overload

from millstream.events import EventType
from millstream.streams._clock import ANYIO_CLOCK, Clock
from millstream.streams._core import StreamCore
from millstream.streams._pull import Puller
from millstream.streams.filters import EventFilter, KindFilter
from millstream.streams.operators.batched import Batched, TimedBatched, is_terminal
from millstream.streams.operators.chunk_text import ChunkText
from millstream.streams.operators.concat import Concat
from millstream.streams.operators.filter import Filter
from millstream.streams.operators.flat_map import FlatMap
from millstream.streams.operators.map import Map
from millstream.streams.operators.pipe import OnError, Pipe
from millstream.streams.operators.scan import Scan
from millstream.streams.operators.take import Skip, Take, TakeWhile
from millstream.streams.operators.tap import Tap, accepts
from millstream.streams.operators.zip import Zip

if TYPE_CHECKING:
    from millstream.streams._stream import Stream

__all__ = ["Sequential"]

T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")
W = TypeVar("W")
E = TypeVar("E")

Fn = Callable[[T], U] | Callable[[T], Awaitable[U]]
"""A function of the user, sync or async. Where its result decides the type of the stream, mypy wants two overloads."""


class Sequential(StreamCore[T]):
    """One item after another."""

    if TYPE_CHECKING:

        def _then(self, operator: Callable[..., Puller[U]], *others: AsyncIterable[Any]) -> Stream[U]: ...

    # --- item by item --------------------------------------------------------------------------------------------

    @overload
    def map(self, fn: Callable[[T], Awaitable[U]]) -> Stream[U]: ...

    @overload
    def map(self, fn: Callable[[T], U]) -> Stream[U]: ...

    def map(self, fn: Fn[T, Any]) -> Stream[Any]:
        """Replace each item by `fn(item)`."""
        return self._then(lambda source: Map(source, fn))

    def flat_map(self, fn: Fn[T, Iterable[U]]) -> Stream[U]:
        """Replace each item by the items of `fn(item)`."""
        return self._then(lambda source: FlatMap(source, fn))

    @overload
    def filter(self, kind: type[bool], /, *predicates: Fn[T, bool]) -> Stream[T]: ...

    @overload
    def filter(self, kind: type[E], /, *predicates: Callable[[Any], Any]) -> Stream[E]: ...

    @overload
    def filter(self, kind: tuple[type[E], type[U]], /, *predicates: Callable[[Any], Any]) -> Stream[E | U]: ...

    @overload
    def filter(self, kind: tuple[type[E], ...], /, *predicates: Callable[[Any], Any]) -> Stream[E]: ...

    @overload
    def filter(self, kind: EventType, /, *predicates: Fn[T, bool]) -> Stream[T]: ...

    @overload
    def filter(self, kind: KindFilter[E], /, *predicates: Callable[[Any], Any]) -> Stream[E]: ...

    @overload
    def filter(self, kind: EventFilter, /, *predicates: Fn[T, bool]) -> Stream[T]: ...

    @overload
    def filter(self, kind: Callable[[T], TypeGuard[E]], /, *predicates: Callable[[Any], Any]) -> Stream[E]: ...

    @overload
    def filter(self, *predicates: Fn[T, bool]) -> Stream[T]: ...

    def filter(self, *predicates: Any) -> Stream[Any]:
        """Keep the items that all predicates accept; `millstream.filters` has ready ones.

        A class (but `bool`), a tuple of classes or an `EventType` accepts the items of that kind.
        """
        return self._then(lambda source: Filter(source, *predicates))

    def tap(self, fn: Callable[[T], Any]) -> Stream[T]:
        """Call `fn(item)` with each item as it passes."""
        return self._then(lambda source: Tap(source, fn))

    @overload
    def on_event(self, kind: EventType, fn: Callable[[Any], Any]) -> Stream[T]: ...

    @overload
    def on_event(self, kind: type[E] | tuple[type[E], ...], fn: Callable[[E], Any]) -> Stream[T]: ...

    def on_event(self, kind: Any, fn: Callable[[Any], Any]) -> Stream[T]:
        """Call `fn(event)` with each event of a kind as it passes: a class, a tuple of several, or an `EventType`."""
        return self._then(lambda source: Tap(source, fn, accepts(kind)))

    def scan(self, fn: Callable[[U, T], U] | Callable[[U, T], Awaitable[U]], start: U) -> Stream[U]:
        """Give `start` folded with the items so far by `fn(so_far, item)`, at each item."""
        return self._then(lambda source: Scan(source, fn, start))

    @overload
    def pipe(self, f: Callable[[T], Awaitable[U]], /, *, on_error: OnError = ...) -> Stream[U]: ...

    @overload
    def pipe(self, f: Callable[[T], U], /, *, on_error: OnError = ...) -> Stream[U]: ...

    @overload
    def pipe(self, f: Fn[T, U], g: Fn[U, V], /, *, on_error: OnError = ...) -> Stream[V]: ...

    @overload
    def pipe(self, f: Fn[T, U], g: Fn[U, V], h: Fn[V, W], /, *, on_error: OnError = ...) -> Stream[W]: ...

    @overload
    def pipe(self, *functions: Callable[[Any], Any], on_error: OnError = ...) -> Stream[Any]: ...

    def pipe(self, *functions: Callable[[Any], Any], on_error: OnError = "raise") -> Stream[Any]:
        """Apply functions one after another; `on_error`: "raise", "skip" the item, or "emit" an `Error` event."""
        return self._then(lambda source: Pipe(source, *functions, on_error=on_error))

    # --- parts, batches, joins -----------------------------------------------------------------------------------

    def take(self, n: int) -> Stream[T]:
        """Give the first `n` items."""
        return self._then(lambda source: Take(source, n))

    def take_while(self, predicate: Fn[T, bool]) -> Stream[T]:
        """Give items as long as the predicate accepts them; the one it refuses is left out."""
        return self._then(lambda source: TakeWhile(source, predicate, wanted=True, inclusive=False))

    def take_until(self, predicate: Fn[T, bool]) -> Stream[T]:
        """Give items up to the first that the predicate accepts, and that one."""
        return self._then(lambda source: TakeWhile(source, predicate, wanted=False, inclusive=True))

    def skip(self, n: int) -> Stream[T]:
        """Leave out the first `n` items."""
        return self._then(lambda source: Skip(source, n))

    def batched(
        self,
        n: int,
        max_wait: float | None = None,
        *,
        flush_on: Callable[[T], bool] | None = is_terminal,
        clock: Clock = ANYIO_CLOCK,
    ) -> Stream[list[T]]:
        """Give lists of `n` items, sooner after `max_wait` seconds, after `flush_on(item)`, and at the end."""
        if max_wait is None:
            return self._then(lambda source: Batched(source, n, flush_on=flush_on))
        return self._then(lambda source: TimedBatched(source, n, max_wait, flush_on=flush_on, clock=clock))

    def chunk_text(self, min_bytes: int = 1024) -> Stream[T]:
        """Join consecutive text deltas until they have more than `min_bytes` bytes; other events pass as they are."""
        return self._then(lambda source: ChunkText(source, min_bytes))

    def concat(self, *others: AsyncIterable[T]) -> Stream[T]:
        """Give the items of this stream, then those of the others, one stream after another."""
        return self._then(lambda *sources: Concat(sources), *others)

    @overload
    def zip(self, other: AsyncIterable[U], /, *, strict: bool = ...) -> Stream[tuple[T, U]]: ...

    @overload
    def zip(self, *others: AsyncIterable[Any], strict: bool = ...) -> Stream[tuple[Any, ...]]: ...

    def zip(self, *others: AsyncIterable[Any], strict: bool = False) -> Stream[Any]:
        """Give tuples of an item of this stream and one of each of the others, to the end of the shortest.

        With `strict`, all must be of one length; StreamError, when it is read, if they are not.
        """
        return self._then(lambda *sources: Zip(sources, strict=strict), *others)
