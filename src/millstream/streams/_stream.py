"""`Stream`: what the user holds. The guards are in `_core.py`, each operator in its file; the methods here, in
`_sequential.py` and in `_concurrent.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast, overload

from millstream.errors import StreamBusy
from millstream.events import EventType
from millstream.streams._clock import ANYIO_CLOCK, Clock
from millstream.streams._concurrent import Concurrent
from millstream.streams._core import State
from millstream.streams._handoff import Rules
from millstream.streams._pull import BatchPuller, IterablePuller, Puller
from millstream.streams._weight import MAX_BUFFER_BYTES
from millstream.streams.monitor import StreamHealth, StreamMonitor
from millstream.streams.operators.buffer import Buffer
from millstream.streams.operators.collect import collect
from millstream.streams.operators.last import last
from millstream.streams.operators.monitor import Monitor
from millstream.streams.operators.pull import Pull
from millstream.streams.operators.retry import Replay, Retry
from millstream.streams.operators.run import Handler, process, run
from millstream.streams.operators.text import text
from millstream.streams.operators.timeout import Timeout
from millstream.streams.overflow import Overflow
from millstream.streams.retry import RetryPolicy
from millstream.streams.timeouts import Timeouts

__all__ = ["BufferedStream", "State", "Stream"]

T = TypeVar("T")
U = TypeVar("U")


class Stream(Concurrent[T]):
    """Events (or anything else) as they arrive. Used once, by one consumer at a time.

    Use it in `async with`: leaving the block closes the source. Iterating it without is allowed, unless an operator
    needs background tasks, but then nobody closes the source if the loop is left early.

    Args: source: any async iterable, or a puller.

    Where an operator takes a `clock`, its waits go by that: a `FakeClock` in tests. Where it has a buffer, `overflow`,
    `max_bytes`, `protect`, `on_drop` and `on_backpressure` are those of `BufferedStream`. Seconds may be fractions.
    """

    def __init__(self, source: AsyncIterable[T] | Puller[T]) -> None:
        super().__init__(source if isinstance(source, Puller) else IterablePuller(source))

    @classmethod
    def from_batches(cls, source: AsyncIterable[list[U]]) -> Stream[U]:
        """Make a stream of the items of lists, which then travel together at the cost of one await.

        Args: source: any async iterable of lists; it is owned and closed. An empty list is passed over.
        """
        return Stream(BatchPuller(source))

    def _then(self, operator: Callable[..., Puller[U]], *others: AsyncIterable[Any]) -> Stream[U]:
        """Hand this stream's chain over to `operator(puller, *pullers of the others)`.

        Closing this stream, or one of the others, then closes the one that is returned.
        """
        streams = [stream for stream in (self, *others) if isinstance(stream, Stream)]
        for stream in streams:
            stream._refuse_second_owner()
        if len({id(stream) for stream in streams}) < len(streams):
            raise StreamBusy("a stream cannot be combined with itself: use `tee` to get it twice")
        pullers = [_puller(stream) for stream in (self, *others)]
        heir: Stream[U] = Stream(operator(*pullers))
        heir._state = self._state
        for stream in streams:
            stream._heir = heir
        return heir

    @staticmethod
    def _of(puller: Puller[U]) -> Stream[U]:
        return Stream(puller)

    # --- a task of its own --------------------------------------------------------------------------------------------

    def buffer(
        self,
        n: int,
        *,
        overflow: Overflow = "wait",
        max_bytes: int = MAX_BUFFER_BYTES,
        protect: Callable[[T], bool] | type | tuple[type, ...] | EventType | None = None,
        on_drop: Callable[[T], object] | None = None,
        on_backpressure: Callable[[int, float], object] | None = None,
        clock: Clock = ANYIO_CLOCK,
    ) -> BufferedStream[T]:
        """Let the source run ahead by at most `n` items and `max_bytes`, in a task.

        Args: as for `BufferedStream`, which this returns.
        Raises: ValueError: n or max_bytes below 1, or an unknown policy. BufferOverflow while it is read, of
            `overflow="error"`. LimitExceeded while it is read: one item was larger than max_bytes.
        """
        return BufferedStream(
            self,
            n,
            overflow=overflow,
            max_bytes=max_bytes,
            protect=protect,
            on_drop=on_drop,
            on_backpressure=on_backpressure,
            clock=clock,
        )

    # --- when it goes wrong --------------------------------------------------------------------------------------

    def timeout(
        self,
        timeouts: Timeouts | None = None,
        *,
        first: float | None = None,
        idle: float | None = None,
        progress: float | None = None,
        total: float | None = None,
        clock: Clock = ANYIO_CLOCK,
    ) -> Stream[T]:
        """Raise StreamTimeout when a clock runs out, and close the source.

        Args:
            timeouts: the clocks as one value; or else one by one, in seconds, None for none:
            first, idle, progress, total: to the first item, between two, between two of content, to the end.
        Raises: ValueError: a time that is not positive and finite.
        """
        limits = timeouts or Timeouts(first=first, idle=idle, progress=progress, total=total)
        return self._then(lambda source: Timeout(source, limits, clock=clock))

    def retry(
        self,
        again: Callable[[], AsyncIterable[T] | Awaitable[AsyncIterable[T]]],
        policy: RetryPolicy | None = None,
        *,
        replay: Replay = "never",
        resume: Callable[[T], AsyncIterable[T] | Awaitable[AsyncIterable[T]]] | None = None,
        clock: Clock = ANYIO_CLOCK,
    ) -> Stream[T]:
        """If this stream fails before it gave anything, go on with `again()`; `resume(last_item)` if it gave something.

        Args:
            again: makes the next attempt.
            policy: how often and how long between; by default `RetryPolicy()`: three attempts.
            replay: "restart" allows `again` also after items were given, after a `Data` event named
                "millstream.restart", which tells the consumer to forget them; "never" raises the error.
            resume: makes an attempt that goes on behind the last item that was given.
        Raises, when read: RetriesExhausted: with the last error as its cause. The error itself, if it will not pass.
        Attempts may have operators that need background tasks, in `async with`, which is then left by the task that
        entered it.
        """
        make = _opener(lambda _: again())
        go_on = None if resume is None else _opener(resume)
        return self._then(
            lambda source: Retry(source, make, policy=policy, replay=replay, resume=go_on, clock=clock),
        )

    def _retry(self, again: Callable[[], AsyncIterable[T]], policy: RetryPolicy) -> Stream[T]:
        """As `retry`, of attempts without background tasks, so that the stream may be left in any task."""
        make = _opener(lambda _: again())
        return self._then(lambda source: Retry(source, make, policy=policy, tasks=False))

    def monitor(
        self,
        monitor: StreamMonitor,
        *,
        every: float | None = None,
        on_health: Callable[[StreamHealth], Any] | None = None,
        clock: Clock = ANYIO_CLOCK,
    ) -> Stream[T]:
        """Let a `StreamMonitor` count what passes; with `every`, report the health so often, even in silence.

        Args:
            monitor: what counts; one per stream.
            every: seconds between two reports; None: no reports, and no background task.
            on_health: sync or async, gets each `StreamHealth`; None logs it. What it raises ends the stream.
        Raises: ValueError: every is not positive.
        """
        return self._then(lambda source: Monitor(source, monitor, every=every, on_health=on_health, clock=clock))

    # --- to the end ----------------------------------------------------------------------------------------------

    async def collect(self) -> list[T]:
        """Consume the stream and return all items."""
        return await collect(self)

    @overload
    async def last(self) -> T | None: ...

    @overload
    async def last(self, *, strict: bool) -> T: ...

    @overload
    async def last(self, *, default: T) -> T: ...

    async def last(self, *, strict: bool = False, default: T | None = None) -> T | None:
        """Consume the stream and return the last item; of an empty one `default`, or EmptyStream if `strict`."""
        return await last(self, strict=strict, default=default)

    async def text(self) -> str:
        """Consume a stream of events and return the answer's text.

        Cost: where nothing but a timeout stands between, half of what the events cost: they are not made.
        """
        return await text(cast("Stream[Any]", self))

    async def run(self, handler: Callable[[T], Any]) -> None:
        """Call `handler(item)` with each item, to the end."""
        await run(self, handler)

    async def process(self, handlers: Mapping[type | EventType, Handler], *, default: Handler | None = None) -> None:
        """Call the handler of each event's class or `EventType`, until `Finish` or the end.

        Args:
            handlers: sync or async functions of one event, by class or by `EventType`; the first that fits.
            default: for events that none of them fits; None: they are passed over.
        Raises: ProcessingError: a handler failed; `__cause__` is its exception. StreamError: what a fatal `Error` event
            holds, after its handler. Whatever the stream raises.
        """
        await process(self, handlers, default=default)

    def pull(self) -> Pull[T]:
        """Ask for single items by hand, with `next`, `peek`, `push_back` and `stop`. `async for` is simpler."""
        return Pull(self)


class BufferedStream(Stream[T]):
    """What `Stream.buffer` returns: a stream that holds up to `n` items ahead of its consumer.

    Args:
        source: any async iterable; it is owned and closed.
        n: how many items.
        overflow: when it is full: "wait" (lossless), "conflate" (text is joined, lossless), "drop_oldest",
            "drop_newest", "drop_all", "error" (BufferOverflow), "drop_after" 5 s; or `DropAfter(seconds)`,
            `Conflate(merge)`, `CallerRuns(fn)`. Losses are in `dropped`, and in the log at level debug.
        max_bytes: what the items inside may take, by estimate (see `streams/_weight.py`). All buffers of the process
            together may take 256 MiB; when they do, each takes what finds no room one by one.
        protect: items never to be dropped, besides `ToolCall`, `Error` and `Finish`: a plain function, or a kind, as
            for `filter`.
        on_drop: called with each item that is dropped.
        on_backpressure: called with the number of items inside and 0.0 when the source has to wait, and with the
            seconds that it has waited when it can go on.
        clock: what waits go by.

    An item larger than max_bytes alone is dropped and counted by a policy that drops it, and LimitExceeded under all
    others, or if it may not be lost; only `CallerRuns` takes it.

    Raises: ValueError: n or max_bytes below 1, or an unknown policy.
    """

    def __init__(
        self,
        source: AsyncIterable[T],
        n: int,
        *,
        overflow: Overflow = "wait",
        max_bytes: int = MAX_BUFFER_BYTES,
        protect: Callable[[T], bool] | type | tuple[type, ...] | EventType | None = None,
        on_drop: Callable[[T], object] | None = None,
        on_backpressure: Callable[[int, float], object] | None = None,
        clock: Clock = ANYIO_CLOCK,
    ) -> None:
        rules = Rules(
            overflow=overflow,
            max_bytes=max_bytes,
            protect=protect,
            on_drop=on_drop,
            on_backpressure=on_backpressure,
            clock=clock,
        )
        stream = source if isinstance(source, Stream) else None
        if stream is not None:
            stream._refuse_second_owner()
        self._buffer = Buffer(_puller(source), n, rules)
        super().__init__(self._buffer)
        if stream is not None:
            self._state = stream._state
            stream._heir = self

    @property
    def capacity(self) -> int:
        """How many items it holds at most."""
        return self._buffer.handoff.box.n

    @property
    def n_bytes(self) -> int:
        """What the items in it take now, by the estimate that `max_bytes` bounds; those too that are being consumed."""
        return self._buffer.handoff.box.n_bytes

    @property
    def size(self) -> int:
        """The same, by the name that the seed gives it."""
        return self.capacity

    def __len__(self) -> int:
        """How many items are waiting in it now."""
        return len(self._buffer.handoff.box.items)

    def __bool__(self) -> bool:
        return True  # a stream, not a collection: an empty buffer says nothing about what is to come


def _puller(source: AsyncIterable[Any]) -> Puller[Any]:
    return source._hand_over() if isinstance(source, Stream) else IterablePuller(source)


def _opener(make: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Puller[Any]]]:
    async def open_(last_item: Any) -> Puller[Any]:
        made = make(last_item)
        if not isinstance(made, AsyncIterable):
            made = await made
        return _puller(made)

    return open_
