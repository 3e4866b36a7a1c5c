"""The seeds' demands on streams as such (REQUIREMENTS.md rows 1-26, 184-190, 233-247, 274-277, 297-301), row by row."""

from __future__ import annotations

import inspect
import typing
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from anyio import CancelScope, Event, create_task_group, fail_after, get_cancelled_exc_class, get_running_tasks

import millstream as ms
from millstream.streams import Stream
from streams.probe import Probe, drain, settle

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]
NATIVE = "millstream.events.v1"
EVENTS = [ms.Start(), ms.TextDelta("a"), ms.TextDelta("é"), ms.Finish(ms.FinishReason.STOP)]


def wire(*events: Any) -> list[bytes]:
    encoder = ms.encoder(NATIVE)
    return [encoder.encode(event) for event in events]


async def test_r0001_events_are_delivered_as_they_arrive() -> None:
    gate = Event()

    async def body() -> Any:
        yield b"".join(wire(*EVENTS[:2]))
        await gate.wait()
        yield b"".join(wire(*EVENTS[2:]))

    async with ms.stream(body(), NATIVE) as stream:
        assert await anext(stream) == EVENTS[0]
        assert await anext(stream) == EVENTS[1]
        gate.set()
        assert [event async for event in stream] == EVENTS[2:]


async def test_r0004_failing_to_open_differs_from_failing_later() -> None:
    class Refused:
        async def __aenter__(self) -> Any:
            raise ConnectionRefusedError("no")

        async def __aexit__(self, *_: object) -> None:
            raise AssertionError("was never entered")

    entered = False
    with pytest.raises(ms.ConnectionFailed):
        async with ms.stream(Refused(), NATIVE):
            entered = True
    assert not entered
    with pytest.raises(ms.ConnectionFailed):  # noqa: PT012
        async with ms.stream(Probe(wire(EVENTS[0]), error=ConnectionResetError()), NATIVE) as stream:
            entered = True
            await drain(stream, [])
    assert entered


async def test_r0005_r0184_the_block_is_the_lifetime_also_if_its_body_fails() -> None:
    source = Probe(count())
    async with Stream(source) as stream:
        await anext(stream)
    assert source.closes == 1
    source = Probe(count())
    with pytest.raises(KeyError):
        async with Stream(source):
            raise KeyError
    assert source.closes == 1


async def test_r0006_r0246_text_arrives_as_deltas_in_order() -> None:
    got = await ms.stream(Probe(wire(*EVENTS)), NATIVE).filter(lambda event: isinstance(event, ms.TextDelta)).collect()
    assert [event.text for event in got] == ["a", "é"]


async def test_r0010_a_failing_stream_leaves_no_task() -> None:
    async with create_task_group():
        before = len(get_running_tasks())
        with pytest.raises(KeyError):
            await Stream(Probe([1], error=KeyError())).batched(2, 60.0).collect()
        assert len(get_running_tasks()) == before


async def test_r0014_r0016_a_stream_gives_and_closes_and_takes_nothing() -> None:
    streams = [Stream(Probe()), Stream(Probe()).map(str), ms.stream(Probe(), NATIVE)]
    for stream in streams:
        assert isinstance(stream, ms.streams.TextStream)
        assert not {"send", "put", "push"} & set(dir(stream))
        await stream.aclose()


async def test_r0017_closing_waits_for_everything() -> None:
    source = Probe(count())
    async with Stream(source).batched(2, 60.0) as stream:
        await anext(stream)
        await stream.aclose()
        assert source.closes == 1
        assert not [task for task in get_running_tasks() if task.name and "batched" in task.name]


async def test_r0018_closing_twice_after_the_end_and_from_another_task() -> None:
    source = Probe([1])
    async with Stream(source) as stream:
        assert [item async for item in stream] == [1]
        await stream.aclose()
        await stream.aclose()
    assert source.closes == 1
    waiting = Stream(Probe(hang=True))
    with fail_after(5):
        async with create_task_group() as group:

            async def consume() -> None:
                with pytest.raises(ms.StreamClosed):
                    await anext(waiting)

            group.start_soon(consume)
            await settle()
            await waiting.aclose()


async def test_r0019_each_layer_works_alone() -> None:
    chunks = wire(*EVENTS)
    messages = ms.SSEParser().feed(b"".join(chunks))
    assert len(messages) == len(EVENTS)
    decoder = ms.decoder(NATIVE)
    decoded = [event for chunk in chunks for event in decoder.feed(chunk)]
    assert decoded == EVENTS
    assert await Stream(Probe(decoded)).text() == "aé"


async def test_r0023_the_application_dispatches_by_class() -> None:
    text, finished = "", False
    async with ms.stream(Probe(wire(*EVENTS)), NATIVE) as stream:
        async for event in stream:
            match event:
                case ms.TextDelta(text=piece):
                    text += piece
                case ms.Finish():
                    finished = True
    assert (text, finished) == ("aé", True)


async def test_r0024_a_slow_consumer_slows_the_producer() -> None:
    source = Probe(count())
    async with Stream(source).map(str).filter(bool) as stream:
        for consumed in range(1, 5):
            await anext(stream)
            await settle()
            assert source.pulls == consumed


async def test_r0025_r0187_r0239_cancellation_reaches_a_silent_source_and_stays_cancellation() -> None:
    source = Probe(hang=True)
    caught: list[BaseException] = []
    with fail_after(5), CancelScope() as scope:
        async with create_task_group() as group:

            async def consume() -> None:
                try:
                    await Stream(source).map(str).collect()
                except BaseException as error:
                    caught.append(error)
                    assert source.closes == 1
                    raise

            group.start_soon(consume)
            await settle()
            scope.cancel()
    assert [isinstance(error, get_cancelled_exc_class()) for error in caught] == [True]


