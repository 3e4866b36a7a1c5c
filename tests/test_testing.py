"""The fake clock, the scripted sources and the conformance check that users get for their own tests."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import anyio
import pytest
from anyio.lowlevel import checkpoint

from millstream.streams import Stream
from millstream.streams._clock import ANYIO_CLOCK, Clock
from millstream.testing import (
    HANG,
    FakeClock,
    ScriptedSource,
    Scripts,
    Wait,
    assert_stream_conformance,
    chunked,
    every_cut,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "asyncio+uvloop", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return ("asyncio", {"use_uvloop": True}) if request.param == "asyncio+uvloop" else request.param


# --- the clock ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clock", [FakeClock(), ANYIO_CLOCK], ids=["fake", "anyio"])
def test_both_clocks_keep_the_protocol(clock: object) -> None:
    assert isinstance(clock, Clock)


async def test_the_anyio_clock_is_the_loops() -> None:
    before = ANYIO_CLOCK.now()
    await ANYIO_CLOCK.sleep(0.001)
    await ANYIO_CLOCK.sleep(-1)
    await ANYIO_CLOCK.sleep_until(before)
    with ANYIO_CLOCK.move_on_at(ANYIO_CLOCK.now()) as scope:
        await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert before < ANYIO_CLOCK.now() <= anyio.current_time()


async def test_sleepers_wake_in_the_order_of_their_times() -> None:
    clock = FakeClock(100.0)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.now()))

    async with anyio.create_task_group() as tasks:
        for name, seconds in [("late", 3.0), ("early", 1.0), ("also early", 1.0), ("never", 10.0), ("now", 0.0)]:
            tasks.start_soon(sleeper, name, seconds)
        await clock.settle()
        assert woken == [("now", 100.0)]
        assert clock.sleepers == 4
        await clock.advance(0.5)
        assert woken == [("now", 100.0)]
        await clock.advance(4.5)
        assert clock.now() == 105.0
        assert woken[1:3] in ([("early", 101.0), ("also early", 101.0)], [("also early", 101.0), ("early", 101.0)])
        assert woken[3:] == [("late", 103.0)]
        tasks.cancel_scope.cancel()
    assert clock.sleepers == 0


async def test_a_timer_set_by_who_has_just_woken_is_kept() -> None:
    clock, ticks = FakeClock(), []

    async def ticker() -> None:
        when = clock.now()
        for _ in range(4):
            when += 0.25
            await clock.sleep_until(when)
            ticks.append(clock.now())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ticker)
        await clock.advance(1.0)
        assert ticks == [0.25, 0.5, 0.75, 1.0]


async def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="does not go back"):
        await FakeClock().advance(-1)


async def test_a_scope_is_cancelled_at_its_time() -> None:
    clock = FakeClock()
    ended: list[float] = []

    async def wait() -> None:
        with clock.move_on_at(2.0) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        ended.append(clock.now())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await clock.advance(1.999)
        assert ended == []
        await clock.advance(1)
    assert ended == [2.0]


async def test_a_deadline_can_be_moved_and_a_past_one_cancels_at_once() -> None:
    clock = FakeClock()
    async with clock.autojump():
        with clock.move_on_at(1.0) as scope:
            scope.deadline = 5.0
            await clock.sleep(3.0)
        assert not scope.cancelled_caught
        assert (clock.now(), scope.deadline, clock.sleepers) == (3.0, 5.0, 0)
        with clock.move_on_at(2.0) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        with clock.move_on_at(float("inf")) as scope:
            assert clock.sleepers == 0
            scope.cancel()
            await checkpoint()
        assert scope.cancel_called
        assert scope.cancelled_caught
        assert clock.now() == 3.0


async def test_a_deadline_can_be_moved_before_the_scope_is_entered() -> None:
    clock = FakeClock()
    scope = clock.move_on_at(1.0)
    scope.deadline = 5.0
    assert clock.sleepers == 0
    async with clock.autojump():
        with scope:
            await clock.sleep(3.0)
            assert not scope.cancel_called
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert clock.now() == 5.0


async def test_autojump_costs_no_real_time() -> None:
    clock, before = FakeClock(), time.monotonic()
    async with clock.autojump():
        for _ in range(24):
            await clock.sleep(3600.0)
    assert clock.now() == 24 * 3600.0
    assert time.monotonic() - before < 5


async def test_autojump_waits_until_there_is_a_timer() -> None:
    clock, event = FakeClock(), anyio.Event()

    async def late() -> None:
        await event.wait()
        await clock.sleep(1.0)

    async with clock.autojump(), anyio.create_task_group() as tasks:
        tasks.start_soon(late)
        await clock.settle()
        event.set()
    assert clock.now() == 1.0


async def test_autojump_lets_errors_out_as_they_are() -> None:
    with pytest.raises(KeyError):
        async with FakeClock().autojump():
            raise KeyError("x")


# --- sources -----------------------------------------------------------------------------------------------------


async def test_a_script_gives_items_waits_and_raises() -> None:
    clock = FakeClock()
    source = ScriptedSource("a", Wait(5.0), "b", ConnectionError("reset"), "never", clock=clock, name="s")
    got: list[tuple[str, float]] = []

    async def read() -> None:
        async for item in source:
            got.append((item, clock.now()))

    async with clock.autojump():
        with pytest.raises(ConnectionError, match="reset"):
            await read()
    assert got == [("a", 0.0), ("b", 5.0)]
    assert (source.pulls, source.given, source.closed) == (3, ["a", "b"], False)
    assert [item async for item in source] == []
    assert repr(source) == "<ScriptedSource s open, 4 pulls, 2 given>"


async def test_without_a_clock_it_waits_in_real_time() -> None:
    assert [item async for item in ScriptedSource(Wait(0.001), "a")] == ["a"]


async def test_a_hanging_source_is_cancelled() -> None:
    source: ScriptedSource[str] = ScriptedSource("a", HANG)
    assert repr(HANG) == "HANG"
    await anext(source)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:

            async def cancel() -> None:
                await FakeClock().settle()
                with pytest.raises(RuntimeError, match="running"):
                    await source.aclose()
                with pytest.raises(RuntimeError, match="two consumers"):
                    await anext(source)
                scope.cancel()

            tasks.start_soon(cancel)
            await anext(source)
    assert scope.cancelled_caught
    assert source.cancelled
    await source.aclose()
    assert source.closed
    assert [item async for item in source] == []


def test_scripts_are_opened_one_after_another() -> None:
    first, second = ScriptedSource[str](), ScriptedSource[str]()
    scripts = Scripts(first, ConnectionError("no"), second)
    assert scripts() is first
    with pytest.raises(ConnectionError):
        scripts()
    assert scripts() is second
    with pytest.raises(AssertionError, match="opened 4 times"):
        scripts()
    assert (scripts.opens, scripts.opened) == (4, [first, second])


def test_cuts() -> None:
    assert chunked(b"abcde", 2) == [b"ab", b"cd", b"e"]
    assert chunked(b"", 2) == []
    assert list(every_cut(b"ab")) == [(b"", b"ab"), (b"a", b"b"), (b"ab", b"")]
    with pytest.raises(ValueError, match="at least 1"):
        chunked(b"a", 0)


# --- conformance -------------------------------------------------------------------------------------------------


async def test_r0299_the_check_passes_streams_and_sources() -> None:
    """Producers always handle cancellation; the conformance check is there for producers of others."""

    async def generator() -> AsyncIterator[int]:
        for i in range(3):
            await checkpoint()
            yield i

    await assert_stream_conformance(generator)
    await assert_stream_conformance(lambda: ScriptedSource(1, 2, 3))
    await assert_stream_conformance(lambda: Stream(ScriptedSource(1, 2, 3)).map(str).filter(bool))


class Bare:
    """An async iterator that has nothing else: no closing, no block. Counts what it was asked for."""

    asked = 0

    def __init__(self) -> None:
        self._left = iter(range(3))

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        Bare.asked += 1
        await checkpoint()
        for item in self._left:
            return item
        raise StopAsyncIteration


async def test_the_check_takes_a_producer_that_cannot_be_closed() -> None:
    await assert_stream_conformance(Bare)


async def test_the_check_cancels_at_so_many_waits_as_it_was_told() -> None:
    Bare.asked = 0
    await assert_stream_conformance(Bare, max_steps=1)
    few, Bare.asked = Bare.asked, 0
    await assert_stream_conformance(Bare, max_steps=2)
    assert few < Bare.asked


class Swallows(ScriptedSource[int]):
    async def __anext__(self) -> int:
        try:
            return await super().__anext__()
        except anyio.get_cancelled_exc_class():
            raise StopAsyncIteration from None


class Restarts(ScriptedSource[int]):
    async def __anext__(self) -> int:
        try:
            return await super().__anext__()
        except StopAsyncIteration:
            self._steps = iter((9,))
            raise


class ClosesOnce(ScriptedSource[int]):
    async def aclose(self) -> None:
        assert not self.closed, "closed twice"
        await super().aclose()


@pytest.mark.parametrize(
    ("cls", "said"),
    [(Swallows, "as if complete"), (Restarts, "after its end it gave 9"), (ClosesOnce, "closed twice")],
)
async def test_r0300_the_check_finds_who_does_not_stop(cls: type[ScriptedSource[int]], said: str) -> None:
    """Stop means stop, immediately: a producer that does not is found by the conformance check."""
    with pytest.raises(AssertionError, match=said):
        await assert_stream_conformance(lambda: cls(1, 2, 3))


async def test_the_check_finds_other_items_and_tasks_left() -> None:
    calls = iter(range(9))
    with pytest.raises(AssertionError, match="another one"):
        await assert_stream_conformance(lambda: ScriptedSource(next(calls)))
    async with anyio.create_task_group() as tasks:

        def leaks() -> ScriptedSource[int]:
            tasks.start_soon(anyio.sleep_forever, name="forgotten")
            return ScriptedSource(1)

        with pytest.raises(AssertionError, match=r"tasks still run: .*forgotten"):
            await assert_stream_conformance(leaks)
        tasks.cancel_scope.cancel()
