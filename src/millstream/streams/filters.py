"""Ready predicates for `Stream.filter`, and a way to combine them: `text_only & no_errors`, `~kinds(Raw)`."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any, Generic, TypeVar, overload

from millstream.events import Error, EventType, Finish, TextDelta

__all__ = ["EventFilter", "KindFilter", "kinds", "no_errors", "predicate", "text_only"]

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E_co = TypeVar("E_co", covariant=True)


class EventFilter:
    """A predicate, sync or async, that combines with others by `&`, `|` and `~`, left to right, no further than needed.

    Args: accepts: the predicate.
    """

    def __init__(self, accepts: Callable[[Any], Any]) -> None:
        self._accepts = accepts

    def __call__(self, event: Any) -> Any:
        """Return whether the event passes; an awaitable of that if the predicate is async."""
        return self._accepts(event)

    def __and__(self, other: Callable[[Any], Any]) -> EventFilter:
        also = predicate(other)
        return EventFilter(lambda event: _then(self(event), lambda accepted: accepted and also(event)))

    def __or__(self, other: Callable[[Any], Any]) -> EventFilter:
        instead = predicate(other)
        return EventFilter(lambda event: _then(self(event), lambda accepted: accepted or instead(event)))

    def __invert__(self) -> EventFilter:
        return EventFilter(lambda event: _then(self(event), lambda accepted: not accepted))


def _then(accepted: Any, go_on: Callable[[Any], Any]) -> Any:
    """Go on with an answer that may have to be awaited."""
    return _then_later(accepted, go_on) if isawaitable(accepted) else go_on(accepted)


async def _then_later(accepted: Any, go_on: Callable[[Any], Any]) -> Any:
    answer = go_on(await accepted)
    return await answer if isawaitable(answer) else answer


class KindFilter(EventFilter, Generic[E_co]):
    """A predicate that accepts events of certain classes only, so that type checkers know what passes."""

    def __and__(self, other: Callable[[Any], Any]) -> KindFilter[E_co]:
        return KindFilter(super().__and__(other))

    @overload
    def __or__(self, other: KindFilter[A]) -> KindFilter[E_co | A]: ...

    @overload
    def __or__(self, other: Callable[[Any], Any]) -> EventFilter: ...

    def __or__(self, other: Callable[[Any], Any]) -> EventFilter:
        either = super().__or__(other)
        return KindFilter(either) if isinstance(other, KindFilter) else either


@overload
def kinds(a: type[A], /) -> KindFilter[A]: ...


@overload
def kinds(a: type[A], b: type[B], /) -> KindFilter[A | B]: ...


@overload
def kinds(a: type[A], b: type[B], c: type[C], /) -> KindFilter[A | B | C]: ...


@overload
def kinds(a: type[A], b: type[B], c: type[C], d: type[D], /) -> KindFilter[A | B | C | D]: ...


@overload
def kinds(*wanted: type | EventType) -> EventFilter: ...


def kinds(*wanted: type | EventType) -> EventFilter:
    """Accept events of these classes or types."""
    classes = tuple(kind for kind in wanted if not isinstance(kind, EventType))
    types = frozenset(kind for kind in wanted if isinstance(kind, EventType))
    if not types:
        return KindFilter(lambda event: isinstance(event, classes))
    return EventFilter(lambda event: isinstance(event, classes) or getattr(event, "type", None) in types)


def predicate(given: Any) -> Callable[[Any], Any]:
    """Return what was given, or `kinds` of it: a class but `bool`, a tuple of classes, an `EventType`.

    Called as a predicate, a class makes an object, which is true of nearly all.
    """
    if isinstance(given, tuple):
        return kinds(*given)
    if isinstance(given, EventType) or (isinstance(given, type) and given is not bool):
        return kinds(given)
    return given  # type: ignore[no-any-return]


text_only = kinds(TextDelta, Finish)
"""The answer's text, and the event that ends it."""

no_errors = ~kinds(Error)
"""Everything but errors. The exception that follows a fatal one still comes."""
