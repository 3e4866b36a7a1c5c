"""`map`: one item in, one item out.

Order is kept, nothing is buffered beyond the batch that the source gave. Functions and errors: see `_apply.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from types import NoneType
from typing import Any, TypeVar

from millstream.core._batch import apply
from millstream.streams._pull import Puller
from millstream.streams.operators._apply import Apply, isawaitable

__all__ = ["Map"]

T = TypeVar("T")
U = TypeVar("U")


class Map(Apply[U]):
    """Apply `fn`, sync or async, to each item."""

    def __init__(self, source: Puller[T], fn: Callable[[T], U] | Callable[[T], Awaitable[U]]) -> None:
        super().__init__(source)
        self._fn: Callable[[Any], Any] = fn
        self._plain: type = NoneType

    def _work(self, items: Iterator[Any], out: list[U]) -> None:
        while (odd := apply(self._fn, items, out, self._plain)) is not None:
            result = odd[1]
            if isawaitable(result):  # costs ten times as much as the rest: asked only when the type of results changes
                self._waiting = odd
                return
            self._plain = type(result)
            out.append(result)

    def _settle(self, item: Any, result: U, out: list[U]) -> None:
        out.append(result)
