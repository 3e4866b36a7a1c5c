"""`timeout`: each of the four clocks, what resets it, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

import millstream as ms
from millstream.streams import Stream, Timeouts
from millstream.testing import HANG, FakeClock, ScriptedSource, Wait
from streams.probe import drain

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
