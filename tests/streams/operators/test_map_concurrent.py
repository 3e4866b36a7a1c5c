"""`map_ordered` and `map_unordered`: how many at a time, in which order, and how they end."""

from __future__ import annotations

from itertools import count

import pytest
from anyio import Event, fail_after, get_running_tasks, sleep_forever
from anyio.lowlevel import checkpoint

from millstream.streams import Stream
from streams.probe import Probe, drain, settle

pytestmark = pytest.mark.anyio

METHODS = ["map_ordered", "map_unordered"]


class Work:
    """An async function whose calls end when they are told to."""

    def __init__(self) -> None:
        self.running: dict[int, Event] = {}
        self.most = 0

    async def __call__(self, item: int) -> int:
        self.running[item] = Event()
        self.most = max(self.most, len(self.running))
        try:
            await self.running[item].wait()
        finally:
            del self.running[item]
        return item * 10


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 3])
async def test_n_at_a_time_and_no_more_pulled(method: str, n: int) -> None:
    source, work = Probe(count()), Work()
    async with getattr(Stream(source), method)(work, n) as stream:
        for _ in range(3):
            await settle()
            assert len(work.running) == n
            assert source.pulls <= n + 4
            work.running[min(work.running)].set()
            await anext(stream)
    assert work.most == n
    assert (work.running, source.closes, source.closed_while_running) == ({}, 1, False)
    assert [task.name for task in get_running_tasks() if task.name and task.name.startswith("millstream")] == []


async def test_ordered_results_wait_for_those_before() -> None:
    work = Work()
    got: list[int] = []
    async with Stream(Probe(range(3))).map_ordered(work, 3) as stream:
        await settle()
        for item in (2, 1, 0):
            work.running[item].set()
            await settle()
        await drain(stream, got)
    assert got == [0, 10, 20]


async def test_unordered_results_come_as_they_are_there() -> None:
    work = Work()
    async with Stream(Probe(range(3))).map_unordered(work, 3) as stream:
        got = []
        for item in (2, 0, 1):
            await settle()
            work.running[item].set()
            got.append(await anext(stream))
    assert got == [20, 0, 10]


@pytest.mark.parametrize("method", METHODS)
async def test_everything_comes_out_once(method: str) -> None:
    async def later(item: int) -> int:
        for _ in range(item % 5):
            await checkpoint()
        return item

    with fail_after(10):
        got = await getattr(Stream(Probe(range(100), suspend=False)), method)(later, 7).collect()
    assert sorted(got) == list(range(100))
    assert method == "map_unordered" or got == list(range(100))


async def test_an_error_of_the_function_comes_in_its_place_and_cancels_the_rest() -> None:
    error = ValueError("mine")
    cancelled: list[int] = []

    async def work(item: int) -> int:
        if item == 1:
            raise error
        if item > 1:
            try:
                await sleep_forever()
            finally:
                cancelled.append(item)
        for _ in range(10):
            await checkpoint()
        return item

    got: list[int] = []
    source = Probe(range(9))
    async with Stream(source).map_ordered(work, 4) as stream:
        with pytest.raises(ValueError, match="mine") as caught:
            await drain(stream, got)
        assert caught.value is error
        assert sorted(cancelled) == [2, 3]
        assert source.closes == 1
    assert got == [0]


@pytest.mark.parametrize("method", METHODS)
async def test_an_error_of_the_source_comes_after_all_results(method: str) -> None:
    async def later(item: int) -> int:
        for _ in range(20):
            await checkpoint()
        return item

    got: list[int] = []
    async with getattr(Stream(Probe(range(3), error=KeyError("source"))), method)(later, 2) as stream:
        with pytest.raises(KeyError, match="source"):
            await drain(stream, got)
    assert sorted(got) == [0, 1, 2]


@pytest.mark.parametrize("method", METHODS)
def test_n_is_checked(method: str) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        getattr(Stream(Probe()), method)(print, 0)
