"""The official SDKs read what we write: any provider's events, served over a real loopback server."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import anthropic
import httpx2
import openai
import pytest

import millstream as ms
from conftest import shared_dir
from millstream.server import EventStreamResponse
from protocols.captures import corpus
from protocols.decoding import decode, text_of
from protocols.encoders.expressible import encode
from server.serving import serving

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

NATIVE = "millstream.events.v1"
USAGE = ms.Usage(10, 5, 15, 4, None, 2)
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
ASK = {"model": "m", "messages": [{"role": "user", "content": "?"}]}


def served(api: str, body: bytes, protocol: str):
    """An ASGI application that answers each request with this body of another provider."""

    async def chunks():
        for at in range(0, len(body), 100):
            yield body[at : at + 100]

    async def app(scope, receive, send):
        await EventStreamResponse(ms.stream(chunks(), protocol=api), protocol)(scope, receive, send)

    return app


@asynccontextmanager
async def openai_client(api, body):
    async with serving(served(api, body, "openai-chat")) as url, httpx2.AsyncClient(trust_env=False) as http:
        yield openai.AsyncOpenAI(api_key="k", base_url=url, http_client=http, max_retries=0)


@asynccontextmanager
async def anthropic_client(api, body):
    async with serving(served(api, body, "anthropic-messages")) as url, httpx2.AsyncClient(trust_env=False) as http:
        yield anthropic.AsyncAnthropic(api_key="k", base_url=url, http_client=http, max_retries=0)


def by_hand(*events: ms.Event) -> tuple[str, bytes]:
    return NATIVE, encode(NATIVE, [ms.Start("served", "id1"), *events])


def tool_events() -> list[ms.Event]:
    """Two calls, their fragments interleaved, and one that comes whole and has no arguments."""
    return [
        ms.ToolCallDelta("a", "f", "", 0),
        ms.ToolCallDelta("b", "g", '{"y"', 1),
        ms.ToolCallDelta("a", "f", '{"x": ', 0),
        ms.ToolCallDelta("b", "g", ": 2}", 1),
        ms.ToolCallDelta("a", "f", '"é"}', 0),
        ms.ToolCall("a", "f", '{"x": "é"}'.encode(), {"x": "é"}, index=0),
        ms.ToolCall("b", "g", b'{"y": 2}', {"y": 2}, index=1),
        ms.ToolCall("c", "h", b"", {}, index=2),
        USAGE,
        ms.Finish(ms.FinishReason.TOOL_CALLS, "", USAGE),
    ]


ANSWER = [
    ms.ReasoningDelta("Let me "),
    ms.ReasoningDelta("think"),
    ms.ReasoningDelta(signature="sig=="),
    ms.TextDelta("Hé"),
    ms.TextDelta("llo\n"),
    ms.Citations((ms.Citation("https://a.example", "A", start=0, end=2),)),
    USAGE,
    ms.Finish(ms.FinishReason.STOP, "COMPLETE", USAGE),
]


async def test_openai_reads_an_answer() -> None:
    async with openai_client(*by_hand(*ANSWER)) as client:
        chunks = [chunk async for chunk in await client.chat.completions.create(**ASK, stream=True)]
        async with client.chat.completions.stream(**ASK) as stream:
            texts = [event.delta async for event in stream if event.type == "content.delta"]
            final = await stream.get_final_completion()
    assert {(chunk.id, chunk.model) for chunk in chunks} == {("id1", "served")}
    assert [chunk.choices for chunk in chunks].count([]) == 1
    assert texts == ["", "Hé", "llo\n"]
    (choice,) = final.choices
    assert (choice.message.content, choice.finish_reason, choice.message.role) == ("Héllo\n", "stop", "assistant")
    assert choice.message.reasoning_content == "Let me think"
    assert choice.message.annotations[0].url_citation.url == "https://a.example"
    assert (final.usage.prompt_tokens, final.usage.completion_tokens, final.usage.total_tokens) == (10, 5, 15)
    assert final.usage.prompt_tokens_details.cached_tokens == 4
    assert final.usage.completion_tokens_details.reasoning_tokens == 2


async def test_anthropic_reads_an_answer() -> None:
    async with (
        anthropic_client(*by_hand(*ANSWER)) as client,
        client.messages.stream(**ASK, max_tokens=9) as stream,
    ):
        kinds = [event.type async for event in stream]
        final = await stream.get_final_message()
    assert kinds.count("text") == 2
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 2
    thinking, text = final.content
    assert (thinking.type, thinking.thinking, thinking.signature) == ("thinking", "Let me think", "sig==")
    assert (text.type, text.text, text.citations[0].url) == ("text", "Héllo\n", "https://a.example")
    assert (final.id, final.model, final.stop_reason, final.role) == ("id1", "served", "end_turn", "assistant")
    assert (final.usage.input_tokens, final.usage.cache_read_input_tokens, final.usage.output_tokens) == (6, 4, 5)


async def test_openai_reads_tool_calls() -> None:
    async with (
        openai_client(*by_hand(*tool_events())) as client,
        client.chat.completions.stream(**ASK, tools=[TOOL]) as stream,
    ):
        async for _ in stream:
            pass
        final = await stream.get_final_completion()
    (choice,) = final.choices
    assert choice.finish_reason == "tool_calls"
    assert [(call.id, call.type, call.function.name, json.loads(call.function.arguments))
            for call in choice.message.tool_calls] == [
        ("a", "function", "f", {"x": "é"}), ("b", "function", "g", {"y": 2}), ("c", "function", "h", {}),
    ]  # fmt: skip


async def test_anthropic_reads_tool_calls() -> None:
    async with (
        anthropic_client(*by_hand(*tool_events())) as client,
        client.messages.stream(**ASK, max_tokens=9) as stream,
    ):
        final = await stream.get_final_message()
    assert final.stop_reason == "tool_use"
    assert [(block.type, block.id, block.name, block.input) for block in final.content] == [
        ("tool_use", "a", "f", {"x": "é"}), ("tool_use", "b", "g", {"y": 2}), ("tool_use", "c", "h", {}),
    ]  # fmt: skip


async def test_openai_reads_several_answers() -> None:
    events = [
        ms.TextDelta("a", choice=0), ms.TextDelta("b", choice=1), ms.TextDelta("A", choice=0),
        ms.Safety("refusal", "refuse", note="No.", choice=2),
        ms.Finish(ms.FinishReason.STOP, "stop", None, 1, {0: "stop", 1: "MAX_TOKENS", 2: "stop"}),
    ]  # fmt: skip
    async with openai_client(*by_hand(*events)) as client:
        texts, reasons = {}, {}
        async for chunk in await client.chat.completions.create(**ASK, n=3, stream=True):
            for choice in chunk.choices:
                texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or choice.delta.refusal or "")
                reasons[choice.index] = choice.finish_reason
    assert texts == {0: "aA", 1: "b", 2: "No."}
    assert reasons == {0: "stop", 1: "length", 2: "stop"}


FAULT = ms.Error(ms.RateLimited("slow down", code="rate_limit_exceeded"))


async def test_openai_raises_our_error_after_what_came_before() -> None:
    async with openai_client(*by_hand(ms.TextDelta("half"), FAULT, ms.Finish(ms.FinishReason.ERROR))) as client:
        seen = []
        with pytest.raises(openai.APIError, match="slow down") as caught:
            await read_texts(client, seen)
    assert seen == ["", "half"]
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "rate_limit_error")


async def read_texts(client, into: list) -> None:
    async for chunk in await client.chat.completions.create(**ASK, stream=True):
        into.append(chunk.choices[0].delta.content)


async def test_anthropic_raises_our_error_after_what_came_before() -> None:
    async with (
        anthropic_client(*by_hand(ms.TextDelta("half"), FAULT, ms.Finish(ms.FinishReason.ERROR))) as client,
        client.messages.stream(**ASK, max_tokens=9) as stream,
    ):
        with pytest.raises(anthropic.APIStatusError, match="slow down") as caught:
            await stream.until_done()
        assert stream.current_message_snapshot.content[0].text == "half"
    assert caught.value.body["error"]["type"] == "rate_limit_error"


def other_providers() -> list:
    """Captures of other wires with tool calls or reasoning, at least one of each wire that has them."""
    found = {}
    for entry in json.loads((corpus() / "INDEX.json").read_bytes()):
        truth = json.loads((corpus() / f"{entry['file']}.truth.json").read_bytes())
        if entry["api"] != "mcp-sse" and not truth["error"] and truth["finish_reason"]:
            for feature in ("tool_calls", "reasoning"):
                if truth.get(feature):
                    found.setdefault((entry["api"], feature), entry["file"])
    return [pytest.param(api, corpus() / file, id=f"{api}-{feature}") for (api, feature), file in found.items()]


@pytest.mark.parametrize(("api", "path"), other_providers())
async def test_openai_reads_every_provider(api, path) -> None:
    body = path.read_bytes()
    events = decode(api, body)
    async with openai_client(api, body) as client, client.chat.completions.stream(**ASK, tools=[TOOL]) as stream:
        async for _ in stream:
            pass
        message = stream.current_completion_snapshot.choices[0].message
        usage = stream.current_completion_snapshot.usage
    assert (message.content or "") == text_of(events)
    assert (getattr(message, "reasoning_content", None) or "") == reasoning_of(events)
    assert [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()] == calls_in(
        events
    )
    assert all(call.id for call in message.tool_calls or ())
    assert (usage is None) == (events[-1].usage is None)


@pytest.mark.parametrize(("api", "path"), other_providers())
async def test_anthropic_reads_every_provider(api, path) -> None:
    body = path.read_bytes()
    events = decode(api, body)
    async with anthropic_client(api, body) as client, client.messages.stream(**ASK, max_tokens=9) as stream:
        async for _ in stream:
            pass
        blocks = (await stream.get_final_message()).content
    assert "".join(block.text for block in blocks if block.type == "text") == text_of(events)
    assert "".join(block.thinking for block in blocks if block.type == "thinking") == reasoning_of(events)
    assert [(block.name, block.input) for block in blocks if block.type == "tool_use"] == calls_in(events)
    assert all(block.id for block in blocks if block.type == "tool_use")


def reasoning_of(events) -> str:
    return "".join(e.text for e in events if isinstance(e, ms.ReasoningDelta) and not e.choice)


def calls_in(events) -> list:
    return [(call.name, call.arguments) for call in sorted(
        (e for e in events if isinstance(e, ms.ToolCall) and not e.choice), key=lambda call: call.index
    )]  # fmt: skip


async def test_an_answer_that_met_the_token_limit_is_told_as_such() -> None:
    body = (shared_dir() / "recordings" / "messages-thinking.sse").read_bytes()
    events = decode("anthropic-messages", body)
    async with openai_client("anthropic-messages", body) as client, client.chat.completions.stream(**ASK) as stream:
        with pytest.raises(openai.LengthFinishReasonError) as caught:
            await stream.get_final_completion()
    (choice,) = caught.value.completion.choices
    assert choice.message.content == text_of(events)
    assert choice.message.reasoning_content == reasoning_of(events)
