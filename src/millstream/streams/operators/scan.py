"""`scan`: what has come together so far, at each item.

`scan(fn, start)` gives `fn(start, first)`, then `fn(that, second)`, ...; one item out for each in. Order is kept,
nothing is buffered beyond the batch that the source gave. Functions and errors: see `_apply.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from millstream.streams._pull import Puller
from millstream.streams.operators._apply import Apply, isawaitable

__all__ = ["Scan"]

A = TypeVar("A")


class Scan(Apply[A]):
    """Fold items into `start` with `fn(so_far, item)`, sync or async, and give each value on the way.

    A mutable value that `fn` changes in place is the same object in all items; return a new one to keep them apart.
    """

    def __init__(self, source: Puller[Any], fn: Callable[[A, Any], Any], start: A) -> None:
        super().__init__(source)
        self._fn = fn
        self._value = start

    def _work(self, items: Iterator[Any], out: list[A]) -> None:
        fn, value = self._fn, self._value
        plain: type | None = None
        for item in items:
            result = fn(value, item)
            if type(result) is not plain:
                if isawaitable(result):
                    self._waiting = item, result
                    return
                plain = type(result)
            value = self._value = result
            out.append(value)

    def _settle(self, item: Any, result: A, out: list[A]) -> None:
        self._value = result
        out.append(result)
