"""`throttle`: a token bucket without drift. Row 192."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.streams import Stream
from millstream.testing import FakeClock, ScriptedSource, Wait
from streams.probe import Probe

pytestmark = pytest.mark.anyio


async def times(source: Any, *args: Any, pause: dict[int, float] | None = None, **options: Any) -> list[float]:
    clock = FakeClock(start=100.0)
    got = []
    async with clock.autojump(), Stream(source(clock)).throttle(*args, clock=clock, **options) as stream:
        async for item in stream:
            got.append(round(clock.now() - 100.0, 6))
            await clock.sleep((pause or {}).get(item, 0.0))
    return got


async def test_r0192_ten_per_second_without_drift() -> None:
    got = await times(lambda clock: Probe(range(20)), 10)
    assert got == [round(0.1 * i, 6) for i in range(20)]
    many = await times(lambda clock: Probe(range(1000)), 3)
    assert many[-1] == pytest.approx(999 / 3)


async def test_late_wake_ups_do_not_add_up() -> None:
    class Late(FakeClock):
        async def sleep_until(self, when: float) -> None:
            await super().sleep_until(when + 0.03)

    clock = Late()
    async with clock.autojump():
        await Stream(Probe(range(101))).throttle(10, clock=clock).collect()
    assert clock.now() == pytest.approx(10.03)


async def test_a_burst_goes_at_once_and_a_pause_fills_the_bucket_again_but_no_fuller() -> None:
    got = await times(lambda clock: Probe(range(10)), 1, burst=3, pause={5: 60.0})
    assert got == [0, 0, 0, 1, 2, 3, 63, 63, 63, 64]


async def test_never_more_than_the_rate_in_any_window_whatever_comes_when() -> None:
    script = [part for i in range(40) for part in (i, Wait(0.0 if i % 7 else 1.3))]
    got = await times(lambda clock: ScriptedSource(*script, clock=clock), 5, 1.0, burst=2)
    assert len(got) == 40
    for i, start in enumerate(got):
        for n, end in enumerate(got[i:], 1):
            assert n <= 2 + (end - start) * 5 + 1e-6


async def test_a_chunk_is_spread_and_other_units_are_fine() -> None:
    async def chunk() -> Any:
        yield list(range(5))

    clock = FakeClock()
    got = []
    async with clock.autojump(), Stream.from_batches(chunk()).throttle(6, 60.0, clock=clock) as stream:
        async for item in stream:
            got.append((clock.now(), item))
    assert got == [(0, 0), (10, 1), (20, 2), (30, 3), (40, 4)]


async def test_no_timer_runs_while_nothing_is_there() -> None:
    clock = FakeClock()
    stream = Stream(Probe(range(1), hang=True)).throttle(1, clock=clock)
    async with stream:
        assert await anext(stream) == 0
        await clock.advance(10)
        assert clock.sleepers == 0


@pytest.mark.parametrize("options", [{"rate": 0}, {"rate": -1}, {"rate": 1, "per": 0}, {"rate": float("inf")}])
def test_numbers_are_checked(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        Stream(Probe()).throttle(**options)
    with pytest.raises(ValueError, match="burst"):
        Stream(Probe()).throttle(1, burst=0)
