"""Events as OpenAI chat completion chunks."""

from __future__ import annotations

import json

import pytest

import millstream as ms
from millstream.errors import EncodeError, UsageError
from protocols.decoding import calls_of, decode
from protocols.encoders.expressible import encode

START = ms.Start("m", "r1")
STOP = ms.Finish(ms.FinishReason.STOP)
TOOLS = ms.Finish(ms.FinishReason.TOOL_CALLS)


def messages(*events: ms.Event, **options) -> list:
    """What the body says, message by message, "[DONE]" as it is."""
    lines = encode("openai-chat", events, **options).decode().split("\n\n")[:-1]
    assert all(line.startswith("data: ") for line in lines)
    return [line[6:] if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


def deltas(*events: ms.Event) -> list[tuple]:
    """(choice, delta) of each chunk but those that begin and end a choice."""
    return [
        (choice["index"], choice["delta"])
        for chunk in messages(START, *events, STOP)[:-1]
        for choice in chunk["choices"]
        if choice["delta"] and "role" not in choice["delta"]
    ]


def tool_calls(*events: ms.Event) -> list[dict]:
    return [call for _, delta in deltas(*events) for call in delta.get("tool_calls", ())]


def endings(*events: ms.Event) -> dict[int, str]:
    return {
        choice["index"]: choice["finish_reason"]
        for chunk in messages(START, *events)
        if isinstance(chunk, dict)
        for choice in chunk["choices"]
        if choice["finish_reason"]
    }


def test_the_whole_form() -> None:
    common = {"id": "r1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    assert messages(START, ms.TextDelta('"Hé"\n'), ms.Usage(1, 2, 3), STOP) == [
        {**common, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
        {**common, "choices": [{"index": 0, "delta": {"content": '"Hé"\n'}, "finish_reason": None}]},
        {**common, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**common, "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
        "[DONE]",
    ]


def test_options() -> None:
    first, *_, end, done = messages(
        START, ms.Usage(1, 2, 3), STOP, include_usage=False, created=7, model="alias", id="mine"
    )
    assert (first["created"], first["model"], first["id"]) == (7, "alias", "mine")
    assert end["choices"][0]["finish_reason"] == "stop"
    assert done == "[DONE]"


def test_each_choice_begins_with_its_role_and_ends_for_itself() -> None:
    finish = ms.Finish(ms.FinishReason.STOP, "stop", None, 1, {0: "stop", 2: "length"})
    chunks = messages(START, ms.TextDelta("b", choice=2), ms.TextDelta("c", choice=2), finish)
    assert [(c["index"], c["delta"].get("role"), c["finish_reason"]) for x in chunks[:-1] for c in x["choices"]] == [
        (0, "assistant", None), (2, "assistant", None), (2, None, None), (2, None, None),
        (0, None, "stop"), (2, None, "length"),
    ]  # fmt: skip


def test_a_choice_of_which_no_end_is_told_has_none() -> None:
    finish = ms.Finish(ms.FinishReason.STOP, "stop", None, 1, {0: "stop"})
    assert endings(ms.TextDelta("a"), ms.TextDelta("b", choice=1), finish) == {0: "stop"}


def test_a_reason_that_is_told_once_is_that_of_all_choices_but_calls_are_told_for_each() -> None:
    events = [ms.TextDelta("b", choice=1), ms.ToolCall("a", "f", b"{}", {}, choice=2)]
    assert endings(*events, STOP) == {0: "stop", 1: "stop", 2: "tool_calls"}
    assert endings(*events, TOOLS) == {0: "tool_calls", 1: "stop", 2: "tool_calls"}
    assert endings(*events, ms.Finish(ms.FinishReason.LENGTH)) == {0: "length", 1: "length", 2: "length"}


def test_reasoning_and_its_opaque_parts() -> None:
    known = {"type": "reasoning.encrypted", "data": "x", "id": "kept"}
    events = [
        ms.ReasoningDelta("hm"),
        ms.ReasoningDelta(signature="s"),
        ms.ReasoningDelta(encrypted="x"),
        ms.ReasoningDelta(encrypted="x", _meta={"reasoning_details": known}),
        ms.ReasoningDelta(),
    ]
    assert [delta for _, delta in deltas(*events)] == [
        {"reasoning_content": "hm"},
        {"reasoning_details": [{"type": "reasoning.text", "signature": "s"}]},
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
        {"reasoning_details": [known]},
    ]


def test_what_a_detail_says_besides_the_text_is_kept() -> None:
    event = ms.ReasoningDelta("hm", _meta={"reasoning_details": {"id": "r1", "type": "reasoning.text"}})
    ((_, delta),) = deltas(event)
    assert delta["reasoning_details"] == [{"id": "r1", "type": "reasoning.text", "text": "hm"}]
    assert event in decode("openai-chat", encode("openai-chat", [START, event]))


def test_a_refusal_is_its_words_and_without_words_nothing() -> None:
    assert deltas(ms.Safety("refusal", "refuse", note="No.")) == [(0, {"refusal": "No."})]
    assert deltas(ms.Safety("refusal", "refuse")) == []


def test_logprobs_are_kept() -> None:
    tokens = [{"token": "a", "logprob": -1.0, "extra": 1}]
    meta = {"logprobs": tokens}
    _, chunk, refusal = messages(
        START, ms.TextDelta("a", _meta=meta), ms.Safety("refusal", "refuse", note="a", _meta=meta)
    )
    assert chunk["choices"][0]["logprobs"] == {"content": tokens}
    assert refusal["choices"][0]["logprobs"] == {"refusal": tokens}


def test_logprobs_of_other_wires_get_the_form_of_this_one() -> None:
    gemini = {
        "chosenCandidates": [{"token": "a", "logProbability": -1.0}],
        "topCandidates": [{"candidates": [{"token": "b", "logProbability": -2.0}]}],
    }
    _, chunk = messages(START, ms.TextDelta("a", _meta={"logprobs": gemini}))
    assert chunk["choices"][0]["logprobs"]["content"] == [
        {"token": "a", "logprob": -1.0, "bytes": None,
         "top_logprobs": [{"token": "b", "logprob": -2.0, "bytes": None}]},
    ]  # fmt: skip


def test_the_spoken_answer_is_audio_again() -> None:
    said = [ms.TextDelta("Hi", _meta={"audio": "a1"}), ms.File("audio/pcm", b"pcm", _meta={"audio": "a1"})]
    assert [delta for _, delta in deltas(*said)] == [
        {"audio": {"id": "a1", "transcript": "Hi"}}, {"audio": {"id": "a1", "data": "cGNt"}},
    ]  # fmt: skip


@pytest.mark.parametrize("event", [ms.ProviderToolCall("a", "search"), ms.ProviderToolResult("a", "search", 1)])
def test_tools_that_the_provider_runs_have_no_place(event) -> None:
    assert deltas(event) == []


def test_the_input_of_a_custom_tool_is_text() -> None:
    whole = ms.ToolCall("a", "sh", b"l\ns", "l\ns", _meta={"custom": True})
    pieces = [ms.ToolCallDelta("a", "sh", "l", _meta={"custom": True}), ms.ToolCallDelta("a", "sh", "\ns")]
    assert tool_calls(*pieces, whole) == [
        {"index": 0, "id": "a", "type": "custom", "custom": {"name": "sh", "input": "l"}},
        {"index": 0, "custom": {"input": "\ns"}},
    ]
    for events in ([*pieces, whole], [whole], [ms.ToolCall("a", "sh", b"l\ns", "l\ns")]):
        assert calls_of(decode("openai-chat", encode("openai-chat", [START, *events, TOOLS]))) == [whole]


def test_images_are_written_and_other_files_are_not() -> None:
    files = [
        ms.File("image/png", b"png", index=1),
        ms.File("image/png", url="https://x/y.png"),
        ms.File("audio/wav", b"w"),
    ]
    assert [delta["images"][0]["image_url"]["url"] for _, delta in deltas(*files)] == [
        "data:image/png;base64,cG5n", "https://x/y.png",
    ]  # fmt: skip


# --- tool calls --------------------------------------------------------------------------------------------------


def test_id_and_name_stand_in_the_first_fragment_only() -> None:
    first, second = tool_calls(
        ms.ToolCallDelta("a", "f", '{"x'), ms.ToolCallDelta("a", "f", '":1}'),
        ms.ToolCall("a", "f", b'{"x":1}', {"x": 1}),
    )  # fmt: skip
    assert first == {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x'}}
    assert second == {"index": 0, "function": {"arguments": '":1}'}}


def test_a_call_that_comes_whole_and_without_arguments_is_an_empty_object() -> None:
    (call,) = tool_calls(ms.ToolCall("a", "f", b"", {}))
    assert call["function"]["arguments"] == "{}"


def test_nothing_is_out_before_the_name_is_known() -> None:
    events = [
        ms.ToolCallDelta("", "", '{"x'),
        ms.ToolCallDelta("a", "f", '":'),
        ms.ToolCall("a", "f", b'{"x":1}', {"x": 1}),
    ]
    assert [(call.get("id"), call["function"]["arguments"]) for call in tool_calls(*events)] == [
        ("a", '{"x":'), (None, "1}"),
    ]  # fmt: skip


def test_a_call_without_an_id_gets_one_that_no_other_answer_has() -> None:
    calls = tool_calls(ms.ToolCall("", "f", index=0), ms.ToolCall("", "f", index=1), ms.ToolCall("", "f", choice=1))
    assert [call["id"] for call in calls] == ["call_r1_0", "call_r1_1", "call_r1_1_0"]


def test_another_id_under_the_same_number_is_another_call_and_the_first_is_cut_off() -> None:
    events = [ms.ToolCallDelta("a", "f", "{}"), ms.ToolCallDelta("b", "f", "{}"), ms.ToolCall("b", "f", b"{}", {})]
    *_, first, second = messages(START, *events, TOOLS)
    found = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in (first, second)]
    assert [(call["index"], call["id"]) for call in found] == [(0, "a"), (1, "b")]


def test_calls_that_the_server_ran_are_not_shown_and_the_rest_comes_whole() -> None:
    step = [
        ms.StepStart(1),
        ms.ToolCallDelta("a", "f", "{}"), ms.ToolCall("a", "f", b"{}", {}), ms.ToolResult("a", "f", 1),
        ms.StepFinish(1, ms.FinishReason.TOOL_CALLS),
        ms.StepStart(2), ms.TextDelta("so"),
        ms.ToolCallDelta("b", "g", "{}"), ms.ToolCall("b", "g", b"{}", {}),
        ms.StepFinish(2),
    ]  # fmt: skip
    assert [delta for _, delta in deltas(*step)] == [
        {"content": "so"},
        {"tool_calls": [{"index": 0, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}]},
    ]


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "other", "incomplete"])
@pytest.mark.parametrize("arguments", [b"", b'{"x', b'{"x":1}'])
def test_a_call_that_was_cut_off_is_never_confirmed(reason, arguments) -> None:
    cut = ms.ToolCall("a", "f", arguments, None, ms.events.Validity.INCOMPLETE)
    body = encode("openai-chat", [START, cut, ms.Finish(ms.FinishReason(reason))])
    assert b"[DONE]" not in body
    assert b'"finish_reason":"' not in body
    assert [call.validity for call in calls_of(decode("openai-chat", body))] == ["incomplete"]


def test_a_call_cut_off_by_the_length_limit_is_told_by_the_reason() -> None:
    cut = ms.ToolCall("a", "f", b'{"x', None, ms.events.Validity.INCOMPLETE)
    assert endings(cut, ms.Finish(ms.FinishReason.LENGTH)) == {0: "length"}
    whole = ms.ToolCall("a", "f", b'{"x":1}', None, ms.events.Validity.INCOMPLETE)  # here it would not tell
    assert endings(whole, ms.Finish(ms.FinishReason.LENGTH)) == {}


def test_a_call_of_which_nobody_said_that_it_was_over_is_cut_off() -> None:
    assert endings(ms.ToolCallDelta("a", "f", "{}"), ms.Finish(ms.FinishReason.TOOL_CALLS)) == {}


# --- ends --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "raw", "word"),
    [
        ("stop", "end_turn", "stop"), ("length", "MAX_TOKENS", "length"), ("tool_calls", "STOP", "tool_calls"),
        ("content_filter", "refusal", "content_filter"), ("pause", "pause_turn", "stop"), ("other", "odd", "stop"),
    ],
)  # fmt: skip
def test_only_words_of_this_wire_are_written(reason, raw, word) -> None:
    assert endings(ms.Finish(ms.FinishReason(reason), raw)) == {0: word}


