"""`filter`: what the predicate accepts, in order."""

from __future__ import annotations

from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from millstream.streams import Stream
from streams.probe import Probe, drain

pytestmark = pytest.mark.anyio


async def even_later(item: int) -> bool:
    await checkpoint()
    return item % 2 == 0


@pytest.mark.parametrize("keep", [lambda item: item % 2 == 0, even_later], ids=["sync", "async"])
async def test_order(keep: Any) -> None:
    source = Probe(range(7))
    assert await Stream(source).filter(keep).collect() == [0, 2, 4, 6]
    assert source.closes == 1
    assert await Stream(Probe()).filter(keep).collect() == []
    assert await Stream(Probe([1, 3])).filter(keep).collect() == []


async def test_items_before_an_error_come_first() -> None:
    source = Probe([2, 1, 0, 3])
    got: list[Any] = []
    with pytest.raises(ZeroDivisionError):
        await drain(Stream(source).filter(lambda item: 1 / item > 0.6), got)
    assert got == [1]
    assert source.closes == 1
    assert source.pulls == 3
