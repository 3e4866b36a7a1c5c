"""Objects from providers: how they are asked for, and what comes of them, over real HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

import millstream as ms
from providers.live import KEY, Front, Scripted, capture, chunk, head, replay, serving
from providers.test_errors import END, delta, event

pytestmark = pytest.mark.anyio


class Analysis(msgspec.Struct):
    summary: str
    key_points: list[str] = msgspec.field(name="keyPoints")
    confidence: float


@dataclass
class Open:
    scores: dict[str, float]


CLOSED = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
GOOD_JSON = '{"summary":"fine","keyPoints":["a","b"],"confidence":0.9}'


def pieces(text: str, size: int = 7) -> list[object]:
    return [*(delta(text[at : at + size]) for at in range(0, len(text), size)), END, b"[DONE]"]


def answer(text: str) -> bytes:
    return head() + b"".join(chunk(event(one)) for one in pieces(text)) + b"0\r\n\r\n"


async def ask(kind: Any, text: str = GOOD_JSON, name: str = "openai", **options: Any) -> tuple[Any, dict[str, Any]]:
    with Scripted(answer(text)) as server:
        model = ms.provider(f"{name}:m", base_url=server.url, api_key=KEY, retry=None)
        result = await model.generate_object("Analyse this", kind, **options)
        return result, orjson.loads(server.asked[0][1])


async def test_r0088_r0093_r0094_r0095_an_object_of_a_type_is_asked_for_with_its_schema() -> None:
    result, body = await ask(Analysis)
    assert result.object == Analysis("fine", ["a", "b"], 0.9)
    assert result.raw == GOOD_JSON.encode()
    wanted = body["response_format"]["json_schema"]
    assert wanted["strict"] is True
    assert wanted["schema"]["required"] == ["summary", "keyPoints", "confidence"]
    assert wanted["schema"]["additionalProperties"] is False


async def test_r0090_r0092_partials_grow_while_the_answer_is_sent() -> None:
    with Scripted(answer(GOOD_JSON)) as server:
        model = ms.provider("openai:m", base_url=server.url, api_key=KEY)
        async with model.stream_object("Analyse this", Analysis) as objects:
            seen = [objects.snapshot() async for _ in objects.partials()]
            assert objects.current == orjson.loads(GOOD_JSON)
            assert await objects.final() == Analysis("fine", ["a", "b"], 0.9)
    assert {"summary": "fine"} in seen
    assert seen[-1] == orjson.loads(GOOD_JSON)


async def test_r0096_an_error_inside_the_object_keeps_what_had_come() -> None:
    broken = head() + chunk(event(delta('{"summary":"fi')))
    with Scripted(lambda connection: (connection.send(broken), connection.hang_up())) as server:
        model = ms.provider("openai:m", base_url=server.url, api_key=KEY, retry=None)
        with pytest.raises(ms.ConnectionFailed) as caught:
            await model.generate_object("Analyse this", Analysis)
    assert caught.value.partial == {"summary": "fi"}


@pytest.mark.parametrize("schema", [dict, {"type": "object", "properties": {"a": {}}}, Open])
async def test_r0067_r0097_an_open_map_is_asked_for_with_a_tool_where_schemas_are_closed(schema: Any) -> None:
    call = {"index": 0, "id": "c", "function": {"name": "answer", "arguments": '{"scores":{"x":1}}'}}
    wants = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    with Scripted(head() + chunk(event(wants)) + chunk(event(b"[DONE]")) + b"0\r\n\r\n") as server:
        model = ms.provider("openai:m", base_url=server.url, api_key=KEY)
        result = await model.generate_object("Analyse this", schema)
        body = orjson.loads(server.asked[0][1])
    assert result.object == (Open({"x": 1.0}) if schema is Open else {"scores": {"x": 1}})
    assert body["tools"][0]["function"]["name"] == "answer"
    assert body["tool_choice"] == "required"
    assert "response_format" not in body


async def test_r0097_an_open_map_is_a_schema_where_all_schemas_will_do() -> None:
    result, body = await ask(dict, '{"any":["key"]}', "llamacpp")
    assert result.object == {"any": ["key"]}
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}


async def test_a_provider_without_schemas_is_asked_with_a_tool() -> None:
    with pytest.raises(ms.IncompleteJSON):  # it answers in text all the same
        await ask(Analysis, name="deepseek")


async def test_an_array_is_asked_for_in_words_where_schemas_are_objects() -> None:
    result, body = await ask(list[int], "Here you are:\n```json\n[1, 2]\n```\n")
    assert result.object == [1, 2]
    assert "response_format" not in body
    assert body["messages"][0]["role"] == "system"
    assert '"type":"array"' in body["messages"][0]["content"]


async def test_the_mode_can_be_chosen() -> None:
    result, body = await ask(Analysis, f"Sure! {GOOD_JSON}", mode="words")
    assert result.object.confidence == 0.9
    assert "response_format" not in body


async def test_tools_and_a_format_of_the_callers_own_are_refused() -> None:
    model = ms.provider("openai:m", api_key=KEY)
    request = ms.Request(messages="hi", tools=[ms.ToolSpec("add")])
    with pytest.raises(ms.UsageError, match="stream_object writes tools and response_format itself"):
        model.stream_object(request, Analysis)


async def test_repair_is_asked_when_the_answer_is_not_valid() -> None:
    result, _ = await ask(Analysis, '{"summary":"fine"}', repair=lambda text, error: GOOD_JSON)
    assert result.object.summary == "fine"


@pytest.mark.parametrize(
    ("name", "path", "file", "where"),
    [
        (
            "anthropic",
            "/v1/messages",
            "anthropic/structured-output-anthropic-claude-sonnet-4-5-stream-d2108f.sse",
            ("output_config", "format", "schema"),
        ),
        (
            "gemini",
            "/v1beta/models/m:streamGenerateContent",
            "google-ai/data-extraction-6d34a2.sse",
            ("generationConfig", "responseJsonSchema"),
        ),
        (
            "openai-responses",
            "/responses",
            "openai/validation-retry-openai-gpt-4o-responses-async-stream-afc3ba.sse",
            ("text", "format", "schema"),
        ),
    ],
)
async def test_recorded_objects_of_each_wire_are_read(
    name: str, path: str, file: str, where: tuple[str, ...], shared: Path
) -> None:
    body, truth = capture(shared, file)
    app = Front(replay(path, body))
    with serving(app) as url:
        model = ms.provider(f"{name}:m", base_url=url, api_key=KEY)
        result = await model.generate_object("x", CLOSED)
    assert result.object == orjson.loads(truth["text"])
    found = app.asked[0].json
    for key in where:
        found = found[key]
    assert found == CLOSED
    assert result.usage is not None


async def test_r0089_the_text_of_a_closed_part_is_its_value() -> None:
    with Scripted(answer(GOOD_JSON)) as server:
        model = ms.provider("openai:m", base_url=server.url, api_key=KEY)
        async with model.stream_object("x", Analysis) as objects:
            async for one in objects.deltas():
                if one.op == "end" and one.path == ():
                    break
            assert objects.complete
            assert orjson.loads(objects.raw) == objects.current


async def test_r0091_a_partial_that_does_not_fit_is_left_out_and_the_reason_kept() -> None:
    with Scripted(answer('{"confidence":"high","summary":"s","keyPoints":[]}')) as server:
        model = ms.provider("openai:m", base_url=server.url, api_key=KEY)
        async with model.stream_object("x", Analysis) as objects:
            shown = [partial async for partial in objects.partials(typed=True)]
            assert all(partial.confidence is msgspec.UNSET for partial in shown)
            assert objects.last_error is not None
            with pytest.raises(ms.ObjectInvalid):
                await objects.final()


async def test_r0098_r0099_r0100_changes_name_the_keys_that_changed_and_merge_in_order() -> None:
    with Scripted(answer('{"a":1,"list":[2],"a":3}')) as server:
        model = ms.provider("llamacpp", base_url=server.url)
        merged: dict[str, Any] = {}
        async with model.stream_object("x", dict) as objects:
            async for one in objects.deltas():
                if one.op == "set" and len(one.path) == 1:
                    merged[one.path[0]] = one.value
    assert merged.keys() == {"a", "list"}
    assert merged["a"] == 3


async def test_r0101_r0102_r0103_each_field_comes_when_it_is_complete_as_its_type() -> None:
    with Scripted(answer('{"records_processed":12.5,"note":"x","wrong":"3"}')) as server:
        model = ms.provider("llamacpp", base_url=server.url)
        numbers = {}
        async with model.stream_object("x", dict) as objects:
            async for name, value in objects.fields():
                if isinstance(value, float):
                    numbers[name] = value
                if name == "records_processed":
                    assert not objects.complete
            pretty = orjson.dumps(objects.current, option=orjson.OPT_INDENT_2)
    assert numbers == {"records_processed": 12.5}
    assert orjson.loads(pretty) == {"records_processed": 12.5, "note": "x", "wrong": "3"}
