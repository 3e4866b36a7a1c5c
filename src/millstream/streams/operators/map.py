"""`map`: one item in, one item out.

Order is kept, nothing is buffered beyond the batch that the source gave. A sync function is applied to a whole batch at
once, an async one to an item at a time, when that item is wanted. If the function raises, the items before are
delivered first, then its exception, unchanged.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from millstream.streams._pull import Puller
from millstream.streams.operators._base import Operator

__all__ = ["Map"]

T = TypeVar("T")
U = TypeVar("U")


class Map(Operator[U]):
    """Apply `fn`, sync or async, to each item."""

    def __init__(self, source: Puller[T], fn: Callable[[T], U] | Callable[[T], Awaitable[U]]) -> None:
        super().__init__(source)
        self._fn: Callable[[Any], Any] = fn
        self._waiting: deque[Any] = deque()
        self._error: Exception | None = None

    async def pull(self) -> list[U]:
        """Return the next batch, mapped."""
        if self._error is not None:
            raise self._error
        if not self._waiting:
            self._waiting.extend(await self._source.pull())
        out: list[U] = []
        while self._waiting:
            try:
                result = self._fn(self._waiting.popleft())
                if inspect.isawaitable(result):
                    return [*out, await result]
                out.append(result)
            except Exception as error:
                if not out:
                    raise
                self._error = error
                break
        return out
