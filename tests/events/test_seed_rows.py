"""Rows 27 to 50 and 248 to 258 of the seeds: what events carry. One stream of each wire proves what decoders give."""

from __future__ import annotations

from typing import Any

import pytest

import millstream as ms

START = b'data: {"id":"c1","model":"m","choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'
DONE = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USED = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
END = b"data: [DONE]\n\n"
EVENTS: dict[str, Any] = {
    "start": ms.Start(),
    "text_delta": ms.TextDelta("x"),
    "object_delta": ms.ObjectDelta((), "set", {}),
    "tool_call": ms.ToolCall("id", "name", b"{}"),
    "tool_result": ms.ToolResult("id", "name"),
    "citations": ms.Citations(()),
    "safety": ms.Safety("violence"),
    "usage": ms.Usage(),
    "error": ms.Error(ms.StreamError("x")),
    "finish": ms.Finish(ms.FinishReason.STOP),
    "data": ms.Data(1),
    "handoff": ms.Handoff("agent"),
}


def chat(*deltas: str) -> list[ms.Event]:
    wire = [f'data: {{"choices":[{{"index":0,"delta":{delta}}}]}}\n\n'.encode() for delta in deltas]
    return list(ms.iter_events([START, *wire, DONE, USED, END], protocol="openai-chat"))


def fields(cls: Any) -> set[str]:
    return set(cls.__struct_fields__)


def only(name: str, cls: Any) -> bool:
    """Whether no other event has that field."""
    return name in fields(cls) and not any(name in fields(type(e)) for e in EVENTS.values() if type(e) is not cls)


def test_r0027_every_event_has_a_type() -> None:
    assert ms.Start().type is ms.EventType.START
    assert {name: str(event.type) for name, event in EVENTS.items()} == {name: name for name in EVENTS}


def test_r0028_a_text_delta_has_its_text() -> None:
    assert ms.TextDelta("a").text == "a"
    with pytest.raises(TypeError):
        ms.TextDelta()  # type: ignore[call-arg]


def test_r0029_an_object_delta_has_the_live_value_and_the_change() -> None:
    live = {"a": [1]}
    event = ms.ObjectDelta(("a", 0), "set", 1, live)
    assert (event.path, event.op, event.value) == (("a", 0), "set", 1)
    assert event.object is live


def test_r0030_a_tool_call_is_an_event_of_its_own() -> None:
    assert {"id", "name", "input", "arguments", "validity"} <= fields(ms.ToolCall)
    assert only("input", ms.ToolCall)
    assert only("arguments", ms.ToolCall)


def test_r0031_a_tool_result_is_an_event_of_its_own() -> None:
    assert {"id", "name", "result", "error"} <= fields(ms.ToolResult)
    assert only("result", ms.ToolResult)


def test_r0032_citations_are_several() -> None:
    assert len(ms.Citations((ms.Citation("a"), ms.Citation("b"))).citations) == 2


def test_r0033_a_safety_event_has_category_and_action() -> None:
    event = ms.Safety("violence", "block", 0.9, "why")
    assert (event.category, event.action, event.score, event.note) == ("violence", "block", 0.9, "why")


def test_r0034_unknown_counts_are_none() -> None:
    assert (ms.Usage().input_tokens, ms.Usage(input_tokens=3).output_tokens) == (None, None)


def test_r0036_r0251_meta_is_a_dict_of_one_event() -> None:
    one, other = ms.TextDelta("a"), ms.TextDelta("a")
    one.meta["k"] = 1
    assert one.meta is one.meta
    assert other.meta == {}


def test_r0037_start_comes_first_and_once() -> None:
    kinds = [event.type for event in chat('{"content":"a"}')]
    assert kinds[0] is ms.EventType.START
    assert kinds.count(ms.EventType.START) == 1


def test_r0006_r0038_each_chunk_of_text_is_a_delta_in_order() -> None:
    events = chat('{"content":"a"}', '{"content":"b"}', '{"content":"c"}')
    assert [event.text for event in events if isinstance(event, ms.TextDelta)] == ["a", "b", "c"]