def test_an_answer_that_broke_off_has_no_end_but_its_usage() -> None:
    *_, last = messages(START, ms.TextDelta("a"), ms.Finish(ms.FinishReason.INCOMPLETE, usage=ms.Usage(1, 2, 3)))
    assert last["usage"]["total_tokens"] == 3
    assert messages(START, ms.TextDelta("a"))[-1]["choices"][0]["delta"] == {"content": "a"}  # close without Finish


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (ms.RateLimited("no", code="insufficient_quota"), "rate_limit_error", "insufficient_quota"),
        (ms.AuthError("no"), "authentication_error", None),
        (ms.InvalidRequest("no"), "invalid_request_error", None),
        (ms.Overloaded("no"), "overloaded_error", None),
        (ms.errors.InvalidJSON("no", snippet=b"secret"), "server_error", None),
    ],
)
def test_an_error_ends_the_wire_and_says_no_more_than_its_message(error, kind, code) -> None:
    *_, last = messages(START, ms.Error(error), ms.Usage(1, 2, 3), ms.Finish(ms.FinishReason.ERROR), ms.TextDelta("x"))
    assert last == {"error": {"message": "no", "type": kind, "param": None, "code": code}}


def test_an_end_by_error_without_an_error_is_an_error() -> None:
    assert "error" in messages(START, ms.Finish(ms.FinishReason.ERROR))[-1]


