"""Frameworks that stream objects, not bytes: a decoder that is fed objects, and a stream of what it makes of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from typing import Any

from millstream.events import Error, Event
from millstream.protocols import Decoder
from millstream.streams import Stream
from millstream.streams.sources.body import BodySource

__all__ = ["ObjectDecoder", "aiter_events", "iter_events"]

_END = object()


class _Whole:
    """The parser of what needs none."""

    error = None

    def feed(self, item: Any) -> list[Any]:
        return [item]

    def close(self) -> list[Any]:
        return [_END]

    def reset(self) -> None: ...


class ObjectDecoder(Decoder):
    """Objects of a framework -> typed events. That its stream ends without an exception is the wire's own end."""

    media_types = ()

    def _make_parser(self) -> _Whole:
        return _Whole()

    def _message(self, message: Any) -> None:
        if message is _END:
            self._end(terminated=True)
        else:
            self._item(message)

    @abstractmethod
    def _item(self, item: Any) -> None:
        """Map one object: call the methods of `Decoder`."""


class _ObjectSource(BodySource):
    def watch(self, watcher: Callable[[int], None]) -> None:
        """Objects have no size: what is watched are the events."""

    def _decode(self, chunk: Any) -> list[Event]:
        return self._feed(chunk)


def aiter_events(items: AsyncIterable[Any], decoder: ObjectDecoder) -> Stream[Event]:
    """Return the stream of events. What `items` raises is raised unchanged, unless it is a failed connection."""
    return Stream(_ObjectSource(items, decoder))


def iter_events(items: Iterable[Any], decoder: Decoder) -> Iterator[Event]:
    """Give the events of items that this decoder takes. What `items` raises is raised unchanged."""
    out: list[Event] = []
    for item in items:
        out = decoder.feed(item)
        yield from out
        if decoder.ended:
            break
    else:
        out = decoder.close()
        yield from out
    failures = [event.error for event in out if isinstance(event, Error) and event.fatal]
    if failures:
        raise failures[0]
