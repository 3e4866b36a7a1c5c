"""Events as an HTTP response: a bare ASGI application over any encoder of `millstream.protocols`.

Not known here: which wire, which web framework, which server. The stream is opened before status 200 is sent, so that a
failure to open is an HTTP status; what fails later is an event of the wire. Cost: one ASGI message per batch of events,
two tasks per response. Source: STREAMS.md S16, THREATS_AND_FAULTS.md 3.3, SSE.md sections 6 and 7.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from millstream.errors import UsageError
from millstream.protocols import Encoder, encoder
from millstream.server._answer import Answer
from millstream.server._asgi import Receive, Scope, Send
from millstream.server._body import Body, Ids
from millstream.server._connection import Connection
from millstream.server._negotiate import choose, header
from millstream.server.drain import Drain
from millstream.server.limit import Admission
from millstream.streams import Stream
from millstream.streams._clock import ANYIO_CLOCK, Clock

__all__ = ["NATIVE", "EventStreamResponse", "Source", "encoders", "response_headers"]

Source = Stream[Any] | Callable[[str | None], Stream[Any] | Awaitable[Stream[Any] | None] | None]

NATIVE = ("millstream.events.v1", "millstream.events.v1+ndjson")
COMMON = {"cache-control": "no-store", "x-accel-buffering": "no", "x-content-type-options": "nosniff"}
# Not "identity" for politeness: it keeps compressing middleware away, which would hold events back.
COMMON |= {"content-encoding": "identity"}

_name = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_bad_value = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class EventStreamResponse:
    """Serve a stream of events, once; an ASGI application, and a response in Starlette, FastAPI and Litestar.

    The stream is opened, read and closed in one task. When the client goes away it is closed at once, even if it is
    silent. A `Subscription` of the relay is served as it is, with its event ids; leaving it does not stop the producer.

    Args:
        stream: a `millstream.Stream` of events, not entered yet, or a `Subscription`. Or a function that is called with
            the request's Last-Event-ID (None if there is none) and gives one, sync or async; None answers 204, which
            stops the reconnecting of a browser.
        protocol: a name of `millstream.protocols.encoder_names()`, or an encoder, which then serves this response only.
            Of several names the request's `Accept` chooses, the first in doubt. By default our own events, as SSE or
            NDJSON. Not for a `Subscription`, which has its own.
        status: HTTP status.
        headers: these win over ours.
        heartbeat: seconds of silence before a comment is sent; None for none. Wires without comments have none.
        send_timeout: seconds that the client may take to make room for a message; None for no limit.
        open_within: seconds that the upstream may take to open before status 200 is sent all the same, so that proxies
            see the answer begin. What then keeps it from opening is an error event.
        ids: gives the id of an event, which comes back as Last-Event-ID; None for an event without. SSE only.
        retry: milliseconds that a browser waits before it reconnects. SSE only.
        expose_errors: tell clients the words of errors. None: what the encoder does by itself, and not in refusals.
        drain: ends the response when the server shuts down.
        admission: `StreamLimit.of(owner)`: counts the stream as long as it is served. When the owner, or all, have as
            many as they may, the answer is 429, or 503, and nothing is opened.
        background: awaited after the response, whatever became of it; what Starlette calls a background task.
        clock: what keeps the time.
    Raises: UnknownProtocol: the message lists the known names. UsageError: a header that HTTP does not allow, a time
        below 0, an encoder with several names. EncodeError: `retry` out of range.
    """

    def __init__(
        self,
        stream: Source,
        protocol: str | Encoder | Sequence[str] = NATIVE,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        *,
        heartbeat: float | None = 15.0,
        send_timeout: float | None = 60.0,
        open_within: float | None = 15.0,
        ids: Ids | None = None,
        retry: int | None = None,
        expose_errors: bool | None = None,
        drain: Drain | None = None,
        admission: Admission | None = None,
        background: Callable[[], Awaitable[Any]] | None = None,
        clock: Clock = ANYIO_CLOCK,
    ) -> None:
        self._stream = stream
        self._wires = encoders(protocol, expose_errors)
        self._ids = ids
        self._retry = retry
        self._expose = expose_errors
        self._times = [_seconds(value) for value in (heartbeat, send_timeout, open_within)]
        self._drain = drain
        self._admission = admission
        self._clock = clock
        self._own_headers = headers
        self._answered = False
        self.status = self.status_code = status
        self.headers = response_headers(self._wires[0], len(self._wires) > 1, headers)
        self.background = background
        Body(self._wires[0], retry=retry)  # complains about a bad `retry` here, where the mistake is

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        # FastAPI serves what a handler returns as it is only if `isinstance(it, starlette.responses.Response)`, and
        # nothing here may import a framework. Who has none sees our own class; `type(self)` is always our own.
        starlette = sys.modules.get("starlette.responses")
        return starlette.Response if starlette is not None else EventStreamResponse

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> dict[str, str]:
        """Let FastAPI take `-> EventStreamResponse` as annotation of a handler."""
        return {"type": "any"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises: UsageError: not an HTTP request, or the second one. What the stream raises besides `StreamError`: the
            client has been told that there was an error, if the answer had begun; the server logs it.
        """
        if scope["type"] != "http":
            raise UsageError(f"EventStreamResponse answers HTTP requests, not {scope['type']}")
        if self._answered:
            raise UsageError("this response has been sent; make a new one for each request")
        self._answered = True
        idle, send_timeout, begin_within = self._times
        connection = Connection(
            receive, send, idle=idle, send_timeout=send_timeout, begin_within=begin_within, clock=self._clock
        )
        answer = self._answer(scope, connection)
        drain = self._drain if scope["method"] != "HEAD" else None
        if drain is not None:
            drain.add(answer.stop)
        try:
            async with connection:
                await answer.give(scope)
        finally:
            if drain is not None:
                drain.discard(answer.stop)
            if self.background is not None:
                await self.background()

    def _answer(self, scope: Scope, connection: Connection) -> Answer:
        chosen = choose(header(scope, b"accept"), [wire.media_type for wire in self._wires])
        wire = self._wires[chosen]
        answer = Answer(
            connection,
            self._stream,
            Body(wire, self._ids, self._retry),
            (self.status, response_headers(wire, len(self._wires) > 1, self._own_headers)),
            retry=self._retry,
            expose=self._expose,
            stoppable=self._drain is not None,
            admission=self._admission,
        )
        self._wires = [wire]  # the others are of no use any more
        return answer


def encoders(protocol: str | Encoder | Sequence[str], expose: bool | None) -> list[Encoder]:
    """Make the encoders that a response may choose from."""
    if isinstance(protocol, Encoder):
        return [protocol]
    names = [protocol] if isinstance(protocol, str) else protocol
    if not names:
        raise UsageError("a response needs at least one protocol")
    return [encoder(name) if expose is None else encoder(name, expose_errors=expose) for name in names]


def response_headers(wire: Encoder, negotiated: bool, own: Mapping[str, str] | None) -> dict[str, str]:
    """Return the headers of an answer on this wire; those of the application win.

    Raises: UsageError: a name or value that could end the header, or that HTTP does not allow.
    """
    headers = {"content-type": wire.media_type, **COMMON, **wire.headers}
    if negotiated:
        headers["vary"] = "accept"
    for name, value in (own or {}).items():
        if not _name.fullmatch(name) or _bad_value.search(value) or not value.isascii():
            raise UsageError(f"the header {name!r} has a name or a value that HTTP does not allow")
        headers[name.lower()] = value
    return headers


def _seconds(value: float | None) -> float:
    if value is None:
        return math.inf
    if not value >= 0:
        raise UsageError(f"a time in seconds is 0 or more, not {value}")
    return value
