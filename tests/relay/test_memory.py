"""The bounds of `MemoryLog`, and its time."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator

import anyio
import pytest

from millstream.errors import LogError, ProducerLost, ResumeGap
from millstream.relay import End, Hub, MemoryLog, Status, StreamLog
from millstream.relay._kept import ENTRY_BYTES
from millstream.relay._log import Claim
from millstream.testing import FakeClock

pytestmark = pytest.mark.anyio


def claim() -> Claim:
    return Claim(secrets.token_hex(8), "", "", b"", b"s")


async def begin(log: MemoryLog, key: str) -> int:
    return (await log.acquire(key, "error", claim())).info.gen


async def test_the_oldest_ended_stream_makes_room_for_a_new_one(anyio_backend: str) -> None:
    clock = FakeClock()
    log = MemoryLog(max_streams=3, clock=clock)
    for key in "abc":
        gen = await begin(log, key)
        if key != "b":
            await clock.advance(1)
            await log.finalize(key, gen, End(Status.DONE))
    await begin(log, "d")
    assert [(await log.info(key)).status.value for key in "abcd"] == ["missing", "open", "done", "open"]
    await begin(log, "e")
    with pytest.raises(LogError) as caught:
        await begin(log, "f")
    assert (caught.value.reason, caught.value.retryable) == ("full", True)
    assert log.n_streams == 3


async def test_all_streams_together_keep_to_their_bytes(anyio_backend: str) -> None:
    size = 1000 + ENTRY_BYTES
    log = MemoryLog(max_bytes=10 * size)
    gens = {key: await begin(log, key) for key in "abc"}
    for key in "ab":
        await log.append(key, gens[key], 1, [b"x" * 1000] * 4)
    await log.finalize("a", gens["a"], End(Status.DONE))
    await log.append("c", gens["c"], 1, [b"x" * 1000] * 4)
    assert (await log.info("a")).status is Status.MISSING, "what has ended goes first"
    for i in range(5, 50):
        await log.append("c", gens["c"], i, [b"y" * 1000])
        assert log.n_bytes <= 10 * size
    page = await log.read("c", gens["c"], 0, 100)
    assert page is not None
    assert [entry.seq for entry in page.entries] == list(range(44, 50)), "then its own oldest entries"
    page = await log.read("b", gens["b"], 0, 100)
    assert page is not None
    assert len(page.entries) == 4, "and never those of another running stream"
    await log.delete("b")
    await log.delete("c")
    assert (log.n_bytes, log.n_streams) == (0, 0)


async def test_one_owner_cannot_drive_out_the_ended_streams_of_another(anyio_backend: str) -> None:
    """Neither by many streams nor by large ones, though his are the younger ones."""
    clock = FakeClock()
    for bounds in ({"max_streams": 10}, {"max_bytes": 10 * (1000 + 2 * ENTRY_BYTES)}):
        log = MemoryLog(clock=clock, **bounds)
        for key in ["alice/1", "alice/2", *(f"bob/{i}" for i in range(40))]:
            await clock.advance(1)
            gen = await begin(log, key)
            await log.append(key, gen, 1, [b"x" * 1000])
            await log.finalize(key, gen, End(Status.DONE))
        assert [(await log.info(f"alice/{i}")).status for i in (1, 2)] == [Status.DONE] * 2
        assert (await log.info("bob/39")).status is Status.DONE, "his own oldest ones went"
        assert (await log.info("bob/10")).status is Status.MISSING


async def test_room_for_one_large_entry_is_made_at_once(anyio_backend: str) -> None:
    n_streams = 6000  # it took ten seconds, when each that went was looked for among all
    log = MemoryLog(max_bytes=n_streams * (1000 + 2 * ENTRY_BYTES))
    for i in range(n_streams):
        gen = await begin(log, f"bob/{i}")
        await log.append(f"bob/{i}", gen, 1, [b"x" * 1000])
        await log.finalize(f"bob/{i}", gen, End(Status.DONE))
    gen = await begin(log, "alice/1")
    began = time.process_time()
    await log.append("alice/1", gen, 1, [b"x" * (n_streams * 1000)])
    assert time.process_time() - began < 2
    assert log.n_streams < n_streams / 3


async def test_what_can_never_fit_is_refused(anyio_backend: str) -> None:
    log = MemoryLog(max_bytes=1000)
    gen = await begin(log, "a")
    with pytest.raises(LogError) as caught:
        await log.append("a", gen, 1, [b"x" * 1001])
    assert (caught.value.reason, caught.value.retryable) == ("full", False)
    assert (await log.info("a")).seq == 0


async def test_streams_expire(anyio_backend: str) -> None:
    clock = FakeClock()
    log = MemoryLog(ttl=100, retain=10, lease=5, clock=clock)
    gens = {key: await begin(log, key) for key in "ab"}
    await log.finalize("a", gens["a"], End(Status.DONE))
    await clock.advance(9)
    assert [(await log.info(key)).status.value for key in "ab"] == ["done", "open"]
    await clock.advance(1)
    assert [(await log.info(key)).status.value for key in "ab"] == ["missing", "open"]
    await log.append("b", gens["b"], 1, [])
    await clock.advance(99)
    assert not (await log.info("b")).alive
    await clock.advance(1)
    assert (await log.info("b")).status is Status.MISSING
    assert log.n_bytes == 0


async def test_streams_that_have_expired_make_room_before_any_other(anyio_backend: str) -> None:
    clock = FakeClock()
    log = MemoryLog(max_streams=2, ttl=100, retain=1000, clock=clock)
    await begin(log, "dead")
    gen = await begin(log, "done")
    await log.finalize("done", gen, End(Status.DONE))
    await clock.advance(100)
    await begin(log, "new")
    assert [(await log.info(key)).status.value for key in ("dead", "done", "new")] == ["missing", "done", "open"]


async def test_a_silent_source_keeps_its_lease_and_a_dead_producer_loses_it(anyio_backend: str) -> None:
    clock = FakeClock()
    log = MemoryLog(lease=10, clock=clock)
    go = anyio.Event()

    async def make() -> AsyncIterator[bytes]:
        yield b"a"
        await go.wait()

    async with Hub(log, authorize=lambda *_: True, clock=clock) as hub:
        await hub.publish("s", make, protocol=None)
        outcome: list[Exception] = []
        async with hub.subscribe("s") as items, anyio.create_task_group() as tasks:

            async def read() -> None:
                try:
                    await items.collect()
                except ProducerLost as error:
                    outcome.append(error)

            tasks.start_soon(read)
            await clock.advance(100)
            assert (await hub.status("s")).alive
            assert outcome == []
            # The producer dies without a word: another generation holds the key to its lease.
            log._streams["s"].lease_until = 0.0
            hub._runs["s"]._log = MemoryLog(clock=clock)
            await clock.advance(6)
            assert len(outcome) == 1
        assert (await hub.status("s")).status is Status.ORPHANED
        go.set()


async def test_readers_of_a_stream_that_made_room_are_told(anyio_backend: str) -> None:
    clock = FakeClock()
    log = MemoryLog(max_streams=1, clock=clock)

    async def make() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    async with Hub(log, authorize=lambda *_: True, clock=clock) as hub:
        await (await hub.publish("one", make, protocol=None)).wait()
        async with hub.subscribe("one") as items:
            await (await hub.publish("two", make, protocol=None)).wait()
            with pytest.raises(ResumeGap) as caught:
                await items.collect()
            assert caught.value.reason == "gone"


@pytest.mark.parametrize("name", ["max_streams", "max_bytes", "maxlen", "lease", "ttl", "retain"])
def test_bounds_are_positive(name: str, anyio_backend: str) -> None:
    with pytest.raises(ValueError, match="positive"):
        MemoryLog(**{name: 0})


async def test_a_log_of_the_applications_own_need_not_have_a_beginning_and_an_end(anyio_backend: str) -> None:
    class Own(MemoryLog):
        __aenter__ = StreamLog.__aenter__
        __aexit__ = StreamLog.__aexit__

    async def make() -> AsyncIterator[bytes]:
        yield b"a"

    async with Hub(Own(), authorize=lambda *_: True) as hub:
        await hub.publish("s", make, protocol=None)
        async with hub.subscribe("s") as items:
            assert [item.data for item in await items.collect()] == [b"a"]
