"""`tee`, `broadcast` and `share`: one source, several consumers, each with a branch of its own.

`tee` and `broadcast` give every item to every branch; with `overflow="wait"` (tee) the slowest branch governs and
nobody is more than `buffer` items ahead of it; else a full branch loses items, counted in its `dropped`, and delays
nobody. `share` gives each item to one branch, whichever asks first. Order is kept within a branch. One task pulls from
the source, once for each item, from the moment when the block is entered.

A branch that is closed delays nobody any more; with the last one the source is closed. An error of the source comes in
every branch, after the items before it. Leaving the block closes all branches. Cost: as `buffer` for each branch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from anyio.lowlevel import checkpoint

from millstream.errors import StreamNotEntered
from millstream.streams._handoff import FAIR_ITEMS, Handoff, Rules, Signal, give
from millstream.streams._pull import Puller
from millstream.streams._tasks import Job, Tasks
from millstream.streams.operators._group import in_turn

if TYPE_CHECKING:
    from millstream.streams._stream import Stream

__all__ = ["Branches"]

T = TypeVar("T")


class Branches(Generic[T]):
    """Use it in `async with stream.tee(2) as (one, other):`. Each branch is a `Stream`, for one consumer.

    Args:
        source: the stream, which is owned and closed here.
        n: how many branches.
        buffer: how many items each may be behind; for `share`, how many wait in all.
        rules: what to do with a full branch.
        select: only items that it accepts are given to the branches.
        shared: each item goes to one branch only.
        name: of the operator.
        make: makes a stream of a puller.

    Raises: ValueError: n or buffer below 1, or an unknown policy.
    """

    def __init__(
        self,
        source: Stream[T],
        n: int,
        *,
        buffer: int,
        rules: Rules,
        select: Callable[[T], bool] | None = None,
        shared: bool = False,
        name: str,
        make: Callable[[Puller[T]], Stream[T]],
    ) -> None:
        if n < 1:
            raise ValueError(f"{name} needs at least 1 branch, got {n}")
        self._source = source
        self._select = select
        self._name = name
        self._tasks = Tasks(name)
        self._job: Job | None = None
        self._room = Signal()
        self._handoffs: list[Handoff[T]] = [Handoff(buffer, rules, name, self._room) for _ in range(1 if shared else n)]
        for handoff in self._handoffs:
            handoff.box.one_by_one |= shared
        self._open = n
        self._streams = tuple(make(Branch(self, self._handoffs[0 if shared else i], shared=shared)) for i in range(n))

    async def __aenter__(self) -> tuple[Stream[T], ...]:
        """Open the source, start to pull from it, and return the branches."""
        await self._tasks.enter()
        try:
            await self._source.__aenter__()
        except BaseException:
            await self._tasks.exit()
            raise
        self._job = self._tasks.start(self._name, self._pump, self._ended, self._source.aclose)
        return self._streams

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._close(error)
        finally:
            try:
                await self._source.__aexit__(None, None, None)
            finally:
                await self._tasks.exit()

    def __iter__(self) -> Iterator[Stream[T]]:
        raise StreamNotEntered(
            f"`{self._name}` works in a background task: use `async with stream.{self._name}(...) as (one, other):` "
            "and consume the branches inside the block"
        )

    async def _close(self, error: BaseException | None) -> None:
        try:
            await in_turn([stream.aclose for stream in self._streams])
        except Exception as closing:
            if error is None:
                raise
            error.add_note(f"closing the stream failed too: {closing!r}")

    async def _left(self) -> None:
        """A branch was closed."""
        self._open -= 1
        if not self._open:
            for handoff in self._handoffs:
                handoff.close()
            if self._job is not None:
                await self._job.stop()

    async def _pump(self) -> None:
        since_checkpoint = 0
        async for batch in self._source.batches():
            wanted = [item for item in batch if self._select(item)] if self._select is not None else batch
            await give(self._handoffs, wanted)
            since_checkpoint += len(batch)
            if since_checkpoint >= FAIR_ITEMS:
                since_checkpoint = 0
                await checkpoint()
        self._ended(None)

    def _ended(self, error: Exception | None) -> None:
        for handoff in self._handoffs:
            handoff.end(error)


class Branch(Puller[T]):
    """The source of one branch."""

    def __init__(self, owner: Branches[T], handoff: Handoff[T], *, shared: bool) -> None:
        self._owner = owner
        self._handoff = handoff
        self._shared = shared
        self._closed = False
        self.losses = (handoff.losses,)

    async def open(self, tasks: Tasks) -> None:
        """Nothing to do: the block was entered, or there is nothing to come."""

    async def pull(self) -> list[T]:
        """Return what is there, or wait for it."""
        return await self._handoff.take()

    async def aclose(self) -> None:
        """Leave."""
        if not self._closed:
            self._closed = True
            if not self._shared:
                self._handoff.close()
            await self._owner._left()
