import orjson
import pytest

import millstream as ms
from millstream.server._refusals import refusal, status_of

SECRET = "account 4711, key sk-live-abc"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ms.RateLimited(SECRET, status=429), 429),
        (ms.Overloaded(SECRET, status=529), 503),
        (ms.AuthError(SECRET, status=401), 502),
        (ms.InvalidRequest(SECRET, status=404), 400),
        (ms.InvalidRequest(SECRET, status=413), 413),
        (ms.InvalidRequest(SECRET, status=422), 422),
        (ms.SafetyBlocked(SECRET), 400),
        (ms.StreamTimeout(SECRET, kind="first"), 504),
        (ms.ConnectionFailed(SECRET), 502),
        (ms.errors.UnexpectedContentType(SECRET), 502),
        (ms.errors.ProtocolError(SECRET), 502),
        (ms.ProviderError(SECRET, status=500), 502),
        (ms.errors.StreamNotFound("no such stream"), 404),
        (ms.errors.InvalidEventId("bad"), 400),
        (ms.errors.ResumeGap("gone", reason="gone"), 409),
        (ms.errors.LogError(SECRET), 503),
        (ms.errors.ProducerLost(SECRET), 503),
        (ms.errors.ProcessingError(SECRET), 500),
        (ms.RetriesExhausted(SECRET, attempts=3, last=ms.RateLimited(SECRET)), 429),
        (ms.RetriesExhausted(SECRET, attempts=3, last=ValueError(SECRET)), 502),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_each_error_has_a_status_and_its_words_stay_here(error, status):
    got, headers, body = refusal(error, expose=False)
    assert (got, status_of(error)) == (status, status)
    assert SECRET.encode() not in body
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    told = orjson.loads(body)
    assert told["type"] == "error"
    assert told["error"]["message"]


def test_the_words_are_told_if_asked_for():
    body = refusal(ms.RateLimited("slow down", status=429), expose=True)[2]
    assert orjson.loads(body)["error"] == {"type": "rate_limited", "message": "slow down", "retryable": True}


@pytest.mark.parametrize(("seconds", "header"), [(None, None), (1.2, "2"), (0, "0"), (-1, "0"), (float("inf"), None)])
def test_retry_after_is_passed_on_in_whole_seconds(seconds, header):
    assert refusal(ms.RateLimited("x", retry_after=seconds), expose=False)[1].get("retry-after") == header
