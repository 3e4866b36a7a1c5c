"""Every wire: what it can say has the form of the provider's own types, and what it cannot say is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

import millstream as ms
from millstream.protocols.requests import request_names
from protocols.requests.oracles import ORACLES

WIRES = sorted(ORACLES)
PNG = b"\x89PNG\r\n\x1a\n"
PDF = b"%PDF-1.7"
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": False}
TOOLS = (ms.ToolSpec("f", "Does f.", SCHEMA), ms.ToolSpec("g"))
NO_SEED = {"anthropic-messages", "bedrock-converse", "openai-responses", "deepseek"}
NO_NAMED_TOOL = {"cohere-v2", "ollama-chat"}
NO_SCHEMA = {"deepseek"}
NO_BARE_JSON = {"anthropic-messages", "bedrock-converse"}
NO_CUSTOM_TOOLS = {
    "anthropic-messages",
    "bedrock-converse",
    "gemini",
    "gemini-json-array",
    "ollama-chat",
    "cohere-v2",
    "mistral",
}
NO_FILES = {"ollama-chat", "cohere-v2"}
TALK = (
    ms.Message("system", "Be brief."),
    ms.Message("user", ["What", " now?"]),
    ms.Message(
        "assistant", ["Let me see.", ms.messages.ToolCallPart("a", "f", {"x": 1}), ms.messages.ToolCallPart("b", "g")]
    ),
    ms.Message(
        "tool",
        [
            ms.messages.ToolResultPart("a", "f", {"y": 2}),
            ms.messages.ToolResultPart("b", "g", "it broke", is_error=True),
        ],
    ),
    ms.Message("assistant", "Two."),
    ms.Message("user", "Thanks."),
)


def body(wire: str, messages: object = "Hi", **settings) -> dict:
    made = ms.request_body(wire, ms.Request(messages=messages, model="m", **settings))
    json.dumps(made)  # it is JSON, whatever else it is
    ORACLES[wire](made)
    return made


@pytest.mark.parametrize("wire", WIRES)
def test_a_string_is_enough(wire: str) -> None:
    assert "Hi" in json.dumps(body(wire))


@pytest.mark.parametrize("wire", WIRES)
def test_a_conversation_with_tools(wire: str) -> None:
    stop = () if wire == "openai-responses" else ("END",)
    made = body(wire, TALK, tools=TOOLS, max_tokens=100, temperature=0.5, top_p=0.9, stop=stop, tool_choice="auto")
    text = json.dumps(made)
    for said in ("Be brief.", "Let me see.", "it broke", "Two.", "Thanks.", "Does f.", "END" if stop else "Two."):
        assert said in text
    assert text.index("Let me see.") < text.index("it broke") < text.index("Two.") < text.index("Thanks.")


@pytest.mark.parametrize("wire", WIRES)
def test_a_system_message_in_the_middle(wire: str) -> None:
    talk = [ms.Message("system", "First."), "Hi", ms.Message("system", "Now in verse.")]
    if wire in ("gemini", "gemini-json-array"):
        with pytest.raises(ms.errors.Inexpressible, match=r"messages\[2\]: system messages come first"):
            body(wire, talk)
    else:
        text = json.dumps(body(wire, talk))
        assert text.index("Hi") < text.index("Now in verse.")


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("choice", ["auto", "none", "required", "f"])
def test_tool_choice(wire: str, choice: str) -> None:
    refused = (
        (wire in NO_NAMED_TOOL and choice == "f")
        or (wire == "ollama-chat" and choice != "auto")
        or (wire == "bedrock-converse" and choice == "none")
    )
    if refused:
        with pytest.raises(ms.errors.Inexpressible, match="tool_choice") as caught:
            body(wire, tools=TOOLS, tool_choice=choice)
        assert (caught.value.field, caught.value.protocol) == ("tool_choice", wire)
    else:
        assert body(wire, tools=TOOLS, tool_choice=choice) != body(wire, tools=TOOLS) or choice == "auto"


@pytest.mark.parametrize("wire", WIRES)
def test_seed(wire: str) -> None:
    if wire in NO_SEED:
        with pytest.raises(ms.errors.Inexpressible, match="leave seed out"):
            body(wire, seed=7)
    else:
        assert "7" in json.dumps(body(wire, seed=7))


@pytest.mark.parametrize("wire", WIRES)
def test_a_schema(wire: str) -> None:
    if wire in NO_SCHEMA:
        with pytest.raises(ms.errors.Inexpressible, match="use a tool"):
            body(wire, response_format=ms.ResponseFormat(SCHEMA))
    else:
        assert "additionalProperties" in json.dumps(
            body(wire, response_format=ms.ResponseFormat(SCHEMA, "answer", "why"))
        )
        assert "why" not in json.dumps(body(wire, response_format=ms.ResponseFormat(SCHEMA, "answer")))


@pytest.mark.parametrize("wire", WIRES)
def test_json_without_a_schema(wire: str) -> None:
    if wire in NO_BARE_JSON:
        with pytest.raises(ms.errors.Inexpressible, match="give ResponseFormat a schema"):
            body(wire, response_format=ms.ResponseFormat())
    else:
        assert "json" in json.dumps(body(wire, response_format=ms.ResponseFormat()))


@pytest.mark.parametrize("wire", WIRES)
def test_an_image_of_bytes(wire: str) -> None:
    made = json.dumps(body(wire, ms.Message("user", ["What is this?", ms.ImagePart(PNG)])))
    assert "iVBORw0KGgo=" in made


@pytest.mark.parametrize("wire", WIRES)
def test_an_image_by_address(wire: str) -> None:
    message = ms.Message("user", [ms.ImagePart(url="https://example.com/a.png", media_type="image/png")])
    if wire in ("ollama-chat", "bedrock-converse"):
        with pytest.raises(ms.errors.Inexpressible, match=r"messages\[0\]\.parts\[0\].*give data"):
            body(wire, message)
    else:
        assert "https://example.com/a.png" in json.dumps(body(wire, message))


@pytest.mark.parametrize("wire", WIRES)
def test_a_pdf(wire: str) -> None:
    message = ms.Message("user", ["Read it.", ms.FilePart(PDF, name="a b_c.pdf")])
    if wire in NO_FILES:
        with pytest.raises(ms.errors.Inexpressible, match=r"messages\[0\]\.parts\[1\]"):
            body(wire, message)
    else:
        assert "JVBERi0xLjc=" in json.dumps(body(wire, message))


@pytest.mark.parametrize("wire", WIRES)
def test_results_with_images(wire: str) -> None:
    results = ms.Message("tool", ms.messages.ToolResultPart("a", "f", ["see", ms.ImagePart(PNG)]))
    talk = [TALK[1], ms.Message("assistant", ms.messages.ToolCallPart("a", "f")), results]
    if wire in ("anthropic-messages", "bedrock-converse", "gemini", "gemini-json-array", "openai-responses"):
        assert "iVBORw0KGgo=" in json.dumps(body(wire, talk))
    else:
        with pytest.raises(ms.errors.Inexpressible, match=r"messages\[2\]\.parts\[0\].*user message"):
            body(wire, talk)


@pytest.mark.parametrize("wire", WIRES)
def test_a_call_that_was_cut_off_needs_an_answer(wire: str) -> None:
    call = ms.Message("assistant", ms.messages.ToolCallPart("a", "f", '{"x": "ha', validity="incomplete"))
    with pytest.raises(ms.errors.Inexpressible, match="cut off"):
        body(wire, ["Hi", call, "go on"])
    answer = ms.Message("tool", ms.messages.ToolResultPart("a", "f", "the arguments were cut off", is_error=True))
    assert "ha" in json.dumps(body(wire, ["Hi", call, answer]))


@pytest.mark.parametrize("wire", WIRES)
def test_arguments_that_are_no_object_reach_the_model(wire: str) -> None:
    call = ms.Message("assistant", ms.messages.ToolCallPart("a", "f", "[oops", validity="invalid"))
    answer = ms.Message("tool", ms.messages.ToolResultPart("a", "f", "no JSON", is_error=True))
    assert "[oops" in json.dumps(body(wire, ["Hi", call, answer]))


@pytest.mark.parametrize("wire", WIRES)
def test_calls_without_ids_find_their_results(wire: str) -> None:
    calls = ms.Message(
        "assistant", [ms.messages.ToolCallPart("", "f", {"x": 1}), ms.messages.ToolCallPart("", "f", {"x": 2})]
    )
    results = ms.Message(
        "tool", [ms.messages.ToolResultPart("", "f", "one"), ms.messages.ToolResultPart("", "f", "two")]
    )
    text = json.dumps(body(wire, ["Hi", calls, results]))
    if wire not in ("gemini", "gemini-json-array", "ollama-chat"):
        assert text.count("call_1_0") == text.count("call_1_1") == 2
    with pytest.raises(ms.errors.InvalidMessage, match="a result without id needs a call before it"):
        body(wire, ["Hi", results])


@pytest.mark.parametrize("wire", WIRES)
def test_what_only_another_provider_can_read_is_refused(wire: str) -> None:
    thought = ms.messages.ReasoningPart("hm", signature="sig")
    message = ms.Message("assistant", [thought, "Yes."], origin="elsewhere")
    with pytest.raises(ms.errors.Inexpressible, match=r"messages\[1\]\.parts\[0\]: only elsewhere.*portable"):
        body(wire, ["Hi", message])
    assert "sig" not in json.dumps(body(wire, ["Hi", message.portable()]))


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    "part",
    [
        ms.messages.ProviderPart({"type": "server_tool_use", "id": "s"}),
        ms.messages.ToolCallPart("a", "f", opaque={"caller": "them"}),
        ms.messages.TextPart("Yes.", opaque={"thoughtSignature": "sig"}),
        ms.messages.ReasoningPart(encrypted="ZGFyaw=="),
    ],
    ids=lambda part: type(part).__name__,
)
def test_so_is_whatever_else_carries_something_of_theirs(wire: str, part: Any) -> None:
    message = ms.Message("assistant", ["Yes.", part], origin="elsewhere")
    with pytest.raises(ms.errors.Inexpressible, match=r"messages\[1\]\.parts\[1\]: only elsewhere.*portable"):
        body(wire, ["Hi", message])


@pytest.mark.parametrize("wire", WIRES)
def test_a_call_of_a_custom_tool_has_its_wires(wire: str) -> None:
    talk = ["Hi", ms.Message("assistant", ms.messages.ToolCallPart("a", "calc", "1 + 1", custom=True))]
    if wire in NO_CUSTOM_TOOLS:
        with pytest.raises(ms.errors.Inexpressible, match=r"messages\[1\]\.parts\[0\]"):
            body(wire, talk)
    else:
        assert "1 + 1" in json.dumps(body(wire, talk))


@pytest.mark.parametrize("wire", WIRES)
def test_a_result_of_several_texts_is_all_of_them(wire: str) -> None:
    texts = [ms.TextPart("first half, "), ms.TextPart("second half")]
    result = ms.Message("tool", ms.messages.ToolResultPart("a", "f", texts))
    said = json.dumps(body(wire, [TALK[1], ms.Message("assistant", ms.messages.ToolCallPart("a", "f")), result]))
    assert said.index("first half, ") < said.index("second half")


@pytest.mark.parametrize("wire", WIRES)
def test_extra_adds_and_never_replaces(wire: str) -> None:
    request = ms.Request(messages="Hi", model="m", extra={"some_new_thing": {"a": 1}})
    assert ms.request_body(wire, request)["some_new_thing"] == {"a": 1}
    taken = next(key for key in ("messages", "contents", "input") if key in body(wire))
    with pytest.raises(ms.errors.InvalidMessage, match="would replace") as caught:
        body(wire, extra={taken: []})
    assert caught.value.field == f"extra.{taken}"


def test_extra_reaches_into_objects_and_wins_over_defaults() -> None:
    config = {"thinkingConfig": {"includeThoughts": True}}
    made = body("gemini", temperature=0.5, extra={"generationConfig": config})
    assert made["generationConfig"] == {"temperature": 0.5, **config}
    with pytest.raises(ms.errors.InvalidMessage, match=r"extra\.generationConfig\.temperature"):
        body("gemini", temperature=0.5, extra={"generationConfig": {"temperature": 1}})
    assert body("openai-chat", extra={"stream_options": {"include_usage": False}})["stream_options"] == {
        "include_usage": False
    }
    assert body("anthropic-messages", extra={"max_tokens": 5})["max_tokens"] == 5


def test_extra_does_not_reach_into_the_callers_objects() -> None:
    schema = {"type": "object"}
    more = {"response_format": {"json_schema": {"schema": {"title": "T"}}}}
    made = body("openai-chat", response_format=ms.ResponseFormat(schema), extra=more)
    assert made["response_format"]["json_schema"]["schema"] == {"type": "object", "title": "T"}
    assert schema == {"type": "object"}


@pytest.mark.parametrize("wire", WIRES)
def test_parts_without_a_place_are_refused(wire: str) -> None:
    strange = ms.Message("assistant", ms.ImagePart(url="https://x.test/a.png"))
    if wire in ("gemini", "gemini-json-array"):
        assert "https://x.test/a.png" in json.dumps(body(wire, ["Hi", strange]))
    else:
        with pytest.raises(ms.errors.Inexpressible, match=r"messages\[1\]\.parts\[0\]"):
            body(wire, ["Hi", strange])


def test_the_request_is_not_changed_by_writing_it() -> None:
    request = ms.Request(messages=TALK, model="m", tools=TOOLS, extra={"metadata": {"k": "v"}})
    before = ms.Request(messages=TALK, model="m", tools=TOOLS, extra={"metadata": {"k": "v"}})
    for wire in WIRES:
        assert ms.request_body(wire, request) == ms.request_body(wire, request)
    assert request == before


def test_aliases_and_unknown_names() -> None:
    request = ms.Request(messages="Hi", model="m")
    assert ms.request_body("anthropic", request) == ms.request_body("anthropic-messages", request)
    with pytest.raises(ms.errors.UnknownProtocol, match="known are: anthropic-messages"):
        ms.request_body("morse", request)
    assert request_names() == WIRES
