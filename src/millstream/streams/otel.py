"""Spans and metrics of OpenTelemetry for streams of models, under the GenAI semantic conventions.

    telemetry = GenAITelemetry()                        # once in a process
    async with telemetry.trace(stream, provider="openai", model="gpt-5.1") as events: ...

One CLIENT span per call; `gen_ai.client.operation.duration`, `.time_to_first_chunk`, `.time_per_output_chunk` and
`gen_ai.client.token.usage`. Never any content: no prompt, no answer, no text of an error. The span is never made the
current one, because a consumer's code runs while the stream does (S11). Needs `millstream[otel]`. Cost: one record of a
histogram per chunk, which takes the SDK some 15 us. Source: open-telemetry/semantic-conventions-genai, docs/gen-ai/
gen-ai-spans.md and gen-ai-metrics.md, status "development" in 2026.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import Any, TypeVar

from millstream.errors import MissingExtra, StreamError
from millstream.events import Error, Finish, Start, Usage
from millstream.streams._pull import Puller
from millstream.streams._stream import Stream
from millstream.streams._tasks import Tasks
from millstream.streams.operators._base import Operator

try:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Histogram, MeterProvider, get_meter
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider, get_tracer
except ImportError as error:
    raise MissingExtra("telemetry needs OpenTelemetry: pip install 'millstream[otel]'") from error

__all__ = ["GenAITelemetry", "Inference"]

T = TypeVar("T")
Attributes = dict[str, Any]

SECONDS = [0.01 * 2**i for i in range(14)]  # the buckets that the conventions ask for: 0.01 to 81.92
TOKENS = [4**i for i in range(14)]  # 1 to 67,108,864

# These count cached tokens apart; the conventions want all input tokens in one number.
CACHE_APART = {"anthropic", "aws.bedrock"}


class GenAITelemetry:
    """Makes the instruments, and traces streams with them.

    Args:
        tracer_provider, meter_provider: of OpenTelemetry; None: the global ones.
        now: gives seconds and never goes back, for the metrics. Spans have the tracer's own clock.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.now = now
        self.tracer = get_tracer("millstream", version("millstream"), tracer_provider)
        meter = get_meter("millstream", version("millstream"), meter_provider)

        def histogram(name: str, unit: str, about: str, buckets: list[Any]) -> Histogram:
            return meter.create_histogram(name, unit, about, explicit_bucket_boundaries_advisory=buckets)

        self.duration = histogram("gen_ai.client.operation.duration", "s", "GenAI operation duration.", SECONDS)
        self.first_chunk = histogram(
            "gen_ai.client.operation.time_to_first_chunk", "s", "Time to receive the first chunk.", SECONDS
        )
        self.output_chunk = histogram(
            "gen_ai.client.operation.time_per_output_chunk", "s", "Time per output chunk after the first.", SECONDS
        )
        self.tokens = histogram(
            "gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.", TOKENS
        )

    def trace(self, stream: Stream[T], *, provider: str, model: str | None = None, **more: Any) -> Stream[T]:
        """Return the stream, traced from its opening to its end; the items are unchanged.

        Args: as for `inference`. Around a retry: one span for all attempts. Inside: one for each.
        """
        return stream._then(lambda source: _Traced(source, self.inference(provider=provider, model=model, **more)))

    def inference(
        self,
        *,
        provider: str,
        model: str | None = None,
        operation: str = "chat",
        server_address: str | None = None,
        server_port: int | None = None,
        context: Context | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Inference:
        """Prepare the telemetry of one call, for who drives it by hand.

        Args:
            provider: `gen_ai.provider.name`: "openai", "anthropic", "aws.bedrock", "gcp.gemini", ...
            model: the one that was asked for.
            operation: `gen_ai.operation.name`.
            context: holds the parent span; None: the context that is current when the stream is opened.
            attributes: more for the span alone, such as `gen_ai.conversation.id` or `gen_ai.request.max_tokens`.
        """
        common: Attributes = {"gen_ai.operation.name": operation, "gen_ai.provider.name": provider}
        asked = {"gen_ai.request.model": model, "server.address": server_address}
        asked["server.port"] = server_port if server_address else None  # type: ignore[assignment]
        common |= {name: value for name, value in asked.items() if value is not None}
        return Inference(self, f"{operation} {model}" if model else operation, common, dict(attributes or {}), context)


class Inference:
    """The telemetry of one call: `start`, `observe` each batch, `end` once."""

    def __init__(
        self, telemetry: GenAITelemetry, name: str, common: Attributes, more: Attributes, context: Context | None
    ) -> None:
        self._telemetry = telemetry
        self._name = name
        self._common = common
        self._more = more
        self._context = context
        self._started = 0.0
        self._last_chunk: float | None = None
        self._usage: Usage | None = None
        self._failure: StreamError | None = None
        self._finished = False
        self.span: Span | None = None

    def start(self) -> None:
        """The request is about to be sent. Idempotent."""
        if self.span is None:
            self._started = self._telemetry.now()
            attributes = self._common | {"gen_ai.request.stream": True} | self._more
            self.span = self._telemetry.tracer.start_span(self._name, self._context, SpanKind.CLIENT, attributes)

    def observe(self, batch: Iterable[Any]) -> None:
        """Items arrived together: one chunk."""
        for event in batch:
            note = NOTED.get(type(event))
            if note is not None:
                note(self, event)
        telemetry, now = self._telemetry, self._telemetry.now()
        if self._last_chunk is None:
            telemetry.first_chunk.record(now - self._started, self._common)
            self._set({"gen_ai.response.time_to_first_chunk": now - self._started})
        else:
            telemetry.output_chunk.record(now - self._last_chunk, self._common)
        self._last_chunk = now

    def end(self, error: BaseException | None = None) -> None:
        """It is over: well, with an error, or (without error, before `Finish`) as nobody wanted more. Idempotent."""
        span, self.span = self.span, None
        if span is None:
            return
        outcome: Attributes = {}
        error = error or self._failure
        if error is not None:
            # The kind of the class, not of the one timeout: few values, as metrics need. Never the text.
            kind = type(error).kind if isinstance(error, StreamError) else type(error).__qualname__
            outcome = {"error.type": kind}
            span.set_status(Status(StatusCode.ERROR, kind))
        elif not self._finished:
            span.set_attribute("millstream.stream.closed_early", True)
        span.set_attributes(outcome | self._tokens())
        self._telemetry.duration.record(self._telemetry.now() - self._started, self._common | outcome)
        span.end()

    def _counted(self, event: Usage) -> None:
        self._usage = event

    def _failed(self, event: Error) -> None:
        if event.fatal:
            self._failure = event.error  # a consumer that leaves at `Finish` never sees it raised

    def _begun(self, event: Start) -> None:
        if event.model:
            self._common = self._common | {"gen_ai.response.model": event.model}
            self._set({"gen_ai.response.model": event.model})
        if event.id:
            self._set({"gen_ai.response.id": event.id})

    def _ended(self, event: Finish) -> None:
        self._finished = True
        self._usage = event.usage or self._usage
        reasons = list((event.choices or {0: event.raw_reason or str(event.reason)}).values())
        self._set({"gen_ai.response.finish_reasons": reasons})

    def _tokens(self) -> Attributes:
        """Record the token counts, if the provider told them; return them as attributes of the span."""
        usage = self._usage
        if usage is None:
            return {}
        n_input = usage.input_tokens
        if n_input is not None and self._common["gen_ai.provider.name"] in CACHE_APART:
            n_input += (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)
        counts = {
            "gen_ai.usage.input_tokens": n_input,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        }
        for kind, n in (("input", n_input), ("output", usage.output_tokens)):
            if n is not None:
                self._telemetry.tokens.record(n, self._common | {"gen_ai.token.type": kind})
        return {name: n for name, n in counts.items() if n is not None}

    def _set(self, attributes: Attributes) -> None:
        if self.span is not None:
            self.span.set_attributes(attributes)


NOTED: dict[type, Callable[[Inference, Any], None]] = {
    Start: Inference._begun,
    Usage: Inference._counted,
    Error: Inference._failed,
    Finish: Inference._ended,
}


class _Traced(Operator[T]):
    """Feed an `Inference`. Order, items and errors stay as they are; nothing is buffered."""

    def __init__(self, source: Puller[T], inference: Inference) -> None:
        super().__init__(source)
        self._inference = inference

    async def open(self, tasks: Tasks) -> None:
        """Start the span, and open the source."""
        self._inference.start()
        try:
            await self._source.open(tasks)
        except Exception as error:
            self._inference.end(error)
            raise

    async def pull(self) -> list[T]:
        """Return the source's batch."""
        try:
            batch = await self._source.pull()
        except Exception as error:
            self._inference.end(error)
            raise
        if batch:
            self._inference.observe(batch)
        else:
            self._inference.end()
        return batch

    async def aclose(self) -> None:
        """End the span if nothing did before, and close the source."""
        self._inference.end()
        await self._source.aclose()
