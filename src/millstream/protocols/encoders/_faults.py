"""The names of errors that clients of OpenAI and Anthropic act on: both SDKs choose a class by them."""

from __future__ import annotations

from millstream.errors import AuthError, InvalidRequest, Overloaded, RateLimited, StreamError, StreamTimeout

__all__ = ["error_type"]

NAMES: tuple[tuple[type[StreamError], str], ...] = (
    (RateLimited, "rate_limit_error"),
    (Overloaded, "overloaded_error"),
    (AuthError, "authentication_error"),
    (InvalidRequest, "invalid_request_error"),
    (StreamTimeout, "timeout_error"),
)


def error_type(error: StreamError, other: str) -> str:
    """Return the name of this class of error; `other` for what is the server's own fault."""
    return next((name for cls, name in NAMES if isinstance(error, cls)), other)
