"""Counts, rates, gaps and stalls of a stream, read while it runs."""

from __future__ import annotations

import logging
import random
import statistics
import threading
from typing import Any

import anyio
import pytest

import millstream as ms
from millstream.streams import Stream
from millstream.streams.monitor import GapHistogram, StreamHealth, StreamMonitor
from millstream.testing import HANG, FakeClock, ScriptedSource, Wait

pytestmark = pytest.mark.anyio

TEXT = ms.TextDelta("ab")
ERROR = ms.Error(ms.StreamError("x"), fatal=False)


class Hand:
    """A clock in the hand."""

    def __init__(self, now: float = 0.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time


def made(start: float = 0.0, **options: Any) -> tuple[StreamMonitor, Hand]:
    hand = Hand(start)
    return StreamMonitor(now=hand.now, **options), hand


def monitored(source: Any, monitor: StreamMonitor, **options: Any) -> Stream[Any]:
    return Stream(source).monitor(monitor, **options)


# --- counting ----------------------------------------------------------------------------------------------------


def test_r0195_it_knows_when_it_started() -> None:
    """`StreamMonitor.start_time`."""
    monitor, hand = made(5.0)
    assert monitor.start_time == 5.0
    hand.time = 7.0
    monitor.start()
    assert monitor.start_time == 7.0
    monitor.track_event(TEXT)
    hand.time = 9.0
    monitor.start()
    assert monitor.start_time == 7.0, "a retry does not start it anew once events came"


def test_r0196_it_counts_every_event() -> None:
    """`StreamMonitor.events_count`."""
    monitor, _ = made()
    monitor.track_event(ms.Start())
    monitor.observe([TEXT, ERROR, ms.Raw("")])
    monitor.observe([])
    monitor.track_event("no event at all")
    assert monitor.events_count == 5


def test_r0197_it_counts_the_bytes_of_text_only() -> None:
    """`StreamMonitor.bytes_received` (UTF-8 bytes of text deltas only)."""
    monitor, _ = made()
    monitor.observe([ms.TextDelta("é"), ms.TextDelta("a"), ms.ToolCall("id", "name", b"{}"), ms.ReasoningDelta("abc")])
    assert monitor.bytes_received == 3
    monitor.track_event(ms.TextDelta("\ud800"))
    assert monitor.bytes_received == 6, "a lone surrogate is no reason to fail"


def test_r0198_it_counts_errors() -> None:
    """`StreamMonitor.errors` (ERROR events only)."""
    monitor, _ = made()
    monitor.observe([TEXT] * 8 + [ERROR] * 2)
    assert monitor.errors == 2


def test_r0199_it_knows_when_the_last_event_was() -> None:
    """`StreamMonitor.last_event` time."""
    monitor, hand = made()
    assert monitor.last_event is None
    for time in (1.0, 4.0):
        hand.time = time
        monitor.track_event(TEXT)
        assert monitor.last_event == time


def test_r0200_other_threads_may_read_while_it_counts() -> None:
    """Counters safe when read from another task/thread."""
    monitor, stop, seen, wrong = StreamMonitor(), threading.Event(), [], []

    def read() -> None:
        while not stop.is_set():
            health = monitor.health()
            seen.append(health.events)
            if health.errors > health.events or health.error_rate > 1:
                wrong.append(health)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(5000):
        monitor.track_event(ERROR)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert monitor.events_count == 5000
    assert max(seen, default=0) <= 5000


async def test_r0201_monitoring_leaves_the_events_unchanged() -> None:
    """`track_event(event)`."""
    events = [ms.Start(), TEXT, ERROR, ms.Finish(ms.FinishReason.STOP)]
    monitor = StreamMonitor()
    got = [event async for event in monitored(ScriptedSource(*events), monitor)]
    assert [a is b for a, b in zip(got, events, strict=True)] == [True] * 4
    assert (monitor.events_count, monitor.bytes_received, monitor.errors) == (4, 2, 1)


# --- health ------------------------------------------------------------------------------------------------------


def test_r0202_events_per_second() -> None:
    """`StreamHealth.events_per_second`."""
    monitor, hand = made()
    monitor.observe([TEXT] * 10)
    assert monitor.health().events_per_second == 0.0
    hand.time = 4.0
    assert monitor.health().events_per_second == 2.5


def test_r0203_bytes_per_second() -> None:
    """`StreamHealth.bytes_per_second`."""
    monitor, hand = made()
    monitor.observe([TEXT] * 10)
    assert monitor.health().bytes_per_second == 0.0
    hand.time = 4.0
    assert monitor.health().bytes_per_second == 5.0


def test_r0204_error_rate() -> None:
    """`StreamHealth.error_rate` (errors/events, 0 when no events; Go gives NaN)."""
    monitor, _ = made()
    assert monitor.health().error_rate == 0.0
    monitor.observe([TEXT] * 3 + [ERROR])
    assert monitor.health().error_rate == 0.25


def test_r0205_time_since_the_last_event() -> None:
    """`StreamHealth.time_since_last_event`."""
    monitor, hand = made(10.0)
    hand.time = 17.0
    assert monitor.health().time_since_last_event == 7.0
    monitor.track_event(TEXT)
    hand.time = 19.5
    assert monitor.health().time_since_last_event == 2.5


def test_r0206_a_long_silence_is_a_stall() -> None:
    """`StreamHealth.is_stalled` when > 30 s, configurable."""
    monitor, hand = made()
    hand.time = 29.9
    assert not monitor.health().is_stalled
    hand.time = 30.1
    assert monitor.health().is_stalled
    shorter, hand = made(stall_after=1.0)
    hand.time = 1.1
    assert shorter.health().is_stalled
    shorter.finish()
    hand.time = 99.0
    assert (shorter.health().is_stalled, shorter.health().elapsed, shorter.health().has_ended) == (False, 1.1, True)


def test_time_to_the_first_event_and_gaps() -> None:
    monitor, hand = made(1.0)
    health = monitor.health()
    assert (health.time_to_first_event, health.gap_p50, health.gap_p99) == (None, None, None)
    hand.time = 3.0
    monitor.track_event(TEXT)
    assert monitor.health().time_to_first_event == 2.0
    assert monitor.health().gap_p50 is None
    for _ in range(98):
        hand.time += 0.1
        monitor.track_event(TEXT)
    hand.time += 8.0
    monitor.observe([TEXT, TEXT])
    health = monitor.health()
    assert health.gap_p50 == pytest.approx(0.1, rel=1 / 16)
    assert health.gap_p99 == pytest.approx(0.1, rel=1 / 16)
    assert monitor._gaps.percentile(1.0) == pytest.approx(8.0, rel=1 / 16)
    assert monitor._gaps.percentile(0.0) == 0.0, "those of one batch came together"


def test_percentiles_are_close_to_the_true_ones_in_fixed_memory() -> None:
    draw, histogram = random.Random(1), GapHistogram()
    gaps = [draw.lognormvariate(-3, 1.5) for _ in range(20_000)]
    for gap in gaps:
        histogram.add(gap)
    true = statistics.quantiles(gaps, n=100)
    assert histogram.percentile(0.5) == pytest.approx(true[49], rel=1 / 15)
    assert histogram.percentile(0.99) == pytest.approx(true[98], rel=1 / 15)
    assert len(histogram._counts) * histogram._counts.itemsize == 2056


@pytest.mark.parametrize(
    ("seconds", "read"), [(0.0, 0.0), (-1.0, 0.0), (1e-9, 0.0), (1e9, 3968.0), (float("inf"), 3968.0)]
)
def test_gaps_beyond_the_range_are_kept_at_its_ends(seconds: float, read: float) -> None:
    histogram = GapHistogram()
    histogram.add(seconds)
    assert histogram.percentile(0.5) == read


@pytest.mark.parametrize("wrong", [0, -1, float("nan")])
def test_nonsense_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="stall_after must be positive"):
        StreamMonitor(stall_after=wrong)
    with pytest.raises(ValueError, match="every must be positive"):
        monitored(ScriptedSource(), StreamMonitor(), every=wrong)


