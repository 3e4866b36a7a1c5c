"""`take`, `take_while`, `take_until`, `skip`: a part of the stream.

Order is kept. The source is not pulled again once the last wanted item was seen; it is closed with the stream.
Functions and errors: see `_apply.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from millstream.streams._pull import Puller, breathe
from millstream.streams.operators._apply import Apply, isawaitable
from millstream.streams.operators._base import Operator

__all__ = ["Skip", "Take", "TakeWhile"]

T = TypeVar("T")


def _count(n: int) -> int:
    if n < 0:
        raise ValueError(f"a number of items cannot be negative, got {n}")
    return n


class Take(Operator[T]):
    """The first `n` items. `take(0)` never touches the source."""

    def __init__(self, source: Puller[T], n: int) -> None:
        super().__init__(source)
        self._wanted = _count(n)

    async def pull(self) -> list[T]:
        """Return the next batch, or its wanted part."""
        if not self._wanted:
            return []
        batch = (await self._source.pull())[: self._wanted]
        self._wanted -= len(batch)
        return batch


class Skip(Operator[T]):
    """All but the first `n` items."""

    def __init__(self, source: Puller[T], n: int) -> None:
        super().__init__(source)
        self._unwanted = _count(n)

    async def pull(self) -> list[T]:
        """Return the next batch of which something is wanted."""
        fruitless = 0
        while batch := await self._source.pull():
            if self._unwanted:
                size = len(batch)
                batch = batch[self._unwanted :]
                self._unwanted = max(0, self._unwanted - size)
            if batch:
                return batch
            fruitless = await breathe(fruitless)
        return []


class TakeWhile(Apply[T]):
    """Items up to the first for which `go_on`, sync or async, is not `wanted`; with that one if `inclusive`."""

    def __init__(self, source: Puller[T], go_on: Callable[[T], Any], *, wanted: bool, inclusive: bool) -> None:
        super().__init__(source)
        self._go_on = go_on
        self._wanted = wanted
        self._inclusive = inclusive

    def _work(self, items: Iterator[Any], out: list[T]) -> None:
        for item in items:
            answer = self._go_on(item)
            if answer is not True and answer is not False and isawaitable(answer):
                self._waiting = item, answer
                return
            self._settle(item, answer, out)
            if self._done:
                return

    def _settle(self, item: Any, result: Any, out: list[T]) -> None:
        self._done = bool(result) is not self._wanted
        if not self._done or self._inclusive:
            out.append(item)
