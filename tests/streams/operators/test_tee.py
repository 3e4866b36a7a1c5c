"""`tee`, `broadcast` and `share`: one source, several consumers. Rows 26, 178-181, 266-273."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from anyio import CancelScope, Event, create_task_group, fail_after, get_running_tasks
from anyio.lowlevel import checkpoint

import millstream as ms
from millstream.streams import Stream
from streams.probe import Probe, drain, settle

pytestmark = pytest.mark.anyio

KINDS = [
    pytest.param(lambda s: s.tee(2, buffer=4), id="tee"),
    pytest.param(lambda s: s.broadcast(2, buffer=4), id="broadcast"),
    pytest.param(lambda s: s.share(2, buffer=4), id="share"),
]


def tasks() -> list[str]:
    return [task.name for task in get_running_tasks() if task.name and task.name.startswith("millstream")]


async def test_r0266_r0267_r0268_r0269_every_branch_gets_every_item_in_order_in_a_task_of_its_own() -> None:
    source = Probe(range(100))
    got: list[list[int]] = [[], [], []]
    async with Stream(source).tee(3, buffer=4) as branches, create_task_group() as group:
        for branch, into in zip(branches, got, strict=True):
            group.start_soon(drain, branch, into)
    assert got == [list(range(100))] * 3
    assert (source.pulls, source.closes) == (101, 1)
    assert tasks() == []


@pytest.mark.parametrize("buffer", [1, 2, 64])
@pytest.mark.parametrize("chunk", [1, 60])
async def test_one_task_may_read_the_branches_in_turn(buffer: int, chunk: int) -> None:
    async def chunks() -> Any:
        for i in range(0, 180, chunk):
            yield list(range(i, i + chunk))

    with fail_after(10):
        async with Stream.from_batches(chunks()).tee(2, buffer=buffer) as (one, other):
            pairs = [(item, await anext(other)) async for item in one]
    assert pairs == [(i, i) for i in range(180)]


async def test_r0270_a_branch_that_is_closed_does_not_block_the_others() -> None:
    source = Probe(range(50))
    async with Stream(source).tee(2, buffer=2) as (one, other):
        assert await anext(one) == 0
        await settle()
        await one.aclose()
        assert await other.collect() == list(range(50))


async def test_a_branch_that_is_closed_while_the_source_waits_for_it_lets_it_go_on() -> None:
    got: list[int] = []
    async with Stream(Probe(range(50))).tee(2, buffer=2) as (one, other), create_task_group() as group:
        group.start_soon(drain, other, got)
        await settle()
        assert len(got) < 50
        await one.aclose()
    assert got == list(range(50))


async def test_r0271_an_error_of_the_source_reaches_every_branch() -> None:
    error = ValueError("source")
    got: list[list[int]] = [[], []]
    async with Stream(Probe(range(3), error=error)).tee(2) as branches:
        lengths = []
        for branch, into in zip(branches, got, strict=True):
            with pytest.raises(ValueError, match="source") as caught:
                await drain(branch, into)
            assert caught.value is error
            lengths.append(len(caught.traceback))
    assert got == [[0, 1, 2]] * 2
    assert lengths[0] == lengths[1], "each branch raises it afresh"


async def test_r0272_the_source_is_closed_with_the_last_branch() -> None:
    source = Probe(count())
    async with Stream(source).tee(3) as (one, two, three):
        await one.aclose()
        await two.aclose()
        assert source.closes == 0
        assert await anext(three) == 0
        await three.aclose()
        assert (source.closes, source.closed_while_running) == (1, False)
        assert tasks() == []


async def test_r0273_a_stalled_branch_stops_the_source_at_buffer_and_one_in_hand() -> None:
    source = Probe(count())
    consumed = 0
    async with Stream(source).tee(2) as (one, _):
        with CancelScope() as scope:
            while True:
                await settle()
                assert source.pulls <= 64 + 1
                if consumed == 65:
                    scope.cancel()
                await anext(one)
                consumed += 1
    assert consumed == 65
    assert source.closes == 1


@pytest.mark.parametrize("workers", [1, 3])
async def test_r0026_each_item_goes_to_exactly_one_of_the_workers(workers: int) -> None:
    source = Probe(range(300))
    got: list[list[int]] = [[] for _ in range(workers)]

    async def work(branch: Stream[int], into: list[int]) -> None:
        async for item in branch:
            into.append(item)
            for _ in range(10):
                await checkpoint()

    with fail_after(10):
        async with Stream(source).share(workers) as branches, create_task_group() as group:
            for branch, into in zip(branches, got, strict=True):
                group.start_soon(work, branch, into)
    assert sorted(item for into in got for item in into) == list(range(300))
    assert all(got)
    assert all(into == sorted(into) for into in got)
    assert source.closes == 1


async def test_a_worker_that_leaves_leaves_the_rest_to_the_others() -> None:
    async with Stream(Probe(range(20))).share(2, buffer=3) as (one, other):
        first = await anext(one)
        await one.aclose()
        assert [first, *await other.collect()] == list(range(20))


@pytest.mark.parametrize("how", ["closed", "cancelled"])
async def test_a_worker_that_is_stopped_at_the_moment_when_its_item_comes_leaves_it_to_the_others(how: str) -> None:
    """The source is asked for item 1 when item 0 was handed over, and before the worker that was woken runs."""
    scope, gate = CancelScope(), Event()

    async def numbers() -> Any:
        await gate.wait()
        yield 0
        if how == "closed":
            await one.aclose()
        else:
            scope.cancel()
        yield 1

    mine: list[int] = []

    async def work() -> None:
        with scope, suppress(ms.StreamClosed):
            await drain(one, mine)

    with fail_after(5):
        async with Stream(numbers()).share(2) as (one, other), create_task_group() as group:
            group.start_soon(work)
            await settle()
            gate.set()
            await settle()
            rest = await other.collect()
    assert (mine, rest) == ([], [0, 1])


async def test_an_error_reaches_all_workers() -> None:
    async with Stream(Probe(error=ValueError("source"))).share(2) as branches:
        for branch in branches:
            with pytest.raises(ValueError, match="source"):
                await branch.collect()


async def test_r0178_r0180_r0181_a_full_branch_loses_items_counted_and_the_others_are_complete() -> None:
    lost: list[int] = []
    async with Stream(Probe(range(100))).broadcast(4, buffer=20, on_drop=lost.append) as (stuck, *others):
        got: list[list[int]] = [[], [], []]
        async with create_task_group() as group:
            for branch, into in zip(others, got, strict=True):
                group.start_soon(drain, branch, into)
        assert got == [list(range(100))] * 3
        assert [branch.dropped for branch in others] == [0, 0, 0]
        assert stuck.dropped == 80 == len(lost)
        assert await stuck.collect() == list(range(20))


async def test_r0179_only_what_is_selected_is_handed_out() -> None:
    events = [ms.TextDelta("a"), ms.ToolCall(id="1", name="f", input=b"{}"), ms.TextDelta("b")]
    async with Stream(Probe(events)).broadcast(2, select=ms.filters.kinds(ms.TextDelta)) as branches:
        for branch in branches:
            assert [event.text for event in await branch.collect()] == ["a", "b"]


async def test_a_full_branch_gets_tool_calls_errors_and_finish() -> None:
    end = [ms.ToolCall(id="1", name="f", input=b"{}"), ms.Error(ms.StreamError("e"), fatal=False)]
    end.append(ms.Finish(ms.FinishReason.STOP))
    text = [ms.TextDelta(str(i)) for i in range(50)]
    with fail_after(5):
        async with Stream(Probe([*text, *end])).broadcast(2, buffer=5) as (stuck, other):
            assert await other.collect() == [*text, *end]
            assert (await stuck.collect())[-3:] == end
            assert stuck.dropped == 48


@pytest.mark.parametrize("build", KINDS)
async def test_leaving_closes_everything(build: Callable[[Stream[Any]], Any]) -> None:
    source = Probe(count())
    with pytest.raises(KeyError, match="body"):  # noqa: PT012
        async with build(Stream(source)) as (one, other):
            await anext(one)
            raise KeyError("body")
    assert (source.closes, source.closed_while_running) == (1, False)
    assert one.state == other.state == "closed"
    with pytest.raises(ms.StreamClosed):
        await anext(one)
    assert tasks() == []


@pytest.mark.parametrize("build", KINDS)
async def test_cancelled_at_every_await(build: Callable[[Stream[Any]], Any]) -> None:
    for n in range(1, 400):
        source = Probe(range(6))
        steps = 0

        class Counting(Probe):
            async def __anext__(self) -> Any:
                nonlocal steps
                steps += 1
                if steps == n:  # noqa: B023
                    scope.cancel()
                return await super().__anext__()

        source = Counting(range(6))
        with CancelScope() as scope:
            async with build(Stream(source)) as (one, other), create_task_group() as group:
                group.start_soon(drain, one, [])
                await drain(other, [])
        assert (source.closes, source.closed_while_running) == (1, False)
        assert tasks() == []
        if not scope.cancelled_caught:
            return
    pytest.fail("it never ended")


@pytest.mark.parametrize("build", KINDS)
async def test_closing_the_stream_that_was_split_closes_the_branches(build: Callable[[Stream[Any]], Any]) -> None:
    source = Probe(hang=True)
    stream = Stream(source)
    async with build(stream) as (one, _):

        async def consume() -> None:
            with pytest.raises(ms.StreamClosed):
                await anext(one)

        async with create_task_group() as group:
            group.start_soon(consume)
            await settle()
            await stream.aclose()
    assert source.closes == 1


@pytest.mark.parametrize("build", KINDS)
async def test_not_entered_it_says_what_to_do(build: Callable[[Stream[Any]], Any]) -> None:
    stream = Stream(Probe())
    with pytest.raises(ms.errors.StreamNotEntered, match="async with"):
        _one, _other = build(stream)
    await stream.aclose()


@pytest.mark.parametrize("build", KINDS)
async def test_never_read_and_two_consumers(build: Callable[[Stream[Any]], Any]) -> None:
    source = Probe(count())
    async with build(Stream(source)):
        pass
    assert source.closes == 1
    async with build(Stream(Probe(hang=True))) as (one, _):

        async def consume() -> None:
            with pytest.raises(ms.StreamClosed):
                await anext(one)

        async with create_task_group() as group:
            group.start_soon(consume)
            await settle()
            with pytest.raises(ms.errors.StreamBusy):
                await anext(one)
            await one.aclose()


async def test_branches_take_operators_also_with_tasks() -> None:
    got: list[int] = []
    async with (
        Stream(Probe(range(10))).buffer(2).tee(2) as (one, other),
        one.map(str).buffer(3) as strings,
        create_task_group() as group,
    ):
        group.start_soon(drain, other, got)
        assert await strings.collect() == [str(i) for i in range(10)]
    assert got == list(range(10))


async def test_an_error_of_closing_is_reported() -> None:
    class Broken(Probe):
        async def aclose(self) -> None:
            await super().aclose()
            raise OSError("close")

    with pytest.raises(OSError, match="close"):
        async with Stream(Broken(count())).tee(2):
            pass
    with pytest.raises(KeyError) as caught:
        async with Stream(Broken(count())).tee(2):
            raise KeyError("body")
    assert "close" in "".join(caught.value.__notes__)


@pytest.mark.parametrize("n", [0, -1])
@pytest.mark.parametrize("method", ["tee", "broadcast", "share"])
def test_numbers_are_checked(method: str, n: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        getattr(Stream(Probe()), method)(n)
    with pytest.raises(ValueError, match="at least 1"):
        getattr(Stream(Probe()), method)(2, buffer=n)


async def test_a_branch_may_be_closed_more_than_once() -> None:
    source = Probe(range(3))
    async with Stream(source).tee(2, buffer=4) as (one, other):
        for _ in range(3):
            await one._puller.aclose()
        assert await other.collect() == [0, 1, 2]
    await one.aclose()
    assert source.closes == 1
