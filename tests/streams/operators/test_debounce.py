"""`debounce`: what comes out after silence, and that typed events are never lost by it."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

import millstream as ms
from millstream.streams import Stream
from millstream.testing import FakeClock, ScriptedSource, Wait
from streams.probe import Probe, drain

pytestmark = pytest.mark.anyio


async def run(*script: Any, seconds: float = 1.0, **options: Any) -> tuple[list[tuple[float, Any]], int]:
    """(time, item) of what comes out, and how many were dropped."""
    clock = FakeClock()
    got = []
    async with clock.autojump():
        stream = Stream(ScriptedSource(*script, clock=clock)).debounce(seconds, clock=clock, **options)
        async with stream:
            async for item in stream:
                got.append((round(clock.now(), 6), item))
        assert clock.sleepers == 0
    return got, stream.dropped


async def test_the_last_of_a_quick_succession_comes_after_the_silence() -> None:
    got, dropped = await run(1, Wait(0.5), 2, Wait(0.9), 3, Wait(5), 4, Wait(0.1))
    assert got == [(2.4, 3), (6.5, 4)]
    assert dropped == 2


async def test_max_wait_bounds_how_long_anything_is_held() -> None:
    script = [part for i in range(10) for part in (i, Wait(0.5))]
    got, dropped = await run(*script, max_wait=2.0)
    assert [time for time, _ in got] == [2.0, 4.0, 5.0]
    assert len(got) + dropped == 10


async def test_text_is_joined_and_other_events_are_passed_on_in_order() -> None:
    call = ms.ToolCall(id="1", name="f", input=b"{}")
    finish = ms.Finish(ms.FinishReason.STOP)
    usage = ms.Usage()
    got, dropped = await run(ms.TextDelta("a"), ms.TextDelta("b"), call, usage, ms.TextDelta("c"), finish)
    assert [item for _, item in got] == [ms.TextDelta("ab"), call, usage, ms.TextDelta("c"), finish]
    assert dropped == 0


async def test_what_is_held_comes_before_an_error_and_at_the_end() -> None:
    got: list[int] = []
    async with Stream(Probe([1, 2], error=ValueError("behind"))).debounce(60) as stream:
        with pytest.raises(ValueError, match="behind"):
            await drain(stream, got)
    assert got == [2]


async def test_a_function_of_ones_own_decides_and_a_hook_hears_of_drops() -> None:
    lost: list[int] = []
    got, dropped = await run(1, 2, 3, Wait(9), 4, merge=lambda older, newer: older + newer, on_drop=lost.append)
    assert [item for _, item in got] == [6, 4]
    assert (dropped, lost) == (0, [])
    got, dropped = await run(1, 2, 3, on_drop=lost.append)
    assert (got, dropped, lost) == ([(0.0, 3)], 2, [1, 2])


async def test_items_without_end_or_pause_still_come_out_with_max_wait() -> None:
    source = Probe(count(), suspend=False)
    async with Stream(source).debounce(0.001, max_wait=0.002) as stream:
        assert await anext(stream) > 0
    assert source.closes == 1


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_times_are_checked(seconds: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Stream(Probe()).debounce(seconds)
    with pytest.raises(ValueError, match="max_wait"):
        Stream(Probe()).debounce(2.0, max_wait=1.0)
