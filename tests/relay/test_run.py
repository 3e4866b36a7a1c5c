"""The producer's own cases: what the engines' contract (`test_hub.py`) cannot bring about."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

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
