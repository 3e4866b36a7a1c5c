"""The rules of retrying: which failures, how long between, how often, and what it may cost a process."""

from __future__ import annotations

import errno
import logging
import socket
import ssl
import threading
from types import SimpleNamespace
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

import millstream as ms
from millstream.streams.retry import (
    PROCESS_BUDGET,
    Failure,
    Retries,
    RetryBudget,
    RetryDecision,
    RetryPolicy,
    classify,
    constant,
    exponential,
    is_recoverable,
    jittered,
    linear,
)


class OddError(Exception):
    """Of which nothing is known but its text."""


def fresh(**changes: Any) -> Retries:
    return RetryPolicy(**{"budget": None, "draw": lambda: 0.0} | changes).start()


def delays(retries: Retries, error: Exception) -> list[float]:
    """Fail until it gives up: the waits."""
    waits = []
    while True:
        try:
            waits.append(retries.failed(error))
        except ms.RetriesExhausted:
            return waits


# --- how often ---------------------------------------------------------------------------------------------------


def test_r0126_three_attempts_in_all() -> None:
    """`max_retries` = 3 attempts in all."""
    retries = fresh()
    assert RetryPolicy().max_attempts == 3
    delays(retries, ConnectionError())
    assert retries.attempt == 3


def test_r0127_the_delay_grows_linearly_from_one_second() -> None:
    """Base delay 1 s, delay = base * attempt (linear)."""
    assert delays(fresh(), ConnectionError()) == [1.0, 2.0]
    assert delays(fresh(), ms.Overloaded("x")) == [1.0, 2.0]
    assert delays(fresh(max_attempts=5, backoff=linear(0.5)), ms.Overloaded("x")) == [0.5, 1.0, 1.5, 2.0]


def test_r0130_each_failed_attempt_is_logged_with_its_number(caplog: pytest.LogCaptureFixture) -> None:
    """Each failed attempt is logged with attempt number."""
    calls: list[tuple[int, Exception, float]] = []
    retries = fresh(on_retry=lambda *args: calls.append(args))
    error = ms.RateLimited("their words: sk-secret")
    with caplog.at_level(logging.DEBUG, "millstream.retry"):
        retries.failed(error)
        retries.failed(error)
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}  # somebody is told, so nobody is warned
    assert calls == [(1, error, 2.0), (2, error, 4.0)]
    assert [record.getMessage() for record in caplog.records] == [
        "attempt 1 of 3 failed (RateLimited); next in 2 s",
        "attempt 2 of 3 failed (RateLimited); next in 4 s",
    ]


def test_who_is_not_told_is_warned(caplog: pytest.LogCaptureFixture) -> None:
    fresh().failed(ms.Overloaded("x"))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "attempt 1 of 3 failed (Overloaded); next in 1 s")
    ]


def test_r0132_no_wait_after_the_last_attempt() -> None:
    """No wait after the last attempt."""
    assert len(delays(fresh(), ConnectionError())) == 2
    assert delays(fresh(max_attempts=1), ConnectionError()) == []


def test_r0134_after_the_last_attempt_an_error_wraps_the_cause() -> None:
    """After the last attempt an error wraps the cause ("all attempts failed")."""
    retries, error = fresh(), ms.RateLimited("x", retry_after=1.0, provider="p")
    error.partial = "half"
    retries.failed(ms.Overloaded("before"))
    retries.failed(error)
    with pytest.raises(ms.RetriesExhausted, match="all 3 attempts failed; the last one with RateLimited") as caught:
        retries.failed(error)
    exhausted = caught.value
    assert (exhausted.attempts, exhausted.last, exhausted.__cause__) == (3, error, error)
    assert (exhausted.retry_after, exhausted.provider, exhausted.partial) == (1.0, "p", "half")
    assert not exhausted.retryable
    assert not is_recoverable(exhausted), "a retry around a retry would multiply the attempts"


