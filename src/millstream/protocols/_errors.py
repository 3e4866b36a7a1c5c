"""A provider's error object -> the exception class that a caller would act on.

Used for errors inside a stream and for HTTP error bodies alike. Sources: PROTOCOLS.md sections 1 to 8; the `type` and
`code` names are those of OpenAI, Anthropic, Google and the servers that imitate them.
"""

from __future__ import annotations

import re
from typing import Any

from millstream.errors import AuthError, InvalidRequest, Overloaded, ProviderError, RateLimited, SafetyBlocked

__all__ = ["provider_error"]

MESSAGE_CHARS = 500
CODE_CHARS = 100

BY_STATUS: dict[int, type[ProviderError]] = {
    400: InvalidRequest,
    401: AuthError,
    403: AuthError,
    404: InvalidRequest,
    405: InvalidRequest,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
    503: Overloaded,
    529: Overloaded,
}

# Looked for in the provider's own code, in this order. Words, because every server spells them a little differently.
BY_WORD: tuple[tuple[str, type[ProviderError]], ...] = (
    ("rate_limit", RateLimited),
    ("quota", RateLimited),
    ("exhausted", RateLimited),
    ("throttl", RateLimited),
    ("too_many", RateLimited),
    ("overload", Overloaded),
    ("unavailable", Overloaded),
    ("capacity", Overloaded),
    ("auth", AuthError),
    ("permission", AuthError),
    ("api_key", AuthError),
    ("forbidden", AuthError),
    ("invalid", InvalidRequest),
    ("not_found", InvalidRequest),
    ("validation", InvalidRequest),
    ("context_length", InvalidRequest),
    ("too_large", InvalidRequest),
)

# Before the status: it is 400 or 403, but the caller's remedy is another text, not another request.
SAFETY = ("content_filter", "content_policy", "safety", "moderation")

NEVER_RETRY = ("insufficient_quota", "billing")
RETRY_DELAY = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?s", re.ASCII)
SERVER_FAULT = ("api_error", "server", "internal", "timeout")


def provider_error(
    payload: Any,
    *,
    provider: str,
    status: int | None = None,
    request_id: str = "",
    retry_after: float | None = None,
    body: bytes = b"",
) -> ProviderError:
    """Make the exception for an error payload.

    Args:
        payload: the decoded JSON, `{"error": {...}}`, `{"error": "text"}`, `{"message": ...}` or anything else.
        provider: whose error it is: begins the text, and is kept in `.provider`.
        status: the HTTP status; None inside a stream, where a numeric code in the payload stands in for it.
        request_id: the provider's own, from its headers; kept in `.request_id`.
        retry_after: seconds that the headers ask to wait; None: those that the payload names, if it does.
        body: kept in `.body`.
    Returns: a ProviderError, or AuthError, InvalidRequest, RateLimited, Overloaded, SafetyBlocked where that is clear.
    """
    code, number, message = _detail(payload)
    words = code.lower()
    cls = _class_of(status or number, words)
    server_fault = cls is ProviderError and (
        (status or number or 0) >= 500 or any(word in words for word in SERVER_FAULT)
    )
    return cls(
        " ".join(part for part in (provider, "answered", str(status or ""), code) if part)
        + f": {message[:MESSAGE_CHARS] or 'no message'}",
        status=status,
        code=code,
        request_id=request_id,
        retry_after=_retry_delay(payload) if retry_after is None else retry_after,
        provider=provider,
        retryable=(server_fault or cls.retryable) and not any(word in words for word in NEVER_RETRY),
        body=body,
    )


def _detail(payload: Any) -> tuple[str, int | None, str]:
    """Find the provider's code, a status number and the message, wherever this server puts them."""
    if isinstance(payload, list) and payload:
        payload = payload[0]  # Gemini answers a list request with a list
    detail = payload.get("error") or payload if isinstance(payload, dict) else payload
    if not isinstance(detail, dict):
        return "", None, detail if isinstance(detail, str) else ""
    names = [detail.get(key) for key in ("code", "type", "status", "error_type")]
    code = next((name for name in names if isinstance(name, str) and name not in ("", "error")), "")[:CODE_CHARS]
    number = next((name for name in names if type(name) is int and 400 <= name <= 599), None)
    texts = (detail.get("message"), detail.get("detail"))
    return code, number, next((text for text in texts if isinstance(text, str)), "")


def _retry_delay(payload: Any) -> float | None:
    """Return the seconds of Google's `RetryInfo` detail: `{"retryDelay": "39s"}`."""
    error = payload.get("error") if isinstance(payload, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else []:
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and RETRY_DELAY.fullmatch(delay):
            return float(delay[:-1])
    return None


def _class_of(status: int | None, words: str) -> type[ProviderError]:
    if any(word in words for word in SAFETY) and (status is None or status < 429):
        return SafetyBlocked
    if status in BY_STATUS:
        return BY_STATUS[status]
    if status is None:
        for word, cls in BY_WORD:
            if word in words:
                return cls
    return ProviderError
