"""`timeout`: each of the four clocks, what resets it, and what does not."""

from __future__ import annotations

import contextlib
from typing import Any

import anyio
import pytest

import millstream as ms
from millstream.streams import Stream, Timeouts
from millstream.testing import HANG, FakeClock, ScriptedSource, Wait
from streams.probe import Probe, drain

pytestmark = pytest.mark.anyio

TEXT = ms.TextDelta("x")


async def run(*steps: Any, body: bool = False, **seconds: float) -> tuple[str | None, float, list[Any], bool]:
    """(kind of the timeout or None, when, what came, whether the source was closed)."""
    clock = FakeClock()
    source: ScriptedSource[Any] = ScriptedSource(*steps, clock=clock)
    stream = ms.stream(source, "millstream.events.v1") if body else Stream(source)
    got: list[Any] = []
    kind = None
    async with clock.autojump():
        try:
            async with stream.timeout(Timeouts(**seconds), clock=clock) as timed:
                await drain(timed, got)
        except ms.StreamTimeout as error:
            kind = error.kind
    assert clock.sleepers == 0
    return kind, clock.now(), got, source.closed


async def test_in_time() -> None:
    assert await run(Wait(1), TEXT, Wait(1), TEXT, first=1.5, idle=1.5, progress=1.5, total=2.5) == (
        None,
        2.0,
        [TEXT, TEXT],
        True,
    )


async def test_first() -> None:
    assert await run(Wait(3), TEXT, first=2.0, idle=9.0) == ("first", 2.0, [], True)


async def test_idle() -> None:
    assert await run(TEXT, Wait(1.9), TEXT, HANG, first=9.0, idle=2.0) == ("idle", 3.9, [TEXT, TEXT], True)


async def test_progress_is_not_fed_by_pings() -> None:
    raw = ms.Raw("ping")
    steps = [TEXT, Wait(1), raw, Wait(1), raw, Wait(1), raw, HANG]
    assert await run(*steps, idle=1.5, progress=2.5) == ("progress", 2.5, [TEXT, raw, raw], True)


async def test_r0136_total() -> None:
    steps = [step for _ in range(100) for step in (Wait(0.5), TEXT)]
    kind, when, got, closed = await run(*steps, idle=1.0, total=2.2)
    assert (kind, when, len(got), closed) == ("total", 2.2, 4, True)


async def test_total_also_ends_a_source_that_never_waits() -> None:
    clock = FakeClock()

    async def endless() -> Any:
        while True:
            yield TEXT

    with pytest.raises(ms.StreamTimeout) as caught:  # noqa: PT012
        async with Stream(endless()).timeout(total=5.0, clock=clock) as stream:
            async for _ in stream:
                clock._now += 1.0
    assert caught.value.kind == "total"


async def test_bytes_that_make_no_event_keep_the_idle_clock_alive() -> None:
    start = ms.encoder("millstream.events.v1").encode(ms.Start())
    ping = b": ping\n\n"
    steps = [start, Wait(1.5), ping, Wait(1.5), ping, Wait(1.5), ping]
    kind, when, got, closed = await run(*steps, HANG, body=True, idle=2.0)
    assert (kind, when, len(got), closed) == ("idle", 6.5, 1, True)
    kind, when, got, closed = await run(*steps, HANG, body=True, idle=2.0, progress=3.0)
    assert (kind, when, len(got), closed) == ("progress", 3.0, 1, True)


async def test_a_slow_consumer_is_not_a_silent_source() -> None:
    clock = FakeClock()
    source = ScriptedSource(TEXT, TEXT, Wait(1.0), TEXT, clock=clock)
    got = []
    async with clock.autojump(), Stream(source).timeout(idle=2.0, progress=2.0, clock=clock) as stream:
        async for event in stream:
            got.append(event)
            await clock.sleep(10.0)
    assert len(got) == 3


async def test_opening_counts() -> None:
    class Slow(ScriptedSource[Any]):
        status_code = 200

    clock = FakeClock()

    class Context:
        async def __aenter__(self) -> Any:
            await clock.sleep(100.0)

        async def __aexit__(self, *_: object) -> None:
            raise AssertionError("was never entered")

    async with clock.autojump():
        with pytest.raises(ms.StreamTimeout) as caught:
            async with ms.stream(Context(), "millstream.events.v1").timeout(first=3.0, clock=clock):
                pass
    assert (caught.value.kind, clock.now()) == ("first", 3.0)


