"""Every exception of millstream, in one tree. A leaf: imports nothing of the package.

    MillstreamError
    ├── UsageError                  the calling code is wrong; fix the program
    │   ├── UnknownProtocol         no such protocol; lists the known ones (also a LookupError)
    │   ├── ParserClosed            feed() after close() or after an error; call reset()
    │   ├── ConcurrentUseError      one parser or decoder used from two places at once
    │   ├── StreamBusy              two consumers on one stream
    │   └── StreamClosed            the stream was closed before its end
    └── StreamError                 the stream went wrong    .kind .retryable .retry_after .provider .partial
        ├── ParseError              bytes that break the grammar       .offset .reason .snippet
        │   ├── InvalidUTF8
        │   ├── InvalidJSON         .line .column
        │   ├── IncompleteJSON      the input ended inside a JSON text
        │   ├── LimitExceeded       .option .limit
        │   └── ProtocolError       well-formed JSON that this wire cannot mean
        ├── IncompleteStream        the body ended before the wire's own end
        ├── ConnectionFailed        refused, reset, broken off
        ├── StreamTimeout           a read, connect or pool deadline passed
        ├── UnexpectedContentType   the response is not a stream of this wire      .content_type
        └── ProviderError           the provider said no             .status .code .request_id .body
            ├── AuthError           the key is missing, wrong or not allowed to
            ├── InvalidRequest      the request can never succeed as it is
            ├── RateLimited         too many requests or tokens, or no quota left
            └── Overloaded          the provider has no capacity now

Exceptions hold facts as attributes. Their text never contains a key, and at most 40 bytes of payload (`snippet`).
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "AuthError",
    "ConcurrentUseError",
    "ConnectionFailed",
    "IncompleteJSON",
    "IncompleteStream",
    "InvalidJSON",
    "InvalidRequest",
    "InvalidUTF8",
    "LimitExceeded",
    "MillstreamError",
    "Overloaded",
    "ParseError",
    "ParserClosed",
    "ProtocolError",
    "ProviderError",
    "RateLimited",
    "StreamBusy",
    "StreamClosed",
    "StreamError",
    "StreamTimeout",
    "UnexpectedContentType",
    "UnknownProtocol",
    "UsageError",
]

SNIPPET_BYTES = 40


class MillstreamError(Exception):
    """Root of all exceptions that millstream raises on its own account."""


# --- the calling code is wrong -----------------------------------------------------------------------------------


class UsageError(MillstreamError):
    """The API was used in a way that cannot work; the message says what to do instead."""


class UnknownProtocol(UsageError, LookupError):
    """No protocol of that name is registered. The message lists those that are."""


class ParserClosed(UsageError):
    """`feed` was called after `close`, or after an error. Call `reset` to start a new stream."""


class ConcurrentUseError(UsageError):
    """A parser or decoder was entered again while a call on it was running. One task or thread owns it."""


class StreamBusy(UsageError):
    """A second consumer asked for an item while the first was waiting for one."""


class StreamClosed(UsageError):
    """The stream was closed before it had ended."""


# --- the stream went wrong ---------------------------------------------------------------------------------------


class StreamError(MillstreamError):
    """Something went wrong with a stream, its bytes, its connection or its provider.

    Attributes:
        kind: stable name of the class for the wire, for logs and metrics.
        retryable: whether the same request may succeed if it is sent again.
        retry_after: seconds to wait before that, if the provider said so, else None.
        provider: who answered, if known.
        partial: what had arrived before the error (set by `collect`, `text` and their like), else None.
    """

    kind: ClassVar[str] = "stream"
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        retryable: bool | None = None,
        retry_after: float | None = None,
        provider: str | None = None,
    ) -> None:
        super().__init__(message)
        if retryable is not None:
            self.retryable = retryable
        self.retry_after = retry_after
        self.provider = provider
        self.partial: Any = None

    @property
    def message(self) -> str:
        """The text of the error."""
        return str(self.args[0])


class ParseError(StreamError):
    """The bytes break the grammar of their framing.

    Attributes:
        offset: position of the error in bytes since the start of the stream; None where it is not known.
        reason: short stable name of what was wrong.
        snippet: at most 40 bytes from the place of the error.
    """

    kind = "parse"

    def __init__(
        self, message: str, *, offset: int | None = None, reason: str = "", snippet: bytes = b"", **common: Any
    ) -> None:
        super().__init__(message, **common)
        self.offset = offset
        self.reason = reason
        self.snippet = bytes(snippet[:SNIPPET_BYTES])


class InvalidUTF8(ParseError):
    """A byte sequence is not UTF-8, and strict decoding was asked for."""

    kind = "invalid_utf8"


class InvalidJSON(ParseError):
    """A JSON text is malformed.

    Attributes:
        line: 1-based line of the error; None where it is not known.
        column: 1-based column in characters, set by `JSONParser`, else None.
    """

    kind = "invalid_json"

    def __init__(self, message: str, *, line: int | None = None, column: int | None = None, **common: Any) -> None:
        super().__init__(message, **common)
        self.line = line
        self.column = column


class IncompleteJSON(ParseError):
    """The input ended inside a JSON text, all of which was right so far. `offset` is where it ended."""

    kind = "incomplete_json"


class LimitExceeded(ParseError):
    """A limit of `millstream.Limits` was passed. `option` names it, `limit` is its value. Never worth a retry."""

    kind = "limit_exceeded"

    def __init__(self, message: str, *, option: str, limit: int, **common: Any) -> None:
        super().__init__(message, **common)
        self.option = option
        self.limit = limit


class ProtocolError(ParseError):
    """Well-formed messages that cannot mean anything on this wire."""

    kind = "protocol"


class IncompleteStream(StreamError):
    """The body ended before the wire's own end: no finish reason and no terminator were seen."""

    kind = "incomplete"
    retryable = True


