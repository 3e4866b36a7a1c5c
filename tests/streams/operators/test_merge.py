"""`merge`: several inputs, one output; tags, errors, losses. Rows 223-232."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from anyio import Event, fail_after, get_running_tasks

import millstream as ms
from millstream.streams import DropAfter, Stream, merge
from millstream.testing import FakeClock
from streams.probe import Probe, drain, settle

pytestmark = pytest.mark.anyio


def deltas(letters: str) -> list[ms.TextDelta]:
    return [ms.TextDelta(letter) for letter in letters]


async def test_r0223_r0229_all_items_of_all_inputs_then_the_end() -> None:
    sources = Probe(range(2)), Probe(range(10, 13))
    async with merge(*sources) as stream:
        got = [item async for item in stream]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    assert sorted(got) == [0, 1, 10, 11, 12]
    assert [source.closes for source in sources] == [1, 1]


async def test_r0224_an_idle_consumer_lets_the_inputs_run_ahead_by_the_buffer_and_one_each() -> None:
    sources = [Probe(count()) for _ in range(3)]
    async with merge(*sources) as stream:
        await anext(stream)
        await settle()
        await settle()
        assert sum(source.pulls for source in sources) <= 1 + 50 + 3
    assert [source.closes for source in sources] == [1, 1, 1]


async def test_r0225_a_silent_input_delays_nobody() -> None:
    with fail_after(5):
        async with merge(Probe(hang=True), Probe(range(3))) as stream:
            assert [await anext(stream) for _ in range(3)] == [0, 1, 2]


async def test_r0226_r0227_events_are_tagged_keep_their_meta_and_their_order() -> None:
    marked = ms.TextDelta("x")
    marked.meta["own"] = 1
    async with merge(Probe([*deltas("ab"), marked]), Probe(deltas("cd"))) as stream:
        got = await stream.collect()
    assert {event.stream_id for event in got} == {0, 1}
    assert [event.text for event in got if event.stream_id == 0] == ["a", "b", "x"]
    assert [event.text for event in got if event.stream_id == 1] == ["c", "d"]
    assert next(event for event in got if event.text == "x").meta == {"own": 1}
    assert marked.stream_id is None, "an event that somebody may hold must stay what it was"


async def test_r0226_keys_name_the_inputs_and_an_earlier_merge_is_not_overwritten() -> None:
    inner = merge(Probe(deltas("a")), Probe(deltas("b")), keys=["one", "two"])
    async with inner.merge(Probe(deltas("c")), keys=["inner", "three"]) as stream:
        got = {event.text: event.stream_id async for event in stream}
    assert got == {"a": "one", "b": "two", "c": "three"}


@pytest.mark.parametrize("keys", [["a"], ["a", "a"], ["a", "b", "c"]])
def test_keys_must_tell_the_inputs_apart(keys: list[str]) -> None:
    with pytest.raises(ValueError, match="different key"):
        merge(Probe(), Probe(), keys=keys)


async def test_r0228_a_full_output_drops_after_a_while_counted_by_stream() -> None:
    clock = FakeClock()
    lost: list[Any] = []
    stream = Stream(Probe(deltas("abc"))).merge(
        Probe(deltas("xyz")), buffer=1, overflow=DropAfter(0.05), on_drop=lost.append, clock=clock
    )
    async with stream:
        await clock.advance(0.01)
        assert stream.dropped == 0
        await clock.advance(1.0)
        assert stream.dropped == 5
        assert sum(stream.dropped_by_stream.values()) == 5
        assert set(stream.dropped_by_stream) == {0, 1}
        got = await stream.collect()
    assert sorted(event.text for event in [*got, *lost]) == list("abcxyz")


async def test_r0230_leaving_closes_every_input() -> None:
    sources = [Probe(count()), Probe(hang=True), Probe(range(1))]
    async with merge(*sources) as stream:
        async for _ in stream:
            break
    assert [(source.closes, source.closed_while_running) for source in sources] == [(1, False)] * 3
    assert [task.name for task in get_running_tasks() if task.name and task.name.startswith("millstream")] == []


async def test_r0231_raise_ends_all_after_what_had_come() -> None:
    error = ValueError("input")
    other = Probe(hang=True)
    got: list[Any] = []
    async with merge(Probe([1, 2], error=error), other) as stream:
        await settle()
        assert other.closes == 1, "the others stop at once, also if nobody asks"
        with pytest.raises(ValueError, match="input") as caught:
            await drain(stream, got)
    assert caught.value is error
    assert got == [1, 2]


async def test_r0231_isolate_puts_an_error_event_and_the_others_go_on() -> None:
    released = Event()

    async def late() -> Any:
        await released.wait()
        yield ms.TextDelta("late")

    failures = [ms.Overloaded("busy"), KeyError("k")]
    async with merge(
        Probe(error=failures[0]), Probe(deltas("a"), error=failures[1]), late(), on_error="isolate"
    ) as stream:
        await settle()
        released.set()
        got = await stream.collect()
    errors = {event.stream_id: event for event in got if isinstance(event, ms.Error)}
    assert errors[0].error is failures[0]
    assert isinstance(errors[1].error, ms.StreamError)
    assert errors[1].error.__cause__ is failures[1]
    assert not errors[0].fatal
    assert [event.text for event in got if isinstance(event, ms.TextDelta)] == ["a", "late"]


async def test_isolate_does_not_repeat_an_error_that_its_stream_has_told() -> None:
    async def body() -> Any:
        yield b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
        yield b'data: {"error":{"message":"busy","type":"overloaded_error"}}\n\n'

    async with merge(ms.stream(body(), "openai-chat"), Probe(deltas("b")), on_error="isolate") as stream:
        got = [event for event in await stream.collect() if event.stream_id == 0]
    assert [type(event) for event in got] == [ms.Start, ms.TextDelta, ms.Error, ms.Finish]


async def test_r0232_no_inputs_are_the_end_at_once() -> None:
    assert [item async for item in merge()] == []


async def test_a_failure_to_open_one_input_closes_the_others() -> None:
    class Refused(Probe):
        async def __anext__(self) -> Any:
            raise ConnectionRefusedError("no")

    sources = [Refused(), Probe(hang=True)]
    async with merge(*sources) as stream:
        with pytest.raises(ConnectionRefusedError):
            await anext(stream)
    assert [source.closes for source in sources] == [1, 1]


async def test_closing_one_input_closes_the_whole() -> None:
    first, second = Stream(Probe(count())), Stream(Probe(count()))
    async with first.merge(second) as stream:
        await anext(stream)
        await second.aclose()
        assert stream.state == "closed"


async def test_two_inputs_that_fail_to_close_are_both_reported() -> None:
    class Broken(Probe):
        async def aclose(self) -> None:
            await super().aclose()
            raise OSError(f"close {id(self)}")

    sources = [Broken(range(2)), Broken(range(2)), Probe(range(2))]
    with pytest.raises(OSError, match="close") as caught:
        await merge(*sources).collect()
    assert len(caught.value.__notes__) == 1
    assert [source.closes for source in sources] == [1, 1, 1]
    sources = [Broken(), Broken(), Probe()]
    with pytest.raises(OSError, match="close"):
        await merge(*sources).aclose()
    assert [source.closes for source in sources] == [1, 1, 1]


def test_on_error_is_checked() -> None:
    with pytest.raises(ValueError, match="isolate"):
        merge(Probe(), on_error="ignore")  # type: ignore[arg-type]


async def test_a_stream_is_not_merged_with_itself() -> None:
    stream = Stream(Probe([1]))
    with pytest.raises(ms.errors.StreamBusy, match="tee"):
        stream.merge(stream)
    assert await stream.collect() == [1]
