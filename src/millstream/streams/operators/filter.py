"""`filter`: keep what a predicate accepts.

Order is kept, nothing is buffered beyond the batch that the source gave. Sync and async predicates, and errors, are
treated as in `map`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from anyio.lowlevel import checkpoint

from millstream.streams._pull import FAIR_PULLS, Puller
from millstream.streams.operators._base import Operator
from millstream.streams.operators.map import Map

__all__ = ["Filter"]

T = TypeVar("T")


class Filter(Operator[T]):
    """Keep the items for which `keep`, sync or async, is true."""

    def __init__(self, source: Puller[T], keep: Callable[[T], bool] | Callable[[T], Awaitable[bool]]) -> None:
        super().__init__(source)
        self._judged: Map[Any] = Map(source, _judge(keep))

    async def pull(self) -> list[T]:
        """Return the next batch of which something is left."""
        since_checkpoint = 0
        while batch := await self._judged.pull():
            if kept := [item for item, accepted in batch if accepted]:
                return kept
            since_checkpoint += 1
            if since_checkpoint == FAIR_PULLS:
                since_checkpoint = 0
                await checkpoint()
        return []


def _judge(keep: Callable[[T], Any]) -> Callable[[T], Any]:
    def judge(item: T) -> Any:
        accepted = keep(item)
        return _wait(item, accepted) if hasattr(accepted, "__await__") else (item, accepted)

    async def _wait(item: T, accepted: Awaitable[Any]) -> tuple[T, Any]:
        return item, await accepted

    return judge
