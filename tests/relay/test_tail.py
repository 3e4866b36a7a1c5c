"""Reading over a log that pushes badly: the numbers decide, not the pushes."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import millstream as ms
from millstream.errors import ProtocolError
from millstream.relay import Entry, Hub, Item, MemoryLog, _tail
from millstream.relay._log import Page

pytestmark = pytest.mark.anyio


class Unreliable(MemoryLog):
    """Loses, repeats, cuts, delays and invents pushes."""

    def __init__(self, seed: int) -> None:
        super().__init__(lease=0.04)  # readers look for themselves every 10 ms
        self._random = random.Random(seed)
        self._late: list[tuple[int, list[Entry]]] = []

    def _tell(self, key: str, epoch: int, entries: list[Entry]) -> None:
        tell = super()._tell
        match self._random.randrange(8):
            case 0:
                pass
            case 1:
                tell(key, epoch, entries)
                tell(key, epoch, entries)
            case 2:
                tell(key, epoch, entries[1:])
            case 3:
                self._late.append((epoch, entries))
            case 4:
                tell(key, epoch + 1, entries)
            case 5:
                tell(key, epoch, [])
            case _:
                tell(key, epoch, entries)
                while self._late:
                    tell(key, *self._late.pop())


@pytest.mark.parametrize("seed", range(12))
async def test_bad_pushes_lose_and_repeat_nothing(
    anyio_backend: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tail, "PAGE", 7)
    monkeypatch.setattr(_tail, "MAX_PUSHED", 9)
    turn = random.Random(seed)

    async def make() -> AsyncIterator[bytes]:
        for i in range(150):
            yield b"%d" % i
            for _ in range(turn.choice([0, 1, 5])):
                await anyio.lowlevel.checkpoint()

    async with Hub(Unreliable(seed), authorize=lambda *_: True) as hub, anyio.create_task_group() as tasks:
        await hub.publish("s", make, protocol=None)

        async def read(pause: int) -> None:
            got: list[bytes] = []
            async with hub.subscribe("s") as items:
                async for item in items:
                    got.append(item.data)
                    for _ in range(turn.randrange(pause)):
                        await anyio.lowlevel.checkpoint()
            assert got == [b"%d" % i for i in range(150)]

        for pause in (1, 2, 10):
            tasks.start_soon(read, pause)


class Between(MemoryLog):
    """Appends an entry after the first short page was read, and before the reader follows."""

    gen = 0

    async def read(self, key: str, epoch: int, after: int, count: int) -> Page | None:
        page = await super().read(key, epoch, after, count)
        if page is not None and page.seq == 1:
            await self.append(key, page.epoch, 2, [b"between"])
        return page


async def test_an_entry_between_the_last_page_and_following_comes_at_once(anyio_backend: str) -> None:
    async def make() -> AsyncIterator[bytes]:
        yield b"first"
        await anyio.sleep(600)

    log = Between(lease=1000.0)
    async with Hub(log, authorize=lambda *_: True) as hub:
        await hub.publish("s", make, protocol=None)
        await anyio.wait_all_tasks_blocked()
        async with hub.subscribe("s") as items:
            with anyio.fail_after(5):
                assert [(await anext(items)).data, (await anext(items)).data] == [b"first", b"between"]


async def test_a_reader_that_waits_can_be_closed_from_elsewhere_and_follows_no_longer(anyio_backend: str) -> None:
    async def make() -> AsyncIterator[bytes]:
        yield b"first"
        await anyio.sleep(600)

    log = MemoryLog()
    async with Hub(log, authorize=lambda *_: True) as hub:
        await hub.publish("s", make, protocol=None)
        items = hub.subscribe("s")
        outcome: list[Any] = []

        async def read() -> None:
            try:
                outcome.append(await items.collect())
            except ms.StreamClosed as error:
                outcome.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            assert log._followers
            await items.aclose()
        assert isinstance(outcome[0], ms.StreamClosed)
        assert not log._followers


def test_an_item_gives_its_event_if_the_wire_is_native(anyio_backend: str) -> None:
    event = ms.TextDelta("a\n\nb")
    for protocol in ("millstream.events.v1", "millstream.events.v1+ndjson"):
        assert Item("1.1.x", ms.encoder(protocol).encode(event)).event == event
    with pytest.raises(ProtocolError):
        _ = Item("1.1.x", b"event: x\n\n").event
