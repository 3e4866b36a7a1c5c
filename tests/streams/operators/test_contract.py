"""What every operator keeps: order, laziness, bounded read-ahead, one outcome, the source closed, errors unchanged,
cancellation at every await, nothing left behind. The operators are in `contract.py`."""

from __future__ import annotations

import asyncio
import gc
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from itertools import count, islice
from typing import Any

import pytest
from anyio import (
    CancelScope,
    create_task_group,
    fail_after,
    get_running_tasks,
)

import millstream as ms
from millstream.streams import Stream
from streams.operators.contract import CASES, Case
from streams.probe import Probe, drain, settle

pytestmark = pytest.mark.anyio

BACKENDS = [
    pytest.param("asyncio", id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    pytest.param("trio", id="trio"),
]


@pytest.fixture(params=BACKENDS)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """No task and no timer; what the garbage collector has to complain about, it says in the test that did it."""
    yield
    assert [task.name for task in get_running_tasks() if task.name and task.name.startswith("millstream")] == []
    timers = getattr(asyncio.get_running_loop(), "_scheduled", []) if is_asyncio() else []
    assert [timer for timer in timers if not timer.cancelled()] == []
    gc.collect(1)


def is_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def batches(items: list[int]) -> Stream[int]:
    async def lists() -> Any:
        for i in range(0, len(items), 4):
            yield items[i : i + 4]

    return Stream.from_batches(lists())


# --- what comes out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 12])
async def test_order_and_nothing_lost(case: Case, size: int) -> None:
    items = list(range(size))
    source = Probe(items)
    assert await case.build(Stream(source)).collect() == case.out(items)
    assert source.closes == 1
    assert await case.build(batches(items)).collect() == case.out(items)


async def test_any_async_iterable_is_a_source(case: Case) -> None:
    async def numbers() -> Any:
        for item in range(5):
            yield item

    assert await case.build(Stream(numbers())).collect() == case.out(range(5))


async def test_items_come_out_before_the_source_goes_on(case: Case) -> None:
    """Nothing is held back for later: what can be given, is given while the source is silent."""
    first = case.needed(1) + case.ahead
    source = Probe(range(first), hang=True)
    with fail_after(5):
        async with case.build(Stream(source)) as stream:
            assert await anext(stream) == case.out(range(first))[0]
    assert source.closes == 1


# --- what is pulled --------------------------------------------------------------------------------------------------


async def test_nothing_is_pulled_before_it_is_asked_for(case: Case) -> None:
    source = Probe(count())
    stream = case.build(Stream(source))
    assert source.pulls == 0
    async with stream:
        await settle()
        assert source.pulls <= (case.ahead if case.eager else 0)
    assert source.closes == 1


async def test_read_ahead_is_bounded(case: Case) -> None:
    source = Probe(count())
    async with case.build(Stream(source)) as stream:
        for consumed in range(1, 9):
            await anext(stream)
            await settle()
            assert source.pulls <= case.needed(consumed) + case.ahead
    assert source.closes == 1


# --- how it ends -----------------------------------------------------------------------------------------------------


async def test_the_end_comes_once_and_stays(case: Case) -> None:
    source = Probe(range(4))
    async with case.build(Stream(source)) as stream:
        got: list[Any] = []
        await drain(stream, got)
        assert stream.state == "finished"
        assert source.closes == 1
        for _ in range(2):
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
    assert got == case.out(range(4))
    assert stream.state == "finished"


@pytest.mark.parametrize("k", [0, 1, 4])
@pytest.mark.parametrize(
    "error", [ValueError("mine"), ms.Overloaded("busy"), OSError("disk")], ids=lambda e: type(e).__name__
)
async def test_an_error_comes_unchanged_once_and_after_what_came_before(case: Case, k: int, error: Exception) -> None:
    if case.name == "retry" and k == 0 and not isinstance(error, ValueError):
        pytest.skip("here the operator does its work")
    source = Probe(range(k), error=error)
    got: list[Any] = []
    async with case.build(Stream(source)) as stream:
        with pytest.raises(type(error)) as caught:
            await drain(stream, got)
        assert caught.value is error
        assert stream.state == "failed"
        assert source.closes == 1
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    assert got == (case.before_error or case.out)(range(k))
    assert source.closes == 1
    assert not source.closed_while_running


async def test_closing_errors_are_reported_and_hide_nothing(case: Case) -> None:
    class Broken(Probe):
        async def aclose(self) -> None:
            await super().aclose()
            raise OSError("close")

    with pytest.raises(OSError, match="close"):
        await case.build(Stream(Broken(range(3)))).collect()
    source = Broken(range(3), error=KeyError("first"))
    with pytest.raises(KeyError) as caught:
        await case.build(Stream(source)).collect()
    assert "close" in "".join(caught.value.__notes__)
    with pytest.raises(KeyError) as caught:  # noqa: PT012
        async with case.build(Stream(Broken(count()))) as stream:
            await anext(stream)
            raise KeyError("body")
    assert "close" in "".join(caught.value.__notes__)


# --- the source is closed on every way out ---------------------------------------------------------------------------


async def test_a_stream_that_is_never_read(case: Case) -> None:
    source = Probe(count())
    async with case.build(Stream(source)):
        pass
    assert source.closes == 1
    source = Probe(count())
    await case.build(Stream(source)).aclose()
    assert source.closes == 1


async def test_a_consumer_that_stops_early(case: Case) -> None:
    source = Probe(count())
    async with case.build(Stream(source)) as stream:
        async for _ in stream:
            break
    assert (source.closes, source.closed_while_running, stream.state) == (1, False, "closed")
    pulls = source.pulls
    with pytest.raises(ms.StreamClosed):
        await anext(stream)
    assert source.pulls == pulls
    await stream.aclose()
    assert source.closes == 1


async def test_a_consumer_that_raises(case: Case) -> None:
    source = Probe(count())
    error = KeyError("body")
    with pytest.raises(KeyError) as caught:  # noqa: PT012
        async with case.build(Stream(source)) as stream:
            async for _ in stream:
                raise error
    assert caught.value is error
    assert caught.value.__cause__ is None
    assert (source.closes, source.closed_while_running) == (1, False)


async def test_closed_by_another_task_while_the_consumer_waits(case: Case) -> None:
    source = Probe(range(2), hang=True)
    outcome: list[Any] = []

    async def consume() -> None:
        async with case.build(stream) as items:
            try:
                await drain(items, [])
            except ms.StreamClosed as error:
                outcome.append(error)

    stream = Stream(source)
    with fail_after(5):
        async with create_task_group() as group:
            group.start_soon(consume)
            await settle()
            await stream.aclose()
            assert (source.closes, source.closed_while_running) == (1, False)
            await stream.aclose()
    assert len(outcome) == 1
    assert source.closes == 1


async def test_closed_inside_its_own_block(case: Case) -> None:
    source = Probe(count())
    async with case.build(Stream(source)) as stream:
        await anext(stream)
        await stream.aclose()
        assert source.closes == 1
        await settle()  # closing must not cancel the block
    assert source.closes == 1


async def test_an_operator_on_an_open_stream(case: Case) -> None:
    source = Probe(range(6))
    async with Stream(source) as outer:
        assert await anext(outer) == 0
        async with case.build(outer.map(lambda item: item - 1)) as inner:
            assert [item async for item in inner] == case.out(range(5))
    assert source.closes == 1


async def test_more_operators_behind_it(case: Case) -> None:
    source = Probe(range(6))
    async with case.build(Stream(source)) as stream:
        assert [item async for item in stream.map(lambda item: (item,)).filter(bool)] == [
            (o,) for o in case.out(range(6))
        ]
    assert source.closes == 1


async def test_used_outside_of_a_block(case: Case) -> None:
    source = Probe(range(3))
    stream = case.build(Stream(source))
    if case.needs_tasks:
        with pytest.raises(ms.errors.StreamNotEntered, match="async with"):
            await anext(stream)
        assert source.pulls == 0
        await stream.aclose()
    else:
        assert [item async for item in stream] == case.out(range(3))
    assert source.closes == 1


async def test_two_consumers(case: Case) -> None:
    source = Probe(hang=True)

    async def consume() -> None:
        with pytest.raises(ms.StreamClosed):
            await anext(stream)

    async with case.build(Stream(source)) as stream, create_task_group() as group:
        group.start_soon(consume)
        await settle()
        with pytest.raises(ms.errors.StreamBusy):
            await anext(stream)
        await stream.aclose()


# --- cancellation ----------------------------------------------------------------------------------------------------

STEPS = 400


class Cancelling:
    """Awaits a coroutine and calls `act` at the `n`th time that it suspends, before the event loop learns of it."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], n: int, act: Callable[[], Any]) -> None:
        self._coroutine, self._n, self._act = coroutine, n, act
        self.steps = 0

    @types.coroutine
    def run(self) -> Iterator[Any]:
        resume: Callable[[], Any] = lambda: self._coroutine.send(None)  # noqa: E731
        while True:
            try:
                message = resume()
            except StopIteration as done:
                return done.value
            self.steps += 1
            if self.steps == self._n:
                self._act()
            try:
                reply = yield message
                resume = lambda reply=reply: self._coroutine.send(reply)  # noqa: E731
            except BaseException as error:
                resume = lambda error=error: self._coroutine.throw(error)  # noqa: E731


async def consume(case: Case, source: Probe, into: list[Any], states: list[Any]) -> None:
    stream = case.build(Stream(source))
    states.append(stream)
    async with stream:
        await drain(stream, into)


@pytest.mark.parametrize("end", ["end", "error"])
async def test_cancellation_at_every_await_of_the_consumer(case: Case, end: str) -> None:
    for n in range(1, STEPS):
        source = Probe(range(4), error=KeyError("end") if end == "error" else None)
        got: list[Any] = []
        streams: list[Stream[Any]] = []
        failed = False
        with CancelScope() as scope:
            work = Cancelling(consume(case, source, got, streams), n, scope.cancel)
            try:
                await work.run()
            except KeyError:
                failed = True
        check_closed(source, streams)
        if work.steps < n:
            assert got == (case.out if end == "end" else case.before_error or case.out)(range(4))
            assert failed is (end == "error")
            return
        assert scope.cancelled_caught or failed or streams[0].state == "finished"
        assert got == case.out(range(4))[: len(got)]
    pytest.fail("it never ended")


async def test_cancellation_at_every_await_of_the_source(case: Case) -> None:
    class Watched(Probe):
        def __init__(self, n: int, act: Callable[[], Any]) -> None:
            super().__init__(range(4))
            self.n, self.act, self.steps = n, act, 0

        async def __anext__(self) -> Any:
            self.steps += 1
            if self.steps == self.n:
                self.act()
            return await super().__anext__()

    for n in range(1, STEPS):
        got: list[Any] = []
        streams: list[Stream[Any]] = []
        with CancelScope() as scope:
            source = Watched(n, scope.cancel)
            await consume(case, source, got, streams)
        check_closed(source, streams)
        if source.steps < n:
            assert got == case.out(range(4))
            return
        assert scope.cancelled_caught
    pytest.fail("it never ended")


@pytest.mark.parametrize("anyio_backend", BACKENDS[:2], indirect=True)
async def test_asyncio_cancels_at_every_await(case: Case) -> None:
    """The native way, without a scope: what `asyncio.timeout`, `wait_for` and web servers do."""
    for n in range(1, STEPS):
        source = Probe(range(4))
        got: list[Any] = []
        streams: list[Stream[Any]] = []

        async def main(n: int = n, source: Probe = source, got: list[Any] = got, streams: Any = streams) -> int:
            task = asyncio.current_task()
            assert task is not None
            work = Cancelling(consume(case, source, got, streams), n, task.cancel)
            await work.run()
            return work.steps

        task = asyncio.ensure_future(main())
        await asyncio.wait([task])
        # Native cancellation reaches into shielded scopes, so it may interrupt closing, but never prevents it.
        assert source.close_calls == 1
        assert not source.closed_while_running
        if not task.cancelled() and task.result() < n:
            assert got == case.out(range(4))
            return
    pytest.fail("it never ended")


async def test_close_at_every_await_of_the_consumer(case: Case) -> None:
    """As cancellation, but by another task that closes the stream."""
    for n in range(1, STEPS):
        source = Probe(range(4))
        got: list[Any] = []
        streams: list[Stream[Any]] = []
        with fail_after(10):
            async with create_task_group() as group:
                work = Cancelling(
                    consume(case, source, got, streams),
                    n,
                    lambda: group.start_soon(streams[0].aclose),  # noqa: B023
                )
                with suppress(ms.StreamClosed):
                    await work.run()
        check_closed(source, streams)
        if work.steps < n:
            assert got == case.out(range(4))
            return
    pytest.fail("it never ended")


def check_closed(source: Probe, streams: list[Stream[Any]]) -> None:
    assert source.closes == 1
    assert not source.closed_while_running
    assert streams[0].state in ("finished", "failed", "closed")


# --- fairness --------------------------------------------------------------------------------------------------------


async def test_an_endless_source_that_never_waits_can_be_cancelled(case: Case) -> None:
    source = Probe(islice(count(), 100_000), suspend=False)
    with CancelScope() as scope:
        async with create_task_group() as group:

            async def cancel() -> None:
                scope.cancel()

            group.start_soon(cancel)
            async with case.build(Stream(source)) as stream:
                async for _ in stream:
                    assert source.pulls < 1000
    assert scope.cancelled_caught
    assert source.closes == 1