# --- watching ----------------------------------------------------------------------------------------------------


async def test_r0207_health_is_reported_also_when_nothing_comes() -> None:
    """Health check every 5 s runs also when no events arrive."""
    clock = FakeClock()
    monitor = StreamMonitor(now=clock.now)
    reports: list[tuple[float, bool]] = []

    async def on_health(health: StreamHealth) -> None:
        reports.append((clock.now(), health.is_stalled))

    source = ScriptedSource(TEXT, HANG, clock=clock)
    async with monitored(source, monitor, every=5.0, on_health=on_health, clock=clock) as stream:
        assert await anext(stream) is TEXT
        await clock.advance(36.0)
    assert reports == [
        (5.0, False),
        (10.0, False),
        (15.0, False),
        (20.0, False),
        (25.0, False),
        (30.0, False),
        (35.0, True),
    ]
    assert source.closed


async def test_r0208_a_stall_is_a_warning_and_the_rest_information(caplog: pytest.LogCaptureFixture) -> None:
    """Stalled -> warning; otherwise events/s, KB/s, error %."""
    clock = FakeClock()
    monitor = StreamMonitor(now=clock.now)
    monitor.observe([ms.TextDelta("x" * 1024)] * 9 + [ERROR])
    with caplog.at_level(logging.INFO, "millstream.monitor"):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: monitor.watch(20.0, clock=clock))
            await clock.advance(40.0)
            monitor.finish()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "stream 0.5 events/s, 0.5 KB/s, 10.0% errors"),
        ("WARNING", "stream stalled: no event for 40.0 s (10 events so far)"),
    ]


