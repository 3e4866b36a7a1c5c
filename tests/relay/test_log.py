"""The contract of a log engine, operation by operation."""

from __future__ import annotations

import secrets
from typing import Any

import anyio
import pytest

from millstream.errors import LogError, StreamFenced
from millstream.relay import End, Entry, Status, StreamLog
from millstream.relay._log import Claim
from relay.engines import Engine

pytestmark = pytest.mark.anyio

DONE = End(Status.DONE)
LOST = End(Status.ORPHANED, b'{"lost":1}')


def claim(**facts: Any) -> Claim:
    return Claim(
        **{"token": secrets.token_hex(8), "protocol": "p", "media_type": "m", "meta": b"\x00\xff"} | facts,
        secret=b"s" * 32,
    )


async def begin(log: StreamLog, *items: bytes, key: str = "k") -> int:
    acquired = await log.acquire(key, "error", claim())
    assert acquired.won
    if items:
        await log.append(key, acquired.info.gen, 1, list(items))
    return acquired.info.gen


async def entries(log: StreamLog, after: int = 0, key: str = "k") -> list[Entry]:
    info = await log.info(key)
    page = await log.read(key, info.epoch, after, 1000)
    assert page is not None
    return page.entries


async def test_a_stream_is_what_was_written_in_order_and_its_end(engine: Engine) -> None:
    payload = [b"", b"\x00\r\n\n", "\u2028".encode(), b"fin", b"x" * 100_000, *(b"%d" % i for i in range(300))]
    async with engine.log() as log:
        gen = await begin(log, *payload)
        assert await log.append("k", gen, 306, [b"last"]) is None
        await log.finalize("k", gen, End(Status.ERROR, b"{}", told=True))
        found = await entries(log)
        assert [entry.data for entry in found] == [*payload, b"last", b""]
        assert [entry.seq for entry in found] == list(range(1, 308))
        assert [entry.end for entry in found[:-1]] == [None] * 306
        assert found[-1].end == End(Status.ERROR, b"{}", told=True)
        info = await log.info("k")
        assert (info.status, info.seq, info.end, info.ends) == (Status.ERROR, 307, found[-1].end, 1)


async def test_what_was_claimed_is_kept(engine: Engine) -> None:
    async with engine.log() as log:
        won = await log.acquire("k", "attach", claim(protocol="ui", media_type="text/x"))
        info = await log.info("k")
        assert (info.protocol, info.media_type, info.meta, info.secret) == ("ui", "text/x", b"\x00\xff", b"s" * 32)
        assert (info.status, info.seq, info.alive, info.cancel, info.end) == (Status.OPEN, 0, True, None, None)
        assert info.gen == won.info.gen == info.epoch
        assert 0 <= info.age < 30
        assert "ssss" not in repr(info)


async def test_pages_continue_where_the_last_one_stopped(engine: Engine) -> None:
    async with engine.log() as log:
        await begin(log, *(b"%d" % i for i in range(1, 11)))
        epoch = (await log.info("k")).epoch
        pages = [await log.read("k", epoch, after, 4) for after in (0, 4, 8, 10, 99)]
        assert [[entry.seq for entry in page.entries] for page in pages if page] == [
            [1, 2, 3, 4],
            [5, 6, 7, 8],
            [9, 10],
            [],
            [],
        ]
        assert {(page.seq, page.status) for page in pages if page} == {(10, Status.OPEN)}
        other = await log.read("k", epoch - 1, 0, 4)
        assert other is not None
        assert (other.epoch, other.entries) == (epoch, [])
        assert await log.read("unknown", epoch, 0, 4) is None
        assert (await log.info("unknown")).status is Status.MISSING


@pytest.mark.parametrize("mode", ["attach", "error"])
async def test_one_of_many_claims_wins(engine: Engine, mode: Any) -> None:
    won: list[bool] = []
    async with engine.log() as log, anyio.create_task_group() as tasks:

        async def race() -> None:
            won.append((await log.acquire("k", mode, claim())).won)

        for _ in range(20):
            tasks.start_soon(race)
    assert sorted(won) == [False] * 19 + [True]


