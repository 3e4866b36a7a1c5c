"""`take`, `take_while`, `take_until`, `skip`: the right part, and not one pull more."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

import millstream as ms
from millstream.streams import Stream
from streams.probe import Probe

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("n", [0, 1, 5])
async def test_take_pulls_exactly_what_it_gives(n: int) -> None:
    source = Probe(count())
    assert await Stream(source).take(n).collect() == list(range(n))
    assert (source.pulls, source.closes) == (n, 1)


async def test_take_cuts_a_batch() -> None:
    async def lists() -> Any:
        yield [1, 2, 3]
        yield [4, 5, 6]
        raise AssertionError("pulled too far")

    assert await Stream.from_batches(lists()).take(5).collect() == [1, 2, 3, 4, 5]


async def test_skip() -> None:
    async def lists() -> Any:
        yield [1, 2, 3]
        yield [4, 5, 6]

    for n in range(8):
        assert await Stream.from_batches(lists()).skip(n).collect() == [1, 2, 3, 4, 5, 6][n:]


async def less_later(item: int) -> bool:
    await checkpoint()
    return item < 3


@pytest.mark.parametrize("go_on", [lambda item: item < 3, less_later], ids=["sync", "async"])
async def test_take_while_and_take_until(go_on: Any) -> None:
    source = Probe(count())
    assert await Stream(source).take_while(go_on).collect() == [0, 1, 2]
    assert source.pulls == 4
    source = Probe([5, 4, 3, 2, 1, 0])
    assert await Stream(source).take_until(go_on).collect() == [5, 4, 3, 2]
    assert source.pulls == 4
    assert await Stream(Probe([7, 8])).take_until(go_on).collect() == [7, 8]


async def test_take_until_a_tool_call_gives_the_call() -> None:
    events = [ms.TextDelta("a"), ms.ToolCall("1", "f"), ms.TextDelta("b")]
    got = await Stream(Probe(events)).take_until(lambda event: isinstance(event, ms.ToolCall)).collect()
    assert got == events[:2]


async def test_a_negative_number_is_refused() -> None:
    for method in ("take", "skip"):
        with pytest.raises(ValueError, match="negative"):
            getattr(Stream(Probe()), method)(-1)
