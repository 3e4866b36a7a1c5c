"""In front of providers of other wires: recorded answers, asked for and told as OpenAI's."""

import logging
import math
from pathlib import Path

import openai
import orjson
import pytest

import millstream as ms
from millstream.server.gateway import Gateway, Keys
from millstream.server.replay import ReplayApp, load_recordings
from server.gateway.kit import ALICE, QUESTION, UPSTREAM_KEY, Model, body, client, gateway, messages_of, said
from server.serving import serving

pytestmark = pytest.mark.anyio

RECORDINGS = Path(__file__).parents[2] / "recordings"
CASES = [
    ("anthropic:claude", "", "messages-text"),
    ("anthropic:claude", "", "messages-thinking"),
    ("openai-responses:gpt", "/v1", "responses-text"),
    ("openai:gpt", "/v1", "chat-tool-call"),
    ("llamacpp:any", "/v1", "chat-reasoning"),
]


class Kept:
    """Keeps the bodies of requests on their way to an application."""

    def __init__(self, app):
        self.app = app
        self.bodies = []

    async def __call__(self, scope, receive, send):
        async def heard():
            message = await receive()
            if message.get("body"):
                self.bodies.append(orjson.loads(message["body"]))
            return message

        await self.app(scope, heard, send)


@pytest.mark.parametrize(("provider", "path", "recording"), CASES)
async def test_any_provider_answers_as_openai_does(provider, path, recording):
    """Text, reasoning and calls are those that the provider's own decoder finds, streamed and whole."""
    found = load_recordings() | load_recordings(RECORDINGS)
    one = found[recording]
    wire = {"anthropic": "anthropic-messages", "openai-responses": "openai-responses"}.get(provider.partition(":")[0])
    data = b"".join(piece for _, piece in one.chunks)
    events = list(ms.iter_events([data], wire or "openai-chat"))
    text = "".join(event.text for event in events if isinstance(event, ms.TextDelta))
    thoughts = "".join(event.text for event in events if isinstance(event, ms.ReasoningDelta))
    calls = [(call.name, call.arguments) for call in events if isinstance(call, ms.ToolCall)]
    assert text or calls or thoughts

    upstream = Kept(ReplayApp({recording: one}, speed=math.inf))
    async with serving(upstream) as url:
        model = ms.provider(provider, base_url=url + path, api_key=UPSTREAM_KEY)
        async with (
            serving(Gateway({"m": model}, keys=Keys([ALICE])), lifespan="on") as at,
            openai.AsyncOpenAI(base_url=at + "/v1", api_key=ALICE, max_retries=0) as ai,
        ):
            system = [{"role": "system", "content": "Be brief."}]
            whole = await ai.chat.completions.create(model="m", messages=system + QUESTION, max_tokens=50)
            stream = await ai.chat.completions.create(model="m", messages=QUESTION, stream=True)
            chunks = [chunk.choices[0] async for chunk in stream if chunk.choices]
    message, reason = whole.choices[0].message, whole.choices[0].finish_reason
    assert (message.content or "") == "".join(one.delta.content or "" for one in chunks) == text
    assert (getattr(message, "reasoning_content", None) or "") == thoughts
    assert "".join(getattr(one.delta, "reasoning_content", None) or "" for one in chunks) == thoughts
    assert [(one.function.name, orjson.loads(one.function.arguments)) for one in message.tool_calls or ()] == calls
    pieces = [call.function for one in chunks for call in one.delta.tool_calls or ()]
    assert "".join(piece.arguments for piece in pieces) == "".join(
        one.function.arguments for one in message.tool_calls or ()
    )
    assert chunks[-1].finish_reason == reason in ("stop", "length", "tool_calls")
    asked = orjson.dumps(upstream.bodies[0]).decode()
    assert "Be brief." in asked
    assert "50" in asked


async def test_a_setting_that_the_provider_has_not_is_400_before_it_is_asked():
    model = Model(*said("Hi"))
    async with gateway(model, provider="anthropic") as (url, _), client(url) as http:
        answers = [await http.post("/v1/chat/completions", json=body(**{name: 2})) for name in ("n", "seed", "top_k")]
    assert [answer.status_code for answer in answers] == [400, 400, 400]
    assert [answer.json()["error"]["param"] for answer in answers] == ["n", "seed", "top_k"]
    assert model.bodies == []


async def test_models_are_chosen_by_name_and_the_first_answers_chats_that_name_none():
    one, two = Model(*said("one")), Model(*said("two"))
    async with gateway(one, two, names=("a/b", "c")) as (url, _), client(url) as http:
        answers = [await http.post("/v1/chat/completions", json=body(model=name)) for name in ("c", "a/b")]
        said_here = await http.post(
            "/v1/chat", json={"messages": [{"role": "user", "parts": [{"type": "text", "text": "x"}]}]}
        )
        card = await http.get("/v1/models/a/b")
    assert [answer.json()["choices"][0]["message"]["content"] for answer in answers] == ["two", "one"]
    assert [answer.json()["model"] for answer in answers] == ["c", "a/b"]
    assert one.bodies[0]["model"] == "real"
    deltas = [value["delta"] for _, value in messages_of(said_here.content) if value and value["type"] == "text-delta"]
    assert deltas == ["one"]
    assert card.json()["id"] == "a/b"


async def test_no_key_is_in_any_log_or_answer(caplog):
    """Those of clients, that of the gateway: in what goes well, what is refused, and what fails."""
    caplog.set_level(logging.DEBUG)
    quoting = {"error": {"message": f"bad key {UPSTREAM_KEY}", "type": "auth"}}
    told = ""
    for model in (
        Model(*said("Hi")),
        Model(status=401, headers={"content-type": "application/json"}, body=quoting),
        Model(*said("Hi")[:2], b"data: {broken\n\n"),
    ):
        for options in ({}, {"expose_errors": True}):
            async with gateway(model, keys=[ALICE], **options) as (url, _):
                for key in (ALICE, "wrong-key-0123456789"):
                    async with client(url, key) as http:
                        for more in ({}, {"stream": True}):
                            answer = await http.post(
                                "/v1/chat/completions", json=body(**more), headers={"x-millstream-resume": "1"}
                            )
                            told += answer.text + repr(answer.headers.raw)
                        told += (await http.get("/metrics")).text
    for secret in (ALICE, UPSTREAM_KEY, "wrong-key-0123456789"):
        assert secret not in told
        assert secret not in caplog.text
