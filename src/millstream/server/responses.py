"""Events as an HTTP response: a bare ASGI application over any encoder of `millstream.protocols`.

Not known here: which wire, which web framework. Cost: one ASGI message per batch of events. Source: STREAMS.md S16.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from millstream.errors import StreamError
from millstream.events import Error, Event, Finish, FinishReason
from millstream.protocols import encoder
from millstream.server._asgi import Receive, Scope, Send, send_body, send_start, while_connected

if TYPE_CHECKING:
    from millstream.streams import Stream

__all__ = ["EventStreamResponse"]


class EventStreamResponse:
    """Serve a stream of events; usable as an ASGI application, and as a response in Starlette and FastAPI.

    The stream is opened when the response begins and closed when it ends, in one task, also when the client has gone.
    What goes wrong upstream reaches the client as an `Error` and a `Finish` event, and the body still ends properly.

    Args:
        stream: a `millstream.Stream` of events, not entered yet.
        protocol: a name of `millstream.protocols.encoder_names()`.
        status: HTTP status.
        headers: these win over those of the encoder.
    Raises: UnknownProtocol: the message lists the known names.
    """

    def __init__(
        self,
        stream: Stream[Event],
        protocol: str = "millstream.events.v1",
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._stream = stream
        self._encoder = encoder(protocol)
        self.status = status
        own = {name.lower(): value for name, value in (headers or {}).items()}
        self.headers = {"content-type": self._encoder.media_type, **self._encoder.headers, **own}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises: what the stream raises besides `StreamError`; the server then cuts the connection.
        """
        if scope.get("method") == "HEAD":
            await self._stream.aclose()
            await send_start(send, self.status, self.headers)
            await send_body(send, b"", more=False)
        else:
            await while_connected(receive, lambda: self._serve(send))

    async def _serve(self, send: Send) -> None:
        await send_start(send, self.status, self.headers)
        failed = False  # a fatal Error has been encoded
        tail = b""
        try:
            async with self._stream:
                async for batch in self._stream.batches():
                    failed = failed or any(isinstance(event, Error) and event.fatal for event in batch)
                    data = b"".join(map(self._encoder.encode, batch))
                    if data:
                        await send_body(send, data, more=True)
        except StreamError as error:
            if not failed:
                tail = self._encoder.encode(Error(error)) + self._encoder.encode(Finish(FinishReason.ERROR))
        await send_body(send, tail + self._encoder.close(), more=False)