def test_r0139_an_error_that_no_retry_helps_comes_out_unchanged() -> None:
    """Non-recoverable ERROR: stop."""
    retries, error = fresh(), ms.AuthError("no", status=401)
    with pytest.raises(ms.AuthError) as caught:
        retries.failed(error)
    assert caught.value is error
    assert retries.attempt == 1


def test_the_policy_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        RetryPolicy(max_attempts=0)
    with pytest.raises(ValueError, match="negative"):
        RetryPolicy(max_delay=-1)
    with pytest.raises(ValueError, match="negative"):
        RetryPolicy(retry_after_jitter=-1)


# --- which -------------------------------------------------------------------------------------------------------


TRANSIENT = [
    ConnectionError(),
    ConnectionResetError(),
    BrokenPipeError(),
    TimeoutError(),
    OSError(errno.ENETUNREACH, "x"),
    OSError(errno.EHOSTUNREACH, "x"),
    socket.gaierror(socket.EAI_AGAIN, "x"),
    ssl.SSLEOFError(),
    httpx.ConnectError("x"),
    httpx.ReadTimeout("x"),
    httpx.RemoteProtocolError("x"),
    httpx2.ConnectError("x"),
    httpx2.ReadTimeout("x"),
    ms.ConnectionFailed("x"),
    ms.StreamTimeout("x"),
    ms.IncompleteStream("x"),
    ExceptionGroup("x", [ExceptionGroup("y", [ConnectionError()])]),
]
PERMANENT = [
    ValueError("connection timeout, rate limit, try again"),
    KeyError("x"),
    OddError("no"),
    OSError(errno.ENOSPC, "x"),
    OSError(errno.EMFILE, "x"),
    OSError("no number"),
    socket.gaierror(socket.EAI_NONAME, "x"),
    ssl.SSLCertVerificationError("x"),
    httpx.UnsupportedProtocol("x"),
    httpx2.LocalProtocolError("x"),
    ms.errors.StreamBusy("try again"),
    ms.AuthError("try again", status=401),
    ms.InvalidRequest("temporary", status=400),
    ms.RateLimited("no money left", retryable=False),
    ms.errors.ProcessingError("x"),
    OddError("invalid connection string"),
    ExceptionGroup("x", [ConnectionError(), ConnectionError()]),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", TRANSIENT, ids=repr)
def test_r0142_network_errors_are_recoverable(error: BaseException) -> None:
    """Temporary network errors are recoverable."""
    assert is_recoverable(error)


@pytest.mark.parametrize(
    "error",
    [
        ms.RateLimited("x"),
        OddError("Rate limit reached"),
        OddError("you have your quota exceeded"),
        ms.ProviderError("p answered: Rate limit reached"),
    ],
)
def test_r0143_rate_limits_are_recoverable(error: Exception) -> None:
    """Rate limit / "quota exceeded" recoverable."""
    assert classify(error) is Failure.RATE_LIMIT


@pytest.mark.parametrize(
    "error",
    [ms.Overloaded("x"), OddError("A TEMPORARY problem"), OddError("Please try again."), ms.ProviderError("try again")],
)
def test_r0144_temporary_errors_are_recoverable(error: Exception) -> None:
    """ "temporary" / "try again" recoverable."""
    assert classify(error) is Failure.TEMPORARY


@pytest.mark.parametrize("error", PERMANENT, ids=repr)
def test_r0145_everything_else_is_not(error: BaseException) -> None:
    """Everything else is not recoverable."""
    assert not is_recoverable(error)


@pytest.mark.parametrize(
    ("status", "failure"),
    [(400, "permanent"), (401, "permanent"), (408, "timeout"), (409, "temporary"), (429, "rate_limit"),
     (500, "temporary"), (501, "permanent"), (503, "temporary"), (504, "timeout"), (529, "temporary")],
)  # fmt: skip
def test_errors_of_sdks_and_clients_are_known_by_their_status(status: int, failure: str) -> None:
    plain = OddError("timeout")
    plain.status_code = status
    request = httpx.Request("POST", "http://x")
    http = httpx.HTTPStatusError("x", request=request, response=httpx.Response(status))
    assert classify(plain) == classify(http) == failure


@pytest.mark.parametrize("sdk", [openai, anthropic], ids=lambda sdk: sdk.__name__)
def test_errors_of_the_real_sdks(sdk: Any) -> None:
    request = httpx2.Request("POST", "http://x")
    assert classify(sdk.APITimeoutError(request=request)) is Failure.TIMEOUT
    assert classify(sdk.APIConnectionError(request=request)) is Failure.CONNECTION
    response = httpx2.Response(429, request=request, headers={"retry-after": "3"})
    error = sdk.RateLimitError("no", response=response, body=None)
    assert RetryPolicy(draw=lambda: 0.0).decision(error, 1) == (True, 3.0)
    assert not is_recoverable(sdk.AuthenticationError("no", response=httpx2.Response(401, request=request), body=None))


def test_a_status_may_be_called_code() -> None:
    error = OddError("google.genai says so")
    error.code = 503
    assert classify(error) is Failure.TEMPORARY


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (ms.StreamTimeout("x", kind="idle"), "timeout"),
        (ms.ProviderError("x", status=504, retryable=True), "timeout"),
        (ms.ProviderError("x", status=500, retryable=True), "temporary"),
        (ms.ProviderError("try again", status=500), "permanent"),
        (ms.ProviderError("try again", code="odd"), "permanent"),
        (ms.StreamError("try again"), "permanent"),
        (ms.ConnectionFailed("x"), "connection"),
        (OddError("read timed out"), "timeout"),
        (OddError("Connection reset by peer"), "connection"),
    ],
)
def test_our_own_errors_know_and_text_comes_last(error: Exception, failure: str) -> None:
    assert classify(error) == failure


