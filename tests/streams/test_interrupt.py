"""How a wait is ended from outside on asyncio: the task is cancelled and the request is taken back, and nobody else's
cancellation is lost with it. What holds on every backend is in `test_stream.py` and `operators/test_contract.py`."""

from __future__ import annotations

import asyncio
import gc
import math
import socket
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from itertools import count
from typing import Any

import pytest
from anyio import (
    CancelScope,
    Event,
    create_task_group,
    current_time,
    fail_after,
    move_on_after,
    run,
    sleep_forever,
    to_thread,
)
from anyio.lowlevel import checkpoint

import millstream as ms
from millstream.core._batch import Serving
from millstream.streams import Stream, _interrupt
from millstream.streams._clock import ANYIO_CLOCK
from millstream.streams._pull import Puller
from millstream.streams._tasks import Tasks
from millstream.testing import FakeClock
from streams.probe import Probe, drain, settle

pytestmark = pytest.mark.anyio

ASYNCIO = [
    pytest.param("asyncio", id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
]
EVERY = [*ASYNCIO, pytest.param("trio", id="trio")]
everywhere = pytest.mark.parametrize("anyio_backend", EVERY, indirect=True)


@pytest.fixture(params=ASYNCIO)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(autouse=True)
async def no_request_is_left(anyio_backend: Any) -> AsyncIterator[None]:
    """Every request to cancel is taken back, every timer cancelled, every protection lifted."""
    yield
    assert _interrupt._closing == {}
    if anyio_backend != "trio":
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        timers = getattr(asyncio.get_running_loop(), "_scheduled", [])
        assert [timer for timer in timers if not timer.cancelled()] == []


async def started(work: Any) -> asyncio.Task[Any]:
    task = asyncio.ensure_future(work)
    await settle()
    return task


# --- closed while the consumer waits ---------------------------------------------------------------------------------


async def test_the_count_of_cancellations_is_what_it_was() -> None:
    stream = Stream(Probe(hang=True))
    counts: list[int] = []

    async def consume() -> str:
        task = asyncio.current_task()
        assert task is not None
        with pytest.raises(ms.StreamClosed):
            await anext(stream)
        counts.append(task.cancelling())
        await checkpoint()  # nothing is left that would hit the next wait
        await asyncio.sleep(0)
        return "went on"

    consumer = await started(consume())
    await stream.aclose()
    assert await consumer == "went on"
    assert counts == [0]


async def test_a_consumer_that_was_cancelled_before_may_still_read_and_be_closed() -> None:
    stream = Stream(Probe([1], hang=True))
    counts: list[int] = []

    async def consume() -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await sleep_forever()
        finally:
            assert await anext(stream) == 1
            with pytest.raises(ms.StreamClosed):
                await anext(stream)
            counts.append(task.cancelling())

    consumer = await started(consume())
    consumer.cancel()
    await settle()
    await stream.aclose()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert counts == [1]


@pytest.mark.parametrize("order", ["outer first", "closed first"])
async def test_a_cancellation_from_outside_at_the_same_time_wins(order: str) -> None:
    source = Probe(hang=True)
    stream = Stream(source)
    consumer = await started(drain(stream, []))
    if order == "outer first":
        consumer.cancel()
    closing = asyncio.ensure_future(stream.aclose())
    await asyncio.sleep(0)
    if order == "closed first":
        consumer.cancel()
    await asyncio.wait([consumer])
    await closing
    assert consumer.cancelled()
    assert consumer.cancelling() == 1
    assert (source.closes, source.closed_while_running) == (1, False)


@everywhere
@pytest.mark.parametrize("order", ["outer first", "closed first"])
async def test_a_scope_cancelled_at_the_same_time_wins(order: str) -> None:
    source = Probe(hang=True)
    stream = Stream(source)
    scope = CancelScope()
    after: list[str] = []

    async def consume() -> None:
        with scope:
            await anext(stream)
            after.append("not reached")
        assert scope.cancelled_caught
        await checkpoint()
        after.append("went on")

    async with create_task_group() as group:
        group.start_soon(consume)
        await settle()
        if order == "outer first":
            scope.cancel()
        group.start_soon(stream.aclose)
        if order == "closed first":
            await checkpoint()
            scope.cancel()
    assert after == ["went on"]
    assert (source.closes, source.closed_while_running) == (1, False)


@everywhere
@pytest.mark.parametrize("n", range(1, 9))
async def test_closed_and_cancelled_n_steps_apart(n: int) -> None:
    """Whichever comes first: one outcome, the source closed once, and nothing hits the consumer's next wait."""
    for first in ("close", "cancel"):
        source = Probe(hang=True)
        stream = Stream(source)
        scope = CancelScope()
        outcomes: list[str] = []

        async def consume(stream: Any = stream, scope: CancelScope = scope, outcomes: list[str] = outcomes) -> None:
            with scope:
                try:
                    await anext(stream)
                except ms.StreamClosed:
                    outcomes.append("closed")
            if scope.cancelled_caught:
                outcomes.append("cancelled")
            await settle()
            outcomes.append("went on")

        async with create_task_group() as group:
            group.start_soon(consume)
            await settle()
            if first == "close":
                group.start_soon(stream.aclose)
            else:
                scope.cancel()
            for _ in range(n):
                await checkpoint()
            if first == "close":
                scope.cancel()
            else:
                await stream.aclose()
        assert outcomes in (["closed", "went on"], ["cancelled", "went on"])
        assert (source.closes, source.closed_while_running) == (1, False)


@everywhere
async def test_a_source_that_swallows_it_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_interrupt, "AGAIN_SECONDS", 0.01)
    swallowed = 0

    async def stubborn() -> Any:
        nonlocal swallowed
        while True:
            try:
                await sleep_forever()
            except BaseException:
                swallowed += 1
                if swallowed == 4:
                    raise
        yield

    stream = Stream(stubborn())

    async def consume() -> None:
        with pytest.raises(ms.StreamClosed):
            await anext(stream)

    with fail_after(5):
        async with create_task_group() as group:
            group.start_soon(consume)
            await settle()
            await stream.aclose()
    assert swallowed == 4


