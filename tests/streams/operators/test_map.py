"""`map`: order, errors in their place, nothing lost, nothing asked for early."""

from __future__ import annotations

import gc
from itertools import count
from typing import Any

import pytest
from anyio import Event
from anyio.lowlevel import checkpoint

import millstream as ms
from millstream.streams import Stream
from millstream.streams._pull import Puller
from streams.probe import Probe, drain

pytestmark = pytest.mark.anyio


async def later(item: int) -> int:
    await checkpoint()
    return item * 2


def mixed(item: int) -> Any:
    return later(item) if item % 2 else item * 2


class Once(Puller[int]):
    """One batch."""

    def __init__(self, *items: int) -> None:
        self._items = list(items)
        self.closes = 0

    async def open(self, tasks: object) -> None:
        pass

    async def pull(self) -> list[int]:
        items, self._items = self._items, []
        return items

    async def aclose(self) -> None:
        self.closes += 1


@pytest.mark.parametrize("fn", [lambda item: item * 2, later, mixed], ids=["sync", "async", "mixed"])
async def test_order(fn: Any) -> None:
    assert await Stream(Probe(range(5))).map(fn).collect() == [0, 2, 4, 6, 8]
    assert await Stream(Once(*range(5))).map(fn).collect() == [0, 2, 4, 6, 8]
    assert await Stream(Probe()).map(fn).collect() == []


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("k", [0, 2, 4])
async def test_items_before_an_error_come_first(k: int, wait: bool) -> None:
    error = ValueError("mine")

    def check(item: int) -> int:
        if item == k:
            raise error
        return item

    async def check_later(item: int) -> int:
        await checkpoint()
        return check(item)

    for source in (Probe(range(5)), Once(*range(5))):
        got: list[Any] = []
        with pytest.raises(ValueError, match="mine") as caught:
            await drain(Stream(source).map(check_later if wait else check), got)
        assert caught.value is error
        assert got == list(range(k))
        assert source.closes == 1


async def test_it_asks_for_one_item_at_a_time() -> None:
    source = Probe(count())
    async with Stream(source).map(later) as stream:
        for consumed in range(1, 5):
            await anext(stream)
            assert source.pulls - consumed <= 1
    assert source.closes == 1


async def test_a_function_that_raises_stop_async_iteration_does_not_end_the_stream_silently() -> None:
    async def stop(item: int) -> int:
        raise StopAsyncIteration

    with pytest.raises(RuntimeError, match="StopAsyncIteration"):
        await Stream(Probe([1])).map(stop).collect()


async def test_a_coroutine_that_nobody_waits_for_any_more_is_closed() -> None:
    """Otherwise Python warns that it was never awaited, which the test run turns into an error."""
    stream = Stream(Once(0, 1, 2)).map(mixed)
    assert await anext(stream) == 0
    await stream.aclose()
    gc.collect()


async def test_what_is_ready_does_not_wait_for_what_must_be_awaited() -> None:
    gate = Event()

    def fn(item: int) -> Any:
        return wait(item) if item == 2 else item

    async def wait(item: int) -> int:
        await gate.wait()
        return item

    stream = Stream(Once(0, 1, 2, 3)).map(fn)
    assert [await anext(stream), await anext(stream)] == [0, 1]
    gate.set()
    assert await stream.collect() == [2, 3]


@pytest.mark.parametrize("build", [lambda s: s.map(lambda one: one), lambda s: s.filter(lambda one: one)])
async def test_a_function_may_give_what_has_a_metaclass(build: Any) -> None:
    """Classes of msgspec, and so all events, are not instances of `type` itself."""
    events = [ms.TextDelta("a"), ms.TextDelta("b"), ms.Finish(ms.FinishReason.STOP)]

    async def lists() -> Any:
        yield list(events)

    assert await build(Stream.from_batches(lists())).collect() == events
