"""Spans and metrics of a stream, as the real SDK's in-memory exporters get them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import millstream as ms
from millstream.streams import Stream
from millstream.streams.otel import GenAITelemetry
from millstream.testing import FakeClock, ScriptedSource, Wait

pytestmark = pytest.mark.anyio

SECRET = "the content of it all"
USAGE = ms.Usage(input_tokens=10, output_tokens=4, cache_read_tokens=5, cache_write_tokens=1, reasoning_tokens=2)
ANSWER = (ms.Start("gpt-5.1-2026", "resp-1"), ms.TextDelta(SECRET), USAGE, ms.Finish(ms.FinishReason.STOP, "end_turn"))


class Telemetry:
    """The library's telemetry, and what came out of it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.genai = GenAITelemetry(self.tracers, self.meters, now=self.clock.now)

    def trace(self, *steps: Any, provider: str = "openai", **more: Any) -> Stream[Any]:
        source = ScriptedSource(*steps, clock=self.clock)
        return self.genai.trace(Stream(source), **{"provider": provider, "model": "gpt-5.1"} | more)

    @property
    def span(self) -> ReadableSpan:
        [span] = self.exporter.get_finished_spans()
        return span

    def points(self) -> dict[str, list[Any]]:
        data = self.reader.get_metrics_data()
        metrics = data.resource_metrics[0].scope_metrics[0].metrics if data else []
        return {metric.name: list(metric.data.data_points) for metric in metrics}

    def point(self, name: str) -> Any:
        [point] = self.points()[name]
        return point


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


async def test_a_span_has_what_the_conventions_ask_for(telemetry: Telemetry) -> None:
    attributes = {"gen_ai.conversation.id": "c"}
    async with telemetry.clock.autojump():
        stream = telemetry.trace(
            Wait(0.5), *ANSWER, server_address="api.openai.com", server_port=443, attributes=attributes
        )
        assert await stream.collect() == list(ANSWER)
    span = telemetry.span
    assert (span.name, span.kind, span.status.status_code) == (
        "chat gpt-5.1", trace.SpanKind.CLIENT, trace.StatusCode.UNSET,
    )  # fmt: skip
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5.1",
        "gen_ai.request.stream": True,
        "gen_ai.conversation.id": "c",
        "server.address": "api.openai.com",
        "server.port": 443,
        "gen_ai.response.model": "gpt-5.1-2026",
        "gen_ai.response.id": "resp-1",
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.response.finish_reasons": ("end_turn",),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.cache_read.input_tokens": 5,
        "gen_ai.usage.cache_creation.input_tokens": 1,
        "gen_ai.usage.reasoning.output_tokens": 2,
    }


async def test_the_four_metrics(telemetry: Telemetry) -> None:
    async with telemetry.clock.autojump():
        steps = [ANSWER[0], Wait(1.0), ANSWER[1], Wait(3.0), *ANSWER[2:]]
        await telemetry.trace(Wait(0.5), *steps).collect()
    point = telemetry.point
    duration = point("gen_ai.client.operation.duration")
    assert (duration.sum, duration.count) == (4.5, 1)
    assert duration.explicit_bounds[:3] == (0.01, 0.02, 0.04)
    assert duration.explicit_bounds[-1] == 81.92
    assert dict(duration.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5.1",
        "gen_ai.response.model": "gpt-5.1-2026",
    }
    assert point("gen_ai.client.operation.time_to_first_chunk").sum == 0.5
    per_chunk = point("gen_ai.client.operation.time_per_output_chunk")
    assert (per_chunk.sum, per_chunk.count, per_chunk.max) == (4.0, 3, 3.0)
    tokens = telemetry.points()["gen_ai.client.token.usage"]
    assert {(p.attributes["gen_ai.token.type"], p.sum) for p in tokens} == {("input", 10), ("output", 4)}
    assert tokens[0].explicit_bounds[-1] == 67_108_864


async def test_no_content_leaves_by_default(telemetry: Telemetry) -> None:
    error = ms.InvalidRequest(SECRET, status=400, body=SECRET.encode())
    with pytest.raises(ms.InvalidRequest):
        await telemetry.trace(*ANSWER[:2], ms.ToolCall("id", "name", SECRET.encode()), error).collect()
    assert SECRET not in telemetry.span.to_json()
    assert SECRET not in str(telemetry.points())
    assert telemetry.span.events == ()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ms.RateLimited("x"), "rate_limited"),
        (ms.StreamTimeout("x", kind="idle"), "timeout"),
        (KeyError("x"), "KeyError"),
    ],
)
async def test_an_error_is_told_by_its_kind(telemetry: Telemetry, error: Exception, kind: str) -> None:
    with pytest.raises(type(error)):
        await telemetry.trace(ms.Start(), error).collect()
    span = telemetry.span
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, kind)
    assert span.attributes["error.type"] == kind
    assert telemetry.point("gen_ai.client.operation.duration").attributes["error.type"] == kind


