"""Bedrock: converse events, exceptions, and the families inside invoke."""

from __future__ import annotations

import base64
import json

import pytest

from millstream.errors import InvalidRequest, Overloaded, ParseError, ProtocolError, RateLimited
from millstream.events import (
    Citation,
    Citations,
    Error,
    File,
    Finish,
    FinishReason,
    ProviderToolCall,
    ProviderToolResult,
    Raw,
    ReasoningDelta,
    Safety,
    Start,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
    Validity,
)
from millstream.protocols import decoder
from protocols.decoding import wire
from protocols.test_eventstream import frame, header


def event(kind, body, message_type="event", name=":event-type"):
    return frame(json.dumps(body).encode(), header(":message-type", message_type) + header(name, kind))


def read(protocol, *frames):
    data = b"".join(frames)
    whole = decoder(protocol)
    expected = whole.feed(data) + whole.close()
    single = decoder(protocol)
    events = [e for i in range(len(data)) for e in single.feed(data[i : i + 1])] + single.close()
    assert wire(events) == wire(expected)
    assert whole.ended
    assert single.ended
    return expected


def converse(*events):
    return read("bedrock-converse", *(event(kind, body) for kind, body in events))


def chunk(obj):
    return event("chunk", {"bytes": base64.b64encode(json.dumps(obj).encode()).decode(), "p": "abc"})


def invoke(*objects):
    return read("bedrock-invoke", *map(chunk, objects))


def delta(index=0, **body):
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": body}


TOOL = ("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t", "name": "f"}}})
STOP = ("contentBlockStop", {"contentBlockIndex": 1})


def stop(reason):
    return "messageStop", {"stopReason": reason}


