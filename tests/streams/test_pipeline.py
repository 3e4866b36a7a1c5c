"""`pipeline`: stages with their own tasks and buffers. Rows 170-177."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any, assert_type

import pytest
from anyio import CancelScope, Event, create_task_group, fail_after, get_running_tasks, sleep_forever
from anyio.lowlevel import checkpoint

import millstream as ms
from millstream.streams import Stream
from millstream.streams.pipeline import Sink, Stage, pipeline, sink, stage
from streams.probe import Probe, settle

pytestmark = pytest.mark.anyio


async def test_r0170_r0177_buffers_hold_no_more_than_they_may_and_a_slow_sink_stops_the_source() -> None:
    source = Probe(count())
    first, second, third = 0, 0, 0

    async def one(item: int) -> int:
        nonlocal first
        first += 1
        await checkpoint()
        return item

    async def two(item: int) -> int:
        nonlocal second
        second += 1
        await checkpoint()
        return item

    async def stuck(item: int) -> None:
        nonlocal third
        third += 1
        await sleep_forever()

    async with create_task_group() as group:
        group.start_soon(pipeline, source, stage(one, buffer=50), stage(two, buffer=20), sink(stuck, buffer=10))
        for _ in range(40):
            await settle()
        in_hand = 1
        assert third == 1
        assert second - third <= 10 + in_hand
        assert first - second <= 20 + in_hand
        assert source.pulls - first <= 50 + in_hand
        pulls = source.pulls
        await settle()
        assert source.pulls == pulls
        group.cancel_scope.cancel()
    assert (source.closes, source.closed_while_running) == (1, False)


async def test_r0171_stages_change_the_type() -> None:
    got: list[float] = []
    await pipeline(Probe(["1", "2"]), stage(int), stage(float), sink(got.append))
    assert got == [1.0, 2.0]


if TYPE_CHECKING:

    async def later(item: int) -> bytes:
        return b""

    def types(texts: Stream[str], take: Callable[[bytes], None]) -> None:
        assert_type(stage(later), Stage[int, bytes])
        assert_type(sink(take), Sink[bytes])
        pipeline(texts, stage(int), stage(later), sink(take))
        pipeline(texts, sink(take))  # type: ignore[call-overload]


async def test_r0172_stages_overlap() -> None:
    started, release = Event(), Event()

    async def slow(item: int) -> int:
        if item == 1:
            started.set()
            await release.wait()
        return item

    async def show(item: int) -> None:
        if item == 0:  # the second item is worked on while the first is shown
            await started.wait()
            release.set()

    with fail_after(5):
        await pipeline(Probe([0, 1]), stage(slow), sink(show))


async def test_r0173_r0175_the_end_runs_through_and_the_last_item_is_waited_for() -> None:
    done: list[int] = []

    async def show(item: int) -> None:
        await checkpoint()
        done.append(item)

    source = Probe(range(30))
    await pipeline(source, stage(lambda item: item, buffer=3), sink(show, buffer=2))
    assert done == list(range(30))
    assert source.closes == 1
    events = [ms.TextDelta("a"), ms.ToolCall("1", "f"), ms.TextDelta("b"), ms.Finish(ms.FinishReason.STOP)]
    texts: list[Any] = []
    only_text = Stream(Probe(events)).filter(lambda event: isinstance(event, ms.TextDelta))
    await pipeline(only_text, stage(lambda event: event.text), sink(texts.append))
    assert texts == ["a", "b"]


async def test_r0174_cancellation_stops_every_stage() -> None:
    ended: list[str] = []

    async def wait(name: str) -> None:
        try:
            await sleep_forever()
        finally:
            ended.append(name)

    async def first(item: int) -> int:
        if item == 1:
            await wait("first")
        return item

    async def show(item: int) -> None:
        await wait("sink")

    source = Probe(range(2))
    with CancelScope() as scope:
        async with create_task_group() as group:
            group.start_soon(pipeline, source, stage(first), sink(show))
            await settle()
            scope.cancel()
    assert sorted(ended) == ["first", "sink"]
    assert source.closes == 1
    assert not [task for task in get_running_tasks() if task.name and task.name.startswith("millstream")]


@pytest.mark.parametrize("where", ["source", "stage", "sink"])
async def test_r0176_a_failure_anywhere_stops_all_and_comes_out_unchanged(where: str) -> None:
    error = KeyError(where)

    def fail(item: int) -> int:
        if item == 3:
            raise error
        return item

    source = Probe(range(3), error=error) if where == "source" else Probe(count())
    one = stage(fail) if where == "stage" else stage(lambda item: item)
    with pytest.raises(KeyError) as caught:
        await pipeline(source, one, sink(fail if where == "sink" else lambda item: None))
    assert caught.value is error
    assert (source.closes, source.closed_while_running) == (1, False)


async def test_misuse() -> None:
    with pytest.raises(TypeError, match="sink"):
        await pipeline(Probe(), stage(str))
    with pytest.raises(TypeError, match="sink"):
        await pipeline(Probe())
    with pytest.raises(TypeError, match="sink"):
        await pipeline(Probe(), sink(str), sink(str))
