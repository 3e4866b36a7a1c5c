"""Reading over a log that pushes badly: the numbers decide, not the pushes."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import millstream as ms
from millstream.errors import LogError, ProtocolError, ResumeGap
from millstream.events import encode_event
from millstream.relay import End, Entry, Hub, Item, MemoryLog, Status, _tail
from millstream.relay._kept import ENTRY_BYTES
from millstream.relay._log import Page
from millstream.testing import FakeClock

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
            with anyio.fail_after(20):
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


@pytest.mark.parametrize("own", [True, False])
async def test_an_end_that_is_told_by_what_is_no_error_is_not_taken_for_a_good_one(
    anyio_backend: str, own: bool
) -> None:
    log = MemoryLog()
    async with Hub(log, authorize=lambda *_: True) as hub:
        await two(log, hub)
        event: ms.Event = ms.Error(ms.RateLimited("slow down")) if own else ms.TextDelta("a")
        async with hub.subscribe("s") as items:
            await log.finalize("s", log._streams["s"].gen, End(Status.ERROR, encode_event(event)))
            with pytest.raises(ms.RateLimited if own else ProtocolError, match="slow down" if own else "no error"):
                await items.collect()


async def test_a_stream_that_goes_local_takes_its_own_readers_along_and_no_others(anyio_backend: str) -> None:
    class Breaks(MemoryLog):
        """Takes no more of the stream "s" when it is broken."""

        immediate = False
        is_broken = False

        async def append(self, key: str, gen: int, first: int, items: list[bytes]) -> str | None:
            if key == "s" and self.is_broken:
                raise LogError("it broke", reason="connection", retryable=True)
            return await super().append(key, gen, first, items)

    go = anyio.Event()

    def source(name: bytes) -> Callable[[], AsyncIterator[bytes]]:
        async def make() -> AsyncIterator[bytes]:
            yield name + b"1"
            await go.wait()
            yield name + b"2"

        return make

    log = Breaks(lease=1000.0)
    async with Hub(log, authorize=lambda *_: True, patience=0, on_log_error="local") as hub:
        run = await hub.publish("s", source(b"s"), protocol=None)
        await hub.publish("t", source(b"t"), protocol=None)
        await anyio.wait_all_tasks_blocked()
        async with hub.subscribe("s", on_gap="earliest") as late, hub.subscribe("t") as other:
            assert (await anext(other)).data == b"t1"
            log.is_broken = True
            go.set()
            await anyio.wait_all_tasks_blocked()
            assert run.local
            assert [item.data for item in await late.collect()] == [b"s2"]
            assert late.gap is not None
            assert [item.data for item in await other.collect()] == [b"t2"]


# --- what is found when the cursor's place is looked at again ---------------------------------------------------------


async def two(log: MemoryLog, hub: Hub) -> None:
    """Publish a stream of two entries that goes on for ever."""

    async def make() -> AsyncIterator[bytes]:
        yield b"first"
        yield b"second"
        await anyio.sleep_forever()

    await hub.publish("s", make, protocol=None)
    await anyio.wait_all_tasks_blocked()


async def test_a_log_that_has_lost_its_newest_entries_is_a_gap_or_gone_on_from(anyio_backend: str) -> None:
    clock = FakeClock()
    log = MemoryLog(lease=40, clock=clock)  # readers look for themselves every 10 s
    async with Hub(log, authorize=lambda *_: True, clock=clock) as hub:
        await two(log, hub)
        async with hub.subscribe("s") as strict, hub.subscribe("s", on_gap="earliest") as lenient:
            for items in (strict, lenient):
                assert [(await anext(items)).data, (await anext(items)).data] == [b"first", b"second"]
            kept = log._streams["s"]
            size = log_size(kept.entries.pop())
            kept.n_bytes, log._bytes = kept.n_bytes - size, log._bytes - size
            got: list[bytes] = []
            gaps: list[str] = []

            async def read() -> None:
                got.append((await anext(lenient)).data)

            async def fail() -> None:
                with pytest.raises(ResumeGap) as caught:
                    await anext(strict)
                gaps.append(caught.value.reason)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                tasks.start_soon(fail)
                await clock.advance(11)  # the producer has not renewed its lease yet, and found out
                await log.append("s", kept.gen, 2, [b"another"])
            assert gaps == ["future"]
            assert got == [b"another"]
            assert lenient.gap is not None
            assert lenient.gap.reason == "future"


async def test_a_stream_that_goes_in_silence_is_found_gone(anyio_backend: str) -> None:
    class Silent(MemoryLog):
        """Its pushes are lost."""

        def _tell(self, key: str, epoch: int, entries: list[Entry]) -> None:
            pass

    clock = FakeClock()
    log = Silent(lease=40, clock=clock)
    async with Hub(log, authorize=lambda *_: True, clock=clock) as hub:
        await two(log, hub)
        async with hub.subscribe("s", on_gap="earliest") as items:
            assert [(await anext(items)).data, (await anext(items)).data] == [b"first", b"second"]

            async def fail() -> None:
                with pytest.raises(ResumeGap, match="expired or was deleted"):
                    await anext(items)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fail)
                await anyio.wait_all_tasks_blocked()
                assert await log.delete("s")
                await clock.advance(11)


def log_size(entry: Entry) -> int:
    return ENTRY_BYTES + len(entry.data)


async def test_a_stream_that_is_replaced_and_deleted_while_it_is_read_is_gone(anyio_backend: str) -> None:
    class Replaced(MemoryLog):
        """The stream is another one when it is read, and has gone when it is asked for."""

        now = False

        async def read(self, key: str, epoch: int, after: int, count: int) -> Page | None:
            page = await super().read(key, epoch, after, count)
            if self.now and page is not None:
                self._drop(key)
                return page._replace(epoch=epoch + 1)
            return page

    log = Replaced(lease=1000.0)
    async with Hub(log, authorize=lambda *_: True) as hub:
        await two(log, hub)
        async with hub.subscribe("s", on_gap="earliest") as items:
            log.now = True
            with anyio.fail_after(10), pytest.raises(ResumeGap) as caught:
                await items.collect()
        assert caught.value.reason == "gone"


async def test_an_end_is_taken_only_at_the_place_where_it_stands(anyio_backend: str) -> None:
    class Late(MemoryLog):
        """Tells once that the stream has ended before it gives the last entry."""

        is_late = True

        async def read(self, key: str, epoch: int, after: int, count: int) -> Page | None:
            page = await super().read(key, epoch, after, count)
            if page is not None and self.is_late:
                self.is_late = False
                return page._replace(entries=page.entries[:1], seq=page.entries[0].seq)
            return page

    async def make() -> AsyncIterator[bytes]:
        yield b"first"
        yield b"second"

    async with Hub(Late(), authorize=lambda *_: True) as hub:
        await (await hub.publish("s", make, protocol=None)).wait()
        async with hub.subscribe("s") as items:
            with anyio.fail_after(10):
                assert [item.data for item in await items.collect()] == [b"first", b"second"]
