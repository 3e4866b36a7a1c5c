"""`flat_map`: many items, or none, out of each.

Order is kept: all that one item became goes out before what the next one becomes. Functions and errors: see
`_apply.py`. For inner streams that are async use `concat` or `merge`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from millstream.streams._pull import Puller
from millstream.streams.operators._apply import Apply, isawaitable

__all__ = ["FlatMap"]

U = TypeVar("U")


class FlatMap(Apply[U]):
    """Replace each item by the items of the finite iterable that `fn(item)`, sync or async, gives."""

    def __init__(self, source: Puller[Any], fn: Callable[[Any], Any]) -> None:
        super().__init__(source)
        self._fn = fn

    def _work(self, items: Iterator[Any], out: list[U]) -> None:
        fn = self._fn
        for item in items:
            result = fn(item)
            if isawaitable(result):
                self._waiting = item, result
                return
            out.extend(result)

    def _settle(self, item: Any, result: Any, out: list[U]) -> None:
        out.extend(result)
