"""What happens between a request and the end of its answer: open, send, tell what went wrong. One per response.

Not known here: the server's `receive` and `send` (`_connection.py`), how events become bytes (`_body.py`).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from anyio import CancelScope

from millstream.errors import ProducerLost, StreamError
from millstream.relay import Status, Subscription
from millstream.server._asgi import Scope
from millstream.server._body import Body, RelayBody
from millstream.server._connection import ClientGone, Connection, Headers
from millstream.server._negotiate import last_event_id
from millstream.server._refusals import refusal
from millstream.server.limit import Admission

__all__ = ["Answer"]


class Answer:
    """One answer.

    Args:
        source: a stream, or what makes one of a Last-Event-ID.
        body: for a stream of events.
        head: status and headers.
        retry, expose: for a `Subscription`, which brings its own wire.
        stoppable: whether `stop` may be called; costs a scope.
        admission: counts the stream as long as it lasts; if it may not be opened, this is refused.
    """

    def __init__(
        self,
        connection: Connection,
        source: Any,
        body: Body,
        head: tuple[int, dict[str, str]],
        *,
        retry: int | None,
        expose: bool | None,
        stoppable: bool = True,
        admission: Admission | None = None,
    ) -> None:
        self._connection = connection
        self._source = source
        self._body: Body | RelayBody = body
        self._status, self._headers = head
        self._retry = retry
        self._expose = expose
        self._reading = CancelScope() if stoppable else None
        self._stopped = False
        self._admission = admission

    def stop(self) -> None:
        """End the answer soon: the server shuts down. A message that is being sent is sent to its end."""
        self._stopped = True
        if not self._connection.sending:
            self._stop_reading()

    def _stop_reading(self) -> None:
        assert self._reading is not None  # noqa: S101  (it is stoppable, else nobody has stopped it)
        self._reading.cancel()

    async def _head(self) -> None:
        """Answer HEAD: nothing is opened."""
        await self._close_unread()
        await self._connection.start(self._status, encoded(self._headers))
        await self._connection.write(b"", more=False)

    async def _close_unread(self) -> None:
        if not callable(self._source):
            await self._source.aclose()

    async def give(self, scope: Scope) -> None:
        """Answer.

        Raises: what is no `StreamError`, after the client has been told that there was an error.
        """
        if scope["method"] == "HEAD":
            await self._head()
            return
        try:
            if self._admission is not None and not self._stopped:
                await self._admit(self._admission)
            if self._stopped:
                await self._close_unread()
                await self._shut_down()
                return
            stream = await self._made(scope)
            if stream is None:
                await self._nothing()
                return
            if self._reading is None:
                await self._stream(stream)
                return
            with self._reading:
                await self._stream(stream)
            if self._reading.cancelled_caught:
                await self._shut_down()
        except StreamError as error:
            await self._failed(error)
        except ClientGone:
            raise
        except Exception as error:
            if self._connection.started:
                await self._connection.write(self._body.fail(error), more=False)
            raise
        finally:
            if self._admission is not None:
                self._admission.leave()

    async def _admit(self, admission: Admission) -> None:
        try:
            admission.enter()
        except StreamError:
            await self._close_unread()
            raise

    async def _made(self, scope: Scope) -> Any:
        if not callable(self._source):
            return self._source
        made = self._source(last_event_id(scope))
        return await made if inspect.isawaitable(made) else made

    async def _stream(self, stream: Any) -> None:
        connection = self._connection
        if not isinstance(stream, Subscription):  # of which the media type is known only once it is open
            connection.early = self._status, encoded(self._headers)
            connection.heartbeat = self._body.heartbeat
        connection.abandon = stream.aclose
        async with stream:
            batches = stream.batches()
            first: list[Any] = []
            if isinstance(stream, Subscription):
                self._body = RelayBody(stream, self._expose, self._retry)
                connection.heartbeat = self._body.heartbeat
                self._headers["content-type"] = stream.media_type
                if stream.info.status is not Status.OPEN:
                    first = await anext(batches, [])
                    if not first:
                        await self._nothing()
                        return
            await connection.start(self._status, encoded(self._headers))
            if first:
                await self._write_items(first)
            self._headers = {}  # sent: they are half of what an answer keeps
            if self._stopped:
                self._stop_reading()
            encode, write = self._body.encode, connection.write
            async for batch in batches:
                parts: list[bytes] = []
                try:
                    encode(batch, parts)  # pyright: ignore[reportArgumentType] # items, if it resumes
                finally:  # what came before an event that cannot be encoded is not lost
                    if data := parts[0] if len(parts) == 1 else b"".join(parts):
                        connection.heartbeat = self._body.heartbeat  # none in the middle of a message
                        await write(data)
                if self._stopped:
                    self._stop_reading()
        await connection.write(self._body.finish(), more=False)

    async def _write_items(self, items: list[Any]) -> None:
        parts: list[bytes] = []
        self._body.encode(items, parts)
        self._connection.heartbeat = self._body.heartbeat
        await self._connection.write(b"".join(parts))

    async def _nothing(self) -> None:
        """There is nothing more to read: 204 tells an `EventSource` to come back no more."""
        await self._connection.start(204, encoded({"cache-control": "no-store"}))
        await self._connection.write(b"", more=False)

    async def _failed(self, error: StreamError) -> None:
        connection = self._connection
        if connection.started:
            await connection.write(self._body.fail(error), more=False)
            return
        status, headers, data = refusal(error, expose=self._expose is True)
        await connection.start(status, encoded({**headers, "content-length": str(len(data))}))
        await connection.write(data, more=False)

    async def _shut_down(self) -> None:
        error = ProducerLost("this server is shutting down", retryable=True)
        if self._connection.started and self._body.resumable:
            await self._connection.write(b"", more=False)  # no error: the client goes on at another replica
        else:
            await self._failed(error)


def encoded(headers: Mapping[str, str]) -> Headers:
    """Return headers as ASGI wants them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
