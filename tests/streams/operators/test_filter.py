"""`filter`: what all predicates accept, in order; and the ready predicates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from anyio import create_task_group
from anyio.lowlevel import checkpoint

import millstream as ms
from millstream import filters
from millstream.core._batch import FAIR_PULLS
from millstream.streams import Stream
from streams.probe import Probe, drain

pytestmark = pytest.mark.anyio

EVENTS = [
    ms.Start(),
    ms.TextDelta("a"),
    ms.ToolCall("1", "f"),
    ms.Error(ms.Overloaded("busy"), fatal=False),
    ms.Finish(ms.FinishReason.STOP),
]


async def even_later(item: int) -> bool:
    await checkpoint()
    return item % 2 == 0


@pytest.mark.parametrize("keep", [lambda item: item % 2 == 0, even_later, lambda item: [0][item % 2 :]], ids=str)
async def test_r0210_a_filter_is_a_predicate_sync_or_async(keep: Any) -> None:
    source = Probe(range(7))
    assert await Stream(source).filter(keep).collect() == [0, 2, 4, 6]
    assert source.closes == 1
    assert await Stream(Probe()).filter(keep).collect() == []
    assert await Stream(Probe([1, 3])).filter(keep).collect() == []


async def test_r0211_a_filtered_stream_is_a_stream_and_filters_nest() -> None:
    stream = Stream(Probe(range(12))).filter(even_later).filter(lambda item: item > 5)
    assert isinstance(stream, ms.streams.TextStream)
    assert await stream.collect() == [6, 8, 10]


@pytest.mark.parametrize("later", [False, True])
async def test_r0212_all_filters_must_accept_and_the_first_refusal_ends_the_questions(later: bool) -> None:
    asked: list[int] = []

    async def small_later(item: int) -> bool:
        await checkpoint()
        return item < 2

    def second(item: int) -> bool:
        asked.append(item)
        return item != 1

    first: Any = small_later if later else lambda item: item < 2
    assert await Stream(Probe(range(4))).filter(first, second).collect() == [0]
    assert asked == [0, 1]


async def test_r0213_without_filters_everything_passes() -> None:
    assert await Stream(Probe([0, None, "", 1])).filter().collect() == [0, None, "", 1]


async def test_r0214_r0217_order_is_kept_and_the_end_comes_through() -> None:
    async with Stream(Probe([3, 1, 2])).filter(lambda item: True) as stream:
        assert [await anext(stream), await anext(stream), await anext(stream)] == [3, 1, 2]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_r0215_single_use_and_lazy() -> None:
    source = Probe(range(3))
    inner = Stream(source)
    stream = inner.filter(bool)
    assert aiter(stream) is stream
    assert source.pulls == 0
    assert await anext(stream) == 1
    with pytest.raises(ms.errors.StreamBusy, match="taken"):
        await anext(inner)
    await stream.aclose()


async def test_r0216_filters_work_inline_without_a_task_or_a_buffer() -> None:
    source = Probe(range(9))
    async with Stream(source).filter(lambda item: True) as stream:
        await anext(stream)
        assert source.pulls == 1


async def test_r0218_closing_the_filtered_stream_closes_the_inner_one() -> None:
    source = Probe(range(9))
    inner = Stream(source)
    await inner.filter(bool).aclose()
    assert source.closes == 1
    assert inner.state == "closed"


async def test_r0219_text_only() -> None:
    got = await Stream(Probe(EVENTS)).filter(filters.text_only).collect()
    assert [type(event) for event in got] == [ms.TextDelta, ms.Finish]


async def test_r0220_filters_combine() -> None:
    text, errors = filters.text_only, filters.no_errors
    got = [type(event) for event in await Stream(Probe(EVENTS)).filter(text, errors).collect()]
    assert got == [ms.TextDelta, ms.Finish]
    assert got == [type(event) for event in await Stream(Probe(EVENTS)).filter(text & errors).collect()]
    both = await Stream(Probe(EVENTS)).filter(filters.kinds(ms.Start) | filters.kinds(ms.EventType.TOOL_CALL)).collect()
    assert [type(event) for event in both] == [ms.Start, ms.ToolCall]
    assert [
        type(event) for event in await Stream(Probe(EVENTS)).filter(~text & ~filters.kinds(ms.Error)).collect()
    ] == [
        ms.Start,
        ms.ToolCall,
    ]


BOTH = filters.kinds(ms.Start, ms.TextDelta)


@pytest.mark.parametrize("kind", [ms.TextDelta, (ms.TextDelta,), ms.EventType.TEXT_DELTA, BOTH & ms.TextDelta])
async def test_a_class_is_a_kind_of_events_and_no_function_to_call(kind: Any) -> None:
    """`TextDelta(event)` is an object, and so true of every event."""
    got = await Stream(Probe(EVENTS)).filter(kind).collect()
    assert got == [event for event in EVENTS if isinstance(event, ms.TextDelta)]
    assert 0 < len(got) < len(EVENTS)


async def test_several_classes_are_kinds_too_and_bool_is_a_function() -> None:
    wanted = (ms.Start, ms.TextDelta)
    found = [event for event in EVENTS if isinstance(event, wanted)]
    assert await Stream(Probe(EVENTS)).filter(wanted).collect() == found
    assert await Stream(Probe(EVENTS)).filter(filters.kinds(ms.Start) | ms.TextDelta).collect() == found
    assert await Stream(Probe([0, 1, "", "a"])).filter(bool).collect() == [1, "a"]
    assert await Stream(Probe([0, 1, "", "a"])).filter(str).collect() == ["", "a"]


async def test_combined_filters_may_be_async_and_ask_no_further_than_needed() -> None:
    async def refuse(event: Any) -> bool:
        await checkpoint()
        return False

    def never(event: Any) -> bool:
        raise AssertionError("asked")

    slow = filters.EventFilter(refuse)
    assert await Stream(Probe(EVENTS)).filter(slow & never).collect() == []
    assert await Stream(Probe(EVENTS)).filter(~slow | never).collect() == EVENTS
    assert await Stream(Probe(EVENTS)).filter(slow | refuse).collect() == []


async def test_r0221_no_errors() -> None:
    got = await Stream(Probe(EVENTS)).filter(filters.no_errors).collect()
    assert ms.Error not in [type(event) for event in got]
    assert len(got) == len(EVENTS) - 1


async def test_r0222_a_filter_that_raises_ends_the_stream_with_that_error() -> None:
    source = Probe([2, 1, 0, 3])
    got: list[Any] = []
    with pytest.raises(ZeroDivisionError):
        await drain(Stream(source).filter(lambda item: 1 / item > 0.6), got)
    assert got == [1]
    assert source.closes == 1
    assert source.pulls == 3


async def test_predicates_that_take_their_time_are_asked_one_after_another() -> None:
    asked: list[tuple[str, int]] = []

    def slow(name: str, keep: Any) -> Any:
        async def predicate(item: int) -> bool:
            await checkpoint()
            asked.append((name, item))
            return bool(keep(item))

        return predicate

    stream = Stream(Probe(range(4))).filter(slow("even", lambda i: i % 2 == 0), slow("big", lambda i: i > 1), bool)
    assert await stream.collect() == [2]
    assert asked == [("even", 0), ("big", 0), ("even", 1), ("even", 2), ("big", 2), ("even", 3)]


async def test_others_have_their_turn_though_nothing_is_accepted_and_nothing_waits() -> None:
    given: list[int] = []

    async def batches() -> AsyncIterator[list[int]]:
        for n in range(1000):
            given.append(n)
            yield [n]

    seen: list[int] = []

    async def other() -> None:
        while len(given) < 1000:
            seen.append(len(given))
            await checkpoint()

    async with create_task_group() as group:
        group.start_soon(other)
        assert await Stream.from_batches(batches()).filter(lambda item: item < 0).collect() == []
    assert max(b - a for a, b in pairwise([*seen, 1000])) <= 2 * FAIR_PULLS
