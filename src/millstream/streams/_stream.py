"""`Stream`: what the user holds. An async iterator and an async context manager over a chain of pullers.

Guards once for the whole chain: a single consumer at a time, closing from any task at any time, one terminal outcome,
the source closed on every way out. Cost: a batch costs one pull and one cancel scope (about 3 us), an item of it one
`__anext__`. Source: STREAMS.md, safety rules S1 to S22; the rule is named where it is obeyed.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, cast

from anyio import CancelScope, Event, move_on_after
from anyio.lowlevel import checkpoint

from millstream.errors import StreamBusy, StreamClosed
from millstream.streams._pull import IterablePuller, Puller
from millstream.streams.operators._base import Operator
from millstream.streams.operators.collect import collect
from millstream.streams.operators.filter import Filter
from millstream.streams.operators.map import Map
from millstream.streams.operators.text import text

__all__ = ["State", "Stream"]

T = TypeVar("T")
U = TypeVar("U")
R = TypeVar("R")

State = Literal["new", "running", "finished", "failed", "closed"]

CLOSE_SECONDS = 5.0  # how long closing may take before it is given up
FAIR_ITEMS = 64  # S17: a stream that never suspends meets a real checkpoint after as many items
END: Any = object()


class Stream(Generic[T]):
    """Events (or anything else) as they arrive. Used once, by one consumer at a time.

    Use it in `async with`: leaving the block closes the source. Iterating it without is allowed, but then nobody closes
    the source if the loop is left early.

    Args: source: any async iterable, or a puller.
    """

    def __init__(self, source: AsyncIterable[T] | Puller[T]) -> None:
        self._puller = source if isinstance(source, Puller) else IterablePuller(source)
        self._state: State = "new"
        self._opened = False
        self._items: list[T] = []
        self._next = 0
        self._since_checkpoint = 0
        self._scope: CancelScope | None = None
        self._released: Event | None = None
        self._heir: Stream[Any] | None = None

    @property
    def state(self) -> State:
        """Where it stands: new, running, finished (its end was reached), failed (it raised) or closed (before that)."""
        return self._heir.state if self._heir is not None else self._state

    # --- iterating -----------------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """Return the next item.

        Raises: StreamClosed: it was closed before its end. StreamBusy: another consumer is waiting for an item.
            Whatever the source or an operator raises, once; after that the stream is at its end.
        """
        i = self._next
        if i == len(self._items):
            i = 0
            self._items = await self._pull()
            if not self._items:
                raise StopAsyncIteration
        self._next = i + 1
        return self._items[i]

    def batches(self) -> AsyncIterator[list[T]]:
        """Iterate over lists of items that are ready together: one network chunk, one await.

        Raises: as `__anext__`.
        """
        return _Batches(self)

    def _rest(self) -> list[T]:
        rest = self._items[self._next :]
        self._items, self._next = [], 0
        return rest

    async def _pull(self) -> list[T]:
        self._refuse_second_consumer()
        if self._state not in ("new", "running"):
            if self._state == "closed":
                raise StreamClosed("this stream was closed before its end")
            return []
        batch = await self._guarded(self._next_batch)
        self._since_checkpoint += len(batch)
        if not batch:
            await self._release("finished")
        return batch

    async def _next_batch(self) -> list[T]:
        if self._since_checkpoint >= FAIR_ITEMS:
            self._since_checkpoint = 0
            await checkpoint()
        await self._open()
        return await self._puller.pull()

    async def _open(self) -> None:
        if not self._opened:
            self._opened = True
            self._state = "running"
            await self._puller.open()

    def _refuse_second_consumer(self) -> None:
        if self._scope is not None:
            raise StreamBusy("this stream already has a consumer waiting; two consumers need one stream each")
        if self._heir is not None:
            raise StreamBusy("an operator has taken this stream over; iterate the stream that the operator returned")

    async def _guarded(self, work: Callable[[], Awaitable[R]]) -> R:
        """Do what waits for the source. S5: nobody closes it meanwhile; `aclose` cancels this scope instead."""
        result: Any = None
        try:
            with CancelScope() as self._scope:
                result = await work()
        except BaseException as error:
            self._scope = None
            await self._release("failed")
            if isinstance(error, StopAsyncIteration):  # S9: from a function of the user; it would look like the end
                raise RuntimeError("a function given to an operator raised StopAsyncIteration") from error
            raise
        closed = self._scope.cancel_called
        self._scope = None
        if closed:
            await self._release("closed")
            raise StreamClosed("this stream was closed while its consumer was waiting")
        return cast("R", result)

    # --- closing -------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open the source. Raises what keeps it from opening: ConnectionFailed, ProviderError, ..."""
        self._refuse_second_consumer()
        if self._state == "closed":
            raise StreamClosed("this stream was closed already")
        if not self._opened:
            await self._guarded(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop the stream and release its source: from any task, at any time, as often as you like.

        A consumer that waits in another task gets StreamClosed.
        """
        if self._heir is not None:
            await self._heir.aclose()
        elif self._scope is not None:
            self._released = self._released or Event()
            self._scope.cancel()
            await self._released.wait()
        elif self._state in ("new", "running"):
            await self._release("closed")

    async def _release(self, state: State) -> None:
        self._state = state
        self._rest()  # what was pulled but not asked for goes with the stream
        try:
            # S8: clean up even if cancelled, but not for ever.
            with move_on_after(CLOSE_SECONDS, shield=True):
                await self._puller.aclose()
        finally:
            if self._released is not None:
                self._released.set()

    # --- composing -----------------------------------------------------------------------------------------------

    def _then(self, operator: Callable[[Puller[T]], Puller[U]]) -> Stream[U]:
        """Hand this stream's source over to an operator. Closing this stream then closes the one that is returned."""
        if self._scope is not None or self._heir is not None:
            raise StreamBusy("this stream has a consumer already")
        puller = operator(_Resumed(self._rest(), self._puller) if self._next < len(self._items) else self._puller)
        heir: Stream[U] = Stream(puller)
        heir._state, heir._opened = self._state, self._opened
        self._heir = heir
        return heir

    def map(self, fn: Callable[[T], U] | Callable[[T], Awaitable[U]]) -> Stream[U]:
        """Replace each item by `fn(item)`; see `operators/map.py`."""
        return self._then(lambda source: Map(source, fn))

    def filter(self, keep: Callable[[T], bool] | Callable[[T], Awaitable[bool]]) -> Stream[T]:
        """Keep the items for which `keep(item)` is true; see `operators/filter.py`."""
        return self._then(lambda source: Filter(source, keep))

    async def collect(self) -> list[T]:
        """Consume the stream and return all items; see `operators/collect.py`."""
        return await collect(self)

    async def text(self) -> str:
        """Consume a stream of events and return the answer's text; see `operators/text.py`."""
        return await text(cast("Stream[Any]", self))


class _Batches(AsyncIterator[list[T]]):
    """Not a generator: trio warns of a generator that was left early, and this one would have nothing to close."""

    def __init__(self, stream: Stream[T]) -> None:
        self._stream = stream

    async def __anext__(self) -> list[T]:
        batch = self._stream._rest() or await self._stream._pull()
        if not batch:
            raise StopAsyncIteration
        return batch


class _Resumed(Operator[T]):
    """A source of which some items were pulled already."""

    def __init__(self, items: list[T], source: Puller[T]) -> None:
        super().__init__(source)
        self._items = items

    async def pull(self) -> list[T]:
        """Return those items first."""
        items, self._items = self._items, []
        return items or await self._source.pull()