def test_r0039_changes_of_an_object_are_deltas() -> None:
    parser = ms.JSONParser()
    deltas = [*parser.feed(b'{"a":1,'), *parser.feed(b'"b":[2'), *parser.feed(b"]}")]
    events = [ms.ObjectDelta(delta.path, delta.op, delta.value) for delta in deltas if delta.op != "end"]
    assert all(event.type is ms.EventType.OBJECT_DELTA for event in events)
    assert {event.path for event in events} >= {("a",), ("b", 0)}


def test_r0040_r0048_fragments_become_one_call_with_its_bytes_and_its_arguments() -> None:
    events = chat(
        '{"tool_calls":[{"index":0,"id":"t1","function":{"name":"weather","arguments":"{\\"ci"}}]}',
        '{"tool_calls":[{"index":0,"function":{"arguments":"ty\\":\\"N"}}]}',
        '{"tool_calls":[{"index":0,"function":{"arguments":"YC\\"}"}}]}',
    )
    [call] = [event for event in events if isinstance(event, ms.ToolCall)]
    assert (call.name, call.input, call.arguments) == ("weather", b'{"city":"NYC"}', {"city": "NYC"})
    assert sum(isinstance(event, ms.ToolCallDelta) for event in events) == 3


def test_r0041_r0049_a_result_says_whose_it_is_also_when_it_failed() -> None:
    call = ms.ToolCall("t1", "weather")
    good, bad = ms.ToolResult(call.id, call.name, {"c": 3}), ms.ToolResult(call.id, call.name, error="no such city")
    assert good.name == bad.name == call.name
    assert (good.result, good.error, bad.result, bad.error) == ({"c": 3}, None, None, "no such city")


@pytest.mark.parametrize("event", [EVENTS["citations"], EVENTS["safety"]], ids=["citations", "safety"])
def test_r0042_r0043_citations_and_safety_are_kinds_of_their_own(event: Any) -> None:
    assert ms.events.decode_event(ms.events.encode_event(event)) == event


def test_r0044_usage_comes_before_finish() -> None:
    kinds = [event.type for event in chat('{"content":"a"}')]
    assert kinds[-2:] == [ms.EventType.USAGE, ms.EventType.FINISH]


def test_r0045_an_error_in_the_stream_is_an_event() -> None:
    wire = b'data: {"error":{"message":"busy","type":"overloaded_error","code":"overloaded"}}\n\n'
    events = ms.decoder("openai-chat").feed(START + wire)
    [error] = [event for event in events if isinstance(event, ms.Error)]
    assert isinstance(error.error, ms.Overloaded)


def test_r0046_finish_is_the_last_event() -> None:
    events = list(ms.iter_events([START, DONE, END, START], protocol="openai-chat"))
    assert events[-1].type is ms.EventType.FINISH
    assert sum(event.type is ms.EventType.FINISH for event in events) == 1


def test_r0047_the_kinds_keep_the_order_of_the_seed() -> None:
    seed = "START TEXT_DELTA OBJECT_DELTA TOOL_CALL TOOL_RESULT CITATIONS SAFETY USAGE ERROR FINISH"
    assert " ".join(kind.name for kind in list(ms.EventType)[:10]) == seed
    assert [kind.ordinal for kind in ms.EventType][:3] == [0, 1, 2]


def test_r0050_the_total_is_the_sum_if_the_provider_tells_none() -> None:
    [usage] = [event for event in chat('{"content":"a"}') if isinstance(event, ms.Usage)]
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (3, 4, 7)


def test_r0248_r0249_data_carries_what_the_application_wants() -> None:
    payload = {"any": "thing"}
    assert ms.Data(payload=payload).type is ms.EventType.DATA
    assert ms.Data[dict[str, str]](payload=payload).payload is payload


@pytest.mark.parametrize("value", ["data", "tool_call", "tool_result", "handoff", "error"])
def test_r0252_r0253_r0254_r0255_r0256_r0258_kinds_are_strings_with_these_values(value: str) -> None:
    kind = ms.EventType(value)
    assert kind == value
    assert EVENTS[value].type is kind
    if value != "error":
        assert ms.events.decode_event(ms.events.encode_event(EVENTS[value])) == EVENTS[value]


def test_r0257_done_is_finish() -> None:
    assert ms.EventType.FINISH == "finish"
    assert list(ms.iter_events([START, DONE, END], protocol="openai-chat"))[-1].type is ms.EventType.FINISH


def test_r0246_a_chunk_has_a_text() -> None:
    assert ms.TextDelta(text="a").text == "a"