@everywhere
async def test_a_source_that_swallows_it_and_goes_on_is_closed_all_the_same() -> None:
    async def stubborn() -> Any:
        with suppress(BaseException):
            await sleep_forever()
        yield 1

    stream = Stream(stubborn())
    got: list[Any] = []

    async def consume() -> None:
        with pytest.raises(ms.StreamClosed):
            await drain(stream, got)

    async with create_task_group() as group:
        group.start_soon(consume)
        await settle()
        await stream.aclose()
    assert (got, stream.state) == ([], "closed")


@everywhere
async def test_what_a_source_makes_of_it_is_the_cause() -> None:
    error = KeyError("mine")

    class Converting(Probe):
        async def __anext__(self) -> Any:
            try:
                await sleep_forever()
            except BaseException:
                raise error from None

    stream = Stream(Converting())

    async def consume() -> None:
        with pytest.raises(ms.StreamClosed) as caught:
            await anext(stream)
        assert caught.value.__cause__ is error

    async with create_task_group() as group:
        group.start_soon(consume)
        await settle()
        await stream.aclose()


@everywhere
@pytest.mark.parametrize("twice", [False, True])
async def test_cleaning_up_in_a_source_is_not_disturbed(twice: bool) -> None:
    """A source may wait while it cleans up, shielded, as the transports do."""
    done: list[str] = []

    async def tidy() -> Any:
        try:
            await sleep_forever()
        finally:
            with CancelScope(shield=True):
                await settle()
                done.append("tidy")
        yield

    stream = Stream(tidy())

    async def consume() -> None:
        with pytest.raises(ms.StreamClosed):
            await anext(stream)

    async with create_task_group() as group:
        group.start_soon(consume)
        await settle()
        if twice:
            group.start_soon(stream.aclose)
        await stream.aclose()
        assert done == ["tidy"]


@everywhere
async def test_our_own_closing_inside_a_pull_is_not_disturbed() -> None:
    """`concat` closes the first stream while the consumer waits: that goes on to its end, and only then it is told."""
    reached = Event()
    go_on = Event()

    class Slow(Probe):
        async def aclose(self) -> None:
            reached.set()
            await go_on.wait()
            await super().aclose()

    first, second = Slow([1]), Probe(hang=True)
    stream = Stream(first).concat(second)

    async def consume() -> None:
        with pytest.raises(ms.StreamClosed):
            await drain(stream, [])

    with fail_after(5):
        async with create_task_group() as group:
            group.start_soon(consume)
            await reached.wait()
            group.start_soon(stream.aclose)
            await settle()
            assert first.closes == 0
            go_on.set()
    assert (first.closes, second.closes, second.closed_while_running) == (1, 1, False)


