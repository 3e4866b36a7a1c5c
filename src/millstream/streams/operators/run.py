"""`run` and `process`: consume a stream with a function, or with a function per kind of event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from millstream.errors import ProcessingError, StreamError
from millstream.events import Error, EventType, Finish
from millstream.streams.operators._apply import isawaitable

if TYPE_CHECKING:
    from millstream.streams._stream import Stream

__all__ = ["process", "run"]

T = TypeVar("T")

Handler = Callable[[Any], Any]


async def run(stream: Stream[T], handler: Callable[[T], Any]) -> None:
    """Call `handler`, sync or async, with each item, and close the stream.

    Raises: whatever the stream or the handler raises, unchanged.
    """
    async with stream:
        async for item in stream:
            result = handler(item)
            if result is not None and isawaitable(result):
                await result


async def process(
    stream: Stream[Any], handlers: Mapping[type | EventType, Handler], *, default: Handler | None = None
) -> None:
    """Call the handler of each event's kind, sync or async, until `Finish` or the end, and close the stream.

    Args:
        handlers: by event class or by `EventType`; the first that fits, in the mapping's order.
        default: for events that none of them fits; else they pass silently.

    Raises: StreamError: after a fatal `Error` event and its handler, if the stream does not raise by itself;
        `__cause__` is what the event holds. ProcessingError: a handler failed; `__cause__` is its exception.
        Whatever the stream raises.
    """
    found: dict[type, Handler | None] = {}
    async with stream:
        async for event in stream:
            kind = type(event)
            if kind not in found:
                found[kind] = _handler(kind, handlers, default)
            handler = found[kind]
            if handler is not None:
                await _handle(handler, event)
            if kind is Finish:
                return
            if kind is Error and event.fatal:
                raise StreamError(f"stream error: {event.error}", retryable=event.error.retryable) from event.error


def _handler(kind: type, handlers: Mapping[type | EventType, Handler], default: Handler | None) -> Handler | None:
    for wanted, handler in handlers.items():
        fits = getattr(kind, "type", None) is wanted if isinstance(wanted, EventType) else issubclass(kind, wanted)
        if fits:
            return handler
    return default


async def _handle(handler: Handler, event: Any) -> None:
    try:
        result = handler(event)
        if result is not None and isawaitable(result):
            await result
    except Exception as error:
        name = type(event).__name__
        raise ProcessingError(f"processing of {name} failed: {type(error).__name__}") from error