async def test_an_error_event_counts_even_if_the_consumer_leaves_at_finish(telemetry: Telemetry) -> None:
    steps = [ms.Error(ms.Overloaded("x")), ms.Finish(ms.FinishReason.ERROR)]
    async with telemetry.trace(*steps, ms.Overloaded("x")) as stream:
        await anext(stream)
        await anext(stream)
    assert telemetry.span.attributes["error.type"] == "overloaded"


async def test_a_warning_is_no_error(telemetry: Telemetry) -> None:
    await telemetry.trace(ms.Error(ms.StreamError("x"), fatal=False), ANSWER[-1]).collect()
    assert telemetry.span.status.status_code is trace.StatusCode.UNSET


async def test_a_consumer_that_leaves_early_is_no_error(telemetry: Telemetry) -> None:
    async with telemetry.trace(*ANSWER) as stream:
        await anext(stream)
    assert telemetry.span.attributes["millstream.stream.closed_early"] is True
    assert telemetry.span.status.status_code is trace.StatusCode.UNSET
    assert telemetry.point("gen_ai.client.operation.duration").count == 1


async def test_a_stream_that_does_not_open_has_a_span_too(telemetry: Telemetry) -> None:
    stream = ms.stream(Refused(), protocol="openai-chat")
    with pytest.raises(ms.ConnectionFailed):
        async with telemetry.genai.trace(stream, provider="openai"):
            pass
    assert (telemetry.span.name, telemetry.span.attributes["error.type"]) == ("chat", "connection")
    assert "gen_ai.client.operation.time_to_first_chunk" not in telemetry.points()


class Refused:
    async def __aenter__(self) -> Any:
        raise ConnectionRefusedError

    async def __aexit__(self, *exc_info: object) -> None:
        pass


async def test_a_stream_that_is_never_opened_leaves_nothing(telemetry: Telemetry) -> None:
    await telemetry.trace(*ANSWER).aclose()
    assert telemetry.exporter.get_finished_spans() == ()
    assert telemetry.points() == {}


async def test_the_span_is_never_current_but_has_the_callers_parent(telemetry: Telemetry) -> None:
    tracer = telemetry.tracers.get_tracer("test")
    with tracer.start_as_current_span("parent") as parent:
        async with telemetry.trace(*ANSWER) as stream:
            async for _ in stream:
                assert trace.get_current_span() is parent
    child, _ = telemetry.exporter.get_finished_spans()
    assert child.parent.span_id == parent.get_span_context().span_id


async def test_a_parent_can_be_given(telemetry: Telemetry) -> None:
    parent = telemetry.tracers.get_tracer("test").start_span("parent")
    await telemetry.trace(*ANSWER, context=trace.set_span_in_context(parent)).collect()
    assert telemetry.span.parent.span_id == parent.get_span_context().span_id


@pytest.mark.parametrize(("provider", "n"), [("anthropic", 16), ("aws.bedrock", 16), ("openai", 10)])
async def test_cached_tokens_are_input_tokens_for_every_provider(telemetry: Telemetry, provider: str, n: int) -> None:
    await telemetry.trace(*ANSWER, provider=provider).collect()
    assert telemetry.span.attributes["gen_ai.usage.input_tokens"] == n


async def test_usage_may_come_with_finish_and_reasons_of_several_answers(telemetry: Telemetry) -> None:
    finish = ms.Finish(ms.FinishReason.STOP, usage=ms.Usage(output_tokens=3), choices={0: "stop", 1: "length"})
    await telemetry.trace(finish).collect()
    attributes = telemetry.span.attributes
    assert attributes["gen_ai.usage.output_tokens"] == 3
    assert "gen_ai.usage.input_tokens" not in attributes
    assert attributes["gen_ai.response.finish_reasons"] == ("stop", "length")


async def test_without_an_sdk_nothing_happens() -> None:
    stream = GenAITelemetry().trace(Stream(ScriptedSource(*ANSWER)), provider="openai")
    assert await stream.collect() == list(ANSWER)


def test_without_the_extra_the_error_says_what_to_do() -> None:
    code = "import sys; sys.modules['opentelemetry'] = None; import millstream.streams.otel"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert "pip install 'millstream[otel]'" in done.stderr


async def test_an_inference_starts_once_and_after_its_end_nothing_is_told(telemetry: Telemetry) -> None:
    inference = telemetry.genai.inference(provider="openai", model="gpt-5.1")
    inference.start()
    span = inference.span
    inference.start()
    assert inference.span is span
    for _ in range(2):
        inference.end()
        inference.observe(ANSWER)
    assert not [name for name in telemetry.span.attributes or {} if "response" in name or "usage" in name]
