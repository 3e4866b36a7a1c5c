"""From events to the assistant's message: blocks in order, opaque parts on the part that they belong to."""

from __future__ import annotations

import json

import pytest

import millstream as ms
from millstream.protocols.history import MessageBuilder
from protocols.decoding import decode, sse


def test_text_and_calls_in_order() -> None:
    events = [
        ms.Start("m", "i"),
        ms.TextDelta("Let "),
        ms.TextDelta("me see."),
        ms.ToolCallDelta("a", "f", '{"x":'),
        ms.ToolCallDelta("b", "g", "{}", 1),
        ms.ToolCallDelta("a", "f", " 1}"),
        ms.ToolCall("a", "f", b'{"x": 1}', {"x": 1}),
        ms.ToolCall("b", "g", b"{}", {}, index=1),
        ms.Usage(1, 2, 3),
        ms.Finish(ms.FinishReason.TOOL_CALLS),
    ]
    message = ms.assistant_message(events, "openai-chat")
    calls = [ms.messages.ToolCallPart("a", "f", '{"x": 1}'), ms.messages.ToolCallPart("b", "g", "{}")]
    assert message == ms.Message("assistant", ["Let me see.", *calls], "openai-chat")
    assert message.tool_calls[0].arguments == {"x": 1}


def test_the_builder_can_be_asked_at_any_time() -> None:
    builder = MessageBuilder("x")
    assert builder.message().parts == ()
    builder.add(ms.TextDelta("a"))
    assert builder.message().text == "a"
    builder.add(ms.TextDelta("b"))
    assert builder.message().text == "ab"
    builder.add(ms.ToolCallDelta("c", "f", "{"))
    assert builder.message().tool_calls == (), "a call under way is none yet"
    builder.add(ms.ToolCall("c", "f", b"{}", {}))
    assert [call.id for call in builder.message().tool_calls] == ["c"]


def test_aliases_name_the_same_origin() -> None:
    assert ms.assistant_message([ms.TextDelta("a")], "anthropic").origin == "anthropic-messages"


def test_other_answers_are_left_out() -> None:
    events = [ms.TextDelta("a"), ms.TextDelta("b", choice=1), ms.ToolCall("i", "f", choice=1)]
    assert ms.assistant_message(events).parts == (ms.TextPart("a"),)
    assert ms.assistant_message(events, choice=1).parts == (ms.TextPart("b"), ms.messages.ToolCallPart("i", "f"))


def test_what_alternates_stays_apart() -> None:
    events = [ms.ReasoningDelta("r1"), ms.TextDelta("t1"), ms.ReasoningDelta("r2"), ms.ReasoningDelta("r3")]
    assert ms.assistant_message(events).parts == (
        ms.messages.ReasoningPart("r1"),
        ms.TextPart("t1"),
        ms.messages.ReasoningPart("r2r3"),
    )


def test_calls_that_were_cut_off_or_are_no_json_say_so() -> None:
    events = [
        ms.ToolCall("a", "f", b'{"x', None, ms.events.Validity.INCOMPLETE),
        ms.ToolCall("b", "f", b"x", None, ms.events.Validity.INVALID, 1),
    ]
    parts = ms.assistant_message(events).tool_calls
    assert [(part.input, part.validity) for part in parts] == [('{"x', "incomplete"), ("x", "invalid")]


def test_free_text_of_a_custom_tool_stays_text() -> None:
    events = [
        ms.ToolCall("a", "sql", b"SELECT 1", "SELECT 1"),
        ms.ToolCall("b", "f", b'"SELECT 1"', "SELECT 1", index=1),
    ]
    first, second = ms.assistant_message(events).tool_calls
    assert (first.custom, first.arguments) == (True, "SELECT 1")
    assert (second.custom, second.arguments) == (False, "SELECT 1")


def test_a_refusal() -> None:
    events = [ms.Safety("refusal", "refuse", note="I can"), ms.Safety("refusal", "refuse", note="not.")]
    assert ms.assistant_message(events).parts == (ms.messages.RefusalPart("I cannot."),)
    assert ms.assistant_message([ms.Safety("violence", "block")]).parts == ()


