"""`tee`, `broadcast` and `share`: one source, several consumers, each with a branch of its own.

`tee` and `broadcast` give every item to every branch; with `overflow="wait"` (tee) the slowest branch governs and
nobody is more than `buffer` items ahead of it; else a full branch loses items, counted in its `dropped`, and delays
nobody. `share` gives each item to one branch, whichever asks first. Order is kept within a branch. One task pulls from
the source, once for each item, from the moment when the block is entered. Who takes from a `share` and is cancelled or
closed while it waits leaves the item to the others; what its own operators hold, such as a `buffer`, goes with it.

A branch that is closed delays nobody any more; with the last one the source is closed. An error of the source comes in
every branch, after the items before it. Leaving the block closes all branches. Cost: as `buffer` for each branch.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from anyio.lowlevel import checkpoint

from millstream.errors import StreamClosed, StreamNotEntered
from millstream.streams._handoff import FAIR_ITEMS, Handoff, Rules, Signal, give
from millstream.streams._pull import Puller, release
from millstream.streams._tasks import Job, Tasks
from millstream.streams.filters import predicate
from millstream.streams.operators._base import Operator, plain

if TYPE_CHECKING:
    from millstream.streams._stream import Stream

__all__ = ["Branches"]

T = TypeVar("T")


class Fan(Operator[T]):
    """Pulls from the source and gives to the branches. Nobody pulls from it.

    Args: handoffs: of the branches. n: how many branches. select: only items that it accepts are given. name: of the
        operator.
    """

    def __init__(
        self,
        source: Puller[T],
        handoffs: Sequence[Handoff[T]],
        n: int,
        *,
        select: Callable[[T], bool] | None,
        name: str,
    ) -> None:
        super().__init__(source)
        self.needs_tasks = name
        self._handoffs = handoffs
        self._n_open = n
        self._select = None if select is None else predicate(plain("select", select))
        self._job: Job | None = None

    async def open(self, tasks: Tasks) -> None:
        """Open the source and start to pull from it."""
        await self._source.open(tasks)
        self._job = tasks.start(self.needs_tasks, self._work, self._end, partial(release, self._source))

    async def pull(self) -> list[T]:
        """Nobody pulls here: the branches are read."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Stop the task, which closes the source; branches that still wait get StreamClosed."""
        self._end(StreamClosed("the stream that was split has been closed"))
        await (self._job.stop() if self._job is not None else self._source.aclose())

    async def left(self) -> None:
        """A branch was closed."""
        self._n_open -= 1
        if not self._n_open:
            await self.aclose()

    async def _work(self) -> None:
        since_checkpoint = 0
        while batch := await self._source.pull():
            wanted = [item for item in batch if self._select(item)] if self._select is not None else batch
            await self._give(wanted)
            since_checkpoint += len(batch)
            if since_checkpoint >= FAIR_ITEMS:
                since_checkpoint = 0
                await checkpoint()
        self._end(None)

    async def _give(self, items: list[T]) -> None:
        """Give to all branches. Under a policy that loses, in portions of one buffer, and the consumers have turns
        before each for as long as they use them: who keeps up loses nothing because its items came together.
        """
        boxes = [handoff.box for handoff in self._handoffs]
        if not boxes[0].one_by_one:
            await give(self._handoffs, items)
            return
        start = 0
        while start < len(items):
            end = boxes[0].portion(items, start)
            some = items[start:end]
            idle_turns = 0
            while idle_turns < 2 and not all(box.has_room(some) for box in boxes):
                before = [len(box.items) for box in boxes]
                await checkpoint()
                idle_turns = idle_turns + 1 if before == [len(box.items) for box in boxes] else 0
            await give(self._handoffs, some)
            start = end

    def _end(self, error: Exception | None) -> None:
        for handoff in self._handoffs:
            handoff.end(error)


class Branches(Generic[T]):
    """Use it in `async with stream.tee(2) as (one, other):`. Each branch is a `Stream`, for one consumer.

    Args:
        split: the `then` of the stream: puts an operator on it.
        make: makes a stream of a puller.
        n: how many branches.
        buffer: how many items each may be behind; for `share`, how many wait in all.
        rules: what to do with a full branch.
        select: only items that it accepts are given to the branches.
        shared: each item goes to one branch only.
        name: of the operator.

    Raises: ValueError: n or buffer below 1, or an unknown policy.
    """

    def __init__(
        self,
        split: Callable[[Callable[[Puller[T]], Fan[T]]], Stream[T]],
        make: Callable[[Puller[T]], Stream[T]],
        n: int,
        *,
        buffer: int,
        rules: Rules,
        select: Callable[[T], bool] | None = None,
        shared: bool = False,
        name: str,
    ) -> None:
        if n < 1:
            raise ValueError(f"{name} needs at least 1 branch, got {n}")
        room = Signal()
        handoffs: list[Handoff[T]] = [
            Handoff(buffer, rules, name, room, shared=shared) for _ in range(1 if shared else n)
        ]
        self._name = name
        self._branches = [Branch(handoffs[0 if shared else i], shared=shared) for i in range(n)]
        self._owner = split(partial(self._fan, handoffs, n, select))
        self._streams = tuple(make(branch) for branch in self._branches)

    def _fan(
        self, handoffs: Sequence[Handoff[T]], n: int, select: Callable[[T], bool] | None, source: Puller[T]
    ) -> Fan[T]:
        fan = Fan(source, handoffs, n, select=select, name=self._name)
        for branch in self._branches:
            branch.losses = (*source.losses, *branch.losses)
            branch.left = fan.left
        return fan

    async def __aenter__(self) -> tuple[Stream[T], ...]:
        """Open the source, start to pull from it, and return the branches."""
        await self._owner.__aenter__()
        return self._streams

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for branch in self._branches:
            branch.left = None  # from here on the owner closes the source, and reports what that raises
        try:
            for stream in self._streams:
                await stream.aclose()
        finally:
            await self._owner.__aexit__(kind, error, trace)

    def __iter__(self) -> Iterator[Stream[T]]:
        raise StreamNotEntered(
            f"`{self._name}` works in a background task: use `async with stream.{self._name}(...) as (one, other):` "
            "and consume the branches inside the block"
        )


class Branch(Puller[T]):
    """The source of one branch. `left` is called when it is closed."""

    def __init__(self, handoff: Handoff[T], *, shared: bool) -> None:
        self._handoff = handoff
        self._shared = shared
        self._closed = False
        self.losses = (handoff.losses,)
        self.left: Callable[[], Awaitable[None]] | None = None

    async def open(self, tasks: Tasks) -> None:
        """Nothing to do."""

    async def pull(self) -> list[T]:
        """Return what is there, or wait for it."""
        return await self._handoff.take()

    async def aclose(self) -> None:
        """Leave; the last one closes the source."""
        if self._closed:
            return
        self._closed = True
        if not self._shared:
            self._handoff.close()
        if self.left is not None:
            await self.left()
