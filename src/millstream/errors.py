"""Every exception of millstream, in one tree. A leaf: imports nothing of the package.

    MillstreamError
    ├── UsageError                  the calling code is wrong; fix the program
    │   ├── UnknownProtocol         no such protocol; lists the known ones (also a LookupError)
    │   ├── UnknownProvider         no such provider; lists the known ones (also a LookupError)
    │   ├── InvalidMessage          a message or request that no provider takes (also a ValueError)     .field
    │   ├── Inexpressible           this wire has no place for what is asked            .field .protocol
    │   ├── MissingExtra            an optional dependency is not installed (also an ImportError)
    │   ├── ParserClosed            feed() after close() or after an error; call reset()
    │   ├── ConcurrentUseError      one parser or decoder used from two places at once
    │   ├── EncodeError             a value that the wire cannot carry (also a ValueError)
    │   ├── StreamBusy              two consumers on one stream
    │   ├── StreamNotEntered        an operator with tasks was iterated outside `async with`
    │   └── StreamClosed            the stream was closed before its end
    └── StreamError                 the stream went wrong    .kind .retryable .retry_after .provider .partial
        ├── ParseError              bytes that break the grammar       .offset .reason .snippet
        │   ├── InvalidUTF8
        │   ├── InvalidJSON         .line .column
        │   ├── IncompleteJSON      the input ended inside a JSON text
        │   ├── LimitExceeded       .option .limit
        │   └── ProtocolError       well-formed JSON that this wire cannot mean
        ├── ObjectInvalid           well-formed JSON that the type refuses         .path .raw .reason
        ├── IncompleteStream        the body ended before the wire's own end
        ├── ConnectionFailed        refused, reset, broken off
        ├── StreamTimeout           a deadline passed; `.kind` says which clock
        ├── RetriesExhausted        every attempt failed                           .attempts .last
        ├── BackpressureError       a consumer did not keep up
        │   └── BufferOverflow      a full buffer under `overflow="error"`         .dropped
        ├── EmptyStream             an item was asked for and there was none (also a LookupError)
        ├── ProcessingError         the application's own handler failed; see `__cause__`
        ├── ToolError               a tool failed                                  .tool
        ├── StepLimit               the model never stopped calling tools          .limit
        ├── StreamNotFound          no such stream, or not yours (also a LookupError)
        ├── StreamExists            a stream of that id is there already
        ├── TooManyStreams          as many are running already as this owner, or all, may have  .limit .of_all
        ├── InvalidEventId          no event id, or not one of this stream (also a ValueError)
        ├── ResumeGap               the place to resume from is no longer kept     .first_available .reason
        ├── StreamFenced            another producer has taken the stream over
        ├── ProducerLost            the producer of a relayed stream died before its end
        ├── LogError                the relay's log failed or refused              .reason
        ├── UnexpectedContentType   the response is not a stream of this wire      .content_type
        └── ProviderError           the provider said no             .status .code .request_id .body
            ├── AuthError           the key is missing, wrong or not allowed to
            ├── InvalidRequest      the request can never succeed as it is
            ├── RateLimited         too many requests or tokens, or no quota left
            ├── Overloaded          the provider has no capacity now
            └── SafetyBlocked       a filter of the provider refused

Exceptions hold facts as attributes. Their text never contains a key, and at most 40 bytes of payload (`snippet`).
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "AuthError",
    "BackpressureError",
    "BufferOverflow",
    "ConcurrentUseError",
    "ConnectionFailed",
    "EmptyStream",
    "EncodeError",
    "IncompleteJSON",
    "IncompleteStream",
    "Inexpressible",
    "InvalidEventId",
    "InvalidJSON",
    "InvalidMessage",
    "InvalidRequest",
    "InvalidUTF8",
    "LimitExceeded",
    "LogError",
    "MillstreamError",
    "MissingExtra",
    "ObjectInvalid",
    "Overloaded",
    "ParseError",
    "ParserClosed",
    "ProcessingError",
    "ProducerLost",
    "ProtocolError",
    "ProviderError",
    "RateLimited",
    "ResumeGap",
    "RetriesExhausted",
    "SafetyBlocked",
    "StepLimit",
    "StreamBusy",
    "StreamClosed",
    "StreamError",
    "StreamExists",
    "StreamFenced",
    "StreamNotEntered",
    "StreamNotFound",
    "StreamTimeout",
    "TooManyStreams",
    "ToolError",
    "UnexpectedContentType",
    "UnknownProtocol",
    "UnknownProvider",
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


class UnknownProvider(UsageError, LookupError):
    """No provider of that name is registered. The message lists those that are."""


class InvalidMessage(UsageError, ValueError):
    """A message, a part or a setting of a request has a value that no provider takes. `field` names it."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class Inexpressible(UsageError):
    """The wire has no place for something that the request asks for. The message says what to do instead.

    Attributes:
        field: what it is, such as "seed" or "messages[2].parts[0]".
        protocol: the wire that cannot say it.
    """

    def __init__(self, message: str, *, field: str = "", protocol: str = "") -> None:
        super().__init__(message)
        self.field = field
        self.protocol = protocol


