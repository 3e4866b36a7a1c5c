"""Background tasks of operators: owned by the block, never failing into it, stopped from anywhere."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from anyio import CancelScope, Event, create_task_group, fail_after, get_running_tasks, sleep_forever

import millstream as ms
from millstream.streams import Stream
from millstream.streams._pull import Puller, release
from millstream.streams._tasks import Tasks, only
from millstream.streams.operators._ahead import Ahead
from millstream.streams.operators._base import Operator
from streams.probe import Probe, settle

pytestmark = pytest.mark.anyio


class Relay(Operator[Any]):
    """Passes batches through a task."""

    def __init__(self, source: Puller[Any]) -> None:
        super().__init__(source)
        self.needs_tasks = "relay"
        self._ahead = Ahead(source, "relay")

    async def open(self, tasks: Tasks) -> None:
        await self._ahead.open(tasks)

    async def pull(self) -> list[Any]:
        self._ahead.ask()
        await self._ahead.wait()
        return self._ahead.take()

    async def aclose(self) -> None:
        await self._ahead.aclose()


class Worker(Operator[Any]):
    """Passes batches on, and runs `work` beside them."""

    def __init__(self, source: Puller[Any], work: Callable[[], Any]) -> None:
        super().__init__(source)
        self.needs_tasks = "worker"
        self._work = work
        self.error: Exception | None = None

    async def open(self, tasks: Tasks) -> None:
        await self._source.open(tasks)
        self.job = tasks.start("worker", self._work, self._failed)

    def _failed(self, error: Exception) -> None:
        self.error = error

    async def pull(self) -> list[Any]:
        if self.error is not None:
            raise self.error
        return await self._source.pull()

    async def aclose(self) -> None:
        await self.job.stop()
        await self._source.aclose()


def running() -> list[str]:
    return [task.name for task in get_running_tasks() if task.name and task.name.startswith("millstream.")]


async def test_without_a_block_the_error_names_the_remedy() -> None:
    source = Probe([1])
    stream = Stream(source)._then(Relay).map(str)
    for use in (stream.__anext__, aiter(stream.batches()).__anext__):
        with pytest.raises(ms.errors.StreamNotEntered, match=r"`relay`.*async with"):
            await use()
    assert source.pulls == 0
    assert await stream.collect() == ["1"]  # the ways to the end enter by themselves
    with pytest.raises(ms.errors.StreamNotEntered, match="relay"):
        Tasks("other").start("relay", sleep_forever, lambda error: None)


async def test_tasks_end_with_the_block() -> None:
    source = Probe(count())
    async with Stream(source)._then(Relay)._then(Relay) as stream:
        assert [await anext(stream), await anext(stream)] == [0, 1]
        assert running() == ["millstream.relay"] * 2
    assert running() == []
    assert (source.closes, source.closed_while_running) == (1, False)


async def test_a_failing_task_does_not_cancel_the_block() -> None:
    async def fail() -> None:
        raise KeyError("pump")

    async with Stream(Probe(count()))._then(lambda source: Worker(source, fail)) as stream:
        await settle()
        with pytest.raises(KeyError, match="pump"):
            await anext(stream)
        await settle()
        assert stream.state == "failed"


async def test_what_is_too_grave_comes_out_alone() -> None:
    class Grave(BaseException):
        pass

    async def fail() -> None:
        raise Grave

    with pytest.raises(Grave):
        async with Stream(Probe(count()))._then(lambda source: Worker(source, fail)):
            await sleep_forever()
    assert running() == []


async def test_a_task_may_close_its_own_stream() -> None:
    source = Probe(count())
    entered = Event()

    async def close() -> None:
        await entered.wait()
        await stream.aclose()

    with fail_after(20):
        async with Stream(source)._then(lambda inner: Worker(inner, close)) as stream:
            entered.set()
            await settle()
            assert (stream.state, source.closes) == ("closed", 1)


async def test_an_error_of_the_block_comes_out_unchanged_and_alone() -> None:
    error = KeyError("body")
    source = Probe(count())
    with pytest.raises(KeyError) as caught:  # noqa: PT012
        async with Stream(source)._then(Relay) as stream:
            await anext(stream)
            raise error
    assert caught.value is error
    assert source.closes == 1


async def test_entered_twice_in_one_task_and_once_more_in_another() -> None:
    async with Stream(Probe(count()))._then(Relay) as stream, create_task_group() as group:

        async def other() -> None:
            async with stream:
                assert await anext(stream) == 1

        async with stream:
            assert await anext(stream) == 0
            group.start_soon(other)
            await settle()
            assert stream.state == "closed"
        assert running() == []


async def test_left_in_another_task_than_the_one_that_entered() -> None:
    source = Probe(count())
    stream = Stream(source).buffer(3)

    async def leave() -> None:
        with pytest.raises(ms.UsageError, match=r"`buffer`.*entered in one task and left in another"):
            await stream.__aexit__(None, None, None)

    async with stream:
        await anext(stream)
        async with create_task_group() as group:
            group.start_soon(leave)
        assert (source.closes, stream.state) == (1, "closed")
        await settle()  # the block goes on
    assert [task.name for task in get_running_tasks() if task.name and task.name.startswith("millstream")] == []


async def test_read_in_another_task_than_the_one_that_entered() -> None:
    got: list[Any] = []

    async def read() -> None:
        got.extend([item async for item in stream])

    async with Stream(Probe(range(5)))._then(Relay) as stream, create_task_group() as group:
        group.start_soon(read)
    assert got == [0, 1, 2, 3, 4]


async def test_an_operator_with_tasks_on_a_stream_that_has_some() -> None:
    source = Probe(range(5))
    async with Stream(source)._then(Relay) as outer:
        assert await anext(outer) == 0
        inner = outer._then(Relay)
        with pytest.raises(ms.errors.StreamNotEntered):
            await anext(inner)
        async with inner:
            assert [item async for item in inner] == [1, 2, 3, 4]
    assert source.closes == 1
    assert running() == []


async def test_opening_fails() -> None:
    class Refusing(Worker):
        async def open(self, tasks: Tasks) -> None:
            await super().open(tasks)
            raise ms.ConnectionFailed("refused")

    source = Probe()
    stream = Stream(source)._then(lambda inner: Refusing(inner, sleep_forever))
    with pytest.raises(ms.ConnectionFailed):
        async with stream:
            raise AssertionError("entered")
    assert (source.closes, running(), stream.state) == (1, [], "failed")


async def test_the_block_is_cancelled_from_outside() -> None:
    source = Probe(hang=True)
    with CancelScope() as scope:
        async with Stream(source)._then(Relay) as stream:
            scope.cancel()
            await anext(stream)
    assert scope.cancelled_caught
    assert (source.closes, source.closed_while_running) == (1, False)


async def test_a_close_that_hangs_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("millstream.streams._pull.CLOSE_SECONDS", 0.01)

    class Hanging(Probe):
        async def aclose(self) -> None:
            await sleep_forever()

    async with Stream(Hanging(count())) as stream:
        await anext(stream)
    assert stream.state == "closed"
    assert "given up" in caplog.text


async def test_release_is_shielded() -> None:
    source = Probe()
    with CancelScope() as scope:
        scope.cancel()
        await release(Stream(source)._puller)
    assert source.closes == 1


async def test_a_stream_that_is_left_open_warns() -> None:
    stream = Stream(Probe(count()))
    await anext(stream)
    with pytest.warns(ResourceWarning, match="left open"):
        del stream


def test_only() -> None:
    inner = ValueError("x")
    assert only(inner) is inner
    assert only(ExceptionGroup("a", [ExceptionGroup("b", [inner])])) is inner
    both = ExceptionGroup("a", [inner, KeyError()])
    assert only(both) is both


async def test_asking_again_loses_nothing_that_came_meanwhile() -> None:
    source = Probe([1, 2])
    stream = Stream(source)._then(Relay)
    async with stream:
        ahead = stream._puller._ahead  # type: ignore[attr-defined]
        ahead.ask()
        await settle()
        ahead.ask()
        with fail_after(20):
            await ahead.wait()
        assert ahead.take() == [1]
        assert source.pulls == 1
        assert await anext(stream) == 2
