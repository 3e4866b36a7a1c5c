"""What runs in this process and what has run: for limits, `/health` and `/metrics`.

Each running stream has a `StreamMonitor`; nothing is counted twice, and an event costs what the monitor costs. When a
stream ends, its counts go into the totals of its model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from millstream.errors import RetriesExhausted, StreamError
from millstream.events import Finish
from millstream.server.gateway._metrics import Histogram, Kind, Sample, family
from millstream.server.limit import Admission, StreamLimit
from millstream.streams import StreamMonitor
from millstream.streams._pull import Puller
from millstream.streams._tasks import Tasks
from millstream.streams.operators._base import Operator

__all__ = ["Figures", "Live", "Watched"]

FIRST_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
WHOLE_BOUNDS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
MAX_TOKENS = 1 << 32  # of one answer


class Live:
    """One request for an answer, from before its body is read until its stream has ended.

    Attributes:
        model: "" until the stream runs.
        held: bytes that it keeps in memory.
        opened: called once with None when the upstream has answered, or with what kept it from doing so.
    """

    def __init__(self, figures: Figures, owner: str, admission: Admission) -> None:
        self.model = ""
        self.owner = owner
        self.admission = admission
        self.held = 0
        self.monitor = StreamMonitor()
        self.opened: Callable[[Exception | None], None] = lambda error: None
        self._figures = figures

    def begin(self, model: str) -> None:
        """The request is known, and its stream begins."""
        self._figures._begin(self, model)

    def hold(self, n_bytes: int) -> None:
        """So many bytes more are kept, until the end."""
        self._figures._hold(self, n_bytes)

    def end(self) -> None:
        """It runs no more. Again: nothing."""
        self._figures._forget(self)


class Watched(Operator[Any]):
    """Lets a `Live` see what passes, and ends it."""

    def __init__(self, source: Puller[Any], live: Live, figures: Figures) -> None:
        super().__init__(source)
        self._live = live
        self._figures = figures
        source.watch(live.monitor.heard)

    async def open(self, tasks: Tasks) -> None:
        """Open the source, and tell how that went."""
        self._live.monitor.start()
        try:
            await super().open(tasks)
        except Exception as error:
            self._figures.failed(self._live.model, error)
            self._live.opened(error)
            raise
        self._live.opened(None)

    async def pull(self) -> list[Any]:
        """Return the source's batch."""
        try:
            batch: list[Any] = await self._source.pull()
        except Exception as error:
            self._figures.failed(self._live.model, error)
            raise
        if batch:
            self._live.monitor.observe(batch)
            last = batch[-1]
            if type(last) is Finish and last.usage is not None:
                used = self._figures.tokens
                used[self._live.model, "input"] += _count(last.usage.input_tokens)
                used[self._live.model, "output"] += _count(last.usage.output_tokens)
        return batch

    async def aclose(self) -> None:
        """Close the source; the stream runs no more."""
        try:
            await super().aclose()
        finally:
            self._live.end()


def _count(said: int | None) -> int:
    """Return what a provider says of one answer, as far as it can be: a counter never falls."""
    return min(max(said or 0, 0), MAX_TOKENS)