async def test_r0055_a_body_without_its_end() -> None:
    cut = wire(*EVENTS[:2])
    events = await ms.stream(Probe(cut), NATIVE).collect()
    assert events[-1].reason is ms.FinishReason.INCOMPLETE
    with pytest.raises(ms.IncompleteStream):
        await ms.stream(Probe(cut), NATIVE, require_finish=True).collect()


async def test_r0185_an_error_of_closing_is_reported_and_masks_nothing() -> None:
    class Broken(Probe):
        async def aclose(self) -> None:
            raise OSError("close failed")

    with pytest.raises(OSError, match="close failed"):
        async with Stream(Broken(count())) as stream:
            await anext(stream)
    with pytest.raises(KeyError) as caught:
        async with Stream(Broken(count())) as stream:
            raise KeyError("body")
    assert any("close failed" in note for note in caught.value.__notes__)


async def test_r0186_r0190_a_deadline_around_the_consumption() -> None:
    source = Probe([1], hang=True)
    with pytest.raises(TimeoutError):  # noqa: PT012
        with fail_after(0.01):
            async with Stream(source) as stream:
                await drain(stream, [])
    assert source.closes == 1


async def test_r0189_r0240_the_end_of_the_source_is_the_end_of_the_loop() -> None:
    got: list[int] = []
    await drain(Stream(Probe([1, 2, 3])), got)
    assert got == [1, 2, 3]


async def test_r0234_nothing_happens_before_the_first_pull() -> None:
    opened = False

    async def source() -> Any:
        nonlocal opened
        opened = True
        yield 1

    stream = Stream(source()).map(str).filter(bool).batched(2)
    assert not opened
    assert await stream.collect() == [["1"]]


async def test_r0236_r0241_an_error_comes_once_and_then_the_end() -> None:
    stream = Stream(Probe(error=KeyError("setup")))
    with pytest.raises(KeyError):
        await anext(stream)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_r0237_r0244_r0300_stopping_stops_the_source_at_once() -> None:
    source = Probe(count())
    async with Stream(source).map(str) as stream:
        async for item in stream:
            if item == "2":
                break
        assert source.pulls == 3
    assert (source.pulls, source.closes) == (3, 1)


async def test_r0238_a_source_that_never_waits_can_be_cancelled() -> None:
    source = Probe(count(), suspend=False)
    with fail_after(5), CancelScope() as scope:
        async with create_task_group() as group:

            async def cancel() -> None:
                scope.cancel()

            group.start_soon(cancel)
            await Stream(source).last()
    assert scope.cancelled_caught
    assert source.closes == 1


async def test_r0242_r0245_an_error_comes_without_an_item_after_all_items() -> None:
    got: list[int] = []
    errors = 0
    try:
        await drain(Stream(Probe([1, 2], error=ms.ConnectionFailed("gone"))), got)
    except ms.StreamError:
        errors += 1
    assert (got, errors) == ([1, 2], 1)


async def test_r0243_each_chunk_is_converted_once() -> None:
    calls: list[int] = []

    def convert(item: int) -> int:
        calls.append(item)
        return item

    await Stream(Probe([1, 2, 3])).map(convert).collect()
    assert calls == [1, 2, 3]


async def test_r0247_transformers_take_any_async_iterable() -> None:
    async def plain() -> Any:
        yield 1
        yield 2

    assert await Stream(plain()).map(str).concat(plain()).take(3).collect() == ["1", "2", 1]


async def test_r0274_r0276_r0277_collect() -> None:
    source = Probe([1, 2, 3])
    assert await Stream(source).collect() == [1, 2, 3]
    assert source.closes == 1
    assert await Stream(Probe()).collect() == []


async def test_r0275_collect_that_fails_has_what_came() -> None:
    source = Probe([1, 2], error=KeyError())
    with pytest.raises(KeyError) as caught:
        await Stream(source).collect()
    assert caught.value.partial == [1, 2]  # type: ignore[attr-defined]
    assert source.closes == 1


def public_functions() -> list[Any]:
    found = []
    rooms = [ms, *(getattr(ms, room) for room in ms._ROOMS)]
    things = {id(thing): thing for room in rooms for name in room.__all__ for thing in [getattr(room, name)]}
    for thing in things.values():
        if inspect.isclass(thing):
            found += [
                member
                for _, member in inspect.getmembers(thing, inspect.isfunction)
                if not member.__name__.startswith("_")
            ]
        elif inspect.isfunction(thing):
            found.append(thing)
    return found


def test_r0233_r0297_no_public_function_takes_or_gives_a_channel() -> None:
    checked = 0
    for function in public_functions():
        for annotation in inspect.get_annotations(function).values():
            checked += 1
            assert not {"Queue", "MemoryObject", "MemoryChannel"} & set(str(annotation).replace("[", " ").split()), (
                function
            )
    assert checked > 100


def test_r0298_what_carries_items_inside_is_private() -> None:
    names = {*ms.__all__, *ms.streams.__all__}
    assert not [name for name in names if "Puller" in name or "Ahead" in name or "Job" in name]


def test_r0295_r0301_async_for_comes_first_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "async for" in text
    assert ".pull(" not in text or text.index("async for") < text.index(".pull(")
    assert "`async for` is the way" in typing.cast("str", inspect.getmodule(type(Stream(Probe()).pull())).__doc__)  # type: ignore[union-attr]


async def test_r0013_memory_and_speed_stay_flat() -> None:
    """The short form of `python -m bench.bench_streams --soak 10000000`."""
    from bench.bench_streams import soak

    first, last, growth = await soak(640_000, lambda line: None)
    assert growth < 2048
    assert last < 5 * first  # other programs run beside the tests
