"""A real pydantic-ai agent -> events. Run by test_peers.py where pydantic-ai-slim is installed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.messages import (
    BinaryContent,
    CompactionPart,
    FilePart,
    ModelResponse,
    NativeToolCallPart,
    NativeToolReturnPart,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    SpeechPart,
    SpeechPartDelta,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_ai.models.function import DeltaThinkingPart, DeltaToolCall, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage

import millstream as ms
from millstream.compat.pydantic_ai import events

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def read(agent: Any, prompt: str = "hi") -> list[ms.Event]:
    async with agent.run_stream_events(prompt) as run, events(run) as stream:
        return [event async for event in stream]


def names(found: list[ms.Event]) -> list[str]:
    return [type(event).__name__ for event in found]


async def test_text() -> None:
    found = await read(Agent(TestModel(custom_output_text="Hello world")))
    assert "".join(e.text for e in found if isinstance(e, ms.TextDelta)) == "Hello world"
    assert names(found)[0] == "Start"
    assert names(found)[-2:] == ["Usage", "Finish"]
    assert found[-1].reason == "stop"
    assert found[-2].total_tokens == found[-2].input_tokens + found[-2].output_tokens > 0


async def test_tools_that_work_and_fail() -> None:
    async def answer(messages: Any, info: Any) -> Any:
        if len(messages) == 1:
            yield {0: DeltaThinkingPart(content="hm")}
            yield {1: DeltaToolCall("weather", '{"city": ', tool_call_id="c1")}
            yield {1: DeltaToolCall(json_args='"Rome"}')}
            yield {2: DeltaToolCall("broken", "{}", tool_call_id="c2")}
        else:
            yield "It is "
            yield "warm."

    agent = Agent(FunctionModel(stream_function=answer))

    @agent.tool_plain
    def weather(city: str) -> dict[str, int]:
        return {city: 20}

    @agent.tool_plain
    def broken() -> str:
        raise ModelRetry("not today")

    found = await read(agent)
    calls = [(e.id, e.name, e.arguments, e.validity) for e in found if isinstance(e, ms.ToolCall)]
    assert calls == [("c1", "weather", {"city": "Rome"}, "valid"), ("c2", "broken", {}, "valid")]
    results = {e.id: (e.name, e.result, e.error) for e in found if isinstance(e, ms.ToolResult)}
    assert results["c1"] == ("weather", {"Rome": 20}, None)
    assert results["c2"][:2] == ("broken", None)
    assert "not today" in results["c2"][2]
    assert "".join(e.text for e in found if isinstance(e, ms.TextDelta)) == "It is warm."
    assert [e.text for e in found if isinstance(e, ms.ReasoningDelta)] == ["hm"]
    assert names(found).index("ToolCall") < names(found).index("ToolResult") < names(found).index("TextDelta")
    assert names(found).count("Start") == names(found).count("Finish") == 1


async def test_signatures_and_what_is_unknown() -> None:
    class Unknown:
        event_kind = "something_new"

    async def run() -> Any:
        yield PartStartEvent(index=0, part=ThinkingPart("a"))
        yield PartDeltaEvent(index=0, delta=ThinkingPartDelta(signature_delta="sig"))
        yield Unknown()

    async with events(run()) as stream:
        found = [event async for event in stream]
    assert [e.signature for e in found if isinstance(e, ms.ReasoningDelta)] == [None, "sig"]
    assert names(found) == ["Start", "ReasoningDelta", "ReasoningDelta", "Data", "Finish"]
    assert found[3].name == "something_new"


async def given(*items: Any) -> Any:
    for item in items:
        yield item


async def test_tools_of_the_provider_and_files() -> None:
    begun = NativeToolCallPart("web_search", tool_call_id="n1")
    whole = NativeToolCallPart("web_search", '{"q": "x"}', tool_call_id="n1")
    run = given(
        PartStartEvent(index=0, part=begun),
        PartDeltaEvent(index=0, delta=ToolCallPartDelta(args_delta='{"q": "x"}')),
        PartEndEvent(index=0, part=whole),
        PartStartEvent(index=1, part=NativeToolReturnPart("web_search", {"found": 2}, tool_call_id="n1")),
        PartStartEvent(index=2, part=FilePart(BinaryContent(b"\x89PNG", media_type="image/png"))),
    )
    async with events(run) as stream:
        found = [event async for event in stream]
    assert names(found) == ["Start", "ProviderToolCall", "ProviderToolResult", "File", "Finish"]
    assert (found[1].id, found[1].name, found[1].input) == ("n1", "web_search", {"q": "x"})
    assert (found[2].id, found[2].name, found[2].result) == ("n1", "web_search", {"found": 2})
    assert (found[3].media_type, found[3].data, found[3].index) == ("image/png", b"\x89PNG", 2)


async def test_parts_and_deltas_without_a_counterpart_come_as_data() -> None:
    run = given(
        PartStartEvent(index=0, part=CompactionPart("what was said")),
        PartStartEvent(index=1, part=SpeechPart(speaker="assistant")),
        PartDeltaEvent(index=1, delta=SpeechPartDelta(transcript_delta="Hel")),
    )
    async with events(run) as stream:
        found = [event async for event in stream]
    assert [event.name for event in found if isinstance(event, ms.Data)] == ["compaction", "speech", "speech"]
    assert found[3].payload.transcript_delta == "Hel"


async def test_empty_pieces_are_no_events() -> None:
    run = given(
        PartStartEvent(index=0, part=ThinkingPart("")),
        PartStartEvent(index=1, part=TextPart("")),
        PartDeltaEvent(index=1, delta=TextPartDelta(content_delta="a")),
    )
    async with events(run) as stream:
        assert names([event async for event in stream]) == ["Start", "TextDelta", "Finish"]


async def test_a_call_that_never_became_json_is_told_before_the_next_answer() -> None:
    broken = ToolCallPart("f", '{"a', tool_call_id="1")
    run = given(
        PartStartEvent(index=0, part=broken),
        PartEndEvent(index=0, part=broken),
        PartStartEvent(index=0, part=TextPart("Again.")),
    )
    async with events(run) as stream:
        found = [event async for event in stream]
    assert names(found) == ["Start", "ToolCallDelta", "ToolCall", "TextDelta", "Finish"]
    assert (found[2].input, found[2].validity) == (b'{"a', ms.events.Validity.INVALID)


async def test_the_usage_of_older_versions_is_a_method() -> None:
    usage = RunUsage(input_tokens=3, output_tokens=4)
    result = SimpleNamespace(usage=lambda: usage, response=ModelResponse([TextPart("a")], finish_reason="length"))
    run = given(
        PartStartEvent(index=0, part=TextPart("a")), SimpleNamespace(event_kind="agent_run_result", result=result)
    )
    async with events(run) as stream:
        found = [event async for event in stream]
    assert names(found) == ["Start", "TextDelta", "Usage", "Finish"]
    assert (found[-2].input_tokens, found[-2].output_tokens, found[-2].total_tokens) == (3, 4, 7)
    assert found[-1].reason is ms.FinishReason.LENGTH


async def test_what_the_agent_raises_is_raised() -> None:
    async def answer(messages: Any, info: Any) -> Any:
        yield "a"
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        await read(Agent(FunctionModel(stream_function=answer)))
