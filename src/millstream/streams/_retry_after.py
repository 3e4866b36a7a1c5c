"""How long a provider asks to wait, from the headers of its refusal, in whatever form it says so.

Nonsense gives None and never an error. Sources: RFC 9110 10.2.3; `retry-after-ms` of OpenAI and Azure; the reset
headers of OpenAI and Groq ("6m0s", "20ms"), Anthropic (RFC 3339), OpenRouter (epoch milliseconds) and the IETF draft
(seconds). A reset counts only for a window of which nothing remains: the others are no reason to wait.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

__all__ = ["retry_after"]

# Only plain ASCII digits: float() would take "nan", "1e9" and "infinity" from the wire.
NUMBER = re.compile(r"[0-9]{1,13}(\.[0-9]{0,9})?", re.ASCII)
DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|us|µs|ns|h|m|s|d)", re.ASCII)
UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}

# (what remains, when it is reset) of each window.
WINDOWS = (
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
)

EPOCH_SECONDS, EPOCH_MILLISECONDS = 1e9, 1e12  # a number from here on is a date: nobody asks to wait thirty years


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Return the seconds to wait, 0.0 or more; None if the headers do not say.

    Args:
        headers: found without regard to case (or all in lower case).
        now: seconds since 1970, for dates; None: the system's clock.
    """
    now = time.time() if now is None else now
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        value = headers.get(name, "").strip()
        if NUMBER.fullmatch(value):
            return float(value) / 1000.0
    value = headers.get("retry-after", "").strip()
    if value:
        seconds = float(value) if NUMBER.fullmatch(value) else _http_date(value, now)
        if seconds is not None:
            return seconds
    resets = [_reset(headers.get(reset, ""), now) for left, reset in WINDOWS if headers.get(left, "").strip() == "0"]
    return max((seconds for seconds in resets if seconds is not None), default=None)


def _reset(value: str, now: float) -> float | None:
    value = value.strip()[:64]
    if NUMBER.fullmatch(value):
        number = float(value)
        if number >= EPOCH_MILLISECONDS:
            return max(0.0, number / 1000.0 - now)
        return max(0.0, number - now) if number >= EPOCH_SECONDS else number
    parts = DURATION.findall(value)
    if parts and "".join(number + unit for number, unit in parts) == value:
        return math.fsum(float(number) * UNITS[unit] for number, unit in parts)
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        return _http_date(value, now)
    return None if when.tzinfo is None else max(0.0, when.timestamp() - now)


def _http_date(value: str, now: float) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None
