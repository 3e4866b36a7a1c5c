"""Events as an Anthropic message stream."""

from __future__ import annotations

import json

import pytest

import millstream as ms
from protocols.decoding import calls_of, decode, sse
from protocols.encoders.expressible import encode

START = ms.Start("m", "r1")
STOP = ms.Finish(ms.FinishReason.STOP)
TOOLS = ms.Finish(ms.FinishReason.TOOL_CALLS)


def messages(*events: ms.Event, **options) -> list[dict]:
    """What the body says, message by message; the name of each is its type."""
    out = []
    for block in encode("anthropic-messages", events, **options).decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        out.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {out[-1]['type']}"
    return out


def short(*events: ms.Event) -> list[str]:
    """The blocks in few words: `0+text`, `0:Hello`, `0-`. Checks that they are dense and one at a time."""
    out, is_open, n = [], None, 0
    for message in messages(START, *events)[1:]:
        kind, index = message["type"], message.get("index")
        if kind == "content_block_start":
            assert (is_open, index) == (None, n)
            is_open, n = index, n + 1
            out.append(f"{index}+{message['content_block']['type']}")
        elif kind == "content_block_delta":
            assert index == is_open
            delta = dict(message["delta"])
            assert delta.pop("type").endswith("_delta")
            (value,) = delta.values()
            out.append(f"{index}:{value if isinstance(value, str) else value['url']}")
        elif kind == "content_block_stop":
            assert index == is_open
            is_open = None
            out.append(f"{index}-")
    assert is_open is None
    return out


def ending(*events: ms.Event) -> tuple:
    delta, stop = messages(START, *events)[-2:]
    assert (delta["type"], stop) == ("message_delta", {"type": "message_stop"})
    return delta["delta"], delta["usage"]


def call(id: str, text: str, index: int, validity: str = "valid") -> ms.ToolCall:
    value = json.loads(text or "{}") if validity == "valid" else None
    return ms.ToolCall(id, "f" + id, text.encode(), value, ms.events.Validity(validity), index)


def test_the_whole_form() -> None:
    message = {
        "id": "r1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 0, "output_tokens": 0},
    }  # fmt: skip
    assert messages(START, ms.TextDelta('"Hé"\n', 4), ms.Usage(1, 2, 3), STOP) == [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": '"Hé"\n'}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"input_tokens": 1, "output_tokens": 2},
        },
        {"type": "message_stop"},
    ]


def test_options() -> None:
    start = messages(START, model="alias", id="mine")[0]["message"]
    assert (start["model"], start["id"]) == ("alias", "mine")


def test_each_kind_and_each_index_has_its_block() -> None:
    events = [
        ms.ReasoningDelta("h", 0), ms.ReasoningDelta("m", 0), ms.ReasoningDelta(signature="s"),
        ms.TextDelta("a", 1), ms.TextDelta("b", 1), ms.TextDelta("c", 2),
        ms.ReasoningDelta(encrypted="e"), ms.TextDelta("d", 2),
    ]  # fmt: skip
    assert short(*events, STOP) == [
        "0+thinking", "0:h", "0:m", "0:s", "0-",
        "1+text", "1:a", "1:b", "1-",
        "2+text", "2:c", "2-",
        "3+redacted_thinking", "3-",
        "4+text", "4:d", "4-",
    ]  # fmt: skip


def test_what_comes_after_a_signature_is_another_block() -> None:
    events = [ms.ReasoningDelta("a", signature="s"), ms.ReasoningDelta("b"), ms.ReasoningDelta(signature="t")]
    assert short(*events, STOP) == ["0+thinking", "0:a", "0:s", "0-", "1+thinking", "1:b", "1:t", "1-"]


def test_fragments_of_interleaved_calls_are_put_in_order() -> None:
    events = [
        ms.ToolCallDelta("a", "fa", "", 0), ms.ToolCallDelta("b", "fb", '{"y"', 1),
        ms.ToolCallDelta("a", "fa", '{"x"', 0), ms.TextDelta("so"), ms.ToolCallDelta("b", "fb", ":2}", 1),
        ms.ToolCallDelta("a", "fa", ":1}", 0),
        call("a", '{"x":1}', 0), call("b", '{"y":2}', 1), call("c", "", 2),
    ]  # fmt: skip
    assert short(*events, TOOLS) == [
        "0+tool_use", '0:{"x"', "0::1}", "0-",
        "1+tool_use", '1:{"y"', "1::2}", "1-",
        "2+text", "2:so", "2-",
        "3+tool_use", "3:{}", "3-",
    ]  # fmt: skip