# --- usage -------------------------------------------------------------------------------------------------------


def usage_of(usage: ms.Usage) -> dict:
    return messages(START, ms.Finish(ms.FinishReason.STOP, usage=usage))[-2]["usage"]


def test_usage_of_this_wire_goes_through_as_it_came_unless_somebody_changed_it() -> None:
    raw = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": 0.1}
    assert usage_of(ms.Usage(1, 2, 3, raw=raw)) == raw
    assert "cost" not in usage_of(ms.Usage(5, 5, 10, raw=raw))


def test_cached_tokens_are_part_of_the_prompt_here() -> None:
    raw = {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 4}
    assert usage_of(ms.Usage(10, 5, 15, 3, 4, raw=raw)) == {
        "prompt_tokens": 17, "completion_tokens": 5, "total_tokens": 22,
        "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 4},
    }  # fmt: skip


def test_thoughts_are_part_of_the_completion_here() -> None:
    raw = {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 7, "totalTokenCount": 22}
    assert usage_of(ms.Usage(10, 5, 22, None, None, 7, raw)) == {
        "prompt_tokens": 10, "completion_tokens": 12, "total_tokens": 22,
        "completion_tokens_details": {"reasoning_tokens": 7},
    }  # fmt: skip


def test_the_total_of_a_run_wins_over_the_usage_of_a_step() -> None:
    out = messages(START, ms.Usage(1, 1, 2), ms.Finish(ms.FinishReason.STOP, usage=ms.Usage(9, 9, 18)))
    assert out[-2]["usage"]["total_tokens"] == 18


