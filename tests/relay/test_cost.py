"""What an event costs on its way through the relay, in things that can be counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from millstream.relay import Hub, Item, MemoryLog, Subscription
from millstream.relay._item import Maker
from millstream.streams import Stream
from relay.counting import counting
from relay.engines import OnRedis, everybody

pytestmark = pytest.mark.anyio

N = 1000


class InTurn:
    """A source of lists: the next one comes when every reader has the last one."""

    def __init__(self, n: int, size: int, readers: int = 1) -> None:
        self._lists = [[b"%d" % i for i in range(at, at + size)] for at in range(0, n, size)]
        self._readers = readers
        self._missing = 0
        self._turn = anyio.Event()

    async def __call__(self) -> AsyncIterator[list[bytes]]:
        for one in self._lists:
            self._missing = self._readers
            yield one
            while self._missing:
                self._turn = anyio.Event()
                await self._turn.wait()

    def got(self) -> None:
        self._missing -= 1
        self._turn.set()

    async def read(self, items: Subscription) -> list[Item]:
        """Read all, a list at a time."""
        got: list[Item] = []
        size = len(self._lists[0])
        async for batch in items.batches():
            got += batch
            if len(got) % size == 0:
                self.got()
        return got


async def test_an_event_that_comes_alone_makes_no_task_no_scope_and_no_timer(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = InTurn(N, 1)
    async with Hub(MemoryLog(), authorize=everybody) as hub:
        await hub.publish("s", lambda: Stream.from_batches(source()), protocol=None)
        async with hub.subscribe("s") as items:
            await anyio.wait_all_tasks_blocked()
            counts = counting(monkeypatch)
            got = await source.read(items)
            monkeypatch.undo()
    assert [item.data for item in got] == [b"%d" % i for i in range(N)]
    if anyio_backend == "asyncio":
        assert counts.total() < 20, counts
    else:  # where each pull of a stream has a scope: streams/_core.py
        assert counts["tasks"] < 20
        assert counts["scopes"] < 2 * N + 40


async def test_a_log_in_memory_is_written_by_the_task_that_reads_the_source(anyio_backend: str) -> None:
    tasks: dict[str, set[int]] = {"reads": set(), "writes": set()}

    class Noting(MemoryLog):
        async def append(self, key: str, gen: int, first: int, items: list[bytes]) -> str | None:
            tasks["writes"].add(anyio.get_current_task().id)
            return await super().append(key, gen, first, items)

    async def make() -> AsyncIterator[bytes]:
        tasks["reads"].add(anyio.get_current_task().id)
        yield b"a"
        await anyio.lowlevel.checkpoint()
        yield b"b"

    async with Hub(Noting(), authorize=everybody) as hub:
        await (await hub.publish("s", make, protocol=None)).wait()
    assert len(tasks["reads"]) == 1
    assert tasks["writes"] == tasks["reads"]


@pytest.mark.parametrize("size", [1, 50])
async def test_a_log_in_memory_has_one_append_for_what_is_ready_together(anyio_backend: str, size: int) -> None:
    class Counting(MemoryLog):
        n_appends = 0

        async def append(self, key: str, gen: int, first: int, items: list[bytes]) -> str | None:
            self.n_appends += 1
            return await super().append(key, gen, first, items)

    source, log = InTurn(N, size), Counting()
    async with Hub(log, authorize=everybody) as hub:
        await hub.publish("s", lambda: Stream.from_batches(source()), protocol=None)
        async with hub.subscribe("s") as items:
            assert len(await source.read(items)) == N
    assert log.n_appends == N // size


async def test_the_items_of_an_entry_are_made_once_for_all_readers(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_readers = 5
    source = InTurn(N, 10, n_readers)
    n_made = 0
    make = Maker.make

    def counted(self: Maker, entries: list[Any]) -> list[Item]:
        nonlocal n_made
        n_made += len(entries)
        return make(self, entries)

    outcome: list[list[Item]] = []
    async with Hub(MemoryLog(), authorize=everybody) as hub:
        gate = anyio.Event()

        async def later() -> AsyncIterator[list[bytes]]:
            await gate.wait()
            async for one in source():
                yield one

        await hub.publish("s", lambda: Stream.from_batches(later()), protocol=None)

        async def read() -> None:
            async with hub.subscribe("s") as items:
                outcome.append(await source.read(items))

        monkeypatch.setattr(Maker, "make", counted)
        async with anyio.create_task_group() as tasks:
            for _ in range(n_readers):
                tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            gate.set()
    assert len(outcome) == n_readers
    assert all(got == outcome[0] for got in outcome)
    assert len({id(got) for got in outcome}) == n_readers
    assert len(outcome[0]) == N
    # The end, which is an entry too, and what a reader finds already written when it first looks.
    assert n_made < N * 1.1


@pytest.mark.parametrize("size", [1, 50])
async def test_redis_is_asked_once_to_write_and_once_to_read_what_is_ready_together(
    on_redis: OnRedis, size: int
) -> None:
    n = 20 * size
    source = InTurn(n, size)
    async with Hub(on_redis.log(), authorize=everybody) as hub:
        await hub.publish("s", lambda: Stream.from_batches(source()), protocol=None)
        async with hub.subscribe("s") as items:
            await anyio.wait_all_tasks_blocked()
            before = on_redis.client.info("commandstats")
            assert len(await source.read(items)) == n
            after = on_redis.client.info("commandstats")
    calls = {name: after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in after}
    assert calls["cmdstat_evalsha"] <= 20 + 5  # publishing, ending, the words that wake the reader
    assert calls["cmdstat_xread"] <= 20 + 5
    assert calls["cmdstat_xadd"] <= n + 5