async def test_r0209_monitoring_ends_with_the_stream() -> None:
    """Monitoring ends with the stream."""
    clock = FakeClock()
    before = {task.id for task in anyio.get_running_tasks()}
    for end in (ScriptedSource(TEXT, clock=clock), ScriptedSource(TEXT, ConnectionError("x"), clock=clock)):
        monitor = StreamMonitor(now=clock.now)
        async with monitored(end, monitor, every=5.0, clock=clock) as stream:
            await anext(stream)
            with pytest.raises((StopAsyncIteration, ConnectionError)):
                await anext(stream)
            await clock.settle()
            assert monitor.health().has_ended
            assert clock.sleepers == 0
        assert {task.id for task in anyio.get_running_tasks()} == before
    await monitor.watch(clock=clock)


async def test_watch_returns_when_the_stream_ends_not_at_the_next_tick() -> None:
    clock = FakeClock()
    monitor = StreamMonitor(now=clock.now)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: monitor.watch(3600.0, clock=clock))
        await clock.settle()
        monitor.finish()
    assert clock.now() == 0.0
    with pytest.raises(ValueError, match="every must be positive"):
        await monitor.watch(0)


async def test_a_report_that_raises_ends_the_stream_with_that_error() -> None:
    clock = FakeClock()
    source = ScriptedSource(TEXT, HANG, clock=clock)

    def on_health(health: StreamHealth) -> None:
        raise KeyError("report")

    async with clock.autojump():
        monitor = StreamMonitor(now=clock.now)
        async with monitored(source, monitor, every=5.0, on_health=on_health, clock=clock) as stream:
            await anext(stream)
            with pytest.raises(KeyError, match="report"):
                await anext(stream)
    assert source.closed


async def test_a_report_that_raises_while_nobody_pulls_is_raised_at_the_next_pull() -> None:
    clock = FakeClock()
    source = ScriptedSource(TEXT, TEXT, clock=clock)
    monitor = StreamMonitor(now=clock.now)
    async with monitored(source, monitor, every=5.0, on_health=lambda _: 1 / 0, clock=clock) as stream:
        await anext(stream)
        await clock.advance(6.0)
        with pytest.raises(ZeroDivisionError):
            await anext(stream)


async def test_closing_does_not_wait_for_a_report_that_hangs() -> None:
    clock = FakeClock()
    cancelled: list[bool] = []

    async def on_health(health: StreamHealth) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(True)

    source = ScriptedSource(TEXT, HANG, clock=clock)
    monitor = StreamMonitor(now=clock.now)
    async with monitored(source, monitor, every=5.0, on_health=on_health, clock=clock) as stream:
        await anext(stream)
        await clock.advance(6.0)
        await stream.aclose()
        assert cancelled == [True]
        assert source.closed


async def test_reports_need_the_stream_to_be_entered() -> None:
    stream = monitored(ScriptedSource(TEXT), StreamMonitor(), every=5.0)
    with pytest.raises(ms.errors.StreamNotEntered, match=r"monitor\(every=\.\.\.\)"):
        await anext(stream)
    await stream.aclose()


async def test_the_bytes_of_the_wire_are_counted_too() -> None:
    body = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n: ping\n\ndata: [DONE]\n\n'
    monitor = StreamMonitor()
    stream = ms.stream(ScriptedSource(body[:60], body[60:]), protocol="openai-chat")
    async with stream.monitor(monitor) as events:
        assert await events.text() == "hi"
    assert monitor.wire_bytes == len(body)
    assert monitor.bytes_received == 2


async def test_waiting_counts_as_a_gap() -> None:
    clock = FakeClock()
    monitor = StreamMonitor(now=clock.now)
    async with clock.autojump():
        await monitored(ScriptedSource(TEXT, Wait(2.0), TEXT, clock=clock), monitor).collect()
    assert monitor.health().gap_p50 == pytest.approx(2.0, rel=1 / 16)
