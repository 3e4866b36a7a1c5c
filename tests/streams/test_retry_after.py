"""Every form in which a provider says how long to wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.streams._retry_after import retry_after

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1000000000"}, 1e9),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"x-ms-retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "Fri, 15 Jan 2027 08:01:00 GMT"}, 60.0),
        ({"retry-after": "Friday, 15-Jan-27 08:01:00 GMT"}, 60.0),
        ({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0.0),
        ({"retry-after": "31 Jan 2015 07:28:00 +99999999999999"}, None),
        *[({"retry-after": value}, None) for value in ("soon", "-1", "nan", "inf", "1e9", "٣", "1_0", "", "9" * 40)],
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("6m0s", 360.0),
        ("1h2m3.5s", 3723.5),
        ("20ms", 0.02),
        ("1d", 86400.0),
        ("30", 30.0),
        ("1800000042", 42.0),
        ("1800000042500", 42.5),
        ("1799999999", 0.0),
        ("2027-01-15T08:00:10Z", 10.0),
        ("2027-01-15T09:00:10+01:00", 10.0),
        ("2027-01-15T07:00:10Z", 0.0),
        ("2027-01-15T08:00:10", None),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60.0),
        ("later", None),
        ("6m0s!", None),
        ("", None),
        ("9" * 100, None),
    ],
)
def test_the_reset_of_an_empty_window_counts(value: str, seconds: float | None) -> None:
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": value}
    assert retry_after(headers, NOW) == (None if seconds is None else pytest.approx(seconds))


def test_the_latest_reset_of_the_empty_windows_counts_and_no_other() -> None:
    headers = {
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:10Z",
        "anthropic-ratelimit-input-tokens-remaining": "0",
        "anthropic-ratelimit-input-tokens-reset": "2027-01-15T08:00:20Z",
        "anthropic-ratelimit-output-tokens-remaining": "5",
        "anthropic-ratelimit-output-tokens-reset": "2027-01-15T08:00:30Z",
        "x-ratelimit-reset": "99",
    }
    assert retry_after(headers, NOW) == pytest.approx(20.0)


def test_retry_after_goes_before_the_resets() -> None:
    assert retry_after({"retry-after": "1", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "99"}, NOW) == 1.0


@given(st.text(max_size=80), st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset"]))
def test_nonsense_is_never_an_error(value: str, name: str) -> None:
    seconds = retry_after({"x-ratelimit-remaining": "0", name: value})
    assert seconds is None or seconds >= 0
