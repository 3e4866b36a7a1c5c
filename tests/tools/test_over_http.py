"""Recorded conversations of real providers over real HTTP: their calls are run, and what goes back is right there."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import orjson
import pytest

import millstream as ms
from millstream.server.replay import Recording, ReplayApp
from server.serving import serving
from tools.scripts import of, roles, run

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]  # uvicorn knows no trio

# Protocol, a recording with two calls, one with words, tokens of both.
CASES = [
    (
        "openai-chat",
        "openai/call-with-tools-openai-gpt-4o-completions-async-stream-1f57ae.sse",
        "moonshotai/moonshotai-stream-ffdc4b.sse",
        128 + 21,
    ),
    (
        "anthropic-messages",
        "anthropic/call-with-tools-anthropic-claude-sonnet-4-0-async-stream-476ed2.sse",
        "anthropic/anthropic-clear-thinking-1-ef4d60.sse",
        529 + 122,
    ),
    (
        "openai-responses",
        "openai/call-with-tools-openai-gpt-4o-responses-async-stream-0b083c.sse",
        "azure/azure-text-1-143c1b.sse",
        90 + 22,
    ),
    ("gemini", "google-ai/tools-parallel-fde1d2.sse", "google-ai/google-genai-v2-0a7eb6.sse", 247 + 227),
    (
        "cohere-v2",
        "cohere/cohere-v2-chat-legacy-with-tool-calls-and-streaming-8269a7.sse",
        "cohere/cohere-v7-047719.sse",
        1051 + 504,
    ),
]


class Provider:
    """Plays recordings one after another, whatever is asked, and keeps what was asked."""

    def __init__(self, corpus: Path, *files: str) -> None:
        self._bodies = [(corpus / file).read_bytes() for file in files]
        self.asked: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        data = b""
        while (message := await receive())["type"] == "http.request":
            data += message["body"]
            if not message.get("more_body"):
                break
        self.asked.append(orjson.loads(data))
        body = self._bodies.pop(0)
        chunks = tuple((0.0, body[at : at + 512]) for at in range(0, len(body), 512))
        info = {"endpoint": scope["path"], "content_type": "text/event-stream"}
        app = ReplayApp({"next": Recording("next", info, 0.0, chunks)}, speed=float("inf"))
        whole = iter([{"type": "http.request", "body": data, "more_body": False}])  # it reads the request, too

        async def receive_again() -> Any:
            return next(whole, None) or await receive()

        await app(scope, receive_again, send)


@asynccontextmanager
async def model(provider: Provider, protocol: str, tools: Any) -> Any:
    """`open_step` for it, as a program without the provider classes would write it."""
    async with serving(provider) as url, httpx2.AsyncClient() as client:

        def open_step(messages: list[ms.Message]) -> ms.Stream[ms.Event]:
            request = ms.Request(model="m", max_tokens=99, messages=messages, tools=ms.tools.tool_specs(tools))
            body = ms.request_body(protocol, request)
            return ms.stream(client.stream("POST", url + "/any", json=body), protocol)

        yield open_step


class Tools:
    """The tools of the recordings. The first call of each waits for the second: results come in the other order."""

    def __init__(self) -> None:
        self._second = anyio.Event()
        self._n = 0

    async def _answer(self, what: str) -> dict[str, str]:
        self._n += 1
        if self._n == 1:
            await self._second.wait()
            return {"answer": f"first {what}"}
        self._second.set()
        return {"answer": f"second {what}"}

    async def secret_retrieval_tool(self, password: str) -> dict[str, str]:
        """Tell a secret."""
        return await self._answer(password)

    async def favorite_color(self, _person: str) -> dict[str, str]:
        """Tell a colour."""
        return await self._answer(_person)

    async def get_time(self, location: str) -> dict[str, str]:
        """Tell the time."""
        return await self._answer(location)

    async def get_weather(self, location: str) -> dict[str, str]:
        """Tell the weather."""
        return await self._answer(location)

    def all(self) -> list[Any]:
        return [self.secret_retrieval_tool, self.favorite_color, self.get_time, self.get_weather]


@pytest.mark.parametrize(("protocol", "calls", "words", "tokens"), CASES, ids=[case[0] for case in CASES])
async def test_r0060_r0106_a_recorded_conversation(
    shared: Path, protocol: str, calls: str, words: str, tokens: int
) -> None:
    provider, tools = Provider(shared / "corpus", calls, words), Tools().all()
    async with model(provider, protocol, tools) as open_step:
        events, stream = await run(open_step, "Go.", tools, protocol=protocol)
    made, results = of(events, ms.ToolCall), of(events, ms.ToolResult)
    assert [result.id for result in results] == [made[1].id, made[0].id], "as they are done"
    assert [result.result["answer"].split()[0] for result in results] == ["second", "first"]
    assert events[-1].usage.total_tokens == tokens
    assert (events[-1].steps, events[-1].reason) == (2, "stop")
    first, second = (orjson.dumps(body).decode() for body in provider.asked)
    for tool in tools:
        assert tool.__name__ in first
        assert tool.__doc__ in first
    assert -1 < second.find("first ") < second.find("second "), "the model reads them in the order of its calls"
    if protocol != "gemini":
        assert all(second.count(call.id) == 2 for call in made)
    assert roles(stream.messages) == ["user", "assistant", "tool", "assistant"]


async def test_a_run_handed_over_to_another_provider(shared: Path) -> None:
    """Anthropic asks for tools; OpenAI goes on with the same conversation, in its own words."""
    first, second = (Provider(shared / "corpus", *CASES[1][1:2]), Provider(shared / "corpus", *CASES[0][2:3]))
    tools = Tools().all()
    async with (
        model(first, "anthropic-messages", tools) as anthropic,
        model(second, "openai-chat", tools) as openai,
    ):

        async def transfer(password: str) -> ms.Handoff:
            """Pass it on."""
            return ms.Handoff("openai")

        made = ms.tool(name="secret_retrieval_tool")(transfer)
        events, stream = await run(anthropic, "Go.", [made], protocol="anthropic-messages", handoffs={"openai": openai})
    assert of(events, ms.ToolResult)[1].error == "the run was handed over to 'openai' already"
    assert [message["role"] for message in second.asked[0]["messages"]] == ["user", "assistant", "tool", "tool"]
    assert roles(stream.messages) == ["user", "assistant", "tool", "assistant"]
    assert events[-1].reason == "stop"


async def test_leaving_a_run_opens_no_more(shared: Path) -> None:
    protocol, calls, words, _ = CASES[0]
    provider, tools = Provider(shared / "corpus", calls, words), Tools().all()
    async with model(provider, protocol, tools) as open_step:
        async with ms.tools.run_steps(open_step, "Go.", tools) as events:
            async for event in events:
                if isinstance(event, ms.ToolCall):
                    break
        assert len(provider.asked) == 1


async def test_a_provider_that_refuses_the_second_step(shared: Path) -> None:
    class Refusing(Provider):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if not self.asked:
                await super().__call__(scope, receive, send)
                return
            headers = [(b"content-type", b"application/json"), (b"retry-after", b"7")]
            await send({"type": "http.response.start", "status": 429, "headers": headers})
            await send({"type": "http.response.body", "body": b'{"error":{"message":"slow down"}}'})

    protocol, calls, words, _ = CASES[0]
    provider, tools = Refusing(shared / "corpus", calls, words), Tools().all()
    async with model(provider, protocol, tools) as open_step:
        stream = ms.tools.run_steps(open_step, "Go.", tools)
        with pytest.raises(ms.RateLimited) as caught:
            await stream.collect()
    assert (caught.value.step, caught.value.retry_after) == (2, 7.0)
    assert [type(event) for event in caught.value.partial[-3:]] == [ms.Error, ms.StepFinish, ms.Finish]
    assert roles(stream.messages) == ["user", "assistant", "tool"], "enough to try again"
