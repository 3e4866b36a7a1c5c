"""What an object stream can be read as: one small class for each view.

A view turns each item of the source, and the deltas that it caused, into what the view gives. It asks for the next item
only when one is wanted. Cost: that of the deltas, and about 0.5 us for each item of the source.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from millstream.core import Delta
from millstream.errors import ObjectInvalid
from millstream.events import Event, Finish, ObjectDelta
from millstream.objects._partial import WITHHELD, TypedPartial
from millstream.objects._shape import Path
from millstream.streams._pull import Puller
from millstream.streams._tasks import Tasks

if TYPE_CHECKING:
    from millstream.objects._stream import ObjectStream

__all__ = ["Deltas", "Elements", "Events", "Fields", "Partials", "TypedPartials", "View"]

V = TypeVar("V")


class _Raised:
    """An error that waits until what came before it has been given."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class View(AsyncIterator[V], Puller[V]):
    """One way to read an object stream, an async iterator. Left early, it may be followed by another view, or `final`.

    Closing it (`aclose`, `async with`) closes the object stream and its source, so that `Stream(view)` owns them.
    In a `Stream`, what has arrived together travels together, at the cost of one await.
    """

    joins = False
    """Whether the pieces that have arrived together may be read as one."""

    together = True
    """Whether what they give may travel together."""

    def __init__(self, owner: ObjectStream[Any]) -> None:
        self._owner = owner
        self._out: deque[V | _Raised] = deque()

    def _add(self, item: Any, deltas: list[Delta]) -> None:
        """Put what this item gives into `_out`. `item` is None where there are only deltas, at either end."""
        raise NotImplementedError

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> V:
        """Return the next one.

        Raises: StreamBusy: another view has been asked for since. InvalidJSON, IncompleteJSON, LimitExceeded (none of
            them if there is a repair function). Whatever the source raises. All have `partial`.
        """
        if not self._out:
            await self._read(together=False)
        if not self._out:
            raise StopAsyncIteration
        item = self._out.popleft()
        if isinstance(item, _Raised):
            raise item.error
        return item

    async def open(self, tasks: Tasks) -> None:
        """Nothing to do: the source opens itself at the first item."""

    async def pull(self) -> list[V]:
        """Return all that can be had without waiting for the source again; see `__anext__`."""
        if not self._out:
            await self._read(together=self.together)
        batch: list[V] = []
        while self._out:
            item = self._out[0]
            if isinstance(item, _Raised):
                if batch:
                    break
                self._out.popleft()
                raise item.error
            batch.append(item)
            self._out.popleft()
        return batch

    async def _read(self, *, together: bool) -> None:
        """Fill `_out`; it stays empty at the end."""
        try:
            while not self._out or (together and self._owner._has_more()):
                found = await self._owner._next(self, joins=self.joins)
                if found is None:
                    return
                self._add(*found)
        except Exception as error:
            self._out.append(_Raised(error))

    async def aclose(self) -> None:
        """Close the object stream."""
        await self._owner.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class Partials(View[Any]):
    """The live value, after each item that changed it."""

    together = False  # they are one object, which would show the last state each time

    def _add(self, item: Any, deltas: list[Delta]) -> None:
        if deltas:
            self._out.append(self._owner.current)


class TypedPartials(View[V]):
    """The value as far as its types allow, after each item that changed it."""

    def __init__(self, owner: ObjectStream[Any]) -> None:
        super().__init__(owner)
        self._partial = TypedPartial(owner.type, owner._validators)

    def _add(self, item: Any, deltas: list[Delta]) -> None:
        if not deltas:
            return
        self._partial.take(deltas, self._owner._document.raw)
        try:
            value = self._partial.build(self._owner.current)
        except Exception as error:  # of a class of the user's, made from some of its fields
            self._owner.last_error = error
            return
        self._owner.last_error = self._partial.error or self._owner.last_error
        if value is not WITHHELD:
            self._out.append(value)


class Deltas(View[ObjectDelta]):
    """`ObjectDelta` events."""

    def _add(self, item: Any, deltas: list[Delta]) -> None:
        self._out.extend(object_deltas(deltas, self._owner))


class Events(View[Event]):
    """All events of the source; each is followed by the `ObjectDelta`s that it caused. `Finish` stays the last."""

    def _add(self, item: Any, deltas: list[Delta]) -> None:
        changes = object_deltas(deltas, self._owner)
        if item is not None:
            changes.insert(len(changes) if isinstance(item, Finish) else 0, item)
        self._out.extend(changes)


def object_deltas(deltas: list[Delta], owner: ObjectStream[Any]) -> list[Any]:
    """The parser's deltas as events. A span of bytes means nothing to others: `end` has no value."""
    if not deltas:
        return []
    live = owner.current
    return [
        ObjectDelta(delta.path, delta.op, None if delta.op == "end" else delta.value, object=live) for delta in deltas
    ]


class _Complete(View[V]):
    """What is complete at certain places, validated once, from its own bytes."""

    joins = True

    def _wanted(self, path: tuple[str | int, ...]) -> bool:
        raise NotImplementedError

    def _give(self, path: tuple[str | int, ...], data: bytes | bytearray) -> V:
        raise NotImplementedError

    def _add(self, item: Any, deltas: list[Delta]) -> None:
        for delta in deltas:
            if delta.complete and self._wanted(path := delta.path):
                if delta.op == "end":
                    start, end = delta.value
                    data: bytes | bytearray = self._owner._document.raw[start:end]
                else:  # a scalar that came in one piece has no span
                    data = json.dumps(delta.value).encode()
                try:
                    self._out.append(self._give(path, data))
                except ObjectInvalid as error:
                    self._out.append(_Raised(error))


class Elements(_Complete[Any]):
    """The elements of an array."""

    def __init__(self, owner: ObjectStream[Any], path: Path, validate: Callable[[bytes | bytearray], Any]) -> None:
        super().__init__(owner)
        self._path = path
        self._depth = len(path)
        self._validate = validate

    def _wanted(self, path: tuple[str | int, ...]) -> bool:
        if len(path) != self._depth + 1 or not isinstance(path[-1], int):
            return False
        return path[:-1] == self._path or all(a == b or b is ... for a, b in zip(path, self._path, strict=False))

    def _give(self, path: tuple[str | int, ...], data: bytes | bytearray) -> Any:
        return self._owner._validated(self._validate, data, path)


class Fields(_Complete[tuple[str, Any]]):
    """The fields of the root."""

    def _wanted(self, path: tuple[str | int, ...]) -> bool:
        return len(path) == 1 and isinstance(path[0], str)

    def _give(self, path: tuple[str | int, ...], data: bytes | bytearray) -> tuple[str, Any]:
        return str(path[0]), self._owner._validated(self._owner._validator_at(path), data, path)
