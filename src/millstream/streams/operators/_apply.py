"""What operators share that call a function of the user for each item, sync or async.

A sync function is applied to a whole batch at once, an async one to an item at a time, when that item is wanted. If the
function raises, what came before is delivered first, then its exception, unchanged. Cost: a subclass runs its own loop
over a batch (`_work`), so that an item costs one call of the function and little else.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from inspect import isawaitable
from typing import Any, TypeVar

from millstream.core._batch import FAIR_PULLS
from millstream.streams._pull import Puller, breathe
from millstream.streams.operators._base import Operator

__all__ = ["Apply", "all_of", "chain_of", "isawaitable"]

T = TypeVar("T")
U = TypeVar("U")


class Apply(Operator[U]):
    """Calls a function for each item; subclasses say what becomes of the results."""

    def __init__(self, source: Puller[Any]) -> None:
        super().__init__(source)
        self._left: Iterator[Any] = iter(())
        self._waiting: tuple[Any, Awaitable[Any]] | None = None
        self._error: Exception | None = None
        self._done = False
        self._held = False  # something is left of the last batch: items, an awaitable, an error; or it was the last

    @abstractmethod
    def _work(self, items: Iterator[Any], out: list[U]) -> None:
        """Apply the function to items until there are no more, or `_done`, or a result must be awaited: `_waiting`."""

    @abstractmethod
    def _settle(self, item: Any, result: Any, out: list[U]) -> None:
        """Put into `out` what becomes of an awaited result."""

    def _failed(self, item: Any, error: Exception, out: list[U]) -> None:
        """Decide about an exception of an awaited result: raise, or put something into `out`."""
        raise error

    async def pull(self) -> list[U]:
        """Return what becomes of the next batch, or of the next item that had to be awaited."""
        fruitless = 0
        while True:
            out: list[U] = []
            if self._held:
                await self._finish(out)
                if out or self._held:
                    return out
            elif batch := await self._source.pull():
                self._left = iter(batch)
                self._try(out)
                if out:
                    return out
            else:
                return []
            if not self._held:
                fruitless += 1
                if fruitless >= FAIR_PULLS:
                    fruitless = await breathe(fruitless)

    async def _finish(self, out: list[U]) -> None:
        """Put something into `out` of what is left of the last batch. If nothing was and it is still held: the end."""
        while not out and (self._held or self._waiting is not None):
            if self._waiting is not None:
                await self._wait(out)
            elif self._error is not None:
                raise self._error
            if self._done:
                return
            if not out:
                self._try(out)

    def _try(self, out: list[U]) -> None:
        try:
            self._work(self._left, out)
        except Exception as error:
            self._error = error
        self._held = self._waiting is not None or self._error is not None or self._done

    async def _wait(self, out: list[U]) -> None:
        item, awaitable = self._waiting  # type: ignore[misc]
        self._waiting = None
        try:
            result = await awaitable
        except Exception as error:
            self._failed(item, error, out)
        else:
            self._settle(item, result, out)

    async def aclose(self) -> None:
        """Close the source. A coroutine that nobody awaits any more is closed too, so that Python does not warn."""
        waiting, self._waiting = self._waiting, None
        close = getattr(waiting[1], "close", None) if waiting else None
        if close is not None:
            close()
        await super().aclose()


def all_of(predicates: tuple[Callable[[Any], Any], ...]) -> Callable[[Any], Any]:
    """Return a predicate that is true if all are; it stops at the first that is not. None: always true."""
    if len(predicates) == 1:
        return predicates[0]

    def check(item: Any) -> Any:
        for i, predicate in enumerate(predicates):
            accepted = predicate(item)
            if isawaitable(accepted):
                return _rest(item, accepted, predicates[i + 1 :])
            if not accepted:
                return False
        return True

    async def _rest(item: Any, accepted: Any, others: tuple[Callable[[Any], Any], ...]) -> bool:
        if not await accepted:
            return False
        for predicate in others:
            accepted = predicate(item)
            if isawaitable(accepted):
                accepted = await accepted
            if not accepted:
                return False
        return True

    return check


def chain_of(functions: tuple[Callable[[Any], Any], ...]) -> Callable[[Any], Any]:
    """Return a function that calls them one after another, each on the result of the one before."""
    if len(functions) == 1:
        return functions[0]

    def call(item: Any) -> Any:
        for i, function in enumerate(functions):
            item = function(item)
            if isawaitable(item):
                return _rest(item, functions[i + 1 :])
        return item

    async def _rest(waiting: Any, others: tuple[Callable[[Any], Any], ...]) -> Any:
        item = await waiting
        for function in others:
            item = function(item)
            if isawaitable(item):
                item = await item
        return item

    return call
