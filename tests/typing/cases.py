"""What type checkers must infer of events and streams. Read by mypy and pyright in `test_typing.py`, never run."""

from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import assert_type

import millstream as ms


@dataclass
class AnalysisResult:
    summary: str


async def decoding(data: bytes) -> None:
    decoder = ms.decoder("openai-chat")
    assert_type(decoder.feed(data), list[ms.Event])
    parser = ms.SSEParser()
    assert_type(parser.feed(data), list[ms.SSEMessage])


async def streams(source: AsyncIterable[bytes]) -> None:
    async with ms.stream(source, protocol="openai-chat") as events:
        assert_type(events, ms.Stream[ms.Event])
        async for event in events:
            match event:
                case ms.TextDelta(text=text):
                    assert_type(text, str)
                case ms.ToolCall(name=name, input=raw):
                    assert_type(name, str)
                    assert_type(raw, bytes)
                case _:
                    pass
        async for batch in events.batches():
            assert_type(batch, list[ms.Event])


async def later(item: int) -> str:
    return str(item)


async def operators(numbers: ms.Stream[int]) -> None:
    assert_type(numbers.map(str), ms.Stream[str])
    assert_type(numbers.map(later), ms.Stream[str])
    assert_type(numbers.pipe(later), ms.Stream[str])
    assert_type(numbers.pipe(later, len), ms.Stream[int])
    assert_type(numbers.filter(bool).take(3).skip(1), ms.Stream[int])
    assert_type(numbers.batched(3), ms.Stream[list[int]])
    assert_type(numbers.scan(lambda total, item: total + item, 0), ms.Stream[int])
    assert_type(numbers.buffer(3), ms.BufferedStream[int])
    assert_type(numbers.map_ordered(later, 2), ms.Stream[str])
    assert_type(numbers.map_unordered(str, 2), ms.Stream[str])
    assert_type(numbers.timeout(total=3.0), ms.Stream[int])
    assert_type(numbers.zip(numbers.map(str)), ms.Stream[tuple[int, str]])
    assert_type(await numbers.collect(), list[int])
    assert_type(await numbers.last(), int | None)
    assert_type(await numbers.last(strict=True), int)
    async with numbers.tee(2) as branches:
        assert_type(branches, tuple[ms.Stream[int], ...])


async def objects(events: ms.Stream[ms.Event]) -> None:
    assert_type(await ms.ObjectStream(events, AnalysisResult).final(), AnalysisResult)