def test_files() -> None:
    events = [
        ms.File("image/png", b"\x89PNG"),
        ms.File("audio/wav", b"RIFF"),
        ms.File("text/csv", url="https://x.test/a"),
        ms.File("image/png"),
        ms.File("image/webp", b"RIFF", _meta={"id": "ig_1"}),
        ms.File("text/plain", b"a", _meta={"other": 1}),
    ]
    assert ms.assistant_message(events).parts == (
        ms.ImagePart(b"\x89PNG", media_type="image/png"),
        ms.FilePart(b"RIFF", media_type="audio/wav"),
        ms.FilePart(url="https://x.test/a", media_type="text/csv"),
        ms.ImagePart(b"RIFF", media_type="image/webp", opaque={"id": "ig_1"}),
        ms.FilePart(b"a", media_type="text/plain"),
    )


def gemini(*parts: dict) -> tuple[ms.messages.Part, ...]:
    chunks = [{"candidates": [{"content": {"parts": [part]}, "index": 0}]} for part in parts]
    return ms.assistant_message(decode("gemini", sse(*chunks)), "gemini").parts


def test_gemini_signatures_stay_on_their_part() -> None:
    sent = [
        {"text": "hm", "thought": True},
        {"text": " hm", "thought": True, "thoughtSignature": "s0"},
        {"text": "more", "thought": True},
        {"text": "a"},
        {"text": "b"},
        {"text": "c", "thoughtSignature": "s1"},
        {"text": "d"},
        {"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": "s2"},
        {"functionCall": {"name": "f", "args": {"x": 2}}},
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}, "thoughtSignature": "s3"},
        {"executableCode": {"code": "1"}, "thoughtSignature": "s4"},
        {"text": "", "thoughtSignature": "s5"},
        {"text": "e"},
    ]
    answer = ms.Message("assistant", gemini(*sent))
    body = ms.request_body("gemini", ms.Request(messages=["Hi", answer]))
    # Unsigned neighbours become one part; everything that is signed goes back as it came.
    merged = [*sent[:3], {"text": "ab"}, *sent[5:]]
    assert body["contents"][1]["parts"] == merged


def test_gemini_streamed_calls_keep_their_signature() -> None:
    start = {"functionCall": {"name": "f", "willContinue": True}, "thoughtSignature": "s"}
    piece = {"functionCall": {"partialArgs": [{"jsonPath": "$.x", "numberValue": 1}], "willContinue": True}}
    parts = gemini(start, piece, {"functionCall": {}}, {"functionCall": {"name": "g", "args": {}}})
    assert [part.opaque for part in parts] == [{"thoughtSignature": "s"}, None]


def test_gemini_parts_of_its_own_tools_go_back_whole() -> None:
    parts = [
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "args": {"queries": ["q"]}, "id": "b"}},
        {"toolResponse": {"toolType": "GOOGLE_SEARCH_WEB", "response": {}, "id": "b"}},
    ]
    assert gemini(*parts, {"unknown": {"a": 1}}) == tuple(map(ms.messages.ProviderPart, parts))


def test_anthropic_blocks_of_server_tools_go_back_whole() -> None:
    def start(index: int, **block) -> dict:
        return {"type": "content_block_start", "index": index, "content_block": block}

    def delta(index: int, **fields) -> dict:
        return {"type": "content_block_delta", "index": index, "delta": fields}

    cited = {"type": "web_search_result_location", "url": "u", "encrypted_index": "enc"}
    result = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"encrypted_content": "e"}]}
    events = decode(
        "anthropic-messages",
        sse(
            start(0, type="thinking", thinking="", signature=""),
            delta(0, type="thinking_delta", thinking="hm"),
            delta(0, type="signature_delta", signature="sig"),
            start(1, type="redacted_thinking", data="dark"),
            start(2, type="server_tool_use", id="s", name="web_search", input={}),
            delta(2, type="input_json_delta", partial_json='{"q":'),
            delta(2, type="input_json_delta", partial_json=' "x"}'),
            start(3, **result),
            start(4, type="text", text=""),
            delta(4, type="citations_delta", citation=cited),
            delta(4, type="text_delta", text="So."),
            start(5, type="server_tool_use", id="t", name="web_search", input={}),
            delta(5, type="input_json_delta", partial_json='{"q'),
        ),
    )
    answer = ms.assistant_message(events, "anthropic-messages")
    body = ms.request_body("anthropic", ms.Request(messages=["Hi", answer], model="m"))
    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "dark"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": "x"}},
        result,
        {"type": "text", "text": "So.", "citations": [cited]},
    ]


