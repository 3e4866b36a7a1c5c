"""Anthropic messages, case by case."""

from __future__ import annotations

import pytest

import millstream as ms
from protocols.decoding import calls_of, decode, errors_of, sse, text_of

BEGIN = {
    "type": "message_start",
    "message": {"id": "i", "model": "m", "usage": {"input_tokens": 9, "output_tokens": 1}},
}
STOP = {"type": "message_stop"}


def block(index=0, **content):
    return {"type": "content_block_start", "index": index, "content_block": content}


def delta(kind, index=0, **fields):
    return {"type": "content_block_delta", "index": index, "delta": {"type": f"{kind}_delta", **fields}}


def stop(index=0):
    return {"type": "content_block_stop", "index": index}


def end(reason="end_turn", **usage):
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage or None}


def run(*messages):
    return decode("anthropic", sse(BEGIN, *messages))


def calls(*messages):
    return [(call.id, call.arguments, str(call.validity)) for call in calls_of(run(*messages))]


TOOL = block(type="tool_use", id="t", name="f", input={})


def test_text_and_cumulative_usage() -> None:
    events = run(block(type="text", text=""), delta("text", text="Hé"), {"type": "ping"}, stop(),
                 end(output_tokens=3), end(output_tokens=5, input_tokens=10), STOP)  # fmt: skip
    usage = ms.Usage(10, 5, 15, raw={"input_tokens": 10, "output_tokens": 5})
    assert events == [
        ms.Start("m", "i"), ms.TextDelta("Hé"), usage, ms.Finish(ms.FinishReason.STOP, "end_turn", usage)
    ]  # fmt: skip


def test_thinking_signature_and_redacted_thinking() -> None:
    events = run(block(type="thinking", thinking=""), delta("thinking", thinking="hm"), delta("signature", signature="s"),  # noqa: E501
                 stop(), block(1, type="redacted_thinking", data="xyz"), stop(1))  # fmt: skip
    assert events[1:4] == [
        ms.ReasoningDelta("hm"), ms.ReasoningDelta("", signature="s"), ms.ReasoningDelta("", 1, encrypted="xyz")
    ]  # fmt: skip


@pytest.mark.parametrize("fragments", [[], [""], ["{}"], ["{", "}"]])
def test_no_arguments(fragments: list[str]) -> None:
    parts = [delta("input_json", partial_json=fragment) for fragment in fragments]
    assert calls(TOOL, *parts, stop(), end("tool_use"), STOP) == [("t", {}, "valid")]


def test_a_complete_call_does_not_wait_for_the_end() -> None:
    decoder = ms.decoder("anthropic")
    given = decoder.feed(sse(BEGIN, TOOL, delta("input_json", partial_json='{"x":1}'), stop()))
    assert given[-1] == ms.ToolCall("t", "f", b'{"x":1}', {"x": 1})


@pytest.mark.parametrize("fragment", ["", '{"x":'])
def test_a_call_cut_by_the_token_limit_is_incomplete(fragment: str) -> None:
    """The block ends in order before the message says why: nothing may be run that the limit may have cut."""
    cut = [TOOL, delta("input_json", partial_json=fragment), stop()]
    assert calls(*cut, end("max_tokens"), STOP) == [("t", None, "incomplete")]
    assert calls(*cut) == [("t", None, "incomplete")]


def test_arguments_that_are_no_json() -> None:
    bad = [TOOL, delta("input_json", partial_json="{x}"), stop(), end("tool_use"), STOP]
    assert calls(*bad) == [("t", None, "invalid")]


def test_a_call_that_the_connection_cut_is_incomplete() -> None:
    assert calls(TOOL, delta("input_json", partial_json='{"x":1}')) == [("t", None, "incomplete")]


def test_a_call_complete_in_its_start() -> None:
    whole = block(type="tool_use", id="t", name="f", input={"x": 1})
    events = run(whole, stop(), end("tool_use"), STOP)
    assert calls_of(events)[0].arguments == {"x": 1}
    assert "".join(event.arguments for event in events if isinstance(event, ms.ToolCallDelta)) == '{"x":1}'


def test_a_second_message_start_abandons_open_calls() -> None:
    assert calls(TOOL, BEGIN, end(), STOP) == [("t", None, "incomplete")]


def test_unknown_blocks_deltas_and_messages_stay_raw() -> None:
    odd = [block(type="server_tool_use", id="s"), delta("odd"), delta("input_json", partial_json="{}"), {"type": "odd"}]
    events = run(*odd, stop(), end(), STOP)
    assert [event.json() for event in events if isinstance(event, ms.Raw)] == odd
    assert calls_of(events) == []


def test_arguments_of_a_block_that_never_began_stay_raw() -> None:
    stray = delta("input_json", 7, partial_json="{}")
    events = run(TOOL, stray, delta("input_json", partial_json="{}"), stop(), end(), STOP)
    assert [event.json() for event in events if isinstance(event, ms.Raw)] == [stray]
    assert [call.input for call in calls_of(events)] == [b"{}"]


