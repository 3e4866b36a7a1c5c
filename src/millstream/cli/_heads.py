"""uvicorn's HTTP protocol with bounds on the head of a request, which uvicorn and httptools have none on.

What is counted is what came since a piece of a body, or the end of a request, was complete: so the fields after a
chunked body and the lines between requests count too. A request that begins to be answered has no
deadline here; reading its body has the gateway's. Not known here: what is served.
Source: RFC 6585 5 (431), RFC 9110 15.5.9 (408); nginx has 32 KiB and 60 s, node 16 KiB and 60 s, Apache 100 fields.
"""

from __future__ import annotations

from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["BoundedHeads"]


class BoundedHeads(HttpToolsProtocol):
    """To be given to `uvicorn.Config(http=...)`.

    Attributes:
        max_head_bytes: of the request line and the headers.
        max_headers: how many.
        head_within: seconds in which they must have come, from the connection or from their first byte.
    """

    max_head_bytes = 64 * 1024
    max_headers = 200
    head_within = 20.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._n_open = 0
        self._clock: Any = None  # a timer of the event loop

    def connection_made(self, transport: Any) -> None:
        """Wait for a head."""
        super().connection_made(transport)
        self._clock = self.loop.call_later(self.head_within, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read, and end the connection if it asks for too much."""
        if self._clock is None and self._is_idle():
            self._clock = self.loop.call_later(self.head_within, self._too_late)
        self._n_open += len(data)
        super().data_received(data)
        if self._n_open > self.max_head_bytes and not self.transport.is_closing():
            self._end(431, f"the head of this request is larger than {self.max_head_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a field. What is raised here ends in `send_400_response`."""
        super().on_header(name, value)
        if len(self.headers) > self.max_headers:
            raise ValueError("too many headers")

    def on_headers_complete(self) -> None:
        """Wait no more."""
        self._stop_clock()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body is complete."""
        self._n_open = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is complete."""
        self._n_open = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, or has too many headers."""
        if self.headers and len(self.headers) > self.max_headers:
            self._end(431, f"this request has more than {self.max_headers} headers")
        else:
            self._end(400, msg)

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _too_late(self) -> None:
        self._clock = None
        if self._n_open:
            self._end(408, f"the head of this request did not come within {self.head_within:g} s")
        else:
            self.transport.close()

    def _end(self, status: int, message: str) -> None:
        """End the connection, with a word if no answer is under way."""
        if self._is_idle():
            kind = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
            body = orjson.dumps({"error": kind})
            head = (
                f"HTTP/1.1 {status} \r\nconnection: close\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()