class Figures:
    """All streams of this process.

    Args: limit: how many may be let in.
    """

    def __init__(self, models: Iterable[str], limit: StreamLimit | None = None) -> None:
        self._models = tuple(models)
        self._limit = limit or StreamLimit()
        self._all: set[Live] = set()
        self._running: set[Live] = set()
        self.held_bytes = 0
        self._streams: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._errors: Counter[tuple[str, str]] = Counter()
        self._requests: Counter[tuple[str, int]] = Counter()
        self.tokens: Counter[tuple[str, str]] = Counter()
        self._first = {model: Histogram(FIRST_BOUNDS) for model in self._models}
        self._whole = {model: Histogram(WHOLE_BOUNDS) for model in self._models}

    # --- written ---------------------------------------------------------------------------------------------------

    def admit(self, owner: str) -> Live:
        """A request is let in; call `end` of what is returned. Raises: TooManyStreams."""
        admission = self._limit.of(owner)
        admission.enter()
        live = Live(self, owner, admission)
        self._all.add(live)
        return live

    def _begin(self, live: Live, model: str) -> None:
        live.model = model
        self._running.add(live)
        self._streams[model] += 1

    def _hold(self, live: Live, n_bytes: int) -> None:
        if live in self._all:
            live.held += n_bytes
            self.held_bytes += n_bytes

    def failed(self, model: str, error: Exception) -> None:
        """A stream failed."""
        last = error.last if isinstance(error, RetriesExhausted) else error
        self._errors[model, type(last).kind if isinstance(last, StreamError) else "internal"] += 1

    def answered(self, route: str, status: int) -> None:
        """A request has its answer; `status` 0: the client left before that."""
        self._requests[route, status] += 1

    def _forget(self, live: Live) -> None:
        if live not in self._all:
            return
        self._all.remove(live)
        self.held_bytes -= live.held
        live.admission.leave()
        if live not in self._running:
            return
        self._running.remove(live)
        monitor, model = live.monitor, live.model
        monitor.finish()
        self._events[model] += monitor.events_count
        self._bytes[model] += monitor.bytes_received
        health = monitor.health()
        if health.time_to_first_event is not None:
            self._first[model].add(health.time_to_first_event)
        self._whole[model].add(health.elapsed)

    # --- read ------------------------------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """How many streams run."""
        return len(self._running)

    @property
    def admitted(self) -> int:
        """How many requests for answers are being read or answered."""
        return self._limit.running

    def of_owner(self, owner: str) -> int:
        """How many of them this owner has."""
        return self._limit.running_of(owner)

    def health(self) -> dict[str, Any]:
        """Return what `StreamHealth` says of all running streams together, and how many there were."""
        looks = [live.monitor.health() for live in self._running]
        events = sum(look.events for look in looks)
        errors = sum(look.errors for look in looks)
        gaps = [look.gap_p99 for look in looks if look.gap_p99 is not None]
        return {
            "running": len(looks),
            "stalled": sum(look.is_stalled for look in looks),
            "events_per_second": round(sum(look.events_per_second for look in looks), 3),
            "bytes_per_second": round(sum(look.bytes_per_second for look in looks), 3),
            "error_rate": errors / events if events else 0.0,
            "longest_silence": round(max((look.time_since_last_event for look in looks), default=0.0), 3),
            "worst_gap_p99": max(gaps, default=None),
            "started": sum(self._streams.values()),
            "failed": sum(self._errors.values()),
        }

    def metrics(self, common: dict[str, str], *, draining: bool) -> str:
        """Write all of it for Prometheus."""
        families = self._families(draining)
        return "".join(family(name, kind, said, samples, common) for name, kind, said, samples in families)

    def _families(self, draining: bool) -> Iterator[tuple[str, Kind, str, list[Sample]]]:
        running, stalled = Counter[str](), Counter[str]()
        events, n_bytes = Counter(self._events), Counter(self._bytes)
        for live in self._running:
            running[live.model] += 1
            stalled[live.model] += live.monitor.health().is_stalled
            events[live.model] += live.monitor.events_count
            n_bytes[live.model] += live.monitor.bytes_received
        yield (
            "millstream_requests_total",
            "counter",
            "Answered requests; status 0: the client had left.",
            [("", {"route": route, "status": str(status)}, n) for (route, status), n in sorted(self._requests.items())],
        )
        per_model: tuple[tuple[str, Kind, str, Counter[str]], ...] = (
            ("millstream_streams_running", "gauge", "Streams that run now.", running),
            ("millstream_streams_stalled", "gauge", "Of these, silent for more than 30 s.", stalled),
            ("millstream_streams_total", "counter", "Streams begun.", self._streams),
            ("millstream_events_total", "counter", "Events from providers.", events),
            ("millstream_text_bytes_total", "counter", "UTF-8 bytes of text in them.", n_bytes),
        )
        for name, kind, said, counts in per_model:
            yield name, kind, said, [("", {"model": model}, counts[model]) for model in self._models]
        yield (
            "millstream_tokens_total",
            "counter",
            "Tokens, as providers count them.",
            [("", {"model": model, "kind": kind}, n) for (model, kind), n in sorted(self.tokens.items())],
        )
        yield (
            "millstream_errors_total",
            "counter",
            "Streams that failed, by kind of error.",
            [("", {"model": model, "kind": kind}, n) for (model, kind), n in sorted(self._errors.items())],
        )
        for name, said, histograms in (
            ("millstream_first_event_seconds", "From the request to the first event.", self._first),
            ("millstream_stream_seconds", "How long streams ran.", self._whole),
        ):
            samples = [one for model in self._models for one in histograms[model].samples({"model": model})]
            yield name, "histogram", said, samples
        yield (
            "millstream_held_bytes",
            "gauge",
            "Bytes of bodies and of whole answers that are kept now.",
            [("", {}, self.held_bytes)],
        )
        yield "millstream_draining", "gauge", "1 while the gateway shuts down.", [("", {}, int(draining))]
