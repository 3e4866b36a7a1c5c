"""`keep_alive`: signs of life in silence, and only there."""

from __future__ import annotations

import pytest

import millstream as ms
from millstream.streams import KEEP_ALIVE, Stream
from millstream.testing import FakeClock, ScriptedSource, Wait
from streams.probe import Probe

pytestmark = pytest.mark.anyio


async def test_a_sign_after_each_stretch_of_silence_and_no_item_lost() -> None:
    clock = FakeClock()
    got = []
    source = ScriptedSource("a", Wait(35), "b", Wait(9), "c", Wait(10.5), clock=clock)
    async with clock.autojump(), Stream(source).keep_alive(10, lambda: "-", clock=clock) as stream:
        async for item in stream:
            got.append((clock.now(), item))
    assert got == [(0, "a"), (10, "-"), (20, "-"), (30, "-"), (35, "b"), (44, "c"), (54, "-")]
    assert clock.sleepers == 0


async def test_the_sign_is_a_data_event_with_a_name() -> None:
    clock = FakeClock()
    async with clock.autojump(), Stream(Probe(hang=True)).keep_alive(clock=clock) as stream:
        event = await anext(stream)
    assert event == ms.Data(payload=None, name=KEEP_ALIVE)
    assert clock.now() == 15.0


async def test_the_time_of_a_slow_consumer_is_no_silence() -> None:
    clock = FakeClock()
    async with clock.autojump(), Stream(Probe(range(3))).keep_alive(1.0, lambda: "-", clock=clock) as stream:
        got = []
        async for item in stream:
            got.append(item)
            await clock.sleep(60)
    assert got == [0, 1, 2]


async def test_a_function_that_raises_ends_the_stream() -> None:
    def bad() -> None:
        raise KeyError("make")

    source = Probe(hang=True)
    async with Stream(source).keep_alive(0.001, bad) as stream:
        with pytest.raises(KeyError, match="make"):
            await anext(stream)
    assert (source.closes, source.closed_while_running) == (1, False)


@pytest.mark.parametrize("every", [0, -1.0, float("nan")])
def test_every_is_checked(every: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Stream(Probe()).keep_alive(every)