class MissingExtra(UsageError, ImportError):
    """An optional dependency is not installed. The message says what to install."""


class ParserClosed(UsageError):
    """`feed` was called after `close`, or after an error. Call `reset` to start a new stream."""


class ConcurrentUseError(UsageError):
    """A parser or decoder was entered again while a call on it was running. One task or thread owns it."""


class EncodeError(UsageError, ValueError):
    """A value cannot go over the wire as it is: CR, LF or NUL in an SSE field, a lone surrogate, what is no JSON."""


class StreamBusy(UsageError):
    """A second consumer asked for an item while the first was waiting for one."""


class StreamNotEntered(UsageError):
    """A stream whose operator runs tasks (`merge`, `buffer`, `tee`, ...) was iterated without being entered.

    Write `async with stream: async for item in stream: ...`, so that the tasks end when the block does.
    """


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
        step: in which step of a run it happened (set by `run_steps`), else None.
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
        if not str(message).isascii():  # what cannot be encoded could not be told to those who wait for it
            message = str(message).encode("utf-8", "replace").decode()
        super().__init__(message)
        if retryable is not None:
            self.retryable = retryable
        self.retry_after = retry_after
        self.provider = provider
        self.partial: Any = None
        self.step: int | None = None

    @property
    def message(self) -> str:
        """The text of the error. Lone surrogates became question marks, so that it can be written anywhere."""
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


class ObjectInvalid(StreamError):
    """A whole, well-formed object that its type refuses. `partial` is the untyped value, `__cause__` what the validator
    raised.

    Attributes:
        path: keys and positions from the root to the first thing that is wrong.
        reason: what is wrong there, in the words of the validator.
        raw: the JSON text that was refused; not part of the message.
    """

    kind = "object_invalid"

    def __init__(
        self, message: str, *, path: tuple[str | int, ...] = (), reason: str = "", raw: bytes = b"", **common: Any
    ) -> None:
        super().__init__(message, **common)
        self.path = path
        self.reason = reason
        self.raw = raw


class IncompleteStream(StreamError):
    """The body ended before the wire's own end: no finish reason and no terminator were seen."""

    kind = "incomplete"
    retryable = True


class ConnectionFailed(StreamError):
    """The connection was refused, reset, or broke off in the body. `__cause__` is the HTTP client's exception."""

    kind = "connection"
    retryable = True


class StreamTimeout(StreamError):
    """A deadline passed. `__cause__` is the HTTP client's exception where it was its deadline.

    Attributes:
        kind: the clock of `Timeouts` that ran out: "first", "idle", "progress" or "total"; "item" for a limit on one
            item; "timeout" if the HTTP client gave up. On the wire "timeout", "timeout.total", ...
    """

    kind = "timeout"
    retryable = True

    def __init__(self, message: str, *, kind: str = "timeout", **common: Any) -> None:
        super().__init__(message, **common)
        self.kind = kind  # type: ignore[misc]  # the one class that tells more than its class


