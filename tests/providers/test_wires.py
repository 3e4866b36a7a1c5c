"""Each provider over real HTTP: the real path, the key where it belongs, and the events of the recorded bytes."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

import millstream as ms
from providers.cases import CASES, Case
from providers.live import KEY, Front, capture, replay, serving

pytestmark = pytest.mark.anyio

TYPES = {"ndjson": "application/x-ndjson", "eventstream": "application/vnd.amazon.eventstream"}


def front(case: Case, body: bytes) -> Front:
    content_type = TYPES.get(case.file.rpartition(".")[2], "text/event-stream")
    wanted = f"Bearer {KEY}" if case.header == "authorization" else KEY
    return Front(replay(case.path, body, content_type), lambda asked: asked.headers.get(case.header) == wanted)


def make(case: Case, url: str, **options: object) -> ms.providers.HTTPProvider:
    options = {"api_key": KEY, **case.options, **options}
    if case.name == "bedrock":
        options.setdefault("region", "eu-west-1")
    if case.name.startswith("vertex"):
        options |= {"project": "p", "location": "eu", "api_key": lambda: KEY}
    made = ms.provider(f"{case.name}:{case.model}", base_url=url + case.base, **options)
    assert isinstance(made, ms.providers.HTTPProvider)
    return made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_the_answer_of_each_provider_is_what_was_recorded(case: Case, shared: Path) -> None:
    body, truth = capture(shared, case.file)
    app = front(case, body)
    with serving(app) as url:
        model = make(case, url)
        async with model.stream_text("hi") as stream:
            events = [event async for event in stream]
        result = await model.generate_text("hi")
    wanted = list(ms.iter_events([body], model.frames or model.protocol, provider=case.name))
    assert events == wanted
    assert result.text == truth["text"] == "".join(e.text for e in wanted if isinstance(e, ms.TextDelta))
    calls = [(call.name, call.arguments) for call in result.tool_calls]
    assert calls == [(call["name"], orjson.loads(call["arguments_json"] or "{}")) for call in truth["tool_calls"]]
    if truth["usage"]:
        assert result.usage is not None
        assert (result.usage.input_tokens, result.usage.output_tokens) == (
            truth["usage"]["input"],
            truth["usage"]["output"],
        )
    assert KEY not in "".join(asked.raw_path + asked.query for asked in app.asked)
    assert [asked.headers["accept-encoding"] for asked in app.asked] == ["identity"] * 2


@pytest.mark.parametrize("name", ms.providers.provider_names())
def test_no_provider_is_without_a_case_or_a_reason(name: str) -> None:
    same_as = {"compatible", "fireworks", "moonshot", "nvidia", "sambanova", "sglang", "together"}  # rows like vllm's
    assert name in {case.name for case in CASES} | same_as