def body(clock: FakeClock, *steps: Any) -> Stream[Any]:
    return ms.stream(ScriptedSource(*steps, clock=clock), "millstream.events.v1")


COMBINED = [
    pytest.param(lambda one, other: one.merge(other), id="merge"),
    pytest.param(lambda one, other: other.zip(one), id="zip"),
    pytest.param(lambda one, other: one.concat(other), id="concat"),
]


@pytest.mark.parametrize("combined", COMBINED)
async def test_bytes_of_any_combined_stream_keep_the_idle_clock_alive(combined: Any) -> None:
    encoder, clock = ms.encoder("millstream.events.v1"), FakeClock()
    start = encoder.encode(ms.Start())
    end = encoder.encode(ms.Finish(ms.FinishReason.STOP))
    pings = body(clock, start, *[step for _ in range(8) for step in (Wait(1), b": ping\n\n")], end)
    async with clock.autojump(), combined(pings, body(clock, start, end)).timeout(idle=1.5, clock=clock) as timed:
        assert [event async for event in timed]
    assert clock.now() == 8.0


async def test_bytes_that_make_no_event_keep_the_idle_clock_alive_in_real_time() -> None:
    """The clock of the event loop, which has a shorter way on asyncio."""

    async def chunks() -> Any:
        encoder = ms.encoder("millstream.events.v1")
        yield encoder.encode(ms.Start())
        for _ in range(4):
            await anyio.sleep(0.3)
            yield b": ping\n\n"
        yield encoder.encode(ms.Finish(ms.FinishReason.STOP))

    stream = ms.stream(chunks(), "millstream.events.v1")
    assert [event.type async for event in stream.timeout(idle=1.1)] == ["start", "finish"]


async def test_what_is_late_when_it_is_asked_for_is_not_begun() -> None:
    source = Probe([1], suspend=False)
    with pytest.raises(ms.StreamTimeout) as caught:
        await drain(Stream(source).timeout(total=1e-9), [])
    assert (caught.value.kind, source.pulls, source.closes) == ("total", 0, 1)


async def test_a_source_that_gives_an_item_though_it_was_told_to_stop_is_ended() -> None:
    class Stubborn(Probe):
        async def __anext__(self) -> Any:
            with contextlib.suppress(anyio.get_cancelled_exc_class()):
                await anyio.sleep_forever()
            return "late"

    got: list[Any] = []
    source = Stubborn()
    with pytest.raises(ms.StreamTimeout) as caught:
        await drain(Stream(source).timeout(total=0.05), got)
    assert (caught.value.kind, source.closes) == ("total", 1)
    assert got in ([], ["late"]), "on trio it is too late only for the next one"


async def test_the_total_is_over_also_while_the_consumer_works() -> None:
    source = Probe([1, 2], hang=True)
    with pytest.raises(ms.StreamTimeout) as caught:  # noqa: PT012
        async for _ in Stream(source).timeout(total=0.5):
            await anyio.sleep(0.6)
    assert (caught.value.kind, source.pulls, source.closes) == ("total", 1, 1)


async def test_bytes_that_come_while_the_consumer_works_do_no_harm() -> None:
    """`merge` reads on by itself."""
    encoder, clock = ms.encoder("millstream.events.v1"), FakeClock()
    start, end = encoder.encode(ms.Start()), encoder.encode(ms.Finish(ms.FinishReason.STOP))
    pings = body(clock, start, *[step for _ in range(8) for step in (Wait(1), b": ping\n\n")], end)
    other = body(clock, start, Wait(20), end)
    seen = []
    with pytest.raises(ms.StreamTimeout) as caught:  # noqa: PT012
        async with clock.autojump(), pings.merge(other).timeout(idle=5.0, clock=clock) as timed:
            async for event in timed:
                seen.append(str(event.type))
                await clock.sleep(3.0)
    assert (caught.value.kind, sorted(seen)) == ("idle", ["finish", "start", "start"])
