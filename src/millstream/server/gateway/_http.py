"""What every end point of the gateway shares: refusals in OpenAI's form, JSON answers, the request's body, CORS.

Not known here: models, streams, keys. A refusal is an exception, raised where it is found, answered in one place.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import orjson

from millstream.errors import AuthError, LogError, RetriesExhausted, StreamError, UsageError
from millstream.protocols.encoders._faults import error_text, error_type
from millstream.server._asgi import Message, Receive, Scope, Send
from millstream.server._negotiate import header
from millstream.server._refusals import OUR_WORDS, status_of

__all__ = ["Gone", "Outgoing", "Refused", "read_body", "refused", "respond", "respond_json"]

COMMON = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Refused(Exception):
    """A request that is answered with an error, before anything else was.

    Args:
        status: HTTP status.
        message: for the client.
        param: what of the request is meant, "" for none.
        code: a stable name of the case, "" for none.
        type: as OpenAI names the kinds; by default that of the status.
        headers: besides the common ones.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str = "",
        code: str = "",
        type: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        kind = type or TYPES.get(status) or ("invalid_request_error" if status < 500 else "server_error")
        self.body = {"error": {"message": message, "type": kind, "param": param or None, "code": code or None}}


class Gone(Exception):
    """The client left before it had said all."""


def refused(error: StreamError | UsageError, *, expose: bool) -> Refused:
    """Make a refusal of what kept an answer from beginning.

    Args: expose: tell the words and the code of a provider, instead of a sentence for the kind of error.
    """
    if isinstance(error, UsageError):  # of this request: InvalidMessage, Inexpressible
        return Refused(400, str(error), param=str(getattr(error, "field", "")))
    shown = error.last if isinstance(error, RetriesExhausted) and isinstance(error.last, StreamError) else error
    status = status_of(error)
    kind = "server_error" if isinstance(shown, AuthError | LogError) else error_type(shown, "")  # our key, not his
    headers = {}
    if error.retry_after is not None and math.isfinite(error.retry_after):
        headers["retry-after"] = str(max(0, math.ceil(error.retry_after)))
    words, code = error_text(type(shown).kind), ""
    if isinstance(shown, OUR_WORDS):
        words, code = shown.message, type(shown).kind
    elif expose:
        words, code = shown.message, getattr(shown, "code", "")
    return Refused(status, words, type=kind, code=code, headers=headers)


class Outgoing:
    """The server's `send`, with headers that every answer has.

    Attributes: status: of the answer; 0 before it has begun.
    """

    def __init__(self, send: Send, headers: Mapping[str, str]) -> None:
        self._send = send
        self._headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        self.status = 0

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message["headers"], *self._headers]}
        return self._send(message)  # no coroutine of our own for each piece of a body


async def respond(send: Send, status: int, body: bytes, media_type: str, headers: Mapping[str, str]) -> None:
    """Send a whole response. A body of b"" has no media type."""
    head = {**COMMON, **({"content-type": media_type} if body else {}), **headers}
    if status != 204:
        head["content-length"] = str(len(body))
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def respond_json(send: Send, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
    """Send a whole JSON response."""
    await respond(send, status, orjson.dumps(value), "application/json", headers or {})


async def read_body(
    scope: Scope, receive: Receive, *, max_bytes: int, within: float, hold: Callable[[int], None] = lambda n_bytes: None
) -> bytes:
    """Read the body of a request that holds JSON.

    A page of another site can send a form or a text without being asked; JSON it can send only after a CORS preflight.

    Args:
        max_bytes: what is larger is refused, before it is read if it says so.
        within: seconds.
        hold: called with the bytes of each piece before it is kept; may raise.
    Raises: Refused: 415, 413, 408. Gone: the client has left.
    """
    kind = header(scope, b"content-type").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "send JSON, with content-type: application/json")
    too_large = Refused(413, f"the body is larger than {max_bytes} bytes", code="request_too_large")
    said = header(scope, b"content-length")
    if said.isascii() and said.isdigit() and (len(said) > 18 or int(said) > max_bytes):
        raise too_large
    body = bytearray()
    with anyio.move_on_after(within) as clock:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            piece = message.get("body", b"")
            if len(body) + len(piece) > max_bytes:
                raise too_large
            hold(len(piece))
            body += piece
            if not message.get("more_body", False):
                return bytes(body)
    assert clock.cancelled_caught  # noqa: S101  (nothing else ends the loop)
    raise Refused(408, f"the body did not come within {within:g} s", headers={"connection": "close"})


Handler = Callable[[], Awaitable[None]]