# --- how long ----------------------------------------------------------------------------------------------------


def test_r0146_a_rate_limit_waits_exponentially_or_as_long_as_asked() -> None:
    """Rate limit: retry with exponential delay 2**attempt seconds."""
    policy, error = RetryPolicy(draw=lambda: 0.0), ms.RateLimited("x")
    assert [policy.decision(error, attempt) for attempt in (1, 2, 3)] == [(True, 2.0), (True, 4.0), (True, 8.0)]
    assert policy.decision(ms.RateLimited("x", retry_after=7.5), 1) == (True, 7.5)
    assert policy.decision(ms.Overloaded("x", retry_after=0), 1) == (True, 0.0)


def test_r0147_a_timeout_waits_half_a_second() -> None:
    """Timeout: retry after 500 ms fixed."""
    assert [RetryPolicy().decision(TimeoutError(), attempt) for attempt in (1, 2, 3)] == [(True, 0.5)] * 3
    assert RetryPolicy(timeout=constant(3.0)).decision(TimeoutError(), 1) == (True, 3.0)


def test_r0148_a_connection_waits_attempt_seconds() -> None:
    """Connection: retry after attempt * 1 s."""
    decisions = [RetryPolicy().decision(ms.ConnectionFailed("x"), attempt) for attempt in (1, 2, 3)]
    assert decisions == [(True, 1.0), (True, 2.0), (True, 3.0)]


def test_r0149_by_default_no_retry() -> None:
    """Default: no retry, delay 0."""
    assert RetryPolicy().decision(OddError("x"), 1) == RetryDecision(False, 0.0)


def test_r0150_one_function_decides_and_can_be_replaced() -> None:
    """The decision is one function (error, attempt) -> (retry, delay), replaceable."""
    asked: list[tuple[Exception, int]] = []

    def decide(error: Exception, attempt: int) -> tuple[bool, float]:
        asked.append((error, attempt))
        return attempt < 2, 9.0

    retries, error = fresh(decide=decide), ValueError("even this")
    assert retries.failed(error) == 9.0
    with pytest.raises(ValueError, match="even this"):
        retries.failed(error)
    assert asked == [(error, 1), (error, 2)]
    assert delays(fresh(decide=lambda error, attempt: (True, 0.0)), error) == [0.0, 0.0]