@everywhere
async def test_a_function_may_close_its_own_stream() -> None:
    for build in (lambda s, fn: s.tap(fn), lambda s, fn: s.map(fn).filter(bool).tap(fn)):
        source = Probe(count())

        async def close(item: int) -> None:
            if item == 2:
                await stream.aclose()  # noqa: B023

        stream: Stream[Any] = build(Stream(source), close)
        with pytest.raises(ms.StreamClosed):
            await drain(stream, [])
        await checkpoint()
        assert (source.closes, source.closed_while_running) == (1, False)


async def test_closing_that_is_begun_inside_a_pull_and_not_awaited_hits_no_later_wait() -> None:
    begun: list[Any] = []

    def close(item: int) -> None:
        begun.append(stream.aclose())
        begun[-1].send(None)

    stream = Stream(Lists([1], [2])).tap(close)
    with pytest.raises(ms.StreamClosed):
        await drain(stream, [])
    await asyncio.sleep(0)
    await checkpoint()
    assert len(begun) == 1
    begun[0].close()


@everywhere
async def test_a_function_that_asks_its_own_stream_is_refused() -> None:
    async def ask(item: int) -> None:
        with pytest.raises(ms.errors.StreamBusy):
            await anext(stream)
        with pytest.raises(ms.errors.StreamBusy):
            stream.map(str)

    stream = Stream(Probe(range(3))).tap(ask)
    assert await stream.collect() == [0, 1, 2]


@everywhere
async def test_scopes_and_task_groups_inside_and_outside_of_a_wait() -> None:
    closed: list[str] = []

    class Grouped(Probe):
        async def __anext__(self) -> Any:
            async with create_task_group() as group:
                group.start_soon(sleep_forever)
                with move_on_after(60):
                    return await super().__anext__()

    source = Grouped(hang=True)
    stream = Stream(source)

    async def consume() -> None:
        with fail_after(60), CancelScope() as scope:
            async with create_task_group() as group:
                group.start_soon(settle)
                try:
                    await anext(stream)
                except ms.StreamClosed:
                    closed.append("closed")
                await settle()
            closed.append("went on")
        assert not scope.cancelled_caught

    async with create_task_group() as group:
        group.start_soon(consume)
        await settle()
        await stream.aclose()
    assert closed == ["closed", "went on"]
    assert (source.closes, source.closed_while_running) == (1, False)


# --- cancelled from outside, the native ways -------------------------------------------------------------------------


async def test_asyncio_timeout_around_anext() -> None:
    source = Probe([1], hang=True)
    stream = Stream(source)
    async with asyncio.timeout(30):
        assert await anext(stream) == 1
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(stream)
    assert (stream.state, source.closes) == ("failed", 1)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_wait_for_around_anext() -> None:
    source = Probe([1], hang=True)
    stream = Stream(source)
    assert await asyncio.wait_for(anext(stream), 30) == 1
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(stream), 0.01)
    assert (stream.state, source.closes) == ("failed", 1)


async def test_asyncio_timeout_and_closing_at_once() -> None:
    for late in (False, True):
        stream = Stream(Probe(hang=True))

        async def consume(stream: Any = stream) -> str:
            task = asyncio.current_task()
            assert task is not None
            try:
                async with asyncio.timeout(30) as limit:
                    limits.append(limit)  # noqa: B023
                    await anext(stream)
            except TimeoutError:
                return f"timeout {task.cancelling()}"
            return "no outcome"

        limits: list[asyncio.Timeout] = []
        consumer = await started(consume())
        if late:
            closing = asyncio.ensure_future(stream.aclose())
            await asyncio.sleep(0)
            limits[0].reschedule(0)
        else:
            limits[0].reschedule(0)
            closing = asyncio.ensure_future(stream.aclose())
        with suppress(ms.StreamClosed):
            assert await consumer == "timeout 0"
        await closing


