"""`filter`: keep what all predicates accept.

Order is kept, nothing is buffered beyond the batch that the source gave. Predicates are asked in their order, up to the
first that refuses. Without any, everything passes. Functions and errors: see `_apply.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from millstream.core._batch import select
from millstream.streams._pull import Puller
from millstream.streams.filters import predicate
from millstream.streams.operators._apply import Apply, all_of, isawaitable

__all__ = ["Filter"]

T = TypeVar("T")


class Filter(Apply[T]):
    """Keep the items for which all of `predicates`, sync or async, are true. A kind of events is one too."""

    def __init__(self, source: Puller[T], *predicates: Callable[[T], Any]) -> None:
        super().__init__(source)
        self._keep = all_of(tuple(map(predicate, predicates)))
        self._plain: type = bool

    def _work(self, items: Iterator[Any], out: list[T]) -> None:
        while (odd := select(self._keep, items, out, self._plain)) is not None:
            item, accepted = odd
            if isawaitable(accepted):  # as in `map`
                self._waiting = odd
                return
            self._plain = type(accepted)
            self._settle(item, accepted, out)

    def _settle(self, item: Any, result: Any, out: list[T]) -> None:
        if result:
            out.append(item)
