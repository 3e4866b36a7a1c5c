"""When a stream that failed is opened again, and after how long. Numbers in, numbers out: no I/O, no waiting.

    retries = RetryPolicy().start()
    while True:
        try: ...open, and deliver...; retries.succeeded(); return
        except Exception as error: delay = retries.failed(error)    # raises when it is over
        ...close the failed attempt...; await clock.sleep(delay)

Only the caller knows whether something was delivered: after that, no retry unless it can resume or restart (S14).
`attempt` is always the number of the attempt that has just failed, from 1. Sources: REQUIREMENTS.md rows 126-150,
THREATS_AND_FAULTS.md X3.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from millstream.errors import RetriesExhausted
from millstream.streams._failures import Failure, classify, is_recoverable
from millstream.streams._retry_after import retry_after

__all__ = [
    "PROCESS_BUDGET",
    "Backoff",
    "Failure",
    "Retries",
    "RetryBudget",
    "RetryDecision",
    "RetryPolicy",
    "classify",
    "constant",
    "exponential",
    "is_recoverable",
    "jittered",
    "linear",
]

logger = logging.getLogger("millstream.retry")

Backoff = Callable[[int], float]
"""From the number of the failed attempt to seconds."""


class RetryDecision(NamedTuple):
    """Whether to try again, and after how many seconds."""

    retry: bool
    delay: float


def constant(seconds: float) -> Backoff:
    """Wait the same each time."""
    return lambda attempt: seconds


def linear(seconds: float) -> Backoff:
    """Wait `seconds * attempt`."""
    return lambda attempt: seconds * attempt


def exponential(seconds: float, factor: float = 2.0) -> Backoff:
    """Wait `seconds * factor**attempt`: 2, 4, 8 for 1 s."""
    return lambda attempt: seconds * factor ** min(attempt, 64)


def jittered(backoff: Backoff, share: float = 0.25, draw: Callable[[], float] = random.random) -> Backoff:
    """Spread a backoff by up to `share` of it in both directions, so that many clients do not come back together.

    Args: draw: gives numbers from 0 to 1.
    """
    return lambda attempt: backoff(attempt) * (1.0 + share * (2.0 * draw() - 1.0))


class RetryBudget:
    """How many retries a process may spend: a bucket that retries empty and successes fill.

    When a provider is down, every stream of the process would multiply the load by its attempts; with an empty bucket
    each is tried once. No clock: only success proves that retrying has sense again. Safe across threads.
    Source: the "standard" retry mode of the AWS SDKs: 500 tokens, a retry 5, after a timeout 10, a success gives back
    what it has cost, or 1.

    Args:
        capacity: tokens in a full bucket.
        cost: tokens of one retry; at most the capacity.
        timeout_cost: tokens of a retry after a timeout, which costs the provider more.
    Raises: ValueError: a cost that is not positive, or above the capacity.
    """

    def __init__(self, capacity: int = 500, *, cost: int = 5, timeout_cost: int = 10) -> None:
        if not 0 < cost <= capacity or not 0 < timeout_cost <= capacity:
            raise ValueError("a retry must cost something, and not more than the budget's capacity")
        self.capacity = capacity
        self._cost, self._timeout_cost = cost, timeout_cost
        self._tokens = capacity
        self._lock = threading.Lock()

    @property
    def tokens(self) -> int:
        """What is left."""
        return self._tokens

    def take(self, *, timeout: bool = False) -> int:
        """Pay for one retry, dearer after a `timeout`; return what it cost, 0 if there is not enough left."""
        cost = self._timeout_cost if timeout else self._cost
        with self._lock:
            if self._tokens < cost:
                return 0
            self._tokens -= cost
            return cost

    def give(self, tokens: int = 1) -> None:
        """Put tokens back, up to the capacity."""
        with self._lock:
            self._tokens = min(self.capacity, self._tokens + tokens)

    def reset(self) -> None:
        """Fill it up, as between two tests."""
        self.give(self.capacity)


LINEAR = linear(1.0)
EXPONENTIAL = exponential(1.0)
HALF_A_SECOND = constant(0.5)

PROCESS_BUDGET = RetryBudget()
"""The budget of every policy that names no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, and how long between.

    Raises: ValueError: max_attempts below 1, or a negative number.
    """

    max_attempts: int = 3
    """Attempts in all, the first included."""

    backoff: Backoff = LINEAR
    """After a failure that will pass: overloaded, a fault of the server, a stream without its end."""

    rate_limit: Backoff = EXPONENTIAL
    """After a rate limit, where the provider did not say how long."""

    timeout: Backoff = HALF_A_SECOND
    """After a timeout."""

    connection: Backoff = LINEAR
    """After a failure of the connection."""

    max_delay: float = 60.0
    """The longest wait in seconds, before jitter, also if the provider asks for more."""

    retry_after_jitter: float = 0.25
    """Up to this share is added to what the provider asked for, or to the cap: all its clients were told the same."""

    decide: Callable[[Exception, int], tuple[bool, float]] | None = None
    """`(error, attempt) -> (retry, delay)` in place of all rules above; `max_attempts` and the budget still hold."""

    on_retry: Callable[[int, Exception, float], Any] | None = None
    """Called with (attempt, error, delay) before each wait. The log line is then a matter of debugging, no warning."""

    budget: RetryBudget | None = PROCESS_BUDGET
    """What all retries are paid from; None: no limit beyond `max_attempts`."""

    draw: Callable[[], float] = random.random
    """Gives numbers from 0 to 1, for the jitter."""

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(
                f"max_attempts counts the first attempt too and must be at least 1, not {self.max_attempts}"
            )
        if self.max_delay < 0 or self.retry_after_jitter < 0:
            raise ValueError("max_delay and retry_after_jitter must not be negative")

    def decision(self, error: Exception, attempt: int) -> RetryDecision:
        """Say whether and when to retry after `error`, failure number `attempt`, from 1.

        `max_attempts` and the budget are not asked here. Cost: no I/O, no clock.
        """
        if self.decide is not None:
            retry, delay = self.decide(error, attempt)
            return RetryDecision(retry, delay if retry else 0.0)
        failure = classify(error)
        if failure is Failure.PERMANENT:
            return RetryDecision(False, 0.0)
        asked = _asked(error)
        if asked is not None:
            return RetryDecision(True, min(asked, self.max_delay) * (1.0 + self.retry_after_jitter * self.draw()))
        backoffs = {
            Failure.RATE_LIMIT: self.rate_limit,
            Failure.TIMEOUT: self.timeout,
            Failure.CONNECTION: self.connection,
        }
        return RetryDecision(True, min(self.max_delay, backoffs.get(failure, self.backoff)(attempt)))

    def start(self) -> Retries:
        """Begin to count the attempts of one stream."""
        return Retries(self)


class Retries:
    """The attempts of one stream. Attributes: attempt: the number of the one that runs now, from 1."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._spent = 0
        self.attempt = 1

    def failed(self, error: Exception) -> float:
        """Note that the attempt failed; return the seconds to wait before the next one.

        Raises: RetriesExhausted, from `error`: it was the last attempt, or the budget is used up.
            `error` itself, unchanged: another attempt would not help.
        """
        policy = self._policy
        retry, delay = policy.decision(error, self.attempt)
        if not retry:
            raise error
        if self.attempt >= policy.max_attempts:
            raise self._exhausted(f"all {self.attempt} attempts failed", error)
        if policy.budget is not None:
            cost = policy.budget.take(timeout=classify(error) is Failure.TIMEOUT)
            if not cost:
                raise self._exhausted(f"attempt {self.attempt} failed, and too many retries failed lately", error)
            self._spent += cost
        # Whoever is told needs no warning. S22 and X2: a log line never quotes what a provider said.
        tell = logger.warning if policy.on_retry is None else logger.debug
        said = type(error).__name__
        tell("attempt %d of %d failed (%s); next in %.3g s", self.attempt, policy.max_attempts, said, delay)
        if policy.on_retry is not None:
            policy.on_retry(self.attempt, error, delay)
        self.attempt += 1
        return delay

    def succeeded(self) -> None:
        """Note that an attempt delivered: what its retries cost goes back to the budget."""
        if self._policy.budget is not None:
            self._policy.budget.give(self._spent or 1)
            self._spent = 0

    def _exhausted(self, said: str, error: Exception) -> RetriesExhausted:
        failure = RetriesExhausted(
            f"{said}; the last one with {type(error).__name__}", attempts=self.attempt, last=error
        )
        failure.__cause__ = error
        return failure


def _asked(error: Any) -> float | None:
    """Return the wait that the provider asked for: our errors know it, those of SDKs have the response."""
    seconds = getattr(error, "retry_after", None)
    if isinstance(seconds, (int, float)):
        return max(0.0, float(seconds))
    headers = getattr(getattr(error, "response", None), "headers", None)
    return None if headers is None else retry_after(headers)