async def test_each_item_in_a_task_of_its_own() -> None:
    stream = Stream(Probe(range(3)))
    assert [await asyncio.create_task(stream.__anext__()) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    hanging = Stream(Probe(hang=True))
    waiting = await started(hanging.__anext__())
    await hanging.aclose()
    with pytest.raises(ms.StreamClosed):
        await waiting


@pytest.fixture
async def eager(anyio_backend: Any) -> AsyncIterator[None]:
    """Tasks begin inside `create_task`. Not `asyncio.eager_task_factory`: before 3.13.3 uvloop cannot use it."""
    if sys.version_info < (3, 12):
        pytest.skip("since Python 3.12")

    def begin(loop: Any, work: Any, **options: Any) -> Any:
        return asyncio.Task(work, loop=loop, **{**options, "eager_start": True})

    loop = asyncio.get_running_loop()
    loop.set_task_factory(begin)
    yield
    loop.set_task_factory(None)


async def test_eager_tasks(eager: None) -> None:
    assert await asyncio.create_task(drain(Stream(Probe(range(3), suspend=False)), [])) is None
    stream = Stream(Probe(range(3), hang=True))
    consumer = asyncio.create_task(drain(stream, []))
    await settle()
    await stream.aclose()
    with pytest.raises(ms.StreamClosed):
        await consumer
    assert consumer.cancelling() == 0


@pytest.mark.parametrize("steps", range(4))
@pytest.mark.parametrize("hang", [False, True])
async def test_an_eager_task_that_a_source_begins_may_close_it(eager: None, steps: int, hang: bool) -> None:
    """The consumer's task is in the middle of a step then, though it is not the current one."""
    tasks: list[asyncio.Task[Any]] = []

    class Closed(Probe):
        async def __anext__(self) -> Any:
            for _ in range(steps):
                await asyncio.sleep(0)
            if not tasks:
                tasks.append(asyncio.create_task(stream.aclose()))
            return await super().__anext__()

    source = Closed([] if hang else [1, 2], hang=hang, suspend=False)
    stream = Stream(source)
    got: list[Any] = []
    task = asyncio.current_task()
    assert task is not None
    with pytest.raises(ms.StreamClosed):
        await drain(stream, got)
    assert (got, task.cancelling()) == ([], 0)
    await settle()  # nothing is left that would hit this wait
    assert not (await asyncio.wait(tasks))[1]
    assert (tasks[0].cancelled(), tasks[0].exception()) == (False, None)
    assert (source.closes, source.closed_while_running, stream.state) == (1, False, "closed")


# --- what never suspends ---------------------------------------------------------------------------------------------


class Lists(Puller[Any]):
    """Gives lists without ever waiting."""

    def __init__(self, *lists: list[Any]) -> None:
        self._lists = list(lists)
        self.closes = 0

    async def open(self, tasks: Tasks) -> None:
        pass

    async def pull(self) -> list[Any]:
        return self._lists.pop(0) if self._lists else []

    async def aclose(self) -> None:
        self.closes += 1


async def test_no_scope_and_no_checkpoint_while_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(Lists(*([i] for i in range(60))))
    assert await anext(stream) == 0
    monkeypatch.setattr("millstream.streams._core.CancelScope", None)
    monkeypatch.setattr("millstream.streams._core.checkpoint", None)
    stream._now = lambda: 0.0
    for i in range(1, 60):
        with pytest.raises(StopIteration) as stop:
            anext(stream).send(None)
        assert stop.value.value == i
    await stream.aclose()


async def test_a_pull_that_waits_counts_as_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = 0

    async def counted() -> None:
        nonlocal checkpoints
        checkpoints += 1
        await asyncio.sleep(0)

    monkeypatch.setattr("millstream.streams._core.checkpoint", counted)
    assert await Stream(Probe(range(500))).collect() == list(range(500))
    assert checkpoints == 1  # at the beginning
    assert await Stream(Probe(range(500), suspend=False)).collect() == list(range(500))
    assert checkpoints >= 1 + 500 // 64


@everywhere
async def test_batches_and_items_in_turn() -> None:
    stream = Stream(Lists([1, 2, 3], [4, 5], [6]))
    batches = stream.batches()
    assert await anext(stream) == 1
    assert await anext(batches) == [2, 3]
    assert await anext(stream) == 4
    assert await anext(stream) == 5
    assert await anext(batches) == [6]
    with pytest.raises(StopAsyncIteration):
        await anext(batches)
    assert await anext(stream, "end") == "end"


# --- an await that is thrown into, closed, dropped -------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("end", ["close", "drop"])
async def test_an_await_that_is_given_up_closes_the_source(end: str) -> None:
    class Waiting(Lists):
        async def pull(self) -> list[Any]:
            return await super().pull() or await sleep_forever()  # type: ignore[func-returns-value]

    source = Waiting([1])
    stream = Stream(source)
    assert await anext(stream) == 1
    waiting: Any = stream.__anext__()
    waiting.send(None)
    with pytest.raises(ms.errors.StreamBusy):
        await anext(stream)
    if end == "close":
        waiting.close()
        waiting.close()
    else:
        del waiting
        gc.collect()
    assert (source.closes, stream.state) == (1, "failed")
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_wait_is_used_once() -> None:
    stream = Stream(Lists([1], [2], [3]))
    assert await anext(stream) == 1
    waiting: Any = stream.__anext__()
    assert await waiting == 2
    for use in (lambda: waiting.send(None), lambda: waiting.throw(KeyError())):
        with pytest.raises(RuntimeError, match="already awaited"):
            use()
    waiting.close()
    unused: Any = stream.__anext__()
    with pytest.raises(TypeError, match="non-None"):
        unused.send(1)
    with pytest.raises(KeyError):
        unused.throw(KeyError())
    with pytest.raises(RuntimeError, match="already awaited"):
        unused.send(None)
    assert await anext(stream) == 3
    await stream.aclose()


async def test_a_pull_may_be_any_awaitable() -> None:
    class Future(Lists):
        def pull(self) -> Any:
            future = asyncio.get_running_loop().create_future()
            future.get_loop().call_soon(future.set_result, self._lists.pop(0) if self._lists else [])
            return future

    assert await Stream(Future([1, 2], [3])).collect() == [1, 2, 3]


async def test_no_reference_is_lost_or_kept() -> None:
    class Item:
        pass

    items = [Item() for _ in range(200)]
    before = [sys.getrefcount(item) for item in items]
    for suspend in (False, True):
        assert len(await Stream(Probe(items, suspend=suspend)).collect()) == 200
        assert len([batch async for batch in Stream(Lists(*([item] for item in items))).batches()]) == 200
    gc.collect()
    assert [sys.getrefcount(item) for item in items] == before


def test_a_subclass_must_define_how_to_refill() -> None:
    for use in (lambda: Serving()._refill(), lambda: Serving()._settle([], None)):
        with pytest.raises(NotImplementedError):
            use()


# --- timeouts --------------------------------------------------------------------------------------------------------


async def test_a_stream_has_one_timer() -> None:
    armed: list[float] = []
    loop = asyncio.get_running_loop()

    class Recording(_interrupt.Watchdog):
        def _set(self, when: float) -> None:
            armed.append(when)
            super()._set(when)

    dog = Recording(lambda: loop.time() + 60)
    for _ in range(50):
        await dog.watch(settle())
    assert len(armed) == 1
    dog.stop()
    quick = Recording(lambda: loop.time() + 60)
    for _ in range(50):
        await quick.watch(_nothing())
    assert len(armed) == 1  # what does not wait needs none


async def _nothing() -> None:
    pass


async def test_a_loop_that_was_blocked_makes_no_timeout() -> None:
    """The bytes lay in the socket all the time, only nobody came to read them."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)

    async def chunks() -> Any:
        while chunk := await reader.read(100):
            yield chunk

    def block() -> None:
        theirs.send(b"b")
        time.sleep(1)

    got = b""
    with theirs, closing(writer):
        theirs.send(b"a")
        async with Stream(chunks()).timeout(idle=0.3, total=60) as stream:
            async for chunk in stream:
                got += chunk
                if got == b"a":
                    asyncio.get_running_loop().call_soon(block)  # as soon as the consumer waits
                else:
                    theirs.close()
    assert got == b"ab"


async def test_a_timeout_leaves_no_trace_in_the_task() -> None:
    task = asyncio.current_task()
    assert task is not None
    source = Probe([1], hang=True)
    with pytest.raises(ms.StreamTimeout) as caught:
        await drain(Stream(source).timeout(idle=0.01), [])
    assert (caught.value.kind, task.cancelling(), source.closes) == ("idle", 0, 1)
    await settle()


@pytest.mark.parametrize("order", ["outer first", "timeout first"])
async def test_a_timeout_and_a_cancellation_from_outside(order: str) -> None:
    source = Probe([1], hang=True)
    timed = Stream(source).timeout(idle=60)
    consumer = await started(drain(timed, []))
    watchdog = timed._puller._watchdog  # type: ignore[attr-defined]
    watchdog.barked = True
    acts: list[Callable[[], Any]] = [consumer.cancel, lambda: _interrupt.interrupt(watchdog)]
    for act in acts if order == "outer first" else reversed(acts):
        act()
    await asyncio.wait([consumer])
    assert (consumer.cancelled(), consumer.cancelling(), source.closes) == (True, 1, 1)


async def test_a_timeout_and_closing_at_once() -> None:
    source = Probe([1], hang=True)
    timed = Stream(source).timeout(idle=60)
    consumer = await started(drain(timed, []))
    watchdog = timed._puller._watchdog  # type: ignore[attr-defined]
    watchdog.barked = True
    _interrupt.interrupt(watchdog)
    await timed.aclose()
    with pytest.raises(ms.StreamClosed):
        await consumer
    assert (consumer.cancelling(), source.closes, timed.state) == (0, 1, "closed")


async def test_what_a_source_makes_of_a_timeout_comes_unchanged() -> None:
    class Converting(Probe):
        async def __anext__(self) -> Any:
            try:
                return await super().__anext__()
            except asyncio.CancelledError:
                raise KeyError("mine") from None

    with pytest.raises(KeyError, match="mine"):
        await drain(Stream(Converting([1], hang=True)).timeout(idle=0.01), [])

    class Swallowing(Probe):
        async def __anext__(self) -> Any:
            try:
                return await super().__anext__()
            except asyncio.CancelledError:
                return 2

    got: list[Any] = []
    with pytest.raises(ms.StreamTimeout):
        await drain(Stream(Swallowing([1], hang=True)).timeout(idle=0.01), got)
    assert got == [1]


async def test_a_stream_with_timeouts_that_is_dropped_is_not_kept_by_its_timer() -> None:
    import weakref

    source = Probe([1, 2])
    gone = weakref.ref(source)
    stream = Stream(source).timeout(idle=60)
    assert await anext(stream) == 1
    del source
    with pytest.warns(ResourceWarning, match="left open"):
        del stream
    gc.collect()
    assert gone() is None
    for timer in getattr(asyncio.get_running_loop(), "_scheduled", []):
        timer.cancel()


async def test_timeouts_inside_a_retry_are_tried_again() -> None:
    attempts: list[Probe] = []

    def make() -> Stream[int]:
        attempts.append(Probe([1], hang=not attempts) if attempts else Probe(hang=True))
        return Stream(attempts[-1]).timeout(first=0.01)

    policy = ms.RetryPolicy(budget=None, timeout=lambda attempt: 0.0)
    assert await make().retry(make, policy).collect() == [1]
    assert [probe.closes for probe in attempts] == [1, 1]


async def test_a_thread_that_the_source_waits_for() -> None:
    """As with every cancellation of asyncio, the thread goes on; what it did is nobody's any more."""
    go, ended = threading.Event(), Event()

    async def threaded() -> Any:
        yield 1
        await to_thread.run_sync(go.wait)
        ended.set()
        yield 2

    stream = Stream(threaded())
    assert await anext(stream) == 1
    consumer = await started(drain(stream, []))
    await stream.aclose()
    with pytest.raises(ms.StreamClosed):
        await consumer
    assert not ended.is_set()
    go.set()


@everywhere
async def test_the_clock_of_the_event_loop_is_read_without_detours() -> None:
    fake = FakeClock()
    assert _interrupt.clock_reader(fake) == fake.now
    assert abs(_interrupt.clock_reader(ANYIO_CLOCK)() - current_time()) < 5


@everywhere
async def test_threads_have_something_called_in_the_loop() -> None:
    soon, called = _interrupt.soon_from_threads(), Event()
    await to_thread.run_sync(soon, called.set)
    with fail_after(5):
        await called.wait()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_threads_are_told_when_the_loop_has_ended(backend: str) -> None:
    async def main() -> Any:
        return _interrupt.soon_from_threads()

    soon = await to_thread.run_sync(lambda: run(main, backend=backend))
    with pytest.raises(RuntimeError):
        soon(print)


async def test_a_timer_whose_stream_is_gone_and_one_without_a_time_do_nothing() -> None:
    watchdog = _interrupt.Watchdog(lambda: math.inf)
    watchdog._on_wait()
    watchdog._set(math.inf)
    assert watchdog._timer is None
    _interrupt.interrupt(watchdog)
    assert not watchdog._ending, "nobody waits"
    gone = weakref.ref(watchdog)
    del watchdog
    assert gone() is None
    _interrupt._ring(gone)
    _interrupt._try_again(gone)