async def test_a_claim_may_be_repeated_when_its_answer_was_lost(engine: Engine) -> None:
    async with engine.log() as log:
        mine = claim()
        first = await log.acquire("k", "error", mine)
        again = await log.acquire("k", "error", mine)
        assert again.won
        assert again.info.gen == first.info.gen


async def test_an_append_may_be_repeated_when_its_answer_was_lost(engine: Engine) -> None:
    async with engine.log() as log:
        gen = await begin(log, b"a", b"b")
        await log.append("k", gen, 1, [b"a", b"b"])
        await log.append("k", gen, 2, [b"b", b"c"])
        assert [entry.data for entry in await entries(log)] == [b"a", b"b", b"c"]


async def test_the_end_may_be_repeated_when_its_answer_was_lost(engine: Engine) -> None:
    async with engine.log() as log:
        gen = await begin(log, b"a")
        await log.finalize("k", gen, DONE)
        await log.finalize("k", gen, DONE)
        assert len(await entries(log)) == 2
        with pytest.raises(StreamFenced):
            await log.finalize("k", gen, LOST)


async def test_a_hole_is_never_written(engine: Engine) -> None:
    async with engine.log() as log:
        gen = await begin(log, b"a")
        with pytest.raises(LogError) as caught:
            await log.append("k", gen, 3, [b"c"])
        assert (caught.value.reason, caught.value.retryable) == ("lost", False)
        assert len(await entries(log)) == 1


async def test_replacing_begins_a_new_epoch_and_fences_the_old_producer(engine: Engine) -> None:
    async with engine.log() as log:
        old = await begin(log, b"old", b"old2")
        new = (await log.acquire("k", "replace", claim(meta=b"new"))).info
        assert new.gen > old
        assert (new.epoch, new.seq, new.meta) == (new.gen, 0, b"new")
        for attempt in (
            log.append("k", old, 3, [b"zombie"]),
            log.append("k", old, 3, []),
            log.finalize("k", old, DONE),
        ):
            with pytest.raises(StreamFenced):
                await attempt
        assert not await log.orphan("k", old, LOST)
        await log.append("k", new.gen, 1, [b"new"])
        assert [entry.data for entry in await entries(log)] == [b"new"]


async def test_a_living_or_finished_stream_is_not_taken_over(engine: Engine) -> None:
    async with engine.log() as log:
        gen = await begin(log, b"a")
        assert not (await log.acquire("k", "resume", claim())).won
        await log.finalize("k", gen, DONE)
        assert not (await log.acquire("k", "resume", claim())).won


async def test_a_dead_producers_stream_is_taken_over_where_it_stopped(engine: Engine) -> None:
    async with engine.log() as log:
        old = await begin(log, b"a", b"b")
        engine.lose_lease("k")
        assert not (await log.info("k")).alive
        taken = await log.acquire("k", "resume", claim(meta=b"other"))
        assert taken.won
        assert (taken.info.seq, taken.info.epoch, taken.info.meta) == (2, old, b"\x00\xff")
        assert taken.info.gen > old
        with pytest.raises(StreamFenced):
            await log.append("k", old, 3, [b"zombie"])
        await log.append("k", taken.info.gen, 3, [b"c"])
        assert [entry.data for entry in await entries(log)] == [b"a", b"b", b"c"]


async def test_an_orphaned_stream_is_taken_over_behind_its_end(engine: Engine) -> None:
    async with engine.log() as log:
        gen = await begin(log, b"a")
        await log.finalize("k", gen, LOST)
        taken = (await log.acquire("k", "resume", claim())).info
        assert (taken.status, taken.seq, taken.ends, taken.end, taken.epoch) == (Status.OPEN, 2, 1, None, gen)
        await log.append("k", taken.gen, 3, [b"c"])
        assert [entry.end for entry in await entries(log)] == [None, LOST, None]


async def test_only_a_dead_producer_is_orphaned_and_only_once(engine: Engine) -> None:
    async with engine.log() as log:
        gen = await begin(log, b"a")
        assert not await log.orphan("k", gen, LOST)
        engine.lose_lease("k")
        assert not await log.orphan("k", gen - 1, LOST)
        assert await log.orphan("k", gen, LOST)
        assert not await log.orphan("k", gen, LOST)
        assert (await entries(log))[-1].end == LOST
        with pytest.raises(StreamFenced, match="orphaned"):
            await log.append("k", gen, 2, [b"zombie"])