class RetriesExhausted(StreamError):
    """Every attempt failed. `__cause__` is the last failure, and so is `last`. Not retryable: that has been done.

    Attributes:
        attempts: how many there were.
        last: what the last one failed with; `retry_after`, `provider` and `partial` are taken from it.
    """

    kind = "retries_exhausted"

    def __init__(self, message: str, *, attempts: int = 0, last: BaseException | None = None, **common: Any) -> None:
        for name in ("retry_after", "provider"):
            common.setdefault(name, getattr(last, name, None))
        super().__init__(message, **common)
        self.attempts = attempts
        self.last = last
        self.partial = getattr(last, "partial", None)


class BackpressureError(StreamError):
    """A consumer did not keep up with its producer."""

    kind = "backpressure"


class BufferOverflow(BackpressureError):
    """A buffer with `overflow="error"` was full when an item came. `dropped` says how many items were lost by it."""

    kind = "buffer_overflow"

    def __init__(self, message: str, *, dropped: int = 0, **common: Any) -> None:
        super().__init__(message, **common)
        self.dropped = dropped


class EmptyStream(StreamError, LookupError):
    """An item was asked for (`last(strict=True)` and its like), and the stream ended without one."""

    kind = "empty"


class ProcessingError(StreamError):
    """A function of the application failed on an event. `__cause__` is what it raised. Never retried."""

    kind = "processing"


class ToolError(StreamError):
    """A tool failed. `tool` is its name, `__cause__` what it raised."""

    kind = "tool"

    def __init__(self, message: str, *, tool: str = "", **common: Any) -> None:
        super().__init__(message, **common)
        self.tool = tool


class StreamNotFound(StreamError, LookupError):
    """There is no stream of that id, or it is not yours: the two are never told apart."""

    kind = "not_found"


class StreamExists(StreamError):
    """A stream of that id is there already, running or ended."""

    kind = "exists"


class TooManyStreams(StreamError):
    """As many streams are running already as one owner may have; or all together, then `of_all` is true.

    Made by `millstream.server.StreamLimit`, whose bound is `limit`.
    """

    kind = "too_many_streams"
    retryable = True

    def __init__(self, message: str, *, limit: int = 0, of_all: bool = False, **common: Any) -> None:
        super().__init__(message, **common)
        self.limit = limit
        self.of_all = of_all


class InvalidEventId(StreamError, ValueError):
    """Not an event id (`Last-Event-ID`), or not one that was given for this stream: forged, foreign or damaged."""

    kind = "invalid_event_id"


class StepLimit(StreamError):
    """A run came to the most steps that a run may have (`limit`), and the model still calls tools.

    The conversation so far is in `partial.messages`; a condition such as `stop_when=max_steps(20)` ends a run in time.
    """

    kind = "step_limit"

    def __init__(self, message: str, *, limit: int = 0, **common: Any) -> None:
        super().__init__(message, **common)
        self.limit = limit


class ResumeGap(StreamError):
    """Events after the place to resume from are gone.

    Attributes:
        first_available: the first id that is still kept, or None.
        reason: "trimmed" (the log keeps no more), "epoch" (another stream has the id now), "future" (the log knows less
            than the reader: it lost its end), "gone" (the stream has expired or was deleted), or "".
    """

    kind = "resume_gap"

    def __init__(
        self, message: str, *, first_available: str | int | None = None, reason: str = "", **common: Any
    ) -> None:
        super().__init__(message, **common)
        self.first_available = first_available
        self.reason = reason


class StreamFenced(StreamError):
    """This producer wrote to a stream that another one has taken over, or that was declared ended. It must stop."""

    kind = "fenced"


class ProducerLost(StreamError):
    """The producer of a relayed stream died or was shut down before the end. What it had given is complete so far."""

    kind = "producer_lost"


class LogError(StreamError):
    """The log of a relay failed or refused. `__cause__` is what its client raised.

    Attributes:
        reason: "connection", "timeout", "loading", "readonly", "memory", "auth", "full" (a `MemoryLog` with running
            streams only), "lost" (the log has forgotten what it had confirmed), "gone" (the stream is not there any
            more) or "refused".
    """

    kind = "log"

    def __init__(self, message: str, *, reason: str = "refused", **common: Any) -> None:
        super().__init__(message, **common)
        self.reason = reason


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


class SafetyBlocked(ProviderError):
    """A filter of the provider refused the request or cut the answer off."""

    kind = "safety_blocked"
