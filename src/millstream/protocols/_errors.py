"""A provider's error object -> the exception class that a caller would act on.

Used for errors inside a stream and for HTTP error bodies alike. Sources: PROTOCOLS.md sections 1 to 8; the `type` and
`code` names are those of OpenAI, Anthropic, Google and the servers that imitate them.
"""

from __future__ import annotations

from typing import Any

from millstream.errors import AuthError, InvalidRequest, Overloaded, ProviderError, RateLimited

__all__ = ["provider_error"]

MESSAGE_CHARS = 500

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

NEVER_RETRY = ("insufficient_quota", "billing")


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
        status: the HTTP status; inside a stream None, and a numeric `code` in the payload stands in to choose the class.
        body: kept in `.body`.
    """
    detail = payload.get("error") or payload if isinstance(payload, dict) else payload
    code = ""
    message = ""
    number = status
    if isinstance(detail, dict):
        names = [detail.get(key) for key in ("type", "code", "status", "error_type")]
        code = next((name for name in names if isinstance(name, str) and name not in ("", "error")), "")
        numbers = (name for name in names if isinstance(name, int) and 400 <= name <= 599)
        number = status or next(numbers, None)
        text = detail.get("message") or detail.get("detail")
        message = text if isinstance(text, str) else ""
        if number is None and isinstance(detail.get("code"), str):
            code_words = f"{code} {detail['code']}"
        else:
            code_words = code
    else:
        code_words = ""
        message = detail if isinstance(detail, str) else ""
    cls = _class_of(number, code_words.lower())
    what = " ".join(part for part in (str(status) if status else "", code) if part)
    said = message[:MESSAGE_CHARS] or "no message"
    never = any(word in code_words.lower() for word in NEVER_RETRY)
    server_fault = cls is ProviderError and (number is None or number >= 500)
    return cls(
        f"{provider} answered {what}: {said}" if what else f"{provider} answered: {said}",
        status=status,
        code=code,
        request_id=request_id,
        retry_after=retry_after,
        provider=provider,
        retryable=False if never else server_fault or cls.retryable,
        body=body,
    )


def _class_of(status: int | None, words: str) -> type[ProviderError]:
    if status in BY_STATUS:
        return BY_STATUS[status]
    if status is None:
        for word, cls in BY_WORD:
            if word in words:
                return cls
    return ProviderError