def test_bedrock_blocks_of_its_own_tools_go_back_whole() -> None:
    call = {"toolUseId": "t", "name": "nova_grounding", "type": "server_tool_use"}
    result = {"toolUseId": "t", "type": "nova_grounding_result", "status": "success"}
    raw = [
        {"contentBlockIndex": 0, "start": {"toolUse": call}},
        {"contentBlockIndex": 0, "delta": {"toolUse": {"input": '{"q":'}}},
        {"contentBlockIndex": 0, "delta": {"toolUse": {"input": ' "x"}'}}},
        {"contentBlockIndex": 1, "start": {"toolResult": result}},
        {"contentBlockIndex": 1, "delta": {"toolResult": [{"json": {"a": 1}}]}},
        {"contentBlockIndex": 1, "delta": {"toolResult": [{"text": "b"}]}},
    ]
    answer = ms.assistant_message([ms.Raw(json.dumps(one)) for one in raw], "bedrock-converse")
    body = ms.request_body("bedrock", ms.Request(messages=["Hi", answer]))
    assert body["messages"][1]["content"] == [
        {"toolUse": call | {"input": {"q": "x"}}},
        {"toolResult": result | {"content": [{"json": {"a": 1}}, {"text": "b"}]}},
    ]


def test_responses_items_keep_id_phase_and_order() -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "a"}]}
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    events = decode(
        "openai-responses",
        sse(
            {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "a"},
            {"type": "response.output_item.done", "output_index": 0, "item": reasoning | {"encrypted_content": "enc"}},
            {"type": "response.output_item.done", "output_index": 1, "item": reasoning | {"id": "rs_2"}},
            {"type": "response.output_item.done", "output_index": 2, "item": search},
            {
                "type": "response.output_item.added",
                "output_index": 3,
                "item": {"type": "message", "phase": "commentary", "content": []},
            },
            {"type": "response.output_text.delta", "output_index": 3, "delta": "Hm"},
            {"type": "response.output_text.delta", "output_index": 3, "delta": "m."},
            {"type": "response.output_text.delta", "output_index": 4, "delta": "So."},
        ),
    )
    answer = ms.assistant_message(events, "openai-responses")
    body = ms.request_body("responses", ms.Request(messages=["Hi", answer], model="m"))
    assert body["input"][1:] == [
        reasoning | {"encrypted_content": "enc"},
        reasoning | {"id": "rs_2"},
        search,
        {"type": "message", "role": "assistant", "content": "Hmm.", "phase": "commentary"},
        {"type": "message", "role": "assistant", "content": "So."},
    ]


def test_openrouter_details_come_together_again() -> None:
    head = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
    hidden = {"type": "reasoning.encrypted", "data": "dark", "format": "openai-responses-v1", "index": 1, "id": "r"}

    def chunk(reasoning: str | None, *details: dict) -> dict:
        return {"choices": [{"index": 0, "delta": {"reasoning": reasoning, "reasoning_details": list(details)}}]}

    body = sse(
        chunk("th", head | {"text": "th"}),
        chunk("ink", head | {"text": "ink"}),
        chunk(None, head | {"signature": "sig"}),
        chunk(None, hidden),
    )
    answer = ms.assistant_message(decode("openrouter", body), "openrouter")
    made = ms.request_body("openrouter", ms.Request(messages=["Hi", answer], model="m"))
    assert made["messages"][1]["reasoning_details"] == [head | {"text": "think", "signature": "sig"}, hidden]


def test_a_thought_stays_one_when_only_a_later_piece_says_what_it_is() -> None:
    head = {"type": "reasoning.text", "index": 0}
    events = [ms.ReasoningDelta("th"), ms.ReasoningDelta("ink", _meta={"reasoning_details": head})]
    assert ms.assistant_message(events).parts == (ms.messages.ReasoningPart("think", opaque=head),)


