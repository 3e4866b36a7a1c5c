"""What type checkers must infer of events and streams. Read by mypy and pyright in `test_typing.py`, never run."""

from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import TypeGuard, assert_type

import millstream as ms
from millstream.testing import FakeClock, ScriptedSource, Scripts, Wait


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
    assert_type(numbers.buffer(3), ms.streams.BufferedStream[int])
    assert_type(numbers.map_ordered(later, 2), ms.Stream[str])
    assert_type(numbers.map_unordered(str, 2), ms.Stream[str])
    assert_type(numbers.timeout(total=3.0), ms.Stream[int])
    assert_type(numbers.zip(numbers.map(str)), ms.Stream[tuple[int, str]])
    assert_type(await numbers.collect(), list[int])
    assert_type(await numbers.last(), int | None)
    assert_type(await numbers.last(strict=True), int)
    async with numbers.tee(2) as branches:
        assert_type(branches, tuple[ms.Stream[int], ...])


def is_text(event: ms.Event) -> TypeGuard[ms.TextDelta]:
    return isinstance(event, ms.TextDelta)


def handle(delta: ms.TextDelta) -> None: ...
async def handle_later(delta: ms.TextDelta) -> None: ...
def handle_call(call: ms.ToolCall) -> None: ...
def handle_any(event: ms.Event) -> None: ...


async def narrowing(events: ms.Stream[ms.Event]) -> None:
    kinds = ms.filters.kinds
    assert_type(events.filter(kinds(ms.TextDelta)), ms.Stream[ms.TextDelta])
    assert_type(events.filter(kinds(ms.TextDelta, ms.Finish)), ms.Stream[ms.TextDelta | ms.Finish])
    assert_type(events.filter(kinds(ms.TextDelta) | kinds(ms.ToolCall)), ms.Stream[ms.TextDelta | ms.ToolCall])
    assert_type(events.filter(kinds(ms.TextDelta) & bool, handle), ms.Stream[ms.TextDelta])
    assert_type(events.filter(ms.filters.text_only), ms.Stream[ms.TextDelta | ms.Finish])
    assert_type(events.filter(is_text), ms.Stream[ms.TextDelta])
    assert_type(events.filter(ms.filters.no_errors), ms.Stream[ms.Event])
    assert_type(events.filter(kinds(ms.EventType.TEXT_DELTA)), ms.Stream[ms.Event])
    assert_type(events.filter(ms.TextDelta), ms.Stream[ms.TextDelta])
    assert_type(events.filter(ms.TextDelta, lambda delta: delta.index == 0), ms.Stream[ms.TextDelta])
    assert_type(events.filter((ms.TextDelta, ms.ToolCall)), ms.Stream[ms.TextDelta | ms.ToolCall])
    assert_type(events.filter(ms.EventType.TEXT_DELTA), ms.Stream[ms.Event])


async def handlers(events: ms.Stream[ms.Event]) -> None:
    await ms.fan_out(events, handle, handle_later, lambda delta: len(delta.text), handle_any)
    await ms.fan_out(events, handle_call, select=ms.filters.kinds(ms.ToolCall))
    await ms.fan_out(events, handle_call, select=ms.ToolCall)
    await ms.fan_out(events, handle, select=ms.ToolCall)  # type: ignore[arg-type]  # pyright: ignore
    await ms.fan_out(events, handle_any, select=(ms.ToolCall, ms.TextDelta))
    await ms.fan_out(events, handle_any, select=ms.EventType.TOOL_CALL)
    await ms.fan_out(events, handle_any, select=None)
    await ms.fan_out(events, handle_call)  # type: ignore[arg-type]  # pyright: ignore


async def objects(events: ms.Stream[ms.Event]) -> None:
    assert_type(await ms.ObjectStream(events, AnalysisResult).final(), AnalysisResult)


def on_text(event: ms.TextDelta) -> None: ...


def on_call(event: ms.ToolCall) -> None: ...


def on_any(event: ms.Event) -> None: ...


async def several(events: ms.Stream[ms.Event], numbers: ms.Stream[int]) -> None:
    assert_type(await ms.fan_out(events, on_text, on_text), list[int])
    await ms.fan_out(events, on_call)  # type: ignore[arg-type] # without `select` it is text
    await ms.fan_out(events, on_any, select=None)
    assert_type(ms.merge(numbers, numbers), ms.Stream[int])
    assert_type(numbers.flat_map(lambda n: [str(n)]), ms.Stream[str])
    async with numbers.broadcast(2) as branches:
        assert_type(branches[0], ms.Stream[int])


async def asking(model: ms.Provider) -> None:
    assert_type(ms.provider("openai:m"), ms.Provider)
    assert_type((await model.generate_text("hi")).text, str)
    assert_type((await model.generate_text("hi")).usage, ms.Usage | None)
    async with model.stream_object("hi", AnalysisResult) as result:
        assert_type(await result.final(), AnalysisResult)
    assert_type((await model.generate_object("hi", AnalysisResult)).object, AnalysisResult)
    for event in ms.iter_events([b""], protocol="openai-chat"):
        assert_type(event, ms.Event)


async def resuming(hub: ms.relay.Hub) -> None:
    async with hub.subscribe("chat") as items:
        async for item in items:
            assert_type(item.data, bytes)
            assert_type(item.id, str)
    assert_type(await hub.delete("chat"), bool)


def failing(error: Exception) -> None:
    match error:
        case ms.RateLimited(retry_after=seconds):
            assert_type(seconds, float | None)
        case ms.StreamError():
            assert_type(error.retryable, bool)
        case _:
            pass


async def scripts(again: ConnectionError) -> None:
    clock = FakeClock()
    source = ScriptedSource(ms.TextDelta("a"), Wait(3.0), clock=clock)
    assert_type(ms.Stream(source).timeout(idle=1.0, clock=clock), ms.Stream[ms.TextDelta])
    attempts = Scripts[ms.Event](ScriptedSource(again), ScriptedSource(ms.TextDelta("b")))
    assert_type(ms.Stream(ScriptedSource[ms.Event](again)).retry(attempts, clock=clock), ms.Stream[ms.Event])
