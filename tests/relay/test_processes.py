"""Producers in real processes that are killed, stopped, raced and cancelled from outside."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from millstream.errors import ProducerLost
from millstream.relay import Hub, Item, Status, Subscription
from relay.engines import OnRedis

pytestmark = pytest.mark.anyio

Start = Callable[..., "subprocess.Popen[str]"]
LEASE = 1.5


@pytest.fixture
def start(on_redis: OnRedis, anyio_backend: str) -> Iterator[Start]:
    processes: list[subprocess.Popen[str]] = []

    def start(n: int = 10_000, pause: float = 0.002, lease: float = LEASE) -> subprocess.Popen[str]:
        words = [on_redis.server.url, on_redis.prefix, str(lease), "s", str(n), str(pause), anyio_backend]
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("produce.py")), *words], stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


async def role(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return (await anyio.to_thread.run_sync(process.stdout.readline)).strip()


async def outcome(process: subprocess.Popen[str]) -> str:
    with anyio.fail_after(30):
        out, _ = await anyio.to_thread.run_sync(process.communicate)
    return out.strip()


async def read_on(items: Subscription, got: list[Item]) -> type[Exception] | None:
    """Read to the end and return what it ended with."""
    try:
        async for item in items:
            got.append(item)
    except Exception as error:
        return type(error)
    return None


def hub(on_redis: OnRedis) -> Hub:
    return Hub(on_redis.log(lease=LEASE), authorize=lambda *_: True)


async def test_a_killed_producer_is_told_within_two_leases(on_redis: OnRedis, start: Start) -> None:
    process = start()
    assert await role(process) == "producer"
    async with hub(on_redis) as reader:
        got = []
        async with reader.subscribe("s") as items:
            for _ in range(50):
                got.append(await anext(items))
            process.kill()
            with anyio.fail_after(20):  # a busy machine
                assert await read_on(items, got) is ProducerLost
            assert items.end is not None
            assert items.end.status is Status.ORPHANED
        assert [item.data for item in got] == [b"%d" % i for i in range(len(got))]

        # Another process goes on where it stopped.
        async def rest(after: int):  # type: ignore[no-untyped-def]
            for i in range(after, after + 5):
                yield b"%d" % i

        run = await reader.publish("s", rest, on_exists="resume", protocol=None)
        assert await run.wait() is Status.DONE
        async with reader.subscribe("s", after=got[10].id) as items:
            again = await items.collect()
        assert [item.data for item in again] == [b"%d" % i for i in range(11, len(got) + 5)]


async def test_a_zombie_that_wakes_up_after_a_takeover_writes_nothing(on_redis: OnRedis, start: Start) -> None:
    process = start()
    assert await role(process) == "producer"
    async with hub(on_redis) as reader:
        async with reader.subscribe("s") as items:
            got = [await anext(items)]
            process.send_signal(signal.SIGSTOP)
            with anyio.fail_after(20):
                assert await read_on(items, got) is ProducerLost

        async def rest(after: int):  # type: ignore[no-untyped-def]
            assert after == len(got)
            for _ in range(5):
                yield b"second"

        await reader.publish("s", rest, on_exists="resume", protocol=None)
        async with reader.subscribe("s") as items:
            for _ in range(len(got) + 1):
                await anext(items)
            process.send_signal(signal.SIGCONT)
            assert "StreamFenced" in await outcome(process)
            await items.collect()
        async with reader.subscribe("s") as items:
            whole = [item.data async for item in items]
        assert whole == [item.data for item in got] + [b"second"] * 5


async def test_of_processes_that_race_one_produces(on_redis: OnRedis, start: Start) -> None:
    processes = [start(n=300, pause=0.001, lease=10.0) for _ in range(3)]
    roles = [await role(process) for process in processes]
    assert sorted(roles) == ["consumer", "consumer", "producer"]
    async with hub(on_redis) as reader, reader.subscribe("s") as items:
        assert [item.data async for item in items] == [b"%d" % i for i in range(300)]
    assert "done NoneType" in "".join([await outcome(process) for process in processes])


async def test_a_process_is_cancelled_from_another_one(on_redis: OnRedis, start: Start) -> None:
    process = start(n=2, pause=600.0, lease=60.0)  # silent for ten minutes
    assert await role(process) == "producer"
    async with hub(on_redis) as reader, reader.subscribe("s") as items:
        await anext(items)
        with anyio.fail_after(20):
            await reader.cancel("s", "user")
            assert await items.collect() == []
        assert items.end is not None
        assert items.end.status is Status.CANCELLED
    assert await outcome(process) == "cancelled NoneType"


async def test_a_process_that_is_terminated_gives_its_streams_away(on_redis: OnRedis, start: Start) -> None:
    process = start(lease=60.0)
    assert await role(process) == "producer"
    async with hub(on_redis) as reader, reader.subscribe("s") as items:
        await anext(items)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(ProducerLost), anyio.fail_after(20):  # long before the lease
            await items.collect()