@pytest.mark.parametrize("change", [{"type": "reasoning.summary"}, {"index": 1}])
def test_another_type_or_number_is_another_thought(change: dict) -> None:
    head = {"type": "reasoning.text", "index": 0}
    events = [
        ms.ReasoningDelta(text, _meta={"reasoning_details": one}) for text, one in (("a", head), ("b", head | change))
    ]
    assert ms.assistant_message(events).parts == (
        ms.messages.ReasoningPart("a", opaque=head),
        ms.messages.ReasoningPart("b", opaque=head | change),
    )


def test_openrouter_summaries_go_back_as_summaries() -> None:
    head = {"type": "reasoning.summary", "format": "openai-responses-v1", "index": 0}
    delta = {"reasoning": "a", "reasoning_details": [head | {"summary": "a"}]}
    chunk = {"choices": [{"index": 0, "delta": delta}]}
    answer = ms.assistant_message(decode("openrouter", sse(chunk, chunk)), "openrouter")
    made = ms.request_body("openrouter", ms.Request(messages=["Hi", answer], model="m"))
    assert made["messages"][1]["reasoning_details"] == [head | {"summary": "aa"}]


def test_cohere_tells_its_plan_from_its_thoughts() -> None:
    plan = {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I will"}}}
    thought = {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"thinking": "hm"}}}}
    answer = ms.assistant_message(decode("cohere-v2", sse(plan, plan, thought)), "cohere-v2")
    made = ms.request_body("cohere", ms.Request(messages=["Hi", answer], model="m"))["messages"][1]
    assert made == {
        "role": "assistant",
        "tool_plan": "I willI will",
        "content": [{"type": "thinking", "thinking": "hm"}],
    }


def test_results_become_one_tool_message() -> None:
    results = [ms.ToolResult("a", "f", {"x": 1}), ms.ToolResult("b", "g", "done"), ms.ToolResult("c", "h", error="no")]
    assert ms.tool_message(results) == ms.Message(
        "tool",
        [
            ms.messages.ToolResultPart("a", "f", '{"x":1}'),
            ms.messages.ToolResultPart("b", "g", "done"),
            ms.messages.ToolResultPart("c", "h", "no", is_error=True),
        ],
    )


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use"}},
        {"type": "response.output_item.done", "output_index": 0, "item": {"type": "web_search_call"}},
        {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t"}}},
        {"contentBlockIndex": 0, "start": {"toolResult": {"toolUseId": "t"}}},
        {"executableCode": {"code": "1"}},
    ],
    ids=["anthropic", "responses", "bedrock call", "bedrock result", "gemini"],
)
def test_a_block_that_has_the_number_of_the_one_before_takes_nothing_from_it(raw: dict) -> None:
    """After a pause a server may begin to count anew."""
    one, other = ms.assistant_message([ms.Raw(json.dumps(raw))] * 2).parts
    assert one == other


def test_raw_events_of_any_shape_do_no_harm() -> None:
    junk = ["", "x", "[]", "{}", '{"type":"content_block_start"}']
    junk.append(json.dumps({"type": "content_block_delta", "index": 9, "delta": {"partial_json": "x"}}))
    junk.append('{"type":"response.output_item.done","item":5,"output_index":0}')
    assert ms.assistant_message([ms.Raw(data) for data in junk]).parts == ()


def test_a_spoken_answer_goes_back_as_its_transcript() -> None:
    events = [
        ms.TextDelta("Hi", _meta={"audio": "a1"}),
        ms.File("audio/pcm", b"pcm", _meta={"audio": "a1"}),
        ms.TextDelta(" you", _meta={"audio": "a1"}),
    ]
    assert [part.text for part in ms.assistant_message(events, "openai").parts] == ["Hi you"]


def test_a_compaction_of_anthropic_goes_back_whole() -> None:
    body = sse(
        {"type": "message_start", "message": {"id": "i", "model": "m"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "compaction", "content": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "compaction_delta", "content": "so far"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    )
    message = ms.assistant_message(decode("anthropic-messages", body), "anthropic-messages")
    assert message.parts == (ms.messages.ProviderPart({"type": "compaction", "content": "so far"}),)


def test_sources_that_are_of_another_wire_add_nothing_to_the_text() -> None:
    cited = ms.Citations((ms.events.Citation(url="https://x.test"),), _meta={"raw": {"url": "https://x.test"}})
    assert ms.assistant_message([ms.TextDelta("a"), cited]).parts == (ms.TextPart("a"),)
