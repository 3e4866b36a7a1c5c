"""Functions and consumers that do what they should not: each gets a clear error, and nothing hangs or is lost."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from anyio import fail_after
from anyio.lowlevel import checkpoint

import millstream as ms
from millstream.streams import Stream
from streams.operators.contract import CASES, Case
from streams.probe import Probe, drain

pytestmark = pytest.mark.anyio

Build = Callable[[Stream[Any], Callable[..., Any]], Stream[Any]]

# Where a function may be sync or async.
BOTH: dict[str, Build] = {
    "caller_runs": lambda s, fn: s.batched(3).flat_map(list).buffer(1, overflow=ms.streams.CallerRuns(fn)),
    "filter": lambda s, fn: s.filter(fn),
    "filter, the second": lambda s, fn: s.filter(bool, fn),
    "flat_map": lambda s, fn: s.flat_map(fn),
    "map": lambda s, fn: s.map(fn),
    "map_ordered": lambda s, fn: s.map_ordered(fn, 2),
    "map_unordered": lambda s, fn: s.map_unordered(fn, 2),
    "on_event": lambda s, fn: s.on_event(int, fn),
    "pipe": lambda s, fn: s.pipe(str, fn),
    "scan": lambda s, fn: s.scan(fn, 0),
    "take_until": lambda s, fn: s.take_until(fn),
    "take_while": lambda s, fn: s.take_while(fn),
    "tap": lambda s, fn: s.tap(fn),
}
# Where nothing can be awaited.
PLAIN: dict[str, Build] = {
    "flush_on": lambda s, fn: s.batched(2, flush_on=fn),
    "flush_on timed": lambda s, fn: s.batched(2, 60.0, flush_on=fn),
    "make": lambda s, fn: s.keep_alive(60.0, fn),
    "merge": lambda s, fn: s.debounce(60.0, merge=fn),
    "merge of conflate": lambda s, fn: s.buffer(1, overflow=ms.streams.Conflate(fn)),
    "on_backpressure": lambda s, fn: s.buffer(1, on_backpressure=fn),
    "on_drop": lambda s, fn: s.buffer(1, overflow="drop_oldest", on_drop=fn),
    "on_drop of debounce": lambda s, fn: s.debounce(60.0, on_drop=fn),
    "protect": lambda s, fn: s.buffer(1, overflow="drop_oldest", protect=fn),
    "smooth": lambda s, fn: s.smooth(fn),
}


@pytest.fixture(params=BOTH.values(), ids=BOTH.keys())
def build(request: pytest.FixtureRequest) -> Build:
    return request.param


@pytest.mark.parametrize("error", [StopAsyncIteration, StopIteration])
@pytest.mark.parametrize("is_async", [False, True])
async def test_an_exception_that_means_the_end_is_no_end(build: Build, error: type[Exception], is_async: bool) -> None:
    def fn(*args: Any) -> Any:
        raise error("hostile")

    async def fn_later(*args: Any) -> Any:
        await checkpoint()
        raise error("hostile")

    source = Probe(range(100, 110))
    with pytest.raises(RuntimeError) as caught:
        await build(Stream(source), fn_later if is_async else fn).collect()
    assert isinstance(caught.value.__cause__, error)
    assert source.closes == 1


async def test_a_function_that_asks_the_stream_itself_for_items(build: Build) -> None:
    async def greedy(*args: Any) -> Any:
        await anext(stream)

    source = Probe(count(1))
    with fail_after(5):
        async with build(Stream(source), greedy) as stream:
            with pytest.raises(ms.errors.StreamBusy, match="consumer"):
                await drain(stream, [])
    assert (source.closes, source.closed_while_running) == (1, False)


async def test_a_function_that_closes_the_stream(build: Build) -> None:
    async def closing(*args: Any) -> Any:
        await stream.aclose()

    source = Probe(count(1))
    with fail_after(5):
        async with build(Stream(source), closing) as stream:
            with pytest.raises(ms.StreamClosed):
                await drain(stream, [])
            assert stream.state == "closed"
    assert (source.closes, source.closed_while_running) == (1, False)


async def test_a_coroutine_that_was_awaited_already_is_an_error() -> None:
    async def later() -> int:
        return 1

    coroutine = later()
    source = Probe(range(3))
    with pytest.raises(RuntimeError, match="already awaited"):
        await Stream(source).map(lambda item: coroutine).collect()
    assert source.closes == 1


@pytest.mark.parametrize("name", PLAIN)
async def test_an_async_function_where_nothing_can_be_awaited_is_refused_at_once(name: str) -> None:
    async def later(*args: Any) -> Any:
        raise AssertionError("called")

    class Later:
        async def __call__(self, *args: Any) -> Any:
            raise AssertionError("called")

    for fn in (later, Later()):
        source = Probe()
        stream: Stream[Any] = Stream(source)
        with pytest.raises(TypeError, match=r"must be a plain function"):
            PLAIN[name](stream, fn)
        await stream.aclose()
        assert source.closes == 1


async def test_select_and_the_branches_too() -> None:
    async def later(item: Any) -> bool:
        return True

    stream: Stream[int] = Stream(Probe())
    with pytest.raises(TypeError, match="select must be a plain function"):
        stream.broadcast(2, select=later)  # type: ignore[arg-type]
    await stream.aclose()


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_batches_belong_to_the_consumer(case: Case) -> None:
    """One that empties what it was given, or keeps it, harms nobody."""
    kept: list[Any] = []
    async with case.build(Stream(Probe(range(12)))) as stream:
        async for batch in stream.batches():
            kept += batch
            batch.clear()
            batch.append(sys)
    assert kept == case.out(range(12))
