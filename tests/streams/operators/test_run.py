"""`run` and `process`: handlers, what ends them, and the source closed on every way out."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

import millstream as ms
from millstream.streams import Stream
from streams.probe import Probe

pytestmark = pytest.mark.anyio

FINISH = ms.Finish(ms.FinishReason.STOP)
SEVEN = [
    ms.Start(),
    ms.TextDelta("a"),
    ms.ToolCall("1", "f"),
    ms.ToolResult("1", "f", result=1),
    ms.Usage(1, 2),
    ms.Error(ms.Overloaded("slow"), fatal=False),
    FINISH,
]


async def test_r0052_every_kind_reaches_its_handler_in_order() -> None:
    seen: list[Any] = []

    async def later(event: Any) -> None:
        await checkpoint()
        seen.append(event)

    handlers: dict[Any, Any] = {type(event): seen.append for event in SEVEN}
    handlers[ms.ToolCall] = later
    del handlers[ms.Usage]
    handlers[ms.EventType.USAGE] = seen.append
    source = Probe(SEVEN)
    await Stream(source).process(handlers)
    assert seen == SEVEN
    assert source.closes == 1


async def test_r0051_what_no_handler_wants_passes_silently_or_goes_to_the_default() -> None:
    seen: list[Any] = []
    await Stream(Probe([*SEVEN[:3], ms.Raw("?"), "no event"])).process({ms.TextDelta: seen.append})
    assert seen == [SEVEN[1]]
    await Stream(Probe([*SEVEN[:3], ms.Raw("?")])).process({ms.TextDelta: lambda event: None}, default=seen.append)
    assert seen[1:] == [SEVEN[0], SEVEN[2], ms.Raw("?")]


async def test_r0053_r0139_a_fatal_error_event_becomes_an_exception_that_wraps_its_cause() -> None:
    cause = ms.Overloaded("busy")
    seen: list[Any] = []
    source = Probe([ms.Error(cause), FINISH])
    with pytest.raises(ms.StreamError, match="stream error") as caught:
        await Stream(source).process({ms.Error: seen.append})
    assert caught.value.__cause__ is cause
    assert caught.value.retryable
    assert len(seen) == 1
    assert source.closes == 1


async def test_r0138_a_recoverable_error_event_does_not_end_anything() -> None:
    seen: list[Any] = []
    events = [ms.Error(ms.Overloaded("slow"), fatal=False), ms.TextDelta("after"), FINISH]
    await Stream(Probe(events)).process({ms.TextDelta: seen.append})
    assert seen == [ms.TextDelta("after")]


async def test_r0054_r0141_finish_returns_at_once() -> None:
    source = Probe([FINISH], hang=True)
    await Stream(source).process({})
    assert (source.pulls, source.closes) == (1, 1)


async def test_r0055_the_end_without_finish_is_a_normal_return() -> None:
    source = Probe([ms.Start()])
    await Stream(source).process({})
    assert source.closes == 1


@pytest.mark.parametrize(
    "events", [SEVEN, [ms.Error(ms.Overloaded("x"))], [ms.TextDelta("boom")]], ids=["finish", "error", "handler"]
)
async def test_r0056_the_stream_is_closed_on_every_exit(events: list[Any]) -> None:
    def boom(event: Any) -> None:
        if event.text == "boom":
            raise ValueError

    source = Probe(events)
    with suppress(ms.StreamError):
        await Stream(source).process({ms.TextDelta: boom})
    assert source.closes == 1


@pytest.mark.parametrize("later", [False, True])
async def test_r0140_a_failing_handler_is_a_processing_error_from_its_exception(later: bool) -> None:
    error = ValueError("sk-secret")

    def fail(event: Any) -> None:
        raise error

    async def fail_later(event: Any) -> None:
        await checkpoint()
        raise error

    source = Probe(SEVEN)
    with pytest.raises(ms.errors.ProcessingError, match="TextDelta") as caught:
        await Stream(source).process({ms.TextDelta: fail_later if later else fail})
    assert caught.value.__cause__ is error
    assert not caught.value.retryable
    assert "secret" not in str(caught.value)
    assert source.closes == 1


async def test_r0188_run_raises_the_handlers_error_unchanged_and_pulls_no_further() -> None:
    error = ValueError("mine")
    seen: list[int] = []

    async def handle(item: int) -> None:
        await checkpoint()
        seen.append(item)
        if item == 1:
            raise error

    source = Probe(range(9))
    with pytest.raises(ValueError, match="mine") as caught:
        await Stream(source).run(handle)
    assert caught.value is error
    assert (seen, source.pulls, source.closes) == ([0, 1], 2, 1)


async def test_run_to_the_end() -> None:
    seen: list[int] = []
    await Stream(Probe(range(3))).run(seen.append)
    assert seen == [0, 1, 2]


async def test_events_of_one_kind_reach_one_handler_as_often_as_they_come() -> None:
    texts: list[str] = []
    others: list[Any] = []
    handlers: dict[Any, Any] = {ms.TextDelta: lambda event: texts.append(event.text)}
    events = [ms.TextDelta("a"), ms.Start(), ms.TextDelta("b"), ms.Start(), FINISH]
    await Stream(Probe(events)).process(handlers, default=others.append)
    assert (texts, others) == (["a", "b"], [ms.Start(), ms.Start(), FINISH])
