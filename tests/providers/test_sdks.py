"""The official clients read the same recorded responses from the same server, and get the same as we."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from anyio import to_thread

from providers.cases import CASES, Case
from providers.live import KEY, capture, serving
from providers.test_wires import front, make

pytestmark = pytest.mark.anyio

# What each reader returns: text, [(tool, arguments)], (input, output) tokens.
Seen = tuple[str, list[tuple[str, Any]], tuple[int, int] | None]
HI = [{"role": "user", "content": "hi"}]


def read_openai(url: str, case: Case) -> Seen:
    import openai

    text, calls, usage = "", dict[int, list[str]](), None
    with openai.OpenAI(api_key=KEY, base_url=url + case.base, max_retries=0) as client:
        made = client.chat.completions.create(
            model="m", messages=HI, stream=True, stream_options={"include_usage": True}
        )
        for chunk in made:
            if chunk.usage:
                usage = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
            for choice in chunk.choices:
                text += choice.delta.content or ""
                for call in choice.delta.tool_calls or []:
                    known = calls.setdefault(call.index, ["", ""])
                    known[0] += call.function.name or ""
                    known[1] += call.function.arguments or ""
    return text, [(name, orjson.loads(arguments)) for name, arguments in calls.values()], usage


def read_openai_responses(url: str, case: Case) -> Seen:
    import openai

    with openai.OpenAI(api_key=KEY, base_url=url + case.base, max_retries=0) as client:
        for event in client.responses.create(model="m", input="hi", stream=True):
            if event.type in ("response.completed", "response.incomplete"):
                answer = event.response
    calls = [(item.name, orjson.loads(item.arguments)) for item in answer.output if item.type == "function_call"]
    return answer.output_text, calls, (answer.usage.input_tokens, answer.usage.output_tokens)


def read_anthropic(url: str, case: Case, make: Any = None) -> Seen:
    import anthropic

    with (
        make or anthropic.Anthropic(api_key=KEY, base_url=url, max_retries=0) as client,
        client.messages.stream(model=case.model, messages=HI, max_tokens=99) as stream,
    ):
        answer = stream.get_final_message()
    text = "".join(block.text for block in answer.content if block.type == "text")
    calls = [(block.name, block.input) for block in answer.content if block.type == "tool_use"]
    return text, calls, (answer.usage.input_tokens, answer.usage.output_tokens)


def read_vertex_anthropic(url: str, case: Case) -> Seen:
    from anthropic import AnthropicVertex

    client = AnthropicVertex(access_token=KEY, project_id="p", region="eu", base_url=url + "/v1", max_retries=0)
    return read_anthropic(url, case, client)


def read_gemini(url: str, case: Case, made: Any = None) -> Seen:
    from google import genai

    client = made or genai.Client(api_key=KEY, http_options={"base_url": url, "api_version": "v1beta"})
    text, calls, usage = "", [], None
    for chunk in client.models.generate_content_stream(model=case.model, contents="hi"):
        for part in (chunk.candidates[0].content and chunk.candidates[0].content.parts) or []:
            text += part.text if part.text and not part.thought else ""
            if part.function_call:
                calls.append((part.function_call.name, part.function_call.args))
        if chunk.usage_metadata:
            usage = (chunk.usage_metadata.prompt_token_count, chunk.usage_metadata.candidates_token_count)
    client.close()
    return text, calls, usage


def read_vertex(url: str, case: Case) -> Seen:
    from google import genai
    from google.oauth2.credentials import Credentials

    options = {"base_url": url, "api_version": "v1"}
    client = genai.Client(vertexai=True, credentials=Credentials(KEY), project="p", location="eu", http_options=options)
    return read_gemini(url, case, client)


def read_ollama(url: str, case: Case) -> Seen:
    import ollama

    text, calls, usage = "", [], None
    with ollama.Client(host=url, headers={"authorization": f"Bearer {KEY}"}) as client:
        for part in client.chat("m", HI, stream=True):
            text += part.message.content or ""
            calls += [(call.function.name, call.function.arguments) for call in part.message.tool_calls or []]
            if part.done:
                usage = (part.prompt_eval_count, part.eval_count)
    return text, calls, usage


def read_cohere(url: str, case: Case) -> Seen:
    import cohere

    text, calls, usage = "", list[list[str]](), None
    for event in cohere.ClientV2(api_key=KEY, base_url=url).chat_stream(model="m", messages=HI):
        if event.type == "content-delta":
            text += event.delta.message.content.text
        elif event.type == "tool-call-start":
            calls.append([event.delta.message.tool_calls.function.name, ""])
        elif event.type == "tool-call-delta":
            calls[-1][1] += event.delta.message.tool_calls.function.arguments
        elif event.type == "message-end":
            tokens = event.delta.usage.tokens
            usage = (tokens.input_tokens, tokens.output_tokens)
    return text, [(name, orjson.loads(arguments)) for name, arguments in calls], usage


def read_mistral(url: str, case: Case) -> Seen:
    from mistralai.client import Mistral

    text, calls, usage = "", dict[int | None, list[str]](), None
    with Mistral(api_key=KEY, server_url=url) as client:
        for event in client.chat.stream(model="m", messages=HI):
            content = event.data.choices[0].delta.content
            if isinstance(content, str):
                text += content
            elif content:
                text += "".join(part.text for part in content if part.type == "text")
            for call in event.data.choices[0].delta.tool_calls or []:
                known = calls.setdefault(call.index, [call.function.name, ""])
                known[1] += call.function.arguments
            if event.data.usage:
                usage = (event.data.usage.prompt_tokens, event.data.usage.completion_tokens)
    return text, [(name, orjson.loads(arguments)) for name, arguments in calls.values()], usage


def read_bedrock(url: str, case: Case) -> Seen:
    if case.options:
        from anthropic import AnthropicBedrock

        return read_anthropic(url, case, AnthropicBedrock(api_key=KEY, aws_region="eu-west-1", base_url=url))
    from botocore.session import Session

    session = Session()
    session.set_credentials("AKIDEXAMPLE", "secret")
    client = session.create_client("bedrock-runtime", region_name="eu-west-1", endpoint_url=url)
    message = {"role": "user", "content": [{"text": "hi"}]}
    text, calls, usage = "", list[list[str]](), None
    for event in client.converse_stream(modelId=case.model, messages=[message])["stream"]:
        match event:
            case {"contentBlockStart": {"start": {"toolUse": tool}}}:
                calls.append([tool["name"], ""])
            case {"contentBlockDelta": {"delta": {"text": words}}}:
                text += words
            case {"contentBlockDelta": {"delta": {"toolUse": {"input": fragment}}}}:
                calls[-1][1] += fragment
            case {"metadata": {"usage": told}}:
                usage = (told["inputTokens"], told["outputTokens"])
    client.close()
    return text, [(name, orjson.loads(arguments)) for name, arguments in calls], usage


READERS: dict[str, Callable[[str, Case], Seen]] = {
    "openai": read_openai,
    "openai-responses": read_openai_responses,
    "anthropic": read_anthropic,
    "gemini": read_gemini,
    "ollama": read_ollama,
    "cohere": read_cohere,
    "mistral": read_mistral,
    "bedrock": read_bedrock,
    "vertex": read_vertex,
    "vertex-anthropic": read_vertex_anthropic,
}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("case", [case for case in CASES if case.name in READERS], ids=lambda case: case.id)
async def test_the_official_client_gets_the_same(case: Case, shared: Path) -> None:
    body, _ = capture(shared, case.file)
    app = front(case, body)
    if case.name in ("bedrock", "anthropic"):  # botocore signs; anthropic 2 sends the key as a bearer token
        app.allow = lambda asked: "authorization" in asked.headers or asked.headers.get("x-api-key") == KEY
    with serving(app) as url, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, of their own dependencies
        ours = await make(case, url).generate_text("hi")
        theirs = await to_thread.run_sync(READERS[case.name], url, case)
    calls = [(call.name, call.arguments) for call in ours.tool_calls]
    assert theirs == (ours.text, calls, ours.usage and (ours.usage.input_tokens, ours.usage.output_tokens))
    paths = {asked.path for asked in app.asked}
    assert paths == {case.path}


# Nobody has captured native tool calls of Ollama: these are the lines of its page on tool calling.
OLLAMA = (
    b'{"model":"m","created_at":"2026-11-21T00:00:00Z","message":{"role":"assistant","content":"","tool_calls":[{"function":'
    b'{"name":"get_temperature","arguments":{"city":"New York"}}},{"function":{"name":"get_conditions","arguments":'
    b'{"city":"New York"}}}]},"done":false}\n'
    b'{"model":"m","created_at":"2026-11-21T00:00:01Z","message":{"role":"assistant","content":""},"done_reason":"stop",'
    b'"done":true,"total_duration":1,"prompt_eval_count":20,"eval_count":7}\n'
)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_ollamas_client_gets_the_same_tool_calls() -> None:
    case = next(case for case in CASES if case.name == "ollama")
    with serving(front(case._replace(file="it.ndjson"), OLLAMA)) as url:
        ours = await make(case, url).generate_text("hi")
        theirs = await to_thread.run_sync(read_ollama, url, case)
    assert theirs == (
        "",
        [("get_temperature", {"city": "New York"}), ("get_conditions", {"city": "New York"})],
        (20, 7),
    )
    assert ours.usage is not None
    assert theirs[1] == [(call.name, call.arguments) for call in ours.tool_calls]
    assert theirs[2] == (ours.usage.input_tokens, ours.usage.output_tokens)
