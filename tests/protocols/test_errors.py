"""A provider's error payload becomes the class that a caller would act on."""

from __future__ import annotations

import pytest

import millstream as ms
from millstream.protocols import provider_error


def make(payload, **options):
    return provider_error(payload, provider="p", **options)


@pytest.mark.parametrize(
    ("status", "cls", "retryable"),
    [
        (400, ms.InvalidRequest, False), (401, ms.AuthError, False), (403, ms.AuthError, False),
        (404, ms.InvalidRequest, False), (405, ms.InvalidRequest, False), (415, ms.InvalidRequest, False),
        (413, ms.InvalidRequest, False), (422, ms.InvalidRequest, False),
        (429, ms.RateLimited, True), (500, ms.ProviderError, True), (502, ms.ProviderError, True),
        (503, ms.Overloaded, True), (529, ms.Overloaded, True), (418, ms.ProviderError, False),
    ],
)  # fmt: skip
def test_by_status(status: int, cls: type, retryable: bool) -> None:
    error = make({"error": {"message": "no", "type": "odd"}}, status=status, request_id="r", retry_after=3, body=b"b")
    assert type(error) is cls
    assert (error.retryable, error.status, error.code, error.provider) == (retryable, status, "odd", "p")
    assert (error.request_id, error.retry_after, error.body) == ("r", 3, b"b")
    # Inside a stream a numeric code in the payload chooses the class, and is no HTTP status.
    inside = make({"error": {"message": "no", "code": status}})
    assert (type(inside), inside.retryable, inside.status) == (cls, retryable, None)


@pytest.mark.parametrize(
    ("name", "cls", "retryable"),
    [
        ("rate_limit_error", ms.RateLimited, True), ("rate_limit_exceeded", ms.RateLimited, True),
        ("insufficient_quota", ms.RateLimited, False), ("RESOURCE_EXHAUSTED", ms.RateLimited, True),
        ("overloaded_error", ms.Overloaded, True), ("authentication_error", ms.AuthError, False),
        ("permission_error", ms.AuthError, False), ("invalid_api_key", ms.AuthError, False),
        ("invalid_request_error", ms.InvalidRequest, False), ("not_found_error", ms.InvalidRequest, False),
        ("context_length_exceeded", ms.InvalidRequest, False), ("api_error", ms.ProviderError, True),
        ("server_error", ms.ProviderError, True), ("billing_error", ms.ProviderError, False),
        ("odd", ms.ProviderError, False), ("ThrottlingException", ms.RateLimited, True),
        ("quota_exceeded", ms.RateLimited, True), ("too_many_requests", ms.RateLimited, True),
        ("UNAVAILABLE", ms.Overloaded, True), ("no_capacity", ms.Overloaded, True), ("forbidden", ms.AuthError, False),
        ("bad_api_key", ms.AuthError, False), ("ValidationException", ms.InvalidRequest, False),
        ("request_too_large", ms.InvalidRequest, False), ("INTERNAL", ms.ProviderError, True),
        ("timeout", ms.ProviderError, True), ("content_filter", ms.SafetyBlocked, False),
        ("invalid_content_policy", ms.SafetyBlocked, False), ("SAFETY", ms.SafetyBlocked, False),
        ("moderation_blocked", ms.SafetyBlocked, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["type", "code"])
def test_by_name(key: str, name: str, cls: type, retryable: bool) -> None:
    error = make({"error": {"message": "no", key: name}})
    assert (type(error), error.retryable, error.code) == (cls, retryable, name)


@pytest.mark.parametrize(
    ("status", "cls"), [(400, ms.SafetyBlocked), (428, ms.SafetyBlocked), (429, ms.RateLimited), (503, ms.Overloaded)]
)
def test_a_filter_that_is_itself_overloaded_has_blocked_nothing(status: int, cls: type) -> None:
    assert type(make({"error": {"code": "content_filter_unavailable"}}, status=status)) is cls


def test_the_text_says_who_answered_what() -> None:
    assert make({"error": {"message": "no", "type": "odd"}}, status=418).message == "p answered 418 odd: no"
    assert make({}).message == "p answered: no message"


def test_no_quota_is_never_worth_a_retry() -> None:
    error = make({"error": {"type": "requests", "code": "insufficient_quota"}}, status=429)
    assert (type(error), error.retryable) == (ms.RateLimited, False)


def test_the_message_is_bounded() -> None:
    for payload in ({"error": {"message": "x" * 10_000, "type": "y" * 10_000}}, "x" * 10_000):
        assert len(make(payload, status=400).message) < 700


@pytest.mark.parametrize(
    "payload", [{"error": "why"}, {"message": "why"}, {"detail": "why"}, "why", [{"error": {"message": "why"}}]]
)
def test_the_message_is_found(payload) -> None:
    assert make(payload).message.endswith(": why")


@pytest.mark.parametrize("payload", [
    None, 0, 1.5, True, [], [1], [[]], {}, {"error": None}, {"error": []}, {"error": 5}, {"error": {"message": None}},
    {"error": {"message": ["x"], "type": {"a": 1}, "code": [1], "status": None}}, {"error": {"code": True}},
    {"error": {"code": 10**18}}, {"message": {"message": None}}, {"error": {"error": {"error": None}}},
])  # fmt: skip
@pytest.mark.parametrize("status", [None, 400, 500])
def test_hostile_payloads(payload, status) -> None:
    error = make(payload, status=status)
    assert isinstance(error, ms.ProviderError)
    assert "no message" in error.message
    assert isinstance(error.code, str)
