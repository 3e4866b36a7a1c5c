"""An answer that could not begin, as an HTTP status and a JSON body.

Pure. The body has the form that the SDKs of OpenAI and Anthropic both read. Words of a provider stay here, unless they
are asked for; the words of our own relay are told always.
"""

from __future__ import annotations

import math

import orjson

from millstream.errors import (
    AuthError,
    BackpressureError,
    InvalidEventId,
    InvalidRequest,
    LogError,
    Overloaded,
    ProcessingError,
    ProducerLost,
    RateLimited,
    ResumeGap,
    RetriesExhausted,
    SafetyBlocked,
    StepLimit,
    StreamError,
    StreamExists,
    StreamNotFound,
    StreamTimeout,
    ToolError,
    TooManyStreams,
)
from millstream.protocols.encoders._faults import error_text

__all__ = ["refusal", "status_of"]

STATUS: tuple[tuple[type[StreamError], int], ...] = (
    (RateLimited, 429),
    (Overloaded, 503),
    (AuthError, 502),  # our key, not the client's
    (SafetyBlocked, 400),
    (InvalidRequest, 400),
    (StreamTimeout, 504),
    (StreamNotFound, 404),
    (InvalidEventId, 400),
    (ResumeGap, 409),
    (StreamExists, 409),
    (TooManyStreams, 429),
    (LogError, 503),
    (ProducerLost, 503),
    (BackpressureError, 503),
    (ProcessingError, 500),
    (ToolError, 500),
    (StepLimit, 500),
)
"""First match decides; everything else is 502: the other side failed."""

OUR_WORDS = (StreamNotFound, InvalidEventId, ResumeGap, StreamExists, TooManyStreams)


def status_of(error: StreamError) -> int:
    """Return the HTTP status for an error that kept an answer from beginning."""
    if isinstance(error, RetriesExhausted) and isinstance(error.last, StreamError):
        return status_of(error.last)
    if isinstance(error, InvalidRequest) and error.status in (413, 422):
        return error.status
    if isinstance(error, TooManyStreams) and error.of_all:
        return 503
    return next((status for cls, status in STATUS if isinstance(error, cls)), 502)


def refusal(error: StreamError, *, expose: bool) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of the answer.

    Args: expose: tell the message of the error instead of a sentence for its kind.
    """
    shown = error.last if isinstance(error, RetriesExhausted) and isinstance(error.last, StreamError) else error
    kind = type(shown).kind
    words = error.message if expose or isinstance(error, OUR_WORDS) else error_text(kind)
    headers = {
        "content-type": "application/json",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }
    if error.retry_after is not None and math.isfinite(error.retry_after):
        headers["retry-after"] = str(max(0, math.ceil(error.retry_after)))
    body = {"type": "error", "error": {"type": kind, "message": words, "retryable": error.retryable}}
    return status_of(error), headers, orjson.dumps(body)