def test_fragments_of_the_open_call_do_not_wait() -> None:
    encoder = ms.encoder("anthropic-messages")
    encoder.encode(START)
    assert b"tool_use" in encoder.encode(ms.ToolCallDelta("a", "f", "", 0))
    assert encoder.encode(ms.ToolCallDelta("b", "g", "{}", 1)) == b""
    assert b"input_json_delta" in encoder.encode(ms.ToolCallDelta("a", "f", '{"x', 0))


def test_nothing_that_waited_is_lost_when_the_answer_breaks_off() -> None:
    events = [ms.ToolCallDelta("a", "f", '{"x', 0), ms.TextDelta("so")]
    for last in (ms.Error(ms.StreamError("no")), ms.Finish(ms.FinishReason.INCOMPLETE), TOOLS):
        out = decode("anthropic-messages", encode("anthropic-messages", [START, *events, last]))
        assert [event.text for event in out if isinstance(event, ms.TextDelta)] == ["so"]
        assert [it.validity for it in calls_of(out)] == ["incomplete"]
        assert out[-1].reason == ("error" if isinstance(last, ms.Error) else "incomplete")


def test_calls_that_the_server_ran_are_not_shown_and_the_rest_comes_whole() -> None:
    events = [
        ms.StepStart(1), ms.TextDelta("look"), ms.ToolCallDelta("a", "fa", "{}", 0), call("a", "{}", 0),
        ms.ToolResult("a", "fa", 1), ms.StepFinish(1),
        ms.StepStart(2), ms.TextDelta("so"), call("b", "{}", 0), ms.StepFinish(2),
    ]  # fmt: skip
    assert short(*events, TOOLS) == [
        "0+text", "0:look", "0-", "1+text", "1:so", "1-", "2+tool_use", "2:{}", "2-",
    ]  # fmt: skip


def test_sources_stand_in_a_text_block_and_wait_for_one() -> None:
    first, second, third = (ms.Citations((ms.Citation(f"https://{n}"),)) for n in "abc")
    assert short(first, ms.TextDelta("t"), second, call("a", "{}", 0), third, STOP) == [
        "0+text", "0:https://a", "0:t", "0:https://b", "0-",
        "1+tool_use", "1:{}", "1-",
        "2+text", "2:https://c", "2-",
    ]  # fmt: skip


def test_a_source_of_this_wire_goes_through_as_it_came() -> None:
    raw = {"type": "web_search_result_location", "url": "https://a", "title": "A", "encrypted_index": "secret"}
    events = [ms.TextDelta("t"), ms.Citations((ms.Citation("https://a", "A"),), _meta={"raw": raw})]
    assert [m["delta"]["citation"] for m in messages(START, *events) if "citation" in m.get("delta", ())] == [raw]


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "other", "incomplete"])
@pytest.mark.parametrize("arguments", ["", '{"x', '{"x":1}'])
def test_a_call_that_was_cut_off_is_never_confirmed(reason, arguments) -> None:
    events = [START, call("a", arguments, 0, "incomplete"), ms.TextDelta("t"), ms.Finish(ms.FinishReason(reason))]
    out = decode("anthropic-messages", encode("anthropic-messages", events))
    assert [it.validity for it in calls_of(out)] == ["incomplete"]
    assert out[-1].reason == "incomplete"


def test_a_call_cut_off_by_the_length_limit_is_told_by_the_reason() -> None:
    cut = call("a", '{"x', 0, "incomplete")
    assert ending(cut, ms.Finish(ms.FinishReason.LENGTH))[0]["stop_reason"] == "max_tokens"
    assert short(cut, ms.Finish(ms.FinishReason.LENGTH)) == ["0+tool_use", '0:{"x', "0-"]


@pytest.mark.parametrize(
    ("reason", "raw", "word"),
    [
        ("stop", "stop", "end_turn"), ("stop", "stop_sequence", "stop_sequence"), ("length", "length", "max_tokens"),
        ("length", "model_context_window_exceeded", "model_context_window_exceeded"), ("other", "odd", "end_turn"),
        ("tool_calls", "end_turn", "tool_use"), ("content_filter", "SAFETY", "refusal"), ("pause", "", "pause_turn"),
    ],
)  # fmt: skip
def test_only_words_of_this_wire_are_written(reason, raw, word) -> None:
    assert ending(ms.Finish(ms.FinishReason(reason), raw))[0]["stop_reason"] == word


