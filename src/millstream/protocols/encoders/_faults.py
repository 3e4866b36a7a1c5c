"""What a client is told of an error: its kind always, its words where `expose_errors` is set. The policy stands in
`protocols/encoders/__init__.py`.
"""

from __future__ import annotations

from millstream.errors import AuthError, InvalidRequest, Overloaded, RateLimited, StreamError, StreamTimeout

__all__ = ["TOOL_FAILED", "error_text", "error_type", "masked"]

TOOL_FAILED = "The tool failed."
ANY_ERROR = "An error occurred."
SENTENCES = {
    "connection": "The connection to the model broke off.",
    "incomplete": "The answer broke off before its end.",
    "invalid_request": "The model cannot serve this request.",
    "overloaded": "The model has no capacity at the moment.",
    "rate_limited": "Too many requests at the moment.",
    "timeout": "The model did not answer in time.",
}
"""By `StreamError.kind`."""

# Clients of OpenAI and Anthropic act on these: both SDKs choose a class by them.
NAMES: tuple[tuple[type[StreamError], str], ...] = (
    (RateLimited, "rate_limit_error"),
    (Overloaded, "overloaded_error"),
    (AuthError, "authentication_error"),
    (InvalidRequest, "invalid_request_error"),
    (StreamTimeout, "timeout_error"),
)


def error_text(kind: str) -> str:
    """Return our own sentence for an error of this kind."""
    return SENTENCES.get(kind, ANY_ERROR)


def error_type(error: StreamError, other: str) -> str:
    """Return the name of this class of error; `other` for what is the server's own fault."""
    return next((name for cls, name in NAMES if isinstance(error, cls)), other)


def masked(error: StreamError) -> StreamError:
    """Return an error of the same class with our own sentence, and of its facts only what a retry needs."""
    cls = type(error)
    told = cls.__new__(cls, error_text(cls.kind))
    told.retryable, told.retry_after = error.retryable, error.retry_after
    if "kind" in vars(error):  # which clock ran out
        vars(told)["kind"] = error.kind
    return told
