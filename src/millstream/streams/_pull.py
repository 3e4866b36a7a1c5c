"""The contract inside a pipeline: batches, pulled one after another.

Operators and sources are pullers; `Stream` is what the user holds at the end of a chain of them. A puller does not
guard itself against misuse: the one `Stream` that owns the chain does that, once for all. Source: STREAMS.md section 1.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any, Generic, TypeVar

from anyio import move_on_after
from anyio.lowlevel import checkpoint

from millstream.core._batch import FAIR_PULLS
from millstream.streams._interrupt import uninterrupted
from millstream.streams._tasks import Tasks
from millstream.streams.overflow import Losses

__all__ = [
    "BatchPuller",
    "IterablePuller",
    "Puller",
    "breathe",
    "close_iterator",
    "iterator_of",
    "release",
]

T = TypeVar("T")

CLOSE_SECONDS = 5.0  # how long closing may take before it is given up

log = logging.getLogger("millstream")


class Puller(ABC, Generic[T]):
    """Somewhere that batches come from."""

    needs_tasks: str = ""
    """The name of an operator in the chain that needs background tasks, "" if none does."""

    may_need_tasks: str = ""
    """The same of one that may need them later: the group is there if the stream is entered, but need not be."""

    losses: tuple[Losses, ...] = ()
    """Where in the chain items may be dropped."""

    @abstractmethod
    async def open(self, tasks: Tasks) -> None:
        """Acquire what the stream needs. Called once, before the first `pull`; `aclose` follows also if it fails.

        Args: tasks: starts background work, if `needs_tasks` is set. Pass it on to the source.
        """

    @abstractmethod
    async def pull(self) -> list[T]:
        """Return the next batch, never empty; [] is the end. Whatever it raises ends the stream.

        The list belongs to the caller. Never called while another call runs, nor after the end or an error.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Release everything; idempotent, never called while `pull` runs."""

    def join_texts(self) -> None:
        """Give texts that come one after another as one event where that is cheaper: nothing but the text is wanted.

        Called after `open`. Where such an event ends depends on how the bytes were cut, so an operator passes this on
        only if it shows nobody what it passes.
        """

    def watch(self, watcher: Callable[[int], None]) -> None:
        """Have `watcher(n_bytes)` called for all that the transport gives, also what makes no event, such as a ping.

        Called before `open`. A source without a transport has nothing to say beyond its items.
        """


class IterablePuller(Puller[T]):
    """Any async iterable: one item per pull, so nothing is asked for before it is wanted."""

    def __init__(self, source: AsyncIterable[T]) -> None:
        self._iterator = iterator_of(source)
        self._closed = False

    async def open(self, tasks: Tasks) -> None:
        """Nothing to do: the source opens itself at the first item."""

    async def pull(self) -> list[T]:
        """Return one item."""
        try:
            return [await anext(self._iterator)]
        except StopAsyncIteration:
            return []

    async def aclose(self) -> None:
        """Close the source if it can be closed."""
        if not self._closed:
            self._closed = True
            await close_iterator(self._iterator)


class BatchPuller(Puller[T]):
    """An async iterable of lists: one list per pull. Empty lists are passed over."""

    def __init__(self, source: AsyncIterable[list[T]]) -> None:
        self._iterator = iterator_of(source)
        self._closed = False

    async def open(self, tasks: Tasks) -> None:
        """Nothing to do: the source opens itself at the first list."""

    async def pull(self) -> list[T]:
        """Return the next list that holds anything."""
        since_checkpoint = 0
        try:
            while not (batch := await anext(self._iterator)):
                since_checkpoint = await breathe(since_checkpoint)
        except StopAsyncIteration:
            return []
        return list(batch)

    async def aclose(self) -> None:
        """Close the source if it can be closed."""
        if not self._closed:
            self._closed = True
            await close_iterator(self._iterator)


async def release(puller: Puller[Any]) -> None:
    """Close a chain even if cancelled, but do not wait for ever (S8). For operators that close sources early."""
    with uninterrupted(), move_on_after(CLOSE_SECONDS, shield=True) as scope:
        await puller.aclose()
    if scope.cancelled_caught:
        log.warning("closing a stream took longer than %g s and was given up", CLOSE_SECONDS)


def iterator_of(source: AsyncIterable[T]) -> AsyncIterator[T]:
    """Return its iterator. Raises TypeError: it is not an async iterable."""
    if not isinstance(source, AsyncIterable):
        raise TypeError(f"a stream is made of an async iterable, not of {type(source).__name__}")
    return aiter(source)


async def close_iterator(iterator: Any) -> None:
    """Close an async iterator that has `aclose`; others own nothing."""
    aclose = getattr(iterator, "aclose", None)
    if aclose is not None:
        await aclose()


async def breathe(fruitless: int) -> int:
    """Count a pull that gave nothing; after FAIR_PULLS of them meet a checkpoint (S17). Returns the new count."""
    if fruitless + 1 < FAIR_PULLS:
        return fruitless + 1
    await checkpoint()
    return 0
