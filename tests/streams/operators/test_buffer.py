"""`buffer`: how far the source runs ahead, what happens when it is full, and how it ends."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from anyio import CancelScope, Event, create_task_group, fail_after, get_running_tasks, sleep_forever
from anyio.lowlevel import checkpoint

import millstream as ms
from millstream.streams import BufferedStream, CallerRuns, DropAfter, Stream
from millstream.testing import FakeClock
from streams.probe import Probe, drain, settle

pytestmark = pytest.mark.anyio


def tasks() -> list[str]:
    return [task.name for task in get_running_tasks() if task.name and task.name.startswith("millstream")]


async def stuck_worker(stream: Stream[Any], begun: Event) -> None:
    async for _ in stream:
        begun.set()
        await sleep_forever()


@pytest.mark.parametrize("n", [1, 2, 5, 10])
async def test_r0286_r0287_an_idle_consumer_lets_the_source_run_ahead_by_the_size_and_one_in_hand(n: int) -> None:
    clock = FakeClock()
    source = Probe(count())
    async with Stream(source).buffer(n, clock=clock) as stream:
        await settle()
        assert (source.pulls, len(stream)) == (n + 1, n)
        await settle()
        assert source.pulls == n + 1
        assert clock.sleepers == 0, "nothing polls"
    assert source.closes == 1


async def test_r0191_a_blocked_worker_stops_the_reader_after_10_queued_and_1_in_hand() -> None:
    source = Probe(count())
    begun = Event()
    with CancelScope() as scope:
        async with Stream(source).buffer(10) as stream, create_task_group() as group:
            group.start_soon(stuck_worker, stream, begun)
            await begun.wait()
            await settle()
            assert source.pulls <= 1 + 10 + 1
            assert source.pulls >= 10
            scope.cancel()
    assert source.closes == 1


async def test_r0151_r0152_the_producer_works_while_the_consumer_does() -> None:
    """It is ahead by at most 100; a slow source and a slow worker overlap."""
    source = Probe(range(300))
    got: list[int] = []
    overlapped = False
    async with Stream(source).buffer(100) as stream:
        async for item in stream:
            before = source.pulls
            await settle()
            overlapped |= source.pulls > before
            got.append(item)
            assert source.pulls <= len(got) + 100 + 1
            if len(got) == 120:
                break
    assert overlapped
    assert got == list(range(120))


async def test_r0288_items_come_in_order_and_before_the_error() -> None:
    error = ValueError("behind")
    got: list[int] = []
    async with Stream(Probe([1, 2], error=error)).buffer(5) as stream:
        await settle()
        with pytest.raises(ValueError, match="behind") as caught:
            await drain(stream, got)
    assert caught.value is error
    assert got == [1, 2]


@pytest.mark.parametrize("n", [0, -1])
def test_r0289_a_size_below_one_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Stream(Probe()).buffer(n)
    with pytest.raises(ValueError, match="at least 1"):
        BufferedStream(Probe(), n)


async def test_r0290_leaving_with_items_inside_stops_the_task_and_closes_the_source() -> None:
    source = Probe(count())
    async with Stream(source).buffer(5) as stream:
        await anext(stream)
        await settle()
        assert len(stream) > 0
        assert tasks() == ["millstream.buffer"]
    assert tasks() == []
    assert (source.closes, source.closed_while_running) == (1, False)


async def test_r0284_r0285_it_tells_its_size_and_what_is_inside() -> None:
    source = Probe(range(10))
    stream = BufferedStream(source, 4)
    assert isinstance(Stream(Probe()).buffer(2), BufferedStream)
    assert (stream.capacity, stream.size, len(stream), bool(stream)) == (4, 4, 0, True)
    seen = set()
    async with stream:
        async for _ in stream:
            await settle()
            seen.add(len(stream))
    assert max(seen) <= 4
    assert len(stream) == 0


async def test_r0161_r0194_the_end_of_the_source_ends_the_worker_and_the_task() -> None:
    got: list[Any] = []
    finish = ms.Finish(ms.FinishReason.STOP)
    async with Stream(Probe([ms.TextDelta("a"), finish])).buffer(10) as stream, create_task_group() as group:
        group.start_soon(drain, stream, got)
    assert got == [ms.TextDelta("a"), finish]
    assert tasks() == []


async def test_r0193_when_full_it_tells_and_waits_without_a_timer_and_loses_nothing() -> None:
    clock = FakeClock()
    told: list[tuple[int, float]] = []
    source = Probe(range(6))
    stream = Stream(source).buffer(2, on_backpressure=lambda depth, waited: told.append((depth, waited)), clock=clock)
    async with stream:
        await clock.advance(3.0)
        assert told == [(2, 0.0)]
        assert clock.sleepers == 0
        got = [await anext(stream), await anext(stream)]
        await settle()
        assert told[1] == (2, 3.0)
        await drain(stream, got)
    assert got == list(range(6))
    assert stream.dropped == 0


async def test_a_chunk_is_taken_over_in_parts() -> None:
    async def chunks() -> Any:
        yield list(range(50))
        yield list(range(50, 60))

    async with Stream.from_batches(chunks()).buffer(4) as stream:
        got = []
        async for batch in stream.batches():
            assert len(batch) <= 4
            got += batch
    assert got == list(range(60))


@pytest.mark.parametrize(
    ("overflow", "wanted", "dropped"),
    [("drop_oldest", [7, 8, 9], 7), ("drop_newest", [0, 1, 2], 7), ("drop_all", [9], 9)],
)
async def test_losses_are_visible_on_the_stream_and_behind_it(overflow: Any, wanted: list[int], dropped: int) -> None:
    lost: list[int] = []
    async with Stream(Probe(range(10))).buffer(3, overflow=overflow, on_drop=lost.append) as stream:
        await settle()
        later = stream.map(str)
        assert await later.collect() == [str(item) for item in wanted]
    assert stream.dropped == later.dropped == dropped == len(lost)
    assert later.dropped_by_stream == {None: dropped}
    assert sorted(lost + wanted) == list(range(10))


async def test_overflow_error_delivers_what_is_inside_and_then_raises() -> None:
    source = Probe(range(10))
    got: list[int] = []
    async with Stream(source).buffer(3, overflow="error") as stream:
        await settle()
        with pytest.raises(ms.errors.BufferOverflow) as caught:
            await drain(stream, got)
    assert got == [0, 1, 2]
    assert (caught.value.dropped, stream.dropped, source.closes) == (1, 1, 1)


async def test_conflate_gives_a_slow_consumer_all_the_text_in_fewer_events() -> None:
    letters = [ms.TextDelta(letter) for letter in "abcdefghij"]
    call = ms.ToolCall(id="1", name="f", input=b"{}")
    finish = ms.Finish(ms.FinishReason.STOP)
    async with Stream(Probe([*letters, call, finish])).buffer(3, overflow="conflate") as stream:
        await settle()
        got = await stream.collect()
    assert got == [ms.TextDelta("abcdefghij"), call, finish]
    assert stream.dropped == 0


async def test_drop_after_waits_so_long_and_no_timer_runs_before() -> None:
    clock = FakeClock()
    source = Probe(range(5))
    async with Stream(source).buffer(2, overflow=DropAfter(5.0), clock=clock) as stream:
        await clock.settle()
        assert clock.sleepers == 1
        await clock.advance(4.9)
        assert (stream.dropped, source.pulls) == (0, 3)
        await clock.advance(0.2)
        assert (stream.dropped, source.pulls) == (1, 4)
        assert [await anext(stream), await anext(stream)] == [0, 1]
        await clock.settle()
        assert await stream.collect() == [3, 4]
    assert clock.sleepers == 0


async def test_what_may_not_be_lost_waits_for_ever_and_what_follows_it_not() -> None:
    clock = FakeClock()
    call, finish = ms.ToolCall(id="1", name="f", input=b"{}"), ms.Finish(ms.FinishReason.STOP)

    async def chunk() -> Any:
        yield [call, call, finish, ms.TextDelta("late")]

    async with Stream.from_batches(chunk()).buffer(2, overflow=DropAfter(1.0), clock=clock) as stream:
        await clock.advance(100.0)
        assert stream.dropped == 0
        got = [await anext(stream)]
        await clock.settle()
        assert stream.dropped == 1
        await drain(stream, got)
    assert got == [call, call, finish]


@pytest.mark.parametrize("wait", [False, True])
async def test_r0160_caller_runs_treats_every_piece_exactly_once(wait: bool) -> None:
    inline: list[int] = []

    def here(item: int) -> None:
        inline.append(item)

    async def here_later(item: int) -> None:
        await checkpoint()
        inline.append(item)

    source = Probe(range(20))
    async with Stream(source).buffer(3, overflow=CallerRuns(here_later if wait else here)) as stream:
        await settle()
        assert inline
        got = await stream.collect()
    assert sorted(got + inline) == list(range(20))
    assert stream.dropped == 0


@pytest.mark.parametrize("what", ["on_drop", "on_backpressure", "caller"])
async def test_a_hook_that_raises_ends_the_stream_with_its_error(what: str) -> None:
    def bad(*_: Any) -> None:
        raise KeyError("hook")

    options: dict[str, dict[str, Any]] = {
        "on_drop": {"overflow": "drop_oldest", "on_drop": bad},
        "on_backpressure": {"on_backpressure": bad},
        "caller": {"overflow": CallerRuns(bad)},
    }
    source = Probe(count())
    async with Stream(source).buffer(2, **options[what]) as stream:
        await settle()
        with pytest.raises(KeyError, match="hook"):
            await drain(stream, [])
    assert source.closes == 1


async def test_a_lossy_buffer_never_starves_the_loop() -> None:
    source = Probe(count(), suspend=False)
    with fail_after(5):
        async with Stream(source).buffer(1, overflow="drop_oldest") as stream:
            first = await anext(stream)
            await settle()
            assert await anext(stream) > first


async def test_a_buffered_stream_taken_over_twice_is_refused() -> None:
    stream = Stream(Probe())
    buffered = BufferedStream(stream, 1)
    with pytest.raises(ms.errors.StreamBusy):
        BufferedStream(stream, 1)
    await stream.aclose()
    assert buffered.state == "closed"
