"""`filter`: keep what all predicates accept.

Order is kept, nothing is buffered beyond the batch that the source gave. Predicates are asked in their order, up to the
first that refuses. Without any, everything passes. Functions and errors: see `_apply.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from millstream.streams._pull import Puller
from millstream.streams.operators._apply import Apply, all_of, isawaitable

__all__ = ["Filter"]

T = TypeVar("T")


class Filter(Apply[T]):
    """Keep the items for which all of `predicates`, sync or async, are true."""

    def __init__(self, source: Puller[T], *predicates: Callable[[T], Any]) -> None:
        super().__init__(source)
        self._keep = all_of(predicates)

    def _work(self, items: Iterator[Any], out: list[T]) -> None:
        keep = self._keep
        for item in items:
            accepted = keep(item)
            if accepted is True:
                out.append(item)
            elif accepted is not False:
                if isawaitable(accepted):
                    self._waiting = item, accepted
                    return
                if accepted:
                    out.append(item)

    def _settle(self, item: Any, result: Any, out: list[T]) -> None:
        if result:
            out.append(item)
