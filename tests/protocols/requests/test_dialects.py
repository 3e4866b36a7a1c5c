"""What one wire says in its own way, case by case: the whole body, as its reference has it."""

from __future__ import annotations

import pytest

import millstream as ms

PNG = b"\x89PNG\r\n\x1a\n"
TURN = [
    "Hi",
    ms.Message("assistant", [ms.messages.ReasoningPart("hm"), ms.messages.ToolCallPart("a", "f", {"x": 1})]),
    ms.Message("tool", ms.messages.ToolResultPart("a", "f", "broke", is_error=True)),
]


def body(wire: str, messages: object = "Hi", *, stream: bool = True, **settings) -> dict:
    return ms.request_body(wire, ms.Request(messages=messages, model="m", **settings), stream=stream)


def refused(wire: str, messages: object = "Hi", **settings) -> str:
    with pytest.raises(ms.errors.Inexpressible) as caught:
        body(wire, messages, **settings)
    assert caught.value.protocol == wire
    assert caught.value.field in str(caught.value)
    return caught.value.field


def test_openai_chat() -> None:
    assert body("openai-chat", TURN, max_tokens=9, stop="END", seed=1, tools=[ms.ToolSpec("f", "d", strict=True)]) == {
        "model": "m",
        "messages": [
            {"role": "user", "content": "Hi"},
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "hm",
                "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}],
            },
            {"role": "tool", "tool_call_id": "a", "content": "Error: broke"},
        ],
        "max_completion_tokens": 9,
        "stop": ["END"],
        "seed": 1,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "description": "d",
                    "parameters": {"type": "object", "properties": {}},
                    "strict": True,
                },
            }
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_without_a_stream_nothing_of_a_stream_is_said() -> None:
    assert body("openai-chat", stream=False) == {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    for wire in ("anthropic-messages", "openai-responses", "mistral"):
        assert "stream" not in body(wire, stream=False)
    assert body("ollama-chat", stream=False)["stream"] is body("cohere-v2", stream=False)["stream"] is False


@pytest.mark.parametrize(
    ("wire", "key"), [("openai-compatible", "max_tokens"), ("mistral", "max_tokens"), ("groq", "max_completion_tokens")]
)
def test_max_tokens_by_dialect(wire: str, key: str) -> None:
    assert body(wire, max_tokens=9)[key] == 9


def test_mistral() -> None:
    made = body("mistral", TURN, seed=3)
    assert made["random_seed"] == 3
    assert "stream_options" not in made
    thinking = [{"type": "text", "text": "hm"}]
    assert made["messages"][1]["content"] == [{"type": "thinking", "thinking": thinking}]


def test_groq_and_openrouter_name_reasoning_otherwise() -> None:
    for wire in ("groq", "openrouter"):
        assert body(wire, TURN)["messages"][1]["reasoning"] == "hm"


def test_deepseek_wants_reasoning_back_in_tool_turns_only() -> None:
    quiet = ms.Message("assistant", [ms.messages.ReasoningPart("r1"), "One."])
    end = ms.Message("assistant", [ms.messages.ReasoningPart("r3"), "Three."])
    made = body("deepseek", ["Hi", quiet, "And?", *TURN[1:], end, "Thanks."])["messages"]
    assert [one.get("reasoning_content") for one in made if one["role"] == "assistant"] == [None, "hm", "r3"]
    twice = body("deepseek", ["Hi", quiet, *TURN, "And?", quiet])["messages"]  # the same object in two turns
    assert [one.get("reasoning_content") for one in twice if one["role"] == "assistant"] == [None, "hm", None]


def test_chat_parts() -> None:
    said = ms.Message(
        "user",
        [
            "See",
            ms.ImagePart(PNG, detail="low"),
            ms.FilePart(b"RIFF", media_type="audio/wav"),
            ms.FilePart(file_id="f1"),
            ms.FilePart(b"%PDF-1"),
        ],
    )
    assert body("openai-chat", said)["messages"][0]["content"] == [
        {"type": "text", "text": "See"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "file", "file": {"file_id": "f1"}},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERi0x"}},
    ]
    assert refused("openai-chat", ms.Message("user", ms.FilePart(url="https://x.test/a"))) == "messages[0].parts[0]"
    assert refused("openai-chat", ms.Message("user", ms.ImagePart(file_id="f"))) == "messages[0].parts[0]"
    assert refused("openai-chat", ["Hi", ms.Message("assistant", ms.ImagePart(PNG))]) == "messages[1].parts[0]"
    by_url = body("openrouter", ms.Message("user", ms.FilePart(url="https://x.test/a")))["messages"][0]["content"]
    assert by_url[0]["file"]["file_data"] == "https://x.test/a"


def test_chat_refusals_and_empty_answers() -> None:
    made = body("openai-chat", ["Hi", ms.Message("assistant", ms.messages.RefusalPart("No.")), ms.Message("assistant")])
    assert made["messages"][1:] == [
        {"role": "assistant", "content": None, "refusal": "No."},
        {"role": "assistant", "content": ""},
    ]


def test_chat_custom_tools() -> None:
    made = body(
        "openai-chat", ["Hi", ms.Message("assistant", ms.messages.ToolCallPart("a", "sql", "SELECT", custom=True))]
    )
    assert made["messages"][1]["tool_calls"] == [
        {"id": "a", "type": "custom", "custom": {"name": "sql", "input": "SELECT"}}
    ]
    with pytest.raises(ms.errors.Inexpressible):
        body(
            "anthropic-messages", ["Hi", ms.Message("assistant", ms.messages.ToolCallPart("a", "f", "x", custom=True))]
        )


def test_signed_reasoning_has_no_place_in_chat() -> None:
    signed = ms.Message("assistant", [ms.messages.ReasoningPart("hm", signature="s")])
    assert "portable" in _message_of("openai-chat", ["Hi", signed])


def _message_of(wire: str, messages: object) -> str:
    with pytest.raises(ms.errors.Inexpressible) as caught:
        body(wire, messages)
    return str(caught.value)


def test_responses() -> None:
    custom = ms.Message("assistant", ms.messages.ToolCallPart("c", "sql", "SELECT", custom=True))
    results = [ms.messages.ToolResultPart("c", "sql", ["1", ms.ImagePart(PNG)], is_error=True)]
    made = body(
        "openai-responses",
        [ms.Message("system", "Brief."), "Hi", custom, ms.Message("tool", results)],
        response_format=ms.ResponseFormat({"type": "object"}, "answer"),
        tools=[ms.ToolSpec("f")],
        tool_choice="f",
    )
    assert made == {
        "model": "m",
        "input": [
            {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Brief."}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "SELECT"},
            {
                "type": "custom_tool_call_output",
                "call_id": "c",
                "output": [
                    {"type": "input_text", "text": "Error:"},
                    {"type": "input_text", "text": "1"},
                    {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,iVBORw0KGgo="},
                ],
            },
        ],
        "tools": [
            {
                "type": "function",
                "name": "f",
                "parameters": {"type": "object", "properties": {}},
                "strict": False,
            }
        ],
        "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "json_schema", "name": "answer", "schema": {"type": "object"}, "strict": True}},
        "stream": True,
    }
    assert refused("openai-responses", stop="x") == "stop"
    plain = ms.Message("assistant", [ms.messages.ReasoningPart("hm")])
    assert refused("openai-responses", ["Hi", plain]) == "messages[1].parts[0]"


def test_responses_files() -> None:
    files = [
        ms.FilePart(b"%PDF-1"),
        ms.FilePart(url="https://x.test/a.pdf"),
        ms.FilePart(file_id="f"),
        ms.ImagePart(file_id="i"),
    ]
    made = body("openai-responses", ms.Message("user", files))["input"][0]["content"]
    assert made == [
        {"type": "input_file", "filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERi0x"},
        {"type": "input_file", "file_url": "https://x.test/a.pdf"},
        {"type": "input_file", "file_id": "f"},
        {"type": "input_image", "detail": "auto", "file_id": "i"},
    ]


def test_anthropic_merges_runs_and_puts_results_first() -> None:
    made = body("anthropic-messages", [*TURN[:1], ms.Message("assistant", TURN[1].parts[1]), TURN[2], "Try again."])
    assert made == {
        "model": "m",
        "max_tokens": 8192,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "a", "content": "broke", "is_error": True},
                    {"type": "text", "text": "Try again."},
                ],
            },
        ],
        "stream": True,
    }
    assert refused("anthropic-messages", TURN) == "messages[1].parts[0]"  # no signature


