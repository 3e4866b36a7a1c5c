"""Four clocks over one stream: which runs out, and when."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

import millstream as ms
from millstream.streams.timeouts import DEFAULT_TIMEOUTS, Deadlines, Timeouts, is_content

PING = ms.Raw("", "ping")
TEXT = ms.TextDelta("x")


def test_by_default_no_clock_runs() -> None:
    assert not Timeouts()
    assert Timeouts(idle=1)
    assert Deadlines(Timeouts(), 5.0).next() == (math.inf, "total")


def test_the_defaults_for_providers_run_all_four() -> None:
    times = (DEFAULT_TIMEOUTS.first, DEFAULT_TIMEOUTS.idle, DEFAULT_TIMEOUTS.progress, DEFAULT_TIMEOUTS.total)
    assert all(times)


def test_a_value_cannot_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Timeouts().idle = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("name", ["first", "idle", "progress", "total"])
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_nonsense_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"Timeouts.{name} must be positive and finite"):
        Timeouts(**{name: value})


@pytest.mark.parametrize("value", ["1", True, [1]])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"Timeouts\.idle must be seconds or None"):
        Timeouts(idle=value)


def test_first_runs_until_the_first_item_and_idle_from_then_on() -> None:
    deadlines = Deadlines(Timeouts(first=10, idle=2), now=100.0)
    assert deadlines.next() == (110.0, "first")
    deadlines.arrived([TEXT], 109.0)
    assert deadlines.next() == (111.0, "idle")
    deadlines.arrived([TEXT], 110.5)
    assert deadlines.next() == (112.5, "idle")


def test_without_first_nothing_limits_the_wait_for_the_first_item() -> None:
    deadlines = Deadlines(Timeouts(idle=2), now=0.0)
    assert deadlines.next()[0] == math.inf
    deadlines.arrived([], 50.0)
    assert deadlines.next() == (52.0, "idle"), "bytes without an event are a sign of life too"


def test_pings_keep_idle_alive_but_not_progress() -> None:
    deadlines = Deadlines(Timeouts(idle=2, progress=5), now=0.0)
    deadlines.arrived([ms.Start()], 1.0)
    for now in (2.0, 3.0, 3.9):
        deadlines.arrived([PING], now)
    assert deadlines.next() == (5.0, "progress")
    deadlines.arrived([PING, TEXT], 4.0)
    assert deadlines.next() == (6.0, "idle")
    deadlines.arrived([PING], 5.9)
    assert deadlines.next() == (7.9, "idle")
    deadlines.arrived([PING], 7.0)
    assert deadlines.next() == (9.0, "progress"), "of equals the wider one"


def test_while_the_consumer_works_only_total_runs() -> None:
    deadlines = Deadlines(Timeouts(idle=2, progress=5, total=9), now=0.0)
    deadlines.arrived([TEXT], 1.0)
    deadlines.paused(3.0)
    assert deadlines.next() == (6.0, "idle")
    deadlines.arrived([PING], 5.5)
    deadlines.arrived([PING], 7.4)
    assert deadlines.next() == (9.0, "total")
    without_total = Deadlines(Timeouts(progress=5), now=0.0)
    without_total.paused(3.0)
    assert without_total.next() == (8.0, "progress")


def test_r0136_total_is_never_put_off() -> None:
    """Overall timeout 5 min -> "stream timeout"."""
    deadlines = Deadlines(Timeouts(total=300.0, idle=60), now=0.0)
    for now in range(0, 299, 10):
        deadlines.arrived([TEXT], float(now))
    assert deadlines.next() == (300.0, "total")
    error = deadlines.error("total")
    assert (error.kind, error.retryable) == ("total", True)
    assert str(error) == "the stream took longer than 300 s in all (timeout 'total')"


@pytest.mark.parametrize(
    ("kind", "said"),
    [("first", "nothing came within 0.5 s"), ("idle", "nothing came for 2 s"), ("progress", "only pings came for 5 s")],
)
def test_the_error_names_its_clock(kind: Any, said: str) -> None:
    error = Deadlines(Timeouts(first=0.5, idle=2, progress=5), 0.0).error(kind)
    assert error.kind == kind
    assert said in str(error)


@pytest.mark.parametrize(
    ("item", "content"),
    [(PING, False), (ms.Start(), False), (TEXT, True), (ms.ReasoningDelta("x"), True), (ms.ToolCallDelta("", ""), True),
     (ms.Usage(), True), ("anything else", True)],
)  # fmt: skip
def test_what_counts_as_content(item: Any, content: bool) -> None:
    assert is_content(item) is content


def test_the_kind_of_a_timeout_travels() -> None:
    back = ms.events.decode_event(ms.events.encode_event(ms.Error(ms.StreamTimeout("late", kind="idle"))))
    assert (type(back.error), back.error.kind, back.error.message) == (ms.StreamTimeout, "idle", "late")
    assert b'"timeout.idle"' in ms.events.encode_event(ms.Error(ms.StreamTimeout("late", kind="idle")))
    assert b'"kind":"timeout"' in ms.events.encode_event(ms.Error(ms.StreamTimeout("late")))
