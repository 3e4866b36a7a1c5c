"""`collect`: all items, or the exception with those that came before it."""

from __future__ import annotations

import pytest

import millstream as ms
from millstream.streams import Stream
from streams.probe import Probe

pytestmark = pytest.mark.anyio


async def test_all_items() -> None:
    source = Probe("abc")
    assert await Stream(source).collect() == ["a", "b", "c"]
    assert source.closes == 1
    assert await Stream(Probe()).collect() == []


@pytest.mark.parametrize("error", [ms.ConnectionFailed("x"), ValueError("x")])
async def test_partial(error: Exception) -> None:
    source = Probe([1, 2], error=error)
    with pytest.raises(type(error)) as caught:
        await Stream(source).collect()
    assert caught.value is error
    assert error.partial == [1, 2]  # type: ignore[attr-defined]
    assert source.closes == 1


async def test_the_rest_of_a_stream() -> None:
    stream = Stream(Probe([1, 2, 3]))
    assert await anext(stream) == 1
    assert await stream.collect() == [2, 3]
