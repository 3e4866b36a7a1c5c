"""Objects from providers: how they are asked for, and what comes of them, over real HTTP."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

import millstream as ms
from providers.live import KEY, Connection, Front, Scripted, capture, chunk, head, replay, serving
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


class Metered(msgspec.Struct):
    confidence: float
    summary: str


async def test_r0090_a_typed_partial_shows_what_is_there_while_the_rest_is_not_even_sent() -> None:
    seen = threading.Event()

    def gated(connection: Connection) -> None:
        first, *rest = pieces('{"confidence":0.75,"summary":"it goes on"}', 31)
        connection.send(head() + chunk(event(first)))
        if seen.wait(5):
            connection.send(b"".join(chunk(event(one)) for one in rest) + b"0\r\n\r\n")

    with Scripted(gated) as server:
        model = ms.provider("openai:m", base_url=server.url, api_key=KEY, retry=None)
        async with model.stream_object("x", Metered) as objects:
            shown = []
            async for partial in objects.partials(typed=True):
                shown.append(partial)
                assert isinstance(partial, Metered)
                assert objects.current["confidence"] == 0.75
                seen.set()
    assert (shown[0].confidence, shown[0].summary) == (0.75, "i")
    assert shown[-1] == Metered(0.75, "it goes on")


@dataclass
class Result:
    """The example of the seed: a string, a list of strings, a float, a map of strings."""

    summary: str
    key_points: list[str]
    confidence: float
    metadata: dict[str, str]


async def test_r0094_the_types_of_the_seed_are_read() -> None:
    text = '{"summary":"fine","key_points":["a","b"],"confidence":0.9,"metadata":{"model":"m","lang":"en"}}'
    result, body = await ask(Result, text, "llamacpp")
    assert result.object == Result("fine", ["a", "b"], 0.9, {"model": "m", "lang": "en"})
    schema = body["response_format"]["json_schema"]["schema"]
    shown = next(iter(schema.get("$defs", {"": schema}).values()))["properties"]
    assert shown["metadata"]["additionalProperties"] == {"type": "string"}


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
    with pytest.raises(ms.errors.IncompleteJSON):  # it answers in text all the same
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


async def test_r0089_each_closed_part_is_read_from_its_own_bytes() -> None:
    text = ' {"a" : {"b": [1, "\\u00e9\\n", {"c": -2.50}]},\n "d": "x"} '
    parser = ms.JSONParser()
    closed = [one for cut in text.encode() for one in parser.feed(bytes([cut])) if one.op == "end"]
    closed += [one for one in parser.close() if one.op == "end"]
    value = orjson.loads(text)
    assert [one.path for one in closed] == [("a", "b", 1), ("a", "b", 2), ("a", "b"), ("a",), ("d",), ()]
    for one in closed:
        expected = value
        for step in one.path:
            expected = expected[step]
        start, end = one.value
        assert orjson.loads(text.encode()[start:end]) == expected


async def test_r0089_the_text_of_the_whole_is_its_value() -> None:
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


async def test_r0091_text_that_is_cut_anywhere_never_raises_and_the_partial_before_it_stays() -> None:
    text = '{"summary":"\\u00e9\\ud83d\\ude00\\n!","keyPoints":["\\\\"],"confidence":-1.5e-3}'
    body = head() + b"".join(chunk(event(one)) for one in [*map(delta, text), END, b"[DONE]"]) + b"0\r\n\r\n"
    with Scripted(body) as server:
        model = ms.provider("openai:m", base_url=server.url, api_key=KEY)
        async with model.stream_object("x", Analysis) as objects:
            shown = [partial async for partial in objects.partials(typed=True)]
            assert objects.last_error is None
            assert await objects.final() == Analysis("é😀\n!", ["\\"], -0.0015)
    summaries = [one.summary for one in shown if one.summary is not msgspec.UNSET]
    assert all(later.startswith(before) for before, later in pairwise(summaries))
    assert {"é", "é😀", "é😀\n", "é😀\n!"} <= set(summaries)


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


async def test_r0100_what_is_no_map_has_no_fields_and_is_refused_at_the_end() -> None:
    with Scripted(answer('[{"a":1}]')) as server:
        model = ms.provider("llamacpp", base_url=server.url)
        async with model.stream_object("x", dict) as objects:
            assert [name async for name, _ in objects.fields()] == []
            assert objects.current == [{"a": 1}]
            with pytest.raises(ms.ObjectInvalid):
                await objects.final()


async def test_r0101_r0102_r0103_each_field_comes_when_it_is_complete_as_its_type() -> None:
    seen = threading.Event()

    def gated(connection: Connection) -> None:
        connection.send(head() + chunk(event(delta('{"records_processed":12.5,'))))
        if seen.wait(5):
            rest = (delta('"note":"x","wrong":"3"}'), END, b"[DONE]")
            connection.send(b"".join(chunk(event(one)) for one in rest) + b"0\r\n\r\n")

    with Scripted(gated) as server:
        model = ms.provider("llamacpp", base_url=server.url)
        numbers = {}
        async with model.stream_object("x", dict) as objects:
            async for name, value in objects.fields():
                if isinstance(value, float):
                    numbers[name] = value
                if name == "records_processed":
                    assert not objects.complete
                    seen.set()
            pretty = orjson.dumps(objects.current, option=orjson.OPT_INDENT_2)
    assert numbers == {"records_processed": 12.5}
    assert orjson.loads(pretty) == {"records_processed": 12.5, "note": "x", "wrong": "3"}
