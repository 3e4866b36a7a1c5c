"""`map`: one item in, one item out.

Order is kept, nothing is buffered beyond the batch that the source gave. Functions and errors: see `_apply.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

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
        self._plain: type | None = None

    def _work(self, items: Iterator[Any], out: list[U]) -> None:
        fn, plain = self._fn, self._plain
        for item in items:
            result = fn(item)
            if type(result) is not plain:  # `isawaitable` costs ten times as much: ask only when the type changes
                if isawaitable(result):
                    self._waiting = item, result
                    return
                plain = self._plain = type(result)
            out.append(result)

    def _settle(self, item: Any, result: U, out: list[U]) -> None:
        out.append(result)