@pytest.mark.parametrize(
    "data",
    ['{"type":"content_block_start", not JSON', '["content_block_start"]', '{"type":"content_block_stop","index":0}'],
)
def test_a_raw_message_that_only_mentions_a_block_is_no_block(data: str) -> None:
    assert short(ms.Raw(data), ms.TextDelta("x"), STOP) == short(ms.TextDelta("x"), STOP)


def test_a_block_after_a_refusal_adds_no_words_to_it() -> None:
    refused, blocked = ms.Safety("violence", "refuse", note="I cannot."), ms.Safety("violence", "block", note="filter")
    delta, _ = ending(refused, blocked, ms.Finish(ms.FinishReason.CONTENT_FILTER))
    assert delta == ending(refused, ms.Finish(ms.FinishReason.CONTENT_FILTER))[0]
    assert "filter" not in json.dumps(delta)


def test_a_refusal_is_told_with_the_reason() -> None:
    pieces = [ms.Safety("refusal", "refuse", note=note) for note in ("I ", "won't.")]
    assert ending(*pieces, ms.Safety("x", "warn"), STOP)[0] == {
        "stop_reason": "refusal", "stop_sequence": None,
        "stop_details": {"type": "refusal", "category": "refusal", "explanation": "I won't."},
    }  # fmt: skip


def test_other_choices_are_left_out() -> None:
    events = [ms.TextDelta("b", choice=1), ms.ReasoningDelta("r", choice=1), ms.ToolCallDelta("a", "f", choice=1),
              ms.ToolCall("a", "f", choice=1), ms.Safety("x", "block", choice=1)]  # fmt: skip
    assert short(*events, STOP) == []
    assert "stop_details" not in ending(*events, STOP)[0]


def test_an_answer_that_broke_off_has_no_end_but_its_usage() -> None:
    *_, last = messages(START, ms.TextDelta("a"), ms.Finish(ms.FinishReason.INCOMPLETE, usage=ms.Usage(1, 2, 3)))
    assert (last["type"], last["delta"]["stop_reason"], last["usage"]["output_tokens"]) == ("message_delta", None, 2)
    assert (
        messages(START, ms.TextDelta("a"), ms.Finish(ms.FinishReason.INCOMPLETE))[-1]["type"] == "content_block_delta"
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ms.RateLimited("no"), "rate_limit_error"),
        (ms.RateLimited("no", retryable=False), "billing_error"),
        (ms.AuthError("no", code="permission_error"), "permission_error"),
        (ms.AuthError("no", code="invalid_api_key"), "authentication_error"),
        (ms.InvalidRequest("no"), "invalid_request_error"),
        (ms.Overloaded("no"), "overloaded_error"),
        (ms.StreamTimeout("no"), "timeout_error"),
        (ms.errors.InvalidJSON("no", snippet=b"secret"), "api_error"),
    ],
)
def test_an_error_ends_the_wire_and_says_no_more_than_its_message(error, kind) -> None:
    *_, last = messages(START, ms.Error(error), ms.Usage(1, 2, 3), ms.Finish(ms.FinishReason.ERROR), ms.TextDelta("x"))
    assert last == {"type": "error", "error": {"type": kind, "message": "no"}}