class ConnectionFailed(StreamError):
    """The connection was refused, reset, or broke off in the body. `__cause__` is the HTTP client's exception."""

    kind = "connection"
    retryable = True


class StreamTimeout(StreamError):
    """A deadline passed. `__cause__` is the HTTP client's exception where it was its deadline."""

    kind = "timeout"
    retryable = True


class UnexpectedContentType(StreamError):
    """The response has status 2xx but is not a stream of this wire.

    Attributes:
        content_type: what the response says it is.
        body: its first bytes (`Limits.max_error_body_bytes` at most); not part of the message.
    """

    kind = "content_type"

    def __init__(self, message: str, *, content_type: str = "", body: bytes = b"", **common: Any) -> None:
        super().__init__(message, **common)
        self.content_type = content_type
        self.body = body


class ProviderError(StreamError):
    """The provider refused or failed, with an HTTP status or inside the stream.

    Attributes:
        status: HTTP status, None if the error came inside a stream that had begun.
        code: the provider's own name of the error (`rate_limit_error`, `insufficient_quota`, ...), or "".
        request_id: what to quote to the provider's support, or "".
        body: the raw error body (`Limits.max_error_body_bytes` at most); not part of the message.
    """

    kind = "provider"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        request_id: str = "",
        body: bytes = b"",
        **common: Any,
    ) -> None:
        super().__init__(message, **common)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.body = body


class AuthError(ProviderError):
    """The key is missing, wrong, or not allowed to do this (401, 403)."""

    kind = "auth"


class InvalidRequest(ProviderError):
    """The request can never succeed as it is (400, 404, 413, 422)."""

    kind = "invalid_request"


class RateLimited(ProviderError):
    """Too many requests or tokens, or no quota left (429). See `retry_after`."""

    kind = "rate_limited"
    retryable = True


class Overloaded(ProviderError):
    """The provider has no capacity at the moment (503, 529)."""

    kind = "overloaded"
    retryable = True
