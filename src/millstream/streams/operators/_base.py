"""What all operators share: they open, close and fail as their source does."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any, TypeVar

from millstream.streams._pull import Puller
from millstream.streams._tasks import Tasks

__all__ = ["Operator", "plain"]

U = TypeVar("U")


class Operator(Puller[U]):
    """An operator that owns its source. One that needs tasks sets `needs_tasks` to its name, after this `__init__`."""

    def __init__(self, source: Puller[Any]) -> None:
        self._source = source
        self.needs_tasks = source.needs_tasks
        self.may_need_tasks = source.may_need_tasks
        self.losses = source.losses

    async def open(self, tasks: Tasks) -> None:
        """Open the source."""
        await self._source.open(tasks)

    async def aclose(self) -> None:
        """Close the source."""
        await self._source.aclose()

    def watch(self, watcher: Callable[[int], None]) -> None:
        """Watch the source's transport."""
        self._source.watch(watcher)


F = TypeVar("F", bound=Callable[..., Any] | None)


def plain(name: str, fn: F) -> F:
    """Return a function that is called where nothing can be awaited. Raises: TypeError: it is an `async def`.

    Its coroutine would be taken for an answer: true, and never run.
    """
    if iscoroutinefunction(fn) or iscoroutinefunction(getattr(fn, "__call__", None)):  # noqa: B004 - an object may be one
        raise TypeError(f"{name} must be a plain function: it is called where nothing can be awaited")
    return fn
