"""What kind of failure an exception is, as far as trying again is concerned. By type first, by text only at the last.

Pure. Known here: our own errors, the builtin ones, HTTP clients and SDKs by name, and anything that has a status
(`status_code`, `status`, `code`, `response.status_code`). Text decides only for an exception of which nothing else is
known. Source: REQUIREMENTS.md rows 142-149.
"""

from __future__ import annotations

import errno
import socket
import ssl
from enum import StrEnum
from typing import Any

from millstream.errors import ConnectionFailed, MillstreamError, ProviderError, RateLimited, StreamError, StreamTimeout
from millstream.streams.sources._transport import transport_error

__all__ = ["Failure", "classify", "is_recoverable"]


class Failure(StrEnum):
    """Kinds of failure that are handled differently."""

    RATE_LIMIT = "rate_limit"
    """Too much was asked: wait longer each time."""
    TIMEOUT = "timeout"
    """Time has passed already: try again soon."""
    CONNECTION = "connection"
    """The network or the other end of it."""
    TEMPORARY = "temporary"
    """The other side says, or it is known of this kind, that it will pass."""
    PERMANENT = "permanent"
    """The same request would fail again."""


TRANSIENT_ERRNO = {
    errno.EAGAIN,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EINTR,
    errno.ENETDOWN,
    errno.ENETRESET,
    errno.ENETUNREACH,
    errno.ENOBUFS,
    errno.EPIPE,
    errno.ETIMEDOUT,
}

# Retried by the SDKs of OpenAI and Anthropic as well: 408, 409 (a lock), 429 and 5xx; 501 and 505 never get better.
BY_STATUS = {408: Failure.TIMEOUT, 409: Failure.TEMPORARY, 425: Failure.TEMPORARY, 429: Failure.RATE_LIMIT}
BY_STATUS |= {501: Failure.PERMANENT, 504: Failure.TIMEOUT, 505: Failure.PERMANENT}

# Of HTTP clients' transport errors, these are mistakes of the calling code.
NEVER = {"UnsupportedProtocol", "LocalProtocolError", "InvalidURL", "TooManyRedirects"}
# What the SDKs make of a client's transport errors has no status.
BY_NAME = {
    "anthropic.APITimeoutError": Failure.TIMEOUT,
    "anthropic.APIConnectionError": Failure.CONNECTION,
    "openai.APITimeoutError": Failure.TIMEOUT,
    "openai.APIConnectionError": Failure.CONNECTION,
}
# An exception of these types speaks of the program, whatever its text says.
PROGRAM = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, SyntaxError, TypeError, ValueError)

# Whole phrases: "connection" alone would also be found in "invalid connection string".
PHRASES = (
    (("rate limit", "rate_limit", "ratelimit", "quota exceeded", "too many requests"), Failure.RATE_LIMIT),
    (("timeout", "timed out", "deadline exceeded"), Failure.TIMEOUT),
    (
        ("connection reset", "connection refused", "connection aborted", "connection closed", "connection lost"),
        Failure.CONNECTION,
    ),
    (("temporary", "temporarily", "try again", "overloaded", "service unavailable"), Failure.TEMPORARY),
)


def classify(error: BaseException) -> Failure:
    """Say what kind of failure this is. A group of exceptions is what its only member is, else permanent."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, MillstreamError):
        return _ours(error)
    if not isinstance(error, Exception):
        return Failure.PERMANENT  # cancelled, interrupted, exiting: never an answer of the other side
    status = _status(error)
    if status is not None:
        return BY_STATUS.get(status, Failure.TEMPORARY if status >= 500 else Failure.PERMANENT)
    if NEVER & {cls.__name__ for cls in type(error).__mro__} or isinstance(error, ssl.SSLCertVerificationError):
        return Failure.PERMANENT
    for cls in type(error).__mro__:
        if (name := f"{cls.__module__.partition('.')[0]}.{cls.__name__}") in BY_NAME:
            return BY_NAME[name]
    known = transport_error(error, "")
    if known is not None:
        return Failure.TIMEOUT if isinstance(known, StreamTimeout) else Failure.CONNECTION
    if isinstance(error, socket.gaierror):
        return Failure.CONNECTION if error.errno == socket.EAI_AGAIN else Failure.PERMANENT
    if isinstance(error, OSError):
        return Failure.CONNECTION if error.errno in TRANSIENT_ERRNO else Failure.PERMANENT
    return Failure.PERMANENT if isinstance(error, PROGRAM) else _by_text(error)


def is_recoverable(error: BaseException) -> bool:
    """Whether trying again may help."""
    return classify(error) is not Failure.PERMANENT


def _ours(error: MillstreamError) -> Failure:
    if not isinstance(error, StreamError):
        return Failure.PERMANENT
    if not error.retryable:
        # A server that sends `{"error": "some text"}` tells neither a status nor a code: then the text is all there is.
        unknown = type(error) is ProviderError and error.status is None and not error.code
        return _by_text(error) if unknown else Failure.PERMANENT
    if isinstance(error, RateLimited):
        return Failure.RATE_LIMIT
    if isinstance(error, StreamTimeout) or getattr(error, "status", None) in (408, 504):
        return Failure.TIMEOUT
    return Failure.CONNECTION if isinstance(error, ConnectionFailed) else Failure.TEMPORARY


def _by_text(error: BaseException) -> Failure:
    text = str(error).lower()
    for phrases, failure in PHRASES:
        if any(phrase in text for phrase in phrases):
            return failure
    return Failure.PERMANENT


def _status(error: Any) -> int | None:
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "status", "code"):
            status = getattr(holder, name, None)
            if type(status) is int and 400 <= status <= 599:
                return status
    return None