def test_tools_of_anthropic_are_told_when_their_block_ends() -> None:
    messages = [
        block(type="server_tool_use", id="s", name="web_search", input={}, caller="direct"),
        delta("input_json", partial_json='{"q":'),
        delta("input_json", partial_json='"x"}'),
    ]
    found = block(1, type="web_search_tool_result", tool_use_id="s", content=[{"url": "u"}], caller="direct")
    refused = block(2, type="web_fetch_tool_result", tool_use_id="t", content={"error_code": "unavailable"})
    failed = block(3, type="mcp_tool_result", tool_use_id="m", is_error=True, content=[])
    events = run(*messages, stop(), found, stop(1), refused, stop(2), failed, stop(3), end(), STOP)
    told = [event for event in events if event.type.startswith("provider_tool")]
    assert [(one.id, one.name, one.index) for one in told] == [
        ("s", "web_search", 0),
        ("s", "web_search", 1),
        ("t", "web_fetch", 2),
        ("m", "mcp", 3),
    ]
    assert told[0].input == {"q": "x"}
    assert [(one.result, one.error) for one in told[1:]] == [
        ([{"url": "u"}], None),
        ({"error_code": "unavailable"}, "unavailable"),
        ([], "the tool failed"),
    ]
    assert told[0].meta["block"] == {"type": "server_tool_use", "id": "s", "name": "web_search", "caller": "direct"}
    assert told[1].meta["block"] == {"type": "web_search_tool_result", "tool_use_id": "s", "caller": "direct"}
    raws = [event.json() for event in events if isinstance(event, ms.Raw)]
    assert raws == [*messages, found, refused, failed]
    assert calls_of(events) == []


def test_a_call_of_anthropics_tools_that_came_whole() -> None:
    events = run(block(type="mcp_tool_use", id="s", name="f", input={"a": 1}), stop(), end(), STOP)
    (told,) = [event for event in events if isinstance(event, ms.ProviderToolCall)]
    assert (told.id, told.name, told.input) == ("s", "f", {"a": 1})


def test_thoughts_and_their_signature_may_stand_in_the_start_of_their_block() -> None:
    events = run(block(type="thinking", thinking="hm", signature="sig"), block(1, type="thinking", signature="s2"),
                 block(2, type="thinking", thinking="", signature=""), end(), STOP)  # fmt: skip
    assert [event for event in events if isinstance(event, ms.ReasoningDelta)] == [
        ms.ReasoningDelta("hm", signature="sig"),
        ms.ReasoningDelta("", 1, signature="s2"),
    ]
    assert run(block(type="thinking", thinking="hm"), STOP)[1] == ms.ReasoningDelta("hm")


def test_raw_keeps_the_event_name() -> None:
    assert ms.Raw('{"type":"odd"}', "odd") in decode("anthropic", b'event: odd\ndata: {"type":"odd"}\n\n')


def test_the_type_decides_not_the_event_name() -> None:
    body = b"event: ping\n" + sse(delta("text", text="Hello"))
    assert text_of(decode("anthropic", body)) == "Hello"


def test_error_event() -> None:
    events = run(
        delta("text", text="Hello"), {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    )
    (error,) = errors_of(events)
    assert isinstance(error, ms.Overloaded)
    assert (error.code, error.retryable) == ("overloaded_error", True)
    assert text_of(events) == "Hello"
    assert [event.type for event in events[-3:]] == ["error", "usage", "finish"]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [("max_tokens", "length"), ("tool_use", "tool_calls"), ("refusal", "content_filter"), ("pause_turn", "pause"),
     ("stop_sequence", "stop"), ("new_reason", "other")],
)  # fmt: skip
def test_finish_reasons(raw: str, reason: str) -> None:
    assert (run(end(raw), STOP)[-1].reason, run(end(raw), STOP)[-1].raw_reason) == (reason, raw)


def test_refusal_details() -> None:
    details = {"category": "cyber", "explanation": "no"}
    events = run({"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_details": details}}, STOP)
    assert ms.Safety("cyber", "block", note="no") in events


def test_citations() -> None:
    cited = {"url": "u", "document_title": "t", "cited_text": "c", "start_char_index": 1, "end_char_index": 2}
    expected = ms.Citations((ms.Citation("u", "t", "", "c", 1, 2),), 3, _meta={"raw": cited})
    assert expected in run(delta("citations", 3, citation=cited))


def test_text_that_stands_in_the_start_of_its_block_is_text() -> None:
    body = sse(
        {"type": "message_start", "message": {"id": "i", "model": "m"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Be"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "gun"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_stop"},
    )
    assert text_of(decode("anthropic-messages", body)) == "Begun"