async def test_a_renewal_keeps_the_lease_and_tells_of_a_cancellation(engine: Engine) -> None:
    async with engine.log() as log:
        gen = await begin(log)
        engine.lose_lease("k")
        assert await log.append("k", gen, 1, []) is None
        assert (await log.info("k")).alive
        assert await log.cancel("k", "user") is Status.OPEN
        assert await log.cancel("k", "later") is Status.OPEN
        assert await log.append("k", gen, 1, []) == "user"
        assert (await log.info("k")).cancel == "user"


async def test_a_cancellation_ends_a_stream_that_nobody_produces(engine: Engine) -> None:
    async with engine.log() as log:
        await begin(log, b"a")
        engine.lose_lease("k")
        assert await log.cancel("k", "user") is Status.OPEN
        assert (await log.info("k")).status is Status.CANCELLED
        assert (await entries(log))[-1].end == End(Status.CANCELLED)
        assert await log.cancel("k", "user") is Status.CANCELLED
        assert await log.cancel("unknown", "user") is Status.MISSING


async def test_a_cancellation_is_told_at_once(engine: Engine) -> None:
    heard: list[str] = []
    async with engine.log() as log:
        await begin(log, b"a")
        told = anyio.Event()
        forget = log.on_cancel("k", lambda reason: (heard.append(reason), told.set()))
        await log.cancel("k", "user")
        with anyio.fail_after(10):
            await told.wait()
        forget()
    assert heard == ["user"]


async def test_deleting_leaves_nothing_and_the_producer_notices(engine: Engine) -> None:
    async with engine.log() as log:
        gen = await begin(log, b"a")
        assert await log.delete("k")
        assert not await log.delete("k")
        assert (await log.info("k")).status is Status.MISSING
        for attempt in (log.append("k", gen, 2, [b"b"]), log.finalize("k", gen, DONE)):
            with pytest.raises(LogError) as caught:
                await attempt
            assert caught.value.reason == "gone"
        assert not await log.orphan("k", gen, LOST)
        assert (await log.acquire("k", "error", claim())).info.gen > gen


async def test_trimming_leaves_the_newest(engine: Engine) -> None:
    async with engine.log(maxlen=10, exact=True) as log:
        gen = await begin(log, *(b"%d" % i for i in range(25)))
        assert [entry.seq for entry in await entries(log)] == list(range(16, 26))
        assert (await log.info("k")).seq == 25
        await log.append("k", gen, 26, [b"next"])
        assert [entry.seq for entry in await entries(log, 20)] == list(range(21, 27))


async def test_a_follower_gets_what_is_appended_after_his_place(engine: Engine) -> None:
    got: list[Entry] = []
    async with engine.log() as log:
        gen = await begin(log, b"a", b"b")
        news = anyio.Event()

        def push(epoch: int, fresh: list[Entry]) -> None:
            assert epoch == gen
            got.extend(fresh)
            if got and got[-1].end is not None:
                news.set()

        unfollow = log.follow("k", gen, 2, push)
        for i in range(50):
            await log.append("k", gen, 3 + i, [b"%d" % i])
        await log.finalize("k", gen, DONE)
        with anyio.fail_after(10):
            await news.wait()
        unfollow()
    assert [entry.seq for entry in got] == list(range(3, 54))
    assert [entry.data for entry in got[:-1]] == [b"%d" % i for i in range(50)]


async def test_two_processes_see_one_log(engine: Engine) -> None:
    async with engine.log() as one, engine.log() as other:
        gen = await begin(one, b"a")
        assert not (await other.acquire("k", "attach", claim())).won
        await other.append("k", gen, 2, [b"b"])
        assert [entry.data for entry in await entries(one)] == [b"a", b"b"]


async def test_streams_do_not_touch_each_other(engine: Engine) -> None:
    async with engine.log() as log:
        gens = {key: await begin(log, key.encode(), key=key) for key in ("a", "b", "a:m", "ab", "0123456789abcdef/a")}
        await log.delete("a")
        for key in list(gens)[1:]:
            assert [entry.data for entry in await entries(log, key=key)] == [key.encode()]