META = ("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3, "cacheReadInputTokens": 4}})
USAGE = Usage(1, 2, 3, 4, None, None, META[1]["usage"])


def test_text_and_usage_after_the_stop():
    events = converse(("messageStart", {}), delta(text="hi"), delta(text=""), stop("end_turn"), META)
    assert events == [Start(), TextDelta("hi"), USAGE, Finish(FinishReason.STOP, "end_turn", USAGE)]


def test_tool_call():
    events = converse(
        TOOL, delta(1, toolUse={"input": '{"a":'}), delta(1, toolUse={"input": "1}"}), STOP, stop("tool_use")
    )
    assert [e for e in events if isinstance(e, ToolCallDelta)][1:] == [
        ToolCallDelta("t", "f", '{"a":'), ToolCallDelta("t", "f", "1}"),
    ]  # fmt: skip
    assert events[-2:] == [ToolCall("t", "f", b'{"a":1}', {"a": 1}), Finish(FinishReason.TOOL_CALLS, "tool_use")]


@pytest.mark.parametrize("fragments", [[], ['{"a":']], ids=["nothing", "half"])
def test_tool_call_cut_off_by_the_limit_is_incomplete(fragments):
    events = converse(TOOL, *(delta(1, toolUse={"input": f}) for f in fragments), STOP, stop("max_tokens"), META)
    [call] = [e for e in events if isinstance(e, ToolCall)]
    assert call.validity is Validity.INCOMPLETE


def test_provider_tool():
    start = {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t", "name": "f", "type": "server_tool_use"}}}
    result = {"toolUseId": "t", "type": "f_result", "status": "error"}
    events = converse(
        ("contentBlockStart", start), delta(1, toolUse={"input": '{"a":'}), delta(1, toolUse={"input": "1}"}), STOP,
        ("contentBlockStart", {"contentBlockIndex": 2, "start": {"toolResult": result}}),
        delta(2, toolResult=[{"json": {"x": 1}}]), ("contentBlockStop", {"contentBlockIndex": 2}),
    )  # fmt: skip
    assert [e for e in events if not isinstance(e, (Start, Raw, Finish))] == [
        ProviderToolCall("t", "f", {"a": 1}, 1),
        ProviderToolResult("t", "f", [{"json": {"x": 1}}], "the tool failed", 2),
    ]  # fmt: skip
    assert sum(isinstance(e, Raw) for e in events) == 5
    cut = converse(("contentBlockStart", start), delta(1, toolUse={"input": "{"}))
    assert [type(e) for e in cut] == [Start, Raw, Raw, Finish]


def test_reasoning_signature_and_redacted():
    thoughts = [{"text": "hm"}, {"signature": "s"}, {"redactedContent": "x"}]
    assert converse(*(delta(reasoningContent=t) for t in thoughts))[1:4] == [
        ReasoningDelta("hm"), ReasoningDelta(signature="s"), ReasoningDelta(encrypted="x"),
    ]  # fmt: skip


def test_citation_image_and_the_unknown():
    cited = {"title": "t", "location": {"web": {"url": "u"}}, "sourceContent": [{"text": "q"}]}
    events = converse(
        delta(citation=cited), delta(image={"format": "png", "source": {"bytes": "AAE="}}), delta(new={}), ("later", {})
    )
    assert events[1:3] == [Citations((Citation(url="u", title="t", text="q"),)), File("image/png", b"\0\1")]
    assert [e.event for e in events[3:5]] == ["contentBlockDelta", "later"]
    assert events[-1].reason is FinishReason.INCOMPLETE


def test_guardrail():
    rule = {"type": "ADDRESS", "match": "Rome", "action": "ANONYMIZED", "score": 0.5}
    trace = {"guardrail": {
        "inputAssessment": {"g": {"topicPolicy": {"topics": [{"name": "n", "type": "DENY", "action": "BLOCKED"}]}}},
        "outputAssessments": {"g": [{"sensitiveInformationPolicy": {"piiEntities": [rule]}, "invocationMetrics": {}}]},
    }}  # fmt: skip
    events = converse(stop("guardrail_intervened"), ("metadata", {"trace": trace}))
    assert events[1:] == [
        Safety("n", "block", note="topicPolicy"), Safety("ADDRESS", "warn", 0.5, "sensitiveInformationPolicy"),
        Finish(FinishReason.CONTENT_FILTER, "guardrail_intervened"),
    ]  # fmt: skip


EXCEPTIONS = {
    "throttlingException": (RateLimited, True),
    "serviceUnavailableException": (Overloaded, True),
    "validationException": (InvalidRequest, False),
    "internalServerException": (Exception, True),
    "modelStreamErrorException": (Exception, True),
}


@pytest.mark.parametrize("name", EXCEPTIONS)
@pytest.mark.parametrize("protocol", ["bedrock-converse", "bedrock-invoke"])
def test_exception_in_the_stream(protocol, name):
    cls, retryable = EXCEPTIONS[name]
    events = read(protocol, event(name, {"message": "no"}, "exception", ":exception-type"))
    assert [type(e) for e in events] == [Start, Error, Finish]
    assert isinstance(events[1].error, cls)
    assert (events[1].error.code, events[1].retryable) == (name, retryable)


def test_error_message():
    headers = header(":message-type", "error") + header(":error-code", "500") + header(":error-message", "oh")
    [_, error, _] = read("bedrock-converse", frame(b"", headers))
    assert "oh" in error.error.message


@pytest.mark.parametrize("payload", [b"not json", b"[]", b"\xff"])
def test_payload_that_does_not_fit(payload):
    headers = header(":message-type", "event") + header(":event-type", "contentBlockDelta")
    events = read("bedrock-converse", event("messageStart", {}), frame(payload, headers))
    assert isinstance(events[1].error, ProtocolError)
    assert events[1].error.offset == len(event("messageStart", {}))


def test_broken_checksum_after_text():
    good = event(*delta(text="hi"))
    data = good + good[:-1] + bytes([good[-1] ^ 1])
    source = decoder("bedrock-converse")
    events = source.feed(data)
    assert events[1] == TextDelta("hi")
    assert type(events[2].error) is ParseError
    assert source.close() == []


METRICS = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 1, "outputTokenCount": 2}}
FAMILIES = {
    "titan": (
        [{"outputText": "hi", "completionReason": None}, {"outputText": "", "completionReason": "FINISH"}],
        "stop",
    ),
    "llama": ([{"generation": "hi", "stop_reason": None}, {"generation": "", "stop_reason": "length"}], "length"),
    "cohere": ([{"text": "hi", "is_finished": False}, {"is_finished": True, "finish_reason": "COMPLETE"}], "stop"),
    "mistral": ([{"outputs": [{"text": "hi", "stop_reason": "stop"}]}], "stop"),
    "legacy-anthropic": ([{"completion": "hi", "stop_reason": "stop_sequence"}], "stop"),
    "openai": ([{"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}], "stop"),
    "mistral-chat": ([{"choices": [{"index": 0, "message": {"content": "hi"}, "stop_reason": "length"}]}], "length"),
    "deepseek": ([{"choices": [{"text": "hi", "stop_reason": "stop"}]}], "stop"),
    "nova": ([{"contentBlockDelta": {"delta": {"text": "hi"}}}, {"messageStop": {"stopReason": "end_turn"}}], "stop"),
    "anthropic": (
        [
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        ],
        "stop",
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_family(family):
    objects, reason = FAMILIES[family]
    events = invoke(*objects[:-1], objects[-1] | METRICS)
    assert [e.text for e in events if isinstance(e, TextDelta)] == ["hi"]
    assert events[-1].reason == reason
    assert (events[-1].usage.input_tokens, events[-1].usage.output_tokens) == (1, 2)


@pytest.mark.parametrize("family", ["titan", "llama", "cohere", "mistral", "legacy-anthropic"])
def test_an_older_family_is_over_with_what_it_cost_not_only_with_the_body(family):
    objects, _ = FAMILIES[family]
    source = decoder("bedrock-invoke")
    before = [e for obj in objects for e in source.feed(chunk(obj))]
    assert not source.ended
    assert [type(e) for e in source.feed(chunk(METRICS))] == [Usage, Finish]
    assert source.ended
    assert [type(e) for e in before] == [Start, TextDelta]


def test_a_message_of_nova_without_a_body_says_nothing():
    said, stopped = FAMILIES["nova"][0]
    events = invoke({"messageStart": None}, said, {"contentBlockStop": None}, stopped)
    assert [type(e) for e in events] == [Start, TextDelta, Finish]


def test_what_it_cost_is_kept_when_the_reason_comes_later():
    events = invoke({"generation": "hi"} | METRICS, {"stop_reason": "stop"})
    assert (events[-1].reason, events[-1].usage.output_tokens) == ("stop", 2)


def test_unknown_family_and_event_are_raw():
    events = read("bedrock-invoke", event("later", {}), chunk({"novel": 1}))
    assert [type(e) for e in events] == [Start, Raw, Raw, Finish]
    assert [(e.event, e.json()) for e in events[1:3]] == [("later", {}), ("chunk", {"novel": 1})]
    assert events[-1].reason is FinishReason.INCOMPLETE


@pytest.mark.parametrize("family", ["llama", "anthropic"])
def test_exception_and_break_after_the_family_is_known(family):
    first = chunk(FAMILIES[family][0][0])
    events = read("bedrock-invoke", first, event("throttlingException", {}, "exception", ":exception-type"))
    assert [type(e) for e in events] == [Start, TextDelta, Error, Finish]
    assert read("bedrock-invoke", first)[-1].reason is FinishReason.INCOMPLETE


def test_the_start_of_a_block_that_says_nothing_adds_nothing_and_one_that_nobody_knows_is_kept():
    image = {"contentBlockIndex": 1, "start": {"image": {"format": "png"}}}
    events = converse(("contentBlockStart", {"contentBlockIndex": 0, "start": {}}), delta(text="a"),
                      ("contentBlockStart", image), stop("end_turn"))  # fmt: skip
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["a"]
    assert [event.json() for event in events if isinstance(event, Raw)] == [image]
