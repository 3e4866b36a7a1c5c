"""`last` and `Runnable.invoke`: a stream's last item."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest

import millstream as ms
from millstream.streams import Runnable, Stream
from streams.probe import Probe

pytestmark = pytest.mark.anyio


class Counter(Runnable[int, int]):
    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}
        self.source = Probe()

    def stream(self, input: int, /, **options: Any) -> Stream[int]:
        self.seen = options
        self.source = Probe(range(input), error=options.get("error"))
        return Stream(self.source)


async def test_r0278_r0282_invoke_is_the_last_item_of_the_stream_without_extra_code() -> None:
    counter = Counter()
    assert await counter.invoke(5) == 4
    assert counter.source.closes == 1


async def test_r0235_stream_is_the_producing_method() -> None:
    assert [item async for item in Counter().stream(3)] == [0, 1, 2]


async def test_r0279_an_error_is_raised_and_there_is_no_result() -> None:
    with pytest.raises(KeyError):
        await Counter().invoke(2, error=KeyError("x"))
    source = Probe([1], error=KeyError("x"))
    with pytest.raises(KeyError):
        await Stream(source).last()
    assert source.closes == 1


async def test_r0280_an_empty_stream_gives_none_or_is_an_error() -> None:
    assert await Counter().invoke(0) is None
    assert await Stream(Probe()).last(default=7) == 7
    with pytest.raises(ms.errors.EmptyStream):
        await Stream(Probe()).last(strict=True)
    assert await Stream(Probe([None])).last(strict=True) is None


async def test_r0281_options_go_to_the_stream() -> None:
    counter = Counter()
    await counter.invoke(1, temperature=0.5)
    assert counter.seen == {"temperature": 0.5}


async def test_r0283_memory_is_constant() -> None:
    async def lists() -> AsyncIterator[list[bytes]]:
        for i in range(1000):
            yield [bytes(1000) + bytes([i % 256]) for _ in range(20)]

    tracemalloc.start()
    try:
        assert await Stream.from_batches(lists()).last() == bytes(1000) + bytes([999 % 256])
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


async def test_r0302_invoke_has_no_second_code_path() -> None:
    class Other(Counter):
        def stream(self, input: int, /, **options: Any) -> Any:
            async def plain() -> AsyncIterator[str]:
                yield "from the stream"

            return plain()

    assert await Other().invoke(3) == "from the stream"
