"""Events as the body of a response in frameworks that are no ASGI applications: Flask, Django, bare WSGI.

Synchronous frameworks read `EventStreamBody`; the stream of an async provider then runs in an event loop of its own,
in a thread that lives as long as the body. Django's async views read `AsyncEventStreamBody`. No framework is known.
A client that has gone is noticed when something is written to it, so at the latest by a heartbeat.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, wait
from contextlib import ExitStack, closing, contextmanager
from http.client import responses
from threading import Lock
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

from millstream.errors import StreamClosed, StreamError, UsageError
from millstream.events import Event
from millstream.protocols import Encoder
from millstream.server._body import Body, Ids
from millstream.server._negotiate import choose
from millstream.server._refusals import refusal
from millstream.server.responses import NATIVE, encoders, response_headers
from millstream.streams import Stream

__all__ = ["AsyncEventStreamBody", "EventStreamBody"]


class _Prepared:
    """What both kinds of body share. See `EventStreamResponse` for the arguments."""

    def __init__(
        self,
        protocol: str | Encoder | Sequence[str] = NATIVE,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        *,
        accept: str = "",
        ids: Ids | None = None,
        retry: int | None = None,
        expose_errors: bool | None = None,
    ) -> None:
        wires = encoders(protocol, expose_errors)
        wire = wires[choose(accept, [wire.media_type for wire in wires])]
        self.status = status
        self.headers = response_headers(wire, len(wires) > 1, headers)
        self._body = Body(wire, ids, retry)
        self._expose = expose_errors is True
        self._refused: bytes | None = None
        self._used = False
        self._parts: list[bytes] = []

    def _use(self) -> None:
        if self._used:
            raise UsageError("this body has been read; make a new one for each request")
        self._used = True

    def _refuse(self, error: StreamError) -> None:
        self.status, headers, self._refused = refusal(error, expose=self._expose)
        self.headers = {**headers, "content-length": str(len(self._refused))}

    def _encode(self, batch: list[Event]) -> bytes:
        self._parts = []
        self._body.encode(batch, self._parts)
        parts, self._parts = self._parts, []
        return b"".join(parts)

    @contextmanager
    def _told(self) -> Iterator[_Last]:
        """Encode inside of it; what goes wrong there is in the last piece, and raised only after that is sent."""
        last = _Last()
        try:
            yield last
            last.data = self._body.finish()
        except Exception as error:
            # What came before an event that cannot be encoded is not lost.
            last.data = b"".join(self._parts) + self._body.fail(error)
            last.failure = None if isinstance(error, StreamError) else error


class _Last:
    """The last piece of a body, and what to raise behind it."""

    data = b""
    failure: Exception | None = None


class EventStreamBody(_Prepared):
    """The body of a synchronous response: an iterable of bytes, which is closed by the server when the client has gone.

    Flask: `Response(body, body.status, body.headers)`; Django: `StreamingHttpResponse(body, status=body.status,
    headers=body.headers)`; it is a WSGI application as well, which looks at `Accept` itself.

    Args:
        events: a `millstream.Stream`, or an iterable of events such as `millstream.iter_events(...)`.
        accept: the request's header, to choose one of several protocols.
        heartbeat: seconds of silence before a comment; only for a `Stream`, as an iterable cannot be interrupted.
        others: as for `EventStreamResponse`: `protocol`, `status`, `headers`, `ids`, `retry`, `expose_errors`.
    Attributes:
        status: HTTP status; after `open` also that of a refusal.
        headers: name -> value.
    """

    def __init__(
        self,
        events: Stream[Event] | Iterable[Event],
        protocol: str | Encoder | Sequence[str] = NATIVE,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        *,
        heartbeat: float | None = 15.0,
        **others: Any,
    ) -> None:
        super().__init__(protocol, status, headers, **others)
        self._source = events
        self._settings: dict[str, Any] = {
            "protocol": protocol,
            "status": status,
            "headers": headers,
            "heartbeat": heartbeat,
            **others,
        }
        self._heartbeat = heartbeat
        self._pull: _Bridge | _Single = _Bridge(events) if isinstance(events, Stream) else _Single(events)

    def open(self) -> EventStreamBody:
        """Open the stream now, so that a failure is in `status` and `headers`: for an iterable, get its first event."""
        try:
            self._pull.open()
        except StreamError as error:
            self._pull.close()
            self._refuse(error)
        return self

    def __iter__(self) -> Iterator[bytes]:
        """Give the body, piece by piece; what goes wrong is told on the wire.

        Raises: what is no `StreamError`, after the client has been told that there was an error.
        """
        self._use()
        return self._chunks()

    def close(self) -> None:
        """Close the stream; servers call it, also when the client has gone."""
        self._pull.close()

    def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a WSGI request."""
        body = EventStreamBody(self._source, **{**self._settings, "accept": environ.get("HTTP_ACCEPT", "")})
        head = environ["REQUEST_METHOD"] == "HEAD"
        if head:
            body.close()
        else:
            body.open()
        start_response(f"{body.status} {responses.get(body.status, 'Unknown')}", list(body.headers.items()))
        return [] if head else body

    def _chunks(self) -> Iterator[bytes]:
        if self._refused is not None:
            yield self._refused
            return
        with closing(self._pull), self._told() as last:
            while (batch := self._pull.next(self._heartbeat)) != []:
                data = self._body.heartbeat if batch is None else self._encode(batch)
                if data:
                    yield data
        if last.data:
            yield last.data
        if last.failure is not None:
            raise last.failure


