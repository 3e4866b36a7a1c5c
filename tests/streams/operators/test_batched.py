"""`batched`: full lists, flushed lists, late lists, the last list."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import create_task_group

import millstream as ms
from millstream.streams import Stream
from millstream.testing import FakeClock, ScriptedSource, Wait
from streams.probe import Probe, drain, settle

pytestmark = pytest.mark.anyio

TEXT = ms.TextDelta("x")
FINISH = ms.Finish(ms.FinishReason.STOP)


async def test_r0156_batches_of_ten() -> None:
    assert [len(batch) for batch in await Stream(Probe(range(25))).batched(10).collect()] == [10, 10, 5]


async def test_r0157_finish_flushes_at_once() -> None:
    source = Probe([TEXT, TEXT, TEXT, FINISH], hang=True)
    async with Stream(source).batched(10) as stream:
        assert await anext(stream) == [TEXT, TEXT, TEXT, FINISH]


async def test_r0158_the_end_without_finish_flushes_too() -> None:
    assert await Stream(Probe([TEXT] * 7)).batched(10).collect() == [[TEXT] * 7]


async def test_r0159_lists_that_were_given_out_are_not_changed_later() -> None:
    kept = await Stream(Probe(range(7))).batched(2).collect()
    assert kept == [[0, 1], [2, 3], [4, 5], [6]]
    assert len({id(batch) for batch in kept}) == 4


async def test_what_is_held_comes_before_an_error() -> None:
    got: list[Any] = []
    with pytest.raises(KeyError):
        await drain(Stream(Probe([1, 2, 3], error=KeyError())).batched(2), got)
    assert got == [[1, 2], [3]]


async def test_flush_on_is_free() -> None:
    assert await Stream(Probe([1, 2, 0, 3])).batched(9, flush_on=lambda item: item == 0).collect() == [[1, 2, 0], [3]]
    assert await Stream(Probe([TEXT, FINISH, TEXT])).batched(9, flush_on=None).collect() == [[TEXT, FINISH, TEXT]]


async def test_a_late_list_goes_out_when_its_first_item_has_waited() -> None:
    clock = FakeClock()
    source = ScriptedSource(1, Wait(0.4), 2, Wait(0.7), 3, Wait(5.0), 4, clock=clock)
    got: list[tuple[float, list[Any]]] = []

    async with clock.autojump(), Stream(source).batched(10, 1.0, clock=clock) as stream:
        async for batch in stream:
            got.append((clock.now(), batch))
    assert [(pytest.approx(when), batch) for when, batch in got] == [(1.0, [1, 2]), (2.1, [3]), (6.1, [4])]
    assert clock.sleepers == 0


async def test_no_timer_runs_while_nothing_is_held() -> None:
    clock = FakeClock()
    async with Stream(Probe(hang=True)).batched(3, 1.0, clock=clock) as stream, create_task_group() as group:

        async def consume() -> None:
            with pytest.raises(ms.StreamClosed):
                await anext(stream)

        group.start_soon(consume)
        await settle()
        assert clock.sleepers == 0
        await stream.aclose()


async def test_misuse() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Stream(Probe()).batched(0)
    for max_wait in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="max_wait"):
            Stream(Probe()).batched(1, max_wait)
