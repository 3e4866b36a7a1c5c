"""The producer's own cases: what the engines' contract (`test_hub.py`) cannot bring about."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

import millstream as ms
from millstream.errors import ProcessingError, UsageError
from millstream.relay import Hub, MemoryLog, Status
from relay.engines import everybody

pytestmark = pytest.mark.anyio


class Slow(MemoryLog):
    """Has written, and says so when it is let."""

    immediate = False

    def __init__(self) -> None:
        super().__init__()
        self.let = anyio.Event()

    async def append(self, key: str, gen: int, first: int, items: list[bytes]) -> str | None:
        reason = await super().append(key, gen, first, items)
        await self.let.wait()
        return reason


@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize("then", ["obeys", "raises", "swallows it"])
async def test_a_source_that_is_cut_off_has_never_come_to_its_end(
    anyio_backend: str, immediate: bool, then: str
) -> None:
    """The writer is woken at the moment of the shut-down, so it is not cancelled before it sees that no more comes."""

    async def make() -> AsyncIterator[bytes]:
        yield b"a"
        try:
            await anyio.sleep_forever()
        except BaseException as error:
            if then == "raises":
                raise RuntimeError("a bug in its cleaning up") from error
            if then == "obeys":
                raise

    log = Slow()
    log.immediate = immediate
    async with Hub(log, authorize=everybody) as hub:
        run = await hub.publish("s", make, protocol=None)
        await anyio.wait_all_tasks_blocked()
        log.let.set()
        hub._runs["s"].shut_down()
        assert await run.wait() is Status.ORPHANED
        assert (await hub.status("s")).status is Status.ORPHANED


@pytest.mark.parametrize("immediate", [False, True])
async def test_an_event_in_a_stream_of_bytes_ends_it_behind_what_came_before(
    anyio_backend: str, immediate: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def make() -> AsyncIterator[list[Any]]:
        yield [b"a", b"b", ms.TextDelta("secret"), b"c"]

    log = MemoryLog()
    log.immediate = immediate
    caplog.set_level(logging.CRITICAL)
    async with Hub(log, authorize=everybody) as hub:
        run = await hub.publish("s", lambda: ms.Stream.from_batches(make()), protocol=None)
        got: list[bytes] = []
        with pytest.raises(ProcessingError, match="UsageError"):
            async with hub.subscribe("s") as items:
                got += [item.data async for item in items]
    assert isinstance(run.error, UsageError)
    assert "protocol=None" in str(run.error)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # where who is woken first goes first
async def test_a_lease_that_a_write_has_renewed_meanwhile_is_not_renewed_again(anyio_backend: str) -> None:
    class Counting(MemoryLog):
        def __init__(self) -> None:
            super().__init__()
            self.appended: list[list[bytes]] = []

        async def append(self, key: str, gen: int, first: int, items: list[bytes]) -> str | None:
            self.appended.append(items)
            return await super().append(key, gen, first, items)

    turn = anyio.Event()

    async def make() -> AsyncIterator[bytes]:
        yield b"a"
        await turn.wait()
        yield b"b"
        await anyio.sleep_forever()

    log = Counting()
    async with Hub(log, authorize=everybody) as hub:
        await hub.publish("s", make, protocol=None)
        await anyio.wait_all_tasks_blocked()
        turn.set()
        hub._runs["s"].overdue()
        await anyio.wait_all_tasks_blocked()
        assert log.appended == [[b"a"], [b"b"]]
        hub._runs["s"].overdue()
        await anyio.wait_all_tasks_blocked()
        assert log.appended == [[b"a"], [b"b"], []]