def test_what_the_provider_asks_for_is_never_undercut_and_spread_even_at_the_cap() -> None:
    draws = iter([0.0, 0.5, 1.0, 0.5])
    policy = RetryPolicy(draw=lambda: next(draws), retry_after_jitter=0.2, max_delay=100)
    asked = [policy.decision(ms.RateLimited("x", retry_after=seconds), 1).delay for seconds in (10, 10, 10, 10**9)]
    assert asked == pytest.approx([10, 11, 12, 110])


def test_an_own_backoff_is_capped() -> None:
    assert RetryPolicy(max_delay=5.0).decision(ms.RateLimited("x"), 10).delay == 5.0
    assert RetryPolicy().decision(ms.RateLimited("x"), 10_000).delay == 60.0


def test_the_wait_is_found_in_the_response_of_an_sdks_error() -> None:
    error = OddError("x")
    error.status_code = 429
    error.response = SimpleNamespace(headers={"retry-after": "3"})
    assert RetryPolicy(draw=lambda: 0.0).decision(error, 1) == (True, 3.0)
    error.response.headers = {}
    assert RetryPolicy().decision(error, 1) == (True, 2.0)


def test_jitter_spreads_a_backoff_in_both_directions() -> None:
    draws = iter([0.0, 0.5, 1.0])
    backoff = jittered(exponential(1.0), 0.25, lambda: next(draws))
    assert [backoff(1), backoff(1), backoff(1)] == [1.5, 2.0, 2.5]


# --- what it costs -----------------------------------------------------------------------------------------------


def test_the_process_has_one_budget_by_default() -> None:
    before = PROCESS_BUDGET.tokens
    RetryPolicy().start().failed(ConnectionError())
    assert PROCESS_BUDGET.tokens == before - 5


def test_an_empty_budget_ends_retrying_for_all() -> None:
    budget = RetryBudget(20)
    policy = RetryPolicy(budget=budget)
    for _ in range(4):
        policy.start().failed(ConnectionError())
    with pytest.raises(ms.RetriesExhausted, match="attempt 1 failed, and too many retries failed lately") as caught:
        policy.start().failed(ConnectionError())
    assert caught.value.attempts == 1
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_success_fills_the_budget_again() -> None:
    budget = RetryBudget(20)
    retries = RetryPolicy(budget=budget).start()
    retries.failed(ConnectionError())
    retries.failed(TimeoutError())
    assert budget.tokens == 5, "a timeout costs twice as much"
    retries.succeeded()
    assert budget.tokens == 20
    budget.take()
    RetryPolicy(budget=budget).start().succeeded()
    assert budget.tokens == 16
    budget.reset()
    assert budget.tokens == 20


def test_a_failure_that_is_not_retried_costs_nothing() -> None:
    budget = RetryBudget(20)
    with pytest.raises(ValueError, match="x"):
        RetryPolicy(budget=budget).start().failed(ValueError("x"))
    with pytest.raises(ms.RetriesExhausted):
        RetryPolicy(budget=budget, max_attempts=1).start().failed(ConnectionError())
    assert budget.tokens == 20


def test_the_budget_is_safe_across_threads() -> None:
    budget, paid = RetryBudget(10_000, cost=1), []

    def spend() -> None:
        paid.append(sum(budget.take() for _ in range(2000)))

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(paid) == 10_000
    assert budget.tokens == 0


@pytest.mark.parametrize("wrong", [{"cost": 0}, {"timeout_cost": 0}, {"cost": 501}, {"timeout_cost": 501}])
def test_a_budget_refuses_nonsense(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must cost something"):
        RetryBudget(**wrong)
