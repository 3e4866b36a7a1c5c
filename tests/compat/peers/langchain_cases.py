"""LangChain's real models and messages -> events. Run by test_peers.py where langchain-core is installed."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk

import millstream as ms
from millstream.compat.langchain import LangChainDecoder, events, iter_events


class Model(GenericFakeChatModel):
    """A model that streams the chunks it was given."""

    chunks: list[Any]

    def _stream(self, *args: Any, **kwargs: Any) -> Any:
        for chunk in self.chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield ChatGenerationChunk(message=chunk)


def model(*chunks: Any) -> Model:
    return Model(messages=iter([]), chunks=list(chunks))


def call(index: int | None, id: str | None, name: str | None, args: str) -> Any:
    return AIMessageChunk("", tool_call_chunks=[{"index": index, "id": id, "name": name, "args": args}])


ANSWER = [
    AIMessageChunk("", response_metadata={"model_name": "m"}, additional_kwargs={"reasoning_content": "hm"}),
    AIMessageChunk([{"type": "thinking", "thinking": "so", "index": 0}]),
    AIMessageChunk([{"type": "thinking", "signature": "sig", "index": 0}]),
    AIMessageChunk("Hel"),
    AIMessageChunk([{"type": "text", "text": "lo", "index": 1}, {"type": "other", "x": 1}]),
    call(0, "c1", "weather", '{"city": '),
    call(0, None, None, '"Rome"}'),
    call(1, "c2", "now", ""),
    AIMessageChunk("", usage_metadata={"input_tokens": 3, "output_tokens": 0, "total_tokens": 3}),
    AIMessageChunk(
        "",
        response_metadata={"finish_reason": "tool_calls"},
        usage_metadata={
            "input_tokens": 0, "output_tokens": 5, "total_tokens": 5,
            "input_token_details": {"cache_read": 2}, "output_token_details": {"reasoning": 1},
        },
    ),
]  # fmt: skip


def check(found: list[ms.Event]) -> None:
    assert [type(e).__name__ for e in found] == [
        "Start", "ReasoningDelta", "ReasoningDelta", "ReasoningDelta", "TextDelta", "TextDelta", "Raw",
        "ToolCallDelta", "ToolCallDelta", "ToolCallDelta", "ToolCall", "ToolCall", "Usage", "Finish",
    ]  # fmt: skip
    assert found[0].model == "m"
    assert [e.text for e in found if isinstance(e, ms.ReasoningDelta)] == ["hm", "so", ""]
    assert found[3].signature == "sig"
    assert "".join(e.text for e in found if isinstance(e, ms.TextDelta)) == "Hello"
    calls = [(e.id, e.name, e.arguments, e.validity) for e in found if isinstance(e, ms.ToolCall)]
    assert calls == [("c1", "weather", {"city": "Rome"}, "valid"), ("c2", "now", {}, "valid")]
    usage = found[-2]
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (3, 5, 8)
    assert (usage.cache_read_tokens, usage.reasoning_tokens) == (2, 1)
    assert found[-1].reason == "tool_calls"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # LangChain's own


@pytest.mark.anyio
async def test_a_real_model_streams_events() -> None:
    async with events(model(*ANSWER).astream("hi")) as stream:
        check([event async for event in stream])


def test_and_synchronously() -> None:
    check(list(iter_events(model(*ANSWER).stream("hi"))))


def test_a_chain_that_ends_in_text() -> None:
    found = list(iter_events(iter(["a", "", "b"])))
    assert [type(e).__name__ for e in found] == ["Start", "TextDelta", "TextDelta", "Finish"]
    assert found[-1].reason == "stop"


def test_a_whole_message_and_unnumbered_calls() -> None:
    calls = [{"name": "f", "args": {"a": 1}, "id": "1"}, {"name": "f", "args": {"a": 2}, "id": "2"}]
    found = list(iter_events([AIMessage("hi", tool_calls=calls)]))
    assert [(e.id, e.arguments) for e in found if isinstance(e, ms.ToolCall)] == [("1", {"a": 1}), ("2", {"a": 2})]
    pieces = [call(None, "1", "f", "{"), call(None, None, None, "}"), call(None, "2", "f", "{}")]
    found = list(iter_events(pieces))
    assert [(e.id, e.input) for e in found if isinstance(e, ms.ToolCall)] == [("1", b"{}"), ("2", b"{}")]


def test_blocks_of_every_kind() -> None:
    content = [
        "Hel",
        {"type": "text", "text": "lo"},
        {"type": "thinking", "thinking": ""},
        {"type": "redacted_thinking", "data": "c2VjcmV0"},
        {"type": "tool_use", "id": "1", "name": "f", "input": {}, "index": 4},
        {"type": "citation", "url": "u"},
    ]
    pieces = [{"index": 4, "id": "1", "name": "f", "args": "{}"}]
    found = list(iter_events([AIMessageChunk(content, tool_call_chunks=pieces)]))
    assert [type(e).__name__ for e in found] == [
        *["Start", "TextDelta", "TextDelta", "ReasoningDelta", "Raw", "ToolCallDelta", "ToolCall", "Finish"]
    ]
    assert [(e.text, e.index) for e in found if isinstance(e, ms.TextDelta)] == [("Hel", 0), ("lo", 1)]
    assert (found[3].text, found[3].encrypted, found[3].index) == ("", "c2VjcmV0", 3)
    assert (found[4].event, found[4].json()) == ("citation", content[-1])


def test_a_graph_gives_several_messages_and_results() -> None:
    first = AIMessageChunk("", id="a", tool_call_chunks=[{"index": 0, "id": "1", "name": "f", "args": "{}"}])
    run = [
        (first, {"langgraph_node": "agent"}),
        (ToolMessage("12", tool_call_id="1", name="f"), {}),
        (ToolMessage("boom", tool_call_id="1", name="f", status="error"), {}),
        (HumanMessage("hi"), {}),
        (AIMessageChunk("done", id="b"), {}),
        (AIMessageChunk("", id="b", response_metadata={"stop_reason": "end_turn"}), {}),
    ]
    found = list(iter_events(run))
    results = [(e.result, e.error) for e in found if isinstance(e, ms.ToolResult)]
    assert results == [("12", None), (None, "boom")]
    assert [type(e).__name__ for e in found][-4:] == ["Raw", "ToolCall", "TextDelta", "Finish"]
    assert found[-1].raw_reason == "end_turn"


def test_what_the_model_raises_is_raised() -> None:
    seen = []
    with pytest.raises(RuntimeError, match="no more"):
        seen.extend(iter_events(model(AIMessageChunk("a"), RuntimeError("no more")).stream("hi")))


def test_what_is_no_message_is_an_error_event() -> None:
    found = []
    with pytest.raises(ms.errors.ProtocolError, match="does not fit langchain"):
        found.extend(iter_events([AIMessageChunk("a"), 3, AIMessageChunk("b")]))
    assert [type(e).__name__ for e in found] == ["Start", "TextDelta", "Error", "Finish"]


def test_the_decoder_can_be_used_alone() -> None:
    decoder = LangChainDecoder()
    assert [type(e).__name__ for e in decoder.feed(AIMessageChunk("a"))] == ["Start", "TextDelta"]
    decoder.reset()
    assert [type(e).__name__ for e in decoder.close()] == ["Start", "Finish"]
