"""`Stream`: one consumer, one outcome, the source closed on every way out."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import pytest
from anyio import CancelScope, Event, create_task_group, fail_after, sleep_forever, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

import millstream as ms
from millstream.streams import Stream
from millstream.streams._pull import Puller
from streams.probe import Probe, settle

pytestmark = pytest.mark.anyio


class Batches(Puller[int]):
    """A puller of ready-made batches."""

    def __init__(self, *batches: list[int]) -> None:
        self._batches = list(batches)
        self.closes = 0

    async def open(self, tasks: object) -> None:
        pass

    async def pull(self) -> list[int]:
        return self._batches.pop(0) if self._batches else []

    async def aclose(self) -> None:
        self.closes += 1


async def test_iteration_gives_all_items_and_closes() -> None:
    source = Probe([1, 2, 3])
    stream = Stream(source)
    assert stream.state == "new"
    assert [item async for item in stream] == [1, 2, 3]
    assert stream.state == "finished"
    assert source.closes == 1
    assert [item async for item in stream] == []
    await stream.aclose()
    assert stream.state == "finished"


async def test_batches_and_items_mix_without_loss() -> None:
    stream = Stream(Batches([1, 2, 3], [4], [5, 6]))
    assert await anext(stream) == 1
    got = []
    async for batch in stream.batches():
        got.append(batch)
        if len(got) == 2:
            break
    assert got == [[2, 3], [4]]
    assert [item async for item in stream] == [5, 6]


async def test_nothing_is_pulled_before_the_first_item() -> None:
    source = Probe(count())
    async with Stream(source).map(str).filter(bool) as stream:
        assert source.pulls == 0
        for consumed in range(1, 6):
            await anext(stream)
            assert source.pulls == consumed
    assert source.closes == 1


async def test_break_inside_the_block_closes() -> None:
    source = Probe(count())
    async with Stream(source) as stream:
        async for _ in stream:
            break
        assert stream.state == "running"
    assert stream.state == "closed"
    assert source.closes == 1
    with pytest.raises(ms.StreamClosed):
        await anext(stream)
    await stream.aclose()
    with pytest.raises(ms.StreamClosed):
        await stream.__aenter__()


async def test_items_pulled_but_not_asked_for_go_with_a_closed_stream() -> None:
    stream = Stream(Batches([1, 2, 3]))
    assert await anext(stream) == 1
    await stream.aclose()
    with pytest.raises(ms.StreamClosed):
        await anext(stream)


async def test_an_error_is_raised_once_and_then_the_end() -> None:
    source = Probe([1], error=ValueError("boom"))
    stream = Stream(source)
    assert await anext(stream) == 1
    with pytest.raises(ValueError, match="boom"):
        await anext(stream)
    assert stream.state == "failed"
    assert source.closes == 1
    assert [item async for item in stream] == []


async def test_aclose_from_another_task_wakes_the_consumer() -> None:
    source = Probe([1], hang=True)
    stream = Stream(source)
    outcome: list[Any] = []

    async def consume() -> None:
        try:
            outcome.extend([item async for item in stream])
        except ms.StreamClosed as error:
            outcome.append(error)

    with fail_after(5):
        async with create_task_group() as group:
            group.start_soon(consume)
            await wait_all_tasks_blocked()
            group.start_soon(stream.aclose)
            await stream.aclose()
            assert source.closes == 1
    assert len(outcome) == 1
    assert isinstance(outcome[0], ms.StreamClosed)
    assert stream.state == "closed"
    assert not source.closed_while_running


async def test_a_second_consumer_is_refused_and_the_first_goes_on() -> None:
    released = Event()

    async def source() -> Any:
        await released.wait()
        yield 1

    stream = Stream(source())
    got: list[int] = []

    async def consume() -> None:
        got.extend([item async for item in stream])

    with fail_after(5):
        async with create_task_group() as group:
            group.start_soon(consume)
            await wait_all_tasks_blocked()
            for use in (stream.__anext__, stream.collect, stream.__aenter__):
                with pytest.raises(ms.errors.StreamBusy):
                    await use()
            with pytest.raises(ms.errors.StreamBusy):
                stream.map(str)
            released.set()
    assert got == [1]


async def test_aclose_while_another_task_opens() -> None:
    class Slow(Batches):
        opened = False

        async def open(self, tasks: object) -> None:
            await Event().wait()

        async def aclose(self) -> None:
            self.closes += 1

    source = Slow()
    stream = Stream(source)

    async def enter() -> None:
        with pytest.raises(ms.StreamClosed):
            await stream.__aenter__()

    with fail_after(5):
        async with create_task_group() as group:
            group.start_soon(enter)
            await wait_all_tasks_blocked()
            await stream.aclose()
    assert (source.closes, stream.state) == (1, "closed")


async def test_aclose_during_the_fairness_checkpoint_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    reached = Event()

    async def held_checkpoint() -> None:
        reached.set()
        await sleep_forever()

    monkeypatch.setattr("millstream.streams._core.checkpoint", held_checkpoint)
    stream = Stream(Batches([1], [2]))
    outcomes: list[str] = []

    async def consume() -> None:
        try:
            await anext(stream)
        except ms.StreamClosed:
            outcomes.append("closed")

    async with create_task_group() as group:
        group.start_soon(consume)
        await reached.wait()
        await stream.aclose()
    assert outcomes == ["closed"]


@pytest.mark.parametrize("build", [lambda s: s, lambda s: s.filter(lambda _: False)], ids=["plain", "filtered out"])
async def test_an_endless_source_that_never_waits_can_be_cancelled(build: Any) -> None:
    source = Probe(count(), suspend=False)
    with CancelScope() as scope:
        async with create_task_group() as group:

            async def cancel() -> None:
                scope.cancel()

            group.start_soon(cancel)
            async for item in build(Stream(source)):
                assert item < 1000
    assert scope.cancelled_caught
    assert source.closes == 1


async def test_cancellation_at_every_await_closes_the_source() -> None:
    async def slow(item: int) -> int:
        await checkpoint()
        return item

    finished = False
    for n in range(1, 200):
        source = Probe(range(4))
        with CancelScope() as scope:
            ticks = 0

            async def keep(_: int, n: int = n, scope: CancelScope = scope) -> bool:
                nonlocal ticks
                ticks += 1
                if ticks == n:
                    scope.cancel()
                await checkpoint()
                return True

            async with Stream(source).filter(keep).map(slow).filter(keep) as stream:
                finished = len([item async for item in stream]) == 4
        assert source.closes == 1
        assert not source.closed_while_running
        assert stream.state == ("finished" if finished else "failed")
        if finished:
            break
    assert finished
    assert n == 9  # each of the four items meets two predicates


async def test_an_operator_takes_the_stream_over() -> None:
    source = Probe(count())
    old = Stream(source)
    assert await anext(old) == 0
    new = old.map(str)
    with pytest.raises(ms.errors.StreamBusy):
        await anext(old)
    with pytest.raises(ms.errors.StreamBusy):
        await old.__aenter__()
    assert await anext(new) == "1"
    assert old.state == "running"
    await old.aclose()
    assert (old.state, new.state, source.closes) == ("closed", "closed", 1)


async def test_an_operator_on_a_partly_consumed_stream_loses_nothing() -> None:
    stream = Stream(Batches([1, 2, 3], [4]))
    assert await anext(stream) == 1
    assert await stream.map(lambda item: item * 10).collect() == [20, 30, 40]


async def test_what_is_no_source_is_refused_without_a_trace() -> None:
    with pytest.raises(TypeError, match="async iterable"):
        Stream(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="async iterable"):
        Stream([1, 2])  # type: ignore[arg-type]


async def test_lists_without_items_are_passed_over() -> None:
    async def lists() -> Any:
        for batch in ([], [1], [], [], [2, 3], []):
            yield batch

    assert [batch async for batch in Stream.from_batches(lists()).batches()] == [[1], [2, 3]]


async def test_a_source_is_closed_once_however_often_it_is_closed() -> None:
    for make in (Stream, Stream.from_batches):
        probe = Probe([[1]])
        source = make(probe)._puller
        for _ in range(3):
            await source.aclose()
        assert probe.close_calls == 1


async def test_a_cancellation_that_comes_with_the_closing_is_not_taken_for_it(anyio_backend_name: str) -> None:
    if anyio_backend_name == "trio":
        pytest.skip("there a task cannot be cancelled, only what it does")
    probe = Probe(hang=True)
    stream = Stream(probe)
    task = asyncio.create_task(anext(stream))
    await settle()
    closing = asyncio.create_task(stream.aclose())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task, closing])
    assert task.cancelled()
    assert probe.closes == 1
