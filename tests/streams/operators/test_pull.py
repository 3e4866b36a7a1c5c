"""`pull`: single items by hand, as Go's iter.Pull."""

from __future__ import annotations

from itertools import count

import pytest
from anyio import create_task_group

import millstream as ms
from millstream.streams import END, Stream
from streams.probe import Probe, settle

pytestmark = pytest.mark.anyio


async def test_r0291_next_gives_items_then_end() -> None:
    async with Stream(Probe([1, None, 2])).pull() as items:
        assert [await items.next() for _ in range(5)] == [1, None, 2, END, END]


async def test_r0291_next_raises_what_the_source_raises() -> None:
    async with Stream(Probe([1], error=KeyError("x"))).pull() as items:
        assert await items.next() == 1
        with pytest.raises(KeyError):
            await items.next()
        assert await items.next() is END


async def test_r0292_the_end_by_anext() -> None:
    stream = Stream(Probe([1]))
    assert await anext(stream, None) == 1
    assert await anext(stream, None) is None


async def test_r0293_stop_releases_the_source_at_any_time() -> None:
    source = Probe(count())
    async with Stream(source).pull() as items:
        await items.next()
        await items.stop()
        assert source.closes == 1
        await items.stop()
    assert source.closes == 1
    source = Probe(count())
    async with Stream(source).pull():
        pass
    assert source.closes == 1


async def test_r0294_next_after_stop_is_end() -> None:
    async with Stream(Probe(count())).pull() as items:
        assert await items.peek() == 0
        await items.stop()
        items.push_back(5)
        assert await items.next() is END
        assert await items.peek() is END


async def test_stop_while_another_task_waits_in_next() -> None:
    outcomes: list[object] = []
    async with Stream(Probe(hang=True)).pull() as items, create_task_group() as group:

        async def wait() -> None:
            outcomes.append(await items.next())

        group.start_soon(wait)
        await settle()
        await items.stop()
    assert outcomes == [END]


async def test_r0296_peek_and_push_back() -> None:
    source = Probe(count())
    async with Stream(source).pull() as items:
        assert await items.peek() == 0
        assert await items.peek() == 0
        assert source.pulls == 1
        items.push_back(-1)
        items.push_back(-2)
        assert [await items.next() for _ in range(4)] == [-2, -1, 0, 1]


async def test_a_stream_closed_by_somebody_else_is_not_at_its_end() -> None:
    stream = Stream(Probe(count()))
    async with stream.pull() as items:
        await stream.aclose()
        with pytest.raises(ms.StreamClosed):
            await items.next()
    assert repr(END) == "END"