def test_tools_of_this_provider_come_back_as_they_were() -> None:
    """Heads of blocks and `caller` too, which the next request needs."""
    blocks = [
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}, "caller": {"type": "direct"}},
        {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"type": "web_search_result", "url": "u"}]},
        {"type": "mcp_tool_use", "id": "m1", "name": "f", "server_name": "srv", "input": {}},
        {"type": "mcp_tool_result", "tool_use_id": "m1", "is_error": True, "content": [{"type": "text", "text": "no"}]},
        {"type": "web_fetch_tool_result", "tool_use_id": "s2",
         "content": {"type": "web_fetch_tool_result_error", "error_code": "unavailable"}},
        {"type": "compaction", "content": None},
        {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}},
    ]  # fmt: skip
    body = sse({"type": "message_start", "message": {"id": "m", "model": "m"}})
    for index, block in enumerate(blocks):
        body += sse({"type": "content_block_start", "index": index + 3, "content_block": block})
        if block["type"].endswith("tool_use"):
            delta = {"type": "input_json_delta", "partial_json": '{"q":1}'}
            body += sse({"type": "content_block_delta", "index": index + 3, "delta": delta})
        if block["type"] == "compaction":
            delta = {"type": "compaction_delta", "content": "so far"}
            body += sse({"type": "content_block_delta", "index": index + 3, "delta": delta})
        body += sse({"type": "content_block_stop", "index": index + 3})
    body += sse({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"})
    said = messages(*decode("anthropic-messages", body))
    assert [m["content_block"] for m in said if m["type"] == "content_block_start"] == blocks
    assert [m["index"] for m in said if m["type"] == "content_block_stop"] == [*range(len(blocks))]
    deltas = [(m["index"], m["delta"]) for m in said if m["type"] == "content_block_delta"]
    assert [(index, [*delta.values()][1]) for index, delta in deltas] == [(0, '{"q":1}'), (2, '{"q":1}'), (5, "so far")]


def test_tools_of_another_provider_are_server_tools() -> None:
    events = [
        ms.ProviderToolCall("", "code", "1+1"), ms.ProviderToolResult("", "code", "2"),
        ms.ProviderToolCall("x", "code"), ms.ProviderToolResult("x", "code", error="FAILED"),
    ]  # fmt: skip
    blocks = [m["content_block"] for m in messages(START, *events, STOP) if m["type"] == "content_block_start"]
    made_up = blocks[0]["id"]
    assert made_up.startswith("srvtoolu_")
    assert blocks == [
        {"type": "server_tool_use", "id": made_up, "name": "code", "input": {}},
        {"type": "code_tool_result", "tool_use_id": made_up, "content": "2"},
        {"type": "server_tool_use", "id": "x", "name": "code", "input": {}},
        {"type": "code_tool_result", "tool_use_id": "x",
         "content": {"type": "code_tool_result_error", "error_code": "FAILED"}},
    ]  # fmt: skip


def test_a_providers_tool_waits_for_the_end_of_a_call_of_the_client() -> None:
    events = [
        ms.ToolCallDelta("a", "f", "{"), ms.ProviderToolCall("p", "search"), ms.ProviderToolResult("p", "search", 1),
        ms.ToolCall("a", "f", b"{}", {}),
    ]  # fmt: skip
    blocks = [m["content_block"]["type"] for m in messages(START, *events, STOP) if m["type"] == "content_block_start"]
    assert blocks == ["tool_use", "server_tool_use", "search_tool_result"]


def test_an_end_by_error_without_an_error_is_an_error() -> None:
    assert messages(START, ms.Finish(ms.FinishReason.ERROR))[-1]["type"] == "error"


def usage_of(usage: ms.Usage) -> dict:
    return ending(ms.Finish(ms.FinishReason.STOP, usage=usage))[1]


def test_usage_of_this_wire_goes_through_as_it_came_unless_somebody_changed_it() -> None:
    raw = {"input_tokens": 1, "output_tokens": 2, "server_tool_use": {"web_search_requests": 1}}
    assert usage_of(ms.Usage(1, 2, 3, raw=raw)) == raw
    assert usage_of(ms.Usage(5, 5, 10, raw=raw)) == {"input_tokens": 5, "output_tokens": 5}


def test_cached_tokens_are_apart_from_the_input_here() -> None:
    raw = {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}
    assert usage_of(ms.Usage(10, 5, 15, 4, None, 2, raw)) == {
        "input_tokens": 6, "output_tokens": 5, "cache_read_input_tokens": 4,
        "output_tokens_details": {"thinking_tokens": 2},
    }  # fmt: skip
    proxy = {"prompt_tokens": 10, "completion_tokens": 5, "cache_creation_input_tokens": 4}  # of an OpenAI-like server
    assert usage_of(ms.Usage(10, 5, 15, None, 4, raw=proxy))["input_tokens"] == 6
    responses = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, "input_tokens_details": {}}
    assert usage_of(ms.Usage(10, 5, 15, 4, raw=responses))["input_tokens"] == 6


def test_an_unknown_usage_is_zero_here() -> None:
    assert ending(STOP)[1] == {"output_tokens": 0}