class AsyncEventStreamBody(_Prepared):
    """The body of Django's async `StreamingHttpResponse(body, headers=body.headers)`: an async iterable of bytes.

    Read it to its end or cancel the task that reads it, as Django does when the client has gone. No heartbeats: for
    those put `EventStreamResponse` beside Django, as an ASGI application of its own.

    Args: events: what to send; it is owned and closed. args, options: as for `EventStreamBody`.
    """

    def __init__(self, events: Stream[Event], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._stream = events

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the body, piece by piece. Raises: as `EventStreamBody.__iter__`."""
        self._use()
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        with self._told() as last:
            async with self._stream as stream:
                async for batch in stream.batches():
                    data = self._encode(batch)
                    if data:
                        yield data
        if last.data:
            yield last.data
        if last.failure is not None:
            raise last.failure


class _Single:
    """Events of an iterable, one at a time."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._events = events
        self._iterator = iter(events)
        self._first: list[Event] | None = None

    def open(self) -> None:
        self._first = self.next(None)

    def next(self, seconds: float | None) -> list[Event] | None:
        """Return a batch; [] is the end. None: nothing came in that time."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        for event in self._iterator:
            return [event]
        return []

    def close(self) -> None:
        for closable in (self._iterator, self._events):
            close = getattr(closable, "close", None)
            if close is not None:
                close()


class _Bridge:
    """Batches of a stream, pulled in an event loop in a thread of its own. `close` may come from any thread."""

    def __init__(self, stream: Stream[Event]) -> None:
        self._stream = stream
        self._portal: BlockingPortal | None = None
        self._stack: ExitStack | None = None
        self._pending: Future[list[Event]] | None = None
        self._closed = False
        self._lock = Lock()  # for the four above: whoever is told that it is closed leaves nothing behind

    def open(self) -> None:
        if self._stack is not None or self._closed:
            return
        try:
            with ExitStack() as stack:
                portal = stack.enter_context(start_blocking_portal())
                stack.callback(self._forget)
                with self._lock:
                    self._portal = portal
                    if self._closed:
                        return
                stack.enter_context(portal.wrap_async_context_manager(self._stream))
                self._batches = self._stream.batches()
                with self._lock:
                    if not self._closed:
                        self._stack = stack.pop_all()
        except StreamClosed:
            if not self._closed:  # not by `close`
                raise

    def _forget(self) -> None:
        """Before its loop ends: what is given to a loop that ends is never answered."""
        with self._lock:
            self._portal = None

    def next(self, seconds: float | None) -> list[Event] | None:
        """As `_Single.next`."""
        self.open()
        with self._lock:
            if self._closed or self._portal is None:
                return []
            pending = self._pending
            if pending is None:
                pending = self._pending = self._portal.start_task_soon(self._next)
        if not wait([pending], seconds).done:
            return None
        try:
            batch = pending.result()
        except CancelledError:  # closed from another thread
            return []
        self._pending = None
        return batch

    async def _next(self) -> list[Event]:
        return await anext(self._batches, [])

    def close(self) -> None:
        with self._lock:
            self._closed = True
            stack, self._stack = self._stack, None
            pending, self._pending = self._pending, None
            if self._portal is not None:
                if pending is not None:
                    # In the loop's own thread: older anyio would set the result of one that was cancelled meanwhile.
                    self._portal.call(pending.cancel)
                elif stack is None:
                    self._portal.start_task_soon(self._stream.aclose)  # who opens it stops, and cleans up
        if stack is not None:
            stack.close()