def test_anthropic_documents() -> None:
    files = [
        ms.FilePart(b"%PDF-1", name="a.pdf"),
        ms.FilePart(b"words", media_type="text/markdown"),
        ms.FilePart(file_id="f"),
        ms.FilePart(PNG),
    ]
    sources = [
        block["source"] for block in body("anthropic-messages", ms.Message("user", files))["messages"][0]["content"]
    ]
    assert sources == [
        {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"},
        {"type": "text", "media_type": "text/plain", "data": "words"},
        {"type": "file", "file_id": "f"},
        {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
    ]
    for unknown in (ms.FilePart(b"x"), ms.FilePart(b"\xff", media_type="text/plain")):
        assert refused("anthropic-messages", ms.Message("user", unknown)) == "messages[0].parts[0]"


def test_empty_texts_are_left_out_where_they_are_refused() -> None:
    talk = [ms.Message("user", ["", "Hi"]), ms.Message("assistant", ""), ms.Message("user", "You?")]
    said = [{"type": "text", "text": "Hi"}, {"type": "text", "text": "You?"}]
    assert body("anthropic-messages", talk)["messages"] == [{"role": "user", "content": said}]
    said = [{"text": "Hi"}, {"text": "You?"}]
    assert body("bedrock-converse", talk)["messages"] == [{"role": "user", "content": said}]


def test_strict_tools() -> None:
    tools = [ms.ToolSpec("f", strict=True)]
    assert body("anthropic-messages", tools=tools)["tools"][0]["strict"] is True
    assert body("bedrock-converse", tools=tools)["toolConfig"]["tools"][0]["toolSpec"]["strict"] is True
    assert body("openai-responses", tools=tools)["tools"][0]["strict"] is True
    assert refused("ollama-chat", tools=tools) == "tools['f'].strict"


def test_gemini_results_are_objects() -> None:
    results = [
        ms.messages.ToolResultPart("a", "f", {"x": 1}),
        ms.messages.ToolResultPart("", "f", "[1]"),
        ms.messages.ToolResultPart("c", "f", "words"),
        ms.messages.ToolResultPart("d", "f", "broke", is_error=True),
        ms.messages.ToolResultPart("e", "f", ["seen", ms.ImagePart(PNG)]),
    ]
    calls = ms.Message("assistant", [ms.messages.ToolCallPart("", "f")])
    made = body("gemini", ["Hi", calls, ms.Message("tool", results)])["contents"][2]
    assert made["role"] == "user"
    responses = [part["functionResponse"] for part in made["parts"]]
    assert [one["response"] for one in responses] == [
        {"x": 1},
        {"result": [1]},
        {"result": "words"},
        {"error": "broke"},
        {"result": "seen"},
    ]
    assert [one.get("id") for one in responses] == ["a", None, "c", "d", "e"]
    assert responses[4]["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]
    assert refused("gemini", tools=[ms.ToolSpec("f", strict=True)]) == "tools['f'].strict"


def test_ollama() -> None:
    made = body("ollama-chat", TURN, max_tokens=5, seed=1, response_format=ms.ResponseFormat({"type": "object"}))
    assert made == {
        "model": "m",
        "messages": [
            {"role": "user", "content": "Hi"},
            {
                "role": "assistant",
                "content": "",
                "thinking": "hm",
                "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}],
            },
            {"role": "tool", "tool_name": "f", "content": "Error: broke"},
        ],
        "options": {"num_predict": 5, "seed": 1},
        "format": {"type": "object"},
        "stream": True,
    }


def test_cohere_strict_counts_for_all_tools() -> None:
    strict, loose = ms.ToolSpec("f", strict=True), ms.ToolSpec("g")
    made = body("cohere-v2", tools=[strict])
    assert made["strict_tools"] is True
    assert "strict" not in made["tools"][0]["function"]
    assert refused("cohere-v2", tools=[strict, loose]) == "tools"


def test_bedrock() -> None:
    files = [
        ms.FilePart(b"%PDF-1", name="a_b.pdf"),
        ms.FilePart(url="s3://b/k.mp3", media_type="audio/mpeg"),
        ms.ImagePart(PNG),
    ]
    hidden = ms.Message(
        "assistant",
        [ms.messages.ReasoningPart("hm", "sig"), ms.messages.ReasoningPart(encrypted="ZGFyaw=="), "So.", ""],
    )
    made = body("bedrock-converse", [ms.Message("user", files), hidden, *TURN[2:]], max_tokens=5)
    assert made["inferenceConfig"] == {"maxTokens": 5}
    assert made["messages"] == [
        {
            "role": "user",
            "content": [
                {"document": {"format": "pdf", "name": "a-b-pdf", "source": {"bytes": "JVBERi0x"}}},
                {"audio": {"format": "mp3", "source": {"s3Location": {"uri": "s3://b/k.mp3"}}}},
                {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
                {"reasoningContent": {"redactedContent": "ZGFyaw=="}},
                {"text": "So."},
            ],
        },
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "a", "content": [{"text": "broke"}], "status": "error"}}],
        },
    ]
    assert (
        refused("bedrock-converse", ms.Message("user", ms.FilePart(b"x", media_type="x/y"))) == "messages[0].parts[0]"
    )
