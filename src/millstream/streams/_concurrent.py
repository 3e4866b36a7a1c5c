"""The methods of `Stream` for the operators that need tasks or a clock. A part of `Stream`, in a file of its own."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from millstream.events import EventType
from millstream.streams._clock import ANYIO_CLOCK, Clock
from millstream.streams._core import StreamCore
from millstream.streams._handoff import Rules
from millstream.streams._pull import Puller
from millstream.streams._sequential import Sequential
from millstream.streams._weight import MAX_BUFFER_BYTES
from millstream.streams.operators.debounce import Debounce, latest
from millstream.streams.operators.keep_alive import KeepAlive, beat
from millstream.streams.operators.map_concurrent import MapConcurrent
from millstream.streams.operators.merge import Merge, OnInputError
from millstream.streams.operators.smooth import Chunking, Smooth
from millstream.streams.operators.tee import Branches
from millstream.streams.operators.throttle import Throttle
from millstream.streams.overflow import Losses, Overflow

if TYPE_CHECKING:
    from millstream.streams._stream import Stream

__all__ = ["Concurrent"]

T = TypeVar("T")
U = TypeVar("U")


class Concurrent(Sequential[T]):
    """Buffers, joins, branches, and pace."""

    if TYPE_CHECKING:

        def _then(self, operator: Callable[..., Puller[U]], *others: AsyncIterable[Any]) -> Stream[U]: ...

        @staticmethod
        def _of(puller: Puller[U]) -> Stream[U]: ...

    @property
    def dropped(self) -> int:
        """How many items were dropped on the way to this stream, under whatever overflow policy."""
        return sum(losses.total for losses in self._losses())

    @property
    def dropped_by_stream(self) -> dict[int | str | None, int]:
        """The same by the `stream_id` of the items; None for those that have none."""
        counts: dict[int | str | None, int] = {}
        for losses in self._losses():
            for key, n_items in losses.by_stream.items():
                counts[key] = counts.get(key, 0) + n_items
        return counts

    def _losses(self) -> tuple[Losses, ...]:
        stream: StreamCore[Any] = self
        while stream._heir is not None:
            stream = stream._heir
        return stream._puller.losses

    # --- pace ----------------------------------------------------------------------------------------------------

    def throttle(self, rate: float, per: float = 1.0, *, burst: int = 1, clock: Clock = ANYIO_CLOCK) -> Stream[T]:
        """Let at most `rate` items pass in `per` seconds, after a pause `burst` at once; the source is slowed down."""
        return self._then(lambda source: Throttle(source, rate, per, burst=burst, clock=clock))

    def debounce(
        self,
        seconds: float,
        *,
        max_wait: float | None = None,
        merge: Callable[[T, T], T | None] = latest,
        on_drop: Callable[[T], object] | None = None,
        clock: Clock = ANYIO_CLOCK,
    ) -> Stream[T]:
        """Give an item when none has followed for `seconds`; text deltas are joined, other events never dropped.

        With `max_wait`, what is held is given after so many seconds at the latest, also if it never is quiet.

        Args:
            seconds: how long it must have been quiet.
            merge: `(held, new) -> item`, or None to give what is held and then hold the new one; by default the newer
                of two items, and the joined text of two deltas.
            on_drop: called with each item that a newer one took the place of.
        """
        return self._then(
            lambda source: Debounce(source, seconds, max_wait=max_wait, merge=merge, on_drop=on_drop, clock=clock),
        )

    def smooth(self, by: Chunking = "word", delay: float = 0.01, *, clock: Clock = ANYIO_CLOCK) -> Stream[T]:
        """Cut text by "word", "line", a pattern or a function, and give one piece every `delay` seconds."""
        return self._then(lambda source: Smooth(source, by, delay, clock=clock))

    def keep_alive(
        self, every: float = 15.0, make: Callable[[], Any] = beat, *, clock: Clock = ANYIO_CLOCK
    ) -> Stream[T]:
        """Give `make()`, by default a `Data` event named KEEP_ALIVE, after each `every` seconds of silence."""
        return self._then(lambda source: KeepAlive(source, every, make, clock=clock))

    # --- several at a time ---------------------------------------------------------------------------------------

    @overload
    def map_ordered(self, fn: Callable[[T], Awaitable[U]], n: int) -> Stream[U]: ...

    @overload
    def map_ordered(self, fn: Callable[[T], U], n: int) -> Stream[U]: ...

    def map_ordered(self, fn: Callable[[T], Any], n: int) -> Stream[Any]:
        """Replace each item by `fn(item)`, at `n` items at a time, in the order of the items."""
        return self._then(lambda source: MapConcurrent(source, fn, n, ordered=True))

    @overload
    def map_unordered(self, fn: Callable[[T], Awaitable[U]], n: int) -> Stream[U]: ...

    @overload
    def map_unordered(self, fn: Callable[[T], U], n: int) -> Stream[U]: ...

    def map_unordered(self, fn: Callable[[T], Any], n: int) -> Stream[Any]:
        """Replace each item by `fn(item)`, at `n` items at a time, each result as soon as it is there."""
        return self._then(lambda source: MapConcurrent(source, fn, n, ordered=False))

    def merge(
        self,
        *others: AsyncIterable[T],
        keys: Sequence[int | str] | None = None,
        buffer: int = 50,
        on_error: OnInputError = "raise",
        overflow: Overflow = "wait",
        max_bytes: int = MAX_BUFFER_BYTES,
        protect: Callable[[T], bool] | type | tuple[type, ...] | EventType | None = None,
        on_drop: Callable[[T], object] | None = None,
        clock: Clock = ANYIO_CLOCK,
    ) -> Stream[T]:
        """Give the items of this stream and the others as they come; as `millstream.merge`.

        Args: others, keys, buffer, on_error: as for `millstream.merge`; keys for all streams, this one first.
        """
        rules = Rules(overflow=overflow, max_bytes=max_bytes, protect=protect, on_drop=on_drop, clock=clock)
        return self._then(lambda *sources: Merge(sources, keys=keys, n=buffer, rules=rules, on_error=on_error), *others)

    # --- branches ------------------------------------------------------------------------------------------------

    def tee(self, n: int = 2, *, buffer: int = 64, max_bytes: int = MAX_BUFFER_BYTES) -> Branches[T]:
        """Give every item to each of `n` streams: `async with stream.tee(2) as (one, other):`.

        The slowest governs: nobody gets more than `buffer` items, or `max_bytes`, ahead of it.
        """
        return self._branches(n, buffer=buffer, rules=Rules(max_bytes=max_bytes), name="tee")

    def broadcast(
        self,
        n: int = 2,
        *,
        buffer: int = 20,
        overflow: Overflow = "drop_newest",
        select: Callable[[T], bool] | type | tuple[type, ...] | EventType | None = None,
        max_bytes: int = MAX_BUFFER_BYTES,
        protect: Callable[[T], bool] | type | tuple[type, ...] | EventType | None = None,
        on_drop: Callable[[T], object] | None = None,
        on_backpressure: Callable[[int, float], object] | None = None,
        clock: Clock = ANYIO_CLOCK,
    ) -> Branches[T]:
        """Give every item, or those that `select` accepts, to each of `n` streams that has room for it.

        `select` is a plain function or a kind, as for `filter`. Each has a buffer of its own of `buffer` items and
        `max_bytes`, and counts what it lost in `dropped`. An item that waits in several counts in each.
        """
        rules = Rules(
            overflow=overflow,
            max_bytes=max_bytes,
            protect=protect,
            on_drop=on_drop,
            on_backpressure=on_backpressure,
            clock=clock,
        )
        return self._branches(n, buffer=buffer, rules=rules, select=select, name="broadcast")

    def share(self, n: int = 2, *, buffer: int = 16, max_bytes: int = MAX_BUFFER_BYTES) -> Branches[T]:
        """Give each item to one of `n` streams, whichever asks first: work for several workers.

        At most `buffer` items, or `max_bytes`, wait for them.
        """
        return self._branches(n, buffer=buffer, rules=Rules(max_bytes=max_bytes), shared=True, name="share")

    def _branches(self, n: int, **options: Any) -> Branches[T]:
        return Branches(self._then, self._of, n, **options)
