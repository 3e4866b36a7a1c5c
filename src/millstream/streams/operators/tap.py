"""`tap` and `on_event`: look at items as they pass, without changing them.

Order is kept, nothing is buffered beyond the batch that the source gave. An item goes on after the function has seen
it; what the function returns is ignored, what it raises ends the stream. Functions: see `_apply.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from millstream.events import EventType
from millstream.streams._pull import Puller
from millstream.streams.operators._apply import Apply, isawaitable

__all__ = ["Tap", "accepts"]

T = TypeVar("T")


class Tap(Apply[T]):
    """Call `fn`, sync or async, with each item that `wanted` accepts (None: all)."""

    def __init__(
        self, source: Puller[T], fn: Callable[[Any], Any], wanted: Callable[[Any], bool] | None = None
    ) -> None:
        super().__init__(source)
        self._fn = fn
        self._wanted = wanted

    def _work(self, items: Iterator[Any], out: list[T]) -> None:
        fn, wanted = self._fn, self._wanted
        for item in items:
            if wanted is None or wanted(item):
                result = fn(item)
                if result is not None and isawaitable(result):
                    self._waiting = item, result
                    return
            out.append(item)

    def _settle(self, item: Any, result: Any, out: list[T]) -> None:
        out.append(item)


def accepts(kind: type | tuple[type, ...] | EventType) -> Callable[[Any], bool]:
    """Return a predicate for items of a class, of one of several classes, or of an `EventType`."""
    if isinstance(kind, EventType):
        return lambda item: getattr(item, "type", None) is kind
    return lambda item: isinstance(item, kind)
