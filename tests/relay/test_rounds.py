"""Who waits is called in time, by one timer for all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import anyio
import pytest

from millstream.errors import UsageError
from millstream.relay import Hub, MemoryLog
from millstream.relay._rounds import Rounds
from millstream.testing import FakeClock
from relay.engines import everybody

pytestmark = pytest.mark.anyio


class Waiting:
    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.called: list[float] = []

    def overdue(self) -> None:
        self.called.append(self._clock.now())


@contextmanager
def working(rounds: Rounds, tasks: anyio.abc.TaskGroup) -> Iterator[None]:
    tasks.start_soon(rounds.work)
    try:
        yield
    finally:
        tasks.cancel_scope.cancel()


async def test_who_waits_is_called_once_at_his_time(anyio_backend: str) -> None:
    clock = FakeClock()
    rounds = Rounds(10, clock)
    first, second, gone, again = (Waiting(clock) for _ in range(4))
    async with anyio.create_task_group() as tasks:
        with working(rounds, tasks):
            for one in (first, gone, again):
                rounds.begin(one)
            await clock.advance(4)
            rounds.end(gone)
            rounds.begin(again)
            rounds.begin(second)
            rounds.end(Waiting(clock))
            await clock.advance(100)
            assert (first.called, second.called, gone.called, again.called) == ([10], [14], [], [14])
            rounds.begin(first)
            await clock.advance(100)
            assert first.called == [10, 114]
            assert clock.sleepers == 0


async def test_a_thousand_waits_set_one_timer(anyio_backend: str) -> None:
    clock = FakeClock()
    rounds = Rounds(10, clock)
    many = [Waiting(clock) for _ in range(1000)]
    async with anyio.create_task_group() as tasks:
        with working(rounds, tasks):
            for one in many:
                rounds.begin(one)
                await clock.advance(0.001)
                assert clock.sleepers == 1
                rounds.end(one)
            await clock.advance(20)
            assert not any(one.called for one in many)
            assert clock.sleepers == 0


async def test_nobody_waits_for_rounds_that_are_over(anyio_backend: str) -> None:
    clock = FakeClock()
    rounds = Rounds(10, clock)
    one = Waiting(clock)
    rounds.begin(one)
    rounds.close()
    assert one.called == [0]
    with pytest.raises(UsageError, match="the hub was left"):
        rounds.begin(one)


async def test_a_reader_that_waits_when_its_hub_is_left_is_told(anyio_backend: str) -> None:
    async def make() -> AsyncIterator[bytes]:
        yield b"a"
        await anyio.sleep_forever()

    log = MemoryLog(lease=1000)
    caught: list[str] = []

    async def read(hub: Hub) -> None:
        async with hub.subscribe("s") as items:
            with pytest.raises(UsageError) as error:
                await items.collect()
            caught.append(str(error.value))

    async with Hub(log, authorize=everybody) as other, anyio.create_task_group() as tasks:
        await other.publish("s", make, protocol=None)
        async with Hub(log, authorize=everybody) as hub:
            tasks.start_soon(read, hub)
            await anyio.wait_all_tasks_blocked()
            assert caught == []
        with anyio.fail_after(10):
            while not caught:
                await anyio.lowlevel.checkpoint()
    assert "the hub was left" in caught[0]