# --- what is odd -------------------------------------------------------------------------------------------------

UNSPEAKABLE = [
    ms.Raw("{}"),
    ms.File("audio/wav", b"x"),
    ms.Data(1),
    ms.Handoff("b"),
    ms.ObjectDelta((), "set", 1),
    ms.StepStart(1),
    ms.StepFinish(1),
    ms.ToolResult("a", "f", 1),
    ms.Error(ms.StreamError("careful"), fatal=False),
    ms.Safety("violence", "pass"),
    ms.Citations((ms.Citation(text="only"),)),
    START,
]


@pytest.mark.parametrize("event", UNSPEAKABLE, ids=lambda event: event.type)
@pytest.mark.parametrize("name", ["openai-chat", "anthropic-messages"])
def test_what_the_wire_cannot_say_is_nothing(name, event) -> None:
    encoder = ms.encoder(name)
    encoder.encode(START)
    assert encoder.encode(event) == b""


@pytest.mark.parametrize("name", ["openai-chat", "anthropic-messages"])
class TestOrder:
    def test_an_event_before_start_begins_the_stream(self, name) -> None:
        with_start, without = (encode(name, [*first, ms.TextDelta("a"), STOP]) for first in ([ms.Start()], []))
        assert with_start == without

    def test_nothing_comes_after_finish(self, name) -> None:
        encoder = ms.encoder(name)
        encoder.encode(STOP)
        assert encoder.encode(ms.TextDelta("late")) == encoder.encode(ms.Error(ms.StreamError("late"))) == b""

    def test_encode_after_close_is_a_misuse_and_close_can_be_repeated(self, name) -> None:
        encoder = ms.encoder(name)
        encoder.encode(STOP)
        encoder.close()
        assert encoder.close() == b""
        with pytest.raises(UsageError, match="closed"):
            encoder.encode(STOP)

    def test_a_stream_that_never_began_is_empty(self, name) -> None:
        assert ms.encoder(name).close() == b""

    def test_what_json_cannot_carry_is_refused_and_the_rest_goes_on(self, name) -> None:
        good = [START, ms.TextDelta("a"), ms.ReasoningDelta("r"), ms.ToolCall("a", "f", b"{}", {}), STOP]
        encoder, whole = ms.encoder(name), b""
        for event in good:
            whole += encoder.encode(event)
            for bad in [ms.TextDelta("\ud800"), ms.ReasoningDelta("\ud800", 5)] if event is not STOP else []:
                with pytest.raises(EncodeError):
                    encoder.encode(bad)
        assert whole + encoder.close() == encode(name, good)

    def test_an_answer_that_lost_a_call_is_cut_off(self, name) -> None:
        encoder = ms.encoder(name)
        out = encoder.encode(START)
        with pytest.raises(EncodeError):
            encoder.encode(ms.ToolCall("a", "f", b"\xed\xa0\x80", "", ms.events.Validity.VALID))
        out += encoder.encode(STOP) + encoder.close()
        assert decode(name, out)[-1].reason == "incomplete"

    def test_no_text_can_break_out_of_its_message(self, name) -> None:
        evil = 'x"}\r\n\r\nevent: error\ndata: {"error":1}\n\n\0data: [DONE]\n\n'
        events = [ms.Start(evil, evil), ms.TextDelta(evil), ms.ToolCall(evil, evil, b"{}", {}), STOP]
        out = decode(name, encode(name, events))
        assert out[0] == events[0]
        assert events[1] in out
        assert [(call.id, call.name) for call in calls_of(out)] == [(evil, evil)]
        assert out[-1].reason == "tool_calls"
