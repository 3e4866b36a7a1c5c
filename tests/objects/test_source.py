"""The object in the arguments of a tool call: which call, and when it is complete."""

from __future__ import annotations

from typing import Any

import pytest

import millstream as ms
from objects.replay import pieces
from streams.probe import Probe

pytestmark = pytest.mark.anyio

INPUT = '{"city": "Paris", "days": [1, 2]}'
VALUE = {"city": "Paris", "days": [1, 2]}


def call(
    index: int = 0,
    name: str = "weather",
    input: str = INPUT,
    validity: ms.events.Validity = ms.events.Validity.VALID,
    *,
    late_name: bool = False,
    whole: bool = False,
) -> list[ms.Event]:
    parts = [] if whole else pieces(input, 4)
    names = ["" if late_name and i < 2 else name for i in range(len(parts))]
    deltas = [ms.ToolCallDelta(f"id{index}", n, part, index) for n, part in zip(names, parts, strict=True)]
    return [*deltas, ms.ToolCall(f"id{index}", name, input.encode(), None, validity, index)]


def interleaved(*calls: list[ms.Event]) -> list[ms.Event]:
    longest = max(map(len, calls))
    return [one[i] for i in range(longest) for one in calls if i < len(one)]


OTHER = call(0, "search", '{"q": {"deep": "x"}}')
OURS = call(1)


@pytest.mark.parametrize("which", ["weather", "id1", 1])
@pytest.mark.parametrize("late_name", [False, True])
async def test_a_call_is_chosen_by_name_id_or_number(which: Any, late_name: bool) -> None:
    source = [ms.TextDelta("Let me {see}"), *interleaved(OTHER, call(1, late_name=late_name)), ms.Finish("tool_calls")]
    objects = ms.ObjectStream(Probe(source), dict, call=which)
    fields = [field async for field in objects.fields()]
    assert fields == list(VALUE.items())
    assert await objects.final() == VALUE
    assert [event.name for event in objects.others if isinstance(event, ms.ToolCall)] == ["search", "weather"] or (
        {event.name for event in objects.others} == {"search", "weather"}
    )


async def test_a_name_means_its_first_call() -> None:
    source = interleaved(OURS, call(2, input='{"city": "Rome"}'))
    assert await ms.ObjectStream(Probe(source), dict, call="weather").final() == VALUE
    assert await ms.ObjectStream(Probe(source), dict, call=2).final() == {"city": "Rome"}


async def test_a_call_that_comes_whole() -> None:
    assert await ms.ObjectStream(Probe(call(whole=True)), dict, call="weather").final() == VALUE


async def test_no_arguments_are_an_empty_object() -> None:
    assert await ms.ObjectStream(Probe(call(input="")), dict, call=0).final() == {}


@pytest.mark.parametrize("text", [INPUT, INPUT[:10], ""])
async def test_an_incomplete_call_is_an_error_even_if_it_looks_complete(text: str) -> None:
    source = [*call(input=text, validity=ms.events.Validity.INCOMPLETE), ms.Finish(ms.FinishReason.LENGTH)]
    with pytest.raises(ms.errors.IncompleteJSON, match=r"not confirm.*length") as caught:
        await ms.ObjectStream(Probe(source), dict, call="weather").final()
    assert caught.value.partial == ({} if not text else VALUE if text == INPUT else {"city": ""}) or not text


async def test_a_call_that_was_never_confirmed_is_incomplete() -> None:
    with pytest.raises(ms.errors.IncompleteJSON, match="not confirm"):
        await ms.ObjectStream(Probe(OURS[:-1]), dict, call="weather").final()


async def test_an_invalid_call_is_invalid_json() -> None:
    source = call(input='{"a": nope}', validity=ms.events.Validity.INVALID)
    with pytest.raises(ms.errors.InvalidJSON):
        await ms.ObjectStream(Probe(source), dict, call="weather").final()


async def test_a_call_that_did_not_come_is_named() -> None:
    with pytest.raises(ms.errors.IncompleteJSON, match="no call of 'weather' came"):
        await ms.ObjectStream(Probe([ms.TextDelta("I cannot"), *OTHER]), dict, call="weather").final()
    with pytest.raises(ms.errors.IncompleteJSON, match="no call 3 came"):
        await ms.ObjectStream(Probe(OTHER), dict, call=3).final()


async def test_over_a_recorded_wire() -> None:
    body = b"".join(
        b"data: " + chunk + b"\n\n"
        for chunk in (
            b'{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"weather","arguments":""}}]}}]}',
            b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\\"city\\": \\"Par"}}]}}]}',
            b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"is\\"}"}}]}}]}',
            b'{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}',
            b"[DONE]",
        )
    )
    for n in (1, 1000):
        chunks = [body[i : i + n] for i in range(0, len(body), n)]
        stream = ms.stream(Probe(chunks, suspend=False), protocol="openai-chat")
        assert await ms.ObjectStream(stream, dict, call="weather").final() == {"city": "Paris"}
    cut = ms.stream(Probe([body[: body.index(b'{"choices":[{"delta":{},')]]), protocol="openai-chat")
    with pytest.raises(ms.errors.IncompleteJSON, match="not confirm"):
        await ms.ObjectStream(cut, dict, call="weather").final()


@pytest.mark.parametrize(("item", "said"), [(b'{"a": 1}', "bytes: use millstream.stream"), ({"a": 1}, "not dict")])
async def test_what_is_no_event_and_no_text_is_a_type_error(item: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        await ms.ObjectStream(Probe([item]), dict).final()


async def test_limits_of_an_object_are_limits() -> None:
    with pytest.raises(TypeError, match=r"must be a millstream.Limits"):
        ms.ObjectStream(Probe([]), dict, limits={"max_object_bytes": 5})  # type: ignore[call-overload]
