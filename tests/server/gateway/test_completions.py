"""`POST /v1/chat/completions`, asked by the official SDKs and by hand: streams, whole answers, tools, refusals."""

import anyio
import anyio.to_thread
import openai
import orjson
import pytest

import millstream as ms
from protocols.encoders.npm_clients import node, require_node
from server.gateway.kit import (
    CALL,
    QUESTION,
    UPSTREAM_KEY,
    Model,
    body,
    chunk,
    client,
    gateway,
    messages_of,
    said,
    settled,
    text_of,
)
from server.serving import hypercorn_serving, serving

pytestmark = pytest.mark.anyio

ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def sdk(url, kind=openai.AsyncOpenAI):
    return kind(base_url=url + "/v1", api_key="none", max_retries=0)


async def test_the_sdk_streams():
    async with gateway(Model(*said("Hel", "lo"))) as (url, _), sdk(url) as ai:
        stream = await ai.chat.completions.create(
            model="m", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
        chunks = [one async for one in stream]
    assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == "Hello"
    assert chunks[-1].usage.total_tokens == 5
    assert {one.model for one in chunks} == {"m"}  # the gateway's name, not "real"
    assert chunks[0].id.startswith("chatcmpl-")
    assert chunks[0].created > 1_700_000_000


async def test_usage_comes_only_if_it_was_asked_for():
    async with gateway(Model(*said("Hi"))) as (url, _), client(url) as http:
        data = (await http.post("/v1/chat/completions", json=body(stream=True))).content
    assert data.endswith(b"data: [DONE]\n\n")
    assert b"usage" not in data


async def test_the_sdk_gets_a_whole_answer():
    async with gateway(Model(*said("Hel", "lo"))) as (url, _), sdk(url) as ai:
        answer = await ai.chat.completions.create(model="m", messages=QUESTION)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.content == "Hello"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == 5


@pytest.mark.parametrize("member", ["content", "refusal"])
async def test_log_probabilities_of_all_deltas_are_those_of_the_whole_answer(member):
    def piece(word):
        one = {"token": word, "logprob": -0.5, "bytes": [*word.encode()], "top_logprobs": []}
        entry = {"index": 0, "delta": {member: word}, "finish_reason": None, "logprobs": {member: [one]}}
        return chunk().replace(b'{"index":0,"delta":{},"finish_reason":null}', orjson.dumps(entry))

    pieces = said()
    async with gateway(Model(pieces[0], piece("Hel"), piece("lo"), *pieces[1:])) as (url, _), sdk(url) as ai:
        answer = await ai.chat.completions.create(model="m", messages=QUESTION, logprobs=True)
    (choice,) = answer.choices
    assert getattr(choice.message, member) == "Hello"
    assert [(one.token, one.logprob) for one in getattr(choice.logprobs, member)] == [("Hel", -0.5), ("lo", -0.5)]


async def test_log_probabilities_that_go_on_as_those_of_a_refusal_keep_what_there_was():
    def piece(member, other):
        one = {"token": member, "logprob": -0.5, "bytes": [*member.encode()], "top_logprobs": []}
        logprobs = {member: [one], other: None}
        entry = {"index": 0, "delta": {member: member}, "finish_reason": None, "logprobs": logprobs}
        return chunk().replace(b'{"index":0,"delta":{},"finish_reason":null}', orjson.dumps(entry))

    pieces = said()
    model = Model(pieces[0], piece("content", "refusal"), piece("refusal", "content"), *pieces[1:])
    async with gateway(model) as (url, _), sdk(url) as ai:
        answer = await ai.chat.completions.create(model="m", messages=QUESTION, logprobs=True)
    (choice,) = answer.choices
    assert [one.token for one in choice.logprobs.content] == ["content"]
    assert [one.token for one in choice.logprobs.refusal] == ["refusal"]


async def test_verdicts_of_filters_are_told_with_the_whole_answer():
    def piece(word, **verdicts):
        entry = {"index": 0, "delta": {"content": word}, "finish_reason": None, "content_filter_results": verdicts}
        return chunk().replace(b'{"index":0,"delta":{},"finish_reason":null}', orjson.dumps(entry))

    low, high = {"filtered": False, "detected": True, "severity": "low"}, {"filtered": True, "severity": "high"}
    pieces = said()
    model = Model(pieces[0], piece("Hel", hate=low), piece("lo", violence=high), *pieces[1:])
    async with gateway(model) as (url, _), client(url) as http:
        answer = (await http.post("/v1/chat/completions", json=body())).json()
    assert answer["choices"][0]["message"]["content"] == "Hello"
    assert answer["choices"][0]["content_filter_results"] == {"hate": low, "violence": high}


async def test_the_synchronous_sdk_does_both():
    def ask(url):
        with sdk(url, openai.OpenAI) as ai:
            whole = ai.chat.completions.create(model="m", messages=QUESTION).choices[0].message.content
            stream = ai.chat.completions.create(model="m", messages=QUESTION, stream=True)
            return whole, "".join(one.choices[0].delta.content or "" for one in stream)

    async with gateway(Model(*said("Hel", "lo"))) as (url, _):
        assert await anyio.to_thread.run_sync(ask, url) == ("Hello", "Hello")


@pytest.mark.parametrize("stream", [True, False])
async def test_tool_calls_go_through(stream):
    model = Model(*CALL)
    async with gateway(model) as (url, _), sdk(url) as ai:
        if stream:
            async with ai.chat.completions.stream(model="m", messages=QUESTION, tools=[ADD]) as events:
                answer = await events.get_final_completion()
        else:
            answer = await ai.chat.completions.create(model="m", messages=QUESTION, tools=[ADD])
    (call,) = answer.choices[0].message.tool_calls
    assert (call.id, call.function.name, call.function.arguments) == ("call_7", "add", '{"a": 1, "b": 2}')
    assert answer.choices[0].finish_reason == "tool_calls"
    assert model.bodies[0]["tools"][0]["function"]["name"] == "add"


async def test_several_answers_are_asked_for_where_the_provider_has_them():
    pieces = [
        chunk({"role": "assistant", "content": "a"}) + chunk({"role": "assistant", "content": "b"}, choice=1),
        chunk(reason="stop") + chunk(reason="length", choice=1) + b"data: [DONE]\n\n",
    ]
    model = Model(*pieces)
    async with gateway(model) as (url, _), sdk(url) as ai:
        answer = await ai.chat.completions.create(model="m", messages=QUESTION, n=2)
    assert model.bodies[0]["n"] == 2
    assert [(one.index, one.message.content, one.finish_reason) for one in answer.choices] == [
        (0, "a", "stop"),
        (1, "b", "length"),
    ]


async def test_the_npm_client_streams():
    require_node()
    async with gateway(Model(*said("Hel", "lo"))) as (url, _):
        (read,) = await anyio.to_thread.run_sync(node, "openai.mjs", "chat", url + "/v1")
    assert read["final"]["choices"][0]["message"]["content"] == "Hello"
    assert read["final"]["usage"]["total_tokens"] == 5


async def test_it_runs_on_trio_too():
    """On hypercorn; asyncio is everywhere else."""

    answer = await anyio.to_thread.run_sync(lambda: anyio.run(on_trio, backend="trio"))
    assert answer == "Hello"


async def on_trio():
    """The application on trio, with its lifespan, on hypercorn; the provider is a script."""
    app = ms.server.gateway.Gateway({"m": Scripted()}, keys=None)
    async with app, hypercorn_serving(app) as url, client(url) as http:
        data = (await http.post("/v1/chat/completions", json=body(stream=True))).content
        kept = await http.post("/v1/chat/completions", json=body(stream=True), headers={"x-millstream-resume": "1"})
        again = await http.get("/v1/streams/" + kept.headers["x-millstream-stream-id"])
    assert text_of(data) == text_of(kept.content) == text_of(again.content)
    return text_of(data)


class Scripted:
    """A provider without a wire."""

    def stream_text(self, prompt, **_):
        async def events():
            for event in (ms.Start(), ms.TextDelta("Hel"), ms.TextDelta("lo"), ms.Finish(ms.FinishReason.STOP)):
                yield event

        return ms.streams.Stream(events())


# --- what goes wrong -------------------------------------------------------------------------------------------------

SECRET = {"error": {"message": f"key {UPSTREAM_KEY} of org-17 has no quota", "type": "tokens", "code": "rate_limit"}}


@pytest.mark.parametrize(
    ("status", "error", "seen", "stream", "resume"),
    [
        (429, openai.RateLimitError, "rate_limit_error", True, "0"),
        (429, openai.RateLimitError, "rate_limit_error", True, "1"),
        (429, openai.RateLimitError, "rate_limit_error", False, "0"),
        (503, openai.InternalServerError, "overloaded_error", True, "1"),
        (400, openai.BadRequestError, "invalid_request_error", False, "0"),
        (401, openai.InternalServerError, "server_error", True, "0"),  # the gateway's key is not the client's
        (401, openai.InternalServerError, "server_error", True, "1"),
        (500, openai.InternalServerError, "server_error", False, "1"),
    ],
)
async def test_a_refusal_has_its_class_and_no_words_of_the_provider(status, error, seen, stream, resume):
    model = Model(status=status, headers={"content-type": "application/json", "retry-after": "7"}, body=SECRET)
    log = ms.relay.MemoryLog()
    async with gateway(model, log=log) as (url, app), sdk(url) as ai:
        with pytest.raises(error) as caught:
            await ai.chat.completions.create(
                model="m", messages=QUESTION, stream=stream, extra_headers={"x-millstream-resume": resume}
            )
        assert (app.figures.running, log.n_streams) == (0, 0)
    refused = caught.value
    assert refused.type == seen
    assert "org-17" not in str(refused.body)
    assert UPSTREAM_KEY not in str(refused.body)
    if status == 429:
        assert refused.response.headers["retry-after"] == "7"
    assert refused.status_code == {401: 502, 500: 502}.get(status, status)


async def test_the_words_of_the_provider_are_told_if_the_gateway_says_so():
    reason = {"error": {"message": "too long by 5", "type": "invalid_request_error", "code": "context_length_exceeded"}}
    model = Model(status=400, headers={"content-type": "application/json"}, body=reason)
    async with gateway(model, expose_errors=True) as (url, _), sdk(url) as ai:
        with pytest.raises(openai.BadRequestError) as caught:
            await ai.chat.completions.create(model="m", messages=QUESTION)
    assert caught.value.code == "context_length_exceeded"
    assert "too long by 5" in caught.value.message


@pytest.mark.parametrize("resume", ["0", "1"])
async def test_an_error_in_mid_stream_is_an_error_of_the_sdk(resume):
    broken = b'data: {"error": {"message": "secret words", "type": "server_error"}}\n\n'
    async with gateway(Model(*said("a", "b")[:2], broken)) as (url, _), sdk(url) as ai:
        stream = await ai.chat.completions.create(
            model="m", messages=QUESTION, stream=True, extra_headers={"x-millstream-resume": resume}
        )
        got = []

        async def read():
            async for one in stream:
                got.append(one.choices[0].delta.content)

        with pytest.raises(openai.APIError) as caught:
            await read()
    assert "".join(filter(None, got)) == "a"
    assert "secret words" not in str(caught.value.body)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_breaks_off_never_looks_complete(stream):
    async with gateway(Model(*said("a", "b")[:2])) as (url, _), client(url) as http:
        answer = await http.post("/v1/chat/completions", json=body(stream=stream))
    if stream:
        assert b"[DONE]" not in answer.content
        assert b'"stop"' not in answer.content
    else:
        assert answer.status_code == 502
        assert answer.json()["error"]["message"] == "The answer broke off before its end."


async def test_a_provider_that_is_not_there_is_502_and_names_no_address():
    gone = ms.provider("compatible:x", base_url="http://127.0.0.1:9/v1", retry=None)
    app = ms.server.gateway.Gateway({"m": gone}, keys=None)
    async with serving(app, lifespan="on") as url, client(url) as http:
        answer = await http.post("/v1/chat/completions", json=body(stream=True))
    assert answer.status_code == 502
    assert "127.0.0.1:9" not in answer.text


# --- who leaves ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("n_pieces", [0, 2])
async def test_the_upstream_is_left_with_its_client(stream, n_pieces):
    """Before the first byte and in mid-stream."""
    model = Model(*said("a")[:n_pieces], anyio.Event())
    async with gateway(model) as (url, app), client(url) as http:
        seen = anyio.Event()

        async def ask():
            async with http.stream("POST", "/v1/chat/completions", json=body(stream=stream)) as answer:
                async for _ in answer.aiter_bytes():
                    seen.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            while not model.bodies:  # noqa: ASYNC110 - there is no event for tests
                await anyio.sleep(0.01)
            if stream and n_pieces:
                await seen.wait()
            tasks.cancel_scope.cancel()
        await settled(app, model)


async def test_a_client_that_does_not_read_is_left():
    flood = [chunk({"content": "x" * 60_000}) for _ in range(400)]
    model = Model(*said()[:1], *flood, anyio.Event())
    async with gateway(model, send_timeout=0.3) as (url, app):
        host, port = url.removeprefix("http://").split(":")
        async with await anyio.connect_tcp(host, int(port)) as raw:
            data = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}'
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\n"
            await raw.send(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
            with anyio.fail_after(10):
                await model.left.wait()
            await settled(app)


async def test_a_stream_says_that_it_lives_while_the_model_thinks():
    pause = anyio.Event()
    seen = b""
    async with (
        gateway(Model(pause, *said("Hi")), heartbeat=0.05, open_within=0.05) as (url, _),
        client(url) as http,
        http.stream("POST", "/v1/chat/completions", json=body(stream=True)) as answer,
    ):
        async for piece in answer.aiter_raw():
            seen += piece
            if seen.count(b":") >= 2:
                pause.set()
    assert seen.startswith(b":")
    assert [value for _, value in messages_of(seen)][-1] is None
    assert text_of(seen) == "Hi"
