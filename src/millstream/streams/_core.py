"""What guards a stream: a single consumer at a time, closing from any task, one outcome, the source closed on every way
out, background tasks owned by the user's `async with`. Once for a whole chain of pullers; no operator is known here.

Cost: a batch costs one pull, an item of it next to nothing (`core/_batch.pyx`); pulls that never suspend meet a
checkpoint (3 us) every FAIR_PULLS batches or FAIR_SECONDS. How `aclose` wakes a consumer that waits: `_interrupt.py`
on asyncio, a cancel scope for each pull (6 us) on trio; why not the other way round: docs/topics/streams.md.
Source: STREAMS.md, safety rules S1 to S22; the rule is named where it is obeyed.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import AsyncIterator, Coroutine
from time import monotonic
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, TypeVar

from anyio import CancelScope, Event
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from millstream.core._batch import Serving
from millstream.errors import StreamBusy, StreamClosed, StreamNotEntered
from millstream.streams._interrupt import CancelledError, absorb, interrupt, task_finder
from millstream.streams._pull import Puller, release
from millstream.streams._tasks import Tasks
from millstream.streams.operators._base import Operator

__all__ = ["State", "StreamCore"]

T = TypeVar("T")

State = Literal["new", "running", "finished", "failed", "closed"]

log = logging.getLogger("millstream")


class StreamCore(Serving[T]):
    """A chain of pullers with its guards. `Stream` adds the operators."""

    _state: State = "new"  # on the class too: `__del__` also sees objects whose source was refused
    _heir: StreamCore[Any] | None = None

    def __init__(self, puller: Puller[T]) -> None:
        super().__init__()
        self._puller = puller
        self._now = monotonic
        self._opened = False
        self._tasks = Tasks(puller.needs_tasks or puller.may_need_tasks)
        self._entered = False
        self._scope: CancelScope | None = None
        self._released: Event | None = None

    @property
    def state(self) -> State:
        """Where it stands: new, running, finished (its end was reached), failed (it raised) or closed (before that)."""
        return self._heir.state if self._heir is not None else self._state

    # --- iterating -----------------------------------------------------------------------------------------------

    def batches(self) -> AsyncIterator[list[T]]:
        """Iterate over lists of items that are ready together: one network chunk, one await.

        Raises: as `__anext__`.
        """
        return _Batches(self)

    async def _refill(self) -> list[T]:
        """Pull for the first time, or after a checkpoint; on trio always."""
        self._refuse_second_consumer()
        if not self._may_begin():
            return []
        batch: list[T] = []
        try:
            # S5: nobody closes the source while this waits; `aclose` cancels the scope instead.
            with CancelScope() as self._scope:
                if self._must_breathe():
                    await checkpoint()
                    self._breathed()
                if not self._opened:
                    await self._open()
                if self._find_task is None:
                    batch = await self._puller.pull()
        except BaseException as error:
            await self._fail(error)
            raise
        if self._released is not None:  # `_close` is the only one that cancels the scope
            await self._closed_while_waiting()
        self._scope = None
        if self._find_task is not None:
            return await self._pulled()
        if not batch:
            await self._release("finished")
        return batch

    async def _settle(self, batch: list[T] | None, error: BaseException | None) -> list[T]:
        """Say what became of a pull that was the last one: the end, an error, or closed by another task (asyncio)."""
        alone = absorb(self)
        if self._released is None:
            if error is None:
                await self._release("finished")
                return []
            await self._fail(error)
            raise error
        if isinstance(error, CancelledError) and alone:
            error = None
        if error is not None and not isinstance(error, Exception):  # a cancellation from further out comes first
            await self._fail(error)
            raise error
        try:
            await self._closed_while_waiting(error)
        finally:
            await checkpoint_if_cancelled()

    def _may_begin(self) -> bool:
        """Whether there may be anything to pull. Raises: StreamClosed; StreamNotEntered."""
        if self._state == "closed":
            raise StreamClosed("this stream was closed before its end")
        if not self._opened and not self._entered and self._puller.needs_tasks:
            raise StreamNotEntered(
                f"`{self._puller.needs_tasks}` works in a background task: use `async with stream... as events:` and "
                "iterate inside the block, so that the task ends with it"
            )
        return self._state in ("new", "running")

    async def _open(self) -> None:
        self._opened = True
        self._state = "running"
        await self._puller.open(self._tasks)
        self._find_task = task_finder()
        if self._find_task is not None:
            self._pull_with(self._puller.pull)

    def _refuse_second_consumer(self) -> None:
        if self._scope is not None or self._waiting:
            raise StreamBusy("this stream already has a consumer waiting; two consumers need one stream each")
        if self._heir is not None:
            raise StreamBusy("an operator has taken this stream over; iterate the stream that the operator returned")

    async def _fail(self, error: BaseException) -> None:
        """Close after an error, which the caller raises again unless another one comes from here."""
        scope, self._scope = self._scope, None
        if isinstance(error, Exception) and scope is not None and scope.cancel_called:
            await self._closed_while_waiting(error)
        await self._release("failed", error)
        if isinstance(error, StopAsyncIteration):  # S9: from a function of the user; it would look like the end
            raise RuntimeError("a function given to an operator raised StopAsyncIteration") from error

    async def _closed_while_waiting(self, error: Exception | None = None) -> NoReturn:
        self._scope = None
        await self._release("closed", error)
        raise StreamClosed("this stream was closed while its consumer was waiting") from error

    # --- closing -------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Open the source, and own the tasks of the operators.

        Raises: what keeps it from opening: ConnectionFailed, ProviderError, ...
        """
        self._refuse_second_consumer()
        if self._state == "closed":
            raise StreamClosed("this stream was closed already")
        if self._puller.needs_tasks or self._puller.may_need_tasks:
            await self._tasks.enter()
        self._entered = True
        if not self._opened and self._state in ("new", "running"):
            try:
                await self._enter()
            except BaseException:
                await self._tasks.exit()
                raise
        return self

    async def _enter(self) -> None:
        try:
            with CancelScope() as self._scope:
                await self._open()
        except BaseException as error:
            await self._fail(error)
            raise
        if self._scope.cancel_called:
            await self._closed_while_waiting()
        self._scope = None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._close(error)
        finally:
            await self._tasks.exit()

    async def aclose(self) -> None:
        """Stop the stream and release its source: from any task, at any time, as often as you like.

        A consumer that waits in another task gets StreamClosed.
        """
        await self._close(None)

    async def _close(self, error: BaseException | None) -> None:
        if self._heir is not None:
            await self._heir._close(error)
        elif self._scope is not None:
            self._released = self._released or Event()
            self._scope.cancel()
            await self._released.wait()
        elif self._waiting:
            if self._released is None:
                self._released = Event()
                interrupt(self)
            await self._released.wait()
        elif self._state in ("new", "running"):
            await self._release("closed", error)

    async def _release(self, state: State, error: BaseException | None = None) -> None:
        """Close the chain. An exception of closing is added to the `error` that led here as a note, if there is one."""
        self._state = state
        self._pull_with(None)
        self._rest()  # what was pulled but not asked for goes with the stream
        try:
            await release(self._puller)
        except Exception as closing:
            if error is None:
                raise
            error.add_note(f"closing the stream failed too: {closing!r}")
            log.warning("closing a stream failed after %r", error, exc_info=closing)
        finally:
            if self._released is not None:
                self._released.set()

    def __del__(self) -> None:
        if self._state == "running" and self._heir is None:  # S15: only warn; no async code can run here
            warnings.warn("a stream was left open; use it in `async with`", ResourceWarning, source=self, stacklevel=2)

    # --- composing -----------------------------------------------------------------------------------------------

    def _refuse_second_owner(self) -> None:
        if self._scope is not None or self._waiting or self._heir is not None:
            raise StreamBusy("this stream has a consumer already")

    def _hand_over(self) -> Puller[T]:
        """Give the chain away to an operator, with what was pulled already. Set `_heir` to the stream that it makes."""
        self._pull_with(None)
        return Resumed(self._rest(), self._puller) if self._opened else self._puller


class _Batches(AsyncIterator[list[T]]):
    """Not a generator: trio warns of a generator that was left early, and this one would have nothing to close."""

    def __init__(self, stream: StreamCore[T]) -> None:
        self._stream = stream

    def __anext__(self) -> Coroutine[Any, Any, list[T]]:
        return self._stream._next_batch()


class Resumed(Operator[T]):
    """A source that is open already, and of which some items were pulled. Its tasks belong to whoever opened it."""

    def __init__(self, items: list[T], source: Puller[T]) -> None:
        super().__init__(source)
        self._items = items
        self.needs_tasks = self.may_need_tasks = ""

    async def open(self, tasks: Tasks) -> None:
        """Nothing to do."""

    def join_texts(self) -> None:
        """As the source."""
        self._source.join_texts()

    async def pull(self) -> list[T]:
        """Return those items first."""
        items, self._items = self._items, []
        return items or await self._source.pull()
